"""Four phases across products and tumours (Liu et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cart_pkpd.models._closed import ClosedFormModel
from cart_pkpd.models._parameters import Fraction, ParameterSet, Positive, Reference
from cart_pkpd.models._phases import growing_time_left, guess_peak, log_biexponential_decline
from cart_pkpd.models.math import Value, log, logaddexp


class Liu2021(ClosedFormModel):
    r"""Distribution, expansion, contraction and persistence [1]_.

    Infused cells first leave the blood; the few that stay expand, contract and persist as in
    ``stein2019``. Choose it where samples of the first two days are in the data: they lie on
    the distribution, which models without it read as early growth. The dose does not enter.

    Verified in the abstract of the preprint, and what a fit should show again: responders have a
    higher proliferation rate and a higher capacity (here ``rho`` and ``cmax``) and a lower
    contraction rate (``alpha``); cells proliferate faster in blood cancers than in solid tumours;
    the dose, 1e7 to 1e9 cells, is only weakly correlated with kinetics and response.

    Notes
    -----
    .. math::

        C(t) = C_0 e^{-k_{dis} t} + \begin{cases}
            C_{max} e^{-\rho (t_{max} - t)} & t < t_{max} \\
            C_{max} \left[(1 - F_B) e^{-\alpha (t - t_{max})}
                + F_B e^{-\beta (t - t_{max})}\right] & t \ge t_{max}
        \end{cases}

    References
    ----------
    .. [1] Liu C et al. (2021). Clin Pharmacol Ther 109:716; preprint medRxiv 2020.05.09.20096586.
       https://doi.org/10.1101/2020.05.09.20096586
    """

    name = "liu2021"
    label = "Distribution, expansion, contraction, persistence (Liu 2021)"
    population = "218 patients of 7 trials: several products, blood cancers and solid tumours"
    reference = Reference(
        "Liu C, Ayyar VS, Zheng X, Chen W, Zheng S, Mody H, Wang W, Heald D, Singh AP, Cao Y",
        2021,
        "Model-Based Cellular Kinetic Analysis of Chimeric Antigen Receptor-T Cells in Humans",
        "Clin Pharmacol Ther 109:716 (preprint medRxiv 2020.05.09.20096586)",
        "10.1101/2020.05.09.20096586",
    )
    structure = "assumed"
    deviations = (
        "Only the four phases are verified; that distribution is one exponential added to the "
        "other three phases is assumed, because the equations were not read.",
        "Every number is assumed: the parameter table was not read.",
        "Covariates (disease, response) are left out; parameter set 'solid tumour' has the "
        "published direction of the difference, not published values.",
    )
    sources = ("abstract of the preprint, medRxiv 2020.05.09.20096586",)
    parameter_sets = MappingProxyType(
        {
            "solid tumour": ParameterSet(
                "slower growth to a lower peak, the published direction; values assumed",
                {"cmax": 2000.0, "rho": 0.6, "tmax": 10.0, "alpha": 0.2},
            )
        }
    )

    cmax = Positive(15_000, "copies/µg", "peak level", iiv=1.2)
    tmax = Positive(10.0, "day", "time of the peak", iiv=0.3, spread=0.5)
    rho = Positive(0.8, "1/day", "expansion rate", iiv=0.3, spread=0.5)
    alpha = Positive(0.15, "1/day", "contraction rate", iiv=0.6)
    fb = Fraction(0.01, "1", "share of the peak that persists", iiv=0.8)
    beta = Positive(0.004, "1/day", "slow decline rate", iiv=0.8)
    c0 = Positive(500.0, "copies/µg", "level right after the infusion, before distribution")
    kdis = Positive(2.0, "1/day", "rate at which infused cells leave the blood", spread=0.5)

    def log_level(self, t: Value, p: Any) -> Value:
        """Return ln C(t) of the equation above."""
        growth = -p.rho * growing_time_left(t, p.tmax)
        decline = log_biexponential_decline(t, p.tmax, p.alpha, p.beta, p.fb)
        return logaddexp(log(p.c0) - p.kdis * t, log(p.cmax) + growth + decline)

    def switches(self, p: Any) -> Sequence[Value]:
        """Return the end of the expansion."""
        return (p.tmax,)

    def guess(self, time: NDArray[np.float64], level: NDArray[np.float64]) -> Mapping[str, float]:
        """Return the observed peak after day 1 and its time."""
        return guess_peak(time, level)
