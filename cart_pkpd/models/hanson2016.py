"""Helper and cytotoxic CAR-T cells, lymphocytes and inflammation in B-ALL (Hanson et al. 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cart_pkpd.models._ode import Input, OdeModel, State
from cart_pkpd.models._parameters import Positive, Reference
from cart_pkpd.models.math import Value, exp, maximum

_SBML = "BIOMD0000000837"
_LN2 = 0.6931471805599453


def _hourly(value: float, unit: str, about: str, *, fixed: bool = False) -> Positive:
    """Return a rate that the file gives per hour, per day."""
    return Positive(
        24 * value, unit, about, source=f"{_SBML}: {value:g} per hour", confidence="transcribed",
        fixed=fixed,
    )  # fmt: skip


def _level(
    value: float, unit: str, about: str, *, fixed: bool = False, spread: float = 1.0
) -> Positive:
    return Positive(
        value, unit, about, source=_SBML, confidence="transcribed", fixed=fixed, spread=spread
    )


class Hanson2016(OdeModel):
    r"""Inflammation that CAR-T cells cause, and that drives their own expansion [1]_.

    CD8 and CD4 memory cells turn into effectors in bursts of ``n`` divisions where they meet
    blasts *and* there is inflammation; effectors cause more of it. Memory cells and lymphocytes
    refill up to a set point after lymphodepletion. Suppressing inflammation therefore also costs
    expansion: choose it to ask what anti-inflammatory treatment does to efficacy (input ``drug``).

    References
    ----------
    .. [1] Hanson S et al. (2016). bioRxiv 049908. https://doi.org/10.1101/049908
    """

    name = "hanson2016"
    label = "B-ALL with inflammation that drives expansion (Hanson 2016)"
    endpoint = "car_cells"
    population = "no data fitted: constants for B-ALL from the literature"
    reference = Reference(
        "Hanson S, Grimes DR, Taylor-King JP, et al.",
        2016,
        "Toxicity Management in CAR T cell therapy for B-ALL: Mathematical modelling as a new "
        "avenue for improvement",
        "bioRxiv 049908",
        "10.1101/049908",
    )
    structure = "transcribed"
    sources = ("BioModels BIOMD0000000837",)
    deviations = (
        "Rates are 24 times those of the file, whose unit of time is the hour.",
        "The file counts items without a volume; levels are read as cells per µL of blood, because "
        "the lymphocyte set point of 1600 is one per µL.",
        "The dose does not enter: the CAR-T cells at the start are parameters.",
        "The drug takes inflammation away at a constant rate, as in the file, where it is 0; a "
        "rate above p0 would make inflammation negative.",
    )

    drug = Input(0.0, "1/day", "inflammation taken away by a drug")

    cm = State("cells/µL", "CD8 memory CAR-T cells", floor=1e-6)
    ce = State("cells/µL", "CD8 effector CAR-T cells", floor=1e-6)
    hm = State("cells/µL", "CD4 memory CAR-T cells", floor=1e-6)
    he = State("cells/µL", "CD4 effector CAR-T cells", floor=1e-6)
    lymphocytes = State("cells/µL", "other lymphocytes", floor=1e-3)
    inflammation = State("1", "inflammation, arbitrary unit", floor=1e-3)
    blasts = State("cells/µL", "leukaemic blasts", floor=1e-3)

    n = _level(6.0, "1", "divisions on activation", spread=0.3)
    r1 = _hourly(0.003, "1/day", "growth rate of blasts")
    r2 = _hourly(0.1, "1/day", "refilling rate of CD8 memory", fixed=True)
    r3 = _hourly(0.1, "1/day", "refilling rate of CD4 memory", fixed=True)
    r4 = _hourly(0.1, "1/day", "refilling rate of lymphocytes", fixed=True)
    d1 = _hourly(2e-4, "µL/cells/day", "killing rate per CD8 effector")
    d2 = _hourly(1.5, "1/day", "decay rate of inflammation", fixed=True)
    d3 = _hourly(0.004, "1/day", "death rate of CD8 effectors")
    d4 = _hourly(0.004, "1/day", "death rate of CD4 effectors")
    d5 = _hourly(2e-4, "1/day", "death rate of lymphocytes", fixed=True)
    p0 = _hourly(200.0, "1/day", "inflammation made without CAR-T cells")
    p1 = _hourly(0.002, "µL^2/cells^2/day", "inflammation per encounter")
    p2 = _hourly(0.4, "cells/µL/day", "lymphocytes made", fixed=True)
    a1 = _hourly(4e-7, "µL/cells/day", "activation rate of CD8 memory per blast")
    a2 = _level(2.0, "µL/cells", "help by CD4 effectors", fixed=True)
    a3 = _hourly(8e-5, "µL/cells/day", "activation rate of CD4 memory per blast")
    b = _level(800.0, "1", "inflammation of half-activation")
    setpoint = _level(1600.0, "cells/µL", "cells up to which lymphocytes refill", fixed=True)
    k = _level(4800.0, "cells/µL", "largest number of blasts", fixed=True)
    cm0 = _level(10.0, "cells/µL", "CD8 memory cells at the infusion")
    ce0 = _level(10.0, "cells/µL", "CD8 effectors at the infusion", fixed=True)
    hm0 = _level(10.0, "cells/µL", "CD4 memory cells at the infusion")
    he0 = _level(10.0, "cells/µL", "CD4 effectors at the infusion", fixed=True)
    lymphocytes0 = _level(1600.0, "cells/µL", "lymphocytes at the infusion", fixed=True)
    inflammation0 = _level(140.0, "1", "inflammation at the infusion", fixed=True)
    blasts0 = _level(300.0, "cells/µL", "blasts at the infusion")

    def initial(self, p: Any) -> Mapping[str, Value]:
        """Return the levels at the infusion."""
        return {
            "cm": p.cm0,
            "ce": p.ce0,
            "hm": p.hm0,
            "he": p.he0,
            "lymphocytes": p.lymphocytes0,
            "inflammation": p.inflammation0,
            "blasts": p.blasts0,
        }

    def rhs(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return refilling, activation gated by inflammation, killing and inflammation."""
        everything = y.cm + y.ce + y.hm + y.he + y.lymphocytes + y.blasts
        room = maximum(1.0 - everything / p.setpoint, 0.0)
        gate = y.inflammation**2 / (y.inflammation**2 + p.b**2)
        killers = p.a1 * y.blasts * y.cm * (1.0 + p.a2 * y.he) * gate
        helpers = p.a3 * y.blasts * y.hm * gate
        burst = exp(_LN2 * p.n)  # 2^n cells from each
        made = p.p0 + p.p1 * y.blasts * (y.ce + y.he)
        return {
            "cm": p.r2 * y.cm * room - killers,
            "ce": burst * killers - p.d3 * y.ce,
            "hm": p.r3 * y.hm * room - helpers,
            "he": burst * helpers - p.d4 * y.he,
            "lymphocytes": p.p2 + p.r4 * y.lymphocytes * room - p.d5 * y.lymphocytes,
            "inflammation": made - p.drug - p.d2 * y.inflammation,
            "blasts": p.r1 * y.blasts * (1.0 - y.blasts / p.k) - p.d1 * y.blasts * y.ce,
        }

    def observe(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return all CAR-T cells, blasts and inflammation."""
        return {
            "car_cells": y.cm + y.ce + y.hm + y.he,
            "tumour": y.blasts,
            "inflammation": y.inflammation,
        }

    def drivers(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return also effectors, blasts killed per day, and blasts."""
        return {
            **super().drivers(t, y, p),
            "activated": y.ce + y.he,
            "killing": p.d1 * y.blasts * y.ce,
            "antigen": y.blasts,
        }
