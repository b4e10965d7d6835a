"""Run the example of docs/comparison.md and draw it: `python docs/make_comparison_figure.py`.

Takes about three minutes; prints the numbers that the page shows.
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
        "one population": fit.bayes(model, trial, fit.population(iiv=iiv), seed=1),
        "non-expanders": fit.bayes(
            model, trial, fit.population(iiv=iiv, non_expanders=True), seed=1
        ),
    }
    found = compare.patients(fits, seed=1, n_draws=1000)
    shown = ["rank", "elpd", "se", "elpd_diff", "dse", "mcse", "pareto_k_bad", "reliable"]
    for by in ("patient", "record"):
        table = compare.models(fits, by=by, patients=found)
        sys.stdout.write(f"{table[shown].round(1).to_string()}\n{table['note'].to_string()}\n")
        sys.stdout.write(f"{table['verdict'].to_string()}\n")
    plots.patient_elpd(found).get_figure(root=True).savefig(TARGET, dpi=110)


if __name__ == "__main__":
    main()
