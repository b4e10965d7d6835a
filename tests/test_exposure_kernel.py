"""Peaks and areas by compiled code, against what is exact on a piece."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cart_pkpd._simulate.kinetics import _nodes_of, exposure_of

EDGES = np.array([[0.0, 0.7, 2.0, 3.1, 5.0]])
TIMES = _nodes_of(EDGES)


def found(level, edges=EDGES, place=None):
    """Exposure of courses, shape (k, n), each as its own endpoint."""
    place = np.arange(level.shape[1])[None, :] if place is None else place
    return exposure_of(edges, level[:, :, None], place)[:, 0]


def test_areas_of_polynomials_are_exact():
    """t^0 … t^7 on [0, 5]: 5^(n+1) / (n+1), to 1e-14."""
    n = np.arange(8)[:, None]
    assert_allclose(found(TIMES**n)[:, 2], 5.0 ** (n[:, 0] + 1) / (n[:, 0] + 1), rtol=1e-14)


def test_peaks_of_bells_are_exact():
    """ln is a parabola: height and day to 1e-12, within pieces, on an edge, on both sides."""
    day, width = np.array([0.3, 0.7, 1.9, 2.05, 4.0]), np.array([2.0, 1.0, 0.8, 0.7, 3.0])
    level = 7.0 * np.exp(-(((TIMES - day[:, None]) / width[:, None]) ** 2))
    assert_allclose(found(level)[:, :2], np.column_stack([np.full(5, 7.0), day]), rtol=1e-12)


def test_peaks_at_the_ends_and_of_levels_at_0():
    """Falling: at day 0; rising: at day 5; a parabola that is 0 at two nodes: its top; all 0: 0."""
    t = TIMES[0]
    level = np.array([np.exp(-t), np.exp(t), t * (0.7 - t), 0.0 * t])
    assert_allclose(found(level)[:, 0], [1.0, np.exp(5.0), 0.1225, 0.0], rtol=1e-12)
    assert_allclose(found(level)[:3, 1], [0.0, 5.0, 0.35], atol=1e-12)


def test_a_level_that_is_not_known_leaves_nothing_known():
    level = np.repeat(np.exp(-TIMES), 3, axis=0)
    level[1, 3] = np.nan
    assert_array_equal(np.isnan(found(level)).any(axis=1), [False, True, False])
    assert np.isnan(found(level)[1]).all()


@pytest.mark.parametrize("own", [False, True])
def test_where_the_levels_of_nodes_lie_does_not_matter(own):
    """In another order, with others between, in rows of their own: the same bits."""
    rng = np.random.default_rng(1)
    level = np.exp(np.sin(TIMES * rng.uniform(0.2, 2.0, (6, 1))))
    place = np.array([rng.permutation(40)[: TIMES.size] for _ in range(6 if own else 1)])
    wide = np.full((6, 40), np.nan)
    np.put_along_axis(wide, np.broadcast_to(place, level.shape), level, axis=1)
    edges = np.broadcast_to(EDGES, (6, EDGES.size)) if own else EDGES
    assert_array_equal(found(wide, edges, place), found(level))
