"""Ranked models: difference in expected log predictive density, or in a criterion."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from cart_pkpd._compare.likelihood import CRITERIA, of_least_squares
from cart_pkpd._compare.records import BAYES, LEAST_SQUARES
from cart_pkpd._compare.result import Comparison, as_table
from cart_pkpd._core.errors import DataError
from cart_pkpd.plots import _axes

_WIDTH = 7.2  # of a figure with short names [inch]
_SHORT, _LETTER = 10, 0.085  # letters of a short name, and the width of one [inch]

_ELPD = "Expected log predictive density relative to the best model (higher is better)"


def comparison(table: Comparison | pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how far each model is from the best.

    Parameters
    ----------
    table : Comparison or pd.DataFrame
        From ``compare.models``, or its table: index model, columns ``rank``, ``elpd_diff`` (best
        minus model, 0 for the best), ``dse``, ``converged``; of one kind of fit
        (``found.block("bayes")``).
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        Best model on top, bars of one and two standard errors of the difference in expected log
        predictive density; dots of the difference in the criterion for likelihood fits. Models
        that were not ranked are listed below in grey.

    Raises
    ------
    DataError
        If the table is empty, is none, or has several kinds of fit.
    """
    given, table = table, as_table(table, "plots.comparison")
    if table.empty:
        raise DataError("the comparison holds no model: nothing to draw.")
    kind = _kind(table)
    ordered = table.sort_values("rank", na_position="last")
    longest = max(len(str(name)) for name in ordered.index)
    wide = _WIDTH + _LETTER * max(0, longest - _SHORT)  # as much room beside long names
    ax = _axes.axes(ax, size=(wide, 1.2 + 0.45 * len(ordered)))
    ranked = ordered["rank"].notna().to_numpy()
    for y, (_, row) in enumerate(ordered.iterrows()):
        if ranked[y] and kind == BAYES:
            _draw_model(ax, y, -abs(float(row["elpd_diff"])), float(row["dse"]))
        elif ranked[y]:
            ax.plot([float(row["difference"])], [y], **_DOT)
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
    _axes.label(ax, _ELPD if kind == BAYES else _criterion(given, kind))
    if kind == BAYES:
        _axes.legend(ax, _keys(bool(ranked.any())), ncols=3)
    return ax


_DOT: dict[str, Any] = {"marker": "o", "markersize": 7, "color": _axes.BLUE, "zorder": 3}


def _kind(table: pd.DataFrame) -> str:
    """Return the kind of fit; DataError if there are several."""
    # Fits that failed are of no kind.
    kinds = list(dict.fromkeys(table["kind"].dropna())) if "kind" in table else []
    kinds = kinds or [BAYES]
    if len(kinds) > 1:
        raise DataError(
            f"the comparison has {' and '.join(map(str, kinds))} fits, which have no scale in "
            f"common; draw each by itself: plots.comparison(found.block({str(kinds[0])!r}))."
        )
    return str(kinds[0])


def _criterion(given: Comparison | pd.DataFrame, kind: str) -> str:
    name = given.criterion if isinstance(given, Comparison) else ""
    if kind == LEAST_SQUARES and name:
        name = of_least_squares(name)
    what = CRITERIA[name].split(" (")[0] if name else "Criterion"
    return f"{what[0].upper()}{what[1:]} above that of the best model (lower is better)"


def _draw_model(ax: Axes, y: int, difference: float, error: float) -> None:
    if np.isfinite(error) and error > 0:
        for width, size in ((2, 1.3), (1, 3.2)):
            ends = [difference - width * error, difference + width * error]
            ax.plot(ends, [y, y], color=_axes.BLUE, linewidth=size, solid_capstyle="butt")
    ax.plot([difference], [y], **_DOT)


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
