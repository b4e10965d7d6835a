"""Residuals of every record: individual, conditional, and by simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._checks.common import attrs, coords, level_of_records, picked_draws, records
from cart_pkpd._checks.linearised import cwres
from cart_pkpd._checks.loo_pit import loo_pit
from cart_pkpd._checks.modes import Modes, individual_modes, medians
from cart_pkpd._checks.prediction_errors import prediction_errors
from cart_pkpd._checks.simulation import simulated_trials
from cart_pkpd._core.validate import as_seed, positive_int
from cart_pkpd._stats.design import ABOVE, BELOW, BETWEEN, Design

if TYPE_CHECKING:
    from cart_pkpd._fit.result import FitResult

RESIDUALS = {
    "ires": "individual residual",
    "iwres": "individual weighted residual (IWRES)",
    "cwres": "conditional weighted residual (CWRES)",
    "npd": "normalised prediction discrepancy (NPD)",
    "npde": "normalised prediction distribution error (NPDE)",
    "loo_pit": "leave-one-out probability (LOO-PIT)",
}
FEWEST_SIMS = 100  # a place among fewer simulated records is too coarse for tails
_CENSORED = {
    BELOW: "below the LLOQ: no value to compare",
    ABOVE: "above the ULOQ: no value to compare",
    BETWEEN: "known within an interval only",
}

type Array = NDArray[np.float64]
type _Found = tuple[Array, NDArray[np.str_]]


def residuals(
    result: FitResult,
    *,
    endpoint: str | None = None,
    n_draws: int = 400,
    n_sims: int = 1000,
    seed: int = 1,
) -> xr.Dataset:
    """Return predictions and residuals of every record.

    Parameters
    ----------
    result : FitResult
        A Bayesian fit.
    endpoint : str, optional
        The measure; needed only if the fit has several.
    n_draws : int
        Posterior draws behind PRED, IPRED and LOO-PIT, taken at random.
    n_sims : int
        Simulated trials behind NPD and NPDE.
    seed : int
        Source of randomness.

    Returns
    -------
    xr.Dataset
        Dim obs: ``dv``, ``censoring``, ``lloq``, ``pred`` (typical values and covariates) and
        ``ipred`` (posterior median of the patient's level), units of the endpoint; ``ires`` and
        the standardised ``iwres``, ``cwres``, ``npd``, ``npde``, ``loo_pit``. ``reason`` (obs,
        residual) is empty or says why a residual is NaN. ``mean``, ``sd`` and ``n`` (residual)
        sum each of them up: 0 and 1 are expected of cwres, npd and npde, 1/2 and 0.29 of
        loo_pit.

    Raises
    ------
    FitError
        If the fit has several endpoints and none is named.

    Notes
    -----
    g is ln for errors on the log scale and nothing else otherwise, s(f) the residual standard
    deviation at a prediction f with the residual parameters at their posterior medians.

    - IRES = g(DV) − g(IPRED); IWRES = IRES / s(IPRED). Censored records have neither.
    - CWRES = C^(−1/2) (g(DV) − f + G η), with C = G Ω Gᵀ + Σ, at each patient's most probable
      deviation η, where f is the prediction on the scale of g and G its exact derivatives by η;
      population at its posterior medians, symmetric root [1]_. Censored records take part in
      finding the mode but have no residual. Non-expanders deviate from the lower normal.
    - NPD: normal score of DV among simulated trials, which draw the population from the
      posterior and new patients from it [2]_. NPDE: the scores of each patient made
      uncorrelated with the Cholesky root of the simulated scores' covariance, and ranked again
      [3]_. Scores rather than values are made uncorrelated: like a rank, the result is the same
      on any scale, and heavy tails and non-expanders do no harm.
    - A censored record stands anywhere within its probability of being censored, drawn with
      equal chance; simulated records beyond their limits likewise [4]_.
    - LOO-PIT: probability of a value up to DV given all other records, the patient's own too.

    References
    ----------
    .. [1] Hooker, Staatz & Karlsson (2007), Pharm Res 24:2187.
    .. [2] Mentré & Escolano (2006), J Pharmacokinet Pharmacodyn 33:345.
    .. [3] Brendel et al. (2006), Pharm Res 23:2036.
    .. [4] Nguyen, Comets & Mentré (2012), J Pharmacokinet Pharmacodyn 39:499.
    """
    structure = result.structure
    design = structure.design.only(endpoint)
    if positive_int(n_sims, "n_sims") < FEWEST_SIMS:
        raise ValueError(
            f"n_sims={n_sims}: NPD and NPDE are places among simulated records and need at least "
            f"{FEWEST_SIMS}; 1000 is usual."
        )
    seed = as_seed(seed)
    picked = picked_draws(result, positive_int(n_draws, "n_draws"), seed)
    ipred, pred = level_of_records(result, design, picked)
    rng = np.random.default_rng([seed, 1])
    simulated = simulated_trials(result, design, n_sims, seed)
    errors = prediction_errors(design, simulated, rng)
    modes = individual_modes(result)
    found: dict[str, _Found] = {
        **_individual(result, design, ipred),
        "cwres": _without_censored(design, *_conditional(result, design, modes)),
        "npd": (errors.npd, errors.npd_reason),
        "npde": (errors.npde, errors.npde_reason),
        "loo_pit": loo_pit(result, design, picked, rng),
    }
    level = {"units": design.unit, "long_name": design.label}
    return xr.Dataset(
        {
            **records(design),
            "uloq": ("obs", design.uloq, {**level, "long_name": "ULOQ"}),
            "pred": ("obs", pred, {**level, "long_name": "population prediction"}),
            "ipred": ("obs", ipred, {**level, "long_name": "individual prediction"}),
            **{k: ("obs", found[k][0], _attrs(result, design, k)) for k in RESIDUALS},
            "reason": (("obs", "residual"), np.stack([found[k][1] for k in RESIDUALS], axis=1)),
            **_summary(found),
        },
        coords={**coords(design), "residual": np.array(list(RESIDUALS))},
        attrs={**attrs(result, design), "n_sims": n_sims, "n_draws": n_draws, "seed": seed},
    )


def _attrs(result: FitResult, design: Design, name: str) -> dict[str, str]:
    error = result.structure.errors[result.structure.design.index(design.endpoint)]
    natural = name == "ires" and not error.on_log
    text = RESIDUALS[name] + (" of ln" if name == "ires" and error.on_log else "")
    return {"units": design.unit if natural else "1", "long_name": text}


def _summary(found: dict[str, _Found]) -> dict[str, tuple[str, Array]]:
    values = [found[k][0][np.isfinite(found[k][0])] for k in RESIDUALS]
    return {
        "mean": ("residual", np.array([v.mean() if v.size else np.nan for v in values])),
        "sd": ("residual", np.array([v.std(ddof=1) if v.size > 1 else np.nan for v in values])),
        "n": ("residual", np.array([float(v.size) for v in values])),
    }


def _individual(result: FitResult, design: Design, ipred: Array) -> dict[str, _Found]:
    """Return IRES and IWRES."""
    m = result.structure.design.index(design.endpoint)
    error = result.structure.errors[m]
    with np.errstate(divide="ignore", invalid="ignore"):
        f = np.asarray(error.on_scale(ipred), dtype=float)
        ires = np.asarray(error.on_scale(design.dv), dtype=float) - f
        iwres = ires / _sd(result, design, f)
    both = {}
    for name, value in (("ires", ires), ("iwres", iwres)):
        bad = ~np.isfinite(value)
        why = np.where(bad, "no residual at an individual prediction of 0", "")
        both[name] = _without_censored(design, np.where(bad, np.nan, value), why)
    return both


def _sd(result: FitResult, design: Design, f: Array) -> Array:
    """Return the residual SD at predictions on the error's scale, at posterior medians."""
    structure = result.structure
    m = structure.design.index(design.endpoint)
    at = medians(result)
    sigmas = structure.sigmas({q.name: float(at[q.name]) for q in structure.of_role("residual")})
    error = structure.errors[m]
    return np.broadcast_to(np.asarray(error.scale(f, sigmas[m]), float) * error.base.sd, f.shape)


def _conditional(result: FitResult, design: Design, modes: Modes) -> _Found:
    structure = result.structure
    mine = structure.design.measure == structure.design.index(design.endpoint)
    return cwres(result, design.endpoint, modes, _sd(result, design, modes.prediction[mine]))


def _without_censored(design: Design, value: Array, why: NDArray[np.str_]) -> _Found:
    """Return a residual that only quantified records have."""
    value, why = value.copy(), why.astype("<U80")
    for code, text in _CENSORED.items():
        value[design.code == code] = np.nan
        why[design.code == code] = text
    return value, why
