"""A posterior in coordinates that suit a sampler, around the compiled one.

See :mod:`cart_pkpd._fit.coordinates`, which says the same in NumPy and with which this is tested.
Patients are worked on in groups of :data:`GROUP`, side by side, which LLVM turns into operations
on several numbers at a time.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import carray, njit

from cart_pkpd._engine.population import natural_value
from cart_pkpd._engine.symbols import address_of, density_at, pointer_at, release, room

_ROOT_TWO_PI, _ROOT_HALF = 2.5066282746310002, 0.7071067811865476

GROUP = 8
"""Patients side by side."""
ARRAYS = 13
"""How many arrays the table names."""


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def bent_at(v: float) -> tuple[float, float, float]:
    """Return ``v Phi(v) + phi(v)``, Phi(v) and phi(v) of the standard normal."""
    density = math.exp(-0.5 * v * v) / _ROOT_TWO_PI
    below = 0.5 * math.erfc(-v * _ROOT_HALF)
    return v * below + density, below, density


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def factorised(told: Any, prior: Any, omega: Any, factor: Any, inverse: Any) -> None:
    """Write the Cholesky factor of ``prior + omega told omega``, and one over its diagonal."""
    r = prior.size
    for j in range(r):
        square = omega[j] * omega[j]
        for i in range(GROUP):
            inverse[j, i] = prior[j] + square * told[j, j, i]
        for q in range(j):
            for i in range(GROUP):
                inverse[j, i] -= factor[j, q, i] * factor[j, q, i]
        for i in range(GROUP):
            factor[j, j, i] = math.sqrt(inverse[j, i])
            inverse[j, i] = 1.0 / factor[j, j, i]
        for a in range(j + 1, r):
            both = omega[a] * omega[j]
            for i in range(GROUP):
                factor[a, j, i] = both * told[a, j, i]
            for q in range(j):
                for i in range(GROUP):
                    factor[a, j, i] -= factor[a, q, i] * factor[j, q, i]
            for i in range(GROUP):
                factor[a, j, i] *= inverse[j, i]


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def solved(factor: Any, inverse: Any, v: Any) -> None:
    """Replace `v` by the solution of ``factor s = v``."""
    r = v.shape[0]
    for a in range(r):
        for q in range(a):
            for i in range(GROUP):
                v[a, i] -= factor[a, q, i] * v[q, i]
        for i in range(GROUP):
            v[a, i] *= inverse[a, i]


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def solved_back(factor: Any, inverse: Any, v: Any) -> None:
    """Replace `v` by the solution of ``factor' s = v``."""
    r = v.shape[0]
    for a in range(r - 1, -1, -1):
        for q in range(a + 1, r):
            for i in range(GROUP):
                v[a, i] -= factor[q, a, i] * v[q, i]
        for i in range(GROUP):
            v[a, i] *= inverse[a, i]


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def towards(
    told: Any, place: Any, across: Any, by: Any, prior: Any, omega: Any, u: Any, factor: Any,
    inverse: Any, pull: Any, half: Any, out: Any,
) -> None:  # fmt: skip
    """Write what a group's coordinates `u` become, `out`, and what the way back needs.

    That is the factor, one over its diagonal, where records pull, and the first half of the
    solution.
    """
    r, moving = prior.size, by.size
    factorised(told, prior, omega, factor, inverse)
    for a in range(r):
        for i in range(GROUP):
            pull[a, i] = place[a, i]
        for q in range(moving):
            for i in range(GROUP):
                pull[a, i] -= across[a, q, i] * by[q]
        for i in range(GROUP):
            half[a, i] = omega[a] * pull[a, i]
    solved(factor, inverse, half)
    for a in range(r):
        for i in range(GROUP):
            out[a, i] = half[a, i] + u[a, i]
    solved_back(factor, inverse, out)


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def unfactorised(factor: Any, inverse: Any, by_factor: Any) -> None:
    """Replace derivatives by the Cholesky factor by those by the lower half of the matrix."""
    r = inverse.shape[0]
    for j in range(r - 1, -1, -1):
        for a in range(r - 1, j, -1):
            for i in range(GROUP):
                by_factor[a, j, i] *= inverse[j, i]
                by_factor[j, j, i] -= by_factor[a, j, i] * factor[a, j, i]
            for q in range(j):
                for i in range(GROUP):
                    by_factor[a, q, i] -= by_factor[a, j, i] * factor[j, q, i]
                    by_factor[j, q, i] -= by_factor[a, j, i] * factor[a, q, i]
        for i in range(GROUP):
            by_factor[j, j, i] *= 0.5 * inverse[j, i]
        for q in range(j):
            for i in range(GROUP):
                by_factor[j, q, i] -= 2.0 * by_factor[j, j, i] * factor[j, q, i]


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def back(
    told: Any, across: Any, omega: Any, factor: Any, inverse: Any, pull: Any, half: Any, out: Any,
    slope: Any, by_u: Any, by_factor: Any, by_omega: Any, by_moving: Any,
) -> None:  # fmt: skip
    """Write derivatives by coordinates, `by_u`, from those by what they became, `slope`.

    Those by the logarithm of the transformation's size are added. Derivatives by standard
    deviations and by how far the population is moved are summed in the last two.
    """
    r, moving = omega.size, by_moving.size
    for a in range(r):
        for i in range(GROUP):
            by_u[a, i] = slope[a, i]
    solved(factor, inverse, by_u)
    for a in range(r):
        for i in range(GROUP):
            slope[a, i] = by_u[a, i]
    solved_back(factor, inverse, slope)
    for a in range(r):
        for b in range(a + 1):
            for i in range(GROUP):
                by_factor[a, b, i] = -out[a, i] * by_u[b, i] - slope[a, i] * half[b, i]
        for i in range(GROUP):
            by_factor[a, a, i] -= inverse[a, i]
    unfactorised(factor, inverse, by_factor)
    for a in range(r):
        for i in range(GROUP):
            by_omega[a, i] += slope[a, i] * pull[a, i]
            by_omega[a, i] += 2.0 * omega[a] * by_factor[a, a, i] * told[a, a, i]
        for b in range(a):
            for i in range(GROUP):
                both = by_factor[a, b, i] * told[a, b, i]
                by_omega[a, i] += both * omega[b]
                by_omega[b, i] += both * omega[a]
        for q in range(moving):
            for i in range(GROUP):
                by_moving[q] -= omega[a] * across[a, q, i] * slope[a, i]


def moved(size: int, w_: Any, gradient_: Any, value_: Any, table_: Any) -> int:
    """Write ln density and gradient by coordinates.

    Parameters
    ----------
    size : int
        Number of coordinates.
    w_, gradient_, value_ : pointer to double
        The coordinates, and where the results go.
    table_ : pointer
        Counts (quantities, effects, patients, quantities that move patients), then addresses: of
        the posterior, of its table, and of the arrays in the order in which they are read here.

    Returns
    -------
    int
        What the posterior returns: 0, or 3 if a result is not finite.
    """
    a = carray(table_, (6 + ARRAYS,), np.int64)
    p, r, k, m = a[0], a[1], a[2], a[3]
    groups = (k + GROUP - 1) // GROUP
    origin = carray(pointer_at(a[6]), (size,), np.float64)
    shared = carray(pointer_at(a[7]), (p, p), np.float64)
    scale = carray(pointer_at(a[8]), (p,), np.float64)
    sds = carray(pointer_at(a[9]), (r,), np.int64)
    kinds = carray(pointer_at(a[10]), (r,), np.int64)
    bounds = carray(pointer_at(a[11]), (r, 2), np.float64)
    sizes = carray(pointer_at(a[12]), (r,), np.float64)
    prior = carray(pointer_at(a[13]), (r,), np.float64)
    told = carray(pointer_at(a[14]), (groups, r, r, GROUP), np.float64)
    place = carray(pointer_at(a[15]), (groups, r, GROUP), np.float64)
    movers = carray(pointer_at(a[16]), (m,), np.int64)
    across = carray(pointer_at(a[17]), (groups, r, m, GROUP), np.float64)
    diagonal = carray(pointer_at(a[18]), (1,), np.int64)[0] != 0
    w, gradient = carray(w_, (size,)), carray(gradient_, (size,))
    memory = room(
        2 * size + 2 * p + 2 * m + 2 * r + 1
        + groups * (r * r + 4 * r) * GROUP + (r * r + 3 * r) * GROUP
    )  # fmt: skip
    at = address_of(memory)
    x = carray(memory, (size,))
    at_slope = at + 8 * size
    slope = carray(pointer_at(at_slope), (size,), np.float64)
    at_by = at_slope + 8 * size
    by = carray(pointer_at(at_by), (p,), np.float64)
    before = carray(pointer_at(at_by + 8 * p), (p,), np.float64)
    at_moving = at_by + 16 * p
    moving = carray(pointer_at(at_moving), (m,), np.float64)
    by_moving = carray(pointer_at(at_moving + 8 * m), (m,), np.float64)
    at_omega = at_moving + 16 * m
    omega = carray(pointer_at(at_omega), (r,), np.float64)
    omega_slope = carray(pointer_at(at_omega + 8 * r), (r,), np.float64)
    at_value = at_omega + 16 * r
    at_factor = at_value + 8
    each = 8 * GROUP * groups * r
    factor = carray(pointer_at(at_factor), (groups, r, r, GROUP), np.float64)
    at_inverse = at_factor + each * r
    inverse = carray(pointer_at(at_inverse), (groups, r, GROUP), np.float64)
    pull = carray(pointer_at(at_inverse + each), (groups, r, GROUP), np.float64)
    half = carray(pointer_at(at_inverse + 2 * each), (groups, r, GROUP), np.float64)
    out = carray(pointer_at(at_inverse + 3 * each), (groups, r, GROUP), np.float64)
    at_work = at_inverse + 4 * each
    by_factor = carray(pointer_at(at_work), (r, r, GROUP), np.float64)
    at_work += 8 * GROUP * r * r
    own = carray(pointer_at(at_work), (r, GROUP), np.float64)
    own_slope = carray(pointer_at(at_work + 8 * GROUP * r), (r, GROUP), np.float64)
    by_omega = carray(pointer_at(at_work + 16 * GROUP * r), (r, GROUP), np.float64)
    ln_size = 0.0
    for q in range(p):
        if diagonal:
            by[q] = shared[q, q] * w[q]
        else:
            for c in range(p):
                by[q] += shared[q, c] * w[c]
        x[q] = before[q] = origin[q] + by[q]
        if scale[q] > 0.0:
            bent, below, _ = bent_at(x[q])
            ln_size += math.log(below / bent)
            x[q] = math.log(scale[q] * bent)
    for b in range(r):
        omega[b] = sizes[b]
        if sds[b] >= 0:
            omega[b], omega_slope[b], _ = natural_value(
                kinds[b], bounds[b, 0], bounds[b, 1], x[sds[b]]
            )
    for q in range(m):
        moving[q] = by[movers[q]]
    for g in range(groups):
        first, count = g * GROUP, min(GROUP, k - g * GROUP)
        for b in range(r):
            for i in range(count):
                own[b, i] = w[p + b * k + first + i]
        towards(
            told[g], place[g], across[g], moving, prior, omega, own, factor[g], inverse[g],
            pull[g], half[g], out[g],
        )  # fmt: skip
        for i in range(count):
            product = 1.0
            for b in range(r):
                product *= inverse[g, b, i]
                x[p + b * k + first + i] = origin[p + b * k + first + i] + out[g, b, i]
            ln_size += math.log(product)
    status = density_at(a[4], size, at, at_slope, at_value, a[5])
    for g in range(groups):
        first, count = g * GROUP, min(GROUP, k - g * GROUP)
        for b in range(r):
            for i in range(GROUP):
                own_slope[b, i] = slope[p + b * k + first + i] if i < count else 0.0
        back(
            told[g], across[g], omega, factor[g], inverse[g], pull[g], half[g], out[g], own_slope,
            own, by_factor, by_omega, by_moving,
        )  # fmt: skip
        for b in range(r):
            for i in range(count):
                gradient[p + b * k + first + i] = own[b, i]
    for b in range(r):
        if sds[b] >= 0:
            total = 0.0
            for i in range(GROUP):
                total += by_omega[b, i]
            slope[sds[b]] += total * omega_slope[b]
    for q in range(p):
        if scale[q] > 0.0:
            bent, below, density = bent_at(before[q])
            slope[q] = slope[q] * below / bent + density / below - below / bent
    for q in range(m):
        slope[movers[q]] += by_moving[q]
    for c in range(p):
        if diagonal:
            gradient[c] = shared[c, c] * slope[c]
        else:
            gradient[c] = 0.0
            for q in range(p):
                gradient[c] += shared[q, c] * slope[q]
    carray(value_, (1,))[0] = carray(pointer_at(at_value), (1,), np.float64)[0] + ln_size
    release(memory)
    return status
