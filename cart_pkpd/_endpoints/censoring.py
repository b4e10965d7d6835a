"""Event or censored: what is known of a patient, and the rule that decides."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from cart_pkpd._core.validate import at_least_0, one_of, positive_int
from cart_pkpd._endpoints.schedule import Schedule, planned
from cart_pkpd._endpoints.tables import NE, PD

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


def rules_of(
    timepoints: pd.DataFrame,
    censoring: Censoring,
    missed: int | None,
    days: Sequence[float] | None,
    window: float,
) -> Rules:
    """Return the rules of censoring, with the planned days where they are needed."""
    one_of(censoring, ("fda", "ema"), "censoring")
    if censoring == "ema" or missed is None:
        return Rules(censoring, None, None)
    return Rules(censoring, positive_int(missed, "missed"), planned(timepoints, days, window))


def evidence(
    who: Any,
    own: list[Any],
    cutoff: float | None,
    progression: Progression,
    clinical: bool,
    start: float | None = None,
) -> Evidence:
    """Gather what is known up to the cut-off."""
    if cutoff is not None:
        at_least_0(cutoff, "cutoff")
    end = float(np.fmin(who.cut_off_day, math.inf if cutoff is None else cutoff))
    first = float(who.start_day if start is None else start)
    seen = [row for row in own if not row.baseline and first <= row.day <= end]
    worse = min((row.day for row in seen if row.overall == PD), default=math.nan)
    by = "RECIST"
    called = _until(who.pd_day, end) if who.pd_day >= first else math.nan
    is_clinical = who.pd_basis == "clinical"
    if progression == "investigator":
        worse, by = (called, "investigator") if clinical or not is_clinical else (math.nan, "")
    elif clinical and is_clinical and called < np.fmin(worse, math.inf):
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


def decide(e: Evidence, rules: Rules) -> Decision:
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


def alive(who: Any, e: Evidence, assessed: float) -> Decision:
    """Return death, or when the patient was last known alive (last assessed: `assessed`)."""
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
