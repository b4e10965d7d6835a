"""Exposure from the fitted curves against exposure by NCA, patient by patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd.plots import _axes, _text
from cart_pkpd.plots._given import drawn_from
from cart_pkpd.plots._groups import Group, default_by, groups

Floats = NDArray[np.float64]
_MARGIN = 0.12  # share of the width for patients without an NCA value


@dataclass(frozen=True)
class _Pairs:
    """Model and NCA of the same patients; all arrays have shape (n,)."""

    patients: NDArray[np.str_]
    nca: Floats
    median: Floats
    lower: Floats
    upper: Floats

    @property
    def paired(self) -> NDArray[np.bool_]:
        """Which patients have an NCA value that a log axis can show."""
        return np.asarray(self.nca > 0)


@drawn_from("checks.exposure(fit)")
def exposure_twin(
    twin: xr.Dataset, nca_params: xr.Dataset, parameter: str = "auc0_28", *, ax: Axes | None = None
) -> Axes:
    """Draw exposure from a fitted model against the same by NCA, one mark per patient.

    Parameters
    ----------
    twin : xr.Dataset
        From ``checks.exposure``: dims ``id`` and ``interval``.
    nca_params : xr.Dataset
        From ``nca.table``, with `parameter` on dim ``id``.
    parameter : str
        "auc0_28" (or the area of another window), "cmax" or "tmax".
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        Log axes of equal limits with the line of identity. A mark is the model's median with its
        interval as a bar. Patients whose NCA value is zero (never above the LLOQ, open
        triangles) or missing (crosses) stand in the margin on the left. Medians and bars that
        go below the axis end on its lower edge.

    Raises
    ------
    DataError
        If the parameter is not in both, or no patient has both values.
    """
    pairs = _pairs(twin, nca_params, parameter)
    ax = _axes.axes(ax, size=(5.6, 5.2))
    edge, lower, upper = _limits(ax, pairs)
    coloured = nca_params if default_by(nca_params) else twin
    made = groups(coloured, default_by(coloured))
    where = _places(pairs, edge, lower)
    for group in made:
        _draw(ax, pairs, where, np.isin(pairs.patients, group.patients), group.colour, lower)
    ax.plot([lower, upper], [lower, upper], color=_axes.INK, linewidth=1.0, zorder=2,
            label="identity")  # fmt: skip
    name, unit = _text.name_of(nca_params[parameter]), str(twin[parameter].attrs.get("units", ""))
    _axes.label(ax, _text.with_unit(f"{name} by NCA", unit),
                _text.with_unit(f"{name} from the model", unit))  # fmt: skip
    _axes.legend(ax, _keys(pairs, made, twin), ncols=2)
    return ax


@drawn_from("checks.exposure(fit)")
def exposure_twins(
    twin: xr.Dataset, nca_params: xr.Dataset, parameters: Sequence[str] = ("cmax", "auc0_28")
) -> Figure:
    """Draw several exposures from a fitted model against NCA, side by side.

    Parameters
    ----------
    twin, nca_params : xr.Dataset
        See `exposure_twin`.
    parameters : sequence of str
        One panel each.

    Returns
    -------
    Figure
        With one legend for all panels.

    Raises
    ------
    DataError
        See `exposure_twin`.
    """
    figure, panels = _axes.grid(1, len(parameters), (4.6, 4.5))
    keys: list[Any] = []
    for ax, parameter in zip(panels.flat, parameters, strict=True):
        exposure_twin(twin, nca_params, parameter, ax=ax)
        legend = ax.get_legend()
        if len(legend.get_texts()) > len(keys):
            keys = list(legend.legend_handles)
        legend.remove()
    _axes.figure_legend(figure, keys, ncols=4)
    return figure


def _pairs(twin: xr.Dataset, nca_params: xr.Dataset, parameter: str) -> _Pairs:
    for dataset, whose in ((twin, "the model's exposures"), (nca_params, "the NCA")):
        known = [str(v) for v in dataset.data_vars]
        if parameter not in known:
            raise DataError(
                f"{whose} hold no {parameter!r}.{did_you_mean(parameter, known)} "
                f"Known: {', '.join(known)}."
            )
    patients = twin["id"].values.astype(str)
    by_nca = dict(
        zip(nca_params["id"].values.astype(str), nca_params[parameter].values, strict=True)
    )
    numbers = twin[parameter].transpose("interval", "id").sel(interval=["median", "lower", "upper"])
    given = np.array([float(by_nca.get(p, np.nan)) for p in patients])
    pairs = _Pairs(patients, given, *numbers.values.astype(float))
    if not pairs.paired.any():
        raise DataError(f"no patient has {parameter!r} by NCA above zero: nothing to compare.")
    return pairs


def _limits(ax: Axes, pairs: _Pairs) -> tuple[float, float, float]:
    """Set equal log limits; return the left edge of the margin, and both limits of identity."""
    here = pairs.paired
    found = np.concatenate([pairs.nca[here], pairs.median[here]])
    found = found[np.isfinite(found) & (found > 0)]
    floor = float(pairs.nca[here].min()) / 30  # a fitted curve of nothing has no lower end
    lower = max(float(found.min()), floor) / 1.6
    upper = float(max(found.max(), np.quantile(pairs.upper[here], 0.9))) * 1.6
    share = _MARGIN if not here.all() else 0.0
    edge = lower / (upper / lower) ** (share / (1 - share))
    ax.set_xscale("log")
    ax.set_yscale("log")
    for axis in (ax.xaxis, ax.yaxis):
        _axes.level_axis(axis, lower, upper)
    ax.set_xlim(edge, upper)
    ax.set_ylim(lower, upper)
    ax.set_box_aspect(1 - share)  # a decade is as long across as upwards
    if share:
        ax.axvspan(edge, lower, color=_axes.PALE, alpha=0.45, linewidth=0, zorder=0.5)
        ax.annotate("NCA\nnone\nor 0", (0.5 * share, 0.985), xycoords="axes fraction", ha="center",
                    va="top", fontsize=_axes.SMALL - 1.5, color=_axes.GREY)  # fmt: skip
    return edge, lower, upper


def _places(pairs: _Pairs, edge: float, lower: float) -> Floats:
    """Return the places along x: the NCA value, or spread over the margin in a fixed order."""
    where = pairs.nca.copy()
    out = np.flatnonzero(~pairs.paired)
    shares = (np.random.default_rng(1).permutation(out.size) + 0.5) / max(out.size, 1)
    where[out] = edge * (lower / edge) ** (0.08 + 0.84 * shares)
    return where


def _draw(
    ax: Axes, pairs: _Pairs, where: Floats, mine: NDArray[np.bool_], colour: str, lower: float
) -> None:
    low, high = np.maximum(pairs.lower, lower), np.maximum(pairs.upper, lower)
    ax.vlines(where[mine], low[mine], high[mine], color=colour, alpha=0.4, linewidth=1.3,
              zorder=2.5)  # fmt: skip
    styles: tuple[tuple[NDArray[np.bool_], dict[str, Any]], ...] = (
        (pairs.paired, {"marker": "o", "markersize": 5, "mew": 0, "label": "patient"}),
        (pairs.nca <= 0, {"marker": "v", "markersize": 5.5, "mfc": "white", "label": "zero"}),
        (np.isnan(pairs.nca), {"marker": "x", "markersize": 5.5, "mew": 1.5, "label": "missing"}),
    )
    for chosen, style in styles:
        at = mine & chosen
        if at.any():
            level = np.maximum(pairs.median[at], lower)
            ax.plot(where[at], level, linestyle="none", color=colour, zorder=3, **style)


def _keys(pairs: _Pairs, made: list[Group], twin: xr.Dataset) -> list[Any]:
    prob = _text.percent(float(twin.attrs.get("prob", 0.9)))
    dots: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 5}
    keys = [_axes.key(g.label, color=g.colour, **dots) for g in made] if len(made) > 1 else []
    text = f"model median, {prob} interval"
    keys.append(_axes.key(text, color=_axes.INK, marker="o", markersize=5, linewidth=1.3))
    keys.append(_axes.key("identity", color=_axes.INK, linewidth=1.0))
    if (pairs.nca <= 0).any():
        keys.append(_axes.key("NCA: never above LLOQ (0)", color=_axes.INK, marker="v",
                              markersize=5.5, **_axes.OPEN))  # fmt: skip
    if np.isnan(pairs.nca).any():
        keys.append(_axes.key("NCA: not available", color=_axes.INK, marker="x", markersize=5.5,
                              linestyle="none"))  # fmt: skip
    return keys
