"""A fitted chain on disk: one netCDF file of arrays and plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cart_pkpd._crs.files import describe, layer_from
from cart_pkpd._crs.layer import Layer
from cart_pkpd._dose.chained import ChainResult
from cart_pkpd._dose.links import Links, PeakPriors, Toxicity
from cart_pkpd._dose.power import PowerPriors
from cart_pkpd._fit import sampled
from cart_pkpd._stats.priors import prior_from

FORMAT = 1
_RECORD = "cart_pkpd_dose_chain"
_PARTS: Mapping[str, Any] = {"toxicity": Toxicity, "exposure": PowerPriors, "peaks": PeakPriors}


def save(result: ChainResult, path: Path) -> Path:
    """Write `result` to `path`; the file appears whole or not at all."""
    return sampled.save(result, path, _RECORD, FORMAT, {"links": _plain_links(result.links)})


def load(path: Path) -> ChainResult:
    """Read a fitted chain.

    Raises
    ------
    FitError
        If the file is not one.
    """
    fields, record = sampled.load(path, _RECORD, FORMAT, "a fitted chain from dose to DLT")
    return ChainResult(links=_links(record["links"]), **fields)


def _plain_links(links: Links) -> dict[str, Any]:
    out = {k: sampled.plain(v) for k, v in vars(links).items() if k != "grade"}
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
