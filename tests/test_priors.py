"""Priors: against SciPy as plain data, and as PyMC samples them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from cart_pkpd import data, fit, models
from cart_pkpd._core.errors import FitError
from cart_pkpd._stats.priors import (
    KINDS,
    LKJ,
    Beta,
    Cauchy,
    Exponential,
    Gamma,
    HalfCauchy,
    HalfNormal,
    LogitNormal,
    LogNormal,
    Normal,
    StudentT,
    TruncatedNormal,
    Uniform,
    prior_from,
)

SCIPY = [
    (Normal(2.0, 3.0), stats.norm(2, 3)),
    (LogNormal(5.0, 0.7), stats.lognorm(s=0.7, scale=5)),
    (HalfNormal(1.3), stats.halfnorm(scale=1.3)),
    (Beta(1.0, 4.0), stats.beta(1, 4)),
    (TruncatedNormal(1.0, 2.0), stats.truncnorm(-0.5, np.inf, 1, 2)),
    (TruncatedNormal(5.0, 1.0, -np.inf, 3.0), stats.truncnorm(-np.inf, -2.0, 5, 1)),
    (TruncatedNormal(0.5, 0.3, 0.0, 1.0), stats.truncnorm(-0.5 / 0.3, 0.5 / 0.3, 0.5, 0.3)),
    (TruncatedNormal(-8.0, 1.0, 0.0, 2.0), stats.truncnorm(8.0, 10.0, -8, 1)),
    (TruncatedNormal(3.0, 2.0, -np.inf, np.inf), stats.norm(3, 2)),
    (HalfCauchy(0.8), stats.halfcauchy(scale=0.8)),
    (Exponential(3.0), stats.expon(scale=3)),
    (Gamma(2.5, 4.0), stats.gamma(2.5, scale=0.25)),
    (Uniform(-1.0, 4.0), stats.uniform(-1, 5)),
    (Cauchy(1.0, 2.0), stats.cauchy(1, 2)),
    (StudentT(3.0, 1.0, 2.0), stats.t(3, 1, 2)),
    (LKJ(2.0, 3.0), stats.beta(2.5, 2.5, -1, 2)),
]
NAMES = [str(prior) for prior, _ in SCIPY]
each = pytest.mark.parametrize(("prior", "reference"), SCIPY, ids=NAMES)


@each
def test_quantiles_equal_scipy(prior, reference):
    p = np.array([0.001, 0.05, 0.5, 0.95, 0.999])
    assert_allclose(prior.quantile(p), reference.ppf(p), rtol=1e-9)


def test_every_kind_is_tested():
    assert {type(prior) for prior, _ in SCIPY} | {LogitNormal} == set(KINDS.values())


def test_logit_normal_is_normal_on_the_logit():
    q = LogitNormal(0.02, 0.6).quantile(np.array([0.1, 0.5, 0.9]))
    logit = np.log(q / (1 - q))
    assert_allclose(logit[1], np.log(0.02 / 0.98))
    assert_allclose(logit - logit[1], 0.6 * stats.norm.ppf([0.1, 0.5, 0.9]), atol=1e-12)


@each
def test_samples_follow_the_distribution(prior, reference):
    """Kolmogorov–Smirnov at level 1e-4 with a fixed seed."""
    draws = prior.sample(np.random.default_rng(4), 4000)
    assert stats.kstest(draws, reference.cdf).pvalue > 1e-4


@each
def test_all_probability_lies_within_the_bounds(prior, reference):
    assert prior.bounds == reference.support()


def test_a_far_tail_keeps_its_digits():
    """A normal cut 60 SDs out is exponential there: median ln 2 / 60 above the cut (rtol 1e-3)."""
    above = TruncatedNormal(0.0, 1.0, 60.0).quantile(0.5) - 60.0
    below = TruncatedNormal(0.0, 1.0, -np.inf, -60.0).quantile(0.5) + 60.0
    assert_allclose([above, -below], np.log(2) / 60, rtol=1e-3)


def test_a_prior_can_be_written_as_a_record():
    assert prior_from({"kind": "halfnormal", "sigma": 2.0}) == HalfNormal(2.0)
    assert prior_from({"kind": "truncatednormal", "mu": 1, "sigma": 2}).upper == np.inf
    with pytest.raises(FitError, match="Did you mean 'halfnormal'"):
        prior_from({"kind": "half_normal", "sigma": 2.0})
    with pytest.raises(FitError, match="takes sigma; got sd"):
        prior_from({"kind": "halfnormal", "sd": 2.0})
    with pytest.raises(FitError, match="must be above 0"):
        prior_from({"kind": "halfnormal", "sigma": -2.0})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: TruncatedNormal(0, 1, 3, 2), "lower must be below upper, not 3 and 2"),
        (lambda: Uniform(2, 2), "low must be below high, not 2 and 2"),
        (lambda: Uniform(0, np.inf), "high must be finite"),
        (lambda: Normal(np.nan, 1), "mu must be a number, not nan"),
        (lambda: Gamma(0, 1), "shape must be above 0"),
        (lambda: StudentT(-1, 0, 1), "df must be above 0"),
        (lambda: HalfCauchy("1"), "scale must be a number, not '1'"),
        (lambda: LogitNormal(1.5, 1), "median must be below 1"),
    ],
)
def test_impossible_arguments_are_refused(make, words):
    with pytest.raises(FitError, match=words):
        make()


def test_a_prior_says_its_numbers():
    assert str(TruncatedNormal(1, 2)) == "TruncatedNormal(mu=1, sigma=2, lower=0, upper=inf)"


# --- as PyMC has them ----------------------------------------------------------------------


@pytest.mark.parametrize(
    # PyMC has correlations of a block, not one of them alone.
    ("prior", "reference"), [*SCIPY[:-1], (LogitNormal(0.3, 0.8), None)],
    ids=[*NAMES[:-1], "LogitNormal"],
)  # fmt: skip
def test_pymc_has_the_same_density_and_an_unbounded_scale(prior, reference):
    """ln density against SciPy and the place of each value on the sampler's scale."""
    import pymc as pm

    from cart_pkpd._fit.pymc_model import scalar
    from cart_pkpd._fit.start import on_the_line

    with pm.Model() as model:
        variable = scalar("q", prior)
    value = model.rvs_to_values[variable]
    logp = model.compile_logp(jacobian=False)
    # PyMC computes the share that a cut leaves in single precision; it does not depend on x.
    atol = 2e-6 if isinstance(prior, TruncatedNormal) else 1e-8
    for x in prior.quantile(np.array([0.02, 0.5, 0.9])):
        free = on_the_line(prior, float(x))
        assert np.isfinite(free)
        got = float(logp({value.name: free}))
        if reference is None:  # normal on the logit, by the change of variables
            z = np.log(x / (1 - x)) - np.log(0.3 / 0.7)
            expected = stats.norm(0, 0.8).logpdf(z) - np.log(x * (1 - x))
        else:
            expected = reference.logpdf(x)
        assert_allclose(got, expected, rtol=0, atol=atol)
    assert all(np.isfinite(logp({value.name: y})) for y in (-3.0, 0.0, 3.0))


# --- in a fit ------------------------------------------------------------------------------


class Decline(models.ClosedFormModel):
    """Mono-exponential decline."""

    c0 = models.Positive(100.0, "copies/µg", "level at 0")
    k = models.Positive(0.1, "1/day", "decline rate")
    share = models.Fraction(0.5, "1", "share that is seen")
    drift = models.Real(0.0, "1/day", "drift")

    def log_level(self, t, p):
        return models.math.log(p.c0) + models.math.log(p.share) - (p.k + p.drift) * t


def one_patient(seed=5):
    import pandas as pd

    t = np.linspace(1, 20, 12)
    noise = 0.2 * np.random.default_rng(seed).standard_normal(t.size)
    table = pd.DataFrame(
        {"ID": "p", "TIME": t, "DV": 250.0 * np.exp(-0.12 * t + noise), "DVID": "transgene"}
    )
    return data.read_table(table, units={"transgene": "copies/µg"}, echo=False)


CUSTOM = [
    {
        "c0": TruncatedNormal(500.0, 200.0),
        "k": Gamma(2.0, 10.0),
        "share": Uniform(0.2, 0.8),
        "drift": Uniform(-0.01, 0.01),
        "sigma_log": HalfCauchy(0.3),
    },
    {
        "c0": Exponential(500.0),
        "k": Uniform(0.01, 0.2),
        "share": Beta(20.0, 20.0),
        "drift": TruncatedNormal(0.0, 0.01, -0.02, 0.02),
        "sigma_log": Exponential(0.3),
    },
]


@pytest.mark.parametrize("priors", CUSTOM, ids=["first", "second"])
def test_one_patient_without_random_effects_can_be_fitted(priors, tmp_path):
    """The level at day 10 is what the patient's regression line says, within 3 SE of it."""
    from cart_pkpd import checks

    trial = one_patient()
    result = fit.bayes(
        Decline(), trial, fit.population(priors=priors), draws=400, tune=400, chains=2, seed=1
    )
    draws = result.draws()
    for name, prior in priors.items():
        low, high = prior.bounds
        assert low < draws[name].min() < draws[name].max() < high
    t, dv = trial["time"].to_numpy(), trial["dv"].to_numpy()
    line = stats.linregress(t - 10, np.log(dv))
    level = np.log(draws["c0"] * draws["share"]) - 10 * (draws["k"] + draws["drift"])
    assert abs(float(level.median()) - line.intercept) < 3 * line.intercept_stderr
    assert checks.predictions(result, n_draws=50).sizes["id"] == 1
    assert int(checks.vpc(result, n_sims=20)["n"].sum()) == 12
    assert checks.shrinkage(result).sizes["parameter"] == 0
    assert np.isfinite(checks.exposure(result, lloq=1.0, n_draws=50)["auc0_28"]).all()
    assert fit.load(result.save(tmp_path / "f.nc"), Decline()).structure.population.priors == priors


@pytest.mark.parametrize(
    ("name", "prior", "words"),
    [
        ("c0", TruncatedNormal(1.0, 1.0, -1.0), "allows impossible values; c0 is above 0"),
        ("c0", StudentT(3, 100, 10), "c0 is above 0"),
        ("sigma_log", Uniform(-1, 1), "sigma_log is above 0"),
        ("share", Gamma(1, 1), "share is between 0 and 1"),
        ("share", TruncatedNormal(0.5, 1.0), "share is between 0 and 1"),
        ("share", Uniform(0.0, 1.5), "share is between 0 and 1"),
    ],
)
def test_a_prior_must_keep_to_what_is_possible(name, prior, words):
    with pytest.raises(FitError, match=words):
        fit.bayes(Decline(), one_patient(), fit.population(priors={name: prior}))


def test_the_start_is_inside_every_prior():
    """The data say ln c0 of about ln 500; priors elsewhere are begun in, not beside."""
    from cart_pkpd._fit.start import starting_values
    from cart_pkpd._stats.design import design
    from cart_pkpd._stats.population import resolve

    class Guessing(Decline):
        def guess(self, time, level):
            return {"c0": 500.0, "k": 0.12}

    trial = one_patient()
    priors = {"c0": Uniform(1.0, 20.0), "k": TruncatedNormal(3.0, 0.1), "sigma_log": Uniform(2, 3)}
    s = resolve(Guessing(), fit.population(priors=priors), design(trial, "transgene"))
    start = starting_values(s)
    assert 1.0 < np.exp(start.typical["c0"]) < 20.0
    assert 2.5 < np.exp(start.typical["k"]) < 3.5
    assert 2.0 < start.sigma["sigma_log"] < 3.0
