"""Lesion records: read, brought to millimetres, checked."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
import pandas as pd

from cart_pkpd._core.errors import DataError, DataWarning
from cart_pkpd._core.validate import one_of
from cart_pkpd._endpoints import fields, words
from cart_pkpd._endpoints.fields import Found, Source
from cart_pkpd._endpoints.followup import read_followup
from cart_pkpd._endpoints.lesion_checks import Limits, check
from cart_pkpd._endpoints.tables import LESIONS, shape

HEADERS: fields.Headers = {
    "id": ("ID", "USUBJID", "SUBJID", "SUBJECTID", "SUBJECT", "PATIENT", "PATIENTID"),
    "visit": ("VISIT", "AVISIT", "ASSESSMENT", "TIMEPOINT"),
    "day": ("DAY", "ADY", "TRDY", "TIME", "DAYS", "DAYSINCEINFUSION"),
    "lesion": ("LESION", "TRLNKID", "TULNKID", "LESIONID", "LESIONNUMBER"),
    "kind": ("KIND", "LESIONTYPE", "TRGRPID", "TYPE", "GROUP"),
    "site": ("SITE", "TULOC", "TRLOC", "ORGAN", "LOCATION"),
    "node": ("NODE", "NODAL", "LYMPHNODE", "NODEFL"),
    "diameter": ("DIAMETER", "TRSTRESN", "SIZE", "LENGTH", "DIAMETERMM", "DIAMETERCM"),
    "status": ("STATUS", "TRSTRESC", "LESIONSTATUS", "STATE"),
}
REQUIRED = ("id", "day", "lesion", "kind", "diameter")

MEASURABLE = (10.0, 15.0)  # mm: longest diameter, short axis of a node
BASELINE_WINDOW = 28.0  # day

Unit = Literal["mm", "cm"]


def read_lesions(
    table: Source,
    columns: Mapping[str, str] | None = None,
    *,
    unit: Unit | None = None,
    patients: Iterable[str] | None = None,
    followup: pd.DataFrame | None = None,
    measurable: tuple[float, float] | None = None,
    baseline_window: float | None = None,
    day_one: bool = False,
) -> pd.DataFrame:
    """Read lesion records and refuse what RECIST 1.1 cannot be applied to.

    Parameters
    ----------
    table : path or DataFrame
        One row per patient, assessment and lesion. Days count from the infusion (day 0).
    columns : dict, optional
        Headers by our names, where they are not recognised: ``{"diameter": "Size"}``. Needed are
        id, day, lesion, kind, diameter; visit, site, node and status are used where they are.
    unit : {"mm", "cm"}, optional
        Unit of the diameters. By default mm, unless no target reaches 10 at the baseline: then
        they are taken to be cm, and a warning says so.
    patients : iterable of str, optional
        All patients of the trial; a record of another one is an error.
    followup : DataFrame, optional
        Follow-up with days of death; an assessment after it is an error.
    measurable : (float, float), optional
        Smallest longest diameter, and short axis of a node, of a target at baseline; 10 and 15
        by default. [mm]
    baseline_window : float, optional
        Longest time from the baseline assessment to the infusion without a warning; 28 by
        default. [day]
    day_one : bool
        Whether the table calls the day of infusion day 1; days from 1 on are moved by one.

    Returns
    -------
    DataFrame
        As ``endpoints.columns("lesions")`` says, in order of patient and day. Lesions without
        a status get the one that their diameter tells. ``attrs["warnings"]`` holds what was warned.

    Raises
    ------
    DataError
        With every problem in ``.problems``: unknown kind or status, no number, negative
        diameter, unknown patient, an assessment before the baseline or after death, two
        assessments on one day, a lesion twice in one, a target that is not measurable at baseline
        or not in the baseline, a new lesion at baseline, a lesion whose kind changes.

    Warns
    -----
    DataWarning
        More than 5 targets or more than 2 per organ (all lymph nodes are one organ), a baseline
        earlier than `baseline_window`, no baseline, diameters taken to be cm.

    Notes
    -----
    A target too small to measure is given 5 mm unless a diameter stands there, an absent one
    0 mm [1]_. Thresholds of a measurable lesion are those for CT in slices of 5 mm or less.

    References
    ----------
    .. [1] Eisenhauer et al. (2009), Eur J Cancer 45:228, :doi:`10.1016/j.ejca.2008.10.026`.
    """
    if unit is not None:
        one_of(unit, ("mm", "cm"), "unit of diameters", error=DataError)
    raw, found = fields.frame(table), Found()
    given = fields.pick(raw, HEADERS, columns, REQUIRED, "lesions")
    made = _cells(given, len(raw), found)
    if day_one:
        made["day"] = fields.from_day_one(made["day"].to_numpy())
    found.stop()
    _to_mm(made, unit or ("mm" if "limits" in raw.attrs else None), found)
    _sizes(made, found)
    found.stop()
    made = _baselines(made, found)
    known = None if patients is None else {str(p) for p in patients}
    before = raw.attrs.get("limits", {})  # of a table that has been read before
    limits = Limits(
        measurable or before.get("measurable", MEASURABLE),
        baseline_window or before.get("baseline_window", BASELINE_WINDOW),
    )
    check(made, limits, known, _deaths(followup), found)
    found.stop()
    return _finish(made, found, limits, quiet=bool(before))


def _cells(given: dict[str, pd.Series], size: int, found: Found) -> pd.DataFrame:
    ids = fields.text(given["id"], size)
    for i, who in enumerate(ids):
        if not who:
            found.error("no_patient", f"row {i + 2} names no patient; fill it in.", row=i + 2)
    day = fields.numbers(given["day"], ids, "day", found)
    diameter = fields.numbers(given["diameter"], ids, "diameter", found)
    kinds = fields.text(given["kind"], size)
    made = pd.DataFrame(
        {
            "row": np.arange(size) + 2, "id": ids, "day": day,
            "visit": fields.text(given.get("visit"), size),
            "lesion": fields.text(given["lesion"], size),
            "kind": [words.kind(cell) for cell in kinds],
            "site": fields.text(given.get("site"), size),
            "node": fields.flags(given.get("node"), size),
            "diameter": diameter,
            "said": fields.text(given.get("status"), size),
        }
    )  # fmt: skip
    for i, (who, cell, when) in enumerate(zip(ids, kinds, day, strict=True)):
        if not made["kind"].iloc[i]:
            words.unknown("kind", cell, tuple(words.KINDS), i, who, found)
        if np.isnan(when):
            found.error("no_day", f"row {i + 2} (patient {who}) has no day; fill it in.",
                        patient=who, row=i + 2, column="day")  # fmt: skip
    return made


def _to_mm(made: pd.DataFrame, unit: Unit | None, found: Found) -> None:
    """Bring diameters to mm; guess cm where no target would be measurable in mm."""
    if unit is None:
        sizes = made.loc[(made["kind"] == words.TARGET) & (made["day"] <= 0), "diameter"].dropna()
        cm = bool(len(sizes)) and sizes.max() < 10 and sizes.min() >= 1
        unit = "cm" if cm else "mm"
        if cm:
            found.warn(
                "taken_as_cm",
                f"no target of the baseline reaches 10 (the largest is {sizes.max():g}), so the "
                "diameters are taken to be cm and multiplied by 10; pass unit= to settle it.",
                column="diameter",
            )
    if unit == "cm":
        made["diameter"] *= 10.0


def _sizes(made: pd.DataFrame, found: Found) -> None:
    """Set the status of every lesion, and the diameter that goes with it."""
    out: list[str] = []
    for i, r in enumerate(made.itertuples(index=False)):
        state = words.status(r.said, r.kind, r.diameter)
        out.append(state)
        if not state:
            words.unknown("status", r.said, words.ALLOWED[r.kind], i, r.id, found)
            continue
        where: dict[str, Any] = {"patient": r.id, "row": r.row, "column": "diameter"}
        lesion = f"lesion {r.lesion} of patient {r.id} on day {r.day:g} (row {r.row})"
        if r.diameter < 0:
            found.error("negative_diameter", f"{lesion} has the diameter {r.diameter:g} mm; a "
                        "diameter is 0 or more, correct it.", value=f"{r.diameter:g}",
                        **where)  # fmt: skip
        elif state == words.MEASURED and np.isnan(r.diameter):
            found.error("no_diameter", f"{lesion} is said to be measured and has no diameter; fill "
                        "it in, or write 'not evaluated'.", **where)  # fmt: skip
        elif state == words.ABSENT and r.kind == words.TARGET and r.diameter > 0:
            found.error("absent_with_diameter", f"{lesion} is said to be absent and has the "
                        f"diameter {r.diameter:g} mm; one of both is wrong.", **where)  # fmt: skip
    made["status"] = out
    target = made["kind"] == words.TARGET
    empty = made["diameter"].isna()
    made.loc[target & empty & (made["status"] == words.TOO_SMALL), "diameter"] = 5.0
    made.loc[target & (made["status"] == words.ABSENT), "diameter"] = 0.0
    made.loc[target & (made["status"] == words.NOT_EVALUATED), "diameter"] = np.nan


def _baselines(made: pd.DataFrame, found: Found) -> pd.DataFrame:
    """Name the baseline assessment of every patient, the others too where they have no name."""
    parts = []
    for who, own in made.groupby("id", sort=False):
        own = own.sort_values("day", kind="stable").copy()
        own["called"] = own["visit"]
        day = _baseline_day(own)
        if day > 0:
            found.error("baseline_after_infusion",
                        f"the baseline of patient {who} is on day {day:g}, after the infusion; "
                        "correct the day, or name the visit otherwise.",
                        patient=str(who), column="day", value=f"{day:g}")  # fmt: skip
        unnamed = own["visit"] == ""
        own.loc[unnamed, "visit"] = [f"day {d:g}" for d in own.loc[unnamed, "day"]]
        own["visit"] = np.where(own["day"] == day, "baseline", own["visit"])
        own["baseline_day"] = day
        parts.append(own)
    return pd.concat(parts, ignore_index=True) if parts else made.assign(baseline_day=np.nan)


def _baseline_day(own: pd.DataFrame) -> float:
    """Return the day of the visit so called, or else of the last one by the infusion."""
    for chosen in (
        own["visit"].str.lower() == "baseline",
        pd.Series([words.is_baseline(v) for v in own["visit"]], index=own.index, dtype=bool),
        own["day"] <= 0,
    ):
        if chosen.any():
            return float(own.loc[chosen, "day"].max())
    return float("nan")


def _deaths(followup: pd.DataFrame | None) -> dict[str, float]:
    if followup is None:
        return {}
    table = read_followup(followup)
    return dict(zip(table["id"], table["death_day"], strict=True))


def _finish(made: pd.DataFrame, found: Found, limits: Limits, *, quiet: bool) -> pd.DataFrame:
    columns = [c.name for c in LESIONS]
    table = shape(made[columns].to_dict("records"), LESIONS)
    table.attrs["limits"] = asdict(limits)
    table.attrs["warnings"] = [p.message for p in found.warnings]
    for problem in () if quiet else found.warnings:
        warnings.warn(problem.message, DataWarning, stacklevel=3)
    return table
