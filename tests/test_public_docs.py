"""Every public name says what it takes and what it gives back, argument by argument."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import cart_pkpd

NOTHING = {"None", "Never", "NoReturn"}


def functions() -> dict[str, Callable[..., Any]]:
    """Return every public function by its name: ``nca.auc``."""
    return {name: value for name, value in named() if inspect.isfunction(value)}


def methods() -> dict[str, Callable[..., Any]]:
    """Return every public method of public classes, each once: ``fit.FitResult.table``."""
    found: dict[Any, str] = {}
    for name, value in named():
        if isinstance(value, type):
            for key in dir(value):
                method = getattr(inspect.getattr_static(value, key), "__func__", None)
                method = method or inspect.getattr_static(value, key)
                if key[0] != "_" and inspect.isfunction(method) and _ours(method):
                    found.setdefault(method, f"{name}.{key}")
    return {name: method for method, name in found.items()}


def named() -> Iterator[tuple[str, Any]]:
    for module_name in cart_pkpd.__all__:
        if module_name == "__version__":
            continue
        module = importlib.import_module(f"cart_pkpd.{module_name}")
        for name in getattr(module, "__all__", vars(module)):
            if name[0] != "_" and _ours(getattr(module, name)):
                yield f"{module_name}.{name}", getattr(module, name)


def _ours(value: Any) -> bool:
    return str(getattr(value, "__module__", "")).startswith("cart_pkpd")


def section(function: Callable[..., Any], title: str) -> str:
    """Return the text of a section of a numpydoc docstring, empty if there is none."""
    doc = inspect.getdoc(function) or ""
    parts = re.split(r"(?m)^(\w[\w ]*)\n-{3,}$", doc)
    return dict(zip(parts[1::2], parts[2::2], strict=True)).get(title, "")


def arguments(function: Callable[..., Any]) -> list[str]:
    """Return the names of the arguments, without ``self``."""
    return [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]


def described(function: Callable[..., Any]) -> set[str]:
    """Return the arguments that the docstring has a line for."""
    heads = re.findall(r"(?m)^(\S.*)$", section(function, "Parameters"))
    return {part.strip().lstrip("*") for head in heads for part in head.split(" :")[0].split(",")}


FUNCTIONS, METHODS = functions(), methods()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_describes_its_arguments_and_its_result(name: str) -> None:
    function = FUNCTIONS[name]
    assert [a for a in arguments(function) if a not in described(function)] == []
    assert not described(function) - set(arguments(function)), "no such argument"
    annotation = inspect.signature(function).return_annotation
    if str(annotation) not in NOTHING:
        assert section(function, "Returns") or section(function, "Yields")


@pytest.mark.parametrize("name", METHODS)
def test_a_method_that_describes_arguments_describes_all_of_them(name: str) -> None:
    method = METHODS[name]
    if section(method, "Parameters"):
        assert set(arguments(method)) == described(method)
    assert inspect.getdoc(method)


def test_arguments_are_read_from_a_docstring_as_they_stand_there() -> None:
    def example(a: int, b: int, *rest: int, c: int = 0, **more: int) -> None:
        """Do nothing.

        Parameters
        ----------
        a, b : int
            Two numbers: such as 1 : 2.
        *rest, **more
            Others.
        """

    assert described(example) == {"a", "b", "rest", "more"}
    assert arguments(example) == ["a", "b", "rest", "c", "more"]
