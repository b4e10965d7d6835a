"""Exposure by NCA in simulated trials beside that of the real one."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd import nca
from cart_pkpd._checks.common import attrs, interval_edges
from cart_pkpd._checks.simulation import limits, simulated_trials
from cart_pkpd._checks.strata import about, by_patient
from cart_pkpd._core.units import times
from cart_pkpd._core.validate import as_seed, positive_int
from cart_pkpd._nca.registry import window_name
from cart_pkpd._stats.design import BELOW, BETWEEN, Design

if TYPE_CHECKING:
    from cart_pkpd._fit.result import FitResult

N_SIMS = 2000
"""Simulated trials by default: from seed to seed medians of new patients move by about 2 %."""
STATISTICS = ("geometric_mean", "geometric_cv", "share")

_AT_ONCE = 400_000  # records of simulated trials analysed together: 3 MB of levels

type Array = NDArray[np.float64]


def predictive_exposure(
    result: FitResult,
    *,
    endpoint: str | None = None,
    window: tuple[float, float] = (0.0, 28.0),
    by: str | None = None,
    n_sims: int = N_SIMS,
    prob: float = 0.9,
    seed: int = 1,
    **rules: Any,
) -> xr.Dataset:
    """Return NCA's Cmax and area of the real trial among those of simulated trials.

    Every simulated trial takes one posterior draw and draws new patients with the doses,
    covariates, sampling times and limits of the real ones; measured and simulated profiles go
    through the same non-compartmental analysis.

    Parameters
    ----------
    result : FitResult
        A Bayesian fit.
    endpoint : str, optional
        The measure; needed only if the fit has several.
    window : tuple of float
        Start and end of the area. [day]
    by : str, optional
        Patient-level variable that defines strata.
    n_sims : int
        Simulated trials. With a few hundred the numbers change visibly from seed to seed.
    prob : float
        Probability of the intervals of the simulated values.
    seed : int
        Source of randomness.
    **rules
        Rules of the analysis, see ``nca.Rules``.

    Returns
    -------
    xr.Dataset
        Dims stratum, parameter (``cmax`` and the area, such as ``auc0_28``), statistic
        (``geometric_mean``; ``geometric_cv``, 1 for 100 %; ``share`` of the patients with a
        record who have a positive value): ``observed``, ``simulated_median``,
        ``simulated_lower``, ``simulated_upper``, ``tail_area`` and ``reason``; with dim
        simulation: ``simulated``; dim stratum: ``n`` patients; dims id, parameter:
        ``observed_each``.

    Raises
    ------
    FitError
        If the fit has several endpoints and none is named.
    ValueError
        If the trial has no variable `by`, or the window is empty.

    Notes
    -----
    ``tail_area`` is twice the smaller of the shares of simulated values at or beyond the observed
    one, at most 1, counting the observed one as a simulation: a value far below 0.05 says that the
    model does not make such trials. It is a posterior predictive p-value and so conservative
    (Gelman, Meng & Stern 1996, Stat Sin 6:733). Statistics are of positive values; patients whose
    samples are all BLQ count in ``share``. Records above the ULOQ count as the ULOQ.
    """
    design = result.structure.design.only(endpoint)
    stratum, strata = by_patient(design, by, "predictive_exposure")
    names = parameters_of(window, design.unit)
    seed = as_seed(seed)
    simulated = simulated_trials(result, design, positive_int(n_sims, "n_sims"), seed)
    own = analysed(design, *measured(design), names, window, rules)[0]
    others = analysed(design, *censored(design, simulated), names, window, rules)
    sampled = np.isin(np.arange(design.n_patients), design.patient)
    groups = [(stratum == s) & sampled for s in range(len(strata))]
    observed = np.stack([_statistics(own[g]) for g in groups])
    each = np.stack([_statistics(others[:, g]) for g in groups])
    return _dataset(result, design, observed, each, own, prob).assign_coords(
        stratum=("stratum", np.array(strata), about(design, by)),
        parameter=np.array([*names]),
        units=("parameter", np.array([*names.values()])),
    ).assign(n=("stratum", np.array([float(g.sum()) for g in groups]))).assign_attrs(
        n_sims=n_sims, by=by or "", seed=seed
    )  # fmt: skip


def _dataset(
    result: FitResult, design: Design, observed: Array, each: Array, own: Array, prob: float
) -> xr.Dataset:
    """Return everything but the coordinates of strata and parameters."""
    sides = ("stratum", "parameter", "statistic")
    nowhere = ~np.isfinite(each).any(axis=1)
    filled = np.where(nowhere[:, None], 0.0, each)
    summary = np.where(nowhere, np.nan, np.nanquantile(filled, interval_edges(prob), axis=1))
    tail = _tail_area(observed, each)
    unknown = ~np.isfinite(tail)
    why = np.where(unknown, "fewer than two patients with a positive value", "")
    return xr.Dataset(
        {
            "observed": (sides, observed),
            "simulated": (("stratum", "simulation", *sides[1:]), each),
            "simulated_median": (sides, summary[0]),
            "simulated_lower": (sides, summary[1]),
            "simulated_upper": (sides, summary[2]),
            "tail_area": (sides, tail),
            "reason": (sides, why),
            "observed_each": (("id", "parameter"), own),
        },
        coords={"id": design.ids, "statistic": np.array(STATISTICS)},
        attrs={**attrs(result, design), "prob": prob},
    )


def _tail_area(observed: Array, each: Array) -> Array:
    """Return the two-sided share of simulated values at or beyond the observed ones."""
    known = np.isfinite(each)
    n = known.sum(axis=1)
    up = ((each >= observed[:, None]) & known).sum(axis=1)
    down = ((each <= observed[:, None]) & known).sum(axis=1)
    area = np.minimum(1.0, 2.0 * (np.minimum(up, down) + 1) / (n + 1))
    return np.where(np.isfinite(observed) & (n > 0), area, np.nan)


def parameters_of(window: tuple[float, float], unit: str) -> dict[str, str]:
    """Return the names of peak and area with their units; ValueError if the window is empty."""
    start, end = window
    if not 0 <= start < end:
        raise ValueError(f"window must run from 0 or later to a later day, not {window!r}.")
    return {"cmax": unit, f"auc{window_name(window)}": times(unit, "day")}


def measured(design: Design) -> tuple[Array, NDArray[np.bool_]]:
    """Return the measured levels as one trial, and which are below the LLOQ."""
    below = (design.code == BELOW) | ((design.code == BETWEEN) & (design.dv <= design.lloq))
    return design.dv[None, :], (below | ~(design.dv > 0))[None, :]


def censored(design: Design, simulated: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return simulated levels, those above the ULOQ there, and which are below the LLOQ."""
    lloq, uloq = limits(design)
    below = (simulated < lloq) | ~(simulated > 0)
    return np.where(simulated > uloq, uloq, simulated), below


def analysed(
    design: Design,
    level: Array,
    below: NDArray[np.bool_],
    names: Collection[str],
    window: tuple[float, float],
    rules: dict[str, Any],
) -> Array:
    """Return the parameters of every patient of every trial, shape (trials, k, parameters)."""
    block = max(1, _AT_ONCE // max(level.shape[1], 1))
    if len(level) > block:
        starts = range(0, len(level), block)
        cut = [(level[at : at + block], below[at : at + block]) for at in starts]
        return np.concatenate([analysed(design, *one, names, window, rules) for one in cut])
    place = _places(design)
    s, k, most = level.shape[0], design.n_patients, int(place.max()) + 1
    conc, time = np.full((s, k, most), np.nan), np.zeros((k, most))
    blq, lloq = np.zeros((s, k, most), dtype=bool), np.full((k, most), np.nan)
    conc[:, design.patient, place] = np.where(below, 0.0, level)
    blq[:, design.patient, place] = below
    time[design.patient, place], lloq[design.patient, place] = design.time, limits(design)[0]

    def rows(array: Array) -> Array:
        return np.broadcast_to(array, (s, k, most)).reshape(s * k, most)

    table = nca.profiles(
        rows(conc), rows(time), lloq=rows(lloq), censored=rows(blq), window=window,
        parameters=list(names), reasons="code", **rules,
    )  # fmt: skip
    return np.stack([table[n].to_numpy().reshape(s, k) for n in names], axis=-1)


def _places(design: Design) -> NDArray[np.int64]:
    """Return the position of each record among its patient's."""
    counts = np.bincount(design.patient, minlength=design.n_patients)
    return np.arange(design.n_obs) - np.repeat(np.cumsum(counts) - counts, counts)


def _statistics(values: Array) -> Array:
    """Return the statistics over patients, shape (..., parameters, statistics)."""
    positive = values > 0
    n = positive.sum(axis=-2)
    with np.errstate(all="ignore"):
        ln = np.where(positive, np.log(np.where(positive, values, 1.0)), 0.0)
        mean = ln.sum(axis=-2) / n
        squares = np.where(positive, (ln - mean[..., None, :]) ** 2, 0.0).sum(axis=-2)
        cv = np.sqrt(np.expm1(squares / (n - 1)))
    out = [np.exp(mean), np.where(n > 1, cv, np.nan), n / values.shape[-2]]
    return np.stack(out, axis=-1)
