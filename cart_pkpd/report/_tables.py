"""Tables of a report: the same rows become HTML cells, a CSV file and JSON."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd
import xarray as xr

from cart_pkpd._core.safe import inert
from cart_pkpd.plots import _text

Kind = Literal["text", "number", "exact", "count", "dose", "decimal", "fine", "ratio"]
Value = str | float | int | bool | None
PAGE = 122  # characters across a printed page
DENSE = 160  # the same in smaller type, for a table that then stays in one piece
WRAPS = 26  # characters


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes
    ----------
    key : str
        Name in the rows, the CSV file and the JSON.
    label, unit : str
        For people.
    kind : str
        How a value is printed: ``"number"`` to three significant digits, ``"exact"``
        without trailing zeros, ``"decimal"`` to two decimals,
        ``"fine"`` to three, of a probability (``"<0.001"`` for less), ``"ratio"`` to three,
        ``"count"`` whole, ``"dose"`` with its unit, ``"text"`` as it is.
    sort_by : str
        Key of the value that sorts this one, for a text made of numbers; it stands on the right
        unless its kind is ``"text"``.
    """

    key: str
    label: str
    unit: str = ""
    kind: Kind = "number"
    sort_by: str = ""

    @property
    def heading(self) -> str:
        """Label with its unit, as it heads the column."""
        return self.label if self.kind == "dose" else _text.with_unit(self.label, self.unit)

    @property
    def csv_name(self) -> str:
        """Key with its unit in brackets, as it heads the CSV column."""
        return f"{self.key} [{self.unit}]" if self.unit not in ("", "1") else self.key


@dataclass(frozen=True)
class Cell:
    """One cell as printed: text, sort value, and the mark of its footnote."""

    text: str
    sort: str
    numeric: bool
    mark: str = ""


@dataclass(frozen=True)
class Panel:
    """Columns that are printed side by side, and their cells by row."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Table:
    """One table of the report.

    Attributes
    ----------
    name : str
        Base name of its CSV file and key of its JSON.
    title : str
        Caption.
    columns : tuple of Column
        In printed order.
    rows : tuple of dict
        Values by column key; None where there is none.
    reasons : dict
        ``(row index, column key)`` → why the value is missing.
    remarks : dict
        ``(row index, column key)`` → what is to be said about a cell, as a footnote.
    notes : tuple of str
        Printed below.
    shown : tuple of str
        Keys of the columns that are printed, where the files hold more; empty for all.
    chosen : tuple of int
        Rows that stand out, such as the recommended dose; their text has to say why.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Mapping[str, Value], ...]
    reasons: Mapping[tuple[int, str], str] = field(default_factory=dict)
    remarks: Mapping[tuple[int, str], str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    chosen: tuple[int, ...] = ()

    kind = "table"

    @property
    def printed(self) -> list[Column]:
        """Columns of the printed table."""
        return [c for c in self.columns if not self.shown or c.key in self.shown]

    @property
    def footnotes(self) -> list[tuple[str, str]]:
        """Marks a, b, … and what they stand for, in order of first appearance."""
        keys = {c.key for c in self.printed}
        said = [*self.remarks.items(), *self.reasons.items()]
        found = dict.fromkeys(text for (_, key), text in said if key in keys)
        return [(_mark(i), why) for i, why in enumerate(found)]

    @property
    def dense(self) -> bool:
        """Whether the table is printed in smaller type, so that it fits in one piece."""
        return len(self.panels) == 1 and self._width > PAGE

    @property
    def _width(self) -> int:
        """Width of the printed table, in characters."""
        cells = self._cells()
        return sum(_width(c, cells[c.key]) for c in self.printed)

    def _cells(self) -> dict[str, list[Cell]]:
        marks = {why: mark for mark, why in self.footnotes}
        return {c.key: [self._cell(i, c, marks) for i in range(len(self.rows))]
                for c in self.printed}  # fmt: skip

    @property
    def panels(self) -> list[Panel]:
        """The printed table, in several parts where its columns do not fit the page.

        The patient and the dose level are repeated in each part.
        """
        columns = self._cells()
        return [
            Panel(tuple(part), tuple(zip(*(columns[c.key] for c in part), strict=True)))
            for part in _parts(self.printed, columns)
        ]

    def _cell(self, i: int, column: Column, marks: Mapping[str, str]) -> Cell:
        at = (i, column.key)
        said = self.reasons.get(at) or self.remarks.get(at, "")
        return _cell(self.rows[i], column, marks.get(said, ""))

    def to_csv(self) -> str:
        """Return the table as CSV text with full precision, reasons in columns of their own."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        with_reason = {key for _, key in self.reasons}
        head = []
        for c in self.columns:
            head += [c.csv_name, f"{c.key}_reason"] if c.key in with_reason else [c.csv_name]
        writer.writerow(map(_inert, head))
        for i, row in enumerate(self.rows):
            line: list[Value] = []
            for c in self.columns:
                line.append(plain(row.get(c.key)))
                if c.key in with_reason:
                    line.append(self.reasons.get((i, c.key), ""))
            writer.writerow(["" if v is None else _inert(v) for v in line])
        return out.getvalue()

    def to_json(self) -> dict[str, Any]:
        """Return the table as plain data; numbers that cannot be had are None."""
        return {
            "title": self.title,
            "columns": [{"key": c.key, "label": c.label, "unit": c.unit} for c in self.columns],
            "rows": [{c.key: plain(row.get(c.key)) for c in self.columns} for row in self.rows],
            "reasons": [
                {"row": i, "column": key, "reason": why} for (i, key), why in self.reasons.items()
            ],
            "notes": list(self.notes),
        }


def _parts(printed: Sequence[Column], cells: Mapping[str, list[Cell]]) -> list[list[Column]]:
    """Split columns so that each part is at most `PAGE` characters wide, or all are `DENSE`."""
    width = {c.key: _width(c, cells[c.key]) for c in printed}
    if sum(width.values()) <= DENSE:
        return [list(printed)]
    repeated = [c for c in printed[:2] if c.key in ("id", "dose_level")] or list(printed[:1])
    start = sum(width[c.key] for c in repeated)
    parts, used = [list(repeated)], start
    for c in printed[len(repeated) :]:
        if used + width[c.key] > PAGE and len(parts[-1]) > len(repeated):
            parts.append(list(repeated))
            used = start
        parts[-1].append(c)
        used += width[c.key]
    return parts


def _width(column: Column, cells: Sequence[Cell]) -> int:
    """Return a column's width in characters: its longest cell or heading word, and the gap.

    Longer text than `WRAPS` runs over several lines.
    """
    words = [len(word) + 2 for word in column.heading.split()]
    return min(max([len(c.text) for c in cells] + words, default=0), WRAPS) + 3


def plain(value: Any) -> Value:
    """Return a value as plain Python; NaN, infinity and pandas' missing values as None."""
    if value is None or isinstance(value, str):
        return value
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value if math.isfinite(value) else None
    return None if pd.isna(value) else str(value)


def _inert(value: Value) -> Value:
    return inert(value) if isinstance(value, str) else value


def _mark(i: int) -> str:
    """Return a to z, then aa, ab and so on."""
    first, last = divmod(i, 26)
    return (_mark(first - 1) if first else "") + chr(ord("a") + last)


def _cell(row: Mapping[str, Value], column: Column, mark: str) -> Cell:
    value = plain(row.get(column.key))
    if column.sort_by:
        by = plain(row.get(column.sort_by))
        return Cell(str(value), "" if by is None else repr(by), column.kind != "text", mark)
    if value is None:
        return Cell(_text.MISSING, "", column.kind not in ("text", "dose"), mark)
    if isinstance(value, bool):
        return Cell("yes" if value else "no", str(int(value)), False, mark)
    if isinstance(value, str) or column.kind == "text":
        return Cell(str(value), str(value), False, mark)
    return Cell(_printed(value, column), repr(value), column.kind != "dose", mark)


def _printed(value: float, column: Column) -> str:
    if column.kind == "dose":
        return _text.dose(value, column.unit)
    if column.kind == "count":
        return f"{value:,.0f}"
    if column.kind == "exact":
        return _text.short(value)
    if column.kind == "fine":
        return _text.chance(value)
    if column.kind == "ratio":
        return _text.fixed(value, 3)
    if column.kind == "decimal":
        return f"{value:,.2f}".replace("-", "−")
    if float(value).is_integer() and abs(value) < 1000:
        return f"{value:.0f}".replace("-", "−")
    return _text.number(value)


def from_frame(
    frame: pd.DataFrame,
    name: str,
    title: str,
    *,
    labels: Mapping[str, tuple[str, str, Kind]] | None = None,
    notes: Sequence[str] = (),
    shown: Sequence[str] = (),
) -> Table:
    """Return a table of a DataFrame, its named index levels first.

    Parameters
    ----------
    frame : pd.DataFrame
        Columns may be of text or numbers.
    name, title : str
        See `Table`.
    labels : mapping, optional
        Column name → (label, unit, kind); other columns are headed by their name.
    notes, shown : sequence of str
        See `Table`.
    """
    named = any(n is not None for n in frame.index.names)
    flat = frame.reset_index() if named else frame
    flat = flat.rename(columns=_flat_name)
    columns = []
    for key in flat.columns:
        textual = not pd.api.types.is_numeric_dtype(flat[key].dtype)
        kind: Kind = "text" if textual else "number"
        label, unit, kind = (labels or {}).get(key, (_text.sentence(key), "", kind))
        columns.append(Column(key, label, unit, kind))
    rows = tuple(
        {str(k): plain(v) for k, v in row.items()} for row in flat.to_dict(orient="records")
    )
    return Table(name, title, tuple(columns), rows, notes=tuple(notes), shown=tuple(shown))


def _flat_name(key: Any) -> str:
    return " ".join(str(k) for k in key if str(k)) if isinstance(key, tuple) else str(key)


def variable_column(dataset: xr.Dataset, key: str) -> Column:
    """Return the column of a Dataset's variable, headed by its ``long_name`` and ``units``."""
    variable = dataset[key]
    label, numeric = _text.name_of(variable), variable.dtype.kind in "fiub"
    if key == "dose_level" and numeric:
        return Column(key, label, _text.dose_unit(dataset), "dose")
    return Column(key, label, str(variable.attrs.get("units", "")), "number" if numeric else "text")


def patient_rows(
    dataset: xr.Dataset, keys: Sequence[str], extra: Mapping[str, Callable[[str], Value]]
) -> tuple[dict[str, Value], ...]:
    """Return one row per patient: variables of dim ``id``, then computed values."""
    rows = []
    for i, patient in enumerate(dataset["id"].values.astype(str)):
        row: dict[str, Value] = {"id": str(patient)}
        row |= {key: plain(dataset[key].values[i]) for key in keys}
        row |= {key: value(str(patient)) for key, value in extra.items()}
        rows.append(row)
    return tuple(rows)
