"""Lesion records: read, brought to millimetres, checked."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
import pandas as pd

from cart_pkpd._core.errors import DataError, DataWarning
from cart_pkpd._core.validate import as_patients, at_least_0, one_of, pair, yes_or_no
from cart_pkpd._endpoints import fields, words
from cart_pkpd._endpoints.fields import Found, Infusion, Source
from cart_pkpd._endpoints.followup import read_followup
from cart_pkpd._endpoints.lesion_checks import Limits, check
from cart_pkpd._endpoints.records import Record
from cart_pkpd._endpoints.records import patients as patients_of
from cart_pkpd._endpoints.tables import LESIONS, shape

HEADERS: fields.Headers = {
    "id": ("ID", "USUBJID", "SUBJID", "SUBJECTID", "SUBJECT", "PATIENT", "PATIENTID"),
    "visit": ("VISIT", "AVISIT", "ASSESSMENT", "TIMEPOINT"),
    "day": ("DAY", "ADY", "TRDY", "TIME", "DAYS", "DAYSINCEINFUSION", "DATE", "ASSESSMENTDATE",
            "SCANDATE", "DATEOFSCAN", "DATEOFASSESSMENT", "TRDTC", "ADT"),
    "lesion": ("LESION", "TRLNKID", "TULNKID", "LESIONID", "LESIONNUMBER"),
    "kind": ("KIND", "LESIONTYPE", "TRGRPID", "TYPE", "GROUP"),
    "site": ("SITE", "TULOC", "TRLOC", "ORGAN", "LOCATION"),
    "node": ("NODE", "NODAL", "LYMPHNODE", "NODEFL"),
    "diameter": ("DIAMETER", "TRSTRESN", "SIZE", "LENGTH", "DIAMETERMM", "DIAMETERCM"),
    "measure": ("MEASURE", "MEASUREMENT", "AXIS", "TRTEST", "TRTESTCD"),
    "status": ("STATUS", "TRSTRESC", "LESIONSTATUS", "STATE"),
    "baseline": ("ABLFL", "TRBLFL", "TRLOBXFL", "BLFL", "BASELINEFL", "BASELINEFLAG"),
    "infusion": ("INFUSION", "INFUSIONDATE", "DATEOFINFUSION", "INFUSIONDT", "INFDT"),
}  # fmt: skip
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
    infusion: Infusion | None = None,
) -> pd.DataFrame:
    """Read lesion records and refuse what RECIST 1.1 cannot be applied to.

    Parameters
    ----------
    table : path or DataFrame
        One row per patient, assessment and lesion: CSV (any usual separator; a decimal comma where
        cells are separated by semicolons or tabs), SAS transport file or DataFrame. Days are
        numbers that count from the infusion (day 0), or dates.
    columns : dict, optional
        Headers by our names, where they are not recognised: ``{"diameter": "Size"}``. Needed are
        id, day, lesion, kind, diameter; visit, site, node, measure (such as "short axis"), status,
        baseline (a flag) and infusion (its date) are used where they are. A word for the status
        ("present") may stand in place of a diameter.
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
        Whether numbers call the day of infusion day 1; days from 1 on are moved by one.
    infusion : mapping or Series, optional
        Date of infusion by patient, where the days are dates and no column has it.

    Returns
    -------
    DataFrame
        As ``endpoints.columns("lesions")`` says, in order of patient and day. Lesions without
        a status get the one that their diameter tells. ``attrs["warnings"]`` holds what was warned.

    Raises
    ------
    DataError
        With every problem in ``.problems``: unknown kind or status, no number or date, negative
        diameter, unknown patient, an assessment before the baseline or after death, two
        assessments on one day, a lesion twice in one, a target that is not measurable at baseline
        or not in the baseline, a new lesion at baseline, a lesion whose kind changes.

    Warns
    -----
    DataWarning
        More than 5 targets or more than 2 per organ (all lymph nodes are one organ), a baseline
        earlier than `baseline_window`, no baseline, diameters taken to be cm, lesions taken to be
        nodes by their site or short axis, words for a status among the diameters.

    Notes
    -----
    The baseline is the assessment that is flagged so (ABLFL, TRBLFL), else the one whose visit is
    called so (baseline, screening, pre-infusion), else the last one by day 0.

    A target too small to measure is given 5 mm unless a diameter stands there, an absent one
    0 mm [1]_. Thresholds of a measurable lesion are those for CT in slices of 5 mm or less.

    References
    ----------
    .. [1] Eisenhauer et al. (2009), Eur J Cancer 45:228, :doi:`10.1016/j.ejca.2008.10.026`.
    """
    if unit is not None:
        one_of(unit, ("mm", "cm"), "unit of diameters", error=DataError)
    yes_or_no(day_one, "day_one")
    if measurable is not None:
        pair(measurable, "measurable", "(longest diameter, short axis of a node)")
    if baseline_window is not None:
        at_least_0(baseline_window, "baseline_window")
    found = Found()
    raw = fields.frame(table, "lesions", found)
    given = fields.pick(raw, HEADERS, columns, REQUIRED, "lesions")
    made = _cells(given, len(raw), infusion, day_one, found)
    found.stop()
    _to_mm(made, unit or ("mm" if "limits" in raw.attrs else None), found)
    for record in made:
        _complete(record, found)
    found.stop()
    own = patients_of(made)
    baselines = {who: _baseline(who, records, found) for who, records in own.items()}
    if baseline_window is not None:
        at_least_0(baseline_window, "baseline_window")
    before = raw.attrs.get("limits", {})  # of a table that has been read before
    limits = Limits(
        measurable or before.get("measurable", MEASURABLE),
        baseline_window or before.get("baseline_window", BASELINE_WINDOW),
    )
    known = None if patients is None else set(as_patients(patients, "patients"))
    check(own, baselines, limits, known, _deaths(followup), found)
    found.stop()
    return _finish(own, found, limits, quiet=bool(before))


def _cells(
    given: dict[str, pd.Series], size: int, infusion: Infusion | None, day_one: bool, found: Found
) -> list[Record]:
    """Return the table's rows, every cell read; what cannot be read is noted."""
    ids = fields.text(given["id"], size)
    calendar = fields.calendar(infusion, given.get("infusion"), ids, day_one, found)
    days = calendar.days(given["day"], ids, "day", found)
    kinds = fields.text(given["kind"], size)
    diameters, statuses = _sizes(given, size, found)
    made = [
        Record(*cells)
        for cells in zip(
            map(found.row, range(size)), ids, days.tolist(), fields.text(given.get("visit"), size),
            fields.text(given["lesion"], size), [words.kind(cell) for cell in kinds],
            fields.text(given.get("site"), size), _nodes(given, ids, found),
            fields.flags(given.get("baseline"), ids, "baseline", found).tolist(),
            fields.numbers(diameters, ids, "diameter", found).tolist(),
            statuses,
            strict=True,
        )
    ]  # fmt: skip
    for record, cell in zip(made, kinds, strict=True):
        _identity(record, cell, found)
    return made


def _sizes(given: dict[str, pd.Series], size: int, found: Found) -> tuple[pd.Series, list[str]]:
    """Return diameters and statuses; a word for a status among the diameters is the status."""
    cells, statuses = fields.text(given["diameter"], size), fields.text(given.get("status"), size)
    moved = [
        i for i, (cell, said) in enumerate(zip(cells, statuses, strict=True))
        if words.is_status(cell) and (not said or words.same_status(cell, said))
    ]  # fmt: skip
    if not moved:
        return given["diameter"], statuses
    found.warn(
        "word_for_diameter",
        f"the diameters hold words such as {cells[moved[0]]!r} (row {found.row(moved[0])}), which "
        "are taken to be the status of the lesion.",
        row=found.row(moved[0]), column="diameter", value=cells[moved[0]],
    )  # fmt: skip
    for i in moved:
        statuses[i], cells[i] = cells[i], ""
    return pd.Series(cells, dtype=object), statuses


def _nodes(given: dict[str, pd.Series], ids: list[str], found: Found) -> list[bool]:
    """Return which lesions are lymph nodes: as the table says, or by measure and site."""
    if "node" in given:
        return [bool(v) for v in fields.flags(given["node"], ids, "node", found)]
    lesions = fields.text(given["lesion"], len(ids))
    measures = fields.text(given.get("measure"), len(ids))
    sites = fields.text(given.get("site"), len(ids))
    nodes = {
        (who, lesion)
        for who, lesion, measure, site in zip(ids, lesions, measures, sites, strict=True)
        if words.is_node(measure, site)
    }
    if nodes:
        named = ", ".join(sorted({f"{lesion} of {who}" for who, lesion in nodes}))
        found.warn(
            "taken_as_node",
            "the table has no column for lymph nodes; by the short axis or the site these are "
            f"taken to be nodes: {named}. Add a column NODE to settle it.",
            column="node",
        )
    return [key in nodes for key in zip(ids, lesions, strict=True)]


def _identity(r: Record, kind: str, found: Found) -> None:
    if not r.id:
        found.error("no_patient", f"row {r.row} names no patient; fill it in.", row=r.row)
    if not r.lesion:
        found.error("no_lesion", f"row {r.row} (patient {r.id}) names no lesion; fill it in.",
                    patient=r.id, row=r.row, column="lesion")  # fmt: skip
    if not r.kind:
        words.unknown("kind", kind, tuple(words.KINDS), r, found)
    if np.isnan(r.day):
        found.error("no_day", f"row {r.row} (patient {r.id}) has no day; fill it in.",
                    patient=r.id, row=r.row, column="day")  # fmt: skip


def _to_mm(made: list[Record], unit: Unit | None, found: Found) -> None:
    """Bring diameters to mm; guess cm where no target would be measurable in mm."""
    if unit is None:
        sizes = [r.diameter for r in made if r.kind == words.TARGET and r.day <= 0]
        sizes = [size for size in sizes if not np.isnan(size)]
        cm = bool(sizes) and max(sizes) < 10 and min(sizes) >= 1
        unit = "cm" if cm else "mm"
        if cm:
            found.warn(
                "taken_as_cm",
                f"no target of the baseline reaches 10 (the largest is {max(sizes):g}), so the "
                "diameters are taken to be cm and multiplied by 10; pass unit= to settle it.",
                column="diameter",
            )
    if unit == "cm":
        for r in made:
            r.diameter *= 10.0


def _complete(r: Record, found: Found) -> None:
    """Set a record's status, and the diameter that goes with it."""
    r.status = words.status(r.said, r.kind, r.diameter)
    if not r.status:
        words.unknown("status", r.said, words.ALLOWED[r.kind], r, found)
        return
    where: dict[str, Any] = {"patient": r.id, "row": r.row, "column": "diameter"}
    lesion = f"lesion {r.lesion} of patient {r.id} on day {r.day:g} (row {r.row})"
    if r.diameter < 0:
        found.error("negative_diameter", f"{lesion} has the diameter {r.diameter:g} mm; a diameter "
                    "is 0 or more, correct it.", value=f"{r.diameter:g}", **where)  # fmt: skip
    elif r.status == words.MEASURED and np.isnan(r.diameter):
        found.error("no_diameter", f"{lesion} is said to be measured and has no diameter; fill it "
                    "in, or write 'not evaluated'.", **where)  # fmt: skip
    elif r.kind == words.TARGET and r.status == words.ABSENT and r.diameter > 0:
        found.error("absent_with_diameter", f"{lesion} is said to be absent and has the diameter "
                    f"{r.diameter:g} mm; one of both is wrong.", **where)  # fmt: skip
    elif r.kind == words.TARGET:
        r.diameter = _by_status(r.status, r.diameter)


def _by_status(status: str, diameter: float) -> float:
    """Return the diameter of a target in the sum, in mm."""
    if status == words.TOO_SMALL and np.isnan(diameter):
        return 5.0
    return {words.ABSENT: 0.0, words.NOT_EVALUATED: float("nan")}.get(status, diameter)


def _baseline(who: str, own: list[Record], found: Found) -> float:
    """Return the day of the baseline, NaN without one; name it and the unnamed assessments."""
    day = _baseline_day(own)
    flagged = sorted({r.day for r in own if r.flagged})
    if len(flagged) > 1:
        found.error("two_baselines", f"patient {who} has records flagged as the baseline on days "
                    f"{' and '.join(f'{d:g}' for d in flagged)}; flag one day.",
                    patient=who, column="baseline", value=f"{flagged[0]:g}")  # fmt: skip
    if day > 0:
        found.error("baseline_after_infusion",
                    f"the baseline of patient {who} is on day {day:g}, after the infusion; correct "
                    "the day, or name the visit otherwise.",
                    patient=who, column="day", value=f"{day:g}")  # fmt: skip
    for r in own:
        r.visit = "baseline" if r.day == day else r.called or f"day {r.day:g}"
    return day


def _baseline_day(own: list[Record]) -> float:
    """Return the day of what is flagged, or so called, or else of the last one by the infusion."""
    for chosen in (
        [r.day for r in own if r.flagged],
        [r.day for r in own if r.called.lower() == "baseline"],
        [r.day for r in own if words.is_baseline(r.called)],
        [r.day for r in own if r.day <= 0],
    ):
        if chosen:
            return max(chosen)
    return float("nan")


def _deaths(followup: pd.DataFrame | None) -> dict[str, float]:
    if followup is None:
        return {}
    table = read_followup(followup)
    return dict(zip(table["id"], table["death_day"], strict=True))


def _finish(
    own: dict[str, list[Record]], found: Found, limits: Limits, *, quiet: bool
) -> pd.DataFrame:
    table = shape((vars(r) for records in own.values() for r in records), LESIONS)
    table.attrs["limits"] = asdict(limits)
    table.attrs["warnings"] = [p.message for p in found.warnings]
    for problem in () if quiet else found.warnings:
        warnings.warn(problem.message, DataWarning, stacklevel=3)
    return table
