"""Fits whose posterior is known, made without sampling: ln level is a line in time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from cart_pkpd import data, fit, models
from cart_pkpd._fit.result import FitResult
from cart_pkpd._fit.verdict import Verdict
from cart_pkpd._stats.design import design_for
from cart_pkpd._stats.population import resolve

VERDICT = Verdict(True, "Known.", 1.0, "c0", 1e4, 1e4, 0, 1.0, 0.0)
TIMES = np.array([0.0, 2.0, 5.0, 9.0, 14.0])


class Line(models.ClosedFormModel):
    """ln C = ln c0 − k t."""

    c0 = models.Positive(100.0, "copies/µg", "level at 0")
    k = models.Real(0.1, "1/day", "decline rate")

    def log_level(self, t, p):
        return models.math.log(p.c0) - p.k * t


def trial(
    level: np.ndarray,
    time: np.ndarray = TIMES,
    *,
    lloq: float | None = None,
    uloq: float | None = None,
    covariates: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Return a trial of levels (patients, times), censored at the limits."""
    k, n = level.shape
    flat = level.ravel()
    table = pd.DataFrame(
        {
            "ID": np.repeat([f"p{i:03d}" for i in range(k)], n),
            "TIME": np.tile(time, k),
            "DV": flat,
            "DVID": "transgene",
        }
    )
    if lloq is not None or uloq is not None:
        low = flat < (-np.inf if lloq is None else lloq)
        high = flat > (np.inf if uloq is None else uloq)
        table["CENS"] = np.where(low, 1, np.where(high, -1, 0))
        table["DV"] = np.where(low, lloq or 0.0, np.where(high, uloq or 0.0, flat))
    for name, values in (covariates or {}).items():
        table[name] = np.repeat(np.asarray(values), n)
    return data.read_table(
        table, units={"transgene": "copies/µg"}, lloq=lloq, uloq=uloq,
        covariates=list(covariates) if covariates else None, echo=False,
    )  # fmt: skip


def known(
    records: xr.Dataset,
    values: Mapping[str, float],
    individual: Mapping[str, np.ndarray] | None = None,
    **population: Any,
) -> FitResult:
    """Return a fit whose quantities are `values` in every draw.

    `individual` holds natural values (draws, patients) of parameters; those without are typical.
    """
    model = Line()
    pop = fit.population(**population)
    structure = resolve(model, pop, design_for(model, records, "transgene"))
    k = structure.design.n_patients
    own = dict(individual or {})
    n = max([a.shape[0] for a in own.values()], default=4)
    out: dict[str, Any] = {
        q.name: (("chain", "draw"), np.full((1, n), float(values[q.name])))
        for q in structure.quantities
    }
    for name in model.estimated:
        drawn = own.get(name, np.full((n, k), float(values[name])))
        out[f"{name}_i"] = (("chain", "draw", "id"), drawn[None])
    posterior = xr.Dataset(out, coords={"id": structure.design.ids})
    tree = xr.DataTree.from_dict({"posterior": posterior})
    return FitResult("known", structure, tree, VERDICT, {})


def simulated_line(
    rng: np.random.Generator, k: int, *, omega_c0: float, omega_k: float, sigma: float
) -> np.ndarray:
    """Return levels (k, times) of patients around c0 = 100 and k = 0.1, log-normal error."""
    ln_c0 = np.log(100.0) + omega_c0 * rng.standard_normal((k, 1))
    rate = 0.1 + omega_k * rng.standard_normal((k, 1))
    noise = sigma * rng.standard_normal((k, TIMES.size))
    return np.exp(ln_c0 - rate * TIMES + noise)
