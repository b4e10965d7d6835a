"""From a model to what a simulated dose escalation needs: exposure and DLT risk at each dose."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.units import times
from cart_pkpd._core.validate import one_of, probability
from cart_pkpd._dose.levels import Levels
from cart_pkpd._dose.trial_scenario import Scenario
from cart_pkpd._simulate.outcomes import Outcome
from cart_pkpd._simulate.plan import Plan
from cart_pkpd._simulate.run import CHUNK, run
from cart_pkpd._simulate.streams import Floats

METRICS = ("cmax", "auc")


@dataclass(frozen=True, eq=False)
class Exposures:
    """Exposures of the same virtual patients at every dose level.

    Attributes
    ----------
    levels : Levels
        The planned doses.
    metric : str
        ``"cmax"`` or ``"auc"``.
    endpoint, unit : str
        Whose level, and unit of the metric.
    values : ndarray, shape (levels, n)
        NaN where a patient's equations had no solution.
    """

    levels: Levels
    metric: str
    endpoint: str
    unit: str
    values: Floats
    _plan: Plan

    def __repr__(self) -> str:
        """Return what it is, a table by dose, and whether the dose matters."""
        n = self.values.shape[1]
        head = f"Exposures of {n:,} virtual patients: {self.endpoint} {self.metric} ({self.unit})"
        flat = self.levels.array.size > 1 and np.array_equal(
            self.values, np.broadcast_to(self.values[0], self.values.shape), equal_nan=True
        )
        said = "\nThe same at every dose: it acts on no parameter of this model." if flat else ""
        return f"{head}\n{self.table().to_string(float_format='{:.4g}'.format)}{said}"

    def at(self, dose: float) -> Floats:
        """Return the patients' exposures at any dose, shape (n,)."""
        near = np.flatnonzero(np.isclose(self.levels.array, dose, rtol=1e-9, atol=0.0))
        return self.values[near[0]] if near.size else exposures_at(self._plan, self.metric, dose)

    def table(self, prob: float = 0.9) -> pd.DataFrame:
        """Return one row per dose: n, geometric mean and CV, median and an interval of patients.

        Parameters
        ----------
        prob : float
            Share of the patients inside the interval.
        """
        probability(prob, "prob")
        rows = []
        for dose, found in zip(self.levels.array, self.values, strict=True):
            own = found[found > 0]
            ln = np.log(own)
            mean = float(np.exp(ln.mean())) if own.size else np.nan
            cv = float(np.sqrt(np.expm1(ln.var(ddof=1)))) if own.size > 1 else np.nan
            ends = [0.5, (1 - prob) / 2, (1 + prob) / 2]
            rows.append(
                [dose, int(np.isfinite(found).sum()), mean, cv, *np.nanquantile(found, ends)]
            )
        columns = ["dose", "n", "geometric_mean", "geometric_cv", "median", "lower", "upper"]
        table = pd.DataFrame(rows, columns=columns).set_index("dose")
        table.attrs.update(prob=prob, unit=self.unit, metric=self.metric)
        return table

    def risk(self, toxicity: Outcome, grade: int = 1) -> Risk:
        """Return the probability of an outcome as a function of the dose.

        Parameters
        ----------
        toxicity : Outcome
            By this exposure, or by dose.
        grade : int
            From which grade on it counts.
        """
        if not isinstance(toxicity, Outcome):
            raise DataError("risk: give a simulate.Outcome, such as Outcome(intercept=-1.4, ...).")
        if toxicity.by not in ("dose", self.metric):
            raise DataError(
                f"the outcome follows {toxicity.by}, and these exposures are {self.metric}; "
                f"simulate them with metric={toxicity.by!r}."
            )
        if not 1 <= grade <= toxicity.grades:
            raise DataError(f"grade must lie in 1 to {toxicity.grades}, not {grade!r}.")
        return Risk(self, toxicity, grade)

    def scenario(self, toxicity: Outcome, *, grade: int = 1, **settings: Any) -> Scenario:
        """Return the truth of a simulated dose escalation.

        Parameters
        ----------
        toxicity : Outcome
            The DLT.
        grade : int
            From which grade on it is a DLT.
        **settings
            Of ``dose.Scenario``: ``target``, ``max_patients``, ``accrual``, ….

        Returns
        -------
        Scenario
            For ``dose.simulate_trials`` and ``dose.compare_designs``.
        """
        given = {"window": int(toxicity.window), "onset": toxicity.onset, **settings}
        return Scenario(levels=self.levels, p=self.risk(toxicity, grade), **given)


@dataclass(frozen=True, eq=False)
class Risk:
    """Probability of an outcome by dose, averaged over virtual patients.

    Attributes
    ----------
    exposures : Exposures
    toxicity : Outcome
    grade : int
    """

    exposures: Exposures
    toxicity: Outcome
    grade: int

    def __call__(self, doses: ArrayLike) -> Floats:
        """Return the average probability at doses, shape (len(doses),)."""
        found = [self._one(float(d)) for d in np.atleast_1d(np.asarray(doses, dtype=float))]
        return np.array([float(np.nanmean(p)) for p in found])

    def _one(self, dose: float) -> Floats:
        x = np.array([dose]) if self.toxicity.by == "dose" else self.exposures.at(dose)
        return self.toxicity.probability(x)[..., self.grade - 1]


def exposures_of(plan: Plan, planned: Levels, metric: str) -> Exposures:
    """Return exposures at every level; see ``simulate.exposures``."""
    one_of(metric, METRICS, "metric", error=DataError)
    if plan.kinetics.window is None:
        raise DataError("exposures: window=None leaves no exposure; give the window's days.")
    if len(plan.endpoints) > 1:
        raise DataError(f"there are several endpoints ({', '.join(plan.endpoints)}); name one.")
    values = np.stack([exposures_at(plan, metric, float(d)) for d in planned.array])
    unit = plan.source.model.endpoints[plan.endpoints[0]]
    unit = unit if metric == "cmax" else times(unit, "day")
    return Exposures(planned, metric, plan.endpoints[0], unit, values, plan)


@lru_cache(maxsize=64)
def exposures_at(plan: Plan, metric: str, dose: float) -> Floats:
    """Return exposures of the patients of a plan at one dose, shape (n,)."""
    found = run(replace(plan, levels=np.array([dose])), chunk=CHUNK)
    return found["exposure"].to_numpy()[:, 0, 0 if metric == "cmax" else 2]
