"""The house style and the only shared drawing code: every picture is put together from these.

Figures are made without pyplot, so drawing changes no global state, needs no display and
leaves no window behind. Styling is set on each Axes, not in rcParams, so an Axes of the
caller's own (``ax=``) looks the same.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator
from numpy.typing import NDArray

from cart_pkpd._core.validate import one_of
from cart_pkpd.plots import _text
from cart_pkpd.plots._layout import PanelGrid, share_label

TimeScale = Literal["linear", "log"]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

INK, GREY, PALE = "#1b1f24", "#5f6772", "#d7dbe0"
BLUE, ORANGE = "#0b5a9d", "#b8480a"  # the two voices: model or posterior, and data or truth
LEGEND_WIDTH = 6.4  # least width of a figure with a legend above its panels [inch]
BODY, SMALL = 10.0, 9.0  # font sizes [pt]
DAY_TICKS = (0, 1, 3, 7, 14, 28, 56, 90, 180, 365, 730)
FEW_DAY_TICKS = (0, 1, 7, 28, 90, 365)
TIME_LABEL = "Time since first infusion (days)"


class Panel(Axes):
    """An Axes that shows its figure in a notebook."""

    name = "cart_pkpd"

    def _repr_png_(self) -> bytes:
        figure = self.get_figure(root=True)
        return png(figure) if figure is not None else b""


class SmallPanel(Panel):
    """One of many panels: no minor ticks, and fewer labels."""

    name = "cart_pkpd_small"


class Sheet(Figure):
    """A Figure that shows itself in a notebook, without pyplot, and takes no text for a formula."""

    def draw(self, renderer: Any) -> None:
        """Draw the figure; a patient called ``A$1$`` is no mathematics, as ticks of powers are."""
        for text in self.findobj(Text):
            if "$" in text.get_text() and "\\mathdefault" not in text.get_text():
                text.set_parse_math(False)
        super().draw(renderer)

    def _repr_png_(self) -> bytes:
        return png(self)


def png(figure: Figure, dpi: float = 110) -> bytes:
    """Return the figure as PNG bytes."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=dpi, facecolor="white")
    return out.getvalue()


def sheet(width: float, height: float) -> Figure:
    """Return an empty figure of the given size, in inches."""
    figure = Sheet(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def axes(ax: Axes | None = None, size: tuple[float, float] = (7.2, 4.4)) -> Axes:
    """Return the caller's Axes, or a new one, in house style."""
    if ax is None:
        ax = sheet(*size).add_subplot(axes_class=Panel)
    return dress(ax)


def grid(
    rows: int,
    cols: int,
    cell: tuple[float, float],
    *,
    axes_class: type[Axes] = Panel,
    **share: Any,
) -> tuple[Figure, NDArray[Any]]:
    """Return a figure with rows × cols Axes of `cell` inches each, in house style."""
    figure = sheet(cols * cell[0], rows * cell[1])
    panels = figure.subplots(
        rows, cols, squeeze=False, subplot_kw={"axes_class": axes_class}, **share
    )
    for ax in panels.flat:
        dress(ax)
    return figure, panels


def small_multiples(
    n: int, ncols: int | None, cell: tuple[float, float], *, common: str = "", **share: Any
) -> tuple[Figure, list[Axes]]:
    """Return a figure with `n` panels, the empty places of the last row removed.

    The figure is wide enough for its legend, and higher by what legend and label need. Axes
    named in `common` ("x", "y" or "xy") have tick labels at the outer panels only; the caller
    gives them equal limits, which is much faster than letting matplotlib share them.
    """
    cols = min(n, ncols or _columns(n))
    rows = math.ceil(n / cols)
    width = max(cell[0], LEGEND_WIDTH / cols)
    size = (width, cell[1] + 0.85 / rows)
    figure, panels = grid(rows, cols, size, axes_class=SmallPanel, **share)
    figure.set_layout_engine(PanelGrid())
    for ax in panels.flat[n:]:
        ax.remove()
    for i, ax in enumerate(panels.flat[:n]):
        if i >= n - cols:  # the lowest panel of each column
            ax.tick_params(labelbottom=True)
        elif "x" in common:
            ax.tick_params(labelbottom=False)
        if "y" in common and i % cols:
            ax.tick_params(labelleft=False)
        for axis in (ax.xaxis, ax.yaxis):  # labels are shared: spare the search for their place
            axis.set_label_coords(0.5, 0.0)
    return figure, list(panels.flat[:n])


def _columns(n: int) -> int:
    """Return the number of columns, up to four, that leaves the fewest empty places."""
    choices = [n] if n <= 3 else [4, 3]
    return min(choices, key=lambda cols: -n % cols)


def dress(ax: Axes) -> Axes:
    """Put one Axes in house style: dark on white, no box, pale grid behind the data."""
    ax.set_facecolor("white")
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GREY)
    ax.tick_params(colors=INK, labelsize=SMALL, color=GREY, length=3.5)
    ax.grid(True, color=PALE, linewidth=0.6)
    ax.set_axisbelow(True)
    return ax


def label(ax: Axes, x: str | None = None, y: str | None = None) -> None:
    """Set the axis labels in house style."""
    if x is not None:
        ax.set_xlabel(x, color=INK, fontsize=BODY)
    if y is not None:
        ax.set_ylabel(y, color=INK, fontsize=BODY)


def heading(ax: Axes, text: str, *, note: str = "", colour: str = INK) -> None:
    """Write a panel's title, left-aligned, with a note in plain type on a line below it."""
    ax.set_title(  # y=1 spares matplotlib the search for a free place
        text, loc="left", fontsize=SMALL, color=colour, fontweight="bold", y=1.0,
        pad=18 if note else 5,
    )  # fmt: skip
    if note:
        ax.annotate(note, (0, 1), xycoords="axes fraction", xytext=(0, 5), color=INK,
                    textcoords="offset points", fontsize=SMALL)  # fmt: skip


def shared_labels(figure: Figure, x: str, y: str = "") -> None:
    """Label the common axes of a grid once; a low figure gets its y unit on a second line."""
    if figure.get_figheight() < 3.3:
        y = y.replace(" (", "\n(")
    share_label(figure, "x", x, fontsize=BODY, color=INK)
    if y:
        share_label(figure, "y", y, fontsize=BODY, color=INK)


def legend(ax: Axes, handles: Sequence[Any], ncols: int = 4) -> None:
    """Put a frameless legend above the Axes, where it covers no data."""
    if not handles:
        return
    ax.legend(
        handles=list(handles), loc="lower left", bbox_to_anchor=(-0.02, 1.01), ncols=ncols,
        frameon=False, fontsize=SMALL, labelcolor=INK, borderaxespad=0.2, columnspacing=1.4,
        handlelength=1.8,
    )  # fmt: skip


def side_legend(ax: Axes, handles: Sequence[Any], title: str) -> None:
    """List groups and marks beside the Axes, where they cover no data."""
    ax.legend(
        handles=list(handles), title=title, loc="upper left", bbox_to_anchor=(1.01, 1.0),
        frameon=False, fontsize=SMALL, labelcolor=INK, title_fontsize=SMALL, alignment="left",
        borderaxespad=0.0, handlelength=1.6,
    )  # fmt: skip


def figure_legend(figure: Figure, handles: Sequence[Any], ncols: int = 5) -> None:
    """Put a frameless legend above a grid of panels, in as many columns as fit up to `ncols`."""
    for columns in range(ncols, 0, -1):
        made = figure.legend(
            handles=list(handles), loc="outside upper left", ncols=columns, frameon=False,
            fontsize=SMALL, labelcolor=INK, columnspacing=1.4, handlelength=1.8,
        )  # fmt: skip
        if columns == 1 or made.get_window_extent().width <= figure.bbox.width:
            return
        made.remove()


def key(text: str, **style: Any) -> Line2D:
    """Return a legend entry."""
    return Line2D([], [], label=text, **style)


# --- axes: time and level ---------------------------------------------------------------------


def time_axis(
    ax: Axes, first: float, last: float, scale: TimeScale = "linear", *, most: int = 8
) -> None:
    """Give the x axis limits and day ticks; "log" is linear up to day 1, so day 0 has a place."""
    one_of(scale, ("linear", "log"), "time scale")
    first = min(first, 0.0)
    if scale == "log":
        ax.set_xscale("symlog", linthresh=1, linscale=0.35)
        among = DAY_TICKS if most > 6 else FEW_DAY_TICKS
        ticks: Iterable[float] = [t for t in among if t <= last * 1.02]
        ax.set_xlim(first - 0.25, last * 1.12)
    else:
        ticks = day_ticks(last, most)
        ax.set_xlim(first - 0.015 * (last - first), last + 0.03 * (last - first))
    ax.xaxis.set_major_locator(FixedLocator(list(ticks)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def day_ticks(last: float, most: int) -> Floats:
    """Return tick days a clinic would choose: every 1, 2, 7, 14, 28, 90, … days."""
    between = (56,) if last < 180 else ()  # where every 90 days would be one tick or none
    steps = (1, 2, 7, 14, 28, *between, 90, 180, 365)
    step = next((s for s in steps if last / s <= most - 1 + 0.05), 730)
    return np.arange(0, max(last, step) * 1.02, step, dtype=float)


def level_axis(axis: Any, lower: float, upper: float) -> None:
    """Give a log axis readable ticks: decades, with 3 or 2 and 5 between where they are few."""
    decades = math.log10(upper / lower) if 0 < lower < upper else 1.0
    subs = (1.0,) if decades > 2.2 else (1.0, 3.0) if decades > 1.1 else (1.0, 2.0, 5.0)
    small = isinstance(axis.axes, SmallPanel)
    powers = upper > 2e6 or lower < 1e-4
    ticks = log_ticks(lower, upper, subs, most=7 if small else 12)
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FuncFormatter(lambda v, _: _decade(v) if powers else _text.short(v)))
    plain = small or decades >= 3.5
    minor = [] if plain else log_ticks(lower, upper, range(2, 10), most=12)
    axis.set_minor_locator(FixedLocator(minor) if len(minor) else NullLocator())
    axis.set_minor_formatter(NullFormatter())
    axis.set_tick_params(which="minor", color=GREY, length=2)


def log_ticks(lower: float, upper: float, subs: Iterable[float], most: int) -> list[float]:
    """Return the multiples `subs` of the powers of ten from `lower` to `upper`.

    Where that would be more than `most` decades, only each second, third, … is taken.
    """
    first, last = math.floor(math.log10(lower)), math.ceil(math.log10(upper))
    inside = max(1, sum(lower <= 10.0**k <= upper for k in range(first, last + 1)))
    step = math.ceil(inside / most)
    powers = [k for k in range(first, last + 1) if k % step == 0]
    ticks = [sub * 10.0**k for k in powers for sub in subs]
    return [t for t in ticks if lower * (1 - 1e-9) <= t <= upper * (1 + 1e-9)]


def _decade(value: float) -> str:
    power = math.floor(math.log10(value) + 1e-9) if value > 0 else 0
    lead = value / 10.0**power
    start = "" if abs(lead - 1) < 1e-6 else f"{lead:.3g}×"
    return f"{start}10{_text.superscript(power)}"


def log_levels(ax: Axes, values: Iterable[float], *, pad: float = 1.35) -> None:
    """Make y logarithmic, with limits that hold every positive value."""
    given = np.asarray(list(values), dtype=float)
    found = given[np.isfinite(given) & (given > 0)]
    ax.set_yscale("log")
    if not found.size:
        return
    lower, upper = float(found.min()) / pad, float(found.max()) * pad
    ax.set_ylim(lower, upper)
    level_axis(ax.yaxis, lower, upper)


def mark_day(ax: Axes, day: float, *, text: bool = True) -> None:
    """Draw a thin vertical line at a day, named at its upper end."""
    ax.axvline(day, color=GREY, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
    if text:
        ax.annotate(
            f"day {day:g}", (day, 1), xycoords=("data", "axes fraction"), xytext=(3, -3),
            textcoords="offset points", va="top", fontsize=SMALL - 1, color=GREY,
        )  # fmt: skip


# --- limits of quantification -----------------------------------------------------------------

LLOQ_STYLE: dict[str, Any] = {"color": GREY, "linewidth": 1.0, "linestyle": (0, (5, 3))}
ULOQ_STYLE: dict[str, Any] = {"color": GREY, "linewidth": 1.0, "linestyle": (0, (1, 2))}
OPEN: dict[str, Any] = {"linestyle": "none", "markerfacecolor": "white", "zorder": 4}


def below(censoring: NDArray[Any]) -> Mask:
    """Return which records are reported below a limit (left- or interval-censored)."""
    return np.isin(censoring, ("left", "interval"))


def quantification_limit(ax: Axes, limit: Floats, style: dict[str, Any] | None = None) -> None:
    """Draw a limit (LLOQ) as a dashed line, or as a band where it differs between records."""
    limits = np.unique(limit[np.isfinite(limit)])
    if limits.size == 1:
        ax.axhline(float(limits[0]), zorder=1, **(style or LLOQ_STYLE))
    elif limits.size > 1:
        ax.axhspan(float(limits[0]), float(limits[-1]), color=PALE, alpha=0.6, zorder=0.5)


def limit_key(
    limit: Floats, units: str, name: str = "LLOQ", style: dict[str, Any] | None = None
) -> list[Line2D]:
    """Return the legend entry of a limit with its value, or none where there is none."""
    limits = np.unique(limit[np.isfinite(limit)])
    if not limits.size:
        return []
    shown = _text.unit(units)
    if limits.size == 1:
        text = f"{name} {_text.short(float(limits[0]))} {shown}".strip()
        return [key(text, **(style or LLOQ_STYLE))]
    span = f"{_text.short(float(limits[0]))}–{_text.short(float(limits[-1]))}"
    return [key(f"{name} {span} {shown}, by sample".strip(), color=PALE, linewidth=7)]


def blq_key(colour: str = INK) -> Line2D:
    """Return the legend entry of a value below the LLOQ."""
    return key("below LLOQ", marker="v", markersize=5.5, markeredgecolor=colour, **OPEN)


def censored_keys(censoring: NDArray[Any], colour: str = INK) -> list[Line2D]:
    """Return the legend entries of the marks of :func:`censored_marks` that there are."""
    keys = [blq_key(colour)] if below(censoring).any() else []
    if (censoring == "right").any():
        keys.append(key("above ULOQ", marker="^", markersize=5.5, markeredgecolor=colour, **OPEN))
    return keys


def censored_marks(
    ax: Axes, time: Floats, dv: Floats, censoring: NDArray[Any], colour: str, size: float = 5.0
) -> None:
    """Mark censored records: open ▽ at the LLOQ, open △ at the ULOQ."""
    for marker, chosen in (("v", below(censoring)), ("^", censoring == "right")):
        if chosen.any():
            ax.plot(
                time[chosen], dv[chosen], marker=marker, markersize=size, color=colour,
                markeredgecolor=colour, markeredgewidth=0.9, **OPEN,
            )  # fmt: skip


def joined(time: Floats, dv: Floats, blq: Mask) -> tuple[Floats, Floats]:
    """Return a profile broken (NaN) between consecutive values below the LLOQ.

    The line so runs down to the first value below the limit and up from the last, and does
    not pretend to know the course between them.
    """
    cuts = np.flatnonzero(blq[:-1] & blq[1:]) + 1
    return np.insert(time, cuts, np.nan), np.insert(dv, cuts, np.nan)
