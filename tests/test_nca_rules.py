"""BLQ, start, tail and window rules: each as an example worked by hand.

Letters in test names (12a …) are those of the list of known traps of NCA programs: behaviours
observed in PKNCA 0.12.1 that are either rules to reproduce or defects not to copy.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from nca_inputs import one, trial

from cart_pkpd import nca

LN2 = math.log(2)


def number(params, name: str) -> float:
    return float(params[name].values[0])


def why(params, name: str) -> str:
    return str(params.reason.sel(parameter=name).values[0])


# -- BLQ


def test_1_cmax_and_tlast_are_read_before_the_blq_rule() -> None:
    params = nca.table(one([0, 10, "<1", 4, "<1"], [0, 1, 2, 3, 4]), blq=100)
    assert number(params, "cmax") == 10
    assert number(params, "tmax") == 1
    assert number(params, "tlast") == 3
    assert number(params, "n_blq") == 3  # the 0 at time 0 is BLQ as well


def test_2_positions_first_middle_last() -> None:
    # Tfirst 1, Tlast 3. First: 7 at t=0; middle: 8 at t=2; last: 9 at t=4. Linear trapezoids.
    data = one(["<1", 10, "<1", 4, "<1"], [0, 1, 2, 3, 4])
    params = nca.table(data, method="linear", blq={"first": 7, "middle": 8, "last": 9})
    assert number(params, "auclast") == pytest.approx(8.5 + 9 + 6 + 6.5)


def test_2_all_blq_is_first() -> None:
    data = one(["<1", "<1", "<1"], [0, 1, 2])
    params = nca.table(data, blq={"first": 3, "middle": 50, "last": 70})
    assert number(params, "auclast") == 6


def test_2_before_and_after_tmax() -> None:
    # Tmax 2; the BLQ at 1 is before it, that at 3 after it.
    data = one(["<1", "<1", 10, "<1", 4], [0, 1, 2, 3, 4])
    params = nca.table(data, method="linear", blq={"before_tmax": 2, "after_tmax": 6})
    assert number(params, "auclast") == pytest.approx(2 + 6 + 8 + 5)


def test_3_numbers_in_the_tail_count_for_the_area_not_for_tlast() -> None:
    # Tail of LLOQ/2 = 1 at t=3 and 4: AUClast runs to 4, tlast stays 2.
    data = one([0, 8, 4, "<2", "<2"], [0, 1, 2, 3, 4])
    params = nca.table(data, method="linear", blq={"last": "lloq/2"})
    assert number(params, "auclast") == pytest.approx(4 + 6 + 2.5 + 1)
    assert number(params, "tlast") == 2
    assert number(params, "clast") == 4


def test_12i_aucinf_continues_from_the_end_of_the_imputed_tail() -> None:
    # Half-life 1 from the three measured samples after Tmax; LLOQ/2 = 0.5 at t=5 is the end of
    # the area, so the tail is 0.5/λz, not 1/λz from the measured Clast.
    data = one([0, 8, 4, 2, 1, "<1"], [0, 1, 2, 3, 4, 5])
    params = nca.table(data, method="linear", blq={"last": "0.5*lloq"})
    assert number(params, "half_life") == pytest.approx(1)
    auclast = 4 + 6 + 3 + 1.5 + 0.75
    assert number(params, "auclast") == pytest.approx(auclast)
    assert number(params, "aucinf_obs") == pytest.approx(auclast + 0.5 / LN2)
    assert number(params, "aucpext_obs") == pytest.approx(100 * (0.5 / LN2) / (auclast + 0.5 / LN2))


def test_3_imputed_points_enter_lambda_z_only_when_asked() -> None:
    data = one([0, 8, 4, 2, 1, "<1"], [0, 1, 2, 3, 4, 5])
    alone = nca.table(data, blq={"last": "lloq"})
    with_them = nca.table(data, blq={"last": "lloq"}, lambda_z_imputed=True)
    assert number(alone, "lambda_z_n_points") == 3
    assert number(alone, "lambda_z_end") == 4
    assert number(with_them, "lambda_z_end") == 5  # 4, 2, 1, 1 at 2 … 5


def test_4_a_zero_in_the_middle_makes_two_linear_pieces() -> None:
    data = one([0, 8, "<1", 4], [0, 1, 2, 3])
    assert number(nca.table(data, blq={"middle": "keep"}), "auclast") == pytest.approx(4 + 4 + 2)
    # Dropped, the default: one log piece from 8 to 4 over two days.
    assert number(nca.table(data), "auclast") == pytest.approx(4 + 2 * 4 / LN2)


def test_20_the_start_point_survives_drop() -> None:
    for first in (0, "<1"):
        data = one([first, "<1", 8, 4], [0, 1, 2, 3])
        params = nca.table(data, blq="drop")
        assert number(params, "auclast") == pytest.approx(8 + 4 / LN2)  # one line 0 → 8 over 2 d
    late = nca.table(one(["<1", 8, 4], [1, 2, 3]), blq="drop")
    assert number(late, "auclast") == pytest.approx(8 + 4 / LN2)


def test_a_level_equal_to_the_lloq_is_quantifiable() -> None:
    params = nca.table(one([0, 10, 50, 49.9], [0, 1, 2, 3], lloq=50.0))
    assert number(params, "cmax") == 50
    assert number(params, "n_quantifiable") == 1


def test_lloq_differs_by_sample() -> None:
    # LLOQ/2 of each sample's own limit: 2 and 10.
    data = one([0, 30, "<4", "<20"], [0, 1, 2, 3])
    params = nca.table(data, method="linear", blq={"last": "0.5*lloq"})
    assert number(params, "auclast") == pytest.approx(15 + 16 + 6)


def test_a_multiple_of_an_unknown_lloq_is_a_reason() -> None:
    params = nca.table(one([0, 30, 0], [0, 1, 2]), blq={"last": "0.5*lloq"})
    assert math.isnan(number(params, "auclast"))
    assert why(params, "auclast") == "the BLQ rule needs an LLOQ, and a BLQ sample has none"
    assert number(params, "cmax") == 30


def test_12g_numeric_rule_with_an_all_blq_patient() -> None:
    data = trial({"a": [(0, "<2"), (1, "<2")], "b": [(0, 0), (1, 8), (2, 4)]})
    params = nca.table(data, blq="0.5*lloq", method="linear", start_rule="zero")
    assert params.auclast.values[0] == 1
    assert math.isnan(params.auclast.values[1])  # its 0 has no LLOQ
    assert params.cmax.values.tolist() == [0, 8]


def test_above_uloq_counts_at_the_limit_with_a_note() -> None:
    params = nca.table(one([0, 10, ">90", 20], [0, 1, 2, 3]))
    assert number(params, "cmax") == 90
    assert str(params.note.values[0]).startswith("samples above the upper limit count")


# -- trapezoids


def test_5_equal_values_are_linear_and_zeros_add_nothing() -> None:
    assert nca.auc([0, 0, 5, 5, 5], [0, 1, 2, 3, 4]) == pytest.approx(2.5 + 5 + 5)


def test_6_lin_log_is_linear_to_the_first_tmax_and_log_after() -> None:
    # Falls before Tmax: 4 → 2 linear; after Tmax also a rise 4 → 8 is log.
    levels, times = [0, 4, 2, 16, 4, 8], [0, 1, 2, 3, 4, 5]
    expected = 2 + 3 + 9 + 12 / (2 * LN2) + 4 / LN2
    assert nca.auc(levels, times, method="lin-log") == pytest.approx(expected, rel=1e-12)


def test_6_ties_of_the_maximum_use_the_first() -> None:
    levels, times = [0, 8, 4, 8, 2], [0, 1, 2, 3, 4]
    expected = 4 + 4 / LN2 + 4 / LN2 + 6 / (2 * LN2)
    for tmax in ("first", "last"):
        found = nca.auc(levels, times, method="lin-log", tmax=tmax)
        assert found == pytest.approx(expected, rel=1e-12)


def test_12e_lin_log_with_equal_values_after_tmax() -> None:
    found = nca.auc([0, 8, 4, 4, 2], [0, 1, 2, 3, 4], method="lin-log")
    assert found == pytest.approx(4 + 4 / LN2 + 4 + 2 / LN2, rel=1e-12)


def test_12f_lin_log_with_the_predicted_tail() -> None:
    params = nca.table(
        one([0, 8, 4, 2, 1], [0, 1, 2, 3, 4]),
        window=(0, 5),
        method="lin-log",
        tail="exponential-predicted",
    )
    # Perfect half-life of 1: the tail halves again, log areas (8 − 0.5)/ln 2.
    assert number(params, "auc0_5") == pytest.approx(4 + 7.5 / LN2, rel=1e-12)


@pytest.mark.parametrize("difference", [1e-15, 1e-12, 1e-9, 1e-7])
def test_12l_nearly_equal_levels_keep_all_digits(difference: float) -> None:
    levels = [7e5, 7e5 * (1 - difference)]
    # The log area lies between the smaller level and the mean of both.
    found = nca.auc(levels, [0, 1], method="lin-log")
    assert levels[1] <= found <= 7e5
    assert found == pytest.approx((levels[0] + levels[1]) / 2, rel=1e-14)


def test_7_aucall_adds_one_triangle_and_no_more() -> None:
    levels, times = [0, 1, 4, 2, "<1", "<1"], [0, 1, 2, 3, 4, 5]
    for method in ("linear", "lin-up/log-down"):
        params = nca.table(one(levels, times), method=method)
        triangle = number(params, "aucall") - number(params, "auclast")
        assert triangle == pytest.approx(1)


def test_12k_aucall_without_trailing_blq_is_auclast() -> None:
    params = nca.table(one([0, 1, 4, 2], [0, 1, 2, 3]), window=(0, 10))
    assert number(params, "aucall") == number(params, "auclast")
    assert number(params, "auc0_10") == number(params, "auclast")


def test_8_moments_and_residence_times() -> None:
    # Pure exponential 100·exp(−kt), k = ln2/7, sampled exactly from day 0:
    # AUC∞ = 100/k, AUMC∞ = 100/k², MRT = 1/k.
    k = LN2 / 7
    times = np.array([0.0, 7, 14, 21, 28])
    params = nca.table(one((100 * np.exp(-k * times)).tolist(), times.tolist()))
    assert number(params, "aucinf_obs") == pytest.approx(100 / k, rel=1e-12)
    assert number(params, "aucinf_pred") == pytest.approx(100 / k, rel=1e-12)
    assert number(params, "aumcinf_obs") == pytest.approx(100 / k**2, rel=1e-12)
    assert number(params, "mrtinf_obs") == pytest.approx(1 / k, rel=1e-12)
    assert number(params, "aucpext_obs") == pytest.approx(100 / 16, rel=1e-12)


# -- windows and tails

PROFILE = [0, 100, 200, 100, 50], [0, 3, 7, 14, 21]  # falls with a half-life of 7 days
TO_21 = 150 + 600 + 150 * 7 / LN2  # lin-up to day 7, log-down to day 21


def window28(levels, times, **rules):
    params = nca.table(one([*PROFILE[0], *levels], [*PROFILE[1], *times]), **rules)
    return number(params, "auc0_28"), str(params.auc0_28_rule.values[0]), params


@pytest.mark.parametrize("tail", ["zero", "triangle", "exponential", "exponential-predicted"])
def test_11a_auc0_28_uses_the_sample_after_day_28(tail: str) -> None:
    # Day-28 sample taken on day 35 with 12.5: same log line, 25 on day 28. AUClast of the
    # samples up to day 28 would stop at day 21.
    value, rule, params = window28([12.5], [35], tail=tail)
    assert value == pytest.approx(TO_21 + 25 * 7 / LN2, rel=1e-12)
    assert rule == "measured to the end"
    assert number(params, "auc0_28_pext") == 0


def test_2_blq_after_day_28_and_nothing_between() -> None:
    expected = {
        "zero": (TO_21, "zero beyond Tlast"),
        # Line from 50 on day 21 to 0 on day 35, cut at 28: mean height 37.5.
        "triangle": (TO_21 + 37.5 * 7, "line to the first BLQ"),
        # Half-life 7 d (samples at 14 and 21 only, hence two points).
        "exponential": (TO_21 + 25 * 7 / LN2, "exponential from observed Clast"),
    }
    for tail, (area, text) in expected.items():
        value, rule, params = window28(["<5"], [35], tail=tail, min_points=2)
        assert value == pytest.approx(area, rel=1e-12)
        assert rule == text
        assert number(params, "auc0_28_pext") == pytest.approx(100 * (1 - TO_21 / area), abs=1e-9)


def test_12abcd_blq_inside_the_window() -> None:
    # BLQ on day 25: the triangle ends there, and so does an exponential tail.
    for last in (["<5"], ["<5", "<5"]):
        times = [25, 40][: len(last)]
        assert window28(last, times, tail="zero")[0] == pytest.approx(TO_21, rel=1e-12)
        assert window28(last, times, tail="triangle")[0] == pytest.approx(TO_21 + 100, rel=1e-12)
        k = LN2 / 7
        tail = 50 / k * (1 - math.exp(-4 * k))
        value = window28(last, times, tail="exponential", min_points=2)[0]
        assert value == pytest.approx(TO_21 + tail, rel=1e-12)


def test_12a_the_published_example() -> None:
    # c = 0, 1, 4, 2, 0, 0 at 0 … 5: linear AUClast 6; a tail of zero must give 6, not 7.
    levels, times = [0, 1, 4, 2, 0, 0], [0, 1, 2, 3, 4, 5]
    found = {
        tail: nca.auc(levels, times, 0, 5, method="linear", tail=tail)
        for tail in ("zero", "triangle")
    }
    assert found == {"zero": 6, "triangle": 7}
    # 12b: an end between the two trailing BLQs.
    assert nca.auc(levels, times, 0, 4.5, method="linear", tail="zero") == 6
    assert nca.auc(levels, times, 0, 4.5, method="linear", tail="triangle") == 7
    # 12c: cut inside the triangle, always linear: 6 + (2 + 1)/2 · 0.5 = 6.75.
    for method in ("linear", "lin-up/log-down"):
        inside = nca.auc(levels, times, 3, 3.5, method=method, tail="triangle")
        assert inside == pytest.approx(0.75)


def test_12d_the_tail_is_continuous_in_the_end_of_the_window() -> None:
    data = one([0, 100, 50, 25, 12.5, "<5"], [0, 7, 14, 21, 28, 35])
    ends = [34.999999, 35.0, 35.000001, 60.0]
    params = nca.table(data, window=[(0, e) for e in ends], tail="exponential")
    areas = [number(params, f"auc0_{f'{e:g}'.replace('.', 'p')}") for e in ends[1::2]]
    before = nca.table(data, window=(0, 34.9), tail="exponential")
    assert areas[0] == areas[1]
    assert areas[0] - number(before, "auc0_34p9") == pytest.approx(0.1 * 6.28, rel=0.01)


def test_12h_a_window_after_tlast() -> None:
    data = one([0, 8, 4, 2, 1], [0, 1, 2, 3, 4])
    zero = nca.table(data, window=(10, 20), tail="zero")
    assert number(zero, "auc10_20") == 0
    assert why(zero, "auc10_20") == ""
    assert why(zero, "auc10_20_pext") == "not defined for a zero area"
    tail = nca.table(data, window=(10, 20), tail="exponential")
    expected = (2.0**-6 - 2.0**-16) / LN2
    assert number(tail, "auc10_20") == pytest.approx(expected, rel=1e-12)
    assert number(tail, "auc10_20_pext") == pytest.approx(100)


def test_last_sample_before_the_end_of_the_window() -> None:
    value, rule, params = window28([], [])
    assert value == pytest.approx(TO_21, rel=1e-12)
    assert rule == "ends at the last sample"
    assert number(params, "auc0_28_pext") == 0
    covered, _, _ = window28([], [], min_coverage=0.75)  # 21 of 28 days
    assert covered == value
    value, rule, params = window28([], [], min_coverage=0.9)
    assert math.isnan(value)
    assert rule == ""
    assert why(params, "auc0_28") == "samples cover less than 90% of the window"
    value, _, params = window28([], [], tail="exponential")
    assert math.isnan(value)
    assert why(params, "auc0_28").startswith("fewer than 3 quantifiable samples")


def test_11b_interpolation_at_the_start_by_the_method_of_the_piece() -> None:
    data = one(*PROFILE)
    params = nca.table(data, window=[(5, 14), (10.5, 14)])
    # Day 5 on the rising line: 150; day 10.5 on the log line: 200/√2.
    assert number(params, "auc5_14") == pytest.approx(350 + 100 * 7 / LN2, rel=1e-12)
    falling = (200 / math.sqrt(2) - 100) * 7 / LN2
    assert number(params, "auc10p5_14") == pytest.approx(falling, rel=1e-12)


def test_areas_around_tmax_add_up() -> None:
    params = nca.table(one([*PROFILE[0], 12.5], [*PROFILE[1], 35]))
    assert number(params, "auc0_tmax") == pytest.approx(750)
    assert number(params, "auc_tmax_28") == pytest.approx(175 * 7 / LN2, rel=1e-12)
    early = nca.table(one(*PROFILE), window=(0, 5))
    assert why(early, "auc_tmax_5") == "Tmax is not before the end of the window"


# -- the infusion


def test_14_what_happens_at_time_0() -> None:
    base = [(-1.0, 6.0), (3.0, 10.0), (7.0, 4.0)]
    at_zero = [(0.0, 2.0), (3.0, 10.0), (7.0, 4.0)]
    rest = 6 * 4 / math.log(10 / 4)
    data = trial({"without": base, "with": at_zero})
    expected = {
        "zero": (15, 18),
        "always-zero": (15, 15),
        "predose": (24, 18),
        "minimum": (21, 18),
        "extrapolate": (15 + 1.5 * 10, 18),  # the line through 3 and 7 falls: see below
    }
    for rule, areas in expected.items():
        params = nca.table(data, start_rule=rule)
        start = 10 * (10 / 4) ** 0.75  # the falling line through (3, 10) and (7, 4), at 0
        first = 3 * (start - 10) / math.log(start / 10) if rule == "extrapolate" else areas[0]
        found = params.auclast.values
        np.testing.assert_allclose(found, [first + rest, areas[1] + rest], rtol=1e-12)
    none = nca.table(data, start_rule="none", window=[(0, 5), (3, 5)])
    assert why(none, "auclast") == "no sample at the start of the window and start_rule='none'"
    assert why(none, "auc0_5") == why(none, "auclast")
    assert number(none, "auc3_5") > 0
    assert none.auclast.values[1] == pytest.approx(18 + rest)


def test_15_samples_before_the_infusion_are_baseline() -> None:
    with_it = nca.table(one([500, 0, 10, 5], [-0.08, 0, 3, 7]))
    without = nca.table(one([0, 10, 5], [0, 3, 7]))
    for name in ("cmax", "tmax", "tfirst", "auclast", "n_quantifiable"):
        assert number(with_it, name) == number(without, name)
    assert str(with_it.note.values[0]).startswith("quantifiable before the infusion")


def test_a_positive_value_at_time_0_is_kept_and_noted() -> None:
    params = nca.table(one([4, 10, 5], [0, 3, 7]))
    assert number(params, "auc0_tmax") == 21
    assert "quantifiable at the time of infusion" in str(params.note.values[0])


DOSES = {"01": [(0.0, 1e6), (1.0, 2e6), (2.0, 3e6), (60.0, 5e6)]}
TWICE = [0, 10, 100, 50, 25, 12, 200, 100, 50], [0, 3, 7, 14, 21, 60, 67, 74, 81]


def test_13_re_infusion_starts_a_new_clock_and_ends_the_old_profile() -> None:
    data = one(*TWICE, doses=DOSES)
    first, second = (nca.table(data, infusion=k) for k in (1, 2))
    assert (number(first, "cmax"), number(first, "tmax"), number(first, "last_sample")) == (
        100, 7, 60,
    )  # fmt: skip
    assert (number(second, "cmax"), number(second, "tmax")) == (200, 7)
    # The sample at the second infusion opens its profile: 12 on its day 0.
    assert number(second, "auc0_tmax") == pytest.approx(7 * 106)
    assert "profile ends at the next infusion" in str(first.note.values[0])
    assert (number(first, "dose"), number(second, "dose")) == (6e6, 5e6)
    each = nca.table(data, infusion="each")
    assert each.cmax.dims == ("infusion", "id")
    assert each.cmax.values.tolist() == [[100], [200]]


def test_the_next_infusion_ends_a_window() -> None:
    data = one([0, 10, 40, 20], [0, 3, 7, 10], doses={"01": [(0.0, 1e6), (10.0, 1e6)]})
    params = nca.table(data, window=[(0, 28), (10, 28), (5, 8)])
    assert number(params, "auc0_28") == pytest.approx(number(params, "auclast"))
    assert str(params.auc0_28_rule.values[0]) == "ends at the next infusion"
    assert str(params.auc5_8_rule.values[0]) == "measured to the end"
    assert why(params, "auc10_28") == "the window starts at or after the next infusion"


def test_patients_without_that_infusion_say_so() -> None:
    data = trial(
        {"a": [(0, 0), (3, 10)], "b": [(0, 0), (3, 10), (60, 5), (63, 50)]},
        doses={"a": [(0.0, 1e6)], "b": [(0.0, 1e6), (60.0, 1e6)]},
    )
    params = nca.table(data, infusion=2)
    assert int(params["infusion"]) == 2
    assert params.cmax.values[1] == 50
    assert math.isnan(params.cmax.values[0])
    assert (params.reason.values[0] == "the patient had no such infusion").all()
    assert (nca.table(data, infusion=3).reason == "the patient had no such infusion").all()


def test_fractions_of_a_dose_are_one_infusion() -> None:
    data = one(*TWICE, doses=DOSES)
    split = nca.table(data, course_gap=0.5)
    assert number(split, "dose") == 1e6
    assert number(split, "last_sample") == 0
    # Terminal samples come after the last fraction.
    falling = one([0, 64, 32, 16, 8, 4], [0, 1, 2, 3, 4, 5], doses={"01": [(0, 1e6), (3, 1e6)]})
    assert number(nca.table(falling, min_points=2), "lambda_z_start") == 4


def test_without_dosing_records_day_0_is_the_infusion() -> None:
    params = nca.table(one([0, 10, 5], [0, 3, 7], doses={}))
    assert number(params, "cmax") == 10
    assert why(params, "cmax_dn") == "no dose recorded"


# -- missing values and reasons


def test_16_one_sample() -> None:
    params = nca.table(one([7], [3]))
    assert number(params, "cmax") == 7
    assert number(params, "tmax") == 3
    assert why(params, "auclast") == "only one sample; an area needs two"
    assert why(params, "auc0_28") == "only one sample; an area needs two"


def test_16_all_blq() -> None:
    params = nca.table(one(["<5", "<5", "<5"], [0, 7, 28]))
    for name in ("cmax", "auclast", "aucall", "auc0_28", "aucinf_obs", "cmax_dn", "auc0_28_dn"):
        assert number(params, name) == 0, name
    for name in ("tmax", "tlast", "half_life", "doubling_time"):
        assert why(params, name) == "no quantifiable sample"
    for name in ("aucpext_obs", "mrtlast", "auc0_28_pext"):
        assert why(params, name) == "not defined for a zero area"


def test_16_dose_normalised_is_plain_division() -> None:
    params = nca.table(one([0, 10, 5], [0, 3, 7], doses={"01": [(0.0, 4.0)]}))
    assert number(params, "cmax_dn") == 2.5
    assert number(params, "auclast_dn") == number(params, "auclast") / 4


def test_duplicates_can_be_settled_by_rule() -> None:
    data = one([0, 10, 20, 5], [0, 3, 3, 7])
    assert "two samples at the same time" in why(nca.table(data), "cmax")
    assert number(nca.table(data, duplicates="first"), "cmax") == 10
    last = nca.table(data, duplicates="last")
    assert number(last, "cmax") == 20
    assert "one of several samples at the same time used" in str(last.note.values[0])


def test_tmax_after_skips_an_early_spike() -> None:
    data = one([900, 100, 400, 50], [0.01, 3, 10, 28])
    plain = nca.table(data)
    later = nca.table(data, tmax_after=1)
    assert (number(plain, "cmax"), number(plain, "tmax")) == (900, 0.01)
    assert (number(later, "cmax"), number(later, "tmax")) == (400, 10)
    assert number(plain, "early_spike") == number(later, "early_spike") == 1
    assert number(nca.table(one([5, 100, 50], [0.01, 3, 10])), "early_spike") == 0
    none = nca.table(data, tmax_after=50)
    assert why(none, "cmax") == "no sample at or after day 50 (rule tmax_after)"
    blq = nca.table(one([900, "<5"], [0.01, 3]), tmax_after=1)
    assert number(blq, "cmax") == 0
    assert why(blq, "tmax") == "no quantifiable sample at or after day 1 (rule tmax_after)"


def test_ties_first_and_last() -> None:
    data = one([0, 40, 40, 20], [0, 3, 7, 14])
    assert number(nca.table(data), "tmax") == 3
    assert number(nca.table(data, tmax="last"), "tmax") == 7


def test_nominal_clock() -> None:
    data = one([0, 40, 20], [0, 7.4, 14.2], nominal={"01": [0, 7, np.nan]})
    assert number(nca.table(data, clock="nominal"), "tmax") == 7
    assert number(nca.table(data, clock="nominal"), "tlast") == 14.2
    assert number(nca.table(data), "tmax") == 7.4


def test_acceptance_rules_remove_values_and_keep_the_evidence() -> None:
    noisy = one([0, 100, 60, 70, 30], [0, 7, 14, 21, 28])
    plain = nca.table(noisy)
    strict = nca.table(noisy, accept_adj_r_squared=0.9)
    assert number(plain, "half_life") > 0
    for name in ("lambda_z", "half_life", "aucinf_obs", "clast_pred", "persistence_half_life"):
        assert why(strict, name) == "not accepted: adjusted R² below 0.9"
    assert number(strict, "adj_r_squared") == number(plain, "adj_r_squared") < 0.9
    span = nca.table(noisy, accept_span_ratio=2)
    assert why(span, "half_life") == "not accepted: span ratio below 2"
    assert number(span, "span_ratio") < 2
    part = nca.table(noisy, accept_aucpext=20)
    assert why(part, "aucinf_obs") == "not accepted: more than 20 % extrapolated"
    assert number(part, "aucpext_obs") > 20
    assert number(part, "half_life") > 0
    few = nca.table(noisy, accept_samples=5)
    assert why(few, "auc0_28") == "not accepted: fewer than 5 quantifiable samples"
    assert number(nca.table(noisy, accept_samples=4), "auc0_28") > 0


@pytest.mark.parametrize(
    "name",
    ["tmax_after", "course_gap", "contraction_until", "accept_samples", "accept_aucpext"],
)
@pytest.mark.parametrize("value", [-1, math.nan, math.inf])
def test_days_and_limits_cannot_be_negative_or_endless(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"rule {name} must be 0 or a positive number"):
        nca.Rules(**{name: value})


def test_an_area_that_stops_early_is_remarked() -> None:
    """Last quantifiable sample on day 20 of 28; day 27.5 is close enough (5 % of the window)."""
    data = trial({"a": [(0, 0), (10, 100), (20, 50)], "b": [(0, 0), (10, 100), (27.5, 50)]})
    params = nca.table(data)
    assert "stops before its end" in str(params.note.values[0])
    assert "stops before its end" not in str(params.note.values[1])
    assert str(params.auc0_28_rule.values[0]) == "ends at the last sample"
