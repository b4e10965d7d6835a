"""The page about grids and clusters: its code runs, and its numbers are those measured."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from test_cluster_examples import options_of

from cart_pkpd import study
from cart_pkpd._study import plan

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
FOUND = json.loads(
    (ROOT / "benchmarks" / "results" / "executor_overheads.json").read_text(encoding="utf-8")
)


def test_the_run_file_and_the_code(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (table,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    code, _ = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(code, {"text": table})
    said = capsys.readouterr().out
    assert "fit stein-few-lognormal-dose: stein2019" in said
    assert "grid: 12 fits of 2 models" in said
    assert "4 excluded" in said


def test_work_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    _, code = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(code.replace('"processes", jobs=2', '"inline"'), {})
    assert capsys.readouterr().out == "[1.0, 2.0, 3.0]\n"


@pytest.mark.parametrize("line", re.findall(r"`(priors\.omega[^`]*|parameters\.beta[^`]*)`", TEXT))
def test_entries_that_are_varied(line: str) -> None:
    text = '[data]\ndataset = "fast01"\n[models.a]\nmodel = "stein2019"\niiv = ["cmax"]\n'
    for one in re.findall(r"(?:^|, )((?:priors|parameters|covariates)\.\w+ = .*)$", line):
        tomllib.loads(one)
        config = study.loads(f"{text}[grid.axes]\n{one}\n")
        plan.check(config)
        assert len(config.grid.points) == 2


def test_commands_use_options_that_exist() -> None:
    lines = re.findall(r"`(cart-pkpd run [^`]+)`", TEXT)
    assert len(lines) >= 4
    for line in lines:
        assert {w for w in shlex.split(line) if w.startswith("--")} <= options_of("run")


def test_files_that_are_named_are_there() -> None:
    for name in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / "docs" / name).exists(), name


def test_the_example_is_a_grid_of_eight() -> None:
    config = study.load(ROOT / "examples" / "car22_grid.toml")
    plan.check(config)
    assert len(config.grid.points) == 8


def test_the_numbers_are_those_measured() -> None:
    rows = {}
    for line in TEXT.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5:
            rows[cells[0]] = cells[3:]
    for name, key in (
        ("empty task, there and back", "empty"),
        ("task with its trial", "with data"),
        ("file of a fit, there and back", "a fit's file"),
    ):
        for cell, kind in zip(rows[name], ("processes", "dask"), strict=True):
            assert float(cell.split()[0]) == pytest.approx(
                1000 * FOUND["executors"][kind][key], rel=0.06
            )
    for name, key in (
        ("import of the package", "import"),
        ("first small fit, nothing compiled", "nothing compiled"),
        ("first small fit, compiled by another", "compiled by another"),
        ("the same fit again", "again"),
    ):
        measured = FOUND["small_fit"][key]
        assert float(rows[name][0].split()[0]) == pytest.approx(measured, abs=0.051)
    gigabytes = re.search(r"10,000 take\n\s+(\d+) GB", TEXT)
    assert gigabytes is not None
    assert float(gigabytes[1]) == pytest.approx(10_000 * FOUND["fit_bytes"] / 1e9, abs=0.51)
