"""A plan carried out: chunk after chunk, in memory or into a file, here or on other workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from cart_pkpd import executor as executors
from cart_pkpd._core.errors import DataError, FitError
from cart_pkpd._core.validate import positive_int
from cart_pkpd._simulate import files
from cart_pkpd._simulate.blocks import Arrays, simulated
from cart_pkpd._simulate.dataset import dataset_of
from cart_pkpd._simulate.plan import Plan
from cart_pkpd._simulate.streams import BLOCK

CHUNK = 65_536
_IN_MEMORY = 4 * 2**30
_AHEAD = 2  # chunks per worker that are under way or wait to be written

type OnProgress = Callable[[int, int], None]


def run(
    plan: Plan, *, chunk: int = CHUNK, out: Any = None, overwrite: bool = False,
    threads: int | None = None, executor: Any = None, jobs: int | None = None,
    scheduler: str | None = None, progress: OnProgress | None = None,
) -> xr.Dataset:  # fmt: skip
    """Return the patients of a plan; the arguments are those of ``simulate.patients``."""
    chunk = positive_int(chunk, "chunk")
    path = None if out is None else files.target_of(out, overwrite)
    threads = None if threads is None else positive_int(threads, "threads")
    parts = _parts(plan, chunk, threads, executor, jobs, scheduler)
    parts = _told(parts, plan.patients, progress)
    if path is None:
        return dataset_of(plan, _joined([*_few_enough(parts, plan)]))
    files.write(path, (dataset_of(plan, part) for part in parts), plan.patients)
    return files.opened(path)


def _parts(
    plan: Plan, chunk: int, threads: int | None, executor: Any, jobs: int | None,
    scheduler: str | None,
) -> Iterator[Arrays]:  # fmt: skip
    """Yield chunks of patients in order; never more than a few at a time are held."""
    size = max(1, -(-chunk // BLOCK))
    edges = [*range(0, plan.blocks, size), plan.blocks]
    tasks = [(plan, a, b, threads) for a, b in pairwise(edges)]
    with executors.get(executor, jobs=jobs, scheduler=scheduler) as pool:
        ahead = 1 if pool.name == "inline" else _AHEAD * pool.jobs
        for at in range(0, len(tasks), ahead):
            for found in pool.map(simulated, tasks[at : at + ahead]):
                if isinstance(found, executors.Failed):
                    raise FitError(f"simulate: {found.sentence}")
                yield found


def _told(parts: Iterator[Arrays], total: int, progress: OnProgress | None) -> Iterator[Arrays]:
    done = 0
    for part in parts:
        yield part
        done += part["id"].size
        if progress is not None:
            progress(done, total)


def _few_enough(parts: Iterator[Arrays], plan: Plan) -> Iterator[Arrays]:
    """Yield the parts; refuse early what would not fit into memory."""
    for i, part in enumerate(parts):
        each = sum(v.nbytes for v in part.values()) / part["id"].size
        if i == 0 and each * plan.patients > _IN_MEMORY:
            raise DataError(
                f"{plan.patients:,} patients take {each * plan.patients / 2**30:.1f} GiB of memory;"
                " give out='patients.nc' or out='patients.zarr' to write them chunk by chunk."
            )
        yield part


def _joined(parts: list[Arrays]) -> Arrays:
    if len(parts) == 1:
        return parts[0]
    # Name after name, so that not everything is there twice.
    return {name: np.concatenate([p.pop(name) for p in parts]) for name in [*parts[0]]}
