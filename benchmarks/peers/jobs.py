"""The two population fits of the comparison as plain data, for whatever samples them.

B1: expansion and contraction in closed form, 60 patients × 16 times, one record in six below the
LLOQ, six parameters that vary. B2: ``engine/problem.py``'s effector and memory cells, antigen and
IL-6, 30 patients × 16 times × 2 endpoints to day 365, five parameters that vary. NumPy is all this
file needs; priors and the parametrisation are put in by ``run_ours.py``, which asks the package.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "engine"))

import problem

RTOL = 1e-6
ATOL = 1e-9  # for engines that take one number: the smallest of problem.ATOL

NAMES = ("cmax", "tmax", "rho", "alpha", "fb", "beta")
DAYS = np.array([1, 2, 3, 5, 7, 9, 11, 14, 17, 21, 28, 42, 60, 90, 180, 360.0])
TRUE = {"cmax": 24_000.0, "tmax": 9.3, "rho": 0.889, "alpha": 0.16, "fb": 0.0079, "beta": 0.0032}
OMEGA = {"cmax": 0.65, "tmax": 0.3, "rho": 0.3, "alpha": 0.6, "fb": 0.8, "beta": 0.6}
SIGMA, PATIENTS, BELOW = 0.4, 60, 1 / 6

VARYING = ("rho", "alpha", "kappa", "kout", "prod")


def log_level(t: np.ndarray, p: dict[str, Any]) -> np.ndarray:
    """Return ln of the level of B1."""
    since = t - p["tmax"]
    late = np.maximum(since, 0.0)
    decline = (1 - p["fb"]) * np.exp(-p["alpha"] * late) + p["fb"] * np.exp(-p["beta"] * late)
    return np.log(p["cmax"]) + p["rho"] * np.minimum(since, 0.0) + np.log(decline)


def b1() -> dict[str, Any]:
    """Return times, ln of level or limit, and what is below the limit, (patients, times)."""
    rng = np.random.default_rng(11)
    shape = (PATIENTS, 1)
    own: dict[str, Any] = {
        n: TRUE[n] * np.exp(OMEGA[n] * rng.standard_normal(shape)) for n in NAMES if n != "fb"
    }
    odds = TRUE["fb"] / (1 - TRUE["fb"]) * np.exp(OMEGA["fb"] * rng.standard_normal(shape))
    own["fb"] = odds / (1 + odds)
    time_ = np.tile(DAYS, (PATIENTS, 1))
    y = log_level(time_, own) + SIGMA * rng.standard_normal(time_.shape)
    limit = float(np.quantile(y, BELOW))
    below = (y < limit).astype(int)
    return {
        "N": PATIENTS, "T": DAYS.size, "time": time_.tolist(),
        "y": np.where(below, limit, y).tolist(), "below": below.tolist(),
    }  # fmt: skip


def b2() -> dict[str, Any]:
    """Return times and ln of both endpoints, (patients, times, 2)."""
    at = problem.load("base")
    return {
        "N": problem.PATIENTS, "T": problem.TIMES.size, "time": at.times.tolist(),
        "y": at.obs.tolist(), "il6_base": problem.Y0, "K": len(VARYING),
        "varying": [problem.NAMES.index(n) + 1 for n in VARYING], "rtol": RTOL, "atol": ATOL,
    }  # fmt: skip


JOBS = {"b1": b1, "b2": b2}


@dataclass
class Clock:
    """Elapsed and processor seconds since the last look, ended child processes included."""

    wall: float = 0.0
    cpu: float = 0.0

    def __post_init__(self) -> None:
        self.look()

    def look(self) -> dict[str, float]:
        """Return the seconds since the last look, and begin again."""
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = time.process_time() + children.ru_utime + children.ru_stime
        now = (time.perf_counter(), cpu)
        gone = {"wall": now[0] - self.wall, "cpu": now[1] - self.cpu}
        self.wall, self.cpu = now
        return gone


def children() -> list[int]:
    """Return the processes that this one started and that still run."""
    found: list[int] = []
    for task in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread ended meanwhile
            found += [int(pid) for pid in task.read_text().split()]
    return found


def spent_by(pid: int) -> float:
    """Return the processor seconds of a process that still runs."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Limit(threading.Thread):
    """Ends this process and its children once they have used their processor seconds.

    What is written then says how many transitions were done, by `progress`. The seconds count from
    when the limit is made.
    """

    def __init__(
        self, seconds: float, progress: Callable[[], int], line: dict[str, Any], out: str
    ) -> None:
        super().__init__(daemon=True)
        self.seconds, self.progress, self.line, self.out = seconds, progress, line, out
        self.own, self.wall = time.process_time(), time.perf_counter()
        self.over = threading.Event()

    def run(self) -> None:
        """Look once a second."""
        while not self.over.wait(1.0):
            pids = children()
            cpu = time.process_time() - self.own + sum(spent_by(pid) for pid in pids)
            if cpu > self.seconds:
                self.line["sample"] = {"cpu": cpu, "wall": time.perf_counter() - self.wall}
                self.line["transitions"] = self.progress()
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)
                finish(self.out, self.line)
                os._exit(0)


def read(path: str) -> dict[str, Any]:
    """Return a job with data, priors and parametrisation."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def peak_mib() -> float:
    """Return the largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def finish(out: str, line: dict[str, Any], **draws: np.ndarray) -> None:
    """Write draws as (chains, draws, k) beside one line of what happened."""
    if draws:
        np.savez(Path(out).with_suffix(".npz"), **draws)
    text = json.dumps(line | {"peak_mib": peak_mib()})
    Path(out).write_text(text + "\n", encoding="utf-8")
    print(text[:400], flush=True)
