"""Make the picture and the table of docs/dose_operating.md."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pandas as pd
from PIL import Image

from cart_pkpd import dose, plots
from cart_pkpd.plots import _axes

DOCS = Path(__file__).parent
PAGE = DOCS / "dose_operating.md"
COLUMNS = {
    "correct": "correct", "overdose_selected": "overdose selected", "none": "none selected",
    "size": "patients", "overdosed": "overdosed", "total_dlts": "DLTs",
    "length_median": "length, median", "length_q90": "90 %",
}  # fmt: skip


def guide() -> dict:
    """Return what the first block of the page leaves behind."""
    names: dict = {}
    exec(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0], names)
    return names


def rows(table: pd.DataFrame) -> str:
    """Return the table in Markdown."""
    head = ["scenario", "design", *COLUMNS.values()]
    out = [f"| {' | '.join(head)} |", f"| {' | '.join(['---'] * len(head))} |"]
    for _, row in table.iterrows():
        cells = [row["scenario"], row["design"]]
        for name in COLUMNS:
            share = name in ("correct", "overdose_selected", "none")
            long = name.startswith("length")
            cells.append(f"{row[name] * (100 if share else 1):.{0 if share or long else 1}f}")
        out.append(f"| {' | '.join(cells)} |")
    return "\n".join(out)


def between(text: str, name: str, new: str) -> str:
    """Return the page with the part between two marks replaced."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    first, rest = text.split(begin)
    return first + begin + new + "\n" + end + rest.split(end)[1]


def main() -> None:
    """Write ``figures/operating_characteristics.png`` and the table."""
    names = guide()
    axes = plots.operating_characteristics(names["found"], ncols=2)
    image = Image.open(io.BytesIO(_axes.png(axes[0].get_figure(root=True))))
    path = DOCS / "figures/operating_characteristics.png"
    image.convert("RGB").quantize(128, method=Image.Quantize.MAXCOVERAGE).save(path, optimize=True)
    table = rows(dose.operating_table(names["found"]))
    PAGE.write_text(between(PAGE.read_text(), "table", table))


if __name__ == "__main__":
    main()
