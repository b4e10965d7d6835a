"""The likelihood of every record, on arrays and symbols alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._stats.design import ABOVE, BELOW, BETWEEN, QUANTIFIED
from cart_pkpd._stats.error import (
    ErrorModel,
    above_loglik,
    below_loglik,
    between_loglik,
    quantified_loglik,
)
from cart_pkpd.models.math import Value


class Records(Protocol):
    """Measurements with their censoring: what a likelihood needs to know of data."""

    @property
    def measure(self) -> NDArray[np.int64]:
        """Index of what was measured, shape (n,)."""

    @property
    def dv(self) -> NDArray[np.float64]:
        """Measurement, or the limit of a censored one, shape (n,)."""

    @property
    def code(self) -> NDArray[np.int64]:
        """QUANTIFIED, BELOW, ABOVE or BETWEEN, shape (n,)."""

    @property
    def low(self) -> NDArray[np.float64]:
        """Lower edge of interval-censored measurements, shape (n,)."""


def pointwise_loglik(
    errors: Sequence[ErrorModel],
    records: Records,
    prediction: NDArray[np.float64],
    sigmas: Sequence[Mapping[str, Value]],
) -> NDArray[np.float64]:
    """Return the log-likelihood of every record.

    Parameters
    ----------
    errors : sequence of ErrorModel
        Residual error of each measure.
    records : Records
        n measurements.
    prediction : ndarray, shape (..., n)
        What was predicted, on the scale of its measure's error: ln of the level, or the level.
    sigmas : sequence of mapping of str to ndarray, shape (..., 1)
        Residual parameters of each measure.

    Returns
    -------
    ndarray, shape (..., n)
        ln density on the natural scale of quantified records, ln probability of censored.
    """
    out = np.empty(np.broadcast_shapes(prediction.shape, records.code.shape))
    for m, (error, own) in enumerate(zip(errors, sigmas, strict=True)):
        for code in (QUANTIFIED, BELOW, ABOVE, BETWEEN):
            rows = np.flatnonzero((records.code == code) & (records.measure == m))
            if rows.size:
                out[..., rows] = record_loglik(
                    error, code, records.dv[rows], records.low[rows], prediction[..., rows], own
                )
    return out


def record_loglik(
    error: ErrorModel,
    code: int,
    dv: Value,
    low: Value,
    prediction: Value,
    sigmas: Mapping[str, Value],
) -> Value:
    """Return the log-likelihood of records that share one censoring code."""
    if error.positive:
        above_zero = error.log_above_zero(prediction, sigmas)
        # What is below the LLOQ lies between 0 and it.
        where, edge = (BETWEEN, 0.0) if code == BELOW else (code, low)
        return _of_any(error, where, dv, edge, prediction, sigmas) - above_zero
    return _of_any(error, code, dv, low, prediction, sigmas)


def _of_any(
    error: ErrorModel,
    code: int,
    dv: Value,
    low: Value,
    prediction: Value,
    sigmas: Mapping[str, Value],
) -> Value:
    """Return the log-likelihood of records that may be of either sign."""
    if code == QUANTIFIED:
        return quantified_loglik(error, dv, prediction, sigmas)
    if code == BELOW:
        return below_loglik(error, dv, prediction, sigmas)
    if code == ABOVE:
        return above_loglik(error, dv, prediction, sigmas)
    return between_loglik(error, low, dv, prediction, sigmas)
