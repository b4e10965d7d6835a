"""Patient-level covariates as columns of numbers, one per coefficient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._core.errors import FitError
from cart_pkpd._core.validate import did_you_mean


@dataclass(frozen=True, eq=False)
class Effect:
    """A covariate's effect on one parameter, as a column of numbers per patient."""

    parameter: str
    covariate: str
    kind: str
    reference: float | str
    column: NDArray[np.float64]
    name: str
    level: str = ""


def effects(
    covariates: Mapping[str, Sequence[str]], subjects: xr.Dataset
) -> tuple[tuple[Effect, ...], list[str]]:
    """Return the effect columns of every covariate, and what was decided on the way.

    Parameters
    ----------
    covariates : mapping of str to sequence of str
        Parameter -> patient-level variables.
    subjects : xr.Dataset
        Patient-level variables, dim id.

    Raises
    ------
    FitError
        For a variable that is not there or does not vary.
    """
    columns: list[Effect] = []
    notes: list[str] = []
    for parameter, named in covariates.items():
        for covariate in named:
            found, said = _columns(parameter, covariate, subjects)
            columns += found
            notes += said
    return tuple(columns), notes


def _columns(
    parameter: str, covariate: str, subjects: xr.Dataset
) -> tuple[list[Effect], list[str]]:
    if covariate not in subjects:
        raise FitError(
            f"covariates: the trial has no patient-level variable {covariate!r}."
            f"{did_you_mean(covariate, [str(v) for v in subjects])} "
            f"It has: {', '.join(str(v) for v in subjects)}."
        )
    values = subjects[covariate]
    if values.dtype.kind in "fiub":
        return _numeric(parameter, covariate, values)
    return _categorical(parameter, covariate, values)


def _numeric(
    parameter: str, covariate: str, values: xr.DataArray
) -> tuple[list[Effect], list[str]]:
    x = values.to_numpy().astype(float)
    known = x[np.isfinite(x)]
    if known.size == 0 or np.ptp(known) == 0:
        raise FitError(f"covariates: {covariate!r} has one value or none, so it has no effect.")
    if set(np.unique(known)) <= {0.0, 1.0}:
        return _categorical(parameter, covariate, values.copy(data=_as_text(x)))
    reference = float(np.median(known))
    missing = int((~np.isfinite(x)).sum())
    notes = [f"{covariate}: {missing} missing set to the median {reference:.4g}"] if missing else []
    filled = np.where(np.isfinite(x), x, reference)
    if (known > 0).all():
        column, kind = np.log(filled / reference), "power"
    else:
        column, kind = filled - reference, "linear"
    return [
        Effect(parameter, covariate, kind, reference, column, f"{parameter}_{covariate}")
    ], notes


def _as_text(x: NDArray[np.float64]) -> NDArray[np.str_]:
    return np.array([f"{v:g}" if np.isfinite(v) else "" for v in x])


def _categorical(
    parameter: str, covariate: str, values: xr.DataArray
) -> tuple[list[Effect], list[str]]:
    text = values.to_numpy().astype(str)
    levels, counts = np.unique(text[text != ""], return_counts=True)
    if levels.size < 2:
        raise FitError(f"covariates: {covariate!r} has one value or none, so it has no effect.")
    reference = str(levels[np.argmax(counts)])
    missing = int((text == "").sum())
    notes = [f"{covariate}: {missing} missing set to {reference!r}"] if missing else []
    effects = [
        Effect(
            parameter,
            covariate,
            "category",
            reference,
            (text == level).astype(float),
            f"{parameter}_{covariate}_{level}",
            str(level),
        )
        for level in levels
        if level != reference
    ]
    return effects, notes
