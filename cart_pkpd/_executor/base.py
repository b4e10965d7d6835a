"""What every executor promises, and the one that needs no workers."""

from __future__ import annotations

import abc
import pickle
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from cart_pkpd._core.errors import ConfigError, sentence_of

ATTEMPTS = 3
"""How often a task is begun before it is given up: once, and twice after its worker was lost."""

type Work = Callable[[Any], Any]
type OnDone = Callable[[int, Any], None]


@dataclass(frozen=True)
class Failed:
    """Stands for the result of a task that has none.

    Attributes
    ----------
    index : int
        Place of the task.
    sentence : str
        Why, in one sentence.
    traceback : str
        Where, for a log; empty where the worker was lost.
    """

    index: int
    sentence: str
    traceback: str = ""


class Executor(abc.ABC):
    """Does many tasks; a context manager, whose end is that of its workers.

    Attributes
    ----------
    name : str
        ``"inline"``, ``"processes"`` or ``"dask"``.
    jobs : int
        Tasks at the same time.
    """

    name: str
    jobs: int

    def map(self, work: Work, tasks: Iterable[Any], *, on_done: OnDone | None = None) -> list[Any]:
        """Do every task and return the results in the order of the tasks.

        Parameters
        ----------
        work : callable
            A function of one task, at the top level of a module.
        tasks : iterable
            Plain data; whatever a task depends on, its seed too, is in it.
        on_done : callable, optional
            Called here with the place of a task and its result as each ends, in any order.

        Returns
        -------
        list
            A task that raised, or whose worker was lost `ATTEMPTS` times, has a `Failed` in its
            place and stops no other.

        Raises
        ------
        ConfigError
            If `work` cannot be sent to another process.
        ExecutorError
            If no worker can be had.
        KeyboardInterrupt
            On Ctrl-C; the workers are stopped.
        """
        _check_work(work)
        listed = list(tasks)
        found: dict[int, Any] = {}

        def done(index: int, result: Any) -> None:
            found[index] = result
            if on_done is not None:
                on_done(index, result)

        if listed:
            self._do(work, listed, done)
        return [found[i] for i in range(len(listed))]

    @abc.abstractmethod
    def _do(self, work: Work, tasks: Sequence[Any], done: OnDone) -> None:
        """Call `done` once for each task."""

    def close(self) -> None:  # noqa: B027 (not every executor has workers to end)
        """End the workers."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _where: TracebackType | None,
    ) -> None:
        self.close()


class Inline(Executor):
    """One task after the other, in this process."""

    name = "inline"
    jobs = 1

    def _do(self, work: Work, tasks: Sequence[Any], done: OnDone) -> None:
        for index, task in enumerate(tasks):
            done(index, attempt(work, index, task))


class Borrowed(Executor):
    """An executor of somebody else's, who also closes it."""

    def __init__(self, lent: Executor) -> None:
        self._lent, self.name, self.jobs = lent, lent.name, lent.jobs

    def _do(self, work: Work, tasks: Sequence[Any], done: OnDone) -> None:
        self._lent._do(work, tasks, done)


def attempt(work: Work, index: int, task: Any) -> Any:
    """Return the result of a task, or a `Failed` that says why there is none."""
    try:
        return work(task)
    except Exception as error:
        return Failed(index, sentence_of(error), traceback.format_exc())


def lost(index: int, how: str) -> Failed:
    """Return the result of a task whose workers did not survive it."""
    return Failed(
        index,
        f"its worker process ended {ATTEMPTS} times before the task did ({how}); the machine may "
        "be short of memory: use fewer jobs.",
    )


def _check_work(work: Work) -> None:
    try:
        pickle.dumps(work)
    except Exception as error:
        raise ConfigError(
            f"work = {getattr(work, '__qualname__', work)!r} cannot be sent to another process; "
            "give a function defined at the top level of a module."
        ) from error
