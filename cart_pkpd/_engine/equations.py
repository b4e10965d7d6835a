"""What generated code must define, by the example of exponential decline ``y' = -k y``.

The solver's modules import these names from here, so that they can be read, checked and run
by themselves; :mod:`cart_pkpd._engine.units` leaves them open where each model's own are to be
linked. Here y(0) = 1, k is the only parameter, and the level observed is y.
"""

from __future__ import annotations

import math
from typing import Any

from numba import njit

compiled = njit(
    error_model="numpy",
    fastmath={"contract", "nsz", "arcp", "reassoc"},
    no_cpython_wrapper=True,
    no_cfunc_wrapper=True,
)
"""Decorator of everything that only compiled code calls.

Sums may be taken in any order, and NaN and infinity stay what they are; the formulas of a model
keep the order in which they were written."""

N, M, S, SENS, ROW, SIZE, SWITCHES, VALUES = 1, 1, 1, 1, 1, 2, 0, 1
"""Counts: states, parameters differentiated by, residual parameters, where the sensitivities
begin in a vector of states, the length of their rows and of all, switches, and all values."""

FEW, TIMED, TERMS, KEPTS = 1, 0, 0, 0
"""Whether triangular systems are written out, whether slopes depend on time, the order of the
solution's Taylor series, 0 where there is none, and how many numbers are kept for all records of a
patient."""

Z, NEW, WORK, SLOPE, ERR, FT, AT = range(0, 14, 2)
K1, K2, K3, K4, K5, K6, K7 = range(14, 28, 2)
U1, U2, U3, U4, U5, U6, U7, U8 = range(28, 44, 2)
JAC, LU, PIVOT = range(44, 47)
HESSIAN, PEAK, BEST, FLOORS, COLUMN = range(48, 53)
TIMES = DTIMES = ORDER = 53
GAIN, DGAIN, Q, RATES, GIVEN, PER, CHAIN, SIGMA, KEPT, SERIES, LEVELS, TOTAL = range(53, 65)
"""Places in the array `x` of a solve."""


@compiled
def initial(x: Any) -> None:
    """Write states and sensitivities at the start to Z."""
    x[Z], x[Z + 1] = 1.0, 0.0


@compiled
def rhs(t: float, t_piece: float, x: Any) -> None:
    """Write the slopes of the states and sensitivities in WORK to SLOPE."""
    x[SLOPE] = -x[Q] * x[WORK] + x[RATES]
    x[SLOPE + 1] = -x[Q] * x[WORK + 1] - x[WORK]


@compiled
def series(t: float, t_piece: float, x: Any) -> None:
    """Write the coefficients of the states' series to SERIES, for the states there."""
    return


@compiled
def compare(soon: float, x: Any) -> None:
    """Write to BEST one over the size that each state's last terms are compared with.

    A state at 0 is compared with what it will be a little later.
    """
    x[BEST] = 1.0 / max(abs(x[SERIES]), x[FLOORS])


@compiled
def along(c: float, x: Any) -> None:
    """Write to AT where the series lead after a time."""
    return


@compiled
def linearise(t: float, t_piece: float, x: Any) -> None:
    """Write Jacobian, second derivatives and the slope's derivative by time, all at Z."""
    x[JAC], x[HESSIAN], x[FT], x[FT + 1] = -x[Q], -1.0, 0.0, 0.0


@compiled
def curvature(x: Any) -> None:
    """Add to the sensitivities in SLOPE what the Jacobian's change along its states adds."""
    x[SLOPE + 1] += x[HESSIAN] * x[SLOPE]


@compiled
def substitute(x: Any) -> None:
    """Solve with the factors in LU for the sensitivities in SLOPE, in place."""
    x[SLOPE + 1] *= x[LU]


@compiled
def gain(x: Any) -> None:
    """Write the share of an amount that arrives in each state, and its derivatives."""
    x[GAIN], x[DGAIN] = 1.0, 0.0


@compiled
def switch_times(x: Any) -> None:
    """Write the times at which the equations jump, and their derivatives."""
    return


@compiled
def observe(endpoint: int, t: float, t_piece: float, x: Any) -> float:
    """Return the level of an endpoint for the states in AT; write its derivatives to COLUMN."""
    x[COLUMN] = x[AT + 1]
    return x[AT]


@compiled
def weigh(x: Any) -> None:
    """Put the natural values in GIVEN in place, and the change per unit of the free scale."""
    x[Q] = x[PER] = x[GIVEN]


@compiled
def natural(x: Any) -> None:
    """Put the free values in GIVEN in place, with the derivative of the natural value."""
    x[Q] = x[PER] = x[CHAIN] = math.exp(x[GIVEN])


@compiled
def keep(x: Any) -> None:
    """Write to KEPT what is the same for all records of a patient."""
    return


@compiled
def record(
    endpoint: int, code: int, dv: float, low: float, f: float, sigmas: Any, x: Any
) -> tuple[float, float]:
    """Return ln likelihood of a record and its slope by the level; add those by sigma."""
    z = (dv - f) / sigmas[0]
    x[SIGMA] += (z * z - 1.0) / sigmas[0]
    return -0.5 * z * z - math.log(sigmas[0]), z / sigmas[0]
