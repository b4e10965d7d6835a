"""Many patients in lock-step: levels without derivatives, several times as fast as one by one.

Each lane is a patient with its own time, step and place in the schedule; one that has ended makes
room for the next, so that none waits. What happens between two pieces is done for one patient at a
time by the functions of :mod:`cart_pkpd._engine.patient`, on numbers of the patient's own; a piece
is then integrated in its lane (:mod:`cart_pkpd._engine.wide`). A piece that is stiff, or has no
solution, is integrated anew by :func:`cart_pkpd._engine.patient.integrate`. Nothing of this depends
on what the other lanes do: a patient's levels are the same in any company.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cart_pkpd._engine.batch import NOT_A_NUMBER
from cart_pkpd._engine.equations import (
    FLOORS,
    K1,
    LEVELS,
    PEAK,
    RATES,
    TERMS,
    TOTAL,
    U1,
    U2,
    VALUES,
    N,
    Q,
    Z,
    compiled,
)
from cart_pkpd._engine.patient import (
    CONTROLS,
    END,
    MOST,
    NOW,
    OBSERVED,
    PIECE,
    SOLVED,
    STEP,
    STEPS,
    STIFF,
    first_slope,
    integrate,
    next_piece,
    open_patient,
)
from cart_pkpd._engine.symbols import address_of, floats, integers, release, room, truths
from cart_pkpd._engine.wide import (
    ACCURACY,
    BOUND,
    COUNT,
    FROM,
    HELD,
    LIMIT,
    LOST,
    MIDDLE,
    NEXT,
    SAMPLE,
    SHORTEST,
    SLOTS,
    STOP,
    TIME,
    H,
)
from cart_pkpd._engine.wide import advance as wide_advance
from cart_pkpd._engine.wide import between as wide_between
from cart_pkpd._engine.wide import show as wide_show
from cart_pkpd._engine.widening import BYTES, WIDTH

PATIENT, AHEAD, LAST_OB, SHIFT = CONTROLS, CONTROLS + 1, CONTROLS + 2, CONTROLS + 3
"""A lane's patient, or -1, its next sample, one past its last, and by how much the places of its
samples differ from those of their levels; these follow on ``control``."""
OWN = CONTROLS + 4
SHARED = 4
"""Place in ``options``: above 0 if the samples of one patient are those of everybody."""
MANY = 62
"""As many endpoints fit into the bits of a whole number."""


@compiled
def own_of(lane: int, memory: int) -> Any:
    """Return the ``control`` of a lane's patient; the places of its solve follow on it."""
    return floats(memory + 8 * lane * (OWN + TOTAL))


@compiled
def begin(i: int, table: Any, control: Any, x: Any) -> None:
    """Bring patient `i` to the start."""
    base, options, ev_start = floats(table[1]), floats(table[12]), integers(table[6])
    ob_start = integers(table[10])
    for k in range(VALUES):
        x[Q + k] = base[i * VALUES + k]
    first_ob = 0 if options[SHARED] > 0.0 else ob_start[i]
    last_ob = first_ob + ob_start[i + 1] - ob_start[i]
    control[PATIENT], control[LAST_OB], control[SHIFT] = i, last_ob, first_ob - ob_start[i]
    open_patient(
        options[2], x, control, floats(table[2]), integers(table[3]), integers(table[4]),
        floats(table[5]), ev_start[i], ev_start[i + 1], floats(table[7]), integers(table[8]),
        first_ob, last_ob, first_ob - ob_start[i], floats(table[13]), floats(table[14]),
    )  # fmt: skip


@compiled
def finish(reason: int, table: Any, control: Any) -> None:
    """Say how the patient ended; one without a solution has no levels."""
    i = int(control[PATIENT])
    ob_start, values, status = integers(table[10]), floats(table[13]), integers(table[15])
    for o in range(ob_start[i], ob_start[i + 1]):
        if reason == SOLVED and values[o] != values[o]:
            reason = NOT_A_NUMBER
    if reason != SOLVED:
        for o in range(ob_start[i], ob_start[i + 1]):
            values[o] = np.nan
    status[i] = reason
    control[PATIENT] = -1.0


@compiled
def alone(table: Any, control: Any, x: Any) -> None:
    """Integrate the piece at hand outside the lanes, from its begin."""
    options = floats(table[12])
    next_ob = integrate(
        control[NOW], control[END], control[PIECE], x, options[0], int(options[1]), control,
        floats(table[7]), integers(table[8]), int(control[OBSERVED]),
        int(control[LAST_OB]), int(control[SHIFT]), floats(table[13]), floats(table[14]),
    )  # fmt: skip
    if next_ob < 0:
        finish(-next_ob, table, control)
    else:
        control[NOW], control[OBSERVED] = control[END], next_ob


@compiled
def another(table: Any, control: Any, x: Any) -> bool:
    """Bring the patient to the next piece; False if there is none, and all levels are written."""
    i, ev_start = int(control[PATIENT]), integers(table[6])
    return next_piece(
        x, control, floats(table[2]), integers(table[3]), integers(table[4]), floats(table[5]),
        ev_start[i + 1], floats(table[7]), integers(table[8]), truths(table[9]),
        int(control[LAST_OB]), int(control[SHIFT]), floats(table[13]), floats(table[14]),
    )  # fmt: skip


@compiled
def await_sample(lane: int, table: Any, control: Any, lanes: Any) -> float:
    """Write the time of the next sample before the end of the piece, infinity if none."""
    ob_time, at, when = floats(table[7]), int(control[AHEAD]), np.inf
    if at < control[LAST_OB] and ob_time[at] < control[END]:
        when = ob_time[at]
    lanes[SAMPLE * WIDTH + lane] = when
    return when


@compiled
def enter(lane: int, table: Any, control: Any, own: Any, lanes: Any, x: Any) -> None:
    """Put the piece at hand into a lane."""
    h = control[STEP]
    if TERMS == 0:
        h = first_slope(control[NOW], control[END], control[PIECE], own, h)
    for k in range(N):
        x[(U1 + k) * WIDTH + lane] = own[Z + k]
        x[(U2 + k) * WIDTH + lane] = own[K1 + k]
        x[(PEAK + k) * WIDTH + lane] = own[PEAK + k]
        x[(RATES + k) * WIDTH + lane] = own[RATES + k]
    for k in range(VALUES):
        x[(Q + k) * WIDTH + lane] = own[Q + k]
    lanes[FROM * WIDTH + lane] = control[NOW]
    lanes[STOP * WIDTH + lane] = control[END]
    lanes[MIDDLE * WIDTH + lane] = control[PIECE]
    lanes[NEXT * WIDTH + lane] = h
    lanes[SHORTEST * WIDTH + lane] = 1e-12 * max(abs(control[END]), 1e-3)
    lanes[LIMIT * WIDTH + lane] = MOST
    lanes[COUNT * WIDTH + lane] = control[STEPS]
    lanes[HELD * WIDTH + lane] = 0.0
    control[AHEAD] = control[OBSERVED]
    await_sample(lane, table, control, lanes)


@compiled
def leave(lane: int, control: Any, own: Any, lanes: Any, x: Any) -> None:
    """Take a lane's states at the end of its piece."""
    for k in range(N):
        own[Z + k] = x[(U1 + k) * WIDTH + lane]
        own[PEAK + k] = max(x[(PEAK + k) * WIDTH + lane], abs(own[Z + k]))
    control[STEP], control[STEPS] = lanes[NEXT * WIDTH + lane], lanes[COUNT * WIDTH + lane]
    control[NOW], control[OBSERVED] = control[END], control[AHEAD]


@compiled
def resume(lane: int, queue: Any, table: Any, memory: int, lanes: Any, x: Any) -> bool:
    """Bring a lane to its next piece, if need be of the next patient; False if none is left."""
    control, ob_start = own_of(lane, memory), integers(table[10])
    own = floats(memory + 8 * (lane * (OWN + TOTAL) + OWN))
    while True:
        if control[PATIENT] < 0.0:
            if not queue[0] < queue[1]:
                lanes[NEXT * WIDTH + lane], lanes[SAMPLE * WIDTH + lane] = 0.0, np.inf
                return False
            i = int(queue[0])
            queue[0] += 1.0
            control[PATIENT] = i
            if ob_start[i] < ob_start[i + 1]:
                begin(i, table, control, own)
            else:
                finish(SOLVED, table, control)
        elif not another(table, control, own):
            finish(SOLVED, table, control)
        elif control[STIFF] > 0.0:
            alone(table, control, own)
        else:
            enter(lane, table, control, own, lanes, x)
            return True


@compiled
def show_samples(waiting: int, table: Any, memory: int, lanes: Any, x: Any) -> None:
    """Write the levels of all samples within the step: of each lane's next time, until all are."""
    while waiting != 0:
        wide_between(lanes, x)
        shown = 0
        for lane in range(WIDTH):
            if (waiting >> lane) & 1:
                control = own_of(lane, memory)
                shown = show_levels(lane, shown, table, control, lanes, x)
                arrived = lanes[TIME * WIDTH + lane] + lanes[H * WIDTH + lane]
                if await_sample(lane, table, control, lanes) > arrived:
                    waiting ^= 1 << lane


@compiled
def show_levels(lane: int, shown: int, table: Any, control: Any, lanes: Any, x: Any) -> int:
    """Write the levels of one lane's samples at its next time.

    An endpoint is computed for all lanes when the first asks for it; `shown`, which is returned,
    says as bits which have been.
    """
    ob_time, ob_endpoint, values = floats(table[7]), integers(table[8]), floats(table[13])
    at, last, shift = int(control[AHEAD]), int(control[LAST_OB]), int(control[SHIFT])
    when = ob_time[at]
    while at < last and ob_time[at] == when:
        endpoint = ob_endpoint[at]
        if endpoint >= MANY:
            wide_show(endpoint, lanes, x)
        elif not (shown >> endpoint) & 1:
            wide_show(endpoint, lanes, x)
            shown |= 1 << endpoint
        values[at - shift] = x[(LEVELS + endpoint) * WIDTH + lane]
        at += 1
    control[AHEAD] = at
    return shown


@compiled
def lanes(first: int, last: int, table: Any) -> int:
    """Write the level of every observation of patients `first` to `last`.

    The table is that of :func:`cart_pkpd._engine.batch.predict`, with one option more (SHARED); no
    parameter is differentiated by.
    """
    floors, options = floats(table[11]), floats(table[12])
    room_x, room_lanes = room((TOTAL + 1) * WIDTH), room((SLOTS + 1) * WIDTH)
    x = floats((address_of(room_x) + BYTES - 1) // BYTES * BYTES)
    state = floats((address_of(room_lanes) + BYTES - 1) // BYTES * BYTES)
    queue, room_own = room(2), room(WIDTH * (OWN + TOTAL))
    memory = address_of(room_own)
    queue[0], queue[1] = first, last
    active = 0
    for lane in range(WIDTH):
        control = own_of(lane, memory)
        control[PATIENT] = -1.0
        for k in range(N):
            x[(FLOORS + k) * WIDTH + lane] = control[OWN + FLOORS + k] = floors[k]
        state[ACCURACY * WIDTH + lane], state[BOUND * WIDTH + lane] = options[0], options[1]
        if resume(lane, queue, table, memory, state, x):
            active |= 1 << lane
    while active != 0:
        found = int(wide_advance(state, x))
        show_samples(found & active, table, memory, state, x)
        over = (found >> WIDTH) & active
        for lane in range(WIDTH):
            if (over >> lane) & 1 and after_step(lane, queue, table, memory, state, x):
                active ^= 1 << lane
    release(room_x)
    release(room_lanes)
    release(room_own)
    release(queue)
    return 0


@compiled
def after_step(lane: int, queue: Any, table: Any, memory: int, lanes: Any, x: Any) -> bool:
    """Go on after a piece that has ended or cannot be integrated here; True if nobody is left."""
    control = own_of(lane, memory)
    own = floats(memory + 8 * (lane * (OWN + TOTAL) + OWN))
    if lanes[LOST * WIDTH + lane] > 0.0:
        alone(table, control, own)
    else:
        leave(lane, control, own, lanes, x)
    return not resume(lane, queue, table, memory, lanes, x)
