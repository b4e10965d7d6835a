"""Writing tables: what comes back is what was there."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from data_tables import TABLE, comparable, read, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cart_pkpd import data
from cart_pkpd._core.errors import DataError


@pytest.fixture
def trial(tmp_path):
    return read(tmp_path, TABLE)


# --- writing -------------------------------------------------------------------------------


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
