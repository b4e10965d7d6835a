"""Drugs against cytokine release: tocilizumab and corticosteroids, given by events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from cart_pkpd._core.errors import ModelError
from cart_pkpd.models._compose import Part, Record
from cart_pkpd.models._ode import State
from cart_pkpd.models._parameters import Positive
from cart_pkpd.models.math import Value

_FREY = "Frey 2010, rheumatoid arthritis"


def _frey(typical: float, unit: str, about: str, cv: float | None = None) -> Positive:
    return Positive(
        typical, unit, about, iiv=None if cv is None else float(np.sqrt(np.log1p(cv**2))),
        source=_FREY, confidence="transcribed", fixed=True,
        iiv_source="assumed" if cv is None else f"CV of {cv:.0%}, {_FREY}",
    )  # fmt: skip


@dataclass(frozen=True)
class Tocilizumab(Part):
    """Levels of tocilizumab and receptor occupancy; made by :func:`tocilizumab`."""

    dose: float = 560.0

    gives: ClassVar[tuple[str, ...]] = ("tocilizumab",)
    sources: ClassVar[tuple[str, ...]] = (
        "Levels of tocilizumab: Frey N, Grange S, Woodworth T (2010). J Clin Pharmacol 50:754.",
    )
    event_doses: ClassVar[Mapping[str, str]] = MappingProxyType({"tocilizumab": "toci_central"})

    def records(self, units: Mapping[str, str]) -> Mapping[str, Record]:
        return {
            "toci_central": State("mg", "tocilizumab in plasma", floor=1e-3),
            "toci_peripheral": State("mg", "tocilizumab in tissue", floor=1e-3),
            "toci_dose": Positive(self.dose, "mg", "tocilizumab per event of value 1", fixed=True),
            "toci_cl": _frey(0.3, "L/day", "linear clearance of tocilizumab", 0.39),
            "toci_v1": _frey(3.5, "L", "central volume of tocilizumab", 0.37),
            "toci_q": _frey(0.2, "L/day", "exchange of tocilizumab with tissue"),
            "toci_v2": _frey(2.9, "L", "peripheral volume of tocilizumab", 0.66),
            "toci_vmax": _frey(7.5, "mg/day", "largest saturable elimination", 0.54),
            "toci_km": _frey(2.7, "mg/L", "level of half the saturable elimination"),
            "toci_kd": Positive(
                0.3, "mg/L", "level that occupies half of the IL-6 receptors", fixed=True
            ),
        }

    def initial(self, p: Any) -> Mapping[str, Value]:
        return {"toci_central": 0.0, "toci_peripheral": 0.0}

    def dose_factor(self, p: Any) -> Mapping[str, Value]:
        return {"toci_central": p.toci_dose}

    def rhs(self, t: Value, y: Any, p: Any, d: Any) -> Mapping[str, Value]:
        level = y.toci_central / p.toci_v1
        over = p.toci_q * (level - y.toci_peripheral / p.toci_v2)
        lost = (p.toci_cl + p.toci_vmax / (p.toci_km + level)) * level
        return {"toci_central": -lost - over, "toci_peripheral": over}

    def observe(self, t: Value, y: Any, p: Any, d: Any) -> Mapping[str, Value]:
        return {"tocilizumab": y.toci_central / p.toci_v1}

    def drivers(self, t: Value, y: Any, p: Any, d: Any) -> Mapping[str, Value]:
        level = y.toci_central / p.toci_v1
        return {"tocilizumab": level / (p.toci_kd + level)}

    @property
    def label(self) -> str:
        return "tocilizumab"


@dataclass(frozen=True)
class Corticosteroids(Part):
    """Effect of corticosteroids without levels; made by :func:`corticosteroids`."""

    gives: ClassVar[tuple[str, ...]] = ("steroid",)
    event_doses: ClassVar[Mapping[str, str]] = MappingProxyType({"steroid": "steroid_amount"})

    steroid_amount = State("mg", "dexamethasone, or its equivalent, that acts", floor=1e-3)
    steroid_k = Positive(
        float(np.log(2.0) / 1.5), "1/day", "loss of effect, half-life 36 h", fixed=True
    )
    steroid_unit = Positive(1.0, "mg", "amount per event of value 1", fixed=True)
    steroid_ed50 = Positive(10.0, "mg", "amount of half the largest effect", fixed=True)

    def initial(self, p: Any) -> Mapping[str, Value]:
        return {"steroid_amount": 0.0}

    def dose_factor(self, p: Any) -> Mapping[str, Value]:
        return {"steroid_amount": p.steroid_unit}

    def rhs(self, t: Value, y: Any, p: Any, d: Any) -> Mapping[str, Value]:
        return {"steroid_amount": -p.steroid_k * y.steroid_amount}

    def drivers(self, t: Value, y: Any, p: Any, d: Any) -> Mapping[str, Value]:
        return {"steroid": y.steroid_amount / (p.steroid_ed50 + y.steroid_amount)}

    @property
    def label(self) -> str:
        return "corticosteroids"


def tocilizumab(dose: float = 560.0) -> Tocilizumab:
    """Return tocilizumab with its levels and the receptors it occupies.

    Two compartments with linear and saturable elimination [1]_; occupancy is level / (KD +
    level). Correlations between patients' parameters, which the paper has, are left out. It
    drives every input called ``tocilizumab``, such as that of
    ``cytokines(receptor=True)``.

    Parameters
    ----------
    dose : float
        What an event ``tocilizumab`` of value 1 gives; 8 mg/kg at 70 kg by default, and 1 where
        the table's events have the amount itself. [mg]

    Returns
    -------
    Tocilizumab
        A part, to be added to a model with ``+``.

    References
    ----------
    .. [1] Frey N, Grange S, Woodworth T (2010). J Clin Pharmacol 50:754.

    Examples
    --------
    >>> model = cells + models.cytokines(["il6"], receptor=True) + models.tocilizumab()
    >>> model.simulate(days, inputs={"tocilizumab": [(9.0, 1), (9.5, 1)]})
    """
    if not 0 < dose < np.inf:
        raise ModelError(f"tocilizumab: dose must be above 0 mg, not {dose!r}.")
    return Tocilizumab(float(dose))


def corticosteroids() -> Corticosteroids:
    """Return corticosteroids as an amount that acts and is lost; levels are not described.

    Events ``steroid`` have the amount, in mg of dexamethasone. The effect, amount / (ED50 +
    amount), drives every input called ``steroid``. All numbers are assumed. Where the events only
    say on (1) and off (0), leave this part out: the input follows them by itself.

    Returns
    -------
    Corticosteroids
        A part, to be added to a model with ``+``.

    Examples
    --------
    >>> cells + models.cytokines(["il6"], steroid=True) + models.corticosteroids()
    """
    return Corticosteroids()
