"""Run every comparison of speed, and write ``docs/benchmarks.md`` from what was found.

    make bench                      # all, in an environment of the peers' own
    make bench ROWS="B1 B5"         # some; the others keep what they found before
    python benchmarks/bench.py --python peers-env/bin/python --rows B1 --repeats 3
    python benchmarks/bench.py --page-only

Every row has a file in ``benchmarks/results/bench``. Where tools run in processes of their own they
take turns, so that a busy spell of the machine meets both; elapsed and processor seconds are kept.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "bench"
PEERS, ENGINE = HERE / "peers", HERE / "engine"
sys.path.insert(0, str(ENGINE))

from bench_page import write_page
from peers import ONE_THREAD, processor

Line = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """How much is run, and by what.

    Attributes
    ----------
    python, stan, rscript : str
        Interpreters of the peers, of PyStan, which needs Python 3.10, and of PKNCA.
    r_libs : str
        Where R finds PKNCA besides its own libraries.
    repeats : int
        Turns of every tool.
    limit : float
        Elapsed seconds after which a run is ended.
    chains, tune, draws : int
        Of B1; B2 has one chain of 300 + 200.
    large : bool
        With a million profiles.
    """

    python: str
    stan: str
    rscript: str
    r_libs: str
    repeats: int
    limit: float
    chains: int = 2
    tune: int = 500
    draws: int = 500
    large: bool = False


# -- processes


def run(command: list[str], limit: float, **environment: str) -> Line:
    """Run a script in a process of its own; return what it said, or how it ended."""
    if not shutil.which(command[0]):
        return {"failed": f"not installed: {command[0]}"}
    env = {**os.environ, **ONE_THREAD, "PYTHONPATH": str(HERE.parent), **environment}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        told = [str(out) if word == "OUT" else word for word in command]
        began, load = time.perf_counter(), os.getloadavg()[0]
        try:
            done = subprocess.run(told, env=env, capture_output=True, text=True, timeout=limit)
        except subprocess.TimeoutExpired:
            return {"failed": f"not done after {limit:.0f} s elapsed", "load": load}
        line: Line = {"load": load, "process_wall": time.perf_counter() - began}
        if done.returncode or not out.exists():
            return line | {"failed": complaint(done.stderr)[:200]}
        return line | read_run(out)


def complaint(said: str) -> str:
    """Return the last line that names an error, or the last one."""
    lines = said.strip().splitlines() or ["no output"]
    return next((text for text in reversed(lines) if "rror" in text), lines[-1]).strip()


def read_run(out: Path) -> Line:
    """Return a run's line with what its draws say."""
    line: Line = json.loads(out.read_text(encoding="utf-8"))
    return line | (summary(out.with_suffix(".npz")) if out.with_suffix(".npz").exists() else {})


def summary(path: Path) -> Line:
    """Return effective sizes, means and their errors of every population quantity.

    ESS and MCSE are ArviZ's for every tool; typical values on the free scale, SDs on the log.
    """
    import arviz as az

    ess, mean, error = {}, {}, {}
    with np.load(path) as stored:
        for name in stored:
            draws = stored[name] if name == "typical" else np.log(stored[name])
            for i in range(draws.shape[-1]):
                one, key = draws[..., i], f"{name}[{i}]"
                ess[key] = float(az.ess(one, method="bulk"))
                mean[key], error[key] = float(one.mean()), float(az.mcse(one))
    worst = min(ess, key=lambda k: ess[k])
    return {"min_ess": ess[worst], "worst": worst, "ess": ess, "mean": mean, "mcse": error}


def agreement(a: Line, b: Line) -> float:
    """Return the largest difference of two posteriors' means in their Monte Carlo errors."""
    return max(
        abs(a["mean"][k] - b["mean"][k]) / float(np.hypot(a["mcse"][k], b["mcse"][k]))
        for k in a["mean"]
    )


# -- rows

PROCESSOR = {
    ("b1", "numpyro"): 600, ("b1", "stan"): 600, ("b1", "pymc"): 600,
    ("b2", "numpyro"): 240, ("b2", "stan"): 240, ("b2", "pymc"): 240,
}  # fmt: skip
"""Processor seconds of sampling after which a peer's fit is ended."""


def ours(row: str, *more: str) -> list[str]:
    return [sys.executable, str(PEERS / "run_ours.py"), row, "JOB", "OUT", *more]


def empty_caches(folder: str) -> dict[str, str]:
    """Return variables that give this package and PyMC's compilers new caches in a folder.

    PyStan's compiled models are forgotten by ``run_stan.py --compile``; NumPyro keeps none.
    """
    return {
        "CART_PKPD_CACHE": f"{folder}/cart_pkpd",
        "PYTENSOR_FLAGS": f"base_compiledir={folder}/pytensor",
        "NUMBA_CACHE_DIR": f"{folder}/numba",
    }


def run_job(row: str, job: str) -> None:
    """Write the data, priors and parametrisation of a fit for the peers."""
    subprocess.run(
        [job if w == "JOB" else w for w in ours(row, "--write")], check=True,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
    )  # fmt: skip


def fits(row: str, settings: Settings, peers: tuple[str, ...]) -> Line:
    """Fit in turns by every tool, and compare posteriors.

    In B2, which peers do not end in a bearable time, each peer runs once, up to a limit.
    """
    lengths = (
        (settings.chains, settings.tune, settings.draws) if row == "b1" else (1, 300, 200)
    )  # fmt: skip
    more = [w for k, v in zip(("chains", "tune", "draws"), lengths, strict=True)
            for w in (f"--{k}", str(v))]  # fmt: skip
    runs: list[Line] = []
    with tempfile.TemporaryDirectory() as folder:
        job = f"{folder}/job.json"
        run_job(row, job)
        caches = empty_caches(folder)
        by = {"numpyro": settings.python, "stan": settings.stan, "pymc": sys.executable}
        commands = {"cart_pkpd": ours(row)} | {
            peer: [
                by[peer], str(PEERS / f"run_{peer}.py"), row, "JOB", "OUT",
                "--limit", str(PROCESSOR[row, peer]),
            ]
            for peer in peers
        }  # fmt: skip
        for seed in range(1, settings.repeats + 1):
            for tool, command in commands.items():
                if seed > 1 and row == "b2" and tool != "cart_pkpd":
                    continue
                told = [job if w == "JOB" else w for w in (*command, *more, "--seed", str(seed))]
                fresh = ["--compile"] if tool == "stan" and seed == 1 else []
                found = run([*told, *fresh], settings.limit, **caches)
                runs.append({"tool": tool, "seed": seed} | found)
                print(brief(runs[-1]), flush=True)
    return {"runs": compared(runs)}


def compared(runs: list[Line]) -> list[Line]:
    """Return runs with the distance of each peer's posterior from the first of ours."""
    first = next((r for r in runs if r["tool"] == "cart_pkpd" and "mean" in r), None)
    for r in runs:
        if first is not None and r is not first and "mean" in r:
            r["apart"] = agreement(first, r)
    return runs


def brief(line: Line) -> str:
    if "failed" in line:
        return f"{line['tool']}: {line['failed']}"
    return f"{line['tool']}: {line.get('sample')}, smallest ESS {line.get('min_ess', 0):.0f}"


def b1(settings: Settings) -> Line:
    return fits("b1", settings, ("numpyro", "stan", "pymc"))


def b2(settings: Settings) -> Line:
    return fits("b2", settings, ("numpyro", "stan", "pymc"))


def b3(settings: Settings) -> Line:
    """The engine and C in turns."""
    lines: list[Line] = []
    for _ in range(settings.repeats):
        for peer, method in (("engine", "auto"), ("c", "auto")):
            command = [
                sys.executable, str(ENGINE / f"run_{peer}.py"), "--variant", "base", "--repeats",
                "15", "--method", method,
            ]  # fmt: skip
            env = {**os.environ, **ONE_THREAD, "PYTHONPATH": str(HERE.parent)}
            done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
            lines += [json.loads(text) for text in done.stdout.splitlines() if text]
            print(lines[-1]["peer"], lines[-1]["cpu_seconds_per_gradient"], flush=True)
    return {"lines": lines}


def b4(settings: Settings) -> Line:
    """From the call to the first draw, with an empty cache and with what that left behind."""
    lines = []
    for row in ("b1", "b2"):
        with tempfile.TemporaryDirectory() as folder:
            caches = empty_caches(folder)
            for cache in ("cold", "warm", "warm"):
                command = [
                    w if w != "JOB" else "-"
                    for w in ours(row, "--chains", "1", "--tune", "1", "--draws", "1")
                ]
                found = run(command, settings.limit, **caches)
                lines.append({"tool": "cart_pkpd", "fit": row, "cache": cache} | found)
                print(row, cache, found.get("build", found), flush=True)
    return {"lines": lines + plain_pymc(settings)}


def plain_pymc(settings: Settings) -> list[Line]:
    """Return the same of PyMC and nutpie for B1, with caches of their own."""
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        job = f"{folder}/job.json"
        run_job("b1", job)
        command = [
            sys.executable, str(PEERS / "run_pymc.py"), "b1", job, "OUT", "--no-sampling",
        ]  # fmt: skip
        for cache in ("cold", "warm"):
            found = run(command, settings.limit, **empty_caches(folder))
            lines.append({"fit": "b1", "cache": cache} | found | {"tool": "pymc"})
            print("pymc", cache, found.get("build", found), flush=True)
    return lines


def b5(settings: Settings) -> Line:
    """NCA beside pkpdutils, in turns inside one process, and PKNCA in one of its own."""
    profiles = ["60", "600", "6000", *(["1000000"] if settings.large else [])]
    script = str(PEERS / "run_nca.py")
    repeats = str(settings.repeats + 4)
    command = [settings.python, script, "OUT", "--profiles", *profiles, "--repeats", repeats]
    found = run(command, max(settings.limit, 1800.0))
    sys.path.insert(0, str(HERE))
    return found | {"pknca": [pknca(n, r, settings) for n, r in ((60, 3), (600, 1), (6000, 1))]}


def pknca(profiles: int, repeats: int, settings: Settings) -> Line:
    """Run PKNCA on the profiles of the other tools, and count the values that agree with ours."""
    from nca_peers import LLOQ, run_cart_pkpd, simulated_job

    job = simulated_job(profiles)
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "profiles.csv"
        level = np.where(job.level < LLOQ, 0.0, job.level)
        rows = [np.repeat(np.arange(profiles), level.shape[1]), job.time.ravel(), level.ravel()]
        np.savetxt(table, np.column_stack(rows), delimiter=",", header="id,time,conc",
                   comments="", fmt=("%d", "%.17g", "%.17g"))  # fmt: skip
        command = [
            settings.rscript, str(PEERS / "run_pknca.R"), str(table), "OUT", str(repeats),
        ]  # fmt: skip
        found = run(command, settings.limit, R_LIBS=settings.r_libs)
    if "values" in found:
        mine = run_cart_pkpd(job)
        theirs = {k: np.array(v, dtype=float) for k, v in found.pop("values").items()}
        found["equal"] = {
            k: float((np.isclose(v, mine[k], rtol=1e-9, atol=0, equal_nan=True)).mean())
            for k, v in theirs.items()
        }
    print("PKNCA", profiles, found.get("calls", found), found.get("equal"), flush=True)
    return {"profiles": profiles} | found


def b6(settings: Settings) -> Line:
    """Virtual patients; the script has its own results."""
    script = HERE / "virtual_patients.py"
    if script.exists():
        subprocess.run([sys.executable, str(script), "--python", settings.python], check=True)
    return {}


def b7(settings: Settings) -> Line:
    """Operating characteristics; the script has its own results."""
    subprocess.run([sys.executable, str(HERE / "operating_characteristics.py")], check=True)
    return {}


IMPORTS = ("cart_pkpd", "cart_pkpd.fit", "cart_pkpd.nca", "cart_pkpd.dose", "pymc", "nutpie")


def b8(settings: Settings) -> Line:
    """Import times, each in a process of its own, and the size of the environment."""
    code = (
        "import time; w, c = time.perf_counter(), time.process_time(); import {}; "
        "print(time.perf_counter() - w, time.process_time() - c)"
    )
    env = {**os.environ, **ONE_THREAD, "PYTHONPATH": str(HERE.parent)}
    imports: dict[str, list[list[float]]] = {name: [] for name in IMPORTS}
    for _ in range(settings.repeats + 2):
        for name in IMPORTS:
            done = subprocess.run(
                [sys.executable, "-c", code.format(name)], env=env, capture_output=True,
                text=True, check=True,
            )  # fmt: skip
            imports[name].append([float(x) for x in done.stdout.split()])
    return {"imports": imports, "environment_mib": size_mib(Path(sys.prefix))}


def size_mib(folder: Path) -> float:
    """Return the size of the files of a folder."""
    return sum(f.lstat().st_size for f in folder.rglob("*") if f.is_file()) / 2**20


ROWS: dict[str, Callable[[Settings], Line]] = {
    "B1": b1, "B2": b2, "B3": b3, "B4": b4, "B5": b5, "B6": b6, "B7": b7, "B8": b8,
}  # fmt: skip


def where() -> Line:
    """Return machine and versions."""
    versions = {p: importlib.metadata.version(p) for p in ("numpy", "numba", "nutpie", "pymc")}
    return {
        "machine": processor(), "python": platform.python_version(), "versions": versions,
        "load": os.getloadavg()[0], "cores": os.cpu_count(), "date": time.strftime("%Y-%m-%d"),
    }  # fmt: skip


def keep(row: str, found: Line) -> None:
    """Write what a row found, whole or not at all."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{row}.json"
    path.with_suffix(".part").write_text(json.dumps(where() | found, indent=1) + "\n")
    shutil.move(path.with_suffix(".part"), path)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--python", default=sys.executable, help="interpreter of the peers")
    parser.add_argument("--stan", default=sys.executable, help="interpreter of PyStan: 3.10")
    parser.add_argument("--rscript", default="Rscript", help="interpreter of PKNCA")
    parser.add_argument("--r-libs", default="", help="library of R packages with PKNCA")
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=float, default=1800.0, help="elapsed seconds of one run")
    parser.add_argument("--large", action="store_true", help="B5 with a million profiles")
    parser.add_argument("--page-only", action="store_true")
    args = parser.parse_args()
    settings = Settings(
        args.python, args.stan, args.rscript, args.r_libs, args.repeats, args.limit,
        large=args.large,
    )  # fmt: skip
    if not args.page_only:
        for row in args.rows:
            print(f"-- {row}", flush=True)
            found = ROWS[row](settings)
            if found:
                keep(row, found)
    write_page(RESULTS)


if __name__ == "__main__":
    main()
