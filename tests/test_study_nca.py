"""The NCA of a run: its tables, and the settings that repeat it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from grid_inputs import TRIAL
from nca_command import FILES

from cart_pkpd import cli, data, datasets, nca, report, study

MINIMAL = '[data]\ndataset = "fast01"\n'


@pytest.fixture(autouse=True)
def _no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page takes longer than the tables, and is tested elsewhere."""

    def page(folder: Path, **_: Any) -> Path:
        (folder / "report.html").write_text("", encoding="utf-8")
        return folder / "report.html"

    monkeypatch.setattr(report, "write", page)


def test_nca_tables_hold_every_value_or_its_reason(tmp_path: Path) -> None:
    run_file = MINIMAL + "[nca]\nwindows = [[0, 28], [0, 84]]\n"
    study.run(study.loads(run_file), tmp_path)
    trial = datasets.load("fast01")
    params = nca.table(trial, "transgene", [(0, 28), (0, 84)])
    folder = tmp_path / "nca" / "transgene"
    wide = pd.read_csv(folder / "table.csv")
    assert list(wide.columns[:3]) == ["id", "endpoint", "dose_level"]
    assert wide["id"].tolist() == data.patients(trial)
    for name in ("cmax", "auc0_28", "auc0_84", "half_life"):
        assert wide[name].equals(pd.Series(params[name].values, name=name))  # to the last bit
    long = pd.read_csv(folder / "parameters.csv", keep_default_na=False)
    missing = long["value"] == ""
    assert (long.loc[missing, "reason"] != "").all()
    assert missing.any()
    settings_ = tomllib.loads((folder / "settings.toml").read_text(encoding="utf-8"))
    assert settings_["endpoints"] == ["transgene"]
    assert settings_["windows"] == [[0, 28], [0, 84]]
    assert nca.Rules.from_dict(settings_["rules"]) == nca.Rules()


def test_settings_of_a_run_repeat_its_nca(tmp_path: Path) -> None:
    table, other = tmp_path / "trial.csv", tmp_path / "other"
    table.write_text(TRIAL.replace("DVID,DV,", "DVID,LEVEL,"), encoding="utf-8")
    (tmp_path / "patients.csv").write_text("ID,AGE\nA,60\nB,41\n", encoding="utf-8")
    text = """
    [data]
    table = "trial.csv"
    subjects = "patients.csv"
    columns = { DV = "LEVEL" }
    [nca]
    windows = [[0, 14], [3, 21]]
    method = "linear"
    """
    study.run(study.loads(text, root=tmp_path), tmp_path / "run")
    folder = tmp_path / "run/nca/transgene"
    command = ["nca", str(table), "--settings", str(folder / "settings.toml"), "--out", str(other)]
    assert cli.execute([*command, "--quiet"]) == 0
    assert {p.name for p in other.iterdir()} == {p.name for p in folder.iterdir()} == set(FILES)
    # Each folder has its own time in status.json, and its own way to the table of patients.
    for name in set(FILES) - {"status.json", "settings.toml"}:
        assert (other / name).read_bytes() == (folder / name).read_bytes(), name
    first, second = (
        tomllib.loads((f / "settings.toml").read_text(encoding="utf-8")) for f in (folder, other)
    )
    ways = (first["data"].pop("subjects"), second["data"].pop("subjects"))
    assert ways == ("../../../patients.csv", "../patients.csv")
    assert first == second
    assert first["windows"] == [[0, 14], [3, 21]]
