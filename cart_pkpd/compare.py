"""Compare fits: first whether each converged, then how well it predicts."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cart_pkpd._core.errors import FitError

if TYPE_CHECKING:
    from cart_pkpd._fit.result import FitResult
    from cart_pkpd._stats.design import Design

_COLUMNS = (
    "rank", "converged", "verdict", "elpd", "se", "elpd_diff", "dse", "weight", "p",
    "pareto_k_bad", "n_obs", "seconds",
)  # fmt: skip


def models(fits: Mapping[str, FitResult]) -> pd.DataFrame:
    """Rank fits of the same records by leave-one-record-out predictive density.

    Parameters
    ----------
    fits : mapping of str to FitResult
        By the name that the table shows; all on the same records.

    Returns
    -------
    pandas.DataFrame
        Indexed by name, best first, fits that did not converge last and without a rank:

        - ``rank``, ``converged``, ``verdict``
        - ``elpd`` expected log predictive density (higher is better), ``se`` its standard error
        - ``elpd_diff`` difference from the best, ``dse`` its standard error
        - ``weight`` stacking weight, ``p`` effective number of parameters
        - ``pareto_k_bad`` records whose Pareto k is too large for the estimate to be trusted
        - ``n_obs`` records, ``seconds`` compile and sampling time

    Raises
    ------
    FitError
        If there is no fit, one is not Bayesian, or the fits use different records.

    Notes
    -----
    PSIS-LOO of Vehtari, Gelman & Gabry (2017), Stat Comput 27:1413. The density of every
    quantified record is on the natural scale of the measurement, so fits with log-normal and
    additive errors compare.
    """
    if not fits:
        raise FitError("no fit to compare.")
    _check_bayesian(fits)
    _check_same_records(fits)
    rows: dict[str, dict[str, Any]] = {name: _basics(fit) for name, fit in fits.items()}
    ranked = {name: fit for name, fit in fits.items() if fit.verdict.ok}
    for name, numbers in _loo(ranked).items():
        rows[name].update(numbers)
    table = pd.DataFrame.from_dict(rows, orient="index").reindex(columns=list(_COLUMNS))
    table = table.sort_values("rank", na_position="last", kind="stable")
    table.index.name = "fit"
    return table


def _basics(fit: FitResult) -> dict[str, Any]:
    seconds = fit.provenance["compile_seconds"] + fit.provenance["sample_seconds"]
    return {
        "rank": np.nan,
        "converged": fit.verdict.ok,
        "verdict": fit.verdict.sentence,
        "n_obs": fit.structure.design.n_obs,
        "seconds": seconds,
    }


def _check_bayesian(fits: Mapping[str, FitResult]) -> None:
    for name, fit in fits.items():
        if "log_likelihood" not in fit.tree:
            raise FitError(
                f"{name!r} has no draws of the likelihood of its records; compare fits of "
                "fit.laplace by their ofv, aic or bic, or fit it by fit.bayes."
            )


def _check_same_records(fits: Mapping[str, FitResult]) -> None:
    (first, reference), *others = fits.items()
    mine = reference.structure.design
    for name, fit in others:
        design = fit.structure.design
        same = (
            design.endpoints == mine.endpoints
            and np.array_equal(design.measure, mine.measure)
            and np.array_equal(design.row, mine.row)
            and np.array_equal(design.dv, mine.dv)
            and np.array_equal(design.code, mine.code)
        )
        if not same:
            raise FitError(
                f"{first!r} and {name!r} were fitted to different records "
                f"({_said(mine)} and {_said(design)}); "
                "only fits of the same data can be compared."
            )


def _said(design: Design) -> str:
    return f"{', '.join(design.endpoints)}: {design.n_obs}"


def _loo(fits: Mapping[str, FitResult]) -> dict[str, dict[str, Any]]:
    """Return the predictive columns of every fit that converged."""
    if not fits:
        return {}
    import arviz as az

    # Large Pareto k are counted in the table; the warning would only repeat it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        elpds = {name: az.loo(fit.tree, pointwise=True) for name, fit in fits.items()}
        compared = az.compare(elpds, round_to="none") if len(elpds) > 1 else None
    out = {}
    for name, elpd in elpds.items():
        bad = int((elpd.pareto_k.to_numpy() > elpd.good_k).sum())
        numbers: dict[str, Any] = {
            "elpd": float(elpd.elpd),
            "se": float(elpd.se),
            "p": float(elpd.p),
            "pareto_k_bad": bad,
            "rank": 1,
            "elpd_diff": 0.0,
            "dse": 0.0,
            "weight": 1.0,
        }
        if compared is not None:
            row = compared.loc[name]
            numbers |= {k: float(row[k]) for k in ("elpd_diff", "dse", "weight")}
            numbers["rank"] = int(row["rank"]) + 1
        out[name] = numbers
    return out
