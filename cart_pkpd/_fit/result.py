"""The frozen result of a Bayesian fit: draws, verdict, provenance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from cart_pkpd._core.validate import probability
from cart_pkpd._fit.draws import prior_draws
from cart_pkpd._fit.verdict import Verdict
from cart_pkpd._stats.population import Structure

INDIVIDUAL_SUFFIX = "_i"


@dataclass(frozen=True, eq=False)
class FitResult:
    """A Bayesian population fit.

    Attributes
    ----------
    label : str
        Name of the fit in tables and figures.
    structure : Structure
        Model, population, data arrays and priors.
    tree : xr.DataTree
        Groups ``posterior`` (population quantities by name; ``<parameter>_i`` per patient, dim
        id), ``sample_stats``, ``log_likelihood`` (dim obs), ``observed_data``.
    verdict : Verdict
        Convergence.
    provenance : mapping
        Versions, seed, settings, data hash, compile and sampling time [s].
    """

    label: str
    structure: Structure
    tree: xr.DataTree
    verdict: Verdict
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
        names = self.structure.model.estimated
        posterior = self.posterior
        return xr.Dataset({n: posterior[f"{n}{INDIVIDUAL_SUFFIX}"] for n in names})

    def prior_draws(self, size: int = 4000, seed: int = 1) -> xr.Dataset:
        """Return independent draws of the population quantities from their priors, dim draw."""
        return prior_draws(self.structure, size, seed)

    def table(self, prob: float = 0.9) -> pd.DataFrame:
        """Return the population quantities, prior beside posterior.

        Parameters
        ----------
        prob : float
            Probability of the equal-tailed intervals.

        Returns
        -------
        pandas.DataFrame
            Indexed by quantity: label, unit, role, prior_median, prior_lower, prior_upper,
            median, lower, upper, rhat, ess_bulk, ess_tail; ``attrs["prob"]``.
        """
        import arviz as az

        edges = np.array([0.5, (1 - probability(prob, "prob")) / 2, (1 + prob) / 2])
        draws = self.draws()
        rhat, bulk, tail = az.rhat(draws), az.ess(draws), az.ess(draws, method="tail")
        rows = {}
        for q in self.structure.quantities:
            prior = [float(v) for v in q.prior.quantile(edges)]
            middle, lower, upper = np.quantile(draws[q.name].to_numpy(), edges)
            rows[q.name] = {
                "label": q.label,
                "unit": q.unit,
                "role": q.role,
                "prior_median": prior[0],
                "prior_lower": prior[1],
                "prior_upper": prior[2],
                "median": middle,
                "lower": lower,
                "upper": upper,
                "rhat": float(rhat[q.name]),
                "ess_bulk": float(bulk[q.name]),
                "ess_tail": float(tail[q.name]),
            }
        table = pd.DataFrame.from_dict(rows, orient="index")
        table.index.name = "parameter"
        table.attrs["prob"] = prob
        return table

    def save(self, path: str | Path) -> Path:
        """Write the fit as one netCDF file; :func:`cart_pkpd.fit.load` reads it back."""
        from cart_pkpd._fit.files import save

        return save(self, Path(path))

    def __repr__(self) -> str:
        design = self.structure.design
        return (
            f"FitResult {self.label!r}: {self.model_name} on {', '.join(self.endpoints)} of "
            f"{design.n_patients} patients, {design.n_obs} records.\n{self.verdict.sentence}"
        )
