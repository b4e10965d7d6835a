"""The parts of the CRS layer: closed forms, hazards, published regressions, slopes, predictors."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from crs_inputs import courses_of, exponential, flat, patients_of
from scipy.integrate import quad
from scipy.special import expit

from cart_pkpd import crs, fit, models
from cart_pkpd._crs.arrange import arrange
from cart_pkpd._crs.compare import jeffreys
from cart_pkpd._crs.density import LayerDensity
from cart_pkpd._crs.integral import area, cumulative, inverse, log_mean
from cart_pkpd._stats.design import design_for
from cart_pkpd._stats.population import resolve

# --- closed forms ------------------------------------------------------------------------------


def test_logistic_likelihood_and_probability_are_the_closed_form():
    """logit P = −1 + 2 ln(peak/100): for peaks of 100 and 200, P = 1/(1+e) and 4/(4+e)."""
    layer = crs.Layer(occurrence=crs.Logistic("il6"))
    time = np.linspace(0, 28, 57)
    p = layer.predictors(
        courses_of([np.full(57, 100.0), np.full(57, 200.0)], time), patients_of([0, 1])
    )
    values = {"occurrence_intercept": -1.0, "occurrence_ln_il6_peak": 2.0}
    expected = np.array([1 / (1 + math.e), 4 / (4 + math.e)])
    np.testing.assert_allclose(layer.probabilities(p, values)["p_any"], expected, rtol=1e-12)
    ll = layer.log_likelihood(p, values)["occurrence"]
    np.testing.assert_allclose(ll, np.log([1 - expected[0], expected[1]]), rtol=1e-12)


def test_grades_are_cumulative_logits():
    """Intercepts −0.5, −1.75, −3.75 by steps of 1.25 and 2; at ln 2 with slope 1.6."""
    layer = crs.Layer(grade=crs.ProportionalOdds("il6"))
    p = layer.predictors(flat(4, 200.0), patients_of([1, 2, 3, 4]))
    values = {
        "grade_intercept": -0.5, "grade_step_3": 1.25, "grade_step_4": 2.0,
        "grade_ln_il6_peak": 1.6,
    }  # fmt: skip
    tail = 1 / (1 + np.exp(-(np.array([-0.5, -1.75, -3.75]) + 1.6 * math.log(2))))
    out = layer.probabilities(p, values)
    np.testing.assert_allclose(out["p_at_least_given_crs"][0], tail, rtol=1e-12)
    each = -np.diff([1.0, *tail, 0.0])
    np.testing.assert_allclose(layer.log_likelihood(p, values)["grade"], np.log(each), rtol=1e-12)


def test_far_grades_keep_their_digits():
    """At log odds of ±60, ln(σ(u) − σ(v)) is ln(e^u − e^v) and does not become −∞."""
    layer = crs.Layer(grade=crs.ProportionalOdds((), levels=(1, 2, 3)))
    p = layer.predictors(flat(1), patients_of([2]))
    values = {"grade_intercept": -60.0, "grade_step_3": 1.0}
    expected = math.log(math.exp(-60) - math.exp(-61))
    np.testing.assert_allclose(layer.log_likelihood(p, values)["grade"], expected, rtol=1e-9)


def test_parts_together_follow_one_rule():
    """P(grade ≥ k) = P(CRS) P(grade ≥ k | CRS), and the incidence ends at P(CRS)."""
    layer = crs.Layer(crs.Logistic(()), crs.ProportionalOdds((), levels=(1, 2)), crs.Hazard(()))
    p = layer.predictors(flat(1), patients_of([0]))
    values = {"occurrence_intercept": 0.4, "grade_intercept": -1.0, "onset_h0": 0.1}
    out = layer.probabilities(p, values, days=[7, 28])
    some, two = expit(0.4), expit(-1.0)
    np.testing.assert_allclose(out["p_at_least"][0], [some, some * two], rtol=1e-12)
    share = (1 - math.exp(-0.7)) / (1 - math.exp(-2.8))
    np.testing.assert_allclose(out["p_onset"][0], [some * share, some], rtol=1e-12)
    np.testing.assert_allclose(out["p_any_by_hazard"], 1 - math.exp(-2.8), rtol=1e-12)


def test_grade_from_zero_decides_whether():
    layer = crs.Layer(grade=crs.ProportionalOdds("il6", levels=(0, 1, 2)))
    p = layer.predictors(flat(2), patients_of([0, 2]))
    values = {"grade_intercept": 0.3, "grade_step_2": 1.0, "grade_ln_il6_peak": 1.0}
    out = layer.probabilities(p, values)
    np.testing.assert_allclose(out["p_any"], expit(0.3), rtol=1e-12)
    assert out["grade"].values.tolist() == [1, 2]
    assert out.attrs["whether"] == "grade"


# --- the hazard's integral ---------------------------------------------------------------------


@pytest.mark.parametrize("rate", [-0.8, -1e-3, 1e-9, 1e-3, 0.4])
def test_integral_is_exact_for_exponential_courses(rate):
    """∫ h0 exp(b (c + r t)) dt = h0 e^(bc) (e^(br τ) − 1)/(br), to 12 digits on 5 nodes."""
    h0, b, c = 0.07, 1.3, -0.4
    time = np.array([0.0, 3.0, 11.0, 12.5, 28.0])
    found = cumulative(math.log(h0) + b * (c + rate * time), time)
    exact = h0 * math.exp(b * c) * np.expm1(b * rate * time) / (b * rate)
    np.testing.assert_allclose(found, exact, rtol=1e-12)


def test_integral_of_a_curved_course_meets_its_stated_tolerance():
    """A cytokine that doubles within a day before its peak at day 9: 0.2 % at 4 nodes a day."""

    def hazard(t):
        return 0.1 * math.exp(1.2 * (3.0 - 0.5 * ((t - 9) / 2.0) ** 2))

    exact, _ = quad(hazard, 0, 28, points=[5, 9, 13], epsabs=1e-12)
    errors = []
    for n in (113, 225):
        time = np.linspace(0, 28, n)
        found = cumulative(np.log([hazard(t) for t in time]), time)[-1]
        errors.append(abs(found / exact - 1))
    assert errors[0] < 2e-3
    assert errors[1] < errors[0] / 3.5  # of second order


def test_log_mean_is_smooth_where_series_take_over():
    d = np.array([0.0, 9.99e-3, 1.001e-2, -9.99e-3, 0.3])
    np.testing.assert_allclose(log_mean(np.zeros(5), d)[1:], np.expm1(d[1:]) / d[1:], rtol=1e-13)
    assert log_mean(np.zeros(1), np.zeros(1))[0] == 1.0


def test_inverse_undoes_the_integral():
    """Constant hazard 0.1: H = 0.35 at day 3.5; and on a bent course to 1e-9."""
    time = np.array([[0.0, 2.0, 28.0]])
    assert inverse(np.full((1, 3), math.log(0.1)), time, np.array([0.35]))[0] == pytest.approx(3.5)
    bent = np.array([[-3.0, 0.5, -6.0]])
    day = inverse(bent, time, np.array([1.9]))[0]
    again = quad(lambda t: math.exp(np.interp(t, time[0], bent[0])), 0, day, points=[2])[0]
    assert again == pytest.approx(1.9, rel=1e-9)
    assert np.isnan(inverse(bent, time, np.array([1e6]))[0])


def test_area_is_log_linear_and_linear_beside_zero():
    """From 4 to 1 in 2 days: 2 (4−1)/ln 4; a ramp from 0 to 4 in 1 day: 2."""
    np.testing.assert_allclose(area(np.array([4.0, 1.0]), np.array([0.0, 2.0])), 6 / math.log(4))
    np.testing.assert_allclose(area(np.array([0.0, 4.0]), np.array([0.0, 1.0])), 2.0)


def test_onset_likelihood_is_the_closed_form():
    """Onset on day 5.5 between nodes, censored at 28, unknown day, late entry from day 3."""
    layer = crs.Layer(onset=crs.Hazard("il6", entry="since", follow_up="until"))
    rate, h0, b = -0.2, 0.3, 1.5
    patients = patients_of(
        [1, 0, 2, 1, 0], [5.5, np.nan, np.nan, 5.5, np.nan],
        since=[0.0, 0.0, 0.0, 3.0, 0.0], until=[28.0, 28.0, 28.0, 28.0, 10.0],
    )  # fmt: skip
    p = layer.predictors(exponential(rate, 5), patients)
    ll = layer.log_likelihood(p, {"onset_h0": h0, "onset_ln_il6": b})["onset"].values

    def big_h(start, end):
        k = b * rate
        return h0 * (math.exp(k * end) - math.exp(k * start)) / k

    ln_h = math.log(h0) + b * rate * 5.5
    expected = [
        ln_h - big_h(0, 5.5), -big_h(0, 28), math.log(1 - math.exp(-big_h(0, 28))),
        ln_h - big_h(3, 5.5), -big_h(0, 10),
    ]  # fmt: skip
    np.testing.assert_allclose(ll, expected, rtol=1e-10)


def test_timing_given_crs_divides_by_the_window():
    layer = crs.Layer(onset=crs.Hazard((), among="crs"))
    p = layer.predictors(flat(2), patients_of([1, 0], [4.0, np.nan]))
    ll = layer.log_likelihood(p, {"onset_h0": 0.05})["onset"].values
    expected = math.log(0.05) - 0.2 - math.log(1 - math.exp(-1.4))
    np.testing.assert_allclose(ll[0], expected, rtol=1e-12)
    assert np.isnan(ll[1])


# --- published regressions ---------------------------------------------------------------------

ORINGS = (
    [66, 70, 69, 68, 67, 72, 73, 70, 57, 63, 70, 78, 67, 53, 67, 75, 70, 81, 76, 79, 75, 76, 58],
    [0, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1],
)
# SES and number of life events of 40 subjects, by mental impairment
IMPAIRMENT = (
    "11 19 14 13 02 10 01 13 13 17 01 02",
    "15 06 13 01 18 12 05 15 19 03 13 11",
    "00 14 03 09 16 04 03",
    "18 12 17 05 04 04 18 08 09",
)


def test_logistic_regression_of_the_o_rings():
    """Dalal, Fowlkes & Hoadley (1989), JASA 84:945, Table 1; logit = 15.0429 − 0.2322 °F, standard
    errors 7.3786 and 0.1082, deviance 20.3152 (R's glm)."""
    temperature, damage = ORINGS
    layer = crs.Layer(occurrence=crs.Logistic([crs.covariate("t", reference=0, scale="linear")]))
    p = layer.predictors(flat(23), patients_of(damage, t=np.array(temperature, dtype=float)))
    table = layer.maximum_likelihood(p)
    np.testing.assert_allclose(table["estimate"], [15.0429, -0.2322], rtol=3e-4)
    np.testing.assert_allclose(table["se_free"], [7.3786, 0.1082], rtol=1e-3)
    np.testing.assert_allclose(-2 * table["loglik"], 20.3152, rtol=1e-5)


def test_proportional_odds_of_mental_impairment():
    """Agresti, Categorical Data Analysis, 2nd ed. (2002), Table 7.5 and section 7.2.4:
    logit P(Y ≤ j) = −0.282, 1.213, 2.209 + 1.111 SES − 0.319 events, s.e. 0.611 and 0.119."""
    rows = [(*pair, k) for k, group in enumerate(IMPAIRMENT) for pair in group.split()]
    ses, events, grade = np.array(rows, dtype=float).T
    terms = [crs.covariate(v, reference=0, scale="linear") for v in ("ses", "events")]
    layer = crs.Layer(grade=crs.ProportionalOdds(terms, levels=(0, 1, 2, 3)))
    p = layer.predictors(flat(40), patients_of(grade, ses=ses, events=events))
    table = layer.maximum_likelihood(p)
    found = table["estimate"].to_numpy()
    cut = np.array([found[0], found[0] - found[1], found[0] - found[1] - found[2]])
    np.testing.assert_allclose(-cut, [-0.282, 1.213, 2.209], atol=6e-4)
    np.testing.assert_allclose(found[3:], [-1.111, 0.319], atol=6e-4)
    np.testing.assert_allclose(table["se_free"][3:], [0.611, 0.119], atol=2.5e-3)


def test_constant_hazard_is_events_per_time():
    """Without predictors the maximum is events / time at risk: 3 / (5 + 8 + 20 + 28 + 28)."""
    layer = crs.Layer(onset=crs.Hazard(()))
    patients = patients_of([1, 2, 1, 0, 0], [5, 8, 20, np.nan, np.nan])
    table = layer.maximum_likelihood(layer.predictors(flat(5), patients))
    np.testing.assert_allclose(table["estimate"], 3 / 89, rtol=1e-6)
    np.testing.assert_allclose(table["se_free"], 1 / math.sqrt(3), rtol=1e-5)


def test_jeffreys_interval_of_brown():
    """Beta(k+½, n−k+½): for 0 of 10 the 95 % interval ends at 0.2172 (Brown, Cai & DasGupta)."""
    found = jeffreys(np.array([0, 5]), np.array([10, 10]), 0.95)
    np.testing.assert_allclose(found[0], [0, 0, 0.2172], atol=1e-4)
    np.testing.assert_allclose(found[1], [0.5, 0.2235, 0.7765], atol=1e-3)


# --- slopes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("among", ["all", "crs"])
def test_compiled_density_and_slopes(among, rng):
    """Compiled value against the sum of NumPy's; gradient against central differences."""
    n, time = 12, np.linspace(0, 28, 40)
    levels = 50 * np.exp(np.cumsum(0.15 * rng.standard_normal((n, 40)), axis=1))
    priors = [fit.Normal(0, 1), fit.StudentT(4, 0, 1), fit.Cauchy(0, 1)]
    terms = [crs.covariate("dose", reference=1.0, prior=p) for p in priors]
    layer = crs.Layer(
        crs.Logistic([crs.peak("il6"), terms[1]], intercept=fit.StudentT(3, 0, 2)),
        crs.ProportionalOdds([crs.peak("il6"), terms[2]], step=fit.Gamma(2, 1)),
        crs.Hazard([crs.level("il6"), terms[0]], among=among, h0=fit.HalfNormal(1)),
    )
    grade = np.array([0, 0, 0, 1, 1, 1, 2, 2, 3, 4, 0, 1])
    day = np.where(grade > 0, rng.uniform(1, 27, n), np.nan)
    day[5] = np.nan
    p = layer.predictors(
        courses_of(levels, time), patients_of(grade, day, dose=rng.uniform(0.5, 3, n))
    )
    density = LayerDensity(layer.quantities, arrange(p, layer.parts, layer.window).data)
    point = 0.3 * rng.standard_normal(len(layer.quantities))
    value, gradient = density(point)
    steps = 1e-6 * np.eye(point.size)
    numeric = [(density(point + s)[0] - density(point - s)[0]) / 2e-6 for s in steps]
    np.testing.assert_allclose(gradient, numeric, rtol=2e-6, atol=2e-6)
    bare = LayerDensity(density.quantities, density.data, with_priors=False)
    ll = layer.log_likelihood(p, {k: float(v) for k, v in density.natural(point).items()})
    np.testing.assert_allclose(bare(point)[0], sum(float(ll[v].sum()) for v in ll), rtol=1e-12)
    assert value < bare(point)[0]


# --- predictors --------------------------------------------------------------------------------


def test_predictors_by_hand():
    """Up from 10 to 160 in 4 days and down to 20 at day 28, with a node beyond the window."""
    time = np.array([0.0, 1, 2, 3, 4, 28, 40])
    course = courses_of([[10, 20, 40, 80, 160, 20, 5]], time)
    layer = crs.Layer(occurrence=crs.Logistic([crs.peak("il6"), crs.auc("il6", reference=100.0)]))
    p = layer.predictors(course).isel(id=0)
    found = [float(p[f"il6_{k}"]) for k in ("peak", "peak_time", "final")]
    np.testing.assert_allclose(found, [160, 4, 20], rtol=1e-12)
    np.testing.assert_allclose(p["il6_running_max"], [10, 20, 40, 80, 160, 160], rtol=1e-12)
    exact = 150 / math.log(2) + 24 * 140 / math.log(8)
    np.testing.assert_allclose(p["il6_auc"], exact, rtol=1e-12)
    np.testing.assert_allclose(p["ln_il6_peak"], math.log(1.6), rtol=1e-12)
    assert p["il6_auc"].attrs["units"] == "pg/mL*day"


def test_terms_take_units_order_and_categories():
    course = courses_of([[0.2, 0.1], [0.1, 0.1]], [0, 28], unit="ng/mL")
    terms = [
        crs.peak("il6"), crs.ordered("dose", (1e6, 3e6, 1e7)), crs.category("ld", "none"),
        crs.covariate("size", reference=2.0, unit="cm"),
    ]  # fmt: skip
    layer = crs.Layer(occurrence=crs.Logistic(terms))
    patients = patients_of([0, 1], dose=[3e6, 1e7], ld=["Flu/Cy", "none"], size=[20.0, 40.0])
    patients["size"].attrs["units"] = "mm"
    p = layer.predictors(course, patients)
    np.testing.assert_allclose(p["ln_il6_peak"], [math.log(2), 0], atol=1e-12)
    assert p["dose_step"].values.tolist() == [1, 2]
    assert p["ld_is_none"].values.tolist() == [0, 1]
    np.testing.assert_allclose(p["ln_size"], [0, math.log(2)], atol=1e-12)


def test_draws_of_chains_become_samples_and_their_median():
    rng = np.random.default_rng(1)
    levels = np.exp(rng.normal(size=(2, 3, 1, 5)))
    course = xr.Dataset(
        {"il6": (("chain", "draw", "id", "time"), levels)},
        coords={"id": ["a"], "time": np.linspace(0, 28, 5)},
    )
    layer = crs.Layer(occurrence=crs.Logistic("il6"))
    p = layer.predictors(course)
    assert p.sizes["sample"] == 6
    middle = np.median(levels.max(axis=-1))
    np.testing.assert_allclose(crs.at_median(p)["il6_peak"], middle, rtol=1e-12)


def test_measured_courses_are_joined_log_linearly(fast01):
    course = crs.observed_courses(fast01, ["il6", "transgene"])
    assert course["il6"].shape == (30, 113)
    rows = (fast01["endpoint"] == "il6") & (fast01["patient"] == "F01-009")
    t, y = fast01["time"].values[rows], fast01["dv"].values[rows]
    at = np.interp(10.0, t, np.log(y))
    np.testing.assert_allclose(np.log(course["il6"].sel(id="F01-009", time=10)), at, rtol=1e-12)


def test_fitted_courses_are_the_models_at_the_draws(fast01):
    """Courses of a result's draws against ``model.simulate`` with the same parameters."""
    model = models.get("stein2019")
    structure = resolve(model, fit.population(iiv=["cmax"]), design_for(model, fast01, "transgene"))
    n = structure.design.n_patients
    factor = np.exp(np.random.default_rng(2).normal(size=(2, 3, n)))
    draws = xr.Dataset(
        {k: (("chain", "draw", "id"), v * np.ones_like(factor)) for k, v in model.typical().items()}
    )
    draws["cmax"] = draws["cmax"] * factor
    result = SimpleNamespace(
        structure=structure, endpoints=("transgene",), label="made", individual=lambda: draws
    )
    course = crs.fitted_courses(result, n_draws=6, step=1.0)
    assert course["transgene"].dims == ("sample", "id", "time")
    own = {k: float(v[1, 0, 4]) for k, v in draws.items()}
    expected = model.simulate(np.arange(29.0), own)["transgene"]
    np.testing.assert_allclose(course["transgene"][3, 4], expected, rtol=1e-9)
    p = crs.Layer(occurrence=crs.Logistic("transgene")).predictors(course, fast01)
    assert p.sizes["sample"] == 6
