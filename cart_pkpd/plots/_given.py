"""What plots are given: a fit where draws are drawn, and else the check that was asked for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

import xarray as xr

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import shown
from cart_pkpd._fit.fitted import PopulationFit


def drawn_from[F: Callable[..., Any]](source: str, *needed: str) -> Callable[[F], F]:
    """Return a decorator: the first argument must be the Dataset of a check.

    Parameters
    ----------
    source : str
        How the check is made of a fit, for the message: ``"checks.vpc(fit)"``.
    *needed : str
        Variables that a Dataset of this kind has.
    """

    def decorate(plot: F) -> F:
        @functools.wraps(plot)
        def checked(*given: Any, **options: Any) -> Any:
            name = next(iter(plot.__annotations__))
            value = given[0] if given else options.get(name)
            _check(value, f"plots.{plot.__name__}", source, needed)
            return plot(*given, **options)

        return cast("F", checked)

    return decorate


def _check(value: Any, plot: str, source: str, needed: tuple[str, ...]) -> None:
    how = f"{plot} draws what {source} returns: {plot}({source})"
    if isinstance(value, PopulationFit):
        raise DataError(f"{how}, not the fit itself.")
    if not isinstance(value, xr.Dataset):
        raise DataError(f"{how}, not {shown(value)}.")
    missing = [name for name in needed if name not in value.variables]
    if missing:
        raise DataError(f"{how}; this Dataset has no {missing[0]!r}, so it is of another function.")


def tree_of(value: Any, plot: str) -> xr.DataTree:
    """Return the tree of a fit, given as the fit or as its tree."""
    tree = value.tree if isinstance(value, PopulationFit) else value
    if isinstance(tree, xr.DataTree) and "posterior" in tree.children:
        return tree
    raise DataError(f"plots.{plot}: give a fit, or its .tree with a posterior, not {shown(value)}.")


def draws_of(value: Any, prior: Any) -> tuple[xr.Dataset, xr.Dataset | None]:
    """Return draws of posterior and prior, given as a fit or as themselves."""
    if isinstance(value, PopulationFit):
        own = getattr(value, "prior_draws", None)
        return value.draws(), own() if prior is None and own is not None else prior
    if isinstance(value, xr.Dataset):
        return value, prior
    raise DataError(f"plots.posterior: give a fit, or its .draws(), not {shown(value)}.")
