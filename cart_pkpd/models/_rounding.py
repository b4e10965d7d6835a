"""Levels that the solver leaves below 0: a little, where there is nothing any more, or far.

An amount that has died out is 0 but for rounding. Where it can grow again, as a tumour does when
the cells that killed it are gone, rounding grows too, and may have either sign.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cart_pkpd._engine.expression import Expression, evaluate, symbols_of
from cart_pkpd._engine.program import Program

Levels = NDArray[np.float64]

WITHIN = 10.0
"""Results are within so many tolerances of the largest level."""

_LOOKS = 60


def sizes_at_floors(program: Program, base: NDArray[np.float64]) -> Levels:
    """Return how large levels are where every state is as small as matters.

    Parameters
    ----------
    program : Program
        The equations.
    base : ndarray, shape (k, v)
        Every value of every patient, natural scale.

    Returns
    -------
    ndarray, shape (k, e)
        Of every endpoint that is an amount: proportional to states that all have a floor. NaN for
        others, such as a logarithm.
    """
    values: dict[str, object] = {f"p_{n}": base[:, i] for i, n in enumerate(program.values)}
    floors = dict(zip((f"y_{s}" for s in program.states), program.floors, strict=False))
    sizes = np.full((len(base), len(program.observe)), np.nan)
    for e, formula in enumerate(program.observe):
        if _has_floors(formula, floors):
            one, two = (
                evaluate([formula], {**values, "t": 0.0, **{s: n * f for s, f in floors.items()}})
                for n in (1.0, 2.0)
            )
            amount = np.isclose(two[0], 2.0 * np.asarray(one[0]), rtol=1e-9, atol=0.0)
            sizes[:, e] = np.where(amount & (np.asarray(one[0]) > 0), one[0], np.nan)
    return sizes


def _has_floors(formula: Expression, floors: dict[str, float]) -> bool:
    states = [name for name in symbols_of([formula]) if name.startswith("y_")]
    return bool(states) and all(floors.get(name, 0.0) > 0.0 for name in states)


def without_rounding(
    levels: Levels,
    rtol: float,
    more: Callable[[NDArray[np.bool_]], Levels] | None = None,
    least: Levels | None = None,
) -> Levels:
    """Return levels with 0 for what is below 0 by less than the tolerance.

    Parameters
    ----------
    levels : ndarray, shape (k, n, e)
        Of k patients at n times.
    rtol : float
        Relative tolerance of the solver.
    more : callable, optional
        Returns levels, shape (k, m, e), at more times of the patients of a mask. Asked where the
        times given tell too little of how large the levels were.
    least : ndarray, shape (k, e), optional
        From :func:`sizes_at_floors`: levels that count as being as large.
    """
    if not (levels < 0).any():
        return levels
    largest = _largest(levels)
    if least is not None:
        largest = np.fmax(largest, least)
    found = _floored(levels, rtol, largest)
    unclear = (found < 0).any(axis=(1, 2))
    if more is not None and unclear.any():
        found = _floored(levels, rtol, np.maximum(largest, _largest(more(unclear))))
    return found


def fallen(levels: Levels, least: Levels) -> NDArray[np.bool_]:
    """Return which patients have an amount that is below 0 after :func:`without_rounding`.

    Parameters
    ----------
    levels : ndarray, shape (k, n, e)
        Of k patients at n times.
    least : ndarray, shape (k, e)
        From :func:`sizes_at_floors`.
    """
    return np.asarray(((levels < 0) & np.isfinite(least)[:, None, :]).any(axis=(1, 2)))


def looks(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return times from the first infusion on that show how large levels become until `times`."""
    end = max(float(np.max(times)), 1.0)
    return np.unique(np.concatenate([[0.0], np.geomspace(min(0.1, end), end, _LOOKS)]))


def _largest(levels: Levels) -> Levels:
    return np.fmax.reduce(np.abs(levels), axis=1, initial=0.0)


def _floored(levels: Levels, rtol: float, largest: Levels) -> Levels:
    small = (levels < 0) & (levels >= -WITHIN * rtol * largest[:, None, :])
    return np.where(small, 0.0, levels)
