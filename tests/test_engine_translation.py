"""Equations translated to machine code against the same formulas in NumPy."""

import numpy as np
from numpy.testing import assert_allclose

from cart_pkpd._engine.expression import FUNCTIONS, call, constant, evaluate, where
from cart_pkpd._engine.program import Program, value_symbol
from cart_pkpd._engine.schedule import schedule
from cart_pkpd._engine.solve import sensitivities

A, B = value_symbol("a"), value_symbol("b")
CONDITIONS = ("lt", "le", "and", "or", "not", "where")
POINTS = np.array([[0.3, 0.7], [0.7, 0.3], [0.5, 0.5], [1.7, 2.0], [2.5, 0.1]])


def formulas():
    """Every function of equations, conditions as choices between two formulas."""
    below, same = call("lt", A, B), call("le", A, B)
    out = {
        name: call(name, *(A, B)[: len(f.slopes)])
        for name, f in FUNCTIONS.items()
        if name not in CONDITIONS
    }
    out["lt"], out["le"] = where(below, A, 2.0 * B), where(same, A, 2.0 * B)
    out["and"] = where(call("and", same, call("le", B, A)), A * B, A - B)
    out["or"] = where(call("or", below, call("lt", constant(1.0), A)), A * B, A - B)
    out["not"] = where(call("not", below), call("exp", A), call("log", B))
    out["nested"] = where(below, where(call("lt", A, constant(0.5)), A, B), where(same, B, A * A))
    return out


def test_every_function_is_what_numpy_computes():
    """Values to 1e-13, and derivatives against differences in NumPy to 1e-6."""
    named = formulas()
    assert set(named) >= set(FUNCTIONS) - {"where"}
    roots, k, e = list(named.values()), len(POINTS), len(named)
    scales = dict.fromkeys(("a", "b"), ("identity", 1.0))
    program = Program(
        "all", (), ("a", "b"), 2, 0, tuple(named), observe=tuple(roots), scales=scales
    )
    plan = schedule(
        k,
        patient=np.repeat(np.arange(k), e),
        time=np.zeros(k * e),
        endpoint=np.tile(np.arange(e), k),
    )
    values, slopes, status = sensitivities(program, ("a", "b"), POINTS, plan)
    assert not status.any()

    def numpy_at(points):
        at = {"p_a": points[:, 0], "p_b": points[:, 1]}
        return np.array([np.broadcast_to(v, k) for v in evaluate(roots, at)]).T

    level, slope = np.empty(k * e), np.empty((k * e, 2))
    level[plan.order], slope[plan.order] = values, slopes
    assert_allclose(level.reshape(k, e), numpy_at(POINTS), rtol=1e-13)
    smooth = POINTS[:, 0] != POINTS[:, 1]
    for j in range(2):
        step = np.zeros(2)
        step[j] = 1e-6
        change = (numpy_at(POINTS + step) - numpy_at(POINTS - step)) / 2e-6
        found = slope[:, j].reshape(k, e)
        assert_allclose(found[smooth], change[smooth], rtol=1e-6, atol=1e-8)
