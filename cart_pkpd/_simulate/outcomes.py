"""Clinical outcomes of virtual patients: DLT, grade of CRS, response, by dose or by exposure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import did_you_mean, number, one_of, real, shown
from cart_pkpd._dose.onset import Onset, uniform
from cart_pkpd._dose.onsets import day_of_onset
from cart_pkpd._simulate.streams import Floats, Ints

BY = ("dose", "cmax", "auc")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """An outcome whose odds follow from dose or exposure: logit P(grade >= g) = a_g + b ln(x / x*).

    Parameters
    ----------
    intercept : float or sequence of float
        Log odds at the reference: one number for an outcome that is there or not, falling numbers
        for grades 1 or more, 2 or more, and so on (proportional odds).
    slope : float
        Change of the log odds per factor e of x.
    by : {"dose", "cmax", "auc"}
        What x is: the dose given, or the peak or the area of the level without error.
    endpoint : str, optional
        Of the exposure; needed only if several are simulated.
    reference : float, optional
        x*; needed unless the slope is 0. [unit of x]
    window : float
        Days within which the outcome happens, or does not. [day]
    onset : Onset, optional
        When it happens within the window; at a constant rate by default.

    Raises
    ------
    DataError
        If a number cannot be.

    Notes
    -----
    The logit of 0 or of an exposure of 0 is minus infinity for a slope above 0: no cells, no
    toxicity by them.

    Examples
    --------
    >>> dlt = Outcome(intercept=-1.4, slope=0.8, by="cmax", reference=2000.0)
    >>> crs = Outcome(intercept=(0.5, -0.6, -2.0, -3.5), slope=0.7, by="cmax", reference=2000.0)
    >>> crs.grades
    4
    """

    intercept: float | Sequence[float]
    slope: float = 0.0
    by: str = "cmax"
    endpoint: str | None = None
    reference: float | None = None
    window: float = 28.0
    onset: Onset | None = None

    def __post_init__(self) -> None:
        alone = isinstance(self.intercept, int | float | np.number)
        found = _numbers(self.intercept)
        if not found or not np.isfinite(found).all() or not (np.diff(found) < 0).all():
            raise DataError(
                "outcome: intercepts must be numbers that fall from grade to grade, not "
                f"{shown(self.intercept)}."
            )
        object.__setattr__(self, "intercept", found[0] if alone else found)
        one_of(self.by, BY, "predictor of an outcome", error=DataError)
        number(self.slope, "outcome: slope")
        if self.reference is not None:
            real(self.reference, "outcome: reference", error=DataError)
        real(self.window, "outcome: window", error=DataError)
        if self.slope != 0 and not 0 < (self.reference or 0.0) < np.inf:
            raise DataError(
                f"outcome: reference= must say at which {self.by} the intercept holds, above 0; "
                f"it is {shown(self.reference)}."
            )
        if not (self.window > 0 and self.window == round(self.window)):
            raise DataError(
                f"outcome: window must be a whole number of days above 0, not {shown(self.window)}."
            )
        if self.onset is not None:
            self.onset.check_window(self.window)

    @property
    def intercepts(self) -> tuple[float, ...]:
        """Log odds at the reference of grade 1 or more, 2 or more, …."""
        return self.intercept if isinstance(self.intercept, tuple) else (float(self.intercept),)  # type: ignore[arg-type]

    @property
    def grades(self) -> int:
        """Highest grade."""
        return len(self.intercepts)

    def probability(self, x: Floats) -> Floats:
        """Return P(grade >= g) for g = 1, 2, …, shape (..., grades)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            shift = (
                self.slope * np.log(np.asarray(x, float) / self.reference)
                if self.slope
                else 0.0 * x
            )
        return np.asarray(special.expit(np.asarray(self.intercepts) + shift[..., None]))

    def drawn(self, x: Floats, u: Floats) -> tuple[Ints, Floats]:
        """Return grade and day of the outcome, the day NaN for grade 0 and where x is unknown.

        Parameters
        ----------
        x : ndarray, shape (k,)
            Dose or exposure.
        u : ndarray, shape (k, 2)
            Uniform numbers, for grade and day.
        """
        grade = (u[:, :1] < self.probability(x)).sum(axis=1)
        curve = uniform(self.window) if self.onset is None else self.onset
        day = day_of_onset(curve, u[:, 1]).astype(float)
        return grade.astype(np.int64), np.where(grade > 0, day, np.nan)


def _numbers(given: Any) -> tuple[float, ...]:
    """Return one number, or several, as a tuple; nothing for anything else."""
    try:
        return tuple(float(v) for v in np.atleast_1d(np.asarray(given, dtype=float)))
    except (TypeError, ValueError):
        return ()


def endpoint_of(outcome: Outcome, endpoints: tuple[str, ...], name: str) -> str:
    """Return the endpoint whose exposure drives an outcome.

    Raises
    ------
    DataError
        If it is not simulated, or not named among several.
    """
    if outcome.endpoint is None:
        if len(endpoints) > 1:
            raise DataError(
                f"outcome {name!r}: several endpoints are simulated ({', '.join(endpoints)}); say "
                "whose exposure counts: endpoint=..."
            )
        return endpoints[0]
    if outcome.endpoint not in endpoints:
        raise DataError(
            f"outcome {name!r}: endpoint {outcome.endpoint!r} is not simulated."
            f"{did_you_mean(outcome.endpoint, endpoints)} Simulated: {', '.join(endpoints)}."
        )
    return outcome.endpoint
