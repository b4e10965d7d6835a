"""A whole posterior as one C function, which samplers call without Python in between.

It is compiled once for all models: the likelihood is a model's own kernel, called by address.
The data come as a table of addresses and lengths; see
:class:`cart_pkpd._fit.posterior.Posterior`, which makes it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray

from cart_pkpd._engine.places import GROUPS, ONE_BY_ONE, PLACES
from cart_pkpd._engine.population import (
    assemble,
    assemble_blocks,
    pull_back,
    pull_back_blocks,
)
from cart_pkpd._engine.symbols import address_of, call_at, integers, pointer_at, release, room

FINE, NOT_FINITE = 0, 3

BASE, DATA = 17, 15
"""Where the arrays that say everything of the patients begin in the table, and how many."""
EXTRA = 9
"""How many places the table of a term beside the records has."""


def posterior(size: int, x_: Any, gradient_: Any, value_: Any, table_: Any) -> int:
    """Write log density and gradient at a point.

    Parameters
    ----------
    size : int
        Length of the point.
    x_, gradient_, value_ : pointer to double
        The point, and where the results go.
    table_ : pointer
        Counts (patients, quantities, varying parameters, effects, observations), then from
        place 6 on addresses of the arrays in the order in which they are read here; those from
        17 to 31 are what the likelihood reads of the patients. Places 33 and 34 are 0, or the
        addresses of arrays for the levels of all observations and their derivatives by the
        parameters, natural scale. Then counts again (parameters, residual parameters), the
        address of what computes the likelihood of all patients, the likelihood's kernel or one that
        calls it, and that of the pairs of correlated parameters. Place 39 is 0 or the address of
        what else the patients' parameters say, place 5 of its data; see
        :mod:`cart_pkpd._engine.hazard`. Place 40 is the address of the likelihood's kernel. Place
        41 is 0 or, where that takes records side by side, the address of those of its own arrays.

    Returns
    -------
    int
        0, or 3 if a result is not finite.
    """
    a = carray(table_, (42,), np.int64)
    k, q, r, e, n, m, s = a[0], a[1], a[2], a[3], a[4], a[35], a[36]
    shown = a[33]
    x, gradient = carray(x_, (size,)), carray(gradient_, (size,))
    kinds = carray(pointer_at(a[6]), (q,), np.int64)
    bounds = carray(pointer_at(a[7]), (q, 2), np.float64)
    forms = carray(pointer_at(a[8]), (q,), np.int64)
    numbers = carray(pointer_at(a[9]), (q, 4), np.float64)
    typical = carray(pointer_at(a[10]), (m,), np.int64)
    scales = carray(pointer_at(a[11]), (m,), np.int64)
    varying = carray(pointer_at(a[12]), (r, 3), np.int64)
    effects = carray(pointer_at(a[13]), (e, 2), np.int64)
    columns = carray(pointer_at(a[14]), (e, k), np.float64)
    residual = carray(pointer_at(a[15]), (s,), np.int64)
    mixture = carray(pointer_at(a[16]), (2,), np.int64)
    unsolved = carray(pointer_at(a[32]), (k,), np.int64)
    pairs = carray(pointer_at(a[38]), (r, r), np.int64)
    kept = n if a[41] == 0 else 0  # levels that nobody asks for, but the kernel writes
    memory = room(
        PLACES + s + 2 * q + k * (3 * m + s + 2) + kept * (1 + m) + r * (2 * r + k + 1) + EXTRA
    )
    at_sigmas = address_of(memory) + 8 * PLACES
    at_values = at_sigmas + 8 * s
    at_slopes = at_values + 8 * q
    at_free = at_slopes + 8 * q
    at_mean = at_free + 8 * k * m
    at_free_slope = at_mean + 8 * k * m
    at_sigma_slope = at_free_slope + 8 * k * m
    at_total = at_sigma_slope + 8 * k * s
    at_status = at_total + 8 * k
    at_level = at_status + 8 * k
    at_sens = at_level + 8 * kept
    at_factor = at_sens + 8 * kept * m
    at_by_factor = at_factor + 8 * r * r
    at_white = at_by_factor + 8 * r * r
    at_by_white = at_white + 8 * k * r
    at_extra = at_by_white + 8 * r
    sigmas = carray(pointer_at(at_sigmas), (s,), np.float64)
    values = carray(pointer_at(at_values), (q,), np.float64)
    slopes = carray(pointer_at(at_slopes), (q,), np.float64)
    free = carray(pointer_at(at_free), (k, m), np.float64)
    mean_slope = carray(pointer_at(at_mean), (k, m), np.float64)
    free_slope = carray(pointer_at(at_free_slope), (k, m), np.float64)
    sigma_slope = carray(pointer_at(at_sigma_slope), (k, s), np.float64)
    total = carray(pointer_at(at_total), (k,), np.float64)
    status = carray(pointer_at(at_status), (k,), np.int64)
    factor = carray(pointer_at(at_factor), (r, r), np.float64)
    by_factor = carray(pointer_at(at_by_factor), (r, r), np.float64)
    white = carray(pointer_at(at_white), (k, r), np.float64)
    by_white = carray(pointer_at(at_by_white), (r,), np.float64)
    value = assemble(
        x, kinds, bounds, forms, numbers, typical, scales, varying, effects, columns, residual,
        mixture, free, sigmas, values, slopes, mean_slope, gradient,
    )  # fmt: skip
    value += assemble_blocks(x, q, varying, pairs, values, free, factor, white)
    places = integers(address_of(memory))
    places[0], places[1] = at_free, at_sigmas
    for i in range(DATA):
        places[2 + i] = a[BASE + i]
    places[17], places[18], places[19] = at_total, at_free_slope, at_sigma_slope
    places[20], places[21], places[22] = at_status, at_level, at_sens
    if shown != 0 or a[41] != 0:
        places[21], places[22] = shown, a[34]
    places[ONE_BY_ONE], places[GROUPS] = a[40], a[41]
    call_at(a[37], 0, k, places)
    if a[39] != 0:
        extra = integers(at_extra)
        extra[0], extra[1], extra[2] = at_free, at_free_slope, at_total
        extra[3], extra[4], extra[5] = at_values, at_slopes, address_of(gradient_)
        extra[6], extra[7], extra[8] = k, m, a[5]
        call_at(a[39], 0, k, extra)
    pull_back_blocks(
        q, varying, pairs, values, slopes, factor, white, free_slope, mean_slope, by_factor,
        by_white, gradient,
    )  # fmt: skip
    value += pull_back(
        x, kinds, bounds, typical, scales, varying, effects, columns, residual, values, slopes,
        mean_slope, total, free_slope, sigma_slope, gradient,
    )  # fmt: skip
    for i in range(k):
        if status[i] != 0:
            unsolved[i] += 1
    release(memory)
    carray(value_, (1,))[0] = value
    finite = np.isfinite(value)
    for i in range(size):
        finite = finite and np.isfinite(gradient[i])
    return FINE if finite else NOT_FINITE


def copy_point(size: int, expanded: int, x: Any, out: Any, table_: Any) -> int:
    """Write a point unchanged: what a sampler keeps of each draw."""
    for i in range(size):
        out[i] = x[i]
    return FINE
