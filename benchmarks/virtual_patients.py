"""Time virtual patients: a whole simulation of 10^4 to 10^6, its memory, and its peers.

The model has four states (effector and memory cells, antigen, IL-6; ``engine/problem.py``), ten
parameters with IIV, twelve visits in 28 days, two endpoints::

    python benchmarks/virtual_patients.py                       # this package alone
    python benchmarks/virtual_patients.py --python peers-env/bin/python

Each size runs in a process of its own, so that its memory is its own; ``whole`` is everything of
``simulate.patients``: random numbers, parameters, levels, exposure, residual error, limits, and
netCDF on disk. ``levels`` leaves out exposure, error and file: the same as the peers do, with the
drawing of patients on top. Writes ``results/virtual_patients.json`` and prints a table.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "engine"))
RESULT = HERE / "results" / "virtual_patients.json"
TIMES = [0, 1, 3, 5, 7, 9, 11, 14, 17, 21, 24, 28.0]
ONE_THREAD = {n: "1" for n in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
PEERS = (
    ("scipy", "LSODA", 300), ("scipy", "RK45", 300), ("diffrax", "vmap-100", 10_000),
    ("diffrax", "vmap-1000", 10_000), ("diffrax", "vmap-10000", 10_000),
    ("diffrax", "map-1000", 10_000), ("pydiffsol", "tsit45", 2_000), ("pydiffsol", "bdf", 2_000),
)  # fmt: skip


def options() -> dict[str, Any]:
    import problem

    spread = {f"omega_{name}": problem.SPREAD for name in problem.NAMES}
    return {"values": spread, "times": TIMES, "seed": 1}


def one(n: int, what: str, workers: int, executor: str) -> dict[str, Any]:
    """Simulate in this process, after a small run that loads or compiles the model's code."""
    from run_engine import Benchmark

    from cart_pkpd import __version__, simulate

    model = Benchmark()
    small: dict[str, Any] = {"window": None, "error": False}
    whole: dict[str, Any] = {"error": 0.5, "lloq": {"transgene": 10.0}}
    simulate.patients(model, 10, **options(), **small)
    where = (
        {"threads": workers} if executor == "threads" else {"executor": executor, "jobs": workers}
    )
    with tempfile.TemporaryDirectory() as folder:
        out = {"out": f"{folder}/patients.nc"} if what == "whole" else {}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall, cpu = time.perf_counter(), time.process_time()
        simulate.patients(
            model, n, **options(), **(whole if what == "whole" else small), **out, **where
        )
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        size = os.path.getsize(out["out"]) if out else 0
    child = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = child.ru_utime + child.ru_stime - before.ru_utime - before.ru_stime
    return {
        "who": "cart_pkpd", "version": __version__, "what": what, "patients": n,
        "workers": workers, "executor": executor, "seconds": wall,
        "cpu_seconds": cpu + spent,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "worker_peak_mib": child.ru_maxrss / 1024, "file_mib": size / 2**20,
        "load_average": os.getloadavg()[0],
    }  # fmt: skip


def given(path: Path, n: int) -> None:
    """Write patients' parameters and their levels, for the peers."""
    import problem
    from run_engine import Benchmark

    from cart_pkpd import simulate

    found = simulate.patients(Benchmark(), n, **options(), window=None, error=False)
    own = found["individual"].sel(parameter=list(problem.NAMES)).to_numpy()
    level = found["level"].sel(endpoint=["transgene", "il6"]).to_numpy()
    np.savez(path, params=own, times=np.array(TIMES), level=level)


def apart(arguments: list[str], core: int | None = None) -> list[dict[str, Any]]:
    """Run this or another script in a process of its own; return the lines it prints."""
    pin = [] if core is None or not shutil.which("taskset") else ["taskset", "-c", str(core)]
    done = subprocess.run(
        [*pin, *arguments], env={**os.environ, **ONE_THREAD}, capture_output=True, text=True
    )
    if done.returncode:
        print(done.stderr[-800:], file=sys.stderr)
        return []
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def medians(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the first line with medians of its times, and the largest memory."""
    out = dict(lines[0]) | {"repeats": len(lines)}
    for key in ("seconds", "cpu_seconds"):
        out[key] = statistics.median(line[key] for line in lines)
    out["peak_mib"] = max(line["peak_mib"] for line in lines)
    return out


def measured(sizes: list[int], repeats: int) -> list[dict[str, Any]]:
    own = [sys.executable, __file__, "--one"]
    out = []
    for n in sizes:
        for what, workers, executor in (
            ("whole", 1, "threads"), ("whole", 2, "threads"), ("whole", 2, "processes"),
            ("levels", 1, "threads"),
        ):  # fmt: skip
            case = [str(n), what, str(workers), executor]
            times = repeats if n < 1_000_000 else 1
            lines = [line for _ in range(times) for line in apart([*own, *case])]
            if lines:
                out.append(medians(lines))
                print(json.dumps(out[-1]), flush=True)
    return out


def peers(python: str) -> list[dict[str, Any]]:
    out = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "given.npz"
        given(path, max(n for _, _, n in PEERS))
        script = str(HERE / "virtual_patients_peers.py")
        for peer, method, n in PEERS:
            call = [python, script, "--peer", peer, "--method", method, "--patients", str(n)]
            out += apart([*call, "--given", str(path)], core=0)
            print(json.dumps(out[-1:]), flush=True)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--one", nargs=4, metavar=("N", "WHAT", "WORKERS", "EXECUTOR"))
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--python", help="interpreter of the peers")
    args = parser.parse_args()
    if args.one:
        n, what, workers, executor = args.one
        print(json.dumps(one(int(n), what, int(workers), executor)))
        return
    theirs = peers(args.python) if args.python else []
    lines = measured(args.sizes, args.repeats) + theirs
    cpu = next(
        (x.split(":")[1].strip() for x in Path("/proc/cpuinfo").read_text().splitlines()
         if x.startswith("model name")), platform.processor(),
    )  # fmt: skip
    machine = {"processor": cpu, "cores": os.cpu_count(), "python": platform.python_version(),
               "numpy": np.__version__}  # fmt: skip
    RESULT.write_text(json.dumps({"machine": machine, "lines": lines}, indent=1) + "\n")


if __name__ == "__main__":
    main()
