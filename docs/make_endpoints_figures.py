"""Make the pictures of docs/endpoints.md: ``python docs/make_endpoints_figures.py``."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from cart_pkpd import datasets, endpoints, plots
from cart_pkpd.plots import _axes

FOLDER = Path(__file__).parent / "figures"


def pictures():
    """Return every figure of the guide by name."""
    trial = datasets.load("fast01")
    followup = endpoints.read_followup(datasets.load("fast01", table="followup"))
    points = endpoints.recist(datasets.load("fast01", table="lesions"))
    best = endpoints.best_response(points, followup)
    return {
        "waterfall": plots.waterfall(best, trial).figure,
        "spider": plots.spider(points, trial).figure,
        "swimmer": plots.swimmer(followup, best, trial).figure,
    }


def main() -> None:
    """Write ``figures/endpoints_*.png``."""
    for name, figure in pictures().items():
        image = Image.open(io.BytesIO(_axes.png(figure)))
        image.convert("RGB").quantize(128, method=Image.Quantize.MAXCOVERAGE).save(
            FOLDER / f"endpoints_{name}.png", optimize=True
        )


if __name__ == "__main__":
    main()
