"""Safety by dose level, for the first page: dose-limiting toxicity, CRS, ICANS, treatment."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._data.records import COMEDICATION
from cart_pkpd.plots import _text
from cart_pkpd.plots._groups import groups
from cart_pkpd.report._tables import Column, Table, Value

Floats = NDArray[np.float64]
_OUTCOMES: tuple[tuple[str, str, Callable[[Floats], NDArray[np.bool_]]], ...] = (
    ("dlt_evaluable", "DLT evaluable", lambda v: v > 0),
    ("dlt", "With DLT", lambda v: v > 0),
    ("crs_grade", "CRS, any grade", lambda v: v >= 1),
    ("crs_grade", "CRS, grade\N{NO-BREAK SPACE}≥\N{NO-BREAK SPACE}3", lambda v: v >= 3),
    ("icans_grade", "ICANS, any grade", lambda v: v >= 1),
    ("icans_grade", "ICANS, grade\N{NO-BREAK SPACE}≥\N{NO-BREAK SPACE}3", lambda v: v >= 3),
)


def table(trial: xr.Dataset) -> Table | None:
    """Return the patients with each outcome per dose level, or None where none is recorded.

    A patient whose outcome is not recorded counts neither way; the table then says of how many.
    """
    if "dose_level" not in trial.variables:
        return None
    found = [o for o in _OUTCOMES if o[0] in trial and trial[o[0]].dtype.kind in "fiub"]
    treatments = (
        sorted(set(trial["event_name"].values.astype(str))) if "event" in trial.dims else []
    )
    # The others are changes of covariates.
    treatments = [n for n in treatments if n not in trial or n in COMEDICATION.values()]
    if not found:
        return None
    columns = [
        Column("dose_level", "Dose level", _text.dose_unit(trial), "dose"),
        Column("n", "Treated", kind="count"),
        *(Column(f"outcome_{i}", o[1], kind="count") for i, o in enumerate(found)),
        *(Column(f"given_{name}", _text.sentence(name), kind="count") for name in treatments),
    ]
    patients = trial["id"].values.astype(str)
    rows, notes = [], []
    for group in groups(trial, "dose_level"):
        here = np.isin(patients, group.patients)
        level = float(trial["dose_level"].values[here][0])
        row: dict[str, Value] = {"dose_level": level, "n": int(here.sum())}
        for i, (name, text, holds) in enumerate(found):
            values = trial[name].values[here].astype(float)
            row[f"outcome_{i}"] = int(holds(values[np.isfinite(values)]).sum())
            if missing := int(np.isnan(values).sum()):
                notes.append(f"{text}, {group.label}: not recorded for {missing} of {here.sum()}.")
        row |= {f"given_{name}": _given(trial, name, group.patients) for name in treatments}
        rows.append(row)
    return Table("safety_by_dose", "Safety by dose level: patients with each outcome",
                 tuple(columns), tuple(rows), notes=tuple(notes))  # fmt: skip


def _given(trial: xr.Dataset, name: str, patients: tuple[str, ...]) -> int:
    """Return how many of the patients were given a treatment."""
    given = (trial["event_name"].values == name) & (trial["event_value"].values > 0)
    return len(set(trial["event_patient"].values[given]) & set(patients))
