"""When samples are planned, and when they are drawn: nominal days, late visits, missed visits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import one_of, real, shown
from cart_pkpd._simulate.streams import Floats, Streams


@dataclass(frozen=True, eq=False)
class Schedule:
    """Days on which samples are planned.

    Parameters
    ----------
    days : array_like, or mapping of str to array_like
        Nominal days since the first infusion, at or after 0: the same for every endpoint, or by
        endpoint. [day]
    window : float
        Visits take place up to so many days before or after the nominal day, all times alike; those
        of day 0 do not move. A visit never passes its neighbours. [day]
    missed : float
        Probability that a visit does not take place, day 0 excepted.

    Raises
    ------
    DataError
        If a day, the window or the probability cannot be.

    Examples
    --------
    >>> Schedule([0, 3, 7, 10, 14, 21, 28], window=1.0, missed=0.05).visits.size
    7
    """

    days: ArrayLike | Mapping[str, ArrayLike]
    window: float = 0.0
    missed: float = 0.0

    def __post_init__(self) -> None:
        given = self.days if isinstance(self.days, Mapping) else {"": self.days}
        if not given:
            raise DataError("times: no endpoint has a sample; name one, or give days for all.")
        by_name = {str(name): _days(days, str(name)) for name, days in given.items()}
        object.__setattr__(self, "days", by_name)
        real(self.window, "window", error=DataError)
        real(self.missed, "missed", error=DataError)
        if not 0 <= self.window < np.inf:
            raise DataError(f"window must be 0 days or more, not {shown(self.window)}.")
        if not 0 <= self.missed < 1:
            raise DataError(f"missed must be a probability below 1, not {shown(self.missed)}.")

    @property
    def _by_name(self) -> dict[str, Floats]:
        found: Any = self.days
        return found

    @property
    def visits(self) -> Floats:
        """Every nominal day, rising, shape (v,)."""
        return np.unique(np.concatenate([*self._by_name.values()]))

    def planned(self, endpoints: tuple[str, ...]) -> Any:
        """Return whether an endpoint is sampled at each visit, shape (v, e).

        Raises
        ------
        DataError
            If the schedule names an endpoint that is not simulated.
        """
        out = np.zeros((self.visits.size, len(endpoints)), dtype=bool)
        for name, days in self._by_name.items():
            at = np.isin(self.visits, days)
            if name == "":
                out[at] = True
            else:
                one_of(name, endpoints, "endpoint of this simulation", error=DataError)
                out[at, endpoints.index(name)] = True
        return out

    def times(self, streams: Streams) -> Floats:
        """Return the days of visits, shape (BLOCK, v), or (1, v) if always as planned."""
        nominal = self.visits
        if not self.window:
            return nominal[None, :]
        # Half way to a neighbour is the furthest that keeps the order.
        gaps = np.diff(nominal)
        before = np.minimum(self.window, np.concatenate([[np.inf], gaps / 2]))
        after = np.minimum(self.window, np.concatenate([gaps / 2, [np.inf]]))
        before = np.minimum(before, nominal)
        fixed = nominal == 0
        u = streams.uniform("visits", nominal.size)
        moved = nominal - before + u * (before + after)
        return np.where(fixed, nominal, moved)

    def absent(self, streams: Streams) -> Any:
        """Return which visits do not take place, shape (BLOCK, v), or (1, v) if all do."""
        nominal = self.visits
        if not self.missed:
            return np.zeros((1, nominal.size), dtype=bool)
        return (streams.uniform("missed", nominal.size) < self.missed) & (nominal > 0)


def as_schedule(times: Any) -> Schedule:
    """Return days, or days by endpoint, as a schedule."""
    return times if isinstance(times, Schedule) else Schedule(times)


def _days(days: Any, name: str) -> Floats:
    of = f" of {name}" if name else ""
    try:
        found = np.atleast_1d(np.asarray(days, dtype=float))
    except (TypeError, ValueError):
        raise DataError(f"times{of} must be numbers (days), not {shown(days)}.") from None
    if found.ndim != 1 or not found.size or not np.isfinite(found).all() or (found < 0).any():
        raise DataError(f"times{of} must be a vector of days at or after 0.")
    return np.unique(found)
