"""What is known of every patient when a dose is decided, and what counts where."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, SupportsFloat

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cart_pkpd._core import display, words
from cart_pkpd._core.errors import DataError, Problem
from cart_pkpd._core.validate import real
from cart_pkpd._dose.levels import Levels

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Patient:
    """One patient at the time of the decision.

    Attributes
    ----------
    id : str
    level : int
        Planned dose level, from 0.
    planned, amount : float
        Planned and administered dose. [unit of the levels]
    dlt : bool
        Whether a dose-limiting toxicity counts.
    dlt_day : float
        Day of the toxicity, counted or not; NaN without one or where the day is not known. [day]
    followed : float
        Follow-up within the window: its full length once complete. [day]
    evaluable : bool
        Whether the patient counts for the planned level (pending ones do, with their follow-up).
    informative : bool
        Whether the patient counts for a dose–toxicity curve at the administered dose.
    pending : bool
        Without toxicity so far, and still inside the window.
    reason : str
        Why the patient does not count, or what was decided; "" where there is nothing to say.
    """

    id: str
    level: int
    planned: float
    amount: float
    dlt: bool
    dlt_day: float
    followed: float
    evaluable: bool
    informative: bool
    pending: bool
    reason: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class DoseData:
    """Patients of a dose escalation, in order of infusion.

    Attributes
    ----------
    levels : Levels
        Planned doses.
    patients : tuple of Patient
        Everybody treated, in order; those who do not count are here too, with the reason.
    window : float
        Time within which a toxicity is dose-limiting. [day]
    as_of : float or None
        Day of the trial at which the data are looked at; None at the end of the follow-up.
    current : int or None
        Level of the last patient; None before the first.
    notes : tuple of str
        What was decided on the way.
    doubts : tuple of str
        What to look at before a decision follows the data; its flags repeat them.
    """

    levels: Levels
    patients: tuple[Patient, ...]
    window: float
    as_of: float | None = None
    current: int | None = None
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < real(self.window, "the DLT window") < float("inf"):
            raise DataError(f"the DLT window must be longer than 0 days, not {self.window!r}.")
        if self.current is None and self.patients:
            object.__setattr__(self, "current", self.patients[-1].level)

    def _count(self, chosen: list[bool]) -> Ints:
        levels = [p.level for p, c in zip(self.patients, chosen, strict=True) if c]
        return np.bincount(np.array(levels, dtype=int), minlength=len(self.levels))

    @cached_property
    def treated(self) -> Ints:
        """Patients given each level, shape (K,)."""
        return self._count([True] * len(self.patients))

    @cached_property
    def n(self) -> Ints:
        """Evaluable patients with a complete outcome at each level, shape (K,)."""
        return self._count([p.evaluable and not p.pending for p in self.patients])

    @cached_property
    def dlts(self) -> Ints:
        """Evaluable patients with a DLT at each level, shape (K,)."""
        return self._count([p.evaluable and p.dlt for p in self.patients])

    @cached_property
    def pending(self) -> Ints:
        """Evaluable patients still inside the window without a DLT, shape (K,)."""
        return self._count([p.evaluable and p.pending for p in self.patients])

    def follow_up(self, level: int) -> Floats:
        """Return the days of follow-up of the pending patients of a level, shape (pending,)."""
        at = [p for p in self.patients if p.evaluable and p.pending and p.level == level]
        return np.array([p.followed for p in at], dtype=float)

    def observations(self) -> tuple[Floats, NDArray[np.bool_], Floats]:
        """Return what a dose–toxicity curve learns from: dose, DLT, follow-up (day), each (n,).

        Doses are those administered; patients outside the range of their level are among them.
        """
        used = [p for p in self.patients if p.informative]
        return (
            np.array([p.amount for p in used], dtype=float),
            np.array([p.dlt for p in used], dtype=bool),
            np.array([self.window if not p.pending else p.followed for p in used], dtype=float),
        )

    def last_cohort(self) -> tuple[int, int]:
        """Return evaluable patients and DLTs of the latest patients at one level in a row."""
        run: list[Patient] = []
        for p in reversed(self.patients):
            if run and p.level != run[0].level:
                break
            run.append(p)
        counted = [p for p in run if p.evaluable and not p.pending]
        return len(counted), sum(p.dlt for p in counted)

    def table(self) -> pd.DataFrame:
        """Return one row per level: treated, evaluable, pending, DLTs, and the rate.

        Evaluable patients are those with a complete outcome; the rate is NaN without any.
        """
        rate = np.divide(self.dlts, self.n, out=np.full(len(self.levels), np.nan), where=self.n > 0)
        out = pd.DataFrame(
            {
                "dose": self.levels.array,
                "treated": self.treated,
                "evaluable": self.n,
                "pending": self.pending,
                "dlts": self.dlts,
                "rate": rate,
            },
            index=pd.RangeIndex(1, len(self.levels) + 1, name="level"),
        )
        out.attrs["units"] = {"dose": self.levels.unit}
        return out

    def frame(self) -> pd.DataFrame:
        """Return one row per patient, as in `Patient`, with the level counted from 1."""
        names = list(Patient.__dataclass_fields__)
        rows = [[getattr(p, k) for k in names] for p in self.patients]
        out = pd.DataFrame(rows, columns=names)
        out["level"] = out["level"].astype(int) + 1
        out.attrs["units"] = {k: self.levels.unit for k in ("planned", "amount")}
        out.attrs["units"] |= {"dlt_day": "day", "followed": "day"}
        return out.set_index("id")

    def exclusions(self) -> pd.DataFrame:
        """Return the patients of whom something does not count, with the reason."""
        shown = self.frame()
        return shown.loc[shown["reason"] != "", ["level", "amount", "evaluable", "reason"]]

    @property
    def sentence(self) -> str:
        """How many patients count, how many had a DLT, and how many are still inside the window."""
        n, y, c = int(self.n.sum()), int(self.dlts.sum()), int(self.pending.sum())
        return (
            f"{len(self.patients)} patients treated, {n} evaluable with {y} DLT, {c} pending; "
            f"DLT window {self.window:g} days"
        )

    def __str__(self) -> str:
        more = "".join(f"\n{note}" for note in (*self.doubts, *self.notes))
        shown = self.table().to_string(
            formatters={"dose": partial(words.dose, unit=self.levels.unit)}
        )
        return f"{self.sentence}\n{shown}{more}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        table = self.table()
        table["dose"] = [words.dose(d, self.levels.unit) for d in table["dose"]]
        return display.block("DLTs by dose.", f"{self.sentence}.", table, notes=self.notes)


def counts(
    observed: Mapping[float, tuple[int, int]],
    *,
    levels: Levels,
    window: float,
    pending: Mapping[float, Any] | None = None,
    current: float | None = None,
) -> DoseData:
    """Return data from plain counts; see ``dose.counts``."""
    real(window, "the DLT window")
    for name, what in (("observed", observed), ("pending", pending or {})):
        if not isinstance(what, Mapping):
            raise DataError(
                f"{name} must be a mapping by dose, such as {{1e6: (0, 3)}}, not a "
                f"{type(what).__name__}."
            )
    unit = levels.unit
    followed = {levels.index(d): _days(d, v, window, unit) for d, v in (pending or {}).items()}
    seen = {levels.index(d): _pair(d, v, unit) for d, v in observed.items()}
    patients: list[Patient] = []
    order = [*seen, *(k for k in followed if k not in seen)]
    if current is not None:
        k = levels.index(current)
        order = [*(j for j in order if j != k), k]
    for k in order:
        y, n = seen.get(k, (0, 0))
        patients += [_made(levels, k, j, window, dlt=j < y) for j in range(n)]
        days = followed.get(k, [])
        patients += [_made(levels, k, n + j, d, pending=d < window) for j, d in enumerate(days)]
    place = levels.index(current) if current is not None else None
    return DoseData(levels, tuple(patients), float(window), current=place)


def _made(
    levels: Levels, k: int, j: int, followed: float, *, dlt: bool = False, pending: bool = False
) -> Patient:
    dose = levels.doses[k]
    return Patient(
        f"{k + 1}-{j + 1}", k, dose, dose, dlt, float("nan"), float(followed), True, True, pending
    )


def _pair(dose: float, value: Any, unit: str) -> tuple[int, int]:
    if isinstance(value, str) or not hasattr(value, "__len__") or len(value) != 2:
        raise _wrong(dose, value, unit, f"{value!r} is not a pair of counts; give (DLTs, patients)")
    y, n = value
    for number in (y, n):
        if not _is_count(number):
            raise _wrong(dose, value, unit, f"{number!r} is not a count; give whole numbers from 0")
    if y > n:
        raise _wrong(
            dose, value, unit, f"{y} DLTs are more than {n} patients; give (DLTs, patients)"
        )
    return int(y), int(n)


def _is_count(value: Any) -> bool:
    real = isinstance(value, SupportsFloat) and not isinstance(value, bool)
    return bool(real and math.isfinite(value) and float(value).is_integer() and value >= 0)


def _wrong(dose: float, value: Any, unit: str, said: str) -> DataError:
    return DataError(
        Problem("dose_counts", f"at {words.dose(dose, unit)}: {said}.", value=str(value))
    )


def _days(dose: float, value: Any, window: float, unit: str) -> list[float]:
    try:
        days = [float(d) for d in value]
    except (TypeError, ValueError):
        raise _wrong(
            dose, value, unit, f"{value!r} is no list of days; give those of each pending patient"
        ) from None
    for day in days:
        if not 0 <= day <= window:
            raise _wrong(
                dose, day, unit, "follow-up of a pending patient must lie in 0 to "
                f"{window:g} days, not {day:g}"
            )  # fmt: skip
    return days
