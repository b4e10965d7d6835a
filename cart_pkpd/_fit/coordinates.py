"""Coordinates in which a posterior is nearly a standard normal, so that samplers move freely.

Three steps lead from such coordinates to a point of :class:`cart_pkpd._fit.posterior.Posterior`.
All are exact: they change where the sampler walks, not what it samples. Where some patients are
non-expanders, so that individual values have two places, only the third is made.

1. A linear step whitens what is known only together. The information about a hierarchy is an
   arrow: one block per patient, one of the population, and what couples each patient with the
   population, so that whitening costs no more than the blocks.
2. A standard deviation omega becomes ``scale (v Phi(v) + phi(v))`` of v. Its logarithm, which a
   point has, has a long tail where data allow an omega of 0; v has the tails of a normal.
3. A deviation z of a patient becomes ``(1 - s) e / omega + sqrt(s) u`` of u, with
   ``s = 1 / (1 + J omega²)``, J what the patient's records tell of the parameter and e where they
   put it. That is between the two usual ways, and close to the better one at every omega: the
   value itself where records tell much, its deviation where they tell little (Papaspiliopoulos,
   Roberts & Sköld 2007, Statistical Science 22:59-73). In a linear model with normal errors u is
   standard normal whatever omega is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from cart_pkpd._engine import compiling
from cart_pkpd._fit.posterior import Evaluation, kind_of, natural_values

_ROOT_TWO_PI = float(np.sqrt(2.0 * np.pi))
_LEAST, _RIDGE = 0.3, 0.05
_STEPS = 30

type Array = NDArray[np.float64]
type Shape = tuple[int, int, int]


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
        What a patient's records tell of an effect: J, one over a variance on the free scale; 0 for
        the deviation itself.
    place : ndarray, shape (r, k)
        Where the records put it: e.
    """

    sds: NDArray[np.int64]
    bounds: Array
    information: Array
    place: Array

    def omegas(self, x: Array) -> Array:
        """Return the standard deviations at points (..., d), shape (..., r)."""
        columns = [
            natural_values((low, high), x[..., q])
            for q, (low, high) in zip(self.sds, self.bounds, strict=True)
        ]
        return np.stack(columns, axis=-1) if columns else x[..., :0]

    def left(self, x: Array) -> Array:
        """Return the shares of the population's variance that records leave, shape (..., r, k)."""
        return 1.0 / (1.0 + self.information * self.omegas(x)[..., None] ** 2)

    def deviations(self, x: Array, u: Array) -> Array:
        """Return deviations of coordinates (..., r, k) where the population is at `x`."""
        share, omega = self.left(x), self.omegas(x)[..., None]
        return (1.0 - share) * self.place / omega + np.sqrt(share) * u


@dataclass(frozen=True, eq=False)
class Coordinates:
    """The way from coordinates to points.

    Attributes
    ----------
    origin : ndarray, shape (d,)
        What the first step makes of coordinates that are 0.
    shared : ndarray, shape (p, p)
        Turns the population's coordinates.
    own : ndarray, shape (k, r, r)
        Turns each patient's.
    across : ndarray, shape (k, r, p)
        How each patient's follow the population.
    scale : ndarray, shape (p,)
        Of the second step; 0 for what is not a standard deviation above a bound.
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
    def shape(self) -> Shape:
        """Number of quantities, effects and patients."""
        k, r, p = self.across.shape
        return p, r, k

    def points(self, w: Array) -> Array:
        """Return the points (..., d) of coordinates (..., d)."""
        p, r, k = self.shape
        lead = w.shape[:-1]
        by = w[..., :p] @ self.shared.T
        own = np.einsum("kab,...bk->...ak", self.own, w[..., p:].reshape(*lead, r, k))
        own -= np.einsum("kap,...p->...ak", self.across, by)
        x = self.origin + np.concatenate([by, own.reshape(*lead, r * k)], axis=-1)
        bent = np.flatnonzero(self.scale)
        x[..., bent] = np.log(self.scale[bent] * bent_at(x[..., bent]))
        x[..., p:] = self.between.deviations(x, x[..., p:].reshape(*lead, r, k)).reshape(
            *lead, r * k
        )
        return x


def shifted(shape: Shape, origin: Array, between: Between) -> Coordinates:
    """Return coordinates whose first step is a shift."""
    p, r, k = shape
    own = np.broadcast_to(np.eye(r), (k, r, r))
    return Coordinates(origin, np.eye(p), own, np.zeros((k, r, p)), np.zeros(p), between)


class Moved:
    """A posterior by coordinates, compiled.

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
        self._function = function
        self._arrays = [np.ascontiguousarray(a) for a in arrays]
        inner = [function.c_function.address, function.table.ctypes.data]
        self.table = np.array(
            [*c.shape, *inner, *(a.ctypes.data for a in self._arrays)], dtype=np.int64
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
    """Information about the quantities of a population and the effects of its patients.

    Attributes
    ----------
    shared : ndarray, shape (p, p)
        About the quantities.
    own : ndarray, shape (k, r, r)
        About each patient's effects.
    across : ndarray, shape (k, r, p)
        About both.
    """

    shared: Array
    own: Array
    across: Array

    def without(self, fixed: NDArray[np.int64]) -> Arrow:
        """Return the same with some quantities unconnected with all others, and no information."""
        shared, across = self.shared.copy(), self.across.copy()
        shared[fixed] = shared[:, fixed] = across[:, :, fixed] = 0.0
        return Arrow(shared, self.own, across)

    def whitened(self, sizes: Array) -> tuple[Array, Array, Array]:
        """Return `shared`, `own` and `across` of coordinates that whiten it.

        Axes are turned as little as can be, so that what is not normal in one quantity is not
        spread over many. Where quantities are known only together, those of the population are
        principal axes: a sampler which stretches axes can then correct how far the ridge reaches.

        Parameters
        ----------
        sizes : ndarray, shape (p + r,)
            Prior standard deviations of quantities and effects; along no direction is the posterior
            believed to be much wider.
        """
        p = self.shared.shape[0]
        own = np.array([_inverse_root(block, sizes[p:]) for block in self.own])
        own = own.reshape(self.own.shape)
        across = np.einsum("kab,kcb,kcp->kap", own, own, self.across)
        rest = self.shared - np.einsum("kap,kaq->pq", self.across, across)
        return _principal(rest, sizes[:p]), own, across


def _inverse_root(matrix: Array, sizes: Array) -> Array:
    """Return R with R R' the inverse of a matrix, symmetric in units of `sizes`."""
    roots, vectors = _axes(matrix, sizes)
    return sizes[:, None] * ((vectors * roots) @ vectors.T)


def _principal(matrix: Array, sizes: Array) -> Array:
    """Return R with R R' the inverse of a matrix, with principal axes where it has a ridge.

    What is unconnected keeps an axis of its own.
    """
    size = np.sqrt(np.maximum(np.diag(matrix), _LEAST / sizes**2))
    if np.linalg.eigvalsh(matrix / np.outer(size, size))[0] > _RIDGE:
        return _inverse_root(matrix, sizes)
    apart = np.count_nonzero(matrix, axis=0) <= 1
    out = np.diag(sizes / np.sqrt(np.maximum(np.diag(matrix) * sizes**2, _LEAST)))
    rest = np.flatnonzero(~apart)
    if rest.size:
        roots, vectors = _axes(matrix[np.ix_(rest, rest)], sizes[rest])
        out[np.ix_(rest, rest)] = sizes[rest, None] * vectors * roots
    return out


def _axes(matrix: Array, sizes: Array) -> tuple[Array, Array]:
    """Return lengths and directions of the axes; no precision is below a least one."""
    scaled = matrix * np.outer(sizes, sizes)
    values, vectors = np.linalg.eigh((scaled + scaled.T) / 2)
    return 1.0 / np.sqrt(np.maximum(values, _LEAST)), vectors


def bent_at(v: Array) -> Array:
    """Return ``v Phi(v) + phi(v)``: v where that is large, 0 as fast as a normal density below."""
    return np.asarray(v * ndtr(v) + np.exp(-0.5 * v * v) / _ROOT_TWO_PI)


def unbent(y: float) -> float:
    """Return the v of which `bent_at` is y, for a y of at least 1."""
    v = y
    for _ in range(_STEPS):
        v -= float((bent_at(np.array(v)) - y) / ndtr(v))
    return v
