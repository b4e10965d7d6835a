"""Dose selection: what the data say about each dose, which is next, and the MTD.

A decision needs data and a design; rules are joined to a design with ``&``::

    levels = dose.Levels((1e6, 3e6, 1e7, 3e7), "cells", within=(0.7, 1.3))
    found = dose.data(trial, levels=levels)           # or dose.counts({1e6: (0, 3), 3e6: (1, 6)})
    blrm = dose.BLRM(
        levels,
        reference=1e7,
        prior=dose.BivariateNormal(mean=(-1.0, 0.0), sd=(2.0, 1.0), corr=0.0),
        intervals=(0.16, 0.33),
    ) & dose.EWOC(0.33, 0.25) & dose.NoSkip() & dose.StopIfToxic(0.33, 0.9)
    blrm.prior_table()                                 # what the prior says before any patient
    blrm.recommend(found)                              # a Decision
    dose.scenarios(blrm, found, cohort=3)              # after 0, 1, 2 or 3 DLTs
    dose.BOIN(0.25).recommend(found)
    blrm.mtd(found)

Designs: ``BLRM``, ``BOIN``, ``TITEBOIN``, ``CRM``, ``TITECRM``, ``MTPI``, ``MTPI2``, ``Keyboard``,
``TPI``, ``ThreePlusThree``. Designs are compared before the trial by simulation::

    truth = dose.Scenario(
        levels=levels, p=(0.05, 0.15, 0.30, 0.45), target=0.30, max_patients=30, accrual=2.0
    )
    dose.simulate_trials(dose.BOIN(0.30), truth, trials=10_000, seed=1)
    found = dose.compare_designs({"BLRM": blrm, "BOIN": dose.BOIN(0.30)}, {"steep": truth}, seed=1)
    dose.operating_table(found)

Each design has ``recommend`` and ``mtd`` for one trial, ``decide_many`` and
``mtd_many`` for arrays of trials, ``prior_table``, and ``description``, which says all it was
given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import xarray as xr

from cart_pkpd._core.validate import as_trial
from cart_pkpd._dose.activity import Activity as Activity
from cart_pkpd._dose.activity import activity as activity
from cart_pkpd._dose.below import recommend_below_mtd as recommend_below_mtd
from cart_pkpd._dose.blrm import BLRM as BLRM
from cart_pkpd._dose.boin import BOIN as BOIN
from cart_pkpd._dose.boin import TITEBOIN as TITEBOIN
from cart_pkpd._dose.chain import chain as chain
from cart_pkpd._dose.chain import exposure_chain as exposure_chain
from cart_pkpd._dose.chained import ChainResult as ChainResult
from cart_pkpd._dose.crm import CRM as CRM
from cart_pkpd._dose.crm import TITECRM as TITECRM
from cart_pkpd._dose.crm import skeleton as skeleton
from cart_pkpd._dose.decision import Decision as Decision
from cart_pkpd._dose.design import Design as Design
from cart_pkpd._dose.exposure import DoseExposure as DoseExposure
from cart_pkpd._dose.exposure import exposure as exposure
from cart_pkpd._dose.exposure_toxicity import ExposureToxicity as ExposureToxicity
from cart_pkpd._dose.free import JEFFREYS as JEFFREYS
from cart_pkpd._dose.free import UNIFORM as UNIFORM
from cart_pkpd._dose.free import OrderFree as OrderFree
from cart_pkpd._dose.free import order_free as order_free
from cart_pkpd._dose.from_trial import from_trial
from cart_pkpd._dose.levels import Levels as Levels
from cart_pkpd._dose.levels import as_levels
from cart_pkpd._dose.links import PeakPriors as PeakPriors
from cart_pkpd._dose.links import Toxicity as Toxicity
from cart_pkpd._dose.links import log_odds as log_odds
from cart_pkpd._dose.mtpi import MTPI as MTPI
from cart_pkpd._dose.mtpi import MTPI2 as MTPI2
from cart_pkpd._dose.mtpi import TPI as TPI
from cart_pkpd._dose.mtpi import Keyboard as Keyboard
from cart_pkpd._dose.onset import Onset as Onset
from cart_pkpd._dose.onsets import beta_onset as beta_onset
from cart_pkpd._dose.onsets import mixed_onset as mixed_onset
from cart_pkpd._dose.onsets import weibull_onset as weibull_onset
from cart_pkpd._dose.operating import compare as _compare
from cart_pkpd._dose.operating import table_of, trials_of
from cart_pkpd._dose.patients import DoseData as DoseData
from cart_pkpd._dose.patients import Patient as Patient
from cart_pkpd._dose.patients import counts as _counts
from cart_pkpd._dose.peaks import peaks as peaks
from cart_pkpd._dose.power import PowerPriors as PowerPriors
from cart_pkpd._dose.priors import BivariateNormal as BivariateNormal
from cart_pkpd._dose.priors import Mixture as Mixture
from cart_pkpd._dose.rules import EWOC as EWOC
from cart_pkpd._dose.rules import Coherence as Coherence
from cart_pkpd._dose.rules import CohortSize as CohortSize
from cart_pkpd._dose.rules import MaxPatients as MaxPatients
from cart_pkpd._dose.rules import MaxPending as MaxPending
from cart_pkpd._dose.rules import MaxRatio as MaxRatio
from cart_pkpd._dose.rules import MinBeforeEscalation as MinBeforeEscalation
from cart_pkpd._dose.rules import NoSkip as NoSkip
from cart_pkpd._dose.rules import Rule as Rule
from cart_pkpd._dose.rules import StopIfToxic as StopIfToxic
from cart_pkpd._dose.rules import StopIfUnderdosed as StopIfUnderdosed
from cart_pkpd._dose.rules import StopWhen as StopWhen
from cart_pkpd._dose.scenarios import paths as _paths
from cart_pkpd._dose.scenarios import scenarios as _scenarios
from cart_pkpd._dose.standard_scenarios import standard_rates as standard_rates
from cart_pkpd._dose.standard_scenarios import standard_scenarios as _standard_scenarios
from cart_pkpd._dose.threeplusthree import ThreePlusThree as ThreePlusThree
from cart_pkpd._dose.trial_scenario import Scenario as Scenario
from cart_pkpd.executor import Executor

DLT_WINDOW = 28.0

__all__ = [
    "BLRM",
    "BOIN",
    "CRM",
    "DLT_WINDOW",
    "EWOC",
    "JEFFREYS",
    "MTPI",
    "MTPI2",
    "TITEBOIN",
    "TITECRM",
    "TPI",
    "UNIFORM",
    "Activity",
    "BivariateNormal",
    "ChainResult",
    "Coherence",
    "CohortSize",
    "Decision",
    "Design",
    "DoseData",
    "DoseExposure",
    "ExposureToxicity",
    "Keyboard",
    "Levels",
    "MaxPatients",
    "MaxPending",
    "MaxRatio",
    "MinBeforeEscalation",
    "Mixture",
    "NoSkip",
    "Onset",
    "OrderFree",
    "Patient",
    "PeakPriors",
    "PowerPriors",
    "Rule",
    "Scenario",
    "StopIfToxic",
    "StopIfUnderdosed",
    "StopWhen",
    "ThreePlusThree",
    "Toxicity",
    "activity",
    "beta_onset",
    "chain",
    "compare_designs",
    "counts",
    "data",
    "exposure",
    "exposure_chain",
    "load_chain",
    "log_odds",
    "mixed_onset",
    "operating_table",
    "order_free",
    "paths",
    "peaks",
    "recommend_below_mtd",
    "scenarios",
    "simulate_trials",
    "skeleton",
    "standard_rates",
    "standard_scenarios",
    "weibull_onset",
]


def __dir__() -> list[str]:
    return sorted(__all__)  # what a notebook offers after a dot


def data(
    trial: xr.Dataset,
    *,
    window: float = DLT_WINDOW,
    as_of: float | None = None,
    levels: Levels | Sequence[float] | None = None,
    unit: str | None = None,
) -> DoseData:
    """Return what is known of every patient on the day of the decision.

    Parameters
    ----------
    trial : xr.Dataset
        With patient-level variables ``dose_level`` (planned) and ``dlt`` (1 or 0); read if there:
        ``dlt_day``, ``dlt_evaluable``, ``last_contact_day`` (withdrawal, death or loss, days since
        the patient's infusion), ``infusion_day`` (days since the first patient's infusion) and
        ``weight`` (kg, for levels per kg); amounts on dim ``dosing``.
    window : float
        Time within which a toxicity is dose-limiting. [day]
    as_of : float, optional
        Day of the trial at which the data are looked at; needs ``infusion_day``. Later patients
        are left out, and those inside the window are pending. Everything counts by default.
    levels : Levels or sequence of float, optional
        Planned doses; those in the table by default, but the next planned dose may not be there.
    unit : str, optional
        Unit of the doses, where neither levels nor table give one.

    Returns
    -------
    DoseData
        Patients in order of infusion, each with what counts and the reason where it does not:
        not evaluable by ``dlt_evaluable`` or lost before the end of the window without a DLT;
        administered dose outside the level's range; DLT after the window or after the last contact.
        A DLT without a day counts; ``doubts`` names it, and doses that are far off the planned one.

    Raises
    ------
    DataError
        If doses do not rise, a patient's level is not planned, or a value cannot be true; every
        patient is among the ``problems``.
    """
    if not isinstance(trial, xr.Dataset):
        as_trial(trial)  # says what to give; a trial of doses and DLTs alone needs no records
    planned = as_levels(levels, unit) if levels is not None else None
    return from_trial(trial, window=window, as_of=as_of, levels=planned, unit=unit)


def counts(
    observed: Mapping[float, tuple[int, int]],
    *,
    levels: Levels | Sequence[float],
    window: float = DLT_WINDOW,
    pending: Mapping[float, Sequence[float]] | None = None,
    current: float | None = None,
) -> DoseData:
    """Return data from plain counts.

    Parameters
    ----------
    observed : mapping of float to (int, int)
        DLTs and patients with a complete outcome by dose, in order of treatment:
        ``{1e6: (0, 3), 3e6: (1, 6)}``.
    levels : Levels or sequence of float
        Planned doses.
    window : float
        Time within which a toxicity is dose-limiting. [day]
    pending : mapping of float to sequence of float, optional
        Follow-up of patients still inside the window, by dose: ``{3e6: [10, 14]}``. [day]
    current : float, optional
        Dose of the latest patients; the last of `observed` by default.

    Returns
    -------
    DoseData

    Raises
    ------
    DataError
        If a dose is not planned, doses do not rise, or there are more DLTs than patients.

    Examples
    --------
    >>> int(counts({1e6: (0, 3), 3e6: (1, 6)}, levels=[1e6, 3e6, 1e7]).dlts.sum())
    1
    """
    return _counts(
        observed, levels=as_levels(levels), window=window, pending=pending, current=current
    )


def load_chain(path: str | Path) -> ChainResult:
    """Read a chain written by ``ChainResult.save``.

    Parameters
    ----------
    path : str or Path
        The netCDF file.

    Returns
    -------
    ChainResult
        As it was saved, without refitting.

    Raises
    ------
    FitError
        If the file is not a fitted chain.
    """
    from cart_pkpd._dose.chain_files import load

    return load(Path(path))


def scenarios(
    design: Design,
    data: DoseData,
    *,
    cohort: int = 3,
    dose: float | None = None,
    ask: Literal["next", "mtd"] = "next",
) -> pd.DataFrame:
    """Return what would be decided after 0, 1, … DLTs in the next cohort.

    Parameters
    ----------
    design : Design
    data : DoseData
    cohort : int
        Patients in the next cohort.
    dose : float, optional
        Its dose; by default the recommended one, or for ``ask="mtd"`` the MTD (the latest dose
        where there is none).
    ask : {"next", "mtd"}
        Which decision follows: the next dose, or the MTD with this further cohort.

    Returns
    -------
    pandas.DataFrame
        One row per number of DLTs: dose, probability of that number (BLRM only, from the posterior
        predictive distribution), action (for ``ask="mtd"``: "same MTD", "lower MTD", "higher MTD",
        "no MTD", or "an MTD" where there was none), next_dose (or the MTD), reason.

    Raises
    ------
    DataError
        If the design stops and no dose is given.
    """
    return _scenarios(design, data, cohort, dose, ask)


def paths(
    design: Design,
    levels: Levels | Sequence[float],
    *,
    cohorts: int = 3,
    size: int = 3,
    start: float | None = None,
) -> pd.DataFrame:
    """Return every path that a trial can take through its first cohorts.

    Parameters
    ----------
    design : Design
    levels : Levels or sequence of float
        Planned doses.
    cohorts, size : int
        Number of cohorts and patients in each.
    start : float, optional
        First dose; what the design says before the first patient by default.

    Returns
    -------
    pandas.DataFrame
        One row per path: ``dose_1``, ``dlts_1``, ``dose_2``, …, the dose that would follow, whether
        the path stopped early, its patients, and the MTD at its end. NaN after a stop.
    """
    return _paths(design, as_levels(levels), cohorts, size, start)


def simulate_trials(
    design: Design,
    scenario: Scenario,
    trials: int = 10_000,
    *,
    seed: int,
    pending: Literal["design", "wait"] = "design",
    patients: bool = False,
) -> xr.Dataset:
    """Return simulated trials of a design and its operating characteristics.

    Parameters
    ----------
    design : Design
        With its rules; a `CohortSize` goes before the scenario's cohort, and 3+3 has its own.
    scenario : Scenario
        What is true, and how the trial is run.
    trials : int
        More trials add to fewer: the first of them are the same.
    seed : int
        The same seed gives every design the same patients.
    pending : {"design", "wait"}
        Designs that use follow-up decide on the day on which the next patient is available, with
        others still inside the window, and are asked again on every day on which an outcome becomes
        known; all others wait for the cohort. ``"wait"`` makes every design wait.
    patients : bool
        Whether every patient is returned too.

    Returns
    -------
    xr.Dataset
        Dims trial, level. Per trial ``mtd`` (level from 1, 0 for none), ``ended``,
        ``trial_length`` (day), ``n_treated``, ``n_evaluable``, ``n_dlts``. Over trials, each with
        its Monte-Carlo standard error ``*_se``: per level ``selected``, ``patients``,
        ``patient_share``, ``dlts``; ``none``, ``stopped``, ``correct``, ``acceptable``,
        ``overdose_selected``, ``at_correct``, ``size``, ``evaluable``, ``total_dlts``,
        ``overdosed``, ``overdosed_share``, ``overdosed_trials``, ``length``, ``length_median``,
        ``length_q90`` (day); ``attrs["about"]`` says what each is. With `patients`, ``patient_*``
        on dims trial, patient.

    Raises
    ------
    DataError
        If design and scenario have other levels, or rules wait for what never comes.

    Notes
    -----
    Patients are evaluable if their window is complete or they have a DLT before they leave.
    ``n_dlts`` also counts DLTs after a product below the range, which only the BLRM takes into its
    decisions, at the amount given. A trial at its largest size is followed to the end and its MTD
    selected from complete data, as after a stop with a dose.
    """
    return trials_of(design, scenario, trials, seed, pending, patients)


def standard_scenarios(*, levels: Levels | Sequence[float], **run: Any) -> dict[str, Scenario]:
    """Return the standard scenarios of a trial: the same run with truths from safe to toxic.

    Parameters
    ----------
    levels : Levels or sequence of float
        Planned doses.
    **run
        Everything else that `Scenario` takes but `p`: target, max_patients, accrual, ….

    Returns
    -------
    dict of str to Scenario
        ``"all safe"``, ``"highest"``, ``"middle"``, ``"lowest"``, ``"all toxic"``, ``"steep"`` and
        ``"flat"``, with the probabilities of `standard_rates`.

    Examples
    --------
    >>> found = standard_scenarios(
    ...     levels=(1e6, 3e6, 1e7), target=0.30, max_patients=24, accrual=2.0
    ... )
    >>> found["highest"].rates.round(2).tolist()
    [0.08, 0.16, 0.3]
    """
    return _standard_scenarios({"levels": as_levels(levels), **run})


def compare_designs(
    designs: Mapping[str, Design],
    scenarios: Mapping[str, Scenario],
    trials: int = 10_000,
    *,
    seed: int,
    pending: Literal["design", "wait"] = "design",
    jobs: int = 1,
    executor: Executor | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> xr.Dataset:
    """Return the operating characteristics of every design in every scenario.

    Parameters
    ----------
    designs : mapping of str to Design
    scenarios : mapping of str to Scenario
        Of the same dose levels.
    trials, seed, pending
        As in `simulate_trials`; all designs treat the same patients.
    jobs : int
        Processes that share the work; the numbers are the same. A script that uses more than one
        needs ``if __name__ == "__main__":`` around what it does.
    executor : Executor, optional
        From ``executor.get``, instead of `jobs`.
    progress : callable, optional
        Called with how many pairs of design and scenario are done, of how many, and the last one.

    Returns
    -------
    xr.Dataset
        Dims design, scenario, level, with the variables over trials of `simulate_trials`.

    Raises
    ------
    DataError
        If there is nothing to compare, levels differ, or something is no design or scenario.
    """
    return _compare(designs, scenarios, trials, seed, pending, jobs, executor, progress)


def operating_table(
    result: xr.Dataset, table: Literal["overall", "levels"] = "overall", *, errors: bool = False
) -> pd.DataFrame:
    """Return operating characteristics as rows, for reading and for CSV.

    Parameters
    ----------
    result : xr.Dataset
        From `simulate_trials` or `compare_designs`.
    table : {"overall", "levels"}
        One row per scenario and design, or one per level of each.
    errors : bool
        Whether each number is followed by its Monte-Carlo standard error.

    Returns
    -------
    pandas.DataFrame
        Shares are from 0 to 1, times in days.

    Raises
    ------
    DataError
        If the result is another one.
    """
    return table_of(result, table, errors)
