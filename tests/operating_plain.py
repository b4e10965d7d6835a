"""One simulated trial at a time, patient by patient, decided by ``recommend`` and ``mtd``.

Written without the arrays of the package: a list of patients, a calendar, and the rules of the
guide. The random numbers are those of the package, so that trials can be compared one by one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cart_pkpd import dose
from cart_pkpd._dose.simulated_patients import Draws

NAN = float("nan")


@dataclass
class Treated:
    level: int
    day: int
    below: bool
    dlt: bool
    outcome: int  # day of the trial on which the outcome is known
    gone: bool  # leaves without a DLT

    def lost_on(self):
        return self.day if self.below else self.outcome if self.gone else None


@dataclass
class Course:
    treated: list = field(default_factory=list)
    mtd: float | None = None
    length: int = 0
    decisions: int = 0


def chances(scenario, trials, seed, patients=150):
    """What chance holds for the patients of each trial."""
    draws = Draws(scenario, trials, seed, 0)
    drawn = [draws.next() for _ in range(patients)]
    return [
        [
            (float(d.gap[t]), float(d.u[t]), int(d.onset[t]),
             int(d.last[t]) if d.leaves[t] else None, bool(d.below[t]))
            for d in drawn
        ] for t in range(trials)
    ]  # fmt: skip


def as_data(scenario, people, today):
    """What is known on a day, as the guide says who counts."""
    levels, window = scenario.planned, scenario.window
    patients = []
    for j, p in enumerate(people):
        known = p.outcome <= today
        gone = known and p.gone
        planned = levels.doses[p.level]
        amount = planned * scenario.below_amount if p.below else planned
        patients.append(
            dose.Patient(
                str(j), p.level, planned, amount, known and p.dlt, NAN,
                float(window if known else today - p.day), not gone and not p.below, not gone,
                not known,
            )
        )  # fmt: skip
    return dose.DoseData(levels, tuple(patients), float(window))


def treat(scenario, chance, level, day):
    _, u, onset, last, below = chance
    p = (scenario.below_rates if below else scenario.rates)[level]
    dlt = u < p and (last is None or onset <= last)
    if dlt:
        return Treated(level, day, below, True, day + onset, False)
    if last is not None:
        return Treated(level, day, below, False, day + last + 1, True)
    return Treated(level, day, below, False, day + scenario.window, False)


def lost(people, today):
    return sum(p.lost_on() is not None and p.lost_on() <= today for p in people)


def size_of(design, scenario, data, level):
    for rule in design.all_rules:
        if isinstance(rule, dose.CohortSize):
            y = int(data.dlts.sum())
            return rule.size if y or rule.before_dlt is None else rule.before_dlt
    if isinstance(design, dose.ThreePlusThree):
        n = int(data.n[level])
        return 3 - n if n < 3 else 6 - n if n < 6 else 3
    return scenario.cohort


def run(design, scenario, chance, follow):
    s, people, course = scenario, [], Course()
    course.treated = people
    level = s.first
    need = min(size_of(design, s, as_data(s, [], 0), level), s.max_patients)
    cohort = 0  # number of the first patient of the cohort
    arrival = 0.0

    def available(opens, i):
        if s.waiting_list:
            return max(opens, round(arrival))
        return opens + round(chance[i][0])

    def left(today):
        return s.max_patients - (len(people) - (lost(people, today) if s.replace else 0))

    def finish(today, none=False):
        last = max(p.outcome for p in people)
        course.length = max(last, today)
        course.mtd = None if none else design.mtd(as_data(s, people, last)).dose
        return course

    while True:
        i = len(people)
        if i:
            arrival += chance[i][0]
        if i == 0:
            people.append(treat(s, chance[0], level, 0))
            continue
        ready = people[-1].day + s.stagger
        if i - cohort < need:
            people.append(treat(s, chance[i], level, available(ready, i)))
            continue
        mine = people[cohort:]
        today = available(ready, i) if follow else max(p.outcome for p in people)
        while True:
            missing = need - (len(mine) - lost(mine, today)) if s.replace else 0
            if missing > 0:
                if not follow:
                    days = sorted(p.lost_on() for p in mine if p.lost_on() is not None)
                    today = available(max(days[len(mine) - need], ready), i)
                people.append(treat(s, chance[i], level, today))
                break
            if not follow:
                today += s.meeting
            last = max(p.outcome for p in people)
            if left(today) <= 0:
                if left(last) <= 0:
                    return finish(last)
                today = min(p.outcome for p in people if p.outcome > today)
                continue
            data = as_data(s, people, today)
            found = design.recommend(data)
            course.decisions += 1
            if found.action == "stop":
                return finish(today, none=found.dose is None)
            if found.action == "wait":
                today = min(p.outcome for p in people if p.outcome > today)
                continue
            level = s.planned.index(found.dose)
            need = min(size_of(design, s, data, level), left(today))
            cohort = i
            day = today if follow else available(today, i)
            people.append(treat(s, chance[i], level, day))
            break


@dataclass
class Differences:
    """Trials that differ from those simulated one at a time in anything; and the decisions made."""

    trials: list
    decisions: int = 0


def differences(design, scenario, trials, seed, pending="design"):
    found = dose.simulate_trials(
        design, scenario, trials, seed=seed, pending=pending, patients=True
    )
    follow = design.uses_follow_up and pending == "design"
    out = Differences([])
    for t, chance in enumerate(chances(scenario, trials, seed)):
        course = run(design, scenario, chance, follow)
        out.decisions += course.decisions
        m = int(found["n_treated"].values[t].sum())
        column = {k: found[f"patient_{k}"].values[t, :m].tolist()
                  for k in ("level", "infused", "known", "dlt")}  # fmt: skip
        mtd = 0 if course.mtd is None else scenario.planned.index(course.mtd) + 1
        same = (
            column["level"] == [p.level + 1 for p in course.treated]
            and column["infused"] == [p.day for p in course.treated]
            and column["known"] == [p.outcome for p in course.treated]
            and column["dlt"] == [p.dlt for p in course.treated]
            and int(found["mtd"][t]) == mtd
            and int(found["trial_length"][t]) == course.length
        )
        if not same:
            out.trials.append(t)
    return out
