"""Cox regression by partial likelihood: hazard ratios, tests, proportionality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import chi2, norm

from cart_pkpd._core import display
from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import one_of, probability
from cart_pkpd._crs.result import changes
from cart_pkpd._crs.terms import Term
from cart_pkpd._endpoints.groups import Patients
from cart_pkpd._endpoints.predictors import Given, beside, columns_of, terms_of
from cart_pkpd._endpoints.survival import usable

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ties = Literal["efron", "breslow"]
_STEPS, _HALVINGS = 50, 30
_FLAT = 1e-12  # relative rise of the log-likelihood at which the search ends
_FAR = 12.0  # |coefficient| per standard deviation beyond which there is no maximum


@dataclass(frozen=True, eq=False)
class Cox:
    """A Cox regression.

    Attributes
    ----------
    terms : tuple of Term
    coefficients : DataFrame
        One row per term: ``term``, ``label``, ``estimate`` (change of the log hazard per 1 of the
        term), ``se``, ``z``, ``p_value``, ``reason``; NaN where the likelihood has no maximum.
    covariance : ndarray, shape (p, p)
    loglik, loglik_null : float
        Log partial likelihood at the estimates and at 0.
    tests : DataFrame
        ``likelihood ratio``, ``Wald`` and ``score`` tests: statistic, dof, p_value.
    proportional : DataFrame
        Per term and over all: test that its effect is constant in time.
    n, events : int
    ties : str
    notes : tuple of str
        Who was not used, and what the data do not tell.
    """

    terms: tuple[Term, ...]
    coefficients: pd.DataFrame
    covariance: Floats
    loglik: float
    loglik_null: float
    tests: pd.DataFrame
    proportional: pd.DataFrame
    n: int
    events: int
    ties: str
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        said = "; ".join(ratio_words(self.ratios()))
        return f"Cox regression of {self.n} patients, {self.events} events: {said}."

    def _repr_html_(self) -> str:
        said = f"{self.n} patients, {self.events} events; 95 % intervals."
        return display.block("Cox regression.", said, self.ratios(), notes=self.notes)

    def ratios(self, prob: float = 0.95) -> pd.DataFrame:
        """Return hazard ratios with Wald intervals, per doubling where the scale is log.

        Returns
        -------
        DataFrame
            ``term``, ``label``, ``change`` (``"2-fold"``, ``"10-fold"``, …), ``kind``,
            ``estimate``, ``lower``, ``upper``, ``p_value``, ``reason``.
        """
        return ratio_table(self.terms, self.coefficients, "hazard ratio", prob)


def ratio_words(ratios: pd.DataFrame) -> list[str]:
    """Return each ratio in words: ``"Cmax, 2-fold: 1.30 (0.90–1.88)"``."""
    said = (
        row["reason"] if np.isnan(row["estimate"])
        else f"{row['estimate']:.2f} ({row['lower']:.2f}–{row['upper']:.2f})"
        for _, row in ratios.iterrows()
    )  # fmt: skip
    names = (f"{row['label']}, {row['change']}" for _, row in ratios.iterrows())
    return [f"{name}: {text}" for name, text in zip(names, said, strict=True)]


def ratio_table(
    terms: Sequence[Term], coefficients: pd.DataFrame, kind: str, prob: float
) -> pd.DataFrame:
    """Return exp(coefficient × change) with Wald intervals for every change of every term."""
    half = float(ndtri(0.5 + probability(prob, "prob") / 2))
    rows: list[dict[str, Any]] = []
    held = coefficients.set_index("term")
    for term in terms:
        c: dict[Any, Any] = held.loc[term.name].to_dict()
        for change, size in changes(term):
            middle, step = float(c["estimate"]) * size, half * float(c["se"]) * size
            rows.append(
                {
                    "term": term.name, "label": term.quantity, "change": change, "kind": kind,
                    "estimate": np.exp(middle), "lower": np.exp(middle - step),
                    "upper": np.exp(middle + step), "p_value": float(c["p_value"]),
                    "reason": str(c["reason"]),
                }
            )  # fmt: skip
    table = pd.DataFrame(rows)
    table.attrs["prob"] = prob
    return table


def complete(
    tte: pd.DataFrame, given: Sequence[Given] | Given, patients: Patients | None
) -> tuple[pd.DataFrame, tuple[Term, ...], Floats, tuple[str, ...]]:
    """Return the rows with every predictor, terms, columns, and notes on who lacks one.

    Raises
    ------
    DataError
        If nobody has time and predictors, or nobody has an event.
    """
    rows, notes = usable(tte)
    found = beside(rows["id"].astype(str).tolist(), patients, tte)
    terms = terms_of(given, found)
    x = columns_of(terms, found)
    there = np.isfinite(x).all(axis=1)
    if not there.any() or not rows["event"].to_numpy(bool)[there].any():
        what = "every predictor" if not there.any() else "predictors and an event"
        raise DataError(f"no patient has {what}, so nothing can be estimated.")
    out = rows.loc[~there, "id"].astype(str).tolist()
    if out:
        notes = (*notes, f"{len(out)} without a predictor left out ({', '.join(out)}).")
    return rows[there].reset_index(drop=True), terms, x[there], notes


def cox(
    tte: pd.DataFrame,
    predictors: Sequence[Given] | Given,
    *,
    patients: Patients | None = None,
    ties: Ties = "efron",
) -> Cox:
    """Regress the hazard of a time-to-event table on patient-level predictors.

    Parameters
    ----------
    tte : DataFrame
        As from ``endpoints.pfs``.
    predictors : sequence of str or Term
        A name stands for the logarithm of a positive number (``"cmax"``), so that hazard ratios
        are per doubling; otherwise ``crs.covariate``, ``crs.ordered`` or ``crs.category``.
    patients : xr.Dataset or DataFrame, optional
        Where the predictors are; the table itself by default.
    ties : {"efron", "breslow"}
        Approximation for events on the same day.

    Returns
    -------
    Cox

    Raises
    ------
    DataError
        If nobody has an event, or a predictor is unknown.

    Notes
    -----
    A predictor known only after time zero (an area over 28 days, the best shrinkage) must be
    used from a landmark on: see `from_landmark`. The test of proportional hazards is the score
    test of an interaction with the Kaplan–Meier transform of time [2]_.

    References
    ----------
    .. [1] Efron, J Am Stat Assoc 72:557 (1977), :doi:`10.1080/01621459.1977.10480613`.
    .. [2] Grambsch and Therneau, Biometrika 81:515 (1994), :doi:`10.1093/biomet/81.3.515`.
    """
    one_of(ties, ("efron", "breslow"), "way of ties", error=DataError)
    rows, terms, x, notes = complete(tte, predictors, patients)
    if not terms:
        raise DataError("name at least one predictor, such as 'tumour_burden'.")
    time, event = rows["time"].to_numpy(float), rows["event"].to_numpy(bool)
    centred = x - x.mean(axis=0)
    zero = np.zeros(x.shape[1])
    null, score0, info0 = partial(zero, time, event, centred, ties)
    beta, why = _climb(time, event, centred, ties)
    value, _, info = partial(beta, time, event, centred, ties)
    covariance = np.full((beta.size, beta.size), np.nan) if why else np.linalg.inv(info)
    shown = np.full(beta.size, np.nan) if why else beta
    if why:
        notes = (*notes, why)
    if event.sum() < 5 * beta.size:
        notes = (*notes, f"{int(event.sum())} events for {beta.size} coefficients: few.")
    return Cox(
        terms=terms,
        coefficients=coefficient_table(terms, shown, covariance, why),
        covariance=covariance,
        loglik=value,
        loglik_null=null,
        tests=_tests(value - null, shown, info, score0, info0, why),
        proportional=_proportional(terms, beta, time, event, centred, ties, why),
        n=len(rows),
        events=int(event.sum()),
        ties=ties,
        notes=notes,
    )


def coefficient_table(
    terms: Sequence[Term], beta: Floats, covariance: Floats, why: str
) -> pd.DataFrame:
    """Return estimates with standard error, z and p-value."""
    se = np.sqrt(np.diag(covariance))
    return pd.DataFrame(
        {
            "term": [t.name for t in terms],
            "label": [t.label for t in terms],
            "estimate": beta,
            "se": se,
            "z": beta / se,
            "p_value": 2 * norm.sf(np.abs(beta / se)),
            "reason": why,
        }
    )


def partial(
    beta: Floats, time: Floats, event: Bools, x: Floats, ties: str
) -> tuple[float, Floats, Floats]:
    """Return the log partial likelihood, its slope, shape (p,), and information, shape (p, p)."""
    eta = x @ beta
    total, slope, info = 0.0, np.zeros(beta.size), np.zeros((beta.size, beta.size))
    for t in np.unique(time[event]):
        value, s, i, _ = _moment(eta, x, time >= t, event & (time == t), ties)
        total, slope, info = total + value, slope + s, info + i
    return total, slope, info


def _moment(
    eta: Floats, x: Floats, risk: Bools, dead: Bools, ties: str
) -> tuple[float, Floats, Floats, Floats]:
    """Return one day's log-likelihood, slope, information, and the mean predictors at risk."""
    top = eta[risk].max()
    w = np.exp(eta - top) * risk
    own = w * dead
    d = int(dead.sum())
    s0, s1, s2 = _sums(w, x)
    o0, o1, o2 = _sums(own, x)
    value, slope, info = float(eta[dead].sum()), x[dead].sum(axis=0), np.zeros_like(s2)
    means = np.zeros(x.shape[1])
    for j in range(d):
        f = j / d if ties == "efron" else 0.0
        a0, mean = s0 - f * o0, (s1 - f * o1) / (s0 - f * o0)
        value -= float(np.log(a0) + top)
        slope = slope - mean
        info += (s2 - f * o2) / a0 - np.outer(mean, mean)
        means += mean / d
    return value, slope, info, means


def _sums(w: Floats, x: Floats) -> tuple[float, Floats, Floats]:
    return float(w.sum()), w @ x, (x * w[:, None]).T @ x


def _climb(time: Floats, event: Bools, x: Floats, ties: str) -> tuple[Floats, str]:
    """Return the maximum by Newton's method, or why there is none."""
    beta, spread = np.zeros(x.shape[1]), x.std(axis=0)
    if (spread < 1e-12).any():
        return beta, "a predictor has the same value in every patient, so it tells nothing."
    value, slope, info = partial(beta, time, event, x, ties)
    for _ in range(_STEPS):
        if np.linalg.cond(info / np.outer(spread, spread)) > 1e12:
            return beta, "the predictors cannot be told apart in these patients."
        step = np.linalg.solve(info, slope)
        for _ in range(_HALVINGS):
            reached = partial(beta + step, time, event, x, ties)
            if reached[0] >= value - _FLAT:
                break
            step = step / 2
        rise, beta = reached[0] - value, beta + step
        value, slope, info = reached
        if (np.abs(beta) * spread > _FAR).any():
            return beta, (
                "the predictors order the events completely, so the partial likelihood has no "
                "maximum; use endpoints.survival_bayes, whose priors keep coefficients finite."
            )
        if rise <= _FLAT * max(1.0, abs(value)):
            return beta, ""
    return beta, "the search for the maximum did not end."


def _tests(
    rise: float, beta: Floats, info: Floats, score0: Floats, info0: Floats, why: str
) -> pd.DataFrame:
    singular = np.linalg.matrix_rank(info0) < info0.shape[0]
    score = np.nan if singular else float(score0 @ np.linalg.solve(info0, score0))
    values = {
        "likelihood ratio": np.nan if why else 2 * rise,
        "Wald": float(beta @ info @ beta),
        "score": score,
    }
    table = pd.DataFrame({"test": list(values), "statistic": list(values.values())})
    table["dof"] = beta.size
    table["p_value"] = chi2.sf(table["statistic"], beta.size)
    return table


def _proportional(
    terms: Sequence[Term], beta: Floats, time: Floats, event: Bools, x: Floats, ties: str, why: str
) -> pd.DataFrame:
    """Return score tests of interactions with the Kaplan–Meier transform of time."""
    p = beta.size
    names = [t.name for t in terms]
    statistic = np.full(p + 1, np.nan)
    if not why:
        slopes, infos, g = _by_day(beta, time, event, x, ties)
        statistic = _interaction(slopes, infos, g)
    dof = np.array([1] * p + [p])
    return pd.DataFrame(
        {"term": [*names, "all"], "statistic": statistic, "dof": dof,
         "p_value": chi2.sf(statistic, dof)}
    )  # fmt: skip


def _by_day(
    beta: Floats, time: Floats, event: Bools, x: Floats, ties: str
) -> tuple[Floats, Floats, Floats]:
    """Return slope and information of every day with events, and 1 − S just before it."""
    eta, survival = x @ beta, 1.0
    slopes, infos, g = [], [], []
    for t in np.unique(time[event]):
        risk, dead = time >= t, event & (time == t)
        _, s, i, _ = _moment(eta, x, risk, dead, ties)
        slopes.append(s)
        infos.append(i)
        g.append(1 - survival)
        survival *= 1 - dead.sum() / risk.sum()
    return np.array(slopes), np.array(infos), np.array(g)


def _interaction(slopes: Floats, infos: Floats, g: Floats) -> Floats:
    """Return the statistics of adding g(t) times each term, and of adding all of them."""
    p = slopes.shape[1]
    u = (g[:, None] * slopes).sum(axis=0)
    i11, i12 = infos.sum(axis=0), (g[:, None, None] * infos).sum(axis=0)
    i22 = (g[:, None, None] ** 2 * infos).sum(axis=0)
    variance = i22 - i12.T @ np.linalg.solve(i11, i12)
    single = [_one(u, i11, i12, i22, j) for j in range(p)]
    return np.array([*single, float(u @ np.linalg.solve(variance, u))])


def _one(u: Floats, i11: Floats, i12: Floats, i22: Floats, j: int) -> float:
    variance = i22[j, j] - i12[:, j] @ np.linalg.solve(i11, i12[:, j])
    return float(u[j] ** 2 / variance)
