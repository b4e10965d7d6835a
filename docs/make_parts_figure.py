"""Draw the picture of docs/parts.md: `python docs/make_parts_figure.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from cart_pkpd import models
from cart_pkpd._core.names import ENDPOINTS
from cart_pkpd.plots._axes import log_levels

TARGET = Path(__file__).parent / "figures" / "parts.png"
DAYS = np.linspace(0.0, 28.0, 281)
SHOWN = ("transgene", "il6", "il6_signal", "ifng", "il10", "il8", "mcp1", "il15", "il2")


def main() -> None:
    """Write ``figures/parts.png``: a panel with and without tocilizumab."""
    cells = models.get("stein2019")
    model = cells + models.cytokines(relay=True, receptor=True) + models.tocilizumab()
    courses = {
        "no tocilizumab": ("C0", model.simulate(DAYS)),
        "560 mg on day 9": ("C1", model.simulate(DAYS, inputs={"tocilizumab": [(9.0, 1.0)]})),
    }
    figure = Figure(figsize=(9.0, 6.6), layout="constrained")
    for at, (name, axes) in enumerate(
        zip(SHOWN, figure.subplots(3, 3, sharex=True).flat, strict=True)
    ):
        for label, (colour, course) in courses.items():
            axes.plot(DAYS, course[name], color=colour, label=label, linewidth=1.5)
        axes.axvline(9.0, color="0.8", linewidth=0.8, zorder=0)
        log_levels(axes, np.concatenate([c[name] for _, c in courses.values()]))
        title = "IL-6 signal" if name == "il6_signal" else ENDPOINTS[name].label
        axes.set_title(title, fontsize=10)
        axes.set_ylabel(course[name].attrs["units"])
        axes.set_xticks(range(0, 29, 7))
        if at >= 6:
            axes.set_xlabel("day after infusion")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    figure.savefig(TARGET, dpi=90)


if __name__ == "__main__":
    main()
