"""Courses of cells and cytokines: from samples, from a fit, from a simulation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd import data
from cart_pkpd._core.errors import DataError
from cart_pkpd._stats.predict import on_grid

if TYPE_CHECKING:
    from cart_pkpd._fit.result import FitResult

Floats = NDArray[np.float64]
_LONGEST_GAP = 1.0  # days before the first node that may be filled with its value


def observed(
    trial: xr.Dataset,
    endpoints: Sequence[str] | str,
    *,
    window: tuple[float, float] = (0.0, 28.0),
    step: float = 0.25,
) -> xr.Dataset:
    """Return measured courses, joined log-linearly: no model, and no uncertainty.

    Parameters
    ----------
    trial : xr.Dataset
        From ``data.read_table``.
    endpoints : sequence of str
        Measures to take.
    window : (float, float)
        First and last day.
    step : float
        Distance of the grid. [day]

    Returns
    -------
    xr.Dataset
        One variable per measure, dims id, time; NaN for a patient with fewer than two samples
        in the window. Unit of the measure.

    Raises
    ------
    DataError
        If the trial has no such measure.

    Notes
    -----
    A record below the LLOQ counts as half of it, one above the ULOQ as the ULOQ, one within an
    interval as its middle. Before the first sample and after the last, the level is held.
    Measured peaks are those of the sampled days, with assay error: a fit of the course is better.
    """
    named = (endpoints,) if isinstance(endpoints, str) else tuple(endpoints)
    grid = _grid(window, step)
    ids = trial["id"].values.astype(str)
    out = xr.Dataset(coords={"id": ids, "time": ("time", grid, {"units": "day"})})
    for name in named:
        records = data.endpoint(trial, name)
        levels, patient = _levels(records), records["patient"].values.astype(str)
        time = records["time"].values.astype(float)
        inside = (time >= window[0]) & (time <= window[1]) & np.isfinite(levels) & (levels > 0)
        rows = [_joined(time, levels, inside & (patient == i), grid) for i in ids]
        attrs = {
            "units": records["dv"].attrs["units"],
            "long_name": records["dv"].attrs["long_name"],
        }
        out[name] = (("id", "time"), np.array(rows), attrs)
    return out.assign_attrs(courses="measured")


def _grid(window: tuple[float, float], step: float) -> Floats:
    start, end = window
    if not (start < end and step > 0):
        raise ValueError(f"window must rise and step be above 0, not {window!r} and {step!r}.")
    return np.linspace(start, end, max(2, round((end - start) / step) + 1))


def _levels(records: xr.Dataset) -> Floats:
    """Return one number per record, whatever its censoring."""
    dv, code = records["dv"].values.astype(float), records["censoring"].values.astype(str)
    lloq, limit = records["lloq"].values.astype(float), records["limit"].values.astype(float)
    below = np.where(np.isfinite(lloq), lloq, dv) / 2.0
    between = (dv + np.where(np.isfinite(limit), limit, 0.0)) / 2.0
    return np.select([code == "left", code == "interval"], [below, between], dv)


def _joined(time: Floats, level: Floats, rows: NDArray[np.bool_], grid: Floats) -> Floats:
    if rows.sum() < 2:
        return np.full(grid.size, np.nan)
    order = np.argsort(time[rows], kind="stable")
    return np.asarray(np.exp(np.interp(grid, time[rows][order], np.log(level[rows][order]))))


def fitted(
    result: FitResult,
    endpoints: Sequence[str] | str | None = None,
    *,
    window: tuple[float, float] = (0.0, 28.0),
    step: float = 0.25,
    n_draws: int = 100,
    seed: int = 1,
) -> xr.Dataset:
    """Return each patient's courses at posterior draws of a fit.

    Parameters
    ----------
    result : FitResult
        From ``fit.bayes``.
    endpoints : sequence of str, optional
        Measures to take; all that were fitted by default.
    window : (float, float)
        First and last day.
    step : float
        Distance of the grid. [day]
    n_draws : int
        Posterior draws, evenly spread over all.
    seed : int
        Of their choice.

    Returns
    -------
    xr.Dataset
        One variable per measure, dims sample, id, time: the noise-free level. Unit of the
        measure.

    Raises
    ------
    FitError
        If a measure was not fitted.
    """
    named = _named(result, endpoints)
    grid, structure = _grid(window, step), result.structure
    stacked = result.individual().stack(sample=("chain", "draw")).transpose("sample", ...)
    total = stacked.sizes["sample"]
    rng = np.random.default_rng(seed)
    picked = np.sort(rng.choice(total, size=min(n_draws, total), replace=False))
    values = {str(k): v.to_numpy()[picked] for k, v in stacked.data_vars.items()}
    out = xr.Dataset(
        coords={"id": structure.design.ids, "time": ("time", grid, {"units": "day"})},
        attrs={"courses": f"posterior draws of {result.label}"},
    )
    for name in named:
        design = structure.design.only(name)
        levels = on_grid(structure.model, design, values, grid, range(design.n_patients), log=False)
        attrs = {"units": design.unit, "long_name": design.label}
        out[name] = (("sample", "id", "time"), levels, attrs)
    return out


def _named(result: FitResult, endpoints: Sequence[str] | str | None) -> tuple[str, ...]:
    if endpoints is None:
        return result.endpoints
    return (endpoints,) if isinstance(endpoints, str) else tuple(endpoints)


def on_window(courses: xr.Dataset, window: tuple[float, float]) -> xr.Dataset:
    """Return courses as dims (sample,) id, time within the window, its ends being nodes.

    Parameters
    ----------
    courses : xr.Dataset
        Levels with dims id, time, and any others, which become ``sample``.
    window : (float, float)
        First and last day. Levels at the ends are interpolated log-linearly; a course that
        begins up to one day after the window is held at its first level.

    Raises
    ------
    DataError
        If ids or times are missing or not in order, or the courses do not span the window.
    """
    found = _stacked(courses)
    time = found["time"].values.astype(float)
    start, end = window
    if time.size < 2 or (np.diff(time) <= 0).any():
        raise DataError("courses: times must rise, and be two or more; sort the courses by time.")
    if time[0] > start + _LONGEST_GAP or time[-1] < end - 1e-9:
        raise DataError(
            f"courses run from day {time[0]:g} to {time[-1]:g}, the layer's window from {start:g} "
            f"to {end:g}; simulate the whole window, or choose another with crs.Layer(window=...)."
        )
    inside = time[(time > start) & (time < end)]
    grid = np.concatenate([[start], inside, [end]])
    return _at(found, time, grid)


def _stacked(courses: xr.Dataset) -> xr.Dataset:
    missing = [d for d in ("id", "time") if d not in courses.dims]
    if missing:
        raise DataError(
            f"courses have no dimension {missing[0]!r} (they have "
            f"{', '.join(str(d) for d in courses.dims)}); give levels with dims id and time."
        )
    others = [d for d in courses.dims if d not in ("id", "time", "sample")]
    levels = courses[[v for v in courses.data_vars if {"id", "time"} <= set(courses[v].dims)]]
    others = [d for d in others if d in levels.dims]
    if others and "sample" in levels.dims:
        raise DataError(
            f"courses have dimensions {others} beside 'sample'; leave one kind of draw."
        )
    if others:
        levels = levels.stack(sample=others).reset_index("sample", drop=True)
        levels = levels.drop_vars([str(d) for d in others], errors="ignore")
    levels = levels.drop_vars([c for c in levels.coords if c not in ("id", "time")])
    ids = levels["id"].values.astype(str)
    if len(set(ids)) < ids.size:
        raise DataError("courses: a patient is there twice; give each id once.")
    return levels.assign_coords(id=ids).transpose("sample", "id", "time", missing_dims="ignore")


def _at(courses: xr.Dataset, time: Floats, grid: Floats) -> xr.Dataset:
    """Return courses on other times, log-linearly (linearly beside a level of 0)."""
    right = np.clip(np.searchsorted(time, grid, side="right"), 1, time.size - 1)
    left = right - 1
    share = np.clip((grid - time[left]) / (time[right] - time[left]), 0.0, 1.0)
    out = xr.Dataset(coords={"id": courses["id"], "time": ("time", grid, {"units": "day"})})
    for name, levels in courses.data_vars.items():
        y = levels.values.astype(float)
        a, b = y[..., left], y[..., right]
        both = (a > 0) & (b > 0)
        log = np.exp(
            (1 - share) * np.log(np.where(both, a, 1.0)) + share * np.log(np.where(both, b, 1.0))
        )
        out[name] = (levels.dims, np.where(both, log, (1 - share) * a + share * b), levels.attrs)
    return out.assign_attrs(courses.attrs)
