"""Dose–toxicity curves on nodes of their parameters: posteriors of many trials at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cart_pkpd._dose.grid import expectations
from cart_pkpd._dose.state import Floats, State, Summary

_ALMOST = 1 - 1e-12  # a weight of 1 at a DLT probability of 1 has no logarithm


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve at K doses on G nodes.

    Attributes
    ----------
    log_prior : ndarray, shape (G,)
        Log prior times the volume of a node.
    p, log_p, log_q : ndarray, shape (K, G)
        DLT probability, its log, and the log of its complement.
    above : callable
        Weights of {DLT probability ≥ cutoff}, shape (K, G).
    parameters : ndarray, shape (G, M)
    at : callable
        DLT probabilities, shape (T, K), at parameters of shape (T, M).
    """

    log_prior: Floats
    p: Floats
    log_p: Floats
    log_q: Floats
    above: Callable[[float], Floats]
    parameters: Floats
    at: Callable[[Floats], Floats]


def summary_of(
    curve: Curve, state: State, cutoffs: tuple[float, ...], weight: Callable[[Floats], Floats]
) -> Summary:
    """Return what the posteriors of T trials say of every dose.

    Parameters
    ----------
    curve : Curve
    state : State
        Pending patients count with ``weight``.
    cutoffs : tuple of float
    weight : callable
        Share of DLTs expected by a share of the window.
    """
    late = state.pending.reshape(state.size, -1)
    used = late.any(axis=0)
    rows = np.concatenate([state.y, state.n - state.y, late[:, used]], axis=1)
    unique, place = np.unique(rows, axis=0, return_inverse=True)
    terms = np.concatenate([curve.log_p, curve.log_q])
    if used.any():
        level, day = np.nonzero(used.reshape(state.levels, -1))
        share = np.asarray(weight(state.share[day]))[:, None]
        late_terms = np.log1p(-np.minimum(share, _ALMOST) * curve.p[level])
        terms = np.concatenate([terms, late_terms])
    columns = np.concatenate(
        [curve.p, *(curve.above(c) for c in cutoffs), curve.parameters.T]
    ).T  # (G, columns)
    out = expectations(curve.log_prior, unique.astype(float), terms, columns)[place.ravel()]
    k = state.levels
    above = {c: np.clip(out[:, (i + 1) * k : (i + 2) * k], 0, 1) for i, c in enumerate(cutoffs)}
    return Summary(out[:, :k], curve.at(out[:, k * (1 + len(cutoffs)) :]), above)
