"""Rules that restrict, stop or delay: joined to a design with ``&``.

Each rule says which doses are eligible, whether to stop, and whether to wait, for many trials
at once, and says in words what it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import one_of, positive_int, probability, real, reals, shown
from cart_pkpd._dose.state import Ints, Mask, State, Summary

_ROUNDING = 1e-9


class Rule:
    """Base of all rules: everything is eligible, nothing stops, nobody waits."""

    final = False  # whether the rule also limits the MTD at the end

    @property
    def text(self) -> str:
        """The rule in words, to stand after "doses with", "stop when" or the like."""
        raise NotImplementedError

    @property
    def cutoffs(self) -> tuple[float, ...]:
        """DLT probabilities whose exceedance the rule needs."""
        return ()

    def eligible(self, state: State, found: Summary) -> Mask | None:
        """Return which doses the rule permits, shape (T, K)."""
        return None

    def stop(self, state: State, found: Summary, level: Ints) -> Mask | None:
        """Return which trials end, shape (T,)."""
        return None

    def wait(self, state: State) -> Mask | None:
        """Return which trials must wait, shape (T,)."""
        return None

    keeps_dose = False  # whether a stop by this rule ends with a dose

    def __and__(self, other: Rule | Rules) -> Rules:
        return Rules((self,)) & other


@dataclass(frozen=True)
class Rules:
    """Several rules together; all of them hold."""

    rules: tuple[Rule, ...]

    def __and__(self, other: Rule | Rules) -> Rules:
        return Rules((*self.rules, *as_rules(other)))

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules)


def as_rules(rule: Rule | Rules) -> tuple[Rule, ...]:
    """Return one rule or several as a tuple."""
    if isinstance(rule, Rules):
        return rule.rules
    if isinstance(rule, Rule):
        return (rule,)
    raise TypeError(f"only rules can be joined with &, such as dose.NoSkip(), not {shown(rule)}.")


@dataclass(frozen=True)
class EWOC(Rule):
    """Escalation with overdose control: P(DLT probability ≥ threshold) ≤ bound [1]_.

    Parameters
    ----------
    threshold : float
        DLT probability from which a dose is an overdose.
    bound : float
        Largest probability of an overdose.

    References
    ----------
    .. [1] Babb, Rogatko & Zacks (1998), Stat Med 17:1103.
    """

    threshold: float
    bound: float
    final = True

    def __post_init__(self) -> None:
        probability(self.threshold, "the EWOC threshold")
        probability(self.bound, "the EWOC bound")

    @property
    def text(self) -> str:
        return f"P(DLT rate ≥ {self.threshold:g}) ≤ {self.bound:g} (EWOC)"

    @property
    def cutoffs(self) -> tuple[float, ...]:
        return (self.threshold,)

    def eligible(self, state: State, found: Summary) -> Mask:
        return found.above[self.threshold] <= self.bound


@dataclass(frozen=True)
class NoSkip(Rule):
    """No planned level is skipped on the way up.

    Parameters
    ----------
    basis : {"current", "highest"}
        At most one level above the current one, or above the highest one given so far.
    """

    basis: Literal["current", "highest"] = "current"

    def __post_init__(self) -> None:
        one_of(self.basis, ("current", "highest"), "basis of NoSkip")

    @property
    def text(self) -> str:
        return f"at most one level above the {self.basis} one"

    def eligible(self, state: State, found: Summary) -> Mask:
        k = np.arange(state.levels)
        top = state.current
        if self.basis == "highest":
            top = np.where(state.treated > 0, k, -1).max(axis=1)
        return k <= top[:, None] + 1


@dataclass(frozen=True)
class MaxRatio(Rule):
    """The next dose is at most `ratio` times the current one.

    Notes
    -----
    Half-log steps (1e6, 3e6, 1e7) have ratios of 3 and 3.33: a limit of 3.3 blocks every second
    one of them.
    """

    ratio: float

    def __post_init__(self) -> None:
        if not 1 < real(self.ratio, "the ratio of MaxRatio") < np.inf:
            raise ValueError(f"the ratio of MaxRatio must be above 1, not {self.ratio!r}.")

    @property
    def text(self) -> str:
        return f"at most {self.ratio:g} times the current dose"

    def eligible(self, state: State, found: Summary) -> Mask:
        if state.doses is None:
            raise DataError("MaxRatio compares doses; give them with decide_many(..., doses=).")
        now = state.doses[np.maximum(state.current, 0)]
        limit = np.where(state.current >= 0, now * self.ratio * (1 + _ROUNDING), np.inf)
        return state.doses <= limit[:, None]


@dataclass(frozen=True)
class Coherence(Rule):
    """No escalation where the DLT rate just seen is at least the target [1]_.

    Parameters
    ----------
    target : float
    basis : {"cohort", "dose"}
        The rate in the latest cohort, or among all patients at the current dose.

    References
    ----------
    .. [1] Cheung (2005), Biometrika 92:863.
    """

    target: float
    basis: Literal["cohort", "dose"] = "cohort"

    def __post_init__(self) -> None:
        probability(self.target, "the target of Coherence")
        one_of(self.basis, ("cohort", "dose"), "basis of Coherence")

    @property
    def text(self) -> str:
        where = "in the latest cohort" if self.basis == "cohort" else "at the current dose"
        return f"no escalation at a DLT rate of {self.target:g} or more {where}"

    def eligible(self, state: State, found: Summary) -> Mask:
        n, y = state.last_n, state.last_y
        if self.basis == "dose":
            n, y = state.here(state.n), state.here(state.y)
        bad = (y >= self.target * n - _ROUNDING) & (y > 0)
        return ~bad[:, None] | _not_up(state)


@dataclass(frozen=True)
class MinBeforeEscalation(Rule):
    """No escalation before `n` evaluable patients at the current dose."""

    n: int

    def __post_init__(self) -> None:
        positive_int(self.n, "the patients of MinBeforeEscalation")

    @property
    def text(self) -> str:
        return f"no escalation before {self.n} evaluable patients at the current dose"

    def eligible(self, state: State, found: Summary) -> Mask:
        few = (state.here(state.n) < self.n) & (state.current >= 0)
        return ~few[:, None] | _not_up(state)


def _not_up(state: State) -> Mask:
    return np.arange(state.levels) <= state.current[:, None]


def _from_zero(value: int, rule: str) -> None:
    if not 0 <= real(value, f"min_patients of {rule}") < np.inf or int(value) != value:
        raise ValueError(f"min_patients of {rule} must be a whole number from 0, not {value!r}.")


@dataclass(frozen=True)
class StopIfToxic(Rule):
    """Stop if the lowest dose is likely too toxic: P(DLT probability ≥ threshold) > confidence.

    Parameters
    ----------
    threshold, confidence : float
    min_patients : int
        Evaluable patients at the lowest dose before the rule may act.
    """

    threshold: float
    confidence: float
    min_patients: int = 0

    def __post_init__(self) -> None:
        probability(self.threshold, "the threshold of StopIfToxic")
        probability(self.confidence, "the confidence of StopIfToxic")
        _from_zero(self.min_patients, "StopIfToxic")

    @property
    def text(self) -> str:
        after = f", from {self.min_patients} patients there" if self.min_patients else ""
        return f"P(DLT rate ≥ {self.threshold:g}) > {self.confidence:g} at the lowest dose{after}"

    @property
    def cutoffs(self) -> tuple[float, ...]:
        return (self.threshold,)

    def stop(self, state: State, found: Summary, level: Ints) -> Mask:
        sure = found.above[self.threshold][:, 0] > self.confidence
        return sure & (state.n[:, 0] >= self.min_patients)


@dataclass(frozen=True)
class StopIfUnderdosed(Rule):
    """Stop for futility: even the highest dose is likely below `threshold`.

    Parameters
    ----------
    threshold, confidence : float
        Stop if P(DLT probability < threshold) > confidence at the highest dose.
    min_patients : int
        Evaluable patients at the highest dose before the rule may act.
    """

    threshold: float
    confidence: float
    min_patients: int
    keeps_dose = True

    def __post_init__(self) -> None:
        probability(self.threshold, "the threshold of StopIfUnderdosed")
        probability(self.confidence, "the confidence of StopIfUnderdosed")
        _from_zero(self.min_patients, "StopIfUnderdosed")

    @property
    def text(self) -> str:
        return (
            f"P(DLT rate < {self.threshold:g}) > {self.confidence:g} at the highest dose with at "
            f"least {self.min_patients} patients"
        )

    @property
    def cutoffs(self) -> tuple[float, ...]:
        return (self.threshold,)

    def stop(self, state: State, found: Summary, level: Ints) -> Mask:
        sure = 1 - found.above[self.threshold][:, -1] > self.confidence
        return sure & (state.n[:, -1] >= self.min_patients)


@dataclass(frozen=True)
class StopWhen(Rule):
    """Stop with the recommended dose once enough is known of it: all that is given must hold.

    Parameters
    ----------
    min_patients : int, optional
        Evaluable patients in the trial.
    at_dose : int, optional
        Evaluable patients at the recommended dose.
    target_probability : float, optional
        Least P(interval) at the recommended dose.
    interval : (float, float), optional
        Interval of the DLT probability for `target_probability`.
    """

    min_patients: int | None = None
    at_dose: int | None = None
    target_probability: float | None = None
    interval: tuple[float, float] | None = None
    keeps_dose = True

    def __post_init__(self) -> None:
        if self.min_patients is None and self.at_dose is None and self.target_probability is None:
            raise ValueError("StopWhen needs min_patients, at_dose or target_probability.")
        if (self.target_probability is None) != (self.interval is None):
            raise ValueError("StopWhen takes target_probability and interval together.")
        for name in ("min_patients", "at_dose"):
            value = getattr(self, name)
            if value is not None:
                positive_int(value, f"{name} of StopWhen")
        if self.target_probability is not None:
            probability(self.target_probability, "the target_probability of StopWhen")
        if self.interval is not None:
            low, high = reals(
                self.interval, "the interval of StopWhen", such_as="(0.16, 0.33)", count=2
            )
            for end in (low, high):
                probability(end, "an end of StopWhen's interval")
            if not low < high:
                raise ValueError(
                    f"the interval of StopWhen must be two rising probabilities, not "
                    f"{self.interval!r}."
                )

    @property
    def text(self) -> str:
        parts = []
        if self.min_patients is not None:
            parts.append(f"{self.min_patients} evaluable patients")
        if self.at_dose is not None:
            parts.append(f"{self.at_dose} of them at the recommended dose")
        if self.interval is not None:
            low, high = self.interval
            parts.append(f"P(DLT rate in {low:g}–{high:g}) ≥ {self.target_probability:g} there")
        return " and ".join(parts)

    @property
    def cutoffs(self) -> tuple[float, ...]:
        return self.interval or ()

    def stop(self, state: State, found: Summary, level: Ints) -> Mask:
        rows, at = np.arange(state.size), np.maximum(level, 0)
        out = level >= 0
        if self.min_patients is not None:
            out &= state.n.sum(axis=1) >= self.min_patients
        if self.at_dose is not None:
            out &= state.n[rows, at] >= self.at_dose
        if self.interval is not None and self.target_probability is not None:
            out &= found.between(*self.interval)[rows, at] >= self.target_probability
        return out


@dataclass(frozen=True)
class MaxPatients(Rule):
    """Stop when `n` evaluable patients are in the trial."""

    n: int
    keeps_dose = True

    def __post_init__(self) -> None:
        positive_int(self.n, "the patients of MaxPatients")

    @property
    def text(self) -> str:
        return f"{self.n} evaluable patients in the trial"

    def stop(self, state: State, found: Summary, level: Ints) -> Mask:
        return state.n.sum(axis=1) >= self.n


@dataclass(frozen=True)
class MaxPending(Rule):
    """Wait while more than a share of the patients at the current dose are pending."""

    share: float

    def __post_init__(self) -> None:
        if not 0 <= real(self.share, "the share of MaxPending") < 1:
            raise ValueError(f"the share of MaxPending must lie in 0 to 1, not {self.share!r}.")

    @property
    def text(self) -> str:
        return f"more than {self.share:g} of the patients at the current dose pending"

    def wait(self, state: State) -> Mask:
        c = state.here(state.waiting)
        return c > self.share * (c + state.here(state.n)) + _ROUNDING


@dataclass(frozen=True)
class CohortSize(Rule):
    """How many patients the next cohort has.

    Parameters
    ----------
    size : int
    before_dlt : int, optional
        Size until the first DLT of the trial (accelerated titration); `size` by default.
    """

    size: int
    before_dlt: int | None = None

    def __post_init__(self) -> None:
        positive_int(self.size, "the cohort size")
        if self.before_dlt is not None:
            positive_int(self.before_dlt, "the cohort size before the first DLT")

    @property
    def text(self) -> str:
        if self.before_dlt is None:
            return f"cohorts of {self.size}"
        return f"cohorts of {self.before_dlt} until the first DLT, then of {self.size}"

    def next_size(self, state: State) -> Ints:
        """Return the size of the next cohort, shape (T,)."""
        first = self.size if self.before_dlt is None else self.before_dlt
        return np.where(state.y.sum(axis=1) > 0, self.size, first)
