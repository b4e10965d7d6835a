"""Sharing a machine's processors between workers."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

SHARE = "CART_PKPD_CORES"
# Whatever multiplies matrices reads one of these once, when it is imported.
_LIMITS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS",
)  # fmt: skip


def processors() -> int:
    """Return how many processors this process may use, as `taskset` or a batch system allow."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def cores_here() -> int:
    """Return how many processors a task may use where it runs.

    All of them in the process of the user, a share in a worker. The environment variable
    ``CART_PKPD_CORES`` says it for workers that somebody else starts.

    Returns
    -------
    int
        At least 1.
    """
    said = os.environ.get(SHARE, "")
    return max(1, int(said)) if said.isdecimal() else processors()


def limits(jobs: int) -> dict[str, str]:
    """Return the environment of one of `jobs` workers on this machine."""
    share = max(1, cores_here() // jobs)
    return {SHARE: str(share), "NUMBA_NUM_THREADS": str(share), **dict.fromkeys(_LIMITS, "1")}


@contextlib.contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Have these environment variables for as long as a process is being started."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
