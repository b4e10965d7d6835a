"""Shared by the tests: seeds, hypothesis profiles, and the two example trials."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, settings

BY_MODEL = ("test_model_contract.py", "test_model_recovery.py")

# The files that take longest come first, so that no worker is left alone with one of them at the
# end. Every other one of the first compiles nothing: two workers in want of the same units wait.
DEAR = tuple(
    f"test_{name}.py"
    for name in (
        "fit", "plots_audit", "stat_options", "cli_nca", "posterior", "dose_operating", "notebooks",
        "calibration", "laplace", "endpoints_study", "engine", "report", "grid_runs", "model_pages",
        "least_squares", "library_tumour", "break_hostile", "interruptions", "dose_chain",
        "library_empirical", "engine_lanes", "study", "leave_out", "reference_posteriors",
        "fit_several_endpoints", "simulate", "crs", "survival", "survival_joint",
    )
)  # fmt: skip

settings.register_profile(
    "fast",
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("thorough", max_examples=500, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture
def rng() -> np.random.Generator:
    """A fresh generator with the same seed in every test."""
    return np.random.default_rng(20260101)


@pytest.fixture(scope="session")
def fast01() -> xr.Dataset:
    """The bundled simulated trial; copy it before changing it."""
    from cart_pkpd import datasets

    return datasets.load("fast01")


@pytest.fixture(scope="session")
def car22_folder() -> Path:
    """The folder above ``car22``: CART_PKPD_DATA, or shared/data beside the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("CART_PKPD_DATA") or beside)
    if not (folder / "car22" / "observations.csv").is_file():
        pytest.skip(f"no car22/observations.csv in {folder}; set CART_PKPD_DATA to its folder")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _kernels_compile_here() -> Iterator[None]:
    """Compile kernels in this process once their units are on disk: starting another takes long.

    The code is the same to the byte, which test_engine_cache shows. Units, and whatever runs in
    processes of its own, are compiled as always.
    """
    from cart_pkpd._engine import compiling, store, units

    launch = compiling._launch

    @functools.wraps(launch)
    def launch_for_units(name: str) -> Any:
        needed = compiling.constants(compiling.equations(name))["UNITS"]
        folder = store.cache_folder()
        there = all((folder / f"unit_{n}_{units.key(n)}.bc").is_file() for n in needed)
        return None if there else launch(name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiling, "_launch", launch_for_units)
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order files by `DEAR`; all others stay in their order."""
    place = {name: i for i, name in enumerate(DEAR)}
    items.sort(key=lambda item: place.get(item.path.name, len(DEAR)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Let one worker run a whole file, because its tests share compiled kernels and fixtures.

    The contract suite is split by model. Done here, because the groups of pytest-xdist 3.8 are
    not seen by pytest 9.2. Files go out in the order of the collection, not by their tests'
    number, which says little of the time they take.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, _, test = nodeid.partition("::")
            by_model = Path(file).name in BY_MODEL and "[" in test
            return f"model {test.split('[')[1].strip(']').split('-')[0]}" if by_model else file

    config.option.loadscopereorder = False
    return ByFile(config, log)
