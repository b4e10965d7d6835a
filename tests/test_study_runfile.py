"""Run files: what they may say, and what is said about those that are wrong."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cart_pkpd import study
from cart_pkpd._study import plan, toml

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


# Each broken run file, and a part of every sentence it must give. The sentences are the
# requirement: path of the key, what was found, what is allowed or nearest.
BROKEN = {
    "not TOML": ("seed = =", ["is not valid TOML", "line 1"]),
    "empty": ("", ["has no [data]", "dose.counts"]),
    "no source": ("[data]\n", ["[data] needs either 'table'", "neither was given"]),
    "two sources": (
        '[data]\ndataset = "fast01"\ntable = "a.csv"',
        ["[data] needs either 'table'", "both were given"],
    ),
    "option beside dataset": (MINIMAL + "day_one = true", ["[data]", "'day_one' cannot be given"]),
    "unknown top table": (MINIMAL + "[populaton]", ["'populaton' at the top", "'population'?"]),
    "unknown key": (
        MINIMAL + '[population]\nerrr = "lognormal"',
        ["unknown key 'errr' in [population]", "Did you mean 'error'?", "Known: iiv"],
    ),
    "key of another table": (
        MINIMAL + "[population]\ndraws = 500",
        ["unknown key 'draws' in [population]", "It belongs in [fit]"],
    ),
    "text for a number": (
        MINIMAL + '[fit]\ndraws = "1000"',
        ['fit.draws = "1000" (text) should be a whole number'],
    ),
    "true for a number": (MINIMAL + "[fit]\nchains = true", ["fit.chains = true (true/false)"]),
    "below its range": (MINIMAL + "[fit]\nchains = 1", ["fit.chains = 1 should be at least 2"]),
    "above its range": (
        MINIMAL + "[fit]\ntarget_accept = 1.0",
        ["fit.target_accept = 1.0 should be less than 1"],
    ),
    "unknown choice": (
        MINIMAL + '[population]\nerror = "lognormla"',
        ['population.error = "lognormla"', "Did you mean 'lognormal'?", '"student_t"'],
    ),
    "text for a list": (
        MINIMAL + '[population]\niiv = "cmax"',
        ['population.iiv = "cmax" (text) should be a list'],
    ),
    "number in a list of texts": (
        MINIMAL + '[population]\niiv = ["cmax", 3]',
        ["population.iiv[1] = 3 (a whole number) should be text in quotes"],
    ),
    "window backwards": (
        MINIMAL + "[nca]\nwindows = [[0, 28], [28, 0]]",
        ["nca.windows[1] = [28, 0]", "from an earlier to a later day"],
    ),
    "window of one day": (MINIMAL + "[nca]\nwindows = [[0]]", ["nca.windows[0] = [0]", "2 items"]),
    "unknown rule": (MINIMAL + '[nca]\nmethd = "linear"', ["'methd' in [nca]", "'method'?"]),
    "impossible rule": (MINIMAL + '[nca]\nblq = "half"', ["nca: unknown BLQ rule 'half'"]),
    "rule of two types": (MINIMAL + "[nca]\nblq = [1]", ["nca.blq = [1] (a list)", "or a number"]),
    "negative limit": (
        '[data]\ntable = "a.csv"\nlloq = { il6 = -1 }',
        ["data.lloq.il6 = -1 should be greater than 0"],
    ),
    "number for a parameter": (
        MINIMAL + '[models.a]\nmodel = "stein2019"\n[models.a.parameters]\ncmax = 3',
        ["models.a.parameters.cmax = 3", "{typical = 3}", "{fixed = 3}"],
    ),
    "fixed and spread": (
        MINIMAL
        + '[models.a]\nmodel = "stein2019"\n[models.a.parameters]\n'
        + "cmax = { fixed = 1, spread = 2 }",
        ["[models.a.parameters.cmax] is 'fixed', so nothing else"],
    ),
    "model without a start": (MINIMAL + "[models.a]\n", ["[models.a] needs either 'model'"]),
    "like nothing": (
        MINIMAL + '[models.stein]\nmodel = "stein2019"\n[models.b]\nlike = "stien"',
        ['models.b.like = "stien"', "Did you mean 'stein'?"],
    ),
    "like in a circle": (
        MINIMAL + '[models.a]\nlike = "b"\n[models.b]\nlike = "a"',
        ["models.a.like goes in a circle: a → b → a"],
    ),
    "name for no file": (MINIMAL + '[models."a/b"]\nmodel = "stein2019"', ["'a/b'", "letters"]),
    "unknown model": (
        MINIMAL + '[models.a]\nmodel = "stien2019"',
        ["models.a.model: unknown model 'stien2019'", "Did you mean 'stein2019'?"],
    ),
    "unknown parameter": (
        MINIMAL + '[models.a]\nmodel = "stein2019"\n[models.a.parameters]\ncmx = { fixed = 1 }',
        ["models.a.parameters.cmx", "has no parameter 'cmx'", "Did you mean 'cmax'?"],
    ),
    "impossible parameter": (
        MINIMAL + '[models.a]\nmodel = "stein2019"\n[models.a.parameters]\nfb = { fixed = 1.5 }',
        ["models.a.parameters.fb", "1.5", "between 0 and 1"],
    ),
    "unknown iiv": (
        MINIMAL + '[population]\niiv = ["cmax", "lag"]\n[models.a]\nmodel = "stein2019"',
        ["population.iiv", "models.a (stein2019) has no parameter 'lag'"],
    ),
    "iiv on a fixed parameter": (
        MINIMAL
        + '[models.a]\nmodel = "stein2019"\niiv = ["beta"]\n'
        + "[models.a.parameters]\nbeta = { fixed = 0.01 }",
        ["models.a.iiv: 'beta' is fixed"],
    ),
    "mixture without iiv": (
        MINIMAL + '[population]\nnon_expanders = true\n[models.a]\nmodel = "stein2019"',
        ["models.a: 'non_expanders' needs 'cmax' among its 'iiv'"],
    ),
    "unknown unit": (
        '[data]\ntable = "a.csv"\nunits = { il6 = "pg/mQ" }',
        ["data.units.il6: unknown unit 'mQ'"],
    ),
    "no such table": (
        '[data]\ntable = "nowhere.csv"',
        ['data.table = "nowhere.csv"', "not a file"],
    ),
    "no such data set": (
        '[data]\ndataset = "fast1"',
        ["data.dataset", "no data set 'fast1'", "Did you mean 'fast01'?"],
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_run_file_says_what_and_where(name: str, tmp_path: Path) -> None:
    text, expected = BROKEN[name]
    file = tmp_path / "study.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(study.RunFileError) as caught:
        study.plan(study.load(file), tmp_path / "out")
    said = "\n".join(caught.value.problems)
    for part in expected:
        assert part in said
    assert str(caught.value).startswith("study.toml: ")
    assert not (tmp_path / "out").exists()


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(study.RunFileError, match=r"and 2 more") as caught:
        study.loads(MINIMAL + '[fit]\ndraws = "1"\ntune = 1\nchians = 4')
    assert [p.split(" ")[0] for p in caught.value.problems] == ["fit.draws", "fit.tune", "unknown"]


def test_file_that_is_not_there() -> None:
    with pytest.raises(study.RunFileError, match=r"nowhere\.toml: cannot read it: No such file"):
        study.load("nowhere.toml")


def test_like_starts_from_another_model_and_overrides_its_keys() -> None:
    config = study.loads(STUDY)
    heavy = config.spec.models["heavy"]
    assert heavy.model == "stein2019"
    assert heavy.like is None
    assert heavy.parameters["cmax"].typical == 4000
    assert heavy.parameters["beta"].given() == {"typical": 0.02}  # not the fixed value of stein
    assert config.population("heavy")["error"] == "student_t"
    assert config.population("stein")["error"] == "lognormal"
    assert config.population("heavy")["covariates"] == {"cmax": ["dose_level"]}
    assert config.sampling("heavy") == {"draws": 500, "chains": 2}
    assert config.sampling("stein") == {"draws": 800, "chains": 2}


def test_resolved_copy_gives_the_same_study(tmp_path: Path) -> None:
    config = study.loads(STUDY)
    again = study.loads(toml.dumps(config.resolved(tmp_path)))
    assert again.spec == config.spec


def test_resolved_copy_finds_the_same_table_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    file = tmp_path / "in" / "study.toml"
    file.write_text('[data]\ntable = "records.csv"\n', encoding="utf-8")
    copy = tmp_path / "runs" / "one" / "config.toml"
    copy.parent.mkdir(parents=True)
    config = study.load(file)
    copy.write_text(toml.dumps(config.resolved(copy.parent)), encoding="utf-8")
    again = study.load(copy)
    assert again.spec.data.table == "../../in/records.csv"
    assert again.path(again.spec.data.table).resolve() == (tmp_path / "in/records.csv").resolve()


_PLAIN = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
_KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_TABLES = st.recursive(
    st.dictionaries(_KEYS, _PLAIN | st.lists(_PLAIN, max_size=3), max_size=4),
    lambda inner: st.dictionaries(_KEYS, _PLAIN | inner, max_size=4),
    max_leaves=8,
)


def order(table: object) -> list[object]:
    """Return the names of the tables in a table, in their order, with theirs."""
    if not isinstance(table, dict):
        return []
    return [(k, order(v)) for k, v in table.items() if isinstance(v, dict)]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(_TABLES)
def test_toml_keeps_the_order_of_tables(table: dict[str, object]) -> None:
    """The first design of a study leads, with tables of its own or without."""
    assert order(tomllib.loads(toml.dumps(table))) == order(table)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(_TABLES)
def test_toml_reads_back_what_was_written(table: dict[str, object]) -> None:
    assert tomllib.loads(toml.dumps(table)) == table


TWO = """
[data]
dataset = "fast01"
[fit]
endpoint = ["transgene", "il6"]
[population]
errors = { transgene = "student_t", il6 = "additive" }
[models.own]
model = "stein2019"
priors = { cmax = { kind = "truncatednormal", mu = 4000, sigma = 2000, upper = 9000 } }
[models.same]
model = "stein2019"
error = "proportional"
[models.like]
like = "same"
errors = { il6 = "combined" }
"""


def test_several_endpoints_each_with_an_error() -> None:
    config = study.loads(TWO)
    assert config.spec.fit.endpoints == ("transgene", "il6")
    errors = {"transgene": "student_t", "il6": "additive"}
    assert config.population("own")["errors"] == errors
    assert config.population("same") == {"error": "proportional"}
    assert config.population("like") == {"errors": {"il6": "combined"}}
    steps = dict(plan.steps(config))
    assert steps["fit own"].startswith("stein2019 to 'transgene' and 'il6'")


def test_every_prior_can_be_written_in_a_run_file() -> None:
    """The kinds and the numbers of each are those of the package."""
    from dataclasses import fields
    from typing import get_args

    from cart_pkpd._stats.priors import KINDS, TruncatedNormal, prior_from
    from cart_pkpd._study import runfile

    assert get_args(runfile.PriorKind) == tuple(KINDS)
    needed = {f.name for kind in KINDS.values() for f in fields(kind)}
    needed -= {"size", "depth"}  # of an LKJ's block, which the fit knows
    quantiles = {k for k in runfile.Prior.model_fields if re.fullmatch(r"q\d{2,}", k)}
    assert set(runfile.Prior.model_fields) == {"kind", *needed, "quantiles", *quantiles}
    given = study.loads(TWO).population("own")["priors"]["cmax"]
    assert prior_from(given) == TruncatedNormal(4000.0, 2000.0, 0.0, 9000.0)


@pytest.mark.parametrize("corr", ["full", [["cmax", "alpha"], ["tmax", "beta"]]])
def test_random_effects_can_be_written_in_a_run_file(corr: str | list[list[str]]) -> None:
    """What the file gives is what `fit.population` takes."""
    from cart_pkpd import fit
    from cart_pkpd._study import runfile

    keys = runfile.PopulationKeys(
        iiv=["cmax", "tmax", "alpha", "beta"], corr=corr, iov=["cmax"],
        priors={"corr": {"kind": "lkj", "eta": 3.0}},
    )  # fmt: skip
    found = fit.population(**keys.given())
    blocks = [("cmax", "tmax", "alpha", "beta")] if corr == "full" else map(tuple, corr)
    assert found.corr == tuple(blocks)
    assert found.iov == ("cmax",)
    assert found.priors["corr"] == fit.LKJ(eta=3)
