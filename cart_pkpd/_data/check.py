"""Order in time, and records that say the same thing twice."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cart_pkpd._data.censoring import Censored
from cart_pkpd._data.options import Duplicates
from cart_pkpd._data.parse import FloatArray, IntArray
from cart_pkpd._data.records import DOSE, Records
from cart_pkpd._data.table import Table, of_each


@dataclass(frozen=True)
class Observations:
    """The observations of a trial, one entry per record.

    Attributes
    ----------
    position : array of int
        Row in the Table.
    patient, endpoint, occasion : array of int
        Indices of patient and endpoint; occasion as given.
    time, nominal : array of float
        Days since the first infusion.
    values : Censored
        Values and limits in the endpoint's unit.
    """

    position: IntArray
    patient: IntArray
    endpoint: IntArray
    occasion: IntArray
    time: FloatArray
    nominal: FloatArray
    values: Censored

    def __len__(self) -> int:
        return int(self.position.size)

    def take(self, index: IntArray) -> Observations:
        """Return the observations at `index`."""
        v = self.values
        return Observations(
            self.position[index],
            self.patient[index],
            self.endpoint[index],
            self.occasion[index],
            self.time[index],
            self.nominal[index],
            Censored(v.dv[index], v.censoring[index], v.lloq[index], v.uloq[index], v.limit[index]),
        )


def in_order(found: Observations) -> Observations:
    """Return the observations by patient, endpoint and time; ties as in the file."""
    order = np.lexsort((found.position, found.time, found.endpoint, found.patient))
    return found.take(order)


def check_clock(table: Table, records: Records, time: FloatArray, *, in_order: bool) -> None:
    """Report clocks that begin again at a later infusion, as EVID 3 and 4 allow in NONMEM.

    The records after it are set aside: whatever is said of their times would mislead. Where
    the table need not be `in_order`, only a second dose at the same time tells.
    """
    timed = of_each(table.patient, np.flatnonzero(np.isfinite(time) & ~table.bad))
    for p in np.unique(table.patient[records.restart]).tolist():
        mine = timed.get(p, np.zeros(0, dtype=np.int64))
        dosed = np.cumsum(records.kind[mine] == DOSE) - (records.kind[mine] == DOSE) > 0
        latest = np.maximum.accumulate(np.concatenate(([-np.inf], time[mine])))[:-1]
        back = in_order & dosed & (time[mine] < latest)
        again = records.kind[mine] == DOSE
        for k in np.flatnonzero(again & dosed):
            earlier = mine[:k][again[:k]]
            back[k] |= bool(np.any(time[earlier] == time[mine[k]]))
        at = np.flatnonzero(back & records.restart[mine])[:1]
        for k in at:
            before = int(mine[k - 1])
            table.flag(
                [mine[k]],
                "clock_restarts",
                "TIME",
                "the clock begins again at an EVID of 3 or 4 ({place}: {value}, after {before} in "
                "row {row_before}), which is not supported. Let TIME run on from the first "
                "infusion.",
                before=table.cell("TIME", before),
                row_before=int(table.row[before]),
            )
            table.bad[mine[k:]] = True


def check_order(table: Table, found: Observations, doses: IntArray, time: FloatArray) -> None:
    """Report every record that is earlier than the one before it, of the same kind."""
    sentence = (
        "{column} goes back within patient {patient!r}: {value} in row {row} after {before} in row "
        "{row_before}. Sort the table, or pass sort=True."
    )
    series = (
        (found.position, found.patient, found.endpoint, found.time),
        (doses, table.patient[doses], np.zeros(doses.size, dtype=np.int64), time[doses]),
    )
    for position, patient, endpoint, when in series:
        order = np.lexsort((position, endpoint, patient))
        same = (np.diff(patient[order]) == 0) & (np.diff(endpoint[order]) == 0)
        back = same & (np.diff(when[order]) < 0)
        for k in np.flatnonzero(back):
            i, before = int(position[order[k + 1]]), int(position[order[k]])
            table.flag(
                [i],
                "time_decreases",
                "TIME",
                sentence,
                column=table.columns.header["TIME"],
                patient=table.name(i),
                row=int(table.row[i]),
                before=table.cell("TIME", before),
                row_before=int(table.row[before]),
            )


def without_duplicates(
    table: Table, found: Observations, names: list[str], how: Duplicates
) -> Observations:
    """Return sorted observations with one per patient, endpoint and time."""
    same = np.zeros(len(found), dtype=bool)
    same[1:] = (
        (np.diff(found.patient) == 0) & (np.diff(found.endpoint) == 0) & (np.diff(found.time) == 0)
    )
    if not same.any():
        return found
    first = np.maximum.accumulate(np.where(same, 0, np.arange(len(found))))
    if how == "error":
        _report(table, found, names, np.flatnonzero(same), first)
        return found
    if how == "mean":
        found = _averaged(table, found, names, first)
    last = np.append(~same[1:], True)
    keep = last if how == "last" else ~same
    chosen = np.flatnonzero(keep)
    group = np.cumsum(~same) - 1
    verb = "averaged into" if how == "mean" else "duplicate of"
    for k in np.flatnonzero(~keep):
        kept = int(table.row[found.position[chosen[group[k]]]])
        table.exclude([int(found.position[k])], "DV", f"{verb} row {kept}")
    table.log.note(f"{np.sum(~keep)} duplicate records were left out (duplicates={how!r}).")
    return found.take(chosen)


def _report(
    table: Table, found: Observations, names: list[str], at: IntArray, first: IntArray
) -> None:
    for k in at:
        table.flag(
            [int(found.position[k])],
            "duplicate_time",
            "TIME",
            "a second {endpoint} value at the same time {value} as in row {other} ({place}). "
            "Remove one, or pass duplicates='first', 'last' or 'mean'.",
            endpoint=names[found.endpoint[k]],
            other=int(table.row[found.position[first[k]]]),
        )


def _averaged(table: Table, found: Observations, names: list[str], first: IntArray) -> Observations:
    """Put the mean of each group into its first record; censored values have no mean."""
    size = np.bincount(first, minlength=len(found))
    censored = found.values.censoring != "none"
    for k in np.flatnonzero(censored & (size[first] > 1)):
        table.flag(
            [int(found.position[k])],
            "mean_of_censored",
            "DV",
            "a duplicate {endpoint} value is censored, so it has no mean ({place}, {value}). "
            "Use duplicates='first' or 'last', or remove one.",
            endpoint=names[found.endpoint[k]],
        )
    total = np.bincount(first, weights=found.values.dv, minlength=len(found))
    mean = np.where(size > 1, total / np.maximum(size, 1), found.values.dv)
    return replace(found, values=replace(found.values, dv=mean))
