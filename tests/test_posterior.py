"""The compiled posterior against PyMC, which is other code, NumPy, and central differences.

PyMC's models and the compiled posterior share the kernel of the likelihood, so that this one is
also compared with the array functions and formulas.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytensor
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from pytensor.compile.mode import Mode

from cart_pkpd import data, fit, models
from cart_pkpd._engine import compiling
from cart_pkpd._fit.draws import individual_draws, loglik_draws
from cart_pkpd._fit.posterior import Posterior
from cart_pkpd._fit.pymc_model import build
from cart_pkpd._fit.start import on_the_line
from cart_pkpd._stats.compiled import kernel_of
from cart_pkpd._stats.design import ABOVE, BELOW, BETWEEN, QUANTIFIED, design_for
from cart_pkpd._stats.error import ERRORS
from cart_pkpd._stats.population import Structure, resolve
from cart_pkpd._stats.priors import KINDS
from cart_pkpd.fit import (
    LKJ,
    Beta,
    Cauchy,
    Exponential,
    Gamma,
    HalfCauchy,
    HalfNormal,
    LogitNormal,
    LogNormal,
    Normal,
    StudentT,
    TruncatedNormal,
    Uniform,
)

INF = np.inf


class Decline(models.ClosedFormModel):
    """Decline in which parameters of every kind take part."""

    c0 = models.Positive(300.0, "copies/µg", "level at 0", iiv=0.5)
    k = models.Positive(0.1, "1/day", "decline rate", iiv=0.3)
    share = models.Fraction(0.6, "1", "share that is seen", iiv=0.4, spread=0.8)
    drift = models.Real(-0.02, "1/day", "drift", iiv=0.02, spread=0.05)

    def log_level(self, t, p):
        return models.math.log(p.c0) + models.math.log(p.share) - (p.k + p.drift) * t


class Signal(models.OdeModel):
    """Cells die, and each makes a signal that does not go: two endpoints.

    Solved by hand: every dose D adds D v exp(-k s) cells, s days after it, and a signal of
    share D v (1 - exp(-k s)), on top of a base that may be below 0.
    """

    alive = models.State("copies/µg", "cells")
    made = models.State("copies/µg", "signal made")
    v = models.Positive(3e-5, "copies/µg/cells", "level per cell", iiv=0.4)
    k = models.Positive(0.1, "1/day", "death rate")
    share = models.Fraction(0.3, "1", "signal of each cell")
    base = models.Real(-5.0, "copies/µg", "signal before", iiv=2.0, spread=4.0)
    dosed = "alive"

    def initial(self, p):
        return {"alive": 0.0, "made": p.base}

    def dose_factor(self, p):
        return {"alive": p.v}

    def rhs(self, t, y, p):
        return {"alive": -p.k * y.alive, "made": p.share * p.k * y.alive}

    def observe(self, t, y, p):
        return {"transgene": y.alive, "signal": y.made}


TABLE = """ID,TIME,DV,DVID,AMT,EVID,CENS,LLOQ,LIMIT,SEX,BURDEN
a,0,.,dose,1e7,1,0,.,.,F,40
a,1,150,transgene,.,0,0,20,.,F,40
a,5,90,transgene,.,0,0,20,.,F,40
a,5,60,signal,.,0,0,.,.,F,40
a,20,20,transgene,.,0,1,20,.,F,40
a,22,80,signal,.,0,-1,.,.,F,40
b,0,.,dose,3e7,1,0,.,.,M,90
b,2,400,transgene,.,0,-1,.,.,M,90
b,2,90,signal,.,0,1,.,70,M,90
b,9,60,transgene,.,0,1,.,35,M,90
b,14,55,transgene,.,0,0,20,.,M,90
c,0,.,dose,1e7,1,0,.,.,M,10
c,4,210,transgene,.,0,0,20,.,M,10
c,4,50,signal,.,0,1,50,.,M,10
c,12,70,transgene,.,0,1,.,30,M,10
c,30,20,transgene,.,0,1,20,.,M,10
"""


@dataclass(frozen=True)
class Case:
    """A population, which parameters are centred, and the model."""

    options: dict
    centred: tuple[str, ...] = ()
    model: type[models.Model] = Decline


BOTH = ["c0", "k"]
ALL = ["drift", "c0", "share", "k"]
COVARIATES = {"c0": ["burden", "sex"], "k": ["dose_level"], "share": ["sex"]}
MIXED = {"iiv": BOTH, "non_expanders": "c0"}
SIGNAL = {"iiv": ["v", "base"], "errors": {"transgene": "student_t", "signal": "additive"}}
PRIORS = {
    "between": {
        "c0": TruncatedNormal(300, 200, 50, 900), "k": Beta(2, 8), "share": Uniform(0.2, 0.8),
        "drift": Uniform(-0.1, 0.2), "omega_c0": Uniform(0.1, 2), "omega_k": Beta(2, 3),
        "sigma_log": TruncatedNormal(0.3, 0.2, 0.05, 2),
    },
    "above": {
        "c0": TruncatedNormal(200, 100, 50), "k": Gamma(2, 10), "share": Beta(5, 3),
        "drift": StudentT(4, 0, 0.05), "omega_c0": HalfCauchy(0.5), "omega_k": Exponential(0.4),
        "sigma_log": Gamma(3, 5),
    },
    "below": {
        "c0": Exponential(300), "k": HalfCauchy(0.1), "share": TruncatedNormal(0.5, 0.3, 0, 1),
        "drift": TruncatedNormal(0, 0.05, -INF, 0.1), "omega_c0": LogNormal(0.4, 0.5),
        "omega_k": HalfNormal(0.4), "sigma_log": Exponential(0.5),
    },
    "anywhere": {
        "c0": HalfNormal(400), "k": Uniform(0.01, 0.5), "share": LogitNormal(0.3, 0.8),
        "drift": Cauchy(0, 0.05), "omega_c0": TruncatedNormal(0.4, 0.3),
        "omega_k": LogitNormal(0.3, 0.5), "sigma_log": HalfCauchy(0.4),
    },
    "far": {
        "c0": TruncatedNormal(-900, 200, 50, 900), "drift": TruncatedNormal(0, 0.1, -INF, INF),
        "k": TruncatedNormal(3, 0.5, 0.01, 0.5),
    },
}  # fmt: skip
EFFECTS = {
    "beta_c0_burden": StudentT(3, 0, 0.4), "beta_c0_sex_F": Uniform(-1, 2),
    "beta_k_dose_level": Cauchy(0.1, 0.3), "beta_share_sex_F": TruncatedNormal(0, 1, -0.5),
}  # fmt: skip
SHARES = {"p_non_expander": Uniform(0.05, 0.6), "non_expander_shift": Gamma(8, 2)}
CASES = {
    "one curve": Case({}),
    "deviations": Case({"iiv": ALL}),
    "centred": Case({"iiv": ALL}, tuple(ALL)),
    "some centred": Case({"iiv": ALL}, ("c0", "k")),
    "covariates": Case({"iiv": ["c0", "share"], "covariates": COVARIATES}),
    "covariates, centred": Case({"iiv": ["c0", "share"], "covariates": COVARIATES}, ("c0",)),
    "effects": Case({"iiv": ["c0"], "covariates": COVARIATES, "priors": EFFECTS}, ("c0",)),
    "non-expanders": Case(MIXED, ("c0",)),
    "non-expanders, covariates": Case(
        MIXED | {"covariates": COVARIATES, "priors": SHARES}, ("c0", "k")
    ),
    "shares": Case(
        MIXED | {"priors": {"p_non_expander": LogitNormal(0.2, 1), "omega_c0": Uniform(0.1, 1)}},
        ("c0",),
    ),
    "one of several": Case({"iiv": BOTH, "priors": {"share": Beta(2, 2)}}, ("k",)),
    "usual forms": Case(
        {"iiv": BOTH, "priors": {"k": LogNormal(0.2, 0.3), "drift": Normal(0.1, 0.1)}}
    ),
    **{
        f"priors {name}": Case({"iiv": BOTH, "priors": p}, centred)
        for (name, p), centred in zip(
            PRIORS.items(), [(), ("c0", "k"), ("c0",), ("k",), ()], strict=True
        )
    },
    "block": Case({"iiv": ALL, "corr": "full"}),
    "block, centred": Case({"iiv": ALL, "corr": "full"}, tuple(ALL)),
    "block, some centred": Case(
        {"iiv": ALL, "corr": "full", "priors": {"corr": LKJ(1)}}, ("c0", "k")
    ),
    "blocks": Case(
        {"iiv": ALL, "corr": [["k", "c0"], ["share", "drift"]], "covariates": COVARIATES},
        ("share", "c0"),
    ),
    "block beside non-expanders": Case(
        {"iiv": ALL, "corr": [["share", "k"]], "non_expanders": "c0"}, ("c0", "share")
    ),
    "proportional": Case({"iiv": ["c0"], "error": "proportional"}),
    "combined": Case({"iiv": ["c0"], "error": "combined"}, ("c0",)),
    "equations": Case(SIGNAL, ("v",), Signal),
    "equations, priors": Case(
        SIGNAL | {"priors": {"share": Beta(3, 5), "base": Uniform(-20, 5), "v": Gamma(2, 1e5)}},
        ("base",), Signal,
    ),
}  # fmt: skip
# PyMC takes longest for this one; what is in it is also in "block" and "block, some centred".
LONGEST = pytest.param("block, centred", marks=pytest.mark.slow)
EACH = pytest.mark.parametrize("name", [LONGEST, *(n for n in CASES if n != "block, centred")])


@pytest.fixture(scope="module")
def structures(tmp_path_factory) -> dict[str, Structure]:
    """Every case joined with the data; what has to be compiled is begun at once."""
    path = tmp_path_factory.mktemp("posterior") / "trial.csv"
    path.write_text(TABLE, encoding="utf-8")
    trial = data.read_table(path, units={"signal": "copies/µg"}, echo=False)
    out = {}
    for name, case in CASES.items():
        model = case.model()
        records = design_for(model, trial, tuple(model.endpoints))
        out[name] = resolve(model, fit.population(**case.options), records)
        compiling.start(kernel_of(out[name]))
    return out


@pytest.fixture(scope="module")
def posteriors(structures) -> dict[str, Posterior]:
    return {n: Posterior(s, CASES[n].centred) for n, s in structures.items()}


@pytest.fixture(scope="module")
def by_pymc(structures) -> Callable[[str], ByPymc]:
    """PyMC's model of a case by name, made once."""
    return cache(lambda name: ByPymc(structures[name], CASES[name].centred))


def points(posterior: Posterior, n: int = 3) -> np.ndarray:
    """Points at which every quantity is in the middle 90 % of its prior, shape (n, d)."""
    rng = np.random.default_rng(17)
    structure = posterior.structure
    out = []
    for _ in range(n):
        natural = {
            q.name: float(q.prior.quantile(rng.uniform(0.05, 0.95))) for q in structure.quantities
        }
        parts = [[on_the_line(q.prior, natural[q.name]) for q in structure.quantities]]
        for name, sd in zip(structure.random.names, structure.random.sds, strict=True):
            own = rng.standard_normal(structure.design.n_patients)
            if name in posterior.centred:
                at = natural.get(name, 0.0)  # deviations on occasions are about 0
                middle = structure.model.parameters[name].to_free(at)
                own = middle + natural[sd] * own
            parts.append(own)
        out.append(np.concatenate(parts))
    return np.array(out)


def places(structure: Structure, centred: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Where in a point PyMC's variables stand, by their name before any transformation."""
    quantities, k = structure.quantities, structure.design.n_patients
    at = {q.name: i for i, q in enumerate(quantities)}
    out = {f"typical_{n}" if n in structure.located else n: np.array(i)
           for n, i in at.items()}  # fmt: skip
    out |= {f"share_{n}": out[n] for n in structure.random.correlations}
    for vector, role in (("typical", "typical"), ("omega", "omega"), ("beta", "covariate")):
        out[vector] = np.array([at[q.name] for q in structure.of_role(role)])
    blocks = len(quantities) + np.arange(structure.random.size * k).reshape(-1, k)
    rows = dict(zip(structure.random.names, blocks, strict=True))
    apart = [rows[n] for n in rows if n not in centred]
    return out | {"z": np.array(apart)} | {f"x_{n}": rows[n] for n in centred}


class ByPymc:
    """ln density, gradient and ln likelihood of PyMC's model at points of the sampler."""

    def __init__(self, structure: Structure, centred: tuple[str, ...]) -> None:
        model = build(structure, centred)
        known = places(structure, centred)
        rvs = {v.name: model.values_to_rvs[v].name for v in model.value_vars}
        self.at = {value: known[rv] for value, rv in rvs.items()}
        potential = model.replace_rvs_by_values(model.potentials)
        # In Python and as written: C takes a minute to compile, rewriting the graph longer than
        # three points do, and the likelihood is compiled code as it is.
        with pytensor.config.change_flags(cxx=""):
            self.f = model.compile_fn(
                [model.logp(), model.dlogp(), *potential], mode=Mode(linker="py", optimizer=None)
            )

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray, float]:
        value, slopes, loglik = self.f({name: x[i] for name, i in self.at.items()})
        order = np.concatenate([i.ravel() for i in self.at.values()])
        assert sorted(order) == list(range(x.size))
        gradient = np.empty(x.size)
        gradient[order] = slopes
        return float(value), gradient, float(loglik)


def by_hand(structure: Structure, individual: xr.Dataset) -> np.ndarray:
    """Predictions of every record on its error's scale by the docstrings' formulas, (chain, n)."""
    d = structure.design
    p = {name: v.to_numpy()[..., d.patient] for name, v in individual.data_vars.items()}
    if isinstance(structure.model, Decline):
        f = p["c0"] * p["share"] * np.exp(-(p["k"] + p["drift"]) * d.time)
    else:
        level = d.dose_amount[d.patient] * p["v"]
        alive = level * np.exp(-p["k"] * d.time)
        f = np.where(d.measure == 0, alive, p["base"] + p["share"] * (level - alive))
    with np.errstate(invalid="ignore"):
        return np.where(np.array(structure.log)[d.measure], np.log(f), f)


def test_the_cases_have_priors_errors_and_records_of_every_kind(structures):
    priors = {type(q.prior) for s in structures.values() for q in s.quantities}
    assert priors == set(KINDS.values())
    assert {e.name for s in structures.values() for e in s.errors} == set(ERRORS)
    for s in structures.values():
        for measure in range(len(s.design.measures)):
            codes = set(s.design.code[s.design.measure == measure])
            assert codes == {QUANTIFIED, BELOW, ABOVE, BETWEEN}


@EACH
def test_density_and_gradient_are_those_of_pymc(posteriors, by_pymc, name):
    """Constants included, but PyMC has that of a cut normal in single precision: to 1e-6.

    So the difference between points says more: to 1e-8 of the density.
    """
    posterior = posteriors[name]
    function, reference = posterior.function(), by_pymc(name)
    cut = any(isinstance(q.prior, TruncatedNormal) for q in posterior.structure.quantities)
    values = []
    for x in points(posterior):
        (value, gradient), (expected, slopes, _) = function(x), reference(x)
        assert_allclose(value, expected, rtol=1e-8, atol=1e-6 if cut else 0)
        assert_allclose(gradient, slopes, rtol=1e-8, atol=1e-9)
        values.append((value, expected))
    (*ours, last), (*theirs, reference_last) = zip(*values, strict=True)
    assert_allclose(np.array(ours) - last, np.array(theirs) - reference_last, rtol=1e-8)


@EACH
def test_the_likelihood_is_that_of_formulas_and_arrays(posteriors, by_pymc, name):
    """Closed forms to rounding; equations to a few times the solver's tolerance of 1e-6."""
    posterior = posteriors[name]
    structure = posterior.structure
    reference, at = by_pymc(name), points(posterior)
    draws = posterior.variables(at[None])
    predicted = by_hand(structure, individual_draws(structure, draws))
    rtol = 1e-9 if isinstance(structure.model, Decline) else 1e-5
    got = posterior.function().predictions(at[None], 1)
    assert_allclose(got, predicted, rtol=rtol, atol=rtol)
    expected = loglik_draws(structure, draws, predicted).sum("obs").to_numpy()[0]
    assert_allclose([reference(x)[2] for x in at], expected, rtol=rtol)


@EACH
def test_the_gradient_equals_central_differences(posteriors, name):
    """Step 1e-5: to 1e-6 of the largest slope; 1e-4 where the solver chooses other steps."""
    posterior = posteriors[name]
    function, h = posterior.function(), 1e-5
    for x in points(posterior):
        steps = h * np.eye(x.size)
        differences = [(function(x + s)[0] - function(x - s)[0]) / (2 * h) for s in steps]
        gradient = function(x)[1]
        rtol = 1e-6 if isinstance(posterior.structure.model, Decline) else 1e-4
        assert_allclose(gradient, differences, rtol=rtol, atol=rtol * np.abs(gradient).max())
