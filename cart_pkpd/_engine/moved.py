"""A posterior in coordinates that suit a sampler, around the compiled one.

See :mod:`cart_pkpd._fit.coordinates`, which says the same in NumPy and with which this is tested.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import carray, njit

from cart_pkpd._engine.population import natural_value
from cart_pkpd._engine.symbols import address_of, density_at, pointer_at, release, room

_ROOT_TWO_PI, _ROOT_HALF = 2.5066282746310002, 0.7071067811865476


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def bent_at(v: float) -> tuple[float, float, float]:
    """Return ``v Phi(v) + phi(v)``, Phi(v) and phi(v) of the standard normal."""
    density = math.exp(-0.5 * v * v) / _ROOT_TWO_PI
    below = 0.5 * math.erfc(-v * _ROOT_HALF)
    return v * below + density, below, density


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def linear(w: Any, origin: Any, shared: Any, own: Any, across: Any, by: Any, x: Any) -> None:
    """Write the point `x` of coordinates `w`, and how far the population is moved, `by`."""
    k, r, p = across.shape
    for q in range(p):
        by[q] = 0.0
        for c in range(p):
            by[q] += shared[q, c] * w[c]
        x[q] = origin[q] + by[q]
    for i in range(k):
        for b in range(r):
            total = origin[p + b * k + i]
            for c in range(r):
                total += own[i, b, c] * w[p + c * k + i]
            for q in range(p):
                total -= across[i, b, q] * by[q]
            x[p + b * k + i] = total


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def pulled_back(slope: Any, shared: Any, own: Any, across: Any, gradient: Any) -> None:
    """Write derivatives by coordinates from those by the point, `slope`, which is used up."""
    k, r, p = across.shape
    for i in range(k):
        for c in range(r):
            total = 0.0
            for b in range(r):
                total += own[i, b, c] * slope[p + b * k + i]
            gradient[p + c * k + i] = total
        for b in range(r):
            for q in range(p):
                slope[q] -= across[i, b, q] * slope[p + b * k + i]
    for c in range(p):
        gradient[c] = 0.0
        for q in range(p):
            gradient[c] += shared[q, c] * slope[q]


def moved(size: int, w_: Any, gradient_: Any, value_: Any, table_: Any) -> int:
    """Write ln density and gradient by coordinates.

    Parameters
    ----------
    size : int
        Number of coordinates.
    w_, gradient_, value_ : pointer to double
        The coordinates, and where the results go.
    table_ : pointer
        Counts (quantities, effects, patients), then addresses: of the posterior, of its table, and
        of the arrays in the order in which they are read here.

    Returns
    -------
    int
        What the posterior returns: 0, or 3 if a result is not finite.
    """
    a = carray(table_, (15,), np.int64)
    p, r, k = a[0], a[1], a[2]
    origin = carray(pointer_at(a[5]), (size,), np.float64)
    shared = carray(pointer_at(a[6]), (p, p), np.float64)
    own = carray(pointer_at(a[7]), (k, r, r), np.float64)
    across = carray(pointer_at(a[8]), (k, r, p), np.float64)
    scale = carray(pointer_at(a[9]), (p,), np.float64)
    sds = carray(pointer_at(a[10]), (r,), np.int64)
    kinds = carray(pointer_at(a[11]), (r,), np.int64)
    bounds = carray(pointer_at(a[12]), (r, 2), np.float64)
    information = carray(pointer_at(a[13]), (r, k), np.float64)
    place = carray(pointer_at(a[14]), (r, k), np.float64)
    w, gradient = carray(w_, (size,)), carray(gradient_, (size,))
    memory = room(2 * size + 2 * p + 2 * r + 1)
    at = address_of(memory)
    x = carray(memory, (size,))
    slope = carray(pointer_at(at + 8 * size), (size,), np.float64)
    by = carray(pointer_at(at + 8 * 2 * size), (p,), np.float64)
    omegas = carray(pointer_at(at + 8 * (2 * size + p)), (2, r), np.float64)
    linear(w, origin, shared, own, across, by, x)
    at_before = at + 8 * (2 * size + p + 2 * r + 1)
    before = carray(pointer_at(at_before), (p,), np.float64)
    ln_size = 0.0
    for q in range(p):
        before[q] = x[q]
        if scale[q] > 0.0:
            bent, below, _ = bent_at(x[q])
            ln_size += math.log(below / bent)
            x[q] = math.log(scale[q] * bent)
    for b in range(r):
        q = sds[b]
        omegas[0, b], omegas[1, b], _ = natural_value(kinds[b], bounds[b, 0], bounds[b, 1], x[q])
        for i in range(k):
            share = 1.0 / (1.0 + information[b, i] * omegas[0, b] ** 2)
            ln_size += 0.5 * math.log(share)
            # Kept for the way back; x has the deviations.
            gradient[p + b * k + i] = x[p + b * k + i]
            x[p + b * k + i] *= math.sqrt(share)
            x[p + b * k + i] += (1.0 - share) * place[b, i] / omegas[0, b]
    at_value = at + 8 * (2 * size + p + 2 * r)
    status = density_at(a[3], size, at, at + 8 * size, at_value, a[4])
    for b in range(r):
        omega, by_omega = omegas[0, b], 0.0
        for i in range(k):
            j, e, u = information[b, i], place[b, i], gradient[p + b * k + i]
            share = 1.0 / (1.0 + j * omega**2)
            root, by_share = math.sqrt(share), -2.0 * omega * j * share**2
            change = 0.5 * by_share * u / root - (by_share + (1.0 - share) / omega) * e / omega
            by_omega += slope[p + b * k + i] * change + 0.5 * by_share / share
            slope[p + b * k + i] *= root
        slope[sds[b]] += by_omega * omegas[1, b]
    for q in range(p):
        if scale[q] > 0.0:
            bent, below, density = bent_at(before[q])
            slope[q] = slope[q] * below / bent + density / below - below / bent
    pulled_back(slope, shared, own, across, gradient)
    carray(value_, (1,))[0] = carray(pointer_at(at_value), (1,), np.float64)[0] + ln_size
    release(memory)
    return status
