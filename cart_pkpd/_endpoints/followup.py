"""Follow-up: progression as called, new therapy, death, last contact, data cut-off."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import yes_or_no
from cart_pkpd._data.columns import key
from cart_pkpd._endpoints import fields, words
from cart_pkpd._endpoints.fields import Found, Infusion, Source
from cart_pkpd._endpoints.tables import FOLLOWUP, shape

HEADERS: fields.Headers = {
    "id": ("ID", "USUBJID", "SUBJID", "SUBJECTID", "SUBJECT", "PATIENT", "PATIENTID"),
    "infusion": ("INFUSION", "INFUSIONDATE", "DATEOFINFUSION", "INFUSIONDT", "INFDT"),
    "start_day": ("STARTDAY", "START", "STARTDATE"),
    "pd_day": ("PDDAY", "PROGRESSIONDAY", "PDDATE", "PROGRESSIONDATE", "PDDT"),
    "pd_basis": ("PDBASIS",),
    "new_therapy_day": ("NEWTHERAPYDAY", "NEWTRTDY", "SUBSEQUENTTHERAPYDAY", "NEWTHERAPYDATE",
                        "NACTDT", "NACTDY"),
    "new_therapy": ("NEWTHERAPY", "SUBSEQUENTTHERAPY"),
    "death_day": ("DEATHDAY", "DTHDY", "DTHADY", "DEATHDATE", "DATEOFDEATH", "DTHDT", "DTHDTC"),
    "death_cause": ("DEATHCAUSE", "DTHCAUS"),
    "last_contact_day": ("LASTCONTACTDAY", "LASTALIVEDAY", "LSTALVDY", "LASTCONTACT",
                         "LASTCONTACTDATE", "LASTALIVEDATE", "LSTALVDT"),
    "lost": ("LOST", "LOSTTOFOLLOWUP", "DCSREAS", "EOSREAS"),
    "cut_off_day": ("CUTOFFDAY", "DATACUTOFFDAY", "CUTOFF", "CUTOFFDATE", "DATACUTOFFDATE"),
}  # fmt: skip
_REASONS = ("DCSREAS", "EOSREAS")  # reasons to leave the study, of which one is being lost
_NUMBERS = (
    "start_day", "pd_day", "new_therapy_day", "death_day", "last_contact_day", "cut_off_day",
)  # fmt: skip
_NOT_AFTER_DEATH = {
    "pd_day": "a progression",
    "new_therapy_day": "a new therapy",
    "last_contact_day": "a contact",
}


def read_followup(
    table: Source,
    columns: Mapping[str, str] | None = None,
    *,
    day_one: bool = False,
    infusion: Infusion | None = None,
) -> pd.DataFrame:
    """Read the follow-up, one row per patient.

    Parameters
    ----------
    table : path or DataFrame
        CSV, SAS transport file or DataFrame; ADSL is one. Needed is the patient; days of death and
        of the last contact are what overall survival comes from. Days are numbers that count from
        the infusion (day 0), or dates.
    columns : dict, optional
        Headers by our names, where they are not recognised: ``{"death_day": "Died"}``. Of ADSL
        say which date is that of the infusion: ``{"infusion": "TRTSDT"}``.
    day_one : bool
        Whether numbers call the day of infusion day 1; days from 1 on are moved by one.
    infusion : mapping or Series, optional
        Date of infusion by patient, where the days are dates and no column has it.

    Returns
    -------
    DataFrame
        As ``endpoints.columns("followup")`` says; what the table does not have is empty. The start
        is day 0 unless a column says otherwise, and a death is also the last contact.

    Raises
    ------
    DataError
        If a patient stands twice, a day is no number or date, a flag or the basis of a progression
        is no known word, or a progression, therapy or contact comes after the death.
    """
    yes_or_no(day_one, "day_one")
    found = Found()
    raw = fields.frame(table, "follow-up", found)
    given = fields.pick(raw, HEADERS, columns, ("id",), "follow-up")
    if len(raw.columns) > 1 and len(given) == 1:
        raise DataError(
            f"the follow-up has none of the columns {', '.join(_NUMBERS)}; say which they are, "
            f"such as columns={{'death_day': '...'}}. It has: {', '.join(map(str, raw.columns))}."
        )
    ids = fields.text(given["id"], len(raw))
    calendar = fields.calendar(infusion, given.get("infusion"), ids, day_one, found)
    made: dict[str, object] = {"id": ids}
    for c in FOLLOWUP[1:]:
        column = given.get(c.name)
        if c.name in _NUMBERS:
            made[c.name] = calendar.days(column, ids, c.name, found)
        elif c.kind == "flag":
            made[c.name] = _lost(column, ids, found)
        else:
            made[c.name] = fields.text(column, len(ids))
    found.stop()
    out = pd.DataFrame(made)
    out["start_day"] = out["start_day"].fillna(0.0)
    out["pd_basis"] = _bases(out, found)
    _check(out, found)
    found.stop()
    out["last_contact_day"] = out["death_day"].fillna(out["last_contact_day"])
    return shape(out.to_dict("records"), FOLLOWUP)


def _lost(column: pd.Series | None, ids: list[str], found: Found) -> NDArray[np.bool_]:
    """Return who was lost to follow-up, by a flag or by the reason to leave the study."""
    if column is not None and key(str(column.name)) in _REASONS:
        reasons = fields.text(column, len(ids))
        return np.array(["LOST TO FOLLOW" in r.upper().replace("-", " ") for r in reasons])
    return fields.flags(column, ids, "lost", found)


def _bases(table: pd.DataFrame, found: Found) -> list[str]:
    """Return what every progression rests on, radiological or clinical; "" where not said."""
    bases = [words.basis(cell) for cell in table["pd_basis"]]
    for i, (who, cell) in enumerate(zip(table["id"], table["pd_basis"], strict=True)):
        if cell and not bases[i]:
            row = found.row(i)
            found.error("unknown_basis", f"the basis of the progression of patient {who} (row "
                        f"{row}) is {cell!r}; write radiological or clinical.", patient=who,
                        row=row, column="pd_basis", value=cell)  # fmt: skip
    return bases


def _check(table: pd.DataFrame, found: Found) -> None:
    for i, who in enumerate(table["id"]):
        if not who:
            row = found.row(i)
            found.error("no_patient", f"row {row} names no patient; fill it in.", row=row)
    for i in np.flatnonzero(table["id"].duplicated() & (table["id"] != "")).tolist():
        who, row = table["id"].iloc[i], found.row(i)
        found.error("patient_twice", f"patient {who} stands twice in the follow-up (row {row}); "
                    "keep one row.", patient=who, row=row, column="id")  # fmt: skip
    for i in np.flatnonzero(table["death_day"] < table["start_day"]).tolist():
        who, death, start = table.loc[i, ["id", "death_day", "start_day"]]
        row = found.row(i)
        found.error("death_before_start", f"patient {who} died on day {death:g}, before the start "
                    f"on day {start:g} (row {row}); correct one of both.", patient=who, row=row,
                    column="death_day", value=f"{death:g}")  # fmt: skip
    for name, what in _NOT_AFTER_DEATH.items():
        late = table[name].to_numpy() > table["death_day"].to_numpy()
        for i in np.flatnonzero(late).tolist():
            who, day, death = table.loc[i, ["id", name, "death_day"]]
            row = found.row(i)
            found.error(f"{name.removesuffix('_day')}_after_death",
                        f"patient {who} has {what} on day {day:g}, after the death on day "
                        f"{death:g} (row {row}); correct one of both.", patient=who,
                        row=row, column=name, value=f"{day:g}")  # fmt: skip
