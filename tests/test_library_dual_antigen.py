"""The model of two antigens: SciPy's solution of its equations, special cases, exact properties.

Equations are written here a second time, not taken from the class.
"""

import numpy as np
import pandas as pd
import pytest
from library_courses import AGREE, integrate
from numpy.testing import assert_allclose
from scipy.integrate import solve_ivp

from cart_pkpd import models
from cart_pkpd._core.errors import ModelError
from cart_pkpd.models import Fixed

DAYS = np.linspace(0.0, 365.0, 731)
PRODUCTS = {"mesothelin": 1.0, "MUC1": 0.0, "both": 0.5}


def dual_equations(p, share):
    """The equations of the notes, in the order I, Em, Eu, M, Tm, Tu, Tb, Tn."""

    def rhs(t, y):
        i, em, eu, m, tm, tu, tb, tn = y
        e, total = em + eu, tm + tu + tb + tn
        arriving = p["engraft"] * p["khome"] * i
        out = p["inact"] * total / (p["gc"] + e) + 1 / p["tau"]
        am, au = tm + tb, tu + tb
        g, a, km, ku = p["growth"], p["loss"], p["kill"] * em, p["kill"] * eu
        return [
            -p["khome"] * i,
            share * arriving + em * (p["rho"] * am / (p["gt"] + am) - out),
            (1 - share) * arriving + eu * (p["rho"] * au / (p["gt"] + au) - out),
            p["fb"] * e / p["tau"] - p["beta"] * m,
            (g - km - a) * tm + a * tb,
            (g - ku - a) * tu + a * tb,
            (g - km - ku - 2 * a) * tb,
            g * tn + a * (tm + tu),
        ]

    return rhs


def dual_start(p):
    a, b, t = p["msln_positive"], p["muc1_positive"], p["tumour0"]
    return [0, 0, 0, 0, t * a * (1 - b), t * (1 - a) * b, t * a * b, t * (1 - a) * (1 - b)]


@pytest.fixture(scope="module")
def three_products():
    """Mesothelin, MUC1 and dual product, 1e7 cells on day 0 and again on day 40."""
    model = models.get("dual_antigen")
    return model.simulate(
        DAYS,
        doses=[(0.0, 1e7), (40.0, 1e7)],
        covariates={"msln_share": list(PRODUCTS.values())},
        rtol=1e-9,
        states=True,
    )


def test_dual_antigen_equals_its_equations_in_scipy(three_products):
    p = models.get("dual_antigen").typical()
    for i, share in enumerate(PRODUCTS.values()):
        rhs, y, parts = dual_equations(p, share), np.array(dual_start(p)), []
        for start, end in ((0.0, 40.0), (40.0, 366.0)):
            y = y + np.eye(8)[0] * 1e7
            at = [*DAYS[np.searchsorted(DAYS, start) : np.searchsorted(DAYS, end)], end]
            found = solve_ivp(
                rhs, (start, end), y, method="LSODA", t_eval=at, rtol=1e-10, atol=1e-6
            )
            parts.append(found.y[:, :-1])
            y = found.y[:, -1]
        y = np.concatenate(parts, axis=1)
        one = three_products.isel(id=i)
        assert_allclose(one["transgene"], p["per_cell"] * y[:4].sum(axis=0), rtol=AGREE)
        assert_allclose(one["tumour"], y[4:].sum(axis=0), rtol=AGREE)
        size = (y[4:].sum(axis=0) / p["usual_tumour"]) ** (1 / 3)
        assert_allclose(one["sld"], p["diameter"] * size, rtol=AGREE)


def test_dual_antigen_is_leon_triana_with_one_antigen():
    """BIOMD0000001013, transcribed: dC = rhoC C T/(gT+T) - a1 C T/(gC+C) - C/tauC;
    dT = rhoT T - a2 C T, C0 4e8, T0 6.7e9; and four more starts."""
    model = models.get("dual_antigen", "leon_triana2021")
    times = np.array([0.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0])
    cells, tumour = [4e8, 4e7, 4e9, 4e8, 1e9], [6.7e9, 6.7e9, 6.7e9, 5e10, 2e10]
    ids = [str(i) for i in range(5)]
    table = pd.DataFrame({"id": ids, "time": 0.0, "amount": cells, "state": "effector_msln"})
    found = model.simulate(
        times,
        pd.DataFrame({"tumour0": tumour}, index=ids),
        table,
        covariates={"msln_share": 1.0},
        rtol=1e-10,
    )

    def rhs(t, y):
        c, v = y  # v = ln T
        size = np.exp(v)
        return [
            0.9 * c * size / (1e10 + size) - 0.04 * c * size / (2e9 + c) - c / 7.0,
            0.02 - 2.5e-10 * c,
        ]

    for i in range(5):
        y = integrate([(0.0, np.inf, rhs)], [cells[i], np.log(tumour[i])], times)
        level = model.typical()["per_cell"] * y[0]
        assert_allclose(found["transgene"][i], level, rtol=AGREE, atol=1e-6 * level.max())
        assert_allclose(found["tumour"][i], np.exp(y[1]), rtol=AGREE, atol=1.0)
    # Computed by the notes: a large dose against a small tumour shrinks it, a small dose against
    # a large one does not expand, and the tumour grows.
    assert found["tumour"][2, 3] < 0.01 * tumour[2]
    assert found["tumour"][3, -1] > 10 * tumour[3]
    assert found["transgene"][3, 1] < found["transgene"][3, 0]


def test_a_product_without_its_antigen_does_nothing(three_products):
    """With no MUC1 in the tumour the dual product is half a mesothelin product, MUC1 cells die."""
    model = models.get("dual_antigen").with_(muc1_positive=Fixed(1e-12))
    out = model.simulate(
        DAYS[:120], doses=1e7, covariates={"msln_share": [0.0, 0.5]}, states=True, rtol=1e-9
    )
    growth = model.typical()["growth"]
    assert_allclose(out["tumour"][0], 1e10 * np.exp(growth * DAYS[:120]), rtol=1e-6)
    assert (out["effector_muc1"][1] <= 2.6e6).all()
    assert out["effector_msln"][1].max() > 1e9


def test_escape_by_tumour_cells_without_antigen(three_products):
    """After the dual product the relapse carries neither antigen; without CAR-T cells 3 %."""
    both = three_products.isel(id=2)
    start = float(both["tumour_none"][0] / both["tumour"][0])
    assert_allclose(start, 0.15 * 0.20, rtol=1e-9)
    sld = both["sld"].to_numpy()
    assert sld.min() < 0.7 * sld[0]  # a partial response by RECIST 1.1
    assert sld[-1] > 1.2 * sld.min()  # and then progression
    assert both["tumour_none"][-1] > 0.9 * both["tumour"][-1]


def test_escape_from_a_single_product_is_by_the_other_antigen(three_products):
    msln = three_products.isel(id=0)
    free = msln["tumour_muc1"] + msln["tumour_none"]
    assert free[-1] > 0.99 * msln["tumour"][-1]
    assert msln["tumour_muc1"][-1] > msln["tumour_none"][-1]


def test_the_dual_product_delays_relapse(three_products):
    """Day on which the sum of diameters is back at its start (or after the year), and day of
    progression by RECIST 1.1: a fifth above the nadir."""

    def back(row, level):
        found = DAYS[(np.arange(row.size) > np.argmin(row)) & (row >= level)]
        return found[0] if found.size else np.inf

    sld = three_products["sld"].to_numpy()
    regrown = [back(row, row[0]) for row in sld]
    progressed = [back(row, 1.2 * row.min()) for row in sld]
    assert regrown[2] > max(regrown[:2]) + 60
    assert progressed[2] > max(progressed[:2])
    assert sld[2].min() < min(sld[0].min(), sld[1].min())


def test_a_dose_below_the_threshold_fails_and_above_it_the_peak_hardly_depends_on_dose():
    """León-Triana's threshold, moved into the range of phase 1 doses (assumed numbers).

    More cells are needed against a larger tumour. Above the threshold a tenfold dose changes the
    peak by less than 15 %, and makes it earlier (as Singh, Hardiansyah: computed in the notes).
    """
    model = models.get("dual_antigen")
    dose = np.array([3e5, 1e6, 3e6, 1e7, 3e7, 1e8, 1e7, 1e8])
    ids = [str(i) for i in range(8)]
    table = pd.DataFrame({"id": ids, "time": 0.0, "amount": dose})
    params = pd.DataFrame({"tumour0": [1e10] * 6 + [1.5e11] * 2}, index=ids)
    out = model.simulate(DAYS[:200], params, table)
    late = DAYS[:200] > 1.5
    level = out["transgene"].to_numpy()[:, late]
    tops = level.max(axis=1)
    when = DAYS[:200][late][level.argmax(axis=1)]
    assert (tops[:2] < 1.0).all()
    assert ((tops[2:6] > 1e3) & (tops[2:6] < 5e3)).all()
    assert_allclose(tops[3:6], tops[3], rtol=0.15)
    assert (np.diff(when[2:6]) < 0).all()
    assert 7 < when[3] < 14
    assert tops[6] < 50.0 < tops[7]
    shrunk = out["sld"].min("time").to_numpy() / out["sld"].to_numpy()[:, 0]
    assert_allclose(shrunk[:2], 1.0, rtol=1e-9)
    assert (shrunk[2:6] < 0.7).all()


def test_dual_antigen_keeps_its_numbers_non_negative_and_its_tumour_whole(three_products):
    """Antigen loss moves cells between kinds and makes none: unkilled, T grows exponentially."""
    kinds = ["tumour_msln", "tumour_muc1", "tumour_both", "tumour_none"]
    assert all((three_products[k] > -1.0).all() for k in [*kinds, "infused", "memory"])
    total = sum(three_products[k] for k in kinds)
    assert_allclose(total, three_products["tumour"], rtol=1e-12)
    alone = models.get("dual_antigen").simulate(DAYS, {"loss": [1e-4, 0.05]}, rtol=1e-9)
    p = models.get("dual_antigen").typical()
    expected = p["tumour0"] * np.exp(p["growth"] * DAYS)
    assert_allclose(alone["tumour"], np.tile(expected, (2, 1)), rtol=1e-6)


def test_doses_are_refused_where_the_dose_does_not_enter():
    for name in ("stein2019_comedication", "wu2022", "wu2025", "chaudhury2020_ec50"):
        with pytest.raises(ModelError, match="no dose"):
            models.get(name).simulate([0.0], doses=1e7)
