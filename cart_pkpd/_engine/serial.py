"""The likelihood of all patients, one after the other."""

from __future__ import annotations

from typing import Any

from cart_pkpd._engine.batch import loglik
from cart_pkpd._engine.equations import compiled


@compiled
def all_patients(
    k: int,
    free: Any,
    sigmas: Any,
    base: Any,
    ev_time: Any,
    ev_kind: Any,
    ev_index: Any,
    ev_value: Any,
    ev_start: Any,
    ob_time: Any,
    ob_endpoint: Any,
    ob_before: Any,
    ob_start: Any,
    code: Any,
    dv: Any,
    low: Any,
    floors: Any,
    options: Any,
    total: Any,
    slope: Any,
    sigma_slope: Any,
    status: Any,
    values: Any,
    sens: Any,
) -> None:
    """Write log-likelihood and gradient of every patient; as :func:`loglik`."""
    loglik(
        0, k, free, sigmas, base, ev_time, ev_kind, ev_index, ev_value, ev_start, ob_time,
        ob_endpoint, ob_before, ob_start, code, dv, low, floors, options, total, slope,
        sigma_slope, status, values, sens,
    )  # fmt: skip
