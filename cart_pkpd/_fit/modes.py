"""The smallest value of many small functions at once, one per patient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LARGEST_STEP = 4.0
_ARMIJO, _WOLFE = 1e-4, 0.9
_NOISE = 1e-10

type Array = NDArray[np.float64]
type Function = Callable[[Array, NDArray[np.bool_]], tuple[Array, Array]]


@dataclass(frozen=True, eq=False)
class Minima:
    """Where the k functions of q variables are smallest.

    Attributes
    ----------
    x : ndarray, shape (k, q)
        The points.
    value : ndarray, shape (k,)
        The functions there; infinite where a function has no value even at its start.
    gradient : ndarray, shape (k, q)
        The slopes there.
    decrement : ndarray, shape (k,)
        Twice how much lower each function may still go.
    """

    x: Array
    value: Array
    gradient: Array
    decrement: Array


def minimise(
    function: Function, start: Array, inverse: Array, *, enough: float, steps: int = 60
) -> Minima:
    """Return the minima of k functions by quasi-Newton steps in lockstep.

    Parameters
    ----------
    function : callable
        ``function(x, only)`` gives values (k,) and gradients (k, q) of those that `only` names.
    start : ndarray, shape (k, q)
        Where to begin.
    inverse : ndarray, shape (k, q, q)
        Inverse curvatures there, as good as they are known.
    enough : float
        A function that may go less than half of this lower is done.
    steps : int
        Most steps.

    Notes
    -----
    BFGS with a bisecting search for the weak Wolfe conditions, which also finds minima at kinks
    [1]_, as models with a sudden end of expansion have them.

    References
    ----------
    .. [1] Lewis AS, Overton ML (2013). Nonsmooth optimization via quasi-Newton methods.
       Math Program 141:135. https://doi.org/10.1007/s10107-012-0514-2
    """
    x, h = start.copy(), inverse.copy()
    value, g = function(x, np.ones(x.shape[0], dtype=bool))
    value = np.where(np.isfinite(value) & np.isfinite(g).all(axis=1), value, np.inf)
    g = np.where(np.isfinite(value)[:, None], g, 0.0)
    stuck = ~np.isfinite(value)
    for _ in range(steps):
        direction = -np.einsum("kab,kb->ka", h, g)
        slope = np.einsum("ka,ka->k", g, direction)
        active = (-slope > enough) & ~stuck
        if not active.any():
            break
        direction = _bounded(direction)
        slope = np.einsum("ka,ka->k", g, direction)
        moved, t, new_value, new_g = _search(function, x, value, slope, direction, active)
        s = np.where(moved[:, None], t[:, None] * direction, 0.0)
        y = np.where(moved[:, None], new_g - g, 0.0)
        stuck |= active & ~moved
        x, value = x + s, np.where(moved, new_value, value)
        g = np.where(moved[:, None], new_g, g)
        h = _updated(h, s, y)
    decrement = np.einsum("ka,kab,kb->k", g, h, g)
    return Minima(x, value, g, decrement)


def _bounded(direction: Array) -> Array:
    size = np.linalg.norm(direction, axis=1, keepdims=True)
    return direction * np.minimum(1.0, _LARGEST_STEP / np.maximum(size, 1e-300))


def _search(
    function: Function,
    x: Array,
    value: Array,
    slope: Array,
    direction: Array,
    active: NDArray[np.bool_],
) -> tuple[NDArray[np.bool_], Array, Array, Array]:
    """Return which functions moved, how far, and their values and gradients there."""
    k = value.size
    t, low, high = np.ones(k), np.zeros(k), np.full(k, np.inf)
    moved, searching = np.zeros(k, dtype=bool), active.copy()
    best_t, best_value, best_g = np.zeros(k), value.copy(), np.zeros_like(x)
    allowed = _NOISE * (1.0 + np.abs(np.where(np.isfinite(value), value, 0.0)))
    for _ in range(40):
        at, g = function(x + t[:, None] * direction, searching)
        with np.errstate(invalid="ignore"):
            lower = (at <= value + _ARMIJO * t * slope + allowed) & np.isfinite(g).all(axis=1)
            flat = np.einsum("ka,ka->k", np.where(lower[:, None], g, 0.0), direction)
        good = searching & lower
        moved |= good
        best_t, best_value = np.where(good, t, best_t), np.where(good, at, best_value)
        best_g = np.where(good[:, None], g, best_g)
        low, high = np.where(good, t, low), np.where(searching & ~lower, t, high)
        searching &= ~(good & (flat >= _WOLFE * slope))
        if not searching.any():
            break
        t = np.where(np.isfinite(high), (low + high) / 2, 2.0 * t)
        searching &= (high - low > 1e-12) & (t < 1e3)
        if not searching.any():
            break
    return moved, best_t, best_value, best_g


def _updated(h: Array, s: Array, y: Array) -> Array:
    """Return the inverse curvatures after steps `s` that changed the gradients by `y`."""
    sy = np.einsum("ka,ka->k", s, y)
    good = sy > 1e-14 * np.linalg.norm(s, axis=1) * np.linalg.norm(y, axis=1)
    good &= sy > 0
    rho = np.where(good, 1.0 / np.where(good, sy, 1.0), 0.0)
    hy = np.einsum("kab,kb->ka", h, y)
    yhy = np.einsum("ka,ka->k", y, hy)
    cross = np.einsum("ka,kb->kab", hy, s)
    new = h - rho[:, None, None] * (cross + cross.transpose(0, 2, 1))
    new += (rho**2 * yhy + rho)[:, None, None] * np.einsum("ka,kb->kab", s, s)
    return np.where(good[:, None, None], new, h)
