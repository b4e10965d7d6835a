"""Accelerated failure time by maximum likelihood, and by Bayes with weakly informative priors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from cart_pkpd._core import display
from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import as_seed, one_of, positive_int, probability, shown
from cart_pkpd._crs.arrange import Arranged
from cart_pkpd._crs.density import LayerDensity
from cart_pkpd._crs.maximum import maximum_likelihood
from cart_pkpd._crs.parts import Quantity
from cart_pkpd._crs.result import changes
from cart_pkpd._crs.terms import Term
from cart_pkpd._endpoints import posteriors
from cart_pkpd._endpoints.cox import complete, ratio_table
from cart_pkpd._endpoints.groups import Patients, per_patient
from cart_pkpd._endpoints.parametric import (
    DISTRIBUTIONS,
    MEDIAN_PRIOR,
    SCALE_PRIOR,
    Distribution,
    Survival,
    SurvivalData,
)
from cart_pkpd._endpoints.predictors import Given, beside, columns_of, listed_of
from cart_pkpd._fit.sampled import Sampled
from cart_pkpd._stats.priors import Prior

if TYPE_CHECKING:
    pass

Floats = NDArray[np.float64]
Ratio = Literal["time", "hazard"]
_PER_PATIENT = {"chain", "draw", "id"}
_DOUBT = "not_converged"


@dataclass(frozen=True, eq=False)
class Aft:
    """A parametric regression of survival by maximum likelihood.

    Attributes
    ----------
    part : Survival
        Distribution and terms.
    table : DataFrame
        Indexed by quantity: label, unit, estimate, se_free (standard error, of the ln where
        positive), lower, upper (95 %), loglik, reason.
    n, events : int
    notes : tuple of str
    """

    part: Survival
    table: pd.DataFrame
    n: int
    events: int
    notes: tuple[str, ...]

    @property
    def aic(self) -> float:
        """Akaike's information criterion: −2 log L + 2 × number of quantities."""
        return float(-2 * self.table["loglik"].iloc[0] + 2 * len(self.table))

    def __repr__(self) -> str:
        kind = self.part.distribution
        return f"Aft: {kind} regression of {self.n} patients, {self.events} events."

    def _repr_html_(self) -> str:
        said = f"{self.part.distribution}; {self.n} patients, {self.events} events."
        return display.block("Survival regression.", said, self.table, notes=self.notes)

    def ratios(self, prob: float = 0.95) -> pd.DataFrame:
        """Return time ratios, per doubling where the scale is log.

        Returns
        -------
        DataFrame
            As ``Cox.ratios``: above 1, the event comes later.
        """
        slopes = self.table.loc[[f"survival_{t.name}" for t in self.part.terms]]
        z = slopes["estimate"] / slopes["se_free"]
        held = pd.DataFrame(
            {"term": [t.name for t in self.part.terms], "estimate": slopes["estimate"].to_numpy(),
             "se": slopes["se_free"].to_numpy(), "p_value": 2 * norm.sf(np.abs(z)),
             "reason": slopes["reason"].to_numpy()}
        )  # fmt: skip
        return ratio_table(self.part.terms, held, "time ratio", prob)


def aft(
    tte: pd.DataFrame,
    predictors: Sequence[Given] | Given = (),
    *,
    patients: Patients | None = None,
    distribution: Distribution = "weibull",
) -> Aft:
    """Fit an accelerated failure time model by maximum likelihood.

    Parameters
    ----------
    tte, predictors, patients
        As for `cox`.
    distribution : {"weibull", "lognormal", "loglogistic", "exponential"}

    Returns
    -------
    Aft

    Raises
    ------
    DataError
        If nobody has an event, or a predictor is unknown.
    """
    one_of(distribution, DISTRIBUTIONS, "distribution")
    rows, terms, x, notes = complete(tte, predictors, patients)
    part = Survival(terms, distribution)
    data = _data(part, rows, x)
    table = maximum_likelihood(_arranged(data, notes), 0.95)
    return Aft(part, table, len(rows), int(data.event.sum()), notes)


def _data(part: Survival, rows: pd.DataFrame, x: Floats) -> SurvivalData:
    return SurvivalData(
        part, np.arange(len(rows)), x, rows["time"].to_numpy(float), rows["event"].to_numpy(bool)
    )


def _arranged(data: SurvivalData, notes: tuple[str, ...]) -> Arranged:
    return Arranged(cast(Any, (data,)), notes, ())


@dataclass(frozen=True, eq=False, kw_only=True)
class SurvivalFit(Sampled):
    """A parametric survival model fitted by Bayes.

    Attributes
    ----------
    part : Survival
    tree : xr.DataTree
        ``posterior`` and ``sample_stats`` (dims chain, draw; coordinate ``imputation`` where a
        predictor had draws), ``patients`` (what was fitted, over id).
    verdict : Verdict
        Convergence; of imputations, that of the worst.
    endpoint : str
    notes : tuple of str
    provenance : mapping
        Settings, versions, seed.
    """

    part: Survival
    endpoint: str

    @property
    def patients(self) -> xr.Dataset:
        """Patients that were fitted: ``time`` [day], ``event`` and predictors, over id."""
        return self.tree["patients"].to_dataset()

    def table(self, prob: float = 0.9) -> pd.DataFrame:
        """Return every quantity with prior and posterior: median, lower, upper, rhat, ess_bulk."""
        return posteriors.quantities(self.part.quantities, self.posterior, prob)

    def ratios(self, prob: float = 0.9, *, kind: Ratio = "hazard") -> pd.DataFrame:
        """Return hazard or time ratios with equal-tailed intervals.

        Parameters
        ----------
        prob : float
        kind : {"hazard", "time"}
            Hazard ratios exist for Weibull and exponential times only, where they are the time
            ratio to the power −1/σ.

        Returns
        -------
        DataFrame
            ``term``, ``label``, ``change``, ``kind``, ``estimate`` (median), ``lower``, ``upper``,
            ``p_above_1``.
        """
        one_of(kind, ("hazard", "time"), "kind of ratio")
        if kind == "hazard" and not self.part.proportional:
            raise DataError(
                f"{self.part.distribution} times have no constant hazard ratio; ask for "
                "kind='time', or fit distribution='weibull'."
            )
        return pd.DataFrame([r for q in self.part.quantities if q.term is not None
                             for r in self._ratios(q, kind, prob)])  # fmt: skip

    def _ratios(self, q: Quantity, kind: Ratio, prob: float) -> list[dict[str, Any]]:
        draws = self.posterior[q.name].to_numpy()
        if kind == "hazard":
            scale = self.posterior.get("survival_scale")
            draws = -draws / (1.0 if scale is None else scale.to_numpy())
        term = q.term
        assert term is not None
        return [posteriors.ratio(term.name, term.quantity, change, draws, prob, kind)
                for change in changes(term)]  # fmt: skip

    def survival(
        self, days: ArrayLike, patients: Patients | None = None, *, prob: float = 0.9
    ) -> xr.Dataset:
        """Return predicted survival of patients, and of all together.

        Parameters
        ----------
        days : array_like
            Above 0. [day]
        patients : xr.Dataset or DataFrame, optional
            With every predictor; those that were fitted by default.
        prob : float
            Level of the equal-tailed intervals.

        Returns
        -------
        xr.Dataset
            ``survival`` (id, day, interval) and ``population`` (day, interval): the mean over the
            patients, with interval ``mean``, ``lower``, ``upper``.
        """
        found = self.patients if patients is None else per_patient(patients)
        x = _means(self.part, found)
        time = np.atleast_1d(np.asarray(days, dtype=float))
        values = _draws(self.posterior)
        alive = np.exp(self.part.log_survival(values, x, time))
        ids = found["id"].values
        return posteriors.predicted(alive, ids, time, prob, endpoint=self.endpoint)

    def log_likelihood(self) -> xr.DataArray:
        """Return the log-likelihood of every patient at every draw, dims sample, id."""
        held = self.patients
        data = SurvivalData(
            self.part, np.arange(held.sizes["id"]), _means(self.part, held), held["time"].values,
            held["event"].values.astype(bool),
        )  # fmt: skip
        return xr.DataArray(
            data.loglik(_draws(self.posterior)), dims=("sample", "id"), coords={"id": held["id"]}
        )

    def _repr_html_(self) -> str:
        said = f"{self.part.distribution} on {self.patients.sizes['id']} patients."
        text = self.verdict.sentence
        return display.block("SurvivalFit.", text, self.table(), notes=[said, *self.notes])

    def __repr__(self) -> str:
        n = self.patients.sizes["id"]
        return f"SurvivalFit: {self.part.distribution} on {n} patients.\n{self.verdict.sentence}"


def _draws(posterior: xr.Dataset) -> dict[str, Floats]:
    return {str(k): v.to_numpy().ravel() for k, v in posterior.data_vars.items()}


def _means(part: Survival, found: xr.Dataset) -> Floats:
    """Return the columns of the terms, at the median where a predictor has draws."""
    if "sample" in found.dims:
        found = found.median("sample", keep_attrs=True)
    return columns_of(part.terms, found)


def survival_bayes(
    tte: pd.DataFrame,
    predictors: Sequence[Given] | Given = (),
    *,
    patients: Patients | None = None,
    carried: xr.DataArray | None = None,
    imputations: int = 20,
    distribution: Distribution = "weibull",
    median: Prior = MEDIAN_PRIOR,
    scale: Prior = SCALE_PRIOR,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    cores: int | None = None,
    seed: int = 1,
    target_accept: float = 0.9,
) -> SurvivalFit:
    """Fit a parametric survival model by Hamiltonian Monte Carlo.

    Parameters
    ----------
    tte, predictors, patients
        As for `cox`; each term carries the prior of its coefficient, by default Normal(0, 1) per
        factor e.
    carried : xr.DataArray, optional
        A predictor with draws from an earlier fit, such as the growth rate of each patient's
        tumour (`carry`): dims ``sample``, ``id``, and a name. It enters as ln over its geometric
        mean. Each imputation is one draw.
    imputations : int
        Draws used of `carried`, evenly spread.
    distribution : {"weibull", "lognormal", "loglogistic", "exponential"}
    median, scale : Prior
        Of the median time at the reference [day] and of σ.
    draws, tune, chains, cores, seed, target_accept
        As for ``crs.Layer.bayes``.

    Returns
    -------
    SurvivalFit

    Raises
    ------
    DataError
        If a predictor is unknown, or nobody has an event.

    Notes
    -----
    With `carried` the joint model is fitted in two stages: the tumours' fit did not see survival,
    so its draws are not revised by it; all draws together carry the uncertainty of the growth
    rate. A patient who dies early has few scans, so that the growth rate of the shortest survivors
    is least certain and most shrunken: the coefficient is then somewhat too small.

    References
    ----------
    .. [1] Stein et al., Clin Cancer Res 17:907 (2011), :doi:`10.1158/1078-0432.CCR-10-1762`.
    """
    from cart_pkpd._crs.sampling import provenance, sample_all

    table: Patients = tte if patients is None else patients
    if carried is None:
        rows, terms, x, notes = complete(tte, predictors, table)
        several = [x]
    else:
        draws_of = _checked(carried)
        table = _with_carried(tte, table, draws_of)
        rows, terms, notes, several = _arrange(tte, predictors, table, draws_of, imputations)
        if _DOUBT in draws_of.attrs:
            notes = (*notes, f"{draws_of.name} comes from a fit that is {_doubt(draws_of)}")
    part = Survival(terms, distribution, median, scale)
    settings = {
        "draws": positive_int(draws, "draws"), "tune": positive_int(tune, "tune"),
        "chains": positive_int(chains, "chains"),
        "cores": None if cores is None else positive_int(cores, "cores"),
        "target_accept": probability(target_accept, "target_accept"),
    }  # fmt: skip
    densities = [
        LayerDensity(part.quantities, cast(Any, (_data(part, rows, columns),)))
        for columns in several
    ]
    posterior, stats, verdict = sample_all(densities, seed=as_seed(seed), **settings)
    events = int(rows["event"].sum())
    if events < 5 * max(len(terms), 1):
        notes = (*notes, f"{events} events for {len(terms)} coefficients: priors weigh heavily.")
    held = _held(rows, terms, table)
    return SurvivalFit(
        part=part,
        tree=xr.DataTree.from_dict(
            {"posterior": posterior, "sample_stats": stats, "patients": held}
        ),
        verdict=verdict,
        endpoint=str(rows["endpoint"].iloc[0]) if "endpoint" in rows else "",
        notes=notes,
        provenance=provenance(seed=seed, imputations=len(several), **settings),
    )


def _doubt(draws: xr.DataArray) -> str:
    said = str(draws.attrs[_DOUBT])
    return said[:1].lower() + said[1:]


def _with_carried(tte: pd.DataFrame, table: Patients, draws: xr.DataArray) -> xr.Dataset:
    """Return the patients' variables with the middle of a carried predictor beside them."""
    found = per_patient(table)
    known = set(draws["id"].values) & set(tte["id"].astype(str))
    found = found.sel(id=[i for i in found["id"].values if i in known])
    middle = draws.median("sample").sel(id=found["id"].values).assign_attrs(draws.attrs)
    return found.assign({str(draws.name): middle})


def _arrange(
    tte: pd.DataFrame,
    predictors: Sequence[Given] | Given,
    table: xr.Dataset,
    draws: xr.DataArray,
    imputations: int,
) -> tuple[pd.DataFrame, tuple[Term, ...], tuple[str, ...], list[Floats]]:
    """Return rows, terms, notes, and the columns of every imputation."""
    known = tte["id"].astype(str).isin(table["id"].values)
    listed = listed_of(predictors)
    rows, terms, x, notes = complete(tte[known], (*listed, str(draws.name)), table)
    out = tte.loc[~known, "id"].astype(str).tolist()
    if out:
        notes = (*notes, f"{len(out)} without {draws.name} left out ({', '.join(out)}).")
    m = draws.sizes["sample"]
    picked = np.unique(np.linspace(0, m - 1, min(imputations, m)).round().astype(int))
    chosen = draws.sel(id=rows["id"].astype(str).tolist())
    several = [
        np.column_stack([x[:, :-1], terms[-1].column(chosen.isel(sample=int(s))).values])
        for s in picked
    ]
    return rows, terms, notes, several


def _checked(carried: xr.DataArray) -> xr.DataArray:
    if not isinstance(carried, xr.DataArray):
        raise DataError(f"carried= must be made with endpoints.carry, not {shown(carried)}.")
    if {"chain", "draw"} <= set(carried.dims):
        carried = carried.stack(sample=("chain", "draw")).reset_index("sample", drop=True)
    if set(carried.dims) != {"sample", "id"} or not carried.name:
        raise DataError(
            "carried= must be named and have dims sample and id; make it with endpoints.carry."
        )
    carried = carried.transpose("sample", "id")
    return carried.assign_coords(id=[str(i) for i in carried["id"].values])


def _held(rows: pd.DataFrame, terms: Sequence[Term], table: Patients) -> xr.Dataset:
    """Return what was fitted: times, events and the variables that the terms read."""
    found = beside(rows["id"].astype(str).tolist(), None, table)
    held = found[[t.source for t in terms]]
    return held.assign(
        time=("id", rows["time"].to_numpy(float), {"units": "day"}),
        event=("id", rows["event"].to_numpy(float), {"units": "1"}),
    )


def carry(result: Any, parameter: str, *, n_draws: int = 200) -> xr.DataArray:
    """Return each patient's draws of a parameter of a fit, for ``survival_bayes(carried=...)``.

    Parameters
    ----------
    result : FitResult or xr.Dataset
        From ``fit.bayes`` of a tumour-size model, or its posterior (dims chain, draw, id).
    parameter : str
        Individual parameter that is positive, such as the growth rate ``"g"``.
    n_draws : int
        Draws kept, evenly spread.

    Returns
    -------
    xr.DataArray
        Dims sample, id.

    Raises
    ------
    DataError
        If the fit has no such parameter per patient, or it does not vary between them.
    """
    posterior = result if isinstance(result, xr.Dataset) else getattr(result, "posterior", None)
    if not isinstance(posterior, xr.Dataset):
        raise DataError(f"give a fit of fit.bayes, or its posterior, not {shown(result)}.")
    positive_int(n_draws, "n_draws")
    known = [str(v) for v in posterior.data_vars if set(posterior[v].dims) == _PER_PATIENT]
    name = parameter if parameter in known else f"{parameter}_i"
    if name not in known:
        raise DataError(
            f"the fit has no parameter {parameter!r} per patient. It has: {', '.join(known)}."
        )
    drawn = posterior[name].stack(sample=("chain", "draw")).reset_index("sample", drop=True)
    drawn = drawn.transpose("sample", "id")
    if drawn.sizes["id"] > 1 and not np.ptp(drawn.values, axis=1).any():
        raise DataError(
            f"{parameter} is the same for every patient in this fit, so it tells nothing of their "
            f"survival; fit with fit.population(iiv=[{parameter!r}, ...])."
        )
    m = drawn.sizes["sample"]
    picked = np.unique(np.linspace(0, m - 1, min(n_draws, m)).round().astype(int))
    verdict = getattr(result, "verdict", None)
    if verdict is not None and not verdict.ok:
        drawn.attrs[_DOUBT] = verdict.sentence
    return drawn.isel(sample=picked).rename(parameter)
