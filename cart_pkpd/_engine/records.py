"""The likelihood of closed forms, several records of a patient side by side.

What :func:`cart_pkpd._engine.batch.loglik` does one record after the other. A patient's records
are put in groups of one endpoint, a lane each; see :func:`cart_pkpd._engine.grouping.grouped`.
What happens within a group is the business of :mod:`cart_pkpd._engine.wide_records`. Nothing of
this depends on other patients.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cart_pkpd._engine.batch import NOT_A_NUMBER
from cart_pkpd._engine.equations import (
    CHAIN,
    COLUMN,
    GIVEN,
    KEPT,
    KEPTS,
    TOTAL,
    VALUES,
    M,
    Q,
    S,
    compiled,
)
from cart_pkpd._engine.equations import keep as wide_keep
from cart_pkpd._engine.equations import natural as wide_natural
from cart_pkpd._engine.patient import SOLVED
from cart_pkpd._engine.places import GROUPS
from cart_pkpd._engine.symbols import address_of, floats, integers, release, room
from cart_pkpd._engine.wide_records import GIVEN_OF_A_RECORD, LEVEL, LN, LOST, SUMS
from cart_pkpd._engine.wide_records import level as wide_level
from cart_pkpd._engine.wide_records import summed as wide_summed
from cart_pkpd._engine.wide_records import weighed as wide_weighed
from cart_pkpd._engine.widening import BYTES, WIDTH

CODES = 4
"""Kinds of censoring."""


@compiled
def aligned(address: int) -> Any:
    """Return where lanes may begin, at an address or after it."""
    return floats((address + BYTES - 1) // BYTES * BYTES)


@compiled
def fill(lanes: Any, place: int, value: float) -> None:
    """Write a number to all lanes."""
    for lane in range(WIDTH):
        lanes[place * WIDTH + lane] = value


@compiled
def total(place: int, lanes: Any) -> float:
    """Return the sum over lanes."""
    found = 0.0
    for lane in range(WIDTH):
        found += lanes[place * WIDTH + lane]
    return found


@compiled
def values(first: int, count: int, free: Any, base: Any, x: Any) -> None:
    """Write the natural values of several patients, a lane each; idle lanes repeat the last."""
    for lane in range(WIDTH):
        i = first + min(lane, count - 1)
        for k in range(VALUES):
            x[(Q + k) * WIDTH + lane] = base[i * VALUES + k]
        for j in range(M):
            x[(GIVEN + j) * WIDTH + lane] = free[i * M + j]
    wide_natural(x)
    wide_keep(x)


@compiled
def group(g: int, endpoint: int, codes: int, given: Any, sigmas: Any, lanes: Any, x: Any) -> None:
    """Add what the records of a group say of the patient whose values lie in `x`."""
    for place in range(GIVEN_OF_A_RECORD * WIDTH):
        lanes[place] = given[g * GIVEN_OF_A_RECORD * WIDTH + place]
    wide_level(endpoint, lanes, x)
    for code in range(CODES):
        if (codes >> code) & 1:
            wide_weighed(endpoint, code, lanes, sigmas, x)
    wide_summed(lanes, x)


@compiled
def show(g: int, row: Any, lanes: Any, x: Any, values: Any, sens: Any) -> None:
    """Write the levels of a group and their derivatives by the parameters, natural scale."""
    for lane in range(WIDTH):
        o = row[g * WIDTH + lane]
        if o >= 0:
            values[o] = lanes[LEVEL * WIDTH + lane]
            for j in range(M):
                sens[o * M + j] = x[(COLUMN + j) * WIDTH + lane]


@compiled
def records(first: int, last: int, table: Any) -> int:
    """Write log-likelihood and gradient of patients `first` to `last`.

    The table is that of :func:`cart_pkpd._engine.batch.loglik`, with 0 in place of the address of
    levels that nobody asks for; place GROUPS is the address of those of the groups' arrays.
    """
    free, sigma, base = floats(table[0]), floats(table[1]), floats(table[2])
    ln, slope, sigma_slope = floats(table[17]), floats(table[18]), floats(table[19])
    status, groups = integers(table[20]), integers(table[GROUPS])
    start, endpoint, codes = integers(groups[0]), integers(groups[1]), integers(groups[2])
    given, row = floats(groups[3]), integers(groups[4])
    asked, level, sens = table[21] != 0, floats(table[21]), floats(table[22])
    width = 2 * TOTAL + SUMS + M + 4 * S + 1
    memory = room(width * WIDTH)
    at = address_of(memory)
    x = aligned(at)
    own = aligned(at + TOTAL * BYTES)
    sigmas = aligned(at + 2 * TOTAL * BYTES)
    lanes = aligned(at + (2 * TOTAL + 3 * S) * BYTES)
    for s in range(S):
        fill(sigmas, s, sigma[s])
        fill(sigmas, S + s, math.log(sigma[s]))
        fill(sigmas, 2 * S + s, 1.0 / sigma[s])
    for i in range(first, last):
        of = (i - first) % WIDTH
        if of == 0:
            values(i, min(WIDTH, last - i), free, base, own)
        for k in range(VALUES):
            fill(x, Q + k, own[(Q + k) * WIDTH + of])
        for k in range(KEPTS):
            fill(x, KEPT + k, own[(KEPT + k) * WIDTH + of])
        for place in range(LOST * WIDTH, (SUMS + M + S) * WIDTH):
            lanes[place] = 0.0
        for g in range(start[i], start[i + 1]):
            group(g, endpoint[g], codes[g], given, sigmas, lanes, x)
            if asked:
                show(g, row, lanes, x, level, sens)
        lost = total(LOST, lanes) > 0.0
        status[i] = NOT_A_NUMBER if lost else SOLVED
        ln[i] = np.nan if lost else total(LN, lanes)
        for j in range(M):
            by = total(SUMS + j, lanes) * own[(CHAIN + j) * WIDTH + of]
            slope[i * M + j] = np.nan if lost else by
        for s in range(S):
            sigma_slope[i * S + s] = np.nan if lost else total(SUMS + M + s, lanes)
    release(memory)
    return 0
