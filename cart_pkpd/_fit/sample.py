"""Sample a posterior by nutpie's NUTS."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._core.errors import FitError
from cart_pkpd._engine.compiling import allow_threads, copy_point
from cart_pkpd._fit.coordinates import Coordinates, Moved
from cart_pkpd._fit.optimum import best_start, lifted
from cart_pkpd._fit.pilot import suited
from cart_pkpd._fit.posterior import Evaluation, Extra, Posterior
from cart_pkpd._fit.start import starting_values
from cart_pkpd._stats.compiled import prepare_predictions
from cart_pkpd._stats.population import Structure

_JITTER = 0.5
_POINT, _PLACE = "point", "place"
_COUNTED = ("finished_draws", "divergences")
_LOOK = 0.1  # how often the main thread looks whether the sampler is done [s]


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
    predictions : ndarray, shape (chains, draws, n)
        What was predicted of every record, on the scale of its error.
    centred : tuple of str
        Varying parameters that were sampled themselves.
    left : dict of str to float
        Of the other ones, the share of the population's variance that a patient's records leave,
        median: near 0 the individual value was sampled, near 1 its deviation.
    unsolved : ndarray of int, shape (k,)
        How often each patient's equations could not be solved.
    compile_seconds, sample_seconds : float
        Until the first evaluation, and after it.
    """

    posterior: xr.Dataset
    stats: xr.Dataset
    predictions: NDArray[np.float64]
    centred: tuple[str, ...]
    left: dict[str, float]
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
    threads: int = 1,
    on_progress: OnProgress | None,
    extra: Extra | None = None,
) -> Sampled:
    """Sample the posterior of `structure`, and of what else its patients' parameters say."""
    began = time.perf_counter()
    if on_progress:
        on_progress(Progress("compiling"))
    posterior = Posterior(structure, centred_of(structure), threads=threads, extra=extra)
    if threads > 1:
        allow_threads(threads)
    centre = posterior.start(starting_values(structure))
    function = posterior.function()
    _check_start(structure, function, centre)
    if not structure.population.iiv:
        centre = best_start(posterior, function, centre)
    elif extra is not None:
        centre = lifted(posterior, function, centre)
    coordinates = suited(posterior, function, centre)
    middle = time.perf_counter()
    density = Moved(function, coordinates)
    tree = _run(
        compiled(density, posterior.size), draws, tune, chains, cores, seed, target_accept,
        on_progress, meanwhile=lambda: prepare_predictions(structure.model),
    )  # fmt: skip
    points = coordinates.points(tree["posterior"][_POINT].to_numpy())
    return Sampled(
        posterior=posterior.variables(points),
        stats=tree["sample_stats"].to_dataset(),
        predictions=function.predictions(points, min(chains, cores or os.cpu_count() or 1)),
        centred=posterior.centred,
        left=_left(posterior, coordinates),
        unsolved=function.unsolved.copy(),
        compile_seconds=middle - began,
        sample_seconds=time.perf_counter() - middle,
    )


def centred_of(structure: Structure) -> tuple[str, ...]:
    """Return what is sampled itself: what the user says, and non-expanders, which have two places.

    Where the user does not say, all else is sampled between itself and its deviation.
    """
    population = structure.population
    chosen = {*(population.centred or ()), population.non_expanders}
    return tuple(n for n in structure.random.names if n in chosen)


def _left(posterior: Posterior, coordinates: Coordinates) -> dict[str, float]:
    if posterior.structure.population.centred is not None:
        return {}
    at = coordinates.points(np.zeros(posterior.size))
    share = np.median(coordinates.between.left(at), axis=-1)
    both = zip(posterior.structure.random.names, share, strict=True)
    return {n: round(float(s), 3) for n, s in both if n not in posterior.centred}


def compiled(density: Moved, size: int) -> Any:
    """Return the density in the form that nutpie samples: compiled code all the way."""
    from nutpie.compile_pymc import CompiledPyMCModel

    def initial_point(seed: Any) -> NDArray[np.float64]:
        return np.random.default_rng(seed).uniform(-_JITTER, _JITTER, size=size)

    return CompiledPyMCModel(
        dims={_POINT: (_PLACE,)},
        reparameterized_names=None,
        compiled_logp_func=density.c_function,
        compiled_expand_func=copy_point(),
        initial_point_func=initial_point,
        shared_data={"held": density},
        shared_var_keys={},
        user_data=density.table,
        n_expanded=size,
        shape_info=([_POINT], [slice(0, size)], [(size,)]),
        logp_func=None,
        expand_func=None,
        _n_dim=size,
        _shapes={_POINT: (size,)},
        _coords={_PLACE: np.arange(size)},
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


class _Listener:
    """Tells of progress, on the sampler's thread, which swallows errors; so they are kept."""

    def __init__(self, tell: OnProgress, total: int) -> None:
        self._tell, self._total = tell, total
        self._error: BaseException | None = None
        self._failed = threading.Event()

    def __call__(self, chains: list[Any]) -> None:
        if self._failed.is_set():
            return
        done, divergences = (sum(getattr(c, k) for c in chains) for k in _COUNTED)
        try:
            self._tell(Progress("sampling", done, self._total, divergences))
        except BaseException as error:  # raised again where somebody can see it
            self._error = error
            self._failed.set()

    def result(self, handle: Any) -> Any:
        """Return what the sampler returns; at the first error stop it and raise that."""
        tree = None
        while tree is None and not self._failed.is_set():
            with contextlib.suppress(TimeoutError):
                tree = handle.wait(timeout=_LOOK)
        if self._error is not None:
            if tree is None:
                handle.cancel()
            raise self._error
        return tree


def _run(
    compiled: Any,
    draws: int,
    tune: int,
    chains: int,
    cores: int | None,
    seed: int,
    target_accept: float,
    on_progress: OnProgress | None,
    meanwhile: Callable[[], None],
) -> xr.DataTree:
    import nutpie

    listener = _Listener(on_progress, chains * (draws + tune)) if on_progress else None

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
        progress_callback=listener,
        progress_rate=250,
        blocking=False,
    )
    try:
        meanwhile()
        return listener.result(handle) if listener is not None else handle.wait()
    except KeyboardInterrupt:
        handle.cancel()
        raise
    except RuntimeError as problem:
        raise FitError(
            f"the sampler stopped: {str(problem).splitlines()[0].rstrip('.: ')}. Priors may be far "
            "from the data; look at the data's units and the priors' medians."
        ) from problem
