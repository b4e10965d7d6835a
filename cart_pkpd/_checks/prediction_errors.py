"""Normalised prediction distribution errors: where measurements stand among simulated ones.

The arithmetic on arrays only; :func:`cart_pkpd.checks.residuals` gathers what it needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats
from scipy.linalg import LinAlgError, cholesky, solve_triangular

from cart_pkpd._checks.simulation import limits
from cart_pkpd._stats.design import ABOVE, BELOW, BETWEEN, Design

_FEWEST = 20

type Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Errors:
    """Prediction errors of n records, with the reason beside each that is NaN.

    Attributes
    ----------
    npd, npde : ndarray, shape (n,)
        Normal scores before and after decorrelation within each patient.
    npd_reason, npde_reason : ndarray of str, shape (n,)
        Empty where there is a number.
    """

    npd: Array
    npde: Array
    npd_reason: NDArray[np.str_]
    npde_reason: NDArray[np.str_]


def prediction_errors(design: Design, simulated: Array, rng: np.random.Generator) -> Errors:
    """Return NPD and NPDE of the records of one endpoint.

    Parameters
    ----------
    design : Design
        n records of one endpoint.
    simulated : ndarray, shape (s, n)
        Simulated measurements, not censored.
    rng : numpy.random.Generator
        Places censored records within their probability.
    """
    n = design.n_obs
    npd, npde = np.full(n, np.nan), np.full(n, np.nan)
    why_npd, why_npde = (np.full(n, "", dtype="<U80") for _ in range(2))
    for i in range(design.n_patients):
        rows = np.flatnonzero(design.patient == i)
        if not rows.size:
            continue
        known = simulated[:, rows]
        known = known[~np.isnan(known).any(axis=1)]
        if known.shape[0] < _FEWEST:
            why_npd[rows] = why_npde[rows] = (
                f"only {known.shape[0]} of {simulated.shape[0]} simulations have a solution"
            )
            continue
        own, others = normal_scores(design.taken(rows), known, rng)
        flat = np.ptp(others, axis=0) == 0
        npd[rows] = np.where(flat, np.nan, own)
        why_npd[rows[flat]] = why_npde[rows[flat]] = "every simulated value is the same"
        kept = rows[~flat]
        npde[kept], why_npde[kept] = _decorrelated(own[~flat], others[:, ~flat])
    return Errors(npd, npde, why_npd, why_npde)


def normal_scores(
    records: Design, simulated: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Return the normal scores of measured and simulated values among the simulated ones.

    A censored value stands anywhere within its probability of being censored, with equal
    chance; simulated values that would be censored are treated in the same way, so that a
    right model gives standard normal scores whatever share is censored.
    """
    s = simulated.shape[0]
    lloq, uloq = limits(records)
    place = (stats.rankdata(simulated, axis=0) - 0.5) / s
    u = rng.uniform(size=(s + 1, records.n_obs))
    edges = _edges(records, simulated, lloq, uloq)
    for inside, low, high in edges:
        place = np.where(inside, (low + u[1:] * (high - low)) / s, place)
    less = (simulated < records.dv).sum(axis=0)
    ties = (simulated == records.dv).sum(axis=0)
    own = (less + 0.5 * ties + 0.5) / (s + 1)
    for code, (_, low, high) in zip((BELOW, ABOVE, BETWEEN), edges, strict=True):
        within = (low + u[0] * (high - low + 1)) / (s + 1)
        own = np.where(records.code == code, within, own)
    tiny = np.finfo(float).tiny
    return special.ndtri(np.maximum(own, tiny)), special.ndtri(np.maximum(place, tiny))


def _edges(
    records: Design, simulated: Array, lloq: Array, uloq: Array
) -> list[tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]]:
    """Return, below, above and between: which simulated values, and the ranks at both ends."""
    s = simulated.shape[0]
    between = (records.code == BETWEEN) & (simulated > records.low) & (simulated <= records.dv)
    # An interval often lies below the LLOQ (between detection and quantification).
    below, above = (simulated < lloq) & ~between, (simulated > uloq) & ~between
    n_below, n_above = below.sum(axis=0), above.sum(axis=0)
    up_to_low = (simulated <= np.nan_to_num(records.low, nan=-np.inf)).sum(axis=0)
    up_to_high = (simulated <= records.dv).sum(axis=0)
    zero = np.zeros_like(n_below)
    return [
        (below, zero, n_below),
        (above, s - n_above, zero + s),
        (between, up_to_low, up_to_high),
    ]


def _decorrelated(own: Array, others: Array) -> tuple[Array, NDArray[np.str_]]:
    """Return the scores of one patient's records decorrelated, and reasons."""
    s, n = others.shape
    if n > s // 2:
        return np.full(n, np.nan), np.full(n, f"{n} records need more than {s} simulations")
    mean = others.mean(axis=0)
    try:
        factor = cholesky(np.cov(others.T).reshape(n, n), lower=True)
    except LinAlgError:
        return np.full(n, np.nan), np.full(n, "simulated records depend on each other exactly")
    value = solve_triangular(factor, own - mean, lower=True)
    among = solve_triangular(factor, (others - mean).T, lower=True).T
    less, ties = (among < value).sum(axis=0), (among == value).sum(axis=0)
    return special.ndtri((less + 0.5 * ties + 0.5) / (s + 1)), np.full(n, "", dtype="<U80")
