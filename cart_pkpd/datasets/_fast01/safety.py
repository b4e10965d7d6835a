"""Cytokine release syndrome, its treatment, ICANS and dose-limiting toxicity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cart_pkpd.datasets._fast01.cytokines import GRID

Array = NDArray[np.float64]

_OTHER_DLT = (
    "pneumonitis grade 3",
    "pleural effusion grade 3",
    "ALT increased grade 3",
    "colitis grade 3",
)


def grade(il6: Array, truth: dict[str, Any], rng: np.random.Generator) -> pd.DataFrame:
    """Return ``il6_peak``, ``crs_grade`` and ``crs_day`` of every patient.

    Parameters
    ----------
    il6 : ndarray, shape (n patients, n grid)
        True IL-6 without treatment. [pg/mL]
    """
    c = truth["crs"]
    peak = il6.max(axis=1)
    logit = np.array(c["intercept"]) + c["slope"] * np.log(peak / c["reference"])[:, None]
    exceeds = 1 / (1 + np.exp(-logit)) > rng.random(len(peak))[:, None]
    grades = exceeds.sum(axis=1)
    # fever comes with the rise: when IL-6 first passes a third of its coming peak
    rise = GRID[np.argmax(il6 >= il6[:, :1] + (peak - il6[:, 0])[:, None] / 3, axis=1)]
    onset = np.clip(np.rint(rise - 0.5 + 0.8 * rng.standard_normal(len(peak))), 2, 18)
    return pd.DataFrame(
        {"il6_peak": peak, "crs_grade": grades, "crs_day": np.where(grades > 0, onset, np.nan)}
    )


def toxicity(people: pd.DataFrame, truth: dict[str, Any], rng: np.random.Generator) -> pd.DataFrame:
    """Return ``dlt`` (0/1) and ``icans_grade``.

    CRS of grade 4 is always a DLT, and ICANS of grade 3 occurs only as one.
    """
    d, c, n = truth["dlt"], truth["crs"], len(people)
    logit = (
        d["intercept"]
        + d["dose_slope"] * np.log(people["dose"].to_numpy() / 1e7)
        + d["il6_slope"] * np.log(people["il6_peak"].to_numpy() / d["reference"])
    )
    grades = people["crs_grade"].to_numpy()
    dlt = (rng.random(n) < 1 / (1 + np.exp(-logit))) | (grades == 4)
    risk = np.where(grades >= 2, c["icans_given_crs2"], c["icans_otherwise"])
    present, u = rng.random(n) < risk, rng.random(n)
    severity = 1 + (u > 0.6) + (dlt & (u > 0.8))
    return pd.DataFrame(
        {"dlt": dlt.astype(np.int64), "icans_grade": np.where(present, severity, 0)}
    )


def treatment(
    people: pd.DataFrame, truth: dict[str, Any], rng: np.random.Generator
) -> pd.DataFrame:
    """Return the times of tocilizumab and corticosteroids, NaN where not given.

    Columns ``toci``, ``toci_2``, ``steroid_on`` and ``steroid_off``. [day]
    """
    c, n = truth["crs"], len(people)
    grades = people["crs_grade"].to_numpy()
    worse = people["crs_day"].to_numpy() + 0.5 + 1.6 * rng.random(n)  # from fever to grade 2
    given = (grades >= 3) | ((grades == 2) & (rng.random(n) < c["toci_grade2"]))
    toci = np.where(given, worse, np.nan)
    second = np.where(rng.random(n) < c["toci_second"], toci + 0.4 + 0.8 * rng.random(n), np.nan)
    steroid = (grades >= 3) | (people["icans_grade"].to_numpy() >= 2)
    steroid |= (grades == 2) & (rng.random(n) < c["steroid_grade2"])
    # steroids for ICANS alone start at its usual onset, two days after the expected fever
    on = np.where(np.isnan(worse), 9.0 + 2 * rng.random(n), worse + 0.5 + rng.random(n))
    on = np.where(steroid, on, np.nan)
    off = on + 2.0 + 4.0 * rng.random(n)
    table = {"toci": toci, "toci_2": second, "steroid_on": on, "steroid_off": off}
    return pd.DataFrame({name: np.round(values, 2) for name, values in table.items()})


def dlt_cause(people: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Return ``dlt_day`` (NaN without one) and ``dlt_type`` (``"none"`` without one)."""
    crs, neuro = people["crs_grade"].to_numpy(), people["icans_grade"].to_numpy()
    n, dlt = len(people), people["dlt"].to_numpy() == 1
    later = np.rint(5 + 20 * rng.random(n))
    day = np.where(crs >= 3, np.minimum(people["crs_day"].to_numpy() + 2, 28), later)
    pick = np.floor(rng.random(n) * len(_OTHER_DLT)).astype(int)
    kind = [
        f"CRS grade {c}" if c >= 3 else f"ICANS grade {i}" if i >= 3 else _OTHER_DLT[k]
        for c, i, k in zip(crs, neuro, pick, strict=True)
    ]
    return pd.DataFrame(
        {"dlt_day": np.where(dlt, day, np.nan), "dlt_type": np.where(dlt, kind, "none")}
    )
