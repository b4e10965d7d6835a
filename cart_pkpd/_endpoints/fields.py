"""From a foreign table to columns of our own names: headers found, cells read, problems told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cart_pkpd._core.errors import DataError, Problem
from cart_pkpd._core.validate import did_you_mean, shown
from cart_pkpd._data.columns import key
from cart_pkpd._data.parse import BAD, MISSING, read_number
from cart_pkpd._data.plain import Moment, days_between, moment, moments, text_table
from cart_pkpd._data.xpt import read_dataset

Source = str | PathLike[str] | pd.DataFrame
Headers = Mapping[str, tuple[str, ...]]
Infusion = Mapping[str, Any] | pd.Series
"""Date of infusion by patient; of a Series, its index names the patients."""


@dataclass
class Found:
    """Problems of a table, collected while it is read, and the line of each of its rows."""

    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    rows: NDArray[np.int64] | None = None

    def row(self, i: int) -> int:
        """Return the line of a row in the source, the header being line 1."""
        return i + 2 if self.rows is None else int(self.rows[i])

    def error(self, code: str, message: str, **where: Any) -> None:
        """Note something that cannot stay."""
        self.errors.append(Problem(code, message, **where))

    def warn(self, code: str, message: str, **where: Any) -> None:
        """Note something that the user should look at."""
        self.warnings.append(Problem(code, message, **where))

    def stop(self) -> None:
        """Raise all errors, if there are any."""
        if self.errors:
            raise DataError(self.errors)


def frame(source: Source, what: str, found: Found | None = None) -> pd.DataFrame:
    """Return the table as text cells and numbers, whatever it came from.

    Parameters
    ----------
    source : path or DataFrame
        CSV with any usual separator and decimal sign, a SAS transport file, or a DataFrame.
    what : str
        What the table is of, for messages: "lesions".
    found : Found, optional
        Told the line of every row of a file.

    Raises
    ------
    DataError
        If it is no table, or has no rows.
    """
    if isinstance(source, pd.DataFrame):
        table = _plain_frame(source, what)
    elif not isinstance(source, str | PathLike) or not str(source):
        raise DataError(
            f"the {what} must be the path of a table or a DataFrame, not {shown(source)}."
        )
    elif str(source).lower().endswith(".xpt"):
        table = read_dataset(source)
    else:
        table, rows = text_table(source)
        if found is not None:
            found.rows = rows
    if not len(table):
        raise DataError(f"the table of {what} has no rows; look at what was selected from it.")
    return table


def _plain_frame(source: pd.DataFrame, what: str) -> pd.DataFrame:
    if isinstance(source.columns, pd.MultiIndex):
        raise DataError(f"the table of {what} has several levels of headers; give it one.")
    headers = [str(c) for c in source.columns]
    twice = next((h for i, h in enumerate(headers) if h in headers[:i]), None)
    if twice is not None:
        raise DataError(f"the table of {what} has the column {twice!r} twice; rename or drop one.")
    return source.reset_index(drop=True)


def as_frame(table: Any, what: str, source: str) -> pd.DataFrame:
    """Return `table` if it is a DataFrame.

    Raises
    ------
    DataError
        If it is none; says what makes such a table.
    """
    if isinstance(table, pd.DataFrame):
        return table
    raise DataError(f"the {what} must be a DataFrame, from {source}, not {shown(table)}.")


def pick(
    table: pd.DataFrame,
    headers: Headers,
    columns: Mapping[str, str] | None,
    required: Iterable[str],
    what: str,
) -> dict[str, pd.Series]:
    """Return the columns by our names: those the caller maps, then those recognised.

    Raises
    ------
    DataError
        If the mapping names something unknown, or a required column is not there.
    """
    if columns is not None and not isinstance(columns, Mapping):
        name = next(iter(headers))
        raise DataError(
            f"columns= must be a dict of headers by our names, such as {{{name!r}: 'Header'}}, not "
            f"{shown(columns)}."
        )
    chosen = dict(columns or {})
    have = [str(h) for h in table.columns]
    for name, header in chosen.items():
        if name not in headers:
            raise DataError(
                f"columns= has the unknown name {name!r} for {what}.{did_you_mean(name, headers)} "
                f"Known: {', '.join(headers)}."
            )
        if header not in have:
            raise DataError(
                f"columns= maps {name!r} to {header!r}, which the table of {what} does not have."
                f"{did_you_mean(header, have)}"
            )
    by_key = {key(h): h for h in reversed(have) if h not in chosen.values()}
    for name, known in headers.items():
        match = next((by_key[k] for k in known if k in by_key), None)
        if name not in chosen and match is not None:
            chosen[name] = match
    missing = [name for name in required if name not in chosen]
    if missing:
        raise DataError(
            f"the table of {what} has no column for {', '.join(repr(m) for m in missing)}; "
            f"say which it is: columns={{{missing[0]!r}: '...'}}. It has: {', '.join(have)}."
        )
    return {name: table[header] for name, header in chosen.items()}


def text(column: pd.Series | None, size: int) -> list[str]:
    """Return cells as stripped text, "" where missing."""
    if column is None:
        return [""] * size
    return [_clean(v) for v in column.tolist()]


def _clean(cell: Any) -> str:
    if cell is None or (isinstance(cell, float) and np.isnan(cell)) or cell is pd.NA:
        return ""
    if cell is pd.NaT:
        return ""
    if isinstance(cell, bool | np.bool_):
        return str(int(cell))
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    words = str(cell).strip()
    return "" if words in MISSING else words


def numbers(
    column: pd.Series | None, ids: list[str], name: str, found: Found
) -> NDArray[np.float64]:
    """Return cells as numbers, NaN where missing; a cell that is no number is an error."""
    out = np.full(len(ids), np.nan)
    for i, cell in enumerate(text(column, len(ids))):
        if cell:
            out[i] = _number(cell, i, ids, name, found)
    return out


def _number(cell: str, i: int, ids: list[str], name: str, found: Found) -> float:
    read = read_number(cell, ".", MISSING)
    if read.kind != BAD:
        return read.value
    todo = _TODO.get(read.problem, "write a number, or leave it empty")
    row = found.row(i)
    found.error(
        "not_a_number", f"the {name} of patient {ids[i]} in row {row} is {cell!r}; {todo}.",
        patient=ids[i], row=row, column=name, value=cell,
    )  # fmt: skip
    return float("nan")


_TODO = {
    "decimal_comma": "write it with a decimal point, as the other numbers of the table",
    "thousands_separator": "write it without a separator of thousands",
    "spreadsheet_error": "that is a spreadsheet's error, correct the cell",
    "infinite": "write a finite number, or leave it empty",
}


_SERIAL = 15_000  # days; 41 years after an infusion, or a date as SAS (2001) and Excel (1941) count


def _told_as_serials(days: NDArray[np.float64], ids: list[str], name: str, found: Found) -> None:
    """Refuse dates that a program wrote as numbers."""
    for i in np.flatnonzero(np.abs(days) >= _SERIAL).tolist():
        row = found.row(i)
        found.error("serial_date", f"the {name} of patient {ids[i]} in row {row} is {days[i]:g}, "
                    "which looks like a date that was written as a number; write days since the "
                    "infusion, or dates such as 2026-03-09.", patient=ids[i], row=row, column=name,
                    value=f"{days[i]:g}")  # fmt: skip


@dataclass(frozen=True)
class Calendar:
    """How the days of a table are to be read.

    Attributes
    ----------
    day_one : bool
        Whether numbers call the day of infusion day 1.
    infusion : mapping of str to Moment
        Date of infusion by patient, from which dates are counted.
    """

    day_one: bool = False
    infusion: Mapping[str, Moment] = field(default_factory=dict)

    def days(
        self, column: pd.Series | None, ids: list[str], name: str, found: Found
    ) -> NDArray[np.float64]:
        """Return days since the infusion from numbers or dates, NaN where missing.

        A cell that is neither, a date that can be read in two ways or is not complete, a date of a
        patient whose infusion has none, and dates and numbers in one column are errors.
        """
        cells = text(column, len(ids))
        seen = [moment(cell) for cell in cells]
        dated = [bool(m.problem) or not np.isnan(m.day) for m in seen]
        if not any(dated):
            read = numbers(column, ids, name, found)
            _told_as_serials(read, ids, name, found)
            return from_day_one(read) if self.day_one else read
        out = np.full(len(ids), np.nan)
        unknown: set[str] = set()  # one sentence for a patient, and one if it is all of them
        for i, (cell, is_date) in enumerate(zip(cells, dated, strict=True)):
            if cell and is_date and not seen[i].problem and ids[i] not in self.infusion:
                if ids[i] not in unknown and (self.infusion or not unknown):
                    self._since(cell, seen[i], is_date, i, ids, name, found)
                unknown.add(ids[i])
            elif cell:
                out[i] = self._since(cell, seen[i], is_date, i, ids, name, found)
        return out

    def _since(
        self, cell: str, seen: Moment, is_date: bool, i: int, ids: list[str], name: str,
        found: Found,
    ) -> float:  # fmt: skip
        start, why = self.infusion.get(ids[i]), seen.problem
        if not is_date:
            why = "the other cells of the column are dates; write a date or leave it empty"
        elif not why and start is None:
            why = ("a date, and the date of the infusion is not known; pass infusion=, or say "
                   "which column has it, columns={'infusion': '...'}")  # fmt: skip
        if why or start is None:
            row = found.row(i)
            found.error("bad_date", f"the {name} of patient {ids[i]} in row {row} is {cell!r}: "
                        f"{why}.", patient=ids[i], row=row, column=name, value=cell)  # fmt: skip
            return float("nan")
        return days_between(start, seen)


def calendar(
    infusion: Infusion | None,
    column: pd.Series | None,
    ids: list[str],
    day_one: bool,
    found: Found,
) -> Calendar:
    """Return how days are read: dates of infusion from the argument, or from a column.

    Raises
    ------
    DataError
        If the argument is no mapping of dates.
    """
    if infusion is not None:
        return Calendar(day_one, _given(infusion))
    starts: dict[str, Moment] = {}
    for i, (who, cell) in enumerate(zip(ids, text(column, len(ids)), strict=True)):
        if not cell:
            continue
        seen, row = moment(cell), found.row(i)
        if np.isnan(seen.day):
            found.error("bad_infusion", f"the infusion of patient {who} in row {row} is {cell!r}: "
                        f"{seen.problem or 'that is no date, such as 2026-03-09'}.",
                        patient=who, row=row, column="infusion", value=cell)  # fmt: skip
        elif starts.setdefault(who, seen) != seen:
            found.error("two_infusions", f"patient {who} has two dates of infusion, the second in "
                        f"row {row} ({cell}); days count from one, the first.",
                        patient=who, row=row, column="infusion", value=cell)  # fmt: skip
    return Calendar(day_one, starts)


def _given(infusion: Infusion) -> dict[str, Moment]:
    if isinstance(infusion, pd.Series):
        infusion = _by_patient(infusion)
    if not isinstance(infusion, Mapping):
        raise DataError(
            "infusion= must be the date of infusion by patient, such as {'01': '2026-03-09'}, not "
            f"{shown(infusion)}."
        )
    found = moments(infusion)
    for who, seen in found.items():
        if np.isnan(seen.day):
            why = seen.problem or "that is no date, such as 2026-03-09"
            raise DataError(f"infusion= has {str(infusion.get(who))!r} for patient {who}: {why}.")
    return found


def _by_patient(infusion: pd.Series) -> dict[str, Any]:
    """Return dates by the index of a Series; a patient without one has no date.

    Raises
    ------
    DataError
        If a patient has two.
    """
    dates = infusion.dropna()
    ids = text(dates.index.to_series(), len(dates))
    twice = next((who for i, who in enumerate(ids) if who in ids[:i]), None)
    if twice is not None:
        raise DataError(
            f"infusion= has two dates for patient {twice}; days count from one, keep the first."
        )
    return dict(zip(ids, dates.tolist(), strict=True))


_YES, _NO = ("1", "Y", "YES", "TRUE", "T"), ("0", "N", "NO", "FALSE", "F")


def flags(column: pd.Series | None, ids: list[str], name: str, found: Found) -> NDArray[np.bool_]:
    """Return cells as yes or no; missing is no, and another word is an error."""
    said = text(column, len(ids))
    cells = [cell.upper().removesuffix(".0") for cell in said]
    for i, cell in enumerate(said):
        if cell and cells[i] not in _YES + _NO:
            found.error(
                "not_a_flag",
                f"the {name} of patient {ids[i]} in row {found.row(i)} is {cell!r}; write yes or "
                "no, or leave it empty.",
                patient=ids[i], row=found.row(i), column=name, value=cell,
            )  # fmt: skip
    return np.array([cell in _YES for cell in cells], dtype=bool)


def events(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Return the events of a time-to-event table; False where there is no time.

    Raises
    ------
    DataError
        If a cell is neither an event (True, 1, yes) nor a censoring (False, 0, no). A competing
        risk is neither.
    """
    cells = [cell.upper().removesuffix(".0") for cell in text(table["event"], len(table))]
    timed = table["time"].notna().to_numpy()
    problems = [
        Problem(
            "tte_event",
            f"patient {who!r} has the event {cell or 'missing'!r}; write 1 for an event and 0 for "
            "a censoring (a competing risk has to be made one of both).",
            str(who), column="event", value=cell,
        )
        for who, cell, known in zip(table["id"], cells, timed, strict=True)
        if known and cell not in _YES + _NO
    ]  # fmt: skip
    if problems:
        raise DataError(problems)
    return np.array([cell in _YES for cell in cells], dtype=bool) & timed


def from_day_one(day: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return days from the infusion as day 0, given study days that call it day 1."""
    return np.where(day >= 1, day - 1, day)
