"""Virtual patients by dose and time: bands of measurements, and the share below the LLOQ."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.names import label
from cart_pkpd._core.validate import one_of
from cart_pkpd.plots import _axes, _text
from cart_pkpd.plots._given import drawn_from

_ALPHA = (0.16, 0.32, 0.44)
_MOST = 4  # panels in a row


@drawn_from("simulate.summary(simulate.patients(...))", "level", "dv", "below")
def simulated(
    summary: xr.Dataset,
    *,
    endpoint: str | None = None,
    error: bool = True,
    time_scale: _axes.TimeScale = "linear",
) -> Figure:
    """Draw quantiles of virtual patients by time, a panel per dose.

    Parameters
    ----------
    summary : xr.Dataset
        From ``simulate.summary``.
    endpoint : str, optional
        Needed only if there are several.
    error : bool
        Measurements, cut at the limits of quantification; or else levels without residual error.
    time_scale : {"linear", "log"}
        "log" is linear up to day 1.

    Returns
    -------
    Figure
        Bands between the quantiles of each pair, the median as a line, the LLOQ dashed; below, of
        measurements with an LLOQ, the share of samples below it.

    Raises
    ------
    DataError
        If there is nothing to draw, or an endpoint must be named.
    """
    one = summary.sel(endpoint=_endpoint(summary, endpoint))
    values = one["dv" if error else "level"]
    if not (values.values > 0).any():
        raise DataError("no quantile of the virtual patients is above the limits: nothing to draw.")
    groups = one[str(summary.attrs["by"])]
    shares = error and bool(np.isfinite(one["lloq"].values))
    figure, panels = _figure(groups.size, shares)
    for i in range(groups.size):
        group = one.isel({groups.name: i})
        _bands(panels[0][i], values.isel({groups.name: i}), group, error=error)
        if groups.size > 1:
            _axes.heading(panels[0][i], _heading(groups, i))
        if shares:
            _share(panels[1][i], group)
    _finish(figure, panels, one, values, time_scale)
    _axes.figure_legend(figure, _keys(one, error=error), ncols=4)
    return figure


def _endpoint(summary: xr.Dataset, endpoint: str | None) -> str:
    known = [str(e) for e in summary["endpoint"].values]
    if endpoint is not None:
        return one_of(endpoint, known, "endpoint of this simulation", error=DataError)
    if len(known) > 1:
        raise DataError(f"there are several endpoints ({', '.join(known)}); name one: endpoint=...")
    return known[0]


def _figure(columns: int, shares: bool) -> tuple[Figure, list[list[Axes]]]:
    figure = _axes.sheet(7.8 if columns < _MOST else 2.2 * columns, 4.9 if shares else 3.9)
    panels = figure.subplots(
        2 if shares else 1, columns, squeeze=False, sharex=True, sharey="row",
        height_ratios=[2.8, 1.0] if shares else [1.0], subplot_kw={"axes_class": _axes.Panel},
    )  # fmt: skip
    for ax in panels.flat:
        _axes.dress(ax)
    return figure, [list(row) for row in panels]


def _bands(ax: Axes, values: xr.DataArray, group: xr.Dataset, *, error: bool) -> None:
    time, at = group["time"].values, group["quantile"].values
    floor = float(group["lloq"]) if error and np.isfinite(group["lloq"]) else _least(values)
    for k in range(at.size // 2):
        low, high = values.isel(quantile=k).values, values.isel(quantile=-1 - k).values
        # A band begins and ends at the LLOQ, where its upper end goes below it.
        high = np.where(np.isnan(high) & (group["below"].values >= at[-1 - k]), floor, high)
        low = np.where(np.isnan(low) & ~np.isnan(high), floor, low)
        ax.fill_between(time, np.maximum(low, floor), np.maximum(high, floor), linewidth=0,
                        color=_axes.BLUE, alpha=_ALPHA[min(k, 2)], zorder=1.5)  # fmt: skip
    if at.size % 2:
        middle = values.isel(quantile=at.size // 2).values
        ax.plot(time, middle, color=_axes.BLUE, linewidth=1.8, marker="o", markersize=3, zorder=3)
    if error:
        _axes.quantification_limit(ax, np.atleast_1d(group["lloq"].values))
        _axes.quantification_limit(ax, np.atleast_1d(group["uloq"].values), _axes.ULOQ_STYLE)


def _least(values: xr.DataArray) -> float:
    """Return the lowest level above 0 that a logarithmic axis shows: a millionth of the highest."""
    found = values.values[values.values > 0]
    return max(float(found.min()), 1e-6 * float(found.max())) if found.size else 1.0


def _share(ax: Axes, group: xr.Dataset) -> None:
    ax.plot(group["time"].values, group["below"].values, color=_axes.INK, linewidth=1.4,
            marker="o", markersize=3)  # fmt: skip
    ax.set_ylim(-0.03, 1.03)
    ax.set_yticks([0, 0.5, 1])
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:g}"))


def _heading(groups: xr.DataArray, i: int) -> str:
    value = groups.values[i]
    if groups.name == "dose_level":
        return _text.dose(float(value), str(groups.attrs.get("units", "")))
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{_text.name_of(groups)} {shown}" if groups.dtype.kind in "fiub" else shown


def _finish(
    figure: Figure, panels: list[list[Axes]], one: xr.Dataset, values: xr.DataArray, scale: Any
) -> None:
    least = _least(values)
    limits = [v for v in (one["lloq"].values, one["uloq"].values) if np.isfinite(v)]
    span = np.concatenate([values.values.ravel(), np.atleast_1d(limits)])
    for ax in panels[0]:
        _axes.log_levels(ax, span[span >= min([least, *map(float, limits)])])
    most = 8 if len(panels[0]) == 1 else 5
    for ax in (ax for row in panels for ax in row):
        _axes.time_axis(ax, 0.0, float(one["time"].max()), scale, most=most)
    name, unit = str(one["endpoint"].values), _text.unit(str(one["unit"].values))
    _axes.label(panels[0][0], y=f"{label(name)} ({unit})")
    if len(panels) > 1:
        _axes.label(panels[1][0], y="Below LLOQ\n(% of samples)")
    figure.supxlabel(_axes.TIME_LABEL, fontsize=_axes.BODY, color=_axes.INK)


def _keys(one: xr.Dataset, *, error: bool) -> list[Any]:
    at = one["quantile"].values
    what = "measurements" if error else "levels without error"
    keys: list[Any] = []
    if at.size % 2:
        name = "median" if np.isclose(at[at.size // 2], 0.5) else f"{at[at.size // 2]:g} quantile"
        keys.append(_axes.key(f"{name} of {what}", color=_axes.BLUE, linewidth=1.8, marker="o",
                              markersize=3))  # fmt: skip
    for k in range(at.size // 2):
        ends = f"{100 * at[k]:g}th to {100 * at[-1 - k]:g}th percentile"
        # What is drawn over a band makes it darker.
        shade = 1.0 - float(np.prod([1.0 - a for a in _ALPHA[: k + 1]]))
        keys.append(Patch(color=_axes.BLUE, alpha=shade, linewidth=0, label=ends))
    if error:
        unit = str(one["unit"].values)
        keys += _axes.limit_key(np.atleast_1d(one["lloq"].values), unit)
        keys += _axes.limit_key(np.atleast_1d(one["uloq"].values), unit, "ULOQ", _axes.ULOQ_STYLE)
    return keys
