"""The visual predictive check: observed quantiles over simulated bands, and censored shares."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from cart_pkpd._core.errors import DataError
from cart_pkpd.plots import _axes, _text
from cart_pkpd.plots._given import drawn_from

_DASHES: tuple[Any, ...] = ((0, (4, 2)), "solid", (0, (4, 2)))
_TAILS = {"alq": "Above ULOQ", "blq": "Below LLOQ"}
_BANDS = ((_axes.GREY, 0.24), (_axes.BLUE, 0.34))  # outer quantiles, median


@drawn_from("checks.vpc(fit)", "simulated_median", "bin_time", "blq_observed")
def vpc(check: xr.Dataset, *, time_scale: _axes.TimeScale = "linear") -> Figure:
    """Draw a visual predictive check with its shares of values beyond the limits.

    Parameters
    ----------
    check : xr.Dataset
        From ``checks.vpc``: dims ``stratum``, ``bin``, ``quantile``.
    time_scale : {"linear", "log"}
        "log" is linear up to day 1.

    Returns
    -------
    Figure
        One column per stratum. Upper row: observed quantiles as lines over the simulated
        intervals of the same quantiles, cut at the LLOQ; levels are prediction-corrected where
        the check is, without limits then. Below it, where values are or could be censored: the
        observed shares above the ULOQ and below the LLOQ over their simulated intervals. A check
        without its records, ``check.drop_dims("obs")``, is drawn likewise, but for the points.

    Raises
    ------
    DataError
        If the check has no bin with data.
    """
    if not np.isfinite(check["simulated_median"].values).any():
        raise DataError("the predictive check holds no simulated quantile: nothing to draw.")
    strata = [str(s) for s in check["stratum"].values]
    tails = [tail for tail in _TAILS if _has(check, tail)]
    figure, panels = _figure(len(strata), len(tails))
    for i, stratum in enumerate(strata):
        one = check.sel(stratum=stratum)
        _levels(panels[0][i], one, observations(check, stratum, len(strata)))
        for row, tail in enumerate(tails, start=1):
            _shares(panels[row][i], one, tail)
        if len(strata) > 1:
            _axes.heading(panels[0][i], stratum_title(check, stratum))
    _finish(figure, panels, check, time_scale, tails)
    return figure


def stratum_title(check: xr.Dataset, stratum: str) -> str:
    """Return a stratum's label: a dose with its unit, text as it is, other numbers named."""
    about = check["stratum"].attrs
    try:
        value = float(stratum)
    except ValueError:
        return stratum
    if check.attrs.get("by", "dose_level") in ("", "dose_level"):
        return _text.dose(value, str(about.get("units", "")))
    name = _text.name_of(check["stratum"].rename(check.attrs["by"]))
    return f"{name} {_text.short(value)} {_text.unit(str(about.get('units', '')))}".strip()


def _has(check: xr.Dataset, tail: str) -> bool:
    found = (check.get(f"{tail}_{k}", xr.DataArray(np.nan)) for k in ("observed", "median"))
    return any(bool(np.nansum(share.values) > 0) for share in found)


def _figure(columns: int, tails: int) -> tuple[Figure, list[list[Axes]]]:
    width = 7.8 if columns == 1 else max(2.6 * columns, 7.8)
    figure = _axes.sheet(width, 4.0 + 1.4 * tails)
    ratios = [2.6, *[1.0] * tails]
    panels = figure.subplots(
        len(ratios), columns, squeeze=False, sharex=True, sharey="row",
        height_ratios=ratios, subplot_kw={"axes_class": _axes.Panel},
    )  # fmt: skip
    for ax in panels.flat:
        _axes.dress(ax)
    return figure, [list(row) for row in panels]


def observations(check: xr.Dataset, stratum: str, n_strata: int) -> xr.Dataset | None:
    """Return the observations of a stratum, where the dataset can tell which they are."""
    if "obs" not in check.dims or "dv" not in check:
        return None
    if n_strata == 1:
        return check
    by = check.attrs.get("by", "")
    if not by or by not in check.variables or check[by].dims != ("id",):
        return None
    values = check[by].values
    names = [f"{v:g}" if values.dtype.kind == "f" else str(v) for v in values]
    members = check["id"].values[np.array(names) == stratum]
    return check.isel(obs=np.flatnonzero(np.isin(check["patient"].values, members)))


def _levels(ax: Axes, one: xr.Dataset, observations: xr.Dataset | None) -> None:
    time = one["bin_time"].values
    floor = _floor(one)
    if observations is not None:
        censoring, dv = observations["censoring"].values, observations["dv"].values
        dv = observations["dv_corrected"].values if _corrected(one) else dv
        exact = (censoring == "none") & (dv > 0)
        at = observations["time"].values
        ax.plot(at[exact], dv[exact], marker="o", markersize=2.6, linestyle="none",
                color=_axes.GREY, alpha=0.55, markeredgewidth=0, zorder=2)  # fmt: skip
    limited = one if observations is None else observations
    _axes.quantification_limit(ax, _limits(limited, "lloq"))
    _axes.quantification_limit(ax, _limits(limited, "uloq"), _axes.ULOQ_STYLE)
    for i, quantile in enumerate(one["quantile"].values):
        q = one.sel(quantile=quantile)
        colour, alpha = _BANDS[i == 1]
        lower, upper = _band(q, floor)
        ax.fill_between(time, lower, upper, color=colour, alpha=alpha, linewidth=0, zorder=1.5)
        ax.plot(time, q["observed"].values, color=_axes.INK, linestyle=_DASHES[i % 3],
                linewidth=1.6, marker="o", markersize=3, zorder=4, label="observed")  # fmt: skip


def _floor(one: xr.Dataset) -> float:
    """Return the level down to which a band is drawn whose lower end is below the LLOQ."""
    if _corrected(one):  # each record has a limit of its own there
        return float(np.nanmin(one[["simulated_lower", "observed"]].to_array().values))
    limits = _limits(one, "lloq")
    if limits.size:
        return float(limits.min())
    return float(np.nanmin(one["simulated_lower"].values))


def _corrected(check: xr.Dataset) -> bool:
    return bool(check.attrs.get("prediction_corrected", 0)) or "dv_corrected" in check


def _limits(check: xr.Dataset, name: str) -> _axes.Floats:
    """Return the limits of the records, or where these were left out those of the bins."""
    found = [check[key].values.ravel() for key in (name, f"bin_{name}") if key in check]
    if _corrected(check) or not found:
        return np.array([])
    return found[0][np.isfinite(found[0])]


def _band(q: xr.Dataset, floor: float) -> tuple[_axes.Floats, _axes.Floats]:
    """Return the ends of a band; an end that is NaN beside one that is not is beyond a limit."""
    lower, upper = q["simulated_lower"].values, q["simulated_upper"].values
    return np.where(np.isnan(lower) & ~np.isnan(upper), floor, lower), upper


def _shares(ax: Axes, one: xr.Dataset, tail: str) -> None:
    time = one["bin_time"].values
    lower, upper = one[f"{tail}_lower"].values, one[f"{tail}_upper"].values
    ax.fill_between(time, lower, upper, color=_axes.BLUE, alpha=0.3, linewidth=0)
    ax.plot(time, one[f"{tail}_observed"].values, color=_axes.INK, linewidth=1.6, marker="o",
            markersize=3, label="observed")  # fmt: skip
    ax.set_ylim(-0.03, 1.03)
    ax.set_yticks([0, 0.5, 1])
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:g}"))


def _finish(
    figure: Figure,
    panels: list[list[Axes]],
    check: xr.Dataset,
    time_scale: _axes.TimeScale,
    tails: list[str],
) -> None:
    edges = [check["bin_time"].values, check["bin_right"].values]
    if "time" in check.coords:
        edges.append(check["time"].values)
    last = max(float(np.max(e[np.isfinite(e)])) for e in edges)
    span = [check[n].values.ravel() for n in ("observed", "simulated_lower", "simulated_upper")]
    if "dv" in check:
        span.append(check["dv_corrected" if "dv_corrected" in check else "dv"].values)
    span += [_limits(check, "lloq"), _limits(check, "uloq")]
    for ax in panels[0]:
        _axes.log_levels(ax, np.concatenate(span))
    for ax in (ax for row in panels for ax in row):
        _axes.time_axis(ax, 0.0, last, time_scale, most=8 if len(panels[0]) == 1 else 5)
    _axes.label(panels[0][0], y=_level_label(check))
    for row, tail in zip(panels[1:], tails, strict=True):
        _axes.label(row[0], y=f"{_TAILS[tail]}\n(% of samples)")
    figure.supxlabel(_axes.TIME_LABEL, fontsize=_axes.BODY, color=_axes.INK)
    _axes.figure_legend(figure, _keys(check), ncols=3)


def _level_label(check: xr.Dataset) -> str:
    text = _text.endpoint_label(check)
    return f"Prediction-corrected\n{text}" if _corrected(check) else text


def _keys(check: xr.Dataset) -> list[Any]:
    names = [f"{100 * float(q):g}" for q in check["quantile"].values]
    prob = _text.percent(float(check.attrs.get("prob", 0.9)))
    keys: list[Any] = []
    for name, dash in list(zip(names, _DASHES, strict=False))[:2]:
        both = f"{name}th and {names[-1]}th" if dash != "solid" else f"{name}th"
        both = both.replace("50th", "median")
        keys.append(_axes.key(f"observed {both}{' percentile' if 'th' in both else ''}",
                              color=_axes.INK, linewidth=1.6, linestyle=dash))  # fmt: skip
    outer = f"{names[0]}th and {names[-1]}th"
    for (colour, alpha), what in zip(_BANDS, (outer, "median"), strict=True):
        text = f"simulated {what}, {prob} interval"
        keys.append(Patch(color=colour, alpha=alpha, linewidth=0, label=text))
    if "dv" in check:
        keys.append(_axes.key("observation", color=_axes.GREY, marker="o", markersize=3,
                              linestyle="none"))  # fmt: skip
    units = str(check.attrs.get("units", ""))
    keys += _axes.limit_key(_limits(check, "lloq"), units)
    return keys + _axes.limit_key(_limits(check, "uloq"), units, "ULOQ", _axes.ULOQ_STYLE)
