"""The parameters of a living drug: expansion, contraction, persistence, visits."""

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


# Doubles every day from 10 on day 1 to 320 on day 6, then halves every 4 days.
RISE = [10, 20, 80, 320, 160, 80, 10]
DAYS = [1, 2, 4, 6, 10, 14, 26]


def test_doubling_time_growth_rate_and_fold() -> None:
    params = nca.table(one([0, *RISE], [0, *DAYS]))
    assert number(params, "doubling_time") == pytest.approx(1, rel=1e-12)
    assert number(params, "growth_rate") == pytest.approx(LN2, rel=1e-12)
    assert number(params, "fold_expansion") == 32
    assert number(params, "expansion_n_points") == 4


def test_expansion_starts_at_the_nadir_or_at_the_first_quantifiable() -> None:
    levels, times = [40, *RISE], [0.02, *DAYS]
    nadir = nca.table(one(levels, times))
    first = nca.table(one(levels, times), expansion_from="first")
    assert number(nadir, "fold_expansion") == 32
    assert number(first, "fold_expansion") == 8
    assert number(nadir, "doubling_time") == pytest.approx(1, rel=1e-12)
    x, y = np.array([0.02, 1, 2, 4, 6]), np.log([40, 10, 20, 80, 320])
    assert number(first, "growth_rate") == pytest.approx(np.polyfit(x, y, 1)[0], rel=1e-9)


def test_no_expansion_seen() -> None:
    params = nca.table(one([320, 160, 80], [0.1, 7, 14]))
    for name in ("doubling_time", "growth_rate", "fold_expansion"):
        assert (
            why(params, name) == "Tmax is the first quantifiable sample; no expansion was observed"
        )


def test_few_points_of_expansion() -> None:
    data = one([0, 10, 40, 20], [0, 3, 7, 14])
    two = nca.table(data)
    assert number(two, "doubling_time") == pytest.approx(2)
    assert "expansion from two samples" in str(two.note.values[0])
    three = nca.table(data, expansion_min_points=3)
    assert why(three, "growth_rate") == "fewer than 3 quantifiable samples up to Tmax"
    assert number(three, "fold_expansion") == 4


def test_contraction_half_life() -> None:
    data = one([*RISE, 9], [*DAYS, 60])
    params = nca.table(data)
    assert number(params, "contraction_half_life") == pytest.approx(4, rel=1e-12)
    assert number(params, "contraction_n_points") == 4  # day 60 is beyond day 28
    assert number(params, "contraction_r_squared") == pytest.approx(1)
    assert number(nca.table(data, contraction_from_tmax=False), "contraction_n_points") == 3
    longer = nca.table(data, contraction_until=60)
    assert number(longer, "contraction_n_points") == 5
    few = nca.table(data, contraction_until=7)
    assert why(few, "contraction_half_life") == (
        "fewer than 3 quantifiable samples from Tmax to day 7"
    )


def test_contraction_keeps_a_day_28_visit_taken_late() -> None:
    data = one([10, 80, 40, 20], [1, 7, 14, 28.6], nominal={"01": [1, 7, 14, 28]})
    assert number(nca.table(data), "contraction_n_points") == 3
    without = one([10, 80, 40, 20], [1, 7, 14, 28.6])
    assert "fewer than 3" in why(nca.table(without), "contraction_n_points")


def persistence(levels, times, **rules) -> tuple[float, float, float]:
    params = nca.table(one(levels, times), **rules)
    return tuple(number(params, f"persistence_{n}") for n in ("lower", "upper", "censored"))


def test_persistence_is_an_interval() -> None:
    assert persistence([0, 80, 40, "<5", "<5"], [0, 7, 28, 60, 90]) == (28, 60, 0)


def test_still_quantifiable_is_right_censored() -> None:
    params = nca.table(one([0, 80, 40], [0, 7, 28]))
    assert number(params, "persistence_lower") == 28
    assert number(params, "persistence_censored") == 1
    assert why(params, "persistence_upper") == (
        "still quantifiable at the last sample (right-censored)"
    )


def test_never_quantifiable_is_lost_before_the_first_sample() -> None:
    assert persistence(["<5", "<5"], [3, 7]) == (0, 3, 0)


def test_rebound_after_blq() -> None:
    levels, times = [0, 80, "<5", 40, "<5", "<5", 10, "<5"], [0, 7, 14, 21, 28, 60, 90, 120]
    assert persistence(levels, times) == (90, 120, 0)
    assert persistence(levels, times, persistence_consecutive=1) == (7, 14, 0)
    assert persistence(levels, times, persistence_consecutive=2) == (21, 28, 0)
    lower, upper, censored = persistence(levels, times, persistence_consecutive=3)
    assert (lower, censored) == (90, 1)
    assert math.isnan(upper)
    params = nca.table(one(levels, times))
    assert "quantifiable again after a BLQ sample after Tmax" in str(params.note.values[0])


def test_quantifiable_at_visits() -> None:
    data = one([0, 80, 40, "<5", 20], [0, 7, 29, 92, 300])
    params = nca.table(data)
    found = [number(params, f"quantifiable_{v}") for v in ("d28", "m3")]
    assert found == [1, 0]
    for visit in ("m6", "m12"):
        assert why(params, f"quantifiable_{visit}") == "no sample inside the visit window"
    own = nca.table(data, visits={"d90": (90, 85, 95)})
    assert number(own, "quantifiable_d90") == 0
    assert "quantifiable_m3" not in own


def test_the_sample_nearest_to_the_visit_counts_by_nominal_day() -> None:
    data = one([80, "<5", 40], [7, 26, 33])
    assert number(nca.table(data), "quantifiable_d28") == 0  # day 26 is nearer to 28 than 33
    late = one([80, 40], [7, 36.5], nominal={"01": [7, 28]})
    assert number(nca.table(late), "quantifiable_d28") == 1


def test_interval_censored_samples_count_as_blq() -> None:
    data = one([0, 80, 40, 9], [0, 7, 14, 21])
    data["censoring"][3] = "interval"
    params = nca.table(data)
    assert number(params, "tlast") == 14
    assert "interval-censored samples count as BLQ" in str(params.note.values[0])


def test_bundled_trial_has_a_number_or_a_reason_everywhere(fast01) -> None:
    params = nca.table(fast01)
    for name in params.parameter.values:
        missing = np.isnan(params[name].values)
        said = params.reason.sel(parameter=name).transpose(*params[name].dims).values != ""
        np.testing.assert_array_equal(missing, said, err_msg=str(name))
    assert (params.persistence_upper > params.persistence_lower).sum() > 20


def test_published_population_is_found_again() -> None:
    # Stein 2019 typical values for tisagenlecleucel (doi 10.1002/psp4.12388): doubling 0.78 d,
    # decline half-life 4.3 d, then 220 d. Rich sampling of that curve must give them back.
    peak, top, slow = 9.0, 24000.0, 0.0079
    days = np.concatenate([np.arange(0.5, 9.1, 0.5), np.arange(10, 28), np.arange(60, 700, 60)])
    since = days - peak
    fast = (1 - slow) * 2.0 ** (-since / 4.3) + slow * 2.0 ** (-since / 220)
    level = top * np.where(since < 0, 2.0 ** (since / 0.78), fast)
    params = nca.table(trial({"01": list(zip(days, level, strict=True))}), contraction_until=18)
    assert number(params, "doubling_time") == pytest.approx(0.78, rel=1e-9)
    # The slow phase adds up to 3 % to the level within two half-lives of the peak.
    assert number(params, "contraction_half_life") == pytest.approx(4.3, rel=0.03)
    assert number(params, "half_life") == pytest.approx(220, rel=0.02)
    assert number(params, "cmax") == pytest.approx(top)
