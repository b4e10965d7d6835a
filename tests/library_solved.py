"""Equations solved piece by piece by SciPy's LSODA, and how models are compared with them."""

from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.integrate import solve_ivp

DAYS = np.unique(np.concatenate([[0.02, 0.1, 0.25, 0.5, 0.75], np.arange(1.0, 91.0, 1.0)]))


def solved(rhs, state, times, jumps=(), breaks=(), start=0.0, atol=1e-10):
    """Solve piece by piece: `jumps` are (time, index, amount), `breaks` are times."""
    y, out = np.array(state, float), np.empty((len(times), len(state)))
    edges = sorted({start, *breaks, *(j[0] for j in jumps), float(times[-1])})
    for a, b in pairwise(edges):
        for when, index, amount in jumps:
            y[index] += amount if when == a else 0.0
        wanted = (times > a) & (times <= b)
        middle = 0.5 * (a + b)
        s = solve_ivp(
            lambda t, y, m=middle: rhs(m, y), (a, b), y, method="LSODA", rtol=1e-10, atol=atol,
            t_eval=np.union1d(times[wanted], b),
        )  # fmt: skip
        assert s.success
        out[wanted], y = s.y.T[: wanted.sum()], s.y[:, -1].copy()
    return out


def assert_close(found, expected, size, tolerance=1e-5):
    """Compare relative to the expected level, or to `size` where it is smaller."""
    scale = np.maximum(np.abs(expected), size)
    worst = float(np.max(np.abs(np.asarray(found) - expected) / scale))
    assert worst < tolerance, worst


def by_dose(model, times, amounts, **kwargs):
    """Simulate one patient per dose, in one call."""
    n = len(amounts)
    name = next(iter(model.parameters))
    doses = pd.DataFrame({"id": range(n), "time": [0.0] * n, "amount": amounts})
    return model.simulate(times, {name: [model.typical()[name]] * n}, doses=doses, **kwargs)
