"""Visual predictive check with records beyond the limits of quantification."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from cart_pkpd._checks.common import (
    attrs,
    coords,
    interval_edges,
    picked_draws,
    records,
    stacked,
)
from cart_pkpd._core.validate import positive_int
from cart_pkpd._fit.draws import new_patient_draws, residual_draws
from cart_pkpd._stats.design import ABOVE, BELOW, BETWEEN, Design
from cart_pkpd._stats.predict import predict

if TYPE_CHECKING:
    from cart_pkpd._fit.result import FitResult

_QUANTILES = (0.05, 0.5, 0.95)
_PER_BIN = 12


def vpc(
    result: FitResult,
    *,
    endpoint: str | None = None,
    n_sims: int = 500,
    by: str | None = None,
    bins: ArrayLike | None = None,
    prob: float = 0.9,
    seed: int = 1,
) -> xr.Dataset:
    """Return a visual predictive check with the share of records below the LLOQ.

    Every simulated trial takes one posterior draw, draws new patients with the covariates,
    times and limits of the real ones, adds residual error and censors. Quantiles of observed
    and simulated levels count a value below the LLOQ as lower than every quantified one, and
    above the ULOQ as higher; a quantile that falls beyond a limit is NaN. The BLQ share shows
    the lower tail instead.

    Parameters
    ----------
    result : FitResult
        A Bayesian fit.
    endpoint : str, optional
        The measure; needed only if the fit has several.
    n_sims : int
        Simulated trials.
    by : str, optional
        Patient-level variable that defines strata.
    bins : array_like, optional
        Edges of the time bins [day]; by default the planned times, or bins of about equal
        numbers of records.
    prob : float
        Probability of the simulation intervals.
    seed : int
        Source of randomness.

    Returns
    -------
    xr.Dataset
        Dims stratum, bin, quantile (0.05, 0.5, 0.95): ``observed``, ``simulated_median``,
        ``simulated_lower``, ``simulated_upper``; dims stratum, bin: ``n``, ``blq_observed``,
        ``blq_median``, ``blq_lower``, ``blq_upper`` (shares); coords ``bin_left``, ``bin_right``,
        ``bin_time`` [day]; and the records.

    Raises
    ------
    FitError
        If the fit has several endpoints and none is named.
    ValueError
        If the trial has no variable `by`.

    References
    ----------
    Bergstrand & Karlsson (2009), AAPS J 11:371, for predictive checks with censored data.
    """
    design = result.structure.design.only(endpoint)
    edges = _bin_edges(design, bins)
    bin_of = np.clip(np.searchsorted(edges, design.time, side="right") - 1, 0, len(edges) - 2)
    stratum_of, strata = _strata(design, by)
    simulated = _simulated(result, design, positive_int(n_sims, "n_sims"), seed)
    below = (design.code == BELOW) | ((design.code == BETWEEN) & (design.dv <= design.lloq))
    observed = _censored(design.dv, below, design.code == ABOVE)[None, :]
    shape = (len(strata), len(edges) - 1)
    out = _empty(shape)
    for s in range(shape[0]):
        for b in range(shape[1]):
            rows = np.flatnonzero((stratum_of == s) & (bin_of == b))
            if rows.size:
                _fill(out, (s, b), observed[:, rows], simulated[:, rows], interval_edges(prob))
    level = {"units": design.unit, "long_name": design.label}
    share = {"units": "1"}
    time = np.array([
        np.median(design.time[bin_of == b]) if (bin_of == b).any() else np.nan
        for b in range(shape[1])
    ])  # fmt: skip
    return xr.Dataset(
        {
            **{
                k: (("stratum", "bin", "quantile")[: v.ndim], v, level if v.ndim == 3 else share)
                for k, v in out.items()
            },
            **records(design),
        },
        coords={
            **coords(design),
            "stratum": np.array(strata),
            "quantile": np.array(_QUANTILES),
            "bin_left": ("bin", edges[:-1], {"units": "day"}),
            "bin_right": ("bin", edges[1:], {"units": "day"}),
            "bin_time": ("bin", time, {"units": "day"}),
        },
        attrs={**attrs(result, design), "prob": prob, "n_sims": n_sims, "by": by or ""},
    )


def _bin_edges(design: Design, bins: ArrayLike | None) -> NDArray[np.float64]:
    """Return increasing edges that hold every record."""
    if bins is not None:
        edges = np.unique(np.asarray(bins, dtype=float))
    elif np.isfinite(design.nominal_time).all():
        planned = np.unique(design.nominal_time)
        edges = np.concatenate([[-np.inf], (planned[1:] + planned[:-1]) / 2, [np.inf]])
    else:
        n = max(1, min(10, design.n_obs // _PER_BIN))
        edges = np.unique(np.quantile(design.time, np.linspace(0, 1, n + 1)))
    low, high = float(design.time.min()), float(design.time.max())
    inner = edges[(edges > low) & (edges < high)]
    return np.concatenate([[low], inner, [np.nextafter(high, np.inf)]])


def _strata(design: Design, by: str | None) -> tuple[NDArray[np.int64], list[str]]:
    if by is None:
        return np.zeros(design.n_obs, dtype=np.int64), ["all"]
    if by not in design.subjects:
        raise ValueError(
            f"vpc: the trial has no patient-level variable {by!r}. "
            f"It has: {', '.join(str(v) for v in design.subjects)}."
        )
    values, inverse = np.unique(design.subjects[by].to_numpy(), return_inverse=True)
    return inverse[design.patient].astype(np.int64), [
        f"{v:g}" if isinstance(v, float) else str(v) for v in values
    ]


def _simulated(result: FitResult, design: Design, n_sims: int, seed: int) -> NDArray[np.float64]:
    """Return simulated measurements, shape (n_sims, n); infinite beyond a limit."""
    structure = result.structure
    m = structure.design.index(design.endpoint)
    error = structure.errors[m]
    rng = np.random.default_rng(seed)
    draws = stacked(result.draws(), picked_draws(result, n_sims, seed))
    patients = new_patient_draws(structure, draws, rng)
    f = predict(structure.model, design, patients, log=(error.on_log,))
    sigmas = structure.sigmas(residual_draws(structure, draws))[m]
    noise = error.base.quantile(rng.uniform(size=f.shape))
    on_scale = f + error.scale(f, sigmas) * noise
    dv = np.exp(on_scale) if error.on_log else on_scale
    lloq = np.where(design.code == BELOW, design.dv, design.lloq)
    uloq = np.where(design.code == ABOVE, design.dv, design.uloq)
    return _censored(dv, dv < lloq, dv > uloq)


def _censored(
    dv: NDArray[np.float64], below: NDArray[np.bool_], above: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return `dv` with −inf below the LLOQ and +inf above the ULOQ: order without values."""
    return np.where(below, -np.inf, np.where(above, np.inf, dv))


def _empty(shape: tuple[int, int]) -> dict[str, NDArray[np.float64]]:
    deep = (*shape, len(_QUANTILES))
    names = ("observed", "simulated_median", "simulated_lower", "simulated_upper")
    shares = ("blq_observed", "blq_median", "blq_lower", "blq_upper", "n")
    return {
        **{k: np.full(deep, np.nan) for k in names},
        **{k: np.full(shape, np.nan) for k in shares},
    }


def _fill(
    out: dict[str, NDArray[np.float64]],
    cell: tuple[int, int],
    observed: NDArray[np.float64],
    simulated: NDArray[np.float64],
    edges: NDArray[np.float64],
) -> None:
    out["n"][cell] = observed.shape[1]
    out["observed"][cell] = _finite(_quantiles(observed)[:, 0])
    out["blq_observed"][cell] = np.mean(np.isneginf(observed))
    per_trial = _quantiles(simulated)
    over_trials = np.quantile(per_trial, edges, axis=1, method="inverted_cdf")
    for name, values in zip(("median", "lower", "upper"), _finite(over_trials), strict=True):
        out[f"simulated_{name}"][cell] = values
    share = np.isneginf(simulated).mean(axis=1)
    out["blq_median"][cell], out["blq_lower"][cell], out["blq_upper"][cell] = np.quantile(
        share, edges
    )


def _quantiles(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return quantiles over records, shape (quantile, trial); infinite beyond a limit."""
    return np.quantile(values, _QUANTILES, axis=1, method="inverted_cdf")


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isfinite(values), values, np.nan)
