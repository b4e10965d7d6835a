"""A Dask cluster: one started here, or one that runs already."""

from __future__ import annotations

import contextlib
import itertools
import logging
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from cart_pkpd._core.errors import ExecutorError, sentence_of
from cart_pkpd._executor.base import ATTEMPTS, Executor, Failed, OnDone, Work, attempt, lost
from cart_pkpd._executor.cores import limits, processors

_MISSING = (
    "the executor 'dask' needs the packages dask and distributed: pip install 'cart-pkpd[dask]'."
)
_ANSWER = 30.0  # how long a scheduler may take to answer [s]
_AHEAD = 2  # tasks with the scheduler for each worker; the rest stays here


class Dask(Executor):
    """A local cluster of `jobs` one-thread workers, or the workers of a running scheduler."""

    name = "dask"

    def __init__(self, *, jobs: int | None = None, scheduler: str | None = None) -> None:
        _check_installed()
        self._ends = contextlib.ExitStack()
        with contextlib.ExitStack() as started:  # ends what has begun if the rest fails
            self._client = started.enter_context(
                _connected(scheduler) if scheduler else _local(jobs or processors())
            )
            self._ends = started.pop_all()
        self.jobs = jobs or max(1, len(self._client.nthreads()))

    def _do(self, work: Work, tasks: Sequence[Any], done: OnDone) -> None:
        from distributed import as_completed

        run, waiting = uuid.uuid4().hex, iter(range(len(tasks)))
        places: dict[Any, int] = {}

        def send(count: int) -> Iterator[Any]:
            for index in itertools.islice(waiting, count):
                future = self._client.submit(
                    _on_worker, work, index, tasks[index], _version(),
                    key=f"cart_pkpd-{run}-{index}", pure=False,
                )  # fmt: skip
                places[future.key] = index
                yield future

        under_way = as_completed(send(self._window()), loop=self._client.loop)
        try:
            for future in under_way:
                done(places[future.key], _result(future, places.pop(future.key)))
                for more in send(self._window() - len(places)):
                    under_way.add(more)
        except BaseException:
            self._client.cancel(list(under_way.futures), force=True)
            raise

    def _window(self) -> int:
        """Return how many tasks the scheduler may hold, so that it never holds all data."""
        return max(_AHEAD * len(self._client.nthreads()), _AHEAD * self.jobs)

    def close(self) -> None:
        """Disconnect, and end the cluster if it was started here."""
        self._ends.close()


def _check_installed() -> None:
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise ExecutorError(_MISSING) from error


@contextlib.contextmanager
def _local(jobs: int) -> Iterator[Any]:
    """Start a cluster of one-thread processes, without a dashboard."""
    import dask
    from distributed import Client, LocalCluster

    settings = {
        "distributed.scheduler.allowed-failures": ATTEMPTS - 1,
        # A task that waits on a worker would count as lost with the one that runs there.
        "distributed.scheduler.worker-saturation": 1.0,
        "distributed.nanny.pre-spawn-environ": limits(jobs),
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=jobs, threads_per_worker=1, processes=True, dashboard_address=None,
            host="127.0.0.1", silence_logs=logging.CRITICAL,
            # A free port: the usual one may be that of another run on this machine.
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        ) as cluster,
        # Not the default of this process, whose own arrays and files are none of its business.
        Client(cluster, set_as_default=False) as client,
    ):  # fmt: skip
        yield client


@contextlib.contextmanager
def _connected(scheduler: str) -> Iterator[Any]:
    from distributed import Client

    try:
        client = Client(scheduler, timeout=_ANSWER, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ExecutorError(
            f"no Dask scheduler answers at {scheduler!r}; start one with 'dask scheduler', and "
            "give its address as it prints it, such as tcp://host:8786."
        ) from error
    with client:
        yield client


def _version() -> str:
    from cart_pkpd import __version__

    return __version__


def _on_worker(work: Work, index: int, task: Any, version: str) -> Any:
    """Do one task on a worker, if it has the same package."""
    if version != _version():
        return Failed(
            index,
            f"the worker has cart_pkpd {_version()} and this machine {version}; install the same "
            "on both.",
        )
    import dask

    # What a task does with arrays is done by it, not handed to the cluster that it runs on.
    with dask.config.set(scheduler="synchronous"):
        return attempt(work, index, task)


def _result(future: Any, index: int) -> Any:
    """Return the result of a future, or what became of it."""
    from distributed.scheduler import KilledWorker

    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, KilledWorker):
        return lost(index, f"last on {error.last_worker.address}")
    return Failed(index, sentence_of(error), "")
