"""From a path or a DataFrame to a grid of text cells, with the line each row came from."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cart_pkpd._core.safe import hides, revived, visible
from cart_pkpd._data.columns import is_header
from cart_pkpd._data.log import Log

Source = str | PathLike[str] | pd.DataFrame
Text = NDArray[np.object_]

_UNSUPPORTED = {
    ".xlsx": "an Excel workbook", ".xls": "an Excel workbook", ".ods": "a spreadsheet",
    ".xpt": "a SAS transport file", ".sas7bdat": "a SAS data set", ".parquet": "a Parquet file",
    ".json": "a JSON file", ".rds": "an R file", ".rda": "an R file",
}  # fmt: skip
_MAGIC = {
    b"PK\x03\x04": "an Excel workbook or zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"HEADER RECORD*******": "a SAS transport file",
    b"PAR1": "a Parquet file",
    b"%PDF": "a PDF",
}
_LONGEST = 60
"""Characters of a wrong argument that a message shows."""

_SEPARATORS = (",", ";", "\t", "|")
_SEPARATOR_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", " ": "blank"}


@dataclass(frozen=True)
class Grid:
    """A table as text.

    Attributes
    ----------
    header : tuple of str
        Column headers, all different.
    cells : dict of str to array of str
        The text of each column, blanks at the ends removed.
    row : array of int
        Line of the file of each row, the header being line 1.
    name, sha256, sep : str
        File name, checksum and separator (empty for a DataFrame).
    """

    header: tuple[str, ...]
    cells: dict[str, Text]
    row: NDArray[np.int64]
    name: str
    sha256: str
    sep: str


def load(
    source: Source, sep: str | None, log: Log, *, rows: bool = True, settle: str = "sep="
) -> Grid:
    """Return the cells of `source`; every way of not being a table is a DataError.

    With `rows`, a header without any row below it is one of them. `settle` is what settles a
    separator that was guessed wrong.
    """
    if isinstance(source, pd.DataFrame):
        return _with_rows(_from_frame(source, log), rows, log)
    path = _path(source, log)
    content, name = _content(path, log), visible(path.name)
    text = _shown(_decoded(content, name, log), log)
    checksum = hashlib.sha256(content).hexdigest()
    return _with_rows(_from_text(text, name, checksum, sep, log, settle), rows, log)


def _with_rows(grid: Grid, needed: bool, log: Log) -> Grid:
    if needed and not grid.row.size and not log.problems:
        raise log.fatal("no_rows", f"{grid.name!r} has a header and no rows below it.")
    return grid


def _path(source: object, log: Log) -> Path:
    if isinstance(source, str | PathLike):
        try:
            return Path(source)
        except TypeError:  # a path of bytes
            pass
    shown = repr(source)
    raise log.fatal(
        "bad_source",
        f"a table can not be read from {shown if len(shown) <= _LONGEST else '…'} "
        f"(type {type(source).__name__}). Give the path of a CSV or TSV file as text or "
        "pathlib.Path, or a pandas DataFrame.",
    )


def _content(path: Path, log: Log) -> bytes:
    kind = _UNSUPPORTED.get(path.suffix.lower())
    if kind:
        raise log.fatal(
            "unsupported_format",
            f"{path.name!r} is {kind}, which is not supported yet. Export it as CSV.",
        )
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise log.fatal("file_not_found", f"there is no file {str(path)!r}.") from None
    except (OSError, ValueError) as error:  # a ValueError is a NUL byte in the name
        why = error.strerror if isinstance(error, OSError) else error
        raise log.fatal("file_unreadable", f"{str(path)!r} cannot be read: {why}.") from None
    if content[:2] == b"\x1f\x8b":
        content = _unzipped(content, path.name, log)
    for magic, what in _MAGIC.items():
        if content.startswith(magic):
            raise log.fatal(
                "not_text",
                f"{path.name!r} holds {what} although its name says otherwise. Export it as CSV.",
            )
    return content


def _unzipped(content: bytes, name: str, log: Log) -> bytes:
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        raise log.fatal(
            "bad_gzip", f"{name!r} is a damaged gzip file. Copy or compress it again."
        ) from None


def _decoded(content: bytes, name: str, log: Log) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        log.note(f"{name} is encoded as UTF-16.")
        text = _sixteen_bit(content, name, log)
    else:
        text = _eight_bit(content, name, log)
    if "\x00" in text:
        line = text[: text.index("\x00")].count("\n") + 1
        raise log.fatal(
            "nul_bytes", f"{name!r} holds a NUL byte in line {line}: it is not a text table."
        )
    head = text.lstrip()[:200].lower()
    if head.startswith(("<!doctype", "<html", "<table", "<?xml")):
        raise log.fatal(
            "html", f"{name!r} is a web page, not a table. Download the file itself as CSV."
        )
    if not head:
        raise log.fatal("empty_file", f"{name!r} is empty.")
    return text


def _sixteen_bit(content: bytes, name: str, log: Log) -> str:
    try:
        return content.decode("utf-16")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-16", errors="ignore").count("\n")
        raise log.fatal(
            "bad_encoding",
            f"{name!r} begins as UTF-16, but line {before + 1} is not. Copy the file again, or "
            "save it as UTF-8.",
        ) from None


def _eight_bit(content: bytes, name: str, log: Log) -> str:
    try:
        return content.decode("utf-8-sig").lstrip("\ufeff")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
    for encoding in ("cp1252", "latin-1"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        log.note(f"{name} is not UTF-8 (first in line {line}); it was read as {encoding}.")
        return text
    raise AssertionError("latin-1 decodes any bytes")


def _shown(text: str, log: Log) -> str:
    """Return a text without characters that nobody sees."""
    if hides(text):
        line = next(i for i, t in enumerate(text.split("\n"), start=1) if hides(t))
        log.note(_HIDDEN.format(f"line {line}"))
    return visible(text, lines=True)


_HIDDEN = (
    "Characters that are not seen (escape sequences, controls of the direction of writing, blanks "
    "without width) were taken out, first in {}."
)
_EXCEL_SEPARATOR = re.compile(r'"?sep=([,;\t|])"?\r?\n', re.IGNORECASE)


def _from_text(text: str, name: str, checksum: str, sep: str | None, log: Log, settle: str) -> Grid:
    told = _EXCEL_SEPARATOR.match(text)
    if told:  # written by Excel for itself; the empty line keeps the count
        sep, text = sep or told[1], text[told.end() - 1 :]
    header_text = _header_line(text)
    if not header_text:
        raise log.fatal("empty_file", f"{name!r} is empty but for remarks.")
    if sep is None:
        sep = _guess_separator(header_text, name, log, settle)
    lines = _records(text, sep, name, log)
    header: list[str] | None = None
    rows: list[list[str]] = []
    numbers: list[int] = []
    for number, cells in lines:
        if not any(cells):
            continue
        if header is None:
            if _is_comment(cells):
                log.exclude(number, "", "", cells[0], "comment line above the header")
                continue
            header = [cells[0].lstrip("#").strip(), *cells[1:]]
            continue
        if _is_comment(cells) and len(cells) != len(header):
            log.exclude(number, "", "", cells[0], "comment line")
        elif _fits(cells, header, number, log):
            rows.append(cells[: len(header)])
            numbers.append(number)
    if header is None:
        raise log.fatal("empty_file", f"{name!r} is empty.")
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in header]
    if "'" in text:
        header, columns = _revived(header, columns, log)
    return _grid(header, columns, numbers, (name, checksum, sep), log)


def _revived(
    header: list[str], columns: list[list[str]], log: Log
) -> tuple[list[str], list[list[str]]]:
    """Take off the apostrophe that keeps a text such as ``=A1`` from being a formula."""
    found = [[revived(cell) for cell in column] for column in columns]
    changed = sum(
        a != b for x, y in zip(found, columns, strict=True) for a, b in zip(x, y, strict=True)
    )
    if changed:
        log.note(
            f"An apostrophe that keeps spreadsheets from computing was taken off {changed} cells."
        )
    return [revived(h) for h in header], found


def _header_line(text: str) -> str:
    for line in io.StringIO(text):
        cells = [c.strip().strip('"') for s in _SEPARATORS for c in line.split(s)]
        if line.strip() and not (line.lstrip().startswith("#") and not is_header(cells)):
            return line.strip()
    return ""


def _guess_separator(line: str, name: str, log: Log, settle: str) -> str:
    counts = Counter({s: line.count(s) for s in _SEPARATORS})
    best, n = counts.most_common(1)[0]
    if n:
        if best != ",":
            sign = f"a {_SEPARATOR_NAMES[best]}"
            log.guess(f"Cells of {name} are separated by {sign}; {settle} says otherwise.")
        return best
    if len(line.split()) > 1 and is_header(line.split()):
        log.guess(f"Cells of {name} are separated by blanks; {settle} says otherwise.")
        return " "
    raise log.fatal(
        "one_column",
        f"{name!r} has a single column, {line[:60]!r}. Pass sep= if its cells are "
        "separated by something other than comma, semicolon, tab or bar.",
    )


def _records(text: str, sep: str, name: str, log: Log) -> Iterator[tuple[int, list[str]]]:
    """Yield each record's first line number and its cells."""
    lines = io.StringIO(text, newline=None)
    if sep == " ":
        yield from ((i, line.split()) for i, line in enumerate(lines, start=1))
        return
    reader = csv.reader(lines, delimiter=sep, strict=True, skipinitialspace=True)
    start = 1
    try:
        for cells in reader:
            yield start, [c.strip() if c.isprintable() else visible(c).strip() for c in cells]
            start = reader.line_num + 1
    except csv.Error as error:
        raise log.fatal(
            "bad_quotes",
            f"the quotes in {name!r} do not match in or after row {start} ({error}). "
            "Close every quoted cell.",
        ) from None


def _is_comment(cells: list[str]) -> bool:
    """Say whether a line that starts with # is a remark and not a header such as '#ID'."""
    return cells[0].startswith("#") and not is_header(cells)


def _fits(cells: list[str], header: list[str], number: int, log: Log) -> bool:
    if len(cells) < len(header):
        log.problem(
            "missing_cells",
            f"row {number} has {len(cells)} cells where the header has {len(header)}. "
            "Fill it with '.' for what is missing.",
            row=number,
        )
        return False
    extra = cells[len(header) :]
    if any(extra):
        log.problem(
            "extra_cells",
            f"row {number} has {len(cells)} cells where the header has {len(header)}; the first "
            f"beyond is {extra[0]!r}. Look for a decimal comma or an unquoted separator.",
            row=number,
            value=extra[0],
        )
    return not any(extra)


def _grid(
    header: list[str],
    columns: list[list[str]],
    numbers: Iterable[int],
    origin: tuple[str, str, str],
    log: Log,
) -> Grid:
    name, checksum, sep = origin
    _check_headers(header, log)
    cells: dict[str, Text] = {}
    for position, (title, column) in enumerate(zip(header, columns, strict=True), start=1):
        if title:
            cells[title] = np.array(column, dtype=object)
        elif any(column):
            log.note(f"Column {position} has no header and is not used.")
    if len(cells) < 2:
        raise log.fatal("one_column", f"{name!r} has a single column, {header[0]!r}.")
    row = np.array(list(numbers), dtype=np.int64)
    return Grid(tuple(cells), cells, row, name, checksum, sep)


def _check_headers(header: list[str], log: Log) -> None:
    count = Counter(h.lower() for h in header if h)
    for title, n in count.items():
        if n > 1:
            where = [i for i, h in enumerate(header, start=1) if h.lower() == title]
            shown = header[where[0] - 1]
            log.problem(
                "duplicate_header",
                f"the header {shown!r} appears {n} times (columns "
                f"{', '.join(map(str, where))}). Rename or remove all but one.",
                column=shown,
                value=shown,
            )
    log.stop_if_any()


def _from_frame(frame: pd.DataFrame, log: Log) -> Grid:
    if isinstance(frame.columns, pd.MultiIndex):
        raise log.fatal(
            "header_levels", "the DataFrame has several header levels. Flatten its columns to one."
        )
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
        log.note("The named index of the DataFrame was used as a column.")
    header = [visible(str(c)).strip() for c in frame.columns]
    columns = [_cell_texts(frame.iloc[:, j]) for j in range(len(header))]
    for title, column in zip(header, columns, strict=True):
        if any(hides(cell) for cell in column):
            log.note(_HIDDEN.format(f"column {title}"))
            column[:] = [visible(cell).strip() for cell in column]
    digest = hashlib.sha256("\x1f".join(header).encode())
    for column in columns:
        digest.update("\x1f".join(column).encode("utf-8", errors="replace"))
    if not header:
        raise log.fatal("empty_file", "the DataFrame is empty.")
    numbers = range(2, len(frame) + 2)
    return _grid(header, columns, numbers, ("DataFrame", digest.hexdigest(), ""), log)


def _cell_texts(column: pd.Series) -> list[str]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    return [_cell_text(value) for value in column.tolist()]


def _cell_text(value: object) -> str:
    if isinstance(value, str):
        return value.strip() if value.isprintable() or hides(value) else visible(value).strip()
    if isinstance(value, bool | np.bool_):
        return str(int(value))
    if isinstance(value, float | np.floating):
        return "" if math.isnan(value) else repr(float(value))
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    return str(value).strip()
