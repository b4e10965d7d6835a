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
    with pytest.raises(DataError, match="the lost of patient 1 in row 2 is 'MAYBE'"):
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
    with pytest.raises(DataError, match="on day -40 .*before the baseline on day -3"):
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
