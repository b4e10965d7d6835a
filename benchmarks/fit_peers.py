"""Population fits beside other Python tools: estimates, objective, time, and use of BLQ records.

Runs here, and calls the peers in an environment of their own::

    python -m venv peers && peers/bin/pip install pynlme==0.5.1 openpkpd==0.3.4 pymixef==0.1.1
    OMP_NUM_THREADS=1 PYTHONPATH=. python benchmarks/fit_peers.py --peers peers/bin/python

writes ``results/fit_peers.json`` after every fit; ``--tools`` runs some and keeps what others gave.
Two data sets: theophylline (12 people, public), and 60 simulated patients with 16 samples each, 1
in 6 below the LLOQ. Times are CPU seconds of one thread, because machines are shared. A fit that
takes more than 20 s is run once, others three times (medians); one that is not done after
``--limit`` CPU seconds is ended and reported so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

import theophylline
from fit_peers_tools import expansion, timed

from cart_pkpd import __version__, data, fit, models

RESULTS = HERE / "results" / "fit_peers.json"
DAYS = np.array([3, 5, 7, 9, 11, 14, 17, 21, 28, 42, 60, 90, 120, 180, 270, 365.0])
TMAX, LLOQ, SCATTER = 10.0, 65.0, 0.4
TRUE = {"cmax": 24_000.0, "rho": 0.889, "alpha": 0.16, "fb": 0.0079, "beta": 0.0032}
TRUE_OMEGA = {"cmax": 0.65, "alpha": 0.6, "fb": 0.8}
TRUTH = TRUE | {f"omega_{k}": v for k, v in TRUE_OMEGA.items()} | {"sigma_add": SCATTER}
VERSIONS = {"pynlme": "0.5.1", "openpkpd": "0.3.4", "pymixef": "0.1.1"}
METHODS = {
    "pynlme": ("LME", "FOCE", "SAEM"),
    "pymixef": ("FOCEI", "objective"),
    "openpkpd": ("FOCEI", "LAPLACIAN"),
}
SKIPPED = {  # asked once is enough
    ("pynlme FOCE", "theophylline, combined"),
    ("pymixef", "theophylline, combined"), ("pymixef", "expansion, BLQ left out"),
    ("openpkpd LAPLACIAN", "theophylline, combined"),
    ("openpkpd LAPLACIAN", "expansion, M3"), ("openpkpd LAPLACIAN", "expansion, BLQ left out"),
}  # fmt: skip
Job = dict[str, Any]


# -- data


def simulated(seed: int, patients: int = 60) -> np.ndarray:
    """Return levels, (patients, samples), of ``TRUE`` with log-normal scatter."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(patients):
        eta = {k: sd * rng.standard_normal() for k, sd in TRUE_OMEGA.items()}
        own = dict(TRUE)
        own["cmax"] *= np.exp(eta["cmax"])
        own["alpha"] *= np.exp(eta["alpha"])
        odds = own["fb"] / (1 - own["fb"]) * np.exp(eta["fb"])
        own["fb"] = odds / (1 + odds)
        noise = SCATTER * rng.standard_normal(DAYS.size)
        out.append(np.exp(expansion(DAYS, own, TMAX) + noise))
    return np.array(out)


def expansion_trial(levels: np.ndarray, folder: Path, drop: bool) -> Any:
    """Return the levels as a trial; those below the LLOQ flagged, or left out."""
    rows = ["ID,TIME,DV,AMT,EVID,CENS,LLOQ"]
    for i, line in enumerate(levels, 1):
        rows.append(f"{i},0,.,1e8,1,0,.")
        rows += [
            f"{i},{t:g},{max(float(y), LLOQ)!r},.,0,{int(y < LLOQ)},{LLOQ:g}"
            for t, y in zip(DAYS, line, strict=True)
            if not (drop and y < LLOQ)
        ]
    path = folder / f"expansion_{drop}.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return data.read_table(path, units={"transgene": "copies/µg"}, echo=False)


def theophylline_job(error: str) -> Job:
    people = zip(
        theophylline.DOSES, theophylline.TIMES, theophylline.LEVELS, strict=True
    )  # hours here; the trial of this package holds days
    return {
        "data": "theophylline", "error": error, "drop": False, "lloq": None, "tmax": None,
        "start": {"ke": 0.09, "ka": 1.6, "cl": 0.04}, "random": ["ka", "cl"],
        "patients": [
            {"dose": d, "time": t, "value": y, "below": [False] * len(t)} for d, t, y in people
        ],
    }  # fmt: skip


def expansion_job(levels: np.ndarray, drop: bool) -> Job:
    return {
        "data": "expansion", "error": "additive", "drop": drop, "lloq": float(np.log(LLOQ)),
        "tmax": TMAX, "random": list(TRUE_OMEGA),
        "start": {"cmax": 15_000.0, "rho": 0.7, "alpha": 0.2, "fb": 0.01, "beta": 0.005},
        "patients": [
            {
                "dose": 1.0, "time": DAYS.tolist(), "below": (y < LLOQ).tolist(),
                "value": np.log(np.maximum(y, LLOQ)).tolist(),
            }
            for y in levels
        ],
    }  # fmt: skip


# -- fits of this package


def fit_theophylline(trial: Any, error: str, method: str) -> Any:
    population = fit.population(iiv=["ka", "cl"], error=error)
    return fit.laplace(
        theophylline.Oral(), trial, population, endpoint="theophylline", method=method, starts=1
    )


def fit_expansion(trial: Any, method: str) -> Any:
    model = models.get("stein2019").with_(tmax=models.Fixed(TMAX))
    population = fit.population(iiv=list(TRUE_OMEGA), error="lognormal")
    return fit.laplace(model, trial, population, method=method, starts=1)


def ours(found: Any, per_hour: bool) -> Job:
    """Return estimates by the names and units of the jobs; the OFV is of ln levels if they are."""
    estimates = {k: float(v) for k, v in found.estimates.items()}
    if per_hour:
        estimates |= {k: estimates[k] / 24.0 for k in ("ke", "ka", "cl")}
        return {"estimates": estimates, "ofv": float(found.ofv)}
    estimates["sigma_add"] = estimates.pop("sigma_log")
    design = found.structure.design
    logs = np.log(design.dv[design.code == 0]).sum()
    return {"estimates": estimates, "ofv": float(found.ofv - 2.0 * logs)}


def run_ours(work: Callable[[], Any], per_hour: bool) -> Job:
    begin = time.process_time()
    work()
    first = time.process_time() - begin
    found, seconds = timed(work)
    return ours(found, per_hour) | {
        "seconds": seconds, "first": first, "note": found.verdict.sentence,
    }  # fmt: skip


# -- fits of the peers


def run_peer(python: str, job: Job, limit: float) -> Job:
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(job, file)
        file.flush()
        command = [python, str(HERE / "fit_peers_tools.py"), file.name, str(limit)]
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, check=False
        )  # fmt: skip
    if done.returncode < 0:
        return {"failed": f"not done within {limit:g} s"}
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        return {"failed": (done.stderr.strip().splitlines() or ["no output"])[-1][:160]}
    return json.loads(lines[-1])


# -- all of it


def own_fits(folder: Path) -> Iterator[tuple[str, Job]]:
    trial = theophylline.trial(folder)
    for error in ("additive", "combined"):
        for method in ("foce", "laplace"):
            found = run_ours(lambda e=error, m=method: fit_theophylline(trial, e, m), True)
            yield f"theophylline, {error} | cart_pkpd {method}", found
    for name, drop in (("M3", False), ("BLQ left out", True)):
        own = expansion_trial(simulated(1), folder, drop)
        for method in ("foce", "laplace"):
            found = run_ours(lambda t=own, m=method: fit_expansion(t, m), False)
            yield f"expansion, {name} | cart_pkpd {method}", found


def peer_fits(python: str, limit: float, tools: list[str], at: Job) -> Iterator[tuple[str, Job]]:
    """Yield the peers' fits; `at` has the estimates where an objective is asked for."""
    jobs = {f"theophylline, {e}": theophylline_job(e) for e in ("additive", "combined")}
    jobs |= {
        f"expansion, {name}": expansion_job(simulated(1), drop)
        for name, drop in (("M3", False), ("BLQ left out", True))
    }
    for tool in [t for t in METHODS if t in tools]:
        for name, job in jobs.items():
            for method in METHODS[tool]:
                if {(tool, name), (f"{tool} {method}", name)} & SKIPPED:
                    continue
                each = job | {"tool": tool, "method": method, "at": at.get(name)}
                yield f"{name} | {tool} {method}", run_peer(python, each, limit)
    if "openpkpd" in tools:
        yield from placeholders(python, limit)


def placeholders(python: str, limit: float) -> Iterator[tuple[str, Job]]:
    """Yield one step for two people with M3 and two values in place of levels below 2 mg/L.

    With M3 it cannot matter which value below the LLOQ stands there.
    """
    job = theophylline_job("additive")
    for who in job["patients"]:
        who["below"] = [y < 2.0 for y in who["value"]]
    job |= {"patients": job["patients"][:2], "lloq": 2.0, "tool": "openpkpd", "method": "FOCEI"}
    options = {"maxeval": 1, "outer_fallback_maxeval": 1}
    for under in (0.5, 1.5):
        each = job | {"under": under, "options": options}
        name = f"two people, one step, M3, {2 - under:g} in place of BLQ | openpkpd FOCEI"
        yield name, run_peer(python, each, limit)


def replicates(python: str, limit: float, folder: Path, count: int) -> Job:
    """Return estimates over `count` simulated data sets: bias of what leaves BLQ records out."""
    kept: dict[str, list[Job]] = {"cart_pkpd M3": [], "cart_pkpd left out": [], "pynlme LME": []}
    for seed in range(1, count + 1):
        levels = simulated(seed)
        for key, drop in (("cart_pkpd M3", False), ("cart_pkpd left out", True)):
            found = fit_expansion(expansion_trial(levels, folder, drop), "foce")
            kept[key].append(ours(found, False)["estimates"])
        job = expansion_job(levels, True) | {"tool": "pynlme", "method": "LME"}
        found = run_peer(python, job, limit)
        if "estimates" in found:
            kept["pynlme LME"].append(found["estimates"])
    return {key: bias(each) for key, each in kept.items() if each}


def bias(each: list[Job]) -> Job:
    """Return, by parameter, the mean of ln(estimate / truth) as a per cent, and its error."""
    out: Job = {"fits": len(each)}
    for name, truth in TRUTH.items():
        logs = np.log([e[name] / truth for e in each])
        out[name] = [
            round(100.0 * float(np.expm1(logs.mean())), 2),
            round(100.0 * float(logs.std(ddof=1) / np.sqrt(logs.size)), 2),
        ]
    return out


def line(name: str, result: Job) -> str:
    if "failed" in result:
        return f"{name}: {result['failed']}"
    values = ", ".join(f"{k} {v:.5g}" for k, v in result.get("estimates", {}).items())
    median = float(np.median(result["seconds"]))
    return f"{name}: {median:.2f} s, OFV {result['ofv']:.4f}; {values}; {result.get('note', '')}"


def tables(found: Job) -> Iterator[str]:
    """Yield the lines of a Markdown table for each data set."""
    for data_set in dict.fromkeys(name.partition(" | ")[0] for name in found["fits"]):
        fits = {
            name.partition(" | ")[2]: result
            for name, result in found["fits"].items()
            if name.partition(" | ")[0] == data_set
        }
        names = max((list(r.get("estimates", {})) for r in fits.values()), key=len)
        yield f"\n{data_set}\n"
        yield "| | " + " | ".join([*names, "OFV", "s"]) + " |"
        yield "| --- " * (len(names) + 3) + "|"
        for name, result in fits.items():
            if "failed" in result:
                yield f"| {name} | {result['failed']} |"
                continue
            values = result.get("estimates", {})
            cells = [f"{values[k]:.4g}" if k in values else "" for k in names]
            cells += [f"{result['ofv']:.3f}", f"{np.median(result['seconds']):.2g}"]
            yield f"| {name} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", required=True, help="Python of the peers' environment")
    parser.add_argument("--limit", type=float, default=300.0, help="CPU seconds per fit of a peer")
    parser.add_argument("--replicates", type=int, default=8, help="simulated data sets; 0: none")
    parser.add_argument("--tools", nargs="*", default=["cart_pkpd", *METHODS])
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if "cart_pkpd" in chosen.tools:
            keep(own_fits(Path(folder)))
        at = {
            name.partition(" | ")[0]: result["estimates"]
            for name, result in report()["fits"].items()
            if name.endswith("cart_pkpd laplace")
        }
        keep(peer_fits(chosen.peers, chosen.limit, chosen.tools, at))
        if chosen.replicates:
            found = replicates(chosen.peers, chosen.limit, Path(folder), chosen.replicates)
            write(report() | {"bias_percent": found})
            print(json.dumps(found, indent=1))
    print("\n".join(tables(report())))


def report() -> Job:
    """Return what was written so far."""
    if RESULTS.exists():
        return json.loads(RESULTS.read_text(encoding="utf-8"))
    return {
        "versions": {"cart_pkpd": __version__, "python": platform.python_version(), **VERSIONS},
        "truth": TRUTH, "below_lloq": float((simulated(1) < LLOQ).mean()), "fits": {},
    }  # fmt: skip


def write(what: Job) -> None:
    RESULTS.write_text(json.dumps(what, indent=1) + "\n", encoding="utf-8")


def keep(fits: Iterator[tuple[str, Job]]) -> None:
    for name, result in fits:
        print(line(name, result), flush=True)
        so_far = report()
        so_far["fits"][name] = result
        write(so_far)


if __name__ == "__main__":
    main()
