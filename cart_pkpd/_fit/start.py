"""Where sampling starts, and which way it is parametrised: both read off the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._stats.design import QUANTIFIED
from cart_pkpd._stats.population import Structure
from cart_pkpd.models import Model

_STEP = 1e-5
_RESIDUAL_SD = 0.5
_CENTRED_BELOW = 0.1
_MAX_DEVIATION = 2.5


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
    """

    typical: dict[str, float]
    individual: dict[str, NDArray[np.float64]]
    omega: dict[str, float]


def starting_values(structure: Structure) -> Start:
    """Return starting values from each patient's own records, else the priors' medians."""
    model = structure.model
    guesses = [_guess(structure, i) for i in range(structure.design.n_patients)]
    typical = {}
    for name in model.estimated:
        seen = [g[name] for g in guesses if name in g]
        prior = float(model.parameters[name].to_free(structure.quantity(name).prior.quantile(0.5)))
        typical[name] = float(np.median(seen)) if seen else prior
    omega = {q.parameter: float(q.prior.quantile(0.5)) for q in structure.of_role("omega")}
    individual = {
        name: _individual(name, typical[name], omega[name], guesses, structure)
        for name in structure.population.iiv
    }
    return Start(typical, individual, omega)


def _guess(structure: Structure, patient: int) -> dict[str, float]:
    design, model = structure.design, structure.model
    rows = np.flatnonzero(
        (design.patient == patient) & (design.code == QUANTIFIED) & (design.dv > 0)
    )
    if not rows.size:
        return {}
    found = model.guess(design.time[rows], design.dv[rows])
    return {
        k: float(model.parameters[k].to_free(v))
        for k, v in found.items()
        if k in model.estimated and model.parameters[k].contains(v)
    }


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
    jacobian = _jacobian(structure.model, structure, start)
    prior = np.diag([1.0 / start.omega[n] ** 2 for n in names])
    left = []
    for i in range(design.n_patients):
        rows = (design.patient == i) & (design.code == QUANTIFIED)
        j = jacobian[rows]
        covariance = np.linalg.inv(prior + j.T @ j / _RESIDUAL_SD**2)
        left.append(np.diag(covariance) * np.diag(prior))
    return np.median(np.array(left), axis=0)


def _jacobian(model: Model, structure: Structure, start: Start) -> NDArray[np.float64]:
    """Return d ln(level) / d free parameter at the starting values, shape (n, len(iiv))."""
    design = structure.design
    free = {k: np.full(design.n_obs, v) for k, v in start.typical.items()}
    free |= {k: v[design.patient] for k, v in start.individual.items()}

    def log_level(changed: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        natural = {k: model.parameters[k].to_natural(v) for k, v in changed.items()}
        return np.asarray(model.log_predict(design.time, natural), dtype=float)

    columns = [
        (log_level({**free, n: free[n] + _STEP}) - log_level({**free, n: free[n] - _STEP}))
        / (2 * _STEP)
        for n in structure.population.iiv
    ]
    return np.stack(columns, axis=-1)
