"""Arrays with a lane per row, for code that works on several rows side by side."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._engine.widening import BYTES, WIDTH


def in_lanes(
    rows: NDArray[np.float64], missing: NDArray[np.float64] | float = 0.0
) -> NDArray[np.float64]:
    """Return rows (n, ...) in groups, (g, ..., WIDTH), beginning where lanes may.

    Parameters
    ----------
    rows : ndarray, shape (n, ...)
        The rows.
    missing : ndarray or float
        Takes the place of rows that the last group lacks.
    """
    n, shape = len(rows), rows.shape[1:]
    groups = -(-n // WIDTH)
    whole = np.empty((groups * WIDTH, *shape))
    whole[:n], whole[n:] = rows, missing
    out = _aligned((groups, *shape, WIDTH))
    out[:] = np.moveaxis(whole.reshape(groups, WIDTH, *shape), 1, -1)
    return out


def _aligned(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return an array that begins at a multiple of BYTES."""
    size = math.prod(shape)
    room = np.empty(size + BYTES // 8)
    first = -room.ctypes.data % BYTES // 8
    return room[first : first + size].reshape(shape)


__all__ = ["WIDTH", "in_lanes"]
