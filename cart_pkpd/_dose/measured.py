"""What is known of every patient's exposure: a value, its error, or only a bound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd import data, nca
from cart_pkpd._checks.common import as_values, picked_draws, stacked
from cart_pkpd._checks.exposure import curve_exposures
from cart_pkpd._core.errors import DataError, FitError
from cart_pkpd._core.units import times
from cart_pkpd._core.validate import did_you_mean, one_of
from cart_pkpd._dose.patients import DoseData
from cart_pkpd._fit.draws import new_patient_draws
from cart_pkpd._nca.longform import groups_of, parameter_names, reasons_of
from cart_pkpd._stats.predict import on_grid

if TYPE_CHECKING:
    from cart_pkpd._fit.result import FitResult

type Floats = NDArray[np.float64]
Partial = Literal["censor", "keep", "drop"]

EXACT, BELOW, ABOVE, MISSING = "measured", "below", "above", "missing"
_METRICS = {"cmax": "Cmax", "auc0_28": "AUC0–28d"}
_END = 28.0
_LATE = 1.4  # days by which the last sample may miss day 28: 5 % of the window
_STEP = 0.05  # of the grid on which a fitted curve is read [day]


@dataclass(frozen=True, eq=False)
class Measured:
    """The exposure of n patients, on the log scale.

    Attributes
    ----------
    metric, label, unit : str
        ``"cmax"`` or ``"auc0_28"``; in words; unit of the exposure.
    source : str
        ``"NCA"``, or the label of the fit.
    ids : ndarray of str, shape (n,)
    dose, level : ndarray, shape (n,)
        Administered dose and planned dose level (NaN where the trial has none). [dose_unit]
    dose_unit : str
    value : ndarray, shape (n,)
        ln exposure; the bound where only a bound is known; NaN where missing.
    error : ndarray, shape (n,)
        Standard deviation of the error of `value`; 0 by NCA.
    status : ndarray of str, shape (n,)
        ``"measured"``; ``"below"`` or ``"above"`` the bound `value`; ``"missing"``.
    partial : ndarray of bool, shape (n,)
        Observation ended too early for the metric, as at death or withdrawal before day 28.
    reason : ndarray of str, shape (n,)
        Why it is no plain measurement; empty where it is one.
    notes : tuple of str
    """

    metric: str
    label: str
    unit: str
    source: str
    ids: NDArray[np.str_]
    dose: Floats
    level: Floats
    dose_unit: str
    value: Floats
    error: Floats
    status: NDArray[np.str_]
    partial: NDArray[np.bool_]
    reason: NDArray[np.str_]
    notes: tuple[str, ...] = ()

    @property
    def informative(self) -> NDArray[np.bool_]:
        """Which patients say something of exposure: not missing, with a dose above 0."""
        return (self.status != MISSING) & (self.dose > 0)

    def table(self) -> pd.DataFrame:
        """Return one row per patient, exposure on its natural scale."""
        exact, value = self.status == EXACT, np.exp(self.value)
        return pd.DataFrame(
            {
                "dose": self.dose,
                "dose_level": self.level,
                self.metric: np.where(exact, value, np.nan),
                "bound": np.where(exact, np.nan, value),
                "log_sd": self.error,
                "status": self.status,
                "partial": self.partial,
                "reason": self.reason,
            },
            index=pd.Index(self.ids, name="id"),
        )


def measured(
    source: xr.Dataset | FitResult,
    trial: xr.Dataset,
    metric: str,
    *,
    endpoint: str | None,
    partial: Partial,
    n_draws: int,
    seed: int,
) -> Measured:
    """Return every patient's exposure from an NCA table or from a population fit.

    Raises
    ------
    DataError
        If the table does not hold the metric for one endpoint and one infusion.
    FitError
        If the fit is not a Bayesian one, or has several endpoints and none is named.
    """
    from cart_pkpd._fit.result import FitResult

    one_of(metric, _METRICS, "exposure metric")
    one_of(partial, ("censor", "keep", "drop"), "treatment of partial exposures")
    if isinstance(source, FitResult):
        return _of_fit(source, trial, metric, endpoint, n_draws, seed)
    if isinstance(source, xr.Dataset):
        return _of_table(source, trial, metric, endpoint, partial)
    raise FitError(
        f"exposure needs an NCA table or a Bayesian fit (fit.bayes), not {type(source).__name__}."
    )


def with_doses(found: Measured, known: DoseData) -> Measured:
    """Return the exposures with administered doses and levels from the data of a decision."""
    rows = known.frame().reindex(found.ids)
    return replace(
        found,
        dose=rows["amount"].to_numpy(dtype=float),
        level=rows["planned"].to_numpy(dtype=float),
        dose_unit=known.levels.unit,
    )


# -- from a table of NCA


def _of_table(
    params: xr.Dataset, trial: xr.Dataset, metric: str, endpoint: str | None, partial: Partial
) -> Measured:
    chosen = _one_table(params, metric, endpoint)
    ids = chosen["id"].values.astype(str)
    raw = chosen[metric].values.astype(float)
    why = reasons_of(chosen).sel(parameter=metric).values.astype(str)
    limit = _bounds(trial, str(chosen.attrs["endpoint"]), ids, metric)
    early = _ended_early(chosen, trial, metric)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(raw > 0, np.log(raw), np.where(raw == 0, np.log(limit), np.nan))
    status = np.where(np.isnan(value), MISSING, np.where(raw > 0, EXACT, BELOW)).astype("<U8")
    reason = np.where(status == MISSING, why, "").astype(object)
    reason[status == BELOW] = "every sample below the LLOQ"
    reason[(status == MISSING) & (raw == 0)] = "every sample below an LLOQ that is not given"
    _treat_partial(early & (status == EXACT), status, value, reason, metric, partial)
    named = _early_note(ids[early & (raw > 0)], metric, partial)
    return Measured(
        metric, _METRICS[metric], str(chosen[metric].attrs.get("units", "")), "NCA", ids,
        _dose_of(chosen), _levels(trial, ids), str(chosen.attrs.get("dose_units", "")), value,
        np.zeros(ids.size), status, early, reason.astype(str), named,
    )  # fmt: skip


def _one_table(params: xr.Dataset, metric: str, endpoint: str | None) -> xr.Dataset:
    if endpoint is not None and "endpoint" in params.dims:
        params = params.sel(endpoint=endpoint)
        params = params.assign_attrs(endpoint=endpoint)
    if groups_of(params):
        raise DataError(
            f"the table has several {groups_of(params)[0]}s; choose one with params.sel(…) or "
            "endpoint=."
        )
    if metric not in parameter_names(params):
        known = parameter_names(params)
        raise DataError(
            f"the table has no {metric!r}.{did_you_mean(metric, known)} Ask nca.table for it, with "
            "window=(0, 28)."
        )
    return params


def _dose_of(params: xr.Dataset) -> Floats:
    name = "dose" if "dose" in params.variables else "dose_level"
    return params[name].values.astype(float)


def _levels(trial: xr.Dataset, ids: NDArray[np.str_]) -> Floats:
    if "dose_level" not in trial.variables or trial["dose_level"].dtype.kind not in "fiu":
        return np.full(ids.size, np.nan)
    return trial["dose_level"].reindex(id=ids).values.astype(float)


def _bounds(trial: xr.Dataset, endpoint: str, ids: NDArray[np.str_], metric: str) -> Floats:
    """Return what an exposure without any quantifiable sample lies below: its largest LLOQ.

    An area lies below that limit over the whole window.
    """
    records = data.endpoint(trial, endpoint)
    who, lloq = records["patient"].values.astype(str), records["lloq"].values.astype(float)
    inside = (records["time"].values >= 0) & np.isfinite(lloq)
    top = np.array([max(lloq[inside & (who == i)], default=np.nan) for i in ids], dtype=float)
    return top * (_END if metric != "cmax" else 1.0)


def _ended_early(params: xr.Dataset, trial: xr.Dataset, metric: str) -> NDArray[np.bool_]:
    """Return whose sampling stopped before the metric was complete."""
    needed = ("last_sample", "cmax_is_last")
    if not all(n in params.variables for n in needed):
        extra = nca.table(trial, str(params.attrs["endpoint"]), parameters=list(needed))
        params = params.assign({n: extra[n].reindex(id=params["id"]) for n in needed})
    last = params["last_sample"].values.astype(float)
    if metric == "cmax":
        return (params["cmax_is_last"].values == 1) & (last < _END - _LATE)
    # A measured BLQ sample after Tlast ends the area at nothing, however early it was taken.
    late = last < _END - _LATE
    if "auc0_28_rule" not in params:
        return late
    rule = params["auc0_28_rule"].values.astype(str)
    return late & np.isin(rule, ("ends at the last sample", "ends at the next infusion"))


def _treat_partial(
    early: NDArray[np.bool_],
    status: NDArray[Any],
    value: Floats,
    reason: NDArray[Any],
    metric: str,
    partial: Partial,
) -> None:
    what = "the last sample is the highest" if metric == "cmax" else "no sample up to day 28"
    if partial == "keep":
        reason[early] = f"partial: {what}; used as it is"
    elif partial == "drop":
        status[early], value[early] = MISSING, np.nan
        reason[early] = f"partial: {what}; left out"
    else:
        status[early] = ABOVE
        reason[early] = f"partial: {what}; a lower bound"


def _early_note(ids: NDArray[np.str_], metric: str, partial: Partial) -> tuple[str, ...]:
    if not ids.size:
        return ()
    how = {
        "censor": "counts as a lower bound",
        "keep": "is used as it is and is biased low",
        "drop": "is left out",
    }[partial]
    who = ", ".join(str(i) for i in ids[:8]) + (", …" if ids.size > 8 else "")
    return (
        f"The {_METRICS[metric]} of {ids.size} patient{'s' if ids.size > 1 else ''} ({who}) is "
        f"partial, since sampling ended early, and {how}; early ends and DLTs go together.",
    )


# -- from a population fit


def _of_fit(
    result: FitResult,
    trial: xr.Dataset,
    metric: str,
    endpoint: str | None,
    n_draws: int,
    seed: int,
) -> Measured:
    design = result.structure.design.only(endpoint)
    ids = design.ids.astype(str)
    picked = picked_draws(result, n_draws, seed)
    own = _log_exposures(result, design, as_values(stacked(result.individual(), picked)), metric)
    rng = np.random.default_rng(seed)
    others = new_patient_draws(result.structure, stacked(result.draws(), picked), rng)
    prior = _log_exposures(result, design, others, metric)
    value, error, known = deconvolved(own, prior)
    given = nca.table(trial, design.endpoint, parameters=["cmax", "dose"])
    dose = given["dose"].reindex(id=ids).values.astype(float)
    unit = design.unit if metric == "cmax" else times(design.unit, "day")
    reason = np.where(known, "", "the fit learnt nothing of this patient's own exposure")
    share = float(np.mean(own.var(axis=0) / np.maximum(prior.var(axis=0), 1e-300)))
    note = (
        f"Exposure from {result.label}: on average {share:.0%} of the variance between patients is "
        "uncertainty of the patient's own value; it is carried as measurement error."
    )
    return Measured(
        metric, _METRICS[metric], unit, result.label, ids, dose, _levels(trial, ids),
        str(given.attrs.get("dose_units", "")), value, error,
        np.where(known, EXACT, MISSING).astype("<U8"), np.zeros(ids.size, dtype=bool), reason,
        (note,) if result.verdict.ok else (note, f"{result.label}: {result.verdict.sentence}"),
    )  # fmt: skip


def _log_exposures(
    result: FitResult, design: Any, values: Mapping[str, Floats], metric: str
) -> Floats:
    """Return ln exposure of each draw and patient, shape (draws, k)."""
    grid = np.linspace(0.0, _END, round(_END / _STEP) + 1)
    column = 0 if metric == "cmax" else 2
    out = []
    for i in range(design.n_patients):
        level = on_grid(result.structure.model, design, values, grid, [i], log=True)[..., 0, :]
        out.append(np.log(curve_exposures(grid, level, (0.0, _END), -np.inf)[column]))
    return np.stack(out, axis=-1)


def deconvolved(own: Floats, prior: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    r"""Return what the data alone say of each patient's ln exposure: value, error, and whether.

    Parameters
    ----------
    own, prior : ndarray, shape (draws, k)
        Draws of ln exposure of the patients, and of new patients with their covariates.

    Notes
    -----
    An individual posterior is pulled towards the population. As a datum with error it would be
    pulled twice, so the population is divided out: for normal distributions

    .. math:: s^{-2} = s_\text{post}^{-2} - s_\text{prior}^{-2}, \quad
              m = s^2 (m_\text{post} / s_\text{post}^2 - m_\text{prior} / s_\text{prior}^2).
    """
    post_var, prior_var = own.var(axis=0, ddof=1), prior.var(axis=0, ddof=1)
    floor = 1e-12 * np.maximum(prior_var, 1.0)
    post_var = np.maximum(post_var, floor)
    known = post_var < 0.95 * prior_var
    precision = np.where(known, 1.0 / post_var - 1.0 / np.maximum(prior_var, floor), 1.0)
    shifted = own.mean(axis=0) / post_var - prior.mean(axis=0) / np.maximum(prior_var, floor)
    value = np.where(known, shifted / precision, np.nan)
    return value, np.where(known, np.sqrt(1.0 / precision), np.nan), known
