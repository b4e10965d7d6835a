"""What plots are given: a fit where draws are drawn, and else the check that was asked for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

import pandas as pd
import xarray as xr

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import shown
from cart_pkpd._fit.fitted import PopulationFit


def drawn_from[F: Callable[..., Any]](
    source: str, *needed: str, kind: type | tuple[type, ...] = xr.Dataset
) -> Callable[[F], F]:
    """Return a decorator: the first argument must be the result of a certain call.

    Parameters
    ----------
    source : str
        How the result is made, for the message: ``"checks.vpc(fit)"``.
    *needed : str
        Variables or columns that a result of this kind has.
    kind : type or tuple of type
        What the result is: a Dataset by default.
    """

    def decorate(plot: F) -> F:
        @functools.wraps(plot)
        def checked(*given: Any, **options: Any) -> Any:
            name = next(iter(plot.__annotations__))
            value = given[0] if given else options.get(name)
            _check(value, f"plots.{plot.__name__}", source, needed, kind)
            return plot(*given, **options)

        return cast("F", checked)

    return decorate


def _check(
    value: Any, plot: str, source: str, needed: tuple[str, ...], kind: type | tuple[type, ...]
) -> None:
    how = f"{plot} draws what {source} returns: {plot}({source})"
    if isinstance(value, PopulationFit):
        raise DataError(f"{how}, not the fit itself.")
    if not isinstance(value, kind):
        raise DataError(f"{how}, not {shown(value)}.")
    if isinstance(value, pd.DataFrame) and value.empty:
        return  # of the right kind, with nothing in it: the plot says what that means
    what, held = (
        ("table", value.columns) if isinstance(value, pd.DataFrame)
        else ("Dataset", getattr(value, "variables", ()))
    )  # fmt: skip
    missing = [name for name in needed if name not in held]
    if missing:
        raise DataError(f"{how}; this {what} has no {missing[0]!r}, so it is of another function.")


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
    if isinstance(value, xr.Dataset) and "draw" in value.dims:
        return value, prior
    raise DataError(f"plots.posterior: give a fit, or its .draws(), not {shown(value)}.")
