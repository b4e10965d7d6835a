"""Priors of the two-parameter logistic curve: bivariate normal, and mixtures of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cart_pkpd._core.validate import real, reals
from cart_pkpd._dose.state import Floats


@dataclass(frozen=True)
class BivariateNormal:
    """Normal prior of (log α, log β), with standard deviations, not variances.

    Parameters
    ----------
    mean : (float, float)
        Of log α, the log odds of a DLT at the reference dose, and log β, the log of the slope on
        the log dose (natural logarithms).
    sd : (float, float)
        Standard deviations.
    corr : float
        Correlation.

    Examples
    --------
    The prior of Neuenschwander et al. (2008), given there with covariance 0.134:

    >>> round(BivariateNormal((2.15, 0.52), (0.84, 0.80), 0.134 / (0.84 * 0.80)).corr, 3)
    0.199
    """

    mean: tuple[float, float]
    sd: tuple[float, float]
    corr: float

    def __post_init__(self) -> None:
        for name in ("mean", "sd"):
            what = f"the {name} of the prior"
            given = reals(getattr(self, name), what, such_as="(-1.0, 0.0)", count=2)
            object.__setattr__(self, name, given)
        if not all(0 < s < np.inf for s in self.sd):
            raise ValueError(f"standard deviations of the prior must be above 0, not {self.sd}.")
        if not np.isfinite(self.mean).all():
            raise ValueError(f"means of the prior must be numbers, not {self.mean}.")
        if not -1 < real(self.corr, "the correlation of the prior") < 1:
            raise ValueError(f"the correlation of the prior must lie in -1 to 1, not {self.corr}.")

    @property
    def components(self) -> tuple[tuple[float, BivariateNormal], ...]:
        """Weight and component."""
        return ((1.0, self),)

    @property
    def text(self) -> str:
        """The prior in words."""
        (m, k), (s, t) = self.mean, self.sd
        said = f"log α ~ N({m:.4g}, {s:.4g}²), log β ~ N({k:.4g}, {t:.4g}²), corr {self.corr:.3g}"
        return said.replace("-", "−")

    def log_density(self, a: Floats, b: Floats) -> Floats:
        """Return the log density at (log α, log β)."""
        u, v = (a - self.mean[0]) / self.sd[0], (b - self.mean[1]) / self.sd[1]
        r = 1 - self.corr**2
        norm = np.log(2 * np.pi * self.sd[0] * self.sd[1] * np.sqrt(r))
        return -0.5 * (u * u - 2 * self.corr * u * v + v * v) / r - norm


@dataclass(frozen=True)
class Mixture:
    """Mixture of bivariate normal priors, such as an informative and a robust one.

    Parameters
    ----------
    weights : tuple of float
        Above 0; they are divided by their sum.
    parts : tuple of BivariateNormal
    """

    weights: tuple[float, ...]
    parts: tuple[BivariateNormal, ...]

    def __post_init__(self) -> None:
        weights = reals(self.weights, "weights of a mixture", such_as="(0.8, 0.2)")
        parts = self.parts if isinstance(self.parts, list | tuple) else ()
        if not all(isinstance(p, BivariateNormal) for p in parts):
            raise ValueError("the parts of a mixture must each be a dose.BivariateNormal.")
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "parts", tuple(parts))
        if len(self.weights) != len(self.parts) or not self.parts:
            raise ValueError("a mixture needs as many weights as parts, at least one.")
        if not all(0 < w < np.inf for w in self.weights):
            raise ValueError(f"weights of a mixture must be above 0, not {self.weights}.")

    @property
    def components(self) -> tuple[tuple[float, BivariateNormal], ...]:
        """Weight and component."""
        total = sum(self.weights)
        return tuple((w / total, p) for w, p in zip(self.weights, self.parts, strict=True))

    @property
    def text(self) -> str:
        """The prior in words."""
        return " + ".join(f"{w:.3g} × [{p.text}]" for w, p in self.components)

    def log_density(self, a: Floats, b: Floats) -> Floats:
        """Return the log density at (log α, log β)."""
        each = [np.log(w) + p.log_density(a, b) for w, p in self.components]
        return np.logaddexp.reduce(each, axis=0)


Prior = BivariateNormal | Mixture
