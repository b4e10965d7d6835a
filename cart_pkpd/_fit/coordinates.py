"""Coordinates in which a posterior is nearly a standard normal, so that samplers move freely.

Two steps lead from such coordinates to a point of :class:`cart_pkpd._fit.posterior.Posterior`,
both exact: they change where the sampler walks, not what it samples.

1. A linear step whitens what is known only together. The curvature of a hierarchical posterior
   is an arrow: one block per patient, one of the population, and what couples each patient with
   the population; its Cholesky factor costs no more than the blocks.
2. A deviation ``z`` of a patient becomes ``(1 - s) e / omega + sqrt(s) u``, with
   ``s = 1 / (1 + J omega**2)``, J what the patient's records tell of the parameter and e where
   they put it. It is the value itself where they tell much and the deviation where they tell
   little, at every omega, between the centred and the non-centred way (Papaspiliopoulos, Roberts
   & Sköld 2007, Statistical Science 22:59-73).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from cart_pkpd._engine import compiling
from cart_pkpd._fit.posterior import Evaluation, kind_of, natural_values

type Array = NDArray[np.float64]
type Function = Callable[[Array], tuple[float, Array]]

_ROOT = float(np.sqrt(2.0 * np.pi))
_LEAST_SHARED, _LEAST_OWN = 0.3, 0.3
"""Least precision that is believed, of one prior standard deviation."""


@dataclass(frozen=True, eq=False)
class Between:
    """How deviations are sampled: between themselves and the patients' own values.

    Attributes
    ----------
    sds : ndarray of int, shape (r,)
        Quantity that is the standard deviation of each effect.
    bounds : ndarray, shape (r, 2)
        Its bounds.
    information : ndarray, shape (r, k)
        What a patient's records tell of the effect, one over a variance; 0 for the deviation
        itself.
    place : ndarray, shape (r, k)
        Where the records put the effect, free scale.
    """

    sds: NDArray[np.int64]
    bounds: Array
    information: Array
    place: Array

    def omegas(self, x: Array) -> Array:
        """Return the standard deviations at points, shape (..., r)."""
        columns = [
            natural_values((low, high), x[..., q])
            for q, (low, high) in zip(self.sds, self.bounds, strict=True)
        ]
        return np.stack(columns, axis=-1) if columns else x[..., :0]

    def forth(self, x: Array, u: Array) -> Array:
        """Return deviations of coordinates (..., r, k) where the population is at `x`."""
        omega = self.omegas(x)[..., None]
        share = 1.0 / (1.0 + self.information * omega**2)
        return (1.0 - share) * self.place / omega + np.sqrt(share) * u


@dataclass(frozen=True, eq=False)
class Coordinates:
    """The way from coordinates to points.

    Attributes
    ----------
    origin : ndarray, shape (d,)
        The point, before the second step, whose coordinates are 0.
    shared : ndarray, shape (p, p)
        Of the population's coordinates.
    own : ndarray, shape (k, r, r)
        Of each patient's.
    across : ndarray, shape (k, r, p)
        How each patient's follow the population's point.
    scale : ndarray, shape (p,)
        Of the second step, 0 where there is none.
    between : Between
        The third step.
    """

    origin: Array
    shared: Array
    own: Array
    across: Array
    scale: Array
    between: Between

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of quantities, effects and patients."""
        k, r, p = self.across.shape
        return p, r, k

    def point(self, w: Array) -> Array:
        """Return the points (..., d) of coordinates (..., d)."""
        x = self._spread(self._moved(w))
        p, r, k = self.shape
        own = self.between.forth(x, x[..., p:].reshape(*x.shape[:-1], r, k))
        return np.concatenate([x[..., :p], own.reshape(*x.shape[:-1], r * k)], axis=-1)

    def _moved(self, w: Array) -> Array:
        p, r, k = self.shape
        lead = w.shape[:-1]
        by = w[..., :p] @ self.shared.T
        own = np.einsum("kab,...bk->...ak", self.own, w[..., p:].reshape(*lead, r, k))
        own -= np.einsum("kap,...p->...ak", self.across, by)
        return self.origin + np.concatenate([by, own.reshape(*lead, r * k)], axis=-1)

    def _spread(self, x: Array) -> Array:
        """Return points with standard deviations on the scale of the posterior."""
        x, moved = x.copy(), np.flatnonzero(self.scale > 0.0)
        x[..., moved] = np.log(self.scale[moved] * bent(x[..., moved]))
        return x

    def density(self, function: Function) -> Function:
        """Return ln density and gradient by coordinates, but for the constant of the linear step."""
        p, r, k = self.shape

        def at(w: Array) -> tuple[float, Array]:
            before = self._moved(w)
            x = self._spread(before)
            u = x[p:].reshape(r, k)
            omega = self.between.omegas(x)[:, None]
            j, e = self.between.information, self.between.place
            share = 1.0 / (1.0 + j * omega**2)
            root = np.sqrt(share)
            z = (1.0 - share) * e / omega + root * u
            value, g = function(np.concatenate([x[:p], z.ravel()]))
            g = g.copy()
            gz = g[p:].reshape(r, k)
            value += 0.5 * np.log(share).sum()
            by_share = -2.0 * omega * j * share**2
            dz = -by_share * e / omega - (1.0 - share) * e / omega**2 + by_share * u / (2 * root)
            by_omega = (gz * dz + 0.5 * by_share / share).sum(axis=1)
            slope = _slopes(self.between, x)
            np.add.at(g, self.between.sds, by_omega * slope)
            gu = gz * root
            for q in np.flatnonzero(self.scale > 0.0):
                v = before[q]
                below = ndtr(v)
                slope_v = below / bent(v)
                value += np.log(slope_v)
                g[q] = g[q] * slope_v + np.exp(-0.5 * v * v) / _ROOT / below - slope_v
            shared = g[:p] - np.einsum("kap,ak->p", self.across, gu)
            own = np.einsum("kab,ak->bk", self.own, gu)
            return value, np.concatenate([shared @ self.shared, own.ravel()])

        return at


def bent(v: Array) -> Array:
    """Return ``v Phi(v) + phi(v)``: v where that is large, and 0 as fast as a normal density.

    With a standard deviation that is this, a density that does not end at 0 becomes one with the
    tails of a normal; its logarithm has a long tail there.
    """
    return v * ndtr(v) + np.exp(-0.5 * v * v) / _ROOT


def unbent(y: float) -> float:
    """Return the v of which `bent` is y, at least 1."""
    v = y
    for _ in range(30):
        v -= (bent(v) - y) / ndtr(v)
    return float(v)


def _slopes(between: Between, x: Array) -> Array:
    """Return d omega / d x of every effect."""
    out = []
    for q, (low, high) in zip(between.sds, between.bounds, strict=True):
        v = float(natural_values((low, high), x[q]))
        if np.isfinite(low) and np.isfinite(high):
            out.append((v - low) * (high - v) / (high - low))
        elif np.isfinite(low):
            out.append(v - low)
        else:
            out.append(v - high if np.isfinite(high) else 1.0)
    return np.array(out)


def plain(shape: tuple[int, int, int], origin: Array, between: Between) -> Coordinates:
    """Return coordinates without a linear step but the shift."""
    p, r, k = shape
    own = np.broadcast_to(np.eye(r), (k, r, r))
    return Coordinates(origin, np.eye(p), own, np.zeros((k, r, p)), np.zeros(p), between)


class Moved:
    """A posterior's compiled function by coordinates.

    Attributes
    ----------
    c_function : Any
        The compiled function; its ``address`` and :attr:`table` are all that a sampler needs.
    table : ndarray of int
        Counts and addresses; see :func:`cart_pkpd._engine.moved.moved`.
    """

    def __init__(self, function: Evaluation, coordinates: Coordinates) -> None:
        c, between = coordinates, coordinates.between
        kinds = np.array([kind_of((low, high)) for low, high in between.bounds], dtype=np.int64)
        arrays = [
            c.origin, c.shared, c.own, c.across, c.scale, between.sds, kinds, between.bounds,
            between.information, between.place,
        ]  # fmt: skip
        # Held here, because the table has only their addresses.
        self._held = (function, [np.ascontiguousarray(a) for a in arrays])
        inner = [function.c_function.address, function.table.ctypes.data]
        self.table = np.array(
            [*c.shape, *inner, *(a.ctypes.data for a in self._held[1])], dtype=np.int64
        )
        self.c_function = compiling.moved()

    def __call__(self, w: Array) -> tuple[float, Array]:
        """Return ln density and gradient, but for the constant of the linear step."""
        at = np.ascontiguousarray(w, dtype=float)
        gradient, value = np.empty(at.size), np.empty(1)
        self.c_function.ctypes(
            at.size, at.ctypes.data, gradient.ctypes.data, value.ctypes.data, self.table.ctypes.data
        )
        return float(value[0]), gradient


@dataclass(frozen=True, eq=False)
class Arrow:
    """Second derivatives of -ln density.

    Attributes
    ----------
    shared : ndarray, shape (p, p)
        By the population's quantities.
    own : ndarray, shape (k, r, r)
        By each patient's effects.
    across : ndarray, shape (k, r, p)
        By both.
    """

    shared: Array
    own: Array
    across: Array


def curvature(function: Function, x: Array, shape: tuple[int, int, int], steps: Array) -> Arrow:
    """Return the curvature at `x` from central differences of the gradient.

    2 (p + r) gradients: no patient depends on the effects of another, so that those of all
    patients are moved at once.

    Parameters
    ----------
    steps : ndarray, shape (p + r,)
        How far each coordinate is moved.
    """
    p, r, k = shape
    shared, own, across = np.zeros((p, p)), np.zeros((k, r, r)), np.zeros((k, r, p))
    for j, h in enumerate(steps):
        step = np.zeros(x.size)
        step[slice(j, j + 1) if j < p else slice(p + (j - p) * k, p + (j - p + 1) * k)] = h
        by = (function(x - step)[1] - function(x + step)[1]) / (2.0 * h)
        if j < p:
            shared[:, j], across[:, :, j] = by[:p], by[p:].reshape(r, k).T
        else:
            own[:, :, j - p] = by[p:].reshape(r, k).T
    return Arrow((shared + shared.T) / 2, (own + own.transpose(0, 2, 1)) / 2, across)


def factored(arrow: Arrow, sizes: Array) -> tuple[Array, Array, Array]:
    """Return `shared`, `own` and `across` of coordinates that whiten a curvature.

    Parameters
    ----------
    sizes : ndarray, shape (p + r,)
        Prior standard deviations of quantities and effects; along no direction is the posterior
        believed to be much wider.
    """
    p = arrow.shared.shape[0]
    own, inverse = [], []
    for block in arrow.own:
        root = _inverse_root(block, sizes[p:], _LEAST_OWN)
        own.append(root)
        inverse.append(root @ root.T)
    k, r = arrow.own.shape[:2]
    roots = np.array(own).reshape(k, r, r)
    across = np.einsum("kab,kbp->kap", np.array(inverse).reshape(k, r, r), arrow.across)
    schur = arrow.shared - np.einsum("kap,kaq->pq", arrow.across, across)
    return _inverse_root(schur, sizes[:p], _LEAST_SHARED), roots, across


def _inverse_root(matrix: Array, sizes: Array, least: float) -> Array:
    """Return R with R R' the inverse of a matrix whose precisions are not below a least."""
    scaled = matrix * np.outer(sizes, sizes)
    values, vectors = np.linalg.eigh((scaled + scaled.T) / 2)
    # The symmetric root turns the axes as little as can be.
    return sizes[:, None] * ((vectors / np.sqrt(np.maximum(values, least))) @ vectors.T)
