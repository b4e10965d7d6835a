"""Numbers that must not move: with tolerance, units, order, company, threads; and far away."""

from __future__ import annotations

import io

import numpy as np
import ode_models as own
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cart_pkpd import data, fit, models, nca, simulate
from cart_pkpd.models._rounding import without_rounding

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
    """The solver leaves −3e-14 cells of a peak of 1,400; asked for that day alone it is 0 too."""
    dual = models.get("leon_triana2021_dual")
    assert float(dual.simulate(times, doses=1e8)["car_cells"][-1]) == 0.0
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
