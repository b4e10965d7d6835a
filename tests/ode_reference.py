"""Right-hand sides and solutions that owe nothing to the package: NumPy and SciPy alone.

Every solution restarts at each switch, dose, change of an input and observation, and is
integrated in the fraction of the piece that is done. Parameters, switch times among them, may
therefore be complex, and a derivative is the imaginary part of one solution (complex step):
exact but for the error of the solution itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.integrate import solve_ivp


@dataclass(frozen=True)
class Problem:
    """rhs(t, middle of the piece, y, p) and observe(y, p) for parameters p, inputs among them."""

    initial: Callable
    rhs: Callable
    observe: Callable
    switches: Callable = lambda p: []
    gain: Callable = lambda p: 1.0
    inputs: Mapping[str, float] = None
    stiff: bool = False


def levels(problem, p, times, doses=(), changes=(), method=None, rtol=1e-12):
    """Levels after what happens at `times`, shape (n, endpoints).

    `doses` are (time, amount, duration) into the first state, `changes` (input, time, value).
    """
    method = method or ("LSODA" if problem.stiff else "DOP853")
    kind = complex if any(np.iscomplexobj(v) for v in p.values()) else float
    y = np.array(problem.initial(p), dtype=kind)
    stops = {0.0, *times, *problem.switches(p), *(c[1] for c in changes)}
    stops |= {e for d in doses for e in (d[0], d[0] + d[2])}
    stops = sorted((s for s in stops if 0 <= np.real(s) <= max(times)), key=np.real)
    out, before = {}, 0.0
    for stop in stops:
        if np.real(stop) > np.real(before):
            y = _piece(problem, p, y, before, stop, doses, changes, method, rtol)
        y[0] += problem.gain(p) * sum(d[1] for d in doses if d[0] == stop and d[2] == 0)
        out[stop], before = problem.observe(y, p), stop
    return np.array([out[t] for t in times])


def _piece(problem, p, y, a, b, doses, changes, method, rtol):
    middle = np.real(a + b) / 2
    here = dict(problem.inputs or {})
    for name, time, value in sorted(changes, key=lambda c: c[1]):
        here |= {name: value} if time <= middle else {}
    running = sum(d[1] / d[2] for d in doses if d[2] > 0 and d[0] <= middle < d[0] + d[2])

    def rhs(done, y):
        slope = np.array(problem.rhs(a + done * (b - a), middle, y, {**p, **here}))
        slope[0] += running * problem.gain(p)
        return (b - a) * slope

    solved = solve_ivp(rhs, (0.0, 1.0), y, method=method, rtol=rtol, atol=1e-13)
    assert solved.success
    return solved.y[:, -1].copy()


def slopes(problem, p, names, times, **what):
    """d level / d parameter, shape (n, endpoints, parameters)."""
    if problem.stiff:  # SciPy's stiff methods take no complex numbers
        columns = [_differences(problem, p, n, times, what) for n in names]
    else:
        columns = [
            levels(problem, {**p, n: p[n] + 1e-30j}, times, **what).imag / 1e-30 for n in names
        ]
    return np.stack(columns, axis=-1)


def _differences(problem, p, name, times, what):
    """Central differences, extrapolated to order 4; steps of 0.2 and 0.1 %."""

    def central(h):
        up, down = ({**p, name: p[name] * (1 + s)} for s in (h, -h))
        change = levels(problem, up, times, **what) - levels(problem, down, times, **what)
        return change / (2 * h * p[name])

    return (4 * central(1e-3) - central(2e-3)) / 3


# --- closed forms --------------------------------------------------------------------------


def two_phases(t, p):
    """Growth from max(t, lag) to tmax, then two exponentials; parameters may be complex."""
    t, lag = np.asarray(t, dtype=float), p.get("lag", 0.0)
    lag = lag if np.real(lag) < np.real(p["tmax"]) else p["tmax"]
    later = t >= np.real(p["tmax"])
    growing = np.where(later, 0.0, np.where(t > np.real(lag), t, lag) - p["tmax"])
    since = np.where(later, t - p["tmax"], 0.0)
    fast, slow = np.exp(-p["alpha"] * since), np.exp(-p["beta"] * since)
    return p["cmax"] * np.exp(p["rho"] * growing) * ((1 - p["fb"]) * fast + p["fb"] * slow)


def one_compartment(t, p, doses):
    """Sum over the doses of a bolus' or an infusion's level."""
    t = np.asarray(t, dtype=float)
    k, total = p["clearance"] / p["volume"], 0.0
    for start, amount, duration in doses:
        since = np.maximum(t - start, 0.0)
        if duration == 0:
            one = amount / p["volume"] * np.exp(-k * since)
        else:
            past = np.maximum(since - duration, 0.0)
            one = amount / duration / p["clearance"] * np.exp(-k * past)
            one = one * (1 - np.exp(-k * np.minimum(since, duration)))
        total = total + np.where(t >= start, one, 0.0)
    return total


def quadratic(times, p, doses=()):
    """y' = rate y² with boluses (time, amount): y / (1 - rate y t) from one to the next."""
    out = []
    for t in np.atleast_1d(times):
        y, before = p["start_level"], 0.0
        for when, amount in sorted(d for d in doses if d[0] <= t):
            y = y / (1 - p["rate"] * y * (when - before)) + amount
            before = when
        out.append(y / (1 - p["rate"] * y * (t - before)))
    return np.array(out)


def complex_step(function, p, names):
    """d function / d parameter of a closed form, parameters last."""
    return np.stack([function({**p, n: p[n] + 1e-30j}).imag / 1e-30 for n in names], axis=-1)


# --- right-hand sides ----------------------------------------------------------------------


def _antigen_rhs(t, middle, y, p):
    e, m, a, i = y
    growing = p["growth"] * (1 - p["block"] * p["toci"]) * a / (p["half"] + a)
    power = e ** p["steep"] if e != 0 else 0.0
    raised = 1 + p["rise"] * power / (p["ec50"] ** p["steep"] + power)
    return [
        growing * e - p["death"] * e - p["turn"] * e,
        p["turn"] * e - p["fade"] * m,
        -p["kill"] * e * a,
        4 * p["death"] * (p["base"] * raised - i),
    ]


ANTIGEN_DRIVEN = Problem(
    initial=lambda p: [0.0, 0.0, p["burden"], p["base"]],
    rhs=_antigen_rhs,
    observe=lambda y, p: [y[0] + y[1], y[3]],
    gain=lambda p: p["gain"],
    inputs={"toci": 0.0},
)

PREDATOR_PREY = Problem(
    initial=lambda p: [p["prey0"], p["predator0"]],
    rhs=lambda t, middle, y, p: [
        p["growth"] * y[0] - p["kill"] * y[0] * y[1],
        p["feed"] * y[0] * y[1] - p["death"] * y[1],
    ],
    observe=lambda y, p: [y[1], np.log(y[0] / p["prey0"])],
)

SATURABLE = Problem(
    initial=lambda p: [0.0],
    rhs=lambda t, middle, y, p: [
        p["ka"] * p["amount"] / p["volume"] * np.exp(-p["ka"] * t)
        - p["vmax"] * y[0] / (p["km"] + y[0])
    ],
    observe=lambda y, p: [y[0]],
)


def _cytokine_rhs(t, middle, y, p):
    late = 0.5 * (1 + np.tanh(0.5 * (t - p["tmax"]) / p["width"]))
    raised = p["base"] * (1 + p["rise"] * y[0] / (p["ec50"] + y[0]))
    return [
        (p["rho"] - (p["rho"] + p["alpha"]) * late) * y[0],
        p["kout"] * (raised - y[1]),
    ]


FAST_CYTOKINE = Problem(
    initial=lambda p: [p["start_level"], p["base"]],
    rhs=_cytokine_rhs,
    observe=lambda y, p: [y[0], y[1]],
    stiff=True,
)
