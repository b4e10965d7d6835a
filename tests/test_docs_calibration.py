"""The page about calibration: its code runs, and its numbers are those of the results."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from cart_pkpd._checks.uniform import Walk, holm

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "calibration.md").read_text(encoding="utf-8")
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("calibration_*.json"))


def test_the_pages_code_runs():
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    quick = "simulations=2, draws=500, tune=300, cores=1, seed=1)"
    names: dict = {}
    exec(
        code.replace('simulations=200, resume="sbc", seed=1)', quick).replace("print", "str"), names
    )
    assert names["found"].sizes["simulation"] == 2


@pytest.mark.parametrize("path", RESULTS, ids=lambda p: p.stem)
def test_results_hold_the_ranks_their_p_values_come_from(path):
    found = json.loads(path.read_text(encoding="utf-8"))
    kept = np.array(found["status"]) == "converged"
    assert kept.sum() == found["counts"]["converged"]
    walk = Walk(int(kept.sum()), found["ranks"])
    p = []
    for name, record in found["quantities"].items():
        rank = np.array([-1 if r is None else r for r in found["rank"][name]])
        p.append(walk.p_value(rank[kept]))
        assert p[-1] == pytest.approx(record["p_value"], rel=1e-2)
    adjusted = [record["p_adjusted"] for record in found["quantities"].values()]
    assert holm(np.array(p)) == pytest.approx(adjusted, rel=1e-2)


@pytest.mark.parametrize("path", RESULTS, ids=lambda p: p.stem)
def test_the_page_says_what_the_results_say(path):
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["sentence"] in TEXT
    assert f"figures/{path.stem}.png" in TEXT
