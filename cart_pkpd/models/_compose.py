"""Models made of parts: cells + cytokines + tumour.

A part brings states, parameters and equations of its own. It is driven by what the cell
model, or another part, gives under a name (:meth:`OdeModel.drivers`, :meth:`Part.drivers`), and
may itself drive an input of theirs: an input that has the name of a driver follows it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from types import MappingProxyType
from typing import Any, ClassVar, cast

from cart_pkpd._core.errors import ModelError
from cart_pkpd._core.units import alike, canonical
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd._engine.expression import as_expression
from cart_pkpd._engine.program import TIME, state_symbol, value_symbol
from cart_pkpd._engine.solve import Solver
from cart_pkpd.models._closed import ClosedFormModel
from cart_pkpd.models._declare import Model
from cart_pkpd.models._dimensions import unit_of
from cart_pkpd.models._ode import Covariate, Input, OdeModel, State
from cart_pkpd.models._parameters import Parameter, Positive
from cart_pkpd.models._trace import Symbols
from cart_pkpd.models.math import Value, exp

type Record = State | Parameter | Covariate | Input

_USUAL_EC50: Mapping[str, float] = MappingProxyType(
    {canonical("copies/µg"): 20_000.0, canonical("cells/µL"): 500.0, "1/day": 0.05, "1": 0.5}
)
"""By unit of the driver: the peaks of Stein 2019 and of the NIH CD22 trial, by 1.2."""

_PARTS: dict[str, type[Part]] = {}


@dataclass(frozen=True)
class Part:
    """Something that is added to a model: ``model + part``.

    A subclass declares states, parameters, covariates and inputs as attributes, as a model does,
    and writes its equations with one more argument: ``d`` has the drivers by name.

    Attributes
    ----------
    gives : tuple of str
        Names of the drivers that :meth:`drivers` returns.
    shares : tuple of str
        Parameters that may stand in the rest of the model too, if they are the same there;
        inputs of one name and unit always may.
    sources : tuple of str
        Publications behind the part, one line each.
    event_doses : mapping of str to str
        Events of the trial whose value is an amount for a state: ``{"tocilizumab": "drug"}``.

    Examples
    --------
    >>> class Ferritin(models.Part):
    ...     ferritin = models.State("µg/L", "ferritin")
    ...     ferritin_base = models.Positive(500, "µg/L", "ferritin without CAR-T cells")
    ...     ferritin_k = models.Positive(0.2, "1/day", "loss of ferritin")
    ...     ferritin_rise = models.Positive(10, "1", "largest relative rise")
    ...     half = models.Positive(3000, "copies/µg", "cells of half that rise")
    ...     def initial(self, p):
    ...         return {"ferritin": p.ferritin_base}
    ...     def rhs(self, t, y, p, d):
    ...         raised = 1 + p.ferritin_rise * models.math.hill(d.cells, p.half)
    ...         return {"ferritin": p.ferritin_k * (p.ferritin_base * raised - y.ferritin)}
    ...     def observe(self, t, y, p, d):
    ...         return {"ferritin": y.ferritin}
    >>> models.get("stein2019") + Ferritin()
    """

    gives: ClassVar[tuple[str, ...]] = ()
    shares: ClassVar[tuple[str, ...]] = ()
    sources: ClassVar[tuple[str, ...]] = ()
    event_doses: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _PARTS[cls.__name__] = cls

    def records(self, units: Mapping[str, str]) -> Mapping[str, Record]:
        """Return states, parameters, covariates and inputs by name.

        Parameters
        ----------
        units : mapping of str to str
            Units of the drivers that there are.
        """
        found: dict[str, Record] = {}
        for cls in reversed(type(self).__mro__):
            kinds = (State, Parameter, Covariate)
            found |= {k: v for k, v in vars(cls).items() if isinstance(v, kinds)}
        return found

    def initial(self, p: Any) -> Mapping[str, Value]:
        """Return the value of every state at the start."""
        return {}

    def rhs(self, t: Value, y: Any, p: Any, d: Any) -> Mapping[str, Value]:
        """Return the time derivative of every state."""
        return {}

    def observe(self, t: Value, y: Any, p: Any, d: Any) -> Mapping[str, Value]:
        """Return the level of every endpoint that the part adds."""
        return {}

    def drivers(self, t: Value, y: Any, p: Any, d: Any) -> Mapping[str, Value]:
        """Return by name what other parts can be driven by."""
        return {}

    def switches(self, p: Any) -> Sequence[Value]:
        """Return every time at which the equations jump."""
        return ()

    def dose_factor(self, p: Any) -> Mapping[str, Value]:
        """Return by state what an amount of 1 adds to it; 1 by default."""
        return {}

    def __add__(self, other: Any) -> Any:
        """Refuse: the cell model comes first."""
        raise ModelError(
            f"{type(self).__name__} + {type(other).__name__} is not possible: the cell model comes "
            "first, then its parts, as in models.get('stein2019') + part + another."
        )

    @property
    def label(self) -> str:
        """The part in a few words."""
        return type(self).__name__.lower()

    def describe(self) -> dict[str, Any]:
        """Return what :func:`part_from` makes the same part of: its class and fields."""
        return {
            "part": type(self).__name__,
            **{f.name: getattr(self, f.name) for f in fields(self)},
        }


def positive_level(what: str, ec50: float | None) -> None:
    """Raise a ModelError for a usual level of a driver that is none."""
    if ec50 is not None and not 0 < ec50 < math.inf:
        raise ModelError(f"{what}: ec50 must be finite and above 0, not {ec50!r}.")


def driver_ec50(
    what: str, effect: str, driver: str, units: Mapping[str, str], usual: float | None
) -> Positive:
    """Return the parameter for the level of a driver at half of its largest effect.

    Parameters
    ----------
    what, effect : str
        Whose driver it is and what it brings about, for messages and labels.
    driver : str
        Name of the driver.
    units : mapping of str to str
        Units of the drivers that there are.
    usual : float or None
        Usual level; by default one for the unit. [unit of the driver]

    Raises
    ------
    ModelError
        If there is no such driver, or no usual level for its unit.
    """
    if driver not in units:
        raise ModelError(
            f"{what}: the driver {driver!r} is not there.{did_you_mean(driver, units)} There are: "
            f"{', '.join(units)}. A tumour added before, models.tumour(...), gives 'killing' and "
            "'antigen'."
        )
    unit = units[driver]
    level = usual if usual is not None else _USUAL_EC50.get(unit)
    if level is None:
        raise ModelError(
            f"{what}: say at which {driver!r} the {effect} is half of its largest, ec50= in "
            f"{unit}; for that unit there is no usual value."
        )
    return Positive(level, unit, f"{driver} of half the largest {effect}", iiv=0.5)


def part_from(record: Mapping[str, Any]) -> Part:
    """Return the part that :meth:`Part.describe` described.

    Raises
    ------
    ModelError
        If its class is not known here.
    """
    values = dict(record)
    name = values.pop("part")
    if name not in _PARTS:
        raise ModelError(
            f"the model has a part {name!r}, which is not known here; define or import its class "
            f"first.{did_you_mean(name, _PARTS)}"
        )
    return _PARTS[name](**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


class Composed(OdeModel):
    """A cell model with parts; made by ``model + part``, never directly."""

    # Underscored, so that no state or parameter of the pieces has such a name.
    _base: ClassVar[Model]
    _parts: ClassVar[tuple[Part, ...]] = ()
    _owned: ClassVar[tuple[frozenset[str], ...]] = ()
    _wires: ClassVar[frozenset[str]] = frozenset()
    _givers: ClassVar[Mapping[str, int]] = MappingProxyType({})

    def __reduce__(self) -> tuple[Any, ...]:
        units = _changed_units(self._base)
        own = (dict(self.parameters), dict(self.fixed), self.solver)
        return _rebuilt, (type(self._base), units, self._parts, *own)

    def initial(self, p: Any) -> Mapping[str, Value]:
        linked = _Wired(p, None, self._wires)
        start = dict(self._base.initial(linked)) if isinstance(self._base, OdeModel) else {}
        for part, own in zip(self._parts, self._owned, strict=True):
            start |= self._of_its_own(part, "initial", part.initial(linked), own)
        return start

    def rhs(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        d, linked = self._linked(t, y, p)
        slopes = dict(self._base.rhs(t, y, linked)) if isinstance(self._base, OdeModel) else {}
        for part, own in zip(self._parts, self._owned, strict=True):
            slopes |= self._of_its_own(part, "rhs", part.rhs(t, y, linked, d), own)
        return slopes

    def observe(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        d, linked = self._linked(t, y, p)
        levels = dict(_observed(self._base, t, y, linked))
        for part in self._parts:
            for name, level in part.observe(t, y, linked, d).items():
                if name in levels:
                    raise _clash(type(self).__name__, "endpoint", name)
                levels[name] = level
        return levels

    def drivers(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        d, _ = self._linked(t, y, p)
        return {name: getattr(d, name) for name in self._givers}

    def switches(self, p: Any) -> Sequence[Value]:
        found: list[Value] = []
        for piece in (self._base, *self._parts):
            given = piece.switches(p)  # type: ignore[attr-defined]
            found += given if isinstance(given, (tuple, list)) else [given]
        return tuple(found)

    def dose_factor(self, p: Any) -> Mapping[str, Value]:
        factors = dict(self._base.dose_factor(p)) if isinstance(self._base, OdeModel) else {}
        for part, own in zip(self._parts, self._owned, strict=True):
            factors |= self._of_its_own(part, "dose_factor", part.dose_factor(p), own)
        return factors

    def guess(self, time: Any, level: Any) -> Mapping[str, float]:
        return self._base.guess(time, level)

    def _of_its_own(
        self, part: Part, method: str, given: Mapping[str, Value], own: frozenset[str]
    ) -> Mapping[str, Value]:
        """Return what a part says of states, which must be its own."""
        for name in given:
            if name in self.states and name not in own:
                raise ModelError(
                    f"{type(self).__name__}: {type(part).__name__}.{method} says something about "
                    f"{name!r}, a state of another piece; a part acts on others through drivers "
                    "that stand for their inputs."
                )
        return given

    def _linked(self, t: Value, y: Any, p: Any) -> tuple[_Drivers, _Wired]:
        d = _Drivers(self, t, y)
        linked = _Wired(p, d, self._wires)
        d.values_from(linked)
        return d, linked


class _Drivers:
    """Drivers by name, each worked out by the piece that gives it when it is first asked for."""

    def __init__(self, model: Composed, t: Value, y: Any) -> None:
        self._model, self._t, self._y = model, t, y
        self._found: dict[int, Mapping[str, Value]] = {}
        self._asked: set[int] = set()
        self._p: Any = None

    def values_from(self, p: Any) -> None:
        self._p = p

    def __getattr__(self, name: str) -> Value:
        if name.startswith("__"):
            raise AttributeError(name)
        givers = self._model._givers
        if name not in givers:
            raise ModelError(_no_driver(type(self._model).__name__, name, givers))
        at = givers[name]
        if at not in self._found:
            if at in self._asked:
                raise ModelError(
                    f"{type(self._model).__name__}: the driver {name!r} depends on itself, through "
                    "an input that it drives; give the input another name."
                )
            self._asked.add(at)
            self._found[at] = self._of(at)
        return self._found[at][name]

    def _of(self, at: int) -> Mapping[str, Value]:
        model = self._model
        if at < 0:
            return _base_drivers(model._base, self._t, self._y, self._p)
        return model._parts[at].drivers(self._t, self._y, self._p, self)


class _Wired:
    """Values by name, where inputs that a driver stands for are that driver."""

    def __init__(self, p: Any, d: _Drivers | None, wires: frozenset[str]) -> None:
        self._p, self._d, self._wires = p, d, wires

    def __getattr__(self, name: str) -> Value:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in self._wires and self._d is not None:
            return getattr(self._d, name)
        return getattr(self._p, name)


def compose(model: Model, part: object) -> Model:
    """Return `model` with one more part.

    Raises
    ------
    ModelError
        If a name stands on both sides, units do not agree, or a driver is missing.
    """
    if not isinstance(part, Part):
        raise ModelError(
            f"{model.name or type(model).__name__} + {type(part).__name__} is not possible: only a "
            "part can be added to a model, such as models.cytokines(...) or models.tumour(...)."
        )
    base, parts = pieces(model)
    kind = _composed(type(base), _changed_units(model), (*parts, part))
    declared = kind.declared
    changed = {k: p for k, p in model.parameters.items() if p != declared[k]}
    return kind(parameters=changed, fixed=dict(model.fixed), solver=model.solver)


def pieces(model: Model) -> tuple[Model, tuple[Part, ...]]:
    """Return the cell model, as declared, and the parts of a model."""
    return (model._base, model._parts) if isinstance(model, Composed) else (model, ())


def _rebuilt(
    base: type[Model],
    units: tuple[tuple[str, str], ...],
    parts: tuple[Part, ...],
    parameters: Mapping[str, Parameter],
    fixed: Mapping[str, float],
    solver: Solver,
) -> Composed:
    made = _composed(base, units, parts)
    return made(parameters=parameters, fixed=fixed, solver=solver)


def _changed_units(model: Model) -> tuple[tuple[str, str], ...]:
    """Return the units of a cell model's parameters that differ from the declared ones."""
    base = model._base if isinstance(model, Composed) else model
    return tuple(
        (k, model.parameters[k].unit)
        for k, p in type(base).declared.items()
        if model.parameters[k].unit != p.unit
    )


@lru_cache(maxsize=128)
def _composed(
    kind: type[Model], units: tuple[tuple[str, str], ...], parts: tuple[Part, ...]
) -> type[Composed]:
    """Return the class of a cell model with parts."""
    base = kind().with_(**{name: {"unit": unit} for name, unit in units})
    title = " + ".join([kind.name or kind.__name__, *(p.label for p in parts)])
    plan = _Plan(title, base)
    for i, part in enumerate(parts):
        plan.add(i, part)
    wires = plan.wired()
    body: dict[str, Any] = {
        **{k: v for k, v in plan.records.items() if k not in wires},
        "__doc__": f"{title}.",
        "__module__": __name__,
        "_base": base,
        "_parts": parts,
        "_wires": wires,
        "_givers": MappingProxyType(plan.givers),
        "_owned": tuple(plan.owned),
        "label": title,
        "endpoint": base.endpoint,
        "population": kind.population,
        "reference": kind.reference,
        # Cells and parts have not been published together.
        "structure": "assumed",
        "deviations": (
            *kind.deviations,
            *(f"Added to the published cells: {p.label}." for p in parts),
        ),
        "errata": kind.errata,
        "sources": (*kind.sources, *dict.fromkeys(line for p in parts for line in p.sources)),
        "event_doses": MappingProxyType(plan.event_doses),
    }
    if isinstance(base, OdeModel):
        body |= {"dosed": base.dosed, "dose_unit": base.dose_unit, "start": base.start}
    made = type(title, (Composed,), body)
    return cast(type[Composed], made)


class _Plan:
    """Records and drivers of a composed model, collected piece by piece."""

    def __init__(self, title: str, base: Model) -> None:
        self.title, self.base = title, base
        self.records: dict[str, Record] = dict(_records_of(base))
        self.event_doses = dict(base.event_doses) if isinstance(base, OdeModel) else {}
        self.givers: dict[str, int] = {}
        self.formulas: dict[str, Any] = {}
        self.owned: list[frozenset[str]] = []
        self._given(-1, _base_drivers(base, TIME, self._states(), self._values()))

    def add(self, at: int, part: Part) -> None:
        own = part.records(self.units())
        self.owned.append(frozenset(k for k, r in own.items() if isinstance(r, State)))
        for name, record in own.items():
            if name not in self.records:
                self.records[name] = record
            elif not _shared(self.records[name], record, name in part.shares):
                raise _clash(self.title, type(record).__name__.lower(), name)
        self.event_doses |= part.event_doses
        y, p = self._states(), self._values()
        found = part.drivers(TIME, y, p, Symbols("drivers", f"{self.title}.drivers", self.formulas))
        if set(found) != set(part.gives):
            raise ModelError(
                f"{self.title}: {type(part).__name__}.drivers returns "
                f"{', '.join(found) or 'nothing'} but gives is {part.gives!r}; the names must be "
                "the same."
            )
        self._given(at, found)

    def units(self) -> dict[str, str]:
        """Return the unit of every driver."""
        declared = {
            (state_symbol if isinstance(r, State) else value_symbol)(k): r.unit
            for k, r in self.records.items()
        }
        return {name: unit_of(f, declared) for name, f in self.formulas.items()}

    def wired(self) -> frozenset[str]:
        """Return the inputs that a driver stands for, which must be of one unit."""
        units = self.units()
        found = {k for k, r in self.records.items() if isinstance(r, Input) and k in self.givers}
        for name in sorted(found):
            if not alike(self.records[name].unit, units[name]):
                raise ModelError(
                    f"{self.title}: the input {name!r} is in {self.records[name].unit}, and what "
                    f"drives it in {units[name]}; the units must be the same."
                )
        return frozenset(found)

    def _given(self, at: int, found: Mapping[str, Value]) -> None:
        for name, formula in found.items():
            if name in self.givers:
                raise _clash(self.title, "driver", name)
            self.givers[name] = at
            self.formulas[name] = as_expression(formula)

    def _states(self) -> Symbols:
        states = {k: state_symbol(k) for k, r in self.records.items() if isinstance(r, State)}
        return Symbols("states", self.title, states)

    def _values(self) -> Symbols:
        values = {k: value_symbol(k) for k, r in self.records.items() if not isinstance(r, State)}
        return Symbols("parameters, covariates and inputs", self.title, values)


def _shared(there: Record, new: Record, allowed: bool) -> bool:
    """Return True if two records of one name mean the same: equal, or inputs of one unit."""
    if isinstance(there, Input) and isinstance(new, Input):
        return alike(there.unit, new.unit) and there.typical == new.typical
    return allowed and there == new


def _records_of(model: Model) -> Iterator[tuple[str, Record]]:
    if isinstance(model, OdeModel):
        yield from model.states.items()
    yield from model.parameters.items()
    if isinstance(model, OdeModel):
        yield from model.covariates.items()
        yield from model.inputs.items()


def _observed(model: Model, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
    if isinstance(model, OdeModel):
        return model.observe(t, y, p)
    return {model.endpoint: exp(cast(ClosedFormModel, model).log_level(t, p))}


def _base_drivers(model: Model, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
    if isinstance(model, OdeModel):
        return model.drivers(t, y, p)
    return {"cells": exp(cast(ClosedFormModel, model).log_level(t, p))}


def _clash(title: str, what: str, name: str) -> ModelError:
    return ModelError(
        f"{title}: the {what} {name!r} stands on both sides of the +; leave one out or give it "
        "another name."
    )


def _no_driver(title: str, name: str, known: Mapping[str, Any]) -> str:
    return (
        f"{title} needs the driver {name!r}, which nothing gives.{did_you_mean(name, known)} "
        f"There are: {', '.join(known)}. Choose one with driver=, or add a part that gives it, "
        "such as models.tumour(...)."
    )
