"""Four phenotypes of axi-cel and the tumour's volume (Mueller-Schoell et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from cart_pkpd.models._ode import Covariate, OdeModel, State
from cart_pkpd.models._parameters import ParameterSet, Positive, Real, Reference
from cart_pkpd.models.math import Value, hill

_TABLE = "Table 1"
_table = partial(Positive, source=_TABLE, confidence="transcribed")
_held = partial(_table, fixed=True)


class MuellerSchoell2021(OdeModel):
    """Naive, memory and effector cells expand on the tumour, differentiate and kill it [1]_.

    Each phenotype is an endpoint (flow cytometry), and so are their sum and the tumour's
    metabolic volume. Expansion rises with the volume of the tumour and with a previous
    autologous transplant, and falls with the CD4:CD8 ratio on day 7. Choose it for
    phenotyped data, or to ask what the composition of the product does.

    A fifth of the patients hardly expanded: their values are the set ``"low expansion"``. In a
    population fit the two classes are a mixture on `v1`:
    ``fit.population(iiv=["v1", "v52"], non_expanders="v1")``; the share of expanders
    published is `expanders`.

    References
    ----------
    .. [1] Mueller-Schoell A, Puebla-Osorio N, Michelet R, et al. (2021). Cancers 13:2782.
       https://doi.org/10.3390/cancers13112782
    """

    name = "mueller_schoell2021"
    label = "Four phenotypes and tumour volume (Mueller-Schoell 2021)"
    population = "19 adults with large B-cell lymphoma, axi-cel"
    endpoint = "car_cells"
    reference = Reference(
        "Mueller-Schoell A, Puebla-Osorio N, Michelet R, Green MR, Kuenkele A, Huisinga W, "
        "Strati P, Chasen B, Neelapu SS, Yee C, Kloft C",
        2021,
        "Early Survival Prediction Framework in CD19-Specific CAR-T Cell Immunotherapy Using a "
        "Quantitative Systems Pharmacology Model",
        "Cancers 13:2782",
        "10.3390/cancers13112782",
    )
    structure = "transcribed"
    sources = (
        "Transcription of equations 5-11 and Table 1 in nlmixr2lib "
        "(MuellerSchoell_2021_axicabtageneCiloleucel_qsp).",
    )
    deviations = (
        "The class of a patient is a set of values, or a mixture at the level of the population, "
        "instead of an indicator in the equations.",
        "Dose does not enter: the paper leaves the distribution phase out and starts each "
        "phenotype at 0.1 cells/µL (`start_level`).",
        "Coefficients of variation are given as standard deviations on the log scale, "
        "sqrt(ln(1 + CV^2)).",
    )
    parameter_sets = MappingProxyType({
        "low expansion": ParameterSet(
            "class of low expansion, 19.7 % of the patients, who do not differ in v1; CD4:CD8 does "
            "not act in it",
            {"v1": 0.0007, "cd4_cd8_power": 0.0},
            source=f"{_TABLE}, equation 11",
            confidence="transcribed",
        ),
    })  # fmt: skip
    expanders: ClassVar[float] = 0.803
    """Published share of patients in the reference class (relative standard error 11 %)."""

    naive = State("cells/µL", "naive cells", floor=1e-6)
    central_memory = State("cells/µL", "central memory cells", floor=1e-6)
    effector_memory = State("cells/µL", "effector memory cells", floor=1e-6)
    effector = State("cells/µL", "effector cells", floor=1e-6)
    tumour = State("mL", "metabolic volume of the tumour", floor=1e-6)

    tumour0 = Covariate(85.7, "mL", "metabolic volume of the tumour at the infusion")
    asct = Covariate(
        0.0, "1", "1 after an autologous stem cell transplant, else 0", lower=0.0, upper=1.0
    )
    cd4_cd8 = Covariate(1.0, "1", "CD4+ to CD8+ CAR-T cells on day 7", lower=1e-9)

    v1 = _table(
        0.00846, "cells/µL/day/mL", "largest expansion rate per tumour volume",
        iiv=float(np.sqrt(np.log1p(1.50**2))), iiv_source=f"{_TABLE}: 150 % CV",
    )  # fmt: skip
    asct_effect = _table(2.53, "1", "gain in expansion after a transplant", spread=0.5)
    cd4_cd8_power = Real(
        -0.385, "1", "exponent of the CD4:CD8 ratio in expansion", spread=0.2, source=_TABLE,
        confidence="transcribed",
    )  # fmt: skip
    km1 = _table(1.13, "cells/µL", "cells of a phenotype for half its largest expansion")
    k12 = _table(0.140, "1/day", "naive to central memory", spread=0.5)
    k23 = _table(0.191, "1/day", "central to effector memory", spread=0.5)
    k34 = _table(0.355, "1/day", "effector memory to effector", spread=0.5)
    ke4 = _table(0.518, "1/day", "death of effector cells", spread=0.5)
    ke1 = _held(0.0104, "1/day", "death of naive cells (0.02 ke4)")
    ke2 = _held(0.0104, "1/day", "death of central memory cells (0.02 ke4)")
    ke3 = _held(0.0104, "1/day", "death of effector memory cells (0.02 ke4)")
    kp1 = _held(0.0005, "1/day", "homeostatic growth of naive cells")
    kp2 = _held(0.007, "1/day", "homeostatic growth of central memory cells")
    kp3 = _held(0.007, "1/day", "homeostatic growth of effector memory cells")
    v51 = _held(2.57, "mL/day*µL/cells", "largest killing rate of naive cells")
    v52 = _table(
        4.04, "mL/day*µL/cells", "largest killing rate of central memory cells",
        iiv=float(np.sqrt(np.log1p(3.07**2))), iiv_source=f"{_TABLE}: 307 % CV",
    )  # fmt: skip
    v53 = _held(3.78, "mL/day*µL/cells", "largest killing rate of effector memory cells")
    v54 = _held(4.24, "mL/day*µL/cells", "largest killing rate of effector cells")
    km5 = _table(276.0, "mL", "tumour volume for half the largest killing")
    k5 = _held(0.0023, "1/day", "tumour growth rate")
    k0 = _held(5000.0, "mL", "largest tumour volume")
    start_level = Positive(
        0.1, "cells/µL", "each phenotype at the start", source="section 3.1.4",
        confidence="transcribed", fixed=True,
    )  # fmt: skip

    def initial(self, p: Any) -> Mapping[str, Value]:
        """Return the same few cells of each phenotype, and the tumour measured."""
        return {
            "naive": p.start_level,
            "central_memory": p.start_level,
            "effector_memory": p.start_level,
            "effector": p.start_level,
            "tumour": p.tumour0,
        }

    def rhs(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return equations 5-11."""
        patient = (1.0 + p.asct_effect * p.asct) * p.cd4_cd8**p.cd4_cd8_power
        largest = p.v1 * patient * y.tumour
        first, second, third = p.k12 * y.naive, p.k23 * y.central_memory, p.k34 * y.effector_memory
        return {
            "naive": largest * hill(y.naive, p.km1) + (p.kp1 - p.ke1) * y.naive - first,
            "central_memory": largest * hill(y.central_memory, p.km1)
            + (p.kp2 - p.ke2) * y.central_memory + first - second,
            "effector_memory": largest * hill(y.effector_memory, p.km1)
            + (p.kp3 - p.ke3) * y.effector_memory + second - third,
            "effector": third - p.ke4 * y.effector,
            "tumour": p.k5 * (1.0 - y.tumour / p.k0) * y.tumour - self._killing(y, p),
        }  # fmt: skip

    @staticmethod
    def _killing(y: Any, p: Any) -> Value:
        strength = (
            p.v51 * y.naive
            + p.v52 * y.central_memory
            + p.v53 * y.effector_memory
            + p.v54 * y.effector
        )
        return strength * hill(y.tumour, p.km5)

    @staticmethod
    def _total(y: Any) -> Value:
        return y.naive + y.central_memory + y.effector_memory + y.effector

    def observe(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return all CAR-T cells, each phenotype, and the tumour's volume."""
        return {
            "car_cells": self._total(y),
            "naive": y.naive,
            "central_memory": y.central_memory,
            "effector_memory": y.effector_memory,
            "effector": y.effector,
            "tumour": y.tumour,
        }

    def drivers(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return cells, those that meet tumour (as for killing), killing per day, the tumour."""
        return {
            **super().drivers(t, y, p),
            "activated": self._total(y) * hill(y.tumour, p.km5),
            "killing": self._killing(y, p),
            "antigen": y.tumour,
        }
