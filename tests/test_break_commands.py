"""Faults seen by the real command: lost workers, damaged files, a patient without a solution."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from grid_inputs import FOUR, STUDY
from test_break_faults import end, start, stop, until, written

from cart_pkpd import fit, simulate

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are found in /proc"),
]

PEOPLE = """
seed = 3
[simulate]
model = "barros2021"
n = {n}
doses = [1e2, 1e4, 1e6, 1e8]
times = [0, 7, 28]
window = [0, 28]
"""


def people(folder: Path, n: int = 40) -> Path:
    path = folder / "people.toml"
    path.write_text(PEOPLE.format(n=n), encoding="utf-8")
    return path


def posterior(out: Path, name: str = "stein"):
    return fit.load(out / "fits" / f"{name}.nc").posterior


# --- workers --------------------------------------------------------------------------------


def workers_of(process: int) -> list[int]:
    """Return the processes below one that do its tasks."""
    found, waiting = [], [process]
    while waiting:
        above = waiting.pop()
        for task in Path(f"/proc/{above}/task").glob("*/children"):
            waiting += [int(word) for word in task.read_text().split()]
        if b"spawn_main" in Path(f"/proc/{above}/cmdline").read_bytes():
            found.append(above)
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four fits of a run in one process."""
    folder = tmp_path_factory.mktemp("alone")
    code, said = end(start("run", written(folder, FOUR), "--out", folder / "run"))
    assert code == 3, said
    return folder / "run"


@pytest.mark.parametrize("executor", ["processes", "dask"])
def test_a_run_whose_workers_are_killed_has_the_same_fits(alone, executor, tmp_path):
    out = tmp_path / "run"
    process = start(
        "run", written(tmp_path, FOUR), "--out", out, "--executor", executor, "--jobs", "2"
    )
    until(process, "fit stein")  # the first has ended, and others are under way
    killed = workers_of(process.pid)
    assert killed
    for one in killed:
        os.kill(one, signal.SIGKILL)
    code, said = end(process)
    assert code == 3, said
    assert "Traceback" not in said
    names = sorted(p.stem for p in (alone / "fits").glob("*.nc"))
    assert len(names) == 4
    for name in names:
        assert posterior(out, name).equals(posterior(alone, name))


# --- damaged files --------------------------------------------------------------------------


def test_a_run_with_a_damaged_fit_does_it_again(tmp_path):
    path, out = written(tmp_path, STUDY), tmp_path / "run"
    assert end(start("run", path, "--out", out))[0] == 3
    good, file = posterior(out), out / "fits" / "stein.nc"
    content = file.read_bytes()
    for damaged in (content[:2000], content[:5000] + b"\xff" + content[5001:]):
        file.write_bytes(damaged)
        code, said = end(start("run", path, "--out", out, "--resume"))
        assert code == 3, said
        assert "Taken from the earlier run" not in said
        assert posterior(out).equals(good)


def test_compiled_code_that_is_damaged_is_made_anew(tmp_path):
    """Every file of the cache cut in half, then with a byte changed."""
    path, cache = people(tmp_path), tmp_path / "cache"
    own = {"CART_PKPD_CACHE": str(cache)}
    code, said = end(start("simulate", path, "--out", tmp_path / "0.nc", **own))
    assert code == 0, said
    files = [p for p in cache.rglob("*") if p.is_file()]
    assert files
    for i, damage in enumerate((lambda c: c[: len(c) // 2], lambda c: c[:-9] + b"\x00" + c[-8:])):
        for file in files:
            file.write_bytes(damage(file.read_bytes()))
        out = tmp_path / f"{i + 1}.nc"
        code, said = end(start("simulate", path, "--out", out, **own))
        assert code == 0, said
        with simulate.load(out) as found, simulate.load(tmp_path / "0.nc") as before:
            assert found.equals(before)


# --- virtual patients -----------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("name", ["many.nc", "many.zarr"])
def test_a_simulation_that_is_stopped_leaves_no_file_of_that_name(name, number, tmp_path):
    process = start("simulate", people(tmp_path, n=3_000_000), "--out", tmp_path / name)
    until(process, "simulate ...")
    time.sleep(4)
    code, said = stop(process, number)
    assert code == (130 if number == signal.SIGINT else -signal.SIGKILL), said
    assert "Traceback" not in said
    assert not (tmp_path / name).exists()
    if number == signal.SIGINT:
        assert not list(tmp_path.glob(".part-*"))
    for part in tmp_path.glob(".part-*"):  # which nothing reads, and the owner may delete
        shutil.rmtree(part) if part.is_dir() else part.unlink()


def test_patients_without_a_solution_are_told_and_the_others_are_there(tmp_path):
    """With 120 steps the two lower doses are not solved to the end."""
    few, many = tmp_path / "few.nc", tmp_path / "many.nc"
    assert end(start("simulate", people(tmp_path), "--out", many))[0] == 0
    code, said = end(start("simulate", people(tmp_path), "--out", few, fault="steps 120"))
    assert code == 0, said
    assert "! 20 patients have no solution; their levels are missing." in said
    assert "Traceback" not in said
    with simulate.load(few) as found, simulate.load(many) as whole:
        bad = found["status"].values > 0
        assert bad.tolist() == (found["dose_level"].values < 1e5).tolist()
        assert np.isnan(found["level"].values[bad]).all()
        np.testing.assert_array_equal(found["level"].values[~bad], whole["level"].values[~bad])
