"""The best-fit rule for lambda_z and its options, by examples worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from nca_inputs import one, trial

from cart_pkpd import nca

LN2 = math.log(2)


def why(params, name: str = "half_life") -> str:
    return str(params.reason.sel(parameter=name).values[0])


def biexponential(times: np.ndarray) -> np.ndarray:
    return 1000 * np.exp(-0.3 * (times - 7)) + 20 * np.exp(-0.005 * (times - 7))


TIMES = np.array([0.0, 7, 10, 14, 21, 28, 60, 90, 180, 365])
LEVELS = np.where(TIMES < 7, 0.0, biexponential(TIMES))


def test_longest_window_within_the_tolerance_wins() -> None:
    # Slow phase (from day 60 on) is exact; the window from day 28 bends a little. Its adjusted
    # R² is computed here with numpy.polyfit and compared with the tolerance.
    table = nca.candidates(one(LEVELS.tolist(), TIMES.tolist()))
    for _, row in table[table["n_points"] >= 3].iterrows():
        n = int(row["n_points"])
        x, y = TIMES[-n:], np.log(LEVELS[-n:])
        slope, intercept = np.polyfit(x, y, 1)
        r2 = 1 - ((y - intercept - slope * x) ** 2).sum() / ((y - y.mean()) ** 2).sum()
        assert row["lambda_z"] == pytest.approx(-slope, rel=1e-9)
        assert row["adj_r_squared"] == pytest.approx(1 - (1 - r2) * (n - 1) / (n - 2), abs=1e-12)
        assert row["span_ratio"] == pytest.approx((x[-1] - x[0]) * -slope / LN2, rel=1e-9)
    best = table["adj_r_squared"].max()
    expected = table[table["adj_r_squared"] > best - 1e-4]["n_points"].max()
    chosen = table[table["chosen"]]
    assert chosen["n_points"].tolist() == [expected]
    assert chosen["status"].tolist() == ["chosen"]


def test_tolerance_decides_between_length_and_fit() -> None:
    data = one(LEVELS.tolist(), TIMES.tolist())
    points = {
        tolerance: float(nca.table(data, tolerance=tolerance).lambda_z_n_points[0])
        for tolerance in (0.0001, 0.99)
    }
    assert points[0.99] == 8  # every sample strictly after Tmax
    assert points[0.0001] < points[0.99]


def test_points_start_strictly_after_tmax_unless_allowed() -> None:
    data = one([0, 80, 40, 20, 10], [0, 7, 14, 21, 28])
    assert float(nca.table(data).lambda_z_start[0]) == 14
    assert float(nca.table(data, allow_tmax=True).lambda_z_start[0]) == 7
    ties = one([0, 80, 80, 40, 20, 10], [0, 3, 7, 14, 21, 28])
    assert float(nca.table(ties, allow_tmax=True, tmax="last").lambda_z_start[0]) == 7


def test_a_rising_best_window_means_no_slope() -> None:
    # ln C of the last three points rises on an exact line (adjusted R² 1); the longer, falling
    # windows fit worse than the tolerance.
    levels, times = [0, 1000, 100, 10, 20, 40], [0, 1, 2, 3, 4, 5]
    params = nca.table(one(levels, times))
    assert why(params) == "no declining terminal phase: the best-fitting line rises"
    table = nca.candidates(one(levels, times))
    assert table["status"].tolist() == ["fewer than 3 points", "rises", "lower adjusted R²"]
    assert not table["chosen"].any()


def test_21_equal_values_are_no_fit() -> None:
    flat = nca.table(one([0, 9, 5, 5, 5, 5], [0, 1, 2, 3, 4, 5]))
    assert why(flat) == "the terminal samples are all equal; no slope"
    # 0.1·3 and 0.3 differ in the last bit only: still a constant.
    nearly = nca.table(one([0, 9, 0.3, 0.1 * 3, 0.3], [0, 1, 2, 3, 4]))
    assert why(nearly) == "the terminal samples are all equal; no slope"


def test_two_points_only_when_there_are_just_two() -> None:
    two = one([0, 80, 40, 20], [0, 7, 14, 21])
    assert why(nca.table(two)) == "fewer than 3 quantifiable samples in the terminal phase"
    params = nca.table(two, min_points=2)
    assert float(params.half_life[0]) == pytest.approx(7)
    assert why(params, "adj_r_squared") == "adjusted R² is not defined for two samples"
    assert "lambda_z from two samples" in str(params.note.values[0])
    three = nca.table(one([0, 80, 40, 20, 15], [0, 7, 14, 21, 28]), min_points=2)
    assert float(three.lambda_z_n_points[0]) == 3


def test_peak_at_the_end_says_so() -> None:
    params = nca.table(one([0, 10, 20, 40], [0, 7, 14, 21]))
    assert why(params) == "Tmax is the last quantifiable sample; there is no decline to fit"
    assert float(params.cmax_is_last[0]) == 1
    assert "Cmax is the last sample" in str(params.note.values[0])
    blq_after = nca.table(one([0, 10, 20, "<5"], [0, 7, 14, 21]))
    assert float(blq_after.cmax_is_last[0]) == 0


def test_earliest_day() -> None:
    data = one(LEVELS.tolist(), TIMES.tolist())
    params = nca.table(data, earliest_day=60)
    assert float(params.lambda_z_start[0]) >= 60
    late = nca.table(data, persistence_from=90)
    assert float(late.persistence_half_life[0]) == pytest.approx(LN2 / 0.005, rel=1e-3)
    assert float(late.half_life[0]) == float(nca.table(data).half_life[0])
    same = nca.table(data)
    assert float(same.persistence_half_life[0]) == float(same.half_life[0])


def test_fixed_window_takes_all_its_samples() -> None:
    data = one(LEVELS.tolist(), TIMES.tolist())
    params = nca.table(data, lambda_z_window=(7, 21))
    expected = np.polyfit(TIMES[1:5], np.log(LEVELS[1:5]), 1)[0]
    assert float(params.lambda_z[0]) == pytest.approx(-expected, rel=1e-9)
    assert float(params.lambda_z_n_points[0]) == 4
    empty = nca.table(data, lambda_z_window=(30, 50))
    assert why(empty) == "fewer than 3 quantifiable samples among those chosen for lambda_z"


def test_samples_chosen_by_hand() -> None:
    data = trial({name: list(zip(TIMES, LEVELS, strict=True)) for name in ("01", "02", "03")})
    params = nca.table(
        data, lambda_z_include={"01": (21, 60, 180)}, lambda_z_exclude={"02": (365.0,)}
    )
    use = np.isin(TIMES, [21, 60, 180])
    expected = -np.polyfit(TIMES[use], np.log(LEVELS[use]), 1)[0]
    assert float(params.lambda_z[0]) == pytest.approx(expected, rel=1e-9)
    assert float(params.lambda_z_start[0]) == 21
    assert float(params.lambda_z_end[0]) == 180
    assert float(params.lambda_z_end[1]) == 180
    free = nca.table(data)
    assert float(params.lambda_z[2]) == float(free.lambda_z[2])


def test_22_a_rising_choice_is_a_reason_not_a_crash() -> None:
    data = one([0, 80, 40, 20, 30, 45], [0, 7, 14, 21, 28, 35])
    params = nca.table(data, lambda_z_include={"01": (21, 28, 35)})
    text = "the line through the samples chosen for lambda_z does not fall"
    for name in ("lambda_z", "half_life", "aucinf_obs"):
        assert why(params, name) == text
    assert float(params.auclast[0]) > 0


def test_choices_that_name_nothing() -> None:
    data = one([0, 80, 40, 20, 10], [0, 7, 14, 21, 28])
    params = nca.table(data, lambda_z_include={"01": (14, 21, 29)})
    assert why(params) == "a sample chosen by hand for lambda_z is not a quantifiable sample"
    with pytest.raises(ValueError, match=r"names patient '1', who is not in the data"):
        nca.table(data, lambda_z_include={"1": (14, 21)})


def test_10_one_slope_for_all_windows() -> None:
    # The slope comes from the whole profile, whatever window is asked for.
    data = one(LEVELS.tolist(), TIMES.tolist())
    alone = nca.table(data, window=(0, 28))
    more = nca.table(data, window=[(0, 28), (0, 365)])
    assert float(alone.lambda_z[0]) == float(more.lambda_z[0])
    assert float(alone.lambda_z_end[0]) == 365


def test_candidates_mark_what_the_table_reports(fast01) -> None:
    table = nca.candidates(fast01, "transgene")
    params = nca.table(fast01, "transgene")
    chosen = table[table["chosen"]].set_index("id")
    reported = params.lambda_z.to_series().dropna()
    assert chosen.index.tolist() == reported.index.tolist()
    np.testing.assert_array_equal(chosen["lambda_z"], reported)
    np.testing.assert_array_equal(
        chosen["start"], params.lambda_z_start.sel(id=reported.index).values
    )


def test_predicted_clast_lies_on_the_line() -> None:
    x, y = np.array([14.0, 21, 28]), np.log([40, 22, 9])
    slope, intercept = np.polyfit(x, y, 1)
    params = nca.table(one([0, 80, 40, 22, 9], [0, 7, 14, 21, 28]))
    predicted = math.exp(intercept + slope * 28)
    assert float(params.clast_pred[0]) == pytest.approx(predicted, rel=1e-9)
    extra = predicted / -slope
    assert float(params.aucinf_pred[0] - params.auclast[0]) == pytest.approx(extra, rel=1e-9)
