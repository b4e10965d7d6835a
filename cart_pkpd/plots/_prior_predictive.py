"""What the priors expect of a trial, with the measurements over it."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from scipy.stats import gaussian_kde

from cart_pkpd._core import names
from cart_pkpd._core.errors import DataError
from cart_pkpd.plots import _axes, _text
from cart_pkpd.plots._given import drawn_from
from cart_pkpd.plots._vpc import observations, stratum_title

_BANDS = ((0.05, 0.95, 0.18), (0.25, 0.75, 0.30))
_TALL = 1.25
_FAR_BELOW = 1000.0


@drawn_from("checks.prior_predictive(model, trial, population)", "simulated", "exposure_simulated")
def prior_predictive(check: xr.Dataset, *, time_scale: _axes.TimeScale = "log") -> Figure:
    """Draw what the priors expect, and what was measured.

    Parameters
    ----------
    check : xr.Dataset
        From ``checks.prior_predictive``.
    time_scale : {"log", "linear"}
        "log" is linear up to day 1.

    Returns
    -------
    Figure
        Upper row, a panel per stratum: bands of simulated measurements by time (90 % and 50 % of
        all patients of all simulated trials, not censored; cut a thousand-fold below the lowest
        measurement), their median, and the data. Lower row: exposure of simulated patients, with
        each real one as a line.

    Raises
    ------
    DataError
        If nothing could be simulated.
    """
    if not np.isfinite(check["simulated"].values).any():
        raise DataError("the prior predictive check holds no simulated level: nothing to draw.")
    strata = [str(s) for s in check["stratum"].values]
    parameters = [str(p) for p in check["parameter"].values]
    n = len(strata)
    figure = _axes.sheet(max(7.8, 2.7 * n), 6.6)
    places = figure.add_gridspec(2, len(parameters) * n, height_ratios=[2.2, 1.0])
    panels: list[Axes] = []
    for i, stratum in enumerate(strata):
        at = places[0, i * len(parameters) : (i + 1) * len(parameters)]
        panels.append(_panel(figure, at, panels[0] if panels else None))
        one = check.sel(stratum=stratum)
        _levels(panels[-1], one, observations(check, stratum, n))
        if n > 1:
            _axes.heading(panels[-1], stratum_title(check, stratum))
    _span(panels, check, time_scale)
    for j, name in enumerate(parameters):
        _exposure(_panel(figure, places[1, j * n : (j + 1) * n], None), check, name)
    if n == 1:
        _axes.heading(panels[0], _said(check))
    _axes.figure_legend(figure, _keys(check), ncols=3)
    return figure


def _panel(figure: Figure, place: Any, beside: Axes | None) -> Axes:
    ax = figure.add_subplot(place, axes_class=_axes.Panel, sharey=beside)
    _axes.dress(ax)
    if beside is not None:
        ax.tick_params(labelleft=False)
    return ax


def _levels(ax: Axes, one: xr.Dataset, records: xr.Dataset | None) -> None:
    time = one["bin_time"].values
    known = np.isfinite(time) & np.isfinite(one["simulated"].sel(quantile=0.5).values)
    for low, high, alpha in _BANDS:
        ends = [one["simulated"].sel(quantile=q).values[known] for q in (low, high)]
        low_end = _positive(ends[0], one)
        ax.fill_between(time[known], low_end, ends[1], color=_axes.BLUE, alpha=alpha,
                        linewidth=0, zorder=1.5)  # fmt: skip
    ax.plot(time[known], one["simulated"].sel(quantile=0.5).values[known], color=_axes.BLUE,
            linewidth=1.8, zorder=3, label="median")  # fmt: skip
    if records is None:
        return
    censoring, dv, at = (records[k].values for k in ("censoring", "dv", "time"))
    exact = (censoring == "none") & (dv > 0)
    ax.plot(at[exact], dv[exact], marker="o", markersize=3.2, linestyle="none", alpha=0.75,
            color=_axes.ORANGE, markeredgewidth=0, zorder=4, label="data")  # fmt: skip
    _axes.censored_marks(ax, at, dv, censoring, _axes.ORANGE, size=4.0)
    _axes.quantification_limit(ax, records["lloq"].values)
    for limit in _upper(records):
        ax.axhline(limit, zorder=1, **_axes.ULOQ_STYLE)


def _upper(records: xr.Dataset) -> list[float]:
    found = records["uloq"].values
    limits = np.unique(found[np.isfinite(found)])
    return limits.tolist() if limits.size == 1 else []


def _positive(low: _axes.Floats, one: xr.Dataset) -> _axes.Floats:
    """Return the lower end of a band, with what has no logarithm far below everything."""
    return np.maximum(low, _lowest(one) / 10.0)


def _lowest(check: xr.Dataset) -> float:
    """Return the level down to which bands are drawn."""
    seen = np.concatenate([check["dv"].values, check["lloq"].values])
    return float(seen[np.isfinite(seen) & (seen > 0)].min()) / _FAR_BELOW


def _span(panels: list[Axes], check: xr.Dataset, time_scale: _axes.TimeScale) -> None:
    shown = np.concatenate([check["simulated"].values.ravel(), check["dv"].values])
    last = float(check["time"].max())
    # What is far below every measurement is the same to an assay: bands are cut there.
    shown = shown[np.isfinite(shown) & (shown > _lowest(check))]
    _axes.log_levels(panels[0], shown)
    for ax in panels:
        ax.set_yscale("log")
        _axes.time_axis(ax, 0.0, last, time_scale, most=8 if len(panels) == 1 else 5)
    _axes.label(panels[0], y=_text.endpoint_label(check))
    for ax in panels:
        _axes.label(ax, x=_axes.TIME_LABEL if len(panels) == 1 else "Days")


def _exposure(ax: Axes, check: xr.Dataset, name: str) -> None:
    simulated = check["exposure_simulated"].sel(parameter=name).values.ravel()
    simulated = simulated[np.isfinite(simulated) & (simulated > 0)]
    observed = check["exposure_observed"].sel(parameter=name).values
    observed = observed[np.isfinite(observed) & (observed > 0)]
    both = np.concatenate(
        [np.quantile(simulated, [0.005, 0.995]) if simulated.size else [], observed]
    )
    if simulated.size > 2 and np.ptp(simulated) > 0:
        ln = np.log(simulated)
        at = np.linspace(np.log(both.min()), np.log(both.max()), 200)
        density = gaussian_kde(ln)(at)
        ax.fill_between(np.exp(at), 0, density / density.max(), color=_axes.BLUE, alpha=0.28,
                        linewidth=0)  # fmt: skip
    ax.vlines(observed, 0, 0.22, color=_axes.ORANGE, linewidth=1.0, zorder=3)
    ax.set_xscale("log")
    ax.set_ylim(0, _TALL)
    ax.set_yticks([])
    if both.size:
        lower, upper = float(both.min()) / 1.3, float(both.max()) * 1.3
        ax.set_xlim(lower, upper)
        _axes.level_axis(ax.xaxis, lower, upper)
    unit = str(check["units"].sel(parameter=name).item())
    label = "Cmax" if name == "cmax" else f"AUC{name[3:].replace('_', '–')}d"
    _axes.label(ax, _text.with_unit(label if name != "tmax" else names.label(name), unit))
    place = float(check["exposure_place"].sel(parameter=name))
    if np.isfinite(place):
        share = _text.percent(round(place, 2))
        ax.annotate(f"median observed: above {share} of simulated", (0.98, 0.97),
                    xycoords="axes fraction", ha="right", va="top", fontsize=_axes.SMALL,
                    color=_axes.INK)  # fmt: skip


def _said(check: xr.Dataset) -> str:
    """Return shares beyond the limits, simulated beside observed."""
    parts = []
    for tail, words in (("below_lloq", "below the LLOQ"), ("above_uloq", "above the ULOQ")):
        one = check.sel(tail=tail)
        if np.isfinite(one["share_simulated"]):
            both = (
                _text.percent(round(float(one[f"share_{k}"]), 2)) for k in ("simulated", "observed")
            )
            parts.append("{} of simulated and {} of observed samples {}".format(*both, words))
    unsolved = int(check.attrs.get("unsolved", 0))
    if unsolved:
        parts.append(f"{unsolved} of {check.attrs['n_patients']} simulated patients not solved")
    return "\n".join(parts)


def _keys(check: xr.Dataset) -> list[Any]:
    shades = ((_BANDS[0][2], "90 %"), (_BANDS[0][2] + _BANDS[1][2], "50 %"))
    keys: list[Any] = [
        *(Patch(color=_axes.BLUE, alpha=alpha, linewidth=0, label=f"expected, {share} of patients")
          for alpha, share in shades),
        _axes.key("expected median", color=_axes.BLUE, linewidth=1.8),
        _axes.key("measured", color=_axes.ORANGE, marker="o", markersize=4, linestyle="none"),
    ]  # fmt: skip
    keys += _axes.censored_keys(check["censoring"].values, _axes.ORANGE)
    keys += _axes.limit_key(check["lloq"].values, str(check.attrs.get("units", "")))
    if _upper(check):
        keys.append(_axes.key("ULOQ", **_axes.ULOQ_STYLE))
    return keys
