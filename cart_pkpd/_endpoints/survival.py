"""Kaplan–Meier estimates of time-to-event tables: medians, milestones, follow-up, log-rank."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cart_pkpd._core import display, words
from cart_pkpd._core.errors import DataError, Problem
from cart_pkpd._core.validate import number, probability, shown
from cart_pkpd._endpoints.fields import events
from cart_pkpd._endpoints.groups import Patients, group_of
from cart_pkpd._endpoints.tables import DAYS_PER_MONTH, require
from cart_pkpd._nca.survival import kaplan_meier as curve_of

Floats = NDArray[np.float64]
NOT_REACHED = "not reached"
_HALF = 0.5 + 1e-12  # a curve at one half, but for rounding, has reached it


@dataclass(frozen=True, eq=False)
class KaplanMeier:
    """Product-limit estimates of one endpoint, by group.

    Attributes
    ----------
    curve : DataFrame
        One row per group, at time 0 and at each distinct time: ``group``, ``time`` [day],
        ``months``, ``n_at_risk``, ``n_events``, ``n_censored``, ``survival``, ``lower``, ``upper``
        (log(−log) band; NaN where survival is 0 or 1).
    summary : DataFrame
        One row per group: ``n``, ``events``, ``median``, ``median_lower``, ``median_upper``
        [month], each NaN where not reached, with ``reason``; ``follow_up`` (median by reverse
        Kaplan–Meier) with ``follow_up_lower``, ``follow_up_upper`` [month] and
        ``follow_up_reason``.
    estimates : DataFrame
        One row per group and milestone: ``month``, ``survival``, ``lower``, ``upper``,
        ``n_at_risk``, ``reason`` (empty, or why there is no number).
    endpoint : str
        Such as ``"PFS"``.
    by : str or None
        What formed the groups.
    confidence : float
        Level of all intervals.
    notes : tuple of str
        Who was left out, by name.
    """

    curve: pd.DataFrame
    summary: pd.DataFrame
    estimates: pd.DataFrame
    endpoint: str
    by: str | None
    confidence: float
    notes: tuple[str, ...]

    def at_risk(self, months: Sequence[float]) -> pd.DataFrame:
        """Return the patients at risk just before each month: one row per group."""
        rows = {
            group: [number_at_risk(part, m * DAYS_PER_MONTH) for m in months]
            for group, part in self.curve.groupby("group", sort=False)
        }
        table = pd.DataFrame.from_dict(rows, orient="index", columns=list(months))
        table.index.name = "group"
        return table

    def _repr_html_(self) -> str:
        said = f"Kaplan–Meier, {words.percent(self.confidence)} intervals, months."
        shown = [c for c in self.summary if not str(c).startswith("follow_up")]
        return display.block(
            f"{self.endpoint or 'Time to event'}.", said, self.summary[shown], notes=self.notes
        )

    def __repr__(self) -> str:
        lines = [
            f"  {row.group}: {row.events} events of {row.n}, median {_said(row)}"
            for row in self.summary.itertuples(index=False)
        ]
        return "\n".join([f"{self.endpoint or 'time to event'}, Kaplan–Meier:", *lines])


def _said(row: Any) -> str:
    if np.isnan(row.median):
        return "NR"
    ends = ["NR" if np.isnan(v) else f"{v:.1f}" for v in (row.median_lower, row.median_upper)]
    return f"{row.median:.1f} months ({ends[0]}–{ends[1]})"


def usable(tte: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the rows with a time, and a note on those without.

    Raises
    ------
    DataError
        If a column is missing, a time is not above 0 or not finite, an event is neither yes nor
        no, a patient is there twice, or nobody has a time.
    """
    require(tte, ("id", "time", "event"), "times to event", "endpoints.pfs or endpoints.os")
    if not len(tte):
        raise DataError("the table of times to event has no rows; look at what was selected.")
    names = sorted(set(tte["endpoint"].astype(str))) if "endpoint" in tte else []
    if len(names) > 1:
        raise DataError(
            f"the table holds several endpoints ({', '.join(map(str, names))}); choose one first, "
            f"with tte[tte['endpoint'] == {names[0]!r}]."
        )
    time = pd.to_numeric(tte["time"], errors="coerce").astype(float)
    problems = [
        *(
            Problem("tte_number", f"patient {who!r} has the time {said!r}; write a number of days, "
                    "or leave it empty.", str(who), column="time", value=str(said))
            for who, said in zip(tte["id"], tte["time"].where(time.isna()), strict=True)
            if pd.notna(said) and str(said).strip()
        ),
        *_wrong_times(tte, time),
        *(
            Problem("tte_twice", f"patient {who!r} has two rows of the same endpoint; keep one.",
                    str(who), column="id")
            for who in tte.loc[tte["id"].duplicated(), "id"]
        ),
    ]  # fmt: skip
    if problems:
        raise DataError(problems)
    there = time.notna()
    if not there.any():
        raise DataError("nobody has a time to this event, so there is nothing to estimate.")
    out = [str(i) for i in tte.loc[~there, "id"]]
    note = f"{len(out)} without a time left out ({', '.join(out)})." if out else ""
    rows = tte.assign(time=time)[there].reset_index(drop=True)
    return rows.assign(event=events(rows)), (note,) if note else ()


def _wrong_times(tte: pd.DataFrame, time: pd.Series) -> list[Problem]:
    wrong = time.notna() & ~((time > 0) & np.isfinite(time))
    return [
        Problem(
            "tte_time",
            f"patient {who!r} has the time {value:g}; times to event are above 0 and finite "
            "(day of the event - start + 1).",
            str(who), column="time", value=f"{value:g}",
        )
        for who, value in zip(tte.loc[wrong, "id"], time[wrong], strict=True)
    ]  # fmt: skip


def kaplan_meier(
    tte: pd.DataFrame,
    by: str | None = None,
    *,
    patients: Patients | None = None,
    months: Sequence[float] = (6.0, 12.0),
    confidence: float = 0.95,
) -> KaplanMeier:
    """Return Kaplan–Meier estimates of a time-to-event table.

    Parameters
    ----------
    tte : DataFrame
        One row per patient: ``id``, ``time`` [day], ``event``, as from ``endpoints.pfs``. Patients
        without a time are left out and named in the notes.
    by : str, optional
        Column of the table, or variable of `patients`, that forms the groups.
    patients : xr.Dataset or DataFrame, optional
        The trial, where the groups are not in the table.
    months : sequence of float
        Milestones at which survival is told. [month]
    confidence : float
        Level of the bands, and of the intervals of medians.

    Returns
    -------
    KaplanMeier

    Raises
    ------
    DataError
        If the table is not one of times to event, or a patient has no group.

    Notes
    -----
    Bands use Greenwood's variance on the log(−log) scale. A median is the first day on which
    the curve is at or below one half; where the curve rests exactly at one half, some programs
    report the middle of that stretch instead. Its interval holds the days between which the band
    crosses one half [1]_. Beyond the last patient's time survival is not known unless it is 0
    already. Follow-up is the median of the curve with event and censoring exchanged [2]_.

    References
    ----------
    .. [1] Brookmeyer and Crowley, Biometrics 38:29 (1982), :doi:`10.2307/2530286`.
    .. [2] Schemper and Smith, Control Clin Trials 17:343 (1996),
       :doi:`10.1016/0197-2456(96)00075-X`.

    Examples
    --------
    >>> table = pd.DataFrame({"id": list("abcd"), "time": [30, 60, 90, 120.0],
    ...                       "event": [True, True, False, True]})
    >>> found = kaplan_meier(table, months=[3])
    >>> found.estimates["survival"].tolist()
    [0.5]
    """
    probability(confidence, "confidence")
    milestones = _milestones(months)
    rows, notes = usable(tte)
    group = group_of(rows, by, patients)
    curves, summary, estimates = [], [], []
    for name in _ordered(group):
        part = rows[group == name]
        time, event = part["time"].to_numpy(float), part["event"].to_numpy(bool)
        curve = curve_of(time, event, confidence)
        curve.insert(0, "group", [name] * len(curve))
        curve.insert(2, "months", curve["time"] / DAYS_PER_MONTH)
        curves.append(curve)
        summary.append({"group": name, **_summary(curve, time, event, confidence)})
        estimates += [{"group": name, **_milestone(curve, m)} for m in milestones]
    return KaplanMeier(
        curve=pd.concat(curves, ignore_index=True),
        summary=pd.DataFrame(summary),
        estimates=pd.DataFrame(
            estimates,
            columns=["group", "month", "survival", "lower", "upper", "n_at_risk", "reason"],
        ),
        endpoint=str(rows["endpoint"].iloc[0]) if "endpoint" in rows else "",
        by=by,
        confidence=confidence,
        notes=notes,
    )


def _milestones(months: Any) -> list[float]:
    """Return the months at which survival is told."""
    if not isinstance(months, Iterable) or isinstance(months, str | bytes | Mapping):
        raise DataError(f"months= must be numbers such as [6, 12], not {shown(months)}.")
    return [number(m, "months", above=0.0) for m in months]


def _ordered(group: pd.Series) -> list[Any]:
    """Return the groups, numbers in rising order and text by name."""
    values = list(dict.fromkeys(group.tolist()))
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=str)


def number_at_risk(curve: pd.DataFrame, day: float) -> int:
    """Return how many patients of one curve are at risk just before a day."""
    later = curve[curve["time"] >= day]
    return int(later["n_at_risk"].iloc[0]) if len(later) else 0


def crossing(curve: pd.DataFrame, column: str) -> float:
    """Return the first time at which a column is at or below one half, NaN if never (days)."""
    below = np.flatnonzero(curve[column].to_numpy(float) <= _HALF)
    return float(curve["time"].iloc[below[0]]) if below.size else float("nan")


def _median(curve: pd.DataFrame, prefix: str) -> dict[str, Any]:
    ends = {"": "survival", "_lower": "lower", "_upper": "upper"}
    found = {
        f"{prefix}{end}": crossing(curve, column) / DAYS_PER_MONTH for end, column in ends.items()
    }
    if np.isnan(found[f"{prefix}_upper"]) and curve["survival"].iloc[-1] == 0:
        why = "no upper limit: the curve ends at 0 before its band crosses one half"
    elif np.isnan(found[prefix]) and prefix == "follow_up" and curve["survival"].iloc[-1] == 1:
        why = "nobody was censored, so everybody was followed to the event"
    elif np.isnan(found[prefix]):
        why = f"{NOT_REACHED}: the curve ends at {curve['survival'].iloc[-1]:.2f}"
    elif np.isnan(found[f"{prefix}_upper"]):
        why = f"upper limit {NOT_REACHED}"
    else:
        why = ""
    return {**found, "reason" if prefix == "median" else f"{prefix}_reason": why}


def _summary(
    curve: pd.DataFrame, time: Floats, event: NDArray[np.bool_], confidence: float
) -> dict[str, Any]:
    reverse = curve_of(time, ~event, confidence)
    return {
        "n": int(time.size), "events": int(event.sum()),
        **_median(curve, "median"), **_median(reverse, "follow_up"),
    }  # fmt: skip


def _milestone(curve: pd.DataFrame, month: float) -> dict[str, Any]:
    day = month * DAYS_PER_MONTH
    before = curve[curve["time"] <= day].iloc[-1]
    row = {"month": month, "n_at_risk": number_at_risk(curve, day)}
    last = float(curve["time"].iloc[-1])
    if day > last and before["survival"] > 0:
        why = f"nobody was followed so long: the last time is {last / DAYS_PER_MONTH:.1f} months"
        return {**row, "survival": np.nan, "lower": np.nan, "upper": np.nan, "reason": why}
    known = {k: float(before[k]) for k in ("survival", "lower", "upper")}
    why = f"no interval where survival is {known['survival']:g}" if np.isnan(known["lower"]) else ""
    return {**row, **known, "reason": why}


@dataclass(frozen=True, eq=False)
class LogRank:
    """Log-rank test of equal survival.

    Attributes
    ----------
    table : DataFrame
        One row per group: ``n``, ``observed``, ``expected``.
    statistic, p_value : float
        Chi-square statistic and its p-value; NaN where there is none.
    dof : int
        Number of groups less 1.
    reason : str
        Why there is no statistic.
    """

    table: pd.DataFrame
    statistic: float
    dof: int
    p_value: float
    reason: str

    def __repr__(self) -> str:
        found = self.reason or f"{self.statistic:.3f} on {self.dof} degrees of freedom"
        return f"Log-rank test: {found}, p = {self.p_value:.3g}."


def logrank(
    tte: pd.DataFrame, by: str, *, patients: Patients | None = None, strata: str | None = None
) -> LogRank:
    """Compare the survival of groups by the log-rank test.

    Parameters
    ----------
    tte, by, patients
        As for `kaplan_meier`.
    strata : str, optional
        Column or variable within whose values patients are compared, such as the tumour type.

    Returns
    -------
    LogRank

    Raises
    ------
    DataError
        As for `kaplan_meier`.

    Notes
    -----
    Variance of the hypergeometric distribution, so ties are exact. With ten patients the
    chi-square distribution is rough.
    """
    rows, _ = usable(tte)
    group = group_of(rows, by, patients)
    names = _ordered(group)
    code = np.array([names.index(g) for g in group])
    stratum = group_of(rows, strata, patients).to_numpy()
    time, event = rows["time"].to_numpy(float), rows["event"].to_numpy(bool)
    expected, variance = np.zeros(len(names)), np.zeros((len(names), len(names)))
    for s in dict.fromkeys(stratum.tolist()):
        chosen = stratum == s
        e, v = _expected(time[chosen], event[chosen], code[chosen], len(names))
        expected, variance = expected + e, variance + v
    observed = np.bincount(code, weights=event, minlength=len(names))
    statistic, why = _quadratic(observed - expected, variance)
    from scipy.stats import chi2

    table = pd.DataFrame(
        {"group": names, "n": np.bincount(code, minlength=len(names)),
         "observed": observed.astype(int), "expected": expected}
    )  # fmt: skip
    dof = len(names) - 1
    return LogRank(table, statistic, dof, float(chi2.sf(statistic, dof)), why)


def _expected(
    time: Floats, event: NDArray[np.bool_], code: NDArray[Any], k: int
) -> tuple[Floats, Floats]:
    expected, variance = np.zeros(k), np.zeros((k, k))
    for t in np.unique(time[event]):
        risk = np.bincount(code[time >= t], minlength=k).astype(float)
        n, d = risk.sum(), float((event & (time == t)).sum())
        share = risk / n
        expected += d * share
        if n > 1:
            factor = d * (n - d) / (n - 1)
            variance += factor * (np.diag(share) - np.outer(share, share))
    return expected, variance


def _quadratic(difference: Floats, variance: Floats) -> tuple[float, str]:
    if difference.size < 2:
        return float("nan"), "there is one group only"
    reduced = variance[:-1, :-1]
    if np.linalg.matrix_rank(reduced) < reduced.shape[0]:
        return float("nan"), "a group has nobody at risk at any event"
    return float(difference[:-1] @ np.linalg.solve(reduced, difference[:-1])), ""
