"""What happens to each patient: doses, inputs and covariates, as users or trials give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from cart_pkpd._core.errors import ModelError
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd._engine.schedule import Change, Dose
from cart_pkpd.models._simulated import Patients, patients_of

if TYPE_CHECKING:
    from cart_pkpd._engine.program import Program
    from cart_pkpd.models._ode import OdeModel


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
    if rows and model.dosed is None and any(pd.isna(r.get("state")) for r in rows):
        raise ModelError(
            f"{type(model).__name__} takes no dose; name the state that receives one with "
            "dosed = ... in the class, or in a column 'state'."
        )
    return [_dose(model, row, i) for row in rows for i in _whose(row.get("id"), patients, "doses")]


def _sequence(doses: Any, model: OdeModel) -> list[Any]:
    if isinstance(doses, int | float | np.number):
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
    duration = 0.0 if pd.isna(row.get("duration")) else float(row["duration"])
    if not (np.isfinite(time) and amount >= 0 and np.isfinite(amount) and duration >= 0):
        raise ModelError(
            f"doses: time {time:g}, amount {amount:g}, duration {duration:g} is not a dose."
        )
    if time < model.start:
        raise ModelError(
            f"doses: a dose at day {time:g} lies before the start of {type(model).__name__} "
            f"(day {model.start:g})."
        )
    state = model.dosed if pd.isna(row.get("state")) else row["state"]
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
    offset, names = len(model.parameters) + len(model.covariates), list(model.inputs)
    return [
        Change(i, time, value, offset + names.index(name))
        for name, time, value, label in _input_rows(model, inputs)
        if name in names
        for i in _whose(label, patients, "inputs")
    ]


def event_doses_of(model: OdeModel, inputs: Any, patients: Patients) -> list[Dose]:
    """Return the doses that come as inputs; errors as for :func:`changes_of`."""
    return [
        _dose(model, {"time": time, "amount": value, "state": model.event_doses[name]}, i)
        for name, time, value, label in _input_rows(model, inputs)
        if name in model.event_doses
        for i in _whose(label, patients, "inputs")
    ]


def _input_rows(model: OdeModel, inputs: Any) -> list[tuple[str, float, float, Any]]:
    """Return name, time, value and patient of every row."""
    if inputs is None:
        return []
    if isinstance(inputs, pd.DataFrame):
        rows = _table(inputs, ("input", "time", "value"), ("id",), "inputs")
    else:
        rows = [
            {"input": name, "time": t, "value": v}
            for name, steps in _by_input(inputs)
            for t, v in steps
        ]
    known = [*model.inputs, *model.event_doses]
    out = []
    for row in rows:
        name, time, value = str(row["input"]), float(row["time"]), float(row["value"])
        if name not in known:
            raise ModelError(
                f"inputs: {type(model).__name__} has no input {name!r}."
                f"{did_you_mean(name, known)} It has: {', '.join(known) or 'none'}."
            )
        if not (np.isfinite(time) and np.isfinite(value)):
            raise ModelError(f"inputs: {name} = {value:g} at day {time:g} is not possible.")
        if name in model.inputs:
            model.inputs[name].check(f"inputs: {name}", np.array([value]))
        out.append((name, time, value, row.get("id")))
    return out


def _by_input(inputs: Any) -> list[tuple[str, list[tuple[Any, Any]]]]:
    """Return the changes of each input, as pairs."""
    how = "give inputs={'name': [(day, value), ...]}, or a table with input, time and value"
    if not isinstance(inputs, Mapping):
        raise ModelError(f"inputs: {inputs!r} cannot be read; {how}.")
    found = []
    for name, steps in inputs.items():
        pairs = steps if isinstance(steps, list | tuple | np.ndarray) else [steps]
        for pair in pairs:
            if not isinstance(pair, list | tuple | np.ndarray) or len(pair) != 2:
                raise ModelError(
                    f"inputs: {pair!r} of {name} is not a pair of day and value; {how}."
                )
        found.append((str(name), [(p[0], p[1]) for p in pairs]))
    return found


def patients_with(
    model: OdeModel,
    params: Any,
    values: Mapping[str, ArrayLike],
    covariates: Any,
    doses: Any,
    inputs: Any,
) -> Patients:
    """Return the patients; parameters, covariates, doses and inputs may each name them."""
    count, ids = None, None
    for table in (covariates, doses, inputs):
        if (
            isinstance(table, pd.DataFrame)
            and "id" in table
            and not isinstance(params, pd.DataFrame | xr.Dataset)
        ):
            ids = table["id"].drop_duplicates().to_numpy()
            break
    if isinstance(covariates, Mapping):
        lengths = [np.size(v) for v in covariates.values() if np.ndim(v) == 1]
        count = lengths[0] if lengths else None
    return patients_of(model, params, values, count=count, ids=ids)


def known_values(
    model: OdeModel, covariates: Any, patients: Patients
) -> dict[str, NDArray[np.float64]]:
    """Return covariates of the patients, typical where not given, and inputs before any change."""
    k, given = patients.count, _covariate_columns(covariates, patients)
    for name, value in given.items():
        if name not in model.covariates:
            raise ModelError(
                f"covariates: {type(model).__name__} has no covariate {name!r}."
                f"{did_you_mean(name, model.covariates)} It has: "
                f"{', '.join(model.covariates) or 'none'}."
            )
        if value.ndim > 1 or (value.ndim == 1 and value.size != k) or not np.isfinite(value).all():
            raise ModelError(f"covariates: {name} needs one finite value, or one for each of {k}.")
        model.covariates[name].check(f"covariates: {name}", np.atleast_1d(value))
    known: dict[str, Any] = {n: v.typical for n, v in {**model.covariates, **model.inputs}.items()}
    return {
        n: np.broadcast_to(np.asarray(v, dtype=float), (k,)) for n, v in (known | given).items()
    }


def _covariate_columns(covariates: Any, patients: Patients) -> dict[str, NDArray[np.float64]]:
    """Return covariates by name; rows of a table that names patients go to those patients."""
    if covariates is None:
        return {}
    if isinstance(covariates, xr.Dataset):
        covariates = covariates.to_dataframe().reset_index()
    if isinstance(covariates, pd.DataFrame) and "id" in covariates:
        if covariates["id"].duplicated().any():
            twice = covariates["id"][covariates["id"].duplicated()].iloc[0]
            raise ModelError(f"covariates: patient {twice!r} is there twice.")
        table = covariates.set_index("id")
        ids = [0] if patients.ids is None else list(patients.ids)
        missing = [i for i in ids if i not in table.index]
        if missing:
            raise ModelError(f"covariates: no row for patient {missing[0]!r}.")
        covariates = table.loc[ids]
    return {str(n): np.asarray(covariates[n], dtype=float) for n in covariates}


def design_doses(model: OdeModel, design: Any) -> list[Dose]:
    """Return the doses of a design's patients, if they act on the model."""
    states = model.program.states
    given = [
        Dose(int(c.patient), c.time, c.value, states.index(model.event_doses[c.name]), 0.0)
        for c in design.changes
        if c.name in model.event_doses
    ]
    return given if model.dosed is None else given + _infusions(model, design)


def _infusions(model: OdeModel, design: Any) -> list[Dose]:
    assert model.dosed is not None
    at = model.program.states.index(model.dosed)
    unknown = np.flatnonzero(~np.isfinite(design.dose_amount))
    if unknown.size:
        i = int(unknown[0])
        raise ModelError(
            f"{type(model).__name__} needs the amount of every dose, and that of patient "
            f"{str(design.ids[design.dose_patient[i]])!r} at day {design.dose_time[i]:g} is "
            "missing; give AMT in the table."
        )
    without = sorted(set(range(design.n_patients)) - {int(i) for i in design.dose_patient})
    if without:
        raise ModelError(
            f"{type(model).__name__} is driven by doses, and patient "
            f"{str(design.ids[without[0]])!r} has none ({len(without)} such patients); give a "
            "dose record in the table."
        )
    return [
        Dose(int(i), float(t), float(a), at, float(d))
        for i, t, a, d in zip(
            design.dose_patient,
            design.dose_time,
            design.dose_amount,
            design.dose_duration,
            strict=True,
        )
    ]


def design_changes(model: OdeModel, design: Any) -> list[Change]:
    """Return the events of a design's patients that are inputs of the model."""
    offset = len(model.parameters) + len(model.covariates)
    names = list(model.inputs)
    for c in design.changes:
        if c.name in names:
            who = f"event {c.name} of patient {str(design.ids[int(c.patient)])!r} at day {c.time:g}"
            model.inputs[c.name].check(who, np.array([c.value]))
    return [
        Change(int(c.patient), c.time, c.value, offset + names.index(c.name))
        for c in design.changes
        if c.name in names
    ]


def design_known(program: Program, design: Any) -> dict[str, NDArray[np.float64]]:
    """Return what is known of a design's patients among the values of the equations."""
    return {k: v for k, v in design.known.items() if k in program.values}


def design_covariates(model: OdeModel, design: Any) -> dict[str, NDArray[np.float64]]:
    """Return the model's covariates of a design's patients."""
    found = {}
    for name in model.covariates:
        if name not in design.subjects:
            raise ModelError(
                f"{type(model).__name__} uses the covariate {name!r}, which the trial does not "
                f"have.{did_you_mean(name, [str(v) for v in design.subjects])} Add it as a column "
                "of the table."
            )
        values = design.subjects[name].to_numpy().astype(float)
        missing = np.flatnonzero(~np.isfinite(values))
        if missing.size:
            raise ModelError(
                f"{type(model).__name__} uses the covariate {name!r}, which is missing for "
                f"patient {str(design.ids[missing[0]])!r} ({missing.size} such patients)."
            )
        model.covariates[name].check(f"covariate {name}", values)
        found[name] = values
    return found
