"""Where the bundled trial lies, and the truth behind it."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

FOLDER = Path(str(resources.files("cart_pkpd.datasets") / "fast01"))

SUBJECT_UNITS: dict[str, str] = {
    "age": "year", "weight": "kg", "tumour_burden": "mm", "msln_expression": "%",
    "muc1_expression": "%", "ldh": "U/L", "flu_dose": "mg/m^2/day", "cy_dose": "mg/m^2/day",
    "ld_start": "day", "ld_end": "day", "crs_day": "day", "dlt_day": "day",
}  # fmt: skip
"""Units of the patients' columns, which records.csv has no place for."""


def truth() -> dict[str, Any]:
    """Return the true parameters of the bundled trial, as they stand in ``truth.toml``."""
    return tomllib.loads((FOLDER / "truth.toml").read_text(encoding="utf-8"))
