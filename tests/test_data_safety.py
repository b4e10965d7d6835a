"""Dates of toxicity, grades and doses far off, in the table of patients.

Expectations are differences of dates and powers of ten, worked by hand.
"""

import io

import numpy as np
import pandas as pd
import pytest

from cart_pkpd import data, dose
from cart_pkpd._core.errors import DataError

SAMPLES = """\
ID,Date,CAR qPCR
A,2024-03-08,100
A,2024-03-15,1000
B,2024-03-12,120
B,2024-03-19,900
C,2024-03-16,90
"""
PATIENTS = """\
ID,Infusion date,Dose,Planned dose (cells),DLT,DLT date,Date of CRS,CRS grade
A,2024-03-01,1e7,1e7,Y,28-Mar-2024,2024-03-04,2
B,2024-03-05,1e7,1e7,Y,30-Apr-2024,,0
C,2024-03-09,1e7,1e7,N,,09.03.2024,1
"""


def frame(text):
    return pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)


def read(patients=PATIENTS, **options):
    samples = frame(SAMPLES).melt(["ID", "Date"], var_name="DVID", value_name="DV")
    return data.read_table(
        samples, subjects=frame(patients), columns={"TIME": "Date", "AMT": "Dose"},
        endpoints={"CAR qPCR": "transgene"}, units={"transgene": "copies/ug DNA"}, echo=False,
        **options,
    )  # fmt: skip


def said(trial):
    return str(data.import_report(trial))


def test_dates_of_toxicity_are_days_since_the_infusion():
    trial = read()
    np.testing.assert_array_equal(trial["dlt_day"], [27, 56, np.nan])
    np.testing.assert_array_equal(trial["crs_day"], [3, np.nan, 0])
    assert trial["dlt_day"].attrs["units"] == "day"
    assert "'DLT date' holds dates: 'dlt_day' is the days since the infusion" in said(trial)
    assert "taken as it is written" not in " ".join(said(trial).split())
    seen = dose.data(trial, levels=(1e7,), unit="cells")
    assert seen.dlts.tolist() == [1]  # that of A; day 56 is after the window of 28 days
    assert seen.doubts == ()


def test_a_dated_column_can_be_asked_for_by_the_name_of_its_day():
    trial = read(covariates=["dlt_day"])
    np.testing.assert_array_equal(trial["dlt_day"], [27, 56, np.nan])
    assert "crs_day" not in trial


def test_two_columns_of_dates_do_not_replace_each_other():
    rows = PATIENTS.splitlines()
    more = [f"{rows[0]},Date of DLT", *(f"{r},2024-04-0{i}" for i, r in enumerate(rows[1:], 1))]
    trial = read("\n".join(more) + "\n")
    np.testing.assert_array_equal(trial["dlt_day"], [27, 56, np.nan])
    assert trial["date_of_dlt"].values.tolist() == ["2024-04-01", "2024-04-02", "2024-04-03"]


@pytest.mark.parametrize(
    ("cell", "why"),
    [("03/04/2024", "day and month cannot be told apart"), ("soon", "it is no date such as")],
)
def test_a_date_that_cannot_be_counted_is_named_and_never_ignored(cell, why):
    trial = read(PATIENTS.replace("30-Apr-2024", cell))
    assert f"'DLT date' is '{cell}' for patient 'B', which cannot be counted in days: {why}" in (
        " ".join(said(trial).split())
    )
    with pytest.raises(DataError, match="'dlt_day' is '28-Mar-2024' for patient A"):
        dose.data(trial, levels=(1e7,), unit="cells")


def test_a_date_without_an_infusion_asks_for_it():
    samples = pd.DataFrame({"ID": ["A"], "TIME": [7], "DVID": "transgene", "DV": [5.0]})
    patients = pd.DataFrame({"ID": ["A"], "CRS date": ["2024-03-04"]})
    trial = data.read_table(
        samples, subjects=patients, units={"transgene": "copies/ug DNA"}, echo=False
    )
    assert trial["crs_day"].values.tolist() == ["2024-03-04"]
    assert "add a column 'Infusion date'" in " ".join(said(trial).split())


def test_a_dose_far_off_the_planned_one_points_at_the_unit():
    trial = read(PATIENTS.replace("B,2024-03-05,1e7,1e7", "B,2024-03-05,1e5,1e7"))
    text = " ".join(said(trial).split())
    assert "patient 'B' 1×10⁵ cells, planned 1×10⁷ cells" in text
    assert "Look at the unit in the header." in text
    assert "10-fold" not in said(read())


@pytest.mark.parametrize("grade", ["7", "-1", "2.5"])
def test_grades_that_do_not_exist_are_refused(grade):
    with pytest.raises(DataError, match=rf"'CRS grade' is {grade} for patient 'A'.*from 0 to 5"):
        read(PATIENTS.replace("2024-03-04,2", f"2024-03-04,{grade}"))


def test_a_dlt_is_yes_or_no():
    with pytest.raises(DataError, match="'DLT' is 'maybe' for patient 'C'; it must be yes or no"):
        read(PATIENTS.replace("1e7,N", "1e7,maybe"))
    mixed = read(PATIENTS.replace("1e7,N", "1e7,0"))
    assert mixed["dlt"].values.tolist() == [1, 1, 0]
