"""Reading tables: columns, endpoints, units, covariates, files, and what deserves a second look."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from data_tables import TABLE, notes, read, write

from cart_pkpd import data
from cart_pkpd._core.errors import DataError


@pytest.fixture
def trial(tmp_path):
    return read(tmp_path, TABLE)


# --- columns, endpoints, units -------------------------------------------------------------


def test_free_headers_are_mapped(tmp_path):
    text = "Pat.,Day post infusion,Copies,Kind,WT\nA 1,0,5,x,70\nA 1,7,6,x,70\n"
    trial = read(
        tmp_path,
        text,
        columns={"ID": "Pat.", "TIME": "Day post infusion", "DV": "Copies", "DVID": "Kind"},
        endpoints={"x": "transgene"},
    )
    np.testing.assert_array_equal(trial["time"], [0, 7])
    assert data.patients(trial) == ["A 1"]
    assert data.endpoints(trial) == ["transgene"]
    how = {c.column: c.how for c in data.import_report(trial).columns}
    assert how["DV"] == "columns="


def test_cdisc_names(tmp_path):
    text = (
        "STUDYID,USUBJID,PARAMCD,PARAM,AVAL,AVALC,AVALU,AFRLT,NFRLT,VISIT,PCLLOQ\n"
        "S1,S1-001,IL6,Interleukin 6,.,<LLOQ,pg/mL,0.9,1,DAY 1,2\n"
        "S1,S1-001,IL6,Interleukin 6,8.5,8.5,pg/mL,2.1,2,DAY 2,2\n"
        "S1,S1-001,IL6,Interleukin 6,.,NOT DONE,pg/mL,3,3,DAY 3,2\n"
    )
    trial = read(tmp_path, text)
    np.testing.assert_array_equal(trial["dv"], [2, 8.5])
    np.testing.assert_array_equal(trial["time"], [0.9, 2.1])
    np.testing.assert_array_equal(trial["nominal_time"], [1, 2])
    assert trial["studyid"].values.tolist() == ["S1"]
    unused = {c.header for c in data.import_report(trial).columns if c.column == "not used"}
    assert unused == {"PARAM", "VISIT"}


def test_endpoint_names(tmp_path):
    text = "ID,TIME,DV,DVID\n1,0,1,IFN-gamma\n1,0,1,IL 6\n1,0,1,Soluble BCMA\n1,0,1,car_abs\n"
    trial = read(
        tmp_path, text, endpoints={"car_abs": "car_cells"}, units={"soluble_bcma": "ng/mL"}
    )
    assert data.endpoints(trial) == ["ifng", "il6", "soluble_bcma", "car_cells"]
    assert trial["unit"].values.tolist() == ["pg/mL", "pg/mL", "ng/mL", "cells/µL"]
    assert "'IL 6' is il6" in notes(trial)
    assert "il6 is in pg/mL, its usual unit" in notes(trial)


def test_numbered_endpoints_and_cmt(tmp_path):
    by_number = {1: "transgene", 2: "il6"}
    for header in ("DVID", "CMT", "YTYPE"):
        trial = read(tmp_path, f"ID,TIME,DV,{header}\n1,0,5,1\n1,1,6,2\n", endpoints=by_number)
        assert data.endpoints(trial) == ["transgene", "il6"]
    frame = pd.DataFrame({"ID": [1, 1], "TIME": [0, 1], "DV": [5, 6], "DVID": [1.0, np.nan],
                          "AMT": [np.nan, np.nan]}).head(1)  # fmt: skip
    trial = data.read_table(frame, endpoints={1: "il8"}, echo=False)
    assert data.endpoints(trial) == ["il8"]


def test_single_endpoint(tmp_path):
    text = "ID,TIME,DV,CMT\n1,0,5,1\n1,1,6,1\n"
    assert data.endpoints(read(tmp_path, text)) == ["transgene"]
    assert "'transgene'; endpoints= says otherwise" in notes(read(tmp_path, text))
    assert data.endpoints(read(tmp_path, text, endpoints="IL-6")) == ["il6"]


def test_unit_in_the_header_and_unusual_units(tmp_path):
    trial = read(tmp_path, "ID,Day,DV (cells/uL)\n1,0,5\n")
    assert trial["unit"].values.tolist() == ["cells/µL"]
    assert "usually measured in copies/µg" in notes(trial)
    trial = read(tmp_path, "ID,Day,DV,DVID\n1,0,5,xyz\n")
    assert trial["unit"].values.tolist() == [""]
    assert "unit of xyz is not known" in notes(trial)


def test_a_role_can_be_switched_off(tmp_path):
    text = "ID,TIME,DV,LIMIT\n1,0,5,3\n"
    trial = read(tmp_path, text, columns={"LIMIT": None})
    assert "limit_covariate" in trial
    assert "'limit_covariate'" in notes(trial)


# --- patients and covariates ---------------------------------------------------------------


def test_patient_names_are_text(tmp_path):
    assert data.patients(read(tmp_path, "ID,TIME,DV\n 01 ,0,1\n2,0,1\n")) == ["01", "2"]
    alike = notes(read(tmp_path, "ID,TIME,DV\nA-01,0,1\na01,0,1\n10,0,1\n1.5,0,1\n"))
    assert "similar names: 'A-01' and 'a01'. If" in alike
    frame = pd.DataFrame({"ID": [1.0, 2.0], "TIME": [0, 0], "DV": [1, 2]})
    assert data.patients(data.read_table(frame, echo=False)) == ["1", "2"]


def test_subjects_table(tmp_path):
    text = "ID,TIME,DV,WT\n01,0,1,.\n02,0,1,80\n04,0,1,.\n"
    subjects = "USUBJID,WT,Dose level,SITE\n02,80,DL2,001\n01,70,DL1,002\n03,60,DL1,001\n"
    trial = read(tmp_path, text, subjects=write(tmp_path, subjects, "subjects.csv"))
    assert data.patients(trial) == ["01", "02", "04", "03"]
    np.testing.assert_array_equal(trial["wt"], [70, 80, np.nan, 60])
    np.testing.assert_array_equal(trial["dose_level"], [1, 2, np.nan, 1])
    assert trial["site"].values.tolist() == ["002", "001", "", "001"]
    assert "Not in subjects.csv, so without its covariates: '04'" in notes(trial)
    assert "without any record, kept as patients: '03'" in notes(trial)
    assert dict(data.import_report(trial).missing_covariates) == {
        "wt": 1, "dose_level": 1, "site": 1,
    }  # fmt: skip


def test_chosen_covariates_and_text_among_numbers(tmp_path):
    text = "ID,TIME,DV,WT,AGE (h),VISIT\n1,0,1,70,5,a\n2,0,1,7O,6,b\n"
    trial = read(tmp_path, text)
    assert trial["wt"].values.tolist() == ["70", "7O"]
    assert "because of values such as '7O' (row 3)" in notes(trial)
    assert trial["age"].attrs["units"] == "h"
    trial = read(tmp_path, text, covariates=["age"])
    assert "wt" not in trial
    assert trial["age"].values.tolist() == [5, 6]


# --- rows, files and frames ----------------------------------------------------------------


GENDER = "ID,TIME,DV,{}\n1,1,5,M\n1,2,6,M\n2,1,7,F\n"


@pytest.mark.parametrize("header", ["GENDER", "Gender", "gender "])
def test_gender_is_the_sex(tmp_path, header):
    """Said in a note; asked for by either name."""
    content = GENDER.format(header)
    trial = read(tmp_path, content)
    assert trial["sex"].values.tolist() == ["M", "F"]
    assert f"Covariate {header.strip()!r} is called 'sex'." in notes(trial)
    for name in ("sex", header.strip()):
        assert "sex" in read(tmp_path, content, covariates=[name])


def test_gender_beside_sex_keeps_its_name(tmp_path):
    content = GENDER.format("GENDER,SEX").replace("M\n", "x,M\n").replace("F\n", "y,F\n")
    trial = read(tmp_path, content)
    assert trial["gender"].values.tolist() == ["x", "y"]
    assert trial["sex"].values.tolist() == ["M", "F"]


def test_separators_of_both_tables_are_told_once_each(tmp_path):
    records = "ID;TIME;DV\n1;1;5,5\n2;1;7,5\n"
    subjects = tmp_path / "subjects.csv"
    subjects.write_text("ID;AGE\n1;60\n2;50\n", encoding="utf-8")
    report = data.import_report(read(tmp_path, records, subjects=subjects))
    told = [g for g in report.guesses if "separated" in g]
    assert len(told) == 2
    assert told[0].endswith("are separated by a semicolon; sep= says otherwise.")
    assert told[1].startswith("Cells of subjects.csv are separated by a semicolon;")
    subjects.write_text("sep=;\nID;AGE\n1;60\n2;50\n", encoding="utf-8")
    report = data.import_report(read(tmp_path, records, subjects=subjects))
    assert [g for g in report.guesses if "separated" in g] == told[:1]


def test_comment_lines_are_listed(tmp_path):
    text = "#made by hand\nID,TIME,DV\n1,0,5\nC2,1,6\nC,1,6\n@1,1,6\n#1,1,6\n"
    trial = read(tmp_path, text)
    np.testing.assert_array_equal(trial["row"], [3])
    assert [e.row for e in data.import_report(trial).exclusions] == [1, 4, 5, 6, 7]
    named = read(tmp_path, "#ID,TIME,DV\nC01,0,5\nC02,0,6\n")
    assert data.patients(named) == ["C01", "C02"]


def test_duplicates(tmp_path):
    text = "ID,TIME,DV\n1,0,5\n1,0,8\n1,1,3\n"
    for how, value, reason in (
        ("first", 5, "duplicate of row 2"),
        ("last", 8, "duplicate of row 3"),
        ("mean", 6.5, "averaged into row 2"),
    ):
        trial = read(tmp_path, text, duplicates=how)
        np.testing.assert_array_equal(trial["dv"], [value, 3])
        assert [e.reason for e in data.import_report(trial).exclusions] == [reason]


def test_sort_accepts_any_order(tmp_path):
    trial = read(tmp_path, "ID,TIME,DV\n1,7,5\n2,1,1\n1,0,8\n", sort=True)
    np.testing.assert_array_equal(trial["dv"], [8, 5, 1])


def test_missing_marks(tmp_path):
    trial = read(tmp_path, "ID,TIME,DV\n1,0,-99\n1,1,NA\n1,2,\n1,3,.\n1,4,7\n", missing=["-99"])
    np.testing.assert_array_equal(trial["row"], [6])
    frame = pd.DataFrame({"ID": [1, 1], "TIME": [0, 1], "DV": [-99.0, 7.0]})
    assert data.read_table(frame, missing=[-99], echo=False).sizes["obs"] == 1


@pytest.mark.parametrize(
    "content",
    [
        b"ID;TIME;DV\n1;0,5;1200,25\n",
        b"ID\tTIME\tDV\n1\t0.5\t1200.25\n",
        b"ID|TIME|DV\n1|0.5|1200.25\n",
        b"ID TIME   DV\n1  0.5 1200.25\n",
        b"\xef\xbb\xbfID,TIME,DV\r\n1,0.5,1200.25\r\n",
        b"ID,TIME,DV\r1,0.5,1200.25\r",
        "ID,TIME,DV\n1,0.5,1200.25\n".encode("utf-16"),
        gzip.compress(b"ID,TIME,DV\n1,0.5,1200.25\n", mtime=0),
        b'"ID","TIME","DV"\n"1","0.5","1200.25"\n',
        b'"","ID","TIME","DV"\n"1","1",0.5,1.20025e3\n',
        b"ID,TIME,DV,,\n1,0.5,+1200.25,,\n",
    ],
)
def test_dialects(tmp_path, content):
    trial = read(tmp_path, content)
    assert trial["time"].values.tolist() == [0.5]
    assert trial["dv"].values.tolist() == [1200.25]


def test_old_encodings_are_noted(tmp_path):
    text = "ID,TIME,DV,UNIT,SITE\n1,0,5,copies/µg,Zürich\n".encode("cp1252")
    trial = read(tmp_path, text)
    assert trial["unit"].values.tolist() == ["copies/µg"]
    assert trial["site"].values.tolist() == ["Zürich"]
    assert "read as cp1252" in notes(trial)


def test_frames_read_as_files_do(tmp_path, trial):
    frame = pd.read_csv(tmp_path / "study.csv", dtype={"ID": str}, na_values=".")
    again = data.read_table(frame, echo=False)
    xr.testing.assert_identical(again.drop_attrs(), trial.drop_attrs())
    for dtype in ("category", "string", object):
        typed = frame.astype({"ID": dtype, "DVID": dtype})
        xr.testing.assert_identical(
            data.read_table(typed, echo=False).drop_attrs(), trial.drop_attrs()
        )


def test_an_index_with_a_name_is_a_column():
    frame = pd.DataFrame({"TIME": [0, 1], "DV": [1, 2]}, index=pd.Index(["a", "b"], name="ID"))
    assert data.patients(data.read_table(frame, echo=False)) == ["a", "b"]


def test_a_large_table_reads_in_seconds(tmp_path):
    import time

    n = 100_000
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "ID": np.arange(n) // 100,
            "TIME": (np.arange(n) % 50).astype(float),
            "DV": rng.lognormal(size=n),
            "DVID": np.where(np.arange(n) % 100 < 50, "il6", "crp"),
            "LLOQ": 0.5,
            "WT": np.arange(n) // 100,
        }
    )
    path = tmp_path / "large.csv"
    frame.to_csv(path, index=False)
    start = time.process_time()
    trial = data.read_table(path, echo=False)
    assert time.process_time() - start < 6.0
    assert trial.sizes["obs"] == n
    assert int((trial["censoring"] == "left").sum()) == int((frame["DV"] < 0.5).sum())


# --- what deserves a second look ------------------------------------------------------------


def test_a_marked_value_that_is_not_its_limit_is_noted(tmp_path):
    text = "ID,TIME,DV,CENS,LLOQ,ULOQ\n1,0,20,1,50,900\n1,1,50,1,50,900\n1,2,0,1,50,900\n"
    trial = read(tmp_path, text + "1,3,30,1,50,900\n1,4,999,-1,50,900\n1,5,70,0,50,900\n")
    np.testing.assert_array_equal(trial["dv"], [50, 50, 50, 50, 900, 70])
    said = notes(trial)
    assert "DV is not the LLOQ in 2 records (rows 2, 5) marked as below it: 20 beside 50" in said
    assert "DV is not the ULOQ in 1 record (row 6) marked as above it: 999 beside 900" in said


def test_a_limit_in_the_text_that_is_not_the_columns_is_noted(tmp_path):
    head = "ID,TIME,DV,LLOQ,ULOQ,UNIT\n"
    text = "1,0,<20,50,900,pg/mL\n1,1,<50,50,900,pg/mL\n1,2,>800,50,900,ng/mL\n1,3,<50,.,.,pg/mL\n"
    trial = read(tmp_path, head + text, endpoints="il6")
    np.testing.assert_array_equal(trial["lloq"], [20, 50, 50_000, 50])
    said = notes(trial)
    assert "different LLOQs in 1 record (row 2): '<20' beside 50" in said
    assert "different ULOQs in 1 record (row 4): '>800' beside 900" in said
    agreed = read(tmp_path, head + "1,0,<50,50,900,pg/mL\n", endpoints="il6", lloq=10)
    assert "different" not in notes(agreed)


def test_a_time_that_elsewhere_means_missing_is_pointed_out(tmp_path):
    text = "ID,TIME,DV\n1,-99,4\n1,1,5\n2,-99.0,4\n2,1,5\n"
    trial = read(tmp_path, text)
    np.testing.assert_array_equal(trial["time"], [-99, 1, -99, 1])
    assert "TIME is -99 in 2 records (rows 2, 4), which is taken as a time" in notes(trial)
    with pytest.raises(DataError) as caught:
        read(tmp_path, text, missing=[-99])
    assert {p.code for p in caught.value.problems} == {"missing_time"}
    assert "is taken as a time" not in notes(read(tmp_path, text.replace("-99", "-98")))


@pytest.mark.parametrize(
    ("times", "why"),
    [
        ("0 4 6480", "Times run to 6480; they are taken to be in days. If they are hours"),
        ("0 2 24 48 168 672", "Times run to 672 and are mostly multiples of 24; they"),
        ("0 1 7 28 3650", ""),
        ("0 24 48 96", ""),  # three of them may be chance
        ("0 24 48 96 100 192 365", ""),
    ],
)
def test_times_without_a_unit_that_look_like_hours_are_pointed_out(tmp_path, times, why):
    text = "ID,TIME,DV\n" + "".join(f"1,{t},5\n" for t in times.split())
    guesses = data.import_report(read(tmp_path, text)).guesses
    said = [g for g in guesses if g.startswith(why or "Times are in days")]
    assert len(said) == 1
    for unit in ("h", "day"):
        report = data.import_report(read(tmp_path, text, time_unit=unit))
        assert not [g for g in report.guesses if g.startswith("Times")]


CDISC = (
    "PCTPTNUM PCTPT PCSEQ VISIT VISITNUM ADT ADTM ATPT ATPTN AVISIT AVISITN ASEQ PCDTC PCORRES "
    "PCSPEC PCMETHOD PCELTM PCDY ADY LBSEQ CPTPT GFSPEC ISDTC CHG"
)


def test_columns_of_cdisc_that_vary_by_record_are_set_aside(tmp_path):
    head = ",".join(["USUBJID", "TIME", "AVAL", "PCSTRESC", "SEX", *CDISC.split()])
    n = len(CDISC.split())
    text = f"{head}\n1,0,5,5,F{',a' * n}\n1,1,6,6,F{',b' * n}\n"
    trial = read(tmp_path, text)
    assert [v for v in trial.data_vars if trial[v].dims == ("id",)] == ["sex"]
    assert trial["sex"].item() == "F"
    assert "aside, because they describe records and not patients: PCTPTNUM, PCTPT" in notes(trial)
    unused = {c.header for c in data.import_report(trial).columns if c.column == "not used"}
    assert unused == set(CDISC.split())


def test_a_study_day_as_time_says_that_its_first_day_is_1(tmp_path):
    text = "ID,ADY,DV\n1,-1,4\n1,1,5\n1,8,6\n"
    plain = read(tmp_path, text, columns={"TIME": "ADY"})
    np.testing.assert_array_equal(plain["time"], [-1, 1, 8])
    assert "CDISC study days call the first day 1" in notes(plain)
    counted = read(tmp_path, text, columns={"TIME": "ADY"}, day_one=True)
    np.testing.assert_array_equal(counted["time"], [-1, 0, 7])
    assert "CDISC study days" not in notes(counted)


def test_a_second_infusion_with_evid_4_on_a_running_clock_is_fine(tmp_path):
    head = "ID,TIME,DV,AMT,EVID\n1,0,.,1e7,4\n1,7,5,.,0\n"
    trial = read(tmp_path, head + "1,28,.,2e7,4\n1,35,6,.,0\n2,0,.,1e7,4\n2,7,5,.,0\n")
    np.testing.assert_array_equal(trial["dose_time"], [0, 28, 0])
    late = read(tmp_path, "ID,TIME,DV,AMT,EVID\n1,7,5,.,0\n1,0,.,1e7,4\n", sort=True)
    np.testing.assert_array_equal(late["time"], [7])


def test_points_that_may_all_separate_thousands_are_pointed_out(tmp_path):
    text = "ID;TIME;DV\n1;0;.\n1;1;12.345\n1;2;1.234\n1;3;7\n"
    trial = read(tmp_path, text)
    np.testing.assert_array_equal(trial["dv"], [12.345, 1.234, 7])
    assert "three digits after it, such as '12.345' in row 3" in notes(trial)
    for clear in (text.replace(";7", ";7.5"), text.replace("1.234", "0.234")):
        assert "three digits" not in notes(read(tmp_path, clear))
    assert "three digits" not in notes(read(tmp_path, text, decimal="."))
    assert "three digits" not in notes(read(tmp_path, text.replace(";", ",")))
