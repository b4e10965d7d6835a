"""Which fits may stand in one ranking: the same records, the same kind of fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from cart_pkpd._core.errors import FitError
from cart_pkpd._core.validate import as_mapping, shown
from cart_pkpd._fit.fitted import PopulationFit
from cart_pkpd._stats.design import Design

BAYES, LIKELIHOOD, LEAST_SQUARES = "bayes", "likelihood", "least squares"
KINDS = (BAYES, LIKELIHOOD, LEAST_SQUARES)
_SUCH_AS = "{'stein': first, 'joint': second}"


def kind_of(fit: Any, name: str) -> str:
    """Return which kind of fit this is.

    Raises
    ------
    FitError
        For anything that is no fit.
    """
    from cart_pkpd._fit.laplace_result import LaplaceResult

    if isinstance(fit, LaplaceResult):
        return LIKELIHOOD
    if isinstance(fit, PopulationFit):
        return BAYES
    if isinstance(fit, xr.Dataset) and {"loglik", "aic", "estimate", "status"} <= set(fit):
        return LEAST_SQUARES
    raise FitError(
        f"{name!r}: give a fit, from fit.bayes(...), fit.laplace(...), fit.least_squares(...) or "
        f"fit.load(...), not {shown(fit)}."
    )


def by_kind(fits: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the fits of each kind, in the order given; check that their records are the same.

    Raises
    ------
    FitError
        If there is no fit, one is none, or the fits use different records.
    """
    fits = as_mapping(fits, "fits by name", such_as=_SUCH_AS)
    if not fits:
        raise FitError("no fit to compare.")
    found: dict[str, dict[str, Any]] = {}
    for name, fit in fits.items():
        found.setdefault(kind_of(fit, name), {})[name] = fit
    populations = {n: f for n, f in fits.items() if isinstance(f, PopulationFit)}
    _check_same_records(populations)
    _check_same_totals(found.get(LEAST_SQUARES, {}), populations)
    return {kind: found[kind] for kind in KINDS if kind in found}


def _check_same_records(fits: Mapping[str, Any]) -> None:
    if not fits:
        return
    (first, reference), *others = fits.items()
    mine = reference.structure.design
    for name, fit in others:
        design = fit.structure.design
        if not same_records(mine, design):
            raise FitError(
                f"{first!r} and {name!r} were fitted to different records "
                f"({_said(mine)} and {_said(design)}); "
                f"only fits of the same data can be compared.{_why(reference, fit)}"
            )


def same_records(one: Design, other: Design) -> bool:
    """Return True for two designs with the same measurements of the same endpoints."""
    return (
        one.endpoints == other.endpoints
        and np.array_equal(one.measure, other.measure)
        and np.array_equal(one.row, other.row)
        and np.array_equal(one.dv, other.dv)
        and np.array_equal(one.code, other.code)
    )


def _why(reference: Any, fit: Any) -> str:
    how = [f.structure.population.censoring.upper() for f in (reference, fit)]
    if how[0] == how[1]:
        return ""
    return (
        f" They differ in what was done with censored records ({how[0]} and {how[1]}): "
        "fit them by the same censoring method."
    )


def _said(design: Design) -> str:
    return f"{', '.join(design.endpoints)}: {design.n_obs}"


def _check_same_totals(fits: Mapping[str, xr.Dataset], populations: Mapping[str, Any]) -> None:
    """Least squares keep no records: compare their endpoints and numbers of records."""
    said = {n: (str(f.attrs.get("endpoint")), int(f["n_obs"].sum())) for n, f in fits.items()}
    for name, fit in populations.items():
        design = fit.structure.design
        said[name] = (", ".join(design.endpoints), design.n_obs)
    if not fits or len(set(said.values())) == 1:
        return
    (first, mine), *others = said.items()
    name, other = next((n, o) for n, o in others if o != mine)
    raise FitError(
        f"{first!r} and {name!r} were fitted to different records ({mine[0]}: {mine[1]} and "
        f"{other[0]}: {other[1]}); only fits of the same data can be compared."
    )
