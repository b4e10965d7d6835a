"""What used to pass in silence: events in words, nodes, units, evaluators, options.

Expectations are counted by hand from the few rows of each table.
"""

import numpy as np
import pandas as pd
import pytest
from lesion_histories import lesions

from cart_pkpd import endpoints
from cart_pkpd._core.errors import DataError, DataWarning

# --- events ------------------------------------------------------------------------------------


def times(event):
    n = len(event)
    return pd.DataFrame({"id": [f"p{i + 1}" for i in range(n)], "time": np.arange(1.0, n + 1),
                         "event": event, "group": ["a", "b"] * (n // 2)})  # fmt: skip


@pytest.mark.parametrize(
    "event", [["True", "FALSE", "true", "no"], ["1", "0", "1.0", "0.0"], [1.0, 0, 1, 0],
              [True, False, True, False]],
)  # fmt: skip
def test_events_in_words_and_digits_are_read(event):
    """Four at risk, one dies on day 1: 3/4; two at risk on day 3: 3/8."""
    found = endpoints.kaplan_meier(times(event))
    assert found.summary["events"].tolist() == [2]
    assert found.curve["survival"].tolist() == [1.0, 0.75, 0.75, 0.375, 0.375]
    assert endpoints.logrank(times(event), "group").table["observed"].sum() == 2


@pytest.mark.parametrize(("cell", "said"), [(2, "'2'"), ("maybe", "'MAYBE'"), (None, "'missing'")])
def test_events_that_are_neither_are_refused(cell, said):
    table = times(pd.Series([1, 0, cell, 1], dtype=object))
    for ask in (endpoints.kaplan_meier, lambda t: endpoints.logrank(t, "group"),
                lambda t: endpoints.from_landmark(t, 0.5)):  # fmt: skip
        with pytest.raises(DataError, match=f"patient 'p3' has the event {said}; write 1"):
            ask(table)


# --- nodes -------------------------------------------------------------------------------------


def test_nodes_without_a_column_are_told_by_axis_and_site():
    """A node of 9 mm is normal: targets CR; as no node it would be PR."""
    table = lesions({"T1": 20}, {"T1": 9}).drop(columns="NODE", errors="ignore")
    for change in ({"MEASURE": "short axis"}, {"SITE": "Axillary lymph node"}):
        with pytest.warns(DataWarning, match="taken to be nodes: T1 of 1"):
            found = endpoints.read_lesions(table.assign(**change))
        assert found["node"].all()
        assert endpoints.recist(found)["target"].iloc[-1] == "CR"


def test_flags_that_are_no_words_are_refused():
    with pytest.raises(DataError, match="the node of patient 1 in row 2 is 'X'; write yes or no"):
        endpoints.read_lesions(lesions({"T1": 20}).assign(NODE="X"))
    with pytest.raises(DataError, match="the lost of patient 1 in row 2 is 'maybe'"):
        endpoints.read_followup(pd.DataFrame({"ID": ["1"], "LOST": ["maybe"]}))


# --- CDISC -------------------------------------------------------------------------------------


def scans(sizes, days, unit="mm"):
    n = len(sizes)
    tu = pd.DataFrame({"USUBJID": ["S-01"], "TULNKID": ["T01"], "TUSTRESC": ["TARGET"],
                       "TULOC": ["LIVER"]})  # fmt: skip
    tr = pd.DataFrame({"USUBJID": ["S-01"] * n, "TRLNKID": ["T01"] * n, "TRTESTCD": ["LDIAM"] * n,
                       "TRSTRESN": sizes, "TRSTRESU": unit, "DAY": days,
                       "VISIT": [f"V{i}" for i in range(n)]})  # fmt: skip
    return tu, tr


def test_the_baseline_of_sdtm_is_the_last_scan_by_the_infusion():
    """A first scan after the infusion is no baseline; of two before it the earlier is refused."""
    found = endpoints.lesions_from_sdtm(*scans([40.0, 20.0], [-3.0, 28.0]))
    assert found["visit"].tolist() == ["baseline", "V1"]
    with pytest.raises(DataError, match=r"on day -40 .*before the baseline on day -3"):
        endpoints.lesions_from_sdtm(*scans([30.0, 40.0, 20.0], [-40.0, -3.0, 28.0]))


def test_sizes_of_sdtm_are_brought_to_millimetres():
    found = endpoints.lesions_from_sdtm(*scans([4.0, 12.0], [-3.0, 28.0], "cm"))
    assert found["diameter"].tolist() == [40.0, 120.0]
    for unit, said in ((["mm", "cm"], "bring all sizes to one unit"), ("in", "'in'; write mm")):
        with pytest.raises(DataError, match=said):
            endpoints.lesions_from_sdtm(*scans([40.0, 20.0], [-3.0, 28.0], unit))
    with pytest.raises(DataError, match="unit= is 'mm', and TR says"):
        endpoints.lesions_from_sdtm(*scans([4.0, 2.0], [-3.0, 28.0], "cm"), unit="mm")


def responses():
    return pd.DataFrame(
        {"USUBJID": ["a", "a", "b", "b"], "RSTESTCD": ["OVRLRESP"] * 4, "DAY": [28.0] * 4,
         "RSSTRESC": ["PR", "SD", "NE", "NE"],
         "RSEVAL": ["INVESTIGATOR", "INDEPENDENT ASSESSOR"] * 2}
    )  # fmt: skip


def test_responses_of_several_evaluators_are_not_mixed():
    with pytest.raises(DataError, match=r"RSEVAL \(INDEPENDENT ASSESSOR, INVESTIGATOR\)"):
        endpoints.from_rs(responses())
    own = endpoints.from_rs(responses(), evaluator="investigator")
    assert own["overall"].tolist() == ["PR", "NE"]
    with pytest.raises(DataError, match="no evaluator 'site'"):
        endpoints.from_rs(responses(), evaluator="site")
    adrs = responses().rename(columns={"RSSTRESC": "AVALC", "RSEVAL": "PARQUAL"})
    adrs = adrs.assign(PARAMCD="OVR")
    with pytest.raises(DataError, match="PARQUAL"):
        endpoints.from_adrs(adrs)
    other = endpoints.from_adrs(adrs, evaluator="INDEPENDENT ASSESSOR")
    assert other["overall"].tolist() == ["SD", "NE"]
    with pytest.raises(DataError, match="lack 'ADY'"):
        endpoints.from_adrs(adrs.drop(columns="DAY"))


def test_responses_that_were_read_are_evaluable_unless_ne():
    """Of a (PR) and b (NE only), one is evaluable and responded: 1/1."""
    best = endpoints.best_response(endpoints.from_rs(responses(), evaluator="INVESTIGATOR"))
    assert "2 without a baseline assessment (a, b)" in best.attrs["notes"][0]
    rate = endpoints.orr(best, denominator="response_evaluable", confirmed=False)
    row = rate[rate["measure"] == "ORR"].iloc[0]
    assert (row["x"], row["n"]) == (1, 1)


def test_a_response_before_the_start_does_not_count():
    rs = responses().iloc[[0]].assign(DAY=-3.0)
    best = endpoints.best_response(endpoints.from_rs(rs)).iloc[0]
    assert (best["best"], best["n_assessments"]) == ("MISSING", 0)


# --- toxicity ----------------------------------------------------------------------------------

RULE = endpoints.adverse_event_at_least(3)


def events(**change):
    sound = {"id": ["a"], "term": ["Rash"], "grade": [4.0], "start_day": [3.0], "end_day": [9.0]}
    return pd.DataFrame(sound | {k: [v] for k, v in change.items()})


@pytest.mark.parametrize(
    ("change", "dlt", "said"),
    [
        ({}, 1.0, ""),
        ({"grade": 2.0}, 0.0, ""),
        ({"grade": np.nan}, np.nan, "Rash has no grade"),
        ({"grade": np.nan, "start_day": 60.0}, 0.0, ""),
        ({"start_day": np.nan}, np.nan, "the day on which Rash began is not known"),
        ({"grade": 2.0, "start_day": np.nan}, 0.0, ""),
    ],
)
def test_what_cannot_be_told_is_no_answer(change, dlt, said):
    found = endpoints.dlt(RULE, adverse_events=events(**change)).iloc[0]
    assert found["dlt"] == dlt or (np.isnan(dlt) and np.isnan(found["dlt"]))
    assert said in found["reason"]


def test_grades_of_adverse_events_are_read_from_words():
    ae = pd.DataFrame({"USUBJID": list("abcd"), "AETERM": "Rash", "DAY": 3.0,
                       "AETOXGR": ["GRADE 4", "3", "", 2.0]})  # fmt: skip
    np.testing.assert_equal(endpoints.from_ae(ae)["grade"].to_numpy(), [4, 3, np.nan, 2])
    with pytest.raises(DataError, match="patient 'a': AETOXGR is 'severe'"):
        endpoints.from_ae(ae.assign(AETOXGR="severe"))


def test_terms_windows_and_rules_that_make_no_sense():
    rule = endpoints.adverse_event_at_least(3, terms="Rash")
    assert rule.terms == ("rash",)
    assert endpoints.dlt(rule, adverse_events=events())["dlt"].tolist() == [1.0]
    with pytest.warns(DataWarning, match="has the term 'rahs'. Did you mean 'rash'"):
        endpoints.dlt([endpoints.adverse_event_at_least(3, terms="Rahs")], adverse_events=events())
    with pytest.raises(DataError, match=r"window= must be \(first day, last day\)"):
        endpoints.dlt(RULE, adverse_events=events(), window=(28, 0))
    with pytest.raises(DataError, match="3 is no DLT rule"):
        endpoints.dlt([3], adverse_events=events())


def vitals(*rows):
    return pd.DataFrame([{"id": "01", "day": d, **r} for d, r in enumerate(rows, start=1)])


def test_a_grade_that_could_be_higher_is_not_the_highest():
    """Hypotension is grade 2; a cannula without its flow is 2 or 3; fever alone is 1."""
    fever = {"temperature": 39.0}
    open_ = fever | {"oxygen": "nasal cannula"}
    crs = endpoints.crs_grade(vitals(fever | {"hypotension": 1}, open_))
    found = crs.patients.iloc[0]
    assert np.isnan(found["grade"])
    assert found["reason"].startswith("at least grade 2: day 2 could be 3 (nasal cannula")
    assert np.isnan(endpoints.dlt(endpoints.crs_at_least(3), crs=crs)["dlt"].iloc[0])
    assert endpoints.dlt(endpoints.crs_at_least(4), crs=crs)["dlt"].tolist() == [0.0]
    known = endpoints.crs_grade(vitals(fever | {"vasopressors": 1}, open_))
    assert known.patients["grade"].tolist() == [3.0]


def test_a_temperature_missing_after_treatment_is_no_grade_0():
    fever = {"temperature": 39.0, "tocilizumab": 1}
    crs = endpoints.crs_grade(vitals(fever, {"temperature": None}, {"temperature": 36.9}))
    np.testing.assert_equal(crs.records["grade"].to_numpy(), [1, np.nan, 0])
    row = crs.patients.iloc[0]
    assert (row["grade"], row["end_day"]) == (1.0, 3.0)


# --- responses and their options ---------------------------------------------------------------


def points():
    return endpoints.recist(lesions({"T1": 40}, {"T1": 20}, {"T1": 20}))  # days -7, 28, 58


def test_an_assessment_after_death_is_refused_wherever_the_death_is_known():
    dead = pd.DataFrame({"ID": ["1"], "DEATH_DAY": [40.0]})
    seen = points()
    for ask in (
        lambda: endpoints.best_response(seen, dead),
        lambda: endpoints.os(dead, seen),
        lambda: endpoints.pfs(seen, dead),
    ):
        with pytest.raises(DataError, match="assessment on day 58, after the death on day 40"):
            ask()


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda p: endpoints.pfs(p, schedule="28"), "schedule= must be days such as"),
        (lambda p: endpoints.pfs(p, window=-5), "window= must be a number of at least 0, not -5"),
        (lambda p: endpoints.pfs(p, cutoff=-10), "cutoff= must be a number of at least 0"),
        (lambda p: endpoints.best_response(p, allow_ne=-1), "allow_ne= must be a whole number"),
        (lambda p: endpoints.best_response(p, confirmation_days=-3), "confirmation_days= must be"),
        (lambda p: endpoints.best_response(p, min_sd_days="x"), "min_sd_days= must be a number"),
        (lambda p: endpoints.best_response(p, new_therapy={"9": 3}), "the unknown patient '9'"),
        (lambda p: endpoints.landmark(endpoints.pfs(p), months=-1), "months= must be a number"),
    ],
)  # fmt: skip
def test_options_that_make_no_sense_have_their_sentence(ask, said):
    with pytest.raises(DataError, match=said):
        ask(points())


@pytest.mark.parametrize(
    ("basis", "event"),
    [("Symptomatic deterioration", True), ("clinical", True), ("CT", False), ("", False)],
)
def test_clinical_progression_in_other_words(basis, event):
    known = pd.DataFrame({"ID": ["1"], "PD_DAY": [60.0], "PD_BASIS": [basis]})
    found = endpoints.pfs(points(), known, clinical=True)
    assert found["event"].tolist() == [event]
    with pytest.raises(DataError, match="is 'hearsay'; write radiological or clinical"):
        endpoints.read_followup(known.assign(PD_BASIS="hearsay"))


def test_exposure_response_says_the_level_of_its_interval():
    """The half-width on the log scale at 95 % is 1.959964/1.644854 of that at 90 %."""
    x = np.array([1.0, 2, 3, 4, 5, 6, 7, 8])
    trial = pd.DataFrame({"id": [f"p{i}" for i in range(8)], "auc": x,
                          "crs": [0, 0, 1, 0, 1, 0, 1, 1]})  # fmt: skip
    wide = endpoints.exposure_response(trial, "crs", "auc")
    narrow = endpoints.exposure_response(trial, "crs", "auc", prob=0.9)
    half = [np.log(f.ratios["upper"] / f.ratios["lower"]).iloc[0] for f in (wide, narrow)]
    np.testing.assert_allclose(half[0] / half[1], 1.959964 / 1.644854, rtol=1e-6)
    assert set(wide.ratios["prob"]) == {0.95}
    assert "(95 % interval " in repr(wide)
    assert "(90 % interval " in repr(narrow)


def test_tables_that_are_not_there_or_empty_are_said(tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        endpoints.read_lesions(tmp_path / "none.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(DataError, match="is empty"):
        endpoints.read_lesions(tmp_path / "empty.csv")


@pytest.mark.parametrize("aval", ["", ".", "soon"])
def test_a_time_of_adtte_that_is_none(aval):
    table = pd.DataFrame({"USUBJID": ["a"], "PARAMCD": ["OS"], "AVAL": [aval], "CNSR": [1]})
    if aval == "soon":
        with pytest.raises(DataError, match="patient 'a': AVAL is 'soon'; write a number"):
            endpoints.from_adtte(table)
        return
    assert np.isnan(endpoints.from_adtte(table)["time"].iloc[0])
