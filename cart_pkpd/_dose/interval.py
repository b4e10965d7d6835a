"""Designs that compare the DLT rate at the current dose with an interval: what they share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import beta

from cart_pkpd._core.validate import positive_int, probability, reals
from cart_pkpd._dose.design import Design
from cart_pkpd._dose.grid import size_for
from cart_pkpd._dose.isotonic import estimates, nearest
from cart_pkpd._dose.patients import DoseData
from cart_pkpd._dose.rules import Rule
from cart_pkpd._dose.state import Floats, Ints, Mask, State, Summary

_MOVES = {1: "escalate", 0: "stay", -1: "de-escalate"}
_OVER = 1.4  # times the target: too high for an MTD, where a design has no rate of its own
LETTERS = {1: "E", 0: "S", -1: "D"}


@dataclass(frozen=True, kw_only=True)
class IntervalDesign(Design):
    """Base of interval designs: escalate, stay or de-escalate by n and y at the current dose.

    Parameters
    ----------
    eliminate : float
        A dose and all above are eliminated when P(π > target | Beta posterior) exceeds this.
    eliminate_from : int
        Patients at the dose before it can be eliminated.
    stop_at : int, optional
        The trial ends when so many patients were evaluated at the current dose.
    mtd_prior : (float, float)
        Pseudo-counts (DLT, none) of the isotonic estimate that selects the MTD.
    bound : float, optional
        Largest isotonic estimate that an MTD may have; none by default, so that the MTD may lie
        above the target if it is closest to it.
    rules : tuple of Rule
        Better joined with ``&``.
    """

    eliminate: float = 0.95
    eliminate_from: int = 3
    stop_at: int | None = None
    mtd_prior: tuple[float, float] = (0.05, 0.05)
    bound: float | None = None
    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        probability(self._target, "the target")
        probability(self.eliminate, "the elimination probability")
        positive_int(self.eliminate_from, "eliminate_from")
        above_zero(self.mtd_prior, "the pseudo-counts mtd_prior")
        if self.bound is not None:
            probability(self.bound, "the bound of the MTD's estimate")
        if self.stop_at is not None:
            positive_int(self.stop_at, "stop_at")

    @property
    def _target(self) -> float:
        return self.target  # type: ignore[attr-defined]

    @property
    def beta_prior(self) -> tuple[float, float]:
        """Beta prior of the DLT probability at each dose."""
        return (1.0, 1.0)

    @abstractmethod
    def verdicts(self, n: Ints, y: Ints | Floats) -> Ints:
        """Return 1 (escalate), 0 (stay) or -1 (de-escalate) for counts of any shape."""

    @property
    def _common_text(self) -> str:
        a, b = self.beta_prior
        parts = [
            f"a dose and those above are eliminated when P(DLT rate > {self._target:g}) > "
            f"{self.eliminate:g} under Beta({a:g}, {b:g}), from {self.eliminate_from} patients",
            f"MTD by isotonic regression with {self.mtd_prior[0]:g} + {self.mtd_prior[1]:g} "
            "pseudo-counts, closest to the target"
            + (f" and at most {self.bound:g}" if self.bound is not None else ""),
        ]
        if self.stop_at is not None:
            parts.append(f"stops at {self.stop_at} patients at one dose")
        return "; ".join(parts)

    def toxic(self, n: Ints, y: Ints) -> Mask:
        """Return whether counts eliminate a dose."""
        a, b = self.beta_prior
        sure = beta.sf(self._target, a + y, b + n - y) > self.eliminate
        return sure & (n >= self.eliminate_from)

    def tables(self, patients: int) -> tuple[Ints, Mask]:
        """Return verdict and elimination for n, y = 0 … patients, each [n, y]."""
        return _tables(self, patients)

    def _moves(self, state: State) -> tuple[Ints, Mask]:
        """Return each trial's verdict at its current level, and which doses are eliminated."""
        most = size_for(int(state.n.max(initial=0)))
        verdict, toxic = self.tables(most)
        out = toxic[state.n, state.y]
        return state.here(verdict[state.n, state.y]), np.logical_or.accumulate(out, axis=1)

    def _summary(self, state: State, cutoffs: tuple[float, ...]) -> Summary:
        a = self.beta_prior[0] + state.y
        b = self.beta_prior[1] + state.n - state.y
        above = {c: beta.sf(c, a, b) for c in cutoffs}
        return Summary(a / (a + b), a / (a + b), above)

    def _choose(self, state: State, found: Summary, eligible: Mask) -> Ints:
        move, out = self._moves(state)
        wanted = np.maximum(state.current + move, 0)
        allowed = eligible & ~out & (np.arange(state.levels) <= wanted[:, None])
        return np.where(allowed, np.arange(state.levels), -1).max(axis=1)

    def _select(self, state: State, found: Summary, eligible: Mask) -> Ints:
        permitted = eligible & ~self._eliminated(state)
        return nearest(self._isotonic(state), self._target, permitted, self.bound)

    def _eliminated(self, state: State) -> Mask:
        """Return which doses complete outcomes eliminate, shape (T, K)."""
        return np.logical_or.accumulate(self.toxic(state.n, state.y), axis=1)

    def _isotonic(self, state: State) -> Floats:
        """Return the isotonic estimates of doses not eliminated, NaN elsewhere, shape (T, K).

        Eliminated doses take no part: pooled with lower ones they would change their estimates.
        """
        out = self._eliminated(state)
        n, y = np.where(out, 0, state.n), np.where(out, 0, state.y)
        return estimates(n, y, self.mtd_prior)

    def _own_stop(self, state: State, level: Ints) -> Mask:
        if self.stop_at is None:
            return super()._own_stop(state, level)
        return (state.here(state.n) >= self.stop_at) & (level >= 0)

    def _columns(self, data: DoseData, state: State, found: Summary) -> Mapping[str, Any]:
        a, b = self.beta_prior
        over = beta.sf(self._target, a + data.dlts, b + data.n - data.dlts)
        letters = [LETTERS[int(v)] for v in self._verdict_rows(state)]
        out = np.logical_or.accumulate(self._out_rows(state))
        return {
            "isotonic": self._isotonic(state)[0],
            "over": over,
            "verdict": [
                "" if n == 0 else "U" if e else v
                for n, e, v in zip(data.n, out, letters, strict=True)
            ],
            "eliminated": out,
        }

    def _verdict_rows(self, state: State) -> Ints:
        return self.verdicts(state.n[0], state.y[0])

    def _out_rows(self, state: State) -> Mask:
        return self.toxic(state.n[0], state.y[0])

    def _rate(self, state: State) -> str:
        k = int(state.current[0])
        return f"{int(state.y[0, k])} DLT of {int(state.n[0, k])} at the current dose"

    def _why(self, data: DoseData, state: State, found: Summary, level: int) -> str:
        if data.current is None:
            return "No patient yet: the lowest dose is first"
        move = int(self._moves(state)[0][0])
        said = _MOVES[move]
        out = self._moves(state)[1][0]
        wanted = data.current + move
        more = ""
        if level < wanted and 0 <= wanted < len(data.levels) and out[wanted]:
            more = f"; {data.levels.text(wanted)} and above are eliminated"
        elif wanted >= len(data.levels):
            more = "; there is no higher dose"
        elif wanted < 0:
            more = "; there is no lower dose"
        elif level < wanted:  # a rule, which the end of the sentence names
            said, more = f"would {said}", f", but {data.levels.text(level)} is the largest"
        return f"{self._rate(state)}: {said} ({self._limits(state)}){more}"

    def _limits(self, state: State) -> str:
        return f"target {self._target:g}"

    def _why_mtd(self, data: DoseData, state: State, found: Summary, level: int) -> str:
        value = self._isotonic(state)[0, level]
        return (
            f"{data.levels.text(level)} has the isotonic estimate "
            f"{value:.3f}, closest to the target {self._target:g}"
            + (f" of those up to {self.bound:g}," if self.bound is not None else ",")
        )

    @property
    def _mtd_by_follow_up(self) -> bool:
        return False  # the isotonic estimate is of complete outcomes

    def _own_limit(self, state: State) -> tuple[Mask, str]:
        if self.bound is None:
            return super()._own_limit(state)
        estimate = self._isotonic(state)[0]
        # A level without patients has no estimate; that it was never given is said elsewhere.
        return ~(estimate > self.bound), f"estimate above the bound {self.bound:g}"

    def _mtd_flags(self, data: DoseData, state: State, level: int) -> list[str]:
        if int(self._verdict_rows(state)[level]) != -1:
            return self._estimate_flags(data, state, level)
        return [
            f"From the MTD of {data.levels.text(level)} the design itself would de-escalate "
            f"({int(state.y[0, level])} DLT of {int(state.n[0, level])}): justify it, or exclude "
            "such a dose with bound, the largest estimate that an MTD may have."
        ]

    @property
    def _too_high(self) -> float:
        """The estimate from which an MTD is flagged."""
        return _OVER * self._target

    def _estimate_flags(self, data: DoseData, state: State, level: int) -> list[str]:
        value = float(self._isotonic(state)[0, level])
        if self.bound is not None or value < self._too_high:
            return []
        return [
            f"The isotonic estimate {value:.3f} at the MTD of {data.levels.text(level)} is too "
            f"high for the target {self._target:g} (from {self._too_high:.3f} on): justify it, or "
            "exclude such a dose with bound, the largest estimate that an MTD may have."
        ]

    def _why_none(self, limits: str) -> str:
        more = f" or not permitted ({limits})" if limits else ""
        return f"The lowest dose is eliminated{more}."

    def _why_own_stop(self, data: DoseData, level: int) -> str:
        return f"{self.stop_at} patients were evaluated at the current dose."

    def decision_table(self, patients: int) -> pd.DataFrame:
        """Return the decisions as protocols print them.

        Parameters
        ----------
        patients : int
            Largest number of patients at a dose.

        Returns
        -------
        pandas.DataFrame
            Rows DLTs from 0, columns patients from 1: E escalate, S stay, D de-escalate, U
            de-escalate and eliminate; "" where there are more DLTs than patients.
        """
        positive_int(patients, "the number of patients")
        n, y = np.meshgrid(np.arange(1, patients + 1), np.arange(patients + 1))
        verdict, toxic = self.verdicts(n, np.minimum(y, n)), self.toxic(n, np.minimum(y, n))
        letters = np.where(toxic, "U", np.vectorize(LETTERS.get)(verdict))
        table = pd.DataFrame(np.where(y > n, "", letters), columns=n[0], index=y[:, 0])
        table.index.name, table.columns.name = "dlts", "patients"
        table.attrs["design"] = self.description
        return table

    def boundaries(self, patients: int) -> pd.DataFrame:
        """Return the numbers of DLTs at which the decision changes.

        Returns
        -------
        pandas.DataFrame
            One row per number of patients: ``escalate`` (at most), ``de_escalate`` and
            ``eliminate`` (at least); NaN where no number does.
        """
        rows = []
        for n in range(1, positive_int(patients, "the number of patients") + 1):
            y = np.arange(n + 1)
            ns = np.full(n + 1, n)
            verdict, toxic = self.verdicts(ns, y), self.toxic(ns, y)
            rows.append([_last(y[verdict == 1]), _first(y[verdict == -1]), _first(y[toxic])])
        out = pd.DataFrame(rows, columns=["escalate", "de_escalate", "eliminate"])
        out.index = pd.RangeIndex(1, patients + 1, name="patients")
        out.attrs["design"] = self.description
        return out

    def prior_table(self) -> pd.DataFrame:
        """Return what the beta prior says of any dose before the first patient."""
        a, b = self.beta_prior
        return pd.DataFrame(
            {
                "prior": [f"Beta({a:g}, {b:g}) at each dose"],
                "mean": [a / (a + b)],
                "over": [float(beta.sf(self._target, a, b))],
            }
        )


def above_zero(pair: tuple[float, float], what: str) -> None:
    """Raise unless both numbers are above 0 and finite."""
    if not all(0 < v < np.inf for v in reals(pair, what, such_as="(1, 1)", count=2)):
        raise ValueError(f"{what} must be two numbers above 0, not {pair!r}.")


def _first(values: Ints) -> float:
    return float(values[0]) if values.size else float("nan")


def _last(values: Ints) -> float:
    return float(values[-1]) if values.size else float("nan")


@lru_cache(maxsize=32)
def _tables(design: IntervalDesign, patients: int) -> tuple[Ints, Mask]:
    n, y = np.meshgrid(np.arange(patients + 1), np.arange(patients + 1), indexing="ij")
    y = np.minimum(y, n)
    verdict = np.where(n > 0, design.verdicts(np.maximum(n, 1), y), 0)
    return verdict, design.toxic(n, y)


def mass(lower: ArrayLike, upper: ArrayLike, a: ArrayLike, b: ArrayLike) -> Floats:
    """Return the Beta(a, b) probability of an interval."""
    return beta.cdf(upper, a, b) - beta.cdf(lower, a, b)
