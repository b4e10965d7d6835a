"""Lesions over time, as they grow, are killed, and are measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cart_pkpd.datasets._fast01 import kinetics

Array = NDArray[np.float64]
Columns = dict[str, NDArray[Any]]

_DAILY: Array = np.arange(0.0, 461.0)
MONTH = 30.4375


def individual(n: int, truth: dict[str, Any], rng: np.random.Generator) -> dict[str, Array]:
    """Draw ``growth`` [1/day], ``kill`` [1/day] and ``spared`` [1] of `n` patients."""
    t = truth["tumour"]
    eta = rng.standard_normal((3, n))
    logit = np.log(t["spared"] / (1 - t["spared"])) + t["spared_iiv"] * eta[2]
    return {
        "growth": t["growth"] * np.exp(t["growth_iiv"] * eta[0]),
        "kill": t["kill"] * np.exp(t["kill_iiv"] * eta[1]),
        "spared": 1 / (1 + np.exp(-logit)),
    }


def killed(people: pd.DataFrame, truth: dict[str, Any]) -> Array:
    """Return K(t)/kill on whole days 0, 1, …: the cells' work so far, shape (n, days)."""
    half = truth["tumour"]["half_cells"]
    ratio = people["ratio"].to_numpy()[:, None]
    cells = np.exp(kinetics.log_level(_DAILY, people)) / ratio
    antigen = (people["msln_expression"] + people["muc1_expression"]).to_numpy()[:, None] / 2 / 70
    work = antigen * cells / (half + cells)
    return np.concatenate([np.zeros((len(people), 1)), np.cumsum(work, axis=1)[:, :-1]], axis=1)


def visits(people: pd.DataFrame, truth: dict[str, Any], rng: np.random.Generator) -> pd.DataFrame:
    """Return the planned scans of every patient: ``id``, ``visit``, ``day``; missed ones absent."""
    names = ["baseline", "d28", "M2", "M3", "M6", "M9", "M12"]
    nominal = np.array([-13, 31, *(m * MONTH for m in (2, 3, 6, 9, 12))])
    spread = np.array([4.0, 1.5, 3.0, 4.0, 7.0, 8.0, 9.0])
    n = len(people)
    day = np.rint(nominal + spread * np.clip(rng.standard_normal((n, 7)), -1.6, 2.2))
    day[:, 0] = np.clip(day[:, 0], -27, -6)
    kept = rng.random((n, 7)) >= truth["tumour"]["missed_scan"]
    kept[:, 0] = True
    table = pd.DataFrame(
        {"id": np.repeat(people["id"].to_numpy(), 7), "visit": names * n, "day": day.ravel()}
    )
    return table[kept.ravel()].reset_index(drop=True)


def course(
    people: pd.DataFrame,
    lesions: pd.DataFrame,
    scans: pd.DataFrame,
    truth: dict[str, Any],
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Return every lesion at every planned scan, as the radiologist writes it down.

    Returns
    -------
    DataFrame
        ``id``, ``visit``, ``day``, ``lesion``, ``kind``, ``site``, ``node``, ``measure``,
        ``diameter`` [mm], ``status``; scans after progression or death are still there.
    """
    t, work = truth["tumour"], killed(people, truth)
    planned = {str(patient): scan for patient, scan in scans.groupby("id", sort=False)}
    pieces = []
    for i, (_, own) in enumerate(lesions.groupby("id", sort=False)):
        who = people.iloc[i]
        days = planned[who["id"]]
        factor = _factor(who, len(own), days["day"].to_numpy(), work[i], t, rng)
        names = {"visit": days["visit"].to_numpy(), "day": days["day"].to_numpy()}
        pieces += [
            _targets(own, names, factor, t, rng),
            _others(own, names, factor, rng),
            _new(own, names, factor, t, rng),
        ]
    columns = pieces[0].keys()
    return pd.DataFrame({name: np.concatenate([p[name] for p in pieces]) for name in columns})


def _factor(
    who: pd.Series, n: int, when: Array, work: Array, t: dict[str, Any], rng: np.random.Generator
) -> Array:
    """Return the size of `n` lesions at `when` relative to day 0, shape (n, scans)."""
    growth = who["growth"] * np.exp(t["lesion_growth_sd"] * rng.standard_normal((n, 1)))
    kill = who["kill"] * np.exp(t["lesion_kill_sd"] * rng.standard_normal((n, 1)))
    done = np.interp(when, _DAILY, work)
    spared = who["spared"]
    return np.asarray(((1 - spared) * np.exp(-kill * done) + spared) * np.exp(growth * when))


def _rows(own: pd.DataFrame, scans: Columns) -> Columns:
    """Return scans × lesions as columns, all lesions of a scan together."""
    n_scans, n = scans["day"].size, len(own)
    rows: Columns = {name: np.repeat(values, n) for name, values in scans.items()}
    for name in ("id", "lesion", "kind", "site", "node"):
        rows[name] = np.tile(own[name].to_numpy(), n_scans)
    rows["measure"] = np.where(rows["node"] == 1, "short axis", "longest")
    return rows


def _targets(
    own: pd.DataFrame, scans: Columns, factor: Array, t: dict[str, Any], rng: np.random.Generator
) -> Columns:
    target = (own["kind"] == "target").to_numpy()
    rows = _rows(own[target], scans)
    true = (own["size"].to_numpy()[:, None] * factor)[target].T.ravel()
    size = true * (1 + t["measure_cv"] * rng.standard_normal(true.size))
    size = np.rint(size + t["measure_sd"] * rng.standard_normal(true.size))
    baseline, node = rows["visit"] == "baseline", rows["node"] == 1
    size = np.where(baseline, np.maximum(size, np.where(node, 15, 10)), size)
    absent = ~node & ~baseline & (true < 2.0)
    small = ~baseline & ~absent & (size < 5)
    skipped = ~baseline & (rng.random(true.size) < t["missing_measure"])
    size = np.where(absent, 0.0, np.where(small, 5.0, size))
    status = np.where(absent, "absent", np.where(small, "too small to measure", "measured"))
    rows["diameter"] = np.where(skipped, np.nan, size)
    rows["status"] = np.where(skipped, "not assessed", status)
    return rows


def _others(own: pd.DataFrame, scans: Columns, factor: Array, rng: np.random.Generator) -> Columns:
    other = (own["kind"] == "non-target").to_numpy()
    rows = _rows(own[other], scans)
    relative = factor[other].T.ravel()
    status = np.where(relative > 1.9, "unequivocal progression", "present")
    gone = (relative < 0.35) & (rng.random(relative.size) < 0.7)
    rows["diameter"] = np.full(relative.size, np.nan)
    rows["status"] = np.where(gone, "absent", status)
    return rows


_NEW_SITES = ("liver", "lung", "peritoneum", "bone", "brain")


def _new(
    own: pd.DataFrame, scans: Columns, factor: Array, t: dict[str, Any], rng: np.random.Generator
) -> Columns:
    """Return the new lesion from the scan that first shows it, or no rows."""
    when, load = np.maximum(scans["day"], 0.0), factor.mean(axis=0)
    hazard = np.cumsum(t["new_lesion_hazard"] * load[1:] ** 2 * np.diff(when))
    seen = np.append(False, hazard > rng.standard_exponential())
    site, doubt = _NEW_SITES[int(rng.random() * len(_NEW_SITES))], rng.random() < 0.15
    lesion = own.iloc[:1].assign(lesion="NEW1", kind="new", site=site, node=0)
    rows = _rows(lesion, {name: values[seen] for name, values in scans.items()})
    n = int(seen.sum())
    rows["diameter"] = np.full(n, np.nan)
    first = np.arange(n) == 0
    rows["status"] = np.where(first & doubt & (n > 1), "equivocal", "unequivocal")
    return rows


def progression(table: pd.DataFrame) -> dict[str, float]:
    """Return the day of the first scan that shows progression, by patient.

    The investigator's reading: a sum of diameters 20 % and 5 mm above the smallest so far,
    unequivocal progression of a non-target lesion, or an unequivocal new lesion.
    """
    is_target = (table["kind"] == "target").to_numpy()
    size = np.where(is_target, table["diameter"], 0.0)
    worse = table["status"].isin(["unequivocal progression", "unequivocal"])
    scans = (
        table.assign(total=np.nan_to_num(size), gap=np.isnan(size), worse=worse)
        .groupby(["id", "day"])[["total", "gap", "worse"]]
        .agg({"total": "sum", "gap": "any", "worse": "any"})
    )
    found: dict[str, float] = {}
    low: dict[str, float] = {}
    for patient, day, total, gap, bad in scans.reset_index().itertuples(index=False):
        least = low.get(patient, np.inf)
        if patient not in found and (bad or total >= max(1.2 * least, least + 5)):
            found[patient] = day
        if not gap:
            low[patient] = min(least, total)
    return found
