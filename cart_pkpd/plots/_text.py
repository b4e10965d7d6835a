"""How labels of data are written for people, beside the numbers and doses of `_core.words`."""

from __future__ import annotations

from typing import Any

import xarray as xr

from cart_pkpd._core import names
from cart_pkpd._core.words import (
    MISSING,
    THIN,
    chance,
    count,
    dose,
    fixed,
    interval,
    number,
    percent,
    short,
    superscript,
    unit,
    with_unit,
)

__all__ = [
    "MISSING", "SMALLEST_DOSE", "THIN", "chance", "count", "dose", "dose_unit", "endpoint_label",
    "fixed", "interval", "label", "name_of", "number", "percent", "sentence", "short",
    "superscript", "unit", "with_unit",
]  # fmt: skip
SMALLEST_DOSE = names.SMALLEST_DOSE
_ACRONYMS = {"crs", "icans", "dlt", "ldh", "crp", "msln", "muc1", "ecog", "bmi", "ld"}


def sentence(text: str) -> str:
    """Begin a label with a capital, where its first word is a word and not a symbol."""
    text = text.replace("_", " ")
    first = text.split(" ")[0]
    letters = first.replace("-", "")
    word = letters.isascii() and letters.isalpha() and first.islower() and len(letters) > 2
    return text[0].upper() + text[1:] if word else text


def name_of(variable: xr.DataArray) -> str:
    """Return a variable's label without its unit.

    A ``long_name`` that only repeats the header of the source table is no label: the words of
    the variable's own name are taken instead.
    """
    text = str(variable.attrs.get("long_name") or "")
    if text and text != variable.attrs.get("column"):
        return sentence(text)
    words = str(variable.name).split("_")
    text = " ".join(w.upper() if w in _ACRONYMS else w for w in words)
    return text[:1].upper() + text[1:]


def label(variable: xr.DataArray) -> str:
    """Return a variable's label with its unit, from its ``long_name`` and ``units``."""
    return with_unit(name_of(variable), str(variable.attrs.get("units", "")))


def dose_unit(dataset: xr.Dataset) -> str:
    """Return the unit of the dose levels.

    Where the level itself has none, that of the given amounts is taken, unless the levels are
    too small to be amounts of cells: then they are labels such as 1, 2, 3.
    """
    level = dataset["dose_level"]
    given = [dataset[v] for v in ("amount", "dose") if v in dataset.variables]
    of_amounts = str(given[0].attrs.get("units", "")) if given else ""
    return names.level_unit(str(level.attrs.get("units", "")), level.values, of_amounts)


def endpoint_label(dataset: xr.Dataset, variable: str = "dv") -> str:
    """Return the endpoint's label with its unit, from the dataset or its `variable`."""
    attrs: dict[str, Any] = {**dataset[variable].attrs} if variable in dataset else {}
    text = dataset.attrs.get("label") or attrs.get("long_name")
    if not text:
        text = names.label(str(dataset.attrs.get("endpoint", variable)))
    return with_unit(str(text), str(dataset.attrs.get("units") or attrs.get("units", "")))
