"""`cart-pkpd nca`: the folder it writes to, strange tables, and what it imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nca_command import FILES, Command, in_process, tables, write_small

from cart_pkpd import nca
from cart_pkpd._study.nca import figures, options


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return in_process(capsys)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_small(tmp_path)


# --- the folder ----------------------------------------------------------------------------


def test_foreign_folder_is_left_alone(small: Path, command: Command, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "table.csv").write_text("mine", encoding="utf-8")
    code, _, err = command(small, "--out", out, "--overwrite")
    assert code == 1
    assert "is not empty and holds no earlier NCA, so nothing was written to it" in err
    assert [p.name for p in out.iterdir()] == ["table.csv"]
    assert command(small, "--out", out / "table.csv")[2].rstrip().endswith("name a folder.")


def test_earlier_nca_is_replaced_only_when_asked(
    small: Path, command: Command, tmp_path: Path
) -> None:
    out = tmp_path / "o"
    assert command(small, "--out", out, "-q")[0] == 0
    assert (out / "figures" / "transgene" / "P1.png").is_file()
    (out / "my notes.txt").write_text("mine", encoding="utf-8")
    code, _, err = command(small, "--out", out)
    assert (code, "already holds an NCA" in err) == (1, True)
    assert command(small, "--out", out, "--overwrite", "--no-figures", "-q")[0] == 0
    assert sorted(p.name for p in out.iterdir()) == sorted([*FILES, "my notes.txt"])


def test_replacing_removes_only_its_own_files(
    small: Path, command: Command, tmp_path: Path
) -> None:
    out = tmp_path / "o"
    command(small, "--out", out, "--no-figures", "-q")
    status = json.loads((out / "status.json").read_text(encoding="utf-8"))
    status["files"] += ["../small.csv"]
    (out / "status.json").write_text(json.dumps(status), encoding="utf-8")
    assert command(small, "--out", out, "--overwrite", "--no-figures", "-q")[0] == 0
    assert small.is_file()


def test_bad_table_leaves_an_earlier_nca(small: Path, command: Command, tmp_path: Path) -> None:
    out, bad = tmp_path / "o", tmp_path / "bad.csv"
    command(small, "--out", out, "--no-figures", "-q")
    bad.write_text("ID,TIME,DV\n1,x,20\n", encoding="utf-8")
    before = tables(out)
    assert command(bad, "--out", out, "--overwrite")[0] == 2
    assert tables(out) == before


# --- edges ---------------------------------------------------------------------------------


def test_one_patient_without_a_dose(small: Path, command: Command, tmp_path: Path) -> None:
    code, out, err = command(small, "--out", tmp_path / "o", "--no-figures")
    assert (code, err) == (0, "")
    assert "transgene, 1 patient:" in out
    assert "power" not in out  # no dose, no dose proportionality
    row = pd.read_csv(tmp_path / "o" / "table.csv").iloc[0]
    assert np.isnan(row["dose_level"])
    # By hand: a halving every 7 days.
    assert (row["cmax"], row["tmax"], row["tlast"]) == (800.0, 7.0, 28.0)
    assert row["half_life"] == pytest.approx(7.0, rel=1e-12)


def test_all_below_the_limit(command: Command, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("ID,TIME,DV,LLOQ\n1,0,0,5\n1,7,2,5\n2,0,0,5\n2,7,0,5\n", encoding="utf-8")
    code, out, _ = command(table, "--out", tmp_path / "o")
    assert code == 0
    assert "NC (n=0 of 2)" in out
    row = pd.read_csv(tmp_path / "o" / "table.csv").iloc[0]
    assert (row["cmax"], row["auc0_28"]) == (0.0, 0.0)
    assert np.isnan(row["tmax"])
    assert (tmp_path / "o" / "figures" / "transgene" / "2.png").is_file()


def test_exposure_that_cannot_be_drawn_is_told(command: Command, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    rows = "".join(f"{i},0,.,1e6,1,1\n{i},7,0,.,0,0\n{i},14,0,.,0,0\n" for i in (1, 2))
    table.write_text(f"ID,TIME,DV,AMT,EVID,MDV\n{rows}", encoding="utf-8")
    code, out, _ = command(table, "--out", tmp_path / "o")
    assert code == 0
    assert "2 could not be drawn (see figures/index.csv)" in out
    index = pd.read_csv(tmp_path / "o" / "figures" / "index.csv", keep_default_na=False)
    lost = index[index["file"] == ""]
    assert lost["shows"].tolist() == ["cmax by dose_level", "auc0_28 by dose_level"]
    assert lost["reason"].str.contains("no patient has a value above zero").all()


def test_strange_ids_have_safe_and_different_files(command: Command, tmp_path: Path) -> None:
    ids = ["p/1", "P/1", "患者", r"../$\nope$"]  # the last is no formula, and no path
    table = tmp_path / "t.csv"
    days = ((0, 0), (7, 800), (14, 400), (21, 200), (28, 100))
    rows = "".join(f"{i},{t},{v},5\n" for i in ids for t, v in days)
    table.write_text(f"ID,TIME,DV,LLOQ\n{rows}", encoding="utf-8")
    assert command(table, "--out", tmp_path / "o", "-q")[0] == 0
    found = {p.name for p in (tmp_path / "o" / "figures" / "transgene").iterdir()}
    assert found == {"p_1.png", "P_1-2.png", "患者.png", "___nope_.png"}
    assert pd.read_csv(tmp_path / "o" / "table.csv")["id"].tolist() == ids
    index = pd.read_csv(tmp_path / "o" / "figures" / "index.csv").set_index("patients")
    assert index.loc[ids[-1], "file"] == "figures/transgene/___nope_.png"


def test_file_names_differ_without_case_and_fit() -> None:
    names = figures.safe_names(["a", "A", "a", "a-2", "é", "e\u0301", "x" * 300, "x" * 299, ".."])
    assert len({n.casefold() for n in names}) == len(names)
    assert max(len(n) for n in names) < 70
    assert names[-1] == "_"
    assert figures.safe_names(["con", "LPT1.x", "$a$b", "a:b"]) == [
        "con_",
        "LPT1.x_",
        "_a_b",
        "a_b",
    ]


def test_many_patients_share_pages(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "MOST_PAGES", 2)
    monkeypatch.setattr(figures, "PER_PAGE", 2)
    table = tmp_path / "t.csv"
    rows = "".join(f"P{i},{t},{v}\n" for i in range(3) for t, v in ((0, 0), (7, 80), (14, 40)))
    table.write_text(f"ID,TIME,DV\n{rows}", encoding="utf-8")
    code, out, _ = command(table, "--out", tmp_path / "o")
    assert code == 0
    assert "2 of them pages of up to 2 profiles, because there are 3 patients" in out
    index = pd.read_csv(tmp_path / "o" / "figures" / "index.csv")
    pages = index[index["shows"] == "profiles"].set_index("file")["patients"].to_dict()
    start = "figures/transgene/page_00"
    assert pages == {f"{start}1.png": "P0; P1", f"{start}2.png": "P2"}


def test_second_infusion(command: Command, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    rows = ["1,0,.,1e6,1,1", "1,7,100,.,0,0", "1,60,.,1e6,1,1", "1,67,900,.,0,0", "1,74,300,.,0,0"]
    table.write_text("\n".join(["ID,TIME,DV,AMT,EVID,MDV", *rows, ""]), encoding="utf-8")
    code, _, err = command(table, "--out", tmp_path / "o", "--infusion", "2", "--no-figures", "-q")
    assert (code, err) == (0, "")
    row = pd.read_csv(tmp_path / "o" / "table.csv").iloc[0]
    assert (row["cmax"], row["tmax"]) == (900.0, 7.0)


def test_all_parameters(small: Path, command: Command, tmp_path: Path) -> None:
    arguments = ["--parameters", "all", "--no-figures", "-q"]
    assert command(small, "--out", tmp_path / "o", *arguments)[0] == 0
    header = (tmp_path / "o" / "table.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header.split(",")[3:] == list(nca.parameters().index)
    settings = tmp_path / "o" / "settings.toml"
    again = command(small, "--out", tmp_path / "o2", "--settings", settings, "-q")
    assert again == (0, "", "")
    one = command(small, "--out", tmp_path / "o3", "--parameters", "clast", "--no-figures")
    assert one[0] == 0
    assert "Clast [copies/µg]" in one[1]


def test_help_names_every_flag_and_imports_little() -> None:
    heavy = ("pymc", "nutpie", "arviz", "matplotlib", "xarray", "pandas", "numpy")
    code = (
        "import sys\nfrom cart_pkpd import cli\n"
        "assert cli.execute(['nca', '--help']) == 0\n"
        f"print([m for m in {heavy!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={"COLUMNS": "300", "PYTHONUTF8": "1"},
    )  # fmt: skip
    assert done.stderr.strip() == "[]"
    missing = [
        o.flag for o in options.all_options() if o.flag.split("/--no-")[0] not in done.stdout
    ]
    assert missing == []


def test_tables_need_no_sampler_and_no_figures(small: Path, tmp_path: Path) -> None:
    arguments = ["nca", str(small), "--out", str(tmp_path / "o"), "--no-figures", "-q"]
    code = (
        f"import sys\nfrom cart_pkpd import cli\nassert cli.execute({arguments!r}) == 0\n"
        "print([m for m in ('pymc', 'nutpie', 'arviz', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
