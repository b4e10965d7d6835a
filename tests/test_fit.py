"""Fits of the bundled trial: recovery, convergence, files, checks, comparison."""

import dataclasses
import errno
import json
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

from cart_pkpd import checks, compare, datasets, fit, models
from cart_pkpd._core.errors import FitError
from cart_pkpd._fit.verdict import judge
from cart_pkpd._stats.design import design
from cart_pkpd.datasets import simulate_fast01

# One worker: the fit that most tests look at takes a quarter of a minute.
MODEL = models.get("stein2019").with_(cmax={"typical": 5000})
POPULATION = fit.population(
    iiv=["cmax", "tmax", "rho", "alpha", "fb"],
    covariates={"cmax": ["dose_level"]},
    non_expanders=True,
)


def truth() -> dict[str, float]:
    t = datasets.truth("fast01")["transgene"]
    return {
        **{k: t[k] for k in ("cmax", "tmax", "rho", "alpha", "fb", "beta")},
        **{f"omega_{k}": t[f"{k}_iiv"] for k in ("cmax", "tmax", "rho", "alpha", "fb")},
        "beta_cmax_dose_level": t["dose_exponent"],
        "p_non_expander": t["non_expander_probability"],
        "non_expander_shift": float(np.log(t["non_expander_fold"])),
        "sigma_log": t["sigma"],
    }


@pytest.fixture(scope="module")
def result(fast01):
    """The hierarchical fit of fast01 that most tests here look at, too short to be sure of R-hat.

    What follows from its being called converged is tested with a verdict that says so.
    """
    found = fit.bayes(MODEL, fast01, POPULATION, draws=400, tune=600, seed=1, label="stein")
    said = dataclasses.replace(found.verdict, ok=True, sentence="Converged: as is assumed here.")
    return dataclasses.replace(found, verdict=said)


@pytest.fixture(scope="module")
def whole(fast01):
    """The same fit at its full length (about 40 s)."""
    return fit.bayes(MODEL, fast01, POPULATION, draws=1500, seed=1, label="stein")


@pytest.fixture(scope="module")
def simple(fast01):
    """A quick fit of ten patients with one varying parameter."""
    few = set(fast01["id"].to_numpy()[:10])
    some = fast01.isel(
        obs=np.flatnonzero(np.isin(fast01["patient"].to_numpy(), list(few))),
        id=np.arange(10),
    )
    model = MODEL.with_(beta=models.Fixed(0.01), fb=models.Fixed(0.02))
    return fit.bayes(model, some, fit.population(iiv=["cmax"]), draws=500, tune=500, seed=2)


# --- Bayes ---------------------------------------------------------------------------------


@pytest.mark.slow  # that a fit converges: test_two_endpoints_of_equations_are_sampled_together
def test_the_fit_converges(whole):
    assert whole.verdict.ok, whole.verdict.sentence


@pytest.mark.parametrize("length", ["result", pytest.param("whole", marks=pytest.mark.slow)])
def test_the_fit_recovers_the_truth(request, length):
    """Every true value lies within the central 99 % of its posterior (15 quantities)."""
    table = request.getfixturevalue(length).table(0.99)
    expected = truth()
    assert set(table.index) == set(expected)
    outside = [
        k for k, v in expected.items() if not table.loc[k, "lower"] < v < table.loc[k, "upper"]
    ]
    assert not outside


def test_the_posterior_is_narrower_than_the_prior_where_data_speak(result):
    table = result.table().loc[["cmax", "tmax", "rho", "alpha", "sigma_log"]]
    width = np.log(table["upper"] / table["lower"])
    before = np.log(table["prior_upper"] / table["prior_lower"])
    assert (width < 0.6 * before).all()


def test_individual_parameters_follow_the_simulated_patients(result):
    """Correlation of posterior median with true ln cmax over the patients, above 0.9."""
    subjects = simulate_fast01.simulate()["subjects_truth"].set_index("id")
    ids = result.individual()["id"].to_numpy()
    estimated = np.log(result.individual()["cmax"]).median(("chain", "draw")).to_numpy()
    true = np.log(subjects.loc[ids, "cmax"].to_numpy(dtype=float))
    assert np.corrcoef(estimated, true)[0, 1] > 0.9


def test_log_likelihood_matches_a_hand_computation(result):
    """Of one quantified and one censored record at one draw, from the printed equation."""
    from scipy.stats import norm

    d = result.structure.design
    posterior = result.posterior.isel(chain=1, draw=7)
    sigma = float(posterior["sigma_log"])
    for code in (0, 1):
        i = int(d.rows_of(code)[20])
        p = {n: float(posterior[f"{n}_i"][d.patient[i]]) for n in MODEL.parameters}
        t = d.time[i]
        growing = np.log(p["cmax"]) - p["rho"] * (p["tmax"] - t)
        since = max(t - p["tmax"], 0.0)
        falling = np.log(
            p["cmax"]
            * ((1 - p["fb"]) * np.exp(-p["alpha"] * since) + p["fb"] * np.exp(-p["beta"] * since))
        )
        f = growing if t < p["tmax"] else falling
        z = (np.log(d.dv[i]) - f) / sigma
        expected = norm.logcdf(z) if code else norm.logpdf(z) - np.log(sigma * d.dv[i])
        got = float(result.tree["log_likelihood"]["transgene"].isel(chain=1, draw=7, obs=i))
        assert_allclose(got, expected, rtol=1e-9)


def test_one_seed_gives_one_answer_on_any_number_of_cores(simple, fast01):
    some = fast01.isel(
        obs=np.flatnonzero(np.isin(fast01["patient"].to_numpy(), simple.structure.design.ids)),
        id=np.arange(10),
    )
    again = fit.bayes(
        simple.structure.model,
        some,
        simple.structure.population,
        draws=500,
        tune=500,
        seed=2,
        cores=1,
    )
    assert np.array_equal(again.posterior["cmax"], simple.posterior["cmax"])


_ON_THREADS = """
from cart_pkpd import datasets, fit, models

model, trial = models.get("stein2019").with_(cmax={"typical": 5000}), datasets.load("fast01")
population = fit.population(iiv=["cmax", "tmax"], error="lognormal")
one, two = (
    fit.bayes(model, trial, population, draws=20, tune=30, chains=2, cores=cores, threads=threads)
    for cores, threads in [(2, 1), (1, 2)]
)
for group in ("posterior", "log_likelihood"):
    assert one.tree[group].to_dataset().identical(two.tree[group].to_dataset())
"""


def test_threads_change_no_draw():
    """Patients on two threads, one chain after the other: every bit of the draws of one thread.

    In a process of its own: Numba cannot take back how many threads it has launched.
    """
    command = [sys.executable, "-W", "ignore", "-c", _ON_THREADS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_fit_survives_the_disk(result, tmp_path):
    loaded = fit.load(result.save(tmp_path / "deep" / "fit.nc"))
    assert loaded.posterior.identical(result.posterior)
    assert loaded.verdict == result.verdict
    assert loaded.structure.model == result.structure.model
    assert loaded.structure.quantities == result.structure.quantities
    assert loaded.provenance == json.loads(json.dumps(dict(result.provenance)))
    assert checks.vpc(loaded, n_sims=20).identical(checks.vpc(result, n_sims=20))
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["fit.nc"]


def test_a_damaged_or_foreign_file_is_refused(simple, tmp_path):
    path = simple.save(tmp_path / "fit.nc")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(FitError, match="not a fit saved by cart_pkpd, or it is damaged"):
        fit.load(path)
    xr.Dataset({"a": ("x", [1.0])}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(FitError, match="not a fit saved by cart_pkpd"):
        fit.load(tmp_path / "other.nc")
    with pytest.raises(FitError, match="no file"):
        fit.load(tmp_path / "none.nc")


def test_a_failed_save_leaves_the_old_file(simple, tmp_path, monkeypatch):
    path = simple.save(tmp_path / "fit.nc")
    before = path.read_bytes()

    def full_disk(self, content):
        with self.open("wb") as part:
            part.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(path), "write_bytes", full_disk)
    with pytest.raises(OSError, match="No space left"):
        simple.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["fit.nc"]


def test_results_are_frozen(simple):
    with pytest.raises(dataclasses.FrozenInstanceError):
        simple.label = "other"


def test_progress_is_told(fast01):
    seen = []
    model = MODEL.with_(**{k: models.Fixed(v) for k, v in MODEL.typical().items() if k != "cmax"})
    fit.bayes(
        model, fast01, fit.population(), draws=50, tune=50, chains=2, seed=3, progress=seen.append
    )
    assert seen[0].stage == "compiling"
    assert any(p.stage == "sampling" for p in seen)
    assert all(p.total == 200 for p in seen if p.stage == "sampling")


# --- verdict -------------------------------------------------------------------------------


def chains(rng, shift=0.0):
    x = rng.standard_normal((4, 1000))
    x[0] += shift
    return xr.Dataset({"theta": (("chain", "draw"), x)})


def stats(rng, diverging=0):
    flags = np.zeros((4, 1000), dtype=bool)
    flags.ravel()[:diverging] = True
    return xr.Dataset(
        {
            "diverging": (("chain", "draw"), flags),
            "energy": (("chain", "draw"), rng.standard_normal((4, 1000))),
            "maxdepth_reached": (("chain", "draw"), np.zeros((4, 1000), dtype=bool)),
        }
    )


def test_independent_chains_pass(rng):
    verdict = judge(chains(rng), stats(rng))
    assert verdict.ok
    # Independent draws of energy have E-BFMI 2: E(x_t - x_{t-1})^2 / var = 2.
    assert_allclose(verdict.min_ebfmi, 2.0, atol=0.2)


def test_a_chain_elsewhere_and_divergences_fail(rng):
    verdict = judge(chains(rng, shift=1.0), stats(rng, diverging=3))
    assert not verdict.ok
    assert "R-hat" in verdict.sentence
    assert "3 divergent transitions" in verdict.sentence
    assert verdict.worst == "theta"


def test_a_verdict_speaks_of_quantities_in_the_table(result):
    known = set(result.table().index) | {f"{n}_i" for n in MODEL.parameters}
    assert result.verdict.worst in known


def test_a_failing_sampler_says_one_sentence(fast01, monkeypatch):
    import nutpie

    def broken(*_, **__):
        raise RuntimeError("All initialization points failed\n\nStack:\n0: <unknown>")

    class Handle:
        wait = staticmethod(broken)

    monkeypatch.setattr(nutpie, "sample", lambda *_, **__: Handle())
    with pytest.raises(FitError, match="All initialization points failed") as caught:
        fit.bayes(MODEL, fast01, POPULATION, seed=1)
    assert "\n" not in str(caught.value)


# --- checks --------------------------------------------------------------------------------


def test_predictions_pass_through_the_data(result):
    p = checks.predictions(result)
    assert (p["lower"] <= p["median"]).all()
    assert (p["median"] <= p["upper"]).all()
    quantified = p["censoring"] == "none"
    residuals = np.log(p["dv"] / p["ipred"]).to_numpy()[quantified.to_numpy()]
    # The true residual SD is 0.45; 166 records, five parameters a patient.
    assert 0.3 < residuals.std() < 0.5


def test_vpc_covers_the_observed_quantiles(result):
    """A fit of the model that made the data: most medians and BLQ shares lie in their bands."""
    v = checks.vpc(result, n_sims=300).isel(stratum=0)
    median = v.sel(quantile=0.5)
    inside = (median["observed"] >= median["simulated_lower"].fillna(0)) & (
        median["observed"] <= median["simulated_upper"]
    )
    known = median["observed"].notnull()
    assert inside.to_numpy()[known.to_numpy()].mean() >= 0.8
    blq = (v["blq_observed"] >= v["blq_lower"]) & (v["blq_observed"] <= v["blq_upper"])
    assert blq.mean() >= 0.8
    assert int(v["n"].sum()) == result.structure.design.n_obs


def test_vpc_censors_every_record_even_if_only_some_give_the_lloq(fast01):
    """Blanking the LLOQ of quantified records, as Monolix tables do, changes nothing."""
    blank = fast01.copy(deep=True)
    cells = (blank["endpoint"] == "transgene") & (blank["censoring"] == "none")
    blank["lloq"][np.flatnonzero(cells.to_numpy())] = np.nan
    assert_allclose(design(blank, "transgene").lloq, 50.0)


def test_population_prediction_uses_covariates(result):
    """Two patients at the same time and other doses differ by (dose ratio) ^ exponent."""
    p = checks.predictions(result)
    d = result.structure.design
    level = d.subjects["dose_level"].to_numpy()[d.patient]
    # Typical curves are the same function of time: compare records nearest day 28.
    low = np.flatnonzero((level == 1e6) & (abs(d.time - 28) < 2))[0]
    high = np.flatnonzero((level == 3e7) & (abs(d.time - 28) < 2))[0]
    exponent = float(result.draws()["beta_cmax_dose_level"].median())
    same_time = np.exp(0.15 * (d.time[high] - d.time[low]))
    ratio = float(p["pred"][high] / p["pred"][low]) * same_time
    assert_allclose(np.log(ratio), exponent * np.log(30.0), atol=0.5)


def test_vpc_by_dose_keeps_every_record(result):
    v = checks.vpc(result, n_sims=20, by="dose_level", bins=[0, 7, 28, 400])
    assert v.sizes["stratum"] == 4
    assert int(v["n"].sum()) == result.structure.design.n_obs
    with pytest.raises(ValueError, match="no patient-level variable 'dose'"):
        checks.vpc(result, by="dose")


def test_shrinkage_is_small_for_the_peak_and_large_where_data_are_silent(result):
    s = checks.shrinkage(result)["shrinkage"]
    assert -0.2 < float(s.sel(parameter="cmax")) < 0.3
    assert float(s.sel(parameter="fb")) > float(s.sel(parameter="tmax"))


def test_exposure_of_one_draw_equals_quadrature(simple):
    """Cmax at tmax, AUC0-28 by SciPy's quad split at tmax, Tlast by a root finder; 0.1 %."""
    from scipy.integrate import quad
    from scipy.optimize import brentq

    i = 3
    draw = simple.posterior.isel(chain=[0], draw=[5])
    one = dataclasses.replace(simple, tree=xr.DataTree.from_dict({"posterior": draw}))
    twin = checks.exposure(one, n_draws=1).isel(id=i).sel(interval="median")
    model = simple.structure.model
    p = {n: float(draw[f"{n}_i"].isel(id=i).item()) for n in model.estimated} | dict(model.fixed)
    parts = [quad(lambda t: float(model.simulate([t], **p)["transgene"][0]), *ab)[0] for ab in
             ((0.0, p["tmax"]), (p["tmax"], 28.0))]  # fmt: skip
    assert_allclose(float(twin["cmax"]), p["cmax"], rtol=0.02)
    assert_allclose(float(twin["tmax"]), p["tmax"], atol=0.05)
    assert_allclose(float(twin["auc0_28"]), sum(parts), rtol=1e-3)
    out = brentq(
        lambda t: float(model.simulate([t], **p)["transgene"][0]) - 50.0, p["tmax"], 2000.0
    )
    assert_allclose(float(twin["tlast"]), min(out, np.inf) if out < 365 else np.inf, atol=0.5)
    assert twin["auc0_28"].attrs["units"] == "copies/µg*day"


def test_exposure_agrees_with_nca_where_sampling_is_dense_enough(result, fast01):
    """Model-based and NCA AUC0-28 of the same patients: correlation of logs above 0.9."""
    from cart_pkpd import nca

    twin = checks.exposure(result)["auc0_28"].sel(interval="median")
    area = nca.table(fast01, endpoint="transgene")["auc0_28"].sel(id=twin["id"].to_numpy())
    both = (area.to_numpy() > 0) & np.isfinite(area.to_numpy())
    r = np.corrcoef(np.log(twin.to_numpy()[both]), np.log(area.to_numpy()[both]))[0, 1]
    assert r > 0.9


def test_shrinkage_of_known_patients_is_that_of_their_own_spread(result):
    """Every patient known exactly: 1 - sd(eta) / omega, non-expanders from their own centre.

    With groups 8 omegas apart membership is certain, and covariates are taken out.
    """
    d = result.structure.design
    rng = np.random.default_rng(12)
    eta, low = rng.standard_normal(d.n_patients), rng.uniform(size=d.n_patients) < 0.2
    draws = result.posterior.isel(chain=[0], draw=[0, 1])
    constant = {"cmax": 4000.0, "omega_cmax": 1.0, "non_expander_shift": 8.0,
                "p_non_expander": 0.2, "beta_cmax_dose_level": 0.5}  # fmt: skip
    known = draws.assign({k: xr.full_like(draws[k], v) for k, v in constant.items()})
    dose = d.subjects["dose_level"].to_numpy() / 1e7
    level = 4000.0 * dose**0.5 * np.exp(eta - 8.0 * low)
    known["cmax_i"] = xr.ones_like(draws["cmax_i"]) * xr.DataArray(level, dims="id")
    one = dataclasses.replace(result, tree=xr.DataTree.from_dict({"posterior": known}))
    found = float(checks.shrinkage(one)["shrinkage"].sel(parameter="cmax"))
    assert low.any()
    assert_allclose(found, 1.0 - eta.std(ddof=1), atol=1e-3)


# --- comparison ----------------------------------------------------------------------------


def test_failed_fits_are_listed_but_not_ranked(result):
    failed = dataclasses.replace(
        result, verdict=dataclasses.replace(result.verdict, ok=False, sentence="Not converged: x.")
    )
    table = compare.models({"bad": failed, "good": result}, by="record")
    assert table.index.tolist() == ["good", "bad"]
    assert table.loc["good", "rank"] == 1
    assert np.isnan(table.loc["bad", "rank"])
    assert np.isnan(table.loc["bad", "elpd"])
    assert not table.loc["bad", "converged"]


def test_a_ruined_fit_ranks_below(result):
    """Shifting the log-likelihood of every record down by 0.1 costs exactly 0.1 a record."""
    tree = result.tree.copy()
    worse = tree["log_likelihood"].to_dataset()
    worse["transgene"] = worse["transgene"] - 0.1
    tree["log_likelihood"] = xr.DataTree(worse)
    table = compare.models(
        {"worse": dataclasses.replace(result, tree=tree), "fit": result}, by="record"
    )
    assert table.index.tolist() == ["fit", "worse"]
    n = result.structure.design.n_obs
    assert_allclose(abs(table.loc["worse", "elpd_diff"]), 0.1 * n, rtol=1e-6)
    assert_allclose(table.loc["fit", "elpd"] - table.loc["worse", "elpd"], 0.1 * n, rtol=1e-6)


def test_fits_of_different_records_do_not_compare(result, simple):
    with pytest.raises(FitError, match="different records"):
        compare.models({"a": result, "b": simple})
    with pytest.raises(FitError, match="no fit"):
        compare.models({})


def test_no_draws_are_refused(fast01):
    with pytest.raises(ValueError, match="draws must be a whole number"):
        fit.bayes(MODEL, fast01, POPULATION, draws=0)
