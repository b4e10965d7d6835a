"""Pictures of residuals, deviations and predictive checks, by what they put on the axes."""

import numpy as np
import pytest
import xarray as xr
from diagnostics_inputs import known, simulated_line, trial
from matplotlib.figure import Figure
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm

from cart_pkpd import checks, plots
from cart_pkpd._core.errors import DataError

TRUTH = {"c0": 100.0, "k": 0.1, "omega_c0": 0.6, "omega_k": 0.03, "sigma_log": 0.4}


@pytest.fixture(scope="module")
def result():
    """A known fit of 24 patients with limits at both ends, a dose level and a sex."""
    rng = np.random.default_rng(21)
    level = simulated_line(rng, 24, omega_c0=0.6, omega_k=0.03, sigma=0.4)
    covariates = {
        "dose_level": np.repeat([1e6, 1e7], 12),
        "sex": np.tile(["F", "M"], 12),
        "ecog_grade": np.tile([0.0, 0.0, 1.0], 8),
        "burden": rng.uniform(1, 5, 24),
    }
    own = {n: TRUTH[n] * np.exp(0.2 * rng.standard_normal((50, 24))) for n in ("c0", "k")}
    records = trial(level, lloq=20.0, uloq=250.0, covariates=covariates)
    return known(records, TRUTH, own, iiv=["c0", "k"])


@pytest.fixture(scope="module")
def residuals(result):
    return checks.residuals(result, n_sims=200)


def lines(ax, label):
    return [line for line in ax.lines if line.get_label() == label]


def marks(ax, marker):
    return sum(len(line.get_xdata()) for line in ax.lines if line.get_marker() == marker)


def texts(figure: Figure) -> str:
    return " | ".join(t.get_text() for legend in figure.legends for t in legend.get_texts())


def counts(residuals) -> tuple[int, int, int]:
    codes = residuals["censoring"].values
    return tuple(int((codes == c).sum()) for c in ("none", "left", "right"))


def test_a_residual_is_drawn_with_censored_records_and_running_quantiles(residuals):
    exact, left, right = counts(residuals)
    assert min(exact, left, right) > 0
    ax = plots.residual(residuals, "npde", "time")
    assert len(lines(ax, "residuals")[0].get_xdata()) == exact
    assert marks(ax, "v") == left
    assert marks(ax, "^") == right
    assert len(lines(ax, "running")) == 3
    assert ax.get_ylabel() == "NPDE"
    assert ax.get_xlabel() == "Time since first infusion (days)"
    iwres = plots.residual(residuals, "iwres", "ipred")
    assert marks(iwres, "v") == 0
    assert iwres.get_xlabel() == "Individual prediction (copies/µg)"
    assert iwres.get_xscale() == "log"


def test_goodness_of_fit_has_two_rows_of_three(residuals):
    figure = plots.gof(residuals)
    assert [ax.get_ylabel() for ax in figure.axes] == [
        "Observed CAR transgene (copies/µg)", "CWRES", "CWRES",
        "Observed CAR transgene (copies/µg)", "IWRES", "IWRES",
    ]  # fmt: skip
    assert figure.axes[0].get_xscale() == figure.axes[0].get_yscale() == "log"
    assert len(lines(figure.axes[0], "identity")) == 1
    assert "below LLOQ" in texts(figure)
    assert "90\u202f% band" in texts(figure)


def test_npde_histogram_counts_every_record_and_the_bands_are_normal(residuals):
    figure = plots.npde(residuals)
    histogram, qq, time, pred = figure.axes
    assert sum(bar.get_height() for bar in histogram.patches) == residuals.sizes["obs"]
    expected = lines(histogram, "expected")[0].get_ydata()
    inner = residuals.sizes["obs"] * (norm.cdf(0.5) - norm.cdf(0.0))
    assert_allclose(expected[6], inner, rtol=1e-12)
    assert_array_equal(lines(qq, "residuals")[0].get_ydata(), np.sort(residuals["npde"].values))
    assert time.get_ylabel() == pred.get_ylabel() == "NPDE"
    assert pred.get_xlabel() == "Population prediction (copies/µg)"


def test_residuals_of_no_record_cannot_be_drawn(residuals):
    nothing = residuals.assign(npde=xr.full_like(residuals["npde"], np.nan))
    for draw in (plots.residual, plots.npde):
        with pytest.raises(DataError, match="no record has NPDE"):
            draw(nothing)
    without = residuals.assign(cwres=xr.full_like(residuals["cwres"], np.nan))
    assert len(plots.gof(without).axes) == 4


def test_a_predictive_check_shows_both_tails(result):
    check = checks.vpc(result, n_sims=40, bins=[0, 1, 4, 8, 20])
    labels = [ax.get_ylabel() for ax in plots.vpc(check).axes]
    assert labels[1:] == ["Above ULOQ\n(% of samples)", "Below LLOQ\n(% of samples)"]


def test_a_corrected_check_has_no_limit_and_shows_corrected_levels(result):
    check = checks.vpc(result, n_sims=40, bins=[0, 1, 4, 8, 20], prediction_corrected=True)
    figure = plots.vpc(check)
    assert figure.axes[0].get_ylabel().startswith("Prediction-corrected\nCAR transgene")
    assert "LLOQ" not in texts(figure)
    dots = next(line for line in figure.axes[0].lines if line.get_linestyle() == "None")
    exact = check["censoring"].values == "none"
    assert_array_equal(dots.get_ydata(), check["dv_corrected"].values[exact])


def test_strata_are_named_by_what_they_are(result):
    def titles(by):
        check = checks.vpc(result, n_sims=20, bins=[0, 4, 20], by=by)
        figure = plots.vpc(check)
        dots = [sum(len(line.get_xdata()) for line in ax.lines if line.get_linestyle() == "None")
                for ax in figure.axes[:2]]  # fmt: skip
        assert sum(dots) == (check["censoring"].values == "none").sum()
        return [ax.get_title(loc="left") for ax in figure.axes[:2]]

    assert titles("dose_level") == ["1×10⁶ cells", "1×10⁷ cells"]
    assert titles("sex") == ["F", "M"]
    assert titles("ecog_grade") == ["ECOG grade 0", "ECOG grade 1"]


def test_deviations_are_drawn_beside_the_normal_with_omega(result):
    check = checks.etas(result)
    figure = plots.etas(check)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["c0", "k"]
    curve = lines(figure.axes[0], "normal")[0]
    assert_allclose(curve.get_ydata().max(), norm.pdf(0, scale=0.6), rtol=1e-12)
    assert_array_equal(lines(figure.axes[0], "patients")[0].get_xdata(), check["mean"].values[:, 0])
    with pytest.raises(DataError, match="no patient"):
        plots.etas(check.isel(id=[]))


def test_deviations_along_covariates(result):
    check = checks.etas(result)
    figure = plots.eta_covariates(check, ["burden", "dose_level", "sex"], ["c0"])
    burden, dose, sex = figure.axes
    assert burden.get_ylabel() == "η c0"
    assert_array_equal(lines(burden, "patients")[0].get_xdata(), check["value"].sel(
        covariate="burden").values)  # fmt: skip
    r = float(check["spearman"].sel(parameter="c0", covariate="burden"))
    assert burden.get_title(loc="left").startswith(f"ρ = {r:.2f}".replace("-", "−"))
    assert dose.get_xscale() == "linear"
    assert [t.get_text() for t in sex.get_xticklabels()] == ["F", "M"]
    assert len(plots.eta_covariates(check).axes) == 2 * 4
    with pytest.raises(ValueError, match="burdn"):
        plots.eta_covariates(check, ["burdn"])


def test_ticks_of_doses_are_written_as_doses(result):
    figure = plots.eta_covariates(checks.etas(result), ["dose_level"], ["c0"])
    figure.canvas.draw()
    ax = figure.axes[0]
    assert ax.xaxis.get_offset_text().get_text() == ""
    texts = [t.get_text() for t in ax.get_xticklabels()]
    assert "5×10⁶" in texts
    assert "1e" not in "".join(texts)


def test_predictive_exposure_has_a_row_per_stratum(result):
    check = checks.predictive_exposure(result, by="dose_level", window=(0, 14), n_sims=40)
    figure = plots.predictive_exposure(check)
    cmax, auc = figure.axes
    assert cmax.get_xlabel() == "Cmax, geometric mean (copies/µg)"
    assert auc.get_xlabel() == "AUC0–14d, geometric mean (copies/µg·day)"
    assert len(lines(cmax, "observed")) == 2
    seen = [float(line.get_xdata()[0]) for line in lines(cmax, "observed")]
    values = check["observed"].sel(parameter="cmax", statistic="geometric_mean")
    assert_allclose(seen, values)
    assert [t.get_text() for t in cmax.get_yticklabels()] == [
        "1×10⁶ cells\nn = 12", "1×10⁷ cells\nn = 12",
    ]  # fmt: skip
    share = plots.predictive_exposure(check, "share")
    assert "patients with a quantified value (%)" in share.axes[0].get_xlabel()
    nothing = check.assign(simulated_median=xr.full_like(check["simulated_median"], np.nan))
    with pytest.raises(DataError, match="no stratum has a geometric mean"):
        plots.predictive_exposure(nothing)
