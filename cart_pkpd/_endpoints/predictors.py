"""Predictors of outcomes: terms with unit and reference, and their columns of numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._core.errors import DataError, ModelError
from cart_pkpd._core.validate import shown
from cart_pkpd._crs.terms import Term, covariate
from cart_pkpd._endpoints.groups import Patients, per_patient, variable

Floats = NDArray[np.float64]
Given = Term | str


def listed_of(given: Sequence[Given] | Given) -> tuple[Given, ...]:
    """Return predictors as a tuple; one alone may be given without brackets.

    Raises
    ------
    DataError
        If they are neither names nor terms.
    """
    if isinstance(given, Term | str):
        return (given,)
    if isinstance(given, Sequence):
        return tuple(given)
    raise DataError(
        "predictors are names or terms, such as ['cmax', crs.covariate('dose', reference=1e7)], "
        f"not {shown(given)}."
    )


def terms_of(given: Sequence[Given] | Given, found: xr.Dataset) -> tuple[Term, ...]:
    """Return terms; a name stands for the ln of a positive number over its geometric mean.

    Raises
    ------
    ModelError
        If a term is read from a course, or is there twice.
    DataError
        If a named variable is not known or has no value above 0.
    """
    listed = listed_of(given)
    made = tuple(_named(g, found) if isinstance(g, str) else g for g in listed)
    for term in made:
        if not isinstance(term, Term) or term.of_course:
            raise ModelError(
                f"a predictor must be a name or a patient-level term such as "
                f"crs.covariate('cmax', reference=1e4, unit='copies/µg'), not {term!r}."
            )
        if [t.name for t in made].count(term.name) > 1:
            raise ModelError(f"the predictor {term.name!r} is there twice; leave one out.")
    return made


def _named(name: str, found: xr.Dataset) -> Term:
    column = variable(found, name)
    if column.dtype.kind not in "fiub":
        raise DataError(
            f"{name} holds text, not numbers; use crs.category({name!r}, ...) for categories."
        )
    values = column.values.astype(float)
    known = values[np.isfinite(values)]
    if not known.size or (known <= 0).any():
        raise DataError(
            f"{name} has {'no value' if not known.size else 'a value of 0 or less'}, so no "
            f"logarithm; pass crs.covariate({name!r}, reference=..., scale='linear')."
        )
    centre = float(np.exp(np.log(known).mean()))
    unit = str(column.attrs.get("units") or "1")
    return covariate(name, reference=float(f"{centre:.2g}"), unit=unit)


def columns_of(terms: Sequence[Term], found: xr.Dataset) -> Floats:
    """Return the terms' values, shape (n, p); NaN where a patient has none."""
    made = [term.column(variable(found, term.source)).values.astype(float) for term in terms]
    return np.stack(made, axis=-1) if made else np.zeros((found.sizes["id"], 0))


def beside(ids: Sequence[str], patients: Patients | None, table: Patients) -> xr.Dataset:
    """Return the patients' variables in the order of `ids`, from `patients` or else the table.

    Raises
    ------
    DataError
        If a patient of the table is not among the patients.
    """
    found = per_patient(table if patients is None else patients)
    known = set(found["id"].values.tolist())
    missing = [i for i in ids if i not in known]
    if missing:
        raise DataError(
            f"patient {missing[0]!r} has an outcome but is not among the patients "
            f"({len(missing)} such); take both from the same trial."
        )
    return found.sel(id=list(ids))
