"""A pool of local processes, each with a line of its own to this one.

With a line for each worker it is known which task a killed one had; a shared queue, as in the
standard library's pool, breaks as a whole.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from cart_pkpd._core.errors import ExecutorError, sentence_of
from cart_pkpd._executor.base import (
    ATTEMPTS,
    Executor,
    Failed,
    OnDone,
    Work,
    attempt,
    lost,
)
from cart_pkpd._executor.cores import environment, limits, processors

_LOG = logging.getLogger("cart_pkpd")
_READY = b"ready"
_PATIENCE = 2.0  # how long a worker that was told to stop may take [s]


class Processes(Executor):
    """Up to `jobs` processes on this machine; they start when there are tasks for them."""

    name = "processes"

    def __init__(self, *, jobs: int | None = None) -> None:
        self.jobs = jobs or processors()
        self._workers: list[_Worker] = []

    def _do(self, work: Work, tasks: Sequence[Any], done: OnDone) -> None:
        try:
            _Round(self._workers, self.jobs, work, tasks, done).run()
        except BaseException:
            self.close()  # what still runs is of no use to anybody
            raise

    def close(self) -> None:
        """End the workers, also in the middle of a task."""
        for worker in self._workers:
            worker.stop()
        self._workers.clear()


class _Worker:
    """A process, the line to it, and the task that it has."""

    def __init__(self, jobs: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.line, theirs = spawn.Pipe()
        self.process = spawn.Process(target=serve, args=(theirs,), daemon=True)
        with environment(limits(jobs)):
            self.process.start()
        theirs.close()
        self.ready = False
        self.task: int | None = None

    def give(self, index: int, packed: bytes) -> None:
        """Send a task; a worker that is gone is found out when it is waited for."""
        self.task = index
        with contextlib.suppress(OSError):
            self.line.send_bytes(packed)

    def stop(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.join(_PATIENCE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.line.close()

    def end(self) -> str:
        """Return how a process that is gone ended, in words."""
        self.process.join()
        code = self.process.exitcode
        if code is None or code >= 0:
            return f"exit code {code}"
        return f"signal {signal.Signals(-code).name}"


class _Round:
    """One set of tasks under way."""

    def __init__(
        self, workers: list[_Worker], jobs: int, work: Work, tasks: Sequence[Any], done: OnDone
    ) -> None:
        self._workers, self._jobs = workers, min(jobs, len(tasks))
        self._share = jobs
        self._work, self._tasks, self._done = work, tasks, done
        self._waiting = deque(range(len(tasks)))
        self._lost = [0] * len(tasks)
        self._open = len(tasks)

    def run(self) -> None:
        """Hand out tasks until each has a result."""
        while self._open:
            self._hand_out()
            lines: dict[Any, _Worker] = {w.line: w for w in self._workers}
            for line in wait(list(lines)):
                self._hear(lines[line])

    def _hand_out(self) -> None:
        busy = sum(w.task is not None for w in self._workers)
        wanted = min(self._jobs, busy + len(self._waiting))
        while len(self._workers) < wanted:
            self._workers.append(_Worker(self._share))
        for worker in self._workers:
            if worker.ready and worker.task is None and self._waiting:
                self._give(worker, self._waiting.popleft())

    def _give(self, worker: _Worker, index: int) -> None:
        try:
            packed = pickle.dumps((self._work, index, self._tasks[index]))
        except Exception as error:
            self._finish(index, Failed(index, sentence_of(error), traceback.format_exc()))
            return
        worker.give(index, packed)

    def _hear(self, worker: _Worker) -> None:
        try:
            said = worker.line.recv_bytes()
        except (EOFError, OSError):
            self._bury(worker)
            return
        if said == _READY:
            worker.ready = True
            return
        index, worker.task = worker.task, None
        if index is not None:
            self._finish(index, pickle.loads(said))

    def _bury(self, worker: _Worker) -> None:
        """Put the task of a lost worker back to the front, or give it up."""
        self._workers.remove(worker)
        how = worker.end()
        worker.line.close()
        if not worker.ready:
            what_to_do = (
                "Something outside ended it, such as a limit of memory; run it again."
                if how.startswith("signal")
                else 'In a script, keep what is to run once under `if __name__ == "__main__":`.'
            )
            raise ExecutorError(f"a worker process ended before it was ready ({how}). {what_to_do}")
        if worker.task is None:
            return
        self._lost[worker.task] += 1
        if self._lost[worker.task] < ATTEMPTS:
            _LOG.warning("a worker was lost (%s); task %d is done again", how, worker.task)
            self._waiting.appendleft(worker.task)
        else:
            self._finish(worker.task, lost(worker.task, how))

    def _finish(self, index: int, result: Any) -> None:
        self._open -= 1
        self._done(index, result)


def serve(line: Connection) -> None:
    """Do tasks that come by a line until it ends: what a worker process runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, OSError):
        line.send_bytes(_READY)
        while True:
            line.send_bytes(_answer(line.recv_bytes()))


def _answer(packed: bytes) -> bytes:
    index = -1
    try:
        work, index, task = pickle.loads(packed)
        return pickle.dumps(attempt(work, index, task))
    except Exception as error:  # what came cannot be read here, or what is to go not sent
        return pickle.dumps(Failed(index, sentence_of(error), traceback.format_exc()))


def _end_with_parent() -> None:
    """Leave no worker behind when the parent is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
