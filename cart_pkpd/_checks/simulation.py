"""Trials simulated from a fit: new patients, and measurements with their limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._checks.common import picked_draws, stacked
from cart_pkpd._fit.draws import new_patient_draws, residual_draws
from cart_pkpd._stats.design import ABOVE, BELOW, Design
from cart_pkpd._stats.population import Structure
from cart_pkpd._stats.predict import predict

if TYPE_CHECKING:
    from cart_pkpd._fit.result import FitResult


def simulated_trials(
    result: FitResult, design: Design, n_sims: int, seed: int
) -> NDArray[np.float64]:
    """Return measurements of simulated trials before any censoring, shape (n_sims, n).

    Every trial takes one posterior draw and draws new patients with the covariates, doses and
    times of the real ones, then residual errors.

    Parameters
    ----------
    result : FitResult
        A Bayesian fit.
    design : Design
        Records of one endpoint.
    n_sims : int
        Simulated trials.
    seed : int
        Source of randomness.
    """
    draws = stacked(result.draws(), picked_draws(result, n_sims, seed))
    return measurements(result.structure, design, draws, np.random.default_rng(seed))


def measurements(
    structure: Structure, design: Design, quantities: xr.Dataset, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return measurements of new patients and trials before any censoring, shape (s, n).

    Parameters
    ----------
    structure : Structure
        Model and population.
    design : Design
        Records of one endpoint.
    quantities : xr.Dataset
        Population quantities, dim sample: one value per trial.
    rng : numpy.random.Generator
        Source of randomness.
    """
    m = structure.design.index(design.endpoint)
    error = structure.errors[m]
    patients = new_patient_draws(structure, quantities, rng)
    f = predict(structure.model, design, patients, log=(error.on_log,))
    sigmas = structure.sigmas(residual_draws(structure, quantities))[m]
    on_scale = error.drawn(rng.uniform(size=f.shape), f, sigmas)
    return np.exp(on_scale) if error.on_log else on_scale


def limits(design: Design) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the limits of quantification of every record, NaN if none; a censored record's own."""
    return (
        np.where(design.code == BELOW, design.dv, design.lloq),
        np.where(design.code == ABOVE, design.dv, design.uloq),
    )


def ordered(
    dv: NDArray[np.float64], below: NDArray[np.bool_], above: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return `dv` with −inf below the LLOQ and +inf above the ULOQ: order without values."""
    return np.where(below, -np.inf, np.where(above, np.inf, dv))
