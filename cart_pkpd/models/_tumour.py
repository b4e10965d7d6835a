"""Sum of tumour diameters, driven by any cell model or by time alone."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from cart_pkpd._core.errors import ModelError
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd.models._compose import Part, Record, driver_ec50, positive_level
from cart_pkpd.models._ode import State
from cart_pkpd.models._parameters import Positive
from cart_pkpd.models.math import Value, exp, hill

_BASE = Positive(80.0, "mm", "sum of diameters at the infusion", iiv=0.5, spread=0.7)


class _ByTime(Part):
    """A sum of diameters that is a function of time; nothing drives it."""

    gives: ClassVar[tuple[str, ...]] = ("antigen",)

    sld = State("mm", "sum of diameters", floor=0.1)
    tumour_base = _BASE

    @abc.abstractmethod
    def slope(self, t: Value, p: Any) -> Value:
        """Return the change of the sum of diameters, relative to its start, per day."""

    def initial(self, p: Any) -> Mapping[str, Value]:
        return {"sld": p.tumour_base}

    def rhs(self, t: Value, y: Any, p: Any, d: Any) -> Mapping[str, Value]:
        return {"sld": p.tumour_base * self.slope(t, p)}

    def observe(self, t: Value, y: Any, p: Any, d: Any) -> Mapping[str, Value]:
        return {"sld": y.sld}

    def drivers(self, t: Value, y: Any, p: Any, d: Any) -> Mapping[str, Value]:
        return {"antigen": y.sld / p.tumour_base}


@dataclass(frozen=True)
class SteinTumour(_ByTime):
    """Exponential shrinkage and growth side by side (Stein 2008, Clin Cancer Res 14:4425)."""

    tumour_shrink = Positive(0.006, "1/day", "shrinkage rate", iiv=0.8)
    tumour_grow = Positive(0.003, "1/day", "growth rate", iiv=0.8)

    def slope(self, t: Value, p: Any) -> Value:
        grown = p.tumour_grow * exp(p.tumour_grow * t)
        return grown - p.tumour_shrink * exp(-p.tumour_shrink * t)

    @property
    def label(self) -> str:
        return "tumour (Stein)"


@dataclass(frozen=True)
class WangTumour(_ByTime):
    """Exponential shrinkage and linear growth (Wang 2009, Clin Pharmacol Ther 86:167)."""

    tumour_shrink = Positive(0.006, "1/day", "shrinkage rate", iiv=0.8)
    tumour_progress = Positive(0.15, "mm/day", "linear growth", iiv=0.8)

    def slope(self, t: Value, p: Any) -> Value:
        grown = p.tumour_progress / p.tumour_base
        return grown - p.tumour_shrink * exp(-p.tumour_shrink * t)

    @property
    def label(self) -> str:
        return "tumour (Wang)"


@dataclass(frozen=True)
class _Driven(Part):
    """A sum of diameters that grows by itself and shrinks where the driver acts."""

    driver: str = "cells"
    ec50: float | None = None

    gives: ClassVar[tuple[str, ...]] = ("killing", "antigen")

    def records(self, units: Mapping[str, str]) -> Mapping[str, Record]:
        return {
            "sld": State("mm", "sum of diameters", floor=0.1),
            "tumour_base": _BASE,
            "tumour_grow": Positive(0.003, "1/day", "growth rate", iiv=0.8),
            "tumour_kill": Positive(0.05, "1/day", "largest shrinkage rate", iiv=0.8),
            "tumour_ec50": driver_ec50("tumour", "shrinkage", self.driver, units, self.ec50),
        }

    def initial(self, p: Any) -> Mapping[str, Value]:
        return {"sld": p.tumour_base}

    def rhs(self, t: Value, y: Any, p: Any, d: Any) -> Mapping[str, Value]:
        return {"sld": (p.tumour_grow - self.rate(t, p, d)) * y.sld}

    def observe(self, t: Value, y: Any, p: Any, d: Any) -> Mapping[str, Value]:
        return {"sld": y.sld}

    def drivers(self, t: Value, y: Any, p: Any, d: Any) -> Mapping[str, Value]:
        left = y.sld / p.tumour_base
        return {"killing": self.rate(t, p, d) * left, "antigen": left}

    def rate(self, t: Value, p: Any, d: Any) -> Value:
        """Return the shrinkage rate per day."""
        return p.tumour_kill * hill(getattr(d, self.driver), p.tumour_ec50)


@dataclass(frozen=True)
class KillingTumour(_Driven):
    """Growth against killing that saturates in the driver."""

    @property
    def label(self) -> str:
        return f"tumour killed by {self.driver}"


@dataclass(frozen=True)
class ClaretTumour(_Driven):
    """As the above, with an effect that wanes as resistance appears (Claret 2009)."""

    def records(self, units: Mapping[str, str]) -> Mapping[str, Record]:
        resistance = Positive(0.01, "1/day", "rate at which resistance appears", iiv=0.8)
        return {**super().records(units), "tumour_resist": resistance}

    def rate(self, t: Value, p: Any, d: Any) -> Value:
        return super().rate(t, p, d) * exp(-p.tumour_resist * t)

    @property
    def label(self) -> str:
        return f"tumour (Claret) killed by {self.driver}"


_KINDS: dict[str, type[Part]] = {
    "killing": KillingTumour,
    "claret": ClaretTumour,
    "stein": SteinTumour,
    "wang": WangTumour,
}


def tumour(kind: str = "killing", *, driver: str = "cells", ec50: float | None = None) -> Part:
    r"""Return a sum of tumour diameters (endpoint ``sld``, mm), to be added to a cell model.

    Parameters
    ----------
    kind : str
        ``"killing"``: :math:`\dot y = g y - k S y`, with :math:`S = D / (EC_{50} + D)` of
        the driver D. ``"claret"``: the same with :math:`k e^{-\lambda t}`, resistance [1]_;
        exposure enters through S, linear in the paper, because CAR-T levels span decades.
        ``"stein"``: :math:`y_0 (e^{-d t} + e^{g t} - 1)` [2]_ and ``"wang"``:
        :math:`y_0 e^{-d t} + g t` [3]_, which time alone drives.
    driver : str
        What shrinks it, for the first two: ``"cells"``, ``"activated"``, ….
    ec50 : float, optional
        Usual level of the driver at half of the largest effect. [unit of the driver]

    Returns
    -------
    Part
        It gives the drivers ``antigen`` (tumour relative to its start) and, for the first two,
        ``killing`` (what is killed per day, relative to the start), which cytokines can follow.
        All typical values are assumed.

    Raises
    ------
    ModelError
        For an unknown kind.

    References
    ----------
    .. [1] Claret L et al. (2009). J Clin Oncol 27:4103. https://doi.org/10.1200/JCO.2008.21.0807
    .. [2] Stein WD et al. (2008). Clin Cancer Res 14:4425.
    .. [3] Wang Y et al. (2009). Clin Pharmacol Ther 86:167. https://doi.org/10.1038/clpt.2009.64

    Examples
    --------
    >>> models.get("stein2019") + models.tumour("claret")
    """
    if kind not in _KINDS:
        raise ModelError(
            f"tumour: {kind!r} is not known.{did_you_mean(kind, _KINDS)} Known: "
            f"{', '.join(_KINDS)}."
        )
    if kind in ("stein", "wang"):
        if driver != "cells" or ec50 is not None:
            raise ModelError(
                f"tumour: {kind!r} is driven by time alone; leave driver and ec50 out."
            )
        return _KINDS[kind]()
    positive_level("tumour", ec50)
    return _KINDS[kind](driver=driver, ec50=ec50)  # type: ignore[call-arg]
