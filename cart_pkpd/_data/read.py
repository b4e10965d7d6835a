"""The steps from a source to the trial Dataset, in order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from cart_pkpd._data import build as build_
from cart_pkpd._data.censoring import Marks, read_marks, resolve
from cart_pkpd._data.check import (
    Observations,
    check_clock,
    check_order,
    in_order,
    without_duplicates,
)
from cart_pkpd._data.columns import assign
from cart_pkpd._data.covariates import collect, split_dose_level, with_flags
from cart_pkpd._data.dates import days_of_dates, days_of_trial, has_dates, infusions
from cart_pkpd._data.dosing import (
    dose_rows,
    guess_occasions,
    levels_in_unit,
    read_doses,
    read_events,
    with_changes,
)
from cart_pkpd._data.endpoints import Endpoints, find_units, name_endpoints
from cart_pkpd._data.infused import with_infusions
from cart_pkpd._data.log import Log
from cart_pkpd._data.options import Options
from cart_pkpd._data.parse import NUMBER, FloatArray, IntArray
from cart_pkpd._data.plain import iso
from cart_pkpd._data.records import Records, classify, usable_observations
from cart_pkpd._data.report import ImportReport
from cart_pkpd._data.safety import check_grades, guess_units, with_days
from cart_pkpd._data.source import Grid, Source, load
from cart_pkpd._data.table import Table, build
from cart_pkpd._data.timing import align, read_times, require_times


def _table(
    source: Source, subjects: Source | None, options: Options
) -> tuple[Grid, Table, Grid | None]:
    """Return the table as text with its roles, and that of the patients."""
    log = Log()
    options.check(log)
    grid = load(source, options.sep, log)
    settle = "a line 'sep=,' above"
    extra = None if subjects is None else load(subjects, None, log, settle=settle)
    columns = assign(grid.header, options.columns, log, () if extra is None else extra.header)
    if extra is not None:
        grid = with_infusions(grid, columns, extra, options, log)
    return grid, build(grid, columns, options.missing, options.decimal, log), extra


def infusion_dates(source: Source, subjects: Source | None, options: Options) -> dict[str, str]:
    """Return the date of infusion of every patient whose table says it, as ISO text.

    The trial itself holds no dates; other tables of the same patients may need them to be read.
    """
    _, table, extra = _table(source, subjects, options)
    found = infusions(table, classify(table), extra, table.columns.header["ID"])
    return {name: iso(seen) for name, seen in found.items()}


def read(source: Source, subjects: Source | None, options: Options) -> xr.Dataset:
    """Read a table; see `data.read_table`."""
    grid, table, extra = _table(source, subjects, options)
    trial, report = _trial(grid, table, extra, options)
    trial.attrs = {
        "import_report": report.to_json(),
        "source": grid.name,
        "source_sha256": grid.sha256,
        "time_unit": "day",
    }
    return trial


def _trial(
    grid: Grid, table: Table, subjects: Grid | None, options: Options
) -> tuple[xr.Dataset, ImportReport]:
    log = table.log
    records = classify(table)
    marks = read_marks(table)
    dated = None
    if has_dates(table):
        dated = days_of_dates(table, records, subjects, table.columns.header["ID"])
    time, nominal, time_unit = read_times(table, options, dated)
    check_clock(table, records, time, in_order=not options.sort)
    rows = usable_observations(table, records, marks.censored)
    require_times(table, time, rows)
    rows = rows[~table.bad[rows]]
    given = dose_rows(table, records, time)
    time, nominal = align(table, records, time, nominal, options)
    observations, endpoints = _observations(table, records, marks, rows, time, nominal, options)
    if not options.sort:
        check_order(table, observations, given, time)
    observations = without_duplicates(
        table, in_order(observations), endpoints.names, options.duplicates
    )
    doses = read_doses(table, records, given, time, time_unit, options)
    guess_occasions(table, observations, doses)
    events = read_events(table, records, time)
    id_header = table.columns.header["ID"]
    covariates = split_dose_level(table, collect(table, subjects, options, id_header, time))
    covariates = with_flags(table, levels_in_unit(covariates, doses, log))
    starts = infusions(table, records, subjects, id_header)
    covariates = with_days(table.patients, covariates, starts, log)
    check_grades(table.patients, covariates, log)
    build_.guess_levels(doses, covariates, log)
    guess_units(table.patients, doses, covariates, log)
    events = with_changes(events, covariates)
    log.stop_if_any()
    if not len(observations):
        raise log.fatal(
            "no_observations",
            f"{grid.name!r} has no observation record with a value. Every row is a dose, another "
            "event, or has no DV.",
        )
    patients = table.patients
    build_.note_gaps(patients, observations, doses, log)
    trial = build_.dataset(table.row, patients, observations, endpoints, doses, events, covariates)
    trial = build_.with_infusion_day(trial, days_of_trial(patients, starts))
    report = build_.report(
        grid, table.columns, observations, endpoints, doses, events, covariates, patients, log
    )
    return trial, report


def _observations(
    table: Table,
    records: Records,
    marks: Marks,
    rows: IntArray,
    time: FloatArray,
    nominal: FloatArray,
    options: Options,
) -> tuple[Observations, Endpoints]:
    names, code = name_endpoints(table, rows, options)
    _note_empty_endpoints(table, rows)
    rows, code = rows[code >= 0], code[code >= 0]
    units, factor = find_units(table, rows, names, code, options)
    endpoints = Endpoints(names, units, code)
    values = resolve(table, records, marks, rows, endpoints, factor, options)
    found = Observations(
        rows,
        table.patient[rows],
        code,
        _occasions(table, rows),
        time[rows],
        nominal[rows],
        values,
    )
    return found.take(np.flatnonzero(~table.bad[rows])), endpoints


def _occasions(table: Table, rows: IntArray) -> IntArray:
    found = table.numbers("OCC")
    number = found.kind[rows] == NUMBER
    value = np.where(number, found.value[rows], 1.0)
    table.flag(
        rows[value != np.round(value)],
        "bad_occasion",
        "OCC",
        "OCC is {value} ({place}). It must be a whole number.",
    )
    return np.round(value).astype(np.int64)


def _note_empty_endpoints(table: Table, rows: IntArray) -> None:
    """Note endpoints whose every value is missing: they are not part of the trial."""
    if not table.has("DVID"):
        return
    words = table.words("DVID")
    reasons = {e.row for e in table.log.exclusions}
    out = np.array([int(r) in reasons for r in table.row], dtype=bool)
    kept = {str(w) for w in words[rows]}
    for word in dict.fromkeys(str(w) for w in pd.unique(words[out]) if w):
        if word not in kept:
            table.log.note(f"Endpoint {word!r} has no value at all and is not in the trial.")
