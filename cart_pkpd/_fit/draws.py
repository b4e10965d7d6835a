"""From sampled variables back to named quantities and individual parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._fit.variables import COEFFICIENT, DEVIATION, INDIVIDUAL, OMEGA, PARTIAL, TYPICAL
from cart_pkpd._stats.design import Design
from cart_pkpd._stats.likelihood import pointwise_loglik
from cart_pkpd._stats.population import Structure
from cart_pkpd._stats.predict import predict

SAMPLE_DIMS = ("chain", "draw")
RECORDS = "records"


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
    correlations = _correlation_draws(structure, posterior)
    for q in structure.quantities:
        own = correlations.get(q.name)
        raw = own if own is not None else _raw(q.name, q.role, structure, posterior)
        if q.role == "typical" and TYPICAL in posterior:
            raw = xr.apply_ufunc(model.parameters[q.name].to_natural, raw)
        raw.attrs = {"units": q.unit, "long_name": q.label, "role": structure.role(q)}
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


def _correlation_draws(structure: Structure, posterior: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return the correlations that the canonical partial ones make, by name."""
    names, partial = structure.random.correlations, _partial(structure, posterior)
    correlated = structure.random.correlated(partial)
    return {
        n: xr.DataArray(
            correlated[..., i], dims=SAMPLE_DIMS, coords={d: posterior[d] for d in SAMPLE_DIMS}
        )
        for i, n in enumerate(names)
    }


def _partial(structure: Structure, posterior: xr.Dataset) -> NDArray[np.float64]:
    """Return draws of the canonical partial correlations, shape (chain, draw, pairs)."""
    shape = tuple(posterior.sizes[d] for d in SAMPLE_DIMS)
    found = [
        posterior[f"{PARTIAL}_{n}"].transpose(*SAMPLE_DIMS).to_numpy()
        for n in structure.random.correlations
    ]
    return np.stack(found, axis=-1) if found else np.zeros((*shape, 0))


def _deviation_draws(
    structure: Structure, posterior: xr.Dataset, quantities: xr.Dataset
) -> dict[str, xr.DataArray]:
    """Return every random effect, dims chain, draw, id: that of parameters sampled themselves too.

    Correlated ones are made of the standard normal deviations of the effects before them.
    """
    random = structure.random
    factor = random.factor(_partial(structure, posterior))
    out: dict[str, xr.DataArray] = {}
    white: dict[int, xr.DataArray] = {}
    for a, (name, sd) in enumerate(zip(random.names, random.sds, strict=True)):
        omega = quantities[sd]
        before = [
            xr.DataArray(factor[..., a, b], dims=SAMPLE_DIMS) * white[b]
            for b, place in enumerate(random.places[a])
            if place >= 0
        ]
        given: Any = sum(before) if before else 0.0
        own = xr.DataArray(factor[..., a, a], dims=SAMPLE_DIMS)
        if f"{INDIVIDUAL}_{name}" in posterior:
            mean = patient_means(structure, name, quantities)
            eta = posterior[f"{INDIVIDUAL}_{name}"].drop_vars("id", errors="ignore") - mean
            white[a] = (eta / omega - given) / own
        else:
            white[a] = posterior[DEVIATION].sel(deviating=name, drop=True)
            white[a] = white[a].drop_vars("id", errors="ignore")
            eta = omega * (given + own * white[a])
        out[name] = eta
    return out


def individual_draws(structure: Structure, posterior: xr.Dataset) -> xr.Dataset:
    """Return every model parameter of every patient on its natural scale.

    Returns
    -------
    xr.Dataset
        One variable per model parameter that is not fixed, dims chain, draw, id.
    """
    model = structure.model
    quantities = population_draws(structure, posterior)
    deviations = _deviation_draws(structure, posterior, quantities)
    ids = xr.DataArray(structure.design.ids, dims="id")
    out = {}
    for name in model.estimated:
        parameter = model.parameters[name]
        if f"{INDIVIDUAL}_{name}" in posterior:
            free = posterior[f"{INDIVIDUAL}_{name}"]
        else:
            free = patient_means(structure, name, quantities)
            if name in deviations:
                free = free + deviations[name]
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
    if name in structure.located:
        mean = xr.apply_ufunc(parameter.to_free, quantities[name])
    else:  # a deviation on an occasion
        mean = xr.zeros_like(quantities[structure.quantities[0].name])
    mean = mean + xr.DataArray(np.zeros(structure.design.n_patients), dims="id")
    for effect in structure.effects:
        if effect.parameter == name:
            column = xr.DataArray(effect.column, dims="id")
            mean = mean + quantities[f"beta_{effect.name}"] * column
    return mean.transpose(..., "id")


def record_predictions(structure: Structure, individual: xr.Dataset) -> NDArray[np.float64]:
    """Return the prediction of every record on its error's scale, shape (chain, draw, n)."""
    values = {str(k): v.to_numpy() for k, v in individual.data_vars.items()}
    return predict(structure.model, structure.design, values, log=structure.log)


def loglik_draws(
    structure: Structure,
    posterior: xr.Dataset,
    predictions: NDArray[np.float64] | None = None,
) -> xr.DataArray:
    """Return the log-likelihood of every record at every draw, dims chain, draw, obs.

    Parameters
    ----------
    structure : Structure
        What was fitted.
    posterior : xr.Dataset
        The sampler's variables.
    predictions : ndarray, shape (chain, draw, n), optional
        What is predicted of every record, on its error's scale; computed where not given.
    """
    quantities = population_draws(structure, posterior)
    sigmas = structure.sigmas(residual_draws(structure, quantities))
    f = predictions
    if f is None:
        f = record_predictions(structure, individual_draws(structure, posterior))
    return xr.DataArray(
        pointwise_loglik(structure.errors, structure.design, f, sigmas),
        dims=(*SAMPLE_DIMS, "obs"),
        coords={d: posterior[d] for d in SAMPLE_DIMS} | record_coords(structure.design),
        name=record_name(structure.design),
    )


def residual_draws(structure: Structure, quantities: xr.Dataset) -> dict[str, NDArray[np.float64]]:
    """Return the residual parameters by name, with a last axis for the records."""
    names = [q.name for q in structure.of_role("residual")]
    return {name: quantities[name].to_numpy()[..., None] for name in names}


def record_name(design: Design) -> str:
    """Return the variable that holds something of every record: the endpoint, if there is one."""
    return RECORDS if design.several else design.endpoint


def record_coords(design: Design) -> dict[str, Any]:
    """Return patient and time of every record, and its endpoint where there are several."""
    coords: dict[str, Any] = {
        "patient_of": ("obs", design.ids[design.patient]),
        "time_of": ("obs", design.time, {"units": "day"}),
    }
    if design.several:
        coords["endpoint_of"] = ("obs", np.array(design.endpoints)[design.measure])
    return coords


def observed_records(design: Design) -> xr.Dataset:
    """Return the measurements with patient, time and, where there are several, endpoint."""
    attrs = {} if design.several else {"units": design.unit, "long_name": design.label}
    records = xr.Dataset({record_name(design): ("obs", design.dv, attrs)})
    return records.assign_coords(record_coords(design))


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
    given = {str(k): v.to_numpy() for k, v in quantities.data_vars.items()}
    effects = structure.random.sample(given, structure.design.n_patients, rng)
    out = {}
    for name in model.estimated:
        free = patient_means(structure, name, quantities).to_numpy()
        if name in effects:
            free = free + effects[name]
        if name == population.non_expanders:
            low = rng.uniform(size=free.shape) < column["p_non_expander"]
            free = free - low * column["non_expander_shift"]
        out[name] = np.asarray(model.parameters[name].to_natural(free), dtype=float)
    return out


def prior_draws(structure: Structure, size: int, seed: int | np.random.Generator) -> xr.Dataset:
    """Return draws of all population quantities from their joint prior, dim draw."""
    rng = np.random.default_rng(seed)
    draws = {q.name: q.prior.sample(rng, size) for q in structure.quantities}
    draws |= _prior_correlations(structure, rng, size)
    return xr.Dataset(
        {
            q.name: (
                "draw",
                draws[q.name],
                {"units": q.unit, "long_name": q.label, "role": structure.role(q)},
            )
            for q in structure.quantities
        }
    )


def _prior_correlations(
    structure: Structure, rng: np.random.Generator, size: int
) -> dict[str, NDArray[np.float64]]:
    """Return draws of the correlations, which depend on each other, from their LKJ priors."""
    names = structure.random.correlations
    priors: list[Any] = [structure.quantity(n).prior for n in names]
    shares = [rng.beta(p.partial_shape, p.partial_shape, size) for p in priors]
    if not shares:
        return {}
    correlated = structure.random.correlated(2.0 * np.stack(shares, axis=-1) - 1.0)
    return {n: correlated[:, i] for i, n in enumerate(names)}


def log_prior_draws(structure: Structure, quantities: xr.Dataset) -> xr.Dataset:
    """Return the ln prior density of every population quantity at every draw.

    Parameters
    ----------
    structure : Structure
        What was fitted.
    quantities : xr.Dataset
        Draws of the population quantities, natural scale.

    Returns
    -------
    xr.Dataset
        One variable per quantity, natural scale, dims as given; of a correlation that of its
        canonical partial correlation, whose sum over a block is the block's. Individual
        parameters are not among them: their distribution is a part of the model, not a prior.
    """
    return xr.Dataset(
        {
            **{
                q.name: quantities[q.name].copy(
                    data=q.prior.log_density(quantities[q.name].to_numpy())
                )
                for q in structure.quantities
            },
            **_log_prior_correlations(structure, quantities),
        }
    )


def _log_prior_correlations(
    structure: Structure, quantities: xr.Dataset
) -> dict[str, xr.DataArray]:
    names = structure.random.correlations
    if not names:
        return {}
    values = np.stack([quantities[n].to_numpy() for n in names], axis=-1)
    partial = structure.random.partial(values)
    priors: list[Any] = [structure.quantity(n).prior for n in names]
    return {
        n: quantities[n].copy(data=prior.log_density_of_partial(partial[..., i]))
        for i, (n, prior) in enumerate(zip(names, priors, strict=True))
    }
