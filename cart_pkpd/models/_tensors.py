"""Levels of a model as PyTensor variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pytensor.tensor as pt
from numpy.typing import NDArray

from cart_pkpd._engine.ops import levels_op
from cart_pkpd._engine.schedule import base_values, schedule
from cart_pkpd._engine.solve import floors_of
from cart_pkpd.models._courses import changes_of, doses_of, event_doses_of, known_values
from cart_pkpd.models._simulated import patients_of
from cart_pkpd.models.math import is_symbolic

if TYPE_CHECKING:
    from cart_pkpd.models._ode import OdeModel


def tensors(
    model: OdeModel,
    times: NDArray[np.float64],
    params: Mapping[str, Any],
    doses: Any,
    patients: int,
    inputs: Any,
    covariates: Any,
    options: NDArray[np.float64],
) -> dict[str, Any]:
    """Return the levels by endpoint; see :meth:`cart_pkpd.models.OdeModel.tensors`."""
    model.check_names(params, "tensors")
    numbers = {k: v for k, v in params.items() if not is_symbolic(v)}
    wrt = tuple(k for k in model.parameters if k in params and k not in numbers)
    known = patients_of(model, numbers, {}, count=patients, ids=np.arange(patients))
    program, n, shown = model.program, times.size, len(model.program.endpoints)
    plan = schedule(
        patients,
        patient=np.repeat(np.arange(patients), n * shown),
        time=np.tile(np.repeat(times, shown), patients),
        endpoint=np.tile(np.arange(shown), patients * n),
        doses=doses_of(model, doses, known) + event_doses_of(model, inputs, known),
        changes=changes_of(model, inputs, known),
    )
    base = base_values(
        program, patients, {**known.values, **known_values(model, covariates, known)}
    )
    columns = [pt.broadcast_to(pt.cast(params[k], "float64"), (patients,)) for k in wrt]
    given = pt.stack(columns, axis=-1) if wrt else pt.zeros((patients, 0))
    flat = levels_op(program, wrt)(given, base, *plan.arrays, floors_of(program), options)[0]
    back = np.argsort(plan.order)
    cube = flat[back].reshape((patients, n, shown))
    return {name: cube[:, :, i] for i, name in enumerate(program.endpoints)}
