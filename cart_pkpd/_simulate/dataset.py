"""Arrays of patients as a Dataset: names, units, meanings."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd import __version__
from cart_pkpd._core.names import label
from cart_pkpd._core.units import times
from cart_pkpd._simulate.attrition import LEFT
from cart_pkpd._simulate.blocks import RECORDS, Arrays
from cart_pkpd._simulate.outcomes import Outcome
from cart_pkpd._simulate.plan import Plan, residual_words

_DIMS = {
    "individual": ("id", "parameter"),
    "exposure": ("id", "endpoint", "metric"),
    "level": ("id", "time", "endpoint"),
    "dv": ("id", "time", "endpoint"),
    "censored": ("id", "time", "endpoint"),
    "actual_time": ("id", "time"),
}
_WORDS = {
    "trial": "Simulated trial",
    "draw": "Draw of the population quantities",
    "level": "Level without residual error",
    "dv": "Measurement; the limit where it is beyond one",
    "censored": "What became of the record",
    "exposure": "Exposure by the level without error",
    "individual": "Individual parameters",
    "status": "Whether the equations were solved",
}


def dataset_of(plan: Plan, arrays: Arrays) -> xr.Dataset:
    """Return a Dataset of some patients of a plan."""
    held = plan.source.model.parameters
    names = [p for p in held if p in plan.source.model.estimated]
    unit = [plan.source.model.endpoints[e] for e in plan.endpoints]
    coords: dict[str, Any] = {
        "id": ("id", arrays["id"], {"long_name": "Patient"}),
        "endpoint": ("endpoint", np.array(plan.endpoints)),
        "unit": ("endpoint", np.array(unit)),
        "parameter": ("parameter", np.array(names)),
        "parameter_unit": ("parameter", np.array([held[p].unit for p in names])),
        "lloq": ("endpoint", plan.lloq, {"long_name": "LLOQ"}),
        "uloq": ("endpoint", plan.uloq, {"long_name": "ULOQ"}),
    }
    if plan.records:
        days = {"units": "day", "long_name": "Nominal time since first infusion"}
        coords["time"] = ("time", plan.schedule.visits, days)
    if "exposure" in arrays:
        metrics = metrics_of(plan)
        coords["metric"] = ("metric", np.array(metrics))
        coords["exposure_unit"] = (
            ("endpoint", "metric"), np.array([[u, "day", times(u, "day")] for u in unit])
        )  # fmt: skip
    variables = {
        name: (_DIMS.get(name, ("id",)), values, attributes(plan, name))
        for name, values in arrays.items()
        if name != "id"
    }
    return xr.Dataset(variables, coords=coords, attrs=_about(plan))


def metrics_of(plan: Plan) -> tuple[str, str, str]:
    """Return the names of peak, its day and the area, such as ``auc0_28``."""
    assert plan.kinetics.window is not None
    start, end = plan.kinetics.window
    return ("cmax", "tmax", f"auc{start:g}_{end:g}")


def attributes(plan: Plan, name: str) -> dict[str, Any]:
    """Return unit and meaning of a variable."""
    if name == "dose_level":
        return {"units": _dose_unit(plan), "long_name": "Dose"}
    if name == "last_contact":
        return {"units": "day", "long_name": "Last day of contact"}
    if name == "actual_time":
        return {"units": "day", "long_name": "Time of the visit"}
    if name == "censored":
        return {"long_name": _WORDS[name], **_flags(RECORDS)}
    if name == "left":
        return {"long_name": "Why there was no further contact", **_flags(LEFT)}
    if name == "status":
        return {"long_name": _WORDS[name], **_flags(("solved", "steps", "step_size", "infinite",
                                                      "not_a_number"))}  # fmt: skip
    for base, outcome in plan.outcomes.items():
        if name in (base, f"{base}_day", f"{base}_evaluable"):
            return _of_outcome(base, name, outcome)
    return {"long_name": _WORDS.get(name, label(name))}


def _of_outcome(base: str, name: str, outcome: Outcome) -> dict[str, Any]:
    if name == f"{base}_day":
        return {"units": "day", "long_name": f"Day of {base}"}
    if name == f"{base}_evaluable":
        return {"long_name": f"Followed for {outcome.window:g} days, or with {base} before"}
    return {
        "long_name": base,
        "grades": outcome.grades,
        "comment": "highest grade; -1: not known, the equations were not solved",
    }


def _flags(words: tuple[str, ...]) -> dict[str, Any]:
    values: NDArray[np.int8] = np.arange(len(words), dtype=np.int8)
    return {"flag_values": values, "flag_meanings": " ".join(words)}


def _dose_unit(plan: Plan) -> str:
    return str(getattr(plan.source.model, "dose_unit", "cells"))


def _about(plan: Plan) -> dict[str, Any]:
    model = plan.source.model
    window = plan.kinetics.window
    return {
        "model": model.name or type(model).__name__,
        "patients_from": plan.source.about,
        "residual_error": residual_words(plan.source),
        "uncertainty": plan.uncertainty if plan.source.draws > 1 else "none",
        "patients_per_trial": plan.per_trial,
        "trials": plan.trials,
        "seed": plan.seed,
        "follow_up": plan.follow_up,
        "window": "" if window is None else f"{window[0]:g} to {window[1]:g} days",
        # Day, share of the dose and length of each, one after the other.
        "infusions": np.array(plan.kinetics.dosing.infusions, dtype=float).ravel(),
        "inputs": json.dumps(plan.kinetics.dosing.steps),
        "outcomes": " ".join(plan.outcomes),
        "cart_pkpd_version": __version__,
    }
