"""Functions that generated code needs and Python's math module lacks."""

from __future__ import annotations

import math

from numba import njit

_LOG_ROOT_TWO_PI = 0.9189385332046727
_ROOT_HALF = 0.7071067811865476


@njit(error_model="numpy")
def log_ndtr(x: float) -> float:
    """Return ln of the standard normal probability below `x`.

    Through the complementary error function; far below 0, where that underflows, by the
    asymptotic series (Abramowitz and Stegun 26.2.12), whose error there is below 1e-15.
    """
    if x > -30.0:
        if x > 0.0:
            return math.log1p(-0.5 * math.erfc(x * _ROOT_HALF))
        return math.log(0.5 * math.erfc(-x * _ROOT_HALF))
    y = 1.0 / (x * x)
    series = 1.0 - y * (1.0 - 3.0 * y * (1.0 - 5.0 * y * (1.0 - 7.0 * y)))
    return -0.5 * x * x - math.log(-x) - _LOG_ROOT_TWO_PI + math.log(series)


@njit(error_model="numpy")
def mills(x: float) -> float:
    """Return the standard normal density at `x` over the probability below: the slope of ln."""
    if x > -30.0:
        density = math.exp(-0.5 * x * x - _LOG_ROOT_TWO_PI)
        return density / (0.5 * math.erfc(-x * _ROOT_HALF))
    y = 1.0 / (x * x)
    return -x / (1.0 - y * (1.0 - 3.0 * y * (1.0 - 5.0 * y * (1.0 - 7.0 * y))))
