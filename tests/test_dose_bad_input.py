"""Numbers that cannot be true are refused with a sentence; those that can, count once."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

from cart_pkpd import dose, nca
from cart_pkpd._core.errors import CartError, DataError
from cart_pkpd._dose.chained import rising
from cart_pkpd._stats.priors import Normal

NAN, INF = np.nan, np.inf
LEVELS = (1e6, 3e6, 1e7, 3e7)
NORMAL = dose.BivariateNormal((-1.0, 0.0), (2.0, 1.0), 0.0)


def blrm(**more) -> dose.BLRM:
    given = {"reference": 1e7, "prior": NORMAL, "intervals": (0.16, 0.33), **more}
    return dose.BLRM(dose.Levels(LEVELS, more.pop("unit", "cells")), **given)


def trial(dosing=None, **columns) -> xr.Dataset:
    """Three patients at 1e7, one infusion each unless said otherwise."""
    ids = ["P1", "P2", "P3"]
    given = {"dose_level": [1e7] * 3, "dlt": [0.0] * 3, "infusion_day": [0.0, 20.0, 40.0]}
    out = xr.Dataset(
        {k: ("id", np.array(v, float)) for k, v in (given | columns).items()}, coords={"id": ids}
    )
    rows = dosing or [(i, 0.0, 1e7) for i in ids]
    out["amount"] = ("dosing", np.array([r[2] for r in rows]), {"units": "cells"})
    return out.assign_coords(
        dose_patient=("dosing", [r[0] for r in rows]),
        dose_time=("dosing", np.array([r[1] for r in rows], float)),
    )


# --- onset curves ------------------------------------------------------------------------------


def test_days_of_dlts_that_are_not_known_take_no_part_in_the_adaptive_curve():
    # Two known days give thirds: Cheung & Chappell (2000), z + 1 equal shares with z DLTs.
    found = dose.Onset.adaptive([7.0, NAN, 14.0, NAN], 28.0)
    assert found.days == (0.0, 7.0, 14.0, 28.0)
    assert_allclose(found.share, (0, 1 / 3, 2 / 3, 1), rtol=1e-12)


@pytest.mark.parametrize("day", [-1.0, 29.0, INF])
def test_a_dlt_outside_the_window_makes_no_adaptive_curve(day):
    with pytest.raises(ValueError, match="outside the window of 0 to 28 days"):
        dose.Onset.adaptive([7.0, day], 28.0)


@pytest.mark.parametrize(
    "design",
    [
        blrm(onset=dose.Onset((0, 21), (0, 1))),
        dose.TITECRM((0.1, 0.2, 0.3, 0.4), 0.3, sd=1.16, onset=dose.Onset((0, 21), (0, 1))),
        dose.TITEBOIN(0.3, onset=dose.Onset((0, 21), (0, 1))),
    ],
    ids=["BLRM", "TITE-CRM", "TITE-BOIN"],
)
def test_an_onset_curve_with_another_end_than_the_window_is_refused(design):
    seen = dose.counts({1e6: (0, 3)}, levels=LEVELS, pending={1e6: [10.0]}, window=28)
    for ask in (design.recommend, design.mtd):
        with pytest.raises(ValueError, match="ends on day 21, but the window on day 28"):
            ask(seen)
    truth = dose.Scenario(
        levels=LEVELS, p=(0.1, 0.2, 0.3, 0.4), target=0.3, max_patients=6, accrual=2.0
    )
    with pytest.raises(ValueError, match="ends on day 21, but the window on day 28"):
        dose.simulate_trials(design, truth, 2, seed=1)
    same = dose.counts({1e6: (0, 3)}, levels=LEVELS, pending={1e6: [10.0]}, window=21)
    assert design.recommend(same).dose is not None


# --- what is known by a day --------------------------------------------------------------------


def test_infusions_after_the_day_of_the_decision_do_not_count_in_the_amount():
    split = [("P1", 0.0, 1e7), ("P2", 0.0, 6e6), ("P2", 10.0, 4e6), ("P3", 0.0, 1e7)]
    for as_of, amount in ((25.0, 6e6), (30.0, 1e7), (None, 1e7)):
        found = dose.data(trial(split), as_of=as_of, levels=LEVELS)
        assert found.frame().loc["P2", "amount"] == amount


@pytest.mark.parametrize("day", [NAN, INF])
def test_a_decision_needs_a_day(day):
    with pytest.raises(DataError, match="as_of must be a day"):
        dose.data(trial(), as_of=day, levels=LEVELS)


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("infusion_day", [0.0, INF, 40.0], "'P2' has an infinite infusion_day"),
        ("dlt_evaluable", [1.0, 2.0, 0.0], "'P2' has dlt_evaluable = 2"),
        ("dlt_day", [NAN, INF, NAN], "'P2' has an infinite dlt_day"),
    ],
)
def test_values_that_cannot_be_true_are_refused(column, values, said):
    with pytest.raises(DataError, match=said):
        dose.data(trial(dlt=[0.0, 1.0, 0.0], **{column: values}), levels=LEVELS)


def test_levels_in_another_unit_are_refused():
    seen = dose.counts({1e6: (0, 3)}, levels=dose.Levels(LEVELS, "cells/kg"))
    with pytest.raises(DataError, match="cells/kg"):
        blrm().recommend(seen)


# --- the MTD of interval designs ---------------------------------------------------------------


def test_eliminated_doses_take_no_part_in_the_estimates_of_the_others():
    # select.mtd of BOIN 2.7.2 runs its isotonic regression on doses not eliminated. 3e6 has
    # P(rate > 0.3) = 1 - I_0.3(3, 2) = 0.9163, so stays; 6 of 9 at 1e7 eliminates it and 3e7.
    # Left: 0.05/6.1 = 0.008 at 1e6 and 2.05/3.1 = 0.661 at 3e6, of which 1e6 is closer to 0.3.
    # Pooled with the 6 of 9 and the 1 of 3 above, 3e6 would have had 0.579, which is closer.
    seen = dose.counts({1e6: (0, 6), 3e6: (2, 3), 1e7: (6, 9), 3e7: (1, 3)}, levels=LEVELS)
    found = dose.BOIN(0.3).mtd(seen)
    assert found.dose == 1e6
    assert_allclose(found.table["isotonic"][:2], (0.05 / 6.1, 2.05 / 3.1), rtol=1e-12)
    assert found.table["isotonic"][2:].isna().all()


def test_the_extra_safety_rule_leaves_no_mtd():
    # 2 of 3: P(rate > 0.3) = 0.9163 exceeds 0.95 - 0.05 but not 0.95.
    seen = dose.counts({1e6: (2, 3)}, levels=LEVELS)
    assert dose.BOIN(0.3).mtd(seen).dose == 1e6
    assert dose.BOIN(0.3, extra_safe=0.05).mtd(seen).dose is None


# --- parameters --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: dose.CRM((0.1, NAN, 0.3), 0.3, sd=1.16),
        lambda: dose.CRM((0.1, 0.2, 0.3), 0.3, sd=1.16, model="logistic", intercept=NAN),
        lambda: dose.CRM((0.1, 0.2, 0.3), 0.3, sd=INF),
        lambda: dose.BivariateNormal((NAN, 0.0), (2.0, 1.0), 0.0),
        lambda: dose.Mixture((NAN,), (NORMAL,)),
        lambda: dose.Onset((0, NAN, 28), (0, 0.5, 1)),
        lambda: dose.Onset((0, 7, 28), (0, NAN, 1)),
        lambda: dose.Onset((0, INF), (0, 1)),
        lambda: dose.TPI(0.3, 1.0, 1.5, (0.0, 0.005)),
        lambda: dose.TPI(0.3, 1.0, 1.5, (-1.0, 0.005)),
        lambda: dose.TPI(0.3, 0.0, 1.5, (0.005, 0.005)),
        lambda: dose.TPI(0.3, 1.0, NAN, (0.005, 0.005)),
        lambda: dose.BOIN(0.3, mtd_prior=(0.0, 0.05)),
        lambda: dose.BOIN(0.3, mtd_prior=(0.05, -0.05)),
        lambda: dose.BOIN(0.3, extra_safe=0.0),
        lambda: dose.BOIN(0.3, extra_safe=0.95),
        lambda: dose.BOIN(0.3, extra_safe=-0.05),
        lambda: dose.BOIN(0.3, eliminate_from=0),
        lambda: dose.BOIN(0.3, bound=1.5),
        lambda: dose.BOIN(0.3, bound=0.0),
        lambda: dose.TITEBOIN(0.3, max_pending=-0.5),
        lambda: dose.TITEBOIN(0.3, max_pending=1.5),
        lambda: dose.TITEBOIN(0.3, max_pending=NAN),
        lambda: dose.StopWhen(min_patients=-3),
        lambda: dose.StopWhen(at_dose=0),
        lambda: dose.StopWhen(target_probability=1.5, interval=(0.16, 0.33)),
        lambda: dose.StopWhen(target_probability=0.5, interval=(0.33, 0.16)),
        lambda: dose.StopIfUnderdosed(0.1, 0.9, -1),
        lambda: dose.StopIfToxic(0.3, 0.9, -1),
        lambda: dose.MaxRatio(NAN),
        lambda: blrm(prior=(0.0, 1.0)),
        lambda: dose.log_odds(1.0),
        lambda: dose.log_odds(NAN),
        lambda: dose.skeleton(0.05, 0.25, 2.5, 5),
        lambda: dose.skeleton(0.05, 0.25, 3, 5, model="logistic", intercept=NAN),
        lambda: dose.BOIN(0.3).decide_many([[3.5, 0]], [[1, 0]], [0]),
        lambda: dose.BOIN(0.3).decide_many([[3, 0]], [[NAN, 0]], [0]),
        lambda: dose.BOIN(0.3).decide_many([[3, 0]], [[1, 0]], [0.5]),
    ],
)  # fmt: skip
def test_impossible_parameters_are_refused(make):
    with pytest.raises((ValueError, CartError)) as told:
        make()
    assert str(told.value).endswith(".")
    assert "nan to integer" not in str(told.value)


@pytest.mark.parametrize("over", [[0.1, 1.2], [0.1, NAN], [-0.1, 0.2]])
def test_the_probability_of_overdosing_is_a_probability(over):
    import pandas as pd

    seen = dose.counts({1e6: (0, 6), 3e6: (1, 6)}, levels=LEVELS)
    response = pd.DataFrame({"response": [2, 3], "n_response": [6, 6]}, index=[1e6, 3e6])
    with pytest.raises(DataError, match=r"over is .* at dose level"):
        dose.recommend_below_mtd(
            seen, 3e6, response, over, share=0.8, certainty=0.7, prior=dose.JEFFREYS
        )


def test_counts_that_are_whole_but_written_as_numbers_with_a_point_are_taken():
    many = dose.BOIN(0.3).decide_many([[3.0, 0.0]], [[0.0, 0.0]], [0])
    assert many.level.tolist() == [1]


# --- the chain ---------------------------------------------------------------------------------


def test_limits_of_the_chain_rise():
    with pytest.raises(ValueError, match="limits must be two rising probabilities"):
        rising((0.33, 0.16))


def test_a_chain_needs_data_of_its_own_trial(fast01):
    toxicity = dose.Toxicity(Normal(-1.4, 1.5))
    plain = dose.counts({1e7: (1, 6)}, levels=LEVELS)
    with pytest.raises(DataError, match="not in the trial: 3-1, 3-2, 3-3, 3-4, 3-5, 3-6;"):
        dose.chain(fast01, toxicity=toxicity, reference=1e7, data=plain)


def test_a_chain_needs_an_exposure(fast01):
    few = fast01.isel(id=slice(0, 2))
    first = nca.table(fast01, "transgene", window=(0, 28)).sel(id=few["id"])
    other = dose.DoseData(dose.Levels(LEVELS), dose.data(fast01, levels=LEVELS).patients[-3:], 28.0)
    with pytest.raises(DataError, match="so the chain cannot begin"):
        dose.chain(
            fast01, source=first, toxicity=dose.Toxicity(Normal(-1.4, 1.5)), reference=1e7,
            data=other,
        )  # fmt: skip


# --- sentences ---------------------------------------------------------------------------------


def test_a_reason_without_rules_ends_as_a_sentence():
    reason = blrm().recommend(dose.counts({1e6: (0, 3)}, levels=LEVELS)).reason
    assert reason.endswith(").")


def test_a_rule_that_overrides_the_interval_design_is_said_so():
    # 0 of 3 is below λe of any target from 0.2 on; the rule asks for six.
    design = dose.BOIN(0.3) & dose.MinBeforeEscalation(6)
    reason = design.recommend(dose.counts({1e6: (0, 3)}, levels=LEVELS)).reason
    assert "would escalate" in reason
    assert "but 1×10⁶ cells is the largest among doses with no escalation before 6" in reason


def test_an_mtd_whose_pooled_estimate_is_too_high_is_flagged():
    # 2 of 4 and 1 of 3 pool to one estimate, weighted by inverse beta variances, of which the
    # lower dose is the MTD; 2 of 4 lies above λd = 0.359.
    seen = dose.counts({1e6: (2, 4), 3e6: (1, 3)}, levels=LEVELS)
    found = dose.BOIN(0.3).mtd(seen)
    a, b = np.array([2.05, 1.05]), np.array([2.05, 2.05])
    weight = (a + b) ** 2 * (a + b + 1) / (a * b)
    pooled = np.average(a / (a + b), weights=weight)
    assert found.dose == 1e6
    assert_allclose(found.table["isotonic"][:2], pooled, rtol=1e-12)
    assert any("would de-escalate" in flag for flag in found.flags)


def test_an_estimate_far_above_the_target_is_flagged_where_the_design_would_stay():
    # mTPI stays at 3 of 6 (its known weakness), but 3.05/6.1 = 0.5 exceeds 1.4 × 0.3.
    seen = dose.counts({1e6: (3, 6)}, levels=LEVELS)
    design = dose.MTPI(0.3, 0.05, 0.05)
    assert design.decision_table(6).loc[3, 6] == "S"
    flags = design.mtd(seen).flags
    assert any("isotonic estimate 0.500" in f and "from 0.420 on" in f for f in flags)
    assert not dose.MTPI(0.3, 0.05, 0.05, bound=0.6).mtd(seen).flags
