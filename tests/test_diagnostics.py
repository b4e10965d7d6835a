"""Residuals, deviations, predictive checks: closed forms, hand calculations, exact properties.

Fits are made without sampling from a posterior that is known, so what is expected is known too.
"""

import dataclasses
import importlib

import numpy as np
import pytest
from diagnostics_inputs import known, simulated_line, trial
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from scipy.optimize import minimize
from scipy.special import ndtr, ndtri

from cart_pkpd import checks
from cart_pkpd._checks.modes import individual_modes
from cart_pkpd._checks.prediction_errors import prediction_errors
from cart_pkpd._checks.reference import (
    count_band,
    ordered_band,
    quantile_band,
    running_quantiles,
)
from cart_pkpd._core.errors import FitError
from cart_pkpd._stats.error import STUDENT_T4

TRUTH = {"c0": 100.0, "k": 0.1, "omega_c0": 0.6, "omega_k": 0.03, "sigma_log": 0.4}
BOTH = {"iiv": ["c0", "k"]}


def sampled(lloq_share: float, seed: int, k: int = 150, values=TRUTH):
    """Return the fit of a simulated trial, a share of it below the LLOQ, that knows `values`."""
    rng = np.random.default_rng(seed)
    level = simulated_line(rng, k, omega_c0=0.6, omega_k=0.03, sigma=0.4)
    lloq = float(np.quantile(level, lloq_share)) if lloq_share else None
    return known(trial(level, lloq=lloq), values, **BOTH)


def flat(seed: int = 5, k: int = 24):
    """Return ln levels (k, 4) around 5 and their fit: omega 0.8, sigma 0.5, draws exact."""
    rng = np.random.default_rng(seed)
    omega, sigma, theta, n, draws = 0.8, 0.5, 5.0, 4, 4000
    y = theta + omega * rng.standard_normal((k, 1)) + sigma * rng.standard_normal((k, n))
    share = omega**2 / (omega**2 + sigma**2 / n)
    spread = omega * np.sqrt(1 - share)
    eta = share * (y.mean(axis=1) - theta) + spread * rng.standard_normal((draws, k))
    values = {"c0": np.exp(theta), "k": 0.0, "omega_c0": omega, "sigma_log": sigma}
    records = trial(np.exp(y), np.array([0.0, 1.0, 2.0, 3.0]))
    return y, known(records, values, {"c0": np.exp(theta + eta)}, iiv=["c0"])


# --- NPDE ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("lloq_share", [0.0, 0.4])
def test_npde_of_data_from_the_model_are_standard_normal(lloq_share):
    """750 records, Kolmogorov-Smirnov at 1 %; mean and SD within 3 standard errors."""
    d = checks.residuals(sampled(lloq_share, seed=11), n_sims=1000)
    npde = d["npde"].to_numpy()
    assert npde.size == 750
    assert np.isfinite(npde).all()
    assert_allclose((d["censoring"] == "left").mean(), lloq_share, atol=1e-3)
    assert stats.kstest(npde, "norm").pvalue > 0.01
    assert abs(npde.mean()) < 3 / np.sqrt(750)
    assert abs(npde.std() - 1) < 3 / np.sqrt(2 * 750)
    # Each record by itself too, and not correlated with the patient's next one.
    pairs = npde.reshape(150, 5)
    assert abs(np.corrcoef(pairs[:, :-1].ravel(), pairs[:, 1:].ravel())[0, 1]) < 3 / np.sqrt(600)


@pytest.mark.parametrize("lloq_share", [0.0, 0.4])
def test_npde_of_a_wrong_model_are_not(lloq_share):
    """Kolmogorov-Smirnov at 1e-4: levels predicted 2 times too low, and scatter half as large."""
    for wrong in ({"c0": 50.0}, {"omega_c0": 0.3, "sigma_log": 0.2}):
        d = checks.residuals(sampled(lloq_share, 11, values=TRUTH | wrong), n_sims=500, n_draws=4)
        assert stats.kstest(d["npde"].to_numpy(), "norm").pvalue < 1e-4


@pytest.mark.slow
def test_npde_keep_their_level_over_many_trials():
    """Of 200 trials of 30 patients, 40 % censored, 5 % fail the KS test at 5 % (± 3 SE)."""
    failed = [
        stats.kstest(checks.residuals(sampled(0.4, s, 30), n_sims=500, n_draws=4)["npde"], "norm")
        for s in range(200)
    ]
    share = np.mean([f.pvalue < 0.05 for f in failed])
    assert abs(share - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 200)


def test_npd_and_npde_of_a_linear_normal_model_are_its_closed_form():
    """NPD: (y − θ) / √(ω² + σ²); NPDE: L⁻¹ (y − θ), LLᵀ the covariance. 20 000 simulations.

    At |z| < 2 the standard error of a normal score is 0.02 or less: tolerance 0.1.
    """
    y, result = flat()
    d = checks.residuals(result, n_sims=20_000, n_draws=4)
    covariance = 0.8**2 * np.ones((4, 4)) + 0.5**2 * np.eye(4)
    npd = (y - 5.0) / np.sqrt(0.8**2 + 0.5**2)
    npde = np.linalg.solve(np.linalg.cholesky(covariance), (y - 5.0).T).T
    for name, expected in (("npd", npd), ("npde", npde)):
        near = np.abs(expected.ravel()) < 2
        assert_allclose(d[name].to_numpy()[near], expected.ravel()[near], atol=0.1)


def test_npde_are_the_same_on_any_scale():
    """Exactly, under an increasing transformation of measurements, limits and simulations."""
    records = sampled(0.4, seed=3, k=6).structure.design
    rng = np.random.default_rng(4)
    simulated = np.exp(rng.normal(3.5, 1.0, (200, records.n_obs)))
    natural = prediction_errors(records, simulated, np.random.default_rng(9))
    moved = dataclasses.replace(records, dv=np.log(records.dv), lloq=np.log(records.lloq))
    logged = prediction_errors(moved, np.log(simulated), np.random.default_rng(9))
    assert_array_equal(natural.npde, logged.npde)
    assert_array_equal(natural.npd, logged.npd)


def test_a_censored_record_lies_within_its_probability():
    """Of one record with P(below LLOQ) = 0.3: its NPD is below the normal quantile of 0.3."""
    records = sampled(0.0, seed=3, k=2).structure.design.taken(np.array([0]))
    below = dataclasses.replace(records, code=np.array([1]), dv=np.array([3.0]))
    simulated = np.arange(10.0)[:, None] + np.zeros((10, 1))
    simulated = np.concatenate([simulated] * 10)
    rng = np.random.default_rng(17)
    found = [prediction_errors(below, simulated, rng).npd for _ in range(300)]
    place = ndtr(np.array(found).ravel())
    assert (place < 0.31).all()
    assert stats.kstest(place, "uniform", args=(0, 31 / 101)).pvalue > 0.01


def test_one_seed_gives_one_answer():
    result = sampled(0.4, seed=2, k=8)
    first = checks.residuals(result, n_sims=100, seed=3)
    assert first.identical(checks.residuals(result, n_sims=100, seed=3))
    assert not first.identical(checks.residuals(result, n_sims=100, seed=4))


def test_simulations_without_a_solution_are_a_reason():
    records = sampled(0.0, seed=3, k=2).structure.design
    simulated = np.full((50, records.n_obs), np.nan)
    simulated[:, 5:] = np.random.default_rng(1).normal(size=(50, 5))
    found = prediction_errors(records, simulated, np.random.default_rng(1))
    assert np.isnan(found.npde[:5]).all()
    assert set(found.npde_reason[:5]) == {"only 0 of 50 simulations have a solution"}
    assert np.isfinite(found.npde[5:]).all()


# --- residuals by hand --------------------------------------------------------------------------


def test_pred_ipred_and_iwres_by_hand():
    """PRED = c0 (w / median)^β e^(−kt), IPRED of the patient's own values; IWRES = IRES / σ."""
    level = np.array([[80.0, 60.0, 20.0], [200.0, 90.0, 5.0], [150.0, 120.0, 70.0]])
    time = np.array([0.0, 3.0, 10.0])
    weight = np.array([50.0, 70.0, 100.0])
    values = {"c0": 100.0, "k": 0.1, "omega_c0": 0.5, "sigma_log": 0.3, "beta_c0_weight": 0.75}
    own = np.array([90.0, 180.0, 160.0])
    records = trial(level, time, lloq=10.0, covariates={"weight": weight})
    result = known(records, values, {"c0": np.tile(own, (5, 1))}, iiv=["c0"],
                   covariates={"c0": ["weight"]})  # fmt: skip
    d = checks.residuals(result, n_sims=100)
    decline = np.exp(-0.1 * time)
    assert_allclose(d["pred"], np.outer(100 * (weight / 70) ** 0.75, decline).ravel(), rtol=1e-12)
    assert_allclose(d["ipred"], np.outer(own, decline).ravel(), rtol=1e-12)
    expected = (np.log(level) - np.log(np.outer(own, decline))).ravel()
    expected[5] = np.nan  # 5 copies/µg is below the LLOQ
    assert_allclose(d["ires"], expected, rtol=1e-9)
    assert_allclose(d["iwres"], expected / 0.3, rtol=1e-9)
    why = d["reason"].sel(residual=["ires", "iwres", "cwres"]).to_numpy()
    assert set(why[5]) == {"below the LLOQ: no value to compare"}
    assert set(np.delete(why, 5, axis=0).ravel()) == {""}
    assert np.isfinite(d["npde"].to_numpy()).all()


def test_iwres_of_a_proportional_error_by_hand():
    """(DV − IPRED) / (CV · IPRED)."""
    level = np.array([[80.0, 60.0], [200.0, 90.0]])
    time = np.array([0.0, 3.0])
    values = {"c0": 100.0, "k": 0.1, "omega_c0": 0.5, "sigma_prop": 0.2}
    result = known(trial(level, time), values, iiv=["c0"], error="proportional")
    d = checks.residuals(result, n_sims=100)
    ipred = np.tile(100 * np.exp(-0.1 * time), 2)
    assert_allclose(d["iwres"], (level.ravel() - ipred) / (0.2 * ipred), rtol=1e-9)
    assert d["ires"].attrs["units"] == "copies/µg"


def test_the_sd_of_a_student_t_error_is_that_of_its_distribution():
    assert_allclose(STUDENT_T4.sd, stats.t(4).std(), rtol=1e-12)


def test_cwres_of_a_linear_model_are_the_closed_form():
    """With C = ω² 11ᵀ + σ² I the root is (I − J) / σ + J / √(σ² + n ω²), J = 11ᵀ / n; 1e-5."""
    y, result = flat()
    d = checks.residuals(result, n_sims=100, n_draws=4)
    j = np.full((4, 4), 0.25)
    root = (np.eye(4) - j) / 0.5 + j / np.sqrt(0.5**2 + 4 * 0.8**2)
    assert_allclose(d["cwres"], ((y - 5.0) @ root).ravel(), atol=1e-5)


def test_loo_pit_of_a_linear_model_is_the_closed_form():
    """Given the other n − 1 records: normal around the shrunken mean; 4000 draws, 0.02."""
    y, result = flat()
    d = checks.residuals(result, n_sims=100, n_draws=4000)
    others = (y.sum(axis=1, keepdims=True) - y) / 3
    share = 0.8**2 / (0.8**2 + 0.5**2 / 3)
    sd = np.sqrt(0.5**2 + 0.8**2 * (1 - share))
    expected = ndtr((y - 5.0 - share * (others - 5.0)) / sd).ravel()
    known_ones = np.isfinite(d["loo_pit"].to_numpy())
    assert known_ones.mean() > 0.9
    assert_allclose(d["loo_pit"].to_numpy()[known_ones], expected[known_ones], atol=0.02)


def test_modes_are_where_a_plain_search_finds_them():
    """Of each patient by Nelder-Mead on the written-out density with censored records; 1e-4."""
    result = sampled(0.4, seed=8, k=5)
    design, found = result.structure.design, individual_modes(result)

    def minus(eta, i):
        rows = design.patient == i
        f = np.log(100.0) + eta[0] - (0.1 + eta[1]) * design.time[rows]
        z = (np.log(design.dv[rows]) - f) / 0.4
        each = np.where(design.code[rows] == 1, stats.norm.logcdf(z), stats.norm.logpdf(z))
        return -each.sum() + 0.5 * (eta[0] / 0.6) ** 2 + 0.5 * (eta[1] / 0.03) ** 2

    for i in range(5):
        best = minimize(minus, [0.0, 0.0], args=(i,), method="Nelder-Mead",
                        options={"xatol": 1e-7, "fatol": 1e-11, "maxiter": 2000})  # fmt: skip
        assert_allclose(found.eta[i], best.x, atol=1e-4)


# --- deviations ---------------------------------------------------------------------------------


def test_eta_shrinkage_of_a_linear_normal_model_is_the_closed_form():
    """Mode and mean of η are B (ȳ − θ), B = ω² / (ω² + σ² / n); modes to 1e-5, means to 0.03."""
    y, result = flat()
    e = checks.etas(result).sel(parameter="c0")
    share = 0.8**2 / (0.8**2 + 0.5**2 / 4)
    expected = share * (y.mean(axis=1) - 5.0)
    assert_allclose(e["mode"], expected, atol=1e-5)
    assert_allclose(e["mean"], expected, atol=0.03)
    shrinkage = 1 - expected.std(ddof=1) / 0.8
    assert_allclose(e["shrinkage_mode"], shrinkage, atol=1e-5)
    assert_allclose(e["shrinkage"], shrinkage, atol=0.01)
    assert_allclose(e["shrinkage"], checks.shrinkage(result)["shrinkage"].item(), rtol=1e-12)
    spread = 0.8 * np.sqrt(1 - share) * ndtri(0.95)
    assert_allclose(e["upper"] - e["mean"], spread, atol=0.05)


def test_rank_correlations_by_hand():
    """1 − 6 Σd² / (n (n² − 1)) with d from written-out ranks; interval on Fisher's scale."""
    eta = np.array([-0.9, 0.3, -0.2, 0.8, 0.1, 1.2])
    covariates = {
        "burden": [2.0, 9.0, 1.0, 12.0, 3.0, 5.0],
        "sex": ["F", "M", "F", "M", "M", "M"],
        "site": ["a", "b", "c", "a", "b", "c"],
        "same": [1.0] * 6,
    }
    level = np.exp(np.log(100.0) + eta)[:, None] * np.ones((1, 2))
    values = {"c0": 100.0, "k": 0.0, "omega_c0": 1.0, "sigma_log": 0.1}
    own = {"c0": np.tile(100.0 * np.exp(eta), (4, 1))}
    records = trial(level, np.array([0.0, 1.0]), covariates=covariates)
    e = checks.etas(known(records, values, own, iiv=["c0"])).sel(parameter="c0")
    assert_allclose(e["mean"], eta, rtol=1e-9)
    ranks, others = np.array([1, 4, 2, 5, 3, 6]), np.array([2, 5, 1, 6, 3, 4])
    r = 1 - 6 * ((ranks - others) ** 2).sum() / (6 * 35)
    burden = e.sel(covariate="burden")
    assert_allclose(burden["spearman"], r, rtol=1e-12)
    width = 1.6448536269514722 * np.sqrt((1 + r * r / 2) / 3)
    assert_allclose(burden["spearman_lower"], np.tanh(np.arctanh(r) - width), rtol=1e-9)
    assert_allclose(burden["spearman_upper"], np.tanh(np.arctanh(r) + width), rtol=1e-9)
    # F, M, F, M, M, M is 0, 1, 0, 1, 1, 1: Pearson's correlation of the ranks.
    sex = np.corrcoef(ranks, [0, 1, 0, 1, 1, 1])[0, 1]
    assert_allclose(e.sel(covariate="sex")["spearman"], sex, rtol=1e-12)
    assert e.sel(covariate="site")["reason"].item() == "text with 3 values has no order"
    assert e.sel(covariate="same")["reason"].item() == "all patients have the same value"


def test_deviations_need_a_parameter_that_varies():
    values = {"c0": 100.0, "k": 0.1, "sigma_log": 0.4}
    result = known(trial(np.full((2, 5), 30.0)), values)
    with pytest.raises(FitError, match="no parameter varies between patients"):
        checks.etas(result)


# --- predictive checks --------------------------------------------------------------------------


def weighted(error: str, sigma: float):
    """Return two bins of four patients with other c0, and the predictions (4, 2)."""
    level = np.array([[50.0, 30.0], [90.0, 20.0], [200.0, 65.0], [310.0, 150.0]])
    time = np.array([1.0, 10.0])
    weight = np.array([35.0, 60.0, 80.0, 140.0])
    name = {"lognormal": "sigma_log", "proportional": "sigma_prop"}[error]
    values = {"c0": 100.0, "k": 0.1, name: sigma, "beta_c0_weight": 1.0}
    records = trial(level, time, covariates={"weight": weight})
    result = known(records, values, covariates={"c0": ["weight"]}, error=error)
    return level, np.outer(100 * weight / 70, np.exp(-0.1 * time)), result


@pytest.mark.parametrize("error", ["lognormal", "proportional"])
def test_prediction_correction_by_hand(error):
    """Y · PREDbin / PRED; the median of four is the geometric mean of two for log errors."""
    level, pred, result = weighted(error, 1e-6)
    v = checks.vpc(result, bins=[0, 5, 20], n_sims=20, prediction_corrected=True).isel(stratum=0)
    middle = np.exp(np.median(np.log(pred), axis=0))
    if error == "proportional":
        middle = np.median(pred, axis=0)
    corrected = level * middle / pred
    assert_allclose(v["dv_corrected"], corrected.ravel(), rtol=1e-9)
    # Of four values the quantiles 0.05, 0.5 and 0.95 are the first, second and fourth.
    assert_allclose(v["observed"], np.sort(corrected, axis=0)[[0, 1, 3]].T, rtol=1e-9)
    # Without scatter every corrected simulated level is the bin's prediction.
    for name in ("simulated_lower", "simulated_median", "simulated_upper"):
        assert_allclose(v[name], np.repeat(middle[:, None], 3, axis=1), rtol=1e-4)


def test_prediction_correction_within_strata_uses_each_stratums_own_middle():
    level, pred, result = weighted("lognormal", 1e-6)
    v = checks.vpc(result, bins=[0, 5, 20], n_sims=20, prediction_corrected=True, by="weight")
    # One patient in each stratum: nothing to correct.
    assert_allclose(v["dv_corrected"], level.ravel(), rtol=1e-9)
    assert v.sizes["stratum"] == 4
    assert_allclose(v["simulated_median"].sel(quantile=0.5), pred, rtol=1e-4)


def test_shares_beyond_the_limits_are_counted():
    """Observed by counting; simulated 1 − Φ(ln(ULOQ / level) / σ) of 400 records, 4 SE."""
    rng = np.random.default_rng(6)
    level = 100.0 * np.exp(0.4 * rng.standard_normal((400, 1)))
    uloq, lloq = 150.0, 70.0
    values = {"c0": 100.0, "k": 0.1, "sigma_log": 0.4}
    result = known(trial(level, np.array([0.0]), lloq=lloq, uloq=uloq), values)
    v = checks.vpc(result, n_sims=200, bins=[0, 1]).isel(stratum=0, bin=0)
    assert_allclose(v["alq_observed"], (level > uloq).mean(), rtol=1e-12)
    assert_allclose(v["blq_observed"], (level < lloq).mean(), rtol=1e-12)
    above = 1 - ndtr(np.log(uloq / 100.0) / 0.4)
    below = ndtr(np.log(lloq / 100.0) / 0.4)
    for name, share in (("alq", above), ("blq", below)):
        se = np.sqrt(share * (1 - share) / 400)
        # A median of 200 trials whose shares go in steps of 1 / 400.
        assert_allclose(v[f"{name}_median"], share, atol=4 * 1.25 * se / np.sqrt(200) + 1 / 400)
    sd = np.sqrt(above * (1 - above) / 400)
    assert_allclose(v["alq_upper"] - v["alq_lower"], 2 * 1.645 * sd, rtol=0.25)


# --- exposure -----------------------------------------------------------------------------------


def test_predictive_exposure_of_exponentials_is_the_closed_form():
    """Cmax = c0, AUC0–28 = c0 (1 − e^(−28 k)) / k; without scatter every trial has them."""
    time = np.array([0.0, 7.0, 14.0, 28.0])
    level = np.outer([200.0, 50.0, 100.0], np.exp(-0.1 * time))
    values = {"c0": 100.0, "k": 0.1, "sigma_log": 1e-7}
    x = checks.predictive_exposure(known(trial(level, time), values), n_sims=40).isel(stratum=0)
    area = 100.0 * (1 - np.exp(-2.8)) / 0.1
    mean = x.sel(statistic="geometric_mean")
    assert_allclose(mean["simulated_median"], [100.0, area], rtol=1e-6)
    assert_allclose(mean["observed"], [100.0, area], rtol=1e-9)
    s = np.std(np.log([200.0, 50.0, 100.0]), ddof=1)
    cv = x.sel(statistic="geometric_cv")
    assert_allclose(cv["observed"], np.sqrt(np.exp(s * s) - 1), rtol=1e-9)
    # No simulated trial scatters as much: twice one of 41.
    assert_allclose(cv["tail_area"], 2 / 41, rtol=1e-12)
    assert_allclose(x["observed_each"].sel(parameter="cmax"), [200.0, 50.0, 100.0])


def test_predictive_exposure_counts_patients_below_the_limit():
    level = np.array([[100.0, 50.0, 20.0], [2.0, 1.0, 1.0]])
    values = {"c0": 100.0, "k": 0.1, "sigma_log": 0.01}
    records = trial(level, np.array([0.0, 7.0, 28.0]), lloq=5.0, covariates={"arm": ["a", "b"]})
    x = checks.predictive_exposure(known(records, values), by="arm", n_sims=20)
    share = x["observed"].sel(parameter="cmax", statistic="share")
    assert_array_equal(share, [1.0, 0.0])
    unknown = x.sel(stratum="b", parameter="cmax", statistic="geometric_cv")
    assert np.isnan(unknown["tail_area"].item())
    assert unknown["reason"].item() == "fewer than two patients with a positive value"
    with pytest.raises(ValueError, match="no patient-level variable 'armm'"):
        checks.predictive_exposure(known(records, values), by="armm")


def test_trials_analysed_part_by_part_are_those_of_all_at_once(monkeypatch):
    """Bit by bit, whatever fits into a part; names of parameters are read for each."""
    module = importlib.import_module("cart_pkpd._checks.predictive_exposure")
    whole = checks.predictive_exposure(sampled(0.2, 1, 12), n_sims=25)
    for records in (1, 100, 170):
        monkeypatch.setattr(module, "_AT_ONCE", records)
        assert checks.predictive_exposure(sampled(0.2, 1, 12), n_sims=25).identical(whole)


def test_tail_areas_are_uniform_where_data_come_from_the_model():
    """Of 60 trials the mean tail area is 1/2 within 3 standard errors, and few are below 0.05."""
    found = [
        checks.predictive_exposure(sampled(0.2, s, 12), n_sims=60, seed=s)["tail_area"]
        .sel(parameter="cmax", statistic="geometric_mean")
        .item()
        for s in range(60)
    ]
    assert abs(np.mean(found) - 0.5) < 3 * np.sqrt(1 / 12 / 60)
    assert np.mean(np.array(found) < 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 60)


# --- reference bands ----------------------------------------------------------------------------


def test_bands_of_one_value_are_the_normal_quantiles():
    z = 1.6448536269514722
    for low, high in (quantile_band(1), ordered_band(1)[1:]):
        assert_allclose(low, -z, rtol=1e-9)
        assert_allclose(high, z, rtol=1e-9)


def test_bands_hold_nine_in_ten_samples():
    """4000 seeded samples of 40 values; 90 % within 3 standard errors, at each quantile."""
    x = np.sort(np.random.default_rng(2).standard_normal((4000, 40)), axis=1)
    se = 3 * np.sqrt(0.09 / 4000)
    low, high = quantile_band(40)
    picked = x[:, [1, 19, 37]]  # places 2, 20 and 38 of 40
    assert_allclose(((picked > low) & (picked < high)).mean(axis=0), 0.9, atol=se)
    _, low, high = ordered_band(40)
    assert_allclose(((x > low) & (x < high)).mean(axis=0), 0.9, atol=se)


def test_counts_between_edges_are_binomial():
    expected, low, high = count_band(100, [-np.inf, 0.0, np.inf])
    assert_allclose(expected, [50.0, 50.0])
    assert_array_equal(low, stats.binom.ppf(0.05, 100, 0.5))
    assert_array_equal(high, stats.binom.ppf(0.95, 100, 0.5))


def test_running_quantiles_by_counting():
    """Two visits of 20 records: bins are the visits, quantiles the 1st, 10th and 19th value."""
    x = np.repeat([1.0, 8.0], 20)
    y = np.concatenate([np.arange(20.0), np.arange(20.0) + 100])
    bins = running_quantiles(x, y)
    assert_array_equal(bins["x"], [1.0, 8.0])
    assert_array_equal(bins["n"], [20.0, 20.0])
    assert_array_equal(bins["observed"], [[0.0, 9.0, 18.0], [100.0, 109.0, 118.0]])
