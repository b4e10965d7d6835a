"""Write docs/identifiability.md and docs/dose_response.md with its figure.

Run ``python docs/make_model_tables.py`` from the root of the source tree; every registered model
is solved with derivatives, which compiles each once (about 20 s).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter
from numpy.typing import NDArray

from cart_pkpd import checks, models
from cart_pkpd._core import words
from cart_pkpd._engine.schedule import Dose, base_values, schedule
from cart_pkpd._engine.solve import sensitivities
from cart_pkpd.plots import _axes

HERE = Path(__file__).parent
USUAL = {"cells": 1e8, "mg": 300.0}
FOLD = np.geomspace(0.1, 10.0, 9)
DAYS = np.linspace(0.0, 28.0, 561)
SPREAD = DAYS >= 1.0  # before, infused cells leave the blood for tissues
FLAT, PROPORTIONAL = 0.25, 0.75
CMAX = {"color": _axes.BLUE, "linewidth": 1.8}
AUC = {"color": _axes.ORANGE, "linewidth": 1.5, "linestyle": "--"}
PROPORTION = {"color": _axes.GREY, "linewidth": 1.0, "linestyle": ":"}

type Array = NDArray[np.float64]


# --- what a phase 1 trial tells ------------------------------------------------------------


def usual_dose(model: models.Model) -> float | None:
    """Return an amount in the middle of what is given; None where the dose does not enter."""
    dosed = getattr(model, "dosed", None)
    return USUAL.get(model.dose_unit, 1.0) if dosed else None  # type: ignore[attr-defined]


def design(model: models.Model) -> xr.Dataset:
    """Return what visits of a phase 1 trial tell about every parameter."""
    additive = {e: "additive" for e in model.endpoints if e.startswith("log_")}
    return checks.identifiability(model, doses=usual_dose(model), errors=additive, sd=0.5)


def percent(value: float) -> str:
    """Return a relative standard error as it stands in a table."""
    if np.isnan(value):
        return "–"
    return f"{100 * value:.0f} %" if value < 10 else "> 1000 %"


def combination(found: xr.Dataset) -> str:
    """Return the combination that is told worst, parts above a tenth."""
    worst = found["worst"].to_series()
    parts = worst[worst.abs() > 0.1 * worst.abs().max()].sort_values(key=abs, ascending=False)[:4]
    return " ".join(f"{'+' if v > 0 else '−'} {abs(v):.2f} {n}" for n, v in parts.items())


def identifiability_page(found: dict[str, xr.Dataset]) -> str:
    """Return the page: a summary by model, and a table for each."""
    lines = [
        "# What a phase 1 trial can tell about each parameter",
        "",
        "Written by `python docs/make_model_tables.py` with `checks.identifiability`: the Fisher "
        "information of samples on days "
        + ", ".join(f"{t:g}" for t in checks.PHASE_1)
        + " of every endpoint, log-normal error of 0.5 (additive for logarithms), at the typical "
        "values, from the solver's own derivatives. Patients are taken to be alike, and nothing is "
        "below the limit of quantification, so that a trial tells less than this. A parameter is "
        "**identifiable** with a relative standard error below 50 % in 30 patients, **weak** below "
        "200 %, else **not**; fixed parameters are not listed.",
        "",
        "| model | endpoints | identifiable | weak | not |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, one in found.items():
        by = {
            v: ", ".join(f"`{n}`" for n in one["parameter"].to_numpy()[one["verdict"] == v]) or "–"
            for v in ("identifiable", "weak", "not")
        }
        lines.append(
            f"| {name} | {one.attrs['endpoints']} | {by['identifiable']} | {by['weak']} | "
            f"{by['not']} |"
        )
    for name, one in found.items():
        lines += ["", f"## {name}", "", *parameter_table(one), "", worst_sentence(one)]
    return "\n".join(lines) + "\n"


def parameter_table(found: xr.Dataset) -> list[str]:
    """Return one row per parameter."""
    lines = [
        "| parameter | value | meaning | RSE, 1 patient | RSE, 30 patients | |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for n in found["parameter"].to_numpy():
        one = found.sel(parameter=n)
        rse = [percent(float(one["rse"].sel(patients=k))) for k in (1, 30)]
        said = one["reason"].item() or one["verdict"].item()
        lines.append(
            f"| `{n}` | {float(one['value']):.4g} {one['unit'].item()} | {one['label'].item()} | "
            f"{rse[0]} | {rse[1]} | {said} |"
        )
    return lines


def worst_sentence(found: xr.Dataset) -> str:
    """Return how badly the worst combination is told."""
    se = float(found["worst_se"].sel(patients=30))
    much = "not told at all" if np.isinf(se) else f"known to ± {se:.2g} in 30 patients"
    return f"Worst combination on the free (log, logit) scale: {combination(found)}, {much}."


# --- dose and response ---------------------------------------------------------------------


def takes_cells(model: models.Model) -> bool:
    """Return True for a model in which a dose of CAR-T cells enters."""
    return isinstance(model, models.OdeModel) and bool(model.dosed) and model.dose_unit == "cells"


@dataclass(frozen=True)
class Response:
    """Cmax, AUC0–28d and Tmax of the first endpoint over a hundredfold range of doses."""

    dose: Array
    unit: str
    endpoint: str
    level_unit: str
    cmax: Array
    auc: Array
    tmax: Array

    @property
    def slope(self) -> float:
        """D ln Cmax / d ln dose over the whole range: 1 for proportional, 0 for flat."""
        return float(np.polyfit(np.log(self.dose), np.log(self.cmax), 1)[0])

    @property
    def auc_slope(self) -> float:
        """D ln AUC / d ln dose over the whole range."""
        return float(np.polyfit(np.log(self.dose), np.log(self.auc), 1)[0])


def response(model: models.OdeModel) -> Response:
    """Solve for a range of doses, with the code that the derivatives needed."""
    program, doses = model.program, (usual_dose(model) or 1.0) * FOLD
    k, n = doses.size, DAYS.size
    at = program.states.index(str(model.dosed))
    plan = schedule(
        k,
        patient=np.repeat(np.arange(k), n),
        time=np.tile(model.start + DAYS, k),
        doses=[Dose(i, model.start, float(a), at) for i, a in enumerate(doses)],
    )
    others = {**model.covariates, **model.inputs}
    base = base_values(program, k, {**model.typical(), **{n: c.typical for n, c in others.items()}})
    value, _, _ = sensitivities(program, program.parameters, base, plan)
    level = np.empty(value.size)
    level[plan.order] = value
    level = level.reshape(k, n)
    endpoint = program.endpoints[0]
    return Response(
        dose=doses,
        unit=model.dose_unit,
        endpoint=endpoint,
        level_unit=model.endpoints[endpoint],
        cmax=level[:, SPREAD].max(axis=1),
        auc=np.trapezoid(level, DAYS, axis=1),
        tmax=DAYS[SPREAD][level[:, SPREAD].argmax(axis=1)],
    )


def kind(slope: float) -> str:
    """Return a slope in a word."""
    if slope < FLAT:
        return "nearly flat"
    return "nearly proportional" if slope > PROPORTIONAL else "less than proportional"


def dose_page(found: dict[str, Response], without: list[str]) -> str:
    """Return the page: finding, table, figure."""
    lines = [
        "# Dose and response of the models",
        "",
        "Written by `python docs/make_model_tables.py`: one dose at the start, a tenth to ten "
        "times 10⁸ cells (of other units their usual dose), typical values; the first "
        "endpoint on days 0 to 28, its peak from day 1 on, when infused cells have left the "
        "blood for tissues.",
        "",
    ]
    if found:
        lines += [finding(found), "", "![Cmax and AUC by dose](figures/dose_response.png)", ""]
        lines += [
            "| model | doses | Cmax, lowest to highest dose | slope of Cmax | slope of AUC0–28d | "
            "Tmax, lowest to highest dose | |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        lines += [
            f"| {name} | {words.doses([r.dose[0], r.dose[-1]], r.unit).replace(', ', ' – ')} | "
            f"{words.number(r.cmax[0])} – {words.number(r.cmax[-1])} {words.unit(r.level_unit)} | "
            f"{words.fixed(r.slope)} | {words.fixed(r.auc_slope)} | "
            f"{r.tmax[0]:.1f} – {r.tmax[-1]:.1f} days | {kind(r.slope)} |"
            for name, r in found.items()
        ]
        lines += ["", "Slopes are d ln y / d ln dose over the whole range: 1 is proportional."]
    if without:
        listed = ", ".join(f"`{n}`" for n in without)
        lines += ["", f"No dose of cells enters: {listed}."]
    return "\n".join(lines) + "\n"


def finding(found: dict[str, Response]) -> str:
    """Return how many models are flat, in numbers."""
    flat = {n: r for n, r in found.items() if r.slope < FLAT}
    others = {n: r for n, r in found.items() if n not in flat}

    def listed(some: dict[str, Response]) -> str:
        return ", ".join(
            f"`{n}` {words.number(r.cmax[-1] / r.cmax[0])}-fold" for n, r in some.items()
        )

    parts = []
    if flat:
        parts.append(
            f"Over a hundredfold range of doses Cmax hardly changes in {len(flat)} of "
            f"{len(found)} models, in which cells multiply until the antigen, or a limit of their "
            f"own, stops them: {listed(flat)}."
        )
    if others:
        parts.append(f"It rises with the dose in: {listed(others)}.")
    return " ".join(parts)


def draw(found: dict[str, Response]) -> None:
    """Write the figure: one panel per model, Cmax and AUC relative to the usual dose."""
    columns = min(4, len(found))
    rows = -(-len(found) // columns)
    figure = _axes.sheet(2.3 * columns + 0.6, 1.9 * rows + 0.8)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    middle = FOLD.size // 2
    for axes, (name, r) in zip(panels.flat, found.items(), strict=False):
        axes.loglog(FOLD, FOLD, **PROPORTION)
        axes.loglog(FOLD, r.cmax / r.cmax[middle], **CMAX)
        axes.loglog(FOLD, r.auc / r.auc[middle], **AUC)
        _axes.dress(axes)
        _axes.heading(axes, name)
        axes.set_ylim(0.07, 14.0)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(FixedLocator([0.1, 1.0, 10.0]))
            axis.set_major_formatter(FuncFormatter(lambda v, _: words.short(v)))
            axis.set_minor_formatter(NullFormatter())
    for axes in panels.flat[len(found) :]:
        axes.set_visible(False)
    _axes.shared_labels(figure, "Dose relative to the usual one", "Relative to the usual dose")
    keys = [_axes.key(text, **style) for text, style in (
        ("Cmax", CMAX), ("AUC0–28d", AUC), ("proportional to dose", PROPORTION),
    )]  # fmt: skip
    _axes.figure_legend(figure, keys)
    figure.savefig(HERE / "figures" / "dose_response.png", dpi=90)


def main() -> None:
    """Write both pages."""
    known = {name: models.get(name) for name in models.names()}
    designs = {name: design(model) for name, model in known.items()}
    (HERE / "identifiability.md").write_text(identifiability_page(designs), encoding="utf-8")
    dosed = {n: m for n, m in known.items() if takes_cells(m)}
    found = {name: response(model) for name, model in dosed.items()}
    without = [name for name in known if name not in dosed]
    (HERE / "dose_response.md").write_text(dose_page(found, without), encoding="utf-8")
    if found:
        draw(found)


if __name__ == "__main__":
    main()
