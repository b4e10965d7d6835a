"""The frozen result of a Bayesian fit of a layer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike

from cart_pkpd._core import display, words
from cart_pkpd._core.validate import probability
from cart_pkpd._crs.arrange import arrange
from cart_pkpd._crs.parts import Quantity
from cart_pkpd._crs.predictors import at_median
from cart_pkpd._crs.terms import Term
from cart_pkpd._fit.sampled import Sampled

if TYPE_CHECKING:
    from cart_pkpd._crs.layer import Layer

_LN2, _LN10 = float(np.log(2.0)), float(np.log(10.0))


@dataclass(frozen=True, eq=False, kw_only=True)
class CrsResult(Sampled):
    """A layer fitted by Bayes.

    Attributes
    ----------
    layer : Layer
        What was declared.
    tree : xr.DataTree
        Groups ``posterior`` and ``sample_stats`` (dims chain, draw; coordinate ``imputation`` on
        chain where courses were imputed) and ``predictors`` (with the outcomes).
    verdict : Verdict
        Convergence; of imputations, that of the worst.
    notes : tuple of str
        Who was not used where, by name, and what the data did not tell.
    provenance : mapping
        Settings, versions, seed, and how uncertainty of the courses was treated.
    """

    layer: Layer

    @property
    def predictors(self) -> xr.Dataset:
        """Predictors and outcomes that were fitted."""
        return self.tree["predictors"].to_dataset()

    def table(self, prob: float = 0.9) -> pd.DataFrame:
        """Return every quantity, prior beside posterior.

        Parameters
        ----------
        prob : float
            Probability of the equal-tailed intervals.

        Returns
        -------
        pandas.DataFrame
            Indexed by quantity: label, unit, part, prior, prior_median, prior_lower, prior_upper,
            median, lower, upper, rhat, ess_bulk; ``attrs["prob"]``. R-hat over imputations
            includes what differs between them.
        """
        import arviz as az

        edges = _edges(prob)
        posterior = self.posterior
        rhat, bulk = az.rhat(posterior), az.ess(posterior)
        table = self.layer.priors(prob)
        values = [np.quantile(posterior[q].to_numpy(), edges) for q in table.index]
        table[["median", "lower", "upper"]] = np.array(values)
        table["rhat"] = [float(rhat[q]) for q in table.index]
        table["ess_bulk"] = [float(bulk[q]) for q in table.index]
        return table

    def odds_ratios(self, prob: float = 0.9) -> pd.DataFrame:
        """Return odds ratios (hazard ratios of onset) of every predictor.

        Parameters
        ----------
        prob : float
            Probability of the equal-tailed intervals.

        Returns
        -------
        pandas.DataFrame
            One row per predictor and change: part, term, label, change (``"2-fold"``,
            ``"10-fold"``, ``"1 step"``, ``"1 day"``, ``"yes against no"``), kind (``"odds ratio"``,
            ``"hazard ratio"``), median, lower, upper, p_above_1, prior_lower, prior_upper.
        """
        edges, posterior = _edges(prob), self.posterior
        rows = []
        for q in self.layer.quantities:
            if q.term is None:
                continue
            draws = posterior[q.name].to_numpy()
            for change, size in changes(q.term):
                rows.append(_ratio(q, change, size, draws, edges))
        table = pd.DataFrame(rows)
        table.attrs["prob"] = prob
        return table

    def probabilities(
        self,
        predictors: xr.Dataset | None = None,
        *,
        days: ArrayLike | None = None,
        prob: float = 0.9,
        seed: int = 1,
    ) -> xr.Dataset:
        """Return probabilities of patients with intervals over the posterior.

        Parameters
        ----------
        predictors : xr.Dataset, optional
            From ``layer.predictors``; by default those that were fitted. Draws of courses meet
            draws of the parameters at random.
        days : array_like, optional
            Days of the cumulative incidence; by default each of the window.
        prob : float
            Probability of the equal-tailed intervals.
        seed : int
            Of the pairing with draws of courses.

        Returns
        -------
        xr.Dataset
            As ``Layer.probabilities``, with dim interval (``mean``, ``lower``, ``upper``) instead
            of draws. ``mean`` is the predictive probability.
        """
        edges = _edges(prob)[1:]
        found = self.predictors if predictors is None else predictors
        drawn = self.layer.probabilities(found, self.posterior, days=days, seed=seed)
        low, high = (drawn.quantile(e, "sample", keep_attrs=True, skipna=False) for e in edges)
        parts = [drawn.mean("sample", skipna=False, keep_attrs=True), low, high]
        out = xr.concat([p.drop_vars("quantile", errors="ignore") for p in parts], "interval")
        return out.assign_coords(interval=["mean", "lower", "upper"]).assign_attrs(
            prob=prob, converged=int(self.verdict.ok)
        )

    def simulate(self, predictors: xr.Dataset | None = None, *, seed: int = 1) -> xr.Dataset:
        """Return outcomes drawn from the posterior predictive, dims sample, id.

        See ``Layer.simulate``.
        """
        found = self.predictors if predictors is None else predictors
        return self.layer.simulate(found, self.posterior, seed=seed)

    def log_likelihood(self) -> xr.Dataset:
        """Return each part's log-likelihood at every draw, dims sample, id, at the median courses.

        See ``Layer.log_likelihood``.
        """
        return self.layer.log_likelihood(at_median(self.predictors), self.posterior)

    def used(self) -> pd.DataFrame:
        """Return which patients each part used: one column per part, indexed by id."""
        found = at_median(self.predictors)
        arranged = arrange(found, self.layer.parts, self.layer.window)
        ids = found["id"].values.astype(str)
        columns = {d.part.name: np.isin(np.arange(ids.size), d.rows) for d in arranged.data}
        return pd.DataFrame(columns, index=pd.Index(ids, name="id"))

    def save(self, path: str | Path) -> Path:
        """Write the result as one netCDF file; :func:`cart_pkpd.crs.load` reads it back."""
        from cart_pkpd._crs.files import save

        return save(self, Path(path))

    def _repr_html_(self) -> str:
        said = f"{self.layer} on {words.count(self.predictors.sizes['id'], 'patient')}."
        return display.block("CrsResult.", self.verdict.sentence, self.odds_ratios(), notes=[said])

    def __repr__(self) -> str:
        n = self.predictors.sizes["id"]
        return f"CrsResult: {self.layer} on {n} patients.\n{self.verdict.sentence}"


def _edges(prob: float) -> np.ndarray:
    probability(prob, "prob")
    return np.array([0.5, (1 - prob) / 2, (1 + prob) / 2])


def changes(term: Term) -> list[tuple[str, float]]:
    """Return the changes for which a term's effect is told: name and size on the term's scale."""
    match term.scale:
        case "log":
            return [("2-fold", _LN2), ("10-fold", _LN10)]
        case "order":
            return [("1 step", 1.0)]
        case "is":
            return [("yes against no", 1.0)]
    return [(f"1 {term.unit}" if term.unit != "1" else "1 unit", 1.0)]


def _ratio(
    q: Quantity, change: str, size: float, draws: np.ndarray, edges: np.ndarray
) -> dict[str, Any]:
    assert q.term is not None
    middle, lower, upper = np.exp(size * np.quantile(draws, edges))
    prior = np.exp(size * np.asarray(q.prior.quantile(edges[1:]), dtype=float))
    return {
        "part": q.part, "term": q.term.name, "label": q.term.quantity, "change": change,
        "kind": "hazard ratio" if q.part == "onset" else "odds ratio",
        "median": middle, "lower": lower, "upper": upper, "p_above_1": float((draws > 0).mean()),
        "prior_lower": prior[0], "prior_upper": prior[1],
    }  # fmt: skip
