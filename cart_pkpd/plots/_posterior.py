"""Population parameters: prior against posterior, and all of them in one forest."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import NDArray
from scipy.stats import norm

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import did_you_mean, probability, shown
from cart_pkpd._fit.fitted import PopulationFit
from cart_pkpd.plots import _axes, _text
from cart_pkpd.plots._given import draws_of

Floats = NDArray[np.float64]
_LINE = 60  # letters in a line below the axis
_BINS = 400  # the draws are counted in bins first: a kernel for every draw is slow


@dataclass(frozen=True)
class _Sample:
    """One parameter's draws."""

    label: str
    posterior: Floats
    prior: Floats | None
    truth: float | None


def posterior(
    draws: xr.Dataset | PopulationFit,
    prior_draws: xr.Dataset | None = None,
    *,
    parameters: Sequence[str] | None = None,
    truth: Mapping[str, float] | None = None,
    prob: float = 0.9,
    ncols: int | None = None,
) -> Figure:
    """Draw the posterior density of each population parameter over its prior.

    Parameters
    ----------
    draws : fit or xr.Dataset
        A fit, whose priors are drawn too, or posterior draws: one variable per parameter, dims
        ``chain`` and ``draw``; attrs ``long_name`` and ``units``.
    prior_draws : xr.Dataset, optional
        Draws from the prior under the same names.
    parameters : sequence of str, optional
        Which to draw; all by default.
    truth : mapping, optional
        Known true values, for simulated data.
    prob : float
        Probability of the equal-tailed interval.
    ncols : int, optional
        Panels per row; 3 or 4 by default.

    Returns
    -------
    Figure
        One panel per parameter, on a log axis where the draws span more than a factor of 20.
        The densities have a common height within a panel only.

    Raises
    ------
    DataError
        If a parameter is not among the draws.
    """
    probability(prob, "prob")
    draws, prior_draws = draws_of(draws, prior_draws)
    samples = _samples(draws, prior_draws, parameters, truth or {})
    figure, panels = _axes.small_multiples(len(samples), ncols, (2.75, 2.05))
    for ax, sample in zip(panels, samples, strict=True):
        _density_panel(ax, sample, prob)
    _axes.figure_legend(figure, _density_keys(prior_draws is not None, bool(truth), prob))
    return figure


def _samples(
    draws: xr.Dataset,
    prior_draws: xr.Dataset | None,
    parameters: Sequence[str] | None,
    truth: Mapping[str, float],
) -> list[_Sample]:
    known = [str(name) for name in draws.data_vars]
    for name in parameters or ():
        if name not in known:
            raise DataError(
                f"the draws hold no parameter {name!r}.{did_you_mean(name, known)} "
                f"Known: {', '.join(known)}."
            )
    found = []
    for name in parameters or known:
        prior = None
        if prior_draws is not None and name in prior_draws:
            prior = prior_draws[name].values.astype(float).ravel()
        values = draws[name].values.astype(float).ravel()
        found.append(_Sample(_text.label(draws[name]), values, prior, truth.get(name)))
    return found


def _density_panel(ax: Axes, sample: _Sample, prob: float) -> None:
    tail = (1 - prob) / 2
    low, mid, high = np.quantile(sample.posterior, [tail, 0.5, 1 - tail])
    edges = _edges(sample)
    log = edges[0] > 0 and edges[1] / edges[0] > 20
    x = np.geomspace(*edges, 200) if log else np.linspace(*edges, 200)
    if sample.prior is not None:
        prior = _density(sample.prior, x, log)
        ax.fill_between(x, prior, color=_axes.GREY, alpha=0.28, linewidth=0, label="prior")
    density = _density(sample.posterior, x, log)
    ax.fill_between(x, density, color=_axes.BLUE, alpha=0.25, linewidth=0)
    ax.plot(x, density, color=_axes.BLUE, linewidth=1.5, label="posterior")
    base = -0.06 * float(density.max())
    ax.plot([low, high], [base, base], color=_axes.BLUE, linewidth=2.4, solid_capstyle="butt",
            label="interval")  # fmt: skip
    ax.plot([mid], [base], marker="o", color=_axes.BLUE, markersize=5, label="median")
    if sample.truth is not None:
        ax.axvline(sample.truth, color=_axes.ORANGE, linewidth=1.5, label="truth")
    _density_axes(ax, edges, log)
    _axes.heading(ax, sample.label, note=f"{_text.number(mid)} ({_text.interval(low, high)})")


def _edges(sample: _Sample) -> tuple[float, float]:
    """Return the x range: the posterior, the bulk of the prior, and the truth."""
    low, high = np.quantile(sample.posterior, [0.001, 0.999])
    if sample.prior is not None:
        inner = np.quantile(sample.prior, [0.03, 0.97])
        low, high = min(low, inner[0]), max(high, inner[1])
    if sample.truth is not None:
        low, high = min(low, sample.truth), max(high, sample.truth)
    if high <= low:  # a parameter that does not move
        return float(low) - 0.5, float(high) + 0.5
    return float(low), float(high)


def _density(values: Floats, x: Floats, log: bool) -> Floats:
    """Return the kernel density on the axis as drawn: per log unit on a log axis."""
    if log:
        values, x = np.log(values[values > 0]), np.log(x)
    if values.size < 2 or np.ptp(values) == 0:
        return np.zeros_like(x)
    counts, edges = np.histogram(values, _BINS)
    held = np.flatnonzero(counts)
    centres = (edges[:-1] + edges[1:])[held] / 2
    width = values.std(ddof=1) * values.size**-0.2  # Scott's rule, as of gaussian_kde
    kernels = norm.pdf(x[:, None], centres, width)
    return np.asarray(kernels @ counts[held] / values.size, dtype=float)


def _density_axes(ax: Axes, edges: tuple[float, float], log: bool) -> None:
    ax.yaxis.set_major_locator(NullLocator())
    ax.spines["left"].set_visible(False)
    ax.grid(False)
    if log:
        ax.set_xscale("log")
        _axes.level_axis(ax.xaxis, *edges)
    else:
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.xaxis.set_major_formatter(lambda value, _: _text.short(value))
    ax.set_xlim(*edges)


def _density_keys(prior: bool, truth: bool, prob: float) -> list[Any]:
    keys: list[Any] = []
    if prior:
        keys.append(Patch(color=_axes.GREY, alpha=0.28, linewidth=0, label="prior"))
    keys.append(Patch(facecolor=_axes.BLUE, alpha=0.3, linewidth=0, label="posterior"))
    text = f"posterior median and {_text.percent(prob)} interval"
    keys.append(_axes.key(text, color=_axes.BLUE, linewidth=2.4, marker="o", markersize=5))
    if truth:
        keys.append(_axes.key("true value", color=_axes.ORANGE, linewidth=1.5))
    return keys


def intervals(
    table: pd.DataFrame | PopulationFit,
    *,
    prob: float = 0.9,
    label: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw every positive parameter's posterior and prior, relative to its prior median.

    Parameters
    ----------
    table : fit or pd.DataFrame
        A Bayesian fit, or its parameter table as ``FitResult.table()`` returns it.
    prob : float
        Probability of the table's intervals, for the legend.
    label : str
        Added to the x label, such as the model's name.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        One row per parameter in the table's order. Parameters that may be negative have no
        place on this scale; their numbers stand below the axis.

    Raises
    ------
    DataError
        If no parameter is positive.
    """
    table = _table(table, prob)
    positive = (table[["prior_median", "prior_lower", "lower"]] > 0).all(axis=1)
    rows = table[positive]
    if rows.empty:
        raise DataError("no parameter of the table is positive: nothing to draw on a log axis.")
    ax = _axes.axes(ax, size=(7.2, 1.3 + 0.33 * len(rows)))
    y = np.arange(len(rows))[::-1]
    ends: list[float] = []
    for at, (_, row) in zip(y, rows.iterrows(), strict=True):
        ends += _interval_row(ax, float(at), row)
    _interval_axes(ax, rows, y, ends)
    _axes.legend(ax, _interval_keys(prob), ncols=2)
    omitted = [_in_words(row) for _, row in table[~positive].iterrows()]
    note = "\n".join(["\nNot on this scale:", *omitted]) if omitted else ""
    _axes.label(ax, f"Value relative to prior median{f', {label}' if label else ''}{note}")
    return ax


def _in_words(row: pd.Series[Any]) -> str:
    return "\n".join(textwrap.wrap(f"{row['label']} {_estimate(row)}", _LINE))


def _estimate(row: pd.Series[Any]) -> str:
    return f"{_text.number(row['median'])} ({_text.interval(row['lower'], row['upper'])})"


def _table(value: pd.DataFrame | PopulationFit, prob: float) -> pd.DataFrame:
    """Return the table of a fit, given as the fit or as the table."""
    own = getattr(value, "table", None) if isinstance(value, PopulationFit) else None
    table = value if own is None else own(prob)
    if isinstance(table, pd.DataFrame) and {"prior_median", "lower", "label"} <= set(table):
        return table
    raise DataError(
        f"plots.intervals: give a fit of fit.bayes, or its .table(), not {shown(value)}."
    )


def _interval_row(ax: Axes, at: float, row: pd.Series[Any]) -> list[float]:
    centre = row["prior_median"]
    prior = [row["prior_lower"] / centre, row["prior_upper"] / centre]
    found = [row["lower"] / centre, row["upper"] / centre]
    ax.plot(prior, [at, at], color=PRIOR, linewidth=7, solid_capstyle="butt", zorder=2)
    ax.plot(found, [at, at], color=_axes.BLUE, linewidth=2.4, solid_capstyle="butt", zorder=3)
    ax.plot([row["median"] / centre], [at], marker="o", markersize=5.5, color=_axes.BLUE, zorder=4)
    ax.annotate(_estimate(row), (1, at), xycoords=("axes fraction", "data"), xytext=(6, 0),
                textcoords="offset points", va="center", fontsize=_axes.SMALL,
                color=_axes.INK)  # fmt: skip
    return [*prior, *found]


PRIOR = "#c3c8ce"


def _interval_axes(ax: Axes, rows: pd.DataFrame, y: NDArray[Any], ends: list[float]) -> None:
    finite = [e for e in ends if math.isfinite(e)]
    lower, upper = min(finite) / 1.3, max(finite) * 1.3
    ax.set_xscale("log")
    ax.set_xlim(lower, upper)
    _axes.level_axis(ax.xaxis, lower, upper)
    ax.axvline(1, color=_axes.GREY, linewidth=0.9, zorder=1)
    labels = [
        _text.with_unit(_text.sentence(str(r["label"])), str(r["unit"])) for _, r in rows.iterrows()
    ]
    ax.set_yticks(y, labels, fontsize=_axes.SMALL, color=_axes.INK)
    ax.set_ylim(-0.7, len(rows) - 0.3)
    ax.grid(False, axis="y")


def _interval_keys(prob: float) -> list[Any]:
    share = _text.percent(prob)
    return [
        _axes.key(f"posterior median and {share} interval", color=_axes.BLUE, linewidth=2.4,
                  marker="o", markersize=5),
        _axes.key(f"prior {share} interval", color=PRIOR, linewidth=7),
    ]  # fmt: skip
