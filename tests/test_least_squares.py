"""Least squares: estimates, errors, profile intervals and two-stage populations."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from scipy.stats import norm

from cart_pkpd import data, fit, models
from cart_pkpd._core.errors import FitError, ModelError
from cart_pkpd._fit.two_stage import by_information, standard
from cart_pkpd._stats.design import design

MODEL = models.get("stein2019").with_(cmax={"typical": 5000})


class Line(models.ClosedFormModel):
    """Mono-exponential decline."""

    c0 = models.Positive(100.0, "copies/µg", "level at 0")
    k = models.Real(0.1, "1/day", "decline rate")

    def log_level(self, t, p):
        return models.math.log(p.c0) - p.k * t


def line(seed, c0=500.0, k=0.12):
    """Return 25 days and log-normal records about a mono-exponential decline."""
    t = np.linspace(1, 20, 25)
    noise = 0.3 * np.random.default_rng(seed).standard_normal(t.size)
    return t, np.exp(np.log(c0) - k * t + noise)


@pytest.fixture(scope="module")
def few(fast01) -> xr.Dataset:
    """The first ten patients of fast01: for six parameters most have too few records."""
    ids = fast01["id"].to_numpy()[:10]
    return fast01.isel(obs=np.isin(fast01["patient"].to_numpy(), ids), id=slice(10))


@pytest.fixture(scope="module")
def of_few(few) -> xr.Dataset:
    """Every parameter of every one of the few."""
    return fit.least_squares(MODEL, few)


def as_trial(patients, lloq=None) -> xr.Dataset:
    """Return a trial of one endpoint from days and levels by patient."""
    rows = [
        {
            "ID": i,
            "TIME": t,
            "DV": max(v, lloq or 0),
            "CENS": int(v < (lloq or 0)),
            "DVID": "transgene",
        }
        for i, (days, levels) in patients.items()
        for t, v in zip(days, levels, strict=True)
    ]
    return data.read_table(
        pd.DataFrame(rows), units={"transgene": "copies/µg"}, lloq=lloq, echo=False
    )


def noiseless(times, values) -> xr.Dataset:
    level = MODEL.simulate(times, **values)["transgene"].to_numpy()
    table = pd.DataFrame({"ID": "p1", "TIME": times, "DV": level, "DVID": "transgene"})
    return data.read_table(table, units={"transgene": "copies/µg"}, lloq=1e-6, echo=False)


def test_least_squares_recovers_noiseless_parameters():
    """Exact data of known parameters: estimates to 1e-4 relative."""
    values = {"cmax": 8000.0, "tmax": 8.3, "rho": 0.7, "alpha": 0.25, "fb": 0.03, "beta": 0.008}
    times = np.array([0.5, 1, 2, 4, 6, 8, 9, 10, 12, 15, 21, 28, 45, 60, 90, 180, 270, 365])
    found = fit.least_squares(MODEL, noiseless(times, values))
    assert "the records lie on the curve" in found["status"].item()
    for name, value in values.items():
        assert_allclose(float(found["estimate"].sel(parameter=name).item()), value, rtol=1e-4)


@pytest.mark.parametrize("error", ["lognormal", "proportional"])
def test_pooled_estimates_maximise_the_likelihood(fast01, error):
    """No nearby point is better: SciPy's Nelder–Mead over parameters and ln scatter.

    The likelihood is written out with scipy.stats here, not taken from the package.
    """
    found = fit.least_squares(MODEL, fast01, method="pooled", error=error)
    d = design(fast01, "transgene")
    names = [str(n) for n in found["parameter"].to_numpy()]
    supports = [MODEL.parameters[n] for n in names]
    below = d.code == 1

    def minus_loglik(free):
        values = {n: p.to_natural(v) for n, p, v in zip(names, supports, free[:-1], strict=True)}
        f, sigma = MODEL.log_predict(d.time, values), np.exp(free[-1])
        if error == "lognormal":
            z, scale = (np.log(d.dv) - f) / sigma, sigma * d.dv
        else:
            z, scale = (d.dv - np.exp(f)) / (sigma * np.exp(f)), sigma * np.exp(f)
        terms = np.where(below, norm.logcdf(z), norm.logpdf(z) - np.log(scale))
        return -terms.sum() if np.isfinite(terms).all() else 1e10

    estimates = found["estimate"].isel(id=0).to_numpy()
    at = [p.to_free(v) for p, v in zip(supports, estimates, strict=True)]
    at = np.array([*at, np.log(float(found["sigma"].item()))])
    assert_allclose(-minus_loglik(at), float(found["loglik"].item()), rtol=1e-9)
    searched = minimize(minus_loglik, at + 0.05, method="Nelder-Mead", options={"maxiter": 4000})
    # At the kink of the peak's time a single simplex ends 0.01 too early.
    assert minus_loglik(at) - searched.fun < 2e-3
    assert_allclose(float(found["aic"].item()), 2 * minus_loglik(at) + 14, rtol=1e-9)


def test_standard_errors_are_those_of_the_likelihood():
    """A straight line in ln: SE of intercept and slope from the normal equations (rtol 1 %).

    ln C = ln c0 − k t with normal errors: covariance sigma² (X'X)⁻¹ at the ML sigma.
    """

    t, dv = line(3)
    trial = as_trial({"p": (t, dv)})
    found = fit.least_squares(Line(), trial).isel(id=0)
    x = np.column_stack([np.ones_like(t), -t])
    beta, *_ = np.linalg.lstsq(x, np.log(dv), rcond=None)
    residuals = np.log(dv) - x @ beta
    sigma = np.sqrt(np.mean(residuals**2))
    se = np.sqrt(np.diag(sigma**2 * np.linalg.inv(x.T @ x)))
    assert_allclose(float(found["estimate"].sel(parameter="k")), beta[1], rtol=1e-3)
    assert_allclose(float(found["estimate"].sel(parameter="c0")), np.exp(beta[0]), rtol=1e-3)
    assert_allclose(float(found["sigma"]), sigma, rtol=1e-3)
    assert_allclose(float(found["stderr"].sel(parameter="k")), se[1], rtol=0.01)
    assert_allclose(float(found["stderr"].sel(parameter="c0")), np.exp(beta[0]) * se[0], rtol=0.01)


def test_one_patient_has_no_robust_standard_error():
    """Its slope is 0 at the maximum: the sandwich would say 0."""
    found = fit.least_squares(Line(), as_trial({"p": line(3)}), method="pooled")
    assert np.isfinite(found["stderr"]).all()
    assert np.isnan(found["stderr_robust"]).all()


def test_several_starts_find_the_better_optimum(fast01):
    """A patient's fit is beaten by no search from other points (SciPy, 40 random starts)."""
    from cart_pkpd._stats.error import error_model
    from cart_pkpd._stats.likelihood import pointwise_loglik

    names = ["cmax", "tmax", "rho", "alpha"]
    some = fast01.isel(obs=fast01["patient"].to_numpy() == "F01-002", id=[1])
    found = fit.least_squares(MODEL, some, estimate=names).isel(id=0)
    d = design(some, "transgene")

    class Own:
        dv, code, low, measure = d.dv, d.code, d.low, d.measure

    sigma = {"sigma_log": float(found["sigma"])}

    def minus_loglik(free):
        values = MODEL.typical() | {
            n: float(MODEL.parameters[n].to_natural(v)) for n, v in zip(names, free, strict=True)
        }
        f = np.clip(MODEL.log_predict(d.time, values), -200, 200)
        return -pointwise_loglik([error_model("lognormal")], Own(), f, [sigma]).sum()

    at = np.array(
        [MODEL.parameters[n].to_free(float(found["estimate"].sel(parameter=n))) for n in names]
    )
    rng = np.random.default_rng(8)
    best = min(
        minimize(minus_loglik, at + 0.7 * rng.standard_normal(4), method="Nelder-Mead").fun
        for _ in range(40)
    )
    assert minus_loglik(at) < best + 0.1


def test_too_few_records_give_a_reason_not_a_number(of_few):
    found = of_few
    reasons = found["status"].to_numpy().astype(str)
    few = np.array(["cannot determine" in r for r in reasons])
    assert few.any()
    assert not few.all()
    assert np.isnan(found["estimate"].to_numpy()[few]).all()
    fitted = np.array([r == "ok" for r in reasons])
    assert fitted.any()
    assert np.isfinite(found["stderr"].to_numpy()[fitted]).all()


def test_fewer_parameters_fit_more_patients(few, of_few):
    three = fit.least_squares(MODEL, few, estimate=["cmax", "tmax", "alpha"])
    count = [(r["status"].to_numpy().astype(str) == "ok").sum() for r in (of_few, three)]
    assert count[1] > count[0]
    assert three.sizes["parameter"] == 3


def test_wrong_choices_are_refused(fast01):
    with pytest.raises(FitError, match="Did you mean 'pooled'"):
        fit.least_squares(MODEL, fast01, method="poled")
    fixed = MODEL.with_(beta=models.Fixed(0.01))
    with pytest.raises(FitError, match="'beta' is fixed"):
        fit.least_squares(fixed, fast01, estimate=["cmax", "beta"])
    with pytest.raises(ModelError, match="no parameter 'cmx'"):
        fit.least_squares(MODEL, fast01, estimate=["cmx"])
    with pytest.raises(FitError, match="Did you mean 'profile'"):
        fit.least_squares(MODEL, fast01, interval="profil")
    with pytest.raises(FitError, match="Did you mean 'global'"):
        fit.two_stage(MODEL, fast01, method="globl")


# --- what the data do not tell -------------------------------------------------------------


def test_only_what_is_not_told_is_blamed():
    """Records over 8 days of a decline tell nothing of a second, much slower one."""

    class Two(models.ClosedFormModel):
        """Bi-exponential decline."""

        c0 = models.Positive(100.0, "copies/µg", "level at 0")
        k = models.Positive(0.1, "1/day", "fast rate")
        tail = models.Positive(1e-9, "1", "share of the slow part, times 1e6")
        slow = models.Positive(0.01, "1/day", "slow rate")

        def log_level(self, t, p):
            fast = models.math.log(p.c0) - p.k * t
            return models.math.logaddexp(fast, models.math.log(1e-6 * p.tail * p.c0) - p.slow * t)

    t, dv = line(5)
    found = fit.least_squares(Two(), as_trial({"p": (t, dv)})).isel(id=0)
    assert found["status"].item() == "fitted, but the data do not determine tail, slow"
    known = found["stderr"].sel(parameter=["c0", "k"]).to_numpy()
    x = np.column_stack([np.ones_like(t), -t])
    b, *_ = np.linalg.lstsq(x, np.log(dv), rcond=None)
    sigma = np.sqrt(np.mean((np.log(dv) - x @ b) ** 2))
    se = np.sqrt(np.diag(sigma**2 * np.linalg.inv(x.T @ x)))
    assert_allclose(known, se * np.exp([b[0], 0]), rtol=0.02)


@pytest.mark.parametrize("interval", ["wald", "profile"])
def test_records_on_the_curve_have_estimates_and_no_standard_errors(interval):
    """Exact levels: the parameters to 1e-5, and no number where only rounding is left."""
    t = np.linspace(1, 20, 9)
    exact = as_trial({"p": (t, 500.0 * np.exp(-0.12 * t))})
    found = fit.least_squares(Line(), exact, interval=interval).isel(id=0)
    assert_allclose(found["estimate"], [500.0, 0.12], rtol=1e-5)
    assert found["status"].item() == (
        "fitted, but the records lie on the curve, so that they have no standard errors"
    )
    assert np.isnan(found[["stderr", "lower", "upper"]].to_array()).all()


def test_patients_who_are_all_the_same_have_no_robust_standard_errors():
    """Their slopes are 0 each; what rounding leaves of them was told as an error of 1e-17."""
    t, dv = line(3)
    for levels in (dv, 500.0 * np.exp(-0.12 * t)):
        trial = as_trial({"a": (t, levels), "b": (t, levels)})
        found = fit.least_squares(Line(), trial, method="pooled").isel(id=0)
        assert np.isnan(found["stderr_robust"]).all()
        assert np.isfinite(found["stderr"]).all() == (levels is dv)


# --- pooled --------------------------------------------------------------------------------


def test_robust_errors_are_the_sandwich_of_the_normal_equations():
    """(X'X)⁻¹ Σᵢ Xᵢ' rᵢ rᵢ' Xᵢ (X'X)⁻¹ of ln levels by patient (Liang & Zeger 1986), rtol 1 %."""
    patients = {f"p{i}": line(i, c0=500.0 * np.exp(0.5 * (i - 3))) for i in range(7)}
    found = fit.least_squares(Line(), as_trial(patients), method="pooled").isel(id=0)
    xs = [np.column_stack([np.ones_like(t), -t]) for t, _ in patients.values()]
    ys = [np.log(dv) for _, dv in patients.values()]
    bread = np.linalg.inv(sum(x.T @ x for x in xs))
    b = bread @ sum(x.T @ y for x, y in zip(xs, ys, strict=True))
    scores = [x.T @ (y - x @ b) for x, y in zip(xs, ys, strict=True)]
    se = np.sqrt(np.diag(bread @ sum(np.outer(g, g) for g in scores) @ bread))
    assert_allclose(found["stderr_robust"].to_numpy(), se * [np.exp(b[0]), 1.0], rtol=0.01)
    assert float(found["stderr_robust"][0]) > 2 * float(found["stderr"][0])


# --- profiles ------------------------------------------------------------------------------


def test_profile_limits_of_a_line_are_those_of_the_likelihood_ratio():
    """A line with unknown scatter: n ln(1 + t²/(n − 2)) = 3.841, exactly (rtol 1e-3 of the width).

    t is the usual ratio with the unbiased scatter.
    """
    t, dv = line(3)
    found = fit.least_squares(Line(), as_trial({"p": (t, dv)}), interval="profile").isel(id=0)
    n, x = t.size, np.column_stack([np.ones_like(t), -t])
    b, rss, *_ = np.linalg.lstsq(x, np.log(dv), rcond=None)
    se = np.sqrt(np.diag(rss[0] / (n - 2) * np.linalg.inv(x.T @ x)))
    half = se * np.sqrt((n - 2) * (np.exp(3.841458820694124 / n) - 1))
    lower, upper = found["lower"].to_numpy(), found["upper"].to_numpy()
    assert_allclose([np.log(lower[0]), lower[1]], b - half, atol=1e-3 * half.min())
    assert_allclose([np.log(upper[0]), upper[1]], b + half, atol=1e-3 * half.min())
    assert found.attrs["interval"] == "95 % profile likelihood"


def test_profile_limits_with_censored_records_are_where_the_likelihood_falls():
    """On the limits −2 ln L, minimised by SciPy over the rest, is 3.841 above its least (±0.02)."""
    t, dv = line(8)
    lloq = 100.0
    trial = as_trial({"p": (t, dv)}, lloq=lloq)
    found = fit.least_squares(Line(), trial, interval="profile").isel(id=0)
    below = dv < lloq
    assert below.sum() > 5

    def minus2(intercept, k, ln_sigma):
        f, s = intercept - k * t, np.exp(ln_sigma)
        seen = norm.logpdf((np.log(dv) - f) / s) - ln_sigma - np.log(dv)
        hidden = norm.logcdf((np.log(lloq) - f) / s)
        return -2 * np.where(below, hidden, seen).sum()

    def least(k):
        best = minimize(
            lambda p: minus2(p[0], k, p[1]),
            [6.0, -1.0],
            method="Nelder-Mead",
            options={"xatol": 1e-8, "fatol": 1e-8},
        )
        return best.fun

    whole = minimize(lambda p: minus2(*p), [6.0, 0.1, -1.0], method="Nelder-Mead").fun
    for side in ("lower", "upper"):
        k = float(found[side].sel(parameter="k"))
        assert_allclose(least(k) - whole, 3.8415, atol=0.02)


def test_a_profile_without_end_has_the_edge_of_the_support(fast01):
    """F01-002 was followed until its slow decline was still flat: beta may be anything small."""
    some = fast01.isel(obs=np.flatnonzero(fast01["patient"].to_numpy() == "F01-002"), id=[1])
    found = fit.least_squares(MODEL, some, interval="profile").isel(id=0)
    assert found["status"].item() == "fitted, but the data do not determine beta"
    beta = found.sel(parameter="beta")
    assert float(beta["lower"]) == 0.0
    assert 0.01 < float(beta["upper"]) < 0.1
    others = found.drop_sel(parameter="beta")
    assert (others["lower"] < others["estimate"]).all()
    assert (others["upper"] > others["estimate"]).all()


# --- two stages ----------------------------------------------------------------------------


def test_the_standard_method_is_mean_and_covariance(rng):
    free = rng.standard_normal((20, 3))
    found = standard(free)
    assert_allclose(found.mean, free.mean(axis=0))
    assert_allclose(found.covariance, np.cov(free.T, ddof=1))
    assert_allclose(found.of_mean, np.cov(free.T, ddof=1) / 20)


def test_equal_information_is_taken_out_of_the_spread(rng):
    """With the same error covariance C for everyone the ML covariance is S − C (exact, 1e-5)."""
    c = np.array([[0.04, 0.01], [0.01, 0.02]])
    free = rng.standard_normal((400, 2)) @ np.array([[0.6, 0.2], [0.0, 0.5]])
    found = by_information(free, np.broadcast_to(np.linalg.inv(c), (400, 2, 2)))
    s = np.cov(free.T, ddof=0)
    assert_allclose(found.mean, free.mean(axis=0), atol=1e-6)
    assert_allclose(found.covariance, s - c, atol=1e-5)
    assert_allclose(found.of_mean, s / 400, rtol=1e-4)


def test_unequal_and_singular_information_maximises_the_likelihood(rng):
    """No normal is likelier, by SciPy: patients of whom one direction only is known included."""
    k = 30
    half = rng.standard_normal((k, 2, 2)) * 3
    half[::3, 1] = 0.0  # rank 1
    information = np.einsum("kij,kil->kjl", half, half)
    free = rng.standard_normal((k, 2)) + np.array([1.0, 2.0])
    found = by_information(free, information)

    def minus_loglik(p):
        root = np.array([[np.exp(p[2]), 0.0], [p[3], np.exp(p[4])]])
        omega, total = root @ root.T, 0.0
        for x, h in zip(free, half, strict=True):
            rows = h[np.abs(h).sum(axis=1) > 0]  # what is seen: rows @ x with unit errors
            v = rows @ omega @ rows.T + np.eye(len(rows))
            r = rows @ (x - p[:2])
            total += 0.5 * (r @ np.linalg.solve(v, r) + np.linalg.slogdet(v)[1])
        return total

    root = np.linalg.cholesky(found.covariance)
    at = np.array([*found.mean, np.log(root[0, 0]), root[1, 0], np.log(root[1, 1])])
    best = minimize(
        minus_loglik,
        at,
        method="Nelder-Mead",
        options={"maxiter": 4000, "xatol": 1e-9, "fatol": 1e-10},
    )
    assert_allclose(at, best.x, atol=2e-4)


def test_two_stages_recover_a_population():
    """24 patients about c0 = 500, k = 0.12 with SDs 0.4 and 0.03, correlation 0.5: within 3 SE."""
    rng = np.random.default_rng(12)
    draws = rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], size=24)
    patients = {
        f"p{i:02d}": line(100 + i, 500 * np.exp(0.4 * a), 0.12 + 0.03 * b)
        for i, (a, b) in enumerate(draws)
    }
    for method in ("global", "standard"):
        found = fit.two_stage(Line(), as_trial(patients), method=method)
        assert found["used"].all()
        for name, typical, omega in (("c0", 500.0, 0.4), ("k", 0.12, 0.03)):
            one = found.sel(parameter=name)
            assert abs(float(one["typical"]) - typical) < 3 * float(one["stderr"])
            # The standard error of a standard deviation of 24 is 15 %.
            assert abs(float(one["omega"]) / omega - 1) < 0.45
        assert 0.1 < float(found["correlation"].sel(parameter="c0", other="k")) < 0.85


def test_two_stages_say_who_was_not_used(few):
    found = fit.two_stage(MODEL, few, estimate=["cmax", "tmax", "alpha"])
    left = found["id"].to_numpy()[~found["used"].to_numpy()]
    assert left.size
    assert all("cannot determine" in s for s in found["status"].sel(id=left).to_numpy())
    assert np.isnan(found["individual"].sel(id=left)).all()
    sentence = "of 10 patients have records enough, and 6 parameters need 8"
    with pytest.raises(FitError, match=sentence):
        fit.two_stage(MODEL, few, method="standard")
