"""From graded records to days and patients: onset, duration, maximum, each with its rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from cart_pkpd._core import display
from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import as_trial, shown
from cart_pkpd._data.log import some
from cart_pkpd._endpoints.astct import FEVER, NEUROLOGY, VITALS, Finding, crs_of, icans_of, read
from cart_pkpd._endpoints.fields import Infusion, Source

_LEAST_VITALS = ("temperature", "hypotension", "vasopressors", "oxygen")
_LEAST_NEUROLOGY = ("ice", "consciousness", "seizure", "motor", "oedema")


@dataclass(frozen=True, eq=False)
class Grades:
    """Grades of one toxicity.

    Attributes
    ----------
    name : str
        ``"CRS"`` or ``"ICANS"``.
    records : DataFrame
        Every record with ``grade``, ``rule``, and ``most``: the highest grade that a record
        without one could have (NaN where it has one, or nothing was assessed).
    days : DataFrame
        One row per patient and whole day with a record: ``id``, ``day``, ``grade`` (the highest),
        ``rule``.
    patients : DataFrame
        One row per patient: ``id``, ``grade`` (the highest; 0 without the toxicity; NaN where no
        record could be graded, or one without a grade could be higher), ``grade_day``
        (first record with it), ``onset_day``, ``end_day`` (first record of
        grade 0 after the last of 1 or more), ``duration`` [day], ``rule`` (of the highest grade),
        ``reason`` (why a number is missing).
    """

    name: str
    records: pd.DataFrame
    days: pd.DataFrame
    patients: pd.DataFrame

    def join(self, trial: xr.Dataset) -> xr.Dataset:
        """Return the trial with the grades as patient-level variables.

        Parameters
        ----------
        trial : xr.Dataset
            Its own grades, if any, are replaced.

        Returns
        -------
        xr.Dataset
            With ``crs_grade`` and ``crs_day`` (or ``icans_grade`` and ``icans_day``), dim ``id``:
            the highest grade, and the day of onset; NaN for patients without records.

        Raises
        ------
        DataError
            If a graded patient is not in the trial.

        Examples
        --------
        >>> from cart_pkpd import datasets
        >>> trial = datasets.load("fast01")
        >>> records = pd.DataFrame({"id": "F01-001", "day": [2, 3], "temperature": [38.6, 37.0]})
        >>> float(crs_grade(records).join(trial)["crs_grade"].sel(id="F01-001"))
        1.0
        """
        ids = [str(i) for i in as_trial(trial)["id"].values]
        found = self.patients.set_index(self.patients["id"].astype(str))
        strange = sorted(set(found.index) - set(ids))
        if strange:
            raise DataError(
                f"graded patients are not in the trial: {some([repr(s) for s in strange])}. Write "
                f"the patients as in the trial, such as {ids[0]!r}."
            )
        found, name = found.reindex(ids), self.name.lower()
        about = {"grade": ("grade", "Highest grade of"), "day": ("onset_day", "Onset of")}
        return trial.assign(
            {
                f"{name}_{what}": (
                    "id",
                    found[column].to_numpy(float),
                    {"long_name": f"{said} {self.name}", "units": "day" if what == "day" else ""},
                )
                for what, (column, said) in about.items()
            }
        )

    def _repr_html_(self) -> str:
        title, _, said = repr(self).partition(": ")
        return display.block(f"{title}:", said, self.patients)

    def __repr__(self) -> str:
        counts = self.patients["grade"].value_counts().sort_index()
        said = ", ".join(f"grade {k:g}: {n}" for k, n in counts.items())
        return f"{self.name} of {len(self.patients)} patients: {said or 'no record was graded'}."


def crs_grade(
    vitals: Source,
    columns: Mapping[str, str] | None = None,
    *,
    episode_gap: float | None = None,
    day_one: bool = False,
    infusion: Infusion | None = None,
) -> Grades:
    """Grade cytokine release syndrome by the ASTCT consensus.

    Parameters
    ----------
    vitals : path or DataFrame
        Records of vital signs and interventions: CSV, SAS transport file or DataFrame, or what
        ``endpoints.vitals_from_sdtm`` returns. Columns are those of
        ``endpoints.columns("vitals")``, of which only ``id``, ``day`` and what was recorded are
        needed. Days are numbers that count from the infusion (day 0), or dates.
    columns : dict, optional
        Headers by our names, where they are not recognised: ``{"temperature": "T max"}``.
    episode_gap : float, optional
        Once CRS has been over for longer than this, fever is required anew; by default never. [day]
    day_one : bool
        Whether numbers call the day of infusion day 1; days from 1 on are moved by one.
    infusion : mapping or Series, optional
        Date of infusion by patient, where the days are dates and no column has it.

    Returns
    -------
    Grades

    Raises
    ------
    DataError
        With every cell that cannot be read.

    Notes
    -----
    Fever (38.0 °C or more) alone is grade 1. With hypotension without vasopressors, or oxygen by
    blow-by or nasal cannula up to 6 L/min, 2; with one vasopressor, or oxygen by high-flow cannula,
    face mask, non-rebreather or Venturi mask, 3; with several vasopressors, vasopressin not
    counted, or positive pressure, 4; death from CRS is 5. The worst domain decides; organ
    toxicities do not count [1]_. CRS begins with fever; once it has begun and an antipyretic,
    tocilizumab or a steroid was given, fever is no longer required. Vasopressin alone, on which
    the table is silent, counts as one vasopressor, and the rule says so.

    References
    ----------
    .. [1] Lee et al., Biol Blood Marrow Transplant 25:625 (2019),
       :doi:`10.1016/j.bbmt.2018.12.758`.

    Examples
    --------
    >>> records = pd.DataFrame({"id": ["01", "01"], "day": [2, 3], "temperature": [38.6, 39.1],
    ...                         "vasopressors": [0, 1]})
    >>> crs_grade(records).patients[["grade", "onset_day", "rule"]].values.tolist()
    [[3.0, 2.0, 'one vasopressor; fever 39.1 °C']]
    """
    if episode_gap is not None and not (_is_number(episode_gap) and episode_gap > 0):
        raise DataError(f"episode_gap must be above 0 days, not {shown(episode_gap)}.")
    found = read(
        vitals, VITALS, _LEAST_VITALS, "vital signs", given=columns, day_one=day_one,
        infusion=infusion,
    )  # fmt: skip
    graded: list[Finding] = []
    for _, part in found.groupby("id", sort=False):
        graded += _crs_course(list(part.itertuples(index=False)), episode_gap)
    return _grades("CRS", found, graded)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _crs_course(rows: list[Any], gap: float | None) -> list[Finding]:
    """Grade one patient's records in order: what went before excuses the fever or does not."""
    out: list[Finding] = []
    began = treated = False
    last_with = -np.inf
    for i, row in enumerate(rows):
        if gap is not None and row.day - last_with > gap:
            began = treated = False
        # Fever and treatment of one moment may be on two rows: look at the whole day so far.
        same = [r for r in rows[: i + 1] if r.day == row.day]
        began = began or any(_feverish(r) for r in same)
        treated = treated or (began and any(_treated(r) for r in same))
        finding = crs_of(row, excused=began and treated)
        if finding.grade >= 1:
            last_with = row.day
        out.append(finding)
    return out


def _feverish(row: Any) -> bool:
    return bool(row.temperature >= FEVER) and not row.other_cause


def _treated(row: Any) -> bool:
    return bool(row.tocilizumab or row.steroid or row.antipyretic)


def icans_grade(
    records: Source,
    columns: Mapping[str, str] | None = None,
    *,
    day_one: bool = False,
    infusion: Infusion | None = None,
) -> Grades:
    """Grade immune effector cell-associated neurotoxicity by the ASTCT consensus.

    Parameters
    ----------
    records : path or DataFrame
        Neurological records; columns are those of ``endpoints.columns("neurology")``.
    columns, day_one, infusion
        As for `crs_grade`.

    Returns
    -------
    Grades

    Raises
    ------
    DataError
        With every cell that cannot be read.

    Notes
    -----
    The worst domain decides [1]_: ICE score 7–9, 3–6, 0–2 (grades 1 to 3; 0 in a patient who
    cannot be aroused is 4), awakening by itself, to voice, to touch only, not at all (1 to 4), a
    seizure that resolves fast or with treatment (3), one longer than 5 minutes or repeated ones
    (4), deep focal weakness (4), focal oedema on imaging (3), diffuse oedema or signs of raised
    pressure (4), death (5). Tremor, myoclonus and intracranial bleeding do not count.

    References
    ----------
    .. [1] Lee et al., Biol Blood Marrow Transplant 25:625 (2019),
       :doi:`10.1016/j.bbmt.2018.12.758`.
    """
    found = read(
        records, NEUROLOGY, _LEAST_NEUROLOGY, "neurological records", given=columns,
        day_one=day_one, infusion=infusion,
    )  # fmt: skip
    return _grades("ICANS", found, [icans_of(r) for r in found.itertuples(index=False)])


def _grades(name: str, found: pd.DataFrame, graded: list[Finding]) -> Grades:
    records = found.assign(
        grade=np.array([f.grade for f in graded], dtype=float), rule=[f.words for f in graded],
        most=np.array([f.most for f in graded], dtype=float),
    )  # fmt: skip
    days = [_highest(part) for _, part in records.groupby(["id", np.floor(records["day"])])]
    patients = [_patient(str(who), part) for who, part in records.groupby("id", sort=False)]
    return Grades(name, records, pd.DataFrame(days), pd.DataFrame(patients))


def _highest(part: pd.DataFrame) -> dict[str, Any]:
    top = _top(part)
    return {"id": str(part["id"].iloc[0]), "day": float(np.floor(part["day"].iloc[0])),
            "grade": float(top["grade"]), "rule": str(top["rule"])}  # fmt: skip


def _top(part: pd.DataFrame) -> pd.Series:
    """Return the first record with the highest grade, or the first if none is known."""
    grade = part["grade"].to_numpy(float)
    return part.iloc[0 if np.isnan(grade).all() else int(np.nanargmax(grade))]


def _patient(who: str, part: pd.DataFrame) -> dict[str, Any]:
    top, reasons = _top(part), []
    with_it = part[part["grade"] >= 1]
    onset = end = float("nan")
    if len(with_it):
        onset, last = float(with_it["day"].iloc[0]), float(with_it["day"].iloc[-1])
        after = part[(part["day"] > last) & (part["grade"] == 0)]
        end = float(after["day"].iloc[0]) if len(after) else end
        if not len(after):
            reasons.append(
                "ended with death" if top["grade"] == 5 else f"ongoing at the last record, {last:g}"
            )
    unknown = int(part["grade"].isna().sum())
    if unknown:
        reasons.append(f"{unknown} of {len(part)} records could not be graded")
    grade = float(top["grade"])
    higher = part[part["most"] > grade]
    if len(higher):
        row = higher.iloc[0]
        reasons.insert(0, f"at least grade {grade:g}: day {row['day']:g} could be "
                       f"{row['most']:g} ({row['rule']})")  # fmt: skip
        grade = np.nan
    return {
        "id": who, "grade": grade, "grade_day": float(top["day"]) if grade >= 1 else np.nan,
        "onset_day": onset, "end_day": end, "duration": end - onset, "rule": str(top["rule"]),
        "reason": "; ".join(reasons),
    }  # fmt: skip
