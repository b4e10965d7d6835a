"""The guide of operating characteristics: its code runs, and it says what comes out."""

import re
from pathlib import Path

import numpy as np
import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
TEXT = (DOCS / "dose_operating.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def guide():
    """What the guide's code leaves behind, with fewer trials."""
    names = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        fewer = block.replace("trials=1000", "trials=100").replace("patients=2000", "patients=300")
        exec(fewer, names)
    return names


def test_the_table_of_the_guide_is_what_comes_out(guide):
    table = guide["table"].set_index(["scenario", "design"])
    rows = re.findall(r"^\| ([\w, ]+) \| (BLRM|TITE-CRM|BOIN|3\+3) \| (\d+) \|", TEXT, re.MULTILINE)
    assert len(rows) == len(table) == 16
    for scenario, design, correct in rows:
        error = 4 * np.sqrt(0.25 / 100 + 0.25 / 1000)
        assert table.loc[scenario, design]["correct"] == pytest.approx(
            int(correct) / 100, abs=error
        )
    errors = guide["per_level"]["selected_se"]
    assert 0 <= errors.min() <= errors.max() <= 0.51 / np.sqrt(100)


def test_designs_with_follow_up_are_faster_there(guide):
    length = guide["found"]["length_median"].sel(scenario="middle")
    assert length.sel(design="TITE-CRM") < length.sel(design="BOIN")


def test_the_exposure_of_the_guide_is_nearly_flat(guide):
    p = guide["exposed"].rates
    assert (np.diff(p) > 0).all()
    assert p[-1] - p[0] < 0.25


def test_the_run_file_of_the_guide_is_one(guide, tmp_path):
    from cart_pkpd import study
    from cart_pkpd._study import operating

    config = study.loads(re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)[0])
    assert [step for step, _ in study.plan(config, tmp_path / "x")] == ["operating", "report"]
    truths = operating.scenarios_of(config)
    assert list(truths) == ["mine", "toxic", "slow"]
    assert truths["slow"].accrual == 1.0
    early = dict(guide["run"], levels=dose_levels(config))
    mine = guide["dose"].Scenario(p=(0.05, 0.15, 0.30, 0.45, 0.60), **early)
    assert truths["mine"].onset == mine.onset
    assert truths["mine"].dropout == mine.dropout


def dose_levels(config):
    from cart_pkpd._study import dosing

    return dosing.levels_of(config.spec.dose)


def test_standard_scenarios_are_those_the_guide_names(guide):
    assert list(guide["standard"]) == [
        "all safe", "highest", "middle", "lowest", "all toxic", "steep", "flat",
    ]  # fmt: skip
    # Odds of 3/7, times exp(0.8) per level.
    odds = 3 / 7 * np.exp(0.8 * np.arange(-2, 3))
    assert guide["standard"]["middle"].rates == pytest.approx(odds / (1 + odds))
    said = [float(v) for v in re.search(r"# (0\.08.*)", TEXT)[1].split(",")]
    assert said == [round(p, 2) for p in (odds / (1 + odds)).tolist()]


def test_every_name_in_the_guide_exists(guide):
    for name in re.findall(r"`dose\.([A-Za-z_]+)`", TEXT):
        assert hasattr(guide["dose"], name), name
    assert all((DOCS / path).is_file() for path in re.findall(r"\]\((figures/.*?)\)", TEXT))
