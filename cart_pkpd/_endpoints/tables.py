"""What the tables of endpoints hold: every column with its kind, unit and meaning.

Each table is a DataFrame made by `shape`; functions that take one check it by `require`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from cart_pkpd._core.errors import DataError, Problem
from cart_pkpd._core.validate import shown

CR, PR, SD, PD, NE = "CR", "PR", "SD", "PD", "NE"
NON = "NON-CR/NON-PD"  # the term of CDISC; "non-CR/non-PD" in the paper
MISSING = "MISSING"  # no assessment after the baseline
RESPONSES = (CR, PR, SD, NON, PD, NE, MISSING)  # the best first

DAYS_PER_MONTH = 30.4375


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    name : str
    kind : {"text", "number", "flag"}
        Text is "" and a number NaN where there is none; a flag is always True or False.
    unit : str
        "" where there is none.
    about : str
        What it holds.
    """

    name: str
    kind: Literal["text", "number", "flag"]
    unit: str
    about: str


def _text(name: str, about: str) -> Column:
    return Column(name, "text", "", about)


def _number(name: str, unit: str, about: str) -> Column:
    return Column(name, "number", unit, about)


def _flag(name: str, about: str) -> Column:
    return Column(name, "flag", "", about)


def _day(name: str, about: str) -> Column:
    return Column(name, "number", "day", f"{about}, counted from the infusion (day 0)")


LESIONS = (
    _text("id", "patient"),
    _text("visit", "name of the assessment, 'baseline' for the one before the infusion"),
    _day("day", "day of the assessment"),
    _text("lesion", "name of the lesion, the same at every assessment"),
    _text("kind", "target, non-target or new"),
    _text("site", "organ"),
    _flag("node", "a lymph node, measured by its short axis"),
    _number("diameter", "mm", "longest diameter, or short axis of a node"),
    _text("status", "measured, too small, absent, present, not evaluated, equivocal, unequivocal"),
)
"""Lesion records: one row per patient, assessment and lesion, in order of patient and day."""

FOLLOWUP = (
    _text("id", "patient"),
    _day("start_day", "time zero of the time-to-event endpoints"),
    _day("pd_day", "progression as the investigator called it"),
    _text("pd_basis", "radiological or clinical"),
    _day("new_therapy_day", "first dose of another anti-cancer treatment"),
    _text("new_therapy", "that treatment"),
    _day("death_day", "death"),
    _text("death_cause", "its cause"),
    _day("last_contact_day", "last day on which the patient was known to be alive, or died"),
    _flag("lost", "lost to follow-up"),
    _day("cut_off_day", "data cut-off"),
)
"""Follow-up: one row per patient."""

TIMEPOINTS = (
    _text("id", "patient"),
    _text("visit", "name of the assessment"),
    _day("day", "day of the assessment"),
    _flag("baseline", "the assessment before the infusion, of which no response is given"),
    _number("sum", "mm", "sum of the diameters of the targets that were evaluated"),
    _flag("complete", "every target of the baseline was evaluated (True without targets)"),
    _number("nadir", "mm", "smallest sum before this assessment, from complete ones"),
    _number("pct_baseline", "%", "change of the sum from the baseline; NaN if incomplete"),
    _number("pct_nadir", "%", "change of the sum from the nadir"),
    _number("mm_nadir", "mm", "change of the sum from the nadir"),
    _text("target", "CR, PR, SD, PD, NE; '' without target lesions"),
    _text("non_target", "CR, NON-CR/NON-PD, PD, NE; '' without non-target lesions"),
    _flag("new", "a new lesion, unequivocal here or confirmed later"),
    _text("overall", "CR, PR, SD, NON-CR/NON-PD, PD, NE; '' at the baseline"),
    _text("reason", "the rule that decided, in words"),
)
"""Time-point responses: one row per patient and assessment, in order of patient and day."""

BEST = (
    _text("id", "patient"),
    _text("best", "unconfirmed best overall response, MISSING without assessments"),
    _day("best_day", "first day of it"),
    _text("best_reason", "the rule that decided"),
    _text("confirmed", "confirmed best overall response"),
    _day("confirmed_day", "first day of it"),
    _day("confirmation_day", "assessment that confirmed CR or PR"),
    _text("confirmed_reason", "the rule that decided"),
    _day("response_day", "first CR or PR, confirmed or not"),
    _day("confirmed_response_day", "first CR or PR of those that were confirmed"),
    _day("pd_day", "first progression by RECIST, before or after new therapy"),
    _text("pd_by", "target, non-target, new lesion, or several"),
    _day("new_therapy_day", "first dose of another anti-cancer treatment"),
    _number("n_assessments", "1", "assessments that counted"),
    _flag(
        "evaluable",
        "measurable disease (or not known), and an assessment that counted and was not NE",
    ),
    _number("best_pct", "%", "smallest change of the sum from the baseline of those that counted"),
    _day("best_pct_day", "day of it"),
)
"""Best overall responses: one row per patient."""

RATES = (
    _text("group", "value of `by`, 'all' for all patients together"),
    _text("measure", "ORR, DCR or CR rate"),
    _flag("confirmed_responses", "whether CR and PR had to be confirmed"),
    _text("denominator", "infused, dlt_evaluable or response_evaluable"),
    _number("x", "1", "patients with the outcome"),
    _number("n", "1", "patients of the denominator"),
    _number("rate", "1", "x/n, or the posterior mean"),
    _number("lower", "1", "lower end of the interval"),
    _number("upper", "1", "upper end of the interval"),
    _text("interval", "clopper-pearson, beta-binomial or hierarchical"),
)
"""Response rates: one row per group and measure."""

TIME_TO_EVENT = (
    _text("id", "patient"),
    _text("endpoint", "PFS, OS, DOR or TTR"),
    _number("time", "day", "day - start_day + 1; NaN where the endpoint does not apply"),
    _number("months", "month", "time / 30.4375"),
    _flag("event", "True: event, False: censored"),
    _text("reason", "event, or censoring rule, in a few words"),
    _text("date_source", "what happened on that day"),
    _text("rule", "how it was decided, in one sentence"),
    _day("day", "day of the event or censoring"),
    _day("start_day", "time zero"),
    _day("pd_day", "first progression among the evidence"),
    _day("death_day", "death"),
    _day("last_assessment_day", "last evaluable assessment among the evidence"),
    _day("new_therapy_day", "first dose of another anti-cancer treatment"),
    _day("last_contact_day", "last known alive"),
    _day("cut_off_day", "data cut-off that was applied"),
)
"""Times to event: one row per patient."""

_EMPTY: Mapping[str, Any] = {"text": "", "number": float("nan"), "flag": False}


def shape(rows: Iterable[Mapping[Any, Any]], columns: tuple[Column, ...]) -> pd.DataFrame:
    """Return the rows as a table with exactly these columns, in order, with their kinds."""
    listed = list(rows)
    made = {c.name: _filled([row.get(c.name) for row in listed], c) for c in columns}
    table = pd.DataFrame(made)
    table.attrs["units"] = {c.name: c.unit for c in columns if c.unit not in ("", "1")}
    return table


def _filled(values: list[Any], column: Column) -> pd.Series:
    empty = _EMPTY[column.kind]
    kept = [empty if v is None else v for v in values]
    kinds: Mapping[str, Any] = {"text": str, "number": float, "flag": bool}
    return pd.Series(kept, dtype=kinds[column.kind])


def require(table: pd.DataFrame, columns: Iterable[str], what: str, source: str) -> pd.DataFrame:
    """Return `table` if it has the columns.

    Raises
    ------
    DataError
        If a column is missing; says from which function the table comes.
    """
    if not isinstance(table, pd.DataFrame):
        raise DataError(f"the {what} must be the table of {source}, not {shown(table)}.")
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise DataError(
            f"the {what} lack {', '.join(repr(m) for m in missing)}: pass the table of {source}."
        )
    return table


_WORDS = dict.fromkeys(("overall", "target", "non_target", "best", "confirmed"), (*RESPONSES, ""))


def tabled(
    table: Any, columns: tuple[Column, ...], what: str, source: str, *, raw: Iterable[str] = ()
) -> pd.DataFrame:
    """Return a table of one of this package's functions, its cells of the kinds declared.

    Parameters
    ----------
    table : DataFrame
    columns : tuple of Column
        What it must hold.
    what, source : str
        What it is, and which function returns it, for messages.
    raw : iterable of str
        Columns that are read elsewhere.

    Raises
    ------
    DataError
        If it is no such table, a number is none, a flag neither yes nor no, or a response unknown.
    """
    require(table, [c.name for c in columns], what, source)
    problems: list[Problem] = []
    made = {c.name: _kept(table, c, what, problems) for c in columns if c.name not in {*raw}}
    if problems:
        raise DataError(problems)
    return table.assign(**made)


def _kept(table: pd.DataFrame, c: Column, what: str, problems: list[Problem]) -> Any:
    cells = table[c.name]
    made: Any
    if c.kind == "number":
        made = pd.to_numeric(cells, errors="coerce").astype(float)
        wrong, wanted = made.isna() & cells.notna(), "a number"
    elif c.kind == "flag":
        made = cells.map({True: True, False: False}).astype(object)  # 1 and 0 too
        wrong, wanted = made.isna(), "True or False"
        made = made.fillna(False).astype(bool) if not wrong.any() else made
    else:
        made = cells.astype(object).where(cells.notna(), "").astype(str)
        known = _WORDS.get(c.name)
        wrong = ~made.isin(known) if known else pd.Series(False, index=made.index)
        wanted = f"one of {', '.join(RESPONSES)}"
    for who, cell in zip(table.loc[wrong, "id"], cells[wrong], strict=True):
        problems.append(
            Problem(f"bad_{c.name}", f"the {c.name} of patient {who} in the {what} is {cell!r}; it "
                    f"must be {wanted}.", str(who), column=c.name, value=str(cell))
        )  # fmt: skip
    return made


def each(table: pd.DataFrame) -> Iterator[Any]:
    """Return the rows of a table, their cells as attributes."""
    return iter(table.itertuples(index=False))


def by_patient(table: pd.DataFrame | None) -> dict[str, list[Any]]:
    """Return the rows of each patient, in the table's order, their cells as attributes."""
    out: dict[str, list[Any]] = {}
    for row in () if table is None else each(table):
        out.setdefault(str(row.id), []).append(row)
    return out
