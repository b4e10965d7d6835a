"""Owens and Bozic 2021 against an independent transcription and published numbers.

The equations are written here once more in NumPy, from the publication and not from the model, and
solved by LSODA at 1e-10.
"""

import numpy as np
import pandas as pd
import pytest
from library_solved import DAYS, assert_close, solved

from cart_pkpd import models

OWENS = {
    "a": 0.255, "cap": 2e12, "dE": 2.03, "dC": 2.25, "g": 1.4e3, "jE": 0.011, "jC": 0.242,
    "K": 1.65e9, "k": 2.019e5, "l": 1.395, "mE": 0.007, "mC": 0.0293, "qE": 3.42e-11,
    "qC": 3e-11, "s": 0.305, "T0": 5e9,
}  # fmt: skip
OWENS_SETS = {
    None: {},
    "CLL": {
        "a": 0.176, "g": 4.7e4, "jE": 7.46e-3, "jC": 0.165, "k": 7e7, "l": 1.419, "mE": 0.034,
        "qE": 6.716e-11,
    },
    "melanoma": {
        "a": 0.514, "cap": 9.804e8, "dE": 5.8, "g": 1.3e4, "jE": 0.027, "jC": 0.6, "K": 1.65e8,
        "k": 2e7, "l": 1.36, "mE": 0.02, "qE": 3.42e-10, "qC": 1.53e-9, "s": 0.25, "T0": 5e8,
    },
    "melanoma 2": {
        "a": 0.514, "cap": 9.804e8, "dE": 4.23, "g": 1.3e4, "jE": 0.027, "jC": 0.6, "K": 1.65e8,
        "k": 2e7, "l": 1.43, "mE": 0.02, "qE": 3.42e-10, "qC": 1.53e-9, "s": 0.36, "T0": 5e8,
    },
}  # fmt: skip


def chemotherapy(plan, infusion=0.0, rest=2, strength=1.0):
    """Return changes of the input: half an hour a day on 3 days at 125 or 5 days at 75 µM/day."""
    days, height = {"C3": (3, 125.0), "C5": (5, 75.0)}[plan]
    starts = infusion - rest - days + np.arange(days)
    return [x for t in starts for x in ((t, strength * height), (t + 1 / 48, 0.0))]


def owens(v, times, dose, infusion, steps=(), start=-7.0):
    """Return tumour, effector cells, CAR-T cells, chemotherapy: equations 2-3 (V)."""

    def kill(i, d, tumour):
        if i <= 0 or tumour <= 0:
            return 0.0
        return d * tumour / (1 + v["s"] * np.exp(-v["l"] * np.log(i / tumour)))

    def rhs(t, y):
        tumour, e, c, m = y
        de, dc = kill(e, v["dE"], tumour), kill(c, v["dC"], tumour)
        poison, full = 1 - np.exp(-m), np.log((e + c) / v["K"])
        infused = next((x for when, x in reversed(steps) if when <= t), 0.0)
        return [
            v["a"] * tumour * (1 - tumour / v["cap"]) - de - dc - 0.7 * poison * tumour,
            v["g"] - v["mE"] * e - v["jE"] * full * de**2 / (v["k"] + de**2) * e
            - v["qE"] * e * tumour - 0.6 * poison * e,
            -v["mC"] * c - v["jC"] * full * dc**2 / (v["k"] + dc**2) * c
            - v["qC"] * c * tumour - 0.6 * poison * c,
            infused - 0.9 * m,
        ]  # fmt: skip

    return solved(
        rhs, [v["T0"], 4e5, 0.0, 0.0], times, jumps=[(infusion, 2, 0.01 * dose)],
        breaks=[s[0] for s in steps], start=start,
        atol=[1e-7, 1e-7, 1e-9, 1e-12],
    )  # fmt: skip


@pytest.mark.parametrize("values", list(OWENS_SETS))
def test_owens_bozic_agrees_with_an_independent_transcription(values):
    v, steps = {**OWENS, **OWENS_SETS[values]}, chemotherapy("C5")
    times = np.concatenate([[-6.9, -5.0, -2.01, -1.0], DAYS[DAYS < 40]])
    found = models.get("owens_bozic2021", values).simulate(
        times, doses=[(0.0, 1e8)], inputs={"chemotherapy": steps}, rtol=1e-9
    )
    y = owens(v, times, 1e8, 0.0, steps)
    assert_close(found["tumour"], y[:, 0], 1e3)
    assert_close(found["effector"], y[:, 1], 1.0)
    assert_close(found["car_cells"], y[:, 2] / 5e6, 1e-6)
    assert_close(found["drug"], y[:, 3], 1e-6)


def outcomes(model, cases, end=120.0):
    """Return tumour cells at the end of (burden, plan, rest, dose, strength) cases."""
    rows, doses = [], []
    for i, (_, plan, rest, dose, strength) in enumerate(cases):
        doses.append((i, 0.0, dose))
        if plan:
            rows += [(i, "chemotherapy", t, x) for t, x in
                     chemotherapy(plan, 0.0, rest, strength)]  # fmt: skip
    found = model.simulate(
        [end],
        {"tumour0": [c[0] for c in cases]},
        doses=pd.DataFrame(doses, columns=["id", "time", "amount"]),
        inputs=pd.DataFrame(rows, columns=["id", "input", "time", "value"]),
    )
    assert set(found["status"].values) == {"solved"}
    return found["tumour"].values[:, 0]


def test_owens_bozic_one_modality_fails_and_two_succeed():
    """Chemotherapy alone and CAR-T cells alone fail in all scenarios; together they eradicate
    a small tumour (V, section 3.2.3 and Figure 4). Eradicated means less than one cell."""
    for values in OWENS_SETS:
        unit = 1e9 if values in (None, "CLL") else 1e8
        cases = [(b * unit, "C5", 2, 0.0, 1.0) for b in (1.0, 5.0, 9.8)]
        cases += [(b * unit, None, 2, 2.5e8, 1.0) for b in (5.0, 9.8)]
        cases += [(unit, "C5", 2, dose, 1.0) for dose in (1e7, 1e8, 2.5e8)]
        left = outcomes(models.get("owens_bozic2021", values), cases)
        assert (left[:5] > 5e8).all(), values
        assert (left[5:] < 1.0).all(), values


def test_owens_bozic_lymphoma_with_a_high_burden_never_succeeds_and_rest_matters():
    """Patient 1 with a high burden: no plan works; with a medium burden, three days of
    chemotherapy, four of rest and 2.5e8 cells fail; patient 2 succeeds with the same (V)."""
    high = [(1e10, plan, 2, dose, 1.0) for plan in ("C3", "C5") for dose in (1e7, 1e8, 2.5e8)]
    same = (5e9, "C3", 4, 2.5e8, 1.0)
    left = outcomes(models.get("owens_bozic2021"), [*high, same])
    assert (left > 1e9).all()
    assert outcomes(models.get("owens_bozic2021", "CLL"), [same])[0] < 1.0


def test_owens_bozic_figure_5():
    """Patient 1, medium burden, 1e7 cells two days after chemotherapy: five days of it succeed
    and three do not (V). Chemotherapy 1.26 times the printed strength, which gives the printed
    peak of 3.34 µM (V) that half an hour at 77 µM/day does not (2.65 µM, C)."""
    model = models.get("owens_bozic2021")
    cases = [(5e9, "C3", 2, 1e7, 1.26), (5e9, "C5", 2, 1e7, 1.26)]
    three, five = outcomes(model, cases)
    assert three > 1e9
    assert five < 1.0
    end_of_last = [-3 + 1 / 48]
    for factor, peak in ((77 / 75, 2.65), (1.26 * 77 / 75, 3.34)):
        drug = model.simulate(
            end_of_last, inputs={"chemotherapy": chemotherapy("C5", 0, 2, factor)}
        )
        assert float(drug["drug"][0]) == pytest.approx(peak, rel=0.01)


def test_owens_bozic_steady_states():
    """Untreated lymphoma ends at T* 2e12, E* 2.05e1 (V, Figure 2); without a tumour E* is g/mE;
    the melanoma's coexistence has about 95 % of the high-tumour burden (V), CAR-T cells peaking
    on the 12th day of treatment, 5 days after 1e7 cells (V, text of Figure 3; ±1.5 days)."""
    model = models.get("owens_bozic2021")
    high = model.simulate([600.0])
    assert float(high["tumour"][0]) == pytest.approx(2e12, rel=1e-6)
    assert float(high["effector"][0]) == pytest.approx(20.5, rel=0.005)
    none = model.simulate([3000.0], tumour0=1e-9)
    assert float(none["effector"][0]) == pytest.approx(1.4e3 / 7e-3, rel=1e-5)

    melanoma = models.get("owens_bozic2021", "melanoma")
    times = np.arange(0.0, 300.0, 0.25)
    steps = {"chemotherapy": chemotherapy("C5")}
    found = melanoma.simulate(times, doses=[(0.0, 1e7)], inputs=steps)
    assert float(found["tumour"][-1]) == pytest.approx(0.95 * 9.804e8, rel=0.03)
    assert times[int(np.argmax(found["car_cells"].values))] == pytest.approx(5, abs=1.5)


def test_owens_bozic_neither_zero_cells_nor_an_eradicated_tumour_give_nan():
    """E or C = 0 and T = 0 are limits of (i/T)^l without a number; levels stay finite and
    above 0, also with no effector cells to start with and for two years."""
    model = models.get("owens_bozic2021")
    found = model.simulate(
        np.arange(-7.0, 730.0, 1.0),
        {"effector0": [1e-6, 4e5, 4e5], "tumour0": [5e9, 1e9, 1e-6]},
        doses=[(0.0, 2.5e8)], inputs={"chemotherapy": chemotherapy("C5")}, states=True,
    )  # fmt: skip
    assert set(found["status"].values) == {"solved"}
    for name in model.states:
        assert np.isfinite(found[name].values).all()
        assert float(found[name].min()) > -1e-5, name
    no_cells = model.simulate([10.0, 100.0])
    assert float(no_cells["car_cells"].max()) == 0.0
