"""Equations and one step of the solver as LLVM code for several patients in lock-step.

Every number becomes one per lane; places of arrays are as many numbers wide. Conditions on numbers
choose in each lane, and both sides are computed; conditions on whole numbers, such as which
endpoint is observed, are the same for all lanes. What LLVM has no wide instruction for is called
lane by lane, but for exp, log and pow, which :mod:`cart_pkpd._engine.wide` has.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from cart_pkpd._engine.linking import PREFIX
from cart_pkpd._engine.translation import FLAGS, SERIES, Function, constants

WIDTH = 8
"""Lanes: enough to hide that each operation waits for the one before."""
BYTES = 8 * WIDTH
"""Size of a place, and what arrays are aligned to."""

_WIDE = PREFIX + "wide_"
_FLOAT, _INT, _POINTER = ir.DoubleType(), ir.IntType(64), ir.IntType(8).as_pointer()
_FLOATS, _INTS = ir.VectorType(_FLOAT, WIDTH), ir.VectorType(_INT, WIDTH)
_FOLDER = Path(__file__).parent
_FUNCTIONS = (
    "show", "exp", "log", "pow", "rough_power", "rough_log2", "rough_exp2", "rough_inverse",
    "whole_part",
)  # fmt: skip
_BY_SLOPES = (
    ("explicit", ("explicit_step", "explicit_interpolate")),
    ("patient", ("weigh_states", "step_error", "spread")),
    ("wide", ("advance", "go_on", "between", *_FUNCTIONS)),
)
_BY_SERIES = (("wide", _FUNCTIONS), ("wide_series", ("size_of", "advance", "between")))
_EQUATIONS = ("rhs", "observe", *SERIES)
_OWN = ("exp", "log", "pow")
_INTRINSICS = ("abs", "sqrt")
_NAMES = {"abs": "fabs"}
_ROOT_HALF, _ONE, _SHARE = 0x3FE6A09E667F3BCD, 0x3FF0000000000000, 52
_WHOLE = 0x4330000000000000
"""Bits of √½, of 1 and of 2^52, and how many of a number's bits are its fraction."""
_INVERSE = 0x7FDE600000000000
"""Twice the bits of 1, less so much that errors of a guess are as large above as below."""


def widened(source: str) -> bytes:
    """Return the LLVM code of a model's steps in lanes, from its generated source.

    The functions `advance`, `between` and `show` of :mod:`cart_pkpd._engine.wide` are what others
    call, under those names with ``wide_`` before.
    """
    module, known, trees = ir.Module("lanes"), constants(source), trees_of(source, _EQUATIONS)
    for file, names in _BY_SERIES if known["TERMS"] else _BY_SLOPES:
        known = numbers_of(file) | known
        trees += trees_of(text_of(file), names)
    for function in [Wide(module, known, tree) for tree in trees]:
        function.write()
    return llvm.parse_assembly(str(module)).as_bitcode()


@cache
def text_of(file: str) -> str:
    return (_FOLDER / f"{file}.py").read_text(encoding="utf-8")


def trees_of(source: str, names: tuple[str, ...]) -> list[ast.FunctionDef]:
    found = (n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef))
    return [n for n in found if n.name in names]


def numbers_of(file: str) -> dict[str, Any]:
    """Return the numbers that a file gives names to, one or several at a time."""
    found: dict[str, Any] = {}
    for node in ast.parse(text_of(file)).body:
        if isinstance(node, ast.Assign):
            (target,), value = node.targets, ast.literal_eval(node.value)
            if isinstance(target, ast.Tuple):
                found |= dict(zip(map(ast.unparse, target.elts), value, strict=True))
            else:
                found[ast.unparse(target)] = value
    return found


class Wide(Function):
    """One function, every number a vector with a lane per patient."""

    prefix = _WIDE
    number = _FLOATS
    pointers: tuple[str, ...] = ("x", "lanes")
    """Arguments that are addresses of such vectors."""
    integers: tuple[str, ...] = ("endpoint",)
    """Arguments, beside those that say so, that are whole numbers, the same in all lanes."""

    def __init__(self, module: ir.Module, places: Mapping[str, Any], tree: ast.FunctionDef) -> None:
        super().__init__(module, places, tree)
        if any(a.arg == "x" for a in tree.args.args):
            # What these work on lies in memory. Inlined, they would keep copies of it elsewhere;
            # and a choice between a place and a copy of it would become a masked store, which
            # some processors are slow at.
            self.function.attributes.add("noinline")

    def kind(self, given: ast.arg) -> Any:
        said = "" if given.annotation is None else ast.unparse(given.annotation)
        if given.arg in self.pointers:
            return _FLOAT.as_pointer()
        return _INT if said == "int" or given.arg in self.integers else _FLOATS

    # --- statements ------------------------------------------------------------------------

    def on_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            self.value(node.value)

    def on_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Subscript):
            super().on_AugAssign(node)
            return
        assert isinstance(node.target, ast.Name)
        assert isinstance(node.op, ast.Add)
        read = ast.Name(node.target.id, ast.Load())
        self.on_Assign(ast.Assign([node.target], ast.BinOp(read, node.op, node.value)))

    def on_If(self, node: ast.If) -> None:
        """Write assignments under a condition; in other lanes what is assigned stays."""
        if any(isinstance(n, ast.Name) and n.id in self.integers for n in ast.walk(node.test)):
            super().on_If(node)
            return
        assert not node.orelse
        for one in node.body:
            assert isinstance(one, ast.Assign)
            (target,) = one.targets
            assert isinstance(target, ast.Name)
            read = ast.Name(target.id, ast.Load())
            self.on_Assign(ast.Assign([target], ast.IfExp(node.test, one.value, read)))

    def on_Return(self, node: ast.Return) -> None:
        given = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
        for n, value in enumerate(self.value(v) for v in given if v is not None):
            found = value if value.type == _FLOAT else self.as_float(value)
            target = self.code.bitcast(self.function.args[0], found.type.as_pointer())
            self.code.store(found, self.code.gep(target, [_INT(n)]))
        self.code.ret(ir.IntType(32)(0))

    # --- values ----------------------------------------------------------------------------

    def constant(self, value: float) -> Any:
        return ir.Constant(_FLOATS, [value] * WIDTH)

    def as_float(self, value: Any) -> Any:
        if value.type != _INT:
            return value
        one = self.code.sitofp(value, _FLOAT)
        return self._all([one] * WIDTH)

    def _all(self, each: list[Any]) -> Any:
        out = ir.Constant(_FLOATS, ir.Undefined)
        for lane, value in enumerate(each):
            out = self.code.insert_element(out, value, ir.IntType(32)(lane))
        return out

    def of_Name(self, node: ast.Name) -> Any:
        value = self.places.get(node.id)
        if isinstance(value, float):
            return self.constant(value)
        return super().of_Name(node)

    def load(self, place: Any) -> Any:
        return self.code.load(place, align=BYTES)

    def store(self, value: Any, place: Any) -> None:
        self.code.store(value, place, align=BYTES)

    def place(self, node: ast.Subscript) -> Any:
        at = self.code.mul(self.value(node.slice), _INT(WIDTH), flags=("nsw",))
        first = self.code.gep(self.value(node.value), [at], inbounds=True)
        return self.code.bitcast(first, _FLOATS.as_pointer())

    def of_IfExp(self, node: ast.IfExp) -> Any:
        test = self.value(node.test)
        sides = (self.as_float(self.value(v)) for v in (node.body, node.orelse))
        return self.code.select(test, *sides)

    def of_Call(self, node: ast.Call) -> Any:
        called = node.func
        if isinstance(called, ast.Name):
            if called.id in _BUILT:
                return _BUILT[called.id](self.code, *map(self.value, node.args))
            if f"{_WIDE}{called.id}" in self.module.globals:
                return self.call_wide(called.id, *map(self.value, node.args))
        return super().of_Call(node)

    def call_library(self, name: str, *values: Any) -> Any:
        if name in _OWN:
            return self.call_wide(name, *values)
        if name in _INTRINSICS:
            whole = f"llvm.{_NAMES.get(name, name)}.v{WIDTH}f64"
            function = self.declared(whole, ir.FunctionType(_FLOATS, [_FLOATS] * len(values)))
            return self.code.call(function, values, fastmath=FLAGS)
        return self._by_lane(lambda *one: super(Wide, self).call_library(name, *one), values)

    def call_own(self, name: str, *values: Any) -> Any:
        return self._by_lane(lambda *one: super(Wide, self).call_own(name, *one), values)

    def _by_lane(self, call: Any, values: Any) -> Any:
        places = [ir.IntType(32)(lane) for lane in range(WIDTH)]
        return self._all([call(*(self.code.extract_element(v, p) for v in values)) for p in places])

    def call_wide(self, name: str, *values: Any) -> Any:
        """Call another of these functions; what it returns, if anything, is a vector."""
        return self.results(name, 1, *values)[0]

    def results(self, name: str, count: int, *values: Any) -> list[Any]:
        """Call another of these functions; return the vectors that it returns."""
        room = self.entry.alloca(_FLOATS, count)
        function = self.module.globals[_WIDE + name]
        kinds = [a.type for a in function.args[2:]]
        given = [
            self.as_float(v) if k == _FLOATS else v for k, v in zip(kinds, values, strict=True)
        ]
        self.code.call(function, [self.code.bitcast(room, _POINTER), _POINTER(None), *given])
        return [self.code.load(self.code.gep(room, [_INT(n)])) for n in range(count)]


def _bits(code: ir.IRBuilder, first: Any, second: Any) -> Any:
    low, high = (code.zext(code.bitcast(v, ir.IntType(WIDTH)), _INT) for v in (first, second))
    return code.uitofp(code.or_(low, code.shl(high, _INT(WIDTH))), _FLOAT)


def _same(value: int) -> Any:
    return ir.Constant(_INTS, [value] * WIDTH)


def _times_power_of_2(code: ir.IRBuilder, v: Any, shifted: Any) -> Any:
    power = code.shl(code.bitcast(shifted, _INTS), _same(_SHARE))
    return code.bitcast(code.add(code.bitcast(v, _INTS), power), _FLOATS)


def _exponent(code: ir.IRBuilder, v: Any) -> Any:
    above = code.sub(code.bitcast(v, _INTS), _same(_ROOT_HALF - _ONE))
    whole = code.or_(code.lshr(above, _same(_SHARE)), _same(_WHOLE))
    shift = ir.Constant(_FLOATS, [2.0**_SHARE + 1023.0] * WIDTH)
    return code.fsub(code.bitcast(whole, _FLOATS), shift)


def _fraction(code: ir.IRBuilder, v: Any) -> Any:
    number = code.bitcast(v, _INTS)
    power = code.and_(code.sub(number, _same(_ROOT_HALF)), _same(-(1 << _SHARE)))
    return code.bitcast(code.sub(number, power), _FLOATS)


def _inverse_guess(code: ir.IRBuilder, v: Any) -> Any:
    """Return one over a number to 5.1 %: a difference of bits is nearly one of logarithms."""
    return code.bitcast(code.sub(_same(_INVERSE), code.bitcast(v, _INTS)), _FLOATS)


_BUILT: Mapping[str, Any] = {
    "bits": _bits,
    "times_power_of_2": _times_power_of_2,
    "inverse_guess": _inverse_guess,
    "exponent": _exponent,
    "fraction": _fraction,
}
