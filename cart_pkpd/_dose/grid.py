"""Quadrature for logistic curves: a fixed grid, so that many posteriors are matrix products.

With counts y of n at each dose the log likelihood is linear in the counts, so the posteriors of T
trials on G nodes are one product (T × 2K)(2K × G) and one exponential, and every mean and
probability is a column of a second product. On an equally spaced grid the trapezoidal rule of a
smooth density that vanishes at the ends converges exponentially. Probabilities of an event
{DLT probability ≥ c} are integrals of a step; the step is put at its exact place by integrating the
cardinal (sinc) interpolant of the density along the intercept, which keeps that convergence [1]_.

References
----------
.. [1] Stenger (1993), Numerical Methods Based on Sinc and Analytic Functions, Springer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from scipy.special import expit, logit, sici

from cart_pkpd._dose.priors import Prior
from cart_pkpd._dose.state import Floats

_WIDTH = 6.5  # half width of the grid in prior standard deviations
_NODES_PER_SD = 1.7  # of the narrowest slice that `n` patients can give
_STEP_B = 0.11
_CHUNK = 3_000_000  # numbers held at once: trials × nodes


def step_weights(at: Floats, nodes: Floats, step: float) -> Floats:
    """Return weights w with Σ w f(node) = ∫ f from `at` to infinity (times 1/step)."""
    return 0.5 - sici(np.pi * (at - nodes) / step)[0] / np.pi


@dataclass(frozen=True, eq=False)
class Grid:
    """Nodes of (log α, log β) with the log prior at each.

    Attributes
    ----------
    a, b : ndarray, shape (G,)
    log_prior : ndarray, shape (G,)
    step : float
        Of `a`.
    """

    a: Floats
    b: Floats
    log_prior: Floats
    step: float

    @cached_property
    def beta(self) -> Floats:
        """Slopes, shape (G,)."""
        return np.exp(self.b)

    def log_odds(self, x: Floats) -> Floats:
        """Return log odds of a DLT at x = log(dose / reference), shape (len(x), G)."""
        return self.a + self.beta * np.asarray(x)[:, None]

    def above(self, x: Floats, cutoff: float) -> Floats:
        """Return weights of the event {DLT probability ≥ cutoff}, shape (len(x), G)."""
        at = logit(cutoff) - self.beta * np.asarray(x)[:, None]
        return step_weights(at, self.a, self.step)


@lru_cache(maxsize=16)
def grid(prior: Prior, patients: int, refine: int = 0) -> Grid:
    """Return a grid fine enough for posteriors of up to so many patients.

    Parameters
    ----------
    prior : BivariateNormal or Mixture
    patients : int
        A binary outcome carries an information of at most 1/4 on its log odds, which bounds the
        posterior's width from below.
    refine : int
        Halvings of the steps by √2, for checks of the error.
    """
    axes = []
    for i in (0, 1):
        parts = [(p.mean[i], p.sd[i]) for _, p in prior.components]
        low, high = min(m - _WIDTH * s for m, s in parts), max(m + _WIDTH * s for m, s in parts)
        least = min(s for _, s in parts)
        corr = max(p.corr**2 for _, p in prior.components)
        narrow = 1 / np.sqrt(0.25 * patients * (i == 0) + 1 / (least**2 * (1 - corr)))
        step = narrow / _NODES_PER_SD if i == 0 else min(narrow / _NODES_PER_SD, _STEP_B)
        count = int(np.ceil((high - low) / (step / 2 ** (refine / 2)))) + 1
        axes.append(np.linspace(low, high, count))
    a, b = (v.ravel() for v in np.meshgrid(*axes, indexing="ij"))
    return Grid(a, b, prior.log_density(a, b), float(axes[0][1] - axes[0][0]))


def size_for(patients: int) -> int:
    """Return a number of patients at least as large, from few: 32, 64, 128, …."""
    return int(2 ** max(5, np.ceil(np.log2(max(patients, 1)))))


def functionals(g: Grid, x: Floats, cutoffs: Sequence[float]) -> Floats:
    """Return columns for π and each exceedance at each x: shape (G, (1 + cutoffs) · len(x))."""
    return np.concatenate([expit(g.log_odds(x)), *(g.above(x, c) for c in cutoffs)]).T


def expectations(log_prior: Floats, counts: Floats, terms: Floats, columns: Floats) -> Floats:
    """Return posterior expectations of `columns`, shape (T, columns).

    Parameters
    ----------
    log_prior : ndarray, shape (G,)
    counts : ndarray, shape (T, M)
        How often each likelihood term occurs.
    terms : ndarray, shape (M, G)
        Log likelihood terms.
    columns : ndarray, shape (G, F)
    """
    out = np.empty((counts.shape[0], columns.shape[1]))
    rows = max(1, _CHUNK // log_prior.size)
    for start in range(0, counts.shape[0], rows):
        part = slice(start, start + rows)
        density = counts[part] @ terms
        density += log_prior
        density -= density.max(axis=1, keepdims=True)
        np.exp(density, out=density)
        out[part] = density @ columns / density.sum(axis=1, keepdims=True)
    return out
