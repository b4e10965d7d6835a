"""Least squares through lmfit, one patient at a time or all records as one.

Where a search begins, each quantified record gives the residual ``z`` of the residual error
and a censored one ``sqrt(-2 ln P)``, with P the probability of lying beyond its limit. From
the best of several starts the likelihood itself is maximised over parameters and scatter, so
that censored records and errors that grow with the level count as they should; with a
log-normal error and nothing censored that is ordinary least squares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._core.errors import FitError
from cart_pkpd._core.validate import as_names, one_of
from cart_pkpd._fit.objective import HUGE, Matrix, Problem, Vector
from cart_pkpd._fit.profile import profile
from cart_pkpd._fit.search import best, hessian
from cart_pkpd._fit.slopes import slope_of
from cart_pkpd._stats.agreement import check_measures, check_units, check_values
from cart_pkpd._stats.design import Design
from cart_pkpd._stats.error import ErrorModel
from cart_pkpd._stats.population import error_models, population
from cart_pkpd.models import Model

METHODS = ("individual", "pooled")
INTERVALS: Mapping[str, str] = {
    "wald": "95 % Wald on the free scale",
    "profile": "95 % profile likelihood",
}
# A standard error of 2 on the log scale spans a factor of 2500: nothing was learnt.
_UNDETERMINED = 2.0
# The least curvature, relative to the largest, that differences of slopes can tell from none.
_FLAT = 1e-9
_AGAIN = 4
_Z95 = 1.959963984540054
# A robust variance below this share of the usual one is what the search left of slopes of 0.
_ALIKE = 1e-5
ON_THE_CURVE = "the records lie on the curve, so that they have no standard errors"


@dataclass(frozen=True, eq=False)
class Outcome:
    """Estimates of one fit on the free scale, or why there are none.

    Attributes
    ----------
    free, lower, upper : ndarray, shape (m,)
        Estimates and their 95 % limits.
    covariance, robust : ndarray, shape (m, m)
        Of the estimates; `robust` allows for patients whose records belong together.
    information : ndarray, shape (m, m)
        Curvature of −ln likelihood by the parameters, the scatter following; 0 in directions of
        which the records tell nothing.
    """

    status: str
    free: Vector
    lower: Vector
    upper: Vector
    covariance: Matrix
    robust: Matrix
    information: Matrix
    sigma: dict[int, float] = field(default_factory=dict)
    loglik: float = np.nan


def least_squares(
    model: Model,
    design: Design,
    *,
    method: str = "individual",
    error: str | None = None,
    errors: Mapping[str, str] | None = None,
    estimate: Sequence[str] | None = None,
    interval: str = "wald",
) -> xr.Dataset:
    """Fit a model by least squares with censored records; see ``fit.least_squares``."""
    one_of(method, METHODS, "least-squares method", error=FitError)
    one_of(interval, INTERVALS, "interval", error=FitError)
    names = names_to_estimate(model, estimate)
    residual = checked_errors(model, design, error, errors)
    problems = {k: Problem(model, g, residual, names) for k, g in _groups(design, method).items()}
    outcomes = [fitted(problem, interval) for problem in problems.values()]
    found = _dataset(model, design, names, problems, outcomes)
    found.attrs["interval"] = INTERVALS[interval]
    return found if method == "pooled" else found.drop_vars("stderr_robust")


def names_to_estimate(model: Model, estimate: Sequence[str] | None) -> tuple[str, ...]:
    """Return the parameters to estimate; FitError for one that is unknown or fixed."""
    names = model.estimated
    if estimate is not None:
        names = as_names(estimate, "estimate", such_as="['cmax', 'alpha']")
    if not names:
        raise FitError("estimate: name at least one parameter; leave it out for all.")
    twice = [n for n in names if names.count(n) > 1]
    if twice:
        raise FitError(f"estimate: {twice[0]!r} is named twice; name each once.")
    model.check_names(names, "estimate")
    held = [n for n in names if n in model.fixed]
    if held:
        raise FitError(f"estimate: {held[0]!r} is fixed; leave it out or use a model with it free.")
    return names


def checked_errors(
    model: Model, design: Design, error: str | None, errors: Mapping[str, str] | None
) -> tuple[ErrorModel, ...]:
    """Return the residual error of every measure; FitError if model and records do not fit."""
    residual = error_models(population(error=error, errors=errors), design)
    check_measures(model, design)
    check_units(model, design)
    check_values(residual, design)
    return residual


def _groups(design: Design, method: str) -> dict[str, Design]:
    if method == "pooled":
        return {"pooled": design}
    return {str(i): design.among([k]) for k, i in enumerate(design.ids)}


def fitted(problem: Problem, interval: str) -> Outcome:
    """Return the estimates of one group, or why there are none."""
    too_few = _too_few(problem)
    if too_few:
        return _none(too_few, problem)
    x, value = best(problem)
    for last in [*[False] * _AGAIN, True]:
        if not np.isfinite(value) or value >= HUGE:
            return _none("the optimiser found no finite likelihood", problem)
        curved, moved = hessian(x, problem)
        covariance = _covariance(curved, moved, x.size)
        stderr = np.sqrt(np.diag(covariance))[: len(problem.names)]
        status, exact = _status(stderr, problem, x), _on_the_curve(x, problem)
        if exact:  # what is left is the least scatter that is allowed, and no number of the data
            covariance, stderr = np.full_like(covariance, np.nan), np.full_like(stderr, np.nan)
        lower, upper = x[: stderr.size] - _Z95 * stderr, x[: stderr.size] + _Z95 * stderr
        if interval == "wald" or exact:
            break
        whole = np.zeros((x.size, x.size))
        whole[np.ix_(moved, moved)] = curved
        limits = profile(x, value, stderr, whole, problem, final=last)
        lower, upper = limits.lower, limits.upper
        if limits.better is None:
            break
        x, value = limits.better, problem.minus_loglik(limits.better)
    return Outcome(
        status=status,
        free=x[: stderr.size],
        lower=lower,
        upper=upper,
        covariance=covariance[: stderr.size, : stderr.size],
        robust=_robust(x, covariance, problem)[: stderr.size, : stderr.size],
        information=_information(curved, stderr.size),
        sigma=_first_sigmas(x, problem),
        loglik=-value,
    )


def _none(status: str, problem: Problem) -> Outcome:
    m = len(problem.names)
    nothing, none = np.full(m, np.nan), np.full((m, m), np.nan)
    return Outcome(status, nothing, nothing, nothing, none, none, np.zeros((m, m)))


def _first_sigmas(x: Vector, problem: Problem) -> dict[int, float]:
    values = problem.sigmas(x)
    present = {m for m, _ in problem.scatters}
    return {m: values[m][problem.errors[m].sigmas[0].name] for m in present}


def _covariance(curved: Matrix, moved: list[int], size: int) -> Matrix:
    """Return the covariance of a vector from the curvature by some of its places.

    A direction in which the likelihood is flat, or not at a maximum, leaves unknown (NaN) the
    parameters that it moves and no others.
    """
    out = np.full((size, size), np.nan)
    if not np.isfinite(curved).all():
        return out
    values, vectors = np.linalg.eigh(curved)
    known = values > _FLAT * values[-1]
    inner = (vectors[:, known] / values[known]) @ vectors[:, known].T
    # The variance of what a flat direction moves is at least this.
    least = (vectors[:, ~known] ** 2).sum(axis=1) / (_FLAT * max(values[-1], 1e-300))
    lost = least > _UNDETERMINED**2
    inner[lost, :] = inner[:, lost] = np.nan
    out[np.ix_(moved, moved)] = inner
    return out


def _information(curved: Matrix, m: int) -> Matrix:
    """Return what the records tell of the first m places when the others follow."""
    if not np.isfinite(curved).all():
        return np.zeros((m, m))
    values, vectors = np.linalg.eigh(curved)
    whole = (vectors * np.where(values > _FLAT * values[-1], values, 0.0)) @ vectors.T
    across = whole[:m, m:]
    return np.asarray(whole[:m, :m] - across @ np.linalg.pinv(whole[m:, m:]) @ across.T)


def _robust(x: Vector, covariance: Matrix, problem: Problem) -> Matrix:
    """Return the covariance if only patients, not records, are independent of each other.

    H⁻¹ (Σ gᵢ gᵢ') H⁻¹ with the slopes gᵢ of each patient's log-likelihood (Liang & Zeger 1986,
    Biometrika 73:13). NaN for one patient, whose slope is 0 and tells nothing of its scatter, and
    for patients who are all alike.
    """
    scores = np.nan_to_num(problem.scores(x))
    of = problem.records.patient
    by_patient = np.stack([scores[of == i].sum(axis=0) for i in np.unique(of)])
    known = np.isfinite(np.diag(covariance))
    out = np.full_like(covariance, np.nan)
    if len(by_patient) < 2:
        return out
    inner = covariance[np.ix_(known, known)]
    middle = by_patient[:, known].T @ by_patient[:, known]
    found = inner @ middle @ inner
    alike = np.diag(found) < _ALIKE * np.diag(inner)
    found[alike, :] = found[:, alike] = np.nan
    out[np.ix_(known, known)] = found
    return out


def _too_few(problem: Problem) -> str:
    """Return why there is no fit: every parameter and scatter needs a record of its own."""
    n = int(problem.quantified.sum())
    m = len(problem.names)
    if n < m + len(problem.scatters):
        return f"{n} quantified records cannot determine {m} parameters and their scatter"
    for m, _ in problem.scatters:
        if not (problem.quantified & (problem.records.measure == m)).any():
            return f"no quantified record of {problem.records.endpoints[m]} shows its scatter"
    return ""


def _status(stderr: Vector, problem: Problem, x: Vector) -> str:
    bad = [n for n, s in zip(problem.names, stderr, strict=True) if not s < _UNDETERMINED]
    said = [f"the data do not determine {', '.join(bad)}"] if bad else []
    said += [ON_THE_CURVE] if _on_the_curve(x, problem) else []
    return f"fitted, but {'; '.join(said)}" if said else "ok"


def determined(status: str) -> bool:
    """Return whether the records determine every parameter, by the status of a fit."""
    return status in ("ok", f"fitted, but {ON_THE_CURVE}")


def _on_the_curve(x: Vector, problem: Problem) -> bool:
    """Return whether the records of a measure have no scatter but the least that is allowed."""
    scatters = problem.can_move(x)[len(problem.names) :]
    of = np.array([m for m, _ in problem.scatters])
    return any(not scatters[of == m].any() for m in np.unique(of))


def _dataset(
    model: Model,
    design: Design,
    names: Sequence[str],
    problems: Mapping[str, Problem],
    outcomes: list[Outcome],
) -> xr.Dataset:
    ids, groups = list(problems), list(problems.values())
    errors = groups[0].errors
    parameters = [model.parameters[n] for n in names]

    def natural(values: Sequence[Vector]) -> NDArray[np.float64]:
        # A limit of infinity is what an enormous standard error says.
        with np.errstate(over="ignore"):
            columns = [
                p.to_natural(v) for p, v in zip(parameters, np.transpose(values), strict=True)
            ]
        return np.stack(columns, axis=-1)

    free = np.array([o.free for o in outcomes])
    slopes = [[slope_of(p, v) for p, v in zip(parameters, row, strict=True)] for row in free]
    by = {
        "estimate": natural([o.free for o in outcomes]),
        "stderr": slopes * np.sqrt([np.diag(o.covariance) for o in outcomes]),
        "stderr_robust": slopes * np.sqrt([np.diag(o.robust) for o in outcomes]),
        "lower": natural([o.lower for o in outcomes]),
        "upper": natural([o.upper for o in outcomes]),
    }
    sigma = np.array([[o.sigma.get(m, np.nan) for m in range(len(errors))] for o in outcomes])
    n_parameters = np.array([g.size for g in groups])
    loglik = np.array([o.loglik for o in outcomes])
    dataset = xr.Dataset(
        {
            **{k: (("id", "parameter"), v) for k, v in by.items()},
            "sigma": (("id", "measure"), sigma) if design.several else ("id", sigma[:, 0]),
            "n_obs": ("id", np.array([g.records.n_obs for g in groups])),
            "n_censored": ("id", np.array([int((~g.quantified).sum()) for g in groups])),
            "loglik": ("id", loglik),
            "aic": ("id", 2 * n_parameters - 2 * loglik),
            "status": ("id", np.array([o.status for o in outcomes])),
        },
        coords={
            "id": np.array(ids),
            "parameter": np.array(names),
            "unit": ("parameter", np.array([p.unit for p in parameters])),
            "label": ("parameter", np.array([p.about for p in parameters])),
        },
    )
    if design.several:
        dataset = dataset.assign_coords(measure=np.array(design.endpoints))
    dataset.attrs = {
        "endpoint": ", ".join(design.endpoints),
        "units": ", ".join(m.unit for m in design.measures),
        "model": model.name or type(model).__name__,
        "error": ", ".join(error.label for error in errors),
    }
    return dataset
