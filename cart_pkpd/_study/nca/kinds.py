"""Kinds of options: how each is written as a flag, and what it must be in TOML.

A flag is turned into the value that stands for it in TOML, so that both are checked by the same
function. Checks return a clean value or raise a ValueError that continues ``--flag text: …``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cart_pkpd._core.validate import did_you_mean


@dataclass(frozen=True)
class Kind:
    """What a value may be.

    Attributes
    ----------
    metavar : str
        What the help shows in place of the value.
    gather : callable
        From the texts of the flag, in order, to the value as TOML holds it.
    check : callable
        From the TOML value to a clean one.
    repeat : bool
        Whether the flag may be given several times; otherwise the last one counts.
    switch : bool
        Whether the flag takes no value.
    choices : tuple of str
        The words that are allowed, where only these are.
    """

    metavar: str
    gather: Callable[[Sequence[str]], Any]
    check: Callable[[Any], Any]
    repeat: bool = False
    switch: bool = False
    choices: tuple[str, ...] = ()


# --- from the texts of a flag -----------------------------------------------------------------


def _last(texts: Sequence[str]) -> str:
    return texts[-1]


def _number_of(text: str) -> float | str:
    """Return a number where the text is one; the check says what is wrong with another."""
    try:
        return float(text)
    except ValueError:
        return text


def _whole_of(text: str) -> float | int | str:
    found = _number_of(text)
    return int(found) if isinstance(found, float) and found.is_integer() else found


def _pair_of(text: str) -> list[Any]:
    return [_number_of(part) for part in text.split(":")]


def _items(texts: Sequence[str]) -> list[str]:
    return [part.strip() for text in texts for part in text.split(",") if part.strip()]


def _assigned(texts: Sequence[str], form: str, *, first: bool = False) -> dict[str, str]:
    """Return ``NAME=VALUE`` texts as a mapping, split at the first or the last equals sign."""
    found: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=") if first else text.rpartition("=")
        if not sign or not name.strip():
            raise ValueError(f"should be written {form}.")
        if name.strip() in found:
            raise ValueError(f"gives {name.strip()!r} twice.")
        found[name.strip()] = value.strip()
    return found


# --- checks of TOML values --------------------------------------------------------------------


def _should(wanted: str) -> ValueError:
    return ValueError(f"should be {wanted}.")


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _should("text")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise _should("a number")
    return float(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _should("a whole number")
    return value


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _should("true or false, without quotes")
    return value


def _pair(value: Any) -> list[float]:
    wrong = _should("two days, the first and the last, such as 10:28 ([10, 28] in TOML)")
    if not isinstance(value, list) or len(value) != 2:
        raise wrong
    try:
        return [_number(value[0]), _number(value[1])]
    except ValueError:
        raise wrong from None


def window(value: Any) -> list[float]:
    """Return the first and the last day of an area."""
    wrong = ValueError("write the first and the last day, such as 0:28 ([0, 28] in TOML).")
    try:
        first, last = _pair(value)
    except ValueError:
        raise wrong from None
    if not 0 <= first < last < math.inf:
        raise wrong
    return [first, last]


def _list_of(check: Callable[[Any], Any], wanted: str) -> Callable[[Any], list[Any]]:
    def checked(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise _should(wanted)
        return [check(item) for item in value]

    return checked


def _table_of(check: Callable[[Any], Any], wanted: str) -> Callable[[Any], dict[str, Any]]:
    def checked(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise _should(wanted)
        return {str(key): check(item) for key, item in value.items()}

    return checked


def _either(
    single: Callable[[Any], Any], table: Callable[[Any], dict[str, Any]]
) -> Callable[[Any], Any]:
    """Check one value for all, or a table of them."""
    return lambda value: table(value) if isinstance(value, Mapping) else single(value)


# --- the kinds --------------------------------------------------------------------------------

TEXT = Kind("TEXT", _last, _text)
NUMBER = Kind("NUMBER", lambda texts: _number_of(texts[-1]), _number)
WHOLE = Kind("N", lambda texts: _whole_of(texts[-1]), _whole)
SWITCH = Kind("", _last, _switch, switch=True)
PAIR = Kind("DAY:DAY", lambda texts: _pair_of(texts[-1]), _pair)
WINDOWS = Kind(
    "DAY:DAY",
    lambda texts: [_pair_of(text) for text in texts],
    _list_of(window, "a list of windows, such as [[0, 28]]"),
    repeat=True,
)
NAMES = Kind("NAME", _items, _list_of(_text, 'a list of texts, such as ["a", "b"]'), repeat=True)
TEXTS = Kind("TEXT", list, _list_of(_text, 'a list of texts, such as ["a", "b"]'), repeat=True)


def choice(options: Sequence[str], *, spelling: Callable[[str], str] = str) -> Kind:
    """Return the kind of one of a few words."""

    def check(value: Any) -> str:
        if isinstance(value, str) and spelling(value) in options:
            return spelling(value)
        hint = did_you_mean(str(value), options)
        raise ValueError(f"is not known.{hint} Known: {', '.join(options)}.")

    return Kind("WORD", _last, check, choices=tuple(options))


def assignments(metavar: str, check: Callable[[Any], Any] = _text, *, first: bool = False) -> Kind:
    """Return the kind of a table of texts, one ``NAME=VALUE`` per flag."""
    table = _table_of(check, f"a table of {metavar.replace('=', ' = ')}")
    return Kind(metavar, lambda texts: _assigned(texts, metavar, first=first), table, repeat=True)


def _maybe_blank(value: Any) -> str:
    return value if isinstance(value, str) and not value.strip() else _text(value)


HEADERS = assignments("ROLE=HEADER", _maybe_blank, first=True)
UNITS = assignments("ENDPOINT=UNIT")


def _one_or_table(texts: Sequence[str]) -> Any:
    """Return one text for all, or a table of NAME=VALUE; not both."""
    if len(texts) == 1 and "=" not in texts[0]:
        return texts[0].strip()
    return _assigned(texts, "as one for all, or one per endpoint with NAME=VALUE")


def _limits(texts: Sequence[str]) -> Any:
    found = _one_or_table(texts)
    if isinstance(found, dict):
        return {name: _number_of(value) for name, value in found.items()}
    return _number_of(found)


def _limit(value: Any) -> float:
    if not 0 < _number(value) < math.inf:
        raise ValueError("the limit must be above 0.")
    return float(value)


LIMITS = Kind(
    "[ENDPOINT=]NUMBER", _limits, _either(_limit, _table_of(_limit, "a table")), repeat=True
)
RENAMED = Kind(
    "[VALUE=]ENDPOINT", _one_or_table, _either(_text, _table_of(_text, "a table")), repeat=True
)


def _times_of(texts: Sequence[str]) -> dict[str, list[Any]]:
    if texts[-1].strip().lower() == "none":
        return {}
    found = _assigned(texts, "PATIENT=DAY,DAY,…")
    return {name: [_number_of(part) for part in days.split(",")] for name, days in found.items()}


def _days(value: Any) -> list[float]:
    if not isinstance(value, list) or not value:
        raise _should("days by patient, such as P01=3,7,14 (P01 = [3, 7, 14] in TOML)")
    try:
        return [_number(item) for item in value]
    except ValueError:
        raise _should("days by patient, such as P01=3,7,14 (P01 = [3, 7, 14] in TOML)") from None


TIMES = Kind(
    "PATIENT=DAY,DAY,…", _times_of, _table_of(_days, "a table of days by patient"), repeat=True
)


def _visits_of(texts: Sequence[str]) -> dict[str, list[Any]]:
    if texts[-1].strip().lower() == "none":
        return {}
    return {name: _pair_of(days) for name, days in _assigned(texts, "NAME=DAY:DAY:DAY").items()}


def _visit(value: Any) -> list[float]:
    wrong = _should("its target, first and last day, such as m3=91:77:105 (m3 = [91, 77, 105])")
    if not isinstance(value, list) or len(value) != 3:
        raise wrong
    try:
        return [_number(item) for item in value]
    except ValueError:
        raise wrong from None


VISITS = Kind("NAME=DAY:DAY:DAY", _visits_of, _table_of(_visit, "a table of visits"), repeat=True)


def _blq_of(texts: Sequence[str]) -> Any:
    parts = [part for text in texts for part in text.split(",") if part.strip()]
    if len(parts) == 1 and "=" not in parts[0]:
        return _number_of(parts[0].strip())
    return {name: _number_of(value) for name, value in _assigned(parts, "PLACE=RULE").items()}


def _blq_rule(value: Any) -> str | float:
    if isinstance(value, str):
        return value
    try:
        return _number(value)
    except ValueError:
        raise _should("keep, drop, a number, or a multiple of the LLOQ such as 0.5lloq") from None


def _blq(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return _blq_rule(value)
    sides = [name for name in value if name in ("before_tmax", "after_tmax")]
    places = [name for name in value if name in ("first", "middle", "last")]
    if sides and places:
        raise ValueError(
            f"mixes {places[0]!r} with {sides[0]!r}: give first, middle and last, or else "
            "before_tmax and after_tmax."
        )
    return {str(name): _blq_rule(rule) for name, rule in value.items()}


BLQ = Kind("RULE", _blq_of, _blq, repeat=True)
