"""Whether a model, its priors and the data speak of the same quantities in the same units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from cart_pkpd._core.errors import FitError
from cart_pkpd._core.units import canonical, exponents, scale
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd._stats.design import ABOVE, BELOW, QUANTIFIED, Design
from cart_pkpd._stats.error import ErrorModel
from cart_pkpd.models import ClosedFormModel, Model, OdeModel, Parameter

if TYPE_CHECKING:
    from cart_pkpd._stats.quantities import Quantity

_RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "above 0": (0.0, np.inf),
        "between 0 and 1": (0.0, 1.0),
        "between -1 and 1": (-1.0, 1.0),
        "any real number": (-np.inf, np.inf),
    }
)
_WOULD_DO: Mapping[str, str] = MappingProxyType(
    {
        "above 0": "LogNormal, HalfNormal, TruncatedNormal, HalfCauchy, Exponential, Gamma or "
        "Uniform from 0 on",
        "between 0 and 1": "LogitNormal, Beta, or Uniform or TruncatedNormal from 0 to 1",
    }
)


def check_measures(model: Model, design: Design) -> None:
    """Refuse endpoints that the model does not predict, or predicts in another unit.

    A closed form describes one level, whatever its name.

    Raises
    ------
    FitError
        Naming the endpoints.
    """
    name = type(model).__name__
    if isinstance(model, ClosedFormModel):
        if design.several:
            raise FitError(
                f"{name} describes one level, not {', '.join(design.endpoints)} together; fit "
                "one endpoint at a time."
            )
        return
    known = model.endpoints
    _check_doses(model, design)
    for m in design.measures:
        if m.name not in known:
            raise FitError(
                f"{name} does not predict {m.name!r}.{did_you_mean(m.name, known)} "
                f"It predicts: {', '.join(known)}."
            )
        if canonical(known[m.name]) != canonical(m.unit):
            raise FitError(
                f"{m.name!r} is measured in {m.unit} but {name} predicts it in {known[m.name]}; "
                "give the model's parameters in the data's unit."
            )


def _check_doses(model: Model, design: Design) -> None:
    """Refuse doses in another unit than the model takes."""
    acting = isinstance(model, OdeModel) and model.dosed is not None and design.dose_amount.size
    if not acting or not design.dose_unit:
        return
    assert isinstance(model, OdeModel)
    if canonical(design.dose_unit) != canonical(model.dose_unit):
        raise FitError(
            f"doses of the trial are in {design.dose_unit} but {type(model).__name__} takes them "
            f"in {model.dose_unit}; give dose_unit= when reading the table, or in the class."
        )


def check_inputs(model: Model, design: Design) -> tuple[str, ...]:
    """Say which inputs of a model never change in the trial, where its events could be meant.

    Returns
    -------
    tuple of str
        One sentence per such input.
    """
    if not isinstance(model, OdeModel):
        return ()
    events = sorted({c.name for c in design.changes})
    there = f"its events are called {', '.join(events)}" if events else "it has no events"
    return tuple(
        f"input {name!r} of {type(model).__name__} stays at {declared.typical:g} for everybody: "
        f"the trial has no event of that name ({there}).{did_you_mean(name, events)}"
        for name, declared in model.inputs.items()
        if name not in events
    )


def check_units(model: Model, design: Design) -> None:
    """Compare the units of the parameters with those of the data: levels as measured, days.

    Raises
    ------
    FitError
        For a level of a closed form in another unit than the data's, or a rate or time not in
        days.
    """
    # A factor of the level takes its unit to that of the data.
    scaled = bool(getattr(model, "_scalings", ()))
    for name, parameter in model.parameters.items():
        bases = exponents(parameter.unit)
        level = ("copy" in bases or "cell" in bases) and "day" not in bases
        if isinstance(model, ClosedFormModel) and level and not scaled:
            _check_level(name, parameter, design)
        if set(bases) == {"day"} and scale(parameter.unit) != 1.0:
            raise FitError(
                f"{name} of the model is in {parameter.unit}, but times are in days; give its "
                "value and unit in days."
            )


def _check_level(name: str, parameter: Parameter, design: Design) -> None:
    if canonical(parameter.unit) != canonical(design.unit):
        raise FitError(
            f"{design.endpoint!r} is measured in {design.unit} but {name} of the model is in "
            f"{parameter.unit}; give a value in the data's unit, for example "
            f'model.with_({name}={{"typical": ..., "unit": "{design.unit}"}}).'
        )


def check_values(errors: Sequence[ErrorModel], design: Design) -> None:
    """Refuse measurements of 0 or less where their logarithm is needed.

    Raises
    ------
    FitError
        Naming the first such record.
    """
    on_log = np.array([error.on_log for error in errors])[design.measure]
    not_positive = ~(design.dv > 0) & on_log
    bad = np.flatnonzero((design.code == QUANTIFIED) & not_positive)
    if not bad.size:
        bad = np.flatnonzero(np.isin(design.code, (BELOW, ABOVE)) & not_positive)
    if bad.size:
        i = int(bad[0])
        endpoint = design.endpoints[design.measure[i]]
        other = f"errors={{'{endpoint}': 'additive'}}" if design.several else "error='additive'"
        raise FitError(
            f"{endpoint} of patient {str(design.ids[design.patient[i]])!r} is "
            f"{design.dv[i]:g} at day {design.time[i]:g} (row {design.row[i]}) and has no "
            f"logarithm ({bad.size} such records). Give the LLOQ when reading the table, or use "
            f"{other}."
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
        (low, high), (first, last) = q.prior.bounds, _RANGES[support]
        if low < first or high > last:
            raise FitError(
                f"prior of {q.name}: {q.prior} allows impossible values; {q.name} is {support}, "
                f"so use {_WOULD_DO[support]}."
            )


def _support(quantity: Quantity, model: Model) -> str:
    match quantity.role:
        case "typical":
            return model.parameters[quantity.parameter].support
        case "covariate":
            return "any real number"
        case "mixture" if quantity.name == "p_non_expander":
            return "between 0 and 1"
        case "correlation":
            return "between -1 and 1"
    return "above 0"
