"""What the priors expect of a trial, before its measurements have been looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from cart_pkpd import fit, models
from cart_pkpd._checks.common import coords, records
from cart_pkpd._checks.predictive_exposure import analysed, censored, measured, parameters_of
from cart_pkpd._checks.simulation import limits, measurements
from cart_pkpd._checks.strata import about, by_patient
from cart_pkpd._checks.vpc import bin_edges
from cart_pkpd._core.validate import as_seed, positive_int
from cart_pkpd._fit.draws import prior_draws
from cart_pkpd._stats.design import ABOVE, BELOW, BETWEEN, Design
from cart_pkpd._stats.population import Population

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
TAILS = ("below_lloq", "above_uloq", "above_largest", "ten_fold_above_largest")

type Array = NDArray[np.float64]


def prior_predictive(
    model: models.Model | str,
    trial: xr.Dataset,
    population: Population,
    *,
    endpoint: str | Sequence[str] = "transgene",
    show: str | None = None,
    n_sims: int = 300,
    by: str | None = None,
    bins: int | ArrayLike | None = None,
    window: tuple[float, float] = (0.0, 28.0),
    seed: int = 1,
    **rules: Any,
) -> xr.Dataset:
    """Return what the priors expect of the trial's own design, beside what was measured.

    Every simulated trial draws the population from the priors, then patients with the doses,
    covariates and times of the real ones, then residual errors. Priors are good where the data
    look ordinary among the simulated, and impossible values are rare.

    Parameters
    ----------
    model, trial, population, endpoint
        As for ``fit.bayes``.
    show : str, optional
        Which of several endpoints; needed only then.
    n_sims : int
        Simulated trials.
    by : str, optional
        Patient-level variable that defines strata.
    bins : int or array_like, optional
        Number of time bins, or their edges of the time bins [day]; by default as in ``checks.vpc``.
    window : tuple of float
        Start and end of the area. [day]
    seed : int
        Source of randomness.
    **rules
        Rules of the non-compartmental analysis, see ``nca.Rules``.

    Returns
    -------
    xr.Dataset
        Dims stratum, bin, quantile (0.05, 0.25, 0.5, 0.75, 0.95): ``simulated``, over patients
        and trials, not censored; dims stratum, bin: ``n`` records; the records themselves. Dim
        tail: ``share_observed``, ``share_simulated`` and ``reason``: shares of records below
        their LLOQ, above their ULOQ, and above the largest measured value and ten times that.
        Dims simulation, id, parameter (``cmax`` and the area, such as ``auc0_28``):
        ``exposure_simulated``; dims id, parameter: ``exposure_observed``; dims parameter,
        quantile: ``exposure_quantile``; dim parameter: ``exposure_place``, the share of simulated
        exposures below the median observed one. Attrs: ``unsolved``, how many simulated patients
        had no solution (left out everywhere), of ``n_patients``.

    Raises
    ------
    FitError
        If model, population and data do not fit together, or several endpoints are fitted and
        none is named.
    ValueError
        If the trial has no variable `by`, or the window is empty.

    Notes
    -----
    Measured and simulated profiles go through the same non-compartmental analysis, with the limits
    of quantification of the trial (Gabry et al. 2019, J R Stat Soc A 182:389, for the idea of
    looking at priors through data). Covariate effects are drawn, too.
    """
    structure = fit.structure(model, trial, population, endpoint=endpoint)
    design = structure.design.only(show, "show")
    names, seed = parameters_of(window, design.unit), as_seed(seed)
    stratum, strata = by_patient(design, by, "prior_predictive")
    draws = prior_draws(structure, positive_int(n_sims, "n_sims"), seed)
    rng = np.random.default_rng([seed, 1])
    with np.errstate(all="ignore"):  # wide priors may leave what numbers can hold
        dv = measurements(structure, design, draws.rename(draw="sample"), rng)
    solved = _solved(dv, design)
    dv = np.where(solved[:, design.patient], dv, np.nan)
    edges = bin_edges(design, bins)
    bin_of = np.clip(np.searchsorted(edges, design.time, side="right") - 1, 0, len(edges) - 2)
    exposure = analysed(design, *censored(design, dv), names, window, rules)
    exposure = np.where(solved[..., None], exposure, np.nan)
    own = analysed(design, *measured(design), names, window, rules)[0]
    level = {"units": design.unit, "long_name": design.label}
    cells = _cells(dv, stratum[design.patient], len(strata), bin_of, len(edges) - 1)
    return xr.Dataset(
        {
            "simulated": (("stratum", "bin", "quantile"), cells[0], level),
            "n": (("stratum", "bin"), cells[1]),
            **records(design),
            **_shares(design, dv),
            "exposure_simulated": (("simulation", "id", "parameter"), exposure),
            "exposure_observed": (("id", "parameter"), own),
            **_exposure(exposure, own),
        },
        coords={
            **coords(design),
            **({} if by is None else {by: ("id", design.subjects[by].to_numpy())}),
            "uloq": ("obs", design.uloq, level),
            "stratum": ("stratum", np.array(strata), about(design, by)),
            "quantile": np.array(QUANTILES),
            "tail": np.array(TAILS),
            "parameter": np.array([*names]),
            "units": ("parameter", np.array([*names.values()])),
            "bin_left": ("bin", edges[:-1], {"units": "day"}),
            "bin_right": ("bin", edges[1:], {"units": "day"}),
            "bin_time": ("bin", _middles(design, bin_of, len(edges) - 1), {"units": "day"}),
        },
        attrs={
            "endpoint": design.endpoint,
            "label": design.label,
            "units": design.unit,
            "model": structure.model.name or type(structure.model).__name__,
            "n_sims": n_sims,
            "n_patients": int(solved.size),
            "unsolved": int((~solved).sum()),
            "by": by or "",
            "seed": seed,
        },
    )


def _solved(dv: Array, design: Design) -> NDArray[np.bool_]:
    """Return whether every record of each simulated patient is a number, shape (s, k)."""
    bad = np.zeros((dv.shape[0], design.n_patients), dtype=bool)
    for trial, row in zip(*np.nonzero(np.isnan(dv)), strict=True):
        bad[trial, design.patient[row]] = True
    return ~bad


def _cells(
    dv: Array, stratum_of: NDArray[np.int64], n_strata: int, bin_of: NDArray[np.int64], n_bins: int
) -> tuple[Array, Array]:
    """Return quantiles of each stratum and bin over records and trials, and numbers of records."""
    out = np.full((n_strata, n_bins, len(QUANTILES)), np.nan)
    n = np.zeros((n_strata, n_bins))
    for s in range(n_strata):
        for b in range(n_bins):
            rows = (stratum_of == s) & (bin_of == b)
            n[s, b] = rows.sum()
            values = dv[:, rows].ravel()
            values = values[~np.isnan(values)]
            if values.size:
                # Infinite values have an order, but no mean of two of them.
                out[s, b] = np.quantile(values, QUANTILES, method="inverted_cdf")
    return out, n


def _middles(design: Design, bin_of: NDArray[np.int64], n: int) -> Array:
    own = (design.time[bin_of == b] for b in range(n))
    return np.array([np.median(t) if t.size else np.nan for t in own])


def _shares(design: Design, dv: Array) -> dict[str, Any]:
    """Return shares of records beyond limits, measured and simulated."""
    lloq, uloq = limits(design)
    below = (design.code == BELOW) | ((design.code == BETWEEN) & (design.dv <= design.lloq))
    quantified = design.dv[~below]
    largest = float(quantified.max()) if quantified.size else np.nan
    simulated = (
        _share(dv < lloq, dv, np.isfinite(lloq)),
        _share(dv > uloq, dv, np.isfinite(uloq)),
        *(_share(dv > times * largest, dv, np.isfinite(largest)) for times in (1.0, 10.0)),
    )
    observed = (
        _share(below, design.dv, np.isfinite(lloq)),
        _share(design.code == ABOVE, design.dv, np.isfinite(uloq)),
        *((0.0, 0.0) if quantified.size else (np.nan, np.nan)),
    )
    why = ("no record has an LLOQ", "no record has a ULOQ", *2 * ("no record is quantified",))
    reason = ["" if np.isfinite(s) else w for s, w in zip(simulated, why, strict=True)]
    return {
        "share_observed": ("tail", np.array(observed), {"units": "1"}),
        "share_simulated": ("tail", np.array(simulated), {"units": "1"}),
        "reason": ("tail", np.array(reason)),
    }


def _share(beyond: NDArray[np.bool_], values: Array, known: Any) -> float:
    counted = ~np.isnan(values) & known
    return float(beyond[counted].mean()) if counted.any() else float("nan")


def _exposure(simulated: Array, own: Array) -> dict[str, Any]:
    """Return quantiles of simulated exposures, and where the median observed one lies among them.

    Patients without a quantified value have an exposure of 0 or none; they count as lowest.
    """
    p = simulated.shape[-1]
    quantiles, place = np.full((p, len(QUANTILES)), np.nan), np.full(p, np.nan)
    for j in range(p):
        values = simulated[..., j]
        values = values[np.isfinite(values)]
        known = own[np.isfinite(own[:, j]) & (own[:, j] > 0), j]
        if values.size:
            quantiles[j] = np.quantile(values, QUANTILES, method="inverted_cdf")
        if values.size and known.size:
            place[j] = np.mean(values < np.median(known))
    return {
        "exposure_quantile": (("parameter", "quantile"), quantiles),
        "exposure_place": ("parameter", place, {"units": "1"}),
    }
