"""The chain from dose to DLT: its limits, its density, and what it says by dose."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import integrate, optimize, special, stats

from cart_pkpd import crs, datasets, dose, nca, plots
from cart_pkpd._core.errors import DataError, FitError, ModelError
from cart_pkpd._dose import averaged
from cart_pkpd._dose.chain import fitted
from cart_pkpd._dose.chained import ChainResult
from cart_pkpd._dose.free import beta_above
from cart_pkpd._dose.joint import build
from cart_pkpd._dose.links import Links
from cart_pkpd._stats.priors import Beta, HalfNormal, LogNormal, Normal

SETTINGS = {"draws": 1000, "tune": 500, "chains": 4, "seed": 3, "target_accept": 0.9}
DOSES = np.array([1e6, 3e6, 1e7, 3e7])
MEAN, SD = (-1.2, -0.4), (1.1, 0.6)  # of ln alpha and ln beta


def patients(amount, dlt, value, *, weight=None, status="measured", cytokines=(), peak=None):
    """Return rows as the chain fits them."""
    n = len(amount)
    k = len(cytokines)
    return xr.Dataset(
        {
            "dose": ("id", np.asarray(amount, float)),
            "dose_level": ("id", np.asarray(amount, float)),
            "exposure": ("id", np.asarray(value, float)),
            "exposure_error": ("id", np.zeros(n)),
            "exposure_status": ("id", np.broadcast_to(status, n).astype("<U8")),
            "dlt": ("id", np.asarray(dlt, float)),
            "weight": ("id", np.ones(n) if weight is None else np.asarray(weight, float)),
            "grade": ("id", np.full(n, np.nan)),
            "peak": (("id", "cytokine"), np.zeros((n, 0)) if peak is None else peak),
            "peak_status": (("id", "cytokine"), np.full((n, k), "measured")),
        },
        coords={
            "id": [f"p{i:02d}" for i in range(n)], "cytokine": np.array(cytokines, dtype=str),
            "unit": ("cytokine", np.full(k, "pg/mL")), "label": ("cytokine", np.array(cytokines)),
        },
        attrs={
            "dose_units": "cells", "exposure_units": "copies/µg", "exposure_label": "Cmax",
            "exposure_source": "NCA", "levels": DOSES.tolist(), "window": 28.0,
        },
    )  # fmt: skip


AMOUNT = np.repeat(DOSES, [3, 3, 9, 6])
DLT = np.array([0] * 3 + [0] * 3 + [1, 1] + [0] * 7 + [1, 1, 1] + [0] * 3)
WEIGHT = np.where(np.isin(np.arange(21), [14, 19, 20]), [0.5], 1.0)


def quadrature(slope_scale=1.0):
    """Return posterior means of P(DLT) by an even grid: an independent two-parameter model."""
    a = np.linspace(MEAN[0] - 7 * SD[0], MEAN[0] + 7 * SD[0], 601)
    ln_b = np.linspace(MEAN[1] - 7 * SD[1], MEAN[1] + 7 * SD[1], 601)
    A, B = np.meshgrid(a, np.exp(ln_b) * slope_scale, indexing="ij")
    log = stats.norm(MEAN[0], SD[0]).logpdf(a)[:, None] + stats.norm(MEAN[1], SD[1]).logpdf(ln_b)
    for d, y, w in zip(AMOUNT, DLT, WEIGHT, strict=True):
        eta = A + B * np.log(d / 1e7)
        none = special.log_expit(-eta) if w == 1 else np.log1p(-w * special.expit(eta))
        log = log + (special.log_expit(eta) if y else none)
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    return np.array([np.sum(weight * special.expit(A + B * np.log(d / 1e7))) for d in DOSES])


@pytest.fixture(scope="module")
def plain():
    """A chain whose DLTs do not depend on exposure."""
    rng = np.random.default_rng(5)
    value = 7.0 + 0.3 * np.log(AMOUNT / 1e7) + rng.standard_normal(21)
    toxicity = dose.Toxicity(
        Normal(MEAN[0], SD[0]), exposure=0.0, dose=LogNormal(float(np.exp(MEAN[1])), SD[1])
    )
    return fitted(
        patients(AMOUNT, DLT, value, weight=WEIGHT), Links(toxicity, 1e7), ("a note",), cores=1,
        **SETTINGS,
    )  # fmt: skip


class TestLimits:
    def test_without_an_effect_of_exposure_it_is_the_two_parameter_model(self, plain):
        # The same prior of intercept and slope; pending patients by their share of the window.
        table = plain.per_dose()
        assert plain.verdict.ok, plain.verdict.sentence
        z = (table["mean"].to_numpy() - quadrature()) / table["mcse"].to_numpy()
        assert np.abs(z).max() < 4

    def test_it_agrees_with_the_design_by_quadrature(self, plain):
        design = dose.BLRM(
            tuple(DOSES), reference=1e7, prior=dose.BivariateNormal(MEAN, SD, 0.0),
            intervals=(0.16, 0.33),
        )  # fmt: skip
        whole = WEIGHT == 1
        observed = {
            d: (int(DLT[(d == AMOUNT) & whole].sum()), int(((d == AMOUNT) & whole).sum()))
            for d in DOSES
        }
        pending = {d: [14.0] * int(((d == AMOUNT) & ~whole).sum()) for d in DOSES[2:]}
        known = dose.counts(observed, levels=tuple(DOSES), pending=pending)
        found = design.recommend(known).table
        table = plain.per_dose(limits=(0.16, 0.33))
        assert (
            np.abs((table["mean"].to_numpy() - found["mean"].to_numpy()) / table["mcse"]).max() < 4
        )
        z = (table["over"].to_numpy() - found["over"].to_numpy()) / table["over_mcse"]
        assert np.abs(z).max() < 4

    def test_without_spread_the_slope_is_that_through_exposure(self):
        # E = e^7 (d/d*)^0.4 with next to no spread: the slope on ln dose is 0.4 c.
        noise = 1e-3 * np.random.default_rng(2).standard_normal(21)
        value = 7.0 + 0.4 * np.log(AMOUNT / 1e7) + noise
        toxicity = dose.Toxicity(
            Normal(MEAN[0], SD[0]), exposure=LogNormal(float(np.exp(MEAN[1])), SD[1]), dose=0.0
        )
        result = fitted(
            patients(AMOUNT, DLT, value, weight=WEIGHT), Links(toxicity, 1e7), (), cores=1,
            **SETTINGS,
        )  # fmt: skip
        table = result.per_dose()
        z = (table["mean"].to_numpy() - quadrature(slope_scale=0.4)) / table["mcse"].to_numpy()
        assert np.abs(z).max() < 4
        assert result.mediated().loc["share", "median"] == pytest.approx(1.0)
        assert result.mediated().loc["risk_direct", "mean"] == pytest.approx(0.0, abs=1e-12)


LINKS = Links(
    dose.Toxicity(Normal(-1.0, 1.5)), 1e7, cytokines=("il6", "il2"),
    grade=crs.ProportionalOdds(["il6"], levels=(0, 1, 2, 3, 4)),
)  # fmt: skip


def draws_of(links, n=7, seed=1):
    return averaged.prior_draws(links, n, seed)


class TestAveraging:
    def test_the_mean_of_expit_is_the_integral(self):
        for mean, sd in ((-2.0, 0.3), (0.5, 1.5), (-4.0, 2.5)):
            exact, _ = integrate.quad(
                lambda e, m=mean, s=sd: special.expit(m + s * e) * stats.norm.pdf(e), -12, 12,
                epsabs=1e-12, limit=200,
            )  # fmt: skip
            got = averaged.expit_mean(np.array(mean), np.array(sd))
            assert float(got) == pytest.approx(exact, abs=2e-6)

    def test_p_dlt_is_averaged_over_exposure(self):
        d, x = draws_of(LINKS), np.log(3.0)
        d["sigma"] = np.full(7, 1.1)
        got = averaged.dlt_probability(LINKS, d, np.array([x]))[:, 0]
        for i in range(7):

            def value(e, i=i):
                eta = d["dlt_intercept"][i] + d["dlt_dose"][i] * x
                eta += d["dlt_exposure"][i] * (d["slope"][i] * x + 1.1 * e)
                return special.expit(eta) * stats.norm.pdf(e)

            assert got[i] == pytest.approx(integrate.quad(value, -12, 12)[0], abs=1e-5)

    def test_a_given_reference_exposure_moves_the_intercept(self):
        # With E* = e^intercept both forms are the same model.
        d = draws_of(LINKS)
        d["intercept"] = np.full(7, np.log(2000.0))
        there = Links(LINKS.toxicity, 1e7, 2000.0)
        x = np.log(DOSES / 1e7)
        np.testing.assert_allclose(
            averaged.dlt_probability(there, d, x),
            averaged.dlt_probability(Links(LINKS.toxicity, 1e7), d, x), rtol=1e-12,
        )  # fmt: skip

    def test_grades_are_averaged_over_exposure_and_peaks(self):
        # Independent transcription: simulate patients of one dose through the chain.
        d = draws_of(LINKS, 1)
        d["sigma"], d["il6_sigma"] = np.array([0.8]), np.array([0.6])
        d["il6_intercept"] = np.array([4.0])
        rng, n, x = np.random.default_rng(2), 400_000, np.log(3.0)
        v = {k: float(a[0]) for k, a in d.items()}
        e = v["slope"] * x + 0.8 * rng.standard_normal(n)
        peak = 4.0 + v["il6_slope"] * e + 0.6 * rng.standard_normal(n)
        eta = v["grade_exposure"] * e + v["grade_ln_il6_peak"] * (peak - np.log(100.0))
        cut, got = v["grade_intercept"], averaged.grade_probability(LINKS, d, np.array([x]))
        for k in range(4):
            if k:
                cut -= v[f"grade_step_{k + 1}"]
            p = special.expit(cut + eta)
            assert got[0, 0, k] == pytest.approx(p.mean(), abs=5 * p.std() / np.sqrt(n) + 1e-6)


class TestDensity:
    def test_the_joint_density_is_the_sum_of_its_parts(self):
        # Independent transcription with scipy; differences between two points, so that constants
        # and the sampler's changes of variable cancel where they must.
        rows = patients(
            DOSES[[0, 1, 2, 2, 3, 3, 1]], [0, 0, 1, 0, np.nan, 1, 1],
            np.log([90, 50, 4e3, 7e2, 2e3, 8e3, 1.0]),
            status=np.array(
                ["measured", "below", "measured", "above", "measured", "measured", "missing"]
            ),
            weight=[1, 1, 1, 0.4, 1, 1, 1], cytokines=("il6", "il2"),
            peak=np.log(
                np.array(
                    [[20, 1.0], [5, 0.7], [900, 4], [60, 2], [100, 3], [2000, 0.7], [30, 1.5]]
                )
            ),
        )  # fmt: skip
        rows["grade"] = ("id", np.array([0, 0, 4, 1, np.nan, 2.0, 1]))
        rows["exposure_error"][4] = 0.3
        status = rows["peak_status"].values.copy().astype("<U8")
        status[1, 1], status[5, 1] = "below", "above"
        rows["peak_status"] = (("id", "cytokine"), status)
        model = build(rows, LINKS)
        from pytensor.compile.mode import Mode

        plain_python = Mode("py", "fast_compile")
        log_density = model.compile_logp(jacobian=True, sum=False, mode=plain_python)
        names = [v.name for v in model.value_vars]
        rng = np.random.default_rng(8)
        points = []
        for _ in range(2):
            point = {
                k: 0.3 * rng.standard_normal(np.shape(v)) for k, v in model.initial_point().items()
            }
            mine = sum(float(np.sum(v)) for v in log_density(point))
            points.append((mine, reference(point, rows)))
        assert len(names) == 19
        change = points[1][0] - points[0][0]
        assert change == pytest.approx(points[1][1] - points[0][1], abs=1e-8)


def reference(point, rows):
    """Return the joint log density at a point of the sampler, by scipy alone."""

    def positive(name, prior):
        u = point[f"{name}_log__"]
        return np.exp(u), np.sum(prior.logpdf(np.exp(u)) + u)

    half = stats.halfnorm
    total, v = 0.0, {}
    for name, prior in (
        ("intercept", stats.norm(0, 20)), ("slope", stats.norm(0.5, 1)),
        ("grade_intercept", stats.norm(0, 2)), ("grade_ln_il6_peak", stats.norm(0, 1)),
        ("grade_exposure", stats.norm(0, 1)), ("dlt_intercept", stats.norm(-1.0, 1.5)),
        ("peak_intercept", stats.norm(0, 10)), ("peak_slope", stats.norm(0, 1)),
    ):  # fmt: skip
        v[name] = point[name]
        total += np.sum(prior.logpdf(point[name]))
    step = stats.lognorm(0.7, scale=1.5)
    for name, prior in (
        ("sigma", half(scale=1.5)), ("peak_sigma", half(scale=1.5)), ("grade_step_2", step),
        ("grade_step_3", step), ("grade_step_4", step), ("dlt_exposure", half(scale=1.0)),
        ("dlt_dose", half(scale=0.5)),
    ):  # fmt: skip
        v[name], extra = positive(name, prior)
        total += extra
    x, z = np.log(rows["dose"].values / 1e7), rows["exposure"].values.copy()
    for side, sign in (("below", -1), ("above", 1)):
        at = np.flatnonzero(rows["exposure_status"].values == side)
        gap = point[f"exposure_{side}"]
        z[at] = z[at] + sign * np.exp(gap)
        total += gap.sum()
    # One exposure is measured with error and one is missing: each has a deviation of its own.
    z[4] += 0.3 * point["exposure_off"][0]
    z[6] = v["intercept"] + v["slope"] * x[6] + v["sigma"] * point["exposure_gap"][0]
    total += stats.norm.logpdf([point["exposure_off"][0], point["exposure_gap"][0]]).sum()
    law = stats.norm(v["intercept"] + v["slope"] * x, v["sigma"])
    total += law.logpdf(z)[:6].sum()
    relative = z - v["intercept"]
    peak, status = rows["peak"].values, rows["peak_status"].values
    for k in range(2):
        law = stats.norm(v["peak_intercept"][k] + v["peak_slope"][k] * relative, v["peak_sigma"][k])
        each = {"measured": law.logpdf(peak[:, k]), "below": law.logcdf(peak[:, k]),
                "above": law.logsf(peak[:, k])}  # fmt: skip
        total += sum(each[str(s)][i] for i, s in enumerate(status[:, k]))
    cuts = v["grade_intercept"] - np.cumsum(
        [0, v["grade_step_2"], v["grade_step_3"], v["grade_step_4"]]
    )
    for i, g in enumerate(rows["grade"].values):
        if np.isnan(g):
            continue
        eta = v["grade_exposure"] * relative[i]
        eta += v["grade_ln_il6_peak"] * (peak[i, 0] - np.log(100.0))
        above = np.concatenate([[1.0], special.expit(cuts + eta), [0.0]])
        total += np.log(above[int(g)] - above[int(g) + 1])
    for y, w, r, xi in zip(rows["dlt"].values, rows["weight"].values, relative, x, strict=True):
        if np.isnan(y):
            continue
        p = special.expit(v["dlt_intercept"] + v["dlt_exposure"] * r + v["dlt_dose"] * xi)
        total += np.log(p) if y else np.log1p(-w * p)
    return float(total)


class TestResult:
    def test_tables_hold_priors_beside_posterior(self, plain):
        table = plain.table()
        assert table.loc["dlt_exposure", "prior"] == "held at 0"
        assert np.isnan(table.loc["dlt_exposure", "rhat"])
        low, high = Normal(MEAN[0], SD[0]).quantile(np.array([0.05, 0.95]))
        assert table.loc["dlt_intercept", ["prior_lower", "prior_upper"]].tolist() == [low, high]
        per = plain.per_dose()
        assert per["n"].tolist() == [3, 3, 9, 6]
        assert per["dlts"].tolist() == [0, 0, 2, 3]

    def test_prior_p_over_is_that_of_the_prior_alone(self, plain):
        found = plain.per_dose(limits=(0.16, 0.33))["prior_over"].to_numpy()
        rng = np.random.default_rng(9)
        a = MEAN[0] + SD[0] * rng.standard_normal(400_000)
        b = np.exp(MEAN[1] + SD[1] * rng.standard_normal(400_000))
        exact = [(special.expit(a + b * np.log(d / 1e7)) >= 0.33).mean() for d in DOSES]
        np.testing.assert_allclose(found, exact, atol=4 * 0.5 / np.sqrt(20_000))

    def test_nothing_goes_through_exposure_that_has_no_effect(self, plain):
        table = plain.mediated()
        assert table.loc["share", "median"] == 0.0
        assert table.loc["risk_through", "upper"] == pytest.approx(0.0, abs=1e-12)
        np.testing.assert_allclose(
            table.loc["risk_total", "mean"],
            table.loc["risk_direct", "mean"] + table.loc["risk_through", "mean"], rtol=1e-10,
        )  # fmt: skip

    def test_what_goes_through_exposure_is_said_for_a_clinician(self, plain):
        table, said = plain.mediated(), plain.mediated_sentence
        whole = [f"{100 * table.loc['risk_total', k]:.0f}" for k in ("median", "lower", "upper")]
        assert "Of 100 patients, {} ({} to {}) more have a DLT at".format(*whole) in said.replace(
            "−", "-"
        )
        assert "0 (0 to 0) go with the difference in Cmax" in said  # exposure has no effect here
        assert table.loc["slope_direct", "unit"] == "log odds per factor e of dose"
        assert not table["label"].str.contains("_").any()

    def test_a_saved_chain_comes_back_the_same(self, plain, tmp_path):
        back = dose.load_chain(plain.save(tmp_path / "chain.nc"))
        assert back.links == plain.links
        assert back.notes == ("a note",)
        pd.testing.assert_frame_equal(back.per_dose(), plain.per_dose())
        assert back.sentence == plain.sentence
        (tmp_path / "other.nc").write_bytes(b"no")
        with pytest.raises(FitError, match="chain"):
            dose.load_chain(tmp_path / "other.nc")

    def test_typical_exposure_by_dose_is_the_power_model(self, plain):
        table, d = plain.exposure_per_dose([2e7]), plain.draws
        exact = np.exp(np.median(d["intercept"] + d["slope"] * np.log(2.0)))
        assert table["median"].iloc[0] == pytest.approx(exact)


def test_parts_that_contradict_each_other_are_named():
    toxicity = dose.Toxicity(Normal(0, 1))
    with pytest.raises(ModelError, match="begin at 0"):
        Links(toxicity, 1e7, grade=crs.ProportionalOdds())
    with pytest.raises(ModelError, match="il6"):
        Links(toxicity, 1e7, grade=crs.ProportionalOdds(["il6"], levels=(0, 1, 2)))
    with pytest.raises(ModelError, match="reference"):
        Links(toxicity, 0.0)
    with pytest.raises(ModelError, match="log odds"):
        dose.Toxicity(HalfNormal(1.0))


class TestOrderFree:
    def test_p_above_has_a_closed_form_for_powers(self):
        # X ~ Beta(a, 1) and Y ~ Beta(b, 1): P(X > Y) = a / (a + b).
        assert beta_above(3.0, 1.0, 2.0, 1.0) == pytest.approx(0.6, abs=1e-8)
        assert beta_above(0.5, 0.5, 0.5, 0.5) == pytest.approx(0.5, abs=1e-8)

    def test_rates_and_isotonic_estimates(self):
        known = dose.counts({1e6: (1, 3), 3e6: (0, 3), 1e7: (2, 6)}, levels=tuple(DOSES))
        got = dose.order_free(known, prior=dose.JEFFREYS)
        table = got.table()
        np.testing.assert_allclose(table["mean"].iloc[:3], [1.5 / 4, 0.5 / 4, 2.5 / 7])
        exact = stats.beta(2.5, 4.5).ppf([0.5, 0.05, 0.95])
        np.testing.assert_allclose(table.loc[1e7, ["median", "lower", "upper"]].tolist(), exact)
        iso = optimize.isotonic_regression([1 / 3, 0, 1 / 3], weights=[3, 3, 6]).x
        np.testing.assert_allclose(table["isotonic"].iloc[:3], iso)
        assert np.isnan(table["isotonic"].iloc[3])
        assert np.isnan(table["p_above_lower"].iloc[3])
        assert table["p_above_lower"].iloc[1] < 0.25
        assert "Jeffreys" not in repr(got)
        assert "a=0.5" in repr(got)


class TestPeaks:
    def test_peaks_and_their_bounds(self):
        trial = datasets.load("fast01")
        found = dose.peaks(trial)
        frame = trial[["dv", "censoring", "lloq"]].to_dataframe().reset_index()
        frame = frame[(frame["endpoint"] == "il4") & (frame["time"].between(0, 28))]
        for i, who in enumerate(found.ids):
            mine = frame[frame["patient"] == who]
            exact = mine.loc[mine["censoring"] == "none", "dv"]
            j = found.names.index("il4")
            if len(exact):
                assert np.exp(found.value[i, j]) == pytest.approx(exact.max())
            else:
                assert found.status[i, j] == "below"
                assert np.exp(found.value[i, j]) == pytest.approx(mine["dv"].max())
        over = found.status[:, found.names.index("mcp1")] == "above"
        assert over.sum() == frame["patient"].nunique() - 27

    def test_patients_are_taken_in_the_order_asked(self):
        found = dose.peaks(datasets.load("fast01"), ["il6"]).of(["F01-002", "nobody", "F01-001"])
        assert list(found.status[:, 0]) == ["measured", "missing", "measured"]
        assert np.isnan(found.value[1, 0])


@pytest.mark.slow
def test_the_whole_chain_on_fast01():
    trial = datasets.load("fast01")
    known = dose.data(trial, levels=tuple(DOSES))
    toxicity = dose.Toxicity(Normal(dose.log_odds(0.2), 1.5))
    result = dose.chain(
        trial, toxicity=toxicity, reference=1e7, endpoint="transgene", data=known, draws=600,
        tune=600, seed=1,
    )  # fmt: skip
    assert result.verdict.ok, result.verdict.sentence
    # The exposure part is that of the power model alone, by quadrature.
    params = nca.table(trial, "transgene", window=(0, 28))
    alone = dose.exposure(params, trial, "cmax", data=known, reference=1e7)
    mean, sd = alone.grid.moments(alone.grid.slope)
    assert result.draws["slope"].mean() == pytest.approx(mean, abs=0.1 * sd)
    assert result.draws["slope"].std() == pytest.approx(sd, rel=0.1)
    # IL-6 was simulated to rise with exposure, and CRS with IL-6.
    assert (result.draws["il6_slope"] > 0).mean() > 0.99
    assert (result.draws["grade_ln_il6_peak"] > 0).mean() > 0.95
    assert set(result.peaks_per_dose().index.get_level_values(0)) == set(result.links.cytokines)


class TestBelowTheMtd:
    def setup_method(self):
        self.known = dose.counts(
            {1e6: (0, 3), 3e6: (0, 6), 1e7: (1, 6), 3e7: (2, 6)}, levels=tuple(DOSES)
        )
        self.over = pd.Series([0.01, 0.03, 0.1, 0.24], index=DOSES)

    def recommend(self, response, **options):
        table = pd.DataFrame({"response": response, "n_response": [3, 6, 6, 6]}, index=DOSES)
        rule = {"share": 0.8, "certainty": 0.6, "prior": Beta(0.5, 0.5), **options}
        return dose.recommend_below_mtd(self.known, 3e7, table, self.over, **rule)

    def test_a_flat_response_gives_the_lowest_dose(self):
        got = self.recommend([2, 3, 3, 3])
        assert (got.action, got.dose) == ("recommend", 1e6)
        assert got.sentence.startswith("Recommended dose")
        assert "80\u202f%" in got.reason

    def test_a_rising_response_gives_the_mtd(self):
        got = self.recommend([0, 0, 1, 6])
        assert got.dose == 3e7
        assert "MTD stands" in got.reason

    def test_doses_with_too_few_patients_are_passed_over(self):
        assert self.recommend([2, 3, 3, 3], fewest=6).dose == 3e6

    def test_p_enough_is_that_of_independent_betas(self):
        # P(X >= Y) with share 1 is the closed form by quadrature.
        got = self.recommend([2, 3, 3, 4], share=1.0)
        exact = beta_above(3.5, 3.5, 4.5, 2.5)
        assert got.table["p_enough"].iloc[2] == pytest.approx(exact, abs=4 * 0.5 / np.sqrt(2e4))
        assert got.table["p_enough"].iloc[3] == 1.0

    def test_a_more_toxic_lower_dose_is_never_chosen(self):
        self.over = pd.Series([0.5, 0.03, 0.1, 0.24], index=DOSES)
        assert self.recommend([3, 3, 3, 3]).dose == 3e6

    def test_what_is_missing_is_named(self):
        with pytest.raises(DataError, match="over"):
            dose.recommend_below_mtd(
                self.known, 3e7, pd.DataFrame({"response": 1, "n_response": 3}, index=DOSES),
                pd.DataFrame({"p": 1.0}, index=DOSES), share=0.8, certainty=0.5,
                prior=Beta(1, 1),
            )  # fmt: skip
        with pytest.raises(ValueError, match="prior="):
            self.recommend([1, 1, 1, 1], prior=None)
        with pytest.raises(ValueError, match="share"):
            self.recommend([1, 1, 1, 1], share=1.5)


class TestPictures:
    def test_exposure_of_every_patient(self, plain):
        ax = plots.exposure_power(plain)
        shown = sum(len(line.get_xdata()) for line in ax.lines if line.get_marker() == "o")
        assert shown == 21
        assert ax.get_xscale() == ax.get_yscale() == "log"

    def test_a_curve_beside_the_rates_of_each_dose(self, plain):
        known = dose.counts({1e6: (0, 3), 1e7: (2, 9)}, levels=tuple(DOSES))
        curve = pd.DataFrame({"dose": DOSES, "mean": [0.1, 0.2, 0.3, 0.4]})
        ax = plots.dlt_by_dose(plain, curve=curve, free=dose.order_free(known), target=(0.16, 0.33))
        assert {"0/3", "2/9"} <= {t.get_text() for t in ax.texts}
        assert any(np.array_equal(line.get_ydata(), curve["mean"].to_numpy()) for line in ax.lines)

    def test_observed_counts_stand_below_a_curve_without_rates(self, plain):
        ax = plots.dlt_by_dose(plain)
        level = plain.patients["dose_level"].values
        expected = [f"{int(DLT[level == d].sum())}/{int((level == d).sum())}" for d in DOSES]
        assert [t.get_text() for t in ax.texts] == expected
        assert ax.get_ylim()[0] < min(t.xy[1] for t in ax.texts)

    def test_dlts_over_exposure(self, plain):
        figure = plots.toxicity_by_exposure(plain)
        assert len(figure.axes) == 1
        dots = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
        assert sum(round(float(d.get_ydata()[0])) == 1 for d in dots) == DLT.sum()

    def test_the_mediated_part_is_drawn_with_its_numbers(self, plain):
        table = plain.mediated()
        ax = plots.mediated_share(table)
        row = table.loc["risk_total"]
        words = f"{row['median']:.2f} ({row['lower']:.2f} to {row['upper']:.2f})"
        assert words.replace("-", "−") in {t.get_text() for t in ax.texts}
        with pytest.raises(DataError, match="mediated"):
            plots.mediated_share(plain.table())

    def test_peaks_of_a_chain_with_cytokines(self, plain):
        with pytest.raises(DataError, match="no cytokines"):
            plots.peaks_by_dose(plain)
        links = Links(plain.links.toxicity, 1e7, cytokines=("il6",))
        draws = plain.posterior.assign(
            {f"il6_{k}": xr.full_like(plain.posterior["sigma"], v)
             for k, v in (("intercept", 3.0), ("slope", 0.5), ("sigma", 0.4))}
        )  # fmt: skip
        peak = np.full((21, 1), 3.0)
        rows = patients(AMOUNT, DLT, plain.patients["exposure"].values, cytokines=("il6",),
                        peak=peak)  # fmt: skip
        rows["lloq"] = ("cytokine", np.array([5.0]))
        tree = xr.DataTree.from_dict({"posterior": draws, "patients": rows})
        found = dose.ChainResult(
            links=links, tree=tree, verdict=plain.verdict, notes=(), provenance={}
        )
        # A new patient's ln peak is normal with mean 3 + 0.5 b x and SD √(0.4² + (0.5 σ)²).
        table = found.peaks_per_dose([1e7])
        assert table["median"].iloc[0] == pytest.approx(np.exp(3.0))
        spread = np.log(table["predicted_upper"] / table["predicted_lower"]).iloc[0] / 2
        sd = np.sqrt(0.4**2 + (0.5 * plain.draws["sigma"]) ** 2)
        assert spread == pytest.approx(1.645 * np.mean(sd), rel=0.05)
        figure = plots.peaks_by_dose(found)
        assert len(figure.axes) == 1


def test_dlts_by_grade_are_counted_with_exact_intervals():
    """Clopper & Pearson: closed form at 0 of 2; 0.0127 to 0.7514 at 1 of 4, as in tables."""
    grade = np.array([0, 0, 2, 2, 2, 2, np.nan, 2])
    dlt = np.array([0, 0, 0, 1, 0, 0, 1, np.nan])  # the last two are not known both
    seen = SimpleNamespace(patients=xr.Dataset({"grade": ("id", grade), "dlt": ("id", dlt)}))
    found = ChainResult.grades_and_dlts(seen, prob=0.9)
    assert found[["dlts", "n"]].to_numpy().tolist() == [[0, 2], [1, 4]]
    assert found.index.tolist() == [0, 2]
    assert found.loc[0, "upper"] == pytest.approx(1 - 0.05**0.5, abs=1e-9)
    assert found.loc[2, ["lower", "upper"]].tolist() == pytest.approx([0.0127, 0.7514], abs=5e-5)
