"""From courses and patients to the numbers that the layer uses."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr

from cart_pkpd._core.errors import DataError, DataWarning
from cart_pkpd._core.units import times
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd._crs.courses import on_window
from cart_pkpd._crs.integral import area, refinement_error
from cart_pkpd._crs.parts import Hazard
from cart_pkpd._crs.terms import Term

_ROUNDING = 1e-9  # a level further below 0, relative to the largest, is an error
_TOLERANCE = 0.01  # largest relative error of the integral before a warning is given
GRADE, DAY = "crs_grade", "crs_day"


def predictors(
    terms: Sequence[Term],
    onset: Hazard | None,
    window: tuple[float, float],
    courses: xr.Dataset,
    patients: xr.Dataset | None,
    *,
    grade: str,
    day: str,
) -> xr.Dataset:
    """Return summaries of courses, covariates, outcomes, and every term's column."""
    placed = on_window(courses, window)
    needed = dict.fromkeys(t.variable for t in terms if t.of_course)
    _check_courses(placed, needed)
    placed = placed.assign({name: placed[name].clip(min=0.0) for name in needed})
    if patients is not None:
        placed = _reindexed(placed, patients)
    out = placed.drop_vars([v for v in placed.data_vars if v not in needed])
    for name in needed:
        out = out.merge(_summaries(out[name], name))
    extra = [] if onset is None else [v for v in (onset.entry, onset.follow_up) if v]
    out = _with_patients(out, terms, extra, patients, {grade: GRADE, day: DAY})
    for term in terms:
        column = term.column(out[term.source])
        out[term.name] = column.assign_attrs(units="1", long_name=term.label)
    _check_grid(out, onset)
    attrs = {"window_start": window[0], "window_end": window[1], "crs_predictors": 1}
    return out.assign_attrs(attrs)


def _check_courses(courses: xr.Dataset, needed: Iterable[str]) -> None:
    known = [str(v) for v in courses.data_vars]
    for name in needed:
        if name not in known:
            raise DataError(
                f"the courses have no {name!r}.{did_you_mean(name, known)} "
                f"They have: {', '.join(known)}."
            )
        # A solver leaves a level that has gone to nothing at a rounding error, of either sign.
        rounding = _ROUNDING * float(np.nanmax(np.abs(courses[name].values), initial=0.0))
        negative = (courses[name] < -rounding).any([d for d in courses[name].dims if d != "id"])
        if bool(negative.any()):
            who = str(courses["id"].values[negative.values][0])
            raise DataError(f"courses: {name} is below 0 for patient {who!r}; levels cannot be.")


def _reindexed(courses: xr.Dataset, patients: xr.Dataset) -> xr.Dataset:
    """Return the courses of all patients, NaN for those without one."""
    if "id" not in patients.coords:
        raise DataError("patients: there is no coordinate 'id'; pass the trial Dataset.")
    ids = patients["id"].values.astype(str)
    unknown = [i for i in courses["id"].values if i not in set(ids)]
    if unknown:
        raise DataError(
            f"courses hold patient {str(unknown[0])!r}, who is not among the patients "
            f"({len(unknown)} such); take courses and patients from the same trial."
        )
    return courses.reindex(id=ids)


def _summaries(course: xr.DataArray, name: str) -> xr.Dataset:
    """Return peak, its day, area, last level and running maximum of one measure."""
    time, y = course["time"].values, course.values
    unit, text = str(course.attrs.get("units", "")), str(course.attrs.get("long_name", name))
    flat = tuple(d for d in course.dims if d != "time")
    missing = np.isnan(y).any(axis=-1)
    total = area(y, time)
    highest = np.where(missing, np.nan, y.max(axis=-1))
    when = np.where(missing, np.nan, time[np.argmax(y, axis=-1)])
    area_unit = times(unit, "day") if unit else ""
    rows = {
        "peak": (flat, highest, unit, f"peak of {text}"),
        "peak_time": (flat, when, "day", f"time of the peak of {text}"),
        "auc": (flat, total, area_unit, f"area of {text}"),
        "final": (flat, y[..., -1], unit, f"last level of {text}"),
        "running_max": (
            course.dims, np.maximum.accumulate(y, axis=-1), unit, f"running maximum of {text}",
        ),
    }  # fmt: skip
    return xr.Dataset(
        {
            f"{name}_{key}": (dims, values, {"units": u, "long_name": long_name})
            for key, (dims, values, u, long_name) in rows.items()
        },
        coords=course.coords,
    )


def _with_patients(
    out: xr.Dataset,
    terms: Sequence[Term],
    extra: Sequence[str],
    patients: xr.Dataset | None,
    outcomes: dict[str, str],
) -> xr.Dataset:
    needed = [*dict.fromkeys(t.variable for t in terms if not t.of_course), *extra]
    if patients is None:
        if needed:
            raise DataError(
                f"the layer needs the patient-level variable {needed[0]!r}; pass the trial as "
                "patients=."
            )
        return out
    known = [str(v) for v in patients.data_vars if patients[v].dims == ("id",)]
    for name in needed:
        if name not in known:
            raise DataError(
                f"the patients have no variable {name!r}.{did_you_mean(name, known)} "
                f"They have: {', '.join(known)}."
            )
    taken = {n: n for n in needed} | {k: v for k, v in outcomes.items() if k in known}
    columns = {v: ("id", patients[k].values, dict(patients[k].attrs)) for k, v in taken.items()}
    return out.assign(columns)


def _check_grid(out: xr.Dataset, onset: Hazard | None) -> None:
    """Warn where the grid is too coarse for the hazard, at a coefficient of 1."""
    if onset is None:
        return
    for term in onset.terms:
        if not term.in_time:
            continue
        error = refinement_error(out[term.name].values, out["time"].values)
        if error > _TOLERANCE:
            warnings.warn(
                f"onset: on this time grid the integral of {term.variable} may be wrong by "
                f"{error:.0%}; give the courses at more times, such as every quarter of a day.",
                DataWarning,
                stacklevel=4,
            )


def at_median(found: xr.Dataset) -> xr.Dataset:
    """Return predictors without dim sample: the median over draws of each predictor.

    The median is taken of every summary, level and term, not of the courses before
    summarising: the peak of a median course is lower than the median peak.

    Parameters
    ----------
    found : xr.Dataset
        From ``crs.predictors`` of a fit's courses, with dim ``sample``.

    Returns
    -------
    xr.Dataset
        The same variables without dim ``sample``.
    """
    if "sample" not in found.dims:
        return found
    drawn = [v for v in found.data_vars if "sample" in found[v].dims]
    medians = {v: found[v].median("sample", keep_attrs=True) for v in drawn}
    return found.drop_dims("sample").assign(medians).assign_attrs(found.attrs)
