"""What each row is: an observation, a dose, another event, or nothing that is used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cart_pkpd._data.parse import (
    ABOVE,
    BELOW,
    NONE,
    NUMBER,
    BoolArray,
    IntArray,
    Numbers,
    read_column,
    read_value,
)
from cart_pkpd._data.table import Table

OBSERVATION, DOSE, OTHER, RESET = range(4)
UNSAID = -9

COMEDICATION = {
    "toci": "tocilizumab", "tcz": "tocilizumab", "tocilizumab": "tocilizumab",
    "steroid": "steroid", "steroids": "steroid", "corticosteroid": "steroid",
    "corticosteroids": "steroid", "dexamethasone": "dexamethasone",
    "methylprednisolone": "methylprednisolone", "anakinra": "anakinra",
    "siltuximab": "siltuximab", "cyclophosphamide": "cyclophosphamide",
    "fludarabine": "fludarabine",
}  # fmt: skip


@dataclass(frozen=True)
class Records:
    """The columns that say what a row is, one entry per row.

    Attributes
    ----------
    kind : array of int
        OBSERVATION, DOSE, OTHER or RESET.
    restart : array of bool
        Rows with EVID 3 or 4, where NONMEM lets the clock begin again.
    mdv : array of int
        0, 1 or UNSAID.
    dv, amount : Numbers
        Values and amounts as they stand in the file.
    """

    kind: IntArray
    restart: BoolArray
    mdv: IntArray
    dv: Numbers
    amount: Numbers


def classify(table: Table) -> Records:
    """Say of every row what it is; contradictions are reported."""
    _use_result_text(table)
    evid = codes(table, "EVID", (0, 1, 2, 3, 4), "bad_evid")
    mdv = codes(table, "MDV", (0, 1), "bad_mdv")
    amount = table.numbers("AMT")
    dv = _values(table)
    given = (amount.kind == NUMBER) & (amount.value > 0)
    kind = np.select(
        [np.isin(evid, (1, 4)), evid == 2, evid == 3, (evid == UNSAID) & given],
        [DOSE, OTHER, RESET, DOSE],
        OBSERVATION,
    ).astype(np.int64)
    _check_amounts(table, amount, evid, kind)
    both = (evid == UNSAID) & given & (dv.kind != NONE) & (mdv != 1)
    table.flag(
        np.flatnonzero(both & ~table.bad),
        "amount_and_value",
        "AMT",
        "{place} has an amount ({value}) and a value in the same row. "
        "Split it into a dose record and an observation, or add EVID.",
    )
    return Records(kind, np.isin(evid, (3, 4)), mdv, dv, amount)


def codes(table: Table, role: str, allowed: tuple[int, ...], code: str) -> IntArray:
    """Return a column of codes as whole numbers, UNSAID where missing."""
    found = table.numbers(role)
    known = (found.kind == NUMBER) & np.isin(found.value, allowed)
    options = ", ".join(str(a) for a in allowed[:-1]) + f" or {allowed[-1]}"
    table.flag(
        np.flatnonzero((found.kind == NUMBER) & ~known),
        code,
        role,
        f"{role} is {{value}} ({{place}}). It can be {options}.",
    )
    return np.where(known, found.value, UNSAID).astype(np.int64)


def _use_result_text(table: Table) -> None:
    """Take the character result (AVALC) where the numeric one is missing and it says more."""
    if not table.has("DVTEXT"):
        return
    text = table.text.pop("DVTEXT")
    said = read_column(text, table.decimal, table.missing, read_value).kind
    empty = read_column(table.text["DV"], table.decimal, table.missing, read_value).missing
    use = empty & np.isin(said, (NUMBER, BELOW, ABOVE))
    table.text["DV"] = np.where(use, text, table.text["DV"])
    if use.any():
        names = table.columns.header["DVTEXT"], table.columns.header["DV"]
        table.log.note(f"{names[0]} was read in {use.sum()} records where {names[1]} is missing.")


def _values(table: Table) -> Numbers:
    found = read_column(table.text["DV"], table.decimal, table.missing, read_value)
    words = found.bad & np.isin(found.problem, ("text", "date", "clock"))
    table.flag(
        np.flatnonzero(words),
        "text_in_dv",
        "DV",
        "{value!r} is not a value ({place}). Give a number, '.' for missing "
        "(or missing=[{value!r}] if it stands for that), "
        "or BLQ, <LLOQ, <50, >1500 for censored values.",
    )
    rest = np.where(words, NONE, found.kind)
    table.flag_bad_numbers("DV", Numbers(rest, found.value, found.problem))
    return found


def _check_amounts(table: Table, amount: Numbers, evid: IntArray, kind: IntArray) -> None:
    number = amount.kind == NUMBER
    negative = number & (amount.value < 0)
    table.flag(
        np.flatnonzero(negative),
        "negative_amount",
        "AMT",
        "the amount is negative: {value} ({place}). Give the cells infused.",
    )
    ok = ~table.bad
    without = (kind == DOSE) & (~number | (amount.value == 0))
    table.flag(
        np.flatnonzero(without & ok),
        "dose_without_amount",
        "AMT",
        "a dose record has no amount ({place}). Give AMT, or set EVID to 0.",
    )
    table.flag(
        np.flatnonzero((evid == 0) & number & (amount.value > 0) & ok),
        "amount_on_observation",
        "AMT",
        "an observation record (EVID 0) has the amount {value} ({place}). "
        "Set EVID to 1 for a dose, or clear AMT.",
    )


def usable_observations(table: Table, records: Records, censored: BoolArray) -> IntArray:
    """Return the positions of the observations that count; list the others with the reason.

    `censored` marks the rows whose CENS or BLQ column says that the value is censored,
    so that a missing DV there still means something.
    """
    observation = (records.kind == OBSERVATION) & ~table.bad
    unused = observation & (records.mdv == 1)
    empty = observation & ~unused & (records.dv.kind == NONE) & ~censored
    table.exclude(np.flatnonzero(unused), "DV", "MDV is 1")
    table.exclude(np.flatnonzero(empty & (records.mdv != 0)), "DV", "DV is missing")
    table.flag(
        np.flatnonzero(empty & (records.mdv == 0)),
        "value_missing",
        "DV",
        "the value is missing although MDV is 0 ({place}). Give DV, or set MDV to 1.",
    )
    negative = observation & ~unused & (records.dv.kind == NUMBER) & (records.dv.value < 0)
    table.flag(
        np.flatnonzero(negative),
        "negative_value",
        "DV",
        "the value is negative: {value} ({place}). If it means missing, pass missing=['{value}']; "
        "if it is below the LLOQ, write BLQ.",
    )
    _list_other_rows(table, records)
    return np.flatnonzero(observation & ~unused & ~empty & ~table.bad)


def _list_other_rows(table: Table, records: Records) -> None:
    reset = np.flatnonzero((records.kind == RESET) & ~table.bad)
    table.exclude(reset, "EVID", "reset record (EVID 3); resets are not used")
    on_dose = (records.kind == DOSE) & ~table.bad & np.isin(records.dv.kind, (NUMBER, BELOW, ABOVE))
    value = np.flatnonzero(on_dose & ~(records.dv.value == 0))
    table.exclude(value, "DV", "value on a dose record; only the dose is used")
