"""Maximum likelihood fits: criteria, what each counts, and totals of least squares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

    from cart_pkpd._fit.laplace_result import LaplaceResult

CRITERIA: Mapping[str, str] = {
    "bic_mixed": "mixed BIC (ln patients for what varies between them, ln records for the rest)",
    "bic": "BIC (ln records)",
    "bic_patients": "BIC (ln patients)",
    "aic": "AIC",
    "ofv": "−2 ln L",
}
"""Criteria of likelihood fits, lower is better, with their names for people."""
OF_LEAST_SQUARES = ("bic", "aic", "ofv")

type Numbers = dict[str, dict[str, Any]]


def columns(fits: Mapping[str, LaplaceResult], criterion: str) -> Numbers:
    """Return rank, criteria and differences of fits that converged."""
    found: Numbers = {}
    for name, fit in fits.items():
        said = _doubts(fit)
        note = said or "Reliable: nothing at a limit."
        found[name] = {**criteria(fit), "reliable": not said, "note": note}
    return ranked(found, criterion)


def criteria(fit: LaplaceResult) -> dict[str, float]:
    """Return -2 ln L and every criterion of one fit."""
    return {name: float(getattr(fit, name)) for name in (*CRITERIA, "n_estimated")}


def _doubts(fit: LaplaceResult) -> str:
    """Return why the count of parameters is not to be taken literally."""
    edge = [*fit.verdict.at_zero, *fit.verdict.at_limit]
    if not edge:
        return ""
    verb = "is" if len(edge) == 1 else "are"
    return f"{', '.join(edge)} {verb} at a limit and counted all the same: the criteria are high."


def ranked(found: Numbers, criterion: str) -> Numbers:
    """Return the numbers with rank, difference from the best and weight, by a criterion.

    Weights are exp(-difference / 2), made to add up to 1 (Burnham & Anderson 2002).
    """
    values = {name: row[criterion] for name, row in found.items() if np.isfinite(row[criterion])}
    if not values:
        return found
    order = sorted(values, key=lambda name: values[name])
    best = values[order[0]]
    relative = {name: float(np.exp(-(v - best) / 2.0)) for name, v in values.items()}
    for place, name in enumerate(order, 1):
        found[name] |= {
            "rank": place,
            "difference": values[name] - best,
            "weight": relative[name] / sum(relative.values()),
        }
    return found


def of_least_squares(criterion: str) -> str:
    """Return the criterion that ranks least squares where likelihood fits have another."""
    return criterion if criterion in OF_LEAST_SQUARES else "bic"


def totals(fit: xr.Dataset) -> dict[str, Any]:
    """Return -2 ln L, AIC and BIC of all patients of a least-squares fit, or why there are none.

    Parameters of every patient count, as they were estimated one by one; a patient without a
    fit would be left out of the sum, which then is of other records than those of other fits.
    """
    status = fit["status"].to_numpy().astype(str)
    loglik, aic = fit["loglik"].to_numpy(), fit["aic"].to_numpy()
    records = int(fit["n_obs"].sum())
    lost = [str(i) for i, v in zip(fit["id"].to_numpy(), loglik, strict=True) if not np.isfinite(v)]
    count = float(np.sum(aic + 2.0 * loglik) / 2.0)
    ofv = float(-2.0 * loglik.sum())
    doubtful = int((status != "ok").sum())
    known = not lost
    verdict = (
        f"No total: no fit of patient {', '.join(lost[:5])}."
        if lost
        else f"Fitted: {len(status) - doubtful} of {len(status)} without doubts."
    )
    return {
        "converged": known,
        "verdict": verdict,
        "reliable": known and not doubtful,
        "note": f"{doubtful} of {len(status)} fits do not determine all parameters."
        if doubtful
        else ("Reliable: all parameters determined." if known else "not compared: " + verdict),
        "ofv": ofv if known else np.nan,
        "aic": ofv + 2.0 * count if known else np.nan,
        "bic": ofv + count * np.log(records) if known else np.nan,
        "n_estimated": count if known else np.nan,
        "n_obs": records,
        "n_patients": np.nan if "pooled" in fit["id"].to_numpy() else float(len(status)),
        "seconds": np.nan,
    }
