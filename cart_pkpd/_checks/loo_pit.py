"""Leave-one-out probability integral transform of every record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._checks.common import as_values, stacked
from cart_pkpd._fit.draws import residual_draws
from cart_pkpd._stats.design import ABOVE, BELOW, BETWEEN, QUANTIFIED, Design
from cart_pkpd._stats.error import ErrorModel
from cart_pkpd._stats.likelihood import pointwise_loglik
from cart_pkpd._stats.predict import predict

if TYPE_CHECKING:
    from cart_pkpd._fit.result import FitResult

_WORST_K = 0.7
_SAME = 1e-9
_FEWEST = 25  # draws from which a tail can be smoothed

type Array = NDArray[np.float64]


def loo_pit(
    result: FitResult, design: Design, picked: NDArray[np.int64], rng: np.random.Generator
) -> tuple[Array, NDArray[np.str_]]:
    """Return the probability of a value up to the measured one, given all other records.

    Parameters
    ----------
    result : FitResult
        A Bayesian fit.
    design : Design
        n records of one endpoint.
    picked : ndarray of int, shape (s,)
        Posterior draws used.
    rng : numpy.random.Generator
        Places censored records within their probability.

    Notes
    -----
    The patient's own parameters are averaged with Pareto-smoothed importance weights (Vehtari,
    Gelman & Gabry 2017, Stat Comput 27:1413); the distribution of the measurement given them is
    known, so nothing is simulated.
    """
    structure = result.structure
    m = structure.design.index(design.endpoint)
    error = structure.errors[m]
    individual = as_values(stacked(result.individual(), picked))
    f = predict(structure.model, design, individual, log=(error.on_log,))
    sigmas = structure.sigmas(residual_draws(structure, stacked(result.draws(), picked)))[m]
    loglik = pointwise_loglik((error,), design, f, (sigmas,))
    low, high = _edges(error, design, f, sigmas)
    weight, pareto_k = _weights(loglik)
    low, high = (weight * low).sum(axis=0), (weight * high).sum(axis=0)
    u = rng.uniform(size=design.n_obs)
    value = np.where(design.code == QUANTIFIED, high, low + u * (high - low))
    bad = ~(pareto_k <= _WORST_K) | ~np.isfinite(value)
    why = np.where(bad, f"importance weights are unreliable (Pareto k above {_WORST_K:g})", "")
    return np.where(bad, np.nan, np.clip(value, 0.0, 1.0)), why


def _weights(loglik: Array) -> tuple[Array, Array]:
    """Return importance weights, shape (s, n), and the Pareto k of each record."""
    import arviz_stats

    s, n = loglik.shape
    weight, pareto_k = np.full((s, n), 1.0 / s), np.full(n, -np.inf)
    # Where every draw says the same, leaving the record out changes nothing.
    acting = np.flatnonzero(~(np.ptp(loglik, axis=0) <= _SAME))
    if acting.size and s < _FEWEST:
        pareto_k[acting] = np.inf
    elif acting.size:
        base: Any = arviz_stats.base  # partly untyped, and not all of it exported
        psislw = base.array_stats.psislw
        log_weight, k = psislw(loglik[:, acting], axis=0)
        # It takes the log-likelihood and turns its sign itself; the draws come back last.
        weight[:, acting], pareto_k[acting] = np.exp(np.asarray(log_weight)).T, np.asarray(k)
    return weight, pareto_k


def _edges(
    error: ErrorModel, design: Design, f: Array, sigmas: dict[str, Array]
) -> tuple[Array, Array]:
    """Return the probabilities of lying below both ends of what was measured, shape (s, n)."""

    def below(limit: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(error.below(limit, f, sigmas), dtype=float)

    at = below(design.dv)
    code = design.code
    low = np.where(code == BETWEEN, below(np.where(code == BETWEEN, design.low, 1.0)), at)
    return (
        np.where(code == BELOW, 0.0, low),
        np.where(code == ABOVE, 1.0, at),
    )
