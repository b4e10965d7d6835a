"""The two Runge–Kutta methods: their constants against the order conditions of Butcher's trees.

A method has order q if for every rooted tree with at most q nodes the sum of its elementary
weights is one over the tree's density (Hairer, Nørsett, Wanner: Solving ODE I, theorem II.2.13;
Rosenbrock methods: II, theorem IV.7.4).
"""

from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose

from cart_pkpd._engine import equations, explicit, rosenbrock


@cache
def trees(nodes):
    """Rooted trees as sorted tuples of their branches: 1, 1, 2, 4, 9 of them."""
    if nodes == 1:
        return ((),)

    def forests(left, largest):
        if left == 0:
            yield ()
        for size in range(min(left, largest), 0, -1):
            for tree in trees(size):
                for rest in forests(left - size, size):
                    yield tuple(sorted((tree, *rest)))

    return tuple(sorted(set(forests(nodes - 1, nodes - 1))))


def size(tree):
    return 1 + sum(map(size, tree))


def density(tree):
    return size(tree) * np.prod([density(branch) for branch in tree])


def weight(tree, single, several):
    """Elementary weights by stage; `single` multiplies where there is one branch."""
    matrix, total = (single if len(tree) == 1 else several), np.ones(len(several))
    for branch in tree:
        total = total * (matrix @ weight(branch, single, several))
    return total


def residuals(weights, nodes, single, several, fraction=1.0):
    return [
        weights @ weight(t, single, several) - fraction**nodes / density(t) for t in trees(nodes)
    ]


def matrix(module, prefix, stages):
    return np.array(
        [
            [getattr(module, f"{prefix}{i}{j}", 0.0) for j in range(1, stages + 1)]
            for i in range(1, stages + 1)
        ]
    )


def test_there_are_as_many_trees_as_there_should_be():
    """A000081: 1, 1, 2, 4, 9, 20."""
    assert [len(trees(n)) for n in range(1, 7)] == [1, 1, 2, 4, 9, 20]


# --- Tsitouras 5(4) ------------------------------------------------------------------------

TSIT_A = matrix(explicit, "TA", 7)
TSIT_B = np.array([getattr(explicit, f"TB{j}") for j in range(1, 7)] + [0.0])
TSIT_A[6] = TSIT_B  # the last stage is the slope at the new point
TSIT_E = np.array([getattr(explicit, f"TE{j}") for j in range(1, 8)])


@pytest.mark.parametrize("nodes", [1, 2, 3, 4, 5])
def test_the_explicit_method_has_order_5(nodes):
    """Constants have 16 digits and reach 12.9: to 1e-13."""
    assert_allclose(residuals(TSIT_B, nodes, TSIT_A, TSIT_A), 0.0, atol=1e-13)


def test_the_explicit_method_has_not_order_6():
    assert np.abs(residuals(TSIT_B, 6, TSIT_A, TSIT_A)).max() > 1e-5


def test_the_explicit_nodes_are_the_sums_of_their_rows():
    nodes = [0.0, *(getattr(explicit, f"TC{i}") for i in range(2, 6)), 1.0, 1.0]
    assert_allclose(TSIT_A.sum(axis=1), nodes, atol=1e-14)


@pytest.mark.parametrize("nodes", [1, 2, 3, 4])
def test_the_explicit_error_estimate_is_that_of_order_4(nodes):
    """Weights of the estimate: the difference of two methods of order 4 at least."""
    difference = [TSIT_E @ weight(t, TSIT_A, TSIT_A) for t in trees(nodes)]
    assert_allclose(difference, 0.0, atol=1e-12)


def test_the_explicit_error_estimate_sees_order_5():
    assert np.abs([TSIT_E @ weight(t, TSIT_A, TSIT_A) for t in trees(5)]).max() > 1e-5


@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("nodes", [1, 2, 3, 4])
def test_the_explicit_interpolant_has_order_4(nodes, fraction):
    """The published polynomials have 16 digits too: to 1e-12."""
    x = np.zeros(equations.TOTAL)
    weights = []
    for slope in (getattr(equations, f"K{j}") for j in range(1, 8)):
        x[:], x[slope] = 0.0, 1.0
        explicit.explicit_interpolate.py_func(fraction, 1.0, x)
        weights.append(x[equations.AT])
    found = residuals(np.array(weights), nodes, TSIT_A, TSIT_A, fraction)
    assert_allclose(found, 0.0, atol=1e-12)


def test_the_explicit_method_is_stable_as_far_as_it_says():
    """|R(z)| < 1 on the negative axis up to STABLE, R from the method's constants."""
    for z in np.linspace(-explicit.STABLE, -0.01, 50):
        stages = np.linalg.solve(np.eye(7) - z * TSIT_A, np.ones(7))
        assert abs(1 + z * TSIT_B @ stages) < 1


# --- Rodas5P -------------------------------------------------------------------------------


def rodas():
    """The untransformed method: Gamma⁻¹ = I / gamma - C, alpha = A Gamma, b = B Gamma.

    The last two stages differ from the sixth by the stages before them, and so does the
    result from the last: A 7 = A 6 + U6, A 8 = A 7 + U7, B = A 8 + U8.
    """
    a, c = matrix(rosenbrock, "RA", 8), matrix(rosenbrock, "RC", 8)
    a[6] = a[5] + np.eye(8)[5]
    a[7] = a[6] + np.eye(8)[6]
    gamma = np.linalg.inv(np.eye(8) / rosenbrock.RGAMMA - c)
    result, embedded = (a[7] + np.eye(8)[7]) @ gamma, a[7] @ gamma
    return a @ gamma, gamma, result, embedded


@pytest.mark.parametrize("nodes", [1, 2, 3, 4, 5])
def test_the_implicit_method_has_order_5(nodes):
    """Constants have 16 digits and reach 165: to 1e-11."""
    alpha, gamma, result, _ = rodas()
    assert_allclose(residuals(result, nodes, alpha + gamma, alpha), 0.0, atol=1e-11)


@pytest.mark.parametrize("nodes", [1, 2, 3, 4])
def test_the_implicit_method_it_is_compared_with_has_order_4(nodes):
    alpha, gamma, _, embedded = rodas()
    assert_allclose(residuals(embedded, nodes, alpha + gamma, alpha), 0.0, atol=1e-11)


def test_the_two_implicit_methods_differ_in_order_5():
    alpha, gamma, _, embedded = rodas()
    assert np.abs(residuals(embedded, 5, alpha + gamma, alpha)).max() > 1e-5


def test_the_implicit_nodes_and_time_slopes_are_the_sums_of_their_rows():
    """Needed where the equations depend on time; both to 1e-12."""
    alpha, gamma, *_ = rodas()
    nodes = [0.0, *(getattr(rosenbrock, f"RT{i}") for i in range(2, 6)), 1.0, 1.0, 1.0]
    slopes = [*(getattr(rosenbrock, f"RD{i}") for i in range(1, 6)), 0.0, 0.0, 0.0]
    assert_allclose(alpha.sum(axis=1), nodes, atol=1e-12)
    assert_allclose(gamma.sum(axis=1), slopes, atol=1e-12)


@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("nodes", [1, 2, 3, 4])
def test_the_implicit_interpolant_has_order_4(nodes, fraction):
    alpha, gamma, *_ = rodas()
    a = matrix(rosenbrock, "RA", 8)[5] + np.eye(8)[5] + np.eye(8)[6] + np.eye(8)[7]
    rows = [[getattr(rosenbrock, f"RH{i}{j}") for j in range(1, 9)] for i in (1, 2, 3)]
    bend = np.array([1.0, fraction, fraction**2]) @ np.array(rows)
    weights = (fraction * a + fraction * (1 - fraction) * bend) @ gamma
    assert_allclose(residuals(weights, nodes, alpha + gamma, alpha, fraction), 0.0, atol=1e-11)


def test_the_implicit_method_is_l_stable():
    """|R| is at most 1 on the imaginary axis, and goes to 0 far left: below 20 / |z|."""
    alpha, gamma, result, _ = rodas()

    def factor(z):
        stages = np.linalg.solve(np.eye(8) - z * (alpha + gamma), np.ones(8))
        return abs(1 + z * result @ stages)

    assert max(factor(1j * y) for y in np.logspace(-3, 4, 400)) <= 1 + 1e-12
    assert all(factor(-x) < 20 / x for x in (1e2, 1e3, 1e4))
