"""What the contract suite runs over: every registered model and the models of one's own.

``INSTANCES`` takes further ones, such as composed models; ``SPECIAL`` says what the general
schedule of doses, inputs and times must not be for a model, and why.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import ode_cases
import ode_models as own
import ode_plain
import ode_reference as reference

from cart_pkpd import models
from cart_pkpd._core.units import exponents
from cart_pkpd._engine.schedule import Change, Dose, base_values, schedule
from cart_pkpd._engine.solve import sensitivities

INSTANCES = {
    **{name: models.get(name) for name in models.names()},
    **{cls.__name__: cls() for cls in own.ALL},
    # A model made of parts: a tumour that cells kill, which drives a cytokine.
    "stein2019+parts": models.get("stein2019")
    + models.tumour()
    + models.cytokines(["il6"], driver="killing"),
}

TIMES = (0.5, 1.5, 4.5, 7.0, 10.0, 14.0, 28.0, 90.0)
STEP = 5e-4
"""Relative step of differences; switches move by up to three of them."""
AMOUNTS = {"cells": 1e8, "mg": 300.0, "copies/µg": 0.2, "1": 0.5}


@dataclass(frozen=True)
class Case:
    """How one model is tried."""

    model: models.Model
    times: tuple = TIMES
    doses: tuple = ()
    changes: tuple = ()
    width: float = 0.3
    """Standard deviation of random points around the typical ones, free scale."""
    prior: float = 0.6
    """The same for the draws that must be solved."""
    signed: tuple = ()
    """Endpoints and states that may be negative."""
    silent: tuple = ()
    """Parameters that act on no endpoint at any point, by intent."""

    @property
    def is_ode(self):
        return isinstance(self.model, models.OdeModel)

    @property
    def names(self):
        return tuple(self.model.parameters)

    @property
    def schedule(self):
        return {"doses": self.doses, "changes": self.changes}


SPECIAL = {
    "PredatorPrey": {
        "times": (0.3, 2.0, 5.0, 11.0, 23.0),  # later cycles pass through less than 1e-9 cells
        "prior": 0.4,
        "signed": ("log_tumour",),
    },
    "Saturable": {"times": (0.05, 0.5, 1.0, 2.0, 3.0, 4.0)},  # all is gone after 5 days
    "BlowUp": {  # infinite at day 6.7 at the typical values with these doses
        "times": (0.3, 1.5, 2.5, 4.0),
        "doses": ((0.0, 0.2, 0.0), (1.0, 0.3, 0.5)),
        "width": 0.1,
        "prior": 0.1,
    },
    "barros2021": {"times": (0.5, 1.5, 4.5, 7.0, 10.0, 14.0, 20.0)},  # Raji grows without limit
    "brummer2022": {"times": (0.05, 0.2, 0.5, 1.0, 2.0, 3.2, 4.0, 6.0)},  # an assay of a week
    # Where refilling stops is a kink that costs digits, and later cycles of blasts amplify it.
    "hanson2016": {"times": (0.5, 1.5, 4.5, 7.0, 10.0, 14.0, 28.0, 40.0)},
    "OneCompartment": {"times": (0.01, 0.5, 1.5, 3.2, 5.0, 9.0)},
    "AntigenDriven": {"times": (0.5, 1.0, 6.0, 9.0, 14.0, 28.0, 60.0)},
    "chaudhury2020_predator_prey": {"signed": ("log_tumour",)},
    "chaudhury2020_first_order": {"signed": ("log_tumour",)},
    "chaudhury2020_ec50": {"signed": ("log_tumour",)},
    "FastCytokine": {"times": (0.02, 2.0, 8.5, 9.5, 20.0, 365.0)},
    "owens_bozic2021": {"times": (0.5, 1.5, 4.5, 7.0, 10.0, 14.0)},  # later, cure hangs on digits
    # Complexes are made and lost within minutes: what SciPy leaves of them when their cells are
    # gone has either sign. Far from the published values they outlive their cells, and grow
    # without limit.
    "park2025": {
        "signed": tuple(f"cd{n}_complexes{place}" for n in (4, 8) for place in ("", "_marrow")),
        "width": 0.1,
        "prior": 0.1,
    },
    "mueller_schoell2021": {  # no transplant and a CD4:CD8 ratio of 1: nothing to act on
        "silent": ("asct_effect", "cd4_cd8_power"),
    },
}

SLOW = frozenset({"park2025"})
"""Models whose kernel takes minutes: 24 equations with derivatives by 36 parameters."""

TWINS: dict[str, Callable] = {
    "stein2019": lambda t, p, doses: np.log(reference.two_phases(t, p)),
    "ogasawara2021": lambda t, p, doses: np.log(reference.two_phases(t, p)),
    "EffectorMemory": lambda t, p, doses: reference.two_phases(t, p),
    "LagEffectorMemory": lambda t, p, doses: reference.two_phases(t, p),
    "OneCompartment": lambda t, p, doses: reference.one_compartment(t, p, doses),
}
"""Closed forms by case: what the kernel gives at times, for parameters that may be complex."""


def doses_for(model):
    """A bolus, a short infusion, a repeated dose and a long infusion."""
    if getattr(model, "dosed", None) is None:
        return ()
    a, t = AMOUNTS.get(model.dose_unit, 1.0), max(model.start, 0.0)
    return ((t, 0.5 * a, 0.0), (t, 0.5 * a, 0.02), (t + 3.0, a, 0.0), (t + 3.5, 0.5 * a, 1.0))


def changes_for(model):
    """Every input moves at day 4 and again at day 8.5."""
    inputs = getattr(model, "inputs", {})
    return tuple(
        (n, t, u.typical + by) for n, u in inputs.items() for t, by in ((4.0, 1.0), (8.5, 0.25))
    )


def case_of(name):
    model = INSTANCES[name]
    general = {"doses": doses_for(model), "changes": changes_for(model)}
    return Case(model, **{**general, **SPECIAL.get(name, {})})


CASES = {name: case_of(name) for name in INSTANCES}


# --- points --------------------------------------------------------------------------------


def values(case, p):
    """Every value of the equations: parameters `p`, typical covariates and inputs."""
    rest = {**getattr(case.model, "covariates", {}), **getattr(case.model, "inputs", {})}
    return {**case.model.typical(), **{n: c.typical for n, c in rest.items()}, **p}


def points(case):
    """Labelled parameter points: typical, every parameter set, and one at random."""
    model = case.model
    found = {"typical": model.typical()}
    found |= {name: model.with_set(name).typical() for name in model.parameter_sets}
    rng = np.random.default_rng(20_260_101)
    found["random"] = ode_cases.point(model, rng, case.width)
    return {label: values(case, p) for label, p in found.items()}


def draws(case, n):
    """Parameters drawn around the typical values, by the declared widths but not too far."""
    rng = np.random.default_rng(7)
    return [
        values(
            case,
            {
                k: float(q.to_natural(q.to_free(q.typical) + min(q.spread, case.prior) * z))
                for (k, q), z in zip(
                    case.model.parameters.items(),
                    rng.standard_normal(len(case.names)),
                    strict=True,
                )
            },
        )
        for _ in range(n)
    ]


def switches(case, p):
    """Times at which the equations jump at `p`; of a closed form every parameter in days."""
    if not case.is_ode:
        return [v for n, v in p.items() if case.model.parameters[n].unit == "day"]
    here = ode_plain.values_at(case.model, p, (), 0.0)
    return [float(s) for s in ode_plain.several(case.model.switches(here))]


def times(case, p):
    """The general times, and both sides of every switch, dose and change of an input."""
    edges = [s for s in switches(case, p) if s > 0]
    near = [s + side * 4 * STEP * max(s, 1.0) for s in edges for side in (-1, 1)]
    fixed = {c[1] for c in case.changes} | {e for t, _, d in case.doses for e in (t, t + d)}
    near += [t + side * 1e-3 for t in fixed if t > 0 for side in (-1, 1)]
    clear = [
        t
        for t in (*case.times, *near)
        if t > 0 and all(abs(t - s) >= 3.5 * STEP * s for s in edges)
    ]
    return np.unique([max(0.0, getattr(case.model, "start", 0.0)), *clear])


# --- the kernel ----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Solved:
    """Levels (k, n, endpoints), derivatives (k, n, endpoints, m) and status (k,)."""

    level: np.ndarray
    slope: np.ndarray
    status: np.ndarray


def solved(case, rows, when, rtol=1e-11, program=None, doses=None, changes=None):
    """Solve for several points at the same times with the model's one compiled kernel."""
    program = case.model.program if program is None else program
    doses = case.doses if doses is None else doses
    changes = case.changes if changes is None else changes
    k, n, e = len(rows), len(when), len(program.endpoints)
    at = program.states.index(case.model.dosed) if doses else 0
    plan = schedule(
        k,
        patient=np.repeat(np.arange(k), n * e),
        time=np.tile(np.repeat(when, e), k),
        endpoint=np.tile(np.arange(e), k * n),
        doses=[Dose(i, t, a, at, d) for i in range(k) for t, a, d in doses],
        changes=[Change(i, t, v, program.values.index(c)) for i in range(k) for c, t, v in changes],
    )
    base = base_values(program, k, {name: [r[name] for r in rows] for name in program.values})
    value, by, status = sensitivities(
        program, case.names, base, plan, rtol=rtol, max_steps=1_000_000, threads=1
    )
    level, slope = np.empty(value.size), np.empty(by.shape)
    level[plan.order], slope[plan.order] = value, by
    return Solved(level.reshape(k, n, e), slope.reshape(k, n, e, -1), status)


@cache
def at_points(name):
    """Points, their times and the kernel's answer there at a tight tolerance, by label."""
    case, out = CASES[name], {}
    for label, p in points(case).items():
        when = times(case, p)
        out[label] = p, when, solved(case, [p], when)
    return out


def steps(case, p):
    """By parameter, the size that a relative step is taken of."""
    sizes = {}
    for n, q in case.model.parameters.items():
        within = {"log": abs(p[n]), "logit": p[n] * (1 - p[n])}
        sizes[n] = within.get(q.scale, max(abs(p[n]), min(q.spread, 1.0)))
    return np.array(list(sizes.values()))


def differences(case, p, levels_at):
    """Derivatives times `steps`, by central differences of order 6 of ``levels_at(points)``."""
    size, moves = steps(case, p), (-3, -2, -1, 1, 2, 3)
    rows = [
        {**p, n: p[n] + move * STEP * s}
        for n, s in zip(case.names, size, strict=True)
        for move in moves
    ]
    levels = levels_at(rows)
    weights = np.array([-1, 9, -45, 45, -9, 1]) / 60
    shape = (len(size), len(moves), *levels.shape[1:])
    return np.moveaxis(np.tensordot(levels.reshape(shape), weights, (1, 0)), 0, -1) / STEP


def size_of(level, time_axis=0):
    """What errors are relative to: the level, or a millionth of its largest value so far."""
    reached = np.maximum.accumulate(np.abs(level), axis=time_axis)
    size = np.maximum(np.abs(level), 1e-6 * reached)
    return np.where(size > 0, size, 1.0)


# --- other units ---------------------------------------------------------------------------

BASES = {"day": 24.0, "copy": 1e-3, "cell": 1e-6, "g": 7.0, "L": 30.0, "m": 0.2, "mol": 3.0}


def in_other_units(unit):
    """What a number in `unit` is multiplied by when the base units change."""
    return float(np.prod([BASES.get(base, 1.0) ** n for base, n in exponents(unit).items()]))
