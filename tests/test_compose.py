"""Models made of parts: what is wired to what, and the numbers that follow.

Expectations are closed forms, SciPy on equations written out here, and exact properties.
"""

import json
import pickle
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import cumulative_trapezoid, solve_ivp

from cart_pkpd import models
from cart_pkpd._core.errors import ModelError
from cart_pkpd.models._compose import part_from, pieces


class Constant(models.OdeModel):
    """Cells that stay where they start."""

    cells = models.State("copies/µg", "CAR-T cells")
    start_level = models.Positive(1500.0, "copies/µg", "level")
    loss = models.Positive(1e-12, "1/day", "next to no loss")

    def initial(self, p):
        return {"cells": p.start_level}

    def rhs(self, t, y, p):
        return {"cells": -p.loss * y.cells}

    def observe(self, t, y, p):
        return {"transgene": y.cells}


class Slowed(Constant):
    """Cells that die while an input is on."""

    tocilizumab = models.Input(0.0, "1", "occupancy")
    death = models.Positive(0.1, "1/day", "death rate while it is on")

    def rhs(self, t, y, p):
        return {"cells": -p.death * p.tocilizumab * y.cells}


STEIN = models.get("stein2019")
PANEL = STEIN + models.cytokines(
    ["il6", "il10", "ifng", "il15", "tnfa"],
    relay=True,
    tolerance=["tnfa"],
    receptor=True,
    steroid=True,
)
WHOLE = PANEL + models.tocilizumab() + models.corticosteroids()


# --- a whole panel against SciPy -----------------------------------------------------------------


def whole_by_hand(times, toci, steroid):
    """Stein's cells with a panel, tocilizumab and dexamethasone, written out for SciPy."""
    cmax, tmax, rho, alpha, fb, beta = 24_000.0, 9.3, 0.889, 0.16, 0.0079, 0.0032

    def cells(t):
        if t < tmax:
            return cmax * np.exp(-rho * (tmax - t))
        s = t - tmax
        return cmax * ((1 - fb) * np.exp(-alpha * s) + fb * np.exp(-beta * s))

    def slope(t, y):
        myeloid, il6, il10, ifng, il15, tnfa, past, central, peripheral, dexa = y
        signal = cells(t) ** 3 / (20_000.0**3 + cells(t) ** 3)
        c = central / 3.5
        occupied = c / (0.3 + c)
        steroids = 1.0 - 0.7 * dexa / (10.0 + dexa)
        over = 0.2 * (c - peripheral / 2.9)
        held = 0.59 + 0.41 * 650.0 / (650.0 + il10)
        ic50 = 5.0 * (19.5 - 4.7) + 4.7
        rest = 6.5 + 12.5 * np.exp(-0.15 * t)
        most = (1.0 + 1.2**-3) * steroids
        return [
            2.0 * (signal - myeloid),
            3.96 * (3.1 - il6) + 3.96 * (149 - 3.1) * most * myeloid + 2.772 * occupied * il6,
            4.68 * (1.4 - il10) + 4.68 * (119 - 1.4) * most * myeloid,
            1.51 * (11.0 - ifng) + 1.51 * (820 - 11.0) * most * signal * held,
            4.0 * (rest - il15) + 4.0 * 0.85 * (33 - 6.5) * most * signal,
            4.0 * (4.7 - tnfa) + 4.0 * (19.5 - 4.7) * most * signal * ic50 / (ic50 + past),
            tnfa - 4.7,
            -(0.3 + 7.5 / (2.7 + c)) * c - over,
            over,
            -np.log(2) / 1.5 * dexa,
        ]

    y = np.array([0.0, 3.1, 1.4, 11.0, 19.0, 4.7, 0.0, 0.0, 0.0, 0.0])
    edges = sorted({0.0, tmax, *(t for t, _ in (*toci, *steroid)), times[-1]})
    found = {}
    for a, b in pairwise(edges):
        y[7] += sum(560.0 * n for t, n in toci if t == a)
        y[9] += sum(mg for t, mg in steroid if t == a)
        inside = [t for t in times if a <= t <= b]
        done = solve_ivp(slope, (a, b), y, "LSODA", sorted({*inside, b}), rtol=1e-11, atol=1e-12)
        found |= dict(zip(done.t, done.y.T, strict=True))
        y = done.y[:, -1].copy()
    return np.array([found[t] for t in times])


def test_a_whole_panel_equals_its_equations_written_out():
    """Nine endpoints, two kinds of doses by events: to 1e-5 at the default tolerance of 1e-6."""
    times = np.array([1.0, 5.0, 8.0, 9.0, 10.0, 11.5, 14.0, 21.0, 28.0])
    toci, steroid = [(9.5, 1.0), (9.9, 1.0)], [(10.5, 10.0)]
    expected = whole_by_hand(times, toci, steroid)
    found = WHOLE.simulate(times, inputs={"tocilizumab": toci, "steroid": steroid})
    columns = {"il6": 1, "il10": 2, "ifng": 3, "il15": 4, "tnfa": 5}
    for name, at in columns.items():
        assert_allclose(found[name], expected[:, at], rtol=1e-5, err_msg=name)
    level = expected[:, 7] / 3.5
    assert_allclose(found["tocilizumab"], level, rtol=1e-5, atol=1e-9)
    assert_allclose(found["il6_signal"], expected[:, 1] * 0.3 / (0.3 + level), rtol=1e-5)


def test_tocilizumab_raises_il6_and_lowers_its_signal():
    """Nishimoto 2008: blocking the receptor leaves IL-6 in serum, and its signal falls."""
    with_, without = (
        WHOLE.simulate([9.4, 10.5, 12.0], inputs={"tocilizumab": doses})
        for doses in ([(9.5, 1.0)], [])
    )
    assert_allclose(with_["il6"][0], without["il6"][0], rtol=1e-5)
    assert (with_["il6"][1:] > 1.5 * without["il6"][1:]).all()
    assert (with_["il6_signal"][1:] < 0.05 * without["il6_signal"][1:]).all()


# --- closed forms --------------------------------------------------------------------------------


def test_constant_cells_give_closed_forms():
    """S = 1500/(1500+ec50) is constant: sums of exponentials, to 1e-6 at rtol 1e-9."""
    model = (
        Constant()
        + models.tumour("claret", ec50=3000.0)
        + models.cytokines(["il15", "il8"], ec50=3000.0, steepness=1.0, relay=True, relay_steps=2)
    )
    t = np.array([0.0, 0.5, 2.0, 7.0, 28.0, 90.0])
    found, p, s = model.simulate(t, rtol=1e-9), model.typical(), 1500.0 / 4500.0
    shrunk = p["tumour_kill"] * s * -np.expm1(-p["tumour_resist"] * t) / p["tumour_resist"]
    assert_allclose(
        found["sld"], p["tumour_base"] * np.exp(p["tumour_grow"] * t - shrunk), rtol=1e-6
    )
    k, f = p["il15_kout"], p["il15_fade"]
    rise, made = p["il15_start"] - p["il15_base"], p["il15_max"] * s / k
    fading = k / (k - f) * (np.exp(-f * t) - np.exp(-k * t)) + np.exp(-k * t)
    expected = p["il15_base"] + rise * fading + made * -np.expm1(-k * t)
    assert_allclose(found["il15"], expected, rtol=1e-6)
    # Two stages of rate m, then elimination k: partial fractions of m^2 k / ((x+m)^2 (x+k) x).
    m, k = p["myeloid_k"], p["il8_kout"]
    b = m * k / (k - m)
    a = -k * (k - 2 * m) / (k - m) ** 2
    e = -(m**2) / (k - m) ** 2
    delayed = 1 + (a - b * t) * np.exp(-m * t) + e * np.exp(-k * t)
    assert_allclose(found["il8"], p["il8_base"] + p["il8_max"] * s / k * delayed, rtol=1e-6)


@pytest.mark.parametrize("kind", ["stein", "wang"])
def test_tumours_that_time_drives_follow_their_formula(kind):
    """Stein 2008 and Wang 2009: to 1e-6, at rtol 1e-9."""
    model = Constant() + models.tumour(kind)
    t, p = np.array([0.0, 10.0, 60.0, 365.0]), model.typical()
    left = np.exp(-p["tumour_shrink"] * t)
    expected = {
        "stein": lambda: p["tumour_base"] * (left + np.exp(p["tumour_grow"] * t) - 1),
        "wang": lambda: p["tumour_base"] * left + p["tumour_progress"] * t,
    }
    assert_allclose(model.simulate(t, rtol=1e-9)["sld"], expected[kind](), rtol=1e-6)


def test_a_driver_takes_the_place_of_an_input_of_its_name():
    """Occupancy slows the cells: ln of their level is -death times its integral, to 1e-6."""
    model = Slowed() + models.tocilizumab()
    assert "tocilizumab" not in model.inputs
    t = np.linspace(0.0, 20.0, 4001)
    found = model.simulate(t, inputs={"tocilizumab": [(2.0, 1.0)]})
    level = found["tocilizumab"].to_numpy()
    occupied = level / (0.3 + level)
    after = t >= 2.0
    area = cumulative_trapezoid(occupied[after], t[after], initial=0.0)
    assert_allclose(found["transgene"][after], 1500.0 * np.exp(-0.1 * area), rtol=1e-6)
    assert_allclose(found["transgene"][~after], 1500.0, rtol=1e-9)


def test_without_cells_every_cytokine_stays_at_its_base():
    """Except IL-15, whose rise after lymphodepletion fades."""
    still = PANEL.simulate([0.0, 7.0, 28.0, 200.0], cmax=1e-12)
    for name in ("il6", "il10", "ifng", "tnfa"):
        assert_allclose(still[name], PANEL.typical()[f"{name}_base"], rtol=1e-8)
    assert_allclose(still["il15"][[0, -1]], [19.0, 6.5], rtol=1e-6)


# --- declaration ---------------------------------------------------------------------------------


def test_parts_keep_what_was_changed_in_the_cell_model():
    cells = STEIN.with_(beta=models.Fixed(0.01), cmax={"typical": 500, "unit": "cells/µL"})
    model = cells + models.cytokines(["il6"])
    assert model.fixed["beta"] == 0.01
    assert model.parameters["cmax"].unit == "cells/µL"
    assert model.parameters["cells_ec50"].unit == "cells/µL"
    assert model.endpoints["transgene"] == "cells/µL"
    assert (model + models.tumour("stein")).parameters["cmax"].typical == 500


def test_elimination_is_held_until_it_is_freed():
    model = STEIN + models.cytokines(["il6"])
    assert model.fixed == {"cells_steep": 3.0, "il6_kout": 3.96}
    assert "il6_kout" in model.with_(il6_kout={"fixed": False}).estimated
    assert model.with_(il6_kout=models.Fixed(2.0)).fixed["il6_kout"] == 2.0


@pytest.mark.parametrize("model", [PANEL, WHOLE, Constant() + models.tumour("wang")], ids=str)
def test_composed_models_are_pickled_and_equal(model):
    again = pickle.loads(pickle.dumps(model))
    assert again == model
    assert hash(again) == hash(model)
    changed = model.with_(**{model.estimated[0]: {"spread": 0.1}})
    assert pickle.loads(pickle.dumps(changed)) == changed != model


def test_parts_are_described_and_made_again():
    base, parts = pieces(WHOLE)
    again = base
    for part in parts:
        again = again + part_from(json.loads(json.dumps(part.describe())))
    assert again == WHOLE


def test_a_part_of_one_s_own():
    class Ferritin(models.Part):
        ferritin = models.State("µg/L", "ferritin")
        ferritin_base = models.Positive(500, "µg/L", "ferritin without CAR-T cells")
        ferritin_k = models.Positive(0.2, "1/day", "loss of ferritin")
        ferritin_rise = models.Positive(10, "1", "largest relative rise")
        half = models.Positive(3000, "copies/µg", "cells of half that rise")

        def initial(self, p):
            return {"ferritin": p.ferritin_base}

        def rhs(self, t, y, p, d):
            raised = 1 + p.ferritin_rise * models.math.hill(d.cells, p.half)
            return {"ferritin": p.ferritin_k * (p.ferritin_base * raised - y.ferritin)}

        def observe(self, t, y, p, d):
            return {"ferritin": y.ferritin}

    model = STEIN + Ferritin()
    assert model.endpoints == {"transgene": "copies/µg", "ferritin": "µg/L"}
    assert model == STEIN + Ferritin()
    assert list(model.estimated)[-4:] == ["ferritin_base", "ferritin_k", "ferritin_rise", "half"]


def test_two_panels_with_different_drivers_stand_side_by_side():
    model = (
        STEIN
        + models.tumour()
        + models.cytokines(["il2", "ifng"], driver="killing", steroid=True)
        + models.cytokines(["il6"], steroid=True)
    )
    assert {"killing_ec50", "cells_ec50", "steroid_imax"} <= set(model.parameters)
    assert list(model.inputs) == ["steroid"]


def _twice():
    class Bad(models.Part):
        gives = ("cells",)

        def drivers(self, t, y, p, d):
            return {"cells": d.cells}

    return STEIN + Bad()


def _circle():
    class Bad(models.Part):
        gives = ("tocilizumab",)

        def drivers(self, t, y, p, d):
            return {"tocilizumab": p.tocilizumab * d.cells / p.start_level}

    return Slowed() + Bad()


def _wrong_unit():
    class Bad(models.Part):
        gives = ("tocilizumab",)

        def drivers(self, t, y, p, d):
            return {"tocilizumab": d.cells}

    return Slowed() + Bad()


def _misnamed():
    class Bad(models.Part):
        gives = ("signal",)

        def drivers(self, t, y, p, d):
            return {"sginal": d.cells}

    return STEIN + Bad()


REFUSED = {
    "no part": (lambda: STEIN + 3, ["stein2019 + int", "models.cytokines"]),
    "two cell models": (lambda: STEIN + models.get("ogasawara2021"), ["Ogasawara2021", "part"]),
    "a state twice": (lambda: PANEL + models.cytokines(["il6"]), ["'cells_ec50'", "both sides"]),
    "a driver twice": (_twice, ["driver 'cells'", "both sides"]),
    "a circle": (_circle, ["'tocilizumab' depends on itself"]),
    "another unit": (_wrong_unit, ["input 'tocilizumab' is in 1", "copies/µg"]),
    "a misspelt driver": (_misnamed, ["Bad.drivers returns sginal", "'signal'"]),
    "no such driver": (
        lambda: STEIN + models.cytokines(driver="killing"),
        ["driver 'killing' is not there", "There are: cells", "models.tumour"],
    ),
    "no such driver of a tumour": (
        lambda: STEIN + models.tumour(driver="cell"),
        ["'cell' is not there", "Did you mean 'cells'"],
    ),
    "an unknown cytokine": (lambda: models.cytokines(["il7"]), ["'il7'", "models.Cytokine("]),
    "a cytokine twice": (lambda: models.cytokines(["il6", "il6"]), ["once"]),
    "no cytokine": (lambda: models.cytokines([]), ["once"]),
    "tolerance of none": (lambda: models.cytokines(["il6"], tolerance=["il8"]), ["'il8'"]),
    "no receptor": (lambda: models.cytokines(["il8"], receptor=True), ["IL-6"]),
    "no regulation": (lambda: models.cytokines(["il8"], counter_regulation=True), ["'il10'"]),
    "an unknown tumour": (lambda: models.tumour("clarett"), ["Did you mean 'claret'"]),
    "a driven formula": (lambda: models.tumour("wang", ec50=3.0), ["time alone"]),
    "a base above its peak": (lambda: models.Cytokine("il18", 500.0, 20.0), ["'il18'", "at most"]),
    "no usual unit": (
        lambda: STEIN.with_(cmax={"unit": "cells/L", "typical": 1e6}) + models.tumour(),
        ["cells/L", "ec50="],
    ),
    "another's state": (lambda: _meddling(), ["Meddler.rhs", "'cells'", "another piece"]),
    "parts first": (lambda: models.tumour() + models.tocilizumab(), ["cell model comes first"]),
    "too much of an input": (
        lambda: PANEL.simulate([1.0], inputs={"tocilizumab": [(0.0, 560.0)]}),
        ["tocilizumab = 560", "between 0 and 1"],
    ),
    "no pair": (
        lambda: PANEL.simulate([1.0], inputs={"tocilizumab": 1.0}),
        ["[(day, value), ...]"],
    ),
    "half a stage": (lambda: models.cytokines(relay_steps=1.5), ["whole number"]),
    "a dose of nothing": (lambda: models.tocilizumab(0.0), ["above 0 mg"]),
}  # fmt: skip


PARTS = (models.tocilizumab(), models.corticosteroids(), models.cytokines(["il2", "il8"], ec50=1.0))


@pytest.mark.parametrize("name", models.names())
def test_every_model_takes_parts(name):
    model = models.get(name)
    for part in PARTS:
        assert set(model.endpoints) < set((model + part).endpoints) or part is PARTS[1]


def test_a_model_with_a_driver_that_is_zero_at_times_has_its_unit():
    """In wu2025 no cell is active before the lag: 0 has every unit."""
    model = models.get("wu2025") + models.cytokines(["il2"], driver="activated", ec50=1e4)
    assert model.parameters["activated_ec50"].unit == "copies/µg"


def test_inputs_of_one_name_are_one_input():
    """Tocilizumab acts on growth and on the receptor, given by events or through its levels."""
    cells = models.get("stein2019_comedication") + models.cytokines(["il6"], receptor=True)
    assert list(cells.inputs) == ["tocilizumab", "steroid"]
    assert list((cells + models.tocilizumab()).inputs) == ["steroid"]


def test_a_composed_model_says_what_it_is_made_of():
    assert PANEL.structure == "assumed"
    assert any("Hardiansyah" in line for line in PANEL.sources)
    assert any("Frey" in line for line in WHOLE.sources)


def _meddling():
    class Meddler(models.Part):
        own = models.State("1", "something")

        def initial(self, p):
            return {"own": 1.0}

        def rhs(self, t, y, p, d):
            return {"own": 0.0, "cells": -y.cells / p.start_level}

    return Constant() + Meddler()


@pytest.mark.parametrize(("make", "said"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused(make, said):
    with pytest.raises(ModelError) as caught:
        make()
    for words in said:
        assert words in str(caught.value)


def test_courses_of_drivers_are_returned_beside_the_levels():
    """Killing is what growth lacks: sld' = grow sld - base killing, integrated by trapezoids.

    The step of 0.01 day leaves an error below 1e-4 mm of a change of some mm.
    """
    model = models.get("effector_memory") + models.tumour("killing")
    days = np.linspace(0.0, 30.0, 3001)
    found = model.simulate(days, doses=1e7, drivers=True)
    names = ["driver_cells", "driver_activated", "driver_killing", "driver_antigen"]
    assert list(found) == ["transgene", "sld", *names, "status"]
    base, grow = (model.parameters[k].typical for k in ("tumour_base", "tumour_grow"))
    slope = grow * found["sld"].values - base * found["driver_killing"].values
    change = np.trapezoid(slope, days)
    assert change == pytest.approx(float(found["sld"][-1] - found["sld"][0]), abs=1e-4)
    np.testing.assert_array_equal(found["driver_cells"], found["transgene"])
    np.testing.assert_allclose(found["driver_antigen"], found["sld"] / base, rtol=1e-15)
    assert found["driver_killing"].attrs == {"units": "1/day", "long_name": "driver killing"}
    both = model.simulate(days, doses=1e7, drivers=True, states=True)
    assert {"effector", "memory", *names} < set(both)
    np.testing.assert_array_equal(both["driver_killing"], found["driver_killing"])
    assert not any(str(v).startswith("driver") for v in model.simulate(days, doses=1e7))
