"""How results show themselves in a notebook: a sentence first, then a table, all of it escaped."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cart_pkpd._core import words

_WIDEST = "max-width:52em"  # lines that are longer are not read
_NOTE = f'style="opacity:.75;font-size:.9em;margin:.3em 0;{_WIDEST}"'
_MOST_ROWS = 60
_SHORT = 26  # letters of a text that stays on one line
_TABLE = "border-collapse:collapse;font-size:.95em;line-height:1.35"
_CELL = "padding:.25em .7em;border-bottom:1px solid rgba(128,128,128,.35);vertical-align:top"
_WIDE = "overflow-x:auto;margin:.4em 0"
_ONE_LINE, _TEXT = "white-space:nowrap", "min-width:14em;white-space:normal"


def block(
    title: str,
    text: str = "",
    *tables: pd.DataFrame,
    notes: Iterable[str] = (),
    flags: Iterable[str] = (),
    lists: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Return a result as HTML for a notebook.

    Parameters
    ----------
    title : str
        What it is, in bold.
    text : str
        What it says, on the same line.
    *tables : DataFrame
        Shown below each other, numbers with three significant digits; at most 60 rows each.
    notes : iterable of str
        Small print below.
    flags : iterable of str
        Warnings between the sentence and the tables.
    lists : mapping of str to sequence of str, optional
        Sentences below the tables, by their heading; an empty one is left out.

    Returns
    -------
    str
        Every text is escaped. Colours are the notebook's own, so it reads well in light and dark
        themes; a table wider than the page can be moved sideways.
    """
    said = f"<b>{html.escape(title)}</b> {html.escape(text)}".rstrip()
    parts = [
        f"<p style='{_WIDEST}'>{said}</p>",
        _listed(flags),
        *(table(t, columns=_with_something(t)) for t in tables),
        *(_headed(head, lines) for head, lines in (lists or {}).items()),
        *(f"<p {_NOTE}>{html.escape(n)}</p>" for n in notes if n),
    ]
    return f"<div>{''.join(parts)}</div>"


def _with_something(frame: pd.DataFrame) -> list[Any]:
    """Return the columns that are not empty texts throughout, such as reasons of nothing."""
    if frame.empty:
        return list(frame.columns)
    blank = {c: [isinstance(v, str) and not v.strip() for v in frame[c]] for c in frame.columns}
    return [c for c in frame.columns if not all(blank[c])]


def _listed(lines: Iterable[str]) -> str:
    marks = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<ul style='{_WIDEST}'>{marks}</ul>" if marks else ""


def _headed(head: str, lines: Sequence[str]) -> str:
    listed = _listed(lines)
    return f"<p style='margin:.6em 0 0'>{html.escape(head)}</p>{listed}" if listed else ""


def table(
    frame: pd.DataFrame,
    *,
    columns: Mapping[str, str] | Sequence[str] | None = None,
    formatters: Mapping[str, Callable[[Any], str]] | None = None,
) -> str:
    """Return a table as HTML; numbers to the right, text to the left, gaps as a dash.

    Parameters
    ----------
    frame : DataFrame
        Its index is shown where it has a name or is not just 0, 1, 2, …
    columns : mapping or sequence of str, optional
        Columns to show, with their headings.
    formatters : mapping, optional
        How to write the values of a column.
    """
    wanted = list(frame.columns if columns is None else columns)
    heads = dict(columns) if isinstance(columns, Mapping) else {c: str(c) for c in wanted}
    named = frame.index.name is not None or not isinstance(frame.index, pd.RangeIndex)
    lead = [str(frame.index.name or "")] if named else []
    write = formatters or {}
    rows = []
    for key, row in zip(frame.index[:_MOST_ROWS], frame.to_dict("records"), strict=False):
        cells = [_th(_cell(key), "left")] if named else []
        cells += [_td(row[c], write.get(c)) for c in wanted]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    numeric = {c: pd.api.types.is_numeric_dtype(frame[c]) for c in wanted}
    head = "".join(_th(html.escape(h), "left") for h in lead) + "".join(
        _th(html.escape(heads[c]), "right" if numeric[c] else "left") for c in wanted
    )
    left = len(frame.index) - _MOST_ROWS
    more = f"<p {_NOTE}>and {words.count(left, 'more row')}</p>" if left > 0 else ""
    inside = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f"<div style='{_WIDE}'><table style='{_TABLE}'>{inside}</table></div>{more}"


def _th(text: str, side: str) -> str:
    return f"<th style='{_CELL};{_ONE_LINE};text-align:{side}'>{text}</th>"


def _td(value: Any, write: Callable[[Any], str] | None) -> str:
    side = "right" if _is_number(value) else "left"
    text = html.escape(write(value)) if write else _cell(value)
    breaks = _ONE_LINE if len(text) <= _SHORT else _TEXT
    return f"<td style='{_CELL};{breaks};text-align:{side}'>{text}</td>"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)


def _cell(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{int(value):,}" if abs(int(value)) < 1_000_000 else words.number(float(value))
    if isinstance(value, float | np.floating):
        plain = float(value)
        whole = plain.is_integer() and abs(plain) < 1000
        return f"{plain:.0f}" if whole else words.number(plain)
    return html.escape(words.MISSING if value is None or value is pd.NA else str(value))
