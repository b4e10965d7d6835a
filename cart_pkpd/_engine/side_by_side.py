"""Records of one patient, and effects of several, side by side: LLVM code with a lane for each.

Written as :mod:`cart_pkpd._engine.widening` writes steps of the solver.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from cart_pkpd._engine.translation import FLOAT, INT, constants
from cart_pkpd._engine.widening import Wide, numbers_of, text_of, trees_of

_EQUATIONS = ("natural", "keep", "observe", "record")
_RECORDS = (
    ("wide", ("exp", "log", "pow", "whole_part")),
    ("wide_records", ("log1p", "tail", "log_ndtr", "mills", "level", "weighed", "summed")),
)
_EFFECTS = ("solved", "solved_back", "unfactorised", "towards", "back")
_OWN = ("log1p", "log_ndtr", "mills", "tail")


def records_code(source: str) -> bytes:
    """Return the LLVM code of a model's records in lanes, from its generated source.

    The functions `level`, `weighed` and `summed` of :mod:`cart_pkpd._engine.wide_records`, and the
    model's `natural` and `keep`, are what others call, under those names with ``wide_`` before.
    """
    known = constants(source)
    parts = [(known, trees_of(source, _EQUATIONS))]
    parts += [(numbers_of(f) | known, trees_of(text_of(f), names)) for f, names in _RECORDS]
    return _written("records", parts)


def effects_code() -> bytes:
    """Return the LLVM code of `towards` and `back` of :mod:`cart_pkpd._engine.wide_effects`."""
    return _written("effects", [({}, trees_of(text_of("wide_effects"), _EFFECTS))])


def _written(
    name: str, parts: Iterable[tuple[Mapping[str, Any], Iterable[ast.FunctionDef]]]
) -> bytes:
    """Return the code of functions, with the numbers that names stand for in each part."""
    module = ir.Module(name)
    every = [_SideBySide(module, known, tree) for known, trees in parts for tree in trees]
    for function in every:
        function.write()
    return llvm.parse_assembly(str(module)).as_bitcode()


class _SideBySide(Wide):
    """One function, every number a vector with a lane per record or patient."""

    pointers = (*Wide.pointers, "sigmas")
    integers = (*Wide.integers, "code")

    def __init__(self, module: ir.Module, places: Mapping[str, Any], tree: ast.FunctionDef) -> None:
        super().__init__(module, places, tree)
        if tree.name in _OWN:  # what two of them have in common is then computed once
            self.function.attributes.add("alwaysinline")

    def kind(self, given: ast.arg) -> Any:
        said = "" if given.annotation is None else ast.unparse(given.annotation)
        return FLOAT.as_pointer() if said == "Any" else super().kind(given)

    def on_For(self, node: ast.For) -> None:
        """Write ``for j in range(n)``, of an n that only the call tells, too."""
        assert isinstance(node.iter, ast.Call)
        count = self.value(node.iter.args[0])
        if isinstance(count, ir.Constant):
            super().on_For(node)
            return
        loop, after = (self.code.append_basic_block(name) for name in ("any", "none"))
        self.code.cbranch(self.code.icmp_signed("<", INT(0), count), loop, after)
        self.code.position_at_end(loop)
        self.loop(node, count)
        self.code.branch(after)
        self.code.position_at_end(after)

    def on_Assign(self, node: ast.Assign) -> None:
        """Write an assignment, of several names that a function returns too."""
        (target,) = node.targets
        if not isinstance(target, ast.Tuple):
            super().on_Assign(node)
            return
        assert isinstance(node.value, ast.Call)
        assert isinstance(node.value.func, ast.Name)
        given = map(self.value, node.value.args)
        found = self.results(node.value.func.id, len(target.elts), *given)
        for name, value in zip(target.elts, found, strict=True):
            assert isinstance(name, ast.Name)
            self.assign(name.id, value)

    def call_library(self, name: str, *values: Any) -> Any:
        return (
            self.call_wide(name, *values) if name in _OWN else super().call_library(name, *values)
        )

    def call_own(self, name: str, *values: Any) -> Any:
        return self.call_wide(name, *values)
