"""Effects of several patients side by side, a lane each; what is read here is not run by Python.

:mod:`cart_pkpd._engine.side_by_side` translates these functions, so that every number is one per
lane: arrays are as many numbers wide as there are lanes. Matrices have a row after the other, `r`
numbers each. What is computed is said by :mod:`cart_pkpd._fit.coordinates`, step 3.
"""

from __future__ import annotations

import math
from typing import Any


def towards(
    r: int, m: int, told: Any, place: Any, across: Any, prior: Any, omega: Any, moving: Any,
    factor: Any, inverse: Any, pull: Any, half: Any, out: Any,
) -> None:  # fmt: skip
    """Replace the coordinates in `out` by what they become; write what the way back needs.

    That is the Cholesky factor of ``prior + omega told omega``, one over its diagonal, where
    records pull, and the first half of the solution.
    """
    for j in range(r):
        rest = prior[j] + omega[j] * omega[j] * told[j * r + j]
        for q in range(j):
            rest = rest - factor[j * r + q] * factor[j * r + q]
        root = math.sqrt(rest)
        factor[j * r + j] = root
        inverse[j] = 1.0 / root
        for below in range(r - j - 1):
            a = j + 1 + below
            rest = omega[a] * omega[j] * told[a * r + j]
            for q in range(j):
                rest = rest - factor[a * r + q] * factor[j * r + q]
            factor[a * r + j] = rest * inverse[j]
    for a in range(r):
        rest = place[a]
        for q in range(m):
            rest = rest - across[a * m + q] * moving[q]
        pull[a] = rest
        half[a] = omega[a] * rest
    solved(r, factor, inverse, half)
    for a in range(r):
        out[a] = half[a] + out[a]
    solved_back(r, factor, inverse, out)


def solved(r: int, factor: Any, inverse: Any, v: Any) -> None:
    """Replace `v` by the solution of ``factor s = v``."""
    for a in range(r):
        rest = v[a]
        for q in range(a):
            rest = rest - factor[a * r + q] * v[q]
        v[a] = rest * inverse[a]


def solved_back(r: int, factor: Any, inverse: Any, v: Any) -> None:
    """Replace `v` by the solution of ``factor' s = v``."""
    for up in range(r):
        a = r - 1 - up
        rest = v[a]
        for above in range(up):
            q = a + 1 + above
            rest = rest - factor[q * r + a] * v[q]
        v[a] = rest * inverse[a]


def unfactorised(r: int, factor: Any, inverse: Any, by_factor: Any) -> None:
    """Replace derivatives by a Cholesky factor by those by the lower half of the matrix."""
    for up in range(r):
        j = r - 1 - up
        for above in range(up):
            a = r - 1 - above
            found = by_factor[a * r + j] * inverse[j]
            by_factor[a * r + j] = found
            by_factor[j * r + j] = by_factor[j * r + j] - found * factor[a * r + j]
            for q in range(j):
                by_factor[a * r + q] = by_factor[a * r + q] - found * factor[j * r + q]
                by_factor[j * r + q] = by_factor[j * r + q] - found * factor[a * r + q]
        found = by_factor[j * r + j] * inverse[j]
        by_factor[j * r + j] = 0.5 * found
        for q in range(j):
            by_factor[j * r + q] = by_factor[j * r + q] - found * factor[j * r + q]


def back(
    r: int, m: int, told: Any, across: Any, omega: Any, factor: Any, inverse: Any, pull: Any,
    half: Any, out: Any, slope: Any, by_u: Any, by_factor: Any, by_omega: Any, by_moving: Any,
) -> None:  # fmt: skip
    """Write derivatives by coordinates, `by_u`, from those by what they became, `slope`.

    Those of ln of the transformation's size are added. Derivatives by standard deviations and by
    how far the population is moved are summed up in the last two.
    """
    for a in range(r):
        by_u[a] = slope[a]
    solved(r, factor, inverse, by_u)
    for a in range(r):
        slope[a] = by_u[a]
    solved_back(r, factor, inverse, slope)
    for a in range(r):
        for b in range(a + 1):
            by_factor[a * r + b] = -out[a] * by_u[b] - slope[a] * half[b]
        by_factor[a * r + a] = by_factor[a * r + a] - inverse[a]
    unfactorised(r, factor, inverse, by_factor)
    for a in range(r):
        found = slope[a] * pull[a] + 2.0 * omega[a] * by_factor[a * r + a] * told[a * r + a]
        for b in range(a):
            both = by_factor[a * r + b] * told[a * r + b]
            found = found + both * omega[b]
            by_omega[b] = by_omega[b] + both * omega[a]
        by_omega[a] = by_omega[a] + found
        along = omega[a] * slope[a]
        for q in range(m):
            by_moving[q] = by_moving[q] - across[a * m + q] * along
