"""Fit CAR-T cells and three cytokines of the car22 patients jointly; draw docs/car22_cytokines.md.

    python docs/make_car22_cytokines.py runs/car22_cytokines

The fit is kept in that folder and found again. Only summaries of the public patients leave it:
figures and numbers, no table of records.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from cart_pkpd import checks, datasets, fit, models, plots

FIGURES = Path(__file__).parent / "figures"
ENDPOINTS = ("car_abs", "il6", "ifng", "il10")
PANEL = ENDPOINTS[1:]
DAYS = [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 21, 25, 32]
CELL_DAYS = [0, 4, 10, 17, 23, 32]
SAMPLING = {"draws": 1400, "tune": 700, "chains": 4, "target_accept": 0.85, "seed": 22}


class BloodCells(type(models.get("stein2019"))):  # type: ignore[misc]
    """Stein's course some days late: cells in blood, counted by flow cytometry (``car_abs``)."""

    name = ""
    endpoint = "car_abs"

    lag = models.Positive(2.0, "day", "peak of cells in blood after that of release", spread=0.5)

    def log_level(self, t: Any, p: Any) -> Any:
        """Return ln of the level of Stein's model `lag` days before, the first one until then."""
        return super().log_level(t - p.lag, p)

    def switches(self, p: Any) -> tuple[Any, ...]:
        """Return the end of the expansion in blood."""
        return (p.tmax + p.lag,)


class Release(models.Part):
    """Cytokines that rise and fall about a peak some days before that of the cells in blood.

    Elimination takes hours and samples are a day apart, so levels are in balance with their
    production: base + rise * exp(-up (tmax - t)) before tmax, then exp(-down (t - tmax)).
    """

    idle = models.State("1", "nothing: the levels are formulas of time")
    up = models.Positive(0.9, "1/day", "rise of cytokines before their peak", spread=0.4)
    down = models.Positive(0.4, "1/day", "fall of cytokines after their peak", iiv=0.4, spread=0.5)
    il6_base = models.Positive(3.1, "pg/mL", "IL-6 before", iiv=1.2, spread=0.7)
    il6_rise = models.Positive(150.0, "pg/mL", "largest rise of IL-6", iiv=1.5)
    ifng_base = models.Positive(11.0, "pg/mL", "IFN-γ before", iiv=1.1, spread=0.7)
    ifng_rise = models.Positive(800.0, "pg/mL", "largest rise of IFN-γ", iiv=1.2)
    il10_base = models.Positive(1.4, "pg/mL", "IL-10 before", iiv=1.05, spread=0.7)
    il10_rise = models.Positive(120.0, "pg/mL", "largest rise of IL-10", iiv=1.15)

    def initial(self, p: Any) -> Mapping[str, Any]:
        """Return the state that does nothing."""
        return {"idle": 1.0}

    def rhs(self, t: Any, y: Any, p: Any, d: Any) -> Mapping[str, Any]:
        """Return no change."""
        return {"idle": 0.0 * y.idle}

    def switches(self, p: Any) -> tuple[Any, ...]:
        """Return the peak of the cytokines."""
        return (p.tmax,)

    def observe(self, t: Any, y: Any, p: Any, d: Any) -> Mapping[str, Any]:
        """Return the levels."""
        since = t - p.tmax
        maximum, exp = models.math.maximum, models.math.exp
        signal = exp(-p.up * maximum(-since, 0.0) - p.down * maximum(since, 0.0))
        return {c: getattr(p, f"{c}_base") + getattr(p, f"{c}_rise") * signal for c in PANEL}


def trial() -> xr.Dataset:
    """Return the patients with a cell count; floors and ceilings of the assays are censored.

    Without any count, a patient's peak has two modes, expander or not, between which no chain goes.
    """
    table = datasets.fetch("car22", limits=True, lloq={"car_abs": 1.0})
    patients = table["patient"].to_numpy()
    counted = np.unique(patients[table["endpoint"].to_numpy() == "car_abs"])
    return table.isel(obs=np.flatnonzero(np.isin(patients, counted)))


def joint() -> models.Model:
    """Return the model: what weekly counts of cells cannot tell is held."""
    cells = BloodCells().with_(
        cmax={"typical": 300, "unit": "cells/µL", "spread": 1.5},
        tmax={"typical": 10, "spread": 0.3},
        rho={"typical": 1.2, "spread": 0.5},
        fb=models.Fixed(0.0079),
        beta=models.Fixed(0.01),
    )
    return cells + Release()


def population() -> fit.Population:
    """Return what varies, with a share of patients in whom hardly any cells are found."""
    own = [f"{c}_{kind}" for c in PANEL for kind in ("base", "rise")]
    return fit.population(
        iiv=["cmax", "tmax", "down", *own],
        non_expanders=True,
        # Daily samples determine each patient's fall, which the default does not see.
        centred=["cmax", "tmax", "down", *own],
        priors={"omega_tmax": {"kind": "halfnormal", "sigma": 0.3}},
    )


def fitted(folder: Path) -> Any:
    """Return the fit, from the folder if it is there."""
    path = folder / "joint.nc"
    if path.is_file():
        return fit.load(path, BloodCells() + Release())
    result = fit.bayes(joint(), trial(), population(), endpoint=ENDPOINTS, label="joint",
                       **SAMPLING)  # fmt: skip
    result.save(path)
    return result


def main(folder: Path) -> None:
    """Write the figures, and the numbers of the page to standard output."""
    result = fitted(folder)
    say = sys.stdout.write
    say(f"{result.verdict.sentence}\n{result.table().to_string()}\n")
    for name in ENDPOINTS:
        days = CELL_DAYS if name == "car_abs" else DAYS
        vpc = plots.vpc(checks.vpc(result, endpoint=name, n_sims=300, bins=days))
        vpc.savefig(FIGURES / f"car22_cytokines_vpc_{name}.png", dpi=90)
        residuals = checks.residuals(result, endpoint=name, n_sims=300)
        plots.npde(residuals).savefig(FIGURES / f"car22_cytokines_npde_{name}.png", dpi=90)
        one = residuals.sel(residual="npde")
        say(f"{name}: NPDE mean {float(one['mean']):.2f}, SD {float(one['sd']):.2f}, "
            f"n {int(one['n'])}\n")  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))
