"""The likelihood of all patients, several at the same time.

For machines with more cores than chains. Each thread works on patients of its own by the kernel
that one thread uses, and whoever asked adds up what they wrote: the numbers are the same to the
last bit, however many there are. Numba's threading layer must allow calls from several chains at
once (``omp`` or ``tbb``).
"""

from __future__ import annotations

from typing import Any

from numba import cfunc, njit, prange, set_num_threads

from cart_pkpd._engine.places import ONE_BY_ONE, OPTIONS
from cart_pkpd._engine.symbols import address_of, call_at, floats, integers

CHUNKS = 32


@njit(parallel=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def spread(count: int, address: int, table: Any) -> None:
    """Call the kernel at an address for all patients, on as many threads as the options say."""
    set_num_threads(int(floats(table[OPTIONS])[3]))
    for c in prange(CHUNKS):
        first, last = c * count // CHUNKS, (c + 1) * count // CHUNKS
        if last > first:
            call_at(address, first, last, table)


@cfunc("int64(int64, int64, voidptr)")
def all_patients(first: int, last: int, table_: Any) -> int:
    """Write log-likelihood and gradient of all patients.

    The table is that of :func:`cart_pkpd._engine.batch.loglik`, and then the address of that.
    """
    table = integers(address_of(table_))
    spread(last, table[ONE_BY_ONE], table)
    return 0
