"""Ranked models: difference in expected log predictive density, with its standard error."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from cart_pkpd._core.errors import DataError
from cart_pkpd.plots import _axes

_WIDTH = 7.2  # of a figure with short names [inch]
_SHORT, _LETTER = 10, 0.085  # letters of a short name, and the width of one [inch]


def comparison(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how far each model's expected log predictive density is from the best.

    Parameters
    ----------
    table : pd.DataFrame
        From ``compare.models``: index model, columns ``rank``, ``elpd_diff`` (best minus
        model, 0 for the best), ``dse``, ``converged``.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        Best model on top, bars of one and two standard errors of the difference; models that
        were not ranked are listed below in grey.

    Raises
    ------
    DataError
        If the table is empty.
    """
    if table.empty:
        raise DataError("the comparison holds no model: nothing to draw.")
    ordered = table.sort_values("rank", na_position="last")
    longest = max(len(str(name)) for name in ordered.index)
    wide = _WIDTH + _LETTER * max(0, longest - _SHORT)  # as much room beside long names
    ax = _axes.axes(ax, size=(wide, 1.2 + 0.45 * len(ordered)))
    ranked = ordered["rank"].notna().to_numpy()
    for y, (_, row) in enumerate(ordered.iterrows()):
        if ranked[y]:
            _draw_model(ax, y, -abs(float(row["elpd_diff"])), float(row["dse"]))
        else:
            ax.annotate(_reason(row), (0.02, y), xycoords=("axes fraction", "data"), va="center",
                        fontsize=_axes.SMALL, color=_axes.GREY, style="italic")  # fmt: skip
    ax.axvline(0, color=_axes.GREY, linewidth=0.9, zorder=1)
    ax.set_yticks(range(len(ordered)), [str(name) for name in ordered.index])
    for text, known in zip(ax.get_yticklabels(), ranked, strict=True):
        text.set_color(_axes.INK if known else _axes.GREY)
        text.set_fontsize(_axes.BODY)
    ax.set_ylim(len(ordered) - 0.4, -0.6)
    ax.grid(False, axis="y")
    if not ranked.any():
        ax.set_xticks([])
    _axes.label(ax, "Expected log predictive density relative to the best model (higher is better)")
    _axes.legend(ax, _keys(bool(ranked.any())), ncols=3)
    return ax


def _draw_model(ax: Axes, y: int, difference: float, error: float) -> None:
    if np.isfinite(error) and error > 0:
        for width, size in ((2, 1.3), (1, 3.2)):
            ends = [difference - width * error, difference + width * error]
            ax.plot(ends, [y, y], color=_axes.BLUE, linewidth=size, solid_capstyle="butt")
    ax.plot([difference], [y], marker="o", markersize=7, color=_axes.BLUE, zorder=3)


def _reason(row: pd.Series) -> str:
    """Return why a model has no rank, cut to what fits beside its name."""
    verdict = str(row.get("verdict") or "did not converge")
    verdict = verdict[0].lower() + verdict[1:]
    return textwrap.shorten(f"not ranked: {verdict}", 84, placeholder=" …")


def _keys(any_ranked: bool) -> list[object]:
    if not any_ranked:
        return []
    return [
        _axes.key("difference", marker="o", color=_axes.BLUE, linestyle="none", markersize=7),
        _axes.key("± 1 SE of the difference", color=_axes.BLUE, linewidth=3.2),
        _axes.key("± 2 SE", color=_axes.BLUE, linewidth=1.3),
    ]
