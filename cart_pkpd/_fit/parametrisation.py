"""Which way individual values are sampled: decided by how much each patient's data say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._fit.posterior import Posterior
from cart_pkpd._fit.start import Start
from cart_pkpd._stats.design import QUANTIFIED
from cart_pkpd._stats.population import Structure

_STEP = 1e-6
_CENTRED_BELOW = 0.25
"""Measured, not derived: see benchmarks/NOTES.md."""


def centred_parameters(structure: Structure, start: Start) -> tuple[str, ...]:
    """Return the parameters that each patient's own data determine well.

    For those, sampling the individual value itself mixes better than sampling its
    standardised deviation from the population; for poorly informed ones it is the other way
    round. The measure is the share of the population variance that is left after seeing a
    patient's quantified records, from the linearised model at the starting values.
    """
    population, names = structure.population, structure.random.names
    forced = {population.non_expanders} - {None}
    if population.centred is not None:
        return tuple(n for n in names if n in population.centred or n in forced)
    share = _variance_left(structure, start)
    return tuple(n for n, s in zip(names, share, strict=True) if s < _CENTRED_BELOW or n in forced)


def _variance_left(structure: Structure, start: Start) -> NDArray[np.float64]:
    """Return, per varying parameter, the median over patients of posterior / prior variance."""
    design = structure.design
    if not structure.random.size:
        return np.empty(0)
    jacobian = _jacobian(structure, start)
    prior = np.diag(start.sds(structure) ** -2.0)
    left = []
    for i in range(design.n_patients):
        rows = (design.patient == i) & (design.code == QUANTIFIED)
        j = jacobian[rows]
        covariance = np.linalg.inv(prior + j.T @ j)
        left.append(np.diag(covariance) * np.diag(prior))
    return np.median(np.array(left), axis=0)


def _jacobian(structure: Structure, start: Start) -> NDArray[np.float64]:
    """Return d prediction / d free parameter in residual SDs at the start, (n, r)."""
    # Taken as they are, so that effects of covariates are not added to individual values again.
    posterior = Posterior(structure, structure.random.names)
    prediction, slopes = posterior.function().linearised(posterior.start(start))
    columns = [structure.model.estimated.index(n) for n in structure.random.names]
    with np.errstate(all="ignore"):
        slopes = slopes[:, columns] / _residual_sd(structure, start, prediction)[:, None]
        slopes *= _natural_slopes(structure, start)[structure.design.patient]
    # A level of 0 has no ln and tells nothing of the parameters.
    return np.nan_to_num(slopes, nan=0.0, posinf=0.0, neginf=0.0)


def _natural_slopes(structure: Structure, start: Start) -> NDArray[np.float64]:
    """Return d natural / d free of the varying parameters at the start, shape (k, r)."""
    columns = []
    for name in structure.random.names:
        natural, at = structure.model.parameters[name].to_natural, start.individual[name]
        columns.append((natural(at + _STEP) - natural(at - _STEP)) / (2 * _STEP))
    return np.stack(columns, axis=-1)


def _residual_sd(
    structure: Structure, start: Start, prediction: NDArray[np.float64]
) -> NDArray[np.float64]:
    out = np.empty(prediction.shape)
    both = zip(structure.errors, structure.sigmas(start.sigma), strict=True)
    for m, (error, sigmas) in enumerate(both):
        rows = structure.design.measure == m
        out[rows] = error.scale(prediction[rows], sigmas)
    return out
