"""Patients beside a table of endpoints: groups, covariates, and who has neither."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import did_you_mean, shown

Patients = xr.Dataset | pd.DataFrame


def per_patient(patients: Patients) -> xr.Dataset:
    """Return variables over ``id`` of a trial, of parameters, or of a table with a column id.

    Parameters
    ----------
    patients : xr.Dataset or DataFrame
        A Dataset keeps its variables whose only dim is ``id``, with their units; a table has one
        row per patient, and units in ``attrs["units"]`` where there are some.

    Raises
    ------
    DataError
        If there is no ``id``, or a patient is there twice.
    """
    if isinstance(patients, xr.Dataset):
        if "id" not in patients.coords:
            raise DataError("patients: there is no coordinate 'id'; pass the trial Dataset.")
        kept = [v for v in patients.variables if patients[v].dims == ("id",) and v != "id"]
        found = patients[kept].reset_coords().drop_vars(
            [c for c in patients.coords if c not in kept and c != "id"], errors="ignore"
        )  # fmt: skip
        found = found.assign_coords(id=[str(i) for i in found["id"].values])
    else:
        found = _from_frame(patients)
    ids = pd.Index(found["id"].values)
    if ids.has_duplicates:
        twice = ids[ids.duplicated()][0]
        raise DataError(f"patients: {twice!r} is there twice; give one row per patient.")
    return found


def _from_frame(frame: pd.DataFrame) -> xr.Dataset:
    if not isinstance(frame, pd.DataFrame):
        raise DataError(
            "the patients must be a trial, a table of parameters or one with a column 'id', not "
            f"{shown(frame)}."
        )
    name = next((c for c in ("id", "ID", "USUBJID") if c in frame.columns), None)
    if name is None:
        raise DataError("patients: the table has no column 'id'; name the column of patients 'id'.")
    units = dict(frame.attrs.get("units", {}))
    columns = {
        str(c): ("id", _array(frame[c]), {"units": str(units[c])} if c in units else {})
        for c in frame.columns
        if c != name
    }
    return xr.Dataset(columns, coords={"id": [str(i) for i in frame[name]]})


def _array(column: pd.Series) -> np.ndarray:
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return column.to_numpy(dtype=float, na_value=np.nan)
    return np.array(["" if pd.isna(v) else str(v) for v in column], dtype=object)


def variable(found: xr.Dataset, name: str) -> xr.DataArray:
    """Return one variable of `per_patient`.

    Raises
    ------
    DataError
        If the patients have no such variable; the nearest name is offered.
    """
    known = [str(v) for v in found.data_vars]
    if not isinstance(name, str):
        raise DataError(f"name a variable of the patients, not {shown(name)}.")
    if name not in known:
        raise DataError(
            f"the patients have no variable {name!r}.{did_you_mean(name, known)} "
            f"They have: {', '.join(known) or 'none'}."
        )
    return found[name]


def values_for(ids: Sequence[str], name: str, patients: Patients) -> list[Any]:
    """Return a patient-level variable in the order of `ids`; None for unknown patients."""
    column = variable(per_patient(patients), name)
    held = dict(zip([str(i) for i in column["id"].values], column.values.tolist(), strict=True))
    return [held.get(str(i)) for i in ids]


def group_of(table: pd.DataFrame, by: str | None, patients: Patients | None) -> pd.Series:
    """Return the group of every row: a column of the table, or a variable of the patients.

    Raises
    ------
    DataError
        If neither has `by`, or a patient of the table has no group.
    """
    if by is None:
        return pd.Series(["all"] * len(table), index=table.index, dtype=object)
    if not isinstance(by, str):
        raise DataError(f"by= must be the name of a column or variable, not {shown(by)}.")
    if by in table.columns:
        found = table[by]
    elif patients is None:
        raise DataError(
            f"the table has no column {by!r}; add it, or pass the trial with patients=."
        )
    else:
        found = pd.Series(values_for(list(table["id"]), by, patients), index=table.index)
    missing = found.isna() | (found.astype(str) == "")
    if missing.any():
        who = str(table.loc[missing, "id"].iloc[0])
        raise DataError(
            f"{by} of patient {who!r} is not known ({int(missing.sum())} such patients); give it, "
            "or leave these patients out."
        )
    return found
