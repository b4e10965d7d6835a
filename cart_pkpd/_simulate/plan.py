"""A simulation as a declaration: who the patients are, what they get, when they are sampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from cart_pkpd import fit, models
from cart_pkpd._checks.identifiability import takes_doses
from cart_pkpd._checks.planned import planned_trial
from cart_pkpd._core.errors import DataError, FitError, ModelError
from cart_pkpd._core.validate import (
    as_mapping,
    as_names,
    as_seed,
    one_of,
    positive_int,
    real,
    shown,
)
from cart_pkpd._fit.fitted import PopulationFit
from cart_pkpd._simulate.attrition import Dropout
from cart_pkpd._simulate.covariates import Covariates, covariates_of
from cart_pkpd._simulate.kinetics import Kinetics, dosing_of
from cart_pkpd._simulate.outcomes import Outcome, endpoint_of
from cart_pkpd._simulate.source import (
    UNCERTAINTY,
    Residual,
    Source,
    of_fit,
    of_model,
    of_structure,
    residuals_of,
)
from cart_pkpd._simulate.streams import BLOCK, Floats, Ints, Streams
from cart_pkpd._simulate.visits import Schedule, as_schedule
from cart_pkpd._stats.covariates import as_term
from cart_pkpd._stats.population import as_population
from cart_pkpd.models import Model

TAKEN = frozenset((
    "id", "trial", "draw", "dose_level", "individual", "status", "exposure", "last_contact",
    "left", "level", "dv", "censored", "actual_time", "time", "endpoint", "unit", "metric",
    "parameter", "lloq", "uloq", "n",
))  # fmt: skip
"""Names that variables of patients have already."""
_TEMPLATE = 400  # patients from whom centres of covariates are taken


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything a block of patients is made of; can be sent to another process.

    Attributes
    ----------
    source : Source
    kinetics : Kinetics
    schedule : Schedule
    covariates : Covariates
    levels : ndarray, shape (m,)
        Doses of patients in turn, NaN where there is none.
    per_trial, trials : int
        Patients of each trial, and trials.
    uncertainty : str
        Who shares a draw of the population: one of ``UNCERTAINTY``.
    lloq, uloq : ndarray, shape (e,)
        NaN for none.
    dropout, death : Dropout or None
    follow_up : float
        Last day on which patients are followed. [day]
    outcomes : mapping of str to Outcome
    records : bool
        Whether levels at visits are kept.
    seed : int
    """

    source: Source
    kinetics: Kinetics
    schedule: Schedule
    covariates: Covariates
    levels: Floats
    per_trial: int
    trials: int
    uncertainty: str
    lloq: Floats
    uloq: Floats
    dropout: Dropout | None
    death: Dropout | None
    follow_up: float
    outcomes: Mapping[str, Outcome]
    records: bool
    seed: int

    @property
    def patients(self) -> int:
        """All patients."""
        return self.per_trial * self.trials

    @property
    def blocks(self) -> int:
        """Blocks of patients that share streams."""
        return -(-self.patients // BLOCK)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """What is simulated."""
        return self.kinetics.endpoints

    @cached_property
    def trial_draws(self) -> Ints:
        """Draw of the population of each trial, shape (trials,)."""
        if self.uncertainty != "trial":
            return np.zeros(self.trials, dtype=np.int64)
        sequence = np.random.SeedSequence(self.seed, spawn_key=(2**31,))
        u = np.random.default_rng(sequence).random(self.trials)
        return (u * self.source.draws).astype(np.int64)

    def doses_of(self, patients: Ints) -> Floats:
        """Return the dose of each patient, by number from 0."""
        return self.levels[(patients % self.per_trial) % self.levels.size]

    def draws_of(self, patients: Ints, streams: Streams) -> Ints:
        """Return the draw of the population that each patient of a block is from."""
        if self.uncertainty == "trial":
            return self.trial_draws[np.minimum(patients // self.per_trial, self.trials - 1)]
        if self.source.draws == 1:
            return np.zeros(BLOCK, dtype=np.int64)
        return (streams.uniform("draws") * self.source.draws).astype(np.int64)


def plan_of(
    model: Any,
    n: int,
    *,
    seed: int,
    times: Any = None,
    doses: Any = None,
    infusions: Any = ((0.0, 1.0),),
    inputs: Any = None,
    population: Any = None,
    values: Any = None,
    uncertainty: str = "patient",
    trials: int = 1,
    covariates: Any = None,
    correlation: Any = None,
    error: Any = None,
    lloq: Any = None,
    uloq: Any = None,
    dropout: Any = None,
    death: Any = None,
    follow_up: float | None = None,
    outcomes: Any = None,
    window: Any = (0.0, 28.0),
    endpoints: Any = None,
) -> Plan:
    """Return the plan of ``simulate.patients``, checked; its arguments are described there."""
    n, trials = positive_int(n, "n"), positive_int(trials, "trials")
    one_of(uncertainty, UNCERTAINTY, "uncertainty")
    records = times is not None
    given = as_mapping(values or {}, "values", such_as="{'cmax': 3000.0}")
    wanted = as_mapping(outcomes or {}, "outcomes", such_as="{'dlt': simulate.Outcome(...)}")
    schedule, drawn = (
        as_schedule(times if records else [0.0]),
        covariates_of(covariates, correlation),
    )
    levels = _levels(doses, n)
    chosen = _chosen(model)
    names = _endpoints(chosen, endpoints)
    source = _source(model, chosen, population, given, uncertainty, drawn, levels, names)
    _check_covariates(source, drawn, levels)
    source = _with_error(source, error, names) if records else source.with_residuals({})
    if takes_doses(source.model) and np.isnan(levels).any():
        raise ModelError(
            f"{type(source.model).__name__} is driven by doses; give doses=, such as doses=1e7 or "
            "doses=[1e6, 1e7]."
        )
    schedule.planned(names)
    kept = {str(k): _outcome(str(k), v, names, window, levels) for k, v in wanted.items()}
    kinetics = Kinetics(source.model, names, dosing_of(infusions, inputs), _window(window))
    if isinstance(source.model, models.OdeModel):
        _ = kinetics._events  # what is wrong with doses and events is said now
    elif inputs is not None:
        raise ModelError(
            f"{type(source.model).__name__} is a closed form, on which inputs cannot act."
        )
    span = _window(window)
    visits = float(schedule.visits[-1]) + schedule.window
    end = visits if records or span is None else span[1]
    last = max([end, *(o.window for o in kept.values())])
    if follow_up is not None and not real(follow_up, "follow_up", error=DataError) > 0:
        raise DataError(f"follow_up must be above 0 days, not {shown(follow_up)}.")
    return Plan(
        source, kinetics, schedule, drawn, levels, n, trials, uncertainty,
        _limits(lloq, names, "lloq"), _limits(uloq, names, "uloq"), _leaving(dropout, "dropout"),
        _leaving(death, "death"), last if follow_up is None else float(follow_up), kept, records,
        as_seed(seed),
    )  # fmt: skip


def _chosen(model: Any) -> Model:
    if isinstance(model, str):
        return models.get(model)
    if isinstance(model, PopulationFit):
        return model.structure.model
    if isinstance(model, Model):
        return model
    given = f"{model.__name__}()" if isinstance(model, type) else "a model, its name or a fit"
    raise ModelError(f"simulate: give {given}, not {shown(model)}.")


def _endpoints(model: Model, given: Any) -> tuple[str, ...]:
    known = tuple(model.endpoints)
    if given is None:
        return known
    chosen = as_names(given, "endpoints", such_as=f"[{known[0]!r}]")
    for name in chosen:
        one_of(name, known, "endpoint of this model", error=ModelError)
    return tuple(dict.fromkeys(chosen))


def _source(
    given: Any, model: Model, population: Any, values: Mapping[str, float], uncertainty: str,
    covariates: Covariates, levels: Floats, endpoints: tuple[str, ...],
) -> Source:  # fmt: skip
    if isinstance(given, PopulationFit):
        if population is not None:
            raise FitError("simulate: a fit has its own population; leave population= out.")
        return of_fit(given, uncertainty, values)
    if population is None:
        return of_model(model, values)
    chosen = as_population(population)
    terms = [as_term(t) for named in chosen.covariates.values() for t in named]
    _check_there([t.covariate for t in terms], covariates, levels)
    trial = _template(model, covariates, levels, endpoints)
    structure = fit.structure(model, trial, population, endpoint=list(endpoints))
    return of_structure(structure, values)


def _template(
    model: Model, covariates: Covariates, levels: Floats, endpoints: tuple[str, ...]
) -> Any:
    """Return a trial whose patients have such doses and covariates: what centres are taken from."""
    count = max(_TEMPLATE, levels.size)
    columns = covariates.sample(Streams(0, 0), "template")
    if covariates.table is not None:
        subjects = covariates.table
        count = len(subjects)
    else:
        subjects = pd.DataFrame({k: v[:count] for k, v in columns.items()})
    doses = None if np.isnan(levels).all() else levels[np.arange(count) % levels.size]
    return planned_trial(
        model, count, {e: [1.0] for e in endpoints}, doses=doses,
        subjects=subjects if len(subjects.columns) else None,
    )  # fmt: skip


def _check_covariates(source: Source, drawn: Covariates, levels: Floats) -> None:
    for name in drawn.names:
        if name in TAKEN:
            raise DataError(f"a covariate cannot be called {name!r}; give it another name.")
    _check_there(source.needed, drawn, levels)
    if isinstance(source.model, models.OdeModel):
        for name in source.model.covariates:
            text = drawn.table is not None and name in drawn.table
            if text and drawn.table is not None and drawn.table[name].dtype.kind not in "fiub":
                raise ModelError(f"covariates: {name!r} enters the equations and must be numbers.")


def _check_there(needed: Sequence[str], drawn: Covariates, levels: Floats) -> None:
    own = set(drawn.names) | (set() if np.isnan(levels).any() else {"dose_level"})
    missing = [c for c in needed if c not in own]
    if missing:
        how = f"covariates={{{missing[0]!r}: ...}} or a table"
        raise ModelError(
            f"covariates: {missing[0]!r} acts on parameters, and its values are not given; give "
            f"{'doses=' if missing[0] == 'dose_level' else how}."
        )


def _with_error(source: Source, error: Any, endpoints: tuple[str, ...]) -> Source:
    if error is False:
        return source.with_residuals({})
    if error is not None and error is not True:
        return source.with_residuals(residuals_of(error, endpoints))
    declared = source.about.startswith("declared")
    missing = [e for e in endpoints if e not in source.residuals]
    if missing and (error is True or not declared):
        raise FitError(
            f"error: the residual error of {missing[0]} is not known; give error= (the SD of ln, "
            "or simulate.Residual), its numbers in values=, or error=False for none."
        )
    return source


def _levels(doses: Any, n: int) -> Floats:
    """Return the doses of patients in turn."""
    if doses is None:
        return np.array([np.nan])
    if isinstance(doses, Mapping):
        try:
            found = np.repeat(np.array([*doses], float), np.array([*doses.values()], dtype=int))
        except (TypeError, ValueError):
            raise DataError(
                f"doses: give the number of patients by dose, such as {{1e6: 3, 1e7: 6}}, not "
                f"{shown(dict(doses))}."
            ) from None
        if found.size != n:
            raise DataError(f"doses: {found.size} patients by dose, but n is {n}; make them agree.")
    else:
        try:
            found = np.atleast_1d(np.asarray(doses, dtype=float))
        except (TypeError, ValueError):
            raise DataError(f"doses must be numbers, not {shown(doses)}.") from None
    if found.ndim != 1 or not found.size or not ((found > 0) & np.isfinite(found)).all():
        raise DataError("doses: give one dose above 0, several, or the number of patients by dose.")
    return found


def _limits(given: Any, endpoints: tuple[str, ...], what: str) -> Floats:
    out = np.full(len(endpoints), np.nan)
    by_name = given if isinstance(given, Mapping) else dict.fromkeys(endpoints, given)
    for name, value in by_name.items():
        one_of(str(name), endpoints, "endpoint of this simulation", error=DataError)
        if value is None:
            continue
        if not isinstance(value, int | float | np.number) or not 0 < value < np.inf:
            raise DataError(f"{what} of {name} must be a number above 0, not {shown(value)}.")
        out[endpoints.index(str(name))] = float(value)
    return out


def _leaving(given: Any, what: str) -> Dropout | None:
    if given is None or isinstance(given, Dropout):
        return given
    raise DataError(
        f"{what}: give simulate.Dropout(share=0.2, day=28) or simulate.Dropout(hazard=0.01), not "
        f"{shown(given)}."
    )


def _window(window: Any) -> tuple[float, float] | None:
    if window is None:
        return None
    pair = tuple(window) if isinstance(window, Sequence) and not isinstance(window, str) else ()
    if len(pair) != 2 or not 0 <= pair[0] < pair[1] < np.inf:
        raise DataError(f"window must run from day 0 or later to a later day, not {window!r}.")
    return float(pair[0]), float(pair[1])


def _outcome(
    name: str, given: Any, endpoints: tuple[str, ...], window: Any, levels: Floats
) -> Outcome:
    if not isinstance(given, Outcome):
        raise DataError(f"outcome {name!r}: give a simulate.Outcome, not {shown(given)}.")
    if name in TAKEN or not name.isidentifier():
        raise DataError(
            f"an outcome cannot be called {name!r}; give it a name of letters, digits and '_' that "
            "no other variable has."
        )
    if given.by == "dose":
        if np.isnan(levels).any():
            raise DataError(f"outcome {name!r} follows the dose; give doses=.")
    elif window is None:
        raise DataError(f"outcome {name!r} follows exposure, which window=None leaves out.")
    else:
        endpoint_of(given, endpoints, name)
    return given


def residual_words(source: Source) -> str:
    """Return the residual errors in words."""
    said = [f"{e}: {name}" for e, (name, _) in source.residuals.items()]
    return "; ".join(said) or "none"


__all__ = ["Plan", "Residual", "plan_of", "residual_words"]
