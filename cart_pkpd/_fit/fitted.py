"""What every fit of a population is: its parts, its names, and how it is saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from cart_pkpd._core import display
from cart_pkpd._core.errors import FitError, WriteError
from cart_pkpd._core.validate import as_path, shown
from cart_pkpd._stats.population import Structure

INDIVIDUAL_SUFFIX = "_i"


@dataclass(frozen=True, eq=False)
class PopulationFit:
    """A fitted population, however it was fitted.

    Attributes
    ----------
    label : str
        Name of the fit in tables and figures.
    structure : Structure
        Model, population and data.
    tree : xr.DataTree
        All numbers of the fit.
    verdict : Any
        Convergence.
    provenance : mapping
        Versions, seed, settings, data hash, seconds.
    """

    label: str
    structure: Structure
    tree: xr.DataTree
    verdict: Any
    provenance: Mapping[str, Any]

    @property
    def model_name(self) -> str:
        """Registered name of the model, or its class name."""
        model = self.structure.model
        return model.name or type(model).__name__

    @property
    def sentence(self) -> str:
        """What was fitted, in words."""
        return self.structure.sentence()

    @property
    def endpoint(self) -> str:
        """The measure that was fitted; FitError if there are several."""
        return self.structure.design.endpoint

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The measures that were fitted."""
        return self.structure.design.endpoints

    @property
    def posterior(self) -> xr.Dataset:
        """All draws, dims chain, draw (and id for individual parameters)."""
        return self.tree["posterior"].to_dataset()

    def draws(self) -> xr.Dataset:
        """Return the draws of the population quantities, dims chain, draw."""
        return self.posterior[[q.name for q in self.structure.quantities]]

    def individual(self) -> xr.Dataset:
        """Return the draws of every patient's parameters, dims chain, draw, id."""
        names, posterior = self.structure.model.estimated, self.posterior
        return xr.Dataset({n: posterior[f"{n}{INDIVIDUAL_SUFFIX}"] for n in names})

    def save(self, path: str | Path) -> Path:
        """Write the fit as one netCDF file; :func:`cart_pkpd.fit.load` reads it back."""
        from cart_pkpd._fit.files import save

        target = as_path(path, "the file to write")
        if target.is_dir():
            raise WriteError(
                f"{str(target)!r} is a folder; name a file in it, such as "
                f"{str(target / 'fit.nc')!r}."
            )
        return save(self, target)

    def _repr_html_(self) -> str:
        title, said = f"{type(self).__name__} {self.label!r}.", self.verdict.sentence
        return display.block(title, said, self._table_shown(), notes=[self.sentence])

    def _table_shown(self) -> pd.DataFrame:
        """Return the table of the population quantities as a notebook shows it."""
        raise NotImplementedError

    def _said(self) -> str:
        design = self.structure.design
        return (
            f"{type(self).__name__} {self.label!r}: {self.model_name} on "
            f"{', '.join(self.endpoints)} of {design.n_patients} patients, {design.n_obs} records"
        )


def as_fit(value: Any, asking: str) -> Any:
    """Return `value` if it is a fitted population.

    Parameters
    ----------
    value : object
        What the caller passed.
    asking : str
        What needs it, for the message: ``"checks.vpc"``.

    Raises
    ------
    FitError
        For anything else.
    """
    if isinstance(value, PopulationFit):
        return value
    raise FitError(
        f"{asking}: give a fit, from fit.bayes(...), fit.laplace(...) or fit.load(...), not "
        f"{shown(value)}."
    )
