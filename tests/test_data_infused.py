"""Amounts, planned doses and dates of infusion in the table of patients; units in headers.

Expectations are read off the tables by hand; conversions are powers of ten.
"""

import ast
import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cart_pkpd import data, dose, nca
from cart_pkpd._core.errors import DataError
from cart_pkpd._core.units import canonical

SAMPLES = """\
Pt #,Collected,Assay,Reported result,Reported unit,Lower limit,Lab comment
1-1,09-Mar-2026 13:30,CAR qPCR,<40,copies/ug DNA,40,
1-1,16-Mar-2026 11:30,CAR qPCR,2140,copies/ug DNA,40,
1-1,16-Mar-2026 11:30,IL-6,87.5,pg/mL,2,thawed once
1-2,21-Mar-2026 09:00,CAR qPCR,410,copies/ug DNA,40,first run
1-2,28-Mar-2026 09:00,CAR qPCR,BLQ,copies/ug DNA,40,second run
"""
PATIENTS = """\
Pt #,Infusion date,CAR+ cells infused (10^6),Cohort dose (10^6),Age (years),DLT (Y/N)
1-1,09-Mar-2026 11:30,10.46,10,61,N
1-2,14-Mar-2026 09:00,52,50,44,Y
1-3,20-Mar-2026 10:00,49.5,50,70,N
"""
ROLES = {
    "ID": "Pt #", "TIME": "Collected", "DV": "Reported result", "UNIT": "Reported unit",
    "LLOQ": "Lower limit", "AMT": "CAR+ cells infused (10^6)", "DOSELEVEL": "Cohort dose (10^6)",
}  # fmt: skip


def frame(text, **kwargs):
    return pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False, **kwargs)


def read(samples=SAMPLES, patients=PATIENTS, **kwargs):
    kwargs = {"columns": ROLES, "endpoints": {"CAR qPCR": "transgene"}, "echo": False} | kwargs
    found = None if patients is None else frame(patients)
    return data.read_table(frame(samples), subjects=found, **kwargs)


def test_amounts_planned_doses_and_dates_come_from_the_table_of_patients():
    trial = read()
    assert trial["dose_patient"].values.tolist() == ["1-1", "1-2", "1-3"]
    assert trial["amount"].values.tolist() == [1.046e7, 5.2e7, 4.95e7]
    assert trial["amount"].attrs["units"] == "cells"
    assert trial["dose_time"].values.tolist() == [0.0, 0.0, 0.0]
    assert trial["dose_level"].values.tolist() == [1e7, 5e7, 5e7]
    assert trial["dose_level"].attrs["units"] == "cells"
    assert trial["time"].values.tolist() == pytest.approx([2 / 24, 7.0, 7.0, 7.0, 14.0])
    assert trial["age"].attrs["units"] == "year"
    assert set(trial.data_vars) & {"lab_comment", "cohort_dose"} == set()


def test_the_report_says_where_infusions_come_from():
    report = data.import_report(read())
    assert ("AMT", "CAR+ cells infused (10^6)", "from DataFrame") in [
        (c.column, c.header, c.how) for c in report.columns
    ]
    said = " ".join(report.notes)
    assert (
        "3 infusions come from DataFrame ('CAR+ cells infused (10^6)'), each at its date." in said
    )
    assert "Dosed, but without any observation: '1-3'." in said
    assert "Dose levels were converted from 10^6 ('Cohort dose (10^6)') to cells." in said
    assert report.n_doses == 3


def test_dose_decisions_and_nca_take_such_a_trial():
    trial = read()
    counted = dose.data(trial, levels=dose.Levels((1e7, 5e7), "cells", within=(0.9, 1.1))).table()
    assert counted["evaluable"].tolist() == [1, 2]
    assert counted["dlts"].tolist() == [0, 1]
    assert trial["dlt"].values.tolist() == [0.0, 1.0, 0.0]
    dosed = nca.table(trial, endpoint="transgene")["dose"].sel(id="1-1").item()
    assert dosed == 1.046e7


@pytest.mark.parametrize(("day_one", "days"), [(False, [7.0, 28.0]), (True, [6.0, 27.0])])
def test_infusions_are_at_time_zero_where_times_are_numbers(day_one, days):
    samples = "ID,DAY,DV,EVID,MDV\n01,7,100,0,0\n01,28,90,0,0\n"
    trial = read(samples, "ID,AMT\n01,2e6\n", columns=None, endpoints=None, day_one=day_one)
    assert trial["dose_time"].values.tolist() == [0.0]
    assert trial["time"].values.tolist() == days
    report = data.import_report(trial)
    assert "Column 'AMT' of DataFrame is AMT; columns={'AMT': …} says otherwise." in report.guesses


def test_records_of_doses_come_before_the_table_of_patients():
    samples = "ID,TIME (d),DV,AMT\n01,0,.,3e6\n01,7,100,.\n"
    trial = read(samples, "ID,AMT,AGE\n01,2e6,50\n", columns=None, endpoints=None)
    assert trial["amount"].values.tolist() == [3e6]
    off = read(samples.replace(",AMT", ",X").replace("3e6", "1").replace("0,.", "0,5"),
               "ID,AMT,AGE\n01,2e6,50\n", columns={"AMT": None}, endpoints=None)  # fmt: skip
    assert off.sizes["dosing"] == 0


def test_the_decimal_signs_of_the_two_tables_may_differ(tmp_path):
    (tmp_path / "samples.csv").write_text("ID;TIME (d);DV\n01;7;1,5\n01;14;2,25\n")
    (tmp_path / "patients.csv").write_text("ID,Cells (10^6)\n01,10.46\n")
    trial = data.read_table(
        tmp_path / "samples.csv", subjects=tmp_path / "patients.csv",
        columns={"AMT": "Cells (10^6)"}, echo=False,
    )  # fmt: skip
    assert trial["dv"].values.tolist() == [1.5, 2.25]
    assert trial["amount"].values.tolist() == [1.046e7]


@pytest.mark.parametrize(
    ("header", "dose_unit", "amount", "unit"),
    [
        ("AMT (10^6)", None, 1.04e7, "cells"),
        ("AMT (10^6/kg)", None, 1.04e7, "cells/kg"),
        ("AMT (10^6 cells)", None, 10.4, "10^6*cells"),
        ("AMT (10^6 cells)", "cells", 1.04e7, "cells"),
        ("AMT (x10^6 viable CAR+ T cells)", "cells", 1.04e7, "cells"),
        ("AMT (10^6)", "10^3 cells", 1.04e4, "10^3*cells"),
        ("AMT (10^6/kg)", "cells/kg", 1.04e7, "cells/kg"),
        ("AMT", "10^6 cells", 10.4, "10^6*cells"),
    ],
)
def test_amounts_are_brought_from_the_unit_of_their_header_to_dose_unit(
    header, dose_unit, amount, unit
):
    samples = f"ID,TIME (d),DV,{header}\n01,0,.,10.4\n01,7,100,.\n"
    trial = read(samples, None, columns=None, endpoints=None, dose_unit=dose_unit)
    assert trial["amount"].values.tolist() == pytest.approx([amount], rel=1e-12)
    assert trial["amount"].attrs["units"] == unit


def test_a_header_of_another_kind_than_dose_unit_is_refused():
    samples = "ID,TIME (d),DV,AMT (10^6/kg)\n01,0,.,10.4\n01,7,100,.\n"
    with pytest.raises(DataError, match=r"10\^6\*cells/kg.*can not be converted to 'cells'"):
        read(samples, None, columns=None, endpoints=None, dose_unit="cells")


@pytest.mark.parametrize(("said", "unit"), [
    ("CAR+ cells/uL", "cells/µL"), ("10^6 CAR-T cells/kg", "10^6*cells/kg"),
    ("CAR-positive T cells", "cells"), ("years", "year"),
])  # fmt: skip
def test_spellings_of_cells_and_years(said, unit):
    assert canonical(said) == unit


def test_a_text_that_changes_within_patients_is_one_problem_with_what_may_be_meant():
    columns = {k: ROLES[k] for k in ("ID", "TIME", "DV", "LLOQ")}
    samples = SAMPLES.replace("Assay", "What")
    with pytest.raises(DataError) as caught:
        read(samples, columns=columns, endpoints=None)
    found = [p for p in caught.value.problems if p.code == "covariate_changes"]
    assert [p.column for p in found] == ["What", "Reported unit"]
    assert "If it says what was measured, pass columns={'DVID': 'What'}" in found[0].message
    with pytest.raises(DataError) as caught:
        read(SAMPLES.replace("Lab comment", "Freezer"), endpoints=None)
    (found,) = caught.value.problems
    assert "changes within patient '1-2'" in found.message
    kept = found.message.split("covariates=")[1].rstrip(".")
    trial = read(SAMPLES.replace("Lab comment", "Freezer"), covariates=ast.literal_eval(kept))
    assert trial["dose_level"].values.tolist() == [1e7, 5e7, 5e7]
    assert "freezer" not in trial


def test_the_planned_dose_stays_beside_other_covariates():
    trial = read(covariates=["Age (years)"])
    assert trial["dose_level"].values.tolist() == [1e7, 5e7, 5e7]
    assert "dlt" not in trial


def test_columns_that_are_in_neither_table_are_refused_with_both_headers():
    with pytest.raises(DataError, match=r"'Cells' for AMT, .*Those of the table of pat"):
        read(columns=ROLES | {"AMT": "Cells"})


def test_patients_written_in_two_ways_are_told_and_not_dosed():
    with pytest.raises(DataError, match="no patient of the table is in"):
        read(patients=PATIENTS.replace("\n1-", "\nP1-"))


def test_an_amount_that_is_no_number_is_refused_with_its_patient():
    with pytest.raises(DataError, match=r"'about 50' is not a number \(patient '1-2', row 3"):
        read(patients=PATIENTS.replace("52,50", "about 50,50"))


def test_an_amount_that_is_missing_is_no_infusion():
    trial = read(patients=PATIENTS.replace("52,50", ",50"))
    assert trial["dose_patient"].values.tolist() == ["1-1", "1-3"]
    assert np.isfinite(trial["time"].values).all()


def test_the_tables_of_the_quick_start_are_read_graded_and_decided(monkeypatch):
    """The counts are those of the files (grep); the decision is that of BOIN's boundaries."""
    home = Path(__file__).resolve().parents[1]
    monkeypatch.chdir(home)
    page = (home / "docs" / "start.md").read_text(encoding="utf-8")
    page = page[page.index("## 7. Dates") : page.index("## The same without Python")]
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block, names)
    trial, seen = names["trial"], names["seen"]
    samples = frame((home / "examples/clinic/samples.csv").read_text(encoding="utf-8"))
    assert trial.sizes["obs"] == (samples["Reported result"] != "not done").sum()
    assert trial.sizes["dosing"] == 18
    assert seen.table()["dlts"].tolist() == [0, 1, 1]
    grades = trial["crs_grade"].values
    assert [int((grades == g).sum()) for g in range(5)] == [1, 4, 7, 5, 1]
    assert names["boin"].recommend(seen).sentence in page
