"""The one door between a model and everything that asks it for numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cart_pkpd._stats.design import Design
from cart_pkpd.models import Model


def predict(
    model: Model,
    design: Design,
    values: Mapping[str, ArrayLike],
    *,
    log: Sequence[bool],
    patient: NDArray[np.int64] | None = None,
    time: NDArray[np.float64] | None = None,
    measure: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """Return what the model predicts of records, by default those of the design.

    Parameters
    ----------
    model : Model
        Any declared model, closed form or not.
    design : Design
        k patients with their doses, and what was measured.
    values : mapping of str to array_like, shape (..., k)
        Every parameter that is not fixed, natural scale; broadcast over patients where the last
        axis is missing or 1.
    log : sequence of bool
        By measure: ln of the level, or the level itself.
    patient, time, measure : ndarray, shape (n,)
        Index of the patient, day and index of the measure of each record; those of the design
        where not given. With a time of one's own, `patient` has the same length, and the
        measure is the first where not given.

    Returns
    -------
    ndarray, shape (..., n)
    """
    at = design.time if time is None else time
    who = design.patient if patient is None else patient
    if measure is None:
        measure = design.measure if time is None else np.zeros(at.size, dtype=np.int64)
    # Parameters that are known for each patient are held, but not at one value.
    known = {name: v for name, v in design.known.items() if name in model.fixed}
    return np.asarray(
        model.predict(
            _per_patient({**values, **known}, design.n_patients),
            time=at,
            patient=who,
            measure=measure,
            endpoint=design.endpoints,
            log=tuple(log),
            design=design,
        ),
        dtype=float,
    )


def _per_patient(values: Mapping[str, ArrayLike], k: int) -> dict[str, NDArray[np.float64]]:
    """Return the values as arrays of one shape, whose last axis runs over the patients."""
    arrays = {name: np.asarray(value, dtype=float) for name, value in values.items()}
    shapes = {a.shape for a in arrays.values()}
    shape = (k,) if shapes <= {()} else np.broadcast_shapes((k,), *shapes)
    return {n: a if a.shape == shape else np.full(shape, a) for n, a in arrays.items()}


def on_grid(
    model: Model,
    design: Design,
    values: Mapping[str, ArrayLike],
    grid: NDArray[np.float64],
    patients: Sequence[int],
    *,
    log: bool,
) -> NDArray[np.float64]:
    """Return curves of the sole measure of `design`, shape (..., len(patients), len(grid)).

    Parameters
    ----------
    model, design, values
        As for :func:`predict`.
    grid : ndarray, shape (g,)
        Days.
    patients : sequence of int
        Indices of the patients, in rising order.
    log : bool
        Ln of the level, or the level itself.
    """
    chosen = list(patients)
    flat = predict(
        model,
        design.among(chosen),
        {name: _of(value, chosen, design.n_patients) for name, value in values.items()},
        log=(log,),
        patient=np.repeat(np.arange(len(chosen)), grid.size),
        time=np.tile(grid, len(chosen)),
    )
    return flat.reshape(*flat.shape[:-1], len(chosen), grid.size)


def _of(value: ArrayLike, chosen: list[int], k: int) -> NDArray[np.float64]:
    """Return the values of some of k patients."""
    array = np.asarray(value, dtype=float)
    return array[..., chosen] if array.ndim and array.shape[-1] == k else array
