"""The guide on kinetics in the dose decision: its code runs and says what it says."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
QUICK = "draws=300, tune=300, chains=2, cores=1, cytokines=['il6'], seed=1)"


def blocks():
    text = (DOCS / "dose_kinetics.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def guide():
    """What the guide's code leaves behind, without the chain, which is sampled."""
    names = {}
    for block in blocks():
        if "dose.chain(" not in block:
            exec(block, names)
    return names


def test_exposure_of_the_bundled_trial_is_flat(guide):
    # Simulated without an effect of dose on exposure worth seeing in 30 patients.
    cmax = guide["cmax"]
    assert cmax.p_slope_below_half > 0.99
    assert cmax.proportional.verdict == "not proportional"


def test_a_lower_dose_is_recommended_where_exposure_is_flat(guide):
    assert guide["below"].action == "recommend"
    assert guide["below"].dose < 3e7


def test_every_picture_is_there():
    text = (DOCS / "dose_kinetics.md").read_text(encoding="utf-8")
    for name in re.findall(r"\]\((figures/[\w.]+)\)", text):
        assert (DOCS / name).is_file(), name


def test_the_guides_run_file_is_a_study():
    from cart_pkpd import study

    text = (DOCS / "dose_kinetics.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    steps = study.plan(study.loads(f'[data]\ndataset = "fast01"\n{table}'), "nowhere")
    assert ("dose", "MTD by BLRM; the chain from dose to DLT") in steps


@pytest.mark.slow
def test_the_guides_chain_runs(guide):
    block = next(b for b in blocks() if "dose.chain(" in b)
    exec(block.replace("seed=1)", QUICK), guide)
    assert guide["chain"].per_dose()["mean"].is_monotonic_increasing
