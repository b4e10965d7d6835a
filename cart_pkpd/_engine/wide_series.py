"""One step of several patients in lock-step by the Taylor series of the solution.

Translated as :mod:`cart_pkpd._engine.wide` is, whose places in ``lanes`` it uses, for equations
that have a series (:mod:`cart_pkpd._engine.series`). The terms tell beforehand how long a step may
be, so that none is made in vain: as in Jorba and Zou's method, the last two are to be as small as
the tolerance allows.
"""

from __future__ import annotations

from typing import Any

from cart_pkpd._engine.equations import AT, BEST, SERIES, TERMS, U1, N, along, compare, series
from cart_pkpd._engine.wide import (
    ACCURACY,
    BOUND,
    COUNT,
    FROM,
    HELD,
    LOST,
    MIDDLE,
    MILD,
    NEXT,
    SAMPLE,
    SHORTEST,
    STOP,
    TIME,
    H,
    bits,
    rough_exp2,
    rough_log2,
)

SLOW = 0.1
"""A step in which states change by less than this, relatively, is held back by stability."""
SOON = 1e-3
"""A state at 0 is compared with what it will be after this share of the piece."""


def advance(lanes: Any, x: Any) -> float:
    """Make a step; return the lanes to look after, as the function of the explicit method does."""
    for i in range(N):
        x[SERIES + i] = x[U1 + i]
    t = lanes[FROM]
    end = lanes[STOP]
    series(t, lanes[MIDDLE], x)
    compare(SOON * (end - t), x)
    first = size_of(1, x)
    before = size_of(TERMS - 1, x)
    last = size_of(TERMS, x)
    # The squares of what is allowed are N times the square of the tolerance.
    allowed = rough_log2(N * lanes[ACCURACY] * lanes[ACCURACY])
    h = (allowed - rough_log2(last)) * (0.5 / TERMS)
    h = rough_exp2(min(h, (allowed - rough_log2(before)) * (0.5 / (TERMS - 1))))
    final = end <= t + 1.001 * h
    step = end - t if final else h
    along(step, x)
    for i in range(N):
        x[U1 + i] = x[AT + i]
    arrived = t + step
    held = lanes[HELD] + 1.0 if step * step * first < SLOW * SLOW * N else 0.0
    stiff = held >= 2.0 and MILD * step < end - arrived
    known = last < 1e290 and before < 1e290
    well = known and (lanes[SHORTEST] <= step or final)
    lost = stiff or not well or lanes[BOUND] <= lanes[COUNT]
    lanes[LOST] = 1.0 if lost else 0.0
    lanes[TIME] = t
    lanes[H] = step
    lanes[FROM] = arrived
    lanes[NEXT] = h
    lanes[HELD] = held
    lanes[COUNT] = lanes[COUNT] + 1.0
    showing = lanes[SAMPLE] <= arrived and not lost
    return bits(showing, lost or final)


def size_of(order: int, x: Any) -> float:
    """Return the sum of squares of the coefficients of an order, relative to the states' sizes."""
    total = 0.0
    for i in range(N):
        share = x[BEST + i] * x[SERIES + order * N + i]
        total += share * share
    return total


def between(lanes: Any, x: Any) -> None:
    """Write the states at the times of the next samples, within the last step, to AT."""
    along(lanes[SAMPLE] - lanes[TIME], x)
