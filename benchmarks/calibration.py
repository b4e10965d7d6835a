"""Do fits report the posterior? Simulation-based calibration of a closed form and an ODE model.

Simulates trials from the priors at the design of a phase 1 trial, fits each, and ranks the truth.
Finished simulations are kept in a folder and found again. Writes
``benchmarks/results/calibration_<problem>.json`` and ``docs/figures/calibration_<problem>.png``.

    python benchmarks/calibration.py stein2019 --simulations 200 --folder runs/calibration
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from cart_pkpd import __version__, checks, fit, models, plots

RESULTS = Path(__file__).parent / "results"
FIGURES = Path(__file__).parents[1] / "docs" / "figures"
SEED = 2026


@dataclass(frozen=True)
class Problem:
    """A model, its population with priors, a design, and how each fit is sampled."""

    model: models.Model
    population: fit.Population
    trial: xr.Dataset
    sampling: dict[str, int]


def lognormal(median: float, sigma: float) -> dict[str, Any]:
    return {"kind": "lognormal", "median": median, "sigma": sigma}


def stein2019() -> Problem:
    """The closed form, four parameters varying, a LLOQ that about one record in seven is below."""
    model = models.get("stein2019").with_(
        cmax={"spread": 0.5}, tmax={"spread": 0.2}, rho={"spread": 0.2},
        alpha={"spread": 0.4}, fb={"spread": 0.5}, beta={"spread": 0.5},
    )  # fmt: skip
    population = fit.population(
        iiv=["cmax", "tmax", "alpha", "fb"],
        priors={
            "omega_cmax": lognormal(0.5, 0.3),
            "omega_tmax": lognormal(0.2, 0.3),
            "omega_alpha": lognormal(0.4, 0.3),
            "omega_fb": lognormal(0.5, 0.3),
            "sigma_log": lognormal(0.4, 0.25),
        },
    )
    times = [2, 5, 8, 11, 14, 21, 28, 60, 120, 240]
    trial = checks.planned_trial(model, 12, times, lloq=50.0)
    return Problem(model, population, trial, {"chains": 4, "draws": 500, "tune": 500})


def effector_memory() -> Problem:
    """Differential equations, small: what six samples of six patients cannot tell is held."""
    model = models.get("effector_memory").with_solver(rtol=1e-5).with_(
        cmax={"spread": 0.5}, rho={"spread": 0.2}, alpha={"spread": 0.4},
        tmax=models.Fixed(9.3), fb=models.Fixed(0.02), beta=models.Fixed(0.006),
    )  # fmt: skip
    population = fit.population(
        iiv=["cmax"],
        priors={"omega_cmax": lognormal(0.5, 0.3), "sigma_log": lognormal(0.4, 0.25)},
    )
    trial = checks.planned_trial(model, 6, [3, 6, 9, 12, 16, 28], doses=1e7, lloq=50.0)
    return Problem(model, population, trial, {"chains": 4, "draws": 300, "tune": 250})


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "stein2019": stein2019,
    "effector_memory": effector_memory,
}


def written(found: xr.Dataset) -> dict[str, Any]:
    """Return the numbers that the page shows, as plain data."""
    by = ["label", "unit", "role", "p_value", "p_adjusted", "p_value_all", "bias", "dispersion",
          "contraction"]  # fmt: skip
    quantities = {
        str(q): {k: _plain(found[k].sel(quantity=q).item()) for k in by}
        for q in found["quantity"].to_numpy()
    }
    apart = found["status"].to_numpy() != "converged"
    reasons = [str(r) for r in found["reason"].to_numpy()[apart]]
    rank = found["rank"].to_numpy()
    return {
        "sentence": found.attrs["sentence"],
        "model": found.attrs["what"],
        "priors": json.loads(found.attrs["priors"]),
        "patients": int(found.attrs["patients"]),
        "records": int(found.attrs["records"]),
        "below_lloq_mean": _plain(float(found["below"].mean())),
        "ranks": int(found.attrs["ranks"]),
        "seed": int(found.attrs["seed"]),
        "settings": json.loads(found.attrs["settings"]),
        "counts": json.loads(found.attrs["counts"]),
        "median_seconds": round(float(found["seconds"].median()), 2),
        "not_converged": reasons,
        "quantities": quantities,
        "rank": {
            str(q): [None if np.isnan(r) else int(r) for r in rank[:, j]]
            for j, q in enumerate(found["quantity"].to_numpy())
        },
        "status": [str(s) for s in found["status"].to_numpy()],
        "cart_pkpd": __version__,
        "python": platform.python_version(),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}") if np.isfinite(value) else None
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("problem", choices=sorted(PROBLEMS))
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--folder", type=Path, default=Path("runs/calibration"))
    parser.add_argument("--cores", type=int)
    arguments = parser.parse_args()
    problem = PROBLEMS[arguments.problem]()
    found = checks.sbc(
        problem.model, problem.trial, problem.population, simulations=arguments.simulations,
        cores=arguments.cores, seed=SEED, resume=arguments.folder / arguments.problem,
        **problem.sampling,
    )  # fmt: skip
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"calibration_{arguments.problem}.json").write_text(
        json.dumps(written(found), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    plots.sbc(found).savefig(FIGURES / f"calibration_{arguments.problem}.png", dpi=110)
    print(found.attrs["sentence"])


if __name__ == "__main__":
    main()
