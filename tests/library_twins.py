"""Twins of models: equations solved by SciPy's LSODA, and how models are compared with them."""

import numpy as np
import pandas as pd
from scipy.integrate import solve_ivp

LN2 = np.log(2.0)
RTOL = 2e-6


def twin(slopes, start, times, doses=()):
    """Return states at `times`; `doses` are (time, index of the state, amount)."""
    y, begin = np.array(start, dtype=float), 0.0
    out = np.empty((len(times), y.size))
    stops = [*sorted(doses), (times[-1], 0, 0.0)]
    for stop, state, amount in stops:
        if stop > begin:
            inside = (times >= begin) & (times <= stop)
            solved = solve_ivp(
                slopes, (begin, stop), y, method="LSODA", rtol=1e-10,
                atol=1e-12 * max(1.0, np.abs(y).max()) * 1e-6, dense_output=True,
            )  # fmt: skip
            assert solved.success
            out[inside] = solved.sol(times[inside]).T
            y = solved.y[:, -1].copy()
        y[state] += amount
        out[times == stop] = y
        begin = stop
    return out


def values_of(model, names=("",)):
    """Return parameters of the declared values ("") and of sets, one row each."""
    return pd.DataFrame([(model.with_set(n) if n else model).typical() for n in names])


def simulated(model, times, params, **kwargs):
    """Return the simulation with states, more exact than by default."""
    return model.simulate(times, params, states=True, rtol=1e-9, **kwargs)


def assert_agrees(model, found, row, reference, rtol=RTOL):
    """Compare every state of one patient with a twin, apart from what is below its floor."""
    one = found if "id" not in found.dims else found.isel(id=row)
    assert np.all(np.asarray(one["status"]) == "solved")
    for i, (name, state) in enumerate(model.states.items()):
        size = np.maximum(np.abs(reference[:, i]), max(state.floor, 1e-9 * reference[:, i].max()))
        error = np.abs(one[name].values - reference[:, i]) / size
        assert error.max() < rtol, f"{name}: {error.max():.1e}"
