"""Formulas: derivatives, simplification, NumPy functions, values far out."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import special

from cart_pkpd._core.errors import ModelError
from cart_pkpd._engine.expression import (
    FUNCTIONS,
    Expression,
    call,
    constant,
    derivative,
    evaluate,
    symbol,
    symbols_of,
    text,
    where,
)
from cart_pkpd._engine.special import log_ndtr
from cart_pkpd.models import math as m

X, Y = symbol("x"), symbol("y")
ZERO, ONE = constant(0.0), constant(1.0)


def value(root, **values):
    return evaluate([root], values)[0]


# --- derivatives ---------------------------------------------------------------------------

# Each formula stays finite and analytic near the points asked for, in the complex plane too.
LEAVES = st.sampled_from([X, Y]) | st.floats(0.2, 3.0).map(constant)
WHOLE = st.integers(-4, 4)


def larger(parts):
    pairs = st.tuples(parts, parts)
    return st.one_of(
        pairs.map(lambda ab: ab[0] + ab[1]),
        pairs.map(lambda ab: ab[0] - ab[1]),
        pairs.map(lambda ab: ab[0] * ab[1]),
        pairs.map(lambda ab: ab[0] / (2.0 + m.sin(ab[1]))),
        st.tuples(parts, WHOLE).map(lambda an: (2.0 + m.sin(an[0])) ** an[1]),
        pairs.map(lambda ab: (2.0 + m.cos(ab[0])) ** m.sin(ab[1])),
        parts.map(lambda a: -a),
        parts.map(lambda a: m.exp(m.sin(a))),
        parts.map(lambda a: m.log(2.0 + m.sin(a))),
        parts.map(lambda a: m.log1p(0.5 * m.cos(a))),
        parts.map(lambda a: m.expm1(m.cos(a))),
        parts.map(lambda a: m.sqrt(2.0 + m.cos(a))),
        parts.map(lambda a: m.tanh(m.sin(a))),
        pairs.map(lambda ab: where(X < Y, ab[0], ab[1])),
    )


FORMULAS = st.recursive(LEAVES, larger, max_leaves=12)
POINTS = st.tuples(st.floats(0.3, 2.0), st.floats(2.1, 3.0))


def complex_value(root, x, y):
    """The formula at a complex point; a comparison sees the real parts."""
    found = {}

    def of(node):
        if id(node) not in found:
            if node.op == "const":
                found[id(node)] = complex(node.value)
            elif node.op == "symbol":
                found[id(node)] = {"x": x, "y": y}[node.value]
            elif node.op == "where":
                found[id(node)] = of(node.args[1] if of(node.args[0]) else node.args[2])
            elif node.op == "lt":
                found[id(node)] = of(node.args[0]).real < of(node.args[1]).real
            else:
                found[id(node)] = FUNCTIONS[node.op].evaluate(*map(of, node.args))
        return found[id(node)]

    return of(root)


@given(root=FORMULAS, at=POINTS)
def test_derivatives_of_random_formulas_equal_the_complex_step(root, at):
    """Imaginary part at a step of 1e-30: to 1e-9 of the larger of 1 and the derivative."""
    x, y = at
    for by, step in ((X, (1e-30j, 0.0)), (Y, (0.0, 1e-30j))):
        expected = np.imag(complex_value(root, x + step[0], y + step[1])) / 1e-30
        found = value(derivative(root, by), x=x, y=y)
        assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * max(1.0, abs(expected)))


@given(root=FORMULAS, at=POINTS)
def test_values_of_random_formulas_are_those_of_numpy_on_numbers(root, at):
    """Simplification changes rounding alone: the complex evaluation to 1e-11."""
    x, y = at
    expected = np.real(complex_value(root, complex(x), complex(y)))
    assert_allclose(value(root, x=x, y=y), expected, rtol=1e-11, atol=1e-11)


SMOOTH = {
    "exp": (np.exp, [-3.0, 0.0, 2.0]),
    "log": (np.log, [1e-8, 0.5, 30.0]),
    "log1p": (np.log1p, [-0.9, 1e-12, 5.0]),
    "expm1": (np.expm1, [-4.0, 1e-12, 2.0]),
    "sqrt": (np.sqrt, [1e-8, 0.5, 30.0]),
    "sin": (np.sin, [-2.0, 0.0, 1.0]),
    "cos": (np.cos, [-2.0, 0.0, 1.0]),
    "tanh": (np.tanh, [-2.0, 0.0, 1.0]),
    "neg": (np.negative, [-2.0, 0.0]),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_every_function_has_its_value_and_slope(name):
    """NumPy's value to 1e-14; its slope by complex step to 1e-13."""
    function, points = SMOOTH[name]
    root = call(name, X)
    for x in points:
        assert_allclose(value(root, x=x), function(x), rtol=1e-14)
        slope = np.imag(function(x + 1e-30j)) / 1e-30
        assert_allclose(value(derivative(root, X), x=x), slope, rtol=1e-13, atol=1e-15)


def test_every_function_is_tried():
    """A new one in FUNCTIONS needs a test of its derivative."""
    tried = {*SMOOTH, "add", "sub", "mul", "div", "pow", "where", "lt", "le", "and", "or", "not"}
    assert set(FUNCTIONS) == tried | {"sigmoid", "log_ndtr", "abs", "minimum", "maximum"}


@pytest.mark.parametrize("x", [-40.0, -3.0, 0.0, 2.0, 30.0])
def test_the_logistic_function(x):
    """Slope e^-|x| / (1 + e^-|x|)²: relative to 1e-12 on the left, absolute on the right."""
    root = m.expit(X)
    assert_allclose(value(root, x=x), special.expit(x), rtol=1e-14)
    small = math.exp(-abs(x))
    assert_allclose(
        value(derivative(root, X), x=x), small / (1 + small) ** 2, rtol=1e-12, atol=1e-16
    )


@pytest.mark.parametrize(
    "x", [-1e8, -1e4, -300.0, -30.001, -29.999, -8.0, -1.0, 0.0, 1.0, 6.0, 40.0]
)
def test_the_normal_tail_and_its_slope(x):
    """Value against SciPy to 1e-13; slope phi / Phi = sqrt(2 / pi) / erfcx(-x / sqrt 2).

    Relative to 1e-9; far out the exponent of a difference of large numbers takes digits, so
    that beyond -1000 only 1e-3 is asked.
    """
    assert_allclose(log_ndtr(x), special.log_ndtr(x), rtol=1e-13)
    root = m.log_ndtr(X)
    assert_allclose(value(root, x=x), special.log_ndtr(x), rtol=1e-14)
    expected = math.sqrt(2 / math.pi) / special.erfcx(-x / math.sqrt(2)) if x < 20 else 0.0
    slope = value(derivative(root, X), x=x)
    if x >= -1000:
        assert_allclose(slope, expected, rtol=1e-9, atol=1e-80)


@pytest.mark.xfail(
    reason="exp(-x²/2 - log_ndtr(x)) cancels: 0 or wrong beyond about -1e4", strict=True
)
@pytest.mark.parametrize("x", [-1e6, -1e9])
def test_the_slope_of_the_normal_tail_far_out(x):
    """phi / Phi is -x (1 + O(1 / x²))."""
    assert_allclose(value(derivative(m.log_ndtr(X), X), x=x), -x, rtol=1e-6)


def test_slopes_at_kinks_are_those_of_one_side():
    """abs, minimum and maximum away from the kink, and one of both sides at it."""
    for x in (-2.0, 3.0):
        assert value(derivative(abs(X), X), x=x) == np.sign(x)
        assert value(derivative(m.minimum(X, 1.0), X), x=x) == (x < 1)
        assert value(derivative(m.maximum(X, 1.0), X), x=x) == (x > 1)
    for root in (m.minimum(X, Y), m.maximum(X, Y)):
        slopes = [value(derivative(root, by), x=1.0, y=1.0) for by in (X, Y)]
        assert sorted(slopes) == [0.0, 1.0]


@pytest.mark.parametrize(
    ("base", "exponent", "by_base", "by_exponent"),
    [
        (2.0, 1.5, 1.5 * 2**0.5, 2**1.5 * np.log(2)),
        (0.0, 1.5, 0.0, 0.0),
        (0.0, 2.5, 0.0, 0.0),
        (1e-200, 1.5, 1.5e-100, 0.0),
    ],
)
def test_powers(base, exponent, by_base, by_exponent):
    """x^y by x is y x^(y-1), by y it is x^y ln x, whose limit at x = 0 is 0."""
    root = X**Y
    assert_allclose(value(derivative(root, X), x=base, y=exponent), by_base, rtol=1e-14)
    slope = value(derivative(root, Y), x=base, y=exponent)
    assert_allclose(slope, by_exponent, rtol=1e-14, atol=1e-290)


def test_derivatives_within_a_branch_do_not_see_the_other():
    """where(x < 1, x², log(x - 1)) at 0.5: 2 x, although the other branch is not a number."""
    root = where(X < 1.0, X * X, m.log(X - 1.0))
    assert value(derivative(root, X), x=0.5) == 1.0
    assert_allclose(value(derivative(root, X), x=3.0), 0.5)


def test_second_derivatives():
    """d² (x³ y) / dx² = 6 x y; d² / dx dy = 3 x²."""
    first = derivative(X**3 * Y, X)
    assert_allclose(value(derivative(first, X), x=1.5, y=2.0), 18.0)
    assert_allclose(value(derivative(first, Y), x=1.5, y=2.0), 6.75)


# --- simplification ------------------------------------------------------------------------

SAME = {
    "x + 0": (X + 0.0, X), "0 + x": (0 + X, X), "x - 0": (X - 0.0, X), "0 - x": (0.0 - X, -X),
    "x * 1": (X * 1.0, X), "1 * x": (1 * X, X), "x * 0": (X * 0.0, ZERO), "x / 1": (X / 1, X),
    "0 / x": (0.0 / X, ZERO), "x - x": (X - X, ZERO), "- -x": (-(+(-X)), X),
    "x + -y": (X + -Y, X - Y),
    "x - -y": (X - -Y, X + Y), "x * -1": (X * -1.0, -X), "-x * y": (-X * Y, -(X * Y)),
    "-x / y": (-X / Y, -(X / Y)), "x ** 0": (X**0, ONE), "x ** 1": (X**1, X),
    "x ** 2": (X**2, X * X), "x ** 3": (X**3, X * X * X), "x ** -1": (X**-1, 1.0 / X),
    "+x": (+X, X), "2 * 3": (constant(2.0) * 3.0, constant(6.0)), "-0": (constant(-0.0), ZERO),
    "exp(0)": (m.exp(constant(0.0)), ONE), "where alike": (where(X < Y, X, X), X),
    "x > y": (X > Y, Y < X), "x >= y": (X >= Y, Y <= X), "dx/dx": (derivative(X, X), ONE),
    "dx/dy": (derivative(X, Y), ZERO), "d(2x)/dx": (derivative(2 * X, X), constant(2.0)),
    "shared": (m.exp(X * Y) + 1.0, m.exp(X * Y) + 1.0),
}  # fmt: skip


@pytest.mark.parametrize("case", SAME)
def test_equal_formulas_are_one_object(case):
    one, other = SAME[case]
    assert one is other


def test_a_constant_condition_chooses_its_branch():
    assert where(constant(1.0) < 2.0, X, Y) is X
    assert where(False, X, Y) is Y


def test_numbers_that_would_not_be_finite_are_left_to_the_solver():
    """log(0) stays a formula: it may stand in a branch that is not taken."""
    assert m.log(constant(0.0)).op == "log"


def test_a_formula_can_be_read():
    assert text(X * (Y + 1.0)) == "(x * (y + 1))"
    assert text(where(X < Y, m.exp(X), m.expit(Y))) == "where((x < y), exp(x), expit(y))"
    assert symbols_of([X * Y, X]) == {"x", "y"}


def test_formulas_that_nobody_holds_are_forgotten():
    from cart_pkpd._engine import expression

    kept = m.exp(symbol("kept"))
    count = len(expression._INTERNED)
    value(m.exp(symbol("passing") * 3.25), passing=1.0)
    assert len(expression._INTERNED) == count
    assert m.exp(symbol("kept")) is kept


# --- NumPy ---------------------------------------------------------------------------------

UFUNCS = {
    "exp": m.exp, "log": m.log, "log1p": m.log1p, "expm1": m.expm1, "sqrt": m.sqrt, "sin": m.sin,
    "cos": m.cos, "tanh": m.tanh, "absolute": abs, "negative": lambda a: -a,
    "square": lambda a: a * a,
}  # fmt: skip
PAIRS = {
    "add": lambda a, b: a + b, "subtract": lambda a, b: a - b, "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b, "power": lambda a, b: a**b, "minimum": m.minimum,
    "maximum": m.maximum, "less": lambda a, b: a < b, "less_equal": lambda a, b: a <= b,
    "greater": lambda a, b: a > b, "greater_equal": lambda a, b: a >= b,
}  # fmt: skip


@pytest.mark.parametrize("name", UFUNCS)
def test_numpy_functions_give_formulas(name):
    assert getattr(np, name)(X) is UFUNCS[name](X)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize(("a", "b"), [(X, Y), (X, 1.5), (2.5, Y), (X, np.float64(1.5))])
def test_numpy_functions_of_two_give_formulas(name, a, b):
    found = getattr(np, name)(a, b)
    assert isinstance(found, Expression)
    assert found is PAIRS[name](a, b)


def test_numpy_scalars_on_the_left_give_formulas():
    """NumPy's own operators ask the formula: np.float64(2) * x."""
    assert np.float64(2.0) * X is 2.0 * X
    assert np.float64(2.0) - X is 2.0 - X
    assert np.array(2.0) / X is 2.0 / X
    assert (np.float64(2.0) < X) is (X > 2.0)


def test_conditions_are_combined_by_signs():
    both, either = (X < Y) & (X < 1.0), (X < Y) | ~(X < 1.0)
    for x, y in ((0.5, 1.0), (2.0, 3.0), (2.0, 1.0), (0.5, 0.1)):
        assert value(both, x=x, y=y) == (x < y and x < 1)
        assert value(either, x=x, y=y) == (x < y or not x < 1)


REFUSED = {
    "floor": (lambda: np.floor(X), "numpy.floor cannot be used in equations"),
    "==": (lambda: X == Y, "cannot compare with =="),
    "== number": (lambda: X == 1.0, "cannot compare with =="),
    "!=": (lambda: X != Y, "cannot compare with =="),
    "if": (lambda: 1 if X < Y else 2, "cannot branch"),
    "math": (lambda: math.exp(X), "functions of models.math"),
    "int": (lambda: int(X), "has no value"),
    "iteration": (lambda: list(X), "one number, not a sequence"),
    "nan": (lambda: X * np.nan, "not a finite number"),
    "text": (lambda: X + "1", "where a number or a formula"),
    "array": (lambda: X * [1.0, 2.0], "where a number or a formula"),
    "zero": (lambda: X / 0.0, "divides x by zero"),
    "condition": (lambda: m.where(X, Y, 1.0), "condition of where"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_formula_is_refused(case):
    function, words = REFUSED[case]
    with pytest.raises(ModelError, match=words):
        function()


# --- functions of models.math --------------------------------------------------------------


@given(x=st.floats(0.0, 50.0), half=st.floats(0.1, 20.0), steepness=st.floats(0.5, 6.0))
def test_hill_rises_from_0_through_one_half_to_1(x, half, steepness):
    """x^n / (half^n + x^n) by NumPy: to 1e-12, on numbers and as a formula."""
    expected = x**steepness / (half**steepness + x**steepness)
    assert_allclose(m.hill(x, half, steepness), expected, rtol=1e-12)
    assert_allclose(value(m.hill(X, half, steepness), x=x), expected, rtol=1e-12)
    assert_allclose(m.hill(half, half, steepness), 0.5, rtol=1e-14)


def test_smooth_step_is_a_gate():
    """expit: 0.5 at 0, and 1 - 0.047 three widths later."""
    assert m.smooth_step(0.0, 2.0) == 0.5
    assert_allclose(m.smooth_step(6.0, 2.0), 1 / (1 + np.exp(-3.0)), rtol=1e-14)
    assert_allclose(value(m.smooth_step(X, 2.0), x=-6.0), 1 / (1 + np.exp(3.0)), rtol=1e-14)


@pytest.mark.parametrize("name", ["logaddexp", "logit", "log1mexp"])
def test_composed_functions_are_the_same_on_formulas(name):
    arguments = {"logaddexp": (-3.0, 2.0), "logit": (0.3,), "log1mexp": (-0.4,)}[name]
    expected = {"logaddexp": np.logaddexp, "logit": special.logit,
                "log1mexp": lambda a: np.log(1 - np.exp(a))}[name](*arguments)  # fmt: skip
    symbols = (X, Y)[: len(arguments)]
    root = getattr(m, name)(*symbols)
    assert_allclose(getattr(m, name)(*arguments), expected, rtol=1e-14)
    values = dict(zip("xy", arguments, strict=False))
    assert_allclose(value(root, **values), expected, rtol=1e-14)
