"""CDISC: made-up SDTM and ADaM files, read to days and names, and written again."""

import importlib.util
import sys

import numpy as np
import pandas as pd
import pytest

from cart_pkpd import data, datasets, endpoints, nca
from cart_pkpd._core.errors import CartError, DataError
from cart_pkpd.endpoints import DAYS_PER_MONTH

XPT = pytest.param(
    "xpt", marks=pytest.mark.skipif(importlib.util.find_spec("pyreadstat") is None,
                                    reason="needs pyreadstat"),
)  # fmt: skip


def sdtm():
    """Lymphodepletion begins on study day 1 = 2024-03-01, the infusion is on study day 6."""
    ex = pd.DataFrame(
        {"USUBJID": ["S-01"] * 2 + ["S-02"], "EXTRT": ["FLUDARABINE", "MSLN CAR-T", "MSLN CAR-T"],
         "EXDOSE": [25.0, 1e7, 3e7], "EXDOSU": ["mg/m2", "cells", "cells"],
         "EXSTDTC": ["2024-03-01", "2024-03-06T10:00", "2024-04-10"], "EXSTDY": [1, 6, 6]}
    )  # fmt: skip
    pc = pd.DataFrame(
        {"USUBJID": ["S-01", "S-01", "S-01", "S-02", "S-02"], "PCTESTCD": ["CARTQ"] * 5,
         "PCSTRESN": [np.nan, 1200.0, 350.0, 90.0, np.nan],
         "PCSTRESC": ["<50", "1200", "350", "90", ""], "PCSTRESU": ["copies/ug"] * 5,
         "PCLLOQ": [50.0] * 5, "PCSTAT": ["", "", "", "", "NOT DONE"],
         "PCDTC": ["2024-03-06T22:00", "2024-03-16T10:00", "2024-04-03", "", "2024-04-24"],
         "PCDY": [6, 16, 34, 13, 20]}
    )  # fmt: skip
    lb = pd.DataFrame(
        {"USUBJID": ["S-01", "S-01"], "LBTESTCD": ["IL6", "ALT"], "LBSTRESN": [140.0, 30.0],
         "LBSTRESC": ["140", "30"], "LBSTRESU": ["pg/mL", "U/L"],
         "LBDTC": ["2024-03-09", "2024-03-09"]}
    )  # fmt: skip
    dm = pd.DataFrame({"USUBJID": ["S-01", "S-02"], "AGE": [61.0, 55.0], "SEX": ["F", "M"],
                       "RFSTDTC": ["2024-03-01", "2024-04-05"]})  # fmt: skip
    ae = pd.DataFrame(
        {"USUBJID": ["S-01", "S-02"], "AEDECOD": ["Pneumonitis", "Nausea"],
         "AETOXGR": ["3", "1"], "AESER": ["Y", "N"], "AEREL": ["RELATED", "NOT RELATED"],
         "AESTDTC": ["2024-03-16", "2024-04-12"], "AEENDTC": ["2024-03-22", ""]}
    )  # fmt: skip
    return {"dm": dm, "ex": ex, "pc": pc, "lb": lb, "ae": ae}


def tumours():
    tu = pd.DataFrame(
        {"USUBJID": ["S-01"] * 3, "TULNKID": ["T01", "T02", "NT01"],
         "TUSTRESC": ["TARGET", "TARGET", "NON-TARGET"],
         "TULOC": ["PANCREAS", "LYMPH NODE", "PERITONEUM"]}
    )  # fmt: skip
    rows = []
    for day, t1, node, state in ((-5, 40.0, 18.0, "PRESENT"), (29, 20.0, 9.0, "ABSENT")):
        for lesion, test, size, said in (("T01", "LDIAM", t1, ""), ("T02", "SAXIS", node, ""),
                                         ("NT01", "TUMSTATE", np.nan, state)):  # fmt: skip
            rows.append(
                {"USUBJID": "S-01", "TRLNKID": lesion, "TRTESTCD": test, "TRSTRESN": size,
                 "TRSTRESC": said or str(size), "TRDY": day + 6 if day > 0 else day,
                 "VISIT": f"D{day}"}
            )  # fmt: skip
    rs = pd.DataFrame(
        {"USUBJID": ["S-01"] * 2, "RSTESTCD": ["OVRLRESP", "TRGRESP"], "RSSTRESC": ["PR", "PR"],
         "RSDTC": ["2024-04-04"] * 2, "VISIT": ["D29"] * 2}
    )  # fmt: skip
    return {"tu": tu, "tr": pd.DataFrame(rows), "rs": rs}


def test_the_day_of_infusion_counts_from_the_first_patients_infusion():
    """6 March to 10 April are 35 days; lymphodepletion and times of day do not count."""
    trial = data.read_sdtm(sdtm(), infusion="CAR-T").trial
    assert trial["infusion_day"].sel(id=["S-01", "S-02"]).values.tolist() == [0.0, 35.0]


def written(tables, folder, ending):
    for name, table in tables.items():
        data.write_dataset(table, folder / f"{name}.{ending}")
    return folder


# --- SDTM --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [XPT, "csv"])
def test_sdtm_becomes_the_trial_in_days_since_the_infusion(tmp_path, ending):
    folder = written(sdtm(), tmp_path, ending)
    found = data.read_sdtm(folder, codes={"CARTQ": "transgene"}, infusion="CAR-T")
    trial = found.trial
    assert trial["id"].values.tolist() == ["S-01", "S-02"]
    assert sorted(trial["measure"].values.tolist()) == ["il6", "transgene"]
    cells = data.endpoint(trial, "transgene")
    # 12 h after the infusion; 10 days to the hour; a date without a time; study day 13 − 6.
    np.testing.assert_allclose(cells["time"], [0.5, 10.0, 28.0, 7.0])
    assert cells["censoring"].values.tolist() == ["left", "none", "none", "none"]
    assert cells["dv"].values.tolist() == [50.0, 1200.0, 350.0, 90.0]
    assert data.endpoint(trial, "il6")["time"].values.tolist() == [3.0]
    assert trial["amount"].values.tolist() == [1e7, 3e7]
    assert trial["age"].values.tolist() == [61.0, 55.0]
    assert "PC: 1 records not done." in found.notes
    assert "LB: tests not used: ALT; codes= says what they are." in found.notes
    assert "pc" in found
    assert repr(found).startswith("SDTM: ")


@pytest.mark.parametrize("ending", [XPT, "csv"])
def test_adverse_events_become_dose_limiting_by_a_rule(tmp_path, ending):
    found = data.read_sdtm(written(sdtm(), tmp_path, ending), infusion="CAR-T",
                           codes={"CARTQ": "transgene"})  # fmt: skip
    events = endpoints.from_ae(found["ae"])
    assert events["start_day"].tolist() == [10.0, 2.0]
    assert events["end_day"].iloc[0] == 16.0
    assert np.isnan(events["end_day"].iloc[1])
    assert events["serious"].tolist() == [True, False]
    rule = endpoints.adverse_event_at_least(3, lasting_hours=72)
    assert endpoints.dlt([rule], adverse_events=events)["dlt"].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("ending", [XPT, "csv"])
def test_tumour_domains_become_lesions_and_a_response(tmp_path, ending):
    """40 + 18 mm to 20 + 9 mm is −50 %: PR; the node below 10 mm is normal."""
    folder = written(sdtm() | tumours(), tmp_path, ending)
    found = data.read_sdtm(folder, codes={"CARTQ": "transgene"}, infusion="CAR-T")
    lesions = endpoints.lesions_from_sdtm(found["tu"], found["tr"])
    assert lesions["day"].unique().tolist() == [-10.0, 29.0]  # no study day 0 between -5 and 6
    assert lesions["node"].sum() == 2
    points = endpoints.recist(lesions)
    last = points.iloc[-1]
    assert (last["overall"], last["sum"], last["non_target"]) == ("PR", 29.0, "CR")
    read = endpoints.from_rs(found["rs"]).iloc[0]
    assert (read["overall"], read["target"], read["day"]) == ("PR", "PR", 29.0)


def test_sdtm_says_what_it_needs(tmp_path):
    tables = sdtm()
    with pytest.raises(DataError, match=r"several treatments \(FLUDARABINE, MSLN CAR-T\)"):
        data.read_sdtm(tables)
    with pytest.raises(DataError, match="EX has no treatment 'CARTT'"):
        data.read_sdtm(tables, infusion="CARTT")
    with pytest.raises(DataError, match="unknown data set 'pcc'"):
        data.read_sdtm({"pcc": tables["pc"]})
    with pytest.raises(DataError, match="PC has no column PCSTRESN"):
        data.read_sdtm({"pc": tables["pc"].drop(columns="PCSTRESN")}, codes={"CARTQ": "transgene"})
    with pytest.raises(DataError, match=r"has none of dm\.xpt"):
        data.read_sdtm(tmp_path)
    with pytest.raises(DataError, match="is no folder"):
        data.read_sdtm(tmp_path / "nowhere")
    found = data.read_sdtm({"ae": tables["ae"].assign(AESTDY=[11, 8])})
    assert found.trial is None
    assert found["ae"]["DAY"].tolist() == [10.0, 7.0]  # without EX, study day 1 is the infusion
    with pytest.raises(DataError, match="there is no data set 'tr'"):
        found["tr"]
    both = tmp_path / "both"
    both.mkdir()
    data.write_dataset(tables["pc"], both / "pc.csv")
    (both / "PC.csv").write_text("x")
    with pytest.raises(DataError, match="pc is there twice"):
        data.read_sdtm(both)


def test_results_without_a_lesion_and_unknown_responses_are_refused():
    tables = tumours()
    tr = tables["tr"].assign(DAY=tables["tr"]["TRDY"])
    with pytest.raises(DataError, match="the lesion 'NT01', which TU does not have"):
        endpoints.lesions_from_sdtm(tables["tu"].iloc[:2], tr)
    rs = tables["rs"].assign(DAY=29.0, RSSTRESC=["VGPR", "PR"])
    with pytest.raises(DataError, match="has the response 'VGPR' in RS"):
        endpoints.from_rs(rs)


# --- ADaM --------------------------------------------------------------------------------------


def adam():
    hours = [0.5 * 24, 10 * 24, 28 * 24]
    adpc = pd.DataFrame(
        {"USUBJID": ["S-01"] * 3 + ["S-02"] * 3, "PARAMCD": "CARTQ", "AFRLT": hours * 2,
         "RRLTU": "HOURS", "AVAL": [np.nan, 1200.0, 350.0, 60.0, 800.0, 90.0],
         "AVALC": ["<LLOQ", "1200", "350", "60", "800", "90"], "AVALU": "copies/ug",
         "ALLOQ": 50.0, "DOSEA": [1e7] * 3 + [3e7] * 3, "DOSEU": "cells"}
    )  # fmt: skip
    adsl = pd.DataFrame({"USUBJID": ["S-01", "S-02"], "AGE": [61.0, 55.0],
                         "TRTSDT": [23441.0, 23476.0]})  # fmt: skip
    return {"adsl": adsl, "adpc": adpc}


@pytest.mark.parametrize("ending", [XPT, "csv"])
@pytest.mark.parametrize("name", ["adpc", "adnca"])
def test_adam_becomes_the_trial(tmp_path, ending, name):
    tables = adam()
    tables[name] = tables.pop("adpc")
    found = data.read_adam(written(tables, tmp_path, ending), codes={"CARTQ": "transgene"})
    np.testing.assert_allclose(found.trial["time"], [0.5, 10, 28] * 2)
    assert found.trial["dv"].values.tolist() == [50, 1200, 350, 60, 800, 90]
    assert found.trial["censoring"].values[0] == "left"
    assert found.trial["amount"].values.tolist() == [1e7, 3e7]
    assert found.trial["age"].values.tolist() == [61, 55]
    assert "trtsdt" not in found.trial
    assert nca.table(found.trial, endpoint="transgene")["cmax"].values.tolist() == [1200, 800]


def test_adam_says_what_it_needs():
    tables = adam()
    with pytest.raises(DataError, match="AFRLT has no unit; say which: time_unit='h'"):
        data.read_adam({"adpc": tables["adpc"].drop(columns="RRLTU")}, codes={"CARTQ": "transgene"})
    with pytest.raises(DataError, match="have a column 'DOSEB'"):
        data.read_adam(tables, codes={"CARTQ": "transgene"}, dose="DOSEB")
    with pytest.raises(DataError, match="ADPC has neither AFRLT nor ADY"):
        data.read_adam({"adpc": tables["adpc"].drop(columns="AFRLT")})
    none = data.read_adam({"adpc": tables["adpc"].drop(columns="DOSEA")},
                          codes={"CARTQ": "transgene"})  # fmt: skip
    assert any(n.startswith("No dose") for n in none.notes)
    assert data.read_adam({"adpc": tables["adpc"]}).trial is None


# --- round trips -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fast01():
    lesions = endpoints.read_lesions(datasets.load("fast01", table="lesions"))
    followup = endpoints.read_followup(datasets.load("fast01", table="followup"))
    points = endpoints.recist(lesions)
    return points, endpoints.best_response(points, followup), endpoints.os(followup)


@pytest.mark.parametrize("ending", [XPT, "csv"])
def test_adtte_survives_the_round_trip(tmp_path, fast01, ending):
    times = fast01[2]
    target = data.write_dataset(
        endpoints.adtte(times, study="FAST01"), tmp_path / f"adtte.{ending}"
    )
    back = endpoints.from_adtte(data.read_dataset(target), "OS")
    for column in ("id", "endpoint", "event"):
        assert back[column].tolist() == times[column].tolist()
    for column in ("time", "months", "day", "start_day"):
        np.testing.assert_allclose(back[column], times[column], rtol=1e-12, atol=1e-9)
    whole = endpoints.kaplan_meier(times).summary.iloc[0]
    again = endpoints.kaplan_meier(back).summary.iloc[0]
    assert again["median"] == pytest.approx(whole["median"])


@pytest.mark.parametrize("ending", [XPT, "csv"])
def test_adrs_survives_the_round_trip(tmp_path, fast01, ending):
    points, best, _ = fast01
    table = endpoints.adrs(points, best, study="FAST01")
    assert set(table["PARAMCD"]) == {"OVR", "TRGRESP", "NTRGRESP", "BOR", "CBOR", "RSP", "CRSP"}
    assert table[table["AVALC"] == "CR"]["AVAL"].eq(1).all()
    back = data.read_dataset(data.write_dataset(table, tmp_path / f"adrs.{ending}"))
    read = endpoints.from_adrs(back)
    wanted = points[~points["baseline"]].sort_values(["id", "day"], kind="stable")
    assert read["overall"].tolist() == wanted["overall"].tolist()
    np.testing.assert_allclose(read["day"], wanted["day"], rtol=1e-12, atol=1e-9)
    yes = back[back["PARAMCD"] == "CRSP"].set_index("USUBJID")["AVALC"] == "Y"
    assert yes.sum() == best["confirmed"].isin(["CR", "PR"]).sum()


@pytest.mark.parametrize("ending", [XPT, "csv"])
def test_adpp_survives_the_round_trip(tmp_path, ending):
    params = nca.table(datasets.load("fast01"), endpoint="transgene", window=(0, 28))
    table = nca.adpp(params, study="FAST01")
    area = table[table["PARAMCD"] == "AUCINT"].iloc[0]
    assert (area["PPSTINT"], area["PPENINT"]) == ("P0D", "P28D")
    assert area["AVALU"] == "copies/µg*day"
    back = nca.from_adpp(data.read_dataset(data.write_dataset(table, tmp_path / f"adpp.{ending}")))
    assert back["id"].tolist() == params["id"].values.tolist()
    for name in ("cmax", "tmax", "auc0_28", "half_life"):
        np.testing.assert_allclose(back[name], params[name].values, rtol=1e-12)
    assert back.attrs["units"]["cmax"] == "copies/µg"
    missing = table[table["AVAL"].isna()]
    assert (missing["PPREASND"] != "").all()


def test_times_in_months_and_kinds_of_censoring():
    table = pd.DataFrame(
        {"USUBJID": ["a", "b"], "PARAMCD": "PFS", "AVAL": [2.0, 4.0], "AVALU": "MONTHS",
         "CNSR": [0, 2]}
    )  # fmt: skip
    found = endpoints.from_adtte(table)
    np.testing.assert_allclose(found["time"], [2 * DAYS_PER_MONTH, 4 * DAYS_PER_MONTH])
    assert found["event"].tolist() == [True, False]
    with pytest.raises(DataError, match="AVALU is 'FORTNIGHTS'"):
        endpoints.from_adtte(table.assign(AVALU="FORTNIGHTS"))
    with pytest.raises(DataError, match="CNSR is 'Y'; it must be 0 for an event"):
        endpoints.from_adtte(table.assign(CNSR="Y"))
    with pytest.raises(DataError, match="ADTTE has no parameter 'OS'"):
        endpoints.from_adtte(table, "OS")


def test_what_a_transport_file_cannot_hold_is_refused(tmp_path):
    with pytest.raises(DataError, match="the name 'LONGHEADER' is longer than 8"):
        data.write_dataset(pd.DataFrame({"LONGHEADER": [1]}), tmp_path / "a.xpt")
    with pytest.raises(DataError, match="column A holds a text of 201 bytes"):
        data.write_dataset(pd.DataFrame({"A": ["x" * 201]}), tmp_path / "a.xpt")
    with pytest.raises(DataError, match=r"must end in \.xpt or \.csv"):
        data.write_dataset(pd.DataFrame({"A": [1]}), tmp_path / "a.sas7bdat")
    with pytest.raises(DataError, match="there is no file"):
        data.read_dataset(tmp_path / "none.csv")


def test_without_pyreadstat_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyreadstat", None)
    (tmp_path / "dm.xpt").write_bytes(b"HEADER RECORD*******")
    with pytest.raises(CartError, match=r"pip install 'cart-pkpd\[cdisc\]'"):
        data.read_dataset(tmp_path / "dm.xpt")


def test_parameters_of_several_analytes_or_twice_are_refused():
    table = pd.DataFrame({"USUBJID": ["a", "a"], "PARAMCD": "CMAX", "AVAL": [1.0, 2.0],
                          "PARCAT1": ["x", "y"]})  # fmt: skip
    with pytest.raises(DataError, match=r"several analytes \(x, y\)"):
        nca.from_adpp(table)
    assert nca.from_adpp(table, "y")["cmax"].tolist() == [2.0]
    with pytest.raises(DataError, match="'a' has the parameter CMAX twice"):
        nca.from_adpp(table.assign(PARCAT1="x"))


def test_numbers_with_leading_zeros_stay_text(tmp_path):
    path = tmp_path / "dm.csv"
    path.write_text("usubjid,age\n001,61\n002,\n", encoding="utf-8")
    found = data.read_dataset(path)
    assert found["USUBJID"].tolist() == ["001", "002"]
    assert found["AGE"].tolist()[0] == 61.0
