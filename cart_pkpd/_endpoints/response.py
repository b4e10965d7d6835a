"""Best overall response of every patient, unconfirmed and confirmed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cart_pkpd._core.errors import DataError, Problem
from cart_pkpd._core.validate import as_patients, at_least_0, did_you_mean, number, shown
from cart_pkpd._endpoints.followup import read_followup
from cart_pkpd._endpoints.tables import (
    BEST,
    CR,
    MISSING,
    NE,
    NON,
    PD,
    PR,
    SD,
    TIMEPOINTS,
    by_patient,
    each,
    shape,
    tabled,
)


@dataclass(frozen=True)
class Rules:
    """What a best overall response needs.

    Attributes
    ----------
    confirmation_days : float
        Least time between a response and the assessment that confirms it. [day]
    min_sd_days : float
        Least time from the start to an assessment of SD. [day]
    allow_ne, allow_sd : int
        Most assessments with NE, and with SD, between a response and its confirmation.
    """

    confirmation_days: float
    min_sd_days: float
    allow_ne: int
    allow_sd: int


@dataclass(frozen=True)
class Point:
    """The response at one assessment."""

    day: float
    response: str


@dataclass(frozen=True)
class Best:
    """A best overall response with its first day, the day that confirmed it, and the rule."""

    response: str
    day: float
    reason: str
    confirmed_on: float = math.nan


def best_response(
    timepoints: pd.DataFrame,
    followup: pd.DataFrame | None = None,
    *,
    confirmation_days: float = 28.0,
    min_sd_days: float = 42.0,
    allow_ne: int = 1,
    allow_sd: int = 0,
    new_therapy: Mapping[str, float] | None = None,
    until: float | None = None,
    patients: Iterable[str] | None = None,
) -> pd.DataFrame:
    """Return the best overall response of every patient, unconfirmed and confirmed.

    Parameters
    ----------
    timepoints : DataFrame
        From `recist`.
    followup : DataFrame, optional
        Follow-up: new therapy, data cut-off, start, and patients without assessments.
    confirmation_days : float
        Least time between a response and the assessment that confirms it. [day]
    min_sd_days : float
        Least time from the start to an assessment of SD or NON-CR/NON-PD that counts; the paper
        leaves it to the protocol and names 6 to 8 weeks. A trial whose first planned assessment
        is earlier needs less. [day]
    allow_ne : int
        Most assessments with NE between a response and its confirmation.
    allow_sd : int
        Most assessments with SD between a PR and its confirmation.
    new_therapy : mapping of str to float, optional
        Day of another anti-cancer treatment by patient, instead of the follow-up's. [day]
    until : float, optional
        Last day that counts, for a response by month 12. [day]
    patients : iterable of str, optional
        All patients; those without an assessment are MISSING.

    Returns
    -------
    DataFrame
        As ``endpoints.columns("best")`` says, one row per patient.

    Raises
    ------
    DataError
        If `timepoints` is no table of `recist`, the follow-up lacks one of its patients or has a
        death before an assessment, a rule is below 0, or `new_therapy` names an unknown patient.

    Notes
    -----
    Assessments count from the start, up to the first PD, that one among them, up to and on the
    day of the new therapy, and up to the data cut-off. The best of CR, PR, SD,
    NON-CR/NON-PD, PD and NE is taken, the earliest if there are several.

    Responses without a baseline, as of ``endpoints.from_rs``, do not tell whether disease was
    measurable; then whoever has a response that was not NE is evaluable, and ``attrs["notes"]``
    says so.

    Confirmed CR: CR again at least `confirmation_days` later with nothing but CR and NE between.
    Confirmed PR: PR or CR that late, with nothing but PR, CR, NE (and SD where `allow_sd` lets it)
    between and no PR after a CR. A response without confirmation is SD if it was
    seen `min_sd_days` after the start or later, else PD if progression followed, else NE [1]_.
    Disease that is seen after a CR is taken as PD there.

    References
    ----------
    .. [1] Eisenhauer et al. (2009), Eur J Cancer 45:228, table 3,
       :doi:`10.1016/j.ejca.2008.10.026`.
    """
    timepoints = tabled(timepoints, TIMEPOINTS, "time-point responses", "endpoints.recist")
    if until is not None:
        number(until, "until")
    rules = Rules(confirmation_days, min_sd_days, allow_ne, allow_sd)
    for name, value in vars(rules).items():
        at_least_0(value, name, whole=name.startswith("allow"))
    if until is not None and until != until:
        raise DataError("until= must be a day, not NaN.")
    known = people(timepoints, followup, patients)
    if new_therapy is not None:
        if not isinstance(new_therapy, Mapping):
            raise DataError(
                f"new_therapy= must be days by patient, such as {{'01': 90}}, not "
                f"{shown(new_therapy)}."
            )
        new_therapy = {k: number(v, f"new_therapy of {k}") for k, v in new_therapy.items()}
        strange = [str(k) for k in new_therapy if str(k) not in set(known["id"])]
        if strange:
            raise DataError(
                f"new_therapy= names the unknown patient {strange[0]!r}."
                f"{did_you_mean(strange[0], known['id'])} Correct the name."
            )
        known["new_therapy_day"] = known["id"].map({str(k): v for k, v in new_therapy.items()})
    groups = by_patient(timepoints)
    rows = [_patient(who, groups.get(who.id, []), rules, until) for who in each(known)]
    table = shape(rows, BEST)
    table.attrs |= {"rules": vars(rules), "until": until, "notes": _unknown_disease(groups)}
    return table


def _unknown_disease(groups: Mapping[str, list[Any]]) -> tuple[str, ...]:
    out = [who for who, own in groups.items() if not any(row.baseline for row in own)]
    if not out:
        return ()
    return (
        f"{len(out)} without a baseline assessment ({', '.join(out)}): whether disease was "
        "measurable is not known, so they are evaluable where a response was not NE.",
    )


def people(
    timepoints: pd.DataFrame | None,
    followup: pd.DataFrame | None,
    patients: Iterable[str] | None = None,
) -> pd.DataFrame:
    """Return one row per patient with what the follow-up knows, empty where it knows nothing.

    Raises
    ------
    DataError
        If the follow-up is given and lacks a patient of the other tables, or has a death before
        an assessment.
    """
    seen = [] if timepoints is None else [str(i) for i in timepoints["id"].unique()]
    seen += [] if patients is None else as_patients(patients, "patients")
    if followup is None and not seen:
        raise DataError("there is no patient: pass assessments, a follow-up, or patients=.")
    if followup is None:
        return read_followup(pd.DataFrame({"id": list(dict.fromkeys(seen))}))
    table = read_followup(followup)
    if timepoints is not None:
        _alive(timepoints, table)
    lacking = sorted(set(seen) - set(table["id"]))
    if lacking:
        raise DataError(
            f"the follow-up has no row for patient {lacking[0]}"
            + (f" and {len(lacking) - 1} more" if len(lacking) > 1 else "")
            + ", who has assessments; add it."
        )
    return table


def _alive(timepoints: pd.DataFrame, followup: pd.DataFrame) -> None:
    """Refuse assessments after death."""
    died = dict(zip(followup["id"], followup["death_day"], strict=True))
    problems = [
        Problem(
            "after_death",
            f"patient {who} has an assessment on day {day:g}, after the death on day "
            f"{died[str(who)]:g}; correct one of both.",
            str(who), column="day", value=f"{day:g}",
        )
        for who, day in zip(timepoints["id"], timepoints["day"], strict=True)
        if day > died.get(str(who), math.nan)
    ]  # fmt: skip
    if problems:
        raise DataError(problems)


def _patient(who: Any, own: list[Any], rules: Rules, until: float | None) -> dict[str, Any]:
    last = np.fmin(who.cut_off_day, math.inf if until is None else until)
    seen = [row for row in own if not row.baseline and who.start_day <= row.day <= last]
    counted = counting(seen, who.new_therapy_day)
    points = [Point(row.day, row.overall) for row in counted]
    why = _why_missing(who, own, seen)
    best = unconfirmed(points, rules, who.start_day, why)
    sure = confirmed(points, rules, who.start_day, why)
    worse = next((row for row in seen if row.overall == PD), None)
    sizes = [row for row in counted if not math.isnan(row.pct_baseline)]
    low = min(sizes, key=lambda row: row.pct_baseline, default=None)
    baseline = [row for row in own if row.baseline]
    # Responses that were read as such have no baseline: then nothing speaks against it.
    measurable = not baseline or any(not math.isnan(row.sum) for row in baseline)
    return {
        "id": who.id, "best": best.response, "best_day": best.day, "best_reason": best.reason,
        "confirmed": sure.response, "confirmed_day": sure.day, "confirmed_reason": sure.reason,
        "confirmation_day": sure.confirmed_on,
        "response_day": min((p.day for p in points if p.response in (CR, PR)), default=math.nan),
        "confirmed_response_day": first_confirmed(points, rules),
        "pd_day": math.nan if worse is None else worse.day,
        "pd_by": "" if worse is None else _pd_by(worse),
        "new_therapy_day": who.new_therapy_day, "n_assessments": len(points),
        "evaluable": measurable and any(p.response not in (NE, MISSING, "") for p in points),
        "best_pct": math.nan if low is None else low.pct_baseline,
        "best_pct_day": math.nan if low is None else low.day,
    }  # fmt: skip


def counting(seen: list[Any], new_therapy_day: float) -> list[Any]:
    """Return the assessments up to the first PD and to the day of the new therapy."""
    kept = [row for row in seen if not row.day > new_therapy_day]
    worse = min((row.day for row in kept if row.overall == PD), default=math.inf)
    return [row for row in kept if row.day <= worse]


def _pd_by(first: Any) -> str:
    parts = {
        "target": first.target == PD,
        "non-target": first.non_target == PD,
        "new lesion": first.new,
    }
    return ", ".join(name for name, there in parts.items() if there)


def _why_missing(who: Any, own: list[Any], seen: list[Any]) -> str:
    if seen:
        return f"no assessment before the new therapy on day {who.new_therapy_day:g}"
    if not any(row.baseline for row in own):
        return "no assessment at all"
    if not math.isnan(who.death_day):
        return f"no assessment after the baseline; death on day {who.death_day:g}"
    return "no assessment after the baseline"


def unconfirmed(points: list[Point], rules: Rules, start: float, why: str = "") -> Best:
    """Return the best response without a need of confirmation."""
    found = _first(points, (CR,)) or _first(points, (PR,))
    if found is not None:
        return Best(found.response, found.day, f"{found.response} on day {found.day:g}")
    return _stable(points, rules, start, why, (SD,))


def confirmed(points: list[Point], rules: Rules, start: float, why: str = "") -> Best:
    """Return the best response if CR and PR need confirmation."""
    for response in (CR, PR):
        pair = _pair(points, response, rules)
        if pair is not None:
            first, later = pair
            return Best(
                response, first.day,
                f"{response} on day {first.day:g}, confirmed by {later.response} on day "
                f"{later.day:g}", later.day,
            )  # fmt: skip
    return _stable(points, rules, start, why, (CR, PR, SD))


def first_confirmed(points: list[Point], rules: Rules) -> float:
    """Return the day of the first response that was confirmed, or NaN."""
    pairs = [_pair(points, response, rules) for response in (CR, PR)]
    return min((pair[0].day for pair in pairs if pair is not None), default=math.nan)


def _first(points: list[Point], responses: tuple[str, ...], since: float = -math.inf) -> Any:
    return next((p for p in points if p.response in responses and p.day >= since), None)


def _stable(
    points: list[Point], rules: Rules, start: float, why: str, as_sd: tuple[str, ...]
) -> Best:
    """Return SD or less: what is left where no CR or PR counts."""
    lost = _first(points, (CR, PR)) if CR in as_sd else None
    note = f"{lost.response} on day {lost.day:g} was not confirmed; " if lost else ""
    since = start + rules.min_sd_days
    for response, taken in ((SD, as_sd), (NON, (NON,))):
        found = _first(points, taken, since)
        if found is not None:
            return Best(
                response, found.day,
                f"{note}{found.response} on day {found.day:g}, at least {rules.min_sd_days:g} days "
                "after the start",
            )  # fmt: skip
    early = _first(points, (*as_sd, NON))
    if early is not None and not note:
        note = (
            f"{early.response} on day {early.day:g} is less than {rules.min_sd_days:g} days after "
            "the start; "
        )
    return _rest(points, note, early, why)


def _rest(points: list[Point], note: str, early: Point | None, why: str) -> Best:
    worse = _first(points, (PD,))
    if worse is not None:
        return Best(PD, worse.day, f"{note}PD on day {worse.day:g}")
    after = _after_complete(points)
    if after is not None:
        return Best(PD, after.day, f"{note}disease seen again on day {after.day:g} after CR")
    if early is not None:
        return Best(NE, early.day, f"{note}nothing after it counts")
    if points:
        return Best(NE, points[0].day, "no assessment could be evaluated")
    return Best(MISSING, math.nan, why)


def _after_complete(points: list[Point]) -> Point | None:
    complete = _first(points, (CR,))
    if complete is None:
        return None
    later = [p for p in points if p.day > complete.day]
    found = _first(later, (PR, SD))
    return found if isinstance(found, Point) else None


def _pair(points: list[Point], response: str, rules: Rules) -> tuple[Point, Point] | None:
    """Return the first response of a kind that was confirmed, with what confirmed it."""
    for i, first in enumerate(points):
        if first.response != response:
            continue
        for j in range(i + 1, len(points)):
            later = points[j]
            late = later.day - first.day >= rules.confirmation_days
            if late and _confirms(first, later, points[i + 1 : j], rules):
                return first, later
    return None


def _confirms(first: Point, later: Point, between: list[Point], rules: Rules) -> bool:
    seen = [p.response for p in between]
    if seen.count(NE) > rules.allow_ne:
        return False
    if first.response == CR:
        return later.response == CR and set(seen) <= {CR, NE}
    if later.response not in (PR, CR) or seen.count(SD) > rules.allow_sd:
        return False
    course = [*seen, later.response]
    again = CR in course and PR in course[course.index(CR) :]
    return set(seen) <= {CR, PR, NE, SD} and not again
