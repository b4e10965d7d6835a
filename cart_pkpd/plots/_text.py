"""How numbers, doses and units are written for people: shared by plots and report."""

from __future__ import annotations

import math
import re
from typing import Any

import xarray as xr

from cart_pkpd._core import names

MISSING = "—"
THIN = "\u202f"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
SMALLEST_DOSE = names.SMALLEST_DOSE
_ACRONYMS = {"crs", "icans", "dlt", "ldh", "crp", "msln", "muc1", "ecog", "bmi", "ld"}
_PLURAL = {"day": "days", "week": "weeks", "month": "months"}


def superscript(power: int) -> str:
    """Return a whole number in superscript digits."""
    return str(power).translate(_SUPERSCRIPT)


def number(value: float, digits: int = 3) -> str:
    """Return a value rounded to significant digits, as it is printed in a table.

    Parameters
    ----------
    value : float
        The number; NaN is written as a dash.
    digits : int
        Significant digits to keep.

    Returns
    -------
    str
        Plain from 0.001 to 999,999, otherwise as a power of ten.

    Examples
    --------
    >>> number(24312.7), number(0.003219), number(2.5e7), number(float("nan"))
    ('24,300', '0.00322', '2.5×10⁷', '—')
    """
    value = float(value)
    if math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "−∞" if value < 0 else "∞"
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    power = math.floor(math.log10(abs(rounded)))
    if not -3 <= power < 6:
        return _scientific(rounded, power, digits)
    text = f"{rounded:,.{max(digits - 1 - power, 0)}f}"
    return text.replace("-", "−")


def _scientific(value: float, power: int, digits: int) -> str:
    mantissa = f"{value / 10.0**power:.{digits - 1}f}".rstrip("0").rstrip(".")
    return f"{mantissa}×10{superscript(power)}".replace("-", "−")


def short(value: float) -> str:
    """Return a value without trailing zeros, for tick labels: ``0.3``, ``1``, ``10,000``."""
    text = number(value)
    return text.rstrip("0").rstrip(".") if "." in text and "×" not in text else text


def interval(lower: float, upper: float, digits: int = 3) -> str:
    """Return ``"0.12–0.21"``; with "to" between the ends where one of them is negative."""
    if math.isnan(lower) and math.isnan(upper):
        return MISSING
    joint = " to " if min(lower, upper) < 0 else "–"
    return f"{number(lower, digits)}{joint}{number(upper, digits)}"


def percent(fraction: float) -> str:
    """Return a share as a percentage: ``percent(0.9)`` is ``"90 %"``, in one piece."""
    return f"{fraction * 100:.3g}{THIN}%"


def dose(amount: float, unit: str) -> str:
    """Return a dose as printed: ``dose(3e6, "cells")`` is ``"3×10⁶ cells"``.

    A level without a unit is taken as a label: ``"dose level 2"``.
    """
    if math.isnan(amount):
        return "dose not given"
    if unit in ("", "1"):
        return f"dose level {_plain_or_power(amount)}"
    return f"{_plain_or_power(amount)} {unit}"


def _plain_or_power(amount: float) -> str:
    power = math.floor(math.log10(abs(amount))) if amount else 0
    return _scientific(amount, power, 3) if power >= 4 else f"{amount:g}"


def unit(name: str) -> str:
    """Return a unit for people: ``"copies/µg*day"`` is ``"copies/µg·day"``; nothing for "1"."""
    if name in ("", "1", "see measure"):
        return ""
    name = re.sub(r"\^(-?\d+)", lambda m: superscript(int(m[1])), name)
    return _PLURAL.get(name, name.replace("*", "·"))


def with_unit(text: str, units: str) -> str:
    """Return ``"Cmax (copies/µg)"``, or the text alone where there is no unit."""
    shown = unit(units)
    return f"{text} ({shown})" if shown else text


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


def count(n: int, noun: str) -> str:
    """Return a count with its noun: ``"1 patient"``, ``"12 patients"``."""
    plural = {"study": "studies"}.get(noun, noun + "s")
    return f"{n:,} {noun if n == 1 else plural}"
