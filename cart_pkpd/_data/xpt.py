"""CDISC data sets in files: SAS transport (XPT) or CSV, read and written."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cart_pkpd._core.errors import CartError, DataError
from cart_pkpd._core.safe import visible
from cart_pkpd._data.plain import text_table
from cart_pkpd._data.write import save

Source = str | PathLike[str] | pd.DataFrame
_NAME, _LABEL, _TEXT = 8, 40, 200  # longest name, label and text of a transport file, version 5


def _pyreadstat() -> Any:
    try:
        import pyreadstat
    except ImportError:
        raise CartError(
            "SAS transport files need the package pyreadstat: pip install 'cart-pkpd[cdisc]', or "
            "save the data set as CSV."
        ) from None
    return pyreadstat


def read_dataset(source: Source) -> pd.DataFrame:
    """Return a CDISC data set: headers in upper case, text without blanks at its ends.

    Parameters
    ----------
    source : path or DataFrame
        ``.xpt`` or a table of text.

    Returns
    -------
    DataFrame
        ``attrs["labels"]`` has the label of each header, where the file is a transport file.

    Raises
    ------
    DataError
        If the file is not there, or cannot be read.
    CartError
        If a transport file is given and pyreadstat is not installed.
    """
    if isinstance(source, pd.DataFrame):
        table = source.reset_index(drop=True).copy()
    else:
        path = Path(source)
        if not path.is_file():
            raise DataError(f"there is no file {str(path)!r}; look at the path.")
        table = _transport(path) if path.suffix.lower() == ".xpt" else _text(path)
    table.columns = [str(c).strip().upper() for c in table.columns]
    for name in table.columns:
        if not pd.api.types.is_numeric_dtype(table[name]):
            table[name] = [_clean(v) for v in table[name]]
    return table


def _transport(path: Path) -> pd.DataFrame:
    reader = _pyreadstat()
    try:
        table, meta = reader.read_xport(str(path), encoding="UTF-8")
    except Exception as problem:  # pyreadstat has several classes of its own
        raise DataError(
            f"{str(path)!r} cannot be read as a SAS transport file: {problem}."
        ) from problem
    table.attrs["labels"] = dict(meta.column_names_to_labels)
    return pd.DataFrame(table)


def _text(path: Path) -> pd.DataFrame:
    table, _ = text_table(path, rows=False)
    for name in table.columns:
        stripped = table[name].str.strip()
        filled = stripped.mask(stripped.isin(("", ".")))
        numbers = pd.to_numeric(filled, errors="coerce")
        # Codes such as 0012 are text; an identifier must not lose its zeros.
        coded = filled.dropna().str.fullmatch(r"0\d+").any()
        if numbers.notna().sum() == filled.notna().sum() and filled.notna().any() and not coded:
            table[name] = numbers
    return table


def _clean(value: Any) -> Any:
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return ""
    return visible(value).strip() if isinstance(value, str) else value


def write_dataset(
    table: pd.DataFrame,
    path: str | PathLike[str],
    *,
    labels: Mapping[str, str] | None = None,
) -> Path:
    """Write a data set as SAS transport (version 5) or CSV, by the end of the file's name.

    Parameters
    ----------
    table : DataFrame
        Such as ``endpoints.adtte`` or ``nca.adpp`` returns.
    path : path
        Ends in ``.xpt`` or ``.csv``; the name before it is that of the data set.
    labels : dict, optional
        Label by header; ``table.attrs["labels"]`` by default.

    Returns
    -------
    Path
        Of the file written.

    Raises
    ------
    DataError
        If a name, label or text is longer than the format holds.
    """
    target = Path(path)
    if target.suffix.lower() == ".csv":
        save(table, target, ",", missing="")
        return target
    if target.suffix.lower() != ".xpt":
        raise DataError(f"{str(target)!r} must end in .xpt or .csv.")
    said = {str(k): str(v) for k, v in (labels or table.attrs.get("labels", {})).items()}
    _check_limits(table, said, target.stem)
    plain = table.copy()
    for name in plain.columns:
        if pd.api.types.is_bool_dtype(plain[name]):
            plain[name] = plain[name].astype(float)
        elif not pd.api.types.is_numeric_dtype(plain[name]):
            plain[name] = plain[name].astype(object)
    plain.attrs = {}
    _pyreadstat().write_xport(
        plain, str(target), table_name=target.stem.upper(), file_format_version=5,
        column_labels=[said.get(str(c), "") for c in plain.columns],
    )  # fmt: skip
    return target


def _check_limits(table: pd.DataFrame, labels: Mapping[str, str], stem: str) -> None:
    for name in (stem, *map(str, table.columns)):
        if len(name) > _NAME:
            raise DataError(f"the name {name!r} is longer than {_NAME} letters; shorten it.")
    for name, label in labels.items():
        if len(label.encode()) > _LABEL:
            raise DataError(f"the label of {name} is longer than {_LABEL} letters; shorten it.")
    for name in table.columns:
        if not pd.api.types.is_numeric_dtype(table[name]):
            longest = max((len(str(v).encode()) for v in table[name]), default=0)
            if longest > _TEXT:
                raise DataError(
                    f"column {name} holds a text of {longest} bytes; transport files hold {_TEXT}. "
                    "Shorten it, or write CSV."
                )
