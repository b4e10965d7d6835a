"""Small dense linear systems, for the implicit method."""

from __future__ import annotations

from typing import Any

from cart_pkpd._engine.equations import (
    BEST,
    FEW,
    JAC,
    LU,
    PIVOT,
    ROW,
    SENS,
    SLOPE,
    WORK,
    N,
    compiled,
    substitute,
)


@compiled
def factor(x: Any, diagonal: float) -> bool:
    """Factor ``diagonal · I − JAC`` into LU with row exchanges; False if it is singular.

    The diagonal of U holds reciprocals; PIVOT ends with whether rows were exchanged at all.

    Rows are compared by the weights of their states in BEST. A row of a state of 10¹² cells would
    else be the pivot of a state that is 0, and rounding of the one make cells of the other out of
    nothing, fewer than none as well.
    """
    for i in range(N):
        x[WORK + i] = x[BEST + i]
    for i in range(N * N):
        x[LU + i] = -x[JAC + i]
    for i in range(N):
        x[LU + i * N + i] += diagonal
    x[PIVOT + N] = 0.0
    for k in range(N):
        best, largest = k, abs(x[LU + k * N + k]) * x[WORK + k]
        for i in range(k + 1, N):
            size = abs(x[LU + i * N + k]) * x[WORK + i]
            if size > largest:
                best, largest = i, size
        x[PIVOT + k] = best
        if not largest > 0.0:
            return False
        if best != k:
            x[PIVOT + N] = 1.0
            x[WORK + best] = x[WORK + k]
            for j in range(N):
                kept = x[LU + k * N + j]
                x[LU + k * N + j] = x[LU + best * N + j]
                x[LU + best * N + j] = kept
        inverse = 1.0 / x[LU + k * N + k]
        x[LU + k * N + k] = inverse
        for i in range(k + 1, N):
            share = x[LU + i * N + k] * inverse
            x[LU + i * N + k] = share
            if share != 0.0:
                for j in range(k + 1, N):
                    x[LU + i * N + j] -= share * x[LU + k * N + j]
    return True


@compiled
def exchange(x: Any, first: int, row: int) -> None:
    """Put rows of numbers from the place `first` on in the order of the factors."""
    for k in range(N):
        best = int(x[PIVOT + k])
        if best > k:
            for j in range(row):
                kept = x[first + k * row + j]
                x[first + k * row + j] = x[first + best * row + j]
                x[first + best * row + j] = kept


@compiled
def solve_states(x: Any) -> None:
    """Solve with the states in SLOPE as right-hand side, in place."""
    if x[PIVOT + N] > 0.0:
        exchange(x, SLOPE, 1)
    for i in range(1, N):
        for k in range(i):
            x[SLOPE + i] -= x[LU + i * N + k] * x[SLOPE + k]
    for i in range(N - 1, -1, -1):
        for k in range(i + 1, N):
            x[SLOPE + i] -= x[LU + i * N + k] * x[SLOPE + k]
        x[SLOPE + i] *= x[LU + i * N + i]


@compiled
def solve_sensitivities(x: Any) -> None:
    """Solve with the sensitivities in SLOPE as right-hand sides, in place, a row per state."""
    if x[PIVOT + N] > 0.0:
        exchange(x, SLOPE + SENS, ROW)
    if FEW:
        substitute(x)
    else:
        substitute_many(x)


@compiled
def substitute_many(x: Any) -> None:
    """Do what `substitute` does in loops, without the factors that are zero."""
    for i in range(1, N):
        for k in range(i):
            share = x[LU + i * N + k]
            if share != 0.0:
                for j in range(ROW):
                    x[SLOPE + SENS + i * ROW + j] -= share * x[SLOPE + SENS + k * ROW + j]
    for i in range(N - 1, -1, -1):
        for k in range(i + 1, N):
            share = x[LU + i * N + k]
            if share != 0.0:
                for j in range(ROW):
                    x[SLOPE + SENS + i * ROW + j] -= share * x[SLOPE + SENS + k * ROW + j]
        inverse = x[LU + i * N + i]
        for j in range(ROW):
            x[SLOPE + SENS + i * ROW + j] *= inverse
