"""Ranks of simulation-based calibration, as the difference of their ECDF from a uniform one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cart_pkpd._checks.uniform import Walk
from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import one_of, probability
from cart_pkpd.plots import _axes, _text
from cart_pkpd.plots._given import drawn_from

_CELL = (2.2, 1.75)


@drawn_from("checks.sbc(model, trial, population)", "quantity")
def sbc(
    found: xr.Dataset,
    quantities: Sequence[str] | None = None,
    *,
    prob: float = 0.95,
    ncols: int | None = None,
) -> Figure:
    """Draw by how much the ranks of each quantity depart from uniform ones.

    Parameters
    ----------
    found : xr.Dataset
        From ``checks.sbc``.
    quantities : sequence of str, optional
        Which ones, in this order; by default all.
    prob : float
        Probability with which the whole ECDF of uniform ranks lies in the band.
    ncols : int, optional
        Panels per row.

    Returns
    -------
    Figure
        A panel per quantity: the ECDF of the normalised rank minus that of a uniform one, with a
        simultaneous band; a curve that leaves the band is drawn in the other colour. A hump
        means that posteriors lie too high, a dip too low; first up and then down too narrow, first
        down and then up too wide.

    Raises
    ------
    DataError
        If no fit converged, or there is no such quantity.

    Notes
    -----
    Only fits that converged are drawn; the title counts the others. The band is simultaneous
    over the points of one panel, not over panels: the adjusted p-value is.
    """
    probability(prob, "prob")
    known = [str(q) for q in found["quantity"].to_numpy()]
    chosen = known if quantities is None else [
        one_of(q, known, "quantity of this calibration", error=DataError) for q in quantities
    ]  # fmt: skip
    kept = found.isel(simulation=np.flatnonzero(found["status"].to_numpy() == "converged"))
    n = kept.sizes["simulation"]
    if not n:
        raise DataError("no fit of this calibration converged; nothing to draw.")
    walk = Walk(n, int(found.attrs["ranks"]))
    lower, upper = walk.band(prob)
    figure, panels = _axes.small_multiples(len(chosen), ncols, _CELL, common="xy")
    reach = _reach(kept[["rank"]].sel(quantity=chosen), walk, lower, upper)
    left = False
    for ax, name in zip(panels, chosen, strict=True):
        left |= _panel(ax, kept.sel(quantity=name), walk, lower, upper)
        ax.set_xlim(0, 1)
        ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        ax.set_ylim(-reach, reach)
    _axes.shared_labels(figure, "Rank of the truth among posterior draws / number of ranks",
                        "ECDF minus uniform")  # fmt: skip
    _axes.figure_legend(figure, _keys(prob, found, n, left), ncols=3)
    return figure


def _reach(kept: xr.Dataset, walk: Walk, lower: np.ndarray, upper: np.ndarray) -> float:
    """Return one limit of all vertical axes."""
    ends = [np.abs(lower - walk.points).max(), np.abs(upper - walk.points).max()]
    ends += [np.abs(_difference(column, walk)).max() for column in kept["rank"].to_numpy().T]
    return float(max(ends)) * 1.1


def _difference(rank: np.ndarray, walk: Walk) -> np.ndarray:
    return walk.counts(rank.astype(np.int64)) / walk.n - walk.points


def _panel(ax: Axes, one: xr.Dataset, walk: Walk, lower: np.ndarray, upper: np.ndarray) -> bool:
    """Draw one quantity; return whether it leaves the band."""
    z = np.concatenate([[0.0], walk.points, [1.0]])

    def closed(values: np.ndarray) -> np.ndarray:
        return np.concatenate([[0.0], values, [0.0]])

    difference = _difference(one["rank"].to_numpy(), walk)
    low, high = lower - walk.points, upper - walk.points
    outside = bool(((difference < low - 1e-12) | (difference > high + 1e-12)).any())
    ax.fill_between(z, closed(low), closed(high), color=_axes.PALE, linewidth=0, zorder=1)
    ax.axhline(0, color=_axes.GREY, linewidth=0.8, zorder=1.5)
    ax.plot(z, closed(difference), color=_axes.ORANGE if outside else _axes.BLUE, linewidth=1.5,
            drawstyle="steps-post", zorder=3, label="ecdf")  # fmt: skip
    _axes.heading(ax, str(one["quantity"].item()), note=f"p = {_p(float(one['p_value']))}")
    return outside


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else _text.number(value, 2)


def _keys(prob: float, found: xr.Dataset, n: int, left: bool) -> list[object]:
    apart = found.sizes["simulation"] - n
    said = f"{_text.count(n, 'fit')} that converged"
    if apart:
        said += f" ({apart} did not)"
    outside = [_axes.key("leaves the band", color=_axes.ORANGE, linewidth=1.5)] if left else []
    return [
        _axes.key(said, color=_axes.BLUE, linewidth=1.5),
        *outside,
        Patch(color=_axes.PALE, label=f"{_text.percent(prob)} of uniform ECDFs lie in it"),
        _axes.key("p: of uniform ranks", linestyle="none"),
    ]
