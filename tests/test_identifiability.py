"""Standard errors of a design against the hand-made Fisher information of closed forms."""

import numpy as np
import ode_models as own
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cart_pkpd import checks, models
from cart_pkpd._core.errors import ModelError
from cart_pkpd.models import math


class Decline(models.ClosedFormModel):
    """ln C = ln start − k t: a straight line in t."""

    start_level = models.Positive(100.0, "copies/µg", "level at the infusion")
    k = models.Positive(0.1, "1/day", "decline rate")

    def log_level(self, t, p):
        return math.log(p.start_level) - p.k * t


class Split(Decline):
    """Two parameters of which only the product acts."""

    share = models.Fraction(0.25, "1", "share that arrives")

    def log_level(self, t, p):
        return math.log(p.start_level * p.share) - p.k * t


TIMES = np.array([1.0, 3.0, 7.0, 14.0, 28.0])


def test_a_straight_line_has_the_standard_errors_of_regression():
    """ln start: s sqrt(1/n + mean² / Sxx); k: s / sqrt(Sxx), as a share of k. To 1e-10.

    With 30 patients both are smaller by sqrt(30).
    """
    found = checks.identifiability(Decline(), TIMES, sd=0.3)
    spread = ((TIMES - TIMES.mean()) ** 2).sum()
    by_hand = [
        0.3 * np.sqrt(1 / TIMES.size + TIMES.mean() ** 2 / spread),
        0.3 / np.sqrt(spread) / 0.1,
    ]
    assert_allclose(found["rse"].sel(patients=1), by_hand, rtol=1e-10)
    assert_allclose(found["rse"].sel(patients=30), np.array(by_hand) / np.sqrt(30), rtol=1e-10)
    assert found["verdict"].to_numpy().tolist() == ["identifiable", "identifiable"]
    assert (found["reason"] == "").all()
    assert_allclose(np.linalg.norm(found["worst"]), 1.0)


def test_the_worst_combination_has_the_largest_standard_error():
    """Largest eigenvalue of the inverse of JᵀJ / s² by hand, and its vector."""
    found = checks.identifiability(Decline(), TIMES, sd=0.3)
    jacobian = np.stack([np.ones(TIMES.size), -0.1 * TIMES], axis=1) / 0.3
    values, vectors = np.linalg.eigh(np.linalg.inv(jacobian.T @ jacobian))
    assert_allclose(found["worst_se"].sel(patients=1), np.sqrt(values[-1]), rtol=1e-10)
    assert_allclose(np.abs(found["worst"]), np.abs(vectors[:, -1]), rtol=1e-9)


def test_only_the_product_of_two_parameters_is_known():
    """Both are NaN with a reason that names the other; k keeps its standard error."""
    found = checks.identifiability(Split(), TIMES, sd=0.3)
    rse = found["rse"].sel(patients=30)
    assert np.isnan(rse.sel(parameter=["start_level", "share"])).all()
    line = checks.identifiability(Decline(), TIMES, sd=0.3)["rse"].sel(patients=30)
    assert_allclose(rse.sel(parameter="k"), line.sel(parameter="k"), rtol=1e-9)
    said = found["reason"].sel(parameter="share").item()
    assert said == "only a combination with start_level acts on the samples"
    assert found["verdict"].sel(parameter="share").item() == "not"
    assert_array_equal(found["worst_se"], np.inf)
    # d ln(start) = -d ln(share) = -(1 - share) d logit(share) leaves the product alone.
    worst = found["worst"].sel(parameter=["start_level", "share"]).to_numpy()
    assert_allclose(worst[0] / worst[1], -0.75, rtol=1e-6)
    held = Split().with_(share=models.Fixed(0.25))
    assert (checks.identifiability(held, TIMES)["reason"] == "").all()


def test_a_dosed_model_equals_its_closed_form():
    """One compartment, additive error: C = D/V exp(-CL/V t); derivatives by hand, to 1e-6."""
    model, dose, t = own.OneCompartment(), 300.0, np.array([0.5, 1.0, 2.0, 4.0])
    found = checks.identifiability(
        model,
        t,
        doses=dose,
        error="additive",
        sd=0.2,
        patients=[1],
        estimate=["volume", "clearance"],
    )
    level = dose / 30.0 * np.exp(-12.0 / 30.0 * t)
    by_v, by_cl = level * (12.0 * t / 30.0 - 1.0), -level * 12.0 * t / 30.0
    jacobian = np.stack([by_v, by_cl], axis=1) / 0.2
    expected = np.sqrt(np.diag(np.linalg.inv(jacobian.T @ jacobian)))
    assert_allclose(found["rse"].isel(patients=0), expected, rtol=1e-6)
    # Before the first dose nothing is there, and a level of 0 has no logarithm.
    empty = checks.identifiability(model, t, doses=[(3.0, dose)])
    assert (empty["n_samples"].item(), empty["n_used"].item()) == (4, 1)
    nothing = checks.identifiability(model, t)
    assert all("was doses= forgotten" in reason for reason in nothing["reason"].values)
    assert nothing["rse"].isnull().all()


def test_samples_below_the_limit_count_for_nothing():
    found = checks.identifiability(Decline(), TIMES, lloq={"transgene": 30.0})
    assert found["n_used"].item() == 3  # 90, 74, 50, then 25 and 6
    few = checks.identifiability(Decline(), TIMES[:3])
    assert_allclose(found["rse"], few["rse"])


def test_impossible_questions_are_refused():
    with pytest.raises(ModelError, match="does not predict 'il6'"):
        checks.identifiability("stein2019", endpoint="il6")
    with pytest.raises(ModelError, match="several parameters"):
        checks.identifiability("stein2019", error="combined")
    with pytest.raises(ModelError, match="doses do not act"):
        checks.identifiability("stein2019", doses=1e8)
    with pytest.raises(ModelError, match="no parameter 'cmx'"):
        checks.identifiability("stein2019", estimate=["cmx"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"lloq": {"transgen": 50.0}}, "lloq names 'transgen'.*Did you mean 'transgene'"),
        ({"sd": -1.0}, "sd must be above 0"),
        ({"sd": {"il6": 0.5}}, "sd names 'il6'"),
    ],
)
def test_misspelt_and_impossible_settings_are_refused(given, said):
    with pytest.raises(ModelError, match=said):
        checks.identifiability("stein2019", **given)


def test_a_forgotten_dose_is_said():
    found = checks.identifiability("effector_memory")
    assert set(found["reason"].values) == {
        "every sample is 0 or below its LLOQ; was doses= forgotten?"
    }


def test_a_sum_hidden_in_a_null_space_is_found():
    """Only ke + kep acts on the level in chaudhury2020_ec50 seen at its end: neither is known."""
    days = np.linspace(0.5, 90.0, 10)
    found = checks.identifiability("chaudhury2020_ec50", days, endpoint="car_cells")
    assert np.isnan(found["rse"].sel(parameter=["ke", "kep"])).all()
