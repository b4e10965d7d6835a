"""Generated equations as LLVM code, without a detour.

What :mod:`cart_pkpd._engine.source` writes is a small part of Python: numbers, places of one
array, conditions, loops of known length. Translating just that takes milliseconds where a
compiler for all of Python takes seconds.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from cart_pkpd._engine.linking import PREFIX

FLOAT, INT, _STATUS = ir.DoubleType(), ir.IntType(64), ir.IntType(32)
_TRUTH, _FLOATS = ir.IntType(1), FLOAT.as_pointer()
_POINTER = ir.IntType(8).as_pointer()
FLAGS = ("contract", "nsz", "arcp")
"""The order of sums stays as written, so that formulas round as their author expects."""

_INTRINSICS = MappingProxyType(
    {name: f"llvm.{name}.f64" for name in ("exp", "log", "sqrt", "sin", "cos")}
    | {"abs": "llvm.fabs.f64", "pow": "llvm.pow.f64"}
)
_LIBRARY = ("log1p", "expm1", "tanh")
_OWN = ("log_ndtr", "mills")
_ARITHMETIC = MappingProxyType({ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div"})
_COMPARISONS = MappingProxyType(
    {ast.Lt: "<", ast.LtE: "<=", ast.Eq: "==", ast.Gt: ">", ast.GtE: ">="}
)
SERIES = ("series", "along", "compare")
"""Functions that only lanes have."""
_INTEGERS = ("endpoint", "code")
_ARRAYS = ("x", "sigmas")


def constants(source: str) -> dict[str, Any]:
    """Return the values that generated source gives names to."""
    named = (node for node in ast.parse(source).body if isinstance(node, ast.Assign))
    return {ast.unparse(node.targets[0]): ast.literal_eval(node.value) for node in named}


def translate(source: str) -> bytes:
    """Return the LLVM code of the functions in generated source.

    Each takes what :mod:`cart_pkpd._engine.equations` says, after two pointers, to where its
    result goes and to one that is not used, as functions compiled by Numba do.
    """
    module, known = ir.Module("equations"), constants(source)
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name not in SERIES:
            Function(module, known, node).write()
    return llvm.parse_assembly(str(module)).as_bitcode()


class Function:
    """One function on its way to LLVM code."""

    prefix = PREFIX
    number: Any = FLOAT

    def __init__(self, module: ir.Module, places: Mapping[str, Any], tree: ast.FunctionDef) -> None:
        names = [a.arg for a in tree.args.args]
        kinds = [self.kind(a) for a in tree.args.args]
        whole = ir.FunctionType(_STATUS, [_POINTER, _POINTER, *kinds])
        self.function = ir.Function(module, whole, self.prefix + tree.name)
        self.entry = ir.IRBuilder(self.function.append_basic_block("variables"))
        self.code = ir.IRBuilder(self.function.append_basic_block("code"))
        self.module, self.places, self.tree = module, places, tree
        self.given = dict(zip(names, self.function.args[2:], strict=True))
        self.known: dict[tuple[str, str], Any] = {}
        self.variables: dict[str, Any] = {}

    def kind(self, given: ast.arg) -> Any:
        if given.arg in _ARRAYS:
            return _FLOATS
        return INT if given.arg in _INTEGERS else self.number

    def write(self) -> None:
        """Write everything."""
        first = self.code.block
        self.statements(self.tree.body)
        if not self.code.block.is_terminated:
            self.code.ret(_STATUS(0))
        self.entry.branch(first)

    # --- statements ------------------------------------------------------------------------

    def statements(self, nodes: Iterable[ast.stmt]) -> None:
        for node in nodes:
            getattr(self, f"on_{type(node).__name__}")(node)

    def on_Pass(self, node: ast.Pass) -> None:
        return

    def on_Expr(self, node: ast.Expr) -> None:
        assert isinstance(node.value, ast.Constant)  # a docstring

    def on_Assign(self, node: ast.Assign) -> None:
        (target,), value = node.targets, self.value(node.value)
        if isinstance(target, ast.Subscript):
            self.store(self.as_float(value), self.place(target))
            return
        assert isinstance(target, ast.Name)
        self.assign(target.id, value)

    def assign(self, name: str, value: Any) -> None:
        """Give a name a value: a number in one branch, it may be a condition in another."""
        key = name, str(value.type)
        if key not in self.known:
            self.known[key] = self.entry.alloca(value.type)
        self.variables[name] = self.known[key]
        self.code.store(value, self.known[key])

    def on_AugAssign(self, node: ast.AugAssign) -> None:
        assert isinstance(node.target, ast.Subscript)
        place = self.place(node.target)
        total = self.code.fadd(self.load(place), self.value(node.value), flags=FLAGS)
        self.store(total, place)

    def on_For(self, node: ast.For) -> None:
        """Write ``for j in range(n)``."""
        assert isinstance(node.iter, ast.Call)
        count = self.value(node.iter.args[0])
        if count.constant != 0:
            self.loop(node, count)

    def loop(self, node: ast.For, count: Any) -> None:
        """Write a loop that is run once at least."""
        assert isinstance(node.target, ast.Name)
        before, body = self.code.block, self.code.append_basic_block("loop")
        after = self.code.append_basic_block("after")
        self.code.branch(body)
        self.code.position_at_end(body)
        at = self.code.phi(INT)
        at.add_incoming(INT(0), before)
        self.given[node.target.id] = at
        self.variables.pop(node.target.id, None)
        self.statements(node.body)
        following = self.code.add(at, INT(1), flags=("nuw", "nsw"))
        at.add_incoming(following, self.code.block)
        self.code.cbranch(self.code.icmp_signed("<", following, count), body, after)
        self.code.position_at_end(after)

    def on_If(self, node: ast.If) -> None:
        assert not node.orelse
        then, after = (self.code.append_basic_block(name) for name in ("then", "after"))
        self.code.cbranch(self.value(node.test), then, after)
        self.code.position_at_end(then)
        self.statements(node.body)
        if not self.code.block.is_terminated:
            self.code.branch(after)
        self.code.position_at_end(after)

    def on_Return(self, node: ast.Return) -> None:
        given = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
        target = self.code.bitcast(self.function.args[0], _FLOATS)
        for n, value in enumerate(v for v in given if v is not None):
            self.code.store(self.as_float(self.value(value)), self.code.gep(target, [INT(n)]))
        self.code.ret(_STATUS(0))

    # --- values ----------------------------------------------------------------------------

    def value(self, node: ast.expr) -> Any:
        return getattr(self, f"of_{type(node).__name__}")(node)

    def of_Constant(self, node: ast.Constant) -> Any:
        if isinstance(node.value, bool):
            return _TRUTH(int(node.value))
        assert isinstance(node.value, (int, float))
        return INT(node.value) if isinstance(node.value, int) else self.constant(node.value)

    def constant(self, value: float) -> Any:
        return self.number(value)

    def as_float(self, value: Any) -> Any:
        return self.code.sitofp(value, FLOAT) if value.type == INT else value

    def pair(self, left: ast.expr, right: ast.expr) -> tuple[Any, Any]:
        """Return two values of one type."""
        a, b = self.value(left), self.value(right)
        return (a, b) if a.type == b.type else (self.as_float(a), self.as_float(b))

    def of_Name(self, node: ast.Name) -> Any:
        if node.id in self.places:
            return INT(self.places[node.id])
        if node.id in self.variables:
            return self.code.load(self.variables[node.id])
        return self.given[node.id]

    def of_Attribute(self, node: ast.Attribute) -> Any:
        return self.constant(getattr(math, node.attr))

    def of_Subscript(self, node: ast.Subscript) -> Any:
        return self.load(self.place(node))

    def load(self, place: Any) -> Any:
        return self.code.load(place)

    def store(self, value: Any, place: Any) -> None:
        self.code.store(value, place)

    def place(self, node: ast.Subscript) -> Any:
        return self.code.gep(self.value(node.value), [self.value(node.slice)], inbounds=True)

    def of_UnaryOp(self, node: ast.UnaryOp) -> Any:
        value = self.value(node.operand)
        if isinstance(node.op, ast.Not):
            return self.code.not_(value)
        assert isinstance(node.op, ast.USub)
        return self.code.fneg(value, flags=FLAGS)

    def of_BinOp(self, node: ast.BinOp) -> Any:
        left, right = self.pair(node.left, node.right)
        if isinstance(node.op, ast.Pow):
            return self.call_library("pow", left, right)
        name = _ARITHMETIC[type(node.op)]
        if left.type == INT:
            return getattr(self.code, name)(left, right, flags=("nsw",))
        return getattr(self.code, f"f{name}")(left, right, flags=FLAGS)

    def of_BoolOp(self, node: ast.BoolOp) -> Any:
        join = self.code.and_ if isinstance(node.op, ast.And) else self.code.or_
        first, *rest = (self.value(v) for v in node.values)
        for value in rest:
            first = join(first, value)
        return first

    def of_Compare(self, node: ast.Compare) -> Any:
        left, right = self.pair(node.left, node.comparators[0])
        sign = _COMPARISONS[type(node.ops[0])]
        if left.type == INT:
            return self.code.icmp_signed(sign, left, right)
        return self.code.fcmp_ordered(sign, left, right, flags=FLAGS)

    def of_IfExp(self, node: ast.IfExp) -> Any:
        """Write ``a if condition else b``; only what is chosen is computed."""
        sides = [self.code.append_basic_block(name) for name in ("true", "false")]
        after = self.code.append_basic_block("after")
        self.code.cbranch(self.value(node.test), *sides)
        found = []
        for side, formula in zip(sides, (node.body, node.orelse), strict=True):
            self.code.position_at_end(side)
            found.append((self.value(formula), self.code.block))
            self.code.branch(after)
        self.code.position_at_end(after)
        chosen = self.code.phi(found[0][0].type)
        for value, block in found:
            chosen.add_incoming(value, block)
        return chosen

    def of_Call(self, node: ast.Call) -> Any:
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else ""
        if isinstance(called, ast.Name):
            name = called.id
        values = [self.value(a) for a in node.args]
        if name in ("min", "max"):
            first, second = values
            sign = "<" if name == "min" else ">"
            other = self.code.fcmp_ordered(sign, second, first, flags=FLAGS)
            return self.code.select(other, second, first)
        if name in _OWN:
            return self.call_own(name, *values)
        return self.call_library(name, *values)

    def call_library(self, name: str, *values: Any) -> Any:
        assert name in _INTRINSICS or name in _LIBRARY
        return self.call(_INTRINSICS.get(name, name), *values)

    def call(self, name: str, *values: Any) -> Any:
        """Call a function of numbers that LLVM or the C library knows."""
        function = self.declared(name, ir.FunctionType(FLOAT, [FLOAT] * len(values)))
        return self.code.call(function, values, fastmath=FLAGS)

    def call_own(self, name: str, *values: Any) -> Any:
        """Call a function of a number that Numba compiled."""
        kind = ir.FunctionType(_STATUS, [_FLOATS, _POINTER, *(v.type for v in values)])
        result = self.entry.alloca(FLOAT)
        function = self.declared(PREFIX + name, kind)
        self.code.call(function, [result, _POINTER(None), *values])
        return self.code.load(result)

    def declared(self, name: str, kind: ir.FunctionType) -> ir.Function:
        found = self.module.globals.get(name)
        return ir.Function(self.module, kind, name) if found is None else found
