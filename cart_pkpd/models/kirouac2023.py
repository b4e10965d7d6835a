"""An antigen-sensing toggle between memory and effector cells (Kirouac et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from cart_pkpd.models._ode import OdeModel, State
from cart_pkpd.models._parameters import Fraction, ParameterSet, Positive, Reference
from cart_pkpd.models.math import Value, maximum

_LEAST = 1e-15


class Kirouac2023(OdeModel):
    r"""Antigen decides between memory and effector fate of CAR-T cells [1]_.

    One Hill function of the systemic antigen, the toggle, sets together: that memory cells
    differentiate instead of renewing themselves, that young effectors divide, that effectors
    tire, and, where antigen is gone, that effectors return to memory. Response depends most on
    the antigen sensitivity ``tk50``, killing, and turnover of memory. Choose it to ask how product
    quality changes response. **The equations were not read in the paper: its text names the
    populations and what the toggle controls; the formulas and all values here are assumed.**

    References
    ----------
    .. [1] Kirouac DC et al. (2023). Nat Biotechnol 41:1606.
       https://doi.org/10.1038/s41587-023-01687-x
    """

    name = "kirouac2023"
    label = "Antigen toggle between memory and effector fate (Kirouac 2023; equations assumed)"
    endpoint = "car_cells"
    population = "CLL, tisagenlecleucel (Fraietta 2018), by response; other products later"
    reference = Reference(
        "Kirouac DC, et al.",
        2023,
        "Deconvolution of clinical variance in CAR-T cell pharmacology and response",
        "Nat Biotechnol 41:1606",
        "10.1038/s41587-023-01687-x",
    )
    structure = "assumed"
    sources = ("The model structure in words and the parameter names in the paper's main text",)
    deviations = (
        "Populations and what the toggle controls are the paper's; formulas and values are "
        "assumed, because its Methods were not at hand.",
        "Antigen is held above 1e-15 tk50 in the toggle, where a power of 0 has no derivative.",
        "Levels per blood volume assume that all cells are in 5 L of blood.",
    )
    parameter_sets = MappingProxyType(
        {
            "insensitive": ParameterSet(
                "cells that need a hundred times more antigen: hardly any expansion", {"tk50": 1e12}
            ),
        }
    )

    dosed = "memory"

    memory = State("cells", "memory cells", floor=1.0)
    young = State("cells", "effector cells that divide", floor=1.0)
    effector = State("cells", "effector cells that kill", floor=1.0)
    exhausted = State("cells", "exhausted cells", floor=1.0)
    tumour = State("cells", "tumour cells", floor=1.0)
    antigen = State("cells", "systemic antigen, as tumour cells", floor=1.0)

    mum = Positive(0.3, "1/day", "division rate of memory cells")
    fmax = Fraction(
        0.51, "1", "memory daughters that stay memory without antigen", spread=0.1, fixed=True
    )
    dm = Positive(0.008, "1/day", "death rate of memory cells")
    rm = Positive(0.002, "1/day", "return of effectors to memory without antigen", fixed=True)
    mue = Positive(1.2, "1/day", "division rate of young effectors at full toggle", spread=0.5)
    maturation = Positive(0.5, "1/day", "maturation rate of young effectors", fixed=True)
    de = Positive(0.25, "1/day", "death rate of effectors")
    kex = Positive(0.1, "1/day", "exhaustion rate at full toggle")
    dx = Positive(0.25, "1/day", "death rate of exhausted cells", fixed=True)
    tk50 = Positive(1e10, "cells", "antigen of half the toggle")
    steep = Positive(1.5, "1", "steepness of the toggle", spread=0.3)
    mub = Positive(0.01, "1/day", "growth rate of the tumour")
    bmax = Positive(1e13, "cells", "largest tumour", fixed=True)
    kkill = Positive(1.5, "1/day", "largest killing rate")
    khalf = Positive(1e9, "cells", "effector cells of half the killing", fixed=True)
    ka = Positive(1.0, "1/day", "turnover of antigen", fixed=True)
    tumour0 = Positive(5e11, "cells", "tumour cells at the infusion")
    blood = Positive(5e6, "µL", "blood volume", fixed=True)

    def initial(self, p: Any) -> Mapping[str, Value]:
        """Return the tumour, and antigen in balance with it; CAR-T cells come with the dose."""
        none = dict.fromkeys(("memory", "young", "effector", "exhausted"), 0.0)
        return {**none, "tumour": p.tumour0, "antigen": p.tumour0}

    def _toggle(self, y: Any, p: Any) -> Value:
        ratio = maximum(y.antigen / p.tk50, _LEAST) ** p.steep
        return ratio / (1.0 + ratio)

    def rhs(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return the flows that the toggle opens and closes."""
        toggle = self._toggle(y, p)
        stay = p.fmax * (1.0 - toggle)
        returning = p.rm * (1.0 - toggle) * y.effector
        tiring = p.kex * toggle * y.effector
        matured = p.maturation * y.young
        return {
            "memory": (p.mum * (2.0 * stay - 1.0) - p.dm) * y.memory + returning,
            "young": 2.0 * p.mum * (1.0 - stay) * y.memory + p.mue * toggle * y.young - matured,
            "effector": matured - p.de * y.effector - tiring - returning,
            "exhausted": tiring - p.dx * y.exhausted,
            "tumour": p.mub * y.tumour * (1.0 - y.tumour / p.bmax) - self._killing(y, p),
            "antigen": p.ka * (y.tumour - y.antigen),
        }

    def _killing(self, y: Any, p: Any) -> Value:
        return p.kkill * y.tumour * y.effector / (p.khalf + y.effector)

    def observe(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return CAR-T cells of every kind per blood volume, and tumour cells."""
        every = y.memory + y.young + y.effector + y.exhausted
        return {"car_cells": every / p.blood, "tumour": y.tumour}

    def drivers(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return also effectors that the toggle activates, killing, and antigen."""
        return {
            **super().drivers(t, y, p),
            "activated": self._toggle(y, p) * (y.young + y.effector) / p.blood,
            "killing": self._killing(y, p),
            "antigen": y.antigen,
        }
