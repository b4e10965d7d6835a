"""Virtual patients as a trial, in the form of a real one; and replicate trials as counts."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd import data
from cart_pkpd._core.errors import DataError
from cart_pkpd._simulate.blocks import ABOVE, BELOW
from cart_pkpd._simulate.streams import Floats
from cart_pkpd._simulate.summary import as_patients

_OWN = ("trial", "draw", "individual", "status", "exposure", "level", "dv", "censored",
        "actual_time", "left", "dose_level", "last_contact")  # fmt: skip


def as_trial(patients: xr.Dataset, number: int | None, *, truth: bool) -> xr.Dataset:
    """Return a trial; see ``simulate.as_trial``."""
    given = as_patients(patients, "simulate.as_trial")
    if "dv" not in given:
        raise DataError("simulate.as_trial: these patients have no records; simulate with times=.")
    given = _one_trial(given, number).load()
    given = given.assign_coords(id=np.arange(1, given.sizes["id"] + 1))
    about = _subjects(given)
    parts = [p for p in (_doses(given), _events(given), _records(given)) if len(p)]
    table = pd.concat(parts, ignore_index=True)
    table = table.sort_values(["ID", "TIME", "EVID"], ascending=[True, True, False], kind="stable")
    endpoints = [str(e) for e in given["endpoint"].to_numpy()]
    measured = set(table.loc[table["EVID"] == 0, "DVID"])
    out = data.read_table(
        table.reset_index(drop=True),
        units={e: str(u) for e, u in zip(endpoints, given["unit"].to_numpy(), strict=True)
               if e in measured},
        subjects=about,
        dose_unit=str(given["dose_level"].attrs.get("units", "cells")),
        echo=False,
    )  # fmt: skip
    return _with_truth(out, given) if truth else out


def _one_trial(given: xr.Dataset, number: int | None) -> xr.Dataset:
    if "trial" not in given:
        if number not in (None, 1):
            raise DataError(f"there is one trial, so number={number} is none of it.")
        return given
    which = given["trial"].to_numpy()
    if number is None:
        raise DataError(
            f"there are {len(np.unique(which))} trials; say which: number=1 is the first."
        )
    if not (which == number).any():
        raise DataError(f"there is no trial {number}; they are 1 to {int(which.max())}.")
    return given.isel(id=np.flatnonzero(which == number))


def _subjects(given: xr.Dataset) -> pd.DataFrame:
    out: dict[str, Any] = {"ID": given["id"].to_numpy()}
    for name, variable in given.data_vars.items():
        if variable.dims == ("id",) and name not in _OWN:
            out[str(name)] = variable.to_numpy()
    if not np.isnan(given["dose_level"].to_numpy()).any():
        out["dose_level"] = given["dose_level"].to_numpy()
    out["last_contact_day"] = np.round(given["last_contact"].to_numpy(), 3)
    return pd.DataFrame(out)


def _doses(given: xr.Dataset) -> pd.DataFrame:
    """Return one row per infusion."""
    dose = given["dose_level"].to_numpy()
    if np.isnan(dose).any():
        return pd.DataFrame({"ID": [], "TIME": [], "AMT": [], "EVID": []})
    parts = []
    for day, share, length in infusions_of(given):
        part = {"ID": given["id"].to_numpy(), "TIME": day, "AMT": dose * share, "EVID": 1}
        parts.append(pd.DataFrame(part | ({"DUR": length} if length else {})))
    return pd.concat(parts, ignore_index=True)


def infusions_of(given: xr.Dataset) -> list[tuple[float, float, float]]:
    """Return day, share of the dose and length of each infusion."""
    rows = np.asarray(given.attrs["infusions"], dtype=float).reshape(-1, 3)
    return [(float(a), float(b), float(c)) for a, b, c in rows]


def _events(given: xr.Dataset) -> pd.DataFrame:
    """Return the co-medication, which all patients had."""
    ids = given["id"].to_numpy()
    parts = [
        pd.DataFrame({"ID": ids, "TIME": day, "DV": value, "DVID": name, "EVID": 2})
        for name, steps in json.loads(given.attrs["inputs"]).items()
        for day, value in steps
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _records(given: xr.Dataset) -> pd.DataFrame:
    code = given["censored"].to_numpy()
    who, visit, which = np.nonzero(code <= ABOVE)
    nominal = given["time"].to_numpy()
    at = nominal[visit]
    if "actual_time" in given:
        at = given["actual_time"].to_numpy()[who, visit]
    state = code[who, visit, which]
    return pd.DataFrame(
        {
            "ID": given["id"].to_numpy()[who],
            "TIME": at,
            "NTIME": nominal[visit],
            "DV": given["dv"].to_numpy()[who, visit, which],
            "DVID": given["endpoint"].to_numpy()[which],
            "CENS": np.select([state == BELOW, state == ABOVE], [1, -1], 0),
            "LLOQ": given["lloq"].to_numpy()[which],
            "ULOQ": given["uloq"].to_numpy()[which],
            "EVID": 0,
        }
    )


def _with_truth(out: xr.Dataset, given: xr.Dataset) -> xr.Dataset:
    """Add every patient's true parameters, as ``true_<name>``."""
    by_name = given["individual"].to_numpy()
    units = given["parameter_unit"].to_numpy()
    place = pd.Index([str(i) for i in given["id"].to_numpy()]).get_indexer(
        pd.Index(out["id"].to_numpy().astype(str))
    )
    return out.assign(
        {
            f"true_{name}": (
                "id", by_name[place, j],
                {"units": str(units[j]), "long_name": f"true {name}"},
            )
            for j, name in enumerate(given["parameter"].to_numpy())
        }
    )  # fmt: skip


def by_trial(patients: xr.Dataset) -> xr.Dataset:
    """Return replicate trials as counts and means; see ``simulate.trials``."""
    given = as_patients(patients, "simulate.by_trial")
    trial = given["trial"].to_numpy() - 1 if "trial" in given else np.zeros(given.sizes["id"], int)
    dose = given["dose_level"].to_numpy()
    levels = np.unique(dose[~np.isnan(dose)])
    place = np.searchsorted(levels, dose) if levels.size else np.zeros(dose.size, int)
    levels = levels if levels.size else np.array([np.nan])
    cells = _Cells(trial * levels.size + place, int(trial.max()) + 1, levels.size)
    sides = ("trial", "dose_level")
    variables: dict[str, Any] = {"n": (sides, cells.sum(np.ones(dose.size)).astype(int))}
    variables["n_left"] = (sides, cells.sum(given["left"].to_numpy() > 0).astype(int))
    for name in str(given.attrs.get("outcomes", "")).split():
        variables |= _counts(cells, given, name)
    if "exposure" in given:
        variables |= _geometric(cells, given)
    kept = ("endpoint", "unit", "metric", "exposure_unit")
    return xr.Dataset(
        variables,
        coords={
            "trial": np.arange(1, cells.trials + 1),
            "dose_level": ("dose_level", levels, dict(given["dose_level"].attrs)),
            **{n: given[n] for n in kept if n in given.coords},
        },
        attrs={k: given.attrs[k] for k in ("model", "seed", "patients_from") if k in given.attrs},
    )


class _Cells:
    """Sums over the patients of each trial and dose."""

    def __init__(self, place: NDArray[Any], trials: int, levels: int) -> None:
        self._place, self.trials, self._levels = place, trials, levels

    def sum(self, values: NDArray[Any]) -> Floats:
        """Return sums, shape (trials, levels)."""
        weights = np.asarray(values, dtype=float)
        size = self.trials * self._levels
        flat = np.bincount(self._place, weights=weights, minlength=size)
        return flat.reshape(self.trials, self._levels)


def _counts(cells: _Cells, given: xr.Dataset, name: str) -> dict[str, Any]:
    """Return evaluable patients, and how many of them have each grade or a higher one."""
    known = given[f"{name}_evaluable"].to_numpy() > 0
    grade = given[name].to_numpy()
    highest = int(given[name].attrs.get("grades", max(1, int(grade.max()))))
    counts = [cells.sum(known & (grade >= g)).astype(int) for g in range(1, highest + 1)]
    evaluable = cells.sum(known).astype(int)
    out: dict[str, Any] = {f"{name}_evaluable": (("trial", "dose_level"), evaluable)}
    if highest == 1:
        return out | {name: (("trial", "dose_level"), counts[0])}
    dim = f"{name}_grade"
    grades = np.arange(1, highest + 1)
    return out | {
        name: (("trial", "dose_level", dim), np.stack(counts, axis=-1)), dim: (dim, grades)
    }  # fmt: skip


def _geometric(cells: _Cells, given: xr.Dataset) -> dict[str, Any]:
    """Return geometric means of exposures above 0."""
    values = given["exposure"].to_numpy()
    shape = (cells.trials, -1, *values.shape[1:])
    out = np.empty((cells.sum(np.ones(values.shape[0])).size, *values.shape[1:]))
    for i, j in np.ndindex(values.shape[1:]):
        one = values[:, i, j]
        there = one > 0
        with np.errstate(all="ignore"):
            ln = np.where(there, np.log(np.where(there, one, 1.0)), 0.0)
            out[:, i, j] = np.exp(cells.sum(ln) / cells.sum(there)).ravel()
    sides = ("trial", "dose_level", "endpoint", "metric")
    return {"geometric_mean": (sides, out.reshape(shape))}
