"""Courses of library models at small tolerances, and the same equations by SciPy's LSODA."""

import numpy as np
from scipy.integrate import solve_ivp

from cart_pkpd import models

LN2 = np.log(2.0)
AGREE = 1e-5


def course(model, times, endpoint=None, **options):
    """Levels of one endpoint at a tolerance well below the agreement asked for."""
    if isinstance(model, models.OdeModel):
        options = {"rtol": 1e-9, **options}
    found = model.simulate(times, **options)
    return found[endpoint or model.endpoint].to_numpy()


def integrate(pieces, y, times):
    """LSODA at 1e-10 through pieces (start, end, rhs); the states at `times`, shape (states, n)."""
    times, out = np.asarray(times, dtype=float), []
    for start, end, rhs in pieces:
        here = times[(times >= start) & (times < end)]
        stop = end if np.isfinite(end) else max(times[-1], start) + 1.0
        found = solve_ivp(
            rhs, (start, stop), y, method="LSODA", t_eval=[*here, stop], rtol=1e-10, atol=1e-14
        )
        assert found.success
        out.append(found.y[:, :-1])
        y = found.y[:, -1]
    return np.concatenate(out, axis=1)


def peak(times, level):
    top = int(np.argmax(level))
    return level[top], times[top]
