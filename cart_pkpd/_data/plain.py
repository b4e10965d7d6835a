"""A table of any kind as plain cells: text with a decimal point, and dates as days."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cart_pkpd._data.log import Log
from cart_pkpd._data.parse import find_decimal
from cart_pkpd._data.source import load

_COMMA = re.compile(r"[+−-]?\d*,\d+(e[+-]?\d+)?", re.IGNORECASE)
_ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?)?"
                  r"(?:Z|[+-]\d{2}:?\d{2})?")  # fmt: skip
_DOTTED = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(?: (\d{1,2}):(\d{2}))?")
_NAMED = re.compile(r"(\d{1,2})[- ]?([A-Za-z]{3})[a-z]*[- ]?(\d{4})(?:[: ](\d{2}):(\d{2}))?")
_SLASHES = re.compile(r"\d{1,4}/\d{1,2}/\d{1,4}(?: .*)?")
_PARTIAL = re.compile(r"\d{4}-\d{2}(-?(UN|UNK|XX|--)?)?|(UN|UNK|XX)[- ]?[A-Za-z]{3}[- ]?\d{4}",
                      re.IGNORECASE)  # fmt: skip
_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {m: i for i, m in enumerate(_NAMES, start=1)}


def text_table(source: str | PathLike[str], *, rows: bool = True) -> tuple[pd.DataFrame, Any]:
    """Return the cells of a text file, and the line of every row.

    Separators (comma, semicolon, tab, bar) are told by the header, encodings by the bytes; numbers
    with a decimal comma get a point.

    Parameters
    ----------
    source : path
        Of a CSV or TSV file.
    rows : bool
        Refuse a table without rows.

    Returns
    -------
    table : DataFrame
        Text, "" where empty.
    rows : ndarray of int
        Line of the file of each row, the header being line 1.

    Raises
    ------
    DataError
        If the file is not there, is no table of text, or its numbers can be read in two ways.
    """
    log = Log()
    grid = load(Path(source), None, log, rows=rows)
    log.stop_if_any()
    sign, seen = find_decimal(list(grid.cells.values()), grid.sep)
    if sign == "?":
        raise log.fatal(
            "ambiguous_decimal",
            f"in {grid.name!r} cells such as {seen!r} can be read with a decimal comma or with a "
            "comma between thousands; write them with a decimal point.",
        )
    cells = {h: [_point(c, sign) for c in column] for h, column in grid.cells.items()}
    return pd.DataFrame(cells, dtype=object), grid.row


def _point(cell: str, sign: str) -> str:
    return cell.replace(",", ".") if sign == "," and _COMMA.fullmatch(cell) else cell


@dataclass(frozen=True)
class Moment:
    """A date that was read.

    Attributes
    ----------
    day : float
        Days since 1970-01-01, with the time of day where there is one; NaN for no date.
    clock : bool
        Whether there is a time of day.
    problem : str
        For something like a date that cannot be read, why.
    """

    day: float = np.nan
    clock: bool = False
    problem: str = ""


NO_DATE = Moment()


def moment(text: str) -> Moment:
    """Read a date, with or without a time of day.

    Known are 2026-03-09, 09.03.2026 (day first) and 09-Mar-2026; of 03/09/2026 nobody knows which
    number is the month. The offset of a time zone is not used.

    Parameters
    ----------
    text : str

    Returns
    -------
    Moment
    """
    if found := _ISO.fullmatch(text):
        year, month, day, *clock = found.groups()
    elif found := _DOTTED.fullmatch(text):
        day, month, year, *clock = found.groups()
    elif (found := _NAMED.fullmatch(text)) and found[2].lower() in _MONTHS:
        day, month, year, *clock = found.groups()
        month = str(_MONTHS[month.lower()])
    elif _SLASHES.fullmatch(text):
        return Moment(problem="day and month cannot be told apart; write it as 2026-03-09")
    elif _PARTIAL.fullmatch(text):
        return Moment(problem="the date is not complete; write the day that is to be used")
    else:
        return NO_DATE
    return _moment(text, [year, month, day], [c for c in clock if c is not None])


def _moment(text: str, date: list[str], clock: list[str]) -> Moment:
    hour, minute, second, *_ = [int(c) for c in clock] + [0, 0, 0]
    try:
        year, month, day = (int(c) for c in date)
        stamp = pd.Timestamp(
            year=year, month=month, day=day, hour=hour, minute=minute, second=second
        )
    except ValueError:
        return Moment(problem=f"there is no such date as {text}")
    # Midnight to the second is how tables write a date without a time.
    timed = bool(clock) and (hour, minute, second) != (0, 0, 0)
    return Moment(stamp.timestamp() / 86_400, timed)


def days_between(start: Moment, seen: Moment) -> float:
    """Return the days from one moment to another; whole ones unless both have a time of day."""
    if start.clock and seen.clock:
        return seen.day - start.day
    return float(np.floor(seen.day) - np.floor(start.day))


def iso(seen: Moment) -> str:
    """Return a date as text that `moment` reads: ``2026-03-09``, or ``2026-03-09T11:30:00``."""
    stamp = pd.Timestamp(round(seen.day * 86_400), unit="s")
    return stamp.isoformat() if seen.clock else stamp.date().isoformat()


def moments(given: Mapping[Any, Any]) -> dict[str, Moment]:
    """Return dates by patient, as text or as dates of any class."""
    return {str(k): moment(str(v).strip()) for k, v in given.items()}
