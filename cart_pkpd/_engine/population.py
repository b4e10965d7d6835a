"""The hierarchical part of a posterior, compiled once for all models.

A point of the sampler is one vector without bounds: first every population quantity, then k
individual values for each parameter that varies between patients. :func:`assemble` turns it
into the patients' parameters and the log prior; :func:`pull_back` turns the likelihood's
derivatives by those parameters into derivatives by the point. Between the two stands the
model's own kernel.

What the vectors mean is said by the arrays of a layout (see
:class:`cart_pkpd._fit.posterior.Posterior`): nothing has to be compiled for a new model,
population or prior.
"""

from __future__ import annotations

import math
from typing import Any

from numba import njit

from cart_pkpd._engine.forms import (
    ABOVE,
    BELOW,
    BETA,
    BETWEEN,
    BLOCK_CENTRED,
    BLOCK_DEVIATION,
    CENTRED,
    DEVIATION,
    GAMMA,
    LOG,
    LOG_NORMAL,
    LOGIT,
    LOGIT_NORMAL,
    MIXTURE,
    NORMAL,
    NOWHERE,
    STUDENT,
    UNBOUNDED,
)

_LOG_ROOT = 0.9189385332046727


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def softplus(u: float) -> float:
    """Return ``log(1 + exp(u))``."""
    return u + math.log1p(math.exp(-u)) if u > 0.0 else math.log1p(math.exp(u))


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def natural_value(kind: int, low: float, high: float, u: float) -> tuple[float, float, float]:
    """Return the natural value of `u`, its derivative, and ln of the derivative's size."""
    if kind == ABOVE:
        return low + math.exp(u), math.exp(u), u
    if kind == BELOW:
        return high - math.exp(u), -math.exp(u), u
    if kind == BETWEEN:
        share = 1.0 / (1.0 + math.exp(-u))
        slope = (high - low) * share / (1.0 + math.exp(u))
        return low + (high - low) * share, slope, math.log(high - low) - softplus(u) - softplus(-u)
    return u, 1.0, 0.0


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def jacobian_slope(kind: int, u: float) -> float:
    """Return the derivative by `u` of ln of the natural value's derivative."""
    if kind in (ABOVE, BELOW):
        return 1.0
    if kind == BETWEEN:
        return 1.0 - 2.0 / (1.0 + math.exp(-u))
    return 0.0


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def log_density(form: int, a: float, b: float, c: float, v: float) -> tuple[float, float]:
    """Return ln of a prior's density at `v`, without its constant, and its derivative."""
    if form == NORMAL:
        z = (v - a) / b
        return -0.5 * z * z, -z / b
    if form == LOG_NORMAL:
        z = (math.log(v) - a) / b
        return -0.5 * z * z - math.log(v), -(z / b + 1.0) / v
    if form == LOGIT_NORMAL:
        z = (math.log(v) - math.log1p(-v) - a) / b
        return (
            -0.5 * z * z - math.log(v) - math.log1p(-v),
            -z / (b * v * (1.0 - v)) - 1.0 / v + 1.0 / (1.0 - v),
        )
    if form == STUDENT:
        z = (v - a) / b
        return -0.5 * (c + 1.0) * math.log1p(z * z / c), -(c + 1.0) * z / (b * (c + z * z))
    if form == GAMMA:
        return (a - 1.0) * math.log(v) - b * v, (a - 1.0) / v - b
    if form == BETA:
        return (
            (a - 1.0) * math.log(v) + (b - 1.0) * math.log1p(-v),
            (a - 1.0) / v - (b - 1.0) / (1.0 - v),
        )
    return 0.0, 0.0


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def on_unit_interval(form: int, a: float, b: float, u: float) -> tuple[float, float]:
    """Return ln density of ``expit(u)`` as a density of `u`, and its derivative.

    From `u` itself: near 1 the value has lost the digits that tell it from 1.
    """
    if form == BETA:  # of the share of any interval: constants apart, the same
        share, rest = 1.0 / (1.0 + math.exp(-u)), 1.0 / (1.0 + math.exp(u))
        return -a * softplus(-u) - b * softplus(u), a * rest - b * share
    z = (u - a) / b
    return -0.5 * z * z, -z / b


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def free_value(scale: int, v: float) -> tuple[float, float]:
    """Return a natural value on the free scale, and the derivative."""
    if scale == LOG:
        return math.log(v), 1.0 / v
    if scale == LOGIT:
        return math.log(v) - math.log1p(-v), 1.0 / (v * (1.0 - v))
    return v, 1.0


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def same_scale(kind: int, low: float, high: float, scale: int) -> bool:
    """Return True if the sampler moves a parameter on its own free scale."""
    if scale == LOG:
        return kind == ABOVE and low == 0.0
    if scale == LOGIT:
        return kind == BETWEEN and low == 0.0 and high == 1.0
    return kind == UNBOUNDED


@njit(cache=True, nogil=True, error_model="numpy")
def assemble(
    x: Any,
    kinds: Any,
    bounds: Any,
    forms: Any,
    numbers: Any,
    typical: Any,
    scales: Any,
    varying: Any,
    effects: Any,
    columns: Any,
    residual: Any,
    mixture: Any,
    free: Any,
    sigmas: Any,
    values: Any,
    slopes: Any,
    mean_slope: Any,
    gradient: Any,
) -> float:
    """Write the patients' parameters for the point `x`; return the log prior.

    Parameters
    ----------
    x : ndarray, shape (d,)
        The point.
    kinds, forms : ndarray of int, shape (q,)
        Transformation and prior form of each population quantity.
    bounds : ndarray, shape (q, 2)
        Its bounds.
    numbers : ndarray, shape (q, 4)
        The prior's three numbers and its constant.
    typical, scales : ndarray of int, shape (m,)
        Quantity that is the typical value of each model parameter, or NOWHERE, and the free
        scale.
    varying : ndarray of int, shape (r, 3)
        Model parameter, quantity that is its omega, and way of sampling.
    effects : ndarray of int, shape (e, 2)
        Model parameter and quantity that is the coefficient.
    columns : ndarray, shape (e, k)
        Covariate of each patient.
    residual : ndarray of int, shape (s,)
        Quantities that are residual parameters.
    mixture : ndarray of int, shape (2,)
        Quantities that are the share and distance of the lower part.
    free, sigmas, values, slopes, mean_slope, gradient : ndarray
        Written: parameters (k, m) on the free scale, residual parameters (s,), natural values
        (q,) and their derivatives (q,), derivative of the log prior by the patients' means
        (k, m), and by the point (d,).
    """
    n_quantities, (k, m) = kinds.size, free.shape
    total = 0.0
    for q in range(n_quantities):
        value, slope, ln_slope = natural_value(kinds[q], bounds[q, 0], bounds[q, 1], x[q])
        values[q], slopes[q] = value, slope
        if forms[q] in (BETA, LOGIT_NORMAL) and kinds[q] == BETWEEN:
            density, gradient[q] = on_unit_interval(forms[q], numbers[q, 0], numbers[q, 1], x[q])
            total += density + numbers[q, 3]
            continue
        density, by_value = log_density(
            forms[q], numbers[q, 0], numbers[q, 1], numbers[q, 2], value
        )
        total += density + numbers[q, 3] + ln_slope
        gradient[q] = by_value * slope + jacobian_slope(kinds[q], x[q])
    for s in range(residual.size):
        sigmas[s] = values[residual[s]]
    for j in range(m):
        q, mean = typical[j], 0.0
        if q != NOWHERE:
            mean = x[q]
            if not same_scale(kinds[q], bounds[q, 0], bounds[q, 1], scales[j]):
                mean, by_value = free_value(scales[j], values[q])
        for i in range(k):
            free[i, j] = mean
            mean_slope[i, j] = 0.0
    for e in range(effects.shape[0]):
        for i in range(k):
            free[i, effects[e, 0]] += values[effects[e, 1]] * columns[e, i]
    for r in range(varying.shape[0]):
        j, q, way = varying[r, 0], varying[r, 1], varying[r, 2]
        if way in (BLOCK_DEVIATION, BLOCK_CENTRED):
            continue
        omega, start = values[q], n_quantities + r * k
        ln_omega, by_omega = math.log(omega), 0.0
        if way == DEVIATION:
            for i in range(k):
                z = x[start + i]
                total -= 0.5 * z * z + _LOG_ROOT
                gradient[start + i] = -z
                free[i, j] += omega * z
            continue
        share, apart = 0.0, 0.0
        if way == MIXTURE:
            share, apart = values[mixture[0]], values[mixture[1]]
        by_share, by_apart = 0.0, 0.0
        for i in range(k):
            own = x[start + i]
            z = (own - free[i, j]) / omega
            upper = -0.5 * z * z - _LOG_ROOT - ln_omega
            if way == CENTRED:
                total += upper
                by_z, by_omega = -z, by_omega + z * z
            else:
                low = (own - free[i, j] + apart) / omega
                lower = -0.5 * low * low - _LOG_ROOT - ln_omega
                a, b = math.log1p(-share) + upper, math.log(share) + lower
                top = max(a, b)
                density = top + math.log(math.exp(a - top) + math.exp(b - top))
                total += density
                weight = math.exp(b - density)
                by_z = -(1.0 - weight) * z - weight * low
                by_omega += (1.0 - weight) * z * z + weight * low * low
                by_share += weight / share - (1.0 - weight) / (1.0 - share)
                by_apart -= weight * low / omega
            gradient[start + i] = by_z / omega
            mean_slope[i, j] -= by_z / omega
            free[i, j] = own
        gradient[q] += (by_omega - k) / omega * slopes[q]
        if way == MIXTURE:
            gradient[mixture[0]] += by_share * slopes[mixture[0]]
            gradient[mixture[1]] += by_apart * slopes[mixture[1]]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def pull_back(
    x: Any,
    kinds: Any,
    bounds: Any,
    typical: Any,
    scales: Any,
    varying: Any,
    effects: Any,
    columns: Any,
    residual: Any,
    values: Any,
    slopes: Any,
    mean_slope: Any,
    loglik: Any,
    free_slope: Any,
    sigma_slope: Any,
    gradient: Any,
) -> float:
    """Add the likelihood's derivatives to the gradient; return the log-likelihood.

    Parameters
    ----------
    loglik : ndarray, shape (k,)
        Log-likelihood of each patient.
    free_slope, sigma_slope : ndarray, shape (k, m), (k, s)
        Its derivatives by the patients' free parameters and by the residual parameters.
    x, kinds, bounds, typical, scales, varying, effects, columns, residual
        As in :func:`assemble`.
    values, slopes, mean_slope, gradient : ndarray
        What :func:`assemble` wrote.
    """
    n_quantities, (k, m) = kinds.size, mean_slope.shape
    total = 0.0
    for i in range(k):
        total += loglik[i]
    for j in range(m):
        for i in range(k):
            mean_slope[i, j] += free_slope[i, j]
    for r in range(varying.shape[0]):
        j, q, way = varying[r, 0], varying[r, 1], varying[r, 2]
        if way in (BLOCK_DEVIATION, BLOCK_CENTRED):
            continue
        omega, start, by_omega = values[q], n_quantities + r * k, 0.0
        for i in range(k):
            if way == DEVIATION:
                gradient[start + i] += omega * free_slope[i, j]
                by_omega += x[start + i] * free_slope[i, j]
            else:
                gradient[start + i] += free_slope[i, j]
                mean_slope[i, j] -= free_slope[i, j]
        gradient[q] += by_omega * slopes[q]
    for e in range(effects.shape[0]):
        j, q, by_effect = effects[e, 0], effects[e, 1], 0.0
        for i in range(k):
            by_effect += mean_slope[i, j] * columns[e, i]
        gradient[q] += by_effect * slopes[q]
    for j in range(m):
        q, by_mean = typical[j], 0.0
        if q == NOWHERE:
            continue
        for i in range(k):
            by_mean += mean_slope[i, j]
        if not same_scale(kinds[q], bounds[q, 0], bounds[q, 1], scales[j]):
            _, by_value = free_value(scales[j], values[q])
            by_mean *= by_value * slopes[q]
        gradient[q] += by_mean
    for s in range(residual.size):
        by_sigma = 0.0
        for i in range(k):
            by_sigma += sigma_slope[i, s]
        gradient[residual[s]] += by_sigma * slopes[residual[s]]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def assemble_blocks(
    x: Any,
    n_quantities: int,
    varying: Any,
    pairs: Any,
    values: Any,
    free: Any,
    factor: Any,
    white: Any,
) -> float:
    """Write the correlated parameters of patients; return ln density of what is sampled of them.

    With L the Cholesky factor of the correlations, deviation a of a patient is omega_a sum_b L_ab
    w_b over effects b up to a of its block, w standard normal. Sampled is either w_a (deviation),
    or the parameter itself (centred), whose w_a then follows from the earlier ones: a conditional
    normal. So each parameter of a block is sampled in the way that suits it.

    Parameters
    ----------
    pairs : ndarray of int, shape (r, r)
        Quantity that is the canonical partial correlation of an effect and an earlier one; -1
        for none.
    factor, white : ndarray, shape (r, r), (k, r)
        Written: Cholesky factor of the correlations, and the standard normal w.
    x, varying, values, free
        As in :func:`assemble`, after it.
    """
    n, k = varying.shape[0], free.shape[0]
    total = 0.0
    for r in range(n):
        left = 1.0
        for b in range(r):
            factor[r, b] = 0.0
            if pairs[r, b] >= 0:
                z = values[pairs[r, b]]
                factor[r, b] = z * math.sqrt(left)
                left *= (1.0 - z) * (1.0 + z)
        factor[r, r] = math.sqrt(left)
        j, q, way = varying[r, 0], varying[r, 1], varying[r, 2]
        if way not in (BLOCK_DEVIATION, BLOCK_CENTRED):
            continue
        omega, start, own = values[q], n_quantities + r * k, factor[r, r]
        for i in range(k):
            given = 0.0
            for b in range(r):
                if pairs[r, b] >= 0:
                    given += factor[r, b] * white[i, b]
            if way == BLOCK_DEVIATION:
                w = x[start + i]
                free[i, j] += omega * (given + own * w)
            else:
                w = ((x[start + i] - free[i, j]) / omega - given) / own
                free[i, j] = x[start + i]
                total -= math.log(omega) + math.log(own)
            white[i, r] = w
            total -= 0.5 * w * w + _LOG_ROOT
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def pull_back_blocks(
    n_quantities: int,
    varying: Any,
    pairs: Any,
    values: Any,
    slopes: Any,
    factor: Any,
    white: Any,
    free_slope: Any,
    mean_slope: Any,
    by_factor: Any,
    by_white: Any,
    gradient: Any,
) -> None:
    """Add what correlated parameters contribute to the gradient, to be called before pull_back.

    Parameters
    ----------
    by_factor, by_white : ndarray, shape (r, r), (r,)
        Room to work in.
    free_slope, mean_slope, gradient
        As in :func:`pull_back`; derivatives by means are those beside the likelihood's own.
    n_quantities, varying, pairs, values, slopes, factor, white
        What :func:`assemble_blocks` took and wrote.
    """
    n, k = varying.shape[0], free_slope.shape[0]
    for r in range(n):
        for b in range(n):
            by_factor[r, b] = 0.0
    for i in range(k):
        for r in range(n):
            by_white[r] = -white[i, r]
        for r in range(n - 1, -1, -1):
            j, q, way = varying[r, 0], varying[r, 1], varying[r, 2]
            if way not in (BLOCK_DEVIATION, BLOCK_CENTRED):
                continue
            omega, own, place = values[q], factor[r, r], n_quantities + r * k + i
            deviation = own * white[i, r]
            for b in range(r):
                if pairs[r, b] >= 0:
                    deviation += factor[r, b] * white[i, b]
            if way == BLOCK_DEVIATION:
                by_deviation = omega * free_slope[i, j]
                by_white[r] += by_deviation * own
                gradient[place] = by_white[r]
                gradient[q] += deviation * free_slope[i, j] * slopes[q]
                along = by_deviation
            else:
                by_deviation = by_white[r] / own
                gradient[place] = free_slope[i, j] + by_deviation / omega
                mean_slope[i, j] -= free_slope[i, j] + by_deviation / omega
                gradient[q] -= (deviation * by_deviation + 1.0) / omega * slopes[q]
                by_factor[r, r] -= 1.0 / own
                along = -by_deviation
            by_factor[r, r] += along * white[i, r]
            for b in range(r):
                if pairs[r, b] >= 0:
                    by_factor[r, b] += along * white[i, b]
                    by_white[b] += along * factor[r, b]
    for r in range(n):
        by_left = by_factor[r, r]  # by the root of what is left of the effect's variance
        left = factor[r, r]
        for b in range(r - 1, -1, -1):
            q = pairs[r, b]
            if q >= 0:
                z = values[q]
                root = math.sqrt((1.0 - z) * (1.0 + z))
                left /= root
                gradient[q] += (by_factor[r, b] - by_left * z / root) * left * slopes[q]
                by_left = by_factor[r, b] * z + by_left * root
