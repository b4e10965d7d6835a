"""One step of several patients in lock-step, a lane each; what is read here is not run by Python.

:mod:`cart_pkpd._engine.widening` translates these functions, with those of the explicit method and
of the error that they call, so that every number is one per lane: `x` holds a solve's places and
``lanes`` the places below, each as many numbers wide as there are lanes. A condition chooses in
each lane. All that a lane computes depends on its own numbers alone. From one step to the next,
states and slopes wait in U1 and U2, which the explicit method does not use.

What happens between two pieces is the business of :mod:`cart_pkpd._engine.lanes`.
"""

from __future__ import annotations

import math
from typing import Any

from cart_pkpd._engine.equations import (
    K1,
    K6,
    K7,
    LEVELS,
    NEW,
    PEAK,
    SIZE,
    U1,
    U2,
    WORK,
    Z,
    observe,
)
from cart_pkpd._engine.explicit import STABLE, explicit_interpolate, explicit_step
from cart_pkpd._engine.patient import LEAST, MOST, SAFETY, STIFF_STEPS, spread, step_error

TIME, H, STOP, MIDDLE = 0, 1, 2, 3
"""Begin and length of a step, end of the piece, and a time within it."""
FROM, NEXT, LIMIT, HELD = 4, 5, 6, 7
"""Begin and length of the step after, the most that it grows by, steps held back by stability."""
COUNT, BOUND, ACCURACY, SHORTEST = 8, 9, 10, 11
"""Steps of the patient and the most of them, relative tolerance, shortest step."""
SAMPLE, LOST = 12, 13
"""The next sample before the end of the piece; and 1 where this is no work for lanes: the equations
are stiff, or there is no solution."""
SLOTS = 14

MILD = 200.0
"""More steps than this held back by stability are left to the implicit method.

One of the explicit method costs a lane about a twentieth of an implicit one.
"""

LOG2E, SHIFT = 1.4426950408889634, 6755399441055744.0
"""1.5 · 2^52: adding and taking it away rounds to whole numbers."""
LN2_HIGH, LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
"""ln 2 in two parts, of which the first times a whole number below 2^20 is exact."""
ROOT_2 = 1.4142135623730951
SMALLEST, LARGEST = -708.0, 709.782712893384
"""Where exp is taken as 0, and beyond which it is infinite."""


def advance(lanes: Any, x: Any) -> float:
    """Go on where the last step was good, and make a step; return the lanes to look after.

    As bits of a whole number: first those with a sample in the step, then, after as many bits as
    there are lanes, those at the end of their piece and lost ones.
    """
    go_on(lanes, x)
    t = lanes[TIME]
    h = lanes[H]
    end = lanes[STOP]
    final = end <= t + 1.001 * h
    step = end - t if final else h
    explicit_step(t, lanes[MIDDLE], step, x)
    error = step_error(x, lanes[ACCURACY])
    good = error <= 1.0
    last = good and final
    grown = step * min(lanes[LIMIT], max(LEAST, SAFETY * rough_power(error, -0.2)))
    apart = STABLE * spread(NEW, WORK, x)
    turned = step * spread(K7, K6, x)
    held = lanes[HELD] if 0.5 * apart <= turned else 0.0
    held = held + 1.0 if apart < turned else held
    arrived = t + step
    stiff = held >= STIFF_STEPS and MILD * step < end - arrived
    lost = stiff or not lanes[SHORTEST] <= step or lanes[BOUND] <= lanes[COUNT]
    lanes[LOST] = 1.0 if lost else 0.0
    lanes[FROM] = arrived if good else t
    lanes[NEXT] = max(grown, h) if last else grown
    lanes[LIMIT] = MOST if good else 1.0
    lanes[HELD] = held
    lanes[COUNT] = lanes[COUNT] + 1.0
    lanes[H] = step
    for i in range(SIZE):
        x[U1 + i] = x[NEW + i] if good else x[Z + i]
        x[U2 + i] = x[K7 + i] if good else x[K1 + i]
    showing = good and lanes[SAMPLE] <= arrived and not lost
    return bits(showing, lost or last)


def go_on(lanes: Any, x: Any) -> None:
    """Begin where the last step ended, or, if it was not good, where that began."""
    for i in range(SIZE):
        x[PEAK + i] = max(x[PEAK + i], abs(x[U1 + i]))
        x[Z + i] = x[U1 + i]
        x[K1 + i] = x[U2 + i]
    lanes[TIME] = lanes[FROM]
    lanes[H] = lanes[NEXT]


def between(lanes: Any, x: Any) -> None:
    """Write the states at the times of the next samples, within the last step, to AT."""
    explicit_interpolate((lanes[SAMPLE] - lanes[TIME]) / lanes[H], lanes[H], x)


def show(endpoint: int, lanes: Any, x: Any) -> None:
    """Write the levels of an endpoint at the times of the next samples, for the states in AT."""
    x[LEVELS + endpoint] = observe(endpoint, lanes[SAMPLE], lanes[MIDDLE], x)


def exp(v: float) -> float:
    """Return e^v to 1.5 units in the last place; below SMALLEST 0.

    The series to degree 13 of what is left of `v` after a multiple of ln 2: an error below 5e-18.
    """
    shifted = v * LOG2E + SHIFT
    k = shifted - SHIFT
    r = (v - k * LN2_HIGH) - k * LN2_LOW
    r2 = r * r
    r4 = r2 * r2
    low = (1.0 / 2.0 + r * (1.0 / 6.0)) + r2 * (1.0 / 24.0 + r * (1.0 / 120.0))
    middle = (1.0 / 720.0 + r * (1.0 / 5040.0)) + r2 * (1.0 / 40320.0 + r * (1.0 / 362880.0))
    high = (1.0 / 3628800.0 + r * (1.0 / 39916800.0)) + r2 * (
        1.0 / 479001600.0 + r * (1.0 / 6227020800.0)
    )
    found = times_power_of_2(1.0 + (r + r2 * (low + r4 * (middle + r4 * high))), shifted)
    found = 0.0 if v < SMALLEST else found
    found = math.inf if v > LARGEST else found
    return found if v == v else v


def log(v: float) -> float:
    """Return ln v to 2 units in the last place.

    With v = 2^k (1 + f) and s = f / (2 + f): ln(1 + f) = 2 (s + s³/3 + s⁵/5 + …), of which the
    first terms are written as f - f²/2 and what is left; |s| < 0.172, an error below 3e-18.
    """
    tiny = v < 2.2250738585072014e-308
    scaled = v * 18014398509481984.0 if tiny else v
    k = exponent(scaled) - (54.0 if tiny else 0.0)
    f = fraction(scaled) - 1.0
    s = f / (2.0 + f)
    w = s * s
    w2 = w * w
    w4 = w2 * w2
    low = (2.0 / 3.0 + w * (2.0 / 5.0)) + w2 * (2.0 / 7.0 + w * (2.0 / 9.0))
    high = (2.0 / 11.0 + w * (2.0 / 13.0)) + w2 * (2.0 / 15.0 + w * (2.0 / 17.0))
    rest = w * (low + w4 * (high + w4 * (2.0 / 19.0 + w * (2.0 / 21.0))))
    half = 0.5 * f * f
    found = k * LN2_HIGH - ((half - (s * (half + rest) + k * LN2_LOW)) - f)
    found = v if v == math.inf else found
    found = -math.inf if v == 0.0 else found
    return found if v >= 0.0 else math.nan


def pow(base: float, power: float) -> float:
    """Return a power, to a relative 2.3e-16 times 2 plus its logarithm's size."""
    found = exp(power * log(abs(base)))
    whole = abs(power) < 4503599627370496.0 and whole_part(power) == power
    even = whole_part(0.5 * power) == 0.5 * power
    signed = (found if even else -found) if whole else math.nan
    found = signed if base < 0.0 else found
    found = 1.0 if power == 0.0 else found
    return found if base == base and power == power else math.nan


def rough_power(base: float, power: float) -> float:
    """Return a power of a positive number to a relative 1e-4 at least, for lengths of steps."""
    return rough_exp2(power * rough_log2(base))


def rough_log2(v: float) -> float:
    """Return the logarithm of a positive number to base 2, to 1e-5 at least."""
    f = fraction(v) - 1.0
    s = f * rough_inverse(2.0 + f)
    w = s * s
    return exponent(v) + LOG2E * s * (2.0 + w * (2.0 / 3.0 + w * (2.0 / 5.0)))


def rough_exp2(v: float) -> float:
    """Return a power of 2 to a relative 1e-4 at least; its exponent counts within ±1000."""
    k = min(max(v, -1000.0), 1000.0)
    shifted = k + SHIFT
    r = (k - (shifted - SHIFT)) / LOG2E
    r2 = r * r
    found = (1.0 + r) + r2 * ((1.0 / 2.0 + r * (1.0 / 6.0)) + r2 * (1.0 / 24.0))
    return times_power_of_2(found, shifted)


def rough_inverse(v: float) -> float:
    """Return one over a positive number between 1e-300 and 1e300 to a relative 1e-5.

    From a guess to 5 %, by two of Newton's steps: a division takes as long as all of this.
    """
    guess = inverse_guess(v)
    guess = guess * (2.0 - v * guess)
    return guess * (2.0 - v * guess)


def whole_part(v: float) -> float:
    """Return the nearest whole number."""
    return (v + SHIFT) - SHIFT


# --- what translation writes itself, for one number ----------------------------------------------


def bits(first: bool, second: bool) -> float:
    """Return in which lanes two conditions hold, as bits of a whole number."""
    return float(first + 2 * second)


def times_power_of_2(v: float, shifted: float) -> float:
    """Return `v` times a power of 2 of which SHIFT more is given; the result is normal."""
    return math.ldexp(v, int(shifted - SHIFT))


def inverse_guess(v: float) -> float:
    """Return nearly one over a positive number."""
    return 1.0 / v


def exponent(v: float) -> float:
    """Return the power of 2 by which a normal number is divided for its `fraction`."""
    return float(math.frexp(v * ROOT_2)[1] - 1)


def fraction(v: float) -> float:
    """Return a positive normal number times the power of 2 that brings it to [√½, √2)."""
    return math.ldexp(v, -int(exponent(v)))
