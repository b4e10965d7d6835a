"""Coordinates in which a posterior is nearly a standard normal, so that samplers move freely.

Three steps lead from such coordinates to a point of :class:`cart_pkpd._fit.posterior.Posterior`.
All are exact: they change where the sampler walks, not what it samples. Where some patients are
non-expanders, so that individual values have two places, only the third is made, one effect at a
time.

1. A linear step whitens what is known of the population only together, once its patients are
   integrated out.
2. A standard deviation omega becomes ``scale (v Phi(v) + phi(v))`` of v. Its logarithm, which a
   point has, has a long tail where data allow an omega of 0; v has the tails of a normal.
3. The deviations z of a patient, in standard deviations, become those of coordinates u::

       C C' = 1 + W J W,    C' z = C⁻¹ W (g - A b) + u

   with W the diagonal of standard deviations, J what the patient's records tell of the parameters
   together, g where they pull them, and A b how the pull follows the population, moved by b. For
   one parameter, with ``s = 1 / (1 + J omega²)``, that is ``z = (1 - s) e / omega + sqrt(s) u``
   about the place ``e = g / J``: between the two usual ways, and close to the better one at every
   omega: the value itself where records tell much, its deviation where they tell little
   (Papaspiliopoulos, Roberts & Sköld 2007, Statistical Science 22:59-73). In a linear model with
   normal errors u is standard normal, independent of all else, whatever W is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from cart_pkpd._engine import compiling
from cart_pkpd._engine.lane_arrays import WIDTH, in_lanes
from cart_pkpd._fit.posterior import Evaluation, kind_of, natural_values

_ROOT_TWO_PI = float(np.sqrt(2.0 * np.pi))
_LEAST, _RIDGE = 0.3, 0.05
_STEPS = 30
_AT_ONCE = 1_000_000  # numbers of matrices of patients, which bounds the memory

type Array = NDArray[np.float64]
type Shape = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Between:
    """How each patient's effects are sampled.

    Attributes
    ----------
    sds : ndarray of int, shape (r,)
        Quantity that is the standard deviation W of each effect; -1 for one of `sizes`.
    bounds : ndarray, shape (r, 2)
        Its bounds.
    sizes : ndarray, shape (r,)
        W of the others.
    prior : ndarray, shape (r,)
        What is known without records, in units of W: 1, or 0 where `information` has that too.
    information : ndarray, shape (k, r, r)
        What a patient's records tell of the effects: J, one over variances on the free scale.
    pull : ndarray, shape (k, r)
        Where they pull them: g.
    across : ndarray, shape (k, r, p)
        How that follows the quantities: A.
    """

    sds: NDArray[np.int64]
    bounds: Array
    sizes: Array
    prior: Array
    information: Array
    pull: Array
    across: Array

    def omegas(self, x: Array) -> Array:
        """Return W at points (..., d), shape (..., r)."""
        fixed = np.ones_like(x[..., 0])
        columns = [
            fixed * size if q < 0 else natural_values((low, high), x[..., q])
            for q, (low, high), size in zip(self.sds, self.bounds, self.sizes, strict=True)
        ]
        return np.stack(columns, axis=-1) if columns else x[..., :0]

    def precision(self, x: Array) -> Array:
        """Return ``1 + W J W`` where the population is at `x`, shape (..., k, r, r)."""
        omega = self.omegas(x)[..., None, :]
        return np.diag(self.prior) + omega[..., :, None] * self.information * omega[..., None, :]

    def left(self, x: Array) -> Array:
        """Return the shares of the population's variance that records leave, shape (..., r, k)."""
        inverse = np.linalg.inv(self.precision(x))
        return np.swapaxes(np.diagonal(inverse, axis1=-2, axis2=-1), -1, -2)

    def deviations(self, x: Array, by: Array, u: Array) -> Array:
        """Return what coordinates (..., r, k) become where the population is at `x`, moved by `by`.

        In plain operations, which complex numbers pass: so derivatives can be had from them.
        """
        r, omega = len(self.sizes), self.omegas(x)
        whole = np.moveaxis(self.precision(x), (-2, -1), (0, 1))
        pull = self.pull - np.einsum("kap,...p->...ka", self.across, by)
        given = [omega[..., a, None] * pull[..., a] for a in range(r)]
        factor = _factor(whole)
        half: list[Any] = []
        for a in range(r):
            known = sum((factor[a][q] * half[q] for q in range(a)), np.zeros(()))
            half.append((given[a] - known) / factor[a][a])
        out: list[Any] = [None] * r
        for a in reversed(range(r)):
            known = sum((factor[q][a] * out[q] for q in range(a + 1, r)), np.zeros(()))
            out[a] = (half[a] + u[..., a, :] - known) / factor[a][a]
        return np.stack(out, axis=-2) if r else u


def _factor(whole: Array) -> list[list[Any]]:
    """Return the Cholesky factor's rows of matrices (r, r, ...)."""
    rows: list[list[Any]] = []
    for a in range(len(whole)):
        row: list[Any] = []
        for b in range(a + 1):
            above = row if a == b else rows[b]
            rest = whole[a, b] - sum((row[q] * above[q] for q in range(b)), np.zeros(()))
            row.append(np.sqrt(rest) if a == b else rest / rows[b][b])
        rows.append(row)
    return rows


@dataclass(frozen=True, eq=False)
class Coordinates:
    """The way from coordinates to points.

    Attributes
    ----------
    origin : ndarray, shape (d,)
        What the first step makes of the population's coordinates if they are 0, and what is added
        to what the third makes of the patients'.
    shared : ndarray, shape (p, p)
        Turns the population's coordinates.
    scale : ndarray, shape (p,)
        Of the second step; 0 for what is not a standard deviation above a bound.
    between : Between
        The third step.
    """

    origin: Array
    shared: Array
    scale: Array
    between: Between

    @property
    def shape(self) -> Shape:
        """Number of quantities, effects and patients."""
        k, r, p = self.between.across.shape
        return p, r, k

    def points(self, w: Array) -> Array:
        """Return the points (..., d) of coordinates (..., d)."""
        p, r, k = self.shape
        lead, many = w.shape[:-1], max(1, _AT_ONCE // max(1, k * r * r))
        if math.prod(lead) > many:
            rows = w.reshape(-1, w.shape[-1])
            parts = [self.points(rows[i : i + many]) for i in range(0, len(rows), many)]
            return np.concatenate(parts).reshape(w.shape)
        by = w[..., :p] @ self.shared.T
        x = np.concatenate([self.origin[:p] + by, w[..., p:]], axis=-1)
        bent = np.flatnonzero(self.scale)
        x[..., bent] = np.log(self.scale[bent] * bent_at(x[..., bent]))
        own = self.between.deviations(x, by, w[..., p:].reshape(*lead, r, k))
        x[..., p:] = self.origin[p:] + own.reshape(*lead, r * k)
        return x


def unmoved(sds: NDArray[np.int64], bounds: Array, shape: Shape) -> Between:
    """Return effects that are sampled as they are; their standard deviations are named only."""
    p, r, k = shape
    return Between(
        sds, bounds, np.ones(r), np.ones(r), np.zeros((k, r, r)),
        np.zeros((k, r)), np.zeros((k, r, p)),
    )  # fmt: skip


def shifted(shape: Shape, origin: Array, between: Between) -> Coordinates:
    """Return coordinates whose first step is a shift."""
    p = shape[0]
    return Coordinates(origin, np.eye(p), np.zeros(p), between)


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
        movers = np.flatnonzero(between.across.any(axis=(0, 1))).astype(np.int64)
        diagonal = np.array_equal(c.shared, np.diag(np.diag(c.shared)))
        missing = np.diag(1.0 - between.prior)  # of patients who fill up the last group
        arrays = [
            c.origin, c.shared, c.scale, between.sds, kinds, between.bounds, between.sizes, movers,
            np.array([diagonal], dtype=np.int64),
        ]  # fmt: skip
        lanes = [
            in_lanes(np.broadcast_to(between.prior, (WIDTH, between.prior.size))),
            in_lanes(between.information, missing),
            in_lanes(between.pull),
            in_lanes(between.across[:, :, movers]),
        ]
        # Held here, because the table has only their addresses.
        self._function = function
        self._arrays = [np.ascontiguousarray(a) for a in arrays] + lanes
        inner = [function.c_function.address, function.table.ctypes.data]
        self.table = np.array(
            [*c.shape, movers.size, *inner, *(a.ctypes.data for a in self._arrays)], dtype=np.int64
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

    def whitened(self, sizes: Array) -> Array:
        """Return what turns quantities so that they are white once patients are integrated out.

        Axes are turned as little as can be, so that what is not normal in one quantity is not
        spread over many. Where quantities are known only together they are principal axes: a
        sampler which stretches axes can then correct how far the ridge reaches.

        Parameters
        ----------
        sizes : ndarray, shape (p,)
            Prior standard deviations of the quantities; along no direction is the posterior
            believed to be much wider.

        Returns
        -------
        ndarray, shape (p, p)
        """
        known = np.linalg.solve(self.own, self.across) if self.own.size else self.across
        rest = self.shared - np.einsum("kap,kaq->pq", self.across, known)
        return _principal(rest, sizes)


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
