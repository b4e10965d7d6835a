"""Tables of one patient and of 100,000, and CDISC files of every wrong kind."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from cart_pkpd import data
from cart_pkpd._core.errors import DataError

GIB = 2.0**30
KINDS = ("plain", "weights that change", "EVID 4", "no doses", "no observations", "bad values")


def long_table(patients, kind):
    """Return a table of 4 rows per patient: a dose and values on days 1, 7 and 28."""
    who = np.repeat([f"P{i:06d}" for i in range(patients)], 4)
    day = np.tile([0, 1, 7, 28], patients)
    dose = day == 0
    value = "bad" if kind == "bad values" else "12.5"
    table = pd.DataFrame(
        {
            "ID": who, "TIME": day, "DV": np.where(dose, ".", value),
            "AMT": np.where(dose, "1e6", "."),
            "WT": 70 + day * (kind == "weights that change"),
        }
    )  # fmt: skip
    if kind == "EVID 4":
        table["EVID"] = np.where(dose, 4, 0)
    if kind == "no doses":
        return table[~dose]
    return table[dose | (table["ID"] == "P000000")] if kind == "no observations" else table


def check(trial, patients, kind):
    assert trial.sizes["id"] == patients
    assert trial.sizes["obs"] == (3 if kind == "no observations" else 3 * patients)
    assert np.all(trial["dv"] == 12.5)
    if kind == "weights that change":
        np.testing.assert_array_equal(trial["wt"], 70)
        assert trial.sizes["event"] == 3 * patients
    report = data.import_report(trial)
    assert max(map(len, [*report.notes, *report.guesses])) < 400


@pytest.mark.parametrize("kind", KINDS)
def test_time_grows_with_the_table_and_not_faster(kind):
    """A loop over patients that looks at every row takes 16 times as long for 4 times as many."""
    seconds = []
    for patients in (500, 2000):
        table = long_table(patients, kind)
        start = time.process_time()
        if kind == "bad values":
            with pytest.raises(DataError, match="'bad' is not a value") as caught:
                data.read_table(table, echo=False)
            assert len(caught.value.problems) == 3 * patients
        else:
            check(data.read_table(table, echo=False), patients, kind)
        seconds.append(time.process_time() - start)
    assert seconds[1] < 8 * seconds[0] + 0.2


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
def test_a_hundred_thousand_patients(kind, tmp_path):
    """Read, counted and written in a process of its own: memory is the highest it had."""
    long_table(100_000, kind).to_csv(tmp_path / "large.csv", index=False)
    code = f"""
import json, resource, sys, time
from cart_pkpd import data
from cart_pkpd._core.errors import DataError
start, found = time.process_time(), 0
try:
    trial = data.read_table({str(tmp_path / "large.csv")!r}, echo=False)
    data.summary(trial), str(data.import_report(trial))
    found = trial.sizes["id"]
except DataError as error:
    assert len(error.problems) == 300_000
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps([found, time.process_time() - start, peak]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=1200
    )
    found, seconds, peak = json.loads(done.stdout)
    assert found == (0 if kind == "bad values" else 100_000)
    assert seconds < 60
    assert peak < 2 * GIB


def test_one_patient_with_one_value():
    trial = data.read_table(pd.DataFrame({"ID": [1], "TIME": [0], "DV": [5.0]}), echo=False)
    assert dict(trial.sizes) == {"obs": 1, "dosing": 0, "event": 0, "measure": 1, "id": 1}
    assert data.summary(trial)["patients"].tolist() == [1]
    assert len(data.write_table(trial)) == 1


# --- CDISC files -----------------------------------------------------------------------------


PC = "USUBJID,PCTESTCD,PCSTRESN,PCSTRESC,PCSTRESU,PCDY\nA1,CARTQ,{},{},copies/ug,2\n"


def read_pc(folder, content, name="pc.csv"):
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return data.read_sdtm(folder, codes={"CARTQ": "transgene"})


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "pc.csv"), (b"", "pc.xpt"), (b"USUBJID\n", "pc.csv"),
        (b"PK\x03\x04rest", "pc.csv"), (b"PK\x03\x04rest", "pc.xpt"),
        (b"USUBJID,PCTESTCD\nA1,x\n", "pc.xpt"), (b"HEADER RECORD*******LIB", "pc.csv"),
        (b"HEADER RECORD*******LIBRARY HEADER RECORD!!!!!!!", "pc.xpt"),
        (b'USUBJID,X\nA1,"open\n', "pc.csv"), (b"USUBJID,X\nA1,1,2,3\n", "pc.csv"),
        ("USUBJID,X\nA1,é\n".encode("utf-16-le"), "pc.csv"), (b"\xff\xfe\x00\xd8,", "pc.csv"),
    ],
)  # fmt: skip
def test_cdisc_files_of_the_wrong_kind_are_refused(content, name, tmp_path):
    with pytest.raises(DataError, match=r"pc\.(csv|xpt)|PC has no|cells"):
        read_pc(tmp_path, content, name)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("sep", [",", ";", "\t"])
def test_cdisc_files_in_any_encoding(encoding, sep, tmp_path):
    text = PC.format("12.5", "12.5").replace("copies/ug", "copies/µg").replace(",", sep)
    trial = read_pc(tmp_path, text.encode(encoding)).trial
    assert (trial.dv.values.tolist(), trial.time.values.tolist()) == ([12.5], [1.0])


@pytest.mark.parametrize("number", ["1,5", "12 copies", "1.2.3", "see note", "inf"])
def test_results_of_cdisc_that_are_no_numbers_are_not_left_out_silently(number, tmp_path):
    with pytest.raises(DataError, match="patient 'A1'"):
        read_pc(tmp_path, PC.format(f'"{number}"', f'"{number}"'))


def test_a_result_below_the_limit_in_the_numeric_column(tmp_path):
    trial = read_pc(tmp_path, PC.format("<50", "<50")).trial
    assert (trial.dv.values.tolist(), trial.censoring.values.tolist()) == ([50.0], ["left"])


@pytest.mark.parametrize(("column", "cell"), [("EXDOSE", "1e6 cells"), ("EXSTDY", "day 1")])
def test_doses_of_cdisc_that_are_no_numbers_are_refused(column, cell, tmp_path):
    ex = pd.DataFrame({"USUBJID": ["A1"], "EXTRT": ["CART"], "EXDOSE": ["1e6"], "EXSTDY": ["1"]})
    ex[column] = cell
    ex.to_csv(tmp_path / "ex.csv", index=False)
    with pytest.raises(DataError, match=f"{column}.*{cell}"):
        read_pc(tmp_path, PC.format("12", "12"))


def test_transport_files_with_names_that_are_too_long(tmp_path):
    """Version 5 holds names of 8 letters; version 8, which holds 32, is read."""
    table = pd.DataFrame({"USUBJID": ["A1"], "PCTESTCODE": ["x"]})
    with pytest.raises(DataError, match="'PCTESTCODE' is longer than 8"):
        data.write_dataset(table, tmp_path / "pc.xpt")
    with pytest.raises(DataError, match="'pharmacokin' is longer than 8"):
        data.write_dataset(table[["USUBJID"]], tmp_path / "pharmacokin.xpt")
    pyreadstat = pytest.importorskip("pyreadstat")
    pyreadstat.write_xport(table, tmp_path / "pc.xpt", table_name="PC", file_format_version=8)
    assert list(data.read_dataset(tmp_path / "pc.xpt").columns) == ["USUBJID", "PCTESTCODE"]


def test_empty_cdisc_data_sets_are_data_sets(tmp_path):
    (tmp_path / "ae.csv").write_text("USUBJID,AETERM,AESTDY\n")
    found = read_pc(tmp_path, PC.format("12", "12"))
    assert len(found["ae"]) == 0
    assert found.trial is not None
