"""What standard normal values scatter like: the bands that residuals are held against."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from cart_pkpd._core.validate import probability

QUANTILES = (0.05, 0.5, 0.95)
_PER_BIN, _MOST_BINS = 15, 8
_SAME = 0.05  # bins whose medians are nearer than this share of the larger are one

type Array = NDArray[np.float64]


def running_quantiles(x: ArrayLike, y: ArrayLike, prob: float = 0.9) -> xr.Dataset:
    """Return quantiles of residuals along a variable, with the band of standard normal values.

    Parameters
    ----------
    x, y : array_like, shape (n,)
        Where, and the residuals; pairs that are not finite are left out.
    prob : float
        Probability of each band.

    Returns
    -------
    xr.Dataset
        Dims bin, quantile: ``observed``, ``lower``, ``upper``; dim bin: ``x`` (median of the
        bin) and ``n``. Bins hold about equal numbers of records, 15 or more where there are
        that many, and equal x share a bin.

    Notes
    -----
    The quantile q of n values is the one in place ⌈n q⌉, whose probability is distributed as
    Beta(⌈n q⌉, n + 1 − ⌈n q⌉): the bands are exact for independent values.
    """
    known = np.isfinite(np.asarray(x, float)) & np.isfinite(np.asarray(y, float))
    at, value = np.asarray(x, float)[known], np.asarray(y, float)[known]
    members = _bins(at)
    observed = [np.quantile(value[m], QUANTILES, method="inverted_cdf") for m in members]
    bands = [quantile_band(m.size, prob) for m in members]
    shape = (len(members), len(QUANTILES))
    sides = ("bin", "quantile")
    return xr.Dataset(
        {
            "observed": (sides, np.reshape(observed, shape)),
            "lower": (sides, np.reshape([b[0] for b in bands], shape)),
            "upper": (sides, np.reshape([b[1] for b in bands], shape)),
            "x": ("bin", np.array([np.median(at[m]) for m in members])),
            "n": ("bin", np.array([float(m.size) for m in members])),
        },
        coords={"quantile": np.array(QUANTILES)},
    )


def _bins(x: Array) -> list[NDArray[np.int64]]:
    """Return the positions in each bin."""
    if not x.size:
        return []
    n = max(1, min(_MOST_BINS, x.size // _PER_BIN))
    edges = np.unique(np.quantile(x, np.linspace(0, 1, n + 1)))
    which = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, max(edges.size - 2, 0))
    members: list[NDArray[np.int64]] = []
    for b in np.unique(which):
        new = np.flatnonzero(which == b)
        # Planned times hold many records: a bin border within one visit would cut it in two.
        if members and _near(float(np.median(x[members[-1]])), float(np.median(x[new]))):
            members[-1] = np.concatenate([members[-1], new])
        else:
            members.append(new)
    return members


def _near(a: float, b: float) -> bool:
    return abs(b - a) <= _SAME * max(abs(a), abs(b))


def quantile_band(n: int, prob: float = 0.9) -> tuple[Array, Array]:
    """Return the interval of each of the quantiles 0.05, 0.5, 0.95 of n standard normal values."""
    place = np.ceil(n * np.array(QUANTILES) - 1e-9)
    return _order_statistics(place, n, prob)


def ordered_band(n: int, prob: float = 0.9) -> tuple[Array, Array, Array]:
    """Return, of n standard normal values in order, medians and the ends of their intervals."""
    place = np.arange(1, n + 1, dtype=float)
    middle = special.ndtri(stats.beta.ppf(0.5, place, n + 1 - place))
    return (middle, *_order_statistics(place, n, prob))


def _order_statistics(place: Array, n: int, prob: float) -> tuple[Array, Array]:
    probability(prob, "prob")
    low, high = (stats.beta.ppf(q, place, n + 1 - place) for q in ((1 - prob) / 2, (1 + prob) / 2))
    return special.ndtri(low), special.ndtri(high)


def count_band(n: int, edges: ArrayLike, prob: float = 0.9) -> tuple[Array, Array, Array]:
    """Return expected counts of n standard normal values between edges, and their intervals."""
    probability(prob, "prob")
    share = np.diff(special.ndtr(np.asarray(edges, dtype=float)))
    low, high = (stats.binom.ppf(q, n, share) for q in ((1 - prob) / 2, (1 + prob) / 2))
    return n * share, low, high
