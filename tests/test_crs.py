"""The CRS layer on trials of known truth: recovery, checks, what it says."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from crs_inputs import QUICK, courses_of, exponential, flat, patients_of
from scipy.stats import chi2, kstest

from cart_pkpd import crs, fit, plots
from cart_pkpd._core.errors import DataError, DataWarning, FitError, FitWarning, ModelError
from cart_pkpd._crs.arrange import arrange, separated
from cart_pkpd._crs.density import LayerDensity

# --- a trial of known truth --------------------------------------------------------------------

TRUTH = {
    "occurrence_intercept": 0.5, "occurrence_ln_transgene_peak": 0.9, "occurrence_ln_dose": 0.3,
    "grade_intercept": -0.4, "grade_step_3": 1.6, "grade_step_4": 1.4, "grade_ln_il6_peak": 1.2,
    "onset_h0": 0.12, "onset_ln_il6": 0.8,
}  # fmt: skip


def trial_of(n, seed, among="all"):
    """Courses with a peak around day 9, and outcomes drawn from TRUTH."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, 28, 57)
    cells = rng.lognormal(math.log(8000), 1.2, n)
    dose = rng.choice([1e6, 3e6, 1e7, 3e7], n)
    top, day = rng.lognormal(math.log(120), 1.0, n), rng.normal(9, 1.5, n)
    rise = np.exp(-0.5 * ((time - day[:, None]) / 2.2) ** 2)
    shape = {"units": "pg/mL"}
    ids = [f"p{i + 1}" for i in range(n)]
    courses = xr.Dataset(
        {
            "il6": (("id", "time"), 4 + top[:, None] * rise, shape),
            "transgene": (("id", "time"), 10 + cells[:, None] * rise, {"units": "copies/µg"}),
        },
        coords={"id": ids, "time": time},
    )
    layer = crs.Layer(
        crs.Logistic([crs.peak("transgene"), crs.covariate("dose", reference=1e7)]),
        crs.ProportionalOdds("il6"),
        crs.Hazard("il6", among=among),
    )
    known = xr.Dataset({"dose": ("id", dose)}, coords={"id": ids})
    return layer, courses, known


def with_outcomes(layer, courses, known, seed):
    """Whether, grade and day from the layer; timing given CRS, so that all parts are true."""
    drawn = layer.simulate(layer.predictors(courses, known), TRUTH, seed=seed)
    return layer.predictors(courses, known.merge(drawn[["crs_grade", "crs_day"]]))


@pytest.fixture(scope="module")
def recovered():
    """300 patients, every part true (timing of those with CRS), fitted by Bayes."""
    layer, courses, known = trial_of(300, 11, among="crs")
    p = with_outcomes(layer, courses, known, 12)
    return layer, p, layer.bayes(p, **QUICK)


def test_maximum_likelihood_recovers_the_truth(recovered):
    """Each of 9 estimates within 3.3 standard errors (P 0.001) of the truth."""
    layer, p, _ = recovered
    table = layer.maximum_likelihood(p)
    truth = np.array([TRUTH[k] for k in table.index])
    positive = np.array([q.positive for q in layer.quantities])
    error = table["estimate"].to_numpy() - truth
    error[positive] = np.log(table["estimate"].to_numpy() / truth)[positive]
    assert (np.abs(error) < 3.3 * table["se_free"].to_numpy()).all()


def test_bayes_recovers_the_truth(recovered):
    """The truth lies within the posterior's 99.9 % ellipsoid, at least 7 of 9 truths within their
    90 % intervals (P 0.95), and medians near the maximum."""
    layer, p, result = recovered
    assert result.verdict.divergences == 0
    assert result.verdict.max_rhat < 1.02
    free = LayerDensity(layer.quantities, ()).free
    draws = result.posterior.stack(sample=("chain", "draw"))
    rows = [np.log(draws[q.name]) if q.positive else draws[q.name] for q in layer.quantities]
    away = free(TRUTH) - np.mean(rows, axis=1)
    assert away @ np.linalg.solve(np.cov(rows), away) < chi2.ppf(0.999, len(rows))
    table = result.table(prob=0.9)
    held = [table.loc[k, "lower"] < v < table.loc[k, "upper"] for k, v in TRUTH.items()]
    assert sum(held) >= 7
    maximum = layer.maximum_likelihood(p)
    for name in ("grade_ln_il6_peak", "occurrence_ln_transgene_peak"):
        near = abs(table.loc[name, "median"] - maximum.loc[name, "estimate"])
        assert near < 0.5 * maximum.loc[name, "se_free"]


def test_odds_ratios_are_powers_of_the_coefficient(recovered):
    *_, result = recovered
    table = result.odds_ratios()
    two, ten = table[table["term"] == "ln_il6_peak"]["median"]
    assert math.log(ten) / math.log(two) == pytest.approx(math.log(10) / math.log(2))
    coefficient = float(result.posterior["grade_ln_il6_peak"].median())
    assert two == pytest.approx(2**coefficient, rel=1e-12)
    assert set(table["kind"]) == {"odds ratio", "hazard ratio"}


def test_simulated_grades_and_days_are_calibrated():
    """4000 simulations of 5 patients: shares within 4 standard errors of the probabilities, days
    uniform under their own incidence (Kolmogorov–Smirnov, P above 0.001)."""
    layer, courses, known = trial_of(5, 21)
    p = layer.predictors(courses, known)
    many = {k: np.full(4000, v) for k, v in TRUTH.items()}
    s, prob = layer.simulate(p, many, seed=5), layer.probabilities(p, TRUTH)
    for k in (1, 2, 3, 4):
        share, expected = (s["crs_grade"] >= k).mean("sample"), prob["p_at_least"].sel(grade=k)
        assert (abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / 4000)).all()
    day = np.sort(s["crs_day"].isel(id=0).dropna("sample").values)
    at = layer.probabilities(p.isel(id=[0]), TRUTH, days=np.unique(day))
    u = at["p_onset"].isel(id=0).values / float(prob["p_any"][0])
    assert kstest(u, "uniform").pvalue > 1e-3


def test_the_hazard_alone_decides_and_dates():
    """With onset only, the share with CRS is 1 − e^−H, and censored patients have no day."""
    layer = crs.Layer(onset=crs.Hazard("il6"))
    p = layer.predictors(exponential(-0.1))
    values = {"onset_h0": np.full(4000, 0.05), "onset_ln_il6": np.full(4000, 1.0)}
    s = layer.simulate(p, values, seed=1)
    expected = 1 - math.exp(-0.05 * (1 - math.exp(-2.8)) / 0.1)
    assert float(s["crs"].mean()) == pytest.approx(expected, abs=4 * 0.5 / math.sqrt(4000))
    assert ((s["crs"] == 1) == s["crs_day"].notnull()).all()
    assert s.identical(layer.simulate(p, values, seed=1))


def test_probabilities_of_a_fit_have_intervals(recovered):
    _, p, result = recovered
    out = result.probabilities(days=[7, 14, 28])
    assert out["p_any"].dims == ("interval", "id")
    assert (out["p_any"].sel(interval="lower") < out["p_any"].sel(interval="upper")).all()
    np.testing.assert_allclose(out["p_onset"].sel(day=28), out["p_any"], rtol=1e-9)
    mean = float(out["p_any"].sel(interval="mean").mean())
    assert mean == pytest.approx(float((p["crs_grade"] > 0).mean()), abs=0.03)


def test_saved_and_loaded(recovered, tmp_path):
    _, _, result = recovered
    again = crs.load(result.save(tmp_path / "crs.nc"))
    assert again.layer == result.layer
    assert again.notes == result.notes
    assert again.verdict == result.verdict
    xr.testing.assert_identical(again.posterior, result.posterior)
    np.testing.assert_array_equal(again.used(), result.used())
    (tmp_path / "x.nc").write_text("no")
    with pytest.raises(FitError, match="is not a fitted CRS layer"):
        crs.load(tmp_path / "x.nc")


def test_imputation_widens_what_the_plug_in_takes_as_known():
    """Courses known to a factor e: the plug-in ignores it; draws stay apart per imputation."""
    rng = np.random.default_rng(4)
    layer, courses, known = trial_of(40, 31, among="crs")
    p = with_outcomes(layer, courses, known, 32)
    noise = np.exp(rng.normal(size=(5, 40, 1)))
    wobbly = courses.copy()
    for v in ("il6", "transgene"):
        wobbly[v] = (("sample", "id", "time"), courses[v].values * noise, courses[v].attrs)
    drawn = layer.predictors(wobbly, p[["dose", "crs_grade", "crs_day"]])
    settings = {**QUICK, "draws": 150, "tune": 150}
    plug = layer.bayes(drawn, **settings)
    many = layer.bayes(drawn, uncertainty="imputation", imputations=3, **settings)
    assert many.posterior.sizes["chain"] == 6
    assert many.posterior["imputation"].values.tolist() == [0, 0, 1, 1, 2, 2]
    assert "3 imputed courses" in many.notes[0]
    assert "median over draws" in plug.notes[0]
    width = [float(r.posterior["grade_intercept"].std()) for r in (plug, many)]
    assert width[1] > 0.9 * width[0]
    out = many.probabilities(days=[28])
    assert out["p_any"].notnull().all()


# --- observed against predicted ----------------------------------------------------------------


def test_response_groups_patients_and_counts(recovered):
    _, p, result = recovered
    found = crs.response(result, "grade", groups=4)
    with_crs = p["crs_grade"].values[p["crs_grade"].values >= 1]
    assert int(found["count"].sum()) == with_crs.size
    assert int(found["events"].sel(grade=3).sum()) == int((with_crs >= 3).sum())
    inside = (found["observed"].sel(interval="lower") < found["expected"]) & (
        found["expected"] < found["observed"].sel(interval="upper")
    )
    assert inside.mean() > 0.6
    curve = found["curve"].sel(grade=2, interval="mean").values
    assert (np.diff(curve) > 0).all()


def test_incidence_is_kaplan_meiers():
    """One minus the product-limit estimate by hand: onsets at days 4 and 9 of 4 patients."""
    layer = crs.Layer(onset=crs.Hazard(()))
    p = layer.predictors(flat(4), patients_of([1, 1, 0, 0], [4, 9, np.nan, np.nan]))
    found = crs.incidence(layer.bayes(p, **QUICK))
    assert found["time"].values.tolist() == [0, 4, 9, 28]
    steps = next(line for line in plots.crs_incidence(found).lines if line.get_linewidth() == 1.8
                 and line.get_drawstyle() == "steps-post")  # fmt: skip
    np.testing.assert_allclose(steps.get_ydata(), [0, 0.25, 0.5, 0.5], atol=1e-12)
    np.testing.assert_allclose(
        found["observed"].sel(interval="mean"), [0, 0.25, 0.5, 0.5], atol=1e-12
    )


def test_incidence_leaves_nobody_out_in_silence():
    """A patient without the predictor of occurrence has no prediction, and is named."""
    layer = crs.Layer(crs.Logistic([crs.covariate("dose", reference=1.0)]), onset=crs.Hazard(()))
    patients = patients_of([1, 1, 0, 0], [4, 9, np.nan, np.nan], dose=[1.0, 2.0, 1.5, np.nan])
    result = layer.bayes(layer.predictors(flat(4), patients), **QUICK)
    found = crs.incidence(result, days=[28])
    assert found.attrs["left_out"] == ["p4"]
    assert int(found["at_risk"][0]) == 3
    assert "occurrence: 1 patient (p4) not used: no dose." in result.notes
    assert found["predicted"].notnull().all()


def test_pictures_hold_what_the_results_hold(recovered):
    *_, result = recovered
    found = crs.response(result, "grade")
    panels = plots.crs_response(found).axes
    assert [ax.get_title(loc="left") for ax in panels] == [
        f"Grade ≥ {k} given CRS" for k in (2, 3, 4)
    ]
    line = next(line for line in panels[1].lines if len(line.get_xdata()) == found.sizes["x"])
    np.testing.assert_allclose(line.get_ydata(), found["curve"].sel(grade=3, interval="mean"))
    texts = {t.get_text() for t in panels[0].texts}
    first = f"{int(found['events'][0, 0])}/{int(found['count'][0])}"
    assert first in texts
    table = result.odds_ratios()
    forest = plots.crs_odds_ratios(table, change="10-fold")
    labels = [t.get_text() for t in forest.get_yticklabels()]
    assert labels[-1] == "When: IL-6, 10-fold"
    assert len(labels) == 4


def test_pictures_refuse_what_is_not_theirs():
    with pytest.raises(DataError, match=r"pass the result of crs\.response"):
        plots.crs_response(xr.Dataset())
    with pytest.raises(DataError, match=r"pass the result of crs\.incidence"):
        plots.crs_incidence(xr.Dataset())
    with pytest.raises(DataError, match="no ratio to draw"):
        plots.crs_odds_ratios(pd.DataFrame())


# --- what data do not tell ---------------------------------------------------------------------


def test_missing_patients_are_named_never_dropped():
    layer = crs.Layer(crs.Logistic("il6"), crs.ProportionalOdds("il6"), crs.Hazard("il6"))
    levels = np.full((7, 113), 80.0)
    levels[2] = np.nan
    patients = patients_of([0, 1, 1, np.nan, 2, 3, 0], [np.nan, 5, 6, np.nan, np.nan, 3, np.nan])
    p = layer.predictors(courses_of(levels, np.linspace(0, 28, 113)), patients)
    notes = arrange(p, layer.parts, layer.window).notes
    said = " ".join(notes)
    assert "occurrence: 1 patient (p4) not used: no CRS grade." in said
    assert "occurrence: 1 patient (p3) not used: no peak of IL-6." in said
    assert "onset: 1 patient (p5) with CRS but without its day: counted as beginning" in said
    assert "grade: 3 patients (grade 1: 1, grade 2: 1, grade 3: 1, grade 4: 0)" in said


def test_late_crs_counts_as_none_in_the_window():
    layer = crs.Layer(crs.Logistic(()), window=(0, 14))
    p = layer.predictors(flat(3), patients_of([1, 1, 0], [5, 20, np.nan]))
    found = arrange(p, layer.parts, layer.window)
    assert found.data[0].y.tolist() == [1, 0, 0]
    assert "1 patient (p2) had CRS after day 14" in found.notes[0]


def test_complete_separation_is_said_and_priors_keep_it_finite():
    layer = crs.Layer(occurrence=crs.Logistic("il6"))
    levels = np.repeat([[10.0], [20], [30], [200], [300], [400]], 3, axis=1)
    p = layer.predictors(courses_of(levels, [0, 14, 28]), patients_of([0, 0, 0, 1, 1, 1]))
    with pytest.warns(FitWarning, match="the predictors separate the outcomes completely"):
        result = layer.bayes(p, **QUICK)
    slope = result.posterior["occurrence_ln_il6_peak"]
    assert 0 < float(slope.median()) < 3
    table = layer.maximum_likelihood(p)
    assert table["estimate"].isna().all()
    assert "has no maximum" in table["reason"].iloc[0]


def test_separation_of_ordered_outcomes_by_linear_programming():
    x = np.arange(6.0)[:, None]
    assert separated(x, [np.array([-1, -1, -1, -1, 1, 1]), np.array([-1, -1, 1, 1, 1, 1])])
    assert not separated(x, [np.array([-1, 1, -1, -1, 1, 1])])
    assert not separated(np.zeros((6, 1)), [np.array([-1, 1, -1, -1, 1, 1])])


def test_empty_grades_and_no_events_are_said():
    graded = crs.Layer(grade=crs.ProportionalOdds("il6"))
    time = np.linspace(0, 28, 3)
    levels = np.repeat([[50.0], [90], [60], [80], [70]], 3, axis=1)
    p = graded.predictors(courses_of(levels, time), patients_of([1, 1, 2, 2, 1]))
    with pytest.warns(FitWarning, match="nobody had grade 3 or 4"):
        result = graded.bayes(p, **QUICK)
    prior = graded.quantities[2].prior.quantile([0.05, 0.95])
    assert prior[0] < float(result.posterior["grade_step_4"].median()) < prior[1]
    none = crs.Layer(onset=crs.Hazard("il6"))
    p = none.predictors(courses_of(levels, time), patients_of([0] * 5))
    found = arrange(p, none.parts, none.window)
    assert "onset: 0 onsets among 5 patients: the data bound the risk" in found.warnings[0]


# --- sentences ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: crs.Layer(), "a layer needs at least one of"),
        (lambda: crs.Layer(occurrence=crs.Hazard("il6")), r"occurrence must be a crs.Logistic"),
        (lambda: crs.Hazard([crs.peak("il6")]), "a hazard may not look ahead"),
        (lambda: crs.Logistic([crs.level("il6")]), "one outcome per patient; use crs.peak"),
        (lambda: crs.Logistic(["il6", "il6"]), "is there twice"),
        (lambda: crs.peak("il66"), "no usual reference is known; give reference="),
        (lambda: crs.ProportionalOdds("il6", levels=(1, 3)), "consecutive grades"),
        (lambda: crs.ordered("d", (3.0, 1.0)), "two or more levels in rising order"),
        (lambda: crs.peak("il6", reference=-1), "must be above 0"),
        (lambda: crs.peak("il6", prior=fit.HalfNormal(1)), "a coefficient may have either sign"),
        (lambda: crs.Hazard("il6", h0=fit.Normal(0, 1)), "the prior must be one of LogNormal"),
        (lambda: crs.Hazard("il6", among="none"), "unknown among 'none'"),
        (lambda: crs.Layer(crs.Logistic(()), window=(5, 5)), "from a day to a later one"),
        (
            lambda: crs.Layer(crs.Logistic(()), crs.ProportionalOdds((), levels=(0, 1))),
            "both say whether CRS occurs",
        ),
    ],
)
def test_declarations_that_cannot_be(make, said):
    with pytest.raises(ModelError, match=said):
        make()


@pytest.mark.parametrize(
    ("grade", "day", "said"),
    [
        ([0, 1], [5.0, 6.0], "patient 'p1' has CRS from day 5 but grade 0"),
        ([0, 1.5], None, "patient 'p2' has CRS grade 1.5"),
        ([0, 1], [np.nan, -2.0], "patient 'p2' has CRS from day -2, before the risk begins"),
        ([np.nan, np.nan], None, "no patient has both the outcome and every predictor"),
    ],
)
def test_outcomes_that_cannot_be(grade, day, said):
    layer = crs.default(dose=None, cells="il6")
    p = layer.predictors(flat(2), patients_of(grade, day))
    with pytest.raises(DataError, match=said):
        layer.bayes(p, **QUICK)


def test_bad_courses_are_refused_with_a_sentence():
    layer = crs.Layer(onset=crs.Hazard("il6"))
    with pytest.raises(DataError, match="courses run from day 0 to 14, the layer's window"):
        layer.predictors(flat(1, end=14))
    with pytest.raises(DataError, match=r"the courses have no 'il6'.*They have: ifng"):
        layer.predictors(flat(1).rename(il6="ifng"))
    with pytest.raises(DataError, match=r"is 0 or less for patient 'p1'.*floor="):
        layer.predictors(courses_of([[0.0, 1, 1, 1, 1]], np.linspace(0, 28, 5)))
    with pytest.raises(DataError, match="patient 'p2', who is not among the patients"):
        layer.predictors(flat(2), patients_of([0]))
    with pytest.raises(DataError, match="no dimension 'time'"):
        layer.predictors(xr.Dataset({"il6": ("id", [1.0])}, coords={"id": ["a"]}))
    rough = courses_of([[1.0, 1e4, 1, 1, 1]], np.linspace(0, 28, 5))
    with pytest.warns(DataWarning, match="the integral of il6 may be wrong by"):
        layer.predictors(rough)


def test_predictors_of_another_layer_and_no_predictors():
    layer = crs.Layer(occurrence=crs.Logistic("il6"))
    other = crs.Layer(occurrence=crs.Logistic(()))
    p = other.predictors(flat(2), patients_of([0, 1]))
    with pytest.raises(DataError, match="made by another layer"):
        layer.bayes(p)
    with pytest.raises(DataError, match="these are no predictors"):
        layer.bayes(flat(2))
    with pytest.raises(ModelError, match="no value for occurrence_intercept"):
        other.probabilities(p, {})
    with pytest.raises(ModelError, match="has no parameter 'occurrence_intercep'"):
        other.probabilities(p, {"occurrence_intercep": 1.0})
    with pytest.raises(DataError, match="nothing to learn from"):
        other.bayes(other.predictors(flat(2)))
    with pytest.raises(DataError, match="days must lie in the window"):
        other.probabilities(p, {"occurrence_intercept": 0.0}, days=[30])


def test_a_course_that_begins_within_a_day_is_held_back_to_the_start():
    layer = crs.Layer(onset=crs.Hazard("il6"))
    late = courses_of([[50.0, 50, 50]], [0.8, 14, 28])
    p = layer.predictors(late)
    assert p["time"].values[0] == 0
    assert float(p["il6"][0, 0]) == pytest.approx(50)


def test_default_layer_prints_its_priors():
    table = crs.default().priors()
    assert table.loc["onset_h0", "unit"] == "1/day"
    assert (
        "Cmax of CAR transgene / 10,000 copies/µg"
        in table.loc["occurrence_ln_transgene_peak", "label"]
    )
    assert "occurrence on ln_transgene_peak" in str(crs.default())


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say():
    """80 % intervals of 9 parameters in 60 trials of 60 patients whose truth is drawn from the
    priors: 80 % of 540, within 3 standard errors of independent trials (± 6 %)."""
    held = []
    for seed in range(60):
        rng = np.random.default_rng(1000 + seed)
        layer, courses, known = trial_of(60, seed, among="crs")
        truth = {q.name: float(q.prior.sample(rng, 1)[0]) for q in layer.quantities}
        drawn = layer.simulate(layer.predictors(courses, known), truth, seed=seed)
        p = layer.predictors(courses, known.merge(drawn[["crs_grade", "crs_day"]]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FitWarning)
            try:
                table = layer.bayes(p, **QUICK).table(prob=0.8)
            except DataError:  # nobody had CRS
                continue
        held += [table.loc[k, "lower"] < v < table.loc[k, "upper"] for k, v in truth.items()]
    assert len(held) > 450
    assert np.mean(held) == pytest.approx(0.8, abs=0.06)


def test_a_day_that_is_a_date_is_named():
    layer = crs.Layer(onset=crs.Hazard(()))
    found = layer.predictors(flat(2), patients_of([1, 0], [4, np.nan]))
    found["crs_day"] = ("id", np.array(["28-Mar-2024", ""]))
    with pytest.raises(DataError, match="'crs_day' is '28-Mar-2024' for patient 'p1'"):
        layer.bayes(found, **QUICK)
