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
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd._data.columns import key
from cart_pkpd._data.parse import BAD, MISSING, read_number

Source = str | PathLike[str] | pd.DataFrame
Headers = Mapping[str, tuple[str, ...]]


@dataclass
class Found:
    """Problems of a table, collected while it is read."""

    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

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


def frame(source: Source) -> pd.DataFrame:
    """Return the table as text cells and numbers, whatever it came from."""
    if isinstance(source, pd.DataFrame):
        return source.reset_index(drop=True)
    try:
        return pd.read_csv(source, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise DataError(f"there is no file {str(source)!r}; correct the path.") from None
    except pd.errors.EmptyDataError:
        raise DataError(f"the file {str(source)!r} is empty; it needs a header and rows.") from None


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
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    words = str(cell).strip()
    return "" if words in MISSING else words


def numbers(
    column: pd.Series | None, ids: list[str], name: str, found: Found
) -> NDArray[np.float64]:
    """Return cells as numbers, NaN where missing; a cell that is no number is an error."""
    cells = text(column, len(ids))
    out = np.full(len(ids), np.nan)
    for i, cell in enumerate(cells):
        if not cell:
            continue
        read = read_number(cell, ".", MISSING)
        if read.kind == BAD:
            found.error(
                "not_a_number",
                f"the {name} of patient {ids[i]} in row {i + 2} is {cell!r}; write a number, or "
                "leave it empty.",
                patient=ids[i], row=i + 2, column=name, value=cell,
            )  # fmt: skip
        else:
            out[i] = read.value
    return out


_YES, _NO = ("1", "Y", "YES", "TRUE", "T"), ("0", "N", "NO", "FALSE", "F")


def flags(column: pd.Series | None, ids: list[str], name: str, found: Found) -> NDArray[np.bool_]:
    """Return cells as yes or no; missing is no, and another word is an error."""
    cells = [cell.upper().removesuffix(".0") for cell in text(column, len(ids))]
    for i, cell in enumerate(cells):
        if cell and cell not in _YES + _NO:
            found.error(
                "not_a_flag",
                f"the {name} of patient {ids[i]} in row {i + 2} is {cell!r}; write yes or no, or "
                "leave it empty.",
                patient=ids[i], row=i + 2, column=name, value=cell,
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
