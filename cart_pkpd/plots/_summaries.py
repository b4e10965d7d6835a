"""The few summaries that pictures show: geometric means, with what was left out counted."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Geometric:
    """Geometric mean of the positive values of a sample, with its t interval on the log scale.

    Attributes
    ----------
    n : int
        Positive values, on which the mean rests.
    n_zero, n_missing : int
        Values of zero (never quantified) and values not available: both left out of the mean.
    mean, lower, upper : float
        NaN where there are too few values: one for a mean, two for an interval.
    minimum, maximum : float
        Over the positive values.
    """

    n: int
    n_zero: int
    n_missing: int
    mean: float
    lower: float
    upper: float
    minimum: float
    maximum: float


def geometric(values: Floats, prob: float = 0.9) -> Geometric:
    """Return the geometric mean of the positive `values`.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Zero where never quantified, NaN where not available.
    prob : float
        Probability of the interval.

    Returns
    -------
    Geometric
        Mean and interval in the unit of the values.
    """
    finite = values[np.isfinite(values)]
    positive = finite[finite > 0]
    n, missing = positive.size, int(values.size - finite.size)
    zero = int((finite <= 0).sum())
    if not n:
        return Geometric(0, zero, missing, *[math.nan] * 5)
    logs = np.log(positive)
    centre, low, high = float(logs.mean()), math.nan, math.nan
    if n > 1:
        half = stats.t.ppf((1 + prob) / 2, n - 1) * logs.std(ddof=1) / math.sqrt(n)
        low, high = math.exp(centre - half), math.exp(centre + half)
    edges = (float(positive.min()), float(positive.max()))
    return Geometric(int(n), zero, missing, math.exp(centre), low, high, *edges)


def mean_profile(
    time: Floats, dv: Floats, blq: NDArray[np.bool_], lloq: Floats
) -> tuple[Floats, Floats]:
    """Return times and geometric means of one group of profiles.

    Values below the LLOQ count as LLOQ/2. A time is left out where fewer than two patients
    were sampled, or where more than half of the values are below the LLOQ: there the mean
    would only repeat the limit.

    Parameters
    ----------
    time : ndarray, shape (n,)
        Nominal times, or times to be grouped. [day]
    dv, lloq : ndarray, shape (n,)
        Values and limits.
    blq : ndarray of bool, shape (n,)
        Which values are below the limit.

    Returns
    -------
    times, means : ndarray
        Of equal length, possibly 0.
    """
    level = np.where(blq, np.where(np.isfinite(lloq), lloq, dv) / 2, dv)
    at, means = [], []
    for t in np.unique(time):
        here = time == t
        use = here & (level > 0)
        if use.sum() >= 2 and blq[here].mean() <= 0.5:
            at.append(t)
            means.append(float(np.exp(np.log(level[use]).mean())))
    return np.array(at, dtype=float), np.array(means, dtype=float)
