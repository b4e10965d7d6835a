"""The [dose] table of a run file, its step, its files and its section of the report."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from cart_pkpd import dose, study
from cart_pkpd._study import dosing
from cart_pkpd._study.folder import RunFolder
from cart_pkpd.cli import execute
from cart_pkpd.report import DoseFindings, _dose

HEAD = '[data]\ndataset = "fast01"\n'
DOSE = """
[dose]
levels = [1e6, 3e6, 1e7, 3e7]
within = [0.7, 1.3]
{keys}
[dose.designs.BLRM]
design = "BLRM"
reference = 1e7
prior = {{ mean = [-1.4, 0.0], sd = [1.5, 0.7], corr = 0.0 }}
intervals = [0.16, 0.33]
rules = [{{ rule = "EWOC", threshold = 0.33, bound = 0.25 }}, {{ rule = "NoSkip" }}]
[dose.designs.BOIN]
design = "BOIN"
target = 0.25
{more}
"""
BELOW = '[dose.below]\ndesign = "BLRM"\nshare = 0.8\ncertainty = 0.7'


def load(keys="", more="", text=DOSE, root=None):
    return study.loads(HEAD + text.format(keys=keys, more=more), root=root)


def test_designs_are_those_of_the_package():
    made = dosing.designs_of(load().spec.dose)
    levels = dose.Levels((1e6, 3e6, 1e7, 3e7), "cells", (0.7, 1.3))
    blrm = dose.BLRM(
        levels, reference=1e7, prior=dose.BivariateNormal((-1.4, 0.0), (1.5, 0.7), 0.0),
        intervals=(0.16, 0.33),
    ) & dose.EWOC(0.33, 0.25) & dose.NoSkip()  # fmt: skip
    assert made == {"BLRM": blrm, "BOIN": dose.BOIN(target=0.25)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (DOSE.replace('"EWOC"', '"EWOK"'), r"rules\[0\]: unknown rule 'EWOK'. Did you mean 'EWOC'"),
        (DOSE.replace("target = 0.25", "targte = 0.25"), "takes no 'targte'.*'target'"),
        (DOSE.replace("target = 0.25", ""), "BOIN needs 'target'"),
        (DOSE.replace("[0.16, 0.33]", "[0.33, 0.16]"), "rising probabilities"),
        (DOSE.replace("[1e6, 3e6", "[3e6, 3e6"), "not above"),
        (DOSE.replace('"BOIN"\n', '"BOYN"\n'), "design"),
        (DOSE + BELOW.replace("BLRM", "X"), "not one of its designs"),
        (DOSE.replace("{keys}", 'response = "no.csv"'), "not a file"),
    ],
)
def test_what_is_wrong_is_said_before_any_data_are_read(text, said):
    with pytest.raises(study.RunFileError, match=said):
        study.plan(load(text=text), "nowhere")


def test_a_study_without_a_dose_table_has_no_dose_command():
    with pytest.raises(study.RunFileError, match=r"no \[dose\] table"):
        study.loads(HEAD).only_dose()


@pytest.fixture(scope="module")
def decided(tmp_path_factory):
    """The dose step of the bundled trial without the chain, with its files."""
    root = tmp_path_factory.mktemp("dose")
    answers = pd.DataFrame({"id": ["F01-007", "F01-013"], "best_response": ["PR", "SD"]})
    answers.to_csv(root / "best.csv", index=False)
    config = load('ask = "next"\nresponse = "best.csv"', BELOW, root=root)
    from cart_pkpd import datasets

    found, said = dosing.decide(config, datasets.load("fast01"), RunFolder(root / "run"))
    return found, said, root / "run"


def test_decisions_are_those_of_the_designs(decided):
    found, said, _ = decided
    again = found.designs["BLRM"].recommend(found.data)
    assert said == f"BLRM: {again.sentence}"
    assert found.below is not None
    assert found.below.action == "recommend"
    assert found.activity.table().loc[1e7, "response"] == 1


def test_every_number_is_in_json_and_csv(decided):
    found, _, folder = decided
    numbers = json.loads((folder / "dose/decisions.json").read_text(encoding="utf-8"))
    assert set(numbers) == {"BLRM", "BOIN", "below the MTD"}
    assert numbers["BLRM"]["dose"] == found.decisions["BLRM"].dose
    for name, table in found.frames().items():
        written = pd.read_csv(folder / f"dose/{name}.csv")
        assert len(written) == len(table), name
    power = pd.read_csv(folder / "dose/cmax_power.csv", index_col="quantity")
    assert power.loc["slope", "median"] == pytest.approx(found.exposures["cmax"].slope[0])


def test_the_section_begins_with_the_answer(decided):
    found = decided[0]
    # Without figures, which other tests draw.
    opening = _dose._opening(found)
    words = opening[0].items
    assert words[0] == ("BLRM:", found.decisions["BLRM"].sentence)
    assert words[-1][0] == "Below the MTD:"
    assert any("F01-010" in b.text for b in opening[1:])
    assert _dose.section(None) is None


def test_findings_may_hold_little():
    known = dose.counts({1e6: (0, 3)}, levels=(1e6, 3e6))
    design = dose.BOIN(target=0.25)
    found = DoseFindings(known, {"BOIN": design}, {"BOIN": design.recommend(known)})
    section = _dose.section(found)
    assert [p.title for p in section.parts] == ["Cohorts", "BOIN"]


@pytest.mark.slow
def test_the_command_writes_report_and_decisions(tmp_path, capsys):
    chain = (
        "[dose.chain]\nreference = 1e7\nintercept = [-1.4, 1.5]\nlimits = [0.16, 0.33]\n"
        'cytokines = ["il6"]\n'
    )
    path = tmp_path / "study.toml"
    path.write_text(HEAD + DOSE.format(keys='ask = "mtd"', more=chain + BELOW), encoding="utf-8")
    code = execute(["dose", str(path), "--out", str(tmp_path / "out")])
    said = capsys.readouterr()
    assert code == 0, said.err
    assert "below the MTD: Recommended dose" in said.out
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    for heading in ("Cohorts", "A dose below the MTD", "Activity beside toxicity"):
        assert heading in page
    back = dose.load_chain(tmp_path / "out/dose/chain.nc")
    assert back.verdict.ok
