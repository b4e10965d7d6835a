"""Where many independent pieces of work are done: here, in processes, or on a Dask cluster.

>>> from cart_pkpd import executor
>>> with executor.get("processes", jobs=2) as workers:
...     workers.map(math.sqrt, [1.0, 4.0, 9.0])
[1.0, 2.0, 3.0]

Results come in the order of the tasks, and depend on the tasks alone: a task that needs random
numbers brings its seed, such as ``numpy.random.SeedSequence(seed, spawn_key=(index,))``.
"""

from __future__ import annotations

from typing import Any, Literal

from cart_pkpd._core.errors import ConfigError, ExecutorError
from cart_pkpd._core.validate import one_of, positive_int
from cart_pkpd._executor.base import ATTEMPTS as ATTEMPTS
from cart_pkpd._executor.base import Borrowed as _Borrowed
from cart_pkpd._executor.base import Executor as Executor
from cart_pkpd._executor.base import Failed as Failed
from cart_pkpd._executor.base import Inline as Inline
from cart_pkpd._executor.cores import cores_here as cores_here

__all__ = ["ATTEMPTS", "NAMES", "Executor", "ExecutorError", "Failed", "cores_here", "get"]

Name = Literal["inline", "processes", "dask"]
NAMES: tuple[Name, ...] = ("inline", "processes", "dask")


def get(
    which: str | Executor | None = None, *, jobs: int | None = None, scheduler: str | None = None
) -> Executor:
    """Return what does the work; use it in a ``with`` block, which ends its workers.

    Parameters
    ----------
    which : str, Executor or None
        ``"inline"``, one after the other in this process; ``"processes"``, a pool on this machine;
        ``"dask"``, a cluster. None means processes where `jobs` is above 1, Dask where there is
        a `scheduler`, else inline. An executor is used as it is, and left open.
    jobs : int, optional
        How many tasks at the same time; by default one for each processor. A running Dask
        cluster has as many as it has workers.
    scheduler : str, optional
        Address of a running Dask scheduler, ``tcp://host:8786``; without one, Dask starts a
        cluster on this machine.

    Returns
    -------
    Executor

    Raises
    ------
    ConfigError
        For an unknown name, or options that do not go together.
    ExecutorError
        If Dask is not installed, or no scheduler answers.

    Notes
    -----
    Worker processes are started afresh (spawn): a script that uses them keeps its own work under
    ``if __name__ == "__main__":``. Each limits its threads, so that all together use the machine
    once; `cores_here` tells a task how many processors it may use.
    """
    if isinstance(which, Executor):
        if jobs is not None or scheduler is not None:
            raise ConfigError("an executor was given, which has its own jobs and scheduler.")
        return _Borrowed(which)
    jobs = None if jobs is None else positive_int(jobs, "jobs")
    name = _chosen(which, jobs, scheduler)
    if name == "dask":
        from cart_pkpd._executor.dask import Dask

        return Dask(jobs=jobs, scheduler=scheduler)
    if name == "processes":
        from cart_pkpd._executor.processes import Processes

        return Processes(jobs=jobs)
    return Inline()


def _chosen(which: str | None, jobs: int | None, scheduler: str | None) -> str:
    """Return the name of the executor that is meant, or say what does not go together."""
    several = "processes" if jobs is not None and jobs > 1 else "inline"
    implied = "dask" if scheduler is not None else several
    name: Any = implied if which is None else one_of(which, NAMES, "executor", error=ConfigError)
    if scheduler is not None and name != "dask":
        raise ConfigError(f"a scheduler goes with the executor 'dask', not with '{name}'.")
    if scheduler is not None and jobs is not None:
        raise ConfigError("a running scheduler has its own workers; leave jobs out.")
    if name == "inline" and jobs is not None and jobs > 1:
        raise ConfigError(
            f"the executor 'inline' does one task at a time, so jobs={jobs} is not possible; "
            "choose 'processes' or 'dask'."
        )
    return str(name)
