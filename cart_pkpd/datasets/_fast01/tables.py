"""Observation records, and every table as it is written to disk."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cart_pkpd.datasets._fast01 import cytokines, kinetics
from cart_pkpd.datasets._fast01.tumours import MONTH

Array = NDArray[np.float64]

SUBJECT_COLUMNS: dict[str, str] = {
    "dose": "DOSELEVEL", "cohort": "COHORT", "phase": "PHASE",
    "age": "AGE", "sex": "SEX", "weight": "WEIGHT", "tumour_type": "TUMOUR_TYPE",
    "tumour_burden": "TUMOUR_BURDEN", "msln_expression": "MSLN_EXPRESSION",
    "muc1_expression": "MUC1_EXPRESSION", "ldh": "LDH", "prior_lines": "PRIOR_LINES",
    "flu_dose": "FLU_DOSE", "cy_dose": "CY_DOSE", "ld_start": "LD_START", "ld_end": "LD_END",
    "crs_grade": "CRS_GRADE", "crs_day": "CRS_DAY", "icans_grade": "ICANS_GRADE",
    "dlt": "DLT", "dlt_day": "DLT_DAY", "dlt_type": "DLT_TYPE", "dlt_evaluable": "DLT_EVALUABLE",
}  # fmt: skip
"""Column of the patients → its name in records.csv."""

RECORD_COLUMNS = [
    "ID", "TIME", "NTIME", "DVID", "UNIT", "DV", "CENS", "LLOQ", "ULOQ", "AMT", "EVID", "MDV",
    "OCC",
]  # fmt: skip


def nominal(days: list[float], months: list[float]) -> Array:
    """Return nominal times [day] of visits given in days and in months."""
    return np.array([*days, *(m * MONTH for m in months)], dtype=np.float64)


def actual(planned: Array, rng: np.random.Generator) -> Array:
    """Return the time at which blood was drawn at each planned visit, to 15 minutes or so.

    The day-0 sample is taken one to three hours after the infusion. Visits of the first two
    weeks are kept to the day, later ones move by days, those after month 2 by a week or two.
    """
    shift_sd = np.interp(planned, [14, 21, 28, 60, 180, 365], [0.0, 0.7, 1.0, 3.0, 6.0, 8.0])
    shift = np.rint(shift_sd * np.clip(rng.standard_normal(planned.size), -2, 2))
    hour = (rng.random(planned.size) - 0.4) / 4  # infusion at about 11 h, blood from 8.30 to 14.30
    time = planned + shift + hour
    time = np.where(planned == 0, (1 + 2 * rng.random(planned.size)) / 24, time)
    return np.round(time, 2)


def significant(value: float, digits: int) -> float:
    """Return `value` to `digits` significant digits, as a laboratory reports it."""
    return float(f"{value:.{digits - 1}e}")


def observations(
    people: pd.DataFrame,
    levels: Array,
    truth: dict[str, Any],
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Return every observation that was planned and not missed, before truncation.

    Parameters
    ----------
    people : DataFrame
        One row per patient, with the kinetics.
    levels : ndarray, shape (n patients, 9, n grid)
        True cytokines. [pg/mL]
    """
    pieces: list[dict[str, NDArray[Any]]] = []
    for i, (_, who) in enumerate(people.iterrows()):
        pieces += _patient(who, levels[i], truth, rng)
    table = {name: np.concatenate([p[name] for p in pieces]) for name in pieces[0]}
    return pd.DataFrame(table)[RECORD_COLUMNS]


def _patient(
    who: pd.Series, levels: Array, truth: dict[str, Any], rng: np.random.Generator
) -> list[dict[str, NDArray[Any]]]:
    """Return the observations of one patient; one blood draw serves all assays of a visit."""
    trial, cells, c = truth["trial"], truth["car_cells"], truth["cytokines"]
    kinetic = nominal(trial["days"], trial["months"])
    early = np.array(trial["cytokine_days"], dtype=np.float64)
    planned = np.union1d(kinetic, early)
    time = actual(planned, rng)
    risk = np.where(planned <= 28, trial["missed_early"], trial["missed_late"])
    missed = (rng.random(planned.size) < risk) & (planned > 0)
    log_c = np.asarray(kinetics.log_level(time, who))
    flow = nominal(cells["days"], cells["months"])
    assays = [("transgene", log_c, kinetic, truth["transgene"])]
    assays += [("car_cells", log_c - np.log(who["ratio"]), flow, cells)]
    for j, (name, species) in enumerate(c["species"].items()):
        true = np.log(cytokines.at(time, levels[j]))
        assays.append((name, true, early, {"unit": c["unit"], **species}))
    pieces = []
    for name, true, days, assay in assays:
        take = np.isin(planned, days) & ~missed
        piece = _assay(name, true[take], assay, trial["missing_result"], rng)
        piece |= {"ID": np.full(take.sum(), who["id"]), "TIME": time[take]}
        pieces.append(piece | {"NTIME": planned[take]})
    return pieces


def _assay(
    name: str, log_true: Array, assay: dict[str, Any], lost: float, rng: np.random.Generator
) -> dict[str, NDArray[Any]]:
    """Return what the laboratory reports for the true levels of one endpoint."""
    value = np.exp(log_true + assay["sigma"] * rng.standard_normal(log_true.size))
    low, high = assay["lloq"], assay.get("uloq", np.nan)
    digits = 4 if name == "transgene" else 3
    dv = np.array([significant(v, digits) for v in value])
    censored = np.where(dv < low, 1, np.where(dv > high, -1, 0))
    gone = rng.random(dv.size) < lost
    fixed = {"DVID": name, "UNIT": assay["unit"], "LLOQ": low, "ULOQ": high, "AMT": np.nan}
    fixed |= {"EVID": 0, "OCC": 1}
    return {key: np.full(dv.size, constant) for key, constant in fixed.items()} | {
        "DV": np.where(gone, np.nan, np.fmin(np.maximum(dv, low), high)),
        "CENS": np.where(gone, 0, censored),
        "MDV": gone.astype(np.int64),
    }


def doses_and_events(people: pd.DataFrame) -> pd.DataFrame:
    """Return the infusion (EVID 1) and the co-medication (EVID 2; DV 1 = given or on, 0 = off)."""
    rows = []
    for _, who in people.iterrows():
        dose = {"DVID": "dose", "UNIT": "cells", "AMT": significant(who["amount"], 3), "EVID": 1}
        rows.append({"ID": who["id"], "TIME": 0.0, "NTIME": 0.0, **dose})
        for name, column, value in _EVENTS:
            if not np.isnan(who[column]):
                event = {"DVID": name, "UNIT": "1", "DV": value, "EVID": 2}
                rows.append({"ID": who["id"], "TIME": who[column], **event})
    table = pd.DataFrame(rows).assign(MDV=1, OCC=1, CENS=0)
    return table.reindex(columns=RECORD_COLUMNS)


_EVENTS = (
    ("tocilizumab", "toci", 1.0),
    ("tocilizumab", "toci_2", 1.0),
    ("steroid", "steroid_on", 1.0),
    ("steroid", "steroid_off", 0.0),
)


def text(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table as text: numbers as short as they are exact, "." for what is missing."""
    return table.apply(lambda column: column.map(_cell))


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value or "."
    if value is None or np.isnan(value):
        return "."
    return np.format_float_positional(float(value), trim="-")
