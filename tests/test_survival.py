"""Survival: equal to R's package survival on its data sets, closed forms, sentences.

The numbers of R are the output of tests/oracles/survival/survival.R and extra.R by R 4.2.2 with
survival 3.5-3.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.integrate import quad
from scipy.stats import chi2

from cart_pkpd import crs, endpoints
from cart_pkpd._core.errors import DataError, ModelError
from cart_pkpd._crs.density import LayerDensity
from cart_pkpd._endpoints.parametric import DISTRIBUTIONS, Survival, SurvivalData
from cart_pkpd.endpoints import DAYS_PER_MONTH

ORACLES = Path(__file__).parent / "oracles" / "survival"
RTOL = 1e-6
QUICK = {"draws": 300, "tune": 300, "chains": 2, "cores": 1, "seed": 3}

AML = {
    "Maintained": ("9 13 13 18 23 28 31 34 45 48 161", "1 1 0 1 1 0 1 1 0 1 0"),
    "Nonmaintained": ("5 5 8 8 12 16 23 27 30 33 43 45", "1 1 1 1 1 0 1 1 1 1 1 1"),
}
OVARIAN = """59 1 72.3315 2 1 1;115 1 74.4932 2 1 1;156 1 66.4658 2 1 2;421 0 53.3644 2 2 1
431 1 50.3397 2 1 1;448 0 56.4301 1 1 2;464 1 56.937 2 2 2;475 1 59.8548 2 2 2;477 0 64.1753 2 1 1
563 1 55.1781 1 2 2;638 1 56.7562 1 1 2;744 0 50.1096 1 2 1;769 0 59.6301 2 2 2;770 0 57.0521 2 2 1
803 0 39.2712 1 1 1;855 0 43.1233 1 1 2;1040 0 38.8932 2 1 2;1106 0 44.6 1 1 1;1129 0 53.9068 1 2 1
1206 0 44.2055 2 2 1;1227 0 59.589 1 2 2;268 1 74.5041 2 1 2;329 1 43.137 2 1 1;353 1 63.2192 1 2 2
365 1 64.4247 2 2 1;377 0 58.3096 1 2 1"""


def table_of(time, event, **columns):
    n = len(time)
    return pd.DataFrame(
        {"id": [f"p{i + 1}" for i in range(n)], "time": np.asarray(time, float),
         "event": np.asarray(event, bool), **columns}
    )  # fmt: skip


@pytest.fixture(scope="module")
def lung():
    found = pd.read_csv(ORACLES / "lung.csv")
    return table_of(
        found["time"], found["status"] == 2, sex=found["sex"], age=found["age"],
        ecog=found["ph.ecog"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def aml():
    parts = [
        pd.DataFrame({"time": t.split(), "event": e.split(), "arm": arm}).astype(
            {"time": float, "event": int}
        )
        for arm, (t, e) in AML.items()
    ]
    found = pd.concat(parts, ignore_index=True)
    return table_of(found["time"], found["event"], arm=found["arm"])


@pytest.fixture(scope="module")
def ovarian():
    rows = [[float(v) for v in r.split()] for r in OVARIAN.replace("\n", ";").split(";")]
    time, event, age, resid, rx, ecog = np.array(rows).T
    return table_of(time, event, age=age, resid=resid, rx=rx, ecog=ecog)


def linear(*names):
    return [crs.covariate(n, reference=0, scale="linear") for n in names]


# --- Kaplan–Meier, against R -------------------------------------------------------------------


def test_curve_and_log_log_band_are_those_of_r(aml):
    curve = endpoints.kaplan_meier(aml, "arm").curve.set_index(["group", "time"])
    first, second = (curve.loc[g] for g in AML)
    survival = [0.9090909090909091, 0.8181818181818181, 0.7159090909090908, 0.6136363636363635,
                0.6136363636363635, 0.4909090909090909, 0.3681818181818182, 0.3681818181818182,
                0.1840909090909091, 0.1840909090909091]  # fmt: skip
    lower = [0.50808020576992974, 0.44742861468218142, 0.35019038590793838, 0.26575204000128611,
             0.26575204000128611, 0.16733090977685081, 0.09282957493698518, 0.09282957493698518,
             0.01173848012318960, 0.01173848012318960]  # fmt: skip
    upper = [0.986673822667823, 0.951162228582492, 0.899023974191053, 0.835299243250221,
             0.835299243250221, 0.753399790370811, 0.657040832398164, 0.657040832398164,
             0.525014842726641, 0.525014842726641]  # fmt: skip
    for column, wanted in (("survival", survival), ("lower", lower), ("upper", upper)):
        np.testing.assert_allclose(first[column].iloc[1:], wanted, rtol=RTOL)
    last = second.loc[[33.0, 43.0], ["survival", "lower", "upper"]].to_numpy()
    np.testing.assert_allclose(
        last,
        [[0.1944444444444445, 0.03119864293121194, 0.461429476238114],
         [0.0972222222222222, 0.00574630569586383, 0.348903861110750]],
        rtol=RTOL,
    )  # fmt: skip
    # R prints NA where survival is 0 or 1; so do we, on purpose.
    assert second.loc[45.0, "survival"] == 0
    assert second.loc[[0.0, 45.0], ["lower", "upper"]].isna().all().all()


def test_medians_and_their_intervals_are_those_of_r(aml, lung, ovarian):
    found = endpoints.kaplan_meier(aml, "arm").summary.set_index("group")
    days = found[["median", "median_lower", "median_upper"]] * DAYS_PER_MONTH
    np.testing.assert_allclose(days.loc["Nonmaintained"], [23, 5, 33], rtol=RTOL)
    np.testing.assert_allclose(days.loc["Maintained"], [31, 13, np.nan], rtol=RTOL)
    assert found.loc["Maintained", "reason"] == "upper limit not reached"
    both = endpoints.kaplan_meier(lung).summary.iloc[0]
    wanted = {"median": (310, 284, 361), "follow_up": (588, 511, 821)}
    for name, numbers in wanted.items():
        got = [both[name + e] * DAYS_PER_MONTH for e in ("", "_lower", "_upper")]
        np.testing.assert_allclose(got, numbers, rtol=RTOL)
    by_rx = endpoints.kaplan_meier(ovarian, "rx").summary.set_index("group")
    assert by_rx.loc[1.0, "median"] * DAYS_PER_MONTH == pytest.approx(638)
    assert np.isnan(by_rx.loc[2.0, "median"])
    assert by_rx.loc[2.0, "reason"].startswith("not reached: the curve ends at 0.")


def test_milestones_and_numbers_at_risk_are_those_of_r(lung):
    found = endpoints.kaplan_meier(lung, "sex", months=[6, 12, 24])
    got = found.estimates
    np.testing.assert_allclose(
        got["survival"],
        [0.6298180696885604, 0.3360878346393786, 0.0781240912670194, 0.8305368928330257,
         0.5264630301859056, 0.1872324979050559],
        rtol=RTOL,
    )  # fmt: skip
    np.testing.assert_allclose(
        got["lower"],
        [0.5434119811655705, 0.2527291433279733, 0.0352038844507715, 0.7346391968221444,
         0.4035798232667308, 0.0846596532272596],
        rtol=RTOL,
    )  # fmt: skip
    np.testing.assert_allclose(
        got["upper"],
        [0.704361057630719, 0.421302168222719, 0.143389617998262, 0.894218048130945,
         0.635316232824086, 0.320832676867241],
        rtol=RTOL,
    )  # fmt: skip
    assert got["n_at_risk"].tolist() == [86, 35, 7, 70, 30, 6]
    assert found.at_risk([0, 12]).loc[2].tolist() == [90, 30]
    assert "1: 112 events of 138, median 8.9 months (6.9–10.1)" in repr(found)


def test_a_milestone_beyond_all_follow_up_has_no_number_unless_all_died():
    alive = table_of([100, 200], [1, 0])
    row = endpoints.kaplan_meier(alive, months=[12]).estimates.iloc[0]
    assert np.isnan(row["survival"])
    assert row["reason"] == "nobody was followed so long: the last time is 6.6 months"
    dead = endpoints.kaplan_meier(table_of([100, 200], [1, 1]), months=[12]).estimates.iloc[0]
    assert dead["survival"] == 0
    assert dead["reason"] == "no interval where survival is 0"


def test_groups_come_from_the_trial_and_who_has_no_time_is_named():
    tte = table_of([10, 20, np.nan], [1, 0, 0])
    trial = xr.Dataset({"dose_level": ("id", [1e6, 1e7, 1e7])}, coords={"id": ["p1", "p2", "p3"]})
    found = endpoints.kaplan_meier(tte, "dose_level", patients=trial)
    assert found.summary["group"].tolist() == [1e6, 1e7]
    assert found.notes == ("1 without a time left out (p3).",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"time": [0.0, 5.0]}, "patient 'p1' has the time 0; times to event are above 0"),
        ({"id": ["a", "a"]}, "patient 'a' has two rows of the same endpoint"),
        ({"time": [np.nan, np.nan]}, "nobody has a time"),
        ({"endpoint": ["PFS", "OS"]}, "several endpoints (OS, PFS)"),
    ],
)
def test_tables_that_are_none_are_refused(change, said):
    with pytest.raises(DataError) as error:
        endpoints.kaplan_meier(table_of([4.0, 5.0], [1, 0]).assign(**change))
    assert said in str(error.value)


def test_an_unknown_group_says_what_to_do():
    tte = table_of([4.0, 5.0], [1, 0])
    with pytest.raises(DataError, match="no column 'dose'; add it, or pass the trial"):
        endpoints.kaplan_meier(tte, "dose")
    with pytest.raises(DataError, match=r"no variable 'dose_levl'. Did you mean 'dose_level'"):
        endpoints.kaplan_meier(tte, "dose_levl", patients=tte.assign(dose_level=1.0))


# --- log-rank ----------------------------------------------------------------------------------


def test_log_rank_is_that_of_r(lung, aml, ovarian):
    found = endpoints.logrank(lung, "sex")
    np.testing.assert_allclose(found.table["expected"], [91.5817390295728, 73.4182609704272], RTOL)
    assert found.statistic == pytest.approx(10.3267419548856, rel=RTOL)
    assert found.p_value == pytest.approx(chi2.sf(10.3267419548856, 1), rel=RTOL)
    known = lung[lung["ecog"].notna()]
    four = endpoints.logrank(known, "ecog")
    assert (four.dof, four.table["n"].tolist()) == (3, [63, 113, 50, 1])
    assert four.statistic == pytest.approx(21.962131682476, rel=RTOL)
    assert endpoints.logrank(aml, "arm").statistic == pytest.approx(3.3963886989776, rel=RTOL)
    assert endpoints.logrank(ovarian, "rx").statistic == pytest.approx(1.06273986129141, rel=RTOL)
    strata = endpoints.logrank(known[known["ecog"] < 3], "sex", strata="ecog")
    assert strata.statistic == pytest.approx(10.7950596334964, rel=RTOL)


def test_log_rank_of_one_group_has_a_reason():
    found = endpoints.logrank(table_of([4.0, 5.0], [1, 0], arm=["a", "a"]), "arm")
    assert np.isnan(found.statistic)
    assert found.reason == "there is one group only"


# --- landmark ----------------------------------------------------------------------------------


def test_landmark_keeps_who_is_at_risk_and_counts_from_it():
    """Time is day + 1: an event on day 28 is before a landmark of 28, one on day 29 is 1 after."""
    tte = table_of([29, 30, 129], [1, 1, 0], start_day=0.0)
    best = pd.DataFrame(
        {"id": ["p1", "p2", "p3"], "response_day": [np.nan, 60.0, 28.0],
         "confirmation_day": [np.nan, np.nan, 56.0], "confirmed": ["PD", "SD", "PR"]}
    )  # fmt: skip
    kept = endpoints.from_landmark(tte, 28, best)
    assert kept["id"].tolist() == ["p2", "p3"]
    assert kept["time"].tolist() == [1.0, 100.0]
    assert kept["by_landmark"].tolist() == ["no response yet", "responder"]
    assert kept.attrs["notes"] == ("1 with event or censoring by day 28 left out (p1).",)
    later = endpoints.from_landmark(tte, 28, best, confirmed=True)
    assert later["by_landmark"].tolist() == ["no response yet", "no response yet"]
    with pytest.raises(DataError, match="nobody is at risk after day 400"):
        endpoints.from_landmark(tte, 400)


def test_landmark_by_the_best_response_at_assessments():
    tte = table_of([129, 129], [1, 0], start_day=0.0)
    points = pd.DataFrame(
        {"id": ["p1", "p1", "p1"], "day": [28.0, 56.0, 84.0], "overall": ["SD", "PR", "CR"]}
    )
    kept = endpoints.from_landmark(tte, 60, points)
    assert kept["by_landmark"].tolist() == ["PR", "MISSING"]


# --- Cox ---------------------------------------------------------------------------------------

COX = {
    "efron": (
        [0.0110667645961186, -0.5526123955318371, 0.4637284751157322],
        [0.0092674110143657, 0.1677390537834223, 0.1135772661613712],
        (-744.480455761440, -729.230121374862), 30.4999227049491, 29.9292511975758,
    ),
    "breslow": (
        [0.0110411363857075, -0.5518895696376560, 0.4629470403345499],
        [0.00926677011420227, 0.16774244801782776, 0.11357405206057965],
        (-744.692819266161, -729.488705176773), 30.4064069153299, 29.8390008287788,
    ),
}  # fmt: skip


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_cox_is_that_of_r(lung, ties):
    beta, se, loglik, score, wald = COX[ties]
    found = endpoints.cox(lung, linear("age", "sex", "ecog"), ties=ties)
    np.testing.assert_allclose(found.coefficients["estimate"], beta, rtol=RTOL)
    np.testing.assert_allclose(found.coefficients["se"], se, rtol=RTOL)
    np.testing.assert_allclose((found.loglik_null, found.loglik), loglik, rtol=RTOL)
    tests = found.tests.set_index("test")["statistic"]
    assert tests["score"] == pytest.approx(score, rel=RTOL)
    assert tests["Wald"] == pytest.approx(wald, rel=RTOL)
    assert tests["likelihood ratio"] == pytest.approx(2 * (loglik[1] - loglik[0]), rel=RTOL)
    assert (found.n, found.events) == (227, 164)
    assert found.notes == ("1 without a predictor left out (p14).",)


def test_proportional_hazards_test_is_cox_zph_of_r(lung):
    found = endpoints.cox(lung, linear("age", "sex", "ecog")).proportional
    np.testing.assert_allclose(
        found["statistic"],
        [0.18798767365229, 2.30543722740497, 2.05424877405441, 4.46365758875861],
        rtol=RTOL,
    )


def test_cox_of_few_patients_is_that_of_r(ovarian):
    found = endpoints.cox(ovarian, linear("age", "resid", "rx", "ecog"))
    np.testing.assert_allclose(
        found.coefficients["estimate"],
        [0.124813078795161, 0.826186440824394, -0.914499919555316, 0.336211686226082],
        rtol=RTOL,
    )
    np.testing.assert_allclose(
        found.coefficients["se"],
        [0.046890363007898, 0.789611060845238, 0.653315630665603, 0.643923062731319],
        rtol=RTOL,
    )
    assert "12 events for 4 coefficients: few." in found.notes


def test_hazard_ratios_are_per_doubling(lung):
    """With ln(x) as predictor the ratio per doubling is 2 to the coefficient of ln(x)."""
    found = endpoints.cox(lung, "age")
    b = found.coefficients["estimate"].iloc[0]
    ratios = found.ratios().set_index("change")["estimate"]
    np.testing.assert_allclose(ratios[["2-fold", "10-fold"]], [2**b, 10**b], rtol=1e-12)
    scaled = endpoints.cox(lung.assign(age=lung["age"] * 365.25), "age")
    assert scaled.ratios()["estimate"].iloc[0] == pytest.approx(ratios["2-fold"], rel=1e-9)


def test_an_order_that_is_complete_has_no_ratio_but_a_reason():
    tte = table_of(range(1, 9), [1] * 8, cmax=[2.0 ** (8 - i) for i in range(8)])
    found = endpoints.cox(tte, "cmax")
    assert found.coefficients["estimate"].isna().all()
    assert "order the events completely" in found.coefficients["reason"].iloc[0]
    assert np.isnan(found.ratios()["estimate"]).all()
    same = endpoints.cox(tte.assign(cmax=3.0), "cmax")
    assert "the same value in every patient" in same.coefficients["reason"].iloc[0]


def test_predictors_that_cannot_be_used_are_refused(lung):
    with pytest.raises(DataError, match="a value of 0 or less, so no logarithm"):
        endpoints.cox(lung, "ecog")
    with pytest.raises(DataError, match="no variable 'cmax'"):
        endpoints.cox(lung, "cmax")
    with pytest.raises(ModelError, match="must be a name or a patient-level term"):
        endpoints.cox(lung, crs.peak("il6"))
    with pytest.raises(DataError, match="nothing can be estimated"):
        endpoints.cox(lung.assign(event=False), "age")
    with pytest.raises(DataError, match="'p1' has an outcome but is not among the patients"):
        endpoints.cox(lung, "age", patients=lung.iloc[1:])


# --- parametric --------------------------------------------------------------------------------

SURVREG = {
    "weibull": (6.2734352519984506, [-0.0074754394091445, 0.4010905411934496, -0.3396380983087736],
                0.731108992164631, [0.00676350766753494, 0.12373256651534334, 0.08347841503007195],
                -1132.43874588232),
    "lognormal": (6.4947867265472405, [-0.0191818680868148, 0.5219528785214137, -0.355566670332354],
                  1.02863458188576,
                  [0.00832785746307169, 0.15277538244847716, 0.10330825301947107],
                  -1146.88183108603),
    "loglogistic": (5.93668692063804571,
                    [-0.00807991943085238, 0.48662357089902064, -0.40461551157199888],
                    0.536141504276293,
                    [0.00747790705754958, 0.13489414783418996, 0.09301371940209224],
                    -1137.48961226949),
    "exponential": (6.3734231982311620,
                    [-0.0102173605936676, 0.5090613997844264, -0.4050169899797241], 1.0,
                    [0.00917689478207216, 0.16716118927668469, 0.11269745509576060],
                    -1143.56315131318),
}  # fmt: skip
LN_LN2 = np.log(np.log(2.0))


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_parametric_regressions_are_those_of_r(lung, distribution):
    """Estimates to 1e-6 of survreg's; standard errors, from differences of slopes, to 5e-5."""
    intercept, beta, scale, se, loglik = SURVREG[distribution]
    found = endpoints.aft(lung, linear("age", "sex", "ecog"), distribution=distribution)
    slopes = found.table.iloc[-3:]
    np.testing.assert_allclose(slopes["estimate"], beta, rtol=RTOL)
    np.testing.assert_allclose(slopes["se_free"], se, rtol=5e-5)
    assert found.table["loglik"].iloc[0] == pytest.approx(loglik, rel=1e-9)
    middle = LN_LN2 if distribution in ("weibull", "exponential") else 0.0
    median = np.log(found.table.loc["survival_median", "estimate"])
    assert median - scale * middle == pytest.approx(intercept, rel=RTOL)
    if distribution != "exponential":
        assert found.table.loc["survival_scale", "estimate"] == pytest.approx(scale, rel=RTOL)
    assert found.aic == pytest.approx(-2 * loglik + 2 * len(found.table))
    assert found.ratios()["kind"].unique().tolist() == ["time ratio"]


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_densities_integrate_to_what_has_failed_and_slopes_are_differences(distribution):
    part = Survival(tuple(linear("age")), distribution)
    values = {"survival_median": 100.0, "survival_scale": 0.7, "survival_age": 0.3}
    x = np.array([[1.2]])

    def one(t, event):
        data = SurvivalData(part, np.arange(1), x, np.array([t]), np.array([event]))
        return float(np.exp(data.loglik(values)[0, 0]))

    area = quad(lambda t: one(t, True), 0, 250, epsabs=1e-12, epsrel=1e-10)[0]
    assert area == pytest.approx(1 - one(250.0, False), rel=1e-8)
    half = part.quantile(values, x, np.array(0.5))[0, 0]
    assert half == pytest.approx(100 * np.exp(0.3 * 1.2), rel=1e-12)
    rng = np.random.default_rng(1)
    data = SurvivalData(part, np.arange(9), rng.normal(size=(9, 1)), rng.uniform(5, 300, 9),
                        rng.random(9) < 0.6)  # fmt: skip
    density = LayerDensity(part.quantities, (data,))
    point = density.medians() + 0.1
    _, slope = density(point)
    steps = 1e-6 * np.eye(point.size)
    numeric = [(density(point + s)[0] - density(point - s)[0]) / 2e-6 for s in steps]
    np.testing.assert_allclose(slope, numeric, rtol=1e-6, atol=1e-6)


def simulated(n, seed, hazard_ratio=2.0, shape=1.3):
    """Weibull times, median 200 days at the reference; the hazard doubles with every doubling."""
    rng = np.random.default_rng(seed)
    burden = np.exp(rng.normal(4, 0.7, n))
    scale = 200 / np.log(2) ** (1 / shape)
    log_hr = np.log(hazard_ratio) / np.log(2) * np.log(burden / 50)
    time = scale * (-np.log(rng.random(n)) * np.exp(-log_hr)) ** (1 / shape)
    end = rng.uniform(200, 900, n)
    return table_of(np.minimum(time, end), time <= end, burden=burden)


def test_bayes_finds_the_hazard_ratio_and_predicts_the_curve():
    tte = simulated(150, 5)
    fit = endpoints.survival_bayes(tte, crs.covariate("burden", reference=50), **QUICK)
    row = fit.ratios(0.98).set_index("change").loc["2-fold"]
    assert row["lower"] < 2.0 < row["upper"]
    ml = endpoints.aft(tte, crs.covariate("burden", reference=50)).table["estimate"]
    middle = fit.table()["median"]
    np.testing.assert_allclose(middle, ml, rtol=0.08)  # 150 patients: priors weigh little
    found = fit.survival([90, 180, 360])
    km = endpoints.kaplan_meier(tte, months=[m / DAYS_PER_MONTH for m in (90, 180, 360)]).estimates
    inside = found["population"].sel(interval="mean").values
    np.testing.assert_allclose(inside, km["survival"], atol=0.06)
    assert fit.log_likelihood().shape == (600, 150)
    later = fit.survival([180], tte.head(1).assign(burden=5.0))["survival"]
    assert later.sel(interval="mean").item() > inside[1]


def test_priors_decide_where_there_are_no_data_to_speak_of():
    """Everybody censored after one day: the posterior is the prior."""
    tte = table_of([1.0, 1.0, 1.0], [0, 0, 1], x=[1.0, 2.0, 4.0])
    fit = endpoints.survival_bayes(tte, crs.covariate("x", reference=2.0), **QUICK)
    assert any("priors weigh heavily" in n for n in fit.notes)
    table = fit.table()
    assert table.loc["survival_ln_x", "lower"] < 0 < table.loc["survival_ln_x", "upper"]


def test_a_growth_rate_carried_from_a_fit_widens_the_interval():
    tte = simulated(60, 11)
    rng = np.random.default_rng(2)
    exact = xr.DataArray(
        np.tile(tte["burden"].to_numpy() / 1e4, (40, 1)), dims=("sample", "id"),
        coords={"id": tte["id"].tolist()}, name="g", attrs={"units": "1/day"},
    )  # fmt: skip
    blurred = exact * np.exp(rng.normal(0, 0.6, exact.shape))
    blurred = blurred.rename("g").assign_attrs(exact.attrs)
    quick = QUICK | {"draws": 150, "tune": 200}
    sharp = endpoints.survival_bayes(tte[["id", "time", "event"]], carried=exact, imputations=2,
                                     **quick)  # fmt: skip
    wide = endpoints.survival_bayes(tte[["id", "time", "event"]], carried=blurred, imputations=8,
                                    **quick)  # fmt: skip
    row, other = (f.ratios().set_index("change").loc["2-fold"] for f in (sharp, wide))
    assert row["lower"] < 2.0 < row["upper"]
    # Noise in the growth rate draws the ratio towards 1.
    assert 1.0 < other["estimate"] < row["estimate"]
    assert wide.posterior.sizes["chain"] == 16


def test_carry_takes_the_parameter_of_each_patient():
    each, one = np.tile([1.0, 2.0, 3.0], (2, 50, 1)), np.ones((2, 50))
    posterior = xr.Dataset(
        {"g_i": (("chain", "draw", "id"), each), "g": (("chain", "draw"), one)},
        coords={"id": ["a", "b", "c"]},
    )
    drawn = endpoints.carry(posterior, "g", n_draws=20)
    assert drawn.dims == ("sample", "id")
    assert (drawn.sizes["sample"], drawn.name) == (20, "g")
    with pytest.raises(DataError, match=r"no parameter 'kg' per patient\. It has: g_i"):
        endpoints.carry(posterior, "kg")
    with pytest.raises(DataError, match="g is the same for every patient"):
        endpoints.carry(posterior.assign(g_i=posterior["g_i"] * 0 + 1), "g")


def test_hazard_ratios_of_log_normal_times_are_refused():
    tte = simulated(20, 1)
    fit = endpoints.survival_bayes(tte, crs.covariate("burden", reference=50),
                                   distribution="lognormal", **(QUICK | {"draws": 50}))  # fmt: skip
    with pytest.raises(DataError, match="no constant hazard ratio"):
        fit.ratios()
    assert fit.ratios(kind="time")["kind"].iloc[0] == "time ratio"
