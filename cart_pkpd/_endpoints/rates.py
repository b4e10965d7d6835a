"""Response rates with intervals: exact, beta-binomial, and hierarchical over groups."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy import special, stats

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import did_you_mean, one_of, probability, shown, yes_or_no
from cart_pkpd._endpoints.tables import BEST, CR, NON, PR, RATES, SD, shape, tabled

Denominator = Literal["infused", "dlt_evaluable", "response_evaluable"]
Interval = Literal["clopper-pearson", "beta-binomial", "hierarchical"]
Floats = NDArray[np.float64]

MEASURES = {"ORR": (CR, PR), "CR rate": (CR,), "DCR": (CR, PR, SD, NON)}


def response_rates(
    best: pd.DataFrame,
    trial: xr.Dataset | pd.DataFrame | None = None,
    *,
    by: str | None = None,
    denominator: Denominator = "infused",
    confirmed: bool = True,
    interval: Interval = "clopper-pearson",
    prob: float = 0.95,
    prior: tuple[float, float] = (1.0, 1.0),
    typical: tuple[float, float] = (0.2, 1.5),
    between: float = 1.0,
) -> pd.DataFrame:
    """Return objective response and disease control rates with intervals.

    Parameters
    ----------
    best : DataFrame
        From `best_response`.
    trial : xr.Dataset or DataFrame, optional
        All patients with ``id``, the variable `by`, and ``dlt_evaluable``.
    by : str, optional
        Patient-level variable, such as ``"dose_level"``, to group by.
    denominator : {"infused", "dlt_evaluable", "response_evaluable"}
        All patients of the trial (of `best` without one), those whose ``dlt_evaluable`` is 1, or
        those with measurable disease and an assessment that was not NE.
    confirmed : bool
        Whether CR and PR have to be confirmed.
    interval : {"clopper-pearson", "beta-binomial", "hierarchical"}
        See Notes.
    prob : float
        Probability of the interval.
    prior : (float, float)
        Beta prior of a rate, for "beta-binomial".
    typical : (float, float)
        Hierarchical: prior median of the typical rate, and sd of its logit.
    between : float
        Hierarchical: scale of the half-normal prior of the sd between groups, on the logit.

    Returns
    -------
    DataFrame
        As ``endpoints.columns("rates")`` says: for each group, and for all patients, ORR, CR rate
        and DCR. A group without a patient in the denominator has NaN (exact) or the prior.

    Raises
    ------
    DataError
        If `best` is no table of `best_response`, holds a patient that the trial does not, or
        the trial lacks a variable.

    Notes
    -----
    - "clopper-pearson": exact interval [1]_; 0 and 1 at the edges.
    - "beta-binomial": equal-tailed interval of the posterior Beta(a + x, b + n − x); `rate` is its
      mean.
    - "hierarchical": logit rates of the groups are normal around a typical logit, whose normal
      prior `typical` gives, with a half-normal sd. Computed on a grid, without sampling; the
      groups borrow from each other. The row "all" is the rate of a group that is typical (the
      inverse logit of the mean), which is not x/n.

    References
    ----------
    .. [1] Clopper and Pearson (1934), Biometrika 26:404, :doi:`10.1093/biomet/26.4.404`.
    """
    best = tabled(best, BEST, "best responses", "endpoints.best_response")
    yes_or_no(confirmed, "confirmed")
    one_of(denominator, ("infused", "dlt_evaluable", "response_evaluable"), "denominator")
    one_of(interval, ("clopper-pearson", "beta-binomial", "hierarchical"), "interval")
    if interval == "hierarchical" and by is None:
        raise DataError('interval="hierarchical" needs groups: pass by="dose_level".')
    probability(prob, "prob")
    if not all(0 < v < np.inf for v in (*prior, *typical, between)):
        raise DataError("prior=, typical= and between= must be finite numbers above 0.")
    people = _people(best, trial, by, denominator)
    groups = _groups(people, by)
    rows: list[dict[str, Any]] = []
    for measure, good in MEASURES.items():
        response = people["confirmed" if confirmed else "best"].isin(good)
        counts = [(int(response[g].sum()), int(g.sum())) for g in groups.values()]
        found = _intervals(counts, interval, prob, prior, typical, between)
        rows += [
            {
                "group": group, "measure": measure, "confirmed_responses": confirmed,
                "denominator": denominator, "x": x, "n": n, "rate": mean, "lower": low,
                "upper": high, "interval": interval,
            }
            for group, (x, n), (mean, low, high) in zip(groups, counts, found, strict=True)
        ]  # fmt: skip
    table = shape(rows, RATES)
    table.attrs |= {"prob": prob, "by": by or ""}
    return table


def patients_table(trial: xr.Dataset | pd.DataFrame) -> pd.DataFrame:
    """Return a trial's patient-level variables, one row per patient, ``id`` as text."""
    if isinstance(trial, xr.Dataset):
        own = [str(v) for v in trial.variables if trial[v].dims == ("id",)]
        table = pd.DataFrame({v: trial[v].values for v in own})
    elif not isinstance(trial, pd.DataFrame):
        raise DataError(
            f"trial= must be the trial, or a table with one row per patient, not {shown(trial)}."
        )
    else:
        table = trial.rename(columns={c: str(c).lower() for c in trial.columns})
        table = table.rename(columns={"usubjid": "id"})
    if "id" not in table:
        raise DataError("the trial has no column 'id'; pass one row per patient with its name.")
    return table.assign(id=table["id"].astype(str))


def in_denominator(
    best: pd.DataFrame, trial: xr.Dataset | pd.DataFrame | None, denominator: Denominator
) -> pd.Series:
    """Return by patient whether he or she is in the denominator of `response_rates`."""
    return _people(best, trial, None, denominator).set_index("id")["counts"]


def _people(
    best: pd.DataFrame,
    trial: xr.Dataset | pd.DataFrame | None,
    by: str | None,
    denominator: Denominator,
) -> pd.DataFrame:
    known = best[["id"]] if trial is None else patients_table(trial).drop_duplicates("id")
    strange = sorted(set(best["id"]) - set(known["id"]))
    if strange:
        raise DataError(
            f"patient {strange[0]} has a best response and is not in the trial; correct the name."
        )
    wanted = [by, "dlt_evaluable" if denominator == "dlt_evaluable" else None]
    for name in wanted:
        if name is not None and (not isinstance(name, str) or name not in known):
            raise DataError(
                f"the trial does not hold {shown(name)} for its patients; pass trial= with it."
                f"{did_you_mean(str(name), [str(c) for c in known.columns])}"
            )
    people = known.merge(best[["id", "best", "confirmed", "evaluable"]], on="id", how="left")
    keep = {
        "infused": pd.Series(True, index=people.index),
        "response_evaluable": people["evaluable"].eq(True),
        "dlt_evaluable": people.get("dlt_evaluable", pd.Series(0, index=people.index)).eq(1),
    }[denominator]
    return people.assign(counts=keep)


def _groups(people: pd.DataFrame, by: str | None) -> dict[str, pd.Series]:
    """Return which patients of the denominator are in each group, all of them last."""
    out: dict[str, pd.Series] = {}
    if by is not None:
        values = people[by]
        for value in sorted(values.dropna().unique()):
            shown = f"{value:g}" if isinstance(value, (int, float, np.number)) else str(value)
            out[shown] = people["counts"] & (values == value)
        if values.isna().any():
            out["not given"] = people["counts"] & values.isna()
    out["all"] = people["counts"]
    return out


Estimate = tuple[float, float, float]  # rate, lower, upper


def _intervals(
    counts: list[tuple[int, int]],
    interval: Interval,
    prob: float,
    prior: tuple[float, float],
    typical: tuple[float, float],
    between: float,
) -> list[Estimate]:
    if interval == "clopper-pearson":
        return [clopper_pearson(x, n, prob) for x, n in counts]
    if interval == "beta-binomial":
        return [beta_binomial(x, n, prob, prior) for x, n in counts]
    return hierarchical(counts[:-1], prob, typical, between)


def clopper_pearson(x: int, n: int, prob: float = 0.95) -> Estimate:
    """Return the share and its exact interval; NaN for nobody."""
    if n == 0:
        return (np.nan, np.nan, np.nan)
    ends = stats.binomtest(x, n).proportion_ci(prob, method="exact")
    return x / n, float(ends.low), float(ends.high)


def beta_binomial(x: int, n: int, prob: float, prior: tuple[float, float]) -> Estimate:
    """Return mean and equal-tailed interval of the posterior of a rate."""
    a, b = prior[0] + x, prior[1] + n - x
    low, high = stats.beta.ppf([(1 - prob) / 2, (1 + prob) / 2], a, b)
    return a / (a + b), float(low), float(high)


def hierarchical(
    counts: list[tuple[int, int]],
    prob: float,
    typical: tuple[float, float],
    between: float,
    size: tuple[int, int, int] = (501, 121, 60),
) -> list[Estimate]:
    """Return mean and interval of every group's rate, and of the typical rate last.

    Notes
    -----
    Quadrature over the typical logit, the sd between groups, and each group's logit. A group's
    logit has the probability of its cell, not a density, so that an sd smaller than a cell
    is no problem.
    """
    theta, mu, cells = _grid(typical, between, size)
    log_like = [x * special.log_expit(theta) + (n - x) * special.log_expit(-theta)
                for x, n in counts]  # fmt: skip
    like = np.exp([v - v.max() for v in log_like])  # (group, theta)
    marginal = like @ cells.T  # (group, mu × tau)
    prior = stats.norm.pdf(mu, special.logit(typical[0]), typical[1])
    weight = np.repeat(prior, size[2]) * marginal.prod(axis=0)
    out = [
        _quantiles(like[g] * ((weight / marginal[g]) @ cells), theta, prob)
        for g in range(len(counts))
    ]
    return [*out, _quantiles(weight.reshape(size[1], size[2]).sum(axis=1), mu, prob)]


@lru_cache(maxsize=2)
def _grid(
    typical: tuple[float, float], between: float, size: tuple[int, int, int]
) -> tuple[Floats, Floats, Floats]:
    """Return the logits of a group, the typical logits, and the probability of each cell.

    The cells are (typical × sd between groups, logit).
    """
    centre, spread = float(special.logit(typical[0])), typical[1]
    reach = 5 * np.hypot(spread, between)
    theta = np.linspace(centre - reach, centre + reach, size[0])
    mu = np.linspace(centre - 4.5 * spread, centre + 4.5 * spread, size[1])
    # midpoints of cells of equal prior probability: the half-normal prior needs no weights
    tau = stats.halfnorm.ppf((np.arange(size[2]) + 0.5) / size[2], scale=between)
    edges = np.concatenate([[-np.inf], (theta[1:] + theta[:-1]) / 2, [np.inf]])
    z = (edges - mu[:, None, None]) / tau[None, :, None]
    return theta, mu, np.diff(special.ndtr(z), axis=-1).reshape(-1, size[0])


def _quantiles(mass: Floats, logit: Floats, prob: float) -> Estimate:
    """Return mean and interval of the rate whose logit has these masses at these points."""
    mass = mass / mass.sum()
    middle = np.cumsum(mass) - mass / 2
    low, high = np.interp([(1 - prob) / 2, (1 + prob) / 2], middle, logit)
    mean = float(mass @ special.expit(logit))
    return mean, float(special.expit(low)), float(special.expit(high))
