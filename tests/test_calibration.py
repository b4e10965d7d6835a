"""Simulation-based calibration: exact samplers pass, wrong ones do not, nothing is dropped."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from arviz_stats.ecdf_utils import simulate_confidence_bands
from diagnostics_inputs import VERDICT, Line
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from cart_pkpd import checks, fit, models, plots
from cart_pkpd._checks.prior_trials import prior_trial, with_limits
from cart_pkpd._checks.sbc import calibrated
from cart_pkpd._checks.sbc_ranks import rank_of, thinned
from cart_pkpd._checks.uniform import Walk, holm
from cart_pkpd._core.errors import DataError, FitError, ModelError
from cart_pkpd._fit.result import FitResult
from cart_pkpd._stats.design import ABOVE, BELOW, BETWEEN, QUANTIFIED, design_for
from cart_pkpd._stats.population import resolve

SIGMA, PRIOR_SD = 0.5, 0.8


# --- bands and p-values ---------------------------------------------------------------------


def test_p_values_are_exact_by_counting_every_outcome():
    """All 5³ outcomes of three ranks of five values: p is the share at least as far out."""
    walk = Walk(3, 5)
    outcomes = [np.array(o) for o in itertools.product(range(5), repeat=3)]
    statistic = np.array([walk.statistic(o) for o in outcomes])
    for o, s in zip(outcomes, statistic, strict=True):
        assert_allclose(walk.p_value(o), np.mean(statistic <= s * (1 + 1e-12)), atol=1e-12)


def test_the_statistic_is_the_smallest_binomial_tail():
    seen = np.array([0, 0, 1, 3, 3, 3, 7])
    walk = Walk(seen.size, 8)
    tails = []
    for below in range(1, 8):
        count, z = int((seen < below).sum()), below / 8
        sides = [stats.binom.cdf(count, 7, z), stats.binom.sf(count - 1, 7, z)]
        tails.append(min(1.0, 2 * min(sides)))
    assert_allclose(walk.statistic(seen), min(tails), rtol=1e-12)


@pytest.mark.parametrize(("n", "ranks"), [(50, 100), (200, 100), (100, 20)])
def test_the_band_holds_uniform_ecdfs_as_often_as_it_says(n, ranks):
    """Monte Carlo over 3000 sets of ranks: 3 binomial standard errors are 0.012 at 0.95.

    Counts are whole, so the band holds at least the probability, and at small n some more.
    """
    walk, rng = Walk(n, ranks), np.random.default_rng(5)
    lower, upper = walk.band(0.95)
    inside = 0
    for _ in range(3000):
        ecdf = walk.counts(rng.integers(ranks, size=n)) / n
        inside += bool(((ecdf >= lower - 1e-12) & (ecdf <= upper + 1e-12)).all())
    assert 0.936 < inside / 3000 < 0.975


def test_the_level_agrees_with_arviz():
    """ArviZ 1.3 finds it by simulation: simulate_confidence_bands(250, 1, k/100, 0.95, 2000)."""
    walk = Walk(250, 100)
    rng = np.random.default_rng(3)
    simulated = 1.0 - simulate_confidence_bands(250, 1, walk.points, 0.95, 2000, rng)
    # The standard error of a 5 % quantile of 2000 is about 10 % of it here.
    assert_allclose(walk.level(0.95), simulated, rtol=0.25)


def test_band_and_p_value_agree():
    walk, rng = Walk(60, 40), np.random.default_rng(8)
    lower, upper = walk.band(0.9)
    for _ in range(200):
        seen = np.minimum(rng.integers(40, size=60), rng.integers(55, size=60))
        ecdf = walk.counts(seen) / 60
        inside = ((ecdf >= lower - 1e-12) & (ecdf <= upper + 1e-12)).all()
        assert inside == (walk.p_value(seen) > 0.1)


def test_many_ranks_are_looked_at_in_at_most_a_hundred_points():
    walk = Walk(30, 1000)
    assert walk.cuts.size == 100
    assert (np.diff(walk.cuts) > 0).all()
    assert walk.cuts[0] > 0
    assert walk.cuts[-1] < 1000


def test_holm_multiplies_by_the_number_of_those_left():
    """Holm's own procedure by hand: 0.01·3, max(0.03, 0.02·2), max(0.04, 0.5)."""
    adjusted = holm(np.array([0.5, 0.01, np.nan, 0.02]))
    assert_allclose(adjusted, [0.5, 0.03, np.nan, 0.04])


# --- trials from the priors -----------------------------------------------------------------


def structure(patients=4, lloq=None, uloq=None, sigma=SIGMA):
    """Return a line whose level at 0 alone is not known."""
    priors = {
        "c0": {"kind": "lognormal", "median": 100.0, "sigma": PRIOR_SD},
        "k": {"kind": "normal", "mu": 0.1, "sigma": 1e-9},
        "sigma_log": {"kind": "lognormal", "median": sigma, "sigma": 1e-9},
    }
    model = Line()
    trial = checks.planned_trial(model, patients, [0, 2, 5, 9], lloq=lloq, uloq=uloq)
    pop = fit.population(priors=priors)
    return resolve(model, pop, design_for(model, trial, "transgene"))


def test_simulated_records_have_the_moments_of_priors_and_error():
    """ln y of day 0 is normal with mean ln 100, variance 0.8² + 0.5²; 500 trials × 4 patients."""
    s, rng = structure(), np.random.default_rng(1)
    trials = [prior_trial(s, rng) for _ in range(500)]
    first = np.array([np.log(t.structure.design.dv[t.structure.design.time == 0]) for t in trials])
    assert_allclose(first.mean(), np.log(100), atol=4 * 0.8 / np.sqrt(500))
    assert_allclose(first.var(axis=1, ddof=1).mean(), SIGMA**2, rtol=0.15)
    assert_allclose(first.mean(axis=1).var(ddof=1), 0.8**2 + SIGMA**2 / 4, rtol=0.25)


def test_the_log_likelihood_at_the_truth_is_that_of_the_records():
    s = structure(lloq=90.0)
    t = prior_trial(s, np.random.default_rng(6))
    d, c0 = t.structure.design, t.quantities["c0"]
    z = (np.log(d.dv) - (np.log(c0) - t.quantities["k"] * d.time)) / t.quantities["sigma_log"]
    exact = stats.norm.logpdf(z) - np.log(t.quantities["sigma_log"] * d.dv)
    by_hand = np.where(d.code == BELOW, stats.norm.logcdf(z), exact)
    assert (d.code == BELOW).any()
    assert (d.code == QUANTIFIED).any()
    assert_allclose(t.log_likelihood, by_hand.sum(), rtol=1e-10)


def test_records_are_censored_at_their_own_limits():
    s = structure(lloq=60.0, uloq=90.0)
    d = with_limits(s.design, np.linspace(50, 100, s.design.n_obs))
    level = np.linspace(50, 100, s.design.n_obs)
    assert_array_equal(d.code == BELOW, level < 60)
    assert_array_equal(d.code == ABOVE, level > 90)
    assert_array_equal(d.dv[d.code == BELOW], 60.0)
    assert_array_equal(d.dv[d.code == ABOVE], 90.0)
    assert_array_equal(d.dv[d.code == QUANTIFIED], level[d.code == QUANTIFIED])


def test_an_interval_stays_an_interval_for_what_falls_into_it():
    s = structure(patients=1)
    code, low = np.array([BETWEEN] * 3 + [0]), np.array([10.0] * 3 + [np.nan])
    template = replace(s.design, code=code, low=low, dv=np.full(4, 20.0))
    d = with_limits(template, np.array([5.0, 15.0, 25.0, 5.0]))
    assert_array_equal(d.code, [BELOW, BETWEEN, QUANTIFIED, QUANTIFIED])
    assert_array_equal(d.dv, [10.0, 20.0, 25.0, 5.0])
    assert_array_equal(d.low, [np.nan, 10.0, np.nan, np.nan])


def test_a_planned_trial_has_typical_levels_limits_doses_and_covariates():
    subjects = pd.DataFrame({"age": [30.0, 40.0, 50.0]})
    t = checks.planned_trial(Line(), 3, [0, 5, 30], lloq=50, doses=1e7, subjects=subjects)
    assert t.sizes["id"] == 3
    assert_allclose(t["dv"].to_numpy(), np.tile([100.0, 100 * np.exp(-0.5), 50.0], 3))
    assert_array_equal(t["censoring"].to_numpy(), np.tile(["none", "none", "left"], 3))
    assert_array_equal(t["amount"].to_numpy(), [1e7] * 3)
    assert_array_equal(t["age"].to_numpy(), [30, 40, 50])


def test_a_planned_trial_by_endpoint_has_times_of_its_own():
    model = models.get("stein2019") + models.cytokines(["il6"])
    t = checks.planned_trial(model, 2, {"transgene": [7, 14], "il6": [3, 7, 10]})
    count = dict(zip(*np.unique(t["endpoint"].to_numpy(), return_counts=True), strict=True))
    assert count == {"transgene": 4, "il6": 6}


def test_a_planned_trial_refuses_what_does_not_fit():
    with pytest.raises(ModelError, match="one dose above 0, or one for each of 3"):
        checks.planned_trial("effector_memory", 3, [0, 7], doses=[1e6, 1e7])
    with pytest.raises(ModelError, match="2 rows for 3 patients"):
        checks.planned_trial(Line(), 3, [0, 7], subjects=pd.DataFrame({"age": [1, 2]}))
    with pytest.raises(ModelError, match="unknown endpoint"):
        checks.planned_trial(Line(), 3, {"il6": [0, 7]})


def test_correlated_deviations_are_drawn_and_ranked_as_such():
    """Between −1 and 1, with a spread; the prior itself is tested with the priors."""
    model = models.get("stein2019")
    plan = checks.planned_trial(model, 3, [5, 9, 14])
    s = fit.structure(model, plan, fit.population(iiv=["cmax", "tmax"], corr="full"))
    (name,) = s.random.correlations
    rng = np.random.default_rng(2)
    drawn = np.array([prior_trial(s, rng).quantities[name] for _ in range(60)])
    assert (np.abs(drawn) < 1).all()
    assert 0.15 < drawn.std() < 0.9


def test_a_treatment_of_censored_records_that_is_no_likelihood_is_refused():
    plan = checks.planned_trial("stein2019", 2, [5, 9, 14], lloq=50)
    with pytest.raises(FitError, match="censoring='m5' is known to be wrong"):
        checks.sbc("stein2019", plan, fit.population(censoring="m5"), simulations=1)


# --- ranks ----------------------------------------------------------------------------------


def conjugate(prior_sd=PRIOR_SD, sigma=SIGMA, ok=True, data=True):
    """Return an exact sampler of ln c0: normal prior, normal likelihood, all else known."""

    def sampler(s, seed, longer):
        rng, d = np.random.default_rng(seed), s.design
        y = np.log(d.dv) + 0.1 * d.time
        known = y.size / sigma**2 if data else 0.0
        precision = prior_sd**-2 + known
        mean = (np.log(100.0) * prior_sd**-2 + y.mean() * known) / precision
        ln_c0 = mean + rng.standard_normal((2, 100 * longer)) / np.sqrt(precision)
        return fitted(s, ln_c0, rng, sigma, ok)

    return sampler


def fitted(s, ln_c0, rng, sigma=SIGMA, ok=True):
    d, dims = s.design, ("chain", "draw")
    sigmas = sigma * np.exp(1e-9 * rng.standard_normal(ln_c0.shape))
    k = 0.1 + 1e-9 * rng.standard_normal(ln_c0.shape)
    z = (np.log(d.dv) - ln_c0[..., None] + k[..., None] * d.time) / sigmas[..., None]
    loglik = stats.norm.logpdf(z) - np.log(sigmas[..., None] * d.dv)
    posterior = {"c0": (dims, np.exp(ln_c0)), "k": (dims, k), "sigma_log": (dims, sigmas)}
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(posterior),
            "log_likelihood": xr.Dataset({"transgene": ((*dims, "obs"), loglik)}),
        }
    )
    verdict = VERDICT if ok else type(VERDICT)(False, "Not.", 1.2, "c0", 9, 9, 0, 1.0, 0.0)
    return FitResult("known", s, tree, verdict, {})


def run(sampler, n=150, patients=4, sigma=SIGMA, **more):
    settings = {"simulations": n, "ranks": 50, "seed": 11, "settings": {}} | more
    return calibrated(structure(patients, sigma=sigma), sampler, **settings)


def test_an_exact_sampler_gives_uniform_ranks():
    found = run(conjugate())
    assert json.loads(found.attrs["counts"]) == {"converged": 150, "unconverged": 0, "failed": 0}
    assert float(found["p_adjusted"].min()) > 0.05
    assert "agree with uniform ones" in found.attrs["sentence"]
    assert_allclose(found["dispersion"].sel(quantity="c0"), 1.0, atol=4 * np.sqrt(0.8 / 150))
    # 16 records of SD 0.5 leave 1 / (1 + 16 · 0.8² / 0.5²) of the variance of ln c0.
    assert float(found["contraction"].sel(quantity="c0")) > 0.9
    assert np.isnan(found["contraction"].sel(quantity="log_likelihood"))


def test_a_sampler_with_the_prior_sd_doubled_is_caught():
    """One patient, residual SD 4: the posterior SD of ln c0 is 1.25 instead of 0.74."""
    weak = {"patients": 1, "sigma": 4.0}
    right = run(conjugate(sigma=4.0), **weak)
    wrong = run(conjugate(2 * PRIOR_SD, sigma=4.0), **weak)
    assert float(right["p_value"].sel(quantity="c0")) > 0.05
    assert float(wrong["p_value"].sel(quantity="c0")) < 0.01
    assert "not uniform for c0" in wrong.attrs["sentence"]
    assert float(wrong["dispersion"].sel(quantity="c0")) < 0.8  # too wide: ranks in the middle


def test_the_log_likelihood_catches_a_sampler_that_returns_the_prior():
    """Modrák 2023: parameters alone cannot, because their ranks are uniform."""
    found = run(conjugate(data=False), n=60)
    assert float(found["p_value"].sel(quantity="c0")) > 0.05
    assert float(found["p_value"].sel(quantity="log_likelihood")) < 1e-6


def test_fits_that_fail_or_do_not_converge_are_kept_apart_with_their_reason():
    count = iter(range(10_000))

    def sampler(s, seed, longer):
        i = next(count)
        if i % 4 == 1:
            raise FitError("the sampler stopped: no reason.")
        return conjugate(ok=i % 4 != 2)(s, seed, longer)

    found = run(sampler, n=40)
    assert json.loads(found.attrs["counts"]) == {"converged": 20, "unconverged": 10, "failed": 10}
    status, reason = found["status"].to_numpy(), found["reason"].to_numpy()
    assert set(reason[status == "failed"]) == {"the sampler stopped: no reason."}
    assert set(reason[status == "unconverged"]) == {"Not."}
    assert set(reason[status == "converged"]) == {""}
    rank = found["rank"].to_numpy()
    assert np.isnan(rank[status == "failed"]).all()
    assert np.isfinite(rank[status != "failed"]).all()
    assert "(10 did not, 10 failed)" in found.attrs["sentence"]


def test_nothing_is_said_where_no_fit_converged():
    found = run(conjugate(ok=False), n=3)
    assert found.attrs["sentence"].endswith("nothing can be said of calibration.")
    assert np.isnan(found["p_value"]).all()
    with pytest.raises(DataError, match="nothing to draw"):
        plots.sbc(found)


def test_a_fit_that_did_not_converge_is_repeated_with_longer_chains():
    lengths = []

    def sampler(s, seed, longer):
        lengths.append(longer)
        return conjugate(ok=longer == 4)(s, seed, longer)

    found = run(sampler, n=1, retries=3)
    assert lengths == [1, 2, 4]
    assert int(found["tries"][0]) == 3
    assert str(found["status"][0].item()) == "converged"


def test_draws_that_depend_on_each_other_are_not_ranked_among():
    def sampler(s, seed, longer):
        rng = np.random.default_rng(seed)
        return fitted(s, rng.standard_normal((2, 2)).repeat(50, axis=1), rng)

    found = run(sampler, n=2)
    assert (found["status"] == "unconverged").all()
    assert "effective sample size of c0" in str(found["reason"][0].item())


def test_priors_without_a_finite_level_are_told():
    s = structure()
    wide = {"c0": {"kind": "lognormal", "median": 100, "sigma": 2000}}
    s = resolve(s.model, fit.population(priors=wide), s.design)
    found = calibrated(s, conjugate(), simulations=4, ranks=50, seed=1, settings={})
    failed = found["reason"].to_numpy()[found["status"].to_numpy() == "failed"]
    assert failed.size
    assert all("narrow the priors" in r or "has no logarithm" in r for r in failed)


def test_finished_simulations_are_found_again(tmp_path):
    calls = []

    def sampler(s, seed, longer):
        calls.append(seed)
        return conjugate()(s, seed, longer)

    first = run(sampler, n=5, resume=tmp_path)
    again = run(sampler, n=8, resume=tmp_path)
    assert len(calls) == 8
    whole = run(conjugate(), n=8)
    assert_array_equal(again["rank"].to_numpy(), whole["rank"].to_numpy())
    assert_array_equal(first["rank"].to_numpy(), whole["rank"].to_numpy()[:5])


def test_an_unconverged_simulation_is_tried_again_where_more_tries_are_allowed(tmp_path):
    run(conjugate(ok=False), n=2, resume=tmp_path)
    assert (run(conjugate(), n=2, resume=tmp_path)["status"] == "unconverged").all()
    assert (run(conjugate(), n=2, resume=tmp_path, retries=1)["status"] == "converged").all()


def test_simulations_of_another_seed_or_half_a_file_are_refused(tmp_path):
    run(conjugate(), n=2, resume=tmp_path)
    with pytest.raises(FitError, match="another model, design, prior, setting or seed"):
        run(conjugate(), n=2, resume=tmp_path, seed=12)
    path = sorted(tmp_path.glob("simulation_*.json"))[0]
    path.write_text(path.read_text(encoding="utf-8")[:50], encoding="utf-8")
    with pytest.raises(FitError, match="is damaged; remove it"):
        run(conjugate(), n=2, resume=tmp_path)


def test_a_rank_is_the_number_of_draws_below_and_ties_are_broken_at_random():
    rng = np.random.default_rng(2)
    assert rank_of(2.5, np.array([1.0, 2.0, 3.0]), rng) == 2
    ties = [rank_of(1.0, np.array([0.0, 1.0, 1.0, 2.0]), rng) for _ in range(300)]
    assert set(ties) == {1, 2, 3}


def test_thinning_takes_draws_of_all_chains_at_equal_distances():
    draws = xr.Dataset({"a": (("chain", "draw"), np.arange(20.0).reshape(2, 10))})
    assert_array_equal(thinned(draws, 5)["a"].to_numpy(), [0, 4, 8, 12, 16])
    with pytest.raises(FitError, match="cannot be thinned"):
        thinned(draws, 21)


# --- the picture ----------------------------------------------------------------------------


def test_the_picture_has_a_curve_and_a_band_per_quantity():
    found = run(conjugate(), n=60)
    figure = plots.sbc(found)
    assert len(figure.axes) == found.sizes["quantity"]
    walk = Walk(60, 50)
    (curve,) = [line for line in figure.axes[0].lines if line.get_label() == "ecdf"]
    rank = found["rank"].sel(quantity="c0").to_numpy()
    by_hand = [np.mean(rank < cut) - cut / 50 for cut in walk.cuts]
    assert_allclose(curve.get_ydata()[1:-1], by_hand, atol=1e-12)
    assert_allclose(curve.get_xdata()[1:-1], walk.cuts / 50)
    one = plots.sbc(found, ["c0"])
    assert len(one.axes) == 1
    with pytest.raises(DataError, match="unknown quantity"):
        plots.sbc(found, ["c1"])


# --- real fits ------------------------------------------------------------------------------


def tiny(**more):
    plan = checks.planned_trial("stein2019", 4, [5, 9, 14, 28], lloq=50)
    model = models.get("stein2019").with_(
        cmax={"spread": 0.3}, tmax=models.Fixed(9.3), rho=models.Fixed(0.889),
        alpha={"spread": 0.3}, fb=models.Fixed(0.0079), beta=models.Fixed(0.0032),
    )  # fmt: skip
    pop = fit.population(
        iiv=["cmax"],
        priors={
            "omega_cmax": {"kind": "lognormal", "median": 0.5, "sigma": 0.2},
            "sigma_log": {"kind": "lognormal", "median": 0.4, "sigma": 0.2},
        },
    )
    return checks.sbc(model, plan, pop, **{"seed": 3, "cores": 1} | more)


def test_ranks_of_real_fits(tmp_path):
    heard = []
    settings = {"draws": 200, "tune": 200, "chains": 4, "retries": 0}
    found = tiny(simulations=2, progress=heard.append, resume=tmp_path, **settings)
    assert [(h.stage, h.done, h.total) for h in heard] == [
        ("simulations", 1, 2), ("simulations", 2, 2)
    ]  # fmt: skip
    assert list(found["quantity"].to_numpy()) == [
        "cmax", "alpha", "omega_cmax", "sigma_log", "cmax_i", "log_likelihood"
    ]  # fmt: skip
    rank = found["rank"].to_numpy()
    assert ((rank >= 0) & (rank < 100)).all()
    assert len(list(tmp_path.glob("simulation_*.json"))) == 2


def test_more_ranks_than_draws_are_refused():
    with pytest.raises(FitError, match="from 2 to draws × chains"):
        tiny(simulations=1, draws=10, chains=2, ranks=100)


@pytest.mark.slow
def test_ranks_of_real_fits_are_uniform():
    """60 trials: about two minutes."""
    found = tiny(simulations=60, draws=500, tune=500, chains=4, cores=None)
    assert json.loads(found.attrs["counts"])["converged"] >= 55
    assert float(found["p_adjusted"].min()) > 0.05
