"""Vital signs, interventions and follow-up from SDTM domains, as XPT and CSV.

The infusion of S-01 is on 2024-03-06, that of S-02 on 2024-04-10; days are counted by hand.
"""

import importlib.util

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from cart_pkpd import data, endpoints
from cart_pkpd._core.errors import DataError

XPT = pytest.param(
    "xpt", marks=pytest.mark.skipif(importlib.util.find_spec("pyreadstat") is None,
                                    reason="needs pyreadstat"),
)  # fmt: skip


def table(columns, *rows):
    return pd.DataFrame(list(rows), columns=columns.split())


def domains():
    return {
        "ex": table("USUBJID EXTRT EXDOSE EXDOSU EXSTDTC",
                    ("S-01", "CAR-T", 1e7, "cells", "2024-03-06"),
                    ("S-02", "CAR-T", 1e7, "cells", "2024-04-10")),
        "vs": table("USUBJID VSTESTCD VSSTRESN VSSTRESU VSDTC",
                    ("S-01", "TEMP", 36.9, "C", "2024-03-06"),
                    ("S-01", "TEMP", 102.2, "F", "2024-03-08T08:00"),
                    ("S-01", "TEMP", 38.1, "C", "2024-03-08T20:00"),
                    ("S-01", "SYSBP", 82.0, "mmHg", "2024-03-08T20:00"),
                    ("S-01", "TEMP", 37.9, "C", "2024-03-09"),
                    ("S-01", "TEMP", 37.0, "C", "2024-03-11"),
                    ("S-01", "PULSE", 110.0, "", "2024-03-08"),
                    ("S-02", "TEMP", 36.8, "C", "2024-04-11")),
        "cm": table("USUBJID CMDECOD CMCAT CMROUTE CMSTDTC CMENDTC CMENRTPT",
                    ("S-01", "NOREPINEPHRINE BITARTRATE", "", "IV", "2024-03-09", "2024-03-10", ""),
                    ("S-01", "TOCILIZUMAB", "", "IV", "2024-03-08", "", ""),
                    ("S-01", "HYDROCORTISONE", "", "TOPICAL", "2024-03-08", "", ""),
                    ("S-01", "METFORMIN", "", "ORAL", "2024-03-01", "", "ONGOING"),
                    ("S-02", "GEMCITABINE", "SUBSEQUENT ANTI-CANCER THERAPY", "IV", "2024-06-10",
                     "", "")),
        "pr": table("USUBJID PRTRT PRDOSE PRDOSU PRSTDTC PRENDTC",
                    ("S-01", "OXYGEN BY NASAL CANNULA", 4.0, "L/min", "2024-03-08", "2024-03-09")),
        "dm": table("USUBJID DTHDTC DTHFL", ("S-01", "2024-06-14", "Y"), ("S-02", "", "")),
        "ds": table("USUBJID DSDECOD DSSTDTC", ("S-01", "DEATH", "2024-06-14"),
                    ("S-01", "COMPLETED", "2024-06-01"),
                    ("S-02", "LOST TO FOLLOW-UP", "2024-09-01"),
                    ("S-02", "PROGRESSIVE DISEASE", "2024-06-01")),
        "ss": table("USUBJID SSTESTCD SSSTRESC SSDTC",
                    ("S-01", "SURVSTAT", "DEAD", "2024-07-01"),
                    ("S-02", "SURVSTAT", "ALIVE", "2024-08-20")),
    }  # fmt: skip


@pytest.fixture(params=[XPT, "csv"])
def found(request, tmp_path):
    for name, rows in domains().items():
        data.write_dataset(rows, tmp_path / f"{name}.{request.param}")
    return data.read_sdtm(tmp_path)


def test_vital_signs_and_interventions_become_grades(found):
    """102.2 °F are 39 °C; noradrenaline on days 3 and 4; grades by the consensus table."""
    vitals = endpoints.vitals_from_sdtm(found["vs"], found["cm"], found["pr"], systolic_below=90)
    own = vitals[vitals["id"] == "S-01"]
    assert own["day"].tolist() == [0, 2, 3, 4, 5]
    assert_allclose(own["temperature"], [36.9, 39.0, 37.9, np.nan, 37.0])
    assert own["hypotension"].tolist() == [False, True, False, False, False]
    assert own["vasopressors"].tolist() == [0, 0, 1, 1, 0]
    assert own["oxygen"].tolist() == ["", "nasal cannula", "nasal cannula", "", ""]
    assert own["oxygen_flow"].iloc[1] == 4
    assert own["tocilizumab"].tolist() == [False, True, False, False, False]
    assert not own["steroid"].any()
    assert not own["antipyretic"].any()
    grades = endpoints.crs_grade(vitals)
    assert grades.records["grade"].tolist() == [0, 2, 3, 3, 0, 0]
    assert grades.patients["grade"].tolist() == [3, 0]
    assert "VS: tests not used: PULSE; tests= says what they are." in vitals.attrs["notes"]
    assert "CM: 1 records by a local route were not used." in vitals.attrs["notes"]
    assert any("METFORMIN" in note for note in vitals.attrs["notes"])


def test_no_limit_of_pressure_unless_the_protocol_has_one(found):
    vitals = endpoints.vitals_from_sdtm(found["vs"], found["cm"], found["pr"])
    assert not vitals["hypotension"].any()


def test_shorter_records_and_words_of_ones_own():
    """Infusion at noon of 6 March: 8 March, 8:00, is day 1.83, 20:00 is day 2.33."""
    ex = domains()["ex"]
    ex.loc[0, "EXSTDTC"] = "2024-03-06T12:00"
    found = read(ex=ex)
    vitals = endpoints.vitals_from_sdtm(
        found["vs"], found["cm"], every_hours=12, words={"metformin": "steroid", "tocilizumab": ""},
        tests={"pulse": "hypotension"},
    )  # fmt: skip
    own = vitals[vitals["id"] == "S-01"].set_index("day")
    assert_allclose(own.loc[[1.5, 2.0], "temperature"], [39.0, 38.1])
    assert own.loc[2.0, "hypotension"]
    assert not own["tocilizumab"].any()
    assert own["steroid"].any()


def test_disposition_and_status_become_the_follow_up(found):
    """14 June is day 100 of S-01; 20 August day 132 of S-02, 1 June 52, 10 June 61."""
    followup = endpoints.followup_from_sdtm(
        found["dm"], found["ds"], found["ss"], cm=found["cm"], cutoff=200
    )
    assert_allclose(followup["death_day"], [100, np.nan])
    assert_allclose(followup["last_contact_day"], [100, 132])
    assert_allclose(followup["pd_day"], [np.nan, 52])
    assert_allclose(followup["new_therapy_day"], [np.nan, 61])
    assert followup["new_therapy"].tolist() == ["", "GEMCITABINE"]
    assert followup["lost"].tolist() == [False, True]
    assert endpoints.os(followup)["event"].tolist() == [True, False]


def read(**change):
    return data.read_sdtm({**domains(), **change})


@pytest.mark.parametrize(
    ("name", "row", "column", "value", "said"),
    [
        ("cm", 0, "CMENDTC", "", "norepinephrine|NOREPINEPHRINE BITARTRATE from day 3 has no end"),
        ("cm", 0, "CMENDTC", "2024-03-08", "ends on day 2, before its start on 3"),
        ("cm", 1, "CMSTDTC", "", "TOCILIZUMAB has no start"),
        ("vs", 1, "VSSTRESU", "K", "the temperature is in 'K'; it must be C or F"),
        ("vs", 1, "VSSTRESU", "C", "the temperature is 102.2 °C; look at value and unit"),
        ("pr", 0, "PRENDTC", "", "has no end .PRENDTC."),
    ],
)
def test_records_that_cannot_be_used_are_refused(name, row, column, value, said):
    rows = domains()[name]
    rows.loc[row, column] = value
    found = read(**{name: rows})
    with pytest.raises(DataError, match=said):
        endpoints.vitals_from_sdtm(found["vs"], found["cm"], found["pr"])


def test_what_is_ongoing_needs_no_end():
    rows = domains()["cm"]
    rows.loc[0, ["CMENDTC", "CMENRTPT"]] = ["", "ONGOING"]
    found = read(cm=rows)
    vitals = endpoints.vitals_from_sdtm(found["vs"], found["cm"])
    assert vitals.loc[vitals["id"] == "S-01", "vasopressors"].tolist() == [0, 0, 1, 1, 1]


def test_deaths_without_a_day_or_with_two_are_refused():
    found = read(dm=domains()["dm"].assign(DTHDTC=["", ""]))
    with pytest.raises(DataError, match="'S-01': is said to have died on no day"):
        endpoints.followup_from_sdtm(found["dm"])
    found = read(dm=domains()["dm"].assign(DTHDTC=["2024-06-15", ""]))
    with pytest.raises(DataError, match="died on day 101 by one domain and on day 100"):
        endpoints.followup_from_sdtm(found["dm"], found["ds"])
    found = read(ds=domains()["ds"].assign(USUBJID="S-09"))
    with pytest.raises(DataError, match="'S-09': is not in DM"):
        endpoints.followup_from_sdtm(found["dm"], found["ds"])


def test_arguments_that_make_no_sense_have_their_sentence(found):
    vs = found["vs"]
    for ask, said in (
        (lambda: endpoints.vitals_from_sdtm(None), "records of VS must be the table of"),
        (
            lambda: endpoints.vitals_from_sdtm(vs, every_hours=0),
            "every_hours= must be a number abo",
        ),
        (lambda: endpoints.vitals_from_sdtm(vs, words={"x": "pressor"}), "Did you mean 'vasopres"),
        (lambda: endpoints.vitals_from_sdtm(vs, tests="TEMP"), "tests= must be a dict"),
        (lambda: endpoints.vitals_from_sdtm(vs, pd.DataFrame({"USUBJID": []})), "lack 'DAY'"),
        (lambda: endpoints.followup_from_sdtm(found["dm"], cutoff="x"), "cutoff= must be a number"),
    ):
        with pytest.raises(DataError, match=said):
            ask()
