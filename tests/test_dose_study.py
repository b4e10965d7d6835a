"""The [dose] table of a run file, its step, its files and its section of the report."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from cart_pkpd import dose, study
from cart_pkpd._core.errors import DataError
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
    assert said == f"Next: {again.headline} By BLRM: {again.reason}"
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
    words = [*found.answers(), *found.reasons()]
    assert [label for label, _ in words] == [
        "Next:", "Designs:", "Evidence:", "BLRM:", "BOIN:", "Below the MTD:"
    ]  # fmt: skip
    assert words[3] == ("BLRM:", found.decisions["BLRM"].sentence)
    # Without figures, which other tests draw.
    (opening,) = _dose._opening(found)
    assert [text for _, text in opening.items] == [words[1][1], words[2][1]]
    assert words[2][1] == (
        "30 patients treated, 29 evaluable with 4 DLTs, 0 pending; DLT window 28 days; at the end "
        "of follow-up."
    )
    # One flag for both designs, with the patient, the reason and what to do.
    about = [text for text in found.flags() if "F01-010" in text]
    assert len(about) == 1
    assert about[0].startswith("BLRM, BOIN: 29 of 30 patients count at the planned level, without")
    assert "dlt_evaluable = 0" in about[0]
    assert "safety review" in about[0]
    assert _dose.section(None) is None


def of_counts(designs, counted, ask="next", **more):
    """Findings of plain counts: what the page says without a trial."""
    known = dose.counts(counted, levels=(1e6, 3e6, 1e7, 3e7))
    decisions = {
        n: d.mtd(known) if ask == "mtd" else d.recommend(known) for n, d in designs.items()
    }
    return DoseFindings(known, designs, decisions, **more)


SEEN = {1e6: (0, 3), 3e6: (0, 3), 1e7: (2, 17), 3e7: (2, 6)}  # fast01, evaluable


def test_designs_that_disagree_say_so_in_one_sentence():
    blrm = dosing.designs_of(load().spec.dose)["BLRM"]
    free, bound = dose.BOIN(0.25), dose.BOIN(0.25, bound=0.2984)
    apart = of_counts({"BLRM": blrm, "BOIN": free}, SEEN, "mtd")
    assert apart.agreement().startswith(
        "They disagree: BLRM – MTD: 1×10⁷ cells; BOIN – MTD: 3×10⁷ cells. The design of the"
    )
    one = of_counts({"BLRM": blrm, "BOIN": bound}, SEEN, "mtd")
    assert one.agreement() == "BLRM and BOIN agree: MTD: 1×10⁷ cells."
    assert one.answers()[0][1].startswith(
        "1×10⁷ cells, the MTD by BLRM. Seen there: 2 DLTs in 17 evaluable patients."
    )


def test_the_bundled_study_selects_no_dose_from_which_boin_would_de_escalate():
    spec = study.load(study.demo_file()).spec.dose
    boin = dosing.designs_of(spec)["BOIN"]
    # Boundary of de-escalation by the formula of Liu & Yuan (2015), target 0.25, 1.4 times it.
    p, high = 0.25, 0.35
    down = np.log((1 - p) / (1 - high)) / np.log(high * (1 - p) / (p * (1 - high)))
    assert boin.bound == pytest.approx(down, abs=5e-5)
    decision = of_counts({"BOIN": boin}, SEEN, "mtd").decisions["BOIN"]
    assert decision.dose == 1e7
    assert decision.table.loc[4, "blocked_by"] == "estimate above the bound 0.2984"
    flags = dose.BOIN(0.25).mtd(of_counts({"B": boin}, SEEN).data).flags
    assert flags[0].startswith("From the MTD of 3×10⁷ cells the design itself would de-escalate")


def test_a_table_of_every_dose_is_in_one_piece_and_says_what_the_prior_said():
    designs = dosing.designs_of(study.load(study.demo_file()).spec.dose)
    found = of_counts(designs, SEEN, "mtd")
    for name, design in designs.items():
        table = _dose._every_dose(name, design, found.decisions[name])
        assert len(table.panels) == 1, name
        keys = [c.key for c in table.printed]
        assert {"seen", "over", "prior_over", "allowed", "mtd"} <= set(keys)
        assert not {"treated", "pending", "rate"} & set(keys)
        assert {"dlts", "evaluable", "rate"} <= {c.key for c in table.columns}  # in the files
    blrm = _dose._every_dose("BLRM", designs["BLRM"], found.decisions["BLRM"])
    prior = designs["BLRM"].prior_table()["over"]
    assert [row["prior_over"] for row in blrm.rows] == pytest.approx(list(prior))
    assert blrm.rows[2]["seen"] == "2 of 17"
    assert blrm.rows[3]["allowed"] == "no, by the rule P(DLT rate ≥ 0.33) ≤ 0.25 (EWOC)"
    # Beta(1, 1) is above a target of 0.25 with probability 0.75.
    boin = _dose._every_dose("BOIN", designs["BOIN"], found.decisions["BOIN"])
    assert [row["prior_over"] for row in boin.rows] == pytest.approx([0.75] * 4)


def test_a_further_cohort_at_the_mtd_is_what_the_end_would_be_with_it():
    boin = dose.BOIN(0.25, bound=0.2984)
    known = dose.counts({1e6: (0, 3), 3e6: (1, 6), 1e7: (2, 3)}, levels=(1e6, 3e6, 1e7))
    table = dose.scenarios(boin, known, cohort=3, ask="mtd")
    assert table.attrs["ask"] == "mtd"
    assert (table["dose"] == 3e6).all()
    # Pooled by hand: (1 + 0.05 + j) / (9 + 0.1) at 3e6 exceeds 0.2984 from j = 2 on.
    assert table["action"].tolist() == ["same MTD", "same MTD", "lower MTD", "lower MTD"]
    assert table["next_dose"].tolist() == [3e6, 3e6, 1e6, 1e6]


@pytest.mark.parametrize("ask", ["mtd", "next"])
def test_every_design_has_its_scenarios_or_says_why_not(ask):
    config = load(f'ask = "{ask}"\ncohort = 2').spec.dose
    designs = dosing.designs_of(config)
    found = of_counts(designs, SEEN, ask)
    got, without = dosing._scenarios(designs, found.decisions, found.data, config)
    assert set(got) == set(designs)
    assert not without
    assert all(t.attrs["ask"] == ask and len(t) == 3 for t in got.values())
    assert got["BLRM"].attrs["source"] == "cohort = 2 in the [dose] table of the run file"
    blocks = _dose._scenarios("BLRM", got["BLRM"], "cells")
    title = {"mtd": "the MTD after a further cohort of 2 at 1×10⁷ cells",
             "next": "the decision after the next cohort of 2 at 1×10⁷ cells"}[ask]  # fmt: skip
    same, attached = blocks
    assert attached.table.title == f"BLRM: {title}"
    # Every outcome leads to the same, which is then one sentence.
    assert set(got["BLRM"]["next_dose"]) == {1e7}
    assert same.text == {
        "mtd": "After a further cohort of 2 at 1×10⁷ cells the MTD by BLRM is 1×10⁷ cells, "
               "whatever its number of DLTs (0 to 2).",
        "next": "After the next cohort of 2 at 1×10⁷ cells BLRM says stay: 1×10⁷ cells, whatever "
                "its number of DLTs (0 to 2).",
    }[ask]  # fmt: skip
    toxic = of_counts(designs, {1e6: (3, 3)}, "next")
    got, without = dosing._scenarios(designs, toxic.decisions, toxic.data, load().spec.dose)
    assert "No next cohort is due" in without["BOIN"]


def test_the_cohort_is_that_of_the_design_where_the_run_file_has_none():
    design = dose.BOIN(0.25) & dose.CohortSize(3, before_dlt=1)
    known = dose.counts({1e6: (0, 1)}, levels=(1e6, 3e6))
    assert dosing._cohort(load().spec.dose, design.recommend(known))[0] == 1
    assert dosing._cohort(load().spec.dose, dose.BOIN(0.25).recommend(known))[0] == 3


# Nine patients of a running trial: infusion day, dose, day of a DLT, last contact.
NINE = [
    (0, 1e6, None, 60), (14, 1e6, None, 60), (28, 1e6, None, 60), (42, 3e6, None, 60),
    (56, 3e6, 9, 54), (70, 3e6, None, 40), (84, 1e7, 8, 26), (91, 1e7, None, 19),
    (98, 1e7, None, 12),
]  # fmt: skip


def nine(root, changed=None, keys="as_of = 110", text=DOSE):
    """Write the trial and its run file; `changed` replaces values of one patient's rows."""
    head = "ID,TIME,DVID,UNIT,DV,LLOQ,AMT,EVID,DOSELEVEL,INFUSION_DAY,LAST_CONTACT_DAY,DLT,DLT_DAY"
    rows = [head]
    for i, (start, level, day, last) in enumerate(NINE):
        own = {"dose": f"{level:g}", "start": start, "last": last, "dlt": int(day is not None),
               "day": "." if day is None else day}  # fmt: skip
        if changed and changed[0] == i:
            own |= changed[1]
        end = ",".join(str(own[k]) for k in ("dose", "start", "last", "dlt", "day"))
        rows.append(f"N-{i + 1},0,dose,cells,.,.,{level:g},1,{end}")
        for t, v in ((1, 60), (7, 2000 * (i + 2) / 5), (14, 1500), (28, 300)):
            if t <= 110 - start:
                rows.append(f"N-{i + 1},{t},transgene,copies/µg,{v:g},50,.,0,{end}")
    (root / "nine.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    path = root / "study.toml"
    path.write_text('[data]\ntable = "nine.csv"\n' + text.format(keys=keys, more=""), "utf-8")
    return path


def test_patients_inside_the_window_count_by_follow_up_and_are_named(tmp_path):
    from cart_pkpd._study import steps

    config = study.load(nine(tmp_path))
    found = dosing.compute(config, steps.load_trial(config))
    assert found.data.pending.tolist() == [0, 0, 2, 0]
    assert found.data.follow_up(2).tolist() == [19.0, 12.0]  # 110 - 91, 110 - 98
    assert found.evidence().endswith("2 pending; DLT window 28 days; as of day 110 of the trial.")
    flag = found.decisions["BLRM"].flags[0]
    assert flag.startswith("2 patients still inside the DLT window of 28 days, counted by share of")
    assert "N-8 (day 19), N-9 (day 12)" in flag
    # All outcomes of the two lead BOIN to the same: 1, 2 or 3 of 3 are above its boundary.
    assert found.decisions["BOIN"].action == "de-escalate"
    end = dose.TITEBOIN(0.25).mtd(found.data).flags[0]
    assert "not counted" in end
    assert end.endswith("in 16 days.")  # 28 - 12
    assert steps._cutoff(config) == "day 110 of the trial"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ((4, {"last": 5}), "patient 'N-5' has a DLT on day 9, after the last contact on day 5;"),
        ((4, {"dlt": 0}), "patient 'N-5' has a DLT on day 9 but dlt = 0;"),
        ((4, {"day": -1}), "patient 'N-5' has a DLT on day -1, before the infusion;"),
        ((8, {"dose": "2e7"}), "patient 'N-9' has a dose level outside the plan: 2×10⁷ cells is"),
    ],
)
def test_what_cannot_be_true_of_a_patient_is_one_sentence(tmp_path, changed, said):
    from cart_pkpd._study import steps

    config = study.load(nine(tmp_path, changed))
    with pytest.raises(DataError) as error:
        dosing.compute(config, steps.load_trial(config))
    assert str(error.value).startswith(said)
    assert "\n" not in str(error.value)


def test_more_dlts_than_patients_is_one_sentence():
    with pytest.raises(DataError, match=r"^at 3×10⁶ cells: 4 DLTs are more than 3 patients; give"):
        dose.counts({3e6: (4, 3)}, levels=(1e6, 3e6))


def test_the_command_says_why_there_is_no_decision(tmp_path, capsys):
    path = nine(tmp_path, (4, {"last": 5}))
    code = execute(["dose", str(path), "--out", str(tmp_path / "out"), "--quiet"])
    assert code == 3
    said = "No dose decision: patient 'N-5' has a DLT on day 9, after the last contact on day 5"
    assert said in capsys.readouterr().err
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "No dose decision: patient" in page


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


def test_scenarios_that_differ_are_drawn_and_their_rules_folded(monkeypatch):
    """BOIN with target 0.25 goes up below 0.197 and down above 0.298 (Liu and Yuan 2015)."""
    known = dose.counts({1e6: (0, 3)}, levels=(1e6, 3e6))
    table = dose.scenarios(dose.BOIN(target=0.25), known, cohort=3)
    assert table["next_dose"].nunique() > 1
    monkeypatch.setattr(_dose, "picture", lambda name, draw, **how: (name, how["alt"]))
    drawn, folded = _dose._scenarios("BOIN", table, "cells")
    assert drawn[0] == "dose_boin_scenarios"
    (shown,) = folded.blocks
    assert [row["dlts"] for row in shown.rows] == [0, 1, 2, 3]


def test_why_the_mtd_stands_is_what_the_table_says():
    """P(enough) 0.93 with 3 patients is too few patients, not too little exposure."""
    from types import SimpleNamespace

    from cart_pkpd.report import _findings

    table = pd.DataFrame({
        "dose": [1e6, 3e6, 1e7], "p_enough": [0.932, 0.967, 1.0], "over": [0.0, 0.0, 0.004],
        "n": [3, 3, 17], "eligible": [False, False, True],
    })  # fmt: skip
    table.attrs["benefit"] = "typical Cmax"
    below = SimpleNamespace(
        table=table, unit="cells", dose=1e7, extra={"mtd": 1e7, "certainty": 0.7, "fewest": 6}
    )
    few = "fewer than 6 evaluable patients"
    assert _findings.barred_by(below) == [few, few, ""]
    assert _findings._why_not_lower(below) == (
        "1×10⁶ and 3×10⁶ cells would probably give enough typical Cmax, but fewer than 6 evaluable "
        "patients were treated there each"
    )
    table["p_enough"] = [0.5, 0.6, 1.0]
    assert _findings.barred_by(below) == ["P(enough) below 0.7"] * 2 + [""]
    assert _findings._why_not_lower(below) == "no lower dose is sure to give enough typical Cmax"
    table["p_enough"], table["over"] = 0.9, [0.01, 0.0, 0.004]
    assert _findings.barred_by(below)[0] == "more over-dosing than at the MTD"
