"""The likelihood of all patients, several at the same time.

For machines with more cores than chains. Each thread works on patients of its own, so that the
numbers do not depend on how many there are. Numba's threading layer must allow calls from
several chains at once (``omp`` or ``tbb``).
"""

from __future__ import annotations

from typing import Any

from numba import njit, prange, set_num_threads

from cart_pkpd._engine.density import OPTIONS
from cart_pkpd._engine.symbols import call_at, floats

CHUNKS = 32


@njit(parallel=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def all_patients(count: int, address: int, table: Any) -> None:
    """Write log-likelihood and gradient of all patients, by the kernel at an address.

    The table is that of :func:`cart_pkpd._engine.batch.loglik`.
    """
    set_num_threads(int(floats(table[OPTIONS])[3]))
    for c in prange(CHUNKS):
        first, last = c * count // CHUNKS, (c + 1) * count // CHUNKS
        if last > first:
            call_at(address, first, last, table)
