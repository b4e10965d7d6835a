"""Empirical and tumour-linked library models against published numbers and plain SciPy.

Expected equations are written here a second time from the reference notes, not from the classes.
Marks of provenance: published (read in the paper, label or its abstract), transcribed (read in a
BioModels file or in nlmixr2lib), computed, assumed.
"""

import numpy as np
import pandas as pd
import pytest
from library_courses import AGREE, LN2, course, integrate, peak
from numpy.testing import assert_allclose
from scipy.integrate import solve_ivp
from scipy.special import expit

from cart_pkpd import models

NEW = [
    "chaudhury2020_ec50",
    "chaudhury2020_first_order",
    "chaudhury2020_predator_prey",
    "dual_antigen",
    "effector_memory",
    "liu2021",
    "ogasawara2021",
    "stein2019",
    "stein2019_comedication",
    "wu2022",
    "wu2025",
]


# --- what every one of these models says about itself ---------------------------------------


@pytest.mark.parametrize("name", NEW)
def test_every_model_says_where_it_comes_from(name):
    model = models.get(name)
    assert model.label
    assert model.population
    assert model.deviations
    assert "https://doi.org/10." in type(model).__doc__
    own = name in ("effector_memory", "dual_antigen")
    assert (model.reference is None) == own
    assert ("this project" in model.label) == own
    for parameter in model.parameters.values():
        read = parameter.confidence in ("published", "transcribed", "computed")
        assert read == (parameter.source != "assumed"), parameter


@pytest.mark.parametrize("name", ["stein2019", "ogasawara2021", "liu2021"])
def test_the_slope_of_a_closed_form_jumps_at_its_switches_and_the_level_does_not(name):
    model = models.get(name)
    p = model.values(**model.typical())
    near = 1e-6
    for time in model.switches(p):
        low, at, high = model.log_level(np.array([time - near, time, time + near]), p)
        assert abs((high - at) - (at - low)) > 0.05 * near
        assert abs(high - low) < 10 * near


def test_a_closed_form_without_switches_says_so():
    class Straight(models.ClosedFormModel):
        level = models.Positive(10.0, "copies/µg", "level")

        def log_level(self, t, p):
            return models.math.log(p.level) + 0.0 * t

    assert tuple(Straight().switches(None)) == ()


# --- Stein 2019 with comedication -------------------------------------------------------------


def test_comedication_without_drugs_is_the_closed_form():
    """Same equations, so equal to the accuracy of the solver (1e-7 asked), beta above alpha too."""
    times = [0.0, 3.0, 9.2, 9.3, 9.4, 14.0, 28.0, 90.0, 365.0]
    ode, closed = models.get("stein2019_comedication"), models.get("stein2019")
    values = {"alpha": [0.16, 0.05], "beta": [0.0032, 0.3], "tmax": [9.3, 9.3]}
    assert_allclose(course(ode, times, params=values), course(closed, times, params=values), 1e-7)


def test_comedication_makes_growth_log_linear_piece_by_piece():
    """Peak = R0 exp(rho (T + F (tmax - T))), computed from the definition in Stein 2019.

    Ftoci 1.2 and Fster 1.0 (Table 1, transcribed); the product where both act is assumed and is
    asked here with Fster 0.7.
    """
    model = models.get("stein2019_comedication")
    p = model.typical()
    assert (p["ftoci"], p["fster"]) == (1.2, 1.0)
    r0 = p["cmax"] / np.exp(p["rho"] * p["tmax"])
    assert_allclose(r0, 6.15, rtol=2e-3)  # computed from foldx 3900 and Cmax 24 000
    toci, ster, t = 5.7, 7.5, p["tmax"]  # medians of the first doses (transcribed)
    values = {"fster": [1.0, 0.7]}
    inputs = {"tocilizumab": [(toci, 1.0)], "steroid": [(ster, 1.0)]}
    found = course(model, [toci, ster, t, 400.0], params=values, inputs=inputs)
    for row, fster in zip(found, (1.0, 0.7), strict=True):
        days = toci + 1.2 * (ster - toci) + 1.2 * fster * (t - ster)
        assert_allclose(row[0], r0 * np.exp(p["rho"] * toci), rtol=1e-6)
        assert_allclose(row[2], r0 * np.exp(p["rho"] * days), rtol=1e-6)
    assert found[0, 2] > p["cmax"]
    # After the peak the drugs no longer act: the shape is Stein's.
    assert_allclose(found[0, 3] / found[0, 2], p["fb"] * np.exp(-p["beta"] * (400.0 - t)), 1e-6)


def test_tocilizumab_after_the_peak_changes_nothing():
    model, times = models.get("stein2019_comedication"), [9.0, 12.0, 28.0]
    late = course(model, times, inputs={"tocilizumab": [(10.0, 1.0)]})
    assert_allclose(late, course(model, times), rtol=1e-7)


# --- Ogasawara 2021 ---------------------------------------------------------------------------


def test_ogasawara_abstract_numbers_are_seen_in_the_course():
    """Lag 3.27 d, doubling 0.755 d, Tmax 9.29 d, half-lives 5.00 d and 352 d (abstract, published).

    Fold growth 251 computed from them. Read off simulated levels; rates are printed with three
    or four digits (2e-3). The first decline is that of the fast part alone.
    """
    model = models.get("ogasawara2021")
    p = model.typical()
    times = np.array([0.0, 3.27, 5.0, 5.755, 9.29, 9.29 + 5.0, 400.0, 752.0])
    c = course(model, times)
    assert_allclose(c[1], c[0], rtol=1e-12)
    assert_allclose(c[3] / c[2], 2.0, rtol=2e-3)
    assert_allclose(c[4] / c[0], 251, rtol=2e-3)
    fast = c[5] - p["fb"] * c[4] * np.exp(-p["beta"] * 5.0)
    assert_allclose(fast / ((1 - p["fb"]) * c[4]), 0.5, rtol=2e-3)
    assert_allclose(c[7] / c[6], 0.5, rtol=2e-3)
    fine = np.linspace(0.0, 28.0, 2801)
    assert_allclose(peak(fine, course(model, fine))[1], 9.29, atol=0.01)


def test_ogasawara_numbers_lie_in_the_published_intervals():
    """95 % confidence intervals of the abstract (published)."""
    p = models.get("ogasawara2021").typical()
    assert 2.71 < p["lag"] < 3.97
    assert 0.667 < LN2 / p["rho"] < 0.821
    assert 8.81 < p["tmax"] < 9.70
    assert 4.15 < LN2 / p["alpha"] < 5.90
    assert 241 < LN2 / p["beta"] < 647
    # Label medians, published: 11 846 without response, 33 766 with.
    assert 11_846 < p["cmax"] < 33_766


# --- Liu 2021 ---------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [None, "solid tumour"])
def test_liu_has_four_phases(values):
    """Distribution, expansion, contraction, persistence (published, abstract of the preprint)."""
    model = models.get("liu2021", values)
    p = model.typical()
    times = np.linspace(0.0, 200.0, 4001)
    slope = np.diff(np.log(course(model, times))) / np.diff(times)
    turns = times[1:-1][np.diff(np.sign(slope)) != 0]
    assert len(turns) == 2  # the trough after distribution, and the peak
    assert 0.5 < turns[0] < 5.0
    assert_allclose(turns[1], p["tmax"], atol=0.1)
    assert_allclose(slope[0], -p["kdis"], rtol=0.1)
    before = np.searchsorted(times, p["tmax"]) - 10
    assert_allclose(slope[before], p["rho"], rtol=0.02)
    assert_allclose(slope[before + 20], -p["alpha"], rtol=0.05)
    assert_allclose(slope[-1], -p["beta"], rtol=0.01)


def test_liu_solid_tumours_grow_slower_to_a_lower_peak():
    """The published direction: higher proliferation rate in blood cancers than in solid tumours."""
    blood, solid = models.get("liu2021").typical(), models.get("liu2021", "solid tumour").typical()
    assert solid["rho"] < blood["rho"]
    assert solid["cmax"] < blood["cmax"]


def test_liu_is_stein_and_an_exponential():
    liu, stein = models.get("liu2021"), models.get("stein2019")
    p, times = liu.typical(), np.array([0.0, 0.5, 2.0, 9.0, 10.0, 14.0, 60.0])
    same = {k: p[k] for k in stein.parameters}
    expected = course(stein, times, params=same) + p["c0"] * np.exp(-p["kdis"] * times)
    assert_allclose(course(liu, times), expected, rtol=1e-12)


# --- effector_memory --------------------------------------------------------------------------

SPREAD = {
    "cmax": [2000.0, 300.0, 20_000.0, 5000.0, 2000.0],
    "tmax": [10.0, 12.0, 8.0, 14.0, 7.0],
    "rho": [1.0, 0.7, 1.3, 0.6, 0.5],
    "alpha": [0.2, 0.1, 0.5, 0.15, 0.3],
    "fb": [0.02, 0.05, 0.01, 0.2, 0.02],
    "beta": [0.006, 0.01, 0.001, 0.02, 0.006],
}


def effector_memory_levels(p, times, doses):
    """E' = g_lag (1 - g_end) Vmax E / (Km + E) - g_end a E; M' = g_conv fb a E - b M.

    Vmax, Km and lag from the peak: (E - E0) + Km ln(E / E0) = Vmax (t - lag).
    """
    w, s = p["width"], p["dose_slope"]
    km = p["cmax"] * s / (1 - s)
    top = p["cmax"] * 2.0 ** (w * (s * p["rho"] + p["alpha"]))
    e0 = p["yield_"] * p["usual_dose"]
    needed = (top - e0) + km * np.log(top / e0)
    lag = p["tmax"] - needed / (km * p["rho"])
    vmax = needed / (p["tmax"] - w * np.log1p(np.exp(lag / w)))

    def rhs(t, y):
        end = expit((t - p["tmax"]) / w)
        grow = expit((t - lag) / w) * (1 - end) * vmax * y[0] / (km + y[0])
        convert = expit((t - p["tmax"] - p["delay"]) / w) * p["fb"] * p["alpha"] * y[0]
        return [grow - end * p["alpha"] * y[0], convert - p["beta"] * y[1]]

    y, out, ends = np.zeros(2), [], [*(t for t, _ in doses[1:]), np.inf]
    for (start, amount), end in zip(doses, ends, strict=True):
        y = np.array([y[0] + p["yield_"] * amount, y[1]])
        stop = min(end, times[-1] + 1.0)
        here = times[(times >= start) & (times < end)]
        found = solve_ivp(
            rhs, (start, stop), y, method="LSODA", t_eval=[*here, stop], rtol=1e-10, atol=1e-12
        )
        out.append(found.y[:, :-1].sum(axis=0))
        y = found.y[:, -1]
    return np.concatenate(out)


def test_effector_memory_equals_its_equations_in_scipy():
    model = models.get("effector_memory")
    times = np.array([0.0, 1.0, 3.0, 7.0, 10.0, 14.0, 20.0, 20.5, 28.0, 90.0, 365.0])
    doses = [(0.0, 1e7), (20.0, 5e6)]
    found = course(model, times, params=SPREAD, doses=doses)
    for i in range(5):
        p = {**model.typical(), **{k: v[i] for k, v in SPREAD.items()}}
        assert_allclose(found[i], effector_memory_levels(p, times, doses), rtol=AGREE)


def test_effector_memory_peaks_where_its_parameters_say():
    """cmax and tmax are the peak at the usual dose: within 6 % and 0.6 d over a wide spread.

    The patient whose growth at rho from day 0 would not be enough is among them (the last).
    """
    model, times = models.get("effector_memory"), np.linspace(0.0, 28.0, 2801)
    found = course(model, times, params=SPREAD, doses=1e7)
    tops = np.array([peak(times, row) for row in found])
    assert_allclose(tops[:, 0], SPREAD["cmax"], rtol=0.06)
    assert_allclose(tops[:, 1], SPREAD["tmax"], atol=0.6)
    assert_allclose(tops[0, 0], 2000.0, rtol=0.03)


def test_effector_memory_gives_typical_solid_tumour_courses():
    """Cmax 1e3 to 5e3, Tmax 7 to 14 d, ln Cmax rising by 0.1 to 0.3 per ln dose; judgement.

    Weakly more above the usual dose, more steeply far below; nothing without cells; a dose in
    two halves at one time is one dose.
    """
    model, times = models.get("effector_memory"), np.linspace(0.0, 28.0, 561)
    dose = np.array([1e5, 1e6, 3e6, 1e7, 3e7, 1e8])
    ids = [f"{d:g}" for d in dose]
    table = pd.DataFrame({"id": ids, "time": 0.0, "amount": dose})
    params = pd.DataFrame({"cmax": np.full(6, 2000.0)}, index=ids)
    found = course(model, times, params=params, doses=table)
    tops = np.array([peak(times, row) for row in found])
    slopes = np.diff(np.log(tops[:, 0])) / np.diff(np.log(dose))
    assert ((slopes[2:4] > 0.1) & (slopes[2:4] < 0.35)).all()
    assert_allclose((slopes[2] + slopes[3]) / 2, model.typical()["dose_slope"], atol=0.03)
    assert (np.diff(slopes) < 0).all()
    assert ((tops[2:5, 0] > 1e3) & (tops[2:5, 0] < 5e3)).all()
    assert ((tops[:, 1] > 7) & (tops[:, 1] < 14)).all()
    assert (course(model, times) == 0).all()
    halves = course(model, times, doses=[(0.0, 5e6), (0.0, 5e6)])
    assert_allclose(halves, found[3], rtol=1e-9)


def test_effector_memory_slopes_are_rho_alpha_and_beta():
    """Early rise at rho (below Km), fast decline at alpha, late decline at beta."""
    model = models.get("effector_memory")
    p = model.typical()
    slim = {"fb": 1e-9}
    c = course(model, [3.5, 3.6, 16.0, 20.0, 300.0, 310.0], doses=1e7)
    early = np.log(c[1] / c[0]) / 0.1
    assert_allclose(early, p["rho"], rtol=0.15)
    bare = course(model, [16.0, 20.0], doses=1e7, params=slim)
    assert_allclose(np.log(bare[0] / bare[1]) / 4.0, p["alpha"], rtol=1e-3)
    assert_allclose(np.log(c[4] / c[5]) / 10.0, p["beta"], rtol=1e-3)


def test_one_patient_of_a_phase_1_trial_identifies_peak_time_and_slopes():
    """Fisher information of the 6 levels above 50 copies/µg with a scatter of 0.5 on ln, plus IIV.

    Posterior SD well below the spread between patients for cmax, tmax, rho and alpha, and no
    correlation above 0.85 (vmax and km of the same course: 0.89).
    """
    model = models.get("effector_memory")
    names, p = model.estimated, model.typical()
    days = [1.0, 3.0, 7.0, 10.0, 14.0, 21.0, 28.0, 60.0]
    rows = {n: np.full(2 * len(names) + 1, p[n]) for n in names}
    for i, n in enumerate(names):
        q = model.parameters[n]
        for row, step in ((2 * i, 1e-3), (2 * i + 1, -1e-3)):
            rows[n][row] = q.to_natural(q.to_free(p[n]) + step)
    level = course(model, days, params=rows, doses=1e7)
    seen = level[-1] > 50.0
    assert seen.sum() == 6
    slope = (np.log(level[0:-1:2]) - np.log(level[1:-1:2]))[:, seen] / 2e-3
    iiv = np.array([model.parameters[n].iiv for n in names])
    spread = np.linalg.inv(slope @ slope.T / 0.5**2 + np.diag(iiv**-2.0))
    sd = np.sqrt(np.diag(spread))
    assert (sd[:4] < [0.4, 0.15, 0.2, 0.3]).all()
    correlation = spread / np.outer(sd, sd) - np.eye(len(names))
    assert np.abs(correlation).max() < 0.85


# --- Chaudhury 2020 ---------------------------------------------------------------------------

CHAUDHURY = np.array([0.0, 1.0, 3.0, 5.0, 8.0, 9.0, 9.29, 9.3, 9.4, 10.0, 14.0, 28.0, 90.0, 180.0])


def _regrowth(v, g, umax, ucrit=0.1, h=3.0):
    """Growth of ln U = v: Fcure g (ln Umax - ln U) / ln Umax with Fcure = 1 / (1 + (Ucrit/U)^h)."""
    return g * (np.log(umax) - v) / np.log(umax) * expit(h * (v - np.log(ucrit)))


def _predator_prey(t, y):
    e, u = y
    return [0.0018 * e * u - 0.16 * e, 0.15 * u - 0.00015 * e * u]


def _first_order(growing):
    def rhs(t, y):
        e, q, v = y  # v = ln u, so that no solver makes the tumour negative
        tumour = _regrowth(v, 0.3, 100.0) - 0.0007 * e
        if growing:
            return [1.0 * e, 0.0, tumour]
        return [-(0.0012 + 0.16) * e, 0.0012 * e - 0.0032 * q, tumour]

    return rhs


def _ec50(growing):
    def rhs(t, y):
        e, q, v = y
        u = np.exp(v)
        tumour = _regrowth(v, 0.2, 1000.0) - 0.35 * e / (10.0 + e + u)
        if growing:
            return [8.8 * e * u / (1.0 + e + u), 0.0, tumour]
        return [-(0.0012 + 0.16) * e, 0.0012 * e - 0.0032 * q, tumour]

    return rhs


def test_predator_and_prey_equal_the_biomodels_file():
    """BIOMD0000001024, transcribed; another simulator's run of that file for 10 days in steps of 1
    shows 8323.4 cells and 0.1603 tumour cells in its last record, which is day 9 (README of
    Biosimulant/models-oncology; the day follows from both numbers)."""
    found = models.get("chaudhury2020_predator_prey").simulate(CHAUDHURY, rtol=1e-10)
    e, u = integrate([(0.0, np.inf, _predator_prey)], [10.0, 900.0], CHAUDHURY)
    seen = CHAUDHURY <= 90.0
    assert_allclose(found["car_cells"], e, rtol=AGREE)
    assert_allclose(found["tumour"][seen], u[seen], rtol=AGREE)
    last = found.sel(time=9.0)
    assert_allclose(last["car_cells"], 8323.4, rtol=1e-4)
    assert_allclose(last["tumour"], 0.1603, rtol=1e-3)


def test_predator_and_prey_conserve_their_invariant():
    """rho U - kE ln U + d E - g ln E is constant along every solution of Lotka and Volterra."""
    model = models.get("chaudhury2020_predator_prey")
    p = model.typical()
    found = model.simulate(CHAUDHURY, rtol=1e-10)
    e, u = found["car_cells"].to_numpy(), found["tumour"].to_numpy()
    v = p["rho"] * u - p["ke"] * np.log(u) + p["d"] * e - p["g"] * np.log(e)
    assert_allclose(v, v[0], rtol=1e-7)


@pytest.mark.parametrize(
    ("name", "equations", "day", "tumour", "rtol"),
    [
        ("chaudhury2020_first_order", _first_order, 8.0, 5.92e-07, 3e-3),
        ("chaudhury2020_ec50", _ec50, 9.0, 73.681, 1e-4),
    ],
)
def test_chaudhury_equals_the_biomodels_file(name, equations, day, tumour, rtol):
    """MODEL2109110005 and BIOMD0000001025, transcribed; the last records of another simulator's
    runs of those files for 8.5 and 10 days in steps of 1 are these tumours (README files of
    Biosimulant/models-oncology, three and five digits)."""
    found = models.get(name).simulate(CHAUDHURY, rtol=1e-9)
    pieces = [(0.0, 9.3, equations(True)), (9.3, np.inf, equations(False))]
    e, q, v = integrate(pieces, [10.0, 0.0, np.log(900.0)], CHAUDHURY)
    assert_allclose(found["car_cells"], e + q, rtol=AGREE)
    seen = v > -300.0
    assert_allclose(found["tumour"][seen], np.exp(v)[seen], rtol=2e-5)
    assert_allclose(found["tumour"].sel(time=day), tumour, rtol=rtol)
    assert (found["tumour"] >= 0).all()


def test_first_order_expansion_is_stein_whatever_the_tumour():
    """Cells do not see the tumour: E0 exp(rho t), then Stein's two exponentials (closed form)."""
    model = models.get("chaudhury2020_first_order")
    p = model.typical()
    t = CHAUDHURY
    found = course(model, t, params={"u0": [900.0, 1.0, 1e6]})
    since = np.maximum(t - p["tmax"], 0.0)
    out = p["ke"] + p["kep"]
    share = p["kep"] / (out - p["beta"])
    shape = np.exp(-out * since) + share * (np.exp(-p["beta"] * since) - np.exp(-out * since))
    expected = p["e0"] * np.exp(p["rho"] * np.minimum(t, p["tmax"])) * shape
    assert_allclose(found, np.tile(expected, (3, 1)), rtol=1e-6)


def test_a_tumour_below_the_critical_size_is_cured_and_above_it_comes_back():
    """Fcure removes regrowth below Ucrit (transcribed): with it a killed tumour stays away."""
    first, ec50 = models.get("chaudhury2020_first_order"), models.get("chaudhury2020_ec50")
    # 1e-400 and less is 0 to a computer, and neither an error nor NaN.
    gone = course(first, [28.0, 365.0, 3650.0], "tumour", params={"rho": [1.0, 1.5]})
    assert ((gone >= 0) & (gone < 1e-20)).all()
    back = course(ec50, [28.0, 3650.0], "tumour", params={"d": 0.21})
    assert back[1] > 100 * back[0] or back[1] > 500


def test_growth_is_first_order_while_the_tumour_is_plenty_and_stops_without_tumour():
    """The EC50 form tends to rho E for a large tumour and to rho U for few tumour cells."""
    model = models.get("chaudhury2020_ec50")
    many = course(model, [0.0, 0.05], params={"u0": [1e9, 900.0], "umax": [1e10, 1000.0]}, e0=1e-3)
    rise = np.log(many[:, 1] / many[:, 0]) / 0.05
    assert_allclose(rise, [8.8, 8.8 * 900 / 901], rtol=1e-3)
    few = course(model, [0.0, 9.3], params={"u0": [1e-6]}, d=1e-9)
    assert_allclose(few[0, 1], few[0, 0], rtol=1e-4)


# --- Wu 2022 and Wu F 2025 ---------------------------------------------------------------------


def test_wu2022_equals_its_equations_in_scipy():
    model = models.get("wu2022")
    p = model.typical()
    times = np.array([0.0, 5.0, 6.0, 7.0, 10.0, 12.7, 14.0, 28.0, 90.0, 183.0])

    def rhs(t, y):
        k = 4.0 / p["mtt"]
        flow = k * y[:4]
        return [
            -flow[0],
            *(flow[:3] - flow[1:4]),
            (1 - p["fb"]) * flow[3] - p["alpha"] * y[4],
            p["fb"] * flow[3] - p["beta"] * y[5],
        ]

    start = [p["total"], 0, 0, 0, 0, 0]
    still = lambda t, y: np.zeros(6)  # noqa: E731
    y = integrate([(0.0, p["lag"], still), (p["lag"], np.inf, rhs)], start, times)
    assert_allclose(course(model, times), y[4] + y[5], rtol=AGREE, atol=1e-6)


def test_wu2022_has_the_published_noncompartmental_results():
    """CARTITUDE-1, published (J&J): Cmax 48 692 (SD 27 174) copies/µg, Tmax median 12.7 d,
    AUC0-28 504 496 (SD 385 380), AUC to 6 months 1 033 373 (SD 1 356 987).

    A log-normal quantity of mean m and SD s has the median m / sqrt(1 + s²/m²). Asked of the
    typical course within 15 %: a plausibility test, since the numbers were chosen for it.
    """
    model = models.get("wu2022")
    times = np.linspace(0.0, 183.0, 3661)
    c = course(model, times)
    top, when = peak(times, c)

    def median(mean, sd):
        return mean / np.sqrt(1 + (sd / mean) ** 2)

    def auc(end):
        inside = times <= end
        return np.trapezoid(c[inside], times[inside])

    assert_allclose(top, median(48_692, 27_174), rtol=0.15)
    assert_allclose(when, 12.71, rtol=0.15)
    assert_allclose(auc(28.0), median(504_496, 385_380), rtol=0.15)
    assert_allclose(auc(183.0), median(1_033_373, 1_355_394), rtol=0.15)


def test_wu2025_equals_its_equations_in_scipy():
    model = models.get("wu2025")
    values = {"tlag": [2.0, 0.5, 13.0], "e0": [100.0, 2000.0, 50.0], "km": [5e4, 1e6, 5e4]}
    times = np.array([0.0, 1.0, 2.0, 4.0, 8.0, 10.9, 11.0, 11.1, 20.0, 60.0, 365.0])
    found = course(model, times, params=values)
    for i in range(3):
        p = {**model.typical(), **{k: v[i] for k, v in values.items()}}

        def grow(t, y, p=p):
            return [p["vmax"] * y[0] / (p["km"] + y[0]), 0.0]

        def decline(t, y, p=p):
            return [-(p["deltae"] + p["r"]) * y[0], p["r"] * y[0] - p["deltam"] * y[1]]

        lag = min(p["tlag"], p["tmax"])
        pieces = [(0.0, lag, lambda t, y: [0.0, 0.0]), (lag, p["tmax"], grow)]
        pieces = [x for x in pieces if x[1] > x[0]] + [(p["tmax"], np.inf, decline)]
        y = integrate(pieces, [p["e0"], 0.0], times)
        assert_allclose(found[i], y.sum(axis=0), rtol=AGREE)


def test_wu2025_published_numbers():
    """r 2.81e-4/d and deltaM 5.55e-3/d (half-life 125 d), transcribed; Tmax 11 d, published (SmPC).

    The peak of the typical course is the recalled 2.4e5 copies/µg of 450e6 cells (20 %), and
    obeys (E - E0) + Km ln(E / E0) = Vmax (Tmax - Tlag), computed.
    """
    model = models.get("wu2025")
    p = model.typical()
    assert (p["r"], p["deltam"]) == (2.81e-4, 5.55e-3)
    assert_allclose(LN2 / p["deltam"], 125, rtol=5e-3)
    top = course(model, [p["tmax"]])[0]
    assert_allclose(top, 2.4e5, rtol=0.2)
    grown = (top - p["e0"]) + p["km"] * np.log(top / p["e0"])
    assert_allclose(grown, p["vmax"] * (p["tmax"] - p["tlag"]), rtol=1e-7)
    late = course(model, [500.0, 625.0])
    assert_allclose(late[1] / late[0], 0.5, rtol=5e-3)
