"""Public patients: how they are found, fetched and tidied (on made-up files), and what they are."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cart_pkpd import data, datasets
from cart_pkpd._core.errors import DataError
from cart_pkpd.datasets import _car22, _car22_tidy

# Two made-up patients in the shape of the tidy tables.
OBSERVATIONS = """\
ID,TIME,DVID,UNIT,DV
1,8,IFN-gamma,pg/mL,2800
1,8,IL-10,pg/mL,61.25
1,0,IL-2,pg/mL,0.7
1,0,IL-4,pg/mL,0.2
1,8,IL-6,pg/mL,1472
1,8,IL-8,pg/mL,1147
1,7,car_abs,cells/uL,0
1,14,car_abs,cells/uL,12.5
2,1.25,ldh,U/L,200
"""
SUBJECTS = """\
ID,DOSELEVEL,CRS,CRSGRADE,CRSDAY,HLH,HLHDAY,RESPONSE,ORR,CR,BMBLAST,EMD,TCS,TOCI,STEROID,ANAKINRA
1,2,1,1,10,0,,0,1,1,0.25,0,0,1,0,0
2,1,0,,,0,,,0,0,,1,1,0,0,0
"""


def put(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the made-up tables into `folder` and make them the expected ones."""
    folder.mkdir(parents=True)
    expect = {}
    for name, text in (("observations.csv", OBSERVATIONS), ("subjects.csv", SUBJECTS)):
        (folder / name).write_bytes(text.encode())
        expect[name] = hashlib.sha256(text.encode()).hexdigest()
    monkeypatch.setattr(_car22, "TABLES", expect)
    return folder


@pytest.fixture
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no folder named by the environment."""
    monkeypatch.delenv(_car22.FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr(_car22, "cache", lambda: tmp_path / "cache" / "car22")
    return tmp_path / "cache" / "car22"


@pytest.fixture
def originals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The two made-up patients in the shape of the public files, which retrieve() hands out."""
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    sheet = book.active
    for row, filled in ((4, _PATIENT_1), (5, _PATIENT_2)):  # three rows of headings above
        for column, value in filled.items():
            sheet.cell(row=row, column=column + 1, value=value)
    sheet.cell(row=3, column=629, value="last heading")
    clinical, cytokines = tmp_path / "clinical.xlsx", tmp_path / "days.csv"
    book.save(clinical)
    cytokines.write_text(_DAYS)
    served = dict(zip(_car22.ORIGINALS, (clinical, cytokines), strict=True))
    import pooch

    def retrieve(url: str, known_hash: str, fname: str, path: Path) -> str:
        assert f"/{_car22.COMMIT}/" in url
        original = next(name for name in served if url.endswith(name))
        assert known_hash == f"sha256:{_car22.ORIGINALS[original]}"
        assert original.endswith(fname)
        return str(served[original])

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    return served


# column of the spreadsheet → value: dose level in 16, CRS in 3 to 5, cells in 134 to 148 ...
_PATIENT_1 = {
    0: 1, 16: 2, 3: 1, 4: 1, 5: 10, 1: 0, 6: 0, 7: 1, 8: 1, 13: 0.25, 15: 0, 17: 0, 18: 1, 19: 0,
    20: 0, 137: 7, 139: 0, 140: 14, 142: 12.5,
}  # fmt: skip
_PATIENT_2 = {
    0: 2, 16: 1, 3: 0, 1: 0, 6: "-", 7: 0, 8: 0, 13: "---", 15: 1, 17: 1, 18: 0, 19: 0, 20: 0,
    25: 200, 26: 1.25, 31: "Hemolyzed", 32: 7.5, 145: 3.0,
}  # fmt: skip
_DAYS = """\
,patient_id,CRS,max_grade_CRS,date_CRS,cytokines,HLH,days_HLH,days,cytokine_levels,log10,grade
8,1,1,1,10.0,IL-8,no,,8,1147.0,3.06,CRS 1-2
7,1,1,1,10.0,IL-6,no,,8,1472.0,3.17,CRS 1-2
5,1,1,1,10.0,IL-4,no,,0,0.2,-0.70,CRS 1-2
6,1,1,1,10.0,IFN-gamma,no,,8,2800.0,3.45,CRS 1-2
1,1,1,1,10.0,IL-10,no,,8,61.25000001,1.79,CRS 1-2
3,1,1,1,10.0,IL-2,no,,0,0.7,-0.15,CRS 1-2
4,1,1,1,10.0,IL-2,no,,1,,,CRS 1-2
"""


def test_tidying_follows_the_positions(originals, tmp_path) -> None:
    clinical, cytokines = originals.values()
    tables = _car22_tidy.tidy(clinical, cytokines)
    found = [table.to_csv(index=False, lineterminator="\n") for table in tables]
    assert found == [OBSERVATIONS, SUBJECTS]


def test_what_is_downloaded_is_tidied_checked_and_kept(
    originals, no_cache, tmp_path, monkeypatch
) -> None:
    put(tmp_path / "expected", monkeypatch)
    trial = datasets.fetch("car22")
    assert sorted(p.name for p in no_cache.iterdir()) == ["observations.csv", "subjects.csv"]
    assert (no_cache / "observations.csv").read_text() == OBSERVATIONS
    monkeypatch.setattr("pooch.retrieve", None)  # the second time nothing is fetched
    again = datasets.fetch("car22")
    assert again.identical(trial)


def test_other_originals_are_refused(originals, no_cache, tmp_path, monkeypatch) -> None:
    put(tmp_path / "expected", monkeypatch)
    days = list(originals.values())[1]
    days.write_text(_DAYS.replace("1472", "1473"))
    with pytest.raises(DataError, match=r"observations.csv is not the published table"):
        datasets.fetch("car22")


@pytest.mark.parametrize(
    "error", [OSError("Network is unreachable"), ValueError("SHA256 hash does not match")]
)
def test_no_network_says_what_to_do(no_cache, monkeypatch, error) -> None:
    def retrieve(*args: object, **kwargs: object) -> str:
        raise error

    monkeypatch.setattr("pooch.retrieve", retrieve)
    with pytest.raises(DataError, match=rf"{error}.*set CART_PKPD_DATA"):
        datasets.fetch("car22")


def test_openpyxl_is_asked_for(originals, no_cache, monkeypatch) -> None:
    monkeypatch.setattr(_car22_tidy, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"pip install 'cart-pkpd\[datasets\]'"):
        datasets.fetch("car22")


def test_a_named_folder_comes_first(no_cache, tmp_path, monkeypatch) -> None:
    put(tmp_path / "mine" / "car22", monkeypatch)
    monkeypatch.setenv(_car22.FOLDER_VARIABLE, str(tmp_path / "mine"))
    trial = datasets.fetch("car22")
    assert list(trial["id"].values) == ["1", "2"]
    assert not no_cache.exists()
    assert trial.sizes["dosing"] == 0


def test_a_folder_without_the_tables_is_an_error(no_cache, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(_car22.FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(DataError, match=r"observations.csv does not exist"):
        datasets.fetch("car22")


def test_a_changed_table_is_an_error(no_cache, tmp_path, monkeypatch) -> None:
    folder = put(tmp_path / "mine" / "car22", monkeypatch)
    (folder / "subjects.csv").write_text(SUBJECTS.replace("0.25", "0.26"))
    monkeypatch.setenv(_car22.FOLDER_VARIABLE, str(tmp_path / "mine"))
    with pytest.raises(DataError, match=r"subjects.csv is not the published table"):
        datasets.fetch("car22")


def test_limits_are_applied_on_request(no_cache, tmp_path, monkeypatch) -> None:
    put(tmp_path / "mine" / "car22", monkeypatch)
    monkeypatch.setenv(_car22.FOLDER_VARIABLE, str(tmp_path / "mine"))
    expected = {
        False: {"il2": ("none", 0.7), "il4": ("none", 0.2), "il6": ("none", 1472.0)},
        True: {"il2": ("left", 0.80), "il4": ("none", 0.2), "il6": ("right", 1470.0)},
    }
    for limits, by_name in expected.items():
        trial = datasets.fetch("car22", limits=limits)
        for name, (kind, value) in by_name.items():
            one = data.endpoint(trial, name)
            assert one["censoring"].values.tolist() == [kind]
            assert one["dv"].values.tolist() == [value]
        cells = data.endpoint(trial, "car_abs")  # the zero is not detected in either case
        assert cells["censoring"].values.tolist() == ["left", "none"]
        np.testing.assert_allclose(cells["dv"], [0.04, 12.5])


@pytest.mark.real_data
def test_the_real_patients(car22_folder, monkeypatch) -> None:
    """Counts from Lichtenstein 2021's public tables: 59 patients, 55 with cell counts."""
    monkeypatch.setenv(_car22.FOLDER_VARIABLE, str(car22_folder))
    trial = datasets.fetch("car22")
    assert trial.sizes["id"] == 59
    cells = data.endpoint(trial, "car_abs")
    assert cells.sizes["obs"] == 182
    assert len(set(cells["patient"].values)) == 55
    kinds = pd.Series(cells["censoring"].values).value_counts().to_dict()
    assert kinds == {"none": 148, "left": 34}
    assert (cells["dv"].values[cells["censoring"].values == "left"] == 0.04).all()
    il6 = data.endpoint(trial, "il6")
    assert il6.sizes["obs"] == 821
    assert len(set(il6["patient"].values)) == 52
    assert il6["dv"].attrs["units"] == "pg/mL"


@pytest.mark.real_data
def test_real_cytokines_pile_up_at_the_assumed_limits(car22_folder, monkeypatch) -> None:
    monkeypatch.setenv(_car22.FOLDER_VARIABLE, str(car22_folder))
    trial = datasets.fetch("car22", limits=True)
    right = {
        name: int((data.endpoint(trial, name)["censoring"].values == "right").sum())
        for name in _car22.CEILINGS
    }
    # counted in the table: IFN-γ at 2761 or more, IL-6 at 1472, IL-8 at 1148, IL-10 at 750
    assert right == {"ifng": 39, "il6": 25, "il8": 36, "il10": 3}
    floor = {
        name: (data.endpoint(trial, name)["censoring"].values == "left").mean()
        for name in _car22.FLOORS
    }
    assert floor["il2"] > 0.5
    assert floor["il4"] > 0.85
