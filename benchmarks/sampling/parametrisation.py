"""What a pilot, another mass matrix or other priors on omegas do to sampling, per gradient.

Three problems with a known truth: the bundled trial; 60 patients × 16 times of a closed form with
about one record in six below the LLOQ; and 20 patients × 12 times of differential equations. For
every way of sampling and every seed one line of JSON: the smallest effective sample size (bulk and
tail) of a population quantity, the gradients of all chains and the pilot, warm-up included.

    [VARIANTS='start, 0.1;start, 0.25'] python benchmarks/sampling/parametrisation.py [problem …]
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from dataclasses import replace

import arviz as az
import numpy as np
import nutpie
import pandas as pd

from cart_pkpd import data, datasets, fit, models
from cart_pkpd._fit import parametrisation as ways
from cart_pkpd._fit.draws import individual_draws, population_draws
from cart_pkpd._fit.posterior import Posterior
from cart_pkpd._fit.sample import _compiled
from cart_pkpd._fit.start import Start, starting_values
from cart_pkpd._stats.design import design_for
from cart_pkpd._stats.population import resolve

SEEDS = (1, 2, 3)
LOW_RANK = False  # ten times slower per gradient
DRAWS, TUNE, CHAINS, PILOT = 500, 500, 4, 200
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


PROBLEMS = {"fast01": fast01, "b1": b1, "ode": ode}


def draws_of(structure, posterior, start, *, draws, tune, chains, seed, **more):
    compiled = _compiled(posterior, posterior.function(), posterior.start(start))
    tree = nutpie.sample(
        compiled, draws=draws, tune=tune, chains=chains, seed=seed, **SAMPLER, **more
    )
    steps = int(tree["sample_stats"]["n_steps"].sum())
    if tune:
        steps += int(tree["warmup_sample_stats"]["n_steps"].sum())
    return tree, steps


def after_pilot(structure, start, seed):
    """Return where 200 warm-up draws of one chain lead, and how many gradients they took."""
    posterior = Posterior(structure, way_at(structure, start, 0.1))
    tree, steps = draws_of(structure, posterior, start, draws=1, tune=PILOT, chains=1, seed=seed)
    points = tree["warmup_posterior"]["point"].to_numpy()[:, PILOT // 2 :]
    raw = posterior.variables(points)
    over = {"dim": ("chain", "draw")}
    quantities = population_draws(structure, raw).median(**over)
    individual = individual_draws(structure, raw)
    free = {n: p.to_free for n, p in structure.model.parameters.items()}
    iiv = structure.population.iiv
    found = Start(
        typical={
            q.parameter: float(free[q.parameter](float(quantities[q.name])))
            for q in structure.of_role("typical")
        },
        individual={n: free[n](individual[n]).mean(**over).to_numpy() for n in iiv},
        omega={n: float(quantities[f"omega_{n}"]) for n in iiv},
        sigma={q.name: float(quantities[q.name]) for q in structure.of_role("residual")},
        others={
            q.name: float(quantities[q.name])
            for role in ("covariate", "mixture")
            for q in structure.of_role(role)
        },
    )
    return found, steps


def with_lognormal_omegas(structure):
    population = structure.population
    priors = {
        q.name: fit.LogNormal(float(q.prior.quantile(0.5)), 0.7) for q in structure.of_role("omega")
    }
    return resolve(structure.model, replace(population, priors=priors), structure.design)


def way_at(structure, start, below):
    """Return the varying parameters of which a patient's records leave less than `below`."""
    share = ways._variance_left(structure, start)
    forced = {structure.population.non_expanders}
    both = zip(structure.population.iiv, share, strict=True)
    return tuple(n for n, left in both if left < below or n in forced)


def variants(structure, start, seed):
    iiv = structure.population.iiv
    first = way_at(structure, start, 0.1)
    found, steps = after_pilot(structure, start, seed)
    yield "start, 0.1", structure, start, first, 0, {}
    yield "start, 0.25", structure, start, way_at(structure, start, 0.25), 0, {}
    yield "start, 0.4", structure, start, way_at(structure, start, 0.4), 0, {}
    yield "pilot, 0.1", structure, found, way_at(structure, found, 0.1), steps, {}
    yield "pilot, 0.2", structure, found, way_at(structure, found, 0.2), steps, {}
    yield "none centred", structure, start, way_at(structure, start, 0.0), 0, {}
    yield "all centred", structure, start, iiv, 0, {}
    yield "draw_diag", structure, start, first, 0, {"adaptation": "draw_diag"}
    yield "lognormal omegas", with_lognormal_omegas(structure), start, first, 0, {}
    if LOW_RANK:
        yield "low_rank", structure, start, first, 0, {"adaptation": "low_rank"}


def chosen(structure, start, seed):
    only = os.environ.get("VARIANTS")
    for variant in variants(structure, start, seed):
        if only is None or variant[0] in only.split(";"):
            yield variant


def main(names):
    warnings.simplefilter("ignore")
    for name in names:
        model, trial, population = PROBLEMS[name]()
        structure = resolve(model, population, design_for(model, trial, "transgene"))
        start = starting_values(structure)
        for seed in SEEDS:
            for what, s, at, way, spent, more in chosen(structure, start, seed):
                began = time.perf_counter()
                posterior = Posterior(s, tuple(way))
                tree, steps = draws_of(
                    s, posterior, at, draws=DRAWS, tune=TUNE, chains=CHAINS, seed=seed, **more
                )
                draws = population_draws(
                    s, posterior.variables(tree["posterior"]["point"].to_numpy())
                )
                ess = {
                    k: min(float(v) for v in az.ess(draws, method=k).data_vars.values())
                    for k in ("bulk", "tail")
                }
                lowest = min(ess.values())
                print(
                    json.dumps(
                        {
                            "problem": name,
                            "seed": seed,
                            "variant": what,
                            "centred": sorted(way),
                            "ess": round(lowest),
                            "gradients": steps + spent,
                            "ess_per_1000": round(1000 * lowest / (steps + spent), 3),
                            "divergences": int(tree["sample_stats"]["diverging"].sum()),
                            "seconds": round(time.perf_counter() - began, 1),
                        }
                    ),
                    flush=True,
                )


if __name__ == "__main__":
    main(sys.argv[1:] or list(PROBLEMS))
