"""What a design says: the next dose, or the MTD, with the rule in words."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd

from cart_pkpd._core import display, words

_TOLD_APART = ("pending", "eliminated", "eligible", "blocked_by")
"""Columns that are left out of a notebook's table where all doses have the same."""

Action = Literal["escalate", "stay", "de-escalate", "stop", "wait", "select", "recommend"]


@dataclass(frozen=True, eq=False)
class Decision:
    """A recommendation.

    Attributes
    ----------
    design : str
        The design with its targets, intervals, priors and rules, in words.
    action : str
        ``"escalate"``, ``"stay"``, ``"de-escalate"``, ``"stop"`` or ``"wait"``; ``"select"`` for
        an MTD at the end; ``"recommend"`` for a dose that need not be the MTD.
    dose : float or None
        The dose for the next patients, or the MTD; None if there is none. [unit]
    current : float or None
        The dose of the latest patients; None before the first. [unit]
    reason : str
        One sentence with the rule that gave it.
    table : pandas.DataFrame
        One row per planned dose; ``attrs["units"]``.
    flags : tuple of str
        What to look at before following it: sentences.
    unit : str
        Of the doses.
    cohort : int or None
        Patients to treat next, where the design says so.
    """

    design: str
    action: Action
    dose: float | None
    current: float | None
    reason: str
    table: pd.DataFrame
    flags: tuple[str, ...] = ()
    unit: str = "cells"
    cohort: int | None = None
    extra: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def sentence(self) -> str:
        """The recommendation for people, with its reason."""
        return f"{self.headline} {self.reason}"

    @property
    def headline(self) -> str:
        """The recommendation alone: ``"MTD: 1×10⁷ cells."``."""
        dose = "no dose" if self.dose is None else words.dose(self.dose, self.unit)
        match self.action:
            case "stop":
                end = "without a dose" if self.dose is None else f"with {dose}"
                return f"Stop, {end}."
            case "wait":
                return "Wait before the next patient."
            case "select":
                return f"MTD: {dose}."
            case "recommend":
                return f"Recommended dose: {dose}."
        said = {"escalate": "Escalate to", "stay": "Stay at", "de-escalate": "De-escalate to"}
        if self.current is None:
            said = dict.fromkeys(said, "Start at")
        n = f", {self.cohort} patient{'s' * (self.cohort > 1)}" if self.cohort else ""
        return f"{said[self.action]} {dose}{n}."

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: no NaN (None instead), no arrays."""
        return {
            "design": self.design,
            "action": self.action,
            "dose": plain(self.dose),
            "current": plain(self.current),
            "unit": self.unit,
            "cohort": self.cohort,
            "reason": self.reason,
            "flags": list(self.flags),
            "table": [
                {
                    str(self.table.index.name or "row"): plain(i),
                    **{str(k): plain(v) for k, v in row.items()},
                }
                for i, row in zip(self.table.index, self.table.to_dict("records"), strict=True)
            ],
            **{k: plain(v) for k, v in self.extra.items()},
        }

    def __repr__(self) -> str:
        return f"Decision: {self.sentence}"

    def __str__(self) -> str:
        flags = "".join(f"\n! {f}" for f in self.flags)
        shown = self.table.to_string(float_format="{:.4g}".format, formatters=self._formatters())
        return f"{self.sentence}{flags}\n{shown}"

    def _formatters(self) -> dict[str, Any]:
        return {"dose": partial(words.dose, unit=self.unit)} if "dose" in self.table else {}

    def _repr_html_(self) -> str:
        table, same = _without_the_same(self.table)
        table = table[_shown(table)].copy()
        if "dose" in table:
            table["dose"] = [_unbroken(words.dose(d, self.unit)) for d in table["dose"]]
        return display.block(
            self.headline, self.reason, table, flags=self.flags, notes=[same, self.design]
        )


_FIRST = ("dose", "next", "mtd", "eligible")  # what a reader looks for
_DETAILS = ("sd", "q25", "q50", "q75")  # beyond what a page of a notebook holds


def _shown(table: pd.DataFrame) -> list[str]:
    """Return the columns that a notebook shows, the decision before the numbers behind it."""
    kept = [str(c) for c in table if c not in (*_FIRST, *_DETAILS)]
    return [c for c in _FIRST if c in table] + kept


def _without_the_same(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return a table without columns that tell no doses apart, and a sentence with their values."""
    found = {
        c: table[c].iloc[0]
        for c in _TOLD_APART
        if c in table and table[c].nunique(dropna=False) == 1
    }
    said = [f"{c} {_said(v)}" for c, v in found.items() if _said(v)]
    kept = table.drop(columns=list(found))
    return kept, f"Not shown, the same at every dose: {', '.join(said)}." if said else ""


def _said(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return str(value)


def _unbroken(text: str) -> str:
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def plain(value: Any) -> Any:
    """Return a value as JSON takes it."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
