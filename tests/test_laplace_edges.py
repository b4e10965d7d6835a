"""Marginal likelihoods without a minimum of their own: edges, ridges and what says nothing."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from cart_pkpd import checks, data, fit, models
from cart_pkpd._core.errors import FitError
from cart_pkpd._fit import laplace
from cart_pkpd._fit.flat import told_by
from cart_pkpd._fit.marginal import Marginal
from cart_pkpd._fit.start import starting_values
from cart_pkpd._stats.design import design_for
from cart_pkpd._stats.population import resolve
from cart_pkpd.models.math import log

DAYS = np.array([1.0, 2.0, 4.0, 7.0, 10.0])


class Decay(models.ClosedFormModel):
    """Two levels of which the data know the product, and a parameter that moves nothing."""

    endpoint = "transgene"
    a = models.Positive(40.0, "copies/µg", "level", iiv=0.3)
    b = models.Positive(1.0, "1", "factor")
    k = models.Positive(0.1, "1/day", "loss", iiv=0.1)
    c = models.Positive(1.0, "1", "idle")

    def log_level(self, t, p):
        return log(p.a) + log(p.b) - p.k * t + 0 * log(p.c)


def decays(n=12, seed=1):
    rng, rows = np.random.default_rng(seed), []
    for i in range(n):
        rows.append({"ID": i, "TIME": 0.0, "AMT": 1e6, "EVID": 1})
        a = 40 * np.exp(0.4 * rng.normal())
        for t in DAYS:
            y = a * np.exp(-0.12 * t + 0.2 * rng.normal())
            rows.append({"ID": i, "TIME": t, "DV": y, "EVID": 0})
    return data.read_table(pd.DataFrame(rows), units={"transgene": "copies/µg"}, echo=False)


ONE = {"b": models.Fixed(1.0), "c": models.Fixed(1.0)}


@pytest.fixture(scope="module")
def trial():
    return decays()


def test_what_cannot_be_told_apart_is_named_and_the_others_have_errors(trial):
    """The errors of the rest are those of the model without the redundant parameters."""
    population = fit.population(iiv=["a"])
    found = fit.laplace(Decay(), trial, population, starts=1)
    plain = fit.laplace(Decay().with_(**ONE), trial, population, starts=1)
    assert "the data could not tell a and b apart, and the data say nothing of c" in (
        found.verdict.sentence
    )
    assert not found.verdict.ok
    assert found.verdict.apart == (("a", "b"), ("c",))
    table, own = found.table(), plain.table()
    assert table.loc["a", "reason"] == "the data could not tell a and b apart"
    rest = ["k", "omega_a", "sigma_log"]
    assert_allclose(table.loc[rest, "estimate"], own.loc[rest, "estimate"], rtol=1e-3)
    assert_allclose(table.loc[rest, "se"], own.loc[rest, "se"], rtol=2e-2)
    draws = found.draws()
    assert_allclose(draws["a"], found.estimates["a"])
    assert_allclose(draws["c"], 1.0)
    assert_allclose(float(draws["k"].std()), own.loc["k", "se"], rtol=0.1)


@pytest.mark.parametrize("seed", [3, 12])
def test_draws_of_what_the_data_say_nothing_of_stand_at_the_estimate(seed):
    """Nobody's loss differs, and chance leaves an omega of next to nothing."""
    population = fit.population(iiv=["a", "k"], corr="full")
    found = fit.laplace(Decay().with_(**ONE), decays(seed=seed), population, starts=1)
    draws, table = found.draws(), found.table()
    assert found.verdict.wide == ("omega_k",)
    assert "the data say next to nothing of omega_k" in found.verdict.sentence
    assert np.isnan(table.loc["omega_k", "se"])
    assert "next to nothing" in table.loc["omega_k", "reason"]
    assert_allclose(draws["omega_k"], found.estimates["omega_k"])
    assert float(draws["omega_a"].max()) < 2.0
    sign = np.sign(found.estimates["corr_a_k"])
    assert np.sign(float(draws["corr_a_k"].median())) == sign
    at_limit = abs(found.estimates["corr_a_k"]) > 0.999
    assert found.verdict.at_limit == (("corr_a_k",) if at_limit else ())


@pytest.fixture(scope="module")
def with_and_without(trial):
    """The same records with an omega that is 0, and without that effect."""
    model = Decay().with_(**ONE)
    both = [fit.laplace(model, trial, fit.population(iiv=v), starts=1) for v in (["a", "k"], ["a"])]
    assert both[0].verdict.at_zero == ("omega_k",)
    assert_allclose(both[0].ofv, both[1].ofv, atol=1e-2)
    return both


def test_residuals_with_an_omega_of_0_are_those_without_the_effect(with_and_without):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, plain = (checks.residuals(x, n_sims=100) for x in with_and_without)
    assert_allclose(found["cwres"], plain["cwres"], atol=1e-3)


def test_leaving_patients_out_with_an_omega_of_0_is_as_without_the_effect(with_and_without):
    """No more points are needed either: proposals do not miss the prior."""
    found, plain = (checks.leave_one_patient_out(x, n_draws=100) for x in with_and_without)
    assert_allclose(found["points"], plain["points"])
    error = np.hypot(found.attrs["mcse"], plain.attrs["mcse"])
    assert abs(found.attrs["elpd"] - plain.attrs["elpd"]) < 3 * error


def test_folds_are_fitted_again_by_maximum_likelihood(with_and_without):
    """The density of a fold is the closed one, averaged over draws of a fit of the others."""
    plain = with_and_without[1]
    found = checks.k_fold(plain, k=2, n_draws=1000)
    assert found["converged"].all()
    held = np.flatnonzero(found["fold"].to_numpy() == 1)
    others = np.setdiff1d(np.arange(12), held)
    structure, design = plain.structure, plain.structure.design
    draws = laplace.fit_structure(
        structure.among(others.tolist()), label="", source={}, method="foce", starts=1, seed=2,
        iterations=200,
    ).draws()  # fmt: skip
    columns = [draws[n].to_numpy().ravel() for n in ("a", "k", "omega_a", "sigma_log")]
    for i in held:
        rows = design.patient == i
        y, t = np.log(design.dv[rows]), design.time[rows]
        density = [
            stats.multivariate_normal(
                np.log(a) - k * t, omega**2 + sigma**2 * np.eye(t.size)
            ).pdf(y)
            for a, k, omega, sigma in zip(*columns, strict=True)
        ]  # fmt: skip
        exact = np.log(np.mean(density)) - y.sum()
        mcse = float(found["mcse"][i])
        assert_allclose(float(found["elpd"][i]), exact, atol=0.05 + 0.5 * mcse)
    with pytest.raises(FitError, match="tune"):
        checks.k_fold(plain, k=2, tune=100)


def test_no_priors_act_in_a_fit_by_maximum_likelihood(with_and_without):
    with pytest.raises(FitError, match=r"no priors act in fit\.laplace"):
        checks.prior_sensitivity(with_and_without[0])


def test_a_point_whose_curvature_has_no_inverse_is_refused_not_raised(trial, monkeypatch):
    population = fit.population(iiv=["a"])
    structure = resolve(Decay().with_(**ONE), population, design_for(Decay(), trial, "transgene"))
    marginal = Marginal(structure, "foce", starting_values(structure))

    def singular(*_):
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr(marginal, "_evaluated", singular)
    at = marginal.evaluate(marginal.at_start(), marginal.deviations_at_start())
    assert np.isinf(at.value).all()
    assert at.unresolved.all()


@pytest.mark.parametrize("name", ["scale_transgene"])
def test_occasions_of_a_factor_are_refused(name, trial):
    population = fit.population(scale=["transgene"], iov=[name], iiv=["a"])
    with pytest.raises(FitError, match="factor of an endpoint, which is the same on all occasions"):
        fit.laplace(Decay().with_(**ONE), trial, population)


def test_one_patient_has_no_sandwich():
    found = fit.laplace(Decay().with_(**ONE), decays(1), fit.population(), starts=1)
    table = found.table()
    assert table["se"].notna().all()
    assert table["se_sandwich"].isna().all()
    assert "compares patients" in table.loc["k", "reason"]


def test_a_curvature_says_what_its_inverse_and_null_space_say():
    """A block that is regular, a pair of which the sum is known, and one place without anything."""
    regular = np.array([[4.0, 1.0], [1.0, 9.0]])
    information = np.zeros((5, 5))
    information[:2, :2] = regular
    information[2:4, 2:4] = 25.0
    found = told_by(information, np.ones(5), np.full(5, np.inf))
    assert found.flat == ((2, 3), (4,))
    assert_allclose(found.covariance[:2, :2], np.linalg.inv(regular), rtol=1e-12)
    assert np.isnan(np.diag(found.covariance)[2:]).all()


def test_a_coordinate_with_too_wide_an_error_is_held_for_the_others():
    """With the wide one held the others' covariance is the inverse of what is left."""
    information = np.array([[0.01, 0.01], [0.01, 4.0]])
    found = told_by(information, np.ones(2), np.array([2.0, np.inf]))
    assert found.wide == (0,)
    assert not found.flat
    assert_allclose(found.covariance[1, 1], 0.25, rtol=1e-12)
    assert np.isnan(found.covariance[0, 0])
