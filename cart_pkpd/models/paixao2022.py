"""Distribution, expansion, contraction and persistence by differentiation (Paixão et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cart_pkpd.models._ode import OdeModel, State
from cart_pkpd.models._parameters import Positive, Reference
from cart_pkpd.models.math import Value, maximum

_EARLIEST = 1e-6


class Paixao2022(OdeModel):
    r"""Infused cells that distribute, engraft, expand, and then rest as memory or tire [1]_.

    Each of the four phases of cellular kinetics comes from a phenotype: infused cells leave the
    blood or engraft, effector cells expand on the tumour at a rate that fades with time, most
    become exhausted and die, a few become memory. Choose it for early samples (the first days)
    together with long follow-up. **Equations and values were not read in the paper: only its
    abstract was; all of it is assumed and meant as a starting point.**

    References
    ----------
    .. [1] Paixão EA et al. (2022). Cancers 14:5576. https://doi.org/10.3390/cancers14225576
    .. [2] Fassoni AC, Braga DC (2025). Chaos Solitons Fractals 191 (arXiv 2410.08034): the
       long-term dynamics of the model.
    """

    name = "paixao2022"
    label = "Four phases from four phenotypes (Paixão 2022; equations assumed)"
    endpoint = "car_cells"
    population = "patients with haematological cancers, from the literature; each fitted alone"
    reference = Reference(
        "Paixão EA, Barros LRC, Fassoni AC, Almeida RC",
        2022,
        "Modeling Patient-Specific CAR-T Cell Dynamics: Multiphasic Kinetics via Phenotypic "
        "Differentiation",
        "Cancers 14:5576",
        "10.3390/cancers14225576",
    )
    structure = "assumed"
    sources = ("Abstracts of the paper and of arXiv 2410.08034",)
    deviations = (
        "The phenotypes are the paper's; the equations and all values are assumed.",
        "In the fading of the expansion rate p2 t is held above 1e-6, because a power of 0 has no "
        "derivative by the exponent; at the values here this changes the rate by 1e-24 of itself.",
        "Levels per blood volume assume that all cells are in 5 L of blood.",
    )

    dosed = "distributed"

    distributed = State("cells", "infused cells", floor=1.0)
    effector = State("cells", "effector cells", floor=1.0)
    memory = State("cells", "memory cells", floor=1.0)
    exhausted = State("cells", "exhausted cells", floor=1.0)
    tumour = State("cells", "tumour cells", floor=1.0)

    beta = Positive(0.5, "1/day", "loss of infused cells", spread=0.5)
    eta = Positive(0.3, "1/day", "engraftment of infused cells", spread=0.5)
    rmin = Positive(0.1, "1/day", "expansion rate that is left late")
    p1 = Positive(1.2, "1/day", "expansion rate that fades", spread=0.5)
    p2 = Positive(0.09, "1/day", "inverse of the time at which half has faded", spread=0.5)
    p3 = Positive(4.0, "1", "steepness of the fading", spread=0.3)
    a = Positive(1e8, "cells", "tumour cells of half the expansion", fixed=True)
    xi = Positive(0.02, "1/day", "death rate of effector cells", fixed=True)
    eps = Positive(0.005, "1/day", "conversion to memory")
    lam = Positive(0.25, "1/day", "exhaustion rate", spread=0.5)
    theta = Positive(1e-14, "1/cells/day", "return of memory per tumour cell", fixed=True)
    alpha = Positive(1e-13, "1/cells/day", "suppression per tumour cell", fixed=True)
    mu = Positive(0.003, "1/day", "death rate of memory cells")
    delta = Positive(0.2, "1/day", "death rate of exhausted cells")
    r = Positive(0.02, "1/day", "growth rate of the tumour")
    b = Positive(1e-13, "1/cells", "inverse of the largest tumour", fixed=True)
    gamma = Positive(1.5, "1/day", "largest killing rate")
    h = Positive(1e9, "cells", "effector cells of half the killing")
    tumour0 = Positive(1e11, "cells", "tumour cells at the infusion")
    blood = Positive(5e6, "µL", "blood volume", fixed=True)

    def initial(self, p: Any) -> Mapping[str, Value]:
        """Return the tumour; CAR-T cells come with the dose."""
        none = dict.fromkeys(("distributed", "effector", "memory", "exhausted"), 0.0)
        return {**none, "tumour": p.tumour0}

    def rhs(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return the flows between the phenotypes, and growth and killing of the tumour."""
        expansion = p.rmin + p.p1 / (1.0 + maximum(p.p2 * t, _EARLIEST) ** p.p3)
        engrafted = p.eta * y.distributed
        returning = p.theta * y.tumour * y.memory
        expanded = expansion * y.effector * y.tumour / (p.a + y.tumour)
        leaving = (p.xi + p.eps + p.lam + p.alpha * y.tumour) * y.effector
        killed = p.gamma * y.tumour * y.effector / (p.h + y.effector)
        return {
            "distributed": -p.beta * y.distributed - engrafted,
            "effector": engrafted + expanded - leaving + returning,
            "memory": p.eps * y.effector - returning - p.mu * y.memory,
            "exhausted": p.lam * y.effector - p.delta * y.exhausted,
            "tumour": p.r * y.tumour * (1.0 - p.b * y.tumour) - killed,
        }

    def observe(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return CAR-T cells of every phenotype per blood volume, and tumour cells."""
        every = y.distributed + y.effector + y.memory + y.exhausted
        return {"car_cells": every / p.blood, "tumour": y.tumour}

    def drivers(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return also effector cells that meet the tumour, killing, and the tumour."""
        return {
            **super().drivers(t, y, p),
            "activated": y.effector * y.tumour / (p.a + y.tumour) / p.blood,
            "killing": p.gamma * y.tumour * y.effector / (p.h + y.effector),
            "antigen": y.tumour,
        }
