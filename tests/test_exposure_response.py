"""Exposure–response: R's glm, ratios per doubling, truncation, landmarks, sentences.

The numbers of R are the output of tests/oracles/survival/exposure.R by R 4.2.2.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import expit
from scipy.stats import chi2

from cart_pkpd import crs, endpoints
from cart_pkpd._core import words
from cart_pkpd._core.errors import DataError

ORACLES = Path(__file__).parent / "oracles" / "survival"
QUICK = {"draws": 300, "tune": 300, "chains": 2, "cores": 1, "seed": 3}


@pytest.fixture(scope="module")
def patients():
    found = pd.read_csv(ORACLES / "exposure.csv")
    found.attrs["units"] = {"cmax": "copies/µg", "auc0_28": "copies/µg*day", "dose_level": "cells"}
    return found


# --- against R ---------------------------------------------------------------------------------


def test_logistic_regression_is_glm_of_r(patients):
    """Coefficients per factor e; the ratio per doubling is 2 to that power. Tolerance 1e-5."""
    found = endpoints.exposure_response(
        patients, "crs_grade", "cmax", at_least=2, covariates=["dose_level", "tumour_burden"]
    )
    beta = np.array([1.596219473772343, 0.426454110128725, 4.160965086594])
    se = np.array([0.905035781452262, 0.748848579219424, 2.124098870787843])
    double = found.ratios[found.ratios["change"] == "2-fold"]
    np.testing.assert_allclose(double["estimate"], 2**beta, rtol=1e-5)
    half = 1.959963984540054 * se * np.log(2)
    np.testing.assert_allclose(double["lower"], 2**beta * np.exp(-half), rtol=1e-4)
    np.testing.assert_allclose(double["upper"], 2**beta * np.exp(half), rtol=1e-4)
    np.testing.assert_allclose(double["p_value"], 2 * _upper(beta / se), rtol=1e-3)
    assert (found.n, found.events, found.outcome) == (30, 5, "crs_grade ≥ 2")
    assert found.notes == (
        "5 of 30 patients had crs_grade ≥ 2: few for 3 coefficients, so Wald intervals are rough.",
    )
    assert repr(found).startswith(
        "crs_grade ≥ 2 on Cmax: odds ratio, 2-fold change: 3.02 (95 % interval 0.88–"
    )


def _upper(z):
    return chi2.sf(z**2, 1) / 2


def test_the_curve_and_its_band_are_those_of_predict_glm(patients):
    """At cmax 1000, dose 1e6, burden 80: R's probability and its interval on the logit scale."""
    from cart_pkpd._crs.arrange import arrange
    from cart_pkpd._crs.layer import Layer
    from cart_pkpd._crs.parts import Logistic
    from cart_pkpd._endpoints import exposure as module
    from cart_pkpd._endpoints.groups import per_patient
    from cart_pkpd._endpoints.predictors import columns_of, terms_of

    found = per_patient(patients)
    terms = terms_of(["cmax", "dose_level", "tumour_burden"], found)
    task = module._Task(found, "crs_grade", terms, "logistic", 2, None, None, "ml", 0.9, 4, {})
    layer = Layer(occurrence=Logistic(terms))
    yes = (found["crs_grade"].values >= 2).astype(float)
    predictors = module._predictors(task, layer, yes)
    data = arrange(predictors, layer.parts, layer.window).data[0]
    at = pd.DataFrame({"id": ["x"], "cmax": [1000.0], "dose_level": [1e6], "tumour_burden": [80.0]})
    x = columns_of(terms, per_patient(at))
    got = module._delta(data, layer.maximum_likelihood(predictors), x, 0.9)[0, 0]
    wanted = [0.012162619774115219, 0.000274798478690858, 0.355464643619093856]
    np.testing.assert_allclose(got, wanted, rtol=1e-4)


def test_separate_logits_and_brants_test_are_those_of_r(patients):
    found = endpoints.exposure_response(patients, "crs_grade", "auc0_28", kind="ordinal", highest=3)
    slopes = [0.246829880027501, 0.921589468680870, 0.629374532590949]
    np.testing.assert_allclose(found.separate["estimate"], np.exp2(slopes), rtol=1e-5)
    assert found.separate["events"].tolist() == [16, 5, 2]
    assert found.separate.attrs["brant"] == pytest.approx(2.32699281212284, rel=1e-6)
    assert found.separate.attrs["p_value"] == pytest.approx(chi2.sf(2.32699281212284, 2), rel=1e-6)
    # One common slope lies between those of the thresholds.
    b = np.log2(found.ratios["estimate"].iloc[0])
    assert min(slopes) < b < max(slopes)


def test_curves_of_higher_grades_lie_lower(patients):
    found = endpoints.exposure_response(patients, "crs_grade", "cmax", kind="ordinal", highest=3)
    curve = found.curve["curve"].sel(interval="mean").values
    assert found.curve["grade"].values.tolist() == [1, 2, 3]
    assert (np.diff(curve, axis=0) < 0).all()
    assert (found.curve["curve"].sel(interval="lower") <= curve).all()
    assert found.curve["count"].values.sum() == 30
    assert found.curve["x"].attrs["units"] == "copies/µg"


def ordinal(n, slope, seed):
    """Grades 0 to 3 with proportional odds; the log odds rise by `slope` per doubling."""
    rng = np.random.default_rng(seed)
    cmax = 2 ** rng.normal(10, 1.5, n)
    eta = slope * (np.log2(cmax) - 10)
    u = rng.random(n)
    grade = sum((u < expit(a + eta)).astype(int) for a in (0.5, -1.0, -2.5))
    return pd.DataFrame({"id": np.arange(n).astype(str), "cmax": cmax, "grade": grade})


def test_the_odds_ratio_of_a_doubling_is_found_again():
    """Made with 1.65 per doubling: the 99 % interval of 1500 patients holds it."""
    table = ordinal(1500, 0.5, 8)
    ml = endpoints.exposure_response(table, "grade", "cmax", kind="ordinal", prob=0.99)
    row = ml.ratios.iloc[0]
    assert row["lower"] < np.exp(0.5) < row["upper"]
    assert ml.separate.attrs["p_value"] > 0.01


@pytest.mark.slow
def test_the_odds_ratio_of_a_doubling_is_found_again_by_bayes():
    table = ordinal(1500, 0.5, 8)
    bayes = endpoints.exposure_response(
        table.head(300), "grade", "cmax", kind="ordinal", prob=0.99, method="bayes", **QUICK
    )
    assert bayes.ratios.iloc[0]["lower"] < np.exp(0.5) < bayes.ratios.iloc[0]["upper"]
    assert bayes.ratios.iloc[0]["p_above_1"] > 0.99
    assert bayes.curve.attrs["outcome"] == "grade"


def test_slopes_that_differ_are_found_by_brants_test():
    rng = np.random.default_rng(4)
    n = 1500
    cmax = 2 ** rng.normal(10, 1.5, n)
    low = rng.random(n) < 0.6
    high = rng.random(n) < expit(1.2 * (np.log2(cmax) - 10))
    table = pd.DataFrame({"id": np.arange(n).astype(str), "cmax": cmax,
                          "grade": low.astype(int) + (low & high)})  # fmt: skip
    found = endpoints.exposure_response(table, "grade", "cmax", kind="ordinal")
    assert found.separate.attrs["p_value"] < 1e-6


# --- truncation, landmark ----------------------------------------------------------------------


def test_areas_cut_short_by_death_are_flagged_and_shown_without(patients):
    early = patients.assign(death_day=np.where(patients["id"] == "F01-002", 12.0, np.nan))
    early.attrs = patients.attrs
    found = endpoints.exposure_response(
        early, "crs_grade", "auc0_28", at_least=2, death_day="death_day"
    )
    assert found.truncated == ("F01-002",)
    assert found.notes[0] == (
        "the exposure of 1 patient (F01-002) ends before day 28 with death or the last sample, so "
        "an area over the window is too low: kept; see .sensitivity."
    )
    assert found.sensitivity["n"].tolist() == [30, 29]
    less = endpoints.exposure_response(
        early, "crs_grade", "auc0_28", at_least=2, death_day="death_day", exclude_truncated=True
    )
    assert less.n == 29
    assert less.ratios["estimate"].iloc[0] == pytest.approx(found.sensitivity["estimate"].iloc[1])
    assert less.sensitivity.empty


def tte_of(n, seed):
    rng = np.random.default_rng(seed)
    cmax = 2 ** rng.normal(10, 1.5, n)
    time = 30 + rng.exponential(200, n) * (cmax / 2**10) ** 0.6
    table = pd.DataFrame({"id": np.arange(n).astype(str), "endpoint": "PFS",
                          "time": np.minimum(time, 600), "event": time <= 600,
                          "start_day": 0.0})  # fmt: skip
    table.loc[0, "time"] = 10.0  # an event before the landmark
    return table, pd.DataFrame({"id": table["id"], "cmax": cmax})


def test_survival_is_a_cox_regression_from_the_landmark():
    tte, who = tte_of(80, 3)
    found = endpoints.exposure_response(who, tte, "cmax", kind="survival", landmark=28)
    later = endpoints.from_landmark(tte, 28)
    cox = endpoints.cox(later, "cmax", patients=who)
    assert found.ratios["estimate"].iloc[0] == pytest.approx(cox.ratios()["estimate"].iloc[0])
    assert found.ratios["estimate"].iloc[0] < 1
    assert (found.n, found.outcome) == (79, "PFS")
    assert len(found.survival.summary) == 4
    assert found.survival.summary["n"].sum() == 79
    first = [float(g.split("–")[0].replace(",", "")) for g in found.survival.summary["group"]]
    assert first == sorted(first)
    plain = endpoints.exposure_response(who, tte, "cmax", kind="survival")
    assert any("landmark=28 avoids this" in n for n in plain.notes)
    assert not any("landmark=28" in n for n in found.notes)
    bayes = endpoints.exposure_response(
        who, tte, "cmax", kind="survival", landmark=28, method="bayes", **QUICK
    )
    both = bayes.ratios["estimate"].iloc[0], found.ratios["estimate"].iloc[0]
    assert both[0] == pytest.approx(both[1], rel=0.1)


# --- what makes no sense -----------------------------------------------------------------------


def test_questions_that_make_no_sense_are_refused(patients):
    tte = tte_of(5, 1)[0]
    cases = [
        (("crs_grade", "auc"), {}, "no variable 'auc'"),
        (("crs_grad", "cmax"), {}, "no variable 'crs_grad'. Did you mean 'crs_grade'?"),
        (("crs_grade", "cmax"), {"draws": 100}, "an option of the sampler; pass method='bayes'"),
        (("crs_grade", "cmax"), {"kind": "survival"}, "kind='survival' belong together"),
        ((tte, "cmax"), {}, "kind='survival' belong together"),
        (("crs_grade", "cmax"), {"kind": "cox"}, "unknown kind"),
        (("id2", "cmax"), {}, "holds text"),
        (("half", "cmax"), {}, "an outcome must be 0, 1, 2"),
        (("yes", "cmax"), {"kind": "ordinal"}, "not ordinal; use kind='logistic'"),
    ]
    table = patients.assign(id2=patients["id"], half=0.5, yes=1.0)
    for positional, named, said in cases:
        with pytest.raises((DataError, ValueError)) as error:
            endpoints.exposure_response(table, *positional, **named)
        assert said in str(error.value)


def test_complete_separation_has_a_reason_instead_of_a_ratio():
    table = pd.DataFrame({"id": list("abcdef"), "cmax": [1.0, 2, 4, 8, 16, 32],
                          "dlt": [0, 0, 0, 1, 1, 1]})  # fmt: skip
    found = endpoints.exposure_response(table, "dlt", "cmax")
    assert np.isnan(found.ratios["estimate"].iloc[0])
    assert "separate the outcomes completely" in found.ratios["reason"].iloc[0]
    assert "separate the outcomes completely" in repr(found)
    assert np.isnan(found.curve["curve"].values).all()


def test_a_term_of_ones_own_keeps_its_reference_and_unit():
    ids = [str(i) for i in range(40)]
    rng = np.random.default_rng(1)
    cmax = xr.DataArray(2 ** rng.normal(10, 1, 40), dims="id", attrs={"units": "copies/µg"})
    grade = ("id", (rng.random(40) < 0.5).astype(float))
    data = xr.Dataset({"cmax": cmax, "dlt": grade}, coords={"id": ids})
    own = crs.covariate("cmax", reference=1000, unit="copies/µg")
    a = endpoints.exposure_response(data, "dlt", own)
    b = endpoints.exposure_response(data, "dlt", "cmax")
    assert a.exposure.reference == 1000
    # The reference moves the intercept, not the ratio.
    assert a.ratios["estimate"].iloc[0] == pytest.approx(b.ratios["estimate"].iloc[0], rel=1e-5)


def test_exposures_are_named_and_measured_as_elsewhere(patients):
    """Labels of ``nca.table``, units as ``units.times`` writes them, numbers as in reports."""
    found = endpoints.exposure_response(
        patients, "crs_grade", "auc0_28", at_least=2, covariates=["dose_level"]
    )
    assert found.ratios["label"].tolist()[0] == "AUC0–28d"
    assert found.curve["x"].attrs["units"] == "copies/µg*day"
    assert found.curve["x"].attrs["long_name"] == "AUC0–28d"
    exposure, dose = (t.label for t in found.terms)
    assert exposure.startswith("ln(AUC0–28d / ")
    assert exposure.endswith(" copies/µg·day)")
    assert dose == f"ln(dose level / {words.exact(found.terms[1].reference)} cells)"
    table = pd.DataFrame({"id": patients["id"], "time": 1.0 + np.arange(30), "event": True})
    ratios = endpoints.cox(table, ["auc0_28"], patients=patients).ratios()
    assert set(ratios["label"]) == {"AUC0–28d"}
    assert words.exact(1e7) == "1×10⁷"
    assert words.exact(18_000.0) == "18,000"
    assert words.exact(-2.5e-7) == "−2.5×10⁻⁷"
    assert words.exact(1234.5) == "1,234.5"


def test_a_grade_above_5_is_refused(patients):
    wrong = patients.assign(crs_grade=patients["crs_grade"].where(patients.index != 2, 7))
    with pytest.raises(DataError, match="has crs_grade 7, but grades end at 5"):
        endpoints.exposure_response(wrong, "crs_grade", "cmax", at_least=2)
