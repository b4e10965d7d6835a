"""One Bayesian fit from declaration and data to result."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd import __version__
from cart_pkpd._fit.draws import (
    individual_draws,
    log_prior_draws,
    loglik_draws,
    observed_records,
    population_draws,
)
from cart_pkpd._fit.result import INDIVIDUAL_SUFFIX, FitResult
from cart_pkpd._fit.sample import OnProgress, sample
from cart_pkpd._fit.verdict import judge
from cart_pkpd._stats.fingerprint import fingerprint
from cart_pkpd._stats.population import Structure

_VERSIONED = ("numpy", "scipy", "xarray", "pymc", "pytensor", "nutpie", "arviz", "numba")


def fit_structure(
    structure: Structure,
    *,
    label: str,
    source: dict[str, Any],
    on_progress: OnProgress | None,
    **settings: Any,
) -> FitResult:
    """Sample `structure` and return the finished result."""
    sampled = sample(structure, on_progress=on_progress, **settings)
    tree = tree_of(structure, sampled.posterior, sampled.stats, sampled.predictions)
    return FitResult(
        label=label,
        structure=structure,
        tree=tree,
        verdict=judge(tree["posterior"].to_dataset(), sampled.stats, int(sampled.unsolved.sum())),
        provenance={
            **source,
            **settings,
            "fingerprint": fingerprint(structure),
            "sampler": "nutpie NUTS",
            "centred": list(sampled.centred),
            "variance_left": sampled.left,
            "unsolved": {
                str(i): int(n)
                for i, n in zip(structure.design.ids, sampled.unsolved, strict=True)
                if n
            },
            "compile_seconds": round(sampled.compile_seconds, 3),
            "sample_seconds": round(sampled.sample_seconds, 3),
            "python": platform.python_version(),
            "versions": {"cart_pkpd": __version__, **{p: version(p) for p in _VERSIONED}},
        },
    )


def tree_of(
    structure: Structure,
    raw: xr.Dataset,
    stats: xr.Dataset,
    predictions: NDArray[np.float64] | None = None,
) -> xr.DataTree:
    """Return the groups of a result from sampled variables; predictions may be computed here."""
    individual = individual_draws(structure, raw)
    quantities = population_draws(structure, raw)
    posterior = quantities.merge(
        individual.rename({k: f"{k}{INDIVIDUAL_SUFFIX}" for k in individual.data_vars})
    )
    return xr.DataTree.from_dict(
        {
            "posterior": posterior,
            "sample_stats": stats,
            "log_likelihood": loglik_draws(structure, raw, predictions).to_dataset(),
            "log_prior": log_prior_draws(structure, quantities),
            "observed_data": observed_records(structure.design),
        }
    )
