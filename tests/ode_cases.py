"""Models with their reference solutions, and how tests ask the solver for one patient."""

import numpy as np
import ode_models as own
import ode_reference as reference

from cart_pkpd._engine.schedule import Change, Dose, base_values, schedule
from cart_pkpd._engine.solve import sensitivities


def point(model, rng, width=0.3):
    """A parameter point near the typical values, on the natural scale.

    The width of a real number is no more than its spread, which is in its own unit.
    """
    widths = {
        n: min(width, p.spread) if p.scale == "identity" else width
        for n, p in model.parameters.items()
    }
    return {
        n: float(p.to_natural(p.to_free(p.typical) + widths[n] * rng.standard_normal()))
        for n, p in model.parameters.items()
    }


def values(model, rng=None, width=0.3):
    """Parameters near the typical ones (at them without `rng`), and typical covariates."""
    typical = {name: c.typical for name, c in getattr(model, "covariates", {}).items()}
    return {**(point(model, rng, width) if rng else model.typical()), **typical}


def solved(model, p, times, doses=(), changes=(), rtol=1e-10, **settings):
    """Levels (n, endpoints), and derivatives by all parameters (n, endpoints, m), of one patient.

    `p` may hold covariates too; doses and changes as in ``ode_reference.levels``.
    """
    program, count = model.program, len(model.program.endpoints)
    inputs = {name: u.typical for name, u in getattr(model, "inputs", {}).items()}
    plan = schedule(
        1,
        patient=np.zeros(len(times) * count, dtype=int),
        time=np.repeat(times, count),
        endpoint=np.tile(np.arange(count), len(times)),
        doses=[Dose(0, t, amount, 0, duration) for t, amount, duration in doses],
        changes=[Change(0, t, v, program.values.index(name)) for name, t, v in changes],
    )
    base = base_values(program, 1, {**values(model), **inputs, **p})
    value, slope, status = sensitivities(
        program, tuple(model.parameters), base, plan, rtol=rtol, **settings
    )
    assert status.tolist() == [0]
    level, by = np.empty(plan.order.size), np.empty((plan.order.size, slope.shape[1]))
    level[plan.order], by[plan.order] = value, slope
    return level.reshape(-1, count), by.reshape(len(times), count, -1)


CASES = [
    (
        own.AntigenDriven(),
        reference.ANTIGEN_DRIVEN,
        [0.5, 1.0, 3.0, 6.0, 9.0, 14.0, 28.0, 60.0],
        {
            "doses": [(0.0, 5e7, 0.02), (3.0, 1e8, 0.0), (3.5, 5e7, 1.0)],
            "changes": [("toci", 4.0, 1.0), ("toci", 8.5, 0.25)],
        },
    ),
    (own.PredatorPrey(), reference.PREDATOR_PREY, [0.3, 2.0, 5.0, 11.0, 23.0], {}),
    (own.Saturable(), reference.SATURABLE, [0.05, 0.5, 1.0, 2.0, 3.0, 4.0], {}),
    (own.FastCytokine(), reference.FAST_CYTOKINE, [0.02, 2.0, 8.5, 9.5, 20.0, 365.0], {}),
]
