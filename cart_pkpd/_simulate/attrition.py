"""Patients who leave: by a hazard, or by the share gone by a day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import real, shown
from cart_pkpd._simulate.streams import Floats

LEFT = ("stayed", "dropout", "death")
"""Why a patient was followed no longer, by code."""


@dataclass(frozen=True, kw_only=True)
class Dropout:
    """Times at which patients leave: exponential, or Weibull with another shape.

    Parameters
    ----------
    hazard : float, optional
        Rate of leaving at shape 1. [1/day]
    share, day : float, optional
        Instead of the hazard: the share of patients gone by a day. [day]
    shape : float
        1 for a constant hazard, above 1 for one that rises, below 1 for one that falls.

    Raises
    ------
    DataError
        If not exactly one of hazard and share is given, or a number cannot be.

    Examples
    --------
    >>> round(float(Dropout(share=0.2, day=28).gone(28.0)), 3)
    0.2
    """

    hazard: float | None = None
    share: float | None = None
    day: float | None = None
    shape: float = 1.0

    def __post_init__(self) -> None:
        if (self.hazard is None) == (self.share is None):
            raise DataError(
                "dropout: give either hazard= (per day), or share= and day=, such as "
                "Dropout(share=0.2, day=28)."
            )
        for name in ("hazard", "share", "day", "shape"):
            if getattr(self, name) is not None:
                real(getattr(self, name), f"dropout: {name}", error=DataError)
        if self.hazard is not None and not 0 <= self.hazard < np.inf:
            raise DataError(f"hazard must be 0 per day or more, not {shown(self.hazard)}.")
        if self.share is not None and not 0 <= self.share < 1:
            raise DataError(f"share must be a probability below 1, not {shown(self.share)}.")
        if self.share is not None and not (self.day is not None and 0 < self.day < np.inf):
            raise DataError(f"day must be above 0 where share= is given, not {shown(self.day)}.")
        if self.hazard is not None and self.day is not None:
            raise DataError("dropout: day= goes with share=, not with hazard=.")
        if not 0 < self.shape < np.inf:
            raise DataError(f"shape must be above 0, not {shown(self.shape)}.")

    @property
    def scale(self) -> float:
        """Scale of the Weibull distribution in days, infinite if nobody leaves."""
        if self.hazard is not None:
            return 1.0 / self.hazard if self.hazard > 0 else np.inf
        assert self.share is not None
        assert self.day is not None
        if not self.share:
            return np.inf
        return float(self.day / (-np.log1p(-self.share)) ** (1.0 / self.shape))

    def gone(self, day: float) -> float:
        """Return the share of patients gone by a day."""
        return float(-np.expm1(-((day / self.scale) ** self.shape)))

    def times(self, u: Floats) -> Floats:
        """Return the days on which patients leave, for shares `u` in (0, 1); infinite for never."""
        if not np.isfinite(self.scale):
            return np.full(u.shape, np.inf)
        return self.scale * (-np.log(u)) ** (1.0 / self.shape)
