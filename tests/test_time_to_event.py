"""Progression-free and overall survival: one rule at a time, and the bundled trial as a whole."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from test_best_response import timepoints

from cart_pkpd import datasets, endpoints
from cart_pkpd._core.errors import DataError
from cart_pkpd._endpoints.schedule import Schedule

PLAN = [30, 60, 90, 180, 270, 360]


def followup(**one):
    return pd.DataFrame([{"ID": "1", **one}])


def pfs(course, censoring="fda", schedule=PLAN, options=None, **known):
    table = timepoints({"1": course})
    return endpoints.pfs(
        table, followup(**known), censoring=censoring, schedule=schedule, **(options or {})
    ).iloc[0]


SD30, SD60, PD90 = (30, "SD"), (60, "SD"), (90, "PD")

# course, follow-up, rule → (day, event, reason) by FDA (2018, appendix C) and by EMA (2012)
RULES = [
    ([SD30, SD60, PD90], {}, (90, True, "progression"), (90, True, "progression")),
    ([SD30, SD60], {}, (60, False, "no progression"), (60, False, "no progression")),
    ([SD30, SD60], {"LOST": 1}, (60, False, "lost to follow-up"), (60, False, "lost to follow-up")),
    ([SD30, SD60, (90, "NE")], {}, (60, False, "no progression"), (60, False, "no progression")),
    ([SD30, SD60], {"DEATH_DAY": 100}, (100, True, "death"), (100, True, "death")),
    ([SD30, SD60, PD90], {"DEATH_DAY": 100}, (90, True, "progression"), (90, True, "progression")),
    # new therapy: on the day of progression is no reason, before it is
    ([SD30, SD60, PD90], {"NEW_THERAPY_DAY": 90}, (90, True, "progression"),
     (90, True, "progression")),
    ([SD30, SD60, PD90], {"NEW_THERAPY_DAY": 70}, (60, False, "new therapy"),
     (90, True, "progression")),
    ([SD30, SD60, PD90], {"NEW_THERAPY_DAY": 60}, (60, False, "new therapy"),
     (90, True, "progression")),
    ([SD30, PD90], {"NEW_THERAPY_DAY": 20}, (0, False, "new therapy"), (90, True, "progression")),
    ([SD30, SD60, (90, "SD")], {"NEW_THERAPY_DAY": 70}, (60, False, "new therapy"),
     (90, False, "no progression")),
    # one missed assessment is let pass, two in a row are not; NE counts as missed
    ([SD30, PD90], {}, (90, True, "progression"), (90, True, "progression")),
    ([SD30, (180, "PD")], {}, (30, False, "missed assessments"), (180, True, "progression")),
    ([SD30, (60, "NE"), (90, "NE"), (180, "PD")], {}, (30, False, "missed assessments"),
     (180, True, "progression")),
    ([SD30, SD60], {"DEATH_DAY": 300}, (60, False, "missed assessments"), (300, True, "death")),
    ([SD30, SD60], {"DEATH_DAY": 190}, (190, True, "death"), (190, True, "death")),
    ([(30, "SD"), (180, "SD"), (270, "PD")], {}, (270, True, "progression"),
     (270, True, "progression")),  # a gap that ended well before
    # nothing after the baseline
    ([], {}, (0, False, "no evaluable assessment"), (0, False, "no evaluable assessment")),
    ([(30, "NE")], {}, (0, False, "no evaluable assessment"),
     (0, False, "no evaluable assessment")),
    ([], {"DEATH_DAY": 20}, (20, True, "death"), (20, True, "death")),
    ([], {"DEATH_DAY": 70}, (70, True, "death"), (70, True, "death")),
    ([], {"DEATH_DAY": 80}, (0, False, "missed assessments"), (80, True, "death")),
    # the cut-off applies to everything
    ([SD30, SD60, PD90], {"CUT_OFF_DAY": 80}, (60, False, "no progression"),
     (60, False, "no progression")),
    ([SD30, SD60], {"DEATH_DAY": 70, "CUT_OFF_DAY": 65}, (60, False, "no progression"),
     (60, False, "no progression")),
    ([SD30, SD60, PD90], {"CUT_OFF_DAY": 90}, (90, True, "progression"), (90, True, "progression")),
    ([SD30, SD60, PD90], {"NEW_THERAPY_DAY": 70, "CUT_OFF_DAY": 65}, (60, False, "no progression"),
     (60, False, "no progression")),
]  # fmt: skip


@pytest.mark.parametrize("censoring", ["fda", "ema"])
@pytest.mark.parametrize(("course", "known", "fda", "ema"), RULES)
def test_every_rule_of_pfs(course, known, fda, ema, censoring):
    found = pfs(course, censoring, **known)
    day, event, reason = fda if censoring == "fda" else ema
    assert (found["day"], found["event"], found["reason"]) == (day, event, reason)
    assert found["time"] == day + 1
    assert f"day {day:g}" in found["rule"] or "day 1" in found["rule"]


def test_missed_assessments_are_those_whose_window_has_passed():
    plan = Schedule((30.0, 60.0, 90.0), 14.0)
    assert plan.until(200) == [30, 60, 90, 120, 150, 180]
    assert plan.missed(0, 44) == 0  # the window of day 30 ends on day 44
    assert plan.missed(0, 45) == 1
    assert plan.missed(16, 45) == 0  # day 16 is in the window of day 30
    assert plan.missed(30, 136) == 3


def test_the_gap_rule_can_be_changed_or_left_out():
    course = [SD30, (180, "PD")]
    assert pfs(course, options={"missed": 3})["event"]
    assert pfs(course, options={"missed": None}, schedule=None)["event"]
    assert pfs(course, options={"window": 40})["event"]


def test_the_plan_is_found_from_the_names_of_the_visits():
    points = endpoints.recist(datasets.load("fast01", "lesions"))
    found = endpoints.pfs(points).attrs["schedule"]
    later = points[~points["baseline"]]
    assert found == tuple(later.groupby("visit")["day"].median().sort_values())
    unnamed = points.assign(visit=[f"day {d:g}" for d in points["day"]])
    with pytest.raises(DataError, match="planned days of the assessments are not known"):
        endpoints.pfs(unnamed)
    assert len(endpoints.pfs(unnamed, censoring="ema")) == 29 + 1
    with pytest.raises(DataError, match="must be rising days"):
        endpoints.pfs(points, schedule=[60, 30])


def test_progression_as_the_investigator_called_it():
    called = {"PD_DAY": 75, "PD_BASIS": "clinical"}
    course = [SD30, SD60, PD90]
    assert pfs(course, **called)["day"] == 90
    assert pfs(course, options={"clinical": True}, **called)["day"] == 75
    late = pfs(course, options={"clinical": True, "cutoff": 70}, **called)
    assert (late["day"], late["event"]) == (60, False)
    both = pfs([*course[:2], (70, "PD")], options={"clinical": True, "cutoff": 72}, **called)
    assert (both["day"], both["event"]) == (70, True)
    own = {"progression": "investigator"}
    assert pfs(course, options=own, **called)["reason"] == "no progression"
    found = pfs(course, options=own, PD_DAY=62, PD_BASIS="radiological")
    assert (found["day"], found["date_source"]) == (62, "progression (investigator)")


def test_the_start_may_be_leukapheresis():
    found = pfs([SD30, SD60, PD90], START_DAY=-20)
    assert (found["time"], found["start_day"]) == (111, -20)


@pytest.mark.parametrize(
    ("known", "day", "event", "reason"),
    [
        ({"DEATH_DAY": 100}, 100, True, "death"),
        ({"DEATH_DAY": 100, "CUT_OFF_DAY": 100}, 100, True, "death"),
        ({"DEATH_DAY": 100, "CUT_OFF_DAY": 99}, 99, False, "alive at cut-off"),
        ({"LAST_CONTACT_DAY": 80, "CUT_OFF_DAY": 99}, 80, False, "alive at last contact"),
        ({"LAST_CONTACT_DAY": 120, "CUT_OFF_DAY": 99}, 99, False, "alive at cut-off"),  # by phone
        ({"LAST_CONTACT_DAY": 80, "LOST": 1}, 80, False, "lost to follow-up"),
        ({"LAST_CONTACT_DAY": 40}, 60, False, "alive at last contact"),  # assessed later
        ({}, 60, False, "alive at last contact"),
    ],
)
def test_every_rule_of_os(known, day, event, reason):
    found = endpoints.os(followup(**known), timepoints({"1": [SD30, SD60]})).iloc[0]
    assert (found["day"], found["event"], found["reason"]) == (day, event, reason)


def test_nothing_known_is_censored_on_day_1():
    found = endpoints.os(followup()).iloc[0]
    assert (found["time"], found["reason"]) == (1, "no contact recorded")


def test_duration_and_time_of_response():
    table = timepoints({"1": [(45, "PR"), (80, "PR"), (110, "PD")], "2": [(45, "SD")],
                        "3": [(45, "PR"), (60, "SD"), (100, "SD")]})  # fmt: skip
    best = endpoints.best_response(table)
    options = {"schedule": PLAN}
    sure = endpoints.duration_of_response(table, best, **options).set_index("id")
    assert_allclose(sure["time"], [66, np.nan, np.nan])
    assert sure.loc["2", "reason"] == "no confirmed response"
    loose = endpoints.duration_of_response(table, best, confirmed=False, **options).set_index("id")
    assert_allclose(loose["time"], [66, np.nan, 56])
    assert list(loose["event"]) == [True, False, False]
    first = endpoints.time_to_response(best, confirmed=False)
    assert_allclose(first["time"], [46, np.nan, 46])
    assert list(first["event"]) == [True, False, True]


def test_landmark():
    table = timepoints({"1": [PD90], "2": [(400, "SD")], "3": [SD60], "4": [(366, "PD")]})
    times = endpoints.pfs(table, censoring="ema")
    found = endpoints.landmark(times, months=12)  # day 365.25
    assert list(found["state"]) == ["event", "event-free", "unknown", "event-free"]
    assert list(endpoints.landmark(times, months=13)["state"])[3] == "event"


def test_adtte_has_the_columns_of_cdisc():
    table = timepoints({"1": [SD30, PD90], "2": [SD30, SD60]})
    best = endpoints.best_response(table)
    times = pd.concat([endpoints.pfs(table), endpoints.time_to_response(best)])
    found = endpoints.adtte(times, study="S1")
    assert list(found["PARAMCD"]) == ["PFS", "PFS"]  # nobody responded
    assert list(found["CNSR"]) == [0, 1]
    assert list(found["AVAL"]) == [91, 61]
    assert list(found["ADY"]) == [91, 61]
    assert list(found["EVNTDESC"]) == ["Progression", "No progression"]
    assert list(found["CNSDTDSC"]) == ["", "Last evaluable assessment"]
    with pytest.raises(DataError, match="times to event lack"):
        endpoints.adtte(best)


def test_an_event_before_the_start_is_refused():
    with pytest.raises(DataError, match="died on day 20, before the start on day 30"):
        endpoints.os(followup(DEATH_DAY=20, START_DAY=30))


# --- random patients against a literal derivation ----------------------------------------------


def literal(course, death, therapy, cutoff, rule):
    """(day, event) of PFS written a second time, as a list of cases."""
    cut = math.inf if cutoff is None else cutoff
    seen = [(d, r) for d, r in course if d <= cut]
    death = death if death is not None and death <= cut else math.inf
    therapy = therapy if therapy is not None and therapy <= cut else math.inf
    worse = min((d for d, r in seen if r == "PD"), default=math.inf)
    event = min(worse, death)
    good = [d for d, r in seen if r != "NE"]
    if rule == "fda" and therapy < event:
        return max([d for d in good if d <= therapy], default=0), False
    if event < math.inf:
        before = max([d for d in good if d < event], default=0)
        due = [p for p in (*PLAN, *range(450, 2000, 90)) if before < p - 14 and p + 14 < event]
        if rule == "fda" and len(due) >= 2:
            return before, False
        return event, True
    return max(good, default=0), False


DAY = st.one_of(st.none(), st.integers(5, 500))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(st.integers(20, 110), st.sampled_from(["SD", "PR", "NE", "PD"])),
                     max_size=5),
            DAY, DAY, DAY,
        ),
        min_size=8, max_size=8,
    ),
    st.sampled_from(["fda", "ema"]),
)  # fmt: skip
def test_random_patients_agree_with_a_literal_derivation(patients, rule):
    courses, rows, expected = {}, [], {}
    for k, (steps, death, therapy, cutoff) in enumerate(patients):
        days = np.cumsum([gap for gap, _ in steps]).tolist()
        course = list(zip(days, [r for _, r in steps], strict=True))
        if death is not None:  # the dead are neither scanned nor treated
            course = [(d, r) for d, r in course if d <= death]
            therapy = None if therapy is not None and therapy > death else therapy
        courses[str(k)] = course
        rows.append({"ID": str(k), "DEATH_DAY": death, "NEW_THERAPY_DAY": therapy,
                     "CUT_OFF_DAY": cutoff})  # fmt: skip
        expected[str(k)] = literal(course, death, therapy, cutoff, rule)
    found = endpoints.pfs(
        timepoints(courses), pd.DataFrame(rows), censoring=rule, schedule=PLAN
    ).set_index("id")
    got = {k: (r["day"], bool(r["event"])) for k, r in found.iterrows()}
    assert got == expected


# --- fast01 ------------------------------------------------------------------------------------


def test_fast01_is_what_its_follow_up_says():
    """Scans end with progression and no gap is long, so both rules agree with the follow-up."""
    known = endpoints.read_followup(datasets.load("fast01", "followup"))
    points = endpoints.recist(datasets.load("fast01", "lesions"))
    by = known.set_index("id")
    event = by[["pd_day", "death_day"]].min(axis=1)
    for censoring in ("fda", "ema"):
        times = endpoints.pfs(points, known, censoring=censoring).set_index("id")
        assert_allclose(times.loc[times["event"], "day"], event.dropna())
        assert list(times.index[~times["event"]]) == ["F01-020", "F01-029"]
    assert_allclose(times.loc["F01-029", "day"], 91)  # day 176 was NE
    survival = endpoints.os(known).set_index("id")
    assert survival["event"].sum() == by["death_day"].notna().sum() == 19
    assert_allclose(survival["day"], by["death_day"].fillna(by["last_contact_day"]))


def test_fast01_at_an_earlier_cut_off_has_fewer_events():
    known = endpoints.read_followup(datasets.load("fast01", "followup"))
    points = endpoints.recist(datasets.load("fast01", "lesions"))
    early = endpoints.pfs(points, known, cutoff=60)
    by = known.set_index("id")
    event = by[["pd_day", "death_day"]].min(axis=1)
    assert early["event"].sum() == (event <= 60).sum()
    assert (early["day"] <= 60).all()
    assert endpoints.os(known, cutoff=60)["event"].sum() == (by["death_day"] <= 60).sum()
