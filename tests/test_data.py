"""Reading and writing trial tables. Expected values are worked by hand from the small tables."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cart_pkpd import data
from cart_pkpd._core.errors import DataError

TABLE = """\
ID,TIME,DV,DVID,UNIT,LLOQ,AMT,EVID,MDV,WT,SEX
01,0,.,.,.,.,1e7,1,1,70,F
01,-1,BLQ,transgene,copies/ug,50,.,0,0,70,F
01,7,1200.5,transgene,copies/ug,50,.,0,0,70,F
01,14,50,transgene,copies/ug,50,.,0,0,70,F
01,28,0,transgene,copies/ug,50,.,0,0,70,F
01,7,33,IL-6,pg/mL,2,.,0,0,70,F
01,14,>1500,IL-6,pg/mL,2,.,0,0,70,F
01,10,.,tocilizumab,.,.,.,2,1,70,F
02,0,.,.,.,.,3e7,1,1,.,M
02,7,900,transgene,copies/ug,50,.,0,0,.,M
02,9,.,transgene,copies/ug,50,.,0,1,.,M
"""


def write(path: Path, text: str | bytes, name: str = "study.csv") -> Path:
    file = path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


@pytest.fixture
def trial(tmp_path):
    return data.read_table(write(tmp_path, TABLE), echo=False)


def read(tmp_path: Path, text: str | bytes, **options) -> xr.Dataset:
    return data.read_table(write(tmp_path, text), echo=False, **options)


def notes(trial: xr.Dataset) -> str:
    report = data.import_report(trial)
    return "\n".join([*report.notes, *report.guesses])


# --- the Dataset ---------------------------------------------------------------------------


def test_observations(trial):
    first = trial.isel(obs=trial["patient"].values == "01")
    np.testing.assert_array_equal(first["time"], [-1, 7, 14, 28, 7, 14])
    np.testing.assert_array_equal(first["dv"], [50, 1200.5, 50, 50, 33, 1500])
    assert first["censoring"].values.tolist() == ["left", "none", "none", "left", "none", "right"]
    np.testing.assert_array_equal(first["lloq"], [50, 50, 50, 50, 2, 2])
    np.testing.assert_array_equal(first["uloq"], [np.nan] * 5 + [1500])
    np.testing.assert_array_equal(first["row"], [3, 4, 5, 6, 7, 8])
    assert first["endpoint"].values.tolist() == ["transgene"] * 4 + ["il6"] * 2


def test_doses_events_patients_and_measures(trial):
    np.testing.assert_array_equal(trial["amount"], [1e7, 3e7])
    assert trial["dose_patient"].values.tolist() == ["01", "02"]
    assert trial["amount"].attrs["units"] == "cells"
    assert trial["event_name"].values.tolist() == ["tocilizumab"]
    np.testing.assert_array_equal(trial["event_time"], [10])
    np.testing.assert_array_equal(trial["event_value"], [1])
    assert data.patients(trial) == ["01", "02"]
    assert data.endpoints(trial) == ["transgene", "il6"]
    assert trial["unit"].values.tolist() == ["copies/µg", "pg/mL"]
    assert trial["kind"].values.tolist() == ["cells", "cytokine"]
    np.testing.assert_array_equal(trial["dose_level"], [1e7, 3e7])
    np.testing.assert_array_equal(trial["wt"], [70, np.nan])
    assert trial["sex"].values.tolist() == ["F", "M"]


def test_every_variable_is_described_and_can_go_to_a_file(trial, tmp_path):
    for name, variable in trial.variables.items():
        assert variable.attrs["long_name"], name
        if variable.dtype.kind in "fi":
            assert "units" in variable.attrs, name
        else:
            assert variable.dtype.kind == "U", name
    trial.to_netcdf(tmp_path / "trial.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "trial.nc", engine="h5netcdf") as back:
        np.testing.assert_array_equal(back["dv"], trial["dv"])
        assert back["sex"].values.tolist() == ["F", "M"]
        assert data.import_report(back) == data.import_report(trial)


def test_order_is_patient_then_endpoint_then_time_as_they_first_appear(tmp_path):
    text = "ID,TIME,DV,DVID\nb,1,1,il6\na,1,2,crp\nb,0,3,crp\nb,2,4,il6\na,0,5,il6\n"
    trial = read(tmp_path, text)
    found = list(
        zip(*(trial[v].values.tolist() for v in ("patient", "endpoint", "dv")), strict=True)
    )
    assert found == [("b", "il6", 1), ("b", "il6", 4), ("b", "crp", 3), ("a", "il6", 5),
                     ("a", "crp", 2)]  # fmt: skip


def test_endpoint_restricts_and_describes(trial):
    il6 = data.endpoint(trial, "il6")
    np.testing.assert_array_equal(il6["dv"], [33, 1500])
    assert il6["dv"].attrs == {"units": "pg/mL", "long_name": "IL-6"}
    assert il6["uloq"].attrs["units"] == "pg/mL"
    assert il6.sizes["id"] == 2
    assert il6.attrs["endpoint"] == "il6"
    assert trial["dv"].attrs["units"] == "see measure"
    assert "endpoint" not in trial.attrs
    with pytest.raises(DataError, match=r"no endpoint 'IL-6'. Did you mean 'il6'"):
        data.endpoint(trial, "IL-6")


def test_summary_counts_by_dose_level(trial):
    table = data.summary(trial).set_index(["dose_level", "endpoint"])
    assert table.loc[(1e7, "transgene"), ["records", "quantified", "below_lloq"]].tolist() == [
        4,
        2,
        2,
    ]
    assert table.loc[(1e7, "il6"), "above_uloq"] == 1
    assert table.loc[(3e7, "transgene"), "patients"] == 1


# --- the report ----------------------------------------------------------------------------


def test_report_counts_and_lists(trial):
    report = data.import_report(trial)
    assert (report.n_patients, report.n_records, report.n_observations) == (2, 11, 7)
    assert (report.n_doses, report.n_events) == (2, 1)
    transgene, il6 = report.endpoints
    assert (transgene.quantified, transgene.below_lloq, transgene.above_uloq) == (3, 2, 0)
    assert (il6.records, il6.above_uloq) == (2, 1)
    assert dict(report.missing_covariates) == {"wt": 1}
    (out,) = report.exclusions
    assert (out.row, out.patient, out.column, out.reason) == (12, "02", "DV", "MDV is 1")


def test_every_row_is_used_or_excluded(trial):
    report = data.import_report(trial)
    used = {*trial["row"].values, *trial["dose_row"].values, *trial["event_row"].values}
    assert used | {e.row for e in report.exclusions} == set(range(2, 13))


def test_report_survives_json_and_prints_aligned(trial):
    report = data.import_report(trial)
    assert data.ImportReport.from_json(report.to_json()) == report
    text = str(report)
    assert text.startswith("Import report: study.csv\n  2 patients, 11 records: 7 observations")
    table = [line for line in text.splitlines() if "transgene" in line or "il6 " in line][:2]
    assert len({line.index("copies") if "copies" in line else line.index("pg/mL")
                for line in table}) == 1  # fmt: skip
    assert max(len(line) for line in text.splitlines()) <= 100
    assert "&lt; LLOQ" in report._repr_html_()


def test_echo_writes_the_report(tmp_path, capsys):
    trial = data.read_table(write(tmp_path, TABLE))
    assert capsys.readouterr().out == f"{data.import_report(trial)}\n"
    data.read_table(write(tmp_path, TABLE), echo=False)
    assert capsys.readouterr().out == ""


def test_a_dataset_from_elsewhere_has_no_report():
    with pytest.raises(DataError, match="read_table"):
        data.import_report(xr.Dataset())


# --- censoring -----------------------------------------------------------------------------

CENSORING = [
    # cells of DV, CENS, LIMIT, LLOQ, ULOQ -> censoring, dv, lloq, uloq, limit
    ("5", "0", ".", ".", ".", "none", 5, None, None, None),
    ("5", ".", ".", "5", ".", "none", 5, 5, None, None),
    ("4", "0", ".", "5", ".", "left", 5, 5, None, None),
    ("0", "0", ".", "5", ".", "left", 5, 5, None, None),
    ("5", "1", ".", ".", ".", "left", 5, 5, None, None),
    ("0", "1", ".", "5", ".", "left", 5, 5, None, None),
    (".", "1", ".", "5", ".", "left", 5, 5, None, None),
    ("2.5", "1", ".", "5", ".", "left", 5, 5, None, None),
    ("5", "1", "2", ".", ".", "interval", 5, 5, None, 2),
    ("5", "1", "0", ".", "90", "interval", 5, 5, 90, 0),
    ("90", "-1", ".", ".", ".", "right", 90, None, 90, None),
    ("95", "-1", ".", "5", "90", "right", 90, 5, 90, None),
    ("90", "-1", "120", ".", ".", "interval", 120, None, 90, 90),
    ("91", "0", ".", ".", "90", "right", 90, None, 90, None),
    ("90", "0", ".", ".", "90", "none", 90, None, 90, None),
    ("BLQ", ".", ".", "5", ".", "left", 5, 5, None, None),
    ("bql", ".", ".", "5", ".", "left", 5, 5, None, None),
    ("ND", ".", ".", "5", ".", "left", 5, 5, None, None),
    ("not detected", ".", ".", "5", ".", "left", 5, 5, None, None),
    ("<LLOQ", ".", ".", "5", ".", "left", 5, 5, None, None),
    ("<50", ".", ".", ".", ".", "left", 50, 50, None, None),
    ("< 5.0e1", ".", ".", "5", ".", "left", 50, 50, None, None),
    ("≤50", ".", ".", ".", ".", "left", 50, 50, None, None),
    (">1500", ".", ".", ".", ".", "right", 1500, None, 1500, None),
    (">ULOQ", ".", ".", ".", "90", "right", 90, None, 90, None),
    ("0", "0", ".", "0", ".", "none", 0, None, None, None),
    ("5", "0", "2", ".", ".", "none", 5, None, None, None),
]  # fmt: skip


@pytest.mark.parametrize("line", CENSORING, ids=[" ".join(c[:5]) for c in CENSORING])
def test_censoring_rules(tmp_path, line):
    text = "ID,TIME,DV,CENS,LIMIT,LLOQ,ULOQ\n1,0," + ",".join(line[:5]) + "\n"
    trial = read(tmp_path, text)
    expected = [np.nan if x is None else x for x in line[6:]]
    found = [trial[v].values[0] for v in ("dv", "lloq", "uloq", "limit")]
    assert trial["censoring"].values[0] == line[5]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("flag", ["1", "1.0", "Y", "true"])
def test_blq_flag(tmp_path, flag):
    trial = read(tmp_path, f"ID,TIME,DV,BLQ\n1,0,.,{flag}\n1,1,9,0\n", lloq=5)
    np.testing.assert_array_equal(trial["dv"], [5, 9])
    assert trial["censoring"].values.tolist() == ["left", "none"]


def test_limits_by_argument_fill_what_the_column_leaves_open(tmp_path):
    text = "ID,TIME,DV,DVID,LLOQ\n1,0,3,il6,.\n1,1,3,il6,2\n1,0,3,crp,.\n"
    trial = read(tmp_path, text, lloq={"IL-6": 5}, uloq={"crp": 2.5})
    np.testing.assert_array_equal(trial["dv"], [5, 3, 2.5])
    np.testing.assert_array_equal(trial["lloq"], [5, 2, np.nan])
    assert "1 values lie below their LLOQ" in notes(trial)


def test_zeros_without_a_limit_stay_and_are_noted(tmp_path):
    trial = read(tmp_path, "ID,TIME,DV,DVID\n1,0,0,car_abs\n1,1,0,car_abs\n1,2,7,car_abs\n")
    np.testing.assert_array_equal(trial["dv"], [0, 0, 7])
    assert "2 values are 0 and there is no LLOQ" in notes(trial)
    assert "lloq={'car_abs': …}" in notes(trial)


def test_limits_are_converted_with_their_values(tmp_path):
    text = (
        "ID,TIME,DV,DVID,UNIT,LLOQ\n1,0,40,il6,pg/mL,2\n1,1,0.05,il6,ng/mL,0.1\n"
        "1,2,<0.2,il6,ng/mL,.\n"
    )
    trial = read(tmp_path, text)
    np.testing.assert_array_equal(trial["dv"], [40, 100, 200])
    np.testing.assert_array_equal(trial["lloq"], [2, 100, 200])
    assert "converted to pg/mL" in notes(trial)


# --- times and doses -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "options"),
    [("Time (h)", {}), ("TIME", {"time_unit": "hours"}), ("Hours", {}), ("TIME [hr]", {})],
)
def test_hours(tmp_path, header, options):
    trial = read(tmp_path, f"ID,{header},DV\n1,0,1\n1,36,2\n1,168,3\n", **options)
    np.testing.assert_array_equal(trial["time"], [0, 1.5, 7])


def test_time_unit_column(tmp_path):
    trial = read(tmp_path, "USUBJID,AFRLT,RRLTU,AVAL\n1,24,HOURS,2\n1,48,HOURS,3\n")
    np.testing.assert_array_equal(trial["time"], [1, 2])


def test_day_one_without_day_zero(tmp_path):
    trial = read(tmp_path, "ID,TIME,DV\n1,-1,1\n1,1,2\n1,8,3\n", day_one=True)
    np.testing.assert_array_equal(trial["time"], [-1, 0, 7])
    assert "there is no day 0" in notes(trial)


def test_day_one_with_day_zero(tmp_path):
    trial = read(tmp_path, "ID,TIME,NTIME,DV\n1,0,0,1\n1,1,1,2\n1,8,8,3\n", day_one=True)
    np.testing.assert_array_equal(trial["time"], [-1, 0, 7])
    np.testing.assert_array_equal(trial["nominal_time"], [-1, 0, 7])


def test_times_are_shifted_to_the_first_dose(tmp_path):
    text = "ID,TIME,NTIME,DV,AMT\n1,3,1,.,1e6\n1,2,0,9,.\n1,10,8,4,.\n2,0,.,.,1e6\n2,7,7,5,.\n"
    trial = read(tmp_path, text)
    np.testing.assert_array_equal(trial["time"], [-1, 7, 7])
    np.testing.assert_array_equal(trial["nominal_time"], [-1, 7, 7])
    np.testing.assert_array_equal(trial["dose_time"], [0, 0])
    assert "patient 1" in notes(trial)
    kept = read(tmp_path, text, align_to_dose=False)
    np.testing.assert_array_equal(kept["time"], [2, 10, 7])
    np.testing.assert_array_equal(kept["dose_time"], [3, 0])


def test_repeated_doses_are_written_out(tmp_path):
    text = "ID,TIME,DV,AMT,ADDL,II\n1,0,.,1e6,2,168\n1,24,5,.,.,.\n"
    trial = read(tmp_path, text, time_unit="h", dose_unit="cells/kg")
    np.testing.assert_array_equal(trial["dose_time"], [0, 7, 14])
    np.testing.assert_array_equal(trial["amount"], [1e6] * 3)
    assert trial["amount"].attrs["units"] == "cells/kg"
    assert trial["dose_row"].values.tolist() == [2, 2, 2]


@pytest.mark.parametrize("header", ["DUR", "DURATION", "TINF", "Tinf (h)"])
def test_lengths_of_infusions_are_in_the_unit_of_the_times(tmp_path, header):
    text = f"ID,TIME,DV,AMT,{header}\n1,0,.,1e6,6\n1,24,5,.,.\n2,0,.,1e6,\n3,0,.,1e6,0\n"
    trial = read(tmp_path, text, time_unit="h")
    np.testing.assert_array_equal(trial["duration"], [0.25, 0, 0])
    assert trial["duration"].dims == ("dosing",)
    assert trial["duration"].attrs["units"] == "day"
    assert trial["duration"].attrs["long_name"]
    assert "1 of 3 dose records are infusions of 0.25 days" in notes(trial)
    used = {use.header: use.column for use in data.import_report(trial).columns}
    assert used[header] == "DURATION"


def test_a_unit_in_the_header_of_a_length_counts(tmp_path):
    trial = read(tmp_path, "ID,TIME,DV,AMT,DUR (h)\n1,0,.,1e6,6\n1,1,5,.,0\n", time_unit="day")
    np.testing.assert_array_equal(trial["duration"], [0.25])


@pytest.mark.parametrize(
    ("header", "rate"),
    [("RATE", "2e5"), ("RATE (cells/h)", "2e5"), ("RATE [10^6 cells/day]", "4.8")],
)
def test_lengths_of_infusions_from_rates(tmp_path, header, rate):
    text = f"ID,TIME,DV,AMT,{header}\n1,0,.,1e6,{rate}\n1,24,5,.,0\n2,0,.,1e6,0\n3,0,.,1e6,.\n"
    trial = read(tmp_path, text, time_unit="h")
    np.testing.assert_allclose(trial["duration"], [5 / 24, 0, 0], rtol=1e-14)


def test_rates_are_of_the_amounts_as_written(tmp_path):
    text = "ID,TIME,DV,AMT,AMTUNIT,RATE\n1,0,.,10,10^6 cells,40\n1,1,5,.,.,.\n"
    trial = read(tmp_path, text, dose_unit="cells")
    np.testing.assert_array_equal(trial["amount"], [1e7])
    np.testing.assert_array_equal(trial["duration"], [0.25])


def test_the_unit_of_rates_is_brought_to_that_of_the_amounts(tmp_path):
    text = "ID,TIME,DV,AMT,UNIT,RATE (cells/h)\n1,0,.,10,10^6 cells,2e6\n1,24,5,.,copies/ug,.\n"
    trial = read(tmp_path, text, time_unit="h")
    np.testing.assert_allclose(trial["duration"], [5 / 24], rtol=1e-14)


def test_a_length_counts_before_a_rate_that_agrees_but_for_rounding(tmp_path):
    text = "ID,TIME,DV,AMT,DUR,RATE\n1,0,.,1e6,0.3,3.33e6\n1,1,5,.,.,.\n2,0,.,1e6,.,2e6\n"
    trial = read(tmp_path, text)
    np.testing.assert_array_equal(trial["duration"], [0.3, 0.5])


def test_repeated_doses_keep_their_length(tmp_path):
    text = "ID,TIME,DV,AMT,ADDL,II,DUR\n1,0,.,1e6,2,7,0.5\n1,10,.,2e6,0,.,0.25\n1,24,5,.,.,.,.\n"
    trial = read(tmp_path, text)
    np.testing.assert_array_equal(trial["dose_time"], [0, 7, 10, 14])
    np.testing.assert_array_equal(trial["duration"], [0.5, 0.5, 0.25, 0.5])


def test_columns_of_lengths_and_rates_are_mapped(tmp_path):
    text = "ID,TIME,DV,AMT,MINE\n1,0,.,1e6,{}\n1,1,5,.,.\n"
    by_rate = read(tmp_path, text.format("4e6"), columns={"rate": "MINE"})
    by_length = read(tmp_path, text.format("0.25"), columns={"duration": "MINE"})
    np.testing.assert_array_equal(by_rate["duration"], by_length["duration"])
    np.testing.assert_array_equal(by_length["duration"], [0.25])


def test_without_a_column_of_lengths_the_trial_has_none(trial, tmp_path):
    assert "duration" not in trial
    assert "DUR" not in data.write_table(trial)


def test_a_duration_that_is_not_of_infusions_can_be_a_covariate(tmp_path):
    text = "ID,TIME,DV,AMT,Duration\n1,0,.,1e6,30\n1,1,5,.,30\n"
    trial = read(tmp_path, text, columns={"duration": None})
    assert "duration" not in trial
    np.testing.assert_array_equal(trial["duration_covariate"], [30])
    again = data.read_table(data.write_table(trial), echo=False)
    np.testing.assert_array_equal(again["duration_covariate"], [30])


def test_lengths_of_infusions_are_written_and_read_back(tmp_path):
    text = "ID,TIME,DV,AMT,RATE\n1,0,.,1e6,3e5\n1,24,5,.,.\n2,0,.,1e6,0\n2,24,5,.,.\n"
    trial = read(tmp_path, text, time_unit="h")
    frame = data.write_table(trial, tmp_path / "again.csv")
    assert frame.loc[frame["EVID"] == 1, "DUR"].tolist() == [1e6 / 3e5 / 24, 0]
    assert frame.loc[frame["EVID"] == 0, "DUR"].isna().all()
    for source in (tmp_path / "again.csv", frame):
        again = data.read_table(source, echo=False)
        xr.testing.assert_identical(comparable(again), comparable(trial))


def test_infusions_longer_than_a_day_are_pointed_out(tmp_path):
    trial = read(tmp_path, "ID,TIME,DV,AMT,DUR\n1,0,.,1e6,6\n1,1,5,.,.\n")
    np.testing.assert_array_equal(trial["duration"], [6])
    assert "Infusions longer than a day in 1 record (row 2)" in notes(trial)


def test_lengths_of_other_events_are_listed(tmp_path):
    text = "ID,TIME,DV,AMT,EVID,EVENT,DUR\n1,0,.,1e6,1,.,.\n1,1,5,.,0,.,.\n1,2,.,.,2,toci,0.04\n"
    trial = read(tmp_path, text)
    np.testing.assert_array_equal(trial["duration"], [0])
    (left_out,) = data.import_report(trial).exclusions
    assert (left_out.row, left_out.column, left_out.value) == (4, "DUR", "0.04")


def test_dose_units_are_brought_together(tmp_path):
    text = "ID,TIME,DV,AMT,AMTUNIT\n1,0,.,10,10^6 cells\n1,1,5,.,.\n2,0,.,2e7,cells\n2,1,5,.,.\n"
    trial = read(tmp_path, text, dose_unit="cells")
    np.testing.assert_array_equal(trial["amount"], [1e7, 2e7])


def test_the_unit_column_of_dose_records_counts_if_it_counts_cells(tmp_path):
    text = "ID,TIME,DV,AMT,UNIT\n1,0,.,5,{}\n1,1,5,.,copies/ug\n"
    weighed = read(tmp_path, text.format("10^6 cells/kg"))
    assert weighed["amount"].attrs["units"] == "10^6*cells/kg"
    assert read(tmp_path, text.format("copies/ug"))["amount"].attrs["units"] == "cells"


def test_none_is_an_answer_and_na_is_not(tmp_path):
    trial = read(tmp_path, "ID,TIME,DV,AE\n1,0,5,none\n2,0,5,NA\n3,0,5,None\n")
    assert trial["ae"].values.tolist() == ["none", "", "None"]


def test_without_dose_records_the_infusion_is_at_zero(tmp_path):
    trial = read(tmp_path, "ID,TIME,DV\n1,0,1\n")
    assert trial.sizes["dosing"] == 0
    assert "dose_level" not in trial
    assert "infusion is taken to be at time 0" in notes(trial)


def test_patients_without_doses_or_observations_are_noted(tmp_path):
    trial = read(tmp_path, "ID,TIME,DV,AMT\n1,0,.,1e6\n1,1,5,.\n2,0,.,1e6\n3,1,5,.\n")
    assert data.patients(trial) == ["1", "2", "3"]
    assert "Dosed, but without any observation: '2'" in notes(trial)
    assert "No dose record in patient 3" in notes(trial)
    np.testing.assert_array_equal(trial["dose_level"], [1e6, 1e6, np.nan])


def test_other_events(tmp_path):
    text = (
        "ID,TIME,DV,EVID,EVENT\n1,1,5,0,.\n1,2,1,2,Steroids\n1,4,0,2,steroid\n1,5,.,2,TOCI\n"
        "1,6,.,2,.\n1,7,.,3,.\n"
    )
    trial = read(tmp_path, text)
    assert trial["event_name"].values.tolist() == ["steroid", "steroid", "tocilizumab"]
    np.testing.assert_array_equal(trial["event_value"], [1, 0, 1])
    reasons = [e.reason for e in data.import_report(trial).exclusions]
    assert ["without a name" in reasons[0], "reset" in reasons[1]] == [True, True]


# --- columns, endpoints, units -------------------------------------------------------------


def test_free_headers_are_mapped(tmp_path):
    text = "Pat.,Day post infusion,Copies,Kind,WT\nA 1,0,5,x,70\nA 1,7,6,x,70\n"
    trial = read(
        tmp_path,
        text,
        columns={"ID": "Pat.", "TIME": "Day post infusion", "DV": "Copies", "DVID": "Kind"},
        endpoints={"x": "transgene"},
    )
    np.testing.assert_array_equal(trial["time"], [0, 7])
    assert data.patients(trial) == ["A 1"]
    assert data.endpoints(trial) == ["transgene"]
    how = {c.column: c.how for c in data.import_report(trial).columns}
    assert how["DV"] == "columns="


def test_cdisc_names(tmp_path):
    text = (
        "STUDYID,USUBJID,PARAMCD,PARAM,AVAL,AVALC,AVALU,AFRLT,NFRLT,VISIT,PCLLOQ\n"
        "S1,S1-001,IL6,Interleukin 6,.,<LLOQ,pg/mL,0.9,1,DAY 1,2\n"
        "S1,S1-001,IL6,Interleukin 6,8.5,8.5,pg/mL,2.1,2,DAY 2,2\n"
        "S1,S1-001,IL6,Interleukin 6,.,NOT DONE,pg/mL,3,3,DAY 3,2\n"
    )
    trial = read(tmp_path, text)
    np.testing.assert_array_equal(trial["dv"], [2, 8.5])
    np.testing.assert_array_equal(trial["time"], [0.9, 2.1])
    np.testing.assert_array_equal(trial["nominal_time"], [1, 2])
    assert trial["studyid"].values.tolist() == ["S1"]
    unused = {c.header for c in data.import_report(trial).columns if c.column == "not used"}
    assert unused == {"PARAM", "VISIT"}


def test_endpoint_names(tmp_path):
    text = "ID,TIME,DV,DVID\n1,0,1,IFN-gamma\n1,0,1,IL 6\n1,0,1,Soluble BCMA\n1,0,1,car_abs\n"
    trial = read(
        tmp_path, text, endpoints={"car_abs": "car_cells"}, units={"soluble_bcma": "ng/mL"}
    )
    assert data.endpoints(trial) == ["ifng", "il6", "soluble_bcma", "car_cells"]
    assert trial["unit"].values.tolist() == ["pg/mL", "pg/mL", "ng/mL", "cells/µL"]
    assert "'IL 6' is il6" in notes(trial)
    assert "il6 is in pg/mL, its usual unit" in notes(trial)


def test_numbered_endpoints_and_cmt(tmp_path):
    by_number = {1: "transgene", 2: "il6"}
    for header in ("DVID", "CMT", "YTYPE"):
        trial = read(tmp_path, f"ID,TIME,DV,{header}\n1,0,5,1\n1,1,6,2\n", endpoints=by_number)
        assert data.endpoints(trial) == ["transgene", "il6"]
    frame = pd.DataFrame({"ID": [1, 1], "TIME": [0, 1], "DV": [5, 6], "DVID": [1.0, np.nan],
                          "AMT": [np.nan, np.nan]}).head(1)  # fmt: skip
    trial = data.read_table(frame, endpoints={1: "il8"}, echo=False)
    assert data.endpoints(trial) == ["il8"]


def test_single_endpoint(tmp_path):
    text = "ID,TIME,DV,CMT\n1,0,5,1\n1,1,6,1\n"
    assert data.endpoints(read(tmp_path, text)) == ["transgene"]
    assert "'transgene'; endpoints= says otherwise" in notes(read(tmp_path, text))
    assert data.endpoints(read(tmp_path, text, endpoints="IL-6")) == ["il6"]


def test_unit_in_the_header_and_unusual_units(tmp_path):
    trial = read(tmp_path, "ID,Day,DV (cells/uL)\n1,0,5\n")
    assert trial["unit"].values.tolist() == ["cells/µL"]
    assert "usually measured in copies/µg" in notes(trial)
    trial = read(tmp_path, "ID,Day,DV,DVID\n1,0,5,xyz\n")
    assert trial["unit"].values.tolist() == [""]
    assert "unit of xyz is not known" in notes(trial)


def test_a_role_can_be_switched_off(tmp_path):
    text = "ID,TIME,DV,LIMIT\n1,0,5,3\n"
    trial = read(tmp_path, text, columns={"LIMIT": None})
    assert "limit_covariate" in trial
    assert "'limit_covariate'" in notes(trial)


# --- patients and covariates ---------------------------------------------------------------


def test_patient_names_are_text(tmp_path):
    assert data.patients(read(tmp_path, "ID,TIME,DV\n 01 ,0,1\n2,0,1\n")) == ["01", "2"]
    alike = notes(read(tmp_path, "ID,TIME,DV\nA-01,0,1\na01,0,1\n10,0,1\n1.5,0,1\n"))
    assert "similar names: 'A-01' and 'a01'. If" in alike
    frame = pd.DataFrame({"ID": [1.0, 2.0], "TIME": [0, 0], "DV": [1, 2]})
    assert data.patients(data.read_table(frame, echo=False)) == ["1", "2"]


def test_subjects_table(tmp_path):
    text = "ID,TIME,DV,WT\n01,0,1,.\n02,0,1,80\n04,0,1,.\n"
    subjects = "USUBJID,WT,Dose level,SITE\n02,80,DL2,001\n01,70,DL1,002\n03,60,DL1,001\n"
    trial = read(tmp_path, text, subjects=write(tmp_path, subjects, "subjects.csv"))
    assert data.patients(trial) == ["01", "02", "04", "03"]
    np.testing.assert_array_equal(trial["wt"], [70, 80, np.nan, 60])
    np.testing.assert_array_equal(trial["dose_level"], [1, 2, np.nan, 1])
    assert trial["site"].values.tolist() == ["002", "001", "", "001"]
    assert "Not in subjects.csv, so without its covariates: '04'" in notes(trial)
    assert "without any record, kept as patients: '03'" in notes(trial)
    assert dict(data.import_report(trial).missing_covariates) == {
        "wt": 1, "dose_level": 1, "site": 1,
    }  # fmt: skip


def test_chosen_covariates_and_text_among_numbers(tmp_path):
    text = "ID,TIME,DV,WT,AGE (h),VISIT\n1,0,1,70,5,a\n2,0,1,7O,6,b\n"
    trial = read(tmp_path, text)
    assert trial["wt"].values.tolist() == ["70", "7O"]
    assert "because of values such as '7O' (row 3)" in notes(trial)
    assert trial["age"].attrs["units"] == "h"
    trial = read(tmp_path, text, covariates=["age"])
    assert "wt" not in trial
    assert trial["age"].values.tolist() == [5, 6]


# --- rows, files and frames ----------------------------------------------------------------


def test_comment_lines_are_listed(tmp_path):
    text = "#made by hand\nID,TIME,DV\n1,0,5\nC2,1,6\nC,1,6\n@1,1,6\n#1,1,6\n"
    trial = read(tmp_path, text)
    np.testing.assert_array_equal(trial["row"], [3])
    assert [e.row for e in data.import_report(trial).exclusions] == [1, 4, 5, 6, 7]
    named = read(tmp_path, "#ID,TIME,DV\nC01,0,5\nC02,0,6\n")
    assert data.patients(named) == ["C01", "C02"]


def test_duplicates(tmp_path):
    text = "ID,TIME,DV\n1,0,5\n1,0,8\n1,1,3\n"
    for how, value, reason in (
        ("first", 5, "duplicate of row 2"),
        ("last", 8, "duplicate of row 3"),
        ("mean", 6.5, "averaged into row 2"),
    ):
        trial = read(tmp_path, text, duplicates=how)
        np.testing.assert_array_equal(trial["dv"], [value, 3])
        assert [e.reason for e in data.import_report(trial).exclusions] == [reason]


def test_sort_accepts_any_order(tmp_path):
    trial = read(tmp_path, "ID,TIME,DV\n1,7,5\n2,1,1\n1,0,8\n", sort=True)
    np.testing.assert_array_equal(trial["dv"], [8, 5, 1])


def test_missing_marks(tmp_path):
    trial = read(tmp_path, "ID,TIME,DV\n1,0,-99\n1,1,NA\n1,2,\n1,3,.\n1,4,7\n", missing=["-99"])
    np.testing.assert_array_equal(trial["row"], [6])
    frame = pd.DataFrame({"ID": [1, 1], "TIME": [0, 1], "DV": [-99.0, 7.0]})
    assert data.read_table(frame, missing=[-99], echo=False).sizes["obs"] == 1


@pytest.mark.parametrize(
    "content",
    [
        b"ID;TIME;DV\n1;0,5;1200,25\n",
        b"ID\tTIME\tDV\n1\t0.5\t1200.25\n",
        b"ID|TIME|DV\n1|0.5|1200.25\n",
        b"ID TIME   DV\n1  0.5 1200.25\n",
        b"\xef\xbb\xbfID,TIME,DV\r\n1,0.5,1200.25\r\n",
        b"ID,TIME,DV\r1,0.5,1200.25\r",
        "ID,TIME,DV\n1,0.5,1200.25\n".encode("utf-16"),
        gzip.compress(b"ID,TIME,DV\n1,0.5,1200.25\n", mtime=0),
        b'"ID","TIME","DV"\n"1","0.5","1200.25"\n',
        b'"","ID","TIME","DV"\n"1","1",0.5,1.20025e3\n',
        b"ID,TIME,DV,,\n1,0.5,+1200.25,,\n",
    ],
)
def test_dialects(tmp_path, content):
    trial = read(tmp_path, content)
    assert trial["time"].values.tolist() == [0.5]
    assert trial["dv"].values.tolist() == [1200.25]


def test_old_encodings_are_noted(tmp_path):
    text = "ID,TIME,DV,UNIT,SITE\n1,0,5,copies/µg,Zürich\n".encode("cp1252")
    trial = read(tmp_path, text)
    assert trial["unit"].values.tolist() == ["copies/µg"]
    assert trial["site"].values.tolist() == ["Zürich"]
    assert "read as cp1252" in notes(trial)


def test_frames_read_as_files_do(tmp_path, trial):
    frame = pd.read_csv(tmp_path / "study.csv", dtype={"ID": str}, na_values=".")
    again = data.read_table(frame, echo=False)
    xr.testing.assert_identical(again.drop_attrs(), trial.drop_attrs())
    for dtype in ("category", "string", object):
        typed = frame.astype({"ID": dtype, "DVID": dtype})
        xr.testing.assert_identical(
            data.read_table(typed, echo=False).drop_attrs(), trial.drop_attrs()
        )


def test_an_index_with_a_name_is_a_column():
    frame = pd.DataFrame({"TIME": [0, 1], "DV": [1, 2]}, index=pd.Index(["a", "b"], name="ID"))
    assert data.patients(data.read_table(frame, echo=False)) == ["a", "b"]


def test_a_large_table_reads_in_seconds(tmp_path):
    import time

    n = 100_000
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "ID": np.arange(n) // 100,
            "TIME": (np.arange(n) % 50).astype(float),
            "DV": rng.lognormal(size=n),
            "DVID": np.where(np.arange(n) % 100 < 50, "il6", "crp"),
            "LLOQ": 0.5,
            "WT": np.arange(n) // 100,
        }
    )
    path = tmp_path / "large.csv"
    frame.to_csv(path, index=False)
    start = time.process_time()
    trial = data.read_table(path, echo=False)
    assert time.process_time() - start < 6.0
    assert trial.sizes["obs"] == n
    assert int((trial["censoring"] == "left").sum()) == int((frame["DV"] < 0.5).sum())


# --- writing -------------------------------------------------------------------------------


def comparable(trial: xr.Dataset) -> xr.Dataset:
    """Return a trial without what describes the file it came from."""
    bare = trial.drop_vars(["row", "dose_row", "event_row"])
    bare.attrs = {}
    return bare


def test_round_trip_by_file_and_frame(trial, tmp_path):
    frame = data.write_table(trial, tmp_path / "again.csv")
    assert list(frame.columns[:5]) == ["ID", "TIME", "NTIME", "DV", "DVID"]
    for source in (tmp_path / "again.csv", frame):
        again = data.read_table(source, echo=False)
        xr.testing.assert_identical(comparable(again), comparable(trial))
        assert data.import_report(again).exclusions == ()


def test_written_rows_are_ordered_as_nonmem_wants(trial):
    frame = data.write_table(trial)
    assert frame["ID"].is_monotonic_increasing
    assert all(group["TIME"].is_monotonic_increasing for _, group in frame.groupby("ID"))
    assert set(frame["EVID"]) == {0, 1, 2}


def test_writing_leaves_no_half_file(trial, tmp_path, monkeypatch):
    target = write(tmp_path, "precious", "out.csv")

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(DataError, match="cannot be written: No space left"):
        data.write_table(trial, target)
    assert target.read_text() == "precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.csv", "study.csv"]


def test_writing_nowhere(trial, tmp_path):
    with pytest.raises(DataError, match="cannot be written"):
        data.write_table(trial, tmp_path / "missing" / "out.csv")


positive = st.floats(1e-12, 1e12)
instant = st.floats(-30, 400).map(lambda t: t + 0.0)  # no negative zero
gap = st.just("")


@st.composite
def value_cells(draw):
    """Cells of DV, CENS, LIMIT, LLOQ, ULOQ of every kind of record."""
    low, middle, high = sorted(draw(st.lists(positive, min_size=3, max_size=3, unique=True)))
    return draw(
        st.sampled_from(
            [
                (middle, 0, "", low, high),
                (middle, "", "", "", ""),
                (0.0, 0, "", "", ""),
                (middle, 1, "", "", high),
                (middle, 1, low, "", ""),
                (middle, -1, "", low, ""),
                (middle, -1, high, low, ""),
                (f"<{middle!r}", "", "", "", ""),
                (f">{middle!r}", "", "", low, ""),
                (low, 0, "", middle, high),
                ("", 1, "", middle, ""),
                ("", 0, "", "", ""),
            ]
        )
    )


COLUMNS = [
    "ID", "TIME", "AMT", "EVID", "DVID", "AMTUNIT", "DV", "CENS", "LIMIT", "LLOQ", "ULOQ", "NTIME",
    "WT", "SITE",
]  # fmt: skip


@st.composite
def tables(draw):
    """Small tables with doses, several endpoints, events, covariates and gaps."""
    patients = draw(st.lists(st.sampled_from(["01", "2", "P-2", "=x y", "'é"]), min_size=1,
                             max_size=3, unique=True))  # fmt: skip
    lines = []
    for patient in patients:
        site, weight = draw(st.sampled_from(["A, B", 'q"q', ""])), draw(positive | gap)
        start = draw(instant)
        block = [(start, draw(positive), 1, "", "cells", "", "", "", "", "")] * draw(
            st.integers(0, 1)
        )
        for name in draw(st.lists(st.sampled_from(["il6", "crp", "zz"]), max_size=3, unique=True)):
            for t in sorted(draw(st.lists(instant, max_size=4, unique=True))):
                block.append((t, "", 0, name, "", *draw(value_cells())))
        if draw(st.booleans()):
            block.append((draw(instant), "", 2, "steroid", "", "", "", "", "", ""))
        lines += [(patient, *record, draw(instant), weight, site) for record in block]
    return pd.DataFrame(lines, columns=COLUMNS, dtype=object)


def ok(table: pd.DataFrame) -> xr.Dataset | None:
    """Return the trial, or None if the table happens to have no value."""
    observed = (table["EVID"] == 0) & ((table["DV"] != "") | (table["CENS"] == 1))
    if not observed.any():
        with pytest.raises(DataError, match=r"no observation record|no rows"):
            data.read_table(table, sort=True, echo=False)
        return None
    return data.read_table(table, sort=True, duplicates="first", echo=False)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(tables())
def test_whatever_is_read_is_written_and_read_back_the_same(tmp_path, table):
    trial = ok(table)
    if trial is None:
        return
    again = data.read_table(data.write_table(trial), echo=False)
    xr.testing.assert_identical(comparable(again), comparable(trial))
    data.write_table(trial, tmp_path / "t.csv")
    filed = data.read_table(tmp_path / "t.csv", echo=False)
    xr.testing.assert_identical(comparable(filed), comparable(trial))


@settings(max_examples=20, deadline=None)
@given(tables(), st.randoms(use_true_random=False))
def test_the_order_of_patient_blocks_does_not_matter(table, random):
    trial = ok(table)
    if trial is None:
        return
    blocks = [group for _, group in table.groupby("ID", sort=False)]
    random.shuffle(blocks)
    shuffled = ok(pd.concat(blocks, ignore_index=True))
    for variable in ("wt", "site"):
        one = dict(zip(trial["id"].values, trial[variable].values, strict=True))
        two = dict(zip(shuffled["id"].values, shuffled[variable].values, strict=True))
        np.testing.assert_array_equal([one[k] for k in sorted(one)], [two[k] for k in sorted(one)])
    keys = ["patient", "endpoint", "time"]
    columns = [*keys, "dv", "lloq", "uloq", "limit", "censoring", "nominal_time", "occasion"]
    frames = [
        pd.DataFrame({c: t[c].values for c in columns}).sort_values(keys, ignore_index=True)
        for t in (trial, shuffled)
    ]
    pd.testing.assert_frame_equal(*frames)
    np.testing.assert_array_equal(np.sort(trial["amount"]), np.sort(shuffled["amount"]))


@pytest.mark.real_data
def test_public_patients_are_read_as_their_description_says(car22_folder):
    """59 patients, CAR+ cells by flow in 55; zeros mean not detected (README of the data)."""
    home = car22_folder / "car22"
    raw = pd.read_csv(home / "observations.csv")
    trial = data.read_table(
        home / "observations.csv",
        subjects=home / "subjects.csv",
        endpoints={"car_abs": "car_cells"},
        lloq={"car_cells": 0.04},
        echo=False,
    )
    cells = data.endpoint(trial, "car_cells")
    assert (len(data.patients(trial)), len(set(cells["patient"].values))) == (59, 55)
    assert trial.sizes["obs"] == len(raw)
    below = raw["DV"][raw["DVID"] == "car_abs"] < 0.04
    assert int((cells["censoring"] == "left").sum()) == int(below.sum()) > 0
    assert set(trial["dose_level"].values) == {1.0, 2.0, 3.0}
    assert trial.sizes["dosing"] == 0
    again = data.read_table(data.write_table(trial), echo=False)
    xr.testing.assert_identical(comparable(again), comparable(trial))


def test_a_patient_called_c_among_letters_is_a_patient(tmp_path):
    path = tmp_path / "letters.csv"
    path.write_text("ID,TIME,DV\nA,1,100\nB,1,100\nC,1,100\nC,3,50\n", encoding="utf-8")
    assert data.patients(data.read_table(path, echo=False)) == ["A", "B", "C"]


def test_an_endpoint_of_cells_under_an_unknown_name_is_of_kind_cells(tmp_path):
    path = tmp_path / "kinds.csv"
    path.write_text(
        "ID,TIME,DVID,UNIT,DV\n1,1,car_abs,cells/uL,5\n1,1,il_18,pg/mL,5\n", encoding="utf-8"
    )
    trial = data.read_table(path, echo=False)
    kinds = dict(zip(trial["measure"].to_numpy(), trial["kind"].to_numpy(), strict=True))
    assert kinds == {"car_abs": "cells", "il_18": "other"}


# --- what deserves a second look ------------------------------------------------------------


def test_a_marked_value_that_is_not_its_limit_is_noted(tmp_path):
    text = "ID,TIME,DV,CENS,LLOQ,ULOQ\n1,0,20,1,50,900\n1,1,50,1,50,900\n1,2,0,1,50,900\n"
    trial = read(tmp_path, text + "1,3,30,1,50,900\n1,4,999,-1,50,900\n1,5,70,0,50,900\n")
    np.testing.assert_array_equal(trial["dv"], [50, 50, 50, 50, 900, 70])
    said = notes(trial)
    assert "DV is not the LLOQ in 2 records (rows 2, 5) marked as below it: 20 beside 50" in said
    assert "DV is not the ULOQ in 1 record (row 6) marked as above it: 999 beside 900" in said


def test_a_limit_in_the_text_that_is_not_the_columns_is_noted(tmp_path):
    head = "ID,TIME,DV,LLOQ,ULOQ,UNIT\n"
    text = "1,0,<20,50,900,pg/mL\n1,1,<50,50,900,pg/mL\n1,2,>800,50,900,ng/mL\n1,3,<50,.,.,pg/mL\n"
    trial = read(tmp_path, head + text, endpoints="il6")
    np.testing.assert_array_equal(trial["lloq"], [20, 50, 50_000, 50])
    said = notes(trial)
    assert "different LLOQs in 1 record (row 2): '<20' beside 50" in said
    assert "different ULOQs in 1 record (row 4): '>800' beside 900" in said
    agreed = read(tmp_path, head + "1,0,<50,50,900,pg/mL\n", endpoints="il6", lloq=10)
    assert "different" not in notes(agreed)


def test_a_time_that_elsewhere_means_missing_is_pointed_out(tmp_path):
    text = "ID,TIME,DV\n1,-99,4\n1,1,5\n2,-99.0,4\n2,1,5\n"
    trial = read(tmp_path, text)
    np.testing.assert_array_equal(trial["time"], [-99, 1, -99, 1])
    assert "TIME is -99 in 2 records (rows 2, 4), which is taken as a time" in notes(trial)
    with pytest.raises(DataError) as caught:
        read(tmp_path, text, missing=[-99])
    assert {p.code for p in caught.value.problems} == {"missing_time"}
    assert "is taken as a time" not in notes(read(tmp_path, text.replace("-99", "-98")))


@pytest.mark.parametrize(
    ("times", "why"),
    [
        ("0 4 6480", "Times run to 6480; they are taken to be in days. If they are hours"),
        ("0 2 24 48 168 672", "Times run to 672 and are mostly multiples of 24; they"),
        ("0 1 7 28 3650", ""),
        ("0 24 48 96", ""),  # three of them may be chance
        ("0 24 48 96 100 192 365", ""),
    ],
)
def test_times_without_a_unit_that_look_like_hours_are_pointed_out(tmp_path, times, why):
    text = "ID,TIME,DV\n" + "".join(f"1,{t},5\n" for t in times.split())
    guesses = data.import_report(read(tmp_path, text)).guesses
    said = [g for g in guesses if g.startswith(why or "Times are in days")]
    assert len(said) == 1
    for unit in ("h", "day"):
        report = data.import_report(read(tmp_path, text, time_unit=unit))
        assert not [g for g in report.guesses if g.startswith("Times")]


CDISC = (
    "PCTPTNUM PCTPT PCSEQ VISIT VISITNUM ADT ADTM ATPT ATPTN AVISIT AVISITN ASEQ PCDTC PCORRES "
    "PCSPEC PCMETHOD PCELTM PCDY ADY LBSEQ CPTPT GFSPEC ISDTC CHG"
)


def test_columns_of_cdisc_that_vary_by_record_are_set_aside(tmp_path):
    head = ",".join(["USUBJID", "TIME", "AVAL", "PCSTRESC", "SEX", *CDISC.split()])
    n = len(CDISC.split())
    text = f"{head}\n1,0,5,5,F{',a' * n}\n1,1,6,6,F{',b' * n}\n"
    trial = read(tmp_path, text)
    assert [v for v in trial.data_vars if trial[v].dims == ("id",)] == ["sex"]
    assert trial["sex"].item() == "F"
    assert "aside, because they describe records and not patients: PCTPTNUM, PCTPT" in notes(trial)
    unused = {c.header for c in data.import_report(trial).columns if c.column == "not used"}
    assert unused == set(CDISC.split())


def test_a_study_day_as_time_says_that_its_first_day_is_1(tmp_path):
    text = "ID,ADY,DV\n1,-1,4\n1,1,5\n1,8,6\n"
    plain = read(tmp_path, text, columns={"TIME": "ADY"})
    np.testing.assert_array_equal(plain["time"], [-1, 1, 8])
    assert "CDISC study days call the first day 1" in notes(plain)
    counted = read(tmp_path, text, columns={"TIME": "ADY"}, day_one=True)
    np.testing.assert_array_equal(counted["time"], [-1, 0, 7])
    assert "CDISC study days" not in notes(counted)


def test_a_second_infusion_with_evid_4_on_a_running_clock_is_fine(tmp_path):
    head = "ID,TIME,DV,AMT,EVID\n1,0,.,1e7,4\n1,7,5,.,0\n"
    trial = read(tmp_path, head + "1,28,.,2e7,4\n1,35,6,.,0\n2,0,.,1e7,4\n2,7,5,.,0\n")
    np.testing.assert_array_equal(trial["dose_time"], [0, 28, 0])
    late = read(tmp_path, "ID,TIME,DV,AMT,EVID\n1,7,5,.,0\n1,0,.,1e7,4\n", sort=True)
    np.testing.assert_array_equal(late["time"], [7])


def test_points_that_may_all_separate_thousands_are_pointed_out(tmp_path):
    text = "ID;TIME;DV\n1;0;.\n1;1;12.345\n1;2;1.234\n1;3;7\n"
    trial = read(tmp_path, text)
    np.testing.assert_array_equal(trial["dv"], [12.345, 1.234, 7])
    assert "three digits after it, such as '12.345' in row 3" in notes(trial)
    for clear in (text.replace(";7", ";7.5"), text.replace("1.234", "0.234")):
        assert "three digits" not in notes(read(tmp_path, clear))
    assert "three digits" not in notes(read(tmp_path, text, decimal="."))
    assert "three digits" not in notes(read(tmp_path, text.replace(";", ",")))
