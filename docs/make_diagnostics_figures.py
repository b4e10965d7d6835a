"""Make the pictures of docs/diagnostics.md: ``python docs/make_diagnostics_figures.py [fit.nc]``.

With the file of a fit already made, as ``result.save`` writes it, nothing is sampled.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image

from cart_pkpd import checks, datasets, fit, models, plots
from cart_pkpd.plots import _axes

FOLDER = Path(__file__).parent / "figures"
BINS = [0, 5, 12, 24, 60, 400]


def fitted():
    """Return the fit of the bundled trial that the guide looks at."""
    model = models.get("stein2019").with_(cmax={"typical": 5000})
    population = fit.population(
        iiv=["cmax", "tmax", "rho", "alpha", "fb"],
        covariates={"cmax": ["dose_level"]},
        non_expanders=True,
    )
    return fit.bayes(model, datasets.load("fast01"), population, seed=1, label="stein")


def pictures(result):
    """Return every figure of the guide by name."""
    residuals, deviations = checks.residuals(result), checks.etas(result)
    shown = ["dose_level", "tumour_burden", "msln_expression", "ldh", "sex"]
    return {
        "gof": plots.gof(residuals),
        "npde": plots.npde(residuals),
        "vpc": plots.vpc(checks.vpc(result, prediction_corrected=True), time_scale="log"),
        "vpc_dose": plots.vpc(checks.vpc(result, by="dose_level", bins=BINS), time_scale="log"),
        "etas": plots.etas(deviations),
        "eta_covariates": plots.eta_covariates(deviations, shown, ["cmax", "tmax", "alpha"]),
        "exposure": plots.predictive_exposure(checks.predictive_exposure(result, by="dose_level")),
    }


def main() -> None:
    """Write ``figures/diagnostics_*.png``."""
    result = fit.load(sys.argv[1]) if len(sys.argv) > 1 else fitted()
    for name, figure in pictures(result).items():
        image = Image.open(io.BytesIO(_axes.png(figure)))
        path = FOLDER / f"diagnostics_{name}.png"
        image.convert("RGB").quantize(128, method=Image.Quantize.MAXCOVERAGE).save(
            path, optimize=True
        )


if __name__ == "__main__":
    main()
