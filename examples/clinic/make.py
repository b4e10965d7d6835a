"""Three tables as a clinic hands them over, of a simulated phase 1 trial: python make.py.

18 patients at three doses, none of them real. Levels rise exponentially to a peak and fall in two
phases; cytokines peak two days before the cells; CRS follows the peak of IL-6, and dose-limiting
toxicity dose and peak. Headers, dates, texts for values below the limit: as they are met.
"""

import csv
import datetime
from collections.abc import Sequence
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
COHORTS = ((1e7, 3), (5e7, 6), (1.5e8, 9))
DAYS = (0.08, 1, 3, 5, 7, 10, 14, 18, 21, 28, 42, 60, 90, 120, 180)
ASSAYS = {
    "CAR qPCR": ("copies/ug DNA", 40.0, ("<40", "BLQ", "< 40")),
    "IL-6": ("pg/mL", 2.0, ("<2.0", "< 2")),
    "IFN gamma": ("pg/mL", 4.0, ("<4", "BLQ")),
}
OXYGEN = ("room air", "room air", "nasal cannula", "high-flow nasal cannula", "ventilation")
SAMPLES = ("Pt #", "Collected", "Assay", "Reported result", "Reported unit", "Lower limit",
           "Lab comment")  # fmt: skip
PATIENTS = ("Pt #", "Infusion date", "CAR+ cells infused (10^6)", "Cohort dose (10^6)",
            "Age (years)", "Sex", "Weight (kg)", "DLT (Y/N)", "DLT day",
            "Last contact day")  # fmt: skip
VITALS = ("Pt #", "Visit date", "T max (C)", "Vasopressors (n)", "O2 device", "O2 flow (L/min)",
          "Tocilizumab", "Dexamethasone")  # fmt: skip


def cells(t: float, p: dict[str, float]) -> float:
    """Return the transgene level at day t [copies/µg]."""
    after = max(t - p["tmax"], 0.0)
    fall = (1 - p["fb"]) * np.exp(-p["alpha"] * after) + p["fb"] * np.exp(-0.012 * after)
    return float(p["cmax"] * fall * np.exp(-0.62 * max(p["tmax"] - t, 0.0)))


def level(assay: str, t: float, p: dict[str, float]) -> float:
    """Return the level of a measure at day t, without error."""
    if assay == "CAR qPCR":
        return cells(t, p)
    base, peak = (3.0, p["il6"]) if assay == "IL-6" else (3.5, p["ifng"])
    return float(base + peak * np.exp(-0.5 * ((t - p["tmax"] + 2) / 2.2) ** 2))


def drawn(dose: float, rng: np.random.Generator) -> dict[str, float]:
    """Return the parameters of a new patient."""
    z = rng.standard_normal(6)
    cmax = 3000 * (dose / 5e7) ** 0.3 * np.exp(0.9 * z[0])
    return {
        "cmax": cmax,
        "tmax": 9.5 * np.exp(0.2 * z[1]),
        "alpha": 0.2 * np.exp(0.3 * z[2]),
        "fb": 1 / (1 + np.exp(3.5 - 0.8 * z[3])),
        "il6": 3 * cmax**0.55 * np.exp(0.6 * z[4]),
        "ifng": 2 * cmax**0.6 * np.exp(0.6 * z[5]),
    }


def samples(
    name: str, start: datetime.datetime, p: dict[str, float], last: int, rng: np.random.Generator
) -> list[Sequence[object]]:
    """Return the rows of a patient's samples until the last contact."""
    rows: list[Sequence[object]] = []
    for day in DAYS:
        if day > last or (day > 1 and rng.random() < 0.04):
            continue
        late = int(rng.integers(-60, 60)) if day > 0.5 else 0
        at = start + datetime.timedelta(days=float(day), minutes=late)
        t = (at - start).total_seconds() / 86400
        for assay, (unit, lloq, below) in ASSAYS.items():
            if assay != "CAR qPCR" and day > 28:
                continue
            value = level(assay, t, p) * np.exp(0.3 * rng.standard_normal())
            said = f"{value:.4g}" if value < 1e4 else f"{value:.0f}"
            said = str(rng.choice(below)) if value < lloq else said
            said = "not done" if rng.random() < 0.015 else said
            when = f"{at:%d-%b-%Y %H:%M}"
            note = "thawed once" if day == 5 else ""
            rows.append((name, when, assay, said, unit, f"{lloq:g}", note))
    return rows


def vitals(
    name: str, start: datetime.datetime, grade: int, onset: int, rng: np.random.Generator
) -> list[Sequence[object]]:
    """Return the rows of a patient's vital signs, one a day."""
    rows: list[Sequence[object]] = []
    for day in range(22):
        sick = grade > 0 and onset <= day < onset + 3 + grade
        worse = grade if sick and day > onset else 0
        temperature = 36.7 + 0.25 * rng.standard_normal() + (2 + 0.4 * rng.random()) * sick
        flow = "3" if worse == 2 else ""
        toci = "Y" if grade >= 2 and day == onset + 1 else "N"
        steroid = "Y" if worse >= 3 else "N"
        date = f"{start + datetime.timedelta(days=day):%d-%b-%Y}"
        rows.append((name, date, f"{temperature:.1f}", max(worse - 2, 0), OXYGEN[worse], flow, toci,
                     steroid))  # fmt: skip
    return rows


def patient(
    name: str, start: datetime.datetime, dose: float, rng: np.random.Generator
) -> tuple[list[Sequence[object]], Sequence[object], list[Sequence[object]]]:
    """Return samples, facts and vital signs of one patient."""
    p = drawn(dose, rng)
    last = 200 if rng.random() < 0.8 else int(rng.integers(35, 150))
    severity = 1.2 * np.log(level("IL-6", p["tmax"] - 2, p) / 150) + 0.6 * rng.logistic()
    grade = int(np.searchsorted((-1.6, 0.3, 1.6, 3.0), severity))
    onset = max(1, round(p["tmax"] - 3))
    odds = -3 + 0.9 * np.log(p["cmax"] / 3000) + 0.8 * np.log(dose / 5e7)
    toxic = grade >= 4 or rng.random() < 1 / (1 + np.exp(-odds))
    facts = (
        name, f"{start:%d-%b-%Y %H:%M}", f"{dose * (1 + 0.06 * rng.standard_normal()) / 1e6:.2f}",
        f"{dose / 1e6:g}", int(rng.integers(24, 78)), rng.choice(("Female", "Male")),
        f"{72 * np.exp(0.2 * rng.standard_normal()):.1f}", "Y" if toxic else "N",
        onset + 2 if toxic else "", last,
    )  # fmt: skip
    return samples(name, start, p, last, rng), facts, vitals(name, start, grade, onset, rng)


def main() -> None:
    """Write samples.csv, patients.csv and vitals.csv beside this file."""
    rng = np.random.default_rng(20260311)
    tables: tuple[list[Sequence[object]], ...] = ([SAMPLES], [PATIENTS], [VITALS])
    doses = [dose for dose, size in COHORTS for _ in range(size)]
    for n, dose in enumerate(doses):
        begin = datetime.datetime(2024, 3, 4, 11, 30)
        start = begin + datetime.timedelta(days=int(12 * n + rng.integers(0, 5)))
        rows, facts, signs = patient(f"{100 + n // 7}-{n % 7 + 1:02d}", start, dose, rng)
        tables[0].extend(rows)
        tables[1].append(facts)
        tables[2].extend(signs)
    for name, table in zip(("samples", "patients", "vitals"), tables, strict=True):
        with (HERE / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(table)


if __name__ == "__main__":
    main()
