"""One simulation of SBC: a trial from the priors, its fit, and where the truth lies in it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._checks.prior_trials import PriorTrial, prior_trial
from cart_pkpd._core.errors import CartError, FitError
from cart_pkpd._fit.draws import record_name
from cart_pkpd._fit.fitted import INDIVIDUAL_SUFFIX
from cart_pkpd._stats.design import BELOW, Design
from cart_pkpd._stats.population import Structure

if TYPE_CHECKING:
    from cart_pkpd._fit.result import FitResult

CONVERGED, UNCONVERGED, FAILED = "converged", "unconverged", "failed"
LOG_LIKELIHOOD = "log_likelihood"

type Sampler = Any
"""Takes a Structure, a seed and by how much to lengthen the chains; returns a FitResult."""


@dataclass(frozen=True)
class Ranked:
    """What one simulation found.

    Attributes
    ----------
    status : str
        ``converged``, ``unconverged`` or ``failed``.
    reason : str
        Why not converged, empty otherwise.
    below : float
        Share of simulated records below their LLOQ.
    seconds : float
        Wall time of simulation and fit. [s]
    patient : str
        Whose parameters were ranked.
    tries : int
        How often it was fitted, each time with chains twice as long.
    values : mapping of str to mapping of str to float
        By quantity: ``truth``, ``rank``, ``mean``, ``sd``, ``ess``; empty if the fit failed.
    """

    status: str
    reason: str
    below: float
    seconds: float
    patient: str
    tries: int
    values: Mapping[str, Mapping[str, float]]


def quantity_names(structure: Structure) -> tuple[str, ...]:
    """Return what is ranked: population quantities, one patient's parameters, log likelihood."""
    own = (f"{name}{INDIVIDUAL_SUFFIX}" for name in structure.population.iiv)
    return (*(q.name for q in structure.quantities), *own, LOG_LIKELIHOOD)


def simulation(
    structure: Structure, sampler: Sampler, *, ranks: int, retries: int, seed: int, index: int
) -> Ranked:
    """Simulate a trial from the priors, fit it, and rank the truth among the draws.

    Parameters
    ----------
    structure : Structure
        Model, population, priors and design.
    sampler : callable
        Takes the Structure with simulated records, a seed and a factor of the lengths of the
        chains; returns the fit.
    ranks : int
        Number of possible ranks: the posterior is thinned to ranks − 1 draws.
    retries : int
        How often a fit that did not converge is repeated, with chains twice as long each time.
    seed, index : int
        Every simulation has its own stream of random numbers.
    """
    began = time.perf_counter()
    rng = np.random.default_rng([seed, index])
    below, patient, tries = np.nan, "", 0
    status, reason, values = FAILED, "", {}
    try:
        trial = prior_trial(structure, rng)
        below = _share_below(trial.structure.design)
        which = int(rng.integers(structure.design.n_patients))
        patient = str(structure.design.ids[which])
        while status != CONVERGED and tries <= retries:
            tries += 1
            result = sampler(trial.structure, int(rng.integers(2**31)), 2 ** (tries - 1))
            values = _ranked(trial, result, which, ranks, rng)
            status, reason = _judged(result, values, ranks)
    except CartError as problem:
        status, reason, values = FAILED, str(problem), {}
    return Ranked(status, reason, below, time.perf_counter() - began, patient, tries, values)


def _share_below(design: Design) -> float:
    return float((design.code == BELOW).mean())


def _judged(
    result: FitResult, values: Mapping[str, Mapping[str, float]], ranks: int
) -> tuple[str, str]:
    if not result.verdict.ok:
        return UNCONVERGED, result.verdict.sentence
    name = min(values, key=lambda n: values[n]["ess"])
    if values[name]["ess"] < ranks - 1:
        return UNCONVERGED, (
            f"effective sample size of {name} {values[name]['ess']:.0f}, below the {ranks - 1} "
            "draws to rank among."
        )
    return CONVERGED, ""


def _ranked(
    trial: PriorTrial, result: FitResult, which: int, ranks: int, rng: np.random.Generator
) -> dict[str, dict[str, float]]:
    import arviz as az

    truths = _truths(trial, which)
    draws = _draws(trial.structure, result, which)
    few = thinned(draws, ranks - 1)
    ess = az.ess(draws, method="bulk")
    return {
        name: {
            "truth": truth,
            "rank": float(rank_of(truth, few[name].to_numpy(), rng)),
            "mean": float(draws[name].mean()),
            "sd": float(draws[name].std()),
            "ess": float(ess[name]),
        }
        for name, truth in truths.items()
    }


def _truths(trial: PriorTrial, which: int) -> dict[str, float]:
    own = {
        f"{name}{INDIVIDUAL_SUFFIX}": float(trial.individual[name][which])
        for name in trial.structure.population.iiv
    }
    return {**trial.quantities, **own, LOG_LIKELIHOOD: trial.log_likelihood}


def _draws(structure: Structure, result: FitResult, which: int) -> xr.Dataset:
    """Return the draws of what is ranked, dims chain, draw."""
    individual = result.posterior[[f"{n}{INDIVIDUAL_SUFFIX}" for n in structure.population.iiv]]
    out = result.draws()
    if individual.data_vars:
        out = out.merge(individual.isel(id=which).drop_vars("id"))
    each = result.tree["log_likelihood"][record_name(structure.design)]
    return out.assign({LOG_LIKELIHOOD: each.sum("obs")})


def thinned(draws: xr.Dataset, n: int) -> xr.Dataset:
    """Return `n` draws at equal distances in the chains one after the other, dim sample."""
    flat = draws.stack(sample=("chain", "draw"), create_index=False)
    total = flat.sizes["sample"]
    if n > total:
        raise FitError(f"{total} draws cannot be thinned to {n}; ask for more, or for fewer ranks.")
    return flat.isel(sample=(np.arange(n) * total) // n)


def rank_of(truth: float, draws: NDArray[np.float64], rng: np.random.Generator) -> int:
    """Return how many draws lie below the truth; ties are broken at random."""
    ties = int((draws == truth).sum())
    return int((draws < truth).sum()) + int(rng.integers(ties + 1))
