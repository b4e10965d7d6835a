"""From the public files of the CD22 CAR-T patients to the tidy pair of tables.

The originals are a spreadsheet with one row per patient and 629 columns, and a long table of
cytokines. Only positions, names and units are written here; no patient's value is.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from cart_pkpd._core.errors import DataError

SUBJECT_COLUMNS: dict[str, int] = {
    "ID": 0, "DOSELEVEL": 16, "CRS": 3, "CRSGRADE": 4, "CRSDAY": 5, "HLH": 1, "HLHDAY": 2,
    "RESPONSE": 6, "ORR": 7, "CR": 8, "BMBLAST": 13, "EMD": 15, "TCS": 17, "TOCI": 18,
    "STEROID": 19, "ANAKINRA": 20,
}  # fmt: skip
"""Name in subjects.csv → column of the spreadsheet, the first being 0."""

# endpoint → unit, and (time, value) columns of the five weekly windows
_WEEKLY: dict[str, tuple[str, tuple[tuple[int, int], ...]]] = {
    "car_abs": ("cells/uL", tuple((c, c + 2) for c in range(134, 149, 3))),
    "car_pct": ("%", tuple((c, c + 1) for c in range(134, 149, 3))),
    "crp": ("mg/L", tuple((c + 1, c) for c in range(21, 50, 6))),
    "ferritin": ("ug/L", tuple((c + 1, c) for c in range(23, 50, 6))),
    "ldh": ("U/L", tuple((c + 1, c) for c in range(25, 50, 6))),
}

_FIRST_PATIENT_ROW = 3  # below three rows of headings


def tidy(clinical: Path, cytokines: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return observations and subjects, as text, from the two public files.

    Parameters
    ----------
    clinical : Path
        ``clinical_data_05-12-20_v1.xlsx``.
    cytokines : Path
        ``day_after_infusion_data_export.csv``.

    Returns
    -------
    observations : DataFrame
        ID, TIME [day after infusion], DVID, UNIT, DV; by patient, endpoint and time.
    subjects : DataFrame
        One row per patient, the columns of `SUBJECT_COLUMNS`.

    Raises
    ------
    DataError
        If openpyxl is not installed.
    """
    sheet = _sheet(clinical)
    subjects = pd.DataFrame(
        {
            name: pd.to_numeric(sheet[column], errors="coerce").map(_text)
            for name, column in SUBJECT_COLUMNS.items()
        }
    )
    long = pd.concat([_cytokines(cytokines), *(_weekly(sheet, name) for name in _WEEKLY)])
    order = {patient: i for i, patient in enumerate(subjects["ID"])}
    long = long.assign(_patient=long["ID"].map(order))
    long = long.sort_values(["_patient", "DVID", "TIME"], kind="stable", ignore_index=True)
    for name in ("TIME", "DV"):
        long[name] = long[name].map(_text)
    return long[["ID", "TIME", "DVID", "UNIT", "DV"]], subjects


def _sheet(path: Path) -> pd.DataFrame:
    if find_spec("openpyxl") is None:
        raise DataError(
            "reading the clinical table of car22 needs the package openpyxl. "
            "Install it with: pip install 'cart-pkpd[datasets]'"
        )
    sheet = pd.read_excel(path, header=None, dtype=object)
    return sheet.iloc[_FIRST_PATIENT_ROW:].dropna(subset=[0]).reset_index(drop=True)


def _cytokines(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path).dropna(subset=["cytokine_levels"])
    return pd.DataFrame(
        {
            "ID": table["patient_id"].map(_text),
            "TIME": table["days"].astype("float64"),
            "DVID": table["cytokines"],
            "UNIT": "pg/mL",
            "DV": table["cytokine_levels"],
        }
    )


def _weekly(sheet: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return what was measured; text such as "Hemolyzed" is a sample without a result."""
    unit, windows = _WEEKLY[name]
    pieces = [
        pd.DataFrame(
            {
                "ID": sheet[0].map(_text),
                "TIME": pd.to_numeric(sheet[when], errors="coerce"),
                "DVID": name,
                "UNIT": unit,
                "DV": pd.to_numeric(sheet[what], errors="coerce"),
            }
        )
        for when, what in windows
    ]
    return pd.concat(pieces).dropna(subset=["TIME", "DV"])


def _text(value: Any) -> str:
    return "" if pd.isna(value) else f"{value:.6g}"
