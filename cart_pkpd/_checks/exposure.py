"""Exposure from fitted curves: the model-based twin of non-compartmental analysis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._checks.common import as_values, attrs, coords, interval_edges, picked_draws, stacked
from cart_pkpd._core.units import times
from cart_pkpd._core.validate import as_seed, positive_int
from cart_pkpd._stats.predict import on_grid

if TYPE_CHECKING:
    from cart_pkpd._fit.result import FitResult

_FINE, _COARSE = 0.05, 0.5
_NEARLY_FLAT = 1e-8


def exposure(
    result: FitResult,
    *,
    endpoint: str | None = None,
    window: tuple[float, float] = (0.0, 28.0),
    lloq: float | None = None,
    horizon: float = 365.0,
    prob: float = 0.9,
    n_draws: int = 400,
    seed: int = 1,
) -> xr.Dataset:
    """Return each patient's exposure from the fitted curve: the model-based twin of NCA.

    Parameters
    ----------
    result : FitResult
        A Bayesian fit.
    endpoint : str, optional
        The measure; needed only if the fit has several.
    window : tuple of float
        Start and end of the area. [day]
    lloq : float, optional
        Level that ends persistence; by default the median LLOQ of the records. [unit]
    horizon : float
        Last day at which persistence is looked for. [day]
    prob : float
        Probability of the equal-tailed intervals.
    n_draws : int
        Posterior draws used, taken at random.
    seed : int
        Of that choice.

    Returns
    -------
    xr.Dataset
        Dims id, interval (``median``, ``lower``, ``upper``): ``cmax``, ``tmax`` and the area, named
        like NCA's (``auc0_28``), of the noise-free level, and ``tlast``, the last day at or above
        `lloq`; infinite where the level is still above it at `horizon`, 0 where it never is.

    Raises
    ------
    FitError
        If the fit has several endpoints and none is named.
    ValueError
        If there is no LLOQ to take, or the window is empty.

    Notes
    -----
    Curves are evaluated every 0.05 day within the window and every half day after it; areas
    are sums of log-linear trapezoids, exact on exponential phases (error below 0.1 %).
    """
    start, end = window
    if not 0 <= start < end:
        raise ValueError(f"window must run from 0 or later to a later day, not {window!r}.")
    design = result.structure.design.only(endpoint)
    known = design.lloq[np.isfinite(design.lloq)]
    if lloq is None and not known.size:
        raise ValueError("the records have no LLOQ; give lloq= to say where persistence ends.")
    level_out = float(np.median(known)) if lloq is None else lloq
    inside = np.linspace(start, end, max(2, int(np.ceil((end - start) / _FINE)) + 1))
    before = np.arange(0.0, start, _FINE)
    after = np.arange(end + _COARSE, max(horizon, end) + _COARSE, _COARSE)
    grid = np.concatenate([before, inside, after])
    values = as_values(
        stacked(
            result.individual(),
            picked_draws(result, positive_int(n_draws, "n_draws"), as_seed(seed)),
        )
    )
    numbers: list[list[NDArray[np.float64]]] = []
    for i in range(design.n_patients):
        ln_level = on_grid(result.structure.model, design, values, grid, [i], log=True)[..., 0, :]
        numbers.append(curve_exposures(grid, ln_level, (start, end), np.log(level_out)))
    summary = np.quantile(np.array(numbers), interval_edges(prob), axis=2, method="inverted_cdf")
    name = f"auc{start:g}_{end:g}"
    units = {"cmax": design.unit, "tmax": "day", name: times(design.unit, "day"), "tlast": "day"}
    return xr.Dataset(
        {
            k: (("interval", "id"), summary[:, :, j], {"units": u})
            for j, (k, u) in enumerate(units.items())
        },
        coords={
            **{k: v for k, v in coords(design).items() if k in ("id", "dose_level")},
            "interval": np.array(["median", "lower", "upper"]),
        },
        attrs={**attrs(result, design), "prob": prob, "lloq": level_out, "horizon": horizon},
    ).transpose("id", "interval")


def curve_exposures(
    grid: NDArray[np.float64],
    ln_level: NDArray[np.float64],
    window: tuple[float, float],
    ln_lloq: float,
) -> list[NDArray[np.float64]]:
    """Return cmax, tmax, area and tlast of every draw; `ln_level` has shape (draws, grid)."""
    top = np.argmax(ln_level, axis=1)
    cmax = np.exp(ln_level.max(axis=1))
    inside = (grid >= window[0]) & (grid <= window[1])
    t, ln_c = grid[inside], ln_level[:, inside]
    area = np.sum(np.diff(t) * _means(ln_c), axis=1)
    above = ln_level >= ln_lloq
    last = grid.size - 1 - np.argmax(above[:, ::-1], axis=1)
    tlast = np.where(above.any(axis=1), grid[last], 0.0)
    tlast = np.where(above[:, -1], np.inf, tlast)
    return [cmax, grid[top], area, tlast]


def _means(ln_c: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean level between neighbours: log-linear, linear beside a level of 0."""
    level = np.exp(ln_c)
    left, right = level[:, :-1], level[:, 1:]
    known = (left > 0) & (right > 0)
    change = np.diff(np.where(np.isneginf(ln_c), 0.0, ln_c), axis=1)
    # (e^d - 1) / d times the left end is the log-linear trapezoid; its limit at d = 0 is 1.
    small = (np.abs(change) < _NEARLY_FLAT) | ~known
    safe = np.where(small, 1.0, change)
    share = np.where(small, 1.0 + change / 2.0, np.expm1(safe) / safe)
    return np.where(known, left * share, (left + right) / 2.0)
