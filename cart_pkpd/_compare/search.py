"""Stepwise search for the covariates and the variability of a population."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cart_pkpd import executor as executors
from cart_pkpd._compare.candidates import Candidate, Candidates, as_candidates
from cart_pkpd._compare.fitting import Done, Task, fitted
from cart_pkpd._compare.rules import ELPD, NAMES, Change, Rule
from cart_pkpd._compare.searched import Search, Step
from cart_pkpd._core.errors import FitError, FitWarning
from cart_pkpd._core.validate import (
    as_seed,
    at_least_0,
    did_you_mean,
    one_of,
    positive_int,
    probability,
)
from cart_pkpd._stats.population import Population, as_population

if TYPE_CHECKING:
    import xarray as xr

    from cart_pkpd._stats.population import Structure
    from cart_pkpd.models import Model

ADD, REMOVE = "add", "remove"
DIRECTIONS = ("forward", "backward", "both")
type OnStep = Callable[[int, str], None]


def search(
    model: Model | str,
    trial: xr.Dataset,
    population: Population,
    *,
    candidates: Candidates | dict[str, Any],
    criterion: str = "bic_mixed",
    direction: str = "forward",
    endpoint: str | Sequence[str] = "transgene",
    p_add: float = 0.05,
    p_remove: float = 0.01,
    least: float = 0.0,
    max_steps: int = 50,
    executor: str | executors.Executor | None = None,
    jobs: int | None = None,
    seed: int = 1,
    progress: OnStep | None = None,
    **options: Any,
) -> Search:
    """Search step by step for what the data ask for: covariates, variability, correlations.

    Parameters
    ----------
    model, trial, endpoint
        As for ``fit.laplace``.
    population : Population
        Where the search begins; what of it is no candidate stays as it is.
    candidates : Candidates
        From :func:`candidates`, or a dict of its arguments.
    criterion : str
        What decides: ``"bic_mixed"``, ``"bic"``, ``"bic_patients"``, ``"aic"``, ``"ofv"`` (by
        likelihood-ratio tests), or ``"elpd"`` with patients left out, for which every fit is made
        by ``fit.bayes``.
    direction : str
        ``"forward"`` adds one candidate at a time, ``"backward"`` takes those that are within
        `population` away, ``"both"`` is forward and then backward.
    p_add, p_remove : float
        With ``"ofv"``, a candidate is added if its p value is below `p_add`, and removed if it is
        above `p_remove`.
    least : float
        With other criteria, by how much a step must at least improve it. A step of elpd needs
        twice its standard error, too, and 4 where `least` is 0.
    max_steps : int
        Most steps in each direction.
    executor, jobs
        Where the fits of a step are made, as for ``executor.get``; the result is the same.
    seed : int
        Of every fit.
    progress : callable, optional
        Called with the number of the step and the candidate as each fit ends.
    **options
        Further arguments of ``fit.laplace`` (``starts`` is 1: from the estimates of the step
        before) or of ``fit.bayes``, and ``n_draws``, ``n_samples`` of leaving patients out.

    Returns
    -------
    Search
        ``best`` population, its ``fit``, ``steps`` (every candidate of every step) and
        ``sentence``.

    Raises
    ------
    FitError
        If the first fit fails, or does not converge before anything is added; for candidates
        that cannot be part of the population; and if there is nothing to remove.

    Notes
    -----
    Candidates whose fit failed, did not converge, or ended above the -2 ln L of a fit which it
    contains are listed with the reason and never chosen; the last and the failed are first tried
    again from three more places. p values are of chi-squared, for a standard deviation of a
    50:50 mixture (Self & Liang 1987). They are for one test, not for the best of many: a search
    finds too much where it tries much (Ribbing & Jonsson 2004, J Pharmacokinet Pharmacodyn 31:109).
    """
    rule = Rule(
        one_of(criterion, NAMES, "criterion", error=FitError),
        probability(p_add, "p_add"),
        probability(p_remove, "p_remove"),
        at_least_0(least, "least"),
    )
    one_of(direction, DIRECTIONS, "direction", error=FitError)
    options = {"seed": as_seed(seed), **options}
    if criterion != ELPD:
        options = {"starts": 1, **options}
    with executors.get(executor, jobs=jobs) as workers:
        run = _Run(
            model, trial, as_population(population), endpoint, as_candidates(candidates), rule,
            options, workers, positive_int(max_steps, "max_steps"), progress,
        )  # fmt: skip
        return run.searched(direction)


@dataclass(eq=False)
class _Run:
    """The state of one search."""

    model: Any
    trial: xr.Dataset
    base: Population
    endpoint: Any
    candidates: Candidates
    rule: Rule
    options: dict[str, Any]
    workers: executors.Executor
    max_steps: int
    progress: OnStep | None
    steps: list[Step] = field(default_factory=list)
    known: dict[str, Done] = field(default_factory=dict)

    def searched(self, direction: str) -> Search:
        from cart_pkpd import fit

        removable = [c for c in self.candidates.all if c.within(self.base)]
        if direction == "backward" and not removable:
            raise FitError(
                "backward: none of the candidates is within the population, so that there is "
                "nothing to remove; begin with a population that has them, or go forward."
            )
        first = self._fitting(self.base)
        self._check(fit.structure(self.model, self.trial, first, endpoint=self.endpoint))
        population, done = first, self._first(first, direction)
        if direction in ("forward", "both"):
            population, done = self._all_steps(population, done, ADD)
        if direction in ("backward", "both"):
            population, done = self._all_steps(population, done, REMOVE)
        return Search(tuple(self.steps), population, done.fit, self.rule, direction)

    def _check(self, structure: Structure) -> None:
        """Refuse candidates of parameters that the model has not, or that are held fixed."""
        known = structure.model.estimated
        for candidate in self.candidates.all:
            for name in candidate.parameters:
                if name not in known:
                    raise FitError(
                        f"candidates: {candidate.name}: the model estimates no parameter {name!r}."
                        f"{did_you_mean(name, known)} It estimates: {', '.join(known)}."
                    )

    def _first(self, population: Population, direction: str) -> Done:
        starts = {"starts": max(2, int(self.options["starts"]))} if "starts" in self.options else {}
        task = replace(self._task(population, None), options={**self.options, **starts})
        done = self._outcomes([task], 0, ["start"])[0]
        for said in done.warnings:
            warnings.warn(said, FitWarning, stacklevel=5)
        if done.fit is None:
            raise FitError(f"the search cannot begin: {done.failure}")
        if not done.fit.verdict.ok and direction != "backward":
            raise FitError(
                "the search cannot begin, because the fit of the population given did not "
                f"converge: {done.fit.verdict.sentence} Begin with a simpler one."
            )
        self.known[_key(population)] = done
        self.steps.append(Step.first(self.rule.value(done), done))
        return done

    def _all_steps(
        self, population: Population, done: Done, action: str
    ) -> tuple[Population, Done]:
        for _ in range(self.max_steps):
            chosen = self._step(population, done, action)
            if chosen is None:
                break
            population, done = chosen
        return population, done

    def _step(
        self, population: Population, before: Done, action: str
    ) -> tuple[Population, Done] | None:
        """Try every candidate once; return the best that may be taken, if any."""
        adds = action == ADD
        tried = [c for c in self.candidates.all if c.within(population) != adds]
        if not tried:
            return None
        number = self.steps[-1].number + 1
        hindered = {c: c.obstacle(population) for c in tried}
        possible = [c for c in tried if not hindered[c]]
        others = [self._changed(population, c, adds=adds) for c in possible]
        dones = self._fits(others, before, number, possible, adds=adds)
        rows = [Step.hindered(number, action, c, why) for c, why in hindered.items() if why]
        rows += [
            Step.tried(number, action, c, done, self._change(before, done, adds=adds))
            for c, done in zip(possible, dones, strict=True)
        ]
        passing = [i for i, row in enumerate(rows) if row.passes]
        best = min(passing, key=lambda i: rows[i].change.order) if passing else None
        self.steps += [row.decided(chosen=i == best) for i, row in enumerate(rows)]
        if best is None:
            return None
        at = possible.index(rows[best].candidate)
        return others[at], dones[at]

    def _change(self, before: Done, after: Done, *, adds: bool) -> Change:
        if after.fit is None:
            return Change(np.nan, np.nan, why=after.failure)
        found = self.rule.change(before, after, adds=adds)
        if after.fit.verdict.ok:
            return found
        return replace(found, passes=False, why=after.fit.verdict.sentence)

    def _changed(self, population: Population, candidate: Candidate, *, adds: bool) -> Population:
        # Priors of quantities that a population has not would be refused, and come back with them.
        whole = replace(population, priors=self.base.priors)
        other = candidate.added(whole) if adds else candidate.removed(whole)
        return self._fitting(other)

    def _fitting(self, population: Population) -> Population:
        absent = [c for c in self.candidates.all if not c.within(population)]
        priors = {
            k: v
            for k, v in population.priors.items()
            if not any(c.owns(k) for c in absent) and (k != "corr" or population.corr)
        }
        centred = population.centred
        if centred is not None:
            centred = tuple(n for n in centred if n in population.iiv)
        return replace(population, priors=priors, centred=centred)

    def _fits(
        self,
        populations: Sequence[Population],
        before: Done,
        number: int,
        candidates: Sequence[Candidate],
        *,
        adds: bool,
    ) -> list[Done]:
        """Fit populations that were not fitted before, all at the same time."""
        keys = [_key(p) for p in populations]
        new = [i for i, k in enumerate(keys) if k not in self.known]
        ceiling = before.fit.ofv if adds and self.rule.criterion != ELPD else np.nan
        tasks = [replace(self._task(populations[i], before), ceiling=ceiling) for i in new]
        found = self._outcomes(tasks, number, [candidates[i].name for i in new])
        self.known |= {keys[i]: done for i, done in zip(new, found, strict=True)}
        again = {k: replace(self.known[k], seconds=0.0) for k in keys}
        own = {keys[i]: done for i, done in zip(new, found, strict=True)}
        return [own.get(k, again[k]) for k in keys]

    def _task(self, population: Population, before: Done | None) -> Task:
        bayes = self.rule.criterion == ELPD
        initial = None if before is None or bayes else before.fit
        return Task(self.model, self.trial, population, self.endpoint, bayes, self.options, initial)

    def _outcomes(self, tasks: Sequence[Task], number: int, names: Sequence[str]) -> list[Done]:
        def told(index: int, _: Any) -> None:
            if self.progress is not None:
                self.progress(number, names[index])

        found = self.workers.map(fitted, tasks, on_done=told)
        return [
            Done(failure=one.sentence) if isinstance(one, executors.Failed) else one
            for one in found
        ]


def _key(population: Population) -> str:
    """Return the same text for populations that are the same but for the order of names."""
    said = population.describe()
    said["iiv"] = sorted(said["iiv"])
    said["corr"] = sorted(sorted(block) for block in said["corr"])
    said["covariates"] = {
        k: sorted(json.dumps(c, sort_keys=True, default=str) for c in v)
        for k, v in sorted(said["covariates"].items())
    }
    return json.dumps(said, sort_keys=True, default=str)
