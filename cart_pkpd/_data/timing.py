"""Times in days since the first infusion."""

from __future__ import annotations

import numpy as np

from cart_pkpd._core.errors import UnitError
from cart_pkpd._core.units import canonical, convert, exponents
from cart_pkpd._data.columns import is_study_day
from cart_pkpd._data.log import some
from cart_pkpd._data.options import Options
from cart_pkpd._data.parse import NONE, NUMBER, FloatArray, IntArray, Numbers
from cart_pkpd._data.records import DOSE, Records
from cart_pkpd._data.table import Table

_MISSING_CODES = (-99.0, -999.0, -9999.0)

_LONGEST_DAYS = 3650.0
"""Ten years: few follow cells for longer, while hours get there in five months."""

_LONGEST_TRIAL = 1e6
"""Days; nothing that is longer is a time of a trial, but it may be seconds or a date."""

_SERIAL = 3e4
"""A spreadsheet counts days from 1900: its dates of trials of cells begin above it (1982)."""

_HOURS, _ENOUGH, _MOSTLY = 24.0, 4, 0.9
"""Sampling times that are nearly all multiples of 24, four or more of them, are planned hours."""


def read_times(table: Table, options: Options) -> tuple[FloatArray, FloatArray, str]:
    """Return actual and nominal times in days on the file's clock, and the file's time unit."""
    time, nominal = table.numbers("TIME"), table.numbers("NTIME")
    unit = _unit(table, options, time)
    _note_codes(table, "TIME", time)
    _note_codes(table, "NTIME", nominal)
    _note_study_days(table, options)
    days = [convert(x.value, unit, "day") for x in (time, nominal)]
    days = [np.where(x.kind == NONE, np.nan, d) for x, d in zip((time, nominal), days, strict=True)]
    for role, column in zip(("TIME", "NTIME"), days, strict=True):
        _check_length(table, role, np.flatnonzero(np.abs(column) > _LONGEST_TRIAL))
        column[np.abs(column) > _LONGEST_TRIAL] = np.nan
    if options.day_one:
        days = _from_day_one(table, days)
    return days[0], days[1], unit


def _check_length(table: Table, role: str, rows: IntArray) -> None:
    table.flag(
        rows,
        "time_too_long",
        role,
        f"the time {{value}} is more than {_LONGEST_TRIAL:.0e} days ({{place}}). Correct it, or "
        "its unit with time_unit=.",
    )


def require_times(table: Table, time: FloatArray, used: IntArray) -> None:
    """Report the used records (positions) that have no time."""
    hint = " NTIME can be used instead: columns={{'TIME': …}}." if table.has("NTIME") else ""
    table.flag(
        used[np.isnan(time[used]) & ~table.bad[used]],
        "missing_time",
        "TIME",
        "the record has no time ({place}). Give the days since infusion, "
        "or set MDV to 1 to leave it out." + hint,
    )


def _note_codes(table: Table, role: str, time: Numbers) -> None:
    """Note times that elsewhere stand for a missing value; here they are times."""
    for code in _MISSING_CODES:
        at = np.flatnonzero((time.kind == NUMBER) & (time.value == code))
        if at.size:
            cell = table.cell(role, at[0])
            table.log.guess(
                f"{table.columns.header[role]} is {cell} in {table.lines(at)}, which is taken as "
                f"a time and not as missing; if it stands for missing, pass missing=[{cell!r}]."
            )


def _note_study_days(table: Table, options: Options) -> None:
    header = table.columns.header["TIME"]
    if is_study_day(header) and not options.day_one:
        table.log.guess(
            f"{header} is read as days since infusion, but CDISC study days call the first day 1 "
            "and have no day 0; if these do, pass day_one=True."
        )


def _guess_days(table: Table, time: Numbers) -> None:
    """Say that times without a unit are days, and loudly where they look like hours."""
    positive = np.unique(time.value[(time.kind == NUMBER) & (time.value > 0)])
    last = positive[-1] if positive.size else 0.0
    late = positive[positive >= _HOURS]
    whole = late.size >= _ENOUGH and np.mean(late % _HOURS == 0) >= _MOSTLY
    if last > _LONGEST_DAYS or whole:
        why = f"Times run to {last:g}" + (
            f" and are mostly multiples of {_HOURS:g}" if whole else ""
        )
        table.log.guess(
            f"{why}; they are taken to be in days. If they are hours, pass time_unit='h'; "
            "if they are days, time_unit='day'."
        )
    else:
        table.log.guess("Times are in days; time_unit= says otherwise.")


def _unit(table: Table, options: Options, time: Numbers) -> str:
    stated = _stated_unit(table)
    if options.time_unit is not None:
        unit = canonical(options.time_unit)
        if stated is not None and stated != unit:
            table.log.note(f"The table says times in {stated}; time_unit={unit!r} was used.")
        return unit
    if stated is None:
        _guess_days(table, time)
        return "day"
    if stated != "day":
        table.log.note(f"Times were converted from {stated} to day.")
    return stated


def _stated_unit(table: Table) -> str | None:
    words = sorted({str(w) for w in table.words("TIMEUNIT")} - {""})
    if len(words) > 1:
        raise table.log.fatal(
            "mixed_time_units",
            f"the times have several units: {', '.join(words)}. Convert them to days.",
            column=table.columns.header["TIMEUNIT"],
        )
    unit = words[0] if words else table.columns.unit("TIME")
    try:
        unit = None if unit is None else canonical(unit)
        known = unit is None or exponents(unit) == {"day": 1}
    except UnitError:
        known = False
    if not known:
        raise table.log.fatal(
            "unknown_time_unit",
            f"{unit!r} is not a unit of time. Pass time_unit='day' or time_unit='h'.",
            column=table.columns.header.get("TIMEUNIT", table.columns.header["TIME"]),
        )
    return unit


def _from_day_one(table: Table, days: list[FloatArray]) -> list[FloatArray]:
    """Turn study days (infusion on day 1) into days since infusion.

    Calendars that call the infusion day 1 mostly have no day 0: the day before is -1, and
    stays so. A table that does use days between 0 and 1 counts straight through zero.
    """
    straight = any(bool(np.any((d >= 0) & (d < 1))) for d in days)
    if straight:
        table.log.note("Infusion is day 1 and the table has a day 0: 1 was taken off every time.")
        return [d - 1 for d in days]
    table.log.note("Infusion is day 1: 1 was taken off times from day 1 on; there is no day 0.")
    return [np.where(d >= 1, d - 1, d) for d in days]


def align(
    table: Table, records: Records, time: FloatArray, nominal: FloatArray, options: Options
) -> tuple[FloatArray, FloatArray]:
    """Shift each patient's times so that the first dose record is day 0."""
    doses = np.flatnonzero((records.kind == DOSE) & ~table.bad & np.isfinite(time))
    _check_serial(table, doses, time)
    if not doses.size:
        table.log.guess("No dose records: the infusion is taken to be at time 0, amount unknown.")
        return time, nominal
    shift = np.full(len(table.patients), np.nan)
    np.fmin.at(shift, table.patient[doses], time[doses])
    _note_undosed(table, shift)
    moved = [table.patients[p] for p in np.flatnonzero(np.nan_to_num(shift) != 0)]
    if not moved:
        return time, nominal
    if not options.align_to_dose:
        table.log.note(f"The first dose is not at time 0 in {_patients(moved)}; kept as it is.")
        return time, nominal
    table.log.note(
        f"Times were shifted so that the first dose is day 0 in {_patients(moved)}; "
        "align_to_dose=False keeps the table's clock."
    )
    _guess_day_one(table, shift, time, options)
    first = doses[time[doses] == shift[table.patient[doses]]]
    planned = np.full(len(table.patients), np.nan)
    planned[table.patient[first]] = nominal[first]
    by_row = np.nan_to_num(shift)[table.patient], np.nan_to_num(planned)[table.patient]
    return time - by_row[0], nominal - by_row[1]


def _check_serial(table: Table, doses: IntArray, time: FloatArray) -> None:
    """Report patients whose times are the days of a spreadsheet's calendar, without a dose."""
    earliest = np.full(len(table.patients), np.inf)
    timed = np.flatnonzero(np.isfinite(time) & ~table.bad)
    np.fmin.at(earliest, table.patient[timed], time[timed])
    earliest[table.patient[doses]] = np.nan
    rows = timed[earliest[table.patient[timed]] > _SERIAL]
    table.flag(
        rows[np.unique(table.patient[rows], return_index=True)[1]],
        "date_as_number",
        "TIME",
        "the first time of a patient without a dose record is {value} ({place}), which looks like "
        "a date that a spreadsheet wrote as a number. Give the days since infusion, or add the "
        "dose records.",
    )


def _guess_day_one(table: Table, shift: FloatArray, time: FloatArray, options: Options) -> None:
    """Say that doses on day 1 and no day 0 may mean that the day before is called -1."""
    known = time[np.isfinite(time) & ~table.bad]
    dosed = shift[np.isfinite(shift)]
    if options.day_one or not np.all(dosed == 1) or np.any((known >= 0) & (known < 1)):
        return
    if np.any(known < 0):
        table.log.guess(
            "All infusions are on day 1, and no record is on day 0: the times before were counted "
            "through zero, so that day -1 is two days before the infusion. If it is the day "
            "before, pass day_one=True."
        )


def _note_undosed(table: Table, shift: FloatArray) -> None:
    without = [table.patients[p] for p in np.flatnonzero(np.isnan(shift))]
    if without:
        table.log.note(
            f"No dose record in {_patients(without)}: infusion taken to be at time 0, "
            "amount unknown."
        )


def _patients(names: list[str]) -> str:
    what = "patient" if len(names) == 1 else f"{len(names)} patients:"
    return f"{what} {some(names)}"
