"""Sample a posterior by nutpie's NUTS."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._core.errors import FitError
from cart_pkpd._fit.posterior import Evaluation, Posterior
from cart_pkpd._fit.start import centred_parameters, starting_values
from cart_pkpd._stats.population import Structure

_JITTER = 0.1
_POINT = "point"


@dataclass(frozen=True)
class Progress:
    """How far a fit is.

    Attributes
    ----------
    stage : str
        ``"compiling"`` or ``"sampling"``.
    done, total : int
        Draws over all chains, warm-up included; 0 while compiling.
    divergences : int
        Divergent transitions so far.
    """

    stage: str
    done: int = 0
    total: int = 0
    divergences: int = 0


type OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, eq=False)
class Sampled:
    """What the sampler returned, and how long it took [s].

    Attributes
    ----------
    posterior, stats : xr.Dataset
        Sampled variables and statistics of the sampler, dims chain, draw.
    centred : tuple of str
        Varying parameters that were sampled themselves.
    unsolved : ndarray of int, shape (k,)
        How often each patient's equations could not be solved.
    compile_seconds, sample_seconds : float
        Until the first evaluation, and after it.
    """

    posterior: xr.Dataset
    stats: xr.Dataset
    centred: tuple[str, ...]
    unsolved: NDArray[np.int64]
    compile_seconds: float
    sample_seconds: float


def sample(
    structure: Structure,
    *,
    draws: int,
    tune: int,
    chains: int,
    cores: int | None,
    seed: int,
    target_accept: float,
    on_progress: OnProgress | None,
) -> Sampled:
    """Sample the posterior of `structure`."""
    began = time.perf_counter()
    if on_progress:
        on_progress(Progress("compiling"))
    start = starting_values(structure)
    centred = centred_parameters(structure, start)
    posterior = Posterior(structure, centred)
    centre = posterior.start(start)
    _check_start(structure, posterior.function(), centre)
    middle = time.perf_counter()
    functions = _Functions(posterior)
    compiled = _compiled(posterior, functions, centre)
    tree = _run(compiled, draws, tune, chains, cores, seed, target_accept, on_progress)
    points = tree["posterior"][_POINT].to_numpy()
    return Sampled(
        posterior=posterior.variables(points),
        stats=tree["sample_stats"].to_dataset(),
        centred=centred,
        unsolved=functions.unsolved(),
        compile_seconds=middle - began,
        sample_seconds=time.perf_counter() - middle,
    )


class _Functions:
    """One evaluation for each chain, made on the chain's own thread."""

    def __init__(self, posterior: Posterior) -> None:
        self._posterior = posterior
        self._lock = threading.Lock()
        self._made: list[Evaluation] = []

    def make(self) -> Evaluation:
        made = self._posterior.function()
        with self._lock:
            self._made.append(made)
        return made

    def unsolved(self) -> NDArray[np.int64]:
        k = self._posterior.structure.design.n_patients
        return np.sum([f.unsolved for f in self._made], axis=0, initial=0) + np.zeros(k, dtype=int)


def _compiled(posterior: Posterior, functions: _Functions, centre: NDArray[np.float64]) -> Any:
    """Return the function in the form that nutpie samples."""
    from nutpie.compiled_pyfunc import from_pyfunc

    def expand(*_: Any) -> Callable[[NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
        return lambda x: {_POINT: x}

    def initial_point(seed: Any) -> NDArray[np.float64]:
        rng = np.random.default_rng(seed)
        return centre + rng.uniform(-_JITTER, _JITTER, size=centre.shape)

    return from_pyfunc(
        posterior.size,
        functions.make,
        expand,
        [np.dtype("float64")],
        [(posterior.size,)],
        [_POINT],
        make_initial_point_fn=initial_point,
    )


def _check_start(structure: Structure, function: Evaluation, at: NDArray[np.float64]) -> None:
    """Refuse to sample from where the density is not a number, and say whose fault it is."""
    value, gradient = function(at)
    if np.isfinite(value) and np.isfinite(gradient).all():
        return
    failed = np.flatnonzero(function.unsolved)
    if failed.size:
        raise FitError(
            f"the equations of {type(structure.model).__name__} have no solution for patient "
            f"{str(structure.design.ids[failed[0]])!r} at the starting values ({failed.size} such "
            "patients); look at the typical values, their units and the doses."
        )
    raise FitError(
        "the likelihood at the starting values is not a number; look at the data's units and "
        "the priors' medians."
    )


def _run(
    compiled: Any,
    draws: int,
    tune: int,
    chains: int,
    cores: int | None,
    seed: int,
    target_accept: float,
    on_progress: OnProgress | None,
) -> xr.DataTree:
    import nutpie

    def report(chain_progress: list[Any]) -> None:
        assert on_progress is not None
        on_progress(
            Progress(
                "sampling",
                sum(c.finished_draws for c in chain_progress),
                chains * (draws + tune),
                sum(c.divergences for c in chain_progress),
            )
        )

    handle = nutpie.sample(
        compiled,
        draws=draws,
        tune=tune,
        chains=chains,
        cores=cores,
        seed=seed,
        target_accept=target_accept,
        save_warmup=False,
        progress_bar=False,
        progress_callback=report if on_progress else None,
        progress_rate=250,
        blocking=False,
    )
    try:
        return handle.wait()
    except KeyboardInterrupt:
        handle.cancel()
        raise
    except RuntimeError as problem:
        raise FitError(
            f"the sampler stopped: {str(problem).splitlines()[0].rstrip('.: ')}. Priors may be far "
            "from the data; look at the data's units and the priors' medians."
        ) from problem
