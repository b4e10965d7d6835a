"""The likelihood of every record, on arrays and symbols alike."""

from __future__ import annotations

from collections.abc import Mapping
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
from cart_pkpd.models._math import Value


class Records(Protocol):
    """Measurements with their censoring: what a likelihood needs to know of data."""

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
    error: ErrorModel,
    records: Records,
    log_prediction: NDArray[np.float64],
    sigmas: Mapping[str, Value],
) -> NDArray[np.float64]:
    """Return the log-likelihood of every record.

    Parameters
    ----------
    error : ErrorModel
        Residual error.
    records : Records
        n measurements.
    log_prediction : ndarray, shape (..., n)
        ln of the predicted level.
    sigmas : mapping of str to ndarray, shape (..., 1)
        Residual parameters.

    Returns
    -------
    ndarray, shape (..., n)
        ln density on the natural scale of quantified records, ln probability of censored.
    """
    out = np.empty(np.broadcast_shapes(log_prediction.shape, records.code.shape))
    for code in (QUANTIFIED, BELOW, ABOVE, BETWEEN):
        rows = np.flatnonzero(records.code == code)
        if rows.size:
            f = log_prediction[..., rows]
            out[..., rows] = record_loglik(
                error, code, records.dv[rows], records.low[rows], f, sigmas
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
