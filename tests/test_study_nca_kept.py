"""A resumed run takes a finished NCA from its folder, if nothing that decides it has changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from cart_pkpd import datasets, study
from cart_pkpd._study import steps
from cart_pkpd._study.nca import compute, kept
from cart_pkpd._study.nca.settings import Settings

TEXT = """
[data]
table = "trial.csv"
units = { transgene = "copies/µg", il6 = "pg/mL" }
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


@pytest.fixture
def out(tmp_path):
    """The run folder beside a table of two patients."""
    rows = ["ID,TIME,DV,DVID,AMT,EVID"]
    for who in "ab":
        rows.append(f"{who},0,.,dose,1e7,1")
        for name, peak in (("transgene", 9000), ("il6", 80)):
            rows += [f"{who},{t},{peak / (1 + abs(t - 9))},{name},.,0" for t in (2, 7, 9, 14, 28)]
    (tmp_path / "trial.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path / "out"


def run(folder: Path, text: str = TEXT, **how: bool):
    done = study.run(study.loads(text, root=folder.parent), folder, **how)
    return {step.name: step.note for step in done.steps}


def files(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted((folder / "nca").rglob("*")) if p.is_file()}


def test_an_unchanged_nca_is_not_computed_again(out, counted):
    first = run(out)
    before = files(out)
    assert counted == ["transgene", "il6"]
    second = run(out, resume=True)
    assert counted == ["transgene", "il6"]
    assert files(out) == before
    for endpoint in ("transgene", "il6"):
        assert second[f"nca {endpoint}"] == AGAIN + first[f"nca {endpoint}"]


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


def test_another_window_or_a_changed_file_is_computed_again(out, counted):
    run(out)
    table = out / "nca/il6/parameters.csv"
    before = table.read_bytes()
    table.write_bytes(before.replace(b"cmax", b"Cmax"))
    (out / "nca/transgene.nc").write_bytes(b"damaged")
    run(out, resume=True)
    assert counted == 2 * ["transgene", "il6"]
    assert table.read_bytes() == before
    run(out, CHANGED, resume=True)
    assert counted == 3 * ["transgene", "il6"]


def test_what_is_asked_for_no_more_is_removed(tmp_path):
    for name in ("transgene", "il6", "left"):
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}.nc").touch()
    kept.drop_others(tmp_path, ["transgene", "il6"])
    assert {p.name for p in tmp_path.iterdir()} == {
        "transgene", "transgene.nc", "il6", "il6.nc",
    }  # fmt: skip
    kept.drop_others(tmp_path / "nowhere", [])


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
