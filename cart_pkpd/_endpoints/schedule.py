"""When assessments are planned, and how many were missed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import at_least_0, number, shown


@dataclass(frozen=True)
class Schedule:
    """Planned assessments.

    Attributes
    ----------
    days : tuple of float
        Rising; they go on after the last in steps of the last interval. [day]
    window : float
        Days by which an assessment may be early or late. [day]
    """

    days: tuple[float, ...]
    window: float

    def until(self, day: float) -> list[float]:
        """Return the planned days up to and on a day."""
        days = list(self.days)
        step = days[-1] - (days[-2] if len(days) > 1 else 0.0)
        while days[-1] + step <= day:
            days.append(days[-1] + step)
        return [d for d in days if d <= day]

    def missed(self, last: float, event: float) -> int:
        """Return how many windows lie wholly after `last` and before `event`."""
        return sum(d - self.window > last and d + self.window < event for d in self.until(event))


def planned(timepoints: pd.DataFrame, days: Sequence[float] | None, window: float) -> Schedule:
    """Return the given schedule, or the median day of every visit's name.

    Raises
    ------
    DataError
        If days are given that do not rise above 0, or none are given and visits have no names.
    """
    at_least_0(window, "window")
    if days is not None:
        if not isinstance(days, Iterable) or isinstance(days, str | bytes | Mapping):
            raise DataError(f"schedule= must be days such as [28, 61, 91], not {shown(days)}.")
        given = tuple(number(d, "schedule") for d in days)
        rising = all(np.diff([0.0, *given]) > 0)
        if not given or not rising:
            raise DataError(f"schedule= must be rising days after the infusion, not {list(given)}.")
        return Schedule(given, window)
    later = timepoints[~timepoints["baseline"] & (timepoints["day"] > 0)]
    told = [bool(v) and not re.fullmatch(r"day -?[\d.]+", v) for v in later["visit"]]
    named = later[np.array(told, dtype=bool)]
    typical = sorted({float(d) for d in named.groupby("visit")["day"].median()})
    if not typical and len(later):
        raise DataError(
            "the planned days of the assessments are not known, as the visits have no names: pass "
            "schedule=[28, 61, 91], or missed=None to censor for no gap."
        )
    return Schedule(tuple(typical) or (np.inf,), window)
