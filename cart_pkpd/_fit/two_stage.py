"""A population from patients fitted one by one: the two-stage methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from cart_pkpd._core.errors import FitError
from cart_pkpd._core.validate import one_of
from cart_pkpd._fit.least_squares import (
    Outcome,
    checked_errors,
    determined,
    fitted,
    names_to_estimate,
)
from cart_pkpd._fit.objective import Matrix, Problem, Vector
from cart_pkpd._fit.slopes import slope_of
from cart_pkpd._stats.design import Design
from cart_pkpd.models import Model

METHODS: Mapping[str, str] = {
    "global": "global two-stage: estimates weighted by what each patient's records tell",
    "standard": "standard two-stage: mean and covariance of the patients' estimates",
}
_MOST_STEPS = 20_000
_SETTLED = 1e-9
_START_VARIANCE = 0.25
_Z95 = 1.959963984540054


@dataclass(frozen=True, eq=False)
class Normal:
    """What was found of the patients' distribution on the free scale.

    Attributes
    ----------
    mean : ndarray, shape (m,)
        Population mean.
    covariance : ndarray, shape (m, m)
        Between patients.
    of_mean : ndarray, shape (m, m)
        Covariance of the mean's estimate.
    individual : ndarray, shape (k, m)
        What is expected of each patient.
    """

    mean: Vector
    covariance: Matrix
    of_mean: Matrix
    individual: Matrix


def two_stage(
    model: Model,
    design: Design,
    *,
    method: str = "global",
    error: str | None = None,
    errors: Mapping[str, str] | None = None,
    estimate: Sequence[str] | None = None,
) -> xr.Dataset:
    """Fit each patient, then describe their values; see ``fit.two_stage``."""
    one_of(method, METHODS, "two-stage method", error=FitError)
    names = names_to_estimate(model, estimate)
    residual = checked_errors(model, design, error, errors)
    outcomes = [
        fitted(Problem(model, design.among([i]), residual, names), "wald")
        for i in range(design.n_patients)
    ]
    used = np.array([_usable(o, method) for o in outcomes])
    if used.sum() < len(names) + 2:
        raise FitError(
            f"two_stage: {int(used.sum())} of {used.size} patients have records enough, and "
            f"{len(names)} parameters need {len(names) + 2}; estimate fewer (estimate=...) or use "
            "fit.laplace."
        )
    chosen = [o for o, u in zip(outcomes, used, strict=True) if u]
    free = np.array([o.free for o in chosen])
    information = np.array([o.information for o in chosen])
    found = standard(free) if method == "standard" else by_information(free, information)
    return _dataset(model, design, names, found, used, outcomes, METHODS[method])


def _usable(outcome: Outcome, method: str) -> bool:
    """Return whether a patient counts: wholly determined, or at all."""
    if method == "standard":
        return determined(outcome.status)
    return bool(outcome.information.any())


def standard(free: Matrix) -> Normal:
    """Return mean and covariance of the estimates.

    Parameters
    ----------
    free : ndarray, shape (k, m)
        Estimates on the free scale.
    """
    covariance = np.atleast_2d(np.cov(free, rowvar=False))
    return Normal(free.mean(axis=0), covariance, covariance / free.shape[0], free)


def by_information(free: Matrix, information: Matrix) -> Normal:
    """Return the likeliest normal of which estimates with known information are a sample.

    Parameters
    ----------
    free : ndarray, shape (k, m)
        Estimates on the free scale.
    information : ndarray, shape (k, m, m)
        Inverse covariance of each; it may be singular.
    """
    mean, covariance = _first_guess(free, information)
    told = np.einsum("kij,kj->ki", information, free)
    for _ in range(_MOST_STEPS):
        precision = np.linalg.inv(covariance)
        left = np.linalg.inv(information + precision)
        own = np.einsum("kij,kj->ki", left, told + precision @ mean)
        new_mean = own.mean(axis=0)
        away = own - new_mean
        new = (left + away[:, :, None] * away[:, None, :]).mean(axis=0)
        change = max(np.abs(new - covariance).max(), np.abs(new_mean - mean).max())
        mean, covariance = new_mean, new
        if change < _SETTLED:
            break
    # By Woodbury (covariance + 1/information)⁻¹, which a singular information allows too.
    weights = (
        information
        - information @ np.linalg.inv(information + np.linalg.inv(covariance)) @ information
    )
    return Normal(mean, covariance, np.linalg.inv(weights.sum(axis=0)), own)


def _first_guess(free: Matrix, information: Matrix) -> tuple[Vector, Matrix]:
    """Return medians over the patients whose records tell each parameter, and a wide spread."""
    told = np.einsum("kii->ki", information) > 1.0
    columns = [
        np.median(free[told[:, j], j]) if told[:, j].any() else np.median(free[:, j])
        for j in range(free.shape[1])
    ]
    return np.array(columns), np.eye(free.shape[1]) * _START_VARIANCE


def _dataset(
    model: Model,
    design: Design,
    names: Sequence[str],
    found: Normal,
    used: np.ndarray,
    outcomes: Sequence[Outcome],
    words: str,
) -> xr.Dataset:
    parameters = [model.parameters[n] for n in names]

    def natural(free: Vector) -> list[float]:
        with np.errstate(over="ignore"):
            return [float(p.to_natural(v)) for p, v in zip(parameters, free, strict=True)]

    se, omega = np.sqrt(np.diag(found.of_mean)), np.sqrt(np.diag(found.covariance))
    slopes = [slope_of(p, v) for p, v in zip(parameters, found.mean, strict=True)]
    individual = np.full((used.size, len(names)), np.nan)
    individual[used] = [natural(row) for row in found.individual]
    return xr.Dataset(
        {
            "typical": ("parameter", natural(found.mean)),
            "stderr": ("parameter", slopes * se),
            "lower": ("parameter", natural(found.mean - _Z95 * se)),
            "upper": ("parameter", natural(found.mean + _Z95 * se)),
            "omega": ("parameter", omega),
            "correlation": (("parameter", "other"), found.covariance / np.outer(omega, omega)),
            "individual": (("id", "parameter"), individual),
            "used": ("id", used),
            "status": ("id", np.array([o.status for o in outcomes])),
        },
        coords={
            "id": design.ids,
            "parameter": np.array(names),
            "other": np.array(names),
            "unit": ("parameter", np.array([p.unit for p in parameters])),
            "label": ("parameter", np.array([p.about for p in parameters])),
        },
        attrs={"model": model.name or type(model).__name__, "method": words},
    )
