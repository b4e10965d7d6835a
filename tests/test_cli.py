"""The command line: exit codes, sentences, machine-readable results."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from cart_pkpd import __version__, cli, data, datasets, study
from cart_pkpd._core.errors import DataError, FitError, ModelError, UnitError, sentence_of
from cart_pkpd._study.console import Bars, Lines, watch
from cart_pkpd._study.nca.wording import as_flags

RECORDS = str(datasets.path("fast01"))
RUN_FILE = '[data]\ndataset = "fast01"\n[models.stein]\nmodel = "stein2019"\n'

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process; return exit code, standard output, standard error."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        code = cli.execute([str(a) for a in arguments])
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return code, said.out, said.err

    return run


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(RUN_FILE, encoding="utf-8")
    return path


def outcome(folder: Path, code: int) -> study.Outcome:
    state = {0: "done", 3: "unconverged", 4: "failed"}[code]
    steps = (study.Step("fit stein", state, "R-hat 1.00.", 2.0),)
    return study.Outcome(folder, folder / "report.html", code, steps)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], list[dict[str, Any]]]:
    """Replace study.run by a result or an error; return what it was called with."""

    def use(result: Any) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = []

        def run(config: study.Config, out: Path, **options: Any) -> study.Outcome:
            calls.append({"config": config, "out": out, **options})
            if isinstance(result, BaseException):
                raise result
            return outcome(out, result)

        monkeypatch.setattr(study, "run", run)
        return calls

    return use


# --- what every command shares -------------------------------------------------------------


def test_version(command: Command) -> None:
    assert command("--version") == (0, f"cart-pkpd {__version__}\n", "")


@pytest.mark.parametrize("name", ["run", "demo", "endpoints", "check", "nca", "sbc", "simulate"])
def test_every_command_has_help_with_exit_codes(name: str, command: Command) -> None:
    code, out, _ = command(name, "--help")
    assert code == 0
    assert "3 fitted but not converged" in " ".join(out.split())


def test_no_command_shows_help(command: Command) -> None:
    code, out, _ = command()
    assert code == 1
    assert "demo" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["chek"], "No such command 'chek'. Did you mean 'check', 'schema'? See"),
        (["run"], "Missing argument 'STUDY.TOML'. See 'cart-pkpd run --help'."),
        (["check", "a.csv", "--jsn"], "No such option: --jsn"),
        (["check", "nowhere.csv"], "nowhere.csv: there is no such file."),
        (["run", "nowhere.toml"], "nowhere.toml: cannot read it: No such file or directory."),
        (["demo", "--seed", "-1"], "Invalid value for '--seed'"),
        (["check", RECORDS, "--lloq", "-5"], "--lloq -5: the limit must be above 0."),
    ],
)
def test_usage_errors_are_one_sentence_and_exit_1(
    arguments: list[str], sentence: str, command: Command
) -> None:
    code, out, err = command(*arguments)
    assert (code, out) == (1, "")
    assert sentence in err
    assert len(err.splitlines()) == 1


def test_help_imports_no_sampler_and_no_figures() -> None:
    heavy = ("pymc", "nutpie", "arviz", "matplotlib", "xarray", "pandas", "numpy")
    code = (
        "import sys\nfrom cart_pkpd import cli\n"
        "assert cli.execute(['run', '--help']) == 0\n"
        f"print([m for m in {heavy!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_dry_run_imports_no_sampler_and_no_figures(run_file: Path) -> None:
    code = (
        "import sys\nfrom cart_pkpd import cli\n"
        f"assert cli.execute(['run', {str(run_file)!r}, '--dry-run']) == 0\n"
        "print([m for m in ('pymc', 'nutpie', 'arviz', 'matplotlib') if m in sys.modules],"
        " file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_exit_code_reaches_the_shell() -> None:
    command = [sys.executable, "-c", "from cart_pkpd.cli import main; main()", "check", "none.csv"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "none.csv: there is no such file.\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (study.RunFileError(["fit.draws = 1 should be at least 10."], "study.toml"), 1),
        (ModelError("unknown model 'x'."), 1),
        (DataError("TIME decreases."), 2),
        (UnitError("unknown unit 'pg/mQ'."), 2),
        (FitError("the sampler stopped."), 4),
        (study.UnexpectedError("KeyError: 'x'. The traceback is in run.log", Path("run.log")), 4),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_error_has_its_exit_code(
    error: BaseException,
    code: int,
    run_file: Path,
    command: Command,
    runs: Callable[[Any], list[dict[str, Any]]],
) -> None:
    runs(error)
    found, out, err = command("run", run_file)
    assert (found, out) == (code, "")
    expected = "stopped by Ctrl-C" if code == 130 else sentence_of(error).split(" (")[0]
    assert expected in err
    assert len(err.splitlines()) == 1
    found, out, _ = command("run", run_file, "--json")
    said = json.loads(out)
    assert said["exit_code"] == found == code
    assert expected in said["error"]


def test_unexpected_error_outside_a_run_names_its_log(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a bug\nof two lines")

    monkeypatch.setattr(data, "read_table", broken)
    monkeypatch.setattr(
        "platformdirs.user_log_path", lambda *_, **__: tmp_path / "not there" / "nor here"
    )
    code, _, err = command("check", RECORDS)
    assert code == 4
    assert err.startswith("RuntimeError: a bug. This is a fault of the program; the traceback is")
    log = Path(err.strip().rsplit(" ", 1)[1])
    assert "RuntimeError: a bug" in log.read_text(encoding="utf-8")
    log.unlink()
    log.parent.rmdir()


@pytest.mark.parametrize("module", ["cart_pkpd", "cart_pkpd.cli"])
def test_python_m_is_the_command(module: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", module, "check", "none.csv"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "none.csv: there is no such file.\n"


# --- run and demo --------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 3, 4])
def test_run_ends_with_the_report_and_the_outcome_as_exit_code(
    code: int, run_file: Path, command: Command, runs: Callable[[Any], Any]
) -> None:
    calls = runs(code)
    found, out, err = command("run", run_file, "--out", "here", "--seed", "9", "--overwrite")
    assert (found, out) == (code, f"Report: {Path('here/report.html')}\n")
    told = {0: "", 3: "fit stein (unconverged).\n", 4: "fit stein (failed).\n"}
    assert err.removeprefix("Not every step went well: ") == told[code]
    assert calls[0]["config"].spec.seed == 9
    assert (calls[0]["out"], calls[0]["overwrite"]) == (Path("here"), True)


def test_run_folder_is_named_after_the_run_file(
    run_file: Path, command: Command, runs: Callable[[Any], Any]
) -> None:
    calls = runs(0)
    command("run", run_file)
    assert (calls[0]["out"], calls[0]["overwrite"]) == (Path("runs/study"), False)


def test_quiet_prints_the_report_only(
    run_file: Path, command: Command, runs: Callable[[Any], Any]
) -> None:
    runs(0)
    code, out, err = command("run", run_file, "--quiet")
    assert (code, out, err) == (0, f"Report: {Path('runs/study/report.html')}\n", "")


def test_json_is_the_only_output(
    run_file: Path, command: Command, runs: Callable[[Any], Any]
) -> None:
    runs(3)
    code, out, _ = command("run", run_file, "--json")
    said = json.loads(out)
    assert said["exit_code"] == code == 3
    assert said["report"] == str(Path("runs/study/report.html"))
    step = {"name": "fit stein", "state": "unconverged", "note": "R-hat 1.00.", "seconds": 2.0}
    assert said["steps"] == [step]


def test_demo_replaces_its_own_folder(command: Command, runs: Callable[[Any], Any]) -> None:
    calls = runs(0)
    code, out, _ = command("demo")
    assert code == 0
    assert out.splitlines()[-1] == f"Report: {Path('demo/report.html')}"
    assert (calls[0]["out"], calls[0]["overwrite"]) == (Path("demo"), True)
    assert len(calls[0]["config"].spec.models) >= 2


def test_dry_run_says_what_would_run_and_writes_nothing(
    run_file: Path, command: Command, tmp_path: Path
) -> None:
    out_folder = tmp_path / "out"
    code, out, err = command("run", run_file, "--out", out_folder, "--dry-run")
    assert (code, err) == (0, "")
    assert "fit stein: stein2019 to 'transgene'" in out
    assert not out_folder.exists()
    code, out, _ = command("run", run_file, "--out", out_folder, "--dry-run", "--json")
    steps = [step["step"] for step in json.loads(out)["steps"]]
    assert steps == ["data", "least squares", "fit stein", "report"]


def test_dry_run_refuses_what_a_run_would_refuse(
    run_file: Path, command: Command, tmp_path: Path
) -> None:
    code, _, err = command("run", run_file, "--out", tmp_path, "--dry-run")
    assert code == 1
    assert "is not empty and holds no earlier run" in err


def test_every_problem_of_a_run_file_has_a_line(run_file: Path, command: Command) -> None:
    run_file.write_text(RUN_FILE + '[fit]\ndraws = "1"\nchians = 4\n', encoding="utf-8")
    code, _, err = command("run", run_file)
    assert code == 1
    first, second = err.splitlines()
    assert first == 'study.toml: fit.draws = "1" (text) should be a whole number.'
    assert second.startswith(
        "study.toml: unknown key 'chians' in [fit]. Did you mean 'chains'? Known: draws, tune,"
    )


# --- check -------------------------------------------------------------------------


def test_check_prints_the_import_report(command: Command) -> None:
    code, out, _ = command("check", RECORDS)
    trial = datasets.load("fast01")
    assert (code, out) == (0, as_flags(f"{data.import_report(trial)}\n"))
    code, out, _ = command("check", RECORDS, "--json")
    said = json.loads(out)
    assert (code, said["exit_code"], said["report"]["n_patients"]) == (0, 0, 30)


def test_check_lists_the_problems_of_a_bad_table(command: Command, tmp_path: Path) -> None:
    table = tmp_path / "bad.csv"
    table.write_text("ID,TIME,DV\n1,0,10\n1,x,20\n1,3,y\n", encoding="utf-8")
    code, out, err = command("check", table)
    assert (code, out) == (2, "")
    assert [re.search(r"row (\d)", line)[1] for line in err.splitlines()] == ["3", "4"]  # type: ignore[index]
    code, out, _ = command("check", table, "--json")
    said = json.loads(out)
    assert (code, said["exit_code"], len(said["problems"])) == (2, 2, 2)


@pytest.mark.parametrize(
    ("table", "flag"),
    [
        ("ID,TIME,DV\n1,7,10\n1,0,20\n", "--sort"),
        ("ID,TIME,DV\n1,7,10\n1,7,20\n", "--duplicates first"),
        ("ID,TIME,DV\n1,7,10\n1,8,-5\n", "--missing -5"),
        ("ID,TIME,LEVEL\n1,7,10\n", "--column DV="),
        ('ID,TIME,DV\n1,7,"10,5"\n', "--decimal ,"),
    ],
)
def test_check_speaks_of_flags_not_of_python(
    table: str, flag: str, command: Command, tmp_path: Path
) -> None:
    file = tmp_path / "trial.csv"
    file.write_text(table, encoding="utf-8")
    code, out, err = command("check", file)
    assert (code, out) == (2, "")
    assert flag in err
    assert not re.search(r"\b[a-z_]+=", err)  # such as sort=True


def test_check_joins_a_table_of_subjects(command: Command, tmp_path: Path) -> None:
    table, subjects = tmp_path / "records.csv", tmp_path / "subjects.csv"
    table.write_text("ID,TIME,DV\n1,0,10\n1,7,20\n", encoding="utf-8")
    subjects.write_text("ID,AGE\n1,60\n", encoding="utf-8")
    code, out, err = command("check", table, "--subjects", subjects)
    assert (code, err) == (0, "")
    assert "AGE" in out


# --- progress ------------------------------------------------------------------------------


def test_progress_is_plain_lines_without_a_terminal() -> None:
    text = io.StringIO()
    lines = watch(Console(file=text, width=40), quiet=False)
    assert isinstance(lines, Lines)
    lines.began("fit stein")
    lines.advanced("fit stein", 5, 10)  # too soon after the last line to say
    long = "Converged: R-hat at most 1.003, effective sample size at least 812."
    lines.ended("fit stein", "done", long, 12.34)
    lines.closed()
    assert text.getvalue() == f"fit stein ...\nfit stein: done: {long} (12.3 s)\n"


def test_progress_lines_come_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("cart_pkpd._study.console.time.monotonic", lambda: now[0])
    text = io.StringIO()
    lines = Lines(Console(file=text, width=80))
    lines.began("fit stein")
    for second in range(1, 32):
        now[0] = second
        lines.advanced("fit stein", second, 40, "sampling")
    shares = re.findall(r"(\d+) %", text.getvalue())
    assert shares == ["38", "75"]  # after 15 and 30 of 40 seconds


def test_progress_bar_on_a_terminal() -> None:
    text = io.StringIO()
    console = Console(file=text, width=100, force_terminal=True, color_system=None)
    bars = watch(console, quiet=False)
    assert isinstance(bars, Bars)
    bars.began("fit [stein]")
    bars.advanced("fit [stein]", 5, 10, "sampling [x]")
    bars.ended("fit [stein]", "unconverged", "R-hat 1.2.", 3.0)
    bars.closed()
    assert "unconverged  fit [stein]: R-hat 1.2. (3.0 s)" in text.getvalue()


def test_quiet_hears_nothing() -> None:
    text = io.StringIO()
    silent = watch(Console(file=text, force_terminal=True), quiet=True)
    silent.began("data")
    silent.ended("data", "done", "", 1.0)
    assert text.getvalue() == ""


# --- the whole, with nothing replaced ------------------------------------------------------


@pytest.mark.slow
def test_demo_runs_and_converges(command: Command, tmp_path: Path) -> None:
    code, out, _ = command("demo", "--out", tmp_path / "demo")
    assert code == 0
    page = Path(out.splitlines()[-1].removeprefix("Report: "))
    html = page.read_text(encoding="utf-8")
    assert "stein" in html
    assert not re.search(r'(src|href)="https?://', html.replace('href="https://doi.org', ""))
    table = pd.read_csv(tmp_path / "demo" / "fits" / "comparison.csv")
    assert table["converged"].all()
    assert sorted(table["rank"]) == [1, 2]


def test_a_reader_that_stops_early_is_no_fault_of_the_program():
    """As in ``cart-pkpd schema | head -1``: the pipe is closed before all is written."""
    command = [sys.executable, "-m", "cart_pkpd", "schema"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        said = process.stderr.read().decode()
    assert process.returncode == 0
    assert said == ""
