"""Patients in lock-step: the numbers of one by one, in any company; functions to the last bits."""

from itertools import pairwise

import numpy as np
import ode_models as own
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from ode_cases import CASES, values
from test_engine_translation import POINTS, formulas

from cart_pkpd import models, simulate
from cart_pkpd._engine.expression import call, constant
from cart_pkpd._engine.program import Program, state_symbol, value_symbol
from cart_pkpd._engine.schedule import Change, Dose, base_values, schedule
from cart_pkpd._engine.solve import levels, observing_states
from cart_pkpd._engine.widening import WIDTH
from cart_pkpd.models import OdeModel, Positive, State

SCALES = dict.fromkeys(("a", "b"), ("identity", 1.0))


def cohort(model, rng, times, doses=(), changes=(), k=2 * WIDTH + 3):
    """Return ``run(patients, lanes, **settings)``: ragged levels by patient, and the status.

    Every other patient has half the doses, so that lanes meet different events.
    """
    program = observing_states(model.program)
    count = len(program.endpoints)
    typical = {n: u.typical for n, u in getattr(model, "inputs", {}).items()}
    who = [{**values(model, rng), **typical} for _ in range(k)]
    own_times = [np.sort(rng.choice(times, rng.integers(2, len(times) + 1), False)) for _ in who]

    def run(patients, lanes=True, **settings):
        n = len(patients)
        seen = [own_times[i] for i in patients]
        plan = schedule(
            n,
            patient=np.repeat(np.arange(n), [count * t.size for t in seen]),
            time=np.repeat(np.concatenate(seen), count),
            endpoint=np.tile(np.arange(count), sum(t.size for t in seen)),
            doses=[
                Dose(at, t, amount, 0, length)
                for at, i in enumerate(patients)
                for t, amount, length in doses[: len(doses) - i % 2]
            ],
            changes=[
                Change(at, t, v, program.values.index(name))
                for at in range(n)
                for name, t, v in changes
            ],
        )
        base = base_values(program, n, {p: [who[i][p] for i in patients] for p in who[0]})
        found, status = levels(program, base, plan, lanes=lanes, threads=1, **settings)
        cut = plan.ob_start
        return [found[a:b] for a, b in pairwise(cut)], status

    return run


def apart(level, other, count):
    """Return the largest difference, relative to the highest level that any patient has.

    Patients without a solution in one of the two are left out.
    """
    a, b = (np.concatenate([np.reshape(v, (-1, count)) for v in of]) for of in (level, other))
    return np.nanmax(np.abs(a - b) / np.nanmax(np.abs(b), axis=0).clip(1e-300))


# --- the same numbers ----------------------------------------------------------------------


def ode_cases():
    return [pytest.param(*case[:1], *case[2:], id=type(case[0]).__name__) for case in CASES]


@pytest.mark.parametrize(("model", "times", "what"), ode_cases())
def test_levels_are_those_of_one_by_one(model, times, what):
    """At rtol 1e-8 within 1e-6 of the other kernel at 1e-10; doses, inputs, switches, stiffness."""
    run = cohort(model, np.random.default_rng(4), np.asarray(times, dtype=float), **what)
    everybody = range(2 * WIDTH + 3)
    level, status = run(everybody, rtol=1e-8)
    exact, _ = run(everybody, lanes=False, rtol=1e-10)
    assert not status.any()
    assert apart(level, exact, len(observing_states(model.program).endpoints)) < 1e-6


ODE = [n for n in models.names() if isinstance(models.get(n), models.OdeModel)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ODE)
def test_every_registered_model_has_the_levels_of_one_by_one(name):
    """At the default 1e-6 at most 1e-6 further from the levels at 1e-10 than twice one by one.

    Everybody has a solution, one by one too, and those whom nobody infuses cells have none.
    """
    model = models.get(name)
    doses = [(0.0, 1e7, 0.0)] if model.dosed is not None else []
    times = np.array([0.0, 1.0, 4.0, 7.5, 14.0, 28.0, 60.0, 180.0])
    run = cohort(model, np.random.default_rng(5), times, doses, k=WIDTH + 5)
    everybody, count = range(WIDTH + 5), len(observing_states(model.program).endpoints)
    level, status = run(everybody)
    scalar, known = run(everybody, lanes=False)
    exact, solved = run(everybody, lanes=False, rtol=1e-10, max_steps=100_000)
    for how in (status, known, solved):
        assert not how.any()
    assert apart(level, exact, count) < 2.0 * apart(scalar, exact, count) + 1e-6


def test_patients_do_not_see_each_other():
    """Alone, in another order, in other lanes: the same bits, with samples at their own times."""
    (model, _, times, what) = CASES[0]
    rng = np.random.default_rng(6)
    run = cohort(model, rng, np.asarray(times, dtype=float), **what, k=4 * WIDTH)
    level, _ = run(range(4 * WIDTH))
    order = rng.permutation(4 * WIDTH)
    for i, mixed in zip(order, run(list(order))[0], strict=True):
        assert_array_equal(mixed, level[i])
    for i in range(WIDTH + 1):
        assert_array_equal(run([i])[0][0], level[i])


def test_virtual_patients_have_the_same_levels_alone():
    """One patient, ten and a hundred of one seed: the first is the same to the last bit."""
    many = simulate.patients("stein2019_comedication", 100, times=[0, 3.5, 9, 28, 60], seed=3)
    for n in (1, 10):
        few = simulate.patients("stein2019_comedication", n, times=[0, 3.5, 9, 28, 60], seed=3)
        assert_array_equal(few["level"], many["level"][:n])
        assert_array_equal(few["exposure"], many["exposure"][:n])


# --- what lanes do not do themselves -------------------------------------------------------


def test_stiff_equations_are_left_to_the_implicit_method():
    """A year with a rate of 10⁴ per day, in few steps: as one by one to 1e-8, exact to 1e-4."""
    model = own.FastCytokine()
    p = values(model) | {"kout": 1e4}
    times = np.array([0.0, 5.0, 20.0, 365.0])
    run = _one(model, p, times)
    level, status = run(max_steps=2_000)
    assert not status.any()
    assert_allclose(level, run(lanes=False)[0], rtol=1e-8)
    assert_allclose(level, run(lanes=False, rtol=1e-10)[0], rtol=1e-4)


class NoCells(OdeModel):
    """Cells that nobody infused multiply at 2 per day beside a huge tumour; one cytokine is fast.

    They may kill, at khalf cells half as fast as they can, and need a tumour of `half` cells.
    """

    cells = State("cells", "CAR-T cells", floor=1.0)
    tumour = State("cells", "tumour cells", floor=1.0)
    fast = State("cells", "what follows the tumour within seconds", floor=1.0)

    burden = Positive(1e12, "cells", "tumour cells at the infusion")
    grow = Positive(0.01, "1/day", "growth rate of the tumour")
    kill = Positive(5e4, "1/day", "largest killing rate")
    khalf = Positive(1e9, "cells", "cells of half the killing")
    rate = Positive(2.0, "1/day", "largest expansion rate")
    half = Positive(1e10, "cells", "tumour cells of half the expansion")
    turn = Positive(1e4, "1/day", "turnover of what is fast")
    dosed = "cells"

    def initial(self, p):
        return {"cells": 0.0, "tumour": p.burden, "fast": p.burden}

    def rhs(self, t, y, p):
        killing = p.kill * y.tumour * y.cells / (p.khalf + y.cells)
        return {
            "cells": p.rate * y.fast / (p.half + y.fast) * y.cells,
            "tumour": p.grow * y.tumour - killing,
            "fast": p.turn * (y.tumour - y.fast),
        }

    def observe(self, t, y, p):
        return {"level": y.tumour}


def test_the_implicit_method_makes_no_cells_out_of_nothing():
    """For 60 days 0 cells stay 0 exactly, and the tumour is that of e^(rate · time), to 1e-5.

    The matrix holds 5e7 where a cell slows the tumour and 1e4 at most on the diagonal: with rows
    exchanged by the size of such numbers, cells became ±1e-9 by rounding, and grew.
    """
    model, times = NoCells(), np.array([0.0, 10.0, 30.0, 60.0])
    for lanes in (True, False):
        level, status = _one(model, values(model), times)(lanes, max_steps=2_000)
        assert not status.any()
        tumour, cells = level.reshape(4, -1)[:, :2].T
        assert_array_equal(cells, 0.0)
        assert_allclose(tumour, 1e12 * np.exp(0.01 * times), rtol=1e-5)


def test_failures_have_the_reasons_of_one_by_one():
    """y' = r y² is infinite at day 1 / r; who needs too many steps has no solution.

    The series of order 12 is good for 0.33 / r days (2e-6 to the power 1/12): to day 20 they take
    one step with r = 0.01 and two with 0.02.
    """
    model, rates = own.BlowUp(), np.array([0.01, 0.2, 0.02, 0.5])
    program, times = observing_states(model.program), np.array([0.0, 4.0, 20.0])
    plan = schedule(4, patient=np.repeat(np.arange(4), 3), time=np.tile(times, 4))
    base = base_values(program, 4, {**values(model), "rate": rates})
    level, status = levels(program, base, plan, lanes=True)
    assert_array_equal(status > 0, [False, True, False, True])
    assert_array_equal(status, levels(program, base, plan)[1])
    level = level.reshape(4, 3)
    assert np.isnan(level[[1, 3]]).all()
    assert_allclose(level[[0, 2]], 1.0 / (1.0 - rates[[0, 2], None] * times), rtol=1e-5)
    for most, lanes, expected in ((3, False, [0, 1, 1, 1]), (3, True, [0, 1, 0, 1]),
                                  (1, True, [0, 1, 1, 1])):  # fmt: skip
        status = levels(program, base, plan, lanes=lanes, max_steps=most)[1]
        assert_array_equal(status, expected)


def test_patients_without_samples_are_passed_over():
    model = own.BlowUp()
    program = observing_states(model.program)
    plan = schedule(5, patient=[1, 1, 4], time=[0.5, 1.0, 2.0])
    base = base_values(program, 5, values(model))
    level, status = levels(program, base, plan, lanes=True)
    assert not status.any()
    assert_allclose(level, 1.0 / (1.0 - 0.1 * np.array([0.5, 1.0, 2.0])), rtol=1e-6)


def _one(model, p, times):
    program = observing_states(model.program)
    count = len(program.endpoints)
    plan = schedule(
        1, patient=np.zeros(len(times) * count, int), time=np.repeat(times, count),
        endpoint=np.tile(np.arange(count), len(times)),
    )  # fmt: skip
    base = base_values(program, 1, p)
    return lambda lanes=True, **settings: levels(program, base, plan, lanes=lanes, **settings)


# --- functions -----------------------------------------------------------------------------

Y = state_symbol("y")


def evaluated(named, points):
    """Values of formulas of two parameters, one row per point, computed in lanes.

    They are observed within a piece, for a state that does not move.
    """
    k, e = len(points), len(named)
    program = Program(
        "lanes", ("y",), ("a", "b"), 2, 0, tuple(named), initial=(constant(1.0),),
        rhs=(constant(0.0),), dose_factor=(constant(1.0),), observe=tuple(named.values()),
        scales=SCALES,
    )  # fmt: skip
    plan = schedule(
        k,
        patient=np.repeat(np.arange(k), e + 1),
        time=np.tile([0.5] * e + [1.0], k),
        endpoint=np.tile([*range(e), 0], k),
    )
    values, _ = levels(program, np.asarray(points, dtype=float), plan, lanes=True, threads=1)
    return values.reshape(k, e + 1)[:, :e]


def test_every_function_is_what_numpy_computes():
    """In lanes too: to 1e-13."""
    from cart_pkpd._engine.expression import evaluate

    named = formulas()
    found = evaluated(named, POINTS)
    at = {"p_a": POINTS[:, 0], "p_b": POINTS[:, 1]}
    expected = [np.broadcast_to(v, len(POINTS)) for v in evaluate([*named.values()], at)]
    assert_allclose(found, np.array(expected).T, rtol=1e-13)


def ulps(found, exact):
    """Return errors in units in the last place of the exact value, given with more digits."""
    return np.abs((found.astype(np.longdouble) - exact) / np.spacing(np.abs(exact.astype(float))))


more_digits = pytest.mark.skipif(
    np.finfo(np.longdouble).eps > 1e-18, reason="no floating point with more digits here"
)


@more_digits
def test_exp_is_right_to_two_units_in_the_last_place():
    """Against 64 bits: from the smallest normal result to the largest."""
    rng = np.random.default_rng(7)
    a = np.concatenate([rng.uniform(-708, 709.7, 4000), rng.normal(0, 1, 4000), [0.0, 1e-300]])
    found = evaluated({"exp": call("exp", value_symbol("a"))}, np.column_stack([a, a]))[:, 0]
    assert ulps(found, np.exp(a.astype(np.longdouble))).max() < 2


@more_digits
def test_log_is_right_to_two_units_in_the_last_place():
    """Against 64 bits: everywhere, near 1, and for numbers that are not normal."""
    rng = np.random.default_rng(8)
    a = np.concatenate(
        [np.exp(rng.uniform(-708, 709, 4000)), rng.normal(1, 1e-3, 4000), [1.0, 5e-324, 1e-310]]
    )
    found = evaluated({"log": call("log", value_symbol("a"))}, np.column_stack([a, a]))[:, 0]
    assert ulps(found, np.log(a.astype(np.longdouble))).max() < 2


@more_digits
def test_a_power_is_right_to_the_size_of_its_logarithm():
    """Relative error below 2.3e-16 (2 + |b ln a|)."""
    rng = np.random.default_rng(9)
    a, b = np.exp(rng.normal(0, 3, 6000)), rng.normal(0, 10, 6000)
    found = evaluated({"pow": value_symbol("a") ** value_symbol("b")}, np.column_stack([a, b]))
    exact = a.astype(np.longdouble) ** b.astype(np.longdouble)
    error = np.abs(found[:, 0].astype(np.longdouble) / exact - 1)
    assert (error / (2.0 + np.abs(b * np.log(a)))).max() < 2.3e-16


def test_functions_at_the_ends_of_their_ranges_are_numpys():
    """Overflow, underflow to 0, zeros, negative bases, infinity, not a number."""
    ends = np.array([-np.inf, -800.0, -0.0, 0.0, 710.0, np.inf, np.nan, -2.0, 1.0, 3.0, 0.5])
    a, b = (v.ravel() for v in np.meshgrid(ends, ends))
    named = {
        "exp": call("exp", value_symbol("a")),
        "log": call("log", value_symbol("a")),
        "pow": value_symbol("a") ** value_symbol("b"),
    }
    # One formula at a time: a patient with a level that is not a number has no others.
    with np.errstate(all="ignore"):
        for name, expected in (("exp", np.exp(a)), ("log", np.log(a)), ("pow", a**b)):
            known = ~(np.isnan(a) & np.isnan(b))
            found = evaluated({name: named[name]}, np.column_stack([a, b]))[:, 0]
            same = np.isclose(found, expected, rtol=1e-12, atol=1e-307, equal_nan=True)
            if name == "pow":
                known &= ~(np.isnan(a) | np.isnan(b) | np.isinf(a) | np.isinf(b))
            assert same[known].all(), (name, a[known & ~same], b[known & ~same])
