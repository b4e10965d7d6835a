"""Doses and inputs as users give them to a simulation, for each patient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cart_pkpd._core.errors import ModelError
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd._engine.schedule import Change, Dose

if TYPE_CHECKING:
    from cart_pkpd.models._ode import OdeModel
    from cart_pkpd.models._simulated import Patients


def doses_of(model: OdeModel, doses: Any, patients: Patients) -> list[Dose]:
    """Return the doses of every patient.

    Raises
    ------
    ModelError
        For doses that the model does not take, unknown patients or states, or impossible
        numbers.
    """
    if doses is None:
        return []
    if isinstance(doses, pd.DataFrame):
        rows = _table(doses, ("time", "amount"), ("id", "duration", "state"), "doses")
    else:
        rows = [_row(d) for d in _sequence(doses, model)]
    if rows and model.dosed is None and not all(r.get("state") for r in rows):
        raise ModelError(
            f"{type(model).__name__} takes no dose; name the state that receives one with "
            "dosed = ... in the class, or in a column 'state'."
        )
    return [_dose(model, row, i) for row in rows for i in _whose(row.get("id"), patients, "doses")]


def _sequence(doses: Any, model: OdeModel) -> list[Any]:
    if np.ndim(doses) == 0:
        return [(model.start, doses)]
    return list(doses)


def _row(dose: Any) -> dict[str, Any]:
    if not isinstance(dose, (tuple, list, np.ndarray)) or len(dose) not in (2, 3):
        raise ModelError(f"doses: give (time, amount) or (time, amount, duration), not {dose!r}.")
    return dict(zip(("time", "amount", "duration"), dose, strict=False))


def _table(
    table: pd.DataFrame, needed: tuple[str, ...], allowed: tuple[str, ...], what: str
) -> list[dict[str, Any]]:
    for column in needed:
        if column not in table:
            raise ModelError(f"{what}: the table has no column {column!r}.")
    for column in table.columns:
        if column not in (*needed, *allowed):
            raise ModelError(
                f"{what}: unknown column {column!r}."
                f"{did_you_mean(str(column), (*needed, *allowed))} "
                f"Known: {', '.join((*needed, *allowed))}."
            )
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]


def _whose(label: Any, patients: Patients, what: str) -> list[int]:
    if label is None:
        return list(range(patients.count))
    known = [] if patients.ids is None else list(patients.ids)
    if label not in known:
        raise ModelError(f"{what}: no patient {label!r} among those simulated.")
    return [known.index(label)]


def _dose(model: OdeModel, row: Mapping[str, Any], patient: int) -> Dose:
    time, amount = float(row["time"]), float(row["amount"])
    duration = float(row.get("duration") or 0.0)
    if not (np.isfinite(time) and amount >= 0 and np.isfinite(amount) and duration >= 0):
        raise ModelError(
            f"doses: time {time:g}, amount {amount:g}, duration {duration:g} is not a dose."
        )
    if time < model.start:
        raise ModelError(
            f"doses: a dose at day {time:g} lies before the start of {type(model).__name__} "
            f"(day {model.start:g})."
        )
    state = row.get("state") or model.dosed
    if state not in model.states:
        raise ModelError(
            f"doses: no state {state!r}.{did_you_mean(str(state), model.states)} "
            f"States: {', '.join(model.states)}."
        )
    return Dose(patient, time, amount, list(model.states).index(str(state)), duration)


def changes_of(model: OdeModel, inputs: Any, patients: Patients) -> list[Change]:
    """Return the changes of inputs of every patient.

    Raises
    ------
    ModelError
        For unknown inputs or patients, or impossible numbers.
    """
    if inputs is None:
        return []
    if isinstance(inputs, pd.DataFrame):
        rows = _table(inputs, ("input", "time", "value"), ("id",), "inputs")
    else:
        rows = [
            {"input": name, "time": t, "value": v}
            for name, steps in inputs.items()
            for t, v in steps
        ]
    offset, names = len(model.parameters) + len(model.covariates), list(model.inputs)
    out = []
    for row in rows:
        name, time, value = str(row["input"]), float(row["time"]), float(row["value"])
        if name not in names:
            raise ModelError(
                f"inputs: {type(model).__name__} has no input {name!r}."
                f"{did_you_mean(name, names)} It has: {', '.join(names) or 'none'}."
            )
        if not (np.isfinite(time) and np.isfinite(value)):
            raise ModelError(f"inputs: {name} = {value:g} at day {time:g} is not possible.")
        out += [
            Change(i, time, value, offset + names.index(name))
            for i in _whose(row.get("id"), patients, "inputs")
        ]
    return out
