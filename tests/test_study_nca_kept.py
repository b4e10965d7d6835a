"""A resumed run takes a finished NCA from its folder, unless anything that decides it has changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from cart_pkpd import datasets, study
from cart_pkpd._study import steps
from cart_pkpd._study.nca import compute, kept
from cart_pkpd._study.nca.settings import Settings

TEXT = """
[data]
dataset = "fast01"
[nca]
endpoints = ["transgene", "il6"]
windows = [[0, 28]]
"""
CHANGED = TEXT.replace("[[0, 28]]", "[[0, 14]]")
AGAIN = "Taken from the earlier run. "


@pytest.fixture(autouse=True)
def no_report(monkeypatch):
    monkeypatch.setattr(steps, "report", lambda *args: "no report")


@pytest.fixture
def counted(monkeypatch):
    """The endpoints that are analysed."""
    asked: list[str] = []
    real = compute.analyse

    def analyse(trial, settings):
        asked.extend(settings.endpoints)
        return real(trial, settings)

    monkeypatch.setattr(compute, "analyse", analyse)
    return asked


def run(folder: Path, text: str = TEXT, **how: bool):
    done = study.run(study.loads(text), folder, **how)
    return {step.name: step.note for step in done.steps}


def files(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted((folder / "nca").rglob("*")) if p.is_file()}


def test_an_unchanged_nca_is_not_computed_again(tmp_path, counted):
    first = run(tmp_path)
    before = files(tmp_path)
    assert counted == ["transgene", "il6"]
    second = run(tmp_path, resume=True)
    assert counted == ["transgene", "il6"]
    assert files(tmp_path) == before
    for endpoint in ("transgene", "il6"):
        assert second[f"nca {endpoint}"] == AGAIN + first[f"nca {endpoint}"]
    run(tmp_path, overwrite=True)
    assert len(counted) == 4


def test_the_table_taken_from_the_folder_is_the_one_that_was_computed(tmp_path):
    trial = datasets.load("fast01")
    settings = Settings(endpoints=("transgene",), figures=False)
    (params,) = compute.analyse(trial, settings).params
    (tmp_path / "transgene").mkdir()
    key = kept.key(trial, settings)
    kept.keep(tmp_path / "transgene", key, kept.Kept(params, "said"), ())
    found = kept.find(tmp_path / "transgene", key)
    assert found.params.identical(params)
    assert {n: v.dtype for n, v in found.params.variables.items()} == {
        n: v.dtype for n, v in params.variables.items()
    }
    assert found.note == "said"


def test_another_window_or_a_changed_file_is_computed_again(tmp_path, counted):
    run(tmp_path)
    table = tmp_path / "nca/il6/parameters.csv"
    table.write_bytes(before := table.read_bytes().replace(b"cmax", b"Cmax"))
    counted.clear()
    assert run(tmp_path, resume=True)["nca transgene"].startswith(AGAIN)
    assert counted == ["il6"]
    assert table.read_bytes() != before
    (tmp_path / "nca/il6.nc").write_bytes(b"damaged")
    counted.clear()
    run(tmp_path, resume=True)
    assert counted == ["il6"]
    counted.clear()
    run(tmp_path, CHANGED, resume=True)
    assert counted == ["transgene", "il6"]


def test_what_is_asked_for_no_more_is_removed(tmp_path):
    run(tmp_path)
    run(tmp_path, TEXT.replace(', "il6"', ""), resume=True)
    assert sorted(p.name for p in (tmp_path / "nca").iterdir()) == ["transgene", "transgene.nc"]


def test_the_key_is_of_data_and_settings():
    """Another value, unit or rule is another key; the same trial read again is the same."""
    trial, settings = datasets.load("fast01"), Settings(endpoints=("transgene",))
    key = kept.key(trial, settings)
    assert kept.key(datasets.load("fast01"), settings) == key
    other = trial.copy(deep=True)
    other["dv"][5] += 1e-9
    renamed = trial.copy()
    renamed["time"] = trial["time"].assign_attrs(units="hour")
    keys = {kept.key(t, settings) for t in (other, renamed)}
    keys.add(kept.key(trial, Settings(endpoints=("transgene",), windows=((0.0, 14.0),))))
    assert len(keys | {key}) == 4
