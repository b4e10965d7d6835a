"""What simulated trials assume: scenarios, the days of DLTs, and toxicity that follows exposure."""

import numpy as np
import pytest
from scipy.special import expit, logit

from cart_pkpd import dose, models
from cart_pkpd._core.errors import DataError
from cart_pkpd._dose.onsets import day_of_onset

FIVE = (1e6, 3e6, 1e7, 3e7, 1e8)
P = (0.05, 0.15, 0.30, 0.45, 0.60)


def test_what_is_correct_in_a_scenario():
    def of(p, **more):
        return dose.Scenario(levels=range(1, len(p) + 1), p=p, target=0.3, max_patients=9,
                             accrual=1.0, **more)  # fmt: skip

    assert of((0.1, 0.28, 0.5)).correct.tolist() == [False, True, False]
    assert of((0.1, 0.2, 0.4)).correct.tolist() == [False, True, True]  # a tie
    toxic = of((0.5, 0.6))
    assert toxic.none_is_correct
    assert not toxic.correct.any()
    assert of((0.1, 0.28, 0.34)).acceptable.tolist() == [False, True, True]
    assert of((0.1, 0.28, 0.36)).overdose.tolist() == [False, False, True]
    found = dose.simulate_trials(dose.BOIN(0.3), toxic, 200, seed=1)
    assert float(found["correct"]) == float(found["none"]) > 0.3


def test_probabilities_below_the_range_lie_on_a_line_in_log_odds():
    s = dose.Scenario(levels=(1.0, 4.0, 16.0), p=(0.1, 0.3, 0.5), target=0.3, max_patients=9,
                      accrual=1.0, below=0.1, below_amount=0.5)  # fmt: skip
    middle = expit((logit([0.1, 0.3]) + logit([0.3, 0.5])) / 2)
    lowest = expit(logit(0.1) - (logit(0.3) - logit(0.1)) / 2)
    assert s.below_rates == pytest.approx([lowest, *middle])


# --- onset and exposure ------------------------------------------------------------------------


def test_onset_curves_are_their_distributions():
    early = dose.weibull_onset(1.5, 6.0, last=14.0)
    t = np.arange(1, 15)
    cut = (1 - np.exp(-((t / 6) ** 1.5))) / (1 - np.exp(-((14 / 6) ** 1.5)))
    assert early(t.astype(float)) == pytest.approx(cut)
    assert float(early(14.0)) == float(early(28.0)) == 1
    late = dose.beta_onset(2, 1, first=8.0)  # F = ((t − 8) / 20)²
    assert float(late(18.0)) == pytest.approx(0.25)
    assert float(late(8.0)) == 0
    mixed = dose.mixed_onset({early: 3, late: 1})
    assert float(mixed(18.0)) == pytest.approx(0.75 + 0.25 * 0.25)


def test_dlts_occur_on_days_of_the_onset_curve():
    late = dose.beta_onset(2, 1, first=8.0)
    u = (np.arange(100_000) + 0.5) / 100_000
    days = day_of_onset(late, u)
    for d in (8, 9, 18, 28):
        assert np.mean(days <= d) == pytest.approx(max(d - 8, 0) ** 2 / 400, abs=2e-5)
    assert set(day_of_onset(dose.Onset((0, 28), (0, 1)), u)) == set(range(1, 29))


def test_toxicity_by_exposure_is_averaged_over_patients():
    # The peak of this model is its parameter cmax, log-normal: with a probit-like average by
    # Gauss-Hermite quadrature as reference.
    truth = dose.ExposureToxicity(
        model=models.get("stein2019"), intercept=-1.0, slope=1.2, reference=24_000.0,
        metric="cmax", iiv={"cmax": 0.8}, dose_power={"cmax": 0.5}, dose_reference=1e7,
        patients=4000, seed=3,
    )  # fmt: skip
    x, w = np.polynomial.hermite_e.hermegauss(60)
    doses = np.array([1e6, 1e7, 1e8])
    shift = 0.5 * np.log(doses / 1e7)
    expected = [(w * expit(-1 + 1.2 * (d + 0.8 * x))).sum() / w.sum() for d in shift]
    assert truth(doses) == pytest.approx(expected, abs=4 * 0.25 / np.sqrt(4000))
    s = dose.Scenario(levels=(1e6, 1e7, 1e8), p=truth, target=0.3, max_patients=12, accrual=2.0,
                      below=0.1)  # fmt: skip
    assert s.rates == pytest.approx(truth(doses))
    assert s.below_rates == pytest.approx(truth(doses / 2))
    assert truth.table(doses)["median"].to_numpy() == pytest.approx(
        24_000 * np.exp(shift), rel=0.06
    )


def test_exposure_without_spread_is_the_curve_itself():
    truth = dose.ExposureToxicity(
        model=models.get("stein2019"), intercept=-1.0, slope=1.2, reference=24_000.0,
        metric="cmax", iiv={}, dose_power={"cmax": 1.0}, dose_reference=1e7,
    )  # fmt: skip
    doses = np.array([1e6, 1e7])
    # the peak is met on the grid of times to 1e-3
    assert logit(truth(doses)) == pytest.approx(-1 + 1.2 * np.log(doses / 1e7), abs=5e-3)
    flat = dose.ExposureToxicity(
        model=models.get("stein2019"), intercept=-1.0, slope=1.2, reference=1e5, metric="auc"
    )
    assert np.ptp(flat(doses)) == 0


def test_exposure_by_equations_takes_the_dose():
    truth = dose.ExposureToxicity(
        model=models.get("stein2019_comedication"), intercept=-1.0, slope=1.0, reference=24_000.0,
        metric="cmax", patients=20, dose_power={"cmax": 0.5}, dose_reference=1e7,
    )  # fmt: skip
    low, high = truth(np.array([1e6, 1e8]))
    assert 0 < low < high < 1


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"p": (0.1, 0.2)}, "p has 2 values, but there are 5"),
        ({"p": (0.1, 0.2, 0.3, 0.4, 1.2)}, "1.2 at level 5"),
        ({"p_below": (0.1,)}, "p_below has 1 values"),
        ({"target": 1.0}, "between 0 and 1"),
        ({"accrual": 0.0}, "above 0 patients per month"),
        ({"dropout": 1.0}, "below 1"),
        ({"below_amount": 1.0}, "share of the planned dose"),
        ({"stagger": 1.5}, "whole number of days"),
        ({"onset": dose.Onset((0, 21), (0, 1))}, "ends on day 21"),
        ({"start": 2e6}, "not a planned dose level"),
        ({"max_patients": 0}, "at least 1"),
    ],
)
def test_scenarios_that_cannot_be_are_refused(change, said):
    given = dict(levels=FIVE, p=P, target=0.3, max_patients=30, accrual=2.0) | change
    with pytest.raises((DataError, ValueError), match=said):
        dose.Scenario(**given)


def test_onsets_and_exposures_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="above 0"):
        dose.weibull_onset(0, 1)
    with pytest.raises(ValueError, match="within the window"):
        dose.beta_onset(1, 1, first=20, last=10)
    with pytest.raises(ValueError, match="different days"):
        dose.mixed_onset({dose.beta_onset(1, 1): 1, dose.beta_onset(1, 1, window=21.0): 1})
    common = dict(model=models.get("stein2019"), intercept=0, slope=1, metric="cmax")
    with pytest.raises(DataError, match="no parameter 'cmx'"):
        dose.ExposureToxicity(**common, reference=1.0, dose_power={"cmx": 1}, dose_reference=1.0)
    with pytest.raises(ValueError, match="needs dose_reference"):
        dose.ExposureToxicity(**common, reference=1.0, dose_power={"cmax": 1})
    with pytest.raises(ValueError, match="reference exposure"):
        dose.ExposureToxicity(**common, reference=0.0)
