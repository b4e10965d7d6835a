"""Every registered model: equations, published numbers, gradients, frozen declarations."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import solve_ivp

from cart_pkpd import models
from cart_pkpd._core.errors import ModelError
from cart_pkpd.models import math as _math

REGISTERED = models.names()


def point(model, rng):
    """A parameter point near the typical values, on the natural scale."""
    return {
        name: float(p.to_natural(p.to_free(p.typical) + 0.3 * rng.standard_normal()))
        for name, p in model.parameters.items()
    }


def levels(model, times, **values):
    """What a closed form says of its endpoint for one patient, shape (n,)."""
    return model.simulate(times, **values)[model.endpoint].to_numpy()


def test_the_published_closed_form_models_are_there():
    assert {"stein2019", "ogasawara2021"} <= set(REGISTERED)


# --- published numbers ---------------------------------------------------------------------


def test_stein_reproduces_the_derived_numbers_of_the_abstract():
    """Doubling time 0.78 d, first decline half-life 4.3 d, terminal half-life 220 d.

    Stein et al. 2019, abstract; two printed digits.
    """
    p = models.get("stein2019").typical()
    assert_allclose(np.log(2) / p["rho"], 0.78, atol=0.005)
    assert_allclose(np.log(2) / p["alpha"], 4.3, atol=0.05)
    assert_allclose(np.log(2) / p["beta"], 220, atol=5)


def test_stein_starts_3900_times_below_its_peak():
    """Fold expansion 3900 between day 0 and Tmax (final model), rho printed with 3 digits."""
    model = models.get("stein2019")
    start, peak = levels(model, [0.0, model.typical()["tmax"]])
    assert_allclose(peak, 24_000, rtol=1e-12)
    assert_allclose(peak / start, 3900, rtol=2e-3)


def test_ogasawara_reproduces_the_abstract():
    """Lag 3.27 d, doubling 0.755 d, Tmax 9.29 d, half-lives 5.00 and 352 d; fold 251 from them."""
    model = models.get("ogasawara2021")
    p = model.typical()
    assert (p["lag"], p["tmax"]) == (3.27, 9.29)
    assert_allclose(np.log(2) / p["rho"], 0.755, rtol=1e-3)
    assert_allclose(np.log(2) / p["alpha"], 5.00, rtol=1e-3)
    assert_allclose(np.log(2) / p["beta"], 352, rtol=1e-3)
    start, peak = levels(model, [1.0, p["tmax"]])
    assert_allclose(peak / start, 2 ** ((9.29 - 3.27) / 0.755), rtol=2e-3)


# --- equations -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["stein2019", "ogasawara2021"])
def test_closed_form_equals_the_compartment_equations(name):
    """dE/dt = rho E until tmax, then -alpha E; dM/dt = k E - beta M with k = fb (alpha - beta).

    The papers' compartment form integrated by LSODA at 1e-10, restarted at each switch.
    """
    model = models.get(name)
    p = point(model, np.random.default_rng(3))
    lag, tmax = p.get("lag", 0.0), p["tmax"]
    k = p["fb"] * (p["alpha"] - p["beta"])
    start = p["cmax"] * np.exp(-p["rho"] * (tmax - lag))
    midway = (lag + tmax) / 2

    def integrate(rhs, y, span, times):
        out = solve_ivp(rhs, span, y, method="LSODA", t_eval=times, rtol=1e-10, atol=1e-10)
        return out.y

    growth = integrate(lambda t, y: [p["rho"] * y[0]], [start], (lag, tmax), [midway, tmax])
    after = integrate(
        lambda t, y: [-p["alpha"] * y[0], k * y[0] - p["beta"] * y[1]],
        [growth[0, -1], 0.0],
        (tmax, 365.0),
        [28.0, 365.0],
    )
    expected = [start, growth[0, 0], *after.sum(axis=0)]
    assert_allclose(levels(model, [0.0, midway, 28.0, 365.0], **p), expected, rtol=1e-6)


def test_a_lag_beyond_tmax_acts_as_tmax():
    model = models.get("ogasawara2021")
    level = levels(model, [0.0, 5.0, 9.0], lag=30.0, tmax=9.0)
    assert_allclose(level, level[0])


# --- declarations --------------------------------------------------------------------------


def test_with_gives_a_new_frozen_model():
    model = models.get("stein2019")
    changed = model.with_(beta=models.Fixed(0.01), cmax={"typical": 500, "unit": "cells/uL"})
    assert model.parameters["cmax"].typical == 24_000
    assert changed.parameters["cmax"].unit == "cells/µL"
    assert changed.parameters["cmax"].source == "given by the user"
    assert changed.estimated == ("cmax", "tmax", "rho", "alpha", "fb")
    assert changed.typical()["beta"] == 0.01
    assert changed != model
    with pytest.raises(AttributeError):
        changed.fixed = {}
    with pytest.raises(TypeError):
        changed.fixed["beta"] = 1.0
    assert pickle.loads(pickle.dumps(changed)) == changed
    assert hash(pickle.loads(pickle.dumps(changed))) == hash(changed)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cmx": models.Fixed(1.0)}, "no parameter 'cmx'. Did you mean 'cmax'"),
        ({"cmax": {"typicl": 1.0}}, "unknown field 'typicl'. Did you mean 'typical'"),
        ({"fb": models.Fixed(1.5)}, "between 0 and 1"),
        ({"cmax": {"typical": -1.0}}, "above 0"),
        ({"cmax": 5.0}, "give Fixed"),
    ],
)
def test_impossible_changes_are_refused(change, words):
    with pytest.raises(ModelError, match=words.replace("(", r"\(")):
        models.get("stein2019").with_(**change)


def test_an_unknown_model_names_the_nearest():
    with pytest.raises(ModelError, match="Did you mean 'stein2019'"):
        models.get("stien2019")


def test_a_model_of_ones_own_works_like_a_registered_one():
    class OnePhase(models.ClosedFormModel):
        """Mono-exponential decline."""

        cmax = models.Positive(100.0, "copies/µg", "level at infusion")
        k = models.Positive(0.1, "1/day", "decline rate")

        def log_level(self, t, p):
            return _math.log(p.cmax) - p.k * t

    model = OnePhase()
    assert_allclose(levels(model, [0.0, 10.0], k=0.2), [100.0, 100.0 * np.exp(-2.0)])
    assert "OnePhase" in repr(model)
    with pytest.raises(ModelError, match="needs values for k"):
        model.log_predict(1.0, {"cmax": 1.0})


def test_log1mexp_keeps_its_digits():
    """log(1 - exp(-x)) is log(x) - x/2 for tiny x and -exp(-x) for large x."""
    assert_allclose(_math.log1mexp(-1e-12), np.log(1e-12) - 5e-13, rtol=1e-12)
    assert_allclose(_math.log1mexp(-50.0), -np.exp(-50.0), rtol=1e-12)


def test_a_subclass_is_another_model_than_its_parent():
    class Mine(models.Stein2019):
        """Stein's model under a name of its own."""

    assert Mine().name == ""
    assert type(models.get("stein2019")) is models.Stein2019


def test_equal_models_have_equal_hashes_whatever_the_order_of_changes():
    model = models.get("stein2019")
    one = model.with_(beta=models.Fixed(0.01)).with_(fb=models.Fixed(0.02))
    other = model.with_(fb=models.Fixed(0.02)).with_(beta=models.Fixed(0.01))
    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: m.simulate("a"), "times must be numbers"),
        (lambda m: m.simulate([1.0], {"cmax": "high"}), "cmax = 'high' is not a number"),
        (lambda m: m.simulate([1.0], [0.5]), "given by name"),
        (lambda m: m.simulate([1.0], {"cmax": []}), "cmax has no value"),
    ],
)
def test_what_is_no_number_is_refused_in_one_sentence(call, said):
    with pytest.raises(ModelError, match=said):
        call(models.get("stein2019"))


def test_covariates_have_limits():
    with pytest.raises(ModelError, match=r"msln_share = 3 is not possible: .* between 0 and 1"):
        models.get("dual_antigen").simulate([1.0], doses=1e7, covariates={"msln_share": 3.0})
