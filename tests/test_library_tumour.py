"""Models with a tumour as prey: published numbers, twins of the equations, exact properties.

Twins are written from the publication's equations (or the file that carries them), not from the
classes, and solved by SciPy's LSODA at 1e-10.
"""

import numpy as np
import pandas as pd
import pytest
from library_twins import LN2, RTOL, assert_agrees, simulated, twin, values_of
from numpy.testing import assert_allclose

from cart_pkpd import models

# Barros 2021


BARROS_SETS = ("", "Raji", "Raji IDO+", "Raji IDO+ with 1-MT")


def barros_slopes(p):
    """BIOMD0000001019 and BIOMD0000001020, names of the paper."""

    def slopes(t, y):
        c, m, tumour = y
        return [
            p["phi"] * c - p["rho"] * c + p["theta"] * tumour * m - p["alpha"] * tumour * c,
            p["eps"] * c - p["theta"] * tumour * m - p["mu"] * m,
            p["r"] * tumour * (1 - p["b"] * tumour) - p["gamma"] * c * tumour,
        ]

    return slopes


@pytest.fixture(scope="module")
def barros():
    model = models.get("barros2021")
    params = values_of(model, BARROS_SETS)
    doses = pd.DataFrame(
        {"time": [42.0, 250.0], "amount": [2e6, 1e6], "state": ["effector", "tumour"]}
    )
    times, early = np.linspace(0.0, 300.0, 301), np.linspace(0.0, 25.0, 101)
    hdlm2 = simulated(model, times, params.iloc[0].to_dict(), doses=doses)
    raji = simulated(model, early, params.iloc[1:].reset_index(drop=True), doses=[(7.0, 1e7)])
    return model, params, hdlm2, raji


def test_barros_equals_the_files(barros):
    """BIOMD0000001019/1020 (V2): HDLM-2 treated on day 42, met again on day 250; Raji on day 7.

    Raji is compared to day 25: its tumour is unlimited (b = 0) in the files.
    """
    model, params, hdlm2, raji = barros
    for row, p in params.iterrows():
        found = hdlm2 if row == 0 else raji
        doses = [(42.0, 0, 2e6), (250.0, 2, 1e6)] if row == 0 else [(7.0, 0, 1e7)]
        start = [0.0, 0.0, p["tumour0"]]
        reference = twin(barros_slopes(p), start, found["time"].values, doses)
        assert_agrees(model, found, row - 1, reference)


def test_barros_memory_meets_the_second_tumour(barros):
    """HDLM-2 (paper and BIOMD0000001019): the tumour given on day 250 is rejected by memory."""
    _, _, mouse, _ = barros
    assert mouse["tumour"].sel(time=60) < 1e-4 * mouse["tumour"].sel(time=41)
    assert mouse["effector"].sel(time=249) < 1.0
    assert mouse["effector"].sel(time=251) > 5e5
    assert mouse["tumour"].sel(time=270) < 1e-3 * 1e6


def test_barros_ido_suppresses_and_1mt_gives_back(barros):
    """Raji: the tumour is largest with IDO, and IDO's inhibitor gives back part of the effect.

    Order of the paper's alphas (V2): control < IDO+ with 1-MT < IDO+.
    """
    _, _, _, raji = barros
    control, ido, inhibited = raji["tumour"].sel(time=20).values
    assert control < inhibited < ido < 3e6 * np.exp(0.5071721 * 20)


def test_barros_effectors_do_not_need_antigen(barros):
    """Without tumour effectors decline at rho - phi = 0.085 per day (HDLM-2, exact)."""
    _, _, mouse, _ = barros
    alone = mouse["effector"].sel(time=slice(150, 200))
    assert_allclose(alone / alone[0], np.exp(-0.085 * (alone.time - 150)), rtol=1e-5)


# Sahoo 2020 and Brummer 2022: CARRGO


def carrgo_slopes(p):
    def slopes(t, y):
        x, c = y
        return [
            p["rho"] * x * (1 - x / p["k"]) - p["kappa1"] * x * c,
            p["kappa2"] * x * c - p["theta"] * c,
        ]

    return slopes


@pytest.fixture(scope="module")
def carrgo():
    model = models.get("sahoo2020_carrgo")
    params = values_of(model, ["", "T9", "", ""])
    p = params.iloc[2]
    params.loc[2, "theta"] = 3e-3
    params.loc[2, "tumour0"] = 3e-3 / p["kappa2"]
    rest = p["rho"] * (1 - 1e8 / p["k"]) / p["kappa1"]
    amounts = [1e7, 1e7, rest, 0.0]
    doses = pd.DataFrame({"id": range(4), "time": 0.0, "amount": amounts})
    times = np.linspace(0.0, 200.0, 201)
    return model, params, amounts, times, simulated(model, times, params, doses=doses)


def test_carrgo_equals_the_equations(carrgo):
    """Predator and prey of the paper (V), values of T6/T7 and T9 (V)."""
    model, params, amounts, times, found = carrgo
    for row, p in params.iterrows():
        reference = twin(carrgo_slopes(p), [p["tumour0"], amounts[row]], times)
        assert_agrees(model, found, row, reference)


def test_carrgo_coexists(carrgo):
    """At theta / kappa2 tumour cells and rho / kappa1 (1 - X / K) CAR-T cells nothing moves."""
    *_, found = carrgo
    still = found.isel(id=2)
    for name in ("tumour", "car"):
        assert_allclose(still[name], still[name][0], rtol=1e-6)


def test_carrgo_exhausts_or_expands(carrgo):
    """kappa2 above 0 (T6/T7) lets CAR-T cells increase, below 0 (T9) only decrease (V)."""
    *_, found = carrgo
    assert np.all(np.diff(found["car"].isel(id=0).values[:20]) > 0)
    assert np.all(np.diff(found["car"].isel(id=1).values) < 0)


def test_carrgo_without_cells_is_logistic(carrgo):
    """The untreated tumour is the logistic curve."""
    _, params, _, times, found = carrgo
    p = params.iloc[3]
    grown = p["k"] / (1 + (p["k"] / p["tumour0"] - 1) * np.exp(-p["rho"] * times))
    assert_allclose(found["tumour"].isel(id=3), grown, rtol=1e-6)


BRUMMER_SETS = (
    "", "PBT1", "PBT1 dex 1e-6", "PBT2", "PBT2 dex 1e-6", "PBT4", "PBT4 dex 1e-6",
)  # fmt: skip


@pytest.fixture(scope="module")
def brummer():
    model = models.get("brummer2022")
    params = values_of(model, [*BRUMMER_SETS, "", ""])
    dex0 = [1.0] * len(BRUMMER_SETS) + [0.0, 0.0]
    doses = pd.DataFrame({"id": [8], "time": [0.5], "amount": [1.0], "state": ["dex"]})
    times = np.linspace(0.0, 6.0, 97)
    found = simulated(model, times, params, doses=doses, covariates={"dex0": dex0})
    return model, params, dex0, times, found


def test_brummer_equals_the_notebooks(brummer):
    """Right-hand side of the fitting notebooks (V2), in hours, with every set (72 fits in all, V).

    Dexamethasone acts as exp(-(t - t_start) ln 2 / 3.33 h) there.
    """
    _, params, dex0, times, found = brummer
    for row, p in params.iterrows():
        if row == 8:
            continue
        hourly = p[["rho", "c0", "kappa1", "kappa2", "theta", "c3"]] / 24.0

        def slopes(t, y, q=hourly, kinv=p["kappainv"], given=dex0[row]):
            x, c = y
            dex = given * np.exp(-t * LN2 / 3.33)
            return [
                q["rho"] * x - q["rho"] * x * x * kinv - q["c0"] * dex * x - q["kappa1"] * x * c,
                q["kappa2"] * x * c - (q["theta"] + q["c3"] * dex) * c,
            ]

        reference = twin(slopes, [p["tumour0"], p["car0"]], times * 24.0)
        for i, name in enumerate(("tumour", "car_cells")):
            assert_allclose(found[name].isel(id=row), reference[:, i], rtol=RTOL, atol=1e-9)


def test_brummer_values_of_the_table():
    """fit_parameters.csv (V), PBT1 Y(C1,C2): rho 0.2303, kappa1 0.4000, theta 0.0230 per hour."""
    values = models.get("brummer2022", "PBT1").typical()
    assert values["rho"] / 24 == pytest.approx(0.230303627)
    assert values["kappa1"] / 24 == pytest.approx(0.399998831)
    assert values["kappainv"] == pytest.approx(0.558779003)
    assert values["c0"] == values["c3"] == 0.0


def test_brummer_dexamethasone(brummer):
    """The same values without dexamethasone (7), with it at the start (0), given later (8).

    c0 below 0 protects the tumour (paper: dexamethasone promotes growth, V); given again it is
    cleared with the same half-life, 3.33 h.
    """
    *_, times, found = brummer
    early = found.sel(time=slice(0, 0.5))
    assert np.all(early["tumour"].isel(id=0)[1:] > early["tumour"].isel(id=7)[1:])
    assert_allclose(early["tumour"].isel(id=8), early["tumour"].isel(id=7), rtol=1e-9)
    after = times >= 0.5
    assert_allclose(
        found["dex"].isel(id=8)[after], np.exp(-(times[after] - 0.5) * 24 * LN2 / 3.33), rtol=1e-6
    )


# Hanson 2016


@pytest.fixture(scope="module")
def hanson():
    model = models.get("hanson2016")
    params = values_of(model, ["", "lymphodepleted", ""])
    inputs = pd.DataFrame({"id": [2, 2], "input": "drug", "time": [2.0, 9.0], "value": [3600, 0]})
    times = np.linspace(0.0, 60.0, 241)
    return model, params, times, simulated(model, times, params, inputs=inputs)


def test_hanson_equals_the_file(hanson):
    """BIOMD0000000837 (V2) in its own hours; after lymphodepletion (100 lymphocytes) too."""
    model, params, times, found = hanson

    def slopes(t, y):
        cm, ce, hm, he, free, i, b = y
        room = max(1 - (cm + ce + hm + he + free + b) / 1600, 0)
        gate = i**2 / (i**2 + 800**2)
        killers, helpers = 4e-7 * b * cm * (1 + 2 * he) * gate, 8e-5 * b * hm * gate
        return [
            0.1 * cm * room - killers,
            2**6 * killers - 0.004 * ce,
            0.1 * hm * room - helpers,
            2**6 * helpers - 0.004 * he,
            0.4 + 0.1 * free * room - 2e-4 * free,
            200 + 0.002 * b * (ce + he) - 1.5 * i,
            0.003 * b * (1 - b / 4800) - 2e-4 * b * ce,
        ]

    for row in (0, 1):
        start = [10, 10, 10, 10, params["lymphocytes0"][row], 140, 300]
        assert_agrees(model, found, row, twin(slopes, start, times * 24.0))


def test_hanson_hours_are_hours(hanson):
    """Read in hours the file gives a clinical course (C): peak in week 2, blasts then fall.

    Effectors decline with ln 2 / 0.004 h = 7.2 d, inflammation with 28 min.
    """
    model, _, times, found = hanson
    cells = found["car_cells"].isel(id=0).values
    assert 7.0 < times[cells.argmax()] < 14.0
    assert found["tumour"].isel(id=0).sel(time=30) < 0.2 * 300.0
    p = model.typical()
    assert pytest.approx(7.22, rel=0.01) == LN2 / p["d3"]
    assert LN2 / p["d2"] * 1440 == pytest.approx(27.7, rel=0.01)


def test_hanson_inflammation_drives_expansion(hanson):
    """Lymphodepletion raises the peak; suppressing inflammation (days 2-9) holds cells back."""
    *_, found = hanson
    peak, on_day_9 = found["car_cells"].max("time").values, found["car_cells"].sel(time=9).values
    assert peak[1] > 1.5 * peak[0]
    assert on_day_9[2] < 0.8 * on_day_9[0]
    inflamed = found["inflammation"].sel(time=slice(2.5, 8.75)).mean("time").values
    assert inflamed[2] < 0.5 * inflamed[0]


# Liu L 2022


def liu_slopes(p):
    """Mlxtran file of the authors."""

    def slopes(t, y):
        b, active, rest = y
        return [
            p["rb"] * b * (1 - b / p["nm"]) - p["eb"] * b / (b + p["kb"]) * active,
            b / (b + p["kr"]) * p["ra"] * active
            + p["ka"] * b / (b + p["kn"]) * rest
            - p["la"] * active,
            -p["ka"] * b / (b + p["kn"]) * rest - p["ln"] * rest,
        ]

    return slopes


@pytest.fixture(scope="module")
def liu():
    model = models.get("liu_l2022")
    params = pd.DataFrame([model.typical()] * 3)
    params.loc[2, "ra"] = 0.1
    times = np.linspace(0.0, 90.0, 361)
    b0 = [2200.24, 500.0, 2200.24]
    return model, params, b0, times, simulated(model, times, params, covariates={"b0": b0})


def test_liu_equals_the_code(liu):
    """Example values of the authors' simulation (V2), and another burden."""
    model, params, b0, times, found = liu
    for row, p in params.iterrows():
        assert_agrees(model, found, row, twin(liu_slopes(p), [b0[row], 0.0, p["n0"]], times))


def test_liu_peak_is_of_the_size_seen(liu):
    """Digitised peaks of responders: median ~480 (50-10 592) cells/µL, days 7-14 (C).

    The example peaks at 613 cells/µL on day 5.7 (LSODA): within the range of levels, earlier.
    """
    *_, times, found = liu
    cells = found["car_cells"].isel(id=0).values
    assert cells.max() == pytest.approx(612.5, rel=1e-3)
    assert 50 < cells.max() < 10_592
    assert times[cells.argmax()] == pytest.approx(5.75, abs=0.25)


def test_liu_outcomes(liu):
    """Remission in the example, none where cells grow more slowly than they die (non-response)."""
    *_, found = liu
    assert found["blast_percent"].isel(id=0).sel(time=28) < 1e-3
    assert found["blast_percent"].isel(id=2).min() > 45.0


def test_liu_blast_percent(liu):
    """Marrow blasts are 97.19 B / (B + 1909) % (V2): 52.0 % at 2200 per µL, half at 1909."""
    *_, found = liu
    b = found["tumour"].values
    assert_allclose(found["blast_percent"], 97.19 * b / (b + 1909.0), rtol=1e-12)
    assert found["blast_percent"].isel(id=0, time=0) == pytest.approx(52.04, abs=0.01)


def test_liu_negative_relapse():
    """Example of CD19-negative relapse by the authors (V2): positives vanish, negatives return."""
    model = models.get("liu_l2022_negative")
    p = model.typical()
    times = np.linspace(0.0, 200.0, 401)
    found = simulated(model, times, p)

    def slopes(t, y):
        _b, active, _, n = y
        killed = p["eb"] / p["kappa"] * n / (n + p["kneg"]) * active
        grown = p["rneg"] * n * (1 - n / p["nm"])
        return [*liu_slopes(p)(t, y[:3]), grown - killed]

    reference = twin(slopes, [17212.23022, 0.0, 0.3, 19.88984724], times)
    assert_agrees(model, found, 0, reference)
    positive, negative = found["tumour"].values, found["tumour_negative"].values
    assert positive[-1] < 1e-2
    assert negative.min() < 0.1
    assert negative[-1] > negative[0]
    every = positive + negative
    # A tumour that rounding left below 0 is shown as 0.
    percent = 97.19 * every / (every + 1909.0)
    assert_allclose(found["blast_percent"], percent, rtol=1e-12, atol=1e-12)


# Paixão 2022, Kirouac 2023, Santurio 2025: equations assumed


def test_paixao_equals_its_equations_and_has_four_phases():
    """Equations as noted from memory of the paper (R); only phases and phenotypes are published.

    Phases (abstract, V): distribution, expansion, contraction, persistence. Slopes: distribution
    is near -(beta + eta) = -0.8 per day at first, persistence -mu = -0.003 per day.
    """
    model = models.get("paixao2022")
    p = model.typical()
    times = np.unique(np.concatenate([np.linspace(0, 2, 41), np.linspace(2, 400, 399)]))
    found = simulated(model, times, p, doses=5e7)

    def slopes(t, y):
        d, c, m, e, tumour = y
        kappa = p["rmin"] + p["p1"] / (1 + (p["p2"] * t) ** p["p3"])
        return [
            -(p["beta"] + p["eta"]) * d,
            p["eta"] * d
            + kappa * c * tumour / (p["a"] + tumour)
            - (p["xi"] + p["eps"] + p["lam"]) * c
            + p["theta"] * tumour * m
            - p["alpha"] * tumour * c,
            p["eps"] * c - p["theta"] * tumour * m - p["mu"] * m,
            p["lam"] * c - p["delta"] * e,
            p["r"] * tumour * (1 - p["b"] * tumour) - p["gamma"] * c * tumour / (p["h"] + c),
        ]

    assert_agrees(model, found, 0, twin(slopes, [5e7, 0, 0, 0, 1e11], times))
    cells = found["car_cells"]
    lowest = float(cells.sel(time=slice(0, 5)).idxmin("time"))
    peak = float(cells.idxmax("time"))
    assert 0.0 < lowest < 2.0
    assert 7.0 < peak < 14.0
    assert cells.sel(time=30, method="nearest") < 0.2 * cells.max()
    late = np.log(cells.sel(time=400) / cells.sel(time=200, method="nearest"))
    assert late / 200.0 == pytest.approx(-0.003, rel=0.02)


def test_kirouac_equals_its_equations_and_toggles():
    """Equations assumed; the toggle does what the paper's text says (V).

    Low sensitivity (set "insensitive") keeps cells from expanding; without tumour, and
    without return of effectors, memory declines at mum (2 fmax - 1) - dm = -0.002 per day.
    """
    model = models.get("kirouac2023")
    params = values_of(model, ["", "insensitive", ""])
    params.loc[2, ["tumour0", "rm"]] = 1e-6, 1e-12
    times = np.linspace(0.0, 200.0, 201)
    found = simulated(model, times, params, doses=5e7)

    def slopes(t, y, p):
        m, young, e, x, tumour, antigen = y
        ratio = max(antigen / p["tk50"], 1e-15) ** p["steep"]
        tog = ratio / (1 + ratio)
        stay = p["fmax"] * (1 - tog)
        kill = p["kkill"] * tumour * e / (p["khalf"] + e)
        return [
            p["mum"] * (2 * stay - 1) * m - p["dm"] * m + p["rm"] * (1 - tog) * e,
            2 * p["mum"] * (1 - stay) * m + (p["mue"] * tog - p["maturation"]) * young,
            p["maturation"] * young - (p["de"] + p["kex"] * tog + p["rm"] * (1 - tog)) * e,
            p["kex"] * tog * e - p["dx"] * x,
            p["mub"] * tumour * (1 - tumour / p["bmax"]) - kill,
            p["ka"] * (tumour - antigen),
        ]

    for row in (0, 1):
        p = params.iloc[row]
        start = [5e7, 0, 0, 0, p["tumour0"], p["tumour0"]]
        assert_agrees(model, found, row, twin(lambda t, y, p=p: slopes(t, y, p), start, times))
    peak = found["car_cells"].max("time").values
    assert peak[0] > 50 * peak[1]
    assert_allclose(found["memory"].isel(id=2)[:50], 5e7 * np.exp(-0.002 * times[:50]), rtol=1e-6)


@pytest.fixture(scope="module")
def santurio():
    model = models.get("santurio2025")
    params = values_of(model, ["", "no contact", "", ""])
    params.loc[2, "negative0"] = 1e8
    doses = pd.DataFrame({"id": [0, 1, 2], "time": 0.0, "amount": 5e7})
    times = np.unique(np.concatenate([np.linspace(0, 20, 401), np.linspace(20, 300, 281)]))
    return model, params, times, simulated(model, times, params, doses=doses)


def test_santurio_equals_its_equations(santurio):
    """A minimal form with the paper's layers (R)."""
    model, params, times, found = santurio

    def slopes(t, y, p):
        i, e, s, pos, neg, rest, act, il6 = y
        kill = p["gamma"] * pos * e / (p["h"] + e)
        c = e + s
        turned = rest * (
            p["k1"] * kill + p["k2"] * e * pos / (p["ka"] + pos) + p["k3"] * c / (p["kc"] + c)
        )
        return [
            -(p["beta"] + p["eta"]) * i,
            p["eta"] * i + p["kappa"] * e * pos / (p["a"] + pos) - (p["eps"] + p["delta"]) * e,
            p["eps"] * e - p["mu"] * s,
            p["rho"] * pos - kill,
            p["rho"] * neg,
            p["dm"] * (p["macrophages0"] - rest) - turned,
            turned - p["dma"] * act,
            p["d6"] * (p["base"] - il6) + p["p6"] * act,
        ]

    for row in (0, 1, 2):
        p = params.iloc[row]
        start = [5e7, 0, 0, p["tumour0"], p["negative0"], p["macrophages0"], 0, p["base"]]
        assert_agrees(model, found, row, twin(lambda t, y, p=p: slopes(t, y, p), start, times))


def test_santurio_phases_have_the_published_slopes(santurio):
    """Figure 3 of the paper (V): what drives the slope of each phase.

    Expansion kappa minus the losses of expanders; tumour rho at first (transient), rho - gamma
    while shrinking; persistence the death of persisters; distribution the losses of infused cells.
    """
    _, params, times, found = santurio
    p, one = params.iloc[0], found.isel(id=0)

    def slope(name, start, end):
        level = one[name].sel(time=[start, end], method="nearest")
        return float(np.log(level[1] / level[0]) / (level.time[1] - level.time[0]))

    assert slope("injected", 0, 2) == pytest.approx(-(p["beta"] + p["eta"]), rel=1e-4)
    steepest = np.gradient(np.log(one["expander"].values[60:]), times[60:]).max()
    assert steepest == pytest.approx(p["kappa"] - p["eps"] - p["delta"], rel=0.15)
    assert slope("persister", 250, 300) == pytest.approx(-p["mu"], rel=0.01)
    tumour = np.gradient(np.log(one["positive"].values), times)
    assert tumour[0] == pytest.approx(p["rho"], abs=0.1)
    assert tumour.min() == pytest.approx(p["rho"] - p["gamma"], rel=0.05)


def test_santurio_il6(santurio):
    """IL-6 rests at its baseline without cells, peaks near the CAR-T peak, less without contact."""
    _, params, _, found = santurio
    assert_allclose(found["il6"].isel(id=3), params["base"][3], rtol=1e-9)
    peaks = found["il6"].max("time").values
    assert peaks[0] > 1.02 * peaks[1] > 10 * params["base"][0]
    usual = found.isel(id=0)
    late = float(usual["il6"].idxmax("time") - usual["car_cells"].idxmax("time"))
    assert abs(late) < 3.0


def test_santurio_antigen_negative_tumour_escapes(santurio):
    """Antigen-negative tumour grows by rho alone: relapse (exact)."""
    _, params, times, found = santurio
    assert_allclose(found["negative"].isel(id=2), 1e8 * np.exp(params["rho"][2] * times), rtol=1e-6)


# All of them


NAMES = (
    "barros2021", "brummer2022", "hanson2016", "kirouac2023", "leon_triana2020_ball",
    "leon_triana2020_ball_source", "leon_triana2021_dual", "leon_triana2021_solid", "liu_l2022",
    "liu_l2022_negative", "paixao2022", "sahoo2020_carrgo", "santurio2025",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_declaration_says_where_it_comes_from(name):
    """What was not read is called assumed; every model cites and names its endpoint."""
    model = models.get(name)
    assert model.reference is not None
    assert model.endpoint in model.endpoints
    assert "References" in type(model).__doc__
    if model.structure == "assumed":
        assert all(p.confidence == "assumed" for p in model.parameters.values())
    for values in model.parameter_sets.values():
        assert set(values.values) <= set(model.parameters)
