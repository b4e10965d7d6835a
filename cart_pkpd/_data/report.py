"""The import report: what was read, what was guessed, what was left out and why."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field
from typing import Any

import pandas as pd

from cart_pkpd._core import display

type Cells = tuple[tuple[str, ...], list[tuple[Any, ...]]]
"""Heads and rows of a table."""


@dataclass(frozen=True)
class ColumnUse:
    """How one column of the table was understood.

    Attributes
    ----------
    column : str
        The package's name of the column (``"TIME"``), ``"covariate"`` or ``"not used"``.
    header : str
        The header in the file.
    how : str
        ``"exact"``, ``"guessed"``, ``"columns="`` or a reason.
    """

    column: str
    header: str
    how: str


@dataclass(frozen=True)
class Exclusion:
    """One record that is not in the trial, and why."""

    row: int
    patient: str
    column: str
    value: str
    reason: str


@dataclass(frozen=True)
class EndpointCount:
    """The records of one endpoint, counted."""

    endpoint: str
    unit: str
    patients: int
    records: int
    quantified: int
    below_lloq: int
    above_uloq: int
    interval: int


@dataclass(frozen=True)
class ImportReport:
    """What reading a table found: kept in ``trial.attrs["import_report"]`` as JSON.

    Attributes
    ----------
    source : str
        File name, or ``"DataFrame"``.
    sha256 : str
        Checksum of the file's bytes.
    n_patients, n_records, n_observations, n_doses, n_events : int
        Patients; lines below the header; and what became of them.
    columns : tuple of ColumnUse
        Every column of the table and its role.
    endpoints : tuple of EndpointCount
        Counts per endpoint.
    missing_covariates : dict of str to int
        Number of patients without a value, for covariates where there are any.
    guesses : tuple of str
        What was assumed, each with the argument that says otherwise.
    notes : tuple of str
        What was done to the data.
    exclusions : tuple of Exclusion
        Every record left out, with its reason.
    """

    source: str
    sha256: str
    n_patients: int
    n_records: int
    n_observations: int
    n_doses: int
    n_events: int
    columns: tuple[ColumnUse, ...] = ()
    endpoints: tuple[EndpointCount, ...] = ()
    missing_covariates: Mapping[str, int] = field(default_factory=dict)
    guesses: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()

    def to_json(self) -> str:
        """Return the report as JSON text."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> ImportReport:
        """Return the report that `text` holds; the inverse of `to_json`."""
        found: dict[str, Any] = json.loads(text)
        for name, record in _NESTED.items():
            found[name] = tuple(record(**entry) for entry in found[name])
        for name in ("guesses", "notes"):
            found[name] = tuple(found[name])
        return cls(**found)

    def __str__(self) -> str:
        blocks = [self._head(), self._columns(), self._endpoints(), *self._lists()]
        return "\n\n".join(block for block in blocks if block)

    def _repr_html_(self) -> str:
        head, rows = self._roles()
        usual = [header for _, header, how in rows if how == "exact"]
        told = [row for row in rows if row[2] != "exact"]
        tables = [pd.DataFrame(r, columns=list(h)) for h, r in (self._counts(), (head, told)) if r]
        names = {
            "Columns as they are called": [", ".join(usual)] if usual else [],
            "Covariates": self._covariates(),
        }
        title, lists = f"Import report: {self.source}", names | self._titled()
        return display.block(title, self._sums(), *tables, lists=lists)

    def _sums(self) -> str:
        return (
            f"{_count(self.n_patients, 'patient')}, {_count(self.n_records, 'record')}: "
            f"{_count(self.n_observations, 'observation')}, {_count(self.n_doses, 'dose')}, "
            f"{_count(self.n_events, 'event')}, {len(self.exclusions)} excluded"
        )

    def _head(self) -> str:
        return f"Import report: {self.source}\n  {self._sums()}"

    def _covariates(self) -> list[str]:
        named = [c.header for c in self.columns if c.column == "covariate"]
        return [", ".join(named)] if named else []

    def _roles(self) -> Cells:
        rows = [astuple(c) for c in self.columns if c.column != "covariate"]
        return ("column", "header", "how"), rows

    def _columns(self) -> str:
        text = _aligned(*self._roles())
        for names in self._covariates():
            wrapped = textwrap.fill(
                f"covariates: {names}", 96, initial_indent="  ", subsequent_indent="    "
            )
            text = f"{text}\n{wrapped}"
        return text

    def _counts(self) -> Cells:
        head = ("endpoint", "unit", "patients", "records", "quantified", "< LLOQ", "> ULOQ")
        rows = [(e.endpoint, e.unit or "?", *astuple(e)[2:]) for e in self.endpoints]
        if any(e.interval for e in self.endpoints):
            return (*head, "interval"), rows
        return head, [row[:-1] for row in rows]

    def _endpoints(self) -> str:
        return _aligned(*self._counts())

    def _titled(self) -> dict[str, Sequence[str]]:
        missing = [f"{name} {n}" for name, n in self.missing_covariates.items()]
        return {
            "Guessed (say otherwise if wrong)": self.guesses,
            "Notes": self.notes,
            "Covariates missing (number of patients)": [", ".join(missing)] if missing else [],
            "Excluded": _grouped(self.exclusions),
        }

    def _lists(self) -> list[str]:
        return [_bullets(title, lines) for title, lines in self._titled().items() if lines]


_NESTED: dict[str, type] = {
    "columns": ColumnUse,
    "endpoints": EndpointCount,
    "exclusions": Exclusion,
}


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _bullets(title: str, lines: Sequence[str]) -> str:
    wrapped = (
        textwrap.fill(line, 96, initial_indent="  - ", subsequent_indent="    ") for line in lines
    )
    return "\n".join([f"  {title}", *wrapped])


def _grouped(exclusions: Sequence[Exclusion]) -> list[str]:
    rows: dict[str, list[int]] = {}
    for e in exclusions:
        rows.setdefault(e.reason, []).append(e.row)
    return [f"{len(found)} × {reason} ({_rows(found)})" for reason, found in rows.items()]


def _rows(rows: Sequence[int]) -> str:
    shown = ", ".join(str(r) for r in rows[:6])
    return f"row{'s' if len(rows) > 1 else ''} {shown}{', …' if len(rows) > 6 else ''}"


def _aligned(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a plain-text table: words to the left, numbers to the right."""
    if not rows:
        return ""
    cells = [[str(c) for c in row] for row in (head, *rows)]
    widths = [max(len(row[j]) for row in cells) for j in range(len(head))]
    right = [isinstance(c, int) for c in rows[0]]
    lines = (
        "  ".join(
            c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)
        )
        for row in cells
    )
    return "\n".join(f"  {line}".rstrip() for line in lines)
