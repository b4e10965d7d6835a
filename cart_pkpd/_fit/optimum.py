"""Where the posterior of a model without random effects is highest."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from cart_pkpd._fit.posterior import Evaluation, Posterior
from cart_pkpd._fit.start import on_the_line

_STARTS = 8
_SEED = 20_190_401
_WORST = 1e10
_WITHIN = (0.1, 0.9)


def best_start(
    posterior: Posterior, function: Evaluation, centre: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the highest of several optima, found from `centre` and from draws of the priors.

    One patient's differential equations often have several optima far apart, of which all but
    one explain nothing; chains that begin at a poor one stay there. Only for posteriors
    without varying parameters: with them, the highest point is far from where the draws are.
    """
    rng = np.random.default_rng(_SEED)
    starts = [centre, *(_from_priors(posterior, rng) for _ in range(_STARTS))]
    found = [_minimum(function, s) for s in starts]
    function.unsolved[:] = 0  # what failed on the way here is no news of the sampling
    best = min(found, key=lambda f: float(f.fun))
    return np.asarray(best.x, dtype=float) if best.fun < _WORST else centre


def lifted(
    posterior: Posterior, function: Evaluation, centre: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the start with patients and what stands beside the records where both fit best.

    Typical values, omegas and residual errors stay: with them, the highest point is far from
    where the draws are. First the extra quantities are fitted to the patients as they are, as in a
    second stage, then both together.
    """
    begin, end = len(posterior.structure.quantities), len(posterior.quantities)
    stages = (np.arange(begin, end), np.arange(begin, posterior.size))
    best = centre
    for free in stages:
        found = _minimum(function, best, free)
        if found.fun < _WORST:
            best = best.copy()
            best[free] = found.x
    function.unsolved[:] = 0
    return best


def _minimum(
    function: Evaluation, start: NDArray[np.float64], free: NDArray[np.int64] | slice = slice(None)
) -> Any:
    """Return the lowest point of the negative log density, in some of the coordinates."""

    def minus(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        point = start.copy()
        point[free] = x
        value, gradient = function(point)
        if not np.isfinite(value) or not np.isfinite(gradient).all():
            return _WORST, np.zeros_like(x)
        return -value, -gradient[free]

    return minimize(minus, start[free], jac=True, method="L-BFGS-B", options={"maxiter": 300})


def _from_priors(posterior: Posterior, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a point whose quantities are drawn from the middle of their priors."""
    quantiles = rng.uniform(*_WITHIN, size=len(posterior.quantities))
    pairs = zip(posterior.quantities, quantiles, strict=True)
    return np.array([on_the_line(q.prior, float(q.prior.quantile(p))) for q, p in pairs])
