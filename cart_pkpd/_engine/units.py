"""The solver in units of LLVM code, compiled once per machine and linked with every model."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

from filelock import FileLock

from cart_pkpd._engine import store
from cart_pkpd._engine.linking import processor

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Unit:
    """Files whose code goes into one unit, and the function that it is for."""

    function: str
    files: tuple[str, ...]


UNITS: Mapping[str, Unit] = MappingProxyType(
    {
        "ode": Unit("solve", ("linear", "explicit", "rosenbrock", "patient")),
        "closed": Unit("solve", ("closed",)),
        "predict": Unit("predict", ("batch",)),
        "loglik": Unit("loglik", ("batch",)),
        "records": Unit("records", ("records",)),
        "lanes": Unit("lanes", ("linear", "explicit", "rosenbrock", "patient", "lanes")),
        "log_ndtr": Unit("log_ndtr", ("special",)),
        "mills": Unit("mills", ("special",)),
        "posterior": Unit("posterior", ("population", "density")),
        "moved": Unit("moved", ("population", "moved")),
        "copy": Unit("copy_point", ("density",)),
        "hazard": Unit("hazard", ("hazard",)),
        "exposure": Unit("exposure", ("exposure",)),
    }
)


def key(*names: str, also: tuple[str, ...] = ()) -> str:
    """Return what changes whenever the code of one of the units does.

    Every file that takes part decides, with all that it imports; so do those in `also`.
    """
    files = {file for name in names for file in UNITS[name].files}
    texts = [_text(file) for file in sorted(_closure({*files, *also, "units", "lowering"}))]
    versions = [version("numba"), version("llvmlite"), sys.version, processor()]
    return hashlib.sha256("\n".join([*versions, *names, *texts]).encode()).hexdigest()[:20]


def _closure(files: set[str]) -> set[str]:
    """Return engine files with all engine files that they import."""
    found: set[str] = set()
    while files:
        found |= files
        files = {more for file in files for more in _imports(file)} - found
    return found


@cache
def _imports(file: str) -> frozenset[str]:
    nodes = (n for n in ast.walk(ast.parse(_text(file))) if isinstance(n, ast.ImportFrom))
    modules = [(n.module or "", [a.name for a in n.names]) for n in nodes]
    package = __name__.rpartition(".")[0]
    found = {m.rpartition(".")[2] for m, _ in modules if m.rpartition(".")[0] == package}
    found |= {name for m, names in modules if m == package for name in names}
    return frozenset(found)


def unit(name: str) -> bytes:
    """Return the LLVM code of a unit: from disk, or compiled now.

    Whoever needs the same unit meanwhile waits for it.
    """
    path = store.cache_folder() / f"unit_{name}_{key(name)}.bc"
    code = store.kept(path)
    if code is None:
        with FileLock(path.with_suffix(".lock")):
            code = store.kept(path)
            if code is None:
                code = _compile(UNITS[name])
                store.keep(path, code)
    return code


def _compile(chosen: Unit) -> bytes:
    from cart_pkpd._engine import lowering

    constants = _constants()
    scope = definitions(chosen.files, constants)
    found = scope[chosen.function]
    scope.update(lowering.open_names(constants))
    return lowering.lowered(chosen.function, getattr(found, "py_func", found), constants)


@cache
def _constants() -> tuple[str, ...]:
    from cart_pkpd._engine import equations

    return tuple(name for name, value in vars(equations).items() if isinstance(value, int))


def definitions(files: tuple[str, ...], constants: Iterable[str] = ()) -> dict[str, Any]:
    """Return the names that files define, as if they were one, with constants as calls."""
    scope: dict[str, Any] = {"__name__": __name__}
    for file in files:
        tree = ast.parse(_text(file))
        tree.body = [node for node in tree.body if not _is_within(node, files)]
        tree = ast.fix_missing_locations(_Open(frozenset(constants)).visit(tree))
        exec(compile(tree, str(_FOLDER / f"{file}.py"), "exec"), scope)
    return scope


def _is_within(node: ast.stmt, files: Iterable[str]) -> bool:
    """Return True for an import from one of the files themselves."""
    return isinstance(node, ast.ImportFrom) and (node.module or "").rpartition(".")[2] in files


class _Open(ast.NodeTransformer):
    """Turns names of constants into calls, which compiled code can leave open."""

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in self.names:
            return node
        return ast.copy_location(ast.Call(func=node, args=[], keywords=[]), node)

    def visit_keyword(self, node: ast.keyword) -> ast.AST | None:
        # Numba's own cache would take these functions for those of the ordinary module.
        return None if node.arg == "cache" else self.generic_visit(node)


@cache
def _text(file: str) -> str:
    return (_FOLDER / f"{file}.py").read_text(encoding="utf-8")
