"""Time from the call of ``fit.bayes`` to the sampler's first evaluation, cold and warm.

Each fit runs three times, in a process of its own: with an empty cache of compiled code, then
twice with what the first left behind. Processor seconds are those of the whole call, which draws
ten times, the compiler's process included; elapsed ones end at the first evaluation.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "first_draw.jsonl"

SPENT = """
import os
def spent():
    t = os.times()
    return t.user + t.system + t.children_user + t.children_system
"""
CLOSED = """
from cart_pkpd import datasets, fit, models
trial = datasets.load("fast01")
population = fit.population(iiv=["cmax", "tmax", "alpha", "fb"],
                            covariates={"cmax": ["dose_level"]}, non_expanders=True)
model = models.get("stein2019").with_(cmax={"typical": 4000}, beta={"typical": 0.01})
began = spent()
result = fit.bayes(model, trial, population, draws=5, tune=5, chains=1)
"""
ODE = """
import numpy as np, pandas as pd
from run_engine import Benchmark
import problem
from cart_pkpd import data, fit, models
at = problem.load("base")
rows = [
    {"ID": i, "TIME": t, "DVID": name, "DV": float(np.exp(at.obs[i, j, e]))}
    for i in range(problem.PATIENTS)
    for j, t in enumerate(at.times[i])
    for e, name in enumerate(("transgene", "il6"))
]
trial = data.read_table(
    pd.DataFrame(rows), units={"transgene": "copies/µg", "il6": "pg/mL"}, echo=False
)
population = fit.population(iiv=["rho", "alpha", "kappa", "kout", "prod"])
model = Benchmark().with_(y0=models.Fixed(problem.Y0))
began = spent()
result = fit.bayes(
    model, trial, population, endpoint=["transgene", "il6"], draws=5, tune=5, chains=1
)
"""
SAY = "\nprint(result.provenance['compile_seconds'], spent() - began)"
FITS = {"closed form, 30 patients": CLOSED, "4-state ODE, 30 patients, 2 endpoints": ODE}


def seconds(code: str, cache: str) -> dict[str, float]:
    """Run a fit in a new process; return the seconds to its first evaluation and of the call."""
    said = subprocess.run(
        [sys.executable, "-c", SPENT + code + SAY],
        cwd=HERE,
        env={**os.environ, "CART_PKPD_CACHE": cache, "PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
        check=True,
    )
    elapsed, cpu = map(float, said.stdout.split()[-2:])
    return {"seconds": elapsed, "cpu_seconds": round(cpu, 3)}


def main() -> None:
    with RESULTS.open("w", encoding="utf-8") as out:
        for name, code in FITS.items():
            with tempfile.TemporaryDirectory() as folder:
                for cache in ("cold", "warm", "warm"):
                    line = {"fit": name, "cache": cache, **seconds(code, folder)}
                    print(json.dumps(line), flush=True)
                    out.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
