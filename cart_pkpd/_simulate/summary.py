"""Quantiles of virtual patients by dose and time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import did_you_mean, shown
from cart_pkpd._simulate.blocks import ABOVE, BELOW
from cart_pkpd._simulate.streams import Floats

PROBS = (0.05, 0.25, 0.5, 0.75, 0.95)
_AT_ONCE = 20_000_000  # numbers read at a time


def summary(patients: xr.Dataset, by: str | None, probs: Sequence[float]) -> xr.Dataset:
    """Return quantiles; see ``simulate.summary``."""
    given = as_patients(patients, "simulate.summary")
    at = _probabilities(probs)
    groups, members, attrs = _groups(given, by)
    dim = by or "group"
    coords: dict[str, Any] = {
        dim: (dim, groups, attrs),
        "quantile": ("quantile", at),
        **{n: given[n] for n in ("endpoint", "unit", "lloq", "uloq") if n in given.coords},
    }
    sizes = [int(m.sum()) for m in members]
    variables: dict[str, Any] = {"n": (dim, np.array(sizes, dtype=np.int64))}
    if "exposure" in given:
        coords |= {n: given[n] for n in ("metric", "exposure_unit")}
        variables["exposure"] = (
            (dim, "quantile", "endpoint", "metric"), _exposure(given, members, at)
        )  # fmt: skip
    if "dv" in given:
        coords["time"] = given["time"]
        variables |= _records(given, members, at, dim)
    about = {"by": dim, **{k: given.attrs[k] for k in ("model", "seed") if k in given.attrs}}
    return xr.Dataset(variables, coords=coords, attrs=about)


def as_patients(value: Any, asking: str) -> xr.Dataset:
    """Return `value` if it holds virtual patients.

    Raises
    ------
    DataError
        For anything else.
    """
    if isinstance(value, xr.Dataset) and "individual" in value and "id" in value.dims:
        return value
    raise DataError(f"{asking}: give what simulate.patients(...) returns, not {shown(value)}.")


def _probabilities(probs: Sequence[float]) -> Floats:
    found = np.atleast_1d(np.asarray(probs, dtype=float))
    if not found.size or not ((found > 0) & (found < 1)).all() or not (np.diff(found) > 0).all():
        raise DataError(f"probs must rise and lie between 0 and 1, not {shown(list(found))}.")
    return found


def _groups(
    patients: xr.Dataset, by: str | None
) -> tuple[NDArray[Any], list[NDArray[np.bool_]], dict[str, Any]]:
    """Return the values of a variable, and who has each."""
    everybody = [np.ones(patients.sizes["id"], dtype=bool)]
    if by is None:
        return np.array(["all"]), everybody, {}
    own = [str(n) for n, v in patients.data_vars.items() if v.dims == ("id",)]
    if by not in own:
        raise DataError(
            f"by: the patients have no variable {by!r}.{did_you_mean(by, own)} They have: "
            f"{', '.join(own)}."
        )
    values = patients[by].to_numpy()
    if values.dtype.kind == "f" and np.isnan(values).all():
        return np.array([np.nan]), everybody, dict(patients[by].attrs)
    kept = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    groups = np.unique(kept)
    attrs = {k: v for k, v in patients[by].attrs.items() if k in ("units", "long_name")}
    return groups, [values == g for g in groups], attrs


def _exposure(patients: xr.Dataset, members: list[NDArray[np.bool_]], at: Floats) -> Floats:
    values = patients["exposure"].to_numpy()
    return np.stack([_quantiles(values[m], at) for m in members])


def _records(
    patients: xr.Dataset, members: list[NDArray[np.bool_]], at: Floats, dim: str
) -> dict[str, Any]:
    """Return quantiles of levels and measurements, shares beyond limits, and counts."""
    t, e = patients.sizes["time"], patients.sizes["endpoint"]
    shape = (len(members), at.size, t, e)
    level, dv = np.full(shape, np.nan), np.full(shape, np.nan)
    below, above, n = (np.full((len(members), t, e), np.nan) for _ in range(3))
    step = max(1, _AT_ONCE // max(1, patients.sizes["id"] * e))
    for first in range(0, t, step):
        part = slice(first, first + step)
        one = patients[["level", "dv", "censored"]].isel(time=part).load()
        code = one["censored"].to_numpy()
        there = code <= ABOVE
        ordered = np.where(code == BELOW, -np.inf, np.where(code == ABOVE, np.inf, one["dv"]))
        ordered = np.where(there, ordered, np.nan)
        for g, who in enumerate(members):
            level[g, :, part] = _quantiles(one["level"].to_numpy()[who], at)
            dv[g, :, part] = _quantiles(ordered[who], at)
            count = there[who].sum(axis=0)
            n[g, part] = count
            with np.errstate(invalid="ignore", divide="ignore"):
                below[g, part] = (code[who] == BELOW).sum(axis=0) / count
                above[g, part] = (code[who] == ABOVE).sum(axis=0) / count
    sides = (dim, "quantile", "time", "endpoint")
    return {
        "level": (sides, level, {"long_name": "Level without residual error"}),
        "dv": (sides, np.where(np.isfinite(dv), dv, np.nan), {
            "long_name": "Measurement", "comment": "NaN where the quantile is beyond a limit"}),
        "below": ((dim, "time", "endpoint"), below, {"units": "1", "long_name": "Below LLOQ"}),
        "above": ((dim, "time", "endpoint"), above, {"units": "1", "long_name": "Above ULOQ"}),
        "n_records": ((dim, "time", "endpoint"), n, {"long_name": "Records"}),
    }  # fmt: skip


def _quantiles(values: Floats, at: Floats) -> Floats:
    """Return quantiles over the first dimension, NaN left out, shape (q, ...).

    Of measurements with infinite ones there is an order, but no mean of two of them.
    """
    flat = np.sort(values.reshape(values.shape[0], -1), axis=0)  # NaN comes last
    count = (~np.isnan(flat)).sum(axis=0)
    place = np.clip(np.ceil(at[:, None] * count).astype(np.int64) - 1, 0, None)
    if not flat.shape[0]:
        return np.full((at.size, *values.shape[1:]), np.nan)
    found = np.take_along_axis(flat, np.minimum(place, flat.shape[0] - 1), axis=0)
    return np.where(count > 0, found, np.nan).reshape(at.size, *values.shape[1:])
