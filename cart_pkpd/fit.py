"""Fit models to a trial: patients by least squares, populations by likelihood or Bayes.

>>> from cart_pkpd import datasets, fit, models
>>> trial = datasets.load("fast01")
>>> pop = fit.population(iiv=["cmax", "tmax", "alpha"], error="lognormal")
>>> result = fit.bayes(models.get("stein2019"), trial, pop, endpoint="transgene", seed=1)
>>> result.verdict.sentence
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from cart_pkpd import models
from cart_pkpd._core.errors import FitError, FitWarning, ModelError
from cart_pkpd._core.progress import listener
from cart_pkpd._core.validate import as_path, as_seed, one_of, positive_int, probability
from cart_pkpd._stats.agreement import check_inputs as _check_inputs
from cart_pkpd._stats.covariates import covariate as covariate
from cart_pkpd._stats.design import Design
from cart_pkpd._stats.design import design_for as _design
from cart_pkpd._stats.elicit import Elicited as Elicited
from cart_pkpd._stats.elicit import prior_from_quantiles as prior_from_quantiles
from cart_pkpd._stats.left_out import warnings as _left_out
from cart_pkpd._stats.population import Population as Population
from cart_pkpd._stats.population import Structure as Structure
from cart_pkpd._stats.population import as_population as _as_population
from cart_pkpd._stats.population import population as population
from cart_pkpd._stats.population import resolve as _resolve
from cart_pkpd._stats.priors import LKJ as LKJ
from cart_pkpd._stats.priors import Beta as Beta
from cart_pkpd._stats.priors import Cauchy as Cauchy
from cart_pkpd._stats.priors import Exponential as Exponential
from cart_pkpd._stats.priors import Gamma as Gamma
from cart_pkpd._stats.priors import HalfCauchy as HalfCauchy
from cart_pkpd._stats.priors import HalfNormal as HalfNormal
from cart_pkpd._stats.priors import LogitNormal as LogitNormal
from cart_pkpd._stats.priors import LogNormal as LogNormal
from cart_pkpd._stats.priors import Normal as Normal
from cart_pkpd._stats.priors import StudentT as StudentT
from cart_pkpd._stats.priors import TruncatedNormal as TruncatedNormal
from cart_pkpd._stats.priors import Uniform as Uniform

if TYPE_CHECKING:
    import pandas as pd

    from cart_pkpd._fit.laplace_result import LaplaceResult
    from cart_pkpd._fit.result import FitResult
    from cart_pkpd._fit.sample import OnProgress, Progress

__all__ = [
    "LKJ", "Beta", "Cauchy", "Elicited", "Exponential", "FitResult", "Gamma", "HalfCauchy",
    "HalfNormal", "LaplaceResult", "LogNormal", "LogitNormal", "Normal", "Population",
    "Progress", "Structure", "StudentT", "TruncatedNormal", "Uniform", "bayes", "covariate",
    "laplace", "least_squares", "load", "population", "prior_from_quantiles", "priors",
    "pymc_model", "structure", "two_stage",
]  # fmt: skip
_ALIASES = {"focei": "foce"}
_RESULTS = {  # loaded when asked for: the sampler takes a second to import
    "FitResult": "cart_pkpd._fit.result",
    "LaplaceResult": "cart_pkpd._fit.laplace_result",
    "Progress": "cart_pkpd._fit.sample",
}


def __getattr__(name: str) -> Any:
    if name in _RESULTS:
        return getattr(importlib.import_module(_RESULTS[name]), name)
    raise AttributeError(f"module 'cart_pkpd.fit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)  # what a notebook offers after a dot


def bayes(
    model: models.Model | str,
    trial: xr.Dataset,
    population: Population,
    *,
    endpoint: str | Sequence[str] = "transgene",
    given: FitResult | LaplaceResult | None = None,
    given_at: str = "median",
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    cores: int | None = None,
    seed: int = 1,
    target_accept: float = 0.9,
    threads: int = 1,
    progress: OnProgress | bool | None = None,
    label: str | None = None,
) -> FitResult:
    """Fit a model to all patients at once by Hamiltonian Monte Carlo.

    Parameters
    ----------
    model : Model or str
        A declared model, or the name of a registered one.
    trial : xr.Dataset
        From ``data.read_table``.
    population : Population
        From :func:`population`.
    endpoint : str or sequence of str
        What to fit: one measure, or several if the model predicts them.
    given : FitResult or LaplaceResult, optional
        An earlier fit of the cells alone, whose parameters are then known for each patient, as
        the individual PK parameters (IPP) of a sequential analysis (Zhang, Beal & Sheiner 2003,
        J Pharmacokinet Pharmacodyn 30:387).
    given_at : str
        ``"median"`` or ``"mean"`` of its draws; a fit of :func:`laplace` gives its modes.
    draws, tune, chains : int
        Draws kept and warm-up draws per chain, and number of chains.
    cores : int, optional
        Chains run at the same time; by default as many as there are processors.
    seed : int
        The same seed, versions and machine give the same draws, whatever `cores` and `threads` are.
    target_accept : float
        Higher means smaller steps, for difficult posteriors.
    threads : int
        Patients whose equations are solved at the same time within each chain, for large
        trials on machines with more cores than chains. A part of such code cannot be kept on disk
        and is compiled in every process (some seconds).
    progress : callable or bool, optional
        True for a bar, in a notebook or a terminal; False for none; by default a notebook shows
        one. A function is called a few times a second, on another thread, with a ``Progress``;
        an error that it raises stops the sampler and is raised here.
    label : str, optional
        Name of the fit in tables and figures; the model's name by default.

    Returns
    -------
    FitResult

    Raises
    ------
    FitError
        If model, population and data do not fit together, or the sampler stops.
    DataError
        If the trial has no such endpoint.

    Notes
    -----
    Records below the LLOQ, above the ULOQ or within an interval enter with the probability
    of lying there (M3). Equations are solved with the settings of ``model.with_solver``.
    Sampling is by nutpie's NUTS on the model's free (log, logit) scale.
    """
    # The sampler takes a second to import; naming a population or reading a table must not wait.
    from cart_pkpd._fit.bayes import fit_structure

    chains, seed = _several(chains), as_seed(seed)
    joined = _structure(model, trial, population, endpoint, given, given_at)
    return fit_structure(
        joined,
        label=label or joined.model.name or type(joined.model).__name__,
        source=_source(trial, given, given_at),
        on_progress=listener(progress, label or joined.model.name or "fit"),
        draws=positive_int(draws, "draws"),
        tune=positive_int(tune, "tune"),
        chains=chains,
        cores=None if cores is None else positive_int(cores, "cores"),
        seed=seed,
        target_accept=probability(target_accept, "target_accept"),
        threads=positive_int(threads, "threads"),
    )


def laplace(
    model: models.Model | str,
    trial: xr.Dataset,
    population: Population,
    *,
    endpoint: str | Sequence[str] = "transgene",
    given: FitResult | LaplaceResult | None = None,
    given_at: str = "median",
    method: str = "foce",
    starts: int = 2,
    seed: int = 1,
    max_iterations: int = 200,
    initial: LaplaceResult | None = None,
    label: str | None = None,
) -> LaplaceResult:
    """Fit a model to all patients at once by maximum marginal likelihood.

    Parameters
    ----------
    model : Model or str
        A declared model, or the name of a registered one.
    trial : xr.Dataset
        From ``data.read_table``.
    population : Population
        From :func:`population`; its priors are not used.
    endpoint : str or sequence of str
        What to fit: one measure, or several if the model predicts them.
    given, given_at
        As for :func:`bayes`.
    method : str
        How curved each patient's likelihood is about the mode: ``"foce"`` (first-order conditional
        estimation with interaction, ``"focei"`` too) takes the information expected from the
        slopes of the predictions, and for censored records their own curvature; ``"laplace"`` the
        second derivatives, which models with a varying switch (a sudden end of expansion) do not
        have.
    starts : int
        Searches: one begins where the data suggest, one at the model's own values, others near
        the first.
    seed : int
        Of those others.
    max_iterations : int
        Most steps of each search.
    initial : LaplaceResult, optional
        A fit of a similar population, at whose estimates the first search begins, before those
        above; with ``starts=1`` it is the only one.
    label : str, optional
        Name of the fit in tables and figures; the model's name by default.

    Returns
    -------
    LaplaceResult

    Raises
    ------
    FitError
        If model, population and data do not fit together, for a mixture with non-expanders, and
        for second derivatives that do not exist.
    DataError
        If the trial has no such endpoint.

    Notes
    -----
    Deviations are integrated out by Laplace's method about each patient's mode (Wolfinger 1993,
    Biometrika 80:791; Wang 2007, J Pharmacokinet Pharmacodyn 34:575). Slopes are the solver's
    own, second derivatives their differences. Equations are solved to a relative tolerance of
    1e-8, whatever ``model.with_solver`` says.
    """
    from cart_pkpd._fit.laplace import fit_structure
    from cart_pkpd._fit.marginal import METHODS

    method = method.lower() if isinstance(method, str) else method
    method = one_of(_ALIASES.get(method, method), METHODS, "method", error=FitError)
    joined = _structure(model, trial, population, endpoint, given, given_at)
    return fit_structure(
        joined,
        label=label or joined.model.name or type(joined.model).__name__,
        source=_source(trial, given, given_at),
        method=method,
        starts=positive_int(starts, "starts"),
        seed=as_seed(seed),
        iterations=positive_int(max_iterations, "max_iterations"),
        initial=None if initial is None else _coordinates(initial),
    )


def least_squares(
    model: models.Model | str,
    trial: xr.Dataset,
    *,
    endpoint: str | Sequence[str] = "transgene",
    method: str = "individual",
    error: str | None = None,
    errors: Mapping[str, str] | None = None,
    estimate: Sequence[str] | None = None,
    interval: str = "wald",
) -> xr.Dataset:
    """Fit a model to each patient, or to all records as one patient, by least squares.

    Censored records count by their probability (M3).

    Parameters
    ----------
    model : Model or str
        A declared model, or the name of a registered one. Its typical values are the starting
        values where the data suggest none, and those of parameters that are not estimated.
    trial : xr.Dataset
        From ``data.read_table`` or ``datasets.load``.
    endpoint : str or sequence of str
        What was measured; several share the parameters and scatter on their own.
    method : {"individual", "pooled"}
        One fit per patient, or one for all records together (naive pooled).
    error : str
        Residual error, one of those of :func:`cart_pkpd.fit.population`; log-normal by default.
    errors : mapping of str to str
        The same by endpoint.
    estimate : sequence of str, optional
        Parameters to estimate; by default all that are not fixed.
    interval : {"wald", "profile"}
        Limits from the standard error, or from the profile likelihood: where the data object to
        the parameter, however the others are chosen. Profiles cost some tens of searches per
        parameter, and show what standard errors hide where few records speak.

    Returns
    -------
    xr.Dataset
        Dims id (the label ``"pooled"`` for the pooled method) and parameter:

        - ``estimate``, ``stderr`` (delta method), ``lower``, ``upper`` (95 %; a profile limit at
          the support's edge, 0 or infinity, says that the data set none) [unit of the parameter]
        - per id ``sigma`` (first parameter of the error; with a dim ``measure`` if there are
          several endpoints), ``n_obs``, ``n_censored``, ``loglik``, ``aic``, ``status`` (``"ok"``,
          or why there is no estimate or no trust in it)
        - ``stderr_robust``, of the pooled method only: it allows for the records of a patient
          being alike, which ``stderr`` does not (sandwich by patient; NaN for one patient, or
          where all are the same)

        Records that lie on the curve leave no scatter: standard errors and limits are NaN then,
        and ``status`` says so.

        Parameters held at their typical value are not listed.

    Raises
    ------
    FitError
        For unknown or fixed names, other units than the data's, or zeros without a logarithm.

    Examples
    --------
    >>> found = fit.least_squares("stein2019", trial, estimate=["cmax", "tmax", "alpha"])
    >>> found["estimate"].sel(parameter="cmax").to_series()
    """
    from cart_pkpd._fit.least_squares import least_squares as run

    chosen = _chosen(model)
    return run(
        chosen, _alone(chosen, trial, endpoint), method=method, error=error, errors=errors,
        estimate=estimate, interval=interval,
    )  # fmt: skip


def priors(
    model: models.Model | str,
    trial: xr.Dataset,
    population: Population,
    *,
    endpoint: str | Sequence[str] = "transgene",
    prob: float = 0.9,
) -> pd.DataFrame:
    """Return every prior of a fit before it is made, with where it is from.

    Parameters
    ----------
    model, trial, population, endpoint
        As for :func:`bayes`.
    prob : float
        Probability of the equal-tailed intervals.

    Returns
    -------
    pandas.DataFrame
        Indexed by quantity: label, unit, role, prior (the distribution), median, lower, upper,
        origin (``published``, ``transcribed``, ``computed``, ``given``, ``assumed``, ``scaled by
        the data``, ``changed by the user`` or ``held fixed``) and source (in words: publication
        and page, what the width is, what it was changed from); ``attrs["prob"]``. Parameters that
        are held have no interval. Also of a finished fit: ``result.priors()``.

    Raises
    ------
    FitError
        As for :func:`bayes`.
    """
    from cart_pkpd._stats.prior_table import prior_table

    return prior_table(structure(model, trial, population, endpoint=endpoint), prob)


def structure(
    model: models.Model | str,
    trial: xr.Dataset,
    population: Population,
    *,
    endpoint: str | Sequence[str] = "transgene",
    given: FitResult | LaplaceResult | None = None,
    given_at: str = "median",
) -> Structure:
    """Return model, population and data joined: what :func:`bayes` would sample.

    Parameters
    ----------
    model, trial, population, endpoint, given, given_at
        As for :func:`bayes`.

    Returns
    -------
    Structure
        Its ``quantities`` name everything that would be estimated, with priors.

    Raises
    ------
    FitError
        As for :func:`bayes`.
    """
    chosen, population = _chosen(model), _as_population(population)
    design = _design(chosen, trial, endpoint, iov=bool(population.iov))
    if given is not None:
        from cart_pkpd._fit.fitted import as_fit
        from cart_pkpd._fit.given import with_given

        given = as_fit(given, "given")
        chosen, design = with_given(chosen, design, population, given, given_at)
    return _resolve(chosen, population, design)


def two_stage(
    model: models.Model | str,
    trial: xr.Dataset,
    *,
    endpoint: str | Sequence[str] = "transgene",
    method: str = "global",
    error: str | None = None,
    errors: Mapping[str, str] | None = None,
    estimate: Sequence[str] | None = None,
) -> xr.Dataset:
    """Fit each patient by least squares, then describe the patients by a distribution.

    The values of the patients are normal on the free scale of each parameter.

    Parameters
    ----------
    model, trial, endpoint
        As for :func:`least_squares`.
    method : {"global", "standard"}
        The global method weighs each patient by the information in the records and takes sampling
        error out of the variance between patients; a patient whose records tell some parameters
        only counts for those. The standard method takes mean and covariance of the estimates of
        the patients for whom all are determined; it overstates the variance between patients.
    error, errors, estimate
        As for :func:`least_squares`.

    Returns
    -------
    xr.Dataset
        Dims parameter, other and id: ``typical`` (natural scale) with ``stderr``, ``lower`` and
        ``upper`` (95 %) [unit of the parameter], ``omega`` (SD between patients, free scale),
        ``correlation``, ``individual`` (expected of each patient given all; natural scale),
        ``used`` and ``status`` per id.

    Raises
    ------
    FitError
        As for :func:`least_squares`, and if fewer patients than two more than
        there are parameters can be used.

    Notes
    -----
    Global: Steimer, Mallet, Golmard & Boisvieux (1984, Drug Metab Rev 15:265), by the EM
    algorithm; it maximises the likelihood of the estimates if each is normal about its patient's
    value with the inverse information as covariance. Neither method knows a patient without
    enough records; `fit.laplace` and `fit.bayes` do.
    """
    from cart_pkpd._fit.two_stage import two_stage as run

    chosen = _chosen(model)
    return run(
        chosen, _alone(chosen, trial, endpoint), method=method, error=error, errors=errors,
        estimate=estimate,
    )  # fmt: skip


def pymc_model(
    model: models.Model | str,
    trial: xr.Dataset,
    population: Population,
    *,
    endpoint: str | Sequence[str] = "transgene",
    centred: Sequence[str] = (),
) -> Any:
    """Return the PyMC model of a fit, for samplers and extensions of one's own.

    Parameters
    ----------
    model, trial, population, endpoint
        As for :func:`bayes`.
    centred : sequence of str
        Varying parameters that are sampled themselves instead of as standardised deviations.

    Returns
    -------
    pymc.Model
        The posterior that :func:`bayes` samples; the likelihood is one operation.

    Raises
    ------
    FitError
        As for :func:`bayes`.
    """
    from cart_pkpd._fit.pymc_model import build

    return build(structure(model, trial, population, endpoint=endpoint), centred)


def load(path: str | Path, model: models.Model | None = None) -> FitResult | LaplaceResult:
    """Read a fit written by the ``save`` of its result.

    Parameters
    ----------
    path : str or Path
        The netCDF file.
    model : Model, optional
        Needed only when the model class is your own and not registered.

    Returns
    -------
    FitResult or LaplaceResult
        As it was saved, without refitting.

    Raises
    ------
    FitError
        If the file is not a saved fit or its model is unknown.
    """
    from cart_pkpd._fit.files import load as read

    return read(as_path(path, "a saved fit"), model)


def _structure(
    model: models.Model | str,
    trial: xr.Dataset,
    population: Population,
    endpoint: str | Sequence[str],
    given: FitResult | LaplaceResult | None,
    given_at: str,
) -> Any:
    """Return what is to be fitted; warn of inputs without any event."""
    joined = structure(model, trial, population, endpoint=endpoint, given=given, given_at=given_at)
    chosen = _chosen(model)
    said = (*_check_inputs(chosen, joined.design), *_left_out(chosen, joined.design))
    for sentence in said:
        warnings.warn(sentence, FitWarning, stacklevel=3)
    return joined


def _alone(model: models.Model, trial: xr.Dataset, endpoint: str | Sequence[str]) -> Design:
    """Return the records of a fit without a population; warn of those it cannot use."""
    design = _design(model, trial, endpoint)
    for sentence in _left_out(model, design, remedy=""):
        warnings.warn(sentence, FitWarning, stacklevel=3)
    return design


def _source(
    trial: xr.Dataset, given: FitResult | LaplaceResult | None, given_at: str
) -> dict[str, Any]:
    """Return where data and known parameters of a fit come from."""
    found = {k: trial.attrs[k] for k in ("source", "source_sha256") if k in trial.attrs}
    if given is None:
        return found
    earlier = {"label": given.label, "at": given_at}
    earlier |= {k: v for k, v in given.provenance.items() if k in ("seed", "source_sha256")}
    return {**found, "given": earlier, "sequential": "IPP"}


def _coordinates(initial: Any) -> dict[str, float]:
    """Return where an earlier fit of the same kind ended."""
    from cart_pkpd._core.validate import shown
    from cart_pkpd._fit.laplace_result import LaplaceResult

    if isinstance(initial, LaplaceResult):
        return initial.coordinates
    raise FitError(f"initial: give a fit of fit.laplace, not {shown(initial)}.")


def _several(chains: int) -> int:
    """Return the number of chains; whether draws can be trusted shows between chains only."""
    if positive_int(chains, "chains") < 2:
        raise ValueError(
            "chains must be at least 2: whether a fit has converged is judged by comparing chains."
        )
    return chains


def _chosen(model: models.Model | str) -> models.Model:
    """Return the model that was named or given."""
    if isinstance(model, str):
        return models.get(model)
    if not isinstance(model, models.Model):
        given = f"{model.__name__}()" if isinstance(model, type) else "a model"
        raise ModelError(f"give a model, such as {given}, or the name of one, not {model!r}.")
    return model
