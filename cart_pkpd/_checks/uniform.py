"""Whether ranks are uniform: their ECDF with a simultaneous band, and an exact test.

Source: Säilynoja, Bürkner and Vehtari (2022), Stat Comput 32:32, doi 10.1007/s11222-022-10090-6.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

_MOST_POINTS = 100
_STEPS = 60


@dataclass(frozen=True)
class Walk:
    """The ECDF of `n` uniform ranks out of `ranks` possible ones, as a walk over its points.

    Attributes
    ----------
    n : int
        Number of ranks seen.
    ranks : int
        How many values a rank can have: 0 … ranks − 1.

    Notes
    -----
    The ECDF is looked at between possible ranks, at up to 100 points. At point z the count
    below is binomial(n, z); from point to point it is a Markov chain, so that the probability
    of staying between limits is a sum and needs no simulation.
    """

    n: int
    ranks: int

    @cached_property
    def cuts(self) -> NDArray[np.int64]:
        """How many ranks lie below each point: r means ranks 0 … r − 1; shape (m,)."""
        steps = min(self.ranks - 1, _MOST_POINTS)
        return np.unique(np.linspace(0, self.ranks, steps + 2).round().astype(np.int64)[1:-1])

    @cached_property
    def points(self) -> NDArray[np.float64]:
        """Probability below each point, shape (m,)."""
        return self.cuts / self.ranks

    @cached_property
    def tails(self) -> NDArray[np.float64]:
        """Twice the smaller tail probability of every count at every point, shape (m, n + 1)."""
        counts = np.arange(self.n + 1)
        below = stats.binom.cdf(counts, self.n, self.points[:, None])
        above = stats.binom.sf(counts - 1, self.n, self.points[:, None])
        return np.minimum(2.0 * np.minimum(below, above), 1.0)

    def counts(self, seen: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many of the ranks seen lie below each point, shape (m,)."""
        return np.searchsorted(np.sort(seen), self.cuts, side="left")

    def statistic(self, seen: NDArray[np.int64]) -> float:
        """Return the smallest tail probability over all points."""
        return float(self.tails[np.arange(self.cuts.size), self.counts(seen)].min())

    def inside(self, allowed: NDArray[np.bool_]) -> float:
        """Return the probability that every count is allowed; `allowed` has shape (m, n + 1)."""
        if not allowed.any(axis=1).all():
            return 0.0
        state, probability, before = np.array([0]), np.array([1.0]), 0.0
        for z, row in zip(self.points, allowed, strict=True):
            target = np.flatnonzero(row)
            share = (z - before) / (1.0 - before)
            probability = probability @ _binomial(target - state[:, None], self.n - state, share)
            state, before = target, z
        return float(min(probability.sum(), 1.0))

    @lru_cache(maxsize=64)  # noqa: B019 a handful of small objects
    def level(self, prob: float) -> float:
        """Return the pointwise tail probability whose band holds whole ECDFs with `prob`."""
        low, high = np.log(1e-12), 0.0
        for _ in range(_STEPS):
            middle = 0.5 * (low + high)
            if self.inside(self.tails >= np.exp(middle)) >= prob:
                low = middle
            else:
                high = middle
        return float(np.exp(low))

    def band(self, prob: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the lower and the upper limit of the ECDF at the points, each shape (m,)."""
        allowed = self.tails >= self.level(prob)
        first = allowed.argmax(axis=1)
        last = self.n - allowed[:, ::-1].argmax(axis=1)
        return first / self.n, last / self.n

    def p_value(self, seen: NDArray[np.int64]) -> float:
        """Return the exact probability of ECDFs at least as far out as this one."""
        return 1.0 - self.inside(self.tails > self.statistic(seen) * (1.0 + 1e-12))


def _binomial(k: NDArray[np.int64], n: NDArray[np.int64], share: float) -> NDArray[np.float64]:
    """Return binomial probabilities of `k` (a, b) out of `n` (a,); 0 where impossible."""
    of = np.broadcast_to(n[:, None], k.shape)
    possible = (k >= 0) & (k <= of)
    k = np.where(possible, k, 0)
    choose = special.gammaln(of + 1) - special.gammaln(k + 1) - special.gammaln(of - k + 1)
    return np.where(possible, np.exp(choose + k * np.log(share) + (of - k) * np.log1p(-share)), 0.0)


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p-values adjusted for their number (Holm 1979, Scand J Stat 6:65); NaN stays."""
    out = np.full(p.shape, np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known])]
    factors = known.size - np.arange(known.size)
    out[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return out
