"""Priors from quantiles, and cumulative probabilities and densities, against SciPy."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import optimize, special, stats
from test_priors import each

from cart_pkpd import fit
from cart_pkpd._core.errors import FitError, FitWarning
from cart_pkpd._stats.priors import KINDS, LogitNormal, LogNormal, prior_from

P = (0.1, 0.8)
EXACT = {
    "normal": (stats.norm(-2, 3), {}),
    "lognormal": (stats.lognorm(s=0.7, scale=5e4), {}),
    "gamma": (stats.gamma(2.5, scale=0.25), {}),
    "beta": (stats.beta(0.7, 9), {}),
    "uniform": (stats.uniform(-1, 5), {}),
    "cauchy": (stats.cauchy(1, 2e-4), {}),
    "student_t": (stats.t(3, 1, 2), {"df": 3}),
    "truncatednormal": (stats.truncnorm(-0.5, np.inf, 1e5, 2e5), {}),
    "halfnormal": (stats.halfnorm(scale=1.3), {}),
    "halfcauchy": (stats.halfcauchy(scale=0.8), {}),
    "exponential": (stats.expon(scale=300), {}),
}
SINGLE = ("halfnormal", "halfcauchy", "exponential")


def asked(kind, reference):
    return {p: float(reference.ppf(p)) for p in (P[1:] if kind in SINGLE else P)}


@pytest.mark.parametrize("kind", EXACT)
def test_as_many_quantiles_as_numbers_are_met_exactly(kind):
    """The whole distribution is found again: quantiles by SciPy's ppf (rtol 1e-6)."""
    reference, given = EXACT[kind]
    found = fit.prior_from_quantiles(kind, asked(kind, reference), **given)
    p = np.array([0.01, 0.1, 0.5, 0.8, 0.99])
    scale = reference.ppf(0.8) - reference.ppf(0.1)
    assert_allclose(found.prior.quantile(p), reference.ppf(p), rtol=1e-6, atol=1e-6 * scale)
    assert found.residual < 1e-8
    assert_allclose(found.table()["reached"], found.table().index, atol=1e-8)


def test_every_kind_can_be_elicited():
    assert {*EXACT, "logitnormal"} == set(KINDS) - {"lkj"}
    with pytest.raises(FitError, match="whole correlation matrices"):
        fit.prior_from_quantiles("lkj", {0.5: 0.0})


def test_a_logit_normal_is_found_on_the_logit():
    """Two logits and their normal scores give centre and SD by hand."""
    found = fit.prior_from_quantiles("logitnormal", {0.05: 0.01, 0.95: 0.2})
    low, high = special.logit([0.01, 0.2])
    z = stats.norm.ppf(0.95)
    assert_allclose(special.logit(found.prior.median), (low + high) / 2, rtol=1e-12)
    assert_allclose(found.prior.sigma, (high - low) / (2 * z), rtol=1e-12)


def test_the_lognormal_of_the_docstring():
    """ln 100 − ln 10 is 1.6449 SDs (the normal's 95th percentile)."""
    prior = fit.prior_from_quantiles("lognormal", {0.05: 10, 0.5: 100}).prior
    assert_allclose([prior.median, prior.sigma], [100, np.log(10) / stats.norm.ppf(0.95)])


@pytest.mark.parametrize("kind", ["lognormal", "gamma"])
def test_more_quantiles_are_met_by_least_squares(kind):
    """Against a simplex search of the same sum by SciPy's own distributions (rtol 1e-3)."""
    p, x = np.array([0.1, 0.25, 0.5, 0.9]), np.array([2.0, 5.0, 9.0, 60.0])
    found = fit.prior_from_quantiles(kind, dict(zip(p, x, strict=True)))

    def loss(v):
        own = stats.lognorm(s=np.exp(v[1]), scale=np.exp(v[0])) if kind == "lognormal" else (
            stats.gamma(np.exp(v[0]), scale=np.exp(v[1]))
        )  # fmt: skip
        return np.sum((own.cdf(x) - p) ** 2)

    best = optimize.minimize(loss, [1.0, 1.0], method="Nelder-Mead",
                             options={"xatol": 1e-9, "fatol": 1e-14, "maxiter": 5000})  # fmt: skip
    numbers = list(vars(found.prior).values())
    expected = np.exp(best.x) if kind == "lognormal" else [np.exp(best.x[0]), np.exp(-best.x[1])]
    assert_allclose(numbers, expected, rtol=1e-3)
    reached = found.table()["reached"].to_numpy()
    assert_allclose(np.sum((reached - p) ** 2), best.fun, rtol=1e-6)
    assert found.residual == np.abs(reached - p).max() > 0.005


@pytest.mark.parametrize(
    ("kind", "quantiles", "given", "words"),
    [
        ("lognormal", {0.5: 100}, {}, "needs 2 quantiles, 1 given"),
        ("lognormal", {0.05: 100, 0.5: 10}, {}, "must rise .* 100 at 0.05, 10 at 0.5"),
        ("lognormal", {5: 10, 50: 100}, {}, "probabilities lie between 0 and 1"),
        ("lognormal", {0.05: 0, 0.5: 10}, {}, "0 is impossible; values lie between 0 and inf"),
        ("beta", {0.05: 0.5, 0.5: 1.5}, {}, "1.5 is impossible; values lie between 0 and 1"),
        ("truncatednormal", {0.1: 1, 0.9: 5}, {"upper": 4}, "5 is impossible"),
        ("truncatednormal", {0.5: 1, 0.9: 100}, {}, "no truncatednormal prior has the quantiles"),
        ("student_t", {0.1: 1, 0.9: 5}, {}, "needs df"),
        ("normal", {0.1: 1, 0.9: 5}, {"df": 3}, "takes nothing beside them, not 'df'"),
        ("log_normal", {0.1: 1, 0.9: 5}, {}, "Did you mean 'lognormal'"),
    ],
)
def test_what_cannot_be_is_refused(kind, quantiles, given, words):
    with pytest.raises(FitError, match=words):
        fit.prior_from_quantiles(kind, quantiles, **given)


def test_records_and_populations_take_quantiles():
    expected = fit.prior_from_quantiles("lognormal", {0.05: 10, 0.95: 1000})
    assert prior_from({"kind": "lognormal", "q05": 10, "q95": 1000}) == expected.prior
    texts = {"kind": "lognormal", "quantiles": {"0.05": 10, "0.95": 1000}}
    assert prior_from(texts) == expected.prior
    pop = fit.population(priors={"cmax": expected, "sigma_log": {"kind": "halfnormal", "q50": 0.3}})
    assert pop.priors["cmax"] == LogNormal(expected.prior.median, expected.prior.sigma)
    assert_allclose(pop.priors["sigma_log"].quantile(0.5), 0.3)
    with pytest.raises(FitError, match="takes nothing beside them, not 'q5'"):
        prior_from({"kind": "normal", "q5": 1, "q05": 0, "q95": 3})
    with pytest.warns(FitWarning, match="missed by at most"):
        prior_from({"kind": "normal", "q05": 0, "q50": 1, "q95": 30})


# --- probabilities and densities -----------------------------------------------------------


@each
def test_probabilities_and_densities_equal_scipy(prior, reference):
    x = reference.ppf(np.array([0.001, 0.05, 0.5, 0.95, 0.999]))
    assert_allclose(prior.cdf(x), reference.cdf(x), rtol=1e-9)
    assert_allclose(prior.log_density(x), reference.logpdf(x), rtol=1e-9, atol=1e-12)
    low, high = prior.bounds
    outside = [v for v in (low - 1.0, high + 1.0) if np.isfinite(v)]
    if outside:
        assert np.isneginf(prior.log_density(outside)).all()
        assert_allclose(prior.cdf(outside), reference.cdf(outside), atol=1e-12)


def test_a_logit_normal_has_the_density_of_its_logit():
    prior, x = LogitNormal(0.3, 0.8), np.array([0.1, 0.3, 0.9])
    z = special.logit(x) - special.logit(0.3)
    expected = stats.norm(0, 0.8).logpdf(z) - np.log(x * (1 - x))
    assert_allclose(prior.log_density(x), expected, rtol=1e-12)
    assert_allclose(prior.cdf(x), stats.norm(0, 0.8).cdf(z), rtol=1e-12)
