"""The section on exposure: pictures by dose, NCA per patient with reasons, NCA summaries."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from cart_pkpd import plots
from cart_pkpd.plots import _text
from cart_pkpd.plots._groups import groups
from cart_pkpd.plots._summaries import geometric
from cart_pkpd.report._blocks import (
    Attached,
    Block,
    Details,
    Facts,
    Pre,
    Row,
    Section,
    Text,
    flat,
    picture,
)
from cart_pkpd.report._files import slug
from cart_pkpd.report._inputs import Inputs
from cart_pkpd.report._tables import (
    Column,
    Kind,
    Table,
    Value,
    from_frame,
    patient_rows,
    plain,
    variable_column,
)
from cart_pkpd.report._trial import folded, label

_MAIN = (
    "cmax", "tmax", "tfirst", "tlast", "clast", "auclast", "lambda_z", "half_life",
    "lambda_z_n_points", "adj_r_squared",
)  # fmt: skip


def main_exposures(params: xr.Dataset) -> list[str]:
    """Return the exposures that are drawn: Cmax, and AUC0–28 or the first other area."""
    areas = [str(v) for v in params.data_vars if re.fullmatch(r"auc0_\d+", str(v))]
    area = "auc0_28" if "auc0_28" in areas else next(iter(areas), "auclast")
    return [name for name in ("cmax", area) if name in params.data_vars]


def section(inputs: Inputs) -> Section:
    """Return the section on exposure."""
    if not inputs.nca:
        why = "Left out: no non-compartmental analysis was passed."
        return Section("exposure", "Exposure by dose", (Text(why, "reason"),))
    parts = [
        Section(f"exposure-{slug(name)}", label(inputs.trial, name), _of(inputs, name))
        for name in inputs.nca
    ]
    return Section("exposure", "Exposure by dose", (), tuple(parts))


def _of(inputs: Inputs, name: str) -> tuple[Block, ...]:
    blocks: list[Block] = []
    windows = inputs.nca[name]
    drawn: dict[str, Block] = {}
    for params in windows:
        for parameter in main_exposures(params):
            if parameter not in drawn and "dose_level" in params.variables:
                drawn[parameter] = _picture(inputs, name, params, parameter)
    if drawn:
        blocks.append(Row(tuple(drawn.values())))
    if name in inputs.nca_summary:
        blocks += _summary(inputs, name, _dose_unit(windows[0]))
    for i, params in enumerate(windows):
        suffix = "" if len(windows) == 1 else f"_{i + 1}"
        blocks.append(folded(patient_table(params, name, label(inputs.trial, name), suffix)))
    rules = str(windows[0].attrs.get("rules", ""))
    if rules:
        blocks.append(Details("Rules of the analysis", (_rules(rules),)))
    return tuple(blocks)


def _rules(text: str) -> Block:
    """Return the rules as names and values where they are JSON, else as they are written."""
    try:
        return Facts(tuple(flat(json.loads(text))))
    except ValueError:
        return Pre(text)


def _summary(inputs: Inputs, name: str, unit: str) -> list[Block]:
    """Return the summary: as the label prints it, by dose; all its numbers in a file."""
    frame = inputs.nca_summary[name]
    file, text = f"nca_summary_{slug(name)}", label(inputs.trial, name)
    title = f"{text}: summary of the non-compartmental analysis"
    labels: dict[str, tuple[str, str, Kind]] = {"dose_level": ("Dose level", unit, "dose")}
    if list(frame.index.names) == ["label", "unit", "statistic"]:
        return [_label_table(frame, file, title)]
    full = from_frame(frame, file, title, labels=labels)
    if not {"parameter", "label", "unit", "text", "N", "dose_level"} <= set(frame.columns):
        return [full]
    return [_by_dose(frame, f"{file}_by_dose", title, unit), Attached(full)]


def _label_table(frame: pd.DataFrame, file: str, title: str) -> Table:
    """Return the table of ``nca.label_table``: parameters down, groups across."""
    columns = [Column("parameter", "Parameter", kind="text")]
    columns += [Column("statistic", "Statistic", kind="text")]
    for key in frame.columns:
        heading = str(key).replace("_", " ")
        columns.append(Column(f"{key}", heading, kind="text"))
    rows = []
    for at, values in frame.iterrows():
        text, units, statistic = list(at)  # type: ignore[call-overload]
        row: dict[str, Value] = {
            "parameter": _text.with_unit(str(text), str(units)), "statistic": str(statistic)
        }  # fmt: skip
        row |= {f"{key}": plain(values[key]) for key in frame.columns}
        rows.append(row)
    note = "NC: not calculated, because more than half of the patients have no value."
    return Table(file, title, tuple(columns), tuple(rows), notes=(note,))


def _by_dose(frame: pd.DataFrame, file: str, title: str, unit: str) -> Table:
    kept = frame[[_is_main(p) for p in frame["parameter"]]]
    levels = [float(v) for v in dict.fromkeys(kept["dose_level"])]
    columns = [Column("label", "Parameter", kind="text")]
    sizes = dict(zip(kept["dose_level"].astype(float), kept["N"], strict=True))
    columns += [
        Column(f"{v:g}", f"{_text.dose(v, unit)}, N = {sizes[v]}", kind="text") for v in levels
    ]
    rows = []
    for _, mine in kept.groupby("parameter", sort=False):
        heading = _text.with_unit(str(mine["label"].iloc[0]), str(mine["unit"].iloc[0]))
        row: dict[str, Value] = {"label": heading}
        row |= {f"{r.dose_level:g}": _without_total(str(r.text), r.N) for r in mine.itertuples()}
        rows.append(row)
    note = (
        "Geometric mean (geometric CV %), arithmetic mean (SD), or median [min; max]; NC: not "
        "calculated, because more than half of the patients have no value."
    )
    return Table(file, title, tuple(columns), tuple(rows), notes=(note,))


def _without_total(text: str, total: Any) -> str:
    """Return a summary text without the number of patients, which heads the column."""
    return text.removesuffix(f" n={total}").replace(f" of {total}", "")


def _is_main(parameter: str) -> bool:
    return parameter in _MAIN or parameter == "auc0_28"


def _picture(inputs: Inputs, name: str, params: xr.Dataset, parameter: str) -> Block:
    text = _text.name_of(params[parameter])
    measure = label(inputs.trial, name)
    return picture(
        f"exposure_{slug(name)}_{parameter}",
        lambda: plots.exposure(params, parameter),
        caption=f"{text} of {measure} by dose level: every patient, and the geometric mean with "
        f"its {_text.percent(0.9)} confidence interval (t interval on the log scale; none below "
        "three patients, an arrow where it runs beyond the axis).",
        alt=f"{text} of {measure} on a log axis, one dot per patient in columns by dose level.",
    )


def _dose_unit(params: xr.Dataset) -> str:
    return _text.dose_unit(params) if "dose_level" in params.variables else ""


def patient_table(params: xr.Dataset, name: str, text: str, suffix: str = "") -> Table:
    """Return the NCA parameters of every patient, missing ones with their reason."""
    keys = [str(v) for v in params.data_vars if params[v].dims == ("id",)]
    columns = [Column("id", "Patient", kind="text")]
    own = ["dose_level"] if "dose_level" in params.coords else []
    columns += [variable_column(params, v) for v in dict.fromkeys([*own, *keys])]
    shown = ["id", "dose_level", *(k for k in keys if k in _MAIN or k in main_exposures(params))]
    hidden = len(columns) - sum(c.key in shown for c in columns)
    file = f"nca_{slug(name)}{suffix}"
    notes = [f"{hidden} further parameters are in tables/{file}.csv."] if hidden else []
    return Table(
        file,
        f"{text}: non-compartmental analysis of every patient",
        tuple(columns),
        patient_rows(params, own + [k for k in keys if k not in own], {}),
        reasons(params, keys),
        _remarks(params),
        tuple(notes),
        tuple(shown),
    )


def _remarks(params: xr.Dataset) -> dict[tuple[int, str], str]:
    """Return the remarks on each profile, to be marked at the patient."""
    texts = params["note"].values.astype(str) if "note" in params else ()
    return {(i, "id"): f"{text[0].upper()}{text[1:]}." for i, text in enumerate(texts) if text}


def reasons(params: xr.Dataset, keys: list[str]) -> dict[tuple[int, str], str]:
    """Return why each value that is not a number is missing, by row and column."""
    if "reason" not in params:
        return {}
    known = [str(p) for p in params["parameter"].values]
    text = params["reason"].transpose("id", "parameter").values
    return {
        (i, key): str(text[i, known.index(key)])
        for key in keys
        if key in known
        for i in range(params.sizes["id"])
        if plain(params[key].values[i]) is None and text[i, known.index(key)]
    }


@dataclass(frozen=True)
class Headline:
    """Exposure per dose level of one endpoint, for the first page."""

    table: Table
    sentence: str


def headline(inputs: Inputs) -> Headline | None:
    """Return exposure per dose level of the first endpoint analysed, or None."""
    found = headline_exposures(inputs)
    return None if found is None else _headline(*found)


def headline_exposures(inputs: Inputs) -> tuple[str, xr.Dataset, list[str]] | None:
    """Return label, NCA and main exposures of the first endpoint with doses, or None."""
    for name, windows in inputs.nca.items():
        parameters = main_exposures(windows[0])
        if parameters and "dose_level" in windows[0].variables:
            return label(inputs.trial, name), windows[0], parameters
    return None


def _headline(text: str, params: xr.Dataset, parameters: list[str]) -> Headline:
    columns = [
        Column("dose_level", "Dose level", _dose_unit(params), "dose"),
        Column("n", "Patients", kind="count"),
    ]
    shown = ["dose_level", "n"]
    if (params[parameters[0]].values == 0).any():
        columns.append(Column("never", "Never above LLOQ", kind="count"))
        shown.append("never")
    for key in parameters:
        variable = variable_column(params, key)
        columns += [
            Column(f"{key}_text", f"{variable.label}, geometric mean (range)", variable.unit,
                   "number", f"{key}_mean"),
            Column(f"{key}_mean", f"{variable.label}, geometric mean", variable.unit),
            Column(f"{key}_min", f"{variable.label}, lowest", variable.unit),
            Column(f"{key}_max", f"{variable.label}, highest", variable.unit),
            Column(f"{key}_n", f"{variable.label}, values in the mean", kind="count"),
        ]  # fmt: skip
        shown.append(f"{key}_text")
    if "tmax" in params:
        columns.append(Column("tmax_median", "Tmax, median", "day"))
        shown.append("tmax_median")
    rows = _headline_rows(params, parameters)
    notes = ("Ranges and means are over patients with a value above zero.",)
    table = Table("exposure_by_dose", f"{text}: exposure by dose level", tuple(columns),
                  tuple(rows), notes=notes, shown=tuple(shown))  # fmt: skip
    return Headline(table, _sentence(params, parameters[0], text))


def _headline_rows(params: xr.Dataset, parameters: list[str]) -> list[dict[str, Value]]:
    rows = []
    patients = params["id"].values.astype(str)
    levels = params["dose_level"].values.astype(float)
    for group in groups(params, "dose_level"):
        here = np.isin(patients, group.patients)
        first = params[parameters[0]].values[here].astype(float)
        row: dict[str, Value] = {"dose_level": plain(levels[here][0]), "n": int(here.sum())}
        row["never"] = geometric(first).n_zero
        for key in parameters:
            found = geometric(params[key].values[here].astype(float))
            row[f"{key}_mean"] = plain(found.mean)
            row[f"{key}_min"], row[f"{key}_max"] = plain(found.minimum), plain(found.maximum)
            row[f"{key}_n"] = found.n
            spread = f" ({_text.interval(found.minimum, found.maximum)})" if found.n else ""
            row[f"{key}_text"] = f"{_text.number(found.mean)}{spread}"
        if "tmax" in params:
            tmax = params["tmax"].values[here].astype(float)
            tmax = tmax[np.isfinite(tmax)]
            row["tmax_median"] = float(np.median(tmax)) if tmax.size else None
        rows.append(row)
    return rows


def _sentence(params: xr.Dataset, key: str, text: str) -> str:
    found = geometric(params[key].values.astype(float))
    name = _text.name_of(params[key])
    unit = _text.unit(str(params[key].attrs.get("units", "")))
    fold = f", {_text.number(found.maximum / found.minimum, 2)}-fold" if found.n > 1 else ""
    return (
        f"{text}: {name} geometric mean {_text.number(found.mean)} {unit} over all dose levels "
        f"(range {_text.interval(found.minimum, found.maximum)}{fold}; n = {found.n})."
    )
