"""Population fits by maximum marginal likelihood."""

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import optimize, stats
from theophylline import Oral
from theophylline import trial as theophylline_trial

from cart_pkpd import checks, compare, data, fit, models
from cart_pkpd._core.errors import FitError
from cart_pkpd._fit.marginal import Marginal
from cart_pkpd._fit.start import starting_values
from cart_pkpd._stats.design import BELOW, design_for
from cart_pkpd._stats.population import resolve
from cart_pkpd.models.math import log

TIMES = np.array([0.0, 1.0, 2.0, 4.0, 7.0, 10.0])


class Line(models.ClosedFormModel):
    """A level that is linear in its parameters: the marginal likelihood is a normal's."""

    endpoint = "transgene"
    a = models.Real(40.0, "copies/µg", "level on day 0", iiv=4.0, spread=10.0)
    b = models.Real(3.0, "copies/µg/day", "rise", iiv=0.5, spread=1.0)

    def log_level(self, t, p):
        return log(p.a + p.b * t)


def trial_of(folder, rows, units, **options):
    path = folder / "table.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return data.read_table(path, units=units, echo=False, **options)


def structure_of(model, trial, endpoint="transgene", **population):
    return resolve(model, fit.population(**population), design_for(model, trial, endpoint))


def marginal_of(model, trial, method="foce", **population):
    structure = structure_of(model, trial, **population)
    return Marginal(structure, method, starting_values(structure))


# --- a linear mixed model: everything is known exactly -------------------------------------


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    """20 patients, the last with two records only."""
    rng = np.random.default_rng(5)
    rows = ["ID,TIME,DV,AMT,EVID,SEX"]
    for i in range(20):
        rows.append(f"{i},0,.,1e6,1,{i % 2}")
        a = 40.0 + 5.0 * rng.standard_normal() + 6.0 * (i % 2)
        b = 3.0 + 0.6 * rng.standard_normal()
        times = TIMES if i < 19 else TIMES[:2]
        noisy = a + b * times + 2.0 * rng.standard_normal(times.size)
        rows += [f"{i},{t},{y:.6f},.,0,{i % 2}" for t, y in zip(times, noisy, strict=True)]
    return trial_of(tmp_path_factory.mktemp("line"), rows, {"transgene": "copies/µg"})


def exact_line(structure, x, with_sex=False):
    """-2 ln L of the line at (a, b, [coefficient], ln omegas, ln sigma) by SciPy's normal."""
    design = structure.design
    coefficient, rest = (x[2], x[3:]) if with_sex else (0.0, x[2:])
    omega_a, omega_b, sigma = np.exp(rest)
    column = structure.effects[0].column if with_sex else np.zeros(design.n_patients)
    total = 0.0
    for i in range(design.n_patients):
        rows = design.patient == i
        t, y = design.time[rows], design.dv[rows]
        covariance = omega_a**2 + omega_b**2 * np.outer(t, t) + sigma**2 * np.eye(t.size)
        mean = x[0] + coefficient * column[i] + x[1] * t
        total -= 2.0 * stats.multivariate_normal(mean, covariance).logpdf(y)
    return total


@pytest.mark.parametrize("method", ["foce", "laplace"])
def test_a_linear_model_gives_the_normal_marginal_likelihood(line, method):
    marginal = marginal_of(Line(), line, method, iiv=["a", "b"], error="additive")
    for x in ([40.0, 3.0, 1.5, -0.5, 0.7], [45.0, 2.0, 0.5, 0.3, 1.2]):
        found = marginal.evaluate(np.array(x), marginal.deviations_at_start())
        assert_allclose(found.value.sum(), exact_line(marginal.structure, np.array(x)), atol=1e-6)


@pytest.fixture(scope="module")
def fitted_line(line):
    population = fit.population(iiv=["a", "b"], error="additive", covariates={"a": ["sex"]})
    return fit.laplace(Line(), line, population)


def test_estimates_and_errors_of_a_linear_model_are_the_exact_ones(fitted_line):
    """Against SciPy's own minimum of the normal's -2 ln L, and its curvature by differences."""
    structure = fitted_line.structure

    def exact(x):
        return exact_line(structure, x, with_sex=True)

    start = np.array([40.0, 3.0, 6.0, 1.6, -0.5, 0.7])
    best = optimize.minimize(exact, start, method="BFGS", options={"gtol": 1e-5})
    assert_allclose(fitted_line.ofv, best.fun, atol=1e-6)
    table = fitted_line.table()
    names = ["a", "b", structure.effects[0].name.join(["beta_", ""])]
    assert_allclose(table.loc[names, "estimate"], best.x[:3], rtol=1e-4)
    sds = table.loc[["omega_a", "omega_b", "sigma_add"], "estimate"]
    assert_allclose(sds, np.exp(best.x[3:]), rtol=1e-4)
    h = 1e-3
    steps = h * np.eye(6)
    hessian = np.array(
        [
            [
                exact(best.x + u + v) - exact(best.x + u - v) - exact(best.x - u + v)
                + exact(best.x - u - v)
                for v in steps
            ]
            for u in steps
        ]
    ) / (4 * h**2)  # fmt: skip
    se = np.sqrt(np.diag(2.0 * np.linalg.inv(hessian)))
    assert_allclose(table.loc[names, "se"], se[:3], rtol=2e-3)
    assert_allclose(table.loc[["omega_a", "omega_b", "sigma_add"], "se"], se[3:] * sds, rtol=2e-3)
    assert fitted_line.verdict.ok
    assert fitted_line.verdict.sentence.startswith("Converged")


def test_criteria_and_constants_follow_from_the_objective(fitted_line):
    n = fitted_line.structure.design.n_obs
    assert fitted_line.n_estimated == 6
    assert_allclose(fitted_line.aic - fitted_line.ofv, 12.0)
    assert_allclose(fitted_line.bic - fitted_line.ofv, 6.0 * np.log(n))
    assert_allclose(fitted_line.bic_patients - fitted_line.ofv, 6.0 * np.log(20))
    assert_allclose(fitted_line.ofv - fitted_line.ofv_nonmem, n * np.log(2.0 * np.pi))


def test_modes_of_a_linear_model_are_the_best_linear_predictions(fitted_line):
    """Henderson: eta = D Z' V⁻¹ (y - mean), and its covariance D - D Z' V⁻¹ Z D."""
    structure, e = fitted_line.structure, fitted_line.estimates
    own, design = fitted_line.individual_estimates(), structure.design
    d = np.diag([e["omega_a"] ** 2, e["omega_b"] ** 2])
    effect = structure.effects[0]
    for i in (0, 1, 19):
        rows = design.patient == i
        z = np.stack([np.ones(rows.sum()), design.time[rows]], axis=1)
        v = z @ d @ z.T + e["sigma_add"] ** 2 * np.eye(rows.sum())
        beta = e[f"beta_{effect.name}"] * effect.column[i]
        mean = z @ np.array([e["a"] + beta, e["b"]])
        gain = d @ z.T @ np.linalg.inv(v)
        assert_allclose(own["eta"][i], gain @ (design.dv[rows] - mean), atol=1e-5)
        assert_allclose(own["eta_covariance"][i], d - gain @ z @ d, atol=1e-6)
        assert_allclose(fitted_line.records()["pred"][rows], mean, rtol=1e-9)


def test_shrinkage_is_that_of_the_modes_and_residuals(fitted_line):
    own, e = fitted_line.individual_estimates(), fitted_line.estimates
    shrinkage, records = fitted_line.shrinkage(), fitted_line.records()
    ratio = np.std(own["eta"][:, 0], ddof=1) / e["omega_a"]
    assert_allclose(shrinkage["eta_sd"][0], 1.0 - ratio)
    assert_allclose(shrinkage["eta_var"][0], 1.0 - ratio**2)
    residual = (records["dv"] - records["ipred"]) / e["sigma_add"]
    assert_allclose(records["iwres"], residual, atol=1e-9)
    assert_allclose(shrinkage["epsilon_sd"], [1.0 - np.std(residual, ddof=1)])


def test_what_is_saved_is_read_back(fitted_line, tmp_path):
    path = fitted_line.save(tmp_path / "line.nc")
    back = fit.load(path, model=Line())
    assert back.table().equals(fitted_line.table())
    assert back.verdict == fitted_line.verdict
    assert back.individual_estimates().identical(fitted_line.individual_estimates())
    assert back.records().identical(fitted_line.records())
    assert [p.name for p in tmp_path.iterdir()] == ["line.nc"]


def test_checks_of_bayesian_fits_take_the_result(fitted_line):
    predicted = checks.predictions(fitted_line, n_draws=1000)
    records = fitted_line.records()
    # Draws about the mode, a normal's in this model: their median is the mode.
    assert_allclose(predicted["ipred"], records["ipred"], rtol=0.02)
    assert_allclose(predicted["pred"], records["pred"], rtol=0.02)
    assert (predicted["lower"] < predicted["upper"]).all()
    assert checks.vpc(fitted_line, n_sims=50).attrs["fit"] == "Line"


# --- theophylline --------------------------------------------------------------------------

# R's nlme, script ch08.R of Pinheiro & Bates (2000), Mixed-Effects Models in S and S-PLUS, which
# comes with it: fixed effects of fm3Theo.nlme (log ke, ka, cl per hour) and SDs of fm2Theo.nlme
# (that of ke is 0), as printed by R and quoted in public; not run here. Its approximation is
# Lindstrom & Bates's, so the maxima differ a little from these.
NLME = {"ke": -2.454704, "ka": 0.465734, "cl": -3.227223}
NLME_SD = {"omega_ka": 0.6439, "omega_cl": 0.1669, "sigma_add": 0.7092}


@pytest.fixture(scope="module")
def theophylline(tmp_path_factory):
    return theophylline_trial(tmp_path_factory.mktemp("theophylline"))


@pytest.mark.parametrize("method", ["foce", "laplace"])
def test_theophylline_is_as_published(theophylline, method):
    population = fit.population(iiv=["ka", "cl"], error="additive")
    found = fit.laplace(
        Oral(), theophylline, population, endpoint="theophylline", method=method, starts=1
    )
    assert found.verdict.ok
    for name, ln in NLME.items():
        assert_allclose(found.estimates[name] / 24.0, np.exp(ln), rtol=0.02)
    for name, sd in NLME_SD.items():
        assert_allclose(found.estimates[name], sd, rtol=0.02)


# pynlme 0.5.1 (MIT; pip install pynlme), fit_nlme(X, y, group, None, model, (-2.4, 0.5, -3.2),
# approximation_type="FOCE", re_params_select=(1, 2), cov_pattern=eye(2)): 2 x its logl, its beta,
# and roots of its psi and error parameter. Its "LME" gives nlme's fixed effects to 1e-4.
PYNLME_OFV = 2.0 * 176.991842496501
PYNLME = {"ke": -2.46552662, "ka": 0.48212936, "cl": -3.23034987}
PYNLME_SD = {"omega_ka": 0.4308938**0.5, "omega_cl": 0.02805967**0.5, "sigma_add": 0.70777066}


def test_theophylline_is_as_of_another_program(theophylline):
    population = fit.population(iiv=["ka", "cl"], error="additive")
    found = fit.laplace(Oral(), theophylline, population, endpoint="theophylline", starts=1)
    assert_allclose(found.ofv, PYNLME_OFV, atol=1e-5)
    for name, ln in PYNLME.items():
        assert_allclose(found.estimates[name] / 24.0, np.exp(ln), rtol=1e-4)
    for name, sd in PYNLME_SD.items():
        assert_allclose(found.estimates[name], sd, rtol=1e-4)


def test_an_omega_that_is_not_there_is_said_to_be_0(theophylline):
    population = fit.population(iiv=["ke", "ka", "cl"], error="additive")
    found = fit.laplace(Oral(), theophylline, population, endpoint="theophylline", starts=1)
    assert found.verdict.at_zero == ("omega_ke",)
    assert "omega_ke is 0" in found.verdict.sentence
    row = found.table().loc["omega_ke"]
    assert row["estimate"] == 0.0
    assert np.isnan(row["se"])
    assert row["reason"]


# --- gradients -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def censored(tmp_path_factory):
    """Six patients whose level falls below the limit of quantification."""
    rng = np.random.default_rng(11)
    rows = ["ID,TIME,DV,AMT,EVID,CENS,LLOQ"]
    for i in range(6):
        rows.append(f"{i},0,.,1e6,1,0,.")
        k = 0.3 * np.exp(0.4 * rng.standard_normal())
        for t in (1.0, 3.0, 6.0, 9.0, 14.0):
            level = 100.0 * np.exp(-k * t + 0.3 * rng.standard_normal())
            rows.append(f"{i},{t},{max(level, 8.0):.5f},.,0,{int(level < 8.0)},8")
    return trial_of(tmp_path_factory.mktemp("censored"), rows, {"transgene": "copies/µg"})


class Decline(models.ClosedFormModel):
    """Mono-exponential decline."""

    endpoint = "transgene"
    c0 = models.Positive(100.0, "copies/µg", "level on day 0", iiv=0.3)
    k = models.Positive(0.3, "1/day", "decline rate", iiv=0.4)

    def log_level(self, t, p):
        return log(p.c0) - p.k * t


@pytest.mark.parametrize("method", ["foce", "laplace"])
@pytest.mark.parametrize("error", ["lognormal", "combined", "proportional", "student_t"])
def test_the_gradient_is_that_of_differences(censored, method, error):
    """Central differences of -2 ln L, modes searched anew each time; steps of 1e-3."""
    marginal = marginal_of(Decline(), censored, method, iiv=["c0", "k"], error=error)
    x, z = marginal.at_start(), marginal.deviations_at_start()
    found = marginal.evaluate(x, z)
    for i in range(marginal.size):
        step = 1e-3 * np.eye(marginal.size)[i]
        up, down = (marginal.evaluate(at, found.z).value for at in (x + step, x - step))
        assert_allclose(found.gradient[:, i], (up - down) / 2e-3, rtol=1e-3, atol=2e-3)


# --- censored records, by quadrature -------------------------------------------------------


def quadrature(structure, c0, k, omega, sigma, nodes=60):
    """-2 ln L with one deviation, of ln k, integrated by Gauss and Hermite."""
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    design, total = structure.design, 0.0
    for i in range(design.n_patients):
        rows = design.patient == i
        rate = k * np.exp(omega * x)[:, None]
        r = np.log(design.dv[rows]) - (np.log(c0) - rate * design.time[rows])
        known = stats.norm.logpdf(r, scale=sigma) - np.log(design.dv[rows])
        each = np.where(design.code[rows] == BELOW, stats.norm.logcdf(r / sigma), known)
        total -= 2.0 * np.log((w / np.sqrt(2.0 * np.pi) * np.exp(each.sum(axis=1))).sum())
    return total


@pytest.mark.parametrize("method", ["foce", "laplace"])
def test_censored_records_count_as_by_quadrature(censored, method):
    """Laplace's error is that of the posterior's shape: below 0.05 per patient of -2 ln L here."""
    marginal = marginal_of(Decline(), censored, method, iiv=["k"], error="lognormal")
    assert (marginal.structure.design.code == BELOW).sum() >= 6
    x = np.log([100.0, 0.3, 0.4, 0.3])
    found = marginal.evaluate(x, marginal.deviations_at_start())
    exact = quadrature(marginal.structure, *np.exp(x))
    assert_allclose(found.value.sum(), exact, atol=0.05 * 6)


# --- two endpoints of differential equations -----------------------------------------------


class Pair(models.OdeModel):
    """Cells that decline, and a cytokine that rises: ln a - k t and b + c t by hand."""

    cells = models.State("cells/µL", "cells")
    signal = models.State("pg/mL", "cytokine")
    a = models.Positive(100.0, "cells/µL", "cells on day 0", iiv=0.3)
    k = models.Positive(0.1, "1/day", "decline rate")
    b = models.Real(20.0, "pg/mL", "cytokine on day 0", iiv=3.0, spread=5.0)
    c = models.Real(1.0, "pg/mL/day", "rise", spread=0.5)

    def initial(self, p):
        return {"cells": p.a, "signal": p.b}

    def rhs(self, t, y, p):
        return {"cells": -p.k * y.cells, "signal": p.c}

    def observe(self, t, y, p):
        return {"car_cells": y.cells, "il6": y.signal}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    rng = np.random.default_rng(8)
    rows = ["ID,TIME,DV,AMT,EVID,DVID"]
    for i in range(15):
        rows.append(f"{i},0,.,1e6,1,car_cells")
        a, b = 100.0 * np.exp(0.4 * rng.standard_normal()), 20.0 + 4.0 * rng.standard_normal()
        for t in (1.0, 4.0, 8.0, 12.0):
            cells = a * np.exp(-0.12 * t + 0.2 * rng.standard_normal())
            rows.append(f"{i},{t},{cells:.6f},.,0,car_cells")
            rows.append(f"{i},{t},{b + 1.1 * t + rng.standard_normal():.6f},.,0,il6")
    units = {"car_cells": "cells/µL", "il6": "pg/mL"}
    return trial_of(tmp_path_factory.mktemp("pair"), rows, units)


def exact_pair(design, e):
    """-2 ln L: ln cells and the cytokine are independent normals with a random intercept each."""
    total = 0.0
    for i in range(design.n_patients):
        for measure in (0, 1):
            rows = (design.patient == i) & (design.measure == measure)
            t, y = design.time[rows], design.dv[rows]
            if measure == 0:
                mean, omega, sigma = np.log(e["a"]) - e["k"] * t, "omega_a", "sigma_log_car_cells"
                total += 2.0 * np.log(y).sum()
                y = np.log(y)
            else:
                mean, omega, sigma = e["b"] + e["c"] * t, "omega_b", "sigma_add_il6"
            covariance = e[omega] ** 2 + e[sigma] ** 2 * np.eye(t.size)
            total -= 2.0 * stats.multivariate_normal(mean, covariance).logpdf(y)
    return total


def test_two_endpoints_of_an_ode_model_have_the_exact_maximum(pair):
    """The solver's tolerance is 1e-8; at a maximum no relative change of 1 % is an improvement."""
    population = fit.population(iiv=["a", "b"], errors={"il6": "additive"})
    found = fit.laplace(Pair(), pair, population, endpoint=["car_cells", "il6"], starts=1)
    assert found.verdict.ok
    design, e = found.structure.design, found.estimates
    least = exact_pair(design, e)
    assert_allclose(found.ofv, least, atol=1e-4)
    for name in e:
        up, down = (exact_pair(design, e | {name: e[name] * by}) for by in (1.001, 0.999))
        assert abs(up - down) < 0.02 * (up + down - 2.0 * least) + 1e-4
        assert min(up, down) > least - 1e-7


# --- simulated patients --------------------------------------------------------------------

TRUE = {"cmax": 24_000.0, "tmax": 9.3, "rho": 0.889, "alpha": 0.16, "fb": 0.0079, "beta": 0.0032}
TRUE_OMEGA = {"cmax": 0.65, "tmax": 0.38, "alpha": 0.6}
DAYS = np.array([1, 3, 5, 7, 10, 14, 21, 28, 42, 60, 90, 180, 270, 365.0])


@pytest.mark.slow
def test_what_was_simulated_is_found_again(tmp_path):
    """60 patients, kinks at every patient's peak; within 3 standard errors, seed fixed."""
    rng, model = np.random.default_rng(3), models.get("stein2019")
    rows = ["ID,TIME,DV,AMT,EVID,CENS,LLOQ"]
    for i in range(60):
        own = {
            k: v * np.exp(TRUE_OMEGA.get(k, 0.0) * rng.standard_normal()) for k, v in TRUE.items()
        }
        level = np.exp(model.log_predict(DAYS, own) + 0.4 * rng.standard_normal(DAYS.size))
        rows.append(f"{i},0,.,1e8,1,0,.")
        rows += [
            f"{i},{t:g},{max(y, 50.0):.5g},.,0,{int(y < 50.0)},50"
            for t, y in zip(DAYS, level, strict=True)
        ]
    trial = trial_of(tmp_path, rows, {"transgene": "copies/µg"})
    found = fit.laplace(model, trial, fit.population(iiv=list(TRUE_OMEGA)), starts=1)
    assert found.verdict.ok
    table = found.table()
    truth = TRUE | {f"omega_{k}": v for k, v in TRUE_OMEGA.items()} | {"sigma_log": 0.4}
    for name, value in truth.items():
        row = table.loc[name]
        assert abs(np.log(row["estimate"] / value)) < 3.0 * row["rse"] / 100.0


# --- refusals ------------------------------------------------------------------------------


def test_predictive_densities_of_patients_left_out_are_refused(fitted_line):
    with pytest.raises(FitError, match="no draws of the likelihood"):
        compare.patients({"line": fitted_line})


def test_a_search_begins_at_an_earlier_fit(line, fitted_line):
    """No steps are left where the earlier fit is of the same population, nor another optimum."""
    population = fitted_line.structure.population
    again = fit.laplace(Line(), line, population, initial=fitted_line, starts=1)
    assert_allclose(again.ofv, fitted_line.ofv, atol=1e-6)
    assert again.provenance["iterations"] <= 3
    fewer = fit.population(iiv=["a"], error="additive")
    near = fit.laplace(Line(), line, fewer, initial=fitted_line, starts=1)
    assert_allclose(near.ofv, fit.laplace(Line(), line, fewer).ofv, atol=1e-5)
    with pytest.raises(FitError, match="initial: give a fit of"):
        fit.laplace(Line(), line, fewer, initial=near.estimates)


def test_mixtures_and_kinks_are_refused_with_a_sentence(censored):
    mixture = fit.population(iiv=["cmax"], non_expanders=True)
    with pytest.raises(FitError, match="no single mode per patient"):
        fit.laplace("stein2019", censored, mixture)
    with pytest.raises(FitError, match="use method='foce'"):
        fit.laplace("stein2019", censored, fit.population(iiv=["tmax"]), method="laplace")
    with pytest.raises(FitError, match="method"):
        fit.laplace(Decline(), censored, fit.population(iiv=["k"]), method="fo")


# --- the guide -----------------------------------------------------------------------------


@pytest.mark.slow
def test_the_guide_runs_as_printed(tmp_path, monkeypatch):
    """The code of docs/laplace.md, in a folder of its own."""
    text = (Path(__file__).resolve().parents[1] / "docs/laplace.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, names)
    assert names["first"].verdict.ok
    assert names["again"].ofv == names["first"].ofv
