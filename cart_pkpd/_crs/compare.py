"""Observed against predicted, as numbers: what ``cart_pkpd.plots`` draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, expit

from cart_pkpd import nca
from cart_pkpd._core.errors import DataError, ModelError
from cart_pkpd._core.validate import did_you_mean, one_of, positive_int, probability
from cart_pkpd._crs.arrange import arrange
from cart_pkpd._crs.likelihood import GradeData, OccurrenceData, OnsetData, linear, log_odds
from cart_pkpd._crs.outcomes import outcomes
from cart_pkpd._crs.parts import Hazard, intercepts
from cart_pkpd._crs.predict import values_of
from cart_pkpd._crs.predictors import at_median
from cart_pkpd._crs.result import CrsResult
from cart_pkpd._crs.terms import Term

Floats = NDArray[np.float64]
_N_CURVE = 80


def response(
    result: CrsResult,
    part: str = "grade",
    term: str | None = None,
    *,
    groups: int = 4,
    prob: float = 0.9,
) -> xr.Dataset:
    """Return the probability of CRS, or of each grade, along one predictor, with observed shares.

    Parameters
    ----------
    result : CrsResult
        A fitted layer.
    part : {"grade", "occurrence"}
        Which part.
    term : str, optional
        Name of the predictor; the part's first by default.
    groups : int
        Groups of patients of about equal size, in order of the predictor, whose observed shares
        are given.
    prob : float
        Probability of the intervals.

    Returns
    -------
    xr.Dataset
        Dims grade, x, group, interval (``mean``, ``lower``, ``upper``). ``curve`` (grade, x,
        interval): P(grade ≥ k) with every other predictor at its median; ``observed`` (grade,
        group, interval): the share of patients with Jeffreys' interval; ``expected`` (grade,
        group): the mean probability of the same patients; ``count`` (group), ``events`` (grade,
        group), ``group_value`` (group): median of the predictor; ``patient_value``,
        ``patient_outcome`` (patient). Values in the predictor's unit. For occurrence the only
        grade is 1.

    Raises
    ------
    ModelError
        If the layer has no such part, or the part no such predictor.
    """
    probability(prob, "prob")
    one_of(part, ("grade", "occurrence"), "part", error=ModelError)
    data = _data(result, part)
    chosen = _term(data.part.terms, term, part)
    values, _ = values_of(result.posterior, result.layer.quantities)
    at = along(data, chosen)
    curve = _summary(_probability(data, values, at), prob)
    each = _probability(data, values, data.x).mean(axis=0)
    return described(
        data, chosen, at, curve, each, groups=groups, prob=prob, converged=result.verdict.ok
    )


def along(data: OccurrenceData | GradeData, term: Term) -> Floats:
    """Return rows of terms along one of them, the others at their medians, shape (x, p)."""
    j = data.part.terms.index(term)
    grid = _grid(data.x[:, j], term)
    at = np.tile(np.median(data.x, axis=0), (grid.size, 1))
    at[:, j] = grid
    return at


def described(
    data: OccurrenceData | GradeData,
    chosen: Term,
    at: Floats,
    curve: Floats,
    each: Floats,
    *,
    groups: int,
    prob: float,
    converged: bool,
) -> xr.Dataset:
    """Return a curve beside the observed shares, as `response` describes it.

    Parameters
    ----------
    data : OccurrenceData or GradeData
        What was fitted.
    chosen : Term
        The predictor along which the curve runs.
    at : ndarray, shape (x, p)
        From `along`.
    curve : ndarray, shape (grades, x, 3)
        Probability and its interval.
    each : ndarray, shape (n, grades)
        Probability of every patient.
    """
    j = data.part.terms.index(chosen)
    own, grid = data.x[:, j], at[:, j]
    grades, had = _events(data)
    split = _groups(own, positive_int(groups, "groups"))
    count = np.array([g.size for g in split])
    events = np.array([[had[k][g].sum() for g in split] for k in range(len(grades))])
    expected = np.array([[each[g, k].mean() for g in split] for k in range(len(grades))])
    return xr.Dataset(
        {
            "curve": (("grade", "x", "interval"), curve),
            "observed": (("grade", "group", "interval"), jeffreys(events, count, prob)),
            "expected": (("grade", "group"), expected),
            "events": (("grade", "group"), events),
            "count": ("group", count),
            "group_value": ("group", [_value(chosen, np.median(own[g])) for g in split]),
            "patient_value": ("patient", _value(chosen, own)),
            "patient_outcome": ("patient", _outcome(data)),
        },
        coords={
            "grade": grades,
            "x": ("x", _value(chosen, grid), {"units": chosen.unit, "long_name": chosen.quantity}),
            "interval": ["mean", "lower", "upper"],
        },
        attrs={
            "part": data.part.name, "term": chosen.name, "scale": chosen.scale, "prob": prob,
            "given_crs": int(_given(data)),
            "others": ", ".join(t.quantity for t in data.part.terms if t is not chosen),
            "converged": int(converged),
        },
    )  # fmt: skip


def _given(data: OccurrenceData | GradeData) -> bool:
    return isinstance(data, GradeData) and data.part.given_crs


def _data(result: CrsResult, part: str) -> OccurrenceData | GradeData:
    found = at_median(result.predictors)
    for data in arrange(found, result.layer.parts, result.layer.window).data:
        if data.part.name == part and not isinstance(data, OnsetData):
            return data
    raise ModelError(f"the layer has no {part}; declare it in crs.Layer({part}=...).")


def _term(terms: tuple[Term, ...], name: str | None, part: str) -> Term:
    names = [t.name for t in terms]
    if not terms:
        raise ModelError(f"{part} has no predictor, so there is nothing along which to look.")
    if name is None:
        return terms[0]
    if name not in names:
        raise ModelError(
            f"{part} has no term {name!r}.{did_you_mean(name, names)} It has: {', '.join(names)}."
        )
    return terms[names.index(name)]


def _grid(own: Floats, term: Term) -> Floats:
    if term.scale in ("is", "order"):
        return np.unique(own)
    margin = 0.05 * max(float(np.ptp(own)), 1e-6)
    return np.linspace(own.min() - margin, own.max() + margin, _N_CURVE)


def _value(term: Term, x: Any) -> Any:
    """Return the predictor's value of a term: the inverse of ``Term.column``."""
    match term.scale:
        case "log":
            return float(term.reference) * np.exp(x)
        case "linear":
            return float(term.reference) + np.asarray(x)
        case "order":
            levels = np.array(term.levels)
            first = int(np.argmin(np.abs(levels - float(term.reference))))
            place = np.clip(np.round(np.asarray(x)).astype(int) + first, 0, levels.size - 1)
            return levels[place]
    return np.asarray(x)


def _probability(data: OccurrenceData | GradeData, values: dict[str, Floats], x: Floats) -> Floats:
    """Return probabilities, shape (s, n, grades)."""
    if isinstance(data, OccurrenceData):
        return np.asarray(expit(log_odds(data.part, values, x))[..., None])
    eta = linear(data.part, values, x, 1)
    eta = np.broadcast_to(eta, (len(values["grade_intercept"]), x.shape[0]))
    return np.asarray(expit(intercepts(data.part, values)[:, None, :] + eta[..., None]))


def _events(data: OccurrenceData | GradeData) -> tuple[list[int], list[NDArray[np.bool_]]]:
    if isinstance(data, OccurrenceData):
        return [1], [data.y > 0]
    grades = list(data.part.thresholds)
    return grades, [data.category + data.part.levels[0] >= k for k in grades]


def _outcome(data: OccurrenceData | GradeData) -> Floats:
    if isinstance(data, OccurrenceData):
        return data.y
    return (data.category + data.part.levels[0]).astype(float)


def _groups(own: Floats, groups: int) -> list[NDArray[np.int64]]:
    """Return patients in order of the predictor in groups; equal values stay together."""
    levels, of = np.unique(own, return_inverse=True)
    if levels.size <= groups:
        return [np.flatnonzero(of == k) for k in range(levels.size)]
    edges = np.quantile(own, np.linspace(0, 1, groups + 1)[1:-1])
    place = np.searchsorted(edges, own, side="left")
    return [np.flatnonzero(place == k) for k in range(groups) if (place == k).any()]


def jeffreys(events: NDArray[Any], count: NDArray[Any], prob: float) -> Floats:
    """Return shares with Jeffreys' interval, a new last axis (share, lower, upper).

    The interval ends at 0 or 1 where no or every patient had the event (Brown, Cai & DasGupta,
    Stat Sci 16:101, 2001).
    """
    k, n = np.broadcast_arrays(np.asarray(events, dtype=float), np.asarray(count, dtype=float))
    low, high = (1 - prob) / 2, (1 + prob) / 2
    lower = np.where(k == 0, 0.0, betaincinv(k + 0.5, n - k + 0.5, low))
    upper = np.where(k == n, 1.0, betaincinv(k + 0.5, n - k + 0.5, high))
    return np.stack([k / n, lower, upper], axis=-1)


def _summary(draws: Floats, prob: float) -> Floats:
    """Return mean and interval of draws, shape (s, x, grades) to (grades, x, 3)."""
    low, high = np.quantile(draws, [(1 - prob) / 2, (1 + prob) / 2], axis=0)
    return np.stack([draws.mean(axis=0).T, low.T, high.T], axis=-1)


def incidence(
    result: CrsResult, *, days: ArrayLike | None = None, prob: float = 0.9, seed: int = 1
) -> xr.Dataset:
    """Return the cumulative incidence of onset, predicted and observed.

    Parameters
    ----------
    result : CrsResult
        A fitted layer with onset.
    days : array_like, optional
        Days of the prediction; four a day by default.
    prob : float
        Probability of the intervals.
    seed : int
        Of the pairing with draws of courses.

    Returns
    -------
    xr.Dataset
        Dims day, step, interval (``mean``, ``lower``, ``upper``). ``predicted`` (day, interval):
        mean over the patients that the part uses; ``observed`` (step, interval): one minus the
        Kaplan–Meier estimate at ``time`` (step), interval on the log(−log) scale; ``at_risk``
        (step); ``onset_day``: (event) the days of the onsets. ``attrs["left_out"]`` names patients
        without a prediction, because another part lacks a predictor; they are in neither curve.

    Raises
    ------
    ModelError
        If the layer has no onset among all patients.
    DataError
        If patients enter late, for which no estimate is offered.

    Notes
    -----
    One event per patient and no competing one: deaths before CRS would be censored here. The
    estimate then equals Aalen and Johansen's.
    """
    hazard = result.layer.onset
    if hazard is None or hazard.among != "all":
        raise ModelError(
            "the layer has no onset among all patients; declare onset=crs.Hazard(...)."
        )
    if hazard.entry:
        raise DataError("observed incidence is not offered for patients who enter late.")
    start, end = result.layer.window
    chosen = np.linspace(start, end, int((end - start) * 4) + 1) if days is None else days
    used = np.flatnonzero(result.used()["onset"].to_numpy())
    found = result.predictors.isel(id=used)
    drawn = result.layer.probabilities(found, result.posterior, days=chosen, seed=seed)
    whole = drawn["p_onset"].notnull().all(("sample", "day")).values
    lost = [str(i) for i in found["id"].values[~whole]]
    found, drawn = (d.isel(id=np.flatnonzero(whole)) for d in (found, drawn))
    mean = drawn["p_onset"].mean("id").values
    low, high = np.quantile(mean, [(1 - prob) / 2, (1 + prob) / 2], axis=0)
    curve = _observed(found, hazard, result.layer.window, prob)
    return xr.Dataset(
        {
            "predicted": (("day", "interval"), np.stack([mean.mean(axis=0), low, high], axis=-1)),
            **curve,
        },
        coords={"day": drawn["day"], "interval": ["mean", "lower", "upper"]},
        attrs={"prob": prob, "converged": int(result.verdict.ok), "left_out": lost},
    )


def _observed(
    found: xr.Dataset, hazard: Hazard, window: tuple[float, float], prob: float
) -> dict[str, Any]:
    seen = outcomes(at_median(found), [hazard], window)
    event = np.isfinite(seen.day)
    dated = event | (seen.grade == 0)  # an onset without a day has no place on the curve
    time = np.where(event, seen.day, seen.exit)[dated]
    table = nca.kaplan_meier(time - window[0], event[dated], prob)
    # A step at the end of the window alone is censoring, not an event.
    share = 1 - table["survival"].to_numpy()
    lower, upper = 1 - table["upper"].to_numpy(), 1 - table["lower"].to_numpy()
    return {
        "observed": (("step", "interval"), np.stack([share, lower, upper], axis=-1)),
        "time": ("step", table["time"].to_numpy() + window[0], {"units": "day"}),
        "at_risk": ("step", table["n_at_risk"].to_numpy()),
        "onset_day": ("event", seen.day[event], {"units": "day"}),
    }
