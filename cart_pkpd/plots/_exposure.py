"""Exposure by dose: every patient, with the geometric mean of each dose level."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import NDArray

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import did_you_mean, probability
from cart_pkpd.plots import _axes, _text
from cart_pkpd.plots._given import drawn_from
from cart_pkpd.plots._groups import Group, groups
from cart_pkpd.plots._summaries import Geometric, geometric

Floats = NDArray[np.float64]
FEWEST = 3  # patients of a mean whose interval is drawn
_MARK, _HALF_WIDTH = 6.8, 0.26  # size of a mark [pt]; half the width of a column's marks


@drawn_from("nca.table(trial)")
def exposure(
    params: xr.Dataset,
    parameter: str = "cmax",
    by: str = "dose_level",
    *,
    colour_by: str | None = None,
    prob: float = 0.9,
    ax: Axes | None = None,
) -> Axes:
    """Draw one NCA parameter of every patient by dose, with geometric means.

    Parameters
    ----------
    params : xr.Dataset
        From ``nca.table``: one variable per parameter on dim ``id``.
    parameter : str
        Which one: "cmax", "auc0_28", "tmax", …
    by : str
        Patient variable that gives the columns.
    colour_by : str, optional
        Patient variable that gives the colours, such as best response or CRS grade; the
        colours are those of `by` otherwise.
    prob : float
        Probability of the t interval of the geometric mean.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        Log axis. Patients with a value of zero (never quantified) are open triangles, those
        without a value crosses, both on the lower edge; neither enters the mean. A mean is
        drawn from two values and its interval from three; an arrow marks an interval that runs
        beyond the axis.

    Raises
    ------
    DataError
        If the parameter or a grouping variable is not there, or no patient has a value.
    """
    probability(prob, "prob")
    variable = _variable(params, parameter)
    columns = groups(params, by)
    colours = groups(params, colour_by) if colour_by else columns
    ax = _axes.axes(ax, size=(max(7.0, 1.5 + 1.35 * len(columns)), 4.4))
    values = variable.values.astype(float)
    patients = params["id"].values.astype(str)
    means = [geometric(values[np.isin(patients, c.patients)], prob) for c in columns]
    floor = _level_limits(ax, values, means)
    _column_axis(ax, columns, by, params)
    for x, column in enumerate(columns):
        here = np.isin(patients, column.patients)
        _draw_patients(ax, x, patients[here], values[here], colours, floor)
        _draw_mean(ax, x, means[x])
    _axes.label(ax, y=_text.label(variable))
    _axes.legend(ax, _keys(values, prob, colours if colour_by else []), ncols=2)
    return ax


def _variable(params: xr.Dataset, parameter: str) -> xr.DataArray:
    known = [str(v) for v in params.data_vars if params[v].dims == ("id",)]
    if parameter not in known:
        raise DataError(
            f"the table holds no parameter {parameter!r}.{did_you_mean(parameter, known)} "
            f"Known: {', '.join(known)}."
        )
    if not (params[parameter].values > 0).any():
        raise DataError(f"no patient has a value above zero of {parameter!r}: nothing to draw.")
    return params[parameter]


def _level_limits(ax: Axes, values: Floats, means: list[Geometric]) -> float:
    """Set the log axis and return the level at which patients without a value stand.

    Intervals of very small groups may span decades: they are shown up to a factor of 5 beyond
    the data and are cut there.
    """
    positive = values[np.isfinite(values) & (values > 0)]
    low, high = float(positive.min()), float(positive.max())
    low = max(min([low, *(m.lower for m in means if m.n >= FEWEST)]), low / 5)
    high = min(max([high, *(m.upper for m in means if m.n >= FEWEST)]), high * 5)
    room = 1.9 if np.isfinite(values).all() and (values > 0).all() else 3.2
    reach = max(high / low, 3.0)
    lower, upper = low / room ** max(math.log10(reach) / 2, 0.6), high * 1.6
    ax.set_yscale("log")
    ax.set_ylim(lower, upper)
    _axes.level_axis(ax.yaxis, lower, upper)
    return float(lower * (upper / lower) ** 0.03)


def _offsets(ax: Axes, levels: Floats) -> Floats:
    """Return horizontal places of a column's patients, so that their marks do not overlap.

    Each mark, in a fixed random order, takes the free place nearest to the middle. Where none is
    free within the column's width, it goes where it is farthest from its neighbours.
    """
    width, height = _points(ax)
    lower, upper = np.log(ax.get_ylim())
    y = (np.log(levels) - lower) / (upper - lower) * height
    unit = width / float(np.ptp(ax.get_xlim()))
    tries = np.arange(0.0, _HALF_WIDTH * unit, 1.0)
    out = np.zeros(levels.size)
    placed: list[int] = []
    rng = np.random.default_rng(levels.size)
    for i in rng.permutation(levels.size):
        side = 1 if rng.random() < 0.5 else -1
        places = np.column_stack([side * tries, -side * tries]).ravel()
        apart = np.hypot(places[:, None] - out[placed], y[i] - y[placed])
        nearest = apart.min(axis=1, initial=np.inf)
        free = np.flatnonzero(nearest >= _MARK)
        out[i] = places[free[0] if free.size else int(np.argmax(nearest))]
        placed.append(int(i))
    return out / unit - 0.1


def _points(ax: Axes) -> tuple[float, float]:
    """Return width and height of the Axes, in points."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    box = ax.get_window_extent()
    return box.width / figure.dpi * 72, box.height / figure.dpi * 72


def _draw_patients(
    ax: Axes,
    x: int,
    patients: NDArray[np.str_],
    values: Floats,
    colours: list[Group],
    floor: float,
) -> None:
    places = x + _offsets(ax, np.where(values > 0, values, floor))  # NaN stands on the floor too
    for group in colours:
        mine = np.isin(patients, group.patients)
        styles: tuple[tuple[Any, dict[str, Any]], ...] = (
            (mine & (values > 0), {"marker": "o", "markersize": 6, "alpha": 0.85}),
            (mine & (values <= 0), {"marker": "v", "markersize": 6.5, "mfc": "white"}),
            (mine & np.isnan(values), {"marker": "x", "markersize": 6, "mew": 1.6}),
        )
        for chosen, style in styles:
            y = np.where(values[chosen] > 0, values[chosen], floor)
            if chosen.any():
                ax.plot(places[chosen], y, ls="none", color=group.colour, zorder=3, **style)


def _draw_mean(ax: Axes, x: int, found: Geometric) -> None:
    """Draw a mean of two or more, and its interval from three: of two it spans decades."""
    if found.n < 2:
        return
    at = x + 0.25
    ax.plot([at], [found.mean], marker="D", markersize=6, color=_axes.INK, zorder=4, label="mean")
    if found.n < FEWEST:
        return
    bottom, top = ax.get_ylim()
    ends = [max(found.lower, bottom), min(found.upper, top)]
    ax.plot([at, at], ends, color=_axes.INK, linewidth=1.6, zorder=4, label="interval")
    for cut, end, marker in ((found.lower < bottom, bottom, "v"), (found.upper > top, top, "^")):
        if cut:
            ax.plot([at], [end], marker=marker, markersize=7, color=_axes.INK, clip_on=False,
                    zorder=5, label="beyond")  # fmt: skip


def _column_axis(ax: Axes, columns: list[Group], by: str, params: xr.Dataset) -> None:
    texts = [f"{c.label}\nn = {len(c.patients)}" for c in columns]
    ax.set_xticks(range(len(columns)), texts, fontsize=_axes.SMALL, color=_axes.INK)
    ax.set_xlim(-0.6, len(columns) - 0.4)
    ax.grid(False, axis="x")
    _axes.label(ax, x=_text.name_of(params[by]))


def _keys(values: Floats, prob: float, colours: list[Group]) -> list[Any]:
    keys = [
        _axes.key(g.label, color=g.colour, marker="o", linestyle="none", markersize=6)
        for g in colours
    ] or [_axes.key("patient", color=_axes.INK, marker="o", linestyle="none", markersize=6)]
    text = f"geometric mean and {_text.percent(prob)} CI (n ≥ {FEWEST})"
    keys.append(_axes.key(text, color=_axes.INK, marker="D", markersize=6, linewidth=1.6))
    if (values <= 0).any():
        keys.append(_axes.key("never above LLOQ (0), not in the mean", markersize=6.5,
                              marker="v", color=_axes.INK, **_axes.OPEN))  # fmt: skip
    if np.isnan(values).any():
        keys.append(_axes.key("not available, not in the mean", color=_axes.INK, marker="x",
                              linestyle="none", markersize=6))  # fmt: skip
    return keys
