"""The guide to diagnostics: its code runs, and its pictures are those of the script."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
TEXT = (DOCS / "diagnostics.md").read_text(encoding="utf-8")
QUICK = "seed=1, draws=150, tune=250, chains=2, cores=1)"


def test_every_picture_is_made_by_the_script():
    script = (DOCS / "make_diagnostics_figures.py").read_text(encoding="utf-8")
    made = re.findall(r'^        "(\w+)": plots\.', script, re.MULTILINE)
    shown = re.findall(r"figures/diagnostics_(\w+)\.png", TEXT)
    assert sorted(shown) == sorted(made)
    for name in made:
        assert (DOCS / "figures" / f"diagnostics_{name}.png").stat().st_size < 150_000


@pytest.mark.slow
def test_the_guides_code_tells_what_the_guide_says():
    """With fewer draws: SD of IWRES, mean and SD of NPDE, shrinkage of fb within 0.1."""
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(re.sub(r"seed=1\)", QUICK, block), names)
    sd = names["residuals"]["sd"].sel(residual=["iwres", "npde"]).to_numpy()
    assert sd == pytest.approx([0.70, 0.97], abs=0.1)
    assert float(names["residuals"]["mean"].sel(residual="npde")) == pytest.approx(0.01, abs=0.1)
    assert float(names["deviations"]["shrinkage"].sel(parameter="fb")) == pytest.approx(
        0.5, abs=0.1
    )
