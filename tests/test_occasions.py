"""Variability between occasions, in closed forms and equations."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose
from random_effects_inputs import (
    Decline3,
    Line,
    Stock,
    ln_normal,
    marginal_of,
    two_occasions,
)
from scipy import optimize, special
from test_posterior import ByPymc, Signal, points

from cart_pkpd import data, fit
from cart_pkpd._fit.draws import individual_draws, record_predictions
from cart_pkpd._fit.posterior import Posterior
from cart_pkpd._stats.design import design_for
from cart_pkpd._stats.population import resolve


@pytest.fixture(scope="module")
def occasions(tmp_path_factory):
    return two_occasions(tmp_path_factory.mktemp("occasions"))


# --- occasions -----------------------------------------------------------------------------


def exact_occasions(design, x, carried):
    """-2 ln L at (a, b, ln omega_a, ln omega_b, ln omega_iov, ln sigma) by the normal's.

    The occasion acts on `a` of a line that begins anew, or on the rise of a stock that goes on.
    """
    omega = np.diag(np.exp(2 * x[2:4]))
    iov, sigma = np.exp(x[4]), np.exp(x[5])
    total = 0.0
    for i in range(design.n_patients):
        rows = design.patient == i
        t, y = design.time[rows], design.dv[rows]
        second = t >= 30.0
        if carried:
            since = t
            kappa = np.stack([np.minimum(t, 30.0), np.maximum(t - 30.0, 0.0)], axis=1)
        else:
            since = np.where(second, t - 30.0, t)
            kappa = np.stack([~second, second], axis=1).astype(float)
        g = np.stack([np.ones_like(t), since], axis=1)
        covariance = g @ omega @ g.T + iov**2 * kappa @ kappa.T + sigma**2 * np.eye(t.size)
        total -= 2.0 * ln_normal(y, g @ x[:2], covariance)
    return total


@pytest.mark.parametrize(("model", "varied"), [(Line(), "a"), (Stock(), "b")])
@pytest.mark.parametrize("method", ["foce", "laplace"])
def test_occasions_give_the_normal_marginal_likelihood(occasions, model, varied, method):
    """Closed form: anew with each infusion. Equations: what is there is carried over."""
    marginal = marginal_of(model, occasions, method, iiv=["a", "b"], iov=[varied])
    for x in ([40.0, 3.0, 1.5, -0.5, 0.7, 0.2], [45.0, 2.0, 0.5, 0.3, -0.5, 1.2]):
        found = marginal.evaluate(np.array(x), marginal.deviations_at_start())
        expected = exact_occasions(marginal.structure.design, np.array(x), varied == "b")
        assert_allclose(found.value.sum(), expected, atol=2e-6)


def test_estimates_with_occasions_are_the_exact_ones(occasions):
    population = fit.population(iiv=["a", "b"], error="additive", iov=["a"])
    found = fit.laplace(Line(), occasions, population)
    design = found.structure.design
    start = np.array([40.0, 3.0, 1.4, -1.0, 1.0, 0.0])
    best = optimize.minimize(
        lambda x: exact_occasions(design, x, False), start, method="BFGS", options={"gtol": 1e-5}
    )
    assert found.verdict.ok
    assert_allclose(found.ofv, best.fun, atol=1e-6)
    table = found.table()
    names = ["omega_a", "omega_b", "omega_iov_a", "sigma_add"]
    assert_allclose(table.loc[names, "estimate"], np.exp(best.x[2:]), rtol=2e-4)
    assert table.loc["omega_iov_a", "role"] == "iov"
    eta = found.individual_estimates()["eta"]
    # Expected deviations given the records, by the normal's formula, of the first patient.
    x = best.x
    rows = design.patient == 0
    t, y = design.time[rows], design.dv[rows]
    second = t >= 30.0
    g = np.stack([np.ones_like(t), t - 30.0 * second, ~second, second], axis=1).astype(float)
    omega = np.diag(np.exp(2 * x[[2, 3, 4, 4]]))
    covariance = g @ omega @ g.T + np.exp(2 * x[5]) * np.eye(t.size)
    expected = omega @ g.T @ np.linalg.solve(covariance, y - g[:, :2] @ x[:2])
    assert_allclose(eta.isel(id=0), expected, rtol=2e-3, atol=2e-3)
    assert list(eta["varying"].to_numpy()) == ["a", "b", "kappa_a_1", "kappa_a_2"]
    # The last patient has no second occasion, which counts in no shrinkage.
    apart = np.concatenate([eta.sel(varying="kappa_a_1"), eta.sel(varying="kappa_a_2")[:-1]])
    omega = table.loc["omega_iov_a", "estimate"]
    assert_allclose(
        table.loc["omega_iov_a", "shrinkage_sd"], 100 * (1 - apart.std(ddof=1) / omega), rtol=1e-6
    )


@pytest.fixture(scope="module")
def doses(tmp_path_factory):
    """Three patients, two endpoints: doses on days 0 and 20, and a third occasion without one."""
    rows = ["ID,TIME,DV,DVID,AMT,EVID,OCC"]
    for i in "abc":
        rows += [f"{i},0,.,dose,1e7,1,1", f"{i},1,270,transgene,.,0,1", f"{i},3,50,signal,.,0,1",
                 f"{i},12,90,transgene,.,0,1"]  # fmt: skip
        if i != "c":
            # A sample above the dose in the table was drawn before it.
            rows += [f"{i},20,40,transgene,.,0,1", f"{i},20,.,dose,2e7,1,2",
                     f"{i},21,500,transgene,.,0,2", f"{i},23,50,signal,.,0,2"]  # fmt: skip
        if i == "a":
            rows += [f"{i},41,90,transgene,.,0,3", f"{i},50,30,transgene,.,0,3"]
    path = tmp_path_factory.mktemp("doses") / "table.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return data.read_table(path, units={"signal": "copies/µg"}, echo=False)


TWINS = {
    "equations": (
        Signal(), ("kappa_v_2", "k"),
        {"iiv": ["v", "k"], "corr": "full", "iov": ["v", "base", "share"],
         "errors": {"signal": "additive"}},
    ),
    "closed form": (
        Decline3(), ("kappa_c0_1", "kappa_c0_2"), {"iiv": ["k", "c0"], "iov": ["c0", "share"]}
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=TWINS)
def twin(request, doses):
    model, centred, options = TWINS[request.param]
    records = design_for(model, doses, tuple(model.endpoints), iov=True)
    return Posterior(resolve(model, fit.population(**options), records), centred)


def test_posteriors_with_occasions_are_those_of_pymc(twin):
    """Density to 1e-8; gradient also to 1e-4 of the largest of central differences."""
    function, reference = twin.function(), ByPymc(twin.structure, twin.centred)
    for x in points(twin, 2):
        (value, gradient), (expected, slopes, _) = function(x), reference(x)
        assert_allclose(value, expected, rtol=1e-8)
        assert_allclose(gradient, slopes, rtol=1e-7, atol=1e-8)
        h = 1e-5
        steps = h * np.eye(x.size)
        differences = [(function(x + s)[0] - function(x - s)[0]) / (2 * h) for s in steps]
        assert_allclose(gradient, differences, rtol=1e-4, atol=1e-4 * np.abs(gradient).max())


def level_by_hand(name, p, kappa, day, endpoint, before, occasion):
    """The level of one patient at one record; `kappa[n][o]` moves parameter n on occasion o."""

    def at(n, o):
        move = kappa[n][o] if n in kappa else 0.0
        if n == "share":
            return special.expit(special.logit(p[n]) + move)
        return p[n] + move if n == "base" else p[n] * np.exp(move)

    if name == "closed form":
        since = day - (20.0 if occasion > 0 else 0.0)
        share = at("share", occasion)
        return at("c0", occasion) * (share * np.exp(-p["k"] * since) + 1 - share)
    # The initial base and the first dose are of the first occasion, the second dose of its own;
    # cells are carried over, and what dies on an occasion makes the signal of that occasion.
    alive, made, begin = 0.0, at("base", 0), 0.0
    for start, amount, o in ((0.0, 1e7, 0), (20.0, 2e7, 1), (41.0, 0.0, 2)):
        if o > 0 and (start > day or (start == day and before) or occasion < o):
            break
        died = alive * -np.expm1(-p["k"] * (start - begin))
        alive, made, begin = alive - died, made + at("share", max(o - 1, 0)) * died, start
        alive += amount * at("v", o)
    died = alive * -np.expm1(-p["k"] * (day - begin))
    return alive - died if endpoint == "transgene" else made + at("share", occasion) * died


def test_predictions_with_occasions_are_those_by_hand(twin):
    """Equations with carried-over cells to 1e-5, the closed form to rounding."""
    structure = twin.structure
    name = "closed form" if isinstance(structure.model, Decline3) else "equations"
    at = points(twin, 2)
    own = individual_draws(structure, twin.variables(at[None]))
    got = twin.function().predictions(at[None], 1)[0]
    again = record_predictions(structure, own)[0]
    design, labels = structure.design, ("1", "2", "3")
    begins = {(o.patient, o.label): o.time for o in design.occasions}
    for s in range(2):
        for n in range(design.n_obs):
            i, day = int(design.patient[n]), float(design.time[n])
            before = bool(design.before_dose[n])
            begun = [begins.get((i, o), np.inf) for o in labels]
            occasion = sum(b < day or (b == day and not before) for b in begun) - 1
            p = {k: float(v[0, s, i]) for k, v in own.data_vars.items()}
            kappa = {k: [p[f"kappa_{k}_{o}"] for o in labels] for k in structure.population.iov}
            endpoint = design.endpoints[design.measure[n]]
            level = level_by_hand(name, p, kappa, day, endpoint, before, max(occasion, 0))
            expected = np.log(level) if structure.log[design.measure[n]] else level
            assert_allclose(got[s, n], expected, rtol=1e-9 if name == "closed form" else 2e-5)
            assert_allclose(again[s, n], expected, rtol=1e-9 if name == "closed form" else 2e-5)


def test_a_model_with_occasions_can_be_pickled(twin):
    model = twin.structure.model
    again = pickle.loads(pickle.dumps(model))
    assert again == model
    assert type(again) is type(model)
    assert again.typical() == model.typical()
