"""Dose and toxicity: the curve with its intervals, and the interval probabilities per dose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from cart_pkpd._core.errors import DataError
from cart_pkpd.plots import _axes, _text
from cart_pkpd.plots._given import drawn_from

_TOLERATED = "#8fb8dc"  # between the pale grey of too little and the orange of too much
_FADED = 0.32


def share_axis(axis: Any, step: float = 0.25) -> None:
    """Write an axis of probabilities in per cent."""
    axis.set_major_locator(FixedLocator(np.arange(0, 1 + 1e-9, step).tolist()))
    axis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=f"{_text.THIN}%"))


def _unit(table: pd.DataFrame) -> str:
    return str(table.attrs.get("units", {}).get("dose", ""))


def _needs(table: pd.DataFrame, columns: set[str], source: str) -> None:
    missing = columns - {str(c) for c in table.columns}
    if missing:
        raise DataError(
            f"the table has no column {', '.join(sorted(missing))}; pass the result of {source}."
        )


@drawn_from("BLRM.curve(data)", kind=pd.DataFrame)
def dose_toxicity(
    curve: pd.DataFrame,
    table: pd.DataFrame | None = None,
    *,
    prior: pd.DataFrame | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the dose–toxicity curve with two intervals, the levels, and what was observed.

    Parameters
    ----------
    curve : pd.DataFrame
        From ``BLRM.curve``.
    table : pd.DataFrame, optional
        ``Decision.table``: levels not eligible are drawn open, observed rates as points with their
        counts.
    prior : pd.DataFrame, optional
        The curve before the first patient, from ``BLRM.curve`` of empty data.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        If the table is not one of ``BLRM.curve``.
    """
    _needs(curve, {"median", "lower_inner", "upper_outer"}, "BLRM.curve")
    ax = _axes.axes(ax, size=(7.8, 4.6))
    x = curve["dose"].to_numpy()
    low, high = curve.attrs["intervals"]
    ax.axhspan(low, high, color=_axes.PALE, alpha=0.55, linewidth=0, zorder=0.5)
    for kind, alpha in (("outer", 0.16), ("inner", 0.3)):
        ax.fill_between(x, curve[f"lower_{kind}"], curve[f"upper_{kind}"], color=_axes.BLUE,
                        alpha=alpha, linewidth=0)  # fmt: skip
    ax.plot(x, curve["median"], color=_axes.BLUE, linewidth=1.9, zorder=3)
    inner, outer = (_text.percent(p) for p in curve.attrs["prob"])
    keys = [
        _axes.key("median", color=_axes.BLUE, linewidth=2.2),
        Patch(color=_axes.BLUE, alpha=0.45, linewidth=0, label=f"{inner} interval"),
        Patch(color=_axes.BLUE, alpha=0.16, linewidth=0, label=f"{outer} interval"),
        Patch(color=_axes.PALE, alpha=0.8, linewidth=0, label=f"target {low:g}–{high:g}"),
    ]
    if prior is not None:
        for name, style in (("median", "-"), ("lower_outer", ":"), ("upper_outer", ":")):
            ax.plot(prior["dose"], prior[name], color=_axes.GREY, linewidth=1.2, linestyle=style)
        keys += [
            _axes.key("prior median", color=_axes.GREY, linewidth=1.4),
            _axes.key(f"prior {outer} interval", color=_axes.GREY, linewidth=1.4, linestyle=":"),
        ]
    if table is not None:
        keys += _levels(ax, curve, table)
    ax.set_xscale("log")
    _axes.level_axis(ax.xaxis, float(x[0]), float(x[-1]))
    if table is not None:
        ax.xaxis.set_major_locator(FixedLocator(table["dose"].tolist()))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: _plain(v)))
    ax.set_xlim(float(x[0]), float(x[-1]))
    ax.set_ylim(-0.075, 1.02)
    share_axis(ax.yaxis)
    _axes.label(ax, _text.with_unit("Dose", _unit(curve)), "Probability of a DLT")
    _axes.legend(ax, keys)
    return ax


def _levels(ax: Axes, curve: pd.DataFrame, table: pd.DataFrame) -> list[Any]:
    """Mark planned levels on the curve and observed rates; return their legend entries."""
    doses = table["dose"].to_numpy(dtype=float)
    at = np.interp(np.log(doses), np.log(curve["dose"]), curve["median"])
    fine = table["eligible"].to_numpy(dtype=bool)
    for mask, face in ((fine, _axes.BLUE), (~fine, "white")):
        ax.plot(doses[mask], at[mask], linestyle="none", marker="o", markersize=7, zorder=4,
                markerfacecolor=face, markeredgecolor=_axes.BLUE, markeredgewidth=1.4)  # fmt: skip
    seen = table["evaluable"].to_numpy() > 0
    rate = table["rate"].to_numpy(dtype=float)
    ax.plot(doses[seen], rate[seen], linestyle="none", marker="D", markersize=8,
            markerfacecolor="none", markeredgecolor=_axes.ORANGE, markeredgewidth=1.8,
            zorder=5)  # fmt: skip
    for d, r, y, n in zip(
        doses[seen], rate[seen], table["dlts"][seen], table["evaluable"][seen], strict=True
    ):
        ax.annotate(f"{y}/{n}", (d, max(r, 0.0)), xytext=(9, -10), textcoords="offset points",
                    fontsize=_axes.SMALL, color=_axes.ORANGE, zorder=5,
                    fontweight="bold")  # fmt: skip
    keys = [
        _axes.key("level, eligible", color=_axes.BLUE, marker="o", markersize=7,
                  linestyle="none"),
        _axes.key("level, not eligible", marker="o", markersize=7, linestyle="none",
                  markerfacecolor="white", markeredgecolor=_axes.BLUE),
        _axes.key("observed DLTs", marker="D", markersize=7, linestyle="none",
                  markerfacecolor="none", markeredgecolor=_axes.ORANGE, markeredgewidth=1.8),
    ]  # fmt: skip
    return [keys[0], *([keys[1]] if (~fine).any() else []), *([keys[2]] if seen.any() else [])]


@drawn_from("BLRM.recommend(data).table", kind=pd.DataFrame)
def dose_intervals(
    table: pd.DataFrame,
    *,
    bound: float | None = None,
    prior: pd.DataFrame | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the probabilities of over-dosing, target and under-dosing, stacked per dose.

    Parameters
    ----------
    table : pd.DataFrame
        ``Decision.table`` of a BLRM, or its ``prior_table()``.
    bound : float, optional
        EWOC bound, drawn as a line that the lowest part of an eligible bar does not pass.
    prior : pd.DataFrame, optional
        ``BLRM.prior_table()``, drawn as a narrow bar to the left of each.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        Bars of doses that are not eligible are faded; the next dose is named below its bar.

    Raises
    ------
    DataError
        If the table has no interval probabilities.
    """
    _needs(table, {"under", "target", "over"}, "BLRM.recommend(...).table")
    ax = _axes.axes(ax, size=(1.9 + 1.15 * max(len(table), 4), 4.4))
    fine = table["eligible" if "eligible" in table else "permitted"].to_numpy(dtype=bool)
    for k, (_, row) in enumerate(table.iterrows()):
        _bar(ax, k + (0.1 if prior is not None else 0.0), 0.56, row, not fine[k])
        if prior is not None:
            _bar(ax, k - 0.33, 0.16, prior.iloc[k], not prior["permitted"].iloc[k], text=False)
    if bound is not None:
        ax.axhline(bound, color=_axes.INK, linewidth=1.2, linestyle=(0, (5, 3)), zorder=4)
    ax.set_xlim(-0.62, len(table) - 0.38)
    ax.set_ylim(0, 1)
    share_axis(ax.yaxis)
    ax.grid(False, axis="x")
    ax.xaxis.set_major_locator(FixedLocator(list(range(len(table)))))
    ax.xaxis.set_minor_locator(NullLocator())
    names = _names(table, fine)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: names[int(v)]))
    _axes.label(ax, _text.with_unit("Dose", _unit(table)), "Posterior probability"
                if "eligible" in table else "Prior probability")  # fmt: skip
    keys: list[Any] = _interval_keys(table)
    if bound is not None:
        keys.append(_axes.key(f"EWOC bound {bound:g}", color=_axes.INK, linewidth=1.2,
                              linestyle=(0, (5, 3))))  # fmt: skip
    if prior is not None:
        keys.append(_axes.key("narrow bars: prior", linestyle="none"))
    _axes.legend(ax, keys, ncols=3)  # more than three beside each other would be cut off
    return ax


def _interval_keys(table: pd.DataFrame) -> list[Any]:
    """Return the legend of the three parts, with the DLT probabilities that divide them."""
    low, high = table.attrs.get("intervals", (None, None))
    limits = ("", "", "") if low is None else (
        f": P(DLT) < {low:g}", f": {low:g} to {high:g}", f": ≥ {high:g}"
    )  # fmt: skip
    parts = {"under-dosing": _axes.PALE, "target": _TOLERATED, "over-dosing": _axes.ORANGE}
    return [
        Patch(color=colour, label=f"{name}{limit}")
        for (name, colour), limit in zip(parts.items(), limits, strict=True)
    ]


def _plain(dose: float) -> str:
    """Return a dose without its unit."""
    return _text.dose(dose, "x").removesuffix(" x")


def _names(table: pd.DataFrame, fine: Any) -> list[str]:
    """Return each dose with what follows of it below."""
    out = []
    for k, (_, row) in enumerate(table.iterrows()):
        text = _plain(float(row["dose"]))
        chosen = bool(row.get("next", False)) or bool(row.get("mtd", False))
        if chosen:
            text += "\nnext" if "next" in table else "\nMTD"
        elif not fine[k]:
            text += "\nnot eligible"
        out.append(text)
    return out


def _bar(ax: Axes, at: float, width: float, row: Any, faded: bool, *, text: bool = True) -> None:
    bottom = 0.0
    for name, colour in (("over", _axes.ORANGE), ("target", _TOLERATED), ("under", _axes.PALE)):
        value = float(row[name])
        ax.bar(at, value, width, bottom=bottom, color=colour, alpha=_FADED if faded else 1.0,
               linewidth=0, zorder=2)  # fmt: skip
        if text and value >= 0.07:
            light = name == "over" and not faded
            ax.annotate(f"{value:.2f}", (at, bottom + value / 2), ha="center", va="center",
                        fontsize=_axes.SMALL, color="white" if light else _axes.INK,
                        zorder=3)  # fmt: skip
        bottom += value
