"""The likelihood of all patients, several at the same time.

For machines with more cores than chains. Each thread works on patients of its own, so that the
numbers do not depend on how many there are. Numba's threading layer must allow calls from
several chains at once (``omp`` or ``tbb``).
"""

from __future__ import annotations

from typing import Any

from numba import njit, prange, set_num_threads

from cart_pkpd._engine.batch import loglik

CHUNKS = 32


@njit(parallel=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def all_patients(
    begin: int,
    end: int,
    free: Any,
    sigmas: Any,
    base: Any,
    ev_time: Any,
    ev_kind: Any,
    ev_index: Any,
    ev_value: Any,
    ev_start: Any,
    ob_time: Any,
    ob_endpoint: Any,
    ob_before: Any,
    ob_start: Any,
    code: Any,
    dv: Any,
    low: Any,
    floors: Any,
    options: Any,
    total: Any,
    slope: Any,
    sigma_slope: Any,
    status: Any,
    values: Any,
    sens: Any,
) -> None:
    """Write log-likelihood and gradient of patients `begin` to `end`; as :func:`loglik`."""
    set_num_threads(int(options[3]))
    for c in prange(CHUNKS):
        first = begin + c * (end - begin) // CHUNKS
        last = begin + (c + 1) * (end - begin) // CHUNKS
        if last > first:
            loglik(
                first, last, free, sigmas, base, ev_time, ev_kind, ev_index, ev_value, ev_start,
                ob_time, ob_endpoint, ob_before, ob_start, code, dv, low, floors, options, total,
                slope, sigma_slope, status, values, sens,
            )  # fmt: skip
