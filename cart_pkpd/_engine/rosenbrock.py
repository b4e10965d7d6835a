"""The implicit method: Rodas5P, a stiffly accurate Rosenbrock method of order 5(4).

Eight stages share one factored matrix; there is no iteration. The sensitivities are part of
the system: its Jacobian is block triangular, so that they are solved after the states with
the same factors, and the derivative of the Jacobian enters on the right-hand side.

References
----------
.. [1] Steinebach G (2023). Construction of Rosenbrock–Wanner method Rodas5P and numerical
   benchmarks within the Julia Differential Equations package. BIT Numer Math 63:27.
   https://doi.org/10.1007/s10543-023-00967-x
.. [2] Hairer E, Wanner G (1996). Solving Ordinary Differential Equations II, section IV.7:
   the form without products with the Jacobian.
"""

from __future__ import annotations

from typing import Any

from cart_pkpd._engine.equations import (
    AT,
    ERR,
    FT,
    K1,
    NEW,
    SIZE,
    SLOPE,
    TIMED,
    U1,
    U2,
    U3,
    U4,
    U5,
    U6,
    U7,
    U8,
    WORK,
    M,
    Z,
    compiled,
    curvature,
    rhs,
)
from cart_pkpd._engine.linear import factor, solve_sensitivities, solve_states

RGAMMA = 0.21193756319429014
RA21 = 3.0
RA31, RA32 = (
    2.849394379747939,
    0.45842242204463923,
)
RA41, RA42, RA43 = (
    -6.954028509809101,
    2.489845061869568,
    -10.358996098473584,
)
RA51, RA52, RA53, RA54 = (
    2.8029986275628964,
    0.5072464736228206,
    -0.3988312541770524,
    -0.04721187230404641,
)
RA61, RA62, RA63, RA64, RA65 = (
    -7.502846399306121,
    2.561846144803919,
    -11.627539656261098,
    -0.18268767659942256,
    0.030198172008377946,
)
RC21 = -14.155112264123755
RC31, RC32 = (
    -17.97296035885952,
    -2.859693295451294,
)
RC41, RC42, RC43 = (
    147.12150275711716,
    -1.41221402718213,
    71.68940251302358,
)
RC51, RC52, RC53, RC54 = (
    165.43517024871676,
    -0.4592823456491126,
    42.90938336958603,
    -5.961986721573306,
)
RC61, RC62, RC63, RC64, RC65 = (
    24.854864614690072,
    -3.0009227002832186,
    47.4931110020768,
    5.5814197821558125,
    -0.6610691825249471,
)
RC71, RC72, RC73, RC74, RC75, RC76 = (
    30.91273214028599,
    -3.1208243349937974,
    77.79954646070892,
    34.28646028294783,
    -19.097331116725623,
    -28.087943162872662,
)
RC81, RC82, RC83, RC84, RC85, RC86, RC87 = (
    37.80277123390563,
    -3.2571969029072276,
    112.26918849496327,
    66.9347231244047,
    -40.06618937091002,
    -54.66780262877968,
    -9.48861652309627,
)
RT2, RT3, RT4, RT5 = (
    0.6358126895828704,
    0.4095798393397535,
    0.9769306725060716,
    0.4288403609558664,
)
RD1, RD2, RD3, RD4, RD5 = (
    0.21193756319429014,
    -0.42387512638858027,
    -0.3384627126235924,
    1.8046452872882734,
    2.325825639765069,
)
(RH11, RH12, RH13, RH14, RH15, RH16, RH17, RH18) = (
    25.948786856663858,
    -2.5579724845846235,
    10.433815404888879,
    -2.3679251022685204,
    0.524948541321073,
    1.1241088310450404,
    0.4272876194431874,
    -0.17202221070155493,
)
(RH21, RH22, RH23, RH24, RH25, RH26, RH27, RH28) = (
    -9.91568850695171,
    -0.9689944594115154,
    3.0438037242978453,
    -24.495224566215796,
    20.176138334709044,
    15.98066361424651,
    -6.789040303419874,
    -6.710236069923372,
)
(RH31, RH32, RH33, RH34, RH35, RH36, RH37, RH38) = (
    11.419903575922262,
    2.8879645146136994,
    72.92137995996029,
    80.12511834622643,
    -52.072871366152654,
    -59.78993625266729,
    -0.15582684282751913,
    4.883087185713722,
)


@compiled
def solve_stage(x: Any) -> None:
    """Solve one stage in SLOPE: the states, then the sensitivities that depend on them."""
    solve_states(x)
    if M > 0:
        curvature(x)
        solve_sensitivities(x)


@compiled
def drift(share: float, x: Any) -> None:
    """Add to SLOPE a share of the slope's derivative by time."""
    if TIMED:
        for i in range(SIZE):
            x[SLOPE + i] += share * x[FT + i]


@compiled
def implicit_step(t: float, piece: float, h: float, x: Any) -> bool:
    """Make one step from Z to NEW; K1, JAC, HESSIAN and FT belong to Z.

    On exit U1 to U8 hold the stages and ERR the error estimate. False if the matrix is
    singular.
    """
    inverse = 1.0 / h
    if not factor(x, inverse / RGAMMA):
        return False
    for i in range(SIZE):
        x[SLOPE + i] = x[K1 + i]
    drift(h * RD1, x)
    solve_stage(x)
    for i in range(SIZE):
        x[U1 + i] = x[SLOPE + i]
        x[WORK + i] = x[Z + i] + RA21 * x[SLOPE + i]
    rhs(t + RT2 * h, piece, x)
    for i in range(SIZE):
        x[SLOPE + i] += inverse * (RC21 * x[U1 + i])
    drift(h * RD2, x)
    solve_stage(x)
    for i in range(SIZE):
        x[U2 + i] = x[SLOPE + i]
        x[WORK + i] = x[Z + i] + RA31 * x[U1 + i] + RA32 * x[SLOPE + i]
    rhs(t + RT3 * h, piece, x)
    for i in range(SIZE):
        x[SLOPE + i] += inverse * (RC31 * x[U1 + i] + RC32 * x[U2 + i])
    drift(h * RD3, x)
    solve_stage(x)
    for i in range(SIZE):
        x[U3 + i] = x[SLOPE + i]
        x[WORK + i] = x[Z + i] + RA41 * x[U1 + i] + RA42 * x[U2 + i] + RA43 * x[SLOPE + i]
    rhs(t + RT4 * h, piece, x)
    for i in range(SIZE):
        x[SLOPE + i] += inverse * (RC41 * x[U1 + i] + RC42 * x[U2 + i] + RC43 * x[U3 + i])
    drift(h * RD4, x)
    solve_stage(x)
    for i in range(SIZE):
        x[U4 + i] = x[SLOPE + i]
        x[WORK + i] = (
            x[Z + i] + RA51 * x[U1 + i] + RA52 * x[U2 + i] + RA53 * x[U3 + i] + RA54 * x[SLOPE + i]
        )
    rhs(t + RT5 * h, piece, x)
    for i in range(SIZE):
        x[SLOPE + i] += inverse * (
            RC51 * x[U1 + i] + RC52 * x[U2 + i] + RC53 * x[U3 + i] + RC54 * x[U4 + i]
        )
    drift(h * RD5, x)
    solve_stage(x)
    for i in range(SIZE):
        x[U5 + i] = x[SLOPE + i]
        x[WORK + i] = (
            x[Z + i]
            + RA61 * x[U1 + i]
            + RA62 * x[U2 + i]
            + RA63 * x[U3 + i]
            + RA64 * x[U4 + i]
            + RA65 * x[SLOPE + i]
        )
    rhs(t + h, piece, x)
    for i in range(SIZE):
        x[SLOPE + i] += inverse * (
            RC61 * x[U1 + i]
            + RC62 * x[U2 + i]
            + RC63 * x[U3 + i]
            + RC64 * x[U4 + i]
            + RC65 * x[U5 + i]
        )
    solve_stage(x)
    for i in range(SIZE):
        x[U6 + i] = x[SLOPE + i]
        x[WORK + i] += x[SLOPE + i]
    rhs(t + h, piece, x)
    for i in range(SIZE):
        x[SLOPE + i] += inverse * (
            RC71 * x[U1 + i]
            + RC72 * x[U2 + i]
            + RC73 * x[U3 + i]
            + RC74 * x[U4 + i]
            + RC75 * x[U5 + i]
            + RC76 * x[U6 + i]
        )
    solve_stage(x)
    for i in range(SIZE):
        x[U7 + i] = x[SLOPE + i]
        x[WORK + i] += x[SLOPE + i]
    rhs(t + h, piece, x)
    for i in range(SIZE):
        x[SLOPE + i] += inverse * (
            RC81 * x[U1 + i]
            + RC82 * x[U2 + i]
            + RC83 * x[U3 + i]
            + RC84 * x[U4 + i]
            + RC85 * x[U5 + i]
            + RC86 * x[U6 + i]
            + RC87 * x[U7 + i]
        )
    solve_stage(x)
    for i in range(SIZE):
        x[U8 + i] = x[SLOPE + i]
        x[ERR + i] = x[SLOPE + i]
        x[NEW + i] = x[WORK + i] + x[SLOPE + i]
    return True


@compiled
def implicit_interpolate(c: float, x: Any) -> None:
    """Write the solution at the fraction `c` of the last step to AT (order 4)."""
    d = 1.0 - c
    g1 = c * d * (RH11 + c * (RH21 + c * RH31))
    g2 = c * d * (RH12 + c * (RH22 + c * RH32))
    g3 = c * d * (RH13 + c * (RH23 + c * RH33))
    g4 = c * d * (RH14 + c * (RH24 + c * RH34))
    g5 = c * d * (RH15 + c * (RH25 + c * RH35))
    g6 = c * d * (RH16 + c * (RH26 + c * RH36))
    g7 = c * d * (RH17 + c * (RH27 + c * RH37))
    g8 = c * d * (RH18 + c * (RH28 + c * RH38))
    for i in range(SIZE):
        x[AT + i] = (
            d * x[Z + i]
            + c * x[NEW + i]
            + g1 * x[U1 + i]
            + g2 * x[U2 + i]
            + g3 * x[U3 + i]
            + g4 * x[U4 + i]
            + g5 * x[U5 + i]
            + g6 * x[U6 + i]
            + g7 * x[U7 + i]
            + g8 * x[U8 + i]
        )
