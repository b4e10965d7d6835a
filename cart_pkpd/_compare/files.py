"""Tables of comparisons and searches as CSV, JSON and HTML, each file whole or not at all."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cart_pkpd._core.files import whole_file
from cart_pkpd._core.safe import inert_table
from cart_pkpd._core.validate import as_path


def csv(path: str | Path, table: pd.DataFrame, *, index: bool = True) -> Path:
    """Write a table in full precision; empty cells for what cannot be had."""
    target = as_path(path, "the CSV file to write")
    with whole_file(target) as part:
        inert_table(table).to_csv(part, index=index, lineterminator="\n", encoding="utf-8")
    return target


def json_text(path: str | Path | None, value: Mapping[str, Any]) -> str:
    """Return plain data as JSON, and write it where a path is given."""
    text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False)
    _written(path, text + "\n", "the JSON file to write")
    return text


def page(path: str | Path | None, title: str, body: str) -> str:
    """Return a piece of HTML, and write it as a whole page where a path is given."""
    whole = (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f"<title>{html.escape(title)}</title></head><body>{body}</body></html>\n"
    )
    _written(path, whole, "the HTML file to write")
    return body


def plain(value: Any) -> Any:
    """Return a cell as JSON has it."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, str) or value is None:
        return value
    value = float(value)
    if not np.isfinite(value):
        return None
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _written(path: str | Path | None, text: str, what: str) -> None:
    if path is not None:
        with whole_file(as_path(path, what)) as part:
            part.write_text(text, encoding="utf-8")
