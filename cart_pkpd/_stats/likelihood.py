"""Individual parameters and the likelihood of every record, on arrays and symbols alike."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._stats.design import ABOVE, BELOW, BETWEEN, QUANTIFIED, Design
from cart_pkpd._stats.error import (
    ErrorModel,
    above_loglik,
    below_loglik,
    between_loglik,
    quantified_loglik,
)
from cart_pkpd._stats.population import Structure
from cart_pkpd.models._math import Value

# What sampled levels may reach before a draw is worthless; keeps exp() finite.
LOG_LEVEL_BOUND = 300.0


def natural_values(structure: Structure, free: Mapping[str, Value]) -> dict[str, Value]:
    """Return natural parameter values from free ones, by name."""
    return {
        name: structure.model.parameters[name].to_natural(value) for name, value in free.items()
    }


def covariate_shift(
    structure: Structure, parameter: str, coefficients: Mapping[str, Value]
) -> Value:
    """Return the sum of covariate effects on `parameter`, free scale, per patient (last axis)."""
    shift: Value = 0.0
    for effect in structure.effects:
        if effect.parameter == parameter:
            shift = shift + coefficients[f"beta_{effect.name}"] * effect.column
    return shift


def pointwise_loglik(
    error: ErrorModel,
    design: Design,
    log_prediction: NDArray[np.float64],
    sigmas: Mapping[str, NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Return the log-likelihood of every record.

    Parameters
    ----------
    error : ErrorModel
        Residual error.
    design : Design
        Records, n of them.
    log_prediction : ndarray, shape (..., n)
        ln of the predicted level.
    sigmas : mapping of str to ndarray, shape (..., 1)
        Residual parameters.

    Returns
    -------
    ndarray, shape (..., n)
        ln density on the natural scale of quantified records, ln probability of censored.
    """
    out = np.empty(np.broadcast_shapes(log_prediction.shape, (design.n_obs,)))
    for code in (QUANTIFIED, BELOW, ABOVE, BETWEEN):
        rows = design.rows_of(code)
        if rows.size:
            f = log_prediction[..., rows]
            out[..., rows] = record_loglik(
                error, code, design.dv[rows], design.low[rows], f, sigmas
            )
    return out


def record_loglik(
    error: ErrorModel,
    code: int,
    dv: Value,
    low: Value,
    log_prediction: Value,
    sigmas: Mapping[str, Value],
) -> Value:
    """Return the log-likelihood of records that share one censoring code."""
    if code == QUANTIFIED:
        return quantified_loglik(error, dv, log_prediction, sigmas)
    if code == BELOW:
        return below_loglik(error, dv, log_prediction, sigmas)
    if code == ABOVE:
        return above_loglik(error, dv, log_prediction, sigmas)
    return between_loglik(error, low, dv, log_prediction, sigmas)
