"""How well fits predict the exposure of new patients: Cmax and the area against NCA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._checks.common import interval_edges
from cart_pkpd._checks.predictive_exposure import N_SIMS as N_SIMS
from cart_pkpd._checks.predictive_exposure import analysed, censored, measured, parameters_of
from cart_pkpd._checks.simulation import simulated_trials
from cart_pkpd._core.errors import CartError

if TYPE_CHECKING:
    from cart_pkpd._fit.fitted import PopulationFit

MEASURES = ("error", "rmse", "coverage")
PROB = 0.9

type Array = NDArray[np.float64]


def columns(
    fits: Mapping[str, PopulationFit],
    *,
    endpoint: str | None,
    window: tuple[float, float],
    n_sims: int,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Return the predictive errors of every fit, NaN with the reason where there are none."""
    out = {}
    for name, fit in fits.items():
        try:
            found = of_fit(fit, endpoint=endpoint, window=window, n_sims=n_sims, seed=seed)
            out[name] = as_columns(found)
        except (CartError, ArithmeticError, np.linalg.LinAlgError) as problem:
            out[name] = {"exposure_note": f"no exposure: {problem}"}
    return out


def of_fit(
    fit: PopulationFit,
    *,
    endpoint: str | None,
    window: tuple[float, float],
    n_sims: int,
    seed: int,
) -> xr.Dataset:
    """Return Cmax and area of every patient, measured and predicted of a new patient like it.

    Each simulated trial takes a draw of the population and draws new patients with the doses,
    covariates, sampling times and limits of the real ones, then measurements; real and simulated
    profiles go through the same NCA.

    Returns
    -------
    xr.Dataset
        Dims id, parameter: ``observed``, ``predicted`` (median of the new patients with a
        positive value), ``lower``, ``upper`` (90 % of all new patients).
    """
    design = fit.structure.design
    design = design.only(endpoint or design.endpoints[0])
    names = parameters_of(window, design.unit)
    simulated: Any = simulated_trials(fit, design, n_sims, seed)  # type: ignore[arg-type]
    own = analysed(design, *measured(design), names, window, {})[0]
    others = analysed(design, *censored(design, simulated), names, window, {})
    sampled = np.isin(np.arange(design.n_patients), design.patient)
    own = np.where(sampled[:, None], own, np.nan)
    lower, upper = _quantiles(others, interval_edges(PROB)[1:])
    positive = _quantiles(np.where(others > 0, others, np.nan), np.array([0.5]))[0]
    each = ("id", "parameter")
    return xr.Dataset(
        {
            "observed": (each, own), "predicted": (each, positive),
            "lower": (each, lower), "upper": (each, upper),
        },
        coords={"id": design.ids, "parameter": list(names)},
        attrs={"endpoint": design.endpoint},
    )  # fmt: skip


def _quantiles(values: Array, edges: Array) -> Array:
    """Return quantiles over trials, shape (edges, k, parameters); NaN where nothing is known."""
    known = np.isfinite(values).any(axis=0)
    found = np.nanquantile(np.where(known, values, 0.0), edges, axis=0)
    return np.where(known, found, np.nan)


def as_columns(found: xr.Dataset) -> dict[str, Any]:
    """Return median error [%], RMSE [ln units] and coverage of the 90 % interval by parameter."""
    out: dict[str, Any] = {}
    for name in found["parameter"].to_numpy():
        one = found.sel(parameter=name)
        observed, predicted = one["observed"].to_numpy(), one["predicted"].to_numpy()
        known = (observed > 0) & (predicted > 0)
        ln = np.log(np.where(known, predicted, 1.0) / np.where(known, observed, 1.0))[known]
        numbers = {
            "error": 100.0 * float(np.expm1(np.median(ln))) if ln.size else np.nan,
            "rmse": float(np.sqrt(np.mean(ln**2))) if ln.size else np.nan,
            "coverage": _coverage(one),
        }
        out |= {f"{name}_{measure}": numbers[measure] for measure in MEASURES}
        without = int((np.isfinite(observed) & ~known).sum())
        if without:
            said = f"{name}: {without} of {observed.size} patients without a positive value"
            out["exposure_note"] = "; ".join(filter(None, [out.get("exposure_note"), said]))
    return out


def _coverage(one: xr.Dataset) -> float:
    known = one["observed"].notnull() & one["lower"].notnull()
    inside = (one["observed"] >= one["lower"]) & (one["observed"] <= one["upper"])
    return float(inside.where(known).mean())
