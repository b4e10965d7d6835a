"""Grids that are run: the same numbers by every executor, and after every interruption."""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from grid_inputs import FOUR, STUDY, TRIAL, TWO

from cart_pkpd import cli, fit, report, study
from cart_pkpd._core.errors import ConfigError
from cart_pkpd._study import run as run_module
from cart_pkpd._study import searching, steps
from cart_pkpd._study.folder import RunFolder

Load = Callable[[str], study.Config]
QUICKER = ("seconds",)  # what differs from run to run


@pytest.fixture
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    folder = tmp_path_factory.mktemp("in")
    (folder / "trial.csv").write_text(TRIAL, encoding="utf-8")
    return lambda text: study.loads(text, root=folder)


@pytest.fixture(scope="module", autouse=True)
def _no_report() -> Iterator[None]:
    """A page takes longer than these fits, and is tested elsewhere."""

    def page(folder: Path, **_: Any) -> Path:
        (folder / "report.html").write_text("", encoding="utf-8")
        return folder / "report.html"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "write", page)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> study.Outcome:
    """Both fits of the small grid, one after the other in this process."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "trial.csv").write_text(TRIAL, encoding="utf-8")
    return study.run(study.loads(TWO, root=folder), folder / "run")


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the fits that are done here, as they begin."""
    names: list[str] = []
    real = fit.bayes

    @functools.wraps(real)
    def bayes(*args: Any, **options: Any) -> Any:
        names.append(options["label"])
        return real(*args, **options)

    monkeypatch.setattr(fit, "bayes", bayes)
    return names


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    found = {p.name: pd.read_csv(p) for p in sorted((folder / "fits").glob("*.csv"))}
    return {name: t.drop(columns=[c for c in QUICKER if c in t]) for name, t in found.items()}


def assert_same(one: Path, other: Path) -> None:
    """Every number of every table is the same, to the last digit."""
    first, second = tables(one), tables(other)
    assert first.keys() == second.keys() >= {"parameters.csv", "comparison.csv", "grid.csv"}
    for name, table in first.items():
        pd.testing.assert_frame_equal(table, second[name], check_exact=True, obj=name)


class Stops(study.Watch):
    """Presses Ctrl-C when a fit has ended."""

    def ended(self, step: str, state: str, note: str, seconds: float) -> None:
        if step.startswith("fit ") and state != "stopped":
            raise KeyboardInterrupt


class Kills(study.Watch):
    """Kills every worker when the first fit has ended, with others under way."""

    def __init__(self) -> None:
        self.before = multiprocessing.active_children()
        self.killed = 0

    def ended(self, step: str, state: str, note: str, seconds: float) -> None:
        if step.startswith("fit ") and not self.killed:
            for child in multiprocessing.active_children():
                if child not in self.before and child.pid is not None:
                    os.kill(child.pid, signal.SIGKILL)
                    self.killed += 1


def test_two_processes_give_the_numbers_of_one(
    tmp_path: Path, load: Load, whole: study.Outcome
) -> None:
    config, here = load(TWO), whole
    there = study.run(config, tmp_path / "there", workers="processes", jobs=2)
    assert_same(here.folder, there.folder)
    assert [s.name for s in here.steps] == [s.name for s in there.steps]
    assert [s.note for s in here.steps[1:3]] == [s.note for s in there.steps[1:3]]
    files = {p.name for p in (there.folder / "fits").iterdir()}
    assert {"stein-lognormal.nc", "stein-student_t.nc", "grid.csv"} <= files
    status = json.loads((there.folder / "status.json").read_text(encoding="utf-8"))
    assert status["steps"]["fit stein-student_t"]["state"] in ("done", "unconverged")


def test_the_workers_of_a_run_do_its_search_and_jobs_its_trials(
    tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: dict[str, Any] = {}

    def searched(_found: Any, _folder: Any, _heard: Any, staff: Any) -> tuple[str, bool]:
        heard["search"] = staff.name, staff.jobs
        return "Nothing.", True

    def simulated(_found: Any, _folder: Any, jobs: int, _heard: Any) -> str:
        heard["operating"] = jobs
        return "Nothing."

    monkeypatch.setattr(searching, "search", searched)
    monkeypatch.setattr(steps, "simulate_designs", simulated)
    monkeypatch.setattr(steps, "fit_model", lambda *_: pytest.fail("no worker does it"))
    monkeypatch.setattr(run_module._Run, "_fits", lambda *_: None)
    more = '[search]\ncovariates = { cmax = ["dose_level"] }\n[dose]\nlevels = [1e6, 3e6]\n'
    more += '[dose.designs.boin]\ndesign = "BOIN"\ntarget = 0.25\n'
    more += "[operating]\ntarget = 0.25\nmax_patients = 9\n"
    study.run(load(STUDY + more + "accrual = 2.0\n"), tmp_path / "run", jobs=2)
    assert heard == {"search": ("processes", 2), "operating": 2}


@pytest.mark.slow
def test_a_dask_cluster_gives_the_numbers_of_one_process(tmp_path: Path, load: Load) -> None:
    config = load(FOUR)
    here = study.run(config, tmp_path / "here")
    assert len(here.steps) == 1 + 4 + 2
    for workers in ("processes", "dask"):
        there = study.run(config, tmp_path / workers, workers=workers, jobs=2)
        assert_same(here.folder, there.folder)


@pytest.mark.slow
def test_killed_workers_change_nothing(tmp_path: Path, load: Load) -> None:
    config = load(FOUR.replace("draws = 30", "draws = 2000"))
    here = study.run(config, tmp_path / "here")
    watch = Kills()
    there = study.run(config, tmp_path / "there", workers="processes", jobs=2, watch=watch)
    assert watch.killed == 2
    log = (tmp_path / "there" / "run.log").read_text(encoding="utf-8")
    assert "a worker was lost (signal SIGKILL)" in log
    assert "is done again" in log
    assert [s.state for s in there.steps] == [s.state for s in here.steps]
    assert_same(here.folder, there.folder)


def test_an_interrupted_run_goes_on_and_a_change_refits_what_it_touches(
    tmp_path: Path, load: Load, fitted: list[str], whole: study.Outcome
) -> None:
    out, config = tmp_path / "run", load(TWO)
    fitted.clear()  # of those of the whole, should they have been done just now
    with pytest.raises(KeyboardInterrupt):
        study.run(config, out, watch=Stops())
    assert fitted == ["stein-lognormal"]
    assert dict(study.plan(config, out, resume=True))["fits"] == (
        "1 to fit, 1 of the earlier run found"
    )
    done = study.run(config, out, resume=True)
    assert fitted == ["stein-lognormal", "stein-student_t"]
    assert done.steps[1].note.startswith("Taken from the earlier run.")
    assert_same(out, whole.folder)
    fitted.clear()

    more = load(TWO + "[grid.variants.low]\nparameters.cmax = { typical = 2000, spread = 1.0 }\n")
    study.run(more, out, resume=True)
    assert fitted == ["stein-lognormal-low", "stein-student_t-low"]
    fitted.clear()
    study.run(more, out, resume=True)
    assert fitted == []
    planned = dict(study.plan(more.with_(seed=8), out, resume=True))
    assert planned["fits"].startswith("4 to fit, 0 of")


def test_a_fit_is_found_under_another_name(tmp_path: Path, load: Load, fitted: list[str]) -> None:
    study.run(load(STUDY), tmp_path)
    assert fitted == ["stein"]
    study.run(load(TWO), tmp_path, resume=True)  # the plain model has this error
    assert fitted == ["stein", "stein-student_t"]
    assert fit.load(tmp_path / "fits" / "stein-lognormal.nc").label == "stein-lognormal"
    assert set(tables(tmp_path)["parameters.csv"]["fit"]) == {"stein-lognormal", "stein-student_t"}


@pytest.mark.slow
def test_an_interrupted_run_of_processes_goes_on(tmp_path: Path, load: Load) -> None:
    config, out = load(FOUR), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        study.run(config, out, workers="processes", jobs=2, watch=Stops())
    kept = {p.name: p.stat().st_mtime_ns for p in (out / "fits").glob("*.nc")}
    assert 1 <= len(kept) < 4
    states = json.loads((out / "status.json").read_text(encoding="utf-8"))
    assert states["state"] == "stopped"
    assert "stopped" in {step["state"] for step in states["steps"].values()}
    done = study.run(config, out, workers="processes", jobs=2, resume=True)
    again = [s.name for s in done.steps if s.note.startswith("Taken")]
    assert {f"{name.removeprefix('fit ')}.nc" for name in again} == set(kept)
    assert all((out / "fits" / name).stat().st_mtime_ns == t for name, t in kept.items())
    assert_same(out, study.run(config, tmp_path / "whole").folder)


def test_a_damaged_fit_is_done_again(tmp_path: Path, load: Load, fitted: list[str]) -> None:
    study.run(load(STUDY), tmp_path)
    path = tmp_path / "fits" / "stein.nc"
    path.write_bytes(path.read_bytes()[:1000])
    study.run(load(STUDY), tmp_path, resume=True)
    assert fitted == ["stein", "stein"]


def test_two_runs_cannot_write_to_one_folder(tmp_path: Path, load: Load) -> None:
    config, out = load(STUDY), tmp_path / "run"
    with RunFolder(out) as first:
        before = (out / "status.json").read_bytes()
        for how in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(ConfigError, match=r"another run is writing to .*\(started 20"):
                study.run(config, out, **how)
        assert (out / "status.json").read_bytes() == before
        assert first.status["state"] == "running"
    RunFolder(out, overwrite=True).close()


def test_the_lock_ends_with_a_killed_run(tmp_path: Path) -> None:
    out = tmp_path / "run"
    code = (
        "import os, signal; from cart_pkpd._study.folder import RunFolder\n"
        f"RunFolder({str(out)!r}); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    RunFolder(out, resume=True).close()


def test_the_plan_lists_every_fit(
    tmp_path: Path, load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "trial.csv").write_text(TRIAL, encoding="utf-8")
    (tmp_path / "study.toml").write_text(FOUR, encoding="utf-8")
    arguments = ["run", str(tmp_path / "study.toml"), "--out", str(tmp_path / "out")]
    assert cli.execute([*arguments, "--dry-run", "--jobs", "2"]) == 0
    said = capsys.readouterr().out
    assert "grid: 4 fits of 1 model × iiv (cmax, cmax_tmax) × error (lognormal, student_t)" in said
    assert "fit stein-cmax_tmax-student_t: stein2019 to 'transgene'; IIV on cmax, tmax" in said
    assert "compare: rank stein-cmax-lognormal" in said
    assert cli.execute([*arguments, "--executor", "inline", "--jobs", "2"]) == 1
    assert "one task at a time" in capsys.readouterr().err
    assert cli.execute([*arguments, "--executor", "dusk"]) == 1
    assert "Did you mean 'dask'?" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
