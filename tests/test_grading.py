"""ASTCT grades and DLT rules.

Expected grades are transcribed from Lee et al., Biol Blood Marrow Transplant 25:625 (2019),
doi:10.1016/j.bbmt.2018.12.758: the consensus tables of CRS and of ICANS in adults.
"""

import io

import numpy as np
import pandas as pd
import pytest

from cart_pkpd import data, endpoints
from cart_pkpd._core.errors import DataError


def vitals(*rows):
    """Records of one patient: (day, {columns})."""
    return pd.DataFrame([{"id": "01", "day": d, "temperature": 37.0, **r} for d, r in rows])


def grade_of(**record):
    return endpoints.crs_grade(vitals((3, record))).patients["grade"].iloc[0]


FEVER = {"temperature": 38.5}

# --- CRS: the consensus table ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grade", "record"),
    [
        (0, {"temperature": 37.9}),
        (1, {"temperature": 38.0}),
        (1, FEVER),
        (2, FEVER | {"hypotension": 1}),
        (3, FEVER | {"hypotension": 1, "vasopressors": 1}),
        (3, FEVER | {"hypotension": 1, "vasopressors": 1, "vasopressin": 1}),
        (4, FEVER | {"hypotension": 1, "vasopressors": 2}),
        (4, FEVER | {"vasopressors": 3, "vasopressin": 1}),
        (2, FEVER | {"oxygen": "nasal cannula", "oxygen_flow": 6}),
        (2, FEVER | {"oxygen": "blow-by"}),
        (3, FEVER | {"oxygen": "nasal cannula", "oxygen_flow": 6.5}),
        (3, FEVER | {"oxygen": "high-flow nasal cannula"}),
        (3, FEVER | {"oxygen": "face mask"}),
        (3, FEVER | {"oxygen": "non-rebreather"}),
        (3, FEVER | {"oxygen": "Venturi"}),
        (4, FEVER | {"oxygen": "CPAP"}),
        (4, FEVER | {"oxygen": "BiPAP"}),
        (4, FEVER | {"oxygen": "ventilation"}),
        (5, FEVER | {"death": 1}),
        # The worst domain decides; intubation for the airway alone is not grade 4.
        (3, FEVER | {"hypotension": 1, "oxygen": "face mask"}),
        (3, FEVER | {"vasopressors": 1, "oxygen": "nasal cannula", "oxygen_flow": 2}),
        (1, FEVER | {"oxygen": "airway protection"}),
        (0, FEVER | {"hypotension": 1, "other_cause": 1}),
        # Without fever, and without treatment before, it is not CRS.
        (0, {"hypotension": 1, "vasopressors": 2}),
    ],
)
def test_crs_table(grade, record):
    assert grade_of(**record) == grade


@pytest.mark.parametrize("drug", ["tocilizumab", "steroid", "antipyretic"])
def test_fever_is_not_needed_after_treatment(drug):
    """The table's note: after antipyretic or anticytokine therapy the other domains grade."""
    found = endpoints.crs_grade(
        vitals((2, FEVER), (3, FEVER | {drug: 1}), (4, {"hypotension": 1, "vasopressors": 1}))
    )
    assert found.records["grade"].tolist() == [1, 1, 3]
    assert found.records["rule"].iloc[2] == "one vasopressor; fever no longer required"
    # The same hypotension without the treatment is not graded as CRS.
    plain = endpoints.crs_grade(vitals((2, FEVER), (4, {"hypotension": 1, "vasopressors": 1})))
    assert plain.records["grade"].tolist() == [1, 0]
    assert plain.records["rule"].iloc[1] == "one vasopressor, but no fever: not CRS"
    # Nor does treatment before any fever excuse it.
    early = endpoints.crs_grade(vitals((0, {drug: 1}), (4, {"hypotension": 1})))
    assert early.records["grade"].tolist() == [0, 0]


def test_fever_and_treatment_of_one_moment_may_stand_on_two_rows():
    found = endpoints.crs_grade(
        vitals((2, {"tocilizumab": 1}), (2, FEVER), (3, {"hypotension": 1}))
    )
    assert found.records["grade"].tolist() == [0, 1, 2]


def test_a_new_episode_needs_fever_again_if_a_gap_is_given():
    rows = vitals((2, FEVER | {"tocilizumab": 1}), (5, {}), (40, {"hypotension": 1}))
    assert endpoints.crs_grade(rows).records["grade"].tolist() == [1, 0, 2]
    assert endpoints.crs_grade(rows, episode_gap=14).records["grade"].tolist() == [1, 0, 0]
    with pytest.raises(DataError, match="episode_gap must be above 0"):
        endpoints.crs_grade(rows, episode_gap=0)


def test_vasopressin_alone_counts_as_one_and_says_so():
    found = endpoints.crs_grade(vitals((3, FEVER | {"vasopressin": 1}))).patients.iloc[0]
    assert found["grade"] == 3
    assert found["rule"] == "vasopressin alone, counted as one vasopressor; fever 38.5 °C"


def test_what_cannot_be_graded_is_nan_with_a_reason():
    found = endpoints.crs_grade(vitals((3, FEVER | {"oxygen": "nasal cannula"})))
    assert np.isnan(found.patients["grade"].iloc[0])
    assert found.patients["rule"].iloc[0] == "nasal cannula without its flow: grade 2 or 3"
    assert found.patients["reason"].iloc[0] == "1 of 1 records could not be graded"
    worse = endpoints.crs_grade(vitals((3, FEVER | {"oxygen": "nasal cannula", "vasopressors": 1})))
    assert worse.patients["grade"].iloc[0] == 3
    unknown = endpoints.crs_grade(vitals((3, {"temperature": None})))
    assert unknown.patients["rule"].iloc[0] == "temperature not recorded"


def test_days_and_patients_have_onset_duration_and_maximum():
    rows = vitals(
        (0, {}), (1.25, FEVER), (1.75, FEVER | {"hypotension": 1}), (2.5, FEVER), (4.5, {})
    )
    second = vitals((1, FEVER), (2, FEVER)).assign(id="02")
    found = endpoints.crs_grade(pd.concat([second, rows], ignore_index=True))
    one = found.patients.set_index("id").loc["01"]
    assert one[["grade", "grade_day", "onset_day", "end_day", "duration"]].tolist() == [
        2, 1.75, 1.25, 4.5, 3.25,
    ]  # fmt: skip
    assert found.days[found.days["id"] == "01"]["grade"].tolist() == [0, 2, 1, 0]
    two = found.patients.set_index("id").loc["02"]
    assert np.isnan(two["duration"])
    assert two["reason"] == "ongoing at the last record, 2"
    assert repr(found) == "CRS of 2 patients: grade 1: 1, grade 2: 1."


# --- ICANS: the consensus table ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("grade", "record"),
    [
        (0, {"ice": 10}), (1, {"ice": 9}), (1, {"ice": 7}), (2, {"ice": 6}), (2, {"ice": 3}),
        (3, {"ice": 2}), (3, {"ice": 0}), (3, {"ice": 0, "consciousness": "alert"}),
        (4, {"ice": 0, "consciousness": "unarousable"}),
        (0, {"consciousness": "alert"}), (1, {"consciousness": "spontaneous"}),
        (2, {"consciousness": "voice"}), (3, {"consciousness": "touch"}),
        (4, {"consciousness": "unarousable"}),
        (3, {"ice": 10, "seizure": "brief"}), (3, {"seizure": "EEG"}),
        (4, {"seizure": "prolonged"}), (4, {"seizure": "repetitive"}),
        (4, {"ice": 9, "motor": 1}),
        (3, {"oedema": "focal"}), (4, {"oedema": "diffuse"}), (4, {"oedema": "posturing"}),
        (4, {"oedema": "cranial nerve VI"}), (4, {"oedema": "papilloedema"}),
        (4, {"oedema": "Cushing"}), (5, {"ice": 0, "death": 1}),
        (0, {"ice": 5, "other_cause": "yes"}),
    ],
)  # fmt: skip
def test_icans_table(grade, record):
    found = endpoints.icans_grade(pd.DataFrame([{"id": "01", "day": 5, **record}]))
    assert found.patients["grade"].iloc[0] == grade


def test_icans_says_which_domain_decided():
    rows = pd.DataFrame({"id": "01", "day": [5, 6, 7], "ice": [8, 8, 10],
                         "consciousness": ["spontaneous", "touch", "alert"]})  # fmt: skip
    one = endpoints.icans_grade(rows).patients.iloc[0]
    assert (one["grade"], one["rule"], one["duration"]) == (3, "awakens: touch", 2)
    blank = endpoints.icans_grade(pd.DataFrame({"id": ["1"], "day": [1], "ice": [None]}))
    assert blank.patients["rule"].iloc[0] == "nothing was assessed"


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("temperature", 101.3, "temperature is '101.3', but must be a temperature between 25"),
        ("temperature", "high", "temperature is 'high', but must be"),
        ("vasopressors", -1, "must be a whole number of 0 or more"),
        ("oxygen", "nasal canula", "Did you mean 'nasal cannula'?"),
        ("oxygen_flow", -2, "must be a flow of 0 or more"),
        ("hypotension", "perhaps", "hypotension is 'perhaps', but must be yes or no"),
        ("day", "?", "the day of patient 01 in row 2 is '?'; write a number"),
        ("day", None, "patient '01' has no day in row 2"),
        ("id", "", "row 2 names no patient; fill it in"),
    ],
)
def test_cells_that_cannot_be_read_are_named(column, value, said):
    rows = vitals((3, FEVER)).astype(object)
    rows[column] = value
    with pytest.raises(DataError) as error:
        endpoints.crs_grade(rows)
    assert said in str(error.value)
    assert column == "id" or "01" in str(error.value)


def test_missing_and_misspelt_columns_are_named():
    with pytest.raises(DataError, match="vital signs has no column for 'day'; say which it is"):
        endpoints.crs_grade(pd.DataFrame({"id": ["1"], "temperature": [38.0]}))
    with pytest.raises(DataError, match="have none of the columns temperature, hypotension"):
        endpoints.crs_grade(pd.DataFrame({"id": ["1"], "day": [1]}))
    with pytest.raises(DataError, match=r"'temprature'\. Did you mean 'temperature'"):
        endpoints.crs_grade(
            pd.DataFrame({"id": ["1"], "day": [1], "oxygen": [""], "temprature": 39})
        )
    with pytest.raises(DataError, match="ice is '11', but must be a whole number from 0 to 10"):
        endpoints.icans_grade(pd.DataFrame({"id": ["1"], "day": [1], "ice": [11]}))


def test_columns_are_declared():
    assert "temperature" in endpoints.columns("vitals")["name"].tolist()
    assert endpoints.columns("neurology").set_index("name").loc["ice", "unit"] == "1"


# --- DLT rules ---------------------------------------------------------------------------------


def course(who, grades, start=2.0, step=1.0):
    """CRS records with these grades, one a day."""
    record = {0: {"temperature": 37.0}, 1: FEVER, 3: FEVER | {"vasopressors": 1}}
    return pd.DataFrame(
        [{"id": who, "day": start + i * step, **record[g]} for i, g in enumerate(grades)]
    )


def test_nothing_is_dose_limiting_without_a_rule():
    crs = endpoints.crs_grade(course("01", [3, 3, 0]))
    with pytest.raises(DataError, match="no DLT rule is switched on"):
        endpoints.dlt([], crs=crs)
    with pytest.raises(DataError, match="the rule 'ICANS of grade ≥ 3' needs icans="):
        endpoints.dlt([endpoints.icans_at_least(3)], crs=crs)


def test_a_grade_counts_only_if_it_lasts():
    """Grade 3 on days 2 to 5 and lower on day 5 or 6: 72 h, and 96 h."""
    rows = [course("three", [3, 3, 3, 1, 0]), course("four", [3, 3, 3, 3, 0]),
            course("twice", [3, 3, 1, 3, 3, 0]), course("none", [1, 1, 0])]  # fmt: skip
    crs = endpoints.crs_grade(pd.concat(rows, ignore_index=True))
    found = endpoints.dlt([endpoints.crs_at_least(3, lasting_hours=72)], crs=crs)
    assert found.set_index("id")["dlt"].to_dict() == {"three": 0, "four": 1, "twice": 0, "none": 0}
    row = found.set_index("id").loc["four"]
    assert (row["dlt_day"], row["rule"]) == (2.0, "CRS of grade ≥ 3 for more than 72 h")
    at_once = endpoints.dlt([endpoints.crs_at_least(3)], crs=crs).set_index("id")["dlt"]
    assert at_once.to_dict() == {"three": 1, "four": 1, "twice": 1, "none": 0}


def test_a_grade_still_there_when_last_seen_is_undecided():
    crs = endpoints.crs_grade(course("01", [3, 3]))
    found = endpoints.dlt([endpoints.crs_at_least(3, lasting_hours=72)], crs=crs).iloc[0]
    assert np.isnan(found["dlt"])
    assert found["reason"].endswith("still there when last seen, 24 h after it began")


def test_rules_of_adverse_events_and_the_window():
    events = pd.DataFrame(
        {"id": ["a", "b", "c", "d"], "term": ["Pneumonitis", "Lymphopenia", "Pneumonitis", "Rash"],
         "grade": [3, 4, 3, 2], "start_day": [10.0, 3, 40, 5], "end_day": [20.0, 30, np.nan, 6]}
    )  # fmt: skip
    rule = endpoints.adverse_event_at_least(3, except_terms=["lymphopenia"])
    found = endpoints.dlt([rule], adverse_events=events)
    assert found["dlt"].tolist() == [1, 0, 0, 0]  # c began after day 28
    assert found.attrs["rules"] == ("adverse event of grade ≥ 3, except lymphopenia",)
    only = endpoints.adverse_event_at_least(2, terms=["Rash"], lasting_hours=48)
    assert endpoints.dlt([only], adverse_events=events)["dlt"].tolist() == [0, 0, 0, 0]
    wide = endpoints.dlt([rule], adverse_events=events, window=(0, 60))
    assert wide["dlt"].tolist() == [1, 0, 1, 0]
    with pytest.raises(DataError, match="lack 'end_day'"):
        endpoints.dlt([rule], adverse_events=events.drop(columns="end_day"))
    with pytest.raises(DataError, match="a grade from 1 to 5"):
        endpoints.crs_at_least(6)


def test_grades_join_a_trial_by_patient():
    """Highest grade and first day with a grade, read off the records; 03 has no records."""
    table = "ID,TIME (d),DV\n01,7,100\n02,7,90\n03,7,80\n"
    trial = data.read_table(pd.read_csv(io.StringIO(table), dtype=str), echo=False)
    records = pd.DataFrame({
        "id": ["01", "01", "01", "02"], "day": [2, 3, 4, 3],
        "temperature": [38.6, 39.1, 37.0, 36.9], "vasopressors": [0, 1, 0, 0],
    })  # fmt: skip
    joined = endpoints.crs_grade(records).join(trial)
    assert joined["crs_grade"].values.tolist()[:2] == [3.0, 0.0]
    assert joined["crs_day"].values[0] == 2.0
    assert np.isnan(joined["crs_grade"].values[2])
    assert np.isnan(joined["crs_day"].values[1:]).all()
    assert joined["crs_day"].attrs["units"] == "day"
    with pytest.raises(DataError, match="graded patients are not in the trial: '1'"):
        endpoints.crs_grade(records.replace({"id": {"01": "1"}})).join(trial)


def test_dates_without_an_infusion_are_one_problem_and_a_series_gives_them():
    records = pd.DataFrame({"id": ["01", "01", "02"], "temperature": [38.6, 37.0, 39.0],
                            "day": ["09-Mar-2026", "10-Mar-2026", "11-Mar-2026"]})  # fmt: skip
    with pytest.raises(DataError, match="date of the infusion is not known") as caught:
        endpoints.crs_grade(records)
    assert len(caught.value.problems) == 1
    with pytest.raises(DataError, match="day of patient 02") as caught:
        endpoints.crs_grade(records, infusion={"01": "2026-03-07"})
    assert len(caught.value.problems) == 1
    dates = pd.Series({"01": "2026-03-07", "02": "2026-03-07"})
    assert endpoints.crs_grade(records, infusion=dates).patients["onset_day"].tolist() == [2.0, 4.0]
