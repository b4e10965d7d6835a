"""The code of the engine's guide and of the README runs and does what the text says."""

import re
from pathlib import Path

import numpy as np
import pytest

from cart_pkpd import models

ROOT = Path(__file__).resolve().parents[1]


def blocks(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def guide():
    """The model of the guide, declared by its own first block."""
    names = {}
    exec(blocks("docs/engine.md")[0], names)
    return names["AntigenDriven"]()


def test_the_guides_model_has_units_for_its_endpoints(guide):
    assert guide.endpoints == {"transgene": "copies/µg", "il6": "pg/mL"}


def test_the_guides_simulations_run(guide):
    """The first lines of the second block: one patient, then three with two infusions."""
    first, second = blocks("docs/engine.md")[1].split("\nmodel.")[1:3]
    names = {"model": guide}
    exec("out = model." + first.split("#")[0], names)
    assert names["out"]["transgene"].dims == ("time",)
    exec("more = model." + second.split("#")[0].split("\nfit.")[0], names)
    assert names["more"].sizes == {"time": 29, "id": 3}
    assert (names["more"]["status"] == "solved").all()
    assert float(names["more"]["transgene"][0, 20]) < float(names["more"]["transgene"][2, 10])


def test_the_readmes_model_is_what_it_says():
    """Growth at the rate until the peak, decline after: exp(0.6 * 9 - 0.15 * 5) at day 14."""
    code = next(b for b in blocks("README.md") if "OdeModel" in b)
    names = {"models": models}
    exec(code.split("\nTurnover()")[0], names)
    out = names["Turnover"]().simulate([0, 7, 14, 28], {"rate": [0.6, 0.8]}, doses=5.0)
    expected = 5.0 * np.exp([0.6 * 9 - 0.15 * 5, 0.8 * 9 - 0.15 * 5])
    np.testing.assert_allclose(out["transgene"].sel(time=14), expected, rtol=1e-5)
