"""NCA against a slow reference, and properties that hold for every profile."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from nca_inputs import one, trial
from nca_naive import naive

from cart_pkpd import nca
from cart_pkpd._nca.exposure import RULE_TEXTS

LLOQ = 50.0
WINDOWS = [(0.0, 28.0), (5.0, 60.0), (100.0, 400.0)]


def random_profiles(rng: np.random.Generator, patients: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ragged random profiles: NaN where not sampled; BLQ, ties and pre-dose samples."""
    schedule = np.array([-1.0, 0, 1, 3, 7, 10, 14, 21, 28, 60, 90, 180, 365])
    time = schedule + rng.uniform(0, 0.4, (patients, 13)) * (rng.random((patients, 1)) < 0.8)
    time[:, 1] = np.where(rng.random(patients) < 0.3, 0.0, time[:, 1])
    peak, rate = rng.uniform(5, 16, (patients, 1)), rng.uniform(0.01, 0.4, (patients, 1))
    since = time - peak
    level = np.exp(rng.uniform(3, 11, (patients, 1)))
    level = level * np.exp(np.where(since < 0, 0.6 * since, -rate * since))
    level *= np.exp(rng.choice([0.0, 0.3, 1.5], (patients, 1)) * rng.normal(size=time.shape))
    level = np.where(rng.random((patients, 1)) < 0.2, np.round(level, -2), level)
    level[rng.random(time.shape) < 0.15] = np.nan
    level[rng.random(time.shape) < 0.05] = 0.0
    return level, time


@pytest.mark.parametrize("method", ["linear", "lin-up/log-down", "lin-log"])
@pytest.mark.parametrize("tail", ["zero", "triangle", "exponential", "exponential-predicted"])
@pytest.mark.parametrize(
    "blq",
    [
        ("keep", "drop", "keep"),
        ("keep", "keep", "keep"),
        ("drop", "drop", "drop"),
        ("keep", 20.0, "0.5*lloq"),
    ],
)
def test_vectorised_equals_a_slow_reference(
    rng: np.random.Generator, method: str, tail: str, blq: tuple
) -> None:
    level, time = random_profiles(rng, 30)
    params = nca.profiles(
        level,
        time,
        lloq=LLOQ,
        window=WINDOWS,
        method=method,
        tail=tail,
        blq=dict(zip(("first", "middle", "last"), blq, strict=True)),
    )
    compared = 0
    for i in range(level.shape[0]):
        there = ~np.isnan(level[i])
        expected = naive(
            time[i][there].tolist(),
            level[i][there].tolist(),
            LLOQ,
            method=method,
            tail=tail,
            blq=blq,
            windows=WINDOWS,
        )
        for name, value in expected.items():
            if name != "_a":
                found = float(params[name].values[i])
                # Same formulae, other order of rounding: 1e-10 relative. Where the exponential
                # tail is a difference of nearly equal numbers the reference itself loses digits.
                np.testing.assert_allclose(found, value, rtol=1e-10, err_msg=f"{name} of {i}")
                compared += value == value
    assert compared > 250


def test_a_patient_does_not_depend_on_the_company(rng: np.random.Generator) -> None:
    level, time = random_profiles(rng, 40)
    together = nca.profiles(level, time, lloq=LLOQ)
    for i in (0, 7, 39):
        alone = nca.profiles(level[i : i + 1], time[i : i + 1], lloq=LLOQ, ids=[str(i + 1)])
        # Bit for bit: sums run in time order whatever the shape of the block.
        xr.testing.assert_identical(alone, together.isel(id=[i]))


def test_blocks_and_slices_do_not_show(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    level, time = random_profiles(rng, 50)
    whole = nca.profiles(level, time, lloq=LLOQ)
    monkeypatch.setattr("cart_pkpd._nca.source.BLOCK_ELEMENTS", 40)
    monkeypatch.setattr("cart_pkpd._nca.tables.SLICE", 7)
    xr.testing.assert_identical(nca.profiles(level, time, lloq=LLOQ), whole)


def test_order_of_patients_and_samples_does_not_matter(rng: np.random.Generator) -> None:
    level, time = random_profiles(rng, 30)
    straight = nca.profiles(level, time, lloq=LLOQ)
    patients, samples = rng.permutation(30), rng.permutation(13)
    mixed = nca.profiles(
        level[patients][:, samples],
        time[patients][:, samples],
        lloq=LLOQ,
        ids=[str(i + 1) for i in patients],
    )
    xr.testing.assert_identical(mixed.sel(id=straight.id), straight)


def test_every_missing_value_has_a_reason_and_no_other_has(rng: np.random.Generator) -> None:
    level, time = random_profiles(rng, 400)
    level[0], level[1], level[2] = np.nan, 0.0, np.where(np.arange(13) == 5, 80.0, np.nan)
    for rules in ({}, {"start_rule": "none", "tail": "exponential", "tmax_after": 20.0},
                  {"accept_adj_r_squared": 0.9, "accept_aucpext": 20, "accept_samples": 4,
                   "accept_span_ratio": 2, "min_coverage": 0.9, "blq": "0.5*lloq"}):  # fmt: skip
        params = nca.profiles(
            level,
            time,
            lloq=np.where(time > 20, np.nan, LLOQ),
            window=WINDOWS,
            parameters=list(nca.parameters(WINDOWS).index),
            **rules,
        )
        missing = np.stack([np.isnan(params[n].values) for n in params.parameter.values], axis=1)
        said = params.reason.values != ""
        assert (missing == said).all()
        assert 0.05 < missing.mean() < 0.95


def level_lists(least: int = 4) -> st.SearchStrategy[list[float]]:
    """Return levels over seven decades, some BLQ."""
    value = st.one_of(st.floats(1e-2, 1e5), st.just(0.0), st.sampled_from([10.0, 100.0]))
    return st.lists(value, min_size=least, max_size=12)


def times_for(levels: list[float]) -> np.ndarray:
    return np.array([0.0, 1, 3, 7, 10, 14, 21, 28, 60, 90, 180, 365])[: len(levels)]


SCALED = ["cmax", "clast", "auclast", "aucall", "aucinf_obs", "auc0_28", "aumclast", "auc0_tmax"]
SAME = ["tmax", "tlast", "lambda_z_n_points", "half_life", "adj_r_squared", "doubling_time"]


@given(level_lists(), st.sampled_from([1e-3, 7.0, 1e6]))
def test_scaling_levels_scales_areas_and_nothing_else(levels: list[float], factor: float) -> None:
    time = times_for(levels)
    a = nca.profiles(np.array([levels]), time)
    b = nca.profiles(np.array([levels]) * factor, time)
    for name in SCALED:
        np.testing.assert_allclose(b[name], a[name] * factor, rtol=1e-9, err_msg=name)
    for name in SAME:
        # R² of an almost flat tail is a small difference of logs; hence the absolute part.
        np.testing.assert_allclose(b[name], a[name], rtol=1e-7, atol=1e-9, err_msg=name)


@given(level_lists())
def test_hours_instead_of_days(levels: list[float]) -> None:
    time = times_for(levels)
    days = nca.profiles(np.array([levels]), time, window=(0, 28))
    hours = nca.profiles(np.array([levels]), time * 24, window=(0, 672), contraction_until=672.0)
    pairs = {"tmax": 24, "auclast": 24, "half_life": 24, "aumclast": 576, "lambda_z": 1 / 24,
             "cmax": 1, "contraction_half_life": 24, "adj_r_squared": 1}  # fmt: skip
    for name, factor in pairs.items():
        np.testing.assert_allclose(hours[name], days[name] * factor, rtol=1e-9, err_msg=name)
    np.testing.assert_allclose(hours.auc0_672, days.auc0_28 * 24, rtol=1e-9)


@given(level_lists(), st.floats(-400, 400))
def test_the_clock_starts_at_the_infusion(levels: list[float], shift: float) -> None:
    times = times_for(levels) + 0.5
    straight = nca.table(one(levels, times))
    moved = nca.table(one(levels, times + shift, doses={"01": [(shift, 1e6)]}))
    for name in straight.parameter.values:
        np.testing.assert_allclose(moved[name], straight[name], rtol=1e-7, atol=1e-7, err_msg=name)


@given(st.floats(1.0, 1e5), st.floats(1e-6, 0.9999999), st.floats(0.01, 0.99), st.floats(0.1, 50))
def test_a_point_on_the_log_line_adds_no_area(
    top: float, ratio: float, share: float, length: float
) -> None:
    between = top * ratio**share
    ends = nca.auc([0, top, top * ratio], [0, 1, 1 + length])
    more = nca.auc([0, top, between, top * ratio], [0, 1, 1 + share * length, 1 + length])
    assert more == pytest.approx(ends, rel=1e-9)


@given(level_lists(), st.floats(0.5, 300))
def test_windows_add_up(levels: list[float], cut: float) -> None:
    time = times_for(levels)
    for tail in ("zero", "triangle"):
        windows = [(0.0, cut), (cut, 400.0), (0.0, 400.0)]
        values = [nca.auc(levels, time, a, b, tail=tail) for a, b in windows]
        assert values[0] + values[1] == pytest.approx(values[2], rel=1e-9, abs=1e-9)


@given(level_lists())
def test_areas_are_ordered(levels: list[float]) -> None:
    params = nca.profiles(np.array([levels]), times_for(levels), window=(0, 1000), tail="zero")
    auclast, aucall = float(params.auclast[0]), float(params.aucall[0])
    assert auclast <= aucall
    assert float(params.auc0_1000[0]) == pytest.approx(auclast, rel=1e-12)
    assert float(params.aucinf_obs[0]) >= auclast or np.isnan(params.aucinf_obs[0])


def test_one_bad_patient_does_not_stop_the_others() -> None:
    good = [(0.0, 0.0), (3.0, 10.0), (7.0, 40.0), (14.0, 20.0), (21.0, 10.0), (28.5, 5.0)]
    bad = {
        "twice": [(0.0, 0.0), (3.0, 1.0), (3.0, 2.0)],
        "negative": [(0.0, 0.0), (3.0, -1.0)],
        "infinite": [(0.0, 0.0), (3.0, np.inf)],
        "clock": [(0.0, 0.0), (np.inf, 3.0)],
        "absent": [],
        "before": [(-3.0, 5.0)],
        "single": [(3.0, 5.0)],
        "nothing": [(3.0, "<5"), (7.0, "<5")],
        "huge": [(0.0, 0.0), (1.0, 1e308), (30.0, 1.5e308), (60.0, 1e308)],
    }
    params = nca.table(trial({"good": good, **bad, "last": good}))
    alone = nca.table(trial({"good": good}))
    for who in ("good", "last"):
        for name in params.parameter.values:
            np.testing.assert_array_equal(params[name].sel(id=who), alone[name].sel(id="good"))
    why = params.reason.sel(parameter="auclast").to_series().to_dict()
    assert why == {
        "good": "",
        "twice": "two samples at the same time (day 3, rows 9 and 10); see rule duplicates",
        "negative": "negative level -1 (day 3, row 12)",
        "infinite": "level inf is not finite (day 3, row 14)",
        "clock": "a sample has no finite time (day inf, row 16)",
        "absent": "no sample of this endpoint after the infusion",
        "before": "no sample of this endpoint after the infusion",
        "single": "only one sample; an area needs two",
        "nothing": "",
        "huge": "too large or too small for floating-point numbers",
        "last": "",
    }
    assert float(params.auclast.sel(id="nothing")) == 0


def test_rule_texts_are_all_reachable() -> None:
    found = set()
    profile = [0, 40, 20, 10], [0.0, 7, 14, 21]
    ends = [*profile[0], "<5"], [*profile[1], 30.0]
    for tail in ("zero", "triangle", "exponential", "exponential-predicted"):
        for levels, times in (profile, ends):
            params = nca.table(one(levels, times), tail=tail, min_points=2)
            found.add(str(params.auc0_28_rule.values[0]))
    found.add(str(nca.table(one(*profile), window=(0, 20)).auc0_20_rule.values[0]))
    again = one(*profile, doses={"01": [(0.0, 1e6), (20.0, 1e6)]})
    found.add(str(nca.table(again).auc0_28_rule.values[0]))
    found.add(str(nca.table(one([1], [0])).auc0_28_rule.values[0]))
    assert found == set(RULE_TEXTS)
