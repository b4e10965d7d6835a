"""What is assumed true in simulated trials, and how such a trial is run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import positive_int, probability, real, reals, shown
from cart_pkpd._dose.levels import Levels, as_levels
from cart_pkpd._dose.onset import Onset, check_onset, uniform
from cart_pkpd._dose.state import Floats, Mask

MONTH = 365.25 / 12  # days
_EDGE = 1e-6  # a DLT probability of 0 or 1 has no log odds
_SAME = 1e-9
_SUCH_AS = "(0.05, 0.15, 0.30)"

Truth = Sequence[float] | Callable[[Floats], Floats]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """The truth of a simulated trial and the way it is run; times are whole days.

    Parameters
    ----------
    levels : Levels or sequence of float
        Planned doses.
    p : sequence of float or callable
        True probability of a DLT within the window at each level; or a function of doses, such as
        `ExposureToxicity`.
    target : float
        DLT probability that the trial seeks: what a correct selection is.
    max_patients : int
        Most patients that count. Those not evaluable count only without `replace`.
    accrual : float
        Patients who become available per month, as a Poisson process.
    margin : float
        A level is acceptable within `target` ± `margin`, and an overdose above it.
    window : int
        Time within which a toxicity is dose-limiting. [day]
    onset : Onset, optional
        When DLTs occur, given one occurs; at a constant rate by default. See `weibull_onset`,
        `beta_onset`, `mixed_onset`.
    waiting_list : bool
        Whether patients who cannot be treated at once wait for the next place. By default they are
        lost, and the next one comes after the place has opened.
    stagger : int
        Least time between two infusions of a cohort. [day]
    meeting : int
        Time from the last outcome of a cohort to the decision, where designs wait for it. [day]
    dropout : float
        Probability that a patient leaves (progression, death, withdrawal) before the end of the
        window; the last contact is on any of the days 0 to window − 1 alike. Without a DLT until
        then the patient is not evaluable.
    below : float
        Probability that the product manufactured lies below the range of its level: the patient is
        treated but not evaluable there.
    below_amount : float
        Its amount as a share of the planned dose.
    p_below : sequence of float, optional
        True probability at these amounts; by default from `p` where it is a function, otherwise
        interpolated in log odds over log dose, with the lowest pair's slope below the lowest level.
    replace : bool
        Whether patients who are not evaluable are replaced.
    cohort : int
        Patients per cohort where the design has no `CohortSize` of its own.
    start : float, optional
        First dose; the lowest by default.

    Raises
    ------
    DataError, ValueError
        If a probability, a dose or a number of days cannot be.

    Examples
    --------
    >>> truth = Scenario(
    ...     levels=(1e6, 3e6, 1e7), p=(0.05, 0.15, 0.30), target=0.30, max_patients=30, accrual=2.0
    ... )
    >>> truth.correct.tolist()
    [False, False, True]
    """

    levels: Levels | Sequence[float]
    p: Truth
    target: float
    max_patients: int
    accrual: float
    margin: float = 0.05
    window: int = 28
    onset: Onset | None = None
    waiting_list: bool = False
    stagger: int = 0
    meeting: int = 0
    dropout: float = 0.0
    below: float = 0.0
    below_amount: float = 0.5
    p_below: Sequence[float] | None = None
    replace: bool = True
    cohort: int = 3
    start: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", as_levels(self.levels))
        if not callable(self.p):
            object.__setattr__(self, "p", reals(self.p, "p", such_as=_SUCH_AS))
        if self.p_below is not None:
            below = reals(self.p_below, "p_below", such_as=_SUCH_AS)
            object.__setattr__(self, "p_below", below)
        self._check_numbers()
        self._check_days()
        _probabilities(self.rates, len(self.planned), "p")
        _probabilities(self.below_rates, len(self.planned), "p_below")
        if self.start is not None:
            self.planned.index(self.start)

    def _check_numbers(self) -> None:
        for name in ("accrual", "margin", "dropout", "below", "below_amount"):
            real(getattr(self, name), name)
        for name in ("replace", "waiting_list"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False, not {shown(getattr(self, name))}.")
        probability(self.target, "the target")
        positive_int(self.max_patients, "max_patients")
        positive_int(self.cohort, "the cohort size")
        if not 0 < self.accrual < np.inf:
            raise ValueError(f"accrual must be above 0 patients per month, not {self.accrual!r}.")
        if not 0 <= self.margin < 1:
            raise ValueError(f"the margin must lie in 0 to 1, not {self.margin!r}.")
        for name in ("dropout", "below"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ValueError(f"{name} must be a probability below 1, not {value!r}.")
        if not 0 < self.below_amount < 1:
            raise ValueError(
                f"below_amount is a share of the planned dose in 0 to 1, not {self.below_amount!r}."
            )

    def _check_days(self) -> None:
        positive_int(self.window, "the window in days")
        for name in ("stagger", "meeting"):
            value = getattr(self, name)
            if not 0 <= real(value, name) < np.inf or int(value) != value:
                raise ValueError(f"{name} must be a whole number of days, not {value!r}.")
        check_onset(self.onset)
        if self.onset is not None:
            self.onset.check_window(self.window)

    @property
    def planned(self) -> Levels:
        """The planned doses."""
        return as_levels(self.levels)

    @cached_property
    def rates(self) -> Floats:
        """True DLT probability at each level, shape (K,)."""
        if callable(self.p):
            return np.asarray(self.p(self.planned.array), dtype=float)
        return np.array(self.p, dtype=float)

    @cached_property
    def below_doses(self) -> Floats:
        """Amounts of products below the range, shape (K,)."""
        return self.planned.array * self.below_amount

    @cached_property
    def below_rates(self) -> Floats:
        """True DLT probability at `below_doses`, shape (K,)."""
        if self.p_below is not None:
            return np.array(self.p_below, dtype=float)
        if callable(self.p):
            if self.below == 0:
                return self.rates
            return np.asarray(self.p(self.below_doses), dtype=float)
        return between(self.planned.array, self.rates, self.below_doses)

    @property
    def onset_curve(self) -> Onset:
        """When DLTs occur."""
        return uniform(self.window) if self.onset is None else self.onset

    @property
    def gap(self) -> float:
        """Mean days between patients who become available."""
        return MONTH / self.accrual

    @property
    def first(self) -> int:
        """Level of the first patient, from 0."""
        return 0 if self.start is None else self.planned.index(self.start)

    @property
    def acceptable(self) -> Mask:
        """Levels within the margin of the target, shape (K,)."""
        return np.abs(self.rates - self.target) <= self.margin + _SAME

    @property
    def overdose(self) -> Mask:
        """Levels above the target and its margin, shape (K,)."""
        return self.rates > self.target + self.margin + _SAME

    @property
    def none_is_correct(self) -> bool:
        """Whether even the lowest level is an overdose."""
        return bool(self.overdose[0])

    @property
    def correct(self) -> Mask:
        """Levels closest to the target, shape (K,); none where `none_is_correct`."""
        apart = np.abs(self.rates - self.target)
        return (apart <= apart.min() + _SAME) & (not self.none_is_correct)

    def table(self) -> pd.DataFrame:
        """Return one row per level: dose, true DLT probability, and what selecting it would be."""
        out = pd.DataFrame(
            {
                "dose": self.planned.array,
                "p": self.rates,
                "correct": self.correct,
                "acceptable": self.acceptable,
                "overdose": self.overdose,
            },
            index=pd.RangeIndex(1, len(self.planned) + 1, name="level"),
        )
        out.attrs["units"] = {"dose": self.planned.unit}
        return out


def between(doses: Floats, p: Floats, at: Floats) -> Floats:
    """Return probabilities at other doses: linear in log odds over log dose, straight on below."""
    x, y, new = np.log(doses), logit(np.clip(p, _EDGE, 1 - _EDGE)), np.log(at)
    out = np.interp(new, x, y)
    if len(x) > 1:
        slope = (y[1] - y[0]) / (x[1] - x[0])
        out = np.where(new < x[0], y[0] + slope * (new - x[0]), out)
    found = expit(out)
    certain = (p.max() <= 0) or (p.min() >= 1)
    return np.full(found.shape, p[0]) if certain else found


def _probabilities(p: Floats, levels: int, name: str) -> None:
    if p.shape != (levels,):
        raise DataError(f"{name} has {p.size} values, but there are {levels} dose levels.")
    if not ((p >= 0) & (p <= 1)).all():
        k = int(np.flatnonzero(~((p >= 0) & (p <= 1)))[0])
        raise DataError(f"{name} is {p[k]:g} at level {k + 1}; it must be a probability.")
