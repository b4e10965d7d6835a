"""The guide to survival, grades and exposure–response: its code runs and tells what it says."""

import importlib.util
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
QUICK = "seed=1, draws=150, tune=150, chains=2, cores=1)"


def text():
    return (DOCS / "endpoints_survival.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def guide():
    """What the guide's code leaves behind, with fewer draws."""
    names = {}
    for block in re.findall(r"```python\n(.*?)```", text(), re.DOTALL):
        exec(re.sub(r"seed=1\)", QUICK, block), names)
    return names


def test_the_grades_are_those_that_are_shown(guide):
    records = guide["crs_grades"].records
    for row in records.to_dict("records"):
        assert re.search(rf"^{row['day']:g} +{row['grade']:g} +{re.escape(row['rule'])}$",
                         text(), re.MULTILINE)  # fmt: skip
    assert guide["dlt"]["dlt"].tolist() == [0.0]
    assert 24 * (6.5 - 4.0) == 60


def test_the_analyses_tell_what_the_guide_says(guide):
    assert "5 of 30 patients" in guide["er"].notes[0]
    assert guide["er"].ratios["estimate"].iloc[0] == pytest.approx(3.02, abs=0.01)
    assert guide["km"].summary["group"].tolist() == [1e6, 3e6, 1e7, 3e7]
    assert len(guide["late"].survival.summary) == 4
    assert set(guide["adrs"]["STUDYID"]) == {"FAST01"}
    assert guide["fit"].table().shape[0] == 4


def test_every_picture_is_made_by_the_script():
    path = DOCS / "make_endpoints_survival_figures.py"
    spec = importlib.util.spec_from_file_location("figures", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    made = script.pictures()
    shown = re.findall(r"figures/endpoints_survival_(\w+)\.png", text())
    assert sorted(made) == sorted(shown)
    for name, figure in made.items():
        assert figure.axes
        assert (DOCS / "figures" / f"endpoints_survival_{name}.png").stat().st_size < 150_000
