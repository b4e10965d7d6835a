"""Read a model's equations into a program, and refuse what cannot be right.

The equations are called once with symbols instead of numbers. What is then known exactly —
names, missing derivatives, units, conditions on time — is checked here, before anything is
compiled or fitted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from cart_pkpd._core.errors import ModelError
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd._engine.expression import (
    COMPARISONS,
    Expression,
    as_expression,
    constant,
    evaluate,
    symbols_of,
    text,
    topological,
)
from cart_pkpd._engine.program import (
    TIME,
    Program,
    depends_on_state,
    depends_on_time,
    state_symbol,
    value_symbol,
)
from cart_pkpd.models._dimensions import check_units

if TYPE_CHECKING:
    from cart_pkpd.models._closed import ClosedFormModel
    from cart_pkpd.models._declare import Model
    from cart_pkpd.models._ode import OdeModel

_POINTS = 7
_SEED = 20_210_308
_RELATIVE = 1e-9
_JUMP = 1e-6


class Symbols:
    """States or values of a model by name, as equations see them."""

    def __init__(self, what: str, where: str, symbols: Mapping[str, Expression]) -> None:
        self._what, self._where, self._symbols = what, where, symbols

    def __getattr__(self, name: str) -> Expression:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in self._symbols:
            raise ModelError(
                f"{self._where} uses {name!r}, which is not among the {self._what}."
                f"{did_you_mean(name, self._symbols)} There are: {', '.join(self._symbols)}."
            )
        return self._symbols[name]


def trace_closed(model: ClosedFormModel) -> Program:
    """Return the program of a closed form: one endpoint, whose ln level is known."""
    names = tuple(model.parameters)
    where = type(model).__name__
    p = Symbols("parameters", f"{where}.log_level", {k: value_symbol(k) for k in names})
    level = as_expression(model.log_level(TIME, p))
    return Program(
        name=where,
        states=(),
        values=names,
        n_parameters=len(names),
        n_covariates=0,
        endpoints=(model.endpoint,),
        observe=(level,),
        observe_log=True,
        scales=scales_of(model),
    )


def scales_of(model: Model) -> Mapping[str, tuple[str, float]]:
    """Return the free scale of each parameter, and its declared width there.

    The width as declared, not as changed later: changed priors must not change the code.
    """
    widths = {k: float(p.spread) for k, p in model.declared.items()}
    return MappingProxyType({k: (p.scale, widths[k]) for k, p in model.parameters.items()})


def trace_ode(model: OdeModel) -> Program:
    """Return the program of a mechanistic model, checked.

    Raises
    ------
    ModelError
        For unknown names, missing or unknown states, units that do not agree, jumps that are
        not declared.
    """
    where = type(model).__name__
    states, values = tuple(model.states), tuple(model.equation_values)
    p = {k: value_symbol(k) for k in values}
    y = {k: state_symbol(k) for k in states}

    def named(method: str) -> tuple[Symbols, Symbols]:
        place = f"{where}.{method}"
        return Symbols("states", place, y), Symbols("parameters, covariates and inputs", place, p)

    rhs = _per_state(where, "rhs", model.rhs(TIME, *named("rhs")), states)
    again = _per_state(where, "rhs", model.rhs(TIME, *named("rhs")), states)
    if any(a is not b for a, b in zip(rhs, again, strict=True)):
        raise ModelError(
            f"{where}.rhs gives other formulas each time it is read; equations cannot contain "
            "random numbers or anything else that changes."
        )
    initial = _per_state(where, "initial", model.initial(named("initial")[1]), states)
    gains = _optional(where, "dose_factor", model.dose_factor(named("dose_factor")[1]), states)
    observed = model.observe(TIME, *named("observe"))
    _check_mapping(where, "observe", observed)
    if not observed:
        raise ModelError(f"{where}.observe gives no endpoint; return at least one.")
    for name in observed:
        if not isinstance(name, str) or name in ("status", "time", "id"):
            raise ModelError(f"{where}.observe: {name!r} cannot be the name of an endpoint.")
    endpoints = tuple(str(k) for k in observed)
    levels = tuple(_formula(f"{where}.observe[{k!r}]", v) for k, v in observed.items())
    switches = tuple(
        _formula(f"{where}.switches", s)
        for s in _several(where, model.switches(named("switches")[1]))
    )
    program = Program(
        name=where,
        states=states,
        values=values,
        n_parameters=len(model.parameters),
        n_covariates=len(model.covariates),
        endpoints=endpoints,
        initial=initial,
        rhs=rhs,
        dose_factor=tuple(gains.get(s, constant(1.0)) for s in states),
        observe=levels,
        switches=switches,
        floors=tuple(s.floor for s in model.states.values()),
        start=model.start,
        scales=scales_of(model),
    )
    _check_scope(where, program)
    check_units(model, program)
    _check_jumps(where, program, model)
    return program


def with_drivers(model: OdeModel, program: Program) -> Program:
    """Return the program with every driver as a further endpoint, called ``driver_<name>``."""
    where = f"{type(model).__name__}.drivers"
    y = Symbols("states", where, {k: state_symbol(k) for k in model.states})
    p = Symbols(
        "parameters, covariates and inputs", where, {k: value_symbol(k) for k in program.values}
    )
    found = {f"driver_{k}": _formula(where, v) for k, v in model.drivers(TIME, y, p).items()}
    return replace(
        program,
        endpoints=(*program.endpoints, *found),
        observe=(*program.observe, *found.values()),
    )


def _check_mapping(where: str, method: str, given: Any) -> None:
    if not isinstance(given, Mapping):
        raise ModelError(
            f"{where}.{method} gave {type(given).__name__}; return a dict from name to formula."
        )


def _formula(place: str, value: Any) -> Expression:
    try:
        return as_expression(value)
    except ModelError as problem:
        raise ModelError(f"{place}: {problem}") from None


def _optional(where: str, method: str, given: Any, states: Sequence[str]) -> dict[str, Expression]:
    _check_mapping(where, method, given)
    for name in given:
        if name not in states:
            raise ModelError(
                f"{where}.{method} names {name!r}, which is not a state."
                f"{did_you_mean(str(name), states)} States: {', '.join(states)}."
            )
    return {k: _formula(f"{where}.{method}[{k!r}]", v) for k, v in given.items()}


def _per_state(
    where: str, method: str, given: Any, states: Sequence[str]
) -> tuple[Expression, ...]:
    found = _optional(where, method, given, states)
    missing = [s for s in states if s not in found]
    if missing:
        kind = "derivative" if method == "rhs" else "value at the start"
        raise ModelError(
            f"{where}.{method} gives no {kind} for {', '.join(missing)}; add "
            f'{{"{missing[0]}": ...}} to the dict it returns.'
        )
    return tuple(found[s] for s in states)


def _several(where: str, given: Any) -> Iterable[Any]:
    if isinstance(given, (Expression, float, int)):
        return (given,)
    if not isinstance(given, (tuple, list)):
        raise ModelError(f"{where}.switches gave {type(given).__name__}; return a tuple of times.")
    return given


def _check_scope(where: str, program: Program) -> None:
    """Refuse formulas that use what does not exist where they are evaluated."""
    time, inputs = str(TIME.value), {str(value_symbol(i).value) for i in program.inputs}
    for s in program.switches:
        used = symbols_of([s]) & inputs
        if used:
            raise ModelError(
                f"{where}.switches depends on the input {sorted(used)[0][2:]!r}; switch times may "
                "use parameters and covariates, and changes of inputs are switches by themselves."
            )
    for method, formulas in (("initial", program.initial), ("dose_factor", program.dose_factor)):
        if time in symbols_of(formulas):
            raise ModelError(f"{where}.{method} depends on the time.")


def _check_jumps(where: str, program: Program, model: OdeModel) -> None:
    """Refuse jumps in time that are not declared, and jumps in the state."""
    rng = np.random.default_rng(_SEED)
    points = [_point(program, model, rng) for _ in range(_POINTS)]
    conditions = [n for n in topological([*program.rhs, *program.observe]) if n.op in COMPARISONS]
    for condition in conditions:
        if depends_on_state(condition):
            _check_continuous(where, program, condition, points)
        elif depends_on_time(condition):
            _check_declared(where, program, condition, points)


def _point(program: Program, model: OdeModel, rng: np.random.Generator) -> dict[str, float]:
    values = {}
    for name, p in model.parameters.items():
        free = p.to_free(p.typical) + 0.5 * rng.standard_normal()
        values[str(value_symbol(name).value)] = float(p.to_natural(free))
    for name, other in {**model.covariates, **model.inputs}.items():
        scale = abs(other.typical) or 1.0
        values[str(value_symbol(name).value)] = other.typical + scale * rng.uniform(0.0, 0.5)
    for name in program.states:
        values[str(state_symbol(name).value)] = float(np.exp(rng.normal()))
    values[str(TIME.value)] = float(rng.uniform(0.0, 30.0))
    return values


def _check_declared(
    where: str, program: Program, condition: Expression, points: Sequence[dict[str, float]]
) -> None:
    """Refuse a condition on time that changes at no declared switch."""
    left, right = condition.args
    for point in points:
        times = [float(v) for v in evaluate(program.switches, point)]
        for t in times:
            a, b = (float(v) for v in evaluate([left, right], {**point, str(TIME.value): t}))
            if abs(a - b) <= _RELATIVE * max(abs(a), abs(b), 1e-12):
                break
        else:
            declared = ", ".join(text(s) for s in program.switches).replace("p_", "p.") or "none"
            said = text(condition).replace("p_", "p.")
            raise ModelError(
                f"the equations of {where} change at a time that is not declared: {said}. "
                "Return that time from switches(self, p), so that integration and gradients stop "
                f"there (declared: {declared}), or use a smooth transition such as "
                "models.math.smooth_step."
            )


def _check_continuous(
    where: str, program: Program, condition: Expression, points: Sequence[dict[str, float]]
) -> None:
    """Refuse formulas that differ on the two sides of a comparison of states."""
    formulas = [
        f for f in (*program.rhs, *program.observe) if any(n is condition for n in topological([f]))
    ]
    left, right = condition.args
    crossed = False
    for point in points:
        for name in program.states:
            edge = _crossing(left, right, point, str(state_symbol(name).value))
            if edge is None:
                continue
            crossed = True
            low, high = edge
            before, after = evaluate(formulas, low), evaluate(formulas, high)
            size = max(1e-12, *(abs(float(v)) for v in [*before, *after]))
            if any(
                abs(float(a) - float(b)) > _JUMP * size for a, b in zip(before, after, strict=True)
            ):
                _refuse_jump(where, condition)
    if not crossed:
        _refuse_jump(where, condition)


def _refuse_jump(where: str, condition: Expression) -> None:
    said = text(condition).replace("p_", "p.").replace("y_", "y.")
    raise ModelError(
        f"the equations of {where} jump when {said} changes, at a time that depends on the "
        "states; gradients would be wrong there. Use a smooth transition (models.math.hill, "
        "smooth_step), or minimum, maximum or abs, which do not jump."
    )


def _crossing(
    left: Expression, right: Expression, point: dict[str, float], name: str
) -> tuple[dict[str, float], dict[str, float]] | None:
    """Return two nearly equal points on either side of left = right, moving one state."""
    grid = np.concatenate([-np.logspace(6, -6, 49), [0.0], np.logspace(-6, 12, 73)])

    def gap(value: float) -> float:
        a, b = evaluate([left, right], {**point, name: value})
        return float(a) - float(b)

    signs = np.array([np.sign(gap(v)) for v in grid])
    at = np.flatnonzero(signs[:-1] * signs[1:] < 0)
    if not at.size:
        return None
    low, high = float(grid[at[-1]]), float(grid[at[-1] + 1])
    sign = gap(low)
    for _ in range(200):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        if gap(middle) * sign > 0:
            low = middle
        else:
            high = middle
    while gap(high) == 0.0:  # at equality <= and > still say what they say below
        high = float(np.nextafter(high, np.inf))
    return {**point, name: low}, {**point, name: high}
