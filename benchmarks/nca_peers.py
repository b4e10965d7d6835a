"""The NCA beside other Python tools: agreement on public data, on simulated profiles, and time.

Runs whatever of pkpdutils, openpkflow and pynca can be imported, in an environment of their own
that also has numpy, pandas, scipy and xarray; this package is taken from the source tree::

    python -m venv peers && peers/bin/pip install pkpdutils openpkflow pynca
    PYTHONPATH=. peers/bin/python benchmarks/nca_peers.py

prints Markdown tables. Nothing of the package imports this file, and no code of the peers is
used but through their public calls. One thread; CPU time of a busy machine is what it is: look
at the ratios.
"""

from __future__ import annotations

import contextlib
import csv
import importlib
import importlib.metadata
import io
import math
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from bench_nca import simulated

from cart_pkpd import __version__, nca

ORACLES = Path(__file__).parent.parent / "tests" / "oracles" / "nca"
LLOQ = 20.0
MOST = {"pynca": 200}  # profiles a tool is given at most: 6,000 would take it minutes
Table = dict[str, np.ndarray]


@dataclass(frozen=True)
class Job:
    """What every tool is asked for: the same data by the same rules.

    Levels below `lloq` are BLQ; 0 before the first and after the last quantifiable sample, left
    out in between; the best-fit rule with tolerance 1e-4 and at least 3 samples after Tmax.
    """

    level: np.ndarray
    time: np.ndarray
    dose: float
    linear: bool = False
    bolus: bool = False
    lloq: float = math.nan
    window: tuple[float, float] | None = None


# -- the tools


def run_cart_pkpd(job: Job) -> Table:
    rules: dict[str, Any] = {"method": "linear" if job.linear else "lin-up/log-down"}
    if job.bolus:
        rules |= {"start_rule": "extrapolate", "allow_tmax": True}
    out = nca.profiles(
        job.level, job.time, lloq=None if math.isnan(job.lloq) else job.lloq, dose=job.dose,
        window=job.window or (0, 28), **rules,
    )  # fmt: skip
    found = {
        "lambda_z": out["lambda_z"], "n": out["lambda_z_n_points"], "cmax": out["cmax"],
        "auclast": out["auclast"], "aucinf": out["aucinf_obs"],
    }  # fmt: skip
    if job.window:
        found["window"] = out[f"auc{job.window[0]:g}_{job.window[1]:g}"]
    return {k: v.values for k, v in found.items()}


def run_pkpdutils(job: Job) -> Table:
    from pkpdutils.nca import AUCMethod, BLQRules, NCAOptions, TerminalPhase
    from pkpdutils.nca import nca as analyse
    from pkpdutils.timecourse import Dose, Route, Timecourses

    route = next(r for r in Route if r.value == ("iv_bolus" if job.bolus else "oral"))
    batch = Timecourses.from_arrays(
        job.time, job.level, time_unit="day", unit="mg/l",
        dose=Dose(amount=job.dose, unit="mg", route=route),
    )  # fmt: skip
    options = NCAOptions(
        auc_method=AUCMethod.LINEAR if job.linear else AUCMethod.LINEAR_LOG,
        terminal=TerminalPhase(exclude_cmax=not job.bolus),
        lloq=None if math.isnan(job.lloq) else job.lloq,
        blq=BLQRules.ich_m13a(),
        partial_aucs={"window": job.window} if job.window else {},
        n_workers=1,
    )
    out = analyse(batch, options=options).ds
    names = {
        "lambda_z": "lambda_z", "n": "lambda_z_n_points", "cmax": "cmax", "auclast": "auc_last",
        "aucinf": "auc_inf_obs", "window": "window",
    }  # fmt: skip
    return {k: out[v].values.astype(float) for k, v in names.items() if v in out}


def run_openpkflow(job: Job) -> Table:
    from openpkflow.nca import NCAStudy

    frame = long(job).rename(columns={"id": "subject"})
    frame = frame.assign(dose=job.dose, route="iv_bolus" if job.bolus else "oral")
    method = "linear" if job.linear else "linear_up_log_down"
    results = NCAStudy(frame, auc_method=method, blq_method="zero").analyze().results
    names = {
        "lambda_z": "lambda_z", "n": "lambda_z_n_points", "cmax": "Cmax", "auclast": "AUClast",
        "aucinf": "AUCinf_obs",
    }  # fmt: skip
    return {
        k: np.array([getattr(r, v) for r in results], dtype=float) for k, v in names.items()
    }  # fmt: skip


def run_pynca(job: Job) -> Table:
    tools = importlib.import_module("pynca.tools")
    with contextlib.redirect_stdout(io.StringIO()):
        out = tools.tblNCA(
            concData=long(job), key=["id"], colTime="time", colConc="conc", dose=job.dose,
            adm="Bolus" if job.bolus else "Extravascular",
            down="Linear" if job.linear else "Log",
        )  # fmt: skip
    names = {
        "lambda_z": "Lambda_z", "n": "No_points_lambda_z", "cmax": "Cmax", "auclast": "AUClast",
        "aucinf": "AUCINF_obs",
    }  # fmt: skip
    rows = out.iloc[1:]  # the first row holds units
    return {
        k: pd.to_numeric(rows[v], errors="coerce").to_numpy(float) for k, v in names.items()
    }  # fmt: skip


def cleaned(job: Job) -> np.ndarray:
    """Return the levels with the BLQ rule applied: 0 at both ends, NaN in between."""
    below = job.level < job.lloq
    seen = ~below & (job.level > 0)
    inside = (np.cumsum(seen, axis=1) > 0) & (np.cumsum(seen[:, ::-1], axis=1)[:, ::-1] > 0)
    return np.where(below, np.where(inside, np.nan, 0.0), job.level)


def long(job: Job) -> pd.DataFrame:
    """Return the profiles as a long table for tools without BLQ rules: applied beforehand."""
    level = cleaned(job)
    frame = pd.DataFrame(
        {
            "id": np.repeat(np.arange(level.shape[0]), level.shape[1]),
            "time": np.broadcast_to(job.time, level.shape).ravel(),
            "conc": level.ravel(),
        }
    )
    return frame.dropna(ignore_index=True)


TOOLS: dict[str, Callable[[Job], Table]] = {
    "cart_pkpd": run_cart_pkpd,
    "pkpdutils": run_pkpdutils,
    "openpkflow": run_openpkflow,
    "pynca": run_pynca,
}


def available() -> Iterator[tuple[str, str]]:
    for name in TOOLS:
        with contextlib.suppress(ImportError, importlib.metadata.PackageNotFoundError):
            if name == "cart_pkpd":
                yield name, __version__
            else:
                importlib.import_module(name)
                yield name, importlib.metadata.version(name)


# -- public data


def public(name: str, dose: float, **rules: Any) -> Job:
    frame = pd.read_csv(ORACLES / f"{name}.csv")
    groups = [g for _, g in frame.groupby("subject")]
    return Job(
        np.stack([g["conc"].to_numpy(float) for g in groups]),
        np.stack([g["time"].to_numpy(float) for g in groups]),
        dose, **rules,
    )  # fmt: skip


def printed(name: str) -> dict[str, list[str]]:
    with (ORACLES / f"winnonlin_{name}.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {key: [row[key] for row in rows] for key in rows[0]}


def same_digits(value: float, text: str) -> bool:
    """Whether a value rounds to the digits that were printed."""
    decimals = len(text.partition(".")[2])
    return abs(value - float(text)) <= 0.5000001 * 10.0**-decimals


def against_winnonlin(tool: str) -> Iterator[tuple[str, str]]:
    """Yield, for each published column, how many values agree to every printed digit."""
    for name, dose, bolus in (("theoph", 320.0, False), ("indometh", 25.0, True)):
        figures = printed(name)
        for linear in (True, False):
            try:
                out = TOOLS[tool](public(name, dose, linear=linear, bolus=bolus))
            except Exception as error:
                out, why = {}, type(error).__name__
            suffix = "linear" if linear else "log"
            columns = {"auclast": f"auclast_{suffix}", "aucinf": f"aucinf_obs_{suffix}"}
            if linear:
                columns |= {"n": "lambda_z_n_points", "lambda_z": "lambda_z"}
            for key, column in columns.items():
                yield f"{name} `{column}`", agreement(out[key], figures[column]) if out else why


def agreement(values: np.ndarray, texts: list[str]) -> str:
    pairs = [(float(v), t) for v, t in zip(values, texts, strict=True)]
    equal = sum(same_digits(*pair) for pair in pairs)
    worst = np.nanmax([abs(v / float(t) - 1) for v, t in pairs])
    text = f"{equal} of {len(pairs)}"
    return text if equal == len(pairs) else f"{text}, up to {worst:.1%} off"


# -- simulated profiles


def simulated_job(patients: int) -> Job:
    levels, times = simulated(patients)
    return Job(levels, times, 1e7, lloq=LLOQ, window=(0.0, 28.0))


def against_each_other(job: Job, ours: Table, theirs: Table) -> list[str]:
    """Return how many values agree; windows only where both ends are measured."""
    measured = np.where(job.level >= job.lloq, job.time, -1.0).max(axis=1) >= 28
    cells = [f"{job.level.shape[0]:,}"]
    for key in ("cmax", "auclast", "lambda_z", "n", "aucinf", "window"):
        if key not in theirs:
            cells.append("—")
            continue
        keep = measured if key == "window" else slice(None)
        a, b = ours[key][keep], theirs[key][keep]
        equal = (np.isnan(a) & np.isnan(b)) | np.isclose(a, b, rtol=1e-9, atol=0)
        cells.append("all" if equal.all() else f"{equal.mean():.1%}")
    return cells


# -- hand-worked profiles

HALF = 1 / math.log(2)  # area under a level that halves, per unit of the drop and of time
_LATE = 40 * 7.5 / math.log(2) * (1 - 2 ** (-7 / 7.5))  # from 40 on day 21 to day 28
_GAP = 560 + 14 * 120 / math.log(4) + 140 * HALF
TRAPS: list[tuple[str, str, list[float], list[float], float]] = [
    (
        "AUC0–28, last sample on day 28.5", "window",
        [0, 7, 14, 21, 28.5], [0, 100, 80, 40, 20], 350 + 140 / math.log(1.25) + 280 * HALF + _LATE,
    ),
    (
        "AUC0–28, Tlast day 21, BLQ on day 25 (line to it)", "window",
        [0, 4, 7, 14, 21, 25], [0, 200, 160, 80, 40, 0],
        400 + 120 / math.log(1.25) + 560 * HALF + 280 * HALF + 80,
    ),
    ("AUClast, BLQ on day 14 left out", "auclast", [0, 7, 14, 21, 28], [0, 160, 0, 40, 20], _GAP),
    ("AUC0–28 of the same", "window", [0, 7, 14, 21, 28], [0, 160, 0, 40, 20], _GAP),
    ("AUClast, every sample BLQ", "auclast", [0, 7, 14, 21, 28], [0, 0, 0, 0, 0], 0.0),
]  # fmt: skip


def trap_rows(tools: list[str]) -> Iterator[list[str]]:
    for text, key, times, levels, by_hand in TRAPS:
        cells = [text, f"{by_hand:.4f}"]
        for tool in tools:
            profile = np.array([levels], float), np.array([times], float)
            try:
                out = TOOLS[tool](Job(*profile, 1.0, lloq=1.0, window=(0.0, 28.0)))
                cells.append(f"{out[key][0]:.4f}" if key in out else "no windows")
            except Exception as error:
                cells.append(type(error).__name__)
        yield cells


# -- report


def timed(work: Callable[[], Any], repeats: int) -> float:
    best = math.inf
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begin)
    return best


def table(head: list[str], rows: list[list[str]]) -> None:
    print("| " + " | ".join(head) + " |")
    print("| " + " | ".join("---" for _ in head) + " |")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def main(patients: int) -> None:
    warnings.simplefilter("ignore")
    versions = dict(available())
    tools = list(versions)
    print(f"Python {platform.python_version()}, numpy {np.__version__}, one thread.\n")
    print("Against WinNonlin: values equal in every printed digit; the largest difference.\n")
    columns = [dict(against_winnonlin(tool)) for tool in tools]
    rows = [[what, *(column[what] for column in columns)] for what in columns[0]]
    heads = [f"{tool} {version}" for tool, version in versions.items()]
    table(["what", *heads], rows)

    print("Simulated profiles: equal to cart_pkpd within 1e-9, or missing in both.\n")
    rows = []
    for tool in tools[1:]:
        job = simulated_job(min(patients, MOST.get(tool, patients)))
        ours = TOOLS["cart_pkpd"](job)
        rows.append([tool, *against_each_other(job, ours, TOOLS[tool](job))])
        if tool == "pkpdutils":
            clean = replace(job, level=cleaned(job), lloq=math.nan)
            cells = against_each_other(job, ours, TOOLS[tool](clean))
            rows.append(["pkpdutils, BLQ rule applied beforehand", *cells])
    head = ["tool", "profiles", "Cmax", "AUClast", "λz", "points", "AUCinf", "AUC0–28 (Tlast ≥ 28)"]
    table(head, rows)

    print("Hand-worked AUC0–28 (lin-up/log-down):\n")
    table(["profile", "by hand", *heads], list(trap_rows(tools)))

    print("Time of one call, best of three (one for more than 2 s):\n")
    rows = []
    for count in (60, patients):
        job = simulated_job(count)
        cells = []
        for tool in tools:
            if count > MOST.get(tool, count):
                cells.append("not run")
                continue
            first = timed(lambda t=tool, j=job: TOOLS[t](j), 1)
            best = first if first > 2 else min(first, timed(lambda t=tool, j=job: TOOLS[t](j), 2))
            cells.append(f"{best:.3g} s")
        rows.append([f"{count:,} profiles × 12 samples", *cells])
    table(["", *heads], rows)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 6000)
