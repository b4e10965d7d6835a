"""Least squares through lmfit, one patient at a time or all records as one.

Where a search begins, each quantified record gives the residual ``z`` of the residual error
and a censored one ``sqrt(-2 ln P)``, with P the probability of lying beyond its limit. From
the best of several starts the likelihood itself is maximised over parameters and scatter, so
that censored records and errors that grow with the level count as they should; with a
log-normal error and nothing censored that is ordinary least squares.

Models given by equations are searched with the solver's own derivatives. Closed forms cost so
little that differences and, for the hard switch at their peak, a simplex serve them better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from lmfit import Minimizer, Parameters
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from cart_pkpd._core.errors import FitError
from cart_pkpd._core.validate import one_of
from cart_pkpd._fit.slopes import Predictor, curvature, elementwise, maximise, slope_of
from cart_pkpd._fit.start import guessed_measure
from cart_pkpd._stats.agreement import check_measures, check_units, check_values
from cart_pkpd._stats.design import QUANTIFIED, Design
from cart_pkpd._stats.error import ErrorModel, Sigma
from cart_pkpd._stats.likelihood import pointwise_loglik, record_loglik
from cart_pkpd._stats.population import error_models, population
from cart_pkpd._stats.predict import predict
from cart_pkpd.models import ClosedFormModel, Model, Parameter

METHODS = ("individual", "pooled")
_SIGMA_START = 0.5
# Exact data have no scatter; below this share of the level the likelihood has no bound.
_SIGMA_LEAST = 1e-3
_LN = "ln_"
_HUGE = 1e10
_MOST_EVALUATIONS = 6000
_CURVATURE_STEP = 1e-3
_NOTHING_LEFT = 1e-14
_WIDEST = 20.0
_STARTS, _START_SPREAD, _START_SEED = 6, 0.4, 1
# A standard error of 2 on the log scale spans a factor of 2500: nothing was learnt.
_UNDETERMINED = 2.0
_LOWEST, _HIGHEST = -1e4, 0.0
_Z95 = 1.959963984540054

type _Vector = NDArray[np.float64]
type _Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Problem:
    """What one fit works on: a model, the records of a group, and how they scatter."""

    model: Model
    records: Design
    errors: tuple[ErrorModel, ...]
    names: tuple[str, ...]

    @property
    def log(self) -> tuple[bool, ...]:
        """By measure: whether predictions are compared as ln."""
        return tuple(error.on_log for error in self.errors)

    @cached_property
    def predictor(self) -> Predictor | None:
        """Predictions with derivatives, of a model given by equations."""
        if isinstance(self.model, ClosedFormModel):
            return None
        return Predictor(self.model, self.records, self.names, self.log)

    @cached_property
    def on_log(self) -> NDArray[np.bool_]:
        return np.array(self.log)[self.records.measure]

    @cached_property
    def quantified(self) -> NDArray[np.bool_]:
        return self.records.code == QUANTIFIED

    @cached_property
    def scatters(self) -> list[tuple[int, Sigma]]:
        """Residual parameters of the measures that this group has."""
        present = np.unique(self.records.measure)
        return [(int(m), sigma) for m in present for sigma in self.errors[m].sigmas]

    @cached_property
    def parts(self) -> list[tuple[int, int, NDArray[np.int64]]]:
        """Measure, censoring code and positions of the records that share both."""
        both = np.stack([self.records.measure, self.records.code])
        kinds, which = np.unique(both, axis=1, return_inverse=True)
        return [(int(m), int(c), np.flatnonzero(which == i)) for i, (m, c) in enumerate(kinds.T)]


@dataclass(frozen=True, eq=False)
class _Outcome:
    """Estimates of one fit on the free scale, or why there are none."""

    status: str
    free: dict[str, float]
    stderr: dict[str, float]
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
) -> xr.Dataset:
    """Fit a model by least squares with censored records.

    Parameters
    ----------
    model : Model
        Its typical values are the starting values where the data suggest none, and the
        values of parameters that are not estimated.
    design : Design
        Records of one or several endpoints, which share the parameters and scatter on their own.
    method : {"individual", "pooled"}
        One fit per patient, or one for all records together (naive pooled).
    error : str
        Residual error, one of those of :func:`cart_pkpd.fit.population`; log-normal by default.
    errors : mapping of str to str
        The same by endpoint.
    estimate : sequence of str, optional
        Parameters to estimate; by default all that are not fixed.

    Returns
    -------
    xr.Dataset
        Dims id (the label ``"pooled"`` for the pooled method) and parameter: ``estimate``,
        ``stderr`` (delta method), ``lower``, ``upper`` (95 %, Wald on the free scale), and per
        id ``sigma`` (first parameter of the error; with a dim ``measure`` if there are several
        endpoints), ``n_obs``, ``n_censored``, ``loglik``, ``aic``, ``status`` (``"ok"``, or why
        there is no estimate or no trust in it). Parameters held at their typical value are not
        listed.

    Raises
    ------
    FitError
        For unknown or fixed names, other units than the data's, or zeros without a logarithm.
    """
    one_of(method, METHODS, "least-squares method", error=FitError)
    residual = error_models(population(error=error, errors=errors), design)
    names = tuple(estimate) if estimate is not None else model.estimated
    model.check_names(names, "estimate")
    held = [n for n in names if n in model.fixed]
    if held:
        raise FitError(f"estimate: {held[0]!r} is fixed; leave it out or use a model with it free.")
    check_measures(model, design)
    check_units(model, design)
    check_values(residual, design)
    groups = _groups(design, method)
    problems = {k: _Problem(model, g, residual, names) for k, g in groups.items()}
    outcomes = [_fit(problem) for problem in problems.values()]
    return _dataset(model, design, names, problems, outcomes)


def _groups(design: Design, method: str) -> dict[str, Design]:
    if method == "pooled":
        return {"pooled": design}
    return {str(i): design.among([k]) for k, i in enumerate(design.ids)}


def _fit(problem: _Problem) -> _Outcome:
    names = problem.names
    too_few = _too_few(problem)
    if too_few:
        return _Outcome(too_few, {}, {})
    starts = [_with_sigmas(p, problem) for p in _starts(problem)]
    begun = _best_of(starts, problem)
    search = _by_simplex if problem.predictor is None else _by_gradient
    best, value, hessian = search(begun.params, problem)
    if not np.isfinite(value) or value >= _HUGE:
        return _Outcome("the optimiser found no finite likelihood", {}, {})
    free = {n: float(best[n].value) for n in names}
    stderr = _standard_errors(hessian, problem)
    values = _sigmas(best, problem)
    present = {m for m, _ in problem.scatters}
    sigma = {m: values[m][problem.errors[m].sigmas[0].name] for m in present}
    known = all(s < _UNDETERMINED for s in stderr.values())
    status = "ok" if known else _no_stderr(stderr)
    return _Outcome(status, free, stderr, sigma, -value)


def _by_simplex(start: Parameters, problem: _Problem) -> tuple[Parameters, float, _Matrix]:
    """Return the best parameters, −ln likelihood there, and its second derivatives."""
    fitted = Minimizer(_minus_loglik, start, fcn_args=(problem,)).minimize(
        method="nelder", max_nfev=_MOST_EVALUATIONS
    )
    return fitted.params, float(fitted.residual[0]), _hessian(fitted.params, problem)


def _by_gradient(start: Parameters, problem: _Problem) -> tuple[Parameters, float, _Matrix]:
    """Return the same as `_by_simplex`, with the derivatives of the predictions.

    The search begins at the scatter that is left: that of a start would let it wander off.
    """
    start = _with_scatter_left(start, problem)
    x = np.array([p.value for p in start.values()])
    jacobian = _jacobian(start, problem)
    information = np.diag([2.0 * problem.records.n_obs] * x.size)
    m = len(problem.names)
    information[:m, :m] = jacobian.T @ jacobian

    def value_and_slope(at: _Vector) -> tuple[float, _Vector]:
        return _with_gradient(_moved(start, at), problem)

    x, value = maximise(value_and_slope, x, information)
    best = _moved(start, x)
    free = [i for i, n in enumerate(best) if _can_move(best, n)]
    second = curvature(lambda at: value_and_slope(at)[1], x, free)
    return best, value, second


def _with_scatter_left(at: Parameters, problem: _Problem) -> Parameters:
    """Return the parameters with the scatters that are likeliest at these predictions."""
    out, f = at.copy(), _prediction(at, problem)
    for name in list(at)[len(problem.names) :]:
        least = float(at[name].min)

        def minus_loglik(value: float, name: str = name) -> float:
            out[name].set(value=float(value))
            with np.errstate(all="ignore"):
                total = -float(_loglik(f, out, problem).sum())
            return total if np.isfinite(total) else _HUGE

        found = minimize_scalar(minus_loglik, bounds=(least, least + _WIDEST), method="bounded")
        out[name].set(value=float(found.x))
    return out


def _moved(parameters: Parameters, x: _Vector) -> Parameters:
    """Return the parameters at other values; those beyond a bound are at it."""
    out = parameters.copy()
    for name, value in zip(out, x, strict=True):
        out[name].set(value=float(value))
    return out


def _can_move(at: Parameters, name: str) -> bool:
    """Return False for a scatter at its least, where the likelihood has no bound."""
    return not name.startswith(_LN) or at[name].value > at[name].min + _CURVATURE_STEP


def _best_of(starts: Sequence[Parameters], problem: _Problem) -> Any:
    """Return the best fit; where one leaves nothing, the other starts cannot do better."""
    best: Any = None
    for start in starts:
        fitted = _least_squares(start, problem)
        if best is None or fitted.chisqr < best.chisqr:
            best = fitted
        if best.chisqr < _NOTHING_LEFT * problem.records.n_obs:
            break
    return best


def _least_squares(start: Parameters, problem: _Problem) -> Any:
    """Return the least-squares fit at the scatter of the start: a good place to begin."""
    held = start.copy()
    for m, sigma in problem.scatters:
        held[_ln(m, sigma)].vary = False
    search = Minimizer(_residuals, held, fcn_args=(problem,), scale_covar=False)
    slopes = {} if problem.predictor is None else {"Dfun": _jacobian}
    fitted = search.minimize(method="leastsq", max_nfev=400 * (len(held) + 1), **slopes)
    for m, sigma in problem.scatters:
        fitted.params[_ln(m, sigma)].vary = True
    return fitted


def _ln(measure: int, sigma: Sigma) -> str:
    """Return the name of ln of a scatter; a number stands for the measure's name."""
    return f"{_LN}{measure}_{sigma.name}"


def _with_sigmas(parameters: Parameters, problem: _Problem) -> Parameters:
    """Return the parameters with ln of every scatter added."""
    records = problem.records
    for m, sigma in problem.scatters:
        typical = float(np.median(records.dv[problem.quantified & (records.measure == m)]))
        unit = max(abs(typical), 1e-12) if sigma.in_data_units else 1.0
        lowest = float(np.log(_SIGMA_LEAST * unit))
        value = float(np.log(_SIGMA_START * unit))
        parameters.add(_ln(m, sigma), value=value, min=lowest)
    return parameters


def _sigmas(parameters: Parameters, problem: _Problem) -> tuple[dict[str, float], ...]:
    """Return the scatter of every measure; empty for those that this group does not have."""
    out: tuple[dict[str, float], ...] = tuple({} for _ in problem.errors)
    for m, sigma in problem.scatters:
        out[m][sigma.name] = float(np.exp(parameters[_ln(m, sigma)].value))
    return out


def _prediction(free: Parameters, problem: _Problem) -> _Vector:
    if problem.predictor is not None:
        return problem.predictor(_free(free, problem))[0]
    values = _natural(problem.model, free)
    return predict(problem.model, problem.records, values, log=problem.log)


def _free(parameters: Parameters, problem: _Problem) -> _Vector:
    return np.array([parameters[n].value for n in problem.names], dtype=float)


def _loglik(f: _Vector, free: Parameters, problem: _Problem) -> _Vector:
    return pointwise_loglik(problem.errors, problem.records, f, _sigmas(free, problem))


def _minus_loglik(free: Parameters, problem: _Problem) -> _Vector:
    """Return −ln likelihood of all records, capped where it overflows."""
    with np.errstate(all="ignore"):
        value = -_loglik(_prediction(free, problem), free, problem).sum()
    return np.array([value if np.isfinite(value) else _HUGE])


def _with_gradient(free: Parameters, problem: _Problem) -> tuple[float, _Vector]:
    """Return −ln likelihood and its slopes by parameters and ln scatters."""
    value = float(_minus_loglik(free, problem)[0])
    if value >= _HUGE or problem.predictor is None:
        return _HUGE, np.zeros(len(free))
    with np.errstate(all="ignore"):
        f, by = problem.predictor(_free(free, problem))
        each = elementwise(lambda g: _loglik(g, free, problem), f, problem.on_log)
        slopes = [-(each @ by)]
        for name in list(free)[len(problem.names) :]:
            up, down = (_shifted(free, name, h) for h in (_CURVATURE_STEP, -_CURVATURE_STEP))
            change = (_loglik(f, up, problem) - _loglik(f, down, problem)).sum()
            # Below its least a scatter acts as at it.
            slopes.append(np.array([-change / (2 * _CURVATURE_STEP)]) * _can_move(free, name))
    return value, np.nan_to_num(np.concatenate(slopes), nan=0.0, posinf=0.0, neginf=0.0)


def _shifted(parameters: Parameters, name: str, by: float) -> Parameters:
    out = parameters.copy()
    out[name].set(value=float(out[name].value) + by)
    return out


def _hessian(at: Parameters, problem: _Problem) -> _Matrix:
    """Return the curvature of −ln likelihood, by central differences of its values."""
    moved = [n for n in at if _can_move(at, n)]
    centre = np.array([at[n].value for n in moved])

    def value(x: _Vector) -> float:
        trial = at.copy()
        for name, v in zip(moved, x, strict=True):
            trial[name].set(value=float(v))
        return float(_minus_loglik(trial, problem)[0])

    k = len(moved)
    hessian = np.empty((k, k))
    steps = np.eye(k) * _CURVATURE_STEP
    for i in range(k):
        for j in range(i + 1):
            corners = [
                value(centre + a * steps[i] + b * steps[j]) for a in (1, -1) for b in (1, -1)
            ]
            second = (corners[0] - corners[1] - corners[2] + corners[3]) / (4 * _CURVATURE_STEP**2)
            hessian[i, j] = hessian[j, i] = second
    return hessian


def _standard_errors(hessian: _Matrix, problem: _Problem) -> dict[str, float]:
    """Return standard errors on the free scale from the curvature of the likelihood.

    NaN for all where the curvature is not that of a maximum.
    """
    names = problem.names
    if not np.isfinite(hessian).all():
        return dict.fromkeys(names, np.nan)
    curvatures = np.linalg.eigvalsh(hessian)
    if curvatures[0] <= 1e-14 * curvatures[-1]:  # flat in some direction, or no maximum
        return dict.fromkeys(names, np.nan)
    variance = np.diag(np.linalg.inv(hessian))
    # Near a ridge rounding can make a variance negative: then nothing was learnt either.
    known = {n: float(v) for n, v in zip(names, variance, strict=False)}
    return {n: float(np.sqrt(v)) if v > 0 else np.nan for n, v in known.items()}


def _too_few(problem: _Problem) -> str:
    """Return why there is no fit: every parameter and scatter needs a record of its own."""
    n = int(problem.quantified.sum())
    m = len(problem.names)
    if n < m + len(problem.scatters):
        return f"{n} quantified records cannot determine {m} parameters and their scatter"
    for m, _ in problem.scatters:
        if not (problem.quantified & (problem.records.measure == m)).any():
            return f"no quantified record of {problem.records.endpoints[m]} shows its scatter"
    return ""


def _no_stderr(stderr: dict[str, float]) -> str:
    bad = ", ".join(n for n, s in stderr.items() if not s < _UNDETERMINED)
    return f"fitted, but the data do not determine {bad}"


def _starts(problem: _Problem) -> list[Parameters]:
    """Return where to start: the data's own guess, and points around it.

    A hard switch at the peak makes local optima; the same points are tried for everyone.
    """
    model, records, names = problem.model, problem.records, problem.names
    own = records.measure == guessed_measure(model, records)
    seen = problem.quantified & (records.dv > 0) & own
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
    return typical | {
        n: float(model.parameters[n].to_natural(p.value))
        for n, p in free.items()
        if not n.startswith(_LN)
    }


def _residuals(free: Parameters, problem: _Problem) -> _Vector:
    """Return z of quantified records and sqrt(−2 ln P) of censored ones."""
    with np.errstate(all="ignore"):
        out = _residuals_of(_prediction(free, problem), free, problem)
    return np.nan_to_num(out, nan=1e3, posinf=1e3, neginf=-1e3)


def _residuals_of(f: _Vector, free: Parameters, problem: _Problem) -> _Vector:
    records, sigmas = problem.records, _sigmas(free, problem)
    out = np.empty(records.n_obs)
    for m, code, rows in problem.parts:
        error, dv, low = problem.errors[m], records.dv[rows], records.low[rows]
        if code == QUANTIFIED:
            out[rows] = error.z(dv, f[rows], sigmas[m])
        else:
            log_p = record_loglik(error, code, dv, low, f[rows], sigmas[m])
            out[rows] = np.sqrt(-2.0 * np.clip(log_p, _LOWEST, _HIGHEST))
    return out


def _jacobian(free: Parameters, problem: _Problem) -> _Matrix:
    """Return the derivatives of the residuals by the parameters, at the scatter given."""
    assert problem.predictor is not None
    with np.errstate(all="ignore"):
        f, by = problem.predictor(_free(free, problem))
        each = elementwise(lambda g: _residuals_of(g, free, problem), f, problem.on_log)
        return np.nan_to_num(each[:, None] * by, nan=0.0, posinf=0.0, neginf=0.0)


def _dataset(
    model: Model,
    design: Design,
    names: Sequence[str],
    problems: Mapping[str, _Problem],
    outcomes: list[_Outcome],
) -> xr.Dataset:
    ids, groups = list(problems), list(problems.values())
    errors = groups[0].errors
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
            columns["stderr"][i, j] = se * slope_of(p, free)
    sigma = np.array([[o.sigma.get(m, np.nan) for m in range(len(errors))] for o in outcomes])
    n_parameters = np.array([len(names) + len(g.scatters) for g in groups])
    loglik = np.array([o.loglik for o in outcomes])
    dataset = xr.Dataset(
        {
            **{k: (("id", "parameter"), v) for k, v in columns.items()},
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
            "unit": ("parameter", np.array([model.parameters[n].unit for n in names])),
            "label": ("parameter", np.array([model.parameters[n].about for n in names])),
        },
    )
    if design.several:
        dataset = dataset.assign_coords(measure=np.array(design.endpoints))
    dataset.attrs = {
        "endpoint": ", ".join(design.endpoints),
        "units": ", ".join(m.unit for m in design.measures),
        "model": model.name or type(model).__name__,
        "error": ", ".join(error.label for error in errors),
        "interval": "95 % Wald on the free scale",
    }
    return dataset
