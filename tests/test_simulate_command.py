"""`cart-pkpd simulate`: the table of a run file says what the function is asked for."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from cart_pkpd import cli, simulate

TABLE = """
title = "Two doses"
seed = 4

[simulate]
model = "stein2019"
n = 3000
doses = {"1e6" = 1000, "1e7" = 2000}
times = [0, 3, 7, 14, 28]
visit_window = 0.5
missed = 0.05
error = {transgene = {error = "combined", sigma_add = 20.0, sigma_prop = 0.2}}
lloq = 50
values = {omega_cmax = 0.9}
dropout = {share = 0.2, day = 28}
window = [0, 28]
chunk = 2048
out = "virtual.nc"

[simulate.covariates]
weight = {kind = "lognormal", median = 70, sigma = 0.2}
line = 3
sex = {shares = {f = 0.6, m = 0.4}}

[simulate.outcomes.dlt]
intercept = -1.0
slope = 0.5
by = "dose"
reference = 1e7
"""


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]):
    def run(*arguments: object) -> tuple[int, str, str]:
        code = cli.execute([str(a) for a in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(TABLE, encoding="utf-8")
    return path


def test_the_file_holds_what_the_function_gives(study: Path, command) -> None:
    code, out, err = command("simulate", study)
    assert code == 0, err
    expected = simulate.patients(
        "stein2019", 3000, seed=4, doses={1e6: 1000, 1e7: 2000}, lloq=50,
        times=simulate.Schedule([0, 3, 7, 14, 28], window=0.5, missed=0.05),
        error=simulate.Residual("combined", sigma_add=20.0, sigma_prop=0.2),
        values={"omega_cmax": 0.9}, dropout=simulate.Dropout(share=0.2, day=28),
        covariates={
            "weight": simulate.LogNormal(70, 0.2), "line": 3,
            "sex": simulate.Categorical({"f": 0.6, "m": 0.4}),
        },
        outcomes={"dlt": simulate.Outcome(intercept=-1.0, slope=0.5, by="dose", reference=1e7)},
    )  # fmt: skip
    with xr.open_dataset(study.parent / "virtual.nc", engine="h5netcdf") as found:
        for name in expected.variables:
            np.testing.assert_array_equal(found[name].values, expected[name].values)
    share = (expected["left"] > 0).values[expected["dose_level"] == 1e7].mean()
    assert f"{100 * share:.1f} % left" in out
    assert "3,000 virtual patients of stein2019" in out
    assert "1×10⁷" in out
    assert err.startswith("simulate ...")


def test_json_and_a_file_that_is_there(study: Path, command) -> None:
    target = study.parent / "other.nc"
    code, out, err = command("simulate", study, "--out", target, "--json", "--seed", 5)
    assert (code, err) == (0, "")
    said = json.loads(out)
    assert (said["patients"], said["seed"], said["file"]) == (3000, 5, str(target))
    assert [row["patients"] for row in said["by_dose"]] == [1000, 2000]
    low, middle, high = said["by_dose"][0]["exposure"]["transgene"]["cmax"]
    assert low < middle < high
    code, out, err = command("simulate", study, "--out", target)
    assert (code, out) == (1, "")
    assert "is there already; give --overwrite" in err
    assert command("simulate", study, "--out", target, "--overwrite", "--quiet")[:2] == (0, "")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("n = 3000", "n = 0"), "simulate.n"),
        (("lloq = 50", "lloqq = 50"), "Did you mean 'lloq'"),
        (('model = "stein2019"', ""), "needs either 'model' (a name) or 'fit'"),
        (("day = 28}", "dy = 28}"), "simulate.dropout"),
        (("stein2019", "stein2018"), "Did you mean 'stein2019'"),
        (('"1e6" = 1000', "low = 1000"), "a key is a dose"),
        (("[simulate]", "[simulation]"), "has no [simulate] table"),
    ],
)
def test_what_is_wrong_is_said(change, sentence, study: Path, command) -> None:
    old, new = change
    text = TABLE.replace(old, new) if old != "[simulate]" else 'title = "empty"'
    study.write_text(text, encoding="utf-8")
    code, out, err = command("simulate", study)
    assert code == 1
    assert out == ""
    assert sentence in " ".join(err.split())
    assert not (study.parent / "virtual.nc").exists()


def test_the_table_may_stand_in_the_run_file_of_a_study(study: Path, command) -> None:
    study.write_text(f'{TABLE}\n[data]\ndataset = "fast01"\n', encoding="utf-8")
    code, _, err = command("simulate", study, "--quiet")
    assert (code, err) == (0, "")
