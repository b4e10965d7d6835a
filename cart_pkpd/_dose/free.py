"""DLT rates dose by dose, without a curve: the check beside it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import integrate, stats

from cart_pkpd._core import display, words
from cart_pkpd._core.validate import instance, probability
from cart_pkpd._dose.isotonic import isotonic
from cart_pkpd._dose.patients import DoseData
from cart_pkpd._stats.priors import Beta

type Floats = NDArray[np.float64]

JEFFREYS, UNIFORM = Beta(0.5, 0.5), Beta(1.0, 1.0)


@dataclass(frozen=True, eq=False)
class OrderFree:
    """DLT rates with a separate beta posterior at each dose.

    Attributes
    ----------
    rates : pandas.DataFrame
        One row per planned dose: ``n``, ``dlts``, ``mean``, ``median``, ``lower``, ``upper`` of
        the beta posterior, ``isotonic`` (the non-decreasing rate nearest to the observed ones,
        weighted by n; NaN at a dose without patients) and ``p_above_lower`` (P(DLT rate > that at
        the next lower dose with patients); NaN for the lowest).
    prior : Beta
        Of the rate at every dose.
    prob : float
        Probability of the equal-tailed intervals.
    unit : str
        Of the doses.
    """

    rates: pd.DataFrame
    prior: Beta
    prob: float
    unit: str

    def table(self) -> pd.DataFrame:
        """Return ``rates``."""
        return self.rates

    @property
    def sentence(self) -> str:
        """Whether the rates themselves speak for an order, in words."""
        known = self.rates["p_above_lower"].dropna()
        if known.empty:
            return "Fewer than two doses have patients: no order of DLT rates can be checked."
        said = [
            f"{words.chance(p, 2)} at {words.dose(d, self.unit)}"
            for d, p in zip(known.index, known, strict=True)
        ]
        least = " Some steps speak against a rising rate." if (known < 0.2).any() else ""
        return f"P(DLT rate above that of the next lower dose): {', '.join(said)}.{least}"

    def _repr_html_(self) -> str:
        notes = [f"Prior of each dose: {self.prior}."]
        return display.block("Each dose by itself.", self.sentence, self.table(), notes=notes)

    def __repr__(self) -> str:
        return f"OrderFree ({self.prior} at each dose): {self.sentence}"


def order_free(data: DoseData, *, prior: Beta = UNIFORM, prob: float = 0.9) -> OrderFree:
    """Return the DLT rate of each dose by itself, beside a monotone curve.

    Parameters
    ----------
    data : DoseData
        Evaluable patients with a complete outcome are used.
    prior : Beta
        Of each rate: ``Beta(1, 1)`` by default, ``Beta(0.5, 0.5)`` is Jeffreys'.
    prob : float
        Probability of the equal-tailed intervals.

    Returns
    -------
    OrderFree

    Notes
    -----
    A curve with a rising slope says that toxicity rises with dose, whatever the data say. These
    rates do not: compare them with the curve, and look at ``p_above_lower``.
    """
    instance(data, DoseData, "what is known of a trial", "dose.data(trial) or dose.counts(...)")
    edges = [0.5, (1 - probability(prob, "prob")) / 2, (1 + prob) / 2]
    n, y = data.n.astype(float), data.dlts.astype(float)
    a, b = prior.a + y, prior.b + n - y
    posterior = stats.beta(a, b)
    out = pd.DataFrame(
        {"n": data.n, "dlts": data.dlts, "mean": posterior.mean()},
        index=pd.Index(data.levels.array, name="dose"),
    )
    out[["median", "lower", "upper"]] = np.stack([posterior.ppf(e) for e in edges], axis=1)
    rate = np.divide(y, n, out=np.zeros_like(y), where=n > 0)
    out["isotonic"] = isotonic(rate[None], n[None])[0]
    out["p_above_lower"] = _above_lower(a, b, n)
    out.attrs.update(prob=prob, prior=str(prior), unit=data.levels.unit)
    return OrderFree(out, prior, prob, data.levels.unit)


def beta_above(a1: float, b1: float, a0: float, b0: float) -> float:
    """Return P(X > Y) of independent X ~ Beta(a1, b1) and Y ~ Beta(a0, b0)."""
    upper, lower = stats.beta(a1, b1), stats.beta(a0, b0)
    # In quantiles of X, so that singular ends of the density do no harm.
    value, _ = integrate.quad(lambda u: lower.cdf(upper.ppf(u)), 0.0, 1.0, epsabs=1e-9, limit=200)
    return float(value)


def _above_lower(a: Floats, b: Floats, n: Floats) -> Floats:
    out, seen = np.full(n.size, np.nan), np.flatnonzero(n > 0)
    for low, high in pairwise(seen):
        out[high] = beta_above(a[high], b[high], a[low], b[low])
    return out
