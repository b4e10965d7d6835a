"""Virtual patients and virtual trials: from published parameters, a population, or a fit.

>>> from cart_pkpd import simulate
>>> people = simulate.patients(
...     "effector_memory", 1000, doses=[1e6, 3e6, 1e7], times=[0, 3, 7, 10, 14, 21, 28],
...     error=0.3, lloq=50, dropout=simulate.Dropout(share=0.15, day=28), seed=1,
... )
>>> simulate.summary(people)["dv"].sel(quantile=0.5)

The numbers of a patient follow from the seed and the patient's number alone. They do not depend on
how many patients there are, on chunks, workers or the file that they are written to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import pandas as pd
import xarray as xr

from cart_pkpd._dose.levels import Levels
from cart_pkpd._dose.levels import as_levels as _as_levels
from cart_pkpd._simulate import trial as _trial
from cart_pkpd._simulate.attrition import Dropout as Dropout
from cart_pkpd._simulate.covariates import Categorical as Categorical
from cart_pkpd._simulate.exposures import Exposures as Exposures
from cart_pkpd._simulate.exposures import Risk as Risk
from cart_pkpd._simulate.exposures import exposures_of as _exposures_of
from cart_pkpd._simulate.files import loaded as _loaded
from cart_pkpd._simulate.outcomes import Outcome as Outcome
from cart_pkpd._simulate.plan import plan_of as _plan_of
from cart_pkpd._simulate.run import CHUNK
from cart_pkpd._simulate.run import run as _run
from cart_pkpd._simulate.source import Residual as Residual
from cart_pkpd._simulate.summary import PROBS
from cart_pkpd._simulate.summary import summary as _summary
from cart_pkpd._simulate.visits import Schedule as Schedule
from cart_pkpd._stats.population import Population
from cart_pkpd._stats.priors import LogitNormal as LogitNormal
from cart_pkpd._stats.priors import LogNormal as LogNormal
from cart_pkpd._stats.priors import Normal as Normal
from cart_pkpd._stats.priors import TruncatedNormal as TruncatedNormal
from cart_pkpd._stats.priors import Uniform as Uniform
from cart_pkpd.models import Model

if TYPE_CHECKING:
    from cart_pkpd._fit.laplace_result import LaplaceResult
    from cart_pkpd._fit.result import FitResult
    from cart_pkpd.executor import Executor

__all__ = [
    "Categorical",
    "Dropout",
    "Exposures",
    "LogNormal",
    "LogitNormal",
    "Normal",
    "Outcome",
    "Residual",
    "Risk",
    "Schedule",
    "TruncatedNormal",
    "Uniform",
    "as_trial",
    "by_trial",
    "exposures",
    "load",
    "patients",
    "summary",
    "trial",
    "trials",
]

type Source = Model | str | FitResult | LaplaceResult
type Limits = float | Mapping[str, float] | None

_ONCE = ((0.0, 1.0),)


def patients(
    model: Source,
    n: int,
    *,
    seed: int,
    times: Any = None,
    doses: float | Sequence[float] | Mapping[float, int] | None = None,
    infusions: Sequence[tuple[float, ...]] = _ONCE,
    inputs: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    population: Population | None = None,
    values: Mapping[str, float] | None = None,
    uncertainty: str = "patient",
    trials: int = 1,
    covariates: pd.DataFrame | xr.Dataset | Mapping[str, Any] | None = None,
    correlation: Mapping[tuple[str, str], float] | None = None,
    error: Any = None,
    lloq: Limits = None,
    uloq: Limits = None,
    dropout: Dropout | None = None,
    death: Dropout | None = None,
    follow_up: float | None = None,
    outcomes: Mapping[str, Outcome] | None = None,
    window: tuple[float, float] | None = (0.0, 28.0),
    endpoints: str | Sequence[str] | None = None,
    out: str | PathLike[str] | None = None,
    overwrite: bool = False,
    chunk: int = CHUNK,
    threads: int | None = None,
    executor: str | Executor | None = None,
    jobs: int | None = None,
    scheduler: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """Simulate virtual patients.

    Parameters
    ----------
    model : Model, str, FitResult or LaplaceResult
        Patients of a declared model differ by its published variability (IIV); those of a fit by
        the fitted one, with the uncertainty of all population quantities: the posterior, or the
        asymptotic distribution of a maximum likelihood fit.
    n : int
        Patients (of each trial).
    seed : int
        Source of randomness.
    times : array_like, mapping or Schedule, optional
        Days of the samples, for all endpoints or by endpoint; `Schedule` adds late and missed
        visits. Without times no records are made. [day]
    doses : float, sequence or mapping, optional
        One dose for all; several, given to patients in turn; or the number of patients by dose,
        ``{1e6: 3, 1e7: 6}``. [dose unit of the model]
    infusions : sequence of (day, share) or (day, share, duration)
        How the dose is given: all of it on day 0 by default. [day]
    inputs : mapping of str to sequence of (day, value), optional
        Co-medication of every patient, as for ``model.simulate``.
    population : Population, optional
        From ``fit.population``, in place of the declared variability: correlations, covariate
        effects, non-expanders, residual errors. Numbers that are not declared come from `values`.
    values : mapping of str to float, optional
        Population quantities by name that replace declared or fitted ones: ``cmax``,
        ``omega_cmax``, ``corr_cmax_alpha``, ``beta_cmax_dose_level``, ``sigma_log``.
    uncertainty : {"patient", "trial", "none"}
        Of a fit: each patient, or each trial, has a draw of the population quantities of its own;
        or all have the estimates (posterior medians).
    trials : int
        Replicate trials of `n` patients.
    covariates : DataFrame, Dataset or mapping, optional
        A table with one row per patient, whose rows are drawn with replacement (of a trial
        Dataset, its patient-level variables); or by name a distribution (`LogNormal`, `Normal`,
        `TruncatedNormal`, `Uniform` …), a `Categorical` or a number. ``dose_level`` is there
        already.
    correlation : mapping of (str, str) to float, optional
        Of the normal scores of two covariates given as distributions.
    error : float, Residual, mapping or bool, optional
        Residual error: a number is the SD of ln of a log-normal one. By default that of fit or
        population, and none of a declared model; False for none.
    lloq, uloq : float or mapping, optional
        Limits of quantification, or by endpoint. [unit of the endpoint]
    dropout, death : Dropout, optional
        When patients leave, or die; no records after it.
    follow_up : float, optional
        Last day of contact of those who stay; by default that of the last visit or, without
        records, of the window, and not before the end of an outcome's. [day]
    outcomes : mapping of str to Outcome, optional
        DLT, grade of CRS, response …, by dose or by exposure.
    window : (float, float) or None
        Of the exposure; None leaves it out. [day]
    endpoints : str or sequence of str, optional
        Which of the model's; all by default.
    out : path, optional
        A file ending in ``.nc`` (netCDF) or ``.zarr``, written chunk by chunk, whole or not at
        all; in memory by default.
    overwrite : bool
        Whether a file that is there may be replaced.
    chunk : int
        Patients held and written at a time, rounded up to multiples of 2048. The numbers do not
        depend on it.
    threads : int, optional
        Blocks of 2048 patients worked on at the same time in each process; by default one for each
        processor.
    executor, jobs, scheduler
        Where chunks are simulated, as for ``executor.get``; in this process by default.
    progress : callable, optional
        Called with the number of patients done and of all.

    Returns
    -------
    xr.Dataset
        Dim id: ``dose_level``, covariates, ``individual`` (by parameter, natural scale),
        ``exposure`` (by endpoint and metric: ``cmax``, ``tmax``, the area such as ``auc0_28``; of
        the level without error and without loss of patients), ``last_contact``, ``left``,
        ``status``; ``trial`` and ``draw`` where there are several; of each outcome its grade, its
        ``_day`` and whether it is ``_evaluable``. Dims id, time, endpoint: ``level`` without
        error, ``dv`` (the limit where beyond one, NaN without record) and ``censored`` (a code
        whose meanings are its ``flag_meanings``); ``actual_time`` where visits move. Of a file it
        is read when needed.

    Raises
    ------
    ModelError, DataError, FitError
        For what cannot be simulated: names, numbers, missing doses, covariates or values.
    WriteError
        If the file is there already or cannot be written.

    Notes
    -----
    Areas are Gauss–Lobatto quadratures on pieces of at most a day (a week after day 28) between
    doses and switches of the equations; peaks are found on the same nodes and refined. Correlations
    of covariates are a Gaussian copula. An outcome after the last contact is not seen.

    Examples
    --------
    >>> people = patients("stein2019", 1000, times=[0, 7, 14, 28], error=0.5, lloq=50, seed=1)
    """
    plan = _plan_of(
        model, n, times=times, doses=doses, infusions=infusions, population=population,
        values=values, uncertainty=uncertainty, trials=trials, covariates=covariates,
        correlation=correlation, error=error, lloq=lloq, uloq=uloq, dropout=dropout, death=death,
        follow_up=follow_up, outcomes=outcomes, inputs=inputs, window=window,
        endpoints=endpoints, seed=seed,
    )  # fmt: skip
    return _run(
        plan, chunk=chunk, out=out, overwrite=overwrite, threads=threads, executor=executor,
        jobs=jobs, scheduler=scheduler, progress=progress,
    )  # fmt: skip


def load(path: str | PathLike[str]) -> xr.Dataset:
    """Return virtual patients from a file that :func:`patients` wrote.

    Parameters
    ----------
    path : path
        Ending in ``.nc`` or ``.zarr``.

    Returns
    -------
    xr.Dataset
        As :func:`patients` returned it; it is read when needed. The whole file is looked through
        first, because neither format notices numbers that have changed on the disk.

    Raises
    ------
    DataError
        If there is no such file, or its content is not what was written. A file of a version
        without checksums is read as it is.

    Examples
    --------
    >>> people = load("patients.nc")
    """
    return _loaded(path)


def summary(
    patients: xr.Dataset, by: str | None = "dose_level", probs: Sequence[float] = PROBS
) -> xr.Dataset:
    """Return quantiles of virtual patients by dose and nominal time.

    Parameters
    ----------
    patients : xr.Dataset
        From :func:`patients`, in memory or on disk.
    by : str or None
        A variable with one value per patient; None for all together.
    probs : sequence of float
        Rising probabilities of the quantiles.

    Returns
    -------
    xr.Dataset
        Dims (the variable), quantile, time, endpoint: ``level`` and ``dv``, of the records there
        are, NaN where the quantile is beyond a limit; ``below`` and ``above``, shares of records
        beyond the limits, and ``n_records``; with dim metric: ``exposure``; ``n`` patients.

    Raises
    ------
    DataError
        If there is no such variable, or these are not virtual patients.
    """
    return _summary(patients, by, probs)


def trial(model: Source, n: int, *, seed: int, truth: bool = True, **options: Any) -> xr.Dataset:
    """Simulate one trial in the form of a real one, which all else takes: NCA, fits, doses.

    Parameters
    ----------
    model, n, seed, **options
        As for :func:`patients`, with ``times``.
    truth : bool
        Whether the patients' true parameters are there, as ``true_<name>``.

    Returns
    -------
    xr.Dataset
        As from ``data.read_table``: infusions, records with their limits, covariates, outcomes and
        ``last_contact_day``.

    Raises
    ------
    ModelError, DataError, FitError
        As :func:`patients`.

    Examples
    --------
    >>> virtual = trial("stein2019", 12, times=[0, 3, 7, 10, 14, 21, 28, 60], error=0.4, lloq=50,
    ...                 seed=1)
    """
    return as_trial(patients(model, n, seed=seed, **options), truth=truth)


def as_trial(patients: xr.Dataset, number: int | None = None, *, truth: bool = True) -> xr.Dataset:
    """Return virtual patients as a trial, one of them where they are of several.

    Parameters
    ----------
    patients : xr.Dataset
        From :func:`patients`, with records.
    number : int, optional
        Which trial, from 1; needed where there are several.
    truth : bool
        As for :func:`trial`.

    Returns
    -------
    xr.Dataset
        As from ``data.read_table``: doses, records, and what is known of each patient.

    Raises
    ------
    DataError
        If there are no records, or no such trial.
    """
    return _trial.as_trial(patients, number, truth=truth)


def trials(model: Source, n: int, *, trials: int, seed: int, **options: Any) -> xr.Dataset:
    """Simulate replicate trials with given doses, and count what comes out of each.

    For trials whose doses follow from outcomes see :func:`exposures`.

    Parameters
    ----------
    model, n, seed, **options
        As for :func:`patients`; no records are made.
    trials : int
        Replicate trials of `n` patients; by ``uncertainty="trial"`` each has a draw of the
        population quantities of a fit.

    Returns
    -------
    xr.Dataset
        Dims trial, dose_level: ``n`` patients, ``n_left``, and of each outcome ``_evaluable``
        patients and how many of these had it (with a dim for grades: that grade or a higher one);
        with dims endpoint, metric: ``geometric_mean`` of the exposures.

    Raises
    ------
    ModelError, DataError, FitError
        As :func:`patients`.
    """
    return by_trial(patients(model, n, trials=trials, seed=seed, **{**options, "times": None}))


def by_trial(patients: xr.Dataset) -> xr.Dataset:
    """Return the counts of :func:`trials` of patients simulated before.

    Parameters
    ----------
    patients : xr.Dataset
        From :func:`patients`, of one or several trials.

    Returns
    -------
    xr.Dataset
        As from :func:`trials`, dim ``trial``.
    """
    return _trial.by_trial(patients)


def exposures(
    model: Source,
    levels: Levels | Sequence[float],
    n: int = 2000,
    *,
    seed: int,
    metric: str = "cmax",
    endpoint: str | None = None,
    **options: Any,
) -> Exposures:
    """Simulate the exposure of the same virtual patients at every dose level.

    Parameters
    ----------
    model, n, seed, **options
        As for :func:`patients`.
    levels : Levels or sequence of float
        Planned doses, rising. [dose unit of the model]
    metric : {"cmax", "auc"}
        Peak, or area over the window.
    endpoint : str, optional
        Needed only if the model has several.

    Returns
    -------
    Exposures
        With ``table()``, and ``scenario(outcome, target=..., max_patients=..., accrual=...)``, the
        truth of a simulated dose escalation for ``dose.simulate_trials``.

    Raises
    ------
    ModelError, DataError, FitError
        As :func:`patients`.

    Examples
    --------
    >>> found = exposures("effector_memory", (1e6, 3e6, 1e7, 3e7), seed=1)
    >>> dlt = Outcome(intercept=-1.4, slope=0.8, by="cmax", reference=2000.0)
    >>> truth = found.scenario(dlt, target=0.3, max_patients=30, accrual=2.0)
    """
    planned = _as_levels(levels)
    given = {"endpoints": endpoint, **options, "times": None, "doses": planned.doses}
    return _exposures_of(_plan_of(model, n, seed=seed, **given), planned, metric)
