"""Compile and sample, reusing the compiled model when only the data changed."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd._core.errors import FitError
from cart_pkpd._fit.pymc_model import build, data_arrays, present_classes
from cart_pkpd._fit.start import Start, centred_parameters, starting_values, unconstrained
from cart_pkpd._stats.population import Structure

_JITTER = 0.1
_KEPT = 6
_COMPILED: OrderedDict[Any, Any] = OrderedDict()


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
    """What the sampler returned, and how long it took [s]."""

    posterior: xr.Dataset
    stats: xr.Dataset
    centred: tuple[str, ...]
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
    """Sample the posterior of `structure` with nutpie's NUTS."""
    start = starting_values(structure)
    centred = centred_parameters(structure, start)
    began = time.perf_counter()
    if on_progress:
        on_progress(Progress("compiling"))
    compiled, model = _compiled(structure, centred)
    compiled = dataclasses.replace(
        compiled, initial_point_func=_initial_point(model, structure, start, centred)
    )
    middle = time.perf_counter()
    tree = _run(compiled, draws, tune, chains, cores, seed, target_accept, on_progress)
    end = time.perf_counter()
    return Sampled(
        posterior=tree["posterior"].to_dataset(),
        stats=tree["sample_stats"].to_dataset(),
        centred=centred,
        compile_seconds=middle - began,
        sample_seconds=end - middle,
    )


def _compiled(structure: Structure, centred: tuple[str, ...]) -> tuple[Any, pm.Model]:
    """Return the compiled model with this data; compile only what was not seen before."""
    import nutpie

    design = structure.design
    key = (
        structure.model,
        tuple(error.name for error in structure.errors),
        centred,
        structure.population.iiv,
        structure.population.non_expanders,
        structure.quantities,
        tuple((e.parameter, e.covariate, e.kind, e.name) for e in structure.effects),
        design.n_patients,
        present_classes(design),
    )
    if key not in _COMPILED:
        model = build(structure, centred)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Cannot cache compiled function")
            _COMPILED[key] = (nutpie.compile_pymc_model(model), model)
        while len(_COMPILED) > _KEPT:
            _COMPILED.popitem(last=False)
    _COMPILED.move_to_end(key)
    compiled, model = _COMPILED[key]
    # A container that nothing reads (patient numbers when no parameter varies) is not compiled.
    compiled_in = {variable.name for variable in compiled.shared_var_keys}
    arrays = {k: v for k, v in data_arrays(structure).items() if k in compiled_in}
    fresh = compiled.with_data(**arrays)
    coords = {**fresh._coords, "id": design.ids.tolist()}
    return dataclasses.replace(fresh, _coords=coords), model


def _initial_point(
    model: pm.Model, structure: Structure, start: Start, centred: tuple[str, ...]
) -> Callable[[Any], NDArray[np.float64]]:
    """Return a function from seed to a slightly jittered start, flat and unconstrained."""
    centre = np.concatenate([np.ravel(v) for v in _unconstrained(model, structure, start, centred)])

    def initial_point(seed: Any) -> NDArray[np.float64]:
        rng = np.random.default_rng(seed)
        return centre + rng.uniform(-_JITTER, _JITTER, size=centre.shape)

    return initial_point


def _unconstrained(
    model: pm.Model, structure: Structure, start: Start, centred: tuple[str, ...]
) -> list[NDArray[np.float64]]:
    default = model.initial_point()
    known = unconstrained(structure, start, centred)
    points = []
    for variable in model.free_RVs:
        value = default[model.rvs_to_values[variable].name]
        mine = known.get(variable.name)
        points.append(mine if mine is not None and mine.shape == value.shape else value)
    return points


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
