"""What is known of each patient: columns of the table, and a table of subjects."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cart_pkpd._core.validate import did_you_mean
from cart_pkpd._data.columns import (
    DATED,
    DOSE_LEVEL,
    OF_PATIENTS,
    is_special,
    key,
    role_of,
    snake,
    split_unit,
)
from cart_pkpd._data.log import Log, some
from cart_pkpd._data.options import Options
from cart_pkpd._data.parse import (
    CONVERTED,
    NONE,
    NUMBER,
    BoolArray,
    FloatArray,
    IntArray,
    Text,
    find_decimal,
    read_column,
    vocabulary,
)
from cart_pkpd._data.records import COMEDICATION
from cart_pkpd._data.source import Grid
from cart_pkpd._data.table import Table, check_lookalikes, is_dose_header, of_each

_RESERVED = vocabulary(
    "obs dosing id event measure row patient time nominal_time endpoint occasion dv censoring lloq "
    "uloq limit dose_row dose_patient dose_time amount duration event_row event_patient event_time "
    "event_name event_value unit label kind n dose_level"
)

_USUAL = {"GENDER": "sex"}
"""Header -> the name by which every other table calls the same."""

_WRONG = ("infinite", "thousands_separator", "spreadsheet_error", "decimal_comma")


@dataclass(frozen=True)
class Changed:
    """A number that is another from a time on: line, position of the patient, day, value."""

    row: int
    patient: int
    time: float
    value: float


@dataclass(frozen=True)
class Covariate:
    """One value per patient, floats (NaN missing) or text ("" missing), and how it changes."""

    name: str
    header: str
    unit: str
    values: FloatArray | Text
    changes: tuple[Changed, ...] = ()

    @property
    def numeric(self) -> bool:
        """Whether the values are numbers."""
        return bool(self.values.dtype.kind == "f")

    @property
    def missing(self) -> int:
        """Return the number of patients without a value."""
        empty = np.isnan(self.values) if self.numeric else self.values == ""
        return int(np.sum(empty))


@dataclass(frozen=True)
class Block:
    """Cells of one table, one row per record or subject."""

    table: str
    cells: dict[str, Text]
    patient: IntArray
    row: IntArray
    decimal: str


def collect(
    table: Table, subjects: Grid | None, options: Options, id_header: str | None, time: FloatArray
) -> list[Covariate]:
    """Return the covariates of all patients; subjects without records join the patients.

    Parameters
    ----------
    table, subjects, options, id_header
        What is read.
    time : ndarray
        Days since the first infusion, one per row of `table`.
    """
    blocks = [Block("", table.other, table.patient, table.row, table.decimal)]
    if subjects is not None:
        blocks.append(_subjects_block(table, subjects, id_header))
    _keep_asked(table, blocks, options)
    found: dict[str, Covariate] = {}
    for block in blocks:
        for header, cells in block.cells.items():
            covariate = _covariate(table, block, header, cells, time)
            other = found.get(covariate.name)
            found[covariate.name] = (
                covariate if other is None else _joined(table, other, covariate, block)
            )
    return list(found.values())


def _subjects_block(table: Table, grid: Grid, id_header: str | None) -> Block:
    header = subject_id_header(grid, id_header, table.log)
    ids = plain_ids(grid.cells[header])
    nameless = np.array([t in table.missing for t in ids], dtype=bool)
    for i in np.flatnonzero(nameless):
        row = int(grid.row[i])
        table.log.problem(
            "subject_without_id",
            f"row {row} of {grid.name} has no patient (column {header}).",
            row=row,
            column=header,
        )
    keep = np.flatnonzero(~nameless)
    known = {name: i for i, name in enumerate(table.patients)}
    new = [str(n) for n in dict.fromkeys(ids[keep]) if n not in known]
    there = {str(n) for n in ids[keep]}
    _check_overlap(table, grid, header, new, there)
    table.patients.extend(new)
    if new:
        check_lookalikes(table.patients, table.log)
    known = {name: i for i, name in enumerate(table.patients)}
    patient = np.array([known[str(n)] for n in ids[keep]], dtype=np.int64)
    used = {h for role, h in table.columns.elsewhere.items() if role in OF_PATIENTS} | {header}
    cells = {h: grid.cells[h][keep] for h in grid.header if h not in used}
    table.columns.subjects |= dict.fromkeys(cells, grid.name)
    if not grid.sep:
        cells = {h: _with_points(c, table.decimal) for h, c in cells.items()}
    sign, _ = find_decimal(list(cells.values()), grid.sep)
    return Block(grid.name, cells, patient, grid.row[keep], "," if sign == "," else ".")


def _with_points(cells: Text, sign: str) -> Text:
    """Return a column of a DataFrame with decimal points, if it has commas and no points."""
    found, _ = find_decimal([cells], ";")
    if (sign if found == "?" else found) != ",":
        return cells
    return np.array([str(c).replace(",", ".") for c in cells], dtype=object)


def subject_id_header(grid: Grid, id_header: str | None, log: Log) -> str:
    """Return the header of the patients in a table of subjects, or stop without one."""
    for header in grid.header:
        if header == id_header:
            return header
    for header in grid.header:
        if role_of(header) == "ID":
            return header
    raise log.fatal(
        "no_subject_id_column",
        f"the subjects table {grid.name} has no ID column. Its headers: {', '.join(grid.header)}.",
        column="ID",
    )


def plain_ids(ids: Text) -> Text:
    """Return names as text; whole numbers written as 1.0 lose the point."""
    if ids.size and all(re.fullmatch(r"\d+\.0+", t) for t in pd.unique(ids)):
        return np.array([t.split(".")[0] for t in ids], dtype=object)
    return ids


def _check_overlap(table: Table, grid: Grid, header: str, new: list[str], there: set[str]) -> None:
    absent = [repr(p) for p in table.patients if p not in there]
    if table.patients and len(absent) == len(table.patients):
        raise table.log.fatal(
            "no_subject_matches",
            f"no patient of the table is in {grid.name}: {absent[0]} in the one, {new[:1]} in the "
            f"other (column {header}). Write the patients the same way in both.",
            column=header,
        )
    if absent:
        table.log.note(f"Not in {grid.name}, so without its covariates: {some(absent)}.")
    if new:
        shown = some([repr(n) for n in new])
        table.log.note(f"In {grid.name} without any record, kept as patients: {shown}.")


def _keep_asked(table: Table, blocks: list[Block], options: Options) -> None:
    """Apply `covariates=`: only the named columns are kept."""
    if options.covariates is None:
        return
    headers = [h for block in blocks for h in block.cells]
    for name in options.covariates:
        if not any(name in _names(h) for h in headers):
            table.log.problem(
                "covariate_not_in_table",
                f"covariates= names {name!r}, which is not a covariate column of the table."
                f"{did_you_mean(name, headers)} There are: {', '.join(headers)}.",
                column=name,
                value=name,
            )
    kept = {*options.covariates, table.columns.planned}
    for block in blocks:
        for header in list(block.cells):
            if not _names(header) & kept:
                del block.cells[header]
                table.columns.unused[header] = "not in covariates="
                table.columns.subjects.pop(header, None)
    table.columns.covariates[:] = [
        h for h in table.columns.covariates if h not in table.columns.unused
    ]


def _names(header: str) -> set[str]:
    """Return the names by which a covariate can be asked for."""
    usual = _USUAL.get(key(header), header), DATED.get(key(header), header)
    return {header, snake(split_unit(header)[0]), *usual}


def _covariate(table: Table, block: Block, header: str, cells: Text, time: FloatArray) -> Covariate:
    words = np.where(pd.Series(cells, dtype=object).isin(table.missing), "", cells)
    numbers = read_column(cells, block.decimal, table.missing)
    filled = numbers.kind != NONE
    wrong = numbers.bad & np.isin(numbers.problem, _WRONG)
    coded = any(re.fullmatch(r"0\d+", str(w)) for w in pd.unique(words))
    numeric = bool(np.all((numbers.kind[filled] == NUMBER) | wrong[filled])) and not coded
    if numeric and wrong.any():
        _report_wrong(table, block, header, words, np.flatnonzero(wrong))
    if numeric:
        _report_code(table, block, header, words, numbers.value)
    elif key(header) not in DATED:  # whose dates become days
        _guess_converted(table, block, header, words)
    values: FloatArray | Text = numbers.value if numeric else words
    _note_mixed(table, block, header, words, numbers.kind == NUMBER, numeric or coded)
    code = pd.factorize(values)[0].astype(np.int64)
    first = _first_per_patient(block.patient, filled, len(table.patients))
    changes: tuple[Changed, ...] = ()
    if numeric and not block.table and not _is_dose(header):
        first, changes = _followed(table, block, header, numbers.value, filled, first, time)
    else:
        _check_constant(table, block, header, cells, code, filled, first)
    empty: FloatArray | Text = np.full(
        len(table.patients), np.nan if numeric else "", dtype=float if numeric else object
    )
    known = first >= 0
    empty[known] = values[first[known]]
    title, unit = split_unit(header)
    name = _free_name(table, header, title)
    if changes and name in COMEDICATION:  # as events of it are called
        name, old = COMEDICATION[name], header
        header = name
        table.log.note(f"Covariate {old!r} is called {name!r}.")
    return Covariate(name, header, unit or "", empty, changes)


def _is_dose(header: str) -> bool:
    """Return True for a column of doses, which is no covariate that changes in time."""
    return is_dose_header(header) or key(header) in DOSE_LEVEL


def _followed(
    table: Table,
    block: Block,
    header: str,
    values: FloatArray,
    filled: BoolArray,
    first: IntArray,
    time: FloatArray,
) -> tuple[IntArray, tuple[Changed, ...]]:
    """Return where each patient's value at the infusion stands, and the changes after it.

    A value holds from its row's time on; that at the infusion is the last one until then, or else
    the first there is.
    """
    first, found = first.copy(), []
    changing = filled & (values != values[first[block.patient]])
    moved = list(dict.fromkeys(block.patient[changing].tolist()))
    usable = of_each(block.patient, np.flatnonzero(filled & np.isfinite(time) & ~table.bad))
    for p in moved:
        if p not in usable:
            continue
        at = usable[p][np.argsort(time[usable[p]], kind="stable")]
        _check_one_value(table, block, header, values, at, time)
        until = at[time[at] <= 0]
        first[p] = until[-1] if until.size else at[0]
        now = values[first[p]]
        for i in at[time[at] > 0]:
            if values[i] != now:
                now = values[i]
                found.append(Changed(int(block.row[i]), int(p), float(time[i]), float(now)))
    if found:
        who = table.patients[found[0].patient]
        n = len({c.patient for c in found})
        table.log.guess(
            f"Covariate {header!r} changes within {n} patient{'' if n == 1 else 's'} (first: "
            f"{who!r}, {found[0].value:g} in row {found[0].row}); each value holds from its row's "
            "time on, the changes are events, and the one at the infusion is the patient's. If it "
            "should not change, correct it, or leave it out with covariates=[…]."
        )
    return first, tuple(found)


def _check_one_value(
    table: Table, block: Block, header: str, values: FloatArray, at: IntArray, time: FloatArray
) -> None:
    """Report the first two different values of one instant."""
    same = np.flatnonzero((np.diff(time[at]) == 0) & (np.diff(values[at]) != 0))
    if same.size:
        a, b = int(at[same[0]]), int(at[same[0] + 1])
        name = table.patients[block.patient[a]]
        table.log.problem(
            "covariate_conflict",
            f"the covariate {header!r} has two values at day {time[a]:g} of patient {name!r}: "
            f"{values[a]:g} in row {block.row[a]}, {values[b]:g} in row {block.row[b]}. Correct "
            "one.",
            patient=name,
            row=int(block.row[b]),
            column=header,
            value=f"{values[b]:g}",
        )


def _first_per_patient(patient: IntArray, filled: BoolArray, n: int) -> IntArray:
    first = np.full(n, -1, dtype=np.int64)
    at = np.flatnonzero(filled)[::-1]
    first[patient[at]] = at
    return first


def _check_constant(
    table: Table,
    block: Block,
    header: str,
    cells: Text,
    code: IntArray,
    filled: BoolArray,
    first: IntArray,
) -> None:
    changed = np.flatnonzero(filled & (code != code[first[block.patient]]))
    _, once = np.unique(block.patient[changed], return_index=True)
    if not changed.size:
        return
    i = int(changed[once[0]])
    j = int(first[block.patient[i]])
    name, more = table.patients[block.patient[i]], once.size - 1
    others = f", and within {more} more" if more else ""
    of = f" of {block.table}" if block.table else ""
    seen = f"{cells[j]} in row {block.row[j]}, {cells[i]} in row {block.row[i]}{of}"
    table.log.problem(
        "covariate_changes",
        f"the covariate {header!r} changes within patient {name!r}{others}: {seen}. "
        + _what_to_do(table, header, cells),
        patient=name,
        row=int(block.row[i]),
        column=header,
        value=str(cells[i]),
    )


_FEW = 20
"""Different texts that a column of measures may have."""


def _what_to_do(table: Table, header: str, cells: Text) -> str:
    """Return what may be meant by a column that changes within patients."""
    if is_dose_header(header) and not table.has("AMT"):
        return f"If it is the amount given, pass columns={{'AMT': {header!r}}}."
    known = (*table.columns.covariates, *table.columns.subjects)
    kept = [h for h in known if h != header]
    leave = f"leave it out by naming the covariates to keep, covariates={kept}"
    if not table.has("DVID") and pd.unique(cells).size <= _FEW:
        return (
            f"If it says what was measured, pass columns={{'DVID': {header!r}}}; otherwise {leave}."
        )
    return f"Only numbers of the table of records may change in time: make it constant, or {leave}."


def _report_wrong(table: Table, block: Block, header: str, words: Text, at: Iterable[int]) -> None:
    for i in at:
        name = table.patients[block.patient[i]]
        table.log.problem(
            "bad_covariate",
            f"the covariate value {words[i]!r} is not a plain finite number "
            f"(patient {name!r}, row {block.row[i]}, column {header}). Correct the cell.",
            patient=name,
            row=int(block.row[i]),
            column=header,
            value=str(words[i]),
        )


MISSING_CODES = (-99.0, -999.0, -9999.0)


def _report_code(table: Table, block: Block, header: str, words: Text, values: FloatArray) -> None:
    """Report codes for a missing value: the only negative numbers of a covariate."""
    code = np.isin(values, MISSING_CODES)
    if code.any() and not np.any(values[~code] < 0):
        i = int(np.flatnonzero(code)[0])
        name = table.patients[block.patient[i]]
        table.log.problem(
            "missing_code",
            f"the covariate {header!r} is {words[i]}, which often stands for missing (patient "
            f"{name!r}, row {block.row[i]}). If so, pass missing=[{str(words[i])!r}]; otherwise "
            "leave the column out with covariates=[…].",
            patient=name,
            row=int(block.row[i]),
            column=header,
            value=str(words[i]),
        )


def _guess_converted(table: Table, block: Block, header: str, words: Text) -> None:
    changed = [w for w in pd.unique(words) if CONVERTED.fullmatch(str(w))]
    if changed:
        i = int(np.flatnonzero(words == changed[0])[0])
        table.log.guess(
            f"Covariate {header!r} is {changed[0]!r} in row {block.row[i]} and is taken as it is "
            "written; if a spreadsheet made it of a text such as 1-4, correct it."
        )


def _note_mixed(
    table: Table, block: Block, header: str, words: Text, number: BoolArray, fine: bool
) -> None:
    text = (words != "") & ~number
    if fine or not number.any() or not text.any():
        return
    i = int(np.flatnonzero(text)[0])
    table.log.note(
        f"Covariate {header!r} is text because of values such as {words[i]!r} (row "
        f"{block.row[i]}), although others are numbers."
    )


def _free_name(table: Table, header: str, title: str) -> str:
    """Return a variable name that nothing else in the Dataset has."""
    planned = table.columns.planned
    if header == planned or (not planned and key(header) in DOSE_LEVEL):
        return "dose_level"
    name, usual = snake(title) or "covariate", _USUAL.get(key(title))
    if usual and not any(key(h) == key(usual) for h in _headers(table)):
        table.log.note(f"Covariate {header!r} is called {usual!r}.")
        return usual
    if name in _RESERVED or is_special(name):
        table.log.note(f"Covariate {header!r} is called {name + '_covariate'!r}.")
        return f"{name}_covariate"
    return name


def _headers(table: Table) -> tuple[str, ...]:
    return (*table.columns.covariates, *table.columns.subjects)


def _joined(table: Table, a: Covariate, b: Covariate, block: Block) -> Covariate:
    """Return one covariate from two columns of the same name, which must agree."""
    if a.numeric != b.numeric:
        texts = [_as_text(c.values) for c in (a, b)]
        a = Covariate(a.name, a.header, a.unit, texts[0])
        b = Covariate(b.name, b.header, b.unit, texts[1])
    empty = [np.isnan(c.values) if c.numeric else c.values == "" for c in (a, b)]
    differ = ~empty[0] & ~empty[1] & (a.values != b.values)
    for p in np.flatnonzero(differ):
        name = table.patients[p]
        table.log.problem(
            "covariate_conflict",
            f"the columns {a.header!r} and {b.header!r} both give {a.name!r} and differ for "
            f"patient {name!r}: {a.values[p]} and {b.values[p]}. Correct or remove one.",
            patient=name,
            column=b.header,
            value=str(b.values[p]),
        )
    values = np.where(empty[0], b.values, a.values)
    return Covariate(a.name, a.header, a.unit or b.unit, values, a.changes or b.changes)


def _as_text(values: FloatArray | Text) -> Text:
    if values.dtype.kind != "f":
        return values.astype(object)
    return np.array(["" if np.isnan(v) else repr(float(v)) for v in values], dtype=object)


_FLAGS = ("dlt", "dlt_evaluable")
"""Patient-level variables that are 1 or 0 wherever they are read."""

_YES_NO = {
    "y": 1.0, "yes": 1.0, "true": 1.0, "1": 1.0, "n": 0.0, "no": 0.0, "false": 0.0, "0": 0.0,
}  # fmt: skip


def with_flags(table: Table, covariates: list[Covariate]) -> list[Covariate]:
    """Return the covariates with Y and N of `_FLAGS` as 1 and 0."""
    return [_flag(table, c) if c.name in _FLAGS and not c.numeric else c for c in covariates]


def _flag(table: Table, flag: Covariate) -> Covariate:
    said = [str(v).lower() for v in flag.values]
    wrong = [i for i, v in enumerate(said) if v and v not in _YES_NO]
    for i in wrong:
        name, value = table.patients[i], str(flag.values[i])
        table.log.problem(
            "yes_or_no",
            f"{flag.header!r} is {value!r} for patient {name!r}; it must be yes or no (Y, N, 1 or "
            "0), or empty where it is not known.",
            patient=name,
            column=flag.header,
            value=value,
        )
    if wrong:
        return flag
    table.log.note(f"{flag.header!r} is yes or no: {flag.name} is 1 or 0.")
    return replace(flag, values=np.array([_YES_NO.get(v, np.nan) for v in said]))


def split_dose_level(table: Table, covariates: list[Covariate]) -> list[Covariate]:
    """Return the covariates with a text dose level such as ``DL2`` read as its number."""
    found: list[Covariate] = []
    for c in covariates:
        if c.name != "dose_level" or c.numeric:
            found.append(c)
            continue
        match = [re.fullmatch(r"[^\d.+-]*(\d+(\.\d+)?([eE][+-]?\d+)?)", str(v)) for v in c.values]
        if all(m or v == "" for m, v in zip(match, c.values, strict=True)):
            level = np.array([float(m[1]) if m else np.nan for m in match])
            table.log.note(f"Dose levels such as {c.values[0]!r} were read as their number.")
            found.append(Covariate("dose_level", c.header, "", level))
        else:
            table.log.note(f"{c.header!r} is text and is called 'dose_group'.")
            found.append(Covariate("dose_group", c.header, "", c.values))
    return found
