"""Numbers that must not move: with tolerance, units, order, company, threads; and far away."""

from __future__ import annotations

import io

import numpy as np
import ode_models as own
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cart_pkpd import data, fit, models, nca, simulate
from cart_pkpd._core.errors import CartWarning
from cart_pkpd._engine import solve
from cart_pkpd.models import OdeModel, Positive, State
from cart_pkpd.models._rounding import fallen, sizes_at_floors, without_rounding

TIMES = np.array([0.5, 3.0, 9.3, 14.0, 28.0, 90.0, 365.0])
RNG = np.random.default_rng(11)
MANY = {
    "cmax": 24_000 * np.exp(0.65 * RNG.standard_normal(32)),
    "tmax": 9.3 * np.exp(0.38 * RNG.standard_normal(32)),
}


def stein(t, cmax, tmax, rho=0.889, alpha=0.16, fb=0.0079, beta=0.0032):
    """The solution of the equations, written out from Stein 2019."""
    rises = cmax * np.exp(rho * (np.minimum(t, tmax) - tmax))
    late = np.maximum(t - tmax, 0.0)
    falls = (1 - fb) * np.exp(-alpha * late) + fb * np.exp(-beta * late)
    return np.where(t < tmax, rises, cmax * falls)


def levels(**parameters):
    out = own.EffectorMemory().simulate(TIMES, **parameters)
    return out["transgene"].to_numpy()


# --- tolerances -----------------------------------------------------------------------------


@pytest.mark.parametrize("rtol", [1e-4, 1e-5, 1e-6, 1e-8, 1e-10])
def test_results_move_less_than_the_stated_tolerance(rtol):
    """Errors of steps add up over a year: at most ten times the tolerance, as docs/engine.md."""
    found = own.EffectorMemory().simulate(TIMES, rtol=rtol)["transgene"]
    exact = stein(TIMES, 24_000, 9.3)
    assert (np.abs(found / exact - 1) < 10 * rtol).all()


# --- company --------------------------------------------------------------------------------


def test_a_patient_among_32_has_the_numbers_of_one_alone():
    together = levels(**MANY)
    for i in (0, 7, 31):
        alone = levels(**{k: v[i] for k, v in MANY.items()})
        assert_array_equal(np.squeeze(together[i]), np.squeeze(alone))


def test_the_order_of_patients_changes_no_number():
    order = np.random.default_rng(2).permutation(32)  # of another seed than the parameters
    assert_array_equal(levels(**{k: v[order] for k, v in MANY.items()}), levels(**MANY)[order])


@pytest.mark.parametrize("name", ["stein2019", "ogasawara2021"])
def test_closed_forms_do_not_depend_on_company(name):
    model = models.get(name)
    together = model.simulate(TIMES, tmax=MANY["tmax"])["transgene"].to_numpy()
    for i in (0, 31):
        alone = model.simulate(TIMES, tmax=MANY["tmax"][i])["transgene"].to_numpy()
        assert_array_equal(np.squeeze(together[i]), np.squeeze(alone))


@pytest.fixture(scope="module")
def records() -> pd.DataFrame:
    rng, rows = np.random.default_rng(4), []
    for i in range(6):
        rows.append({"ID": f"P{i}", "TIME": 0.0, "AMT": 1e6, "DV": np.nan})
        for day in (1, 3, 7, 9, 11, 14, 21, 28, 60):
            level = stein(float(day), MANY["cmax"][i], 9.0) * np.exp(0.1 * rng.standard_normal())
            rows.append({"ID": f"P{i}", "TIME": float(day), "AMT": np.nan, "DV": level})
    return pd.DataFrame(rows)


def read(table: pd.DataFrame, unit: str = "copies/ug", **how):
    text = io.StringIO(table.assign(DVID="transgene").to_csv(index=False))
    return data.read_table(pd.read_csv(text), units={"transgene": unit}, echo=False, **how)


def numbers(trial) -> pd.DataFrame:
    found = nca.table(trial, endpoint="transgene")
    names = [n for n in found["parameter"].to_numpy() if n in found]
    frame = pd.DataFrame({n: found[n].to_numpy() for n in names}, index=found["id"].to_numpy())
    return frame.select_dtypes("number").sort_index()


def backwards(records: pd.DataFrame) -> pd.DataFrame:
    """Return the last patient first, each with the same rows."""
    return pd.concat([rows for _, rows in list(records.groupby("ID"))[::-1]])


def test_the_order_of_patients_and_of_rows_changes_no_nca(records):
    one = numbers(read(records))
    assert one.shape[1] > 5
    assert one.notna().any(axis=None)
    mixed = records.sample(frac=1, random_state=1)
    for table in (read(backwards(records)), read(mixed, sort=True)):
        other = numbers(table)
        pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_the_order_of_patients_changes_no_least_squares(records):
    """Each patient is a problem of its own: the same to the last digit."""
    few = [r[r["ID"].isin(["P1", "P2", "P4"])] for r in (records, backwards(records))]
    found = [fit.least_squares("stein2019", read(r), endpoint="transgene") for r in few]
    ids = [f["id"].to_numpy().tolist() for f in found]
    assert sorted(ids[0]) == sorted(ids[1]) == ["P1", "P2", "P4"]
    for name in found[0].data_vars:
        if found[0][name].dtype.kind == "f":
            assert_array_equal(found[0][name], found[1][name].sel(id=found[0]["id"]))


# --- units ----------------------------------------------------------------------------------


def test_values_in_other_units_give_the_same_nca(records):
    """5 copies/µg are 5000 copies/mg; only the last digit may move."""
    scaled = records.assign(DV=records["DV"] * 1000)
    one, other = numbers(read(records)), numbers(read(scaled, "copies/mg"))
    same = np.isclose(other, one, rtol=1e-12, atol=0, equal_nan=True)
    scaled = np.isclose(other, 1000 * one, rtol=1e-12, atol=0)
    assert (same | scaled).all(), other.columns[~(same | scaled).all(axis=0)]
    assert scaled[:, one.columns.get_loc("cmax")].all()


def test_times_in_hours_give_the_same_numbers(records):
    hours = records.assign(TIME=records["TIME"] * 24)
    trial = numbers(read(hours, time_unit="h"))
    pd.testing.assert_frame_equal(numbers(read(records)), trial, rtol=1e-12)


# --- chance ---------------------------------------------------------------------------------


def test_virtual_patients_depend_on_their_seed_alone():
    def people(seed=5, **how):
        return simulate.patients("stein2019", 200, times=[0, 7, 28], error=0.3, seed=seed, **how)

    one = people()
    for how in ({}, {"threads": 2}, {"chunk": 7}, {"executor": "inline"}):
        assert people(**how)["dv"].equals(one["dv"])
    assert not people(seed=6)["dv"].equals(one["dv"])


# --- far away -------------------------------------------------------------------------------

FAR = np.array([0.0, 1e3, 1e4, 1e5, 1e6])


@pytest.mark.parametrize("name", ["stein2019", "ogasawara2021"])
def test_levels_in_the_far_future_die_out_without_a_word(name):
    """Below the smallest number a level is 0: no NaN, no warning, never below 0."""
    found = models.get(name).simulate(FAR)["transgene"].to_numpy()
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert found[..., -1] == 0.0
    assert (np.diff(found[..., 1:]) <= 0).all()


def test_equations_in_the_far_future_stay_within_their_tolerance():
    """What is less than the tolerance of the peak has no size, and is not below 0."""
    found = own.EffectorMemory().simulate(FAR)["transgene"].to_numpy()
    assert (found >= 0).all()
    assert_allclose(np.squeeze(found), stein(FAR, 24_000, 9.3), atol=24_000 * 1e-6, rtol=1e-5)


@pytest.mark.parametrize("times", [[0, 14, 1e4], [1e4]])
def test_what_is_gone_is_0_and_not_a_little_below(times):
    """The solver leaves ±3e-14 cells of a peak of 1,400; also if asked for that day alone."""
    dual = models.get("leon_triana2021_dual")
    assert 0.0 <= float(dual.simulate(times, doses=1e8)["car_cells"][-1]) < 1e-12
    people = simulate.patients(dual, 3, times=[14, 1e4], doses=1e8, seed=1)
    assert (people["level"] >= 0).all()


def test_what_is_well_below_0_stays():
    """By hand: within 1e-5 of the largest of a patient and endpoint, at the tolerance of 1e-6."""
    levels = np.array([[[2e3, -1.0], [-1e-20, -3.0]], [[np.nan, 1.0], [np.nan, -1e-4]],
                       [[-1e-20, 1.0], [-1e-20, -1e-6]]])  # fmt: skip
    asked = []

    def more(only):
        asked.append(only.tolist())
        return np.array([[[1.0, 1.0]], [[np.nan] * 2], [[5.0, 1.0]]])

    found = without_rounding(levels, 1e-6, more)
    assert_array_equal(found[0], [[2e3, -1.0], [0.0, -3.0]])
    assert_array_equal(found[1], [[np.nan, 1.0], [np.nan, -1e-4]])
    assert_array_equal(found[2], [[0.0, 1.0], [0.0, 0.0]])
    assert asked == [[True, True, True]]
    assert not np.signbit(found[2]).any()


@pytest.mark.parametrize("factor", [1e-12, 1e-6, 1e6, 1e12, 1e30])
@pytest.mark.parametrize("parameter", ["cmax", "tmax", "rho", "alpha", "beta"])
def test_extreme_but_legal_parameters(parameter, factor):
    """The closed form equals the one written here; what overflows in neither is a number."""
    typical = {"cmax": 24_000.0, "tmax": 9.3, "rho": 0.889, "alpha": 0.16, "beta": 0.0032}
    changed = {**typical, parameter: typical[parameter] * factor}
    if changed["beta"] > changed["alpha"]:
        pytest.skip("the slow rate is below the fast one")
    found = models.get("stein2019").simulate(TIMES, fb=0.0079, **changed)["transgene"]
    with np.errstate(over="ignore", under="ignore"):
        expected = stein(TIMES, **changed)
    assert not np.isnan(found).any()
    assert_allclose(np.squeeze(found), expected, rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1e9, 1e30])
def test_records_of_any_size_have_the_nca_of_their_scale(records, scale):
    one, other = numbers(read(records)), numbers(read(records.assign(DV=records["DV"] * scale)))
    for name in ("tmax", "half_life"):
        if name in one:
            assert_allclose(other[name], one[name], rtol=1e-9)
    assert_allclose(other["cmax"], one["cmax"] * scale, rtol=1e-12)


def test_amounts_below_0_by_hand():
    """Floors of 4 and 1 cells, of which half are counted; a logarithm is no amount."""

    class Counted(OdeModel):
        a = State("cells", "cells", floor=4.0)
        b = State("cells", "cells", floor=1.0)
        ln = State("1", "a logarithm")
        volume = Positive(2.0, "µL", "volume")

        def initial(self, p):
            return {"a": 0.0, "b": 0.0, "ln": 0.0}

        def rhs(self, t, y, p):
            return {"a": 0.0, "b": 0.0, "ln": 0.0}

        def observe(self, t, y, p):
            return {"level": (y.a + y.b) / p.volume, "size": y.ln}

    least = sizes_at_floors(Counted().program, np.array([[2.0], [10.0]]))
    assert_array_equal(least, [[2.5, np.nan], [0.5, np.nan]])
    levels = np.array([[[-2e-5, -1.0]], [[-2e-5, -1.0]]])
    found = without_rounding(levels, 1e-6, least=least)
    assert_array_equal(found, [[[0.0, -1.0]], [[-2e-5, -1.0]]])
    assert_array_equal(fallen(found, least), [False, True])


class Falling(OdeModel):
    """Cells fall below 0, as no amount can, at a rate that does not depend on them."""

    cells = State("cells", "cells", floor=1.0)
    cells0 = Positive(10.0, "cells", "cells at the start")
    loss = Positive(1.0, "cells/day", "loss")
    dosed = "cells"

    def initial(self, p):
        return {"cells": p.cells0}

    def rhs(self, t, y, p):
        return {"cells": -p.loss}

    def observe(self, t, y, p):
        return {"level": y.cells}


def test_an_amount_well_below_0_is_no_number():
    """10 − t at day 4; none at day 14, in both ways of simulating, for nobody else."""
    with pytest.warns(CartWarning, match="1 of 2 patients .* died out came back below 0"):
        found = Falling().simulate([4, 14], loss=[0.5, 1.0])
    assert_allclose(found["level"], [[8.0, 3.0], [np.nan, np.nan]], rtol=1e-9)
    assert found["status"].to_numpy().tolist() == ["solved", solve.REASONS[solve.BELOW_ZERO]]
    model = Falling().with_(loss=models.Fixed(1.0))
    early, late = (simulate.patients(model, 2, times=[t], doses=1e3, seed=1) for t in (4.0, 1e5))
    assert (early["level"] > 900.0).all()
    assert np.isnan(late["level"]).all()


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore::cart_pkpd._core.errors.CartWarning")
@pytest.mark.parametrize("name", models.names())
def test_extreme_parameters_and_doses_of_every_model_have_no_level_below_0(name):
    """Each parameter a thousandth and a thousand times the usual, doses from 1 to 1e13, 27 years.

    Levels are at or above 0, or the patient has no solution, and the reason.
    """
    model = models.get(name)
    equations = isinstance(model, models.OdeModel)
    times = [0, 0.5, 1, 3, 7, 14, 28, 90, 365, 1e3, 1e4]
    for dose in (1.0, 1e4, 1e8, 1e13) if equations and model.dosed else (None,):
        given = {} if dose is None else {"doses": dose}
        found = model.simulate(times, pd.DataFrame(one_at_a_time(model)), **given)
        for endpoint in model.endpoints:
            levels = found[endpoint].to_numpy()
            if equations:
                solved = found["status"].to_numpy() == "solved"
                assert np.isnan(levels[~solved]).all()
                levels = levels[solved]
            assert np.isfinite(levels).all()
            assert (levels >= 0).all(), (endpoint, dose, np.flatnonzero((levels < 0).any(axis=1)))


def one_at_a_time(model):
    """Rows of parameters: the typical ones, and each by a factor of e^7 to both sides."""
    typical = model.typical()
    rows = [typical]
    for name, parameter in model.parameters.items():
        far = 5.0 * parameter.spread if parameter.scale == "identity" else 7.0
        for way in (-far, far):
            value = float(parameter.to_natural(parameter.to_free(parameter.typical) + way))
            if parameter.contains(value):
                rows.append({**typical, name: value})
    return rows


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore::cart_pkpd._core.errors.CartWarning")
@pytest.mark.parametrize("name", models.names())
def test_every_model_far_away_gives_numbers_or_nan_with_the_reason(name):
    """Cells that grow for ever, and those that die out: solved within tolerance, or said not."""
    model = models.get(name)
    dosed = isinstance(model, models.OdeModel) and model.dosed
    found = model.simulate(FAR, **({"doses": 1e8} if dosed else {}))
    solved = str(found["status"].to_numpy()) == "solved" if "status" in found else True
    for endpoint, values in found.data_vars.items():
        if endpoint != "status":
            assert np.isfinite(values).all() == solved, endpoint
            # log_tumour is a logarithm.
            assert not solved or float(values.min()) >= 0 or endpoint == "log_tumour", endpoint
