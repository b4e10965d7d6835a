"""What became of the patients: progression, new treatment, death, loss, data cut-off."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

_THERAPIES = {
    "mesothelioma": ("pemetrexed rechallenge", "vinorelbine"),
    "ovarian": ("weekly paclitaxel", "pegylated liposomal doxorubicin"),
    "pancreatic": ("fluorouracil and irinotecan liposome", "phase 1 trial agent"),
    "cholangiocarcinoma": ("FOLFOX", "phase 1 trial agent"),
    "lung adenocarcinoma": ("docetaxel", "phase 1 trial agent"),
}


def table(
    people: pd.DataFrame,
    progressed: dict[str, float],
    truth: dict[str, Any],
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Return one row per patient, in days since the infusion; NaN or "" where nothing happened.

    Columns ``pd_day``, ``pd_basis``, ``new_therapy_day``, ``new_therapy``, ``death_day``,
    ``death_cause``, ``last_contact_day``, ``lost`` (0/1), ``cut_off_day``.
    """
    f = truth["follow_up"]
    cut_off = people["enrolled"].max() + truth["trial"]["cut_off_after_last"] - people["enrolled"]
    rows = []
    for patient, kind, end in zip(people["id"], people["tumour_type"], cut_off, strict=True):
        u, e = rng.random(5), rng.standard_exponential(5)
        pd_day, basis = _progression(progressed.get(patient, np.inf), u, f)
        death = f["earliest"] + e[0] / f["death_hazard"]
        if death > pd_day:
            death = pd_day + 7 + e[1] / f["death_hazard_progressed"]
        therapy = _new_therapy(pd_day, u, e, f)
        lost = f["earliest"] + e[4] / f["lost_hazard"]
        # the living were last heard of in the three weeks before the cut-off
        last = float(np.floor(min(death, lost, end - 20 * u[4])))
        if therapy < pd_day:  # followed for survival only from then on
            pd_day = np.inf
        death, pd_day, therapy = np.floor(death), np.floor(pd_day), np.floor(therapy)
        rows.append(
            {
                "id": patient,
                "pd_day": _day(pd_day, last),
                "pd_basis": basis if pd_day <= last else "",
                "new_therapy_day": _day(therapy, last),
                "new_therapy": _THERAPIES[kind][int(u[3] * 2)] if therapy <= last else "",
                "death_day": _day(death, last),
                "death_cause": "" if death > last else _cause(pd_day, death, u[4]),
                "last_contact_day": last,
                "lost": int(lost < min(death, end - 20 * u[4])),
                "cut_off_day": end,
            }
        )
    return pd.DataFrame(rows)


def _day(day: float, last: float) -> float:
    return float(day) if day <= last else np.nan


def _progression(scan: float, u: np.ndarray, f: dict[str, Any]) -> tuple[float, str]:
    """Return day and basis; some are called on symptoms in the weeks before the scan."""
    if scan < np.inf and u[0] < f["clinical_progression"]:
        return max(scan - 3 - 20 * u[1], 15.0), "clinical"
    return scan, "radiological" if scan < np.inf else ""


def _new_therapy(pd_day: float, u: np.ndarray, e: np.ndarray, f: dict[str, Any]) -> float:
    if u[2] < f["early_new_therapy"]:
        return float(min(60 + 60 * e[2], max(pd_day - 10, 40)))
    if u[2] < f["early_new_therapy"] + f["new_therapy"]:
        return float(pd_day + 14 + f["new_therapy_delay"] * e[3])
    return np.inf


def _cause(pd_day: float, death: float, u: float) -> str:
    if pd_day <= death:
        return "disease progression" if u < 0.85 else "unknown"
    return "infection" if u < 0.5 else "disease progression"
