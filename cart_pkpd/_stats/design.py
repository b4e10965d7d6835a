"""A trial's records of one or several endpoints as the arrays that a fit works on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd import data
from cart_pkpd._core.errors import FitError
from cart_pkpd._core.validate import as_names, as_trial, one_of
from cart_pkpd._stats.occasions import FRACTION_GAP, Occasion, check_infusions, occasions_of
from cart_pkpd.models import ClosedFormModel, Model

QUANTIFIED, BELOW, ABOVE, BETWEEN = 0, 1, 2, 3
BEFORE_INFUSION, SECOND_INFUSION = "before the infusion", "after a second infusion"
"""Why a record is left out: models begin at the infusion, and a closed form describes one."""
_CODES = {"none": QUANTIFIED, "left": BELOW, "right": ABOVE, "interval": BETWEEN}


@dataclass(frozen=True)
class Exclusion:
    """A record or patient left out of a fit, with the reason."""

    patient: str
    row: int | None
    reason: str


@dataclass(frozen=True)
class Measure:
    """An endpoint: its name, its unit and its label for people."""

    name: str
    unit: str
    label: str


@dataclass(frozen=True)
class Change:
    """A known number of a patient that changes: `patient` is an index, `time` in days."""

    patient: int
    time: float
    name: str
    value: float


@dataclass(frozen=True, eq=False)
class Design:
    """Records of one or several endpoints, sorted by patient, time and measure.

    Attributes
    ----------
    measures : tuple of Measure
        What was measured.
    measure : ndarray of int, shape (n,)
        Index into `measures` of each record.
    ids : ndarray of str, shape (k,)
        Patients that contribute at least one record.
    patient : ndarray of int, shape (n,)
        Index into `ids` of each record.
    time : ndarray, shape (n,)
        Days since the infusion, at or after 0. [day]
    nominal_time : ndarray, shape (n,)
        Planned time, NaN where unknown. [day]
    dv : ndarray, shape (n,)
        Measurement; the limit for censored records. [unit of its measure]
    code : ndarray of int, shape (n,)
        QUANTIFIED, BELOW, ABOVE or BETWEEN.
    low : ndarray, shape (n,)
        Lower edge of interval-censored records, else NaN. [unit of its measure]
    lloq, uloq : ndarray, shape (n,)
        Limits of quantification of each record, NaN if none. [unit of its measure]
    row : ndarray of int, shape (n,)
        Line of each record in the source table.
    before_dose : ndarray of bool, shape (n,)
        The record is of the time of a dose and stands above it in the table: drawn before it.
    subjects : xr.Dataset
        Patient-level variables, dim ``id``, in the order of `ids`.
    dose_patient : ndarray of int, shape (m,)
        Index into `ids` of each dose, sorted by patient and time.
    dose_time : ndarray, shape (m,)
        When each dose began. [day]
    dose_amount : ndarray, shape (m,)
        How much was given, NaN where unknown. [dose_unit]
    dose_duration : ndarray, shape (m,)
        How long it took, 0 for a bolus. [day]
    dose_unit : str
        Unit of the amounts; empty if the trial has none.
    changes : tuple of Change
        Co-medication and other events of these patients.
    exclusions : tuple of Exclusion
        Everything left out.
    known : mapping of str to ndarray, shape (k,)
        Parameters and other values of the equations that are known for each patient.
    given : str
        Where known parameters come from, in words; empty if there are none.
    treatment : str
        What was done with censored records, in words; empty if nothing.
    occasions : tuple of Occasion
        The occasions of each patient, sorted by patient and time.
    """

    measures: tuple[Measure, ...]
    measure: NDArray[np.int64]
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
    before_dose: NDArray[np.bool_]
    subjects: xr.Dataset
    dose_patient: NDArray[np.int64]
    dose_time: NDArray[np.float64]
    dose_amount: NDArray[np.float64]
    dose_duration: NDArray[np.float64]
    dose_unit: str
    changes: tuple[Change, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    known: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    given: str = ""
    treatment: str = ""
    occasions: tuple[Occasion, ...] = ()

    @property
    def n_obs(self) -> int:
        """Number of records."""
        return self.time.size

    @property
    def n_patients(self) -> int:
        """Number of patients."""
        return self.ids.size

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Names of the measures."""
        return tuple(m.name for m in self.measures)

    @property
    def several(self) -> bool:
        """Whether there is more than one measure."""
        return len(self.measures) > 1

    @property
    def endpoint(self) -> str:
        """Name of the sole measure; FitError if there are several."""
        return self.measures[self.index(None)].name

    @property
    def unit(self) -> str:
        """Unit of the sole measure; FitError if there are several."""
        return self.measures[self.index(None)].unit

    @property
    def label(self) -> str:
        """Label of the sole measure; FitError if there are several."""
        return self.measures[self.index(None)].label

    def index(self, endpoint: str | None, asking: str = "endpoint") -> int:
        """Return the position of a measure; None stands for the sole one.

        `asking` is the argument that names the endpoint, for the message.

        Raises
        ------
        FitError
            If there is no such measure, or several to choose from.
        """
        if endpoint is not None:
            return self.endpoints.index(
                one_of(endpoint, self.endpoints, "endpoint of this fit", error=FitError)
            )
        if self.several:
            raise FitError(
                f"this fit has several endpoints ({', '.join(self.endpoints)}); say which: "
                f"{asking}=..."
            )
        return 0

    def rows_of(self, code: int) -> NDArray[np.int64]:
        """Return the positions of the records with this censoring code."""
        return np.flatnonzero(self.code == code)

    def only(self, endpoint: str | None, asking: str = "endpoint") -> Design:
        """Return the design with the records of one measure; patients and doses stay.

        `asking` is the argument that names the endpoint, for the message.

        Raises
        ------
        FitError
            If there is no such measure, or None is given and there are several.
        """
        chosen = self.index(endpoint, asking)
        rows = np.flatnonzero(self.measure == chosen)
        kept = self.taken(rows)
        zeros = np.zeros(rows.size, dtype=np.int64)
        return replace(kept, measures=(self.measures[chosen],), measure=zeros)

    def taken(self, rows: NDArray[Any]) -> Design:
        """Return the design with some of the records; patients and doses stay."""
        return replace(self, **{name: getattr(self, name)[rows] for name in RECORD_FIELDS})

    def among(self, patients: Sequence[int]) -> Design:
        """Return the design of some of the patients, given by their indices in rising order."""
        chosen = np.asarray(patients, dtype=np.int64)
        new = np.full(self.n_patients, -1, dtype=np.int64)
        new[chosen] = np.arange(chosen.size)
        kept = self.taken(np.flatnonzero(new[self.patient] >= 0))
        doses = np.flatnonzero(new[self.dose_patient] >= 0)
        given = {name: getattr(self, name)[doses] for name in DOSE_FIELDS}
        return replace(
            kept,
            **{**given, "dose_patient": new[given["dose_patient"]]},
            ids=self.ids[chosen],
            patient=new[kept.patient],
            subjects=self.subjects.isel(id=chosen),
            known={name: value[chosen] for name, value in self.known.items()},
            changes=tuple(
                replace(c, patient=int(new[c.patient])) for c in self.changes if new[c.patient] >= 0
            ),
            occasions=tuple(
                replace(o, patient=int(new[o.patient]))
                for o in self.occasions
                if new[o.patient] >= 0
            ),
        )


RECORD_FIELDS = (
    "measure", "patient", "time", "nominal_time", "dv", "code", "low", "lloq", "uloq", "row",
    "before_dose",
)  # fmt: skip
DOSE_FIELDS = ("dose_patient", "dose_time", "dose_amount", "dose_duration")


def design_for(
    model: Model, trial: xr.Dataset, endpoints: str | Sequence[str], *, iov: bool = False
) -> Design:
    """Return the records that a fit of `model` can use.

    A closed form knows one infusion only, or with `iov` one on each occasion.

    Raises
    ------
    FitError
        As for :func:`design`, and for a closed form with two infusions on one occasion.
    """
    closed = isinstance(model, ClosedFormModel)
    found = design(trial, endpoints, all_infusions=iov or not closed)
    if iov and closed:
        check_infusions(found)
    return found


def design(
    trial: xr.Dataset, endpoints: str | Sequence[str], *, all_infusions: bool = False
) -> Design:
    """Return the records of `endpoints` that a fit can use, and say what was left out.

    Records before the infusion and after a second infusion are left out, because a
    closed-form profile describes one infusion; so are patients without any record. Doses
    within a week of the one before are fractions of one infusion, as in NCA. An interval from
    0 or less is left-censored. Where the table gives the LLOQ of censored records only, the
    endpoint's usual LLOQ stands for the others too.

    Parameters
    ----------
    trial : xr.Dataset
        From ``data.read_table``.
    endpoints : str or sequence of str
        Names of measures.
    all_infusions : bool
        Keep records and doses after a second infusion.

    Returns
    -------
    Design

    Raises
    ------
    FitError
        If nothing is left, or a name is there twice.
    DataError
        If the trial has no such endpoint.
    """
    trial = as_trial(trial)
    names = _named(endpoints)
    measures = tuple(_measure(data.endpoint(trial, name)) for name in names)
    chosen = trial.isel(obs=np.flatnonzero(np.isin(trial["endpoint"].to_numpy(), names)))
    patients = chosen["patient"].to_numpy().astype(str)
    time = chosen["time"].to_numpy().astype(float)
    ends = {} if all_infusions else _second_infusions(chosen)
    too_late = _at_or_after(patients, time, ends)
    keep = (time >= 0) & ~too_late
    exclusions = [
        *_records(chosen, time < 0, BEFORE_INFUSION),
        *_records(chosen, too_late & (time >= 0), SECOND_INFUSION),
    ]
    said = " or ".join(names)
    if not keep.any():
        raise FitError(
            f"no record of {' or '.join(map(repr, names))} at or after the infusion is left to "
            "fit; check TIME and the endpoint's name."
        )
    ids, index = _first_seen(patients[keep])
    kept = chosen.isel(obs=np.flatnonzero(keep))
    measure = np.array([names.index(str(e)) for e in kept["endpoint"].to_numpy()], dtype=np.int64)
    order = np.lexsort((measure, time[keep], index))
    present = set(ids.tolist())
    exclusions += [
        Exclusion(str(i), None, f"no record of {said} to fit")
        for i in chosen["id"].to_numpy()
        if str(i) not in present
    ]
    low = kept["limit"].to_numpy()[order].astype(float)
    code = np.array([_CODES[str(c)] for c in kept["censoring"].to_numpy()[order]], dtype=np.int64)
    code = np.where((code == BETWEEN) & (low <= 0), BELOW, code)
    subjects = chosen.drop_dims([d for d in chosen.dims if d != "id"])

    def column(name: str) -> NDArray[Any]:
        return kept[name].to_numpy()[order]

    doses = _doses(chosen, ids, ends)
    before = _before_dose(chosen, column("patient"), column("time"), column("row"))
    seen = (
        column("occasion").astype(np.int64), column("time").astype(float), index[order], before
    )  # fmt: skip
    return Design(
        measures=measures,
        measure=measure[order],
        ids=ids,
        patient=index[order],
        time=column("time").astype(float),
        nominal_time=column("nominal_time").astype(float),
        dv=column("dv").astype(float),
        code=code,
        low=np.where(code == BETWEEN, low, np.nan),
        lloq=_carried(column("lloq").astype(float), measure[order]),
        uloq=column("uloq").astype(float),
        row=column("row").astype(np.int64),
        before_dose=before,
        subjects=subjects.sel(id=ids),
        changes=_changes(chosen, ids),
        exclusions=tuple(exclusions),
        occasions=occasions_of(*seen, doses["dose_time"], doses["dose_patient"]),
        **doses,
    )


def _named(endpoints: str | Sequence[str]) -> list[str]:
    names = list(as_names(endpoints, "endpoint", such_as="'transgene'"))
    if not names:
        raise FitError("no endpoint to fit; name at least one.")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise FitError(f"the endpoint {twice[0]!r} is named twice; name each once.")
    return names


def _measure(one: xr.Dataset) -> Measure:
    attrs = one["dv"].attrs
    return Measure(str(one.attrs["endpoint"]), str(attrs["units"]), str(attrs["long_name"]))


def _at_or_after(
    patients: NDArray[np.str_], time: NDArray[np.float64], ends: dict[str, float]
) -> NDArray[np.bool_]:
    """Return which times are at or after the end of their patient."""
    return time >= np.array([ends.get(str(i), np.inf) for i in patients])


def _doses(trial: xr.Dataset, ids: NDArray[np.str_], ends: dict[str, float]) -> dict[str, Any]:
    """Return the doses of these patients up to the end of each, as fields of a Design."""
    index = {str(name): i for i, name in enumerate(ids)}
    given_to = trial["dose_patient"].to_numpy().astype(str)
    patient = np.array([index.get(str(i), -1) for i in given_to], dtype=np.int64)
    time = trial["dose_time"].to_numpy().astype(float)
    rows = np.flatnonzero((patient >= 0) & ~_at_or_after(given_to, time, ends))
    rows = rows[np.lexsort((time[rows], patient[rows]))]
    amount = trial["amount"]
    duration = (
        np.nan_to_num(trial["duration"].to_numpy().astype(float))
        if "duration" in trial
        else np.zeros(time.size)
    )
    return {
        "dose_patient": patient[rows],
        "dose_time": time[rows],
        "dose_amount": amount.to_numpy().astype(float)[rows],
        "dose_duration": duration[rows],
        "dose_unit": str(amount.attrs.get("units", "")),
    }


def _before_dose(
    trial: xr.Dataset, patient: NDArray[Any], time: NDArray[Any], row: NDArray[Any]
) -> NDArray[np.bool_]:
    """Return which records are of the instant of a dose and stand above it in the table."""
    lines: dict[tuple[str, float], int] = {}
    columns = (trial[f"dose_{k}"].to_numpy() for k in ("patient", "time", "row"))
    for who, when, line in zip(*columns, strict=True):
        key = (str(who), float(when))
        lines[key] = max(int(line), lines.get(key, 0))
    records = zip(patient, time, row, strict=True)
    return np.array([int(r) < lines.get((str(i), float(t)), -1) for i, t, r in records], dtype=bool)


def _changes(trial: xr.Dataset, ids: NDArray[np.str_]) -> tuple[Change, ...]:
    """Return the events of these patients."""
    index = {str(name): i for i, name in enumerate(ids)}
    columns = (
        trial[f"event_{k}"].to_numpy().tolist() for k in ("patient", "time", "name", "value")
    )
    return tuple(
        Change(index[str(who)], float(time), str(name), float(value))
        for who, time, name, value in zip(*columns, strict=True)
        if str(who) in index
    )


def _first_seen(values: NDArray[np.str_]) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
    """Return the distinct values in order of appearance, and each value's index there."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    return values[np.sort(first)], rank[inverse].astype(np.int64)


def _carried(lloq: NDArray[np.float64], measure: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the LLOQ of every record; the most frequent of its measure where none is given."""
    out = lloq.copy()
    for m in np.unique(measure):
        known = lloq[(measure == m) & np.isfinite(lloq)]
        if known.size:
            values, counts = np.unique(known, return_counts=True)
            out[(measure == m) & ~np.isfinite(lloq)] = values[np.argmax(counts)]
    return out


def _second_infusions(trial: xr.Dataset) -> dict[str, float]:
    """Return when the second infusion of every patient who had one began."""
    times: dict[str, list[float]] = {}
    for patient, time in zip(
        trial["dose_patient"].to_numpy(), trial["dose_time"].to_numpy(), strict=True
    ):
        times.setdefault(str(patient), []).append(float(time))
    second = {}
    for patient, given in times.items():
        ordered = np.sort(given)
        later = np.flatnonzero(np.diff(ordered) > FRACTION_GAP)
        if later.size:
            second[patient] = float(ordered[later[0] + 1])
    return second


def _records(trial: xr.Dataset, where: NDArray[np.bool_], reason: str) -> list[Exclusion]:
    rows = trial["row"].to_numpy()[where]
    patients = trial["patient"].to_numpy()[where]
    return [Exclusion(str(i), int(r), reason) for i, r in zip(patients, rows, strict=True)]
