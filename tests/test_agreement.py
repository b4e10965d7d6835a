"""Models and trials that do not fit together are refused or said; models do not change."""

import numpy as np
import pandas as pd
import pytest
from numba import njit
from numpy.testing import assert_allclose

from cart_pkpd import data, fit, models
from cart_pkpd._core.errors import FitError, FitWarning, ModelError
from cart_pkpd._engine import forms, population
from cart_pkpd._stats.design import design_for
from cart_pkpd._stats.population import resolve


class Compartment(models.OdeModel):
    """One compartment; the drug leaves more slowly while an inhibitor is on."""

    amount = models.State("mg")
    clearance = models.Positive(5.0, "L/day")
    volume = models.Positive(3.0, "L")
    slowed = models.Fraction(0.5)
    inhibitor = models.Input(0.0, about="1 while the inhibitor is on")
    dosed, dose_unit = "amount", "mg"

    def initial(self, p):
        return {"amount": 0.0}

    def rhs(self, t, y, p):
        speed = 1.0 - p.slowed * p.inhibitor
        return {"amount": -speed * p.clearance / p.volume * y.amount}

    def observe(self, t, y, p):
        return {"drug": y.amount / p.volume}


def trial(dose_unit="mg"):
    rows = [
        {"ID": 1, "TIME": 0, "AMT": 100, "DV": np.nan},
        *({"ID": 1, "TIME": t, "AMT": np.nan, "DV": 30 * np.exp(-t)} for t in (0.5, 1.0, 2.0)),
    ]
    table = pd.DataFrame(rows).assign(DVID="drug")
    return data.read_table(table, units={"drug": "mg/L"}, dose_unit=dose_unit, echo=False)


def test_doses_in_another_unit_are_refused():
    with pytest.raises(FitError, match="doses of the trial are in g but Compartment takes them in"):
        resolve(Compartment(), fit.population(), design_for(Compartment(), trial("g"), "drug"))


def test_an_input_without_events_is_said():
    model = Compartment().with_(slowed=models.Fixed(0.5), volume=models.Fixed(3.0))
    with pytest.warns(
        FitWarning, match="input 'inhibitor' of Compartment stays at 0 for everybody"
    ):
        fit.bayes(model, trial(), fit.population(), endpoint="drug", draws=5, tune=5, chains=2)


@pytest.mark.parametrize("name", ["clearance", "dosed", "fixed", "anything"])
def test_nothing_of_a_model_can_be_set(name):
    with pytest.raises(AttributeError, match=rf"{name} cannot be set. Use model.with_\({name}="):
        setattr(Compartment(), name, 3.0)


def test_litres_and_millilitres_do_not_mix():
    class Mixed(Compartment):
        clearance = models.Positive(5000.0, "mL/day")

    with pytest.raises(ModelError, match=r"rhs\['amount'\] is in .* but should be in mg/day"):
        Mixed()


def test_a_number_may_convert():
    """5,000 mL/day over 1,000 mL per L is 5 L/day: the same levels."""

    class Converted(Compartment):
        clearance = models.Positive(5000.0, "mL/day")

        def rhs(self, t, y, p):
            return {"amount": -p.clearance / 1000.0 / p.volume * y.amount}

    times = [0.0, 0.5, 1.0]
    expected = 100.0 / 3.0 * np.exp(-5.0 / 3.0 * np.array(times))
    for model in (Compartment(), Converted()):
        assert_allclose(model.simulate(times, doses=100.0)["drug"], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("form", "a", "b", "at", "expected"),
    [
        # Beta(2, 3) of expit(u) by u: a expit(-u) - b expit(u), at its limits -3 and 2.
        (forms.BETA, 2.0, 3.0, 45.0, -3.0),
        (forms.BETA, 2.0, 3.0, -45.0, 2.0),
        # Normal(0.5, 2) of u itself: -(u - 0.5) / 4.
        (forms.LOGIT_NORMAL, 0.5, 2.0, 60.5, -15.0),
    ],
)
def test_priors_of_shares_keep_their_digits_near_0_and_1(form, a, b, at, expected):
    """Closed forms to 1e-12, where the share itself rounds to 0 or 1."""
    density = population.on_unit_interval
    slope = njit(lambda u: density(form, a, b, u)[1])(at)
    assert_allclose(slope, expected, rtol=1e-12)


def noise_free(order):
    """Levels of 100 mg in 3 L, 5 L/day, with a sample at each dose, above or below its row."""
    level = 100 / 3 * np.exp(-5 / 3 * np.array([0.25, 0.5, 1.0]))
    trough = level[-1]
    dose = [{"TIME": t, "AMT": 100.0, "DV": np.nan} for t in (0.0, 1.0)]
    sample = [{"TIME": 1.0, "AMT": np.nan, "DV": trough + (0.0 if order == "before" else 100 / 3)}]
    second = (level + trough * np.exp(-5 / 3 * np.array([0.25, 0.5, 1.0]))).tolist()
    rows = [
        dose[0],
        *({"TIME": t, "AMT": np.nan, "DV": v} for t, v in zip((0.25, 0.5), level, strict=False)),
        *((sample + dose[1:]) if order == "before" else (dose[1:] + sample)),
        *(
            {"TIME": 1 + t, "AMT": np.nan, "DV": v}
            for t, v in zip((0.25, 0.5, 1.0), second, strict=True)
        ),
    ]
    table = pd.DataFrame(rows).assign(ID=1, DVID="drug")
    return data.read_table(table, units={"drug": "mg/L"}, dose_unit="mg", echo=False)


@pytest.mark.parametrize("order", ["before", "after"])
def test_the_order_of_rows_says_whether_a_sample_precedes_a_dose(order):
    """Exact levels either way: least squares finds 5 L/day and 3 L to 0.1 %."""
    model = Compartment().with_(slowed=models.Fixed(0.5))
    found = fit.least_squares(model, noise_free(order), endpoint="drug", method="pooled")
    estimate = found["estimate"].sel(parameter=["clearance", "volume"])
    assert_allclose(estimate.to_numpy().ravel(), [5.0, 3.0], rtol=1e-3)


def test_a_short_infusion_in_a_table_is_no_bolus():
    """6 h into one compartment: (rate / cl) (1 - exp(-k T)) exp(-k (t - T)); estimates to 0.1 %."""
    rate, k = 100.0 / 0.25, 5.0 / 3.0
    times = np.array([0.5, 1.0, 1.5, 2.0])
    level = rate / 5.0 * (1 - np.exp(-k * 0.25)) * np.exp(-k * (times - 0.25))
    rows = [{"TIME": 0.0, "AMT": 100.0, "DUR": 0.25}]
    rows += [{"TIME": t, "DV": v} for t, v in zip(times, level, strict=True)]
    table = pd.DataFrame(rows).assign(ID=1, DVID="drug")
    one = data.read_table(table, units={"drug": "mg/L"}, dose_unit="mg", echo=False)
    model = Compartment().with_(slowed=models.Fixed(0.5))
    found = fit.least_squares(model, one, endpoint="drug", method="pooled")
    estimate = found["estimate"].sel(parameter=["clearance", "volume"])
    assert_allclose(estimate.to_numpy().ravel(), [5.0, 3.0], rtol=1e-3)
