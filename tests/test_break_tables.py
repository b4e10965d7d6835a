"""Tables damaged on purpose: each is read right, with the guess told, or refused by name."""

from __future__ import annotations

import time
from collections import Counter

import damage
import damage_rows  # noqa: F401  # adds its ways
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from cart_pkpd import data
from cart_pkpd._core.errors import DataError

SECONDS = 20.0  # CPU; a case takes about 0.02
TOLERANCE = 1e-9  # of times [day] and, relatively, of values: conversions round


def read(case, folder):
    path = folder / case.file
    path.write_bytes(case.content)
    start = time.process_time()
    try:
        return data.read_table(path, echo=False, **case.options)
    finally:
        assert time.process_time() - start < SECONDS
        path.unlink()


def judge(case, folder):
    """Fail unless the table is read right or refused, as the case allows."""
    error, trial = None, None
    try:
        trial = read(case, folder)
    except DataError as caught:
        error = caught
    if error is not None:
        assert case.outcome != damage.SAME, f"refused: {error}"
        refused_by_name(error, case)
        return "refused"
    assert case.outcome != damage.REFUSED, data.import_report(trial)
    report = data.import_report(trial)
    said = "\n".join([*report.guesses, *report.notes, *(e.reason for e in report.exclusions)])
    for words in case.says:
        assert words in said, said
    read_right(trial, case.truth)
    return "read"


def refused_by_name(error, case):
    messages = [problem.message for problem in error.problems]
    assert all(20 < len(m) < 1000 and m.endswith((".", ")")) for m in messages), messages
    if case.outcome == damage.REFUSED:
        assert any(all(n in m for n in case.names) for m in messages), (case.names, messages)


def read_right(trial, truth):
    """Compare every record, dose and covariate with the cells of the table."""
    seen = {}
    for i in range(trial.sizes["obs"]):
        key = str(trial.patient.values[i]), str(trial.endpoint.values[i])
        mine = [t for who, name, t in truth.observations if (who, name) == key]
        when = near(float(trial.time.values[i]), mine)
        assert (*key, when) not in seen
        seen[(*key, when)] = str(trial.censoring.values[i]), float(trial.dv.values[i])
    assert seen.keys() == truth.observations.keys()
    for key, (word, value) in truth.observations.items():
        assert seen[key][0] == word, key
        np.testing.assert_allclose(seen[key][1], value, rtol=TOLERANCE)
        assert not np.signbit(seen[key][1])
    doses_right(trial, truth)
    for i, who in enumerate(trial.id.values):
        sex, age, weight = truth.covariates[str(who)]
        assert str(trial.sex.values[i]) == sex
        np.testing.assert_allclose((trial.age.values[i], trial.weight.values[i]), (age, weight))


def doses_right(trial, truth):
    given_ = zip(
        trial.dose_patient.values, trial.dose_time.values, trial.amount.values, strict=True
    )
    got = {(str(who), round(float(t), 6)): float(a) for who, t, a in given_}
    assert got == {(who, round(t, 6)): a for (who, t), a in truth.doses.items()}


def near(time, known):
    found = [t for t in known if abs(t - time) <= TOLERANCE * max(1.0, abs(t), 45_000)]
    assert len(found) == 1, (time, known)
    return found[0]


def break_in(name, rows, examples, folder):
    """Judge cases of one way of damage; return the different cases and how they ended."""
    seen, ends = set(), Counter()

    @settings(
        max_examples=examples, derandomize=True, database=None, deadline=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(damage.cases(name, rows))
    def one(case):
        seen.add((case.content, case.file, repr(case.options)))
        try:
            ends[judge(case, folder)] += 1
        except BaseException as error:
            error.add_note(f"way of damage: {name}; file {case.file}, {case.options}")
            raise

    one()
    return seen, ends


def break_it(rows, examples, folder):
    """Judge every way; return how many different cases there were, and how they ended."""
    distinct, ends = 0, Counter()
    for name in damage.WAYS:
        seen, ended = break_in(name, rows, examples, folder)
        distinct += len(seen)
        ends += ended
    return distinct, ends


def test_the_good_table_is_read_right(tmp_path):
    rows = damage.good()
    assert judge(damage.case(rows, damage.SAME, rows), tmp_path) == "read"
    assert len({r["ID"] for r in rows}) == 3
    assert sum(r["CENS"] == "1" for r in rows) > 0


def test_every_damage_is_read_right_or_refused_by_name(tmp_path):
    distinct, ends = break_it(damage.good, 9, tmp_path)
    assert distinct >= 300
    assert min(ends["read"], ends["refused"]) >= 90


@pytest.mark.nightly
@pytest.mark.parametrize("patients", [1, 3, 30])
def test_every_damage_of_larger_tables(patients, tmp_path):
    distinct, _ = break_it(lambda: damage.good(max(patients, 2), 400.0), 60, tmp_path)
    assert distinct >= 1500
