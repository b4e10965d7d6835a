"""From a trial Dataset back to one long table."""

from __future__ import annotations

import contextlib
import os
import tempfile
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from cart_pkpd._core.errors import DataError, Problem
from cart_pkpd._core.safe import inert_table
from cart_pkpd._data.columns import is_special

_HEADER = (
    "ID", "TIME", "NTIME", "DV", "DVID", "UNIT", "CENS", "LIMIT", "LLOQ", "ULOQ",
    "AMT", "AMTUNIT", "DUR", "EVID", "MDV", "OCC",
)  # fmt: skip
_OBSERVATION, _DOSE, _EVENT, _CARRIER = range(4)


def to_frame(trial: xr.Dataset) -> pd.DataFrame:
    """Return the long table of a trial; see `data.write_table`."""
    ids = pd.Index(trial["id"].values.astype(object))
    parts = [_observations(trial), _doses(trial), _events(trial)]
    carriers = _carriers(ids.difference(pd.Index(np.concatenate([p["ID"] for p in parts]))))
    rows = pd.concat([p for p in [*parts, carriers] if len(p)], ignore_index=True)
    rows["patient"] = ids.get_indexer(pd.Index(rows["ID"]))
    ordered = _by_patient(rows)
    if not _keeps_order(ordered, trial):
        ordered = _by_endpoint(rows, ids)
    table = ordered.reindex(columns=_headers(trial)).reset_index(drop=True)
    for header, values in _covariates(trial).items():
        table[header] = values[ordered["patient"].to_numpy()]
    return table


def _headers(trial: xr.Dataset) -> list[str]:
    """Return the headers before the covariates; DUR only where the trial has durations."""
    return [h for h in _HEADER if h != "DUR" or "duration" in trial]


def save(frame: pd.DataFrame, path: str | PathLike[str], sep: str, *, missing: str = ".") -> None:
    """Write a table to a file that appears complete or not at all."""
    target = Path(path)
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
    except OSError as error:
        raise _unwritable(target, error) from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            inert_table(frame).to_csv(
                file, sep=sep, index=False, na_rep=missing, lineterminator="\n"
            )
        os.replace(name, target)
    except OSError as error:
        raise _unwritable(target, error) from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _unwritable(path: Path, error: OSError) -> DataError:
    return DataError(
        Problem("file_not_written", f"{str(path)!r} cannot be written: {error.strerror}.")
    )


def _observations(trial: xr.Dataset) -> pd.DataFrame:
    word = trial["censoring"].values
    dv, limit, uloq = (trial[v].values for v in ("dv", "limit", "uloq"))
    # An interval above the ULOQ has it as its lower edge: Monolix writes that as CENS -1.
    upper = (word == "interval") & (limit == uloq)
    cens = np.select([word == "none", (word == "right") | upper], [0, -1], 1)
    measure = trial["measure"].values
    unit = dict(zip(measure, trial["unit"].values, strict=True))
    place = {name: i for i, name in enumerate(measure)}
    endpoint = trial["endpoint"].values
    return pd.DataFrame(
        {
            "ID": trial["patient"].values.astype(object),
            "TIME": trial["time"].values,
            "NTIME": trial["nominal_time"].values,
            "DV": np.where(upper, limit, dv),
            "DVID": endpoint.astype(object),
            "UNIT": np.array([unit[e] or None for e in endpoint], dtype=object),
            "CENS": cens,
            "LIMIT": np.where(upper, dv, limit),
            "LLOQ": trial["lloq"].values,
            "ULOQ": uloq,
            "EVID": 0,
            "MDV": 0,
            "OCC": trial["occasion"].values,
            "what": _OBSERVATION,
            "endpoint": np.array([place[e] for e in endpoint], dtype=np.int64),
        }
    )


def _doses(trial: xr.Dataset) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "ID": trial["dose_patient"].values.astype(object),
            "TIME": trial["dose_time"].values,
            "AMT": trial["amount"].values,
            "AMTUNIT": trial["amount"].attrs.get("units") or None,
            "DUR": trial["duration"].values if "duration" in trial else np.nan,
            "EVID": 1,
            "MDV": 1,
            "what": _DOSE,
            "endpoint": -1,
        }
    )


def _events(trial: xr.Dataset) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "ID": trial["event_patient"].values.astype(object),
            "TIME": trial["event_time"].values,
            "DV": trial["event_value"].values,
            "DVID": trial["event_name"].values.astype(object),
            "EVID": 2,
            "MDV": 1,
            "what": _EVENT,
            "endpoint": -1,
        }
    )


def _carriers(ids: pd.Index) -> pd.DataFrame:
    """Return rows that only carry the covariates of patients."""
    return pd.DataFrame(
        {
            "ID": np.asarray(ids, dtype=object),
            "TIME": 0.0,
            "EVID": 2,
            "MDV": 1,
            "what": _CARRIER,
            "endpoint": -1,
        }
    )


def _by_patient(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows as NONMEM wants them: by patient and time, doses first."""
    rows = rows.assign(first=rows["what"] == _OBSERVATION)
    return rows.sort_values(["patient", "TIME", "first", "endpoint"], kind="stable")


def _by_endpoint(rows: pd.DataFrame, ids: pd.Index) -> pd.DataFrame:
    """Return the rows with every patient named first, then the endpoints one after the other."""
    dosed = rows.loc[rows["what"] != _OBSERVATION, "ID"]
    carriers = _carriers(ids.difference(pd.Index(dosed)))
    carriers["patient"] = ids.get_indexer(pd.Index(carriers["ID"]))
    rows = pd.concat([r for r in (rows, carriers) if len(r)], ignore_index=True)
    return rows.sort_values(["endpoint", "patient", "TIME"], kind="stable")


def _keeps_order(ordered: pd.DataFrame, trial: xr.Dataset) -> bool:
    """Say whether reading the rows again would find the endpoints in the same order."""
    seen = ordered.loc[ordered["what"] == _OBSERVATION, "DVID"].drop_duplicates()
    return list(seen) == list(trial["measure"].values)


def _covariates(trial: xr.Dataset) -> dict[str, np.ndarray]:
    """Return header -> one value per patient."""
    found: dict[str, np.ndarray] = {}
    for name, variable in trial.data_vars.items():
        if variable.dims != ("id",) or variable.attrs.get("derived"):
            continue
        values = variable.values
        if values.dtype.kind in "UO":
            values = np.array([str(v) or None for v in values], dtype=object)
        found[_header(str(name), variable, found)] = values
    return found


def _header(name: str, variable: xr.DataArray, used: dict[str, np.ndarray]) -> str:
    header = str(variable.attrs.get("column", name))
    free = header not in used and header.upper() not in _HEADER and not is_special(header)
    return header if free else name
