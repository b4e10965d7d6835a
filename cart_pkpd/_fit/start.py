"""Where sampling starts, and which way it is parametrised: both read off the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._fit.variables import DEVIATION, INDIVIDUAL, OMEGA, TYPICAL
from cart_pkpd._stats.design import QUANTIFIED, Design
from cart_pkpd._stats.population import FREE_NORMAL, Quantity, Structure, typical_size
from cart_pkpd._stats.predict import predict
from cart_pkpd._stats.priors import Prior
from cart_pkpd.models import Model

_STEP = 1e-5
_RESIDUAL_SD = 0.5
_CENTRED_BELOW = 0.1
_MAX_DEVIATION = 2.5
_BULK = (0.005, 0.995)


@dataclass(frozen=True, eq=False)
class Start:
    """Starting values on the free scale.

    Attributes
    ----------
    typical : dict of str to float
        Of every estimated parameter.
    individual : dict of str to ndarray, shape (k,)
        Of every parameter with between-patient variability.
    omega : dict of str to float
        Between-patient standard deviations.
    sigma : dict of str to float
        Residual parameters, natural scale.
    """

    typical: dict[str, float]
    individual: dict[str, NDArray[np.float64]]
    omega: dict[str, float]
    sigma: dict[str, float]


def starting_values(structure: Structure) -> Start:
    """Return starting values from each patient's own records, else the priors' medians.

    All are possible values: what the data suggest is moved into the bulk of its prior, unless
    that is normal on the free scale and so allows everything.
    """
    guesses = [_guess(structure, i) for i in range(structure.design.n_patients)]
    typical = {
        q.parameter: _typical(structure, q, [g[q.parameter] for g in guesses if q.parameter in g])
        for q in structure.of_role("typical")
    }
    omega = {q.parameter: float(q.prior.quantile(0.5)) for q in structure.of_role("omega")}
    individual = {
        name: _individual(name, typical[name], omega[name], guesses, structure)
        for name in structure.population.iiv
    }
    return Start(typical, individual, omega, _sigma(structure))


def _typical(structure: Structure, quantity: Quantity, seen: list[float]) -> float:
    """Return the start of a typical value on the free scale."""
    parameter, prior = structure.model.parameters[quantity.parameter], quantity.prior
    if not seen:
        return float(parameter.to_free(prior.quantile(0.5)))
    middle = float(np.median(seen))
    if isinstance(prior, FREE_NORMAL[parameter.scale]):
        return middle
    return float(parameter.to_free(_inside(prior, float(parameter.to_natural(middle)))))


def _inside(prior: Prior, value: float) -> float:
    return float(np.clip(value, *prior.quantile(np.array(_BULK))))


def _sigma(structure: Structure) -> dict[str, float]:
    """Return half a unit for each residual parameter: of ln, or of what is usually measured."""
    quantities = structure.sigmas({q.name: q for q in structure.of_role("residual")})
    out = {}
    for m, (error, own) in enumerate(zip(structure.errors, quantities, strict=True)):
        for sigma in error.sigmas:
            size = typical_size(structure.design, m) if sigma.in_data_units else 1.0
            q = own[sigma.name]
            out[q.name] = _inside(q.prior, _RESIDUAL_SD * size)
    return out


def unconstrained(
    structure: Structure, start: Start, centred: tuple[str, ...]
) -> dict[str, NDArray[np.float64]]:
    """Return where the sampler's variables start, by name, on the scale it moves on."""
    apart = [n for n in structure.population.iiv if n not in centred]
    typical = {n: start.typical[n] for n in structure.model.estimated}
    omega = {n: start.omega[n] for n in structure.population.iiv}
    deviations = [(start.individual[n] - typical[n]) / omega[n] for n in apart]
    known: dict[str, Any] = {
        TYPICAL: list(typical.values()),
        OMEGA: np.log(list(omega.values())),
        DEVIATION: deviations,
        **{f"{INDIVIDUAL}_{n}": start.individual[n] for n in centred},
    }
    for q in structure.quantities:
        if q.role == "typical":
            natural = structure.model.parameters[q.parameter].to_natural(typical[q.parameter])
            known[f"typical_{q.name}"] = on_the_line(q.prior, float(natural))
        elif q.role == "omega":
            known[q.name] = on_the_line(q.prior, omega[q.parameter])
        elif q.role == "residual":
            known[q.name] = on_the_line(q.prior, start.sigma[q.name])
    return {name: np.asarray(value, dtype=float) for name, value in known.items()}


def on_the_line(prior: Prior, value: float) -> float:
    """Return a value of a quantity on the scale without bounds on which PyMC moves it."""
    low, high = prior.bounds
    if np.isfinite(low) and np.isfinite(high):
        return float(np.log((value - low) / (high - value)))
    if np.isfinite(low):
        return float(np.log(value - low))
    return float(np.log(high - value)) if np.isfinite(high) else value


def _guess(structure: Structure, patient: int) -> dict[str, float]:
    """Return what one patient's quantified levels suggest, free scale."""
    design, model = structure.design, structure.model
    rows = np.flatnonzero(
        (design.patient == patient)
        & (design.measure == guessed_measure(model, design))
        & (design.code == QUANTIFIED)
        & (design.dv > 0)
    )
    if not rows.size:
        return {}
    found = model.guess(design.time[rows], design.dv[rows])
    return {
        k: float(model.parameters[k].to_free(v))
        for k, v in found.items()
        if k in model.estimated and model.parameters[k].contains(v)
    }


def guessed_measure(model: Model, design: Design) -> int:
    """Return which measure a model's guess looks at: its own endpoint, else the first."""
    names = design.endpoints
    return names.index(model.endpoint) if model.endpoint in names else 0


def _individual(
    name: str, typical: float, omega: float, guesses: list[dict[str, float]], structure: Structure
) -> NDArray[np.float64]:
    """Return where each patient starts; without a guess typical, or among the non-expanders."""
    default = typical
    if name == structure.population.non_expanders:
        default -= float(structure.quantity("non_expander_shift").prior.quantile(0.5))
    values = np.array([g.get(name, default) for g in guesses])
    if name == structure.population.non_expanders:
        return values
    return np.clip(values, typical - _MAX_DEVIATION * omega, typical + _MAX_DEVIATION * omega)


def centred_parameters(structure: Structure, start: Start) -> tuple[str, ...]:
    """Return the parameters that each patient's own data determine well.

    For those, sampling the individual value itself mixes better than sampling its
    standardised deviation from the population; for poorly informed ones it is the other way
    round. The measure is the share of the population variance that is left after seeing a
    patient's quantified records, from the linearised model at the starting values.
    """
    population = structure.population
    forced = {population.non_expanders} - {None}
    if population.centred is not None:
        return tuple(n for n in population.iiv if n in population.centred or n in forced)
    share = _variance_left(structure, start)
    return tuple(
        n for n, s in zip(population.iiv, share, strict=True) if s < _CENTRED_BELOW or n in forced
    )


def _variance_left(structure: Structure, start: Start) -> NDArray[np.float64]:
    """Return, per varying parameter, the median over patients of posterior / prior variance."""
    design, names = structure.design, structure.population.iiv
    if not names:
        return np.empty(0)
    jacobian = _jacobian(structure, start)
    prior = np.diag([1.0 / start.omega[n] ** 2 for n in names])
    left = []
    for i in range(design.n_patients):
        rows = (design.patient == i) & (design.code == QUANTIFIED)
        j = jacobian[rows]
        covariance = np.linalg.inv(prior + j.T @ j)
        left.append(np.diag(covariance) * np.diag(prior))
    return np.median(np.array(left), axis=0)


def _jacobian(structure: Structure, start: Start) -> NDArray[np.float64]:
    """Return d prediction / d free parameter in residual SDs at the start, (n, len(iiv))."""
    model, design = structure.model, structure.design
    free: dict[str, Any] = {**start.typical, **start.individual}

    def prediction(changed: dict[str, Any]) -> NDArray[np.float64]:
        natural = {k: model.parameters[k].to_natural(v) for k, v in changed.items()}
        return predict(model, design, natural, log=structure.log)

    columns = [
        (prediction({**free, n: free[n] + _STEP}) - prediction({**free, n: free[n] - _STEP}))
        / (2 * _STEP)
        for n in structure.population.iiv
    ]
    slopes = np.stack(columns, axis=-1) / _residual_sd(structure, start, prediction(free))[:, None]
    # A level of 0 has no ln and tells nothing of the parameters.
    return np.nan_to_num(slopes, nan=0.0, posinf=0.0, neginf=0.0)


def _residual_sd(
    structure: Structure, start: Start, prediction: NDArray[np.float64]
) -> NDArray[np.float64]:
    out = np.empty(prediction.shape)
    both = zip(structure.errors, structure.sigmas(start.sigma), strict=True)
    for m, (error, sigmas) in enumerate(both):
        rows = structure.design.measure == m
        out[rows] = error.scale(prediction[rows], sigmas)
    return out
