"""The frozen result of a Bayesian fit: draws, verdict, provenance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import xarray as xr

from cart_pkpd._core import words
from cart_pkpd._core.validate import probability
from cart_pkpd._fit.draws import prior_draws
from cart_pkpd._fit.fitted import INDIVIDUAL_SUFFIX as INDIVIDUAL_SUFFIX
from cart_pkpd._fit.fitted import PopulationFit
from cart_pkpd._fit.verdict import Verdict
from cart_pkpd._stats.prior_table import prior_table


@dataclass(frozen=True, eq=False)
class FitResult(PopulationFit):
    """A Bayesian population fit.

    Attributes
    ----------
    label : str
        Name of the fit in tables and figures.
    structure : Structure
        Model, population, data arrays and priors.
    tree : xr.DataTree
        Groups ``posterior`` (population quantities by name; ``<parameter>_i`` per patient, dim
        id), ``sample_stats``, ``log_likelihood`` (dim obs), ``log_prior`` (ln density of every
        population quantity, natural scale), ``observed_data``.
    verdict : Verdict
        Convergence.
    provenance : mapping
        Versions, seed, settings, data hash, compile and sampling time [s].
    """

    verdict: Verdict

    def prior_draws(self, size: int = 4000, seed: int = 1) -> xr.Dataset:
        """Return independent draws of the population quantities from their priors, dim draw."""
        return prior_draws(self.structure, size, seed)

    def priors(self, prob: float = 0.9) -> pd.DataFrame:
        """Return every prior with where it is from; see :func:`cart_pkpd.fit.priors`."""
        return prior_table(self.structure, prob)

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
                "role": self.structure.role(q),
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

    def _table_shown(self) -> pd.DataFrame:
        table = self.table()
        percent = words.percent(table.attrs["prob"])
        ess = table[["ess_bulk", "ess_tail"]].min(axis=1)
        return pd.DataFrame(
            {
                "quantity": table["label"],
                "unit": table["unit"].map(words.unit),
                "prior median": table["prior_median"],
                f"prior {percent}": words.intervals(table, "prior_lower", "prior_upper"),
                "median": table["median"],
                percent: words.intervals(table),
                "R-hat": table["rhat"].map(partial(words.fixed, digits=3)),
                "ESS": ess.map(partial(words.fixed, digits=0)),
            }
        )

    def __repr__(self) -> str:
        return f"{self._said()}.\n{self.verdict.sentence}"
