"""Exposure and cytokines by dose, and DLTs by dose and by exposure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.names import label as endpoint_name
from cart_pkpd._dose.chained import ChainResult
from cart_pkpd._dose.exposure import DoseExposure
from cart_pkpd._dose.free import OrderFree
from cart_pkpd._dose.measured import ABOVE, BELOW, EXACT
from cart_pkpd.plots import _axes, _text
from cart_pkpd.plots._dose import share_axis
from cart_pkpd.plots._given import drawn_from
from cart_pkpd.plots._groups import dose_colours

type Floats = NDArray[np.float64]

_GREEN = "#00755e"
_POINTS = 61


@drawn_from("dose.exposure(params, trial)", kind=(DoseExposure, ChainResult))
def exposure_power(
    found: DoseExposure | ChainResult, *, prob: float = 0.9, ax: Axes | None = None
) -> Axes:
    """Draw every patient's exposure over the administered dose, with the power model.

    Parameters
    ----------
    found : DoseExposure or ChainResult
        From ``dose.exposure`` or ``dose.chain``.
    prob : float
        Probability of the intervals.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        Log axes: typical exposure with its interval, the interval of a new patient, and a line of
        slope 1 (proportional to dose) through the middle. Open triangles are bounds. Of a chain,
        patients with a DLT are filled in orange.
    """
    ax = _axes.axes(ax, size=(7.4, 4.6))
    rows, unit, dose_unit, name = _exposures(found)
    x = _span(rows["dose"])
    if isinstance(found, ChainResult):
        table = found.exposure_per_dose(x.tolist(), prob=prob)
    else:
        table = found.per_dose(x.tolist())
        prob = found.prob
    _band(ax, x, table)
    middle = np.sqrt(x[0] * x[-1])
    level = np.interp(np.log(middle), np.log(x), np.log(table["median"]))
    ax.plot(x, np.exp(level) * x / middle, color=_axes.GREY, linewidth=1.0, linestyle=(0, (4, 3)),
            zorder=1.5)  # fmt: skip
    keys = _dots(ax, rows)
    shown = rows["level"].to_numpy()
    _axes.log_levels(ax, [*shown, *table["predicted_lower"], *table["predicted_upper"]])
    _dose_axis(ax, x, rows["planned"], dose_unit)
    _axes.label(ax, y=_text.with_unit(name, unit))
    share = _text.percent(prob)
    _axes.legend(ax, [
        _axes.key("typical", color=_axes.BLUE, linewidth=2.2),
        Patch(color=_axes.BLUE, alpha=0.4, linewidth=0, label=f"its {share} interval"),
        Patch(color=_axes.BLUE, alpha=0.13, linewidth=0, label=f"new patient, {share}"),
        _axes.key("proportional to dose", color=_axes.GREY, linewidth=1.2, linestyle=(0, (4, 3))),
        *keys,
    ])  # fmt: skip
    return ax


def _exposures(found: DoseExposure | ChainResult) -> tuple[pd.DataFrame, str, str, str]:
    """Return dose, planned, level, status and dlt of patients; units; name of the exposure."""
    if isinstance(found, ChainResult):
        p = found.patients
        frame = pd.DataFrame(
            {
                "dose": p["dose"].values, "planned": p["dose_level"].values,
                "level": np.exp(p["exposure"].values),
                "status": p["exposure_status"].values.astype(str), "dlt": p["dlt"].values,
            }
        )  # fmt: skip
        name = str(p.attrs["exposure_label"])
        return _known(frame), found.exposure_unit, found.unit, name
    m = found.measured
    frame = pd.DataFrame(
        {
            "dose": m.dose, "planned": np.where(np.isfinite(m.level), m.level, m.dose),
            "level": np.exp(m.value), "status": m.status.astype(str), "dlt": np.nan,
        }
    )  # fmt: skip
    return _known(frame), m.unit, m.dose_unit, m.label


def _known(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[(frame["dose"] > 0) & np.isfinite(frame["level"])]


def _span(amounts: Iterable[float]) -> Floats:
    """Return doses over the range of the data and a little beyond."""
    given = np.asarray(list(amounts), dtype=float)
    return np.geomspace(given.min() / 1.4, given.max() * 1.4, _POINTS)


def _band(ax: Axes, x: Floats, table: pd.DataFrame) -> None:
    ax.fill_between(x, table["predicted_lower"], table["predicted_upper"], color=_axes.BLUE,
                    alpha=0.13, linewidth=0, zorder=0.6)  # fmt: skip
    ax.fill_between(x, table["lower"], table["upper"], color=_axes.BLUE, alpha=0.28, linewidth=0,
                    zorder=0.7)  # fmt: skip
    ax.plot(x, table["median"], color=_axes.BLUE, linewidth=1.9, zorder=2)


def _dots(ax: Axes, rows: pd.DataFrame, size: float = 6.0) -> list[Any]:
    """Draw patients and return their legend entries: measured, bounds, and with a DLT."""
    keys = []
    had = rows["dlt"].to_numpy(dtype=float) == 1
    for status, marker, text in (
        (EXACT, "o", "patient"), (BELOW, "v", "below this level"), (ABOVE, "^", "above this level"),
    ):  # fmt: skip
        here = rows["status"].to_numpy() == status
        if not here.any():
            continue
        for chosen, colour in ((here & ~had, _axes.INK), (here & had, _axes.ORANGE)):
            face = colour if status == EXACT else "white"
            ax.plot(rows["dose"].to_numpy()[chosen], rows["level"].to_numpy()[chosen],
                    linestyle="none", marker=marker, markersize=size, color=colour, alpha=0.8,
                    markerfacecolor=face, markeredgecolor=colour, zorder=4)  # fmt: skip
        keys.append(_axes.key(text, linestyle="none", marker=marker, markersize=size,
                              markerfacecolor=_axes.INK if status == EXACT else "white",
                              markeredgecolor=_axes.INK))  # fmt: skip
    if had.any():
        keys.append(_axes.key("patient with a DLT", color=_axes.ORANGE, linestyle="none",
                              marker="o", markersize=size))  # fmt: skip
    return keys


def _dose_axis(
    ax: Axes, x: Floats, planned: Iterable[float], unit: str, *, named: bool = True
) -> None:
    """Give the x axis a log scale with the planned doses as ticks."""
    ax.set_xscale("log")
    ax.set_xlim(float(x[0]), float(x[-1]))
    levels = np.unique(np.asarray(list(planned), dtype=float))
    levels = levels[np.isfinite(levels)]
    ax.xaxis.set_major_locator(FixedLocator(levels.tolist()))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: _text.dose(v, " ").strip()))
    if named:
        _axes.label(ax, x=_text.with_unit("Administered dose", unit))


@drawn_from("dose.chain(trial)", kind=ChainResult)
def peaks_by_dose(result: ChainResult, *, prob: float = 0.9, ncols: int = 3) -> Figure:
    """Draw the cytokine peak of every patient over the administered dose, one panel each.

    Parameters
    ----------
    result : ChainResult
        From ``dose.chain``.
    prob : float
        Probability of the intervals.
    ncols : int
        Panels per row.

    Returns
    -------
    Figure
        Log axes; the model's typical peak and its interval, the interval of a new patient, and the
        LLOQ as a dashed line. Open triangles are peaks known only to be below or above.

    Raises
    ------
    DataError
        If the chain has no cytokines.
    """
    names = result.links.cytokines
    if not names:
        raise DataError("the chain has no cytokines: there is nothing to draw.")
    p = result.patients
    figure, panels = _axes.small_multiples(len(names), ncols, (2.95, 2.3), common="x")
    amounts = p["dose"].values.astype(float)
    x = _span(amounts)
    fitted = result.peaks_per_dose(x.tolist(), prob=prob)
    seen: set[str] = set()
    for ax, name in zip(panels, names, strict=True):
        mine = p.sel(cytokine=name)
        table = pd.DataFrame(fitted.xs(name, level="cytokine"))
        _band(ax, x, table)
        rows = pd.DataFrame(
            {
                "dose": amounts, "level": np.exp(mine["peak"].values),
                "status": mine["peak_status"].values.astype(str), "dlt": p["dlt"].values,
            }
        )  # fmt: skip
        rows = _known(rows)
        seen |= set(rows["status"])
        _dots(ax, rows, size=4.4)
        lloq = float(mine["lloq"])
        levels = [*rows["level"], *table["predicted_lower"], *table["predicted_upper"]]
        _axes.log_levels(ax, [*levels, *([lloq] if np.isfinite(lloq) else [])])
        _axes.quantification_limit(ax, np.array([lloq]))
        _dose_axis(ax, x, p["dose_level"].values, "", named=False)
        _axes.heading(ax, _text.with_unit(endpoint_name(name), str(mine["unit"].item())))
    _axes.shared_labels(figure, _text.with_unit("Administered dose", result.unit),
                        "Peak to day 28")  # fmt: skip
    _axes.figure_legend(figure, _peak_keys(seen, prob, p["dlt"].values), ncols=4)
    return figure


def _peak_keys(seen: set[str], prob: float, dlt: Floats) -> list[Any]:
    share = _text.percent(prob)
    keys = [
        _axes.key("typical", color=_axes.BLUE, linewidth=2.2),
        Patch(color=_axes.BLUE, alpha=0.4, linewidth=0, label=f"its {share} interval"),
        Patch(color=_axes.BLUE, alpha=0.13, linewidth=0, label=f"new patient, {share}"),
        _axes.key("LLOQ", **_axes.LLOQ_STYLE),
        _axes.key("patient", color=_axes.INK, marker="o", markersize=4.6, linestyle="none"),
    ]
    if (dlt == 1).any():
        keys.append(_axes.key("with a DLT", color=_axes.ORANGE, marker="o", markersize=4.6,
                              linestyle="none"))  # fmt: skip
    if BELOW in seen:
        keys.append(_axes.key("below this level", marker="v", markersize=5,
                              markeredgecolor=_axes.INK, **_axes.OPEN))  # fmt: skip
    if ABOVE in seen:
        keys.append(_axes.key("above this level", marker="^", markersize=5,
                              markeredgecolor=_axes.INK, **_axes.OPEN))  # fmt: skip
    return keys


@drawn_from("dose.chain(trial)", kind=ChainResult)
def dlt_by_dose(
    result: ChainResult,
    *,
    curve: pd.DataFrame | None = None,
    free: OrderFree | None = None,
    target: tuple[float, float] | None = None,
    prob: float = 0.9,
    ax: Axes | None = None,
) -> Axes:
    """Draw P(DLT) by dose: averaged over exposure, beside the curve of dose alone and no curve.

    Parameters
    ----------
    result : ChainResult
        From ``dose.chain``.
    curve : pd.DataFrame, optional
        From ``BLRM.curve``: columns dose and median or mean.
    free : OrderFree, optional
        From ``dose.order_free``; without it the observed counts stand along the lower edge.
    target : (float, float), optional
        Target interval, shaded.
    prob : float
        Probability of the interval of the averaged curve.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
    """
    ax = _axes.axes(ax, size=(7.6, 4.6))
    x = _span(result.doses)
    table = result.per_dose(x.tolist(), prob=prob)
    share = _text.percent(prob)
    keys: list[Any] = []
    if target is not None:
        ax.axhspan(*target, color=_axes.PALE, alpha=0.55, linewidth=0, zorder=0.5)
        words = f"target {target[0]:g}–{target[1]:g}"
        keys.append(Patch(color=_axes.PALE, alpha=0.8, linewidth=0, label=words))
    ax.fill_between(x, table["lower"], table["upper"], color=_axes.BLUE, alpha=0.2, linewidth=0)
    ax.plot(x, table["mean"], color=_axes.BLUE, linewidth=2.0, zorder=3)
    keys += [
        _axes.key("averaged over exposure, mean", color=_axes.BLUE, linewidth=2.2),
        Patch(color=_axes.BLUE, alpha=0.3, linewidth=0, label=f"its {share} interval"),
    ]
    if curve is not None:
        column = "mean" if "mean" in curve else "median"
        at = curve.get("dose", curve.index)
        ax.plot(at, curve[column], color=_GREEN, linewidth=1.8, linestyle=(0, (6, 2)), zorder=3)
        keys.append(_axes.key(f"curve of dose alone, {column}", color=_GREEN, linewidth=2.0,
                              linestyle=(0, (6, 2))))  # fmt: skip
    ax.set_ylim(-0.02, 1.02)
    if free is not None:
        keys += _free(ax, free)
    else:
        _counts(ax, result)
        ax.set_ylim(-0.09, 1.02)
        keys.append(_axes.key("DLTs of patients who count", color=_axes.ORANGE, linestyle="none",
                              marker="$y/n$", markersize=17))  # fmt: skip
    share_axis(ax.yaxis)
    _dose_axis(ax, x, result.doses, result.unit)
    _axes.label(ax, _text.with_unit("Dose", result.unit), "Probability of a DLT")
    _axes.legend(ax, keys, ncols=2)
    return ax


def _counts(ax: Axes, result: ChainResult) -> None:
    """Write DLTs of the patients who count, at each planned dose along the lower edge."""
    p = result.patients
    dlt, planned = p["dlt"].values, p["dose_level"].values
    for dose in result.doses:
        here = np.isfinite(dlt) & np.isclose(planned, dose)
        ax.annotate(f"{int(dlt[here].sum())}/{int(here.sum())}", (dose, -0.055), ha="center",
                    va="center", fontsize=_axes.SMALL, color=_axes.ORANGE,
                    fontweight="bold")  # fmt: skip


def _free(ax: Axes, free: OrderFree) -> list[Any]:
    rows = free.rates[free.rates["n"] > 0]
    doses = rows.index.to_numpy(dtype=float)
    spread = np.abs(rows[["lower", "upper"]].to_numpy().T - rows["median"].to_numpy())
    ax.errorbar(doses, rows["median"], yerr=spread, color=_axes.ORANGE, marker="o", markersize=5.5,
                linestyle="none", linewidth=1.5, zorder=4)  # fmt: skip
    ax.plot(doses, rows["isotonic"], linestyle="none", marker="_", markersize=15,
            markeredgewidth=2.0, color=_axes.INK, zorder=3.5)  # fmt: skip
    for d, row in zip(doses, rows.itertuples(), strict=True):
        ax.annotate(f"{row.dlts}/{row.n}", (d, row.upper), xytext=(0, 4), ha="center",
                    textcoords="offset points", fontsize=_axes.SMALL, color=_axes.ORANGE,
                    fontweight="bold")  # fmt: skip
    share = _text.percent(free.prob)
    return [
        _axes.key(f"each dose by itself, median and {share} interval", color=_axes.ORANGE,
                  marker="o", markersize=5.5, linewidth=1.5),
        _axes.key("isotonic rate", color=_axes.INK, marker="_", markersize=13, linestyle="none",
                  markeredgewidth=2.0),
    ]  # fmt: skip


@drawn_from("dose.chain(trial)", kind=ChainResult)
def toxicity_by_exposure(result: ChainResult, *, prob: float = 0.9) -> Figure:
    """Draw DLTs, and CRS grades where the chain has them, over exposure, every patient shown.

    Parameters
    ----------
    result : ChainResult
        From ``dose.chain``.
    prob : float
        Probability of the interval of the curve.

    Returns
    -------
    Figure
        P(DLT) along exposure at the reference dose, with patients at 0 and 1 in the colour of their
        dose level; and the CRS grade of each patient.
    """
    p = result.patients
    graded = np.isfinite(p["grade"].values).any()
    figure, panels = _axes.grid(1, 2 if graded else 1, (4.4, 4.0))
    rows = pd.DataFrame(
        {
            "level": np.exp(p["exposure"].values),
            "status": p["exposure_status"].values.astype(str),
            "planned": p["dose_level"].values, "dlt": p["dlt"].values, "grade": p["grade"].values,
        }
    )  # fmt: skip
    rows = rows[np.isfinite(rows["level"])]
    low, high = rows["level"].min() / 1.5, rows["level"].max() * 1.5
    x = np.geomspace(low, high, _POINTS)
    colours = dose_colours(np.asarray(result.doses))
    left = panels[0, 0]
    table = result.curve(x, result.links.reference, prob=prob)
    left.fill_between(x, table["lower"], table["upper"], color=_axes.BLUE, alpha=0.2, linewidth=0)
    left.plot(x, table["mean"], color=_axes.BLUE, linewidth=1.9, zorder=3)
    _outcomes(left, rows[np.isfinite(rows["dlt"])], "dlt", colours, 0.03)
    left.set_ylim(-0.09, 1.09)
    share_axis(left.yaxis)
    at = _text.dose(result.links.reference, result.unit)
    _axes.heading(left, "DLT", note=f"curve: P(DLT) at {at}")
    if graded:
        right = panels[0, 1]
        known = rows[np.isfinite(rows["grade"])]
        _outcomes(right, known, "grade", colours, 0.12)
        top = int(max(known["grade"].max(), 3))
        right.set_ylim(-0.45, top + 0.45)
        right.yaxis.set_major_locator(FixedLocator(list(range(top + 1))))
        _axes.heading(right, "CRS grade", note="every patient")
    for ax in panels.flat:
        ax.set_xscale("log")
        ax.set_xlim(low, high)
        _axes.level_axis(ax.xaxis, low, high)
    text = _text.with_unit(str(p.attrs["exposure_label"]), result.exposure_unit)
    _axes.shared_labels(figure, text)
    _axes.figure_legend(figure, _exposure_keys(colours, result.unit, rows, prob), ncols=5)
    return figure


def _outcomes(
    ax: Axes, rows: pd.DataFrame, column: str, colours: dict[float, str], step: float
) -> None:
    """Draw each patient at the outcome, apart where marks would overlap."""
    marks = {EXACT: "o", BELOW: "<", ABOVE: ">"}
    for value in np.unique(rows[column]):
        here = rows[rows[column] == value].sort_values("level")
        shift = step * np.array([0.0, 1.0, -1.0])[np.arange(len(here)) % 3]
        for k, row in enumerate(here.itertuples()):
            colour = colours.get(float(row.planned), _axes.GREY)
            face = colour if row.status == EXACT else "white"
            ax.plot([row.level], [value + shift[k]], marker=marks.get(str(row.status), "o"),
                    markersize=5.5, color=colour, alpha=0.9, linestyle="none",
                    markerfacecolor=face, zorder=4)  # fmt: skip


def _exposure_keys(
    colours: dict[float, str], unit: str, rows: pd.DataFrame, prob: float
) -> list[Any]:
    keys = [
        _axes.key(_text.dose(d, unit), color=c, marker="o", markersize=5.5, linestyle="none")
        for d, c in colours.items()
    ]
    keys.append(_axes.key(f"mean and {_text.percent(prob)} interval", color=_axes.BLUE, lw=2.2))
    for status, marker, text in ((BELOW, "<", "exposure below"), (ABOVE, ">", "exposure above")):
        if (rows["status"] == status).any():
            keys.append(_axes.key(text, marker=marker, markersize=5.5,
                                  markeredgecolor=_axes.INK, **_axes.OPEN))  # fmt: skip
    return keys


_PARTS = {
    "risk_total": "Whole difference",
    "risk_through": "Through exposure",
    "risk_direct": "Not through exposure",
}


@drawn_from("chain.mediated()", kind=pd.DataFrame)
def mediated_share(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how the difference of P(DLT) between two doses divides.

    Parameters
    ----------
    table : pd.DataFrame
        From ``ChainResult.mediated``.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        Differences of risk with their intervals and numbers; the share, where it has a meaning, in
        the title.

    Raises
    ------
    DataError
        If the table is another one.
    """
    if not set(_PARTS) <= set(table.index):
        raise DataError("there is nothing to draw: pass the result of ChainResult.mediated.")
    ax = _axes.axes(ax, size=(7.6, 2.7))
    names = list(_PARTS)[::-1]
    for at, name in enumerate(names):
        row = table.loc[name]
        colour = _axes.INK if name == "risk_total" else _axes.BLUE
        ax.plot([row["lower"], row["upper"]], [at, at], color=colour, linewidth=2.4,
                solid_capstyle="butt")  # fmt: skip
        ax.plot([row["median"]], [at], marker="o", markersize=6.5, color=colour, zorder=4)
        text = f"{row['median']:.2f} ({row['lower']:.2f} to {row['upper']:.2f})"
        ax.annotate(text.replace("-", "−"), (1, at), xycoords=("axes fraction", "data"),
                    xytext=(6, 0), textcoords="offset points", va="center", fontsize=_axes.SMALL,
                    color=_axes.INK)  # fmt: skip
    ax.axvline(0, color=_axes.GREY, linewidth=0.9, zorder=1)
    ax.set_yticks(range(len(names)), [_PARTS[n] for n in names], fontsize=_axes.SMALL)
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.grid(False, axis="y")
    low, high, unit = (table.attrs[k] for k in ("low", "high", "unit"))
    _axes.label(ax, x=f"P(DLT) at {_text.dose(high, unit)} minus {_text.dose(low, unit)}")
    share = _text.percent(float(table.attrs["prob"]))
    _axes.heading(ax, _share_words(table), note=f"medians with {share} intervals")
    return ax


def _share_words(table: pd.DataFrame) -> str:
    defined = float(table.attrs["share_defined"])
    share = {k: float(table[k]["share"]) for k in ("median", "lower", "upper")}
    if not np.isfinite(share["median"]):
        return "No draw has a mediated share: exposure does not rise with dose"
    words = (
        f"Mediated share {_text.percent(round(float(share['median']), 2))} "
        f"({100 * share['lower']:.0f}–{100 * share['upper']:.0f}{_text.THIN}%)"
    )
    if defined > 0.95:
        return words
    return f"{words}, where exposure rises with dose (P = {defined:.2f})"
