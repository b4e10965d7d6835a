"""What would be decided next: by the DLTs of the next cohort, and along whole paths."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import instance, one_of, positive_int
from cart_pkpd._dose.blrm import BLRM
from cart_pkpd._dose.design import Design
from cart_pkpd._dose.levels import Levels
from cart_pkpd._dose.patients import DoseData, Patient
from cart_pkpd._dose.state import GO, Ints, Many

_MOST_PATHS = 300_000


def with_cohort(data: DoseData, level: int, patients: int, dlts: int) -> DoseData:
    """Return data with one more complete cohort at the planned dose."""
    dose = data.levels.doses[level]
    new = tuple(
        Patient(
            f"next-{j + 1}", level, dose, dose, j < dlts, float("nan"), data.window, True, True,
            False,
        )
        for j in range(patients)
    )  # fmt: skip
    return replace(data, patients=(*data.patients, *new), current=level)


def scenarios(
    design: Design,
    data: DoseData,
    cohort: int,
    dose: float | None = None,
    ask: Literal["next", "mtd"] = "next",
) -> pd.DataFrame:
    """Return the decisions after the next cohort; see ``dose.scenarios``."""
    instance(design, Design, "a design", "dose.BOIN(0.30)")
    instance(data, DoseData, "what is known of a trial", "dose.data(trial) or dose.counts(...)")
    positive_int(cohort, "the cohort")
    one_of(ask, ("next", "mtd"), "ask")
    if dose is None and ask == "mtd":
        dose = _dose_of_more(design, data)
    elif dose is None:
        first = design.recommend(data)
        if first.action == "stop" or first.dose is None:
            raise DataError(
                f"{first.sentence} There is no next cohort; name its dose with dose= to see one."
            )
        dose = first.dose
    level = data.levels.index(dose)
    decide = design.mtd if ask == "mtd" else design.recommend
    each = [decide(with_cohort(data, level, cohort, j)) for j in range(cohort + 1)]
    before = design.mtd(data).dose if ask == "mtd" else None
    out = pd.DataFrame(
        {
            "dose": dose,
            "action": [d.action if ask == "next" else _change(before, d.dose) for d in each],
            "next_dose": [float("nan") if d.dose is None else d.dose for d in each],
            "reason": [d.reason for d in each],
        },
        index=pd.RangeIndex(cohort + 1, name="dlts"),
    )
    if isinstance(design, BLRM):
        chance = design.predictive(data, cohort).drop(columns="dose").to_numpy(dtype=float)
        out.insert(1, "probability", chance[level].tolist())
    out.attrs |= {
        "design": design.description,
        "cohort": cohort,
        "ask": ask,
        "doses": data.levels.doses,
        "units": {"dose": data.levels.unit, "next_dose": data.levels.unit},
    }
    return out


def _dose_of_more(design: Design, data: DoseData) -> float:
    """Return the dose of a further cohort at the end: the MTD, or the latest dose without one."""
    found = design.mtd(data)
    dose = found.current if found.dose is None else found.dose
    if dose is None:
        raise DataError(f"{found.sentence} Name the dose of a further cohort with dose=.")
    return dose


def _change(before: float | None, after: float | None) -> str:
    """Return what a further cohort does to the MTD."""
    if after is None:
        return "no MTD"
    if before is None:
        return "an MTD"
    if after == before:
        return "same MTD"
    return "higher MTD" if after > before else "lower MTD"


def paths(
    design: Design, levels: Levels, cohorts: int, size: int, start: float | None = None
) -> pd.DataFrame:
    """Return every path of a trial; see ``dose.paths``."""
    instance(design, Design, "a design", "dose.BOIN(0.30)")
    positive_int(cohorts, "the number of cohorts")
    positive_int(size, "the cohort size")
    if (size + 1) ** cohorts > _MOST_PATHS:
        raise DataError(
            f"{cohorts} cohorts of {size} have {(size + 1) ** cohorts:,} paths; ask for fewer."
        )
    k = len(levels)
    n, y = np.zeros((1, k), np.int64), np.zeros((1, k), np.int64)
    first = design.decide_many(n, y, np.array([-1]), doses=levels.array)
    if start is not None:
        first = Many(np.array([levels.index(start)]), np.array([GO]))
    level, going = first.level, first.action == GO
    columns = {"dose_1": level}
    for c in range(1, cohorts + 1):
        # Every running trial gets one copy per number of DLTs, every ended one stays.
        times = np.where(going, size + 1, 1)
        at = np.repeat(np.arange(going.size), times)
        seen = np.concatenate([np.arange(t) for t in times])
        n, y, going, level = n[at], y[at], going[at], level[at]
        columns = {name: values[at] for name, values in columns.items()}
        columns[f"dlts_{c}"] = np.where(going, seen, -1)
        rows = np.flatnonzero(going)
        n[rows, level[rows]] += size
        y[rows, level[rows]] += seen[rows]
        last = (np.full(rows.size, size), seen[rows])
        found = design.decide_many(n[rows], y[rows], level[rows], last=last, doses=levels.array)
        level[rows], going[rows] = found.level, found.action == GO
        columns |= {f"dose_{c + 1}": level.copy(), f"go_{c + 1}": going.copy()}
    return _as_table(design, levels, columns, n, y)


def _as_table(
    design: Design, levels: Levels, columns: dict[str, Any], n: Ints, y: Ints
) -> pd.DataFrame:
    """Return a table with doses and DLTs; NaN after the end of a path."""
    doses = np.append(levels.array, np.nan)  # the last is for no dose
    out = pd.DataFrame(index=pd.RangeIndex(n.shape[0], name="path"))
    ended = np.zeros(n.shape[0], dtype=bool)
    for name, values in columns.items():
        kind, number = name.split("_")
        if kind == "go":
            ended |= ~values
        elif kind == "dlts":
            out[name] = np.where(values < 0, np.nan, values)
        else:
            last = columns.get(f"go_{number}")
            shown = doses[values]
            out[name] = np.where(ended | (False if last is None else ~last), np.nan, shown)
    mtd = design.mtd_many(n, y)
    out["stopped"] = ended
    out["patients"] = n.sum(axis=1)
    out["mtd"] = doses[mtd]
    out.attrs |= {"design": design.description, "units": {"dose": levels.unit}}
    return out
