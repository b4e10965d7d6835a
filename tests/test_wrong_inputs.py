"""What is passed in the wrong place is refused with a sentence that says what to pass."""

import copy
import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from diagnostics_inputs import Line, known, simulated_line, trial

from cart_pkpd import checks, compare, data, fit, models, plots
from cart_pkpd._core.errors import CartError

POPULATION = fit.population(iiv=["c0"])
QUANTITIES = {"c0": 100.0, "k": 0.1, "omega_c0": 0.6, "sigma_log": 0.4}


@pytest.fixture(scope="module")
def records():
    level = simulated_line(np.random.default_rng(4), 6, omega_c0=0.6, omega_k=0.0, sigma=0.4)
    return trial(level, lloq=5.0)


@pytest.fixture(scope="module")
def result(records):
    return known(records, QUANTITIES, {"c0": np.full((50, 6), 100.0)}, iiv=["c0"])


def refused(pattern):
    """A sentence of the package or a ValueError with one, never an accident of Python."""
    return pytest.raises((CartError, ValueError), match=pattern)


NO_TRIAL = {
    "None": None,
    "a frame": pd.DataFrame({"ID": [1]}),
    "a path": "study.csv",
    "a dict": {"dv": [1.0]},
    "an array": np.zeros(3),
    "an empty Dataset": xr.Dataset(),
}
OF_A_TRIAL = {
    "bayes": lambda t: fit.bayes(Line(), t, POPULATION),
    "laplace": lambda t: fit.laplace(Line(), t, POPULATION),
    "least_squares": lambda t: fit.least_squares(Line(), t),
    "two_stage": lambda t: fit.two_stage(Line(), t),
    "priors": lambda t: fit.priors(Line(), t, POPULATION),
    "pymc_model": lambda t: fit.pymc_model(Line(), t, POPULATION),
    "prior_predictive": lambda t: checks.prior_predictive(Line(), t, POPULATION),
    "endpoints": data.endpoints,
    "patients": data.patients,
    "summary": data.summary,
    "import_report": data.import_report,
    "write_table": data.write_table,
}


@pytest.mark.parametrize("value", NO_TRIAL.values(), ids=NO_TRIAL)
@pytest.mark.parametrize("call", OF_A_TRIAL.values(), ids=OF_A_TRIAL)
def test_what_is_no_trial_is_refused(call, value):
    with refused(r"data\.read_table"):
        call(value)


@pytest.mark.parametrize("dim", ["id", "obs"])
def test_a_trial_without_patients_or_records_is_refused(records, dim):
    with refused("there is nothing to work on"):
        fit.priors(Line(), records.isel({dim: []}), POPULATION)


@pytest.mark.parametrize("value", [None, {"iiv": ["c0"]}, ["c0"], "c0", 3])
@pytest.mark.parametrize(
    "call", [fit.bayes, fit.laplace, fit.priors, fit.structure, fit.pymc_model]
)
def test_what_is_no_population_is_refused(records, call, value):
    with refused(r"population: give what varies between patients as fit\.population\(iiv="):
        call(Line(), records, value)


ARGUMENTS = [
    ({"iiv": None}, "iiv: give names"),
    ({"iiv": True}, "iiv: give names"),
    ({"iiv": [["cmax"]]}, "iiv: give names"),
    ({"iiv": [1]}, "iiv: give names"),
    ({"iov": None}, "iov: give names"),
    ({"scale": True}, "scale: give names"),
    ({"scale": [1]}, "scale: give names"),
    ({"iiv": {"cmax": 0.2}}, r"priors=\{'omega_cmax': fit\.HalfNormal"),
    ({"iov": {"cmax": 0.2}}, r"priors=\{'omega_iov_cmax': fit\.HalfNormal"),
    ({"iiv": ["a"], "corr": True}, "corr: give 'full'"),
    ({"iiv": ["a"], "corr": 3}, "corr: give 'full'"),
    ({"iiv": ["a"], "corr": [3]}, "corr: give blocks"),
    ({"covariates": ["age"]}, "covariates: give a dict"),
    ({"covariates": {"cmax": None}}, "covariates: 'cmax' needs names"),
    ({"covariates": {"cmax": [1]}}, "covariates: 'cmax' needs names"),
    ({"errors": "lognormal"}, "errors: give a dict .* error='lognormal' is for all"),
    ({"errors": ["lognormal"]}, "errors: give a dict"),
    ({"errors": {"il6": 1}}, "errors: 'il6' needs one name"),
    ({"error": ["lognormal"]}, "error: give one name"),
    ({"priors": {"cmax": 3}}, "priors: 'cmax' needs a prior"),
    ({"priors": {"cmax": "lognormal(1,2)"}}, "priors: 'cmax' needs a prior"),
    ({"priors": [1]}, "priors: give a dict"),
    ({"priors": {"cmax": {"kind": 3}}}, "kind of a prior: give a name"),
    ({"non_expanders": 3}, "non_expanders: give True"),
    ({"censoring": None}, "unknown censoring method"),
    ({"censoring": "m2"}, "unknown censoring method"),
]


@pytest.mark.parametrize(("given", "pattern"), ARGUMENTS, ids=[str(a) for a, _ in ARGUMENTS])
def test_arguments_of_a_population(given, pattern):
    with refused(pattern):
        fit.population(**given)


CALLS = {
    "quantiles in a list": (lambda t: fit.prior_from_quantiles("normal", [1, 2]), "probability"),
    "quantiles in text": (lambda t: fit.prior_from_quantiles("normal", "5 to 10"), "quantiles"),
    "quantiles of text": (
        lambda t: fit.prior_from_quantiles("normal", {"low": 1, "high": 2}), "give numbers",
    ),
    "no estimate": (lambda t: fit.least_squares(Line(), t, estimate=[]), "at least one parameter"),
    "estimate twice": (
        lambda t: fit.least_squares(Line(), t, estimate=["k", "k"]), "'k' is named twice",
    ),
    "estimate a number": (lambda t: fit.least_squares(Line(), t, estimate=3), "give names"),
    "no endpoint": (lambda t: fit.priors(Line(), t, POPULATION, endpoint=None), "endpoint"),
    "seed None": (lambda t: fit.bayes(Line(), t, POPULATION, seed=None), "seed must be"),
    "seed text": (lambda t: fit.laplace(Line(), t, POPULATION, seed="a"), "seed must be"),
    "seed below 0": (lambda t: fit.bayes(Line(), t, POPULATION, seed=-1), "seed must be"),
    "draws None": (lambda t: fit.bayes(Line(), t, POPULATION, draws=None), "draws must be"),
    "one chain": (lambda t: fit.bayes(Line(), t, POPULATION, chains=1), "at least 2"),
    "given text": (
        lambda t: fit.bayes(Line(), t, POPULATION, given="x"), r"given: give a fit",
    ),
    "no model": (lambda t: models.get(None), "name of a model"),
    "no set": (lambda t: models.get("stein2019", 3), "parameter sets"),
    "load None": (lambda t: fit.load(None), "give the path"),
    "compare a list": (lambda t: compare.models([1]), "by name"),
    "compare numbers": (lambda t: compare.models({"a": 1}), "'a': give a fit"),
    "a prior of no correlation": (
        lambda t: fit.priors(Line(), t, fit.population(iiv=["c0"], priors={"corr": fit.LKJ(2)})),
        "add corr='full'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("call", "pattern"), CALLS.values(), ids=CALLS)
def test_other_arguments(records, call, pattern):
    with refused(pattern):
        call(records)


def test_one_parameter_to_estimate_may_be_named_without_brackets(records):
    pooled = {"method": "pooled", "estimate": "c0"}
    assert fit.least_squares(Line(), records, **pooled)["parameter"].values.tolist() == ["c0"]


OF_A_FIT = [
    "etas", "exposure", "k_fold", "leave_one_patient_out", "predictions", "predictive_exposure",
    "prior_sensitivity", "residuals", "shrinkage", "vpc",
]  # fmt: skip


@pytest.mark.parametrize("name", OF_A_FIT)
@pytest.mark.parametrize("value", [None, "fit.nc"])
def test_checks_take_a_fit(name, value):
    with refused(rf"checks\.{name}: give a fit"):
        getattr(checks, name)(value)


def test_few_simulations_do_not_place_a_record(result):
    with refused("at least 100"):
        checks.residuals(result, n_sims=1)


def test_a_fit_is_saved_to_a_file(result, tmp_path):
    with refused("is a folder; name a file"):
        result.save(tmp_path)
    with refused("give the path"):
        result.save(None)


OF_A_CHECK = [
    "vpc", "etas", "eta_covariates", "residual", "gof", "npde", "observed_vs_predicted",
    "goodness_of_fit", "individual", "predictive_exposure", "prior_predictive",
    "prior_sensitivity", "sbc",
]  # fmt: skip


@pytest.mark.parametrize("name", OF_A_CHECK)
def test_plots_of_a_check_say_which_check(name, result):
    pattern = rf"plots\.{name} draws what (checks\.\w+)\(.*returns: plots\.{name}\(\1\("
    for value in (result, None):
        with refused(pattern):
            getattr(plots, name)(value)


def test_a_plot_refuses_the_result_of_another_check(result):
    with refused("this Dataset has no 'simulated_median'"):
        plots.vpc(checks.etas(result))


def test_posteriors_are_drawn_of_a_fit(result):
    """The fit alone gives the figure that its draws, tree and table give."""
    figure = plots.posterior(result)
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == [ax.get_title(loc="left") for ax in plots.posterior(result.draws()).axes]
    assert "prior" in [t.get_text() for t in figure.legends[0].get_texts()]
    for plot in (plots.trace, plots.ranks):
        assert len(plot(result).axes) == len(plot(result.tree).axes)
    with refused("give a fit"):
        plots.posterior(3)
    with refused("give a fit"):
        plots.trace(result.draws())
    with refused("give a fit"):
        plots.intervals(None)


@pytest.mark.parametrize("method", ["FOCEI", "Foce", "focei"])
def test_methods_are_known_by_their_other_names(records, method):
    found = fit.laplace(Line(), records, POPULATION, method=method, starts=1)
    same = fit.laplace(Line(), records, POPULATION, method="foce", starts=1)
    assert found.ofv == same.ofv


def test_methods_of_censoring_are_known_in_capitals():
    assert fit.population(censoring="M3") == fit.population(censoring="m3")


def test_every_message_is_one_sentence():
    """No message of ARGUMENTS runs on, and none shows the insides of the package."""
    for given, _ in ARGUMENTS:
        with pytest.raises(CartError) as caught:
            fit.population(**copy.deepcopy(given))
        assert len(str(caught.value)) < 260
        assert not re.search(r"Traceback|object at 0x", str(caught.value))
