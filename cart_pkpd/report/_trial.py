"""The sections on the data: what was read, who the patients are, every profile."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from cart_pkpd import data, plots
from cart_pkpd._data.records import COMEDICATION
from cart_pkpd.plots import _text
from cart_pkpd.plots._axes import below
from cart_pkpd.plots._profiles import cytokine_names
from cart_pkpd.report._blocks import Block, Bullets, Details, Picture, Section, Text, picture
from cart_pkpd.report._inputs import Inputs
from cart_pkpd.report._tables import Column, Table, Value, patient_rows, variable_column

LONG = 12  # rows of a table of patients that is not folded
MEANS = (
    "Thick lines: geometric mean per planned day, values below the LLOQ counted as LLOQ/2; days "
    "with fewer than two patients, or with more than half of the values below the LLOQ, are left "
    "out."
)
NO_MEANS = "No means: the planned days of the samples are not known."
TRIANGLES = "Open triangles: values below the LLOQ, at the LLOQ."
HIGH = "Open triangles: values above the ULOQ, at the ULOQ."
BOTH = "Open triangles: values below the LLOQ, at the LLOQ, and above the ULOQ, at the ULOQ."


def kinds(trial: xr.Dataset) -> dict[str, str]:
    """Return each endpoint's kind ("cells", "cytokine", …), in the trial's order."""
    known = dict(zip(trial["measure"].values.astype(str), trial["kind"].values, strict=True))
    return {name: str(known.get(name, "")) for name in data.endpoints(trial)}


def label(trial: xr.Dataset, name: str) -> str:
    """Return an endpoint's label."""
    at = np.flatnonzero(trial["measure"].values == name)
    return str(trial["label"].values[at[0]]) if at.size else name


def section(inputs: Inputs) -> Section:
    """Return the section on data: import report, endpoints, patients."""
    trial = inputs.trial
    report = data.import_report(trial)
    blocks: list[Block] = [_counts(report), endpoint_table(trial)]
    if report.guesses:
        blocks.append(Text("Assumed while reading the table:"))
        blocks.append(Bullets(tuple(("", text) for text in report.guesses)))
    if report.notes:
        blocks.append(Text("Done to the data:"))
        blocks.append(Bullets(tuple(("", text) for text in report.notes)))
    blocks += _exclusions(report)
    blocks.append(Details("Columns of the source table", (_columns(report),)))
    blocks.append(folded(patient_table(trial)))
    if trial.sizes.get("event", 0):
        blocks.append(folded(_events(trial)))
    return Section("data", "Data", tuple(blocks))


def _counts(report: Any) -> Text:
    parts = [
        _text.count(report.n_patients, "patient"),
        _text.count(report.n_observations, "observation"),
        _text.count(report.n_doses, "infusion"),
        _text.count(report.n_events, "other event"),
    ]
    left_out = len(report.exclusions)
    return Text(
        f"{_text.count(report.n_records, 'record')} read from {report.source}: {', '.join(parts)}; "
        f"{_text.count(left_out, 'record')} left out{', listed below' if left_out else ''}."
    )


def endpoint_table(trial: xr.Dataset) -> Table:
    """Return the records of each endpoint, counted."""
    rows: list[dict[str, Value]] = []
    for name in data.endpoints(trial):
        one = data.endpoint(trial, name)
        censoring, lloq = one["censoring"].values, one["lloq"].values
        low, n = int(below(censoring).sum()), one.sizes["obs"]
        limits = lloq[np.isfinite(lloq)]
        rows.append(
            {
                "endpoint": label(trial, name),
                "unit": _text.unit(str(one["dv"].attrs.get("units", ""))) or "—",
                "patients": len(np.unique(one["patient"].values)),
                "records": n,
                "below_lloq": low,
                "below_share": 100 * low / n if n else None,
                "above_uloq": int((censoring == "right").sum()),
                "lloq_min": float(limits.min()) if limits.size else None,
                "lloq_max": float(limits.max()) if limits.size else None,
                "last_day": float(one["time"].max()) if n else None,
            }
        )
    varies = any(r["lloq_min"] != r["lloq_max"] for r in rows)
    columns = [
        Column("endpoint", "Endpoint", kind="text"),
        Column("unit", "Unit", kind="text"),
        Column("patients", "Patients", kind="count"),
        Column("records", "Records", kind="count"),
        Column("below_lloq", "Below LLOQ", kind="count"),
        Column("below_share", "Below LLOQ", "%"),
        Column("above_uloq", "Above ULOQ", kind="count"),
        Column("lloq_min", "Lowest LLOQ" if varies else "LLOQ", kind="exact"),
        Column("lloq_max", "Highest LLOQ", kind="exact"),
        Column("last_day", "Last sample", "day"),
    ]
    shown = tuple(c.key for c in columns if varies or c.key != "lloq_max")
    return Table("endpoints", "Endpoints", tuple(columns), tuple(rows), shown=shown)


def _exclusions(report: Any) -> list[Block]:
    if not report.exclusions:
        return []
    columns = (
        Column("row", "Line", kind="count"),
        Column("patient", "Patient", kind="text"),
        Column("column", "Column", kind="text"),
        Column("value", "Value", kind="text"),
        Column("reason", "Reason", kind="text"),
    )
    rows = tuple({c.key: getattr(e, c.key) for c in columns} for e in report.exclusions)
    table = Table("exclusions", "Records left out", columns, rows)
    if len(rows) <= 10:
        return [table]
    reasons: dict[str, int] = {}
    for e in report.exclusions:
        reasons[e.reason] = reasons.get(e.reason, 0) + 1
    counted = tuple((f"{n:,} ×", reason) for reason, n in reasons.items())
    return [
        Text("Left out, by reason:"),
        Bullets(counted),
        Details(f"All {len(rows):,} records left out", (table,)),
    ]


def _columns(report: Any) -> Table:
    columns = (
        Column("header", "Header in the file", kind="text"),
        Column("column", "Read as", kind="text"),
        Column("how", "How", kind="text"),
    )
    rows = tuple({c.key: getattr(use, c.key) for c in columns} for use in report.columns)
    return Table("columns", "Columns of the source table", columns, rows)


def patient_table(trial: xr.Dataset) -> Table:
    """Return one row per patient: dose, samples, covariates and outcomes."""
    own = [str(v) for v in trial.variables if trial[v].dims == ("id",) and v != "id"]
    own.sort(key=lambda name: name != "dose_level")  # the dose first, the others as they come
    time, patient = trial["time"].values, trial["patient"].values.astype(str)
    low = below(trial["censoring"].values)

    def last_day(who: str) -> Value:
        mine = time[patient == who]
        return float(mine.max()) if mine.size else None

    columns = [Column("id", "Patient", kind="text")]
    columns += [variable_column(trial, v) for v in own]
    columns += [
        Column("records", "Records", kind="count"),
        Column("below_lloq", "Below LLOQ", kind="count"),
        Column("last_day", "Last sample", "day"),
    ]
    rows = patient_rows(
        trial,
        own,
        {
            "records": lambda who: int((patient == who).sum()),
            "below_lloq": lambda who: int(low[patient == who].sum()),
            "last_day": last_day,
        },
    )
    note = "Records of all endpoints together."
    return Table("patients", "Patients", tuple(columns), rows, notes=(note,))


def folded(table: Table) -> Table | Details:
    """Return a table, behind a heading that opens it where it is long."""
    if len(table.rows) <= LONG:
        return table
    return Details(f"{table.title} ({len(table.rows)} rows)", (table,))


def _events(trial: xr.Dataset) -> Table:
    columns = (
        Column("patient", "Patient", kind="text"),
        Column("time", "Day"),
        Column("event", "Event", kind="text"),
        Column("value", "State", kind="text"),
    )
    state = {1.0: "given or started", 0.0: "stopped"}
    values = trial["event_value"].values.astype(float)
    rows: tuple[dict[str, Value], ...] = tuple(
        {
            "patient": str(trial["event_patient"].values[i]),
            "time": float(trial["event_time"].values[i]),
            "event": str(trial["event_name"].values[i]),
            "value": state.get(value, f"{value:g}"),
        }
        for i, value in enumerate(values)
        if (name := str(trial["event_name"].values[i])) not in trial  # changes of covariates
        or name in COMEDICATION.values()
    )
    return Table("events", "Co-medication and other events", columns, rows)


def kinetics(inputs: Inputs) -> Section:
    """Return the section that shows every patient's cellular kinetics."""
    trial = inputs.trial
    names = cells(inputs)
    if not names:
        why = _none("The trial has no endpoint of CAR-T cells or transgene, and none was analysed.")
        return Section("kinetics", "Cellular kinetics", (why,))
    parts = tuple(_kinetics_of(trial, name) for name in names)
    return Section("kinetics", "Cellular kinetics", (), parts)


def cells(inputs: Inputs) -> list[str]:
    """Return the endpoints that count cells, and whatever else was analysed."""
    counted = [name for name, kind in kinds(inputs.trial).items() if kind == "cells"]
    return list(dict.fromkeys([*counted, *inputs.analysed]))


def _kinetics_of(trial: xr.Dataset, name: str) -> Section:
    one = data.endpoint(trial, name)
    text = label(trial, name)
    n = len(np.unique(one["patient"].values))
    last = float(one["time"].max())
    means = MEANS if np.isfinite(one["nominal_time"].values).any() else NO_MEANS
    blocks: list[Block] = [
        picture(
            f"profiles_{name}",
            lambda: plots.profiles(one, time_scale="log" if last > 60 else "linear"),
            caption=f"{text} of {_text.count(n, 'patient')}, whole follow-up. Thin lines: "
            f"patients. {means}{_triangles(one)}",
            alt=f"{text} against time on log axes, one line per patient, coloured by dose level.",
        ),
        picture(
            f"profiles_{name}_by_dose",
            lambda: plots.profiles(one, facet=True, last=31.0),
            caption=f"{text} up to day 28, by dose level. Lines and marks as above.",
            alt=f"{text} against time up to day 28, one panel per dose level, one line per "
            "patient, log level axis.",
        ),
    ]
    return Section(f"kinetics-{name}", text, tuple(blocks))


def _triangles(shown: xr.Dataset) -> str:
    """Return what open triangles mean, where there are any."""
    censoring = shown["censoring"].values
    low, high = bool(below(censoring).any()), bool((censoring == "right").any())
    said = {(True, True): BOTH, (True, False): TRIANGLES, (False, True): HIGH}.get((low, high))
    return f" {said}" if said else ""


def _only(trial: xr.Dataset, names: list[str]) -> xr.Dataset:
    return trial.isel(obs=np.flatnonzero(np.isin(trial["endpoint"].values, names)))


def cytokines(inputs: Inputs) -> Section:
    """Return the section on cytokines and other markers."""
    trial = inputs.trial
    names = cytokine_names(trial)
    blocks: list[Block] = []
    if names:
        labels = ", ".join(label(trial, name) for name in names)
        blocks.append(
            picture(
                "cytokines",
                lambda: plots.cytokines(trial),
                caption=f"Cytokines up to day 28 ({labels}), one line per patient. Each panel has "
                f"its own log axis.{_triangles(_only(trial, names))}",
                alt="Small panels, one per cytokine, level against day, coloured by dose level.",
            )
        )
    shown = {*cells(inputs), *names}
    others = [name for name in data.endpoints(trial) if name not in shown]
    if others:
        blocks.append(_others(trial, others))
    if not blocks:
        blocks.append(_none("The trial has no cytokine or other marker."))
    return Section("cytokines", "Cytokines and other markers", tuple(blocks))


def _others(trial: xr.Dataset, names: list[str]) -> Picture | Text:
    last = max(float(data.endpoint(trial, name)["time"].max()) for name in names)
    labels = ", ".join(label(trial, name) for name in names)
    return picture(
        "markers",
        lambda: plots.cytokines(trial, measures=names, window=(0.0, last)),
        caption=f"Other markers ({labels}), one line per patient.{_triangles(_only(trial, names))}",
        alt="Small panels, one per marker, level against day, coloured by dose level.",
    )


def _none(why: str) -> Text:
    return Text(f"Left out: {why[0].lower()}{why[1:]}", "reason")
