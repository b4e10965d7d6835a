"""Exposure of simulated trials with that of the real one among them."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from scipy.stats import gaussian_kde

from cart_pkpd._core import names
from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import one_of
from cart_pkpd.plots import _axes, _text
from cart_pkpd.plots._given import drawn_from
from cart_pkpd.plots._vpc import stratum_title

Statistic = Literal["geometric_mean", "geometric_cv", "share"]
_WORDS = {
    "geometric_mean": "geometric mean",
    "geometric_cv": "geometric CV (%)",
    "share": "patients with a quantified value (%)",
}
_HEIGHT = 0.78


@drawn_from("checks.predictive_exposure(fit)", "statistic")
def predictive_exposure(check: xr.Dataset, statistic: Statistic = "geometric_mean") -> Figure:
    """Draw the exposure of the real trial among that of simulated trials.

    Parameters
    ----------
    check : xr.Dataset
        From ``checks.predictive_exposure``.
    statistic : {"geometric_mean", "geometric_cv", "share"}
        Which summary over patients.

    Returns
    -------
    Figure
        One panel per parameter, one row per stratum: density and interval of the simulated
        trials, the observed value, and the tail area.

    Raises
    ------
    DataError
        If no stratum has the statistic.
    """
    one_of(statistic, _WORDS, "statistic")
    one = check.sel(statistic=statistic)
    if not np.isfinite(one["simulated_median"].values).any():
        raise DataError(f"no stratum has a {_WORDS[statistic]}: see 'reason' in the check.")
    parameters = [str(p) for p in one["parameter"].values]
    strata = [str(s) for s in one["stratum"].values]
    figure, panels = _axes.grid(
        1, len(parameters), (4.5, 1.5 + 0.75 * len(strata)), sharey=True
    )  # fmt: skip
    for ax, name in zip(panels[0], parameters, strict=True):
        for row, stratum in enumerate(strata):
            _ridge(ax, one.sel(parameter=name, stratum=stratum), row, statistic)
        _finish(ax, one.sel(parameter=name), name, statistic)
    ax = panels[0, 0]
    ax.set_yticks(range(len(strata)), [_row_label(check, s) for s in strata])
    ax.set_ylim(len(strata) - 0.75, -0.95)
    _axes.figure_legend(figure, _keys(check), ncols=4)
    return figure


def _row_label(check: xr.Dataset, stratum: str) -> str:
    n = int(check["n"].sel(stratum=stratum))
    name = "all patients" if stratum == "all" else stratum_title(check, stratum)
    return f"{name}\nn = {n}"


def _ridge(ax: Axes, one: xr.Dataset, row: int, statistic: str) -> None:
    factor = 1.0 if statistic == "geometric_mean" else 100.0
    value = factor * one["simulated"].values
    value = value[np.isfinite(value)]
    on_log = statistic == "geometric_mean"
    if value.size > 2 and np.ptp(value) > 0:
        at = np.log(value) if on_log else value
        grid = np.linspace(at.min(), at.max(), 200)
        density = gaussian_kde(at)(grid)
        x = np.exp(grid) if on_log else grid
        ax.fill_between(x, row, row - _HEIGHT * density / density.max(), color=_axes.BLUE,
                        alpha=0.28, linewidth=0, zorder=2)  # fmt: skip
    ends = [factor * float(one[f"simulated_{k}"]) for k in ("lower", "upper")]
    ax.plot(ends, [row, row], color=_axes.BLUE, linewidth=2.4, zorder=3, label="interval")
    observed = factor * float(one["observed"])
    if np.isfinite(observed):
        ax.plot([observed], [row], marker="D", markersize=6, color=_axes.ORANGE,
                linestyle="none", zorder=4, label="observed")  # fmt: skip
        ax.annotate(f"p = {_text.number(float(one['tail_area']), 2)}", (1, row),
                    xycoords=("axes fraction", "data"), xytext=(-2, 6),
                    textcoords="offset points", ha="right", fontsize=_axes.SMALL,
                    color=_axes.INK)  # fmt: skip


def _finish(ax: Axes, one: xr.Dataset, name: str, statistic: str) -> None:
    label = {"cmax": "Cmax"}.get(name, names.label(name))
    if name.startswith("auc"):
        label = f"AUC{name[3:].replace('_', '–')}d"
    if statistic == "geometric_mean":
        values = np.concatenate([one["simulated"].values.ravel(), one["observed"].values.ravel()])
        values = values[np.isfinite(values)]
        lower, upper = float(values.min()) / 1.15, float(values.max()) * 2.2
        ax.set_xscale("log")
        ax.set_xlim(lower, upper)
        _axes.level_axis(ax.xaxis, lower, upper)
        _axes.label(ax, x=_text.with_unit(f"{label}, geometric mean", str(one["units"].item())))
    else:
        _axes.label(ax, x=f"{label}, {_WORDS[statistic]}")


def _keys(check: xr.Dataset) -> list[object]:
    percent = _text.percent(float(check.attrs.get("prob", 0.9)))
    return [
        Patch(color=_axes.BLUE, alpha=0.28, linewidth=0, label="simulated trials"),
        _axes.key(f"their {percent} interval", color=_axes.BLUE, linewidth=2.4),
        _axes.key("observed", color=_axes.ORANGE, marker="D", markersize=6, linestyle="none"),
        _axes.key("p: simulated trials as extreme", linestyle="none"),
    ]
