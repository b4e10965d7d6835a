"""Rules, scenarios and paths: expectations follow from the rules' own words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from cart_pkpd import dose
from cart_pkpd._core.errors import DataError

LEVELS = (1e6, 3e6, 1e7, 3e7)
PRIOR = dose.BivariateNormal((-2.0, 0.0), (1.0, 0.5), 0.0)
SAFE = {1e6: (0, 6), 3e6: (0, 6)}  # so that a bare model wants the highest dose


def model(*rules):
    design = dose.BLRM(LEVELS, reference=1e7, prior=PRIOR, intervals=(0.16, 0.33))
    for rule in rules:
        design = design & rule
    return design


def at(observed, **more) -> dose.DoseData:
    return dose.counts(observed, levels=LEVELS, **more)


def test_rules_join_to_each_other_and_to_a_design():
    together = dose.EWOC(0.33, 0.25) & dose.NoSkip() & dose.MaxRatio(4)
    assert (model() & together).rules == (dose.EWOC(0.33, 0.25), dose.NoSkip(), dose.MaxRatio(4))
    assert model(dose.EWOC(0.33, 0.25), dose.NoSkip(), dose.MaxRatio(4)) == model() & together
    with pytest.raises(TypeError, match="only rules"):
        model() & 3


def test_no_skipping_counts_from_the_current_or_the_highest_dose():
    assert model().recommend(at(SAFE)).dose == 3e7
    assert model(dose.NoSkip()).recommend(at(SAFE)).dose == 1e7
    back = at(SAFE, current=1e6)
    assert model(dose.NoSkip()).recommend(back).dose == 3e6
    assert model(dose.NoSkip("highest")).recommend(back).dose == 1e7
    assert model(dose.NoSkip()).recommend(at({})).dose == 1e6


def test_the_largest_ratio_blocks_the_second_half_log_step():
    seen = at(SAFE)
    blocked = model(dose.MaxRatio(3.3)).recommend(seen)  # 1e7 / 3e6 = 3.33
    assert blocked.dose == 3e6
    assert blocked.table["blocked_by"][3] == "at most 3.3 times the current dose"
    assert model(dose.MaxRatio(3.34)).recommend(seen).dose == 1e7
    exactly = dose.counts({1.0: (0, 6)}, levels=(1.0, 1.1))
    close = dose.BLRM((1.0, 1.1), reference=1, prior=PRIOR, intervals=(0.16, 0.33))
    assert (close & dose.MaxRatio(1.1)).recommend(exactly).table["eligible"].all()


def test_the_largest_ratio_needs_doses():
    # BOIN has no doses of its own: those of the data count, not the places of the levels
    seen = at({1e6: (0, 3)})
    assert (dose.BOIN(0.25) & dose.MaxRatio(3.1)).recommend(seen).action == "escalate"
    assert (dose.BOIN(0.25) & dose.MaxRatio(2.9)).recommend(seen).action == "stay"
    batch = dose.BOIN(0.25) & dose.MaxRatio(2.9)
    with pytest.raises(DataError, match="doses="):
        batch.decide_many([[3, 0, 0, 0]], [[0, 0, 0, 0]], [0])
    assert batch.decide_many([[3, 0, 0, 0]], [[0] * 4], [0], doses=LEVELS).level[0] == 0
    assert dose.paths(batch, LEVELS, cohorts=1)["dose_2"][0] == 1e6


def test_ewoc_is_the_bound_on_the_overdose():
    seen = at({1e6: (0, 3), 3e6: (1, 3)})
    table = model().recommend(seen).table
    for bound in (0.05, 0.15, 0.5):
        found = model(dose.EWOC(0.33, bound)).recommend(seen).table
        assert found["eligible"].tolist() == (table["over"] <= bound).tolist()
    none = model(dose.EWOC(0.33, 1e-9)).recommend(seen)
    assert (none.action, none.dose) == ("stop", None)
    assert none.reason == "No dose is eligible: P(DLT rate ≥ 0.33) ≤ 1e-09 (EWOC)."


def test_coherence_looks_at_the_latest_cohort_or_the_dose():
    before = {1e6: (0, 6), 3e6: (0, 9)}
    from cart_pkpd._dose.scenarios import with_cohort

    # back at 1e6 after a stay at 3e6, then 1 DLT of 3 in the latest cohort at 3e6
    seen = with_cohort(with_cohort(at(before), 0, 3, 0), 1, 3, 1)
    assert model().recommend(seen).action == "escalate"
    assert model(dose.Coherence(0.25)).recommend(seen).action != "escalate"
    assert model(dose.Coherence(0.25, "dose")).recommend(seen).action == "escalate"  # 1 of 12
    assert model(dose.Coherence(0.25)).recommend(at(before)).action == "escalate"


def test_escalation_waits_for_enough_patients():
    few = at({1e6: (0, 6), 3e6: (0, 2)})
    assert model(dose.MinBeforeEscalation(3)).recommend(few).dose == 3e6
    assert model(dose.MinBeforeEscalation(2)).recommend(few).dose == 3e7


def test_stopping_for_toxicity_has_no_dose_and_needs_its_patients():
    seen = at({1e6: (3, 3)})
    over = model().recommend(seen).table["over"][1]
    stop = model(dose.StopIfToxic(0.33, over - 0.01)).recommend(seen)
    assert (stop.action, stop.dose) == ("stop", None)
    assert "at the lowest dose" in stop.reason
    assert model(dose.StopIfToxic(0.33, over + 0.01)).recommend(seen).action != "stop"
    assert model(dose.StopIfToxic(0.33, over - 0.01, 6)).recommend(seen).action != "stop"


def test_stopping_with_enough_known_keeps_the_dose():
    seen = at({1e6: (0, 3), 3e6: (0, 3), 1e7: (2, 9)})
    rules = dose.EWOC(0.33, 0.25) & dose.NoSkip()
    assert (model() & rules).recommend(seen).dose == 1e7
    stop = (model() & rules & dose.StopWhen(min_patients=15, at_dose=9)).recommend(seen)
    assert (stop.action, stop.dose) == ("stop", 1e7)
    assert "15 evaluable patients and 9 of them at the recommended dose" in stop.reason
    more = (model() & rules & dose.StopWhen(min_patients=15, at_dose=10)).recommend(seen)
    assert more.action != "stop"
    target = (model() & rules).recommend(seen).table["target"][3]
    for level, action in ((target - 0.01, "stop"), (target + 0.01, "stay")):
        rule = dose.StopWhen(target_probability=level, interval=(0.16, 0.33))
        assert (model() & rules & rule).recommend(seen).action == action
    assert model(dose.MaxPatients(15)).recommend(seen).action == "stop"
    assert model(dose.MaxPatients(16)).recommend(seen).action != "stop"


def test_futility_is_a_highest_dose_without_toxicity():
    seen = at({3e7: (0, 20)})
    under = 1 - float(model(dose.EWOC(0.1, 0.9)).recommend(seen).table["above_0.1"][4])
    rule = dose.StopIfUnderdosed(0.1, under - 0.01, min_patients=20)
    assert (model() & rule).recommend(seen).action == "stop"
    assert (model() & rule).recommend(seen).dose == 3e7
    assert model(dose.StopIfUnderdosed(0.1, under + 0.01, 20)).recommend(seen).action != "stop"
    assert model(dose.StopIfUnderdosed(0.1, under - 0.01, 21)).recommend(seen).action != "stop"


def test_too_many_pending_patients_mean_waiting():
    seen = at({1e6: (0, 3), 3e6: (0, 2)}, pending={3e6: [5, 9]})
    assert model(dose.MaxPending(0.5)).recommend(seen).action == "escalate"
    wait = model(dose.MaxPending(0.4)).recommend(seen)
    assert wait.action == "wait"
    assert "more than 0.4" in wait.reason


def test_cohorts_grow_with_the_first_dlt():
    rule = dose.CohortSize(3, before_dlt=1)
    assert model(rule).recommend(at({1e6: (0, 1)})).cohort == 1
    assert model(rule).recommend(at({1e6: (1, 3)})).cohort == 3
    assert "1 patient." in model(rule, dose.NoSkip()).recommend(at({1e6: (0, 1)})).sentence


def test_the_mtd_is_among_doses_given_and_ignores_steps():
    seen = at({1e6: (0, 6), 3e6: (0, 6), 1e7: (1, 6)}, current=1e6)
    design = model(dose.NoSkip(), dose.EWOC(0.33, 0.25))
    assert design.recommend(seen).dose == 3e6
    found = design.mtd(seen)
    assert found.dose == 1e7
    assert found.table["mtd"].tolist() == [False, False, True, False]
    none = model(dose.EWOC(0.33, 1e-9)).mtd(seen)
    assert none.dose is None
    assert "no dose to select" in none.reason
    assert design.mtd_many(seen.n, seen.dlts)[0] == 2


def test_rules_hold_for_the_other_designs_too():
    seen = at({1e6: (0, 2)})
    assert dose.BOIN(0.25).recommend(seen).dose == 3e6
    assert (dose.BOIN(0.25) & dose.MinBeforeEscalation(3)).recommend(seen).dose == 1e6
    crm = dose.CRM((0.05, 0.12, 0.25, 0.4), 0.25, 1.34**0.5)
    assert crm.recommend(at({1e6: (0, 3)})).dose == 3e7
    assert (crm & dose.NoSkip()).recommend(at({1e6: (0, 3)})).dose == 3e6


@pytest.mark.parametrize(
    "call",
    [
        lambda: dose.EWOC(0, 0.25), lambda: dose.EWOC(0.33, 1.5), lambda: dose.NoSkip("last"),
        lambda: dose.MaxRatio(1.0), lambda: dose.MinBeforeEscalation(0), lambda: dose.StopWhen(),
        lambda: dose.StopWhen(target_probability=0.5), lambda: dose.MaxPending(1.0),
        lambda: dose.CohortSize(0), lambda: dose.Coherence(0.3, "trial"),
        lambda: dose.Mixture((1.0,), ()), lambda: dose.Onset((0, 28), (0, 0.9)),
    ],
)  # fmt: skip
def test_impossible_rules_are_refused(call):
    with pytest.raises(ValueError, match=r"must|needs|unknown|takes"):
        call()


def test_batches_refuse_impossible_counts():
    with pytest.raises(DataError, match="trial 1, level 2: 4 DLTs of 3"):
        dose.BOIN(0.25).decide_many([[3, 3], [3, 3]], [[0, 0], [0, 4]], [0, 0])
    with pytest.raises(DataError, match="shape"):
        dose.BOIN(0.25).decide_many([[3, 3]], [[0, 0, 0]], [0])
    with pytest.raises(DataError, match="current levels"):
        dose.BOIN(0.25).decide_many([[3, 3]], [[0, 0]], [2])


# --- scenarios and paths -----------------------------------------------------------------------


def test_scenarios_are_the_decisions_after_each_number_of_dlts():
    design = model(dose.EWOC(0.33, 0.25), dose.NoSkip())
    seen = at({1e6: (0, 3), 3e6: (0, 3)})
    table = dose.scenarios(design, seen, cohort=3)
    assert table.index.tolist() == [0, 1, 2, 3]
    assert (table["dose"] == 1e7).all()
    assert table["probability"].sum() == pytest.approx(1)
    for y, row in table.iterrows():
        one = design.recommend(at({1e6: (0, 3), 3e6: (0, 3), 1e7: (y, 3)}))
        assert (row["action"], row["next_dose"]) == (one.action, one.dose)
    boin = dose.scenarios(dose.BOIN(0.25), seen, dose=3e6)
    assert boin["action"].tolist() == ["escalate", "escalate", "de-escalate", "de-escalate"]
    assert "probability" not in boin
    with pytest.raises(DataError, match="no next cohort"):
        dose.scenarios(dose.BOIN(0.25), at({1e6: (3, 3)}))


def test_paths_are_the_whole_tree_of_boin():
    table = dose.paths(dose.BOIN(0.3), LEVELS, cohorts=2)
    # 3 of 3 at the lowest dose ends the trial: 3 · 4 + 1 paths.
    assert len(table) == 13
    # Target 0.30 eliminates at 4 of 6: after 1 + 3, 2 + 2 and 2 + 3; and after 3 of 3.
    assert table["stopped"].sum() == 4
    for _, row in table.iterrows():
        first = {LEVELS[0]: (int(row["dlts_1"]), 3)}
        assert row["dose_1"] == LEVELS[0]
        one = dose.BOIN(0.3).recommend(at(first))
        if one.action == "stop":
            assert np.isnan(row["dose_2"])
        else:
            assert row["dose_2"] == one.dose
    with pytest.raises(DataError, match="ask for fewer"):
        dose.paths(dose.BOIN(0.3), LEVELS, cohorts=20)


def test_prior_tables_say_what_is_assumed():
    assert dose.BOIN(0.25).prior_table()["over"][0] == pytest.approx(0.75)  # uniform
    crm = dose.CRM((0.05, 0.12, 0.25, 0.4), 0.25, 1.34**0.5).prior_table()
    assert_allclose(crm["plug_in"], crm["skeleton"], atol=1e-9)  # E[b] = 0
    # P(s^exp(b) > 0.25) = 1/2 exactly where the skeleton is the target
    assert crm["over"][3] == pytest.approx(0.5, abs=1e-6)
    assert isinstance(dose.ThreePlusThree("stop").prior_table(), pd.DataFrame)
