"""A fitted layer on disk: one netCDF file of arrays and plain JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cart_pkpd._crs.layer import Layer
from cart_pkpd._crs.parts import Hazard, Logistic, ProportionalOdds
from cart_pkpd._crs.result import CrsResult
from cart_pkpd._crs.terms import Term
from cart_pkpd._fit.trees import read_tree, write_tree
from cart_pkpd._stats.priors import KINDS, Prior, prior_from

FORMAT = 1
_ATTR = "cart_pkpd_crs"
_KIND_OF = {cls: kind for kind, cls in KINDS.items()}
_PARTS: Mapping[str, Any] = {"occurrence": Logistic, "grade": ProportionalOdds, "onset": Hazard}


def save(result: CrsResult, path: Path) -> Path:
    """Write `result` to `path`; the file appears whole or not at all."""
    tree = result.tree.copy()
    tree.attrs[_ATTR] = json.dumps(
        {
            "format": FORMAT,
            "layer": describe(result.layer),
            "verdict": result.verdict.as_dict(),
            "notes": list(result.notes),
            "provenance": dict(result.provenance),
        }
    )
    return write_tree(tree, path)


def load(path: Path) -> CrsResult:
    """Read a fitted layer.

    Raises
    ------
    FitError
        If the file is not one.
    """
    from cart_pkpd._fit.verdict import Verdict

    tree, record = read_tree(path, _ATTR, FORMAT, "a fitted CRS layer")
    return CrsResult(
        layer=layer_from(record["layer"]),
        tree=tree,
        verdict=Verdict(**record["verdict"]),
        notes=tuple(record["notes"]),
        provenance=record["provenance"],
    )


def describe(layer: Layer) -> dict[str, Any]:
    """Return the declaration as plain data."""
    parts = {p.name: {k: _plain(v) for k, v in vars(p).items()} for p in layer.parts}
    return {"window": list(layer.window), **parts}


def _plain(value: Any) -> Any:
    if isinstance(value, Prior):
        return {"kind": _KIND_OF[type(value)], **asdict(value)}
    if isinstance(value, Term):
        return {k: _plain(v) for k, v in vars(value).items()}
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


def layer_from(record: Mapping[str, Any]) -> Layer:
    """Return the declaration from plain data."""
    parts = {
        name: made(**{k: _value(k, v) for k, v in record[name].items()})
        for name, made in _PARTS.items()
        if name in record
    }
    start, end = record["window"]
    return Layer(**parts, window=(start, end))


def _value(name: str, value: Any) -> Any:
    if name == "terms":
        return [Term(**{k: _value(k, v) for k, v in t.items()}) for t in value]
    return prior_from(value) if isinstance(value, Mapping) else value
