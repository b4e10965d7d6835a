"""The guide to endpoints: its code runs, tells what it says, and its pictures are made."""

import importlib.util
import re
from pathlib import Path

import pytest

from cart_pkpd import study
from cart_pkpd._study.endpointstable import Endpoints, ExposureTable

DOCS = Path(__file__).resolve().parents[1] / "docs"


def text():
    return (DOCS / "endpoints.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def guide():
    """What the guide's code leaves behind."""
    names = {}
    for block in re.findall(r"```python\n(.*?)```", text(), re.DOTALL):
        exec(block, names)
    return names


def test_the_guide_tells_what_its_code_gives(guide):
    row = guide["best"].set_index("id").loc["F01-009"]
    shown = f"{row['confirmed']}  |  {row['confirmed_reason']}"
    assert shown in text()
    own, joint = (
        t[(t["group"] == "3e+06") & (t["measure"] == "ORR")].iloc[0] for t in guide["both"]
    )
    assert f"{own['x']:g} of {own['n']:g}:  {own['rate']:g} ({own['lower']:g} to" in text()
    assert f"to {own['upper']:.2f}) on its own" in text()
    assert f"{joint['rate']:.2f} ({joint['lower']:.2f} to {joint['upper']:.2f}) with" in text()


def test_every_picture_is_made_by_the_script():
    spec = importlib.util.spec_from_file_location("figures", DOCS / "make_endpoints_figures.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    made = script.pictures()
    shown = re.findall(r"figures/endpoints_(\w+)\.png", text())
    assert set(made) <= set(shown)
    for name, figure in made.items():
        assert figure.axes
        assert (DOCS / "figures" / f"endpoints_{name}.png").stat().st_size < 150_000


def test_the_run_file_of_the_guide_is_one():
    (block,) = re.findall(r"```toml\n(.*?)```", text(), re.DOTALL)
    config = study.loads(block)
    assert "endpoints" in dict(study.plan(config, "nowhere"))
    said = block + text().split("| further keys")[1].split("What is left out")[0]
    for table in (Endpoints, ExposureTable):
        for key in table.model_fields:
            assert re.search(rf"\b{key}\b", said), key
