"""NCA against published output of WinNonlin and PKNCA, and the shape of its results."""

from __future__ import annotations

import copy
import json
import pickle
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from nca_inputs import dataset, one, oracle, same_digits, trial

from cart_pkpd import nca
from cart_pkpd._core.errors import DataError

LINEAR, LOG = "linear", "lin-up/log-down"


@pytest.fixture(scope="module")
def theoph() -> xr.Dataset:
    return dataset("theoph", 320.0)


def wrong_digits(params: xr.Dataset, rows: list[dict[str, str]], columns: dict[str, str]) -> list:
    """Return what does not agree with the printed table: subject, column, value, printed."""
    return [
        (row["subject"], column, value, row[column])
        for row in rows
        for column, name in columns.items()
        if not same_digits(value := float(params[name].sel(id=row["subject"])), row[column])
    ]


# -- WinNonlin, as published with the validation of NonCompart (see oracles/nca/README.md)


@pytest.mark.parametrize(("method", "suffix"), [(LINEAR, "linear"), (LOG, "log")])
def test_winnonlin_theoph(theoph: xr.Dataset, method: str, suffix: str) -> None:
    params = nca.table(theoph, window=(0, 24), method=method)
    columns = {
        name: name
        for name in ("lambda_z_n_points", "lambda_z", "half_life", "tmax", "cmax", "tlast")
    } | {f"auclast_{suffix}": "auclast", f"aucinf_obs_{suffix}": "aucinf_obs"}
    rows = oracle("winnonlin_theoph.csv")
    assert len(rows) == 12
    assert wrong_digits(params, rows, columns) == []


@pytest.mark.parametrize("method", [LINEAR, LOG])
def test_winnonlin_theoph_subject_1(theoph: xr.Dataset, method: str) -> None:
    rows = [r for r in oracle("winnonlin_theoph_subject1.csv") if r["method"] == method]
    params = nca.table(theoph, method=method, parameters=[r["parameter"] for r in rows])
    found = {r["parameter"]: float(params[r["parameter"]].sel(id="1")) for r in rows}
    assert rows
    assert [r for r in rows if not same_digits(found[r["parameter"]], r["value"])] == []


@pytest.mark.parametrize(("method", "suffix"), [(LINEAR, "linear"), (LOG, "log")])
def test_winnonlin_indometh(method: str, suffix: str) -> None:
    columns = {
        "lambda_z_n_points": "lambda_z_n_points",
        "lambda_z": "lambda_z",
        "half_life": "half_life",
        "c0": "c0",
        f"auclast_{suffix}": "auclast",
        f"aucinf_obs_{suffix}": "aucinf_obs",
    } | ({"cl_linear": "cl", "vss_linear": "vss"} if method == LINEAR else {})
    # WinNonlin's bolus rules: C0 from the first two samples, Tmax may be in the terminal phase.
    params = nca.table(
        dataset("indometh", 25.0),
        method=method,
        start_rule="extrapolate",
        allow_tmax=True,
        parameters=list(columns.values()),
    )
    rows = oracle("winnonlin_indometh.csv")
    assert len(rows) == 6
    assert wrong_digits(params, rows, columns) == []


def test_indometh_subject_4_needs_the_bolus_rule() -> None:
    # Without the Cmax sample the fit has 10 points and the half-life differs by about 6 %:
    # pkpdutils' validation page on WinNonlin, quoted in its documentation.
    params = nca.table(dataset("indometh", 25.0))
    assert float(params.lambda_z_n_points.sel(id="4")) == 10
    assert float(params.half_life.sel(id="4")) / 1.52191041 - 1 == pytest.approx(0.06, abs=0.01)


# -- PKNCA 0.12.1, as printed in its vignette and README


def within_samples(theoph: xr.Dataset, method: str) -> xr.DataArray:
    """PKNCA's AUClast of the interval [0, 24]: the sample at 24.37 h falls outside."""
    inside = theoph.isel(obs=np.flatnonzero(theoph.time.values <= 24))
    return nca.table(inside, method=method).auclast


def test_pknca_printed_figures(theoph: xr.Dataset) -> None:
    rows = oracle("pknca_theoph.csv")
    for method in (LOG, LINEAR):
        params = nca.table(theoph, window=[(0, 24), (0, 12)], method=method, tail="zero")
        params["tmp"] = within_samples(theoph, method)
        groups = nca.summary(params, by=None).set_index("parameter")
        for row in (r for r in rows if r["method"] == method):
            if row["what"] == "auc_samples_within_0_24":
                values = params["tmp"].values
                logs = np.log(values)
                found = {
                    "geomean": np.exp(logs.mean()),
                    "geocv": 100 * np.sqrt(np.expm1(logs.var(ddof=1))),
                    "subject 1": values[0],
                }[row["statistic"]]
            elif row["statistic"] == "subject 1":
                found = float(params[row["what"]].sel(id="1"))
            else:
                found = groups.loc[row["what"], row["statistic"]]
            assert same_digits(found, row["value"]), row


# -- the Dataset


def test_table_of_one_endpoint_has_the_promised_shape() -> None:
    data = one([0, 10, 40, 20, 10, 5], [0, 3, 7, 14, 21, 28.5])
    params = nca.table(data, endpoint="transgene")
    assert params.cmax.dims == ("id",)
    assert params.id.values.tolist() == ["01"]
    assert params.dose_level.values.tolist() == [1e6]
    assert params.n.values.tolist() == [6]
    assert params.reason.dims == ("id", "parameter")
    assert params.reason.dtype.kind == "U"
    floats = [name for name in params.data_vars if params[name].dtype == float]
    assert params.parameter.values.tolist() == floats
    assert params.auc0_28.attrs["units"] == "copies/µg*day"
    assert params.auc0_28.attrs["long_name"] == "AUC0–28d"
    assert params.half_life.attrs["cdisc"] == "LAMZHL"
    assert params.cmax_dn.attrs["units"] == "copies/µg/cells"
    assert params.attrs["endpoint"] == "transgene"
    assert nca.Rules.from_dict(json.loads(params.attrs["rules"])) == nca.Rules()


def test_glossary_names_are_there() -> None:
    expected = {
        "cmax",
        "tmax",
        "tfirst",
        "tlast",
        "clast",
        "auclast",
        "aucall",
        "auc0_28",
        "aucinf_obs",
        "aucinf_pred",
        "aucpext_obs",
        "lambda_z",
        "half_life",
        "lambda_z_n_points",
        "lambda_z_start",
        "lambda_z_end",
        "r_squared",
        "adj_r_squared",
        "span_ratio",
        "aumclast",
        "aumcinf_obs",
        "mrtlast",
        "doubling_time",
        "growth_rate",
        "fold_expansion",
        "contraction_half_life",
        "persistence_half_life",
        "auc0_tmax",
        "auc_tmax_28",
        "persistence_lower",
        "persistence_upper",
        "persistence_censored",
        "quantifiable_d28",
        "quantifiable_m3",
        "quantifiable_m6",
        "quantifiable_m12",
        "early_spike",
        "cmax_dn",
        "auc0_28_dn",
    }
    params = nca.table(one([0, 10, 5], [0, 3, 7]))
    assert expected <= set(params.data_vars)


def test_clearance_and_volume_only_on_request() -> None:
    data = one([0, 100, 50, 25, 12.5], [0, 7, 14, 21, 28])
    assert not {"cl", "vz", "vss"} & set(nca.table(data).data_vars)
    params = nca.table(data, parameters=["cl", "vz", "aucinf_obs"])
    assert params.cl.values[0] == pytest.approx(1e6 / params.aucinf_obs.values[0], rel=1e-12)
    assert params.vz.attrs["units"] == "cells/(copies/µg)"


def test_parameters_can_be_chosen_and_a_misspelt_one_is_an_error() -> None:
    data = one([0, 10, 5], [0, 3, 7])
    assert nca.table(data, parameters=["tmax", "cmax"]).parameter.values.tolist() == [
        "tmax",
        "cmax",
    ]
    with pytest.raises(ValueError, match=r"unknown NCA parameter 'cmx'\. Did you mean 'cmax'"):
        nca.table(data, parameters=["cmx"])


def test_windows_name_their_parameters() -> None:
    params = nca.table(one([0, 10, 5], [0, 3, 7]), window=[(0, 5), (2.5, 7)])
    assert {"auc0_5", "auc2p5_7", "auc_tmax_7", "auc0_5_rule", "auc2p5_7_pext"} <= set(
        params.data_vars
    )


def test_a_list_of_four_days_is_no_window() -> None:
    with pytest.raises(ValueError, match="a window is a pair of days"):
        nca.table(one([0, 1], [0, 1]), window=(0, 28, 0, 90))  # type: ignore[arg-type]


@pytest.mark.parametrize("window", [(28, 0), (-1, 28), (0, np.inf), (5, 5)])
def test_impossible_windows_are_errors(window: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="a window must go from a day of at least 0"):
        nca.table(one([0, 1], [0, 1]), window=window)


def test_unknown_endpoint_is_a_data_error_with_a_hint() -> None:
    with pytest.raises(DataError, match="Did you mean 'transgene'"):
        nca.table(one([0, 1], [0, 1]), endpoint="transgen")


def test_default_endpoints_are_the_cell_endpoints(fast01: xr.Dataset) -> None:
    params = nca.table(fast01)
    assert params.cmax.dims == ("endpoint", "id")
    assert params.endpoint.values.tolist() == ["transgene", "car_cells"]
    assert params.endpoint_units.values.tolist() == ["copies/µg", "cells/µL"]
    for name in ("transgene", "car_cells"):
        alone = nca.table(fast01, name)
        xr.testing.assert_equal(
            params.sel(endpoint=name).drop_vars(["endpoint", "endpoint_units"]), alone
        )


def test_covariates_come_along(fast01: xr.Dataset) -> None:
    params = nca.table(fast01, "transgene")
    assert params.cohort.dims == ("id",)
    assert params.tumour_burden.attrs == fast01.tumour_burden.attrs


def test_result_survives_a_file(fast01: xr.Dataset, tmp_path) -> None:
    params = nca.table(fast01, "transgene")
    params.to_netcdf(tmp_path / "nca.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "nca.nc", engine="h5netcdf") as back:
        xr.testing.assert_equal(back.load(), params)


def test_reasons_as_codes_say_the_same(fast01: xr.Dataset) -> None:
    text = nca.table(fast01, "transgene")
    code = nca.table(fast01, "transgene", reasons="code")
    assert code.reason_code.dtype == np.int16
    assert (np.array(code.reason_code.attrs["texts"])[code.reason_code] == text.reason).all()
    assert nca.long(code).equals(nca.long(text))


def test_matrices_and_trial_agree(rng: np.random.Generator) -> None:
    times = np.array([0.0, 3, 7, 10, 14, 21, 28, 60])
    levels = np.exp(rng.normal(5, 2, (5, 8)))
    ids = [f"p{i}" for i in range(5)]
    profiles = {n: list(zip(times, row, strict=True)) for n, row in zip(ids, levels, strict=True)}
    a = nca.table(trial(profiles, lloq=50.0))
    b = nca.profiles(levels, times, lloq=50.0, ids=ids, dose=1e6, units=("copies/µg", "cells"))
    for name in a.data_vars:
        assert (a[name].values == b[name].values).all() or np.array_equal(
            a[name].values, b[name].values, equal_nan=True
        )
        assert a[name].attrs == b[name].attrs


# -- the catalogue and the rules


def test_catalogue_has_one_complete_record_each() -> None:
    known = nca.parameters()
    assert known.index.is_unique
    assert (known["about"].str.len() > 10).all()
    assert (known["label"] != "").all()
    assert {"CMAX", "TMAX", "AUCLST", "AUCALL", "AUCIFO", "AUCPEO", "LAMZ", "LAMZHL"} <= set(
        known["cdisc"]
    )


def test_declared_needs_are_what_is_read() -> None:
    from cart_pkpd._nca.compute import plan
    from cart_pkpd._nca.source import blocks
    from cart_pkpd._nca.tables import matrix_samples
    from cart_pkpd._nca.work import Work

    class Watched(Work):
        def __getitem__(self, name: str):
            self.read.append(name)
            return super().__getitem__(name)

    todo = plan(nca.Rules(tail="exponential"), (0, 28), list(nca.parameters().index))
    level = np.array([[0.0, 10, 40, 20, 10, 5]])
    time = np.array([[0.0, 3, 7, 14, 21, 25]])
    nothing = np.full_like(level, np.nan)
    samples = matrix_samples(
        level, time, nothing, level < 0, np.array([1e6]), np.array(["1"]), todo
    )
    _, block = next(blocks(samples, todo.rules))
    for name in todo.names:
        work = Watched(block, todo.rules, todo.known)
        work.read = []
        with np.errstate(all="ignore"):
            todo.known[name].compute(work)
        assert set(work.read) == closure(todo.known, name), name


def closure(known, name: str) -> set[str]:
    """Return everything a parameter is declared to depend on, directly or not."""
    found: set[str] = set()
    queue = [name]
    while queue:
        needs = set(known[queue.pop()].needs) - found
        found |= needs
        queue += needs
    return found


def test_rules_go_to_a_dict_and_toml_and_back() -> None:
    rules = nca.Rules(
        method="linear",
        tail="exponential",
        blq=nca.Blq(first="drop", last="0.5*lloq", middle=3.5),
        lambda_z_include={"01": (14, 21.5, 28)},
        lambda_z_window=None,
        persistence_from=28,
        accept_adj_r_squared=0.9,
        accept_samples=5,
    )
    assert nca.Rules.from_dict(rules.to_dict()) == rules
    assert nca.Rules.from_toml(rules.to_toml()) == rules
    assert nca.Rules.from_toml(str(nca.Rules())) == nca.Rules()
    assert pickle.loads(pickle.dumps(rules)) == copy.deepcopy(rules) == rules
    assert hash(copy.deepcopy(rules)) == hash(rules) != hash(nca.Rules())
    side = nca.Rules(blq={"before_tmax": 0, "after_tmax": "drop"}, lambda_z_window=(28, 180))
    assert nca.Rules.from_toml(side.to_toml()) == side


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methd": "linear"}, r"unknown rule 'methd'\. Did you mean 'method'"),
        ({"method": "log"}, "unknown AUC method 'log'"),
        ({"tail": "triangel"}, r"unknown rule tail 'triangel'\. Did you mean 'triangle'"),
        ({"blq": "halve"}, "unknown BLQ rule 'halve'"),
        ({"blq": {"frist": "drop"}}, r"unknown BLQ position 'frist'\. Did you mean 'first'"),
        ({"blq": {"before_tmax": 0}}, "both before_tmax and after_tmax"),
        ({"blq": -1}, "unknown BLQ rule -1"),
        ({"min_points": 1}, "at least 2"),
        ({"tolerance": -0.1}, "tolerance"),
        ({"lambda_z_window": (28, 7)}, "must rise"),
        ({"visits": {"d28": (28, 30, 34)}}, "visit 'd28'"),
        ({"lambda_z_imputed": True, "lambda_z_window": (1, 2)}, "cannot be combined"),
    ],
)
def test_bad_rules_say_what_to_do(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nca.table(one([0, 1], [0, 1]), **changes)


@pytest.mark.parametrize("spelling", ["lin up/log down", "linuplogdown", "Lin-up/Log-down"])
def test_usual_spellings_of_the_method(spelling: str) -> None:
    assert nca.Rules(method=spelling).method == LOG  # type: ignore[arg-type]


# -- single profiles


def test_single_profile_functions() -> None:
    # Halving every 7 days from 80 on day 7: half-life 7 days by construction.
    levels, times = [0, 80, 40, 20, 10, 5], [0, 7, 14, 21, 28, 35]
    assert nca.cmax(levels, times) == 80
    assert nca.tmax(levels, times) == 7
    assert nca.half_life(levels, times) == pytest.approx(7, rel=1e-12)
    slope = nca.lambda_z(levels, times)
    assert (slope.n_points, slope.start, slope.end, slope.exclude) == (4, 14, 35, "")
    # Linear up: 7·80/2; log down: (80 − 10)·7/ln 2.
    expected = 280 + 70 * 7 / np.log(2)
    assert nca.auc(levels, times, end=28) == pytest.approx(expected, rel=1e-12)
    assert nca.auc(levels, times) == pytest.approx(280 + 75 * 7 / np.log(2), rel=1e-12)


def test_single_profile_says_why_there_is_no_slope() -> None:
    slope = nca.lambda_z([0, 80, 40], [0, 7, 14])
    assert np.isnan(slope.lambda_z)
    assert slope.exclude == "fewer than 3 quantifiable samples in the terminal phase"


def test_single_profile_with_bad_data_is_an_error() -> None:
    with pytest.raises(DataError, match=r"two samples at the same time \(day 1\)"):
        nca.auc([0, 1, 2], [0, 1, 1])
    with pytest.raises(DataError, match="negative level -1"):
        nca.cmax([0, -1], [0, 1])
    with pytest.raises(ValueError, match="the same length"):
        nca.cmax([0, 1], [0, 1, 2])


def test_doctest_examples() -> None:
    import doctest

    from cart_pkpd._nca import registry, single, summary, tables

    for module in (registry, single, summary, tables):
        assert doctest.testmod(module).failed == 0


def test_import_is_light() -> None:
    import subprocess

    heavy = ("numba", "pymc", "scipy.stats", "matplotlib")
    code = f"import sys, cart_pkpd.nca; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_long_table_of_nothing_is_not_an_error() -> None:
    empty = one([0, 10, 5], [0, 3, 7]).isel(id=slice(0, 0), obs=slice(0, 0), dosing=slice(0, 0))
    params = nca.table(empty, "transgene")
    assert params.sizes["id"] == 0
    assert isinstance(nca.long(params), pd.DataFrame)


def test_benchmark_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    script = Path(__file__).parents[1] / "benchmarks" / "bench_nca.py"
    monkeypatch.setattr(sys, "argv", [str(script), "50"])
    runpy.run_path(str(script), run_name="__main__")
    assert "50 profiles" in capsys.readouterr().out
