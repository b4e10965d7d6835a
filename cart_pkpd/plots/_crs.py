"""Cytokine release syndrome: grade along a predictor, incidence of onset, and odds ratios."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from cart_pkpd._core.errors import DataError
from cart_pkpd.plots import _axes, _text
from cart_pkpd.plots._given import drawn_from

_PRIOR = "#c3c8ce"
_NAMES = {"occurrence": "Whether", "grade": "How severe", "onset": "When"}


@drawn_from("crs.response(fitted)")
def crs_response(found: xr.Dataset, *, ncols: int | None = None) -> Figure:
    """Draw the probability of each grade along a predictor, with observed shares.

    Parameters
    ----------
    found : xr.Dataset
        From ``crs.response``.
    ncols : int, optional
        Panels per row; all in one row by default, up to four.

    Returns
    -------
    Figure
        One panel per grade: posterior mean and interval of P(grade ≥ k), the share of patients
        in each group of the predictor with its interval and the numbers behind it, and every
        patient as a tick at 0 or 1.

    Raises
    ------
    DataError
        If the Dataset is not one of ``crs.response``.
    """
    if not {"curve", "observed"} <= set(found.data_vars):
        raise DataError("there is nothing to draw: pass the result of crs.response.")
    grades = [int(k) for k in found["grade"].values]
    n = len(grades)
    figure, panels = _axes.small_multiples(n, ncols or min(n, 4), (3.1, 2.75), common="y")
    for i, (ax, k) in enumerate(zip(panels, grades, strict=True)):
        _response_panel(ax, found, i)
        if n > 1 or not found.attrs.get("outcome"):  # a title above says it of one panel
            _axes.heading(ax, _response_title(found, k))
    unit = str(found["x"].attrs.get("units", ""))
    label = _text.with_unit(_text.sentence(str(found["x"].attrs["long_name"])), unit)
    others = str(found.attrs["others"])
    _axes.shared_labels(figure, label + (f"; others at their median: {others}" if others else ""),
                        "Probability")  # fmt: skip
    _axes.figure_legend(figure, _response_keys(float(found.attrs["prob"])),
                        ncols=min(n, 2))  # fmt: skip
    return figure


def _response_title(found: xr.Dataset, grade: int) -> str:
    outcome = found.attrs.get("outcome")
    if outcome:
        return outcome if found.attrs["part"] == "occurrence" else f"{outcome} ≥ {grade}"
    if found.attrs["part"] == "occurrence":
        return "CRS of any grade"
    given = " given CRS" if found.attrs["given_crs"] else ""
    return f"Grade ≥ {grade}{given}"


def _response_panel(ax: Axes, found: xr.Dataset, i: int) -> None:
    x, curve = found["x"].values, found["curve"].values[i]
    if found.attrs["scale"] in ("is", "order"):
        ax.errorbar(x, curve[:, 0], yerr=_bars(curve), color=_axes.BLUE, marker="s", capsize=0,
                    linestyle="none", markersize=5)  # fmt: skip
    else:
        ax.fill_between(x, curve[:, 1], curve[:, 2], color=_axes.BLUE, alpha=0.18, linewidth=0)
        ax.plot(x, curve[:, 0], color=_axes.BLUE, linewidth=1.8)
    at, seen = found["group_value"].values, found["observed"].values[i]
    ax.errorbar(at, seen[:, 0], yerr=_bars(seen), color=_axes.ORANGE, marker="o", markersize=5,
                linestyle="none", linewidth=1.3, zorder=4)  # fmt: skip
    sides = _sides(at, x, found.attrs["scale"])
    for g, (a, top) in enumerate(zip(at, seen[:, 2], strict=True)):
        text = f"{int(found['events'].values[i, g])}/{int(found['count'].values[g])}"
        low = top > 0.9  # no room above
        ax.annotate(text, (a, seen[g, 1] if low else top), xytext=(0, -4 if low else 3),
                    textcoords="offset points", ha=sides[g], va="top" if low else "bottom",
                    fontsize=_axes.SMALL - 1.5, color=_axes.ORANGE)  # fmt: skip
    _patients(ax, found, int(found["grade"].values[i]))
    ax.set_ylim(-0.09, 1.09)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1])
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=f"{_text.THIN}%"))
    if found.attrs["scale"] == "log":
        ax.set_xscale("log")
        _axes.level_axis(ax.xaxis, float(x[0]), float(x[-1]))
        ax.set_xlim(float(x[0]), float(x[-1]))
    elif found.attrs["scale"] == "is":
        ax.set_xticks([0, 1], ["no", "yes"])
        ax.set_xlim(-0.5, 1.5)


def _sides(at: Any, x: Any, scale: str) -> list[str]:
    """Return to which side of its bar each count is written, so that neighbours do not touch."""
    place = np.log(at) if scale == "log" else np.asarray(at, dtype=float)
    ends = np.log(x) if scale == "log" else np.asarray(x, dtype=float)
    near = np.diff(place) < 0.11 * np.ptp(ends)
    left, right = np.append(near, False), np.insert(near, 0, False)
    return np.select([left & ~right, right & ~left], ["right", "left"], "center").tolist()


def _bars(values: Any) -> Any:
    """Return the lengths of error bars from (middle, lower, upper)."""
    return np.maximum(np.abs(values[:, 1:] - values[:, :1]).T, 0.0)


def _patients(ax: Axes, found: xr.Dataset, grade: int) -> None:
    had = found["patient_outcome"].values >= grade
    for at, chosen in ((1.05, had), (-0.05, ~had)):
        x = found["patient_value"].values[chosen]
        ax.plot(x, np.full(x.size, at), linestyle="none", marker="|", markersize=6,
                markeredgewidth=0.9, color=_axes.INK, alpha=0.7, zorder=3)  # fmt: skip


def _response_keys(prob: float) -> list[Any]:
    share = _text.percent(prob)
    return [
        _axes.key(f"model, mean and {share} interval", color=_axes.BLUE, linewidth=2.2),
        _axes.key(f"observed in groups of patients, {share} interval", color=_axes.ORANGE,
                  marker="o", markersize=5, linewidth=1.3),
        _axes.key("a patient with (above) or without (below)", color=_axes.INK, marker="|",
                  markersize=6, linestyle="none"),
    ]  # fmt: skip


@drawn_from("crs.incidence(fitted)")
def crs_incidence(found: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the cumulative incidence of the onset of CRS, observed and predicted.

    Parameters
    ----------
    found : xr.Dataset
        From ``crs.incidence``.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        Predicted mean over patients with its interval, observed steps (one minus Kaplan–Meier)
        with theirs, and the number still without CRS at each tick.

    Raises
    ------
    DataError
        If the Dataset is not one of ``crs.incidence``.
    """
    if not {"predicted", "observed"} <= set(found.data_vars):
        raise DataError("there is nothing to draw: pass the result of crs.incidence.")
    ax = _axes.axes(ax, size=(7.2, 4.6))
    day, p = found["day"].values, found["predicted"].values
    time, seen = found["time"].values, found["observed"].values
    if seen[-1, 0] == 1.0:  # nobody is left, so the curve stays where it is
        time, seen = np.append(time, day[-1]), np.vstack([seen, seen[-1]])
    _axes.time_axis(ax, float(day[0]), float(max(day[-1], time[-1])))
    ax.fill_between(day, p[:, 1], p[:, 2], color=_axes.BLUE, alpha=0.18, linewidth=0)
    ax.plot(day, p[:, 0], color=_axes.BLUE, linewidth=1.8)
    lower, upper = (np.where(np.isfinite(seen[:, k]), seen[:, k], seen[:, 0]) for k in (1, 2))
    for edge in (lower, upper):  # lines, not a second band: two bands mix into a third colour
        ax.plot(time, edge, drawstyle="steps-post", color=_axes.ORANGE, linewidth=0.9,
                linestyle=(0, (4, 2)))  # fmt: skip
    ax.plot(time, seen[:, 0], drawstyle="steps-post", color=_axes.ORANGE, linewidth=1.8)
    ax.set_ylim(0, min(1.03, 1.12 * max(upper.max(), p.max())))
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=f"{_text.THIN}%"))
    _axes.label(ax, y="Patients with CRS so far")
    _risk_row(ax, found)
    share = _text.percent(float(found.attrs["prob"]))
    _axes.legend(ax, [
        _axes.key(f"model, mean and {share} interval", color=_axes.BLUE, linewidth=2.2),
        _axes.key("observed", color=_axes.ORANGE, linewidth=2.2),
            _axes.key(f"its {share} interval", color=_axes.ORANGE, linewidth=0.9,
                      linestyle=(0, (4, 2))),
    ])  # fmt: skip
    return ax


def _risk_row(ax: Axes, found: xr.Dataset) -> None:
    """Write the patients still at risk below the day ticks."""
    low, high = ax.get_xlim()
    time, count = found["time"].values, found["at_risk"].values
    style: dict[str, Any] = {
        "textcoords": "offset points", "va": "center", "fontsize": _axes.SMALL,
        "annotation_clip": False, "color": _axes.GREY,
    }  # fmt: skip
    ax.annotate("at risk", (0, 0), xycoords="axes fraction", xytext=(-8, -33), ha="right", **style)
    for tick in (t for t in ax.get_xticks() if low <= t <= high):
        later = np.flatnonzero(time >= tick)
        n = int(count[later[0]]) if later.size else 0
        ax.annotate(str(n), (tick, 0), xycoords=("data", "axes fraction"), xytext=(0, -33),
                    ha="center", gid="at risk", **style)  # fmt: skip
    ax.set_xlabel(_axes.TIME_LABEL, color=_axes.INK, fontsize=_axes.BODY, labelpad=24)


@drawn_from("fitted.odds_ratios()", "change", kind=pd.DataFrame)
def crs_odds_ratios(table: pd.DataFrame, *, change: str = "2-fold", ax: Axes | None = None) -> Axes:
    """Draw odds ratios and hazard ratios of all predictors in one forest.

    Parameters
    ----------
    table : pd.DataFrame
        From ``CrsResult.odds_ratios``.
    change : {"2-fold", "10-fold"}
        For which change of predictors on the log scale; the others keep their own.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        One row per predictor: posterior median and interval on a log axis, prior interval behind
        it, and the numbers beside.

    Raises
    ------
    DataError
        If the table has no predictor.
    """
    rows = table[~table["change"].isin({"2-fold", "10-fold"} - {change})] if len(table) else table
    if rows.empty:
        raise DataError("the layer has no predictor: there is no ratio to draw.")
    ax = _axes.axes(ax, size=(8.2, 1.5 + 0.42 * len(rows)))
    places = np.arange(len(rows))[::-1]
    for at, (_, row) in zip(places, rows.iterrows(), strict=True):
        _ratio_row(ax, float(at), row)
    ends = rows[["lower", "upper", "prior_lower", "prior_upper"]].to_numpy()
    low, high = ends.min() / 1.15, ends.max() * 1.15
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    _ratio_ticks(ax, low, high)
    ax.axvline(1, color=_axes.GREY, linewidth=0.9, zorder=1)
    ax.set_yticks(places, [_ratio_name(r) for _, r in rows.iterrows()], fontsize=_axes.SMALL)
    for text in ax.get_yticklabels():
        text.set_color(_axes.INK)
    ax.set_ylim(-0.7, len(rows) - 0.3)
    ax.grid(False, axis="y")
    _axes.label(
        ax, "Odds ratio (hazard ratio for when); right of 1: more, more severe, or earlier CRS"
    )
    share = _text.percent(float(table.attrs.get("prob", math.nan)))
    _axes.legend(ax, [
        _axes.key(f"posterior median and {share} interval", color=_axes.BLUE, linewidth=2.4,
                  marker="o", markersize=5),
        _axes.key(f"prior {share} interval", color=_PRIOR, linewidth=7),
    ], ncols=2)  # fmt: skip
    return ax


def _ratio_ticks(ax: Axes, low: float, high: float) -> None:
    """Put ticks at ratios that mirror each other about 1: 1/2 and 2, 1/10 and 10."""
    if high / low > 300:
        _axes.level_axis(ax.xaxis, low, high)
        return
    powers = 2.0 ** np.arange(-8, 9)
    ax.xaxis.set_major_locator(FixedLocator([v for v in powers if low <= v <= high]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.3g}"))
    ax.xaxis.set_minor_locator(NullLocator())


def _ratio_name(row: pd.Series[Any]) -> str:
    return f"{_NAMES[row['part']]}: {row['label']}, {row['change']}"


def _ratio_row(ax: Axes, at: float, row: pd.Series[Any]) -> None:
    ax.plot([row["prior_lower"], row["prior_upper"]], [at, at], color=_PRIOR, linewidth=7,
            solid_capstyle="butt", zorder=2)  # fmt: skip
    ax.plot([row["lower"], row["upper"]], [at, at], color=_axes.BLUE, linewidth=2.4,
            solid_capstyle="butt", zorder=3)  # fmt: skip
    ax.plot([row["median"]], [at], marker="o", markersize=5.5, color=_axes.BLUE, zorder=4)
    text = f"{_text.number(row['median'])} ({_text.interval(row['lower'], row['upper'])})"
    ax.annotate(text, (1, at), xycoords=("axes fraction", "data"), xytext=(6, 0),
                textcoords="offset points", va="center", fontsize=_axes.SMALL,
                color=_axes.INK)  # fmt: skip
