"""Priors as a table, by what they expect of a trial, and by what a posterior owes to them."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from cart_pkpd import checks, data, datasets, fit, models
from cart_pkpd._core.errors import FitError
from cart_pkpd._fit.result import FitResult
from cart_pkpd._fit.verdict import Verdict

CONVERGED = Verdict(True, "Converged: made up.", 1.0, "", 1e4, 1e4, 0, 1.0, 0.0)
MODEL = models.get("stein2019").with_(cmax={"typical": 5000}, beta=models.Fixed(0.01))
POPULATION = fit.population(
    iiv=["cmax", "tmax"],
    covariates={"cmax": ["dose_level", "sex"], "tmax": ["tumour_burden"]},
    error="combined",
    priors={"tmax": fit.Uniform(1.0, 30.0)},
)


@pytest.fixture(scope="module")
def fast01():
    return datasets.load("fast01")


# --- the table -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table(fast01):
    few = fast01.isel(obs=(fast01["dv"] > 0).to_numpy())
    return fit.priors(MODEL, few, POPULATION)


def test_the_table_has_every_quantity_and_what_is_held(table, fast01):
    known = [q.name for q in fit.structure(MODEL, fast01, POPULATION).quantities]
    assert list(table.index) == [*known, "beta"]
    assert table.attrs["prob"] == 0.9
    assert table.loc["beta", "role"] == "fixed"
    assert table.loc["beta", "median"] == 0.01
    assert np.isnan(table.loc["beta", "lower"])
    assert "instead of" in table.loc["beta", "source"]


def test_medians_and_intervals_are_those_of_scipy(table):
    """Log-normal of rho, half-normal of an omega whose median is the paper's 0.65, the uniform."""
    edges = [0.5, 0.05, 0.95]
    numbers = table[["median", "lower", "upper"]]
    assert_allclose(numbers.loc["rho"], stats.lognorm(s=0.5, scale=0.889).ppf(edges), rtol=1e-9)
    assert_allclose(numbers.loc["omega_cmax", "median"], 0.65, rtol=1e-9)
    half = stats.halfnorm(scale=0.65 / stats.halfnorm.ppf(0.5))
    assert_allclose(numbers.loc["omega_cmax"], half.ppf(edges), rtol=1e-9)
    assert_allclose(numbers.loc["tmax"], stats.uniform(1, 29).ppf(edges), rtol=1e-9)


def test_each_prior_says_where_it_is_from(table):
    origin, source = table["origin"], table["source"]
    assert origin["cmax"] == "given"
    assert source["cmax"].startswith("median given by the user instead of 24000 copies/µg (Stein")
    assert origin["tmax"] == "changed by the user"
    assert source["tmax"].startswith("instead of LogNormal(median=9.3, sigma=0.5): median: Stein")
    assert origin["rho"] == "computed"
    assert origin["alpha"] == "transcribed"
    assert "Stein (2019), Table 1" in source["alpha"]
    assert origin["omega_cmax"] == "transcribed"
    assert "IIV 0.65: Stein (2019), Table 1" in source["omega_cmax"]
    assert origin["beta_cmax_dose_level"] == "assumed"
    assert "no effect" in source["beta_cmax_dose_level"]
    assert origin["sigma_add"] == "scaled by the data"
    assert origin["sigma_prop"] == "assumed"


def test_a_finished_fit_has_the_same_table(fast01, table):
    few = fast01.isel(obs=(fast01["dv"] > 0).to_numpy())
    s = fit.structure(MODEL, few, POPULATION)
    result = FitResult("made", s, xr.DataTree(), CONVERGED, {})
    pd.testing.assert_frame_equal(result.priors(), table)


# --- prior predictive ----------------------------------------------------------------------


class Line(models.ClosedFormModel):
    """Mono-exponential decline."""

    c0 = models.Positive(100.0, "copies/µg", "level at 0", spread=0.5)
    k = models.Positive(0.1, "1/day", "decline rate", spread=0.3)

    def log_level(self, t, p):
        return models.math.log(p.c0) - p.k * t


TIMES = np.array([0.5, 3.0, 10.0, 20.0])


def line_trial(n=3, lloq=20.0, uloq=200.0, seed=5):
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        dv = 100.0 * np.exp(0.3 * rng.standard_normal() - 0.1 * TIMES)
        rows.append(pd.DataFrame({"ID": f"p{i}", "TIME": TIMES, "DV": dv}))
    table = pd.concat(rows).assign(DVID="transgene", LLOQ=lloq, ULOQ=uloq)
    table["CENS"] = (table["DV"] < lloq).astype(int)
    table["DV"] = table["DV"].clip(lower=lloq)
    return data.read_table(table, units={"transgene": "copies/µg"}, echo=False)


LINE_POPULATION = fit.population(iiv=["c0"], priors={"sigma_log": fit.Uniform(0.19999, 0.20001)})


def test_prior_bands_of_a_line_have_their_closed_form():
    """Without IIV of k, ln C(t) is normal given k and omega; so are its quantiles."""
    pop = fit.population(
        iiv=["c0"],
        priors={
            "sigma_log": fit.Uniform(0.19999, 0.20001),
            "omega_c0": fit.Uniform(0.39999, 0.40001),
            "k": fit.Uniform(0.09999, 0.10001),
        },
    )
    bins = [0, 1, 5, 15, 25]
    found = checks.prior_predictive(Line(), line_trial(20), pop, bins=bins, n_sims=2000, seed=3)
    sd = np.sqrt(0.5**2 + 0.4**2 + 0.2**2)
    for b, t in enumerate(TIMES):
        expected = np.exp(np.log(100) - 0.1 * t + sd * stats.norm.ppf(found["quantile"]))
        # 2000 trials share their typical value: the error of ln quantiles is 4 % at most.
        assert_allclose(found["simulated"][0, b], expected, rtol=0.1)
    below = stats.norm.cdf((np.log(20) - np.log(100) + 0.1 * TIMES) / sd).mean()
    above = stats.norm.sf((np.log(200) - np.log(100) + 0.1 * TIMES) / sd).mean()
    share = found["share_simulated"]
    assert_allclose(share.sel(tail="below_lloq"), below, atol=0.02)
    assert_allclose(share.sel(tail="above_uloq"), above, atol=0.02)
    assert found.attrs["unsolved"] == 0
    assert found.attrs["n_patients"] == 40000
    # Cmax by NCA is the largest of four measurements of each patient.
    rng = np.random.default_rng(1)
    ln = np.log(100) + np.sqrt(0.5**2 + 0.4**2) * rng.standard_normal((40000, 1)) - 0.1 * TIMES
    cmax = np.exp(ln + 0.2 * rng.standard_normal(ln.shape)).max(axis=1)
    middle = found["exposure_quantile"].sel(parameter="cmax", quantile=0.5)
    assert_allclose(middle, np.median(cmax), rtol=0.05)


def test_observed_shares_and_exposures_are_counted_by_hand():
    trial = line_trial()
    found = checks.prior_predictive(Line(), trial, LINE_POPULATION, n_sims=50)
    below = (trial["censoring"] == "left").to_numpy()
    share = found["share_observed"].to_series()
    assert share["below_lloq"] == below.mean() > 0
    assert share["above_uloq"] == 0
    dv = trial["dv"].to_numpy().reshape(3, -1)
    assert_allclose(found["exposure_observed"].sel(parameter="cmax"), dv.max(axis=1))
    largest = found["share_simulated"].sel(tail="above_largest")
    assert found["share_simulated"].sel(tail="ten_fold_above_largest") < largest
    cmax = found["exposure_simulated"].sel(parameter="cmax").to_numpy()
    place = np.mean(cmax < np.median(dv.max(axis=1)))
    assert_allclose(found["exposure_place"].sel(parameter="cmax"), place)
    again = checks.prior_predictive(Line(), trial, LINE_POPULATION, n_sims=50)
    xr.testing.assert_identical(found, again)


def test_limits_that_are_not_there_have_a_reason():
    trial = line_trial(lloq=1e-3, uloq=np.nan)
    found = checks.prior_predictive(Line(), trial, LINE_POPULATION, n_sims=20)
    one = found.sel(tail="above_uloq")
    assert np.isnan(one["share_simulated"])
    assert one["reason"] == "no record has a ULOQ"


class Explodes(models.OdeModel):
    """x' = k x² / a, which has no solution from day 1/k on."""

    x = models.State("copies/µg", "level")
    a = models.Positive(100.0, "copies/µg", "level at 0", spread=0.1)
    k = models.Positive(0.05, "1/day", "growth", spread=0.5)

    def initial(self, p):
        return {"x": p.a}

    def rhs(self, t, y, p):
        return {"x": p.k * y.x * y.x / p.a}

    def observe(self, t, y, p):
        return {"transgene": y.x}


def test_patients_without_a_solution_are_counted():
    """Solutions end where k > 1 / 20 days, the median of its prior: half of all (3 SE = 0.075)."""
    found = checks.prior_predictive(Explodes(), line_trial(2), fit.population(), n_sims=400)
    share = found.attrs["unsolved"] / found.attrs["n_patients"]
    assert abs(share - 0.5) < 0.08
    lost = np.isnan(found["exposure_simulated"].sel(parameter="cmax")).mean()
    assert_allclose(lost, share)


def test_strata_of_a_prior_predictive_check(fast01):
    found = checks.prior_predictive(
        MODEL, fast01, fit.population(iiv=["cmax"]), by="dose_level", n_sims=10
    )
    assert found.sizes["stratum"] == len(np.unique(fast01["dose_level"]))
    assert int(found["n"].sum()) == found.sizes["obs"]
    with pytest.raises(ValueError, match="no patient-level variable 'dose'"):
        checks.prior_predictive(MODEL, fast01, fit.population(), by="dose", n_sims=10)
    with pytest.raises(ValueError, match="window must run"):
        checks.prior_predictive(MODEL, fast01, fit.population(), window=(3, 3))


# --- sensitivity ---------------------------------------------------------------------------


def cjs(p, q, x):
    """Cumulative Jensen–Shannon distance of two distribution functions on a grid.

    Written from equations 4 to 6 of Kallioinen et al. (2024), in base 2, larger of both sides.
    """

    def one(p, q):
        def half(a, b):
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.where(a > 0, a * np.log2(2 * a / (a + b)), 0.0)

        area = np.trapezoid(q - p, x) / (2 * np.log(2))
        both = np.trapezoid(half(p, q), x) + area + np.trapezoid(half(q, p), x) - area
        return np.sqrt(both / np.trapezoid(p + q, x))

    return max(one(p, q), one(1 - p, 1 - q))


def conjugate(prior_mean, prior_sd, data_mean, data_sd, n=4000, seed=4):
    """A made fit: c0 with a normal posterior of known prior and likelihood (both normal)."""

    class Level(models.ClosedFormModel):
        c0 = models.Real(prior_mean, "copies/µg", "level", spread=prior_sd)

        def level(self, t, p):
            return p.c0 + 0.0 * t

        def log_level(self, t, p):
            return models.math.log(p.c0) + 0.0 * t

    structure = fit.structure(
        Level(), line_trial(1), fit.population(priors={"sigma_log": fit.Uniform(0.1, 0.3)})
    )
    precision = prior_sd**-2 + data_sd**-2
    mean = (prior_mean * prior_sd**-2 + data_mean * data_sd**-2) / precision
    rng = np.random.default_rng(seed)
    # Quantiles at even steps, in random order: draws without Monte-Carlo error.
    x = mean + stats.norm.ppf((np.arange(n) + 0.5) / n) / np.sqrt(precision)
    x = rng.permutation(x).reshape(4, -1)
    dims = ("chain", "draw")
    draws = xr.Dataset({"c0": (dims, x), "sigma_log": (dims, rng.uniform(0.1, 0.3, x.shape))})
    loglik = xr.Dataset(
        {"transgene": ((*dims, "obs"), stats.norm(data_mean, data_sd).logpdf(x)[..., None])}
    )
    tree = xr.DataTree.from_dict({"posterior": draws, "log_likelihood": loglik})
    return FitResult("made", structure, tree, CONVERGED, {}), mean, precision**-0.5


def expected(prior_mean, prior_sd, data_mean, data_sd, power, what):
    """Posterior mean and SD if the prior, or the likelihood, is raised to a power."""
    a, b = (power, 1.0) if what == "prior" else (1.0, power)
    precision = a * prior_sd**-2 + b * data_sd**-2
    mean = (a * prior_mean * prior_sd**-2 + b * data_mean * data_sd**-2) / precision
    return mean, precision**-0.5


CASES = {
    "possible prior-data conflict": (100.0, 2.0, 110.0, 2.0),
    "weak likelihood": (100.0, 1.0, 104.0, 20.0),
    "data decide": (100.0, 200.0, 104.0, 2.0),
}


@pytest.mark.parametrize("diagnosis", CASES)
def test_sensitivity_of_normal_posteriors_has_a_closed_form(diagnosis):
    """Power-scaled normals are normal: distances by quadrature (rtol 5 %, or 0.01)."""
    case = CASES[diagnosis]
    result, mean, sd = conjugate(*case)
    found = checks.prior_sensitivity(result).sel(quantity="c0")
    assert found["diagnosis"] == diagnosis
    x = mean + sd * np.linspace(-3.6, 3.6, 20001)  # as far as 4000 draws reach
    base = stats.norm(mean, sd).cdf(x)
    for what in ("prior", "likelihood"):
        each = [
            cjs(base, stats.norm(*expected(*case, p, what)).cdf(x), x) / abs(np.log2(p))
            for p in (0.99, 1.01)
        ]
        assert_allclose(found[what], np.mean(each), rtol=0.05, atol=0.01)


def test_only_the_prior_of_the_quantity_itself_acts_on_it():
    result, _, _ = conjugate(*CASES["possible prior-data conflict"])
    found = checks.prior_sensitivity(result, by_prior=True)
    matrix = found["by_prior"]
    assert_allclose(matrix.sel(quantity="c0", component="c0"), found["prior"].sel(quantity="c0"))
    assert matrix.sel(quantity="c0", component="sigma_log") < 0.01  # flat: no weight changes


def test_medians_under_weaker_and_stronger_priors():
    """Against the normal posterior of the scaled prior (within 0.1 SD)."""
    case = (*CASES["data decide"][:2], 300.0, 40.0)
    result, _, sd = conjugate(*case)
    found = checks.prior_sensitivity(result, strengths=(0.5, 1.0, 2.0))
    for power in (0.5, 1.0, 2.0):
        want = expected(*case, power, "prior")[0]
        assert abs(float(found["median"].sel(strength=power, quantity="c0")) - want) < 0.1 * sd
    conflict, _, _ = conjugate(100.0, 1.0, 160.0, 1.0)
    far = checks.prior_sensitivity(conflict, strengths=(20.0,))
    assert far["pareto_k"].item() > 0.7
    assert np.isnan(far["median"]).all()


def test_a_density_that_is_not_a_number_is_told():
    result, _, _ = conjugate(*CASES["data decide"])
    tree = result.tree.copy(deep=True)
    tree["log_likelihood"]["transgene"][0, 3] = -np.inf
    found = checks.prior_sensitivity(dataclasses.replace(result, tree=tree))
    assert (found["diagnosis"] == "unknown").all()
    assert "likelihood is not a number at 1 draws" in found["reason"].values[0]
    with pytest.raises(FitError, match="above 0"):
        checks.prior_sensitivity(result, threshold=0.0)


def test_a_fit_keeps_its_log_priors(tmp_path):
    """ln density of every draw against SciPy's, kept in the file."""
    result = fit.bayes(
        Line(), line_trial(), fit.population(), draws=100, tune=100, chains=2, seed=1
    )
    kept = fit.load(result.save(tmp_path / "f.nc"), Line()).tree["log_prior"]
    draws = result.draws()
    want = stats.lognorm(s=0.5, scale=100).logpdf(draws["c0"])
    assert_allclose(kept["c0"], want, rtol=1e-9)
    assert_allclose(kept["sigma_log"], stats.halfnorm.logpdf(draws["sigma_log"]), rtol=1e-9)
    assert_array_equal([*kept.data_vars], [*draws.data_vars])
    assert set(checks.prior_sensitivity(result)["diagnosis"].values) <= {
        "data decide", "possible prior-data conflict", "weak likelihood", "neither matters",
    }  # fmt: skip
