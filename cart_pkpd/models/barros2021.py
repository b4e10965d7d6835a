"""Effector and memory CAR-T cells against haematological tumours in mice (Barros et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from cart_pkpd.models._ode import OdeModel, State
from cart_pkpd.models._parameters import ParameterSet, Positive, Real, Reference
from cart_pkpd.models.math import Value

_HDLM2 = "BIOMD0000001019"
_RAJI = "BIOMD0000001020, CARTmath simulator"
_RAJI_VALUES = {
    "phi": 0.83,
    "rho": 0.8300536,
    "eps": 1.59795,
    "theta": 2.3e-4,
    "alpha": 1.248506e-8,
    "mu": 6.89e-7,
    "r": 0.5071721,
    "b": 0.0,
    "gamma": 3.365388e-8,
    "tumour0": 3e6,
}


def _raji(about: str, alpha: float) -> ParameterSet:
    values = {**_RAJI_VALUES, "alpha": alpha}
    return ParameterSet(about, values, source=_RAJI, confidence="transcribed")


class Barros2021(OdeModel):
    r"""Effector cells that kill, rest as memory and come back when they meet the tumour [1]_.

    Effector cells grow at a constant net rate and do not need antigen; the tumour acts only by
    turning memory cells back into effectors and by suppressing effectors. Memory remembers: a
    second tumour is met by a second expansion. Choose it for immunodeficient mice, for
    re-challenge, and for immunosuppression that depends on tumour size.

    Time is the day since the tumour was given: HDLM-2 mice got 2e6 CAR-T cells on day 42 (45 in
    the BioModels file), Raji mice 1e7 on day 7. A second tumour is a dose into ``tumour``.

    References
    ----------
    .. [1] Barros LRC et al. (2021). Cancers 13:2941. https://doi.org/10.3390/cancers13122941
    """

    name = "barros2021"
    label = "CARTmath: effector, memory and tumour in mice (Barros 2021)"
    endpoint = "car_cells"
    population = "immunodeficient mice with HDLM-2 (Hodgkin) or Raji (Burkitt) cells"
    reference = Reference(
        "Barros LRC, Paixão EA, Valli AMP, Naozuka GT, Fassoni AC, Almeida RC",
        2021,
        "CARTmath—A Mathematical Model of CAR-T Immunotherapy in Preclinical Studies of "
        "Hematological Cancers",
        "Cancers 13:2941",
        "10.3390/cancers13122941",
    )
    structure = "transcribed"
    sources = (
        "BioModels BIOMD0000001019 and BIOMD0000001020",
        "The CARTmath simulator (10.5281/zenodo.4450376, no licence: facts only)",
    )
    deviations = (
        "The paper follows total cell numbers; levels per blood volume assume 1.5 mL of blood.",
        "A dose adds to the effector cells; the BioModels files set them to the dose, which is the "
        "same as long as there were none.",
        "CARTmath sets a population below 1e-6 cells to 0; such jumps are left out, so that a "
        "tumour never quite dies out.",
    )
    errata = (
        "The BioModels files call effector death pi and tumour growth rho; the names here are the "
        "paper's, rho and r.",
    )
    parameter_sets = MappingProxyType(
        {
            "Raji": _raji("Raji cells (control)", 1.248506e-8),
            "Raji IDO+": _raji("Raji cells that express IDO", 1.461699e-8),
            "Raji IDO+ with 1-MT": _raji("Raji cells that express IDO, IDO inhibited", 1.261662e-8),
        }
    )

    dosed = "effector"

    effector = State("cells", "effector CAR-T cells", floor=1.0)
    memory = State("cells", "memory CAR-T cells", floor=1.0)
    tumour = State("cells", "tumour cells", floor=1.0)

    phi = Positive(
        0.265, "1/day", "proliferation of effector cells", spread=0.5, source=_HDLM2,
        confidence="transcribed",
    )  # fmt: skip
    rho = Positive(
        0.35, "1/day", "death of effector cells and conversion to memory", spread=0.5,
        source=_HDLM2, confidence="transcribed",
    )  # fmt: skip
    eps = Positive(
        0.15, "1/day", "memory cells made per effector cell", source=_HDLM2,
        confidence="transcribed",
    )  # fmt: skip
    theta = Positive(
        6e-6, "1/cells/day", "return of memory cells per tumour cell", source=_HDLM2,
        confidence="transcribed",
    )  # fmt: skip
    alpha = Positive(
        4.5e-8, "1/cells/day", "suppression of effector cells per tumour cell", source=_HDLM2,
        confidence="transcribed",
    )  # fmt: skip
    mu = Positive(0.005, "1/day", "death of memory cells", source=_HDLM2, confidence="transcribed")
    r = Positive(
        0.05650026, "1/day", "growth rate of the tumour", source=_HDLM2, confidence="transcribed"
    )
    # Real, because the Raji set has unlimited growth, b = 0.
    b = Real(
        1.404029e-12, "1/cells", "inverse of the largest tumour", spread=1e-12, source=_HDLM2,
        confidence="transcribed", fixed=True,
    )  # fmt: skip
    gamma = Positive(
        3.715843e-6, "1/cells/day", "killing rate per effector cell", source=_HDLM2,
        confidence="transcribed",
    )  # fmt: skip
    tumour0 = Positive(
        2e6, "cells", "tumour cells given on day 0", source=_HDLM2, confidence="transcribed"
    )
    blood = Positive(1500.0, "µL", "blood volume of a mouse", fixed=True)

    def initial(self, p: Any) -> Mapping[str, Value]:
        """Return the tumour; effector cells come with the dose."""
        return {"effector": 0.0, "memory": 0.0, "tumour": p.tumour0}

    def rhs(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return the slopes; memory cells that meet the tumour become effectors."""
        returning = p.theta * y.tumour * y.memory
        suppressed = p.alpha * y.tumour * y.effector
        return {
            "effector": (p.phi - p.rho) * y.effector + returning - suppressed,
            "memory": p.eps * y.effector - returning - p.mu * y.memory,
            "tumour": p.r * y.tumour * (1.0 - p.b * y.tumour) - p.gamma * y.effector * y.tumour,
        }

    def observe(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return effector and memory cells per blood volume, and tumour cells."""
        return {"car_cells": (y.effector + y.memory) / p.blood, "tumour": y.tumour}

    def drivers(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return also effector cells, tumour cells killed per day, and the tumour."""
        return {
            **super().drivers(t, y, p),
            "activated": y.effector / p.blood,
            "killing": p.gamma * y.effector * y.tumour,
            "antigen": y.tumour,
        }
