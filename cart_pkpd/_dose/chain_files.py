"""A fitted chain on disk: one netCDF file of arrays and plain JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cart_pkpd._crs.files import describe, layer_from
from cart_pkpd._crs.layer import Layer
from cart_pkpd._dose.chained import ChainResult
from cart_pkpd._dose.links import Links, PeakPriors, Toxicity
from cart_pkpd._dose.power import PowerPriors
from cart_pkpd._fit.trees import read_tree, write_tree
from cart_pkpd._stats.priors import KINDS, Prior, prior_from

FORMAT = 1
_ATTR = "cart_pkpd_dose_chain"
_KIND_OF = {cls: kind for kind, cls in KINDS.items()}
_PARTS: Mapping[str, Any] = {"toxicity": Toxicity, "exposure": PowerPriors, "peaks": PeakPriors}


def save(result: ChainResult, path: Path) -> Path:
    """Write `result` to `path`; the file appears whole or not at all."""
    tree = result.tree.copy()
    tree.attrs[_ATTR] = json.dumps(
        {
            "format": FORMAT,
            "links": _plain_links(result.links),
            "verdict": result.verdict.as_dict(),
            "notes": list(result.notes),
            "provenance": dict(result.provenance),
        }
    )
    return write_tree(tree, path)


def load(path: Path) -> ChainResult:
    """Read a fitted chain.

    Raises
    ------
    FitError
        If the file is not one.
    """
    from cart_pkpd._fit.verdict import Verdict

    tree, record = read_tree(path, _ATTR, FORMAT, "a fitted chain from dose to DLT")
    return ChainResult(
        _links(record["links"]),
        tree,
        Verdict(**record["verdict"]),
        tuple(record["notes"]),
        record["provenance"],
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Prior):
        return {"kind": _KIND_OF[type(value)], **asdict(value)}
    if type(value) in _PARTS.values():
        return {k: _plain(v) for k, v in vars(value).items()}
    return list(value) if isinstance(value, tuple) else value


def _plain_links(links: Links) -> dict[str, Any]:
    out = {k: _plain(v) for k, v in vars(links).items() if k != "grade"}
    out["grade"] = None if links.grade is None else describe(Layer(grade=links.grade))
    return out


def _links(record: Mapping[str, Any]) -> Links:
    given = dict(record)
    for name, made in _PARTS.items():
        given[name] = made(
            **{k: prior_from(v) if isinstance(v, Mapping) else v for k, v in given[name].items()}
        )
    grade = given.pop("grade")
    return Links(
        **{
            **given,
            "cytokines": tuple(given["cytokines"]),
            "grade_exposure": prior_from(given["grade_exposure"]),
            "grade": None if grade is None else layer_from(grade).grade,
        }
    )
