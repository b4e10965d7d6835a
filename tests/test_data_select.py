"""Some patients of a trial: data.select."""

import numpy as np
import pytest

from cart_pkpd import data, datasets, fit, models, nca
from cart_pkpd._core.errors import DataError


@pytest.fixture(scope="module")
def trial():
    return datasets.load("fast01")


def test_records_doses_and_events_go_with_their_patients(trial):
    chosen = ["F01-012", "F01-009"]
    found = data.select(trial, chosen)
    assert data.patients(found) == ["F01-009", "F01-012"]  # in the order of the trial
    for dim, who in (("obs", "patient"), ("dosing", "dose_patient"), ("event", "event_patient")):
        assert set(found[who].values) <= set(chosen)
        assert found.sizes[dim] == np.isin(trial[who].values, chosen).sum()


def test_numbers_of_a_patient_do_not_depend_on_the_others(trial):
    alone = nca.table(data.select(trial, ["F01-009"]), endpoint="transgene")
    together = nca.table(trial, endpoint="transgene").sel(id=["F01-009"])
    np.testing.assert_array_equal(alone["cmax"], together["cmax"])


def test_unknown_patients_are_named(trial):
    with pytest.raises(DataError, match="no patient 'F01-31'"):
        data.select(trial, ["F01-31"])
    with pytest.raises(DataError, match="names nobody"):
        data.select(trial, [])
    with pytest.raises(DataError, match="must be names of patients"):
        data.select(trial, "F01-001")


def test_a_trial_cut_by_xarray_alone_is_refused(trial):
    with pytest.raises(DataError, match=r"data\.select"):
        fit.least_squares(models.get("stein2019"), trial.isel(id=slice(0, 3)))
