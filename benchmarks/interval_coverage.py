"""Do 90 % posterior intervals cover the true population parameters at their nominal rate?

Frequentist coverage at one truth: simulates new trials like fast01 with the parameters of its
truth.toml, fits each, and counts. Writes
``benchmarks/results/interval_coverage.csv`` (one row per trial and parameter) and
``benchmarks/results/interval_coverage.md`` (one row per parameter).

    python benchmarks/interval_coverage.py --trials 20
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binom

from cart_pkpd import data, fit, models
from cart_pkpd.datasets import simulate_fast01, truth

RESULTS = Path(__file__).parent / "results"
FIRST_SEED = 1001
PROB = 0.9


def true_values() -> dict[str, float]:
    """The true parameters under the names of the fit."""
    t = truth()["transgene"]
    return {
        **{k: t[k] for k in ("cmax", "tmax", "rho", "alpha", "fb", "beta")},
        **{f"omega_{k}": t[f"{k}_iiv"] for k in ("cmax", "tmax", "rho", "alpha", "fb")},
        "beta_cmax_dose_level": t["dose_exponent"],
        "p_non_expander": t["non_expander_probability"],
        "non_expander_shift": float(np.log(t["non_expander_fold"])),
        "sigma_log": t["sigma"],
    }


def one_trial(seed: int, draws: int) -> pd.DataFrame:
    records = simulate_fast01.simulate(seed)["records"]
    trial = data.read_table(records, echo=False)
    population = fit.population(
        iiv=["cmax", "tmax", "rho", "alpha", "fb"],
        covariates={"cmax": ["dose_level"]},
        non_expanders=True,
    )
    model = models.get("stein2019").with_(cmax={"typical": 5000, "spread": 1.0})
    # The fit's cmax is that of the median dose, the simulation's that of its reference dose.
    assert float(np.median(trial["dose_level"])) == truth()["transgene"]["reference_dose"]
    began = time.perf_counter()
    result = fit.bayes(model, trial, population, draws=draws, seed=seed)
    table = result.table(PROB)
    table["truth"] = pd.Series(true_values())
    table["covered"] = (table["lower"] <= table["truth"]) & (table["truth"] <= table["upper"])
    # Where the truth lies in the posterior. At one fixed truth this need not be uniform.
    table["rank"] = [float((result.draws()[k] < v).mean()) for k, v in true_values().items()]
    table["seed"] = seed
    table["converged"] = result.verdict.ok
    table["verdict"] = result.verdict.sentence
    table["seconds"] = time.perf_counter() - began
    return table.reset_index()


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    grouped = rows.groupby("parameter", sort=False)
    return pd.DataFrame(
        {
            "truth": grouped["truth"].first(),
            "mean of medians": grouped["median"].mean(),
            "covered": grouped["covered"].sum(),
            "trials": grouped["covered"].size(),
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--draws", type=int, default=1500)
    arguments = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    tables = []
    for seed in range(FIRST_SEED, FIRST_SEED + arguments.trials):
        tables.append(one_trial(seed, arguments.draws))
        last = tables[-1]
        print(
            f"seed {seed}: {last['covered'].sum()} of {len(last)} covered, "
            f"{last['seconds'].iloc[0]:.0f} s. {last['verdict'].iloc[0]}",
            flush=True,
        )
    rows = pd.concat(tables, ignore_index=True)
    kept = ["seed", "parameter", "truth", "median", "lower", "upper", "covered", "rank", "rhat",
            "ess_bulk", "converged", "seconds"]  # fmt: skip
    rows[kept].to_csv(RESULTS / "interval_coverage.csv", index=False, float_format="%.5g")
    summary = summarise(rows)
    n = arguments.trials
    low, high = binom.interval(0.99, n, PROB)
    total, possible = int(rows["covered"].sum()), len(rows)
    text = (
        f"# Coverage of {PROB:.0%} intervals over {n} simulated trials\n\n"
        f"{total} of {possible} intervals ({total / possible:.1%}) hold the true value. With "
        f"exact coverage a single parameter's count lies in {low:.0f}-{high:.0f} with "
        f"probability 99 %. {int(rows.groupby('seed')['converged'].first().sum())} of {n} fits "
        "met every convergence criterion; all are counted.\n\n" + markdown(summary)
    )
    (RESULTS / "interval_coverage.md").write_text(text, encoding="utf-8")
    print("\n" + text)


def markdown(table: pd.DataFrame) -> str:
    head = "| parameter | " + " | ".join(table.columns) + " |"
    rule = "| --- " * (len(table.columns) + 1) + "|"
    body = [
        f"| {name} | " + " | ".join(f"{v:.4g}" for v in row) + " |"
        for name, row in zip(table.index, table.to_numpy(dtype=float), strict=True)
    ]
    return "\n".join([head, rule, *body]) + "\n"


if __name__ == "__main__":
    main()
