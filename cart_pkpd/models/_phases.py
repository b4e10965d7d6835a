"""Growth and decline phases that several published models share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cart_pkpd.models.math import Value, log, log1p, logaddexp, maximum, minimum


def log_biexponential_decline(t: Value, tmax: Value, alpha: Value, beta: Value, fb: Value) -> Value:
    """Return ln of the share of the peak left at `t`; 0 until `tmax`.

    ``(1 - fb) exp(-alpha (t - tmax)) + fb exp(-beta (t - tmax))`` for t > tmax.
    """
    since = maximum(t - tmax, 0.0)
    return logaddexp(log1p(-fb) - alpha * since, log(fb) - beta * since)


def growing_time_left(t: Value, tmax: Value, lag: Value = 0.0) -> Value:
    """Return the days of growth still ahead at `t`: from max(t, lag) to tmax, at least 0."""
    return maximum(tmax - maximum(t, minimum(lag, tmax)), 0.0)


def guess_peak(time: NDArray[np.float64], level: NDArray[np.float64]) -> dict[str, float]:
    """Return the observed peak and its time, if the peak lies after day 1."""
    later = time > 1.0
    if not later.any():
        return {}
    top = int(np.argmax(np.where(later, level, -np.inf)))
    return {"cmax": float(level[top]), "tmax": float(time[top])}
