"""Runs that are killed, starved or lied to: nothing finished is lost, and no half of a file loads.

Every run here is the real command in a process of its own; see also test_interruptions.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from grid_inputs import STUDY, TRIAL

from cart_pkpd import fit, study
from cart_pkpd._cli import interrupt
from cart_pkpd._core.errors import ConfigError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")
FAULTY = Path(__file__).with_name("faulty.py")


def start(*arguments: object, fault: str = "none", **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(FAULTY), fault, *map(str, arguments)], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ | variables,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def until(process: subprocess.Popen[str], line: str) -> None:
    """Wait until a process says something that begins so."""
    assert process.stdout is not None
    said = []
    for one in process.stdout:
        said.append(one)
        if one.startswith(line):
            return
    raise AssertionError(f"never said {line!r}: {''.join(said)}")


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, _ = process.communicate(timeout=600)
    return process.returncode, out


def stop(process: subprocess.Popen[str], number: int) -> tuple[int, str]:
    process.send_signal(number)
    return end(process)


def written(folder: Path, text: str = STUDY) -> Path:
    (folder / "trial.csv").write_text(TRIAL, encoding="utf-8")
    path = folder / "study.toml"
    path.write_text(text, encoding="utf-8")
    return path


def status(out: Path) -> dict:
    return json.loads((out / "status.json").read_text(encoding="utf-8"))


def can_go_on(path: Path, out: Path) -> dict[str, str]:
    """Return what a resumed run would do, which must be possible."""
    for file in out.glob("fits/*.nc"):
        if not file.name.startswith(".part-"):
            fit.load(file)
    return dict(study.plan(study.load(path), out, resume=True))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 100 kB, which a run fills."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(place)]
    with contextlib.suppress(OSError):
        if subprocess.run(mount, capture_output=True, check=False).returncode == 0:
            yield place
            subprocess.run(["umount", str(place)], check=True)
            return
    pytest.skip("file systems cannot be mounted here")


# --- runs that end in the middle ------------------------------------------------------------


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A finished run that was killed while it wrote its fit, and while it wrote its page."""
    folder = tmp_path_factory.mktemp("killed")
    path, out = written(folder), folder / "run"

    process = start("run", path, "--out", out, fault="half a fit")
    until(process, "half written")
    code, said = end(start("run", path, "--out", out, "--resume"))
    assert code == 1
    assert "another run is writing to" in said
    assert "wait for it, or name another folder" in said
    assert stop(process, signal.SIGKILL)[0] == -signal.SIGKILL
    assert status(out)["state"] == "running"
    assert not (out / "fits" / "stein.nc").exists()
    assert "1 to fit, 0 of" in can_go_on(path, out).get("fits", "1 to fit, 0 of")

    process = start("run", path, "--out", out, "--resume", fault="half a page")
    until(process, "half written")
    assert stop(process, signal.SIGKILL)[0] == -signal.SIGKILL
    assert not (out / "report.html").exists()
    assert "0 to fit, 1 of" in can_go_on(path, out)["fits"]
    code, said = end(start("report", out))
    assert code == 1
    assert "is not finished (running); go on with it" in said

    before = (out / "fits" / "stein.nc").stat().st_mtime_ns
    code, said = end(start("run", path, "--out", out, "--resume"))
    assert code == 3, said  # 30 draws do not converge
    assert "Taken from the earlier run." in said
    assert (out / "fits" / "stein.nc").stat().st_mtime_ns == before
    assert not list(out.rglob(".part-*"))
    return path, out


@pytest.mark.slow
def test_a_run_killed_while_it_writes_goes_on_where_it_was(killed):
    _, out = killed
    assert status(out)["state"] == "done"
    assert (out / "report.html").read_text(encoding="utf-8").rstrip().endswith("</html>")


@pytest.mark.slow
def test_a_clock_that_goes_backwards_changes_no_number(killed, tmp_path):
    path, out = killed
    other = tmp_path / "run"
    code, said = end(start("run", path, "--out", other, fault="clock"))
    assert code == 3, said
    found = status(other)
    assert found["finished"] < found["started"]  # the clock did go backwards
    assert found["seconds"] > 0
    assert all(step["seconds"] >= 0 for step in found["steps"].values())
    one, two = (fit.load(o / "fits" / "stein.nc").posterior for o in (out, other))
    assert one.equals(two)


@pytest.mark.slow
def test_the_page_of_a_finished_run_is_made_again_from_its_fits_alone(killed):
    path, out = killed
    fits = {p: p.stat().st_mtime_ns for p in out.glob("fits/*.nc")}
    (out / "report.html").unlink()
    code, said = end(start("report", out))
    assert code == 3, said
    assert (out / "report.html").is_file()
    assert {p: p.stat().st_mtime_ns for p in out.glob("fits/*.nc")} == fits

    good, file = path.with_name("trial.csv").read_text(), out / "fits" / "stein.nc"
    path.with_name("trial.csv").write_text(good.replace("4000", "5000"), encoding="utf-8")
    code, said = end(start("report", out))
    assert code == 1
    assert "the data are not those of the run" in said
    path.with_name("trial.csv").write_text(good, encoding="utf-8")
    content = file.read_bytes()
    file.write_bytes(content[:5000] + b"\xff" + content[5001:])
    code, said = end(start("report", out))
    file.write_bytes(content)
    assert code == 1
    assert "missing, damaged or of another version (stein)" in said
    assert (out / "report.html").is_file()


@pytest.mark.slow
def test_ctrl_c_at_any_time_leaves_a_folder_to_go_on_with(tmp_path):
    """While the program loads, as soon as the folder is there, and within every step."""
    path, out = written(tmp_path), tmp_path / "run"
    moments: list[tuple[str, float]] = [
        ("", 0.1), ("", 1.0), ("data ...", 0.0), ("data: done", 0.5), ("fit stein ...", 2.0),
        ("fit stein: unc", 0.0), ("report ...", 0.2), ("report ...", 1.0),
    ]  # fmt: skip
    codes, taken = [], False
    for line, seconds in moments:
        process = start("run", path, "--out", out, *(["--resume"] if out.exists() else []))
        if line:
            until(process, line)
        time.sleep(seconds)
        code, said = stop(process, signal.SIGINT)
        codes.append(code)
        assert code in (130, -signal.SIGINT), (line, said)
        if line:
            assert code == 130
            assert "Traceback" not in said
            assert status(out)["state"] == "stopped"
            assert not (out / "report.html").exists()
        if (out / "status.json").exists():
            found = can_go_on(path, out).get("fits", "")
            assert taken <= ("0 to fit, 1 of" in found)  # what was finished stays
            taken = "0 to fit, 1 of" in found
    assert taken
    assert end(start("run", path, "--out", out, "--resume"))[0] == 3
    assert status(out)["state"] == "done"


@pytest.fixture
def heeded() -> Iterator[None]:
    """Heed Ctrl-C even where the tests themselves run in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_waits_for_the_end_of_an_import(heeded, tmp_path, monkeypatch):
    """Half a module breaks the next who asks for it, and callbacks of the import may take it."""
    text = "import signal\nsignal.raise_signal(signal.SIGINT)\nwhole = True\n"
    (tmp_path / "interrupted_module.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with interrupt.heard() as ears:
        module = importlib.import_module("interrupted_module")
        assert ears.asked
        with pytest.raises(KeyboardInterrupt):
            time.sleep(20)
    assert module.whole


def test_ctrl_c_that_a_destructor_swallows_is_raised_again(heeded):
    class Deaf:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    with interrupt.heard():
        one = Deaf()
        del one
        with pytest.raises(KeyboardInterrupt):
            time.sleep(20)


def test_ctrl_c_is_heeded_again_after_a_command(heeded):
    with pytest.raises(KeyboardInterrupt), interrupt.heard():
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_second_ctrl_c_ends_what_does_not_end_by_itself():
    program = (
        "import signal, time; from cart_pkpd._cli import interrupt\n"
        "with interrupt.heard():\n"
        "    try: signal.raise_signal(signal.SIGINT)\n"
        "    finally: signal.raise_signal(signal.SIGINT); time.sleep(60)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, timeout=60,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert done.returncode == -signal.SIGINT


@pytest.mark.parametrize("code", [0, 3, 130])
def test_a_command_that_is_over_keeps_its_code(code):
    """While the interpreter takes itself apart, which takes a second."""
    program = (
        "import atexit, signal; from cart_pkpd._cli import interrupt\n"
        "atexit.register(signal.raise_signal, signal.SIGINT)\n"
        f"interrupt.leave_with({code})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, timeout=60,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (code, b"")


def test_a_process_killed_before_its_first_file_leaves_a_folder_to_begin_in(tmp_path):
    """Its lock and half of a status file are no result of anybody."""
    out = tmp_path / "run"
    out.mkdir()
    (out / ".lock").touch()
    (out / ".part-x.json").write_text('{"form', encoding="utf-8")
    study.plan(study.load(written(tmp_path)), out)
    (out / "mine.txt").touch()
    with pytest.raises(ConfigError, match="holds no earlier run"):
        study.plan(study.load(written(tmp_path)), out)


def test_a_process_killed_while_it_clears_an_earlier_run_leaves_a_run(tmp_path, monkeypatch):
    """The status of a run and its run file are replaced, and never missing."""
    from cart_pkpd._study import folder

    out = tmp_path / "run"
    with folder.RunFolder(out) as run:
        folder.write_text(run / "config.toml", "")
        (out / "fits").mkdir()
        (out / "fits" / "a.nc").touch()
    monkeypatch.setattr(folder.RunFolder, "save", lambda self: os.abort)  # dies here
    folder.RunFolder(out, resume=True).close()
    assert status(out)["format"] == folder.FORMAT
    assert (out / "config.toml").is_file()
    assert (out / "fits" / "a.nc").is_file()


# --- disks and memory -----------------------------------------------------------------------


@pytest.mark.slow
def test_a_full_disk_ends_a_run_that_goes_on_with_more_room(small_disk, tmp_path):
    path, out = written(tmp_path), small_disk / "run"
    code, said = end(start("run", path, "--out", out))
    assert code == 4
    assert "No space left on device. What was there before is unchanged; make room" in said
    assert "Traceback" not in said
    assert "Logging error" not in said
    fits = can_go_on(path, out)["fits"]
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    code, said = end(start("run", path, "--out", out, "--resume"))
    assert code == 3, said
    assert ("Taken from the earlier run" in said) == ("1 of the earlier run" in fits)


def test_a_folder_that_may_not_be_written_to_is_told(small_disk, tmp_path):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    code, said = end(start("run", written(tmp_path), "--out", small_disk / "run"))
    assert code == 4, said
    assert "cannot be made or written to: Read-only file system; name another folder." in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_memory_that_runs_out_leaves_a_folder_to_go_on_with(tmp_path):
    """A library that gets none may end the process on the spot, as a kill does."""
    path = written(tmp_path, STUDY.replace("draws = 30", "draws = 40000"))
    out = tmp_path / "run"
    code, said = end(start("run", path, "--out", out, fault="memory 420"))
    assert code not in (0, 3)
    assert "memory" in said.lower()
    assert not list(out.glob("fits/*.nc"))
    assert status(out)["state"] in ("running", "failed")
    can_go_on(path, out)
    assert end(start("run", written(tmp_path), "--out", out, "--resume"))[0] == 3


def test_memory_that_runs_out_in_a_step_is_told(tmp_path, monkeypatch):
    def greedy(*_: object, **__: object) -> None:
        np.empty(2**58)

    monkeypatch.setattr(fit, "bayes", greedy)
    done = study.run(study.load(written(tmp_path)), tmp_path / "run")
    note = next(step.note for step in done.steps if step.name == "fit stein")
    assert re.match(r"memory ran out \(Unable to allocate .*\); close other programs, or ask", note)


# --- a cluster ------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_scheduler_that_is_lost_leaves_a_folder_to_go_on_with(tmp_path):
    path, out = written(tmp_path, STUDY.replace("draws = 30", "draws = 100000")), tmp_path / "run"
    scheduler = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard",
         "--scheduler-file", str(tmp_path / "scheduler.json")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    worker = None
    try:
        for _ in range(300):
            if (tmp_path / "scheduler.json").exists():
                break
            time.sleep(0.2)
        time.sleep(0.5)
        address = json.loads((tmp_path / "scheduler.json").read_text())["address"]
        worker = subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-dashboard",
             "--nthreads", "1", "--death-timeout", "20"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path,
        )  # fmt: skip
        process = start("run", path, "--out", out, "--scheduler", address)
        until(process, "fits ...")
        time.sleep(8)
        scheduler.kill()
        code, said = end(process)
    finally:
        for one in (scheduler, worker):
            if one is not None:
                one.kill()
                one.wait()
    assert code == 4, said
    assert "scheduler" in said
    assert "Traceback" not in said
    assert status(out)["state"] == "failed"
    can_go_on(path, out)
