"""What the analysis made of each profile, in the form that a picture of it needs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import did_you_mean, positive_int
from cart_pkpd._nca import trial as source
from cart_pkpd._nca.areas import Curve
from cart_pkpd._nca.compute import Plan, plan
from cart_pkpd._nca.exposure import RULE_TEXTS, tail_rule
from cart_pkpd._nca.reasons import Why
from cart_pkpd._nca.registry import Window, window_name
from cart_pkpd._nca.rules import Rules
from cart_pkpd._nca.source import blocks
from cart_pkpd._nca.work import Work

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Line = tuple[Floats, Floats]

_FINE = 25  # points of a drawn segment: a straight one is curved on a log axis, and vice versa
_CHECKED = ("cmax", "tmax", "auc")


@dataclass(frozen=True)
class Fit:
    """The terminal line.

    Attributes
    ----------
    start, end : float
        Window. [day]
    points : ndarray of bool, shape (samples,)
        Samples behind the line.
    line : (ndarray, ndarray)
        Its ends. [day], [any]
    n : int
    adj_r_squared, half_life : float
        [1], [day]
    """

    start: float
    end: float
    points: Bools
    line: Line
    n: int
    adj_r_squared: float
    half_life: float


@dataclass(frozen=True)
class Course:
    """One patient's profile after one infusion, and what was made of it.

    Attributes
    ----------
    patient : str
    time, level, lloq : ndarray, shape (samples,)
        Since the infusion [day]; level, 0 where BLQ; LLOQ, NaN where unknown.
    quantified, outside : ndarray of bool, shape (samples,)
        At or above the LLOQ; before the infusion, or after the next one.
    peak : (float, float)
        Tmax and Cmax; NaN without a quantifiable sample. [day], [any]
    measured, beyond : (ndarray, ndarray)
        The curve over the window up to Tlast, and what the tail rule put after it.
    area, beyond_percent : float
        Area of the window [any × day] and the share of it beyond Tlast. [%]
    completed : str
        How the window was completed; empty without an area.
    fit : Fit or None
    missing : dict of str to str
        Why ``"profile"``, ``"area"`` or ``"half_life"`` is missing.
    """

    patient: str
    time: Floats
    level: Floats
    lloq: Floats
    quantified: Bools
    outside: Bools
    peak: tuple[float, float]
    measured: Line
    beyond: Line
    area: float
    beyond_percent: float
    completed: str
    fit: Fit | None
    missing: Mapping[str, str]


@dataclass(frozen=True)
class Analysis:
    """The analysis behind a table of parameters: one endpoint, one infusion."""

    params: xr.Dataset
    endpoint: str
    infusion: int
    window: Window
    rules: Rules


def analysis(
    params: xr.Dataset, endpoint: str | None, infusion: int | None, window: Window | None
) -> Analysis:
    """Return which analysis a table is about, one endpoint and infusion of it chosen.

    Raises
    ------
    DataError
        If the table holds several of them and none is named, or not the one that is named.
    """
    if "rules" not in params.attrs:
        raise DataError("these are not the parameters of nca.table: the table carries no rules.")
    one = _selected(_selected(params, "endpoint", endpoint), "infusion", infusion)
    name = str(one["endpoint"].item()) if "endpoint" in one.coords else one.attrs["endpoint"]
    if endpoint not in (None, name):
        raise DataError(f"the table is about endpoint {name!r}, not {endpoint!r}.")
    number = int(one["infusion"].item()) if "infusion" in one.coords else infusion or 1
    chosen = _window(one) if window is None else (float(window[0]), float(window[1]))
    rules = Rules.from_dict(json.loads(params.attrs["rules"]))
    return Analysis(one, str(name), positive_int(number, "infusion"), chosen, rules)


def _selected(params: xr.Dataset, dim: str, value: str | int | None) -> xr.Dataset:
    if dim not in params.dims:
        return params
    known = params[dim].values.tolist()
    if value is None and len(known) > 1:
        listed = ", ".join(map(str, known))
        raise DataError(f"the table holds several values of {dim} ({listed}): choose one.")
    if value is not None and value not in known:
        listed = ", ".join(map(str, known))
        raise DataError(f"the table holds no {dim} {value!r}. Known: {listed}.")
    return params.sel({dim: known[0] if value is None else value})


def _window(params: xr.Dataset) -> Window:
    """Return the first window whose area the table holds; days 0 to 28 without any."""
    for variable in params.data_vars.values():
        window = variable.attrs.get("window")
        if window is not None and variable.name == f"auc{window_name(tuple(window))}":
            return (float(window[0]), float(window[1]))
    return (0.0, 28.0)


def courses(
    trial: xr.Dataset, about: Analysis, patients: Sequence[str] | None = None
) -> list[Course]:
    """Return the profiles of the patients named, or of all, as the analysis saw them.

    Raises
    ------
    DataError
        If a patient is unknown, or the table does not belong to this trial.
    """
    ids = trial["id"].values.astype(str)
    for patient in patients or ():
        if patient not in ids:
            raise DataError(f"the trial has no patient {patient!r}.{did_you_mean(patient, ids)}")
    todo = plan(about.rules, about.window, None)
    starts = source.infusions(trial, ids, about.rules.course_gap)
    place = about.infusion - 1
    start = starts[place] if place < len(starts) else source.no_course(ids.size)
    samples = source.samples_of(trial, about.endpoint, start, about.rules, todo.book)
    found: dict[str, Course] = {}
    with np.errstate(all="ignore"):
        for members, block in blocks(samples, about.rules):
            work = Work(block, about.rules, todo.known)
            for column, who in enumerate(ids[members].tolist()):
                if patients is None or who in patients:
                    found[who] = _course(work, column, who, about.window, todo)
    made = [found[who] for who in (ids.tolist() if patients is None else patients)]
    for course in made:
        _check(about, course)
    return made


def _check(about: Analysis, course: Course) -> None:
    """Refuse a table that was computed from other data: its numbers would belie the picture."""
    params = about.params
    if course.patient not in params["id"].values:
        raise DataError(f"the table of parameters has no patient {course.patient!r}.")
    row = params.sel(id=course.patient)
    drawn = dict(zip(_CHECKED, (course.peak[1], course.peak[0], course.area), strict=True))
    drawn[f"auc{window_name(about.window)}"] = drawn.pop("auc")
    if math.isnan(course.peak[0]):
        del drawn["cmax"]  # 0 in the table: there is no peak to draw
    for name, value in drawn.items():
        if name in row and not np.isclose(float(row[name]), value, rtol=1e-9, equal_nan=True):
            raise DataError(
                f"{name} of patient {course.patient!r} is {float(row[name]):g} in the table of "
                f"parameters but {value:g} in this trial (infusion {about.infusion}): pass the "
                "trial that the table was computed from, and the same infusion."
            )


def _course(work: Work, column: int, patient: str, window: Window, todo: Plan) -> Course:
    block = work.block
    real = np.flatnonzero(~np.isnan(block.time[:, column]))
    seen = block.quantified[real, column]
    area = work[f"auc{window_name(window)}"]
    share = work[f"auc{window_name(window)}_pext"].value[column]
    rate = work["lambda_z"].why[column]
    whys = {
        "profile": work.usable[column], "area": area.why[column], "half_life": rate,
    }  # fmt: skip
    row = int(work.peak[column])
    there = area.why[column] == 0
    measured, beyond = _window_lines(work, column, window) if there else (_none(), _none())
    return Course(
        patient=patient,
        time=block.time[real, column],
        level=block.level[real, column],
        lloq=block.lloq[real, column],
        quantified=seen,
        outside=~block.present[real, column],
        peak=(float(work.tmax[column]), float(block.level[row, column]) if row >= 0 else math.nan),
        measured=measured,
        beyond=beyond,
        area=float(area.value[column]),
        beyond_percent=float(np.nan_to_num(share)),
        completed=RULE_TEXTS[int(tail_rule(work, window)[column])],
        fit=_fit(work, column, real) if rate == 0 else None,
        missing={k: todo.book.texts[int(why)] for k, why in whys.items() if why != Why.OK},
    )


def _none() -> Line:
    return np.array([]), np.array([])


def _fit(work: Work, column: int, real: NDArray[np.int64]) -> Fit:
    fit, block = work.terminal, work.block
    start, end = float(fit.start[column]), float(fit.end[column])
    time = block.time[real, column]
    used = work.seen[real, column] & (time >= start) & (time <= end)
    if block.excluded is not None:
        used &= ~block.excluded[real, column]
    if block.included is not None and block.chosen[column]:
        used &= block.included[real, column]
    at = np.linspace(start, end, _FINE)
    rate, centre = float(fit.lambda_z[column]), float(fit.mean_x[column])
    return Fit(
        start, end, used, (at, np.exp(float(fit.mean_y[column]) - rate * (at - centre))),
        int(fit.n[column]), float(fit.adj_r_squared[column]), math.log(2) / rate,
    )  # fmt: skip


def _window_lines(work: Work, column: int, window: Window) -> tuple[Line, Line]:
    """Return the curve in a window up to Tlast, and the tail rule's line after it."""
    curve = work.curve
    end = min(window[1], float(work.block.horizon[column]))
    tlast = float(curve.tlast[column])
    measured = _trace(curve, column, window[0], min(end, tlast))
    if end <= tlast or curve.last[column] < 0:
        return measured, _none()
    return measured, _tail(work, column, max(window[0], tlast), end)


def _trace(curve: Curve, column: int, low: float, high: float) -> Line:
    """Return the curve between two times by its own segments, linear or logarithmic."""
    x, y = curve.x[: curve.n[column], column], curve.y[: curve.n[column], column]
    parts: list[Line] = []
    for i in range(x.size - 1):
        first, last = max(low, float(x[i])), min(high, float(x[i + 1]))
        if last <= first:
            continue
        at = np.linspace(first, last, _FINE)
        share = (at - x[i]) / (x[i + 1] - x[i])
        level: Floats = y[i] + share * (y[i + 1] - y[i])
        if curve.curved[i, column]:
            level = y[i] * np.exp(share * np.log(y[i + 1] / y[i]))
        parts.append((at, level))
    if not parts:
        return _none()
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def _tail(work: Work, column: int, low: float, high: float) -> Line:
    """Return what the tail rule puts between two times after Tlast."""
    curve, rule = work.curve, work.rules.tail
    tlast, lost = float(curve.tlast[column]), float(curve.lost[column])
    level = float(curve.clast[column])
    stop = high if math.isnan(lost) else min(high, lost)
    if rule == "zero" or stop <= low or (rule == "triangle" and math.isnan(lost)):
        return _none()
    at = np.linspace(low, stop, 2 * _FINE)
    if rule == "triangle":
        return at, level * (lost - at) / (lost - tlast)
    if rule == "exponential-predicted":
        level = float(work.terminal.predict(curve.tlast)[column])
    return at, level * np.exp(-float(work["lambda_z"].value[column]) * (at - tlast))
