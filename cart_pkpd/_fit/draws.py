"""From sampled variables back to named quantities and individual parameters."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._fit.variables import COEFFICIENT, DEVIATION, INDIVIDUAL, OMEGA, TYPICAL
from cart_pkpd._stats.likelihood import pointwise_loglik
from cart_pkpd._stats.population import Structure

SAMPLE_DIMS = ("chain", "draw")


def population_draws(structure: Structure, posterior: xr.Dataset) -> xr.Dataset:
    """Return every population quantity on its natural scale.

    Parameters
    ----------
    structure : Structure
        What was fitted.
    posterior : xr.Dataset
        The sampler's variables, dims chain, draw and others.

    Returns
    -------
    xr.Dataset
        One variable per quantity, dims chain, draw; attrs units, long_name, role.
    """
    model = structure.model
    out = {}
    for q in structure.quantities:
        raw = _raw(q.name, q.role, structure, posterior)
        if q.role == "typical" and TYPICAL in posterior:
            raw = xr.apply_ufunc(model.parameters[q.name].to_natural, raw)
        raw.attrs = {"units": q.unit, "long_name": q.label, "role": q.role}
        out[q.name] = raw
    return xr.Dataset(out)


def _raw(name: str, role: str, structure: Structure, posterior: xr.Dataset) -> xr.DataArray:
    vectors = {
        "typical": (TYPICAL, "parameter", name),
        "omega": (OMEGA, "iiv", name.removeprefix("omega_")),
        "covariate": (COEFFICIENT, "effect", name),
    }
    if role in vectors:
        variable, dim, label = vectors[role]
        if variable in posterior:
            return posterior[variable].sel({dim: label}, drop=True)
    if role == "typical":
        return posterior[f"typical_{name}"].copy()
    return posterior[name].copy()


def individual_draws(structure: Structure, posterior: xr.Dataset) -> xr.Dataset:
    """Return every model parameter of every patient on its natural scale.

    Returns
    -------
    xr.Dataset
        One variable per model parameter that is not fixed, dims chain, draw, id.
    """
    model, population = structure.model, structure.population
    quantities = population_draws(structure, posterior)
    ids = xr.DataArray(structure.design.ids, dims="id")
    out = {}
    for name in model.estimated:
        parameter = model.parameters[name]
        if f"{INDIVIDUAL}_{name}" in posterior:
            free = posterior[f"{INDIVIDUAL}_{name}"]
        else:
            free = patient_means(structure, name, quantities)
            if name in population.iiv:
                deviation = posterior[DEVIATION].sel(deviating=name, drop=True)
                free = free + quantities[f"omega_{name}"] * deviation
        natural = xr.apply_ufunc(parameter.to_natural, free)
        natural = natural.drop_vars("id", errors="ignore").transpose(*SAMPLE_DIMS, "id")
        natural.attrs = {"units": parameter.unit, "long_name": parameter.about}
        out[name] = natural
    return xr.Dataset(out).assign_coords(id=ids)


def patient_means(structure: Structure, name: str, quantities: xr.Dataset) -> xr.DataArray:
    """Return the population mean of a parameter for each patient's covariates.

    Parameters
    ----------
    structure : Structure
        What was fitted.
    name : str
        A model parameter.
    quantities : xr.Dataset
        Draws of the population quantities, natural scale, any sample dims.

    Returns
    -------
    xr.DataArray
        Free scale; the sample dims, then id.
    """
    parameter = structure.model.parameters[name]
    mean = xr.apply_ufunc(parameter.to_free, quantities[name])
    mean = mean + xr.DataArray(np.zeros(structure.design.n_patients), dims="id")
    for effect in structure.effects:
        if effect.parameter == name:
            column = xr.DataArray(effect.column, dims="id")
            mean = mean + quantities[f"beta_{effect.name}"] * column
    return mean.transpose(..., "id")


def log_prediction(structure: Structure, individual: xr.Dataset) -> NDArray[np.float64]:
    """Return ln of the predicted level of every record, shape (chain, draw, n)."""
    design, model = structure.design, structure.model
    values = {str(k): v.to_numpy()[..., design.patient] for k, v in individual.data_vars.items()}
    return np.asarray(model.log_predict(design.time, values), dtype=float)


def loglik_draws(structure: Structure, posterior: xr.Dataset) -> xr.DataArray:
    """Return the log-likelihood of every record at every draw, dims chain, draw, obs."""
    individual = individual_draws(structure, posterior)
    quantities = population_draws(structure, posterior)
    sigmas = {
        q.name: quantities[q.name].to_numpy()[..., None] for q in structure.of_role("residual")
    }
    f = log_prediction(structure, individual)
    values = pointwise_loglik(structure.error, structure.design, f, sigmas)
    return xr.DataArray(
        values,
        dims=(*SAMPLE_DIMS, "obs"),
        coords={d: posterior[d] for d in SAMPLE_DIMS},
        name=structure.design.endpoint,
    )


def new_patient_draws(
    structure: Structure,
    quantities: xr.Dataset,
    rng: np.random.Generator,
) -> dict[str, NDArray[np.float64]]:
    """Return parameters of new patients with the covariates of the fitted ones.

    Parameters
    ----------
    structure : Structure
        What was fitted.
    quantities : xr.Dataset
        Population quantities, dim sample: one value per simulated trial.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    dict of str to ndarray, shape (s, k)
        Natural parameter values of k patients in each of s trials.
    """
    model, population = structure.model, structure.population
    column = {str(k): v.to_numpy()[:, None] for k, v in quantities.data_vars.items()}
    out = {}
    for name in model.estimated:
        free = patient_means(structure, name, quantities).to_numpy()
        if name in population.iiv:
            free = free + column[f"omega_{name}"] * rng.standard_normal(free.shape)
        if name == population.non_expanders:
            low = rng.uniform(size=free.shape) < column["p_non_expander"]
            free = free - low * column["non_expander_shift"]
        out[name] = np.asarray(model.parameters[name].to_natural(free), dtype=float)
    return out


def prior_draws(structure: Structure, size: int, seed: int) -> xr.Dataset:
    """Return independent draws of every population quantity from its prior, dim draw."""
    rng = np.random.default_rng(seed)
    return xr.Dataset(
        {
            q.name: (
                "draw",
                q.prior.sample(rng, size),
                {"units": q.unit, "long_name": q.label, "role": q.role},
            )
            for q in structure.quantities
        }
    )
