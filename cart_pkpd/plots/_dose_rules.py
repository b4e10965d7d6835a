"""What a design would do: after the next cohort, and by the numbers at a dose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from cart_pkpd._core.errors import DataError
from cart_pkpd.plots import _axes, _text
from cart_pkpd.plots._dose import _needs, _plain, _unit
from cart_pkpd.plots._given import drawn_from

_CELLS = {
    "E": ("#cfe3f4", "escalate"),
    "S": ("#f4f5f7", "stay"),
    "D": ("#f6d9c8", "de-escalate"),
    "U": ("#dd9a73", "de-escalate and eliminate"),
}

_STOPS = ("stop", "no MTD")
_SAME: dict[str, Any] = {"marker": "o", "markersize": 10, "markerfacecolor": "none",
                         "markeredgecolor": _axes.BLUE, "markeredgewidth": 1.8}  # fmt: skip


@drawn_from("dose.scenarios(design, data)", kind=pd.DataFrame)
def dose_scenarios(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw where each number of DLTs in the next cohort leads.

    Parameters
    ----------
    table : pd.DataFrame
        From ``dose.scenarios``.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        One row per number of DLTs: the cohort's dose (square), an arrow to the dose that follows,
        a cross where the trial stops, and the probability of that number where it is known.

    Raises
    ------
    DataError
        If the table is not one of ``dose.scenarios``.
    """
    _needs(table, {"action", "next_dose"}, "dose.scenarios")
    ax = _axes.axes(ax, size=(7.4, 1.8 + 0.55 * len(table)))
    places = {d: k for k, d in enumerate(_doses(table))}
    last = len(places) - 1
    for y, (_, row) in enumerate(table.iterrows()):
        _row(ax, y, row, places)
        p = row.get("probability")
        shown = "" if p is None or np.isnan(p) else f"probability {_text.chance(p)}, "
        ax.annotate(f"{shown}{row['action']}", (last + 0.45, y), va="center",
                    fontsize=_axes.SMALL, color=_axes.INK, annotation_clip=False)  # fmt: skip
    ax.set_xlim(-0.4, last + 0.4)
    ax.set_ylim(len(table) - 0.5, -0.5)
    names = [_plain(d) for d in places]
    ax.xaxis.set_major_locator(FixedLocator(list(range(last + 1))))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: names[round(v)]))
    ax.yaxis.set_major_locator(FixedLocator(list(range(len(table)))))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: str(table.index[round(v)])))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_minor_locator(NullLocator())
    cohort = table.attrs["cohort"]
    which = "a further" if table.attrs.get("ask") == "mtd" else "the next"
    _axes.label(ax, _text.with_unit("Dose", _unit(table)), f"DLTs in {which} {cohort}")
    _axes.legend(ax, _scenario_keys(table))
    return ax


def _scenario_keys(table: pd.DataFrame) -> list[Any]:
    """Return the legend of what the rows lead to."""
    moves = table["next_dose"] - table["dose"]
    stops = table["action"].isin(_STOPS)
    keys: list[Any] = [
        _axes.key("dose of the cohort", marker="s", markersize=8, color=_axes.GREY, ls="none")
    ]
    if ((moves == 0) & ~stops).any():
        keys.append(_axes.key("it stays", linestyle="none", **_SAME))
    for there, colour, words in (
        ((moves > 0) & ~stops, _axes.BLUE, "to a higher dose"),
        ((moves < 0) & ~stops, _axes.ORANGE, "to a lower dose"),
    ):
        if there.any():
            keys.append(_axes.key(words, color=colour, linewidth=2.0, marker=">", markersize=6))
    if stops.any():
        keys.append(_axes.key("the trial stops", color=_axes.ORANGE, marker="X", markersize=9,
                              linestyle="none"))  # fmt: skip
    return keys


def _doses(table: pd.DataFrame) -> list[float]:
    planned = table.attrs.get("doses")
    if planned:
        return [float(d) for d in planned]
    found = np.concatenate([table["dose"], table["next_dose"].dropna()])
    return [float(d) for d in np.unique(found)]


def _row(ax: Axes, y: int, row: pd.Series, places: dict[float, int]) -> None:
    start = places[float(row["dose"])]
    stops = row["action"] in _STOPS
    end = start if np.isnan(row["next_dose"]) else places[float(row["next_dose"])]
    ax.plot(start, y, marker="s", markersize=8, color=_axes.GREY, zorder=3)
    if stops:
        ax.plot(end, y, marker="X", markersize=11, color=_axes.ORANGE, zorder=4)
    elif end == start:
        ax.plot(end, y, zorder=4, **{**_SAME, "markersize": 16})
    else:
        colour = _axes.BLUE if end > start else _axes.ORANGE
        ax.annotate("", (end, y), (start, y), zorder=4, arrowprops={
            "arrowstyle": "-|>", "color": colour, "linewidth": 2.0, "mutation_scale": 15,
            "shrinkA": 5, "shrinkB": 0})  # fmt: skip


_CORNER = 6.5  # pt: a label that leaves the letter of its cell free


@drawn_from("design.decision_table(n)", kind=pd.DataFrame)
def boin_table(
    table: pd.DataFrame, *, seen: pd.DataFrame | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the decision table of an interval design, with the doses seen so far.

    Parameters
    ----------
    table : pd.DataFrame
        ``decision_table(n)`` of BOIN, mTPI, mTPI-2, keyboard or TPI.
    seen : pd.DataFrame, optional
        ``Decision.table``: the cell of each dose given is framed, with its level in the corner.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        Rows from the first with nothing but elimination on are drawn as one.

    Raises
    ------
    DataError
        If the table is not a decision table.
    """
    if not {str(v) for v in table.to_numpy().ravel()} <= {*_CELLS, ""}:
        raise DataError("there is nothing to draw: pass decision_table(n) of an interval design.")
    n, rows = [int(c) for c in table.columns], _rows(table)
    ax = _axes.axes(ax, size=(1.2 + 0.42 * len(n), 1.9 + 0.32 * len(rows)))
    ax.grid(False)
    for x in n:
        for y in rows:
            letter = str(table.loc[y, x])
            if letter:
                ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=_CELLS[letter][0],
                                       edgecolor="white", linewidth=0.8))  # fmt: skip
                ax.annotate(letter, (x, y), ha="center", va="center", fontsize=_axes.SMALL,
                            color=_axes.INK)  # fmt: skip
    keys = [Patch(color=c, label=f"{k} {t}") for k, (c, t) in _CELLS.items()]
    if seen is not None:
        _frames(ax, seen, n[-1])
        keys.append(
            Patch(facecolor="none", edgecolor=_axes.INK, label="L level given, with its counts")
        )
    ax.set_xlim(0.5, n[-1] + 0.5)
    ax.set_ylim(rows[-1] + 0.5, -0.5)
    step = 1 if len(n) <= 12 else 3
    ax.xaxis.set_major_locator(FixedLocator([v for v in n if v % step == 0]))
    ax.yaxis.set_major_locator(FixedLocator(rows))
    cut = rows[-1] < int(table.index[-1])
    ax.yaxis.set_major_formatter(
        FuncFormatter(lambda v, _: f"{v:g}+" if cut and v == rows[-1] else f"{v:g}")
    )
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_minor_locator(NullLocator())
    _axes.label(ax, "Patients at the current dose", "DLTs among them")
    ax.legend(
        handles=keys, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, frameon=False,
        fontsize=_axes.SMALL, labelcolor=_axes.INK, borderaxespad=0.2,
    )  # fmt: skip
    return ax


def _rows(table: pd.DataFrame) -> list[int]:
    """Return the numbers of DLTs to draw: up to the first that always eliminates."""
    for y in table.index:
        letters = set(table.loc[y]) - {""}
        if letters == {"U"}:
            return [int(i) for i in table.index if i <= y]
    return [int(i) for i in table.index]


def _frames(ax: Axes, seen: pd.DataFrame, most: int) -> None:
    """Frame the cell of each dose given; doses in one cell share its label."""
    where: dict[tuple[int, int], list[str]] = {}
    for level, row in seen.iterrows():
        if 0 < row["evaluable"] <= most:
            where.setdefault((int(row["evaluable"]), int(row["dlts"])), []).append(str(level))
    for (x, y), names in where.items():
        ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor=_axes.INK,
                               linewidth=1.8, zorder=4))  # fmt: skip
        ax.annotate(f"L{', '.join(names)}", (x - 0.5, y - 0.5), xytext=(2, -1.5), va="top",
                    ha="left", textcoords="offset points", fontsize=_CORNER, color=_axes.INK,
                    fontweight="bold", zorder=5, annotation_clip=False)  # fmt: skip
