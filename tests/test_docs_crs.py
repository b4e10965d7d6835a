"""The CRS guide: its code runs and its pictures are made by the script."""

import importlib.util
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
QUICK = "seed=1, draws=200, tune=200, chains=2, cores=1)"


def blocks():
    text = (DOCS / "crs.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def guide():
    """What the guide's code leaves behind, with fewer draws."""
    names = {}
    for block in blocks():
        exec(re.sub(r"seed=1\)", QUICK, block), names)
    return names


def test_the_guides_layer_is_the_default_one(guide):
    from cart_pkpd import crs

    usual = [q.name for q in crs.default().quantities]
    assert [q.name for q in guide["layer"].quantities] == usual


def test_the_guides_fits_tell_what_it_says(guide):
    fitted = guide["fitted"]
    assert "occurrence: 16 of 30 patients had CRS." in fitted.notes
    ratios = fitted.odds_ratios().set_index(["part", "change"])
    assert 1.5 < ratios.loc[("onset", "2-fold"), "median"] < 2.4
    slope = guide["again"].posterior["grade_ln_il6_peak"]
    assert float(slope.median()) == pytest.approx(0.97, abs=0.15)


def test_every_picture_is_made_by_the_script(guide):
    spec = importlib.util.spec_from_file_location("figures", DOCS / "make_crs_figures.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    made = script.pictures(guide["fitted"])
    shown = re.findall(r"figures/crs_(\w+)\.png", (DOCS / "crs.md").read_text(encoding="utf-8"))
    assert sorted(shown) == sorted(made)
    for name, figure in made.items():
        assert figure.axes
        assert (DOCS / "figures" / f"crs_{name}.png").stat().st_size < 150_000
