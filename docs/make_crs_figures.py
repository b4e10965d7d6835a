"""Make the pictures of docs/crs.md from the bundled trial: ``python docs/make_crs_figures.py``."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from cart_pkpd import crs, datasets, plots
from cart_pkpd.plots import _axes

FOLDER = Path(__file__).parent / "figures"


def fitted():
    """Return the default layer fitted to the measured courses of the bundled trial."""
    trial = datasets.load("fast01")
    layer = crs.default()
    courses = crs.observed_courses(trial, ["transgene", "il6"])
    return layer.bayes(layer.predictors(courses, trial), seed=1)


def pictures(result):
    """Return every figure of the guide by name."""
    return {
        "response": plots.crs_response(crs.response(result, "grade")),
        "incidence": plots.crs_incidence(crs.incidence(result)).figure,
        "odds_ratios": plots.crs_odds_ratios(result.odds_ratios()).figure,
    }


def main() -> None:
    """Write ``figures/crs_*.png``."""
    for name, figure in pictures(fitted()).items():
        image = Image.open(io.BytesIO(_axes.png(figure)))
        image.convert("RGB").quantize(128, method=Image.Quantize.MAXCOVERAGE).save(
            FOLDER / f"crs_{name}.png", optimize=True
        )


if __name__ == "__main__":
    main()
