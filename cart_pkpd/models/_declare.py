"""How a model is declared: parameters as records, equations as plain Python.

A declaration is a class with parameters as attributes and one method for the solution. It
is frozen: :meth:`Model.with_` gives a new model with other values, priors or fixed
parameters. The same declaration drives simulation, least squares and Bayesian fits.
"""

from __future__ import annotations

import abc
from collections import namedtuple
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from cart_pkpd._core.errors import ModelError
from cart_pkpd._core.validate import did_you_mean, shown
from cart_pkpd._engine.program import Program
from cart_pkpd._engine.schedule import Schedule
from cart_pkpd._engine.solve import Solver
from cart_pkpd.models._cite import citation
from cart_pkpd.models._parameters import (
    Fixed,
    Parameter,
    ParameterSet,
    Reference,
    check_confidence,
)

_REGISTRY: dict[str, type[Model]] = {}


@dataclass(frozen=True, eq=False)
class Model(abc.ABC):
    """Base of every declared model; derive yours from :class:`OdeModel` or `ClosedFormModel`.

    Attributes
    ----------
    parameters : mapping of str to Parameter
        The declared parameters in order, with any replacement made by :meth:`with_`.
    fixed : mapping of str to float
        Parameters that are held at a value, natural scale.
    solver : Solver
        How accurately equations are solved; closed forms do not use it.
    name, label, population, reference
        Name in the registry, title, who was studied, and the publication.
    structure : str
        How sure the equations are, one of ``CONFIDENCE``.
    deviations, errata, sources : tuple of str
        Where the declaration differs from the paper and why; mistakes in print that it does not
        follow; what was read beside the paper. One sentence each.
    parameter_sets : mapping of str to ParameterSet
        Other published values, by name; see :meth:`with_set`.
    """

    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    fixed: Mapping[str, float] = field(default_factory=dict)
    solver: Solver = field(default_factory=Solver)

    name: ClassVar[str] = ""
    label: ClassVar[str] = ""
    endpoint: ClassVar[str] = "transgene"
    population: ClassVar[str] = ""
    reference: ClassVar[Reference | None] = None
    structure: ClassVar[str] = "assumed"
    deviations: ClassVar[tuple[str, ...]] = ()
    errata: ClassVar[tuple[str, ...]] = ()
    sources: ClassVar[tuple[str, ...]] = ()
    parameter_sets: ClassVar[Mapping[str, ParameterSet]] = MappingProxyType({})
    declared: ClassVar[Mapping[str, Parameter]] = MappingProxyType({})
    values: ClassVar[type]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = {k: v for k, v in vars(cls).items() if isinstance(v, Parameter)}
        for name in own:
            if hasattr(Model, name):
                raise ModelError(
                    f"{cls.__name__}: a parameter cannot be called {name!r}, which every model "
                    "has already; give it another name."
                )
        cls.declared = MappingProxyType({**cls.declared, **own})
        cls.__setattr__ = _refuse_change  # type: ignore[method-assign, assignment]
        cls.values = _named_tuple("Values", tuple(cls.declared))
        if "name" not in vars(cls):
            cls.name = ""  # a subclass is another model, not its parent under the same name
        check_confidence(f"the equations of {cls.__name__}", cls.structure)
        if cls.name:
            _REGISTRY[cls.name] = cls

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "parameters", MappingProxyType({**self.declared, **self.parameters})
        )
        held = {k: p.typical for k, p in self.parameters.items() if p.fixed}
        object.__setattr__(self, "fixed", MappingProxyType({**held, **self.fixed}))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self.parameters), dict(self.fixed), self.solver)

    def __eq__(self, other: object) -> bool:
        return (
            type(self) is type(other)
            and isinstance(other, Model)
            and dict(self.parameters) == dict(other.parameters)
            and dict(self.fixed) == dict(other.fixed)
            and self.solver == other.solver
        )

    def __hash__(self) -> int:
        parts = frozenset(self.parameters.items()), frozenset(self.fixed.items()), self.solver
        return hash((type(self), *parts))

    def __repr__(self) -> str:
        title = dict.fromkeys((type(self).__name__, self.label or self.name))
        rows = [": ".join(t for t in title if t)]
        width = max((len(name) for name in self.parameters), default=0)
        wide = max((len(p.unit) for p in self.parameters.values()), default=0)
        for name, parameter in self.parameters.items():
            held = f" (fixed at {self.fixed[name]:g})" if name in self.fixed else ""
            rows.append(
                f"  {name:<{width}} {parameter.typical:<10.6g} {parameter.unit:<{wide}} "
                f"{parameter.about}{held}"
            )
        return "\n".join(rows)

    def _repr_markdown_(self) -> str:
        # Markdown, not HTML: Jupyter, JupyterLab and VS Code all typeset its equations.
        from cart_pkpd.models._describe import describe

        return describe(self).to_markdown()

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
            a Parameter replaces the record. Both free a parameter that was held;
            ``{"fixed": False}`` changes nothing else.

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

    def with_set(self, name: str) -> Self:
        """Return a new model with the values of one of its ``parameter_sets``.

        Raises
        ------
        ModelError
            If there is no such set, or it has a value outside the support of its parameter.

        Examples
        --------
        >>> models.get("hardiansyah2019").with_set("UPN3")
        """
        if name not in self.parameter_sets:
            known = ", ".join(self.parameter_sets) or "none"
            raise ModelError(
                f"{type(self).__name__} has no parameter set {name!r}."
                f"{did_you_mean(name, self.parameter_sets)} It has: {known}."
            )
        chosen = self.parameter_sets[name]
        origin = {"source": chosen.source, "confidence": chosen.confidence}
        return self.with_(
            **{
                k: {"typical": v, "fixed": self.declared[k].fixed, **origin}
                for k, v in chosen.values.items()
            }
        )

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

    def __add__(self, part: Any) -> Model:
        """Return a new model with a part added; see :class:`Part`."""
        from cart_pkpd.models._compose import compose  # parts are made of models

        return compose(self, part)

    def cite(self, style: Literal["text", "bibtex"] = "text") -> str:
        """Return how to cite the model: one line, or BibTeX.

        A model without a publication is cited as this package, and one made of parts by both.

        Raises
        ------
        ValueError
            For another style.
        """
        return citation(self, style)


def _refuse_change(model: Model, name: str, value: object) -> None:
    """Refuse any assignment; a frozen dataclass guards its own fields only."""
    raise FrozenInstanceError(
        f"a model does not change: {type(model).__name__}.{name} cannot be set. Use "
        f"model.with_({name}=...), which gives a new model."
    )


def _named_tuple(name: str, fields_: tuple[str, ...]) -> type:
    made: type = namedtuple(name, fields_)  # type: ignore[misc]
    return made


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
    # A changed number no longer comes from where the old one came from.
    origin = {"source": "given by the user", "confidence": "given"} if "typical" in change else {}
    if "iiv" in change:
        origin["iiv_source"] = "given by the user"
    return replace(old, **{"fixed": False, **origin, **change})


def names() -> list[str]:
    """Return the names of all registered models.

    Returns
    -------
    list of str
        In alphabetical order.
    """
    return sorted(_REGISTRY)


def get(name: str, values: str | None = None) -> Model:
    """Return the registered model called `name`.

    Parameters
    ----------
    name : str
        One of :func:`names`.
    values : str, optional
        One of the model's ``parameter_sets``; by default the declared values.

    Returns
    -------
    Model
        With the declared values, or those of the parameter set.

    Raises
    ------
    ModelError
        If there is none; the message names the nearest.

    Examples
    --------
    >>> models.get("stein2019")
    >>> models.get("hardiansyah2019", "UPN3")
    """
    if not isinstance(name, str):
        raise ModelError(f"give the name of a model, such as 'stein2019', not {shown(name)}.")
    if values is not None and not isinstance(values, str):
        raise ModelError(
            f"values: give the name of one of the model's parameter sets, not {shown(values)}."
        )
    if name not in _REGISTRY:
        raise ModelError(
            f"unknown model {name!r}.{did_you_mean(name, _REGISTRY)} Known: {', '.join(names())}."
        )
    model = _REGISTRY[name]()
    return model if values is None else model.with_set(values)
