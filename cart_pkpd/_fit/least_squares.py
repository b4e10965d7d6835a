"""Least squares through lmfit, one patient at a time or all records as one.

Each quantified record gives the residual ``z`` of the residual error; a censored record
gives ``sqrt(-2 ln P)`` with P the probability of lying beyond its limit, so that the sum of
squares is −2 ln likelihood up to terms in sigma, which is re-estimated between fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from lmfit import Minimizer, Parameters
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from cart_pkpd._core.errors import FitError
from cart_pkpd._core.validate import one_of
from cart_pkpd._stats.agreement import check_units, check_values
from cart_pkpd._stats.design import QUANTIFIED, Design
from cart_pkpd._stats.error import ErrorModel, error_model
from cart_pkpd._stats.likelihood import pointwise_loglik, record_loglik
from cart_pkpd.models import Model, Parameter

METHODS = ("individual", "pooled")
_SIGMA_START, _SIGMA_FLOOR, _SIGMA_ROUNDS = 0.5, 0.001, 3
_STARTS, _START_SPREAD, _START_SEED = 6, 0.4, 1
# A standard error of 2 on the log scale spans a factor of 2500: nothing was learnt.
_UNDETERMINED = 2.0
_LOWEST, _HIGHEST = -1e4, 0.0
_Z95 = 1.959963984540054


@dataclass(frozen=True, eq=False)
class _Records:
    """The records of one fit: arrays of equal length."""

    time: NDArray[np.float64]
    dv: NDArray[np.float64]
    code: NDArray[np.int64]
    low: NDArray[np.float64]

    @property
    def quantified(self) -> NDArray[np.bool_]:
        return self.code == QUANTIFIED


@dataclass(frozen=True, eq=False)
class _Outcome:
    """Estimates of one fit on the free scale, or why there are none."""

    status: str
    free: dict[str, float]
    stderr: dict[str, float]
    sigma: float = np.nan
    loglik: float = np.nan


def least_squares(
    model: Model,
    design: Design,
    *,
    method: str = "individual",
    error: str = "lognormal",
    estimate: Sequence[str] | None = None,
) -> xr.Dataset:
    """Fit a model by least squares with censored records.

    Parameters
    ----------
    model : Model
        Its typical values are the starting values where the data suggest none, and the
        values of parameters that are not estimated.
    design : Design
        Records of one endpoint.
    method : {"individual", "pooled"}
        One fit per patient, or one for all records together (naive pooled).
    error : str
        ``"lognormal"`` or ``"proportional"``, whose single parameter is a relative scatter.
    estimate : sequence of str, optional
        Parameters to estimate; by default all that are not fixed.

    Returns
    -------
    xr.Dataset
        Dims id (the label ``"pooled"`` for the pooled method) and parameter: ``estimate``,
        ``stderr`` (delta method), ``lower``, ``upper`` (95 %, Wald on the free scale), and per
        id ``sigma``, ``n_obs``, ``n_censored``, ``loglik`` and ``aic`` (at the scatter that
        maximises the likelihood), ``status`` (``"ok"``, or why there is no estimate or no trust
        in it). Parameters held at their typical value are not listed.

    Raises
    ------
    FitError
        For unknown names or an error model with more than one parameter.
    """
    one_of(method, METHODS, "least-squares method", error=FitError)
    residual = error_model(one_of(error, ("lognormal", "proportional"), "error", error=FitError))
    names = tuple(estimate) if estimate is not None else model.estimated
    model.check_names(names, "estimate")
    check_units(model, design)
    check_values(residual, design)
    groups = _groups(design, method)
    outcomes = [_fit(model, residual, names, records) for records in groups.values()]
    return _dataset(model, design, names, list(groups), list(groups.values()), outcomes, residual)


def _groups(design: Design, method: str) -> dict[str, _Records]:
    def records(rows: NDArray[np.bool_]) -> _Records:
        return _Records(design.time[rows], design.dv[rows], design.code[rows], design.low[rows])

    if method == "pooled":
        return {"pooled": records(np.ones(design.n_obs, dtype=bool))}
    return {str(i): records(design.patient == k) for k, i in enumerate(design.ids)}


def _fit(model: Model, error: ErrorModel, names: Sequence[str], records: _Records) -> _Outcome:
    too_few = _too_few(names, records)
    if too_few:
        return _Outcome(too_few, {}, {})
    sigma = _SIGMA_START
    tried = [_minimise(s, model, error, records, sigma) for s in _starts(model, names, records)]
    fitted = min(tried, key=lambda f: float(f.chisqr))
    for _ in range(_SIGMA_ROUNDS):
        sigma = _sigma(_natural(model, fitted.params), model, error, records, len(names))
        fitted = _minimise(fitted.params, model, error, records, sigma)
    if not fitted.success:
        return _Outcome(f"the optimiser did not converge: {fitted.message}", {}, {})
    free = {n: float(fitted.params[n].value) for n in names}
    stderr = {n: float(fitted.params[n].stderr or np.nan) for n in names}
    loglik = _best_loglik(_natural(model, fitted.params), model, error, records)
    known = all(s < _UNDETERMINED for s in stderr.values())
    return _Outcome("ok" if known else _no_stderr(stderr), free, stderr, sigma, loglik)


def _minimise(
    start: Parameters, model: Model, error: ErrorModel, records: _Records, sigma: float
) -> Any:
    problem = Minimizer(
        _residuals, start, fcn_args=(model, error, records, sigma), scale_covar=False
    )
    return problem.minimize(method="leastsq", max_nfev=400 * (len(start) + 1))


def _too_few(names: Sequence[str], records: _Records) -> str:
    """Return why there is no fit: the scatter needs a record more than the parameters."""
    n = int(records.quantified.sum())
    if n > len(names):
        return ""
    return f"{n} quantified records cannot determine {len(names)} parameters and their scatter"


def _no_stderr(stderr: dict[str, float]) -> str:
    bad = ", ".join(n for n, s in stderr.items() if not s < _UNDETERMINED)
    return f"fitted, but the data do not determine {bad}"


def _starts(model: Model, names: Sequence[str], records: _Records) -> list[Parameters]:
    """Return where to start: the data's own guess, and points around it.

    A hard switch at the peak makes local optima; the same points are tried for everyone.
    """
    seen = records.quantified & (records.dv > 0)
    guess = model.guess(records.time[seen], records.dv[seen]) if seen.any() else {}
    centre = {
        n: float(model.parameters[n].to_free(guess.get(n, model.parameters[n].typical)))
        for n in names
    }
    shifts = np.random.default_rng(_START_SEED).standard_normal((_STARTS, len(names)))
    return [
        _parameters(model, dict(zip(names, np.array(list(centre.values())) + s, strict=True)))
        for s in [np.zeros(len(names)), *(_START_SPREAD * shifts)]
    ]


def _parameters(model: Model, free: dict[str, float]) -> Parameters:
    parameters = Parameters()
    for name, value in free.items():
        parameters.add(name, value=float(value), **_bounds(model.parameters[name]))
    return parameters


def _bounds(parameter: Parameter) -> dict[str, float]:
    """Keep the search within what numbers can hold, far from any real value."""
    if parameter.scale == "identity":
        return {}
    centre = float(parameter.to_free(parameter.typical))
    return {"min": centre - 12.0, "max": centre + 12.0}


def _natural(model: Model, free: Parameters) -> dict[str, Any]:
    typical: dict[str, Any] = {k: v for k, v in model.typical().items() if k not in model.fixed}
    return typical | {n: float(model.parameters[n].to_natural(p.value)) for n, p in free.items()}


def _residuals(
    free: Parameters, model: Model, error: ErrorModel, records: _Records, sigma: float
) -> NDArray[np.float64]:
    sigmas = {error.sigmas[0].name: sigma}
    f = np.asarray(model.log_predict(records.time, _natural(model, free)), dtype=float)
    out = np.empty(records.time.size)
    for code in np.unique(records.code):
        rows = records.code == code
        if code == QUANTIFIED:
            out[rows] = error.z(records.dv[rows], f[rows], sigmas)
        else:
            log_p = record_loglik(
                error, int(code), records.dv[rows], records.low[rows], f[rows], sigmas
            )
            out[rows] = np.sqrt(-2.0 * np.clip(log_p, _LOWEST, _HIGHEST))
    return np.nan_to_num(out, nan=1e3, posinf=1e3, neginf=-1e3)


def _sigma(
    values: dict[str, Any],
    model: Model,
    error: ErrorModel,
    records: _Records,
    n_estimated: int,
) -> float:
    """Return the scatter of the quantified residuals, with the usual degrees of freedom."""
    q = records.quantified
    f = np.asarray(model.log_predict(records.time[q], values), dtype=float)
    z = error.z(records.dv[q], f, {error.sigmas[0].name: 1.0})
    return max(float(np.sqrt(np.sum(z**2) / (q.sum() - n_estimated))), _SIGMA_FLOOR)


def _best_loglik(
    values: dict[str, Any], model: Model, error: ErrorModel, records: _Records
) -> float:
    """Return ln likelihood at these parameters with the scatter that maximises it (for AIC)."""
    f = np.asarray(model.log_predict(records.time, values), dtype=float)
    name = error.sigmas[0].name

    def negative(ln_sigma: float) -> float:
        return -float(pointwise_loglik(error, records, f, {name: np.exp(ln_sigma)}).sum())

    limits = (np.log(_SIGMA_FLOOR / 10), np.log(100.0))
    return -float(minimize_scalar(negative, bounds=limits, method="bounded").fun)


def _dataset(
    model: Model,
    design: Design,
    names: Sequence[str],
    ids: list[str],
    groups: list[_Records],
    outcomes: list[_Outcome],
    error: ErrorModel,
) -> xr.Dataset:
    columns = {
        k: np.full((len(ids), len(names)), np.nan) for k in ("estimate", "stderr", "lower", "upper")
    }
    for i, outcome in enumerate(outcomes):
        for j, name in enumerate(names):
            if name not in outcome.free:
                continue
            p, free, se = model.parameters[name], outcome.free[name], outcome.stderr[name]
            columns["estimate"][i, j] = p.to_natural(free)
            # A bound of infinity is what an enormous standard error says.
            with np.errstate(over="ignore"):
                columns["lower"][i, j] = p.to_natural(free - _Z95 * se)
                columns["upper"][i, j] = p.to_natural(free + _Z95 * se)
            columns["stderr"][i, j] = se * _slope(p, free)
    n_parameters = len(names) + 1
    dataset = xr.Dataset(
        {
            **{k: (("id", "parameter"), v) for k, v in columns.items()},
            "sigma": ("id", np.array([o.sigma for o in outcomes])),
            "n_obs": ("id", np.array([g.time.size for g in groups])),
            "n_censored": ("id", np.array([int((~g.quantified).sum()) for g in groups])),
            "loglik": ("id", np.array([o.loglik for o in outcomes])),
            "aic": ("id", np.array([2 * n_parameters - 2 * o.loglik for o in outcomes])),
            "status": ("id", np.array([o.status for o in outcomes])),
        },
        coords={
            "id": np.array(ids),
            "parameter": np.array(names),
            "unit": ("parameter", np.array([model.parameters[n].unit for n in names])),
            "label": ("parameter", np.array([model.parameters[n].about for n in names])),
        },
    )
    dataset.attrs = {
        "endpoint": design.endpoint,
        "units": design.unit,
        "model": model.name or type(model).__name__,
        "error": error.label,
        "interval": "95 % Wald on the free scale",
    }
    return dataset


def _slope(parameter: Parameter, free: float) -> float:
    """Return d natural / d free."""
    h = 1e-6
    return float((parameter.to_natural(free + h) - parameter.to_natural(free - h)) / (2 * h))
