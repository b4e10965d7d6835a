"""A declared model with more parameters around it: factors of endpoints, acting covariates.

The statistical model asks for them; the equations stay those of the declared model. What is
added acts on the formulas: a level is multiplied by its factor, and a parameter on which a
covariate acts is replaced by a formula of parameter, coefficient and covariate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._core.errors import ModelError
from cart_pkpd._engine.expression import Expression, add, mul, substitute, symbols_of
from cart_pkpd._engine.program import Program, value_symbol
from cart_pkpd.models._closed import ClosedFormModel
from cart_pkpd.models._declare import Model
from cart_pkpd.models._ode import Input, OdeModel
from cart_pkpd.models._parameters import Fraction, Parameter, Positive, Real
from cart_pkpd.models._trace import scales_of
from cart_pkpd.models.math import Value, exp, expit, log, logit


@dataclass(frozen=True)
class Scaling:
    """An endpoint whose level is multiplied by a parameter.

    Attributes
    ----------
    endpoint : str
        As the model calls it; a closed form has one, under any name.
    parameter : Positive
        The factor.
    unit : str
        Of the level times the factor.
    """

    endpoint: str
    parameter: Positive
    unit: str

    @property
    def name(self) -> str:
        """Name of the factor."""
        return f"scale_{self.endpoint}"


@dataclass(frozen=True)
class Acting:
    """A known number that acts on a parameter, and may change in time.

    Attributes
    ----------
    parameter : str
        On which it acts.
    coefficient, record : str, Real
        Name and declaration of how much it acts per unit of the number.
    covariate : str
        Name of the number among the values of the equations; 0 is without effect.
    relative : bool
        The parameter is multiplied by 1 + coefficient × number; else coefficient × number is
        added on the parameter's free scale.
    """

    parameter: str
    coefficient: str
    record: Real
    covariate: str
    relative: bool

    def on(self, declared: Parameter, value: Any, coefficient: Any, number: Any) -> Any:
        """Return the parameter's value where the number acts on it; arrays or formulas."""
        shift = coefficient * number
        if self.relative:
            return value * (1.0 + shift)
        if isinstance(declared, Positive):
            return value * exp(shift)
        if isinstance(declared, Fraction):
            return expit(logit(value) + shift)
        return value + shift


class Extended:
    """What a model with additions does otherwise; mixed in before the model's own class."""

    # Underscored, so that no state or parameter of the model has such a name.
    _plain: ClassVar[Model]
    _scalings: ClassVar[tuple[Scaling, ...]]
    _actings: ClassVar[tuple[Acting, ...]]

    def __reduce__(self) -> tuple[Any, ...]:
        own = (dict(self.parameters), dict(self.fixed), self.solver)  # type: ignore[attr-defined]
        return _rebuilt, (self._plain, self._scalings, self._actings, *own)

    @property
    def program(self) -> Program:
        """The equations as formulas, with what was added."""
        return _program(self)

    @property
    def endpoints(self) -> Mapping[str, str]:
        """What the model predicts, with units; those with a factor in the unit of the data."""
        scaled = {s.endpoint: s.unit for s in self._scalings}
        found = self._plain.endpoints
        if isinstance(self, ClosedFormModel):
            return {name: next(iter(scaled.values()), unit) for name, unit in found.items()}
        return {**found, **{k: v for k, v in scaled.items() if k in found}}

    def guess(self, time: NDArray[np.float64], level: NDArray[np.float64]) -> Mapping[str, float]:
        """Return starting values; none from levels that have a factor, which is not known yet."""
        if any(s.endpoint == self._plain.endpoint for s in self._scalings):
            return {}
        return self._plain.guess(time, level)


class ExtendedClosed(Extended):
    """A closed form with additions; its level is known without its formulas."""

    def log_level(self, t: Value, p: Any) -> Value:
        """Return ln of the level times its factor, where nothing acts on a parameter."""
        level = super().log_level(t, p)  # type: ignore[misc]
        for s in self._scalings:
            level = level + log(getattr(p, s.name))
        return level

    def predict(
        self, values: Mapping[str, NDArray[np.float64]], *, patient: Any, design: Any, log: Any,
        **records: Any,
    ) -> NDArray[np.float64]:  # fmt: skip
        """Return the level, or its ln, of each record of the one endpoint there is."""
        inner = {k: v for k, v in values.items() if k in self._plain.parameters}
        for a in self._actings:
            record, number = self._plain.parameters[a.parameter], design.known[a.covariate]
            inner[a.parameter] = a.on(record, inner[a.parameter], values[a.coefficient], number)
        level = plain(self).predict(  # type: ignore[arg-type]
            inner, patient=patient, design=design, log=log, **records
        )
        for s in self._scalings:
            factor = values[s.name][..., patient]
            level = level + np.log(factor) if log[0] else level * factor
        return level


def plain(model: Model) -> Model:
    """Return the declared model without additions, with the values of `model`."""
    if not isinstance(model, Extended):
        return model
    own: Model = model._plain
    return replace(
        own,
        parameters={k: model.parameters[k] for k in own.parameters},
        fixed={k: v for k, v in model.fixed.items() if k in own.parameters},
        solver=model.solver,
    )


def extended(
    model: Model, scalings: tuple[Scaling, ...] = (), actings: tuple[Acting, ...] = ()
) -> Model:
    """Return a model with factors of endpoints and acting numbers.

    Raises
    ------
    ModelError
        If the model has something of that name already.
    """
    if not scalings and not actings:
        return model
    kind = _kind(plain(model), scalings, actings)
    made: Model = kind(
        parameters=dict(model.parameters), fixed=dict(model.fixed), solver=model.solver
    )
    return made


def moves_a_switch(model: Model, parameter: str) -> bool:
    """Return True if a time at which the equations jump depends on a parameter."""
    return str(value_symbol(parameter).value) in symbols_of(model.program.switches)


@lru_cache(maxsize=128)
def _kind(model: Model, scalings: tuple[Scaling, ...], actings: tuple[Acting, ...]) -> type:
    base = type(model)
    ode = issubclass(base, OdeModel)
    added: dict[str, Any] = {s.name: s.parameter for s in scalings}
    added |= {a.coefficient: a.record for a in actings}
    numbers = dict.fromkeys(a.covariate for a in actings)
    if ode:
        added |= {name: Input(0.0, about="covariate less its centre") for name in numbers}
    there = {*model.program.states, *model.program.values}
    for name in added:
        if name in there:
            raise ModelError(
                f"{base.__name__} has a {name!r} already; give the state or parameter of the "
                "model another name."
            )
    body: dict[str, Any] = {
        **added,
        "__doc__": base.__doc__,
        "__module__": __name__,
        "_plain": model,
        "_scalings": scalings,
        "_actings": actings,
        "structure": base.structure,
    }
    mixin = Extended if ode else ExtendedClosed
    made: Any = type(base.__name__, (mixin, base), body)
    made.name = base.name  # after the class is made: only the model itself is registered
    found: type = made
    return found


def _rebuilt(
    model: Model,
    scalings: tuple[Scaling, ...],
    actings: tuple[Acting, ...],
    parameters: Mapping[str, Parameter],
    fixed: Mapping[str, float],
    solver: Any,
) -> Model:
    kind = _kind(model, scalings, actings)
    made: Model = kind(parameters=parameters, fixed=fixed, solver=solver)
    return made


@lru_cache(maxsize=128)
def _program(model: Any) -> Program:
    """Return the program of a model with additions."""
    base: Program = model._plain.program
    numbers = tuple(dict.fromkeys(a.covariate for a in model._actings))
    names = tuple(model.parameters)
    values = (*names, *base.covariates, *base.inputs, *numbers)
    replaced = _replaced(model)

    def acted(formulas: tuple[Expression, ...]) -> tuple[Expression, ...]:
        def instead(node: Expression, args: tuple[Expression, ...]) -> Expression | None:
            return replaced.get(str(node.value)) if node.op == "symbol" else None

        return tuple(substitute(formulas, instead)) if replaced else formulas

    widths = {a.coefficient: _rounded(a.record.spread) for a in model._actings}
    scales = {k: (s, widths.get(k, w)) for k, (s, w) in scales_of(model).items()}
    return replace(
        base,
        values=values,
        n_parameters=len(names),
        initial=acted(base.initial),
        rhs=acted(base.rhs),
        dose_factor=acted(base.dose_factor),
        observe=_scaled(model, base, acted(base.observe)),
        switches=acted(base.switches),
        scales=MappingProxyType(scales),
    )


def _replaced(model: Any) -> dict[str, Expression]:
    """Return the formula that stands for each parameter on which something acts."""
    found: dict[str, Expression] = {}
    for a in model._actings:
        symbol = value_symbol(a.parameter)
        before = found.get(str(symbol.value), symbol)
        coefficient, number = value_symbol(a.coefficient), value_symbol(a.covariate)
        declared = model.parameters[a.parameter]
        found[str(symbol.value)] = a.on(declared, before, coefficient, number)
    return found


def _scaled(model: Any, base: Program, levels: tuple[Expression, ...]) -> tuple[Expression, ...]:
    # A closed form describes one level, whatever the data call it.
    one = not base.states
    factors = {base.endpoints[0] if one else s.endpoint: s.name for s in model._scalings}
    out = []
    for name, level in zip(base.endpoints, levels, strict=True):
        if name in factors:
            factor = value_symbol(factors[name])
            level = add(level, log(factor)) if base.observe_log else mul(level, factor)
        out.append(level)
    return tuple(out)


def _rounded(width: float) -> float:
    """Return the nearest power of ten: new data must not change the code."""
    return float(10.0 ** np.round(np.log10(width)))
