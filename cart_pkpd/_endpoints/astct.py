"""Grades of CRS and ICANS by the ASTCT consensus, from vital signs, interventions and scores.

Each domain is one small function that gives a grade and the finding in words; the worst domain
decides, and its words are the rule that is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cart_pkpd._core.errors import DataError, Problem
from cart_pkpd._core.validate import did_you_mean, yes_or_no
from cart_pkpd._data.columns import key
from cart_pkpd._data.parse import BAD, MISSING, read_number
from cart_pkpd._endpoints import fields
from cart_pkpd._endpoints.fields import Found, Infusion, Source
from cart_pkpd._endpoints.tables import Column

FEVER = 38.0  # °C
LOW_FLOW = 6.0  # L/min

OXYGEN: Mapping[str, int] = {
    "none": 0, "room air": 0, "airway protection": 0, "nasal cannula": 2, "blow-by": 2,
    "high-flow nasal cannula": 3, "face mask": 3, "non-rebreather": 3, "venturi": 3,
    "cpap": 4, "bipap": 4, "ventilation": 4,
}  # fmt: skip
"""Oxygen by device: the grade each stands for; a nasal cannula counts by its flow."""

CONSCIOUSNESS: Mapping[str, int] = {
    "alert": 0, "spontaneous": 1, "voice": 2, "touch": 3, "unarousable": 4,
}  # fmt: skip
SEIZURE: Mapping[str, int] = {
    "none": 0, "brief": 3, "eeg": 3, "prolonged": 4, "repetitive": 4,
}  # fmt: skip
OEDEMA: Mapping[str, int] = {
    "none": 0, "focal": 3, "diffuse": 4, "posturing": 4, "cranial nerve vi": 4,
    "papilloedema": 4, "cushing": 4,
}  # fmt: skip

_YES = {"1", "true", "y", "yes"}
_NO = {"0", "false", "n", "no", ""}


def _column(name: str, kind: Any, unit: str, about: str) -> Column:
    return Column(name, kind, unit, about)


VITALS = (
    _column("id", "text", "", "patient"),
    _column("day", "number", "day", "of the record, counted from the infusion (day 0)"),
    _column("temperature", "number", "°C", "highest body temperature"),
    _column("hypotension", "flag", "", "hypotension, treated or not, of no other cause"),
    _column("vasopressors", "number", "1", "vasopressors in use, vasopressin not counted"),
    _column("vasopressin", "flag", "", "vasopressin in use"),
    _column("oxygen", "text", "", f"how oxygen is given for hypoxia: {', '.join(OXYGEN)}"),
    _column("oxygen_flow", "number", "L/min", "flow through a nasal cannula"),
    _column("tocilizumab", "flag", "", "tocilizumab or another anti-cytokine given"),
    _column("steroid", "flag", "", "corticosteroid given"),
    _column("antipyretic", "flag", "", "antipyretic given"),
    _column("other_cause", "flag", "", "all findings of this record have another cause"),
    _column("death", "flag", "", "death from CRS"),
)
"""Vital signs and interventions: any number of rows per patient and day."""

NEUROLOGY = (
    _column("id", "text", "", "patient"),
    _column("day", "number", "day", "of the record, counted from the infusion (day 0)"),
    _column("ice", "number", "1", "ICE score, 0 to 10"),
    _column("consciousness", "text", "", f"awakens: {', '.join(CONSCIOUSNESS)}"),
    _column("seizure", "text", "", f"{', '.join(SEIZURE)}"),
    _column("motor", "flag", "", "deep focal motor weakness, such as hemiparesis"),
    _column("oedema", "text", "", f"raised pressure or cerebral oedema: {', '.join(OEDEMA)}"),
    _column("other_cause", "flag", "", "all findings of this record have another cause"),
    _column("death", "flag", "", "death from ICANS"),
)
"""Neurological records: any number of rows per patient and day."""


@dataclass(frozen=True)
class Finding:
    """A grade with the finding that gave it; NaN where it cannot be told.

    `most` is then the highest that it could be; NaN where nothing was assessed at all.
    """

    grade: float
    words: str
    most: float = float("nan")


# --- reading -----------------------------------------------------------------------------------

_IDS = ("ID", "USUBJID", "SUBJID", "SUBJECTID", "SUBJECT", "PATIENT", "PATIENTID")
_TIMES = ("DAY", "VSDY", "ADY", "DAYS", "DAYSINCEINFUSION", "DATE", "DATETIME", "VSDTC", "ADTM")
_INFUSIONS = ("INFUSION", "INFUSIONDATE", "DATEOFINFUSION", "INFUSIONDT", "INFDT")
_SYNONYMS = {
    "id": _IDS, "day": _TIMES, "infusion": _INFUSIONS, "temperature": ("TEMP", "BODYTEMPERATURE"),
    "oxygen": ("OXYGENDEVICE", "O2DEVICE"), "oxygen_flow": ("FLOW", "O2FLOW"),
    "steroid": ("STEROIDS", "CORTICOSTEROID", "CORTICOSTEROIDS"),
    "ice": ("ICESCORE",), "oedema": ("EDEMA", "CEREBRALEDEMA", "CEREBRALOEDEMA"),
}  # fmt: skip


def headers(columns: tuple[Column, ...]) -> fields.Headers:
    """Return the headers by which the columns of a table of records are known."""
    known = {c.name: (key(c.name), *_SYNONYMS.get(c.name, ())) for c in columns}
    return {**known, "infusion": _INFUSIONS}


def read(
    table: Source,
    columns: tuple[Column, ...],
    least: tuple[str, ...],
    what: str,
    *,
    given: Mapping[str, str] | None = None,
    day_one: bool = False,
    infusion: Infusion | None = None,
) -> pd.DataFrame:
    """Return records with every column, in order of patient and day.

    Raises
    ------
    DataError
        With every problem: a missing column, a day or number that is none, an unknown word.
    """
    yes_or_no(day_one, "day_one")
    found = Found()
    raw = fields.frame(table, what, found)
    known = headers(columns)
    _nearly(raw, known, given)
    cells = fields.pick(raw, known, given, ("id", "day"), what)
    if not any(c in cells for c in least):
        raise DataError(f"the {what} have none of the columns {', '.join(least)}; they have: "
                        f"{', '.join(map(str, raw)) or '—'}.")  # fmt: skip
    ids = fields.text(cells["id"], len(raw))
    calendar = fields.calendar(infusion, cells.get("infusion"), ids, day_one, found)
    days = calendar.days(cells["day"], ids, "day", found)
    _identities(ids, days, found)
    found.stop()
    made: dict[str, Any] = {"id": ids, "day": days}
    for column in columns[2:]:
        said = fields.text(cells.get(column.name), len(raw))
        rows = zip(ids, days, said, strict=True)
        made[column.name] = [_cell(who, day, text, column, found.errors) for who, day, text in rows]
    found.stop()
    return pd.DataFrame(made).sort_values(["id", "day"], kind="stable", ignore_index=True)


def _nearly(raw: pd.DataFrame, known: fields.Headers, given: Mapping[str, str] | None) -> None:
    """Refuse a header that is nearly one of ours: a column that would be left out unseen."""
    mapped = set(given.values()) if isinstance(given, Mapping) else set()
    recognised = {k for keys in known.values() for k in keys}
    for header in (str(h) for h in raw.columns if str(h) not in mapped):
        hint = did_you_mean(header, known)
        if hint and key(header) not in recognised:
            raise DataError(
                f"the records have a column {header!r}.{hint} Say which it is, "
                "columns={'temperature': 'T max'}, or rename or drop it."
            )


def _identities(ids: list[str], days: Any, found: Found) -> None:
    dates = any(p.code == "bad_date" for p in found.errors)  # said once for many rows
    for i, (who, day) in enumerate(zip(ids, days, strict=True)):
        row = found.row(i)
        if not who:
            found.error("no_patient", f"row {row} names no patient; fill it in.", row=row)
        told = dates or any(p.row == row and p.column == "day" for p in found.errors)
        if np.isnan(day) and not told:
            found.error("bad_day", f"patient {who!r} has no day in row {row}, but must be a day.",
                        patient=who, row=row, column="day")  # fmt: skip


def _cell(who: str, day: float, text: str, column: Column, problems: list[Problem]) -> Any:
    if column.kind == "flag":
        word = text.lower().removesuffix(".0")
        if word not in _YES | _NO:
            problems.append(_problem(who, day, column, text, "yes or no"))
        return word in _YES
    if column.kind == "number":
        number = _number(text)
        if (text and np.isnan(number)) or not _possible(column.name, number):
            problems.append(_problem(who, day, column, text, _RANGES.get(column.name, "a number")))
        return number
    return _word(who, day, text, column, problems)


def _number(text: str) -> float:
    read = read_number(text, ".", MISSING)
    return np.nan if read.kind == BAD else float(read.value)


_RANGES = {
    "temperature": "a temperature between 25 and 45 °C", "ice": "a whole number from 0 to 10",
    "vasopressors": "a whole number of 0 or more", "oxygen_flow": "a flow of 0 or more L/min",
}  # fmt: skip


def _possible(name: str, number: float) -> bool:
    if np.isnan(number):
        return True
    match name:
        case "temperature":
            return 25 <= number <= 45
        case "ice":
            return 0 <= number <= 10 and number == round(number)
        case "vasopressors":
            return number >= 0 and number == round(number)
        case "oxygen_flow":
            return number >= 0
    return bool(np.isfinite(number))


_WORDS = {"oxygen": OXYGEN, "consciousness": CONSCIOUSNESS, "seizure": SEIZURE, "oedema": OEDEMA}


def _word(who: str, day: float, text: str, column: Column, problems: list[Problem]) -> str:
    known, word = _WORDS[column.name], text.lower()
    if word and word not in known:
        hint = did_you_mean(word, known)
        problems.append(_problem(who, day, column, text, f"one of {', '.join(known)}", hint))
    return word


def _problem(
    who: str, day: float, column: Column, text: str, wanted: str, hint: str = ""
) -> Problem:
    said = f"patient {who!r}, day {day:g}: {column.name} is {text!r}, but must be {wanted}.{hint}"
    return Problem(f"bad_{column.name}", said, who, column=column.name, value=text)


# --- CRS ---------------------------------------------------------------------------------------


def hypotension(row: Any) -> Finding:
    """Grade hypotension: 2 without vasopressors, 3 with one, 4 with several."""
    n = 0 if np.isnan(row.vasopressors) else int(row.vasopressors)
    if n >= 2:
        return Finding(4, f"{n} vasopressors, vasopressin not counted")
    if n == 1:
        return Finding(3, "one vasopressor" + (" with vasopressin" if row.vasopressin else ""))
    if row.vasopressin:
        return Finding(3, "vasopressin alone, counted as one vasopressor")
    return Finding(2, "hypotension without vasopressor") if row.hypotension else Finding(0, "")


def hypoxia(row: Any) -> Finding:
    """Grade hypoxia by the device and, for a nasal cannula, its flow."""
    grade = OXYGEN.get(row.oxygen, 0)
    if row.oxygen == "nasal cannula":
        if np.isnan(row.oxygen_flow):
            return Finding(np.nan, "nasal cannula without its flow: grade 2 or 3", 3)
        grade = 2 if row.oxygen_flow <= LOW_FLOW else 3
        return Finding(grade, f"oxygen by nasal cannula, {row.oxygen_flow:g} L/min")
    return Finding(grade, f"oxygen by {row.oxygen}") if grade else Finding(0, "")


def crs_of(row: Any, *, excused: bool) -> Finding:
    """Grade one record.

    Parameters
    ----------
    row : named tuple
        Of `VITALS`.
    excused : bool
        Whether CRS began with fever and was then treated, so that fever is no longer required.
    """
    if row.death:
        return Finding(5, "death from CRS")
    if row.other_cause:
        return Finding(0, "findings of another cause")
    fever = row.temperature >= FEVER
    worst, unknown = _worst([hypotension(row), hypoxia(row)])
    if not fever and not excused:
        if np.isnan(row.temperature):
            most = max(1.0, worst.grade, unknown.most if unknown else 0.0)
            return Finding(np.nan, "temperature not recorded", most)
        if worst.grade or unknown:
            words = f"{(unknown or worst).words}, but no fever: not CRS"
            return Finding(0, words)
        return Finding(0, "no fever")
    if unknown and worst.grade < 3:
        return unknown
    basis = f"fever {row.temperature:.1f} °C" if fever else "fever no longer required"
    if worst.grade:
        return Finding(worst.grade, f"{worst.words}; {basis}")
    if np.isnan(row.temperature):
        return Finding(np.nan, "temperature not recorded after treatment: grade 0 or 1", 1)
    return Finding(1, f"{basis} alone") if fever else Finding(0, "no finding after treatment")


def _worst(found: list[Finding]) -> tuple[Finding, Finding | None]:
    """Return the worst of the known grades, and one that cannot be told."""
    known = [f for f in found if not np.isnan(f.grade)]
    unknown = next((f for f in found if np.isnan(f.grade)), None)
    return max(known, key=lambda f: f.grade, default=Finding(0, "")), unknown


# --- ICANS -------------------------------------------------------------------------------------


def ice(score: float, consciousness: str) -> Finding:
    """Grade the ICE score: 7–9 is 1, 3–6 is 2, 0–2 is 3, 0 in an unarousable patient is 4."""
    if np.isnan(score):
        return Finding(0, "")
    words = f"ICE {score:g}"
    if score == 0 and consciousness == "unarousable":
        return Finding(4, f"{words}, unarousable")
    grade = 0 if score == 10 else 1 if score >= 7 else 2 if score >= 3 else 3
    return Finding(grade, words)


def icans_of(row: Any) -> Finding:
    """Grade one record by its worst domain."""
    if row.death:
        return Finding(5, "death from ICANS")
    if row.other_cause:
        return Finding(0, "findings of another cause")
    told = not np.isnan(row.ice) or row.motor or any((row.consciousness, row.seizure, row.oedema))
    if not told:
        return Finding(np.nan, "nothing was assessed")
    domains = [
        ice(row.ice, row.consciousness),
        Finding(CONSCIOUSNESS.get(row.consciousness, 0), f"awakens: {row.consciousness}"),
        Finding(SEIZURE.get(row.seizure, 0), f"seizure: {row.seizure}"),
        Finding(4 if row.motor else 0, "deep focal motor weakness"),
        Finding(OEDEMA.get(row.oedema, 0), f"raised pressure or oedema: {row.oedema}"),
    ]
    worst, _ = _worst(domains)
    return worst if worst.grade else Finding(0, "no finding")
