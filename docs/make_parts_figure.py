"""Draw the picture of docs/parts.md: `python docs/make_parts_figure.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cart_pkpd import models
from cart_pkpd._core import words
from cart_pkpd._core.names import ENDPOINTS
from cart_pkpd.plots import _axes

TARGET = Path(__file__).parent / "figures" / "parts.png"
DAYS = np.linspace(0.0, 28.0, 281)
SHOWN = ("transgene", "il6", "il6_signal", "ifng", "il10", "il8", "mcp1", "il15", "il2")


def main() -> None:
    """Write ``figures/parts.png``: a panel with and without tocilizumab."""
    cells = models.get("stein2019")
    model = cells + models.cytokines(relay=True, receptor=True) + models.tocilizumab()
    given = {"tocilizumab": [(9.0, 1.0)]}
    courses = {
        "no tocilizumab": (_axes.BLUE, model.simulate(DAYS)),
        "560 mg on day 9": (
            _axes.ORANGE,
            model.simulate(DAYS, inputs=given),
        ),
    }
    figure = _axes.sheet(9.0, 6.6)
    for name, axes in zip(SHOWN, figure.subplots(3, 3, sharex=True).flat, strict=True):
        for label, (colour, course) in courses.items():
            axes.plot(DAYS, course[name], color=colour, label=label, linewidth=1.5)
        axes.axvline(9.0, color=_axes.GREY, linewidth=0.8, linestyle=":", zorder=0)
        _axes.dress(axes)
        _axes.log_levels(axes, np.concatenate([c[name] for _, c in courses.values()]))
        title = "IL-6 signal" if name == "il6_signal" else ENDPOINTS[name].label
        _axes.heading(axes, f"{title} ({words.unit(course[name].attrs['units'])})")
        axes.set_xticks(range(0, 29, 7))
    _axes.shared_labels(figure, _axes.TIME_LABEL)
    keys = [_axes.key(text, color=c, linewidth=1.5) for text, (c, _) in courses.items()]
    _axes.figure_legend(figure, keys)
    figure.savefig(TARGET, dpi=90)


if __name__ == "__main__":
    main()
