"""Persistence as a survival curve: Kaplan–Meier, or Turnbull's estimate for intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr

from cart_pkpd._core.validate import one_of, positive_int, probability
from cart_pkpd._nca.longform import groups_of
from cart_pkpd._nca.reasons import Bools, Floats

Method = Literal["midpoint", "upper", "turnbull"]


def kaplan_meier(time: Floats, event: Bools, confidence: float = 0.95) -> pd.DataFrame:
    """Return the product-limit estimate with Greenwood's variance.

    Parameters
    ----------
    time : ndarray, shape (n,)
        Times of event or censoring. [day]
    event : ndarray of bool, shape (n,)
    confidence : float
        Level of the interval, taken on the log(−log) scale.

    Returns
    -------
    pandas.DataFrame
        One row at time 0 and at each distinct time: ``time``, ``n_at_risk``, ``n_events``,
        ``n_censored``, ``survival``, ``lower``, ``upper`` (NaN where survival is 0 or 1).
    """
    probability(confidence, "confidence")
    moments = np.unique(np.append(0.0, time))
    at_risk = np.array([(time >= t).sum() for t in moments])
    events = np.array([(event & (time == t)).sum() for t in moments])
    censored = np.array([(~event & (time == t)).sum() for t in moments])
    share = np.where(at_risk > 0, 1 - events / np.maximum(at_risk, 1), 1.0)
    survival = np.cumprod(share)
    left = at_risk - events
    terms = np.where(left > 0, events / np.maximum(at_risk * left, 1), 0.0)
    lower, upper = _log_log(survival, np.cumsum(terms), confidence)
    return pd.DataFrame(
        {
            "time": moments, "n_at_risk": at_risk, "n_events": events, "n_censored": censored,
            "survival": survival, "lower": lower, "upper": upper,
        }
    )  # fmt: skip


def _log_log(survival: Floats, variance: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Return the interval of survival on the log(−log) scale."""
    from scipy.special import ndtri

    inside = (survival > 0) & (survival < 1)
    log_s = np.log(np.where(inside, survival, 0.5))
    half = float(ndtri(0.5 + confidence / 2)) * np.sqrt(variance) / np.abs(log_s)
    bounds = [np.where(inside, np.exp(log_s * np.exp(s * half)), np.nan) for s in (1, -1)]
    return bounds[0], bounds[1]


def turnbull(
    lower: Floats, upper: Floats, *, tolerance: float = 1e-9, max_steps: int = 1000
) -> pd.DataFrame:
    """Return Turnbull's estimate for events known to lie in half-open intervals (lower, upper].

    Parameters
    ----------
    lower, upper : ndarray, shape (n,)
        Ends of the intervals; ``upper`` is infinite for right-censored patients. [day]
    tolerance : float
        The iteration ends when the Kuhn–Tucker conditions of the maximum hold to this.
    max_steps : int

    Returns
    -------
    pandas.DataFrame
        One row per interval that may carry mass: ``time`` and ``time_right`` (its ends),
        ``mass``, ``survival`` after it.

    Raises
    ------
    RuntimeError
        If `max_steps` do not suffice.

    Notes
    -----
    The maximum is found by the constrained Newton method [2]_; the usual self-consistency
    iteration creeps where an interval carries no mass.

    References
    ----------
    .. [1] Turnbull, J R Stat Soc B 38:290 (1976).
    .. [2] Wang, Comput Stat Data Anal 52:2388 (2008), :doi:`10.1016/j.csda.2007.10.018`.
    """
    positive_int(max_steps, "max_steps")
    if not 0 <= tolerance < 1:
        raise ValueError(f"tolerance must be in [0, 1), not {tolerance!r}.")
    low, high = np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64)
    if not (low < high).all():
        raise ValueError("every interval must have a lower end below its upper end.")
    left, right = _innermost(low, high)
    covers = (left[None, :] >= low[:, None]) & (right[None, :] <= high[:, None])
    mass = _most_likely(covers.astype(np.float64), tolerance, max_steps)
    survival = np.clip(1 - np.cumsum(mass), 0.0, 1.0)
    return pd.DataFrame({"time": left, "time_right": right, "mass": mass, "survival": survival})


def _most_likely(covers: Floats, tolerance: float, max_steps: int) -> Floats:
    """Maximise ``sum(log(covers @ mass))`` over masses that are at least 0 and add up to 1."""
    from scipy.optimize import nnls

    mass = np.full(covers.shape[1], 1.0 / max(covers.shape[1], 1))
    for _ in range(max_steps):
        slopes = covers / (covers @ mass)[:, None]
        gradient = slopes.mean(axis=0)
        # At the maximum the gradient is at most 1, and 1 wherever there is mass.
        if gradient.max(initial=1.0) <= 1 + tolerance:
            return mass
        # Newton's quadratic model of the log likelihood under the constraints, as one
        # non-negative least squares problem; the last row holds the sum at 1.
        system = np.vstack([slopes - 2.0, np.ones(mass.size)])
        step, _ = nnls(system, np.append(np.zeros(covers.shape[0]), 1.0))
        mass = _uphill(covers, mass, step / step.sum(), gradient)
    raise RuntimeError(f"Turnbull's estimate did not converge in {max_steps} steps.")


def _uphill(covers: Floats, mass: Floats, target: Floats, gradient: Floats) -> Floats:
    """Return a point between `mass` and `target` with a higher likelihood (Armijo's rule)."""
    now = np.log(covers @ mass).sum()
    rise = covers.shape[0] * float(gradient @ (target - mass))
    share = 1.0
    while share > 1e-12:
        point = mass + share * (target - mass)
        inside = covers @ point
        if (inside > 0).all() and np.log(inside).sum() >= now + 0.3 * share * rise:
            return point
        share /= 2
    return mass * gradient  # one self-consistency step, which never goes down


def _innermost(lower: Floats, upper: Floats) -> tuple[Floats, Floats]:
    """Return the innermost intervals: a left end followed directly by a right end."""
    ends = sorted({(float(t), 1) for t in lower} | {(float(t), 0) for t in upper})
    pairs = [(a[0], b[0]) for a, b in pairwise(ends) if a[1] == 1 and b[1] == 0]
    return np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])


def persistence(
    params: xr.Dataset,
    by: str | None = None,
    *,
    method: Method = "midpoint",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Return the share of patients whose cells are still quantifiable over time.

    Parameters
    ----------
    params : xarray.Dataset
        As returned by `table`, with the persistence parameters, one endpoint and infusion.
    by : str, optional
        Coordinate over ``id`` that forms groups, such as ``"dose_level"``.
    method : {"midpoint", "upper", "turnbull"}
        What becomes of a loss known only to lie between two samples: Kaplan–Meier with the loss
        at the middle (default) or at the end of the interval, or Turnbull's maximum likelihood
        estimate, which assumes nothing about it but has no simple confidence interval.
    confidence : float
        Level of the Kaplan–Meier interval (Greenwood, log(−log) scale).

    Returns
    -------
    pandas.DataFrame
        Column ``group`` and those of `kaplan_meier` or `turnbull`; ``attrs``: ``method``,
        ``confidence``, ``median`` (group → day, NaN where not reached), ``left_out`` (group →
        patients without a profile).

    Notes
    -----
    Patients never quantifiable count as lost between the infusion and their first sample;
    patients quantifiable at their last sample are censored at Tlast.
    """
    one_of(method, ("midpoint", "upper", "turnbull"), "persistence method")
    probability(confidence, "confidence")
    if groups_of(params):
        raise ValueError(f"choose one {groups_of(params)[0]} first, with params.sel(…).")
    parts, medians, left_out = [], {}, {}
    for group, members in _members(params, by):
        low = params["persistence_lower"].values[members]
        high = params["persistence_upper"].values[members]
        there = ~np.isnan(low)
        curve = _curve(low[there], high[there], method, confidence)
        curve.insert(0, "group", np.full(len(curve), group))
        parts.append(curve)
        medians[group], left_out[group] = median(curve), int((~there).sum())
    frame = pd.concat(parts, ignore_index=True)
    frame.attrs = {
        "method": method, "confidence": confidence, "median": medians, "left_out": left_out,
    }  # fmt: skip
    return frame


def _members(params: xr.Dataset, by: str | None) -> Iterator[tuple[object, np.ndarray]]:
    if by is None:
        yield "all", np.arange(params.sizes["id"])
        return
    one_of(by, [str(c) for c in params.coords if params[c].dims == ("id",)], "group")
    for group, members in pd.Series(params[by].values).groupby(
        params[by].values, dropna=False
    ).indices.items():  # fmt: skip
        yield group, np.asarray(members)


def _curve(low: Floats, high: Floats, method: Method, confidence: float) -> pd.DataFrame:
    event = ~np.isnan(high)
    if method == "turnbull":
        return turnbull(low, np.where(event, high, np.inf))
    when = (low + high) / 2 if method == "midpoint" else high
    return kaplan_meier(np.where(event, when, low), event, confidence)


def median(curve: pd.DataFrame) -> float:
    """Return the first time at which survival is at most one half, NaN if never."""
    time = curve["time_right"] if "time_right" in curve else curve["time"]
    below = np.flatnonzero(curve["survival"].to_numpy() <= 0.5 + 1e-12)
    reached = float(time.to_numpy()[below[0]]) if below.size else math.inf
    return reached if math.isfinite(reached) else math.nan
