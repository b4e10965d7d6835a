"""One patient's solution: piece by piece through doses, inputs and switches.

All numbers of a solve lie in one array, at places that are constants of the generated code:
compilers then know that no two of them overlap. A vector of states holds the N states, then
their sensitivities row by row: the derivative of state i by parameter j is at
``SENS + i * ROW + j``. Rows are filled up with zeros to a multiple of four numbers, and so are
the states, for processors work on four at a time. Q holds parameters, covariates and inputs,
then the infusion rate into each state.

Between two breaks the equations are smooth, and each piece is integrated by the explicit
method until it is held back by stability, then by the implicit one, and back. At a switch
that depends on parameters the sensitivities jump by the difference of the slopes before and
after, times the derivative of the switch time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cart_pkpd._engine.equations import (
    AT,
    BEST,
    COLUMN,
    DGAIN,
    DTIMES,
    ERR,
    FLOORS,
    GAIN,
    JAC,
    K1,
    K6,
    K7,
    NEW,
    ORDER,
    PEAK,
    PER,
    RATES,
    ROW,
    SENS,
    SIZE,
    SLOPE,
    SWITCHES,
    TIMES,
    WORK,
    M,
    N,
    Q,
    Z,
    compiled,
    gain,
    initial,
    linearise,
    observe,
    rhs,
    switch_times,
)
from cart_pkpd._engine.explicit import STABLE, explicit_interpolate, explicit_step
from cart_pkpd._engine.rosenbrock import implicit_interpolate, implicit_step

SOLVED, TOO_MANY_STEPS, STEP_TOO_SMALL, NOT_FINITE = 0, 1, 2, 3
BOLUS, RATE, INPUT = 0, 1, 2
STEP, STIFF, STEPS, NOW, END, PIECE, EVENT, OBSERVED, SWITCH, COMING = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
"""Places in ``control``, what is carried from piece to piece of a patient."""
CONTROLS = 10

PEAK_SHARE = 1e-12
"""Below this share of a state's largest value so far, absolute accuracy is enough."""
SENSITIVITY_SLACK = 10.0
"""Sensitivities are held to the tolerance times this."""
TINY = 1e-290
SAFETY, LEAST, MOST = 0.95, 0.2, 6.0
STIFF_STEPS, EASY_STEPS, EASY = 2, 4, 1.5
TRIAL_AFTER, TRIAL_STEPS, TRIAL_GAIN = 60, 6, 6.0


@compiled
def weigh_states(x: Any) -> None:
    """Write to BEST one over the size that each state's error is compared with."""
    for i in range(N):
        size = max(abs(x[Z + i]), abs(x[NEW + i]))
        least = x[FLOORS + i]
        if not least > 0.0:
            least = PEAK_SHARE * x[PEAK + i]
        size = max(size, least)
        x[BEST + i] = 1.0 / max(size, TINY)


@compiled
def step_error(x: Any, rtol: float) -> float:
    """Return the error of a step relative to the tolerance.

    Root mean square over the states, and over the states for each parameter, whichever is
    largest. Sensitivities are compared as changes per unit of the parameter's free scale.
    """
    weigh_states(x)
    total = 0.0
    for i in range(N):
        share = x[ERR + i] * x[BEST + i]
        total += share * share
    for j in range(ROW):
        x[COLUMN + j] = 0.0
    for i in range(N):
        best = x[BEST + i]
        for j in range(ROW):
            change = x[PER + j] * best
            moved = x[NEW + SENS + i * ROW + j] * change
            share = x[ERR + SENS + i * ROW + j] * change
            x[COLUMN + j] += share * share / (1.0 + moved * moved)
    for j in range(M):
        column = x[COLUMN + j] / (SENSITIVITY_SLACK * SENSITIVITY_SLACK)
        # A comparison with NaN is false: one in the total stays, one in a column comes in.
        if column > total or column != column:
            total = column
    return np.sqrt(total / N) / rtol


@compiled
def spread(a: int, b: int, x: Any) -> float:
    """Return the weighted size of the difference of two vectors of states."""
    total = 0.0
    for i in range(N):
        share = (x[a + i] - x[b + i]) * x[BEST + i]
        total += share * share
    return np.sqrt(total)


@compiled
def fastest(x: Any) -> float:
    """Return nearly the largest rate of the linearised system, by two power iterations.

    They start where all states change alike, which a fast state that only follows another does not
    resist: its own rate counts as well.
    """
    for i in range(N):
        x[AT + i] = 1.0
    rate = 0.0
    for _ in range(2):
        rate = 0.0
        for i in range(N):
            total = 0.0
            for j in range(N):
                total += x[JAC + i * N + j] * x[AT + j] / x[BEST + j]
            x[WORK + i] = total * x[BEST + i]
            rate = max(rate, abs(x[WORK + i]))
        for i in range(N):
            x[AT + i] = x[WORK + i] / rate if rate > 0.0 else 1.0
    for i in range(N):
        rate = max(rate, abs(x[JAC + i * N + i]))
    return rate


@compiled
def first_step(x: Any, length: float) -> float:
    """Return a cautious first step from the fastest relative change."""
    rate = 0.0
    for i in range(N):
        if x[Z + i] != 0.0:
            rate = max(rate, abs(x[K1 + i] / x[Z + i]))
    return min(length, 0.05 / rate if rate > 0.0 else 0.01 * length)


@compiled
def write(t: float, piece: float, x: Any, row: int, endpoint: int, values: Any, sens: Any) -> None:
    """Write the level of an endpoint, and its sensitivities, for the states in AT."""
    values[row] = observe(endpoint, t, piece, x)
    for j in range(M):
        sens[row * M + j] = x[COLUMN + j]


@compiled
def slope_at_z(t: float, piece: float, x: Any) -> None:
    """Write the slope at Z to K1."""
    for i in range(SIZE):
        x[WORK + i] = x[Z + i]
    rhs(t, piece, x)
    for i in range(SIZE):
        x[K1 + i] = x[SLOPE + i]


@compiled
def first_slope(begin: float, end: float, piece: float, x: Any, h: float) -> float:
    """Write the slope at a piece's begin to K1; return the first step, `h` if there is one."""
    slope_at_z(begin, piece, x)
    for i in range(N):
        x[PEAK + i] = max(x[PEAK + i], abs(x[Z + i]))
    return h if h > 0.0 else first_step(x, end - begin)


@compiled
def integrate(
    begin: float,
    end: float,
    piece: float,
    x: Any,
    rtol: float,
    max_steps: int,
    control: Any,
    ob_time: Any,
    ob_endpoint: Any,
    next_ob: int,
    last_ob: int,
    shift: int,
    values: Any,
    sens: Any,
) -> int:
    """Integrate one smooth piece; return the next observation, or minus the reason to stop.

    ``control`` carries the step size, the method and the step count from piece to piece.
    """
    t, h, stiff, steps = begin, control[STEP], control[STIFF] > 0.0, int(control[STEPS])
    held, easy, fresh, most = 0, 0, True, MOST
    since, patience, trial, before_trial = 0, TRIAL_AFTER, 0, 0.0
    h = first_slope(begin, end, piece, x, h)
    while t < end:
        wanted = h
        final = t + 1.001 * h >= end
        if final:
            h = end - t
        if steps >= max_steps:
            return -TOO_MANY_STEPS
        if not h > 1e-14 * max(abs(t), 1e-3) and not final:
            return -STEP_TOO_SMALL
        steps += 1
        if stiff:
            if fresh:
                linearise(t, piece, x)
                weigh_states(x)
                fresh = False
            solved = implicit_step(t, piece, h, x)
        else:
            explicit_step(t, piece, h, x)
            solved = True
        error = step_error(x, rtol) if solved else np.inf
        if not error < np.inf:
            if h < 1e-12 * max(abs(end), 1e-3):
                return -NOT_FINITE
            h *= 0.1
            most = 1.0
            continue
        factor = min(most, max(LEAST, SAFETY * error ** (-0.2))) if error > 0.0 else most
        if error > 1.0:
            h *= min(factor, 0.95)
            most = 1.0
            continue
        if stiff:
            rate = fastest(x)
            easy = easy + 1 if h * rate < EASY else 0
            if trial > 0:
                trial -= 1
                if trial == 0 and h * factor < TRIAL_GAIN * before_trial:
                    easy, patience = EASY_STEPS, 2 * patience
        else:
            apart = spread(NEW, WORK, x)
            turned = spread(K7, K6, x)
            if h * turned > STABLE * apart:
                held += 1
            elif h * turned < 0.5 * STABLE * apart:
                held = 0
            since = since + 1 if h * turned > apart else 0
        shown = t
        while next_ob < last_ob and ob_time[next_ob] < end and ob_time[next_ob] <= t + h:
            if ob_time[next_ob] != shown:
                shown = ob_time[next_ob]
                if stiff:
                    implicit_interpolate((shown - t) / h, x)
                else:
                    explicit_interpolate((shown - t) / h, h, x)
            write(ob_time[next_ob], piece, x, next_ob - shift, ob_endpoint[next_ob], values, sens)
            next_ob += 1
        for i in range(N):
            x[PEAK + i] = max(x[PEAK + i], abs(x[NEW + i]))
        t = end if final else t + h
        for i in range(SIZE):
            x[Z + i] = x[NEW + i]
        if stiff:
            slope_at_z(t, piece, x)
            fresh = True
        else:
            for i in range(SIZE):
                x[K1 + i] = x[K7 + i]
        h = max(h * factor, wanted) if final else h * factor
        most = MOST
        if stiff and easy >= EASY_STEPS:
            stiff, held, since, trial = False, 0, 0, 0
        elif not stiff and held >= STIFF_STEPS:
            stiff, easy, fresh = True, 0, True
        elif not stiff and since >= patience:
            # At tight tolerances errors keep steps below where stability would: try.
            stiff, easy, fresh, trial, before_trial = True, 0, True, TRIAL_STEPS, h
    control[STEP], control[STIFF], control[STEPS] = h, 1.0 if stiff else 0.0, steps
    return next_ob


@compiled
def sort_switches(x: Any) -> None:
    """Write to ORDER the switches by time (insertion sort: there are few)."""
    for i in range(SWITCHES):
        j = i
        while j > 0 and x[TIMES + int(x[ORDER + j - 1])] > x[TIMES + i]:
            x[ORDER + j] = x[ORDER + j - 1]
            j -= 1
        x[ORDER + j] = i


@compiled
def dose(target: int, amount: float, x: Any) -> None:
    """Add an amount to a state, and to its sensitivities."""
    gain(x)
    x[Z + target] += amount * x[GAIN + target]
    for j in range(M):
        x[Z + SENS + target * ROW + j] += amount * x[DGAIN + target * M + j]


@compiled
def observe_next(
    piece: float,
    x: Any,
    ob_time: Any,
    ob_endpoint: Any,
    next_ob: int,
    shift: int,
    values: Any,
    sens: Any,
) -> int:
    """Write the next observation for the states in Z; return the one after it."""
    for i in range(SIZE):
        x[AT + i] = x[Z + i]
    when = ob_time[next_ob]
    write(when, piece, x, next_ob - shift, ob_endpoint[next_ob], values, sens)
    return next_ob + 1


@compiled
def open_patient(
    start: float,
    x: Any,
    control: Any,
    ev_time: Any,
    ev_kind: Any,
    ev_index: Any,
    ev_value: Any,
    next_ev: int,
    last_ev: int,
    ob_time: Any,
    ob_endpoint: Any,
    next_ob: int,
    last_ob: int,
    shift: int,
    values: Any,
    sens: Any,
) -> None:
    """Write states at the start and samples before it; ``control`` then says how things stand."""
    control[STEP], control[STIFF], control[STEPS] = 0.0, 0.0, 0.0
    for i in range(N):
        x[PEAK + i] = 0.0
        x[RATES + i] = 0.0
    while next_ev < last_ev and ev_time[next_ev] <= start and ev_kind[next_ev] == INPUT:
        x[Q + ev_index[next_ev]] = ev_value[next_ev]
        next_ev += 1
    initial(x)
    while next_ob < last_ob and ob_time[next_ob] < start:
        next_ob = observe_next(start, x, ob_time, ob_endpoint, next_ob, shift, values, sens)
    switch_times(x)
    sort_switches(x)
    control[NOW], control[PIECE], control[COMING] = start, start, -1.0
    control[EVENT], control[OBSERVED], control[SWITCH] = next_ev, next_ob, 0.0
    control[SWITCH] = later_switch(start, x, control)


@compiled
def later_switch(t: float, x: Any, control: Any) -> int:
    """Return the position in ORDER of the first switch after `t`."""
    at = int(control[SWITCH])
    while at < SWITCHES and not x[TIMES + int(x[ORDER + at])] > t:
        at += 1
    return at


@compiled
def next_piece(
    x: Any,
    control: Any,
    ev_time: Any,
    ev_kind: Any,
    ev_index: Any,
    ev_value: Any,
    last_ev: int,
    ob_time: Any,
    ob_endpoint: Any,
    ob_before: Any,
    last_ob: int,
    shift: int,
    values: Any,
    sens: Any,
) -> bool:
    """Do what happens between two pieces; False if all observations are written.

    Else the piece from ``control[NOW]`` to ``control[END]`` waits to be integrated, after which
    ``control[NOW]`` is its end and ``control[OBSERVED]`` the next observation.
    """
    t, piece, next_ev = control[NOW], control[PIECE], int(control[EVENT])
    next_ob = int(control[OBSERVED])
    last = ob_time[last_ob - 1]
    while next_ob < last_ob:
        at_switch = int(control[COMING])
        if at_switch >= 0:
            control[SWITCH] = later_switch(t, x, control)
        while next_ob < last_ob and ob_time[next_ob] <= t and ob_before[next_ob]:
            next_ob = observe_next(piece, x, ob_time, ob_endpoint, next_ob, shift, values, sens)
        if at_switch >= 0:
            # Slopes before the switch, while doses and inputs of this instant have not acted.
            slope_at_z(t, piece, x)
        before = next_ev
        while next_ev < last_ev and ev_time[next_ev] <= t:
            next_ev += 1
        end = max(last, t)
        if next_ev < last_ev and ev_time[next_ev] < end:
            end = ev_time[next_ev]
        control[COMING] = -1.0
        if int(control[SWITCH]) < SWITCHES:
            switch = int(x[ORDER + int(control[SWITCH])])
            if x[TIMES + switch] <= end:
                control[COMING], end = switch, x[TIMES + switch]
        if end > t:
            piece = 0.5 * (t + end)
        if at_switch >= 0:
            rhs(t, piece, x)
            for i in range(N):
                jump = x[K1 + i] - x[SLOPE + i]
                for j in range(M):
                    x[Z + SENS + i * ROW + j] += jump * x[DTIMES + at_switch * M + j]
        for i in range(before, next_ev):
            if ev_kind[i] == INPUT:
                x[Q + ev_index[i]] = ev_value[i]
            elif ev_kind[i] == RATE:
                x[RATES + ev_index[i]] += ev_value[i]
            else:
                dose(ev_index[i], ev_value[i], x)
        while next_ob < last_ob and ob_time[next_ob] <= t:
            next_ob = observe_next(piece, x, ob_time, ob_endpoint, next_ob, shift, values, sens)
        if end > t and next_ob < last_ob:
            control[NOW], control[END], control[PIECE] = t, end, piece
            control[EVENT], control[OBSERVED] = next_ev, next_ob
            return True
    return False


@compiled
def solve(
    start: float,
    x: Any,
    rtol: float,
    max_steps: int,
    control: Any,
    ev_time: Any,
    ev_kind: Any,
    ev_index: Any,
    ev_value: Any,
    next_ev: int,
    last_ev: int,
    ob_time: Any,
    ob_endpoint: Any,
    ob_before: Any,
    next_ob: int,
    last_ob: int,
    shift: int,
    values: Any,
    sens: Any,
) -> int:
    """Solve for one patient; write the level and its sensitivities at every observation.

    Returns
    -------
    int
        SOLVED, or why there is no solution.
    """
    if next_ob >= last_ob:
        return SOLVED
    open_patient(
        start, x, control, ev_time, ev_kind, ev_index, ev_value, next_ev, last_ev, ob_time,
        ob_endpoint, next_ob, last_ob, shift, values, sens,
    )  # fmt: skip
    while next_piece(
        x, control, ev_time, ev_kind, ev_index, ev_value, last_ev, ob_time, ob_endpoint, ob_before,
        last_ob, shift, values, sens,
    ):  # fmt: skip
        next_ob = integrate(
            control[NOW], control[END], control[PIECE], x, rtol, max_steps, control, ob_time,
            ob_endpoint, int(control[OBSERVED]), last_ob, shift, values, sens,
        )  # fmt: skip
        if next_ob < 0:
            return -next_ob
        control[NOW], control[OBSERVED] = control[END], next_ob
    return SOLVED
