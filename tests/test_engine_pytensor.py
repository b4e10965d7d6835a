"""The solver inside PyTensor graphs and PyMC models, compiled by Numba without Python.

Warnings are errors here, Numba's and PyTensor's about object mode among them.
"""

import numpy as np
import ode_models as own
import ode_reference as reference
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cart_pkpd._engine.ops import levels_op
from cart_pkpd._engine.schedule import Dose, base_values, schedule
from cart_pkpd._engine.solve import Solver, floors_of, options_of, sensitivities

MODEL = own.OneCompartment()
NAMES = ("clearance", "volume")
DOSES = [(0.0, 300.0, 0.0), (1.0, 200.0, 0.5)]
TIMES = [np.array([0.5, 1.25, 3.0]), np.array([0.2, 1.0])]
GIVEN = np.array([[12.0, 30.0], [9.0, 25.0]])
"""Two patients, three and two samples."""


def data():
    """What the operation takes besides the parameters, and the schedule it comes from."""
    plan = schedule(
        2,
        patient=[0, 0, 0, 1, 1],
        time=np.concatenate(TIMES),
        doses=[Dose(i, t, amount, 0, length) for i in (0, 1) for t, amount, length in DOSES],
    )
    base = base_values(MODEL.program, 2, dict(zip(NAMES, GIVEN.T, strict=True)))
    return [
        base,
        *plan.arrays,
        floors_of(MODEL.program),
        options_of(MODEL.program, Solver(1e-10)),
    ], plan


def closed(given):
    """Levels of both patients in closed form."""
    both = zip(TIMES, given, strict=True)
    return np.concatenate(
        [reference.one_compartment(t, dict(zip(NAMES, g, strict=True)), DOSES) for t, g in both]
    )


@pytest.fixture(scope="module")
def compiled():
    """Weighted levels, their gradient and the levels, as one compiled function."""
    given, weights = pt.dmatrix("given"), pt.dvector("weights")
    arrays, _ = data()
    level = levels_op(MODEL.program, NAMES)(given, *arrays)[0]
    total = (weights * level**2).sum()
    return pytensor.function([given, weights], [level, pt.grad(total, given)], mode="NUMBA")


def test_levels_in_a_graph_are_those_of_the_solver(compiled):
    arrays, plan = data()
    level, _ = compiled(GIVEN, np.ones(5))
    value, *_ = sensitivities(MODEL.program, NAMES, arrays[0], plan, rtol=1e-10)
    assert_array_equal(level, value)
    assert_allclose(level, closed(GIVEN), rtol=1e-8)


def test_gradients_through_a_graph_equal_central_differences(compiled):
    """Differences of the closed form, step 1e-5: to 1e-6."""
    weights = np.array([1.0, -2.0, 0.5, 3.0, 0.1])
    _, gradient = compiled(GIVEN, weights)
    expected = np.empty((2, 2))
    for at in np.ndindex(2, 2):
        step = np.zeros((2, 2))
        step[at] = 1e-5 * GIVEN[at]
        change = weights @ (closed(GIVEN + step) ** 2 - closed(GIVEN - step) ** 2)
        expected[at] = change / (2 * step[at])
    assert_allclose(gradient, expected, rtol=1e-6)


def test_second_derivatives_are_refused():
    given = pt.dmatrix("given")
    arrays, _ = data()
    _, slope = levels_op(MODEL.program, NAMES)(given, *arrays)
    with pytest.raises(NotImplementedError, match="second derivatives"):
        pt.grad(slope.sum(), given)


def test_a_pymc_model_has_the_density_computed_by_hand():
    """Two lognormal parameters, normal data; ln density and slopes by the closed form: 1e-6."""
    arrays, _ = data()
    observed = np.array([6.0, 8.0, 4.0, 9.0, 8.5])
    with pm.Model() as model:
        theta = pm.LogNormal("theta", mu=np.log([12.0, 30.0]), sigma=0.5, shape=2)
        level = levels_op(MODEL.program, NAMES)(pt.stack([theta, theta]), *arrays)[0]
        pm.Normal("drug", mu=level, sigma=0.7, observed=observed)
    point = np.log([11.0, 33.0])

    def by_hand(free):
        mu = closed(np.exp([free, free]))
        prior = -0.5 * ((free - np.log([12.0, 30.0])) / 0.5) ** 2 - np.log(0.5)
        data = -0.5 * ((observed - mu) / 0.7) ** 2 - np.log(0.7)
        return (prior.sum() + data.sum()) - 3.5 * np.log(2 * np.pi)

    function = model.logp_dlogp_function(ravel_inputs=True, mode="NUMBA")
    function.set_extra_values({})
    value, slope = function(point)
    steps = 1e-5 * np.eye(2)
    expected = [(by_hand(point + s) - by_hand(point - s)) / 2e-5 for s in steps]
    assert np.isfinite([value, *slope]).all()
    assert_allclose(value, by_hand(point), rtol=1e-7)
    assert_allclose(slope, expected, rtol=1e-6)
