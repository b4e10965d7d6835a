"""How numbers, doses and units are written for people, in every sentence, table and figure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

MISSING = "—"
THIN = "\u202f"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
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


def exact(value: float) -> str:
    """Return a value as it is, to six digits: ``"1,234.5"``; from a million on a power of ten."""
    text = f"{value:,g}"
    if "e" not in text:
        return text.replace("-", "−")
    return _scientific(value, math.floor(math.log10(abs(value))), 6)


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
    if not 0 < abs(amount) < math.inf:
        return f"{amount:g}"
    rounded = float(f"{amount:.2e}")
    power = math.floor(math.log10(abs(rounded)))
    return _scientific(rounded, power, 3) if power >= 4 else f"{amount:g}"


def doses(amounts: Iterable[float], unit: str) -> str:
    """Return several doses with their unit once: ``"1×10⁶, 3×10⁶ cells"``."""
    said = [dose(float(a), unit) for a in amounts]
    if not said or unit in ("", "1"):
        return ", ".join(said)
    end = f" {unit}"
    return ", ".join(s.removesuffix(end) for s in said) + end


def fixed(value: float, digits: int = 2) -> str:
    """Return a value to so many decimals, with a true minus: ``fixed(-0.237)`` is ``"−0.24"``."""
    if math.isnan(value):
        return MISSING
    text = f"{value:,.{digits}f}"
    return (text[1:] if float(text.replace(",", "")) == 0 and text[0] == "-" else text).replace(
        "-", "−"
    )


def chance(value: float, digits: int = 3) -> str:
    """Return a probability to so many decimals; never 0 or 1 where it is not: ``"<0.001"``.

    Examples
    --------
    >>> chance(0.25), chance(0.0), chance(0.0002), chance(0.99998)
    ('0.250', '0.000', '<0.001', '>0.999')
    """
    least = 10.0**-digits
    if 0 < value < least / 2:
        return f"<{least:.{digits}f}"
    if 1 - least / 2 < value < 1:
        return f">{1 - least:.{digits}f}"
    return fixed(value, digits)


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


def count(n: int, noun: str) -> str:
    """Return a count with its noun: ``"1 patient"``, ``"12 patients"``."""
    plural = {"study": "studies"}.get(noun, noun + "s")
    return f"{n:,} {noun if n == 1 else plural}"


def intervals(table: Any, lower: str = "lower", upper: str = "upper") -> list[str]:
    """Return the intervals of a table's rows as text, a dash where an end is not known."""
    ends = zip(table[lower], table[upper], strict=True)
    return [MISSING if math.isnan(a) or math.isnan(b) else interval(a, b) for a, b in ends]
