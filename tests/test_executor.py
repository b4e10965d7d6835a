"""Executors: the same results in the same order, whoever does the work and whoever dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import executor_tasks as tasks
import numpy as np
import pytest
import xarray as xr

from cart_pkpd import executor
from cart_pkpd._core.errors import ConfigError, ExecutorError
from cart_pkpd._executor import processes
from cart_pkpd._fit.trees import write_tree

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _workers_find_the_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))


@pytest.fixture(scope="module")
def pool() -> Iterator[executor.Executor]:
    with executor.get("processes", jobs=2) as workers:
        yield workers


@pytest.fixture(scope="module")
def dask() -> Iterator[executor.Executor]:
    pytest.importorskip("distributed")
    with executor.get("dask", jobs=2) as workers:
        yield workers


@pytest.fixture(params=["inline", "pool", "dask"])
def workers(request: pytest.FixtureRequest) -> executor.Executor:
    if request.param == "inline":
        return executor.get("inline")
    return request.getfixturevalue(request.param)


def test_results_come_in_the_order_of_the_tasks(workers: executor.Executor) -> None:
    heard: dict[int, int] = {}
    found = workers.map(tasks.slow_square, range(7), on_done=heard.__setitem__)
    assert found == [0, 1, 4, 9, 16, 25, 36]
    assert heard == dict(enumerate(found))
    assert workers.map(tasks.square, []) == []
    assert workers.map(tasks.square, (n for n in (5, 6))) == [25, 36]


def test_random_numbers_depend_on_seed_and_task_alone(workers: executor.Executor) -> None:
    # The same streams as SeedSequence(9).spawn(5), as NumPy documents.
    spawned = np.random.SeedSequence(9).spawn(5)
    expected = [np.random.default_rng(s).normal() for s in spawned]
    assert workers.map(tasks.normal, [(9, i) for i in range(5)]) == expected


def test_a_task_that_fails_stops_no_other(workers: executor.Executor) -> None:
    found = workers.map(tasks.picky, range(4))
    assert found[0] == 0
    assert found[3] == 3
    assert found[1].sentence == "patient 'x1' has no records."
    assert found[2].sentence == "ZeroDivisionError: division by zero."
    assert [f.index for f in found[1:3]] == [1, 2]
    assert "in picky" in found[1].traceback


def test_a_result_that_cannot_be_sent_is_told(pool: executor.Executor) -> None:
    found = pool.map(tasks.unsendable, range(3))
    assert (found[0], found[2]) == (0, 2)
    assert isinstance(found[1], executor.Failed)


def test_work_that_cannot_be_sent_is_refused(workers: executor.Executor) -> None:
    with pytest.raises(ConfigError, match="top level of a module"):
        workers.map(lambda n: n, [1])


def test_a_task_that_cannot_be_sent_is_told(pool: executor.Executor) -> None:
    found = pool.map(tasks.square, [2, lambda: 3])
    assert found[0] == 4
    assert isinstance(found[1], executor.Failed)


def test_workers_are_other_processes_and_stay(pool: executor.Executor) -> None:
    first = set(pool.map(tasks.process, range(8)))
    assert len(first) == 2
    assert os.getpid() not in first
    assert set(pool.map(tasks.process, range(8))) == first


@pytest.mark.parametrize("kind", ["pool", "dask"])
def test_workers_share_the_processors(kind: str, request: pytest.FixtureRequest) -> None:
    (cores, threads), *_ = request.getfixturevalue(kind).map(tasks.limits, range(2))
    assert cores == max(1, executor.cores_here() // 2)
    assert threads == "1"


@pytest.mark.parametrize("kind", ["pool", "dask"])
def test_the_task_of_a_killed_worker_is_done_again(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    mark = tmp_path / "killed"
    found = request.getfixturevalue(kind).map(
        tasks.dies_at_first, [(str(mark), n) for n in range(6)]
    )
    assert mark.exists()
    assert found == [0, 1, 4, 9, 16, 25]


def test_a_task_that_kills_its_worker_is_given_up(tmp_path: Path) -> None:
    log = tmp_path / "tries"
    with executor.get("processes", jobs=2) as workers:
        found = workers.map(tasks.counts_tries, [(str(log), n) for n in range(5)])
    assert [found[i] for i in (0, 2, 3, 4)] == [0, 2, 3, 4]
    assert found[1].sentence.startswith("its worker process ended 3 times")
    assert "SIGKILL" in found[1].sentence
    tries = sorted(log.read_text().split())
    assert tries == sorted(["0", "1", "1", "1", "2", "3", "4"])  # nobody else's task again


@pytest.mark.slow
def test_a_task_that_kills_its_dask_worker_is_given_up(dask: executor.Executor) -> None:
    found = dask.map(tasks.always_dies, range(4))
    assert [found[i] for i in (0, 2, 3)] == [0, 2, 3]
    assert found[1].sentence.startswith("its worker process ended 3 times")


def test_a_worker_killed_from_outside() -> None:
    with executor.get("processes", jobs=2) as workers:
        mine = workers.map(tasks.process, range(4))

        def kill() -> None:
            time.sleep(0.3)
            os.kill(mine[0], signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        assert workers.map(tasks.sleeps, [0.6, 0.6, 0.1]) == [0.6, 0.6, 0.1]
        killer.join()


def test_an_error_here_ends_the_workers() -> None:
    def refuse(_: int, __: object) -> None:
        raise KeyboardInterrupt

    others = multiprocessing.active_children()
    with executor.get("processes", jobs=2) as workers:
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            workers.map(tasks.sleeps, [0.01, 60.0], on_done=refuse)
        assert time.monotonic() - began < 20
        assert set(multiprocessing.active_children()) <= set(others)
        assert workers.map(tasks.square, [3]) == [9]  # and begins anew


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    code = (
        "import executor_tasks as t; from cart_pkpd import executor\n"
        "with executor.get('processes', jobs=1) as w:\n"
        "    w.map(t.process, [0], on_done=lambda i, pid: print(pid, flush=True))\n"
        "    w.map(t.sleeps, [60.0])\n"
    )
    script = tmp_path / "script.py"
    script.write_text(f"if __name__ == '__main__':\n{textwrap.indent(code, '    ')}")
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.kill()
    for _ in range(100):
        if not _lives(worker):
            break
        time.sleep(0.1)
    assert not _lives(worker)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_script_without_a_guard_is_told(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import executor_tasks as t; from cart_pkpd import executor\n"
        "with executor.get('processes', jobs=1) as w:\n"
        "    w.map(t.square, [2])\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ended before it was ready" in done.stderr
    assert "__main__" in done.stderr


def test_a_worker_that_is_killed_before_it_is_ready_is_no_script_without_a_guard() -> None:
    line = SimpleNamespace(close=lambda: None)
    worker = SimpleNamespace(ready=False, task=None, line=line, end=lambda: "signal SIGKILL")
    with pytest.raises(ExecutorError, match=r"signal SIGKILL.*run it again") as caught:
        processes._Round([worker], 1, abs, [1], lambda *_: None)._bury(worker)
    assert "__main__" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "name", "jobs"),
    [
        ({}, "inline", 1),
        ({"jobs": 1}, "inline", 1),
        ({"jobs": 3}, "processes", 3),
        ({"which": "processes", "jobs": 1}, "processes", 1),
        ({"which": "inline", "jobs": 1}, "inline", 1),
    ],
)
def test_which_executor_is_meant(given: dict, name: str, jobs: int) -> None:
    with executor.get(**given) as found:
        assert (found.name, found.jobs) == (name, jobs)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"which": "dusk"}, "Did you mean 'dask'"),
        ({"which": "inline", "jobs": 2}, "one task at a time"),
        ({"which": "processes", "scheduler": "tcp://h:1"}, "goes with the executor 'dask'"),
        ({"scheduler": "tcp://h:1", "jobs": 2}, "leave jobs out"),
        ({"jobs": 0}, "jobs"),
    ],
)
def test_options_that_do_not_go_together(given: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        executor.get(**given)


def test_an_executor_that_is_given_stays_open(pool: executor.Executor) -> None:
    with executor.get(pool) as lent:
        assert lent.map(tasks.square, [4]) == [16]
    assert pool.map(tasks.square, [5]) == [25]
    with pytest.raises(ConfigError, match="its own jobs"):
        executor.get(pool, jobs=2)


def test_without_dask_the_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ExecutorError, match=r"pip install 'cart-pkpd\[dask\]'"):
        executor.get("dask", jobs=1)


def test_a_scheduler_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    from cart_pkpd._executor import dask as module

    monkeypatch.setattr(module, "_ANSWER", 0.5)
    with pytest.raises(ExecutorError, match="no Dask scheduler answers at"):
        executor.get(scheduler="tcp://127.0.0.1:1")


def test_a_running_scheduler(dask: executor.Executor) -> None:
    address = dask._client.scheduler.address
    with executor.get(scheduler=address) as workers:
        assert (workers.name, workers.jobs) == ("dask", 2)
        assert workers.map(tasks.square, range(30)) == [n**2 for n in range(30)]
    assert dask.map(tasks.square, [7]) == [49]


def test_a_worker_with_another_version_is_told() -> None:
    from cart_pkpd._executor.dask import _on_worker

    found = _on_worker(tasks.square, 0, 3, "0.0.1")
    assert "install the same on both" in found.sentence


_QUIET: dict[str, Any] = {
    "dashboard_address": None,
    "scheduler_kwargs": {"dashboard_address": "127.0.0.1:0"},
}


def test_a_fit_is_written_where_a_dask_client_is_the_default(tmp_path: Path) -> None:
    """Locks of a cluster have names, which a file in memory has not."""
    distributed = pytest.importorskip("distributed")
    values = xr.Dataset({"a": ("i", np.arange(3.0))})
    with distributed.Client(processes=False, n_workers=1, **_QUIET):
        write_tree(values, tmp_path / "fit.nc")
    with xr.open_dataset(tmp_path / "fit.nc", engine="h5netcdf") as again:
        np.testing.assert_array_equal(again["a"], values["a"])


def test_a_cluster_of_ours_is_not_the_default_of_this_process(dask: executor.Executor) -> None:
    from distributed import default_client

    with pytest.raises(ValueError, match="No clients found"):
        default_client()
