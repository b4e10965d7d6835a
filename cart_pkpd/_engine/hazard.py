"""The likelihood of times to event whose hazard follows what a model predicts, with its gradient.

Called by :func:`cart_pkpd._engine.density.posterior` between the likelihood of the records and the
pull back to the point, with a table of its own: places 0 to 5 are the addresses of the patients'
free parameters (k, m), the derivatives by them (k, m), the log-likelihoods (k,), the natural values
of the quantities and their derivatives (q,), and the gradient of the point; then k, m, and the
address of the data (see :class:`cart_pkpd._endpoints.joint_posterior.Hazard`).

The model's levels at the nodes of the integral come from its own kernel, called by address: nothing
is compiled for a new model, link or data.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import carray, njit

from cart_pkpd._engine.forms import LOG, LOGIT
from cart_pkpd._engine.symbols import address_of, call_at, integers, pointer_at, release, room

ARRAYS, SCHEDULE = 9, 12
"""Where addresses begin among the data: first of what the hazard reads, then of the schedule."""
OF_LEVEL, OF_CHANGE = -1, -2
"""Links to the ln of the level and of its ratio to the first; others name a parameter."""
_LN_LN2 = -0.36651292058166435


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def naturals(free: Any, scales: Any, given: Any, chain: Any) -> None:
    """Write natural parameters (k, m) and their derivatives by the free ones."""
    for i in range(free.shape[0]):
        for j in range(free.shape[1]):
            u = free[i, j]
            if scales[j] == LOG:
                given[i, j] = math.exp(u)
                chain[i, j] = given[i, j]
            elif scales[j] == LOGIT:
                given[i, j] = 1.0 / (1.0 + math.exp(-u))
                chain[i, j] = given[i, j] / (1.0 + math.exp(u))
            else:
                given[i, j] = u
                chain[i, j] = 1.0


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def to_logs(level: Any, sens: Any, least: float) -> None:
    """Turn levels and their derivatives into those of ln, at least `least`."""
    for o in range(level.size):
        if level[o] > least:
            for j in range(sens.shape[1]):
                sens[o, j] /= level[o]
            level[o] = math.log(level[o])
        elif level[o] == level[o]:
            for j in range(sens.shape[1]):
                sens[o, j] = 0.0
            level[o] = math.log(least)


def hazard(first: int, last: int, table_: Any) -> int:
    """Add log-likelihoods of times and their derivatives to those of the records."""
    t = carray(table_, (9,), np.int64)
    k, m = t[6], t[7]
    a = carray(pointer_at(t[8]), (ARRAYS + 9 + SCHEDULE,), np.int64)
    n, nodes, at, links, terms, kernel, logs, w = a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]
    scales = carray(pointer_at(a[9]), (m,), np.int64)
    rows = carray(pointer_at(a[10]), (n,), np.int64)
    event = carray(pointer_at(a[11]), (n,), np.int64)
    kinds = carray(pointer_at(a[12]), (links,), np.int64)
    places = carray(pointer_at(a[13]), (n, nodes + 2), np.int64)
    numbers = carray(pointer_at(a[14]), (links + 1,), np.float64)  # ln of references, then least
    x = carray(pointer_at(a[15]), (n, terms), np.float64)
    weights = carray(pointer_at(a[16]), (n, nodes), np.float64)
    ln_s = carray(pointer_at(a[17]), (n, nodes + 1), np.float64)
    free = carray(pointer_at(t[0]), (k, m), np.float64)
    free_slope = carray(pointer_at(t[1]), (k, m), np.float64)
    total = carray(pointer_at(t[2]), (k,), np.float64)
    values = carray(pointer_at(t[3]), (at + 2 + links + terms,), np.float64)
    slopes = carray(pointer_at(t[4]), (at + 2 + links + terms,), np.float64)
    gradient = carray(pointer_at(t[5]), (at + 2 + links + terms,), np.float64)
    memory = room(16 + 2 * k * m + w * (1 + m) + k + 2 + links + terms + 2 * links)
    at_given = address_of(memory) + 8 * 16
    at_chain = at_given + 8 * k * m
    at_level = at_chain + 8 * k * m
    at_sens = at_level + 8 * w
    at_status = at_sens + 8 * w * m
    at_by = at_status + 8 * k
    at_course = at_by + 8 * (2 + links + terms)
    given = carray(pointer_at(at_given), (k, m), np.float64)
    chain = carray(pointer_at(at_chain), (k, m), np.float64)
    level = carray(pointer_at(at_level), (w,), np.float64)
    sens = carray(pointer_at(at_sens), (w, m), np.float64)
    by = carray(pointer_at(at_by), (2 + links + terms,), np.float64)
    course = carray(pointer_at(at_course), (links,), np.float64)
    naturals(free, scales, given, chain)
    if w > 0:
        own = integers(address_of(memory))
        own[0] = at_given
        for i in range(SCHEDULE):
            own[1 + i] = a[ARRAYS + 9 + i]
        own[13], own[14], own[15] = at_level, at_sens, at_status
        call_at(kernel, 0, k, own)
        if logs == 0:
            to_logs(level, sens, math.exp(numbers[links]))
    median, scale = values[at], values[at + 1]
    power, ln_median = 1.0 / scale, math.log(median)
    for i in range(n):
        r, line = rows[i], 0.0
        for j in range(terms):
            line += values[at + 2 + links + j] * x[i, j]
        start = places[i, nodes + 1]
        for c in range(nodes + 1):
            relative = ln_s[i, c] - ln_median
            here = _LN_LN2 + math.log(power) + power * relative - ln_s[i, c] + line
            o = places[i, c]
            for b in range(links):
                if kinds[b] == OF_LEVEL:
                    course[b] = level[o] - numbers[b]
                elif kinds[b] == OF_CHANGE:
                    course[b] = level[o] - level[start]
                else:
                    course[b] = math.log(given[r, kinds[b]]) - numbers[b]
                here += values[at + 2 + b] * course[b]
            if c < nodes:
                share = -weights[i, c] * math.exp(here)
                total[r] += share
            else:
                share = float(event[i])
                total[r] += share * here
            by[0] -= share * power / median
            by[1] -= share * (1.0 / power + relative) * power * power
            for j in range(terms):
                by[2 + links + j] += share * x[i, j]
            for b in range(links):
                by[2 + b] += share * course[b]
                slope = share * values[at + 2 + b]
                if kinds[b] >= 0:
                    j = kinds[b]
                    free_slope[r, j] += slope * chain[r, j] / given[r, j]
                    continue
                for j in range(m):
                    one = sens[o, j]
                    if kinds[b] == OF_CHANGE:
                        one -= sens[start, j]
                    free_slope[r, j] += slope * one * chain[r, j]
    for q in range(2 + links + terms):
        gradient[at + q] += by[q] * slopes[at + q]
    release(memory)
    return 0
