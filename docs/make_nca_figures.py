"""Make the pictures of docs/nca.md, and write its table of parameters.

Run ``python docs/make_nca_figures.py`` from the root of the source tree; everything is drawn from
profiles written out below and from the bundled trial. ``--table`` writes the table only.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cart_pkpd import data, datasets, nca, plots
from cart_pkpd.plots import _axes

HERE = Path(__file__).parent
LLOQ = 50.0
UNIT = {"transgene": "copies/µg"}

RISING_AGAIN = ([0, 3, 7, 10, 14, 21, 28], [0, 300, 4000, 2000, 2600, 700, 400])
BLQ_LATER = ([0, 4, 7, 10, 14, 21, 35], [0, 900, 4000, 2400, 1400, 420, "<50"])
BLQ_BETWEEN = ([0, 3, 7, 10, 14, 21, 28], ["<50", "<50", 900, 400, "<50", 120, "<50"])
DAY_28_LATE = ([0, 3, 7, 10, 14, 21, 28.6], [0, 200, 3000, 2600, 2000, 1300, 700])
TWO_PHASES = (
    [0, 3, 7, 10, 14, 21, 28, 60, 90, 180],
    [0, 500, 9000, 5200, 2100, 800, 330, 220, 190, 120],
)
SPIKE = ([0.02, 1, 3, 7, 10, 14, 21, 28], [5200, 420, 160, 900, 3100, 1800, 700, 260])
TWO_INFUSIONS = ([0, 4, 7, 14, 28, 60, 64, 67, 74, 90], [0, 700, 2600, 900, 200, 150, 900, 1700,
                                                         600, 90])  # fmt: skip
VISITS = {
    "1": ([0, 14, 28, 60], [0, 900, 300, "<50"]),
    "2": ([0, 14, 28, 60, 90], [0, 2500, 800, 300, "<50"]),
    "3": ([0, 14, 28], [0, 400, "<50"]),
    "4": ([0, 14, 28, 60, 90, 180], [0, 5000, 2000, 900, 500, 210]),
    "5": ([0, 14, 28, 90], [0, 700, 240, "<50"]),
    "6": ([0, 14, 28, 60, 90, 180], [0, 1800, 900, 500, 160, "<50"]),
}


def trial(
    profiles: dict[str, tuple[Sequence[float], Sequence[float | str]]],
    doses: Sequence[float] = (0.0,),
) -> xr.Dataset:
    """Return a trial of written-out profiles."""
    rows: list[dict[str, Any]] = []
    for who, (days, levels) in profiles.items():
        rows += [{"ID": who, "TIME": d, "DV": ".", "AMT": 1e7, "EVID": 1} for d in doses]
        rows += [
            {"ID": who, "TIME": t, "DV": v, "AMT": ".", "EVID": 0}
            for t, v in zip(days, levels, strict=True)
        ]
    table = pd.DataFrame(rows)
    return data.read_table(table, endpoints="transgene", units=UNIT, lloq=LLOQ, sort=True,
                           dose_unit="cells", echo=False)  # fmt: skip


def one(profile: tuple[Sequence[float], Sequence[float | str]], **options: Any) -> xr.Dataset:
    """Return a trial of one written-out profile."""
    return trial({"A": profile}, **options)


def row(n: int, width: float = 3.6, height: float = 3.1) -> tuple[Figure, list[Axes]]:
    """Return a figure with `n` panels in a row."""
    figure, panels = _axes.grid(1, n, (width, height))
    return figure, list(panels.flat)


def draw(ax: Axes, made: xr.Dataset, title: str, note: str, *, log: bool = False, **rules: Any
         ) -> xr.Dataset:  # fmt: skip
    """Draw one analysis into a panel, its legend replaced by a title and a note."""
    infusion = rules.pop("infusion", 1)
    last, slope = rules.pop("last", None), rules.pop("slope", True)
    params = nca.table(made, "transgene", infusion=infusion, **rules)
    plots.nca_profile(made, params, "A", infusion=infusion, log=log, last=last, ax=ax)
    legend = ax.get_legend()
    if legend is not None:
        legend.remove()
    if not slope:
        leave_out_slope(ax)
    _axes.heading(ax, title, note=note.format(**numbers(params)))
    _axes.label(ax, "Days since infusion", "copies/µg")
    return params


def leave_out_slope(ax: Axes) -> None:
    """Take the terminal line out of a picture that is about something else."""
    for line in list(ax.get_lines()):
        if line.get_label() == "terminal line":
            line.remove()
        elif line.get_label() == "sample of the terminal line":
            line.set_color(_axes.INK)


def numbers(params: xr.Dataset) -> dict[str, float]:
    """Return the parameters of the one patient."""
    return {str(n): float(v.values[0]) for n, v in params.data_vars.items() if v.dtype.kind == "f"
            and v.dims == ("id",)}  # fmt: skip


# -- the pictures


def methods() -> Figure:
    """Draw one profile by the three kinds of trapezoids."""
    figure, panels = row(3)
    made = one(RISING_AGAIN)
    for ax, method in zip(panels, ("linear", "lin-up/log-down", "lin-log"), strict=True):
        draw(ax, made, method, "AUC0–28d {auc0_28:,.0f}", method=method, slope=False)
    return figure


def tails() -> Figure:
    """Draw what each tail rule puts after Tlast."""
    figure, panels = row(4, 3.0)
    made = one(BLQ_LATER)
    rules = ("zero", "triangle", "exponential", "exponential-predicted")
    for ax, tail in zip(panels, rules, strict=True):
        note = "AUC0–28d {auc0_28:,.0f}, {auc0_28_pext:.1f} % after Tlast"
        draw(ax, made, tail, note, tail=tail, last=37)
    return figure


def blq() -> Figure:
    """Draw one profile by three BLQ rules."""
    figure, panels = row(3)
    made = one(BLQ_BETWEEN)
    choices: list[tuple[str, Any]] = [
        ("keep, drop, keep (default)", {}),
        ("middle kept as 0", {"middle": "keep"}),
        ("every BLQ as LLOQ/2", "lloq/2"),
    ]
    for ax, (title, rule) in zip(panels, choices, strict=True):
        draw(ax, made, title, "AUC0–28d {auc0_28:,.0f}", blq=rule, tail="zero", slope=False)
    return figure


def day_28() -> Figure:
    """Draw what is lost where an area stops at the last sample inside the window."""
    figure, panels = row(2, 4.6)
    made = one(DAY_28_LATE)
    days, levels = DAY_28_LATE
    inside = one(([d for d in days if d <= 28], levels[:-1]))
    draw(panels[0], inside, "samples up to day 28 only", "area {auc0_28:,.0f}: ends on day 21",
         tail="zero", last=35, slope=False)  # fmt: skip
    draw(panels[1], made, "auc0_28", "area {auc0_28:,.0f}: interpolated at day 28", last=35,
         slope=False)  # fmt: skip
    return figure


def terminal() -> Figure:
    """Draw every window that the terminal search looked at."""
    figure, panels = row(2, 5.0, 3.4)
    made = one(TWO_PHASES)
    days, levels = (np.array(v, float) for v in TWO_PHASES)
    found = nca.candidates(made)
    ax = panels[0]
    _axes.time_axis(ax, 0, 180)
    _axes.log_levels(ax, [*levels[levels > 0], 40.0])
    ax.plot(days[1:], levels[1:], "o", color=_axes.INK, markersize=4.6, zorder=4)
    for window in found.itertuples():
        inside = (days >= window.start) & (days <= window.end)
        mean = days[inside].mean(), np.log(levels[inside]).mean()
        at = np.array([window.start, window.end])
        line = np.exp(mean[1] - window.lambda_z * (at - mean[0]))
        colour, width = (_axes.ORANGE, 2.4) if window.chosen else (_axes.GREY, 0.9)
        ax.plot(at, line, color=colour, linewidth=width, zorder=3 if window.chosen else 2)
    _axes.heading(ax, "every window that ends at Tlast")
    _axes.label(ax, "Days since infusion", "copies/µg")
    ax = panels[1]
    fits = found[found["adj_r_squared"].notna()]
    colours = [_axes.ORANGE if c else _axes.GREY for c in fits["chosen"]]
    ax.scatter(fits["n_points"], fits["adj_r_squared"], c=colours, s=45, zorder=3)
    for window in fits.itertuples():
        ax.annotate(f"t½ {window.half_life:.0f} d", (window.n_points, window.adj_r_squared),
                    xytext=(0, 8), textcoords="offset points", ha="center",
                    fontsize=_axes.SMALL, color=_axes.INK)  # fmt: skip
    ax.set_ylim(float(fits["adj_r_squared"].min()) - 0.06, 1.06)
    ax.set_xlim(2.4, float(fits["n_points"].max()) + 0.6)
    _axes.heading(ax, "the window is chosen by adjusted R²")
    _axes.label(ax, "samples in the window", "adjusted R²")
    return figure


def persistence() -> Figure:
    """Draw what is known of each loss, and the three curves made of it."""
    figure, panels = row(2, 5.2, 3.4)
    params = nca.table(trial(VISITS), "transgene")
    ax = panels[0]
    low, high = params["persistence_lower"].values, params["persistence_upper"].values
    for i, (a, b) in enumerate(zip(low, high, strict=True)):
        ax.plot([0, a], [i, i], color=_axes.BLUE, linewidth=3)
        if np.isfinite(b):
            ax.plot([a, b], [i, i], color=_axes.ORANGE, linewidth=3, linestyle=(0, (1, 0.6)))
            ax.plot([b], [i], "v", markersize=6, markerfacecolor="white", color=_axes.INK)
        else:
            ax.annotate(
                "", (a + 18, i), (a, i), arrowprops={"arrowstyle": "->", "color": _axes.INK}
            )
    _axes.time_axis(ax, 0, 205)
    ax.set_yticks(range(len(low)), [f"patient {i + 1}" for i in range(len(low))])
    ax.set_ylim(len(low) - 0.5, -0.5)
    _axes.heading(ax, "what is known: quantifiable, lost in between, BLQ")
    _axes.label(ax, "Days since infusion")
    ax = panels[1]
    ends = {"midpoint": _axes.BLUE, "upper": _axes.ORANGE}
    for method, colour in ends.items():
        curve = nca.persistence(params, method=method)
        ax.plot(curve["time"], curve["survival"], drawstyle="steps-post", color=colour,
                linewidth=1.8, zorder=3)  # fmt: skip
    plots.persistence(nca.persistence(params, method="turnbull"), ax=ax)
    for line in ax.get_lines()[2:]:
        line.set_color(_axes.INK)
    for box in ax.collections:
        box.set_color(_axes.GREY)
        box.set_alpha(0.25)
    keys = [_axes.key(m, color=c, linewidth=2) for m, c in ends.items()]
    keys.append(_axes.key("Turnbull (grey: undetermined)", color=_axes.INK, linewidth=2))
    legend = ax.get_legend()
    if legend is not None:
        legend.remove()
    _axes.legend(ax, keys, ncols=3)
    _axes.label(ax, "Days since infusion")
    return figure


def spike() -> Figure:
    """Draw a profile whose highest level is the sample after the infusion."""
    figure, panels = row(2, 4.6)
    made = one(SPIKE)
    note = "Cmax {cmax:,.0f}, Tmax day {tmax:g}, early_spike {early_spike:.0f}"
    draw(panels[0], made, "as measured", note, log=True)
    draw(panels[1], made, "tmax_after=1", note, log=True, tmax_after=1.0)
    return figure


def reinfusion() -> Figure:
    """Draw one patient's profiles after two infusions."""
    figure, panels = row(2, 4.6)
    made = one(TWO_INFUSIONS, doses=(0.0, 60.0))
    note = "Cmax {cmax:,.0f}, Tlast day {tlast:g}"
    draw(panels[0], made, "infusion=1", note, log=True, infusion=1)
    draw(panels[1], made, "infusion=2", note, log=True, infusion=2)
    return figure


def profile() -> Figure:
    """Draw one patient of the bundled trial."""
    made = datasets.load("fast01")
    figure = plots.nca_profile(made, nca.table(made, "transgene"), "F01-026")
    assert isinstance(figure, Figure)
    return figure


PICTURES = {
    "profile": profile, "methods": methods, "tails": tails, "blq": blq, "day28": day_28,
    "terminal": terminal, "persistence": persistence, "spike": spike, "reinfusion": reinfusion,
}  # fmt: skip


# -- the table of parameters

UNITS = {
    "level": "level", "time": "day", "area": "level × day", "moment": "level × day²",
    "rate": "1/day", "percent": "%", "one": "1", "dose": "dose", "level/dose": "level/dose",
    "area/dose": "level × day/dose", "dose/area": "dose/(level × day)",
    "dose/level": "dose/level",
}  # fmt: skip
MARKS = ("<!-- parameters: begin -->", "<!-- parameters: end -->")


def parameter_table() -> str:
    """Return the catalogue as a Markdown table; those not computed by default are in italics."""
    lines = ["| name | label | unit | CDISC | meaning |", "| --- | --- | --- | --- | --- |"]
    for p in nca.parameters().itertuples():
        name = f"`{p.Index}`" if p.default else f"*`{p.Index}`*"
        lines.append(f"| {name} | {p.label} | {UNITS[p.unit]} | {p.cdisc} | {p.about} |")
    return "\n".join(lines)


def with_table(text: str) -> str:
    """Return the guide with its table of parameters written anew."""
    between = re.compile(f"(?<={MARKS[0]}\n).*?(?=\n{MARKS[1]})", re.DOTALL)
    return between.sub(lambda _: parameter_table(), text)


def main() -> None:
    """Write the table of parameters and, unless told not to, every picture."""
    guide = HERE / "nca.md"
    guide.write_text(with_table(guide.read_text(encoding="utf-8")), encoding="utf-8")
    if "--table" in sys.argv:
        return
    folder = HERE / "figures"
    folder.mkdir(exist_ok=True)
    for name, make in PICTURES.items():
        make().savefig(folder / f"nca_{name}.png", dpi=100, metadata={"Software": None})


if __name__ == "__main__":
    main()
