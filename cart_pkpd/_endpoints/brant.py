"""Brant's test that the slopes of all cumulative logits are equal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import chi2

from cart_pkpd._crs.arrange import separated

Floats = NDArray[np.float64]


def brant(x: Floats, category: NDArray[np.int64], levels: int) -> tuple[float, int, float, str]:
    """Return statistic, degrees of freedom, p-value, and why there is none.

    Parameters
    ----------
    x : ndarray, shape (n, p)
        Predictors.
    category : ndarray of int, shape (n,)
        0 to levels − 1.
    levels : int

    Notes
    -----
    A logistic regression is fitted at every threshold; the differences of their slopes to those at
    the first have a known covariance under equal slopes.

    References
    ----------
    .. [1] Brant, Biometrics 46:1171 (1990), :doi:`10.2307/2532457`.
    """
    p = x.shape[1]
    dof = (levels - 2) * p
    fits = []
    for k in range(1, levels):
        yes = category >= k
        if yes.all() or not yes.any() or separated(x, [np.where(yes, 1, -1)]):
            return np.nan, dof, np.nan, f"outcome ≥ {k} has no finite logistic regression"
        fits.append(_logistic(np.column_stack([np.ones(len(x)), x]), yes.astype(float)))
    design = np.column_stack([np.ones(len(x)), x])
    slopes = np.concatenate([b[1:] for b, _ in fits])
    covariance = _joint(design, [pi for _, pi in fits])
    first = np.kron(np.ones((levels - 2, 1)), np.eye(p))
    contrast = np.hstack([first, -np.eye(dof)])
    difference = contrast @ slopes
    statistic = float(difference @ np.linalg.solve(contrast @ covariance @ contrast.T, difference))
    return statistic, dof, float(chi2.sf(statistic, dof)), ""


def _logistic(design: Floats, y: Floats) -> tuple[Floats, Floats]:
    beta = np.zeros(design.shape[1])
    for _ in range(50):
        pi = expit(design @ beta)
        information = (design * (pi * (1 - pi))[:, None]).T @ design
        step = np.linalg.solve(information, design.T @ (y - pi))
        beta = beta + step
        if np.abs(step).max() < 1e-10:
            break
    return beta, expit(design @ beta)


def _joint(design: Floats, pi: list[Floats]) -> Floats:
    """Return the covariance of the slopes of all thresholds, one after the other."""
    inverse = [np.linalg.inv((design * (q * (1 - q))[:, None]).T @ design) for q in pi]
    rows = []
    for j, a in enumerate(pi):
        row = []
        for k, b in enumerate(pi):
            # P(≥ j and ≥ k) is that of the higher threshold.
            weight = (b if k > j else a) - a * b
            cross = inverse[j] @ ((design * weight[:, None]).T @ design) @ inverse[k]
            row.append(cross[1:, 1:])
        rows.append(row)
    return np.block(rows)
