"""How far patients' estimates are drawn to the population's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

if TYPE_CHECKING:
    from cart_pkpd._fit.result import FitResult


def shrinkage(result: FitResult) -> xr.Dataset:
    """Return eta-shrinkage of every varying parameter: 1 − sd(posterior mean eta) / omega.

    Returns
    -------
    xr.Dataset
        Dim parameter: ``shrinkage``, from standard deviations (Savic & Karlsson 2009, AAPS J
        11:558, use the same form), with omega at its posterior median.
    """
    structure = result.structure
    names = structure.population.iiv
    draws = result.draws()
    values = [
        1.0 - float(np.std(_mean_eta(result, n), ddof=1)) / float(draws[f"omega_{n}"].median())
        for n in names
    ]
    return xr.Dataset(
        {"shrinkage": ("parameter", np.array(values), {"units": "1"})},
        coords={"parameter": np.array(names, dtype=str)},
    )


def _mean_eta(result: FitResult, name: str) -> NDArray[np.float64]:
    parameter = result.structure.model.parameters[name]
    free = parameter.to_free(result.individual()[name])
    centre = parameter.to_free(result.draws()[name])
    eta = (free - centre).mean(("chain", "draw")).to_numpy()
    for effect in result.structure.effects:
        if effect.parameter == name:
            eta = eta - float(result.draws()[f"beta_{effect.name}"].mean()) * effect.column
    return np.asarray(eta, dtype=float)
