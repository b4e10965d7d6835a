"""CAR-T cells, tumour, macrophages and interleukin 6 (Santurio et al. 2025)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from cart_pkpd.models._ode import OdeModel, State
from cart_pkpd.models._parameters import ParameterSet, Positive, Reference
from cart_pkpd.models.math import Value


class Santurio2025(OdeModel):
    r"""Macrophages activated by killed tumour, by antigen and by CAR-T cells release IL-6 [1]_.

    Injected cells become expanders, which grow on antigen-positive tumour and kill it, and a few
    become persisters; antigen-negative tumour escapes. Macrophages are activated along three
    routes: debris of killed cells (``k1``), encounters of CAR-T cells with antigen (``k2``) and
    CD40 contact with CAR-T cells (``k3``), which the paper finds to matter most. Choose it for IL-6
    as a myeloid relay and not as a product of the CAR-T cells. **The equations were not read in
    the paper: layers, routes and which parameter sets which slope are the paper's; the
    formulas (a minimal form) and all values are assumed.**

    References
    ----------
    .. [1] Santurio DS et al. (2025). PLoS Comput Biol.
       https://doi.org/10.1371/journal.pcbi.1012908
    """

    name = "santurio2025"
    label = "CAR-T cells, macrophages and IL-6 (Santurio 2025; minimal form, equations assumed)"
    endpoint = "car_cells"
    population = "25 published patient courses, each fitted alone; IL-6 for some of them"
    reference = Reference(
        "Santurio DS, et al.",
        2025,
        "Mathematical modeling unveils the timeline of CAR-T cell therapy and "
        "macrophage-mediated cytokine release syndrome",
        "PLoS Comput Biol",
        "10.1371/journal.pcbi.1012908",
    )
    structure = "assumed"
    sources = ("Abstract and the legend of Figure 3 (slopes of the phases)",)
    deviations = (
        "Layers, the three routes and the slopes of the phases are the paper's; formulas and "
        "values are assumed.",
        "Levels per blood volume assume that all cells are in 5 L of blood.",
    )
    parameter_sets = MappingProxyType(
        {
            "no contact": ParameterSet("the CD40 route nearly closed", {"k3": 2e-6}),
        }
    )

    dosed = "injected"

    injected = State("cells", "injected CAR-T cells", floor=1.0)
    expander = State("cells", "expanding CAR-T cells", floor=1.0)
    persister = State("cells", "persisting CAR-T cells", floor=1.0)
    positive = State("cells", "antigen-positive tumour cells", floor=1.0)
    negative = State("cells", "antigen-negative tumour cells", floor=1.0)
    resting = State("cells", "inactive macrophages", floor=1e3)
    activated = State("cells", "activated macrophages", floor=1e3)
    il6 = State("pg/mL", "interleukin 6", floor=1e-6)

    beta = Positive(0.6, "1/day", "loss of injected cells", spread=0.5)
    eta = Positive(0.3, "1/day", "engraftment of injected cells", spread=0.5)
    kappa = Positive(1.1, "1/day", "largest expansion rate", spread=0.5)
    a = Positive(1e9, "cells", "tumour cells of half the expansion", fixed=True)
    eps = Positive(0.005, "1/day", "conversion to persisters")
    delta = Positive(0.25, "1/day", "death rate of expanders", spread=0.5)
    mu = Positive(0.004, "1/day", "death rate of persisters")
    rho = Positive(0.02, "1/day", "growth rate of the tumour")
    gamma = Positive(1.0, "1/day", "largest killing rate")
    h = Positive(1e8, "cells", "expanders of half the killing", fixed=True)
    tumour0 = Positive(1e11, "cells", "antigen-positive tumour cells at the infusion")
    negative0 = Positive(1e3, "cells", "antigen-negative tumour cells at the infusion", fixed=True)
    macrophages0 = Positive(1e9, "cells", "macrophages at the infusion", fixed=True)
    dm = Positive(0.02, "1/day", "turnover of inactive macrophages", fixed=True)
    k1 = Positive(2e-13, "1/cells", "activation per killed tumour cell", fixed=True)
    k2 = Positive(1e-10, "1/cells/day", "activation per CAR-T cell that meets antigen")
    ka = Positive(1e9, "cells", "tumour cells of half the encounters", fixed=True)
    k3 = Positive(0.02, "1/day", "largest activation by contact")
    kc = Positive(1e9, "cells", "CAR-T cells of half the contacts", fixed=True)
    dma = Positive(0.5, "1/day", "death rate of activated macrophages", fixed=True)
    base = Positive(3.0, "pg/mL", "IL-6 without activated macrophages", spread=0.5)
    p6 = Positive(5e-6, "pg/mL/cells/day", "IL-6 per activated macrophage")
    d6 = Positive(4.0, "1/day", "elimination rate of IL-6", spread=0.5, fixed=True)
    blood = Positive(5e6, "µL", "blood volume", fixed=True)

    def initial(self, p: Any) -> Mapping[str, Value]:
        """Return tumour, macrophages and IL-6 in balance; CAR-T cells come with the dose."""
        none = dict.fromkeys(("injected", "expander", "persister", "activated"), 0.0)
        return {
            **none,
            "positive": p.tumour0,
            "negative": p.negative0,
            "resting": p.macrophages0,
            "il6": p.base,
        }

    def _killing(self, y: Any, p: Any) -> Value:
        return p.gamma * y.positive * y.expander / (p.h + y.expander)

    def _meeting(self, y: Any, tumour_half: Value) -> Value:
        return y.expander * y.positive / (tumour_half + y.positive)

    def rhs(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return CAR-T cells and tumour, macrophages that they activate, and IL-6."""
        killing = self._killing(y, p)
        engrafted = p.eta * y.injected
        cells = y.expander + y.persister
        routes = p.k1 * killing + p.k2 * self._meeting(y, p.ka) + p.k3 * cells / (p.kc + cells)
        turned = routes * y.resting
        leaving = (p.eps + p.delta) * y.expander
        return {
            "injected": -p.beta * y.injected - engrafted,
            "expander": engrafted + p.kappa * self._meeting(y, p.a) - leaving,
            "persister": p.eps * y.expander - p.mu * y.persister,
            "positive": p.rho * y.positive - killing,
            "negative": p.rho * y.negative,
            "resting": p.dm * (p.macrophages0 - y.resting) - turned,
            "activated": turned - p.dma * y.activated,
            "il6": p.d6 * (p.base - y.il6) + p.p6 * y.activated,
        }

    def observe(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return CAR-T cells per blood volume, all tumour cells, and IL-6."""
        every = y.injected + y.expander + y.persister
        return {"car_cells": every / p.blood, "tumour": y.positive + y.negative, "il6": y.il6}

    def drivers(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return also CAR-T cells that meet antigen, killing, and the positive tumour."""
        return {
            **super().drivers(t, y, p),
            "activated": self._meeting(y, p.ka) / p.blood,
            "killing": self._killing(y, p),
            "antigen": y.positive,
        }
