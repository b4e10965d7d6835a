"""A fitted layer on disk: one netCDF file of arrays and plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cart_pkpd._crs.layer import Layer
from cart_pkpd._crs.parts import Hazard, Logistic, ProportionalOdds
from cart_pkpd._crs.result import CrsResult
from cart_pkpd._crs.terms import Term
from cart_pkpd._fit import sampled
from cart_pkpd._stats.priors import prior_from

FORMAT = 1
_RECORD = "cart_pkpd_crs"
_PARTS: Mapping[str, Any] = {"occurrence": Logistic, "grade": ProportionalOdds, "onset": Hazard}


def save(result: CrsResult, path: Path) -> Path:
    """Write `result` to `path`; the file appears whole or not at all."""
    return sampled.save(result, path, _RECORD, FORMAT, {"layer": describe(result.layer)})


def load(path: Path) -> CrsResult:
    """Read a fitted layer.

    Raises
    ------
    FitError
        If the file is not one.
    """
    fields, record = sampled.load(path, _RECORD, FORMAT, "a fitted CRS layer")
    return CrsResult(layer=layer_from(record["layer"]), **fields)


def describe(layer: Layer) -> dict[str, Any]:
    """Return the declaration as plain data."""
    parts = {p.name: sampled.plain(p) for p in layer.parts}
    return {"window": list(layer.window), **parts}


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
