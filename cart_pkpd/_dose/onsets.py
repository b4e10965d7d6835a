"""When in the window DLTs occur, for simulated trials: named shapes of the onset curve."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import stats

from cart_pkpd._dose.onset import Onset
from cart_pkpd._dose.state import Floats, Ints


def weibull_onset(
    shape: float, scale: float, *, window: float = 28.0, first: float = 0.0,
    last: float | None = None,
) -> Onset:  # fmt: skip
    """Return an onset curve by a Weibull distribution cut to the days `first` to `last`.

    Parameters
    ----------
    shape, scale : float
        Of the Weibull distribution of the days after `first`; scale in days.
    window : float
        End of the window, a whole number of days. [day]
    first, last : float
        Days between which DLTs occur; the whole window by default. [day]

    Returns
    -------
    Onset
        Exact at whole days.

    Examples
    --------
    CRS within two weeks, half of it by day 5:

    >>> round(float(weibull_onset(1.5, 6.0, last=14.0)(5.0)), 2)
    0.55
    """
    if not (0 < shape < np.inf and 0 < scale < np.inf):
        raise ValueError(f"shape and scale must be above 0, not {shape!r} and {scale!r}.")
    return _cut(lambda t: stats.weibull_min.cdf(t, shape, scale=scale), window, first, last)


def beta_onset(
    a: float, b: float, *, window: float = 28.0, first: float = 0.0, last: float | None = None
) -> Onset:
    """Return an onset curve by a beta distribution stretched over the days `first` to `last`.

    Parameters
    ----------
    a, b : float
        Of the beta distribution: ``(2, 4)`` is early, ``(4, 2)`` late.
    window : float
        End of the window, a whole number of days. [day]
    first, last : float
        Days between which DLTs occur; the whole window by default. [day]

    Returns
    -------
    Onset
        The share of the window's DLTs that have happened by each day.
    """
    if not (a > 0 and b > 0):
        raise ValueError(f"a and b must be above 0, not {a!r} and {b!r}.")
    end = window if last is None else last
    return _cut(lambda t: stats.beta.cdf(t / (end - first), a, b), window, first, last)


def mixed_onset(parts: Mapping[Onset, float]) -> Onset:
    """Return the mixture of onset curves of one window, by weights.

    Parameters
    ----------
    parts : mapping of Onset to float
        Weights above 0; they are scaled to a sum of 1.

    Returns
    -------
    Onset
        Of the same window.

    Examples
    --------
    Three DLTs in four are early, one is late and pulmonary:

    >>> early, late = beta_onset(2, 4, last=14.0), beta_onset(4, 2, first=10.0)
    >>> mixed = mixed_onset({early: 3, late: 1})
    """
    if not parts or any(not w > 0 for w in parts.values()):
        raise ValueError("a mixture of onset curves needs weights above 0.")
    ends = {o.days[-1] for o in parts}
    if len(ends) > 1:
        shown = ", ".join(f"{e:g}" for e in sorted(ends))
        raise ValueError(f"the onset curves end on different days ({shown}); give one window.")
    days = np.unique(np.concatenate([o.days for o in parts]))
    total = sum(parts.values())
    share = sum(w / total * o(days) for o, w in parts.items())
    return _onset(days, np.asarray(share))


def day_of_onset(onset: Onset, u: Floats) -> Ints:
    """Return the whole day, from 1, on which a DLT becomes known, for shares `u` in 0 to 1.

    Day d stands for a toxicity in the d-th day of follow-up, (d − 1, d].
    """
    last = int(onset.days[-1])
    share: Floats = onset(np.arange(1.0, last + 1))
    return np.minimum(share.searchsorted(u) + 1, last)


def _cut(cdf: Callable[[Any], Any], window: float, first: float, last: float | None) -> Onset:
    end = window if last is None else last
    if not 0 <= first < end <= window < np.inf:
        raise ValueError(
            f"DLTs must begin and end within the window: 0 ≤ {first:g} < {end:g} ≤ {window:g}."
        )
    days = np.unique(np.concatenate([np.arange(0, window + 1), [first, end, window]]))
    days = days[days <= window]
    inside = np.clip(days, first, end) - first
    return _onset(days, cdf(inside) / cdf(end - first))


def _onset(days: Floats, share: Floats) -> Onset:
    share = np.maximum.accumulate(np.clip(share, 0.0, 1.0))
    share[0], share[-1] = 0.0, 1.0
    return Onset(tuple(days.tolist()), tuple(share.tolist()))
