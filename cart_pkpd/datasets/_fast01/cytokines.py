"""The true cytokines: turnover species driven by activated cells meeting antigen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]

STEP = 0.1
GRID: Array = np.arange(0.0, 36.0 + STEP / 2, STEP)
"""Times at which the species are computed; between them they are interpolated. [day]"""


@dataclass(frozen=True)
class Draws:
    """What differs between patients: log deviations of production and of the baseline.

    Attributes
    ----------
    gain, base : ndarray, shape (n patients, n species)
        Log deviation of the production, and of the baseline.
    """

    gain: Array
    base: Array


def draw(n: int, truth: dict[str, Any], rng: np.random.Generator) -> Draws:
    """Draw the deviations of `n` patients; production has a part shared by all species."""
    c = truth["cytokines"]
    own = np.array([s["iiv"] for s in c["species"].values()])
    shared = c["shared_iiv"] * rng.standard_normal((n, 1))
    gain = shared + own * rng.standard_normal((n, own.size))
    return Draws(gain, c["base_iiv"] * rng.standard_normal((n, own.size)))


def activated(who: pd.DataFrame, truth: dict[str, Any]) -> Array:
    """Return the activated cells on the grid, 1 being the typical patient at tmax.

    Notes
    -----
    dA/dt = rho C - loss A with C growing at rate rho has the closed form
    A = rho/(rho + loss) (C - C(0) exp(-loss t)); after tmax, A decays at rate `loss`.
    """
    t, loss = truth["transgene"], truth["cytokines"]["activated_loss"]
    rho, tmax, cmax = (who[k].to_numpy()[:, None] for k in ("rho", "tmax", "cmax"))
    until = np.minimum(GRID, tmax)
    start = cmax * np.exp(-rho * tmax)
    grown = rho / (rho + loss) * (start * np.exp(rho * until) - start * np.exp(-loss * until))
    reference = t["rho"] / (t["rho"] + loss) * t["cmax"]
    return np.asarray(grown * np.exp(-loss * np.maximum(GRID - tmax, 0)) / reference)


def encounter(who: pd.DataFrame, truth: dict[str, Any]) -> Array:
    """Return the antigen encounter on the grid: saturable in cells, rising with the tumour."""
    c = truth["cytokines"]
    a = activated(who, truth)
    antigen = (who["msln_expression"] + who["muc1_expression"]).to_numpy() / 2
    burden = who["tumour_burden"].to_numpy()
    tumour = (burden / c["reference_burden"]) ** c["burden_exponent"]
    tumour = tumour * (antigen / c["reference_antigen"]) ** c["antigen_exponent"]
    return np.asarray((1 + c["half"]) * a / (c["half"] + a) * tumour[:, None])


def levels(
    who: pd.DataFrame,
    draws: Draws,
    truth: dict[str, Any],
    toci: Array | None = None,
    steroid: Array | None = None,
) -> Array:
    """Return the true levels on the grid.

    Parameters
    ----------
    who : DataFrame
        One row per patient: kinetics, ``dose``, ``tumour_burden`` and antigen expression.
    draws : Draws
        Deviations of the patients.
    truth : dict
        The whole of ``truth.toml``.
    toci : ndarray, shape (n,), optional
        Time of the first tocilizumab, NaN where none. [day]
    steroid : ndarray, shape (n, 2), optional
        First and last day of the corticosteroid, NaN where none. [day]

    Returns
    -------
    ndarray, shape (n patients, n species, n grid) [pg/mL]
    """
    c = truth["cytokines"]
    start = _baseline(draws, c)[..., 0]
    production = _production(who, draws, truth, _steroid_factor(steroid, c, len(who)))
    free = np.array([s["kout"] for s in c["species"].values()])[:, None]
    loss = np.broadcast_to(free, production.shape).copy()
    loss[:, list(c["species"]).index("il6")] *= _toci_factor(toci, c, len(who))
    supply = free * production
    y = np.empty_like(production)
    y[..., 0] = start
    for k in range(GRID.size - 1):  # exact for the mean input of the step
        kout = loss[..., k + 1]
        steady = (supply[..., k] + supply[..., k + 1]) / (2 * kout)
        y[..., k + 1] = steady + (y[..., k] - steady) * np.exp(-kout * STEP)
    return y


def _baseline(draws: Draws, c: dict[str, Any]) -> Array:
    """Return the level of each species without cells on the grid, shape (n, species, grid)."""
    rows = [
        s["base"] + s.get("depletion", 0.0) * np.exp(-s.get("depletion_loss", 0.0) * GRID)
        for s in c["species"].values()
    ]
    return np.asarray(np.array(rows) * np.exp(draws.base)[:, :, None])


def _production(who: pd.DataFrame, draws: Draws, truth: dict[str, Any], steroid: Array) -> Array:
    """Return the level to which each species tends on the grid, shape (n, species, grid)."""
    c = truth["cytokines"]
    direct = encounter(who, truth)
    relay = _relay(direct, c["myeloid_rate"])
    dose = (who["dose"].to_numpy() / truth["transgene"]["reference_dose"])[:, None]
    early = np.exp(-c["early_loss"] * GRID) * dose ** c["early_dose_exponent"]
    out = _baseline(draws, c)
    for j, s in enumerate(c["species"].values()):
        drive = s["direct"] * direct + (1 - s["direct"]) * relay + s["early"] * early
        out[:, j] += s["gain"] * np.exp(draws.gain[:, j, None]) * drive * steroid
    return out


def _relay(drive: Array, rate: float) -> Array:
    """Return dM/dt = rate (drive - M) from M = 0, shape as `drive`."""
    m = np.zeros_like(drive)
    keep = np.exp(-rate * STEP)
    for k in range(GRID.size - 1):
        mean = (drive[:, k] + drive[:, k + 1]) / 2
        m[:, k + 1] = mean + (m[:, k] - mean) * keep
    return m


def _toci_factor(toci: Array | None, c: dict[str, Any], n: int) -> Array:
    """Return the loss of IL-6 relative to no treatment, shape (n, grid)."""
    if toci is None:
        return np.ones((n, GRID.size))
    after = GRID - np.where(np.isnan(toci), np.inf, toci)[:, None]
    leaving = np.exp(np.clip((after - c["toci_days"]) / 1.5, -50, 50))
    return np.asarray(1 - c["toci_block"] * (after >= 0) / (1 + leaving))


def _steroid_factor(steroid: Array | None, c: dict[str, Any], n: int) -> Array:
    """Return the production relative to no treatment, shape (n, grid)."""
    if steroid is None:
        return np.ones((n, GRID.size))
    on = (steroid[:, :1] <= GRID) & (steroid[:, 1:] >= GRID)  # False where NaN
    return np.asarray(1 - c["steroid_effect"] * on)


def at(times: Array, grid_levels: Array) -> Array:
    """Return the levels of one species of one patient at `times` [day], on the log scale."""
    return np.asarray(np.exp(np.interp(times, GRID, np.log(grid_levels))))
