"""Infusions that the table of patients gives: a dose record of each, before the patient's records.

Amounts often stand where the other facts about a patient do, one row each, and not among the
samples. They become records like any other, so that one set of rules reads all doses.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal, InvalidOperation

import numpy as np

from cart_pkpd._data.columns import OF_PATIENTS, Columns, role_of
from cart_pkpd._data.covariates import plain_ids, subject_id_header
from cart_pkpd._data.log import Log
from cart_pkpd._data.options import Options
from cart_pkpd._data.parse import MISSING, IntArray, Text, find_decimal
from cart_pkpd._data.plain import moment
from cart_pkpd._data.source import Grid

_OF_DOSES = {"EVID": "1", "MDV": "1"}
"""What dose records hold in columns of these roles."""


def with_infusions(
    grid: Grid, columns: Columns, subjects: Grid, options: Options, log: Log
) -> Grid:
    """Return `grid` with a dose record for every patient of `subjects` with an amount.

    The records are at the date of infusion where times are dates, else at time 0; their line is
    that of `subjects`. Nothing changes where the records have an AMT column, or `subjects` none.

    Parameters
    ----------
    grid, subjects : Grid
        The table of records and that of patients.
    columns : Columns
        Roles; AMT, and AMTUNIT beside it, are added.
    options : Options
    log : Log
    """
    find_elsewhere(columns, subjects, log)
    amounts = columns.elsewhere.get("AMT")
    if amounts is None:
        return grid
    ids = plain_ids(subjects.cells[subject_id_header(subjects, columns.header["ID"], log)])
    known = set(plain_ids(grid.cells[columns.header["ID"]]))
    if not known.intersection(ids):  # written in two ways: said when the tables are joined
        return grid
    when = _times(grid, columns, subjects, options)
    missing = MISSING | {str(m) for m in options.missing}
    there = np.flatnonzero(
        [
            str(a) not in missing and str(t) not in missing and str(i) not in missing
            for a, t, i in zip(subjects.cells[amounts], when, ids, strict=True)
        ]
    )
    doses = {columns.header["ID"]: ids[there], columns.header["TIME"]: when[there]}
    for role, header in columns.elsewhere.items():
        if role in ("AMT", "AMTUNIT"):
            cells = subjects.cells[header][there]
            doses[header] = _without_sign(cells, subjects.sep) if role == "AMT" else cells
            columns.header[role], columns.how[role] = header, f"from {subjects.name}"
    for role, code in _OF_DOSES.items():
        if role in columns.header:
            doses[columns.header[role]] = np.full(there.size, code, dtype=object)
    log.note(
        f"{there.size} infusions come from {subjects.name} ({amounts!r}), each at "
        + ("its date." if _dated(grid, columns) else "time 0.")
    )
    return _put_before(grid, columns.header["ID"], doses, subjects.row[there])


def find_elsewhere(columns: Columns, subjects: Grid, log: Log) -> None:
    """Find the amount, its unit and the date of infusion in the table of patients."""
    for role in OF_PATIENTS:
        if role in columns.elsewhere or role in columns.off:
            continue
        if role != "INFUSION" and role in columns.header:
            continue
        found = next((h for h in subjects.header if role_of(h) == role), None)
        if found is None or (role == "AMTUNIT" and "AMT" not in columns.elsewhere):
            continue
        columns.elsewhere[role] = found
        if role == "AMT":
            log.guess(
                f"Column {found!r} of {subjects.name} is AMT; columns={{'AMT': …}} says otherwise."
            )


def _times(grid: Grid, columns: Columns, subjects: Grid, options: Options) -> Text:
    """Return the time of each subject's infusion as a cell, "" where it is not known."""
    size = subjects.row.size
    if not _dated(grid, columns):
        return np.full(size, "1" if options.day_one else "0", dtype=object)
    header = columns.elsewhere.get("INFUSION")
    if header is not None:
        return subjects.cells[header]
    if "INFUSION" not in columns.header:
        return np.full(size, "", dtype=object)
    dates: dict[str, str] = {}
    named = plain_ids(grid.cells[columns.header["ID"]])
    for name, cell in zip(named, grid.cells[columns.header["INFUSION"]], strict=True):
        if cell:
            dates.setdefault(str(name), str(cell))
    ids = plain_ids(subjects.cells[subject_id_header(subjects, columns.header["ID"], Log())])
    return np.array([dates.get(str(name), "") for name in ids], dtype=object)


def _dated(grid: Grid, columns: Columns) -> bool:
    """Say whether most times are dates."""
    cells = [str(c) for c in grid.cells[columns.header["TIME"]] if c not in MISSING]
    dates = [bool(seen.problem) or not np.isnan(seen.day) for seen in map(moment, cells)]
    return 2 * sum(dates) > len(cells)


def _without_sign(cells: Text, sep: str) -> Text:
    """Return numbers without a decimal sign, 104.6 as 1046e-1: the two tables may differ in it."""
    sign, _ = find_decimal([cells], sep or ";")
    return np.array([_whole(str(c), sign) for c in cells], dtype=object)


def _whole(cell: str, sign: str) -> str:
    text = cell.replace(",", ".") if sign == "," else cell
    if "." not in text:
        return cell
    try:
        number = Decimal(text)
    except InvalidOperation:
        return cell
    if not number.is_finite():
        return cell
    return format(number.scaleb(-int(number.as_tuple().exponent)), "f") + (
        f"e{number.as_tuple().exponent}"
    )


def _put_before(grid: Grid, id_header: str, doses: dict[str, Text], rows: IntArray) -> Grid:
    """Return `grid` with further rows, each before the first row of its patient, or at the end."""
    first: dict[str, int] = {}
    for i, name in enumerate(plain_ids(grid.cells[id_header])):
        first.setdefault(str(name), i)
    size = int(grid.row.size)
    at = [first.get(str(name), size) for name in doses[id_header]]
    header = (*grid.header, *(h for h in doses if h not in grid.header))
    empty = np.full(size, "", dtype=object)
    blank = np.full(len(at), "", dtype=object)
    cells = {h: np.insert(grid.cells.get(h, empty), at, doses.get(h, blank)) for h in header}
    row = np.insert(grid.row, at, rows)
    return replace(grid, header=header, cells=cells, row=row)
