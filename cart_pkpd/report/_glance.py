"""The table of the first page: one row per dose with what a dose meeting compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._dose.interval import IntervalDesign
from cart_pkpd.plots import _text
from cart_pkpd.plots._summaries import geometric
from cart_pkpd.report._endpoints import DENOMINATORS, EndpointFindings, months
from cart_pkpd.report._exposure import headline_exposures
from cart_pkpd.report._findings import DoseFindings
from cart_pkpd.report._inputs import Inputs
from cart_pkpd.report._tables import Column, Table, Value, plain

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
_ALL = 1e300  # sorts all patients behind every dose
_GAP = "\N{NO-BREAK SPACE}"
_TOXICITY: tuple[tuple[str, str, str, float], ...] = (
    ("crs2", f"CRS ≥{_GAP}2", "crs_grade", 2),
    ("crs3", f"CRS ≥{_GAP}3", "crs_grade", 3),
    ("icans1", f"ICANS ≥{_GAP}1", "icans_grade", 1),
)


@dataclass
class _Rows:
    """The table while it is made: one row per dose, the last of all patients."""

    levels: list[float]
    columns: list[Column] = field(default_factory=list)
    rows: list[dict[str, Value]] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def number(self, key: str, label: str, values: list[Any], unit: str = "", **how: Any) -> None:
        """Add a column of numbers."""
        self.columns.append(Column(key, label, unit, **how))
        self.shown.append(key)
        for row, value in zip(self.rows, values, strict=True):
            row[key] = plain(value)

    def text(self, key: str, label: str, cells: list[tuple[str, Any]], unit: str = "") -> None:
        """Add a column of texts, each with the number that sorts it."""
        self.columns.append(Column(key, label, sort_by=f"{key}_value"))
        self.columns.append(Column(f"{key}_value", f"{label}, as a number", unit))
        self.shown.append(key)
        for row, (said, value) in zip(self.rows, cells, strict=True):
            row |= {key: said, f"{key}_value": plain(value)}


def table(inputs: Inputs) -> Table | None:
    """Return every dose at a glance, or None where the dose levels are not known."""
    levels, unit = _levels(inputs)
    if not levels:
        return None
    made = _Rows(levels)
    chosen = _doses(made, inputs, unit)
    here = _patients(inputs.trial, levels)
    _dose_limiting(made, inputs, here)
    _toxicity(made, inputs.trial, here)
    _exposure(made, inputs)
    _efficacy(made, inputs)
    return Table("by_dose", "Every dose at a glance", tuple(made.columns), tuple(made.rows),
                 notes=tuple(made.notes), shown=tuple(made.shown), chosen=chosen)  # fmt: skip


def _levels(inputs: Inputs) -> tuple[list[float], str]:
    """Return the planned doses where a decision knows them, else those that were given."""
    if inputs.dose is not None:
        known = inputs.dose.data
        return [float(d) for d in known.table()["dose"]], known.levels.unit
    if "dose_level" not in inputs.trial.variables:
        return [], ""
    given = inputs.trial["dose_level"].values.astype(float)
    return [float(d) for d in np.unique(given[np.isfinite(given)])], _text.dose_unit(inputs.trial)


def _patients(trial: xr.Dataset, levels: list[float]) -> list[Mask]:
    """Return who is at each dose, and last everybody."""
    if "dose_level" not in trial.variables:
        return [np.zeros_like(_everybody(trial)) for _ in levels] + [_everybody(trial)]
    given = trial["dose_level"].values.astype(float)
    return [np.isclose(given, level) for level in levels] + [_everybody(trial)]


def _everybody(trial: xr.Dataset) -> Mask:
    return np.ones(trial.sizes.get("id", 0), dtype=bool)


def _doses(made: _Rows, inputs: Inputs, unit: str) -> tuple[int, ...]:
    """Add the doses; return the row of the one that is recommended, or the next."""
    wanted = None if inputs.dose is None else inputs.dose.dose
    chosen = tuple(i for i, d in enumerate(made.levels) if wanted is not None and d == wanted)
    word = "" if inputs.dose is None else f", {inputs.dose.word}"
    barred = set() if inputs.dose is None else inputs.dose.barred()
    made.columns += [Column("dose_text", "Dose", kind="text", sort_by="dose"),
                     Column("dose", "Dose", unit, "dose")]  # fmt: skip
    made.shown.append("dose_text")
    for i, level in enumerate(made.levels):
        said = word if i in chosen else ", not permitted" if level in barred else ""
        said = f"{_text.dose(level, unit)}{said}"
        made.rows.append({"dose_text": said, "dose": level})
    made.rows.append({"dose_text": "All patients", "dose": _ALL})
    return chosen


def _dose_limiting(made: _Rows, inputs: Inputs, here: list[Mask]) -> None:
    """Add patients treated and DLTs as the decision counts them, and P(over-dosing)."""
    found = inputs.dose
    if found is None:
        made.number("n", "n", [int(m.sum()) for m in here], kind="count")
        if "dlt" in inputs.trial:
            _counted(made, "dlt", "DLTs", inputs.trial["dlt"].values.astype(float) > 0, here,
                     _evaluable(inputs.trial))  # fmt: skip
        return
    d = found.data
    made.number("n", "n", [*map(int, d.treated), int(d.treated.sum())], kind="count")
    pairs = [*zip(d.dlts, d.n, strict=True), (d.dlts.sum(), d.n.sum())]
    made.text("dlt", "DLTs", [_of(int(y), int(n)) for y, n in pairs])
    made.notes.append("n: treated. DLTs: of evaluable patients.")
    name = found.judge
    if name is not None:
        made.text("over", "P(over)", [*_over(found, name), (_text.MISSING, None)])
        made.notes[-1] += f" P(over): {found.over_words(name)}, by {name}."


def _over(found: DoseFindings, name: str) -> list[tuple[str, float | None]]:
    """Return P(over) of every dose.

    A design that looks at each dose by itself knows nothing of a dose that nobody had but its flat
    prior; one with a curve, such as BLRM, does.
    """
    over = found.decisions[name].table["over"].astype(float)
    alone = isinstance(found.designs[name], IntervalDesign)
    return [
        (f"{_text.MISSING} (no patients)", None) if alone and not n else (_text.chance(p), float(p))
        for p, n in zip(over, found.data.treated, strict=True)
    ]


def _evaluable(trial: xr.Dataset) -> Mask:
    known = np.isfinite(trial["dlt"].values.astype(float))
    if "dlt_evaluable" in trial:
        known &= trial["dlt_evaluable"].values.astype(float) > 0
    return known


def _toxicity(made: _Rows, trial: xr.Dataset, here: list[Mask]) -> None:
    for key, label, name, grade in _TOXICITY:
        if name in trial and trial[name].dtype.kind in "fiub":
            values = trial[name].values.astype(float)
            with np.errstate(invalid="ignore"):
                _counted(made, key, label, values >= grade, here, np.isfinite(values))


def _counted(made: _Rows, key: str, label: str, yes: Mask, here: list[Mask], of: Mask) -> None:
    """Add how many patients of those whose outcome is known have it."""
    cells = [_of(int((yes & of & m).sum()), int((of & m).sum())) for m in here]
    made.text(key, label, cells)


def _of(y: int, n: int) -> tuple[str, float | None]:
    return (f"{y} of {n}", y / n) if n else (_text.MISSING, None)


def _exposure(made: _Rows, inputs: Inputs) -> None:
    """Add geometric means of the exposures of the first page."""
    found = headline_exposures(inputs)
    if found is None:
        return
    name, params, parameters = found
    here = _patients(params, made.levels)
    for key in parameters:
        values = params[key].values.astype(float)
        means = [geometric(values[m]).mean if m.any() else None for m in here]
        label, unit = _text.name_of(params[key]), str(params[key].attrs.get("units", ""))
        made.number(key, label, means, unit)
    made.notes.append(f"{name}: geometric means of patients with a value above zero.")


def _efficacy(made: _Rows, inputs: Inputs) -> None:
    """Add response rates and medians of survival where endpoints were derived."""
    found = inputs.endpoints
    if not isinstance(found, EndpointFindings):
        return
    confirmed = found.choices["response"] == "confirmed"
    keys = {float(k): k for k in found.rates["group"] if k != "all"}
    groups = [_at(keys, level) for level in made.levels]
    rates = [found.rate("ORR", confirmed, g) if g else None for g in (*groups, "all")]
    kind = found.choices["response"]
    cells = [_of(int(r.x), int(r.n)) if r else (_text.MISSING, None) for r in rates]
    made.text("orr", "ORR", cells)
    who = DENOMINATORS[found.choices["denominator"]]
    made.notes.append(
        f"ORR: {kind} CR or PR, of {who}s. PFS, OS: medians in months; NR: not reached."
    )
    for name in ("PFS", "OS"):
        if name in found.curves:
            made.text(name.lower(), name, _medians(found, name, made.levels), "month")


def _at(known: Mapping[float, str], level: float) -> str | None:
    return next((key for dose, key in known.items() if np.isclose(dose, level)), None)


def _medians(
    found: EndpointFindings, name: str, levels: list[float]
) -> list[tuple[str, float | None]]:
    km = found.curves_by_dose.get(name)
    rows = {} if km is None else {float(r["group"]): r for r in km.summary.to_dict("records")}
    own = [next((r for d, r in rows.items() if np.isclose(d, level)), None) for level in levels]
    return [*map(_median, own), _median(found.curves[name].summary.iloc[0].to_dict())]


def _median(row: Mapping[Any, Any] | None) -> tuple[str, float | None]:
    if row is None:
        return _text.MISSING, None
    if np.isnan(row["median"]):
        return "NR", None
    said = months(row["median"], row["median_lower"], row["median_upper"])
    return said.split(" months")[0], float(row["median"])
