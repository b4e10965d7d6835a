"""Taylor series of solutions: coefficients by contour integrals, courses by closed forms."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special

from cart_pkpd._engine import wide
from cart_pkpd._engine.expression import add, call, constant, div, mul, power, sub, where
from cart_pkpd._engine.program import PIECE, TIME, Program, state_symbol, value_symbol
from cart_pkpd._engine.schedule import base_values, schedule
from cart_pkpd._engine.series import TERMS, series
from cart_pkpd._engine.solve import levels
from cart_pkpd._engine.widening import _INVERSE

Y, A, B = state_symbol("y"), value_symbol("a"), value_symbol("b")
AT, VALUE = 0.7, 1.3
"""Where functions of time are expanded, and the value of the parameter `a`."""

G = add(mul(A, TIME), mul(TIME, TIME))  # a t + t²


def g(t):
    return VALUE * t + t * t


FUNCTIONS_OF_TIME = {
    "add": (add(G, TIME), lambda t: g(t) + t),
    "sub": (sub(1.0, G), lambda t: 1 - g(t)),
    "neg": (call("neg", G), lambda t: -g(t)),
    "mul": (mul(G, TIME), lambda t: g(t) * t),
    "square": (mul(G, G), lambda t: g(t) ** 2),
    "factors": (mul(mul(A, G), mul(TIME, B)), lambda t: VALUE * g(t) * t * 0.4),
    "div": (div(TIME, add(1.0, G)), lambda t: t / (1 + g(t))),
    "inverse": (div(A, G), lambda t: VALUE / g(t)),
    "by a parameter": (div(G, A), lambda t: g(t) / VALUE),
    "exp": (call("exp", G), lambda t: np.exp(g(t))),
    "expm1": (call("expm1", G), lambda t: np.expm1(g(t))),
    "log": (call("log", G), lambda t: np.log(g(t))),
    "log1p": (call("log1p", G), lambda t: np.log(1 + g(t))),
    "sqrt": (call("sqrt", G), lambda t: np.sqrt(g(t))),
    "power": (power(G, 2.5), lambda t: g(t) ** 2.5),
    "power of a parameter": (power(G, A), lambda t: g(t) ** VALUE),
    "power that changes": (power(G, TIME), lambda t: g(t) ** t),
    "sin": (call("sin", G), lambda t: np.sin(g(t))),
    "cos": (call("cos", G), lambda t: np.cos(g(t))),
    "tanh": (call("tanh", G), lambda t: np.tanh(g(t))),
    "sigmoid": (call("sigmoid", G), lambda t: 1 / (1 + np.exp(-g(t)))),
    "where": (where(call("lt", PIECE, 1.0), G, TIME), g),
    "constant": (A, lambda t: VALUE + 0 * t),
}


def coefficients(rhs, start, at=AT):
    """Return the series of one state that the generated code writes, run by Python."""
    places = {"p_a": "x[0]", "p_b": "x[1]"}
    written = series([rhs], [Y], places, [0.0])
    text = "\n".join("\n".join(lines) for lines in written)
    scope = {"math": math, "SERIES": 2, "AT": 0, "PEAK": 0, "FLOORS": 0, "BEST": 0}
    exec(text, scope)
    x = [VALUE, 0.4, start, *[math.nan] * TERMS]
    scope["series"](at, at, x)
    return np.array(x[2:])


def on_a_circle(function, at, radius, count):
    """Return Taylor coefficients by Cauchy's integral, 256 points of a circle: to 1e-15 / r^k."""
    turns = np.exp(2j * np.pi * np.arange(256) / 256)
    found = np.fft.fft(function(at + radius * turns)).real / 256
    return found[:count] / radius ** np.arange(count)


@pytest.mark.parametrize("name", FUNCTIONS_OF_TIME)
def test_every_rule_gives_the_coefficients_of_the_function(name):
    """y' = f(t): those of y are f's, each divided by its order; to 1e-10, which integrals are."""
    formula, function = FUNCTIONS_OF_TIME[name]
    expected = on_a_circle(function, AT, 0.5, TERMS)
    found = coefficients(formula, 0.0)[1:] * np.arange(1, TERMS + 1)
    assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


def test_the_series_of_a_solution_is_that_of_its_closed_form():
    """Logistic growth y' = a y (1 - y) from 0.2: y = expit(a t + logit 0.2); to 1e-13."""
    logit = np.log(0.2 / 0.8)
    found = coefficients(A * Y * (1.0 - Y), 0.2, 0.0)
    exact = on_a_circle(lambda t: 1 / (1 + np.exp(-VALUE * t - logit)), 0.0, 1.0, TERMS + 1)
    assert_allclose(found, exact, atol=1e-13)


@pytest.mark.parametrize(
    "rhs", [call("maximum", Y, A), call("abs", Y), where(call("lt", Y, A), Y, A)]
)
def test_what_is_not_smooth_in_states_has_no_series(rhs):
    assert series([rhs], [Y], {}, [0.0]) is None


def test_products_that_several_slopes_share_are_computed_once():
    """a u v and v u b: the product of the two states once, then times a number each."""
    u, v = state_symbol("u"), state_symbol("v")
    places = {"p_a": "x[0]", "p_b": "x[1]"}
    both = series([A * u * v, v * u * B + (u - v)], [u, v], places, [])
    one = series([A * u * v, u - v], [u, v], places, [])
    count = [sum(line.count("*") for line in lines[0]) for lines in (both, one)]
    assert count[0] - count[1] <= 2 * TERMS


# --- courses -------------------------------------------------------------------------------


def program_of(names, rhs, initial, floors=()):
    return Program(
        "series", tuple(names), ("a", "b"), 2, 0, tuple(names), initial=initial, rhs=tuple(rhs),
        dose_factor=(constant(1.0),) * len(names), observe=tuple(map(state_symbol, names)),
        scales=dict.fromkeys(("a", "b"), ("identity", 1.0)), floors=floors,
    )  # fmt: skip


def solved(program, a, times, **settings):
    """Return levels, shape (patients, times, endpoints), of patients with the rates `a`."""
    k, n, e = len(a), len(times), len(program.endpoints)
    plan = schedule(
        k, patient=np.repeat(np.arange(k), n * e), time=np.tile(np.repeat(times, e), k),
        endpoint=np.tile(np.arange(e), k * n),
    )  # fmt: skip
    base = base_values(program, k, {"a": a, "b": 0.4})
    found, status = levels(program, base, plan, lanes=True, **settings)
    assert not status.any()
    return found.reshape(k, n, e)


def test_a_chain_that_begins_empty_fills_as_a_gamma_distribution_says():
    """Six compartments, rate a, all but the first at 0 and without floors: P(j events) of Poisson.

    x_j(t) = exp(-a t) (a t)^j / j!, to 1e-6 of the largest; within 60 steps to a t = 20.
    """
    names = [f"c{j}" for j in range(6)]
    y = [state_symbol(n) for n in names]
    rhs = [-A * y[0], *(A * (y[j - 1] - y[j]) for j in range(1, 6))]
    start = (constant(1.0), *[constant(0.0)] * 5)
    times, rates = np.array([0.5, 2.0, 7.0, 10.0]), np.array([0.3, 1.0, 2.0])
    found = solved(program_of(names, rhs, start), rates, times, max_steps=60)
    at = rates[:, None, None] * times[:, None]
    order = np.arange(6)
    exact = np.exp(-at) * at**order / special.factorial(order)
    assert np.abs(found - exact).max() < 1e-6


@pytest.mark.parametrize(
    ("rtol", "error"), [(1e-4, 3e-4), (1e-6, 3e-6), (1e-9, 3e-9), (1e-12, 1e-11)]
)
def test_errors_follow_the_tolerance(rtol, error):
    """Logistic growth from 0.001 for 20 days: relative errors below three tolerances, or 1e-11."""
    program = program_of(["y"], [A * Y * (1.0 - Y)], (constant(0.001),))
    times, rates = np.linspace(0.3, 20.0, 40), np.array([0.2, 0.7, 1.1, 2.0])
    found = solved(program, rates, times, rtol=rtol)[:, :, 0]
    exact = special.expit(rates[:, None] * times + special.logit(0.001))
    assert np.abs(found / exact - 1.0).max() < error


def test_the_step_is_as_long_as_the_radius_of_convergence_allows():
    """y' = a y²: the series at 1 is that of 1 / (1 - a t), its last two terms (a h)^11, (a h)^12.

    With a = 0.3 and 1e-6 the first step is 10^(-6/11) / 0.3 = 0.949 days: one is enough to day
    0.94, and not to day 0.96.
    """
    program = program_of(["y"], [A * Y * Y], (constant(1.0),))
    solved(program, [0.3], [0.94], max_steps=1)
    with pytest.raises(AssertionError):
        solved(program, [0.3], [0.96], max_steps=1)


def test_samples_that_everybody_shares_give_the_same_bits():
    """Given once or for every patient; alone and among others."""
    from dataclasses import replace

    program = program_of(["y"], [A * Y * (1.0 - Y)], (constant(0.001),))
    times = np.array([0.0, 0.5, 0.5, 3.0, 11.0])
    k, n = 21, times.size
    tall = schedule(k, patient=np.repeat(np.arange(k), n), time=np.tile(times, k))
    first = {name: getattr(tall, name)[:n] for name in ("ob_time", "ob_endpoint", "ob_before")}
    shared = replace(tall, **first, shared=True)
    base = base_values(program, k, {"a": np.linspace(0.1, 2.0, k), "b": 0.0})
    expected, _ = levels(program, base, tall, lanes=True)
    assert_array_equal(levels(program, base, shared, lanes=True)[0], expected)
    assert_array_equal(
        levels(program, base, shared, lanes=False)[0], levels(program, base, tall)[0]
    )
    assert_array_equal(shared.written_out().ob_time, tall.ob_time)


# --- numbers that are only nearly right ----------------------------------------------------


def test_rough_functions_are_as_right_as_they_say():
    """Logarithm to 1e-5, power of 2 to a relative 1e-4, against NumPy."""
    v = np.exp(np.random.default_rng(1).uniform(-600, 600, 500))
    assert_allclose([wide.rough_log2(a) for a in v], np.log2(v), atol=1e-5, rtol=0)
    p = np.random.default_rng(2).uniform(-900, 900, 500)
    assert_allclose([wide.rough_exp2(a) for a in p], np.exp2(p), rtol=1e-4)


def test_the_guess_at_an_inverse_is_right_to_5_percent_and_its_refinement_to_1e_5():
    """As lanes compute it, on the bits of numbers, over one power of 4."""
    v = np.linspace(1.0, 4.0, 10_001)
    guess = (np.int64(_INVERSE) - v.view(np.int64)).view(float)
    assert np.abs(v * guess - 1.0).max() < 0.051
    for _ in range(2):
        guess = guess * (2.0 - v * guess)
    assert np.abs(v * guess - 1.0).max() < 1e-5
