"""Population fits by other Python tools, each through its public calls; run by fit_peers.py.

Runs in the peers' environment, which need not hold this package: a job comes in as a JSON file,
the result goes out as the last line of the standard output.
"""

from __future__ import annotations

import json
import math
import resource
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

SLOW = 20.0  # seconds; a fit that takes longer is not repeated
Job = dict[str, Any]


def timed(work: Callable[[], Any]) -> tuple[Any, list[float]]:
    """Return the last result of up to three calls, and the CPU seconds of each."""
    seconds: list[float] = []
    while len(seconds) < 3 and sum(seconds) < SLOW:
        begin = time.process_time()
        found = work()
        seconds.append(time.process_time() - begin)
    return found, seconds


def expansion(t: Any, p: dict[str, Any], tmax: float) -> Any:
    """Return ln C(t) of an expansion and bi-exponential contraction with a known peak time."""
    gone, left = np.maximum(t - tmax, 0.0), np.maximum(tmax - t, 0.0)
    fast, slow = np.exp(-p["alpha"] * gone), np.exp(-p["beta"] * gone)
    return np.log(p["cmax"]) - p["rho"] * left + np.log((1 - p["fb"]) * fast + p["fb"] * slow)


def oral(t: Any, dose: Any, p: dict[str, Any]) -> Any:
    """Return the level after one oral dose, one compartment."""
    ke, ka, cl = p["ke"], p["ka"], p["cl"]
    return dose * ke * ka / (cl * (ka - ke)) * (np.exp(-ke * t) - np.exp(-ka * t))


def rows(job: Job) -> list[tuple[int, float, float, float, bool]]:
    """Return (patient, dose, time, value, below); BLQ records left out where the job says so."""
    return [
        (i, who["dose"], t, y, below)
        for i, who in enumerate(job["patients"], 1)
        for t, y, below in zip(who["time"], who["value"], who["below"], strict=True)
        if not (below and job["drop"])
    ]


# -- pynlme


def run_pynlme(job: Job) -> Job:
    import pynlme

    ids, doses, times, values, below = (np.array(column) for column in zip(*rows(job), strict=True))
    if below.any():
        return {"failed": "not tried: has no likelihood for records below the LLOQ"}
    theo = job["data"] == "theophylline"
    options: Job = {"error_model": "combined" if job["error"] == "combined" else "constant"}
    if job["method"] == "SAEM":
        options |= {"random_state": 1, "loglik_method": "is"}
    if theo:

        def model(p: Any, x: Any) -> Any:
            return oral(x["t"], x["dose"], p)
    else:

        def model(p: Any, x: Any) -> Any:
            return expansion(x["t"], p, job["tmax"])

    found, seconds = timed(
        lambda: pynlme.fit(
            model, {"id": ids, "dose": doses, "t": times, "y": values}, response="y", group="id",
            predictors=["t", "dose"], start=job["start"], random=job["random"],
            transform={k: "logit" if k == "fb" else "log" for k in job["start"]},
            method=job["method"], **options,
        )
    )  # fmt: skip
    sigmas = np.atleast_1d(found["error"]["parameters"])
    estimates = dict(found["typical"])
    estimates |= {f"omega_{k}": math.sqrt(v) for k, v in found["psi"]["variances"].items()}
    estimates |= dict(zip(("sigma_add", "sigma_prop"), map(float, sigmas), strict=False))
    return {"estimates": estimates, "ofv": -2.0 * found["stats"]["logl"], "seconds": seconds}


# -- openpkpd

PK = "KE = THETA(1)\nKA = THETA(2)*EXP(ETA(1))\nCL = THETA(3)*EXP(ETA(2))\nV = CL/KE\n"
# Variables of $PK are not known in $ERROR of the builder, and time is T: all is written there.
CURVE = """CMAX = THETA(1)*EXP(ETA(1))
ALPHA = THETA(3)*EXP(ETA(2))
ODDS = THETA(4)/(1-THETA(4))*EXP(ETA(3))
FB = ODDS/(1+ODDS)
GONE = T - {tmax}
IF (GONE.LT.0) GONE = 0
LEFT = {tmax} - T
IF (LEFT.LT.0) LEFT = 0
LATE = (1-FB)*EXP(-ALPHA*GONE) + FB*EXP(-THETA(5)*GONE)
Y = LOG(CMAX) - THETA(2)*LEFT + LOG(LATE) + EPS(1)
"""


def openpkpd_model(job: Job) -> Any:
    import pandas as pd
    from openpkpd import ModelBuilder
    from openpkpd.data.dataset import NONMEMDataset
    from openpkpd.utils.constants import BLQMethod

    theo = job["data"] == "theophylline"
    table = []
    for i, who in enumerate(job["patients"], 1):
        table.append((i, 0.0, who["dose"], 0.0, 1, 1, 1, job["lloq"]))
        table += [
            (
                i,
                t,
                0.0,
                job["lloq"] - job.get("under", 1.0) if below else y,
                0,
                0,
                2 if theo else 1,
                job["lloq"],
            )
            for j, _, t, y, below in rows(job)
            if j == i
        ]
    columns = ["ID", "TIME", "AMT", "DV", "EVID", "MDV", "CMT", "LLOQ"]
    if job["lloq"] is None:
        columns, table = columns[:-1], [row[:-1] for row in table]
    data = NONMEMDataset.from_dataframe(pd.DataFrame(table, columns=columns))
    combined = job["error"] == "combined"
    built = (
        ModelBuilder()
        .problem(job["data"])
        .dataset(data)
        .subroutines(advan=2 if theo else 1, trans=2)
        .pk(PK if theo else "CL = 1\nV = 1\n")
        .error(("Y = F + F*EPS(2) + EPS(1)" if combined else "Y = F + EPS(1)") if theo
               else CURVE.format(tmax=job["tmax"]))
        .theta([(v / 100, v, min(v * 100, 0.9) if k == "fb" else v * 100)
                for k, v in job["start"].items()])
        .omega([0.25] * len(job["random"]))
        .sigma([0.25, 0.01] if combined else [0.25])
        .estimation(method=job["method"], **job.get("options", {"maxeval": 9999}))
        .build()
    )  # fmt: skip
    if any(row[-1] for row in rows(job)):
        population = built.population_model
        population.blq_method = BLQMethod.M3
        for i in population.subject_ids():
            population.individual_model(i).blq_method = BLQMethod.M3
    return built


def run_openpkpd(job: Job) -> Job:
    found, seconds = timed(lambda: openpkpd_model(job).fit())
    estimates = dict(zip(job["start"], map(float, found.theta_final), strict=True))
    omegas = np.sqrt(np.diag(found.omega_final))
    estimates |= {f"omega_{k}": float(v) for k, v in zip(job["random"], omegas, strict=True)}
    sigmas = np.sqrt(np.diag(found.sigma_final))
    estimates |= dict(zip(("sigma_add", "sigma_prop"), map(float, sigmas), strict=False))
    return {
        "estimates": estimates, "ofv": float(found.ofv), "seconds": seconds,
        "note": f"its own flag: converged = {found.converged}",
    }  # fmt: skip


# -- pymixef: no population fit, but its Laplace objective at given values


def run_pymixef(job: Job) -> Job:
    from pymixef import pharmacometrics as pm

    if job["method"] == "FOCEI":
        pm.fit_focei()  # raises, and says what there is
    p = job["at"]
    omega = np.diag([p[f"omega_{k}"] ** 2 for k in job["random"]])

    def prediction(who: Job) -> Callable[[Any], Any]:
        time_ = np.array(who["time"])

        def predict(eta: Any) -> Any:
            own = {k: p[k] for k in job["start"]}
            for k, e in zip(job["random"], eta, strict=True):
                if k == "fb":
                    odds = p[k] / (1 - p[k]) * math.exp(e)
                    own[k] = odds / (1 + odds)
                else:
                    own[k] = p[k] * math.exp(e)
            if job["data"] == "theophylline":
                return oral(time_, who["dose"], own)
            return expansion(time_, own, job["tmax"])

        return predict

    def objective() -> float:
        each = [
            pm.ConditionalObjective(
                np.array(who["value"]), prediction(who), omega, pm.additive(p["sigma_add"]), {},
                np.array(who["below"]), np.full(len(who["time"]), job["lloq"] or 0.0),
            )
            for who in job["patients"]
        ]  # fmt: skip
        found = pm.laplace_population_objective(each, require_modes=False)
        return 2.0 * float(found.objective)

    value, seconds = timed(objective)
    return {"ofv": value, "seconds": seconds, "note": "objective at the estimates of cart_pkpd"}


TOOLS = {"pynlme": run_pynlme, "openpkpd": run_openpkpd, "pymixef": run_pymixef}


def main() -> None:
    warnings.simplefilter("ignore")
    limit = int(float(sys.argv[2]))
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    try:
        result = TOOLS[job["tool"]](job)
    except Exception as error:
        result = {"failed": f"{type(error).__name__}: {error}"[:160]}
    print("\n" + json.dumps(result))


if __name__ == "__main__":
    main()
