"""Many patients in one call: predictions, and likelihoods with their gradients.

A schedule says what happens to whom and when, as flat arrays:

- events ``(time, kind, index, value)``, those of patient i from ``ev_start[i]`` on;
- observations ``(time, endpoint, before)``, those of patient i from ``ob_start[i]`` on;
  `before` marks samples drawn before a dose of the same instant.

``options`` are the tolerance, the most steps, the time of the initial state, and how many
patients are worked on at the same time.

Both functions take a table of the addresses of their arrays, in the order in which they are
read here; arrays with two dimensions have a row per patient or observation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cart_pkpd._engine.equations import (
    CHAIN,
    FLOORS,
    GIVEN,
    SIGMA,
    TOTAL,
    VALUES,
    M,
    N,
    Q,
    S,
    compiled,
    natural,
    record,
    weigh,
)
from cart_pkpd._engine.patient import CONTROLS, SOLVED, solve
from cart_pkpd._engine.symbols import floats, integers, release, room, truths

NOT_A_NUMBER = 4


@compiled
def predict(first: int, last: int, table: Any) -> int:
    """Write level and sensitivities of every observation of patients `first` to `last`.

    ``given`` holds the parameters differentiated by, natural scale, ``base`` all values.
    """
    given, base = floats(table[0]), floats(table[1])
    ev_time, ev_kind = floats(table[2]), integers(table[3])
    ev_index, ev_value, ev_start = integers(table[4]), floats(table[5]), integers(table[6])
    ob_time, ob_endpoint = floats(table[7]), integers(table[8])
    ob_before, ob_start = truths(table[9]), integers(table[10])
    floors, options = floats(table[11]), floats(table[12])
    values, sens, status = floats(table[13]), floats(table[14]), integers(table[15])
    x, control = room(TOTAL), room(CONTROLS)
    for k in range(N):
        x[FLOORS + k] = floors[k]
    for i in range(first, last):
        for k in range(VALUES):
            x[Q + k] = base[i * VALUES + k]
        for j in range(M):
            x[GIVEN + j] = given[i * M + j]
        weigh(x)
        begin, end = ob_start[i], ob_start[i + 1]
        status[i] = solve(
            options[2], x, options[0], int(options[1]), control, ev_time, ev_kind, ev_index,
            ev_value, ev_start[i], ev_start[i + 1], ob_time, ob_endpoint, ob_before, begin, end,
            0, values, sens,
        )  # fmt: skip
        for o in range(begin, end):
            if status[i] == SOLVED and values[o] != values[o]:
                status[i] = NOT_A_NUMBER
        if status[i] != SOLVED:
            for o in range(begin, end):
                values[o] = np.nan
                for j in range(M):
                    sens[o * M + j] = np.nan
    release(x)
    release(control)
    return 0


@compiled
def loglik(first: int, last: int, table: Any) -> int:
    """Write log-likelihood and gradient of patients `first` to `last`.

    The gradients are by the free parameters, ``slope``, and by the residual parameters,
    ``sigma_slope``. A patient without a solution gives NaN. ``values`` and ``sens`` get the
    level of every observation and its derivatives, natural scale.
    """
    free, sigmas, base = floats(table[0]), floats(table[1]), floats(table[2])
    ev_time, ev_kind = floats(table[3]), integers(table[4])
    ev_index, ev_value, ev_start = integers(table[5]), floats(table[6]), integers(table[7])
    ob_time, ob_endpoint = floats(table[8]), integers(table[9])
    ob_before, ob_start = truths(table[10]), integers(table[11])
    code, dv, low = integers(table[12]), floats(table[13]), floats(table[14])
    floors, options = floats(table[15]), floats(table[16])
    total, slope, sigma_slope = floats(table[17]), floats(table[18]), floats(table[19])
    status, values, sens = integers(table[20]), floats(table[21]), floats(table[22])
    x, control = room(TOTAL), room(CONTROLS)
    for k in range(N):
        x[FLOORS + k] = floors[k]
    for i in range(first, last):
        for k in range(VALUES):
            x[Q + k] = base[i * VALUES + k]
        for j in range(M):
            x[GIVEN + j] = free[i * M + j]
        natural(x)
        begin, end = ob_start[i], ob_start[i + 1]
        status[i] = solve(
            options[2], x, options[0], int(options[1]), control, ev_time, ev_kind, ev_index,
            ev_value, ev_start[i], ev_start[i + 1], ob_time, ob_endpoint, ob_before, begin, end,
            0, values, sens,
        )  # fmt: skip
        for o in range(begin, end):
            if status[i] == SOLVED and values[o] != values[o]:
                status[i] = NOT_A_NUMBER
        empty = 0.0 if status[i] == SOLVED else np.nan
        total[i] = empty
        for j in range(M):
            slope[i * M + j] = empty
        for j in range(S):
            x[SIGMA + j] = empty
        if status[i] == SOLVED:
            for o in range(begin, end):
                one, by_level = record(ob_endpoint[o], code[o], dv[o], low[o], values[o], sigmas, x)
                total[i] += one
                for j in range(M):
                    slope[i * M + j] += by_level * sens[o * M + j]
            for j in range(M):
                slope[i * M + j] *= x[CHAIN + j]
        for j in range(S):
            sigma_slope[i * S + j] = x[SIGMA + j]
    release(x)
    release(control)
    return 0
