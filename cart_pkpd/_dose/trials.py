"""Simulated trials, many at once: patient after patient, all trials of a block in step.

Before its i-th patient every running trial has had i patients, so a block is a table of trials ×
patients. A trial whose cohort is complete decides first: designs that use follow-up on the day on
which the next patient is available, with others still inside the window; other designs once every
outcome of the cohort is known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cart_pkpd._core.errors import DataError
from cart_pkpd._dose.blrm import BLRM
from cart_pkpd._dose.design import Design
from cart_pkpd._dose.levels import Levels
from cart_pkpd._dose.rules import CohortSize
from cart_pkpd._dose.simulated_patients import Drawn, Draws, Records
from cart_pkpd._dose.state import GO, STOP, WAIT, Floats, Ints, Many, Mask, State, Summary, state_of
from cart_pkpd._dose.threeplusthree import ThreePlusThree
from cart_pkpd._dose.trial_scenario import Scenario

FULL, WITH_DOSE, WITHOUT = 0, 1, 2  # how trials end
_TOO_MANY = 100  # patients treated per patient that counts: something is wrong


@dataclass(frozen=True, eq=False)
class Ended:
    """T finished trials.

    Attributes
    ----------
    records : Records
        Every patient; the first ``treated`` of each row.
    treated : ndarray of int, shape (T,)
        Patients treated.
    mtd : ndarray of int, shape (T,)
        Level selected, from 0; -1 for none.
    ended : ndarray of int, shape (T,)
        0 at the largest size, 1 stopped with a dose, 2 stopped without.
    length : ndarray of int, shape (T,)
        From the first infusion to the last outcome or the last decision. [day]
    """

    records: Records
    treated: Ints
    mtd: Ints
    ended: Ints
    length: Ints


def simulate(design: Design, scenario: Scenario, draws: Draws, size: int, follow: bool) -> Ended:
    """Return a block of finished trials.

    Parameters
    ----------
    design : Design
    scenario : Scenario
    draws : Draws
    size : int
        Number of trials.
    follow : bool
        Whether decisions are made while patients are inside the window.
    """
    return _Block(design, scenario, draws, size, follow).run()


class _Block:
    def __init__(
        self, design: Design, scenario: Scenario, draws: Draws, size: int, follow: bool
    ) -> None:
        self.design, self.s, self.draws, self.follow = design, scenario, draws, follow
        self.records = Records.empty(size, scenario.max_patients + scenario.cohort)
        whole = [np.zeros(size, np.int64) for _ in range(5)]
        self.cohort, self.run_start, self.treated, self.ended, self.decided = whole
        self.running = np.ones(size, dtype=bool)
        self.level = np.full(size, scenario.first)
        self.arrival = np.zeros(size)
        nobody = np.zeros((size, len(scenario.planned)), np.int64)
        start = state_of(nobody, nobody, -1, doses=scenario.planned.array)
        self.need = np.minimum(self._size(start, self.level), scenario.max_patients)

    # --- the course of trials ------------------------------------------------------------------

    def run(self) -> Ended:
        i = 0
        while self.running.any():
            if i > _TOO_MANY * self.s.max_patients:
                raise DataError(
                    f"trials with {self.s.max_patients} patients have treated {i} and go on; "
                    "lower dropout or below, or set replace=False."
                )
            drawn = self.draws.next()
            self.arrival += drawn.gap if i else 0.0
            day = self._days(i, drawn)
            rows = np.flatnonzero(self.running)
            self.records.room(i + 1)
            self.records.add(i, rows, self.level[rows], day[rows], drawn, self.s)
            self.treated[rows] = i + 1
            i += 1
        return self._end()

    def _days(self, i: int, drawn: Drawn) -> Ints:
        """Return the day of the i-th infusion of every trial, after the decisions it needs."""
        day = np.zeros(self.running.size, np.int64)
        rows = np.flatnonzero(self.running)
        if i == 0:
            return day
        inside = i - self.cohort[rows] < self.need[rows]
        going = rows[inside]
        day[going] = self._available(self._staggered(going, i), drawn, going)
        full = rows[~inside]
        if self.follow:
            at = self._available(self._staggered(full, i), drawn, full)
            self._decide_while_following(i, full, at, day)
        else:
            self._decide_when_known(i, full, drawn, day)
        return day

    def _staggered(self, rows: Ints, i: int) -> Ints:
        return self.records.infused[rows, i - 1] + self.s.stagger

    def _available(self, opens: Ints, drawn: Drawn, rows: Ints) -> Ints:
        """Return the day on which a patient is there for a place that opens."""
        if self.s.waiting_list:
            return np.maximum(opens, np.rint(self.arrival[rows]).astype(np.int64))
        return opens + np.rint(drawn.gap[rows]).astype(np.int64)

    def _decide_when_known(self, i: int, rows: Ints, drawn: Drawn, day: Ints) -> None:
        seen = self.records.first(rows, i)
        mine = np.arange(i) >= self.cohort[rows][:, None]
        lost = np.where(mine, seen.lost, np.iinfo(np.int64).max)
        missing = self._missing(rows, i, lost, seen.known.max(axis=1))
        again = missing > 0
        if again.any():  # the n-th replacement may come when the n-th patient is lost
            at = rows[again]
            order = np.sort(lost[again], axis=1)
            place = i - self.cohort[at] - self.need[at]
            opens = np.maximum(order[np.arange(at.size), place], self._staggered(at, i))
            day[at] = self._available(opens, drawn, at)
        rows, known = rows[~again], seen.known.max(axis=1)[~again] + self.s.meeting
        going = self._decide(i, rows, known)
        if (going == WAIT).any():
            raise DataError(
                f"{self.design.name} asks to wait although every outcome is known; its rules can "
                "never be met."
            )
        on = going == GO
        day[rows[on]] = self._available(known[on], drawn, rows[on])

    def _decide_while_following(self, i: int, rows: Ints, at: Ints, day: Ints) -> None:
        """Decide on the day a patient is available, and again whenever an outcome is known."""
        while rows.size:
            seen = self.records.first(rows, i)
            mine = np.arange(i) >= self.cohort[rows][:, None]
            lost = np.where(mine, seen.lost, np.iinfo(np.int64).max)
            again = self._missing(rows, i, lost, at) > 0
            day[rows[again]] = at[again]
            rows, at, seen = rows[~again], at[~again], seen.first(np.flatnonzero(~again), i)
            going = self._decide(i, rows, at)
            on, wait = going == GO, going == WAIT
            if not rows.size:
                break
            day[rows[on]] = at[on]
            later = np.where(seen.known > at[:, None], seen.known, np.iinfo(np.int64).max)
            if (later[wait] == np.iinfo(np.int64).max).all(axis=1).any():
                raise DataError(
                    f"{self.design.name} asks to wait although every outcome is known; its rules "
                    "can never be met."
                )
            at = later.min(axis=1)[wait]
            rows = rows[wait]

    def _missing(self, rows: Ints, i: int, lost: Ints, at: Ints) -> Ints:
        """Return how many patients of the cohort are still to be replaced by a day."""
        if not self.s.replace:
            return np.zeros(rows.size, np.int64)
        gone = (lost <= at[:, None]).sum(axis=1)
        return self.need[rows] - (i - self.cohort[rows] - gone)

    # --- decisions -----------------------------------------------------------------------------

    def _decide(self, i: int, rows: Ints, at: Ints) -> Ints:
        """Decide trials on their days; set what follows, and return GO, STOP or WAIT for each.

        A trial at its largest size follows its patients to the end; if some prove not evaluable it
        goes on from there.
        """
        if not rows.size:
            return np.zeros(0, np.int64)
        seen = self.records.first(rows, i)
        full = self._left(seen, at, i) <= 0
        last = seen.known.max(axis=1)
        over = full & (self._left(seen, last, i) <= 0)
        action = np.where(over, STOP, GO)
        action = np.where(full & ~over & (at < last), WAIT, action)
        self.ended[rows[over]] = FULL
        self.running[rows[over]] = False
        self.decided[rows[over]] = last[over]
        asked = np.flatnonzero(action == GO)
        if asked.size:
            self._ask(i, rows[asked], at[asked], action, asked)
        return action

    def _ask(self, i: int, rows: Ints, at: Ints, action: Ints, place: Ints) -> None:
        seen = self.records.first(rows, i)
        state, found = self._state(rows, seen, at)
        many = self._judge(state, found)
        action[place] = many.action
        stop, go = many.action == STOP, many.action == GO
        at_stop = rows[stop]
        self.running[at_stop] = False
        self.decided[at_stop] = at[stop]
        self.ended[at_stop] = np.where(many.level[stop] < 0, WITHOUT, WITH_DOSE)
        on, level = rows[go], many.level[go]
        moved = level != self.level[on]
        self.run_start[on] = np.where(moved, i, self.run_start[on])
        self.level[on], self.cohort[on] = level, i
        size = self._size(state, many.level)[go]
        self.need[on] = np.minimum(size, self._left(seen, at, i)[go])

    def _left(self, seen: Records, at: Ints, i: int) -> Ints:
        """Return how many more patients the trial may have."""
        gone = (seen.lost <= at[:, None]).sum(axis=1) * self.s.replace
        return self.s.max_patients - (i - gone)

    def _judge(self, state: State, found: Summary | None) -> Many:
        if found is None:
            return self.design._decide(state).many
        return self.design._judge(state, found).many

    def _size(self, state: State, level: Ints) -> Ints:
        """Return the size of the next cohort, shape (T,)."""
        for rule in self.design.all_rules:
            if isinstance(rule, CohortSize):
                return rule.next_size(state)
        if isinstance(self.design, ThreePlusThree):  # three, then up to six
            have = state.n[np.arange(state.size), np.maximum(level, 0)]
            return np.where(have < 3, 3 - have, np.where(have < 6, 6 - have, 3))
        return np.full(state.size, self.s.cohort)

    # --- what is known on a day ------------------------------------------------------------------

    def _state(self, rows: Ints, seen: Records, at: Ints) -> tuple[State, Summary | None]:
        """Return trials on their days, and the posterior where amounts below the range count."""
        k, window = len(self.s.planned), self.s.window
        known = seen.known <= at[:, None]
        counted, waits = known & ~seen.gone, ~known
        fits = ~seen.below
        place = np.arange(rows.size)[:, None] * k + seen.level

        def count(mask: Mask) -> Ints:
            return np.bincount(place[mask], minlength=rows.size * k).reshape(-1, k)

        def pending(mask: Mask) -> Ints:
            age = at[:, None] - seen.infused
            flat = np.bincount((place * window + age)[mask], minlength=rows.size * k * window)
            return flat.reshape(-1, k, window)

        share = np.arange(window) / window if waits.any() else None
        here = counted & fits & (np.arange(seen.level.shape[1]) >= self.run_start[rows][:, None])
        n, y = count(counted & fits), count(counted & fits & seen.dlt)
        late = pending(waits & fits) if share is not None else None
        state = state_of(
            n, y, self.level[rows], treated=count(np.ones_like(known)), pending=late, share=share,
            last=(here.sum(axis=1), (here & seen.dlt).sum(axis=1)),
            doses=self.s.planned.array,
        )  # fmt: skip
        if not (isinstance(self.design, BLRM) and seen.below.any()):
            return state, None
        apart = [n, count(counted & ~fits), y, count(counted & ~fits & seen.dlt)]
        both = None if late is None else (late, pending(waits & ~fits))
        return state, self._with_amounts(self.design, apart, both, share)

    def _with_amounts(
        self, design: BLRM, counts: list[Ints], pending: tuple[Ints, Ints] | None,
        share: Floats | None,
    ) -> Summary:  # fmt: skip
        """Return the BLRM's posterior with the patients given less at the amounts they had."""
        planned, less = self.s.planned.array, self.s.below_doses
        doses, place = np.unique(np.concatenate([planned, less]), return_inverse=True)
        k = planned.size
        a, b = place[:k], place[k:]

        def spread(at_level: Ints, at_less: Ints) -> Ints:
            out = np.zeros((at_level.shape[0], doses.size, *at_level.shape[2:]), np.int64)
            out[:, a] += at_level
            out[:, b] += at_less
            return out

        n, y = spread(counts[0], counts[1]), spread(counts[2], counts[3])
        late = None if pending is None else spread(*pending)
        wide = replace(design, levels=Levels(tuple(doses), self.s.planned.unit))
        state = state_of(n, y, -1, pending=late, share=share, doses=doses)
        found = wide._summary(state, design.cutoffs())
        above = {c: v[:, a] for c, v in found.above.items()}
        return Summary(found.mean[:, a], found.plug[:, a], above)

    # --- the end -------------------------------------------------------------------------------

    def _end(self) -> Ended:
        treated = self.treated
        self.records.room(int(treated.max()))
        last = np.zeros_like(treated)
        mtd = np.full(treated.size, -1)
        for size in np.unique(treated):
            rows = np.flatnonzero(treated == size)
            seen = self.records.first(rows, int(size))
            last[rows] = seen.known.max(axis=1)
            state, found = self._state(rows, seen, last[rows])
            if found is None:
                found = self.design._summary(state, self.design.cutoffs())
            mtd[rows] = self.design._mtd_level(state, found)
        mtd[self.ended == WITHOUT] = -1
        length = np.maximum(last, self.decided)
        return Ended(self.records, treated, mtd, self.ended, length)
