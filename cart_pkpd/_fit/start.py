"""Where sampling starts: read off the data."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._stats.design import QUANTIFIED, Design
from cart_pkpd._stats.occasions import first_ends
from cart_pkpd._stats.population import Structure
from cart_pkpd._stats.priors import Prior
from cart_pkpd._stats.quantities import FREE_NORMAL, Quantity, typical_size
from cart_pkpd.models import Model

_RESIDUAL_SD = 0.5
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
        Of every parameter with a random effect.
    omega : dict of str to float
        Standard deviations of the random effects: of parameters that vary between patients by
        their name, between occasions by the name of the quantity.
    sigma : dict of str to float
        Residual parameters, natural scale.
    others : dict of str to float
        Covariate coefficients, mixture quantities, and canonical partial correlations by the
        name of the correlation; the priors' medians where not given.
    """

    typical: dict[str, float]
    individual: dict[str, NDArray[np.float64]]
    omega: dict[str, float]
    sigma: dict[str, float]
    others: dict[str, float] = field(default_factory=dict)

    def sds(self, structure: Structure) -> NDArray[np.float64]:
        """Return the standard deviation of every random effect, shape (r,)."""
        random = structure.random
        both = zip(random.names, random.sds, strict=True)
        return np.array([self.omega[n] if n in self.omega else self.omega[sd] for n, sd in both])

    def whitened(self, structure: Structure) -> NDArray[np.float64]:
        """Return the individual values as standard normal deviations, shape (r, k)."""
        random, k = structure.random, structure.design.n_patients
        eta = np.zeros((random.size, k))
        for i, n in enumerate(random.names):
            eta[i] = self.individual[n] - self.typical.get(n, 0.0)
        partial = np.array([self.others.get(n, 0.0) for n in random.correlations])
        z = eta / self.sds(structure)[:, None]
        return np.linalg.solve(random.factor(partial), z) if random.blocks else z


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
    # Deviations on occasions begin at none; their standard deviations at the prior's median.
    omega |= {q.name: float(q.prior.quantile(0.5)) for q in structure.of_role("iov")}
    apart = structure.random.names[len(individual) :]
    individual |= {n: np.zeros(structure.design.n_patients) for n in apart}
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
    several = bool(structure.population.iov)
    rows = np.flatnonzero(
        (design.patient == patient)
        & (design.measure == guessed_measure(model, design))
        & (design.code == QUANTIFIED)
        & (design.dv > 0)
        & (design.time < first_ends(design)[patient] if several else True)
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
