"""What a curvature tells of its coordinates, and of which it tells nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_FLAT = 1e-7
_NOTHING = 1e-6
_MOVED = 2.0
_TOGETHER = 0.3

type Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Told:
    """The covariance that a curvature leaves, and the directions without one.

    Attributes
    ----------
    covariance : ndarray, shape (d, d)
        NaN by coordinates that a flat direction moves, and by those too wide.
    flat : tuple of tuple of int
        Coordinates that cannot be told apart; one alone of which nothing is known.
    wide : tuple of int
        Coordinates whose standard deviation is above its limit, held where they are for the
        covariance of the others.
    """

    covariance: Array
    flat: tuple[tuple[int, ...], ...]
    wide: tuple[int, ...]


def told_by(information: Array, units: Array, widest: Array) -> Told:
    """Return what a curvature tells.

    Parameters
    ----------
    information : ndarray, shape (d, d)
        Second derivatives of -ln L.
    units : ndarray, shape (d,)
        Sizes of the coordinates: a standard deviation of 1000 of these is none.
    widest : ndarray, shape (d,)
        Largest standard deviation that is one, infinite where any is.
    """
    left, wide = np.arange(len(units)), list[int]()
    while True:
        inner, flat = _apart(information[np.ix_(left, left)], units[left])
        sd = np.sqrt(np.diag(inner))
        excess = np.where(np.isfinite(sd), sd / widest[left], 0.0)
        if not left.size or excess.max() <= 1.0:
            break
        worst = int(excess.argmax())
        wide.append(int(left[worst]))
        left = np.delete(left, worst)
    out = np.full_like(information, np.nan)
    out[np.ix_(left, left)] = inner
    return Told(out, tuple(tuple(left[list(g)].tolist()) for g in flat), tuple(sorted(wide)))


def _apart(information: Array, units: Array) -> tuple[Array, list[tuple[int, ...]]]:
    """Return the covariance, NaN by what flat directions move, and these in groups."""
    if not np.isfinite(information).all():
        good = np.isfinite(information).all(axis=0)
        return np.full_like(information, np.nan), [(int(i),) for i in np.flatnonzero(~good)]
    sizes = np.sqrt(np.maximum(np.diag(information), _NOTHING / units**2))
    values, vectors = np.linalg.eigh(information / np.outer(sizes, sizes))
    nothing = np.diag(information) < _NOTHING / units**2
    known = values > _FLAT
    inner = (vectors[:, known] / values[known]) @ vectors[:, known].T
    projector = vectors[:, ~known] @ vectors[:, ~known].T
    # The variance of what a flat direction moves is at least this.
    least = np.diag(projector) / _FLAT / sizes**2
    lost = (least > (_MOVED * units) ** 2) | nothing
    inner = inner / np.outer(sizes, sizes)
    inner[lost, :] = inner[:, lost] = np.nan
    lengths = np.sqrt(np.maximum(np.diag(projector), np.finfo(float).tiny))
    return inner, _groups(np.abs(projector / np.outer(lengths, lengths)) > _TOGETHER, lost)


def _groups(joined: NDArray[np.bool_], lost: NDArray[np.bool_]) -> list[tuple[int, ...]]:
    """Return the connected parts of what is lost."""
    out: list[tuple[int, ...]] = []
    todo = set(np.flatnonzero(lost).tolist())
    while todo:
        group, edge = set[int](), {min(todo)}
        while edge:
            group |= edge
            edge = {j for i in edge for j in np.flatnonzero(joined[i]).tolist()} & todo - group
        out.append(tuple(sorted(group)))
        todo -= group
    return out
