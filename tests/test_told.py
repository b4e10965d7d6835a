"""What a fit leaves out, assumes or was told is said; bins, roles and units are what they say."""

import numpy as np
import pandas as pd
import pytest
from diagnostics_inputs import Line, known, simulated_line, trial
from numpy.testing import assert_array_equal

from cart_pkpd import checks, data, fit, models, plots
from cart_pkpd._checks.vpc import bin_edges
from cart_pkpd._core.errors import FitError, FitWarning
from cart_pkpd._stats.design import design, design_for
from cart_pkpd._study import config, plan
from cart_pkpd.report import _fits

DECLARED = {"c0": 100.0, "k": 0.1, "omega_c0": 0.6, "sigma_log": 0.4}


def infused_twice(patients=4):
    """Records on 7 days of each patient, 3 of them at or after a second infusion on day 30."""
    rows = []
    for i in range(patients):
        rows += [(f"p{i}", t, np.nan, 1e7, 1) for t in (0.0, 30.0)]
        rows += [(f"p{i}", t, 90.0 - t, np.nan, 0) for t in (1.0, 5.0, 9.0, 14.0, 31.0, 40.0, 50.0)]
    table = pd.DataFrame(rows, columns=["ID", "TIME", "DV", "AMT", "EVID"])
    return data.read_table(
        table.sort_values(["ID", "TIME"]), endpoints="transgene",
        units={"transgene": "copies/µg"}, echo=False,
    )  # fmt: skip


class Falling(models.OdeModel):
    """The line as an equation: it uses all infusions."""

    cells = models.State("copies/µg", "cells")
    k = models.Positive(0.1, "1/day", "decline rate")
    dosed, dose_unit = "cells", "copies/µg"

    def initial(self, p):
        return {"cells": 0.0}

    def rhs(self, t, y, p):
        return {"cells": -p.k * y.cells}

    def observe(self, t, y, p):
        return {"transgene": y.cells}


# --- what is left out ------------------------------------------------------------------------

LEFT = "12 of 28 records after a second infusion"


def test_records_after_a_second_infusion_are_counted_in_a_note():
    notes = fit.structure(Line(), infused_twice(), fit.population(iiv=["c0"])).notes
    assert [n for n in notes if n.startswith("Left out")] == [f"Left out: {LEFT}."]


@pytest.mark.parametrize("call", [fit.bayes, fit.laplace])
def test_a_fit_warns_of_them_and_says_what_keeps_them(call):
    words = f"{LEFT} left out; use iov= or a model given by differential equations"
    with pytest.warns(FitWarning, match=words), pytest.raises(ZeroDivisionError):
        # An error of one's own stops before anything is fitted.
        call(Line(), infused_twice(), fit.population(iiv=["c0"]), label=_Stop())


class _Stop:
    def __bool__(self):
        raise ZeroDivisionError


def test_least_squares_warn_too_and_do_not_speak_of_iov():
    with pytest.warns(FitWarning, match=f"{LEFT} left out; use a model given by"):
        fit.least_squares(Line(), infused_twice(), method="pooled")
    with pytest.warns(FitWarning, match=f"{LEFT} left out; use a model given by"):
        fit.two_stage(Line(), infused_twice(), method="global", estimate=["c0"])


def test_nothing_is_said_where_all_records_are_used():
    records, population = infused_twice(), fit.population(iov=["c0"])
    assert fit.structure(Line(), records, population).notes == ()
    assert design_for(Falling(), records, "transgene").n_obs == 28


# --- priors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("priors", "changed"),
    [
        ({}, set()),
        ({"corr": fit.LKJ(5)}, {"corr_c0_k"}),
        ({"corr_c0_k": fit.LKJ(5)}, {"corr_c0_k"}),
        ({"k": fit.Normal(0, 1)}, {"k"}),
    ],
)
def test_what_the_user_changed_is_said_to_be(priors, changed):
    population = fit.population(iiv=["c0", "k"], corr="full", priors=priors)
    table = fit.priors(Line(), trial(np.full((4, 5), 50.0)), population)
    assert set(table.index[table["origin"] == "changed by the user"]) == changed


def test_a_prior_of_one_block_changes_no_other():
    class Four(Line):
        a = models.Positive(1.0, "1", "unused")
        b = models.Positive(1.0, "1", "unused")

    corr = [["c0", "k"], ["a", "b"]]
    records, iiv = trial(np.full((4, 5), 50.0)), ["c0", "k", "a", "b"]
    table = fit.priors(Four(), records, fit.population(iiv=iiv, corr=corr))
    first, second = table.index[table["role"] == "correlation"]
    own = fit.population(iiv=iiv, corr=corr, priors={first: fit.LKJ(5)})
    origin = fit.priors(Four(), records, own)["origin"]
    assert (origin[first], origin[second]) == ("changed by the user", "assumed")


def test_linear_covariates_and_factors_have_their_own_roles():
    records = trial(np.full((6, 5), 50.0), covariates={"age": [50.0, 60, 70, 55, 65, 75]})
    population = fit.population(
        covariates={"c0": [fit.covariate("age", form="linear")]}, scale=["transgene"]
    )
    table = fit.priors(Line(), records, population)
    assert table.loc["beta_c0_age", "role"] == "covariate"
    assert table.loc["scale_transgene", "role"] == "scale"
    assert table.loc["c0", "role"] == "typical"
    assert table.loc["beta_c0_age", "source"].startswith("centred at no effect; SD 0.5")
    assert table.loc["scale_transgene", "source"].startswith("centred at 1")


def test_a_category_for_each_patient_is_refused():
    records = trial(np.full((6, 5), 50.0), covariates={"site": [*"aabbcc"]})
    fit.structure(Line(), records, fit.population(covariates={"c0": ["site"]}))
    with pytest.raises(FitError, match="'id' has 6 categories in 6 patients"):
        fit.structure(Line(), records, fit.population(covariates={"c0": ["id"]}))


RUN = """
[data]
dataset = "fast01"
[fit]
endpoint = "transgene"
[population]
iiv = ["cmax", "tmax"]
corr = "full"
priors = { corr = { kind = "lkj", eta = 4 }, omega_cmax = { kind = "halfnormal", sigma = 2 } }
[models.a]
model = "stein2019"
priors = { omega_tmax = { kind = "halfnormal", sigma = 3 } }
[models.b]
like = "a"
priors = { omega_cmax = { kind = "halfnormal", sigma = 5 } }
[models.c]
model = "stein2019"
corr = []
"""


def test_priors_of_a_run_file_are_merged_by_name():
    run = config.loads(RUN)
    found = {
        name: {k: p.get("sigma", p.get("eta")) for k, p in run.population(name)["priors"].items()}
        for name in "abc"
    }
    assert found["a"] == {"corr": 4, "omega_cmax": 2, "omega_tmax": 3}
    assert found["b"] == {"corr": 4, "omega_cmax": 5, "omega_tmax": 3}
    assert found["c"] == {"omega_cmax": 2}
    said = dict(plan.steps(run))
    assert "shared prior corr not used: no corr here" in said["fit c"]
    assert "not used" not in said["fit a"]


def test_corr_of_a_run_file_is_full_or_blocks():
    with pytest.raises(config.RunFileError) as caught:
        config.loads(RUN.replace('corr = "full"', "corr = 3"))
    problem = next(p for p in caught.value.problems if "population.corr" in p)
    assert "full" in problem


# --- bins and strata -------------------------------------------------------------------------


def at(*times, patients=6):
    table = pd.DataFrame(
        {
            "ID": np.repeat([f"p{i}" for i in range(patients)], len(times)),
            "TIME": np.tile(times, patients).astype(float),
            "DV": 50.0,
        }
    )
    made = data.read_table(
        table, endpoints="transgene", units={"transgene": "copies/µg"}, echo=False
    )
    return design(made, "transgene")


def counts(one, bins):
    return np.histogram(one.time, bin_edges(one, bins))[0].tolist()


def test_few_distinct_times_are_bins_of_their_own():
    assert counts(at(1, 5, 10, 20), None) == [6, 6, 6, 6]
    assert len(counts(at(*range(12)), None)) == 12
    assert len(counts(at(*range(13)), None)) < 13


def test_a_whole_number_is_a_number_of_bins():
    one = at(*range(40))
    assert counts(one, 4) == counts(one, np.int64(4)) == [60, 60, 60, 60]
    assert counts(one, 1) == [240]


def test_edges_are_days():
    one = at(1, 5, 10, 20)
    assert counts(one, [0, 7, 28]) == [12, 12]
    assert counts(one, [7]) == [12, 12]
    assert_array_equal(bin_edges(one, [0, 7, 28])[:2], [1.0, 7.0])


@pytest.mark.parametrize(
    ("bins", "words"),
    [
        ("weekly", "give a number of bins"),
        (["a", "b"], "give a number of bins"),
        ([np.nan, 3], "give a number of bins"),
        ([], "give a number of bins"),
        (True, "whole number of at least 1"),
        (0, "whole number of at least 1"),
        ([0, 10, 7], "must rise, and 7 follows 10"),
        ([0, 7, 7], "must rise"),
        ([0, 90, 100], "the edge 90 lies where there are no records; they are from day 1 to 20"),
        ([30, 60], "the edge 30 lies"),
    ],
)
def test_impossible_bins_are_refused(bins, words):
    with pytest.raises(ValueError, match=words):
        bin_edges(at(1, 5, 10, 20), bins)


@pytest.fixture(scope="module")
def limited():
    """A known fit with records beyond both limits, in dose levels 1, 2 and 3."""
    level = simulated_line(np.random.default_rng(8), 12, omega_c0=0.6, omega_k=0.0, sigma=0.4)
    records = trial(
        level, lloq=20.0, uloq=150.0, covariates={"dose_level": np.repeat([1.0, 2.0, 3.0], 4)}
    )
    own = 100.0 * np.exp(0.4 * np.random.default_rng(9).standard_normal((40, 12)))
    return known(records, DECLARED, {"c0": own}, iiv=["c0"])


def test_levels_1_2_3_are_labels_without_a_unit(limited):
    check = checks.vpc(limited, n_sims=20, by="dose_level")
    titles = [ax.get_title(loc="left") for ax in plots.vpc(check).axes]
    assert titles[:3] == ["dose level 1", "dose level 2", "dose level 3"]


def legend(figure):
    return [t.get_text() for one in figure.legends for t in one.get_texts()]


def test_records_above_the_uloq_are_in_the_legend(limited):
    residuals = checks.residuals(limited, n_sims=100)
    assert (residuals["censoring"] == "right").any()
    for figure in (
        plots.gof(residuals),
        plots.npde(residuals, "npd"),
        plots.individual(checks.predictions(limited, n_draws=20)),
    ):
        assert {"below LLOQ", "above ULOQ"} <= set(legend(figure))


def test_a_predictive_check_shows_both_limits(limited):
    figure = plots.vpc(checks.vpc(limited, n_sims=20))
    assert {"LLOQ 20 copies/µg", "ULOQ 150 copies/µg"} <= set(legend(figure))
    levels = {line.get_ydata()[0] for line in figure.axes[0].lines if len(line.get_ydata()) == 2}
    assert {20.0, 150.0} <= levels


def test_deviations_of_occasions_are_named_in_words(limited):
    check = checks.etas(limited)
    assert check["label"].values.tolist() == ["η c0"]
    check = check.assign_coords(label=("parameter", ["κ c0, occasion 2"]))
    assert plots.etas(check).axes[0].get_title(loc="left") == "κ c0, occasion 2"


# --- report ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reliable", "words"),
    [
        ((True, True), None),
        ((False, False), "; but the elpd of 'a' and 'b' are not reliable (see note)."),
        ((True, False), "; but the elpd of 'b' is not reliable (see note)."),
    ],
)
def test_the_best_model_is_named_with_what_its_rank_is_worth(reliable, words):
    table = pd.DataFrame(
        {"rank": [1.0, 2.0], "elpd_diff": [0.0, -3.0], "dse": [0.0, 1.0], "reliable": reliable},
        index=["a", "b"],
    )
    said = _fits.best_model(table)
    assert ("reliable" in said) == (words is not None)
    assert words is None or words in said


def test_several_endpoints_ask_for_the_argument_that_names_one(fast01):
    several = models.get("stein2019") + models.cytokines(["il6"])
    with pytest.raises(FitError, match="say which: show="):
        checks.prior_predictive(several, fast01, fit.population(), endpoint=["transgene", "il6"])
