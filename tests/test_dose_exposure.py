"""Exposure by dose: closed forms, limits, what censored and partial exposures count as."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from diagnostics_inputs import known
from scipy import optimize, special, stats

from cart_pkpd import data, dose, nca
from cart_pkpd._core.errors import DataError
from cart_pkpd._dose.exposure import of_measured, proportional
from cart_pkpd._dose.measured import Measured, deconvolved
from cart_pkpd._dose.power import PowerPriors, Rows, posterior
from cart_pkpd._stats.priors import HalfNormal, Normal

FLAT = PowerPriors(Normal(0, 1e4), Normal(0, 1e4), HalfNormal(1e3))
LEVELS = np.log([0.1, 0.3, 1.0, 3.0])


def rows(x, y, error=0.0, status="measured"):
    n = len(x)
    return Rows(
        np.asarray(x, float), np.asarray(y, float), np.broadcast_to(float(error), n).copy()
        if np.isscalar(error) else np.asarray(error, float),
        np.broadcast_to(status, n).astype("<U8"),
    )  # fmt: skip


def simulated(n, *, b=0.4, sigma=1.2, seed=1):
    rng = np.random.default_rng(seed)
    x = rng.permutation(np.resize(LEVELS, n))
    return x, 8.0 + b * x + sigma * rng.standard_normal(n)


def found(value, amount, *, status="measured", error=0.0, level=None):
    n = len(value)
    return Measured(
        "cmax", "Cmax", "copies/µg", "NCA", np.array([f"p{i}" for i in range(n)]),
        np.asarray(amount, float), np.asarray(amount if level is None else level, float), "cells",
        np.asarray(value, float), np.broadcast_to(float(error), n).copy(),
        np.broadcast_to(status, n).astype("<U8"), np.zeros(n, bool), np.full(n, ""),
    )  # fmt: skip


class TestPowerModel:
    def test_flat_priors_give_the_t_distribution_of_least_squares(self):
        # With a flat prior on sigma itself the slope is t with n − 3 degrees of freedom.
        x, y = simulated(30)
        line, n = stats.linregress(x, y), 30
        rss = np.sum((y - line.intercept - line.slope * x) ** 2)
        sxx = np.sum((x - x.mean()) ** 2)
        exact = stats.t(n - 3, line.slope, np.sqrt(rss / (n - 3) / sxx))
        grid = posterior(rows(x, y), FLAT)
        for at in (0.0, 0.25, 0.5, 1.0):
            assert grid.slope_below(at) == pytest.approx(exact.cdf(at), abs=2e-5)
        np.testing.assert_allclose(
            grid.quantile(grid.slope, np.array([0.05, 0.5, 0.95])), exact.ppf([0.05, 0.5, 0.95]),
            atol=1e-3,
        )  # fmt: skip

    def test_a_new_patient_follows_the_predictive_t(self):
        x, y = simulated(30)
        line, n = stats.linregress(x, y), 30
        rss, sxx = (
            np.sum((y - line.intercept - line.slope * x) ** 2), np.sum((x - x.mean()) ** 2),
        )  # fmt: skip
        scale = np.sqrt(rss / (n - 3) * (1 + 1 / n + (0.7 - x.mean()) ** 2 / sxx))
        exact = stats.t(n - 3, line.intercept + 0.7 * line.slope, scale)
        probs = np.array([0.05, 0.5, 0.95])
        got = posterior(rows(x, y), FLAT).predictive(0.7, probs)
        np.testing.assert_allclose(got, exact.ppf(probs), atol=1e-4)

    def test_known_variance_gives_the_conjugate_normal(self):
        # All spread is measurement error of known size: weighted least squares with the prior.
        x, y = simulated(12, sigma=0.7)
        error = np.linspace(0.5, 1.0, 12)
        priors = PowerPriors(Normal(7, 2), Normal(0.5, 1), HalfNormal(1.2e-3))
        design = np.stack([np.ones(12), x], axis=1)
        precision = design.T @ (design / error[:, None] ** 2) + np.diag([1 / 4, 1.0])
        mean = np.linalg.solve(precision, design.T @ (y / error**2) + np.array([7 / 4, 0.5]))
        cov = np.linalg.inv(precision)
        grid = posterior(rows(x, y, error), priors)
        at, sd = grid.moments(grid.slope)
        assert at == pytest.approx(mean[1], abs=1e-5)
        assert sd == pytest.approx(np.sqrt(cov[1, 1]), rel=1e-4)
        exact = stats.norm(mean[1], np.sqrt(cov[1, 1]))
        assert grid.slope_below(0.5) == pytest.approx(exact.cdf(0.5), abs=3e-5)

    def test_censored_values_agree_with_a_plain_grid(self):
        # Independent transcription: the posterior of a Tobit model on an even three-way grid.
        x, y = simulated(10, seed=4)
        status = np.array(["measured"] * 10)
        status[:2], status[2] = "below", "above"
        priors = PowerPriors(Normal(8, 3), Normal(0.5, 1), HalfNormal(1.5))
        a, b = np.linspace(3, 13, 81), np.linspace(-3.0, 4.0, 81)
        s = np.exp(np.linspace(np.log(0.15), np.log(9), 61))
        A, B, S = np.meshgrid(a, b, s, indexing="ij")
        log = stats.norm(8, 3).logpdf(A) + stats.norm(0.5, 1).logpdf(B) - 0.5 * (S / 1.5) ** 2
        log += np.log(S)  # the grid is even in ln sigma
        for xi, yi, code in zip(x, y, status, strict=True):
            z = (yi - A - B * xi) / S
            log += {
                "measured": -0.5 * z**2 - np.log(S), "below": special.log_ndtr(z),
                "above": special.log_ndtr(-z),
            }[str(code)]  # fmt: skip
        w = np.exp(log - log.max())
        w /= w.sum()
        grid = posterior(rows(x, y, status=status), priors)
        mean, sd = grid.moments(grid.slope)
        assert mean == pytest.approx(np.sum(w * B), abs=2e-4)
        assert sd == pytest.approx(np.sqrt(np.sum(w * B**2) - np.sum(w * B) ** 2), rel=1e-3)
        assert grid.moments(grid.sigma)[0] == pytest.approx(np.sum(w * S), rel=1e-3)

    def test_nothing_but_the_prior_where_all_is_one_bound_far_away(self):
        grid = posterior(rows([0.0], [1e3], status="below"), PowerPriors())
        mean, sd = grid.moments(grid.slope)
        assert (mean, sd) == (pytest.approx(0.5, abs=1e-6), pytest.approx(1.0, rel=1e-4))
        assert grid.slope_below(0.5) == pytest.approx(0.5, abs=1e-6)

    def test_the_reference_dose_changes_the_intercept_only(self):
        x, y = simulated(20)
        amount = 1e7 * np.exp(x)
        options = {"priors": FLAT, "limits": (0.5, 2.0), "prob": 0.9}
        one = of_measured(found(y, amount), reference=1e7, **options)
        two = of_measured(found(y, amount), reference=2e6, **options)
        np.testing.assert_allclose(one.slope, two.slope, atol=1e-6)
        np.testing.assert_allclose(
            one.per_dose()["predicted_upper"], two.per_dose()["predicted_upper"], rtol=1e-4
        )


class TestProportionality:
    def test_limits_of_the_slope_follow_smith(self):
        # Smith et al. 2000: 1 + ln(theta)/ln(r); a 10-fold range and 0.8 to 1.25 give 0.903, 1.097.
        rng = np.random.default_rng(3)
        x = np.repeat([0.0, np.log(10)], 40)
        got = proportional(found(5 + x + 0.05 * rng.standard_normal(80), np.exp(x)), (0.8, 1.25))
        assert got.lower_limit == pytest.approx(0.9031, abs=1e-4)
        assert got.upper_limit == pytest.approx(1.0969, abs=1e-4)
        assert got.verdict == "proportional"

    def test_the_interval_is_that_of_least_squares(self):
        x, y = simulated(24)
        line = stats.linregress(x, y)
        half = stats.t(22).ppf(0.95) * line.stderr
        got = proportional(found(y, np.exp(x)))
        assert (got.slope, got.lower, got.upper) == pytest.approx(
            (line.slope, line.slope - half, line.slope + half)
        )

    @pytest.mark.parametrize(
        ("slope", "sigma", "verdict"),
        [(0.0, 0.05, "not proportional"), (1.0, 0.05, "proportional"), (0.8, 3.0, "inconclusive")],
    )
    def test_verdicts(self, slope, sigma, verdict):
        x, y = simulated(24, b=slope, sigma=sigma)
        assert proportional(found(y, np.exp(x))).verdict == verdict

    def test_one_dose_has_no_verdict_but_a_reason(self):
        got = proportional(found([1.0, 2.0, 3.0], [1e6] * 3))
        assert got.verdict == ""
        assert "only one dose" in got.sentence


def trial(levels, days, *, lloq=50.0, amounts=None, **covariates):
    """Return a trial with doses; `levels` is (patients, samples), NaN without a sample."""
    parts = []
    for i, level in enumerate(np.asarray(levels, float)):
        use = np.isfinite(level)
        amount = 1e6 * 10.0 ** (i % 2) if amounts is None else amounts[i]
        first = {"ID": f"p{i}", "TIME": 0.0, "EVID": 1, "AMT": amount, "MDV": 1, "DV": np.nan,
                 "CENS": 0, "DOSELEVEL": amount}  # fmt: skip
        body = pd.DataFrame(
            {
                "ID": f"p{i}", "TIME": np.asarray(days, float)[use], "EVID": 0, "AMT": np.nan,
                "MDV": 0, "DV": np.maximum(level[use], lloq),
                "CENS": (level[use] < lloq).astype(int), "DOSELEVEL": amount,
            }
        )  # fmt: skip
        frame = pd.concat([pd.DataFrame([first]), body], ignore_index=True)
        for name, values in covariates.items():
            frame[name] = values[i]
        parts.append(frame)
    table = pd.concat(parts, ignore_index=True)
    return data.read_table(
        table, units={"transgene": "copies/µg"}, dose_unit="cells", lloq=lloq,
        endpoints="transgene", covariates=["DOSELEVEL", *covariates], echo=False,
    )  # fmt: skip


DAYS = [1.0, 4.0, 7.0, 10.0, 14.0, 21.0, 28.0]
COURSE = np.array([60.0, 300.0, 4000.0, 9000.0, 5000.0, 800.0, 100.0])


class TestMeasured:
    def test_no_quantifiable_sample_is_below_the_lloq(self):
        levels = [COURSE, 2 * COURSE, np.full(7, 10.0), COURSE]
        records = trial(levels, DAYS)
        params = nca.table(records, "transgene", window=(0, 28))
        for metric, bound in (("cmax", 50.0), ("auc0_28", 50.0 * 28)):
            m = dose.exposure(params, records, metric).measured
            assert list(m.status) == ["measured", "measured", "below", "measured"]
            assert np.exp(m.value[2]) == pytest.approx(bound)
            assert "LLOQ" in m.reason[2]

    def test_sampling_that_ends_early_gives_a_lower_bound(self):
        short = np.where(np.arange(7) < 4, COURSE, np.nan)  # dies on day 11, still rising
        records = trial([COURSE, 2 * COURSE, short, COURSE], DAYS)
        params = nca.table(records, "transgene", window=(0, 28))
        whole = np.log(params["auc0_28"].values)
        for partial, status in (("censor", "above"), ("keep", "measured"), ("drop", "missing")):
            got = dose.exposure(params, records, "auc0_28", partial=partial)
            assert got.measured.partial.tolist() == [False, False, True, False]
            assert got.measured.status[2] == status
            assert any("p2" in n for n in got.notes)
        kept = dose.exposure(params, records, "auc0_28", partial="keep").measured
        assert kept.value[2] == pytest.approx(whole[2])
        assert dose.exposure(params, records, "cmax").measured.status[2] == "above"

    def test_a_complete_profile_that_falls_below_the_lloq_is_not_partial(self):
        gone = np.where(np.arange(7) < 5, COURSE, 10.0)
        records = trial([COURSE, gone], DAYS)
        params = nca.table(records, "transgene", window=(0, 28))
        got = dose.exposure(params, records, "auc0_28").measured
        assert not got.partial.any()
        assert set(got.status) == {"measured"}

    def test_administered_doses_are_used_and_levels_are_labels(self):
        records = trial([COURSE, COURSE], DAYS, amounts=[9e5, 1.2e7], DLT=[0, 1])
        params = nca.table(records, "transgene", window=(0, 28))
        got = dose.exposure(params, records, "cmax")
        assert got.measured.dose.tolist() == [9e5, 1.2e7]
        known_doses = dose.data(records)
        again = dose.exposure(params, records, "cmax", data=known_doses)
        assert again.measured.dose.tolist() == [9e5, 1.2e7]

    def test_a_metric_that_the_table_lacks_is_named(self):
        records = trial([COURSE, COURSE], DAYS)
        params = nca.table(records, "transgene", parameters=["cmax", "tmax"])
        with pytest.raises(DataError, match="auc0_28"):
            dose.exposure(params, records, "auc0_28")
        with pytest.raises(ValueError, match="exposure metric"):
            dose.exposure(params, records, "cmin")

    def test_deconvolution_gives_back_the_datum(self):
        # Normal prior N(2, 1.5²) and a datum 4 with error 0.6: quantile draws of both.
        z = special.ndtri((np.arange(20_000) + 0.5) / 20_000)
        prior_var, error_var = 1.5**2, 0.6**2
        var = 1 / (1 / prior_var + 1 / error_var)
        mean = var * (2 / prior_var + 4 / error_var)
        own = (mean + np.sqrt(var) * z)[:, None]
        value, error, is_known = deconvolved(own, (2 + 1.5 * z)[:, None])
        assert is_known.all()
        assert value[0] == pytest.approx(4.0, abs=1e-3)
        assert error[0] == pytest.approx(0.6, rel=1e-3)

    def test_a_patient_of_whom_nothing_was_learnt_is_missing(self):
        z = np.random.default_rng(1).standard_normal((2000, 1))
        assert not deconvolved(z, z.copy())[2].any()

    def test_a_fit_gives_the_exposures_of_its_curves(self):
        # Line: Cmax is c0, and AUC0–28 is c0 (1 − e^(−28 k)) / k.
        c0 = np.tile([100.0, 300.0, 900.0, 200.0], (50, 1))
        level = c0[0][:, None] * np.exp(-0.1 * np.array([0.0, 5.0, 10.0, 28.0]))
        records = trial(level, [0.0, 5.0, 10.0, 28.0], lloq=1e-3)
        fitted = known(
            records, {"c0": 250.0, "k": 0.1, "omega_c0": 1.0, "sigma_log": 0.2},
            {"c0": c0 * np.exp(1e-4 * np.random.default_rng(1).standard_normal(c0.shape))},
            iiv=["c0"],
        )  # fmt: skip
        peak = dose.exposure(fitted, records, "cmax").measured
        np.testing.assert_allclose(np.exp(peak.value), c0[0], rtol=1e-3)
        area = dose.exposure(fitted, records, "auc0_28").measured
        np.testing.assert_allclose(np.exp(area.value), c0[0] * -np.expm1(-2.8) / 0.1, rtol=1e-3)
        assert (peak.error < 1e-3).all()
        assert peak.source == "known"


def test_the_sentence_and_tables_hold_what_they_say():
    x, y = simulated(16, b=0.2, seed=7)
    got = of_measured(
        found(y, 1e7 * np.exp(x)), reference=1e7, priors=None, limits=(0.5, 2.0), prob=0.9
    )
    assert f"power {got.slope[0]:.2f}".replace("-", "−") in got.sentence
    assert f"{2.0 ** got.slope[0]:.2f} times the Cmax" in got.sentence
    table = got.table()
    assert table.loc["fold_per_doubling", "median"] == pytest.approx(
        2.0 ** table.loc["slope", "median"]
    )
    per = got.per_dose()
    assert per["n"].sum() == 16
    assert (per["predicted_lower"] < per["lower"]).all()
    assert (per["predicted_upper"] > per["upper"]).all()
    # The predictive interval is that at which a mixture of normals has its quantiles.
    low = optimize.brentq(
        lambda t: np.sum(
            got.grid.weight
            * special.ndtr((t - got.grid.intercept) / got.grid.sigma)
        ) - 0.05, 0, 20,
    )  # fmt: skip
    assert np.log(got.per_dose([1e7])["predicted_lower"].iloc[0]) == pytest.approx(low, abs=1e-5)


@pytest.mark.slow
def test_the_chain_takes_exposures_of_a_fit_with_their_error():
    # Line: Cmax is c0, drawn with a known SD of ln c0; the chain must see it as error.
    rng = np.random.default_rng(4)
    c0 = np.exp(5.0 + rng.standard_normal(12))
    level = c0[:, None] * np.exp(-0.1 * np.array([0.0, 5.0, 10.0, 28.0]))
    records = trial(
        level, [0.0, 5.0, 10.0, 28.0], lloq=1e-3, DLT=[0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0]
    )
    drawn = c0 * np.exp(0.3 * rng.standard_normal((400, 12)))
    fitted = known(
        records, {"c0": 150.0, "k": 0.1, "omega_c0": 2.0, "sigma_log": 0.2}, {"c0": drawn},
        iiv=["c0"],
    )  # fmt: skip
    result = dose.exposure_chain(
        fitted, records, toxicity=dose.Toxicity(Normal(-1.0, 1.0)), reference=1e6, grade=None,
        cytokines=(), cores=1, seed=2, n_draws=4000,
    )  # fmt: skip
    assert result.verdict.ok, result.verdict.sentence
    # s² = 0.3² / (1 − 0.3² / 2²) of the datum once the population (SD 2) is divided out.
    error = result.patients["exposure_error"].values
    np.testing.assert_allclose(error, 0.3 / np.sqrt(1 - 0.09 / 4), rtol=0.15)
    alone = dose.exposure(
        fitted, records, "cmax", data=dose.data(records), reference=1e6, n_draws=4000
    )
    mean, sd = alone.grid.moments(alone.grid.sigma)
    assert result.draws["sigma"].mean() == pytest.approx(mean, abs=0.15 * sd)
    assert "measurement error" in result.notes[0]
