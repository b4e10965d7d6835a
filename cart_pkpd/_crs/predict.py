"""Probabilities and simulated outcomes of patients, from predictors and parameter values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from cart_pkpd._core.errors import DataError, ModelError
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd._crs.arrange import columns, in_time
from cart_pkpd._crs.integral import cumulative, inverse
from cart_pkpd._crs.likelihood import linear, ln_hazard, log_odds
from cart_pkpd._crs.parts import Hazard, Logistic, Part, ProportionalOdds, Quantity, intercepts

Floats = NDArray[np.float64]
_CHUNK = 4_000_000  # numbers worked on at once


@dataclass(frozen=True, eq=False)
class Prediction:
    """Everything predicted of n patients at s draws (one, if nothing is drawn).

    Attributes
    ----------
    any, grade_given, onset, whole : ndarray or None
        P(CRS in the window), shape (s, n); P(grade ≥ k) of the grade part alone, (s, n, k);
        P(onset by day) of the hazard alone, (s, n, days); that of the whole window, (s, n).
    """

    any: Floats | None
    grade_given: Floats | None
    onset: Floats | None
    whole: Floats | None


def part_of[P](parts: Sequence[Part], kind: type[P]) -> P | None:
    """Return the part of a kind, or None."""
    return next((p for p in parts if isinstance(p, kind)), None)


def decider(parts: Sequence[Part]) -> str:
    """Return which part says whether CRS occurs: the first that can, or ``""``."""
    ordinal, hazard = part_of(parts, ProportionalOdds), part_of(parts, Hazard)
    if part_of(parts, Logistic):
        return "occurrence"
    if ordinal and not ordinal.given_crs:
        return "grade"
    return "onset" if hazard and hazard.among == "all" else ""


def values_of(
    values: xr.Dataset | Mapping[str, ArrayLike], quantities: Sequence[Quantity]
) -> tuple[dict[str, Floats], bool]:
    """Return values by name, each of shape (s,), and whether they are draws.

    Raises
    ------
    ModelError
        If a parameter is missing, unknown, or of another length than the others.
    """
    if isinstance(values, xr.Dataset):
        if {"chain", "draw"} <= set(values.dims):
            values = values.stack(sample=("chain", "draw"))
        given: dict[str, Any] = {str(k): v.values for k, v in values.data_vars.items()}
    else:
        given = dict(values)
    names = [q.name for q in quantities]
    for name in given:
        if name not in names:
            raise ModelError(
                f"the layer has no parameter {name!r}.{did_you_mean(name, names)} "
                f"It has: {', '.join(names)}."
            )
    absent = [n for n in names if n not in given]
    if absent:
        raise ModelError(f"no value for {', '.join(absent)}; give one for every parameter.")
    arrays = {n: np.asarray(given[n], dtype=float) for n in names}
    for q in quantities:
        if q.positive and not (arrays[q.name] > 0).all():
            raise ModelError(f"{q.name} must be above 0; it is {arrays[q.name].min():g}.")
    drawn = any(a.ndim for a in arrays.values())
    try:
        (size,) = np.broadcast_shapes((1,), *(a.shape for a in arrays.values()))
    except ValueError as problem:
        raise ModelError("give one value, or equally many draws, of every parameter.") from problem
    return {n: np.broadcast_to(a, (size,)) for n, a in arrays.items()}, drawn


@dataclass(frozen=True, eq=False)
class _Pairing:
    """Which draw of the courses goes with which draw of the parameters."""

    values: dict[str, Floats]
    course: NDArray[np.int64] | None
    size: int
    drawn: bool


def _paired(found: xr.Dataset, values: dict[str, Floats], drawn: bool, seed: int) -> _Pairing:
    """Return draws of parameters and courses side by side.

    Courses and parameters are independent given the data, as both are drawn apart: each draw of
    the parameters meets a course drawn at random.
    """
    size = len(next(iter(values.values())))
    if "sample" not in found.dims:
        return _Pairing(values, None, size, drawn)
    m = found.sizes["sample"]
    if not drawn:
        return _Pairing({k: np.repeat(v, m) for k, v in values.items()}, np.arange(m), m, True)
    return _Pairing(values, np.random.default_rng(seed).integers(m, size=size), size, True)


def _chunks(pairing: _Pairing, each: int) -> Iterator[tuple[slice, dict[str, Floats]]]:
    step = max(1, _CHUNK // max(each, 1))
    for i in range(0, pairing.size, step):
        rows = slice(i, i + step)
        yield rows, {k: v[rows] for k, v in pairing.values.items()}


def _draws_of(x: Floats, pairing: _Pairing, rows: slice, axes: int) -> Floats:
    """Return the terms of some draws; terms that are not drawn are common to all."""
    return x if x.ndim == axes + 1 or pairing.course is None else x[pairing.course[rows]]


def predict(
    found: xr.Dataset, parts: Sequence[Part], pairing: _Pairing, days: Floats
) -> Prediction:
    """Return what each part predicts."""
    logistic, ordinal = part_of(parts, Logistic), part_of(parts, ProportionalOdds)
    hazard = part_of(parts, Hazard)
    any_ = _occurrence(found, logistic, pairing) if logistic else None
    graded = _grades(found, ordinal, pairing) if ordinal else None
    onset, whole = _onsets(found, hazard, pairing, days) if hazard else (None, None)
    match decider(parts):
        case "grade":
            assert graded is not None
            any_ = graded[..., 0]
        case "onset":
            any_ = whole
    return Prediction(any_, graded, onset, whole)


def _occurrence(found: xr.Dataset, part: Logistic, pairing: _Pairing) -> Floats:
    x = columns(found, part.terms)
    everyone = slice(0, pairing.size)
    eta = log_odds(part, pairing.values, _draws_of(x, pairing, everyone, 1))
    return np.asarray(expit(np.broadcast_to(eta, (pairing.size, found.sizes["id"]))))


def _grades(found: xr.Dataset, part: ProportionalOdds, pairing: _Pairing) -> Floats:
    x = _draws_of(columns(found, part.terms), pairing, slice(0, pairing.size), 1)
    eta = np.broadcast_to(linear(part, pairing.values, x, 1), (pairing.size, found.sizes["id"]))
    return np.asarray(expit(intercepts(part, pairing.values)[:, None, :] + eta[..., None]))


def _onsets(
    found: xr.Dataset, part: Hazard, pairing: _Pairing, days: Floats
) -> tuple[Floats, Floats]:
    """Return P(onset by day) and P(onset in the window) of the hazard alone."""
    time, x = _with_days(found, part, days)
    at = np.searchsorted(time, days)
    n = found.sizes["id"]
    by_day, whole = np.empty((pairing.size, n, days.size)), np.empty((pairing.size, n))
    for rows, values in _chunks(pairing, n * time.size):
        eta = ln_hazard(part, values, _draws_of(x, pairing, rows, 2))
        reached = -np.expm1(-cumulative(eta, time))
        by_day[rows], whole[rows] = reached[..., at], reached[..., -1]
    return by_day, whole


def _with_days(found: xr.Dataset, part: Hazard, days: Floats) -> tuple[Floats, Floats]:
    """Return the time grid with the days as nodes, and the terms on it."""
    grid, x = found["time"].values.astype(float), in_time(found, part.terms)
    time = np.union1d(grid, days)
    right = np.clip(np.searchsorted(grid, time, side="left"), 1, grid.size - 1)
    share = ((time - grid[right - 1]) / (grid[right] - grid[right - 1]))[:, None]
    return time, x[..., right - 1, :] * (1 - share) + x[..., right, :] * share


def days_of(days: ArrayLike | None, window: tuple[float, float]) -> Floats:
    """Return the days asked for, by default each of the window.

    Raises
    ------
    DataError
        If one lies outside the window, or they do not rise.
    """
    start, end = window
    if days is None:
        return np.unique(np.append(np.arange(start, end), end))
    found = np.atleast_1d(np.asarray(days, dtype=float))
    if not (np.isfinite(found).all() and (found >= start).all() and (found <= end).all()):
        raise DataError(f"days must lie in the window from day {start:g} to {end:g}.")
    if (np.diff(found) <= 0).any():
        raise DataError("days must rise.")
    return found


def probabilities(
    found: xr.Dataset,
    parts: Sequence[Part],
    quantities: Sequence[Quantity],
    values: xr.Dataset | Mapping[str, ArrayLike],
    days: Floats,
    seed: int,
) -> xr.Dataset:
    """Return the probabilities that the parts imply together; see ``Layer.probabilities``."""
    given, drawn = values_of(values, quantities)
    pairing = _paired(found, given, drawn, seed)
    p = predict(found, parts, pairing, days)
    ordinal, hazard = part_of(parts, ProportionalOdds), part_of(parts, Hazard)
    who = decider(parts)
    rows: dict[str, tuple[tuple[str, ...], Floats, str]] = {}
    if p.any is not None:
        rows["p_any"] = (("sample", "id"), p.any, "P(CRS in the window)")
    coords: dict[str, Any] = {"id": found["id"].values}
    if ordinal is not None and p.grade_given is not None:
        rows |= _grade_rows(ordinal, p.grade_given, p.any)
        coords |= _grade_coords(ordinal, p.any is not None)
    if hazard is not None and p.onset is not None and p.whole is not None:
        rows |= _onset_rows(p, who)
        coords["day"] = ("day", days, {"units": "day"})
    out = xr.Dataset(
        {k: (dims, v, {"units": "1", "long_name": text}) for k, (dims, v, text) in rows.items()},
        coords=coords,
        attrs={"whether": who},
    )
    return out if pairing.drawn else out.isel(sample=0)


def _grade_rows(
    part: ProportionalOdds, given: Floats, any_: Floats | None
) -> dict[str, tuple[tuple[str, ...], Floats, str]]:
    if not part.given_crs:
        return {"p_at_least": (("sample", "id", "grade"), given, "P(grade of at least)")}
    rows: dict[str, tuple[tuple[str, ...], Floats, str]] = {
        "p_at_least_given_crs": (
            ("sample", "id", "grade_given_crs"), given, "P(grade of at least | CRS)"
        )
    }  # fmt: skip
    if any_ is not None:
        joint = any_[..., None] * np.concatenate([np.ones((*given.shape[:-1], 1)), given], axis=-1)
        rows["p_at_least"] = (("sample", "id", "grade"), joint, "P(grade of at least)")
    return rows


def _grade_coords(part: ProportionalOdds, known: bool) -> dict[str, Any]:
    if not part.given_crs:
        return {"grade": list(part.thresholds)}
    coords: dict[str, Any] = {"grade_given_crs": list(part.thresholds)}
    return coords | ({"grade": list(part.levels)} if known else {})


def _onset_rows(p: Prediction, who: str) -> dict[str, tuple[tuple[str, ...], Floats, str]]:
    assert p.onset is not None
    assert p.whole is not None
    dims = ("sample", "id", "day")
    if who == "onset":
        return {"p_onset": (dims, p.onset, "P(onset of CRS by day)")}
    with np.errstate(invalid="ignore", divide="ignore"):
        share = p.onset / p.whole[..., None]
    if p.any is None:
        return {"p_onset_given_crs": (dims, share, "P(onset by day | CRS in the window)")}
    return {
        "p_onset": (dims, p.any[..., None] * share, "P(onset of CRS by day)"),
        "p_any_by_hazard": (dims[:2], p.whole, "P(CRS in the window) by the hazard alone"),
    }


def simulate(
    found: xr.Dataset,
    parts: Sequence[Part],
    quantities: Sequence[Quantity],
    values: xr.Dataset | Mapping[str, ArrayLike],
    seed: int,
) -> xr.Dataset:
    """Return simulated outcomes; see ``Layer.simulate``."""
    rng = np.random.default_rng(seed)
    given, drawn = values_of(values, quantities)
    pairing = _paired(found, given, drawn, seed)
    end = np.array([float(found["time"].values[-1])])
    p = predict(found, parts, pairing, end)
    ordinal, hazard = part_of(parts, ProportionalOdds), part_of(parts, Hazard)
    shape = (pairing.size, found.sizes["id"])
    who, u = decider(parts), rng.uniform(size=(3, *shape))
    crs = (
        np.full(shape, np.nan) if p.any is None else np.where(np.isnan(p.any), np.nan, u[0] < p.any)
    )
    out: dict[str, Any] = {}
    if p.any is not None:
        out["crs"] = (("sample", "id"), crs, {"units": "1", "long_name": "CRS in the window"})
    had = (crs == 1) if p.any is not None else np.ones(shape, dtype=bool)
    if ordinal is not None and p.grade_given is not None:
        # the grade of u: with levels from 0 the same u decides whether, so that both agree
        pick = u[0] if who == "grade" else u[1]
        grade = ordinal.levels[0] + (pick[..., None] < p.grade_given).sum(axis=-1).astype(float)
        grade = np.where(had, grade, np.where(np.isnan(crs), np.nan, 0.0))
        grade[np.isnan(p.grade_given).any(axis=-1)] = np.nan
        out["crs_grade"] = (("sample", "id"), grade, {"units": "1", "long_name": "CRS grade"})
    if hazard is not None and p.whole is not None:
        # the hazard's own decision is u0 < 1 − e^−H: its u0 is that of the day too
        share = u[0] if who == "onset" else u[2] * p.whole
        day = _days(found, hazard, pairing, -np.log1p(-share))
        attrs = {"units": "day", "long_name": "day of onset of CRS"}
        out["crs_day"] = (("sample", "id"), np.where(had, day, np.nan), attrs)
    made = xr.Dataset(out, coords={"id": found["id"].values}, attrs={"whether": who, "seed": seed})
    return made if pairing.drawn else made.isel(sample=0)


def _days(found: xr.Dataset, part: Hazard, pairing: _Pairing, target: Floats) -> Floats:
    grid, x = found["time"].values.astype(float), in_time(found, part.terms)
    n, out = found.sizes["id"], np.empty(target.shape)
    for rows, values in _chunks(pairing, n * grid.size):
        eta = ln_hazard(part, values, _draws_of(x, pairing, rows, 2))
        chosen = target[rows]
        eta = np.broadcast_to(eta, (*chosen.shape, grid.size)).reshape(-1, grid.size)
        time = np.broadcast_to(grid, eta.shape)
        out[rows] = inverse(eta, time, chosen.ravel()).reshape(chosen.shape)
    return out
