"""How long each dose takes: from the length of the infusion, or from its rate."""

from __future__ import annotations

import numpy as np

from cart_pkpd._core.errors import UnitError
from cart_pkpd._core.units import canonical, conversion_factor, convert
from cart_pkpd._data.parse import NONE, NUMBER, FloatArray, IntArray, Numbers
from cart_pkpd._data.records import OBSERVATION, OTHER, Records
from cart_pkpd._data.table import Table

_LONGEST = 1.0
"""Days; cells are infused within hours, so a longer infusion is pointed out."""

_AGREE = 0.01
"""Two lengths of one infusion may differ by this share: tables round both."""

_ROLES = ("DURATION", "RATE")


def has_lengths(table: Table) -> bool:
    """Say whether the table has a column for the length or the rate of infusions."""
    return any(table.has(role) for role in _ROLES)


def lengths(
    table: Table, records: Records, rows: IntArray, time_unit: str, amount_unit: str
) -> FloatArray:
    """Return how long the doses at `rows` (positions) take [day], 0 for a bolus.

    Contradictions are reported and their rows set aside; the other rows of the table are
    checked to hold no length.
    """
    duration, rate = (table.numbers(role) for role in _ROLES)
    for role, found in zip(_ROLES, (duration, rate), strict=True):
        _check_others(table, records, role, found)
    _check_signs(table, rows[~table.bad[rows]], duration, rate)
    by_length = duration.value * _days_of_duration(table, time_unit)
    by_rate = _by_rate(table, records.amount.value, rate, time_unit, amount_unit)
    _check_agreement(table, rows[~table.bad[rows]], by_length, by_rate)
    days = np.where(np.isnan(by_length), np.nan_to_num(by_rate), by_length)
    _note_lengths(table, rows[~table.bad[rows]], days)
    return days[rows]


def _check_others(table: Table, records: Records, role: str, found: Numbers) -> None:
    """Refuse a length where nothing is given; list those of other events."""
    given = (found.kind == NUMBER) & (found.value != 0) & ~table.bad
    observation = given & (records.kind == OBSERVATION)
    empty = observation & (records.dv.kind == NONE)
    table.flag(
        np.flatnonzero(empty),
        "infusion_without_amount",
        role,
        "{column} is {value} in a record without an amount ({place}). Give AMT if it is a dose, or "
        "clear {column}.",
        column=table.columns.header.get(role, role),
    )
    table.flag(
        np.flatnonzero(observation & ~empty),
        "infusion_on_observation",
        role,
        "{column} is {value} on an observation record ({place}), but only a dose can take time. "
        "Clear it there, or pass columns={{{name!r}: None}} if it is not about infusions.",
        column=table.columns.header.get(role, role),
        name=role,
    )
    other = given & (records.kind == OTHER)
    table.exclude(np.flatnonzero(other), role, "length of another event; only doses have one")


def _check_signs(table: Table, rows: IntArray, duration: Numbers, rate: Numbers) -> None:
    table.flag(
        rows[rate.value[rows] < 0],
        "modelled_rate",
        "RATE",
        "RATE is {value} ({place}): a negative rate asks NONMEM to estimate the rate or the length "
        "of the infusion, which is not supported. Give the length in DUR and clear RATE.",
    )
    table.flag(
        rows[(duration.value[rows] < 0) & ~table.bad[rows]],
        "negative_duration",
        "DURATION",
        "the length of the infusion is negative: {value} ({place}). Give the time from its start "
        "to its end, or 0 for a bolus.",
    )


def _days_of_duration(table: Table, time_unit: str) -> float:
    """Return the days in one unit of the length: that of its header, or else of the times."""
    unit = table.columns.unit("DURATION") or time_unit
    try:
        return conversion_factor(unit, "day")
    except UnitError:
        column = table.columns.header["DURATION"]
        raise table.log.fatal(
            "duration_unit",
            f"the header {column!r} gives the length of infusions in {unit!r}, which is not a unit "
            "of time. Give it in the unit of the times.",
            column=column,
        ) from None


def _by_rate(
    table: Table, amount: FloatArray, rate: Numbers, time_unit: str, amount_unit: str
) -> FloatArray:
    """Return amount over rate [day], 0 where the rate is 0, NaN where it is not given."""
    each = rate.value * _rate_factor(table, time_unit, amount_unit)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(each == 0, 0.0, convert(amount / each, time_unit, "day"))


def _rate_factor(table: Table, time_unit: str, amount_unit: str) -> float:
    """Return what brings rates from the unit of their header to amounts per unit of time."""
    unit = table.columns.unit("RATE")
    if unit is None:
        return 1.0
    try:
        return conversion_factor(unit, f"{canonical(amount_unit)}/{time_unit}")
    except UnitError:
        column = table.columns.header["RATE"]
        raise table.log.fatal(
            "rate_unit",
            f"the header {column!r} gives rates in {unit!r}, which does not fit amounts in "
            f"{amount_unit!r}. Give amounts per unit of time, or the length in DUR.",
            column=column,
        ) from None


def _check_agreement(
    table: Table, rows: IntArray, by_length: FloatArray, by_rate: FloatArray
) -> None:
    first, second = by_length[rows], by_rate[rows]
    apart = np.abs(first - second) > _AGREE * np.maximum(first, second)
    for i in rows[apart]:
        table.flag(
            [i],
            "duration_against_rate",
            "DURATION",
            "the infusion takes {one:.4g} days by its length {value}, but {other:.4g} days by "
            "RATE {rate} and its amount ({place}). Correct one of them, or clear it.",
            one=by_length[i],
            other=by_rate[i],
            rate=table.cell("RATE", i),
        )


def _note_lengths(table: Table, rows: IntArray, days: FloatArray) -> None:
    taken = rows[days[rows] > 0]
    if taken.size:
        low, high = (f"{f(days[taken]):.4g}" for f in (np.min, np.max))
        span = low if low == high else f"{low} to {high}"
        table.log.note(f"{taken.size} of {rows.size} dose records are infusions of {span} days.")
    long = taken[days[taken] > _LONGEST]
    if long.size:
        table.log.guess(
            f"Infusions longer than a day in {table.lines(long)}; if they are shorter, the lengths "
            "or rates are not in the unit of the times."
        )
