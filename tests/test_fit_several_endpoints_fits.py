"""Fits of several endpoints together: least squares, and sampling."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from pair_inputs import BOTH, UNITS, Pair, lowered
from scipy import stats

from cart_pkpd import data, fit
from cart_pkpd._core.errors import FitWarning

# --- least squares -------------------------------------------------------------------------


def simulated(n=40, seed=2):
    """Two patients with the same parameters, hares and lynx on the same days."""
    rng = np.random.default_rng(seed)
    t = np.linspace(0.5, 20, n)
    rows = []
    for patient in ("p", "q"):
        rows.append((patient, 0.0, np.nan, "dose", 1e6, 1))
        hares = 100 * np.exp(-0.1 * t + 0.2 * rng.standard_normal(n))
        lynx = 7 + 0.5 * t + 0.7 * rng.standard_normal(n)
        rows += [(patient, day, v, "hare", np.nan, 0) for day, v in zip(t, hares, strict=True)]
        rows += [(patient, day, v, "lynx", np.nan, 0) for day, v in zip(t, lynx, strict=True)]
    table = pd.DataFrame(rows, columns=["ID", "TIME", "DV", "DVID", "AMT", "EVID"])
    units = {name: UNITS[name] for name in BOTH}
    return lowered(data.read_table(table, units=units, sort=True, echo=False))


def test_least_squares_of_two_endpoints_has_a_scatter_for_each():
    """Normal equations: ln hares on t, and the mean of lynx − t/2, each with its ML scatter."""
    trial = simulated()
    found = fit.least_squares(
        Pair(), trial, endpoint=BOTH, method="pooled", errors={"lynx": "additive"}
    ).isel(id=0)
    own = {n: data.endpoint(trial, n) for n in BOTH}
    line = stats.linregress(own["hare"]["time"], np.log(own["hare"]["dv"]))
    residual = np.log(own["hare"]["dv"]) - line.intercept - line.slope * own["hare"]["time"]
    offset = (own["lynx"]["dv"] - own["lynx"]["time"] / 2).to_numpy()
    estimate = found["estimate"]
    assert_allclose(float(estimate.sel(parameter="a")), np.exp(line.intercept), rtol=2e-3)
    assert_allclose(float(estimate.sel(parameter="k")), -line.slope, rtol=5e-3)
    assert_allclose(float(estimate.sel(parameter="b")), offset.mean(), atol=5e-3)
    assert found["sigma"].dims == ("measure",)
    assert_allclose(float(found["sigma"].sel(measure="hare")), residual.std(), rtol=5e-3)
    assert_allclose(float(found["sigma"].sel(measure="lynx")), offset.std(), rtol=5e-3)
    se = offset.std() / np.sqrt(offset.size)
    assert_allclose(float(found["stderr"].sel(parameter="b")), se, rtol=0.01)
    assert_allclose(float(found["aic"]), 2 * 5 - 2 * float(found["loglik"]))
    assert found["status"].item() == "ok"


def test_least_squares_says_which_endpoint_has_no_scatter():
    trial = simulated()
    lynx = (trial["endpoint"] == "lynx").to_numpy()
    q = (trial["patient"] == "q").to_numpy()
    trial = trial.copy(deep=True)
    trial["censoring"][np.flatnonzero(lynx & q)] = "left"
    found = fit.least_squares(Pair(), trial, endpoint=BOTH, errors={"lynx": "additive"})
    assert found["status"].to_numpy().tolist() == [
        "ok",
        "no quantified record of lynx shows its scatter",
    ]


def test_a_patient_with_one_of_two_endpoints_is_fitted_to_that():
    trial = simulated()
    gone = ((trial["endpoint"] == "lynx") & (trial["patient"] == "q")).to_numpy()
    trial = trial.isel(obs=np.flatnonzero(~gone))
    found = fit.least_squares(
        Pair(), trial, endpoint=BOTH, errors={"lynx": "additive"}, estimate=["a", "k"]
    )
    assert found["status"].to_numpy().tolist() == ["ok", "ok"]
    assert np.isnan(found["sigma"].to_numpy()).tolist() == [[False, False], [False, True]]


# --- sampling ------------------------------------------------------------------------------

TRUTH = {
    "a": 120.0, "k": 0.15, "b": -2.0, "omega_a": 0.4, "sigma_log_hare": 0.1,
    "sigma_add_lynx": 0.5,
}  # fmt: skip


def several_patients(n=8, seed=11):
    """Patients drawn from TRUTH by the formulas; odd ones get a second dose on day 6.

    Returns the trial and everyone's own a.
    """
    rng = np.random.default_rng(seed)
    own = TRUTH["a"] * np.exp(TRUTH["omega_a"] * rng.standard_normal(n))
    times = np.array([0.5, 1.0, 2.0, 4.0, 7.0, 10.0, 14.0])
    rows = []
    for i, a in enumerate(own):
        given = [0.0, 6.0][: 1 + i % 2]
        rows += [(f"p{i}", day, np.nan, "dose", 1e6, 1) for day in given]
        since = times[:, None] - np.array(given)
        hares = a * np.where(since >= 0, np.exp(-TRUTH["k"] * since), 0.0).sum(axis=1)
        hares *= np.exp(TRUTH["sigma_log_hare"] * rng.standard_normal(times.size))
        lynx = TRUTH["b"] + times / 2 + TRUTH["sigma_add_lynx"] * rng.standard_normal(times.size)
        for name, levels in (("hare", hares), ("lynx", lynx + 10.0)):
            both = zip(times, levels, strict=True)
            rows += [(f"p{i}", day, v, name, np.nan, 0) for day, v in both]
    table = pd.DataFrame(rows, columns=["ID", "TIME", "DV", "DVID", "AMT", "EVID"])
    units = {name: UNITS[name] for name in BOTH}
    return lowered(data.read_table(table, units=units, sort=True, echo=False)), own


def test_two_endpoints_of_equations_are_sampled_together():
    """The truth of every quantity within its 99 % interval, everyone's own a within 10 %.

    Seven hares with SD 0.1 leave an SD of about 4 % to a patient's own a, so 10 % is 2.5 SDs.
    """
    trial, own = several_patients()
    population = fit.population(iiv=["a"], errors={"lynx": "additive"}, centred=["a"])
    with pytest.warns(FitWarning, match="of Pair stays at .* for everybody"):
        result = fit.bayes(Pair(), trial, population, endpoint=BOTH, seed=3)
    assert result.endpoints == BOTH
    assert result.verdict.ok, result.verdict.sentence
    draws = result.draws()
    for name, true in TRUTH.items():
        low, high = np.quantile(draws[name], [0.005, 0.995])
        assert low < true < high, name
    found = result.posterior["a_i"].median(("chain", "draw"))
    assert_allclose(found, own, rtol=0.1)
    assert result.provenance["unsolved"] == {}
    assert result.tree["log_likelihood"]["records"].sizes["obs"] == trial.sizes["obs"]
