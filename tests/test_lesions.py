"""Lesion and follow-up tables: what is read, what is guessed and told, what is refused."""

import numpy as np
import pandas as pd
import pytest
from lesion_histories import lesions
from numpy.testing import assert_allclose

from cart_pkpd import datasets, endpoints
from cart_pkpd._core.errors import DataError, DataWarning

FOLLOWUP = pd.DataFrame({"ID": ["1"], "DEATH_DAY": [50.0], "LAST_CONTACT_DAY": [50.0]})


def two(**change):
    """A sound table of two assessments, with one cell of the second changed."""
    table = lesions({"T1": 40, "X1": "present"}, {"T1": 30, "X1": "present"}).astype(object)
    for column, value in change.items():
        table.loc[2, column] = value
    return table


def extra(table, **cells):
    return pd.concat([table, pd.DataFrame([{**table.iloc[2].to_dict(), **cells}])])


BAD = {
    "negative_diameter": (two(DIAMETER=-3), "has the diameter -3 mm; a diameter is 0 or more"),
    "not_a_number": (two(DIAMETER="about 30"), "in row 4 is 'about 30'; write a number"),
    "no_diameter": (two(DIAMETER=None), "is said to be measured and has no diameter"),
    "absent_with_diameter": (two(STATUS="absent"), "is said to be absent and has the diameter 30"),
    "unknown_kind": (two(KIND="tgt"), "write one of: target, non-target, new"),
    "unknown_status": (two(STATUS="smaller"), "write one of: measured, too small, absent"),
    "no_day": (two(DAY=None), r"row 4 \(patient 1\) has no day"),
    "no_patient": (two(ID=""), "row 4 names no patient"),
    "unknown_patient": (two(ID="7"), r"patient 7 \(row 4\) is not among the patients"),
    "lesion_twice": (extra(two()), "lesion T1 of patient 1 stands twice on day 28"),
    "two_on_one_day": (
        extra(two(), LESION="X2", VISIT="V2", KIND="new", DIAMETER=None, STATUS="unequivocal"),
        "patient 1 has two assessments on day 28: V1 and V2",
    ),
    "before_baseline": (
        extra(two(), DAY=-20, VISIT="CT"),
        r"on day -20 \(row 6\), before the baseline on day -7",
    ),
    "after_death": (
        extra(two(), DAY=60, VISIT="V2"),
        r"on day 60 \(row 6\), after the death on day 50",
    ),
    "baseline_after_infusion": (
        two().assign(DAY=[3, 3, 28, 28]),
        "the baseline of patient 1 is on day 3, after the infusion",
    ),
    "new_at_baseline": (
        extra(two(), LESION="W1", KIND="new", DAY=-7, VISIT="baseline", DIAMETER=None,
              STATUS="unequivocal"),
        "lesion W1 of patient 1 is called new at the baseline",
    ),
    "not_at_baseline": (
        extra(two(), LESION="T2"),
        r"target lesion that first appears on day 28 \(row 6\), not at the baseline; call it new",
    ),
    "kind_changes": (
        two(KIND="non-target", STATUS="present"), "lesion T1 of patient 1 is target and non-target",
    ),
    "not_measurable": (
        lesions({"T1": 40, "T2": 2.4}), r"target T2 of patient 1 has 2.4 mm \(is it in cm\?\)",
    ),
    "visit_in_parts": (
        two(DAY=31), "the assessment V1 of patient 1 is in two parts, on day 28 and day 31",
    ),
}  # fmt: skip


@pytest.mark.parametrize("code", BAD)
def test_every_malformed_record_has_its_sentence(code):
    table, sentence = BAD[code]
    with pytest.raises(DataError, match=sentence) as caught:
        endpoints.read_lesions(table, followup=FOLLOWUP, patients=["1"])
    assert code in [p.code for p in caught.value.problems]


def test_the_sound_table_behind_them_is_read():
    found = endpoints.read_lesions(two(), followup=FOLLOWUP, patients=["1"])
    assert list(found.columns) == list(endpoints.columns("lesions")["name"])
    assert list(found["status"]) == ["measured", "present"] * 2


def test_a_node_needs_a_short_axis_of_15_mm():
    with pytest.raises(DataError, match="short axis of a node of at least 15 mm"):
        endpoints.read_lesions(lesions({"N1": 14.9}))
    assert len(endpoints.read_lesions(lesions({"N1": 15.0}))) == 1


def test_limits_that_were_chosen_hold_when_the_table_is_used():
    table = endpoints.read_lesions(lesions({"T1": 8.0}, {"T1": 4.0}), measurable=(5, 5), unit="mm")
    assert endpoints.recist(table)["overall"].iloc[-1] == "PR"


WARNED = {
    "6 target lesions, more than 5": lesions({f"T{i}": 20 for i in range(6)}),
    "3 target lesions in one organ (liver)": lesions({f"T{i}": 20 for i in range(3)}).assign(
        SITE="Liver"
    ),
    "3 target lesions in one organ (lymph nodes)": lesions({f"N{i}": 20 for i in range(3)}).assign(
        SITE=["neck", "axilla", "groin"]
    ),
    "30 days before the infusion, more than 28": lesions({"T1": 20}, days=[-30]),
    "no assessment on or before the infusion": lesions({"T1": 20}, days=[5]).assign(VISIT="V1"),
    "taken to be cm and multiplied by 10": lesions({"T1": 4.2}),
}


@pytest.mark.parametrize("sentence", WARNED)
def test_what_is_doubtful_is_told_once(sentence):
    with pytest.warns(DataWarning) as told:
        found = endpoints.read_lesions(WARNED[sentence])
    assert any(sentence in str(w.message) for w in told)
    assert [str(w.message) for w in told] == found.attrs["warnings"]
    endpoints.recist(found)  # not told again: warnings are errors here


def test_a_word_in_place_of_a_size_is_the_status():
    """As hospitals write non-targets: X1 is present, then gone; T1 is 40, then too small (5 mm)."""
    words = lesions({"T1": 40, "X1": "present"}, {"T1": 30, "X1": "present"}).astype(object)
    words = words.drop(columns="STATUS").assign(DIAMETER=[40, "present", "too small", "absent"])
    with pytest.warns(DataWarning, match=r"words such as 'present' \(row 3\)"):
        found = endpoints.read_lesions(words)
    told = dict(zip(zip(found["lesion"], found["day"], strict=True), found["status"], strict=True))
    assert told["X1", -7] == "present"
    assert told["X1", 28] == "absent"
    assert found.set_index(["lesion", "day"])["diameter"]["T1"].tolist() == [40, 5]
    with pytest.warns(DataWarning, match="words such as 'present'"):
        endpoints.read_lesions(two().assign(DIAMETER=[40, "present", 30, None]))


@pytest.mark.parametrize(
    ("cell", "status", "sentence"),
    [("present", "absent", "is 'present'; write a number"), ("about 30", "", "write a number"),
     ("present", "", "is 'present'; write one of: measured")],
)  # fmt: skip
def test_a_word_in_place_of_a_size_that_contradicts_is_refused(cell, status, sentence):
    with pytest.raises(DataError, match=sentence):
        endpoints.read_lesions(two(DIAMETER=cell, STATUS=status))


def test_centimetres_are_converted():
    with pytest.warns(DataWarning, match="cm"):
        guessed = endpoints.read_lesions(lesions({"T1": 4.2}, {"T1": 3.0}))
    given = endpoints.read_lesions(lesions({"T1": 4.2}, {"T1": 3.0}), unit="cm")
    for found in (guessed, given):
        assert_allclose(found["diameter"], [42, 30])


def test_foreign_headers_words_and_study_days():
    table = pd.DataFrame(
        {
            "USUBJID": ["A", "A", "A"],
            "Size (mm)": ["24", ".", ""],
            "TRLNKID": ["T01", "NT01", "T01"],
            "Category": ["Target", "Non-Target", "TARGET"],
            "ADY": [-3, -3, 29],
            "State": ["", "Present", "Too small to measure"],
        }
    )
    found = endpoints.read_lesions(
        table, columns={"kind": "Category", "diameter": "Size (mm)"}, day_one=True
    )
    assert list(found["visit"]) == ["baseline", "baseline", "day 28"]
    assert list(found["status"]) == ["measured", "present", "too small"]
    assert_allclose(found["diameter"], [24, np.nan, 5])


def test_columns_that_cannot_be_found_are_named():
    with pytest.raises(DataError, match="no column for 'kind'; say which it is"):
        endpoints.read_lesions(two().drop(columns="KIND"))
    with pytest.raises(DataError, match=r"unknown name 'diametre' for lesions. Did you mean"):
        endpoints.read_lesions(two(), columns={"diametre": "DIAMETER"})
    with pytest.raises(DataError, match=r"does not have\. Did you mean 'DIAMETER'"):
        endpoints.read_lesions(two(), columns={"diameter": "DIAMETR"})


def test_all_problems_are_listed():
    table = lesions({"T1": 4, "T2": 50}, {"T1": -1, "T2": "smaller"})
    with pytest.raises(DataError, match="diameter -1 mm") as caught:
        endpoints.read_lesions(table)
    assert "'smaller'" in str(caught.value)
    many = lesions({"T1": 40}, *[{"T1": -1}] * 5)
    with pytest.raises(DataError, match=r"diameter -1 mm(.|\n)*\(and 2 more\)$") as caught:
        endpoints.read_lesions(many)
    assert len(caught.value.problems) == 5


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"PD_DAY": 60.0}, r"has a progression on day 60, after the death on day 50 \(row 2\)"),
        ({"NEW_THERAPY_DAY": 51.0}, "has a new therapy on day 51, after the death"),
        ({"LAST_CONTACT_DAY": 52.0}, "has a contact on day 52, after the death"),
        ({"ID": ""}, "row 2 names no patient"),
        ({"DEATH_DAY": "May"}, "the death_day of patient 1 in row 2 is 'May'"),
    ],
)
def test_a_follow_up_that_cannot_be_is_refused(change, sentence):
    with pytest.raises(DataError, match=sentence):
        endpoints.read_followup(FOLLOWUP.assign(**change))


def test_a_patient_stands_once_in_the_follow_up():
    with pytest.raises(DataError, match=r"patient 1 stands twice in the follow-up \(row 3\)"):
        endpoints.read_followup(pd.concat([FOLLOWUP, FOLLOWUP]))


def test_a_death_is_the_last_contact_and_the_start_is_the_infusion():
    found = endpoints.read_followup(pd.DataFrame({"ID": ["1", "2"], "DEATH_DAY": [9, None]}))
    assert_allclose(found["last_contact_day"], [9, np.nan])
    assert_allclose(found["start_day"], 0)
    again = endpoints.read_followup(found)
    pd.testing.assert_frame_equal(again, found)


def test_fast01_is_read_as_it_stands(tmp_path):
    raw = datasets.load("fast01", "lesions")
    raw.to_csv(tmp_path / "lesions.csv", index=False, na_rep=".")
    from_file = endpoints.read_lesions(tmp_path / "lesions.csv")
    pd.testing.assert_frame_equal(from_file, endpoints.read_lesions(raw))
    measured = from_file["status"].isin(["measured", "too small", "absent"])
    target = from_file["kind"] == "target"
    assert from_file.loc[target & measured, "diameter"].notna().all()
