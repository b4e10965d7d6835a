"""Tables of what was sampled of survival: quantities, ratios, predicted survival."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from cart_pkpd._core.validate import probability
from cart_pkpd._crs.parts import Quantity

Floats = NDArray[np.float64]


def edges(prob: float) -> Floats:
    """Return the probabilities of median, lower and upper edge of an equal-tailed interval."""
    return np.array([0.5, (1 - probability(prob, "prob")) / 2, (1 + prob) / 2])


def quantities(sampled: Iterable[Quantity], posterior: xr.Dataset, prob: float) -> pd.DataFrame:
    """Return prior and posterior of quantities: median, lower, upper, rhat, ess_bulk."""
    import arviz as az

    at = edges(prob)
    rhat, bulk = az.rhat(posterior), az.ess(posterior)
    rows = {}
    for q in sampled:
        middle, low, high = np.quantile(posterior[q.name].to_numpy(), at)
        prior = [float(v) for v in q.prior.quantile(at)]
        rows[q.name] = {
            "label": q.label, "unit": q.unit, "prior": str(q.prior), "prior_lower": prior[1],
            "prior_upper": prior[2], "median": middle, "lower": low, "upper": high,
            "rhat": float(rhat[q.name]), "ess_bulk": float(bulk[q.name]),
        }  # fmt: skip
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index.name, table.attrs["prob"] = "parameter", prob
    return table


def ratio(
    name: str, label: str, change: tuple[str, float], draws: Floats, prob: float, kind: str
) -> dict[str, Any]:
    """Return a row of a table of ratios: of draws of a slope, for a change of a certain size."""
    said, size = change
    middle, low, high = np.exp(size * np.quantile(draws, edges(prob)))
    return {"term": name, "label": label, "change": said, "kind": f"{kind} ratio",
            "estimate": middle, "lower": low, "upper": high,
            "p_above_1": float((draws > 0).mean())}  # fmt: skip


def predicted(alive: Floats, ids: ArrayLike, days: Floats, prob: float, **attrs: Any) -> xr.Dataset:
    """Return survival of patients and of all together, from draws of shape (sample, id, day)."""
    at = edges(prob)[1:]

    def summary(drawn: Floats) -> Floats:
        return np.stack([drawn.mean(axis=0), *np.quantile(drawn, at, axis=0)], axis=-1)

    return xr.Dataset(
        {
            "survival": (("id", "day", "interval"), summary(alive), {"units": "1"}),
            "population": (("day", "interval"), summary(alive.mean(axis=1)), {"units": "1"}),
        },
        coords={"id": ids, "day": ("day", days, {"units": "day"}),
                "interval": ["mean", "lower", "upper"]},
        attrs={"prob": prob, **attrs},
    )  # fmt: skip
