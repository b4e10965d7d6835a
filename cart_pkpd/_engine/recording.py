"""Likelihoods of records as LLVM code for several records in lock-step.

Written as :mod:`cart_pkpd._engine.widening` writes steps of the solver.
"""

from __future__ import annotations

import ast
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from cart_pkpd._engine.translation import constants
from cart_pkpd._engine.widening import Wide, numbers_of, text_of, trees_of

_EQUATIONS = ("natural", "observe", "record")
_PARTS = (
    ("wide", ("exp", "log", "pow", "whole_part")),
    ("wide_records", ("log1p", "tail", "log_ndtr", "mills", "level", "weighed", "summed")),
)
_OWN = ("log1p", "log_ndtr", "mills")


def recorded(source: str) -> bytes:
    """Return the LLVM code of a model's records in lanes, from its generated source.

    The functions `level`, `weighed` and `summed` of :mod:`cart_pkpd._engine.wide_records`, and the
    model's `natural`, are what others call, under those names with ``wide_`` before.
    """
    module, known, trees = ir.Module("records"), constants(source), trees_of(source, _EQUATIONS)
    for file, names in _PARTS:
        known = numbers_of(file) | known
        trees += trees_of(text_of(file), names)
    for function in [_Recording(module, known, tree) for tree in trees]:
        function.write()
    return llvm.parse_assembly(str(module)).as_bitcode()


class _Recording(Wide):
    """One function, every number a vector with a lane per record."""

    pointers = (*Wide.pointers, "sigmas")
    integers = (*Wide.integers, "code")

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
        return self.call_wide(name, *values) if name in _OWN else super().call_library(name, *values)

    def call_own(self, name: str, *values: Any) -> Any:
        return self.call_wide(name, *values)
