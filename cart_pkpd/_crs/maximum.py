"""Maximum likelihood, part by part: a check of the Bayesian fit that no prior touches."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import ndtri

from cart_pkpd._core.validate import probability
from cart_pkpd._crs.arrange import Arranged
from cart_pkpd._crs.density import LayerDensity
from cart_pkpd._crs.likelihood import PartData

Floats = NDArray[np.float64]
_STEP = 1e-4  # of central differences of the gradient, on the free scale


def maximum_likelihood(arranged: Arranged, prob: float) -> pd.DataFrame:
    """Return estimates, Wald intervals and log-likelihood of every part."""
    probability(prob, "prob")
    tables = [_part(d, _reason(d, arranged.warnings), prob) for d in arranged.data]
    table = pd.concat(tables)
    table.index.name = "parameter"
    table.attrs = {"prob": prob, "notes": list(arranged.notes)}
    return table


def _reason(data: PartData, warnings: tuple[str, ...]) -> str:
    return next((w for w in warnings if w.startswith(f"{data.part.name}:")), "")


def _part(data: PartData, reason: str, prob: float) -> pd.DataFrame:
    quantities = data.part.quantities
    density = LayerDensity(quantities, (data,), with_priors=False)
    nothing = np.full(len(quantities), np.nan)
    point, se, value = nothing, nothing, np.nan
    if not reason:
        found = minimize(lambda x: _minus(density, x), density.medians(), jac=True, method="BFGS",
                         options={"gtol": 1e-7})  # fmt: skip
        point, value = found.x, -float(found.fun)
        se = _standard_errors(density, found.x)
        gradient = np.abs(density(found.x)[1]).max()
        if not gradient < 1e-3 * max(1.0, abs(value)):
            reason = f"{data.part.name}: the search did not end (slope {gradient:.2g})."
    half = ndtri(0.5 + prob / 2) * se
    estimate, lower, upper = (density.natural(p) for p in (point, point - half, point + half))
    rows = {
        q.name: {
            "label": q.label, "unit": q.unit, "part": q.part, "estimate": float(estimate[q.name]),
            "se_free": float(se[i]), "lower": float(lower[q.name]), "upper": float(upper[q.name]),
            "loglik": value, "reason": reason,
        }
        for i, q in enumerate(quantities)
    }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index")


def _minus(density: LayerDensity, x: Floats) -> tuple[float, Floats]:
    value, gradient = density(x)
    return -value, -gradient


def _standard_errors(density: LayerDensity, x: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.asarray(np.sqrt(np.diag(covariance(density, x))))


def covariance(density: LayerDensity, x: Floats) -> Floats:
    """Return the covariance on the free scale from the observed information; NaN if singular."""
    steps = _STEP * np.eye(x.size)
    hessian = np.array([(density(x + s)[1] - density(x - s)[1]) / (2 * _STEP) for s in steps])
    try:
        return np.asarray(np.linalg.inv(-(hessian + hessian.T) / 2))
    except np.linalg.LinAlgError:
        return np.full((x.size, x.size), np.nan)
