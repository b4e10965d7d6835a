"""The true kinetics: individual parameters and the level at any time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]


def _logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


def individual(
    dose: Array, truth: dict[str, Any], rng: np.random.Generator
) -> dict[str, NDArray[Any]]:
    """Draw the individual kinetic parameters.

    Parameters
    ----------
    dose : ndarray, shape (n,)
        Planned dose. [cells]
    truth : dict
        The whole of ``truth.toml``.
    rng : Generator
        Source of randomness.

    Returns
    -------
    dict
        ``eta_cmax`` … ``eta_fb`` (standard normal), ``non_expander`` (0/1), ``cmax``
        [copies/µg], ``tmax`` [day], ``rho``, ``alpha``, ``beta`` [1/day], ``fb`` [1] and
        ``ratio`` [(copies/µg)/(cells/µL)], each of shape (n,).
    """
    t, n = truth["transgene"], dose.size
    names = ("cmax", "tmax", "rho", "alpha", "fb")
    eta = dict(zip(names, rng.standard_normal((5, n)), strict=True))
    silent = (rng.random(n) < t["non_expander_probability"]).astype(np.int64)
    log_cmax = (
        np.log(t["cmax"])
        + t["dose_exponent"] * np.log(dose / t["reference_dose"])
        + t["cmax_iiv"] * eta["cmax"]
        - silent * np.log(t["non_expander_fold"])
    )
    drawn: dict[str, NDArray[Any]] = {f"eta_{name}": values for name, values in eta.items()}
    drawn |= {"non_expander": silent, "cmax": np.exp(log_cmax)}
    for name in ("tmax", "rho", "alpha"):
        drawn[name] = t[name] * np.exp(t[f"{name}_iiv"] * eta[name])
    drawn["fb"] = 1 / (1 + np.exp(-(_logit(t["fb"]) + t["fb_iiv"] * eta["fb"])))
    drawn["beta"] = np.full(n, t["beta"])
    cells = truth["car_cells"]
    drawn["ratio"] = cells["ratio"] * np.exp(cells["ratio_iiv"] * rng.standard_normal(n))
    return drawn


def log_level(time: Array | float, who: pd.DataFrame | pd.Series) -> Array:
    """Return ln of the transgene level [copies/µg].

    Parameters
    ----------
    time : array_like, shape (m,) for one patient, (m,) or (n, m) for a table of n
        Time since infusion. [day]
    who : Series or DataFrame
        One patient (a row) or several, with ``cmax``, ``tmax``, ``rho``, ``alpha``, ``beta``
        and ``fb``.

    Returns
    -------
    ndarray, shape of `time`, or (n, m)
    """
    t = np.asarray(time, dtype=np.float64)
    p = {k: _column(who[k]) for k in ("cmax", "tmax", "rho", "alpha", "beta", "fb")}
    after = np.maximum(t - p["tmax"], 0.0)
    growth = p["rho"] * np.minimum(t - p["tmax"], 0.0)
    fall = np.log(
        (1 - p["fb"]) * np.exp(-p["alpha"] * after) + p["fb"] * np.exp(-p["beta"] * after)
    )
    return np.asarray(np.log(p["cmax"]) + growth + fall)


def _column(value: Any) -> Any:
    """Return a number as it is and a column of numbers with shape (n, 1)."""
    return value.to_numpy(dtype=np.float64)[:, None] if isinstance(value, pd.Series) else value
