"""Persistence of the cells: survival curves by group, with the numbers at risk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import last_day
from cart_pkpd.plots import _axes, _text
from cart_pkpd.plots._given import drawn_from
from cart_pkpd.plots._groups import _CATEGORIES, Group, dose_colours

_FIRST_ROW, _ROW = 33.0, 13.0  # the numbers at risk: distance below the axes, row height [pt]
_LONGEST_ROW = 18  # letters of a name in the table of patients at risk


@drawn_from("nca.persistence(params)", kind=pd.DataFrame)
def persistence(
    table: pd.DataFrame,
    *,
    unit: str = "cells",
    last: float | None = None,
    band: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw the share of patients whose cells are still quantifiable, by group.

    Parameters
    ----------
    table : pd.DataFrame
        From ``nca.persistence``: Kaplan–Meier, or Turnbull's estimate.
    unit : str
        Unit of groups that are doses; numbers below 1,000 are taken as labels of dose levels.
    last : float, optional
        Draw up to this day only.
    band : bool
        Shade the confidence interval of each Kaplan–Meier curve.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        Steps with a tick where a patient is censored, and the patients at risk below. Turnbull's
        estimate is known outside its intervals only: inside them it is a shaded box.

    Raises
    ------
    DataError
        If the table is not one of ``nca.persistence``, or is empty.
    """
    if not {"group", "time", "survival"} <= set(table.columns) or table.empty:
        raise DataError("there is no persistence to draw: pass the table of nca.persistence.")
    made = list(_groups(table, unit))
    intervals = "time_right" in table
    ax = _axes.axes(ax, size=(8.6, 4.4))
    last_day(last)
    end = _end(table) if last is None else last
    _axes.time_axis(ax, 0.0, end, most=10)
    for group, rows in made:
        (_boxes if intervals else _steps)(ax, group, rows, end, band)
    ax.set_ylim(0.0, 1.03)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=f"{_text.THIN}%"))
    _axes.label(ax, None, "Patients with quantifiable cells")
    if intervals:
        _axes.label(ax, _axes.TIME_LABEL)
    else:
        _at_risk(ax, made)
    _axes.side_legend(ax, _keys(made, table, band), "")
    return ax


def _groups(table: pd.DataFrame, unit: str) -> Iterator[tuple[Group, pd.DataFrame]]:
    values = list(dict.fromkeys(table["group"]))
    for value, colour in zip(values, _colours(values), strict=True):
        rows = table[table["group"].isna() if value != value else table["group"] == value]
        yield Group(_name(value, unit), colour, ()), rows


def _colours(values: list[Any]) -> list[str]:
    """Return the colours that these groups have in the other pictures."""
    if all(isinstance(v, (int, float, np.number)) for v in values):
        known = dose_colours(np.array(values, dtype=float))
        return [known.get(float(v), _axes.GREY) for v in values]
    if values == ["all"]:
        return [_axes.BLUE]
    return [_CATEGORIES[i % len(_CATEGORIES)] for i in range(len(values))]


def _name(value: Any, unit: str) -> str:
    if isinstance(value, (int, float, np.number)):
        return _text.dose(float(value), unit if value >= _text.SMALLEST_DOSE else "")
    return "all patients" if value == "all" else str(value) or "not recorded"


def _end(table: pd.DataFrame) -> float:
    ends = table["time_right" if "time_right" in table else "time"].to_numpy(dtype=float)
    starts = table["time"].to_numpy(dtype=float)
    return float(max(ends[np.isfinite(ends)].max(initial=0.0), starts.max())) * 1.02 or 1.0


def _steps(ax: Axes, group: Group, rows: pd.DataFrame, end: float, band: bool) -> None:
    time, survival = rows["time"].to_numpy(), rows["survival"].to_numpy()
    ax.plot(time, survival, drawstyle="steps-post", color=group.colour, linewidth=1.8,
            label=group.label, zorder=3)  # fmt: skip
    ticks = rows[(rows["n_censored"] > 0) & (rows["time"] <= end)]
    ax.plot(ticks["time"], ticks["survival"], linestyle="none", marker="|", markersize=9,
            markeredgewidth=1.6, color=group.colour, zorder=3.5, label="censored")  # fmt: skip
    if band:
        lower, upper = (
            rows["lower"].fillna(rows["survival"]),
            rows["upper"].fillna(rows["survival"]),
        )
        ax.fill_between(time, lower, upper, step="post", color=group.colour, alpha=0.13,
                        linewidth=0, zorder=1.2)  # fmt: skip


def _boxes(ax: Axes, group: Group, rows: pd.DataFrame, end: float, band: bool) -> None:
    """Draw Turnbull's estimate: a line where it is known, a box where its mass may lie."""
    level, since = 1.0, 0.0
    style: dict[str, Any] = {"color": group.colour, "linewidth": 1.8, "zorder": 3}
    for left, right, mass in rows[["time", "time_right", "mass"]].itertuples(index=False):
        if mass < 1e-9:
            continue
        ax.plot([since, left], [level, level], label=group.label, **style)
        stop = right if np.isfinite(right) else max(end, left)
        after = level - mass if np.isfinite(right) else 0.0
        ax.fill_between([left, stop], after, level, color=group.colour, alpha=0.2, linewidth=0.0,
                        zorder=1.5, label="undetermined")  # fmt: skip
        level, since = after, stop
    if level > 1e-9:
        ax.plot([since, max(end, since)], [level, level], label=group.label, **style)


def _at_risk(
    ax: Axes, made: list[tuple[Group, pd.DataFrame]], label: str = _axes.TIME_LABEL
) -> None:
    """Write the patients at risk at each tick, one row per group, below the axes."""
    low, high = ax.get_xlim()
    ticks = [float(t) for t in ax.get_xticks() if low <= t <= high]
    style: dict[str, Any] = {
        "textcoords": "offset points", "va": "center", "fontsize": _axes.SMALL,
        "annotation_clip": False,
    }  # fmt: skip
    ax.annotate("at risk", (0, 0), xycoords="axes fraction", xytext=(-8, -_FIRST_ROW), ha="right",
                color=_axes.INK, **style)  # fmt: skip
    for i, (group, rows) in enumerate(made):
        if len(made) > 1:
            ax.annotate(_short(group.label), (0, 0), xycoords="axes fraction", ha="right",
                        xytext=(-8, -_FIRST_ROW - _ROW * (i + 1)), color=group.colour,
                        **style)  # fmt: skip
        for tick in ticks:
            ax.annotate(
                str(at_risk(rows, tick)), (tick, 0), xycoords=("data", "axes fraction"),
                xytext=(0, -_FIRST_ROW - _ROW * (i + (len(made) > 1))), ha="center",
                color=group.colour,
                gid="at risk", **style,
            )  # fmt: skip
    ax.set_xlabel(label, color=_axes.INK, fontsize=_axes.BODY,
                  labelpad=16 + _ROW * (len(made) + (len(made) > 1)))  # fmt: skip


def _short(label: str) -> str:
    """Return a group's name for a row of numbers: without its unit, or cut, where it is long."""
    if len(label) <= _LONGEST_ROW:
        return label
    first, _, rest = label.partition(" ")
    if rest and first[0].isdigit():
        return first
    return f"{label[: _LONGEST_ROW - 1].rstrip()}…"


def at_risk(rows: pd.DataFrame, day: float) -> int:
    """Return how many patients of one Kaplan–Meier curve are still at risk just before a day."""
    later = rows[rows["time"] >= day]
    return int(later["n_at_risk"].iloc[0]) if len(later) else 0


def _keys(made: list[tuple[Group, pd.DataFrame]], table: pd.DataFrame, band: bool) -> list[Any]:
    medians = table.attrs.get("median", {})
    values = list(dict.fromkeys(table["group"]))
    keys: list[Any] = []
    for (group, _), value in zip(made, values, strict=True):
        text = group.label
        if value in medians:
            found = medians[value]
            text += "\nmedian " + (
                "not reached" if np.isnan(found) else f"{_text.number(found)} days"
            )
        keys.append(_axes.key(text, color=group.colour, linewidth=2.2))
    if "time_right" in table:
        keys.append(Patch(color=_axes.GREY, alpha=0.3, linewidth=0, label="undetermined"))
    elif (table["n_censored"] > 0).any():
        keys.append(_axes.key("still quantifiable at\nthe last sample", color=_axes.INK, marker="|",
                              markersize=9, markeredgewidth=1.6, linestyle="none"))  # fmt: skip
    if band and "lower" in table:
        share = _text.percent(float(table.attrs.get("confidence", 0.95)))
        keys.append(Patch(color=_axes.GREY, alpha=0.2, linewidth=0, label=f"{share} interval"))
    return keys
