"""Units of equations: what is added and compared must be in one unit.

Units are carried through the formulas as exponents of base units (day, copies, g, …) and a
size. Nothing is converted: another kind of quantity, or mL beside L, is refused, with the place
where it occurs. A number other than 1 may be a conversion, so that the size is not known after
it; the kind still is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction as Ratio
from typing import TYPE_CHECKING, Any

from cart_pkpd._core.errors import ModelError
from cart_pkpd._core.units import canonical, exponents, product, scale
from cart_pkpd._engine.expression import COMPARISONS, Expression, is_constant, text, topological
from cart_pkpd._engine.program import TIME, Program, state_symbol, value_symbol

if TYPE_CHECKING:
    from cart_pkpd.models._ode import OdeModel


@dataclass(frozen=True)
class Measured:
    """A unit: exponents of base units, and how many of those it is (None if not known).

    `logged` is the ln of a quantity in that unit, which closed forms add up before they take exp.
    """

    powers: Mapping[str, Ratio]
    size: float | None
    logged: bool = False

    def differs(self, other: Measured) -> bool:
        """Return True if two quantities cannot be added."""
        if self.powers != other.powers or self.logged != other.logged:
            return True
        known = self.size is not None and other.size is not None
        return known and not math.isclose(self.size or 0.0, other.size or 0.0, rel_tol=1e-9)


type Kind = Measured | None
"""A unit; None for zero, which is of every kind."""

_ANY = "any"
"""Unit of 0."""
_PURE = Measured({}, 1.0)
_SOME_NUMBER = Measured({}, None)
_ALIKE = frozenset(("add", "sub", "minimum", "maximum"))
_SAME = frozenset(("neg", "abs"))


def check_units(model: OdeModel, program: Program) -> None:
    """Refuse equations whose units do not agree; a model without any unit is not checked.

    Raises
    ------
    ModelError
        Naming the formula, what was found and what was expected.
    """
    declared: list[Any] = [*model.states.values(), *model.equation_values.values()]
    if all(canonical(d.unit) == "1" for d in declared):
        return
    where = type(model).__name__
    for name, p in model.parameters.items():
        if set(exponents(p.unit)) == {"day"} and scale(p.unit) != 1.0:
            raise ModelError(
                f"{where}.{name} is in {p.unit}, but times are in days; give its value and unit "
                "in days."
            )
    kinds = _known(model)
    per_day = Measured({"day": Ratio(-1)}, 1.0)
    for s, initial, rhs in zip(program.states, program.initial, program.rhs, strict=True):
        unit = model.states[s].unit
        _expect(where, f"initial[{s!r}]", initial, _kind(unit), unit, kinds)
        _expect(where, f"rhs[{s!r}]", rhs, _times(_kind(unit), per_day), f"{unit}/day", kinds)
    for time in program.switches:
        _expect(where, "switches", time, _kind("day"), "day", kinds)
    for e, level in zip(program.endpoints, program.observe, strict=True):
        _infer(where, f"observe[{e!r}]", level, kinds)
    _check_doses(model, program, kinds)


def _check_doses(model: OdeModel, program: Program, kinds: Mapping[str, Kind]) -> None:
    if model.dosed is not None:
        _check_dose(model, program, kinds, model.dosed, model.dose_unit)
    for state in model.event_doses.values():
        _check_dose(model, program, kinds, state, "1")


def _check_dose(
    model: OdeModel, program: Program, kinds: Mapping[str, Kind], dosed: str, dose_unit: str
) -> None:
    where, at = type(model).__name__, program.states.index(dosed)
    factor, unit = program.dose_factor[at], model.states[dosed].unit
    wanted = _over(_kind(unit), _kind(dose_unit))
    if is_constant(factor, 1.0) and wanted is not None and wanted.differs(_PURE):
        raise ModelError(
            f"{where}: doses are in {dose_unit} but the dosed state {dosed!r} is in "
            f"{unit}; define dose_factor(self, p) with what turns one into the other, or set "
            f'dose_unit = "{unit}".'
        )
    _expect(where, f"dose_factor[{dosed!r}]", factor, wanted,
            f"{unit} per {dose_unit}", kinds)  # fmt: skip


def endpoint_units(model: OdeModel, program: Program) -> dict[str, str]:
    """Return the unit of every endpoint, as it follows from the formula that observes it."""
    declared = {
        **{state_symbol(k): s.unit for k, s in model.states.items()},
        **{value_symbol(k): v.unit for k, v in model.equation_values.items()},
    }
    return {
        e: unit_of(level, declared)
        for e, level in zip(program.endpoints, program.observe, strict=True)
    }


def unit_of(root: Expression, units: Mapping[Expression, str]) -> str:
    """Return the unit of a formula in the spelling of what it is made of.

    Parameters
    ----------
    root : Expression
        The formula.
    units : mapping of Expression to str
        Unit of every symbol in it; that of the time is known.
    """
    declared = {**{str(s.value): unit for s, unit in units.items()}, str(TIME.value): "day"}
    found: dict[int, str] = {}
    for node in topological([root]):
        args = [found[id(a)] for a in node.args]
        match node.op:
            case "symbol":
                unit = declared[str(node.value)]
            case _ if is_constant(node, 0.0):
                unit = _ANY
            case "mul" | "div" if _ANY in args:
                unit = _ANY
            case "mul":
                unit = product(args[0], args[1])
            case "div":
                unit = product(args[0], args[1], -1)
            case "where":
                unit = args[2] if args[1] in ("1", _ANY) else args[1]
            case "add" | "sub" | "minimum" | "maximum":
                unit = args[1] if args[0] in ("1", _ANY) else args[0]
            case "neg" | "abs" | "log" | "exp":  # the exp of a ln has the unit back
                unit = args[0]
            case _:
                unit = "1"
        found[id(node)] = unit
    return "1" if found[id(root)] == _ANY else found[id(root)]


def _known(model: OdeModel) -> dict[str, Kind]:
    kinds: dict[str, Kind] = {str(TIME.value): _kind("day")}
    kinds |= {str(state_symbol(k).value): _kind(s.unit) for k, s in model.states.items()}
    kinds |= {str(value_symbol(k).value): _kind(v.unit) for k, v in model.equation_values.items()}
    return kinds


def _kind(unit: str) -> Measured:
    return Measured({k: Ratio(v) for k, v in exponents(unit).items()}, scale(unit))


def _times(a: Kind, b: Kind, sign: int = 1) -> Kind:
    if a is None or b is None:
        return None
    powers = {
        k: a.powers.get(k, Ratio(0)) + sign * b.powers.get(k, Ratio(0))
        for k in {**a.powers, **b.powers}
    }
    size = None if a.size is None or b.size is None else a.size * b.size**sign
    return Measured({k: v for k, v in powers.items() if v}, size)


def _over(a: Kind, b: Kind) -> Kind:
    return _times(a, b, -1)


def _to_power(a: Kind, power: Ratio) -> Kind:
    if a is None:
        return None
    size = None if a.size is None else a.size ** float(power)
    return Measured({k: v * power for k, v in a.powers.items()}, size)


def _written(kind: Kind) -> str:
    if kind is None or (not kind.powers and kind.size in (None, 1.0)):
        return "a pure number"
    base = "*".join(f"{k}^{v}" if v != 1 else k for k, v in sorted(kind.powers.items()))
    times = "" if kind.size is None or math.isclose(kind.size, 1.0) else f"{kind.size:g} "
    return f"{times}{base}".strip()


def _expect(
    where: str, place: str, root: Expression, wanted: Kind, said: str, kinds: Mapping[str, Kind]
) -> None:
    found = _infer(where, place, root, kinds)
    if found is not None and wanted is not None and found.differs(wanted):
        raise ModelError(
            f"{where}.{place} is in {_written(found)} but should be in {said} "
            f"({_written(wanted)}): {_said(root)}. Check the units of its parameters."
        )


def _said(node: Expression) -> str:
    return text(node).replace("p_", "p.").replace("y_", "y.")


def _infer(where: str, place: str, root: Expression, kinds: Mapping[str, Kind]) -> Kind:
    found: dict[int, Kind] = {}
    for node in topological([root]):
        args = [found[id(a)] for a in node.args]
        logged = any(a is not None and a.logged for a in args)
        found[id(node)] = (_of_logs if logged else _one)(where, place, node, args, kinds)
    kind = found[id(root)]
    if kind is not None and kind.logged:
        raise _no_log(where, place, root, replace(kind, logged=False))
    return kind


def _of_logs(
    where: str, place: str, node: Expression, args: list[Kind], kinds: Mapping[str, Kind]
) -> Kind:
    """Return the kind of a formula of logs: sums stand for products, exp gives the quantity."""
    plain = [None if a is None else replace(a, logged=False) for a in args]
    if node.op in ("add", "sub"):
        for a in args:
            if a is not None and not a.logged and a.powers:
                raise _no_log(where, place, node, a)
        kind = _times(plain[0] or _PURE, plain[1] or _PURE, 1 if node.op == "add" else -1)
        return _logged(kind)
    if node.op == "exp":
        return plain[0]
    if node.op in ("where", "maximum", "minimum"):
        return _agree(where, place, node, args[-2], args[-1])
    raise _no_log(where, place, node, next(p for p, a in zip(plain, args, strict=True)
                                           if a is not None and a.logged))  # fmt: skip


def _logged(kind: Kind) -> Kind:
    """Return the kind of the ln of a quantity; of a pure number it is one."""
    return replace(kind, logged=True) if kind is not None and kind.powers else _SOME_NUMBER


def _no_log(where: str, place: str, node: Expression, kind: Kind) -> ModelError:
    return ModelError(
        f"{where}.{place}: log of a quantity in {_written(kind)}: {_said(node)}. "
        "Divide by a parameter of the same unit first."
    )


def _one(
    where: str, place: str, node: Expression, args: list[Kind], kinds: Mapping[str, Kind]
) -> Kind:
    match node.op:
        case "const":
            if is_constant(node, 0.0):
                return None
            return _PURE if is_constant(node, 1.0) else _SOME_NUMBER
        case "symbol":
            return kinds[str(node.value)]
        case "mul":
            return _times(args[0], args[1])
        case "div":
            return _over(args[0], args[1])
        case "where":
            return _agree(where, place, node, args[1], args[2])
        case "sqrt":
            return _to_power(args[0], Ratio(1, 2))
        case "pow":
            return _power(where, place, node, args)
        case "log":
            return _logged(args[0])
    if node.op in COMPARISONS:
        _agree(where, place, node, args[0], args[1])
        return _PURE
    if node.op in _ALIKE:
        return _agree(where, place, node, args[0], args[1])
    if node.op in _SAME:
        return args[0]
    for kind in args:
        if kind is not None and kind.powers:
            raise ModelError(
                f"{where}.{place}: {node.op} of a quantity in {_written(kind)}: {_said(node)}. "
                "Divide by a parameter of the same unit first."
            )
    return _SOME_NUMBER


def _agree(where: str, place: str, node: Expression, a: Kind, b: Kind) -> Kind:
    if a is None or b is None:
        return b if a is None else a
    if a.differs(b):
        first, second = node.args[-2:]
        raise ModelError(
            f"{where}.{place} combines {_said(first)} in {_written(a)} with {_said(second)} in "
            f"{_written(b)}; the units must be the same. Check the units of the parameters; a "
            "number with a unit should be a parameter too."
        )
    return a if a.size is not None else b


def _power(where: str, place: str, node: Expression, args: list[Kind]) -> Kind:
    base, exponent = node.args
    if args[1] is not None and args[1].powers:
        raise ModelError(
            f"{where}.{place}: the exponent {_said(exponent)} is in {_written(args[1])}; it must "
            "be a pure number."
        )
    if args[0] is None or not args[0].powers:
        return None if args[0] is None else _SOME_NUMBER
    if exponent.op != "const":
        raise ModelError(
            f"{where}.{place}: {_said(base)} in {_written(args[0])} to a power that is not a "
            "fixed number has no unit. Divide by a parameter of the same unit first, as "
            "models.math.hill does."
        )
    power = Ratio(float(exponent.value)).limit_denominator(1000)
    return _to_power(args[0], power)
