"""Saturable expansion of idecabtagene vicleucel (Wu F et al. 2025)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cart_pkpd.models._ode import OdeModel, State
from cart_pkpd.models._parameters import Positive, Reference
from cart_pkpd.models._phases import guess_peak
from cart_pkpd.models.math import Value, where

_EXTRACT = "table of final estimates, from a machine extraction of the paper"


class Wu2025(OdeModel):
    """A lag, saturable growth to ``tmax``, then loss of effector cells and some memory [1]_.

    Growth is proportional to the cells while they are few and constant once they are many, so
    that the rise bends before the peak. Choose it to compare with published analyses of this
    family; for a Bayesian fit take ``effector_memory``, which has the same growth, no jumps and
    parameters that a fit identifies. The dose does not enter.

    References
    ----------
    .. [1] Wu F et al. (2025). Clin Pharmacokinet. https://doi.org/10.1007/s40262-025-01531-2
    """

    name = "wu2025"
    label = "Lag, saturable expansion, effector and memory cells (Wu F 2025)"
    population = "adults with multiple myeloma, ide-cel (KarMMa-3)"
    reference = Reference(
        "Wu F et al.",
        2025,
        "Population Cellular Kinetics of Idecabtagene Vicleucel in Patients with "
        "Triple-Class-Exposed Relapsed/Refractory Multiple Myeloma",
        "Clin Pharmacokinet",
        "10.1007/s40262-025-01531-2",
    )
    structure = "assumed"
    deviations = (
        "The arrangement of the equations is inferred from the names of the paper's parameters.",
        "Only r and deltam were readable; every other number is assumed, chosen so that the "
        "typical course peaks on the published median day 11 at 2.4e5 copies/µg, the recalled "
        "mean after 450e6 cells.",
        "Covariates are left out: formulation and creatinine clearance on e0, formulation and dose "
        "on vmax, tumour burden on tmax and deltam, bridging and anti-drug antibodies on deltae.",
        "A lag above tmax acts as a lag equal to tmax.",
    )
    sources = ("machine extraction of the paper, marked for review: r, deltam, names",)

    effector = State("copies/µg", "effector CAR-T cells")
    memory = State("copies/µg", "memory CAR-T cells")

    e0 = Positive(100.0, "copies/µg", "level until the lag has passed", iiv=1.0)
    tlag = Positive(2.0, "day", "lag before expansion", iiv=0.4, spread=0.5)
    tmax = Positive(11.0, "day", "end of the expansion", iiv=0.3, spread=0.5)
    vmax = Positive(70_000, "copies/µg/day", "largest growth", iiv=1.0)
    km = Positive(50_000, "copies/µg", "level of half the largest growth", iiv=0.5)
    deltae = Positive(0.12, "1/day", "death rate of effector cells", iiv=0.6)
    r = Positive(
        2.81e-4,
        "1/day",
        "conversion of effector to memory cells",
        iiv=0.8,
        source=f"{_EXTRACT}, RSE 12.7 %",
        confidence="transcribed",
    )
    deltam = Positive(
        5.55e-3,
        "1/day",
        "death rate of memory cells",
        iiv=0.8,
        source=f"{_EXTRACT}, RSE 6.9 %",
        confidence="transcribed",
    )

    def initial(self, p: Any) -> Mapping[str, Value]:
        """Return effector cells only."""
        return {"effector": p.e0, "memory": 0.0}

    def switches(self, p: Any) -> Sequence[Value]:
        """Return the start and the end of the expansion."""
        return p.tlag, p.tmax

    def rhs(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return nothing, then saturable growth, then loss and conversion."""
        growing = t < p.tmax
        growth = where(t < p.tlag, 0.0, p.vmax * y.effector / (p.km + y.effector))
        return {
            "effector": where(growing, growth, -(p.deltae + p.r) * y.effector),
            "memory": where(growing, 0.0, p.r * y.effector - p.deltam * y.memory),
        }

    def observe(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return the transgene level."""
        return {"transgene": y.effector + y.memory}

    def drivers(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return all cells, and the effector cells during the expansion."""
        return {
            "cells": y.effector + y.memory,
            "activated": where(t < p.tmax, where(t < p.tlag, 0.0, y.effector), 0.0),
        }

    def guess(self, time: NDArray[np.float64], level: NDArray[np.float64]) -> Mapping[str, float]:
        """Return the time of the observed peak."""
        return {k: v for k, v in guess_peak(time, level).items() if k == "tmax"}
