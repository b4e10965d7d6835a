"""Covariate forms, covariates that change in time, factors of endpoints and known parameters.

Expectations are formulas, SciPy's own solutions, and models that say the same in another way.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import integrate, special
from test_posterior import ByPymc, points

from cart_pkpd import data, fit, models
from cart_pkpd._core.errors import FitError
from cart_pkpd._fit.draws import individual_draws, loglik_draws
from cart_pkpd._fit.given import with_given
from cart_pkpd._fit.posterior import Posterior
from cart_pkpd._stats.design import design_for
from cart_pkpd._stats.population import resolve
from cart_pkpd._study import config, plan, toml
from cart_pkpd.models.math import log


class Cells(models.ClosedFormModel):
    """Cells that decline at one rate."""

    c0 = models.Positive(300.0, "copies/µg", "level at 0", iiv=0.4)
    k = models.Positive(0.1, "1/day", "decline rate", spread=0.5)
    seen = models.Fraction(0.6, "1", "share that is seen", spread=0.5)

    def log_level(self, t, p):
        return log(p.c0) + log(p.seen) - p.k * t


class Turnover(models.OdeModel):
    """Cells that decline, and a cytokine that they raise above a base."""

    cells = models.State("cells/µL", "cells")
    il6 = models.State("pg/mL", "IL-6")
    c0 = models.Positive(300.0, "cells/µL", "level at 0", iiv=0.4)
    k = models.Positive(0.1, "1/day", "decline rate", spread=0.5)
    rise = models.Positive(0.5, "pg*µL/mL/cells/day", "IL-6 made by a cell")
    loss = models.Positive(0.8, "1/day", "loss of IL-6", spread=0.5)
    base = models.Real(5.0, "pg/mL", "IL-6 before", iiv=1.0, spread=2.0)

    def initial(self, p):
        return {"cells": p.c0, "il6": p.base}

    def rhs(self, t, y, p):
        made = p.rise * y.cells + p.loss * p.base
        return {"cells": -p.k * y.cells, "il6": made - p.loss * y.il6}

    def observe(self, t, y, p):
        return {"transgene": y.cells, "il6": y.il6}


TABLE = """ID,TIME,DV,DVID,AMT,EVID,AGE,SITE,LDH,TOCI
a,0,.,dose,1e7,1,40,x,180,0
a,1,150,transgene,.,0,40,x,180,0
a,2,60,il6,.,0,40,x,180,0
a,5,90,transgene,.,0,40,x,420,1
a,8,80,il6,.,0,40,x,420,1
a,20,20,transgene,.,0,40,x,260,0
b,0,.,dose,3e7,1,61,y,300,0
b,2,400,transgene,.,0,61,y,300,0
b,4,190,il6,.,0,61,y,150,0
b,9,60,transgene,.,0,61,y,150,1
b,14,35,il6,.,0,61,y,150,1
c,0,.,dose,1e7,1,70,x,210,0
c,4,210,transgene,.,0,70,x,210,0
c,6,50,il6,.,0,70,x,210,0
c,12,70,transgene,.,0,70,x,210,0
"""
UNITS = {"transgene": "cells/µL", "il6": "pg/mL"}
ERRORS = {"transgene": "lognormal", "il6": "additive"}
BOTH = ("transgene", "il6")
START = {"LDH": np.array([180.0, 300.0, 210.0]), "TOCI": np.zeros(3)}
LDH = [[(0, 180), (5, 420), (20, 260)], [(0, 300), (4, 150)], [(0, 210)]]
TOCI = [[(0, 0), (5, 1), (20, 0)], [(0, 0), (9, 1)], [(0, 0)]]


def read(folder, units=UNITS, text=TABLE, **options):
    path = folder / "trial.csv"
    path.write_text(text, encoding="utf-8")
    return data.read_table(path, units=units, echo=False, **options)


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    return read(tmp_path_factory.mktemp("options"))


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """The same levels in copies/µg, for the closed form."""
    return read(tmp_path_factory.mktemp("cells"), UNITS | {"transgene": "copies/µg"})


def structure(model, trial, endpoint="transgene", **population):
    return resolve(model, fit.population(**population), design_for(model, trial, endpoint))


def both(trial, **population):
    options = {"errors": ERRORS, "iiv": ["c0"]} | population
    return structure(Turnover().with_solver(rtol=1e-10), trial, BOTH, **options)


def slopes_agree(s, rtol=1e-5):
    """Compare the gradient with central differences at points of the bulk of the prior."""
    posterior = Posterior(s, ())
    function = posterior.function()
    for x in points(posterior, 2):
        _, gradient = function(x)
        steps = 1e-5 * np.eye(x.size)
        numbers = [(function(x + h)[0] - function(x - h)[0]) / 2e-5 for h in steps]
        assert_allclose(gradient, numbers, rtol=rtol, atol=1e-3)
    return posterior, function


def drawn(s, n=3):
    """Return points, predictions there, individual parameters and population quantities."""
    posterior = Posterior(s, ())
    at = points(posterior, n)
    variables = posterior.variables(at[None])
    predicted = posterior.function().predictions(at[None], 1)[0]
    one = variables.isel(chain=0)
    own = individual_draws(s, variables).isel(chain=0)
    quantity = {q.name: one[f"typical_{q.name}" if q.role == "typical" else q.name].to_numpy()
                for q in s.quantities}  # fmt: skip
    return at, predicted, {k: v.to_numpy() for k, v in own.items()}, quantity


# --- forms ---------------------------------------------------------------------------------

AGE = np.array([40.0, 61.0, 70.0])
FORMS = {
    "power": ({"form": "power"}, lambda b: (AGE / 61.0) ** b),
    "power, centre": ({"form": "power", "centre": 50}, lambda b: (AGE / 50.0) ** b),
    "exponential": ({"form": "exponential"}, lambda b: np.exp(b * (AGE - 61.0))),
    "exponential, mean": (
        {"form": "exponential", "centre": "mean"}, lambda b: np.exp(b * (AGE - 57.0)),
    ),
    "linear": ({"form": "linear"}, lambda b: 1.0 + b * (AGE - 61.0)),
    "linear, centre": ({"form": "linear", "centre": 50.0}, lambda b: 1.0 + b * (AGE - 50.0)),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_each_form_multiplies_a_positive_parameter_as_it_says(cells, name):
    """Predictions of a closed form against the formula, to rounding (1e-10)."""
    options, factor = FORMS[name]
    s = structure(Cells(), cells, covariates={"c0": [fit.covariate("age", **options)]})
    _, predicted, own, q = drawn(s)
    d = s.design
    for i in range(3):
        c0 = q["c0"][i] * factor(q["beta_c0_age"][i])
        level = c0[d.patient] * own["seen"][i, d.patient] * np.exp(-q["k"][i] * d.time)
        assert_allclose(predicted[i], np.log(level), rtol=1e-10)


def test_forms_add_on_the_free_scale_of_a_fraction(cells):
    s = structure(Cells(), cells, covariates={"seen": [fit.covariate("age", form="exponential")]})
    _, _, own, q = drawn(s)
    expected = special.expit(
        special.logit(q["seen"])[:, None] + q["beta_seen_age"][:, None] * (AGE - 61.0)
    )
    assert_allclose(own["seen"], expected, rtol=1e-12)


def test_a_category_has_the_reference_that_is_asked_for(cells):
    s = structure(Cells(), cells, covariates={"c0": [fit.covariate("site", reference="y")]})
    (effect,) = s.effects
    assert (effect.reference, effect.level, effect.column.tolist()) == ("y", "x", [1.0, 0.0, 1.0])
    # By numbers too: 61 is the only one of its kind.
    s = structure(Cells(), cells, covariates={"c0": [fit.covariate("age", form="category")]})
    assert {e.level for e in s.effects} == {"61", "70"}


def test_labels_are_words(cells):
    terms = ["age", fit.covariate("dose_level", form="power")]
    s = structure(Cells(), cells, covariates={"c0": terms, "k": [
        fit.covariate("age", form="exponential")]})  # fmt: skip
    assert s.quantity("beta_c0_age").label == "c0: exponent of age (10^exponent per 10-fold)"
    assert "exponent of dose level" in s.quantity("beta_c0_dose_level").label
    assert s.quantity("beta_k_age").label == "k: change on the free scale per unit of age"
    assert "age on c0 (power), dose_level on c0 (power), age on k (exponential)" in s.sentence()


def test_a_linear_effect_keeps_its_parameter_above_zero(cells):
    """1 + b (x - 61) > 0 at 40 and 70: b between -1/9 and 1/21."""
    s = structure(Cells(), cells, covariates={"c0": [fit.covariate("age", form="linear")]})
    assert_allclose(s.quantity("beta_c0_age").prior.bounds, (-1 / 9, 1 / 21))
    slopes_agree(s)


@pytest.mark.parametrize(
    ("term", "words"),
    [
        ({"form": "cubic"}, "unknown form of a covariate 'cubic'"),
        ({"centre": "mode"}, "unknown centre of a covariate 'mode'"),
        ({"form": "category", "centre": 1.0}, "has a reference, not a centre"),
        ({"form": "power", "reference": "x"}, "has a centre, not a reference"),
        ({"form": "power", "centre": -1.0}, "a power needs one above 0"),
    ],
)
def test_forms_that_cannot_be_are_refused(cells, term, words):
    with pytest.raises(FitError, match=words):
        structure(Cells(), cells, covariates={"c0": [fit.covariate("age", **term)]})


def test_text_and_fractions_have_no_linear_effect(cells):
    with pytest.raises(FitError, match="is text"):
        structure(Cells(), cells, covariates={"c0": [fit.covariate("site", form="linear")]})
    with pytest.raises(FitError, match="'seen' is between 0 and 1; use form='exponential'"):
        structure(Cells(), cells, covariates={"seen": [fit.covariate("age", form="linear")]})
    with pytest.raises(FitError, match="no logarithm; use form='exponential'"):
        structure(Cells(), cells.assign(age=cells["age"] - 50.0),
                  covariates={"c0": [fit.covariate("age", form="power")]})  # fmt: skip


# --- covariates that change in time --------------------------------------------------------


def test_a_number_that_changes_is_kept_as_events(trial):
    """The value at the infusion is the patient's; each change is an event with its time."""
    assert trial["ldh"].values.tolist() == [180.0, 300.0, 210.0]
    found = [
        (str(p), float(t), float(v))
        for p, t, n, v in zip(
            trial["event_patient"].values, trial["event_time"].values, trial["event_name"].values,
            trial["event_value"].values, strict=True,
        )
        if n == "ldh"
    ]  # fmt: skip
    assert found == [("a", 5.0, 420.0), ("a", 20.0, 260.0), ("b", 4.0, 150.0)]
    said = " ".join(data.import_report(trial).guesses)
    assert "Covariate 'LDH' changes within 2 patients (first: 'a', 420 in row 5)" in said


def test_changes_come_back_from_a_written_table(trial, tmp_path):
    path = tmp_path / "again.csv"
    data.write_table(trial, path)
    again = data.read_table(path, echo=False)
    for name in ("event_time", "event_value", "ldh", "tocilizumab"):
        assert_allclose(again[name].values, trial[name].values)
    assert again["event_name"].values.tolist() == trial["event_name"].values.tolist()


def by_scipy(p, course, factor, days):
    """Return cells and IL-6 on some days, the factor of the loss changing with a covariate."""

    def slope(t, y, loss):
        made = p["rise"] * y[0] + loss * p["base"]
        return [-p["k"] * y[0], made - loss * y[1]]

    y, out = np.array([p["c0"], p["base"]]), {}
    for (begin, value), end in zip(course, [*(t for t, _ in course[1:]), 40.0], strict=True):
        loss = p["loss"] * factor(value)
        solved = integrate.solve_ivp(
            slope, (begin, end), y, args=(loss,), rtol=1e-11, atol=1e-12, dense_output=True
        )
        out |= {d: solved.sol(d) for d in days if begin <= d <= end}
        y = solved.y[:, -1]
    return np.array([out[d] for d in days])


CHANGING = {
    "power": ("ldh", {}, LDH, "beta_loss_ldh", lambda b: lambda x: (x / 210.0) ** b),
    "exponential": (
        "ldh", {"form": "exponential", "centre": 200}, LDH, "beta_loss_ldh",
        lambda b: lambda x: np.exp(b * (x - 200.0)),
    ),
    "linear": (
        "ldh", {"form": "linear"}, LDH, "beta_loss_ldh",
        lambda b: lambda x: 1.0 + b * (x - 210.0),
    ),
    "category": (
        "tocilizumab", {}, TOCI, "beta_loss_tocilizumab_1",
        lambda b: lambda x: np.exp(b * x),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGING)
def test_a_parameter_follows_a_covariate_as_scipy_solves_it(trial, name):
    """Piece by piece with another solver: to 1e-6 of the level."""
    covariate, options, courses, beta, effect = CHANGING[name]
    s = both(trial, covariates={"loss": [fit.covariate(covariate, **options)]})
    _, predicted, own, q = drawn(s)
    d = s.design
    for i in range(3):
        for j, course in enumerate(courses):
            rows = np.flatnonzero(d.patient == j)
            p = {n: own[n][i, j] for n in ("c0", "k", "rise", "loss", "base")}
            factor = effect(q[beta][i])
            levels = by_scipy(p, course, factor, d.time[rows])
            expected = levels[np.arange(rows.size), d.measure[rows]]
            expected = np.where(d.measure[rows] == 0, np.log(expected), expected)
            assert_allclose(predicted[i, rows], expected, rtol=1e-6)


def test_gradients_and_pymc_agree_where_a_covariate_changes_and_an_endpoint_has_a_factor(trial):
    """PyMC's graph is other code around the same kernel: to 1e-8."""
    s = both(trial, covariates={"loss": ["ldh"]}, scale=["il6"], iiv=["c0", "scale_il6"])
    posterior, function = slopes_agree(s)
    reference = ByPymc(s, ())
    for x in points(posterior, 2):
        (value, gradient), (expected, slopes, _) = function(x), reference(x)
        assert_allclose(value, expected, rtol=1e-8)
        assert_allclose(gradient, slopes, rtol=1e-8, atol=1e-8)


def test_what_follows_a_covariate_is_said(trial):
    s = both(trial, covariates={"loss": ["ldh"]})
    assert "ldh on loss (power, changing in time)" in s.sentence()
    assert "ldh changes in 2 patients; loss follows it from each change on." in s.notes
    assert not any("stays at" in note for note in s.notes)
    s = both(trial, covariates={"c0": ["ldh"]})
    assert any("only the value of ldh at the infusion counts" in note for note in s.notes)


def test_models_whose_parameters_cannot_change_say_what_to_do(cells):
    with pytest.raises(FitError, match=r"'ldh' changes within patients \(patient 'a', day 5\).*"
                       "closed form.*baseline=True"):  # fmt: skip
        structure(Cells(), cells, covariates={"c0": ["ldh"]})
    s = structure(Cells(), cells, covariates={"c0": [fit.covariate("ldh", baseline=True)]})
    assert_allclose(s.effects[0].column, np.log(START["LDH"] / 210.0))


def test_some_patients_keep_their_own_changes(trial):
    s = both(trial, covariates={"loss": ["ldh"]})
    some = s.among([1])
    assert_allclose(some.design.known["x_loss_ldh"], np.log([300.0 / 210.0]))
    (change,) = [c for c in some.design.changes if c.name == "x_loss_ldh"]
    assert (change.patient, change.time) == (0, 4.0)
    assert_allclose(change.value, np.log(150.0 / 210.0))


# --- factors of endpoints ------------------------------------------------------------------


class Copies(Turnover):
    """The same, measured as 2.5 copies/µg for each cell/µL."""

    per_cell = models.Positive(2.5, "copies*µL/µg/cells", "copies of a cell", fixed=True)

    def observe(self, t, y, p):
        return {"transgene": p.per_cell * y.cells, "il6": y.il6}


def test_a_factor_is_a_rescaled_model(cells):
    """The same log-likelihood of every record as a model that says the factor, to 1e-12."""
    options = {"errors": ERRORS, "iiv": ["c0"]}
    held = fit.LogNormal(2.5, 1e-9)
    scaled = structure(
        Turnover(), cells, BOTH, **options, scale="transgene", priors={"scale_transgene": held}
    )
    rescaled = structure(Copies(), cells, BOTH, **options)
    assert scaled.quantity("scale_transgene").unit == "copies*µL/µg/cells"
    at, _, _, q = drawn(scaled)
    assert_allclose(q["scale_transgene"], 2.5, rtol=1e-7)
    i = [x.name for x in scaled.quantities].index("scale_transgene")
    at[:, i] = np.log(2.5)
    posterior, other = Posterior(scaled, ()), Posterior(rescaled, ())
    without = np.delete(at, i, axis=1)
    got = loglik_draws(scaled, posterior.variables(at[None]),
                       posterior.function().predictions(at[None], 1))  # fmt: skip
    expected = loglik_draws(rescaled, other.variables(without[None]),
                            other.function().predictions(without[None], 1))  # fmt: skip
    assert_allclose(got, expected, rtol=1e-12)


def test_a_factor_of_a_closed_form_multiplies_its_level(cells):
    s = structure(Cells(), cells, scale=["transgene"])
    assert s.quantity("scale_transgene").prior == fit.LogNormal(1.0, 1.0)
    assert s.quantity("scale_transgene").label == "scale factor of CAR transgene"
    _, predicted, own, q = drawn(s)
    d = s.design
    level = own["c0"][:, d.patient] * own["seen"][:, d.patient] * np.exp(-q["k"][:, None] * d.time)
    assert_allclose(predicted, np.log(q["scale_transgene"][:, None] * level), rtol=1e-10)
    assert "scale factors: transgene" in s.sentence()
    slopes_agree(s)


def test_a_closed_form_describes_an_endpoint_of_any_name(cells):
    """The compiled likelihood is that of the endpoint's own name: exactly."""
    renamed = cells.copy(deep=True)
    for name in ("endpoint", "measure"):
        values = np.where(renamed[name].values == "transgene", "qpcr2", renamed[name].values)
        renamed = renamed.assign_coords({name: (renamed[name].dims, values)})
    values = []
    for trial, endpoint in ((cells, "transgene"), (renamed, "qpcr2")):
        s = structure(Cells(), trial, endpoint, scale=endpoint, iiv=["c0"])
        posterior = Posterior(s, ())
        values.append([posterior.function()(x)[0] for x in points(posterior, 2)])
    assert np.isfinite(values).all()
    assert values[0] == values[1]


def test_a_factor_belongs_to_a_fitted_endpoint(trial):
    with pytest.raises(FitError, match=r"scale: 'il8' is not fitted\. Did you mean 'il6'"):
        both(trial, scale=["il8"])


# --- known parameters of an earlier fit ----------------------------------------------------


class Cytokine(models.Part):
    """IL-6 that cells raise."""

    il6 = models.State("pg/mL", "IL-6")
    rise = models.Positive(0.5, "pg*µg/mL/copies/day", "IL-6 made by a cell")
    loss = models.Positive(0.8, "1/day", "loss of IL-6", spread=0.5)

    def rhs(self, t, y, p, d):
        return {"il6": p.rise * d.cells - p.loss * y.il6}

    def initial(self, p):
        return {"il6": 0.0}

    def observe(self, t, y, p, d):
        return {"il6": y.il6}


@pytest.fixture(scope="module")
def first(cells):
    """The cells fitted alone, one parameter held."""
    model = Cells().with_(seen=models.Fixed(0.6))
    return fit.laplace(model, cells, fit.population(iiv=["c0"]), starts=1, label="cells")


def sequential(first, trial, **population):
    model = Cells() + Cytokine()
    chosen = fit.population(**{"iiv": ["rise"], "error": "lognormal"} | population)
    known, design = with_given(model, design_for(model, trial, "il6"), chosen, first, "median")
    return resolve(known, chosen, design)


def test_a_sequential_fit_is_the_joint_one_with_each_patient_held(first, cells):
    """ln L of each patient's records with the patient's own fixed model: to 1e-10."""
    s = sequential(first, cells)
    own = first.individual_estimates()
    assert [q.name for q in s.of_role("typical")] == ["rise", "loss"]
    posterior = Posterior(s, ())
    at = points(posterior, 2)
    variables = posterior.variables(at[None])
    got = loglik_draws(s, variables, posterior.function().predictions(at[None], 1))[0]
    for j, name in enumerate(s.design.ids):
        held = {n: models.Fixed(float(own[n].sel(id=name))) for n in ("c0", "k")}
        model = (Cells() + Cytokine()).with_(**held, seen=models.Fixed(0.6))
        alone = resolve(model, s.population, s.design.among([j]))
        assert alone.model.fixed["c0"] == float(own["c0"].sel(id=name))
        # What is known would go before what is fixed.
        alone = resolve(model, s.population, _without_known(s.design.among([j])))
        one = Posterior(alone, ())
        point = at[:, [*range(len(s.quantities)), len(s.quantities) + j]]
        expected = loglik_draws(alone, one.variables(point[None]),
                                one.function().predictions(point[None], 1))[0]  # fmt: skip
        assert_allclose(got[:, s.design.patient == j], expected, rtol=1e-10)


def _without_known(design):
    return replace(design, known={}, given="")


def test_a_sequential_fit_says_so_and_comes_back_from_disk(first, cells, tmp_path):
    model, chosen = Cells() + Cytokine(), fit.population(iiv=["rise"])
    second = fit.laplace(model, cells, chosen, endpoint="il6", given=first, starts=1)
    said = (
        "sequential, individual parameters known (IPP): c0, k of each patient at the modes of the "
        "fit 'cells'; held fixed: seen = 0.6 1"
    )
    assert said in second.sentence
    assert second.provenance["sequential"] == "IPP"
    assert second.provenance["given"]["label"] == "cells"
    base = type(model)._base
    again = fit.load(second.save(tmp_path / "second.nc"), model=base)
    assert again.sentence == second.sentence
    assert_allclose(
        again.structure.design.known["c0"], first.individual_estimates()["c0"].to_numpy()
    )
    # What is predicted from the file is what was predicted.
    own = {n: second.individual_estimates()[n].to_numpy() for n in ("rise", "loss")}
    from cart_pkpd._stats.predict import predict

    level = predict(again.structure.model, again.structure.design, own, log=(False,))
    assert_allclose(level, second.records()["ipred"], rtol=1e-5)


@pytest.mark.parametrize(
    ("population", "words"),
    [
        ({"iiv": ["c0"]}, "'c0' is known for each patient, so it cannot be in iiv"),
        ({"iov": ["c0"]}, "'c0' is known for each patient, so it cannot be in iov"),
        ({"covariates": {"k": ["age"]}}, "'k' is known for each patient, .* in covariates"),
    ],
)
def test_known_parameters_are_not_estimated_too(first, cells, population, words):
    with pytest.raises(FitError, match=words):
        sequential(first, cells, **population)


def test_a_first_fit_with_occasions_is_refused_with_what_to_do(first, cells):
    population = replace(first.structure.population, iov=("c0",))
    earlier = replace(first, structure=replace(first.structure, population=population))
    with pytest.raises(FitError, match=r"c0 varies between occasions there.* without iov"):
        sequential(earlier, cells)


def test_patients_and_parameters_must_match(first, cells):
    other = cells.copy(deep=True)
    for name in ("patient", "id", "dose_patient", "event_patient"):
        values = np.where(other[name].values == "b", "z", other[name].values)
        other = other.assign_coords({name: (other[name].dims, values)})
    with pytest.raises(FitError, match="patient 'z' was not in that fit"):
        sequential(first, other)
    turnover = Turnover()
    with pytest.raises(FitError, match="'c0' is in copies/µg there and in cells/µL in this model"):
        with_given(turnover, design_for(turnover, cells, "il6"), fit.population(), first, "median")
    model = (Cells() + Cytokine()).with_(k=models.Fixed(0.2))
    with pytest.raises(FitError, match=r"'k' is fixed at 0\.2 in this model"):
        with_given(model, design_for(model, cells, "il6"), fit.population(), first, "median")


# --- files ---------------------------------------------------------------------------------


def test_additions_come_back_from_disk(trial, tmp_path):
    population = fit.population(
        iiv=["c0"], errors=ERRORS, scale=["il6"], covariates={"loss": [
            fit.covariate("ldh", form="exponential", centre=200)], "k": ["age"]})  # fmt: skip
    result = fit.laplace(Turnover(), trial, population, endpoint=BOTH, starts=1, max_iterations=4)
    assert {"scale_il6", "beta_loss_ldh", "beta_k_age"} <= set(result.estimates)
    assert result.model_name == "Turnover"
    again = fit.load(result.save(tmp_path / "fit.nc"), model=Turnover())
    assert again.structure.population == population
    assert again.sentence == result.sentence
    assert again.estimates == result.estimates
    assert again.structure.design.changes == result.structure.design.changes


RUN = """[data]
dataset = "fast01"
[models.one]
model = "stein2019"
iiv = ["cmax"]
scale = ["transgene"]
censoring = "m5"
[models.one.covariates]
cmax = ["dose_level", {covariate = "age", form = "exponential", centre = 60.0}]
"""


def test_a_run_file_says_it_all():
    read = config.loads(RUN)
    population = fit.population(**read.population("one"))
    assert population.covariates["cmax"] == (
        "dose_level", fit.covariate("age", form="exponential", centre=60.0),
    )  # fmt: skip
    assert (population.scale, population.censoring) == (("transgene",), "m5")
    assert "cmax by dose_level, age" in dict(plan.steps(read))["fit one"]
    again = config.loads(toml.dumps({k: v for k, v in read.resolved(read.root).items()}))
    assert again.population("one") == read.population("one")
    with pytest.raises(config.RunFileError, match="form"):
        config.loads(RUN.replace('"exponential"', '"cubic"'))


@pytest.mark.slow
def test_draws_of_a_sequential_fit_with_a_factor_recover_them(tmp_path):
    """Cells known without error: factor 2.5 and residual SD 0.2 lie within their 99 % intervals."""
    rng = np.random.default_rng(3)
    rows = ["ID,TIME,DV,DVID,AMT,EVID"]
    for i in range(12):
        rows.append(f"p{i},0,.,dose,1e7,1")
        c0 = 300.0 * np.exp(0.4 * rng.standard_normal())
        for t in (1, 3, 6, 10, 15, 21):
            level = 0.6 * c0 * np.exp(-0.1 * t)
            rows.append(f"p{i},{t},{level:.10g},transgene,.,0")
            rows.append(
                f"p{i},{t},{2.5 * level * np.exp(0.2 * rng.standard_normal())},car_cells,.,0"
            )
    units = {"transgene": "copies/µg", "car_cells": "cells/µL"}
    trial = read(tmp_path, units, "\n".join(rows) + "\n")
    model = Cells().with_(seen=models.Fixed(0.6))
    first = fit.laplace(model, trial, fit.population(iiv=["c0"]), starts=1, label="cells")
    second = fit.bayes(
        model, trial,
        fit.population(scale=["car_cells"]), endpoint="car_cells", given=first, draws=500, tune=500,
        chains=2, seed=1,
    )  # fmt: skip
    table = second.table(prob=0.99)
    assert table.loc["scale_car_cells", "unit"] == "cells*µg/µL/copies"
    for name, true in (("scale_car_cells", 2.5), ("sigma_log", 0.2)):
        assert table.loc[name, "lower"] < true < table.loc[name, "upper"]
    again = fit.load(second.save(tmp_path / "second.nc"), model=Cells())
    assert again.sentence == second.sentence
