"""Unit strings: one spelling, conversion within a kind, and exponents of base units.

Time is in days inside the package. Copies per µg of DNA, copies per volume and cells per
volume are different kinds of quantity: no factor turns one into another.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cart_pkpd._core.errors import UnitError
from cart_pkpd._core.validate import did_you_mean

# name -> (factor to the base unit, base unit). Bases: day, g, L, cell, copy, U, m, mol.
_ATOMS: Mapping[str, tuple[float, str]] = MappingProxyType(
    {
        "day": (1.0, "day"), "week": (7.0, "day"), "h": (1 / 24, "day"),
        "min": (1 / 1440, "day"), "s": (1 / 86400, "day"), "month": (30.4375, "day"),
        "year": (365.25, "day"),
        "kg": (1e3, "g"), "g": (1.0, "g"), "mg": (1e-3, "g"), "µg": (1e-6, "g"),
        "ng": (1e-9, "g"), "pg": (1e-12, "g"),
        "L": (1.0, "L"), "dL": (1e-1, "L"), "mL": (1e-3, "L"), "µL": (1e-6, "L"),
        "cells": (1.0, "cell"), "copies": (1.0, "copy"),
        "U": (1.0, "U"), "IU": (1.0, "IU"),
        "m": (1.0, "m"), "cm": (1e-2, "m"), "mm": (1e-3, "m"),
        "mol": (1.0, "mol"), "mmol": (1e-3, "mol"), "µmol": (1e-6, "mol"),
        "nmol": (1e-9, "mol"), "pmol": (1e-12, "mol"), "M": (1.0, "mol/L"), "mM": (1e-3, "mol/L"),
        "µM": (1e-6, "mol/L"), "nM": (1e-9, "mol/L"), "pM": (1e-12, "mol/L"),
        "%": (0.01, ""), "1": (1.0, ""), "10^3": (1e3, ""), "10^6": (1e6, ""), "10^9": (1e9, ""),
        "10^12": (1e12, ""),
    }
)  # fmt: skip

_SPELLINGS: Mapping[str, str] = MappingProxyType(
    {
        "days": "day", "d": "day", "weeks": "week", "wk": "week", "hour": "h", "hours": "h",
        "hr": "h", "hrs": "h", "minute": "min", "minutes": "min", "sec": "s", "second": "s",
        "seconds": "s", "months": "month", "mo": "month", "years": "year",
        "yr": "year", "yrs": "year",
        "ug": "µg", "mcg": "µg", "l": "L", "dl": "dL", "ml": "mL", "ul": "µL", "uL": "µL",
        "µl": "µL", "liter": "L", "litre": "L",
        "cell": "cells", "copy": "copies", "cp": "copies", "cps": "copies", "gc": "copies",
        "umol": "µmol", "uM": "µM", "iu": "IU", "u": "U", "percent": "%", "": "1",
    }
)  # fmt: skip

_NOISE = re.compile(
    r"\b(gdna|genomic dna|dna|blood|of|(viable )?car([+-]|-?positive)?[ -]?t?(?= ?cells?\b))\b",
    re.IGNORECASE,
)
_FACTOR = re.compile(r"^(?P<name>.*?)\^?(?P<power>-?[1-3])?$")
_POWER_OF_TEN = re.compile(r"(?:^[x*]\s*|\b)(?:10(?:\^|\*\*?)|1e\+?0?)(12|3|6|9)\b\s*\*?\s*")
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁶⁹", "012369")

_TIMES = frozenset(name for name, (_, base) in _ATOMS.items() if base == "day")

# Case decides between these and other units (mM, mm), so only the exact spelling counts.
_EXACT_CASE = frozenset(("m", "M", "mM", "µM", "nM", "pM"))
_BY_LOWER = {name.lower(): name for name in _ATOMS if name not in _EXACT_CASE}


def _clean(text: str) -> str:
    text = text.replace("\u03bc", "µ").replace("μ", "µ").replace("·", "*")
    text = re.sub(r"(?<![\^⁰¹²³⁶⁹])(?=[⁰¹²³⁶⁹])", "^", text).translate(_SUPERSCRIPTS)
    text = _POWER_OF_TEN.sub(r"10^\1*", _NOISE.sub("", text.replace("×", "*")).strip())
    text = re.sub(r"\bper\b", "/", text).replace(" ", "")
    return re.sub(r"(10\^\d+)\*(?=/|$)", r"\1", text.replace("**", "^"))


def _atom(word: str, whole: str) -> str:
    for candidate in (word, _SPELLINGS.get(word, ""), _SPELLINGS.get(word.lower(), "")):
        if candidate in _ATOMS:
            return candidate
    if word.lower() in _BY_LOWER:
        return _BY_LOWER[word.lower()]
    raise UnitError(
        f"unknown unit {word!r} in {whole!r}.{did_you_mean(word, _ATOMS)} "
        f"Known: {', '.join(_ATOMS)}."
    )


def _factors(unit: str) -> list[tuple[str, int]]:
    """Split ``"copies/µg*day"`` into ``[("copies", 1), ("µg", -1), ("day", 1)]``.

    A slash applies to the one factor after it, as in NONMEM and CDISC unit strings.
    """
    text = _clean(str(unit))
    if text and not re.fullmatch(r"/?[^*/]+([*/][^*/]+)*", text):
        raise UnitError(f"{str(unit)!r} is not a unit: a factor is missing beside a * or /.")
    found: list[tuple[str, int]] = []
    for sign, piece in re.findall(r"([*/]?)([^*/]+)", text):
        exact = piece in _ATOMS or piece in _SPELLINGS
        match = None if exact else _FACTOR.match(piece)
        power = int(match["power"]) if match and match["power"] else 1
        word = match["name"] if match and match["power"] else piece
        found.append((_atom(word, str(unit)), -power if sign == "/" else power))
    return found or [("1", 1)]


def canonical(unit: str) -> str:
    """Return the package's spelling of a unit.

    Parameters
    ----------
    unit : str
        Any usual spelling: ``"copies/ug gDNA"``, ``"cells/uL"``, ``"PG/ML"``, ``"days"``.

    Returns
    -------
    str
        ``"copies/µg"``, ``"cells/µL"``, ``"pg/mL"``, ``"day"``.

    Raises
    ------
    UnitError
        If a part of the unit is not known.

    Examples
    --------
    >>> canonical("copies/ug gDNA"), canonical("day*copies/µg")
    ('copies/µg', 'copies/µg*day')
    """
    top: list[str] = []
    bottom: list[str] = []
    for name, power in _factors(unit):
        if name == "1":
            continue
        (top if power > 0 else bottom).append(name + (f"^{abs(power)}" if abs(power) > 1 else ""))
    # A level times a time is read as that: copies/µg*day, as areas are written everywhere.
    times = [n for n in top if n.split("^")[0] in _TIMES]
    first = [n for n in top if n not in times] if bottom else top
    text = "*".join(first or top) or "1"
    last = [n for n in times if first and first is not top]
    return "".join([text, *(f"/{n}" for n in bottom), *(f"*{n}" for n in last)])


def exponents(unit: str) -> dict[str, int]:
    """Return the exponents of the base units: ``{"copy": 1, "g": -1}`` for copies/µg."""
    powers: dict[str, int] = {}
    for name, power in _factors(unit):
        for i, base in enumerate(filter(None, _ATOMS[name][1].split("/"))):
            powers[base] = powers.get(base, 0) + (power if i == 0 else -power)
    return {base: power for base, power in sorted(powers.items()) if power}


def scale(unit: str) -> float:
    """Return the value of one `unit` in base units (day, g, L, cells, copies …)."""
    value = 1.0
    for name, power in _factors(unit):
        value *= _ATOMS[name][0] ** power
    return value


def alike(unit: str, other: str) -> bool:
    """Return True if two units are the same, however they are spelled."""
    same_size = math.isclose(scale(unit), scale(other), rel_tol=1e-9)
    return same_size and exponents(unit) == exponents(other)


def conversion_factor(source: str, target: str) -> float:
    """Return the number by which values in `source` are multiplied to be in `target`.

    Parameters
    ----------
    source, target : str
        Units of the same kind.

    Returns
    -------
    float
        For example 1000 from ng/mL to pg/mL.

    Raises
    ------
    UnitError
        If the two are different kinds of quantity, such as copies/µg and cells/µL.
    """
    if exponents(source) != exponents(target):
        raise UnitError(
            f"{source!r} and {target!r} are different kinds of quantity, so no factor "
            "converts one into the other. Keep them as separate endpoints."
        )
    factor = scale(source) / scale(target)
    decimal = float(f"{factor:.12g}")  # 1e-9/1e-12 comes out as 1000, not 1000.0000000000001
    return decimal if math.isclose(factor, decimal, rel_tol=1e-15) else factor


def times(unit: str, other: str) -> str:
    """Return the unit of a product: ``times("copies/µg", "day")`` is ``"copies/µg*day"``."""
    first, second = canonical(unit), canonical(other)
    if second == "1":
        return first
    return second if first == "1" else f"{first}*{second}"


def product(first: str, second: str, power: int = 1) -> str:
    """Return the unit of `first` times `second` to a power, factors alike taken together.

    Examples
    --------
    >>> product("mg", "L", -1), product("cells/L", "L")
    ('mg/L', 'cells')
    """
    powers: dict[str, int] = {}
    for name, n in [*_factors(first), *((k, power * n) for k, n in _factors(second))]:
        if name != "1":
            powers[name] = powers.get(name, 0) + n
    top = [k + (f"^{n}" if n > 1 else "") for k, n in powers.items() if n > 0]
    bottom = [k + (f"^{-n}" if n < -1 else "") for k, n in powers.items() if n < 0]
    return "/".join(["*".join(top) or "1", *bottom])


def convert(values: ArrayLike, source: str, target: str) -> NDArray[np.float64]:
    """Return `values` given in `source` in the unit `target`.

    Parameters
    ----------
    values : array_like
        Numbers in `source`.
    source, target : str
        Units of the same kind.

    Returns
    -------
    ndarray
        Numbers in `target`. Where the inverse factor is a whole number the values are divided
        by it, so that 72 h are exactly 3 days.

    Raises
    ------
    UnitError
        If the two are different kinds of quantity.

    Examples
    --------
    >>> float(convert(72, "h", "day"))
    3.0
    """
    numbers = np.asarray(values, dtype=np.float64)
    factor, inverse = conversion_factor(source, target), conversion_factor(target, source)
    if factor == 1.0:
        return numbers
    return numbers / inverse if inverse > 1 and inverse.is_integer() else numbers * factor
