"""The layer: a frozen declaration, and what can be asked of it."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike

from cart_pkpd._core.errors import DataError, FitWarning, ModelError
from cart_pkpd._core.validate import one_of, positive_int, probability
from cart_pkpd._crs import predict as _predict
from cart_pkpd._crs.arrange import Arranged, arrange
from cart_pkpd._crs.density import LayerDensity, quantities_of
from cart_pkpd._crs.maximum import maximum_likelihood
from cart_pkpd._crs.parts import Hazard, Logistic, Part, ProportionalOdds, Quantity
from cart_pkpd._crs.predictors import at_median
from cart_pkpd._crs.predictors import predictors as _predictors
from cart_pkpd._crs.terms import Term

if TYPE_CHECKING:
    from cart_pkpd._crs.result import CrsResult

Uncertainty = Literal["median", "imputation"]
DEFAULT_WINDOW = (0.0, 28.0)


@dataclass(frozen=True)
class Layer:
    """What decides CRS, given courses of cells and cytokines.

    Attributes
    ----------
    occurrence : Logistic or None
        Whether CRS of any grade occurs in the window.
    grade : ProportionalOdds or None
        How severe it is.
    onset : Hazard or None
        When it begins.
    window : (float, float)
        First and last day on which CRS counts; courses are summarised over it.

    Notes
    -----
    The parts have no parameter in common, so each is learnt from its own outcome. Together they
    predict by one rule: *whether* CRS occurs is decided once, by `occurrence` if there is one, else
    by a `grade` with level 0, else by `onset`; grade and day are then those given CRS.

    Examples
    --------
    >>> from cart_pkpd import crs
    >>> layer = crs.Layer(
    ...     occurrence=crs.Logistic([crs.peak("transgene")]),
    ...     grade=crs.ProportionalOdds("il6"),
    ...     onset=crs.Hazard("il6"),
    ... )
    >>> [q.name for q in layer.quantities][:2]
    ['occurrence_intercept', 'occurrence_ln_transgene_peak']
    """

    occurrence: Logistic | None = None
    grade: ProportionalOdds | None = None
    onset: Hazard | None = None
    window: tuple[float, float] = DEFAULT_WINDOW

    def __post_init__(self) -> None:
        kinds = {"occurrence": Logistic, "grade": ProportionalOdds, "onset": Hazard}
        for name, kind in kinds.items():
            part = getattr(self, name)
            if part is not None and not isinstance(part, kind):
                raise ModelError(f"{name} must be a crs.{kind.__name__}(...), not {part!r}.")
        if not self.parts:
            raise ModelError("a layer needs at least one of occurrence=, grade= and onset=.")
        if self.occurrence and self.grade and not self.grade.given_crs:
            raise ModelError(
                "occurrence and a grade with level 0 both say whether CRS occurs; leave out "
                "occurrence, or begin the levels at 1."
            )
        start, end = (float(v) for v in self.window)
        if not (np.isfinite([start, end]).all() and start < end):
            raise ModelError(f"window must run from a day to a later one, not {self.window!r}.")
        object.__setattr__(self, "window", (start, end))

    @property
    def parts(self) -> tuple[Part, ...]:
        """The declared parts, in the order occurrence, grade, onset."""
        return tuple(p for p in (self.occurrence, self.grade, self.onset) if p is not None)

    @property
    def terms(self) -> tuple[Term, ...]:
        """All terms, each once."""
        return tuple({t.name: t for p in self.parts for t in p.terms}.values())

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """Everything that is estimated, in order."""
        return quantities_of(self.parts)

    def priors(self, prob: float = 0.9) -> pd.DataFrame:
        """Return every quantity with its meaning and prior.

        Parameters
        ----------
        prob : float
            Probability of the equal-tailed intervals.

        Returns
        -------
        pandas.DataFrame
            Indexed by quantity: label, unit, part, prior, prior_median, prior_lower, prior_upper.
        """
        probability(prob, "prob")
        edges = np.array([0.5, (1 - prob) / 2, (1 + prob) / 2])
        rows = {}
        for q in self.quantities:
            middle, lower, upper = (float(v) for v in q.prior.quantile(edges))
            rows[q.name] = {
                "label": q.label, "unit": q.unit, "part": q.part, "prior": str(q.prior),
                "prior_median": middle, "prior_lower": lower, "prior_upper": upper,
            }  # fmt: skip
        table = pd.DataFrame.from_dict(rows, orient="index")
        table.index.name = "parameter"
        table.attrs["prob"] = prob
        return table

    def predictors(
        self,
        courses: xr.Dataset,
        patients: xr.Dataset | None = None,
        *,
        grade: str = "crs_grade",
        day: str = "crs_day",
    ) -> xr.Dataset:
        """Return the numbers that the layer uses, from courses and patients.

        Parameters
        ----------
        courses : xr.Dataset
            Levels by name, dims id, time [day] and possibly draws (``sample``, ``draw``, or
            ``chain`` and ``draw``): from ``model.simulate``, :func:`cart_pkpd.crs.fitted_courses`
            or :func:`cart_pkpd.crs.observed_courses`. They must span the window.
        patients : xr.Dataset, optional
            The trial, or any Dataset over id: covariates and, for fits, outcomes. Its patients
            without a course stay, with missing predictors.
        grade, day : str
            Names of the grade and of the day of onset (NaN without CRS) among its variables.

        Returns
        -------
        xr.Dataset
            Dims (sample,) id, time. Of every course used, its levels and ``<name>_peak``,
            ``_peak_time`` [day], ``_auc``, ``_final`` and ``_running_max``; the covariates;
            ``crs_grade`` and ``crs_day`` where known; and each term under its name
            (``ln_transgene_peak``), centred at its reference.

        Raises
        ------
        DataError
            If a course or covariate is missing, levels are impossible, or patients do not match.
        UnitError
            If a unit is of another kind than the term's.
        """
        return _predictors(
            self.terms, self.onset, self.window, courses, patients, grade=grade, day=day
        )

    def probabilities(
        self,
        predictors: xr.Dataset,
        values: xr.Dataset | Mapping[str, ArrayLike],
        *,
        days: ArrayLike | None = None,
        seed: int = 1,
    ) -> xr.Dataset:
        """Return P(CRS), P(grade ≥ k) and the cumulative incidence of onset.

        Parameters
        ----------
        predictors : xr.Dataset
            From :meth:`predictors`.
        values : xr.Dataset or mapping
            Every parameter: numbers, arrays of draws, or a posterior (dims chain, draw).
        days : array_like, optional
            Rising days of the incidence; by default each of the window.
        seed : int
            Of the pairing, where both courses and parameters are draws.

        Returns
        -------
        xr.Dataset
            Dims (sample,) id. ``p_any``; ``p_at_least`` (grade); ``p_onset`` (day); for parts
            that speak of patients with CRS ``p_at_least_given_crs`` (grade_given_crs) and, if
            nothing says whether CRS occurs, ``p_onset_given_crs`` (day). With `occurrence` and
            `onset`, ``p_any_by_hazard`` is P(CRS) by the hazard alone: the two should agree.
            ``attrs["whether"]`` names the part that decides whether CRS occurs.

        Raises
        ------
        ModelError
            If values are missing, unknown or impossible.
        """
        found = _checked(predictors, self)
        chosen = _predict.days_of(days, self.window)
        return _predict.probabilities(found, self.parts, self.quantities, values, chosen, seed)

    def simulate(
        self,
        predictors: xr.Dataset,
        values: xr.Dataset | Mapping[str, ArrayLike],
        *,
        seed: int,
    ) -> xr.Dataset:
        """Return simulated outcomes of every patient.

        Parameters
        ----------
        predictors, values
            As for :meth:`probabilities`.
        seed : int
            The same seed gives the same outcomes.

        Returns
        -------
        xr.Dataset
            Dims (sample,) id: ``crs`` (1 or 0), ``crs_grade`` (0 without CRS) and ``crs_day`` [day]
            (NaN without CRS); NaN where a predictor is missing. If nothing says whether CRS
            occurs, grade and day are those given CRS.
        """
        found = _checked(predictors, self)
        return _predict.simulate(found, self.parts, self.quantities, values, operator.index(seed))

    def log_likelihood(
        self, predictors: xr.Dataset, values: xr.Dataset | Mapping[str, ArrayLike]
    ) -> xr.Dataset:
        """Return the log-likelihood of every patient, part by part.

        Parameters
        ----------
        predictors : xr.Dataset
            From :meth:`predictors`, with outcomes and without draws of courses.
        values : xr.Dataset or mapping
            As for :meth:`probabilities`.

        Returns
        -------
        xr.Dataset
            One variable per part, dims (sample,) id; NaN for patients whom the part does not use.
            With `occurrence` and an onset among all, patients without CRS are in both: the sum
            over parts is a joint likelihood only for ``Hazard(among="crs")``.

        Raises
        ------
        DataError
            If there are no outcomes, or the courses are draws.
        """
        found = _checked(predictors, self)
        if "sample" in found.dims:
            raise DataError(
                "log_likelihood takes one course per patient; pass crs.at_median(predictors)."
            )
        given, drawn = _predict.values_of(values, self.quantities)
        size, n = len(next(iter(given.values()))), found.sizes["id"]
        out = {}
        for data in arrange(found, self.parts, self.window).data:
            array = np.full((size, n), np.nan)
            array[:, data.rows] = data.loglik(given)
            out[data.part.name] = (("sample", "id"), array, {"units": "1"})
        made = xr.Dataset(out, coords={"id": found["id"].values})
        return made if drawn else made.isel(sample=0)

    def bayes(
        self,
        predictors: xr.Dataset,
        *,
        uncertainty: Uncertainty = "median",
        imputations: int = 20,
        draws: int = 1000,
        tune: int = 1000,
        chains: int = 4,
        cores: int | None = None,
        seed: int = 1,
        target_accept: float = 0.9,
    ) -> CrsResult:
        """Fit the layer to outcomes by Hamiltonian Monte Carlo.

        Parameters
        ----------
        predictors : xr.Dataset
            From :meth:`predictors`, with outcomes.
        uncertainty : {"median", "imputation"}
            What is done with draws of courses. ``"median"``: each predictor at its median over
            draws, as if known. ``"imputation"``: one fit per drawn course, all draws together.
        imputations : int
            Drawn courses used, evenly spread.
        draws, tune, chains : int
            Draws kept and warm-up draws per chain, and number of chains, of each fit.
        cores : int, optional
            Chains run at the same time; by default as many as there are processors.
        seed : int
            The same seed, versions and machine give the same draws.
        target_accept : float
            Higher means smaller steps.

        Returns
        -------
        CrsResult

        Raises
        ------
        DataError
            If outcomes are missing or contradict themselves, or a part has no patient.
        FitError
            If the sampler stops.

        Warns
        -----
        FitWarning
            Where outcomes are completely separated or a grade has no patient, so that priors
            decide.

        Notes
        -----
        Imputation cuts the way back: CRS outcomes do not revise the courses. That is right if
        the courses come from a fit that did not see CRS, and then the intervals include the
        uncertainty of the courses; the plug-in's do not.
        """
        from cart_pkpd._crs.result import CrsResult
        from cart_pkpd._crs.sampling import provenance, sample_all

        found = _checked(predictors, self)
        one_of(uncertainty, ("median", "imputation"), "uncertainty", error=ModelError)
        several = self._courses_of(found, uncertainty, positive_int(imputations, "imputations"))
        settings = {
            "draws": positive_int(draws, "draws"),
            "tune": positive_int(tune, "tune"),
            "chains": positive_int(chains, "chains"),
            "cores": None if cores is None else positive_int(cores, "cores"),
            "target_accept": probability(target_accept, "target_accept"),
        }
        first = several[0]
        for sentence in first.warnings:
            warnings.warn(f"{sentence}", FitWarning, stacklevel=2)
        densities = [LayerDensity(self.quantities, a.data) for a in several]
        posterior, stats, verdict = sample_all(densities, seed=operator.index(seed), **settings)
        tree = {"posterior": posterior, "sample_stats": stats, "predictors": found}
        treated = (
            "one course per patient" if "sample" not in found.dims
            else "median over draws of courses" if uncertainty == "median"
            else f"{len(several)} imputed courses"
        )  # fmt: skip
        return CrsResult(
            layer=self,
            tree=xr.DataTree.from_dict(tree),
            verdict=verdict,
            notes=(f"courses: {treated}.", *first.notes),
            provenance=provenance(seed=seed, uncertainty=uncertainty, courses=treated, **settings),
        )

    def _courses_of(self, found: xr.Dataset, uncertainty: str, count: int) -> list[Arranged]:
        if uncertainty == "median" or "sample" not in found.dims:
            return [arrange(at_median(found), self.parts, self.window)]
        m = found.sizes["sample"]
        picked = np.unique(np.linspace(0, m - 1, min(count, m)).round().astype(int))
        return [arrange(found.isel(sample=int(i)), self.parts, self.window) for i in picked]

    def maximum_likelihood(self, predictors: xr.Dataset, *, prob: float = 0.95) -> pd.DataFrame:
        """Return maximum-likelihood estimates with Wald intervals, to check a fit without priors.

        Parameters
        ----------
        predictors : xr.Dataset
            From :meth:`predictors`, with outcomes; draws of courses enter by their median.
        prob : float
            Level of the intervals, taken on the log scale for positive quantities.

        Returns
        -------
        pandas.DataFrame
            Indexed by quantity: label, unit, part, estimate, se_free (standard error, of the ln
            where positive), lower, upper, loglik (of the part), reason. Where the likelihood has
            no maximum, NaN and the reason.
        """
        found = at_median(_checked(predictors, self))
        return maximum_likelihood(arrange(found, self.parts, self.window), prob)

    def __str__(self) -> str:
        said = [
            f"{p.name} on {', '.join(t.name for t in p.terms) or 'nothing'}" for p in self.parts
        ]
        return "; ".join(said)


def _checked(predictors: xr.Dataset, layer: Layer) -> xr.Dataset:
    """Refuse courses or trials where predictors are meant, and those of another layer."""
    if "crs_predictors" not in predictors.attrs:
        raise DataError(
            "these are no predictors; make them first: layer.predictors(courses, trial)."
        )
    absent = [t.name for t in layer.terms if t.name not in predictors]
    window = (predictors.attrs["window_start"], predictors.attrs["window_end"])
    if absent or window != layer.window:
        what = f"the term {absent[0]!r} is missing" if absent else "the window differs"
        raise DataError(
            f"these predictors were made by another layer ({what}); make them anew with "
            "layer.predictors(courses, trial)."
        )
    return predictors
