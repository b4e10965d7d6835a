"""Every model, registered or of one's own, meets the same contract.

Levels against SciPy (from the declaration's own methods with plain numbers), derivatives
against differences on both sides of every switch, other units, PyTensor, draws from the
priors, closed forms, and what the declaration says about itself. Each model needs one
compiled kernel: levels with derivatives by all parameters.
"""

import pickle
from dataclasses import replace

import contract
import numpy as np
import ode_plain
import ode_reference as reference
import pytest
from contract import CASES, SLOW, TWINS, in_other_units, size_of
from numpy.testing import assert_allclose, assert_array_equal

from cart_pkpd import models

REGISTERED = models.names()


def of(names, slow=SLOW):
    """Parametrise over models; the tests of one model run in one process."""

    def marks(name):
        return (pytest.mark.slow,) if name in slow and names is not REGISTERED else ()

    return pytest.mark.parametrize("name", [pytest.param(n, marks=marks(n)) for n in names])


EQUATIONS = [n for n in CASES if CASES[n].is_ode]
FORMS = [n for n in CASES if not CASES[n].is_ode]


# --- levels --------------------------------------------------------------------------------


@of(EQUATIONS)
def test_levels_are_those_of_scipy(name):
    """LSODA at 1e-11, restarted at every switch, dose and change: to 1e-7 at rtol 1e-11.

    States of every point are at or above 0, but for what LSODA does not resolve.
    """
    case = CASES[name]
    for label, (p, when, found) in contract.at_points(name).items():
        assert found.status.tolist() == [0], label
        level, states = ode_plain.solve(case.model, p, when, **case.schedule)
        gap = (found.level[0] - level) / size_of(level)
        assert_allclose(gap, 0.0, atol=1e-7, err_msg=label)
        for n, course in zip(case.model.states, states.T, strict=True):
            if n not in case.signed:
                assert (course >= -1e-9 * np.abs(course).max()).all(), (label, n)


@of(EQUATIONS)
def test_levels_are_those_of_an_implicit_method(name):
    """Radau at 1e-10 over the first days: to 1e-7."""
    case = CASES[name]
    p, when, found = contract.at_points(name)["random"]
    early = when[when <= max(when.min(), min(5.0, np.median(when)))]
    level, _ = ode_plain.solve(case.model, p, early, **case.schedule, method="Radau", rtol=1e-10)
    gap = (found.level[0][: early.size] - level) / size_of(level)
    assert_allclose(gap, 0.0, atol=1e-7)


@of(FORMS)
def test_a_compiled_closed_form_is_the_declared_one(name):
    """ln of the level to 1e-12."""
    case = CASES[name]
    for label, (p, when, found) in contract.at_points(name).items():
        expected = case.model.log_predict(when, p)
        assert_allclose(found.level[0, :, 0], expected, rtol=1e-12, atol=1e-12, err_msg=label)


@of(FORMS)
def test_a_closed_form_is_zero_before_the_infusion_and_positive_after(name):
    found = CASES[name].model.simulate([-2.0, -1e-9, 0.0, 10.0, 400.0])[CASES[name].model.endpoint]
    assert_array_equal(found[:2], 0.0)
    assert (found[2:] > 0).all()


@of(TWINS)
def test_a_closed_form_twin_agrees(name):
    """Levels to 1e-9 and, by complex step, elasticities to 1e-8."""
    case, twin = CASES[name], TWINS[name]
    for label, (p, when, found) in contract.at_points(name).items():
        expected = twin(when, p, case.doses)
        by = reference.complex_step(lambda q, t=when: twin(t, q, case.doses), p, case.names)
        size = size_of(expected)
        assert_allclose((found.level[0, :, 0] - expected) / size, 0.0, atol=1e-9, err_msg=label)
        gap = (found.slope[0, :, 0] - by) * contract.steps(case, p) / size[:, None]
        assert_allclose(gap, 0.0, atol=1e-8, err_msg=label)


# --- derivatives ---------------------------------------------------------------------------


@of(EQUATIONS, SLOW | {"singh2021"})  # stiff: 50 s
def test_derivatives_are_differences_of_levels(name):
    """For every parameter, on both sides of every switch and dose: elasticities to 1e-6.

    Central differences of order 6 with steps of 0.05 % of the engine's own levels at 1e-12.
    Every parameter acts on some level at some point.
    """
    case, acting = CASES[name], 0.0
    for label, (p, when, found) in contract.at_points(name).items():
        expected = contract.differences(
            case, p, lambda rows, t=when: contract.solved(case, rows, t, rtol=1e-12).level
        )
        got = found.slope[0] * contract.steps(case, p)
        size = size_of(found.level[0])[..., None]
        assert_allclose(
            (got - expected) / size, 0.0, atol=1e-6 * (1 + np.abs(got / size).max()), err_msg=label
        )
        acting = np.maximum(acting, np.abs(got / size).max(axis=(0, 1)))
    silent = [n for n, a in zip(case.names, acting, strict=True) if a == 0 and n not in case.silent]
    assert not silent


@of(FORMS)
def test_derivatives_of_closed_forms_are_differences(name):
    """Order 6, of the declared ln level in NumPy; to 1e-9."""
    case = CASES[name]
    for label, (p, when, found) in contract.at_points(name).items():
        expected = contract.differences(
            case, p,
            lambda rows, t=when: np.array([case.model.log_predict(t, q) for q in rows]),
        )  # fmt: skip
        got = found.slope[0, :, 0] * contract.steps(case, p)
        assert_allclose(got, expected, rtol=1e-9, atol=1e-9, err_msg=label)
        assert (np.abs(got).max(axis=0) > 0).all()


# --- units ---------------------------------------------------------------------------------


def in_units(case):
    """The program and the schedule in other base units: hours, kilocopies, …"""
    program, model = case.model.program, case.model
    if not case.is_ode:
        return program, (), ()
    floors = [s.floor * in_other_units(s.unit) for s in model.states.values()]
    if any(floors) or program.start:
        program = replace(program, floors=tuple(floors), start=24 * program.start)
    amount = in_other_units(model.dose_unit)
    doses = tuple((24 * t, amount * a, 24 * d) for t, a, d in case.doses)
    changes = tuple(
        (n, 24 * t, v * in_other_units(model.inputs[n].unit)) for n, t, v in case.changes
    )
    return program, doses, changes


@of(CASES)
def test_other_base_units_change_nothing(name):
    """Day to hour, copies, cells, grams, litres, metres: levels to 1e-8, elasticities to 1e-7."""
    case = CASES[name]
    p, when, found = contract.at_points(name)["random"]
    records = getattr(case.model, "equation_values", case.model.parameters)
    scaled = {k: v * in_other_units(records[k].unit) for k, v in p.items()}
    program, doses, changes = in_units(case)
    other = contract.solved(
        case, [scaled], 24 * when, program=program, doses=doses, changes=changes
    )
    size = np.array([in_other_units(u) for u in case.model.endpoints.values()])
    level, again = found.level[0], other.level[0]
    if case.is_ode:
        again = again / size
        units = np.array([in_other_units(records[n].unit) for n in case.names])
        slope = other.slope[0] * units / size[:, None]
    else:  # a closed form gives ln of the level
        again = again - np.log(size)
        slope = other.slope[0] * np.array([in_other_units(records[n].unit) for n in case.names])
    by, large = contract.steps(case, p), size_of(level)
    assert_allclose((again - level) / large, 0.0, atol=1e-8)
    gap = (slope - found.slope[0]) * by / large[..., None]
    assert_allclose(gap, 0.0, atol=1e-7)


# --- PyTensor ------------------------------------------------------------------------------


@of(EQUATIONS)
def test_tensors_give_the_same_levels_and_derivatives(name):
    """Through ``model.tensors`` with every parameter a variable; gradient of a weighted sum."""
    import pytensor
    import pytensor.tensor as pt

    case = CASES[name]
    p, when, found = contract.at_points(name)["random"]
    free = {n: pt.dscalar(n) for n in case.names}
    inputs = {}
    for n, t, v in case.changes:
        inputs.setdefault(n, []).append((t, v))
    levels = case.model.tensors(
        when, free, list(case.doses) or None, inputs=inputs or None, rtol=1e-11,
        max_steps=1_000_000,
    )  # fmt: skip
    stacked = pt.stack([levels[e][0] for e in case.model.endpoints], axis=1)
    weights = np.random.default_rng(3).normal(size=found.level[0].shape) / size_of(found.level[0])
    slopes = pt.grad((stacked * weights).sum(), list(free.values()))
    compiled = pytensor.function(list(free.values()), [stacked, *slopes], mode="FAST_COMPILE")
    level, *slope = compiled(*[p[n] for n in case.names])
    assert_allclose(level, found.level[0], rtol=1e-12)
    expected = np.tensordot(weights, found.slope[0], 2)
    scale = np.tensordot(np.abs(weights), np.abs(found.slope[0]), 2)
    assert_allclose(slope, expected, atol=1e-12 * scale.max(), rtol=1e-9)


@of(FORMS)
def test_a_closed_form_takes_variables(name):
    """ln of the level and its Jacobian from PyTensor are those of the kernel."""
    import pytensor
    import pytensor.tensor as pt

    case = CASES[name]
    p, when, found = contract.at_points(name)["random"]
    x = pt.dvector("x")
    level = case.model.log_predict(pt.as_tensor(when), {n: x[i] for i, n in enumerate(case.names)})
    jacobian = pytensor.gradient.jacobian(level, x, vectorize=True)
    compiled = pytensor.function([x], [level, jacobian], mode="FAST_COMPILE")
    value, slope = compiled([p[n] for n in case.names])
    assert_allclose(value, found.level[0, :, 0], rtol=1e-12, atol=1e-12)
    by = contract.steps(case, p)
    assert_allclose(slope * by, found.slope[0, :, 0] * by, rtol=1e-9, atol=1e-12)


# --- priors --------------------------------------------------------------------------------


@of(CASES)
def test_draws_from_the_priors_are_solved_and_never_negative(name):
    """30 draws at a tolerance of 1e-4; 0 means below the billionth of the peak."""
    case = CASES[name]
    moments = np.linspace(0.0, max(case.times), 25)
    found = contract.solved(case, contract.draws(case, 30), moments, rtol=1e-4)
    assert_array_equal(found.status, 0)
    if not case.is_ode:
        assert np.isfinite(found.level).all()
        return
    for i, endpoint in enumerate(case.model.endpoints):
        level = found.level[:, :, i]
        if endpoint not in case.signed:
            assert (level >= -1e-9 * level.max(axis=1, keepdims=True)).all(), endpoint


# --- what a declaration says ---------------------------------------------------------------


@of(REGISTERED)
def test_a_registered_model_says_what_it_is(name):
    """Label, first line, population, publication, and how sure its equations are."""
    model = models.get(name)
    assert model.label
    assert model.population
    assert model.label in repr(model)
    assert model.structure in models.CONFIDENCE
    summary = (type(model).__doc__ or "").strip()
    assert summary.splitlines()[0].endswith(("[1]_.", ".", "[1]_"))
    if model.reference is None:
        assert model.structure == "assumed"
        assert "project" in summary.lower()
    else:
        assert model.reference.doi in model.cite()
        assert "References" in summary
        assert model.reference.year >= 1900
    for sentence in (*model.deviations, *model.errata):
        assert sentence.endswith("."), sentence
    for made in (model.deviations, model.errata, model.sources):
        assert isinstance(made, tuple)


@of(REGISTERED)
def test_every_number_of_a_registered_model_has_an_origin(name):
    """Unit and meaning for each; one that no source is named for is never called published."""
    model = models.get(name)
    declared = [getattr(model, k, {}) for k in ("parameters", "covariates", "inputs", "states")]
    for key, record in [pair for some in declared for pair in some.items()]:
        assert record.unit, key
        assert record.about, key
    for key, p in model.parameters.items():
        assert p.source, key
        if p.source == "assumed":
            assert p.confidence == "assumed", key
    for key, chosen in model.parameter_sets.items():
        assert chosen.about, key
        assert chosen.source, key
        if chosen.source == "assumed":
            assert chosen.confidence == "assumed", key


@of(REGISTERED)
def test_parameter_sets_hold_possible_values_of_declared_parameters(name):
    model = models.get(name)
    for key, chosen in model.parameter_sets.items():
        assert set(chosen.values) <= set(model.parameters), key
        made = models.get(name, key)
        assert made != model
        for n, value in chosen.values.items():
            assert model.parameters[n].contains(value), (key, n)
            assert made.typical()[n] == value
            assert made.parameters[n].unit == model.parameters[n].unit


@of(CASES)
def test_a_model_can_be_pickled_and_changed(name):
    model = CASES[name].model
    first = next(iter(model.parameters))
    changed = model.with_(**{first: models.Fixed(model.parameters[first].typical)})
    assert first not in changed.estimated
    for one in (model, changed):
        again = pickle.loads(pickle.dumps(one))
        assert again == one
        assert hash(again) == hash(one)
    assert model.with_(**{first: {"spread": 0.123}}).parameters[first].spread == 0.123
    if name in REGISTERED:
        assert models.get(name) == model
        assert type(models.get(name)) is type(model)


@of(EQUATIONS)
def test_drivers_are_formulas_with_finite_numbers(name):
    """``cells`` is there; every driver is a finite number at a state near the middle."""
    case = CASES[name]
    p, when, _ = contract.at_points(name)["typical"]
    middle = when[: when.size // 2 + 1]
    _, states = ode_plain.solve(case.model, p, middle, **case.schedule, rtol=1e-6)
    y = ode_plain.named(tuple(case.model.states), states[-1])
    here = ode_plain.values_at(case.model, p, case.changes, middle[-1])
    found = case.model.drivers(middle[-1], y, here)
    assert "cells" in found
    for key, value in found.items():
        assert np.isfinite(float(value)), key


@of(EQUATIONS)
def test_drivers_have_units_that_agree(name):
    """A model that observes its drivers passes the check of units."""
    cls = type(CASES[name].model)

    class Watched(cls):
        """Its drivers as endpoints."""

        name = ""

        def observe(self, t, y, p):
            return {f"driver_{k}": v for k, v in self.drivers(t, y, p).items()}

        def drivers(self, t, y, p):
            model = CASES[name].model
            return cls.drivers(model, t, y, p)

    assert all(unit for unit in Watched().endpoints.values())
