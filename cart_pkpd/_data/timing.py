"""Times in days since the first infusion."""

from __future__ import annotations

import numpy as np

from cart_pkpd._core.errors import UnitError
from cart_pkpd._core.units import canonical, convert, exponents
from cart_pkpd._data.log import some
from cart_pkpd._data.options import Options
from cart_pkpd._data.parse import NONE, FloatArray, IntArray
from cart_pkpd._data.records import DOSE, Records
from cart_pkpd._data.table import Table


def read_times(table: Table, options: Options) -> tuple[FloatArray, FloatArray, str]:
    """Return actual and nominal times in days on the file's clock, and the file's time unit."""
    time, nominal = table.numbers("TIME"), table.numbers("NTIME")
    unit = _unit(table, options)
    days = [convert(x.value, unit, "day") for x in (time, nominal)]
    days = [np.where(x.kind == NONE, np.nan, d) for x, d in zip((time, nominal), days, strict=True)]
    if options.day_one:
        days = _from_day_one(table, days)
    return days[0], days[1], unit


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


def _unit(table: Table, options: Options) -> str:
    stated = _stated_unit(table)
    if options.time_unit is not None:
        unit = canonical(options.time_unit)
        if stated is not None and stated != unit:
            table.log.note(f"The table says times in {stated}; time_unit={unit!r} was used.")
        return unit
    if stated is None:
        table.log.guess("Times are in days; time_unit= says otherwise.")
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
    first = doses[time[doses] == shift[table.patient[doses]]]
    planned = np.full(len(table.patients), np.nan)
    planned[table.patient[first]] = nominal[first]
    by_row = np.nan_to_num(shift)[table.patient], np.nan_to_num(planned)[table.patient]
    return time - by_row[0], nominal - by_row[1]


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
