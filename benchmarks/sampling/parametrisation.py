"""How well a posterior is sampled per gradient, in the package's coordinates and in others.

Four problems with a known truth: the bundled trial; 60 patients × 16 times of a closed form with
about one record in six below the LLOQ; 20 patients × 12 times of differential equations; and B2 of
the comparison with other tools. For every way of sampling and every seed one line of JSON: the
smallest effective sample size (bulk and tail) of a population quantity, gradients of all chains,
warm-up included, but not those of the search for coordinates, and processor seconds.

    [VARIANTS='default;linear only'] [SEEDS=1,2,3] [CHAINS=2]
    python benchmarks/sampling/parametrisation.py [problem …]
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import arviz as az
import numpy as np
import nutpie
import pandas as pd

from cart_pkpd import data, datasets, fit, models
from cart_pkpd._fit.coordinates import Moved, shifted
from cart_pkpd._fit.draws import population_draws
from cart_pkpd._fit.pilot import Pilot, suited
from cart_pkpd._fit.posterior import Posterior
from cart_pkpd._fit.sample import centred_of, compiled
from cart_pkpd._fit.start import starting_values
from cart_pkpd._stats.design import design_for
from cart_pkpd._stats.population import resolve

SEEDS = tuple(int(s) for s in os.environ.get("SEEDS", "1,2,3").split(","))
DRAWS, TUNE, CHAINS = 500, 500, int(os.environ.get("CHAINS", "4"))
SAMPLER = dict(target_accept=0.9, progress_bar=False, save_warmup=True)


def fast01():
    model = models.get("stein2019").with_(cmax={"typical": 5000})
    population = fit.population(
        iiv=["cmax", "tmax", "rho", "alpha", "fb"],
        covariates={"cmax": ["dose_level"]},
        non_expanders=True,
    )
    return model, datasets.load("fast01"), population


def simulated(model, days, iiv, omega, patients, sigma, share_below):
    rng = np.random.default_rng(7)
    values = {
        n: np.asarray(
            p.to_natural(p.to_free(p.typical) + omega.get(n, 0.0) * rng.standard_normal(patients))
        )
        for n, p in model.parameters.items()
        if n in iiv
    }
    ids = [f"{i + 1:03d}" for i in range(patients)]
    level = model.simulate(days, pd.DataFrame(values, index=ids))["transgene"].to_numpy()
    level = level.reshape(patients, len(days))
    dv = level * np.exp(sigma * rng.standard_normal(level.shape))
    lloq = float(np.quantile(dv, share_below))
    table = pd.DataFrame(
        {
            "ID": np.repeat(ids, len(days)),
            "TIME": np.tile(days, patients),
            "DV": np.maximum(dv, lloq).ravel(),
            "CENS": (dv < lloq).astype(int).ravel(),
            "LLOQ": lloq,
            "DVID": "transgene",
        }
    )
    trial = data.read_table(table, units={"transgene": "copies/µg"}, echo=False)
    return model, trial, fit.population(iiv=list(iiv))


def b1():
    days = np.array([1, 2, 3, 4, 5, 7, 9, 11, 14, 17, 21, 28, 42, 60, 90, 180.0])
    omega = {"cmax": 1.0, "tmax": 0.25, "rho": 0.3, "alpha": 0.6, "fb": 1.2}
    return simulated(models.get("stein2019"), days, tuple(omega), omega, 60, 0.4, 1 / 6)


def ode():
    days = np.array([1, 3, 5, 7, 10, 14, 17, 21, 28, 42, 60, 90.0])
    omega = {"cmax": 0.8, "tmax": 0.2, "alpha": 0.5}
    model = models.get("stein2019_comedication")
    return simulated(model, days, tuple(omega), omega, 20, 0.4, 1 / 6)


def joined(name):
    if name == "b2":
        sys.path.insert(0, str(Path(__file__).parents[1] / "peers"))
        import run_ours

        return run_ours.structure_of("b2", "auto")
    model, trial, population = {"fast01": fast01, "b1": b1, "ode": ode}[name]()
    return resolve(model, population, design_for(model, trial, "transgene"))


PROBLEMS = ("fast01", "b1", "ode", "b2")


def way(structure, variant):
    """Return a posterior and coordinates for it."""
    if variant == "centred":
        population = replace(structure.population, centred=structure.population.iiv)
        structure = resolve(structure.model, population, structure.design)
    posterior = Posterior(structure, centred_of(structure))
    function = posterior.function()
    start = posterior.start(starting_values(structure))
    pilot = Pilot(posterior, function)
    found = shifted(pilot.shape, start, pilot.as_they_are)
    if variant not in ("deviations", "centred"):
        found = suited(posterior, function, start)
    if variant == "logarithms of omegas":
        middle = found.points(np.zeros(posterior.size))
        bent = np.flatnonzero(found.scale)
        origin = found.origin.copy()
        origin[bent] = middle[bent]
        found = replace(found, scale=np.zeros_like(found.scale), origin=origin)
    return posterior, function, found


VARIANTS = ("default", "logarithms of omegas", "deviations", "centred", "draw_diag", "low_rank")


def line(name, structure, variant, seed):
    began = time.process_time()
    posterior, function, found = way(structure, variant)
    more = {"adaptation": variant} if variant in ("draw_diag", "low_rank") else {}
    tree = nutpie.sample(
        compiled(Moved(function, found), posterior.size),
        draws=DRAWS, tune=TUNE, chains=CHAINS, cores=1, seed=seed, **SAMPLER, **more,
    )  # fmt: skip
    seconds = time.process_time() - began
    points = found.points(tree["posterior"]["point"].to_numpy())
    draws = population_draws(posterior.structure, posterior.variables(points))
    ess = {(k, n): float(v) for k in ("bulk", "tail") for n, v in az.ess(draws, method=k).items()}
    least = min(ess, key=ess.get)
    groups = ("sample_stats", "warmup_sample_stats")
    gradients = sum(int(tree[g]["n_steps"].sum()) for g in groups)
    return {
        "problem": name,
        "seed": seed,
        "variant": variant,
        "chains": CHAINS,
        "ess": round(ess[least]),
        "of": least[1],
        "gradients": gradients,
        "ess_per_1000": round(1000 * ess[least] / gradients, 3),
        "divergences": int(tree["sample_stats"]["diverging"].sum()),
        "processor_seconds": round(seconds, 1),
    }


def main(names):
    warnings.simplefilter("ignore")
    chosen = os.environ.get("VARIANTS", "default").split(";")
    for name in names:
        structure = joined(name)
        for seed in SEEDS:
            for variant in chosen:
                print(json.dumps(line(name, structure, variant, seed)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or PROBLEMS)
