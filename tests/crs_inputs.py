"""Courses and patients for tests of cytokine release syndrome."""

import numpy as np
import xarray as xr

QUICK = {"draws": 300, "tune": 300, "chains": 2, "cores": 1, "seed": 3}


def courses_of(levels, time, unit="pg/mL", name="il6"):
    """Courses from an array (id, time) or (sample, id, time)."""
    levels = np.asarray(levels, dtype=float)
    dims = ("sample", "id", "time")[-levels.ndim :]
    ids = [f"p{i + 1}" for i in range(levels.shape[-2])]
    return xr.Dataset(
        {name: (dims, levels, {"units": unit})}, coords={"id": ids, "time": np.asarray(time)}
    )


def patients_of(grade, day=None, **covariates):
    ids = [f"p{i + 1}" for i in range(len(grade))]
    columns = {"crs_grade": grade, "crs_day": np.full(len(grade), np.nan) if day is None else day}
    return xr.Dataset(
        {k: ("id", np.asarray(v)) for k, v in (columns | covariates).items()}, coords={"id": ids}
    )


def flat(n, level=100.0, end=28.0):
    """Courses that do not move, on a coarse grid."""
    return courses_of(np.full((n, 6), level), np.linspace(0, end, 6))


def exponential(rate, n=1):
    """IL-6 from 100 pg/mL at rate per day, and the layer with its hazard."""
    time = np.linspace(0, 28, 29)
    return courses_of(np.tile(100 * np.exp(rate * time), (n, 1)), time)
