"""One step of several patients in lock-step by the Taylor series of the solution.

Translated as :mod:`cart_pkpd._engine.wide` is, whose places in ``lanes`` it uses, for equations
that have a series (:mod:`cart_pkpd._engine.series`). The terms tell beforehand how long a step may
be, so that none is made in vain: as in Jorba and Zou's method, the last two are to be as small as
the tolerance allows.
"""

from __future__ import annotations

from typing import Any

from cart_pkpd._engine.equations import AT, FLOORS, PEAK, SERIES, TERMS, U1, N, along, series
from cart_pkpd._engine.patient import PEAK_SHARE, TINY
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
    rough_power,
)

WIDER = 2.0
"""The last terms are held to this times the tolerance; what is left out is smaller than they."""
SLOW = 0.1
"""A step in which states change by less than this, relatively, is held back by stability."""
SOON = 1e-3
"""A state at 0 is compared with what it will be after this share of the piece."""


def advance(lanes: Any, x: Any) -> float:
    """Make a step; return the lanes to look after, as the function of the explicit method does."""
    for i in range(N):
        x[SERIES + i] = x[U1 + i]
        x[PEAK + i] = max(x[PEAK + i], abs(x[U1 + i]))
    t = lanes[FROM]
    end = lanes[STOP]
    series(t, lanes[MIDDLE], x)
    soon = SOON * (end - t)
    first = 0.0
    before = 0.0
    last = 0.0
    for i in range(N):
        least = x[FLOORS + i]
        least = least if least > 0.0 else PEAK_SHARE * x[PEAK + i]
        size = max(abs(x[SERIES + i]), least)
        rise = abs(x[SERIES + 2 * N + i]) + soon * abs(x[SERIES + 3 * N + i])
        rise = soon * (abs(x[SERIES + N + i]) + soon * rise)
        size = size if size > 0.0 else rise
        best = 1.0 / max(size, TINY)
        share = best * x[SERIES + N + i]
        first += share * share
        share = best * x[SERIES + (TERMS - 1) * N + i]
        before += share * share
        share = best * x[SERIES + TERMS * N + i]
        last += share * share
    allowed = 1.0 / (WIDER * lanes[ACCURACY])
    allowed = allowed * allowed / N
    h = rough_power(allowed * last, -0.5 / TERMS)
    h = min(h, rough_power(allowed * before, -0.5 / (TERMS - 1)))
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


def between(lanes: Any, x: Any) -> None:
    """Write the states at the times of the next samples, within the last step, to AT."""
    along(lanes[SAMPLE] - lanes[TIME], x)
