"""Profiles of a block of patients as matrices, one column each, rows in time order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._nca.reasons import Bools, Codes, Floats, Ints


@dataclass(frozen=True)
class Block:
    """What the kernels work on. Rows are samples, columns patients; short profiles are padded.

    Sample-major layout keeps every operation contiguous over patients, and sums over rows run
    in time order, so a patient's numbers do not depend on who else is in the block.

    Attributes
    ----------
    time : ndarray, shape (samples, patients)
        Since the infusion; NaN as padding. [day]
    level : ndarray, shape (samples, patients)
        Quantifiable level; 0 where BLQ or padding. [any]
    present, quantified : ndarray of bool, shape (samples, patients)
        Sample of this infusion (from time 0 to the next infusion); and at or above its LLOQ.
    lloq : ndarray, shape (samples, patients)
        NaN where unknown. [any]
    visit : ndarray, shape (samples, patients)
        Nominal time where known, otherwise `time`. [day]
    included, excluded : ndarray of bool or None, shape (samples, patients)
        Samples chosen or left out by hand for lambda_z.
    chosen, chosen_missing : ndarray of bool, shape (patients,)
        Patient has samples chosen by hand; some of the chosen times have no quantifiable sample.
    baseline : ndarray, shape (patients,)
        Level of the last sample before the infusion, 0 if BLQ; NaN without one. [any]
    dose : ndarray, shape (patients,)
        NaN where unknown.
    dose_end, horizon : ndarray, shape (patients,)
        Time of the last fraction of the dose, and of the next infusion (inf without). [day]
    problem : ndarray of int16, shape (patients,)
        Reason code for patients that cannot be analysed; 0 otherwise.
    notes : ndarray of int, shape (patients,)
        Bits of `Note`.
    """

    time: Floats
    level: Floats
    present: Bools
    quantified: Bools
    lloq: Floats
    visit: Floats
    included: Bools | None
    excluded: Bools | None
    chosen: Bools
    chosen_missing: Bools
    baseline: Floats
    dose: Floats
    dose_end: Floats
    horizon: Floats
    problem: Codes
    notes: Ints

    @property
    def patients(self) -> int:
        """Number of columns."""
        return self.time.shape[1]


def first_row(mask: Bools) -> Ints:
    """Return the first true row of each column, -1 where there is none."""
    rows = mask.shape[0]
    from_end = (mask * _numbers(rows)[::-1]).max(axis=0, initial=0).astype(np.int64)
    return np.where(from_end > 0, rows - from_end, -1)


def last_row(mask: Bools) -> Ints:
    """Return the last true row of each column, -1 where there is none."""
    return (mask * _numbers(mask.shape[0])).max(axis=0, initial=0).astype(np.int64) - 1


def _numbers(rows: int) -> NDArray[np.signedinteger]:
    """Return 1, 2, … as a column, in the narrowest type.

    The largest number of a column is found several times faster than ``argmax`` down columns.
    """
    return np.arange(1, rows + 1, dtype=np.min_scalar_type(-rows - 1))[:, None]


def at(matrix: Floats, row: Ints) -> Floats:
    """Return one element of each column, NaN where `row` is negative."""
    patients = matrix.shape[1]
    picked = np.take(matrix, np.maximum(row, 0) * patients + np.arange(patients))
    return np.where(row >= 0, picked, np.nan)


def total(pieces: Floats) -> Floats:
    """Sum over rows strictly in time order, whatever the shape.

    ``numpy.sum`` adds a single column pairwise, which would make a patient's last digit depend
    on the company in the block.
    """
    out = np.zeros(pieces.shape[1:])
    for row in pieces:
        out = out + row
    return out
