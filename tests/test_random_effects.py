"""Correlated random effects and variability between occasions."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import optimize, special, stats
from test_posterior import ByPymc, Signal, points
from theophylline import Oral
from theophylline import trial as theophylline_trial

from cart_pkpd import checks, data, fit, models
from cart_pkpd._core.errors import FitError, ModelError
from cart_pkpd._fit.draws import individual_draws, record_predictions
from cart_pkpd._fit.marginal import Marginal
from cart_pkpd._fit.posterior import Posterior
from cart_pkpd._fit.start import starting_values
from cart_pkpd._stats.design import design_for
from cart_pkpd._stats.population import resolve
from cart_pkpd._stats.random_effects import RandomEffects
from cart_pkpd.models.math import log

DAYS = np.array([0.0, 1.0, 2.0, 4.0, 7.0, 10.0])


class Line(models.ClosedFormModel):
    """A level that is linear in its parameters: the marginal likelihood is a normal's."""

    endpoint = "transgene"
    a = models.Real(40.0, "copies/µg", "level on day 0", iiv=4.0, spread=10.0)
    b = models.Real(3.0, "copies/µg/day", "rise", iiv=0.5, spread=1.0)

    def log_level(self, t, p):
        return log(p.a + p.b * t)


class Stock(models.OdeModel):
    """A state that grows by b a day from a: linear, and each occasion goes on from the last."""

    level = models.State("copies/µg", "stock")
    a = models.Real(40.0, "copies/µg", "level on day 0", iiv=4.0, spread=10.0)
    b = models.Real(3.0, "copies/µg/day", "rise", iiv=0.5, spread=1.0)

    def initial(self, p):
        return {"level": p.a}

    def rhs(self, t, y, p):
        return {"level": p.b}

    def observe(self, t, y, p):
        return {"transgene": y.level}


def trial_of(folder, rows, **options):
    path = folder / "table.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return data.read_table(path, units={"transgene": "copies/µg"}, echo=False, **options)


def structure_of(model, trial, **population):
    records = design_for(model, trial, "transgene", iov=bool(population.get("iov")))
    return resolve(model, fit.population(error="additive", **population), records)


def marginal_of(model, trial, method="foce", **population):
    structure = structure_of(model, trial, **population)
    return Marginal(structure, method, starting_values(structure))


# --- the distribution ----------------------------------------------------------------------


THREE = RandomEffects(("a", "b", "c"), ("omega_a", "omega_b", "omega_c"), ((0, 1, 2),))
PARTIAL = np.array([[0.3, -0.6, 0.8], [0.9, 0.1, -0.2], [-0.5, -0.5, -0.5]])


def matrix_of(effects, correlation):
    out = np.eye(effects.size)
    for r, (a, b) in zip(correlation, effects.pairs, strict=True):
        out[a, b] = out[b, a] = r
    return out


def test_canonical_partial_correlations_are_those_of_the_matrix():
    """From inverses of submatrices: -P_ij / √(P_ii P_jj) of i, j and the effects before j."""
    for partial in PARTIAL:
        r = matrix_of(THREE, THREE.correlated(partial))
        assert np.linalg.eigvalsh(r)[0] > 0
        for z, (a, b) in zip(partial, THREE.pairs, strict=True):
            rows = [*range(b), b, a]
            p = np.linalg.inv(r[np.ix_(rows, rows)])
            assert_allclose(-p[-1, -2] / np.sqrt(p[-1, -1] * p[-2, -2]), z, rtol=1e-10)


def test_factors_and_their_slopes():
    """The factor is NumPy's Cholesky factor; slopes to 1e-8 of differences of it."""
    correlated = THREE.correlated(PARTIAL)
    for partial, r in zip(PARTIAL, correlated, strict=True):
        assert_allclose(THREE.factor(partial), np.linalg.cholesky(matrix_of(THREE, r)), rtol=1e-10)
        h = 1e-6
        for i, slope in enumerate(THREE.factor_slopes(partial)):
            step = h * np.eye(3)[i]
            up, down = THREE.factor(partial + step), THREE.factor(partial - step)
            assert_allclose(slope, (up - down) / (2 * h), atol=1e-8)
    assert_allclose(THREE.partial(correlated), PARTIAL, rtol=1e-10)


def test_correlations_that_do_not_go_together_become_possible_ones():
    found = THREE.correlated(THREE.partial(np.array([0.9, 0.9, -0.9])))
    assert np.linalg.eigvalsh(matrix_of(THREE, found))[0] > -1e-9
    assert_allclose(found[:2], [0.9, 0.9])


def test_effects_are_drawn_with_the_covariance_asked_for():
    """40,000 patients: sample covariance within 4 standard errors."""
    values = {"omega_a": 0.5, "omega_b": 2.0, "omega_c": 1.0}
    correlation = THREE.correlated(PARTIAL[0])
    values |= dict(zip(THREE.correlations, correlation, strict=True))
    eta = THREE.sample(values, 40_000, np.random.default_rng(3))
    sd = np.array([0.5, 2.0, 1.0])
    expected = matrix_of(THREE, correlation) * np.outer(sd, sd)
    assert_allclose(THREE.covariance(values), expected, rtol=1e-10)
    got = np.cov([eta["a"], eta["b"], eta["c"]])
    assert (np.abs(got - expected) < 4 * np.outer(sd, sd) * np.sqrt(2 / 40_000)).all()


@pytest.mark.parametrize("eta", [0.7, 1.0, 2.0, 5.0])
def test_lkj_has_the_published_constant(eta):
    """The product of partial densities is det(R)^(eta-1) / c_d, for blocks of 2 to 4.

    c_d from Lewandowski, Kurowicka & Joe (2009), equation 16; the Jacobian of the partial
    correlations by differences.
    """
    rng = np.random.default_rng(8)
    for d in (2, 3, 4):
        names = tuple("abcd"[:d])
        effects = RandomEffects(names, names, (tuple(range(d)),))
        z = rng.uniform(-0.7, 0.7, len(effects.pairs))
        r = effects.correlated(z)
        k = np.arange(1, d)
        # ln c = sum (2 eta - 2 + d - k)(d - k) ln 2 + (d - k) ln B(eta + (d-k-1)/2, same)
        shape = eta + (d - k - 1) / 2
        constant = np.sum(
            (2 * eta - 2 + d - k) * (d - k) * np.log(2) + (d - k) * special.betaln(shape, shape)
        )
        expected = (eta - 1) * np.linalg.slogdet(matrix_of(effects, r))[1] - constant
        depth = [b for _, b in effects.pairs]
        priors = [fit.LKJ(eta, d, 1 + b) for b in depth]
        density = sum(
            stats.beta(p.partial_shape, p.partial_shape, -1, 2).logpdf(v)
            for p, v in zip(priors, z, strict=True)
        )
        h = 1e-6
        slopes = [(effects.partial(r + e) - effects.partial(r - e)) / (2 * h)
                  for e in h * np.eye(r.size)]  # fmt: skip
        density += np.linalg.slogdet(np.array(slopes))[1]
        assert_allclose(density, expected, atol=1e-6)


def test_lkj_equals_pymc():
    """PyMC's LKJCorr (6.4), a density of the Cholesky factor: dR / dL has ln size sum (3-i) L_ii."""
    import pymc as pm

    z = PARTIAL[0]
    factor = THREE.factor(z)
    log_diagonal = np.log(np.diag(factor))
    expected = float(pm.logp(pm.LKJCorr.dist(eta=2.0, n=3), factor).eval())
    expected -= np.array([2.0, 1.0, 0.0]) @ log_diagonal
    r = THREE.correlated(z)
    shapes = [2.5, 2.5, 2.0]
    density = sum(stats.beta(s, s, -1, 2).logpdf(v) for s, v in zip(shapes, z, strict=True))
    h = 1e-6
    slopes = [(THREE.partial(r + e) - THREE.partial(r - e)) / (2 * h) for e in h * np.eye(3)]
    assert_allclose(density + np.linalg.slogdet(np.array(slopes))[1], expected, atol=1e-6)


# --- marginal likelihood of a linear model: known exactly ----------------------------------


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    """30 patients with correlated level and rise (0.7), the last with two records only."""
    rng = np.random.default_rng(5)
    rows = ["ID,TIME,DV,AMT,EVID"]
    for i in range(30):
        rows.append(f"{i},0,.,1e6,1")
        u, v = rng.standard_normal(2)
        a, b = 40.0 + 5.0 * u, 3.0 + 0.6 * (0.7 * u + np.sqrt(0.51) * v)
        times = DAYS if i < 29 else DAYS[:2]
        noisy = a + b * times + 2.0 * rng.standard_normal(times.size)
        rows += [f"{i},{t},{y:.6f},.,0" for t, y in zip(times, noisy, strict=True)]
    return trial_of(tmp_path_factory.mktemp("line"), rows)


def ln_normal(y, mean, covariance):
    """ln density of a multivariate normal; as SciPy's, which takes ten times as long."""
    left = y - mean
    size = np.linalg.slogdet(covariance)[1] + y.size * np.log(2 * np.pi)
    return -0.5 * (left @ np.linalg.solve(covariance, left) + size)


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


class Decline3(models.ClosedFormModel):
    """Three parameters that act on ln of the level in curved ways."""

    endpoint = "transgene"
    c0 = models.Positive(300.0, "copies/µg", "level at 0", iiv=0.5)
    k = models.Positive(0.1, "1/day", "decline rate", iiv=0.3)
    share = models.Fraction(0.6, "1", "share that declines", iiv=0.4, spread=0.8)

    def log_level(self, t, p):
        return log(p.c0) + log(p.share * models.math.exp(-p.k * t) + 1 - p.share)


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


# --- occasions -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def occasions(tmp_path_factory):
    """12 patients with an infusion on days 0 and 30, the last one on day 0 only.

    On each occasion the level at 0 is the patient's own and one of the occasion.
    """
    rng = np.random.default_rng(11)
    rows = ["ID,TIME,DV,AMT,EVID,OCC"]
    for i in range(12):
        own = 40.0 + 4.0 * rng.standard_normal()
        b = 3.0 + 0.4 * rng.standard_normal()
        for o, begin in enumerate((0.0, 30.0) if i < 11 else (0.0,), 1):
            rows.append(f"{i},{begin},.,1e6,1,{o}")
            a = own + 3.0 * rng.standard_normal()
            y = a + b * DAYS + rng.standard_normal(DAYS.size)
            rows += [
                f"{i},{begin + t},{v:.6f},.,0,{o}" for t, v in zip(DAYS[1:], y[1:], strict=True)
            ]
    return trial_of(tmp_path_factory.mktemp("occasions"), rows)


def exact_occasions(design, x, carried):
    """-2 ln L at (a, b, ln omega_a, ln omega_b, ln omega_iov, ln sigma) by the normal's.

    The occasion acts on `a` of a line that begins anew, or on the rise of a stock that goes on.
    """
    omega = np.diag(np.exp(2 * x[2:4]))
    iov, sigma = np.exp(x[4]), np.exp(x[5])
    total = 0.0
    for i in range(design.n_patients):
        rows = design.patient == i
        t, y = design.time[rows], design.dv[rows]
        second = t >= 30.0
        if carried:
            since = t
            kappa = np.stack([np.minimum(t, 30.0), np.maximum(t - 30.0, 0.0)], axis=1)
        else:
            since = np.where(second, t - 30.0, t)
            kappa = np.stack([~second, second], axis=1).astype(float)
        g = np.stack([np.ones_like(t), since], axis=1)
        covariance = g @ omega @ g.T + iov**2 * kappa @ kappa.T + sigma**2 * np.eye(t.size)
        total -= 2.0 * ln_normal(y, g @ x[:2], covariance)
    return total


@pytest.mark.parametrize(("model", "varied"), [(Line(), "a"), (Stock(), "b")])
@pytest.mark.parametrize("method", ["foce", "laplace"])
def test_occasions_give_the_normal_marginal_likelihood(occasions, model, varied, method):
    """Closed form: anew with each infusion. Equations: what is there is carried over."""
    marginal = marginal_of(model, occasions, method, iiv=["a", "b"], iov=[varied])
    for x in ([40.0, 3.0, 1.5, -0.5, 0.7, 0.2], [45.0, 2.0, 0.5, 0.3, -0.5, 1.2]):
        found = marginal.evaluate(np.array(x), marginal.deviations_at_start())
        expected = exact_occasions(marginal.structure.design, np.array(x), varied == "b")
        assert_allclose(found.value.sum(), expected, atol=2e-6)


def test_estimates_with_occasions_are_the_exact_ones(occasions):
    population = fit.population(iiv=["a", "b"], error="additive", iov=["a"])
    found = fit.laplace(Line(), occasions, population)
    design = found.structure.design
    start = np.array([40.0, 3.0, 1.4, -1.0, 1.0, 0.0])
    best = optimize.minimize(
        lambda x: exact_occasions(design, x, False), start, method="BFGS", options={"gtol": 1e-5}
    )
    assert found.verdict.ok
    assert_allclose(found.ofv, best.fun, atol=1e-6)
    table = found.table()
    names = ["omega_a", "omega_b", "omega_iov_a", "sigma_add"]
    assert_allclose(table.loc[names, "estimate"], np.exp(best.x[2:]), rtol=2e-4)
    assert table.loc["omega_iov_a", "role"] == "iov"
    eta = found.individual_estimates()["eta"]
    # Expected deviations given the records, by the normal's formula, of the first patient.
    x = best.x
    rows = design.patient == 0
    t, y = design.time[rows], design.dv[rows]
    second = t >= 30.0
    g = np.stack([np.ones_like(t), t - 30.0 * second, ~second, second], axis=1).astype(float)
    omega = np.diag(np.exp(2 * x[[2, 3, 4, 4]]))
    covariance = g @ omega @ g.T + np.exp(2 * x[5]) * np.eye(t.size)
    expected = omega @ g.T @ np.linalg.solve(covariance, y - g[:, :2] @ x[:2])
    assert_allclose(eta.isel(id=0), expected, rtol=2e-3, atol=2e-3)
    assert list(eta["varying"].to_numpy()) == ["a", "b", "kappa_a_1", "kappa_a_2"]
    # The last patient has no second occasion, which counts in no shrinkage.
    apart = np.concatenate([eta.sel(varying="kappa_a_1"), eta.sel(varying="kappa_a_2")[:-1]])
    omega = table.loc["omega_iov_a", "estimate"]
    assert_allclose(
        table.loc["omega_iov_a", "shrinkage_sd"], 100 * (1 - apart.std(ddof=1) / omega), rtol=1e-6
    )


@pytest.fixture(scope="module")
def doses(tmp_path_factory):
    """Three patients, two endpoints: doses on days 0 and 20, and a third occasion without one."""
    rows = ["ID,TIME,DV,DVID,AMT,EVID,OCC"]
    for i in "abc":
        rows += [f"{i},0,.,dose,1e7,1,1", f"{i},1,270,transgene,.,0,1", f"{i},3,50,signal,.,0,1",
                 f"{i},12,90,transgene,.,0,1"]  # fmt: skip
        if i != "c":
            # A sample above the dose in the table was drawn before it.
            rows += [f"{i},20,40,transgene,.,0,1", f"{i},20,.,dose,2e7,1,2",
                     f"{i},21,500,transgene,.,0,2", f"{i},23,50,signal,.,0,2"]  # fmt: skip
        if i == "a":
            rows += [f"{i},41,90,transgene,.,0,3", f"{i},50,30,transgene,.,0,3"]
    path = tmp_path_factory.mktemp("doses") / "table.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return data.read_table(path, units={"signal": "copies/µg"}, echo=False)


TWINS = {
    "equations": (
        Signal(), ("kappa_v_2", "k"),
        {"iiv": ["v", "k"], "corr": "full", "iov": ["v", "base", "share"],
         "errors": {"signal": "additive"}},
    ),
    "closed form": (
        Decline3(), ("kappa_c0_1", "kappa_c0_2"), {"iiv": ["k", "c0"], "iov": ["c0", "share"]}
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=TWINS)
def twin(request, doses):
    model, centred, options = TWINS[request.param]
    records = design_for(model, doses, tuple(model.endpoints), iov=True)
    return Posterior(resolve(model, fit.population(**options), records), centred)


def test_posteriors_with_occasions_are_those_of_pymc(twin):
    """Density to 1e-8; gradient also to 1e-4 of the largest of central differences."""
    function, reference = twin.function(), ByPymc(twin.structure, twin.centred)
    for x in points(twin, 2):
        (value, gradient), (expected, slopes, _) = function(x), reference(x)
        assert_allclose(value, expected, rtol=1e-8)
        assert_allclose(gradient, slopes, rtol=1e-7, atol=1e-8)
        h = 1e-5
        steps = h * np.eye(x.size)
        differences = [(function(x + s)[0] - function(x - s)[0]) / (2 * h) for s in steps]
        assert_allclose(gradient, differences, rtol=1e-4, atol=1e-4 * np.abs(gradient).max())


def level_by_hand(name, p, kappa, day, endpoint, before, occasion):
    """The level of one patient at one record; `kappa[n][o]` moves parameter n on occasion o."""

    def at(n, o):
        move = kappa[n][o] if n in kappa else 0.0
        if n == "share":
            return special.expit(special.logit(p[n]) + move)
        return p[n] + move if n == "base" else p[n] * np.exp(move)

    if name == "closed form":
        since = day - (20.0 if occasion > 0 else 0.0)
        share = at("share", occasion)
        return at("c0", occasion) * (share * np.exp(-p["k"] * since) + 1 - share)
    # The initial base and the first dose are of the first occasion, the second dose of its own;
    # cells are carried over, and what dies on an occasion makes the signal of that occasion.
    alive, made, begin = 0.0, at("base", 0), 0.0
    for start, amount, o in ((0.0, 1e7, 0), (20.0, 2e7, 1), (41.0, 0.0, 2)):
        if o > 0 and (start > day or (start == day and before) or occasion < o):
            break
        died = alive * -np.expm1(-p["k"] * (start - begin))
        alive, made, begin = alive - died, made + at("share", max(o - 1, 0)) * died, start
        alive += amount * at("v", o)
    died = alive * -np.expm1(-p["k"] * (day - begin))
    return alive - died if endpoint == "transgene" else made + at("share", occasion) * died


def test_predictions_with_occasions_are_those_by_hand(twin):
    """Equations with carried-over cells to 1e-5, the closed form to rounding."""
    structure = twin.structure
    name = "closed form" if isinstance(structure.model, Decline3) else "equations"
    at = points(twin, 2)
    own = individual_draws(structure, twin.variables(at[None]))
    got = twin.function().predictions(at[None], 1)[0]
    again = record_predictions(structure, own)[0]
    design, labels = structure.design, ("1", "2", "3")
    begins = {(o.patient, o.label): o.time for o in design.occasions}
    for s in range(2):
        for n in range(design.n_obs):
            i, day = int(design.patient[n]), float(design.time[n])
            before = bool(design.before_dose[n])
            begun = [begins.get((i, o), np.inf) for o in labels]
            occasion = sum(b < day or (b == day and not before) for b in begun) - 1
            p = {k: float(v[0, s, i]) for k, v in own.data_vars.items()}
            kappa = {
                k: [p[f"kappa_{k}_{o}"] for o in labels] for k in structure.population.iov
            }
            endpoint = design.endpoints[design.measure[n]]
            level = level_by_hand(name, p, kappa, day, endpoint, before, max(occasion, 0))
            expected = np.log(level) if structure.log[design.measure[n]] else level
            assert_allclose(got[s, n], expected, rtol=1e-9 if name == "closed form" else 2e-5)
            assert_allclose(again[s, n], expected, rtol=1e-9 if name == "closed form" else 2e-5)


def test_a_model_with_occasions_can_be_pickled(twin):
    model = twin.structure.model
    again = pickle.loads(pickle.dumps(model))
    assert again == model
    assert type(again) is type(model)
    assert again.typical() == model.typical()


# --- Bayesian fits and what follows from them ----------------------------------------------


@pytest.fixture(scope="module")
def both(occasions):
    """Level and rise correlated, the level with occasions."""
    population = fit.population(
        iiv=["a", "b"], error="additive", corr="full", iov=["a"], priors={"corr": fit.LKJ(eta=1.5)}
    )
    return fit.bayes(Line(), occasions, population, draws=300, tune=400, chains=2, seed=1)


def test_the_specification_says_blocks_occasions_and_priors(both):
    assert both.structure.population.describe()["corr"] == [["a", "b"]]
    assert both.structure.population.describe()["iov"] == ["a"]
    words = both.sentence
    assert "varying between patients: a, b; correlated: a with b" in words
    assert "varying between occasions: a; priors changed: corr LKJ(eta=1.5)" in words
    quantity = both.structure.quantity("corr_a_b")
    assert (quantity.role, quantity.label) == (
        "correlation", "correlation of a and b (free scales)",
    )  # fmt: skip
    assert both.structure.quantity("omega_iov_a").label == "IOV of a (SD, identity scale)"


def test_the_table_has_correlations_beside_their_marginal_prior(both):
    """Of two effects the correlation is a Beta(eta, eta) on (-1, 1)."""
    row = both.table(prob=0.9).loc["corr_a_b"]
    expected = stats.beta(1.5, 1.5, -1, 2).ppf([0.5, 0.05, 0.95])
    assert_allclose(row[["prior_median", "prior_lower", "prior_upper"]].astype(float), expected,
                    atol=1e-12)  # fmt: skip
    assert -1 < row["lower"] < row["median"] < row["upper"] < 1
    assert row["rhat"] < 1.05
    assert both.posterior["corr_a_b"].attrs["role"] == "correlation"
    prior = both.prior_draws(4000)["corr_a_b"].to_numpy()
    assert stats.kstest(prior, stats.beta(1.5, 1.5, -1, 2).cdf).pvalue > 1e-4


def test_a_fit_with_blocks_and_occasions_comes_back_from_disk(both, tmp_path):
    again = fit.load(both.save(tmp_path / "fit.nc"), Line())
    assert again.structure.population == both.structure.population
    assert again.structure.random == both.structure.random
    assert again.structure.design.occasions == both.structure.design.occasions
    assert again.sentence == both.sentence
    assert again.posterior.identical(both.posterior)
    x = np.linspace(0.5, 1.5, 200).reshape(2, 100)
    values = {n: x[:, :12] for n in again.structure.model.estimated}
    from cart_pkpd._stats.predict import predict

    args = {"log": (False,)}
    one, other = (predict(r.structure.model, r.structure.design, values, **args)
                  for r in (again, both))  # fmt: skip
    assert_allclose(one, other)


def exact_marginal(structure, at):
    """ln likelihood of each patient with effects integrated out, by the normal's."""
    design = structure.design
    sd, r = np.array([at["omega_a"], at["omega_b"]]), at.get("corr_a_b", 0.0)
    omega = np.array([[1, r], [r, 1]]) * np.outer(sd, sd)
    out = []
    for i in range(design.n_patients):
        rows = design.patient == i
        t, y = design.time[rows], design.dv[rows]
        second = t >= 30.0
        g = np.stack([np.ones_like(t), t - 30.0 * second], axis=1)
        kappa = np.stack([~second, second], axis=1).astype(float)
        covariance = g @ omega @ g.T + at["omega_iov_a"] ** 2 * kappa @ kappa.T
        covariance += at["sigma_add"] ** 2 * np.eye(t.size)
        out.append(ln_normal(y, g @ [at["a"], at["b"]], covariance))
    return np.array(out)


def test_leaving_patients_out_integrates_all_effects(both):
    """Marginal log-likelihoods against the normal's, within 5 of their Monte-Carlo errors."""
    from cart_pkpd._checks.leave_out import thinned
    from cart_pkpd._checks.marginal import marginal, proposals, sampled

    few = sampled(thinned(both.draws(), 40))
    found = marginal(both.structure, few, proposals(both), n_samples=400, seed=2)
    names = [q.name for q in both.structure.quantities]
    for s in range(few.sizes["sample"]):
        at = {n: float(few[n][s]) for n in names}
        expected = exact_marginal(both.structure, at)
        assert (np.abs(found.loglik[s] - expected) < 5 * found.error[s] + 1e-6).all()
    assert np.median(found.ess) > 100
    loo = checks.leave_one_patient_out(both, n_draws=200)
    assert np.isfinite(loo["elpd"]).all()


def test_etas_have_occasions_and_correlations(both):
    """Shrinkage of a deviation on the second occasion counts the 11 patients who had it."""
    found = checks.etas(both)
    assert list(found["parameter"].to_numpy()) == ["a", "b", "kappa_a_1", "kappa_a_2"]
    own = found["mean"].sel(parameter="kappa_a_2").to_numpy()[:11]
    omega = float(both.draws()["omega_iov_a"].median())
    assert_allclose(found["shrinkage"].sel(parameter="kappa_a_2"), 1 - own.std(ddof=1) / omega)
    again = checks.shrinkage(both)["shrinkage"]
    assert_allclose(again, found["shrinkage"], rtol=1e-6)
    r = float(both.draws()["corr_a_b"].median())
    assert_allclose(found["correlation"].sel(parameter="a", other="b"), r)


def test_modes_are_those_of_the_normal(both):
    """Conditional expectations of all effects given the records, population at its medians."""
    from cart_pkpd._checks.modes import individual_modes, medians

    modes, at = individual_modes(both), {k: float(v) for k, v in medians(both).items()}
    design = both.structure.design
    r = at["corr_a_b"] * at["omega_a"] * at["omega_b"]
    omega = np.diag([at["omega_a"], at["omega_b"], at["omega_iov_a"], at["omega_iov_a"]]) ** 2
    omega[0, 1] = omega[1, 0] = r
    assert_allclose(modes.covariance, omega)
    for i in (0, 5, 11):
        rows = design.patient == i
        t, y = design.time[rows], design.dv[rows]
        second = t >= 30.0
        g = np.stack([np.ones_like(t), t - 30 * second, ~second, second], axis=1).astype(float)
        covariance = g @ omega @ g.T + at["sigma_add"] ** 2 * np.eye(t.size)
        expected = omega @ g.T @ np.linalg.solve(covariance, y - g[:, :2] @ [at["a"], at["b"]])
        assert_allclose(modes.eta[i], expected, atol=2e-3)


def test_simulated_trials_have_the_covariance_of_the_population(both):
    """Records of one patient at one draw: sample covariance of 4000 simulations within 5 SE."""
    from dataclasses import replace

    from cart_pkpd._checks.simulation import simulated_trials

    one = {n: float(v.median()) for n, v in both.draws().data_vars.items()}
    draws = both.tree["posterior"].to_dataset()
    tree = both.tree.copy()
    tree["posterior"] = tree["posterior"].to_dataset().assign(
        {n: draws[n] * 0 + v for n, v in one.items()}
    )  # fmt: skip
    fixed = replace(both, tree=tree)
    dv = simulated_trials(fixed, both.structure.design.only(None), 4000, 3)
    rows = np.flatnonzero(both.structure.design.patient == 0)[[0, 4, 5, 9]]
    t = both.structure.design.time[rows]
    second = t >= 30.0
    g = np.stack([np.ones_like(t), t - 30.0 * second], axis=1)
    kappa = np.stack([~second, second], axis=1).astype(float)
    r = one["corr_a_b"] * one["omega_a"] * one["omega_b"]
    omega = np.array([[one["omega_a"] ** 2, r], [r, one["omega_b"] ** 2]])
    expected = g @ omega @ g.T + one["omega_iov_a"] ** 2 * kappa @ kappa.T
    expected += one["sigma_add"] ** 2 * np.eye(4)
    size = np.sqrt(np.diag(expected))
    assert_allclose(dv[:, rows].mean(axis=0), g @ [one["a"], one["b"]], atol=5 * size.max() / 63)
    got = np.cov(dv[:, rows].T)
    assert (np.abs(got - expected) < 5 * np.outer(size, size) * np.sqrt(2 / 4000)).all()


def test_other_checks_take_such_a_fit(both):
    found = checks.vpc(both, n_sims=50)
    assert int(found["n"].sum()) == both.structure.design.n_obs
    curves = checks.predictions(both, n_draws=50)
    assert np.isfinite(curves["median"]).all()
    assert np.isfinite(checks.exposure(both, lloq=1.0, n_draws=50)["auc0_28"]).all()
    found = checks.residuals(both, n_draws=50, n_sims=100)
    assert np.isfinite(found["cwres"]).all()
    assert 0.7 < float(found["sd"].sel(residual="cwres")) < 1.3


def test_checks_take_marginal_likelihood_fits_with_blocks_and_occasions(occasions):
    population = fit.population(iiv=["a", "b"], error="additive", corr="full", iov=["a"])
    found = fit.laplace(Line(), occasions, population, starts=1)
    assert found.verdict.ok
    assert set(found.posterior) >= {"corr_a_b", "omega_iov_a", "kappa_a_1_i"}
    assert np.isfinite(checks.predictions(found, n_draws=50)["median"]).all()
    assert np.isfinite(checks.etas(found)["shrinkage"]).all()
    table = found.table()
    assert (table.loc["corr_a_b", ["lower", "upper"]].abs() <= 1).all()


# --- refusals ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"iiv": ["a"], "corr": "full"}, "a block needs two parameters or more"),
        ({"iiv": ["a", "b"], "corr": "all"}, "'all' is not known; give 'full', or blocks"),
        ({"iiv": ["a", "b"], "corr": ["a", "b"]}, "'a' is one name; give blocks of names"),
        ({"iiv": ["a", "b"], "corr": [["a", "c"]]}, "'c' does not vary between patients"),
        ({"iiv": ["a", "b"], "corr": [["a", "a"]]}, "a block names 'a' twice"),
        ({"iiv": list("abc"), "corr": [["a", "b"], ["b", "c"]]}, "'b' is in two blocks"),
        (
            {"iiv": ["a", "b"], "corr": "full", "non_expanders": "a"},
            "'a' has the mixture of non-expanders, which is not normal",
        ),
        ({"iov": ["a", "a"]}, "iov names a parameter twice"),
    ],
)
def test_specifications_that_make_no_sense_are_refused(options, words):
    with pytest.raises(FitError, match=words):
        fit.population(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"iiv": ["a", "b"], "corr": "full", "priors": {"corr": fit.Beta(2, 2)}}, "need an LKJ"),
        ({"iiv": ["a", "b"], "priors": {"corr": fit.LKJ(2)}}, "no quantity 'corr' in this fit"),
        ({"iov": ["c"]}, "iov: the model has no parameter 'c'"),
        ({"iiv": ["a"], "priors": {"omega_a": fit.LKJ(2)}}, "omega_a is above 0"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(occasions, options, words):
    with pytest.raises(FitError, match=words):
        structure_of(Line(), occasions, **options)


def test_priors_of_two_pairs_of_a_block_must_agree(occasions):
    options = {"iiv": ["c0", "k", "share"], "corr": "full"}
    records = design_for(Decline3(), occasions, "transgene")
    priors = {"corr_c0_k": fit.LKJ(2), "corr_k_share": fit.LKJ(3)}
    with pytest.raises(FitError, match="are of one block, whose correlations have one prior"):
        resolve(Decline3(), fit.population(**options, priors=priors), records)
    priors["corr_k_share"] = fit.LKJ(2)
    structure = resolve(Decline3(), fit.population(**options, priors=priors), records)
    found = {q.name: q.prior for q in structure.of_role("correlation")}
    assert found == {
        "corr_c0_k": fit.LKJ(2, 3, 1), "corr_c0_share": fit.LKJ(2, 3, 1),
        "corr_k_share": fit.LKJ(2, 3, 2),
    }  # fmt: skip


def test_one_occasion_cannot_vary(line):
    with pytest.raises(FitError, match="of one occasion only"):
        structure_of(Line(), line, iiv=["a"], iov=["a"])


def test_infusions_tell_occasions_apart_where_the_table_does_not(tmp_path):
    rows = ["ID,TIME,DV,AMT,EVID", "1,0,.,1e6,1", "1,2,40,.,0", "1,30,.,1e6,1", "1,33,50,.,0"]
    rows += ["2,0,.,1e6,1", "2,2,40,.,0", "2,3,.,1e6,1", "2,9,41,.,0"]
    found = structure_of(Line(), trial_of(tmp_path, rows), iiv=["b"], iov=["a"])
    begins = [(o.patient, o.time, o.label, o.infusion) for o in found.design.occasions]
    # Doses within a week are fractions of one infusion.
    assert begins == [(0, 0.0, "1", 0.0), (0, 30.0, "2", 30.0), (1, 0.0, "1", 0.0)]
    assert found.random.names == ("b", "kappa_a_1", "kappa_a_2")


def test_a_closed_form_describes_one_infusion_per_occasion(tmp_path):
    rows = ["ID,TIME,DV,AMT,EVID,OCC", "1,0,.,1e6,1,1", "1,2,40,.,0,1", "1,30,.,1e6,1,1",
            "1,33,50,.,0,1", "1,50,60,.,0,2"]  # fmt: skip
    with pytest.raises(FitError, match="patient '1' had another infusion at day 30 within"):
        structure_of(Line(), trial_of(tmp_path, rows), iov=["a"])


def test_occasions_must_be_in_order_for_a_closed_form(tmp_path):
    rows = ["ID,TIME,DV,AMT,EVID,OCC", "1,0,.,1e6,1,2", "1,2,40,.,0,2", "1,33,50,.,0,1"]
    structure = structure_of(Line(), trial_of(tmp_path, rows), iov=["a"])
    with pytest.raises(ModelError, match="occasions of patient '1' are not in the order of time"):
        starting_values_of(structure)


def starting_values_of(structure):
    from cart_pkpd._stats.compiled import plan_of

    return plan_of(structure)


def test_a_parameter_that_moves_a_switch_of_equations_has_no_occasions(occasions):
    class Turning(Stock):
        turn = models.Positive(5.0, "day", "end of the rise")

        def rhs(self, t, y, p):
            return {"level": models.math.where(t < p.turn, p.b, 0.0)}

        def switches(self, p):
            return (p.turn,)

    with pytest.raises(ModelError, match="'turn' moves a switch of Turning"):
        structure_of(Turning(), occasions, iiv=["a"], iov=["turn"])
    assert structure_of(Turning(), occasions, iiv=["a"], iov=["b"]).random.size == 3


# --- recovery ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_correlation_is_found_again(tmp_path, seed):
    """60 simulated patients with correlation 0.7: within its 99 % interval, both ways of fit."""
    rng = np.random.default_rng(seed)
    rows = ["ID,TIME,DV,AMT,EVID"]
    for i in range(60):
        rows.append(f"{i},0,.,1e6,1")
        u, v = rng.standard_normal(2)
        c0 = 300 * np.exp(0.5 * u)
        k = 0.1 * np.exp(0.3 * (0.7 * u + np.sqrt(0.51) * v))
        times = np.array([0.5, 2.0, 5.0, 9.0, 14.0, 21.0])
        y = c0 * np.exp(-k * times + 0.2 * rng.standard_normal(times.size))
        rows += [f"{i},{t},{w:.6f},.,0" for t, w in zip(times, y, strict=True)]

    class Decline(models.ClosedFormModel):
        c0 = models.Positive(300.0, "copies/µg", "level at 0", iiv=0.5)
        k = models.Positive(0.1, "1/day", "decline rate", iiv=0.3)

        def log_level(self, t, p):
            return log(p.c0) - p.k * t

    trial = trial_of(tmp_path, rows)
    population = fit.population(iiv=["c0", "k"], corr="full")
    found = fit.bayes(Decline(), trial, population, seed=seed, draws=600, tune=600, chains=2)
    low, high = found.draws()["corr_c0_k"].quantile([0.005, 0.995])
    assert low < 0.7 < high
    row = fit.laplace(Decline(), trial, population).table(prob=0.99).loc["corr_c0_k"]
    assert row["lower"] < 0.7 < row["upper"]
    assert row["upper"] - row["lower"] < 0.6
