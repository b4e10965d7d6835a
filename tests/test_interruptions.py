"""Ctrl-C, a kill and a full disk, in real processes: no half of a result that loads as a whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from interrupted import known_fit

from cart_pkpd import cli, fit
from cart_pkpd._core.errors import FitError, WriteError
from cart_pkpd._core.files import whole_file
from cart_pkpd._study.folder import write_text

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")
CHILD = Path(__file__).with_name("interrupted.py")


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(CHILD), *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts,
    )  # fmt: skip


def heed_interrupts() -> None:
    """Heed SIGINT even where the tests themselves run in the background, which ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def until(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    for said in process.stdout:
        if said.strip() == line:
            return
    assert process.stderr is not None
    raise AssertionError(f"never said {line!r}: {process.stderr.read()[-2000:]}")


def stop(process: subprocess.Popen[str], number: int) -> tuple[int, str]:
    process.send_signal(number)
    out, _ = process.communicate(timeout=120)
    return process.returncode, out


def completed(*arguments: object) -> tuple[int, str]:
    process = start(*arguments)
    out, said = process.communicate(timeout=300)
    assert "BufferError" not in said
    return process.returncode, out


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A fit of 7 draws that is there already."""
    return known_fit(7).save(tmp_path / "fit.nc")


def draws(path: Path) -> int:
    return fit.load(path, type(known_fit(4).structure.model)()).posterior.sizes["draw"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_save_that_is_stopped_half_way_leaves_what_was_there(earlier, number):
    process = start("save slowly", earlier, 2000)
    until(process, "half written")
    code, out = stop(process, number)
    assert code == -number
    assert "saved" not in out
    assert draws(earlier) == 7
    left = [p for p in earlier.parent.iterdir() if p != earlier]
    if number == signal.SIGINT:
        assert left == []
    for part in left:  # a killed process cannot tidy up; what it leaves does not pass for a fit
        assert part.name.startswith(".part-")
        with pytest.raises(FitError, match="damaged"):
            fit.load(part)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)]
)
def test_a_first_save_that_is_stopped_leaves_no_file_of_that_name(tmp_path, number):
    process = start("save slowly", tmp_path / "fit.nc", 2000)
    until(process, "half written")
    stop(process, number)
    with pytest.raises(FitError, match="no file"):
        fit.load(tmp_path / "fit.nc")


@pytest.mark.slow
def test_a_likelihood_fit_is_saved_whole_or_not_at_all(tmp_path):
    process = start("save a likelihood fit slowly", tmp_path / "fit.nc")
    until(process, "half written")
    stop(process, signal.SIGINT)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_may_not_grow_is_told_and_leaves_what_was_there(earlier):
    """HDF5 itself ends the process with a segmentation fault (code −11) on a full disk."""
    code, out = completed("save with little room", earlier, 2000)
    assert code == 0
    assert f"WriteError: '{earlier}' could not be written: File too large." in out
    assert draws(earlier) == 7
    assert list(earlier.parent.iterdir()) == [earlier]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 kB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        done = False
    if not done:
        pytest.skip("file systems cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow  # a limit on files, above, and a text on a full disk, below, take a moment
def test_a_full_disk_is_told_and_leaves_what_was_there(small_disk):
    path = known_fit(7).save(small_disk / "fit.nc")
    code, out = completed("save", path, 2000)
    assert code == 0
    assert f"WriteError: '{path}' could not be written: No space left on device." in out
    assert draws(path) == 7
    assert list(small_disk.iterdir()) == [path]


def test_a_full_disk_during_a_text_file_leaves_what_was_there(small_disk):
    path = small_disk / "status.json"
    write_text(path, "before")
    with pytest.raises(WriteError, match="What was there before is unchanged"):
        write_text(path, "x" * 400_000)
    assert path.read_text(encoding="utf-8") == "before"
    assert list(small_disk.iterdir()) == [path]


def test_a_place_that_may_not_be_written_to_is_told(tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(OSError), whole_file(tmp_path / "file" / "fit.nc"):  # noqa: PT011
        pass


@pytest.mark.slow
def test_ctrl_c_during_sampling_ends_it_without_a_result(tmp_path):
    process = start("sample", tmp_path / "fit.nc")
    until(process, "sampling")
    code, out = stop(process, signal.SIGINT)
    assert code == -signal.SIGINT
    assert "saved" not in out
    assert list(tmp_path.iterdir()) == []


# --- the run folder -------------------------------------------------------------------------

RUN_FILE = """
seed = 3
[data]
dataset = "fast01"
[fit]
least_squares = false
draws = 100
tune = 100
chains = 2
cores = 1
[population]
iiv = ["cmax"]
[models.first]
model = "stein2019"
[models.second]
like = "first"
draws = {draws}
"""


def study(folder: Path, draws: int) -> Path:
    path = folder / "study.toml"
    path.write_text(RUN_FILE.format(draws=draws), encoding="utf-8")
    return path


def running(path: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "cart_pkpd", "run", str(path), "--out", str(out), *more],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_stopped_goes_on_where_it_was(tmp_path, capsys, number):
    path, out = study(tmp_path, 100), tmp_path / "run"
    process = running(path, out)
    assert process.stdout is not None
    for said in process.stdout:
        if said.startswith("fit second ..."):
            break
    code, _ = stop(process, number)
    assert code == (130 if number == signal.SIGINT else -signal.SIGKILL)
    status = json.loads((out / "status.json").read_text(encoding="utf-8"))
    assert status["state"] == ("stopped" if number == signal.SIGINT else "running")
    assert not (out / "report.html").exists()
    kept = (out / "fits" / "first.nc").stat().st_mtime_ns
    assert cli.execute(["run", str(path), "--out", str(out)]) == 1
    assert "--resume" in capsys.readouterr().err
    assert cli.execute(["run", str(path), "--out", str(out), "--resume"]) in (0, 3)
    steps = json.loads((out / "status.json").read_text(encoding="utf-8"))["steps"]
    assert steps["fit first"]["note"].startswith("Taken from the earlier run.")
    assert not steps["fit second"]["note"].startswith("Taken")
    assert (out / "fits" / "first.nc").stat().st_mtime_ns == kept
    assert (out / "report.html").is_file()
    capsys.readouterr()
    other = study(tmp_path, 120)
    assert cli.execute(["run", str(other), "--out", str(out), "--resume"]) == 1
    assert "another run file or seed" in capsys.readouterr().err
