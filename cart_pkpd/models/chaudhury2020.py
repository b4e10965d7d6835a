"""Three nested models from predator and prey to saturable expansion (Chaudhury et al. 2020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from cart_pkpd.models._ode import OdeModel, State
from cart_pkpd.models._parameters import Positive, Reference
from cart_pkpd.models.math import Value, exp, expit, log, where

_REFERENCE = Reference(
    "Chaudhury A, Zhu X, Chu L, Goliaei A, June C, Kearns J, Stein A",
    2020,
    "Chimeric Antigen Receptor T Cell Therapies: A Review of Cellular Kinetic-Pharmacodynamic "
    "Modeling Approaches",
    "J Clin Pharmacol 60:S147",
    "10.1002/jcph.1691",
)
_LOG = (
    "The tumour is followed as the logarithm of its size relative to the start, which has the same "
    "solution and cannot become negative."
)
_UNITS = (
    "Levels are read as cells per µL, as the BioModels file counts them; figures of the paper were "
    "not seen.",
    "No between-patient spread is published.",
)
_CAPACITY = (
    "The logarithm of the tumour capacity in the growth term needs a unit: 1 cell/µL, as in the "
    "file."
)
_POPULATION = "none: a review; contraction and persistence as in paediatric B-ALL (Stein 2019)"


def _listed(value: float, unit: str, about: str, **more: Any) -> Positive:
    """Return a parameter whose value stands in the model's BioModels file."""
    return Positive(value, unit, about, source="BioModels", confidence="transcribed", **more)


def _tumour(y: Any, p: Any) -> Value:
    """Return the tumour level."""
    return p.u0 * exp(y.log_tumour)


def _regrowth(y: Any, p: Any) -> Value:
    """Return the relative growth of a tumour that is cured below a critical size."""
    # Logarithms are added, not taken: a tumour of 1e-400 cells is 0 to the computer.
    cured = expit(p.h * log(p.u0 / p.ucrit) + p.h * y.log_tumour)
    room = log(p.umax / p.u0) - y.log_tumour
    return cured * p.g * room / log(p.umax / p.unit_level)


class Chaudhury2020PredatorPrey(OdeModel):
    """Cells grow in proportion to the tumour that they kill: Lotka and Volterra [1]_.

    The smallest model in which the tumour drives the expansion. Choose it to explain the idea;
    its peak is far sharper than data and the tumour always comes back. The dose does not enter:
    the cells at the start are a parameter.

    References
    ----------
    .. [1] Chaudhury A et al. (2020). J Clin Pharmacol 60:S147. https://doi.org/10.1002/jcph.1691
    """

    name = "chaudhury2020_predator_prey"
    label = "Predator and prey: tumour-driven expansion (Chaudhury 2020)"
    endpoint = "car_cells"
    population = _POPULATION
    reference = _REFERENCE
    structure = "transcribed"
    deviations = (*_UNITS, _LOG)
    sources = ("BioModels BIOMD0000001024",)

    expanding = State("cells/µL", "expanding CAR-T cells")
    log_tumour = State("1", "ln of the tumour relative to its start")

    rho = _listed(0.0018, "µL/cells/day", "expansion per tumour cell")
    ke = _listed(0.16, "1/day", "death of CAR-T cells")
    g = _listed(0.15, "1/day", "tumour growth rate")
    d = _listed(0.00015, "µL/cells/day", "killing rate")
    e0 = _listed(10.0, "cells/µL", "CAR-T cells at day 0")
    u0 = _listed(900.0, "cells/µL", "tumour at day 0")

    def initial(self, p: Any) -> Mapping[str, Value]:
        """Return both populations at day 0."""
        return {"expanding": p.e0, "log_tumour": 0.0}

    def rhs(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return growth and death of both."""
        return {
            "expanding": (p.rho * _tumour(y, p) - p.ke) * y.expanding,
            "log_tumour": p.g - p.d * y.expanding,
        }

    def observe(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return cells and tumour."""
        return {"car_cells": y.expanding, "tumour": _tumour(y, p)}

    def drivers(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return cells, tumour and killing."""
        u = _tumour(y, p)
        return {"cells": y.expanding, "antigen": u, "killing": p.d * y.expanding * u}


class Chaudhury2020FirstOrder(OdeModel):
    """First-order expansion until ``tmax`` as in Stein 2019, with a tumour that is killed [1]_.

    The kinetics do not see the tumour; the tumour sees the kinetics. Choose it to add a tumour
    to a kinetic model without changing the latter. The dose does not enter.

    References
    ----------
    .. [1] Chaudhury A et al. (2020). J Clin Pharmacol 60:S147. https://doi.org/10.1002/jcph.1691
    """

    name = "chaudhury2020_first_order"
    label = "First-order expansion, persistence and killing (Chaudhury 2020)"
    endpoint = "car_cells"
    population = _POPULATION
    reference = _REFERENCE
    structure = "transcribed"
    deviations: ClassVar[tuple[str, ...]] = (
        *_UNITS,
        _LOG,
        _CAPACITY,
        "The file's capacity of 100 cells/µL is below the tumour at the start, 900 cells/µL, so "
        "that growth is negative at first; taken as it is.",
    )
    sources = ("BioModels MODEL2109110005",)

    expanding = State("cells/µL", "expanding CAR-T cells")
    persistent = State("cells/µL", "persisting CAR-T cells")
    log_tumour = State("1", "ln of the tumour relative to its start")

    rho = _listed(1.0, "1/day", "expansion rate")
    tmax = _listed(9.3, "day", "end of the expansion", spread=0.5)
    ke = _listed(0.16, "1/day", "death of expanded cells")
    kep = _listed(0.0012, "1/day", "expanded to persisting cells")
    beta = _listed(0.0032, "1/day", "decline of persisting cells")
    g = _listed(0.3, "1/day", "tumour growth rate")
    d = _listed(0.0007, "µL/cells/day", "killing rate")
    ucrit = _listed(0.1, "cells/µL", "tumour below which it does not grow back", fixed=True)
    umax = _listed(100.0, "cells/µL", "tumour capacity", fixed=True)
    h = _listed(3.0, "1", "steepness of the cure", fixed=True)
    unit_level = Positive(1.0, "cells/µL", "unit of the capacity's logarithm", fixed=True)
    e0 = _listed(10.0, "cells/µL", "CAR-T cells at day 0")
    u0 = _listed(900.0, "cells/µL", "tumour at day 0")

    def initial(self, p: Any) -> Mapping[str, Value]:
        """Return the populations at day 0."""
        return {"expanding": p.e0, "persistent": 0.0, "log_tumour": 0.0}

    def switches(self, p: Any) -> Sequence[Value]:
        """Return the end of the expansion."""
        return (p.tmax,)

    def expansion(self, y: Any, p: Any) -> Value:
        """Return the expansion rate before tmax, per day."""
        return p.rho

    def killing(self, y: Any, p: Any) -> Value:
        """Return the rate at which tumour cells are killed, per day."""
        return p.d * y.expanding

    def rhs(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return expansion, then contraction; the tumour grows and is killed."""
        growing = t <= p.tmax
        rate = where(growing, self.expansion(y, p), -(p.kep + p.ke))
        kept = p.kep * y.expanding - p.beta * y.persistent
        return {
            "expanding": rate * y.expanding,
            "persistent": where(growing, 0.0, kept),
            "log_tumour": _regrowth(y, p) - self.killing(y, p),
        }

    def observe(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return all CAR-T cells and the tumour."""
        return {"car_cells": y.expanding + y.persistent, "tumour": _tumour(y, p)}

    def drivers(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return cells, those that still kill, tumour and killing."""
        u = _tumour(y, p)
        return {
            "cells": y.expanding + y.persistent,
            "activated": y.expanding,
            "antigen": u,
            "killing": self.killing(y, p) * u,
        }


class Chaudhury2020Ec50(Chaudhury2020FirstOrder):
    """Expansion and killing that saturate in cells and tumour together [1]_.

    The smallest model in which the tumour drives the expansion and the course still looks like
    Stein's: growth is limited by whichever of cells and tumour is scarcer. Choose it to link
    tumour burden to exposure. The dose does not enter.

    References
    ----------
    .. [1] Chaudhury A et al. (2020). J Clin Pharmacol 60:S147. https://doi.org/10.1002/jcph.1691
    """

    name = "chaudhury2020_ec50"
    label = "Saturable tumour-driven expansion and killing (Chaudhury 2020)"
    deviations = (*_UNITS, _LOG, _CAPACITY)
    sources = ("BioModels BIOMD0000001025: equations 7 to 9 of the paper",)

    rho = _listed(8.8, "1/day", "largest expansion rate")
    ec50rho = _listed(1.0, "cells/µL", "half-saturation of expansion")
    g = _listed(0.2, "1/day", "tumour growth rate")
    d = _listed(0.35, "1/day", "largest killing rate")
    ec50d = _listed(10.0, "cells/µL", "half-saturation of killing")
    umax = _listed(1000.0, "cells/µL", "tumour capacity", fixed=True)

    def expansion(self, y: Any, p: Any) -> Value:
        """Return the expansion rate before tmax, per day."""
        u = _tumour(y, p)
        return p.rho * u / (p.ec50rho + y.expanding + u)

    def killing(self, y: Any, p: Any) -> Value:
        """Return the rate at which tumour cells are killed, per day."""
        return p.d * y.expanding / (p.ec50d + y.expanding + _tumour(y, p))
