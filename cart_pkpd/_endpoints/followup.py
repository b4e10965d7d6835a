"""Follow-up: progression as called, new therapy, death, last contact, data cut-off."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cart_pkpd._endpoints import fields, words
from cart_pkpd._endpoints.fields import Found, Source
from cart_pkpd._endpoints.tables import FOLLOWUP, shape

HEADERS: fields.Headers = {
    "id": ("ID", "USUBJID", "SUBJID", "SUBJECTID", "SUBJECT", "PATIENT", "PATIENTID"),
    "start_day": ("STARTDAY", "START"),
    "pd_day": ("PDDAY", "PROGRESSIONDAY"),
    "pd_basis": ("PDBASIS",),
    "new_therapy_day": ("NEWTHERAPYDAY", "NEWTRTDY", "SUBSEQUENTTHERAPYDAY"),
    "new_therapy": ("NEWTHERAPY", "SUBSEQUENTTHERAPY"),
    "death_day": ("DEATHDAY", "DTHDY", "DTHADY"),
    "death_cause": ("DEATHCAUSE", "DTHCAUS"),
    "last_contact_day": ("LASTCONTACTDAY", "LASTALIVEDAY", "LSTALVDY", "LASTCONTACT"),
    "lost": ("LOST", "LOSTTOFOLLOWUP"),
    "cut_off_day": ("CUTOFFDAY", "DATACUTOFFDAY", "CUTOFF"),
}
_NUMBERS = (
    "start_day", "pd_day", "new_therapy_day", "death_day", "last_contact_day", "cut_off_day",
)  # fmt: skip
_NOT_AFTER_DEATH = {
    "pd_day": "a progression",
    "new_therapy_day": "a new therapy",
    "last_contact_day": "a contact",
}


def read_followup(
    table: Source, columns: Mapping[str, str] | None = None, *, day_one: bool = False
) -> pd.DataFrame:
    """Read the follow-up, one row per patient.

    Parameters
    ----------
    table : path or DataFrame
        Needed is the patient; days of death and of the last contact are what overall survival
        comes from. Days count from the infusion (day 0).
    columns : dict, optional
        Headers by our names, where they are not recognised: ``{"death_day": "Died"}``.
    day_one : bool
        Whether the table calls the day of infusion day 1; days from 1 on are moved by one.

    Returns
    -------
    DataFrame
        As ``endpoints.columns("followup")`` says; what the table does not have is empty. The start
        is day 0 unless a column says otherwise, and a death is also the last contact.

    Raises
    ------
    DataError
        If a patient stands twice, a flag or the basis of a progression is no known word, or a
        progression, therapy or contact comes after the death.
    """
    raw, found = fields.frame(table), Found()
    given = fields.pick(raw, HEADERS, columns, ("id",), "follow-up")
    ids = fields.text(given["id"], len(raw))
    made: dict[str, object] = {"id": ids}
    for c in FOLLOWUP[1:]:
        column = given.get(c.name)
        if c.name in _NUMBERS:
            days = fields.numbers(column, ids, c.name, found)
            made[c.name] = fields.from_day_one(days) if day_one else days
        elif c.kind == "flag":
            made[c.name] = fields.flags(column, ids, c.name, found)
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


def _bases(table: pd.DataFrame, found: Found) -> list[str]:
    """Return what every progression rests on, radiological or clinical; "" where not said."""
    bases = [words.basis(cell) for cell in table["pd_basis"]]
    for i, (who, cell) in enumerate(zip(table["id"], table["pd_basis"], strict=True)):
        if cell and not bases[i]:
            found.error("unknown_basis", f"the basis of the progression of patient {who} (row "
                        f"{i + 2}) is {cell!r}; write radiological or clinical.", patient=who,
                        row=i + 2, column="pd_basis", value=cell)  # fmt: skip
    return bases


def _check(table: pd.DataFrame, found: Found) -> None:
    for i, who in enumerate(table["id"]):
        if not who:
            found.error("no_patient", f"row {i + 2} names no patient; fill it in.", row=i + 2)
    for i in np.flatnonzero(table["id"].duplicated() & (table["id"] != "")).tolist():
        who = table["id"].iloc[i]
        found.error("patient_twice", f"patient {who} stands twice in the follow-up (row {i + 2}); "
                    "keep one row.", patient=who, row=i + 2, column="id")  # fmt: skip
    for name, what in _NOT_AFTER_DEATH.items():
        late = table[name].to_numpy() > table["death_day"].to_numpy()
        for i in np.flatnonzero(late).tolist():
            who, day, death = table.loc[i, ["id", name, "death_day"]]
            found.error(f"{name.removesuffix('_day')}_after_death",
                        f"patient {who} has {what} on day {day:g}, after the death on day "
                        f"{death:g} (row {i + 2}); correct one of both.", patient=who,
                        row=i + 2, column=name, value=f"{day:g}")  # fmt: skip
