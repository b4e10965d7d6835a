"""Several records of one patient side by side, a lane each; what is read here is not run by Python.

For models without differential equations. :mod:`cart_pkpd._engine.recording` translates these
functions with a model's own, so that every number is one per lane: `x` holds a solve's places and
``lanes`` the places below, each as many numbers wide as there are lanes.

Who gives the lanes their records, and adds them up, is :mod:`cart_pkpd._engine.records`.
"""

from __future__ import annotations

import math
from typing import Any

from cart_pkpd._engine.equations import COLUMN, SIGMA, M, S, observe, record
from cart_pkpd._engine.wide import exp, log

WHEN, DV, LOW, LN_DV, LN_LOW, CODE = 0, 1, 2, 3, 4, 5
"""Time, value and lower limit of a record with their logarithms, and kind of censoring; a kind
below 0 is no record."""
GIVEN_OF_A_RECORD = 6
LEVEL, SLOPE_BY_LEVEL, LOST = 6, 7, 8
"""The level, the slope of ln likelihood by it, and 1 where a level was not a number."""
LN, SUMS = 9, 10
"""Sums of ln likelihoods, and then of their slopes by parameters and residual parameters."""

LOG_ROOT_TWO_PI = 0.9189385332046727
MIDDLE = 5.0


def level(endpoint: int, lanes: Any, x: Any) -> None:
    """Write the level of every lane's record; its derivatives lie in COLUMN."""
    found = observe(endpoint, lanes[WHEN], lanes[WHEN], x)
    lanes[LEVEL] = found
    lanes[SLOPE_BY_LEVEL] = 0.0
    lanes[LOST] = lanes[LOST] if found == found else 1.0


def weighed(endpoint: int, code: int, lanes: Any, sigmas: Any, x: Any) -> None:
    """Add the ln likelihood of the lanes whose records are of one kind of censoring."""
    for i in range(S):
        x[SIGMA + i] = 0.0
    value, by_level = record(
        endpoint, code, lanes[DV], lanes[LOW], lanes[LN_DV], lanes[LN_LOW], lanes[LEVEL], sigmas, x
    )
    here = lanes[CODE] == 1.0 * code
    lanes[LN] += value if here else 0.0
    lanes[SLOPE_BY_LEVEL] = by_level if here else lanes[SLOPE_BY_LEVEL]
    for i in range(S):
        lanes[SUMS + M + i] += x[SIGMA + i] if here else 0.0


def summed(lanes: Any, x: Any) -> None:
    """Add the slopes by parameters, natural scale."""
    for j in range(M):
        lanes[SUMS + j] += lanes[SLOPE_BY_LEVEL] * x[COLUMN + j]


def log1p(v: float) -> float:
    """Return ln(1 + v): that of the rounded sum, and what rounding took."""
    u = 1.0 + v
    found = log(u) + (v - (u - 1.0)) / u
    found = v if v == math.inf else found
    return -math.inf if u == 0.0 else found


def tail(a: float) -> float:
    """Return the normal probability beyond `a`, at least 0, over the density at `a`.

    To a relative 4e-16. Times ``a + 4/3`` it is smooth in ``t = (a - 5) / (a + 5)`` up to infinity
    (the idea of Shepherd & Laframboise 1981, Mathematics of Computation 36:249-253); the Chebyshev
    series in t to degree 23, computed with 60 digits and written as powers of t.
    """
    t = (a - MIDDLE) / (a + MIDDLE)
    t2 = t * t
    t4 = t2 * t2
    t8 = t4 * t4
    first = (1.2211179965303331 - t * 0.3493524596635171) + t2 * (
        0.17476205409416598 - t * 0.04250975860237654
    )
    second = (-0.02619240773649059 + t * 0.041941730846241754) + t2 * (
        -0.03051391763520236 + t * 0.014360605105887035
    )
    third = (-0.004017846307342999 + t * 0.0001317246819184279) + t2 * (
        0.000406554219236217 - t * 0.00013357106019295495
    )
    fourth = (-1.9254293824869555e-05 + t * 2.16483766572631e-05) + t2 * (
        -7.400171806174499e-07 - t * 3.073852630276305e-06
    )
    fifth = (3.843783034290196e-07 + t * 4.590535706831948e-07) + t2 * (
        -7.448135649855816e-08 - t * 7.256961252701474e-08
    )
    sixth = (1.0272201739197999e-08 + t * 1.0378304125932018e-08) + t2 * (
        -8.125091024822017e-10 - t * 9.045834397480103e-10
    )
    low = first + t4 * second
    middle = third + t4 * fourth
    high = fifth + t4 * sixth
    return (low + t8 * (middle + t8 * high)) / (a + 4.0 / 3.0)


def log_ndtr(v: float) -> float:
    """Return ln of the standard normal probability below `v`."""
    above = v > 0.0
    rest = tail(abs(v))
    density = exp(-0.5 * v * v - LOG_ROOT_TWO_PI)
    found = log1p(-(density * rest) if above else rest - 1.0)
    return found if above else found - (0.5 * v * v + LOG_ROOT_TWO_PI)


def mills(v: float) -> float:
    """Return the standard normal density at `v` over the probability below."""
    above = v > 0.0
    rest = tail(abs(v))
    density = exp(-0.5 * v * v - LOG_ROOT_TWO_PI)
    return (density if above else 1.0) / (1.0 - density * rest if above else rest)
