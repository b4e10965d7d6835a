"""What was observed of every patient, and who is not used where, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._core.errors import DataError, Problem
from cart_pkpd._core.numbers import patient_numbers
from cart_pkpd._crs.parts import Hazard, Part, ProportionalOdds
from cart_pkpd._crs.predictors import DAY, GRADE

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
_NAMED = 12  # patients written out in a sentence


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Observed CRS of n patients within the window.

    Attributes
    ----------
    ids : ndarray of str, shape (n,)
    grade : ndarray, shape (n,)
        0 without CRS in the window; NaN where not known.
    day : ndarray, shape (n,)
        Of onset; NaN without CRS, or where not known. [day]
    entry, exit : ndarray, shape (n,)
        Days between which onset could have been seen. [day]
    notes : tuple of str
        What was decided on the way.
    """

    ids: NDArray[np.str_]
    grade: Floats
    day: Floats
    entry: Floats
    exit: Floats
    notes: tuple[str, ...]


def names_of(ids: Sequence[str]) -> str:
    """Return patients for a sentence: ``"2 patients (01, 07)"``."""
    shown = ", ".join(ids[:_NAMED]) + (", …" if len(ids) > _NAMED else "")
    return f"{len(ids)} patient{'s' if len(ids) != 1 else ''} ({shown})"


def outcomes(found: xr.Dataset, parts: Sequence[Part], window: tuple[float, float]) -> Outcomes:
    """Return the outcomes that stand beside the predictors.

    Raises
    ------
    DataError
        If there are none, or they contradict themselves; every patient is among the problems.
    """
    if GRADE not in found:
        raise DataError(
            f"the patients have no variable {GRADE!r}, so there is nothing to learn from; pass a "
            "trial with grades, or name the variable with predictors(..., grade=...)."
        )
    ids = found["id"].values.astype(str)
    grade = patient_numbers(found[GRADE].values, ids, GRADE)
    day = (
        patient_numbers(found[DAY].values, ids, DAY) if DAY in found else np.full(ids.size, np.nan)
    )
    start, end = window
    hazard = next((p for p in parts if isinstance(p, Hazard)), None)
    entry, last = _followed(found, hazard, ids.size, window)
    problems = [
        *_wrong_grades(ids, grade, parts),
        *_wrong_days(ids, grade, day, np.maximum(entry, start)),
    ]
    if problems:
        raise DataError(problems)
    notes = []
    late = day > end
    if late.any():
        notes.append(
            f"{names_of([str(i) for i in ids[late]])} had CRS after day {end:g} and count as "
            "without CRS in the window."
        )
        grade, day = np.where(late, 0.0, grade), np.where(late, np.nan, day)
    return Outcomes(ids, grade, day, entry, last, tuple(notes))


def _followed(
    found: xr.Dataset, hazard: Hazard | None, n: int, window: tuple[float, float]
) -> tuple[Floats, Floats]:
    start, end = window
    entry, last = np.full(n, start), np.full(n, end)
    if hazard is not None and hazard.entry:
        entry = np.clip(found[hazard.entry].values.astype(float), start, end)
    if hazard is not None and hazard.follow_up:
        last = np.clip(found[hazard.follow_up].values.astype(float), start, end)
    return entry, last


def _wrong_grades(ids: NDArray[np.str_], grade: Floats, parts: Sequence[Part]) -> list[Problem]:
    ordinal = next((p for p in parts if isinstance(p, ProportionalOdds)), None)
    highest = ordinal.levels[-1] if ordinal else 5
    out = []
    for i, g in zip(ids, grade, strict=True):
        if not np.isnan(g) and (g != round(g) or not 0 <= g <= highest):
            said = (
                f"patient {str(i)!r} has CRS grade {g:g}, but the layer has grades 0 to {highest}; "
                "correct it, or declare more levels in crs.ProportionalOdds(levels=...)."
            )
            out.append(Problem("crs_grade", said, str(i), column=GRADE, value=f"{g:g}"))
    return out


def _wrong_days(ids: NDArray[np.str_], grade: Floats, day: Floats, entry: Floats) -> list[Problem]:
    out = []
    for i, g, d, e in zip(ids, grade, day, entry, strict=True):
        who, said = str(i), ""
        if np.isfinite(d) and g == 0:
            said = f"patient {who!r} has CRS from day {d:g} but grade 0; correct one of the two."
        elif d < e:
            said = (
                f"patient {who!r} has CRS from day {d:g}, before the risk begins on day {e:g}; "
                "correct the day, or begin the window earlier."
            )
        if said:
            out.append(Problem("crs_day", said, who, column=DAY, value=f"{d:g}"))
    return out
