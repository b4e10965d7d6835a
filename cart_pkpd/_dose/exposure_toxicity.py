"""True DLT probabilities that follow from CAR-T exposure: any model, with its patients' spread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import expit

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import did_you_mean, one_of, positive_int
from cart_pkpd._dose.state import Floats
from cart_pkpd.models import Model

_STEP = 0.1  # of the time grid [day]


@dataclass(frozen=True, kw_only=True, eq=False)
class ExposureToxicity:
    """P(DLT) = expit(intercept + slope · log(E / reference)), averaged over exposures at a dose.

    Patients differ by the model's parameters: normal on their free scale (log, logit) with the
    standard deviations `iiv`. The same patients are given every dose.

    For correlations, covariates, non-expanders or the uncertainty of a fit use
    ``simulate.exposures`` and its ``scenario``; here it is the declared spread, and a dose that
    acts on a closed form by a power.

    Parameters
    ----------
    model : Model
        Any of ``cart_pkpd.models``.
    intercept, slope, reference : float
        Log odds of a DLT at the exposure `reference`, and their rise per e-fold exposure.
        [reference: unit of the metric]
    metric : {"cmax", "auc"}
        Peak, or area over the window.
    endpoint : str, optional
        The measure; needed only if the model has several.
    params : mapping of str to float
        Typical values that replace the model's.
    iiv : mapping of str to float, optional
        Between-patient standard deviations on the free scale; the model's published ones by
        default.
    dose_power : mapping of str to float
        Parameters multiplied by (dose / dose_reference)^power. A closed-form model knows no doses:
        without one of these its exposure is dose-flat.
    dose_reference : float, optional
        Needed with `dose_power`.
    dose_scale : float
        Factor from the unit of the levels to the dose unit of a model given by equations.
    window : float
        End of exposure. [day]
    patients : int
        Patients whose probabilities are averaged.
    seed : int

    Examples
    --------
    >>> from cart_pkpd import models
    >>> truth = ExposureToxicity(
    ...     model=models.Stein2019(), intercept=-1.0, slope=1.0, reference=24_000.0, metric="cmax",
    ...     dose_power={"cmax": 0.3}, dose_reference=1e7, patients=500, seed=1,
    ... )
    >>> p = truth(np.array([1e6, 1e7]))
    """

    model: Model
    intercept: float
    slope: float
    reference: float
    metric: Literal["cmax", "auc"]
    endpoint: str | None = None
    params: Mapping[str, float] = field(default_factory=dict)
    iiv: Mapping[str, float] | None = None
    dose_power: Mapping[str, float] = field(default_factory=dict)
    dose_reference: float | None = None
    dose_scale: float = 1.0
    window: float = 28.0
    patients: int = 2000
    seed: int = 1

    def __post_init__(self) -> None:
        one_of(self.metric, ("cmax", "auc"), "metric")
        positive_int(self.patients, "the patients")
        if not 0 < self.reference < np.inf:
            raise ValueError(f"the reference exposure must be above 0, not {self.reference!r}.")
        for given in (self.params, self.iiv or {}, self.dose_power):
            for name in given:
                if name not in self.model.parameters:
                    hint = did_you_mean(name, self.model.parameters)
                    raise DataError(f"{self.model.name} has no parameter {name!r}.{hint}")
        if self.dose_power and not (self.dose_reference or 0) > 0:
            raise ValueError(
                "dose_power needs dose_reference, the dose at which it changes nothing."
            )

    @cached_property
    def _people(self) -> dict[str, Floats]:
        """Parameter values of the patients before the dose acts, each shape (N,)."""
        records = self.model.parameters
        spread = self.iiv
        if spread is None:
            spread = {k: r.iiv for k, r in records.items() if r.iiv is not None}
        rng = np.random.default_rng(self.seed)
        out: dict[str, Floats] = {k: np.full(self.patients, v) for k, v in self.params.items()}
        for name, sd in spread.items():
            middle = records[name].to_free(float(self.params.get(name, records[name].typical)))
            eta = rng.standard_normal(self.patients)
            out[name] = np.asarray(records[name].to_natural(middle + sd * eta))
        return out

    def exposures(self, dose: float) -> Floats:
        """Return the patients' exposures at one dose, shape (N,)."""
        people = dict(self._people)
        for name, power in self.dose_power.items():
            base = people.get(name, np.full(self.patients, self.model.parameters[name].typical))
            people[name] = base * (dose / float(self.dose_reference or 1.0)) ** power
        if not people:
            people = {k: np.full(1, r.typical) for k, r in self.model.parameters.items()}
        times = np.linspace(0, self.window, round(self.window / _STEP) + 1)
        takes = getattr(self.model, "dosed", None) is not None
        amount = dose * self.dose_scale if takes else None
        found = self.model.simulate(times, people, amount)
        name = self.endpoint or self._only_endpoint()
        level = found[name].transpose("id", "time").values
        return level.max(axis=1) if self.metric == "cmax" else np.trapezoid(level, times, axis=1)

    def _only_endpoint(self) -> str:
        names = list(self.model.endpoints)
        if len(names) > 1:
            raise DataError(
                f"{self.model.name} has several endpoints ({', '.join(names)}); name one."
            )
        return names[0]

    def _risk(self, exposure: Floats) -> Floats:
        with np.errstate(divide="ignore"):  # no exposure at all: no exposure-driven toxicity
            return expit(self.intercept + self.slope * np.log(exposure / self.reference))

    def __call__(self, doses: Floats) -> Floats:
        """Return the average DLT probability at doses, shape (len(doses),)."""
        return np.array([self._risk(self.exposures(float(d))).mean() for d in doses])

    def table(self, doses: Floats) -> pd.DataFrame:
        """Return one row per dose: average DLT probability, exposure's median and 5 % and 95 %."""
        rows = []
        for dose in np.asarray(doses, dtype=float):
            exposure = self.exposures(float(dose))
            low, middle, high = np.quantile(exposure, [0.05, 0.5, 0.95])
            rows.append([dose, self._risk(exposure).mean(), middle, low, high])
        return pd.DataFrame(rows, columns=["dose", "p", "median", "q5", "q95"])
