"""Run the example of docs/comparison.md and draw it: `python docs/make_comparison_figure.py`.

Takes some minutes; prints the numbers that the page shows.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cart_pkpd import compare, datasets, fit, models, plots

TARGET = Path(__file__).parent / "figures" / "comparison_patients.png"


def main() -> None:
    """Fit twice, compare, and write the picture."""
    trial = datasets.load("fast01")
    model = models.get("stein2019").with_(cmax={"typical": 5000}, beta=models.Fixed(0.01))
    iiv = ["cmax", "tmax", "alpha", "fb"]
    fits = {
        name: fit.bayes(model, trial, population, draws=2000, seed=1)
        for name, population in {
            "one population": fit.population(iiv=iiv),
            "non-expanders": fit.population(iiv=iiv, non_expanders=True),
        }.items()
    }
    left_out = compare.patients(fits, seed=1, n_draws=1000)
    for by in ("patient", "record"):
        found = compare.models(fits, by=by, patients=left_out)
        sys.stdout.write(f"{found.text()}\n{found['note'].to_string()}\n")
    plots.patient_elpd(left_out).get_figure(root=True).savefig(TARGET, dpi=110)


if __name__ == "__main__":
    main()
