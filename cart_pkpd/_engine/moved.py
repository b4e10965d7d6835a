"""A posterior in coordinates that suit a sampler, around the compiled one.

See :mod:`cart_pkpd._fit.coordinates`, which says the same in NumPy and with which this is tested.
Patients are worked on in groups, side by side, by :mod:`cart_pkpd._engine.wide_effects`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import carray, njit

from cart_pkpd._engine.population import natural_value
from cart_pkpd._engine.symbols import address_of, density_at, floats, pointer_at, release, room
from cart_pkpd._engine.wide_effects import back as wide_back
from cart_pkpd._engine.wide_effects import towards as wide_towards
from cart_pkpd._engine.widening import BYTES, WIDTH

_ROOT_TWO_PI, _ROOT_HALF = 2.5066282746310002, 0.7071067811865476

ARRAYS = 13
"""How many arrays the table names."""


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def bent_at(v: float) -> tuple[float, float, float]:
    """Return ``v Phi(v) + phi(v)``, Phi(v) and phi(v) of the standard normal."""
    density = math.exp(-0.5 * v * v) / _ROOT_TWO_PI
    below = 0.5 * math.erfc(-v * _ROOT_HALF)
    return v * below + density, below, density


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def fill(lanes: Any, value: float) -> None:
    """Write a number to all lanes."""
    for i in range(WIDTH):
        lanes[i] = value


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def summed(lanes: Any) -> float:
    """Return the sum over lanes."""
    found = 0.0
    for i in range(WIDTH):
        found += lanes[i]
    return found


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
        Those about patients have a lane for each, and begin where lanes may.

    Returns
    -------
    int
        What the posterior returns: 0, or 3 if a result is not finite.
    """
    a = carray(table_, (6 + ARRAYS,), np.int64)
    p, r, k, m = a[0], a[1], a[2], a[3]
    groups = (k + WIDTH - 1) // WIDTH
    origin = carray(pointer_at(a[6]), (size,), np.float64)
    shared = carray(pointer_at(a[7]), (p, p), np.float64)
    scale = carray(pointer_at(a[8]), (p,), np.float64)
    sds = carray(pointer_at(a[9]), (r,), np.int64)
    kinds = carray(pointer_at(a[10]), (r,), np.int64)
    bounds = carray(pointer_at(a[11]), (r, 2), np.float64)
    sizes = carray(pointer_at(a[12]), (r,), np.float64)
    movers = carray(pointer_at(a[13]), (m,), np.int64)
    diagonal = carray(pointer_at(a[14]), (1,), np.int64)[0] != 0
    at_prior, at_told, at_place, at_across = a[15], a[16], a[17], a[18]
    w, gradient = carray(w_, (size,)), carray(gradient_, (size,))
    places = 2 * m + 4 * r + r * r + groups * (r * r + 4 * r) + 1
    memory = room(2 * size + 2 * p + r + 1 + places * WIDTH)
    at = address_of(memory)
    x = carray(memory, (size,))
    at_slope = at + 8 * size
    slope = carray(pointer_at(at_slope), (size,), np.float64)
    by = carray(pointer_at(at_slope + 8 * size), (p,), np.float64)
    at_before = at_slope + 8 * (size + p)
    before = carray(pointer_at(at_before), (p,), np.float64)
    omega_slope = carray(pointer_at(at_before + 8 * p), (r,), np.float64)
    at_value = at_before + 8 * (p + r)
    at_moving = (at_value + 8 + BYTES - 1) // BYTES * BYTES
    at_by_moving = at_moving + BYTES * m
    at_omega = at_by_moving + BYTES * m
    at_by_omega = at_omega + BYTES * r
    at_own_slope = at_by_omega + BYTES * r
    at_own = at_own_slope + BYTES * r
    at_by_factor = at_own + BYTES * r
    at_factor = at_by_factor + BYTES * r * r
    at_inverse = at_factor + BYTES * groups * r * r
    at_pull = at_inverse + BYTES * groups * r
    at_half = at_pull + BYTES * groups * r
    at_out = at_half + BYTES * groups * r
    moving = carray(pointer_at(at_moving), (m, WIDTH), np.float64)
    by_moving = carray(pointer_at(at_by_moving), (m, WIDTH), np.float64)
    omega = carray(pointer_at(at_omega), (r, WIDTH), np.float64)
    by_omega = carray(pointer_at(at_by_omega), (r, WIDTH), np.float64)
    own_slope = carray(pointer_at(at_own_slope), (r, WIDTH), np.float64)
    own = carray(pointer_at(at_own), (r, WIDTH), np.float64)
    inverse = carray(pointer_at(at_inverse), (groups, r, WIDTH), np.float64)
    out = carray(pointer_at(at_out), (groups, r, WIDTH), np.float64)
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
        sd = sizes[b]
        if sds[b] >= 0:
            sd, omega_slope[b], _ = natural_value(kinds[b], bounds[b, 0], bounds[b, 1], x[sds[b]])
        fill(omega[b], sd)
    for q in range(m):
        fill(moving[q], by[movers[q]])
    for g in range(groups):
        first, count = g * WIDTH, min(WIDTH, k - g * WIDTH)
        for b in range(r):
            for i in range(count):
                out[g, b, i] = w[p + b * k + first + i]
        step = BYTES * g * r
        wide_towards(
            r, m, floats(at_told + step * r), floats(at_place + step),
            floats(at_across + step * m), floats(at_prior), floats(at_omega), floats(at_moving),
            floats(at_factor + step * r), floats(at_inverse + step), floats(at_pull + step),
            floats(at_half + step), floats(at_out + step),
        )  # fmt: skip
        for b in range(r):
            for i in range(count):
                x[p + b * k + first + i] = origin[p + b * k + first + i] + out[g, b, i]
        for i in range(count):
            product = 1.0
            for b in range(r):
                product *= inverse[g, b, i]
            ln_size += math.log(product)
    status = density_at(a[4], size, at, at_slope, at_value, a[5])
    for g in range(groups):
        first, count = g * WIDTH, min(WIDTH, k - g * WIDTH)
        for b in range(r):
            for i in range(WIDTH):
                own_slope[b, i] = slope[p + b * k + first + i] if i < count else 0.0
        step = BYTES * g * r
        wide_back(
            r, m, floats(at_told + step * r), floats(at_across + step * m), floats(at_omega),
            floats(at_factor + step * r), floats(at_inverse + step), floats(at_pull + step),
            floats(at_half + step), floats(at_out + step), floats(at_own_slope), floats(at_own),
            floats(at_by_factor), floats(at_by_omega), floats(at_by_moving),
        )  # fmt: skip
        for b in range(r):
            for i in range(count):
                gradient[p + b * k + first + i] = own[b, i]
    for b in range(r):
        if sds[b] >= 0:
            slope[sds[b]] += summed(by_omega[b]) * omega_slope[b]
    for q in range(p):
        if scale[q] > 0.0:
            bent, below, density = bent_at(before[q])
            slope[q] = slope[q] * below / bent + density / below - below / bent
    for q in range(m):
        slope[movers[q]] += summed(by_moving[q])
    for c in range(p):
        gradient[c] = shared[c, c] * slope[c] if diagonal else 0.0
        for q in range(0 if diagonal else p):
            gradient[c] += shared[q, c] * slope[q]
    carray(value_, (1,))[0] = carray(pointer_at(at_value), (1,), np.float64)[0] + ln_size
    release(memory)
    return status
