"""Preconditioning chemotherapy before CAR-T cells (Owens and Bozic 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from cart_pkpd.models._ode import Input, OdeModel, State
from cart_pkpd.models._parameters import Fraction, ParameterSet, Positive, Reference
from cart_pkpd.models.math import Value, exp, log, maximum

_TABLE = "Table 1, patient 1"
_table = partial(Positive, source=_TABLE)
_held = partial(_table, fixed=True)
_trial = partial(Positive, source="section 3.2.2, medium burden", fixed=True)


class OwensBozic2021(OdeModel):
    """Chemotherapy shrinks the tumour and clears competitors before the infusion [1]_.

    Endogenous effector cells and CAR-T cells kill by their number per tumour cell, are
    recruited by killing, compete for room, and are worn out by the tumour. A tumour is
    eradicated or escapes: which, depends on dose, chemotherapy, and the days of rest
    between them. Choose it to compare preconditioning schedules. The default values are
    a lymphoma's; sets for leukaemia and melanoma are named below.

    Time starts at day -7, before the infusion. Chemotherapy is an input in µM/day, in the paper
    75 for half an hour on five days or 125 on three:
    ``inputs={"chemotherapy": [(-7, 125), (-7 + 1/48, 0), ...]}``.

    References
    ----------
    .. [1] Owens K, Bozic I (2021). Bull Math Biol 83:42.
       https://doi.org/10.1007/s11538-021-00869-5
    """

    name = "owens_bozic2021"
    label = "Preconditioning chemotherapy and CAR-T cells (Owens and Bozic 2021)"
    population = "theoretical patients: large B-cell lymphoma, leukaemia, metastatic melanoma"
    endpoint = "car_cells"
    start = -7.0
    reference = Reference(
        "Owens K, Bozic I",
        2021,
        "Modeling CAR T-Cell Therapy with Patient Preconditioning",
        "Bull Math Biol 83:42",
        "10.1007/s11538-021-00869-5",
    )
    structure = "published"
    deviations = (
        "Day 0 is the infusion and the state at day -7 is the paper's state at the first "
        "chemotherapy of the five-day plan.",
        "Numbers of cells have a thousandth of a cell (`trace`) added in the ratio of killers to "
        "tumour cells, so that neither 0 cells nor an eradicated tumour gives 0/0.",
        "Cells per volume come from dividing by a blood volume of 5 L (`blood`), which the paper "
        "does not need.",
        "Chemotherapy is integrated exactly: half an hour at the printed strengths gives a peak "
        "of 2.6 µM, where the paper states 3.34 µM (its fixed steps were as long as the infusion); "
        "1.26 times the strength gives that peak and the outcomes of Figure 5.",
    )
    errata = (
        "Figure 3 and its caption exchange the outcomes and doses of patients 3 and 4 with "
        "respect to the text.",
    )
    parameter_sets = MappingProxyType({
        "CLL": ParameterSet(
            "patient 2: B-cell chronic lymphocytic leukaemia",
            {
                "a": 0.176, "g": 4.7e4, "je": 7.46e-3, "jc": 0.165, "k": 7.0e7, "l": 1.419,
                "me": 0.034, "qe": 6.716e-11,
            },
            source="Table 1, patient 2",
        ),
        "melanoma": ParameterSet(
            "patient 3: metastatic melanoma, the solid tumour of the paper",
            {
                "a": 0.514, "capacity": 9.804e8, "de": 5.8, "g": 1.3e4, "je": 0.027, "jc": 0.60,
                "room": 1.65e8, "k": 2.0e7, "l": 1.36, "me": 0.02, "qe": 3.42e-10, "qc": 1.53e-9,
                "s": 0.25, "tumour0": 5e8,
            },
            source="Table 1, patient 3",
        ),
        "melanoma 2": ParameterSet(
            "patient 4: metastatic melanoma, less effective endogenous cells",
            {
                "a": 0.514, "capacity": 9.804e8, "de": 4.23, "g": 1.3e4, "je": 0.027, "jc": 0.60,
                "room": 1.65e8, "k": 2.0e7, "l": 1.43, "me": 0.02, "qe": 3.42e-10, "qc": 1.53e-9,
                "s": 0.36, "tumour0": 5e8,
            },
            source="Table 1, patient 4",
        ),
    })  # fmt: skip

    tumour = State("cells", "tumour cells", floor=1.0)
    effector = State("cells", "endogenous effector cells", floor=1.0)
    car_t = State("cells", "CAR-T cells", floor=1.0)
    drug = State("µM", "chemotherapy", floor=1e-6)

    dosed = "car_t"

    chemotherapy = Input(0.0, "µM/day", "strength of the chemotherapy infusion")

    a = _table(0.255, "1/day", "tumour growth rate", spread=0.5)
    capacity = _held(2e12, "cells", "largest tumour (1/b)")
    de = _held(2.03, "1/day", "largest killing rate of effector cells")
    dc = _table(2.25, "1/day", "largest killing rate of CAR-T cells", spread=0.5)
    g = _held(1.4e3, "cells/day", "influx of effector cells")
    je = _held(0.011, "1/day", "largest recruitment of effector cells")
    jc = _table(0.242, "1/day", "largest recruitment of CAR-T cells", spread=0.5)
    room = _held(1.65e9, "cells", "capacity for effector and CAR-T cells (K)")
    k = _held(2.019e5, "cells^2/day^2", "killing, squared, for half the recruitment")
    l = _held(1.395, "1", "exponent of killing")  # noqa: E741, the paper's letter
    s = _held(0.305, "1", "killers per tumour cell, to the power l, for half the killing")
    me = _held(0.007, "1/day", "death of effector cells")
    mc = _table(0.0293, "1/day", "death of CAR-T cells")
    qe = _held(3.42e-11, "1/cells/day", "effector cells worn out by a tumour cell")
    qc = _table(3.0e-11, "1/cells/day", "CAR-T cells worn out by a tumour cell")
    kt = _held(0.7, "1/day", "largest killing of tumour cells by chemotherapy")
    ke = _held(0.6, "1/day", "largest killing of effector cells by chemotherapy")
    kc = _held(0.6, "1/day", "largest killing of CAR-T cells by chemotherapy")
    gamma = _held(0.9, "1/day", "loss of chemotherapy")
    efold = Positive(
        1.0, "µM", "unit of chemotherapy in the exponential", source="equation 2", fixed=True
    )
    tumour0 = _trial(5e9, "cells", "tumour cells at the start")
    effector0 = _trial(4e5, "cells", "endogenous effector cells at the start")
    share = Fraction(
        0.01, "1", "infused cells that stay in the circulation", source="section 3.2.1", fixed=True
    )
    trace = Positive(1e-3, "cells", "cells below which nothing matters", fixed=True)
    blood = Positive(5e6, "µL", "blood volume", fixed=True)

    def initial(self, p: Any) -> Mapping[str, Value]:
        """Return the patient before chemotherapy."""
        return {"tumour": p.tumour0, "effector": p.effector0, "car_t": 0.0, "drug": 0.0}

    def dose_factor(self, p: Any) -> Mapping[str, Value]:
        """Return the share of the infused cells that acts."""
        return {"car_t": p.share}

    def rhs(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return equations 2 and 3."""
        by_effector = self._lysis(y.effector, p.de, y, p)
        by_car_t = self._lysis(y.car_t, p.dc, y, p)
        crowding = log((y.effector + y.car_t) / p.room)
        poison = 1.0 - exp(-y.drug / p.efold)

        def change(cells: Value, lysis: Value, j: Value, q: Value, m: Value, kill: Value) -> Value:
            recruited = j * crowding * lysis**2 / (p.k + lysis**2)
            return -(m + recruited + q * y.tumour + kill * poison) * cells

        return {
            "tumour": (p.a * (1.0 - y.tumour / p.capacity) - p.kt * poison) * y.tumour
            - by_effector
            - by_car_t,
            "effector": p.g + change(y.effector, by_effector, p.je, p.qe, p.me, p.ke),
            "car_t": change(y.car_t, by_car_t, p.jc, p.qc, p.mc, p.kc),
            "drug": p.chemotherapy - p.gamma * y.drug,
        }

    @staticmethod
    def _lysis(cells: Value, rate: Value, y: Any, p: Any) -> Value:
        """Return tumour cells killed per day: a rate that rises with killers per tumour cell."""
        # maximum: a solver's last digits may be below 0, where the power has no value.
        ratio = (maximum(cells, 0.0) + p.trace) / (maximum(y.tumour, 0.0) + p.trace)
        per_cell = ratio**p.l
        return rate * per_cell / (p.s + per_cell) * y.tumour

    def observe(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return CAR-T cells in blood, tumour, endogenous effector cells and chemotherapy."""
        return {
            "car_cells": y.car_t / p.blood,
            "tumour": y.tumour,
            "effector": y.effector,
            "drug": y.drug,
        }

    def drivers(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return cells, tumour cells killed by CAR-T cells per day, tumour cells left."""
        return {
            **super().drivers(t, y, p),
            "killing": self._lysis(y.car_t, p.dc, y, p),
            "antigen": y.tumour,
        }
