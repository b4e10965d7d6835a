"""Many patients, ragged and in any order; what simulate takes and refuses; failed solutions."""

import pickle

import numpy as np
import ode_models as own
import ode_reference as reference
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from ode_cases import solved, values

from cart_pkpd._core.errors import CartWarning, ModelError
from cart_pkpd._engine.schedule import Change, Dose, base_values, schedule
from cart_pkpd._engine.solve import sensitivities

# --- many patients -------------------------------------------------------------------------


def cohort(rng, k=70):
    """Ragged patients of a dosed model: (schedule of those asked for, values)."""
    model = own.AntigenDriven()
    who = [values(model, rng) for _ in range(k)]
    times = [np.sort(rng.uniform(0.0, 60.0, rng.integers(0, 9))) for _ in range(k)]
    doses = [[(t, 5e7, 0.1) for t in rng.uniform(0, 9, rng.integers(1, 4))] for _ in range(k)]

    def plan(patients):
        return schedule(
            len(patients),
            patient=np.repeat(np.arange(len(patients)), [times[i].size for i in patients]),
            time=np.concatenate([times[i] for i in patients]),
            doses=[Dose(n, t, a, 0, d) for n, i in enumerate(patients) for t, a, d in doses[i]],
            changes=[Change(n, 5.0, 1.0, 13) for n, i in enumerate(patients) if i % 2],
        )

    def run(patients, threads=None):
        given = {n: [who[i][n] for i in patients] for n in who[0]} | {"toci": 0.0}
        base = base_values(model.program, len(patients), given)
        asked = plan(patients)
        return sensitivities(
            model.program, tuple(model.parameters), base, asked, threads=threads
        ), asked.ob_start

    return run


def test_the_number_of_threads_does_not_change_a_bit(rng):
    run = cohort(rng)
    one, _ = run(range(70), threads=1)
    for other in (run(range(70), threads=2)[0], run(range(70))[0]):
        for a, b in zip(one, other, strict=True):
            assert_array_equal(a, b)


def test_patients_do_not_see_each_other(rng):
    """Alone, in another order or together: the same bits, with samples at their own times."""
    run = cohort(rng)
    (level, slope, _), start = run(range(70))
    order = rng.permutation(70)
    (mixed, _, _), mixed_start = run(list(order))
    for n, i in enumerate(order):
        mine = slice(start[i], start[i + 1])
        assert_array_equal(mixed[mixed_start[n] : mixed_start[n + 1]], level[mine])
        if n < 20:
            (alone, by, _), _ = run([i])
            assert_array_equal(alone, level[mine])
            assert_array_equal(by, slope[mine])


def test_times_may_be_unsorted_and_repeated():
    """Each sample has the level of its time, whatever the others: to 1e-8."""
    model = own.PredatorPrey()
    times = np.array([7.0, 1.0, 7.0, 0.0, 3.0])
    level, _ = solved(model, model.typical(), times)
    assert_array_equal(level[0], level[2])
    alone = np.concatenate([solved(model, model.typical(), [t])[0] for t in times])
    assert_allclose(level, alone, rtol=1e-8, atol=1e-8)


# --- simulate ------------------------------------------------------------------------------


def test_simulate_names_patients_doses_and_units():
    """Three patients from a table of doses; the closed form to 1e-5."""
    doses = pd.DataFrame(
        {
            "id": ["a", "a", "b", "c"],
            "time": [0.0, 1.0, 0.5, 0.0],
            "amount": [1.0, 0.5, 2.0, 0.0],
        }
    )
    rates = [0.05, 0.06, 0.07]
    out = own.BlowUp().simulate([0.25, 1.25, 4.0], doses=doses, rate=rates)
    assert out["id"].values.tolist() == ["a", "b", "c"]
    assert out["transgene"].attrs["units"] == "copies/µg"
    assert out["time"].attrs["units"] == "day"
    assert (out["status"] == "solved").all()
    for label, rate in zip("abc", rates, strict=True):
        mine = doses[doses["id"] == label][["time", "amount"]].to_numpy().tolist()
        expected = reference.quadratic(out["time"], {"start_level": 1.0, "rate": rate}, mine)
        assert_allclose(out["transgene"].sel(id=label), expected, rtol=1e-5)


def test_simulate_takes_a_dose_as_a_number_as_pairs_and_as_triples():
    model = own.BlowUp()
    one = model.simulate([1.0, 2.0], doses=1.5)
    assert one.equals(model.simulate([1.0, 2.0], doses=[(0.0, 1.5)]))
    assert one.equals(model.simulate([1.0, 2.0], doses=[(0.0, 1.5, 0.0)]))
    assert_allclose(one["transgene"], [2.5 / 0.75, 2.5 / 0.5], rtol=1e-5)


def test_samples_before_the_start_see_the_initial_state():
    out = own.BlowUp().simulate([-1.0, 0.0], doses=1.5)
    assert_array_equal(out["transgene"], [1.0, 2.5])


def test_covariates_are_one_for_all_or_one_each():
    """The background of the assay is added to the level: exactly."""
    model, times = own.BlowUp(), [0.0, 3.0]
    plain = model.simulate(times)["transgene"].to_numpy()
    one = model.simulate(times, covariates={"shift": 3.0})["transgene"]
    assert_array_equal(one, plain + 3.0)
    each = model.simulate(times, covariates={"shift": [0.0, 3.0]})["transgene"]
    assert_array_equal(each, [plain, plain + 3.0])
    table = pd.DataFrame({"id": ["a", "b"], "shift": [0.0, 3.0]})
    named = model.simulate(times, covariates=table)["transgene"]
    assert named["id"].values.tolist() == ["a", "b"]
    assert_array_equal(named, each)


def test_covariates_of_a_table_belong_to_its_patients():
    params = pd.DataFrame({"rate": [0.1, 0.1]}, index=["b", "a"])
    table = pd.DataFrame({"id": ["a", "b"], "shift": [1.0, 2.0]})
    out = own.BlowUp().simulate([0.0], params, covariates=table)["transgene"]
    assert_array_equal(out.sel(id=["a", "b"]).values[:, 0], [2.0, 3.0])


def test_doses_and_covariates_of_unknown_patients_are_refused():
    params = pd.DataFrame({"rate": [0.1, 0.1]}, index=["b", "a"])
    doses = pd.DataFrame({"id": ["c"], "time": [0.0], "amount": [1.0]})
    with pytest.raises(ModelError, match="no patient 'c'"):
        own.BlowUp().simulate([0.0], params, doses)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ({"doses": [(0.0, -1.0)]}, "is not a dose"),
        ({"doses": [(-1.0, 1.0)]}, "before the start"),
        ({"doses": [3.0]}, "give \\(time, amount\\)"),
        ({"doses": pd.DataFrame({"time": [0.0], "amont": [1.0]})}, "no column 'amount'"),
        (
            {"doses": pd.DataFrame({"time": [0.0], "amount": [1.0], "lenght": [1.0]})},
            "unknown column 'lenght'",
        ),
        (
            {"doses": pd.DataFrame({"time": [0.0], "amount": [1.0], "state": ["centrl"]})},
            "no state 'centrl'. Did you mean 'central'",
        ),
        ({"inputs": {"toci": [(0.0, 1.0)]}}, "no input 'toci'"),
        ({"covariates": {"weight": 70.0}}, "no covariate 'weight'"),
        ({"clearence": 1.0}, "no parameter 'clearence'. Did you mean 'clearance'"),
        ({"volume": -1.0}, "volume = -1.0 is not possible: it must be above 0"),
        ({"volume": [1.0, 2.0], "clearance": [1.0, 2.0, 3.0]}, "one per patient"),
    ],
)
def test_impossible_questions_are_refused(what, words):
    with pytest.raises(ModelError, match=words):
        own.OneCompartment().simulate([1.0], **what)


def test_a_model_without_dosed_takes_no_dose():
    with pytest.raises(ModelError, match="EffectorMemory takes no dose"):
        own.EffectorMemory().simulate([1.0], doses=1e8)


# --- failures ------------------------------------------------------------------------------


def test_a_patient_whose_solution_becomes_infinite_is_nan_and_counted():
    """y' = r y² from 1 is 1 / (1 - r t): infinite at day 1 / r. The others are untouched."""
    model, rates = own.BlowUp(), np.array([0.01, 0.2, 0.02, 0.5])
    times = np.array([0.0, 4.0, 20.0])
    with pytest.warns(CartWarning, match="2 of 4 patients could not be solved"):
        out = model.simulate(times, rate=rates)
    assert np.isnan(out["transgene"].values[[1, 3]]).all()
    expected = 1.0 / (1.0 - rates[[0, 2], None] * times)
    assert_allclose(out["transgene"].values[[0, 2]], expected, rtol=1e-5)
    alone = model.simulate(times, rate=rates[[0, 2]])
    assert_array_equal(out["transgene"].values[[0, 2]], alone["transgene"].values)
    said = out["status"].values.tolist()
    assert said[0] == said[2] == "solved"
    assert all("became" in s or "more steps" in s for s in (said[1], said[3]))


def test_samples_before_the_infinite_time_are_solved():
    """Half a percent before the pole errors have grown 200 times: 1e-3 at rtol 1e-6."""
    out = own.BlowUp().simulate([4.0, 9.95], rate=0.1)
    assert_allclose(out["transgene"], [1 / 0.6, 200.0], rtol=1e-3)


def test_too_few_steps_are_said():
    with pytest.warns(CartWarning, match="1 of 1 patients .* raise max_steps"):
        out = own.BlowUp().simulate([9.0], max_steps=3)
    assert out["status"] == "more steps than max_steps were needed"
    assert np.isnan(out["transgene"]).all()


@pytest.mark.parametrize("setting", [{"rtol": 0.0}, {"rtol": 2.0}, {"max_steps": 0}])
def test_impossible_settings_are_refused(setting):
    with pytest.raises(ModelError, match="rtol must lie between 1e-13 and 1 and max_steps"):
        own.BlowUp().simulate([1.0], **setting)


def test_a_model_carries_the_settings_of_its_solver():
    """Simulations and predictions of a fit use them: far more steps than 5 are needed."""
    model = own.AntigenDriven().with_solver(rtol=1e-9, max_steps=5)
    assert (model.solver.rtol, model.solver.max_steps) == (1e-9, 5)
    assert model != own.AntigenDriven()
    assert pickle.loads(pickle.dumps(model)) == model
    with pytest.warns(CartWarning, match="more steps than max_steps"):
        out = model.simulate([60.0], doses=1e8)
    assert str(out["status"].to_numpy()) == "more steps than max_steps were needed"
    assert np.isfinite(model.simulate([60.0], doses=1e8, max_steps=5000)["il6"]).all()
