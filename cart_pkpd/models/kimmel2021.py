"""CAR-T and normal T cells compete after lymphodepletion (Kimmel et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from cart_pkpd.models._ode import OdeModel, State
from cart_pkpd.models._parameters import ParameterSet, Positive, Reference
from cart_pkpd.models.math import Value, hill, log

_table = partial(Positive, source="Table 1")
_cells = partial(Positive, source="Table 1, divided by 5e8 µL")


class Kimmel2021(OdeModel):
    """CAR-T cells fill the space that lymphodepletion leaves, until normal T cells return [1]_.

    Both populations grow towards their own capacity, which each shares with the other; that of
    CAR-T cells is lower, so they expand while there is room and are then displaced. Expansion
    follows from how deep lymphodepletion was (`normal0`), not from the tumour. The
    tumour grows exponentially and is killed by CAR-T cells.

    In these equations a tumour never quite disappears: the paper calls cure the chance
    extinction of the last cells (1e-9 mL), which a differential equation does not describe.

    References
    ----------
    .. [1] Kimmel GJ, Locke FL, Altrock PM (2021). Proc R Soc B 288:20210229.
       https://doi.org/10.1098/rspb.2021.0229
    """

    name = "kimmel2021"
    label = "Competition with normal T cells after lymphodepletion (Kimmel 2021)"
    population = "medians of 101 adults with large B-cell lymphoma, axi-cel (ZUMA-1)"
    endpoint = "car_cells"
    reference = Reference(
        "Kimmel GJ, Locke FL, Altrock PM",
        2021,
        "The roles of T cell competition and stochastic extinction events in chimeric antigen "
        "receptor T cell therapy",
        "Proc R Soc B 288:20210229",
        "10.1098/rspb.2021.0229",
    )
    structure = "published"
    sources = ("BioModels BIOMD0000001041, which has the same equations.",)
    deviations = (
        "T cells are per µL of blood and the tumour in mL, the units in which the paper measures "
        "them; Table 1 counts cells (1 cell/µL is 5e8 cells, 1 mL is 1e9 cells).",
        "The cells at the infusion are a dose: 1.8e8 cells give the 0.36 cells/µL of the paper.",
        "Only the mean-field equations, without chance extinction of the tumour.",
    )
    errata = (
        "The fitted a and b of Table 1 lie outside their own quartile ranges (0.423 and 0.1 to "
        "0.302; 0.525 and 0.467 to 0.522); the fitted values are used.",
    )
    parameter_sets = MappingProxyType({
        "BIOMD0000001041": ParameterSet(
            "values as BioModels rounds them",
            {"kc": 139.0, "kb": 4.05},
            source="BioModels BIOMD0000001041",
            confidence="transcribed",
        ),
    })  # fmt: skip

    normal = State("cells/µL", "normal T cells", floor=1e-6)
    car_t = State("cells/µL", "CAR-T cells", floor=1e-6)
    tumour = State("mL", "tumour", floor=1e-9)

    dosed = "car_t"

    rn = _table(0.17, "1/day", "growth of normal T cells", spread=0.3)
    kn = _cells(500.0, "cells/µL", "capacity for normal T cells (2.5e11 cells)", fixed=True)
    kc = _cells(139.2, "cells/µL", "capacity for CAR-T cells (6.96e10 cells)", iiv=0.5)
    rho_c = _table(0.0251, "1/day", "growth of CAR-T cells among full normal T cells", iiv=0.5)
    b = _table(0.525, "1/day", "additional growth after lymphodepletion", iiv=0.3)
    a = _table(0.423, "1", "how soon that growth ceases as T cells return")
    normal0 = _cells(6.0, "cells/µL", "normal T cells at the infusion (3e9 cells)", iiv=0.5)
    rb = Positive(
        0.01, "1/day", "tumour growth rate (0.01 to 0.5 in the paper)", spread=1.5,
        source="BioModels BIOMD0000001041", confidence="transcribed",
    )  # fmt: skip
    gamma_b = _table(1.15, "1/day", "largest killing rate", iiv=0.5)
    kb = _cells(4.048, "cells/µL", "CAR-T cells for half the largest killing (2.024e9 cells)")
    tumour0 = Positive(
        94.86, "mL", "tumour at the infusion", source="Table 1, divided by 1e9 cells/mL", fixed=True
    )
    space = Positive(
        5e8, "µL", "volume by which numbers of T cells are divided", confidence="computed",
        source="1.8e8 cells of Table 1 and 0.36 cells/µL of Figure 2b", fixed=True,
    )  # fmt: skip

    def initial(self, p: Any) -> Mapping[str, Value]:
        """Return what lymphodepletion left, no CAR-T cells, and the tumour."""
        return {"normal": p.normal0, "car_t": 0.0, "tumour": p.tumour0}

    def dose_factor(self, p: Any) -> Mapping[str, Value]:
        """Return how many cells per µL a cell is."""
        return {"car_t": 1.0 / p.space}

    def rhs(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return equations 2.1 to 2.3."""
        all_cells = y.normal + y.car_t
        room = (all_cells - p.kn) ** 2
        rc = p.rho_c + p.b * room / (p.a * all_cells**2 + room)
        return {
            "normal": -p.rn * y.normal * log(all_cells / p.kn),
            "car_t": -rc * y.car_t * log(all_cells / p.kc),
            "tumour": p.rb * y.tumour - self._killing(y, p),
        }

    @staticmethod
    def _killing(y: Any, p: Any) -> Value:
        return p.gamma_b * y.tumour * hill(y.car_t, p.kb)

    def observe(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return CAR-T cells, all T cells (the absolute lymphocyte count) and the tumour."""
        return {"car_cells": y.car_t, "lymphocytes": y.normal + y.car_t, "tumour": y.tumour}

    def drivers(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return cells, tumour killed per day and tumour left."""
        return {
            **super().drivers(t, y, p),
            "killing": self._killing(y, p),
            "antigen": y.tumour,
        }
