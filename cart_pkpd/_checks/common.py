"""What the checks share: draws, intervals, records and labels."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._checks.strata import about
from cart_pkpd._core.validate import probability
from cart_pkpd._fit.draws import patient_means
from cart_pkpd._fit.fitted import as_fit
from cart_pkpd._stats.design import Design
from cart_pkpd._stats.predict import predict

if TYPE_CHECKING:
    from cart_pkpd._fit.result import FitResult

_CENSORING = np.array(["none", "left", "right", "interval"])


def of_fit[F: Callable[..., Any]](check: F) -> F:
    """Return a check that refuses with a sentence what is no fit."""

    @functools.wraps(check)
    def checked(result: Any, *args: Any, **options: Any) -> Any:
        return check(as_fit(result, f"checks.{check.__name__}"), *args, **options)

    return cast("F", checked)


def interval_edges(prob: float) -> NDArray[np.float64]:
    probability(prob, "prob")
    return np.array([0.5, (1 - prob) / 2, (1 + prob) / 2])


def attrs(result: FitResult, design: Design) -> dict[str, Any]:
    """Return what the datasets say of themselves; `design` holds one endpoint."""
    return {
        "endpoint": design.endpoint,
        "label": design.label,
        "units": design.unit,
        "fit": result.label,
        "converged": int(result.verdict.ok),
    }


def picked_draws(result: FitResult, n: int, seed: int) -> NDArray[np.int64]:
    total = result.posterior.sizes["chain"] * result.posterior.sizes["draw"]
    rng = np.random.default_rng(seed)
    return rng.choice(total, size=n, replace=n > total)


def stacked(draws: xr.Dataset, picked: NDArray[np.int64]) -> xr.Dataset:
    return draws.stack(sample=("chain", "draw")).transpose("sample", ...).isel(sample=picked)


def typical_draws(result: FitResult, picked: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    draws, structure = stacked(result.draws(), picked), result.structure
    none = np.zeros(picked.size)  # a typical patient does not deviate on any occasion
    located = structure.located
    return {n: draws[n].to_numpy() if n in located else none for n in structure.model.estimated}


def mean_draws(result: FitResult, picked: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return the population's values for each patient's covariates, shape (draws, k)."""
    structure = result.structure
    draws = stacked(result.draws(), picked)
    return {
        name: np.asarray(parameter.to_natural(patient_means(structure, name, draws).to_numpy()))
        for name, parameter in structure.model.parameters.items()
        if name in structure.model.estimated
    }


def as_values(draws: xr.Dataset) -> dict[str, NDArray[np.float64]]:
    """Return draws by name, for predictions."""
    return {str(k): v.to_numpy() for k, v in draws.data_vars.items()}


def level_of_records(
    result: FitResult, design: Design, picked: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the individual and the population prediction of every record of one endpoint.

    Posterior medians of the patient's own level, and of the level of a patient with the same
    covariates and no deviation. [unit of the endpoint]
    """
    model = result.structure.model
    individual = as_values(stacked(result.individual(), picked))
    ipred = predict(model, design, individual, log=(False,))
    pred = predict(model, design, mean_draws(result, picked), log=(False,))
    return np.median(ipred, axis=0), np.median(pred, axis=0)


def records(design: Design) -> dict[str, Any]:
    level = {"units": design.unit, "long_name": design.label}
    return {
        "dv": ("obs", design.dv, level),
        "censoring": ("obs", _CENSORING[design.code]),
        "lloq": ("obs", design.lloq, {**level, "long_name": "LLOQ"}),
    }


def coords(design: Design) -> dict[str, Any]:
    levels = {}
    if "dose_level" in design.subjects:
        level = design.subjects["dose_level"].to_numpy()
        levels["dose_level"] = ("id", level, about(design, "dose_level"))
    return {
        "id": design.ids,
        **levels,
        "patient": ("obs", design.ids[design.patient]),
        "time": ("obs", design.time, {"units": "day", "long_name": "Time since infusion"}),
    }


def given(design: Design) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return variables and coords of the doses and other events, named as in a trial."""
    day = {"units": "day"}
    events = design.changes
    who = np.array([design.ids[e.patient] for e in events], dtype=design.ids.dtype)
    variables = {
        "amount": ("dosing", design.dose_amount, {"units": design.dose_unit}),
        "event_name": ("event", np.array([e.name for e in events], dtype=str)),
        "event_value": ("event", np.array([e.value for e in events], dtype=float)),
    }
    return variables, {
        "dose_patient": ("dosing", design.ids[design.dose_patient]),
        "dose_time": ("dosing", design.dose_time, day),
        "event_patient": ("event", who),
        "event_time": ("event", np.array([e.time for e in events], dtype=float), day),
    }
