"""Patients left out: integrals over the etas, importance sampling over draws, exact refits."""

import dataclasses

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from scipy import stats
from scipy.special import logsumexp
from test_comparison import stacked

from cart_pkpd import checks, compare, data, fit, models, plots
from cart_pkpd._checks.leave_out import psis
from cart_pkpd._checks.marginal import marginal, proposals, sampled
from cart_pkpd._core.errors import DataError, FitError
from cart_pkpd._fit.laplace import fit_structure
from cart_pkpd._fit.result import FitResult
from cart_pkpd._fit.verdict import Verdict
from cart_pkpd._stats.design import ABOVE, BELOW, BETWEEN, QUANTIFIED, design_for
from cart_pkpd._stats.population import Structure, resolve

CONVERGED = Verdict(True, "Converged: made up.", 1.0, "", 1e4, 1e4, 0, 1.0, 0.0)
CHAINS, DRAWS = 4, 500


class Line(models.ClosedFormModel):
    """The ln of the level is a straight line: ln c0 - k t, linear in both free parameters."""

    c0 = models.Positive(1000.0, "copies/µg", "level on day 0")
    k = models.Real(0.1, "1/day", "decline rate")

    def log_level(self, t, p):
        return models.math.log(p.c0) - p.k * t


def table(rows) -> str:
    """Return a table with a patient each row of (name, weight, times, values)."""
    out = ["ID,TIME,DV,DVID,AMT,EVID,WEIGHT"]
    for name, weight, times, values in rows:
        out.append(f"{name},0,.,dose,1e6,1,{weight}")
        out += [
            f"{name},{t},{v},transgene,.,0,{weight}" for t, v in zip(times, values, strict=True)
        ]
    return "\n".join(out) + "\n"


def read(rows, folder) -> xr.Dataset:
    path = folder / "line.csv"
    path.write_text(table(rows), encoding="utf-8")
    return data.read_table(path, units={"transgene": "copies/µg"}, echo=False)


def made(structure: Structure, posterior: dict) -> FitResult:
    """Return a result with draws given as arrays: (draws,) or (draws, k)."""
    shape = (CHAINS, -1)
    variables = {}
    for name, values in posterior.items():
        array = np.asarray(values, dtype=float)
        dims = ("chain", "draw", "id")[: array.ndim + 1]
        variables[name] = (dims, array.reshape(*shape, *array.shape[1:]))
    draws = xr.Dataset(variables, coords={"id": structure.design.ids})
    draws = draws.assign_coords(chain=range(CHAINS), draw=range(draws.sizes["draw"]))
    tree = xr.DataTree.from_dict({"posterior": draws})
    seconds = {"compile_seconds": 0.0, "sample_seconds": 0.0}
    return FitResult("line", structure, tree, CONVERGED, seconds)


# --- a linear normal model: everything is known ----------------------------------------------

SIGMA, OMEGA, RATE = 0.3, np.array([0.6, 0.04]), 0.1
PRIOR_MEAN, PRIOR_SD = np.log(1000.0), 1.0
TIMES = (1, 3, 7, 14, 21)


def parts(structure, i):
    """Return ln y, its slope by (ln c0, k), and its covariance given the population."""
    d = structure.design
    rows = d.patient == i
    h = np.column_stack([np.ones(rows.sum()), -d.time[rows]])
    return np.log(d.dv[rows]), h, (h * OMEGA**2) @ h.T + SIGMA**2 * np.eye(rows.sum())


def mean_posterior(structure, patients):
    """Return mean and variance of the typical ln c0 given some patients; conjugate."""
    precision, said = PRIOR_SD**-2, PRIOR_MEAN * PRIOR_SD**-2
    for i in patients:
        y, h, v = parts(structure, i)
        precision += h[:, 0] @ np.linalg.solve(v, h[:, 0])
        said += h[:, 0] @ np.linalg.solve(v, y - h[:, 1] * RATE)
    return said / precision, 1 / precision


def conjugate(structure: Structure, seed: int) -> FitResult:
    """Return the fit by independent draws from the exact posterior."""
    rng, k, size = np.random.default_rng(seed), structure.design.n_patients, CHAINS * DRAWS
    mean, variance = mean_posterior(structure, range(k))
    mu = mean + np.sqrt(variance) * rng.standard_normal(size)
    x = np.empty((size, k, 2))
    for i in range(k):
        y, h, v = parts(structure, i)
        gain = (OMEGA**2)[:, None] * np.linalg.solve(v, h).T
        centre = np.column_stack([mu, np.full(size, RATE)])
        covariance = np.diag(OMEGA**2) - gain @ h * OMEGA**2
        noise = rng.multivariate_normal(np.zeros(2), covariance, size)
        x[:, i] = centre + (y - centre @ h.T) @ gain.T + noise
    one = np.ones(size)
    return made(
        structure,
        {
            "c0": np.exp(mu), "k": RATE * one, "omega_c0": OMEGA[0] * one,
            "omega_k": OMEGA[1] * one, "sigma_log": SIGMA * one,
            "c0_i": np.exp(x[..., 0]), "k_i": x[..., 1],
        },
    )  # fmt: skip


def left_out(structure: Structure) -> np.ndarray:
    """Return ln p(y_i | y of the others), multivariate normal on ln y."""
    out = []
    k = structure.design.n_patients
    for i in range(k):
        y, h, v = parts(structure, i)
        mean, variance = mean_posterior(structure, [j for j in range(k) if j != i])
        v = v + variance * np.outer(h[:, 0], h[:, 0])
        out.append(stats.multivariate_normal.logpdf(y, h @ [mean, RATE], v) - y.sum())
    return np.array(out)


@pytest.fixture(scope="module")
def linear(tmp_path_factory) -> FitResult:
    rng = np.random.default_rng(5)
    rows = []
    for i in range(8):
        times = TIMES[: 2 + i % 4]
        own = [np.log(1500.0), RATE] + OMEGA * rng.standard_normal(2)
        ln = own[0] - own[1] * np.array(times) + SIGMA * rng.standard_normal(len(times))
        rows.append((f"p{i}", 70, times, np.exp(ln).tolist()))
    trial = read(rows, tmp_path_factory.mktemp("linear"))
    structure = resolve(
        Line(), fit.population(iiv=["c0", "k"]), design_for(Line(), trial, "transgene")
    )
    return conjugate(structure, 1)


def test_the_integral_is_the_normal_density(linear):
    """Against the closed form: within 5 standard errors, which are of the right size (RMS 1)."""
    s = linear.structure
    few = sampled(linear.draws().isel(draw=slice(0, 50)))
    found = marginal(s, few, proposals(linear), n_samples=200, seed=3)
    mu = np.log(few["c0"].to_numpy())
    exact = np.empty(found.loglik.shape)
    for i in range(s.design.n_patients):
        y, h, v = parts(s, i)
        shifted = y - mu[:, None] - h[:, 1] * RATE
        exact[:, i] = stats.multivariate_normal.logpdf(shifted, cov=v) - y.sum()
    z = (found.loglik - exact) / found.error
    assert found.error.max() < 0.06
    assert np.abs(z).max() < 5
    assert 0.9 < np.sqrt((z**2).mean()) < 1.1
    # The normal posterior is met by a t with 5 degrees of freedom and 15 % of prior.
    assert found.ess.min() > 100


def test_patients_left_out_agree_with_the_exact_predictive(linear):
    loo = checks.leave_one_patient_out(linear, seed=2, n_draws=2000)
    exact = left_out(linear.structure)
    assert float(loo["mcse"].max()) < 0.05
    assert_allclose(loo["elpd"], exact, atol=4 * float(loo["mcse"].max()))
    assert (np.abs(loo["elpd"] - exact) < 4 * loo["mcse"]).all()
    assert abs(loo.attrs["elpd"] - exact.sum()) < 4 * loo.attrs["mcse"]
    assert_allclose(loo.attrs["se"], np.sqrt(8) * exact.std(ddof=1), rtol=0.05)
    assert loo.attrs["reliable"]
    assert loo.attrs["sentence"].startswith("Reliable: Pareto k at most")
    assert (loo["reason"] == "").all()


def test_monte_carlo_errors_are_of_the_right_size(linear):
    """Twelve independent posteriors: the sum scatters around the exact one as its mcse says."""
    exact = left_out(linear.structure).sum()
    z = []
    for seed in range(12):
        loo = checks.leave_one_patient_out(conjugate(linear.structure, seed), n_draws=600)
        z.append((loo.attrs["elpd"] - exact) / loo.attrs["mcse"])
    # chi-square with 12 degrees of freedom, 0.1 % and 99.9 %
    assert 2.2 < np.square(z).sum() < 32.9


def test_the_seed_decides(linear):
    one, same, other = (checks.leave_one_patient_out(linear, seed=s, n_draws=60) for s in (1, 1, 2))
    assert one.equals(same)
    assert not np.allclose(one["elpd"], other["elpd"], rtol=1e-12)


def test_conditional_likelihoods_are_refused_with_the_reason(linear):
    with pytest.raises(FitError, match="cannot leave a patient out"):
        checks.leave_one_patient_out(linear, likelihood="conditional")
    with pytest.raises(FitError, match="likelihood"):
        checks.leave_one_patient_out(linear, likelihood="other")


def test_few_draws_are_refused(linear):
    with pytest.raises(FitError, match="40 draws are too few"):
        checks.leave_one_patient_out(linear, n_draws=40)


def test_progress_is_told(linear):
    told = []
    checks.leave_one_patient_out(linear, n_draws=60, progress=told.append)
    assert (told[-1].stage, told[-1].done, told[-1].total) == ("integrating", 8, 8)


# --- one eta, censored records and non-expanders: quadrature -----------------------------------


T4 = stats.t(4)


def gauss_hermite(loglik, centre, omega, nodes=80):
    """Return ln of the integral of exp(loglik(x)) under N(centre, omega²)."""
    z, w = np.polynomial.hermite_e.hermegauss(nodes)
    with np.errstate(divide="ignore"):
        log_w = np.log(w / np.sqrt(2 * np.pi))
    return logsumexp(log_w + loglik(centre + omega * z))


def by_hand(structure, i, x, rate, sigma, base):
    """Return ln p(records | ln c0 = x), from the definition of M3."""
    d = structure.design
    out = 0.0
    for r in np.flatnonzero(d.patient == i):
        f, dv = x - rate * d.time[r], d.dv[r]
        z = (np.log(dv) - f) / sigma
        if d.code[r] == QUANTIFIED:
            out += base.logpdf(z) - np.log(sigma * dv)
        elif d.code[r] == BELOW:
            out += base.logcdf(z)
        elif d.code[r] == ABOVE:
            out += base.logsf(z)
        else:
            with np.errstate(divide="ignore"):  # far away the probability is 0
                out += np.log(base.cdf(z) - base.cdf((np.log(d.low[r]) - f) / sigma))
    return out


def censored(trial, error, mixture) -> FitResult:
    """Return a fit with draws of a made-up population, and of etas given each of them."""
    options = {"non_expanders": "c0"} if mixture else {}
    pop = fit.population(iiv=["c0"], error=error, covariates={"c0": ["weight"]}, **options)
    structure = resolve(Line(), pop, design_for(Line(), trial, "transgene"))
    d, rng, size = structure.design, np.random.default_rng(8), 200
    q = {
        "c0": 1000 * np.exp(0.3 * rng.standard_normal(size)),
        "k": 0.1 + 0.01 * rng.standard_normal(size),
        "omega_c0": 0.8 * np.exp(0.2 * rng.standard_normal(size)),
        "beta_c0_weight": 0.7 + 0.2 * rng.standard_normal(size),
        "sigma_log": 0.5 * np.exp(0.1 * rng.standard_normal(size)),
    }
    if mixture:
        q["p_non_expander"] = rng.beta(4, 8, size)
        q["non_expander_shift"] = 4 * np.exp(0.1 * rng.standard_normal(size))
    base = T4 if error == "student_t" else stats.norm
    grid = np.linspace(-5, 12, 171)
    x = np.empty((size, d.n_patients))
    for s in range(size):
        for i, (u, log_prior) in enumerate(priors(structure, q, s, grid)):
            ll = by_hand(structure, i, grid, q["k"][s], q["sigma_log"][s], base)
            p = np.exp(ll + log_prior - (ll + log_prior).max())
            x[s, i] = rng.choice(grid, p=p / p.sum()) + rng.uniform(-0.05, 0.05)
            assert u is not None
    return made(structure, {**q, "c0_i": np.exp(x), "k_i": np.tile(q["k"][:, None], d.n_patients)})


def priors(structure, q, s, grid):
    """Return each patient's centre at a draw, and ln prior density on the grid."""
    column = structure.effects[0].column
    for centre in np.log(q["c0"][s]) + q["beta_c0_weight"][s] * column:
        density = stats.norm.pdf(grid, centre, q["omega_c0"][s])
        if "p_non_expander" in q:
            lower = stats.norm.pdf(grid, centre - q["non_expander_shift"][s], q["omega_c0"][s])
            share = q["p_non_expander"][s]
            density = (1 - share) * density + share * lower
        yield centre, np.log(density + 1e-300)


@pytest.fixture(scope="module")
def limits(tmp_path_factory) -> xr.Dataset:
    """Two ordinary patients, one below the LLOQ almost throughout, one above the ULOQ at first."""
    rows = [
        ("a", 60, (1, 7, 14, 28), [900, 500, 300, "<100"]),
        ("b", 90, (1, 7, 14, 28), ["<100", "<100", "<100", "<100"]),
        ("c", 75, (1, 7, 14, 28), [">5000", 4500, 2000, 600]),
        ("d", 70, (1, 7), ["<100", 130]),
        ("e", 80, (3,), ["<100"]),
    ]
    trial = read(rows, tmp_path_factory.mktemp("limits"))
    # One record known to an interval, which tables say otherwise than by a sign.
    last = np.flatnonzero((trial["patient"] == "a") & (trial["time"] == 28))
    censoring, limit = trial["censoring"].to_numpy().astype("<U8"), trial["limit"].to_numpy().copy()
    censoring[last], limit[last] = "interval", 10.0
    return trial.assign(censoring=("obs", censoring), limit=("obs", limit))


@pytest.mark.parametrize(
    ("error", "mixture"), [("lognormal", False), ("student_t", False), ("lognormal", True)]
)
def test_one_eta_against_quadrature(limits, error, mixture):
    """80-node Gauss-Hermite with limits, an interval, a covariate and non-expanders.

    Within 5 standard errors at 20 draws, errors of the right size; a thousand points.
    """
    result = censored(limits, error, mixture)
    s = result.structure
    assert {QUANTIFIED, BELOW, ABOVE, BETWEEN} == set(s.design.code.tolist())
    few = sampled(result.draws().isel(draw=slice(0, 5)))
    found = marginal(s, few, proposals(result), n_samples=1000, seed=4)
    base = T4 if error == "student_t" else stats.norm
    q = {str(k): v.to_numpy() for k, v in few.data_vars.items()}
    exact = np.empty(found.loglik.shape)
    for draw in range(exact.shape[0]):
        for i, (centre, _) in enumerate(priors(s, q, draw, np.zeros(1))):

            def own(x, i=i, draw=draw):
                return by_hand(s, i, x, q["k"][draw], q["sigma_log"][draw], base)

            exact[draw, i] = gauss_hermite(own, centre, q["omega_c0"][draw])
            if mixture:
                share, shift = q["p_non_expander"][draw], q["non_expander_shift"][draw]
                lower = gauss_hermite(own, centre - shift, q["omega_c0"][draw])
                exact[draw, i] = np.logaddexp(
                    np.log1p(-share) + exact[draw, i], np.log(share) + lower
                )
    z = (found.loglik - exact) / found.error
    assert found.error.max() < 0.05
    assert np.abs(z).max() < 5
    assert 0.8 < np.sqrt((z**2).mean()) < 1.2
    assert found.ess.min() > 250


def test_without_etas_the_likelihood_is_that_of_the_records(limits):
    pop = fit.population()
    structure = resolve(Line(), pop, design_for(Line(), limits, "transgene"))
    rng = np.random.default_rng(1)
    q = {"c0": 1000 * np.exp(0.1 * rng.standard_normal(400)), "k": np.full(400, 0.1)}
    q["sigma_log"] = np.full(400, 0.5)
    each = {f"{n}_i": np.tile(q[n][:, None], structure.design.n_patients) for n in ("c0", "k")}
    loo = checks.leave_one_patient_out(made(structure, q | each))
    ln = np.log(q["c0"]).reshape(CHAINS, -1)
    exact = by_hand(structure, 0, ln[1, 7], 0.1, 0.5, stats.norm)
    assert_allclose(float(loo["loglik"].isel(chain=1, draw=7, id=0)), exact, rtol=1e-10)
    assert (loo["inner_mcse"] == 0).all()
    assert "integral" not in loo.attrs["sentence"]


# --- verdicts ---------------------------------------------------------------------------------


def test_few_points_are_made_more_and_else_said(linear):
    """Proposals far off leave few effective points: first more points, then a reason."""
    posterior = linear.posterior.copy(deep=True)
    posterior["c0_i"][..., 2] *= 20
    off = dataclasses.replace(linear, tree=xr.DataTree.from_dict({"posterior": posterior}))
    loo = checks.leave_one_patient_out(off, n_draws=100, n_samples=20)
    assert loo["points"].sel(id="p2") > 20
    with pytest.raises(FitError, match="too few points"):
        checks.leave_one_patient_out(linear, n_samples=9)
    tiny = checks.leave_one_patient_out(off, n_draws=100, n_samples=10)
    assert "raise n_samples" in str(tiny["reason"].sel(id="p2").item())
    assert not tiny.attrs["reliable"]
    assert "effective points in the integral" in tiny.attrs["sentence"]


def test_large_pareto_k_is_said(linear):
    """Patients a hundred residual SDs away determine the population alone."""
    d = linear.structure.design
    dv = np.where(d.patient == 0, d.dv * 1e4, d.dv)
    moved = dataclasses.replace(linear.structure, design=dataclasses.replace(d, dv=dv))
    loo = checks.leave_one_patient_out(conjugate(moved, 1), n_draws=600)
    assert float(loo["pareto_k"].sel(id="p0")) > loo.attrs["good_k"]
    assert "posterior lies too far" in str(loo["reason"].sel(id="p0").item())
    assert "Pareto k above" in loo.attrs["sentence"]
    assert loo.attrs["reliable"] == 0


# --- ranking ----------------------------------------------------------------------------------


def without_k(result: FitResult, seed: int = 1) -> FitResult:
    """Return the same records with a wrong decline rate that does not vary."""
    posterior = result.posterior.copy(deep=True)
    s = resolve(Line(), fit.population(iiv=["c0"]), result.structure.design)
    posterior = posterior.drop_vars("omega_k").assign(k=posterior["k"] * 1.5)
    posterior["k_i"] = posterior["k_i"] * 0 + 1.5 * RATE
    return dataclasses.replace(
        result, structure=s, tree=xr.DataTree.from_dict({"posterior": posterior})
    )


def test_ranking_by_patient(linear):
    fits = {"poor": without_k(linear), "good": linear}
    found = compare.patients(fits, n_draws=600)
    ranked = compare.models(fits, patients=found)
    assert ranked.index.tolist() == ["good", "poor"]
    assert ranked["rank"].tolist() == [1, 2]
    assert ranked.attrs["by"] == "patient"
    difference = (found["elpd"].sel(fit="poor") - found["elpd"].sel(fit="good")).to_numpy()
    assert_allclose(abs(ranked.loc["poor", "elpd_diff"]), abs(difference.sum()), rtol=1e-9)
    assert difference.sum() < 0
    # SE of a sum of paired differences over 8 patients; ArviZ divides by n.
    assert_allclose(ranked.loc["poor", "dse"], np.sqrt(8) * difference.std(), rtol=1e-9)
    best, _ = stacked(found["elpd"].sel(fit=ranked.index).transpose("id", "fit").to_numpy())
    assert_allclose(ranked["weight"], best, atol=1e-3)
    assert ranked["n_patients"].tolist() == [8, 8]
    assert ranked.loc["good", "note"].startswith("Reliable")
    again = compare.models(fits, n_draws=600, exposure=False)
    assert_allclose(again["elpd"], ranked["elpd"], rtol=1e-12)
    assert ranked.kinds == ("bayes",)
    assert ranked.sentence.startswith("'good' predicts a new patient best; the elpd of 'poor' is")
    assert "With 8 patients the standard error is itself uncertain" in ranked.sentence
    assert_allclose(ranked.loc["good", "pareto_k_max"], found["pareto_k"].sel(fit="good").max())
    assert_allclose(ranked["inner_ess_min"], found["inner_ess"].min("id").sel(fit=ranked.index))
    assert ranked["cmax_coverage"].between(0, 1).all()


def test_bayes_and_likelihood_have_a_ranking_each(linear):
    likely = fit_structure(
        linear.structure, label="line", source={}, method="foce", starts=1, seed=1, iterations=50
    )
    found = compare.models({"likely": likely, "draws": linear}, n_draws=60, exposure=False)
    assert found.index.tolist() == ["draws", "likely"]
    assert found["rank"].tolist() == [1, 1]
    assert np.isnan(found.loc["likely", "elpd"])
    assert np.isnan(found.loc["draws", "bic"])
    assert "Bayesian fits: only 'draws'" in found.sentence
    assert "Likelihood fits: only 'likely'" in found.sentence
    assert "ofv" not in found.block("bayes")


def test_unconverged_fits_have_no_rank_by_patient(linear):
    bad = dataclasses.replace(
        linear, verdict=dataclasses.replace(CONVERGED, ok=False, sentence="Not converged: x.")
    )
    ranked = compare.models({"bad": bad, "good": linear}, n_draws=100)
    assert ranked.index.tolist() == ["good", "bad"]
    assert np.isnan(ranked.loc["bad", ["rank", "elpd", "mcse"]].astype(float)).all()
    assert "did not converge" in ranked.loc["bad", "note"]
    assert not ranked.loc["bad", "reliable"]
    assert compare.patients({"bad": bad, "good": linear}, n_draws=60).attrs["left_out"] == "bad"
    with pytest.raises(FitError, match="none of the fits converged"):
        compare.patients({"bad": bad})
    assert compare.models({"bad": bad})["rank"].isna().all()
    with pytest.raises(FitError, match="way to leave out"):
        compare.models({"good": linear}, by="visit")


def test_given_patients_must_be_of_the_fits(linear):
    found = compare.patients({"one": linear}, n_draws=60)
    with pytest.raises(FitError, match="holds no fit 'two'"):
        compare.models({"one": linear, "two": linear}, patients=found)
    renamed = found.assign_coords(id=[f"q{i}" for i in range(8)])
    with pytest.raises(FitError, match="other patients"):
        compare.models({"one": linear}, patients=renamed)


def test_the_picture_shows_who_prefers_which(linear):
    found = compare.patients({"poor": without_k(linear), "good": linear}, n_draws=100)
    ax = plots.patient_elpd(found)
    assert ax.get_xlabel() == "Difference in elpd (ln units): good minus poor"
    difference = (found["elpd"].sel(fit="good") - found["elpd"].sel(fit="poor")).to_numpy()
    marks = [line for line in ax.lines if line.get_marker() == "o"]
    assert_allclose([m.get_xdata()[0] for m in marks], np.sort(difference)[::-1])
    assert ax.get_yticklabels()[0].get_text() == f"p{np.argmax(difference)}"
    assert f"{(difference > 0).sum()} of 8 patients" in ax.get_title(loc="left")
    with pytest.raises(DataError, match="itself"):
        plots.patient_elpd(found, "good", "good")
    with pytest.raises(DataError, match="nothing to be compared"):
        plots.patient_elpd(found.isel(fit=[0]))
    with pytest.raises(DataError, match=r"draws what compare\.patients.* not the fit itself"):
        plots.patient_elpd(linear)


# --- folds ------------------------------------------------------------------------------------


@pytest.fixture
def exact_refits(monkeypatch):
    """Refits by independent draws from the exact posterior; the list of their patients."""
    calls = []

    def refit(structure, *, seed, **_):
        calls.append(structure.design.ids.tolist())
        return conjugate(structure, seed)

    monkeypatch.setattr("cart_pkpd._fit.bayes.fit_structure", refit)
    return calls


def test_every_patient_alone_in_a_fold_is_the_exact_predictive(linear, exact_refits, tmp_path):
    told = []
    folds = checks.k_fold(
        linear, k=8, n_draws=2000, folder=tmp_path / "folds", progress=told.append
    )
    exact = left_out(linear.structure)
    assert float(folds["mcse"].max()) < 0.05
    assert (np.abs(folds["elpd"] - exact) < 4 * folds["mcse"]).all()
    assert abs(folds.attrs["elpd"] - exact.sum()) < 4 * folds.attrs["mcse"]
    assert folds.attrs["reliable"]
    assert sorted(folds["fold"].to_numpy().tolist()) == list(range(1, 9))
    assert [(t.done, t.total) for t in told] == [(i, 8) for i in range(1, 9)]
    left = [set(linear.structure.design.ids) - set(c) for c in exact_refits]
    assert sorted(i for one in left for i in one) == sorted(linear.structure.design.ids)
    # A second time nothing is fitted, and the numbers are the same.
    again = checks.k_fold(linear, k=8, n_draws=2000, folder=tmp_path / "folds")
    assert len(exact_refits) == 8
    assert again.equals(folds)
    with pytest.raises(FitError, match="another fit, split or seed"):
        checks.k_fold(linear, k=8, seed=2, folder=tmp_path / "folds")


def test_folds_of_several_patients(linear, exact_refits):
    folds = checks.k_fold(linear, k=3, n_draws=100)
    assert np.unique(folds["fold"], return_counts=True)[1].tolist() == [3, 3, 2]
    assert len(exact_refits) == 3
    with pytest.raises(FitError, match="from 2 to 8"):
        checks.k_fold(linear, k=9)
    with pytest.raises(FitError, match="no setting"):
        checks.k_fold(linear, k=2, tunes=5)
    with pytest.raises(FitError, match="way to make folds"):
        checks.k_fold(linear, k=2, by="record")


def test_some_patients_keep_reference_values(limits):
    pop = fit.population(iiv=["c0"], covariates={"c0": ["weight"]})
    s = resolve(Line(), pop, design_for(Line(), limits, "transgene"))
    few = s.among([1, 3])
    assert few.design.ids.tolist() == ["b", "d"]
    assert_allclose(few.effects[0].column, np.log([90 / 75, 70 / 75]))
    assert few.quantities == s.quantities


# --- refits of the bundled trial ----------------------------------------------------------------


@pytest.mark.slow
def test_marginal_importance_sampling_agrees_with_exact_refits(fast01):
    """Twelve patients, each left out by a refit; about 7 minutes.

    By the marginal likelihood every patient agrees within 4 Monte-Carlo standard errors and the
    sum too. Summed conditional log-likelihoods are too high for every patient, by 15 in sum at
    the least.
    """
    few = fast01["id"].to_numpy()[:12]
    some = fast01.isel(
        obs=np.flatnonzero(np.isin(fast01["patient"].to_numpy(), few)), id=np.arange(12)
    )
    model = models.get("stein2019").with_(
        cmax={"typical": 5000}, beta=models.Fixed(0.01), fb=models.Fixed(0.02)
    )
    pop = fit.population(iiv=["cmax", "tmax", "alpha"], covariates={"cmax": ["dose_level"]})
    result = fit.bayes(model, some, pop, seed=1)
    loo = checks.leave_one_patient_out(result, n_draws=1000)
    exact = checks.k_fold(result, k=12, n_draws=6000)
    assert exact.attrs["reliable"], exact.attrs["sentence"]
    error = np.hypot(loo["mcse"], exact["mcse"])
    assert float(error.max()) < 0.15
    assert (np.abs(loo["elpd"] - exact["elpd"]) < 4 * error).all()
    total = np.hypot(loo.attrs["mcse"], exact.attrs["mcse"])
    assert abs(loo.attrs["elpd"] - exact.attrs["elpd"]) < 4 * total
    records = result.tree["log_likelihood"]["transgene"]
    summed = records.groupby("patient_of").sum().rename(patient_of="id")
    wrong = psis(summed.transpose("chain", "draw", "id"))
    too_high = wrong.elpd_i.to_numpy() - exact["elpd"].to_numpy()
    assert (too_high > 10 * error).all()
    assert too_high.sum() > 15
    assert (wrong.pareto_k > wrong.good_k).all()
