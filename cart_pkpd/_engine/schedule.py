"""What happens to whom and when, as flat arrays for the kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cart_pkpd._engine.program import Program

BOLUS, RATE, INPUT = 0, 1, 2
NAMES = (
    "ev_time", "ev_kind", "ev_index", "ev_value", "ev_start", "ob_time", "ob_endpoint",
    "ob_before", "ob_start",
)  # fmt: skip
"""The arrays of a schedule, in the order in which kernels take them."""


@dataclass(frozen=True, eq=False)
class Dose:
    """One dose of one patient.

    Attributes
    ----------
    patient : int
        Position of the patient.
    time : float
        [day]
    amount : float
        In the unit of the model's doses.
    duration : float
        Length of a constant infusion; 0 for a bolus. [day]
    state : int
        Position of the state that receives it.
    """

    patient: int
    time: float
    amount: float
    state: int
    duration: float = 0.0


@dataclass(frozen=True, eq=False)
class Change:
    """A new value of a piecewise constant input of one patient, from `time` on."""

    patient: int
    time: float
    value: float
    column: int


@dataclass(frozen=True, eq=False)
class Schedule:
    """Events and observations of k patients, sorted by patient and time.

    Attributes
    ----------
    ev_time, ev_kind, ev_index, ev_value : ndarray, shape (e,)
        Bolus into a state, change of a state's infusion rate, or new value of an input.
    ev_start : ndarray of int, shape (k + 1,)
        Where each patient's events begin.
    ob_time, ob_endpoint, ob_before : ndarray, shape (n,)
        Time, endpoint, and whether the sample precedes a dose of the same instant.
    ob_start : ndarray of int, shape (k + 1,)
        Where each patient's observations begin.
    order : ndarray of int, shape (n,)
        Position in the caller's observations of each sorted one.
    shared : bool
        Times, endpoints and order of observations are given for one patient, and are everybody's.
    """

    ev_time: NDArray[np.float64]
    ev_kind: NDArray[np.int64]
    ev_index: NDArray[np.int64]
    ev_value: NDArray[np.float64]
    ev_start: NDArray[np.int64]
    ob_time: NDArray[np.float64]
    ob_endpoint: NDArray[np.int64]
    ob_before: NDArray[np.bool_]
    ob_start: NDArray[np.int64]
    order: NDArray[np.int64]
    shared: bool = False

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """The arrays in the order in which kernels take them."""
        return tuple(getattr(self, name) for name in NAMES)

    @property
    def n_patients(self) -> int:
        """Number of patients."""
        return self.ob_start.size - 1

    @property
    def n_observations(self) -> int:
        """Number of observations of all patients."""
        return int(self.ob_start[-1])

    def written_out(self) -> Schedule:
        """Return the same with the observations of every patient where one stood for all."""
        if not self.shared:
            return self
        names = ("ob_time", "ob_endpoint", "ob_before")
        tall = {n: np.tile(getattr(self, n), self.n_patients) for n in names}
        return replace(self, **tall, shared=False)


def schedule(
    n_patients: int,
    *,
    patient: ArrayLike,
    time: ArrayLike,
    endpoint: ArrayLike = 0,
    before: ArrayLike = False,
    doses: Sequence[Dose] = (),
    changes: Sequence[Change] = (),
) -> Schedule:
    """Return the schedule of observations, doses and input changes.

    Parameters
    ----------
    n_patients : int
        Number of patients.
    patient, time, endpoint, before : array_like, shape (n,)
        Patient, time [day], endpoint and sampling order of each observation.
    doses : sequence of Dose
        In any order.
    changes : sequence of Change
        In any order.
    """
    who = np.asarray(patient, dtype=np.int64)
    when = np.asarray(time, dtype=float)
    which = np.broadcast_to(np.asarray(endpoint, dtype=np.int64), who.shape)
    early = np.broadcast_to(np.asarray(before, dtype=bool), who.shape)
    order = np.lexsort((~early, when, who))
    events = [e for d in doses for e in _dose_events(d)]
    events += [(c.patient, c.time, INPUT, c.column, c.value) for c in changes]
    events.sort(key=lambda e: (e[0], e[1], -e[2]))  # inputs first, then rates, then boluses
    table = np.array(events, dtype=float).reshape(-1, 5)
    return Schedule(
        ev_time=np.ascontiguousarray(table[:, 1]),
        ev_kind=table[:, 2].astype(np.int64),
        ev_index=table[:, 3].astype(np.int64),
        ev_value=np.ascontiguousarray(table[:, 4]),
        ev_start=_starts(table[:, 0].astype(np.int64), n_patients),
        ob_time=np.ascontiguousarray(when[order]),
        ob_endpoint=np.ascontiguousarray(which[order]),
        ob_before=np.ascontiguousarray(early[order]),
        ob_start=_starts(who[order], n_patients),
        order=order,
    )


def _dose_events(dose: Dose) -> list[tuple[int, float, int, int, float]]:
    if not dose.duration > 0:
        return [(dose.patient, dose.time, BOLUS, dose.state, dose.amount)]
    rate = dose.amount / dose.duration
    return [
        (dose.patient, dose.time, RATE, dose.state, rate),
        (dose.patient, dose.time + dose.duration, RATE, dose.state, -rate),
    ]


def _starts(sorted_patients: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    return np.searchsorted(sorted_patients, np.arange(n + 1)).astype(np.int64)


def base_values(
    program: Program, n_patients: int, given: Mapping[str, ArrayLike]
) -> NDArray[np.float64]:
    """Return one row of values per patient; parameters that kernels fill in are NaN."""
    base = np.full((n_patients, len(program.values)), np.nan)
    for name, value in given.items():
        base[:, program.values.index(name)] = value
    return base
