"""Text from other people's files that is harmless on a terminal, in a page and in a spreadsheet."""

from __future__ import annotations

import re
from typing import Any

_FORMULA = re.compile(r"'*[=+\-@\uff1d\uff0b\uff0d\uff20].")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_BLANK = re.compile(r"[\t\n\r\v\f\x85\u2028\u2029]+")
# C0, DEL and C1; soft hyphen; zero width; marks and overrides of direction; byte order mark; tags.
_HIDDEN = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    r"\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_LINES = re.compile(r"[\v\f\x85\u2028\u2029]")


def visible(text: str, *, lines: bool = False) -> str:
    """Return a text without characters that are not seen but do something.

    These are escape sequences of terminals, controls of the direction of writing, which let a
    text look like another, and characters without width. With `lines`, line ends and tabs stay;
    otherwise each becomes a blank.
    """
    if text.isascii() and text.isprintable():
        return text
    kept = _LINES.sub(" ", text) if lines else _BLANK.sub(" ", text)
    return _HIDDEN.sub("", kept)


def hides(text: str) -> bool:
    """Say whether a text holds characters that `visible` takes out."""
    if text.isascii() and text.isprintable():
        return False
    return _HIDDEN.search(text) is not None


def inert(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: an apostrophe before ``=cmd``.

    Numbers, and a lone sign such as ``+``, are no formulas. `revived` takes the apostrophe away.
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def revived(text: str) -> str:
    """Return the text that `inert` was given."""
    return text[1:] if text[:1] == "'" and inert(text[1:]) == text else text


def inert_table(table: Any) -> Any:
    """Return a copy of a DataFrame whose texts, headers and row names are all `inert`."""
    made = table.copy()
    for j, kind in enumerate(made.dtypes):
        if kind.kind not in "biufcmM":
            made.isetitem(j, made.iloc[:, j].map(_inert_cell))
    if made.index.dtype.kind not in "biufcmM":
        made.index = made.index.map(_inert_key)
    made.columns = made.columns.map(_inert_key)
    return made


def _inert_cell(value: Any) -> Any:
    return inert(value) if isinstance(value, str) else value


def _inert_key(value: Any) -> Any:
    return tuple(map(_inert_cell, value)) if isinstance(value, tuple) else _inert_cell(value)
