"""The dose guide: its code runs, and it says what comes out."""

import re
from pathlib import Path

import pytest
from test_docs_engine import blocks

DOCS = Path(__file__).resolve().parents[1] / "docs"
TEXT = (DOCS / "dose.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def guide():
    """What the guide's code leaves behind."""
    names = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(block, names)
    return names


def test_the_decision_is_the_one_the_guide_tells(guide):
    decision = guide["decision"]
    assert decision.sentence.startswith("Stay at 1×10⁷ cells, 3 patients. 1×10⁷ cells has the")
    assert decision.table["over"][4] == pytest.approx(0.40, abs=0.005)
    assert guide["mtd"].dose == 1e7
    assert guide["ahead"].index.tolist() == [0, 1, 2, 3]
    assert set(guide["more"]["action"]) == {"same MTD"}
    assert (guide["above"].dose, guide["inside"].dose) == (3e7, 1e7)
    assert "would de-escalate" in guide["above"].flags[0]


def test_what_the_guide_warns_of_is_true(guide):
    dose, levels = guide["dose"], guide["levels"]
    one_of_three = dose.counts({1e6: (0, 3), 3e6: (1, 3)}, levels=levels)
    assert dose.BOIN(0.25).recommend(one_of_three).action == "de-escalate"
    assert dose.BOIN(0.30).recommend(one_of_three).action == "stay"
    assert dose.BOIN(0.25).recommend(guide["waiting"]).action == "wait"


def test_counts_of_the_guide_are_decided_as_it_says(tmp_path):
    from cart_pkpd import study
    from cart_pkpd._study import dose_counts, dosing

    config = study.loads(re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)[0])
    assert [step for step, _ in study.plan(config, tmp_path / "x")] == ["dose", "report"]
    seen = dose_counts.of(config, dosing.levels_of(config.spec.dose))
    said = dosing.designs_of(config.spec.dose)["BOIN"].recommend(seen).sentence
    assert said in " ".join(TEXT.replace("*", "").split())


def test_every_name_in_the_guide_exists(guide):
    for name in re.findall(r"`([A-Z][A-Za-z0-9]+)(?:\(|`)", TEXT):
        assert hasattr(guide["dose"], name), name
    assert all((DOCS / path).is_file() for path in re.findall(r"\]\((figures/.*?)\)", TEXT))


def test_the_readmes_decision_runs():
    """With the trial and the NCA of the README's first block."""
    from cart_pkpd import datasets, nca

    trial = datasets.load("fast01")
    names = {
        "datasets": datasets,
        "trial": trial,
        "params": nca.table(trial, endpoint="transgene", window=(0, 28)),
    }
    exec(next(b for b in blocks("README.md") if "dose.Levels" in b), names)
    assert names["design"].mtd(names["seen"]).dose == 1e7
    assert (names["best"]["confirmed"] == "PR").sum() == 6
