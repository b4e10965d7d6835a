"""How much of the DLTs is expected by a day: the weight of a patient still inside the window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cart_pkpd._core.validate import instance, reals
from cart_pkpd._dose.state import Floats


@dataclass(frozen=True)
class Onset:
    """Share F(t) of DLTs that occur by day t, given that one occurs: linear between points.

    A patient without a DLT at day t contributes 1 − π F(t) to the likelihood.

    Parameters
    ----------
    days : tuple of float
        Rising, from 0. [day]
    share : tuple of float
        Not falling, from 0 to 1.

    Examples
    --------
    Most DLTs of CAR-T cells come early:

    >>> float(Onset((0, 7, 14, 28), (0, 0.6, 0.85, 1))(14.0))
    0.85
    """

    days: tuple[float, ...]
    share: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("days", "share"):
            given = reals(
                getattr(self, name), f"the {name} of an onset curve", such_as="(0, 14, 28)"
            )
            object.__setattr__(self, name, given)
        if len(self.days) != len(self.share) or len(self.days) < 2:
            raise ValueError("an onset curve needs as many shares as days, at least two.")
        if not np.isfinite(self.days).all():
            raise ValueError(f"the days of an onset curve must be numbers, not {self.days}.")
        if self.days[0] != 0 or not np.all(np.diff(self.days) > 0):
            raise ValueError(f"the days of an onset curve must rise from 0, not {self.days}.")
        if self.share[0] != 0 or self.share[-1] != 1 or not np.all(np.diff(self.share) >= 0):
            raise ValueError(f"the shares must go from 0 to 1 without falling, not {self.share}.")

    def __call__(self, day: Floats | float) -> Floats:
        """Return F(day)."""
        return np.asarray(np.interp(day, self.days, self.share))

    def check_window(self, window: float) -> None:
        """Raise if the curve ends on another day than the DLT window."""
        if self.days[-1] != window:
            raise ValueError(
                f"the onset curve ends on day {self.days[-1]:g}, but the window on day "
                f"{window:g}; give both the same end."
            )

    @classmethod
    def adaptive(cls, days: Sequence[float], window: float) -> Onset:
        """Return the curve through observed days of DLTs: equal shares between them.

        Parameters
        ----------
        days : sequence of float
            Days of the DLTs seen so far; NaN, where the day is not known, is left out. [day]
        window : float
            End of the window. [day]

        Raises
        ------
        ValueError
            If a day lies outside the window.

        Notes
        -----
        The adaptive weights of Cheung & Chappell (2000): with z DLTs, z + 1 equal shares.
        """
        known = [float(d) for d in days if not np.isnan(d)]
        for day in known:
            if not 0 <= day <= window:
                raise ValueError(
                    f"a DLT on day {day:g} lies outside the window of 0 to {window:g} days; give "
                    "the days of the DLTs that count."
                )
        inside = sorted({d for d in known if 0 < d < window})
        knots = (0.0, *inside, float(window))
        seen = [sum(d <= knot for d in known) / (len(known) + 1) for knot in knots[:-1]]
        return cls(knots, (0.0, *seen[1:], 1.0))

    @property
    def text(self) -> str:
        """The curve in words."""
        inner = ", ".join(f"{s:g} by day {d:g}" for d, s in zip(self.days, self.share, strict=True))
        return f"share of DLTs expected: {inner}"


def check_onset(onset: Onset | None) -> None:
    """Raise if something else is given for an onset curve."""
    if onset is not None:
        instance(onset, Onset, "an onset curve", "dose.Onset((0, 14, 28), (0, 0.8, 1))")


def weight(onset: Onset | None, share: Floats) -> Floats:
    """Return F at shares of the window: those shares themselves without a curve."""
    return share if onset is None else onset(share * onset.days[-1])


def text_of(onset: Onset | None) -> str:
    """Return how patients inside the window are weighed, in words."""
    return onset.text if onset else "pending patients by share of follow-up"


def uniform(window: float) -> Onset:
    """Return the onset curve with constant rate over the window: the linear weight."""
    return Onset((0.0, float(window)), (0.0, 1.0))
