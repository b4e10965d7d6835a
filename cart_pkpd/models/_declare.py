"""How a model is declared: parameters as records, equations as plain Python.

A declaration is a class with parameters as attributes and one method for the solution. It
is frozen: :meth:`Model.with_` gives a new model with other values, priors or fixed
parameters. The same declaration drives simulation, least squares and Bayesian fits.
"""

from __future__ import annotations

import abc
from collections import namedtuple
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from cart_pkpd._core.errors import ModelError
from cart_pkpd._core.units import canonical, exponents
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd._engine.program import Program
from cart_pkpd._engine.schedule import Schedule, base_values, schedule
from cart_pkpd.models._math import Value, exp, expit, log, logit
from cart_pkpd.models._simulated import patients_of, simulated, times_of
from cart_pkpd.models._trace import trace_closed

_REGISTRY: dict[str, type[Model]] = {}


@dataclass(frozen=True)
class Parameter(abc.ABC):
    """One parameter of a model: what it is, its usual value, how much it varies.

    The class says which values are possible (`Positive`, `Fraction`, `Real`); from that
    follow the free scale of fits (log, logit, identity) and the form of the prior, whose
    median is `typical` and whose standard deviation on the free scale is `spread`.

    Attributes
    ----------
    typical : float
        Typical value in the population, natural scale.
    unit : str
        Unit of `typical`; ``"1"`` for a pure number.
    about : str
        Meaning in a few words.
    iiv : float or None
        Published between-patient standard deviation (omega) on the free scale.
    spread : float
        Standard deviation of the prior of the typical value on the free scale.
    source : str
        Table or page of the publication; ``"assumed"`` if there is none.
    """

    typical: float
    unit: str = "1"
    about: str = ""
    iiv: float | None = None
    spread: float = 1.0
    source: str = "assumed"

    scale: ClassVar[str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "unit", canonical(self.unit))
        object.__setattr__(self, "typical", float(self.typical))
        if not self.contains(self.typical):
            raise ModelError(
                f"typical value {self.typical!r} is outside the support of "
                f"{type(self).__name__} ({self.support})."
            )
        if not self.spread > 0 or (self.iiv is not None and not self.iiv > 0):
            raise ModelError(f"spread and iiv of {self.about!r} must be above 0.")

    @property
    @abc.abstractmethod
    def support(self) -> str:
        """The possible values in words."""

    @abc.abstractmethod
    def contains(self, value: float) -> bool:
        """Return True if `value` is possible."""

    @staticmethod
    @abc.abstractmethod
    def to_free(value: Value) -> Value:
        """Map the natural value to the whole real line."""

    @staticmethod
    @abc.abstractmethod
    def to_natural(value: Value) -> Value:
        """Map a real number back to the natural value."""


@dataclass(frozen=True)
class Positive(Parameter):
    """A parameter above 0; free scale is the natural log."""

    scale: ClassVar[str] = "log"

    @property
    def support(self) -> str:
        return "above 0"

    def contains(self, value: float) -> bool:
        return bool(0 < value < np.inf)

    @staticmethod
    def to_free(value: Value) -> Value:
        return log(value)

    @staticmethod
    def to_natural(value: Value) -> Value:
        return exp(value)


@dataclass(frozen=True)
class Fraction(Parameter):
    """A parameter strictly between 0 and 1; free scale is the logit."""

    scale: ClassVar[str] = "logit"

    @property
    def support(self) -> str:
        return "between 0 and 1"

    def contains(self, value: float) -> bool:
        return bool(0 < value < 1)

    @staticmethod
    def to_free(value: Value) -> Value:
        return logit(value)

    @staticmethod
    def to_natural(value: Value) -> Value:
        return expit(value)


@dataclass(frozen=True)
class Real(Parameter):
    """A parameter of either sign; free scale is the natural one."""

    scale: ClassVar[str] = "identity"

    @property
    def support(self) -> str:
        return "any real number"

    def contains(self, value: float) -> bool:
        return bool(np.isfinite(value))

    @staticmethod
    def to_free(value: Value) -> Value:
        return value

    @staticmethod
    def to_natural(value: Value) -> Value:
        return value


@dataclass(frozen=True)
class Fixed:
    """A value at which a parameter is held: ``model.with_(beta=Fixed(0.003))``."""

    value: float


@dataclass(frozen=True)
class Reference:
    """The publication behind a model.

    Attributes
    ----------
    authors, year, title, journal, doi : str
        As printed.
    """

    authors: str
    year: int
    title: str
    journal: str
    doi: str

    def __str__(self) -> str:
        return (
            f"{self.authors} ({self.year}). {self.title}. {self.journal}. "
            f"https://doi.org/{self.doi}"
        )


@dataclass(frozen=True, eq=False)
class Model(abc.ABC):
    """Base of every declared model; derive yours from :class:`OdeModel` or `ClosedFormModel`.

    Attributes
    ----------
    parameters : mapping of str to Parameter
        The declared parameters in order, with any replacement made by :meth:`with_`.
    fixed : mapping of str to float
        Parameters that are held at a value, natural scale.
    """

    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    fixed: Mapping[str, float] = field(default_factory=dict)

    name: ClassVar[str] = ""
    label: ClassVar[str] = ""
    endpoint: ClassVar[str] = "transgene"
    population: ClassVar[str] = ""
    reference: ClassVar[Reference | None] = None
    declared: ClassVar[Mapping[str, Parameter]] = MappingProxyType({})
    values: ClassVar[type]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = {k: v for k, v in vars(cls).items() if isinstance(v, Parameter)}
        cls.declared = MappingProxyType({**cls.declared, **own})
        cls.values = _named_tuple(f"{cls.__name__}Values", tuple(cls.declared))
        if "name" not in vars(cls):
            cls.name = ""  # a subclass is another model, not its parent under the same name
        if cls.name:
            _REGISTRY[cls.name] = cls

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "parameters", MappingProxyType({**self.declared, **self.parameters})
        )
        object.__setattr__(self, "fixed", MappingProxyType(dict(self.fixed)))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self.parameters), dict(self.fixed))

    def __eq__(self, other: object) -> bool:
        return (
            type(self) is type(other)
            and isinstance(other, Model)
            and dict(self.parameters) == dict(other.parameters)
            and dict(self.fixed) == dict(other.fixed)
        )

    def __hash__(self) -> int:
        return hash((type(self), frozenset(self.parameters.items()), frozenset(self.fixed.items())))

    def __repr__(self) -> str:
        rows = [f"{type(self).__name__}: {self.label or self.name}"]
        for name, parameter in self.parameters.items():
            held = f" (fixed at {self.fixed[name]:g})" if name in self.fixed else ""
            rows.append(
                f"  {name:<8} {parameter.typical:<10.6g} {parameter.unit:<10} "
                f"{parameter.about}{held}"
            )
        return "\n".join(rows)

    @property
    def estimated(self) -> tuple[str, ...]:
        """Names of the parameters that are not fixed, in declared order."""
        return tuple(k for k in self.parameters if k not in self.fixed)

    def check_names(self, names: Any, what: str) -> None:
        """Raise ModelError for a name in `names` that is not a parameter of the model."""
        for name in names:
            if name not in self.parameters:
                raise ModelError(
                    f"{what}: {type(self).__name__} has no parameter {name!r}."
                    f"{did_you_mean(name, self.parameters)} It has: {', '.join(self.parameters)}."
                )

    def with_(self, **changes: Parameter | Fixed | Mapping[str, Any]) -> Self:
        """Return a new model with parameters replaced or fixed.

        Parameters
        ----------
        **changes
            By parameter name: a :class:`Fixed` holds it at a value; a mapping replaces
            fields of its record (``{"typical": 500, "unit": "cells/µL", "spread": 1.5}``);
            a Parameter replaces the record.

        Raises
        ------
        ModelError
            For an unknown parameter or field, or a value outside the support.

        Examples
        --------
        >>> model.with_(beta=Fixed(0.003), cmax={"typical": 500, "unit": "cells/µL"})
        """
        self.check_names(changes, "with_")
        parameters, fixed = dict(self.parameters), dict(self.fixed)
        for name, change in changes.items():
            if isinstance(change, Fixed):
                _check_support(name, parameters[name], change.value)
                fixed[name] = float(change.value)
            else:
                parameters[name] = _changed(name, parameters[name], change)
                fixed.pop(name, None)
        return replace(self, parameters=parameters, fixed=fixed)

    def typical(self) -> dict[str, float]:
        """Return the typical value of every parameter, fixed ones at their value."""
        return {k: self.fixed.get(k, p.typical) for k, p in self.parameters.items()}

    @abc.abstractmethod
    def predict(
        self,
        values: Mapping[str, NDArray[np.float64]],
        *,
        time: NDArray[np.float64],
        patient: NDArray[np.int64],
        measure: NDArray[np.int64],
        endpoint: tuple[str, ...],
        log: tuple[bool, ...],
        design: Any,
    ) -> NDArray[np.float64]:
        """Return what each record of a design should have been, shape (..., n).

        Parameters
        ----------
        values : mapping of str to ndarray, shape (..., k)
            Every parameter that is not fixed, of each of the k patients, natural scale; all of
            one shape.
        time, patient, measure : ndarray, shape (n,)
            Day, index of the patient and index into `endpoint` of each record.
        endpoint : tuple of str
            What is observed.
        log : tuple of bool
            By endpoint: ln of the level, or the level itself.
        design : Design
            Patients and their doses.
        """

    @property
    @abc.abstractmethod
    def program(self) -> Program:
        """The equations as formulas, from which code is generated."""

    @property
    @abc.abstractmethod
    def endpoints(self) -> Mapping[str, str]:
        """What the model predicts, with units."""

    @abc.abstractmethod
    @abc.abstractmethod
    def plan(
        self,
        design: Any,
        *,
        time: NDArray[np.float64],
        patient: NDArray[np.int64],
        measure: NDArray[np.int64],
        endpoint: tuple[str, ...],
    ) -> tuple[Schedule, NDArray[np.float64]]:
        """Return the schedule, and every known value, of a design's patients."""

    @abc.abstractmethod
    def simulate(
        self,
        times: ArrayLike,
        params: Mapping[str, ArrayLike] | pd.DataFrame | xr.Dataset | None = None,
        doses: Any = None,
        **values: Any,
    ) -> xr.Dataset:
        """Return the noise-free levels of one or many patients."""

    def guess(self, time: NDArray[np.float64], level: NDArray[np.float64]) -> Mapping[str, float]:
        """Return starting values read off one patient's quantified levels; none by default."""
        return {}

    def cite(self) -> str:
        """Return the reference as one line."""
        return str(self.reference) if self.reference else "No publication."


def _named_tuple(name: str, fields_: tuple[str, ...]) -> type:
    made: type = namedtuple(name, fields_)  # type: ignore[misc]
    return made


class ClosedFormModel(Model):
    """A model whose level is known in closed form: declare parameters and ``log_level``."""

    @abc.abstractmethod
    def log_level(self, t: Value, p: Any) -> Value:
        """Return the natural log of the observed level at times `t` [day since infusion]."""

    def log_predict(self, time: Value, values: Mapping[str, Value]) -> Value:
        """Return the natural log of the level for parameter values given by name.

        Parameters
        ----------
        time : array_like
            Days since the infusion, at or after 0.
        values : mapping of str to array_like
            Every parameter that is not fixed, natural scale; broadcast against `time`.

        Returns
        -------
        array_like
            Natural log of the level, in the unit of the model's endpoint.
        """
        given = {**self.fixed, **values}
        self.check_names(given, "log_predict")
        missing = [k for k in self.parameters if k not in given]
        if missing:
            raise ModelError(f"{type(self).__name__} needs values for {', '.join(missing)}.")
        return self.log_level(time, self.values(**{k: given[k] for k in self.parameters}))

    @property
    def program(self) -> Program:
        """The equation as a formula, from which code is generated."""
        return _closed_program(self)

    @property
    def endpoints(self) -> Mapping[str, str]:
        """The one endpoint, in the unit of the parameter that is a level."""
        return {self.endpoint: level_unit(self.parameters)}

    def simulate(
        self,
        times: ArrayLike,
        params: Mapping[str, ArrayLike] | pd.DataFrame | xr.Dataset | None = None,
        doses: Any = None,
        **values: ArrayLike,
    ) -> xr.Dataset:
        """Return the noise-free level of one or many patients.

        Parameters
        ----------
        times : array_like, shape (n,)
            Days since the infusion. [day]
        params : mapping, DataFrame or Dataset, optional
            Parameter values by name, natural scale: one, or one per patient; those not given
            are typical.
        doses : None
            Doses do not act on a closed form.
        **values : float or array_like
            Parameter values as keywords.

        Returns
        -------
        xr.Dataset
            The endpoint, dims (id, time), or (time) if every parameter has one value; 0 before
            the infusion. [unit of the endpoint]

        Raises
        ------
        ModelError
            For an unknown name, a value outside its support, or lengths that differ.
        """
        if doses is not None:
            raise ModelError(
                f"{type(self).__name__} describes one infusion whose dose does not enter; leave "
                "doses= out, or use a model given by differential equations."
            )
        t = times_of(times)
        patients = patients_of(self, params, values)
        given = {k: v[:, None] for k, v in patients.values.items()}
        level = np.exp(np.asarray(self.log_level(np.maximum(t, 0.0), self.values(**given))))
        level = np.where(t < 0, 0.0, np.broadcast_to(level, (patients.count, t.size)))
        ((endpoint, unit),) = self.endpoints.items()
        return simulated({endpoint: (level, unit)}, t, patients, model=self.name)

    def predict(
        self,
        values: Mapping[str, NDArray[np.float64]],
        *,
        time: NDArray[np.float64],
        patient: NDArray[np.int64],
        measure: NDArray[np.int64],
        endpoint: tuple[str, ...],
        log: tuple[bool, ...],
        design: Any,
    ) -> NDArray[np.float64]:
        """Return the level, or its ln, of each record of the one endpoint there is."""
        if len(endpoint) > 1:
            raise ModelError(
                f"{type(self).__name__} describes one level, not {', '.join(endpoint)} together."
            )
        given = {k: v[..., patient] for k, v in values.items()}
        ln_level = np.asarray(self.log_predict(time, given), dtype=float)
        return ln_level if log[0] else np.exp(ln_level)

    def plan(
        self,
        design: Any,
        *,
        time: NDArray[np.float64],
        patient: NDArray[np.int64],
        measure: NDArray[np.int64],
        endpoint: tuple[str, ...],
    ) -> tuple[Schedule, NDArray[np.float64]]:
        """Return the schedule, and every known value, of a design's patients."""
        plan = schedule(design.n_patients, patient=patient, time=time, endpoint=measure)
        return plan, base_values(self.program, design.n_patients, self.fixed)


@lru_cache(maxsize=256)
def _closed_program(model: ClosedFormModel) -> Program:
    return trace_closed(model)


def level_unit(parameters: Mapping[str, Parameter]) -> str:
    """Return the unit of the first parameter that is a level of cells or copies."""
    for p in parameters.values():
        kinds = exponents(p.unit)
        if "day" not in kinds and {"copy", "cell"} & set(kinds):
            return p.unit
    return next((p.unit for p in parameters.values()), "1")


def _check_support(name: str, parameter: Parameter, value: float) -> None:
    if not parameter.contains(value):
        raise ModelError(f"{name} = {value!r} is not possible: it must be {parameter.support}.")


def _changed(name: str, old: Parameter, change: Parameter | Mapping[str, Any]) -> Parameter:
    if isinstance(change, Parameter):
        return change
    if not isinstance(change, Mapping):
        raise ModelError(
            f"{name}: give Fixed(value), a mapping of fields or a Parameter, not {change!r}."
        )
    known = [f.name for f in fields(old)]
    for key in change:
        if key not in known:
            raise ModelError(
                f"{name}: unknown field {key!r}.{did_you_mean(key, known)} "
                f"Known: {', '.join(known)}."
            )
    # A changed typical value no longer comes from the paper.
    source = {"source": "given by the user"} if "typical" in change else {}
    return replace(old, **{**source, **change})


def names() -> list[str]:
    """Return the names of all registered models."""
    return sorted(_REGISTRY)


def get(name: str) -> Model:
    """Return the registered model called `name`.

    Raises
    ------
    ModelError
        If there is none; the message names the nearest.
    """
    if name not in _REGISTRY:
        raise ModelError(
            f"unknown model {name!r}.{did_you_mean(name, _REGISTRY)} Known: {', '.join(names())}."
        )
    return _REGISTRY[name]()
