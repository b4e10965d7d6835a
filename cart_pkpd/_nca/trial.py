"""From the trial Dataset to samples: one endpoint, one infusion, times since that infusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._core.errors import DataError, Problem
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd._nca.reasons import Book, Bools, Floats, Ints, Note, Why, no_reason
from cart_pkpd._nca.rules import Rules
from cart_pkpd._nca.source import Samples, find_problems, in_order


def cell_endpoints(trial: xr.Dataset) -> list[str]:
    """Return the cellular-kinetics endpoints that have observations, in order."""
    seen = list(dict.fromkeys(runs(trial["endpoint"].values)[0].tolist()))
    if "measure" not in trial.dims:
        return seen
    kinds = dict(zip(trial["measure"].values.tolist(), trial["kind"].values.tolist(), strict=True))
    cells = [name for name in seen if kinds.get(name) == "cells"]
    if not cells:
        raise DataError(
            Problem(
                "no_cell_endpoint",
                f"no endpoint of kind 'cells' has observations; the trial has {', '.join(seen)}. "
                "Name the endpoint.",
            )
        )
    return cells


def runs(values: NDArray[Any]) -> tuple[NDArray[Any], Ints]:
    """Return the first value of every run of equal values, and the run of each element.

    Strings are slow to factorise one by one; a trial has few runs and many records.
    """
    if values.size == 0:
        return values, np.zeros(0, dtype=np.int64)
    change = np.empty(values.size, dtype=bool)
    change[0] = False
    np.not_equal(values[1:], values[:-1], out=change[1:])
    heads = values[np.append(0, np.flatnonzero(change))]
    return heads, np.cumsum(change)


def _mask_of(trial: xr.Dataset, endpoint: str) -> Bools:
    heads, run = runs(trial["endpoint"].values)
    known = list(dict.fromkeys(heads.tolist()))
    if "measure" in trial.dims:
        known = list(dict.fromkeys([*trial["measure"].values.tolist(), *known]))
    if endpoint not in known:
        message = (
            f"unknown endpoint {endpoint!r}.{did_you_mean(endpoint, known)} "
            f"The trial has: {', '.join(known)}."
        )
        raise DataError(Problem("unknown_endpoint", message, column="endpoint", value=endpoint))
    return np.asarray(heads == endpoint)[run]


@dataclass(frozen=True)
class Course:
    """One infusion (with its fractions) of every patient; NaN start where there is none."""

    start: Floats
    last: Floats
    amount: Floats
    following: Floats


def infusions(trial: xr.Dataset, ids: NDArray[np.str_], gap: float) -> list[Course]:
    """Return the first, second, … infusion of every patient.

    Doses within `gap` days of the one before are fractions of one infusion. Patients without
    any dosing record count as infused at time 0 with an unknown dose.
    """
    patients = ids.size
    if "dosing" not in trial.dims or trial.sizes["dosing"] == 0:
        nan = np.full(patients, np.nan)
        return [Course(np.zeros(patients), np.zeros(patients), nan, np.full(patients, np.inf))]
    heads, run = runs(trial["dose_patient"].values)
    who = pd.Index(ids).get_indexer(pd.Index(heads))[run]
    time = trial["dose_time"].values.astype(float)
    order = np.lexsort((time, who))
    order = order[who[order] >= 0]
    who, time = who[order], time[order]
    amount = trial["amount"].values.astype(float)[order]
    new = np.ones(who.size, dtype=bool)
    new[1:] = (who[1:] != who[:-1]) | (time[1:] - time[:-1] > gap)
    begin = np.flatnonzero(new)
    owner, starts = who[begin], time[begin]
    ends = np.append(time[begin[1:] - 1], time[-1:])
    sums = np.add.reduceat(amount, begin) if begin.size else amount
    number = np.arange(owner.size) - np.searchsorted(owner, owner)
    return [
        _course(patients, owner, starts, ends, sums, number, k)
        for k in range(int(number.max(initial=0)) + 1)
    ]


def _course(
    patients: int, owner: Ints, starts: Floats, ends: Floats, sums: Floats, number: Ints, k: int
) -> Course:
    start, last, amount = (np.full(patients, np.nan) for _ in range(3))
    following = np.full(patients, np.inf)
    this, after = number == k, number == k + 1
    start[owner[this]], last[owner[this]] = starts[this], ends[this]
    amount[owner[this]] = sums[this]
    following[owner[after]] = starts[after]
    if k == 0:
        start, last = np.nan_to_num(start), np.nan_to_num(last)
    return Course(start, last, amount, following)


def samples_of(
    trial: xr.Dataset, endpoint: str, course: Course, rules: Rules, book: Book
) -> Samples:
    """Return the samples of one endpoint, on the clock of one infusion.

    A sample is quantifiable when it is not left- or interval-censored, its value is above 0 and
    not below its own LLOQ. Right-censored samples count at the upper limit.
    """
    ids = np.asarray(trial["id"].values).astype(str)
    obs = np.flatnonzero(_mask_of(trial, endpoint))
    heads, run = runs(trial["patient"].values[obs])
    code = pd.Index(ids).get_indexer(pd.Index(heads))
    if (code < 0).any():
        who = str(heads[code < 0][0])
        raise DataError(
            Problem("unknown_patient", f"patient {who!r} has observations but no id.", patient=who)
        )
    patient = code[run].astype(np.int64)
    column = {n: _numbers(trial, n, obs) for n in ("time", "nominal_time", "dv", "lloq")}
    time, visit = column["time"], np.where(
        np.isnan(column["nominal_time"]), column["time"], column["nominal_time"]
    )  # fmt: skip
    time = visit if rules.clock == "nominal" else time
    censoring = trial["censoring"].values[obs]
    left, right = censoring == "left", censoring == "right"
    interval = censoring == "interval"
    notes = np.zeros(ids.size, dtype=np.int64)
    missing = np.isnan(column["dv"])
    for note, where in (
        (Note.ABOVE_ULOQ, right), (Note.INTERVAL, interval), (Note.MISSING_DROPPED, missing)
    ):  # fmt: skip
        notes[patient[where]] |= note
    blq = left | interval
    lloq = np.where(blq & np.isnan(column["lloq"]), column["dv"], column["lloq"])
    quantified = ~blq & (column["dv"] > 0) & ~(column["dv"] < lloq)
    problem = no_reason(ids.size)
    problem[np.isnan(course.start)] = Why.NO_INFUSION
    found = Samples(
        ids=ids,
        patient=patient,
        time=time - course.start[patient],
        visit=visit - course.start[patient],
        level=column["dv"],
        lloq=lloq,
        quantified=quantified,
        row=trial["row"].values[obs] if "row" in trial.coords else np.full(obs.size, -1),
        dose=course.amount,
        dose_end=np.nan_to_num(course.last - course.start),
        horizon=course.following - np.nan_to_num(course.start),
        problem=problem,
        notes=notes,
    )
    there = ~missing & ~np.isnan(course.start[patient])
    return find_problems(_sorted(found, there), book, rules)


def _numbers(trial: xr.Dataset, name: str, obs: Ints) -> Floats:
    if name not in trial.variables:
        return np.full(obs.size, np.nan)
    return np.asarray(trial[name].values[obs], dtype=np.float64)


def _sorted(samples: Samples, keep: Bools) -> Samples:
    picked = np.flatnonzero(keep)
    order = in_order(samples.patient[picked], samples.time[picked])
    picked = picked if order is None else picked[order]
    return Samples(
        ids=samples.ids, patient=samples.patient[picked], time=samples.time[picked],
        visit=samples.visit[picked], level=samples.level[picked], lloq=samples.lloq[picked],
        quantified=samples.quantified[picked], row=samples.row[picked], dose=samples.dose,
        dose_end=samples.dose_end, horizon=samples.horizon, problem=samples.problem,
        notes=samples.notes,
    )  # fmt: skip


def no_course(patients: int) -> Course:
    """Return an infusion that no patient had."""
    nan = np.full(patients, np.nan)
    return Course(nan, nan, nan, np.full(patients, np.inf))


def unit_of(trial: xr.Dataset, endpoint: str) -> str:
    """Return the unit of an endpoint from the endpoint table, or that of `dv` without one."""
    if "measure" in trial.dims:
        where = trial["measure"].values == endpoint
        if where.any():
            return str(trial["unit"].values[where][0])
    return str(trial["dv"].attrs.get("units", ""))
