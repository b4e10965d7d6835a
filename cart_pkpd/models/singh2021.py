"""CAR–target complexes drive expansion and killing; BCMA, mesothelin, MUC1 (Singh et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from cart_pkpd.models._ode import OdeModel, State
from cart_pkpd.models._parameters import ParameterSet, Positive, Reference
from cart_pkpd.models.math import Value, hill

_PER_SECOND = 86_400.0  # 1/s in 1/day
_TABLE = "Table 1, clinical model"
_SI = "authors' assumption (Supporting Information)"
_table = partial(Positive, source=_TABLE, confidence="transcribed")
_held = partial(_table, fixed=True)
_code = partial(Positive, source="authors' Monolix code", confidence="transcribed", fixed=True)


class Singh2021(OdeModel):
    """Complexes between CARs and antigen drive expansion and killing [1]_.

    CAR-T cells go from blood to the tumour (bone marrow in the paper), where CARs bind antigen.
    Complexes per CAR-T cell drive expansion, complexes per tumour cell drive killing. Densities
    of CAR and antigen and the rates of binding are parameters, so this is the model to
    ask what another target, binder or expression level would do. The dose hardly changes the
    peak; the tumour does.

    Right after the infusion the whole dose is in the blood: the level there,
    ``transc * dose / blood``, is gone within hours and is not the peak.

    References
    ----------
    .. [1] Singh AP, Chen W, Zheng X, et al. (2021). CPT Pharmacometrics Syst Pharmacol
       10:362-376. https://doi.org/10.1002/psp4.12598
    """

    name = "singh2021"
    label = "CAR–target complexes: affinity and antigen density (Singh 2021)"
    population = "33 adults with multiple myeloma, ide-cel 50 to 800 million cells (CRB-401)"
    reference = Reference(
        "Singh AP, Chen W, Zheng X, Mody H, Carpenter TJ, Zong A, Heald DL",
        2021,
        "Bench-to-bedside translation of chimeric antigen receptor (CAR) T cells using a "
        "multiscale systems pharmacokinetic-pharmacodynamic model: A case study with anti-BCMA "
        "CAR-T",
        "CPT Pharmacometrics Syst Pharmacol 10:362-376",
        "10.1002/psp4.12598",
    )
    structure = "transcribed"
    sources = (
        "Transcription of the supplement's equations 6-20, Table 1 and the authors' Monolix code "
        "in nlmixr2lib (Singh_2021_idecabtageneVicleucel_human).",
        "A MATLAB version of the same equations (mstadt/CART), which agrees.",
    )
    deviations = (
        "CAR-T cells are numbers, not concentrations, so that a dose is the number of cells.",
        "Ratios per cell have 1e-8 cells/L (`trace`) added below the line, where the authors' code "
        "starts with 1e-6 CAR-T cells/L in the tissue: without a dose nothing grows then.",
        "Binding rates are those of the authors' code (7.103e4 /M/s, 2.385e-3 /s); Table 1 rounds "
        "them.",
        "The preclinical and in-vitro fits are not parameter sets: the first does not reproduce "
        "its own figure with these equations, the second has other equations.",
    )
    errata = (
        "Equation 18 of the supplement multiplies killing by the CAR-T cells; the authors' code "
        "multiplies it by the tumour, as here.",
    )
    parameter_sets = MappingProxyType({
        "mesothelin": ParameterSet(
            "a mesothelin CAR of about 1 nM in a solid tumour: 100,000 antigens per cell (lines "
            "range around 170,000), burden set so that the peak is of the order of 2,000 copies/µg",
            {
                "ag_tumour": 1.0e5,
                "kon": 1.0e5 * _PER_SECOND,
                "koff": 1.0e-4 * _PER_SECOND,
                "tumour0": 2.0e7,
            },
            source="assumed; density of the order measured on pancreatic and mesothelioma lines "
            "(doi 10.1016/j.jcyt.2024.01.011), affinity in the nM range (antibody m912, Mol Cancer "
            "Ther 8:1113)",
            confidence="assumed",
        ),
        "MUC1": ParameterSet(
            "a CAR of about 10 nM against tumour-associated MUC1: 100,000 epitopes per cell, "
            "burden set so that the peak is of the order of 2,000 copies/µg",
            {
                "ag_tumour": 1.0e5,
                "kon": 1.0e5 * _PER_SECOND,
                "koff": 1.0e-3 * _PER_SECOND,
                "tumour0": 1.0e8,
            },
            source="assumed; no measured number of epitopes per cell was found",
            confidence="assumed",
        ),
    })  # fmt: skip

    effector = State("cells", "effector cells in blood", floor=1e-4)
    memory = State("cells", "memory cells in blood", floor=1e-4)
    effector_tissue = State("cells", "effector cells in the tumour", floor=1e-4)
    memory_tissue = State("cells", "memory cells in the tumour", floor=1e-4)
    complexes = State("1/L", "CAR–target complexes in the tumour", floor=1e-4)
    tumour = State("cells/L", "tumour cells", floor=1e-4)
    m_protein = State("g/L", "M-protein in serum")
    sbcma = State("ng/mL", "soluble BCMA in serum")

    dosed = "effector"

    kexp_max = _table(
        1.73, "1/day", "largest expansion rate", iiv=0.22, iiv_source=_TABLE, spread=0.5
    )
    ec50_exp = _table(10.0, "1/cells", "complexes per CAR-T cell for half the largest expansion")
    rm = _table(2e-5, "1/day", "conversion of effector to memory cells")
    kel_e = _table(113.0, "1/day", "loss of effector cells from blood", iiv=0.5, iiv_source=_SI)
    kel_m = _table(0.219, "1/day", "loss of memory cells from blood", iiv=0.5, iiv_source=_SI)
    k12 = _table(1.71, "1/day", "distribution from blood to the tumour", iiv=0.5, iiv_source=_SI)
    k21 = _table(0.176, "1/day", "return from the tumour to blood", iiv=0.5, iiv_source=_SI)
    kkill_max = _table(
        0.343, "1/day", "largest killing rate", iiv=0.50, iiv_source=_TABLE, spread=0.5
    )
    kc50 = _held(2.24, "1/cells", "complexes per tumour cell for half the largest killing")
    kg = _held(0.008, "1/day", "tumour growth rate")
    kon = _code(7.103e4 * _PER_SECOND, "1/M/day", "binding of a CAR to its antigen (7.103e4 /M/s)")
    koff = _code(2.385e-3 * _PER_SECOND, "1/day", "release of the antigen (2.385e-3 /s)")
    ag_car = _held(15_000.0, "1/cells", "CARs per CAR-T cell")
    ag_tumour = _held(12_590.0, "1/cells", "antigens per tumour cell")
    tumour0 = _code(2.5e9, "cells/L", "tumour cells at the infusion")
    blood = _held(5.0, "L", "blood volume")
    tissue = _held(3.65, "L", "volume of the tissue that holds the tumour")
    transc = _held(0.002, "copies/µg*L/cells", "transgene level per CAR-T cells in blood")
    pm = _held(12.1e-12, "g/cells/day", "M-protein release (12.1 pg per cell and day)")
    km = _held(0.117, "1/day", "M-protein loss")
    gamma_m = _table(
        0.215, "1", "exponent of the tumour in M-protein release", iiv=0.21, iiv_source=_TABLE
    )
    pb = _held(0.175e-6, "µg/cells/day", "sBCMA release (0.175 pg per cell and day)")
    kb = _held(0.7, "1/day", "sBCMA loss")
    gamma_b = _held(1.0, "1", "exponent of the tumour in sBCMA release", iiv=1.0, iiv_source=_TABLE)
    avogadro = _code(6.023e23, "1/mol", "Avogadro number as in the authors' code")
    trace = Positive(1e-8, "cells/L", "cells below which nothing matters", fixed=True)

    def initial(self, p: Any) -> Mapping[str, Value]:
        """Return the untreated tumour and the biomarkers at steady state."""
        return {
            "effector": 0.0,
            "memory": 0.0,
            "effector_tissue": 0.0,
            "memory_tissue": 0.0,
            "complexes": 0.0,
            "tumour": p.tumour0,
            "m_protein": p.pm * p.tumour0 / p.km,
            "sbcma": p.pb * p.tumour0 / p.kb,
        }

    def rhs(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return equations 6-20 of the supplement."""
        car_t = self._car_t(y, p)
        free_car = car_t * p.ag_car - y.complexes
        free_antigen = y.tumour * p.ag_tumour - y.complexes
        growth = p.kexp_max * self._engaged(y, p)
        burden = (y.tumour + p.trace) / p.tumour0
        to_tissue, back = p.k12 * y.effector, p.k21 * y.effector_tissue
        memory_to, memory_back = p.k12 * y.memory, p.k21 * y.memory_tissue
        turning = p.rm * y.effector_tissue
        return {
            "effector": back - to_tissue - p.kel_e * y.effector,
            "memory": memory_back - memory_to - p.kel_m * y.memory,
            "effector_tissue": to_tissue - back + growth * y.effector_tissue - turning,
            "memory_tissue": memory_to - memory_back + turning,
            "complexes": p.kon / p.avogadro * free_car * free_antigen - p.koff * y.complexes,
            "tumour": (p.kg - self._killing(y, p)) * y.tumour,
            "m_protein": p.pm * p.tumour0 * burden**p.gamma_m - p.km * y.m_protein,
            "sbcma": p.pb * p.tumour0 * burden**p.gamma_b - p.kb * y.sbcma,
        }

    @staticmethod
    def _car_t(y: Any, p: Any) -> Value:
        return (y.effector_tissue + y.memory_tissue) / p.tissue

    @classmethod
    def _engaged(cls, y: Any, p: Any) -> Value:
        """Return the share of the largest expansion: how many CARs of a cell are bound."""
        return hill(y.complexes / (cls._car_t(y, p) + p.trace), p.ec50_exp)

    @staticmethod
    def _killing(y: Any, p: Any) -> Value:
        return p.kkill_max * hill(y.complexes / (y.tumour + p.trace), p.kc50)

    def observe(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return transgene in blood, tumour cells and the two biomarkers."""
        return {
            "transgene": p.transc * (y.effector + y.memory) / p.blood,
            "tumour": y.tumour,
            "m_protein": y.m_protein,
            "sbcma": y.sbcma,
        }

    def drivers(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return transgene, effector cells that expand, tumour killed per day, tumour left."""
        return {
            **super().drivers(t, y, p),
            "activated": self._engaged(y, p) * y.effector_tissue,
            "killing": self._killing(y, p) * y.tumour * p.tissue,
            "antigen": y.tumour * p.tissue,
        }
