"""Residual errors with censoring, and the joining of model, population and data."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import integrate, stats

from cart_pkpd import data, fit, models
from cart_pkpd._core.errors import FitError
from cart_pkpd._stats import error as residual
from cart_pkpd._stats.design import ABOVE, BELOW, BETWEEN, QUANTIFIED, design
from cart_pkpd._stats.likelihood import pointwise_loglik
from cart_pkpd._stats.population import resolve
from cart_pkpd._stats.priors import HalfNormal, LogitNormal, LogNormal, Normal

# --- residual errors -----------------------------------------------------------------------

SIGMAS = {"sigma_log": 0.4, "sigma_prop": 0.3, "sigma_add": 15.0}
PREDICTION = 120.0


def scipy_error(name):
    """The distribution of a measurement on its natural scale, by SciPy."""
    log_prediction = np.log(PREDICTION)
    match name:
        case "lognormal":
            return stats.lognorm(s=0.4, scale=PREDICTION)
        case "additive":
            return stats.norm(PREDICTION, 15.0)
        case "proportional":
            return stats.norm(PREDICTION, 0.3 * PREDICTION)
        case "combined":
            return stats.norm(PREDICTION, np.hypot(15.0, 0.3 * PREDICTION))
    t = stats.t(4, loc=log_prediction, scale=0.4)

    class OfLog:
        def logpdf(self, x):
            return t.logpdf(np.log(x)) - np.log(x)

        def logcdf(self, x):
            return t.logcdf(np.log(x))

        def logsf(self, x):
            return t.logsf(np.log(x))

        def cdf(self, x):
            return t.cdf(np.log(x))

    return OfLog()


class Four:
    """One record of each censoring class."""

    dv = np.array([90.0, 50.0, 200.0, 130.0])
    low = np.array([np.nan, np.nan, np.nan, 110.0])
    code = np.array([QUANTIFIED, BELOW, ABOVE, BETWEEN])
    measure = np.zeros(4, dtype=int)


@pytest.mark.parametrize("name", list(residual.ERRORS))
def test_likelihood_of_every_censoring_class_equals_scipy(name):
    reference = scipy_error(name)
    error = residual.error_model(name)
    f = np.full(4, np.log(PREDICTION) if error.on_log else PREDICTION)
    got = pointwise_loglik([error], Four(), f, [SIGMAS])
    expected = [
        reference.logpdf(90.0),
        reference.logcdf(50.0),
        reference.logsf(200.0),
        np.log(reference.cdf(130.0) - reference.cdf(110.0)),
    ]
    assert_allclose(got, expected, rtol=1e-10)


@pytest.mark.parametrize("name", ["lognormal", "student_t"])
def test_quantified_density_integrates_to_one(name):
    error = residual.error_model(name)

    def density(dv):
        f = np.log(PREDICTION)
        return np.exp(residual.quantified_loglik(error, dv, f, SIGMAS))

    total = sum(
        integrate.quad(density, a, b, limit=200)[0]
        for a, b in [(0, 50), (50, 120), (120, 400), (400, 5000), (5000, np.inf)]
    )
    # The t's tail beyond the last quadrature interval is below 1e-4.
    assert_allclose(total, 1.0, atol=1e-4)


@pytest.mark.parametrize("base", [residual.NORMAL, residual.STUDENT_T4], ids=["normal", "t4"])
def test_tails_keep_their_digits_and_gradients(base):
    """log cdf against SciPy from -300 to 40, NumPy and PyTensor, and d/dz = pdf / cdf."""
    import pytensor
    import pytensor.tensor as pt

    z = np.array([-300.0, -40.0, -5.0, -1.0, -0.999, 0.0, 1.0, 5.0, 40.0])
    reference = stats.norm if base is residual.NORMAL else stats.t(4)
    x = pt.dvector()
    value = base.logcdf(x)
    compiled = pytensor.function([x], [value, pytensor.grad(value.sum(), x)], mode="FAST_COMPILE")
    symbolic, gradient = compiled(z)
    assert_allclose(base.logcdf(z), reference.logcdf(z), rtol=1e-9, atol=1e-15)
    assert_allclose(symbolic, reference.logcdf(z), rtol=1e-9, atol=1e-15)
    expected = np.exp(reference.logpdf(z) - reference.logcdf(z))
    assert_allclose(gradient, expected, rtol=1e-8, atol=1e-300)


@given(st.floats(-8, 8), st.floats(1e-6, 4))
def test_interval_probability_is_the_difference_of_tails(a, width):
    """Against SciPy's cdf or sf, whichever keeps the digits; rtol 1e-6 for narrow intervals."""
    error = residual.error_model("additive")
    got = residual.between_loglik(error, a, a + width, 0.0, {"sigma_add": 1.0})
    b = a + width
    difference = (
        stats.norm.cdf(b) - stats.norm.cdf(a) if b < 0 else stats.norm.sf(a) - stats.norm.sf(b)
    )
    assert_allclose(np.exp(got), difference, rtol=1e-6)


def test_an_unknown_error_names_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'lognormal'"):
        residual.error_model("lognorml")


# --- design --------------------------------------------------------------------------------

TABLE = """ID,TIME,DV,DVID,AMT,EVID,CENS,LLOQ,SEX,BURDEN,SITE
b,0,.,dose,1e7,1,0,.,F,40,x
b,-1,60,transgene,.,0,0,50,F,40,x
b,3,70,transgene,.,0,0,50,F,40,x
b,30,.,dose,1e7,1,0,.,F,40,x
b,31,80,transgene,.,0,0,50,F,40,x
a,0,.,dose,3e7,1,0,.,M,90,y
a,7,50,transgene,.,0,1,50,M,90,y
a,14,900,transgene,.,0,0,50,M,90,y
c,0,.,dose,3e7,1,0,.,M,.,y
c,2,12,il6,.,0,0,.,M,.,y
d,0,.,dose,1e6,1,0,.,F,10,x
d,5,400,transgene,.,0,0,50,F,10,x
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> xr.Dataset:
    path = tmp_path_factory.mktemp("small") / "small.csv"
    path.write_text(TABLE, encoding="utf-8")
    return data.read_table(path, sort=True, echo=False)


def test_design_keeps_one_infusion_and_lists_the_rest(small):
    d = design(small, "transgene")
    assert d.ids.tolist() == ["b", "a", "d"]
    assert d.ids[d.patient].tolist() == ["b", "a", "a", "d"]
    assert d.time.tolist() == [3.0, 7.0, 14.0, 5.0]
    assert d.code.tolist() == [QUANTIFIED, BELOW, QUANTIFIED, QUANTIFIED]
    assert {(e.patient, e.reason) for e in d.exclusions} == {
        ("b", "before the infusion"),
        ("b", "after a second infusion"),
        ("c", "no record of transgene to fit"),
    }
    assert d.unit == "copies/µg"


def test_nothing_left_to_fit_is_said(small):
    early = small.isel(obs=np.flatnonzero(small["time"].to_numpy() < 0))
    with pytest.raises(FitError, match="no record of 'transgene' at or after the infusion"):
        design(early, "transgene")


# --- population ----------------------------------------------------------------------------


def structure(trial, model=None, **options):
    return resolve(
        model or models.get("stein2019"), fit.population(**options), design(trial, "transgene")
    )


def test_quantities_and_priors_come_from_the_declaration(small):
    s = structure(small, iiv=["cmax", "tmax"], non_expanders=True)
    assert [q.name for q in s.quantities] == [
        "cmax", "tmax", "rho", "alpha", "fb", "beta", "omega_cmax", "omega_tmax",
        "p_non_expander", "non_expander_shift", "sigma_log",
    ]  # fmt: skip
    assert s.quantity("cmax").prior == LogNormal(24_000, 1.0)
    assert s.quantity("fb").prior == LogitNormal(0.0079, 1.0)
    # A half-normal whose median is the published omega: Phi^-1(0.75) = 0.6745.
    assert_allclose(s.quantity("omega_cmax").prior.quantile(0.5), 0.65)


def test_covariates_become_columns_with_a_stated_reference(small):
    s = structure(small, iiv=["cmax"], covariates={"cmax": ["burden", "sex"], "tmax": "dose_level"})
    by_name = {e.name: e for e in s.effects}
    assert set(by_name) == {"cmax_burden", "cmax_sex_M", "tmax_dose_level"}
    burden = by_name["cmax_burden"]
    assert (burden.kind, burden.reference) == ("power", 40.0)
    assert_allclose(burden.column, np.log(np.array([40.0, 90.0, 10.0]) / 40.0))
    assert by_name["cmax_sex_M"].column.tolist() == [0.0, 1.0, 0.0]
    assert by_name["cmax_sex_M"].reference == "F"
    assert "shift if M instead of F" in s.quantity("beta_cmax_sex_M").label


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"iiv": ["cmx"]}, "no parameter 'cmx'. Did you mean 'cmax'"),
        ({"iiv": ["cmax", "cmax"]}, "names a parameter twice"),
        ({"covariates": {"cmax": ["burdn"]}}, "no patient-level variable 'burdn'. Did you mean"),
        ({"covariates": {"cmx": ["burden"]}}, "no parameter 'cmx'"),
        ({"iiv": ["tmax"], "non_expanders": True}, "'cmax' must vary between patients"),
        ({"error": "lognorml"}, "Did you mean 'lognormal'"),
        ({"error": "additive", "errors": {"transgene": "additive"}}, "either error= or errors="),
        ({"censoring": "m9"}, "unknown censoring method 'm9'"),
        ({"priors": {"cmx": Normal(0, 1)}}, "no quantity 'cmx'"),
        ({"iiv": ["cmax"], "centred": ["tmax"]}, "centred: 'tmax' has no"),
    ],
)
def test_what_does_not_fit_together_is_refused(small, options, words):
    with pytest.raises(FitError, match=words):
        structure(small, **options)


def test_a_fixed_parameter_cannot_vary(small):
    model = models.get("stein2019").with_(beta=models.Fixed(0.01))
    with pytest.raises(FitError, match="'beta' is fixed"):
        structure(small, model, iiv=["beta"])


def test_a_model_in_another_unit_is_refused(small):
    model = models.get("stein2019").with_(cmax={"typical": 300, "unit": "cells/µL"})
    with pytest.raises(
        FitError, match="measured in copies/µg but cmax of the model is in cells/µL"
    ):
        structure(small, model, iiv=["cmax"])


def test_a_zero_has_no_logarithm_and_its_place_is_named(small):
    zero = small.copy(deep=True)
    zero["dv"][np.flatnonzero(zero["time"].to_numpy() == 14.0)[0]] = 0.0
    with pytest.raises(FitError, match=r"patient 'a' is 0 at day 14 \(row \d+\).*Give the LLOQ"):
        structure(zero, iiv=["cmax"])
    assert structure(zero, iiv=["cmax"], error="additive").error.name == "additive"


# --- agreement -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "prior", "words"),
    [
        ("omega_cmax", Normal(0.0, 1.0), "omega_cmax is above 0, so use LogNormal, HalfNormal"),
        ("cmax", Normal(1000.0, 3000.0), "cmax is above 0"),
        ("fb", LogNormal(0.5, 1.0), "fb is between 0 and 1, so use LogitNormal, Beta"),
        ("sigma_log", Normal(0.5, 0.1), "sigma_log is above 0"),
    ],
)
def test_a_prior_outside_the_support_is_refused(small, name, prior, words):
    with pytest.raises(FitError, match=words):
        structure(small, iiv=["cmax"], priors={name: prior})


@pytest.mark.filterwarnings("ignore:1 of 6 records after a second infusion")
def test_every_level_and_time_must_be_in_the_units_of_the_data(small):
    class Mine(models.ClosedFormModel):
        """Decline from a level."""

        c0 = models.Positive(100.0, "copies/µg", "level")
        k = models.Positive(0.1, "1/day", "rate")

        def log_level(self, t, p):
            return models.math.log(p.c0) - p.k * t

    assert structure(small, Mine(), iiv=["c0"]).model.parameters["c0"].unit == "copies/µg"
    with pytest.raises(FitError, match="c0 of the model is in cells/µL"):
        structure(small, Mine().with_(c0={"unit": "cells/µL"}))
    with pytest.raises(FitError, match="k of the model is in 1/h, but times are in days"):
        structure(small, Mine().with_(k={"unit": "1/h"}))
    with pytest.raises(FitError, match="k of the model is in 1/h"):
        fit.least_squares(Mine().with_(k={"unit": "1/h"}), small)


def test_one_name_is_not_four_letters():
    assert fit.population(iiv="cmax").iiv == ("cmax",)


def test_what_is_fitted_is_said(small):
    model = models.get("stein2019").with_(beta=models.Fixed(0.01))
    said = structure(
        model=model, trial=small, iiv=["cmax"], error="combined", covariates={"cmax": "burden"},
        priors={"omega_cmax": HalfNormal(2.0)},
    ).sentence()  # fmt: skip
    for words in (
        "additive and proportional error",
        "varying between patients: cmax",
        "burden on cmax (power)",
        "beta = 0.01 1/day",
        "omega_cmax HalfNormal(sigma=2)",
    ):
        assert words in said


DOSES = """ID,TIME,DV,DVID,AMT,EVID,CENS,LIMIT
a,0,.,dose,1e7,1,0,.
a,1,.,dose,1e7,1,0,.
a,2,.,dose,1e7,1,0,.
a,3,50,transgene,.,0,1,0
a,9,900,transgene,.,0,0,.
a,12,300,transgene,.,0,1,100
a,40,.,dose,1e7,1,0,.
a,41,90,transgene,.,0,0,.
"""


def test_fractions_are_one_infusion_and_limits_reach_every_record(tmp_path):
    """Doses on days 0, 1, 2 are one infusion, day 40 the second; LIMIT 0 is plain censoring."""
    path = tmp_path / "doses.csv"
    path.write_text(DOSES, encoding="utf-8")
    d = design(data.read_table(path, echo=False), "transgene")
    assert d.time.tolist() == [3.0, 9.0, 12.0]
    assert d.code.tolist() == [BELOW, QUANTIFIED, BETWEEN]
    assert d.low.tolist()[2] == 100.0
    assert [e.reason for e in d.exclusions] == ["after a second infusion"]
    assert np.isfinite(d.lloq).all()


@pytest.mark.parametrize("error", ["lognormal", "proportional", "combined"])
def test_the_samplers_likelihood_is_that_of_arrays(small, error):
    """The sum over records, PyMC's operation against NumPy, at PyMC's own starting point."""
    from pytensor.compile.mode import Mode

    from cart_pkpd._fit.pymc_model import build
    from cart_pkpd._stats.predict import predict

    model = models.get("stein2019").with_(
        **{k: models.Fixed(v) for k, v in models.get("stein2019").typical().items() if k != "cmax"}
    )
    s = structure(small, model, error=error)
    sampled = build(s, ())
    terms = sampled.replace_rvs_by_values(sampled.potentials)
    point = sampled.initial_point()
    mode = Mode(linker="py", optimizer="fast_compile")  # the operation is compiled as it is
    (got,) = sampled.compile_fn(terms, mode=mode, on_unused_input="ignore")(point)
    natural = {k.removesuffix("_log__"): np.exp(v) for k, v in point.items() if "sigma" in k}
    f = predict(model, s.design, {"cmax": np.exp(point["typical"][0])}, log=s.log)
    expected = pointwise_loglik(s.errors, s.design, f, s.sigmas(natural)).sum()
    assert_allclose(got, expected, rtol=1e-9)
