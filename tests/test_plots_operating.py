"""The picture of operating characteristics."""

import numpy as np
import pytest
import xarray as xr

from cart_pkpd import dose, plots
from cart_pkpd._core.errors import DataError

LEVELS = (1e6, 3e6, 1e7)
MIDDLE = dose.Scenario(levels=LEVELS, p=(0.1, 0.3, 0.5), target=0.3, max_patients=12, accrual=2.0)
TOXIC = dose.Scenario(levels=LEVELS, p=(0.5, 0.6, 0.7), target=0.3, max_patients=12, accrual=2.0)


@pytest.fixture(scope="module")
def found():
    designs = {"BOIN": dose.BOIN(0.3), "3+3": dose.ThreePlusThree("stop")}
    return dose.compare_designs(designs, {"middle": MIDDLE, "toxic": TOXIC}, 100, seed=1)


def heights(ax):
    return [patch.get_height() for patch in ax.patches if patch.get_width() < 0.9]


def test_bars_are_the_shares_and_none_is_on_the_left(found):
    axes = plots.operating_characteristics(found)
    assert len(axes) == 2
    for ax, scenario in zip(axes, ("middle", "toxic"), strict=True):
        cell = found.sel(scenario=scenario)
        expected = [
            v for d in ("BOIN", "3+3") for v in
            (float(cell["none"].sel(design=d)), *cell["selected"].sel(design=d).values)
        ]  # fmt: skip
        np.testing.assert_allclose(heights(ax), expected)
    labels = [t.get_text() for t in axes[0].get_xticklabels()]
    assert labels[0] == "none\n"
    assert labels[2].endswith("0.30")


def test_the_correct_level_or_none_is_shaded(found):
    middle, toxic = plots.operating_characteristics(found)
    for ax, place in ((middle, 2), (toxic, 0)):
        shaded = [p for p in ax.patches if abs(p.get_width() - 1.0) < 1e-9]
        assert [p.get_x() + 0.5 for p in shaded] == [place]


def test_one_design_and_patients_are_drawn_too(found):
    one = dose.simulate_trials(dose.BOIN(0.3), MIDDLE, 50, seed=1)
    (ax,) = plots.operating_characteristics(one, measure="patient_share")
    np.testing.assert_allclose(heights(ax), one["patient_share"])


def test_more_than_six_designs_are_tiles_with_their_shares(found):
    many = found.isel(design=[0, 1] * 4).assign_coords(design=[f"d{i}" for i in range(8)])
    axes = plots.operating_characteristics(many)
    assert len(axes) == 2
    cell = many.sel(scenario="toxic")
    shares = np.concatenate([cell["none"].values[:, None], cell["selected"].values], axis=1)
    shown = [t.get_text() for t in axes[1].texts]
    assert shown == [f"{100 * v:.0f}" for v in shares.ravel()]
    tiles = [p for p in axes[1].patches if p.get_height() == 1]
    np.testing.assert_allclose([p.get_alpha() for p in tiles], shares.ravel())
    (frame,) = (p for p in axes[1].patches if p.get_height() == 8)
    assert frame.get_x() + 0.5 == 0  # none is correct
    without = plots.operating_characteristics(many, measure="patient_share")
    assert len(without[1].texts) == 8 * 3


def test_what_cannot_be_drawn_is_refused(found):
    with pytest.raises(DataError, match="no operating characteristics"):
        plots.operating_characteristics(xr.Dataset())
    with pytest.raises(ValueError, match="unknown measure"):
        plots.operating_characteristics(found, measure="luck")
