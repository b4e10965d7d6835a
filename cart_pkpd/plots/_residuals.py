"""Goodness of fit: observed against predicted, residuals along time and prediction, NPDE."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cart_pkpd._checks.reference import count_band, ordered_band, running_quantiles
from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import one_of
from cart_pkpd.plots import _axes, _text
from cart_pkpd.plots._given import drawn_from
from cart_pkpd.plots._predicted import observed_vs_predicted

Residual = Literal["iwres", "cwres", "npd", "npde"]
Along = Literal["time", "pred", "ipred"]
_SHORT = {"iwres": "IWRES", "cwres": "CWRES", "npd": "NPD", "npde": "NPDE"}
_ALONG = {"time": "", "pred": "Population prediction", "ipred": "Individual prediction"}
_BANDS = ((_axes.GREY, 0.22), (_axes.BLUE, 0.22), (_axes.GREY, 0.22))
_DASHES: tuple[Any, ...] = ((0, (4, 2)), "solid", (0, (4, 2)))
_PROB = 0.9
_EDGES = np.concatenate([[-np.inf], np.arange(-2.5, 2.51, 0.5), [np.inf]])
_SHOWN = np.concatenate([[-3.0], _EDGES[1:-1], [3.0]])


@drawn_from("checks.residuals(fit)", "iwres", "npde")
def residual(
    residuals: xr.Dataset,
    name: Residual = "npde",
    against: Along = "time",
    *,
    time_scale: _axes.TimeScale = "log",
    ax: Axes | None = None,
) -> Axes:
    """Draw a residual along time or a prediction, with its running quantiles.

    Parameters
    ----------
    residuals : xr.Dataset
        From ``checks.residuals``.
    name : {"iwres", "cwres", "npd", "npde"}
        Which residual.
    against : {"time", "pred", "ipred"}
        What it is drawn along.
    time_scale : {"log", "linear"}
        "log" is linear up to day 1.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        Lines: median, 5th and 95th percentile of the residuals in bins of equal numbers of
        records. Bands: where these lie in 90 % of cases if residuals are standard normal. Open
        triangles: censored records, placed by chance within their probability.

    Raises
    ------
    DataError
        If no record has this residual.
    """
    one_of(name, _SHORT, "residual")
    one_of(against, _ALONG, "what to draw along")
    ax = _residual(_axes.axes(ax, size=(6.4, 4.6)), residuals, name, against, time_scale)
    _axes.legend(ax, _keys(residuals, censored=_censored(residuals, name)), ncols=2)
    return ax


def _residual(
    ax: Axes, residuals: xr.Dataset, name: str, against: str, time_scale: _axes.TimeScale = "log"
) -> Axes:
    """Draw one panel without its legend."""
    x, y = residuals[against].values.astype(float), residuals[name].values
    known = np.isfinite(x) & np.isfinite(y)
    if against != "time" and _on_log(x[known]):
        known &= x > 0
    if not known.any():
        raise DataError(f"no record has {_SHORT[name]}: see 'reason' in the residuals.")
    x, y, censoring = x[known], y[known], residuals["censoring"].values[known]
    _running(ax, x, y)
    exact = censoring == "none"
    ax.plot(x[exact], y[exact], marker="o", markersize=3.2, linestyle="none", alpha=0.55,
            color=_axes.BLUE, markeredgewidth=0, zorder=3, label="residuals")  # fmt: skip
    _axes.censored_marks(ax, x, y, censoring, _axes.GREY, size=4.0)
    ax.axhline(0.0, color=_axes.INK, linewidth=0.8, zorder=2)
    most = max(3.2, float(np.abs(y).max()) * 1.08)
    ax.set_ylim(-most, most)
    _along(ax, residuals, against, x, time_scale)
    _axes.label(ax, y=_SHORT[name])
    return ax


def _along(
    ax: Axes, residuals: xr.Dataset, against: str, x: _axes.Floats, scale: _axes.TimeScale
) -> None:
    if against == "time":
        _axes.time_axis(ax, 0.0, float(x.max()), scale, most=6)
        _axes.label(ax, x=_axes.TIME_LABEL)
        return
    if _on_log(x):
        lower, upper = float(x.min()) / 1.4, float(x.max()) * 1.4
        ax.set_xscale("log")
        ax.set_xlim(lower, upper)
        _axes.level_axis(ax.xaxis, lower, upper)
    _axes.label(ax, x=_text.with_unit(_ALONG[against], str(residuals.attrs.get("units", ""))))


def _on_log(x: _axes.Floats) -> bool:
    """Return whether predictions fit a log axis: most are above 0."""
    return bool(np.mean(x > 0) > 0.5) if x.size else False


def _running(ax: Axes, x: _axes.Floats, y: _axes.Floats) -> None:
    """Draw running quantiles over the bands of standard normal values."""
    bins = running_quantiles(x, y, _PROB)
    if bins.sizes["bin"] < 2:
        return
    for j, ((colour, alpha), dash) in enumerate(zip(_BANDS, _DASHES, strict=True)):
        one = bins.isel(quantile=j)
        ax.fill_between(one["x"], one["lower"], one["upper"], color=colour, alpha=alpha,
                        linewidth=0, zorder=1)  # fmt: skip
        ax.plot(one["x"], one["observed"], color=_axes.INK, linewidth=1.3, linestyle=dash,
                zorder=4, label="running")  # fmt: skip


@drawn_from("checks.residuals(fit)", "iwres", "npde")
def gof(residuals: xr.Dataset, *, time_scale: _axes.TimeScale = "log") -> Figure:
    """Draw the goodness of a fit on one sheet.

    Parameters
    ----------
    residuals : xr.Dataset
        From ``checks.residuals``.
    time_scale : {"log", "linear"}
        "log" is linear up to day 1.

    Returns
    -------
    Figure
        Upper row: observed against population prediction, CWRES along time and along the
        population prediction. Lower row: the same with the individual prediction and IWRES. A
        row whose residual no record has shows its first panel only.

    Raises
    ------
    DataError
        If there are no predictions.
    """
    rows: tuple[tuple[Literal["pred", "ipred"], Residual], ...] = (
        ("pred", "cwres"), ("ipred", "iwres"),
    )  # fmt: skip
    figure, panels = _axes.grid(2, 3, (3.9, 3.7))
    for (against, name), row in zip(rows, panels, strict=True):
        observed_vs_predicted(residuals, against, ax=row[0])
        if row[0].get_legend() is not None:
            row[0].get_legend().remove()
        for along, ax in zip(("time", against), row[1:], strict=True):
            if np.isfinite(residuals[name].values).any():
                _residual(ax, residuals, name, along, time_scale)
            else:
                ax.remove()
    _axes.figure_legend(figure, _keys(residuals, censored=True, identity=True), ncols=4)
    return figure


def _keys(residuals: xr.Dataset, *, censored: bool, identity: bool = False) -> list[Any]:
    keys: list[Any] = [
        _axes.key("observation", color=_axes.BLUE, marker="o", markersize=4, linestyle="none")
    ]
    if censored:
        keys += _axes.censored_keys(residuals["censoring"].values, _axes.GREY)
    if identity:
        keys.append(_axes.key("identity", color=_axes.INK, linewidth=0.9))
        keys += _axes.limit_key(residuals["lloq"].values, str(residuals.attrs.get("units", "")))
    percent = _text.percent(_PROB)
    return [
        *keys,
        _axes.key("median of residuals", color=_axes.INK, linewidth=1.3),
        _axes.key("5th and 95th percentile", color=_axes.INK, linewidth=1.3, linestyle=_DASHES[0]),
        Patch(color=_axes.BLUE, alpha=0.22, linewidth=0,
              label=f"median of a standard normal, {percent} band"),
        Patch(color=_axes.GREY, alpha=0.22, linewidth=0, label=f"its percentiles, {percent} band"),
    ]  # fmt: skip


@drawn_from("checks.residuals(fit)", "npde")
def npde(
    residuals: xr.Dataset, name: Residual = "npde", *, time_scale: _axes.TimeScale = "log"
) -> Figure:
    """Draw prediction distribution errors: histogram, QQ plot, along time and prediction.

    Parameters
    ----------
    residuals : xr.Dataset
        From ``checks.residuals``.
    name : {"npde", "npd", "cwres", "iwres"}
        Which residual; bands are exact for independent ones, as NPDE nearly are.
    time_scale : {"log", "linear"}
        "log" is linear up to day 1.

    Returns
    -------
    Figure
        Four panels with 90 % bands of standard normal values.

    Raises
    ------
    DataError
        If no record has this residual.
    """
    one_of(name, _SHORT, "residual")
    value = residuals[name].values
    value = value[np.isfinite(value)]
    if not value.size:
        raise DataError(f"no record has {_SHORT[name]}: see 'reason' in the residuals.")
    figure, panels = _axes.grid(2, 2, (4.4, 3.5))
    _histogram(panels[0, 0], value, _SHORT[name])
    _qq(panels[0, 1], value, _SHORT[name])
    _residual(panels[1, 0], residuals, name, "time", time_scale)
    _residual(panels[1, 1], residuals, name, "pred")
    keys = _keys(residuals, censored=_censored(residuals, name))
    text = f"expected count, {_text.percent(_PROB)} band"
    keys.append(_axes.key(text, color=_axes.INK, marker="|", markersize=9, linestyle="none"))
    _axes.figure_legend(figure, keys, ncols=3)
    return figure


def _censored(residuals: xr.Dataset, name: str) -> bool:
    """Return whether a record beyond a limit has this residual."""
    beyond = residuals["censoring"].values != "none"
    return bool(np.isfinite(residuals[name].values[beyond]).any())


def _histogram(ax: Axes, value: _axes.Floats, short: str) -> None:
    counts, _ = np.histogram(value, _EDGES)
    expected, low, high = count_band(value.size, _EDGES, _PROB)
    left, width = _SHOWN[:-1], np.diff(_SHOWN)
    ax.bar(left, counts, width, align="edge", color=_axes.BLUE, alpha=0.35,
           edgecolor="white", linewidth=0.8, zorder=2, label="counts")  # fmt: skip
    middle = left + width / 2
    ax.vlines(middle, low, high, color=_axes.INK, linewidth=1.2, zorder=4)
    ax.plot(middle, expected, marker="_", markersize=9, linestyle="none", color=_axes.INK,
            zorder=4, label="expected")  # fmt: skip
    ax.set_xticks([-3, -2, -1, 0, 1, 2, 3], ["≤−3", "−2", "−1", "0", "1", "2", "≥3"])
    _axes.label(ax, short, "Records")
    _axes.heading(ax, f"mean {_signed(value.mean())}, SD {_sd(value)}, n = {value.size}")


def _sd(value: _axes.Floats) -> str:
    return f"{value.std(ddof=1):.2f}" if value.size > 1 else _text.MISSING


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _qq(ax: Axes, value: _axes.Floats, short: str) -> None:
    middle, low, high = ordered_band(value.size, _PROB)
    ax.fill_between(middle, low, high, color=_axes.BLUE, alpha=0.22, linewidth=0, zorder=1)
    ends = [float(middle[0]), float(middle[-1])]
    ax.plot(ends, ends, color=_axes.INK, linewidth=0.9, zorder=2, label="identity")
    ax.plot(middle, np.sort(value), marker="o", markersize=3, linestyle="none", alpha=0.6,
            color=_axes.BLUE, markeredgewidth=0, zorder=3, label="residuals")  # fmt: skip
    _axes.label(ax, "Standard normal quantile", short)
    _axes.heading(ax, f"with the {_text.percent(_PROB)} band of each rank")
