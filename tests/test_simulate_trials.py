"""Virtual trials: files, replicates, the form of a real trial, and dose escalation."""

import numpy as np
import pytest
import xarray as xr
from scipy.special import expit

from cart_pkpd import dose, fit, models, nca, plots, simulate
from cart_pkpd._core.errors import DataError, WriteError
from cart_pkpd._fit.result import FitResult
from cart_pkpd._simulate import files

DAYS = [0, 1, 3, 5, 7, 10, 14, 21, 28, 60]
SITES = simulate.Categorical({"ovary": 0.5, "pancreas": 0.5})
ARGS = {
    "times": DAYS, "doses": [1e6, 1e7], "error": 0.3, "lloq": 50, "seed": 3,
    "covariates": {"site": SITES, "age": simulate.Normal(60, 8)},
    "dropout": simulate.Dropout(share=0.2, day=28),
    "outcomes": {"dlt": simulate.Outcome(intercept=-1.0, slope=0.5, by="cmax", reference=2e4)},
}  # fmt: skip
DLT = simulate.Outcome(intercept=-1.4, slope=0.8, by="cmax", reference=24_000.0)


@pytest.fixture(scope="module")
def people():
    return simulate.patients("stein2019", 5000, **ARGS)


@pytest.fixture(scope="module")
def virtual():
    """A trial of 24 patients, two of whose parameters vary."""
    held = {f"omega_{k}": 0.0 for k in ("tmax", "rho", "fb", "beta")}
    return simulate.trial(
        "stein2019", 24, times=DAYS, error=0.3, lloq=50, seed=5,
        values={"omega_cmax": 0.8, "omega_alpha": 0.3, **held},
    )  # fmt: skip


@pytest.fixture(scope="module")
def fitted(virtual):
    model = models.get("stein2019")
    known = {k: models.Fixed(model.parameters[k].typical) for k in ("tmax", "rho", "fb", "beta")}
    return fit.laplace(
        model.with_(**known), virtual, fit.population(iiv=["cmax", "alpha"]), starts=1
    )


@pytest.mark.parametrize("name", ["patients.nc", "patients.zarr"])
def test_files_hold_what_memory_does(people, tmp_path, name):
    seen = []
    found = simulate.patients(
        "stein2019", 5000, **ARGS, out=tmp_path / name, chunk=2048,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert seen == [(2048, 5000), (4096, 5000), (5000, 5000)]
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert set(found.variables) == set(people.variables)
    for variable in people.variables:
        assert found[variable].dims == people[variable].dims
        np.testing.assert_array_equal(found[variable].values, people[variable].values)
    assert found["censored"].attrs["flag_meanings"].split()[4] == "left"
    xr.testing.assert_equal(simulate.summary(found), simulate.summary(people))
    with pytest.raises(WriteError, match="is there already; give overwrite=True"):
        simulate.patients("stein2019", 5, times=[1], seed=1, out=tmp_path / name)
    found.close()


@pytest.mark.parametrize("name", ["patients.nc", "patients.zarr"])
def test_an_interruption_leaves_what_was_there(tmp_path, name):
    path = tmp_path / name
    simulate.patients("stein2019", 5, times=[1], seed=1, out=path).close()

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate.patients(
            "stein2019", 5000, times=[1], seed=1, out=path, overwrite=True, chunk=1, progress=stop
        )
    assert [p.name for p in tmp_path.iterdir()] == [name]
    with files.opened(path) as kept:
        assert kept.sizes["id"] == 5
    again = simulate.patients("stein2019", 7, times=[1], seed=1, out=path, overwrite=True)
    assert again.sizes["id"] == 7
    again.close()


@pytest.mark.slow
def test_other_workers_give_the_same_patients(people):
    found = simulate.patients("stein2019", 5000, **ARGS, executor="processes", jobs=2, chunk=1)
    xr.testing.assert_identical(found, people)


def test_too_many_for_memory_is_refused_early(monkeypatch):
    monkeypatch.setattr("cart_pkpd._simulate.run._IN_MEMORY", 10_000)
    with pytest.raises(DataError, match=r"give out='patients\.nc'"):
        simulate.patients("stein2019", 5000, times=[1], seed=1)


def test_a_virtual_trial_is_one_for_everything_else(people):
    trial = simulate.trial("stein2019", 40, **ARGS)
    first = people.isel(id=slice(0, 40))
    code = first["censored"].values
    assert trial.sizes["obs"] == (code <= 2).sum()
    assert (trial["censoring"] == "left").sum() == (code == 1).sum()
    assert trial["site"].values.tolist() == first["site"].values.tolist()
    assert trial["dose_level"].values.tolist() == first["dose_level"].values.tolist()
    truth = first["individual"].sel(parameter="cmax").values
    np.testing.assert_array_equal(trial["true_cmax"], truth)
    table = nca.table(trial, endpoint="transgene", window=(0, 28))
    quantified = np.where(code == 0, first["dv"].values, np.nan)[:, :, 0]
    there = np.isfinite(table["cmax"].values) & (table["cmax"].values > 0)
    highest = np.nanmax(quantified[there], axis=1)
    np.testing.assert_allclose(table["cmax"].values[there], highest)
    seen = dose.data(trial)
    known = first["dlt_evaluable"].values > 0
    assert seen.dlts.sum() == first["dlt"].values[known].sum()
    assert sum(p.evaluable for p in seen.patients) == known.sum()


def test_a_fit_of_a_virtual_trial_finds_the_truth(fitted):
    table = fitted.table()
    for name, true in (("cmax", 24_000.0), ("alpha", 0.16)):
        row, width = table.loc[name], np.log(table.loc[name, "upper"] / table.loc[name, "lower"])
        assert abs(np.log(row["estimate"] / true)) < width  # within twice the 95 % interval
    assert table.loc["sigma_log", "estimate"] == pytest.approx(0.3, rel=0.25)


def test_trials_from_a_fit_share_the_uncertainty_of_the_population(fitted):
    """Variance of means over trials: that of the draws, and that of the patients over n."""
    n, trials = 20, 1500
    ln = np.log(fitted.draws()["cmax"].values).ravel()
    omega2 = float((fitted.draws()["omega_cmax"] ** 2).mean())
    expected = {"trial": ln.var() + omega2 / n, "patient": (ln.var() + omega2) / n,
                "none": fitted.estimates["omega_cmax"] ** 2 / n}  # fmt: skip
    for uncertainty, variance in expected.items():
        found = simulate.patients(
            fitted, n, trials=trials, uncertainty=uncertainty, window=None, seed=6
        )
        each = np.log(found["individual"].sel(parameter="cmax").values).reshape(trials, n)
        seen = each.mean(axis=1).var()
        assert seen == pytest.approx(variance, rel=4 * np.sqrt(2 / trials))
    draws = simulate.patients(fitted, n, trials=3, uncertainty="trial", seed=6)["draw"].values
    assert [len(set(d)) for d in draws.reshape(3, n)] == [1, 1, 1]


def test_draws_of_a_bayesian_fit_are_used_in_the_same_way(fitted):
    tree = xr.DataTree.from_dict({"posterior": fitted.posterior})
    bayes = FitResult("same draws", fitted.structure, tree, fitted.verdict, {})
    for uncertainty in ("patient", "trial"):
        args = {"trials": 2, "uncertainty": uncertainty, "times": [7], "lloq": 50, "seed": 6}
        one, other = (simulate.patients(f, 50, **args) for f in (fitted, bayes))
        xr.testing.assert_equal(one, other)
    found = simulate.patients(bayes, 4000, uncertainty="none", seed=6, window=None)
    middle = float(np.median(np.log(found["individual"].sel(parameter="cmax"))))
    expected = np.log(float(fitted.draws()["cmax"].median()))
    omega = float(fitted.draws()["omega_cmax"].median())
    assert middle == pytest.approx(expected, abs=4 * 1.2533 * omega / 4000**0.5)


def test_residual_error_of_a_fit_is_the_fitted_one(fitted):
    found = simulate.patients(fitted, 4000, times=[7], uncertainty="none", seed=7)
    scatter = np.log(found["dv"] / found["level"]).std().item()
    assert scatter == pytest.approx(fitted.estimates["sigma_log"], rel=4 / (2 * 4000) ** 0.5)


def test_replicate_trials_count_what_happens():
    outcome = simulate.Outcome(intercept=(-0.2, -1.5), slope=0.7, by="dose", reference=1e7)
    found = simulate.trials(
        "stein2019", 9, trials=4000, doses={1e6: 3, 1e7: 6}, outcomes={"crs": outcome}, seed=8
    )
    assert found["n"].isel(trial=0).values.tolist() == [3, 6]
    for level, (at, n) in enumerate(((1e6, 3), (1e7, 6))):
        for grade, a in ((1, -0.2), (2, -1.5)):
            p = expit(a + 0.7 * np.log(at / 1e7))
            counts = found["crs"].isel(dose_level=level).sel(crs_grade=grade).values
            assert counts.mean() == pytest.approx(n * p, abs=4 * np.sqrt(n * p * (1 - p) / 4000))
            assert counts.var() == pytest.approx(n * p * (1 - p), rel=0.1)  # binomial
    people = simulate.patients(
        "stein2019", 9, trials=4000, doses={1e6: 3, 1e7: 6}, outcomes={"crs": outcome}, seed=8
    )
    first = people.isel(id=slice(3, 9))["exposure"].isel(endpoint=0).sel(metric="cmax")
    mean = found["geometric_mean"].isel(trial=0, dose_level=1, endpoint=0).sel(metric="cmax")
    assert float(mean) == pytest.approx(float(np.exp(np.log(first).mean())))


def test_exposures_give_the_truth_of_a_dose_escalation():
    """Against ``dose.ExposureToxicity``: other patients, and peaks on a grid of 0.1 days."""
    levels, n = (1e6, 1e7, 1e8), 4000
    population = fit.population(
        iiv=["cmax", "tmax", "rho", "alpha", "fb", "beta"],
        covariates={"cmax": [fit.covariate("dose_level", form="power", centre=1e7)]},
    )
    found = simulate.exposures(
        "stein2019", levels, n, population=population,
        values={"beta_cmax_dose_level": 0.3, "sigma_log": 0.1}, seed=9,
    )  # fmt: skip
    ratio = found.at(1e8) / found.at(1e7)  # the same patients, whose peaks rise as told
    early = np.isclose(ratio, 10**0.3, rtol=1e-9)
    assert early.all()
    assert found.table()["n"].tolist() == [n] * 3
    twin = dose.ExposureToxicity(
        model=models.get("stein2019"), intercept=-1.4, slope=0.8, reference=24_000.0,
        metric="cmax", dose_power={"cmax": 0.3}, dose_reference=1e7, patients=n, seed=10,
    )  # fmt: skip
    truth = found.scenario(DLT, target=0.3, max_patients=24, accrual=2.0, below=0.2)
    spread = np.std(DLT.probability(found.at(1e7))) * np.sqrt(2 / n)
    np.testing.assert_allclose(truth.rates, twin(np.array(levels)), atol=4 * spread)
    below = 0.5 ** (0.3 * 0.8)  # half the amount on the scale of the odds
    odds = DLT.probability(found.at(1e7))[:, 0]
    odds = odds / (1 - odds) * below
    assert truth.below_rates[1] == pytest.approx(np.mean(odds / (1 + odds)))
    result = dose.simulate_trials(dose.BOIN(0.3), truth, trials=50, seed=1)
    assert float(result["selected"].sum() + result["none"]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("words", "call"),
    [
        ("give what simulate.patients", lambda p: simulate.summary(p["dv"])),
        ("no variable 'dose_lvl'. Did you mean 'dose_level'",
         lambda p: simulate.summary(p, "dose_lvl")),
        ("must rise", lambda p: simulate.summary(p, probs=(0.9, 0.1))),
        ("one trial, so number=2", lambda p: simulate.as_trial(p, 2)),
        ("no records", lambda p: simulate.as_trial(p.drop_vars("dv"))),
        ("several endpoints", lambda p: simulate.exposures(
            models.get("stein2019_comedication") + models.cytokines(["il6"], driver="cells"),
            (1e6, 1e7), 10, seed=1)),
        ("these exposures are auc", lambda p: simulate.exposures(
            "stein2019", (1e6, 1e7), 10, seed=1, metric="auc").risk(DLT)),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(people, words, call):
    with pytest.raises(DataError, match=words.replace(".", r"\.")):
        call(people)


def test_the_figure_shows_the_quantiles(people):
    found = simulate.summary(people)
    figure = plots.simulated(found)
    assert len(figure.axes) == 4
    line = figure.axes[0].lines[0]
    middle = found["dv"].isel(dose_level=0, endpoint=0).sel(quantile=0.5)
    np.testing.assert_array_equal(line.get_ydata(), middle)
    shares = figure.axes[2].lines[0].get_ydata()
    np.testing.assert_array_equal(shares, found["below"].isel(dose_level=0, endpoint=0))
    labels = [t.get_text() for t in figure.legends[0].get_texts()]
    assert "5th to 95th percentile" in labels
    assert any(text.startswith("LLOQ 50") for text in labels)
    assert len(plots.simulated(found, error=False).axes) == 2
    with pytest.raises(DataError, match=r"draws what simulate\.summary"):
        plots.simulated(people)


def test_both_truths_of_toxicity_by_exposure_are_the_average_over_patients():
    """Of a log-normal peak: Gauss-Hermite quadrature of the logistic curve."""
    n, a, b, typical, omega = 4000, -0.8, 1.0, 24_000.0, 0.65
    z, w = np.polynomial.hermite_e.hermegauss(60)
    curve = 1 / (1 + np.exp(-(a + b * omega * z)))
    p = float(np.sum(w * curve) / np.sum(w))
    error = 4 * float(np.sqrt(np.sum(w * (curve - p) ** 2) / np.sum(w) / n))
    exposed = simulate.exposures("stein2019", (1e6, 1e7), n, seed=1)
    toxicity = simulate.Outcome(intercept=a, slope=b, by="cmax", reference=typical)
    # One in 500 has its peak after day 28, and a lower one until then.
    np.testing.assert_allclose(exposed.risk(toxicity)([1e6, 1e7]), p, atol=error + 1e-3)
    other = dose.ExposureToxicity(
        model=models.get("stein2019"), intercept=a, slope=b, reference=typical, metric="cmax",
        patients=n, seed=2,
    )  # fmt: skip
    np.testing.assert_allclose(other([1e6]), p, atol=error + 2e-3)
    assert "The same at every dose" in repr(exposed)
    assert "4,000 virtual patients: transgene cmax (copies/µg)" in repr(exposed)
