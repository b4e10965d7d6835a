"""What all designs share: data in, eligible doses, stopping and waiting, a decision in words."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike

from cart_pkpd._core import words
from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import instance
from cart_pkpd._dose.decision import Action, Decision
from cart_pkpd._dose.from_trial import from_trial
from cart_pkpd._dose.levels import Levels
from cart_pkpd._dose.patients import DoseData, Patient
from cart_pkpd._dose.rules import CohortSize, Rule, Rules, as_rules
from cart_pkpd._dose.state import (
    GO,
    STOP,
    WAIT,
    Floats,
    Ints,
    Many,
    Mask,
    State,
    Summary,
    state_of,
    state_of_data,
)  # fmt: skip

_MOST_OUTCOMES = 256  # of pending patients that are tried one by one
_WINDOW = 28.0
OWN = -2  # stopped by the design itself, not by a rule


@dataclass(frozen=True, eq=False)
class Verdicts:
    """Decisions of T trials with what led to them.

    Attributes
    ----------
    many : Many
    eligible : ndarray of bool, shape (T, K)
    permits : list of (rule, mask or None)
        What each rule permits, shape (T, K).
    stopped_by : ndarray of int, shape (T,)
        Rule that stopped; -1 none, -2 the design itself.
    waits_for : ndarray of int, shape (T,)
        Rule that asks to wait; -1 none, -2 the design itself.
    """

    many: Many
    eligible: Mask
    permits: list[tuple[Rule, Mask | None]]
    stopped_by: Ints
    waits_for: Ints


@dataclass(frozen=True)
class Design(ABC):
    """Base of all designs; every design is frozen and printed in full by ``text``."""

    @property
    @abstractmethod
    def text(self) -> str:
        """The design with its targets, intervals and priors in words, without its rules."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Short name."""

    @property
    def all_rules(self) -> tuple[Rule, ...]:
        """The rules joined to the design."""
        return getattr(self, "rules", ())

    @property
    def description(self) -> str:
        """The design and its rules in words."""
        return ". ".join([self.text, *(f"Rule: {r.text}" for r in self.all_rules)]) + "."

    @property
    def uses_follow_up(self) -> bool:
        """Whether patients inside the window count with their follow-up."""
        return False

    def __and__(self, rule: Rule | Rules) -> Self:
        return replace(self, rules=(*self.all_rules, *as_rules(rule)))  # type: ignore[call-arg]

    # --- what a design must say --------------------------------------------------------------

    @abstractmethod
    def _summary(self, state: State, cutoffs: tuple[float, ...]) -> Summary:
        """Return what the posterior says of T trials."""

    @abstractmethod
    def _choose(self, state: State, found: Summary, eligible: Mask) -> Ints:
        """Return the next level of each trial, -1 for none."""

    @abstractmethod
    def _select(self, state: State, found: Summary, eligible: Mask) -> Ints:
        """Return the MTD of each trial among eligible levels, -1 for none."""

    def _own_stop(self, state: State, level: Ints) -> Mask:
        """Return which trials the design itself ends with a dose."""
        return np.zeros(state.size, dtype=bool)

    def _own_wait(self, state: State) -> Mask:
        """Return which trials the design itself asks to wait."""
        return np.zeros(state.size, dtype=bool)

    @property
    def _cutoffs(self) -> tuple[float, ...]:
        return ()

    @property
    def _doses(self) -> Floats | None:
        """The doses that rules compare, where the design has them."""
        return None

    def _check(self, data: DoseData) -> None:  # noqa: B027 - nothing to check in many designs
        """Raise if the data cannot be of this design."""

    def _data_summary(self, data: DoseData, state: State, cutoffs: tuple[float, ...]) -> Summary:
        return self._summary(state, cutoffs)

    def _columns(self, data: DoseData, state: State, found: Summary) -> Mapping[str, Any]:
        """Return the design's own columns of the decision's table."""
        return {"mean": found.mean[0]}

    def _attrs(self) -> Mapping[str, Any]:
        """Return what the decision's table says of the design's own columns."""
        return {}

    def _why(self, data: DoseData, state: State, found: Summary, level: int) -> str:
        """Return why the level was chosen, as the beginning of a sentence."""
        raise NotImplementedError

    def _why_mtd(self, data: DoseData, state: State, found: Summary, level: int) -> str:
        return self._why(data, state, found, level)

    def _flags(self, data: DoseData, found: Summary) -> list[str]:
        return []

    def _own_limit(self, state: State) -> tuple[Mask, str]:
        """Return which levels of one trial the design's own limit of an MTD permits, and why."""
        return np.ones(state.levels, dtype=bool), ""

    def _mtd_flags(self, data: DoseData, state: State, level: int) -> list[str]:
        return []

    # --- many trials -------------------------------------------------------------------------

    def cutoffs(self) -> tuple[float, ...]:
        """Return every DLT probability whose exceedance is needed, rising."""
        needed = [*self._cutoffs, *(c for r in self.all_rules for c in r.cutoffs)]
        return tuple(sorted(set(needed)))

    def decide_many(
        self,
        n: ArrayLike,
        y: ArrayLike,
        current: ArrayLike,
        *,
        treated: ArrayLike | None = None,
        pending: ArrayLike | None = None,
        share: ArrayLike | None = None,
        last: tuple[ArrayLike, ArrayLike] | None = None,
        doses: ArrayLike | None = None,
    ) -> Many:
        """Return the decisions of many trials at once.

        Parameters
        ----------
        n, y : array_like of int, shape (T, K)
            Patients with a complete outcome, and DLTs among them, per level.
        current : array_like of int, shape (T,)
            Level of the latest patients from 0; -1 before the first.
        treated : array_like of int, shape (T, K), optional
            Everybody given the level; those in `n` and `pending` by default.
        pending : array_like of int, shape (T, K, D), optional
            Patients inside the window without a DLT, by follow-up.
        share : array_like, shape (D,), optional
            Follow-up of those, as a share of the window.
        last : (array_like, array_like), optional
            Patients and DLTs of the latest cohort, each (T,); all at the current level by default.
        doses : array_like, shape (K,), optional
            Planned doses, for rules that compare them, where the design has none.

        Returns
        -------
        Many
            ``level`` (next level; at a stop the level it ends with; -1 for none) and ``action``
            (0 go on, 1 stop, 2 wait), each shape (T,).
        """
        planned = self._doses if doses is None else doses
        state = state_of(
            n, y, current, treated=treated, pending=pending, share=share, last=last, doses=planned
        )
        return self._decide(state).many

    def mtd_many(self, n: ArrayLike, y: ArrayLike, *, treated: ArrayLike | None = None) -> Ints:
        """Return the MTD of many finished trials: levels from 0, -1 for none, shape (T,).

        Parameters
        ----------
        n, y, treated : array_like of int, shape (T, K)
            As in `decide_many`.
        """
        state = state_of(n, y, -1, treated=treated, doses=self._doses)
        return self._mtd_level(state, self._summary(state, self.cutoffs()))

    def _decide(self, state: State) -> Verdicts:
        if not self.uses_follow_up and state.waiting.any():
            return self._decide_pending(state)
        return self._judge(state, self._summary(state, self.cutoffs()))

    def _judge(self, state: State, found: Summary) -> Verdicts:
        permits = [(r, r.eligible(state, found)) for r in self.all_rules]
        eligible = np.ones(state.n.shape, dtype=bool)
        for _, mask in permits:
            if mask is not None:
                eligible &= mask
        level = self._choose(state, found, eligible)
        stopped_by = self._stopped(state, found, level)
        waits_for = np.full(state.size, -1)
        for i, rule in enumerate(self.all_rules):
            mask = rule.wait(state)
            if mask is not None:
                waits_for = np.where(mask & (waits_for == -1), i, waits_for)
        waits_for = np.where(self._own_wait(state) & (waits_for == -1), OWN, waits_for)
        action = np.where(waits_for != -1, WAIT, GO)
        action = np.where((stopped_by != -1) | (level < 0), STOP, action)
        ends = np.array([r.keeps_dose for r in self.all_rules] + [True, False])  # own, none
        with_dose = ends[np.where(stopped_by == OWN, len(self.all_rules), stopped_by)]
        if (stopped_by != -1).any():
            final = np.where(with_dose, self._mtd_level(state, found), -1)
            level = np.where(stopped_by != -1, final, level)
        return Verdicts(Many(level, action), eligible, permits, stopped_by, waits_for)

    def _stopped(self, state: State, found: Summary, level: Ints) -> Ints:
        """Return the rule that stops each trial; rules that end without a dose come first."""
        out = np.full(state.size, -1)
        order = sorted(range(len(self.all_rules)), key=lambda i: self.all_rules[i].keeps_dose)
        for i in order:
            mask = self.all_rules[i].stop(state, found, level)
            if mask is not None:
                out = np.where(mask & (out == -1), i, out)
        return np.where(self._own_stop(state, level) & (out == -1), OWN, out)

    def _mtd_level(self, state: State, found: Summary) -> Ints:
        eligible = state.treated > 0
        for rule in self.all_rules:
            mask = rule.eligible(state, found) if rule.final else None
            if mask is not None:
                eligible = eligible & mask
        return self._select(state, found, eligible)

    def _decide_pending(self, state: State) -> Verdicts:
        """Decide where every outcome of the pending patients gives the same; else wait."""
        whole, owner = _outcomes(state)
        found = self._summary(whole, self.cutoffs())
        each = self._judge(whole, found)
        first = np.searchsorted(owner, np.arange(state.size))
        level, action = each.many.level, each.many.action
        differ = (level != level[first][owner]) | (action != action[first][owner])
        undecided = np.bincount(owner, weights=differ, minlength=state.size) > 0
        too_many = np.bincount(owner, minlength=state.size) > _MOST_OUTCOMES
        unsure = undecided | too_many
        many = Many(
            np.where(unsure, state.current, level[first]),
            np.where(unsure, WAIT, action[first]),
        )
        permits = [(r, None if m is None else m[first]) for r, m in each.permits]
        return Verdicts(
            many, each.eligible[first], permits, np.where(unsure, -1, each.stopped_by[first]),
            each.waits_for[first],
        )  # fmt: skip

    # --- one trial ---------------------------------------------------------------------------

    def recommend(self, data: DoseData | xr.Dataset) -> Decision:
        """Return the next dose, or that the trial must wait or stop, with the rule in words.

        Parameters
        ----------
        data : DoseData or xr.Dataset
            From ``dose.data`` or ``dose.counts``; a trial is read by ``dose.data``.

        Raises
        ------
        DataError
            If the planned doses are not those of the design.
        """
        data = self._taken(data)
        state = state_of_data(data)
        found = self._data_summary(data, state, self.cutoffs())
        pending = not self.uses_follow_up and bool(state.waiting.any())
        verdict = self._decide_pending(state) if pending else self._judge(state, found)
        level, action = int(verdict.many.level[0]), int(verdict.many.action[0])
        return Decision(
            self.description,
            _action(action, level, int(state.current[0])),
            data.levels.doses[level] if level >= 0 else None,
            None if data.current is None else data.levels.doses[data.current],
            self._reason(data, state, found, verdict),
            self._table(data, state, found, verdict),
            (*self._pending_now(data), *self._flags(data, found), *_data_flags(data)),
            data.levels.unit,
            self._cohort(state) if action == GO else None,
        )

    def mtd(self, data: DoseData | xr.Dataset) -> Decision:
        """Return the maximum tolerated dose at the end of the trial.

        Rules that hold only on the way (steps, cohorts, stopping) do not apply; doses never given
        are not chosen.

        Parameters
        ----------
        data : DoseData or xr.Dataset
            As in `recommend`; pending patients of designs without follow-up do not count.
        """
        data = self._taken(data)
        state = state_of_data(data)
        found = self._data_summary(data, state, self.cutoffs())
        level = int(self._mtd_level(state, found)[0])
        limits = [r.text for r in self.all_rules if r.final]
        among = "doses given" + (f" with {' and '.join(limits)}" if limits else "")
        if level >= 0:
            reason = f"{self._why_mtd(data, state, found, level)} among {among}."
        else:
            reason = f"There is no dose to select among {among}."
        final = _at_the_end(self._judge(state, found))
        table = self._table(data, state, found, final).drop(columns="next")
        for mask, why in ((data.treated > 0, "never given"), self._own_limit(state)):
            table["blocked_by"] = np.where(mask | ~table["eligible"], table["blocked_by"], why)
            table["eligible"] &= mask
        table["mtd"] = np.arange(len(data.levels)) == level
        flags = [*self._flags(data, found), *_data_flags(data)]
        if level >= 0:
            flags = [*self._mtd_flags(data, state, level), *flags]
        if data.pending.any():
            flags.insert(0, _pending_flag(data, counted=self._mtd_by_follow_up, final=True))
        return Decision(
            self.description, "select", data.levels.doses[level] if level >= 0 else None,
            None if data.current is None else data.levels.doses[data.current],
            reason, table, tuple(flags), data.levels.unit,
        )  # fmt: skip

    def _pending_now(self, data: DoseData) -> list[str]:
        """Return whose follow-up counts in part; other designs decide where it cannot matter."""
        if not self.uses_follow_up or not data.pending.any():
            return []
        return [_pending_flag(data, counted=True, final=False)]

    @property
    def _mtd_by_follow_up(self) -> bool:
        """Whether pending patients count by their follow-up for the MTD too."""
        return self.uses_follow_up

    def _taken(self, data: DoseData | xr.Dataset) -> DoseData:
        if isinstance(data, xr.Dataset):
            levels = getattr(self, "levels", None)
            data = from_trial(data, window=_WINDOW, as_of=None, levels=levels, unit=None)
        instance(data, DoseData, "what is known of a trial", "dose.data(trial) or dose.counts(...)")
        self._check(data)
        return data

    def _cohort(self, state: State) -> int | None:
        sizes = [int(r.next_size(state)[0]) for r in self.all_rules if isinstance(r, CohortSize)]
        return sizes[0] if sizes else None

    def _table(
        self, data: DoseData, state: State, found: Summary, verdict: Verdicts
    ) -> pd.DataFrame:
        table = data.table().assign(**self._columns(data, state, found))
        blocked = [
            "; ".join(r.text for r, m in verdict.permits if m is not None and not m[0, k])
            for k in range(len(data.levels))
        ]
        table["eligible"] = verdict.eligible[0]
        table["blocked_by"] = blocked
        going = verdict.many.action[0] == GO
        table["next"] = (np.arange(len(table)) == verdict.many.level[0]) & going
        table.attrs |= {"units": {"dose": data.levels.unit}, **self._attrs()}
        return table

    def _reason(self, data: DoseData, state: State, found: Summary, verdict: Verdicts) -> str:
        level, action = int(verdict.many.level[0]), int(verdict.many.action[0])
        limits = "; ".join(r.text for r, m in verdict.permits if m is not None)
        by = int(verdict.stopped_by[0])
        if action == WAIT:
            w = int(verdict.waits_for[0])
            if w >= 0:
                return f"There are {self.all_rules[w].text}."
            return self._why_wait(state)
        if by == OWN:
            return self._why_own_stop(data, level)
        if by >= 0:
            end = (
                self._why_mtd(data, state, found, level) + " among doses given"
                if level >= 0
                else ""
            )
            return f"Stopping rule: {self.all_rules[by].text}." + (f" {end}." if end else "")
        if action == STOP:
            return self._why_none(limits)
        why = self._why(data, state, found, level)
        return f"{why} among doses with {limits}." if limits else f"{why.rstrip(',')}."

    def _why_none(self, limits: str) -> str:
        return f"No dose is eligible: {limits}." if limits else "No dose is eligible."

    def _why_own_stop(self, data: DoseData, level: int) -> str:
        return "The design's own stopping rule holds."

    def _why_wait(self, state: State) -> str:
        """Say what each number of DLTs among the pending patients would lead to."""
        whole, _ = _outcomes(state)
        if whole.size > _MOST_OUTCOMES:
            return "Too many patients are still inside the window."
        many = self._judge(whole, self._summary(whole, self.cutoffs())).many
        added = (whole.y - state.y).sum(axis=1)
        said = []
        for j in np.unique(added):
            ways = {
                _action(int(a), int(k), int(state.current[0]))
                for a, k in zip(many.action[added == j], many.level[added == j], strict=True)
            }
            said.append(f"{j}: {' or '.join(sorted(ways))}")
        return (
            f"{int(state.waiting.sum())} patients are still inside the window and the decision "
            f"depends on their DLTs ({', '.join(said)})."
        )


def _outcomes(state: State) -> tuple[State, Ints]:
    """Return every outcome of the pending patients as complete trials, and whose each is."""
    owner: list[int] = []
    extra: list[tuple[int, ...]] = []
    waiting = state.waiting
    for t in range(state.size):
        choices = itertools.product(*(range(c + 1) for c in waiting[t]))
        found = list(itertools.islice(choices, _MOST_OUTCOMES + 1))
        owner += [t] * len(found)
        extra += found
    at, more = np.array(owner), np.array(extra, dtype=np.int64).reshape(-1, state.levels)
    n, y = state.n[at] + waiting[at], state.y[at] + more
    rows, here = np.arange(at.size), np.maximum(state.current[at], 0)
    last_n = state.last_n[at] + waiting[at][rows, here]
    return (
        state_of(
            n, y, state.current[at], treated=state.treated[at], doses=state.doses,
            last=(last_n, state.last_y[at] + more[rows, here]),
        ),
        at,
    )  # fmt: skip


def _action(action: int, level: int, current: int) -> Action:
    if action != GO:
        return "stop" if action == STOP else "wait"
    if current < 0 or level == current:
        return "stay"
    return "escalate" if level > current else "de-escalate"


def _data_flags(data: DoseData) -> list[str]:
    flags, everybody = list(data.doubts), len(data.patients)
    aside = [p for p in data.patients if not p.evaluable]
    if aside:
        flags.append(
            f"{everybody - len(aside)} of {words.count(everybody, 'patient')} count at the planned "
            f"level, without {_with_reasons(aside)}. Let the safety review confirm this before "
            "deciding; if somebody does count, correct the data and decide again."
        )
    odd = [p for p in data.patients if p.dlt and not p.informative]
    if odd:
        flags.append(
            f"A recorded DLT counts nowhere, of {_with_reasons(odd)}. Leaving it out "
            "makes the dose look safer: let the safety review say whether it counts."
        )
    return flags


def _with_reasons(patients: list[Patient]) -> str:
    """Return patients with why they do not count, those of one reason together."""
    by: dict[str, list[str]] = {}
    for p in patients:
        by.setdefault(p.reason.rstrip(".") or "no reason recorded", []).append(p.id)
    return "; ".join(f"{', '.join(ids)}: {why[:1].lower()}{why[1:]}" for why, ids in by.items())


def _pending_flag(data: DoseData, *, counted: bool, final: bool) -> str:
    """Return who is still inside the window, and what that means for the decision."""
    who = [p for p in data.patients if p.evaluable and p.pending]
    last = data.window - min(p.followed for p in who)
    named = ", ".join(f"{p.id} (day {p.followed:g})" for p in who)
    ways = "counted by share of follow-up" if counted else "not counted"
    do = (
        f"The MTD may change: decide when the last window has closed, in "
        f"{words.count(math.ceil(last), 'day')}."
        if final
        else "Decide again at once if one of them has a DLT."
    )
    return (
        f"{words.count(len(who), 'patient')} still inside the DLT window of {data.window:g} days, "
        f"{ways}: {named}. {do}"
    )


def _at_the_end(verdict: Verdicts) -> Verdicts:
    """Return which levels an MTD may have: rules that hold only on the way are left out."""
    permits = [(r, m) for r, m in verdict.permits if r.final]
    eligible = np.ones_like(verdict.eligible)
    for _, mask in permits:
        if mask is not None:
            eligible &= mask
    return replace(verdict, permits=permits, eligible=eligible)


def same_levels(design: str, planned: Levels, data: DoseData) -> None:
    """Raise if data are of other planned doses, or of another unit, than the design."""
    same = planned.unit == data.levels.unit and len(planned) == len(data.levels)
    if not same or not np.allclose(planned.doses, data.levels.doses, rtol=1e-6):
        shown = [words.doses(v.doses, v.unit) for v in (planned, data.levels)]
        raise DataError(
            f"{design} is for the doses {shown[0]}, but the data have {shown[1]}; give both the "
            "same levels."
        )
