"""Times that a table gives as dates: days since each patient's infusion."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cart_pkpd._data.columns import role_of
from cart_pkpd._data.parse import NONE, NUMBER, FloatArray, Numbers
from cart_pkpd._data.plain import NO_DATE, Moment, days_between, moment
from cart_pkpd._data.records import DOSE, Records
from cart_pkpd._data.source import Grid
from cart_pkpd._data.table import Table

_KNOWN = "2026-03-09, 09.03.2026 or 09-Mar-2026"


def has_dates(table: Table) -> bool:
    """Say whether the times of a table are dates; a few among numbers are mistakes."""
    cells = [str(c) for c in table.text["TIME"] if c not in table.missing]
    known = {cell: _is_date(moment(cell)) for cell in dict.fromkeys(cells)}
    return 2 * sum(known[cell] for cell in cells) > len(cells)


def days_of_dates(table: Table, records: Records, subjects: Grid | None, id_header: str) -> Numbers:
    """Return the TIME column as days since the infusion; the cells are dates.

    The date of infusion is that of the INFUSION column, here or in the table of subjects, or else
    that of the patient's first dose record. Days are whole unless both dates have a time of day.
    Whatever cannot be counted is reported.

    Parameters
    ----------
    table, records
        What is read.
    subjects : Grid, optional
        One row per patient.
    id_header : str
        Header of the patients in `subjects`, where it is not a usual one.
    """
    starts = _starts(table, records, subjects, id_header) | _from_column(table)
    size = len(table)
    kind, value = np.full(size, NONE), np.full(size, np.nan)
    for i, cell in enumerate(map(str, table.text["TIME"])):
        if cell in table.missing:
            continue
        seen, start = moment(cell), starts.get(table.name(i))
        if why := _problem(seen, start):
            code = "date_in_time" if _is_date(seen) else "no_date_in_time"
            table.flag([i], code, "TIME", "{place} holds {value!r}: " + why)
        elif start is not None:
            kind[i], value[i] = NUMBER, days_between(start, seen)
    table.log.note(
        "Times are dates; days count from the date of infusion, whole ones unless both have a time "
        "of day."
    )
    return Numbers(kind, value, np.full(size, "", dtype=object))


def infusions(
    table: Table, records: Records, subjects: Grid | None, id_header: str
) -> dict[str, Moment]:
    """Return the date of infusion of every patient who has one; what is no date is not used.

    Parameters are those of `days_of_dates`.
    """
    column: dict[str, Moment] = {}
    for i, cell in enumerate(map(str, table.text.get("INFUSION", ()))):
        seen = moment(cell)
        if not np.isnan(seen.day) and cell not in table.missing:
            column.setdefault(table.name(i), seen)
    return _starts(table, records, subjects, id_header) | column


def days_of_trial(patients: list[str], starts: Mapping[str, Moment]) -> FloatArray:
    """Return the day of each patient's infusion, counted from the first of all; NaN if unknown.

    Only these differences leave the table: dates tell more about a patient than an analysis needs.
    """
    days = np.array([np.floor(starts.get(name, NO_DATE).day) for name in patients])
    return days - np.nanmin(days) if np.isfinite(days).any() else days


def _starts(
    table: Table, records: Records, subjects: Grid | None, id_header: str
) -> dict[str, Moment]:
    return _from_doses(table, records) | _from_subjects(
        subjects, id_header, table.columns.elsewhere.get("INFUSION")
    )


def _is_date(seen: Moment) -> bool:
    return bool(seen.problem) or not np.isnan(seen.day)


def _problem(seen: Moment, start: Moment | None) -> str:
    """Return why a cell cannot be counted in days, "" if it can."""
    if seen.problem:
        return f"{seen.problem}."
    if np.isnan(seen.day):
        return f"other times of the table are dates. Write a date such as {_KNOWN}."
    if start is None:
        return (
            "a date, and the date of the patient's infusion is not known. Add a dose record on "
            "that date, a column 'Infusion date' (columns={{'INFUSION': …}} names another), or "
            "give the time since infusion in days."
        )
    return ""


def _from_doses(table: Table, records: Records) -> dict[str, Moment]:
    found: dict[str, Moment] = {}
    for i in np.flatnonzero(records.kind == DOSE):
        seen, name = moment(table.cell("TIME", i)), table.name(i)
        if not np.isnan(seen.day) and (name not in found or seen.day < found[name].day):
            found[name] = seen
    return found


def _from_column(table: Table) -> dict[str, Moment]:
    found: dict[str, Moment] = {}
    for i, cell in enumerate(map(str, table.text.get("INFUSION", ()))):
        if cell in table.missing:
            continue
        seen, name = moment(cell), table.name(i)
        if np.isnan(seen.day):
            why = seen.problem or f"that is no date, such as {_KNOWN}"
            sentence = "{place} holds {value!r}: " + why + "."
            table.flag([i], "bad_infusion_date", "INFUSION", sentence)
        elif found.setdefault(name, seen) != seen:
            table.flag(
                [i],
                "two_infusion_dates",
                "INFUSION",
                "a second date of infusion, {value} ({place}). Days count from one, the first; "
                "further infusions are dose records.",
            )
    return found


def _from_subjects(subjects: Grid | None, id_header: str, header: str | None) -> dict[str, Moment]:
    """Return the dates of the table of subjects; what is no date there is not used."""
    if subjects is None or header is None:
        return {}
    roles = {role_of(h): h for h in subjects.header}
    who = id_header if id_header in subjects.header else roles.get("ID")
    if who is None:
        return {}
    read = zip(subjects.cells[who], subjects.cells[header], strict=True)
    found = {str(name): moment(str(cell)) for name, cell in read}
    return {name: seen for name, seen in found.items() if not np.isnan(seen.day)}
