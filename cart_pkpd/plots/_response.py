"""Tumour response: waterfall of best changes, and spider of courses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from cart_pkpd._core.errors import DataError
from cart_pkpd.plots import _axes, _groups, _text

_LIMITS = (-30.0, 20.0)  # RECIST 1.1: PR from the baseline, PD from the nadir [%]
_REFERENCE: dict[str, Any] = {"color": _axes.GREY, "linewidth": 0.9, "linestyle": (0, (4, 3))}
_NEW: dict[str, Any] = {"marker": "*", "markersize": 10, "linestyle": "none", "zorder": 5,
                        "markeredgecolor": "white", "markeredgewidth": 0.6,
                        "color": _axes.INK}  # fmt: skip
_WORSE: dict[str, Any] = {"marker": "X", "markersize": 7, "linestyle": "none", "zorder": 5,
                          "markeredgecolor": "white", "markeredgewidth": 0.7}  # fmt: skip


_BEHIND = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}


def waterfall(
    best: pd.DataFrame,
    trial: xr.Dataset | None = None,
    *,
    by: str | None = "dose_level",
    cap: float = 100.0,
    ax: Axes | None = None,
) -> Axes:
    """Draw every patient's best change of the sum of diameters from the baseline.

    Parameters
    ----------
    best : DataFrame
        From ``endpoints.best_response``.
    trial : xr.Dataset, optional
        The trial, for groups of patients.
    by : str or None
        Patient-level variable that colours the bars; None for one colour.
    cap : float
        Increases are drawn up to this, with their number. [%]
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        Bars from the worst to the best, with the confirmed best response of each, a star where
        a new lesion was progression, and lines at +20 and −30 %. Patients without a
        change are counted below the axis.

    Raises
    ------
    DataError
        If `best` is no table of ``endpoints.best_response``, or nobody has a change.
    """
    _need(best, ("best_pct", "confirmed", "pd_by"), "endpoints.best_response")
    shown = best[best["best_pct"].notna()].sort_values("best_pct", ascending=False, kind="stable")
    if shown.empty:
        raise DataError("there is nothing to draw: no patient has a change of the sum.")
    ax = _axes.axes(ax, size=(max(6.8, 0.27 * len(shown) + 1.4), 4.4))
    groups = patient_groups(trial, by, shown["id"])
    colour = {p: g.colour for g in groups for p in g.patients}
    height = np.minimum(shown["best_pct"].to_numpy(), cap)
    ax.bar(range(len(shown)), height, width=0.78, color=[colour[p] for p in shown["id"]])
    _limits(ax)
    for i, (row, top) in enumerate(zip(shown.itertuples(), height, strict=True)):
        _bar_marks(ax, i, row, float(top), cap)
    ax.axhline(0, color=_axes.INK, linewidth=0.9)
    ax.set_xticks(range(len(shown)), list(shown["id"]), rotation=90, fontsize=_axes.SMALL - 1.5)
    ax.grid(False, axis="x")
    ax.set_xlim(-0.7, len(shown) - 0.3)
    ax.set_ylim(min(-42.0, float(height.min()) - 12), max(32.0, float(height.max()) + 14))
    _axes.label(ax, _left_out(best), "Best change of the sum of diameters (%)")
    keys: list[Any] = [
        Patch(color=g.colour, label=g.label) for g in groups if by and trial is not None
    ]
    if shown["pd_by"].str.contains("new lesion", na=False).any():
        keys.append(_axes.key("progression by a new lesion", **_NEW))
    _axes.legend(ax, [*keys, _limit_key()], ncols=3)
    return ax


def _bar_marks(ax: Axes, x: int, row: Any, top: float, cap: float) -> None:
    down = top < 0
    text = {"NON-CR/NON-PD": "non-\nCR", "MISSING": ""}.get(row.confirmed, row.confirmed)
    if row.best_pct > cap:
        text = f"{row.best_pct:+.0f}\n{text}"
    ax.annotate(text, (x, top), xytext=(0, -3 if down else 3), textcoords="offset points",
                ha="center", va="top" if down else "bottom", fontsize=_axes.SMALL - 2,
                color=_axes.INK, bbox=_BEHIND)  # fmt: skip
    if "new lesion" in row.pd_by:
        ax.plot([x], [6.0 if down else -6.0], **_NEW)


def _left_out(best: pd.DataFrame) -> str:
    n = int(best["best_pct"].isna().sum())
    text = "Letters: confirmed best overall response"
    if not n:
        return text
    return f"{text}\n{_text.count(n, 'patient')} without a complete sum after the baseline"


def _limit_key() -> Any:
    down, up = _LIMITS
    return _axes.key(f"{up:+g} and {down:g}{_text.THIN}%".replace("-", "−"), **_REFERENCE)


def _limits(ax: Axes) -> None:
    for level in _LIMITS:
        ax.axhline(level, zorder=1, **_REFERENCE)


def spider(
    timepoints: pd.DataFrame,
    trial: xr.Dataset | None = None,
    *,
    by: str | None = "dose_level",
    cap: float = 150.0,
    ax: Axes | None = None,
) -> Axes:
    """Draw the course of every patient's sum of diameters as change from the baseline.

    Parameters
    ----------
    timepoints : DataFrame
        From ``endpoints.recist``.
    trial : xr.Dataset, optional
        The trial, for groups of patients.
    by : str or None
        Patient-level variable that colours the lines; None for one colour.
    cap : float
        Larger changes are drawn here, with their number. [%]
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        A line per patient through the assessments with a complete sum; a cross at the first
        progression, a star there if a new lesion was (part of) it, lines at +20 and −30 %.

    Raises
    ------
    DataError
        If `timepoints` is no table of ``endpoints.recist``, or holds no sum.
    """
    _need(timepoints, ("pct_baseline", "overall", "new"), "endpoints.recist")
    known = timepoints[timepoints["pct_baseline"].notna()]
    if known.empty:
        raise DataError("there is nothing to draw: no patient has a change of the sum.")
    ax = _axes.axes(ax, size=(7.6, 4.6))
    groups = patient_groups(trial, by, timepoints["id"].drop_duplicates())
    for group in groups:
        for patient in group.patients:
            _course(ax, timepoints[timepoints["id"] == patient], group.colour, cap)
    _limits(ax)
    ax.axhline(0, color=_axes.INK, linewidth=0.8, zorder=1)
    _axes.time_axis(ax, float(known["day"].min()), float(known["day"].max()))
    low, high = float(known["pct_baseline"].min()), float(known["pct_baseline"].max())
    ax.set_ylim(max(-104.0, min(low, -30) - 8), min(cap, max(high, 20)) + 8)
    _axes.label(ax, _axes.TIME_LABEL, "Change of the sum of diameters (%)")
    keys = [
        _axes.key(g.label, color=g.colour, linewidth=1.8)
        for g in groups
        if by and trial is not None
    ]
    keys += [_axes.key("progression", color=_axes.GREY, **_WORSE),
             _axes.key("progression by a new lesion", **_NEW), _limit_key()]  # fmt: skip
    _axes.legend(ax, keys, ncols=3)
    return ax


def _course(ax: Axes, own: pd.DataFrame, colour: str, cap: float) -> None:
    seen = own[own["pct_baseline"].notna()]
    ax.plot(seen["day"], seen["pct_baseline"].clip(upper=cap), color=colour, linewidth=1.3,
            marker="o", markersize=3.2, alpha=0.9, zorder=3)  # fmt: skip
    for day, change in zip(seen["day"], seen["pct_baseline"], strict=True):
        if change > cap:
            ax.annotate(f"{change:+.0f}{_text.THIN}%", (day, cap), xytext=(7, 0), va="center",
                        textcoords="offset points", fontsize=_axes.SMALL - 1)  # fmt: skip
    worse = own[own["overall"] == "PD"]
    if worse.empty:
        return
    first = worse.iloc[0]
    x, y = float(first["day"]), float(first["pct_baseline"])
    if np.isnan(y):  # progression without a complete sum stands at the last one before
        before = seen.loc[seen["day"] < x, "pct_baseline"]
        y = float(before.iloc[-1]) if len(before) else 0.0
    style = _NEW if first["new"] else {**_WORSE, "color": colour}
    ax.plot([x], [min(y, cap)], **style)


def patient_groups(
    trial: xr.Dataset | None, by: str | None, patients: pd.Series
) -> list[_groups.Group]:
    """Return the patients of a table in groups of the trial, in the trial's order.

    Raises
    ------
    DataError
        If the trial lacks a patient of the table.
    """
    if trial is not None and not isinstance(trial, xr.Dataset):
        raise DataError("trial= must be the trial Dataset, from data.read_table, not a table.")
    wanted = [str(p) for p in patients]
    if trial is None or by is None:
        return [_groups.Group("all patients", _axes.BLUE, tuple(wanted))]
    made = [
        _groups.Group(g.label, g.colour, tuple(p for p in g.patients if p in set(wanted)))
        for g in _groups.groups(trial, by)
    ]
    strange = set(wanted).difference(*(g.patients for g in made))
    if strange:
        raise DataError(f"patient {min(strange)} is not in the trial; pass the trial of the table.")
    return [g for g in made if g.patients]


def _need(table: pd.DataFrame, columns: tuple[str, ...], source: str) -> None:
    if not set(columns) <= set(getattr(table, "columns", ())):
        raise DataError(f"there is nothing to draw: pass the table of {source}.")
