"""The likelihood of all patients, one after the other."""

from __future__ import annotations

from typing import Any

from cart_pkpd._engine.equations import compiled
from cart_pkpd._engine.symbols import call_at


@compiled
def all_patients(count: int, address: int, table: Any) -> None:
    """Write log-likelihood and gradient of all patients, by the kernel at an address.

    The table is that of :func:`cart_pkpd._engine.batch.loglik`.
    """
    call_at(address, 0, count, table)
