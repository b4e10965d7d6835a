"""Write the pages of the model library: ``make docs-models``.

Everything comes from the declarations: ``docs/models/<name>.md`` with equations, numbers and
sources, ``docs/models/README.md`` with one line per model, and a figure each. A figure is drawn
again only if the model has changed since; ``--text`` writes no figures, names of models limit the
work to those.
"""

from __future__ import annotations

import hashlib
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, PngImagePlugin

from cart_pkpd import models
from cart_pkpd._core.names import label
from cart_pkpd.models._record import cell
from cart_pkpd.plots import _axes, _text

HERE = Path(__file__).parent
PAGES, FIGURES = HERE / "models", HERE / "figures" / "models"
DAYS = np.concatenate([np.linspace(0.0, 2.0, 41), np.linspace(2.25, 90.0, 352)])
DOSES = {"cells": (1e7, 1e8, 1e9), "cells/kg": (1e5, 1e6, 1e7)}
BLUES = ("#8db4d8", _axes.BLUE, "#06315c")
OTHERS = ("#b8480a", "#5b8c2a", "#7a4fa3", "#b0982b", "#1b8a8f", "#a33b5e", "#5f6772", "#8a5a2b")
LOG_FROM = 30.0  # a course that spans more than this factor is drawn on a log scale
DEEPEST = 1e-7  # levels further than this below the highest are not drawn
DRAWN = "3"  # raise it when pictures should look different


def page(name: str) -> str:
    """Return the page of one model."""
    picture = f"../figures/models/{name}.png"
    made = models.describe(name).to_markdown(math="github", picture=picture)
    use = f'```python\nmodel = models.get("{name}")\n```'
    return made.replace("\n## Equations\n", f"\n{use}\n\n## Equations\n", 1) + "\n" + BACK


BACK = "[All models](README.md)\n"
INTRODUCTION = """# Model library

Published models of CAR-T cell kinetics and of what the cells drive: equations, numbers, where
these come from, and how sure they are. `models.get("stein2019")` gives a model,
`models.describe("stein2019")` its page in a notebook, `models.cite("stein2019", "bibtex")` its
reference, `models.table()` this list. The pages are written by `make docs-models` from the
declarations in [cart_pkpd/models](../../cart_pkpd/models).

"""


def overview() -> str:
    """Return the overview of all models."""
    heads = ["model", "what it is", "studied in", "states", "dose enters", "equations", "predicts"]
    rows = [
        [f"[{name}]({name}.md)", str(m["label"]), str(m["population"]), str(m["n_states"] or "–"),
         "yes" if m["dosed"] else "no", str(m["structure"]), str(m["endpoints"])]
        for name, m in models.table().iterrows()
    ]  # fmt: skip
    lines = [heads, ["---"] * len(heads), *rows]
    table = "\n".join("| " + " | ".join(cell(c) for c in row) + " |" for row in lines)
    words = "\n".join(
        f"- *{k}*: {v.removeprefix(f'{k}: ')}" for k, v in models.CONFIDENCE.items() if k != "given"
    )
    return f"{INTRODUCTION}{table}\n\nHow sure the equations are:\n\n{words}\n"


# -- the figures


def days(model: models.Model) -> np.ndarray:
    """Return the days to show: to day 90, from the start of the model if that is earlier."""
    first = min(float(getattr(model, "start", 0.0)), 0.0)
    before = np.linspace(first, 0.0, 29)[:-1] if first < 0 else np.array([])
    return np.concatenate([before, DAYS])


def courses(model: models.Model) -> tuple[xr.Dataset, list[str]]:
    """Return what the model predicts, one row for each dose and each published set of values."""
    doses = ladder(model)
    sets = {k: model.with_set(k).typical() for k in model.parameter_sets}
    names = [dose_name(model, d) for d in doses] + list(sets)
    values = pd.DataFrame([model.typical()] * len(doses) + list(sets.values()), index=names)
    given = None
    if doses != (None,):
        amounts = [*doses, *[doses[len(doses) // 2]] * len(sets)]
        given = pd.DataFrame({"id": names, "time": 0.0, "amount": amounts})
    return model.simulate(days(model), values, given), names


def ladder(model: models.Model) -> tuple[Any, ...]:
    """Return the doses of cells to show, low to high; (None,) if cells are not dosed."""
    unit = model.dose_unit if getattr(model, "dosed", None) else ""  # type: ignore[attr-defined]
    return DOSES.get(unit, (None,))


def dose_name(model: models.Model, amount: float | None) -> str:
    """Return what a line is called: the dose, or "typical"."""
    if amount is None:
        return "typical"
    return _text.dose(amount, model.dose_unit)  # type: ignore[attr-defined]


def styles(model: models.Model) -> list[dict[str, Any]]:
    """Return the line of each course: doses in blue, other values thin and in colours."""
    doses = ladder(model)
    blues = BLUES if len(doses) == 3 else (_axes.BLUE,)
    thin = [OTHERS[i % len(OTHERS)] for i in range(len(model.parameter_sets))]
    return [
        *({"color": c, "linewidth": 2.0} for c in blues),
        *({"color": c, "linewidth": 1.1, "linestyle": "--"} for c in thin),
    ]


def draw(model: models.Model) -> Figure:
    """Draw the typical course of every endpoint to day 90."""
    found, names = courses(model)
    endpoints = list(model.endpoints)
    figure, panels = _axes.small_multiples(len(endpoints), None, (3.3, 2.5))
    lines = styles(model)
    for ax, endpoint in zip(panels, endpoints, strict=True):
        levels = found[endpoint].to_numpy()
        for level, style in zip(levels, lines, strict=True):
            ax.plot(found["time"], level, **style)
        scale(ax, levels)
        _axes.time_axis(ax, float(found["time"][0]), 90)
        if ladder(model) != (None,):
            ax.plot([0.0], [0.0], "^", color=_axes.ORANGE, markersize=7, clip_on=False,
                    transform=ax.get_xaxis_transform(), zorder=5)  # fmt: skip
        unit = _text.unit(found[endpoint].attrs["units"])
        _axes.heading(ax, _text.sentence(label(endpoint)) + (f" ({unit})" if unit else ""))
    keys = [_axes.key(n, **s) for n, s in zip(names, lines, strict=True)]
    if ladder(model) != (None,):
        keys.append(_axes.key("dose", marker="^", color=_axes.ORANGE, linestyle="none"))
    if len(keys) > 1:
        _axes.figure_legend(figure, keys, ncols=4)
    _axes.shared_labels(figure, _axes.TIME_LABEL)
    return figure


def scale(ax: Axes, levels: np.ndarray) -> None:
    """Make a course that spans decades logarithmic."""
    shown = levels[np.isfinite(levels)]
    top = shown.max(initial=0.0)
    kept = shown[shown > DEEPEST * top]
    positive = shown.min(initial=0.0) >= -DEEPEST * top
    if positive and kept.size and top > LOG_FROM * kept.min():
        _axes.log_levels(ax, kept)
    elif positive:
        ax.set_ylim(0.0, top * 1.08 or 1.0)


def digest(model: models.Model) -> str:
    """Return what a figure depends on: equations, values and doses."""
    said = [DRAWN, *(e.text for e in models.describe(model).equations), repr(model.typical())]
    said += [repr((k, dict(s.values))) for k, s in model.parameter_sets.items()]
    return hashlib.sha256("\n".join([*said, repr(ladder(model))]).encode()).hexdigest()[:16]


def save(figure: Figure, path: Path, mark: str) -> None:
    """Write a small PNG that carries what it was drawn from."""
    drawn = Image.open(io.BytesIO(_axes.png(figure, dpi=100))).convert("RGB")
    picture = drawn.quantize(128, method=Image.Quantize.MAXCOVERAGE)  # keeps thin lines' colours
    note = PngImagePlugin.PngInfo()
    note.add_text("model", mark)
    picture.save(path, optimize=True, pnginfo=note)


def drawn_from(path: Path) -> str:
    """Return the mark of a figure that is there, or nothing."""
    return str(Image.open(path).info.get("model", "")) if path.exists() else ""


def main() -> None:
    """Write overview, pages and figures, and remove those of models that are gone."""
    given = [a for a in sys.argv[1:] if not a.startswith("--")]
    PAGES.mkdir(exist_ok=True)
    FIGURES.mkdir(parents=True, exist_ok=True)
    (PAGES / "README.md").write_text(overview(), encoding="utf-8")
    for old in [*PAGES.glob("*.md"), *FIGURES.glob("*.png")]:
        if old.stem not in ("README", *models.names()):
            old.unlink()
    for name in given or models.names():
        (PAGES / f"{name}.md").write_text(page(name), encoding="utf-8")
        model, path = models.get(name), FIGURES / f"{name}.png"
        mark = digest(model)
        if "--text" not in sys.argv and drawn_from(path) != mark:
            save(draw(model), path, mark)


if __name__ == "__main__":
    main()
