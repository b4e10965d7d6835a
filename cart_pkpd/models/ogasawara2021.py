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

    ``stein2019`` after a pause: infused cells neither grow nor shrink for some days. Choose it
    where the first week is sampled, because without a lag early samples bend the growth rate.
    The dose does not enter.

    Notes
    -----
    .. math::

        C(t) = \begin{cases}
            C_{max} e^{-\rho (t_{max} - t_{lag})} & t \le t_{lag} \\
            C_{max} e^{-\rho (t_{max} - t)} & t_{lag} < t < t_{max} \\
            C_{max} \left[(1 - F_B) e^{-\alpha (t - t_{max})}
                + F_B e^{-\beta (t - t_{max})}\right] & t \ge t_{max}
        \end{cases}

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

    structure = "published"
    deviations = (
        "Growth and decline are given as rates, doubling time and half-lives in the paper.",
        "A lag above tmax acts as a lag equal to tmax.",
        "The typical peak and share that persists are not in the abstract and are assumed: the "
        "peak is of the order of the label's medians (33 766 copies/µg in responders, 11 846 in "
        "others), the share is that of stein2019; so is every between-patient spread.",
        "fb varies on the logit scale.",
        "Covariates are left out: none was judged meaningful in the paper.",
    )
    sources = ("abstract (PMC8613160)", "US label of lisocabtagene maraleucel: median peaks")

    cmax = Positive(20_000, "copies/µg", "peak level", iiv=1.0)
    lag = Positive(
        3.27,
        "day",
        "lag before expansion",
        iiv=0.4,
        spread=0.5,
        source="abstract, 95 % CI 2.71 to 3.97 d",
    )
    tmax = Positive(
        9.29,
        "day",
        "time of the peak",
        iiv=0.3,
        spread=0.5,
        source="abstract, 95 % CI 8.81 to 9.70 d",
    )
    rho = Positive(
        0.918,
        "1/day",
        "expansion rate",
        iiv=0.3,
        spread=0.5,
        source="abstract: ln 2 / doubling time 0.755 d (95 % CI 0.667 to 0.821 d)",
        confidence="computed",
    )
    alpha = Positive(
        0.1386,
        "1/day",
        "fast contraction rate",
        iiv=0.6,
        source="abstract: ln 2 / half-life 5.00 d (95 % CI 4.15 to 5.90 d)",
        confidence="computed",
    )
    fb = Fraction(0.0079, "1", "share of the peak that persists", iiv=0.8)
    beta = Positive(
        0.00197,
        "1/day",
        "slow decline rate",
        iiv=0.8,
        source="abstract: ln 2 / half-life 352 d (95 % CI 241 to 647 d)",
        confidence="computed",
    )

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
