"""What the risk of CRS may depend on: one record per predictor, with unit and reference."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._core import words
from cart_pkpd._core.errors import DataError, DataWarning, ModelError, UnitError
from cart_pkpd._core.names import ENDPOINTS, label
from cart_pkpd._core.units import canonical, conversion_factor
from cart_pkpd._core.validate import one_of
from cart_pkpd._nca.registry import label_of
from cart_pkpd._stats.priors import Normal, Prior

Floats = NDArray[np.float64]
Measure = Literal["peak", "peak_time", "auc", "final", "level", "running_max", "covariate"]
Scale = Literal["log", "linear", "order", "is"]

COEFFICIENT_PRIOR = Normal(0.0, 1.0)
IN_TIME: tuple[Measure, ...] = ("level", "running_max")

# Round numbers near a typical peak: they give the intercept a meaning, nothing else.
REFERENCES = {
    "transgene": 10_000.0, "car_cells": 50.0, "il2": 5.0, "il4": 0.5, "il6": 100.0, "il8": 100.0,
    "il10": 50.0, "il15": 30.0, "ifng": 500.0, "tnfa": 15.0, "mcp1": 1000.0,
}  # fmt: skip

_WORDS: dict[Measure, str] = {
    "peak": "peak of", "peak_time": "time of the peak of", "auc": "area of",
    "final": "last level of", "level": "", "running_max": "running maximum of", "covariate": "",
}  # fmt: skip


@dataclass(frozen=True)
class Term:
    """One predictor and the prior of its coefficient.

    Attributes
    ----------
    variable : str
        A measure among the courses, or a patient-level variable.
    measure : str
        What is taken of the course: ``"peak"``, ``"peak_time"``, ``"auc"``, ``"final"``,
        ``"level"``, ``"running_max"``; ``"covariate"`` for a patient-level variable.
    scale : str
        ``"log"``: ln(value / reference). ``"linear"``: value − reference. ``"order"``: steps
        along `levels` from the reference. ``"is"``: 1 where the value equals the reference.
    reference : float or str
        Where the term is 0 (for ``"is"``: the category that counts 1).
    unit : str
        Unit of value and reference.
    levels : tuple of float
        Rising levels of an ordered term.
    floor : float
        Smaller levels count as this much, so that a level of 0 has a logarithm. [unit]
    prior : Prior
        Of the coefficient, per 1 of the term (per factor e where the scale is log).
    """

    variable: str
    measure: Measure
    scale: Scale = "log"
    reference: float | str = 1.0
    unit: str = "1"
    levels: tuple[float, ...] = ()
    floor: float = 0.0
    prior: Prior = COEFFICIENT_PRIOR

    def __post_init__(self) -> None:
        one_of(self.measure, get_args(Measure), "measure of a term", error=ModelError)
        one_of(self.scale, get_args(Scale), "scale of a term", error=ModelError)
        object.__setattr__(self, "unit", canonical(self.unit))
        object.__setattr__(self, "levels", tuple(float(v) for v in self.levels))
        _check_reference(self)
        if not 0 <= self.floor < np.inf:
            raise ModelError(f"{self.variable}: floor must be 0 or more, not {self.floor!r}.")
        if self.prior.bounds != (-np.inf, np.inf):
            raise ModelError(
                f"{self.variable}: a coefficient may have either sign, so its prior cannot be "
                f"{self.prior}; use Normal or StudentT."
            )

    @property
    def in_time(self) -> bool:
        """Whether the term changes with time."""
        return self.measure in IN_TIME

    @property
    def of_course(self) -> bool:
        """Whether the term is read from a course, not from a patient-level variable."""
        return self.measure != "covariate"

    @property
    def source(self) -> str:
        """Name of the predictor that the term transforms: ``"il6_peak"``, ``"dose_level"``."""
        if self.measure in ("level", "covariate"):
            return self.variable
        return f"{self.variable}_{self.measure}"

    @property
    def name(self) -> str:
        """Name of the term: ``"ln_il6_peak"``, ``"sex_is_F"``."""
        match self.scale:
            case "log":
                return f"ln_{self.source}"
            case "order":
                return f"{self.source}_step"
            case "is":
                return f"{self.source}_is_{self.reference}"
        return self.source

    @property
    def quantity(self) -> str:
        """What is measured, in words: ``"peak of IL-6"``."""
        known = ENDPOINTS.get(self.variable)
        if self.measure == "peak" and known is not None and known.kind == "cells":
            return f"Cmax of {known.label}"
        if not self.of_course:
            return label_of(self.variable) or self.variable.replace("_", " ")
        return f"{_WORDS[self.measure]} {label(self.variable)}".strip()

    @property
    def label(self) -> str:
        """The term in words: ``"ln(peak of IL-6 / 100 pg/mL)"``."""
        if self.scale == "is":
            return f"{self.quantity} is {self.reference}"
        at = f"{words.exact(float(self.reference))} {words.unit(self.unit)}".strip()
        match self.scale:
            case "log":
                return f"ln({self.quantity} / {at})"
            case "order":
                return f"steps of {self.quantity} from {at}"
        return f"{self.quantity} − {at}"

    def column(self, values: xr.DataArray) -> xr.DataArray:
        """Return the term's values, dims as those of `values`.

        Raises
        ------
        DataError
            If the values cannot be transformed.
        """
        if self.scale == "is":
            return _is(values, self.reference)
        numbers = _in_unit(values, self.unit, self.variable)
        match self.scale:
            case "log":
                ratio = self._positive(numbers) / float(self.reference)
                return ratio.copy(data=np.log(ratio.values))
            case "order":
                return self._steps(numbers)
        return numbers - float(self.reference)

    def _positive(self, values: xr.DataArray) -> xr.DataArray:
        raised = values.where(values.isnull(), np.maximum(values, self.floor))
        wrong = (raised <= 0).any([d for d in raised.dims if d != "id"])
        if bool(wrong.any()):
            who = [str(i) for i in np.atleast_1d(raised["id"].values)[np.atleast_1d(wrong.values)]]
            raise DataError(
                f"{self.source} is 0 or less for patient {who[0]!r} ({len(who)} such patients), "
                "so it has no logarithm; give the term a floor=, such as half the LLOQ "
                f"[{self.unit}]."
            )
        return raised

    def _steps(self, values: xr.DataArray) -> xr.DataArray:
        levels = np.array(self.levels)
        place = np.abs(values.values[..., None] - levels).argmin(axis=-1)
        known = np.isclose(levels[place], values.values, rtol=1e-6) | np.isnan(values.values)
        if not known.all():
            strange = float(values.values[~known].flat[0])
            raise DataError(
                f"{self.variable} has the value {strange:g}, which is none of the term's levels "
                f"({', '.join(f'{v:g}' for v in levels)}); add it to levels=."
            )
        steps = place - int(np.argmin(np.abs(levels - float(self.reference))))
        return values.copy(data=np.where(np.isnan(values.values), np.nan, steps))


def _check_reference(term: Term) -> None:
    if term.scale == "is":
        return
    if not isinstance(term.reference, int | float | np.number) or not np.isfinite(term.reference):
        raise ModelError(
            f"{term.variable}: reference must be a finite number, not {term.reference!r}."
        )
    object.__setattr__(term, "reference", float(term.reference))
    if term.scale == "log" and not float(term.reference) > 0:
        raise ModelError(f"{term.variable}: the reference of a logarithm must be above 0.")
    if term.scale == "order":
        if len(term.levels) < 2 or (np.diff(term.levels) <= 0).any():
            raise ModelError(f"{term.variable}: give two or more levels in rising order.")
        if float(term.reference) not in term.levels:
            raise ModelError(
                f"{term.variable}: reference {term.reference:g} is not one of its levels."
            )


def _in_unit(values: xr.DataArray, unit: str, name: str) -> xr.DataArray:
    """Return numbers in the term's unit; values without a unit are taken to be in it."""
    if values.dtype.kind not in "fiub":
        raise DataError(
            f"{name} holds text, not numbers; use crs.category({name!r}, ...) for categories."
        )
    numbers = values.astype(float)
    given = str(values.attrs.get("units") or "")
    if not given:
        return numbers
    try:
        return numbers * conversion_factor(given, unit)
    except UnitError:
        raise DataError(
            f"{name} is in {given}, and the layer expects {unit}; declare its term with the unit "
            f"of the data, such as crs.covariate({name!r}, reference=..., unit={given!r})."
        ) from None


def _is(values: xr.DataArray, category: Any) -> xr.DataArray:
    found = _one_of(values, category)
    if not (found == 1.0).any():
        held = sorted({str(v) for v in values.values} - {"", "nan", "None"})
        warnings.warn(
            f"{values.name}: no patient is in the category {category!r}; there are: "
            f"{', '.join(held) or 'none'}.",
            DataWarning,
            stacklevel=2,
        )
    return found


def _one_of(values: xr.DataArray, category: Any) -> xr.DataArray:
    text = values.values.astype(str) if values.dtype.kind not in "fiub" else None
    if text is None:
        numbers = values.astype(float)
        return (numbers == float(category)).astype(float).where(numbers.notnull())
    missing = np.isin(text, ("", "nan", "None"))
    return values.copy(data=np.where(missing, np.nan, (text == str(category)).astype(float)))


def _reference(variable: str, reference: float | None) -> float:
    if reference is not None:
        return reference
    if variable not in REFERENCES:
        raise ModelError(
            f"{variable}: no usual reference is known; give reference=, a typical value, and unit=."
        )
    return REFERENCES[variable]


def _unit(variable: str, unit: str | None) -> str:
    return unit if unit is not None else ENDPOINTS[variable].unit if variable in ENDPOINTS else "1"


def _of_course(
    variable: str, measure: Measure, reference: float | None, unit: str | None, **other: Any
) -> Term:
    return Term(
        variable, measure, reference=_reference(variable, reference), unit=_unit(variable, unit),
        **other,
    )  # fmt: skip


def peak(
    variable: str, *, reference: float | None = None, unit: str | None = None,
    floor: float = 0.0, prior: Prior = COEFFICIENT_PRIOR,
) -> Term:  # fmt: skip
    """Return the ln of a course's peak in the window; of cells, ln Cmax.

    Parameters
    ----------
    variable : str
        Name of the course: ``"il6"``, ``"transgene"``, or one of your own.
    reference : float, optional
        Level at which the term is 0; a round typical peak for measures known by name. [unit]
    unit : str, optional
        By default the usual one of the measure.
    floor : float
        Smaller values count as this much. [unit]
    prior : Prior
        Of the coefficient per factor e.

    Returns
    -------
    Term
        For a part of the layer: the number it stands for, and the prior of its coefficient.
    """
    return _of_course(variable, "peak", reference, unit, floor=floor, prior=prior)


def auc(
    variable: str, *, reference: float, unit: str | None = None, prior: Prior = COEFFICIENT_PRIOR
) -> Term:
    """Return the ln of a course's area over the window; `unit` is that of the area.

    Parameters
    ----------
    variable : str
        Name of the course: ``"il6"``, ``"transgene"``, or one of your own.
    reference : float
        Area at which the term is 0. [unit]
    unit : str, optional
        Of the area; by default that of the measure times days.
    prior : Prior
        Of the coefficient per factor e.

    Returns
    -------
    Term
        For a part of the layer: the number it stands for, and the prior of its coefficient.
    """
    area = unit if unit is not None else f"{_unit(variable, None)}*day"
    return Term(variable, "auc", reference=reference, unit=area, prior=prior)


def final(
    variable: str, *, reference: float, unit: str | None = None, floor: float = 0.0,
    prior: Prior = COEFFICIENT_PRIOR,
) -> Term:  # fmt: skip
    """Return the ln of a course's last level in the window, such as that of cumulative killing.

    Parameters
    ----------
    variable : str
        Name of the course: ``"il6"``, ``"transgene"``, or one of your own.
    reference : float
        Level at which the term is 0. [unit]
    unit : str, optional
        By default the usual one of the measure.
    floor : float
        Smaller values count as this much. [unit]
    prior : Prior
        Of the coefficient per factor e.

    Returns
    -------
    Term
        For a part of the layer: the number it stands for, and the prior of its coefficient.
    """
    return _of_course(variable, "final", reference, unit, floor=floor, prior=prior)


def peak_time(variable: str, *, reference: float = 10.0, prior: Prior = COEFFICIENT_PRIOR) -> Term:
    """Return the day of a course's peak, minus the reference [day].

    Parameters
    ----------
    variable : str
        Name of the course: ``"il6"``, ``"transgene"``, or one of your own.
    reference : float
        Day at which the term is 0. [day]
    prior : Prior
        Of the coefficient per day.

    Returns
    -------
    Term
        For a part of the layer: the number it stands for, and the prior of its coefficient.
    """
    return Term(variable, "peak_time", "linear", reference, "day", prior=prior)


def level(
    variable: str, *, reference: float | None = None, unit: str | None = None,
    floor: float = 0.0, prior: Prior = COEFFICIENT_PRIOR,
) -> Term:  # fmt: skip
    """Return the ln of a course's level at each time; for hazards.

    Parameters
    ----------
    variable : str
        Name of the course: ``"il6"``, ``"transgene"``, or one of your own.
    reference : float, optional
        Level at which the term is 0; a round typical one for measures known by name. [unit]
    unit : str, optional
        By default the usual one of the measure.
    floor : float
        Smaller values count as this much. [unit]
    prior : Prior
        Of the coefficient per factor e.

    Returns
    -------
    Term
        For a part of the layer: the number it stands for, and the prior of its coefficient.
    """
    return _of_course(variable, "level", reference, unit, floor=floor, prior=prior)


def running_max(
    variable: str, *, reference: float | None = None, unit: str | None = None,
    floor: float = 0.0, prior: Prior = COEFFICIENT_PRIOR,
) -> Term:  # fmt: skip
    """Return the ln of the highest level so far at each time; for hazards.

    Parameters
    ----------
    variable : str
        Name of the course: ``"il6"``, ``"transgene"``, or one of your own.
    reference : float, optional
        Level at which the term is 0; a round typical one for measures known by name. [unit]
    unit : str, optional
        By default the usual one of the measure.
    floor : float
        Smaller values count as this much. [unit]
    prior : Prior
        Of the coefficient per factor e.

    Returns
    -------
    Term
        For a part of the layer: the number it stands for, and the prior of its coefficient.
    """
    return _of_course(variable, "running_max", reference, unit, floor=floor, prior=prior)


def covariate(
    variable: str, *, reference: float, unit: str = "1", scale: Literal["log", "linear"] = "log",
    prior: Prior = COEFFICIENT_PRIOR,
) -> Term:  # fmt: skip
    """Return a patient-level number, such as dose or tumour burden.

    Parameters
    ----------
    variable : str
        Patient-level variable of the trial.
    reference : float
        Where the term is 0. [unit]
    unit : str
        Unit of the values; a variable with another unit is converted.
    scale : {"log", "linear"}
        ln(value / reference), or value − reference.
    prior : Prior
        Of the coefficient per 1 of the term.

    Returns
    -------
    Term
        For a part of the layer: the number it stands for, and the prior of its coefficient.
    """
    return Term(variable, "covariate", scale, reference, unit, prior=prior)


def ordered(
    variable: str, levels: tuple[float, ...], *, reference: float | None = None, unit: str = "1",
    prior: Prior = COEFFICIENT_PRIOR,
) -> Term:  # fmt: skip
    """Return the step along ordered levels, such as dose levels: the same effect at each step.

    Parameters
    ----------
    variable : str
        Patient-level variable.
    levels : tuple of float
        All levels in rising order.
    reference : float, optional
        The level that counts 0; the lowest by default.
    unit : str
        Unit of the levels.
    prior : Prior
        Of the coefficient per step.

    Returns
    -------
    Term
        For a part of the layer: the number it stands for, and the prior of its coefficient.
    """
    lowest = levels[0] if len(levels) else 0.0
    chosen = lowest if reference is None else reference
    return Term(variable, "covariate", "order", chosen, unit, tuple(levels), prior=prior)


def category(variable: str, is_: str | float, *, prior: Prior = COEFFICIENT_PRIOR) -> Term:
    """Return 1 for patients in a category and 0 for the others, such as a lymphodepletion.

    Parameters
    ----------
    variable : str
        Patient-level variable of text or numbers.
    is_ : str or float
        The category that counts 1.
    prior : Prior
        Of the coefficient.

    Returns
    -------
    Term
        For a part of the layer: the number it stands for, and the prior of its coefficient.
    """
    return Term(variable, "covariate", "is", is_, prior=prior)
