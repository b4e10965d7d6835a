"""What a fit costs beside its sampling: starting workers, sending, compiling, writing.

Run ``python benchmarks/executor_overheads.py``; it writes ``results/executor_overheads.json``,
which docs/cluster.md quotes. Seconds are of the processor, because others use the machine too: of
the process that was started, which is the one that all fits have to pass, or, for a fit, of the
worker and the compiler that it starts.
"""

from __future__ import annotations

import json
import os
import pickle
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from grid_inputs import FOUR, TRIAL

from cart_pkpd import executor, study
from cart_pkpd._study import fitting, kept, steps
from cart_pkpd._study.folder import RunFolder

REPEATS = 3

FIRST_FIT = """
import os, sys
def now():
    return sum(os.times()[:4])
from pathlib import Path
import pickle
from cart_pkpd._study import fitting
task = pickle.loads(Path(sys.argv[1]).read_bytes())
loaded = now()
sent = fitting.send(task)
first = now()
again = fitting.send(task)
print(loaded, first - loaded, now() - first)
"""


def shortest(work, repeats: int = REPEATS) -> float:
    """Return the least time of some calls. [s]"""
    found = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


def echo(task: object) -> int:
    """Receive a task and do nothing with it."""
    return len(pickle.dumps(task)[:1])


def send_back(content: bytes) -> bytes:
    """Return as many bytes as a fit has."""
    return content


def round_trips(name: str, task: object, content: bytes) -> dict[str, float]:
    """Return what an executor takes to start, and for one task, here. [s]"""
    began = time.process_time()
    n = 20
    with executor.get(name, jobs=1) as workers:
        workers.map(echo, [0])
        started = time.process_time() - began
        workers.map(echo, [task])
        empty = shortest(lambda: workers.map(echo, range(n))) / n
        there = shortest(lambda: workers.map(echo, [task] * n)) / n
        and_back = shortest(lambda: workers.map(send_back, [content] * n)) / n
    return {"start": started, "empty": empty, "with data": there, "a fit's file": and_back}


def first_fits(task: fitting.Task, folder: Path) -> dict[str, float]:
    """Return the time of a small fit: nothing compiled, compiled by others, done again. [s]"""
    (folder / "task").write_bytes(pickle.dumps(task))
    rows = []
    for _ in range(3):
        environment = {**os.environ, "CART_PKPD_CACHE": str(folder / "cache")}
        done = subprocess.run(
            [sys.executable, "-c", FIRST_FIT, str(folder / "task")],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        rows.append([float(x) for x in done.stdout.split()])
    cold, *warm = rows
    return {
        "import": min(row[0] for row in rows),
        "nothing compiled": cold[1],
        "compiled by another": min(row[1] for row in warm),
        "again": min(row[2] for row in rows),
    }


def main() -> None:
    """Measure and write the results."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "trial.csv").write_text(TRIAL, encoding="utf-8")
        small = study.loads(FOUR, root=folder)
        quick = fitting.task(small, "stein-cmax-lognormal", steps.load_trial(small))
        config = study.load(study.demo_file())
        trial = steps.load_trial(config)
        task = fitting.task(config, next(iter(config.spec.models)), trial)
        fits = first_fits(quick, folder)
        print(fits)
        config = study.loads((HERE.parent / "examples" / "fast01.toml").read_text(encoding="utf-8"))
        first = next(iter(config.spec.models))
        given = config._with({"fit": config.spec.fit.model_copy(
            update={"draws": 500, "tune": 200, "chains": 4})})  # fmt: skip
        sent = fitting.send(fitting.task(given, first, trial))
        place = folder / "fits"
        write = shortest(lambda: fitting.unpacked(given, first, sent, place))
        from cart_pkpd._study import join

        structures = join.models(given, trial)
        find = shortest(lambda: kept.find(given, structures, place))
        with RunFolder(folder / "run") as run:
            save = shortest(run.save)
        found = {
            "machine": f"{platform.machine()}, {os.cpu_count()} processors",
            "task_bytes": len(pickle.dumps(task)),
            "fit_bytes": len(sent.content),
            "fit_draws": 2000,
            "executors": {
                name: round_trips(name, task, sent.content) for name in ("processes", "dask")
            },
            "small_fit": fits,
            "write_and_read": write,
            "find_again": find,
            "status": save,
        }
    text = json.dumps(found, indent=2)
    (HERE / "results" / "executor_overheads.json").write_text(f"{text}\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
