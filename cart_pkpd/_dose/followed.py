"""Patients of the chain: dose, exposure, peaks, CRS grade and DLT side by side."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._core.errors import DataError, Problem
from cart_pkpd._dose.links import Links
from cart_pkpd._dose.measured import MISSING, Measured
from cart_pkpd._dose.patients import DoseData, Patient
from cart_pkpd._dose.peaks import Peaks

type Floats = NDArray[np.float64]


def followed(
    data: DoseData,
    exposure: Measured,
    peaks: Peaks,
    trial: xr.Dataset,
    links: Links,
    *,
    grade: str,
) -> tuple[xr.Dataset, tuple[str, ...]]:
    """Return one table of all that is known, and notes on who is not used where.

    Returns
    -------
    xr.Dataset
        Dim id: ``dose``, ``dose_level`` [dose unit], ``exposure`` (ln, or its bound),
        ``exposure_error``, ``exposure_status``, ``dlt`` (NaN where it does not count), ``weight``
        (share of the window seen), ``grade``; dims id, cytokine: ``peak`` (ln, or its bound),
        ``peak_status``.

    Raises
    ------
    DataError
        If nobody has a DLT outcome, or a grade is none of the declared ones.
    """
    patients = [p for p in data.patients if p.amount > 0]
    ids = np.array([p.id for p in patients], dtype=str)
    place = {str(i): j for j, i in enumerate(exposure.ids)}
    row = np.array([place.get(i, -1) for i in ids], dtype=int)
    there, chosen = row >= 0, peaks.of(list(ids))
    counts = np.array([p.informative for p in patients], dtype=bool)
    out = xr.Dataset(
        {
            "dose": ("id", np.array([p.amount for p in patients], dtype=float)),
            "dose_level": ("id", np.array([p.planned for p in patients], dtype=float)),
            "exposure": ("id", np.where(there, exposure.value[row], np.nan)),
            "exposure_error": ("id", np.where(there, exposure.error[row], np.nan)),
            "exposure_status": ("id", np.where(there, exposure.status[row], MISSING)),
            "dlt": ("id", np.where(counts, [float(p.dlt) for p in patients], np.nan)),
            "weight": ("id", np.array([_seen(p, data.window) for p in patients], dtype=float)),
            "grade": ("id", _grades(trial, ids, links, grade)),
            "peak": (("id", "cytokine"), chosen.value),
            "peak_status": (("id", "cytokine"), chosen.status),
            "lloq": ("cytokine", chosen.lloq),
        },
        coords={
            "id": ids,
            "cytokine": np.array(chosen.names, dtype=str),
            "label": ("cytokine", np.array(chosen.labels, dtype=str)),
            "unit": ("cytokine", np.array(chosen.units, dtype=str)),
        },
        attrs={
            "dose_units": data.levels.unit, "exposure_units": exposure.unit,
            "exposure_label": exposure.label, "exposure_source": exposure.source,
            "levels": list(data.levels.doses), "window": data.window,
        },
    )  # fmt: skip
    if not counts.any():
        raise DataError(
            "no patient has a DLT outcome that counts, so the chain has no end; look at "
            "dose.data(trial).exclusions()."
        )
    return out, (*exposure.notes, *_notes(out))


def _seen(patient: Patient, window: float) -> float:
    return patient.followed / window if patient.pending else 1.0


def _grades(trial: xr.Dataset, ids: NDArray[np.str_], links: Links, name: str) -> Floats:
    if links.grade is None:
        return np.full(ids.size, np.nan)
    if name not in trial.variables:
        raise DataError(
            f"the trial has no patient-level variable {name!r}; name it with crs_grade=, or leave "
            "CRS out of the chain with grade=None."
        )
    values = trial[name].reindex(id=ids).values.astype(float)
    known = values[np.isfinite(values)]
    strange = ~np.isin(known, links.grade.levels)
    if strange.any():
        who = str(ids[np.isfinite(values)][strange][0])
        bad = float(known[strange][0])
        raise DataError(
            Problem(
                "crs_grade",
                f"patient {who!r} has CRS grade {bad:g}, and the chain has grades "
                f"{links.grade.levels[0]} to {links.grade.levels[-1]}; correct it, or declare "
                "more levels in crs.ProportionalOdds(levels=...).",
                who, column=name, value=f"{bad:g}",
            )
        )  # fmt: skip
    return values


def _notes(found: xr.Dataset) -> list[str]:
    ids, notes = found["id"].values.astype(str), []
    for mask, what in (
        (found["exposure_status"].values == MISSING,
         "without exposure: averaged over what their dose gives"),
        (np.isnan(found["dlt"].values), "whose DLT outcome does not count"),
        (found["weight"].values < 1,
         "inside the DLT window: counted by the share of it that was seen"),
    ):  # fmt: skip
        if mask.any():
            who = ", ".join(ids[mask][:8]) + (", …" if mask.sum() > 8 else "")
            n = int(mask.sum())
            notes.append(f"{n} patient{'s' if n > 1 else ''} {what} ({who}).")
    return notes
