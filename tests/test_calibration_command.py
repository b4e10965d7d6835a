"""The command `cart-pkpd sbc` on tiny cases."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import xarray as xr

from cart_pkpd import cli
from cart_pkpd._core.errors import ConfigError
from cart_pkpd._study import calibrate
from cart_pkpd.fit import LogNormal

PLAN = [
    "--model", "stein2019", "--patients", "3", "--times", "5,9,14,28", "--lloq", "50",
    "--iiv", "cmax", "--spread", "cmax=0.3", "--spread", "alpha=0.3",
    "--fix", "tmax=9.3", "--fix", "rho=0.889", "--fix", "fb=0.0079", "--fix", "beta=0.0032",
    "--prior", "omega_cmax=lognormal:median=0.5,sigma=0.2",
    "--prior", "sigma_log=lognormal:median=0.4,sigma=0.2",
]  # fmt: skip
SHORT = ["--draws", "150", "--tune", "150", "--chains", "4", "--cores", "1", "--retries", "0"]

RUN_FILE = """
seed = 4
[data]
table = "trial.csv"
units = { transgene = "copies/ug" }
[fit]
draws = 150
tune = 150
chains = 2
[population]
iiv = ["cmax"]
[population.priors]
omega_cmax = { kind = "lognormal", median = 0.5, sigma = 0.2 }
[models.stein]
model = "stein2019"
[models.stein.parameters]
rho = { fixed = 0.889 }
fb = { fixed = 0.0079 }
beta = { fixed = 0.0032 }
cmax = { typical = 24000, spread = 0.3 }
[models.wide]
like = "stein"
"""


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = cli.execute(["sbc", *map(str, arguments)])
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    return code, said.out, said.err


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    rows = [(i, t, 900.0) for i in (1, 2, 3) for t in (5, 9, 14)]
    pd.DataFrame(rows, columns=["ID", "TIME", "DV"]).to_csv(tmp_path / "trial.csv", index=False)
    path = tmp_path / "study.toml"
    path.write_text(RUN_FILE, encoding="utf-8")
    return path


def test_a_plan_is_calibrated_into_a_folder_and_goes_on_where_it_stopped(capsys, tmp_path):
    out = tmp_path / "sbc"
    code, text, _ = run(capsys, *PLAN, *SHORT, "--simulations", 1, "--out", out, "--json")
    first = json.loads(text)
    assert code == first["exit_code"]
    kept = out / "simulations" / "simulation_00001.json"
    before = kept.stat().st_mtime_ns
    code, text, _ = run(capsys, *PLAN, *SHORT, "--simulations", 2, "--out", out, "--json", "-q")
    found = json.loads(text)
    assert sum(found["counts"].values()) == 2
    assert kept.stat().st_mtime_ns == before
    each = pd.read_csv(out / "simulations.csv")
    assert list(each["simulation"]) == [1, 2]
    assert set(each["status"]) <= {"converged", "unconverged", "failed"}
    assert list(pd.read_csv(out / "quantities.csv")["quantity"]) == [
        "cmax", "alpha", "omega_cmax", "sigma_log", "cmax_i", "log_likelihood"
    ]  # fmt: skip
    with xr.open_dataset(out / "sbc.nc", engine="h5netcdf") as whole:
        assert whole.sizes == {"simulation": 2, "quantity": 6}
    code, _, said = run(capsys, *PLAN, *SHORT, "--seed", 9, "--out", out)
    assert code == 4
    assert "another model, design, prior, setting or seed" in said


def test_a_model_of_a_run_file_is_calibrated_at_its_trial(capsys, run_file, tmp_path):
    code, _, said = run(capsys, run_file, "--out", tmp_path / "out")
    assert code == 1
    assert "say with --fit which model of study.toml (stein, wide)" in said
    code, text, _ = run(
        capsys, run_file, "--fit", "wide", "--simulations", 1, "--cores", 1, "--retries", 0,
        "--ranks", 50, "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    found = json.loads(text)
    assert sum(found["counts"].values()) == 1
    assert "omega_cmax LogNormal" in found["model"]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ([], "give either a run file or --model"),
        (["--model", "stein2019", "--times", "0,x"], "--times: 'x' is not a number"),
        (["--model", "stein2019", "--spread", "cmax"], "--spread 'cmax': write NAME=VALUE"),
        (["--model", "stein2019", "--fix", "beta=a"], "--fix: 'a' is not a number"),
        (["--model", "stein2018"], "stein2019"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(capsys, tmp_path, more, sentence):
    code, _, said = run(capsys, *more, "--out", tmp_path / "out")
    assert code == 1
    assert sentence in said
    assert len(said.strip().splitlines()) == 1


def test_a_folder_with_something_else_is_left_alone(capsys, tmp_path):
    (tmp_path / "mine.txt").write_text("x", encoding="utf-8")
    code, _, said = run(capsys, *PLAN, "--out", tmp_path)
    assert code == 1
    assert "holds no earlier calibration" in said


def test_priors_and_limits_are_read_as_typed():
    plan = calibrate.PlannedTrial(
        "stein2019", 2, "5, 9", lloq=50.0, iiv="cmax, tmax", spreads=["cmax=0.3"],
        fixed=["beta=0.01"], priors=["omega_cmax=lognormal:median=0.5,sigma=0.3"],
    )  # fmt: skip
    problem = plan.problem()
    assert problem.population.iiv == ("cmax", "tmax")
    assert problem.population.priors["omega_cmax"] == LogNormal(0.5, 0.3)
    assert problem.model.fixed["beta"] == 0.01
    assert problem.model.parameters["cmax"].spread == 0.3
    assert set(problem.trial["lloq"].to_numpy()) == {50.0}
    with pytest.raises(ConfigError, match="--out"):
        calibrate.check_folder(Path(__file__))
