"""When the occasions of each patient begin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._core.errors import FitError

if TYPE_CHECKING:
    from cart_pkpd._stats.design import Design

FRACTION_GAP = 7.0
"""Doses at most this many days apart are fractions of one infusion. [day]"""

type Array = NDArray[np.float64]
type Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Occasion:
    """From when on the records of a patient are of an occasion.

    Attributes
    ----------
    patient : int
        Index of the patient.
    time : float
        When it begins: with the first infusion after the records of the occasion before, or
        its first record where there was none. [day]
    label : str
        The occasion's number in the table.
    infusion : float
        When the last infusion up to then began; 0 on the first occasion. [day]
    """

    patient: int
    time: float
    label: str
    infusion: float


def occasions_of(
    number: Ints,
    time: Array,
    patient: Ints,
    before_dose: NDArray[np.bool_],
    dose_time: Array,
    dose_patient: Ints,
) -> tuple[Occasion, ...]:
    """Return the occasions of every patient, sorted by patient and time.

    Where all records have the same number, infusions tell occasions apart.

    Parameters
    ----------
    number, time, patient, before_dose : ndarray, shape (n,)
        Occasion in the table, day, patient and order of the records, sorted by patient and time.
    dose_time, dose_patient : ndarray, shape (m,)
        Day and patient of the doses, sorted likewise.
    """
    same = np.unique(number).size < 2
    out: list[Occasion] = []
    for i in range(int(patient.max()) + 1 if patient.size else 0):
        given = infusions(dose_time[dose_patient == i])
        rows = patient == i
        if same:
            out += _by_infusion(i, given, float(time[rows][-1]))
        else:
            out += _by_number(i, number[rows], time[rows], before_dose[rows], given)
    return tuple(out)


def infusions(dose_time: Array) -> Array:
    """Return when infusions began, from the times of their fractions in rising order."""
    return dose_time[np.diff(dose_time, prepend=-np.inf) > FRACTION_GAP]


def _by_infusion(patient: int, given: Array, last: float) -> Iterator[Occasion]:
    yield Occasion(patient, 0.0, "1", 0.0)
    for i, begin in enumerate(given[1:][given[1:] <= last].tolist()):
        yield Occasion(patient, begin, str(i + 2), begin)


def _by_number(
    patient: int, number: Ints, time: Array, before_dose: NDArray[np.bool_], given: Array
) -> Iterator[Occasion]:
    yield Occasion(patient, 0.0, str(number[0]), 0.0)
    for i in np.flatnonzero(np.diff(number)) + 1:
        after = (given > time[i - 1]) | ((given == time[i - 1]) & before_dose[i - 1])
        between = given[after & (given <= time[i])]
        begin = float(between[0] if between.size else time[i])
        earlier = given[given <= begin]
        origin = float(earlier[-1]) if earlier.size > 1 else 0.0
        yield Occasion(patient, begin, str(number[i]), origin)


def occasion_labels(design: Design) -> tuple[str, ...]:
    """Return the numbers of all occasions, in rising order.

    Raises
    ------
    FitError
        If there is one only.
    """
    labels = sorted({o.label for o in design.occasions}, key=int)
    if len(labels) < 2:
        raise FitError(
            "iov: the records are of one occasion only, so nothing can vary between occasions; "
            "number occasions in a column OCC of the table, or leave iov out."
        )
    return tuple(labels)


def first_ends(design: Design) -> Array:
    """Return when each patient's second occasion begins, infinite without one, shape (k,)."""
    out, seen = np.full(design.n_patients, np.inf), set()
    for o in design.occasions:
        if o.patient in seen:
            out[o.patient] = min(out[o.patient], o.time)
        seen.add(o.patient)
    return out


def check_infusions(design: Design) -> None:
    """Refuse a second infusion on one occasion, which a closed form cannot describe.

    Raises
    ------
    FitError
        Naming the patient and the day.
    """
    for i in range(design.n_patients):
        own = {o.time for o in design.occasions if o.patient == i}
        last = float(design.time[design.patient == i].max())
        for begin in infusions(design.dose_time[design.dose_patient == i])[1:].tolist():
            if begin <= last and begin not in own:
                raise FitError(
                    f"iov: patient {str(design.ids[i])!r} had another infusion at day {begin:g} "
                    "within an occasion, and a closed form describes one; number occasions by "
                    "infusion (OCC), or use a model given by differential equations."
                )
