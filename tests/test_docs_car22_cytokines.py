"""The joint case study of cells and cytokines: its model, and what its page shows."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

DOCS = Path(__file__).resolve().parents[1] / "docs"
TEXT = (DOCS / "car22_cytokines.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def script():
    path = DOCS / "make_car22_cytokines.py"
    spec = importlib.util.spec_from_file_location("make_car22_cytokines", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_cells_follow_stein_some_days_late_and_cytokines_two_exponentials(script):
    """Both written out here; solver at 1e-6, formulas of time without a state: 1e-9."""
    model, t = script.joint(), np.array([0.0, 5.0, 9.9, 10.1, 12.0, 20.0])
    values = {"cmax": 500.0, "tmax": 10.0, "rho": 1.5, "alpha": 0.2, "lag": 1.5, "up": 1.1,
              "down": 0.4, "il6_base": 4.0, "il6_rise": 90.0}  # fmt: skip
    found = model.simulate(t, values)
    late = np.maximum(t, 1.5) - 11.5  # before the lag, cells are at their first level
    slow = 0.9921 * np.exp(-0.2 * late) + 0.0079 * np.exp(-0.01 * late)
    cells = 500 * np.where(late < 0, np.exp(1.5 * late), slow)
    assert_allclose(found["car_abs"].to_numpy(), cells, rtol=1e-9)
    since = t - 10.0
    signal = np.where(since < 0, np.exp(1.1 * since), np.exp(-0.4 * since))
    assert_allclose(found["il6"].to_numpy(), 4.0 + 90.0 * signal, rtol=1e-9)


def test_a_turnover_driven_by_a_growing_signal_is_in_balance_with_it():
    """kout y' = …: under exp(u t) the level is kout / (kout + u) of the balanced one, exactly."""
    kout, up = 3.96, 1.2
    t = np.linspace(0, 5, 6)
    level = kout / (kout + up) * np.exp(up * t)
    assert_allclose(up * level, kout * np.exp(up * t) - kout * level, rtol=1e-12)


def test_every_figure_of_the_page_is_made_by_the_script(script):
    shown = set(re.findall(r"figures/(car22_cytokines_\w+)\.png", TEXT))
    made = {f"car22_cytokines_{kind}_{e}" for e in script.ENDPOINTS for kind in ("vpc", "npde")}
    assert shown == made
    for name in made:
        assert (DOCS / "figures" / f"{name}.png").stat().st_size < 150_000
