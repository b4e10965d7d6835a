"""Patients of simulated trials: what is drawn for each, and the record of a block of trials."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from cart_pkpd._dose.onsets import day_of_onset
from cart_pkpd._dose.state import Floats, Ints, Mask
from cart_pkpd._dose.trial_scenario import Scenario

BLOCK = 10_000  # trials simulated together; what is drawn for one does not depend on their number


@dataclass(frozen=True, eq=False)
class Drawn:
    """What chance holds for the i-th patient of T trials, whatever the dose will be.

    Attributes
    ----------
    gap : ndarray, shape (T,)
        Time until the patient becomes available. [day]
    u : ndarray, shape (T,)
        A DLT occurs within the window if this is below its probability.
    onset : ndarray of int, shape (T,)
        Day of the DLT if there is one. [day]
    leaves : ndarray of bool, shape (T,)
        Whether the patient leaves within the window.
    last : ndarray of int, shape (T,)
        Day of the last contact of those who leave. [day]
    below : ndarray of bool, shape (T,)
        Whether the product lies below the range of its level.
    """

    gap: Floats
    u: Floats
    onset: Ints
    leaves: Mask
    last: Ints
    below: Mask


class Draws:
    """Draws of one block of trials, patient after patient.

    The same for every design, so that designs are compared on the same patients, and the same for
    a trial however many are simulated.
    """

    def __init__(self, scenario: Scenario, size: int, seed: int, block: int) -> None:
        self._scenario, self._size = scenario, size
        self._rng = np.random.default_rng([seed, block])

    def next(self) -> Drawn:
        """Return the draws of the next patient of every trial."""
        s = self._scenario
        u = self._rng.random((6, BLOCK))[:, : self._size]
        return Drawn(
            gap=-s.gap * np.log1p(-u[0]),
            u=u[1],
            onset=day_of_onset(s.onset_curve, u[2]),
            leaves=u[3] < s.dropout,
            last=(u[4] * s.window).astype(np.int64),
            below=u[5] < s.below,
        )


@dataclass(eq=False)
class Records:
    """Patients of T trials in order of infusion, each array of shape (T, patients).

    Attributes
    ----------
    level : ndarray of int
        From 0.
    infused : ndarray of int
        Day of the trial. [day]
    known : ndarray of int
        Day of the trial on which the outcome is known. [day]
    lost : ndarray of int
        Day of the trial on which the patient is known not to be evaluable; `NEVER` for others.
    dlt, below, gone : ndarray of bool
        Whether a DLT counts; whether the product lay below the range; whether the patient leaves
        without a DLT.
    """

    level: Ints
    infused: Ints
    known: Ints
    lost: Ints
    dlt: Mask
    below: Mask
    gone: Mask

    @classmethod
    def empty(cls, trials: int, patients: int) -> Records:
        """Return room for patients."""
        a, b, c, d = (np.zeros((trials, patients), np.int64) for _ in range(4))
        e, f, g = (np.zeros((trials, patients), bool) for _ in range(3))
        return cls(a, b, c, d, e, f, g)

    def room(self, patients: int) -> None:
        """Make room for more patients."""
        have = self.level.shape[1]
        if patients > have:
            for f in fields(self):
                wider = np.pad(getattr(self, f.name), ((0, 0), (0, patients - have)))
                setattr(self, f.name, wider)

    def first(self, rows: Ints, patients: int) -> Records:
        """Return the first patients of some trials."""
        return Records(*(getattr(self, f.name)[rows, :patients] for f in fields(self)))

    def add(self, i: int, rows: Ints, level: Ints, day: Ints, drawn: Drawn, s: Scenario) -> None:
        """Infuse the i-th patient of some trials."""
        below = drawn.below[rows]
        p = np.where(below, s.below_rates[level], s.rates[level])
        last = np.where(drawn.leaves[rows], drawn.last[rows], s.window)
        onset = drawn.onset[rows]
        dlt = (drawn.u[rows] < p) & (onset <= last)
        gone = (last < s.window) & ~dlt
        known = day + np.where(dlt, onset, np.where(gone, last + 1, s.window))
        lost = np.where(below, day, np.where(gone, known, NEVER))
        values = (level, day, known, lost, dlt, below, gone)
        for f, value in zip(fields(self), values, strict=True):
            getattr(self, f.name)[rows, i] = value


NEVER = np.iinfo(np.int64).max // 4
