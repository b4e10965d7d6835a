"""The table with its columns named: patients, raw text per role, and rows that can be trusted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import SupportsIndex

import numpy as np
import pandas as pd

from cart_pkpd._data.columns import Columns, key
from cart_pkpd._data.log import Log, place, some
from cart_pkpd._data.parse import (
    CONVERTED,
    MISSING,
    NONE,
    BoolArray,
    IntArray,
    Numbers,
    Text,
    find_decimal,
    read_column,
)
from cart_pkpd._data.source import Grid

_NUMERIC = ("TIME", "NTIME", "DV", "LIMIT", "LLOQ", "ULOQ", "AMT", "RATE", "DURATION", "II")

_LONGEST = 60
"""Characters of a cell that a message shows."""

_WHY = {
    "text": "{value!r} is not a number",
    "infinite": "{value!r} is infinite or too large for a number",
    "thousands_separator": "{value!r} has a thousands separator; write it without",
    "decimal_comma": "{value!r} has a decimal comma; use a point, or pass decimal=','",
    "decimal_point": "{value!r} has a decimal point in a table whose decimal sign is a comma",
    "spreadsheet_error": "{value!r} is a spreadsheet's error, not a number",
    "date": "{value!r} is a date, not a number",
    "clock": "{value!r} is a clock time, not a number",
}


@dataclass
class Table:
    """Rows of the file that hold records.

    Attributes
    ----------
    row : array of int
        Line of the file.
    patient : array of int
        Index into `patients`.
    patients : list of str
        Patients in order of first appearance.
    text : dict of str to array of str
        Raw cells per role.
    other : dict of str to array of str
        Raw cells per header, for the columns that may be covariates.
    bad : array of bool
        Rows with a problem; further checks leave them alone.
    missing : frozenset of str
        Texts that stand for nothing.
    """

    columns: Columns
    row: IntArray
    patient: IntArray
    patients: list[str]
    text: dict[str, Text]
    other: dict[str, Text]
    missing: frozenset[str]
    decimal: str
    log: Log
    bad: BoolArray = field(init=False)

    def __post_init__(self) -> None:
        self.bad = np.zeros(self.row.size, dtype=bool)

    def __len__(self) -> int:
        return int(self.row.size)

    def has(self, role: str) -> bool:
        """Say whether the table has a column of this role."""
        return role in self.text

    def name(self, i: SupportsIndex) -> str:
        """Return the patient of a row."""
        return self.patients[self.patient[i]]

    def cell(self, role: str, i: SupportsIndex) -> str:
        """Return the raw text of a cell; empty where the table has no such column."""
        return str(self.text[role][i]) if role in self.text else ""

    def flag(
        self, rows: Iterable[SupportsIndex], code: str, role: str, sentence: str, **more: object
    ) -> None:
        """Report the same problem for each of `rows` (positions) and set the rows aside.

        `sentence` may use ``{value}`` (the cell of `role`) and ``{place}``.
        """
        column = self.columns.header.get(role, role)
        for i in rows:
            value, patient, row = self.cell(role, i), self.name(i), int(self.row[i])
            shown = value if len(value) <= _LONGEST else f"{value[:_LONGEST]}…"
            text = sentence.format(value=shown, place=place(patient, row, column), **more)
            self.log.problem(
                code, text, patient=patient, row=row, column=column, value=value or None
            )
            self.bad[i] = True

    def exclude(self, rows: Iterable[SupportsIndex], role: str, reason: str) -> None:
        """List `rows` (positions) as left out, with the reason."""
        column = self.columns.header.get(role, role)
        for i in rows:
            self.log.exclude(int(self.row[i]), self.name(i), column, self.cell(role, i), reason)

    def numbers(self, role: str) -> Numbers:
        """Read a column as numbers and report every cell that is none."""
        if role not in self.text:
            n = len(self)
            return Numbers(np.full(n, NONE), np.full(n, np.nan), np.full(n, "", dtype=object))
        found = read_column(self.text[role], self.decimal, self.missing)
        self.flag_bad_numbers(role, found)
        return found

    def flag_bad_numbers(self, role: str, found: Numbers) -> None:
        """Report the cells of a column that could not be read as numbers."""
        for i in np.flatnonzero(found.bad):
            kind = str(found.problem[i])
            if kind in ("date", "clock") and role in ("TIME", "NTIME"):
                self.flag(
                    [i],
                    "date_in_time" if kind == "date" else "clock_in_time",
                    role,
                    "{place} holds the "
                    + ("date" if kind == "date" else "clock time")
                    + " {value!r}. Give the time since infusion in days.",
                )
            else:
                code = "text_in_number" if kind in ("text", "date", "clock") else kind
                self.flag([i], code, role, _WHY[kind] + " ({place}).")

    def flag_too_large(self, rows: IntArray, role: str, unit: str) -> None:
        """Report cells whose value is infinite in the unit that it is converted to."""
        self.flag(
            rows,
            "infinite",
            role,
            "{value} is too large for a number in {unit} ({place}). Correct the cell.",
            unit=unit,
        )

    def lines(self, rows: IntArray, most: int = 3) -> str:
        """Return ``"2 records (rows 4, 9)"`` for `rows` (positions)."""
        count = "1 record (row" if rows.size == 1 else f"{rows.size} records (rows"
        return f"{count} {some([str(r) for r in self.row[rows]], most)})"

    def words(self, role: str) -> Text:
        """Return a column as text, with "" for what is missing."""
        if role not in self.text:
            return np.full(len(self), "", dtype=object)
        cells = self.text[role]
        return np.where(pd.Series(cells, dtype=object).isin(self.missing), "", cells)


def build(
    grid: Grid, columns: Columns, missing: Iterable[str | float], decimal: str | None, log: Log
) -> Table:
    """Take comment rows out, name the patients and find the decimal sign."""
    markers = MISSING | _spellings(missing)
    ids = grid.cells[columns.header["ID"]]
    comment = _comments(grid, ids)
    for i in np.flatnonzero(comment):
        log.exclude(int(grid.row[i]), "", grid.header[0], grid.cells[grid.header[0]][i], _COMMENT)
    nameless = ~comment & np.array([t in markers for t in ids], dtype=bool)
    _report_nameless(grid, columns, nameless, log)
    kept = np.flatnonzero(~comment & ~nameless)
    patient, patients = pd.factorize(_clean_ids(ids[kept], log))
    names = [str(p) for p in patients]
    first = dict(zip(patient[::-1], grid.row[kept][::-1], strict=True))
    _check_names(names, first, columns.header["ID"], log)
    check_lookalikes(names, log)
    text = {role: grid.cells[h][kept] for role, h in columns.header.items()}
    return Table(
        columns=columns,
        row=grid.row[kept],
        patient=patient.astype(np.int64),
        patients=names,
        text=text,
        other={h: grid.cells[h][kept] for h in columns.covariates},
        missing=markers,
        decimal=decimal or _decimal(text, grid, kept, log),
        log=log,
    )


def _spellings(missing: Iterable[str | float]) -> frozenset[str]:
    """Return the texts of the user's missing values; -99 is also met as -99.0."""
    found = {str(m).strip() for m in missing}
    for text in list(found):
        if re.fullmatch(r"-?\d+(\.0*)?", text):
            found |= {text.split(".")[0], text.split(".")[0] + ".0"}
    return frozenset(found)


_COMMENT = "comment line (starts with C, @ or #)"


def _comments(grid: Grid, ids: Text) -> BoolArray:
    """Mark the lines that NONMEM's IGNORE would leave out.

    ``#`` and ``@`` always mark one. A ``C`` does as the whole first cell, unless patients go
    by single letters; before a number only if the other patients' names are numbers, because
    ``C01`` is also a usual name.
    """
    first = grid.cells[grid.header[0]]
    marked = np.array([t[:1] in ("#", "@") or t[:2] == "C " for t in first])
    lettered = first is ids and any(re.fullmatch(r"[ABDabd]", str(t)) for t in ids)
    if not lettered:
        marked |= np.array([t in ("C", "c") for t in first])
    if first is ids and not marked.all():
        names = {str(t) for t in ids[~marked]}
        numeric = {t for t in names if re.fullmatch(r"[\d.]+", t)}
        prefixed = {t for t in names if re.fullmatch(r"[Cc][\d.]+", t)}
        if numeric and names == numeric | prefixed:
            marked |= np.array([t in prefixed for t in ids])
    return marked.astype(bool)


def _report_nameless(grid: Grid, columns: Columns, nameless: BoolArray, log: Log) -> None:
    column = columns.header["ID"]
    for i in np.flatnonzero(nameless):
        row = int(grid.row[i])
        log.problem(
            "missing_id",
            f"row {row} has no patient (column {column}). Give every record its patient.",
            row=row,
            column=column,
            value=str(grid.cells[column][i]),
        )


def _clean_ids(ids: Text, log: Log) -> Text:
    """Return names as text; whole numbers written as 1.0 lose the point."""
    if ids.size and all(re.fullmatch(r"\d+\.0+", t) for t in pd.unique(ids)):
        log.note("Patients written as 1.0, 2.0, … are called 1, 2, ….")
        return np.array([t.split(".")[0] for t in ids], dtype=object)
    return ids


_SUMMARY = frozenset(
    ("mean", "average", "median", "sd", "std", "sem", "total", "sum", "min", "max", "count")
)


def _check_names(names: list[str], first: dict[int, int], column: str, log: Log) -> None:
    """Report names that a spreadsheet has changed, and rows that sum up the others."""
    numbered = any(any(c.isdigit() for c in n) for n in names)
    for p, name in enumerate(names):
        if CONVERTED.fullmatch(name):
            code, why = "converted_id", (
                "looks like a date or a number that a spreadsheet made of a name such as 1-4 or "
                "123456789012. Take the names from the original table"
            )  # fmt: skip
        elif numbered and name.lower().rstrip(".:") in _SUMMARY:
            code, why = "summary_row", "is no patient but sums up others. Remove such rows"
        else:
            continue
        row = int(first[p])
        log.problem(
            code,
            f"{name!r} ({place(None, row, column)}) {why}.",
            patient=name,
            row=row,
            column=column,
            value=name,
        )


def check_lookalikes(names: list[str], log: Log) -> None:
    """Report patients that are one number written in two ways, and say which names are alike."""
    numbers: dict[int, list[str]] = {}
    alike: dict[str, list[str]] = {}
    for name in names:
        if re.fullmatch(r"\d{1,18}(\.0*)?", name):
            numbers.setdefault(int(name.split(".")[0]), []).append(name)
        else:
            alike.setdefault(re.sub(r"[\W_]", "", name).casefold().lstrip("0"), []).append(name)
    for same in numbers.values():
        if len(same) > 1:
            log.problem(
                "one_number_two_names",
                f"{_pair(same)} may be one patient. Write each patient in one way, and give "
                "different patients different numbers.",
                patient=same[1],
                value=same[1],
            )
    pairs = [_pair(same) for same in alike.values() if len(same) > 1]
    if pairs:
        log.guess(
            f"These are different patients with similar names: {some(pairs)}. If they are one, "
            "write the name in one way."
        )


def _pair(names: list[str]) -> str:
    return " and ".join(repr(n) for n in names)


def of_each(patient: IntArray, rows: IntArray) -> dict[int, IntArray]:
    """Return the positions among `rows` of each patient, in their order."""
    if not rows.size:
        return {}
    order = rows[np.argsort(patient[rows], kind="stable")]
    who, start = np.unique(patient[order], return_index=True)
    return dict(zip(who.tolist(), np.split(order, start[1:]), strict=True))


_POINT = re.compile(r"[<>≤≥= ]*[+-]?\d+\.\d{3}")


def _decimal(text: dict[str, Text], grid: Grid, kept: IntArray, log: Log) -> str:
    columns = [text[role] for role in _NUMERIC if role in text]
    sign, example = find_decimal(columns, grid.sep)
    if sign == "." and example:
        first, cell = min(
            (int(i), str(c))
            for cells in columns
            for i, c in enumerate(cells)
            if _POINT.fullmatch(str(c))
        )
        log.guess(
            f"The decimal sign is a point, but every number with one has three digits after it, "
            f"such as {cell!r} in row {grid.row[kept[first]]}. If it separates thousands, remove "
            "it; decimal='.' confirms it."
        )
    if sign == "?":
        raise log.fatal(
            "ambiguous_comma",
            f"numbers such as {example!r} may have a decimal comma or a thousands separator. "
            "Pass decimal=',' or decimal='.'.",
        )
    if sign == ",":
        log.note(f"The decimal sign is a comma ({example!r}).")
    return sign


def is_dose_header(header: str) -> bool:
    """Say whether a header reads like an amount that was not recognised."""
    return key(header) in ("DOSE", "DOSES")
