"""CAR-T cells against a solid tumour that inactivates them (León-Triana et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar

from cart_pkpd.models._ode import OdeModel, State
from cart_pkpd.models._parameters import ParameterSet, Positive, Reference
from cart_pkpd.models.math import Value

_REFERENCE = Reference(
    "León-Triana O, Pérez-Martínez A, Ramírez-Orellana M, Pérez-García VM",
    2021,
    "Dual-Target CAR-Ts with On- and Off-Tumour Activity May Override Immune Suppression in Solid "
    "Cancers: A Mathematical Proof of Concept",
    "Cancers 13:703",
    "10.3390/cancers13040703",
)
_SINGLE, _DUAL = "BIOMD0000001013", "BIOMD0000001014"
_of_dual = partial(Positive, source=_DUAL, confidence="transcribed")
_of_single = partial(Positive, source=_SINGLE, confidence="transcribed")
_DEVIATIONS = (
    "The paper follows total cell numbers; levels per blood volume assume that all CAR-T cells "
    "are seen in 5 L of blood, although most are in the tumour.",
    "The infused cells of the paper are a dose instead of an initial value.",
)


class LeonTriana2021Solid(OdeModel):
    r"""CAR-T cells that a solid tumour stimulates and inactivates [1]_.

    Stimulation saturates with the tumour, inactivation with the CAR-T cells, so that few CAR-T
    cells in a large tumour are switched off faster than they divide. A large tumour therefore
    has a **dose threshold**: above it CAR-T cells expand and the tumour shrinks, below it they
    vanish and it grows as if untreated. At once expand all doses above
    ``alpha1 T / (rhoc T / (gt + T) - 1 / tauc) - gc`` cells, less than 0 where every dose
    expands; somewhat smaller doses do so once they have shrunk the tumour (with the set
    ``large_tumour`` 1.7e8 instead of 4.4e8 cells). Choose it where exposure and response may
    depend on the dose, as in dose escalation in solid tumours.

    References
    ----------
    .. [1] León-Triana O et al. (2021). Cancers 13:703. https://doi.org/10.3390/cancers13040703
    """

    name = "leon_triana2021_solid"
    label = "Solid tumour that inactivates CAR-T cells: a dose threshold (León-Triana 2021)"
    endpoint = "car_cells"
    population = "no data fitted: constants for glioblastoma from the literature"
    reference = _REFERENCE
    structure = "transcribed"
    sources: ClassVar[tuple[str, ...]] = (
        "BioModels BIOMD0000001013",
        "A public re-implementation of the paper's Figure 1 (willchoprojects, facts only)",
    )
    deviations = _DEVIATIONS
    parameter_sets = MappingProxyType(
        {
            "large_tumour": ParameterSet(
                "five-fold larger tumour, of the paper's Figure 1 (given with 8e7 CAR-T cells)",
                {"tumour0": 3.35e10},
                source="re-implementation of Figure 1",
                confidence="transcribed",
            ),
            "weak_inactivation": ParameterSet(
                "the large tumour with half the inactivation, of Figure 1",
                {"tumour0": 3.35e10, "alpha1": 0.02},
                source="re-implementation of Figure 1",
                confidence="transcribed",
            ),
        }
    )

    dosed = "car"

    car = State("cells", "CAR-T cells", floor=1.0)
    tumour = State("cells", "tumour cells", floor=1.0)

    rhoc = _of_single(0.9, "1/day", "largest growth rate of CAR-T cells", spread=0.5)
    gt = _of_single(1e10, "cells", "tumour cells of half the largest growth", fixed=True)
    alpha1 = _of_single(0.04, "1/day", "inactivation of CAR-T cells by tumour cells")
    gc = _of_single(2e9, "cells", "CAR-T cells of half the largest inactivation", fixed=True)
    tauc = _of_single(7.0, "day", "life of CAR-T cells", spread=0.5)
    rhot = _of_single(0.02, "1/day", "growth rate of the tumour")
    alpha2 = _of_single(2.5e-10, "1/cells/day", "killing rate per CAR-T cell")
    tumour0 = _of_single(6.7e9, "cells", "tumour cells at the infusion")
    blood = Positive(5e6, "µL", "blood volume", fixed=True)

    def initial(self, p: Any) -> Mapping[str, Value]:
        """Return the tumour; CAR-T cells come with the dose."""
        return {"car": 0.0, "tumour": p.tumour0}

    def rhs(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return stimulation, inactivation and death of CAR-T cells, growth and killing."""
        stimulated = p.rhoc * y.car * y.tumour / (p.gt + y.tumour)
        inactivated = p.alpha1 * y.tumour * y.car / (p.gc + y.car)
        return {
            "car": stimulated - inactivated - y.car / p.tauc,
            "tumour": (p.rhot - p.alpha2 * y.car) * y.tumour,
        }

    def observe(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return CAR-T cells per blood volume and tumour cells."""
        return {"car_cells": y.car / p.blood, "tumour": y.tumour}

    def drivers(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return also the stimulated share of the cells, tumour cells killed, and the tumour."""
        cells = y.car / p.blood
        return {
            "cells": cells,
            "activated": cells * y.tumour / (p.gt + y.tumour),
            "killing": p.alpha2 * y.car * y.tumour,
            "antigen": y.tumour,
        }


class LeonTriana2021Dual(LeonTriana2021Solid):
    r"""CAR-T cells that also grow on healthy B cells, away from the tumour [1]_.

    The infused cells carry a second target on B cells; there they expand without being
    inactivated and move to the tumour at rate ``k``, which carries small doses past the
    threshold of ``leon_triana2021_solid``. Choose it to ask what an off-tumour reservoir adds.

    References
    ----------
    .. [1] León-Triana O et al. (2021). Cancers 13:703. https://doi.org/10.3390/cancers13040703
    """

    name = "leon_triana2021_dual"
    label = "Dual-target CAR-T cells that also grow on B cells (León-Triana 2021)"
    structure = "transcribed"
    sources = ("BioModels BIOMD0000001014",)
    deviations = _DEVIATIONS
    parameter_sets = MappingProxyType({})

    dosed = "off_tumour"

    off_tumour = State("cells", "CAR-T cells among B cells", floor=1.0)
    healthy = State("cells", "healthy B cells", floor=1.0)

    alpha1 = _of_dual(0.02, "1/day", "inactivation of CAR-T cells by tumour cells")
    tumour0 = _of_dual(3.35e10, "cells", "tumour cells at the infusion")
    rhocbar = _of_dual(0.9, "1/day", "largest growth rate on B cells", spread=0.5)
    gb = _of_dual(1e10, "cells", "B cells of half the largest growth", fixed=True)
    k = _of_dual(0.2, "1/day", "rate of moving to the tumour")
    alphab = _of_dual(4.5e-11, "1/cells/day", "killing rate of B cells per CAR-T cell")
    taub = _of_dual(60.0, "day", "life of B cells", fixed=True)
    b_cells0 = _of_dual(2.5e10, "cells", "B cells at the infusion")

    def initial(self, p: Any) -> Mapping[str, Value]:
        """Return tumour and B cells; CAR-T cells come with the dose."""
        return {**super().initial(p), "off_tumour": 0.0, "healthy": p.b_cells0}

    def rhs(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return the slopes of the single-target model, plus growth elsewhere and migration."""
        slopes = super().rhs(t, y, p)
        growing = p.rhocbar * y.off_tumour * y.healthy / (p.gb + y.healthy)
        moving = p.k * y.off_tumour
        return {
            "car": slopes["car"] + moving,
            "tumour": slopes["tumour"],
            "off_tumour": growing - y.off_tumour / p.tauc - moving,
            "healthy": -p.alphab * y.healthy * y.off_tumour - y.healthy / p.taub,
        }

    def observe(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return all CAR-T cells and B cells per blood volume, and tumour cells."""
        return {
            "car_cells": (y.car + y.off_tumour) / p.blood,
            "tumour": y.tumour,
            "b_cells": y.healthy / p.blood,
        }

    def drivers(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return cells stimulated, killed and left, on and off the tumour."""
        seen = y.tumour / (p.gt + y.tumour)
        elsewhere = y.healthy / (p.gb + y.healthy)
        return {
            "cells": (y.car + y.off_tumour) / p.blood,
            "activated": (y.car * seen + y.off_tumour * elsewhere) / p.blood,
            "killing": p.alpha2 * y.car * y.tumour + p.alphab * y.off_tumour * y.healthy,
            "antigen": y.tumour + y.healthy,
        }
