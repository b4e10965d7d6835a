"""Two posteriors with published reference draws, written as a user would in one notebook cell.

Reference: stan-dev/posteriordb, commit 28f8d3d6, ``hudson_lynx_hare-lotka_volterra`` and
``one_comp_mm_elim_abs-one_comp_mm_elim_abs``: means and standard deviations of 10 chains of 1000
thinned draws by Stan (effective sizes near 10,000). One patient, no random effects, priors of
one's own on everything.
"""

import numpy as np
import pandas as pd
import pytest

from cart_pkpd import data, fit, models
from cart_pkpd.models import math

HARES = [30, 47.2, 70.2, 77.4, 36.3, 20.6, 18.1, 21.4, 22, 25.4, 27.1, 40.3, 57, 76.6, 52.3, 19.5,
         11.2, 7.6, 14.6, 16.2, 24.7]  # fmt: skip
LYNXES = [4, 6.1, 9.8, 35.2, 59.4, 41.7, 19, 13, 8.3, 9.1, 7.4, 8, 12.3, 19.5, 45.7, 51.1, 29.7,
          15.8, 9.7, 10.1, 8.6]  # fmt: skip
DRUG = [5.70812264865215, 7.10126075072086, 8.38520678426651, 9.79008249883381, 13.4390409239245,
        11.4478987597702, 11.2124282696837, 11.4269217682577, 12.2432859438401, 13.8201804108938,
        13.8408670746042, 11.422291744251, 10.5031943081843, 11.9121452242965, 14.0849980781312,
        10.5505145523917, 10.1905539351877, 12.2232272590821, 11.7290653047821,
        12.2719396535996]  # fmt: skip


class PredatorPrey(models.OdeModel):
    """Hares and lynxes; the unit of time is a year, called a day."""

    hares = models.State(about="hares, thousands of pelts")
    lynxes = models.State(about="lynxes, thousands of pelts")
    birth = models.Positive(1.0)
    hunted = models.Positive(0.05)
    death = models.Positive(1.0)
    fed = models.Positive(0.05)
    hares_0 = models.Positive(10.0)
    lynxes_0 = models.Positive(10.0)

    def initial(self, p):
        return {"hares": p.hares_0, "lynxes": p.lynxes_0}

    def rhs(self, t, y, p):
        return {
            "hares": (p.birth - p.hunted * y.lynxes) * y.hares,
            "lynxes": (p.fed * y.hares - p.death) * y.lynxes,
        }

    def observe(self, t, y, p):
        return {"hare": y.hares, "lynx": y.lynxes}


class Absorption(models.OdeModel):
    """One compartment, first-order absorption of 30 mg, Michaelis–Menten elimination."""

    concentration = models.State("mg/L")
    ka = models.Positive(1.0, "1/day")
    km = models.Positive(1.0, "mg/L")
    vm = models.Positive(1.0, "mg/day")
    amount = models.Positive(30.0, "mg")
    volume = models.Positive(2.0, "L")

    def initial(self, p):
        return {"concentration": 0.0}

    def rhs(self, t, y, p):
        absorbed = p.ka * p.amount * math.exp(-p.ka * t)
        gone = p.vm * y.concentration / (p.km + y.concentration)
        return {"concentration": (absorbed - gone) / p.volume}

    def observe(self, t, y, p):
        return {"drug": y.concentration}


@pytest.fixture(scope="module")
def predator_prey():
    """Priors: rates normal cut at 0, starts and scatters log-normal."""
    rows = [
        {"ID": 1, "TIME": t, "DVID": name, "DV": v}
        for name, values in (("hare", HARES), ("lynx", LYNXES))
        for t, v in enumerate(values)
    ]
    trial = data.read_table(pd.DataFrame(rows), units={"hare": "1", "lynx": "1"}, echo=False)
    rate, small = fit.TruncatedNormal(1.0, 0.5), fit.TruncatedNormal(0.05, 0.05)
    start, scatter = fit.LogNormal(10.0, 1.0), fit.LogNormal(float(np.exp(-1.0)), 1.0)
    population = fit.population(
        error="lognormal",
        priors={
            "birth": rate, "death": rate, "hunted": small, "fed": small,
            "hares_0": start, "lynxes_0": start,
            "sigma_log_hare": scatter, "sigma_log_lynx": scatter,
        },
    )  # fmt: skip
    return fit.bayes(
        PredatorPrey(), trial, population, endpoint=["hare", "lynx"], draws=2000, seed=1
    )


@pytest.fixture(scope="module")
def absorption():
    """Priors: half-Cauchy with scale 1 on everything."""
    rows = pd.DataFrame({"ID": 1, "TIME": np.arange(1, 21) * 0.5, "DVID": "drug", "DV": DRUG})
    trial = data.read_table(rows, units={"drug": "mg/L"}, echo=False)
    half = fit.HalfCauchy(1.0)
    population = fit.population(priors=dict.fromkeys(("ka", "km", "vm", "sigma_log"), half))
    model = Absorption().with_(amount=models.Fixed(30.0), volume=models.Fixed(2.0))
    return fit.bayes(
        model, trial, population, endpoint="drug", draws=2000, seed=1, target_accept=0.99
    )


def assert_same(draws, ess, mean, sd):
    """Mean within 4 Monte Carlo standard errors of ours and the reference's, sd within 15 %."""
    error = sd * np.sqrt(1 / ess + 1e-4)
    assert abs(float(draws.mean()) - mean) < 4 * error
    assert abs(float(draws.std()) / sd - 1) < 0.15


def test_predator_prey_converges(predator_prey):
    assert predator_prey.verdict.ok, predator_prey.verdict.sentence
    assert predator_prey.provenance["unsolved"] == {}


@pytest.mark.parametrize(
    ("name", "mean", "sd"),
    [
        ("birth", 0.546864, 0.063055),
        ("hunted", 0.0277473, 0.0041547),
        ("death", 0.800095, 0.08937),
        ("fed", 0.0240859, 0.0035281),
        ("hares_0", 34.0352, 2.9169),
        ("lynxes_0", 5.9359, 0.53055),
        ("sigma_log_hare", 0.248057, 0.043263),
        ("sigma_log_lynx", 0.251017, 0.04359),
    ],
)
def test_predator_prey_has_the_reference_posterior(predator_prey, name, mean, sd):
    ess = predator_prey.table()["ess_bulk"][name]
    assert_same(predator_prey.draws()[name], ess, mean, sd)


@pytest.mark.parametrize(
    ("name", "mean", "sd"),
    [
        ("ka", -0.27821, 0.10065),
        ("km", -0.07293, 1.42959),
        ("vm", -0.07497, 0.29017),
        ("sigma_log", -2.06486, 0.17520),
    ],
)
def test_absorption_has_the_reference_posterior(absorption, name, mean, sd):
    """On the log scale: the variances of km and vm themselves are infinite."""
    ess = absorption.table()["ess_bulk"][name]
    assert_same(np.log(absorption.draws()[name]), ess, mean, sd)


def test_absorption_mixes(absorption):
    """R-hat below 1.01 and at least 400 effective draws of everything."""
    table = absorption.table()
    assert table["rhat"].max() < 1.01
    assert table["ess_bulk"].min() > 400
