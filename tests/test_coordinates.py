"""Coordinates of a sampler change where it walks, not what it samples."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.special import log_ndtr

from cart_pkpd import data, fit, models
from cart_pkpd._fit import pilot
from cart_pkpd._fit.coordinates import Arrow, Coordinates, Moved, bent_at, unbent
from cart_pkpd._fit.pilot import Pilot, suited
from cart_pkpd._fit.posterior import Posterior, natural_values
from cart_pkpd._fit.sample import centred_of
from cart_pkpd._fit.start import starting_values
from cart_pkpd._stats.design import design_for
from cart_pkpd._stats.population import Structure, resolve

PATIENTS, DAYS, SIGMA = 12, np.array([1.0, 3, 6, 10, 15, 21]), 0.3


class Decline(models.ClosedFormModel):
    """Decline, linear in its parameters on the scale of the records."""

    c0 = models.Positive(300.0, "copies/µg", "level at 0", iiv=0.5)
    k = models.Positive(0.1, "1/day", "decline rate", iiv=0.3)
    drift = models.Real(0.0, "1/day", "drift", iiv=0.02, spread=0.05)

    def log_level(self, t, p):
        return models.math.log(p.c0) - (p.k + p.drift) * t


def trial_of(omega: float = 0.5, decline: float = 0.0) -> object:
    """Twelve patients whose levels at 0 differ by omega, one record in twenty censored."""
    rng = np.random.default_rng(5)
    c0 = np.log(300.0) + omega * rng.standard_normal((PATIENTS, 1))
    rate = 0.1 * np.exp(decline * rng.standard_normal((PATIENTS, 1)))
    y = c0 - rate * DAYS + SIGMA * rng.standard_normal((PATIENTS, DAYS.size))
    ids = [f"{i:02d}" for i in range(PATIENTS)]
    table = pd.DataFrame({
        "ID": np.repeat(ids, DAYS.size), "TIME": np.tile(DAYS, PATIENTS),
        "DV": np.exp(y).ravel(), "DVID": "transgene", "AGE": np.repeat(np.arange(PATIENTS), 6) + 40,
        "CENS": 0, "LLOQ": 1.0,
    })  # fmt: skip
    return data.read_table(table, units={"transgene": "copies/µg"}, echo=False)


CASES = {
    "one curve": {},
    "deviations": {"iiv": ["c0", "k"]},
    "user's choice": {"iiv": ["c0", "k"], "centred": ["k"]},
    "block, covariate": {"iiv": ["c0", "k"], "corr": "full", "covariates": {"c0": ["age"]}},
    "non-expanders": {"iiv": ["c0", "k"], "non_expanders": "c0"},
    "bounded omegas": {
        "iiv": ["c0", "k", "drift"],
        "priors": {
            "omega_c0": fit.Uniform(0.1, 2), "omega_k": fit.TruncatedNormal(0.3, 0.2, 0.05),
        },
    },
}  # fmt: skip
EACH = pytest.mark.parametrize("name", CASES)


@pytest.fixture(scope="module")
def trial():
    return trial_of(decline=0.3)


def joined(trial: object, model: models.Model | None = None, **options: object) -> Structure:
    model = model or Decline()
    return resolve(model, fit.population(**options), design_for(model, trial, "transgene"))


def found(structure: Structure) -> tuple[Posterior, Coordinates, Moved]:
    posterior = Posterior(structure, centred_of(structure))
    function = posterior.function()
    way = suited(posterior, function, posterior.start(starting_values(structure)))
    return posterior, way, Moved(function, way)


@pytest.fixture(scope="module")
def ways(trial) -> dict[str, tuple[Posterior, Coordinates, Moved]]:
    return {name: found(joined(trial, **options)) for name, options in CASES.items()}


def near(posterior: Posterior, n: int = 4) -> np.ndarray:
    return 0.8 * np.random.default_rng(3).standard_normal((n, posterior.size))


def ln_size(way: Coordinates, w: np.ndarray) -> float:
    """ln |det dx/dw| from derivatives by complex steps, which are exact to rounding."""
    steps = 1e-30j * np.eye(w.size)
    jacobian = way.points(w + steps).imag / 1e-30
    return float(np.linalg.slogdet(jacobian)[1])


@EACH
def test_the_density_is_the_original_one_with_the_jacobian(ways, name):
    """To 1e-10 of the density at random points; a constant is left out, the same everywhere."""
    posterior, way, moved = ways[name]
    function = posterior.function()
    at = near(posterior)
    values = np.array([function(x)[0] for x in way.points(at)])
    apart = [moved(w)[0] - value - ln_size(way, w) for w, value in zip(at, values, strict=True)]
    assert_allclose(apart, apart[0], rtol=0, atol=1e-10 * np.abs(values).max())


@EACH
def test_the_gradient_equals_central_differences(ways, name):
    """Step 1e-5: to 1e-6 of the largest slope."""
    posterior, _, moved = ways[name]
    for w in near(posterior, 2):
        steps = 1e-5 * np.eye(w.size)
        differences = [(moved(w + s)[0] - moved(w - s)[0]) / 2e-5 for s in steps]
        gradient = moved(w)[1]
        assert_allclose(gradient, differences, rtol=1e-6, atol=1e-6 * np.abs(gradient).max())


def test_many_points_are_mapped_as_each_is(ways):
    posterior, way, _ = ways["block, covariate"]
    w = near(posterior, 6)
    each = np.array([way.points(v) for v in w])
    assert_allclose(way.points(w.reshape(2, 3, -1)), each.reshape(2, 3, -1), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("varying", [["c0"], ["c0", "drift"]])
def test_in_a_linear_model_patients_are_standard_normal_at_every_omega(trial, varying):
    """Ln levels linear in one or two effects, normal errors: d ln density / du is -u exactly.

    So it is wherever omegas and typical values are: coordinates of patients are independent of
    them. Slopes are differences with a step of 1e-4 prior standard deviations: to 1e-6.
    """
    model = Decline().with_(k=models.Fixed(0.1))
    posterior, way, moved = found(joined(trial, model, iiv=varying))
    names = [q.name for q in posterior.quantities]
    at = [names.index(n) for n in ("omega_c0", "c0", "drift")]
    p = len(posterior.quantities)
    rng = np.random.default_rng(2)
    seen = []
    for v in (-4.0, 0.0, 4.0):
        w = np.concatenate([np.zeros(p), rng.standard_normal(PATIENTS * len(varying))])
        w[at] = v, 0.5 * v, -0.3 * v
        seen.append(float(np.exp(way.points(w)[at[0]])))
        slope, middle = moved(w)[1][p:], moved(np.where(np.arange(w.size) < p, w, 0.0))[1][p:]
        assert_allclose(slope - middle, -w[p:], rtol=1e-6, atol=1e-6)
        assert np.abs(middle).max() < 0.02  # as near to the mode as the search for it
    assert max(seen) > 4.0 * min(seen)


def test_standard_deviations_in_the_middle_are_the_likeliest():
    """Balanced records and one effect: sigma² = SSW/k(n-1), omega² = SSB/k - sigma²/n.

    To 10 %, which is where the search for them ends.
    """
    trial = trial_of()
    model = Decline().with_(k=models.Fixed(0.1), drift=models.Fixed(0.0))
    structure = joined(trial, model, iiv=["c0"], priors={"sigma_log": fit.Uniform(0.01, 5)})
    posterior, way, _ = found(structure)
    d = structure.design
    y = (np.log(d.dv) + 0.1 * d.time).reshape(PATIENTS, DAYS.size)
    means = y.mean(axis=1)
    sigma2 = ((y - means[:, None]) ** 2).sum() / (PATIENTS * (DAYS.size - 1))
    omega2 = means.var() - sigma2 / DAYS.size
    x = way.points(np.zeros(posterior.size))
    got = {q.name: float(natural_values(q.prior.bounds, v))
           for q, v in zip(posterior.quantities, x, strict=False)}  # fmt: skip
    assert_allclose(got["omega_c0"], np.sqrt(omega2), rtol=0.1)
    assert_allclose(got["sigma_log"], np.sqrt(sigma2), rtol=0.1)
    assert_allclose(np.log(got["c0"]), means.mean(), atol=0.02)
    left = way.between.left(x)
    assert_allclose(left, 1.0 / (1.0 + omega2 / (sigma2 / DAYS.size)), rtol=0.2)


def test_where_nothing_varies_deviations_are_sampled(ways):
    """Data made without variability leave all of the variance; with it, next to nothing."""
    _, way, _ = found(joined(trial_of(omega=0.0), iiv=["c0"]))
    posterior, varied, _ = ways["deviations"]
    x = way.points(np.zeros(way.origin.size))
    assert np.median(way.between.left(x)) > 0.8
    assert np.median(varied.between.left(varied.points(np.zeros(posterior.size)))[0]) < 0.2


def test_users_who_say_what_is_centred_get_that(ways):
    posterior, way, _ = ways["user's choice"]
    assert posterior.centred == ("k",)
    assert (way.between.sds == -1).all()


def test_a_population_is_whitened_once_its_patients_are_integrated_out():
    """Against that part of the inverse of the whole matrix: to 1e-12."""
    rng = np.random.default_rng(1)
    p, k, r = 3, 4, 2
    blocks = [a @ a.T + np.eye(r + p) for a in rng.standard_normal((k, r + p, r + p))]
    shared = sum(b[r:, r:] for b in blocks)
    arrow = Arrow(shared, np.array([b[:r, :r] for b in blocks]),
                  np.array([b[:r, r:] for b in blocks]))  # fmt: skip
    root = arrow.whitened(np.full(p, 10.0))
    whole = np.zeros((p + k * r, p + k * r))
    whole[:p, :p] = shared
    for i, b in enumerate(blocks):
        at = slice(p + i * r, p + (i + 1) * r)
        whole[at, at], whole[at, :p], whole[:p, at] = b[:r, :r], b[:r, r:], b[r:, :r]
    assert_allclose(root @ root.T, np.linalg.inv(whole)[:p, :p], rtol=1e-12, atol=1e-12)


def test_no_direction_is_much_wider_than_the_prior():
    flat = Arrow(np.zeros((1, 1)), np.array([[[1e-9]]]), np.zeros((1, 1, 1)))
    assert_allclose(flat.whitened(np.array([0.5])).item(), 0.5 / np.sqrt(0.3))


def test_the_bent_line_is_the_integral_of_the_normal_distribution():
    """Its derivative is Phi; for large v it is v, for small ones phi(v)/v² to 3/v²."""
    v = np.linspace(-6, 6, 25)
    slope = (bent_at(v + 1e-5) - bent_at(v - 1e-5)) / 2e-5
    assert_allclose(slope, np.exp(log_ndtr(v)), rtol=1e-6, atol=1e-11)
    assert_allclose(bent_at(np.array(9.0)), 9.0, rtol=1e-12)
    low = -30.0
    assert_allclose(
        np.log(bent_at(np.array(low))),
        -0.5 * low**2 - 0.5 * np.log(2 * np.pi) - 2 * np.log(-low),
        atol=3 / low**2,
    )
    for y in (1.0, 1.7, 8.0):
        assert_allclose(bent_at(np.array(unbent(y))), y, rtol=1e-12)


def test_a_search_that_fails_leaves_the_start(trial, monkeypatch):
    def fails(self: Pilot, x: np.ndarray) -> Coordinates:
        raise np.linalg.LinAlgError

    monkeypatch.setattr(pilot.Pilot, "around", fails)
    structure = joined(trial, iiv=["c0"])
    posterior, way, moved = found(structure)
    start = posterior.start(starting_values(structure))
    assert_allclose(way.points(np.zeros(posterior.size)), start, rtol=1e-14)
    assert np.isfinite(moved(np.zeros(posterior.size))[0])
