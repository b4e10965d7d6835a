"""Expansion and bi-exponential contraction of tisagenlecleucel (Stein et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cart_pkpd.models._closed import ClosedFormModel
from cart_pkpd.models._parameters import Fraction, Positive, Reference
from cart_pkpd.models._phases import growing_time_left, guess_peak, log_biexponential_decline
from cart_pkpd.models.math import Value, log


class Stein2019(ClosedFormModel):
    r"""Exponential expansion to ``tmax``, then bi-exponential contraction [1]_.

    Notes
    -----
    .. math::

        C(t) = \begin{cases}
            C_{max} e^{-\rho (t_{max} - t)} & t < t_{max} \\
            C_{max} \left[(1 - F_B) e^{-\alpha (t - t_{max})}
                + F_B e^{-\beta (t - t_{max})}\right] & t \ge t_{max}
        \end{cases}

    Deviations from the paper: growth is parametrised by the rate ``rho`` instead of the fold
    expansion (``rho = ln(foldx) / tmax``; at the typical values ln 3900 / 9.3 = 0.889 per
    day), because fold, tmax and the starting level are strongly correlated in a fit. Effects
    of tocilizumab and corticosteroids on growth (1.2 and 1.0 in the paper) are left out.
    ``fb`` varies on the logit scale, log in the paper: nearly the same for so small a share.
    The published random effects are read as standard deviations; a public transcription
    enters them as variances.

    References
    ----------
    .. [1] Stein AM et al. (2019). CPT Pharmacometrics Syst Pharmacol 8:285.
       https://doi.org/10.1002/psp4.12388
    """

    name = "stein2019"
    label = "Expansion and bi-exponential contraction (Stein 2019)"
    population = "90 children and young adults with B-ALL, tisagenlecleucel (ELIANA, ENSIGN)"
    reference = Reference(
        "Stein AM, Grupp SA, Levine JE, et al.",
        2019,
        "Tisagenlecleucel Model-Based Cellular Kinetic Analysis of Chimeric Antigen "
        "Receptor-T Cells",
        "CPT Pharmacometrics Syst Pharmacol 8:285",
        "10.1002/psp4.12388",
    )

    cmax = Positive(24_000, "copies/µg", "peak level", iiv=0.65, source="final model")
    tmax = Positive(9.3, "day", "time of the peak", iiv=0.38, spread=0.5, source="final model")
    rho = Positive(
        0.889,
        "1/day",
        "expansion rate",
        iiv=0.3,
        spread=0.5,
        source="ln(3900) / 9.3 d; IIV assumed",
    )
    alpha = Positive(0.16, "1/day", "fast contraction rate", iiv=0.91, source="final model")
    fb = Fraction(0.0079, "1", "share of the peak that persists", iiv=0.80, source="final model")
    beta = Positive(0.0032, "1/day", "slow decline rate", iiv=0.86, source="final model")

    def log_level(self, t: Value, p: Any) -> Value:
        """Return ln C(t) of the equation above."""
        growth = -p.rho * growing_time_left(t, p.tmax)
        return log(p.cmax) + growth + log_biexponential_decline(t, p.tmax, p.alpha, p.beta, p.fb)

    def switches(self, p: Any) -> Sequence[Value]:
        """Return the times between the phases."""
        return (p.tmax,)

    def guess(self, time: NDArray[np.float64], level: NDArray[np.float64]) -> Mapping[str, float]:
        """Return the observed peak and its time."""
        return guess_peak(time, level)
