"""The search for covariates and variability against enumeration, closed forms and literature."""

import itertools
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from scipy import optimize, stats
from test_laplace import TIMES, Line, trial_of
from theophylline import Oral
from theophylline import trial as theophylline_trial

from cart_pkpd import compare, fit, plots, study
from cart_pkpd._compare import fitting
from cart_pkpd._compare.fitting import Done
from cart_pkpd._compare.ratio import p_value, ratio
from cart_pkpd._compare.rules import Rule
from cart_pkpd._core.errors import DataError, FitError
from cart_pkpd._fit.verdict import Verdict
from cart_pkpd._study import plan, searching
from cart_pkpd.report._search import section

PATIENTS = 24
CONSTANT = 60.0


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    """The level is higher by 9 in one sex, and the rise varies; age and weight do nothing."""
    rng = np.random.default_rng(5)
    rows = ["ID,TIME,DV,AMT,EVID,SEX,AGE,WT,KG"]
    for i in range(PATIENTS):
        age, weight = int(rng.integers(40, 75)), round(float(rng.normal(70, 8)), 1)
        about = f"{i % 2},{age},{weight},{CONSTANT}"
        rows.append(f"{i},0,.,1e6,1,{about}")
        a = 40.0 + 4.0 * rng.standard_normal() + 9.0 * (i % 2)
        levels = a + (3.0 + 0.6 * rng.standard_normal()) * TIMES
        levels += 2.0 * rng.standard_normal(TIMES.size)
        rows += [f"{i},{t},{y:.6f},.,0,{about}" for t, y in zip(TIMES, levels, strict=True)]
    return trial_of(tmp_path_factory.mktemp("search"), rows, {"transgene": "copies/µg"})


BASE = fit.population(iiv=["a"], error="additive")
FEW = {"covariates": {"a": ["sex", "wt"]}, "iiv": ["b"]}
NAMES = ("sex on a", "wt on a", "IIV of b")


# --- p values ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("difference", "df", "boundary", "p"),
    [
        # Upper 5 % points of chi-squared, and of the 50:50 mixtures of 0 and 1, 1 and 2, 2 and 3
        # degrees of freedom: tables of the chi-squared distribution, and appendix C.2 of
        # Fitzmaurice, Laird & Ware (2004), Applied Longitudinal Analysis.
        (3.84, 1, False, 0.05),
        (5.99, 2, False, 0.05),
        (2.71, 1, True, 0.05),
        (5.14, 2, True, 0.05),
        (7.05, 3, True, 0.05),
        (5.41, 1, True, 0.01),
        (8.27, 2, True, 0.01),
    ],
)
def test_p_values_are_those_of_published_tables(difference, df, boundary, p):
    """To the two decimals of the tables."""
    assert_allclose(p_value(difference, df, boundary=boundary), p, rtol=6e-3)


def test_nothing_gained_has_a_p_value_of_1():
    assert p_value(0.0, 1, boundary=True) == 1.0
    assert p_value(-0.3, 2) == 1.0
    assert np.isnan(p_value(np.nan, 1))


def test_a_variance_takes_its_correlation_with_it(trial):
    """Stram & Lee (1994), case 3 with q = 1: two quantities, a mixture of 1 and 2."""
    one = fit.structure(Line(), trial, BASE)
    both = fit.population(iiv=["a", "b"], error="additive", corr="full")
    found = ratio(one, fit.structure(Line(), trial, both), 5.14)
    assert (found.df, found.boundary) == (2, True)
    assert found.words == "50:50 mixture of χ² with 1 and 2 df"
    assert_allclose(found.p, 0.05, rtol=2e-3)


# --- against enumeration ----------------------------------------------------------------------


def exact(trial, population):
    """Return the smallest -2 ln L of a line by SciPy's optimiser; all have the same times."""
    y = trial["dv"].to_numpy().reshape(PATIENTS, TIMES.size)
    weight = trial["wt"].to_numpy()
    columns = {"sex on a": trial["sex"].to_numpy().astype(float),
               "wt on a": np.log(weight / np.median(weight))}  # fmt: skip
    acting = np.array([c for n, c in columns.items() if n in population]).reshape(-1, PATIENTS)

    def deviance(x):
        omega_a, sigma, omega_b = np.exp(x[2:5])
        own = x[0] + x[5:] @ acting
        covariance = omega_a**2 + sigma**2 * np.eye(TIMES.size)
        if "IIV of b" in population:
            covariance += omega_b**2 * np.outer(TIMES, TIMES)
        density = stats.multivariate_normal(np.zeros(TIMES.size), covariance)
        return -2 * density.logpdf(y - own[:, None] - x[1] * TIMES).sum()

    start = [42.0, 3.0, 1.5, 0.7, -0.7, *[0.0] * len(acting)]
    return optimize.minimize(deviance, start, method="BFGS", options={"gtol": 1e-4}).fun


@pytest.fixture(scope="module")
def enumerated(trial):
    """-2 ln L and mixed BIC of all eight populations, by SciPy."""
    out = {}
    for size in range(len(NAMES) + 1):
        for own in itertools.combinations(NAMES, size):
            ofv = exact(trial, own)
            # a, omega_a and coefficients of a vary with patients; b too if its omega is there.
            varying = 2 + sum("on a" in n for n in own) + 2 * ("IIV of b" in own)
            others = 2 if "IIV of b" not in own else 1
            records = PATIENTS * TIMES.size
            bic = ofv + varying * np.log(PATIENTS) + others * np.log(records)
            out[frozenset(own)] = (ofv, bic)
    return out


@pytest.fixture(scope="module")
def forward(trial):
    return compare.search(Line(), trial, BASE, candidates=FEW)


def test_every_candidate_has_the_exact_likelihood(forward, enumerated):
    """-2 ln L of every row within 1e-3 of SciPy's, and the mixed BIC that follows."""
    within = frozenset()
    for _, step in forward.steps.groupby("step"):
        for _, row in step.iterrows():
            own = within if row["action"] == "start" else within | {row["candidate"]}
            ofv, bic = enumerated[own]
            assert_allclose(row["ofv"], ofv, atol=1e-3)
            assert_allclose(row["criterion"], bic, atol=1e-3)
        within |= set(step.loc[step["chosen"] & (step["action"] == "add"), "candidate"])


def test_the_search_ends_at_the_best_of_all(forward, enumerated):
    chosen = frozenset(forward.path["candidate"][1:])
    assert chosen == min(enumerated, key=lambda own: enumerated[own][1])
    assert_allclose(forward.fit.bic_mixed, enumerated[chosen][1], atol=1e-3)


def test_what_was_simulated_is_found(forward):
    assert forward.best.iiv == ("a", "b")
    assert next(t.covariate for t in forward.best.covariates["a"]) == "sex"
    first = forward.path.iloc[1]
    assert (first["candidate"], first["action"]) == ("IIV of b", "add")
    assert first["p"] == p_value(-first["d_ofv"], 1, boundary=True)


def test_backward_from_all_ends_at_the_best_too(trial, enumerated):
    whole = fit.population(iiv=["a", "b"], error="additive", covariates={"a": ["sex", "wt"]})
    found = compare.search(Line(), trial, whole, candidates=FEW, direction="backward")
    removed = set(found.path.loc[found.path["action"] == "remove", "candidate"])
    best = min(enumerated, key=lambda own: enumerated[own][1])
    assert frozenset(NAMES) - removed == best
    for _, row in found.steps[found.steps["step"] == 1].iterrows():
        ofv, _ = enumerated[frozenset(NAMES) - {row["candidate"]}]
        assert_allclose(row["ofv"], ofv, atol=1e-3)
        assert row["df"] == 1


def test_likelihood_ratio_tests_go_forward_and_backward(trial, enumerated):
    found = compare.search(
        Line(), trial, BASE, candidates=FEW, criterion="ofv", direction="both",
        p_add=0.5, p_remove=0.001,
    )  # fmt: skip
    steps = found.steps
    added = steps[steps["action"] == "add"]
    assert ((added["p"] < 0.5) == (added["verdict"] == "passes")).all()
    removed = steps[steps["action"] == "remove"]
    assert ((removed["p"] > 0.001) == (removed["verdict"] == "passes")).all()
    base, full = enumerated[frozenset()][0], enumerated[frozenset({"IIV of b"})][0]
    row = steps[(steps["step"] == 1) & (steps["candidate"] == "IIV of b")].iloc[0]
    assert_allclose(row["p"], stats.chi2.sf(base - full, 1) / 2, rtol=1e-2)
    # What was fitted on the way up is not fitted again on the way down.
    assert (removed["seconds"] == 0).any()
    assert " and removed " in found.sentence


@pytest.mark.slow
def test_processes_find_the_same(trial, forward):
    found = compare.search(Line(), trial, BASE, candidates=FEW, jobs=2)
    same = [c for c in forward.steps if c != "seconds"]
    pd.testing.assert_frame_equal(found.steps[same], forward.steps[same])


# --- theophylline -----------------------------------------------------------------------------


@pytest.mark.slow
def test_theophylline_loses_the_variability_of_elimination(tmp_path):
    """As published: fm2Theo.nlme and fm3Theo.nlme of Pinheiro & Bates (2000), section 8.2.2.

    Without the random effect of ln ke the log-likelihood stays at -177.02, those of ka and
    clearance are kept, and AIC falls by 2.
    """
    everything = fit.population(iiv=["ke", "ka", "cl"], error="additive")
    found = compare.search(
        Oral(), theophylline_trial(tmp_path), everything, endpoint="theophylline",
        candidates={"iiv": ["ke", "ka", "cl"]}, criterion="aic", direction="backward",
    )  # fmt: skip
    assert found.path["candidate"].tolist() == ["start", "IIV of ke"]
    assert found.best.iiv == ("ka", "cl")
    gone = found.path.iloc[1]
    assert_allclose(gone["d_ofv"], 0.0, atol=0.02)
    assert_allclose(gone["change"], -2.0, atol=0.02)
    assert_allclose(found.fit.ofv / -2, -177.02, atol=0.05)
    assert (found.steps["change"][found.steps["step"] == 2] > 10).all()


# --- what cannot be tried, and what fails -----------------------------------------------------


def test_every_candidate_is_reported(trial):
    found = compare.search(
        Line(), trial, BASE, max_steps=1,
        candidates=compare.candidates(
            covariates={"a": ["kg", "sex"]}, iiv=["b"], corr=[["a", "b"]]
        ),
    )  # fmt: skip
    rows = found.steps.set_index("candidate")
    assert rows.loc["kg on a", "verdict"] == "failed"
    assert "'kg' has one value or none" in rows.loc["kg on a", "why"]
    assert rows.loc["correlation of a, b", "verdict"] == "not possible"
    assert rows.loc["correlation of a, b", "why"] == "b does not vary between patients"
    assert np.isnan(rows.loc["kg on a", ["ofv", "p", "criterion"]].astype(float)).all()
    assert rows["chosen"].sum() == 2
    assert "1 of which failed or did not converge" in found.sentence


def test_a_correlation_follows_its_variability(trial):
    found = compare.search(
        Line(), trial, fit.population(iiv=["a", "b"], error="additive"), least=100.0,
        candidates={"corr": [["a", "b"]], "iiv": ["b"]},
    )  # fmt: skip
    row = found.steps.set_index("candidate").loc["correlation of a, b"]
    assert (row["df"], row["verdict"]) == (1, "does not pass")
    assert_allclose(row["p"], stats.chi2.sf(-row["d_ofv"], 1))
    assert found.sentence.startswith("Nothing is worth a step")


def test_forms_of_a_covariate_exclude_each_other(trial):
    chosen = compare.candidates(
        covariates=["age"], parameters=["a"], forms=["power", "exponential"]
    )
    assert [c.name for c in chosen.all] == ["age on a (power)", "age on a (exponential)"]
    power, exponential = chosen.all
    within = power.added(BASE)
    assert power.within(within)
    assert exponential.obstacle(within) == "age acts on a already, in another form"
    assert power.removed(within) == BASE


def test_blocks_grow_and_shrink():
    small, large = compare.candidates(iiv=["c"], corr=[["a", "b"], ["a", "b", "c"]]).all[1:]
    vary = compare.candidates(iiv=["c"]).all[0]
    population = fit.population(iiv=["a", "b"])
    assert large.obstacle(population) == "c does not vary between patients"
    both = large.added(vary.added(small.added(population)))
    assert both.corr == (("a", "b", "c"),)
    assert not small.within(both)
    assert small.obstacle(both) == "a member is correlated with others already"
    assert vary.removed(both).corr == (("a", "b"),)
    assert large.removed(both).corr == ()


def test_priors_of_what_is_not_there_wait(trial):
    """A prior of omega_b would be refused while b does not vary."""
    waiting = replace(BASE, priors={"omega_b": fit.HalfNormal(0.5)})
    found = compare.search(Line(), trial, waiting, candidates={"iiv": ["b"]})
    assert "omega_b" in found.best.priors
    assert found.steps["verdict"].tolist() == ["start", "passes"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"candidates": {"iiv": []}}, "name at least one"),
        ({"candidates": {"iiv": ["b", "b"]}}, "'IIV of b' is there twice"),
        ({"candidates": {"iiv": ["k"]}}, "IIV of k: the model estimates no parameter 'k'"),
        ({"candidates": {"covariates": ["sex"]}}, "need parameters="),
        ({"candidates": {"corr": [["a"]]}}, "blocks of two parameters or more"),
        ({"candidates": {"omega": ["b"]}}, "unknown key 'omega'"),
        ({"candidates": ["b"]}, "give compare.candidates"),
        ({"criterion": "dic"}, "unknown criterion 'dic'"),
        ({"direction": "up"}, "unknown direction 'up'"),
        ({"direction": "backward"}, "nothing to remove"),
        ({"endpoint": "il6"}, "il6"),
    ],
)
def test_what_makes_no_sense_is_refused(trial, given, said):
    options = {"candidates": FEW, **given}
    with pytest.raises((FitError, DataError), match=said):
        compare.search(Line(), trial, BASE, **options)


# --- elpd -------------------------------------------------------------------------------------


class Fitted:
    """Stands for a Bayesian fit."""

    def __init__(self, structure):
        self.structure = structure
        self.verdict = Verdict(True, "Converged.", 1.0, 900, 900, 0, 0.0, 0.9, 0)


@pytest.mark.parametrize(("gain", "scatter", "passes"), [(9, 0.3, True), (3, 0.1, False),
                                                         (9, 8.0, False)])  # fmt: skip
def test_elpd_needs_4_and_two_standard_errors(gain, scatter, passes):
    """By hand: the sum of paired differences and its standard error over patients."""
    rng = np.random.default_rng(3)
    each = scatter * rng.standard_normal(16)
    each += gain / 16 - each.mean()
    before, after = (
        Done(object(), xr.Dataset({"elpd": ("id", e), "total_elpd": float(e.sum())}))
        for e in (np.zeros(16), each)
    )
    found = Rule("elpd").change(before, after, adds=True)
    assert_allclose(found.change, gain)
    assert_allclose(found.se, 4 * each.std())
    assert found.passes == passes == (gain > max(4, 2 * 4 * each.std()))
    assert not Rule("elpd").change(after, before, adds=False).passes or not passes


def test_a_search_by_elpd_fits_by_bayes(trial, monkeypatch):
    """What the fits are is replaced: b that varies gains 20, sex 1."""

    def pretended(task):
        structure = fit.structure(task.model, task.trial, task.population)
        total = (
            -500.0 + 20.0 * ("b" in task.population.iiv) + 1.0 * bool(task.population.covariates)
        )
        each = xr.Dataset({"elpd": ("id", np.full(PATIENTS, total / PATIENTS))})
        return Done(Fitted(structure), each.assign(total_elpd=total))

    monkeypatch.setattr(fitting, "_bayes", pretended)
    found = compare.search(
        Line(), trial, BASE, candidates={"iiv": ["b"], "covariates": {"a": ["sex"]}},
        criterion="elpd", draws=100,
    )  # fmt: skip
    assert found.path["candidate"].tolist() == ["start", "IIV of b"]
    assert_allclose(found.path["criterion"], [-500, -480])
    assert found.steps["p"].isna().all()
    assert "elpd from −500.00 to −480.00" in found.sentence
    ax = plots.search(found)
    assert ax.get_ylabel() == "elpd (higher is better)"


# --- files and picture ------------------------------------------------------------------------


def test_steps_are_written(forward, tmp_path):
    back = pd.read_csv(forward.csv(tmp_path / "s.csv"))
    asked = ["step", "candidate", "action", "ofv", "change", "p", "criterion", "verdict", "chosen",
             "why", "seconds"]  # fmt: skip
    assert set(asked) <= set(back)
    assert_allclose(back["ofv"], forward.steps["ofv"], rtol=1e-12)
    data = json.loads(forward.json(tmp_path / "s.json"))
    assert data["best"]["iiv"] == ["a", "b"]
    assert data["steps"][0]["p"] is None
    forward.html(tmp_path / "s.html")
    assert forward._repr_html_() in (tmp_path / "s.html").read_text(encoding="utf-8")
    assert forward.sentence in forward.text()


def test_the_picture_has_every_candidate(forward):
    ax = plots.search(forward)
    shown = np.concatenate([line.get_ydata() for line in ax.lines if line.get_marker() != "None"])
    assert_allclose(np.sort(shown), np.sort(forward.steps["criterion"]))
    assert ax.get_xticklabels()[1].get_text() == "1\n+ IIV of b"
    assert ax.get_ylabel() == "Mixed BIC (lower is better)"
    with pytest.raises(DataError, match=r"plots\.search draws what compare\.search returns"):
        plots.search(forward.fit)


def test_progress_is_told(trial):
    heard = []
    compare.search(
        Line(), trial, BASE, candidates={"iiv": ["b"]},
        progress=lambda step, name: heard.append((step, name)),
    )  # fmt: skip
    assert heard == [(0, "start"), (1, "IIV of b")]


# --- run file and report ----------------------------------------------------------------------

RUN = """
[data]
table = "table.csv"
units = {{ transgene = "copies/µg" }}
[models.stein]
model = "stein2019"
iiv = ["cmax"]
[search]
{search}
"""


def planned(folder, search):
    (folder / "table.csv").write_text("ID,TIME,DV,AMT,EVID\n1,0,.,1e6,1\n1,7,50,.,0\n")
    (folder / "run.toml").write_text(RUN.format(search=search), encoding="utf-8")
    return study.load(folder / "run.toml")


def test_a_run_file_asks_for_a_search(tmp_path):
    config = planned(
        tmp_path,
        'iiv = ["alpha"]\ncovariates = { cmax = ["dose_level", { covariate = "age", '
        'form = "linear" }] }\ndirection = "both"',
    )
    steps = dict(plan.steps(config))
    assert steps["search"] == (
        "stein, both: dose_level on cmax, age on cmax (linear), IIV of alpha"
    )


def test_a_search_begins_with_the_first_fit_of_a_model_that_a_grid_varies(tmp_path):
    grid = '\n[models.lag]\nmodel = "ogasawara2021"\n[grid.axes]\nerror = ["lognormal", "additive"]'
    config = planned(tmp_path, 'model = "lag"\niiv = ["alpha"]' + grid)
    plan.check(config)
    assert searching.name_of(config) == "lag-lognormal"
    with pytest.raises(study.RunFileError, match="Did you mean 'lag'"):
        plan.check(planned(tmp_path, 'model = "leg"\niiv = ["alpha"]' + grid))


def test_parts_of_a_study_are_done_without_its_search(tmp_path):
    dose = '\n[dose]\nlevels = [1e6, 3e6]\n[dose.designs.boin]\ndesign = "BOIN"\ntarget = 0.25'
    trials = "\n[operating]\ntarget = 0.25\nmax_patients = 12\naccrual = 2.0"
    config = planned(tmp_path, 'iiv = ["alpha"]' + dose + trials)
    for part in (config.only_dose(), config.only_operating()):
        assert "search" not in dict(plan.steps(part))
        plan.check(part)


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ('model = "stien"\niiv = ["alpha"]', "no [models.stien] table. Did you mean 'stein'?"),
        ("iiv = []", "name at least one"),
        ('iiv = ["alpa"]', "estimates no parameter 'alpa'. Did you mean 'alpha'?"),
        ('iiv = ["alpha"]\ncriterion = "dic"', "criterion"),
    ],
)
def test_a_search_that_cannot_be_is_said_before_the_run(tmp_path, search, said):
    with pytest.raises(study.RunFileError) as problem:
        plan.check(planned(tmp_path, search))
    assert said in str(problem.value)


def test_the_search_of_a_run_is_kept(tmp_path, trial, forward, monkeypatch):
    """What is found is replaced; it is written, and stands in the report."""
    config = planned(tmp_path, 'iiv = ["alpha"]\nleast = 2.0')
    heard = {}

    def pretended(*given, progress, **options):
        heard.update(options, population=given[2])
        progress(0, "start")
        return forward

    monkeypatch.setattr(compare, "search", pretended)
    told = []
    findings = SimpleNamespace(config=config, trial=trial)
    said, good = searching.search(findings, tmp_path, lambda *news: told.append(news))
    assert (said, good) == (forward.sentence, True)
    assert (heard["least"], heard["population"].iiv) == (2.0, ("cmax",))
    assert told == [(1, 2, "step 0, start")]
    assert sorted(p.name for p in (tmp_path / "search").iterdir()) == [
        "best.nc", "steps.csv", "steps.json",
    ]  # fmt: skip
    made = section(findings.search)
    assert made.blocks[0].text == forward.sentence
    assert section(None) is None


@pytest.mark.slow
def test_elpd_finds_the_variability_too(trial):
    """By fits with draws: without the variability of the rise new patients surprise."""
    found = compare.search(
        Line(), trial, BASE, candidates={"iiv": ["b"]}, criterion="elpd",
        draws=1500, tune=1000, chains=4, n_draws=200,
    )  # fmt: skip
    assert found.best.iiv == ("a", "b")
    added = found.path.iloc[1]
    assert added["change"] > max(4, 2 * added["se"])
    assert "elpd from" in found.sentence
