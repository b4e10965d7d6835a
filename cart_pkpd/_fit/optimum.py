"""Where the posterior of a model without random effects is highest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from cart_pkpd._fit.posterior import Evaluation, Posterior
from cart_pkpd._fit.start import on_the_line
from cart_pkpd._stats.population import Structure

_STARTS = 8
_SEED = 20_190_401
_WORST = 1e10
_WITHIN = (0.1, 0.9)


def best_start(
    structure: Structure, posterior: Posterior, function: Evaluation, centre: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the highest of several optima, found from `centre` and from draws of the priors.

    One patient's differential equations often have several optima far apart, of which all but
    one explain nothing; chains that begin at a poor one stay there. Only for posteriors
    without varying parameters: with them, the highest point is far from where the draws are.
    """
    rng = np.random.default_rng(_SEED)
    starts = [centre, *(_from_priors(structure, rng) for _ in range(_STARTS))]

    def minus(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, gradient = function(x)
        if not np.isfinite(value) or not np.isfinite(gradient).all():
            return _WORST, np.zeros_like(x)
        return -value, -gradient

    found = [
        minimize(minus, s, jac=True, method="L-BFGS-B", options={"maxiter": 300}) for s in starts
    ]
    function.unsolved[:] = 0  # what failed on the way here is no news of the sampling
    best = min(found, key=lambda f: float(f.fun))
    return np.asarray(best.x, dtype=float) if best.fun < _WORST else centre


def _from_priors(structure: Structure, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a point whose quantities are drawn from the middle of their priors."""
    quantiles = rng.uniform(*_WITHIN, size=len(structure.quantities))
    pairs = zip(structure.quantities, quantiles, strict=True)
    return np.array([on_the_line(q.prior, float(q.prior.quantile(p))) for q, p in pairs])
