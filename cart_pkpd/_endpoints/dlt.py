"""Rules for dose-limiting toxicity that a protocol switches on; none applies by itself."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from cart_pkpd._core.errors import DataError, DataWarning
from cart_pkpd._core.validate import did_you_mean, one_of, pair, shown
from cart_pkpd._endpoints.grading import Grades
from cart_pkpd._endpoints.tables import Column, tabled

Source = Literal["crs", "icans", "adverse events"]
_HOURS = 24.0
_EVENTS = (
    Column("id", "text", "", "patient"), Column("term", "text", "", "preferred term"),
    Column("grade", "number", "1", "CTCAE grade"), Column("start_day", "number", "day", "onset"),
    Column("end_day", "number", "day", "end; NaN while ongoing"),
)  # fmt: skip


@dataclass(frozen=True)
class DltRule:
    """One rule: a toxicity of at least a grade, perhaps for longer than some hours.

    Attributes
    ----------
    source : {"crs", "icans", "adverse events"}
    grade : int
    lasting_hours : float
        It counts only if it lasts longer than this; 0 counts at once. [h]
    terms : tuple of str
        Adverse events that count, lower case; empty: all.
    except_terms : tuple of str
        Adverse events that do not count.
    """

    source: Source
    grade: int
    lasting_hours: float = 0.0
    terms: tuple[str, ...] = ()
    except_terms: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        one_of(self.source, ("crs", "icans", "adverse events"), "source of a DLT rule",
               error=DataError)  # fmt: skip
        whole = isinstance(self.grade, int | float | np.integer) and not isinstance(
            self.grade, bool
        )
        if not whole or self.grade not in (1, 2, 3, 4, 5):
            raise DataError(f"a DLT rule needs a grade from 1 to 5, not {shown(self.grade)}.")
        if not isinstance(self.lasting_hours, int | float) or not self.lasting_hours >= 0:
            raise DataError(f"lasting_hours must be 0 or more, not {shown(self.lasting_hours)}.")

    def __str__(self) -> str:
        what = {"crs": "CRS", "icans": "ICANS"}.get(self.source, "adverse event")
        which = f" ({', '.join(self.terms)})" if self.terms else ""
        but = f", except {', '.join(self.except_terms)}" if self.except_terms else ""
        long = f" for more than {self.lasting_hours:g} h" if self.lasting_hours else ""
        return f"{what}{which} of grade ≥ {self.grade}{long}{but}"


def crs_at_least(grade: int, *, lasting_hours: float = 0.0) -> DltRule:
    """Return the rule: CRS of at least a grade, lasting longer than some hours [h].

    Parameters
    ----------
    grade : int
        Least grade that counts, 1 to 5.
    lasting_hours : float
        It counts only if it lasts longer than this. [h]

    Returns
    -------
    DltRule
        For `dlt`, which applies it.
    """
    return DltRule("crs", grade, lasting_hours)


def icans_at_least(grade: int, *, lasting_hours: float = 0.0) -> DltRule:
    """Return the rule: ICANS of at least a grade, lasting longer than some hours [h].

    Parameters
    ----------
    grade : int
        Least grade that counts, 1 to 5.
    lasting_hours : float
        It counts only if it lasts longer than this. [h]

    Returns
    -------
    DltRule
        For `dlt`, which applies it.
    """
    return DltRule("icans", grade, lasting_hours)


def adverse_event_at_least(
    grade: int,
    *,
    lasting_hours: float = 0.0,
    terms: str | Sequence[str] = (),
    except_terms: str | Sequence[str] = (),
) -> DltRule:
    """Return the rule: an adverse event of at least a grade.

    Parameters
    ----------
    grade : int
        CTCAE grade.
    lasting_hours : float
        It counts only if it lasts longer than this. [h]
    terms, except_terms : str or sequence of str
        Preferred terms that count (all by default), and those that do not, such as
        lymphopenia after lymphodepletion.

    Returns
    -------
    DltRule
        For `dlt`, which applies it.
    """
    counting, excepted = (_terms(given) for given in (terms, except_terms))
    return DltRule("adverse events", grade, lasting_hours, counting, excepted)


def _terms(given: str | Sequence[str]) -> tuple[str, ...]:
    listed = (given,) if isinstance(given, str) else given
    if not isinstance(listed, list | tuple | set) or not all(isinstance(t, str) for t in listed):
        raise DataError(f"terms are names of adverse events, such as 'neutropenia', not "
                        f"{shown(given)}.")  # fmt: skip
    return tuple(t.lower() for t in listed)


def dlt(
    dlt_rules: DltRule | Sequence[DltRule],
    *,
    crs: Grades | None = None,
    icans: Grades | None = None,
    adverse_events: pd.DataFrame | None = None,
    window: tuple[float, float] = (0.0, 28.0),
) -> pd.DataFrame:
    """Apply the protocol's rules for dose-limiting toxicity.

    Parameters
    ----------
    dlt_rules : DltRule or sequence of DltRule
        Those that the protocol names; at least one.
    crs, icans : Grades, optional
        From `crs_grade` and `icans_grade`.
    adverse_events : DataFrame, optional
        ``id``, ``term``, ``grade``, ``start_day``, ``end_day`` (NaN while ongoing).
    window : (float, float)
        First and last day on which a toxicity must begin to count. [day]

    Returns
    -------
    DataFrame
        One row per patient of any source: ``id``, ``dlt`` (1, 0, or NaN where it cannot be told),
        ``dlt_day`` (when the toxicity began), ``rule`` (that was met), ``reason``.
        ``attrs["rules"]`` repeats the rules in words.

    Raises
    ------
    DataError
        If no rule is given, a rule's source is missing, or the window ends before it begins.

    Warns
    -----
    DataWarning
        If a rule names a term that no adverse event has.

    Notes
    -----
    Nothing is dose-limiting unless a rule here says so, and the investigator's flag may differ.
    A grade lasts from the first record that has it to the first record below it; between
    records nothing is known, so that a duration is as fine as the records are. A toxicity that is
    still there at the last record, followed for less than the rule's hours, makes the answer NaN.
    So do, without a toxicity that counts: an adverse event without a grade, or without the day on
    which it began; a record of CRS or ICANS whose grade is not known and may be as high; and
    records of which none could be graded.
    """
    if isinstance(dlt_rules, DltRule):
        dlt_rules = [dlt_rules]
    if not isinstance(dlt_rules, list | tuple) or not dlt_rules:
        raise DataError(
            "no DLT rule is switched on; name those of the protocol, such as "
            "dlt_rules=[endpoints.crs_at_least(3, lasting_hours=72), endpoints.icans_at_least(3)]."
        )
    _check_rules(dlt_rules, window)
    given = {"crs": crs, "icans": icans, "adverse events": adverse_events}
    for word, function in (("crs", "crs_grade"), ("icans", "icans_grade")):
        if given[word] is not None and not isinstance(given[word], Grades):
            raise DataError(f"{word}= must be from endpoints.{function}, not {shown(given[word])}.")
    for rule in dlt_rules:
        if given[rule.source] is None:
            word = rule.source.replace(" ", "_")
            raise DataError(f"the rule '{rule}' needs {word}=, which was not given.")
    if adverse_events is not None:
        adverse_events = tabled(adverse_events, _EVENTS, "adverse events", "endpoints.from_ae")
        given["adverse events"] = adverse_events
        _check_events(adverse_events, dlt_rules)
    spells = pd.concat([_spells(r, given[r.source]) for r in dlt_rules], ignore_index=True)
    inside = spells["start"].isna() | spells["start"].between(*window)
    spells = spells[inside].sort_values("start", kind="stable")
    rows = [_verdict(who, spells[spells["id"] == who]) for who in _patients(given)]
    table = pd.DataFrame(rows, columns=["id", "dlt", "dlt_day", "rule", "reason"])
    table.attrs["rules"] = tuple(str(r) for r in dlt_rules)
    return table


def _patients(given: dict[str, Any]) -> list[str]:
    ids: dict[str, None] = {}
    for source in given.values():
        if source is not None:
            table = source.patients if isinstance(source, Grades) else source
            ids |= dict.fromkeys(table["id"].astype(str))
    return list(ids)


def _check_rules(rules: Sequence[DltRule], window: tuple[float, float]) -> None:
    for rule in rules:
        if not isinstance(rule, DltRule):
            raise DataError(f"{rule!r} is no DLT rule; write endpoints.crs_at_least(3), for one.")
    first, last = pair(window, "window", "(first day, last day)")
    if not first <= last:
        raise DataError(f"window= must be (first day, last day), not {shown(window)}.")


def _check_events(table: pd.DataFrame, rules: Sequence[DltRule]) -> None:
    known = set(table["term"].astype(str).str.lower())
    named = dict.fromkeys(t for r in rules for t in (*r.terms, *r.except_terms))
    for term in (t for t in named if t not in known):
        hint = did_you_mean(term, known)
        warnings.warn(f"no adverse event has the term {term!r}.{hint}", DataWarning, stacklevel=3)


def _spells(rule: DltRule, source: Any) -> pd.DataFrame:
    """Return the spells that meet, or may meet, a rule: id, start, met (True, or None), rule."""
    found = _graded(rule, source) if isinstance(source, Grades) else _adverse(rule, source)
    rows = []
    for who, start, end, ongoing in found:
        hours = (end - start) * _HOURS
        if hours > rule.lasting_hours or not rule.lasting_hours:
            rows.append({"id": who, "start": start, "met": True, "rule": str(rule), "why": ""})
        elif ongoing:
            why = f"{rule}: still there when last seen, {hours:g} h after it began"
            rows.append({"id": who, "start": start, "met": False, "rule": str(rule), "why": why})
    unknown = _ungraded if isinstance(source, Grades) else _untold
    for who, start, what in unknown(rule, source):
        why = f"{rule}: {what}"
        rows.append({"id": who, "start": start, "met": False, "rule": str(rule), "why": why})
    return pd.DataFrame(rows, columns=["id", "start", "met", "rule", "why"])


def _graded(rule: DltRule, grades: Grades) -> list[tuple[str, float, float, bool]]:
    out = []
    for who, part in grades.records.groupby("id", sort=False):
        known = part[part["grade"].notna()]
        day, high = known["day"].to_numpy(float), known["grade"].to_numpy() >= rule.grade
        out += [(str(who), *spell) for spell in _runs(day, high)]
    return out


def _ungraded(rule: DltRule, grades: Grades) -> Iterator[tuple[str, float, str]]:
    """Yield id, day and reason of records without a grade that may meet the rule."""
    for who, part in grades.records.groupby("id", sort=False):
        if part["grade"].isna().all() and part["most"].isna().all():
            yield str(who), float("nan"), "no record could be graded"
        for row in part[part["most"] >= rule.grade].to_dict("records"):
            day = float(row["day"])
            yield str(who), day, f"day {day:g} could not be graded, {row['rule']}"


def _runs(day: np.ndarray, high: np.ndarray) -> list[tuple[float, float, bool]]:
    """Return start, end and whether it was still going on, of every run of `high`."""
    runs, start = [], None
    for t, h in zip(day, high, strict=True):
        if h and start is None:
            start = float(t)
        elif not h and start is not None:
            runs.append((start, float(t), False))
            start = None
    return [*runs, (start, float(day[-1]), True)] if start is not None else runs


def _adverse(rule: DltRule, table: pd.DataFrame) -> list[tuple[str, float, float, bool]]:
    chosen = _counts(rule, table) & (table["grade"].astype(float) >= rule.grade)
    out = []
    for row in table[chosen & table["start_day"].notna()].to_dict("records"):
        start, end = float(row["start_day"]), float(row["end_day"])
        # An event without an end is ongoing, and nothing says for how long it was followed.
        ongoing = np.isnan(end)
        out.append((str(row["id"]), start, start if ongoing else end, bool(ongoing)))
    return out


def _counts(rule: DltRule, table: pd.DataFrame) -> pd.Series:
    """Return which adverse events the rule looks at, by their terms."""
    term = table["term"].astype(str).str.lower()
    chosen = ~term.isin(rule.except_terms)
    return chosen & term.isin(rule.terms) if rule.terms else chosen


def _untold(rule: DltRule, table: pd.DataFrame) -> Iterator[tuple[str, float, str]]:
    """Yield id, day and reason of adverse events without a grade, or without their first day."""
    for row in table[_counts(rule, table)].to_dict("records"):
        who, start, grade = str(row["id"]), float(row["start_day"]), float(row["grade"])
        hours = (float(row["end_day"]) - start) * _HOURS
        if np.isnan(grade) and not hours < rule.lasting_hours:
            yield who, start, f"{row['term']} has no grade"
        elif grade >= rule.grade and np.isnan(start):
            yield who, start, f"the day on which {row['term']} began is not known"


def _verdict(who: str, spells: pd.DataFrame) -> dict[str, Any]:
    met = spells[spells["met"].astype(bool)]
    if len(met):
        start = float(met["start"].to_numpy(float)[0])
        return {"id": who, "dlt": 1.0, "dlt_day": start, "rule": str(met["rule"].iloc[0]),
                "reason": ""}  # fmt: skip
    if len(spells):
        return {"id": who, "dlt": np.nan, "dlt_day": np.nan, "rule": "",
                "reason": str(spells.iloc[0]["why"])}  # fmt: skip
    return {"id": who, "dlt": 0.0, "dlt_day": np.nan, "rule": "", "reason": ""}
