"""Patients' deviations from the population: size, shrinkage, and what they go with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import special, stats

from cart_pkpd._checks.common import interval_edges
from cart_pkpd._checks.modes import individual_modes, medians
from cart_pkpd._checks.shrinkage import eta_draws
from cart_pkpd._checks.strata import about
from cart_pkpd._core.errors import FitError
from cart_pkpd._stats.design import Design
from cart_pkpd._stats.population import Structure
from cart_pkpd.models._occasions import deviations_of

if TYPE_CHECKING:
    from cart_pkpd._fit.result import FitResult

_FEWEST = 4

type Array = NDArray[np.float64]


def etas(result: FitResult, *, prob: float = 0.9) -> xr.Dataset:
    """Return every patient's deviations, their shrinkage, and how they go with covariates.

    Deviations on occasions (``kappa_<parameter>_<occasion>``) stand beside those of the patient;
    in shrinkage and correlations each counts in the patients who had the occasion.

    Parameters
    ----------
    result : FitResult
        A Bayesian fit with parameters that vary between patients.
    prob : float
        Probability of the equal-tailed intervals.

    Returns
    -------
    xr.Dataset
        Dims id, parameter: ``mean``, ``lower``, ``upper`` (posterior) and ``mode`` (most
        probable, with the population at its posterior medians), all on the parameter's free
        scale. Dim parameter: ``omega`` (posterior median), ``shrinkage`` and ``shrinkage_mode``
        (1 − sd / omega). Dims id, covariate: ``value``, and ``text`` where a covariate is text,
        whose values are then numbered in alphabetical order. Dims parameter, covariate:
        ``spearman``, ``spearman_lower``, ``spearman_upper``, ``n`` and ``reason``. Dims
        parameter, other: ``correlation``, the posterior median of the population's.
        Coords per parameter: ``label``, for people, and ``scale``.

    Raises
    ------
    FitError
        If no parameter varies between patients.

    Notes
    -----
    Rank correlations are of the posterior means. Where shrinkage is large they are drawn towards
    that of another parameter, or of a covariate that the fit has, and say little (Savic &
    Karlsson 2009, AAPS J 11:558). Intervals are on Fisher's scale with the standard error
    √((1 + r²/2) / (n − 3)) of Bonett & Wright (2000), Psychometrika 65:23. Covariates that the
    fit has are taken out already. Non-expanders deviate from the mean of their own group.
    """
    structure = result.structure
    names, acts = structure.random.names, structure.acts
    if not names:
        raise FitError("no parameter varies between patients: name some in iiv= and fit again.")
    draws = [eta_draws(result, n).transpose("chain", "draw", "id").to_numpy() for n in names]
    each = np.stack([d.reshape(-1, d.shape[-1]) for d in draws], axis=-1)
    mean = each.mean(axis=0)
    _, lower, upper = np.quantile(each, interval_edges(prob), axis=0)
    mode = individual_modes(result).eta
    at = medians(result)
    omega = np.array([float(at[sd]) for sd in structure.random.sds])
    free = {"units": "1"}
    sides = ("id", "parameter")
    return xr.Dataset(
        {
            "mean": (sides, mean, free),
            "lower": (sides, lower, free),
            "upper": (sides, upper, free),
            "mode": (sides, mode, free),
            "omega": ("parameter", omega, free),
            "correlation": (("parameter", "other"), _correlation(structure, at), free),
            "shrinkage": ("parameter", _shrinkage(mean, omega, acts), free),
            "shrinkage_mode": ("parameter", _shrinkage(mode, omega, acts), free),
            **_against_covariates(np.where(acts, mean, np.nan), structure.design, prob),
        },
        coords={
            "id": structure.design.ids,
            "parameter": np.array(names, dtype=str),
            "other": np.array(names, dtype=str),
            "label": ("parameter", _labels(structure)),
            "scale": ("parameter", np.array([structure.model.parameters[n].scale for n in names])),
        },
        attrs={"fit": result.label, "converged": int(result.verdict.ok), "prob": prob},
    )


def _labels(structure: Structure) -> NDArray[np.str_]:
    """Return what each deviation is called by people: η of a patient, κ of an occasion."""
    apart = deviations_of(structure.model)
    words = {n: f"κ {parameter}, occasion {o}" for n, (parameter, o) in apart.items()}
    return np.array([words.get(n, f"η {n}") for n in structure.random.names], dtype=str)


def _correlation(structure: Structure, at: xr.Dataset) -> Array:
    """Return the correlations of the population, each at its posterior median."""
    out = np.eye(structure.random.size)
    both = zip(structure.random.correlations, structure.random.pairs, strict=True)
    for name, (a, b) in both:
        out[a, b] = out[b, a] = float(at[name])
    return out


def _shrinkage(eta: Array, omega: Array, acts: NDArray[np.bool_]) -> Array:
    """Return 1 - sd(eta) / omega of the patients in whom each effect acts."""
    own = [eta[acts[:, i], i] for i in range(omega.size)]
    scatter = np.array([e.std(ddof=1) if e.size > 1 else np.nan for e in own])
    return 1.0 - scatter / omega


def _against_covariates(eta: Array, design: Design, prob: float) -> dict[str, Any]:
    """Return covariates as numbers and the rank correlation of every pair."""
    subjects = design.subjects
    names = [str(v) for v in subjects.data_vars if subjects[v].dims == ("id",)]
    columns = [_as_numbers(subjects[v]) for v in names]
    k, p = eta.shape
    shape = (p, len(names))
    found = {n: np.full(shape, np.nan) for n in ("spearman", "lower", "upper", "n")}
    why = np.full(shape, "", dtype="<U80")
    for c, (value, _) in enumerate(columns):
        is_text = subjects[names[c]].dtype.kind not in "fiub"
        for j in range(p):
            r = _rank_correlation(eta[:, j], value, is_text, prob)
            for n, v in zip(found, r[:4], strict=True):
                found[n][j, c] = v
            why[j, c] = r[4]
    values = np.stack([v for v, _ in columns], axis=1) if names else np.empty((k, 0))
    text = np.stack([t for _, t in columns], axis=1) if names else np.empty((k, 0), dtype=str)
    both = ("parameter", "covariate")
    return {
        "spearman": (both, found["spearman"]),
        "spearman_lower": (both, found["lower"]),
        "spearman_upper": (both, found["upper"]),
        "n": (both, found["n"]),
        "reason": (both, why),
        "value": (("id", "covariate"), values),
        "text": (("id", "covariate"), text),
        "covariate": ("covariate", np.array(names, dtype=str)),
        "covariate_label": ("covariate", np.array([_label(subjects[n]) for n in names], dtype=str)),
        "covariate_units": (
            "covariate",
            np.array([str(about(design, n).get("units", "")) for n in names], dtype=str),
        ),
    }


def _label(values: xr.DataArray) -> str:
    """Return a covariate's label, empty where that only repeats the header of the table."""
    text = str(values.attrs.get("long_name") or "")
    return "" if text == values.attrs.get("column") else text


def _as_numbers(values: xr.DataArray) -> tuple[Array, NDArray[np.str_]]:
    """Return a covariate as numbers, NaN where missing, and as text where it is text."""
    if values.dtype.kind in "fiub":
        return values.to_numpy().astype(float), np.full(values.size, "", dtype="<U1")
    text = values.to_numpy().astype(str)
    levels = np.unique(text[text != ""])
    return np.where(text == "", np.nan, np.searchsorted(levels, text).astype(float)), text


def _rank_correlation(
    eta: Array, value: Array, is_text: bool, prob: float
) -> tuple[float, float, float, float, str]:
    """Return Spearman's correlation, its interval, the number of patients, and a reason."""
    known = np.isfinite(value) & np.isfinite(eta)
    n = int(known.sum())
    different = np.unique(value[known]).size
    why = ""
    if n < _FEWEST:
        why = f"only {n} patients with a value"
    elif different < 2:
        why = "all patients have the same value"
    elif is_text and different > 2:
        why = f"text with {different} values has no order"
    if why:
        return np.nan, np.nan, np.nan, float(n), why
    r = float(stats.spearmanr(eta[known], value[known]).statistic)
    width = special.ndtri((1 + prob) / 2) * np.sqrt((1 + r**2 / 2) / (n - 3))
    z = np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12))
    return r, float(np.tanh(z - width)), float(np.tanh(z + width)), float(n), ""
