"""A `Structure` as a PyMC model: the only place where the two meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from cart_pkpd._engine.ops import loglik_op, shared
from cart_pkpd._fit.variables import COEFFICIENT, DEVIATION, INDIVIDUAL, OMEGA, PARTIAL, TYPICAL
from cart_pkpd._stats.compiled import kernel_data, likelihood_of
from cart_pkpd._stats.population import Structure
from cart_pkpd._stats.priors import (
    LKJ,
    Beta,
    Cauchy,
    Exponential,
    Gamma,
    HalfCauchy,
    HalfNormal,
    LogitNormal,
    LogNormal,
    Normal,
    Prior,
    StudentT,
    TruncatedNormal,
    Uniform,
)
from cart_pkpd._stats.quantities import Quantity
from cart_pkpd.models import Model


def build(structure: Structure, centred: Sequence[str]) -> pm.Model:
    """Return the PyMC model; its data are shared variables, called as in :func:`data_arrays`."""
    design, population = structure.design, structure.population
    apart = [n for n in structure.random.names if n not in centred]
    coords = {
        "id": design.ids.tolist(),
        "parameter": list(structure.located),
        "iiv": list(population.iiv),
        "deviating": apart,
        "centred": list(centred),
        "effect": [q.name for q in structure.of_role("covariate")],
    }
    with pm.Model(coords={k: v for k, v in coords.items() if v}) as model:
        containers = {k: shared(k, v) for k, v in data_arrays(structure).items()}
        typical = _typical(structure)
        omega = _by_parameter(_vector(OMEGA, "iiv", structure.of_role("omega")), population.iiv)
        omega |= {q.name: scalar(q.name, q.prior) for q in structure.of_role("iov")}
        means = _means(structure, typical, containers)
        free = {**means, **_individual(structure, centred, means, omega)}
        sigmas = {q.name: scalar(q.name, q.prior) for q in structure.of_role("residual")}
        _likelihood(structure, containers, free, sigmas)
    return model


def data_arrays(structure: Structure) -> dict[str, Any]:
    """Return the arrays that change when the same structure meets other data."""
    arrays: dict[str, Any] = dict(kernel_data(structure))
    for i, effect in enumerate(structure.effects):
        arrays[f"covariate_{i}"] = effect.column
    return arrays


def scalar(name: str, prior: Prior) -> Any:
    if isinstance(prior, LogitNormal):
        # PyMC samples a LogitNormal within its bounds unless told to unbound it.
        unbounded = pm.distributions.transforms.logodds
        centre = np.log(prior.median / (1 - prior.median))
        return pm.LogitNormal(name, centre, prior.sigma, default_transform=unbounded)
    if isinstance(prior, LKJ):
        a = np.asarray(prior.partial_shape, dtype=float)
        return pm.Deterministic(f"{PARTIAL}_{name}", 2.0 * pm.Beta(f"share_{name}", a, a) - 1.0)
    form, arguments = _form(prior)
    # PyMC makes float32 of a Python number that float32 can hold, and computes with it.
    return form(name, **{k: np.asarray(v, dtype=float) for k, v in arguments.items()})


def _form(prior: Prior) -> tuple[Any, dict[str, float]]:
    """Return PyMC's distribution and its arguments."""
    match prior:
        case Normal(mu, sigma):
            return pm.Normal, {"mu": mu, "sigma": sigma}
        case LogNormal(median, sigma):
            return pm.LogNormal, {"mu": float(np.log(median)), "sigma": sigma}
        case HalfNormal(sigma):
            return pm.HalfNormal, {"sigma": sigma}
        case TruncatedNormal(mu, sigma, lower, upper):
            # PyMC must not see an infinite bound.
            cut = {k: v for k, v in (("lower", lower), ("upper", upper)) if np.isfinite(v)}
            form = pm.TruncatedNormal if cut else pm.Normal
            return form, {"mu": mu, "sigma": sigma, **cut}
        case HalfCauchy(scale):
            return pm.HalfCauchy, {"beta": scale}
        case Exponential(mean):
            return pm.Exponential, {"scale": mean}
        case Gamma(shape, rate):
            return pm.Gamma, {"alpha": shape, "beta": rate}
        case Beta(a, b):
            return pm.Beta, {"alpha": a, "beta": b}
        case Uniform(low, high):
            return pm.Uniform, {"lower": low, "upper": high}
        case Cauchy(mu, scale):
            return pm.Cauchy, {"alpha": mu, "beta": scale}
        case StudentT(df, mu, scale):
            return pm.StudentT, {"nu": df, "mu": mu, "sigma": scale}
    raise TypeError(f"no sampler's form of {type(prior).__name__}")


def _vector(name: str, dim: str, quantities: Sequence[Quantity]) -> Any:
    """Return the quantities as one vector: one variable if their priors are alike."""
    priors = [q.prior for q in quantities]
    if priors and all(isinstance(p, HalfNormal) for p in priors):
        return pm.HalfNormal(name, np.array([p.sigma for p in priors]), dims=dim)  # type: ignore[attr-defined]
    if priors and all(isinstance(p, Normal) for p in priors):
        mu, sigma = np.array([[p.mu, p.sigma] for p in priors]).T  # type: ignore[attr-defined]
        return pm.Normal(name, mu, sigma, dims=dim)
    return [scalar(q.name, q.prior) for q in quantities]


def _by_parameter(vector: Any, names: Sequence[str]) -> dict[str, Any]:
    return {name: vector[i] for i, name in enumerate(names)}


def _typical(structure: Structure) -> dict[str, Any]:
    """Typical values on the free scale; a prior of the usual form is normal there."""
    model, quantities = structure.model, structure.of_role("typical")
    usual = [_normal_on_free(model, q) for q in quantities]
    if all(u is not None for u in usual):
        mu, sigma = np.array([(u.mu, u.sigma) for u in usual if u is not None]).T
        return _by_parameter(pm.Normal(TYPICAL, mu, sigma, dims="parameter"), structure.located)
    return {
        q.name: model.parameters[q.name].to_free(scalar(f"typical_{q.name}", q.prior))
        for q in quantities
    }


def _normal_on_free(model: Model, quantity: Quantity) -> Normal | None:
    match model.parameters[quantity.parameter].scale, quantity.prior:
        case "log", LogNormal(median, sigma):
            return Normal(float(np.log(median)), sigma)
        case "logit", LogitNormal(median, sigma):
            return Normal(float(np.log(median / (1 - median))), sigma)
        case "identity", Normal(mu, sigma):
            return Normal(mu, sigma)
    return None


def _means(
    structure: Structure, typical: Mapping[str, Any], containers: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the population mean of every parameter, per patient where covariates act."""
    means = dict(typical)
    coefficients = structure.of_role("covariate")
    beta = _vector(COEFFICIENT, "effect", coefficients) if coefficients else []
    for i, effect in enumerate(structure.effects):
        means[effect.parameter] = means[effect.parameter] + beta[i] * containers[f"covariate_{i}"]
    return means


def _individual(
    structure: Structure,
    centred: Sequence[str],
    means: Mapping[str, Any],
    omega: Mapping[str, Any],
) -> dict[str, Any]:
    """Individual values of the parameters that vary, free scale, each of shape (id,)."""
    random, free = structure.random, {}
    apart = [n for n in random.names if n not in centred]
    deviations: dict[str, Any] = {}
    if apart:
        z = pm.Normal(DEVIATION, 0.0, 1.0, dims=("deviating", "id"))
        deviations = _by_parameter(z, apart)
    rows, blocked = _factor(structure), {i for block in random.blocks for i in block}
    white: dict[int, Any] = {}
    for i, (name, sd) in enumerate(zip(random.names, random.sds, strict=True)):
        mean, scale = means.get(name, 0.0), omega[name] if name in omega else omega[sd]
        if i not in blocked:
            free[name] = (
                mean + scale * deviations[name]
                if name in deviations
                else _centred(structure, name, mean, scale)
            )
            continue
        given = mean + scale * sum(rows[i][b] * white[b] for b in white if b in rows[i])
        spread = scale * rows[i][i]
        if name in deviations:
            white[i] = deviations[name]
            free[name] = given + spread * white[i]
        else:  # a normal given the effects before it
            free[name] = pm.Normal(f"{INDIVIDUAL}_{name}", given, spread, dims="id")
            white[i] = (free[name] - given) / spread
    return free


def _factor(structure: Structure) -> dict[int, dict[int, Any]]:
    """Cholesky factor of the correlations, by row and column, of canonical partial ones."""
    random = structure.random
    left: dict[int, Any] = {i: 1.0 for block in random.blocks for i in block}
    rows: dict[int, dict[int, Any]] = {i: {} for i in left}
    for name, (a, b) in zip(random.correlations, random.pairs, strict=True):
        z = scalar(name, structure.quantity(name).prior)
        rows[a][b] = z * pt.sqrt(left[a])
        left[a] = left[a] * (1.0 - z) * (1.0 + z)
    for i, rest in left.items():
        rows[i][i] = pt.sqrt(rest)
    return rows


def _centred(structure: Structure, name: str, mean: Any, omega: Any) -> Any:
    size = structure.design.n_patients
    if name != structure.population.non_expanders:
        return pm.Normal(f"{INDIVIDUAL}_{name}", mean, omega, dims="id")
    share = scalar("p_non_expander", structure.quantity("p_non_expander").prior)
    shift = scalar("non_expander_shift", structure.quantity("non_expander_shift").prior)
    mean = pt.broadcast_to(mean, (size,))
    return pm.NormalMixture(
        f"{INDIVIDUAL}_{name}",
        w=pt.stack([1.0 - share, share]),
        mu=pt.stack([mean, mean - shift], axis=-1),
        sigma=omega,
        dims="id",
    )


def _likelihood(
    structure: Structure,
    containers: Mapping[str, Any],
    free: Mapping[str, Any],
    sigmas: Mapping[str, Any],
) -> None:
    """Add the likelihood of all records as one compiled operation.

    One operation instead of hundreds of small ones: the graph around it stays small, so that
    it compiles in seconds.
    """
    model, k = structure.model, structure.design.n_patients
    operation = loglik_op(model.program, model.estimated, likelihood_of(structure))
    columns = [pt.broadcast_to(free[n], (k,)) for n in model.estimated]
    parameters = pt.stack(columns, axis=-1) if columns else pt.zeros((k, 0))
    residual = pt.stack([sigmas[n] for n in operation_sigmas(structure)])
    data = [containers[n] for n in operation.names]
    pm.Potential("loglik", operation(parameters, residual, *data)[0].sum())


def operation_sigmas(structure: Structure) -> tuple[str, ...]:
    """Return the residual parameters in the order in which the operation takes them."""
    return tuple(q.name for q in structure.of_role("residual"))
