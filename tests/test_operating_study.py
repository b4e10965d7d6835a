"""[operating] and dose.counts of a run file, their commands, files and sections of the report."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest

from cart_pkpd import dose, study
from cart_pkpd._core.errors import ConfigError
from cart_pkpd._study import dose_counts, dosing, operating
from cart_pkpd._study.config import RunFileError
from cart_pkpd.cli import execute

DOSE = """
[dose]
levels = [1e6, 3e6, 1e7]
{keys}
[dose.designs.BOIN]
design = "BOIN"
target = 0.3
[dose.designs."3+3"]
design = "ThreePlusThree"
dialect = "stop"
"""
OPERATING = """
[operating]
target = 0.3
trials = 60
max_patients = 12
accrual = 3
dropout = 0.1
{keys}
[operating.scenarios]
mine = [0.1, 0.3, 0.5]
slow = {{ p = [0.1, 0.2, 0.3], accrual = 1.0, cohort = 2 }}
safe = "all safe"
"""
COUNTS = "counts = [{ dose = 1e6, n = 3, dlt = 0 }, { dose = 3e6, n = 6, dlt = 2 }]"


def loaded(text, root=None):
    return study.loads(text, root=root)


def planned(keys="", dose_keys=""):
    return loaded(DOSE.format(keys=dose_keys) + OPERATING.format(keys=keys))


# --- the table -----------------------------------------------------------------------------------


def test_scenarios_and_designs_are_those_of_the_tables():
    config = planned('onset = [{ shape = "weibull", parameters = [1.5, 6.0], last = 14 }]')
    assert list(operating.designs_of(config)) == ["BOIN", "3+3"]
    run = {
        "levels": dose.Levels((1e6, 3e6, 1e7)), "target": 0.3, "max_patients": 12, "dropout": 0.1,
        "onset": dose.mixed_onset({dose.weibull_onset(1.5, 6.0, last=14): 1.0}),
    }  # fmt: skip
    assert operating.scenarios_of(config) == {
        "mine": dose.Scenario(p=(0.1, 0.3, 0.5), accrual=3.0, **run),
        "slow": dose.Scenario(p=(0.1, 0.2, 0.3), accrual=1.0, cohort=2, **run),
        "safe": dose.Scenario(p=dose.standard_rates("all safe", 3, 0.3), accrual=3.0, **run),
    }
    config = loaded(DOSE.format(keys="") + OPERATING.format(keys="").split("[operating.sc")[0])
    assert list(operating.scenarios_of(config)) == list(
        dose.standard_scenarios(levels=(1e6, 3e6, 1e7), target=0.3, max_patients=12, accrual=3.0)
    )


def test_standard_scenarios_have_the_target_where_they_say():
    # logit 0.25 = ln(1/3); one level on the odds are exp(0.8) times as high: 1/3 · 2.2255.
    up, down = np.exp(0.8) / 3, np.exp(-0.8) / 3
    expected = {
        "middle": (down / (1 + down), 0.25, up / (1 + up)), "lowest": 0.25, "highest": 0.25,
    }  # fmt: skip
    np.testing.assert_allclose(dose.standard_rates("middle", 3, 0.25), expected["middle"])
    assert dose.standard_rates("lowest", 4, 0.25)[0] == pytest.approx(0.25)
    assert dose.standard_rates("highest", 4, 0.25)[-1] == pytest.approx(0.25)
    found = dose.standard_scenarios(levels=(1, 2, 3, 4), target=0.25, max_patients=9, accrual=1.0)
    assert found["all toxic"].none_is_correct
    assert not found["all safe"].overdose.any()
    assert found["all safe"].rates[-1] == pytest.approx(down / (1 + down))
    assert found["steep"].correct.tolist() == found["flat"].correct.tolist()
    odds = [s.rates / (1 - s.rates) for s in (found["steep"], found["flat"])]
    np.testing.assert_allclose(odds[0][1:] / odds[0][:-1], np.exp(1.6))
    np.testing.assert_allclose(odds[1][1:] / odds[1][:-1], np.exp(0.8 / 3))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (planned, None),
        (lambda: planned('designs = ["BIONN"]'), "operating.designs: \"BIONN\" is not a"),
        (lambda: planned("start = 2e6"), "operating.scenarios.mine: 2×10⁶ cells is not a planned"),
        (lambda: loaded(DOSE.format(keys="") + OPERATING.format(keys="").replace(
            "[0.1, 0.3, 0.5]", "[0.1, 0.3]")), "scenarios.mine: p has 2 values, but there are 3"),
        (lambda: loaded(DOSE.format(keys="") + OPERATING.format(keys="").replace(
            '"all safe"', '"all save"')), "Did you mean 'all safe'"),
        (lambda: loaded(DOSE.format(keys="") + OPERATING.format(keys="").replace(
            "max_patients = 12", "")), "operating.max_patients is missing"),
        (lambda: loaded(OPERATING.format(keys="")), r"operating needs the table \[dose\]"),
        (lambda: planned(dose_keys="window = 27.5"), "whole days"),
        (lambda: planned("onset = [{ shape = \"beta\", parameters = [2, 4], last = 40 }]"),
         "within the window"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_table_is_said_first(text, said, tmp_path):
    if said is None:
        assert [name for name, _ in study.plan(text(), tmp_path / "x")] == ["operating", "report"]
        return
    with pytest.raises(RunFileError, match=said):
        study.plan(text(), tmp_path / "x")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("target = 1.2", "operating.target"),
        ("trials = 1", "operating.trials"),
        ("dropout = -0.1", "operating.dropout"),
        ("accrual = 0", "operating.accrual"),
        ("speed = 2", "speed"),
    ],
)
def test_impossible_values_of_the_table_are_refused(keys, said):
    name = keys.split(" ")[0]
    lines = [line for line in OPERATING.splitlines() if not line.startswith(f"{name} =")]
    text = "\n".join(lines).format(keys=keys)
    with pytest.raises(RunFileError, match=said):
        loaded(DOSE.format(keys="") + text)


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """The folder of a run with nothing but simulated trials."""
    root = tmp_path_factory.mktemp("operating")
    (root / "s.toml").write_text(DOSE.format(keys="") + OPERATING.format(keys=""), encoding="utf-8")
    out = root / "run"
    command = [
        "operating",
        str(root / "s.toml"),
        "--out",
        str(out),
        "--trials",
        "40",
        "--seed",
        "7",
    ]
    assert execute([*command, "--quiet"]) == 0
    return out


def test_the_command_writes_the_numbers_of_compare_designs(simulated):
    levels = dose.Levels((1e6, 3e6, 1e7))
    run = {"levels": levels, "target": 0.3, "max_patients": 12, "dropout": 0.1}
    truths = {
        "mine": dose.Scenario(p=(0.1, 0.3, 0.5), accrual=3.0, **run),
        "slow": dose.Scenario(p=(0.1, 0.2, 0.3), accrual=1.0, cohort=2, **run),
    }
    again = dose.compare_designs(
        {"BOIN": dose.BOIN(0.3), "3+3": dose.ThreePlusThree("stop")}, truths, 40, seed=7
    )
    written = pd.read_csv(simulated / "operating/overall.csv").set_index(["scenario", "design"])
    for name in truths:
        for design in ("BOIN", "3+3"):
            for column in ("correct", "none", "overdosed_share", "length_median", "correct_se"):
                expected = float(again[column].sel(design=design, scenario=name))
                assert written.loc[(name, design), column] == pytest.approx(expected)
    numbers = json.loads((simulated / "operating/operating.json").read_text(encoding="utf-8"))
    assert numbers["trials"] == 40
    assert numbers["seed"] == 7
    assert len(numbers["levels"]) == 3 * 2 * 3
    assert numbers["designs"]["3+3"].startswith("3+3")


def test_the_report_has_the_section_and_its_pictures(simulated):
    page = (simulated / "report.html").read_text(encoding="utf-8")
    assert "Operating characteristics: simulated trials" in page
    assert "40 simulated trials of each design in 3 scenarios" in page
    numbers = json.loads((simulated / "numbers.json").read_text(encoding="utf-8"))
    assert set(numbers["tables"]) == {"operating_overall", "operating_truth", "operating_levels"}
    assert sorted(p.name for p in (simulated / "figures").iterdir()) == [
        "operating_patients.svg", "operating_selected.svg",
    ]  # fmt: skip
    shares = numbers["tables"]["operating_overall"]["rows"]
    csv = pd.read_csv(simulated / "operating/overall.csv")
    assert [row["correct"] for row in shares] == pytest.approx((100 * csv["correct"]).tolist())


def test_the_folder_holds_a_run_file_that_repeats_it(simulated):
    again = study.load(simulated / "config.toml")
    assert again.spec.operating.trials == 40
    assert again.spec.seed == 7
    assert operating.scenarios_of(again) == operating.scenarios_of(
        loaded(DOSE.format(keys="") + OPERATING.format(keys=""))
    )


def test_tables_are_printed_for_people_and_scripts(simulated, capsys):
    said = operating.printed(simulated, as_csv=False)
    assert said.splitlines()[0].split()[:3] == ["scenario", "design", "correct"]
    assert said.splitlines()[-1].startswith("Report: ")
    table = pd.read_csv(io.StringIO(operating.printed(simulated, as_csv=True)))
    assert len(table) == 6
    assert operating.written(simulated)["trials"] == 40
    assert operating.written(simulated / "none") == {}
    assert execute(["operating", str(simulated / "absent.toml")]) == 1
    assert "absent.toml" in capsys.readouterr().err


def test_a_study_without_the_table_has_no_command():
    with pytest.raises(RunFileError, match=r"no \[operating\] table"):
        loaded('[data]\ndataset = "fast01"').only_operating()


def test_several_processes_give_the_same_numbers():
    designs = {"BOIN": dose.BOIN(0.3), "3+3": dose.ThreePlusThree("stop")}
    truth = dose.Scenario(levels=(1, 2), p=(0.1, 0.3), target=0.3, max_patients=6, accrual=1.0)
    news = []
    both = [
        dose.compare_designs(designs, {"a": truth}, 20, seed=1, jobs=jobs,
                             progress=lambda *said: news.append(said)) for jobs in (1, 2)
    ]  # fmt: skip
    assert both[0].identical(both[1])
    assert news[:2] == [(1, 2, "BOIN, a"), (2, 2, "3+3, a")]
    assert sorted(said[2] for said in news[2:]) == ["3+3, a", "BOIN, a"]  # as they end


# --- counts --------------------------------------------------------------------------------------


def test_counts_are_what_dose_counts_makes(tmp_path):
    more = COUNTS.replace("dlt = 2 }", "dlt = 2, pending = [10, 21.5] }") + "\ncurrent = 1e6"
    config = loaded(DOSE.format(keys=more))
    found = dose_counts.of(config, dosing.levels_of(config.spec.dose))
    assert found.table().equals(
        dose.counts({1e6: (0, 3), 3e6: (2, 6)}, levels=(1e6, 3e6, 1e7), current=1e6,
                    pending={3e6: [10, 21.5]}).table()
    )  # fmt: skip
    assert found.current == 0
    (tmp_path / "c.csv").write_text(
        "# the meeting of May\ndose,n,dlt,pending\n1000000,3,0,\n3e6,6,2,10 21.5\n"
    )
    of_file = loaded(DOSE.format(keys='counts = "c.csv"\ncurrent = 1e6'), root=tmp_path)
    again = dose_counts.of(of_file, dosing.levels_of(of_file.spec.dose))
    assert again.frame().equals(found.frame())


def test_a_decision_needs_nothing_but_counts(tmp_path, capsys):
    path = tmp_path / "meeting.toml"
    path.write_text(DOSE.format(keys=COUNTS), encoding="utf-8")
    assert execute(["dose", str(path), "--out", str(tmp_path / "run"), "--quiet"]) == 0
    said = capsys.readouterr().out
    # 2 of 6 at a target of 0.30: λe 0.236 < 0.333 < λd 0.359, so stay.
    assert "BOIN: Stay at 3×10⁶ cells." in said
    decided = json.loads((tmp_path / "run/dose/decisions.json").read_text(encoding="utf-8"))
    assert decided["3+3"]["action"] == "stop"
    page = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert "counts of patients and DLTs in the run file" in page
    assert "Kinetics" not in page
    assert study.load(tmp_path / "run/config.toml").spec.dose.counts is not None


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (COUNTS.replace("dlt = 2", "dlt = 7"), "more DLTs than patients"),
        (COUNTS.replace("n = 6", "n = -1"), r"counts\[1\].n"),
        (COUNTS.replace("n = 6", "n = 2.5"), "whole number"),
        (COUNTS.replace("n = 6", 'n = "six"'), "whole number"),
        (COUNTS.replace("n = 6", "n = nan"), r"counts\[1\].n"),
        (COUNTS + "\nas_of = 100.0", "'as_of', which needs the patients"),
        (COUNTS + "\nwithin = [0.7, 1.3]", "'within'"),
        ("current = 3e6", "'current', which goes with 'counts'"),
    ],
)
def test_impossible_counts_are_refused(keys, said):
    with pytest.raises(RunFileError, match=said):
        loaded(DOSE.format(keys=keys))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (COUNTS.replace("dose = 3e6", "dose = 2e6"), "2×10⁶ cells is not a planned"),
        (COUNTS.replace("dose = 3e6", "dose = 1e6"), "comes twice"),
        (COUNTS.replace("dlt = 2 }", "dlt = 2, pending = [40] }"), "0 to 28 days"),
        (COUNTS + "\ncurrent = 2e6", "not a planned"),
        ('counts = "none.csv"', "not a file"),
        ('counts = "no_n.csv"', "no column 'n'"),
        ('counts = "text.csv"', 'line 2: n = "three"'),
        ('counts = "many.csv"', "line 3: .*more DLTs than patients"),
    ],
)
def test_counts_that_do_not_fit_the_plan_are_refused_before_the_run(keys, said, tmp_path):
    (tmp_path / "no_n.csv").write_text("dose,dlt\n1e6,0\n")
    (tmp_path / "text.csv").write_text("dose,n,dlt\n1e6,three,0\n")
    (tmp_path / "many.csv").write_text("dose,n,dlt\n1e6,3,0\n3e6,3,4\n")
    with pytest.raises(ConfigError, match=said):
        study.plan(loaded(DOSE.format(keys=keys), root=tmp_path), tmp_path / "out")


def test_a_run_file_needs_one_source():
    with pytest.raises(RunFileError, match="DLTs would come from two places"):
        loaded('[data]\ndataset = "fast01"\n' + DOSE.format(keys=COUNTS))
    with pytest.raises(RunFileError, match=r"\[nca\], which needs the table \[data\]"):
        loaded(DOSE.format(keys=COUNTS) + "[nca]\n")
    with pytest.raises(RunFileError, match=r"has no \[data\]"):
        loaded(DOSE.format(keys=""))
    with pytest.raises(RunFileError, match=r"neither \[data\] nor dose.counts"):
        planned().only_dose()


# --- extremes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [(1e9,), tuple(1e3 * 3.0**k for k in range(12)), (1e8, 1e9)])
def test_one_dose_twelve_doses_and_huge_ones_are_decided(levels):
    blrm = dose.BLRM(
        levels, reference=levels[-1], prior=dose.BivariateNormal((-1.0, 0.0), (2.0, 1.0), 0.0),
        intervals=(0.16, 0.33),
    ) & dose.EWOC(0.33, 0.25) & dose.NoSkip()  # fmt: skip
    skeleton = dose.skeleton(0.02, 0.3, (len(levels) + 1) // 2, len(levels))
    safe = dose.counts({levels[0]: (0, 6)}, levels=levels)
    toxic = dose.counts({levels[0]: (6, 6)}, levels=levels)
    for design in (dose.BOIN(0.3), dose.CRM(skeleton, 0.3, sd=1.16) & dose.NoSkip()):
        assert design.recommend(safe).dose == levels[min(1, len(levels) - 1)]
        assert design.recommend(toxic).dose in (None, levels[0])
    table = blrm.recommend(safe).table  # 0 of 6 at the lowest dose speak for no over-dosing there
    assert table["over"].iloc[0] < 0.1
    assert (np.diff(table["over"]) >= 0).all()
    assert blrm.recommend(toxic).dose is None
    assert dose.BOIN(0.3).recommend(toxic).action == "stop"
    truth = dose.Scenario(
        levels=levels, p=[0.0] * len(levels), target=0.3, max_patients=60, accrual=9.0
    )
    found = dose.simulate_trials(dose.BOIN(0.3), truth, 5, seed=1)
    assert (found["mtd"] == len(levels)).all()


def test_empty_cohorts_count_nothing():
    # A dose with 0 of 0 is as if it had not been named, but for the current dose.
    levels = (1e6, 3e6, 1e7)
    with_empty = dose.counts({1e6: (0, 3), 3e6: (0, 0)}, levels=levels)
    assert with_empty.n.tolist() == [3, 0, 0]
    assert with_empty.table()["rate"].isna().tolist() == [False, True, True]
    assert dose.BOIN(0.3).recommend(with_empty).dose == 3e6
    assert dose.BOIN(0.3).recommend(dose.counts({}, levels=levels)).dose == 1e6
