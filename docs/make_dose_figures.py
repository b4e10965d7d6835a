"""Make the pictures of docs/dose.md from the bundled trial."""

from __future__ import annotations

import io
import re
from pathlib import Path

from PIL import Image

from cart_pkpd import dose, plots
from cart_pkpd.plots import _axes

DOCS = Path(__file__).parent


def guide() -> dict:
    """Return what the first block of the guide leaves behind."""
    names: dict = {}
    exec(re.findall(r"```python\n(.*?)```", (DOCS / "dose.md").read_text(), re.DOTALL)[0], names)
    return names


def pictures(names: dict) -> dict:
    """Return every figure of the guide by name."""
    design, seen, decision = names["design"], names["seen"], names["decision"]
    before = design.curve(dose.counts({}, levels=names["levels"]))
    return {
        "toxicity": plots.dose_toxicity(design.curve(seen), decision.table, prior=before),
        "intervals": plots.dose_intervals(decision.table, bound=0.25, prior=design.prior_table()),
    }


def main() -> None:
    """Write ``figures/dose_*.png``."""
    for name, ax in pictures(guide()).items():
        image = Image.open(io.BytesIO(_axes.png(ax.get_figure(root=True))))
        image.convert("RGB").quantize(128, method=Image.Quantize.MAXCOVERAGE).save(
            DOCS / f"figures/dose_{name}.png", optimize=True
        )


if __name__ == "__main__":
    main()
