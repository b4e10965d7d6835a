"""Tumour size and survival: in two stages from a fit of the tumours, and in one posterior."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.integrate import quad
from scipy.stats import norm

from cart_pkpd import data, endpoints, fit, models
from cart_pkpd._core.errors import DataError, FitWarning
from cart_pkpd._endpoints.at_infusion import with_baseline
from cart_pkpd._endpoints.joint import joint_of, structure_of
from cart_pkpd._endpoints.joint_posterior import extra
from cart_pkpd._endpoints.parametric import MEDIAN_PRIOR, SCALE_PRIOR
from cart_pkpd._fit.posterior import Posterior
from cart_pkpd._fit.start import starting_values


class GrowthAndDecay(models.ClosedFormModel):
    """y = y0 (e^(−d t) + e^(g t) − 1), the form of Stein et al. (2011)."""

    endpoint = "sld"
    y0 = models.Positive(70.0, "mm", "sum of diameters at the infusion", iiv=0.3)
    d = models.Positive(0.01, "1/day", "decay rate of sensitive cells", iiv=0.3)
    g = models.Positive(0.003, "1/day", "growth rate of resistant cells", iiv=0.6)

    def log_level(self, t, p):
        exp, log = models.math.exp, models.math.log
        return log(p.y0) + log(exp(-p.d * t) + exp(p.g * t) - 1)


class Exponential(models.ClosedFormModel):
    """y = y0 e^(g t)."""

    endpoint = "sld"
    y0 = models.Positive(70.0, "mm", "sum of diameters at the infusion", iiv=0.3)
    g = models.Positive(0.003, "1/day", "growth rate", iiv=0.6)

    def log_level(self, t, p):
        return models.math.log(p.y0) + p.g * t


class ExponentialOde(models.OdeModel):
    """dy/dt = g y."""

    sld = models.State("mm", "sum of diameters")
    y0 = models.Positive(70.0, "mm", "sum of diameters at the infusion", iiv=0.3)
    g = models.Positive(0.003, "1/day", "growth rate", iiv=0.6)

    def initial(self, p):
        return {"sld": p.y0}

    def rhs(self, t, y, p):
        return {"sld": p.g * y.sld}

    def observe(self, t, y, p):
        return {"sld": y.sld}


@pytest.mark.slow
def test_survival_follows_the_growth_rate_of_the_tumours():
    """Made with a hazard proportional to g: a ratio of 2 per doubling, in a 98 % interval."""
    rng = np.random.default_rng(7)
    n, days = 50, np.array([0.0, 28, 56, 84, 112, 168, 224])
    y0 = 70 * np.exp(0.3 * rng.normal(size=n))
    d = 0.01 * np.exp(0.3 * rng.normal(size=n))
    g = 0.003 * np.exp(0.6 * rng.normal(size=n))
    size = y0[:, None] * (np.exp(-d[:, None] * days) + np.exp(g[:, None] * days) - 1)
    ids = [f"p{i:02d}" for i in range(n)]
    table = pd.DataFrame(
        {"ID": np.repeat(ids, days.size), "TIME": np.tile(days, n),
         "DV": (size * np.exp(0.05 * rng.normal(size=size.shape))).ravel(), "DVID": "sld",
         "UNIT": "mm"}
    )  # fmt: skip
    trial = data.read_table(table, echo=False)
    model = GrowthAndDecay()
    fitted = fit.bayes(model, trial, fit.population(iiv=["y0", "d", "g"]), endpoint="sld",
                       draws=200, tune=400, chains=2, cores=1, seed=2)  # fmt: skip
    growth = endpoints.carry(fitted, "g")
    assert growth.sizes["id"] == n
    middle = growth.median("sample").sel(id=ids).values
    assert np.corrcoef(np.log(middle), np.log(g))[0, 1] > 0.9
    time = rng.exponential(300 * 0.003 / g)
    tte = pd.DataFrame({"id": ids, "endpoint": "OS", "time": np.minimum(time, 700) + 1,
                        "event": time <= 700})  # fmt: skip
    found = endpoints.survival_bayes(
        tte, carried=growth, imputations=8, draws=300, tune=300, chains=2, cores=1, seed=1
    )
    row = found.ratios(0.98).set_index("change").loc["2-fold"]
    assert row["lower"] < 2.0 < row["upper"]
    assert row["lower"] > 1.0
    # A mean survival time of 300 days at g = 0.003/day is a median of 208.
    assert found.table(0.98).loc["survival_median", "lower"] < 300 * np.log(2) * 1.3


# --- one posterior -------------------------------------------------------------------------------


POPULATION = {"iiv": ["y0", "d", "g"]}


def trial_of(rows):
    table = pd.DataFrame(rows, columns=["ID", "TIME", "DV", "DVID", "UNIT"])
    return data.read_table(table, echo=False)


def two_patients():
    return trial_of([("a", -10.0, 60.0, "sld", "mm"), ("a", 28.0, 50.0, "sld", "mm"),
                     ("b", -3.0, 80.0, "sld", "mm"), ("b", 30.0, 85.0, "sld", "mm")])  # fmt: skip


TIMES = pd.DataFrame({"id": ["a", "b", "c"], "endpoint": "OS", "time": [120.0, 300.0, 9.0],
                      "event": [True, False, True], "start_day": 0.0})  # fmt: skip
VALUES = {"survival_median": 250.0, "survival_scale": 0.7, "link_size": 0.8, "link_change": 0.5,
          "link_g": -0.4, "survival_ln_weight": 0.3}  # fmt: skip


def size(t, p):
    return p["y0"] * (np.exp(-p["d"] * t) + np.exp(p["g"] * t) - 1)


def survival_loglik(joint, patients):
    """The log-likelihood of all times, and the gradient's largest error against differences.

    From the density that is sampled, less that of the tumours alone and the priors.
    """
    structure = joint.structure
    names = structure.random.names
    alone = Posterior(structure, names)
    both = replace(alone, extra=extra(joint))
    x = alone.start(starting_values(structure))
    q = len(structure.quantities)
    x[q:] = np.log(np.concatenate([patients[n] for n in names]))
    values = [VALUES[own.name] for own in joint.quantities]
    free = [
        np.log(v) if own.positive else v for own, v in zip(joint.quantities, values, strict=True)
    ]
    z = np.concatenate([x[:q], free, x[q:]])
    prior = 0.0
    for own, u in zip(joint.quantities, free, strict=True):
        mean, sd = (np.log(own.prior.median), own.prior.sigma) if own.positive else (0.0, 1.0)
        prior += norm.logpdf(u, mean, sd)
    function = both.function()
    total, slopes = function(z)
    step = 1e-5 * np.eye(z.size)
    numeric = [(function(z + h)[0] - function(z - h)[0]) / 2e-5 for h in step]
    return total - alone.function()(x)[0] - prior, np.abs(slopes - numeric).max()


@pytest.mark.parametrize("link", [("size",), ("change",), ("g",), ("size", "g")])
def test_the_likelihood_is_the_integral_of_the_hazard(link):
    """The same by adaptive quadrature of the hazard as written, to 1e-5."""
    scans, note = with_baseline(two_patients(), "sld")
    assert note == ("the last sld before the infusion counts as of its day (2 patients).",)
    structure = structure_of(GrowthAndDecay(), scans, fit.population(**POPULATION), "sld")
    joint, notes = joint_of(structure, TIMES, link, (), None, MEDIAN_PRIOR, SCALE_PRIOR)
    assert "1 without tumour records or a predictor left out of survival (c)." in notes
    reference = {each.name: each.reference for each in joint.links}
    patients = {"y0": np.array([60.0, 80.0]), "d": np.array([0.01, 0.02]),
                "g": np.array([0.004, 0.002])}  # fmt: skip
    found, _ = survival_loglik(joint, patients)
    expected = 0.0
    for i, (time, event) in enumerate([(120.0, True), (300.0, False)]):
        p = {n: v[i] for n, v in patients.items()}

        def hazard(s, p=p):
            day = max(s - 1.0, 0.0)  # time 1 is the day of infusion
            k = 1 / VALUES["survival_scale"]
            base = np.log(2) * k * (s / VALUES["survival_median"]) ** k / s
            course = {"size": size(day, p), "change": size(day, p) / size(0.0, p), "g": p["g"]}
            return base * np.prod([(course[n] / reference[n]) ** VALUES[f"link_{n}"] for n in link])

        total = quad(hazard, 0, time, points=[1.0], epsabs=1e-11, limit=200)[0]
        expected += np.log(hazard(time)) * event - total
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_what_cannot_be_linked_has_its_sentence():
    trial, population = two_patients(), fit.population(**POPULATION)
    for change, said in (
        ({"link": "volume"}, "unknown link 'volume'. Known: 'size', 'change', 'y0', 'd', 'g'"),
        ({"link": ["size", "size"]}, "link= names 'size' twice"),
        ({"link": None}, "link= must be 'size', 'change' or a parameter"),
        ({"endpoint": ["sld"]}, "endpoint= is the one of tumour size"),
        ({"chains": 1}, "chains= must be at least 2"),
        ({"tte": TIMES[TIMES["id"] == "c"]}, "nobody with tumour records and every predictor has"),
        ({"tte": None}, "times to event must be the table of"),
        ({"trial": None}, "give a trial"),
    ):
        good = {"model": GrowthAndDecay(), "trial": trial, "population": population, "tte": TIMES}
        with pytest.raises(DataError, match=said):
            endpoints.joint_bayes(**{**good, **change})


def test_predictors_and_differential_equations_have_the_right_gradient():
    """Central differences, 1e-5 of the largest slope; the equation's size is that of the formula.

    dy/dt = g y has y0 e^(g t): the log-likelihood agrees with that of the closed form at the
    solver's tolerance.
    """
    scans, _ = with_baseline(two_patients(), "sld")
    weight = xr.Dataset({"weight": ("id", [60.0, 90.0, 70.0])}, coords={"id": ["a", "b", "c"]})
    patients = {"y0": np.array([60.0, 80.0]), "g": np.array([0.004, 0.002])}
    found = []
    for model in (Exponential(), ExponentialOde()):
        structure = structure_of(model, scans, fit.population(iiv=["y0", "g"]), "sld")
        joint, _ = joint_of(structure, TIMES, ["size", "change"], "weight", weight, MEDIAN_PRIOR,
                            SCALE_PRIOR)  # fmt: skip
        total, error = survival_loglik(joint, patients)
        assert error < 1e-4
        found.append(total)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


def test_a_fit_that_did_not_converge_is_flagged():
    """Six draws cannot converge: a warning, the sentence in every table, and still the numbers."""
    with pytest.warns(FitWarning, match="Not converged: .* Take more draws"):
        found = endpoints.joint_bayes(
            GrowthAndDecay(), two_patients(), fit.population(**POPULATION), TIMES, draws=6, tune=20,
            chains=2, cores=1,
        )  # fmt: skip
    assert not found.verdict.ok
    for table in (found.ratios(), found.table(), found.survival([100])):
        assert table.attrs["converged"] == 0
        assert table.attrs["verdict"].startswith("Not converged: ")
    assert "Not converged" in repr(found)
    assert "Not converged" in found._repr_html_()
    carried = endpoints.carry(found.tumour, "g")
    with pytest.raises(DataError):  # two patients and one event leave nothing to fit
        endpoints.survival_bayes(TIMES.assign(event=False), carried=carried, draws=5, tune=5)
    assert carried.attrs["not_converged"] == found.tumour.verdict.sentence


def test_survival_says_that_what_it_carries_did_not_converge():
    rng = np.random.default_rng(1)
    drawn = xr.Dataset(
        {"g_i": (("chain", "draw", "id"), np.exp(rng.normal(size=(2, 10, 12))))},
        coords={"id": [f"p{i}" for i in range(12)]},
    )
    verdict = SimpleNamespace(ok=False, sentence="Not converged: R-hat up to 1.2.")
    carried = endpoints.carry(SimpleNamespace(posterior=drawn, verdict=verdict), "g")
    tte = pd.DataFrame({"id": drawn["id"].values, "endpoint": "OS", "event": True,
                        "time": rng.exponential(200, size=12) + 1})  # fmt: skip
    found = endpoints.survival_bayes(tte, carried=carried, imputations=2, draws=20, tune=50,
                                     chains=2, cores=1, seed=1)  # fmt: skip
    assert "g comes from a fit that is not converged: R-hat up to 1.2." in found.notes


def test_a_patient_with_a_baseline_scan_only_is_not_lost_in_silence():
    """Told by name where tumours are fitted alone; kept when the scan counts as of day 0."""
    rows = [("a", -7.0, 60.0, "sld", "mm"), ("b", -7.0, 80.0, "sld", "mm"),
            ("b", 30.0, 85.0, "sld", "mm")]  # fmt: skip
    trial = trial_of(rows)
    with pytest.warns(FitWarning, match=r"1 of 2 patients not fitted.*sld before.*\(a\)"):
        fit.bayes(GrowthAndDecay(), trial, fit.population(), endpoint="sld", draws=4, tune=10,
                  chains=2, cores=1)  # fmt: skip
    assert fit.structure(GrowthAndDecay(), trial, fit.population(), endpoint="sld").notes[-1:] == (
        "Left out: 2 of 3 records before the infusion, 1 patient with no record of sld to fit.",
    )
    kept = endpoints.baseline_at_infusion(trial, "sld")
    structure = fit.structure(GrowthAndDecay(), kept, fit.population(), endpoint="sld")
    assert structure.design.ids.tolist() == ["a", "b"]
    assert structure.design.time.tolist() == [0.0, 0.0, 30.0]
    with pytest.raises(DataError, match="volume"):
        endpoints.baseline_at_infusion(trial, "volume")


@pytest.mark.slow
def test_the_hazard_that_follows_the_size_is_found_again():
    """Made with a hazard of 2 per doubling of the current size; 95 % intervals, and predictions."""
    rng = np.random.default_rng(3)
    n, days = 60, np.array([-10.0, 28, 56, 84, 112, 168, 224])
    p = {"y0": 70 * np.exp(0.3 * rng.normal(size=n)), "d": 0.01 * np.exp(0.3 * rng.normal(size=n)),
         "g": 0.003 * np.exp(0.6 * rng.normal(size=n))}  # fmt: skip
    p = {k: v[:, None] for k, v in p.items()}
    grid = np.linspace(0, 800, 8001)[None]
    hazard = np.log(2) / 300 * size(grid, p) / 70
    total = np.cumsum(hazard, axis=1) * 0.1
    limit = rng.exponential(size=n)
    death = np.array([np.interp(limit[i], total[i], grid[0], right=np.inf) for i in range(n)])
    ids = [f"p{i:02d}" for i in range(n)]
    seen = size(np.maximum(days, 0)[None], p) * np.exp(0.05 * rng.normal(size=(n, days.size)))
    rows = [(ids[i], t, seen[i, j], "sld", "mm")
            for i in range(n) for j, t in enumerate(days) if t < death[i]]  # fmt: skip
    tte = pd.DataFrame({"id": ids, "endpoint": "OS", "time": np.minimum(death, 700) + 1,
                        "event": death <= 700})  # fmt: skip
    found = endpoints.joint_bayes(
        GrowthAndDecay(), trial_of(rows), fit.population(**POPULATION), tte, cores=2, seed=1
    )
    assert found.verdict.ok, found.verdict.sentence
    assert max(found.provenance["variance_left"].values()) < 0.5  # seven scans tell all three
    row = found.ratios(0.95).iloc[0]
    assert row["lower"] < 2.0 < row["upper"]
    assert row["p_above_1"] > 0.99
    assert "hazard ratio 2-fold" in repr(found)
    growth = found.tumour.table(0.95).loc["g"]
    assert growth["lower"] < 0.003 * 1.2
    assert growth["upper"] > 0.003 * 0.9
    predicted = found.survival([90, 180, 365])["population"]
    alive = [(death > t).mean() for t in (90, 180, 365)]
    # Binomial noise of 60 patients is 0.065.
    np.testing.assert_allclose(predicted.sel(interval="mean"), alive, atol=0.12)
