"""Virtual patients: each part against closed forms and exact properties."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit, logit

from cart_pkpd import fit, models, simulate
from cart_pkpd._core.errors import DataError, FitError, ModelError

DAYS = [0, 1, 3, 7, 10, 14, 21, 28]
NONE = {f"omega_{k}": 0.0 for k in ("cmax", "tmax", "rho", "alpha", "fb", "beta")}


def stein(t, p):
    """Stein et al. 2019, equations 1 and 2, written down once more; t (n,), p of columns (k, 1)."""
    up = p["cmax"] * np.exp(p["rho"] * (t - p["tmax"]))
    since = t - p["tmax"]
    slow = (1 - p["fb"]) * np.exp(-p["alpha"] * since) + p["fb"] * np.exp(-p["beta"] * since)
    return np.where(t <= p["tmax"], up, p["cmax"] * slow)


def stein_area(end, p):
    """Its integral from 0 to `end` for a peak before `end`."""
    rest = end - p["tmax"]
    rise = (1 - np.exp(-p["rho"] * p["tmax"])) / p["rho"]
    fast = (1 - p["fb"]) * (1 - np.exp(-p["alpha"] * rest)) / p["alpha"]
    slow = p["fb"] * (1 - np.exp(-p["beta"] * rest)) / p["beta"]
    return p["cmax"] * (rise + fast + slow)


def columns(people):
    values = people["individual"]
    return {str(n): values.sel(parameter=n).values[:, None] for n in values["parameter"].values}


def exposure(people, metric):
    return people["exposure"].isel(endpoint=0).sel(metric=metric).values


@pytest.fixture(scope="module")
def people():
    return simulate.patients("stein2019", 20_000, times=DAYS, error=0.4, lloq=50, seed=1)


class Bell(models.ClosedFormModel):
    """A smooth peak whose height, day and area are known."""

    top = models.Positive(1000.0, "copies/µg", "peak", iiv=0.5)
    day = models.Positive(9.0, "day", "its day", iiv=0.2)
    width = models.Positive(3.0, "day", "standard deviation", iiv=0.2)

    def log_level(self, t, p):
        return models.math.log(p.top) - 0.5 * ((t - p.day) / p.width) ** 2


class Cells(models.OdeModel):
    """Cells that are infused and decline at a constant rate."""

    cells = models.State("copies/µg", "cells")
    gain = models.Positive(1e-6, "copies/µg/cells", "level per cell", fixed=True)
    k = models.Positive(0.3, "1/day", "decline rate", iiv=0.3)
    burden = models.Covariate(1.0, "1", "tumour burden")
    dosed = "cells"

    def initial(self, p):
        return {"cells": 0.0}

    def dose_factor(self, p):
        return {"cells": p.gain}

    def rhs(self, t, y, p):
        return {"cells": -p.k * p.burden * y.cells}

    def observe(self, t, y, p):
        return {"transgene": y.cells}


def test_parameters_have_the_declared_distribution(people):
    model, n = models.get("stein2019"), people.sizes["id"]
    for name, record in model.parameters.items():
        free = record.to_free(people["individual"].sel(parameter=name).values)
        assert free.mean() == pytest.approx(
            record.to_free(record.typical), abs=4 * record.iiv / n**0.5
        )
        assert free.std() == pytest.approx(record.iiv, rel=4 / (2 * n) ** 0.5)
        assert stats.kstest((free - free.mean()) / free.std(), "norm").pvalue > 1e-3


def test_levels_and_exposure_are_those_of_the_closed_form(people):
    p, t = columns(people), np.array(DAYS, dtype=float)
    np.testing.assert_allclose(people["level"].isel(endpoint=0), stein(t, p), rtol=1e-12)
    early = (p["tmax"] < 28).ravel()
    assert early.mean() > 0.9
    np.testing.assert_allclose(exposure(people, "cmax")[early], p["cmax"][early, 0], rtol=1e-12)
    np.testing.assert_allclose(exposure(people, "tmax")[early], p["tmax"][early, 0], rtol=1e-12)
    apart = abs(exposure(people, "auc0_28")[early] / stein_area(28.0, p)[early, 0] - 1)
    assert np.quantile(apart, 0.99) < 1e-7
    assert apart.max() < 1e-4  # rates of many per day, of which there are a few in 20,000
    late = ~early  # still rising at the end of the window
    np.testing.assert_allclose(exposure(people, "tmax")[late], 28.0)


def test_a_smooth_peak_between_the_nodes_is_found():
    found = simulate.patients(Bell(), 4000, seed=2, window=(0, 40))
    p = {k: v.ravel() for k, v in columns(found).items()}
    inside = (p["day"] > 0.5) & (p["day"] < 39.5)
    np.testing.assert_allclose(exposure(found, "cmax")[inside], p["top"][inside], rtol=1e-9)
    np.testing.assert_allclose(exposure(found, "tmax")[inside], p["day"][inside], atol=1e-6)
    z = [stats.norm.cdf((edge - p["day"]) / p["width"]) for edge in (0.0, 40.0)]
    area = p["top"] * p["width"] * np.sqrt(2 * np.pi) * (z[1] - z[0])
    # After day 28 the pieces are a week long, about two widths of the bell.
    early = inside & (p["day"] + 6 * p["width"] < 28)
    np.testing.assert_allclose(exposure(found, "auc0_40")[early], area[early], rtol=1e-6)
    np.testing.assert_allclose(exposure(found, "auc0_40")[inside], area[inside], rtol=2e-3)


def test_doses_given_in_parts_add_up():
    shares = ((0.0, 0.3), (2.0, 0.3, 1.0), (7.0, 0.4))
    found = simulate.patients(
        Cells(), 50, doses=[1e6, 1e7], infusions=shares, times=[0, 1, 2, 2.5, 3, 7, 10, 28],
        covariates={"burden": simulate.Uniform(0.5, 2.0)}, seed=3,
    )  # fmt: skip
    k = (columns(found)["k"].ravel() * found["burden"].values)[:, None]
    dose, t = found["dose_level"].values[:, None] * 1e-6, found["time"].values[None, :]
    assert np.unique(found["dose_level"]).tolist() == [1e6, 1e7]

    def bolus(day, share):
        return np.where(t >= day, share * dose * np.exp(-k * np.maximum(t - day, 0.0)), 0.0)

    during, after = np.clip(t - 2.0, 0.0, 1.0), np.maximum(t - 3.0, 0.0)
    infused = 0.3 * dose * (1 - np.exp(-k * during)) / k * np.exp(-k * after)
    level = bolus(0.0, 0.3) + infused + bolus(7.0, 0.4)
    np.testing.assert_allclose(found["level"].isel(endpoint=0), level, rtol=1e-5, atol=1e-9)
    # Each part's area: its cells over k, less what is still there on day 28.
    left = dose * (0.3 * np.exp(-28 * k) + 0.4 * np.exp(-21 * k))
    left = left + 0.3 * dose * (1 - np.exp(-k)) / k * np.exp(-25 * k)
    np.testing.assert_allclose(exposure(found, "auc0_28"), ((dose - left) / k)[:, 0], rtol=1e-5)
    highest = np.maximum(0.3 * dose, level[:, [5]])[:, 0]
    np.testing.assert_allclose(exposure(found, "cmax"), highest, rtol=1e-5)


def test_residual_errors_have_their_numbers(people):
    z = np.log(people["dv"] / people["level"]).where(people["censored"] == 0)
    known = people["level"].isel(endpoint=0).values > 50 * np.exp(5 * 0.4)  # no BLQ among these
    scatter = z.values[:, :, 0][known]
    assert scatter.mean() == pytest.approx(0.0, abs=4 * 0.4 / scatter.size**0.5)
    assert scatter.std() == pytest.approx(0.4, rel=4 / (2 * scatter.size) ** 0.5)
    both = simulate.Residual("combined", sigma_add=30.0, sigma_prop=0.2)
    found = simulate.patients("stein2019", 20_000, times=[10], error=both, values=NONE, seed=1)
    f = found["level"].values.ravel()
    expected = np.hypot(30.0, 0.2 * f[0])
    scatter = (found["dv"].values.ravel() - f).std()
    assert scatter == pytest.approx(expected, rel=4 / (2 * f.size) ** 0.5)


def test_the_share_below_the_lloq_is_that_of_the_normal_distribution():
    n = 20_000
    found = simulate.patients(
        "stein2019", n, times=[3, 28], error=0.5, lloq=300.0, uloq=1200.0, values=NONE, seed=4
    )
    f = np.log(found["level"].isel(id=0, endpoint=0).values)
    below, above = stats.norm.cdf((np.log(300) - f) / 0.5), stats.norm.sf((np.log(1200) - f) / 0.5)
    code = found["censored"].isel(endpoint=0).values
    for value, share in ((1, below), (2, above)):
        spread = 4 * np.sqrt(share * (1 - share) / n) + 1e-3
        assert (abs((code == value).mean(axis=0) - share) < spread).all()
    dv = found["dv"].isel(endpoint=0).values
    assert (dv[code == 1] == 300).all()
    assert (dv[code == 2] == 1200).all()
    assert ((dv > 300) & (dv < 1200))[code == 0].all()


def test_patients_leave_at_their_rates():
    n, h = 40_000, (0.01, 0.004)
    found = simulate.patients(
        "stein2019", n, times=[0, 14, 28], window=None, seed=5,
        dropout=simulate.Dropout(hazard=h[0]), death=simulate.Dropout(hazard=h[1]),
    )  # fmt: skip
    left = found["left"].values
    for code, rate in ((1, h[0]), (2, h[1])):  # two competing exponentials
        share = rate / sum(h) * (1 - np.exp(-28 * sum(h)))
        assert (left == code).mean() == pytest.approx(share, abs=4 * np.sqrt(share / n))
    gone = found["last_contact"].values[:, None] < found["time"].values
    assert ((found["censored"].isel(endpoint=0).values == 4) == gone).all()
    assert np.isnan(found["dv"].isel(endpoint=0).values[gone]).all()
    short = simulate.patients("stein2019", n, dropout=simulate.Dropout(hazard=0.01), seed=5)
    share = 1 - np.exp(-0.28)  # followed to the end of the window where there are no visits
    assert (short["left"] == 1).mean() == pytest.approx(share, abs=4 * np.sqrt(share / n))
    weibull = simulate.Dropout(share=0.3, day=20, shape=1.7)
    u = np.random.default_rng(1).random(n)
    assert (weibull.times(u) < 20).mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / n))
    scale = 20 / (-np.log(0.7)) ** (1 / 1.7)
    assert weibull.gone(5.0) == pytest.approx(stats.weibull_min.cdf(5, 1.7, scale=scale))


def test_visits_move_and_are_missed():
    plan = simulate.Schedule([0, 1, 2, 7, 28], window=1.0, missed=0.1)
    found = simulate.patients("stein2019", 20_000, times=plan, window=None, seed=6)
    at, nominal = found["actual_time"].values, found["time"].values
    assert (at[:, 0] == 0).all()
    assert (np.diff(at, axis=1) >= 0).all()
    assert (abs(at - nominal) <= [0, 0.5, 1, 1, 1]).all()
    move = at[:, 4] - 28  # uniform on (-1, 1): standard deviation 1/√3
    assert move.std() == pytest.approx(3**-0.5, rel=0.02)
    missed = (found["censored"].isel(endpoint=0) == 3).mean("id").values
    assert missed[0] == 0
    np.testing.assert_allclose(missed[1:], 0.1, atol=4 * np.sqrt(0.09 / 20_000))
    p = columns(found)
    np.testing.assert_allclose(found["level"].isel(endpoint=0), stein(at, p), rtol=1e-12)


def test_numbers_do_not_depend_on_number_chunks_threads_or_other_parts(people):
    base = {"times": DAYS, "error": 0.4, "lloq": 50, "seed": 1}
    for more in (
        {"n": 5000, "chunk": 1, "threads": 1}, {"n": 3000, "threads": 2},
        {"n": 2500, "window": None}, {"n": 2500, "dropout": simulate.Dropout(hazard=0.02)},
        {"n": 2500, "covariates": {"weight": simulate.LogNormal(70, 0.2)}, "trials": 2},
    ):  # fmt: skip
        found = simulate.patients("stein2019", **base, **more)
        first = people.isel(id=slice(0, found.sizes["id"]))
        for name in ("individual", "level"):
            assert np.array_equal(found[name], first[name])
        same = found["censored"] == first["censored"]
        assert bool((same | (found["censored"] == 4)).all())
        assert np.array_equal(found["dv"].values[same], first["dv"].values[same])
    other = simulate.patients("stein2019", 100, **{**base, "seed": 2})
    assert not np.isin(other["individual"].values, people["individual"].values).any()


def test_covariates_have_their_distributions_and_correlations():
    found = simulate.patients(
        "stein2019", 20_000, seed=7, window=None, correlation={("weight", "age"): 0.6},
        covariates={
            "weight": simulate.LogNormal(70, 0.25), "age": simulate.TruncatedNormal(60, 12, 18, 90),
            "site": simulate.Categorical({"ovary": 0.5, "pancreas": 0.3, "pleura": 0.2}),
            "line": 3,
        },
    )  # fmt: skip
    weight, age = found["weight"].values, found["age"].values
    assert np.median(weight) == pytest.approx(70, rel=0.01)
    assert np.log(weight).std() == pytest.approx(0.25, rel=0.02)
    # Spearman's correlation of a Gaussian copula: 6/π arcsin(r/2).
    rank = stats.spearmanr(weight, age).statistic
    assert rank == pytest.approx(6 / np.pi * np.arcsin(0.3), abs=0.02)
    shares = [(found["site"] == s).mean().item() for s in ("ovary", "pancreas", "pleura")]
    np.testing.assert_allclose(shares, [0.5, 0.3, 0.2], atol=0.015)
    assert set(found["line"].values) == {3.0}
    table = pd.DataFrame({"ID": [1, 2, 3], "sex": ["f", "m", "f"], "weight": [50.0, 80.0, 61.0]})
    drawn = simulate.patients("stein2019", 6000, seed=8, window=None, covariates=table)
    pairs = {(s, w) for s, w in zip(drawn["sex"].values, drawn["weight"].values, strict=True)}
    assert pairs == {("f", 50.0), ("m", 80.0), ("f", 61.0)}
    assert (drawn["weight"] == 80).mean().item() == pytest.approx(1 / 3, abs=0.03)


def test_a_population_brings_correlations_covariates_and_non_expanders():
    population = fit.population(
        iiv=["cmax", "alpha", "fb"], corr=[["alpha", "fb"]], non_expanders=True,
        covariates={"alpha": [fit.covariate("weight", centre=70)], "tmax": ["sex"]},
    )  # fmt: skip
    values = {
        "omega_alpha": 0.3, "omega_fb": 0.7, "corr_alpha_fb": 0.5, "omega_cmax": 1e-3,
        "beta_alpha_weight": -0.75, "beta_tmax_sex_m": 0.2, "p_non_expander": 0.25,
        "non_expander_shift": 4.0, "sigma_log": 0.3,
    }  # fmt: skip
    found = simulate.patients(
        "stein2019", 20_000, population=population, values=values, times=[10], seed=9,
        covariates={
            "weight": simulate.LogNormal(70, 0.3), "sex": simulate.Categorical({"f": 0.6, "m": 0.4})
        },
    )  # fmt: skip
    model, p = models.get("stein2019"), {k: v.ravel() for k, v in columns(found).items()}
    eta = np.log(p["alpha"] / model.parameters["alpha"].typical)
    eta = eta + 0.75 * np.log(found["weight"].values / 70)
    assert eta.std() == pytest.approx(0.3, rel=0.025)
    other = logit(p["fb"]) - logit(model.parameters["fb"].typical)
    assert np.corrcoef(eta, other)[0, 1] == pytest.approx(0.5, abs=4 * 0.75 / 20_000**0.5)
    longer = p["tmax"][found["sex"].values == "m"] / model.parameters["tmax"].typical
    np.testing.assert_allclose(longer, np.exp(0.2), rtol=1e-12)
    low = p["cmax"] < model.parameters["cmax"].typical * np.exp(-2.0)
    assert low.mean() == pytest.approx(0.25, abs=4 * np.sqrt(0.1875 / 20_000))
    ln = np.log(p["cmax"][low] / model.parameters["cmax"].typical)
    assert ln.mean() == pytest.approx(-4.0, abs=1e-4)
    scatter = np.log(found["dv"] / found["level"]).std().item()
    assert scatter == pytest.approx(0.3, rel=0.025)


def test_outcomes_follow_dose_and_exposure():
    n = 30_000
    by_dose = simulate.Outcome(intercept=-1.0, slope=0.9, by="dose", reference=1e7)
    grades = simulate.Outcome(intercept=(0.5, -1.0, -2.5), slope=0.6, by="cmax", reference=2e4)
    found = simulate.patients(
        "stein2019", n, doses=[1e6, 1e7, 1e8], outcomes={"dlt": by_dose, "crs": grades}, seed=10
    )
    for dose in (1e6, 1e7, 1e8):
        p = expit(-1.0 + 0.9 * np.log(dose / 1e7))
        seen = found["dlt"].values[found["dose_level"] == dose].mean()
        assert seen == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / (n / 3)))
    x = np.log(exposure(found, "cmax") / 2e4)
    for grade, a in ((1, 0.5), (2, -1.0), (3, -2.5)):
        p = expit(a + 0.6 * x)
        seen = (found["crs"].values >= grade).mean()
        assert seen == pytest.approx(p.mean(), abs=4 * np.sqrt((p * (1 - p)).mean() / n))
    day = found["dlt_day"].values[found["dlt"] > 0]
    assert stats.chisquare(np.bincount(day.astype(int), minlength=29)[1:]).pvalue > 1e-3


def test_what_comes_after_a_loss_is_not_seen():
    dlt = simulate.Outcome(intercept=0.0, slope=0.0, by="cmax")
    args = {"outcomes": {"dlt": dlt}, "seed": 11}
    whole = simulate.patients("stein2019", 5000, **args)
    lost = simulate.patients("stein2019", 5000, dropout=simulate.Dropout(hazard=0.03), **args)
    seen = (whole["dlt"] > 0) & (whole["dlt_day"] <= lost["last_contact"])
    assert np.array_equal(lost["dlt"] > 0, seen)
    known = seen | (lost["left"] == 0)
    assert np.array_equal(lost["dlt_evaluable"] > 0, known)
    assert 0.3 < known.values.mean() < 0.9


def test_who_is_not_followed_to_the_end_of_the_window_is_not_evaluable_without_the_outcome():
    """Uniform onset: of outcomes with probability 1/2, half are seen in half of the window."""
    dlt = simulate.Outcome(intercept=0.0, slope=0.0, by="cmax")
    n = 20_000
    found = simulate.patients("stein2019", n, outcomes={"dlt": dlt}, follow_up=14.0, seed=4)
    assert np.array_equal(found["dlt_evaluable"] > 0, found["dlt"] > 0)
    assert (found["dlt"] > 0).mean() == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / n))


def test_summary_is_numpys_quantiles_with_an_order_below_the_limit(people):
    probs = (0.1, 0.5, 0.9)
    found = simulate.summary(people, by=None, probs=probs)
    dv = np.where(people["censored"] == 1, -np.inf, people["dv"])
    expected = np.quantile(dv, probs, axis=0, method="inverted_cdf")
    expected[~np.isfinite(expected)] = np.nan
    np.testing.assert_array_equal(found["dv"].isel(group=0), expected)
    level = np.quantile(people["level"], probs, axis=0, method="inverted_cdf")
    np.testing.assert_array_equal(found["level"].isel(group=0), level)
    share = (people["censored"] == 1).mean("id")
    np.testing.assert_allclose(found["below"].isel(group=0), share)
    auc = np.quantile(exposure(people, "auc0_28"), probs, method="inverted_cdf")
    np.testing.assert_array_equal(
        found["exposure"].isel(group=0, endpoint=0).sel(metric="auc0_28"), auc
    )


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (ModelError, "Did you mean 'stein2019'", {"model": "stein2018"}),
        (ModelError, "driven by doses; give doses=", {"model": "effector_memory"}),
        (ModelError, "no quantity 'omega_cmx'. Did you mean 'omega_cmax'",
         {"values": {"omega_cmx": 0.3}}),
        (ModelError, "cmax = -1.0 is not possible", {"values": {"cmax": -1.0}}),
        (ModelError, "must be between 0 and 1", {"values": {"fb": 1.5}}),
        (ValueError, "n must be a whole number of at least 1, not 0", {"n": 0}),
        (ValueError, "seed must be a whole number", {"seed": -1}),
        (ValueError, "unknown uncertainty 'patients'", {"uncertainty": "patients"}),
        (DataError, "times must be numbers", {"times": ["a"]}),
        (DataError, "at or after 0", {"times": [-1, 3]}),
        (DataError, "unknown endpoint of this simulation 'transgen'", {"times": {"transgen": [1]}}),
        (DataError, "lloq of transgene must be a number above 0", {"lloq": -5}),
        (DataError, "give simulate.Dropout", {"dropout": 0.2}),
        (DataError, "doses: 5 patients by dose, but n is 9", {"doses": {1e6: 2, 1e7: 3}}),
        (DataError, "one dose above 0", {"doses": [1e6, -1]}),
        (DataError, "shares of the dose must sum to 1", {"infusions": [(0, 0.4)]}),
        (DataError, "'weight' is missing in 1 of 2 rows",
         {"covariates": pd.DataFrame({"weight": [70.0, np.nan]})}),
        (DataError, "weight needs a distribution", {"covariates": {"weight": "70"}}),
        (DataError, "'ag' is not among the covariates",
         {"covariates": {"age": 60}, "correlation": {("age", "ag"): 0.5}}),
        (DataError, "cannot be called 'dv'", {"covariates": {"dv": 1.0}}),
        (ModelError, "error: give the SD of ln", {"error": "lognormal"}),
        (FitError, "residual error of transgene is not known", {"error": True}),
        (DataError, "window must run", {"window": (28, 0)}),
        (ModelError, "closed form, on which inputs cannot act", {"inputs": {"x": [(1, 1)]}}),
        (DataError, "give a simulate.Outcome", {"outcomes": {"dlt": 0.3}}),
        (DataError, "follows the dose; give doses=",
         {"outcomes": {"dlt": simulate.Outcome(intercept=0, by="dose")}}),
        (ModelError, "'weight' acts on parameters, and its values are not given",
         {"population": fit.population(iiv=["cmax"], covariates={"cmax": ["weight"]}),
          "covariates": {"age": simulate.Normal(60, 5)}}),
        (DataError, "ends in .nc", {"out": "patients.csv"}),
    ],
)  # fmt: skip
def test_what_cannot_be_simulated_is_said_in_a_sentence(error, words, call):
    given = {"model": "stein2019", "n": 9, "times": [1, 7], "seed": 1} | call
    with pytest.raises(error, match=words.replace("(", r"\(").replace(".", r"\.")):
        simulate.patients(**given)


@pytest.mark.parametrize(
    ("words", "make"),
    [
        ("either hazard= .* or share=", lambda: simulate.Dropout()),
        ("day must be above 0", lambda: simulate.Dropout(share=0.2)),
        ("share must be a probability", lambda: simulate.Dropout(share=1.2, day=3)),
        ("sum to 1", lambda: simulate.Categorical({"a": 0.3, "b": 0.3})),
        ("fall from grade to grade", lambda: simulate.Outcome(intercept=(0.0, 1.0))),
        ("at which cmax the intercept holds", lambda: simulate.Outcome(intercept=0.0, slope=1.0)),
        ("missed must be a probability", lambda: simulate.Schedule([1], missed=1.0)),
        ("probability of each, such as", lambda: simulate.Categorical(["a", "b"])),
        ("hazard must be a number, not 'x'", lambda: simulate.Dropout(hazard="x")),
        ("window must be a number, not 'x'", lambda: simulate.Schedule([1], window="x")),
        ("fall from grade to grade, not 'x'", lambda: simulate.Outcome(intercept="x")),
        ("slope= must be a number, not 'x'", lambda: simulate.Outcome(intercept=0.0, slope="x")),
        ("follow_up must be a number, not 'x'", lambda: simulate.patients(
            "stein2019", 3, seed=1, follow_up="x")),
        ("positive definite", lambda: simulate.patients(
            "stein2019", 3, seed=1, covariates=dict.fromkeys("abc", simulate.Normal(0, 1)),
            correlation={("a", "b"): 0.9, ("b", "c"): 0.9, ("a", "c"): -0.9})),
    ],
)  # fmt: skip
def test_declarations_that_cannot_be(words, make):
    with pytest.raises(DataError, match=words):
        make()


def test_a_residual_error_needs_its_own_numbers():
    with pytest.raises(FitError, match="has the numbers sigma_add, sigma_prop"):
        simulate.Residual("combined", sigma_log=0.3)


def test_patients_of_a_model_without_free_parameters():
    """Every parameter fixed: patients are all the same, with the model's own levels."""
    model = models.get("stein2019")
    held = model.with_(**{n: models.Fixed(v) for n, v in model.typical().items()})
    found = simulate.patients(held, 3, times=[9.3, 28.0], seed=1)
    assert found["individual"].shape == (3, 0)
    expected = model.simulate([9.3, 28.0])["transgene"].to_numpy()
    np.testing.assert_allclose(
        found["level"].to_numpy()[:, :, 0], np.tile(expected, (3, 1)), rtol=1e-9
    )
