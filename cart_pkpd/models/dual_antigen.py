"""CAR-T cells against mesothelin and MUC1 in a mixed tumour: this project's solid-tumour model."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from cart_pkpd.models._ode import Covariate, OdeModel, State
from cart_pkpd.models._parameters import Fraction, ParameterSet, Positive
from cart_pkpd.models.math import Value, hill, maximum


class DualAntigen(OdeModel):
    r"""Two specificities, four kinds of tumour cells, inactivation by the tumour, escape [1]_.

    Not a publication: this project's own model, built from published pieces (see
    ``deviations``), for trials of mesothelin and MUC1 CAR-T cells in solid tumours. Tumour cells
    carry mesothelin, MUC1, both or neither, and slowly lose antigens. Each specificity multiplies
    on and kills only cells that carry its antigen; the whole tumour inactivates CAR-T cells until
    there are enough of them. From this follow a dose threshold, a peak that hardly depends on
    the dose above it, and relapse by cells that carry neither antigen. Choose it to link product,
    dose, antigen expression and tumour size; fit the kinetics alone with ``effector_memory``.

    The covariate ``msln_share`` is the product: 1 for mesothelin CAR-T cells, 0 for MUC1 CAR-T
    cells, between them for a dual product.

    Notes
    -----
    For each specificity i, with effector cells :math:`E_i`, tumour cells that carry its antigen
    :math:`A_i`, all effector cells E, all tumour cells T and freshly infused cells I:

    .. math::

        \dot E_i = s_i\, \varepsilon k_{home} I + \rho \frac{A_i}{g_T + A_i} E_i
            - \alpha_1 \frac{T}{g_C + E} E_i - \frac{E_i}{\tau}, \qquad
        \dot M = f_B \frac{E}{\tau} - \beta M

    and each kind j of tumour cells grows at :math:`\rho_T`, loses antigens at rate ``loss`` and is
    killed at :math:`\alpha_2 \sum E_i` over the specificities whose antigen it carries. With
    one antigen, one product and no memory this is the model of León-Triana 2021.

    References
    ----------
    .. [1] León-Triana O, Pérez-Martínez A, Ramírez-Orellana M, Pérez-García VM (2021). Dual-Target
       CAR-Ts with On- and Off-Tumour Activity May Override Immune Suppression in Solid Cancers.
       Cancers 13:703. https://doi.org/10.3390/cancers13040703
    """

    name = "dual_antigen"
    label = "Mesothelin and MUC1 CAR-T cells in a mixed solid tumour (this project)"
    population = "none: virtual patients with solid tumours"
    structure = "assumed"
    deviations = (
        "This project's own model. From León-Triana 2021 (BIOMD0000001013): tumour-driven "
        "expansion, inactivation by the tumour, death, killing and exponential tumour growth.",
        "Two specificities and four kinds of tumour cells are added; both specificities share one "
        "expansion rate and one killing rate, and both antigens are spread independently.",
        "The whole tumour inactivates, cells without antigen included: assumed.",
        "A dual product is a mixture of two kinds of cells; cells with two receptors, which would "
        "see both antigens, are not told apart from it.",
        "From Liu 2021: infused cells leave the blood first; a share of them engrafts. From Stein "
        "2019: a small share of the dying effector cells persists as memory cells, which neither "
        "kill nor come back.",
        "Antigen loss at a constant rate is as in models of CD19-negative relapse (Liu L 2022).",
        "The sum of diameters is the cube root of the number of tumour cells times a reference: "
        "lesions of one shape, and killed cells vanish at once.",
        "Numbers are assumed except tau and kill; set 'leon_triana2021' has the published "
        "ones for a brain tumour, with a threshold far above the doses of phase 1 trials.",
    )
    sources = ("BioModels BIOMD0000001013",)
    parameter_sets = MappingProxyType(
        {
            "leon_triana2021": ParameterSet(
                "one antigen, carried by every tumour cell, and no memory: glioma-like",
                {
                    "rho": 0.9,
                    "gt": 1e10,
                    "inact": 0.04,
                    "gc": 2e9,
                    "tau": 7.0,
                    "kill": 2.5e-10,
                    "growth": 0.02,
                    "tumour0": 6.7e9,
                    "msln_positive": 1.0 - 1e-12,
                    "muc1_positive": 1e-12,
                    "loss": 1e-15,
                    "fb": 1e-12,
                },
                source="BioModels BIOMD0000001013",
                confidence="transcribed",
            )
        }
    )

    infused = State("cells", "infused cells that have not engrafted", floor=1.0)
    effector_msln = State("cells", "effector cells against mesothelin", floor=1.0)
    effector_muc1 = State("cells", "effector cells against MUC1", floor=1.0)
    memory = State("cells", "memory cells", floor=1.0)
    tumour_msln = State("cells", "tumour cells with mesothelin only", floor=1.0)
    tumour_muc1 = State("cells", "tumour cells with MUC1 only", floor=1.0)
    tumour_both = State("cells", "tumour cells with both antigens", floor=1.0)
    tumour_none = State("cells", "tumour cells with neither antigen", floor=1.0)

    msln_share = Covariate(
        0.5, "1", "share of the product's cells against mesothelin, rest MUC1", lower=0.0, upper=1.0
    )

    rho = Positive(1.5, "1/day", "largest expansion rate", iiv=0.2, spread=0.3)
    gt = Positive(5e9, "cells", "tumour cells of half the largest expansion", fixed=True)
    inact = Positive(2e-4, "1/day", "inactivation by the tumour", iiv=0.5)
    gc = Positive(2e6, "cells", "effector cells that halve the inactivation", fixed=True)
    tau = Positive(
        7.0,
        "day",
        "mean life of effector cells",
        iiv=0.3,
        spread=0.5,
        source="BioModels BIOMD0000001013",
        confidence="transcribed",
    )
    fb = Fraction(0.02, "1", "share of the dying effector cells that become memory", iiv=0.8)
    beta = Positive(0.006, "1/day", "decline rate of memory cells", iiv=0.5)
    kill = Positive(
        2.5e-10,
        "1/cells/day",
        "killing rate",
        iiv=0.5,
        source="BioModels BIOMD0000001013",
        confidence="transcribed",
    )
    growth = Positive(0.006, "1/day", "tumour growth rate", iiv=0.5, spread=0.5)
    loss = Positive(1e-4, "1/day", "loss of one antigen by a tumour cell", fixed=True)
    tumour0 = Positive(1e10, "cells", "tumour cells at day 0", iiv=0.7)
    msln_positive = Fraction(0.85, "1", "share of tumour cells with mesothelin at day 0", iiv=1.0)
    muc1_positive = Fraction(0.80, "1", "share of tumour cells with MUC1 at day 0", iiv=1.0)
    khome = Positive(1.0, "1/day", "rate at which infused cells leave the blood", fixed=True)
    engraft = Fraction(0.5, "1", "share of the infused cells that engraft", fixed=True)
    per_cell = Positive(5e-7, "copies/µg/cells", "level per CAR-T cell in the body", iiv=0.5)
    diameter = Positive(60.0, "mm", "sum of diameters of a tumour of usual size", iiv=0.4)
    usual_tumour = Positive(1e10, "cells", "tumour of usual size", fixed=True)

    dosed = "infused"

    def initial(self, p: Any) -> Mapping[str, Value]:
        """Return the tumour, its antigens spread independently, and no CAR-T cells."""
        msln, muc1 = p.msln_positive, p.muc1_positive
        return {
            "infused": 0.0,
            "effector_msln": 0.0,
            "effector_muc1": 0.0,
            "memory": 0.0,
            "tumour_msln": p.tumour0 * msln * (1.0 - muc1),
            "tumour_muc1": p.tumour0 * (1.0 - msln) * muc1,
            "tumour_both": p.tumour0 * msln * muc1,
            "tumour_none": p.tumour0 * (1.0 - msln) * (1.0 - muc1),
        }

    def rhs(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return expansion, inactivation and death; growth, antigen loss and killing."""
        leaving = p.khome * y.infused
        effectors = y.effector_msln + y.effector_muc1
        lost = p.inact * _tumour(y) / (p.gc + effectors) + 1.0 / p.tau
        by_msln, by_muc1 = p.kill * y.effector_msln, p.kill * y.effector_muc1
        msln_loss, muc1_loss = p.loss * y.tumour_msln, p.loss * y.tumour_muc1
        one_loss = p.loss * y.tumour_both
        return {
            "infused": -leaving,
            "effector_msln": p.msln_share * p.engraft * leaving
            + (p.rho * hill(_with_msln(y), p.gt) - lost) * y.effector_msln,
            "effector_muc1": (1.0 - p.msln_share) * p.engraft * leaving
            + (p.rho * hill(_with_muc1(y), p.gt) - lost) * y.effector_muc1,
            "memory": p.fb * effectors / p.tau - p.beta * y.memory,
            "tumour_msln": (p.growth - by_msln) * y.tumour_msln - msln_loss + one_loss,
            "tumour_muc1": (p.growth - by_muc1) * y.tumour_muc1 - muc1_loss + one_loss,
            "tumour_both": (p.growth - by_msln - by_muc1) * y.tumour_both - one_loss - one_loss,
            "tumour_none": p.growth * y.tumour_none + msln_loss + muc1_loss,
        }

    def observe(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return the transgene level, the tumour cells and the sum of diameters."""
        # Far below one cell the cube root has no use, and its slope no bound.
        relative = maximum(_tumour(y) / p.usual_tumour, 1e-12)
        return {
            "transgene": _level(y, p),
            "tumour": _tumour(y),
            "sld": p.diameter * relative ** (1.0 / 3.0),
        }

    def drivers(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return cells, those that meet antigen, tumour cells killed, and antigen."""
        activated = y.effector_msln * hill(_with_msln(y), p.gt)
        activated += y.effector_muc1 * hill(_with_muc1(y), p.gt)
        killed = y.effector_msln * _with_msln(y) + y.effector_muc1 * _with_muc1(y)
        return {
            "cells": _level(y, p),
            "activated": p.per_cell * activated,
            "killing": p.kill * killed,
            "antigen": y.tumour_msln + y.tumour_muc1 + y.tumour_both,
        }


def _level(y: Any, p: Any) -> Value:
    """Return the transgene level of all CAR-T cells."""
    return p.per_cell * (y.infused + y.effector_msln + y.effector_muc1 + y.memory)


def _with_msln(y: Any) -> Value:
    """Return the tumour cells that carry mesothelin."""
    return y.tumour_msln + y.tumour_both


def _with_muc1(y: Any) -> Value:
    """Return the tumour cells that carry MUC1."""
    return y.tumour_muc1 + y.tumour_both


def _tumour(y: Any) -> Value:
    """Return all tumour cells."""
    return y.tumour_msln + y.tumour_muc1 + y.tumour_both + y.tumour_none
