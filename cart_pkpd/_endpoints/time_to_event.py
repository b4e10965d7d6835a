"""Progression-free and overall survival, duration of response and time to response."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import one_of, positive_int
from cart_pkpd._endpoints.response import people
from cart_pkpd._endpoints.schedule import Schedule, planned
from cart_pkpd._endpoints.tables import (
    BEST,
    DAYS_PER_MONTH,
    NE,
    PD,
    TIME_TO_EVENT,
    TIMEPOINTS,
    by_patient,
    each,
    require,
    shape,
)

Censoring = Literal["fda", "ema"]
Progression = Literal["recist", "investigator"]
LAST = "last evaluable assessment"


@dataclass(frozen=True)
class Evidence:
    """What is known of one patient up to the data cut-off; NaN where nothing happened.

    Attributes
    ----------
    start : float
        Time zero. [day]
    evaluable : tuple of float
        Days of the assessments after the baseline, from the start on, that were not NE.
    pd, pd_by : float, str
        First progression, and what showed it.
    death, therapy, contact, cutoff : float
    therapy_name : str
    lost, baseline : bool
    """

    start: float
    evaluable: tuple[float, ...]
    pd: float
    pd_by: str
    death: float
    therapy: float
    contact: float
    cutoff: float
    therapy_name: str
    lost: bool
    baseline: bool

    def last(self, until: float = math.inf) -> float:
        """Return the last evaluable assessment on or before a day, NaN if there is none."""
        return max((d for d in self.evaluable if d <= until), default=math.nan)


@dataclass(frozen=True)
class Decision:
    """Event or censoring: the day, and why."""

    day: float
    event: bool
    reason: str
    date_source: str
    rule: str


@dataclass(frozen=True)
class Rules:
    """How progression-free times are censored."""

    censoring: Censoring
    missed: int | None
    schedule: Schedule | None


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
    rules = _rules(timepoints, censoring, missed, schedule, window)
    one_of(progression, ("recist", "investigator"), "source of progression")
    known = people(timepoints, followup, patients)
    groups = by_patient(timepoints)
    rows = []
    for who in each(known):
        own = groups.get(who.id, [])
        e = _evidence(who, own, cutoff, progression, clinical)
        rows.append({"id": who.id, "endpoint": "PFS", **_row(e, _decide(e, rules))})
    return _table(rows, rules)


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
    known = people(timepoints, followup)
    groups = by_patient(timepoints)
    rows = []
    for who in each(known):
        own = groups.get(who.id, [])
        e = _evidence(who, own, cutoff, "recist", False)
        late = max((row.day for row in own), default=math.nan)
        rows.append({"id": who.id, "endpoint": "OS", **_row(e, _alive(who, e, late))})
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
    rules = _rules(timepoints, censoring, missed, schedule, window)
    since = _responses(best, confirmed)
    known = people(timepoints, followup, since)
    groups = by_patient(timepoints)
    rows = []
    for who in each(known[known["id"].isin(since)]):
        if math.isnan(since[who.id]):
            rows.append(_no_response(who.id, "DOR", confirmed))
            continue
        own = groups[who.id]
        e = _evidence(who, own, cutoff, progression, clinical, start=since[who.id])
        rows.append({"id": who.id, "endpoint": "DOR", **_row(e, _decide(e, rules))})
    return _table(rows, rules)


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
    require(best, [c.name for c in BEST], "best responses", "endpoints.best_response")
    column = "confirmed_response_day" if confirmed else "response_day"
    return {str(i): float(d) for i, d in zip(best["id"], best[column], strict=True)}


def _no_response(who: str, endpoint: str, confirmed: bool) -> dict[str, Any]:
    kind = "no confirmed response" if confirmed else "no response"
    return {"id": who, "endpoint": endpoint, "reason": kind, "rule": f"{kind}: does not apply"}


def _rules(
    timepoints: pd.DataFrame,
    censoring: Censoring,
    missed: int | None,
    days: Sequence[float] | None,
    window: float,
) -> Rules:
    names = [c.name for c in TIMEPOINTS]
    require(timepoints, names, "time-point responses", "endpoints.recist")
    one_of(censoring, ("fda", "ema"), "censoring")
    if censoring == "ema" or missed is None:
        return Rules(censoring, None, None)
    return Rules(censoring, positive_int(missed, "missed"), planned(timepoints, days, window))


def _evidence(
    who: Any,
    own: list[Any],
    cutoff: float | None,
    progression: Progression,
    clinical: bool,
    start: float | None = None,
) -> Evidence:
    """Gather what is known up to the cut-off."""
    end = float(np.fmin(who.cut_off_day, math.inf if cutoff is None else cutoff))
    first = float(who.start_day if start is None else start)
    seen = [row for row in own if not row.baseline and first <= row.day <= end]
    worse = min((row.day for row in seen if row.overall == PD), default=math.nan)
    by = "RECIST"
    called = _until(who.pd_day, end)
    is_clinical = str(who.pd_basis).lower().startswith("clinical")
    if progression == "investigator":
        worse, by = (called, "investigator") if clinical or not is_clinical else (math.nan, "")
    elif clinical and is_clinical and not called >= worse:
        worse, by = called, "clinical"
    return Evidence(
        start=first,
        evaluable=tuple(row.day for row in seen if row.overall != NE),
        pd=worse, pd_by=by, death=_until(who.death_day, end),
        therapy=_until(who.new_therapy_day, end), contact=float(who.last_contact_day),
        cutoff=end if math.isfinite(end) else math.nan, therapy_name=str(who.new_therapy),
        lost=bool(who.lost), baseline=any(row.baseline for row in own),
    )  # fmt: skip


def _until(day: float, end: float) -> float:
    return float(day) if day <= end else math.nan


def _decide(e: Evidence, rules: Rules) -> Decision:
    """Return the first rule that applies: censoring ones before the event."""
    tests: tuple[Callable[[Evidence, Rules], Decision | None], ...] = (
        _therapy, _gap, _event, _nothing,
    )  # fmt: skip
    for test in tests:
        found = test(e, rules)
        if found is not None:
            return found
    day = e.last()
    lost = " (lost to follow-up)" if e.lost else ""
    return Decision(
        day, False, "lost to follow-up" if e.lost else "no progression", LAST,
        f"alive without progression{lost}: censored at the last evaluable assessment, day {day:g}",
    )  # fmt: skip


def _first_event(e: Evidence) -> float:
    return float(np.fmin(e.pd, e.death))


def _back(e: Evidence, until: float, reason: str, why: str) -> Decision:
    """Censor at the last evaluable assessment up to a day, or at the start."""
    day = e.last(until)
    if math.isnan(day):
        return Decision(
            e.start, False, reason, "start", f"{why}, and no evaluable assessment before: "
            "censored on day 1",
        )  # fmt: skip
    return Decision(
        day, False, reason, LAST,
        f"{why}: censored at the last evaluable assessment before, day {day:g}",
    )  # fmt: skip


def _therapy(e: Evidence, rules: Rules) -> Decision | None:
    if rules.censoring != "fda" or math.isnan(e.therapy) or e.therapy >= _first_event(e):
        return None
    name = f" ({e.therapy_name})" if e.therapy_name else ""
    return _back(e, e.therapy, "new therapy",
                 f"new therapy{name} on day {e.therapy:g} before any event")  # fmt: skip


def _gap(e: Evidence, rules: Rules) -> Decision | None:
    event = _first_event(e)
    if rules.missed is None or rules.schedule is None or math.isnan(event):
        return None
    before = max((d for d in e.evaluable if d < event), default=e.start)
    n = rules.schedule.missed(before, event)
    if n < rules.missed:
        return None
    what = "progression" if e.pd == event else "death"
    return _back(e, before, "missed assessments",
                 f"{what} on day {event:g} after {n} missed assessments")  # fmt: skip


def _event(e: Evidence, rules: Rules) -> Decision | None:
    event = _first_event(e)
    if math.isnan(event):
        return None
    if e.pd == event:
        return Decision(event, True, "progression", f"progression ({e.pd_by})",
                        f"progression ({e.pd_by}) on day {event:g}: event")  # fmt: skip
    return Decision(event, True, "death", "death",
                    f"death on day {event:g} without progression before: event")  # fmt: skip


def _nothing(e: Evidence, rules: Rules) -> Decision | None:
    if e.evaluable:
        return None
    lacks = "no evaluable assessment after the baseline" if e.baseline else "no baseline assessment"
    return Decision(e.start, False, "no evaluable assessment", "start",
                    f"{lacks}: censored on day 1")  # fmt: skip


def _alive(who: Any, e: Evidence, assessed: float) -> Decision:
    if not math.isnan(e.death):
        cause = f" ({who.death_cause})" if who.death_cause else ""
        return Decision(e.death, True, "death", "death", f"death on day {e.death:g}{cause}: event")
    last = float(np.fmax(e.contact, assessed))
    if math.isnan(last):
        return Decision(e.start, False, "no contact recorded", "start",
                        "no contact is recorded: censored on day 1")  # fmt: skip
    if last >= e.cutoff:
        return Decision(e.cutoff, False, "alive at cut-off", "data cut-off",
                        f"alive at the data cut-off: censored there, day {e.cutoff:g}")  # fmt: skip
    reason = "lost to follow-up" if e.lost else "alive at last contact"
    return Decision(last, False, reason, "last known alive",
                    f"{reason}: censored when last known alive, day {last:g}")  # fmt: skip


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
