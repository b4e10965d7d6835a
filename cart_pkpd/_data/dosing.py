"""Dose records with their repeats, and co-medication."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import SupportsIndex

import numpy as np

from cart_pkpd._core.errors import UnitError
from cart_pkpd._core.units import (
    canonical,
    conversion_factor,
    convert,
    exponents,
    times,
)
from cart_pkpd._data.check import Observations
from cart_pkpd._data.columns import snake
from cart_pkpd._data.covariates import Covariate
from cart_pkpd._data.infusion import has_lengths, lengths
from cart_pkpd._data.log import Log
from cart_pkpd._data.options import Options
from cart_pkpd._data.parse import NUMBER, FloatArray, IntArray, Text
from cart_pkpd._data.records import COMEDICATION, DOSE, OTHER, Records
from cart_pkpd._data.table import Table, of_each
from cart_pkpd._data.timing import require_times

_MOST_REPEATS = 1000
_LONGEST_COURSE = 1e6  # days


@dataclass(frozen=True)
class Doses:
    """Infusions, sorted by patient and time: row, patient index, time [day], amount [unit].

    `duration` [day] is None where the table says nothing of it.
    """

    row: IntArray
    patient: IntArray
    time: FloatArray
    amount: FloatArray
    unit: str
    duration: FloatArray | None


@dataclass(frozen=True)
class Events:
    """Co-medication, sorted by patient and time; value 1 is given or on, 0 off."""

    row: IntArray
    patient: IntArray
    time: FloatArray
    name: Text
    value: FloatArray


def dose_rows(table: Table, records: Records, time: FloatArray) -> IntArray:
    """Return the positions of sound dose records."""
    rows = np.flatnonzero((records.kind == DOSE) & ~table.bad)
    require_times(table, time, rows)
    named = np.array([_medication(table, i) for i in rows], dtype=object)
    table.flag(
        [i for i, name in zip(rows, named, strict=True) if name],
        "comedication_as_dose",
        "AMT",
        "a dose record is of co-medication, not of cells ({place}). Set its EVID to 2.",
    )
    _check_steady_state(table, rows)
    return rows[~table.bad[rows]]


def read_doses(
    table: Table,
    records: Records,
    rows: IntArray,
    time: FloatArray,
    time_unit: str,
    options: Options,
) -> Doses:
    """Return the doses, repeats (ADDL, II) written out."""
    duration = lengths(table, records, rows, time_unit, _written_unit(table, rows, options))
    repeats, interval = _repeats(table, rows, time_unit)
    keep = ~table.bad[rows]
    rows, repeats, interval, duration = rows[keep], repeats[keep], interval[keep], duration[keep]
    amount, unit = _amounts(table, records.amount.value[rows], rows, options)
    source = np.repeat(np.arange(rows.size), repeats + 1)
    count = np.arange(source.size) - np.repeat(np.cumsum(repeats + 1) - (repeats + 1), repeats + 1)
    table.flag_too_large(rows[np.isinf(amount)], "AMT", unit)
    when = time[rows][source] + count * np.nan_to_num(interval)[source]
    if source.size > rows.size:
        table.log.note(f"{source.size - rows.size} doses come from ADDL and II.")
    patient = table.patient[rows][source]
    order = np.lexsort((when, patient))
    doses = Doses(
        table.row[rows][source][order],
        patient[order],
        when[order],
        amount[source][order],
        unit,
        duration[source][order] if has_lengths(table) else None,
    )
    _check_same_time(table, doses, rows[source][order])
    return doses


def read_events(table: Table, records: Records, time: FloatArray) -> Events:
    """Return the rows with EVID 2 that name a medication; the others are listed as left out."""
    rows = np.flatnonzero((records.kind == OTHER) & ~table.bad)
    names = np.array([_event_name(table, i) for i in rows], dtype=object)
    named = np.array([bool(n) for n in names], dtype=bool)
    table.exclude(rows[~named], "EVID", "other event (EVID 2) without a name")
    rows, names = rows[named], names[named]
    require_times(table, time, rows)
    value = np.where(records.dv.kind[rows] == NUMBER, records.dv.value[rows], 1.0)
    patient = table.patient[rows]
    order = np.lexsort((np.arange(rows.size), time[rows], patient))
    return Events(
        table.row[rows][order], patient[order], time[rows][order], names[order], value[order]
    )


def guess_occasions(table: Table, found: Observations, doses: Doses) -> None:
    """Say which patients have an occasion of their own after fewer doses than its number."""
    if not doses.row.size or not np.any(found.occasion > 1):
        return
    given = of_each(doses.patient, np.arange(doses.patient.size))
    short: dict[int, int] = {}
    for p, rows in of_each(found.patient, np.flatnonzero(found.occasion > 1)).items():
        times = np.sort(doses.time[given.get(p, np.zeros(0, dtype=np.int64))])
        until = np.searchsorted(times, found.time[rows], side="right")
        if np.any(until < found.occasion[rows]):
            short[p] = int(found.position[rows[np.argmax(until < found.occasion[rows])]])
    if short:
        p, at = next(iter(short.items()))
        table.log.guess(
            f"OCC is {table.cell('OCC', at)} after fewer doses in {len(short)} patients (first: "
            f"{table.patients[p]!r}, row {table.row[at]}); no infusion was added. If they were "
            "infused again, add the dose records."
        )


def with_changes(events: Events, covariates: Sequence[Covariate]) -> Events:
    """Return the events with the changes of covariates, under the covariates' names."""
    found = [(c.name, change) for c in covariates for change in c.changes]
    if not found:
        return events
    row = np.concatenate([events.row, [c.row for _, c in found]]).astype(np.int64)
    patient = np.concatenate([events.patient, [c.patient for _, c in found]]).astype(np.int64)
    time = np.concatenate([events.time, [c.time for _, c in found]])
    name = np.concatenate([events.name, np.array([n for n, _ in found], dtype=object)])
    value = np.concatenate([events.value, [c.value for _, c in found]])
    order = np.lexsort((np.arange(row.size), time, patient))
    return Events(row[order], patient[order], time[order], name[order], value[order])


def _event_name(table: Table, i: SupportsIndex) -> str:
    for role in ("EVENT", "DVID"):
        text = table.cell(role, i)
        if text and text not in table.missing:
            return COMEDICATION.get(text.lower(), snake(text))
    return ""


def _medication(table: Table, i: SupportsIndex) -> str:
    return next(
        (
            COMEDICATION[table.cell(role, i).lower()]
            for role in ("EVENT", "DVID")
            if table.cell(role, i).lower() in COMEDICATION
        ),
        "",
    )


def _check_steady_state(table: Table, rows: IntArray) -> None:
    found = table.numbers("SS").value[rows]
    table.flag(
        rows[np.nan_to_num(found) != 0],
        "steady_state",
        "SS",
        "SS is {value} ({place}): steady state means nothing for living cells. Set SS to 0.",
    )


def _repeats(table: Table, rows: IntArray, time_unit: str) -> tuple[IntArray, FloatArray]:
    more = np.nan_to_num(table.numbers("ADDL").value[rows])
    interval = convert(table.numbers("II").value[rows], time_unit, "day")
    wrong = (more < 0) | (more != np.round(more)) | (more > _MOST_REPEATS)
    table.flag(
        rows[wrong],
        "bad_addl",
        "ADDL",
        f"ADDL is {{value}} ({{place}}). It must be a whole number from 0 to {_MOST_REPEATS}.",
    )
    table.flag(
        rows[(more > 0) & ~wrong & ~(interval > 0)],
        "addl_without_interval",
        "ADDL",
        "ADDL is {value} without a positive II ({place}). Give the interval between doses in II.",
    )
    far = (more > 0) & ~wrong & (interval > _LONGEST_COURSE / np.maximum(more, 1))
    table.flag(
        rows[far],
        "time_too_long",
        "II",
        f"II is {{value}} ({{place}}): the doses would go on for more than {_LONGEST_COURSE:.0e} "
        "days. Correct II or ADDL.",
    )
    return np.where(wrong | far, 0, more).astype(np.int64), interval


def _amounts(
    table: Table, amount: FloatArray, rows: IntArray, options: Options
) -> tuple[FloatArray, str]:
    """Return the amounts in one unit."""
    words = _unit_words(table, rows)
    header = _header_unit(table)
    given = sorted({str(w) for w in words} - {""})
    target = options.dose_unit or (given[0] if given else header)
    if target is None or (target == header and header != table.columns.unit("AMT")):
        target = "cells/kg" if target and "/" in target else "cells"
        if rows.size:
            table.log.guess(f"Doses are in {target}; dose_unit= says otherwise.")
    try:
        unit = canonical(target)
    except UnitError as error:
        raise table.log.fatal("dose_unit", f"the unit of the doses: {error}") from None
    converted, same = _of_header(table, amount, words, unit), True
    for word in given:
        at = words == word
        try:
            with np.errstate(over="ignore"):
                converted[at] = convert(amount[at], word, unit)
            same &= canonical(word) == unit
        except UnitError as error:
            _report_unit(table, rows[at], word, unit, str(error))
    if not same:
        table.log.note(f"Doses in {', '.join(given)} were converted to {unit}.")
    return converted, unit


def _of_header(table: Table, amount: FloatArray, words: Text, unit: str) -> FloatArray:
    """Return the amounts, those without a unit of their own brought from the header's to `unit`."""
    column, header = table.columns.header.get("AMT", ""), _header_unit(table)
    bare = words == ""
    if header is None or not bare.any():
        return amount.copy()
    try:
        factor = conversion_factor(header, unit)
    except UnitError:
        raise table.log.fatal(
            "dose_unit",
            f"the header {column!r} gives amounts in {header!r}, which can not be converted to "
            f"{unit!r}, the unit of the doses. Correct the header, or dose_unit=.",
            column=column,
        ) from None
    if factor != 1:
        table.log.note(f"Doses were converted from {header} ({column!r}) to {unit}.")
    with np.errstate(over="ignore"):
        return np.where(bare, convert(amount, header, unit), amount)


def _header_unit(table: Table) -> str | None:
    """Return the unit of the amounts' header; a power of ten alone counts cells."""
    unit = table.columns.unit("AMT")
    return unit and counted(unit)


def counted(unit: str) -> str:
    """Return a unit of doses with the cells that a power of ten leaves out: 10^6/kg."""
    if unit.startswith("10^") and exponents(unit) in ({}, {"g": -1}):
        return canonical(times(unit, "cells"))
    return unit


def levels_in_unit(covariates: list[Covariate], doses: Doses, log: Log) -> list[Covariate]:
    """Return the covariates with the dose level in the unit of the doses.

    A level whose header gives no unit, or one of another kind, stays as it is.
    """
    target = doses.unit if doses.row.size else None
    return [_in_unit(c, target, log) if c.name == "dose_level" else c for c in covariates]


def _in_unit(level: Covariate, target: str | None, log: Log) -> Covariate:
    source = counted(level.unit)
    if target is None:  # amounts are not known: a power of ten is written out all the same
        target = "cells/kg" if "/" in source else "cells"
    if not level.numeric or not _counts_cells(source) or exponents(source) != exponents(target):
        return level
    if source == target:
        return replace(level, unit=target)
    log.note(f"Dose levels were converted from {level.unit} ({level.header!r}) to {target}.")
    return replace(level, unit=target, values=convert(level.values, source, target))


def _written_unit(table: Table, rows: IntArray, options: Options) -> str:
    """Return the unit that amounts are written in; all of them if there are several."""
    given = ", ".join(sorted({str(w) for w in _unit_words(table, rows)} - {""}))
    return given or _header_unit(table) or options.dose_unit or "cells"


def _report_unit(table: Table, rows: IntArray, word: str, unit: str, error: str) -> None:
    """Report the doses (positions) whose unit is not known, or is not of the others' kind."""
    role = "AMTUNIT" if table.has("AMTUNIT") else "UNIT"
    if _counts_cells(word) and _counts_cells(unit):
        why = (
            f"it can not be converted to {unit!r}, the unit of the doses, without the body weight. "
            "Give all amounts in cells, or all in cells/kg"
        )
    elif _is_unit(word):
        why = (
            f"it can not be converted to {unit!r}, the unit of the doses. Give every amount in "
            "one unit"
        )
    else:
        why = error.rstrip(".")
    table.flag(
        rows,
        "dose_unit",
        role,
        "a dose is in {value!r} ({place}): {why}.",
        why=why,
    )


def _is_unit(word: str) -> bool:
    try:
        canonical(word)
    except UnitError:
        return False
    return True


def _unit_words(table: Table, rows: IntArray) -> Text:
    """Return the unit of each dose: AMTUNIT, or UNIT where it counts cells on dose records."""
    if table.has("AMTUNIT"):
        return table.words("AMTUNIT")[rows]
    words = table.words("UNIT")[rows]
    return np.array([w if _counts_cells(str(w)) else "" for w in words], dtype=object)


def _counts_cells(unit: str) -> bool:
    try:
        powers = exponents(unit)
    except UnitError:
        return False
    return powers in ({"cell": 1}, {"cell": 1, "g": -1})


def _check_same_time(table: Table, doses: Doses, position: IntArray) -> None:
    same = (np.diff(doses.time) == 0) & (np.diff(doses.patient) == 0)
    for k in np.flatnonzero(same):
        i, j = sorted((int(position[k]), int(position[k + 1])))
        table.flag(
            [j],
            "two_doses_at_once",
            "AMT",
            "a second dose is at the same time as that of row {other} ({place}). "
            "If both were given then, add them up in one record; otherwise correct the time, which "
            "runs on from the first infusion.",
            other=int(table.row[i]),
        )
