"""Time the engine and its peers on every variant, one core each, and write JSON lines.

The peers need an environment of their own; the engine runs with the interpreter that runs this::

    python3.13 -m venv peers-env
    peers-env/bin/pip install numpy scipy jax diffrax pydiffsol
    .venv/bin/python benchmarks/engine/peers.py --python peers-env/bin/python
    .venv/bin/python benchmarks/engine/table.py

SciPy with RK45 and one solve per patient and shift takes minutes on the stiff variant; it is run
there only with ``--slow``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from problem import VARIANTS

HERE = Path(__file__).parent
RESULTS = HERE / "results.jsonl"
PEERS = ("engine", "c", "scipy", "diffrax", "pydiffsol")
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
SLOW = "rk45-fd"
QUICK = ("lsoda-fd", "rk45-fd-stacked", "lsoda-sens")
TOLERANCES = ("1e-4", "1e-5", "1e-7", "1e-8", "1e-9")  # besides 1e-6, at which all are run
PRECISE = {
    "engine": ("auto",),
    "c": ("auto",),
    "diffrax": ("tsit5-reverse-map",),
    "pydiffsol": ("bdf-free", "tsit45-loose"),
}


def processor() -> str:
    """Name of the processor and number of cores, as far as the system says."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor()
    return f"{name}, {os.cpu_count()} cores"


def command(python: str, peer: str, variant: str, repeats: int, core: int | None) -> list[str]:
    pin = [] if core is None or not shutil.which("taskset") else ["taskset", "-c", str(core)]
    script = str(HERE / f"run_{peer}.py")
    return [*pin, python, script, "--variant", variant, "--repeats", str(repeats)]


def run(line: list[str], results: Path) -> None:
    """Run one runner, and append what it prints as it comes."""
    env, where = {**os.environ, **ONE_THREAD}, {"processor": processor()}
    with (
        results.open("a") as out,
        subprocess.Popen(line, env=env, stdout=subprocess.PIPE, text=True) as process,
    ):
        for printed in process.stdout or ():
            print(printed, end="", flush=True)
            out.write(json.dumps(json.loads(printed) | where) + "\n")
            out.flush()
    if process.returncode:
        print(f"failed: {' '.join(line)}", file=sys.stderr)


def lines(args: argparse.Namespace) -> list[list[str]]:
    """Every command to run; SciPy repeats little, its calls take seconds."""
    todo = []
    for variant in args.variant or ["base", "stiff"]:
        for peer in args.peer or PEERS:
            repeats = min(args.repeats, 2) if peer == "scipy" else args.repeats
            python = sys.executable if peer == "engine" else args.python
            one = command(python, peer, variant, repeats, args.core)
            if peer != "scipy":
                todo.append(one)
                continue
            todo.append([*one, *(word for name in QUICK for word in ("--method", name))])
            if args.slow or variant != "stiff":
                once = command(args.python, peer, variant, 0, args.core)
                todo.append([*once, "--method", SLOW])
    if "base" in (args.variant or ["base"]):
        todo += precise(args)
    return todo


def precise(args: argparse.Namespace) -> list[list[str]]:
    """Commands of the base problem at other tolerances, for the cost at equal error."""
    at = [word for rtol in TOLERANCES for word in ("--rtol", rtol)]
    return [
        [
            *command(
                sys.executable if peer == "engine" else args.python,
                peer, "base", args.repeats, args.core,
            ),
            *at,
            *(word for method in methods for word in ("--method", method)),
        ]
        for peer, methods in PRECISE.items()
        if peer in (args.peer or PEERS)
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--python", default=sys.executable, help="interpreter of the peers")
    parser.add_argument("--variant", choices=VARIANTS, action="append", help="base and stiff")
    parser.add_argument("--peer", choices=PEERS, action="append", help="all if not given")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--core", type=int, help="pin to this core (taskset)")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--slow", action="store_true")
    args = parser.parse_args()
    args.results.write_text("")
    for line in lines(args):
        run(line, args.results)


if __name__ == "__main__":
    main()
