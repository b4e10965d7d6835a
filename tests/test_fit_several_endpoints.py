"""Several endpoints in one fit, and models that are not closed forms."""

import dataclasses

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from pair_inputs import BOTH, TABLE, UNITS, Pair, lowered
from scipy import stats

from cart_pkpd import checks, compare, data, fit, models
from cart_pkpd._checks.marginal import marginal, proposals, sampled
from cart_pkpd._core.errors import FitError, ModelError
from cart_pkpd._fit import draws as fitted
from cart_pkpd._fit.result import INDIVIDUAL_SUFFIX, FitResult
from cart_pkpd._fit.start import starting_values
from cart_pkpd._fit.verdict import judge
from cart_pkpd._stats.design import ABOVE, BELOW, QUANTIFIED, design, design_for
from cart_pkpd._stats.likelihood import pointwise_loglik
from cart_pkpd._stats.population import resolve
from cart_pkpd._stats.predict import predict


@pytest.fixture(scope="module")
def trial(tmp_path_factory) -> xr.Dataset:
    path = tmp_path_factory.mktemp("pair") / "pair.csv"
    path.write_text(TABLE, encoding="utf-8")
    return lowered(data.read_table(path, units=UNITS, sort=True, echo=False))


def joined(trial, **options):
    options = {"iiv": ["a"], "errors": {"lynx": "additive"}} | options
    return resolve(Pair(), fit.population(**options), design_for(Pair(), trial, BOTH))


# --- design --------------------------------------------------------------------------------


def test_records_are_sorted_by_patient_time_and_measure(trial):
    d = design(trial, BOTH, all_infusions=True)
    assert [m.name for m in d.measures] == ["hare", "lynx"]
    assert d.ids.tolist() == ["b", "a", "c"]
    assert [d.endpoints[m] for m in d.measure] == [
        "hare", "lynx", "hare", "hare", "lynx", "hare", "lynx", "hare", "lynx",
    ]  # fmt: skip
    assert d.ids[d.patient].tolist() == [*"bbbbb", *"aaa", "c"]
    assert d.time.tolist() == [1, 1, 4, 10, 10, 2, 2, 40, 3]
    assert d.code.tolist() == [QUANTIFIED] * 7 + [BELOW, QUANTIFIED]
    # The usual limit of the hares stands where none is given, and none for the lynx.
    assert_allclose(d.lloq, np.where(d.measure == 0, 5.0, np.nan))
    assert [(e.patient, e.reason) for e in d.exclusions] == [
        ("d", "no record of hare or lynx to fit")
    ]


def test_doses_are_kept_or_left_out_with_their_records(trial):
    all_of_them = design(trial, BOTH, all_infusions=True)
    assert all_of_them.ids[all_of_them.dose_patient].tolist() == ["b", "b", "a", "c"]
    assert all_of_them.dose_time.tolist() == [0, 9, 0, 0]
    assert all_of_them.dose_amount.tolist() == [1e6, 2e6, 3e6, 1e6]
    assert all_of_them.dose_duration.tolist() == [0, 0, 0, 0]
    assert all_of_them.dose_unit == "cells"
    one = design(trial, BOTH)
    assert one.dose_time.tolist() == [0, 0, 0]
    assert one.n_obs == all_of_them.n_obs - 2
    reasons = [e.reason for e in one.exclusions if e.row is not None]
    assert reasons == ["after a second infusion"] * 2


def test_durations_of_infusions_come_from_the_trial(trial):
    slow = trial.assign(duration=("dosing", np.array([0.1, np.nan, 0.3, 0.4, 0.5])))
    assert design(slow, BOTH, all_infusions=True).dose_duration.tolist() == [0.1, 0.0, 0.3, 0.4]


def test_a_closed_form_gets_one_infusion_and_other_models_all(trial):
    stein = models.get("stein2019")
    assert design_for(stein, trial, "hare").dose_time.tolist() == [0, 0]
    assert design_for(Pair(), trial, "hare").dose_time.tolist() == [0, 9, 0]


def test_one_endpoint_has_a_name_and_several_must_be_chosen(trial):
    one = design(trial, "hare")
    assert (one.endpoint, one.unit, one.several) == ("hare", "1", False)
    d = design(trial, BOTH)
    for name in ("endpoint", "unit", "label"):
        with pytest.raises(FitError, match=r"several endpoints \(hare, lynx\); say which"):
            getattr(d, name)
    lynx = d.only("lynx")
    assert lynx.endpoint == "lynx"
    assert lynx.dv.tolist() == d.dv[d.measure == 1].tolist()
    assert lynx.ids.tolist() == d.ids.tolist()
    with pytest.raises(FitError, match=r"endpoint of this fit 'lynks'. Did you mean 'lynx'"):
        d.only("lynks")


@pytest.mark.parametrize(
    ("endpoints", "words"), [([], "name at least one"), (["hare", "hare"], "'hare' is named twice")]
)
def test_endpoints_are_named_once_and_at_least_one(trial, endpoints, words):
    with pytest.raises(FitError, match=words):
        design(trial, endpoints)


# --- predictions ---------------------------------------------------------------------------


def test_predictions_are_of_every_measure_on_its_scale(trial):
    """b's second dose adds to what is left of the first; by hand from the model's docstring.

    The solver's tolerance is 1e-6 per step; its global error may be a few of them. What is
    predicted at a dose or of a straight line needs no steps and is exact.
    """
    d = design_for(Pair(), trial, BOTH)
    values = {"a": np.array([100.0, 80.0, 100.0]), "k": 0.1, "b": np.full((2, 1), -3.0)}
    got = predict(Pair(), d, values, log=(True, False))
    late = 100 * np.exp(-1.0) + 200 * np.exp(-0.1)
    first_b = [np.log(100) - 0.1, -2.5, np.log(100) - 0.4, np.log(late), 2.0]
    expected = [*first_b, np.log(240) - 0.2, -2.0, np.log(240) - 4.0, -1.5]
    assert got.shape == (2, 9)
    assert_allclose(got, [expected, expected], atol=3e-6)
    assert_allclose(got[:, d.measure == 1], [[-2.5, 2.0, -2.0, -1.5]] * 2, rtol=1e-12)
    own = predict(
        Pair(), d, values, log=(False, False), patient=np.array([1, 1]),
        time=np.array([0.0, 10.0]), measure=np.array([0, 1]),
    )  # fmt: skip
    assert_allclose(own[0], [240.0, 2.0])


def test_a_closed_form_predicts_through_the_same_door(trial):
    """stein2019 at its typical values: its own ln of the level (rtol 1e-12)."""
    model = models.get("stein2019")
    d = design(trial, "hare")
    for log, of in ((True, np.asarray), (False, np.exp)):
        got = predict(model, d, model.typical(), log=(log,))
        assert_allclose(got, of(model.log_predict(d.time, model.typical())), rtol=1e-12)
    with pytest.raises(ModelError, match="Stein2019 describes one level, not hare, lynx together"):
        predict(model, design(trial, BOTH), model.typical(), log=(True, True))
    with pytest.raises(FitError, match="fit one endpoint at a time"):
        resolve(model, fit.population(), design(trial, BOTH))


def test_some_patients_of_a_design_keep_their_records_doses_and_events(trial):
    d = design(trial, BOTH, all_infusions=True)
    event = {
        "event_name": ("event", np.array(["tocilizumab"] * 3)),
        "event_value": ("event", np.array([1.0, 0.0, 1.0])),
    }
    who = {"event_patient": ("event", ["a", "a", "d"]), "event_time": ("event", [5.0, 9.0, 2.0])}
    bare = trial.drop_dims("event")
    d = design(bare.assign(event).assign_coords(who), BOTH, all_infusions=True)
    assert [(c.patient, c.time, c.value) for c in d.changes] == [(1, 5.0, 1.0), (1, 9.0, 0.0)]
    some = d.among([1, 2])
    assert some.ids.tolist() == ["a", "c"]
    assert some.ids[some.patient].tolist() == [*"aaa", "c"]
    assert some.dose_amount.tolist() == [3e6, 1e6]
    assert some.dose_patient.tolist() == [0, 1]
    assert some.subjects["id"].to_numpy().tolist() == ["a", "c"]
    assert [(c.patient, c.name) for c in some.changes] == [(0, "tocilizumab")] * 2
    values = {"a": np.array([100.0, 80.0, 100.0]), "k": 0.1, "b": -3.0}
    whole = predict(Pair(), d, values, log=(False, False))
    part = predict(Pair(), some, values | {"a": values["a"][1:]}, log=(False, False))
    assert_allclose(part, whole[d.patient > 0], rtol=1e-14)


def test_a_model_predicts_what_it_says_in_the_unit_it_says(trial):
    with pytest.raises(FitError, match=r"Pair does not predict 'il6'. It predicts: hare, lynx"):
        resolve(Pair(), fit.population(), design_for(Pair(), trial, ["hare", "il6"]))
    per_microlitre = trial.copy(deep=True)
    per_microlitre["unit"] = ("measure", np.array(["cells/µL"] * trial.sizes["measure"]))
    with pytest.raises(FitError, match="'hare' is measured in cells/µL but Pair predicts it in 1"):
        resolve(Pair(), fit.population(), design_for(Pair(), per_microlitre, "hare"))


# --- errors --------------------------------------------------------------------------------


def test_every_endpoint_has_its_own_error(trial):
    s = joined(trial)
    assert [e.name for e in s.errors] == ["lognormal", "additive"]
    assert s.log == (True, False)
    residual = s.of_role("residual")
    assert [(q.name, q.measure) for q in residual] == [
        ("sigma_log_hare", "hare"),
        ("sigma_add_lynx", "lynx"),
    ]
    assert residual[0].label.startswith("Residual SD (ln), ")
    # The prior scales with the size of what was measured, below 0 or not.
    assert residual[1].prior == fit.HalfNormal(np.median([2.5, 2.2, 1.8, 1.4]))
    assert "log-normal error of" in s.sentence()
    assert "additive error of" in s.sentence()
    with pytest.raises(FitError, match="several endpoints"):
        _ = s.error


def test_one_error_for_all_or_each_its_own(trial):
    assert [e.name for e in joined(trial, errors=None, error="additive").errors] == ["additive"] * 2
    with pytest.raises(FitError, match=r"errors: 'lynks' is not fitted. Did you mean 'lynx'"):
        joined(trial, errors={"lynks": "additive"})
    with pytest.raises(FitError, match="either error= or errors="):
        fit.population(error="additive", errors={"lynx": "additive"})
    with pytest.raises(FitError, match="Did you mean 'additive'"):
        fit.population(errors={"lynx": "aditive"})
    with pytest.raises(FitError, match=r"patient 'b' is -2.5 .*errors=\{'lynx': 'additive'"):
        joined(trial, errors=None)


def test_a_population_keeps_its_errors():
    import pickle

    population = fit.population(errors={"lynx": "additive"})
    assert population.describe()["errors"] == {"lynx": "additive"}
    assert pickle.loads(pickle.dumps(population)) == population
    with pytest.raises(TypeError):
        population.errors["hare"] = "additive"


def test_the_likelihood_of_each_record_is_that_of_its_endpoint(trial):
    """SciPy: log-normal hares, one of them below its limit; normal lynx, some below 0."""
    s = joined(trial)
    d = s.design
    values = {"a": np.full(3, 100.0), "k": np.full(3, 0.1), "b": np.full(3, -3.0)}
    f = predict(s.model, d, values, log=s.log)
    sigmas = s.sigmas({"sigma_log_hare": 0.3, "sigma_add_lynx": 0.7})
    got = pointwise_loglik(s.errors, d, f, sigmas)
    hare = d.measure == 0
    with np.errstate(all="ignore"):
        log_normal = stats.lognorm(s=0.3, scale=np.exp(f))
        expected = np.where(hare, log_normal.logpdf(d.dv), stats.norm(f, 0.7).logpdf(d.dv))
        expected = np.where(d.code == BELOW, log_normal.logcdf(d.dv), expected)
    assert_allclose(got, expected, rtol=1e-10)


@pytest.mark.parametrize("error", ["additive", "combined"])
@pytest.mark.parametrize("level", [0.0, -4.0])
def test_errors_on_the_level_take_levels_of_0_or_less(trial, error, level):
    s = joined(trial, errors=None, error=error)
    sigmas = s.sigmas({q.name: 0.5 for q in s.of_role("residual")})
    f = np.full(s.design.n_obs, level)
    sd = 0.5 if error == "additive" else np.hypot(0.5, 0.5 * level)
    got = pointwise_loglik(s.errors, s.design, f, sigmas)
    expected = stats.norm(level, sd).logpdf(s.design.dv)
    expected = np.where(s.design.code == BELOW, stats.norm(level, sd).logcdf(s.design.dv), expected)
    assert_allclose(got, expected, rtol=1e-10)


def test_censoring_of_every_kind_is_kept_apart_by_endpoint(trial):
    """The same number is below the hares' limit and above the lynx': each has its own tail."""
    s = joined(trial)
    d = dataclasses.replace(s.design, code=np.where(s.design.measure == 0, BELOW, ABOVE))
    f = np.where(d.measure == 0, np.log(50.0), 1.0)
    got = pointwise_loglik(s.errors, d, f, s.sigmas({"sigma_log_hare": 0.3, "sigma_add_lynx": 2.0}))
    with np.errstate(invalid="ignore"):
        below = stats.norm.logcdf((np.log(np.abs(d.dv)) - np.log(50.0)) / 0.3)
    above = stats.norm.logsf((d.dv - 1.0) / 2.0)
    assert_allclose(got, np.where(d.measure == 0, below, above), rtol=1e-10)


# --- starting ------------------------------------------------------------------------------


def test_sampling_starts_from_the_models_own_endpoint(trial):
    """Pair guesses `a` from the first hares: 95 and 250 of patients b and a; c has none."""
    s = joined(trial)
    start = starting_values(s)
    assert_allclose(np.exp(start.typical["a"]), np.sqrt(95 * 250), rtol=1e-6)
    assert start.sigma["sigma_log_hare"] == 0.5
    assert_allclose(start.sigma["sigma_add_lynx"], 0.5 * np.median([2.5, 2.2, 1.8, 1.4]))


# --- results -------------------------------------------------------------------------------


def made_up(trial, *, lynx=0.0) -> FitResult:
    """A result with known draws: what a sampler would return, without sampling."""
    s = joined(trial)
    rng = np.random.default_rng(7)
    dims, shape = ("chain", "draw"), (2, 50)

    def near(value, *more):
        return value + 0.01 * rng.standard_normal((*shape, *more))

    raw = xr.Dataset(
        {
            "typical": ((*dims, "parameter"), near(np.log(100.0), 3)),
            "omega": ((*dims, "iiv"), np.abs(near(0.3, 1))),
            "z": ((*dims, "deviating", "id"), near(0.0, 1, 3)),
            "sigma_log_hare": (dims, np.abs(near(0.3))),
            "sigma_add_lynx": (dims, np.abs(near(0.7))),
        },
        coords={
            "chain": [0, 1], "draw": np.arange(50), "parameter": ["a", "k", "b"], "iiv": ["a"],
            "deviating": ["a"], "id": s.design.ids,
        },
    )  # fmt: skip
    raw["typical"].loc[{"parameter": "k"}] = np.log(0.1)
    raw["typical"].loc[{"parameter": "b"}] = -3.0 + lynx
    individual = fitted.individual_draws(s, raw)
    posterior = fitted.population_draws(s, raw).merge(
        individual.rename({k: f"{k}{INDIVIDUAL_SUFFIX}" for k in individual.data_vars})
    )
    flat = xr.Dataset(
        {
            "diverging": (dims, np.zeros(shape, dtype=bool)),
            "energy": (dims, rng.standard_normal(shape)),
            "maxdepth_reached": (dims, np.zeros(shape, dtype=bool)),
        }
    )
    tree = xr.DataTree.from_dict(
        {
            "posterior": posterior,
            "sample_stats": flat,
            "log_likelihood": fitted.loglik_draws(s, raw).to_dataset(),
            "observed_data": fitted.observed_records(s.design),
        }
    )
    verdict = dataclasses.replace(judge(posterior[["a"]], flat), ok=True, sentence="Converged.")
    seconds = {"compile_seconds": 0.0, "sample_seconds": 0.0}
    return FitResult("pair", s, tree, verdict, seconds)


@pytest.fixture(scope="module")
def result(trial) -> FitResult:
    return made_up(trial)


def test_records_of_several_endpoints_say_which(result):
    assert result.endpoints == BOTH
    with pytest.raises(FitError, match="several endpoints"):
        _ = result.endpoint
    assert "Pair on hare, lynx of 3 patients, 9 records" in repr(result)
    loglik = result.tree["log_likelihood"]["records"]
    assert loglik["endpoint_of"].to_numpy()[:2].tolist() == ["hare", "lynx"]
    assert loglik.dims == ("chain", "draw", "obs")
    d = result.structure.design
    one = result.posterior.isel(chain=1, draw=3)
    i = int(np.flatnonzero((d.measure == 1) & (d.patient == 2))[0])
    expected = stats.norm(float(one["b"]) + 1.5, float(one["sigma_add_lynx"])).logpdf(-1.4)
    assert_allclose(float(loglik.isel(chain=1, draw=3, obs=i)), expected, rtol=1e-10)


def test_a_fit_of_several_endpoints_survives_the_disk(result, tmp_path):
    loaded = fit.load(result.save(tmp_path / "pair.nc"), Pair())
    assert loaded.posterior.identical(result.posterior)
    assert loaded.endpoints == BOTH
    assert loaded.structure.quantities == result.structure.quantities
    assert loaded.structure.population.errors == {"lynx": "additive"}
    mine, theirs = result.structure.design, loaded.structure.design
    for field in dataclasses.fields(mine):
        a, b = getattr(mine, field.name), getattr(theirs, field.name)
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b)
        elif field.name != "subjects":
            assert a == b
    one = [checks.vpc(r, endpoint="lynx", n_sims=20) for r in (result, loaded)]
    assert one[0].identical(one[1])


@pytest.mark.parametrize(
    "check",
    [
        checks.vpc,
        checks.predictions,
        checks.exposure,
        checks.residuals,
        checks.predictive_exposure,
    ],
)
def test_checks_of_several_endpoints_ask_which(result, check):
    with pytest.raises(FitError, match=r"several endpoints \(hare, lynx\)"):
        check(result)


def test_predictions_of_one_endpoint_of_several(result):
    p = checks.predictions(result, endpoint="lynx", n_draws=50)
    assert p.attrs["endpoint"] == "lynx"
    assert p.sizes["obs"] == 4
    # No parameter of the lynx varies: every curve is b + t/2, with b at -3 in each draw.
    grid = p["grid_time"].to_numpy()
    assert_allclose(p["median"], np.tile(-3.0 + grid / 2, (3, 1)), atol=1e-9)
    assert_allclose(p["population"], -3.0 + grid / 2, atol=1e-9)
    assert_allclose(p["ipred"], -3.0 + p["time"].to_numpy() / 2, atol=1e-9)


def test_residuals_of_one_endpoint_of_several(result):
    """No parameter of the lynx varies: IWRES and CWRES are (y - b - t/2) / sigma, at medians."""
    d = checks.residuals(result, endpoint="lynx", n_sims=100, n_draws=100)
    at = result.draws().median()
    expected = (d["dv"] - float(at["b"]) - d["time"] / 2) / float(at["sigma_add_lynx"])
    # IPRED is the median over draws, CWRES is at the median: b moves by 0.01.
    assert_allclose(d["cwres"], expected, rtol=1e-6)
    assert_allclose(d["iwres"], expected, atol=0.02)
    assert d["pred"].attrs["units"] == "1"
    assert np.isfinite(d["npde"]).all()
    hare = checks.residuals(result, endpoint="hare", n_sims=100, n_draws=100)
    assert np.isnan(hare["cwres"][hare["censoring"] == "left"]).all()
    assert np.isfinite(hare["cwres"][hare["censoring"] == "none"]).all()


def test_the_population_curve_has_the_median_dose(result):
    """Total doses are 3e6, 3e6 and 1e6: the first patient's, whose second dose is on day 9."""
    p = checks.predictions(result, endpoint="hare", n_draws=50)
    curve = p["population"].to_numpy()
    after = int(np.searchsorted(p["grid_time"].to_numpy(), 9.0))
    assert curve[after] > 2 * curve[after - 1]
    assert_allclose(curve, p["typical"].isel(id=0))


def test_the_typical_curve_of_each_patient_has_its_own_doses(result):
    """Only the first patient has a second dose on day 9; nobody else's curve jumps there."""
    p = checks.predictions(result, endpoint="hare", n_draws=50)
    after = int(np.searchsorted(p["grid_time"].to_numpy(), 9.0))
    jump = (p["typical"].isel(grid=after) / p["typical"].isel(grid=after - 1)).to_numpy()
    dosed = p["typical"].isel(grid=after - 1).to_numpy() > 0
    assert jump[0] > 2
    assert (jump[1:][dosed[1:]] < 1.05).all()


def test_a_predictive_check_simulates_with_the_endpoints_own_error(result):
    """Lynx of all three patients on day 1 to 10: normal around b + t/2 with SD 0.7."""
    v = checks.vpc(result, endpoint="lynx", n_sims=4000, bins=[0, 1.5, 20]).isel(stratum=0, bin=0)
    assert int(v["n"]) == 1
    middle = v.sel(quantile=0.5)
    assert_allclose(float(middle["simulated_median"]), -2.5, atol=0.05)
    edge = stats.norm.ppf(0.95) * 0.7
    assert_allclose(float(middle["simulated_lower"]), -2.5 - edge, atol=0.1)
    hare = checks.vpc(result, endpoint="hare", n_sims=200)
    assert float(hare["blq_observed"].isel(stratum=0).max()) > 0


def test_exposure_of_one_endpoint_with_levels_of_0(trial):
    """Before any dose there are no hares; patient a: 240 exp(-t/10), its integral to day 28."""
    later = made_up(trial)
    d = later.structure.design
    moved = dataclasses.replace(d, dose_time=np.where(d.dose_patient == 0, 2.0, 0.0))
    s = dataclasses.replace(later.structure, design=moved)
    one = dataclasses.replace(later, structure=s)
    twin = checks.exposure(one, endpoint="hare", n_draws=50).sel(interval="median")
    assert np.isfinite(twin["auc0_28"]).all()
    a = float(one.posterior["a_i"].isel(id=1).median())
    assert_allclose(float(twin["auc0_28"][1]), 3 * a * 10 * (1 - np.exp(-2.8)), rtol=5e-3)
    assert float(twin["tmax"][0]) == pytest.approx(2.0, abs=0.05)


def test_patients_are_left_out_with_all_their_endpoints(result):
    """Etas integrated out of hares, one of them below the LLOQ, and lynx, by equations solved.

    Against 80-node Gauss-Hermite over the one eta of the levels solved by hand.
    """
    s = result.structure
    d = s.design
    few = sampled(result.draws().isel(draw=slice(0, 4)))
    found = marginal(s, few, proposals(result), n_samples=1000, seed=2)
    z, w = np.polynomial.hermite_e.hermegauss(80)
    exact = np.zeros(found.loglik.shape)
    for at in range(exact.shape[0]):
        q = {str(k): float(v[at]) for k, v in few.data_vars.items()}
        a = q["a"] * np.exp(q["omega_a"] * z)
        for i in range(d.n_patients):
            ln = np.log(w / np.sqrt(2 * np.pi))
            for r in np.flatnonzero(d.patient == i):
                if d.measure[r] == 1:
                    lynx = q["b"] + d.time[r] / 2
                    ln = ln + stats.norm.logpdf(d.dv[r], lynx, q["sigma_add_lynx"])
                    continue
                given = (d.dose_patient == i) & (d.dose_time <= d.time[r])
                left = np.exp(-q["k"] * (d.time[r] - d.dose_time[given]))
                hares = a * (d.dose_amount[given] / 1e6 * left).sum()
                e = np.log(d.dv[r] / hares) / q["sigma_log_hare"]
                scale = np.log(q["sigma_log_hare"] * d.dv[r])
                ln = ln + (stats.norm.logcdf(e) if d.code[r] else stats.norm.logpdf(e) - scale)
            exact[at, i] = np.logaddexp.reduce(ln)
    # The made-up etas scatter far less than their posterior would: a poor proposal.
    assert found.error.max() < 0.1
    assert (np.abs(found.loglik - exact) < 5 * found.error).all()
    ranked = compare.models({"pair": result}, n_draws=100, n_samples=20)
    assert ranked.loc["pair", ["n_obs", "n_patients"]].tolist() == [9, 3]


def test_fits_of_the_same_endpoints_compare(result, trial):
    worse = made_up(trial, lynx=5.0)
    table = compare.models({"worse": worse, "good": result}, by="record")
    assert table.index.tolist() == ["good", "worse"]
    single = resolve(Pair(), fit.population(), design_for(Pair(), trial, "hare"))
    other = dataclasses.replace(result, structure=single)
    with pytest.raises(FitError, match=r"different records \(hare, lynx: 9 and hare: 5\)"):
        compare.models({"a": result, "b": other})
