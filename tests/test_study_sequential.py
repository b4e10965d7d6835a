"""Run files with ``fit.given_fit``: the fit of Python's ``given=``, here, in workers, and kept."""

from pathlib import Path

import numpy as np
import pytest

from cart_pkpd import datasets, fit, study
from cart_pkpd._study import fitting, join, kept, plan
from cart_pkpd._study.config import RunFileError

QUICK = {"draws": 20, "tune": 20, "chains": 2, "cores": 1, "seed": 1}
TEXT = """
seed = 1
[data]
dataset = "fast01"
[fit]
endpoint = "car_cells"
given_fit = "cells.nc"
draws = 20
tune = 20
chains = 2
cores = 1
[population]
iiv = ["scale_car_cells"]
scale = ["car_cells"]
[models.flow]
model = "stein2019"
"""


@pytest.fixture(scope="module")
def trial():
    return datasets.load("fast01")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, trial):
    """A folder with the fit of the cells by qPCR."""
    where = tmp_path_factory.mktemp("sequential")
    cells = fit.laplace("stein2019", trial, fit.population(iiv=["cmax", "alpha"]))
    cells.save(where / "cells.nc")
    (where / "study.toml").write_text(TEXT, encoding="utf-8")
    return where


@pytest.mark.filterwarnings("ignore::cart_pkpd._core.errors.FitWarning")
def test_the_fit_is_that_of_python(folder: Path, trial):
    """Same model, data, seed and known parameters: the same draws to the last bit."""
    config = study.load(folder / "study.toml")
    plan.check(config)
    here = fitting.fitted(fitting.task(config, "flow", trial))
    wanted = fit.bayes(
        "stein2019", trial, fit.population(iiv=["scale_car_cells"], scale=["car_cells"]),
        endpoint="car_cells", given=fit.load(folder / "cells.nc"), progress=False, **QUICK,
    )  # fmt: skip
    assert here.provenance["given"]["label"] == "stein2019"
    np.testing.assert_array_equal(
        here.draws()["scale_car_cells"], wanted.draws()["scale_car_cells"]
    )
    sent = fitting.send(fitting.task(config, "flow", trial))
    (folder / "fits").mkdir()
    there = fitting.unpacked(config, "flow", sent, folder / "fits")
    np.testing.assert_array_equal(there.draws()["scale_car_cells"], here.draws()["scale_car_cells"])
    # A later run finds it; one without the known parameters does not.
    found = kept.find(config, join.models(config, trial), folder / "fits")
    assert list(found) == ["flow"]
    without = study.loads(TEXT.replace('given_fit = "cells.nc"\n', ""), root=folder)
    assert not kept.find(without, join.models(without, trial), folder / "fits")


def test_only_what_is_left_is_estimated(folder: Path, trial):
    config = study.load(folder / "study.toml")
    names = {q.name for q in join.models(config, trial)["flow"].quantities}
    assert names == {"scale_car_cells", "omega_scale_car_cells", "sigma_log"}
    assert ("fit flow", "stein2019 to 'car_cells'; IIV on scale_car_cells; chains = 2; tune = 20; "
            "draws = 20; parameters of cells.nc known") in plan.steps(config)  # fmt: skip
    assert "least squares" not in dict(plan.steps(config))
    kept_path = config.resolved(folder / "runs")["fit"]["given_fit"]
    assert kept_path == "../cells.nc"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"cells.nc"', '"gone.nc"', 'fit.given_fit = "gone.nc" is not a file'),
        ("seed = 1\n", 'seed = 1\n[search]\niiv = ["cmax"]\n', "a search fits every parameter"),
        ('given_fit = "cells.nc"', 'given_at = "mean"', "'given_at' without 'given_fit'"),
    ],
)
def test_what_cannot_be_is_refused(folder: Path, old: str, new: str, said: str):
    with pytest.raises(RunFileError, match=said) as caught:
        plan.check(study.loads(TEXT.replace(old, new), root=folder))
    assert "cart_pkpd" not in str(caught.value)
