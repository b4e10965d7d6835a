"""A trial drawn from the priors: unknowns, patients, and records with their limits."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._checks.simulation import limits
from cart_pkpd._core.errors import FitError
from cart_pkpd._fit.draws import new_patient_draws, prior_draws, residual_draws
from cart_pkpd._stats.agreement import check_values
from cart_pkpd._stats.censoring import LIKELIHOODS
from cart_pkpd._stats.design import ABOVE, BELOW, BETWEEN, QUANTIFIED, Design
from cart_pkpd._stats.likelihood import pointwise_loglik
from cart_pkpd._stats.population import Structure
from cart_pkpd._stats.predict import predict

type Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PriorTrial:
    """One trial from the priors.

    Attributes
    ----------
    structure : Structure
        What was given, with the simulated records in the place of the real ones.
    quantities : mapping of str to float
        Population quantities, natural scale.
    individual : mapping of str to ndarray, shape (k,)
        Every patient's parameters, natural scale.
    log_likelihood : float
        Of all records at these values.
    """

    structure: Structure
    quantities: dict[str, float]
    individual: dict[str, Array]
    log_likelihood: float


def prior_trial(structure: Structure, rng: np.random.Generator) -> PriorTrial:
    """Draw unknowns from the priors, patients from the population, and their records.

    Parameters
    ----------
    structure : Structure
        Model, population, priors and design; its measurements are not used. Limits are those
        of each record.
    rng : numpy.random.Generator
        Source of randomness.

    Raises
    ------
    FitError
        If the equations have no solution there, or a record cannot be described.
    """
    as_draws = prior_draws(structure, 1, rng).rename(draw="sample")
    drawn = {str(name): float(value[0]) for name, value in as_draws.data_vars.items()}
    sigmas = structure.sigmas(residual_draws(structure, as_draws))
    with np.errstate(all="ignore"):  # what comes out of that is refused below, in words
        patients = new_patient_draws(structure, as_draws, rng)
        f = predict(structure.model, structure.design, patients, log=structure.log)
        level = _measured(structure, f[0], [{k: v[0] for k, v in s.items()} for s in sigmas], rng)
    _check_level(structure.design, f[0], level)
    simulated = replace(structure, design=with_limits(structure.design, level))
    check_values(simulated.errors, simulated.design)
    loglik = pointwise_loglik(simulated.errors, simulated.design, f, sigmas)
    individual = {name: values[0] for name, values in patients.items()}
    return PriorTrial(simulated, drawn, individual, float(loglik.sum()))


def check_method(structure: Structure) -> None:
    """Refuse ways of treating censored records that are no likelihood of them.

    Raises
    ------
    FitError
        Naming those that are.
    """
    method = structure.population.censoring
    if method not in LIKELIHOODS:
        raise FitError(
            f"censoring={method!r} is known to be wrong, so that nothing is left to calibrate; use "
            "'m3' or 'm4'."
        )


def _measured(
    structure: Structure, f: Array, sigmas: list[dict[str, Array]], rng: np.random.Generator
) -> Array:
    """Return predictions with residual errors, natural scale and before any limit."""
    out, u = np.empty(f.shape), rng.uniform(size=f.shape)
    for m, (error, own) in enumerate(zip(structure.errors, sigmas, strict=True)):
        rows = structure.design.measure == m
        on_scale = error.drawn(u[rows], f[rows], own)
        out[rows] = np.exp(on_scale) if error.on_log else on_scale
    return out


def _check_level(design: Design, f: Array, level: Array) -> None:
    # Infinitely low on the log scale is a level of 0, which a limit can still describe.
    bad = np.flatnonzero(np.isnan(f) | ~np.isfinite(level))
    if bad.size:
        who, day = design.ids[design.patient[bad[0]]], design.time[bad[0]]
        raise FitError(
            f"no finite level of patient {str(who)!r} on day {day:g} at values drawn from the "
            "priors; narrow the priors."
        )


def with_limits(design: Design, level: Array) -> Design:
    """Return the design with other measurements, censored where each record's limits say.

    A record that was within an interval keeps that interval: what falls into it is known to lie
    there, what falls below it is left-censored at its lower edge.
    """
    lower, upper = limits(design)
    interval = design.code == BETWEEN
    lower = np.where(interval, design.low, lower)
    below, above = level < lower, level > upper
    between = interval & ~below & (level < design.dv)
    code = np.select([below, above, between], [BELOW, ABOVE, BETWEEN], QUANTIFIED)
    return replace(
        design,
        dv=np.select([below, above, between], [lower, upper, design.dv], level),
        code=code.astype(np.int64),
        low=np.where(between, design.low, np.nan),
    )
