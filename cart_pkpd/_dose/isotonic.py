"""Isotonic regression of many trials at once."""

from __future__ import annotations

import numpy as np

from cart_pkpd._dose.state import Floats, Ints, Mask

_TIE = 1e-10  # per level, so that of two equal estimates below the target the higher dose wins


def isotonic(values: Floats, weights: Floats) -> Floats:
    """Return the weighted isotonic regression of each row, by the max–min formula.

    Parameters
    ----------
    values, weights : ndarray, shape (T, K)
        Entries of weight 0 take no part and are NaN in the result.

    Notes
    -----
    The estimate at j is max over i ≤ j of min over l ≥ j of the weighted mean of i … l; K is
    small, so all means are formed.
    """
    used = weights > 0
    zero = np.zeros((values.shape[0], 1))
    w = np.concatenate([zero, np.cumsum(weights, axis=1)], axis=1)
    s = np.concatenate([zero, np.cumsum(np.where(used, values * weights, 0), axis=1)], axis=1)
    k = values.shape[1]
    out = np.full(values.shape, np.nan)
    for j in range(k):
        best = np.full(values.shape[0], -np.inf)
        for i in range(j + 1):
            least = np.full(values.shape[0], np.inf)
            for end in range(j, k):
                total = w[:, end + 1] - w[:, i]
                mean = (s[:, end + 1] - s[:, i]) / np.where(total > 0, total, 1)
                least = np.where(used[:, end] & (total > 0), np.minimum(least, mean), least)
            best = np.where(used[:, i], np.maximum(best, least), best)
        out[:, j] = np.where(used[:, j], best, np.nan)
    return out


def estimates(n: Ints, y: Ints, prior: tuple[float, float]) -> Floats:
    """Return isotonic estimates of the DLT probability, NaN at doses never given.

    Parameters
    ----------
    n, y : ndarray of int, shape (T, K)
    prior : (float, float)
        Pseudo-counts of DLTs and of patients without one; weights are inverse variances of the
        beta posterior.
    """
    a, b = y + prior[0], n - y + prior[1]
    total = a + b
    variance = a * b / (total**2 * (total + 1))
    return isotonic(a / total, np.where(n > 0, 1 / variance, 0.0))


def nearest(estimate: Floats, target: float, allowed: Mask, bound: float | None) -> Ints:
    """Return the level whose estimate is closest to the target, -1 for none."""
    shifted = estimate + _TIE * np.arange(1, estimate.shape[1] + 1)
    fit = allowed & np.isfinite(estimate)
    if bound is not None:
        fit = fit & (estimate <= bound)
    distance = np.where(fit, np.abs(shifted - target), np.inf)
    return np.where(fit.any(axis=1), distance.argmin(axis=1), -1)
