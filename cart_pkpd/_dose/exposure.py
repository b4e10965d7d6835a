"""Exposure by dose: the power model, its slope, and what a dose is expected to give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from cart_pkpd import nca
from cart_pkpd._core import display, words
from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import probability
from cart_pkpd._dose.measured import (
    ABOVE,
    BELOW,
    EXACT,
    Measured,
    Partial,
    measured,
    with_doses,
)
from cart_pkpd._dose.patients import DoseData
from cart_pkpd._dose.power import PowerGrid, PowerPriors, Rows, posterior

if TYPE_CHECKING:
    from cart_pkpd._fit.result import FitResult

type Floats = NDArray[np.float64]

_VERDICTS = {
    "proportional": "Exposure is proportional to dose",
    "not proportional": "Exposure is not proportional to dose",
    "inconclusive": "Whether exposure is proportional to dose stays open",
}
EXPLORATORY, STRICT = (0.5, 2.0), (0.8, 1.25)


@dataclass(frozen=True)
class Proportional:
    """The classical verdict on dose proportionality.

    Attributes
    ----------
    slope, lower, upper : float
        Least-squares slope of ln exposure on ln dose, with its confidence interval.
    confidence : float
    limits : (float, float)
        Ratios of dose-normalised exposure, highest over lowest dose, that count as proportional.
    lower_limit, upper_limit : float
        The same limits of the slope: 1 + ln(limit) / ln(dose ratio).
    dose_ratio : float
        Highest over lowest dose.
    verdict : str
        ``"proportional"`` if the interval lies within the limits, ``"not proportional"`` if
        outside, ``"inconclusive"`` if it crosses one, ``""`` if there is none.
    n : int
        Patients with a measured exposure.
    reason : str
        Why there is no verdict.

    References
    ----------
    .. [1] Smith et al. (2000), Pharm Res 17:1278, :doi:`10.1023/A:1026451721686`.
    """

    slope: float
    lower: float
    upper: float
    confidence: float
    limits: tuple[float, float]
    lower_limit: float
    upper_limit: float
    dose_ratio: float
    verdict: Literal["proportional", "not proportional", "inconclusive", ""]
    n: int
    reason: str = ""

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        if self.reason:
            return f"No verdict on dose proportionality: {self.reason}."
        return (
            f"{_VERDICTS[self.verdict]}: least-squares slope {words.fixed(self.slope)} "
            f"({words.percent(self.confidence)} CI {words.fixed(self.lower)} to "
            f"{words.fixed(self.upper)}, n = {self.n}); proportional would be "
            f"{words.fixed(self.lower_limit)} to {words.fixed(self.upper_limit)} for limits "
            f"{self.limits[0]:g} to {self.limits[1]:g} over a {self.dose_ratio:.3g}-fold range."
        )


@dataclass(frozen=True, eq=False)
class DoseExposure:
    """The power model of exposure on dose.

    Attributes
    ----------
    measured : Measured
        Patient by patient.
    reference : float
        Dose d* at which ln(d / d*) is 0. [dose unit]
    priors : PowerPriors
    grid : PowerGrid
        The posterior on nodes.
    doses : tuple of float
        Dose levels of the tables. [dose unit]
    proportional : Proportional
        The classical verdict beside.
    prob : float
        Probability of the equal-tailed intervals.
    notes : tuple of str
    """

    measured: Measured
    reference: float
    priors: PowerPriors
    grid: PowerGrid
    doses: tuple[float, ...]
    proportional: Proportional
    prob: float
    notes: tuple[str, ...]

    @property
    def slope(self) -> tuple[float, float, float]:
        """Median, lower and upper end of the slope b."""
        middle, low, high = self.grid.quantile(self.grid.slope, edges(self.prob))
        return float(middle), float(low), float(high)

    @property
    def p_slope_below_half(self) -> float:
        """P(b < 0.5): how sure it is that exposure is nearer to flat than to proportional."""
        return self.grid.slope_below(0.5)

    def table(self) -> pd.DataFrame:
        """Return the parameters, prior beside posterior.

        Returns
        -------
        pandas.DataFrame
            Indexed by quantity (``intercept``, ``slope``, ``sigma``, ``fold_per_doubling``):
            label, prior, prior_lower, prior_upper, median, lower, upper, mean, sd;
            ``attrs["prob"]``.
        """
        grid, at = self.grid, edges(self.prob)
        d = words.dose(self.reference, self.measured.dose_unit)
        rows = {
            "intercept": (f"ln typical {self.measured.label} at {d}", grid.intercept),
            "slope": (f"power b of dose on {self.measured.label}", grid.slope),
            "sigma": (f"SD of ln {self.measured.label} between patients", grid.sigma),
        }
        out: dict[str, tuple[Any, ...]] = {}
        for name, prior in self.priors.items():
            label, values = rows[name]
            middle, low, high = grid.quantile(values, at)
            mean, sd = grid.moments(values)
            prior_low, prior_high = np.asarray(prior.quantile(at[1:]), dtype=float)
            out[name] = (label, str(prior), prior_low, prior_high, middle, low, high, mean, sd)
        fold = 2.0 ** grid.quantile(grid.slope, at)
        low, high = 2.0 ** np.asarray(self.priors.slope.quantile(at[1:]), dtype=float)
        mean, sd = grid.moments(2.0**grid.slope)
        label = f"factor of {self.measured.label} when the dose doubles"
        out["fold_per_doubling"] = (label, "", low, high, *fold, mean, sd)
        columns = ["label", "prior", "prior_lower", "prior_upper", "median", "lower", "upper",
                   "mean", "sd"]  # fmt: skip
        table = pd.DataFrame.from_dict(out, orient="index", columns=columns)
        table.attrs["prob"] = self.prob
        return table.rename_axis("quantity")

    def per_dose(self, doses: Sequence[float] | None = None) -> pd.DataFrame:
        """Return exposure by dose: what was seen, and the model.

        Parameters
        ----------
        doses : sequence of float, optional
            By default the dose levels. [dose unit]

        Returns
        -------
        pandas.DataFrame
            Indexed by dose: ``n`` patients of that level with a value or bound, ``n_below``,
            ``n_above``, ``geometric_mean`` of those measured; ``median``, ``lower``, ``upper`` of
            the typical exposure; ``predicted_lower``, ``predicted_upper`` of a new patient.
        """
        chosen = self.doses if doses is None else tuple(float(d) for d in doses)
        at = edges(self.prob)
        rows = []
        for d in chosen:
            x = math.log(d / self.reference)
            typical = np.exp(self.grid.quantile(self.grid.intercept + self.grid.slope * x, at))
            new = np.exp(self.grid.predictive(x, at[1:]))
            rows.append((*self._seen(d), *typical, *new))
        columns = ["n", "n_below", "n_above", "geometric_mean", "median", "lower", "upper",
                   "predicted_lower", "predicted_upper"]  # fmt: skip
        table = pd.DataFrame(rows, index=pd.Index(chosen, name="dose"), columns=columns)
        table.attrs.update(prob=self.prob, unit=self.measured.unit)
        return table

    def _seen(self, dose: float) -> tuple[int, int, int, float]:
        m = self.measured
        label = np.where(np.isfinite(m.level), m.level, m.dose)
        here = m.informative & np.isclose(label, dose)
        exact = m.value[here & (m.status == EXACT)]
        mean = float(np.exp(exact.mean())) if exact.size else math.nan
        status = m.status[here]
        return (
            int(here.sum()),
            int((status == BELOW).sum()),
            int((status == ABOVE).sum()),
            mean,
        )

    @property
    def sentence(self) -> str:
        """The result in words."""
        b, low, high = self.slope
        return (
            f"{self.measured.label} changes with dose to the power {words.fixed(b)} "
            f"({words.percent(self.prob)} interval {words.fixed(low)} to {words.fixed(high)}; "
            f"0 is flat, 1 proportional), so twice the dose goes with {2.0**b:.2f} times the "
            f"{self.measured.label} ({2.0**low:.2f} to {2.0**high:.2f}); "
            f"P(power < 0.5) = {words.chance(self.p_slope_below_half)}. "
            f"{self.proportional.sentence}"
        )

    def _repr_html_(self) -> str:
        return display.block("DoseExposure.", self.sentence, self.table(), notes=self.notes)

    def __repr__(self) -> str:
        return f"DoseExposure: {self.sentence}"


def exposure(
    source: xr.Dataset | FitResult,
    trial: xr.Dataset,
    metric: Literal["cmax", "auc0_28"] = "cmax",
    *,
    endpoint: str | None = None,
    data: DoseData | None = None,
    reference: float | None = None,
    priors: PowerPriors | None = None,
    partial: Partial = "censor",
    limits: tuple[float, float] = EXPLORATORY,
    prob: float = 0.9,
    n_draws: int = 400,
    seed: int = 1,
) -> DoseExposure:
    """Return the power model of exposure on the administered dose.

    Parameters
    ----------
    source : xr.Dataset or FitResult
        From ``nca.table(trial, ..., window=(0, 28))``, or from ``fit.bayes``: then every
        patient's exposure has an error.
    trial : xr.Dataset
        With doses and limits of quantification.
    metric : {"cmax", "auc0_28"}
    endpoint : str, optional
        The measure; needed only if the source has several.
    data : DoseData, optional
        From ``dose.data``: administered doses and levels are then taken from it, for levels per
        kg. By default the amounts given.
    reference : float, optional
        Dose d*; by default the geometric mean of the doses given. [dose unit]
    priors : PowerPriors, optional
        Printed in ``table()``.
    partial : {"censor", "keep", "drop"}
        What a partial exposure by NCA counts as (sampling ended before day 28 with cells above the
        LLOQ, or while the level was still rising): a lower bound, a value, or nothing.
    limits : (float, float)
        Of the classical verdict: (0.5, 2) is exploratory, (0.8, 1.25) strict.
    prob : float
        Probability of the equal-tailed intervals, and level of the classical one.
    n_draws, seed : int
        Draws of a fit, and their choice.

    Returns
    -------
    DoseExposure

    Raises
    ------
    DataError
        If no patient has an exposure and a dose, or the table has not the metric.

    Notes
    -----
    ``ln E = a + b ln(d / d*) + N(0, sigma)`` by quadrature. Exposures without a quantifiable sample
    are left-censored: Cmax at the LLOQ, AUC0–28d at the LLOQ over 28 days. An individual posterior
    enters as what the data alone say of the patient, with error (see the guide).
    """
    probability(prob, "prob")
    found = measured(
        source, trial, metric, endpoint=endpoint, partial=partial, n_draws=n_draws, seed=seed
    )
    if data is not None:
        found = with_doses(found, data)
    return of_measured(found, reference=reference, priors=priors, limits=limits, prob=prob)


def of_measured(
    found: Measured,
    *,
    reference: float | None,
    priors: PowerPriors | None,
    limits: tuple[float, float],
    prob: float,
) -> DoseExposure:
    """Return the power model of exposures already arranged."""
    use = found.informative
    if not use.any():
        raise DataError(
            f"no patient has both a dose above 0 and a {found.label}; look at the trial's doses "
            "and at the reasons in the table of parameters."
        )
    chosen = priors or PowerPriors()
    d = float(np.exp(np.log(found.dose[use]).mean())) if reference is None else float(reference)
    if not 0 < d < math.inf:
        raise ValueError(f"reference must be a dose above 0, not {reference!r}.")
    levels = np.where(np.isfinite(found.level), found.level, found.dose)
    doses = tuple(float(v) for v in np.unique(levels[use]))
    return DoseExposure(
        found, d, chosen, posterior(rows_of(found, d), chosen), doses,
        proportional(found, limits, prob), prob, _notes(found),
    )  # fmt: skip


def rows_of(found: Measured, reference: float) -> Rows:
    """Return the informative patients for quadrature."""
    use = found.informative
    x = np.log(found.dose[use] / reference)
    return Rows(x, found.value[use], found.error[use], found.status[use])


def proportional(
    found: Measured, limits: tuple[float, float] = EXPLORATORY, confidence: float = 0.9
) -> Proportional:
    """Return the classical verdict from the patients with a measured exposure."""
    low, high = limits
    if not 0 < low < 1 < high:
        raise ValueError(f"limits must be ratios around 1, such as (0.5, 2), not {limits!r}.")
    line = _least_squares(found, confidence)
    if line.reason:
        nan = math.nan
        return Proportional(
            nan, nan, nan, confidence, limits, nan, nan, line.dose_ratio, "", line.n, line.reason
        )
    ends = (line.lower, line.upper)
    bounds = tuple(1 + math.log(v) / math.log(line.dose_ratio) for v in limits)
    inside = bounds[0] <= ends[0] and ends[1] <= bounds[1]
    outside = ends[1] < bounds[0] or ends[0] > bounds[1]
    verdict: Literal["proportional", "not proportional", "inconclusive"] = (
        "proportional" if inside else "not proportional" if outside else "inconclusive"
    )
    return Proportional(
        line.slope, *ends, confidence, limits, bounds[0], bounds[1], line.dose_ratio, verdict,
        line.n,
    )  # fmt: skip


def _least_squares(found: Measured, confidence: float) -> nca.Proportionality:
    """Return the least-squares power model of the patients with a measured exposure."""
    use = found.informative & (found.status == EXACT)
    table = xr.Dataset(
        {found.metric: ("id", np.exp(found.value[use])), "dose": ("id", found.dose[use])},
        coords={"id": found.ids[use], "parameter": [found.metric]},
    )
    return nca.proportionality(table, found.metric, dose="dose", confidence=confidence)


def edges(prob: float) -> Floats:
    """Return the probabilities of median, lower and upper end."""
    probability(prob, "prob")
    return np.array([0.5, (1 - prob) / 2, (1 + prob) / 2])


def _notes(found: Measured) -> tuple[str, ...]:
    notes = list(found.notes)
    left = found.ids[~found.informative]
    if left.size:
        who = ", ".join(str(i) for i in left[:8]) + (", …" if left.size > 8 else "")
        notes.append(f"No {found.label} of {left.size} patients ({who}); their reasons: table.")
    below = int((found.status[found.informative] == BELOW).sum())
    if below:
        notes.append(f"{below} without a quantifiable sample: left-censored at the LLOQ.")
    return tuple(notes)
