"""Runs of a study: the run folder, the order of steps, and how a run ends."""

from __future__ import annotations

import hashlib
import json
import platform
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from nca_command import FILES

from cart_pkpd import checks, compare, fit, nca, report, study
from cart_pkpd._core.errors import ConfigError, DataError, FitError
from cart_pkpd._study.folder import json_text, whole_file
from cart_pkpd._study.provenance import config_hash

MINIMAL = '[data]\ndataset = "fast01"\n'

STUDY = """
title = "Two variants"
seed = 7
[data]
dataset = "fast01"
[nca]
windows = [[0, 28]]
[fit]
draws = 800
chains = 2
[population]
iiv = ["cmax", "tmax"]
error = "lognormal"
covariates = { cmax = ["dose_level"] }
[models.stein]
model = "stein2019"
[models.stein.parameters]
cmax = { typical = 4000, spread = 1.5 }
beta = { fixed = 0.01 }
[models.heavy]
like = "stein"
error = "student_t"
draws = 500
[models.heavy.parameters]
beta = { typical = 0.02 }
"""


# Runs. The sampler is replaced: what is tested here is what a run does with a fit, whatever its
# numbers. Data and NCA are the real ones. One run with nothing replaced is marked slow.


@dataclass
class Fitted:
    """Stands for a FitResult: a verdict, a table, a file."""

    label: str
    ok: bool = True
    endpoints: tuple[str, ...] = ("transgene",)

    @property
    def verdict(self) -> SimpleNamespace:
        sentence = "Converged: R-hat 1.00." if self.ok else "Not converged: R-hat 1.20."
        return SimpleNamespace(ok=self.ok, sentence=sentence)

    def table(self) -> pd.DataFrame:
        return pd.DataFrame({"median": [4000.0]}, index=pd.Index(["cmax"], name="parameter"))

    def save(self, path: Path) -> None:
        path.write_bytes(b"netCDF of " + self.label.encode())


def ranked(fits: dict[str, Fitted], **_: Any) -> pd.DataFrame:
    """Stands for compare.models: converged fits in the order given, the others without a rank."""
    good = [name for name, one in fits.items() if one.ok]
    rows = {
        name: {
            "rank": good.index(name) + 1 if name in good else float("nan"),
            "converged": one.ok,
            "verdict": one.verdict.sentence,
            "elpd": -100.0,
        }
        for name, one in fits.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("fit")


def page(folder: Path, **given: Any) -> Path:
    """Stands for report.write: says what it was given."""
    lines = [given["title"], *given["fits"], *given["failures"].values()]
    (folder / "report.html").write_text("\n".join(lines), encoding="utf-8")
    return folder / "report.html"


Bayes = Callable[..., Fitted]
Engine = Callable[[Bayes], list[dict[str, Any]]]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Replace the sampler by a function; return the calls it will get."""

    def use(bayes: Bayes) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = []

        def heard(model: Any, trial: Any, population: Any, **options: Any) -> Fitted:
            calls.append({"model": model, "population": population, **options})
            return bayes(**options)

        monkeypatch.setattr(fit, "bayes", heard)
        monkeypatch.setattr(
            compare, "models", lambda fits, **_: SimpleNamespace(table=ranked(fits))
        )
        monkeypatch.setattr(checks, "predictions", lambda *_, **__: None)
        monkeypatch.setattr(compare, "patients", lambda *_, **__: None)
        for check in ("vpc", "residuals", "etas", "prior_sensitivity"):
            monkeypatch.setattr(checks, check, lambda *_, **__: None)
        monkeypatch.setattr(checks, "exposure", lambda *_, **__: None)
        monkeypatch.setattr(report, "write", page)
        return calls

    return use


def good(label: str, **_: Any) -> Fitted:
    return Fitted(label)


# A small trial, so that a run takes a fraction of a second: copies/µg with an LLOQ of 50.
TRIAL = """ID,TIME,DVID,DV,AMT,EVID,DOSELEVEL
A,0,,.,1000000,1,1
A,1,transgene,<50,.,0,1
A,7,transgene,900,.,0,1
A,10,transgene,4000,.,0,1
A,14,transgene,2100,.,0,1
A,21,transgene,600,.,0,1
A,28,transgene,150,.,0,1
A,7,il6,30,.,0,1
B,0,,.,3000000,1,3
B,3,transgene,70,.,0,3
B,10,transgene,300,.,0,3
B,28,transgene,<50,.,0,3
B,7,il6,12,.,0,3
"""
QUICK = STUDY.replace("[fit]\n", "[fit]\nleast_squares = false\n").replace(
    'dataset = "fast01"', 'table = "trial.csv"'
)
Quick = Callable[..., study.Config]


@pytest.fixture
def quick(tmp_path_factory: pytest.TempPathFactory) -> Quick:
    folder = tmp_path_factory.mktemp("in")
    (folder / "trial.csv").write_text(TRIAL, encoding="utf-8")
    return lambda text=QUICK: study.loads(text, root=folder)


def status(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "status.json").read_text(encoding="utf-8"))
    return found


def test_run_folder_holds_everything(tmp_path: Path, quick: Quick, engine: Engine) -> None:
    calls = engine(good)
    out = tmp_path / "run"
    outcome = study.run(quick(), out)

    assert (outcome.exit_code, outcome.report) == (0, out / "report.html")
    names = ["data", "nca transgene", "fit stein", "fit heavy", "compare", "report"]
    assert [step.name for step in outcome.steps] == names
    files = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()} - {".lock"}
    assert files == {
        "config.toml",
        "provenance.json",
        "run.log",
        "status.json",
        "report.html",
        "data/import_report.txt",
        "data/import_report.json",
        *(f"nca/transgene/{name}" for name in FILES),
        "nca/transgene.nc",
        "fits/excluded.csv",
        "fits/stein.nc",
        "fits/heavy.nc",
        "fits/parameters.csv",
        "fits/comparison.csv",
    }
    assert set(status(out)["files"]) == files
    assert (out / "report.html").read_text(encoding="utf-8") == "Two variants\nstein\nheavy"

    # What the run file says reaches the fit.
    first, second = calls
    assert first["model"].fixed == {"beta": 0.01}
    assert first["model"].parameters["cmax"].typical == 4000
    assert first["population"].covariates == {"cmax": ("dose_level",)}
    assert (first["draws"], second["draws"], first["chains"]) == (800, 500, 2)
    assert (first["seed"], first["endpoint"], second["label"]) == (7, "transgene", "heavy")
    assert second["population"].error == "student_t"


def test_status_and_provenance(tmp_path: Path, quick: Quick, engine: Engine) -> None:
    engine(good)
    config = quick()
    study.run(config, tmp_path)
    found = status(tmp_path)
    assert (found["state"], found["exit_code"]) == ("done", 0)
    assert {step["state"] for step in found["steps"].values()} == {"done"}
    text = (tmp_path / "provenance.json").read_text(encoding="utf-8")
    made_with = json.loads(text)
    assert made_with["seed"] == 7
    expected = hashlib.sha256(TRIAL.encode()).hexdigest()
    assert made_with["data"] == {"file": "trial.csv", "sha256": expected}
    assert made_with["packages"]["pandas"] == pd.__version__
    assert made_with["python"].endswith(platform.python_version())
    if len(platform.node()) > 3:
        assert platform.node() not in text
    again = study.load(tmp_path / "config.toml")
    assert again.path(again.spec.data.table).resolve() == config.path("trial.csv").resolve()
    assert again.spec.models == config.spec.models
    log = (tmp_path / "run.log").read_text(encoding="utf-8")
    assert "fit heavy: done Converged: R-hat 1.00." in log


def test_config_hash_ignores_layout_but_not_content() -> None:
    commented = "# a comment\n" + STUDY.replace("draws = 800", "draws   =  800")
    hashes = [config_hash(study.loads(text)) for text in (STUDY, commented)]
    assert hashes[0] == hashes[1]
    assert config_hash(study.loads(STUDY.replace("800", "801"))) != hashes[0]
    assert config_hash(study.loads(STUDY).with_(seed=8)) != hashes[0]


def test_fit_that_did_not_converge_is_told(tmp_path: Path, quick: Quick, engine: Engine) -> None:
    engine(lambda label, **_: Fitted(label, ok=label != "heavy"))
    outcome = study.run(quick(), tmp_path)
    assert outcome.exit_code == 3
    assert status(tmp_path)["exit_code"] == 3
    assert status(tmp_path)["steps"]["fit heavy"]["state"] == "unconverged"
    table = pd.read_csv(tmp_path / "fits/comparison.csv", index_col="fit")
    assert list(table.index) == ["stein", "heavy"]
    assert table["rank"].isna().tolist() == [False, True]


def test_fit_that_fails_stops_no_other(tmp_path: Path, quick: Quick, engine: Engine) -> None:
    def bayes(label: str, **_: Any) -> Fitted:
        if label == "stein":
            raise FitError("the sampler stopped: no finite starting point.")
        return Fitted(label)

    engine(bayes)
    outcome = study.run(quick(), tmp_path)
    assert outcome.exit_code == 3
    step = status(tmp_path)["steps"]["fit stein"]
    assert step["state"] == "failed"
    assert step["note"] == "the sampler stopped: no finite starting point."
    table = pd.read_csv(tmp_path / "fits/comparison.csv", index_col="fit")
    assert table.index[-1] == "stein"
    assert pd.isna(table.loc["stein", "rank"])
    assert "no finite starting point" in table.loc["stein", "verdict"]
    assert not (tmp_path / "fits/stein.nc").exists()
    assert "no finite starting point" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_all_fits_failing_is_an_engine_failure_with_a_report(
    tmp_path: Path, quick: Quick, engine: Engine
) -> None:
    def bayes(**_: Any) -> Fitted:
        raise ZeroDivisionError("division by zero")

    engine(bayes)
    outcome = study.run(quick(), tmp_path)
    assert outcome.exit_code == 4
    assert (tmp_path / "report.html").is_file()
    assert status(tmp_path)["steps"]["fit heavy"]["note"] == "ZeroDivisionError: division by zero."
    assert "Traceback" in (tmp_path / "run.log").read_text(encoding="utf-8")


def test_least_squares_that_fail_stop_no_other(
    tmp_path: Path, quick: Quick, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise FitError("no record to fit.")

    engine(good)
    monkeypatch.setattr(fit, "least_squares", broken)
    outcome = study.run(quick(QUICK.replace("least_squares = false\n", "")), tmp_path)
    assert outcome.exit_code == 3
    step = status(tmp_path)["steps"]["least squares"]
    assert (step["state"], step["note"]) == ("failed", "no record to fit.")
    assert status(tmp_path)["steps"]["fit stein"]["state"] == "done"


def test_foreign_folder_is_left_alone(tmp_path: Path, quick: Quick) -> None:
    (tmp_path / "thesis.docx").write_text("four years of work", encoding="utf-8")
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match="is not empty and holds no earlier run"):
            study.run(quick(), tmp_path, overwrite=overwrite)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.docx"]
    with pytest.raises(ConfigError, match="is a file; name a folder"):
        study.run(quick(), tmp_path / "thesis.docx")


def test_earlier_run_is_replaced_only_when_asked(
    tmp_path: Path, quick: Quick, engine: Engine
) -> None:
    engine(good)
    study.run(quick(), tmp_path)
    (tmp_path / "my notes.txt").write_text("mine", encoding="utf-8")
    alone = QUICK[: QUICK.index("[models.heavy]")]
    with pytest.raises(ConfigError, match=r"already holds a run \(done, started .*--overwrite"):
        study.run(quick(alone), tmp_path)
    assert (tmp_path / "fits/heavy.nc").exists()
    study.run(quick(alone), tmp_path, overwrite=True)
    assert not (tmp_path / "fits/heavy.nc").exists()
    assert (tmp_path / "my notes.txt").read_text(encoding="utf-8") == "mine"
    assert "fit heavy" not in status(tmp_path)["steps"]


def test_bad_data_end_the_run_before_any_fit(tmp_path: Path, quick: Quick, engine: Engine) -> None:
    calls = engine(good)
    (tmp_path / "bad.csv").write_text("ID,TIME,DV\n1,0,x1\n1,7,100\n", encoding="utf-8")
    file = tmp_path / "study.toml"
    file.write_text(QUICK.replace("trial.csv", "bad.csv"), encoding="utf-8")
    with pytest.raises(DataError, match="'x1' is not a value"):
        study.run(study.load(file), tmp_path / "out")
    assert calls == []
    found = status(tmp_path / "out")
    assert (found["state"], found["exit_code"]) == ("failed", 2)
    assert "'x1' is not a value" in found["message"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[fit]\n", '[fit]\nendpoint = "transgen"\n'), "fit.endpoint: .*Did you mean 'transgene'"),
        (("[nca]\n", '[nca]\nendpoints = ["il66"]\n'), "nca.endpoints: .*Did you mean 'il6'"),
    ],
)
def test_endpoint_that_the_data_do_not_hold(
    change: tuple[str, str], message: str, tmp_path: Path, quick: Quick
) -> None:
    with pytest.raises(ConfigError, match=message):
        study.run(quick(QUICK.replace(*change)), tmp_path)
    assert status(tmp_path)["exit_code"] == 1


SHARED, OWN = 'covariates = { cmax = ["dose_level"] }', '[models.heavy]\nlike = "stein"\n'


@pytest.mark.parametrize(
    ("change", "sentences"),
    [
        (
            (SHARED, 'covariates = { cmax = ["dose_lvel"] }'),  # wrong for both models: said once
            ["population.covariates: the trial has no patient-level variable 'dose_lvel'. Did you"],
        ),
        (
            (OWN, OWN + 'covariates = { cmax = ["age"] }\n'),
            ["models.heavy.covariates: the trial has no patient-level variable 'age'."],
        ),
        (
            (
                "cmax = { typical = 4000, spread = 1.5 }",
                'cmax = { typical = 4, unit = "cells/µL" }',
            ),
            [
                f"models.{name}: 'transgene' is measured in copies/µg but cmax of the model is in "
                "cells/µL; give a value in the data's unit, for example "
                f'{{ typical = ..., unit = "copies/µg" }} for models.{name}.parameters.cmax.'
                for name in ("stein", "heavy")
            ],
        ),
    ],
)
def test_model_that_does_not_fit_the_data_ends_the_run_before_any_result(
    change: tuple[str, str], sentences: list[str], tmp_path: Path, quick: Quick, engine: Engine
) -> None:
    calls = engine(good)
    text = QUICK.replace(*change)
    assert text != QUICK
    with pytest.raises(study.RunFileError) as caught:
        study.run(quick(text), tmp_path)
    assert len(caught.value.problems) == len(sentences)
    for problem, start in zip(caught.value.problems, sentences, strict=True):
        assert problem.startswith(start)
    assert study.exit_code(caught.value) == status(tmp_path)["exit_code"] == 1
    assert calls == []
    assert list(status(tmp_path)["steps"]) == ["data"]


def test_error_model_that_the_values_do_not_allow(tmp_path: Path, quick: Quick) -> None:
    config = quick()
    zero = TRIAL.replace("A,1,transgene,<50", "A,1,transgene,0")
    config.path("trial.csv").write_text(zero, encoding="utf-8")
    expected = "models.stein: .* patient 'A' is 0 at day 1 .* use error = \"additive\""
    with pytest.raises(study.RunFileError, match=expected):
        study.run(config, tmp_path)
    assert status(tmp_path)["exit_code"] == 1


def test_what_a_fit_leaves_out_is_told_with_its_reason(
    tmp_path: Path, quick: Quick, engine: Engine
) -> None:
    engine(good)
    config = quick(QUICK[: QUICK.index("[models.heavy]")])
    more = "A,-2,transgene,60,.,0,1\n"  # line 2 of the file
    none = "C,0,,.,1000000,1,1\nC,7,il6,9,.,0,1\n"
    lines = TRIAL.replace("A,0,,.", f"{more}A,0,,.") + none
    config.path("trial.csv").write_text(lines, encoding="utf-8")
    outcome = study.run(config, tmp_path)
    said = "Left out: 1 record before the infusion, 1 patient with no record of transgene to fit."
    log = (tmp_path / "run.log").read_text(encoding="utf-8")
    assert f"fit stein: {said}" in log
    (step,) = [s for s in outcome.steps if s.name == "fit stein"]
    assert step.note == f"Converged: R-hat 1.00. {said}"
    table = pd.read_csv(tmp_path / "fits/excluded.csv", keep_default_na=False, dtype=str)
    assert table.values.tolist() == [
        ["stein", "transgene", "A", "2", "before the infusion"],
        ["stein", "transgene", "C", "", "no record of transgene to fit"],
    ]


def test_fit_that_leaves_nothing_out_says_nothing(
    tmp_path: Path, quick: Quick, engine: Engine
) -> None:
    engine(good)
    study.run(quick(), tmp_path)
    header = "fit,endpoint,patient,row,reason\n"
    assert (tmp_path / "fits/excluded.csv").read_text(encoding="utf-8") == header
    assert "Left out" not in (tmp_path / "run.log").read_text(encoding="utf-8")


def test_unexpected_error_names_the_log_with_its_traceback(
    tmp_path: Path, quick: Quick, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine(good)

    def broken(*_: Any, **__: Any) -> None:
        raise KeyError("cmax")

    monkeypatch.setattr(nca, "table", broken)
    with pytest.raises(study.UnexpectedError, match="KeyError: 'cmax'") as caught:
        study.run(quick(), tmp_path)
    assert caught.value.log == tmp_path / "run.log"
    assert "Traceback" in caught.value.log.read_text(encoding="utf-8")
    assert study.exit_code(caught.value) == status(tmp_path)["exit_code"] == 4


@pytest.mark.parametrize("swallowed", [False, True])
def test_ctrl_c_leaves_nothing_half_written(
    swallowed: bool, tmp_path: Path, quick: Quick, engine: Engine
) -> None:
    def bayes(label: str, **_: Any) -> Fitted:
        if label == "heavy":
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                if not swallowed:  # samplers may return the draws they have
                    raise
        return Fitted(label)

    engine(bayes)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        study.run(quick(), tmp_path)
    assert signal.getsignal(signal.SIGINT) is before
    found = status(tmp_path)
    assert (found["state"], found["exit_code"]) == ("stopped", 130)
    assert found["steps"]["fit stein"]["state"] == "done"
    assert found["steps"]["fit heavy"]["state"] == "stopped"
    assert (tmp_path / "fits/stein.nc").exists()
    assert not (tmp_path / "fits/heavy.nc").exists()
    assert not (tmp_path / "report.html").exists()
    assert not list(tmp_path.rglob(".part-*"))


def test_watch_hears_every_step_once(tmp_path: Path, quick: Quick, engine: Engine) -> None:
    def bayes(label: str, progress: Callable[[Any], None], **_: Any) -> Fitted:
        progress(SimpleNamespace(stage="sampling", done=5, total=10, divergences=1))
        return Fitted(label, ok=False)

    engine(bayes)
    heard: list[tuple[str, ...]] = []

    class Ear(study.Watch):
        def began(self, step: str) -> None:
            heard.append(("began", step))

        def advanced(self, step: str, done: float, total: float, note: str = "") -> None:
            heard.append((f"{done}/{total}", step, note))

        def ended(self, step: str, state: str, note: str, seconds: float) -> None:
            heard.append((state, step))

        def closed(self) -> None:
            heard.append(("closed",))

    study.run(quick(QUICK[: QUICK.index("[models.heavy]")]), tmp_path, watch=Ear())
    fitting = heard.index(("began", "fit stein"))
    assert heard[fitting : fitting + 3] == [
        ("began", "fit stein"),
        ("5/10", "fit stein", "sampling, 1 divergences"),
        ("unconverged", "fit stein"),
    ]
    assert heard[-2:] == [("done", "report"), ("closed",)]


def test_no_models_gives_an_nca_report(tmp_path: Path, quick: Quick, engine: Engine) -> None:
    calls = engine(good)
    outcome = study.run(quick('[data]\ntable = "trial.csv"\n[nca]\n'), tmp_path)
    assert [step.name for step in outcome.steps] == ["data", "nca transgene", "report"]
    assert (outcome.exit_code, calls) == (0, [])


def test_file_that_could_not_be_finished_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old", encoding="utf-8")

    def write() -> None:
        with whole_file(path) as part:
            part.write_text("half of the new", encoding="utf-8")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write()
    assert path.read_text(encoding="utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]


def test_json_has_no_nan() -> None:
    text = json_text({"a": float("nan"), "b": [float("inf"), 1.5], "c": True, "d": None})
    assert json.loads(text) == {"a": None, "b": [None, 1.5], "c": True, "d": None}


EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize("name", ["fast01.toml", "car22.toml"])
def test_examples_are_valid(name: str, tmp_path: Path) -> None:
    steps = dict(study.plan(study.load(EXAMPLES / name), tmp_path / "out"))
    assert len([step for step in steps if step.startswith("fit ")]) >= 2
    assert "compare" in steps


def test_demo_is_the_first_example() -> None:
    # The package carries its own copy, because examples/ is not installed.
    assert study.demo_file().read_bytes() == (EXAMPLES / "fast01.toml").read_bytes()
