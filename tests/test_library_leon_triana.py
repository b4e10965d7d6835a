"""León-Triana 2020 and 2021: published numbers, twins of the equations, exact properties.

Twins are written from the publication's equations (or the file that carries them), not from the
classes, and solved by SciPy's LSODA at 1e-10.
"""

import numpy as np
import pandas as pd
import pytest
from library_twins import assert_agrees, simulated, twin, values_of
from numpy.testing import assert_allclose

from cart_pkpd import models

# León-Triana 2020: B-ALL


def ball_slopes(p, source):
    """BIOMD0000001011 and BIOMD0000001012; `source` is the power of C in the immature term."""

    def slopes(t, y):
        c, leukaemia, b = y
        d_c = p["rhoc"] * (leukaemia + b) * c - c / p["tauc"]
        d_l = p["rhol"] * leukaemia - p["alpha"] * leukaemia * c
        d_b = -p["alpha"] * b * c - b / p["taub"]
        if source is not None:
            immature = p["i0"] / (1 + c / p["c50"])
            d_c += p["rhoc"] * p["beta"] * immature * c**source
            d_b += immature / p["taui"]
        return [d_c, d_l, d_b]

    return slopes


@pytest.fixture(scope="module")
def ball():
    model = models.get("leon_triana2020_ball")
    times = np.linspace(0.0, 120.0, 481)
    doses = pd.DataFrame({"id": [0, 1, 2, 3, 3], "time": 0.0, "amount": [1e6, 1e7, 1e8, 4e6, 6e6]})
    found = simulated(model, times, pd.DataFrame([model.typical()] * 4), doses=doses)
    return model, times, found


def test_ball_equals_the_file(ball):
    """BIOMD0000001011 (V2), doses of 1e6, 1e7 and 1e8 cells."""
    model, times, found = ball
    for row, dose in enumerate((1e6, 1e7, 1e8)):
        reference = twin(ball_slopes(model.typical(), None), [dose, 5e10, 2.5e10], times)
        assert_agrees(model, found, row, reference)


def test_ball_dose_does_not_decide(ball):
    """A 100-fold dose moves the peak by an eighth (12 %) and only brings it forward.

    Paper, abstract (V): "the number of CAR T cells injected does not critically affect the
    treatment outcome". The 15 % is this test's reading of "not critically".
    """
    _, _, found = ball
    first = found["car_cells"].sel(time=slice(0, 60)).values
    peak = first.max(axis=1)
    assert peak[2] / peak[0] == pytest.approx(1.0, abs=0.15)
    when = found["time"].sel(time=slice(0, 60)).values[first.argmax(axis=1)]
    assert when[2] < when[1] < when[0]


def test_ball_peak_follows_from_the_burden(ball):
    """The first peak is below, and near, C0 + rhoc / alpha (L0 + B0): 1.9e10 cells.

    From d(C + rhoc/alpha (L + B))/dt = rhoc/alpha (rhol L - B/taub) - C/tauc (own derivation; the
    paper says that an explicit formula exists). 1.4e10 is reached: 74 %, as cells also die.
    """
    model, _, found = ball
    p = model.typical()
    bound = 1e7 + p["rhoc"] / p["alpha"] * 7.5e10
    peak = found["car_cells"].isel(id=1).sel(time=slice(0, 60)).max() * p["blood"]
    assert 0.6 * bound < peak < bound


def test_ball_split_dose_is_one_dose(ball):
    """4e6 and 6e6 cells at the same time are 1e7 cells."""
    _, _, found = ball
    for name in ("car_cells", "tumour", "b_cells"):
        assert_allclose(found[name].isel(id=3), found[name].isel(id=1), rtol=1e-7)


def test_ball_source_equals_the_file():
    """BIOMD0000001012 (V2) with the factor C that its unit asks for; without it, the same to 1e-4.

    Aplasia ends: B cells come back towards I0 taub / taui = 1e8 cells.
    """
    model = models.get("leon_triana2020_ball_source")
    times = np.linspace(0.0, 120.0, 241)
    found = simulated(model, times, model.typical(), doses=1e7)
    reference = twin(ball_slopes(model.typical(), 1), [1e7, 5e10, 2.5e10], times)
    assert_agrees(model, found, 0, reference)
    as_filed = twin(ball_slopes(model.typical(), 0), [1e7, 5e10, 2.5e10], times)
    assert_allclose(as_filed, reference, rtol=2e-3)
    b_cells = found["b_cells"].values
    assert b_cells.min() < 1e-2 * b_cells[0]
    assert b_cells[-1] > 2 * b_cells.min()


# León-Triana 2021: solid tumour


def solid_slopes(p):
    """BIOMD0000001013."""

    def slopes(t, y):
        c, tumour = y
        return [
            p["rhoc"] * c * tumour / (p["gt"] + tumour)
            - p["alpha1"] * c * tumour / (p["gc"] + c)
            - c / p["tauc"],
            p["rhot"] * tumour - p["alpha2"] * c * tumour,
        ]

    return slopes


def large_tumour_threshold(p, tumour):
    """Cells from which CAR-T cells increase at once (zero of the slope of C)."""
    growth = p["rhoc"] * tumour / (p["gt"] + tumour) - 1 / p["tauc"]
    return p["alpha1"] * tumour / growth - p["gc"]


@pytest.fixture(scope="module")
def solid():
    model = models.get("leon_triana2021_solid")
    large = values_of(model, ["large_tumour"]).iloc[0].to_dict()
    at_once = large_tumour_threshold(large, 3.35e10)
    cases = [("", 4e8), ("large_tumour", 8e7), ("weak_inactivation", 8e7)]
    cases += [("large_tumour", f * at_once) for f in (0.99, 1.01)]
    cases += [("large_tumour", 1.6e8), ("large_tumour", 1.8e8), ("", 1e6), ("", 0.0)]
    params = values_of(model, [name for name, _ in cases])
    doses = pd.DataFrame({"id": range(len(cases)), "time": 0.0, "amount": [d for _, d in cases]})
    times = np.unique([0.001, *np.linspace(0.0, 60.0, 601)])
    return model, times, params, doses, simulated(model, times, params, doses=doses)


def test_solid_equals_the_file(solid):
    """BIOMD0000001013 (V2), the sets of Figure 1 and doses on both sides of the threshold."""
    model, times, params, doses, found = solid
    for row, p in params.iterrows():
        start = [doses["amount"][row], p["tumour0"]]
        assert_agrees(model, found, row, twin(solid_slopes(p), start, times))


def test_solid_many_cells_and_a_small_tumour_shrink_it_first(solid):
    """4e8 cells, 6.7e9 tumour cells (BIOMD0000001013): the tumour shrinks first (C).

    It is at its smallest (7.7 % of the start, LSODA) after some weeks and then grows again.
    """
    *_, found = solid
    tumour, cells = found["tumour"].isel(id=0).values, found["car_cells"].isel(id=0).values
    assert np.all(np.diff(tumour[:200]) < 0)
    assert tumour.min() / tumour[0] == pytest.approx(0.0766, rel=0.01)
    assert cells.max() / cells[0] == pytest.approx(1.638, rel=0.01)


def test_solid_few_cells_and_a_large_tumour_never_expand(solid):
    """8e7 cells, 3.35e10 tumour cells, alpha1 0.04 (Figure 1): no expansion, the tumour grows (C).

    With alpha1 0.02 the same cells expand 30-fold and the tumour all but disappears.
    """
    *_, found = solid
    cells, tumour = found["car_cells"].isel(id=1).values, found["tumour"].isel(id=1).values
    assert np.all(np.diff(cells) < 0)
    assert np.all(np.diff(tumour) > 0)
    weak = found.isel(id=2)
    assert weak["car_cells"].max() / weak["car_cells"][0] == pytest.approx(31.8, rel=0.01)
    assert weak["tumour"].min() / weak["tumour"][0] < 1e-3


def test_solid_threshold(solid):
    """A dose threshold: first slopes change sign at the formula, the outcome at 1.7e8 cells (C)."""
    _, _, params, _, found = solid
    below, above = (found["car_cells"].isel(id=i).values for i in (3, 4))
    assert below[1] < below[0]
    assert above[1] > above[0]
    lost, won = (found.isel(id=i) for i in (5, 6))
    assert lost["tumour"][-1] > 1.5 * lost["tumour"][0]
    assert won["tumour"].min() < 1e-2 * won["tumour"][0]
    assert large_tumour_threshold(params.iloc[0], 6.7e9) < 0  # a small tumour has none
    assert found["car_cells"].isel(id=7).max() > 100 * found["car_cells"].isel(id=7)[0]


def test_solid_without_a_dose_is_untreated(solid):
    """Without CAR-T cells there are none, and the tumour grows by exp(rhot t)."""
    _, times, _, _, found = solid
    assert np.all(found["car_cells"].isel(id=8) == 0.0)
    assert_allclose(found["tumour"].isel(id=8), 6.7e9 * np.exp(0.02 * times), rtol=1e-7)


def test_dual_equals_the_file_and_overrides_the_threshold(solid):
    """BIOMD0000001014 (V2); 2e6 cells, far below the threshold, shrink the large tumour.

    Paper, title (V): dual targets "may override immune suppression in solid cancers". Patients 1
    and 2 have the inactivation of the single-target model (0.04).
    """
    model = models.get("leon_triana2021_dual")
    params = pd.DataFrame([model.typical()] * 3)
    params.loc[1:, "alpha1"] = 0.04
    amounts = [2e8, 2e8, 2e6]
    doses = pd.DataFrame({"id": range(3), "time": 0.0, "amount": amounts})
    times = np.linspace(0.0, 60.0, 241)
    found = simulated(model, times, params, doses=doses)
    for row, p in params.iterrows():

        def slopes(t, y, p=p):
            c, tumour, off, b = y
            d_c, d_t = solid_slopes(p)(t, [c, tumour])
            return [
                d_c + p["k"] * off,
                d_t,
                p["rhocbar"] * off * b / (p["gb"] + b) - off / p["tauc"] - p["k"] * off,
                -p["alphab"] * b * off - b / p["taub"],
            ]

        reference = twin(slopes, [0.0, 3.35e10, amounts[row], 2.5e10], times)
        assert_agrees(model, found, row, reference)
    shrunk = found["tumour"].min("time") / found["tumour"].isel(time=0)
    assert np.all(shrunk < 1e-6)
