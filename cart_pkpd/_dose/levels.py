"""The planned doses, with the range within which an amount still belongs to its level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._core import words
from cart_pkpd._core.errors import DataError
from cart_pkpd._core.units import canonical

_CLOSE = 1e-6  # relative: a dose read from a table is the planned one


@dataclass(frozen=True)
class Levels:
    """The doses that a protocol plans, lowest first.

    Attributes
    ----------
    doses : tuple of float
        Strictly rising and above 0. [unit]
    unit : str
        ``"cells"``, or per kg: ``"cells/kg"``.
    within : (float, float) or None
        Range of amounts that count for a level, as multiples of its dose: ``(0.7, 1.3)`` is the
        planned dose ± 30 %. None where the protocol states no range.

    Raises
    ------
    DataError
        If the doses do not rise, are not above 0, or the range does not hold the planned dose.

    Examples
    --------
    >>> Levels((1e6, 3e6, 1e7), "cells", (0.7, 1.3)).index(3e6)
    1
    """

    doses: tuple[float, ...]
    unit: str = "cells"
    within: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        doses = tuple(float(d) for d in self.doses)
        object.__setattr__(self, "doses", doses)
        object.__setattr__(self, "unit", canonical(self.unit))
        _check_doses(doses, self.unit)
        if self.within is not None:
            low, high = (float(v) for v in self.within)
            if not 0 < low <= 1 <= high < float("inf"):
                raise DataError(
                    f"the range of a dose level is given as multiples of its dose and must hold 1, "
                    f"such as (0.7, 1.3), not ({low:g}, {high:g})."
                )
            object.__setattr__(self, "within", (low, high))

    def __len__(self) -> int:
        return len(self.doses)

    @property
    def array(self) -> NDArray[np.float64]:
        """The doses in the unit of the levels, shape (K,)."""
        return np.array(self.doses)

    def index(self, dose: float) -> int:
        """Return the place of a planned dose, from 0.

        Raises
        ------
        DataError
            If no level has this dose.
        """
        near = [i for i, d in enumerate(self.doses) if abs(dose - d) <= _CLOSE * d]
        if near:
            return near[0]
        known = words.doses(self.doses, self.unit)
        raise DataError(
            f"{words.dose(dose, self.unit)} is not a planned dose level; the levels are {known}. "
            "Correct it, or plan it with levels=."
        )

    def text(self, level: int) -> str:
        """Return the dose of a level as printed: ``"1×10⁷ cells"``."""
        return words.dose(self.doses[level], self.unit)

    def holds(self, level: int, amount: float) -> bool:
        """Return whether an administered amount lies in the range of a level."""
        if self.within is None:
            return True
        low, high = (f * self.doses[level] for f in self.within)
        return low * (1 - _CLOSE) <= amount <= high * (1 + _CLOSE)


def _check_doses(doses: tuple[float, ...], unit: str) -> None:
    if not doses:
        raise DataError("there are no dose levels; give the planned doses, lowest first.")
    for i, dose in enumerate(doses):
        if not 0 < dose < float("inf"):
            raise DataError(
                f"dose level {i + 1} is {dose:g} {unit}; a planned dose must be above 0."
            )
        if i and dose <= doses[i - 1]:
            raise DataError(
                f"dose level {i + 1} is {words.dose(dose, unit)}, not above level {i} "
                f"({words.dose(doses[i - 1], unit)}); give the planned doses in rising order, each "
                "once."
            )


def as_levels(levels: Levels | Sequence[float], unit: str | None = None) -> Levels:
    """Return planned doses as `Levels`."""
    if isinstance(levels, Levels):
        return levels
    return Levels(tuple(levels), unit or "cells")
