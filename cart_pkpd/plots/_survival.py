"""Survival curves by group, with bands, censoring, and the patients at risk."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import last_day
from cart_pkpd._endpoints.survival import KaplanMeier
from cart_pkpd.plots import _axes, _text
from cart_pkpd.plots._groups import Group
from cart_pkpd.plots._persistence import _at_risk, _groups, _steps

_LABELS = {
    "PFS": "Progression-free survival", "OS": "Overall survival",
    "DOR": "Patients still in response", "TTR": "Patients without response yet",
}  # fmt: skip
_STEPS = (1, 2, 3, 6, 12, 24)


def survival(
    found: KaplanMeier,
    *,
    unit: str = "cells",
    last: float | None = None,
    band: bool | None = None,
    start: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw Kaplan–Meier curves with their bands and the patients at risk.

    Parameters
    ----------
    found : KaplanMeier
        From ``endpoints.kaplan_meier``.
    unit : str
        Unit of groups that are doses; numbers below 1,000 are taken as labels of dose levels.
    last : float, optional
        Draw up to this month only. [month]
    band : bool, optional
        Shade the log(−log) bands; by default for one or two groups, as more cover each other.
    start : str
        From what the time counts; the infusion, or the landmark of a landmark analysis, by default.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        Steps with a tick where a patient is censored; medians in the legend; below, the patients
        at risk at every tick.

    Raises
    ------
    DataError
        If it is no result of ``endpoints.kaplan_meier``.
    """
    if not isinstance(found, KaplanMeier):
        raise DataError("there are no curves to draw: pass the result of endpoints.kaplan_meier.")
    ax = _axes.axes(ax, size=(8.6, 4.4))
    in_months = found.curve.assign(time=found.curve["months"])
    last_day(last)
    end = float(in_months["time"].max()) * 1.02 if last is None else last
    made = list(_groups(in_months, unit))
    shaded = len(made) <= 2 if band is None else band
    _month_axis(ax, end)
    for group, rows in made:
        _steps(ax, group, rows, end, shaded)
    ax.axhline(0.5, color=_axes.GREY, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
    ax.set_ylim(0.0, 1.03)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=f"{_text.THIN}%"))
    _axes.label(ax, None, _LABELS.get(found.endpoint, found.endpoint or "Without event"))
    since = start or ("landmark" if found.by == "by_landmark" else "infusion")
    _at_risk(ax, made, f"Time since {since} (months)")
    _axes.side_legend(ax, _keys(found, made, shaded), "")
    return ax


def _month_axis(ax: Axes, end: float) -> None:
    step = next((s for s in _STEPS if end / s <= 9), 24)
    ax.set_xlim(-0.015 * end, end * 1.01)
    ax.xaxis.set_major_locator(FixedLocator(np.arange(0, end * 1.001, step).tolist()))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _keys(found: KaplanMeier, made: list[tuple[Group, pd.DataFrame]], band: bool) -> list[Any]:
    keys: list[Any] = [
        _axes.key(
            f"{group.label}\n{_median(row, found.confidence)}", color=group.colour, linewidth=2.2
        )
        for (group, _), row in zip(made, found.summary.to_dict("records"), strict=True)
    ]
    reached = found.summary["median"].notna()
    if found.summary.loc[reached, ["median_lower", "median_upper"]].isna().any(axis=None):
        keys.append(_axes.key("NR: not reached", linestyle="none"))
    if (found.curve["n_censored"] > 0).any():
        keys.append(_axes.key("censored", color=_axes.INK, marker="|", markersize=9,
                              markeredgewidth=1.6, linestyle="none"))  # fmt: skip
    if band:
        share = _text.percent(found.confidence)
        keys.append(Patch(color=_axes.GREY, alpha=0.2, linewidth=0, label=f"{share} interval"))
    return keys


def _median(row: dict[Any, Any], confidence: float) -> str:
    event = "event" if row["events"] == 1 else "events"
    counted = f"{row['events']} {event} of {row['n']},\nmedian "
    if np.isnan(row["median"]):
        return counted + "not reached"
    ends = ["NR" if np.isnan(row[k]) else f"{row[k]:.1f}" for k in ("median_lower", "median_upper")]
    share = _text.percent(confidence)
    return f"{counted}{row['median']:.1f} months\n({share} CI {ends[0]}–{ends[1]})"
