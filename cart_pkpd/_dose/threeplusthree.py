"""The 3+3 design, in two dialects, as a comparator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from cart_pkpd._core.validate import one_of
from cart_pkpd._dose.design import Design
from cart_pkpd._dose.patients import DoseData
from cart_pkpd._dose.rules import Rule, Rules
from cart_pkpd._dose.state import Ints, Mask, State, Summary

_FIRST, _SECOND = 3, 6


@dataclass(frozen=True)
class ThreePlusThree(Design):
    """Three patients, three more at one DLT; up to 1 of 6 is tolerated [1]_.

    Parameters
    ----------
    dialect : {"de-escalate", "stop"}
        What follows a dose that is too toxic: the dose below is filled up to six patients before it
        is the MTD, or the trial stops with it.
    early : bool
        Whether a dose is too toxic at its second DLT, before the cohort is complete, as protocols
        say.

    Notes
    -----
    A comparator: it has no target. A dose with more than six patients is tolerated at a DLT rate up
    to 1/6.

    References
    ----------
    .. [1] Storer (1989), Biometrics 45:925.
    """

    dialect: Literal["de-escalate", "stop"]
    early: bool = True

    def __post_init__(self) -> None:
        one_of(self.dialect, ("de-escalate", "stop"), "dialect")

    def __and__(self, rule: Rule | Rules) -> ThreePlusThree:
        raise TypeError("3+3 is a rule of its own and takes no others; compare it as it is.")

    @property
    def name(self) -> str:
        return "3+3"

    @property
    def text(self) -> str:
        then = (
            "below a dose that is too toxic six patients are needed"
            if self.dialect == "de-escalate" else "stops at the first dose that is too toxic"
        )  # fmt: skip
        when = "at its second DLT" if self.early else "once its cohort is complete"
        return f"3+3, {then}; a dose is too toxic {when}"

    def _toxic(self, n: Ints, y: Ints) -> Mask:
        many = np.where(n > _SECOND, 6 * y > n, y >= 2)
        done = (n == _FIRST) | (n >= _SECOND)
        return many & (done | self.early)

    def _tolerated(self, n: Ints, y: Ints) -> Mask:
        return ((n == _FIRST) & (y == 0)) | ((n >= _SECOND) & ~self._toxic(n, y))

    def _summary(self, state: State, cutoffs: tuple[float, ...]) -> Summary:
        rate = state.y / np.maximum(state.n, 1)
        return Summary(rate, rate, {})

    def _choose(self, state: State, found: Summary, eligible: Mask) -> Ints:
        return self._path(state)[0]

    def _own_stop(self, state: State, level: Ints) -> Mask:
        return self._path(state)[1]

    def _path(self, state: State) -> tuple[Ints, Mask]:
        """Return the next level (-1 for none) and which trials end."""
        toxic = self._toxic(state.n, state.y)
        k, top = np.maximum(state.current, 0), state.levels - 1
        rows = np.arange(state.size)
        n, y = state.n[rows, k], state.y[rows, k]
        up = self._tolerated(n, y)
        above_toxic = toxic[rows, np.minimum(k + 1, top)] & (k < top)
        fill = up & above_toxic & (n < _SECOND)
        done = up & ((k == top) | (above_toxic & ~fill))
        level = np.where(up & ~done & ~fill, k + 1, k)
        level, ended = np.where(state.current < 0, 0, level), done & (state.current >= 0)
        bad = toxic[rows, k] & (state.current >= 0)
        below, stops = self._below(state, toxic)
        return np.where(bad, below, level), np.where(bad, stops, ended)

    def _below(self, state: State, toxic: Mask) -> tuple[Ints, Mask]:
        """Return where to go from a level that is too toxic, and whether the trial ends there."""
        level = np.maximum(state.current, 0) - 1
        rows = np.arange(state.size)
        if self.dialect == "stop":
            return level, level >= 0
        for _ in range(state.levels):
            at = np.maximum(level, 0)
            level = np.where((level >= 0) & toxic[rows, at], level - 1, level)
        return level, (level >= 0) & (state.n[rows, np.maximum(level, 0)] >= _SECOND)

    def _select(self, state: State, found: Summary, eligible: Mask) -> Ints:
        fine = self._tolerated(state.n, state.y) & eligible
        return np.where(fine, np.arange(state.levels), -1).max(axis=1)

    def _columns(self, data: DoseData, state: State, found: Summary) -> Mapping[str, Any]:
        n, y = state.n[0], state.y[0]
        verdict = np.where(self._toxic(n, y), "too toxic", np.where(
            self._tolerated(n, y), "tolerated", np.where(n > 0, "open", "")))  # fmt: skip
        return {"verdict": verdict}

    def _seen(self, state: State) -> str:
        k = int(state.current[0])
        return f"{int(state.y[0, k])} DLT of {int(state.n[0, k])} at the current dose"

    def _why(self, data: DoseData, state: State, found: Summary, level: int) -> str:
        if data.current is None:
            return "No patient yet: the lowest dose is first"
        if level > data.current:
            return f"{self._seen(state)}: tolerated"
        if level < data.current:
            return f"{self._seen(state)}: too toxic, the dose below needs six patients"
        n = int(state.n[0, level])
        more = _FIRST - n if n < _FIRST else _SECOND - n
        return f"{self._seen(state)}: {more} more there"

    def _why_mtd(self, data: DoseData, state: State, found: Summary, level: int) -> str:
        seen = f"{int(state.y[0, level])} DLT of {int(state.n[0, level])}"
        return f"{data.levels.text(level)} is the highest dose tolerated ({seen})"

    def _why_own_stop(self, data: DoseData, level: int) -> str:
        if level < 0:
            return "No dose is tolerated."
        n = int(data.n[level])
        short = f", with only {n} patients" if n < _SECOND else ""
        return (
            f"{data.levels.text(level)} is the highest dose tolerated, the "
            f"next is too toxic or not planned{short}."
        )

    def _why_none(self, limits: str) -> str:
        return "The lowest dose is too toxic."

    def prior_table(self) -> pd.DataFrame:
        """Return an empty table: the design has no prior."""
        return pd.DataFrame({"prior": ["none"]})
