"""Questions without sense, asked of every public function: a sentence, or NaN with a reason."""

from __future__ import annotations

import traceback

import numpy as np
import pandas as pd
import pytest
import questions
from diagnostics_inputs import Line, simulated_line, trial

from cart_pkpd import checks, data, datasets, dose, endpoints, fit, models, nca, plots
from cart_pkpd._core.errors import CartError

NAN, INF = float("nan"), float("inf")
ASKED = list(questions.questions())
SPOILED = [(q, name) for q in ASKED for name in q.numbers()]
HARMLESS = {("data.read_table", "missing")}  # NaN among the words for a missing value is one


def refusal(error):
    """Say whether an error is a sentence of the package and not an accident below it."""
    last = traceback.extract_tb(error.__traceback__)[-1].filename
    own = isinstance(error, CartError) or (isinstance(error, ValueError) and "cart_pkpd" in last)
    return own and len(str(error)) > 20 and str(error)[-1] in ".?)"


def asked(question, name, bad):
    """Return whether a number was taken; fail for an error that is no refusal."""
    value = question.spoiled(name, bad)
    try:
        question.ask(**{name: value})
    except Exception as error:
        if not refusal(error):
            error.add_note(f"{question.name}({name}={value!r})")
            raise
        return False
    return True


def test_the_questions_cover_the_modules():
    names = {q.name.split(".")[0] for q in ASKED}
    assert names == {"data", "nca", "fit", "models", "endpoints", "dose", "plots"}
    assert len(ASKED) > 70
    assert len(SPOILED) > 150


@pytest.mark.parametrize("module", ["data", "nca", "fit", "models", "endpoints", "dose", "plots"])
def test_nan_is_no_number_and_infinity_no_accident(module):
    taken = []
    for question, name in SPOILED:
        if question.name.startswith(f"{module}."):
            if asked(question, name, NAN) and (question.name, name) not in HARMLESS:
                taken.append(f"{question.name}({name}=nan)")
            asked(question, name, INF)
            asked(question, name, -INF)
    assert not taken


def refused(words, kind=(CartError, ValueError)):
    return pytest.raises(kind, match=words)


@pytest.fixture(scope="module")
def level():
    return simulated_line(np.random.default_rng(4), 6, omega_c0=0.6, omega_k=0.0, sigma=0.4)


POPULATION = fit.population(iiv=["c0"])


# --- data that say nothing -----------------------------------------------------------------------


def test_a_cohort_below_the_limit_has_no_parameters_and_says_why(level):
    blq = trial(0 * level + 1, lloq=5.0)
    found = fit.least_squares(Line(), blq)
    assert np.isnan(found["estimate"]).all()
    assert all("0 quantified records" in str(s) for s in found["status"].values)
    params = nca.table(blq, "transgene")
    assert np.isnan(params["half_life"]).all()
    summary = nca.summary(params, None).set_index("parameter")
    assert summary.loc["cmax", "text"] == "NC (n=0 of 6)"
    verdict = fit.laplace(Line(), blq, POPULATION).verdict
    assert not verdict.ok
    assert "the data say nothing of" in verdict.sentence


def test_one_patient(level):
    one = trial(level[:1], lloq=5.0)
    assert fit.least_squares(Line(), one)["status"].values.tolist() == ["ok"]
    summary = nca.summary(nca.table(one, "transgene"), None).set_index("parameter")
    assert summary.loc["cmax", "text"].endswith("n=1")
    assert "omega_c0 is 0" in fit.laplace(Line(), one, POPULATION).verdict.sentence
    curve = nca.kaplan_meier(np.array([5.0]), np.array([True]))
    assert curve["survival"].tolist() == [1.0, 0.0]


def test_covariates_without_variance_have_no_effect(level):
    same = trial(level, covariates={"age": [60] * 6})
    with refused("'age' has one value or none, so it has no effect"):
        fit.structure(Line(), same, fit.population(iiv=["c0"], covariates={"c0": ["age"]}))
    params = questions.tables()["params"]
    params = params.assign(k=("id", np.full(params.sizes["id"], 3.0)))
    with refused("k is the same in every patient"):
        endpoints.exposure_response(params, "crs_grade", "k")
    cox = endpoints.cox(questions.tables()["pfs"], "k", patients=params).coefficients
    assert np.isnan(cox["estimate"]).all()
    assert "the same value in every patient" in cox["reason"].iloc[0]


def test_a_model_and_an_endpoint_that_do_not_match(level):
    il6 = data.endpoint(datasets.load("fast01"), "il6")
    with refused("no record of 'transgene'"):
        fit.least_squares(models.get("stein2019"), il6)
    with refused("no endpoint 'il6'"):
        fit.structure(Line(), trial(level), POPULATION, endpoint="il6")


def test_priors_without_mass_where_the_data_are(level):
    """Levels of 1e-6 are expected where 100 is measured: every record lies above them."""
    far = fit.population(iiv=["c0"], priors={"c0": fit.LogNormal(1e-6, 0.01)})
    found = checks.prior_predictive(Line(), trial(level), far, n_sims=40, seed=1)
    usual = found["simulated"].isel(quantile=2)
    assert float(usual.max()) < 0.01 * float(level.min())
    assert float(found["exposure_place"].sel(parameter="cmax")) > 0.9
    for prior, numbers in ((fit.LogNormal, (0, 1)), (fit.Normal, (0, 0)), (fit.Uniform, (2, 1))):
        with refused("must"):
            prior(*numbers)


# --- doses, times, bounds, seeds -----------------------------------------------------------------


def test_doses_of_0():
    with refused("a planned dose must be above 0"):
        dose.Levels((0.0, 1e6))
    with refused("no amount"):
        data.read_table(
            pd.DataFrame({"ID": [1, 1], "TIME": [0, 1], "DV": [None, 4], "AMT": [0, None],
                          "EVID": [1, 0]}), echo=False,
        )  # fmt: skip
    without = models.get("leon_triana2021_dual").simulate([0, 7, 28], doses=0.0)
    assert (without["car_cells"] == 0).all()
    with refused("is not a dose"):
        models.get("leon_triana2021_dual").simulate([0, 7], doses=-1e6)


def test_times_in_any_order_give_the_same_numbers():
    for name, doses in (("stein2019", {}), ("leon_triana2021_dual", {"doses": 1e6})):
        model = models.get(name)
        mixed, sorted_ = model.simulate([28, 0, 7], **doses), model.simulate([0, 7, 28], **doses)
        for variable in sorted_.data_vars:
            if "time" in sorted_[variable].dims:
                np.testing.assert_array_equal(mixed[variable].values[[1, 2, 0]], sorted_[variable])
    assert nca.auc([1, 2, 3], [0, 7, 3]) == nca.auc([1, 3, 2], [0, 3, 7])


@pytest.mark.parametrize("value", [NAN, INF, -INF, 0.0, -1.0])
def test_parameters_beyond_their_bounds(value):
    with refused(f"cmax = {value} is not possible: it must be above 0"):
        models.get("stein2019").simulate([0, 7], cmax=value)


@pytest.mark.parametrize("value", [NAN, INF])
def test_levels_and_times_that_are_no_numbers(value):
    for call in (
        lambda: models.get("stein2019").simulate([0, value]),
        lambda: models.get("leon_triana2021_dual").simulate([0, value], doses=1e6),
        lambda: nca.auc([1, 2, 3], [0, value, 7]),
    ):
        with refused("finite"):
            call()
    with refused("not finite"):
        nca.auc([1, INF, 3], [0, 3, 7])
    assert nca.auc([1, NAN, 3], [0, 3, 7]) == 14.0  # a sample that is not there: (1 + 3) / 2 · 7


@pytest.mark.parametrize("seed", [None, -1, 1.5, NAN, "a", True])
def test_seeds_are_whole_numbers_from_0(seed, level):
    made = dict(levels=[1e6, 3e6], p=[0.05, 0.2], target=0.3, max_patients=6, accrual=2.0)
    with refused("seed must be a whole number of at least 0"):
        dose.simulate_trials(dose.BOIN(0.3), dose.Scenario(**made), 5, seed=seed)
    with refused("seed must be a whole number of at least 0"):
        fit.laplace(Line(), trial(level), POPULATION, seed=seed)


def test_the_same_seed_gives_the_same_trials():
    made = dict(levels=[1e6, 3e6], p=[0.05, 0.2], target=0.3, max_patients=6, accrual=2.0)
    runs = [dose.simulate_trials(dose.BOIN(0.3), dose.Scenario(**made), 50, seed=s)
            for s in (1, 1, 2)]  # fmt: skip
    assert runs[0].identical(runs[1])
    assert not runs[0].identical(runs[2])


# --- names --------------------------------------------------------------------------------------


TRIAL, PARAMS = questions.tables()["trial"], questions.tables()["params"]
NAMES = {
    "endpoint": (lambda: data.endpoint(TRIAL, "transgen"), "transgene"),
    "model": (lambda: models.get("stein2018"), "stein2019"),
    "NCA parameter": (lambda: nca.table(TRIAL, "transgene", parameters=["cmx"]), "cmax"),
    "endpoint of NCA": (lambda: nca.table(TRIAL, "transgen"), "transgene"),
    "rule": (lambda: nca.table(TRIAL, "transgene", metod="lin"), "method"),
    "group": (
        lambda: plots.profiles(data.endpoint(TRIAL, "transgene"), by="dose_levl"), "dose_level",
    ),
    "error": (lambda: fit.population(error="lognorml"), "lognormal"),
    "outcome": (lambda: endpoints.exposure_response(PARAMS, "crs_grad", "cmax"), "crs_grade"),
    "exposure": (lambda: endpoints.exposure_response(PARAMS, "crs_grade", "cmx"), "cmax"),
    "data set": (lambda: datasets.load("fast1"), "fast01"),
    "cytokine": (lambda: dose.peaks(TRIAL, ["il66"]), "il6"),
    "model's parameter": (lambda: models.get("stein2019").with_(cmaxx=1.0), "cmax"),
    "simulated parameter": (lambda: models.get("stein2019").simulate([1], tmx=1.0), "tmax"),
    "unit": (
        lambda: data.read_table(
            pd.DataFrame({"ID": [1], "TIME": [0], "DV": [1]}), units={"transgene": "copie/ug"},
        ),
        "copies",
    ),
    "strata": (
        lambda: endpoints.kaplan_meier(questions.tables()["os"], by="dose_levl", patients=TRIAL),
        "dose_level",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("call", "near"), NAMES.values(), ids=NAMES)
def test_an_unknown_name_brings_the_nearest_known_one(call, near):
    with refused(f"Did you mean {near!r}"):
        call()
