"""Marginal likelihoods with correlated effects and occasions, against exact ones."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from random_effects_inputs import (
    DAYS,
    Decline3,
    Line,
    correlated_lines,
    ln_normal,
    marginal_of,
    trial_of,
    two_occasions,
)
from scipy import optimize, stats
from theophylline import Oral
from theophylline import trial as theophylline_trial

from cart_pkpd import fit
from cart_pkpd._fit.marginal import Marginal
from cart_pkpd._fit.start import starting_values
from cart_pkpd._stats.design import design_for
from cart_pkpd._stats.population import resolve


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    return correlated_lines(tmp_path_factory.mktemp("line"))


@pytest.fixture(scope="module")
def occasions(tmp_path_factory):
    return two_occasions(tmp_path_factory.mktemp("occasions"))


# --- marginal likelihood of a linear model: known exactly ----------------------------------


def test_the_normal_density_is_scipys():
    y, c = np.array([1.0, 2.0]), np.array([[2.0, 0.5], [0.5, 1.0]])
    assert_allclose(ln_normal(y, 0.3, c), stats.multivariate_normal([0.3, 0.3], c).logpdf(y))


def exact_line(design, x):
    """-2 ln L of the line at (a, b, ln omegas, logit of (1 + corr) / 2, ln sigma)."""
    sd, r, sigma = np.exp(x[2:4]), np.tanh(x[4] / 2), np.exp(x[5])
    omega = np.array([[1, r], [r, 1]]) * np.outer(sd, sd)
    total = 0.0
    for i in range(design.n_patients):
        rows = design.patient == i
        t, y = design.time[rows], design.dv[rows]
        g = np.stack([np.ones_like(t), t], axis=1)
        covariance = g @ omega @ g.T + sigma**2 * np.eye(t.size)
        total -= 2.0 * ln_normal(y, g @ x[:2], covariance)
    return total


@pytest.mark.parametrize("method", ["foce", "laplace"])
def test_a_block_gives_the_normal_marginal_likelihood(line, method):
    marginal = marginal_of(Line(), line, method, iiv=["a", "b"], corr="full")
    for x in ([40.0, 3.0, 1.5, -0.5, 1.0, 0.7], [45.0, 2.0, 0.5, 0.3, -2.5, 1.2]):
        found = marginal.evaluate(np.array(x), marginal.deviations_at_start())
        assert_allclose(found.value.sum(), exact_line(marginal.structure.design, np.array(x)),
                        atol=1e-6)  # fmt: skip
        h = 1e-5
        steps = h * np.eye(6)
        differences = [
            (exact_line(marginal.structure.design, np.array(x) + s)
             - exact_line(marginal.structure.design, np.array(x) - s)) / (2 * h)
            for s in steps
        ]  # fmt: skip
        assert_allclose(found.gradient.sum(axis=0), differences, rtol=1e-5, atol=1e-4)


@pytest.fixture(scope="module")
def fitted_line(line):
    population = fit.population(iiv=["a", "b"], error="additive", corr="full")
    return fit.laplace(Line(), line, population)


def test_estimates_of_a_block_are_the_exact_ones(fitted_line):
    """Against SciPy's minimum of the normal's -2 ln L and its curvature by differences."""
    design = fitted_line.structure.design
    start = np.array([40.0, 3.0, 1.6, -0.5, 1.0, 0.7])
    best = optimize.minimize(
        lambda x: exact_line(design, x), start, method="BFGS", options={"gtol": 1e-5}
    )
    assert fitted_line.verdict.ok
    assert_allclose(fitted_line.ofv, best.fun, atol=1e-6)
    table = fitted_line.table()
    r = np.tanh(best.x[4] / 2)
    assert_allclose(table.loc["corr_a_b", "estimate"], r, rtol=1e-4)
    assert_allclose(
        table.loc[["omega_a", "omega_b", "sigma_add"], "estimate"], np.exp(best.x[[2, 3, 5]]),
        rtol=1e-4,
    )  # fmt: skip
    h = 1e-3
    steps = h * np.eye(6)
    f = exact_line
    hessian = np.array([
        [(f(design, best.x + u + v) - f(design, best.x + u - v) - f(design, best.x - u + v)
          + f(design, best.x - u - v)) / (4 * h * h) for v in steps]
        for u in steps
    ])  # fmt: skip
    covariance = 2.0 * np.linalg.inv(hessian)
    se = np.sqrt(covariance[4, 4]) * (1 - r**2) / 2
    assert_allclose(table.loc["corr_a_b", "se"], se, rtol=2e-3)
    z = stats.norm.ppf(0.975) * se / (1 - r**2)
    assert_allclose(table.loc["corr_a_b", "lower"], np.tanh(np.arctanh(r) - z), rtol=2e-3)
    assert table.loc["corr_a_b", "role"] == "correlation"
    assert 0.3 < r < 1.0


def test_a_correlation_that_reaches_1_is_said(tmp_path):
    """Levels and rises in exact proportion: the correlation goes to its limit."""
    rng = np.random.default_rng(2)
    rows = ["ID,TIME,DV,AMT,EVID"]
    for i in range(12):
        rows.append(f"{i},0,.,1e6,1")
        u = rng.standard_normal()
        y = 40 + 5 * u + (3 + 0.5 * u) * DAYS + 0.5 * rng.standard_normal(DAYS.size)
        rows += [f"{i},{t},{v:.6f},.,0" for t, v in zip(DAYS, y, strict=True)]
    population = fit.population(iiv=["a", "b"], error="additive", corr="full")
    found = fit.laplace(Line(), trial_of(tmp_path, rows), population, starts=1)
    assert found.estimates["corr_a_b"] > 0.99
    assert found.verdict.at_limit == ("corr_a_b",)
    assert "corr_a_b is at the limit" in found.verdict.sentence
    assert "limit" in found.table().loc["corr_a_b", "reason"]


def test_a_correlation_of_an_effect_that_is_0_has_no_value(tmp_path):
    """No patient's rise differs: its omega is 0, and its correlation means nothing."""
    rng = np.random.default_rng(4)
    rows = ["ID,TIME,DV,AMT,EVID"]
    for i in range(12):
        rows.append(f"{i},0,.,1e6,1")
        noise = 2.0 * rng.standard_normal(DAYS.size)
        # Residuals without any slope of the patient's own.
        noise -= np.polyval(np.polyfit(DAYS, noise, 1), DAYS)
        y = 40 + 5 * rng.standard_normal() + 3 * DAYS + noise
        rows += [f"{i},{t},{v:.6f},.,0" for t, v in zip(DAYS, y, strict=True)]
    population = fit.population(iiv=["a", "b"], error="additive", corr="full")
    found = fit.laplace(Line(), trial_of(tmp_path, rows), population, starts=1)
    assert found.verdict.at_zero == ("omega_b",)
    row = found.table().loc["corr_a_b"]
    assert np.isnan(row["estimate"])
    assert row["reason"] == "the standard deviation of one of the two is 0"
    assert np.isfinite(found.draws()["corr_a_b"]).all()


# pynlme 0.5.1 (MIT; pip install pynlme), fit_nlme(X, y, group, None, model, (-2.4, 0.5, -3.2),
# approximation_type="FOCE", re_params_select=(1, 2), cov_pattern=ones((2, 2))): -2 x its logl, its
# beta (ln ke, ka, cl per hour), psi and error parameter.
PYNLME_OFV = 2.0 * 176.99155896164325
PYNLME = {"ke": -2.4655953162, "ka": 0.4821653590, "cl": -3.2303997835}
PYNLME_PSI = np.array([[0.4308708776, -0.0008085597502], [-0.0008085597502, 0.02805110826]])
PYNLME_SIGMA = 0.7077699537


def test_theophylline_with_correlated_effects_is_as_of_another_program(tmp_path):
    """OFV to 1e-6, estimates to 1e-4, the correlation of -0.0074 to 1e-4."""
    population = fit.population(iiv=["ka", "cl"], error="additive", corr="full")
    trial = theophylline_trial(tmp_path)
    found = fit.laplace(Oral(), trial, population, endpoint="theophylline", starts=1)
    assert_allclose(found.ofv, PYNLME_OFV, atol=1e-6)
    for name, ln in PYNLME.items():
        assert_allclose(found.estimates[name] / 24.0, np.exp(ln), rtol=1e-4)
    sd = np.sqrt(np.diag(PYNLME_PSI))
    assert_allclose([found.estimates[n] for n in ("omega_ka", "omega_cl")], sd, rtol=2e-4)
    assert_allclose(found.estimates["sigma_add"], PYNLME_SIGMA, rtol=1e-4)
    assert_allclose(found.estimates["corr_ka_cl"], PYNLME_PSI[0, 1] / sd.prod(), atol=1e-4)


@pytest.mark.parametrize("method", ["foce", "laplace"])
def test_gradients_of_blocks_and_occasions_equal_differences(method, occasions):
    """A curved model with a block of three, another with occasions: to 1e-5 of the largest."""
    for more in ({"corr": "full"}, {"corr": [["k", "c0"]], "iov": ["c0", "share"]}):
        records = design_for(Decline3(), occasions, "transgene", iov="iov" in more)
        population = fit.population(iiv=["c0", "k", "share"], **more)
        structure = resolve(Decline3(), population, records)
        marginal = Marginal(structure, method, starting_values(structure))
        x = marginal.at_start() + 0.1 * np.sin(1.0 + np.arange(marginal.size))
        z = marginal.deviations_at_start()
        found = marginal.evaluate(x, z)
        assert not found.unresolved.any()
        h = 1e-4
        steps = h * np.eye(marginal.size)
        both = [[marginal.evaluate(x + s, found.z).value.sum() for s in (e, -e)] for e in steps]
        differences = [(up - down) / (2 * h) for up, down in both]
        gradient = found.gradient.sum(axis=0)
        assert_allclose(gradient, differences, rtol=1e-4, atol=1e-5 * np.abs(gradient).max())
