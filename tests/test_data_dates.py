"""Tables whose times are dates, and headers of the planned dose."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from cart_pkpd import data
from cart_pkpd._core.errors import DataError, Problem

CLINIC = """\
Pat.-Nr.;Sampling date;Result;Cells;Cohort dose
P-1;13.01.2025;;1,04e7;1e7
P-1;12.01.2025;BLQ;;1e7
P-1;20.01.2025;123,4;;1e7
P-1;10.02.2025;88,5;;1e7
P-2;28.02.2024;;2,9e7;3e7
P-2;01.03.2024;77,7;;3e7
"""
ROLES = {"TIME": "Sampling date", "AMT": "Cells"}


def read(tmp_path, text, **options):
    path = tmp_path / "clinic.csv"
    path.write_text(text, encoding="utf-8")
    return data.read_table(path, echo=False, **({"lloq": 50} | options))


def problems(tmp_path, text, **options):
    with pytest.raises(DataError) as caught:
        read(tmp_path, text, **options)
    return caught.value


def test_dates_count_from_the_dose_record(tmp_path):
    trial = read(tmp_path, CLINIC, columns=ROLES)
    # 2024 is a leap year: 28 February to 1 March are two days.
    assert_array_equal(trial["time"], [-1, 7, 28, 2])
    assert_array_equal(trial["dose_time"], [0, 0])
    assert_array_equal(trial["dose_level"], [1e7, 3e7])
    assert "Times are dates" in str(data.import_report(trial))


def test_the_table_of_the_same_days_reads_the_same(tmp_path):
    dated = read(tmp_path, CLINIC, columns=ROLES)
    days = ["0", "-1", "7", "28", "0", "2"]
    lines = CLINIC.splitlines()
    cells = [line.split(";") for line in lines[1:]]
    counted = [lines[0], *(";".join([c[0], d, *c[2:]]) for c, d in zip(cells, days, strict=True))]
    plain = read(tmp_path, "\n".join(counted), columns=ROLES)
    # Only the dates tell who was treated when.
    assert "infusion_day" not in plain
    assert dated.drop_vars("infusion_day").drop_attrs().identical(plain.drop_attrs())


@pytest.mark.parametrize("written", ["{:%Y-%m-%d}", "{:%d-%b-%Y}", "{:%d.%m.%Y}"])
def test_usual_spellings_of_dates(tmp_path, written):
    rows = [("2024-02-28", "."), ("2024-03-01", "60")]
    cells = [(written.format(pd.Timestamp(d)), v) for d, v in rows]
    text = "ID,TIME,DV,AMT\n" + "".join(
        f"1,{d},{v},{'1e7' if v == '.' else '.'}\n" for d, v in cells
    )
    assert_array_equal(read(tmp_path, text)["time"], [2])


def test_times_of_day_count_where_both_have_one(tmp_path):
    text = (
        "ID,TIME,DV,AMT\n1,2024-03-01T12:00,.,1e7\n1,2024-03-01T18:00,60,.\n1,2024-03-08,70,.\n"
        "2,2024-03-01,.,1e7\n2,2024-03-02T18:00,80,.\n"
    )
    assert_array_equal(read(tmp_path, text)["time"], [0.25, 7, 1])


def test_a_column_of_the_infusion_date_in_either_table(tmp_path):
    text = "ID,TIME,DV\n1,2024-03-08,70\n2,2024-03-09,80\n"
    starts = pd.DataFrame({"ID": ["1", "2"], "Date of infusion": ["2024-03-01", "2024-03-02"]})
    joined = read(tmp_path, text, subjects=starts.assign(AGE=[50, 60]))
    assert_array_equal(joined["time"], [7, 7])
    assert set(joined.data_vars) >= {"age"}
    assert not {v for v in joined.data_vars if "date" in str(v)}
    own = "ID,TIME,Start,DV\n1,2024-03-08,2024-03-01,70\n2,2024-03-09,2024-03-02,80\n"
    assert_array_equal(read(tmp_path, own, columns={"INFUSION": "Start"})["time"], [7, 7])


def test_columns_of_dates_in_a_data_frame():
    frame = pd.DataFrame({
        "ID": [1, 1], "TIME": pd.to_datetime(["2024-03-01", "2024-03-08"]), "DV": [np.nan, 70.0],
        "AMT": [1e7, np.nan],
    })  # fmt: skip
    assert_array_equal(data.read_table(frame, echo=False)["time"], [7])


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("03/08/2024", "day and month cannot be told apart"),
        ("30.02.2024", "no such date"),
        ("2024-03", "not complete"),
        ("7", "other times of the table are dates"),
    ],
)
def test_a_date_that_cannot_be_read_is_told(tmp_path, cell, says):
    text = f"ID,TIME,DV,AMT\n1,2024-03-01,.,1e7\n1,{cell},70,.\n1,2024-03-20,70,.\n"
    (found,) = problems(tmp_path, text).problems
    assert says in found.message
    assert (found.patient, found.row, found.column, found.value) == ("1", 3, "TIME", cell)


def test_without_a_date_of_infusion(tmp_path):
    (found,) = problems(tmp_path, "ID,TIME,DV\n1,2024-03-08,70\n").problems
    assert found.code == "date_in_time"
    assert "Infusion date" in found.message


@pytest.mark.parametrize(
    ("start", "code"), [("2024-03-02", "two_infusion_dates"), ("soon", "bad_infusion_date")]
)
def test_wrong_dates_of_infusion(tmp_path, start, code):
    text = f"ID,TIME,DV,INFDT\n1,2024-03-08,70,2024-03-01\n1,2024-03-09,70,{start}\n"
    assert problems(tmp_path, text).problems[0].code == code


def test_a_few_dates_among_numbers_are_mistakes(tmp_path):
    text = "ID,TIME,DV\n1,0,1\n1,2024-03-08,70\n1,9,70\n"
    found = problems(tmp_path, text)
    assert [p.row for p in found.problems] == [3]
    assert "Give the time since infusion in days" in str(found)


def test_a_date_column_is_proposed_for_the_time(tmp_path):
    assert "Did you mean 'Sampling date'?" in str(problems(tmp_path, CLINIC))


def test_the_planned_dose_can_be_named(tmp_path):
    text = "ID,TIME,DV,AMT,Stufe\n" + "".join(
        f"{i},0,.,{1e7 + i * 1e5},1e7\n{i},7,90,.,1e7\n" for i in range(8)
    )
    guessed = read(tmp_path, text)
    assert len(np.unique(guessed["dose_level"])) == 8
    assert "8 of 8 patients. columns={'DOSELEVEL': …}" in " ".join(
        str(data.import_report(guessed)).split()
    )
    named = read(tmp_path, text, columns={"DOSELEVEL": "Stufe"})
    assert_array_equal(named["dose_level"], np.full(8, 1e7))
    assert "planned dose" not in str(data.import_report(named))
    other = text.replace("Stufe", "Dose")  # what columns= names stands before a usual header
    both = "\n".join(
        f"{line},{'Plan' if k == 0 else 3e7}" for k, line in enumerate(other.splitlines())
    )
    assert_array_equal(
        read(tmp_path, both, columns={"DOSELEVEL": "Plan"})["dose_level"], np.full(8, 3e7)
    )


def test_decimal_commas_in_a_frame_of_subjects(tmp_path):
    subjects = pd.DataFrame({
        "ID": ["P-1", "P-2"], "Weight": ["72,3", "55,9"], "Height": [1.7, np.nan],
        "Count": ["1,234", ""],
    })  # fmt: skip
    trial = read(tmp_path, CLINIC, columns=ROLES, subjects=subjects)
    assert_array_equal(trial["weight"], [72.3, 55.9])
    assert_array_equal(trial["height"], [1.7, np.nan])
    assert_array_equal(trial["count"], [1.234, np.nan])  # the table's own sign is a comma


def test_a_message_shows_every_kind_of_problem_before_more_of_one():
    same = [Problem("a", f"first {i}.", row=i, column="X") for i in range(5)]
    other = Problem("b", "another.", row=9, column="X")
    assert str(DataError([*same, other])) == "first 0.\nanother.\nfirst 1.\n(and 3 more)"


# --- the day of the trial on which a patient was treated -----------------------------------------


def test_the_day_of_infusion_counts_from_the_first_patients(tmp_path):
    """28 February 2024 to 13 January 2025 are 320 days, by Python's calendar."""
    trial = read(tmp_path, CLINIC, columns=ROLES)
    apart = (pd.Timestamp("2025-01-13") - pd.Timestamp("2024-02-28")).days
    assert_array_equal(trial["infusion_day"].sel(id=["P-1", "P-2"]), [apart, 0])
    assert trial["infusion_day"].attrs["units"] == "day"
    again = data.read_table(data.write_table(trial), echo=False)
    assert_array_equal(again["infusion_day"], trial["infusion_day"])


def test_it_comes_from_a_table_of_patients_also_where_times_are_days(tmp_path):
    text = "ID,TIME,DV,AMT\n1,0,.,1e7\n1,7,90,.\n2,0,.,1e7\n2,7,80,.\n3,0,.,1e7\n3,7,70,.\n"
    who = pd.DataFrame({"ID": [1, 2, 3], "Infusion date": ["2024-05-02T11:30", "2024-05-01", ""]})
    trial = read(tmp_path, text, subjects=who)
    assert_array_equal(trial["infusion_day"], [1, 0, np.nan])
    own = read(tmp_path, text, subjects=who.assign(INFUSION_DAY=[30, 20, 10]))
    assert_array_equal(own["infusion_day"], [30, 20, 10])  # a column of the table goes first
    assert "infusion_day" not in read(tmp_path, text)


def test_dates_of_infusion_can_be_had_beside_the_trial():
    """For further tables of the same patients; the trial itself holds none."""
    from cart_pkpd._data.options import Options
    from cart_pkpd._data.read import infusion_dates

    table = pd.DataFrame({
        "ID": ["1", "2"], "TIME": ["2024-05-03", "2024-05-09"], "DV": [5.0, 6.0],
        "Infusion date": ["02-May-2024 11:30", "2024-05-07"],
    })  # fmt: skip
    found = infusion_dates(table, None, Options())
    assert found == {"1": "2024-05-02T11:30:00", "2": "2024-05-07"}
    trial = data.read_table(table, echo=False)
    assert "2024" not in str(trial.to_dict())
