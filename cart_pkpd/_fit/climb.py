"""The search for the maximum of a marginal likelihood, and the curvature there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from cart_pkpd._core.errors import FitError
from cart_pkpd._fit.flat import Told, told_by
from cart_pkpd._fit.marginal import MOST_LOGIT, Evaluated, Marginal

_ROUNDS, _GTOL = 4, 2e-4
_ENOUGH, _VAIN = 1e-5, 1e-4
_NO_VALUE = 1e3
_WARMING = 6
_JITTER = 0.3
_IN_VAIN = 6
_NEAR_ZERO, _NEAR_LIMIT = 1e-3, 1e-2
_LIMIT = 2.0 * float(np.arctanh(0.999))
_AGAIN = 3
_RIDGE = 1e-3
_LEAST_EIGENVALUE = 1e-13
_STEP_OF_SD, _LEAST_STEP, _MOST_STEP = 0.05, 1e-3, 0.05

type Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Optimum:
    """The best point that was found.

    Attributes
    ----------
    x : ndarray, shape (d,)
        Coordinates.
    at : Evaluated
        The marginal likelihood there, by patient.
    hessian : ndarray, shape (d, d)
        Second derivatives of -2 ln L, NaN by coordinates that are held.
    held : ndarray of bool, shape (d,)
        Omegas and residual parameters that are 0 as far as the data tell, and correlations that
        are at a limit or of such an omega.
    iterations : int
        Steps of the search that led here.
    starts : tuple of float
        The smallest -2 ln L found from each start.
    """

    x: Array
    at: Evaluated
    hessian: Array
    held: NDArray[np.bool_]
    iterations: int
    starts: tuple[float, ...]

    @property
    def gradient(self) -> Array:
        """Derivatives of -2 ln L at the optimum, shape (d,)."""
        return self.at.gradient.sum(axis=0)


def climb(
    marginal: Marginal, *, starts: int, seed: int, iterations: int, first: Array | None = None
) -> Optimum:
    """Return the optimum from several starts.

    Parameters
    ----------
    marginal : Marginal
        -2 ln L and its gradient.
    starts : int
        The first is read off the data, the second has the model's own values, the others are
        drawn about the first.
    seed : int
        Of those draws.
    iterations : int
        Most steps from each start.
    first : ndarray, shape (d,), optional
        Coordinates that come before all these, such as those of an earlier fit.

    Raises
    ------
    FitError
        If no start has a likelihood.
    """
    points = _starts(marginal, starts, seed)
    if first is not None:
        points = [(first, np.zeros_like(points[0][1])), *points][:starts]
    begun = [_warmed(marginal, x, z) for x, z in points]
    found = [_searched(marginal, x, z, iterations) for x, z in begun]
    values = tuple(f.total if f is not None else np.inf for f in found)
    solved = [f for f in found if f is not None]
    if not solved:
        raise FitError(_no_start(marginal))
    best = min(solved, key=lambda f: f.total)
    best = _with_better_modes(marginal, best, iterations)
    best = _without_small(marginal, best, iterations)
    return _without_edges(marginal, best, _finished(marginal, best, values), iterations)


@dataclass(frozen=True, eq=False)
class _Found:
    x: Array
    at: Evaluated
    iterations: int
    held: NDArray[np.bool_]

    @property
    def total(self) -> float:
        return float(self.at.value.sum())


def _starts(marginal: Marginal, count: int, seed: int) -> list[tuple[Array, Array]]:
    rng = np.random.default_rng(seed)
    first, z = marginal.at_start(), marginal.deviations_at_start()
    own = first.copy()
    names = marginal.structure.located
    n = len(names)
    parameters = marginal.structure.model.parameters
    own[:n] = [float(parameters[p].to_free(parameters[p].typical)) for p in names]
    points = [(first, z), (own, np.zeros_like(z))]
    while len(points) < count:
        x = first.copy()
        sizes = [parameters[p].spread for p in names]
        x[:n] += _JITTER * np.array(sizes) * rng.standard_normal(n)
        points.append((x, np.zeros_like(z)))
    return points[:count]


def _warmed(marginal: Marginal, x: Array, z: Array) -> tuple[Array, Array]:
    """Return a better start, while a few steps as of expectation and maximisation are better.

    Omegas and means follow the deviations at the modes, residual parameters the residuals there.
    """
    at = marginal.evaluate(x, z)
    for _ in range(_WARMING):
        if not np.isfinite(at.value).all():
            return x, z
        z = at.z
        nearer = marginal.updated(x, at)
        then = marginal.evaluate(nearer, np.zeros_like(z))
        if not then.value.sum() < at.value.sum() - 1.0:
            break
        x, at, z = nearer, then, then.z
    return x, z


def _no_start(marginal: Marginal) -> str:
    value = marginal.evaluate(marginal.at_start(), marginal.deviations_at_start()).value
    ids = marginal.structure.design.ids[~np.isfinite(value)]
    return (
        f"the records of patient {', '.join(map(repr, map(str, ids[:5])))} have no likelihood at "
        "the starting values; check units, doses and limits of quantification, or give the model "
        "other typical values."
    )


def _searched(
    marginal: Marginal,
    start: Array,
    z: Array,
    iterations: int,
    held: NDArray[np.bool_] | None = None,
) -> _Found | None:
    """Return the lowest point that quasi-Newton steps reach; None if the start has no value."""
    free = ~held if held is not None else np.ones(start.size, dtype=bool)
    at = marginal.evaluate(start, z)
    if not np.isfinite(at.value).all():
        return None
    best = _Found(start, at, 0, ~free)
    for _ in range(_ROUNDS if iterations > 0 else 0):
        before = best.total
        best = _round(marginal, best, free, iterations - best.iterations)
        if before - best.total < _ENOUGH or best.iterations >= iterations:
            break
    return best


def _round(marginal: Marginal, best: _Found, free: NDArray[np.bool_], iterations: int) -> _Found:
    """Take quasi-Newton steps where curvature, told by the patients' gradients, is that of a ball.

    The sum of the outer products of the patients' scores is their information (Berndt, Hall, Hall
    & Hausman 1974), here kept from being singular.
    """
    start, back = best.x.copy(), _scaling(best.at.gradient[:, free])
    held, last, steps, vain = best, best.total, 0, 0

    def in_u(u: Array) -> tuple[float, Array]:
        nonlocal held, last, vain
        x = start.copy()
        x[free] += back @ u
        at = marginal.evaluate(x, held.at.z)
        total, gradient = float(at.value.sum()), at.gradient.sum(axis=0)
        if not np.isfinite(total) or not np.isfinite(gradient).all():
            # Higher by so little that the next step is not a tiny one.
            return held.total + _NO_VALUE, np.zeros_like(u)
        if total < held.total:
            held = replace(held, x=x, at=at)
        vain, last = (0, total) if total < last - _VAIN else (vain + 1, last)
        if vain > _IN_VAIN:
            raise _Stalled
        return total, back.T @ gradient[free]

    def count(_: Array) -> None:
        nonlocal steps
        steps += 1

    options = {"gtol": _GTOL, "maxiter": max(1, iterations)}
    u = np.zeros(int(free.sum()))
    # What a line search does last is to look for digits that are not there.
    with contextlib.suppress(_Stalled):
        minimize(in_u, u, jac=True, method="BFGS", callback=count, options=options)
    return replace(held, iterations=best.iterations + steps)


class _Stalled(Exception):
    """Many points in a row were no better."""


def _scaling(gradients: Array) -> Array:
    """Return a matrix that turns the scores' information into the unit matrix."""
    information = gradients.T @ gradients / 2.0
    sizes = np.sqrt(np.maximum(np.diag(information), 1e-8))
    scaled = information / np.outer(sizes, sizes) + _RIDGE * np.eye(sizes.size)
    return np.linalg.inv(np.linalg.cholesky(scaled)).T / sizes[:, None]


def _continued(
    marginal: Marginal,
    best: _Found,
    x: Array,
    z: Array,
    iterations: int,
    held: NDArray[np.bool_] | None = None,
) -> _Found:
    """Return what a further search from another point or other modes finds."""
    found = _searched(marginal, x, z, iterations - best.iterations, held)
    if found is None:
        return best
    return replace(found, iterations=best.iterations + found.iterations)


def _with_better_modes(marginal: Marginal, best: _Found, iterations: int) -> _Found:
    """Search again if some patients' deviations have a better mode than the one followed."""
    others = [np.zeros_like(best.at.z), marginal.deviations_at_start()]
    z, p = best.at.z, marginal.point(best.x)
    own = marginal.modes(p, z).value
    for other in others:
        found = marginal.modes(p, other)
        better = found.value < own - 1e-4
        z, own = np.where(better[:, None], found.x, z), np.where(better, found.value, own)
    if np.array_equal(z, best.at.z):
        return best
    return _continued(marginal, best, best.x, z, iterations)


def _without_small(marginal: Marginal, best: _Found, iterations: int) -> _Found:
    """Hold standard deviations at 0 where that costs nothing, and correlations at their limit."""
    held = marginal.at_bound(best.x)
    for i in marginal.sd_places:
        x = best.x.copy()
        x[i] = -np.inf
        if marginal.evaluate(x, best.at.z).value.sum() < best.total + _NEAR_ZERO:
            held[i] = True
    held = marginal.held_with(held)
    if not held.any():
        return best
    x = marginal.at_held(best.x, held)
    return _continued(marginal, best, x, best.at.z, iterations, held)


def _finished(marginal: Marginal, best: _Found, starts: tuple[float, ...]) -> Optimum:
    """Return the optimum with its curvature, after a last Newton step where that is lower."""
    free = ~best.held
    hessian = _hessian(marginal, best, free)
    block = hessian[np.ix_(free, free)]
    gradient = best.at.gradient.sum(axis=0)[free]
    if positive_definite(block):
        x = best.x.copy()
        x[free] -= np.linalg.solve(block, gradient)
        at = marginal.evaluate(x, best.at.z)
        if at.value.sum() <= best.total + 1e-9:
            best = replace(best, x=x, at=at)
    return Optimum(best.x, best.at, hessian, best.held, best.iterations, starts)


def _without_edges(marginal: Marginal, best: _Found, found: Optimum, iterations: int) -> Optimum:
    """Hold what is at an edge of what it may be after the last search too, and search again.

    A correlation may reach its limit in the last search only; an omega that the curvature says
    nothing of is 0 as far as the data tell if that costs next to nothing.
    """
    for _ in range(_AGAIN):
        x, held = _edges(marginal, found)
        if np.array_equal(held, found.held):
            break
        best = replace(best, x=found.x, at=found.at, held=held)
        best = _continued(marginal, best, x, found.at.z, iterations, held)
        found = _finished(marginal, best, found.starts)
    return found


def _edges(marginal: Marginal, found: Optimum) -> tuple[Array, NDArray[np.bool_]]:
    """Return coordinates with those at an edge put there, and which are to be held."""
    best = float(found.at.value.sum())

    def costs_nothing(x: Array) -> bool:
        return bool(marginal.evaluate(x, found.at.z).value.sum() < best + _NEAR_LIMIT)

    held, x = found.held.copy(), found.x.copy()
    for i in (i for i in marginal.pair_places if not held[i] and abs(x[i]) > _LIMIT):
        there = x.copy()
        there[i] = np.copysign(MOST_LOGIT, x[i])
        if costs_nothing(there):
            x, held[i] = there, True
    unsaid = ~np.isfinite(np.diag(told(marginal, found).covariance))
    for i in (i for i in marginal.sd_places if not held[i] and unsaid[i]):
        zero = held.copy()
        zero[i] = True
        zero = marginal.held_with(zero)
        if costs_nothing(marginal.at_held(x, zero)):
            held = zero
    return marginal.at_held(x, held), held


def told(marginal: Marginal, found: Optimum) -> Told:
    """Return what the curvature at an optimum tells of all coordinates, by their places."""
    free = np.flatnonzero(~found.held)
    d = found.x.size
    inner = told_by(
        found.hessian[np.ix_(free, free)] / 2.0, marginal.sizes[free], marginal.widest[free]
    )
    covariance = np.full((d, d), np.nan)
    covariance[np.ix_(free, free)] = inner.covariance
    flat = tuple(tuple(free[list(group)].tolist()) for group in inner.flat)
    return Told(covariance, flat, tuple(free[list(inner.wide)].tolist()))


def positive_definite(matrix: Array) -> bool:
    """Return True for a curvature that has an inverse, whatever units its coordinates have."""
    sizes = np.diag(matrix)
    if not matrix.size or not np.isfinite(matrix).all() or not (sizes > 0).all():
        return False
    scaled = matrix / np.sqrt(np.outer(sizes, sizes))
    return bool(np.linalg.eigvalsh(scaled)[0] > _LEAST_EIGENVALUE)


def _hessian(marginal: Marginal, best: _Found, free: NDArray[np.bool_]) -> Array:
    """Return second derivatives of -2 ln L from differences of its gradient."""
    back = _scaling(best.at.gradient[:, free])
    sds = np.sqrt(2.0 * np.einsum("ab,ab->a", back, back))
    steps = np.clip(_STEP_OF_SD * sds, _LEAST_STEP, _MOST_STEP)
    out = np.full((best.x.size, best.x.size), np.nan)
    rows = np.flatnonzero(free)
    slope = _total_gradient(marginal, best.at.z)
    for i, h in zip(rows, steps, strict=True):
        step = np.zeros(best.x.size)
        step[i] = h
        out[i, rows] = (slope(best.x + step) - slope(best.x - step))[rows] / (2.0 * h)
    return (out + out.T) / 2.0


def _total_gradient(marginal: Marginal, z: Array) -> Callable[[Array], Array]:
    return lambda x: marginal.evaluate(x, z).gradient.sum(axis=0)
