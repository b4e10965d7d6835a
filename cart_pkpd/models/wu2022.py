"""Transit compartments before blood, then two declines: ciltacabtagene autoleucel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cart_pkpd.models._ode import OdeModel, State
from cart_pkpd.models._parameters import Fraction, Positive, Reference
from cart_pkpd.models.math import Value, where


class Wu2022(OdeModel):
    """A lag and four transit compartments to blood, then a fast and a slow decline [1]_.

    Expansion is described, not explained: cells arrive in blood like an absorbed drug. Choose
    it where the rise is gradual and the peak broad, so that a sharp end of the expansion does
    not fit. The dose does not enter: ``total`` is on an arbitrary scale.

    References
    ----------
    .. [1] Wu LS et al. (2022). Clin Transl Sci 15:3000. https://doi.org/10.1111/cts.13421
    """

    name = "wu2022"
    label = "Transit compartments and two declines (Wu 2022)"
    population = "97 adults with multiple myeloma, cilta-cel (CARTITUDE-1)"
    reference = Reference(
        "Wu LS et al.",
        2022,
        "Population-based cellular kinetic characterization of ciltacabtagene autoleucel in "
        "subjects with relapsed or refractory multiple myeloma",
        "Clin Transl Sci 15:3000-3011",
        "10.1111/cts.13421",
    )
    structure = "assumed"
    deviations = (
        "The structure is recalled, not read: lag, four transit compartments, and a split between "
        "cells that decline fast and cells that decline slowly.",
        "Every number is assumed, chosen so that the typical course has the non-compartmental "
        "results published for CARTITUDE-1, taken as those of log-normal quantities with the "
        "published means and standard deviations. The terminal half-life, 40 d, is longer than "
        "that published (mean 23.5 d), which was taken from shorter follow-up.",
        "The level is 0 until the lag has passed.",
        "The dose does not enter.",
    )
    sources = (
        "medical information on ciltacabtagene autoleucel (J&J, 2025): non-compartmental results",
    )

    transit1 = State("copies/µg", "infused cells, first compartment", floor=1e-6)
    transit2 = State("copies/µg", "second compartment", floor=1e-6)
    transit3 = State("copies/µg", "third compartment", floor=1e-6)
    transit4 = State("copies/µg", "fourth compartment", floor=1e-6)
    fast = State("copies/µg", "cells in blood that decline fast", floor=1e-6)
    slow = State("copies/µg", "cells in blood that decline slowly", floor=1e-6)

    total = Positive(97_000, "copies/µg", "level that all arriving cells would give", iiv=0.6)
    lag = Positive(6.0, "day", "lag before cells arrive", iiv=0.3, spread=0.5)
    mtt = Positive(4.8, "day", "mean transit time after the lag", iiv=0.3, spread=0.5)
    alpha = Positive(0.28, "1/day", "fast decline rate", iiv=0.6)
    fb = Fraction(0.058, "1", "share of the cells that decline slowly", iiv=0.8)
    beta = Positive(0.0173, "1/day", "slow decline rate", iiv=0.8)

    def initial(self, p: Any) -> Mapping[str, Value]:
        """Return all cells in the first compartment."""
        empty = {"transit2": 0.0, "transit3": 0.0, "transit4": 0.0, "fast": 0.0, "slow": 0.0}
        return {"transit1": p.total, **empty}

    def switches(self, p: Any) -> Sequence[Value]:
        """Return the end of the lag."""
        return (p.lag,)

    def rhs(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return transfer along the chain after the lag, and both declines."""
        rate = where(t < p.lag, 0.0, 4.0 / p.mtt)
        arriving = rate * y.transit4
        return {
            "transit1": -rate * y.transit1,
            "transit2": rate * (y.transit1 - y.transit2),
            "transit3": rate * (y.transit2 - y.transit3),
            "transit4": rate * (y.transit3 - y.transit4),
            "fast": (1.0 - p.fb) * arriving - p.alpha * y.fast,
            "slow": p.fb * arriving - p.beta * y.slow,
        }

    def observe(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return the transgene level."""
        return {"transgene": y.fast + y.slow}
