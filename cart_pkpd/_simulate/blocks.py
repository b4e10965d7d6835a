"""Blocks of virtual patients as arrays: parameters, courses, records, who left, outcomes."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._simulate.kinetics import Courses
from cart_pkpd._simulate.outcomes import endpoint_of
from cart_pkpd._simulate.plan import Plan
from cart_pkpd._simulate.streams import BLOCK, Floats, Ints, Streams
from cart_pkpd.executor import cores_here

QUANTIFIED, BELOW, ABOVE, MISSED, GONE, NOT_PLANNED, UNSOLVED = range(7)
RECORDS = (
    "quantified", "below_lloq", "above_uloq", "missed", "left", "not_planned", "unsolved",
)  # fmt: skip
"""What became of a record, by code."""

type Arrays = dict[str, NDArray[Any]]


def simulated(task: tuple[Plan, int, int, int | None]) -> Arrays:
    """Return the patients of some blocks, first dimension id.

    Parameters
    ----------
    task : (Plan, int, int, int or None)
        Plan, first block, one past the last, and how many are worked on at the same time: as many
        as there are processors for this task if None.
    """
    plan, first, last, wanted = task
    numbers, threads = range(first, last), wanted or cores_here()
    if threads == 1 or len(numbers) == 1:
        return _together((block(plan, b) for b in numbers), plan.patients - first * BLOCK, numbers)
    with ThreadPoolExecutor(threads) as pool:
        parts = pool.map(lambda b: block(plan, b), numbers)
        return _together(parts, plan.patients - first * BLOCK, numbers)


def _together(parts: Iterable[Arrays], left: int, numbers: range) -> Arrays:
    """Return blocks as one, each copied and let go before the next: they need their memory once."""
    total, at = min(left, len(numbers) * BLOCK), 0
    out: Arrays = {}
    for part in parts:
        out = out or {k: np.empty((total, *v.shape[1:]), v.dtype) for k, v in part.items()}
        rows = part["id"].size
        for name, values in part.items():
            out[name][at : at + rows] = values
        at += rows
    return out


def block(plan: Plan, number: int) -> Arrays:
    """Return one block of patients.

    Every random number is drawn for a whole block, so that fewer patients are the first of more.
    """
    streams = Streams(plan.seed, number)
    patients = np.arange(number * BLOCK, (number + 1) * BLOCK)
    rows = min(BLOCK, plan.patients - number * BLOCK)
    dose, draw = plan.doses_of(patients), plan.draws_of(patients, streams)
    covariates = plan.covariates.sample(streams)
    known = {**covariates, "dose_level": dose}
    parameters = plan.source.parameters(draw, known, streams)
    times = plan.schedule.times(streams)
    courses = plan.kinetics.courses(parameters, covariates, dose, times, rows)
    out: Arrays = {"id": patients[:rows] + 1, "dose_level": dose[:rows]}
    if plan.trials > 1:
        out["trial"] = patients[:rows] // plan.per_trial + 1
    if plan.source.draws > 1:
        out["draw"] = draw[:rows]
    out |= {name: v[:rows] for name, v in covariates.items()}
    held = plan.source.model.parameters
    own = [parameters[p][:rows] for p in held if p in parameters]
    out["individual"] = np.stack(own, axis=1) if own else np.empty((rows, 0))
    out["status"] = courses.status.astype(np.int8)
    if courses.exposure is not None:
        out["exposure"] = courses.exposure
    last, why = _followed(plan, streams, rows)
    out["last_contact"], out["left"] = last, why
    if plan.records:
        out |= _records(plan, streams, courses, times, draw, last, why)
    return out | _outcomes(plan, streams, courses, dose[:rows], last)


def _followed(plan: Plan, streams: Streams, rows: int) -> tuple[Floats, NDArray[np.int8]]:
    """Return the last day of contact, and why it is the last: a code of ``LEFT``."""
    last, why = np.full(BLOCK, plan.follow_up), np.zeros(BLOCK, dtype=np.int8)
    for code, (purpose, rule) in enumerate((("dropout", plan.dropout), ("death", plan.death)), 1):
        if rule is not None:
            day = rule.times(streams.uniform(purpose))
            why = np.where(day < last, code, why).astype(np.int8)
            last = np.minimum(day, last)
    return last[:rows], why[:rows]


def _records(
    plan: Plan, streams: Streams, courses: Courses, times: Floats, draw: Ints, last: Floats,
    why: NDArray[np.int8],
) -> Arrays:  # fmt: skip
    level, rows = courses.level, courses.level.shape[0]
    at = np.broadcast_to(times, (BLOCK, times.shape[1]))[:rows]
    dv = _measured(plan, streams, level, draw[:rows])
    code = np.zeros(level.shape, dtype=np.int8)
    for limit, beyond, meaning in ((plan.lloq, np.less, BELOW), (plan.uloq, np.greater, ABOVE)):
        if not np.isnan(limit).all():
            with np.errstate(invalid="ignore"):
                outside = beyond(dv, limit)
            code[outside] = meaning
            dv = np.where(outside, limit, dv)
    if courses.status.any():
        code[np.isnan(level)] = UNSOLVED
    if plan.schedule.missed:
        code[plan.schedule.absent(streams)[:rows]] = MISSED
    if why.any() or (times > plan.follow_up).any():
        gone = (at > last[:, None]) & (why > 0)[:, None]
        code[gone | (at > plan.follow_up)] = GONE
    planned = plan.schedule.planned(plan.endpoints)
    if not planned.all():
        code[:, ~planned] = NOT_PLANNED
    if (code > ABOVE).any():
        dv = np.where(code <= ABOVE, dv, np.nan)
    out: Arrays = {"level": level, "dv": dv, "censored": code}
    if plan.schedule.window:
        out["actual_time"] = np.ascontiguousarray(at)
    return out


def _measured(plan: Plan, streams: Streams, level: Floats, draw: Ints) -> Floats:
    """Return levels with residual errors, natural scale, before any limit."""
    errors = plan.source.errors()
    if not errors:
        return level
    # One number per endpoint of the model, so that leaving one out does not change the others.
    names = tuple(plan.source.model.endpoints)
    u = streams.uniform("residual", level.shape[1], len(names))
    out = level.copy()
    for i, name in enumerate(plan.endpoints):
        if name in errors:
            error, numbers = errors[name]
            own = {k: v[draw][:, None] for k, v in numbers.items()}
            share = u[: level.shape[0], :, names.index(name)]
            with np.errstate(all="ignore"):
                f = np.log(level[:, :, i]) if error.on_log else level[:, :, i]
                drawn = error.drawn(share, f, own)
                out[:, :, i] = np.exp(drawn) if error.on_log else drawn
    return out


def _outcomes(plan: Plan, streams: Streams, courses: Courses, dose: Floats, last: Floats) -> Arrays:
    """Return grade, day and whether it is known of each outcome; after a loss nothing is seen."""
    out: Arrays = {}
    for i, (name, outcome) in enumerate(plan.outcomes.items()):
        x = dose
        if outcome.by != "dose":
            assert courses.exposure is not None
            at = plan.endpoints.index(endpoint_of(outcome, plan.endpoints, name))
            x = courses.exposure[:, at, {"cmax": 0, "auc": 2}[outcome.by]]
        u = streams.uniform("outcomes", 2, which=(i,))[: dose.size]
        grade, day = outcome.drawn(x, u)
        late = (grade > 0) & (day > last)
        grade, day = np.where(late, 0, grade), np.where(late, np.nan, day)
        known = ~np.isnan(x) & ((grade > 0) | (last >= outcome.window))
        out[name] = np.where(np.isnan(x), -1, grade).astype(np.int8)
        out[f"{name}_day"] = day
        out[f"{name}_evaluable"] = known.astype(np.int8)
    return out
