"""From the parts of a table to the trial Dataset and its import report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._core.names import ENDPOINTS, label
from cart_pkpd._data.check import Observations
from cart_pkpd._data.columns import Columns
from cart_pkpd._data.covariates import Covariate
from cart_pkpd._data.dosing import Doses, Events
from cart_pkpd._data.endpoints import Endpoints
from cart_pkpd._data.log import Log, some
from cart_pkpd._data.parse import FloatArray, IntArray, Text
from cart_pkpd._data.report import EndpointCount, ImportReport
from cart_pkpd._data.source import Grid

Variable = tuple[str, NDArray, dict[str, str]]

_CENSORING = ("none", "left", "right", "interval")
_MANY_LEVELS = 6
PER_ENDPOINT = "see measure"


def words(values: Sequence[str] | Text | FloatArray) -> NDArray[np.str_]:
    """Return text as a numpy unicode array, which every file format can hold."""
    return np.array([str(v) for v in values], dtype=np.str_)


def dataset(
    rows: IntArray,
    patients: list[str],
    observations: Observations,
    endpoints: Endpoints,
    doses: Doses,
    events: Events,
    covariates: list[Covariate],
) -> xr.Dataset:
    """Return the trial Dataset, without attributes on the whole."""
    coords: dict[str, Variable] = {}
    variables: dict[str, Variable] = {}
    _add_observations(coords, variables, rows, patients, observations, endpoints)
    _add_doses(coords, variables, patients, doses)
    _add_events(coords, variables, patients, events)
    _add_measures(coords, variables, endpoints)
    coords["id"] = ("id", words(patients), _text("Patient"))
    _add_covariates(variables, patients, doses, covariates)
    return xr.Dataset(variables, coords)


def _number(long_name: str, units: str) -> dict[str, str]:
    return {"long_name": long_name, "units": units}


def _text(long_name: str) -> dict[str, str]:
    return {"long_name": long_name}


def _add_observations(
    coords: dict[str, Variable],
    variables: dict[str, Variable],
    rows: IntArray,
    patients: list[str],
    found: Observations,
    endpoints: Endpoints,
) -> None:
    names = np.array(patients, dtype=np.str_)
    measures = np.array(endpoints.names, dtype=np.str_)
    coords |= {
        "row": ("obs", rows[found.position], _number("Line of the source file", "")),
        "patient": ("obs", names[found.patient], _text("Patient")),
        "time": ("obs", found.time, _number("Time since first infusion", "day")),
        "nominal_time": ("obs", found.nominal, _number("Nominal time", "day")),
        "endpoint": ("obs", measures[found.endpoint], _text("Endpoint")),
        "occasion": ("obs", found.occasion, _number("Occasion", "")),
    }
    v = found.values
    variables |= {
        "dv": ("obs", v.dv, _number("Observed value", PER_ENDPOINT)),
        "censoring": ("obs", words(v.censoring), _text("Censoring")),
        "lloq": ("obs", v.lloq, _number("Lower limit of quantification", PER_ENDPOINT)),
        "uloq": ("obs", v.uloq, _number("Upper limit of quantification", PER_ENDPOINT)),
        "limit": ("obs", v.limit, _number("Lower edge of interval censoring", PER_ENDPOINT)),
    }


def _add_doses(
    coords: dict[str, Variable], variables: dict[str, Variable], patients: list[str], doses: Doses
) -> None:
    names = np.array(patients, dtype=np.str_)
    coords |= {
        "dose_row": ("dosing", doses.row, _number("Line of the source file", "")),
        "dose_patient": ("dosing", names[doses.patient], _text("Patient")),
        "dose_time": ("dosing", doses.time, _number("Time since first infusion", "day")),
    }
    variables["amount"] = ("dosing", doses.amount, _number("Dose", doses.unit))
    if doses.duration is not None:
        attrs = _number("Length of the infusion, 0 for a bolus", "day")
        variables["duration"] = ("dosing", doses.duration, attrs)


def _add_events(
    coords: dict[str, Variable], variables: dict[str, Variable], patients: list[str], events: Events
) -> None:
    names = np.array(patients, dtype=np.str_)
    coords |= {
        "event_row": ("event", events.row, _number("Line of the source file", "")),
        "event_patient": ("event", names[events.patient], _text("Patient")),
        "event_time": ("event", events.time, _number("Time since first infusion", "day")),
    }
    variables |= {
        "event_name": ("event", words(events.name), _text("Co-medication or other event")),
        "event_value": ("event", events.value, _number("1 given or on, 0 off", "")),
    }


def _add_measures(
    coords: dict[str, Variable], variables: dict[str, Variable], endpoints: Endpoints
) -> None:
    kinds = [_kind(n, u) for n, u in zip(endpoints.names, endpoints.units, strict=True)]
    coords["measure"] = ("measure", words(endpoints.names), _text("Endpoint"))
    variables |= {
        "unit": ("measure", words(endpoints.units), _text("Unit")),
        "label": ("measure", words([label(n) for n in endpoints.names]), _text("Label")),
        "kind": ("measure", words(kinds), _text("Kind of endpoint")),
    }


def _kind(name: str, unit: str) -> str:
    """Return the kind of an endpoint; counts and copies are cells under any name."""
    if name in ENDPOINTS:
        return ENDPOINTS[name].kind
    return "cells" if unit.startswith(("cells/", "copies/")) else "other"


def guess_levels(doses: Doses, covariates: list[Covariate], log: Log) -> None:
    """Say that amounts as they were given stand for dose levels, where they make too many."""
    first = dict(zip(doses.patient[::-1].tolist(), doses.amount[::-1].tolist(), strict=True))
    levels, patients = len(set(first.values())), len(first)
    if any(c.name == "dose_level" for c in covariates) or levels <= max(_MANY_LEVELS, patients / 2):
        return
    log.guess(
        f"No column gives the planned dose, so every amount is a dose level of its own: {levels} "
        f"of {patients} patients. columns={{'DOSELEVEL': …}} names the column of the planned dose."
    )


def _add_covariates(
    variables: dict[str, Variable], patients: list[str], doses: Doses, covariates: list[Covariate]
) -> None:
    if not any(c.name == "dose_level" for c in covariates) and doses.row.size:
        first = np.full(len(patients), np.nan)
        first[doses.patient[::-1]] = doses.amount[::-1]  # sorted by time: the first dose stays
        attrs = _number("Dose level (first dose)", doses.unit) | {"derived": "first dose"}
        variables["dose_level"] = ("id", first, attrs)
    for c in covariates:
        attrs = {"long_name": c.header, "column": c.header}
        if c.numeric:
            variables[c.name] = ("id", c.values, attrs | {"units": c.unit})
        else:
            variables[c.name] = ("id", words(c.values), attrs)


def with_infusion_day(trial: xr.Dataset, days: FloatArray) -> xr.Dataset:
    """Return the trial with the day of each infusion, where dates tell it and no column does."""
    if "infusion_day" in trial or not np.isfinite(days).any():
        return trial
    attrs = _number("Day of the infusion, from that of the first patient", "day")
    return trial.assign(infusion_day=("id", days, attrs))


def report(
    grid: Grid,
    columns: Columns,
    observations: Observations,
    endpoints: Endpoints,
    doses: Doses,
    events: Events,
    covariates: list[Covariate],
    patients: list[str],
    log: Log,
) -> ImportReport:
    """Return what there is to say about how the table was read."""
    return ImportReport(
        source=grid.name,
        sha256=grid.sha256,
        n_patients=len(patients),
        n_records=int(grid.row.size),
        n_observations=len(observations),
        n_doses=int(doses.row.size),
        n_events=int(events.row.size),
        columns=columns.uses(),
        endpoints=tuple(
            _count(observations, e, name, endpoints.units[e])
            for e, name in enumerate(endpoints.names)
        ),
        missing_covariates={c.name: c.missing for c in covariates if c.missing},
        guesses=tuple(log.guesses),
        notes=tuple(log.notes),
        exclusions=tuple(sorted(log.exclusions, key=lambda e: e.row)),
    )


def _count(found: Observations, e: int, name: str, unit: str) -> EndpointCount:
    mine = found.endpoint == e
    counts = [int(np.sum(mine & (found.values.censoring == kind))) for kind in _CENSORING]
    patients = int(np.unique(found.patient[mine]).size)
    return EndpointCount(name, unit, patients, sum(counts), *counts)


def note_gaps(patients: list[str], observations: Observations, doses: Doses, log: Log) -> None:
    """Note patients who have doses but no observation."""
    silent = sorted(set(doses.patient.tolist()) - set(observations.patient.tolist()))
    if silent:
        names = some([repr(patients[p]) for p in silent])
        log.note(f"Dosed, but without any observation: {names}.")
