"""One fit of a search as a task that any process can do."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from cart_pkpd._compare.predictive import left_out_patients
from cart_pkpd._core.errors import CartError
from cart_pkpd._stats.population import Population
from cart_pkpd.models import Model

_AGAIN = 3
_SLACK = 0.1
_OF_LOO = ("n_draws", "n_samples")


@dataclass(frozen=True, eq=False)
class Task:
    """A population to fit.

    Attributes
    ----------
    model, trial, population, endpoint
        As for ``fit.laplace``.
    bayes : bool
        By ``fit.bayes``, with every patient left out, instead of ``fit.laplace``.
    options : mapping
        Further arguments of the fit, and of leaving patients out.
    initial : LaplaceResult or None
        Where the first search begins.
    ceiling : float
        -2 ln L that the fit must reach, as it contains another fit that does; NaN for none.
    """

    model: Model
    trial: xr.Dataset
    population: Population
    endpoint: Any
    bayes: bool
    options: Mapping[str, Any]
    initial: Any = None
    ceiling: float = np.nan


@dataclass(frozen=True, eq=False)
class Done:
    """What became of a task: a fit, or the sentence that says why there is none.

    Attributes
    ----------
    fit : LaplaceResult, FitResult or None
        The fit.
    patients : xr.Dataset or None
        Each patient left out, of Bayesian fits that converged.
    failure : str
        Why there is no fit.
    warnings : tuple of str
        What the fit warned of.
    seconds : float
        Run time.
    """

    fit: Any = None
    patients: xr.Dataset | None = None
    failure: str = ""
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0


def fitted(task: Task) -> Done:
    """Fit the population of a task."""
    begun = time.perf_counter()
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            done = _bayes(task) if task.bayes else _laplace(task)
        except (CartError, ArithmeticError, ValueError, np.linalg.LinAlgError) as problem:
            done = Done(failure=str(problem) or type(problem).__name__)
    said = tuple(dict.fromkeys(str(w.message) for w in heard))
    return replace(done, warnings=said, seconds=time.perf_counter() - begun)


def _laplace(task: Task) -> Done:
    from cart_pkpd import fit

    shared = {"endpoint": task.endpoint, **task.options}
    found = fit.laplace(task.model, task.trial, task.population, initial=task.initial, **shared)
    if found.ofv > task.ceiling + _SLACK or not found.verdict.ok:
        # Another optimum than that of the fit it contains: search from other places too.
        shared["starts"] = int(shared.get("starts", 1)) + _AGAIN
        again = fit.laplace(task.model, task.trial, task.population, initial=task.initial, **shared)
        better = again.ofv < found.ofv - _SLACK or (again.verdict.ok and not found.verdict.ok)
        found = again if better else found
    return Done(found)


def _bayes(task: Task) -> Done:
    from cart_pkpd import fit

    options = {k: v for k, v in task.options.items() if k not in _OF_LOO}
    found = fit.bayes(task.model, task.trial, task.population, endpoint=task.endpoint, **options)
    if not found.verdict.ok:
        return Done(found)
    sizes: dict[str, Any] = {"n_draws": 500, "n_samples": 100}
    sizes |= {k: v for k, v in task.options.items() if k in _OF_LOO}
    patients = left_out_patients(
        {"fit": found}, seed=task.options.get("seed", 1), progress=None, **sizes
    )
    return Done(found, patients.isel(fit=0))
