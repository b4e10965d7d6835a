"""One patient's levels where the solution is known in closed form."""

from __future__ import annotations

from typing import Any

from cart_pkpd._engine.equations import COLUMN, M, compiled, observe

SOLVED = 0


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
    """Write the level and its sensitivities at every observation, as the solver would.

    Takes the arguments of :func:`cart_pkpd._engine.patient.solve`, so that either can be used.
    """
    for o in range(next_ob, last_ob):
        values[o - shift] = observe(ob_endpoint[o], ob_time[o], ob_time[o], x)
        for j in range(M):
            sens[(o - shift) * M + j] = x[COLUMN + j]
    return SOLVED
