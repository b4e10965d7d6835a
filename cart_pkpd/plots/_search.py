"""A search for covariates and variability: the criterion of every candidate, step by step."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from cart_pkpd._compare.rules import ELPD, NAMES
from cart_pkpd._compare.searched import Search
from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import shown
from cart_pkpd.plots import _axes, _text

_SIGN = {"add": "+", "remove": "−", "start": ""}
_LOST = ("failed", "not converged")
_MARKS: dict[str, dict[str, Any]] = {
    "chosen": {"marker": "o", "markersize": 8, "color": _axes.BLUE},
    "passes": {"marker": "o", "markersize": 5.5, "color": _axes.BLUE, "markerfacecolor": "white"},
    "does not pass": {"marker": "o", "markersize": 4.5, "color": _axes.GREY},
    "no optimum": {"marker": "x", "markersize": 5.5, "color": _axes.ORANGE},
}
_WORDS = {
    "chosen": "chosen", "passes": "would pass", "does not pass": "does not pass",
    "no optimum": "did not converge",
}  # fmt: skip


def search(found: Search, *, ax: Axes | None = None) -> Axes:
    """Draw the criterion of every candidate at every step of a search.

    Parameters
    ----------
    found : Search
        From ``compare.search``.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        A column per step: the chosen candidates joined by a line and named, the others of the step
        as dots; candidates without a fit are counted below their step.

    Raises
    ------
    DataError
        If `found` is no search.
    """
    if not isinstance(found, Search):
        raise DataError(
            "plots.search draws what compare.search returns: plots.search(compare.search(...)), "
            f"not {shown(found)}."
        )
    steps = found.steps
    last = int(steps["step"].max())
    ax = _axes.axes(ax, size=(7.6, 4.6))
    path = steps[steps["chosen"]]
    ax.plot(path["step"], path["criterion"], color=_axes.BLUE, linewidth=1.6, zorder=2)
    kinds = steps.apply(_mark, axis=1)
    for kind, style in _MARKS.items():
        own = steps[(kinds == kind) & steps["criterion"].notna()]
        ax.plot(own["step"], own["criterion"], linestyle="none", zorder=3, **style)
    _named(ax, path, higher=found.rule.criterion == ELPD)
    ax.set_xticks(range(last + 1), [_tick(steps, s) for s in range(last + 1)])
    ax.set_xlim(-0.35, last + 0.75)
    ax.margins(y=0.14)
    ax.grid(False, axis="x")
    _axes.label(ax, "Step", _criterion(found.rule.criterion))
    present = [k for k in _MARKS if (kinds == k).any()]
    _axes.legend(ax, [_axes.key(_WORDS[k], linestyle="none", **_MARKS[k]) for k in present])
    return ax


def _mark(row: pd.Series) -> str:
    if row["verdict"] == "not converged":
        return "no optimum"
    return "chosen" if row["chosen"] else str(row["verdict"])


def _named(ax: Axes, path: pd.DataFrame, *, higher: bool) -> None:
    """Write what was chosen beside its dot, on the side where the line does not go."""
    for _, row in path.iterrows():
        name = str(row["candidate"])
        text = "population given" if row["action"] == "start" else f"{_SIGN[row['action']]} {name}"
        away = 9 if row["action"] == "start" else -9
        away = -away if higher else away
        ax.annotate(
            text, (row["step"], row["criterion"]), xytext=(6, away), textcoords="offset points",
            va="bottom" if away > 0 else "top", fontsize=_axes.SMALL, color=_axes.INK,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6}, zorder=4,
        )  # fmt: skip


def _tick(steps: pd.DataFrame, step: int) -> str:
    """Return the number of a step, its direction, and how many candidates had no fit."""
    own = steps[steps["step"] == step]
    action = str(own["action"].iloc[0])
    lines = [str(step), {"start": "", "add": "add", "remove": "remove"}[action]]
    without = int((own["criterion"].isna() & own["verdict"].isin(_LOST)).sum())
    if without:
        lines.append(f"{_text.count(without, 'candidate')} without a fit")
    return "\n".join(filter(None, lines))


def _criterion(name: str) -> str:
    text = NAMES[name].split(" (")[0]
    side = "higher" if name == ELPD else "lower"
    return f"{text[0].upper() if name != ELPD else text[0]}{text[1:]} ({side} is better)"
