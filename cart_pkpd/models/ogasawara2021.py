"""Lag, expansion and bi-exponential contraction of lisocabtagene maraleucel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cart_pkpd.models._closed import ClosedFormModel
from cart_pkpd.models._parameters import Fraction, Positive, Reference
from cart_pkpd.models._phases import growing_time_left, guess_peak, log_biexponential_decline
from cart_pkpd.models.math import Value, log, minimum


class Ogasawara2021(ClosedFormModel):
    r"""A constant level until ``lag``, expansion to ``tmax``, bi-exponential contraction [1]_.

    Notes
    -----
    .. math::

        C(t) = \begin{cases}
            C_{max} e^{-\rho (t_{max} - t_{lag})} & t \le t_{lag} \\
            C_{max} e^{-\rho (t_{max} - t)} & t_{lag} < t < t_{max} \\
            C_{max} \left[(1 - F_B) e^{-\alpha (t - t_{max})}
                + F_B e^{-\beta (t - t_{max})}\right] & t \ge t_{max}
        \end{cases}

    The paper gives growth as a doubling time (0.755 d, rho = ln 2 / 0.755) and declines as
    half-lives (5.00 d and 352 d). A lag above tmax acts as a lag equal to tmax. Typical cmax
    and fb are not in the abstract: cmax is of the order of the label's medians, fb is
    Stein 2019's; both are marked assumed, and so is every IIV.

    References
    ----------
    .. [1] Ogasawara K et al. (2021). Clin Pharmacokinet 60:1621.
       https://doi.org/10.1007/s40262-021-01039-5
    """

    name = "ogasawara2021"
    label = "Lag, expansion and bi-exponential contraction (Ogasawara 2021)"
    population = "261 adults with large B-cell lymphoma, liso-cel (TRANSCEND NHL 001)"
    reference = Reference(
        "Ogasawara K, Dodds M, Mack T, Lymp J, Dell'Aringa J, Smith J",
        2021,
        "Population Cellular Kinetics of Lisocabtagene Maraleucel, an Autologous CD19-Directed "
        "Chimeric Antigen Receptor T-Cell Product, in Patients with Relapsed/Refractory Large "
        "B-Cell Lymphoma",
        "Clin Pharmacokinet 60:1621",
        "10.1007/s40262-021-01039-5",
    )

    cmax = Positive(20_000, "copies/µg", "peak level", iiv=1.0)
    lag = Positive(3.27, "day", "lag before expansion", iiv=0.4, spread=0.5, source="abstract")
    tmax = Positive(9.29, "day", "time of the peak", iiv=0.3, spread=0.5, source="abstract")
    rho = Positive(
        0.918, "1/day", "expansion rate", iiv=0.3, spread=0.5, source="ln 2 / 0.755 d, abstract"
    )
    alpha = Positive(
        0.1386, "1/day", "fast contraction rate", iiv=0.6, source="ln 2 / 5.00 d, abstract"
    )
    fb = Fraction(0.0079, "1", "share of the peak that persists", iiv=0.8)
    beta = Positive(0.00197, "1/day", "slow decline rate", iiv=0.8, source="ln 2 / 352 d, abstract")

    def log_level(self, t: Value, p: Any) -> Value:
        """Return ln C(t) of the equation above."""
        growth = -p.rho * growing_time_left(t, p.tmax, p.lag)
        return log(p.cmax) + growth + log_biexponential_decline(t, p.tmax, p.alpha, p.beta, p.fb)

    def switches(self, p: Any) -> Sequence[Value]:
        """Return the times between the phases."""
        return minimum(p.lag, p.tmax), p.tmax

    def guess(self, time: NDArray[np.float64], level: NDArray[np.float64]) -> Mapping[str, float]:
        """Return the observed peak and its time."""
        return guess_peak(time, level)
