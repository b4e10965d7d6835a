"""Effector and memory cells with IL-6, IL-10 and interferon γ (Hardiansyah and Ng 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from cart_pkpd.models._ode import OdeModel, State
from cart_pkpd.models._parameters import Fraction, ParameterSet, Positive, Reference
from cart_pkpd.models.math import Value, hill

_S1 = "supplement, Table S1"
_literature = partial(Positive, source=_S1, confidence="transcribed", fixed=True)
_upn1 = partial(Positive, source="supplement, Table S2, UPN1", confidence="transcribed", spread=0.7)
_figure = partial(
    Positive, source="digitised from Figure 1b, ±30 %", confidence="transcribed", fixed=True
)


class Hardiansyah2019(OdeModel):
    """Tumour burden, not dose, decides expansion and cytokines [1]_.

    CAR-T cells go quickly from blood to tissue and slowly back. Effector cells multiply on
    tumour cells in blood, kill them, and become memory cells as the tumour disappears;
    each encounter of the two releases IL-6, IL-10 and interferon γ, and IL-10 holds interferon
    γ back. A dose given in parts is several doses, as in the paper (10, 30 and 60 % on days 0,
    1 and 2). Choose it for cells and cytokines together in a leukaemia.

    References
    ----------
    .. [1] Hardiansyah D, Ng CM (2019). Clin Transl Sci 12:343-349.
       https://doi.org/10.1111/cts.12636
    """

    name = "hardiansyah2019"
    label = "Effector and memory cells with three cytokines (Hardiansyah 2019)"
    population = "2 adults with chronic lymphocytic leukaemia, CTL019 (UPN1, UPN3)"
    endpoint = "car_cells"
    reference = Reference(
        "Hardiansyah D, Ng CM",
        2019,
        "Quantitative systems pharmacology model of chimeric antigen receptor T-cell therapy",
        "Clin Transl Sci 12:343-349",
        "10.1111/cts.12636",
    )
    structure = "transcribed"
    sources = (
        "Transcriptions of the supplement's equations 1-9 and Tables S1-S2 in nlmixr2lib "
        "(Hardiansyah_2019_CART_upn1_qsp, _upn3_qsp) and their notes on errors in print.",
    )
    deviations = (
        "Cells are counted in cells, in the paper in 1e9 cells; values are converted.",
        "Cells per volume come from dividing by a blood volume of 5 L (`blood`), which the paper "
        "does not need.",
        "One baseline per cytokine serves before and after the infusion; the paper changes it at "
        "the infusion and does not print it.",
    )
    errata = (
        "Equation 7 prints memory cells as the source of memory cells, so that there would never "
        "be any; effector cells are the source (Figure 1a).",
        "h is printed in cells/mL; only 1e5 in units of 1e9 cells reproduces the memory cells of "
        "Figure 1b, so that f(B) is nearly 0 at all times.",
        "Tables print a_E in 1/1e9 cells/d and b_G in ng; the equations need 1/d and pg/mL.",
        "BioModels MODEL2009230001 is not a reference: it gives the dose as a permanent flux, and "
        "another burden and other units of the cytokines.",
    )
    parameter_sets = MappingProxyType({
        "UPN3": ParameterSet(
            "UPN3: a quarter of the burden, 1/79 of the dose (1.4e7 cells)",
            {
                "b0": 0.93e9, "re": 14.40e-9, "de": 1.44, "ae": 0.12, "kbc": 2.21e-9,
                "p6": 0.006e-12, "p10": 0.017e-12, "pg": 0.006e-12,
                "il6_0": 1.0, "il10_0": 0.5, "ifng_0": 1.7,
            },
            source="supplement, Table S2, UPN3; baselines digitised from Figure 1b, ±30 %",
            confidence="transcribed",
        ),
    })  # fmt: skip

    tumour = State("cells", "leukaemia cells in blood", floor=1.0)
    effector = State("cells", "effector cells in blood", floor=1.0)
    effector_tissue = State("cells", "effector cells in tissue", floor=1.0)
    memory = State("cells", "memory cells in blood", floor=1.0)
    memory_tissue = State("cells", "memory cells in tissue", floor=1.0)
    il6 = State("pg/mL", "interleukin 6")
    il10 = State("pg/mL", "interleukin 10")
    ifng = State("pg/mL", "interferon γ")

    dosed = "effector"

    b0 = Positive(
        4.14e9, "cells", "leukaemia cells at the infusion", source="Figure 2",
        confidence="transcribed", fixed=True,
    )  # fmt: skip
    re = _upn1(16.16e-9, "1/cells/day", "growth of effector cells per leukaemia cell")
    de = _upn1(23.04, "1/day", "death of effector cells")
    ae = _upn1(0.024, "1/day", "effector to memory")
    kbc = _upn1(0.19e-9, "1/cells/day", "killing by an effector cell")
    p6 = _upn1(0.0018e-12, "pg/mL/day/cells^2", "release of IL-6 (0.0018 pg/µL/d/1e15 cells²)")
    p10 = _upn1(0.0007e-12, "pg/mL/day/cells^2", "release of IL-10 (0.0007 pg/µL/d/1e15 cells²)")
    pg = _upn1(0.0003e-12, "pg/mL/day/cells^2", "release of IFN-γ (0.0003 pg/µL/d/1e15 cells²)")
    il6_0 = _figure(1.7, "pg/mL", "IL-6 without CAR-T cells")
    il10_0 = _figure(4.5, "pg/mL", "IL-10 without CAR-T cells")
    ifng_0 = _figure(2.3, "pg/mL", "IFN-γ without CAR-T cells")
    d6 = _literature(3.96, "1/day", "loss of IL-6")
    d10 = _literature(4.68, "1/day", "loss of IL-10")
    dg = _literature(1.51, "1/day", "loss of IFN-γ")
    ag = Fraction(
        0.59, "1", "IFN-γ release that IL-10 cannot stop", source=_S1, confidence="transcribed",
        fixed=True,
    )  # fmt: skip
    bg = _literature(650.0, "pg/mL", "IL-10 for half its inhibition")
    rm = _literature(0.0509, "1/day", "growth of memory cells")
    dm = _literature(0.408, "1/day", "death of memory cells")
    am = _literature(1.0, "1/day", "memory to effector")
    kin = _literature(76.78, "1/day", "blood to tissue")
    kout = _literature(1.84, "1/day", "tissue to blood")
    h = _literature(1e14, "cells", "leukaemia cells at which memory cells are half called back")
    rb = _literature(0.0093, "1/day", "growth of leukaemia cells")
    db = _literature(0.0076, "1/day", "death of leukaemia cells")
    blood = Positive(5e6, "µL", "blood volume", fixed=True)

    def initial(self, p: Any) -> Mapping[str, Value]:
        """Return the leukaemia and the cytokines before any CAR-T cell."""
        empty = dict.fromkeys(("effector", "effector_tissue", "memory", "memory_tissue"), 0.0)
        return {"tumour": p.b0, **empty, "il6": p.il6_0, "il10": p.il10_0, "ifng": p.ifng_0}

    def rhs(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return equations 1-9 of the supplement, without the mistakes in print."""
        full = hill(y.tumour, p.h)
        to_memory = p.ae * y.effector * (1.0 - full) - p.am * y.memory * full
        effector_in = p.kin * y.effector - p.kout * y.effector_tissue
        memory_in = p.kin * y.memory - p.kout * y.memory_tissue
        meetings = y.tumour * y.effector
        released = p.ag + (1.0 - p.ag) * p.bg / (y.il10 + p.bg)
        growth = p.re * y.tumour - p.de
        return {
            "tumour": (p.rb - p.db - p.kbc * y.effector) * y.tumour,
            "effector": growth * y.effector - effector_in - to_memory,
            "effector_tissue": effector_in,
            "memory": (p.rm - p.dm) * y.memory - memory_in + to_memory,
            "memory_tissue": memory_in,
            "il6": p.d6 * (p.il6_0 - y.il6) + p.p6 * meetings,
            "il10": p.d10 * (p.il10_0 - y.il10) + p.p10 * meetings,
            "ifng": p.dg * (p.ifng_0 - y.ifng) + p.pg * meetings * released,
        }

    def observe(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return CAR-T cells in blood, leukaemia cells and cytokines."""
        return {
            "car_cells": (y.effector + y.memory) / p.blood,
            "tumour": y.tumour,
            "il6": y.il6,
            "il10": y.il10,
            "ifng": y.ifng,
        }

    def drivers(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return cells, cells killed per day and cells left."""
        return {
            **super().drivers(t, y, p),
            "activated": y.effector,
            "killing": p.kbc * y.effector * y.tumour,
            "antigen": y.tumour,
        }
