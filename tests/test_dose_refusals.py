"""What is no number, design or scenario is refused with a sentence, wherever it is given."""

from __future__ import annotations

import pytest

from cart_pkpd import dose
from cart_pkpd._core.errors import CartError, DataError

NAN = float("nan")
LEVELS = (1e6, 3e6, 1e7)
NORMAL = dose.BivariateNormal((-1.0, 0.0), (2.0, 1.0), 0.0)
RUN = {"levels": LEVELS, "p": (0.1, 0.2, 0.3), "target": 0.3, "max_patients": 9, "accrual": 2.0}
TRUTH, BOIN = dose.Scenario(**RUN), dose.BOIN(0.3)
SEEN = dose.counts({1e6: (0, 3)}, levels=LEVELS)


def blrm(**more):
    given = {"reference": 1e7, "prior": NORMAL, "intervals": (0.16, 0.33)}
    return dose.BLRM(LEVELS, **(given | more))


# Each takes a value that it must refuse.
DESIGNS = {
    "BOIN": dose.BOIN,
    "BOIN, eliminate": lambda v: dose.BOIN(0.3, eliminate=v),
    "BOIN, mtd_prior": lambda v: dose.BOIN(0.3, mtd_prior=v),
    "TITE-BOIN, max_pending": lambda v: dose.TITEBOIN(0.3, max_pending=v),
    "mTPI": lambda v: dose.MTPI(v, 0.05, 0.05),
    "keyboard, margin": lambda v: dose.Keyboard(0.3, v, 0.05),
    "TPI, prior": lambda v: dose.TPI(0.3, 1.0, 1.5, v),
    "3+3": dose.ThreePlusThree,
    "CRM": lambda v: dose.CRM((0.1, 0.2, 0.3), v, sd=1.0),
    "CRM, skeleton": lambda v: dose.CRM(v, 0.3, sd=1.0),
    "CRM, sd": lambda v: dose.CRM((0.1, 0.2, 0.3), 0.3, sd=v),
    "skeleton": lambda v: dose.skeleton(v, 0.3, 2, 5),
    "BLRM, reference": lambda v: blrm(reference=v),
    "BLRM, prior": lambda v: blrm(prior=v),
    "BLRM, intervals": lambda v: blrm(intervals=v),
    "BLRM, one end": lambda v: blrm(intervals=(v, 0.33)),
    "BLRM, choice": lambda v: blrm(choice=v),
    "prior, mean": lambda v: dose.BivariateNormal(v, (2.0, 1.0), 0.0),
    "prior, one mean": lambda v: dose.BivariateNormal((v, 0.0), (2.0, 1.0), 0.0),
    "prior, corr": lambda v: dose.BivariateNormal((0.0, 0.0), (2.0, 1.0), v),
    "mixture, weights": lambda v: dose.Mixture(v, (NORMAL,)),
    "mixture, parts": lambda v: dose.Mixture((1.0,), v),
    "onset, days": lambda v: dose.Onset(v, (0, 1)),
    "EWOC": lambda v: dose.EWOC(v, 0.25),
    "NoSkip": dose.NoSkip,
    "MaxRatio": dose.MaxRatio,
    "MaxPending": dose.MaxPending,
    "CohortSize": dose.CohortSize,
    "StopIfToxic": lambda v: dose.StopIfToxic(0.3, 0.9, v),
    "StopWhen": lambda v: dose.StopWhen(target_probability=0.5, interval=v),
}
ASKED = {
    "recommend": BOIN.recommend,
    "mtd": BOIN.mtd,
    "decide_many": lambda v: BOIN.decide_many(v, [[0, 0, 0]], [0]),
    "boundaries": BOIN.boundaries,
    "decision_table": BOIN.decision_table,
    "curve": lambda v: blrm().curve(v),
    "order_free": dose.order_free,
    "scenarios, design": lambda v: dose.scenarios(v, SEEN),
    "scenarios, data": lambda v: dose.scenarios(BOIN, v),
    "paths": lambda v: dose.paths(v, LEVELS),
    "counts": lambda v: dose.counts({1e6: v}, levels=LEVELS),
    "window": lambda v: dose.counts({1e6: (0, 3)}, levels=LEVELS, window=v),
    "simulated design": lambda v: dose.simulate_trials(v, TRUTH, 5, seed=1),
    "scenario": lambda v: dose.simulate_trials(BOIN, v, 5, seed=1),
    "trials": lambda v: dose.simulate_trials(BOIN, TRUTH, v, seed=1),
    "seed": lambda v: dose.simulate_trials(BOIN, TRUTH, 5, seed=v),
    "designs": lambda v: dose.compare_designs(v, {"a": TRUTH}, 5, seed=1),
    "scenarios": lambda v: dose.compare_designs({"x": BOIN}, v, 5, seed=1),
    "jobs": lambda v: dose.compare_designs({"x": BOIN}, {"a": TRUTH}, 5, seed=1, jobs=v),
    "table": dose.operating_table,
    "standard": lambda v: dose.standard_rates(v, 3, 0.3),
    "standard levels": lambda v: dose.standard_rates("flat", v, 0.3),
    **{
        f"Scenario, {k}": (lambda v, k=k: dose.Scenario(**(RUN | {k: v})))
        for k in (
            "levels", "p", "target", "max_patients", "accrual", "margin", "window", "stagger",
            "meeting", "dropout", "below", "below_amount", "cohort", "replace", "waiting_list",
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("value", [None, "x", {}, NAN], ids=["None", "text", "dict", "NaN"])
@pytest.mark.parametrize("what", [*DESIGNS, *ASKED])
def test_what_is_no_number_is_refused_with_a_sentence(what, value):
    with pytest.raises((CartError, ValueError)) as caught:
        (DESIGNS | ASKED)[what](value)
    said = str(caught.value)
    assert said.endswith("."), said
    assert "convert" not in said
    assert "unpack" not in said


def test_true_is_no_number():
    for what in ("CRM, sd", "BLRM, reference", "StopIfToxic", "boundaries", "window"):
        with pytest.raises((CartError, ValueError), match="True"):
            (DESIGNS | ASKED)[what](True)


def test_only_rules_join_a_design():
    with pytest.raises(TypeError, match=r"such as dose.NoSkip\(\), not 0.25"):
        BOIN & 0.25


def test_an_onset_curve_is_one():
    makers = (
        lambda v: blrm(onset=v),
        lambda v: dose.TITEBOIN(0.3, onset=v),
        lambda v: dose.TITECRM((0.1, 0.2, 0.3), 0.3, sd=1.0, onset=v),
        lambda v: dose.Scenario(**RUN, onset=v),
    )
    for make in makers:
        with pytest.raises(DataError, match=r"an onset curve is needed.*not 28"):
            make(28)


def test_a_design_and_a_scenario_have_one_unit():
    per_kg = dose.Scenario(**(RUN | {"levels": dose.Levels(LEVELS, "cells/kg")}))
    with pytest.raises(DataError, match=r"1×10⁷ cells, but the scenario has .* cells/kg"):
        dose.simulate_trials(blrm(), per_kg, 5, seed=1)
    assert dose.simulate_trials(BOIN, per_kg, 5, seed=1).sizes["trial"] == 5
    with pytest.raises(DataError, match="other dose levels than 'a'"):
        dose.compare_designs({"x": BOIN}, {"a": TRUTH, "b": per_kg}, 5, seed=1)
