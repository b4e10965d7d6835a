"""Draws from the posterior of a layer by nutpie's NUTS, and its verdict."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd import __version__
from cart_pkpd._core.errors import FitError
from cart_pkpd._crs.density import LayerDensity
from cart_pkpd._fit.verdict import Verdict, judge

Floats = NDArray[np.float64]
_POINT, _PLACE = "point", "place"
_JITTER = 0.1


def sample(
    density: LayerDensity, *, draws: int, tune: int, chains: int, cores: int | None, seed: int,
    target_accept: float,
) -> tuple[xr.Dataset, xr.Dataset]:  # fmt: skip
    """Return draws of every quantity and the sampler's statistics, dims chain, draw.

    Raises
    ------
    FitError
        If the density at the start is not a number, or the sampler stops.
    """
    import nutpie

    value, gradient = density(density.medians())
    if not (np.isfinite(value) and np.isfinite(gradient).all()):
        raise FitError(
            "the likelihood at the priors' medians is not a number; look at the predictors' units "
            "and references."
        )
    try:
        tree = nutpie.sample(
            _compiled(density), draws=draws, tune=tune, chains=chains, cores=cores, seed=seed,
            target_accept=target_accept, save_warmup=False, progress_bar=False,
        )  # fmt: skip
    except RuntimeError as problem:
        raise FitError(
            f"the sampler stopped: {str(problem).splitlines()[0].rstrip('.: ')}. Look at the "
            "predictors' units and references."
        ) from problem
    points = tree["posterior"][_POINT].to_numpy()
    return _named(density, points), tree["sample_stats"].to_dataset()


def _compiled(density: LayerDensity) -> Any:
    from nutpie.compiled_pyfunc import from_pyfunc

    size, centre = len(density.quantities), density.medians()

    def start(seed: Any) -> Floats:
        return centre + np.random.default_rng(seed).uniform(-_JITTER, _JITTER, size)

    return from_pyfunc(
        size,
        lambda: density,
        lambda *_: lambda point: {_POINT: point},
        [np.dtype("float64")],
        [(size,)],
        [_POINT],
        coords={_PLACE: np.arange(size)},
        dims={_POINT: (_PLACE,)},
        make_initial_point_fn=start,
    )


def _named(density: LayerDensity, points: Floats) -> xr.Dataset:
    values = density.natural(points)
    return xr.Dataset(
        {
            q.name: (
                ("chain", "draw"),
                values[q.name],
                {"units": q.unit, "long_name": q.label, "part": q.part},
            )
            for q in density.quantities
        },
        coords={"chain": np.arange(points.shape[0]), "draw": np.arange(points.shape[1])},
    )


def sample_all(
    densities: Sequence[LayerDensity], *, seed: int, **settings: Any
) -> tuple[xr.Dataset, xr.Dataset, Verdict]:
    """Return draws of one posterior, or of one per imputation side by side, and the verdict.

    Notes
    -----
    Draws of M imputations become M times as many chains, with coordinate ``imputation``. Each
    imputation is judged by itself, because chains of different imputations are meant to differ; the
    verdict is that of the worst.
    """
    found = [sample(d, seed=seed + i, **settings) for i, d in enumerate(densities)]
    verdicts = [judge(posterior, stats) for posterior, stats in found]
    if len(found) == 1:
        return found[0][0], found[0][1], verdicts[0]
    chains = found[0][0].sizes["chain"]
    coords = {
        "chain": np.arange(chains * len(found)),
        "imputation": ("chain", np.repeat(np.arange(len(found)), chains)),
    }
    posterior = xr.concat([p for p, _ in found], "chain").assign_coords(coords)
    stats = xr.concat([s for _, s in found], "chain").assign_coords(coords)
    return posterior, stats, worst(verdicts)


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """Return one verdict on several imputations: it holds if every one converged."""
    failed = [v for v in verdicts if not v.ok]
    first = max(failed or verdicts, key=lambda v: v.max_rhat)
    count = f"{len(verdicts)} imputations"
    if failed:
        said = f"{len(failed)} of {count} not converged; the worst: {first.sentence}"
    else:
        low = min(min(v.min_ess_bulk, v.min_ess_tail) for v in verdicts)
        said = (
            f"Converged: in each of {count} R-hat at most {first.max_rhat:.3f}, effective sample "
            f"size at least {low:.0f}, no divergent transitions."
        )
    return replace(
        first,
        sentence=said,
        min_ess_bulk=min(v.min_ess_bulk for v in verdicts),
        min_ess_tail=min(v.min_ess_tail for v in verdicts),
        divergences=sum(v.divergences for v in verdicts),
        min_ebfmi=min(v.min_ebfmi for v in verdicts),
        max_depth_share=max(v.max_depth_share for v in verdicts),
        ebfmi=tuple(e for v in verdicts for e in v.ebfmi),
        max_depth=max(v.max_depth for v in verdicts),
        unsolved=sum(v.unsolved for v in verdicts),
    )


def provenance(**settings: Any) -> dict[str, Any]:
    """Return settings and versions for the result."""
    packages = ("numpy", "scipy", "xarray", "nutpie", "arviz")
    return {
        **settings,
        "sampler": "nutpie NUTS",
        "python": platform.python_version(),
        "versions": {"cart_pkpd": __version__, **{p: version(p) for p in packages}},
    }
