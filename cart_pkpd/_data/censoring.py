"""Values below the LLOQ, above the ULOQ, or known only to lie in an interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cart_pkpd._data.endpoints import Endpoints, resolve_key
from cart_pkpd._data.options import Limits, Options
from cart_pkpd._data.parse import (
    ABOVE,
    BELOW,
    NUMBER,
    BoolArray,
    FloatArray,
    IntArray,
    Text,
    read_column,
)
from cart_pkpd._data.records import UNSAID, Records, codes
from cart_pkpd._data.table import Table

_NO = frozenset(("0", "0.0", "n", "no", "false"))
_YES = frozenset(("1", "1.0", "y", "yes", "true"))


@dataclass(frozen=True)
class Marks:
    """What the CENS and BLQ columns say of each row: -1, 0, 1 or UNSAID."""

    cens: IntArray
    blq: IntArray

    @property
    def censored(self) -> BoolArray:
        """Rows marked as censored."""
        return (self.cens == 1) | (self.cens == -1) | (self.blq == 1)


@dataclass(frozen=True)
class Censored:
    """Values with their censoring, one entry per observation."""

    dv: FloatArray
    censoring: Text
    lloq: FloatArray
    uloq: FloatArray
    limit: FloatArray


def read_marks(table: Table) -> Marks:
    """Read the CENS and BLQ columns."""
    cens = codes(table, "CENS", (-1, 0, 1), "bad_cens")
    words = np.array([str(w).lower() for w in table.words("BLQ")], dtype=object)
    yes = np.array([w in _YES for w in words], dtype=bool)
    no = np.array([w in _NO for w in words], dtype=bool)
    table.flag(
        np.flatnonzero(~yes & ~no & (words != "")),
        "bad_blq",
        "BLQ",
        "BLQ is {value!r} ({place}). It can be 0 or 1.",
    )
    blq = np.where(yes, 1, np.where(no, 0, UNSAID))
    return Marks(cens, blq.astype(np.int64))


def resolve(
    table: Table,
    records: Records,
    marks: Marks,
    rows: IntArray,
    endpoints: Endpoints,
    factor: FloatArray,
    options: Options,
) -> Censored:
    """Return the value, limits and censoring of each of `rows` (positions in the table)."""
    kind = records.dv.kind[rows]
    with np.errstate(over="ignore"):
        value = records.dv.value[rows] * factor
    table.flag_too_large(rows[np.isinf(value)], "DV", "the endpoint's unit")
    lloq = _limit(table, "LLOQ", options.lloq, rows, endpoints, factor)
    uloq = _limit(table, "ULOQ", options.uloq, rows, endpoints, factor)
    with np.errstate(over="ignore"):
        edge = _positive_or_nothing(table, "LIMIT", rows, zero=True) * factor
    table.flag_too_large(rows[np.isinf(edge)], "LIMIT", "the endpoint's unit")
    _note_texts(table, rows, kind, value, factor)
    lloq = np.where((kind == BELOW) & np.isfinite(value), value, lloq)
    uloq = np.where((kind == ABOVE) & np.isfinite(value), value, uloq)
    cens, blq = marks.cens[rows], marks.blq[rows]
    left = (kind == BELOW) | (cens == 1) | (blq == 1)
    right = (kind == ABOVE) | (cens == -1)
    _check_marks(table, rows, kind, cens, blq)
    number = kind == NUMBER
    lloq = np.where((cens == 1) & number & (value > 0) & np.isnan(lloq), value, lloq)
    uloq = np.where((cens == -1) & number & (value > 0) & np.isnan(uloq), value, uloq)
    _check_limits(table, rows, lloq, uloq, left, right)
    _check_sides(table, rows, value, number, lloq, uloq, left, right)
    _note_marked(table, rows, np.where(number, value, np.nan), lloq, uloq, left, right)
    plain = number & ~left & ~right
    left |= plain & (value < lloq)
    right |= plain & (value > uloq)
    dv = np.select([left, right], [lloq, uloq], value)
    word = np.select([left, right], ["left", "right"], "none").astype(object)
    inner = (left | right) & np.isfinite(edge) & ((cens == 1) | (cens == -1) | (kind == BELOW))
    _check_edges(table, rows, dv, edge, left, inner)
    limit = np.where(inner, np.where(left, edge, uloq), np.nan)
    dv = np.where(inner & right, edge, dv)
    word[inner] = "interval"
    found = Censored(dv, word, lloq, uloq, limit)
    _note_counts(table, found, value, number, plain, endpoints)
    stated = number & (value > 0) & ((cens == 1) | (cens == -1))
    _guess_sides(table, rows, np.where(stated, value, np.nan), found.dv, word, endpoints)
    return found


def _guess_sides(
    table: Table,
    rows: IntArray,
    limit: FloatArray,
    value: FloatArray,
    word: Text,
    endpoints: Endpoints,
) -> None:
    """Say where a limit that only CENS gives lies on the wrong side of most of the values."""
    for e, name in enumerate(endpoints.names):
        mine = endpoints.code == e
        known = value[mine & (word == "none")]
        if not known.size:
            continue
        middle = float(np.median(known))
        for side, code, wrong in (
            ("right", "-1 (above a ULOQ)", limit < middle),
            ("left", "1 (below an LLOQ)", limit > middle),
        ):
            at = np.flatnonzero(mine & (word == side) & wrong)
            if at.size:
                table.log.guess(
                    f"{name}: CENS is {code} at {limit[at[0]]:g} in {table.lines(rows[at])}, "
                    f"although half of the quantified values are "
                    f"{'above' if side == 'right' else 'below'} {middle:g}; taken as it is written "
                    "(1 is below an LLOQ, -1 above a ULOQ)."
                )


def _limit(
    table: Table,
    role: str,
    given: Limits,
    rows: IntArray,
    endpoints: Endpoints,
    factor: FloatArray,
) -> FloatArray:
    """Return the limit of each record: from its column, else from the argument."""
    with np.errstate(over="ignore"):
        column = _positive_or_nothing(table, role, rows) * factor
    table.flag_too_large(rows[np.isinf(column)], role, "the endpoint's unit")
    argument = _from_argument(table, role.lower(), given, endpoints)
    return np.where(np.isnan(column), argument[endpoints.code], column)


def _positive_or_nothing(
    table: Table, role: str, rows: IntArray, *, zero: bool = False
) -> FloatArray:
    """Return a column of limits; 0 stands for no limit unless `zero` is a value of its own."""
    value = np.array(table.numbers(role).value[rows])
    table.flag(
        rows[value < 0],
        f"negative_{role.lower()}",
        role,
        f"{role} is negative: {{value}} ({{place}}). A level can not be below zero.",
    )
    none = (value < 0) | ((value == 0) & (not zero))
    if np.any(value[none] == 0):
        table.log.note(f"{role} is 0 in {np.sum(value == 0)} records: no limit there.")
    value[none] = np.nan
    return value


def _from_argument(table: Table, name: str, given: Limits, endpoints: Endpoints) -> FloatArray:
    limits = np.full(len(endpoints.names), np.nan)
    if given is None:
        return limits
    if isinstance(given, Mapping):
        for key, limit in given.items():
            endpoint = resolve_key(key, endpoints.names, f"{name}=", table.log)
            if endpoint is not None:
                limits[endpoints.names.index(endpoint)] = limit
        return limits
    if len(set(endpoints.units)) > 1:
        table.log.problem(
            "limit_for_which_endpoint",
            f"{name}={given} is one number for endpoints in different units "
            f"({', '.join(endpoints.names)}). Pass {name}={{{endpoints.names[0]!r}: {given}}}.",
            value=str(given),
        )
    return np.full(len(endpoints.names), float(given))


def _check_marks(
    table: Table, rows: IntArray, kind: IntArray, cens: IntArray, blq: IntArray
) -> None:
    table.flag(
        rows[((kind == BELOW) & (cens == -1)) | ((kind == ABOVE) & (cens == 1))],
        "cens_against_text",
        "DV",
        "DV {value!r} and CENS say opposite things ({place}). Correct one of them.",
    )
    against = (blq == 1) & ((cens == 0) | (cens == -1) | (kind == ABOVE))
    against |= (blq == 0) & ((cens == 1) | (kind == BELOW))
    table.flag(
        rows[against],
        "blq_contradiction",
        "BLQ",
        "BLQ is {value}, which CENS or DV contradicts ({place}). Correct one of them.",
    )


def _check_limits(
    table: Table,
    rows: IntArray,
    lloq: FloatArray,
    uloq: FloatArray,
    left: BoolArray,
    right: BoolArray,
) -> None:
    ok = ~table.bad[rows]
    table.flag(
        rows[left & np.isnan(lloq) & ok],
        "blq_without_lloq",
        "DV",
        "the value is below the LLOQ, which is not given ({place}, {value!r}). "
        "Give it in an LLOQ column or as lloq=.",
    )
    table.flag(
        rows[right & np.isnan(uloq) & ok],
        "above_without_uloq",
        "DV",
        "the value is above the ULOQ, which is not given ({place}, {value!r}). "
        "Give it in a ULOQ column or as uloq=.",
    )
    for k in np.flatnonzero((lloq >= uloq) & ok):
        table.flag(
            [rows[k]],
            "lloq_above_uloq",
            "LLOQ",
            f"the LLOQ {lloq[k]:g} is not below the ULOQ {uloq[k]:g} ({{place}}). "
            "Correct the limits.",
        )


def _check_sides(
    table: Table,
    rows: IntArray,
    value: FloatArray,
    number: BoolArray,
    lloq: FloatArray,
    uloq: FloatArray,
    left: BoolArray,
    right: BoolArray,
) -> None:
    ok = number & ~table.bad[rows]
    for k in np.flatnonzero(ok & left & (value > lloq)):
        table.flag(
            [rows[k]],
            "censored_above_lloq",
            "DV",
            f"the value {{value}} is marked as below the LLOQ, but lies above it ({lloq[k]:g}; "
            "{place}). Correct DV, the mark or the LLOQ.",
        )
    for k in np.flatnonzero(ok & right & (value < uloq)):
        table.flag(
            [rows[k]],
            "censored_below_uloq",
            "DV",
            f"the value {{value}} is marked as above the ULOQ, but lies below it ({uloq[k]:g}; "
            "{place}). Correct DV, the mark or the ULOQ.",
        )


def _note_texts(
    table: Table, rows: IntArray, kind: IntArray, value: FloatArray, factor: FloatArray
) -> None:
    """Note texts such as ``<20`` whose limit is not the one in the record's own column."""
    for side, role in ((BELOW, "LLOQ"), (ABOVE, "ULOQ")):
        if not table.has(role):
            continue
        column = read_column(table.text[role][rows], table.decimal, table.missing).value * factor
        differ = (kind == side) & (column > 0) & np.isfinite(value) & ~np.isclose(value, column)
        for at in np.flatnonzero(differ)[:1]:
            table.log.note(
                f"{table.columns.header['DV']} and {table.columns.header[role]} give different "
                f"{role}s in {table.lines(rows[differ])}: {table.cell('DV', rows[at])!r} beside "
                f"{table.cell(role, rows[at])} in the first. The one written with the value was "
                "used; correct the other."
            )


def _note_marked(
    table: Table,
    rows: IntArray,
    value: FloatArray,
    lloq: FloatArray,
    uloq: FloatArray,
    left: BoolArray,
    right: BoolArray,
) -> None:
    """Note numbers of censored records that are not the limit, and give way to it."""
    low = left & (value > 0) & (value < lloq) & ~np.isclose(value, lloq)
    high = right & (value > uloq) & ~np.isclose(value, uloq)
    for differ, limit, role in ((low, lloq, "LLOQ"), (high, uloq, "ULOQ")):
        for at in np.flatnonzero(differ)[:1]:
            table.log.note(
                f"{table.columns.header['DV']} is not the {role} in {table.lines(rows[differ])} "
                f"marked as {'below' if role == 'LLOQ' else 'above'} it: {value[at]:g} beside "
                f"{limit[at]:g} in the first. The {role} was used as the limit; if "
                f"{table.columns.header['DV']} is the limit, correct the {role}."
            )


def _check_edges(
    table: Table,
    rows: IntArray,
    dv: FloatArray,
    edge: FloatArray,
    left: BoolArray,
    inner: BoolArray,
) -> None:
    wrong = inner & ~table.bad[rows] & np.where(left, edge >= dv, edge <= dv)
    for k in np.flatnonzero(wrong):
        side = "below" if left[k] else "above"
        table.flag(
            [rows[k]],
            "limit_on_wrong_side",
            "LIMIT",
            f"LIMIT {{value}} must lie {side} the censored value {dv[k]:g} ({{place}}). "
            "LIMIT is the other edge of the interval.",
        )


def _note_counts(
    table: Table,
    found: Censored,
    value: FloatArray,
    number: BoolArray,
    plain: BoolArray,
    endpoints: Endpoints,
) -> None:
    for e, name in enumerate(endpoints.names):
        mine = endpoints.code == e
        below = int(np.sum(mine & plain & (found.censoring == "left")))
        above = int(np.sum(mine & plain & (found.censoring == "right")))
        zero = int(np.sum(mine & (found.censoring == "none") & (value == 0)))
        if below:
            table.log.note(f"{name}: {below} values lie below their LLOQ; set to left-censored.")
        if above:
            table.log.note(f"{name}: {above} values lie above their ULOQ; set to right-censored.")
        if zero:
            table.log.note(
                f"{name}: {zero} values are 0 and there is no LLOQ; they stay 0. If they mean "
                f"not detected, pass lloq={{{name!r}: …}}."
            )
