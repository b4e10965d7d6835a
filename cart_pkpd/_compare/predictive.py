"""Bayesian fits ranked by what they predict of records that they have not seen."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from cart_pkpd._core.errors import FitError

if TYPE_CHECKING:
    from cart_pkpd._fit.result import FitResult
    from cart_pkpd._fit.sample import OnProgress

PATIENT, RECORD = "patient", "record"
WAYS = (PATIENT, RECORD)
_OF_PATIENTS = ("elpd", "mcse", "pareto_k", "inner_ess", "reason")
_TOTALS = ("elpd", "se", "mcse", "p", "good_k", "reliable", "sentence")
_OF_OTHER = ("elpd", "se", "elpd_diff", "dse", "weight", "pareto_k_bad")

type Numbers = dict[str, dict[str, Any]]


def left_out_patients(
    fits: Mapping[str, FitResult],
    *,
    seed: int,
    n_draws: int,
    n_samples: int,
    progress: OnProgress | None,
) -> xr.Dataset:
    """Return what each fit predicts of every patient left out; see ``compare.patients``."""
    from cart_pkpd.checks import leave_one_patient_out

    each = []
    for fit in fits.values():
        loo = leave_one_patient_out(
            fit, seed=seed, n_draws=n_draws, n_samples=n_samples, progress=progress
        )
        totals = {f"total_{k}": loo.attrs[k] for k in _TOTALS}
        own = loo[list(_OF_PATIENTS)].drop_vars(["chain", "draw"], errors="ignore")
        each.append(own.drop_attrs(deep=False).assign(totals))
    names = xr.DataArray(list(fits), dims="fit", name="fit")
    out = xr.concat(each, dim=names, join="exact")
    return out.assign_attrs(seed=seed, n_draws=n_draws, n_samples=n_samples)


def columns(fits: Mapping[str, FitResult], by: str, patients: xr.Dataset | None) -> Numbers:
    """Return rank, elpd and diagnostics of fits that converged, and those of the other way.

    Parameters
    ----------
    fits : mapping of str to FitResult
        All converged, on the same records.
    by : str
        The way that ranks; its columns have bare names, those of the other its name behind.
    patients : xr.Dataset or None
        From :func:`left_out_patients`; None leaves the columns by patient out.
    """
    if not fits:
        return {}
    ways = {RECORD: by_record(fits), PATIENT: by_patient(fits, patients)}
    other = RECORD if by == PATIENT else PATIENT
    out: Numbers = {}
    for name in fits:
        second = ways[other].get(name, {})
        more = {f"{k}_{other}": second[k] for k in _OF_OTHER if k in second}
        out[name] = {**ways[by].get(name, {}), **more}
    return out


def by_patient(fits: Mapping[str, FitResult], patients: xr.Dataset | None) -> Numbers:
    """Return the predictive columns of every fit, patients left out; those without elpd apart.

    Raises
    ------
    FitError
        If `patients` is of other fits or other patients.
    """
    if not fits or patients is None:
        return {}
    _check_patients(fits, patients)
    elpds, out = {}, {}
    for name in fits:
        one = patients.sel(fit=name)
        out[name] = _totals(one)
        if np.isfinite(one["total_elpd"]):
            elpds[name] = _pointwise(one)
    for name, numbers in _ranks(elpds).items():
        out[name] |= numbers
    return out


def _check_patients(fits: Mapping[str, FitResult], patients: xr.Dataset) -> None:
    known = [str(n) for n in patients["fit"].to_numpy()]
    missing = [name for name in fits if name not in known]
    if missing:
        raise FitError(
            f"patients= holds no fit {missing[0]!r}; compute it with compare.patients on these "
            "fits."
        )
    ids = next(iter(fits.values())).structure.design.ids
    if not np.array_equal(patients["id"].to_numpy().astype(str), ids):
        raise FitError("patients= is of other patients than the fits; compute it again.")


def _totals(one: xr.Dataset) -> dict[str, Any]:
    k = one["pareto_k"].to_numpy()
    return {
        **{name: float(one[f"total_{name}"]) for name in ("elpd", "se", "mcse", "p")},
        "reliable": bool(one["total_reliable"]),
        "note": str(one["total_sentence"].item()),
        "pareto_k_bad": int((k > float(one["total_good_k"])).sum()),
        "pareto_k_max": float(np.nanmax(k)) if np.isfinite(k).any() else np.nan,
        "inner_ess_min": float(one["inner_ess"].min()),
    }


def _pointwise(one: xr.Dataset) -> Any:
    """Return elpd by patient in the form that ArviZ compares."""
    from arviz_stats.utils import ELPDDataLOO

    good_k = float(one["total_good_k"])
    return ELPDDataLOO(
        elpd=float(one["total_elpd"]),
        se=float(one["total_se"]),
        p=float(one["total_p"]),
        n_samples=1,
        n_data_points=one.sizes["id"],
        scale="log",
        warning=False,
        good_k=good_k,
        elpd_i=one["elpd"].drop_vars([c for c in one.coords if c != "id"]),
        pareto_k=one["pareto_k"],
        approx_posterior=False,
    )


def by_record(fits: Mapping[str, FitResult]) -> Numbers:
    """Return the predictive columns of every fit, records left out; nothing without densities."""
    if not fits or any("log_likelihood" not in fit.tree.children for fit in fits.values()):
        return {}
    import arviz as az

    elpds = {name: _quietly(az.loo, fit.tree, pointwise=True) for name, fit in fits.items()}
    ranks = _ranks(elpds)
    return {name: _of_records(elpd) | ranks[name] for name, elpd in elpds.items()}


def _of_records(elpd: Any) -> dict[str, Any]:
    bad, largest = int((elpd.pareto_k.to_numpy() > elpd.good_k).sum()), float(elpd.pareto_k.max())
    note = (
        f"Not reliable: Pareto k above {elpd.good_k:.2f} for {bad} of {elpd.n_data_points} records."
        if bad
        else f"Reliable: Pareto k at most {largest:.2f}."
    )
    return {
        "elpd": float(elpd.elpd),
        "se": float(elpd.se),
        "p": float(elpd.p),
        "pareto_k_bad": bad,
        "pareto_k_max": largest,
        "reliable": not bad,
        "note": note,
    }


def _ranks(elpds: Mapping[str, Any]) -> Numbers:
    """Return rank, paired difference, its standard error and stacking weight of each."""
    import arviz as az

    if len(elpds) < 2:
        alone = {"rank": 1, "elpd_diff": 0.0, "dse": 0.0, "weight": 1.0}
        return {name: dict(alone) for name in elpds}
    compared = _quietly(az.compare, dict(elpds), round_to="none")
    out = {}
    for name in elpds:
        row = compared.loc[name]
        out[name] = {k: float(row[k]) for k in ("elpd_diff", "dse", "weight")}
        out[name]["rank"] = int(row["rank"]) + 1
    return out


def _quietly(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    # Large Pareto k are counted in the table; the warning would only repeat it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return function(*args, **options)
