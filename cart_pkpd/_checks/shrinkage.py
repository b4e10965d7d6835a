"""How far patients' estimates are drawn to the population's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import special

from cart_pkpd._fit.draws import patient_means

if TYPE_CHECKING:
    from cart_pkpd._fit.result import FitResult


def shrinkage(result: FitResult) -> xr.Dataset:
    """Return eta-shrinkage of every varying parameter: 1 − sd(posterior mean eta) / omega.

    Parameters
    ----------
    result : FitResult
        From ``fit.bayes``.

    Returns
    -------
    xr.Dataset
        Dim parameter (those that vary between patients, and deviations on occasions, of the
        patients who had them): ``shrinkage``, from standard deviations (Savic & Karlsson 2009,
        AAPS J 11:558, use the same form), with omega at its posterior median.
    """
    structure = result.structure
    names = structure.random.names
    draws = result.draws()
    eta = [_mean_eta(result, n)[a] for n, a in zip(names, structure.acts.T, strict=True)]
    scatter = [float(np.std(e, ddof=1)) if e.size > 1 else np.nan for e in eta]
    omega = [float(draws[sd].median()) for sd in structure.random.sds]
    values = [1.0 - s / o for s, o in zip(scatter, omega, strict=True)]
    return xr.Dataset(
        {"shrinkage": ("parameter", np.array(values), {"units": "1"})},
        coords={"parameter": np.array(names, dtype=str)},
    )


def eta_draws(result: FitResult, name: str) -> xr.DataArray:
    """Return each patient's deviation from where their group is centred, dims chain, draw, id."""
    structure = result.structure
    parameter = structure.model.parameters[name]
    draws = result.draws()
    free = parameter.to_free(result.individual()[name].drop_vars("id", errors="ignore"))
    eta = free - patient_means(structure, name, draws)
    if name == structure.population.non_expanders:
        eta = eta + share_low(eta, draws, name) * draws["non_expander_shift"]
    return eta


def _mean_eta(result: FitResult, name: str) -> NDArray[np.float64]:
    """Return each patient's posterior mean deviation."""
    return np.asarray(eta_draws(result, name).mean(("chain", "draw")), dtype=float)


def share_low(eta: xr.DataArray, draws: xr.Dataset, name: str) -> xr.DataArray:
    """Return, per draw, the probability that a patient with this deviation is a non-expander."""
    omega, shift = draws[f"omega_{name}"], draws["non_expander_shift"]
    share = draws["p_non_expander"]
    # ln odds of the lower normal against the upper one.
    odds = np.log(share / (1 - share)) - 0.5 * (((eta + shift) / omega) ** 2 - (eta / omega) ** 2)
    return xr.apply_ufunc(special.expit, odds)
