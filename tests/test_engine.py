"""The solver and its sensitivities against closed forms, SciPy and exact properties.

What every model must do is in ``test_model_contract``; here is what is special.
Everything a test expects comes from ``ode_reference`` (NumPy and SciPy alone) or from a
property that holds exactly. Levels are compared relative to themselves, derivatives as
elasticities: (parameter / level) times the derivative.
"""

import numpy as np
import ode_models as own
import ode_reference as reference
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from ode_cases import CASES, solved, values

from cart_pkpd import models
from cart_pkpd._engine.schedule import Dose, base_values, schedule
from cart_pkpd._engine.solve import sensitivities

TWINS = {"stein2019": own.EffectorMemory(), "ogasawara2021": own.LagEffectorMemory()}
by_case = pytest.mark.parametrize(
    ("model", "problem", "times", "what"), CASES, ids=[type(c[0]).__name__ for c in CASES]
)


def elasticities(slope, p, names, level):
    return slope * np.array([p[n] for n in names]) / np.abs(level)[..., None]


# --- closed forms --------------------------------------------------------------------------


def test_a_lag_beyond_the_peak_has_the_derivatives_of_the_closed_form():
    """Levels to 1e-7 and elasticities to 1e-6 at rtol 1e-9; the lag itself does not act."""
    model = own.LagEffectorMemory()
    p = {**values(model, np.random.default_rng(7)), "lag": 12.0, "tmax": 9.0}
    times = np.array([0.0, 0.4, 8.999, 9.001, 11.999, 12.001, 28.0, 90.0, 700.0])
    level, slope = solved(model, p, times, rtol=1e-9)
    expected = reference.two_phases(times, p)
    by = reference.complex_step(lambda q: reference.two_phases(times, q), p, p)
    assert_allclose(level[:, 0], expected, rtol=1e-7)
    assert_allclose(elasticities(slope[:, 0] - by, p, p, expected), 0.0, atol=1e-6)
    assert_array_equal(slope[..., list(p).index("lag")], 0.0)


def test_the_peak_time_of_stein_has_the_derivative_of_the_closed_form():
    """d ln C / d tmax at day 15 is 0.157006 (six digits) at the typical values.

    By hand, with s = 15 - 9.3: (alpha (1 - fb) exp(-alpha s) + beta fb exp(-beta s)) divided by
    the share of the peak that is left. Without the jump at the switch it would be -0.889.
    """
    model = own.EffectorMemory()
    level, slope = solved(model, model.typical(), [15.0])
    at = list(model.parameters).index("tmax")
    assert_allclose(slope[0, 0, at] / level[0, 0], 0.157006, atol=5e-7)


@pytest.mark.parametrize("name", ["stein2019", "ogasawara2021"])
def test_the_twin_of_a_registered_model_simulates_alike(name):
    """Through simulate at its default tolerance of 1e-6: to 1e-5."""
    model, registered = TWINS[name], models.get(name)
    p = values(registered, np.random.default_rng(2))
    times = [0.0, 3.0, 9.0, 14.0, 90.0, 365.0]
    level, _ = solved(model, p, times, rtol=1e-6)
    assert_allclose(level[:, 0], registered.simulate(times, **p)["transgene"], rtol=1e-5)


# --- SciPy ---------------------------------------------------------------------------------


@by_case
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_levels_equal_those_of_scipy(model, problem, times, what, seed):
    """LSODA at 1e-11, restarted at every dose and change: to 1e-7 at rtol 1e-9."""
    p = values(model, np.random.default_rng(seed))
    expected = reference.levels(problem, p, times, **what, method="LSODA", rtol=1e-11)
    level, _ = solved(model, p, times, **what, rtol=1e-9)
    assert_allclose(level, expected, rtol=1e-7)


@by_case
@pytest.mark.parametrize("seed", [6, 7])
def test_derivatives_equal_those_of_scipy(model, problem, times, what, seed):
    """For every parameter, by complex step or differences of order 4: elasticities to 1e-6."""
    p = values(model, np.random.default_rng(seed))
    names = tuple(model.parameters)
    level = reference.levels(problem, p, times, **what)
    expected = reference.slopes(problem, p, names, times, **what)
    _, slope = solved(model, p, times, **what)
    assert_allclose(elasticities(slope - expected, p, names, level), 0.0, atol=1e-6)
    assert (np.abs(slope).max(axis=(0, 1)) > 0).all()


@by_case
def test_errors_shrink_with_the_tolerance(model, problem, times, what):
    """Relative errors stay below 100 times rtol from 1e-4 to 1e-8."""
    p = values(model)
    expected = reference.levels(problem, p, times, **what)
    for rtol in (1e-4, 1e-6, 1e-8):
        level, _ = solved(model, p, times, **what, rtol=rtol)
        assert_allclose(level, expected, rtol=100 * rtol)


def test_a_stiff_year_takes_few_steps():
    """An explicit method is stable at steps up to 3.5 / 50 day: 5200 for a year."""
    model = own.FastCytokine()
    solved(model, model.typical(), [365.0], rtol=1e-6, max_steps=1000)


# --- doses, inputs and covariates ----------------------------------------------------------

DOSES = {
    "bolus": [(0.0, 300.0, 0.0)],
    "late": [(2.0, 300.0, 0.0)],
    "short infusion": [(0.0, 300.0, 0.02)],
    "repeated": [(0.0, 100.0, 0.0), (1.0, 100.0, 0.0), (1.0, 50.0, 0.0), (3.0, 200.0, 0.0)],
    "overlapping": [(0.0, 100.0, 2.0), (1.0, 80.0, 2.5), (1.5, 60.0, 0.0), (3.0, 40.0, 0.5)],
    "after the last sample": [(0.0, 100.0, 0.0), (40.0, 100.0, 0.0)],
    "unordered": [(3.0, 40.0, 0.5), (0.0, 100.0, 0.0)],
}


@pytest.mark.parametrize("doses", DOSES.values(), ids=DOSES)
def test_linear_doses_give_sums_of_exponentials(doses):
    """Levels to 1e-8 of the peak and derivatives to 1e-7, at the times of doses and between."""
    model = own.OneCompartment()
    p = values(model, np.random.default_rng(3))
    times = np.array([0.0, 0.01, 0.02, 0.5, 1.0, 1.5, 2.0, 2.2, 3.0, 3.5, 5.0, 9.0])
    level, slope = solved(model, p, times, doses)
    expected = reference.one_compartment(times, p, doses)
    by = reference.complex_step(lambda q: reference.one_compartment(times, q, doses), p, p)
    assert_allclose(level[:, 0], expected, atol=1e-8 * expected.max())
    gap = elasticities(slope[:, 0] - by, p, p, np.full_like(expected, expected.max()))
    assert_allclose(gap, 0.0, atol=1e-7)


def test_a_sample_at_a_dose_sees_the_state_after_it_unless_drawn_before():
    program = own.OneCompartment().program
    plan = schedule(
        1, patient=[0, 0], time=[1.0, 1.0], before=[False, True],
        doses=[Dose(0, 0.0, 30.0, 0), Dose(0, 1.0, 60.0, 0)],
    )  # fmt: skip
    base = base_values(program, 1, {"clearance": 30.0, "volume": 30.0})
    value, _, _ = sensitivities(program, ("clearance", "volume"), base, plan, rtol=1e-10)
    found = np.empty(2)
    found[plan.order] = value
    assert_allclose(found, [np.exp(-1.0) + 2.0, np.exp(-1.0)], rtol=1e-9)


def test_no_dose_gives_nothing():
    """Cells and drug stay at exactly 0 until the first dose, and with an amount of 0."""
    for model, extra in ((own.OneCompartment(), 2), (own.AntigenDriven(), 12)):
        for doses in ([], [(0.0, 0.0, 0.0)], [(0.0, 0.0, 0.5)], [(50.0, 1.0, 0.0)]):
            level, slope = solved(model, values(model), [0.0, 1.0, 40.0], doses)
            assert_array_equal(level[:, 0], 0.0)
            assert_array_equal(slope[:, 0], np.zeros((3, extra)))


def test_an_input_holds_from_its_time_on():
    """The solution after a change continues from the state before it: SciPy, by hand.

    Tocilizumab at 1 from day 4 to day 8; levels to 1e-7.
    """
    model, what = own.AntigenDriven(), {"doses": [(0.0, 1e8, 0.0)]}
    p, times = values(model), [3.0, 4.0, 6.0, 8.0, 12.0]
    changes = [("toci", 4.0, 1.0), ("toci", 8.0, 0.0)]
    level, _ = solved(model, p, times, **what, changes=changes)
    without, _ = solved(model, p, times, **what)
    assert_allclose(level[:2], without[:2], rtol=1e-9)
    assert (level[2:4, 0] < 0.9 * without[2:4, 0]).all()
    slowed = {**p, "growth": p["growth"] * (1 - p["block"])}
    y = np.array([p["gain"] * 1e8, 0.0, p["burden"], p["base"]])
    piece = lambda q, y, a, b: reference._piece(  # noqa: E731
        reference.ANTIGEN_DRIVEN, q, y, a, b, (), (), "LSODA", 1e-11
    )
    y = piece(p, piece(slowed, piece(p, y, 0.0, 4.0), 4.0, 8.0), 8.0, 12.0)
    assert_allclose(level[-1], [y[0] + y[1], y[3]], rtol=1e-7)


def test_an_input_that_changes_to_the_value_it_has_changes_nothing():
    """Only the steps differ: to 1e-8."""
    model, what = own.AntigenDriven(), {"doses": [(0.0, 1e8, 0.0)]}
    times = [3.0, 9.0, 20.0]
    one, _ = solved(model, values(model), times, **what, changes=[("toci", 4.0, 0.0)])
    assert_allclose(one, solved(model, values(model), times, **what)[0], rtol=1e-8)


def test_an_input_given_before_the_start_holds_from_the_start():
    model, what = own.AntigenDriven(), {"doses": [(0.0, 1e8, 0.0)]}
    early, late = (
        solved(model, values(model), [5.0], **what, changes=[("toci", t, 1.0)])[0]
        for t in (-3.0, 0.0)
    )
    assert_array_equal(early, late)


def test_a_covariate_is_each_patient_s_own():
    """The swallowed amount, against SciPy: to 1e-7."""
    model = own.Saturable()
    for amount in (50.0, 400.0):
        p = {**model.typical(), "amount": amount}
        expected = reference.levels(reference.SATURABLE, p, [0.5, 1.0, 2.0])
        assert_allclose(solved(model, p, [0.5, 1.0, 2.0])[0], expected, rtol=1e-7)


# --- states --------------------------------------------------------------------------------


def test_a_hill_exponent_below_1_starts_from_nothing():
    """No cells until day 3: IL-6 is at its base, and so are its derivatives (1 by base)."""
    model = own.AntigenDriven()
    level, slope = solved(model, {**values(model), "steep": 0.8}, [2.0], [(3.0, 1e8, 0.0)])
    assert_allclose(level[0], [0.0, 5.0])
    assert_allclose(slope[0, 1].sum(), 1.0)
