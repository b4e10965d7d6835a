"""Levels that the solver leaves a little below 0, where there is nothing any more."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Levels = NDArray[np.float64]

WITHIN = 10.0
"""Results are within so many tolerances of the largest level."""

_LOOKS = 60


def without_rounding(
    levels: Levels, rtol: float, more: Callable[[NDArray[np.bool_]], Levels] | None = None
) -> Levels:
    """Return levels with 0 for what is below 0 by less than the tolerance.

    Parameters
    ----------
    levels : ndarray, shape (k, n, e)
        Of k patients at n times.
    rtol : float
        Relative tolerance of the solver.
    more : callable, optional
        Returns levels, shape (k, m, e), at more times of the patients of a mask. Asked where the
        times given tell too little of how large the levels were.
    """
    if not (levels < 0).any():
        return levels
    largest = _largest(levels)
    found = _floored(levels, rtol, largest)
    unclear = (found < 0).any(axis=(1, 2))
    if more is not None and unclear.any():
        found = _floored(levels, rtol, np.maximum(largest, _largest(more(unclear))))
    return found


def looks(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return times from the first infusion on that show how large levels become until `times`."""
    end = max(float(np.max(times)), 1.0)
    return np.unique(np.concatenate([[0.0], np.geomspace(min(0.1, end), end, _LOOKS)]))


def _largest(levels: Levels) -> Levels:
    return np.fmax.reduce(np.abs(levels), axis=1, initial=0.0)


def _floored(levels: Levels, rtol: float, largest: Levels) -> Levels:
    small = (levels < 0) & (levels >= -WITHIN * rtol * largest[:, None, :])
    return np.where(small, 0.0, levels)
