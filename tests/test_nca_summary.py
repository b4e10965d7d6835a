"""Summaries, the long table, dose proportionality and persistence curves."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from nca_inputs import one, trial

from cart_pkpd import nca
from cart_pkpd._nca.summary import significant


def peaks(levels: dict[str, float], doses: dict[str, float] | None = None, **covariates):
    """Return the table of patients whose only difference is the peak."""
    profiles = {name: [(0.0, 0.0), (7.0, top), (14.0, top / 2)] for name, top in levels.items()}
    given = {name: [(0.0, (doses or {}).get(name, 1e6))] for name in levels}
    return nca.table(trial(profiles, doses=given, covariates=covariates or None))


# -- summary


def test_statistics_of_a_group() -> None:
    # 1, 10, 100: geometric mean 10, SD of logs ln 10, geometric CV sqrt(exp(ln10²) − 1).
    rows = nca.summary(peaks({"a": 1, "b": 10, "c": 100}), parameters=["cmax"])
    row = rows.iloc[0]
    assert (row["n"], row["N"], row["n_zero"]) == (3, 3, 0)
    assert row["geomean"] == pytest.approx(10)
    assert row["geocv"] == pytest.approx(100 * math.sqrt(math.exp(math.log(10) ** 2) - 1))
    assert (row["mean"], row["median"], row["min"], row["max"]) == (37, 10, 1, 100)
    assert row["sd"] == pytest.approx(math.sqrt((36**2 + 27**2 + 63**2) / 2))
    assert row["cv"] == pytest.approx(100 * row["sd"] / 37)
    assert (row["q1"], row["q3"]) == (5.5, 55)
    assert row["unit"] == "copies/µg"


def test_label_texts_per_statistic() -> None:
    params = peaks({"a": 1, "b": 10, "c": 100})
    texts = {
        kind: nca.summary(params, parameters=["cmax"], statistic={"cmax": kind})["text"].iloc[0]
        for kind in ("geometric", "arithmetic", "median", "count")
    }
    assert texts["geometric"] == "10.0 (1410 %) n=3"
    assert texts["arithmetic"] == "37.0 (54.7) n=3"
    assert texts["median"] == "10.0 [1.00; 100] n=3"


def test_zeros_leave_geometric_statistics_and_n_says_so() -> None:
    params = nca.table(
        trial({"a": [(0, 0), (7, 4)], "b": [(0, 0), (7, 9)], "c": [(0, 0), (7, "<1")]})
    )
    row = nca.summary(params, parameters=["cmax"]).iloc[0]
    assert (row["n"], row["n_zero"]) == (3, 1)
    assert row["geomean"] == pytest.approx(6)
    # SD of logs = ln(9/4)/sqrt(2); geometric CV = sqrt(exp(SD²) − 1) = 62.39 %.
    assert row["text"] == "6.00 (62.4 %) n=2 of 3, 1 zero"


def test_more_than_half_missing_is_not_calculated() -> None:
    profiles = {name: [(0.0, 0.0), (7.0, 8.0), (14.0, 4.0)] for name in "ab"}
    profiles["c"] = [(t, 8.0 * 2 ** (-t / 7)) for t in (0, 7, 14, 21, 28)]
    params = nca.table(trial(profiles))
    assert nca.summary(params, parameters=["half_life"])["text"].iloc[0] == "NC (n=1 of 3)"
    lenient = nca.summary(params, parameters=["half_life"], max_missing=0.7)
    assert lenient["text"].iloc[0] == "7.00 n=1 of 3"  # no spread for one value


def test_flags_are_counted() -> None:
    params = nca.table(
        trial({"a": [(7, 9), (28, 5)], "b": [(7, 9), (28, "<1")], "c": [(7, 9), (14, 5)]})
    )
    row = nca.summary(params, parameters=["quantifiable_d28"]).iloc[0]
    assert row["text"] == "1/2 (50 %) n=2 of 3"


def test_groups_by_dose_level_and_covariate() -> None:
    params = peaks(
        {"a": 1, "b": 10, "c": 100, "d": 1000},
        {"a": 1e6, "b": 1e6, "c": 3e6, "d": 3e6},
        responder=np.array(["yes", "no", "yes", "no"]),
    )
    rows = nca.summary(params, parameters=["cmax"])
    assert rows["dose_level"].tolist() == [1e6, 3e6]
    assert rows["N"].tolist() == [2, 2]
    by = nca.summary(params, by="responder", parameters=["cmax"]).set_index("responder")
    assert by["geomean"].to_dict() == pytest.approx({"no": 100, "yes": 10})
    both = nca.summary(params, by=["dose_level", "responder"], parameters=["cmax"])
    assert both["geomean"].tolist() == pytest.approx([10, 1, 1000, 100])
    with pytest.raises(ValueError, match=r"unknown group 'dose_levle'\. Did you mean 'dose_level'"):
        nca.summary(params, by="dose_levle")
    with pytest.raises(ValueError, match="unknown statistic 'mode'"):
        nca.summary(params, statistic={"cmax": "mode"})


def test_patients_without_a_group_are_not_lost() -> None:
    params = peaks({"a": 1, "b": 10}, weight=np.array([70.0, np.nan]))
    rows = nca.summary(params, by="weight", parameters=["cmax"])
    assert rows["N"].sum() == 2
    assert rows["weight"].isna().sum() == 1


@pytest.mark.parametrize(
    ("value", "text"),
    # 0.630, 3.55, 8.18, 24.3 are printed so by PKNCA's README; 300 000 in the tisagenlecleucel
    # label, without exponents.
    [(0.63, "0.630"), (3.55, "3.55"), (8.1801, "8.18"), (24.26, "24.3"), (299_900, "300000"),
     (0.00123456, "0.00123"), (0, "0"), (9.996, "10.0"), (-45.678, "-45.7"), (math.nan, "–")],
)  # fmt: skip
def test_significant_digits(value: float, text: str) -> None:
    assert significant(value, 3) == text


def test_label_table_has_parameters_down_and_groups_across(fast01) -> None:
    params = nca.table(fast01, "transgene")
    table = nca.label_table(params)
    assert table.index.get_level_values("label").tolist() == [
        "Cmax", "Tmax", "AUC0–28d", "t½", "Tlast",
    ]  # fmt: skip
    assert table.columns.tolist() == ["1×10⁶ cells", "3×10⁶ cells", "1×10⁷ cells", "3×10⁷ cells"]
    assert table.index.get_level_values("unit").tolist() == [
        "copies/µg", "days", "copies/µg·day", "days", "days",
    ]  # fmt: skip
    everybody = nca.label_table(params, by=None)
    assert everybody["text"].iloc[0].endswith("n=30")
    both = nca.label_table(nca.table(fast01), by=None)
    assert both.shape[1] == 2
    assert "–" in both.iloc[0].tolist()  # cells/µL or copies/µg, not both
    crossed = nca.label_table(params, by=["dose_level", "sex"], parameters=["cmax"])
    assert crossed.columns[0] == ("1×10⁶ cells", "F")
    labels = params.assign_coords(dose_level=("id", np.arange(30) % 2 + 1.0))
    assert nca.label_table(labels).columns.tolist() == ["dose level 1", "dose level 2"]


# -- long table


def test_long_table_has_cdisc_names_windows_and_reasons() -> None:
    rows = nca.long(nca.table(one([0, 80, 40], [0, 7, 14]), window=[(0, 28), (0, 7)]))
    by = rows.set_index("parameter")
    assert by.loc["cmax", ["PPTESTCD", "value", "unit", "reason"]].tolist() == [
        "CMAX", 80, "copies/µg", "",
    ]  # fmt: skip
    assert by.loc["auc0_28", ["PPTESTCD", "start", "end", "PPSTINT", "PPENINT"]].tolist() == [
        "AUCINT", 0, 28, "P0D", "P28D",
    ]  # fmt: skip
    assert by.loc["auc0_28", "method"] == "ends at the last sample"
    assert by.loc["half_life", "reason"] == (
        "fewer than 3 quantifiable samples in the terminal phase"
    )
    assert math.isnan(by.loc["half_life", "value"])
    assert (rows["endpoint"] == "transgene").all()


def test_long_table_of_several_endpoints(fast01) -> None:
    params = nca.table(fast01)
    rows = nca.long(params)
    assert len(rows) == 2 * 30 * params.sizes["parameter"]
    assert rows["id"].drop_duplicates().tolist() == params.id.values.tolist()
    units = rows[rows["parameter"] == "auc0_28"].groupby("endpoint")["unit"].unique()
    assert units["transgene"].tolist() == ["copies/µg*day"]
    assert units["car_cells"].tolist() == ["cells/µL*day"]
    one_value = rows.query("endpoint == 'car_cells' and parameter == 'cmax'").set_index("id")
    np.testing.assert_array_equal(one_value["value"], params.cmax.sel(endpoint="car_cells"))


def test_long_table_of_every_infusion() -> None:
    data = one([0, 9, 5, 1, 8], [0, 3, 7, 30, 33], doses={"01": [(0, 1e6), (30, 1e6)]})
    rows = nca.long(nca.table(data, infusion="each"))
    assert rows.query("parameter == 'cmax'")[["infusion", "value"]].values.tolist() == [
        [1, 9], [2, 8],
    ]  # fmt: skip


# -- dose proportionality


def test_power_model_against_scipy() -> None:
    from scipy.stats import linregress, t

    rng = np.random.default_rng(7)
    doses = {f"p{i}": float(d) for i, d in enumerate(np.repeat([1e6, 3e6, 1e7, 3e7], 5))}
    tops = {n: 100 * (d / 1e6) ** 0.3 * math.exp(0.8 * rng.normal()) for n, d in doses.items()}
    found = nca.proportionality(peaks(tops, doses), "cmax")
    fit = linregress(np.log(list(doses.values())), np.log(list(tops.values())))
    half = t.ppf(0.95, 18) * fit.stderr
    assert found.slope == pytest.approx(fit.slope, rel=1e-10)
    assert found.intercept == pytest.approx(fit.intercept, rel=1e-10)
    assert (found.lower, found.upper) == pytest.approx((fit.slope - half, fit.slope + half))
    assert found.p_below_half == pytest.approx(t.cdf((0.5 - fit.slope) / fit.stderr, 18))
    assert (found.n, found.n_doses, found.dose_ratio) == (20, 4, pytest.approx(30))
    assert f"P(slope < 0.5) = {found.p_below_half:.3f}" in found.sentence
    assert "90% CI" in str(found)


def test_power_model_of_an_exact_power() -> None:
    doses = {"a": 1e6, "b": 3e6, "c": 1e7}
    found = nca.proportionality(peaks({n: d**1.2 for n, d in doses.items()}, doses), "cmax")
    assert found.slope == pytest.approx(1.2, rel=1e-12)
    assert found.fold_per_doubling == pytest.approx(2**1.2)
    assert found.p_below_half == pytest.approx(0, abs=1e-9)


def test_power_model_counts_who_is_left_out() -> None:
    params = nca.table(
        trial(
            {n: [(0, 0), (7, c)] for n, c in zip("abcd", (4, 8, 16, 0), strict=True)},
            doses={n: [(0.0, d)] for n, d in zip("abcd", (1, 2, 4, 8), strict=True)},
        )
    )
    found = nca.proportionality(params, "cmax")
    assert (found.n, found.n_left_out) == (3, 1)
    assert found.slope == pytest.approx(1)


def test_power_model_that_cannot_be_had_says_why() -> None:
    found = nca.proportionality(peaks({"a": 1, "b": 2, "c": 3}), "cmax")
    assert math.isnan(found.slope)
    assert found.reason == "only one dose"
    few = nca.proportionality(peaks({"a": 1, "b": 2}, {"a": 1, "b": 2}), "cmax")
    assert few.reason == "fewer than three patients"
    assert "no power model" in few.sentence


# -- persistence


def test_kaplan_meier_by_hand() -> None:
    # Events at 1, 3, 3, 5; censored at 2 and 6. S: 5/6, 5/6·2/4, 5/12·1/2.
    curve = nca.kaplan_meier(
        np.array([1.0, 2, 3, 3, 5, 6]), np.array([True, False, True, True, True, False])
    )
    assert curve["time"].tolist() == [0, 1, 2, 3, 5, 6]
    assert curve["survival"].tolist() == pytest.approx([1, 5 / 6, 5 / 6, 5 / 12, 5 / 24, 5 / 24])
    assert curve["n_at_risk"].tolist() == [6, 6, 5, 4, 2, 1]
    assert curve["n_censored"].tolist() == [0, 0, 1, 0, 0, 1]


def test_kaplan_meier_interval_of_the_log_log_scale() -> None:
    # Greenwood at the first event: variance of ln S = 1/(6·5); exponent 1.96·sqrt(1/30)/|ln 5/6|.
    curve = nca.kaplan_meier(np.arange(1.0, 7), np.ones(6, dtype=bool))
    s = 5 / 6
    power = math.exp(1.959963985 * math.sqrt(1 / 30) / abs(math.log(s)))
    assert curve["lower"][1] == pytest.approx(s**power, rel=1e-8)
    assert curve["upper"][1] == pytest.approx(s ** (1 / power), rel=1e-8)
    assert math.isnan(curve["lower"][0])


def test_turnbull_of_a_textbook_case() -> None:
    # Disjoint intervals: each carries its share of patients.
    curve = nca.turnbull(np.array([0.0, 0, 5, 10]), np.array([2.0, 2, 7, np.inf]))
    assert curve[["time", "time_right"]].values.tolist() == [[0, 2], [5, 7], [10, np.inf]]
    assert curve["mass"].tolist() == pytest.approx([0.5, 0.25, 0.25])
    # (0,1], (0,2], (1,3]: innermost (0,1] and (1,2]. Log likelihood ln p + ln(p + q) + ln q with
    # p + q = 1 is largest at p = q = 1/2.
    curve = nca.turnbull(np.array([0.0, 0, 1]), np.array([1.0, 2, 3]))
    assert curve["mass"].tolist() == pytest.approx([0.5, 0.5], abs=1e-6)


def test_turnbull_is_kaplan_meier_for_right_censored_times(rng: np.random.Generator) -> None:
    time = np.round(rng.exponential(50, 40), 3) + 1
    event = rng.random(40) < 0.7
    km = nca.kaplan_meier(time, event)
    # Events known to 1e-4 days; a time censored at t is known to exceed t.
    lower = np.where(event, time - 1e-4, time)
    tb = nca.turnbull(lower, np.where(event, time, np.inf))
    steps = km[km["n_events"] > 0]
    finite = tb[np.isfinite(tb["time_right"])]
    assert finite["time_right"].tolist() == pytest.approx(steps["time"].tolist())
    assert finite["survival"].tolist() == pytest.approx(steps["survival"].tolist(), abs=1e-7)


def test_turnbull_meets_the_conditions_of_a_maximum(fast01) -> None:
    params = nca.table(fast01, "transgene")
    low = params.persistence_lower.values
    high = np.where(np.isnan(params.persistence_upper), np.inf, params.persistence_upper)
    curve = nca.turnbull(low, high)
    covers = (curve["time"].values >= low[:, None]) & (curve["time_right"].values <= high[:, None])
    gradient = (covers / (covers @ curve["mass"].values)[:, None]).mean(axis=0)
    assert curve["mass"].sum() == pytest.approx(1)
    assert gradient.max() <= 1 + 1e-8
    carrying = curve["mass"].values > 1e-6
    assert gradient[carrying] == pytest.approx(np.ones(carrying.sum()), abs=1e-6)


def test_persistence_curve_of_patients() -> None:
    params = nca.table(
        trial(
            {
                "a": [(7, 9), (28, "<1")],  # lost in (7, 28]
                "b": [(7, 9), (28, 5)],  # censored at 28
                "c": [(7, "<1")],  # never seen: lost in (0, 7]
                "d": [],  # no profile
            }
        )
    )
    middle = nca.persistence(params)
    assert middle["time"].tolist() == [0, 3.5, 17.5, 28]
    assert middle["survival"].tolist() == pytest.approx([1, 2 / 3, 1 / 3, 1 / 3])
    assert middle.attrs["left_out"] == {"all": 1}
    assert middle.attrs["median"] == {"all": 17.5}
    assert middle.attrs["method"] == "midpoint"
    upper = nca.persistence(params, method="upper")
    assert upper["time"].tolist() == [0, 7, 28]
    exact = nca.persistence(params, method="turnbull")
    assert exact["mass"].tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3])


def test_persistence_by_group(fast01) -> None:
    params = nca.table(fast01, "transgene")
    curves = nca.persistence(params, by="dose_level")
    at_start = curves[curves["time"] == 0].set_index("group")["n_at_risk"]
    assert at_start.to_dict() == pd.Series(params.dose_level.values).value_counts().to_dict()
    with pytest.raises(ValueError, match="choose one endpoint first"):
        nca.persistence(nca.table(fast01))
    with pytest.raises(ValueError, match="choose one endpoint first"):
        nca.proportionality(nca.table(fast01))
