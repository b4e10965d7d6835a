"""Lesions, follow-up and vital signs as hospitals export them: what is read, and what is refused.

Expected values are written out by hand beside each file.
"""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from cart_pkpd import endpoints
from cart_pkpd._core.errors import DataError

LESIONS = """PATIENT,VISIT,DAY,LESION,KIND,DIAMETER
01,Baseline,-7,T1,target,40.5
01,Week 4,28,T1,target,20.25
"""


def written(folder, text, name="table.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def semicolons(text):
    return text.replace(",", ";").replace(".", ",")


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t,
        lambda t: t.replace(",", ";"),
        lambda t: t.replace(",", "\t"),
        semicolons,
        lambda t: semicolons(t).replace(";", "\t"),
        lambda t: "\ufeff" + t,
        lambda t: t.replace("\n", "\r\n"),
        lambda t: t.replace("Week 4", '"Week 4"'),
        lambda t: t + "\n\n",
        lambda t: t.replace("-7", "−7"),
    ],
    ids=["comma", "semicolon", "tab", "decimal comma", "tab and decimal comma", "byte order mark",
         "Windows lines", "quotes", "blank lines", "typographic minus"],
)  # fmt: skip
def test_the_usual_ways_to_write_a_table_give_one_answer(tmp_path, change):
    found = endpoints.read_lesions(written(tmp_path, change(LESIONS)))
    assert found["day"].tolist() == [-7, 28]
    assert found["diameter"].tolist() == [40.5, 20.25]
    assert endpoints.recist(found)["overall"].tolist() == ["", "PR"]


def test_latin_1_names_of_sites_are_read(tmp_path):
    text = LESIONS.replace("KIND", "SITE,KIND").replace("T1,", "T1,Lunge über,")
    found = endpoints.read_lesions(written(tmp_path, text, encoding="latin-1"))
    assert found["site"].tolist() == ["Lunge über"] * 2


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("2026-03-02", "2026-04-06"),
        ("2026-03-02T14:30", "2026-04-06T09:00"),
        ("02.03.2026", "06.04.2026"),
        ("02-Mar-2026", "06-Apr-2026"),
        ("02MAR2026", "06APR2026"),
    ],
)
def test_dates_count_from_the_infusion(tmp_path, first, second):
    """Infusion on 9 March 2026: 2 March is day −7, 6 April day 28."""
    text = LESIONS.replace("-7", first).replace("28", second).replace("DAY", "DATE")
    path = written(tmp_path, text)
    given = endpoints.read_lesions(path, infusion={"01": "2026-03-09"})
    assert given["day"].tolist() == [-7, 28]
    column = text.replace("KIND", "INFUSION_DATE,KIND").replace("T1,", "T1,09.03.2026,")
    assert endpoints.read_lesions(written(tmp_path, column))["day"].tolist() == [-7, 28]


def test_dates_of_infusion_may_be_a_series(tmp_path):
    """As a table of subjects has them: by an index of names or numbers, some missing."""
    text = LESIONS.replace("-7", "2026-03-02").replace("28", "2026-04-06").replace("DAY", "DATE")
    path = written(tmp_path, text)
    dates = pd.to_datetime(pd.Series({"01": "2026-03-09", "02": None}))
    assert endpoints.read_lesions(path, infusion=dates)["day"].tolist() == [-7, 28]
    path = written(tmp_path, text.replace("01,", "1,"))
    dates = pd.Series(["2026-03-09", "2026-03-10"], index=[1.0, 2.0])
    assert endpoints.read_lesions(path, infusion=dates)["day"].tolist() == [-7, 28]
    with pytest.raises(DataError, match="infusion= has two dates for patient 1; days count from"):
        endpoints.read_lesions(path, infusion=pd.Series(["2026-03-09"] * 2, index=[1, 1]))
    with pytest.raises(DataError, match="the date of the infusion is not known"):
        endpoints.read_lesions(path, infusion=pd.Series([pd.NaT], index=["1"]))
    follow = pd.DataFrame({"ID": ["1"], "DEATH_DAY": ["2026-03-19"]})
    assert endpoints.read_followup(follow, infusion=dates)["death_day"].tolist() == [10]


def test_adsl_is_a_follow_up_of_dates():
    """Infusion 2026-03-09: death on 17 June is day 100, the last contact of 02 day 60."""
    adsl = pd.DataFrame(
        {"USUBJID": ["01", "02"], "TRTSDT": [pd.Timestamp("2026-03-09")] * 2,
         "DTHDT": [pd.Timestamp("2026-06-17"), pd.NaT], "DTHCAUS": ["disease", ""],
         "LSTALVDT": [pd.NaT, pd.Timestamp("2026-05-08")],
         "DCSREAS": ["DEATH", "LOST TO FOLLOW-UP"]}
    )  # fmt: skip
    found = endpoints.read_followup(adsl, columns={"infusion": "TRTSDT"})
    assert_allclose(found["death_day"], [100, np.nan])
    assert_allclose(found["last_contact_day"], [100, 60])
    assert found["lost"].tolist() == [False, True]
    times = endpoints.os(found)
    assert times["time"].tolist() == [101, 61]
    assert times["event"].tolist() == [True, False]


BASELINES = {
    "flag": ("VISIT,ABLFL", ["C1,", "V2,Y", "V3,"], [-20.0, -7.0, 28.0], "before the baseline"),
    "name": ("VISIT", ["Screening (D-28 to D-1)", "V2"], [-7.0, 28.0], -7.0),
    "pre-infusion": ("VISIT", ["PRE-INFUSION", "V2"], [-3.0, 28.0], -3.0),
    "preinfusion": ("VISIT", ["Pre_Infusion", "V2"], [0.0, 28.0], 0.0),
    "day": ("VISIT", ["V1", "V2"], [-1.0, 28.0], -1.0),
    "flag over name": ("VISIT,TRBLFL", ["V1,Y", "SCREENING,"], [-1.0, 28.0], -1.0),
    "name over day": ("VISIT", ["Baseline", "V2"], [-7.0, 0.0], -7.0),
    "late flag": ("VISIT,ABLFL", ["V1,", "V2,Y"], [-1.0, 28.0], "is on day 28, after the infusion"),
    "two flags": ("VISIT,ABLFL", ["V1,Y", "V2,Y"], [-9.0, -1.0], "as the baseline on days -9 and"),
}  # fmt: skip


@pytest.mark.parametrize("case", BASELINES)
def test_the_baseline_is_flagged_or_called_so_or_the_last_by_day_0(tmp_path, case):
    names, cells, days, expected = BASELINES[case]
    rows = [f"01,{c},{d},T1,target,40" for c, d in zip(cells, days, strict=True)]
    text = f"ID,{names},DAY,LESION,KIND,DIAMETER\n" + "\n".join(rows) + "\n"
    path = written(tmp_path, text)
    if isinstance(expected, str):
        with pytest.raises(DataError, match=expected):
            endpoints.read_lesions(path)
        return
    found = endpoints.read_lesions(path)
    assert found.loc[found["visit"] == "baseline", "day"].tolist() == [expected]


# --- what a data manager's file may hold ---------------------------------------------------------


def lesions(**cells):
    """The lesion table with the cells of its second row changed."""
    row = {"PATIENT": "01", "VISIT": "Week 4", "DAY": "28", "LESION": "T1", "KIND": "target",
           "DIAMETER": "20.25"} | cells  # fmt: skip
    return "\n".join([*LESIONS.splitlines()[:2], ",".join(row.values())]) + "\n"


def followup(*rows, header="ID;DEATH_DAY;LAST_CONTACT_DAY;LOST"):
    return "\n".join([header, *rows]) + "\n"


def vitals(*rows, header="id,day,temperature,oxygen,vasopressors"):
    return "\n".join([header, *rows]) + "\n"


READERS = {
    "lesions": endpoints.read_lesions, "followup": endpoints.read_followup,
    "vitals": endpoints.crs_grade,
}  # fmt: skip
BROKEN = [
    ("lesions", lesions(DIAMETER='"20,25"'), "'20,25'; write it with a decimal point"),
    ("lesions", lesions(DIAMETER="20 mm"), "'20 mm'; write a number"),
    ("lesions", lesions(DIAMETER="<5"), "'<5'; write a number"),
    ("lesions", lesions(DIAMETER="20x15"), "'20x15'; write a number"),
    ("lesions", lesions(DIAMETER="#REF!"), "a spreadsheet's error"),
    ("lesions", lesions(DIAMETER="inf"), "write a finite number"),
    ("lesions", lesions(DIAMETER="-20"), "the diameter -20 mm; a diameter is 0 or more"),
    ("lesions", lesions(DAY="46119"), "looks like a date that was written as a number"),
    ("lesions", lesions(DAY="2026-04-06"), "the other cells of the column are dates"),
    ("lesions", lesions(DAY="D28"), "the day of patient 01 in row 3 is 'D28'"),
    ("lesions", lesions(DAY=""), r"row 3 \(patient 01\) has no day"),
    ("lesions", lesions(DAY="-8"), "before the baseline on day -7"),
    ("lesions", lesions(DAY="-7"), "two assessments on day -7"),
    ("lesions", lesions(KIND="Zielläsion"), "write one of: target, non-target, new"),
    ("lesions", lesions(KIND=""), "the kind of patient 01 in row 3 is ''"),
    ("lesions", lesions(PATIENT=""), "row 3 names no patient"),
    ("lesions", lesions(LESION=""), "row 3 .patient 01. names no lesion"),
    ("lesions", lesions(LESION="T2"), "first appears on day 28"),
    ("lesions", LESIONS + "01,Week 4,28,T1,target,21\n", "stands twice on day 28"),
    ("lesions", LESIONS.replace("40.5", "40,5"), "7 cells where the header has 6"),
    ("lesions", LESIONS.replace(",20.25", ""), "5 cells where the header has 6"),
    ("lesions", LESIONS.replace("VISIT", "DAY"), "the header 'DAY' appears 2 times"),
    ("lesions", LESIONS.splitlines()[0], "a header and no rows"),
    ("lesions", "PATIENT\n01\n", "single column"),
    ("lesions", "<html><body>", "is a web page"),
    ("lesions", LESIONS.replace("Week 4", '"Week 4'), "the quotes"),
    ("lesions", LESIONS.replace("DIAMETER", "SUM"), "no column for 'diameter'"),
    ("lesions", semicolons(LESIONS).replace("40,5", "1,234").replace("20,25", "2,345"),
     "can be read with a decimal comma or with a comma between thousands"),
    ("followup", followup("01;100;;"), None),
    ("followup", followup("01;100;;", "01;90;;"), "patient 01 stands twice"),
    ("followup", followup("01;yes;;"), "the death_day of patient 01 in row 2 is 'yes'"),
    ("followup", followup("01;17.06.2026;;"), "the date of the infusion is not known"),
    ("followup", followup("01;06/17/2026;;"), "day and month cannot be told apart"),
    ("followup", followup("01;2026-06;;"), "the date is not complete"),
    ("followup", followup("01;2026-02-30;;"), "there is no such date as 2026-02-30"),
    ("followup", followup("01;100;120;"), "a contact on day 120, after the death on day 100"),
    ("followup", followup("01;;100;perhaps"), "the lost of patient 01 in row 2 is 'perhaps'"),
    ("followup", followup("01;-20;;"), "died on day -20, before the start on day 0"),
    ("followup", followup(";100;;"), "row 2 names no patient"),
    ("followup", followup("01;100;;", header="ID;Died;Contact;Gone"), "none of the columns"),
    ("followup", followup("01;9.3.26;;"), "is '9.3.26'; write a number"),
    ("vitals", vitals("01,2,101.3,none,0"), "a temperature between 25 and 45"),
    ("vitals", vitals("01,2,38;9,none,0"), "temperature is '38;9'"),
    ("vitals", vitals("01,2,39,O2 mask,0"), "oxygen is 'O2 mask', but must be one of none"),
    ("vitals", vitals("01,2,39,none,1.5"), "a whole number of 0 or more"),
    ("vitals", vitals("01,,39,none,0"), "has no day in row 2"),
    ("vitals", vitals("01,2,39,none,0", header="id,day,temprature,oxygen,vasopressors"),
     "Did you mean 'temperature'"),
    ("vitals", vitals("01,2,39", header="id,day,pulse"), "none of the columns temperature"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "text", "said"), BROKEN, ids=[f"{i:02d}" for i in range(len(BROKEN))]
)
def test_broken_files_have_their_sentence(tmp_path, kind, text, said):
    path = written(tmp_path, text)
    if said is None:
        READERS[kind](path)
        return
    with pytest.raises(DataError, match=said):
        READERS[kind](path)


def test_rows_are_those_of_the_file(tmp_path):
    """Blank lines and remarks count as lines."""
    text = LESIONS.replace("01,Week", "\n\n01,Week").replace("20.25", "twenty")
    with pytest.raises(DataError, match="in row 5 is 'twenty'"):
        endpoints.read_lesions(written(tmp_path, text))


def test_headers_of_vital_signs_are_mapped(tmp_path):
    text = "Pat.;Tag;T max;O2\n01;2;38,9;none\n01;3;39,4;face mask\n"
    found = endpoints.crs_grade(
        written(tmp_path, text),
        columns={"id": "Pat.", "day": "Tag", "temperature": "T max", "oxygen": "O2"},
    )
    assert found.records["temperature"].tolist() == [38.9, 39.4]
    assert found.records["grade"].tolist() == [1, 3]
    dated = text.replace("01;2", "01;11.03.2026 08:00").replace("01;3", "01;12.03.2026 20:00")
    half = endpoints.crs_grade(
        written(tmp_path, dated), infusion={"01": "2026-03-09 08:00"},
        columns={"id": "Pat.", "day": "Tag", "temperature": "T max", "oxygen": "O2"},
    )  # fmt: skip
    assert_allclose(half.records["day"], [2.0, 3.5])
