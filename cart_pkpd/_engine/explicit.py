"""The explicit method: Tsitouras' 5(4) Runge–Kutta pair with its free interpolant.

Seven stages, the last of which is the first of the next step.

References
----------
.. [1] Tsitouras C (2011). Runge–Kutta pairs of order 5(4) satisfying only the first column
   simplifying assumption. Comput Math Appl 62:770. https://doi.org/10.1016/j.camwa.2011.06.002
"""

from __future__ import annotations

from typing import Any

from numba import njit

from cart_pkpd._engine.equations import (
    AT,
    ERR,
    K1,
    K2,
    K3,
    K4,
    K5,
    K6,
    K7,
    NEW,
    SIZE,
    SLOPE,
    WORK,
    Z,
    rhs,
)

STABLE = 3.2
"""Nearly the length of the stability interval on the negative real axis (3.5)."""

TC2, TC3, TC4, TC5 = 0.161, 0.327, 0.9, 0.9800255409045097
TA21 = 0.161
TA31, TA32 = -0.008480655492356989, 0.335480655492357
TA41, TA42, TA43 = 2.8971530571054935, -6.359448489975075, 4.3622954328695815
TA51, TA52, TA53, TA54 = (
    5.325864828439257,
    -11.748883564062828,
    7.4955393428898365,
    -0.09249506636175525,
)
TA61, TA62, TA63, TA64, TA65 = (
    5.86145544294642,
    -12.92096931784711,
    8.159367898576159,
    -0.071584973281401,
    -0.028269050394068383,
)
TB1, TB2, TB3, TB4, TB5, TB6 = (
    0.09646076681806523,
    0.01,
    0.4798896504144996,
    1.379008574103742,
    -3.290069515436081,
    2.324710524099774,
)
TE1, TE2, TE3, TE4, TE5, TE6, TE7 = (
    -0.00178001105222577714,
    -0.0008164344596567469,
    0.007880878010261995,
    -0.1447110071732629,
    0.5823571654525552,
    -0.45808210592918697,
    0.015151515151515152,
)


@njit(error_model="numpy", fastmath={"contract", "nsz"})
def explicit_step(t: float, piece: float, h: float, x: Any) -> None:
    """Make one step from Z to NEW; K1 holds the slope at Z on entry.

    On exit K7 is the slope at NEW, WORK the sixth stage and ERR the error estimate.
    """
    for i in range(SIZE):
        x[WORK + i] = x[Z + i] + h * TA21 * x[K1 + i]
    rhs(t + TC2 * h, piece, x)
    for i in range(SIZE):
        x[K2 + i] = x[SLOPE + i]
        x[WORK + i] = x[Z + i] + h * (TA31 * x[K1 + i] + TA32 * x[SLOPE + i])
    rhs(t + TC3 * h, piece, x)
    for i in range(SIZE):
        x[K3 + i] = x[SLOPE + i]
        x[WORK + i] = x[Z + i] + h * (TA41 * x[K1 + i] + TA42 * x[K2 + i] + TA43 * x[SLOPE + i])
    rhs(t + TC4 * h, piece, x)
    for i in range(SIZE):
        x[K4 + i] = x[SLOPE + i]
        x[WORK + i] = x[Z + i] + h * (
            TA51 * x[K1 + i] + TA52 * x[K2 + i] + TA53 * x[K3 + i] + TA54 * x[SLOPE + i]
        )
    rhs(t + TC5 * h, piece, x)
    for i in range(SIZE):
        x[K5 + i] = x[SLOPE + i]
        x[WORK + i] = x[Z + i] + h * (
            TA61 * x[K1 + i]
            + TA62 * x[K2 + i]
            + TA63 * x[K3 + i]
            + TA64 * x[K4 + i]
            + TA65 * x[SLOPE + i]
        )
    rhs(t + h, piece, x)
    for i in range(SIZE):
        x[K6 + i] = x[SLOPE + i]
        x[K7 + i] = x[WORK + i]
        x[NEW + i] = x[Z + i] + h * (
            TB1 * x[K1 + i]
            + TB2 * x[K2 + i]
            + TB3 * x[K3 + i]
            + TB4 * x[K4 + i]
            + TB5 * x[K5 + i]
            + TB6 * x[SLOPE + i]
        )
        x[WORK + i] = x[NEW + i]
    rhs(t + h, piece, x)
    for i in range(SIZE):
        x[WORK + i] = x[K7 + i]
        x[K7 + i] = x[SLOPE + i]
        x[ERR + i] = h * (
            TE1 * x[K1 + i]
            + TE2 * x[K2 + i]
            + TE3 * x[K3 + i]
            + TE4 * x[K4 + i]
            + TE5 * x[K5 + i]
            + TE6 * x[K6 + i]
            + TE7 * x[SLOPE + i]
        )


@njit(error_model="numpy", fastmath={"contract", "nsz"})
def explicit_interpolate(c: float, h: float, x: Any) -> None:
    """Write the solution at the fraction `c` of the last step to AT (order 4)."""
    c2 = c * c
    b1 = (
        -1.0530884977290216
        * c
        * (c - 1.3299890189751412)
        * (c2 - 1.4364028541716351 * c + 0.7139816917074209)
    )
    b2 = 0.1017 * c2 * (c2 - 2.1966568338249754 * c + 1.2949852507374631)
    b3 = 2.490627285651252793 * c2 * (c2 - 2.38535645472061657 * c + 1.57803468208092486)
    b4 = -16.54810288924490272 * (c - 1.21712927295533244) * (c - 0.61620406037800089) * c2
    b5 = 47.37952196281928122 * (c - 1.203071208372362603) * (c - 0.658047292653547382) * c2
    b6 = -34.87065786149660974 * (c - 1.2) * (c - 0.666666666666666667) * c2
    b7 = 2.5 * (c - 1.0) * (c - 0.6) * c2
    for i in range(SIZE):
        x[AT + i] = x[Z + i] + h * (
            b1 * x[K1 + i]
            + b2 * x[K2 + i]
            + b3 * x[K3 + i]
            + b4 * x[K4 + i]
            + b5 * x[K5 + i]
            + b6 * x[K6 + i]
            + b7 * x[K7 + i]
        )
