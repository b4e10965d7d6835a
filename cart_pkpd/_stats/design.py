"""A trial's records of one endpoint as the arrays that a fit works on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd import data
from cart_pkpd._core.errors import FitError

QUANTIFIED, BELOW, ABOVE, BETWEEN = 0, 1, 2, 3
FRACTION_GAP = 7.0
"""Doses at most this many days apart are fractions of one infusion. [day]"""

_CODES = {"none": QUANTIFIED, "left": BELOW, "right": ABOVE, "interval": BETWEEN}


@dataclass(frozen=True)
class Exclusion:
    """A record or patient left out of a fit, with the reason."""

    patient: str
    row: int | None
    reason: str


@dataclass(frozen=True, eq=False)
class Design:
    """Records of one endpoint, sorted by patient and time.

    Attributes
    ----------
    endpoint, unit, label : str
        What was measured.
    ids : ndarray of str, shape (k,)
        Patients that contribute at least one record.
    patient : ndarray of int, shape (n,)
        Index into `ids` of each record.
    time : ndarray, shape (n,)
        Days since the infusion, at or after 0. [day]
    nominal_time : ndarray, shape (n,)
        Planned time, NaN where unknown. [day]
    dv : ndarray, shape (n,)
        Measurement; the limit for censored records. [unit]
    code : ndarray of int, shape (n,)
        QUANTIFIED, BELOW, ABOVE or BETWEEN.
    low : ndarray, shape (n,)
        Lower edge of interval-censored records, else NaN. [unit]
    lloq, uloq : ndarray, shape (n,)
        Limits of quantification of each record, NaN if none. [unit]
    row : ndarray of int, shape (n,)
        Line of each record in the source table.
    subjects : xr.Dataset
        Patient-level variables, dim ``id``, in the order of `ids`.
    exclusions : tuple of Exclusion
        Everything left out.
    """

    endpoint: str
    unit: str
    label: str
    ids: NDArray[np.str_]
    patient: NDArray[np.int64]
    time: NDArray[np.float64]
    nominal_time: NDArray[np.float64]
    dv: NDArray[np.float64]
    code: NDArray[np.int64]
    low: NDArray[np.float64]
    lloq: NDArray[np.float64]
    uloq: NDArray[np.float64]
    row: NDArray[np.int64]
    subjects: xr.Dataset
    exclusions: tuple[Exclusion, ...] = ()

    @property
    def n_obs(self) -> int:
        """Number of records."""
        return self.time.size

    @property
    def n_patients(self) -> int:
        """Number of patients."""
        return self.ids.size

    def rows_of(self, code: int) -> NDArray[np.int64]:
        """Return the positions of the records with this censoring code."""
        return np.flatnonzero(self.code == code)


def design(trial: xr.Dataset, endpoint: str) -> Design:
    """Return the records of `endpoint` that a fit can use, and say what was left out.

    Records before the infusion and after a second infusion are left out, because a
    closed-form profile describes one infusion; so are patients without any record. Doses
    within a week of the one before are fractions of one infusion, as in NCA. An interval from
    0 or less is left-censored. Where the table gives the LLOQ of censored records only, the
    endpoint's usual LLOQ stands for the others too.

    Parameters
    ----------
    trial : xr.Dataset
        From ``data.read_table``.
    endpoint : str
        Name of a measure.

    Returns
    -------
    Design

    Raises
    ------
    FitError
        If nothing is left.
    """
    one = data.endpoint(trial, endpoint)
    patients = one["patient"].to_numpy().astype(str)
    time = one["time"].to_numpy().astype(float)
    ends = _second_infusions(one)
    too_late = np.array([t >= ends.get(i, np.inf) for i, t in zip(patients, time, strict=True)])
    keep = (time >= 0) & ~too_late
    exclusions = [
        *_records(one, time < 0, "before the infusion"),
        *_records(one, too_late & (time >= 0), "after a second infusion"),
    ]
    if not keep.any():
        raise FitError(
            f"no record of {endpoint!r} at or after the infusion is left to fit; "
            "check TIME and the endpoint's name."
        )
    ids, index = _first_seen(patients[keep])
    kept = one.isel(obs=np.flatnonzero(keep))
    order = np.lexsort((time[keep], index))
    present = set(ids.tolist())
    exclusions += [
        Exclusion(str(i), None, f"no record of {endpoint} to fit")
        for i in one["id"].to_numpy()
        if str(i) not in present
    ]
    low = kept["limit"].to_numpy()[order].astype(float)
    code = np.array([_CODES[str(c)] for c in kept["censoring"].to_numpy()[order]], dtype=np.int64)
    code = np.where((code == BETWEEN) & (low <= 0), BELOW, code)
    subjects = one.drop_dims([d for d in one.dims if d != "id"])

    def column(name: str) -> NDArray[Any]:
        return kept[name].to_numpy()[order]

    return Design(
        endpoint=endpoint,
        unit=str(one["dv"].attrs["units"]),
        label=str(one["dv"].attrs["long_name"]),
        ids=ids,
        patient=index[order],
        time=column("time").astype(float),
        nominal_time=column("nominal_time").astype(float),
        dv=column("dv").astype(float),
        code=code,
        low=np.where(code == BETWEEN, low, np.nan),
        lloq=_carried(column("lloq").astype(float)),
        uloq=column("uloq").astype(float),
        row=column("row").astype(np.int64),
        subjects=subjects.sel(id=ids),
        exclusions=tuple(exclusions),
    )


def _first_seen(values: NDArray[np.str_]) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
    """Return the distinct values in order of appearance, and each value's index there."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    return values[np.sort(first)], rank[inverse].astype(np.int64)


def _carried(lloq: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the LLOQ of every record; the most frequent one where none is given."""
    known = lloq[np.isfinite(lloq)]
    if not known.size:
        return lloq
    values, counts = np.unique(known, return_counts=True)
    return np.where(np.isfinite(lloq), lloq, values[np.argmax(counts)])


def _second_infusions(one: xr.Dataset) -> dict[str, float]:
    """Return when the second infusion of every patient who had one began."""
    times: dict[str, list[float]] = {}
    for patient, time in zip(
        one["dose_patient"].to_numpy(), one["dose_time"].to_numpy(), strict=True
    ):
        times.setdefault(str(patient), []).append(float(time))
    second = {}
    for patient, given in times.items():
        ordered = np.sort(given)
        later = np.flatnonzero(np.diff(ordered) > FRACTION_GAP)
        if later.size:
            second[patient] = float(ordered[later[0] + 1])
    return second


def _records(one: xr.Dataset, where: NDArray[np.bool_], reason: str) -> list[Exclusion]:
    rows = one["row"].to_numpy()[where]
    patients = one["patient"].to_numpy()[where]
    return [Exclusion(str(i), int(r), reason) for i, r in zip(patients, rows, strict=True)]
