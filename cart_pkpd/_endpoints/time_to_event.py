"""Progression-free and overall survival, duration of response and time to response."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import one_of, yes_or_no
from cart_pkpd._endpoints.censoring import (
    Censoring,
    Decision,
    Evidence,
    Progression,
    Rules,
    alive,
    decide,
    evidence,
    rules_of,
)
from cart_pkpd._endpoints.response import people
from cart_pkpd._endpoints.tables import (
    BEST,
    DAYS_PER_MONTH,
    TIME_TO_EVENT,
    TIMEPOINTS,
    by_patient,
    each,
    shape,
    tabled,
)


def progression_free_survival(
    timepoints: pd.DataFrame,
    followup: pd.DataFrame | None = None,
    *,
    censoring: Censoring = "fda",
    cutoff: float | None = None,
    missed: int | None = 2,
    schedule: Sequence[float] | None = None,
    window: float = 14.0,
    progression: Progression = "recist",
    clinical: bool = False,
    patients: Iterable[str] | None = None,
) -> pd.DataFrame:
    """Return the progression-free time of every patient: event or censored, and by which rule.

    Parameters
    ----------
    timepoints : DataFrame
        From `recist`.
    followup : DataFrame, optional
        Death, new therapy, data cut-off, start; all patients of it get a row.
    censoring : {"fda", "ema"}
        See Notes.
    cutoff : float, optional
        Data cut-off for all patients; the earlier of it and the follow-up's counts. [day]
    missed : int or None
        FDA: number of planned assessments missed in a row before progression or death that
        censors it; None for no such rule.
    schedule : sequence of float, optional
        Planned days of the assessments, which go on after the last in steps of the last
        interval. By default the median day of each visit's name. [day]
    window : float
        Days by which an assessment may be early or late. [day]
    progression : {"recist", "investigator"}
        From the assessments, or as the follow-up has it.
    clinical : bool
        Whether progression that the follow-up calls clinical is an event.
    patients : iterable of str, optional
        All patients, where there is no follow-up.

    Returns
    -------
    DataFrame
        As ``endpoints.columns("time_to_event")`` says, one row per patient, the time counted
        from the start as day 1. ``attrs["schedule"]`` holds the planned days.

    Raises
    ------
    DataError
        If `timepoints` is no table of `recist`, the follow-up lacks one of its patients, or the
        planned days are needed and not known.

    Notes
    -----
    Event: the first progression or death, up to and on the cut-off.

    ``"fda"`` [1]_: no evaluable assessment after the baseline: censored on day 1, but a death
    before `missed` assessments were due is an event. New therapy before the event: last evaluable
    assessment up to and on its day. Event after `missed` or more assessments in a row: last
    evaluable assessment before the gap. Without an event: last evaluable assessment. An
    assessment that was NE neither moves the day of censoring nor ends a gap.

    ``"ema"`` [2]_: new therapy and missed assessments are ignored.

    A planned assessment is missed if its window lies wholly between the last evaluable
    assessment and the event.

    References
    ----------
    .. [1] FDA, Clinical Trial Endpoints for the Approval of Cancer Drugs and Biologics (2018),
       appendix C.
    .. [2] EMA, Guideline on the evaluation of anticancer medicinal products, appendix 1:
       Methodological consideration for using PFS or DFS (2012).
    """
    timepoints = tabled(timepoints, TIMEPOINTS, "time-point responses", "endpoints.recist")
    yes_or_no(clinical, "clinical")
    one_of(progression, ("recist", "investigator"), "source of progression")
    used = rules_of(timepoints, censoring, missed, schedule, window)
    known = people(timepoints, followup, patients)
    groups = by_patient(timepoints)
    rows = []
    for who in each(known):
        own = groups.get(who.id, [])
        e = evidence(who, own, cutoff, progression, clinical)
        rows.append({"id": who.id, "endpoint": "PFS", **_row(e, decide(e, used))})
    return _table(rows, used)


def overall_survival(
    followup: pd.DataFrame,
    timepoints: pd.DataFrame | None = None,
    *,
    cutoff: float | None = None,
) -> pd.DataFrame:
    """Return the survival time of every patient: death, or last known alive.

    Parameters
    ----------
    followup : DataFrame
        Death, last contact (visit or telephone), data cut-off.
    timepoints : DataFrame, optional
        Assessments, where a patient's last contact is not recorded.
    cutoff : float, optional
        Data cut-off for all patients; the earlier of it and the follow-up's counts. [day]

    Returns
    -------
    DataFrame
        As ``endpoints.columns("time_to_event")`` says, one row per patient.

    Raises
    ------
    DataError
        If the follow-up lacks a patient of the assessments.

    Notes
    -----
    A death, or a contact, after the cut-off shows that the patient was alive at the cut-off.
    """
    if timepoints is not None:
        timepoints = tabled(timepoints, TIMEPOINTS, "time-point responses", "endpoints.recist")
    known = people(timepoints, followup)
    groups = by_patient(timepoints)
    rows = []
    for who in each(known):
        own = groups.get(who.id, [])
        e = evidence(who, own, cutoff, "recist", False)
        late = max((row.day for row in own), default=math.nan)
        rows.append({"id": who.id, "endpoint": "OS", **_row(e, alive(who, e, late))})
    return _table(rows, None)


def duration_of_response(
    timepoints: pd.DataFrame,
    best: pd.DataFrame,
    followup: pd.DataFrame | None = None,
    *,
    confirmed: bool = True,
    censoring: Censoring = "fda",
    cutoff: float | None = None,
    missed: int | None = 2,
    schedule: Sequence[float] | None = None,
    window: float = 14.0,
    progression: Progression = "recist",
    clinical: bool = False,
) -> pd.DataFrame:
    """Return the time from the first response to progression or death.

    Parameters
    ----------
    timepoints, followup : DataFrame
        As for `pfs`.
    best : DataFrame
        From `best_response`.
    confirmed : bool
        Whether the response has to be confirmed; it starts when it was first seen.
    censoring, cutoff, missed, schedule, window, progression, clinical
        As for `pfs`.

    Returns
    -------
    DataFrame
        As ``endpoints.columns("time_to_event")`` says; one row per patient of `best`, the time
        NaN with the reason for those without a response.

    Raises
    ------
    DataError
        As for `pfs`.
    """
    timepoints = tabled(timepoints, TIMEPOINTS, "time-point responses", "endpoints.recist")
    yes_or_no(clinical, "clinical")
    one_of(progression, ("recist", "investigator"), "source of progression")
    used = rules_of(timepoints, censoring, missed, schedule, window)
    since = _responses(best, confirmed)
    known = people(timepoints, followup, since)
    groups = by_patient(timepoints)
    rows = []
    for who in each(known[known["id"].isin(since)]):
        if math.isnan(since[who.id]):
            rows.append(_no_response(who.id, "DOR", confirmed))
            continue
        own = groups.get(who.id, [])
        if not own:
            raise DataError(
                f"patient {who.id} has a response in best= and no assessment in the time points; "
                "take both from the same records."
            )
        e = evidence(who, own, cutoff, progression, clinical, start=since[who.id])
        rows.append({"id": who.id, "endpoint": "DOR", **_row(e, decide(e, used))})
    return _table(rows, used)


def time_to_response(
    best: pd.DataFrame, followup: pd.DataFrame | None = None, *, confirmed: bool = True
) -> pd.DataFrame:
    """Return the time from the start to the first response of those who responded.

    Parameters
    ----------
    best : DataFrame
        From `best_response`.
    followup : DataFrame, optional
        For the start, day 0 by default.
    confirmed : bool
        Whether the response has to be confirmed; its time is when it was first seen.

    Returns
    -------
    DataFrame
        As ``endpoints.columns("time_to_event")`` says; the time is NaN without a response.

    Raises
    ------
    DataError
        If `best` is no table of `best_response`.
    """
    since = _responses(best, confirmed)
    rows = []
    for who in each(people(None, followup, since)):
        day = since.get(who.id, math.nan)
        if math.isnan(day):
            rows.append(_no_response(who.id, "TTR", confirmed))
            continue
        rows.append(
            {
                "id": who.id, "endpoint": "TTR", **_length(who.start_day, day), "event": True,
                "reason": "response", "date_source": "first assessment with CR or PR",
                "rule": f"response on day {day:g}: event", "last_assessment_day": day,
            }
        )  # fmt: skip
    return _table(rows, None)


def _responses(best: pd.DataFrame, confirmed: bool) -> dict[str, float]:
    best = tabled(best, BEST, "best responses", "endpoints.best_response")
    yes_or_no(confirmed, "confirmed")
    column = "confirmed_response_day" if confirmed else "response_day"
    return {str(i): float(d) for i, d in zip(best["id"], best[column], strict=True)}


def _no_response(who: str, endpoint: str, confirmed: bool) -> dict[str, Any]:
    kind = "no confirmed response" if confirmed else "no response"
    return {"id": who, "endpoint": endpoint, "reason": kind, "rule": f"{kind}: does not apply"}


def _length(start: float, day: float) -> dict[str, float]:
    time = day - start + 1.0
    return {"time": time, "months": time / DAYS_PER_MONTH, "day": day, "start_day": start}


def _row(e: Evidence, d: Decision) -> dict[str, Any]:
    return {
        **_length(e.start, d.day), "event": d.event, "reason": d.reason,
        "date_source": d.date_source, "rule": d.rule, "pd_day": e.pd, "death_day": e.death,
        "last_assessment_day": e.last(d.day), "new_therapy_day": e.therapy,
        "last_contact_day": e.contact, "cut_off_day": e.cutoff,
    }  # fmt: skip


def _table(rows: list[dict[str, Any]], rules: Rules | None) -> pd.DataFrame:
    table = shape(rows, TIME_TO_EVENT)
    bad = table[table["time"] < 1]
    if len(bad):
        who, time = bad.iloc[0][["id", "time"]]
        raise DataError(
            f"the time to event of patient {who} is {time:g} days, before its start; correct "
            "start_day or the day of the event."
        )
    if rules is not None:
        days = () if rules.schedule is None else rules.schedule.days
        table.attrs |= {"censoring": rules.censoring, "missed": rules.missed, "schedule": days}
    return table
