"""Small dense linear systems, for the implicit method."""

from __future__ import annotations

from typing import Any

from numba import njit

from cart_pkpd._engine.equations import JAC, LU, PIVOT, N


@njit(error_model="numpy", fastmath={"contract", "nsz"})
def factor(x: Any, diagonal: float) -> bool:
    """Factor ``diagonal · I − JAC`` into LU with row exchanges; False if it is singular."""
    for i in range(N * N):
        x[LU + i] = -x[JAC + i]
    for i in range(N):
        x[LU + i * N + i] += diagonal
    for k in range(N):
        best, largest = k, abs(x[LU + k * N + k])
        for i in range(k + 1, N):
            if abs(x[LU + i * N + k]) > largest:
                best, largest = i, abs(x[LU + i * N + k])
        x[PIVOT + k] = best
        if not largest > 0.0:
            return False
        if best != k:
            for j in range(N):
                kept = x[LU + k * N + j]
                x[LU + k * N + j] = x[LU + best * N + j]
                x[LU + best * N + j] = kept
        inverse = 1.0 / x[LU + k * N + k]
        for i in range(k + 1, N):
            share = x[LU + i * N + k] * inverse
            x[LU + i * N + k] = share
            if share != 0.0:
                for j in range(k + 1, N):
                    x[LU + i * N + j] -= share * x[LU + k * N + j]
    return True


@njit(error_model="numpy", fastmath={"contract", "nsz"})
def solve_factored(x: Any, start: int, width: int) -> None:
    """Solve for `width` right-hand sides in place.

    The sides lie from `start` on, row after row: side j of row i is at
    ``start + i * width + j``.
    """
    for k in range(N):
        best = int(x[PIVOT + k])
        if best != k:
            for j in range(width):
                kept = x[start + k * width + j]
                x[start + k * width + j] = x[start + best * width + j]
                x[start + best * width + j] = kept
    for i in range(1, N):
        for k in range(i):
            share = x[LU + i * N + k]
            if share != 0.0:
                for j in range(width):
                    x[start + i * width + j] -= share * x[start + k * width + j]
    for i in range(N - 1, -1, -1):
        for k in range(i + 1, N):
            share = x[LU + i * N + k]
            if share != 0.0:
                for j in range(width):
                    x[start + i * width + j] -= share * x[start + k * width + j]
        inverse = 1.0 / x[LU + i * N + i]
        for j in range(width):
            x[start + i * width + j] *= inverse
