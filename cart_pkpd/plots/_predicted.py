"""Observed against predicted values: the first look at goodness of fit."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import one_of
from cart_pkpd.plots import _axes, _text
from cart_pkpd.plots._given import drawn_from

Against = Literal["ipred", "pred"]
_NAMES = {"ipred": "Individual prediction", "pred": "Population prediction"}


@drawn_from("checks.predictions(fit)", "dv", "censoring")
def observed_vs_predicted(
    predictions: xr.Dataset, against: Against = "ipred", *, ax: Axes | None = None
) -> Axes:
    """Draw observed against predicted values on log axes, with the line of identity.

    Parameters
    ----------
    predictions : xr.Dataset
        From ``checks.predictions``, with `against` as a variable on dim ``obs``.
    against : {"ipred", "pred"}
        Individual prediction, or the population's for the patient's covariates.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        Values below the LLOQ are open triangles at the LLOQ, which is a dashed line.

    Raises
    ------
    DataError
        If the predictions at the observations are not there.
    """
    one_of(against, _NAMES, "prediction")
    if against not in predictions:
        raise DataError(f"the predictions hold no {against!r} at the observations: cannot draw.")
    ax = _axes.axes(ax, size=(4.6, 4.6))
    _points(ax, predictions, against)
    units = _text.unit(str(predictions.attrs.get("units") or predictions["dv"].attrs.get("units")))
    observed = _text.endpoint_label(predictions)
    _axes.label(ax, f"{_NAMES[against]} ({units})", f"Observed {_lowered(observed)}")
    _axes.legend(ax, _keys(predictions), ncols=2)
    return ax


def _lowered(text: str) -> str:
    """Lower the first letter of a word, but not of an acronym."""
    return text if len(text) > 1 and text[1].isupper() else text[0].lower() + text[1:]


def _points(ax: Axes, predictions: xr.Dataset, against: str) -> None:
    x, y = predictions[against].values, predictions["dv"].values
    censoring = predictions["censoring"].values
    lower, upper = _range(x, y)
    x = np.maximum(x, lower * 1.12)
    exact = (censoring == "none") & (x > 0) & (y > 0)
    ax.plot(x[exact], y[exact], marker="o", markersize=3.6, linestyle="none", alpha=0.6,
            color=_axes.BLUE, markeredgewidth=0, zorder=3, label="data")  # fmt: skip
    _axes.censored_marks(ax, x, y, censoring, _axes.GREY)
    ax.plot([lower, upper], [lower, upper], color=_axes.INK, linewidth=1.1, zorder=2,
            label="identity")  # fmt: skip
    _axes.quantification_limit(ax, predictions["lloq"].values)
    ax.set_xscale("log")
    ax.set_yscale("log")
    for axis in (ax.xaxis, ax.yaxis):
        _axes.level_axis(axis, lower, upper)
    ax.set_xlim(lower, upper)
    ax.set_ylim(lower, upper)
    ax.set_aspect("equal", adjustable="box")


def _range(x: Any, y: Any) -> tuple[float, float]:
    """Return common limits: all observations, and predictions down to 1/30 of the lowest.

    Lower predictions stand on the left edge: a curve falls without end, the axis does not.
    """
    low = float(np.nanmin(y[y > 0]))
    lower = max(float(np.nanmin(x[x > 0])), low / 30)
    return min(lower, low) / 1.5, float(max(np.nanmax(x), np.nanmax(y))) * 1.5


def _keys(predictions: xr.Dataset) -> list[Any]:
    keys = [
        _axes.key("observation", color=_axes.BLUE, marker="o", markersize=4, linestyle="none"),
        _axes.key("identity", color=_axes.INK, linewidth=1.1),
    ]
    units = str(predictions.attrs.get("units") or predictions["dv"].attrs.get("units", ""))
    keys += _axes.censored_keys(predictions["censoring"].values, _axes.GREY)
    return keys + _axes.limit_key(predictions["lloq"].values, units)


@drawn_from("checks.predictions(fit)", "dv", "censoring")
def goodness_of_fit(predictions: xr.Dataset) -> Figure:
    """Draw observed against population and individual predictions, side by side.

    Parameters
    ----------
    predictions : xr.Dataset
        From ``checks.predictions``, with ``ipred`` and, for the left panel, ``pred`` on ``obs``.

    Returns
    -------
    Figure
        One panel per prediction that is there.

    Raises
    ------
    DataError
        If neither is there.
    """
    both: tuple[Against, Against] = ("pred", "ipred")
    there = [name for name in both if name in predictions]
    if not there:
        raise DataError("the predictions hold neither 'ipred' nor 'pred' at the observations.")
    figure, panels = _axes.grid(1, len(there), (4.4, 4.5))
    for ax, against in zip(panels.flat, there, strict=True):
        observed_vs_predicted(predictions, against, ax=ax)
        if ax.get_legend() is not None:
            ax.get_legend().remove()
    _axes.figure_legend(figure, _keys(predictions))
    return figure
