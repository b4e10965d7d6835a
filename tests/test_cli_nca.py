"""`cart-pkpd nca`: every flag, the settings file, the tables to the last digit, and the folder."""

from __future__ import annotations

import csv
import json
import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from nca_command import FILES, Command, in_process, tables, write_small

from cart_pkpd import cli, data, datasets, nca
from cart_pkpd._data.options import OPTION_NAMES
from cart_pkpd._study.nca import kinds, options
from cart_pkpd._study.nca.settings import SettingsError, resolve
from cart_pkpd._study.nca.wording import as_flags

RECORDS = str(datasets.path("fast01"))
DEFAULT = nca.Rules()


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return in_process(capsys)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_small(tmp_path)


def given(*arguments: str) -> dict[str, Any]:
    """Return what the command line hands on for some flags."""
    by_flag = {o.flag.split("/--no-")[0]: o for o in options.all_options()}
    off = {f"--no-{o.flag.split('/--no-')[1]}": o for o in by_flag.values() if o.kind.switch}
    found: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        flag = rest.pop(0)
        if flag in off:
            found[off[flag].name] = False
        elif by_flag[flag].kind.switch:
            found[by_flag[flag].name] = True
        else:
            found.setdefault(by_flag[flag].name, []).append(rest.pop(0))
    return found


# --- flags ---------------------------------------------------------------------------------

RULES: list[tuple[list[str], dict[str, Any]]] = [
    (["--auc-method", "linear"], {"method": "linear"}),
    (["--auc-method", "lin-up-log-down"], {"method": "lin-up/log-down"}),
    (["--auc-method", "Lin-Log"], {"method": "lin-log"}),
    (["--tail", "exponential"], {"tail": "exponential"}),
    (["--start-rule", "predose"], {"start_rule": "predose"}),
    (["--blq", "drop"], {"blq": "drop"}),
    (["--blq", "0.5lloq"], {"blq": "0.5lloq"}),
    (["--blq", "3"], {"blq": 3.0}),
    (
        ["--blq", "first=keep,middle=drop,last=lloq/2"],
        {"blq": {"first": "keep", "middle": "drop", "last": "lloq/2"}},
    ),
    (
        ["--blq", "before_tmax=0", "--blq", "after_tmax=drop"],
        {"blq": {"before_tmax": 0.0, "after_tmax": "drop"}},
    ),
    (["--tmax", "last"], {"tmax": "last"}),
    (["--tmax-after", "1.5"], {"tmax_after": 1.5}),
    (["--early-spike-before", "2"], {"early_spike_before": 2.0}),
    (["--clock", "nominal"], {"clock": "nominal"}),
    (["--rule-duplicates", "first"], {"duplicates": "first"}),
    (["--course-gap", "3"], {"course_gap": 3.0}),
    (["--min-points", "4"], {"min_points": 4}),
    (["--tolerance", "1e-3"], {"tolerance": 1e-3}),
    (["--allow-tmax"], {"allow_tmax": True}),
    (["--no-allow-tmax"], {"allow_tmax": False}),
    (["--earliest-day", "10"], {"earliest_day": 10.0}),
    (["--lambda-z-window", "10:28"], {"lambda_z_window": (10.0, 28.0)}),
    (["--lambda-z-include", "A=1=3,7,14"], {"lambda_z_include": {"A=1": (3.0, 7.0, 14.0)}}),
    (
        ["--lambda-z-exclude", "P1=3", "--lambda-z-exclude", "P2=7.5"],
        {"lambda_z_exclude": {"P1": (3.0,), "P2": (7.5,)}},
    ),
    (["--lambda-z-imputed"], {"lambda_z_imputed": True}),
    (["--expansion-from", "first"], {"expansion_from": "first"}),
    (["--expansion-min-points", "3"], {"expansion_min_points": 3}),
    (["--contraction-until", "42"], {"contraction_until": 42.0}),
    (["--no-contraction-from-tmax"], {"contraction_from_tmax": False}),
    (["--contraction-min-points", "4"], {"contraction_min_points": 4}),
    (["--persistence-from", "28"], {"persistence_from": 28.0}),
    (["--persistence-consecutive", "2"], {"persistence_consecutive": 2}),
    (["--visit", "m2=60:50:70"], {"visits": {"m2": (60.0, 50.0, 70.0)}}),
    (["--min-coverage", "0.8"], {"min_coverage": 0.8}),
    (["--accept-adj-r-squared", "0.9"], {"accept_adj_r_squared": 0.9}),
    (["--accept-span-ratio", "2"], {"accept_span_ratio": 2.0}),
    (["--accept-aucpext", "20"], {"accept_aucpext": 20.0}),
    (["--accept-samples", "5"], {"accept_samples": 5}),
]


@pytest.mark.parametrize(("arguments", "rules"), RULES, ids=lambda v: " ".join(v))
def test_flag_sets_its_rule_and_no_other(arguments: list[str], rules: dict[str, Any]) -> None:
    assert resolve(given(*arguments)).rules == nca.Rules(**rules)


def test_every_rule_and_every_reading_option_has_a_flag() -> None:
    tried = {name for _, rules in RULES for name in rules}
    assert tried == {f.name for f in fields(nca.Rules)} == set(options.find("rules"))
    assert set(options.find("data")) == {"subjects", *OPTION_NAMES}
    used = [part for o in options.all_options() for part in o.flag.split("/--no-")]
    assert len(used) == len(set(used))
    assert all(len(o.help) > 10 for o in options.all_options())


def test_flag_of_a_rule_that_is_new() -> None:
    # A field of a type that the rules use today needs no change here; another type says so.
    assert options.kind_of("new", float | None) == (kinds.NUMBER, True)
    assert options.kind_of("new", bool) == (kinds.SWITCH, False)
    with pytest.raises(TypeError, match="rule 'new' has type"):
        options.kind_of("new", complex)


READING: list[tuple[list[str], dict[str, Any]]] = [
    (["--subjects", "s.csv"], {"subjects": "s.csv"}),
    (["--column", "TIME=a=b", "--column", "cens="], {"columns": {"TIME": "a=b", "CENS": None}}),
    (["--dvid", "transgene"], {"endpoints": "transgene"}),
    (["--dvid", "1=transgene"], {"endpoints": {"1": "transgene"}}),
    (["--unit", "il6=ng/L"], {"units": {"il6": "ng/L"}}),
    (["--lloq", "50"], {"lloq": 50.0}),
    (["--lloq", "il6=2", "--lloq", "il8=3"], {"lloq": {"il6": 2.0, "il8": 3.0}}),
    (["--uloq", "1e4"], {"uloq": 1e4}),
    (["--time-unit", "h"], {"time_unit": "h"}),
    (["--dose-unit", "10^6*cells"], {"dose_unit": "10^6*cells"}),
    (["--day-one"], {"day_one": True}),
    (["--no-align-to-dose"], {"align_to_dose": False}),
    (["--covariate", "AGE,SEX"], {"covariates": ["AGE", "SEX"]}),
    (["--missing", "-99", "--missing", "ND"], {"missing": ["-99", "ND"]}),
    (["--sort"], {"sort": True}),
    (["--duplicates", "mean"], {"duplicates": "mean"}),
    (["--sep", ";"], {"sep": ";"}),
    (["--decimal", ","], {"decimal": ","}),
]


@pytest.mark.parametrize(("arguments", "read"), READING, ids=lambda v: " ".join(v))
def test_flag_sets_its_reading_option(arguments: list[str], read: dict[str, Any]) -> None:
    assert resolve(given(*arguments)).read == read


def test_every_reading_option_is_tried() -> None:
    assert {k for _, read in READING for k in read} == set(options.find("data"))


def test_flags_of_the_analysis() -> None:
    found = resolve(
        given(
            "--endpoint", "transgene", "--endpoint", "il6,il8", "--window", "0:28",
            "--window", "0.5:84", "--window", "0:28", "--parameters", "cmax, tmax", "--by",
            "sex,cohort", "--infusion", "2", "--persistence", "upper", "--no-figures",
        )
    )  # fmt: skip
    assert found.endpoints == ("transgene", "il6", "il8")
    assert found.windows == ((0.0, 28.0), (0.5, 84.0))
    assert (found.parameters, found.by) == (("cmax", "tmax"), ("sex", "cohort"))
    assert (found.infusion, found.persistence, found.figures) == (2, "upper", False)


BROKEN: list[tuple[list[str], str]] = [
    (["--auc-method", "log"], "--auc-method log: is not known. Did you mean 'lin-log'?"),
    (["--tail", "triangel"], "--tail triangel: is not known. Did you mean 'triangle'?"),
    (["--window", "28"], "--window 28: write the first and the last day, such as 0:28"),
    (["--window", "28:0"], "--window 28:0: write the first and the last day"),
    (["--window", "a:b"], "--window a:b: write the first and the last day"),
    (["--window", "0:inf"], "--window 0:inf: write the first and the last day"),
    (["--blq", "frist=keep"], "unknown BLQ position 'frist'. Did you mean 'first'?"),
    (["--blq", "first=keep,before_tmax=0"], "mixes 'first' with 'before_tmax'"),
    (["--blq", "before_tmax=0"], "need both before_tmax and after_tmax"),
    (["--blq", "-3"], "--blq -3: unknown BLQ rule -3.0. Use 'keep', 'drop', a number"),
    (["--blq", "first=keep,first=drop"], "gives 'first' twice."),
    (["--min-points", "1"], "--min-points 1: rule min_points must be at least 2"),
    (["--min-points", "2.5"], "--min-points 2.5: should be a whole number."),
    (["--tolerance", "x"], "--tolerance x: should be a number."),
    (["--tolerance", "nan"], "--tolerance nan: should be a number."),
    (["--tolerance", "2"], "--tolerance 2: rule tolerance must be in [0, 1)"),
    (["--lambda-z-window", "28:10"], "rule lambda_z_window must rise"),
    (["--lambda-z-window", "5"], "--lambda-z-window 5: should be two days"),
    (["--lambda-z-include", "P1"], "--lambda-z-include P1: should be written PATIENT=DAY,DAY,…"),
    (["--lambda-z-include", "P1=a"], "should be days by patient, such as P01=3,7,14"),
    (["--lambda-z-imputed", "--lambda-z-window", "3:28"], "rule lambda_z_imputed cannot be"),
    (["--visit", "m3=91:77"], "should be its target, first and last day, such as m3=91:77:105"),
    (["--visit", "m3=9:95:100"], "visit 'm3' must be (target, first, last)"),
    (["--infusion", "0"], "--infusion 0: infusions are counted from 1."),
    (["--parameters", ","], "--parameters ,: names none"),
    (["--parameters", "cmx"], "--parameters: there is no parameter 'cmx' with these windows. Did"),
    (["--by", "cohrt"], "--by: the data hold no patient variable 'cohrt'. Did you mean 'cohort'?"),
    (["--endpoint", "il66"], "--endpoint: the data hold no endpoint 'il66'. Did you mean 'il6'?"),
    (["--lloq", "-5"], "--lloq -5: the limit must be above 0."),
    (["--lloq", "5", "--lloq", "il6=3"], "should be written as one for all, or one per endpoint"),
    (["--unit", "il6"], "--unit il6: should be written ENDPOINT=UNIT."),
    (["--unit", "il6=foo"], "--unit il6=foo: unknown unit 'foo'"),
    (["--time-unit", "kg"], "time_unit='kg' is not a unit of time"),
    (["--duplicates", "max"], "--duplicates max: is not known. Known: error, first, last, mean."),
    (["--sep", "ab"], "--sep ab: sep must be a single character"),
    (["--subjects", "nowhere.csv"], "nowhere.csv: there is no such file."),
    (["--settings", "nowhere.toml"], "nowhere.toml: cannot read it: No such file or directory."),
    (["--persistence", "km"], "--persistence km: is not known. Known: midpoint, upper, turnbull."),
    (["--accept-samples", "1.5"], "--accept-samples 1.5: should be a whole number."),
    (["--tial", "zero"], "No such option: --tial"),
]


@pytest.mark.parametrize(("arguments", "sentence"), BROKEN, ids=lambda v: " ".join(v))
def test_broken_flag_is_one_sentence_and_nothing_is_written(
    arguments: list[str], sentence: str, command: Command, tmp_path: Path
) -> None:
    code, out, err = command(RECORDS, "--out", tmp_path / "o", "--no-figures", *arguments)
    assert (code, out) == (1, "")
    assert sentence in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "o").exists()


def test_every_problem_of_the_flags_has_a_line(command: Command) -> None:
    code, out, err = command(RECORDS, "--tail", "x", "--window", "3", "--json")
    assert (code, len(err.splitlines())) == (1, 2)
    assert len(json.loads(out)["problems"]) == 2


def test_problem_of_the_data_is_told_in_flags(command: Command, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("ID,TIME,DV\n1,7,20\n1,3,10\n", encoding="utf-8")
    code, _, err = command(table, "--out", tmp_path / "o", "--no-figures")
    assert code == 2
    assert err.rstrip().endswith("Sort the table, or pass --sort.")
    assert command(table, "--out", tmp_path / "o", "--no-figures", "--sort", "-q")[0] == 0


@pytest.mark.parametrize(
    ("text", "flag"),
    [
        ("columns={'DV': 'a b'}.", "--column 'DV=a b'."),
        ("columns={'CMT': None} says", "--column CMT= says"),
        ("endpoints={'1': …, '2': …}.", "--dvid 1=… --dvid 2=…."),
        ("pass missing=['-99']; or", "pass --missing -99; or"),
        ("as lloq=.", "as --lloq."),
        ("align_to_dose=False keeps", "--no-align-to-dose keeps"),
        ("duplicates='first', 'last'", "--duplicates first, 'last'"),
        ("nothing to do with it", "nothing to do with it"),
    ],
)
def test_arguments_become_flags(text: str, flag: str) -> None:
    assert as_flags(text) == flag


# --- what is written -----------------------------------------------------------------------

ARGUMENTS = [
    "--endpoint", "transgene", "--window", "0:28", "--window", "0:84", "--auc-method", "linear",
    "--tail", "exponential", "--blq", "before_tmax=0,after_tmax=0.5lloq", "--min-points", "4",
    "--lambda-z-exclude", "F01-001=14", "--accept-aucpext", "50", "--by", "DOSE_LEVEL,sex",
    "--lloq", "transgene=60", "--missing", "-99",
]  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("nca") / "o"
    assert cli.execute(["nca", RECORDS, "--out", str(out), "--no-figures", "-q", *ARGUMENTS]) == 0
    return out


@pytest.fixture(scope="module")
def expected() -> Any:
    trial = data.read_table(RECORDS, lloq={"transgene": 60.0}, missing=["-99"], echo=False)
    return nca.table(
        trial, "transgene", [(0, 28), (0, 84)], method="linear", tail="exponential",
        blq={"before_tmax": 0, "after_tmax": "0.5*lloq"}, min_points=4,
        lambda_z_exclude={"F01-001": (14,)}, accept_aucpext=50.0,
    )  # fmt: skip


def test_files(written: Path) -> None:
    assert sorted(p.name for p in written.iterdir()) == FILES
    status = json.loads((written / "status.json").read_text(encoding="utf-8"))
    assert (status["state"], status["files"]) == ("done", [f for f in FILES if "status" not in f])


def test_table_has_every_number_to_the_last_digit(written: Path, expected: Any) -> None:
    with (written / "table.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = list(csv.reader(file))
    names = expected["parameter"].values.tolist()
    assert header == ["id", "endpoint", "dose_level", *names]
    assert len(rows) == expected.sizes["id"] == 30
    for i, row in enumerate(rows):
        assert row[:2] == [expected["id"].values[i], "transgene"]
        assert float(row[2]) == float(expected["dose_level"].values[i])
        for name, cell in zip(names, row[3:], strict=True):
            value = float(expected[name].values[i])
            assert cell == ("" if np.isnan(value) else repr(value))


def test_every_missing_value_has_its_reason(written: Path, expected: Any) -> None:
    long = pd.read_csv(written / "parameters.csv", dtype=str, keep_default_na=False)
    first = ["id", "endpoint", "parameter", "PPTESTCD", "PARAM", "label", "value", "unit"]
    assert list(long.columns[:8]) == first
    assert {"start", "end", "method", "reason"} <= set(long.columns)
    assert ((long["value"] == "") == (long["reason"] != "")).all()
    assert len(long) == 30 * expected.sizes["parameter"]
    cmax = long[(long["id"] == "F01-001") & (long["parameter"] == "cmax")].iloc[0]
    assert (cmax["PPTESTCD"], cmax["PARAM"]) == ("CMAX", "Cmax (copies/µg)")


def test_summary_persistence_candidates_and_notes(written: Path, expected: Any) -> None:
    summary = pd.read_csv(written / "summary.csv")
    assert list(summary.columns[:4]) == ["endpoint", "dose_level", "sex", "parameter"]
    assert (summary.groupby("parameter")["N"].sum() == 30).all()
    persistence = pd.read_csv(written / "persistence.csv")
    assert persistence["by"].unique().tolist()[1:] == ["dose_level", "sex"]
    everyone = persistence[persistence["group"] == "all"].reset_index(drop=True)
    curve = nca.persistence(expected)
    assert everyone["survival"].tolist() == curve["survival"].tolist()
    tried = pd.read_csv(written / "candidates.csv")
    assert list(tried.columns[:3]) == ["id", "endpoint", "n_points"]
    chosen = tried[tried["chosen"]].set_index("id")["lambda_z"]
    found = expected["lambda_z"].to_series().dropna()
    # AUC%extrap is no reason to lose lambda_z, so each lambda_z is a window that was chosen.
    assert found.to_dict() == chosen[found.index].to_dict()
    notes = pd.read_csv(written / "notes.csv", keep_default_na=False)
    assert notes["note"].tolist() == expected["note"].values.tolist()
    report = (written / "import_report.txt").read_text(encoding="utf-8")
    assert "30 patients" in report


def test_proportionality_is_that_of_the_library(written: Path, expected: Any) -> None:
    table = pd.read_csv(written / "proportionality.csv").set_index("parameter")
    assert list(table.index) == ["cmax", "auc0_28", "auc0_84"]
    for name, row in table.iterrows():
        found = nca.proportionality(expected, str(name))
        assert (row["slope"], row["lower"], row["n"]) == (found.slope, found.lower, found.n)


def test_summary_and_dose_proportionality_are_printed(command: Command, tmp_path: Path) -> None:
    arguments = ["--out", tmp_path / "o", "--endpoint", "transgene", "--no-figures"]
    code, out, _ = command(RECORDS, *arguments)
    assert code == 0
    params = nca.table(datasets.load("fast01"), "transgene")
    assert f"transgene: {nca.proportionality(params, 'auc0_28').sentence}" in out
    assert "transgene, 30 patients by dose_level:" in out
    rows = nca.summary(params, "dose_level", parameters=["tmax"])
    for level, text in zip(rows["dose_level"], rows["text"], strict=True):
        assert re.search(rf"{re.escape(f'{level:g}')} cells +{re.escape(text)}\n", out)


def test_json(command: Command, tmp_path: Path) -> None:
    arguments = ["--out", tmp_path / "o", "--no-figures", "--json", "--by", "none"]
    code, out, err = command(RECORDS, *arguments)
    said = json.loads(out)
    assert (code, err, said["exit_code"]) == (0, "", 0)
    assert said["endpoints"] == ["transgene", "car_cells"]
    assert sorted(said["files"]) == FILES
    assert (said["by"], {row["N"] for row in said["summary"]}) == ([], {30})
    assert [p["parameter"] for p in said["proportionality"]] == ["cmax", "auc0_28"] * 2


# --- the settings file ---------------------------------------------------------------------


def test_settings_repeat_every_file(written: Path, command: Command, tmp_path: Path) -> None:
    code, _, err = command(
        RECORDS, "--out", tmp_path / "again", "--settings", written / "settings.toml"
    )
    assert (code, err) == (0, "")
    first, second = tables(written), tables(tmp_path / "again")
    assert "settings.toml" in first
    assert first == second


def test_settings_hold_every_rule(written: Path) -> None:
    table = tomllib.loads((written / "settings.toml").read_text(encoding="utf-8"))
    assert nca.Rules.from_dict(table["rules"]) == resolve(given(*ARGUMENTS[6:])).rules
    assert table["data"] == {"lloq": {"transgene": 60.0}, "missing": ["-99"]}
    assert (table["by"], table["windows"]) == (["dose_level", "sex"], [[0.0, 28.0], [0.0, 84.0]])


@pytest.mark.parametrize(("arguments", "rules"), RULES, ids=lambda v: " ".join(v))
def test_rules_survive_the_settings_file(
    arguments: list[str], rules: dict[str, Any], tmp_path: Path
) -> None:
    found = resolve(given(*arguments))
    file = tmp_path / "settings.toml"
    file.write_text(found.to_toml([], ["sex"], tmp_path), encoding="utf-8")
    text = file.read_text(encoding="utf-8").replace("endpoints = []\n", "")
    file.write_text(text, encoding="utf-8")
    assert resolve({}, file).rules == found.rules


def test_flags_come_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text(
        'windows = [[0, 84]]\ntail = "zero"\n[rules]\nmin_points = 4\naccept_aucpext = 20\n'
        '[data]\nsubjects = "people.csv"\ncolumns = { CENS = "" }\n',
        encoding="utf-8",
    )
    found = resolve(given("--min-points", "5", "--accept-aucpext", "none"), file)
    assert (found.rules.min_points, found.rules.accept_aucpext) == (5, None)
    assert (found.rules.tail, found.windows) == ("zero", ((0.0, 84.0),))
    # Paths of a file count from its folder.
    assert found.read == {"subjects": str(tmp_path / "people.csv"), "columns": {"CENS": None}}
    assert resolve(given("--by", "none"), file).by == ()


def test_settings_beside_a_subjects_table(small: Path, command: Command, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("ID,SEX\nP1,F\n", encoding="utf-8")
    out = tmp_path / "deep" / "o"
    arguments = ["--subjects", tmp_path / "people.csv", "--by", "sex", "--no-figures", "-q"]
    assert command(small, "--out", out, *arguments)[0] == 0
    text = (out / "settings.toml").read_text(encoding="utf-8")
    assert 'subjects = "../../people.csv"' in text
    again = command(small, "--out", tmp_path / "o2", "--settings", out / "settings.toml", "-q")
    assert again == (0, "", "")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("windos = [[0, 28]]", "s.toml: unknown key 'windos' in the top of the file. Did you mean "
         "'windows'?"),
        ("[rules]\nmin_point = 3", "s.toml: unknown key 'rules.min_point' in [rules]. Did you mean "
         "'min_points'?"),
        ("[data]\ntail = 3", "s.toml: unknown key 'data.tail' in [data]. It belongs in [rules]."),
        ("windows = [0, 28]", "s.toml: windows = [0, 28]: write the first and the last day"),
        ("windows = []", "s.toml: windows = []: names none; leave it out for the default."),
        ('[rules]\nmin_points = "3"', 's.toml: rules.min_points = "3": should be a whole number.'),
        ("[rules]\nallow_tmax = 1", "rules.allow_tmax = 1: should be true or false"),
        ("[rules]\nvisits = 3", "rules.visits = 3: should be a table of visits."),
        ("[rules.lambda_z_exclude]\nP1 = 3", "rules.lambda_z_exclude = {P1 = 3}: should be days"),
        ("rules = 3", "s.toml: rules = 3 should be a table, [rules]."),
        ("by = 2020-01-01", "s.toml: by = 2020-01-01: should be a list of texts"),
        ("figures = 'no'", 's.toml: figures = "no": should be true or false, without quotes.'),
        ("[data]\nlloq = { il6 = 0 }", "the limit must be above 0."),
        ("tail = ", "s.toml is not valid TOML:"),
    ],
)  # fmt: skip
def test_broken_settings_file(text: str, sentence: str, tmp_path: Path, command: Command) -> None:
    file = tmp_path / "s.toml"
    file.write_text(text, encoding="utf-8")
    code, _, err = command(RECORDS, "--settings", file, "--out", tmp_path / "o")
    assert code == 1
    assert sentence in err.replace("{ ", "{").replace(" }", "}")
    assert len(err.splitlines()) == 1


def test_settings_error_lists_every_problem(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text("tial = 1\n[rules]\nmin_points = 1\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"\(and 2 more\)") as caught:
        resolve(given("--window", "3"), file)
    assert len(caught.value.problems) == 3
    assert type(caught.value)(*caught.value.__reduce__()[1]).problems == caught.value.problems
