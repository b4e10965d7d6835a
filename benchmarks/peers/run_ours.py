"""This package: write what the peers need to fit the same model, and fit it.

    python benchmarks/peers/run_ours.py b1 job.json out.json --write     # the job only
    python benchmarks/peers/run_ours.py b1 job.json out.json

``--cores`` is 1 unless said, so that the chains run one after the other, as the peers' do.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import jobs
import numpy as np
import nutpie  # noqa: F401  imports are not timed
import pandas as pd
import problem

sys.path.insert(0, str(jobs.HERE.parent / "engine"))

from run_engine import Benchmark

from cart_pkpd import __version__, data, fit, models
from cart_pkpd._fit.coordinates import Moved
from cart_pkpd._fit.pilot import suited
from cart_pkpd._fit.posterior import Posterior
from cart_pkpd._fit.sample import centred_of, sample
from cart_pkpd._fit.start import starting_values
from cart_pkpd._stats.design import design_for
from cart_pkpd._stats.population import Structure, resolve


def b1() -> tuple[models.Model, Any, list[str], list[str]]:
    """Return model, trial, endpoints and what varies."""
    job = jobs.b1()
    y, below = np.array(job["y"]), np.array(job["below"])
    table = pd.DataFrame(
        {
            "ID": np.repeat(np.arange(1, job["N"] + 1), job["T"]),
            "TIME": np.ravel(job["time"]), "DV": np.exp(y).ravel(), "CENS": below.ravel(),
            "LLOQ": float(np.exp(y[below == 1][0])), "DVID": "transgene",
        }
    )  # fmt: skip
    trial = data.read_table(table, units={"transgene": "copies/µg"}, echo=False)
    return models.get("stein2019"), trial, ["transgene"], list(jobs.NAMES)


def b2() -> tuple[models.Model, Any, list[str], list[str]]:
    """Return model, trial, endpoints and what varies."""
    at = problem.load("base")
    rows = [
        {"ID": i + 1, "TIME": t, "DVID": name, "DV": float(np.exp(at.obs[i, j, e]))}
        for i in range(problem.PATIENTS)
        for j, t in enumerate(at.times[i])
        for e, name in enumerate(("transgene", "il6"))
    ]
    units = {"transgene": "copies/µg", "il6": "pg/mL"}
    trial = data.read_table(pd.DataFrame(rows), units=units, echo=False)
    model = Benchmark().with_(y0=models.Fixed(problem.Y0))
    return model, trial, ["transgene", "il6"], list(jobs.VARYING)


LIMIT = 0.25
PROBLEMS = {"b1": b1, "b2": b2}


def structure_of(row: str, centred: str) -> Structure:
    """Return model, population and data joined."""
    model, trial, endpoints, varying = PROBLEMS[row]()
    ways = {"all": tuple(varying), "none": (), "auto": None}
    population = fit.population(iiv=varying, centred=ways[centred])
    endpoint = endpoints if len(endpoints) > 1 else endpoints[0]
    return resolve(model, population, design_for(model, trial, endpoint))


def job_of(row: str, structure: Structure) -> dict[str, Any]:
    """Return data, priors on the free scale, and the parametrisation that is chosen here."""
    model = structure.model
    names = jobs.NAMES if row == "b1" else problem.NAMES
    typical = {q.name: q.prior for q in structure.of_role("typical")}
    sigma = [q.prior.sigma for q in structure.of_role("residual")]
    centred = told_well(structure)
    return {
        **jobs.JOBS[row](),
        "mu0": [float(model.parameters[n].to_free(typical[n].median)) for n in names],
        "spread": [typical[n].sigma for n in names],
        "omega0": [q.prior.sigma for q in structure.of_role("omega")],
        "sigma0": sigma[0] if row == "b1" else sigma,
        "centred": [int(n in centred) for n in structure.population.iiv],
    }


def told_well(structure: Structure) -> list[str]:
    """Return what is better sampled itself where it is that or its deviation, as in the peers.

    Where records leave less than a quarter of the population's variance.
    """
    posterior = Posterior(structure, centred_of(structure))
    start = posterior.start(starting_values(structure))
    found = suited(posterior, posterior.function(), start)
    left = found.between.left(found.points(np.zeros(posterior.size)))
    both = zip(structure.random.names, np.median(left, axis=-1), strict=True)
    return [n for n, share in both if share < LIMIT]


def gradient(posterior: Posterior, repeats: int = 50) -> dict[str, float]:
    """Return the median cost of the log density with its gradient, in a fit's coordinates."""
    start = posterior.start(starting_values(posterior.structure))
    inner = posterior.function()
    function = Moved(inner, suited(posterior, inner, start))
    at = np.zeros(posterior.size)
    function(at)
    spent = []
    for i in range(repeats):
        clock = jobs.Clock()
        function(at + 1e-9 * i)
        spent.append(clock.look())
    return {k: float(np.median([s[k] for s in spent])) for k in ("wall", "cpu")}


def population_values(row: str, structure: Structure, raw: Any) -> dict[str, np.ndarray]:
    """Return draws as (chains, draws, k): typical values on the free scale, SDs natural."""
    from cart_pkpd._fit.draws import population_draws

    model, found = structure.model, population_draws(structure, raw)
    names = jobs.NAMES if row == "b1" else problem.NAMES
    free = [np.asarray(model.parameters[n].to_free(found[n].to_numpy())) for n in names]
    roles = {r: [found[q.name].to_numpy() for q in structure.of_role(r)] for r in
             ("omega", "residual")}  # fmt: skip
    return {
        "typical": np.stack(free, -1), "omega": np.stack(roles["omega"], -1),
        "sigma": np.stack(roles["residual"], -1),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("row", choices=PROBLEMS)
    parser.add_argument("job")
    parser.add_argument("out")
    parser.add_argument("--write", action="store_true", help="write the job and end")
    parser.add_argument("--chains", type=int, default=2)
    parser.add_argument("--tune", type=int, default=500)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--centred", choices=("auto", "all", "none"), default="auto")
    parser.add_argument("--gradients-only", action="store_true")
    args = parser.parse_args()
    structure = structure_of(args.row, args.centred)
    if args.write:
        text = json.dumps(job_of(args.row, structure))
        Path(args.job).write_text(text + "\n", encoding="utf-8")
        return
    line: dict[str, Any] = {"tool": "cart_pkpd", "version": __version__}
    clock, draws = jobs.Clock(), {}
    if not args.gradients_only:
        found = sample(
            structure, draws=args.draws, tune=args.tune, chains=args.chains, cores=args.cores,
            seed=args.seed, target_accept=0.9, on_progress=None,
        )  # fmt: skip
        both = clock.look()
        share = found.compile_seconds / (found.compile_seconds + found.sample_seconds)
        line |= {
            "build": {"wall": found.compile_seconds, "cpu": both["cpu"] * share},
            "sample": {"wall": found.sample_seconds, "cpu": both["cpu"] * (1.0 - share)},
            "steps_kept": int(found.stats["n_steps"].sum()),
            "divergences": int(found.stats["diverging"].sum()),
            "centred": list(found.centred), "left": found.left, "chains": args.chains,
            "tune": args.tune, "draws": args.draws,
        }  # fmt: skip
        draws = population_values(args.row, structure, found.posterior)
    line["gradient"] = gradient(Posterior(structure, centred_of(structure)))
    jobs.finish(args.out, line, **draws)


if __name__ == "__main__":
    main()
