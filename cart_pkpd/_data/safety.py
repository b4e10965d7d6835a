"""What a table of patients says of their safety: days given as dates, grades, doses far off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from cart_pkpd._core import words
from cart_pkpd._core.names import GRADES, HIGHEST_GRADE
from cart_pkpd._data.columns import DATED, key
from cart_pkpd._data.covariates import MISSING_CODES, Covariate
from cart_pkpd._data.dosing import Doses
from cart_pkpd._data.log import Log, some
from cart_pkpd._data.plain import Moment, days_between, moment

FAR = 10.0
"""Doses given this many times more or less than planned look like a mistake of the unit."""


def with_days(
    patients: list[str], covariates: list[Covariate], starts: Mapping[str, Moment], log: Log
) -> list[Covariate]:
    """Return the covariates with the dates of what happened as days since the infusion.

    Parameters
    ----------
    patients : list of str
        In the order of the values of `covariates`.
    covariates : list of Covariate
    starts : mapping of str to Moment
        Date of infusion of the patients who have one.
    log : Log
        Says what became days, and which dates could not.
    """
    names = {c.name for c in covariates}
    found = []
    for c in covariates:
        name = DATED.get(key(c.header))
        if name is None or c.numeric or (name != c.name and name in names):
            found.append(c)
        else:
            found.append(_in_days(c, name, patients, starts, log))
            names.add(name)
    return found


def _in_days(
    dates: Covariate, name: str, patients: list[str], starts: Mapping[str, Moment], log: Log
) -> Covariate:
    """Return one covariate in days, or as it is where a single cell cannot be counted.

    It takes the name of the day all the same: no rule may overlook when something happened.
    """
    days = np.full(len(patients), np.nan)
    for i, (who, cell) in enumerate(zip(patients, map(str, dates.values), strict=True)):
        if not cell:
            continue
        seen, start = moment(cell), starts.get(who)
        if np.isnan(seen.day) or start is None:
            why = _why(seen, start)
            log.note(
                f"{dates.header!r} is {cell!r} for patient {who!r}, which cannot be counted in "
                f"days: {why}. {name!r} stays text, and what needs the day refuses it."
            )
            return replace(dates, name=name)
        days[i] = days_between(start, seen)
    log.note(f"{dates.header!r} holds dates: {name!r} is the days since the infusion.")
    return replace(dates, name=name, unit="day", values=days)


def _why(seen: Moment, start: Moment | None) -> str:
    if seen.problem:
        return seen.problem
    if np.isnan(seen.day):
        return "it is no date such as 2026-03-09; write the date, or days in the whole column"
    assert start is None
    return (
        "the date of the patient's infusion is not known; add a column 'Infusion date' or write "
        "days since the infusion"
    )


def check_grades(patients: list[str], covariates: list[Covariate], log: Log) -> None:
    """Report grades of CRS and ICANS that do not exist."""
    for c in covariates:
        if c.name not in GRADES or not c.numeric:
            continue
        grade = np.asarray(c.values, dtype=float)
        real = np.isin(grade, range(HIGHEST_GRADE + 1)) | np.isnan(grade)
        for i in np.flatnonzero(~real & ~np.isin(grade, MISSING_CODES)):
            log.problem(
                "grade",
                f"{c.header!r} is {grade[i]:g} for patient {patients[i]!r}; grades are whole "
                f"numbers from 0 to {HIGHEST_GRADE}. Correct the cell, or leave it empty.",
                patient=patients[i],
                column=c.header,
                value=f"{grade[i]:g}",
            )


def guess_units(patients: list[str], doses: Doses, covariates: list[Covariate], log: Log) -> None:
    """Say which doses are so far off the planned ones that a header may give the wrong unit.

    Planned doses in another unit (per kg, say) are not compared, and numbers without a unit that
    are far off in every patient are labels such as 1, 2, 3.
    """
    level = next((c for c in covariates if c.name == "dose_level" and c.numeric), None)
    if level is None or level.unit not in ("", doses.unit):
        return
    given = np.bincount(doses.patient, np.nan_to_num(doses.amount), minlength=len(patients))
    planned = np.asarray(level.values, dtype=float)
    known = (given > 0) & (planned > 0)
    far = np.zeros(len(patients), dtype=bool)
    far[known] = [is_far(g, p) for g, p in zip(given[known], planned[known], strict=True)]
    if not far.any() or (not level.unit and far[known].all()):
        return
    said = [
        f"{patients[i]!r} {words.dose(given[i], doses.unit)}, planned "
        f"{words.dose(planned[i], doses.unit)}"
        for i in np.flatnonzero(far)
    ]
    log.guess(
        f"Doses given are more than {FAR:g}-fold off the planned ones (patient {some(said)}); they "
        "were taken as written. Look at the unit in the header."
    )


def is_far(given: float, planned: float) -> bool:
    """Say whether a dose is more than `FAR` times above or below the planned one."""
    return bool(abs(np.log(given / planned)) > np.log(FAR) * (1 + 1e-9))
