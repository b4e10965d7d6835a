"""Patients of a trial Dataset as they stand on the day of the decision, by the protocol's rules."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._core import words
from cart_pkpd._core.errors import DataError, Problem
from cart_pkpd._core.units import canonical, convert
from cart_pkpd._data.safety import FAR, is_far
from cart_pkpd._dose.levels import Levels
from cart_pkpd._dose.patients import DoseData, Patient

Floats = NDArray[np.float64]
OPTIONAL = ("dlt_day", "dlt_evaluable", "last_contact_day", "infusion_day", "weight")


@dataclass(frozen=True)
class _Columns:
    """Patient-level arrays, shape (n,); NaN where the table says nothing."""

    ids: list[str]
    level: Floats
    dlt: Floats
    dlt_day: Floats
    dlt_evaluable: Floats
    last_contact_day: Floats
    infusion_day: Floats
    amount: Floats
    split: list[str]


def from_trial(
    trial: xr.Dataset,
    *,
    window: float,
    as_of: float | None,
    levels: Levels | None,
    unit: str | None,
) -> DoseData:
    """Return the data of a decision; see ``dose.data``."""
    if as_of is not None and not np.isfinite(as_of):
        raise DataError(f"as_of must be a day of the trial, not {as_of!r}.")
    planned = levels or _levels(trial, unit)
    c = _columns(trial, planned, window, as_of)
    if as_of is not None and np.isnan(c.infusion_day).any():
        raise DataError(
            "as_of is a day of the trial, so every patient needs the day of infusion: add a "
            "patient-level variable infusion_day (days since the first patient's infusion)."
        )
    _check(c, planned)
    order = np.argsort(np.nan_to_num(c.infusion_day, nan=0.0), kind="stable")
    notes = _notes(c, planned)
    there = [i for i in order if as_of is None or c.infusion_day[i] <= as_of]
    if len(there) < len(c.ids):
        notes.append(
            f"{len(c.ids) - len(there)} patients infused after day {as_of:g} are left out."
        )
    patients = tuple(_patient(c, int(i), planned, window, as_of) for i in there)
    return DoseData(
        planned, patients, float(window), as_of, notes=tuple(notes),
        doubts=(*_without_a_day(patients, window), *_far_off(patients, planned)),
    )  # fmt: skip


_FLAGS = {"y": "1", "yes": "1", "n": "0", "no": "0"}
_ASK = {
    "dlt": "Read the trial with a column 'dlt' (1 or 0, and the day in 'dlt_day'), in the table or "
    "in subjects=. ",
    "dose_level": "Read the trial with the planned dose of every patient, "
    "columns={'DOSELEVEL': …}. ",
}
"""What to do about a variable that a decision cannot do without."""


def _levels(trial: xr.Dataset, unit: str | None) -> Levels:
    found = np.unique(_numbers(trial, "dose_level"))
    return Levels(tuple(found[np.isfinite(found)]), unit or _unit(trial))


def _unit(trial: xr.Dataset) -> str:
    own = trial["dose_level"].attrs.get("units") or ""
    return str(own or (trial["amount"].attrs.get("units") if "amount" in trial else "") or "cells")


def _numbers(trial: xr.Dataset, name: str) -> Floats:
    if name not in trial.variables or trial[name].dims != ("id",):
        raise DataError(
            f"the trial has no patient-level variable {name!r}; doses need it. {_ASK.get(name, '')}"
            "dose.counts works without a trial."
        )
    try:
        return trial[name].values.astype(float)
    except ValueError:
        return _of_words(trial, name)


def _of_words(trial: xr.Dataset, name: str) -> Floats:
    """Return a variable of text as numbers; Y and N count as 1 and 0."""
    cells = [str(cell).strip() for cell in trial[name].values]
    found = np.full(len(cells), np.nan)
    for i, cell in enumerate(cells):
        try:
            found[i] = float(_FLAGS.get(cell.lower(), cell)) if cell else np.nan
        except ValueError:
            who = str(trial["id"].values[i])
            raise DataError(
                f"the variable {name!r} is {cell!r} for patient {who}, which is no number. Write "
                + ("1 or 0, Y or N." if name in ("dlt", "dlt_evaluable") else "a number.")
            ) from None
    return found


def _columns(trial: xr.Dataset, levels: Levels, window: float, as_of: float | None) -> _Columns:
    n = trial.sizes["id"]
    extra = {k: _numbers(trial, k) if k in trial else np.full(n, np.nan) for k in OPTIONAL}
    weight = extra.pop("weight")
    ids = [str(i) for i in trial["id"].values]
    until = np.full(n, np.inf)  # day since the infusion after which nothing is known yet
    if as_of is not None:
        there = extra["infusion_day"] <= as_of
        until[there] = as_of - extra["infusion_day"][there]
    amount, split = _amounts(trial, ids, levels, weight, window, until)
    return _Columns(
        ids, _numbers(trial, "dose_level"), _numbers(trial, "dlt"),
        amount=amount, split=split, **extra,
    )  # fmt: skip


def _amounts(
    trial: xr.Dataset, ids: list[str], levels: Levels, weight: Floats, window: float, until: Floats
) -> tuple[Floats, list[str]]:
    """Return the amount given within the window and until a day, and who had it in parts.

    Amounts are converted to the unit of the levels, by weight where those are per kg. NaN where
    the trial has no record of the amount.
    """
    if "amount" not in trial:
        return np.full(len(ids), np.nan), []
    given = trial["amount"].values.astype(float)
    unit = str(trial["amount"].attrs.get("units") or levels.unit)
    who, day = trial["dose_patient"].values.astype(str), trial["dose_time"].values
    out, split = np.full(len(ids), np.nan), []
    per_kg = levels.unit.endswith("/kg") and "/" not in canonical(unit)
    for i, name in enumerate(ids):
        at = (who == name) & (day < window) & (day <= until[i]) & np.isfinite(given)
        if not at.any():
            continue
        out[i] = given[at].sum() / (weight[i] if per_kg else 1.0)
        if at.sum() > 1:
            split.append(name)
    target = levels.unit.removesuffix("/kg") if per_kg else levels.unit
    return convert(out, unit, target), split


def _check(c: _Columns, levels: Levels) -> None:
    problems = [p for i in range(len(c.ids)) for p in _wrong(c, i, levels)]
    if problems:
        raise DataError(problems)
    apart = np.abs(np.log(c.amount / c.level))
    apart = apart[np.isfinite(apart)]
    if apart.size and (apart > np.log(FAR)).all():
        raise DataError(
            f"every amount is at least {FAR:g}-fold away from its dose_level, as if levels "
            "were labels; put the planned doses in dose_level, in the unit of the levels."
        )


def _wrong(c: _Columns, i: int, levels: Levels) -> list[Problem]:
    """Return what cannot be true of one patient."""
    who, out = c.ids[i], []

    def say(code: str, column: str, value: float, text: str) -> None:
        said = f"patient {who!r} {text}"
        out.append(Problem(code, said, who, column=column, value=f"{value:g}"))

    level, dlt, day = c.level[i], c.dlt[i], c.dlt_day[i]
    try:
        levels.index(level)
    except DataError as error:
        say(
            "unknown_dose_level", "dose_level", level, f"has a dose level outside the plan: {error}"
        )
    if dlt not in (0, 1) and not np.isnan(dlt):
        say("dlt", "dlt", dlt, f"has dlt = {dlt:g}; it must be 1 (yes) or 0 (no).")
    if dlt == 0 and np.isfinite(day):
        say(
            "dlt_day", "dlt_day", day, f"has a DLT on day {day:g} but dlt = 0; correct one of them."
        )
    if np.isinf(day):
        say("dlt_day", "dlt_day", day, "has an infinite dlt_day; give the day, or leave it empty.")
    if c.dlt_evaluable[i] not in (0, 1) and not np.isnan(c.dlt_evaluable[i]):
        said = c.dlt_evaluable[i]
        say("dlt_evaluable", "dlt_evaluable", said,
            f"has dlt_evaluable = {said:g}; it must be 1 (yes) or 0 (no).")  # fmt: skip
    if np.isinf(c.infusion_day[i]):
        say("infusion_day", "infusion_day", c.infusion_day[i],
            "has an infinite infusion_day; give the day of the trial.")  # fmt: skip
    if -np.inf < day < 0:
        say(
            "dlt_day", "dlt_day", day, f"has a DLT on day {day:g}, before the infusion; correct it."
        )
    if c.amount[i] <= 0:
        say(
            "amount",
            "amount",
            c.amount[i],
            f"was given {c.amount[i]:g} {levels.unit}; a dose must be above 0.",
        )
    if c.last_contact_day[i] < 0:
        last = c.last_contact_day[i]
        say("last_contact", "last_contact_day", last,
            f"was last seen on day {last:g}, before the infusion; correct the day.")  # fmt: skip
    return out


def _notes(c: _Columns, levels: Levels) -> list[str]:
    notes = []
    if levels.within is None:
        notes.append(
            "No range of administered doses is stated, so every amount counts for its planned "
            "level; dose.Levels(..., within=(0.7, 1.3)) states one."
        )
    if np.isnan(c.amount).any():
        notes.append("Where no amount is recorded the planned dose is taken as given.")
    if c.split:
        notes.append(f"Infusions within the window are added up: {', '.join(c.split)}.")
    unknown = int(np.isnan(c.infusion_day).sum())
    if unknown == len(c.infusion_day):
        notes.append("There is no infusion_day: the order of the table is the order of treatment.")
    elif unknown:
        notes.append(
            f"{words.count(unknown, 'patient')} without infusion_day are taken to be treated first."
        )
    return notes


def _without_a_day(patients: tuple[Patient, ...], window: float) -> list[str]:
    who = [p.id for p in patients if p.dlt and p.informative and np.isnan(p.dlt_day)]
    if not who:
        return []
    if len(who) == 1:
        start, end = f"The day of the DLT of patient {who[0]} is", "it counts"
    else:
        start, end = f"The days of the DLTs of patients {', '.join(who)} are", "they count"
    return [f"{start} not known; {end} as within {window:g} days."]


def _far_off(patients: tuple[Patient, ...], levels: Levels) -> list[str]:
    """Return a sentence for doses far off that count all the same; the others have a reason."""
    return [
        f"Patient {p.id}: {_far(p.amount, p.planned, levels.unit)} It counts at its planned level."
        for p in patients
        if p.evaluable and is_far(p.amount, p.planned)
    ]


def _far(amount: float, planned: float, unit: str) -> str:
    return (
        f"The administered dose of {words.dose(amount, unit)} is more than {FAR:g}-fold off the "
        f"planned {words.dose(planned, unit)}; look at the unit in the header."
    )


def _patient(c: _Columns, i: int, levels: Levels, window: float, as_of: float | None) -> Patient:
    k = levels.index(c.level[i])
    amount = levels.doses[k] if np.isnan(c.amount[i]) else float(c.amount[i])
    seen = window if as_of is None else min(window, as_of - float(c.infusion_day[i]))
    stands = _outcome(c, i, window, seen)
    inside = levels.holds(k, amount)
    reason = stands.reason
    if not inside and is_far(amount, levels.doses[k]):
        said = f"{_far(amount, levels.doses[k], levels.unit)} It is not evaluable there."
        reason = " ".join(filter(None, (reason, said)))
    elif not inside:
        low, high = (f * levels.doses[k] for f in levels.within or (1, 1))
        side = "below" if amount < low else "above"
        reason = " ".join(filter(None, (reason, (
            f"The administered dose of {words.dose(amount, levels.unit)} is {side} the range "
            f"{words.doses((low, high), levels.unit).replace(', ', '–')} of its level: not "
            "evaluable there, but informative for a curve at the actual dose."
        ))))  # fmt: skip
    return Patient(
        c.ids[i], k, levels.doses[k], amount, stands.dlt, float(c.dlt_day[i]), stands.followed,
        stands.known and inside, stands.known, stands.pending and stands.known, reason,
    )  # fmt: skip


@dataclass(frozen=True)
class _Outcome:
    dlt: bool
    followed: float
    known: bool
    pending: bool
    reason: str = ""


def _outcome(c: _Columns, i: int, window: float, seen: float) -> _Outcome:
    """Return the outcome of one patient, of whom the first `seen` days are known."""
    day, last = float(c.dlt_day[i]), float(c.last_contact_day[i])
    had = c.dlt[i] == 1 and not day > seen
    left = min(seen, last) if np.isfinite(last) else seen
    if c.dlt[i] == 1 and day > window:
        done = seen >= window
        return _Outcome(False, seen, True, not done,
                        f"A DLT on day {day:g}, after the window of {window:g} days, is recorded "
                        "but not counted." if done else "")  # fmt: skip
    if had and day > last:
        return _Outcome(False, left, left >= window, False,
                        f"A DLT on day {day:g} is reported after the last contact on day "
                        f"{last:g}, so it does not count.")  # fmt: skip
    later = seen < window and last >= seen  # what made the patient not evaluable is yet to come
    if c.dlt_evaluable[i] == 0 and (had or c.dlt[i] != 1) and not later:
        return _Outcome(had, left, False, False,
                        "Recorded as not evaluable for DLT (dlt_evaluable = 0)"
                        + (", although a DLT is recorded." if had else "."))  # fmt: skip
    if had:
        return _Outcome(True, left if np.isnan(day) else day, True, False)
    if np.isnan(c.dlt[i]):
        pending = seen < window
        return _Outcome(False, left, pending, pending,
                        "" if pending else "Whether a DLT occurred is not recorded.")  # fmt: skip
    if left < seen:
        return _Outcome(False, left, False, False,
                        f"Last contact on day {last:g}, before the end of the window, without a "
                        "DLT: not evaluable.")  # fmt: skip
    return _Outcome(False, left, True, left < window)
