"""Correlated random effects: their distribution, priors, fits and refusals."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from random_effects_inputs import (
    Decline3,
    Line,
    Stock,
    correlated_lines,
    ln_normal,
    structure_of,
    trial_of,
    two_occasions,
)
from scipy import special, stats

from cart_pkpd import checks, fit, models
from cart_pkpd._core.errors import FitError, ModelError
from cart_pkpd._stats.design import design_for
from cart_pkpd._stats.population import resolve
from cart_pkpd._stats.random_effects import RandomEffects
from cart_pkpd.models.math import log


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    return correlated_lines(tmp_path_factory.mktemp("line"))


@pytest.fixture(scope="module")
def occasions(tmp_path_factory):
    return two_occasions(tmp_path_factory.mktemp("occasions"))


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
    """PyMC's LKJCorr (6.4), a density of the factor L: ln |dR / dL| is sum (3 - i) ln L_ii."""
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
        (
            {"iiv": ["a", "b"], "priors": {"corr": fit.LKJ(2)}},
            "is of correlations, and this population has none",
        ),
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
