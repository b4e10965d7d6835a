"""Reading tables: the Dataset, its report, censoring, times and doses."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from data_tables import TABLE, comparable, notes, read, write

from cart_pkpd import data
from cart_pkpd._core.errors import DataError


@pytest.fixture
def trial(tmp_path):
    return read(tmp_path, TABLE)


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
