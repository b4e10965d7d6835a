"""The Bayesian optimal interval design, and its form for late toxicity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cart_pkpd._core.validate import real
from cart_pkpd._dose.interval import IntervalDesign
from cart_pkpd._dose.onset import Onset, check_onset, text_of, weight
from cart_pkpd._dose.patients import DoseData
from cart_pkpd._dose.state import Floats, Ints, Mask, State

_ROUNDING = 1e-9  # an observed rate on the boundary decides as the rule says
_CERTAIN = 1e-9


@dataclass(frozen=True)
class BOIN(IntervalDesign):
    """Bayesian optimal interval design [1]_.

    Escalate when the DLT rate at the current dose is at most λe, de-escalate from λd on:
    λe = log((1 − φ1)/(1 − φ)) / log(φ(1 − φ1)/(φ1(1 − φ))), λd the same with φ2.

    Parameters
    ----------
    target : float
        DLT probability φ to find.
    under, over : float, optional
        φ1, at and below which a dose is sub-therapeutic, and φ2, from which it is too toxic;
        0.6 φ and 1.4 φ by default, as the authors recommend.
    extra_safe : float, optional
        Eliminate the lowest dose already at ``eliminate - extra_safe``.

    References
    ----------
    .. [1] Liu & Yuan (2015), J R Stat Soc C 64:507.

    Examples
    --------
    >>> [round(v, 4) for v in BOIN(0.25).rates]
    [0.1968, 0.2984]
    """

    target: float
    under: float | None = None
    over: float | None = None
    extra_safe: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("under", "over", "extra_safe"):
            if getattr(self, name) is not None:
                real(getattr(self, name), name)
        low, high = self.ends
        if not 0 < low < self.target < high < 1:
            raise ValueError(
                f"under, target and over must rise between 0 and 1, not {low:g}, "
                f"{self.target:g}, {high:g}."
            )
        if self.extra_safe is not None and not 0 < self.extra_safe < self.eliminate:
            raise ValueError(
                f"extra_safe must lie between 0 and eliminate = {self.eliminate:g}, not "
                f"{self.extra_safe!r}."
            )

    @property
    def ends(self) -> tuple[float, float]:
        """φ1 and φ2."""
        low = 0.6 * self.target if self.under is None else self.under
        return low, 1.4 * self.target if self.over is None else self.over

    @property
    def rates(self) -> tuple[float, float]:
        """λe and λd."""
        p, (low, high) = self.target, self.ends
        escalate = np.log((1 - low) / (1 - p)) / np.log(p * (1 - low) / (low * (1 - p)))
        down = np.log((1 - p) / (1 - high)) / np.log(high * (1 - p) / (p * (1 - high)))
        return float(escalate), float(down)

    @property
    def name(self) -> str:
        return "BOIN"

    @property
    def text(self) -> str:
        (low, high), (up, down) = self.ends, self.rates
        extra = f" (lowest dose already at {self.eliminate - self.extra_safe:g})" if (
            self.extra_safe
        ) else ""  # fmt: skip
        return (
            f"{self.name}, target {self.target:g}, φ1 = {low:g}, φ2 = {high:g}: escalate at a DLT "
            f"rate ≤ {up:.4f}, de-escalate at ≥ {down:.4f}; {self._common_text}{extra}"
        )

    def verdicts(self, n: Ints, y: Ints | Floats) -> Ints:
        up, down = self.rates
        return np.where(y <= up * n + _ROUNDING, 1, np.where(y >= down * n - _ROUNDING, -1, 0))

    def _moves(self, state: State) -> tuple[Ints, Mask]:
        move, out = super()._moves(state)
        return move, out | self._extra(state.n, state.y)[:, None]

    def _eliminated(self, state: State) -> Mask:
        return super()._eliminated(state) | self._extra(state.n, state.y)[:, None]

    def _extra(self, n: Ints, y: Ints) -> Mask:
        """Return which trials lose the lowest dose, and so all, by the extra safety rule."""
        if self.extra_safe is None:
            return np.zeros(n.shape[0], dtype=bool)
        found = self._beta_over(n[:, 0], y[:, 0])
        return (found > self.eliminate - self.extra_safe) & (n[:, 0] >= self.eliminate_from)

    def _beta_over(self, n: Ints | Floats, y: Ints) -> Floats:
        from scipy.stats import beta

        return beta.sf(self.target, 1 + y, 1 + n - y)

    @property
    def _too_high(self) -> float:
        return self.rates[1]

    def _limits(self, state: State) -> str:
        up, down = self.rates
        return f"λe = {up:.3f}, λd = {down:.3f}"


@dataclass(frozen=True)
class TITEBOIN(BOIN):
    """BOIN with patients still inside the window [1]_.

    With n patients at the current dose, s DLTs, c pending with total follow-up STFT (in windows),
    a pending patient is expected to have (1 − follow-up) p̂/(1 − p̂) DLTs, p̂ = (s + φ/2)/(n − c + 1);
    the expected total is compared with λe n and λd n.

    Parameters
    ----------
    max_pending : float
        Wait while more than this share of the patients at the current dose is pending, unless the
        DLTs observed already ask for de-escalation.
    onset : Onset, optional
        Weight of follow-up; proportional by default.

    Notes
    -----
    Elimination counts pending patients with their follow-up as effective patients.

    References
    ----------
    .. [1] Yuan, Lin, Li, Nie & Warren (2018), Clin Cancer Res 24:4921.
    """

    max_pending: float = 0.5
    onset: Onset | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < real(self.max_pending, "max_pending") <= 1:
            raise ValueError(
                f"max_pending is a share above 0 and at most 1, not {self.max_pending!r}."
            )
        check_onset(self.onset)

    @property
    def name(self) -> str:
        return "TITE-BOIN"

    @property
    def text(self) -> str:
        late = text_of(self.onset)
        return f"{super().text}; waits above {self.max_pending:g} pending; {late}"

    @property
    def uses_follow_up(self) -> bool:
        return True

    def _check(self, data: DoseData) -> None:
        super()._check(data)
        if self.onset is not None:
            self.onset.check_window(data.window)

    def _followed(self, state: State) -> Floats:
        """Return the total follow-up of pending patients in windows, shape (T, K)."""
        share = weight(self.onset, state.share)
        return np.asarray((state.pending * share).sum(axis=2, dtype=float))

    def expected(self, state: State) -> Floats:
        """Return observed and expected DLTs at each level, shape (T, K)."""
        c, followed = state.waiting, self._followed(state)
        p = (state.y + 0.5 * self.target) / (state.n + 1)
        more: Floats = np.where(c > 0, p / np.maximum(1 - p, _CERTAIN) * (c - followed), 0.0)
        return more + state.y

    def _moves(self, state: State) -> tuple[Ints, Mask]:
        total = state.n + state.waiting
        move = self.verdicts(total, self.expected(state))
        move = np.where(total > 0, move, 0)
        effective = state.n + self._followed(state)
        sure = self._beta_over(effective, state.y) > self.eliminate
        out = np.logical_or.accumulate(sure & (total >= self.eliminate_from), axis=1)
        return state.here(move), out | self._extra(state.n, state.y)[:, None]

    def _verdict_rows(self, state: State) -> Ints:
        return self.verdicts((state.n + state.waiting)[0], self.expected(state)[0])

    def _own_wait(self, state: State) -> Mask:
        c, n = state.here(state.waiting), state.here(state.n + state.waiting)
        certain = state.here(state.y) >= self.rates[1] * n - _ROUNDING
        return (c > self.max_pending * n + _ROUNDING) & ~certain

    def _rate(self, state: State) -> str:
        k = int(state.current[0])
        c = int(state.waiting[0, k])
        if c == 0:
            return super()._rate(state)
        n = int(state.n[0, k]) + c
        return (
            f"{int(state.y[0, k])} DLT of {n} at the current dose, {c} pending, "
            f"{float(self.expected(state)[0, k]):.2f} expected in all"
        )

    def _why_wait(self, state: State) -> str:
        k = int(state.current[0])
        return (
            f"{int(state.waiting[0, k])} of {int((state.n + state.waiting)[0, k])} patients at the "
            f"current dose are still inside the window, more than a share of {self.max_pending:g}."
        )
