"""Draw the README's picture from a finished demo run: `python docs/make_readme_figure.py demo`."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from cart_pkpd import checks, data, datasets, fit, plots

TARGET = Path(__file__).parent / "figures" / "readme.png"


def picture(figure: Figure) -> Image.Image:
    """Return a figure as an image."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=120)
    return Image.open(buffer)


def main(folder: Path) -> None:
    """Write ``figures/readme.png``: every patient's kinetics beside the predictive check."""
    trial = datasets.load("fast01")
    kinetics = plots.profiles(data.endpoint(trial, "transgene"), time_scale="log").figure
    result = fit.load(folder / "fits" / "stein.nc")
    check = plots.vpc(checks.vpc(result, n_sims=1000), time_scale="log")
    parts = [picture(kinetics), picture(check)]
    height = max(p.height for p in parts)
    canvas = Image.new("RGB", (sum(p.width for p in parts), height), "white")
    left = 0
    for part in parts:
        canvas.paste(part, (left, (height - part.height) // 2))
        left += part.width
    canvas.quantize(128, method=Image.Quantize.MAXCOVERAGE).save(TARGET, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
