"""Log-likelihoods with slopes, compiled: what a sampler calls thousands of times.

The same formulas as in ``likelihood``, patient by patient; compiled once per machine and kept on
disk by Numba, whatever the layer. ``theta`` holds the natural values of one part's quantities in
their order, ``slopes`` receives the derivatives by them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from cart_pkpd._crs.integral import SMALL
from cart_pkpd._engine import forms

_NORMAL, _LOG_NORMAL, _STUDENT = forms.NORMAL, forms.LOG_NORMAL, forms.STUDENT
_compiled = njit(cache=True, nogil=True, error_model="numpy")


@_compiled
def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@_compiled
def _expit(x: float) -> float:
    if x >= 0:
        return 1.0 / (1.0 + math.exp(-x))
    e = math.exp(x)
    return e / (1.0 + e)


@_compiled
def occurrence(theta: Any, x: Any, y: Any, slopes: Any) -> float:
    """Return the log-likelihood of a logistic regression; theta is intercept, coefficients."""
    slopes[:] = 0.0
    total = 0.0
    n, p = x.shape
    for i in range(n):
        eta = theta[0]
        for j in range(p):
            eta += theta[1 + j] * x[i, j]
        total += y[i] * eta - _softplus(eta)
        by_eta = y[i] - _expit(eta)
        slopes[0] += by_eta
        for j in range(p):
            slopes[1 + j] += by_eta * x[i, j]
    return total


@_compiled
def grade(theta: Any, k: int, x: Any, category: Any, slopes: Any) -> float:
    """Return the log-likelihood of cumulative logits.

    Theta is the first intercept, k − 1 steps, coefficients; categories run from 0 to k.
    """
    slopes[:] = 0.0
    total = 0.0
    n, p = x.shape
    a = np.empty(k)
    a[0] = theta[0]
    for j in range(1, k):
        a[j] = a[j - 1] - theta[j]
    by_a = np.zeros(k)
    for i in range(n):
        c = category[i]
        eta = 0.0
        for j in range(p):
            eta += theta[k + j] * x[i, j]
        by_eta = 0.0
        if c > 0:
            u = a[c - 1] + eta
            total -= _softplus(-u)
            by_a[c - 1] += _expit(-u)
            by_eta += _expit(-u)
        if c < k:
            v = a[c] + eta
            total -= _softplus(v)
            by_a[c] -= _expit(v)
            by_eta -= _expit(v)
        if 0 < c < k:
            gap = theta[c]
            total += math.log(-math.expm1(-gap))
            step = 1.0 / math.expm1(gap)
            by_a[c - 1] += step
            by_a[c] -= step
        for j in range(p):
            slopes[k + j] += by_eta * x[i, j]
    below = 0.0
    for j in range(k - 1, -1, -1):
        below += by_a[j]
        slopes[j] = below if j == 0 else -below
    return total


@_compiled
def _integral(ln_h0: float, theta: Any, time: Any, x: Any, out: Any) -> float:
    """Return the integral of the hazard; `out` receives its slopes by ln h0 and coefficients."""
    out[:] = 0.0
    p = x.shape[1]
    total, left, low = 0.0, 0.0, 0.0
    fresh = True
    for g in range(time.size - 1):
        width = time[g + 1] - time[g]
        if width <= 0.0:
            fresh = True
            continue
        if fresh:
            left = ln_h0
            for j in range(p):
                left += theta[1 + j] * x[g, j]
            low = math.exp(left)
            fresh = False
        right = ln_h0
        for j in range(p):
            right += theta[1 + j] * x[g + 1, j]
        high = math.exp(right)
        d = right - left
        if abs(d) < SMALL:
            u = d / 2.0
            middle = math.exp((left + right) / 2.0)
            s = 1.0 + u * u / 6.0 + u**4 / 120.0
            ds = u / 3.0 + u**3 / 30.0
            mean, by_left, by_right = middle * s, middle * (s - ds) / 2.0, middle * (s + ds) / 2.0
        else:
            mean = (high - low) / d
            by_left, by_right = (mean - low) / d, (high - mean) / d
        total += width * mean
        for j in range(p):
            out[1 + j] += width * (by_left * x[g, j] + by_right * x[g + 1, j])
        left, low = right, high
    out[0] = total
    return total


@_compiled
def onset(
    theta: Any, time: Any, x: Any, known: Any, unknown: Any, given: bool, window_time: Any,
    window_x: Any, slopes: Any,
) -> float:  # fmt: skip
    """Return the log-likelihood of times to onset; theta is h0, coefficients.

    `given` says that only patients whose onset lies in the window are spoken of.
    """
    slopes[:] = 0.0
    n, p = x.shape[0], x.shape[2]
    out = np.empty(1 + p)
    ln_h0, total = math.log(theta[0]), 0.0
    for i in range(n):
        whole = _integral(ln_h0, theta, time[i], x[i], out)
        factor = -1.0
        if unknown[i]:
            total += math.log(-math.expm1(-whole))
            factor = 1.0 / math.expm1(whole)
        else:
            total -= whole
        slopes += factor * out
        if known[i]:
            total += ln_h0
            slopes[0] += 1.0
            for j in range(p):
                total += theta[1 + j] * x[i, -1, j]
                slopes[1 + j] += x[i, -1, j]
        if given:
            whole = _integral(ln_h0, theta, window_time[i], window_x[i], out)
            total -= math.log(-math.expm1(-whole))
            slopes -= out / math.expm1(whole)
    slopes[0] /= theta[0]
    return total


@_compiled
def log_prior(form: int, a: float, b: float, c: float, v: float) -> tuple[float, float]:
    """Return the log density of a prior without its constant, and its slope."""
    if form == _NORMAL:
        z = (v - a) / b
        return -z * z / 2.0, -z / b
    if form == _LOG_NORMAL:
        z = (math.log(v) - a) / b
        return -z * z / 2.0 - math.log(v), -(z / b + 1.0) / v
    if form == _STUDENT:
        z = (v - a) / b
        return -(c + 1.0) / 2.0 * math.log1p(z * z / c), -(c + 1.0) * z / (c + z * z) / b
    return (a - 1.0) * math.log(v) - b * v, (a - 1.0) / v - b  # gamma


@_compiled
def add_priors(kinds: Any, numbers: Any, positive: Any, point: Any, gradient: Any) -> float:
    """Return the log prior on the free scale; `gradient`, by natural values, becomes that of all.

    Numbers are a, b, c and the constant of each quantity's density.
    """
    total = 0.0
    for i in range(point.size):
        v = math.exp(point[i]) if positive[i] else point[i]
        value, slope = log_prior(kinds[i], numbers[i, 0], numbers[i, 1], numbers[i, 2], v)
        total += numbers[i, 3] + value
        gradient[i] += slope
        if positive[i]:
            total += point[i]
            gradient[i] = gradient[i] * v + 1.0
    return total
