"""A model's own equations with plain numbers, solved by SciPy.

Only what a user writes is called: ``initial``, ``rhs``, ``observe``, ``dose_factor`` and
``switches``, with numbers in small namespaces. Nothing of the engine takes part: no formulas,
no generated code.
"""

from types import SimpleNamespace

import numpy as np
from scipy.integrate import solve_ivp


def solve(model, p, times, doses=(), changes=(), method="LSODA", rtol=1e-11):
    """Levels (n, endpoints) and states (n, states) after what happens at `times`.

    `p` holds parameters, covariates and inputs before any change; `doses` are (time, amount,
    duration) into the dosed state, `changes` (input, time, value).
    """
    names = tuple(model.states)
    with np.errstate(all="ignore"):
        here = values_at(model, p, changes, model.start)
        y = np.array([float(model.initial(here)[n]) for n in names])
        switches = [float(s) for s in several(model.switches(here))]
        stops = {model.start, *times, *switches, *(c[1] for c in changes)}
        stops |= {e for d in doses for e in (d[0], d[0] + d[2])}
        size, before, levels, states = np.abs(y), model.start, {}, {}
        for stop in sorted(s for s in stops if model.start <= s <= max(times)):
            if stop > before:
                y, size = _piece(model, p, y, size, before, stop, doses, changes, method, rtol)
            y = y + _boluses(model, values_at(model, p, changes, stop), doses, stop)
            observed = model.observe(stop, named(names, y), values_at(model, p, changes, stop))
            levels[stop] = [float(observed[e]) for e in model.endpoints]
            states[stop], before = y, stop
    return np.array([levels[t] for t in times]), np.array([states[t] for t in times])


def several(switches):
    return switches if isinstance(switches, tuple | list) else (switches,)


def values_at(model, p, changes, time):
    """Parameters, covariates and the inputs that hold at `time`."""
    held = {name: v for name, t, v in sorted(changes, key=lambda c: c[1]) if t <= time}
    return SimpleNamespace(**{**p, **held})


def named(names, y):
    # NumPy's numbers: a tiny negative state to a broken power is then NaN and not complex.
    return SimpleNamespace(**dict(zip(names, y, strict=True)))


def _gain(model, here):
    return float(model.dose_factor(here).get(model.dosed, 1.0))


def _boluses(model, here, doses, time):
    total = sum(amount for t, amount, duration in doses if t == time and duration == 0)
    return np.array([total * _gain(model, here) if n == model.dosed else 0.0 for n in model.states])


def _piece(model, p, y, size, a, b, doses, changes, method, rtol):
    """State at `b`, and the largest size of every state so far.

    Solved twice: roughly for the sizes that states reach, then with errors relative to them.
    """
    names, here = tuple(model.states), values_at(model, p, changes, (a + b) / 2)
    first, last = np.nextafter(a, b), np.nextafter(b, a)
    running = sum(
        amount / length for t, amount, length in doses if length > 0 and t <= a < t + length
    )
    infused = np.zeros(len(names))
    if running:
        infused[names.index(model.dosed)] = running * _gain(model, here)

    def rhs(t, y):
        # Strictly inside: conditions on time are those of this piece, whatever < or <= says.
        slope = model.rhs(min(max(t, first), last), named(names, y), here)
        return np.array([float(slope[n]) for n in names]) + infused

    def solved(rtol, atol):
        out = solve_ivp(rhs, (a, b), y, method=method, rtol=rtol, atol=atol)
        assert out.success, out.message
        return out.y

    reached = np.maximum(size, np.abs(rhs(a, y)) * (b - a) * 1e-3)
    rough = solved(1e-6, 1e-8 * np.where(reached > 0, reached, 1e-3))
    size = np.maximum(size, np.abs(rough).max(axis=1))
    # Of what only this piece reaches: a state that grows from little must be known well early.
    local = np.abs(rough).max(axis=1)
    return solved(rtol, np.maximum(1e-3 * rtol * local, 1e-14 * size) + 1e-30)[:, -1], size
