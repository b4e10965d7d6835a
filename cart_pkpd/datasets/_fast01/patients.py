"""Who was treated: cohorts, enrolment, baseline covariates and baseline lesions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SITES: dict[str, tuple[str, ...]] = {
    "mesothelioma": ("pleura", "lung", "mediastinal node", "peritoneum", "diaphragm"),
    "ovarian": ("peritoneum", "pelvis", "retroperitoneal node", "liver", "spleen"),
    "pancreatic": ("liver", "pancreas", "peritoneum", "coeliac node", "lung"),
    "cholangiocarcinoma": ("liver", "hilar node", "lung", "peritoneum", "adrenal"),
    "lung adenocarcinoma": ("lung", "mediastinal node", "liver", "adrenal", "pleura"),
}
"""Tumour type → organs in which lesions are found, the most usual first."""

_SHARES = np.cumsum([0.27, 0.27, 0.23, 0.13, 0.10])
_FEMALE = {"mesothelioma": 0.25, "ovarian": 1.0, "pancreatic": 0.45}
_NON_TARGET = ("pleural effusion", "ascites", "small lung nodules", "bone", "peritoneal seeding")


def table(truth: dict[str, Any], rng: np.random.Generator) -> pd.DataFrame:
    """Return one row per patient: cohort, dose, enrolment and baseline covariates."""
    people = _cohorts(truth["trial"])
    n = len(people)
    people["enrolled"] = _enrolment(people, rng)
    amount = people["dose"] * np.exp(truth["trial"]["dose_sd"] * rng.standard_normal(n))
    people["amount"] = amount
    kinds = list(SITES)
    people["tumour_type"] = [kinds[int(np.searchsorted(_SHARES, u))] for u in rng.random(n) * 0.999]
    female = np.array([_FEMALE.get(kind, 0.45) for kind in people["tumour_type"]])
    people["sex"] = np.where(rng.random(n) < female, "F", "M")
    people["age"] = np.clip(np.rint(60 + 9 * rng.standard_normal(n)), 32, 78)
    mean_weight = np.where(people["sex"] == "F", 63.0, 74.0)
    people["weight"] = np.round(mean_weight * np.exp(0.16 * rng.standard_normal(n)), 1)
    people["prior_lines"] = np.clip(np.rint(3 + 1.4 * rng.standard_normal(n)), 1, 8)
    # expression above the entry threshold of half the tumour cells for mesothelin
    people["msln_expression"] = np.rint(50 + 50 * rng.random(n) ** 0.8)
    people["muc1_expression"] = np.rint(25 + 75 * rng.random(n) ** 0.8)
    people["flu_dose"] = np.where(rng.random(n) < 0.15, 25.0, 30.0)
    people["cy_dose"] = np.where(rng.random(n) < 0.15, 250.0, 300.0)
    return people


def _cohorts(trial: dict[str, Any]) -> pd.DataFrame:
    rows = [
        (dose, f"E{level}", "escalation")
        for level, (dose, size) in enumerate(
            zip(trial["dose_levels"], trial["escalation"], strict=True), start=1
        )
        for _ in range(size)
    ]
    rows += [(trial["expansion_dose"], "X1", "expansion")] * trial["expansion"]
    people = pd.DataFrame(rows, columns=["dose", "cohort", "phase"])
    people.insert(0, "id", [f"F01-{i:03d}" for i in range(1, len(people) + 1)])
    return people


def _enrolment(people: pd.DataFrame, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the study day of each infusion: staggered, with a pause for the DLT window."""
    wait = np.where(people["phase"] == "escalation", 14.0, 5.0)
    wait = wait + 9.0 * rng.standard_exponential(len(people))
    first = (people["cohort"] != people["cohort"].shift()).to_numpy()
    wait = wait + np.where(first, 21.0, 0.0)
    wait[0] = 0.0
    return np.rint(np.cumsum(wait))


def lesions(people: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Return one row per baseline lesion; `size` is the true size at day 0 [mm].

    At most five targets and two per organ; nodes are measured on the short axis.
    """
    rows: list[dict[str, Any]] = []
    for patient, kind in zip(people["id"], people["tumour_type"], strict=True):
        n_target = 1 + int(min(4, np.floor(1.8 * rng.standard_exponential() + 0.6)))
        pool = [site for site in SITES[kind] for _ in range(2)]
        chosen = sorted(np.argsort(rng.random(len(pool)) + 0.12 * np.arange(len(pool)))[:n_target])
        for i, k in enumerate(chosen, start=1):
            node = "node" in pool[k]
            size = (17.0 if node else 12.0) + (5.0 if node else 19.0) * rng.standard_exponential()
            rows.append(_lesion(patient, f"T{i}", "target", pool[k], node, min(size, 130.0)))
        others = [s for s in _NON_TARGET if rng.random() < 0.22]
        rows += [
            _lesion(patient, f"NT{i}", "non-target", site, False, np.nan)
            for i, site in enumerate(others, start=1)
        ]
    return pd.DataFrame(rows)


def _lesion(
    patient: str, name: str, kind: str, site: str, node: bool, size: float
) -> dict[str, Any]:
    return {
        "id": patient, "lesion": name, "kind": kind, "site": site, "node": int(node), "size": size,
    }  # fmt: skip
