"""The comparison table: likelihood fits, least squares, exposure, words and files."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from scipy import optimize, stats
from test_laplace import TIMES, Line, exact_line, trial_of

from cart_pkpd import cli, compare, fit, plots
from cart_pkpd._compare.exposure import as_columns, of_fit
from cart_pkpd._compare.predictive import _pointwise, _ranks
from cart_pkpd._compare.result import Comparison
from cart_pkpd._core.errors import ConfigError, DataError, FitError

PATIENTS = 12


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    """12 patients, whose level is higher by 8 in one half."""
    rng = np.random.default_rng(11)
    rows = ["ID,TIME,DV,AMT,EVID,SEX"]
    for i in range(PATIENTS):
        rows.append(f"{i},0,.,1e6,1,{i % 2}")
        a = 40.0 + 4.0 * rng.standard_normal() + 8.0 * (i % 2)
        levels = a + 3.0 * TIMES + 2.0 * rng.standard_normal(TIMES.size)
        rows += [f"{i},{t},{y:.6f},.,0,{i % 2}" for t, y in zip(TIMES, levels, strict=True)]
    return trial_of(tmp_path_factory.mktemp("halves"), rows, {"transgene": "copies/µg"})


@pytest.fixture(scope="module")
def likely(trial):
    plain = fit.population(iiv=["a"], error="additive")
    with_sex = fit.population(iiv=["a"], error="additive", covariates={"a": ["sex"]})
    return {
        "plain": fit.laplace(Line(), trial, plain),
        "sex": fit.laplace(Line(), trial, with_sex),
    }


@pytest.fixture(scope="module")
def least(trial):
    options = {"error": "additive"}
    return {
        "pooled": fit.least_squares(Line(), trial, method="pooled", **options),
        "each": fit.least_squares(Line(), trial, **options),
    }


@pytest.fixture(scope="module")
def compared(likely):
    return compare.models(likely, n_sims=200)


# --- likelihood fits ------------------------------------------------------------------------


def exact_ofv(result):
    """-2 ln L at the estimates by SciPy's multivariate normal; the slope does not vary."""
    e = result.estimates
    mean = [e["a"], e["b"], *([e["beta_a_sex_1"]] if "beta_a_sex_1" in e else [])]
    x = [*mean, np.log(e["omega_a"]), -40.0, np.log(e["sigma_add"])]
    return exact_line(result.structure, np.array(x), with_sex=len(mean) == 3)


def test_criteria_are_those_of_the_exact_likelihood(likely, compared):
    """Delattre et al. (2014): ln N for a, omega_a and the coefficient, ln n for b and sigma."""
    n, records = np.log(PATIENTS), np.log(PATIENTS * TIMES.size)
    for name, varying in {"plain": 2, "sex": 3}.items():
        row, ofv, k = compared.loc[name], exact_ofv(likely[name]), varying + 2
        assert_allclose(row["ofv"], ofv, atol=1e-5)
        assert_allclose(row["aic"], ofv + 2 * k, atol=1e-5)
        assert_allclose(row["bic"], ofv + k * records, atol=1e-5)
        assert_allclose(row["bic_patients"], ofv + k * n, atol=1e-5)
        assert_allclose(row["bic_mixed"], ofv + varying * n + 2 * records, atol=1e-5)
        assert row["n_estimated"] == k


def test_criteria_are_those_of_a_likelihood_maximised_here(likely, compared):
    """SciPy's maximum of SciPy's likelihood, from other starts: AIC and BIC to 1e-4.

    AIC = -2 ln L + 2 k; BIC = -2 ln L + k ln n (Burnham & Anderson 2002, sections 2.2 and 6.4).
    """
    n = PATIENTS * TIMES.size
    for name, start in {"plain": [50.0, 2.0, 1.0, 1.0], "sex": [50.0, 2.0, 0.0, 1.0, 1.0]}.items():
        structure, sex = likely[name].structure, name == "sex"

        def ofv(x, structure=structure, sex=sex):
            return exact_line(structure, np.array([*x[:-1], -40.0, x[-1]]), with_sex=sex)

        best = optimize.minimize(ofv, start, method="BFGS", options={"gtol": 1e-5})
        k, row = len(start), compared.loc[name]
        assert_allclose(row["ofv"], best.fun, atol=1e-4)
        assert_allclose(row["aic"], best.fun + 2 * k, atol=1e-4)
        assert_allclose(row["bic"], best.fun + k * np.log(n), atol=1e-4)


def stacked(elpd):
    """Weights, and the mean ln score, of the best mixture of models; elpd has shape (n, models).

    Yao, Vehtari, Simpson & Gelman (2018), Bayesian Anal 13:917: weights of at least 0 with sum 1
    that maximise the mean over what is left out of ln sum_k w_k p_k.
    """
    density = np.exp(elpd - elpd.max(axis=1, keepdims=True))

    def score(w):
        return np.mean(np.log(density @ w))

    count = elpd.shape[1]
    found = optimize.minimize(
        lambda w: -score(w), np.full(count, 1 / count), method="SLSQP",
        jac=lambda w: -np.mean(density / (density @ w)[:, None], axis=0),
        bounds=[(1e-12, 1)] * count, tol=1e-12,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(count)},
    )  # fmt: skip
    return found.x, score


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [2, 4])
def test_stacking_weights_are_those_of_the_best_mixture(seed, count):
    """To 1e-3 of the weights and 1e-7 of the mean score, with weights inside and at the edge.

    At the best mixture no model's mean of p_k / mixture is above 1, and it is 1 where w_k > 0.
    """
    rng = np.random.default_rng(seed)
    elpd = -30.0 + rng.standard_normal((40, 1)) + 1.5 * rng.standard_normal((40, count))
    elpd[:, 0] -= 0.5 * seed
    each = [
        xr.Dataset(
            {"elpd": ("id", column), "pareto_k": ("id", np.full(40, 0.1))},
            coords={"id": np.arange(40)},
        ).assign(
            total_elpd=column.sum(), total_se=np.sqrt(40) * column.std(), total_p=3.0,
            total_good_k=0.7,
        )
        for column in elpd.T
    ]  # fmt: skip
    ranks = _ranks({f"model {i}": _pointwise(one) for i, one in enumerate(each)})
    weights = np.array([ranks[f"model {i}"]["weight"] for i in range(count)])
    expected, score = stacked(elpd)
    assert_allclose(weights, expected, atol=1e-3)
    assert_allclose(score(weights), score(expected), atol=1e-7)
    density = np.exp(elpd + 30.0)
    ratio = np.mean(density / (density @ weights)[:, None], axis=0)
    assert (ratio < 1 + 1e-3).all()
    assert_allclose(ratio[weights > 0.01], 1.0, atol=1e-3)


@pytest.mark.parametrize("criterion", ["bic_mixed", "bic", "aic", "ofv"])
def test_likelihood_fits_are_ranked_by_the_criterion(likely, criterion):
    found = compare.models(likely, criterion=criterion, exposure=False)
    values = found[criterion]
    assert found["rank"].tolist() == [1, 2]
    assert values.is_monotonic_increasing
    difference = values - values.min()
    assert_allclose(found["difference"], difference)
    assert_allclose(found["weight"], np.exp(-difference / 2) / np.exp(-difference / 2).sum())
    assert "elpd" not in found
    assert found.criterion == criterion


def test_a_fit_that_did_not_converge_is_listed_and_not_ranked(likely):
    lost = dataclasses.replace(
        likely["sex"].verdict, ok=False, sentence="Not converged: it stopped."
    )
    fits = {"lost": dataclasses.replace(likely["sex"], verdict=lost), "plain": likely["plain"]}
    found = compare.models(fits, n_sims=20)
    assert found.index.tolist() == ["plain", "lost"]
    assert np.isnan(found.loc["lost", ["rank", "bic_mixed", "cmax_rmse"]].astype(float)).all()
    assert found.loc["lost", "note"] == "not compared: the fit did not converge"
    assert found.sentence.startswith("Only 'plain' can be ranked")
    assert "Not ranked: 'lost'." in found.sentence
    assert "lost: Not converged: it stopped." in found.text()


# --- least squares --------------------------------------------------------------------------


def straight(t, y):
    """Return -2 ln L of a straight line by ordinary least squares."""
    x = np.column_stack([np.ones_like(t), t])
    residual = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    return y.size * (np.log(2 * np.pi * np.mean(residual**2)) + 1.0)


def test_totals_of_least_squares_are_those_of_ordinary_least_squares(trial, least, likely):
    design = likely["plain"].structure.design
    each = sum(
        straight(design.time[design.patient == i], design.dv[design.patient == i])
        for i in range(PATIENTS)
    )
    found = compare.models(least)
    n = design.n_obs
    pooled = straight(design.time, design.dv)
    assert_allclose(found.loc["pooled", "ofv"], pooled, atol=1e-5)
    assert_allclose(found.loc["each", "ofv"], each, atol=1e-5)
    assert_allclose(found.loc["each", "bic"], each + 3 * PATIENTS * np.log(n), atol=1e-5)
    assert found.loc["each", "n_estimated"] == 3 * PATIENTS
    assert "Parameters of every patient count." in found.sentence


def test_a_patient_without_a_fit_leaves_no_total(least):
    lost = least["each"].copy(deep=True)
    lost["loglik"][3], lost["aic"][3] = np.nan, np.nan
    found = compare.models({"each": lost, "pooled": least["pooled"]})
    assert found.index.tolist() == ["pooled", "each"]
    assert np.isnan(found.loc["each", "aic"])
    assert found.loc["each", "verdict"] == "No total: no fit of patient 3."


def test_kinds_are_ranked_apart(likely, least):
    found = compare.models({**least, **likely}, exposure=False)
    assert found.kinds == ("likelihood", "least squares")
    assert found["rank"].tolist() == [1, 2, 1, 2]
    own = found.block("least squares")
    assert own.table["bic"].is_monotonic_increasing
    assert "bic_mixed" not in own
    assert "n_estimated" in found.block("likelihood")
    assert found.sentence.startswith("Likelihood fits: 'sex' has the lowest mixed BIC")
    assert "Least-squares fits: '" in found.sentence
    with pytest.raises(DataError, match="unknown kind of fit"):
        found.block("bayes")
    with pytest.raises(DataError, match="no scale in common"):
        plots.comparison(found)


def test_fits_of_other_records_are_refused(likely, least, trial):
    fewer = least["each"].isel(id=slice(0, 5))
    with pytest.raises(FitError, match="'few' and 'plain' were fitted to different records"):
        compare.models({"few": fewer, **likely})
    with pytest.raises(FitError, match="'x': give a fit, from"):
        compare.models({"x": trial})
    with pytest.raises(FitError, match="unknown criterion 'dic'"):
        compare.models(likely, criterion="dic")
    with pytest.raises(FitError, match="'plain' has no draws of the likelihood"):
        compare.patients(likely)


# --- exposure -------------------------------------------------------------------------------


def test_errors_of_exposure_by_hand():
    """Four patients, one of whom has no positive value."""
    given = {
        "observed": [10.0, 20.0, 40.0, 0.0], "predicted": [20.0, 20.0, 20.0, 15.0],
        "lower": [5.0, 5.0, 5.0, 0.0], "upper": [30.0, 30.0, 30.0, 30.0],
    }  # fmt: skip
    each = {k: (("id", "parameter"), np.array(v)[:, None]) for k, v in given.items()}
    found = as_columns(xr.Dataset(each, coords={"parameter": ["cmax"], "id": list("abcd")}))
    assert_allclose(found["cmax_error"], 0.0, atol=1e-12)
    assert_allclose(found["cmax_rmse"], np.log(2) * np.sqrt(2 / 3))
    assert found["cmax_coverage"] == 0.75
    assert found["exposure_note"] == "cmax: 1 of 4 patients without a positive value"


def test_predicted_exposure_is_that_of_new_patients(likely):
    """The peak of 10,000 patients drawn in the test; median and limits within 6 errors or 1 %."""
    result = likely["plain"]
    found = of_fit(result, endpoint=None, window=(0, 28), n_sims=4000, seed=2).sel(parameter="cmax")
    rng, e = np.random.default_rng(8), result.draws().isel(chain=0)
    pick = rng.integers(0, e.sizes["draw"], 10_000)
    a, b, omega, sigma = (
        e[n].to_numpy()[pick] for n in ("a", "b", "omega_a", "sigma_add")
    )  # fmt: skip
    own = a + omega * rng.standard_normal(pick.size)
    noise = sigma[:, None] * rng.standard_normal((pick.size, TIMES.size))
    peak = (own[:, None] + b[:, None] * TIMES + noise).max(axis=1)
    lower, middle, upper = np.quantile(peak, [0.05, 0.5, 0.95])
    assert_allclose(found["predicted"], middle, rtol=0.01)
    assert_allclose(found["lower"], lower, rtol=0.015)
    assert_allclose(found["upper"], upper, rtol=0.015)
    design = result.structure.design
    top = [design.dv[design.patient == i].max() for i in range(PATIENTS)]
    assert_allclose(found["observed"], top)


def test_the_true_model_covers_nine_tenths(compared):
    """12 patients, 90 %: 6 or fewer inside have a probability below 0.001."""
    assert stats.binom.cdf(6, 12, 0.9) < 0.001
    for parameter in ("cmax", "auc0_28"):
        assert (compared[f"{parameter}_coverage"] > 6 / 12).all()
        assert (compared[f"{parameter}_error"].abs() < 10).all()
    assert compared.loc["sex", "cmax_rmse"] < compared.loc["plain", "cmax_rmse"]


def test_an_exposure_that_cannot_be_had_does_not_stop_the_table(likely):
    found = compare.models(likely, endpoint="il6", n_sims=10)
    assert found["rank"].tolist() == [1, 2]
    assert found["exposure_note"].str.startswith("no exposure: ").all()


# --- words ----------------------------------------------------------------------------------


def table_of(difference, error, patients=40, **more):
    shared = {"kind": "bayes", "converged": True, "reliable": True, "n_patients": patients}
    rows = {
        "one": {**shared, "rank": 1, "elpd_diff": 0.0, "dse": 0.0},
        "two": {**shared, "rank": 2, "elpd_diff": difference, "dse": error, **more},
    }
    return Comparison(pd.DataFrame.from_dict(rows, orient="index"))


def test_the_sentence_says_whether_a_difference_matters():
    assert (
        "3.90 lower (standard error 0.50): below 4, too small to matter."
        in table_of(3.9, 0.5).sentence
    )
    apart = table_of(9.0, 5.0).sentence
    assert "below 2 standard errors, so that these data do not separate the two" in apart
    clear = table_of(9.0, 4.0).sentence
    assert clear.startswith("'one' predicts a new patient best; the elpd of 'two' is 9.00 lower")
    assert clear.endswith("above 4 and 2 standard errors, so that the difference matters.")
    assert "With 12 patients the standard error is itself uncertain" in table_of(9, 4, 12).sentence
    doubtful = table_of(9.0, 4.0, reliable=False).sentence
    assert "the difference matters; but the elpd of 'two' is not reliable (see note)." in doubtful


def test_the_sentence_of_criteria_grades_the_evidence(compared):
    difference = compared["difference"].iloc[1]
    grade = "strong" if 6 <= difference < 10 else "very strong" if difference >= 10 else "some"
    assert f"{difference:.2f} higher: {grade} evidence against 'plain'." in compared.sentence


# --- files ----------------------------------------------------------------------------------


def test_csv_json_and_html_hold_the_same_table(compared, tmp_path):
    back = pd.read_csv(compared.csv(tmp_path / "c.csv"), index_col="fit")
    assert list(back) == list(compared.columns)
    assert_allclose(back["bic_mixed"], compared["bic_mixed"], rtol=1e-15)
    data = json.loads(compared.json(tmp_path / "c.json"))
    assert json.loads((tmp_path / "c.json").read_text(encoding="utf-8")) == data
    assert data["criterion"] == "bic_mixed"
    assert data["sentence"] == compared.sentence
    assert [row["fit"] for row in data["fits"]] == ["sex", "plain"]
    assert data["fits"][0]["ofv"] == compared.loc["sex", "ofv"]
    compared.html(tmp_path / "c.html")
    page = (tmp_path / "c.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "Cmax: RMSE (ln)" in page
    assert compared._repr_html_() in page


def test_names_are_escaped_in_html(likely):
    found = compare.models({"<b>": likely["plain"]}, exposure=False)
    assert "&lt;b&gt;" in found.html()
    assert "<b>" not in found.html()


# --- pictures -------------------------------------------------------------------------------


def test_the_picture_of_criteria_shows_the_differences(compared):
    ax = plots.comparison(compared)
    assert ax.get_xlabel() == "Mixed BIC above that of the best model (lower is better)"
    marks = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"]
    assert_allclose(marks, compared["difference"])
    assert plots.comparison(compared.table).get_xlabel().startswith("Criterion above")


def test_the_picture_refuses_what_is_no_comparison(likely):
    for wrong in (likely["plain"], pd.DataFrame({"x": [1]}), "fit"):
        with pytest.raises(DataError, match=r"plots\.comparison draws what compare\.models"):
            plots.comparison(wrong)


# --- command line ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(likely, tmp_path_factory):
    """Two run folders with saved fits."""
    folder = tmp_path_factory.mktemp("runs")
    for run in ("first", "second"):
        for name, result in likely.items():
            result.save(folder / run / "fits" / f"{name}.nc")
    return folder


@pytest.fixture
def runs(saved, monkeypatch):
    """The folders; the model's class is not registered."""
    load = fit.load
    monkeypatch.setattr(fit, "load", lambda path: load(path, Line()))
    return saved


def test_the_command_compares_the_fits_of_a_run(runs, compared, capsys):
    csv, html = runs / "out.csv", runs / "out.html"
    given = ["compare", str(runs / "first"), "--csv", str(csv), "--html", str(html)]
    assert cli.execute(given) == 0
    said = capsys.readouterr().out
    assert compared.sentence in said
    assert "BIC, mixed" in said
    assert pd.read_csv(csv)["fit"].tolist() == ["sex", "plain"]
    assert html.is_file()
    assert cli.execute(["compare", str(runs / "first"), "--json", "--criterion", "aic"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["exit_code"], data["criterion"]) == (0, "aic")


def test_fits_of_several_runs_are_told_apart(runs):
    both = compare.fits_of(runs / "first", runs / "second" / "fits" / "sex.nc")
    assert list(both) == ["plain", "first/sex", "second/sex"]
    assert list(compare.fits_of(runs / "first" / "fits")) == ["plain", "sex"]
    with pytest.raises(ConfigError, match="holds no saved fit"):
        compare.fits_of(runs)
    with pytest.raises(ConfigError, match="no file or folder"):
        compare.fits_of(runs / "none")
    with pytest.raises(ConfigError, match="as another fit is"):
        compare.fits_of(runs / "first", runs / "first")


def test_the_command_says_what_is_wrong(runs, capsys):
    assert cli.execute(["compare", str(runs / "nowhere")]) == 1
    assert "no file or folder" in capsys.readouterr().err
    assert cli.execute(["compare", str(runs / "first"), "--by", "visit"]) == 1
    assert "unknown --by 'visit'" in capsys.readouterr().err
