"""A search for covariates and variability: the criterion of every candidate, step by step."""

from __future__ import annotations

import textwrap
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from cart_pkpd._compare.rules import ELPD, NAMES
from cart_pkpd._compare.searched import Search
from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import shown
from cart_pkpd.plots import _axes, _text

_SIGN = {"add": "+", "remove": "−"}
_LETTERS = 15  # of a line below a step
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
        A column per step: the candidate that was chosen, the others of the step as dots, and a
        line along what holds after each. Below each step what was chosen, and how many candidates
        had no fit.

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
    ax = _axes.axes(ax, size=(max(6.4, 1.7 + 1.05 * last), 4.8))
    line = _line(steps, last)
    ax.plot(line.index, line, color=_axes.BLUE, linewidth=1.6, zorder=2)
    kinds = steps.apply(_mark, axis=1)
    for z, (kind, style) in enumerate(_MARKS.items()):
        own = steps[(kinds == kind) & steps["criterion"].notna()]
        ax.plot(own["step"], own["criterion"], linestyle="none", zorder=4 - z / 8, **style)
    ax.set_xticks(range(last + 1), [_tick(steps, s) for s in range(last + 1)])
    ax.set_xlim(-0.5, last + 0.5)
    ax.grid(False, axis="x")
    _axes.label(ax, "Step", _criterion(found.rule.criterion))
    present = [k for k in _MARKS if (kinds == k).any()]
    _axes.legend(ax, [_axes.key(_WORDS[k], linestyle="none", **_MARKS[k]) for k in present])
    return ax


def _mark(row: pd.Series) -> str:
    if row["verdict"] == "not converged":
        return "no optimum"
    return "chosen" if row["chosen"] else str(row["verdict"])


def _line(steps: pd.DataFrame, last: int) -> pd.Series:
    """Return the criterion of the population that holds after every step."""
    path = steps[steps["chosen"]].set_index("step")["criterion"]
    return path.reindex(range(last + 1)).ffill()


def _tick(steps: pd.DataFrame, step: int) -> str:
    """Return the number of a step, what was chosen, and how many candidates had no fit."""
    own = steps[steps["step"] == step]
    taken = own[own["chosen"]]
    action = str(own["action"].iloc[0])
    if action == "start":
        what = "population given"
    elif len(taken):
        what = f"{_SIGN[action]} {taken['candidate'].iloc[0]}"
    else:
        what = f"nothing to {action}"
    lines = [str(step), *textwrap.wrap(what, _LETTERS)]
    without = int((own["criterion"].isna() & (own["verdict"] == "failed")).sum())
    if without:
        lines += textwrap.wrap(f"({_text.count(without, 'candidate')} without a fit)", _LETTERS)
    return "\n".join(lines)


def _criterion(name: str) -> str:
    text = NAMES[name].split(" (")[0]
    side = "higher" if name == ELPD else "lower"
    return f"{text[0].upper() if name != ELPD else text[0]}{text[1:]} ({side} is better)"
