"""What a design of samples can tell about each parameter, before any data are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from cart_pkpd._core.errors import ModelError
from cart_pkpd._core.validate import did_you_mean, positive_int
from cart_pkpd._engine.schedule import Change, Dose, base_values, schedule
from cart_pkpd._engine.solve import REASONS, sensitivities
from cart_pkpd._stats.compiled import on_scale
from cart_pkpd._stats.error import ErrorModel, error_model
from cart_pkpd.models import Model, OdeModel, Parameter
from cart_pkpd.models._courses import changes_of, doses_of, known_values
from cart_pkpd.models._simulated import Patients, patients_of, times_of

PHASE_1 = (0.0, 1.0, 3.0, 7.0, 10.0, 14.0, 21.0, 28.0, 60.0, 90.0, 180.0, 365.0)
"""Visits of a phase 1 trial. [day]"""

_RTOL = 1e-10
# Columns of derivatives have length 1: a combination that acts less than this does not act.
_NOTHING = 1e-6
_TAKES_PART = 1e-5

type _Array = NDArray[np.float64]


def identifiability(
    model: Model | str,
    times: ArrayLike = PHASE_1,
    params: Mapping[str, float] | None = None,
    doses: Any = None,
    *,
    endpoint: str | Sequence[str] | None = None,
    error: str = "lognormal",
    errors: Mapping[str, str] | None = None,
    sd: float | Mapping[str, float] = 0.5,
    lloq: Mapping[str, float] | None = None,
    patients: int | Sequence[int] = (1, 30),
    estimate: Sequence[str] | None = None,
    covariates: Mapping[str, float] | None = None,
    inputs: Mapping[str, Sequence[tuple[float, float]]] | None = None,
) -> xr.Dataset:
    """Return how well a design would determine each parameter.

    The Fisher information of all samples, from the solver's own derivatives, on the free
    (log, logit, identity) scale of the parameters. Between-patient variability is left out:
    patients are alike and give their samples independently, so that this is the best that a
    fit can reach, and a parameter that is not determined here is not determined by any data of
    this design.

    Parameters
    ----------
    model : Model or str
        A declared model, or the name of a registered one.
    times : array_like, shape (n,)
        Days of the samples; every endpoint is measured in each. [day]
    params : mapping of str to float, optional
        Where to look; typical values where not given. [unit of each parameter]
    doses, covariates, inputs
        As for the model's ``simulate``.
    endpoint : str or sequence of str, optional
        What is measured; by default all that the model predicts.
    error : str
        Residual error, one of those of :func:`cart_pkpd.fit.population` with one parameter.
    errors : mapping of str to str
        The same by endpoint.
    sd : float or mapping of str to float
        Its size, the same for all endpoints or by endpoint. [1, or unit of the endpoint]
    lloq : mapping of str to float
        By endpoint; samples below count for nothing. [unit of the endpoint]
    patients : int or sequence of int
        Numbers of patients.
    estimate : sequence of str, optional
        Parameters to estimate; by default all that are not fixed.

    Returns
    -------
    xr.Dataset
        Dims patients and parameter: ``rse``, the relative standard error of each estimate
        (standard error by value, delta method) [1]; by parameter ``verdict`` at the largest
        number of patients (``"identifiable"`` below 0.5, ``"weak"`` below 2, else ``"not"``),
        ``reason`` beside what is NaN, and ``worst``, the combination of parameters on the free
        scale that is determined worst (length 1); ``worst_se``, its standard error by patients;
        ``n_used``, samples that count, and ``n_samples`` of one patient.

    Raises
    ------
    ModelError
        For unknown names or values outside their support, or a model without a solution there.

    Examples
    --------
    >>> found = checks.identifiability("stein2019", sd={"transgene": 0.5})
    >>> found["rse"].sel(patients=30)
    """
    from cart_pkpd import models

    chosen = models.get(model) if isinstance(model, str) else model
    names = chosen.estimated if estimate is None else tuple(estimate)
    chosen.check_names(names, "identifiability")
    measured = _measured(chosen, endpoint)
    for what, given in (("lloq", lloq), ("sd", sd), ("errors", errors)):
        if isinstance(given, Mapping):
            _check_endpoints(what, given, measured)
    sizes = sd.values() if isinstance(sd, Mapping) else [sd]
    if not all(np.isfinite(v) and v > 0 for v in sizes):
        raise ModelError(f"identifiability: sd must be above 0, not {sd!r}.")
    one = patients_of(chosen, params, {}, count=1)
    records = [chosen.parameters[n] for n in names]
    level, slope = _solution(chosen, names, times_of(times), one, doses, covariates, inputs)
    at_values = np.array([one.values[n][0] for n in names])
    chain = np.array([_chain(p, float(v)) for p, v in zip(records, at_values, strict=True)])
    by_free = []
    for e in measured:
        residual = error_model((errors or {}).get(e, error))
        size = float(sd[e] if isinstance(sd, Mapping) else sd)
        limit = float((lloq or {}).get(e, -np.inf))
        at = chosen.program.endpoints.index(e)
        used, rows = _weighted(chosen, residual, size, limit, level[:, at], slope[:, at] * chain)
        by_free.append(rows[used])
    jacobian = np.concatenate(by_free)
    free_se, null, worst, worst_se = _solved(jacobian)
    several = patients if isinstance(patients, Sequence | np.ndarray) else [patients]
    counts = np.array([positive_int(k, "patients") for k in several])
    relative = np.array([_relative(p, float(v)) for p, v in zip(records, at_values, strict=True)])
    rse = free_se * relative / np.sqrt(counts)[:, None]
    reasons = _reasons(names, jacobian, null, relative)
    if not jacobian.shape[0]:
        forgotten = "; was doses= forgotten?" if doses is None and takes_doses(chosen) else ""
        reasons = [f"every sample is 0 or below its LLOQ{forgotten}"] * len(names)
    return xr.Dataset(
        {
            "rse": (
                ("patients", "parameter"),
                rse,
                {"units": "1", "long_name": "Relative standard error"},
            ),
            "verdict": ("parameter", _verdicts(rse[np.argmax(counts)])),
            "reason": ("parameter", np.array(reasons, dtype=object).astype(str)),
            "worst": ("parameter", worst, {"units": "1", "long_name": "Worst combination"}),
            "worst_se": ("patients", worst_se / np.sqrt(counts), {"units": "1"}),
            "n_used": ((), jacobian.shape[0]),
            "n_samples": ((), level.shape[0] * len(measured)),
        },
        coords={
            "patients": counts,
            "parameter": np.array(names),
            "value": ("parameter", at_values),
            "unit": ("parameter", np.array([p.unit for p in records])),
            "label": ("parameter", np.array([p.about for p in records])),
        },
        attrs={"model": chosen.name or type(chosen).__name__, "endpoints": ", ".join(measured)},
    )


def _check_endpoints(what: str, given: Mapping[str, Any], measured: Sequence[str]) -> None:
    for name in given:
        if name not in measured:
            raise ModelError(
                f"identifiability: {what} names {name!r}, which is not measured."
                f"{did_you_mean(name, measured)} Measured: {', '.join(measured)}."
            )


def takes_doses(model: Model) -> bool:
    """Return whether doses act in a model."""
    return getattr(model, "dosed", None) is not None


def _measured(model: Model, endpoint: str | Sequence[str] | None) -> tuple[str, ...]:
    known = model.program.endpoints
    if endpoint is None:
        return known
    asked = (endpoint,) if isinstance(endpoint, str) else tuple(endpoint)
    for name in asked:
        if name not in known:
            raise ModelError(
                f"{type(model).__name__} does not predict {name!r}; it predicts: "
                f"{', '.join(known)}."
            )
    return asked


def _solution(
    model: Model,
    names: tuple[str, ...],
    times: _Array,
    one: Patients,
    doses: Any,
    covariates: Any,
    inputs: Any,
) -> tuple[_Array, _Array]:
    """Return levels (n, endpoints), as the equations give them, and derivatives."""
    program, n = model.program, times.size
    count, known = len(program.endpoints), {}
    given: list[Dose] = []
    changes: list[Change] = []
    if isinstance(model, OdeModel):
        known = known_values(model, covariates, one)
        given, changes = doses_of(model, doses, one), changes_of(model, inputs, one)
    elif doses is not None:
        raise ModelError(f"{type(model).__name__} is a closed form, on which doses do not act.")
    plan = schedule(
        1,
        patient=np.zeros(n * count, dtype=int),
        time=np.repeat(times, count),
        endpoint=np.tile(np.arange(count), n),
        doses=given,
        changes=changes,
    )
    base = base_values(program, 1, {**one.values, **known})
    # By every parameter, so that estimating others needs no compilation.
    value, by_all, status = sensitivities(
        program, program.parameters, base, plan, rtol=_RTOL, max_steps=1_000_000
    )
    by = by_all[:, program.columns(names)]
    if status[0]:
        raise ModelError(
            f"{type(model).__name__} has no solution there: {REASONS[int(status[0])]}."
        )
    level, slope = np.empty(value.size), np.empty(by.shape)
    level[plan.order], slope[plan.order] = value, by
    return level.reshape(n, count), slope.reshape(n, count, len(names))


def _weighted(
    model: Model, error: ErrorModel, sd: float, lloq: float, level: _Array, slope: _Array
) -> tuple[NDArray[np.bool_], _Array]:
    """Return which samples count, and derivatives of what is predicted over its scatter."""
    if len(error.sigmas) != 1:
        raise ModelError(f"the error {error.label!r} has several parameters; take another.")
    wants_log = np.full(level.size, error.on_log)
    f, rows = on_scale(model.program, wants_log, level, slope)
    with np.errstate(all="ignore"):
        natural = np.exp(level) if model.program.observe_log else level
        scatter = error.scale(f, {error.sigmas[0].name: sd}) * np.ones(f.size)
        used = np.isfinite(f) & (scatter > 0) & (natural >= lloq)
        if error.on_log:
            used &= natural > 0
        return used, np.where(used[:, None], rows / scatter[:, None], 0.0)


def _chain(parameter: Parameter, value: float) -> float:
    """Return d natural / d free."""
    match parameter.scale:
        case "log":
            return value
        case "logit":
            return value * (1.0 - value)
    return 1.0


def _relative(parameter: Parameter, value: float) -> float:
    """Return d natural / d free by the value: what a standard error is multiplied by."""
    return _chain(parameter, value) / abs(value) if value else np.nan


def _solved(jacobian: _Array) -> tuple[_Array, _Array, _Array, float]:
    """Return standard errors, the null space, the worst combination and its standard error.

    Columns are brought to length 1 before singular values are compared.
    """
    size = np.linalg.norm(jacobian, axis=0)
    scale = np.where(size > 0, size, 1.0)
    s, vt = _singular(jacobian / scale)
    dead = s < _NOTHING * max(s[0], 1e-300)
    null = vt[dead]
    with np.errstate(divide="ignore"):
        inverse = np.where(dead, 0.0, 1.0 / s)
    variance = np.sum((vt * inverse[:, None]) ** 2, axis=0)
    lost = (np.abs(null) > _TAKES_PART).any(axis=0)
    free_se = np.where(lost, np.nan, np.sqrt(variance) / scale)
    if null.size:
        direction = null[-1] / scale
        return free_se, null, direction / np.linalg.norm(direction), np.inf
    own, directions = _singular(jacobian)
    return free_se, null, directions[-1], float(1.0 / own[-1])


def _singular(jacobian: _Array) -> tuple[_Array, _Array]:
    """Return a singular value and direction for every column, even with fewer rows."""
    m = jacobian.shape[1]
    _, s, vt = np.linalg.svd(np.concatenate([jacobian, np.zeros((m, m))]), full_matrices=False)
    return s, vt


def _reasons(names: tuple[str, ...], jacobian: _Array, null: _Array, relative: _Array) -> list[str]:
    size = np.linalg.norm(jacobian, axis=0)
    out = []
    for i, name in enumerate(names):
        if size[i] == 0:
            out.append("acts on no sample")
            continue
        rows = null[np.abs(null[:, i]) > _TAKES_PART]
        others = [
            n
            for j, n in enumerate(names)
            if n != name and size[j] > 0 and (np.abs(rows[:, j]) > _TAKES_PART).any()
        ]
        if rows.size:
            out.append(f"only a combination with {', '.join(others)} acts on the samples")
        elif np.isnan(relative[i]):
            out.append("the value is 0")
        else:
            out.append("")
    return out


def _verdicts(rse: _Array) -> NDArray[np.str_]:
    return np.array(["identifiable" if r < 0.5 else "weak" if r < 2.0 else "not" for r in rse])
