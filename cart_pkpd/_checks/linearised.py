"""Conditional weighted residuals: predictions linearised at each patient's mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._checks.modes import Modes
from cart_pkpd._stats.design import QUANTIFIED

if TYPE_CHECKING:
    from cart_pkpd._fit.result import FitResult

type Array = NDArray[np.float64]


def cwres(
    result: FitResult, endpoint: str, modes: Modes, sd: Array
) -> tuple[Array, NDArray[np.str_]]:
    """Return the conditional weighted residuals of an endpoint's records, and reasons.

    Parameters
    ----------
    result : FitResult
        A Bayesian fit.
    endpoint : str
        The measure.
    modes : Modes
        Of the same fit.
    sd : ndarray, shape (n,)
        Residual standard deviation of every record of the endpoint at the mode.

    Notes
    -----
    With f and G the predictions and their slopes at the mode η, the records y of a patient have
    mean E = f − G η and covariance C = G Ω Gᵀ + Σ; the residuals are C^(−1/2) (y − E) with the
    symmetric root (Hooker, Staatz & Karlsson 2007, Pharm Res 24:2187).
    """
    design = result.structure.design
    mine = np.flatnonzero(design.measure == design.index(endpoint))
    records = design.taken(mine)
    error = result.structure.errors[design.index(endpoint)]
    f, slopes = modes.prediction[mine], modes.slopes[mine]
    known = (records.code == QUANTIFIED) & np.isfinite(f) & np.isfinite(slopes).all(axis=1)
    out = np.full(records.n_obs, np.nan)
    why = np.where(known, "", "no finite prediction at the individual mode").astype("<U80")
    with np.errstate(invalid="ignore", divide="ignore"):
        y = np.asarray(error.on_scale(records.dv), dtype=float)
    for i in range(records.n_patients):
        rows = np.flatnonzero(known & (records.patient == i))
        if not rows.size:
            continue
        g = slopes[rows]
        expected = f[rows] - g @ modes.eta[i]
        covariance = g @ modes.covariance @ g.T + np.diag(sd[rows] ** 2)
        out[rows], why[rows] = _whitened(y[rows] - expected, covariance)
    return out, why


def _whitened(residual: Array, covariance: Array) -> tuple[Array, str]:
    """Return C^(−1/2) r with the symmetric root."""
    values, vectors = np.linalg.eigh(covariance)
    if values[0] <= 0:
        return np.full(residual.size, np.nan), "the linearised covariance is singular"
    return vectors @ ((vectors.T @ residual) / np.sqrt(values)), ""
