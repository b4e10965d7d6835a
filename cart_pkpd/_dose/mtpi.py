"""Toxicity probability interval designs: TPI, mTPI, mTPI-2 and keyboard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cart_pkpd._core.validate import real
from cart_pkpd._dose.interval import IntervalDesign, above_zero, mass
from cart_pkpd._dose.state import Floats, Ints, State

_EDGE = 1e-9


@dataclass(frozen=True)
class MTPI(IntervalDesign):
    """Modified toxicity probability interval design [1]_.

    Of under-dosing (0, target − below), target and over-dosing (target + above, 1), the interval
    with the largest probability per unit of length decides.

    Parameters
    ----------
    target : float
    below, above : float
        Margins of the target interval; 0.05 is usual.

    References
    ----------
    .. [1] Ji, Liu, Li & Bekele (2010), Clin Trials 7:653.
    """

    target: float
    below: float
    above: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(real(getattr(self, k), f"the margin {k}") > 0 for k in ("below", "above")):
            raise ValueError("the margins below and above the target must be above 0.")
        if not (self.target - self.below > 0 and self.target + self.above < 1):
            raise ValueError("the target interval must lie inside 0 to 1; narrow the margins.")

    @property
    def name(self) -> str:
        return "mTPI"

    @property
    def ends(self) -> tuple[float, float]:
        """Ends of the target interval."""
        return self.target - self.below, self.target + self.above

    @property
    def text(self) -> str:
        low, high = self.ends
        return (
            f"{self.name}, target {self.target:g}, target interval {low:g}–{high:g}; "
            f"{self._common_text}"
        )

    def edges(self) -> Floats:
        """Return the edges of all intervals, rising."""
        return np.array([0.0, *self.ends, 1.0])

    def verdicts(self, n: Ints, y: Ints | Floats) -> Ints:
        edges = self.edges()
        a, b = (v[..., None] for v in (self.beta_prior[0] + y, self.beta_prior[1] + n - y))
        density = mass(edges[:-1], edges[1:], a, b) / np.diff(edges)
        best = density.argmax(axis=-1)
        target = int(np.searchsorted(edges, self.ends[0] - _EDGE))
        return np.sign(target - best)

    def _limits(self, state: State) -> str:
        low, high = self.ends
        return f"target interval {low:g}–{high:g}"


@dataclass(frozen=True)
class MTPI2(MTPI):
    """mTPI-2: all intervals as wide as the target interval, those at the ends cut [1]_.

    References
    ----------
    .. [1] Guo, Wang, Yang, Lynn & Ji (2017), Contemp Clin Trials 58:23.
    """

    @property
    def name(self) -> str:
        return "mTPI-2"

    def edges(self) -> Floats:
        low, high = self.ends
        width = high - low
        down = np.arange(low, _EDGE, -width)[::-1]
        up = np.arange(high, 1 - _EDGE, width)
        return np.concatenate([[0.0], down, up, [1.0]])


@dataclass(frozen=True)
class Keyboard(MTPI2):
    """Keyboard design: the strongest key decides [1]_, the same decisions as mTPI-2.

    References
    ----------
    .. [1] Yan, Mandrekar & Yuan (2017), Clin Cancer Res 23:3994.
    """

    @property
    def name(self) -> str:
        return "keyboard"


@dataclass(frozen=True)
class TPI(IntervalDesign):
    """Toxicity probability interval design [1]_.

    The target interval is target − k2 σ to target + k1 σ, with σ the posterior standard deviation
    at the current dose; the interval with the largest probability decides.

    Parameters
    ----------
    target : float
    k1, k2 : float
        Widths above and below the target in posterior standard deviations; 1 and 1.5 in the paper.
    prior : (float, float)
        Beta prior at each dose; (0.005, 0.005) in the paper.

    References
    ----------
    .. [1] Ji, Li & Bekele (2007), Clin Trials 4:235.
    """

    target: float
    k1: float
    k2: float
    prior: tuple[float, float]

    def __post_init__(self) -> None:
        super().__post_init__()
        above_zero((self.k1, self.k2), "the widths k1 and k2")
        above_zero(self.prior, "the beta prior")

    @property
    def name(self) -> str:
        return "TPI"

    @property
    def beta_prior(self) -> tuple[float, float]:
        return self.prior

    @property
    def text(self) -> str:
        return (
            f"TPI, target {self.target:g}, target interval from {self.k2:g} posterior sd below to "
            f"{self.k1:g} above; {self._common_text}"
        )

    def verdicts(self, n: Ints, y: Ints | Floats) -> Ints:
        a, b = self.prior[0] + y, self.prior[1] + n - y
        total = a + b
        sd = np.sqrt(a * b / (total**2 * (total + 1)))
        low = np.maximum(self.target - self.k2 * sd, 0)
        high = np.minimum(self.target + self.k1 * sd, 1)
        each = np.stack([mass(high, 1.0, a, b), mass(low, high, a, b), mass(0.0, low, a, b)])
        return each.argmax(axis=0) - 1
