"""Every patient's profiles as data for the interactive view, which the page's script draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from cart_pkpd import data
from cart_pkpd.plots import _text
from cart_pkpd.plots._axes import below
from cart_pkpd.plots._groups import groups
from cart_pkpd.report._blocks import Explorer, Section, Text
from cart_pkpd.report._endpoints import EndpointFindings
from cart_pkpd.report._exposure import main_exposures
from cart_pkpd.report._inputs import Inputs
from cart_pkpd.report._trial import cells, label

DIGITS = 4  # of levels: what a picture can show
MOST_RECORDS = 60_000  # about 1.5 MB; further endpoints are left out
_GRADES = (("crs_grade", "CRS grade"), ("icans_grade", "ICANS grade"))
_SHORT = 28.0  # [day]


def section(inputs: Inputs) -> Section:
    """Return the section with the interactive view of patients."""
    intro = Text(
        "Choose an endpoint, doses and scales; point at a line, or choose a patient, to see who it "
        "is. On paper see the figures of the next sections, which show the same records."
    )
    return Section("patients", "Every patient", (intro, Explorer("Every patient", view(inputs))))


def view(inputs: Inputs) -> dict[str, Any]:
    """Return doses, endpoints and patients with their records as plain data."""
    trial = inputs.trial
    by = "dose_level" if "dose_level" in trial.variables else None
    found = groups(trial, by)
    place = {p: i for i, g in enumerate(found) for p in g.patients}
    ids = [str(p) for p in trial["id"].values]
    return {
        "endpoints": _endpoints(inputs, {p: i for i, p in enumerate(ids)}),
        "doses": [{"label": g.label, "colour": g.colour} for g in found],
        "patients": [
            {"id": p, "dose": place[p], "facts": facts}
            for p, facts in zip(ids, _facts(inputs, ids), strict=True)
        ],
        "marks": _marks(inputs, ids),
        "short": _SHORT,
    }


def _endpoints(inputs: Inputs, place: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the endpoints, those that count cells first, with every record."""
    trial = inputs.trial
    names = list(dict.fromkeys([*cells(inputs), *data.endpoints(trial)]))
    made: list[dict[str, Any]] = []
    room = MOST_RECORDS
    for name in names:
        one = data.endpoint(trial, name)
        room -= one.sizes["obs"]
        if made and room < 0:
            break
        unit = _text.unit(str(one["dv"].attrs.get("units", "")))
        limits = one["lloq"].values.astype(float)
        limits = np.unique(limits[np.isfinite(limits)])
        made.append({
            "label": label(trial, name), "unit": unit, "records": _records(one, place),
            "analysed": name in inputs.nca,
            "lloq": _rounded(float(limits[0])) if limits.size == 1 else None,
        })  # fmt: skip
    return made


def _records(one: xr.Dataset, place: Mapping[str, int]) -> list[list[float]]:
    """Return patient, day, level, and 1 where the level is a limit that it lies below."""
    low = below(one["censoring"].values)
    limit = one["lloq"].values.astype(float)
    level = one["dv"].values.astype(float)
    level = np.where(low & np.isfinite(limit), limit, level)
    time, who = one["time"].values.astype(float), one["patient"].values.astype(str)
    return [
        [place[p], _rounded(t), _rounded(v), int(b)]
        for p, t, v, b in zip(who, time, level, low, strict=True)
        if p in place and np.isfinite(t) and np.isfinite(v)
    ]


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _facts(inputs: Inputs, ids: list[str]) -> list[list[list[str]]]:
    """Return what is known of each patient as names and texts."""
    made: list[list[list[str]]] = [[] for _ in ids]
    for name, values in {**_outcomes(inputs), **_exposures(inputs)}.items():
        for facts, patient in zip(made, ids, strict=True):
            if patient in values:
                facts.append([name, values[patient]])
    return made


def _outcomes(inputs: Inputs) -> dict[str, dict[str, str]]:
    trial = inputs.trial
    ids = trial["id"].values.astype(str)
    said: dict[str, dict[str, str]] = {}
    if "dlt" in trial and trial["dlt"].dtype.kind in "fiub":
        said["DLT"] = {p: _dlt(trial, i) for i, p in enumerate(ids)}
    for key, name in _GRADES:
        if key in trial and trial[key].dtype.kind in "fiub":
            values = trial[key].values.astype(float)
            said[name] = {p: f"{v:g}" for p, v in zip(ids, values, strict=True) if np.isfinite(v)}
    if isinstance(inputs.endpoints, EndpointFindings):
        best = inputs.endpoints.best
        kind = inputs.endpoints.response
        heading = f"Best response, {inputs.endpoints.choices['response']}"
        said[heading] = dict(zip(best["id"].astype(str), best[kind].astype(str), strict=True))
        for name in ("PFS", "OS"):
            rows = inputs.endpoints.times[name].to_dict("records")
            said[name] = {str(r["id"]): _time(r) for r in rows if np.isfinite(r["months"])}
    return said


def _dlt(trial: xr.Dataset, i: int) -> str:
    if "dlt_evaluable" in trial and not trial["dlt_evaluable"].values[i] > 0:
        return "not evaluable"
    value = float(trial["dlt"].values[i])
    return "not known" if np.isnan(value) else "yes" if value > 0 else "no"


def _time(row: Mapping[Any, Any]) -> str:
    return f"{row['months']:.1f} months, {'event' if row['event'] else 'censored'}"


def _exposures(inputs: Inputs) -> dict[str, dict[str, str]]:
    said: dict[str, dict[str, str]] = {}
    for endpoint, windows in inputs.nca.items():
        params = windows[0]
        for key in main_exposures(params):
            unit = _text.unit(str(params[key].attrs.get("units", "")))
            name = f"{_text.name_of(params[key])}, {label(inputs.trial, endpoint)}"
            pairs = zip(params["id"].values.astype(str), params[key].values.astype(float),
                        strict=True)  # fmt: skip
            said[name] = {p: f"{_text.number(v)} {unit}" for p, v in pairs if np.isfinite(v)}
    return said


def _marks(inputs: Inputs, ids: list[str]) -> list[dict[str, Any]]:
    """Return groups of patients that can be made to stand out."""
    trial, made = inputs.trial, {}
    for key, least, text in (
        ("dlt", 1, "With a DLT"), ("crs_grade", 2, "CRS grade ≥ 2"),
        ("icans_grade", 1, "ICANS grade ≥ 1"),
    ):  # fmt: skip
        if key in trial and trial[key].dtype.kind in "fiub":
            values = trial[key].values.astype(float)
            made[text] = [i for i, v in enumerate(values) if v >= least]
    if isinstance(inputs.endpoints, EndpointFindings):
        best = inputs.endpoints.best
        well = set(best["id"][best[inputs.endpoints.response].isin(["CR", "PR"])].astype(str))
        text = f"{_text.sentence(str(inputs.endpoints.choices['response']))} CR or PR"
        made[text] = [i for i, p in enumerate(ids) if p in well]
    return [{"label": k, "patients": v} for k, v in made.items() if v]
