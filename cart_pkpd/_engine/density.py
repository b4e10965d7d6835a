"""A whole posterior as one C function, which samplers call without Python in between.

The data come as a table of addresses and lengths; see
:class:`cart_pkpd._fit.posterior.Posterior`, which makes it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray

from cart_pkpd._engine.equations import M, S
from cart_pkpd._engine.population import assemble, pull_back
from cart_pkpd._engine.serial import all_patients
from cart_pkpd._engine.special import pointer_at

FINE, NOT_FINITE = 0, 3


def log_density(size: int, x_: Any, gradient_: Any, value_: Any, table_: Any) -> int:
    """Write log density and gradient at a point.

    Parameters
    ----------
    size : int
        Length of the point.
    x_, gradient_, value_ : pointer to double
        The point, and where the results go.
    table_ : pointer
        Counts (patients, quantities, varying parameters, effects, observations, events), then
        addresses of the arrays in the order in which they are read here; places 33 and 34 are
        0, or the addresses of arrays for the levels of all observations and their derivatives
        by the parameters, natural scale.

    Returns
    -------
    int
        0, or 3 if a result is not finite.
    """
    a = carray(table_, (40,), np.int64)
    k, q, r, e, n, v = a[0], a[1], a[2], a[3], a[4], a[5]
    x, gradient = carray(x_, (size,)), carray(gradient_, (size,))
    kinds = carray(pointer_at(a[6]), (q,), np.int64)
    bounds = carray(pointer_at(a[7]), (q, 2), np.float64)
    forms = carray(pointer_at(a[8]), (q,), np.int64)
    numbers = carray(pointer_at(a[9]), (q, 4), np.float64)
    typical = carray(pointer_at(a[10]), (M,), np.int64)
    scales = carray(pointer_at(a[11]), (M,), np.int64)
    varying = carray(pointer_at(a[12]), (r, 3), np.int64)
    effects = carray(pointer_at(a[13]), (e, 2), np.int64)
    columns = carray(pointer_at(a[14]), (e, k), np.float64)
    residual = carray(pointer_at(a[15]), (S,), np.int64)
    mixture = carray(pointer_at(a[16]), (2,), np.int64)
    base = carray(pointer_at(a[17]), (k, a[35]), np.float64)
    ev_time = carray(pointer_at(a[18]), (v,), np.float64)
    ev_kind = carray(pointer_at(a[19]), (v,), np.int64)
    ev_index = carray(pointer_at(a[20]), (v,), np.int64)
    ev_value = carray(pointer_at(a[21]), (v,), np.float64)
    ev_start = carray(pointer_at(a[22]), (k + 1,), np.int64)
    ob_time = carray(pointer_at(a[23]), (n,), np.float64)
    ob_endpoint = carray(pointer_at(a[24]), (n,), np.int64)
    ob_before = carray(pointer_at(a[25]), (n,), np.bool_)
    ob_start = carray(pointer_at(a[26]), (k + 1,), np.int64)
    code = carray(pointer_at(a[27]), (n,), np.int64)
    dv = carray(pointer_at(a[28]), (n,), np.float64)
    low = carray(pointer_at(a[29]), (n,), np.float64)
    floors = carray(pointer_at(a[30]), (a[36],), np.float64)
    options = carray(pointer_at(a[31]), (4,), np.float64)
    unsolved = carray(pointer_at(a[32]), (k,), np.int64)
    free, sigmas = np.empty((k, M)), np.empty(S)
    values, slopes = np.empty(q), np.empty(q)
    mean_slope, free_slope, sigma_slope = np.empty((k, M)), np.empty((k, M)), np.empty((k, S))
    total, status = np.empty(k), np.empty(k, np.int64)
    values_at, sens = np.empty(n), np.empty((n, M))
    if a[33] != 0:
        values_at = carray(pointer_at(a[33]), (n,), np.float64)
        sens = carray(pointer_at(a[34]), (n, M), np.float64)
    value = assemble(
        x, kinds, bounds, forms, numbers, typical, scales, varying, effects, columns, residual,
        mixture, free, sigmas, values, slopes, mean_slope, gradient,
    )  # fmt: skip
    all_patients(
        0, k, free, sigmas, base, ev_time, ev_kind, ev_index, ev_value, ev_start, ob_time,
        ob_endpoint, ob_before, ob_start, code, dv, low, floors, options, total, free_slope,
        sigma_slope, status, values_at, sens,
    )  # fmt: skip
    value += pull_back(
        x, kinds, bounds, typical, scales, varying, effects, columns, residual, values, slopes,
        mean_slope, total, free_slope, sigma_slope, gradient,
    )  # fmt: skip
    for i in range(k):
        if status[i] != 0:
            unsolved[i] += 1
    carray(value_, (1,))[0] = value
    finite = np.isfinite(value)
    for i in range(size):
        finite = finite and np.isfinite(gradient[i])
    return FINE if finite else NOT_FINITE


def copy_point(size: int, expanded: int, x_: Any, out_: Any, table_: Any) -> int:
    """Write a point unchanged: what a sampler keeps of each draw."""
    x, out = carray(x_, (size,)), carray(out_, (size,))
    for i in range(size):
        out[i] = x[i]
    return FINE
