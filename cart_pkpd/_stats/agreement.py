"""Whether a model, its priors and the data speak of the same quantities in the same units."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from cart_pkpd._core.errors import FitError
from cart_pkpd._core.units import canonical, exponents, scale
from cart_pkpd._stats.design import ABOVE, BELOW, QUANTIFIED, Design
from cart_pkpd._stats.error import ErrorModel
from cart_pkpd._stats.priors import Beta, HalfNormal, LogitNormal, LogNormal, Normal, Prior
from cart_pkpd.models import Model

if TYPE_CHECKING:
    from cart_pkpd._stats.population import Quantity

_SUPPORT: Mapping[str, tuple[type[Prior], ...]] = MappingProxyType(
    {
        "above 0": (LogNormal, HalfNormal),
        "between 0 and 1": (LogitNormal, Beta),
        "any real number": (Normal,),
    }
)


def check_units(model: Model, design: Design) -> None:
    """Compare the units of the parameters with those of the data: levels as measured, days.

    Raises
    ------
    FitError
        For a level in another unit than the data's, or a rate or time not in days.
    """
    for name, parameter in model.parameters.items():
        bases = exponents(parameter.unit)
        level = ("copy" in bases or "cell" in bases) and "day" not in bases
        if level and canonical(parameter.unit) != canonical(design.unit):
            raise FitError(
                f"{design.endpoint!r} is measured in {design.unit} but {name} of the model is in "
                f"{parameter.unit}; give a value in the data's unit, for example "
                f'model.with_({name}={{"typical": ..., "unit": "{design.unit}"}}).'
            )
        if set(bases) == {"day"} and scale(parameter.unit) != 1.0:
            raise FitError(
                f"{name} of the model is in {parameter.unit}, but times are in days; give its "
                "value and unit in days."
            )


def check_values(error: ErrorModel, design: Design) -> None:
    """Refuse measurements of 0 or less where their logarithm is needed.

    Raises
    ------
    FitError
        Naming the first such record.
    """
    if not error.on_log:
        return
    not_positive = ~(design.dv > 0)
    bad = np.flatnonzero((design.code == QUANTIFIED) & not_positive)
    if not bad.size:
        bad = np.flatnonzero(np.isin(design.code, (BELOW, ABOVE)) & not_positive)
    if bad.size:
        i = int(bad[0])
        raise FitError(
            f"{design.endpoint} of patient {str(design.ids[design.patient[i]])!r} is "
            f"{design.dv[i]:g} at day {design.time[i]:g} (row {design.row[i]}) and has no "
            f"logarithm ({bad.size} such records). Give the LLOQ when reading the table, or use "
            "error='additive'."
        )


def check_priors(quantities: tuple[Quantity, ...], model: Model) -> None:
    """Refuse a prior that gives probability to impossible values.

    Raises
    ------
    FitError
        Naming the quantity and the priors that would do.
    """
    for q in quantities:
        support = _support(q, model)
        if not isinstance(q.prior, _SUPPORT[support]):
            allowed = " or ".join(cls.__name__ for cls in _SUPPORT[support])
            raise FitError(
                f"prior of {q.name}: {q.prior} allows impossible values; {q.name} is {support}, "
                f"so use {allowed}."
            )


def _support(quantity: Quantity, model: Model) -> str:
    match quantity.role:
        case "typical":
            return model.parameters[quantity.parameter].support
        case "covariate":
            return "any real number"
        case "mixture" if quantity.name == "p_non_expander":
            return "between 0 and 1"
    return "above 0"
