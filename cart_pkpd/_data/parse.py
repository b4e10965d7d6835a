"""From text cells to numbers, and the words that stand for a censored value."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Text = NDArray[np.object_]


def vocabulary(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


# "None" is an answer (no adverse event, no earlier therapy), so it is not among these.
MISSING = frozenset({"", *vocabulary(". NA N/A n/a #N/A NaN nan NAN Nan NULL null Null")})

NUMBER, NONE, BELOW, ABOVE, BAD = range(5)

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_THOUSANDS = re.compile(r"[+-]?\d{1,3}([,\u00a0\u202f' ]\d{3})+(\.\d*)?")
_DECIMAL_COMMA = re.compile(r"[+-]?(\d[\d.]*)?,\d+(e[+-]?\d+)?", re.IGNORECASE)
_DATE = re.compile(
    r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ].*)?"
    r"|\d{1,2}[- ]?(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[- ]?(\d{4}|\d{2})?"
    r"([:T ].*)?"
    r"|(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[- ](\d{4}|\d{2})",
    re.IGNORECASE,
)
# What a spreadsheet makes of names such as 1-4, MARCH1 and 123456789012 when it opens a file.
CONVERTED = re.compile(
    r"\d{1,2}-(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)(-\d{2}|-\d{4})?"
    r"|(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)-(\d{2}|\d{4})"
    r"|\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?"
    r"|\d([.,]\d+)?e\+\d{2}",
    re.IGNORECASE,
)
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[ap]m)?", re.IGNORECASE)
_INFINITE = re.compile(r"[+-]?(inf|infinity)", re.IGNORECASE)
_SPREADSHEET = re.compile(r"#(DIV/0!|VALUE!|REF!|NAME\?|NUM!|NULL!)", re.IGNORECASE)

_BELOW_WORDS = vocabulary(
    "blq bql bloq blloq <lloq <loq <lod <llod bld blod nd notdetected undetected undetectable "
    "belowlloq belowloq belowlod"
)
_ABOVE_WORDS = vocabulary("alq aloq auloq >uloq >loq aboveuloq")


@dataclass(frozen=True)
class Cell:
    """One cell read as a number: its kind, value, limit in the text, and what is wrong."""

    kind: int
    value: float = np.nan
    problem: str = ""


@dataclass(frozen=True)
class Numbers:
    """A column read as numbers.

    Attributes
    ----------
    kind : array of int
        NUMBER, NONE (missing), BELOW or ABOVE (censored text), or BAD.
    value : array of float
        The number; for censored text the limit written in it, if any; otherwise NaN.
    problem : array of str
        For BAD cells, what is wrong with the text.
    """

    kind: IntArray
    value: FloatArray
    problem: Text

    @property
    def missing(self) -> BoolArray:
        """Which cells hold nothing."""
        return self.kind == NONE

    @property
    def bad(self) -> BoolArray:
        """Which cells could not be read."""
        return self.kind == BAD


def read_number(text: str, decimal: str, missing: Collection[str]) -> Cell:
    """Read one cell; a text that is not a plain finite number says why."""
    if text in missing:
        return Cell(NONE)
    plain = text.replace("−", "-")  # the typographic minus of word processors
    if decimal == ",":
        if re.fullmatch(r"[^,]*\.[^,]*", plain) and _NUMBER.fullmatch(plain):
            return Cell(BAD, problem="decimal_point")
        plain = plain.replace(",", ".") if "." not in plain else plain
    if _NUMBER.fullmatch(plain):
        value = float(plain) + 0.0  # -0 is 0
        return Cell(NUMBER, value) if np.isfinite(value) else Cell(BAD, problem="infinite")
    return Cell(BAD, problem=_what_is_wrong(plain))


def _what_is_wrong(text: str) -> str:
    for pattern, problem in (
        (_INFINITE, "infinite"),
        (_THOUSANDS, "thousands_separator"),
        (_DECIMAL_COMMA, "decimal_comma"),
        (_CLOCK, "clock"),
        (_DATE, "date"),
        (_SPREADSHEET, "spreadsheet_error"),
    ):
        if pattern.fullmatch(text):
            return problem
    return "text"


def read_value(text: str, decimal: str, missing: Collection[str]) -> Cell:
    """Read one DV cell, where ``BLQ``, ``<50`` and ``>1500`` have a meaning."""
    cell = read_number(text, decimal, missing)
    if cell.kind != BAD:
        return cell
    word = re.sub(r"[\s_-]+", "", text).lower().replace("≤", "<").replace("≥", ">")
    if word in _BELOW_WORDS:
        return Cell(BELOW)
    if word in _ABOVE_WORDS:
        return Cell(ABOVE)
    if text[0] in "<≤>≥":
        limit = read_number(text[1:].lstrip("= "), decimal, ())
        kind = BELOW if text[0] in "<≤" else ABOVE
        return Cell(kind, limit.value) if limit.kind == NUMBER and limit.value > 0 else cell
    return cell


def read_column(
    cells: Text,
    decimal: str,
    missing: Collection[str],
    read: Callable[[str, str, Collection[str]], Cell] = read_number,
) -> Numbers:
    """Read a whole column; each different text is read once."""
    codes, texts = pd.factorize(cells)
    found = [read(str(t), decimal, missing) for t in texts]
    kind = np.array([c.kind for c in found], dtype=np.int64)
    value = np.array([c.value for c in found], dtype=np.float64)
    problem = np.array([c.problem for c in found], dtype=object)
    if not found:
        return Numbers(kind, value, problem)
    return Numbers(kind[codes], value[codes], problem[codes])


def find_decimal(columns: Collection[Text], sep: str) -> tuple[str, str]:
    """Return the decimal sign of a table and one cell that shows it.

    A comma is the decimal sign if the cells are not separated by commas and numbers with
    a comma are there, none with a point. Where every such number could also hold
    thousands (``1,234``), the sign is ``"?"``. Where every number with a point could
    (``1.234``), the sign is the point, and the cell is returned with it.
    """
    if sep in (",", ""):
        return ".", ""
    texts = {str(t) for cells in columns for t in pd.unique(cells) if "," in t or "." in t}
    texts = {t.lstrip("<>≤≥= ") for t in texts}
    commas = sorted(t for t in texts if re.fullmatch(r"[+-]?\d*,\d+(e[+-]?\d+)?", t, re.IGNORECASE))
    points = sorted(t for t in texts if _NUMBER.fullmatch(t))
    if not commas and points and all(re.fullmatch(r"[+-]?[1-9]\d{0,2}\.\d{3}", t) for t in points):
        return ".", points[0]
    if not commas or points:
        return ".", ""
    if all(re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", t) for t in commas):
        return "?", commas[0]
    return ",", commas[0]
