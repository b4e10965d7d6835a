"""Expansion and bi-exponential contraction of tisagenlecleucel (Stein et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cart_pkpd.models._closed import ClosedFormModel
from cart_pkpd.models._ode import Input, OdeModel, State
from cart_pkpd.models._parameters import Fraction, Positive, Reference
from cart_pkpd.models._phases import growing_time_left, guess_peak, log_biexponential_decline
from cart_pkpd.models.math import Value, exp, log, where

_REFERENCE = Reference(
    "Stein AM, Grupp SA, Levine JE, et al.",
    2019,
    "Tisagenlecleucel Model-Based Cellular Kinetic Analysis of Chimeric Antigen Receptor-T Cells",
    "CPT Pharmacometrics Syst Pharmacol 8:285-295",
    "10.1002/psp4.12388",
)
_POPULATION = "90 children and young adults with B-ALL, tisagenlecleucel (ELIANA, ENSIGN)"
_TABLE = "Table 1, as transcribed in nlmixr2lib"
_OMEGA = "Table 1, as transcribed in nlmixr2lib; read as a standard deviation"

_CMAX = Positive(
    24_000,
    "copies/µg",
    "peak level",
    iiv=0.65,
    source=_TABLE,
    confidence="transcribed",
    iiv_source=_OMEGA,
)
_TMAX = Positive(
    9.3,
    "day",
    "time of the peak",
    iiv=0.38,
    spread=0.5,
    source=_TABLE,
    confidence="transcribed",
    iiv_source=_OMEGA,
)
_RHO = Positive(
    0.889,
    "1/day",
    "expansion rate",
    iiv=0.3,
    spread=0.5,
    source="ln(3900) / 9.3 d; the abstract prints the doubling time, 0.78 d",
    confidence="computed",
)
_ALPHA = Positive(
    0.16,
    "1/day",
    "fast contraction rate",
    iiv=0.91,
    source=_TABLE,
    confidence="transcribed",
    iiv_source=_OMEGA,
)
_FB = Fraction(
    0.0079,
    "1",
    "share of the peak that persists",
    iiv=0.80,
    source=_TABLE,
    confidence="transcribed",
    iiv_source=_OMEGA,
)
_BETA = Positive(
    0.0032,
    "1/day",
    "slow decline rate",
    iiv=0.86,
    source=_TABLE,
    confidence="transcribed",
    iiv_source=_OMEGA,
)
_DEVIATIONS = (
    "Growth is given by its rate rho instead of the fold expansion (rho = ln(foldx) / tmax, "
    "3900-fold), because fold, tmax and the starting level are strongly correlated in a fit.",
    "The between-patient spread of rho is assumed; foldx and tmax varying independently, as in "
    "the paper, would give about 0.48 and a correlation of rho with tmax.",
    "fb varies on the logit scale, log in the paper: nearly the same for so small a share.",
    "The random effects 2.4, 0.38, 0.65, 0.91, 0.80 and 0.86 are read as standard deviations, as "
    "Monolix prints them; nlmixr2lib takes them for variances, and the paper's table was not seen.",
    "Covariates on the peak are left out: none was significant in the paper's bootstrap.",
)
_SOURCES = (
    "nlmixr2lib, Stein_2019_Tisagenlecleucel (facts only)",
    "abstract: doubling time 0.78 d, half-lives 4.3 d and 220 d",
)


class Stein2019(ClosedFormModel):
    r"""Exponential expansion to ``tmax``, then bi-exponential contraction [1]_.

    The reference of the field: cells double at a constant rate until a sudden end, then most
    die and a small share persists. Choose it for sparse data, and as the yardstick of every other
    model; the dose does not enter. A hard end of the expansion makes several local optima in
    single patients: ``effector_memory`` has a soft one.

    Notes
    -----
    .. math::

        C(t) = \begin{cases}
            C_{max} e^{-\rho (t_{max} - t)} & t < t_{max} \\
            C_{max} \left[(1 - F_B) e^{-\alpha (t - t_{max})}
                + F_B e^{-\beta (t - t_{max})}\right] & t \ge t_{max}
        \end{cases}

    References
    ----------
    .. [1] Stein AM et al. (2019). CPT Pharmacometrics Syst Pharmacol 8:285.
       https://doi.org/10.1002/psp4.12388
    """

    name = "stein2019"
    label = "Expansion and bi-exponential contraction (Stein 2019)"
    population = _POPULATION
    reference = _REFERENCE
    structure = "transcribed"
    deviations = (
        *_DEVIATIONS,
        "Tocilizumab and corticosteroids do not act here; stein2019_comedication has them.",
    )
    sources = _SOURCES

    cmax = _CMAX
    tmax = _TMAX
    rho = _RHO
    alpha = _ALPHA
    fb = _FB
    beta = _BETA

    def log_level(self, t: Value, p: Any) -> Value:
        """Return ln C(t) of the equation above."""
        growth = -p.rho * growing_time_left(t, p.tmax)
        return log(p.cmax) + growth + log_biexponential_decline(t, p.tmax, p.alpha, p.beta, p.fb)

    def switches(self, p: Any) -> Sequence[Value]:
        """Return the end of the expansion."""
        return (p.tmax,)

    def guess(self, time: NDArray[np.float64], level: NDArray[np.float64]) -> Mapping[str, float]:
        """Return the observed peak and its time."""
        return guess_peak(time, level)


class Stein2019Comedication(OdeModel):
    """``stein2019`` with tocilizumab and corticosteroids that act on the expansion [1]_.

    While an input is 1 the expansion rate is multiplied by its factor, so that growth is
    log-linear piece by piece. Choose it to ask whether treatment of cytokine release changes
    the expansion; without comedication it is ``stein2019`` exactly. ``cmax`` and ``tmax`` are
    those without comedication. The dose does not enter.

    References
    ----------
    .. [1] Stein AM et al. (2019). CPT Pharmacometrics Syst Pharmacol 8:285.
       https://doi.org/10.1002/psp4.12388
    """

    name = "stein2019_comedication"
    label = "Expansion under tocilizumab and corticosteroids (Stein 2019)"
    population = _POPULATION
    reference = _REFERENCE
    structure = "transcribed"
    deviations = (
        *_DEVIATIONS,
        "Both factors multiply where both drugs act: assumed.",
        "An input that goes back to 0 ends its effect; in the paper an effect lasts from the first "
        "dose to the end of the expansion, which an input that stays at 1 gives.",
        "A fast and a slow part grow together and then decline at alpha and beta; their sum is "
        "the paper's, whose memory cells arise from effector cells at rate fb (alpha - beta), and "
        "neither part is negative where beta exceeds alpha.",
    )
    sources = _SOURCES

    fast = State("copies/µg", "cells that will contract fast")
    slow = State("copies/µg", "cells that will persist")

    tocilizumab = Input(0.0, "1", "tocilizumab: 1 while it acts", lower=0.0, upper=1.0)
    steroid = Input(0.0, "1", "corticosteroids: 1 while they act", lower=0.0, upper=1.0)

    cmax = _CMAX
    tmax = _TMAX
    rho = _RHO
    alpha = _ALPHA
    fb = _FB
    beta = _BETA
    ftoci = Positive(
        1.2,
        "1",
        "factor of tocilizumab on the expansion rate",
        spread=0.3,
        source=_TABLE,
        confidence="transcribed",
        fixed=True,
    )
    fster = Positive(
        1.0,
        "1",
        "factor of corticosteroids on the expansion rate",
        spread=0.3,
        source=_TABLE,
        confidence="transcribed",
        fixed=True,
    )

    def initial(self, p: Any) -> Mapping[str, Value]:
        """Return the level from which untreated growth reaches cmax at tmax."""
        start_level = p.cmax * exp(-p.rho * p.tmax)
        return {"fast": (1.0 - p.fb) * start_level, "slow": p.fb * start_level}

    def switches(self, p: Any) -> Sequence[Value]:
        """Return the end of the expansion."""
        return (p.tmax,)

    def rhs(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return growth at one rate, then decline at two."""
        growing = t < p.tmax
        toci = 1.0 + (p.ftoci - 1.0) * p.tocilizumab
        ster = 1.0 + (p.fster - 1.0) * p.steroid
        rate = p.rho * toci * ster
        return {
            "fast": where(growing, rate, -p.alpha) * y.fast,
            "slow": where(growing, rate, -p.beta) * y.slow,
        }

    def observe(self, t: Value, y: Any, p: Any) -> Mapping[str, Value]:
        """Return the transgene level."""
        return {"transgene": y.fast + y.slow}

    def guess(self, time: NDArray[np.float64], level: NDArray[np.float64]) -> Mapping[str, float]:
        """Return the observed peak and its time."""
        return guess_peak(time, level)
