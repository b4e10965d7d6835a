"""The simulated phase 1 trial ``fast01``: who wrote its numbers, and how to write them again.

``python -m cart_pkpd.datasets.simulate_fast01`` rewrites the bundled tables from
``fast01/truth.toml``. Each part of the trial has its own stream of random numbers, so that a
change in one part leaves the others as they were.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cart_pkpd.datasets._fast01 import (
    bundle,
    cytokines,
    follow_up,
    kinetics,
    patients,
    safety,
    tables,
    tumours,
)

_STREAMS = (
    "patients", "kinetics", "lesions", "cytokines", "grades", "treatment", "dlt", "tumour",
    "scans", "course", "follow_up", "records", "truncation",
)  # fmt: skip


def simulate(
    seed: int | None = None, truth: dict[str, Any] | None = None
) -> dict[str, pd.DataFrame]:
    """Simulate one trial.

    Parameters
    ----------
    seed : int, optional
        Seed of the trial; the one of the bundled trial by default.
    truth : dict, optional
        True parameters in the shape of ``truth.toml``; those of the bundled trial by default.

    Returns
    -------
    dict of DataFrame
        ``"records"``, ``"lesions"``, ``"followup"`` as in the bundled tables, with NaN for
        missing values, and ``"subjects_truth"``: the individual true parameters, one row per
        patient.

    Examples
    --------
    >>> simulate()["followup"].shape[0]
    30
    """
    values = bundle.truth() if truth is None else truth
    rng = _streams(values["seed"] if seed is None else seed)
    people = _patients(values, rng)
    people, course = _baseline_and_course(people, values, rng)
    people = _baseline_burden(people, course, rng["lesions"])
    people, levels = _safety(people, values, rng)
    outcome = follow_up.table(people, tumours.progression(course), values, rng["follow_up"])
    people = _evaluable(people, outcome)
    records = tables.observations(people, levels, values, rng["records"])
    records = _records(people, _truncate(records, outcome, values, rng["truncation"]), outcome)
    return {
        "records": records,
        "lesions": _lesions(course, outcome, rng["truncation"]),
        "followup": outcome.rename(columns=str.upper),
        "subjects_truth": people,
    }


def subjects(seed: int | None = None, truth: dict[str, Any] | None = None) -> pd.DataFrame:
    """Return the patients of `simulate` with their true kinetics, without what follows.

    The arguments are those of `simulate`; the columns are the first of its ``subjects_truth``.
    """
    values = bundle.truth() if truth is None else truth
    return _patients(values, _streams(values["seed"] if seed is None else seed))


def _patients(values: dict[str, Any], rng: dict[str, np.random.Generator]) -> pd.DataFrame:
    people = patients.table(values, rng["patients"])
    drawn = kinetics.individual(people["dose"].to_numpy(), values, rng["kinetics"])
    return people.assign(**drawn)


def _streams(seed: int) -> dict[str, np.random.Generator]:
    return {
        name: np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, k])))
        for k, name in enumerate(_STREAMS)
    }


def _baseline_and_course(
    people: pd.DataFrame, values: dict[str, Any], rng: dict[str, np.random.Generator]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the patients with their tumour's parameters, and the lesions at all planned scans."""
    people = people.assign(**tumours.individual(len(people), values, rng["tumour"]))
    lesions = patients.lesions(people, rng["lesions"])
    scans = tumours.visits(people, values, rng["scans"])
    return people, tumours.course(people, lesions, scans, values, rng["course"])


def _baseline_burden(
    people: pd.DataFrame, course: pd.DataFrame, rng: np.random.Generator
) -> pd.DataFrame:
    """Add the baseline sum of diameters, LDH, which rises with it, and the lymphodepletion."""
    target = course[(course["visit"] == "baseline") & (course["kind"] == "target")]
    burden = target.groupby("id")["diameter"].sum().reindex(people["id"]).to_numpy()
    noise = np.exp(0.3 * rng.standard_normal(len(people)))
    ldh = np.rint(215 * (burden / 80) ** 0.3 * noise)
    return people.assign(tumour_burden=burden, ldh=ldh, ld_start=-5, ld_end=-3)


def _safety(
    people: pd.DataFrame, values: dict[str, Any], rng: dict[str, np.random.Generator]
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the patients with CRS, its treatment, ICANS and DLT, and the cytokines after it.

    Grades follow from the cytokines as they would have been without treatment.
    """
    draws = cytokines.draw(len(people), values, rng["cytokines"])
    il6 = list(values["cytokines"]["species"]).index("il6")
    untreated = cytokines.levels(people, draws, values)
    people = people.join(safety.grade(untreated[:, il6], values, rng["grades"]))
    people = people.join(safety.toxicity(people, values, rng["dlt"]))
    people = people.join(safety.dlt_cause(people, rng["dlt"]))
    people = people.join(safety.treatment(people, values, rng["treatment"]))
    steroid = people[["steroid_on", "steroid_off"]].to_numpy()
    treated = cytokines.levels(people, draws, values, people["toci"].to_numpy(), steroid)
    return people, treated


def _evaluable(people: pd.DataFrame, outcome: pd.DataFrame) -> pd.DataFrame:
    """Add ``dlt_evaluable``: a DLT, or followed through day 28 without one.

    A DLT that would have come after death or loss did not happen.
    """
    last = outcome["last_contact_day"].to_numpy()
    never = people["dlt_day"].to_numpy() > last
    dlt = np.where(never, 0, people["dlt"])
    return people.assign(
        dlt=dlt,
        dlt_day=np.where(never, np.nan, people["dlt_day"]),
        dlt_type=np.where(dlt == 1, people["dlt_type"], "none"),
        dlt_evaluable=((dlt == 1) | (last >= 28)).astype(np.int64),
    )


def _truncate(
    records: pd.DataFrame, outcome: pd.DataFrame, values: dict[str, Any], rng: np.random.Generator
) -> pd.DataFrame:
    """Drop what was not drawn: after the last contact, and some after a new treatment."""
    last = records["ID"].map(outcome.set_index("id")["last_contact_day"])
    therapy = records["ID"].map(outcome.set_index("id")["new_therapy_day"])
    visits = records[["ID", "NTIME"]].drop_duplicates()
    away = visits[rng.random(len(visits)) < values["trial"]["missed_new_therapy"]]
    keys = pd.MultiIndex.from_frame(away)
    stays = ~pd.MultiIndex.from_frame(records[["ID", "NTIME"]]).isin(keys)
    elsewhere = (records["TIME"] > therapy).to_numpy() & ~stays
    return records[(records["TIME"] <= last).to_numpy() & ~elsewhere]


def _records(people: pd.DataFrame, observed: pd.DataFrame, outcome: pd.DataFrame) -> pd.DataFrame:
    """Return infusions, events and observations with the subject columns, in order of time."""
    table = pd.concat([tables.doses_and_events(people), observed], ignore_index=True)
    last = table["ID"].map(outcome.set_index("id")["last_contact_day"])
    table = table[table["TIME"] <= last]
    table = table.assign(_order=table["EVID"].map({1: 0, 2: 1, 0: 2}))
    table = table.sort_values(["ID", "TIME", "_order"], kind="stable").drop(columns="_order")
    about = people.rename(columns=tables.SUBJECT_COLUMNS).rename(columns={"id": "ID"})
    about = about[["ID", *tables.SUBJECT_COLUMNS.values()]]
    return table.merge(about, on="ID", how="left")[
        [*tables.RECORD_COLUMNS, *tables.SUBJECT_COLUMNS.values()]
    ]


def _lesions(course: pd.DataFrame, outcome: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Return the lesions as long as the patient was scanned.

    Scans end with death, loss, cut-off, a new treatment, and with progression; one patient in
    four has a further scan after progression.
    """
    by = outcome.set_index("id")
    stop = by[["last_contact_day", "new_therapy_day"]].min(axis=1)
    beyond = np.where(rng.random(len(by)) < 0.25, 45.0, 0.0)
    stop = pd.concat([stop, by["pd_day"] + beyond], axis=1).min(axis=1)
    table = course[course["day"] <= course["id"].map(stop)]
    columns = [
        "id", "visit", "day", "lesion", "kind", "site", "node", "measure", "diameter", "status",
    ]  # fmt: skip
    table = table[columns].assign(_patient=pd.factorize(table["id"])[0])
    table = table.sort_values(["_patient", "day"], kind="stable").drop(columns="_patient")
    return table.rename(columns=str.upper).reset_index(drop=True)


def write(folder: Path = bundle.FOLDER, seed: int | None = None) -> list[Path]:
    """Write ``records.csv``, ``lesions.csv`` and ``followup.csv`` into `folder`."""
    trial = simulate(seed)
    paths = []
    for name in ("records", "lesions", "followup"):
        path = Path(folder) / f"{name}.csv"
        table = tables.text(trial[name])
        path.write_bytes(table.to_csv(index=False, lineterminator="\n").encode("utf-8"))
        paths.append(path)
    return paths


if __name__ == "__main__":
    write()
