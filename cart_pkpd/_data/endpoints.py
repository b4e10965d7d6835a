"""Which endpoint a record belongs to, and in which unit its value becomes part of the trial."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cart_pkpd._core.errors import UnitError
from cart_pkpd._core.names import ENDPOINTS, normalise, recognise
from cart_pkpd._core.units import canonical, conversion_factor, exponents
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd._data.columns import snake
from cart_pkpd._data.log import Log
from cart_pkpd._data.options import Options
from cart_pkpd._data.parse import CONVERTED, FloatArray, IntArray, Text
from cart_pkpd._data.table import Table


@dataclass(frozen=True)
class Endpoints:
    """The endpoints of a table.

    Attributes
    ----------
    names, units : list of str
        Endpoints in order of first appearance, and the unit of each ("" where unknown).
    code : array of int
        Index into `names`, per observation.
    """

    names: list[str]
    units: list[str]
    code: IntArray


def canonical_name(text: str) -> str:
    """Return the name an endpoint has in the Dataset: known, or lower snake case."""
    name = recognise(text) or snake(text)
    return recognise(name) or name


def name_endpoints(table: Table, rows: IntArray, options: Options) -> tuple[list[str], IntArray]:
    """Return the endpoints' names, and the index of each of `rows` (-1 with a problem)."""
    role, words = _words(table, rows, options)
    if role != "CMT" and table.has("CMT"):
        table.columns.set_aside("CMT", "does not tell endpoints apart")
    if role is None:
        return _single(table, rows, options)
    mapping = _mapping(table, role, words, options)
    table.flag(
        rows[words == ""],
        "missing_endpoint",
        role,
        "the record does not say which endpoint it is of ({place}). Fill the column.",
    )
    codes, texts = pd.factorize(words)
    names = [_name(table, rows, words, role, str(t), mapping) for t in texts]
    _check_merged(table, role, [str(t) for t in texts], names, mapping)
    renamed = [f"{t!r} is {n}" for t, n in zip(texts, names, strict=True) if n and n != t]
    if renamed:
        table.log.note(f"Endpoints renamed: {', '.join(renamed)}.")
    order = {name: i for i, name in enumerate(dict.fromkeys(n for n in names if n))}
    lookup = np.array([order.get(n, -1) for n in names], dtype=np.int64)
    return list(order), lookup[codes] if names else codes.astype(np.int64)


def _words(table: Table, rows: IntArray, options: Options) -> tuple[str | None, Text]:
    """Return the role of the column that tells endpoints apart, and its words."""
    none = np.full(rows.size, "", dtype=object)
    for role in ("DVID", "CMT"):
        words = np.array([_plain(str(w)) for w in table.words(role)[rows]], dtype=object)
        different = {str(w) for w in words} - {""}
        if not table.has(role) or not different:
            continue
        if role == "CMT":
            if len(different) < 2:
                continue
            table.log.guess("CMT tells the endpoints apart; columns={'CMT': None} says otherwise.")
        number = len(different) == 1 and next(iter(different)).isdigit()
        if number and not isinstance(options.endpoints, Mapping):
            continue
        return role, words
    return None, none


def _plain(word: str) -> str:
    """Return ``"1"`` for ``"1.0"``, as in a column of numbers with gaps."""
    return word[:-2] if re.fullmatch(r"\d+\.0", word) else word


def _single(table: Table, rows: IntArray, options: Options) -> tuple[list[str], IntArray]:
    if isinstance(options.endpoints, str):
        name = canonical_name(options.endpoints)
    elif options.endpoints:
        raise table.log.fatal(
            "no_endpoint_column",
            "endpoints= maps several names, but the table has no column that tells endpoints "
            "apart. Name it with columns={'DVID': …}, or pass endpoints='transgene'.",
        )
    else:
        name = "transgene"
        table.log.guess("All values are of the endpoint 'transgene'; endpoints= says otherwise.")
    return [name], np.zeros(rows.size, dtype=np.int64)


def _mapping(table: Table, role: str, words: Text, options: Options) -> dict[str, str]:
    given = options.endpoints
    known = list(dict.fromkeys(str(w) for w in words if w))
    column = table.columns.header[role]
    if isinstance(given, str):
        if len(known) == 1:
            return {known[0]: given}
        raise table.log.fatal(
            "endpoints_not_a_mapping",
            f"endpoints={given!r} names one endpoint, but column {column} has "
            f"{len(known)}: {', '.join(known)}. Pass endpoints={{{known[0]!r}: {given!r}}}.",
            column=column,
        )
    mapping = {str(k): v for k, v in (given or {}).items()}
    for source in mapping:
        if source not in known:
            table.log.problem(
                "endpoint_not_in_table",
                f"endpoints= names {source!r}, which no observation in column {column} has."
                f"{did_you_mean(source, known)} There are: {', '.join(known)}.",
                column=column,
                value=source,
            )
    return mapping


def _name(
    table: Table, rows: IntArray, words: Text, role: str, text: str, mapping: Mapping[str, str]
) -> str:
    if text == "":
        return ""
    first = rows[np.flatnonzero(words == text)[:1]]
    if text not in mapping and re.fullmatch(r"[+-]?[\d.]+", text):
        table.flag(
            first,
            "endpoint_number",
            role,
            "the endpoint is only a number, {value} ({place}). "
            "Say what it is: endpoints={{{value}: 'transgene'}}. Limits and units then go by that "
            "name: lloq={{'transgene': 50}}.",
        )
        return ""
    if text not in mapping and CONVERTED.fullmatch(text):
        table.flag(
            first,
            "converted_endpoint",
            role,
            "the endpoint {value!r} looks like a date that a spreadsheet made of a name such as "
            "MARCH1 ({place}). Name it with endpoints={{{value!r}: 'transgene'}}.",
        )
        return ""
    name = canonical_name(mapping.get(text, text))
    if not re.search(r"[^\W\d_]", name):
        table.flag(
            first,
            "endpoint_without_letters",
            role,
            "the endpoint {value!r} has no letters to name it by ({place}). "
            "Name it with endpoints={{{value!r}: 'transgene'}}.",
        )
        return ""
    return name


def _check_merged(
    table: Table, role: str, texts: list[str], names: list[str], mapping: Mapping[str, str]
) -> None:
    """Two names of one endpoint may be two assays: merge them only if the user says so."""
    for name in dict.fromkeys(n for n in names if n):
        same = [t for t, n in zip(texts, names, strict=True) if n == name]
        if len({normalise(t) for t in same}) > 1 and not all(t in mapping for t in same):
            words = " and ".join(repr(t) for t in same)
            table.log.problem(
                "endpoints_merged",
                f"{words} in column {table.columns.header[role]} would both be the endpoint "
                f"{name!r}. Name them with endpoints={{{same[0]!r}: …, {same[1]!r}: …}}.",
                column=table.columns.header[role],
                value=same[1],
            )


def resolve_key(key: str, names: Iterable[str], what: str, log: Log) -> str | None:
    """Return the endpoint that an argument such as ``lloq={"IL-6": 2}`` means."""
    known = list(names)
    key = str(key)
    for candidate in (key, canonical_name(key)):
        if candidate in known:
            return candidate
    if not known:  # no endpoint could be named, which is a problem of its own
        return None
    log.problem(
        "unknown_endpoint_argument",
        f"{what} names the endpoint {key!r}, which the table does not have."
        f"{did_you_mean(key, known)} It has: {', '.join(known)}.",
        value=key,
    )
    return None


def find_units(
    table: Table, rows: IntArray, names: list[str], code: IntArray, options: Options
) -> tuple[list[str], FloatArray]:
    """Return the unit of each endpoint, and the factor that brings each record into it."""
    asked = {
        name: canonical(unit)
        for key, unit in (options.units or {}).items()
        if (name := resolve_key(key, names, "units=", table.log))
    }
    words = table.words("UNIT")[rows]
    factor = np.ones(rows.size)
    units: list[str] = []
    for e, name in enumerate(names):
        at = np.flatnonzero(code == e)
        given = _given_units(table, rows[at], words[at])
        target = asked.get(name) or _default_unit(table, name, given, len(names))
        units.append(target)
        for word, unit in given.items():
            factor[at[words[at] == word]] = _factor(table, rows[at], words[at], word, unit, target)
        _note_units(table, name, given, target, int(np.sum(words[at] == "")))
    return units, factor


def _given_units(table: Table, rows: IntArray, words: Text) -> dict[str, str]:
    """Return word -> canonical unit for the words of a UNIT column; report unknown ones."""
    given: dict[str, str] = {}
    for word in (str(w) for w in pd.unique(words) if w):
        try:
            given[word] = canonical(word)
        except UnitError as error:
            table.flag(
                rows[np.flatnonzero(words == word)[:1]],
                "unknown_unit",
                "UNIT",
                "{error} ({place})",
                error=str(error).rstrip("."),
            )
    return given


def _default_unit(table: Table, name: str, given: Mapping[str, str], n_endpoints: int) -> str:
    header = table.columns.unit("DV") if n_endpoints == 1 else None
    if given:
        return next(iter(given.values()))
    if header:
        return header
    if name in ENDPOINTS:
        unit = ENDPOINTS[name].unit
        table.log.guess(f"{name} is in {unit}, its usual unit; units= says otherwise.")
        return unit
    table.log.note(f"The unit of {name} is not known; give it with units={{{name!r}: …}}.")
    return ""


def _factor(table: Table, rows: IntArray, words: Text, word: str, unit: str, target: str) -> float:
    try:
        return conversion_factor(unit, target)
    except UnitError as error:
        table.flag(
            rows[np.flatnonzero(words == word)[:1]],
            "unit_of_another_kind",
            "UNIT",
            "{error} ({place})",
            error=str(error).rstrip("."),
        )
        return 1.0


def _note_units(table: Table, name: str, given: Mapping[str, str], target: str, gaps: int) -> None:
    converted = [word for word, unit in given.items() if unit != target]
    if converted:
        table.log.note(f"{name}: values in {', '.join(converted)} were converted to {target}.")
    if given and gaps:
        table.log.note(f"{name}: {gaps} records have no unit; they are taken to be in {target}.")
    usual = ENDPOINTS[name].unit if name in ENDPOINTS else target
    if target and exponents(usual) != exponents(target):
        table.log.note(f"{name} is in {target}; it is usually measured in {usual}.")
