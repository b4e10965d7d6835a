"""Records in groups that lie side by side, for :mod:`cart_pkpd._engine.records`."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._engine.widening import WIDTH


@dataclass(frozen=True, eq=False)
class Groups:
    """Records of every patient, a lane each.

    Attributes
    ----------
    start : ndarray of int, shape (k + 1,)
        First group of each patient.
    endpoint, codes : ndarray of int, shape (g,)
        The endpoint of a group, and the kinds of censoring in it, a bit each.
    given : ndarray, shape (g, 6, WIDTH)
        Time, value and lower limit, ln of these two, and kind of censoring; lanes without a record
        repeat one, and their kind is -1.
    row : ndarray of int, shape (g, WIDTH)
        Which record it is; -1 for none.
    """

    start: NDArray[np.int64]
    endpoint: NDArray[np.int64]
    codes: NDArray[np.int64]
    given: NDArray[np.float64]
    row: NDArray[np.int64]


def grouped(
    ob_start: NDArray[np.int64],
    time: NDArray[np.float64],
    endpoint: NDArray[np.int64],
    code: NDArray[np.int64],
    dv: NDArray[np.float64],
    low: NDArray[np.float64],
) -> Groups:
    """Return the groups of records that lie patient by patient, from `ob_start` on."""
    start, rows = [0], []
    for first, last in itertools.pairwise(ob_start):
        own = np.arange(first, last)
        own = own[np.lexsort((code[own], endpoint[own]))]
        for e in np.unique(endpoint[own]):
            same = own[endpoint[own] == e]
            rows += [same[i : i + WIDTH] for i in range(0, same.size, WIDTH)]
        start.append(len(rows))
    with np.errstate(all="ignore"):  # of what no likelihood takes the logarithm
        every = np.array([time, dv, low, np.log(dv), np.log(low), code.astype(float)])
    given = np.zeros((len(rows), len(every), WIDTH))
    row = np.full((len(rows), WIDTH), -1)
    for group, lanes, own in zip(given, row, rows, strict=True):
        lanes[: own.size] = own
        group[:] = every[:, np.concatenate([own, np.repeat(own[-1:], WIDTH - own.size)])]
        group[-1, own.size :] = -1.0
    return Groups(
        start=np.array(start, dtype=np.int64),
        endpoint=np.array([endpoint[own[0]] for own in rows], dtype=np.int64),
        codes=np.array([np.bitwise_or.reduce(1 << code[own]) for own in rows], dtype=np.int64),
        given=given,
        row=row,
    )
