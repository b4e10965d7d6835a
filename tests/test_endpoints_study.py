"""The [endpoints] table of a run file, its step, its files and its section of the report."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from cart_pkpd import datasets, endpoints, nca, report, study
from cart_pkpd._study import clinical, dosing
from cart_pkpd._study.folder import RunFolder
from cart_pkpd.cli import execute
from cart_pkpd.report import _clinical
from cart_pkpd.report._blocks import Details, Picture, Text, walk
from cart_pkpd.report._endpoints import months, share

HEAD = '[data]\ndataset = "fast01"\n'
ENDPOINTS = """
[endpoints]
min_sd_days = 28
landmark = 56
{keys}
[endpoints.exposure_response]
"""
DOSE = """
[dose]
levels = [1e6, 3e6, 1e7, 3e7]
within = [0.7, 1.3]
ask = "mtd"
[dose.designs.BOIN]
design = "BOIN"
target = 0.25
"""


BARE = ENDPOINTS.replace("[endpoints.exposure_response]\n", "")


def load(keys="", more="", root=None, head=HEAD, text=ENDPOINTS):
    return study.loads(head + text.format(keys=keys) + more, root=root)


# --- the run file --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ('censoring = "who"', "endpoints.censoring = .who.*fda"),
        ('denominater = "infused"', "denominater.*Did you mean 'denominator'"),
        ("schedule = [61, 28]", "endpoints.schedule.*rising days"),
        ("months = [0]", "endpoints.months"),
        ("missed = -1", "endpoints.missed"),
        ('min_sd_days = "28"', "endpoints"),
        ('lesions = "no.csv"', 'endpoints.lesions = "no.csv" is not a file'),
    ],
)
def test_what_is_wrong_is_said_before_any_data_are_read(keys, said):
    text = ENDPOINTS.replace("min_sd_days = 28\n", "") if "min_sd" in keys else ENDPOINTS
    with pytest.raises(study.RunFileError, match=said):
        study.plan(study.loads(HEAD + text.format(keys=keys)), "nowhere")


def test_an_outcome_named_twice_is_refused():
    with pytest.raises(study.RunFileError, match=r"exposure_response.metrics.*twice"):
        load(more='metrics = ["cmax", "cmax"]')


def test_a_trial_without_lesions_of_its_own_needs_files(tmp_path):
    (tmp_path / "records.csv").write_text("ID,TIME\n", encoding="utf-8")
    config = load(head='[data]\ntable = "records.csv"\n', root=tmp_path)
    with pytest.raises(study.RunFileError) as caught:
        study.plan(config, "nowhere")
    assert [p.split(",")[0] for p in caught.value.problems] == [
        "endpoints needs 'lesions'", "endpoints needs 'followup'",
    ]  # fmt: skip


def test_the_plan_names_the_tables():
    steps = dict(study.plan(load(), "nowhere"))
    assert steps["endpoints"] == (
        "response, PFS and OS from the lesions of 'fast01' and the followup of 'fast01'; "
        "exposure–response"
    )


def test_a_study_without_the_table_has_no_endpoints_command():
    with pytest.raises(study.RunFileError, match=r"no \[endpoints\] table"):
        study.loads(HEAD).only_endpoints()


def test_paths_are_kept_for_a_run_from_the_folder(tmp_path):
    for name in ("lesions.csv", "followup.csv"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    config = load('lesions = "lesions.csv"\nfollowup = "followup.csv"', root=tmp_path)
    again = config.resolved(tmp_path / "run")["endpoints"]
    assert (again["lesions"], again["followup"]) == ("../lesions.csv", "../followup.csv")


def test_a_response_of_the_dose_step_may_be_derived_or_named():
    below = '[dose.below]\ndesign = "BOIN"\nbenefit = "response"\nprior = [0.5, 0.5]\n'
    below += "share = 0.8\ncertainty = 0.7\n"
    with pytest.raises(study.RunFileError, match=r"or the table \[endpoints\] derive it"):
        study.plan(study.loads(HEAD + DOSE + below), "nowhere")
    config = load(more=DOSE + below)
    assert study.plan(config, "nowhere")
    with pytest.raises(study.RunFileError.__mro__[1], match="endpoints step derived none"):
        dosing._responses(config, config.spec.dose, None)


# --- the step ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trial():
    return datasets.load("fast01")


@pytest.fixture(scope="module")
def derived(tmp_path_factory, trial):
    folder = RunFolder(tmp_path_factory.mktemp("endpoints") / "run")
    found, said = clinical.derive(load(), trial, folder)
    return found, said, folder.path


@pytest.fixture(scope="module")
def own(trial):
    """The same by the functions of the package, written out."""
    followup = endpoints.read_followup(datasets.load("fast01", table="followup"))
    points = endpoints.recist(datasets.load("fast01", table="lesions"))
    best = endpoints.best_response(points, followup, min_sd_days=28)
    return {
        "points": points, "best": best, "followup": followup,
        "pfs": endpoints.pfs(points, followup), "os": endpoints.os(followup, points),
        "ema": endpoints.pfs(points, followup, censoring="ema"),
        "dor": endpoints.duration_of_response(points, best, followup),
    }  # fmt: skip


def test_numbers_are_those_of_the_api(derived, own, trial):
    found = derived[0]
    pd.testing.assert_frame_equal(found.best, own["best"])
    pd.testing.assert_frame_equal(found.times["PFS"], own["pfs"])
    pd.testing.assert_frame_equal(found.times["OS"], own["os"])
    pd.testing.assert_frame_equal(found.times["DOR"], own["dor"])
    pd.testing.assert_frame_equal(found.other_pfs, own["ema"])
    for confirmed in (True, False):
        rates = endpoints.orr(own["best"], trial, by="dose_level", confirmed=confirmed)
        mine = found.rates[found.rates["confirmed_responses"] == confirmed]
        both = [t.sort_values(["group", "measure"], ignore_index=True) for t in (mine, rates)]
        pd.testing.assert_frame_equal(*both)
    km = endpoints.kaplan_meier(own["pfs"], months=[6, 12])
    pd.testing.assert_frame_equal(found.curves["PFS"].summary, km.summary)
    pd.testing.assert_frame_equal(found.curves["PFS"].estimates, km.estimates)


def test_exposure_response_is_that_of_the_api(derived, own, trial):
    params = nca.table(trial, endpoint="transgene", window=(0, 28))
    responded = own["best"].set_index("id")["confirmed"].isin(["CR", "PR"])
    params["responded"] = ("id", responded.reindex(params["id"].values).to_numpy(float))
    odds = derived[0].odds().set_index(["outcome", "exposure"])
    cases = ((("response", "cmax"), "responded", 1), (("crs", "auc0_28"), "crs_grade", 2))
    for (outcome, metric), variable, least in cases:
        one = endpoints.exposure_response(params, variable, metric, at_least=least)
        row = odds.loc[(outcome, metric)]
        assert (row["n"], row["events"]) == (one.n, one.events)
        assert row["estimate"] == pytest.approx(one.ratios["estimate"][0], rel=1e-9)
        assert row["upper"] == pytest.approx(one.ratios["upper"][0], rel=1e-9)
    assert odds["kind"].tolist() == ["odds ratio"] * 4 + ["hazard ratio"] * 2
    # 5 and 6 events, one predictor: fewer than ten.
    assert [s.split(":")[0] for s in derived[0].few()] == [
        "Confirmed response (CR or PR)", "CRS grade ≥ 2",
    ]  # fmt: skip


def test_the_answer_comes_first(derived):
    found, said, _ = derived
    # ORR 6 of 30: exact interval of scipy's beta quantiles, written out.
    from scipy.stats import beta

    low, high = beta.ppf(0.025, 6, 25), beta.ppf(0.975, 7, 24)
    lead, text = found.answers()[0]
    assert lead == "Response:"
    assert text.startswith(
        f"confirmed ORR 6 of 30, 20.0\N{NARROW NO-BREAK SPACE}% ({100 * low:.1f}–{100 * high:.1f})"
    )
    assert "30 infused patients" in text
    assert "1 patient without assessment" in text
    assert said.startswith("Response: ")
    leads = [lead for lead, _ in found.answers()]
    assert leads == ["Response:", "PFS:", "OS:", "Duration of response:"]
    assert "19 deaths of 30 patients" in found.answers()[2][1]


def test_every_number_is_in_csv_and_json(derived):
    found, _, folder = derived
    for name, table in found.frames().items():
        written = pd.read_csv(folder / f"endpoints/{name}.csv", keep_default_na=False)
        assert len(written) == len(table), name
    assert {"timepoints", "best_response", "rates", "pfs", "os", "km", "medians", "milestones",
            "exposure_response"} <= set(found.frames())  # fmt: skip
    numbers = json.loads((folder / "endpoints/endpoints.json").read_text(encoding="utf-8"))
    assert numbers["medians"]["OS"]["median"] == found.curves["OS"].summary["median"][0]
    assert numbers["rates"][0]["x"] == 6
    choices = numbers["choices"]
    assert (choices["min_sd_days"], choices["confirmation_days"], choices["missed"]) == (28, 28, 2)
    assert choices["lesions"].startswith("lesions.csv (SHA-256 ")


def test_censoring_of_the_other_kind_is_said(trial, own):
    """Patients who differ are those of two runs of the API; here nobody, with one gap one."""
    found = clinical.compute(load("missed = 1\nwindow = 0", text=BARE), trial)
    alike = endpoints.pfs(own["points"], own["followup"], missed=1, window=0)
    differ = (alike["time"] != own["ema"]["time"]) | (alike["event"] != own["ema"]["event"])
    assert found.differing() == own["pfs"].loc[differ, "id"].tolist()
    assert found.differing()
    assert f"differs for {differ.sum()} patient" in found.other_sentence()
    assert f"{int(own['ema']['event'].sum())} events instead of" in found.other_sentence()


def test_the_cutoff_holds_for_everything(trial):
    found = clinical.compute(load("cutoff = 60", text=BARE), trial)
    assert found.timepoints["day"].max() <= 60
    assert found.times["OS"]["day"].max() <= 60
    assert any("after the data cut-off" in text for text in found.warnings)


def test_responses_for_the_dose_step(derived, trial):
    given = derived[0].responses().set_index("id")["best_response"]
    assert given.loc["F01-010"] == "NE"  # died on day 20, before any assessment
    config = load(more=DOSE)
    found = dosing.compute(config, trial, derived[0])
    counts = found.activity.table()
    assert counts["response"].sum() == 6
    assert counts["n_response"].sum() == 30
    evaluable = 'denominator = "response_evaluable"'
    less = clinical.compute(load(evaluable, 'metrics = ["cmax"]\noutcomes = ["response"]'), trial)
    assert "F01-010" not in less.responses()["id"].tolist()
    assert math.isclose(less.rate("ORR", True).n, 29)
    assert less.odds()["n"][0] == 29


def test_exposure_response_with_priors_shrinks_and_says_that_few_draws_are_few(
    derived, trial, monkeypatch
):
    """Priors Normal(0, 1) draw a ratio towards 1; the maximum likelihood lies in the interval.

    With 80 draws the effective sample size is below 400, which the notes and the report say.
    """
    few = {"draws": 40, "tune": 100, "chains": 2, "cores": 1}
    ask = endpoints.exposure_response
    seeds = []

    def quick(*args, **kwargs):
        seeds.append(kwargs["seed"])
        return ask(*args, **kwargs, **few)

    monkeypatch.setattr(endpoints, "exposure_response", quick)
    config = load(more='method = "bayes"\nmetrics = ["cmax"]\noutcomes = ["crs", "pfs"]')
    found = clinical.compute(config, trial)
    assert seeds == [config.spec.seed] * 2
    assert found.numbers()["choices"]["exposure_response"]["method"] == "bayes"
    odds = found.odds().set_index("outcome")
    usual = derived[0].odds().set_index(["outcome", "exposure"])["estimate"]
    for outcome, kind in (("crs", "odds ratio"), ("pfs", "hazard ratio")):
        row, ml = odds.loc[outcome], usual[outcome, "cmax"]
        assert row["kind"] == kind
        assert row["lower"] < ml < row["upper"]
        assert "Not converged: " in row["notes"]
    assert 1.0 < odds.loc["crs", "estimate"] < usual["crs", "cmax"] * 1.1
    blocks = [b for b in walk([_clinical._exposure(found)]) if isinstance(b, Text)]
    warned = [b.text for b in blocks if b.tone == "warn" and "Not converged: " in b.text]
    assert [w.split(" by ")[0] for w in warned] == ["CRS grade ≥ 2", "PFS"]


def test_an_outcome_that_cannot_be_had_has_its_reason(trial):
    found = clinical.compute(
        load(more='outcomes = ["crs", "icans"]\nicans_at_least = 5'), trial.drop_vars("crs_grade")
    )
    odds = found.odds().set_index("outcome")
    assert np.isnan(odds.loc["crs", "estimate"]).all()
    assert "crs_grade" in odds.loc["crs", "reason"].iloc[0]
    table = _clinical._ratios(found)
    assert (0, "estimate") in table.reasons


# --- the report ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def undrawn(derived):
    """The section with words in the place of figures, which other tests draw."""
    patch = pytest.MonkeyPatch()
    patch.setattr(_clinical, "picture", lambda name, draw, **k: Text(f"<{name}> {k['caption']}"))
    yield _clinical.section(derived[0])
    patch.undo()


def test_the_section_has_every_part(undrawn, derived):
    assert [p.title for p in undrawn.parts] == [
        "Response by RECIST 1.1", "Progression-free and overall survival", "Every patient",
        "Exposure–response", "Records and rules",
    ]  # fmt: skip
    assert not undrawn.blocks  # the answers stand on the first page, and nothing was warned of
    drawn = [b.text.split(">")[0][1:] for b in walk([undrawn])
             if isinstance(b, Text) and b.text.startswith("<")]  # fmt: skip
    for name in ("waterfall", "spider", "swimmer", "km_pfs", "km_os", "er_response_cmax",
                 "er_crs_auc0_28"):  # fmt: skip
        assert f"endpoints_{name}" in drawn


def test_tables_of_the_section_hold_the_numbers_of_the_api(undrawn, derived, own, trial):
    tables = {b.name: b for b in walk([undrawn]) if hasattr(b, "rows")}
    rates = endpoints.orr(own["best"], trial, by="dose_level").query("measure == 'ORR'")
    printed = [row["orr"] for row in tables["response_rates"].rows]
    wanted = [f"{r.x:.0f}, {share(r.rate, r.lower, r.upper)}" for r in rates.itertuples()]
    assert printed == wanted
    km = endpoints.kaplan_meier(own["os"], "dose_level", patients=trial)
    rows = tables["os_by_dose"].rows
    assert [r["median"] for r in rows[:-1]] == km.summary["median"].tolist()
    assert rows[-1]["median_text"] == "9.9 (6.6–14.4)"
    rules = {r["id"]: r["confirmed_reason"] for r in tables["endpoints_best_response"].rows}
    assert rules["F01-009"] == "PR on day 32, confirmed by PR on day 95"
    assert len(tables["endpoints_times"].rows) == 30
    facts = dict(next(b for b in walk([undrawn]) if b.kind == "facts").pairs)
    assert facts["Censoring of PFS"] == "FDA-type"
    assert facts["Least time from the start to SD that counts [day]"] == "28"
    assert set(_clinical._CHOICES) | {"exposure_response"} == set(derived[0].choices)


def test_words_for_numbers():
    assert share(0.2, 0.0771, 0.3857) == "20.0\N{NARROW NO-BREAK SPACE}% (7.7–38.6)"
    assert share(0.0, np.nan, np.nan) == "0\N{NARROW NO-BREAK SPACE}%"
    assert months(np.nan, 3.14, np.nan) == "not reached (from 3.1 months)"
    assert months(4.139, 2.234, np.nan) == "4.1 months (2.2–NR)"


# --- records that are malformed ------------------------------------------------------------------


@pytest.fixture(scope="module")
def malformed(tmp_path_factory):
    """A run with NCA and two faults in the lesions."""
    root = tmp_path_factory.mktemp("malformed")
    lesions = datasets.load("fast01", table="lesions")
    lesions.loc[len(lesions) - 1, "ID"] = "F01-099"
    lesions = pd.concat([lesions, lesions.loc[[3]]])  # a lesion twice in one assessment
    lesions.to_csv(root / "lesions.csv", index=False)
    datasets.load("fast01", table="followup").to_csv(root / "followup.csv", index=False)
    text = HEAD + BARE.format(keys='lesions = "lesions.csv"\nfollowup = "followup.csv"')
    (root / "study.toml").write_text(text + '[nca]\nendpoints = ["car_cells"]\n', encoding="utf-8")
    patch = pytest.MonkeyPatch()
    patch.setattr(report._trial, "picture", lambda name, draw, **k: Text(name))
    outcome = study.run(study.load(root / "study.toml"), root / "run")
    patch.undo()
    return outcome, root / "run"


def test_malformed_lesions_stop_only_their_step(malformed):
    outcome, folder = malformed
    states = {s.name: s.state for s in outcome.steps}
    assert states == {
        "data": "done", "nca car_cells": "done", "endpoints": "failed", "report": "done",
    }  # fmt: skip
    assert outcome.exit_code == 3
    note = next(s.note for s in outcome.steps if s.name == "endpoints")
    assert "F01-001" in note
    assert (folder / "report.html").is_file()
    assert (folder / "nca/car_cells/parameters.csv").is_file()


def test_the_report_lists_what_is_wrong(malformed):
    _, folder = malformed
    problems = pd.read_csv(folder / "endpoints/problems.csv")
    assert {"F01-001", "F01-099"} <= set(problems["patient"])
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<dt>Clinical endpoints</dt><dd>not derived. " in page
    assert "keep one. 1 further problem is in the table of problems." in page
    assert "What is wrong with the records" in page
    assert "F01-099" in page
    numbers = json.loads((folder / "numbers.json").read_text(encoding="utf-8"))
    assert len(numbers["endpoints"]["problems"]) == len(problems)


def test_a_follow_up_must_hold_the_patients_of_the_trial(tmp_path, trial):
    followup = datasets.load("fast01", table="followup")
    followup.loc[0, "ID"] = "F01-099"
    followup.to_csv(tmp_path / "followup.csv", index=False)
    from cart_pkpd._core.errors import DataError

    with pytest.raises(DataError) as caught:
        clinical.compute(load('followup = "followup.csv"', root=tmp_path), trial)
    said = [p.message for p in caught.value.problems]
    assert said[0] == "the follow-up has no row for patient 'F01-001'; add it."
    assert "'F01-099', who is not in the trial" in said[1]


@pytest.mark.slow
def test_the_command_writes_report_and_tables(tmp_path, capsys):
    path = tmp_path / "study.toml"
    path.write_text(HEAD + ENDPOINTS.format(keys=""), encoding="utf-8")
    code = execute(["endpoints", str(path), "--out", str(tmp_path / "out")])
    said = capsys.readouterr()
    assert code == 0, said.err
    assert "OS: median 9.9 months (6.6–14.4)" in said.out
    numbers = json.loads((tmp_path / "out/numbers.json").read_text(encoding="utf-8"))
    assert numbers["tables"]["response_rates"]["rows"][-1]["orr"].startswith("6, 20.0")
    for name in ("waterfall", "spider", "swimmer", "km_pfs", "km_os"):
        assert any(f.startswith(f"figures/endpoints_{name}.") for f in numbers["files"])


def test_a_section_of_one_dose_without_responses(trial):
    """The parts that need responders or several doses are left out, nothing fails."""
    found = clinical.compute(load(text=BARE), trial.drop_vars("dose_level"))
    assert found.by is None
    assert not found.curves_by_dose
    assert [name for _, name, _ in _clinical._groups(found)] == ["All patients"]
    assert all(not isinstance(b, (Picture, Details)) for b in [_clinical._rates(found)])
