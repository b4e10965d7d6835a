"""Visual predictive check with records beyond the limits of quantification."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from cart_pkpd._checks.common import (
    attrs,
    coords,
    interval_edges,
    level_of_records,
    picked_draws,
    records,
)
from cart_pkpd._checks.simulation import limits, ordered, simulated_trials
from cart_pkpd._checks.strata import about, by_patient
from cart_pkpd._core.validate import as_seed, positive_int, shown
from cart_pkpd._stats.design import ABOVE, BELOW, BETWEEN, Design

if TYPE_CHECKING:
    from cart_pkpd._fit.result import FitResult

_QUANTILES = (0.05, 0.5, 0.95)
_PER_BIN = 12
_LIMITS = ("bin_lloq", "bin_uloq")
_FEW_TIMES = 12  # as many distinct times at most are bins of their own
_TAILS: Mapping[str, Callable[[NDArray[np.float64]], NDArray[np.bool_]]] = MappingProxyType(
    {"blq": np.isneginf, "alq": np.isposinf}
)


def vpc(
    result: FitResult,
    *,
    endpoint: str | None = None,
    n_sims: int = 500,
    by: str | None = None,
    bins: int | ArrayLike | None = None,
    prob: float = 0.9,
    seed: int = 1,
    prediction_corrected: bool = False,
    n_draws: int = 400,
) -> xr.Dataset:
    """Return a visual predictive check with the shares of records beyond the limits.

    Every simulated trial takes one posterior draw, draws new patients with the covariates,
    times and limits of the real ones, adds residual error and censors. Quantiles of observed
    and simulated levels count a value below the LLOQ as lower than every quantified one, and
    above the ULOQ as higher; a quantile that falls beyond a limit is NaN. The BLQ share shows
    the lower tail instead, and the ALQ share the upper one.

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
    bins : int or array_like, optional
        Number of time bins with about equal numbers of records, or their edges [day], in rising
        order and each within the records' times but the first and last. By default a bin for each
        planned time, or for each time where there are few, or bins of about equal numbers.
    prob : float
        Probability of the simulation intervals.
    seed : int
        Source of randomness.
    prediction_corrected : bool
        Take out what doses, covariates and times within a bin explain: every level is brought
        to the median population prediction of its stratum and bin.
    n_draws : int
        Posterior draws behind the population predictions of that correction.

    Returns
    -------
    xr.Dataset
        Dims stratum, bin, quantile (0.05, 0.5, 0.95): ``observed``, ``simulated_median``,
        ``simulated_lower``, ``simulated_upper``; dims stratum, bin: ``n``, ``blq_observed``,
        ``blq_median``, ``blq_lower``, ``blq_upper`` and the same with ``alq_`` (shares of
        records below the LLOQ and above the ULOQ); coords ``bin_left``, ``bin_right``,
        ``bin_time`` [day]; and the records, with ``pred`` and ``dv_corrected`` where
        corrected (NaN where the prediction is 0 or less: such records are left out);
        ``bin_lloq`` and ``bin_uloq``, the lowest LLOQ and the highest ULOQ of a bin's records.

    Raises
    ------
    FitError
        If the fit has several endpoints and none is named.
    ValueError
        If the trial has no variable `by`, or the bins are impossible.

    Notes
    -----
    A corrected level is Y · PREDbin / PRED, and for errors on the log scale the same in logs,
    ln Y + ln PREDbin − ln PRED, with the median of PRED or of ln PRED within stratum and bin,
    for measured and simulated levels alike [2]_. Limits belong to measurements: what is beyond
    them is decided before the correction, and such records remain lowest or highest. Shares
    beyond the limits are not corrected.

    References
    ----------
    .. [1] Bergstrand & Karlsson (2009), AAPS J 11:371, for predictive checks with censored data.
    .. [2] Bergstrand, Hooker, Wallin & Karlsson (2011), AAPS J 13:143.
    """
    design = result.structure.design.only(endpoint)
    edges, seed = bin_edges(design, bins), as_seed(seed)
    bin_of = np.clip(np.searchsorted(edges, design.time, side="right") - 1, 0, len(edges) - 2)
    stratum, strata = by_patient(design, by, "vpc")
    stratum_of = stratum[design.patient]
    simulated = _simulated(result, design, positive_int(n_sims, "n_sims"), seed)
    below = (design.code == BELOW) | ((design.code == BETWEEN) & (design.dv <= design.lloq))
    observed = ordered(design.dv, below, design.code == ABOVE)[None, :]
    corrected: dict[str, Any] = {}
    if prediction_corrected:
        picked = picked_draws(result, positive_int(n_draws, "n_draws"), seed)
        pred = level_of_records(result, design, picked)[1]
        on_log = result.structure.errors[result.structure.design.index(design.endpoint)].on_log
        factor = _correction(pred, stratum_of * (len(edges) - 1) + bin_of, on_log)
        observed, simulated = observed * factor, simulated * factor
        corrected = _corrected(design, pred, design.dv * factor)
    shape = (len(strata), len(edges) - 1)
    out, limit = _empty(shape), {name: np.full(shape, np.nan) for name in _LIMITS}
    for s in range(shape[0]):
        for b in range(shape[1]):
            rows = np.flatnonzero((stratum_of == s) & (bin_of == b))
            rows = rows[~np.isnan(observed[0, rows])]
            if rows.size:
                _fill(out, (s, b), observed[:, rows], simulated[:, rows], interval_edges(prob))
                limit["bin_lloq"][s, b] = np.fmin.reduce(design.lloq[rows])
                limit["bin_uloq"][s, b] = np.fmax.reduce(design.uloq[rows])
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
            **{k: (("stratum", "bin"), v, level) for k, v in limit.items()},
            **records(design),
            "uloq": ("obs", design.uloq, {**level, "long_name": "ULOQ"}),
            **corrected,
        },
        coords={
            **coords(design),
            **_variable(design, by),
            "stratum": ("stratum", np.array(strata), about(design, by)),
            "quantile": np.array(_QUANTILES),
            "bin_left": ("bin", edges[:-1], {"units": "day"}),
            "bin_right": ("bin", edges[1:], {"units": "day"}),
            "bin_time": ("bin", time, {"units": "day"}),
        },
        attrs={**attrs(result, design), "prob": prob, "n_sims": n_sims, "by": by or "",
               "prediction_corrected": int(prediction_corrected)},
    )  # fmt: skip


def _correction(
    pred: NDArray[np.float64], cell: NDArray[np.int64], on_log: bool
) -> NDArray[np.float64]:
    """Return what each level is multiplied with: the cell's median prediction over its own.

    NaN where the prediction is not above 0.
    """
    own = np.where(pred > 0, pred, np.nan)
    own = np.log(own) if on_log else own
    middle = np.full(pred.shape, np.nan)
    for c in np.unique(cell):
        rows = (cell == c) & np.isfinite(own)
        middle[cell == c] = np.median(own[rows]) if rows.any() else np.nan
    return np.exp(middle - own) if on_log else middle / own


def _corrected(
    design: Design, pred: NDArray[np.float64], dv: NDArray[np.float64]
) -> dict[str, Any]:
    level = {"units": design.unit}
    return {
        "pred": ("obs", pred, {**level, "long_name": "population prediction"}),
        "dv_corrected": ("obs", dv, {**level, "long_name": f"prediction-corrected {design.label}"}),
    }


def _variable(design: Design, by: str | None) -> dict[str, Any]:
    """Return the variable of the strata, so that records can be told apart by it."""
    if by is None:
        return {}
    return {by: ("id", design.subjects[by].to_numpy(), dict(design.subjects[by].attrs))}


def bin_edges(design: Design, bins: int | ArrayLike | None) -> NDArray[np.float64]:
    """Return increasing edges that hold every record.

    Raises
    ------
    ValueError
        For edges that are no numbers, do not rise, or lie where there are no records.
    """
    low, high = float(design.time.min()), float(design.time.max())
    if bins is None:
        edges = _usual_edges(design)
    elif isinstance(bins, SupportsIndex) and not isinstance(bins, np.ndarray):
        edges = _equal_edges(design, positive_int(bins, "bins"))
    else:
        edges = _given_edges(bins, low, high)
    inner = edges[(edges > low) & (edges < high)]
    return np.concatenate([[low], inner, [np.nextafter(high, np.inf)]])


def _usual_edges(design: Design) -> NDArray[np.float64]:
    """Return edges between planned times, or between times where there are few."""
    planned = np.isfinite(design.nominal_time).all()
    times = np.unique(design.nominal_time if planned else design.time)
    if planned or times.size <= _FEW_TIMES:
        return np.asarray((times[1:] + times[:-1]) / 2)
    return _equal_edges(design, max(1, min(10, design.n_obs // _PER_BIN)))


def _equal_edges(design: Design, n: int) -> NDArray[np.float64]:
    """Return edges of n bins with about equal numbers of records."""
    return np.unique(np.quantile(design.time, np.linspace(0, 1, n + 1)))


def _given_edges(bins: Any, low: float, high: float) -> NDArray[np.float64]:
    try:
        edges = np.atleast_1d(np.asarray(bins, dtype=float))
    except (TypeError, ValueError):
        edges = np.array([np.nan])
    if edges.ndim != 1 or not edges.size or np.isnan(edges).any():
        raise ValueError(
            "bins: give a number of bins, such as 8, or their edges in days, such as [0, 7, 28], "
            f"not {shown(bins)}."
        )
    falls = np.flatnonzero(np.diff(edges) <= 0)
    if falls.size:
        first, second = edges[falls[0]], edges[falls[0] + 1]
        raise ValueError(f"bins: edges must rise, and {second:g} follows {first:g}.")
    # The first and last edge may lie beyond the records: they close the outer bins.
    between = edges[1:-1] if edges.size > 2 else edges[:0] if edges.size == 2 else edges
    outside = between[(between < low) | (between > high)]
    if edges[-1] < low or edges[0] > high:
        outside = edges
    if outside.size:
        raise ValueError(
            f"bins: the edge {outside[0]:g} lies where there are no records; they are from day "
            f"{low:g} to {high:g}."
        )
    return edges


def _simulated(result: FitResult, design: Design, n_sims: int, seed: int) -> NDArray[np.float64]:
    """Return simulated measurements, shape (n_sims, n); infinite beyond a limit."""
    dv = simulated_trials(result, design, n_sims, seed)
    lloq, uloq = limits(design)
    return ordered(dv, dv < lloq, dv > uloq)


def _empty(shape: tuple[int, int]) -> dict[str, NDArray[np.float64]]:
    deep = (*shape, len(_QUANTILES))
    names = ("observed", "simulated_median", "simulated_lower", "simulated_upper")
    shares = [f"{tail}_{k}" for tail in _TAILS for k in ("observed", "median", "lower", "upper")]
    return {
        **{k: np.full(deep, np.nan) for k in names},
        **{k: np.full(shape, np.nan) for k in (*shares, "n")},
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
    per_trial = _quantiles(simulated)
    over_trials = np.quantile(per_trial, edges, axis=1, method="inverted_cdf")
    for name, values in zip(("median", "lower", "upper"), _finite(over_trials), strict=True):
        out[f"simulated_{name}"][cell] = values
    for tail, beyond in _TAILS.items():
        out[f"{tail}_observed"][cell] = np.mean(beyond(observed))
        share = np.quantile(beyond(simulated).mean(axis=1), edges)
        for name, value in zip(("median", "lower", "upper"), share, strict=True):
            out[f"{tail}_{name}"][cell] = value


def _quantiles(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return quantiles over records, shape (quantile, trial); infinite beyond a limit."""
    return np.quantile(values, _QUANTILES, axis=1, method="inverted_cdf")


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isfinite(values), values, np.nan)
