"""Profile-likelihood intervals: how far a parameter can move before the data object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2

from cart_pkpd._fit.objective import HUGE, Matrix, Problem, Vector
from cart_pkpd._fit.slopes import maximise

LEVEL = 0.95
_ALLOWED = float(chi2.ppf(LEVEL, 1)) / 2.0
_IMPROVED = 0.02
_ENDED = 1e-3
_GTOL = 1e-3
_PRECISION = 1e-4
_FIRST_STEP = 0.1
_WIDER = 2.0
_SEARCHES = 3
_LEAST_CURVED = 1e-6


@dataclass(frozen=True, eq=False)
class Profile:
    """Limits of every parameter on the free scale, ±inf where the data set none.

    Attributes
    ----------
    lower, upper : ndarray, shape (m,)
        Where −2 ln likelihood, minimised over all others, is 3.84 above its least.
    better : ndarray or None
        A vector with a higher likelihood than that at which the profiles began, if one was met:
        the search must then begin again from there.
    """

    lower: Vector
    upper: Vector
    better: Vector | None = None


def profile(
    x: Vector,
    value: float,
    stderr: Vector,
    hessian: Matrix,
    problem: Problem,
    *,
    final: bool = False,
) -> Profile:
    """Return the profile-likelihood interval of every estimated parameter.

    Parameters
    ----------
    x : ndarray, shape (m + r,)
        Where the likelihood is largest.
    value : float
        −ln likelihood there.
    stderr : ndarray, shape (m,)
        Standard errors, which say where to look first; NaN where unknown.
    hessian : ndarray, shape (m + r, m + r)
        Curvature, which shapes the searches; 0 for scatters that cannot move.
    problem : Problem
        The records.
    final : bool
        Go on although a higher likelihood is met.

    Notes
    -----
    Venzon & Moolgavkar (1988, Appl Stat 37:87); 3.84 is the 95 % quantile of χ² with one
    degree of freedom.
    """
    m = len(problem.names)
    limits = np.full((2, m), np.nan)
    for i in range(m):
        step = stderr[i] if np.isfinite(stderr[i]) else _FIRST_STEP
        for side, sign in enumerate((-1.0, 1.0)):
            one = _Side(i, sign, x, value, hessian, problem, final)
            limits[side, i] = one.limit(float(step))
            if one.better is not None:
                return Profile(limits[0], limits[1], one.better)
    return Profile(limits[0], limits[1])


class _Side:
    """One parameter moved to one side, the others following.

    Searches begin where the one before ended, because neighbours on a profile are alike.
    """

    def __init__(
        self,
        place: int,
        sign: float,
        x: Vector,
        value: float,
        hessian: Matrix,
        problem: Problem,
        final: bool,
    ) -> None:
        self.better: Vector | None = None
        self._place, self._sign, self._least, self._final = place, sign, value, final
        self._centre, self._last = x, x.copy()
        self._others = np.delete(np.arange(x.size), place)
        self._information = _positive(hessian[np.ix_(self._others, self._others)])
        self._problem = problem
        edge = problem.upper[place] if sign > 0 else problem.lower[place]
        # A search may end elsewhere when it is made again; each distance is searched once.
        self._known = {0.0: -_ALLOWED}
        self._room = abs(float(edge) - float(x[place]))

    def limit(self, step: float) -> float:
        """Return the limit on the free scale, ±inf where there is none within reach."""
        inside, outside = 0.0, min(step * np.sqrt(2 * _ALLOWED), self._room)
        while self._excess(outside) < 0 and self.better is None:
            if outside >= self._room or outside > 1e6 * step:
                return self._sign * np.inf
            inside, outside = outside, min(_WIDER * outside, self._room)
        if self.better is not None:
            return np.nan
        found = brentq(
            self._excess, inside, outside, xtol=_PRECISION * max(outside, 1e-6), maxiter=60
        )
        return float(self._centre[self._place] + self._sign * found)

    def _excess(self, distance: float) -> float:
        """Return by how much −ln likelihood exceeds what is allowed, at a distance."""
        if distance not in self._known:
            self._known[distance] = self._searched(distance) - self._least - _ALLOWED
        return self._known[distance]

    def _searched(self, distance: float) -> float:
        """Return −ln likelihood at a distance, least over the others."""
        at = self._last.copy()
        at[self._place] = self._centre[self._place] + self._sign * distance
        value = HUGE
        for _ in range(_SEARCHES):  # a kink ends a search early; from there it goes on
            before = value
            at, value = self._search(at)
            if before - value < _ENDED:
                break
        if value < HUGE:
            self._last = at
        if value < self._least - _IMPROVED and not self._final:
            self.better = at
        return value

    def _search(self, at: Vector) -> tuple[Vector, float]:
        def value_and_slope(others: Vector) -> tuple[float, Vector]:
            point = at.copy()
            point[self._others] = others
            value, slope = self._problem.with_gradient(point)
            return value, slope[self._others]

        found, value = maximise(value_and_slope, at[self._others], self._information, gtol=_GTOL)
        out = at.copy()
        out[self._others] = found
        return np.clip(out, self._problem.lower, self._problem.upper), value


def _positive(curved: Matrix) -> Matrix:
    """Return a curvature that is a sphere's, or an ellipsoid's, in every direction."""
    values, vectors = np.linalg.eigh(curved)
    sizes = np.maximum(np.abs(values), _LEAST_CURVED * max(np.abs(values).max(), 1e-300))
    return (vectors * sizes) @ vectors.T
