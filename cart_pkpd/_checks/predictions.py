"""Fitted curves of every patient and of the population."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._checks.common import (
    as_values,
    attrs,
    coords,
    given,
    interval_edges,
    level_of_records,
    picked_draws,
    records,
    stacked,
    typical_draws,
)
from cart_pkpd._core.validate import positive_int
from cart_pkpd._stats.design import Design
from cart_pkpd._stats.predict import on_grid

if TYPE_CHECKING:
    from cart_pkpd._fit.result import FitResult

_EARLY = 35.0


def predictions(
    result: FitResult,
    *,
    endpoint: str | None = None,
    prob: float = 0.9,
    n_grid: int = 120,
    n_draws: int = 400,
    seed: int = 1,
) -> xr.Dataset:
    """Return every patient's fitted curve with its interval, and the population's.

    Parameters
    ----------
    result : FitResult
        A Bayesian fit.
    endpoint : str, optional
        The measure; needed only if the fit has several.
    prob : float
        Probability of the equal-tailed intervals.
    n_grid : int
        Number of times from 0 to the trial's last record, two thirds of them before day 35.
    n_draws : int
        Posterior draws used, taken at random.
    seed : int
        Of that choice.

    Returns
    -------
    xr.Dataset
        Dims id, grid, obs. ``median``, ``lower``, ``upper`` (id, grid): noise-free level of each
        patient; ``typical``, ``typical_lower``, ``typical_upper`` (id, grid): a typical expander
        with the patient's own doses and occasions; ``population``, ``population_lower``,
        ``population_upper`` (grid): the same with those of the patient whose total dose is the
        median; per record
        ``dv``, ``censoring``, ``lloq``, ``ipred`` (posterior median of the patient's level) and
        ``pred`` (of a patient with the same covariates and no deviation). Units of the endpoint.
        Dims dosing, event: the doses and other events of these patients, as in the trial.

    Raises
    ------
    FitError
        If the fit has several endpoints and none is named.
    """
    edges = interval_edges(prob)
    structure = result.structure
    model, design = structure.model, structure.design.only(endpoint)
    grid = _grid(float(design.time.max()) * 1.02, positive_int(n_grid, "n_grid"))
    picked = picked_draws(result, n_draws, seed)
    individual = as_values(stacked(result.individual(), picked))
    curves = on_grid(model, design, individual, grid, range(design.n_patients), log=False)
    typical = {k: v[:, None] for k, v in typical_draws(result, picked).items()}
    own = on_grid(model, design, typical, grid, range(design.n_patients), log=False)
    middle, lower, upper = np.quantile(curves, edges, axis=0)
    t_middle, t_lower, t_upper = np.quantile(own, edges, axis=0)
    at = _median_dose(design)
    ipred, pred = level_of_records(result, design, picked)
    happened, when = given(design)
    level = {"units": design.unit, "long_name": design.label}
    return xr.Dataset(
        {
            "median": (("id", "grid"), middle, level),
            "lower": (("id", "grid"), lower, level),
            "upper": (("id", "grid"), upper, level),
            "typical": (("id", "grid"), t_middle, level),
            "typical_lower": (("id", "grid"), t_lower, level),
            "typical_upper": (("id", "grid"), t_upper, level),
            "population": ("grid", t_middle[at], level),
            "population_lower": ("grid", t_lower[at], level),
            "population_upper": ("grid", t_upper[at], level),
            **records(design),
            "ipred": ("obs", ipred, {**level, "long_name": "individual prediction"}),
            "pred": ("obs", pred, {**level, "long_name": "population prediction"}),
            **happened,
        },
        coords={**coords(design), **when, "grid_time": ("grid", grid, {"units": "day"})},
        attrs={**attrs(result, design), "prob": prob},
    )


def _median_dose(design: Design) -> int:
    """Return the patient whose total dose is the median, or the first if no dose is known."""
    total = np.zeros(design.n_patients)
    np.add.at(total, design.dose_patient, np.nan_to_num(design.dose_amount))
    return int(np.argsort(total, kind="stable")[(total.size - 1) // 2])


def _grid(end: float, n: int) -> NDArray[np.float64]:
    """Return `n` times from 0 to `end` [day], dense where cells expand and contract."""
    if end <= _EARLY:
        return np.linspace(0.0, end, n)
    early = max(2, 2 * n // 3)
    late = np.linspace(np.log(_EARLY), np.log(end), n - early + 1)[1:]
    return np.concatenate([np.linspace(0.0, _EARLY, early), np.exp(late)])
