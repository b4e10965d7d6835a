"""Many patients in one call: predictions, and likelihoods with their gradients.

A schedule says what happens to whom and when, as flat arrays:

- events ``(time, kind, index, value)``, those of patient i from ``ev_start[i]`` on;
- observations ``(time, endpoint, before)``, those of patient i from ``ob_start[i]`` on;
  `before` marks samples drawn before a dose of the same instant.

``options`` are the tolerance, the most steps, the time of the initial state, and how many
patients are worked on at the same time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

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
from cart_pkpd._engine.patient import SOLVED, solve

NOT_A_NUMBER = 4


@njit(cache=True, nogil=True, error_model="numpy")
def predict(
    first: int,
    last: int,
    given: Any,
    base: Any,
    ev_time: Any,
    ev_kind: Any,
    ev_index: Any,
    ev_value: Any,
    ev_start: Any,
    ob_time: Any,
    ob_endpoint: Any,
    ob_before: Any,
    ob_start: Any,
    floors: Any,
    options: Any,
    values: Any,
    sens: Any,
    status: Any,
) -> None:
    """Write level and sensitivities of every observation of patients `first` to `last`.

    ``given[i]`` holds the parameters differentiated by, natural scale, ``base[i]`` all values.
    """
    x, control = np.zeros(TOTAL), np.zeros(3)
    # Not a literal, so that both functions of this module share one compiled solver.
    no_shift = ob_start[first] - ob_start[first]
    for k in range(N):
        x[FLOORS + k] = floors[k]
    for i in range(first, last):
        for k in range(VALUES):
            x[Q + k] = base[i, k]
        for j in range(M):
            x[GIVEN + j] = given[i, j]
        weigh(x)
        status[i] = solve(
            options[2], x, options[0], int(options[1]), control, ev_time, ev_kind, ev_index,
            ev_value, ev_start[i], ev_start[i + 1], ob_time, ob_endpoint, ob_before, ob_start[i],
            ob_start[i + 1], no_shift, values, sens,
        )  # fmt: skip
        for o in range(ob_start[i], ob_start[i + 1]):
            if status[i] == SOLVED and values[o] != values[o]:
                status[i] = NOT_A_NUMBER
        if status[i] != SOLVED:
            for o in range(ob_start[i], ob_start[i + 1]):
                values[o] = np.nan
                for j in range(M):
                    sens[o, j] = np.nan


@compiled
def loglik(
    first: int,
    last: int,
    free: Any,
    sigmas: Any,
    base: Any,
    ev_time: Any,
    ev_kind: Any,
    ev_index: Any,
    ev_value: Any,
    ev_start: Any,
    ob_time: Any,
    ob_endpoint: Any,
    ob_before: Any,
    ob_start: Any,
    code: Any,
    dv: Any,
    low: Any,
    floors: Any,
    options: Any,
    total: Any,
    slope: Any,
    sigma_slope: Any,
    status: Any,
    values: Any,
    sens: Any,
) -> None:
    """Write log-likelihood and gradient of patients `first` to `last`.

    The gradients are by the free parameters, ``slope[i]``, and by the residual parameters,
    ``sigma_slope[i]``. A patient without a solution gives NaN. ``values`` and ``sens`` get the
    level of every observation and its derivatives, natural scale.
    """
    x, control = np.zeros(TOTAL), np.zeros(3)
    no_shift = ob_start[first] - ob_start[first]
    for k in range(N):
        x[FLOORS + k] = floors[k]
    for i in range(first, last):
        for k in range(VALUES):
            x[Q + k] = base[i, k]
        for j in range(M):
            x[GIVEN + j] = free[i, j]
        natural(x)
        begin, end = ob_start[i], ob_start[i + 1]
        status[i] = solve(
            options[2], x, options[0], int(options[1]), control, ev_time, ev_kind, ev_index,
            ev_value, ev_start[i], ev_start[i + 1], ob_time, ob_endpoint, ob_before, begin, end,
            no_shift, values, sens,
        )  # fmt: skip
        for o in range(begin, end):
            if status[i] == SOLVED and values[o] != values[o]:
                status[i] = NOT_A_NUMBER
        empty = 0.0 if status[i] == SOLVED else np.nan
        total[i] = empty
        for j in range(M):
            slope[i, j] = empty
        for j in range(S):
            x[SIGMA + j] = empty
        if status[i] == SOLVED:
            for o in range(begin, end):
                one, by_level = record(ob_endpoint[o], code[o], dv[o], low[o], values[o], sigmas, x)
                total[i] += one
                for j in range(M):
                    slope[i, j] += by_level * sens[o, j]
            for j in range(M):
                slope[i, j] *= x[CHAIN + j]
        for j in range(S):
            sigma_slope[i, j] = x[SIGMA + j]
