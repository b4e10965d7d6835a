"""The section on exposure from the fitted curves, beside the same by NCA."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import numpy as np
import xarray as xr

from cart_pkpd import plots
from cart_pkpd.plots import _text
from cart_pkpd.plots._summaries import geometric
from cart_pkpd.report._blocks import Block, Section, Text, picture
from cart_pkpd.report._files import slugs
from cart_pkpd.report._fits import own, with_dose_unit
from cart_pkpd.report._inputs import Fit, Inputs, each
from cart_pkpd.report._tables import Column, Table, Value, plain
from cart_pkpd.report._trial import folded, label

_NAMES = {"cmax": "Cmax", "tmax": "Tmax", "tlast": "Last day at or above the LLOQ"}
_ENDS = ("median", "lower", "upper")


def section(inputs: Inputs) -> Section | None:
    """Return the section, or None where no fit has its exposures."""
    files = slugs(inputs.fits)
    parts = [
        _of(inputs, name, fit, exposure, own(exposure, fit, files[name]))
        for name, fit in inputs.fits.items()
        if fit.result.verdict.ok
        for exposure in each(fit.exposure)
    ]
    if not parts:
        return None
    intro = Text(
        "The fitted curve of each patient is free of noise and has no gaps, so it gives exposure "
        "also where samples are too few for NCA; what it gives there rests on the model and on "
        "the other patients. Where both are known they should lie along the line of identity."
    )
    return Section("twin", "Exposure from the model, beside NCA", (intro,), tuple(parts))


def _of(inputs: Inputs, name: str, fit: Fit, given: xr.Dataset, file: str) -> Section:
    twin = with_dose_unit(given, inputs.trial)
    endpoint = str(given.attrs["endpoint"])
    several = len(fit.result.endpoints) > 1
    title = f"{name}{f', {label(inputs.trial, endpoint)}' if several else ''}"
    params = _nca(inputs, endpoint, twin)
    blocks: list[Block] = []
    if params is None:
        why = f"No picture: there is no NCA of {label(inputs.trial, endpoint)} beside it."
        blocks.append(Text(why, "reason"))
    else:
        blocks += _compared(twin, params, file, title)
    blocks.append(folded(_table(twin, params, file, title if several else name)))
    return Section(f"twin-{file}", title, tuple(blocks))


def area(twin: xr.Dataset) -> str:
    """Return the name of the area in a Dataset of exposures."""
    return next(str(v) for v in twin.data_vars if re.match(r"auc", str(v)))


def _nca(inputs: Inputs, endpoint: str, twin: xr.Dataset) -> xr.Dataset | None:
    """Return the NCA of the endpoint, with the window of the same area where there is one."""
    windows = inputs.nca.get(endpoint, ())
    same = [params for params in windows if area(twin) in params]
    return next(iter([*same, *windows]), None)


def _compared(twin: xr.Dataset, params: xr.Dataset, file: str, name: str) -> list[Block]:
    both = [p for p in ("cmax", area(twin)) if p in params]
    share = _text.percent(float(twin.attrs.get("prob", 0.9)))
    shown = picture(
        f"fit_{file}_exposure",
        lambda: plots.exposure_twins(twin, params, both),
        caption=f"Exposure of each patient by {name} against NCA: model median with its {share} "
        "interval, line of identity. In the margin on the left, patients without an NCA value; "
        "values below the axis stand on its lower edge.",
        alt="Model exposure against NCA exposure on log axes, one dot with an interval per "
        "patient, coloured by dose level, with the line of identity.",
    )
    return [shown, *(Text(text) for p in both if (text := agreement(twin, params, p)))]


def agreement(twin: xr.Dataset, params: xr.Dataset, parameter: str) -> str:
    """Return the ratio of model to NCA in one sentence, or nothing without a pair."""
    by_nca = _by_patient(params, parameter)
    model = twin[parameter].sel(interval="median").values.astype(float)
    other = np.array([by_nca.get(str(p), math.nan) for p in twin["id"].values])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(other > 0, model / other, np.nan)
    found = geometric(ratio)
    if not found.n:
        return ""
    name = _text.name_of(params[parameter])
    return (
        f"{name}, model median over NCA: geometric mean {_text.number(found.mean)} "
        f"(range {_text.interval(found.minimum, found.maximum)}; n = {found.n})."
    )


def _by_patient(params: xr.Dataset, parameter: str) -> Mapping[str, float]:
    values = params[parameter].values.astype(float)
    return dict(zip(params["id"].values.astype(str), values.tolist(), strict=True))


def _table(twin: xr.Dataset, params: xr.Dataset | None, file: str, name: str) -> Table:
    share = _text.percent(float(twin.attrs.get("prob", 0.9)))
    horizon = float(twin.attrs.get("horizon", math.inf))
    keys = ["cmax", area(twin), "tmax", "tlast"]
    beside = [k for k in keys[:2] if params is not None and k in params]
    columns = [Column("id", "Patient", kind="text")]
    if "dose_level" in twin.coords:
        columns.append(Column("dose_level", "Dose level", _text.dose_unit(twin), "dose"))
    for key in keys:
        unit, text = str(twin[key].attrs.get("units", "")), _named(key, params)
        columns.append(Column(f"{key}_text", text, unit, "number", f"{key}_order"))
        columns += [Column(f"{key}_{end}", f"{text}, {end}", unit) for end in _ENDS]
        if key in beside:
            columns.append(Column(f"{key}_nca", f"{text} by NCA", unit))
    rows = [_row(twin, params, i, keys, beside, horizon) for i in range(twin.sizes["id"])]
    reasons = {
        (i, f"{key}_{end}"): f"above the LLOQ after day {horizon:g}"
        for key in keys
        for end in _ENDS
        for i in np.flatnonzero(np.isinf(twin[key].sel(interval=end).values)).tolist()
    }
    shown = [c.key for c in columns if not c.key.endswith(_ENDS)]
    notes = (
        f"Posterior median ({share} interval) of the patient's own curve. > {horizon:g}: still "
        f"above the LLOQ after {horizon:g} days by the model; 0: never above it.",
    )
    return Table(f"fit_{file}_exposure", f"{name}: exposure from the model", tuple(columns),
                 tuple(rows), reasons, notes=notes, shown=tuple(shown))  # fmt: skip


def _row(
    twin: xr.Dataset,
    params: xr.Dataset | None,
    i: int,
    keys: list[str],
    beside: list[str],
    horizon: float,
) -> dict[str, Value]:
    patient = str(twin["id"].values[i])
    row: dict[str, Value] = {"id": patient}
    if "dose_level" in twin.coords:
        row["dose_level"] = plain(twin["dose_level"].values[i])
    for key in keys:
        ends = [float(twin[key].sel(interval=end).values[i]) for end in _ENDS]
        row[f"{key}_text"] = _written(ends, horizon)
        row[f"{key}_order"] = ends[0] if math.isfinite(ends[0]) else horizon * 2
        row |= {f"{key}_{end}": plain(v) for end, v in zip(_ENDS, ends, strict=True)}
    if params is not None:
        row |= {f"{k}_nca": plain(_by_patient(params, k).get(patient)) for k in beside}
    return row


def _named(key: str, params: xr.Dataset | None) -> str:
    if params is not None and key in params and key != "tlast":
        return _text.name_of(params[key])
    return _NAMES.get(key, key.replace("auc", "AUC").replace("_", "–"))


def _written(ends: list[float], horizon: float) -> str:
    """Return median and interval; what is infinite is beyond the horizon."""
    parts = [f"> {horizon:g}" if math.isinf(v) else _text.number(v) for v in ends]
    if parts[0] == parts[1] == parts[2]:
        return parts[0]
    joint = " to " if ">" in f"{parts[1]}{parts[2]}" else "–"
    return f"{parts[0]} ({parts[1]}{joint}{parts[2]})"
