"""The [grid] table: which fits it asks for, what they are called, and what is refused."""

from __future__ import annotations

import itertools
import json
import tomllib
from pathlib import Path

import jsonschema
import pandas as pd
import pytest

from cart_pkpd import cli, study
from cart_pkpd._study import plan, tables, toml
from cart_pkpd._study.grid import label_of, words
from cart_pkpd._study.runfile import Prior
from cart_pkpd.report import _fits

BASE = """
[data]
dataset = "fast01"
[fit]
draws = 100
[population]
iiv = ["cmax", "tmax"]
[population.priors]
omega_alpha = { kind = "halfnormal", sigma = 0.4 }
[models.stein]
model = "stein2019"
[models.lag]
model = "ogasawara2021"
"""
ERRORS = '[grid.axes]\nerror = ["lognormal", "student_t"]\n'


def names(text: str) -> list[str]:
    return list(study.loads(BASE + text).spec.models)


def test_every_combination_is_a_fit() -> None:
    config = study.loads(
        BASE + ERRORS + 'iiv = { few = ["cmax"], more = ["cmax", "tmax", "alpha"] }\n'
    )
    models, iivs = ("stein", "lag"), ("few", "more")
    errors = ("lognormal", "student_t")
    expected = ["-".join(parts) for parts in itertools.product(models, iivs, errors)]
    assert list(config.spec.models) == expected
    one = config.population("lag-more-student_t")
    assert (one["iiv"], one["error"]) == (["cmax", "tmax", "alpha"], "student_t")
    assert config.spec.models["lag-few-lognormal"].model == "ogasawara2021"
    plan.check(config)


def test_names_do_not_depend_on_the_order_in_the_file() -> None:
    first = names('[grid.axes]\ncensoring = ["m3", "m1"]\niiv = [[], ["cmax"]]\n')
    second = names('[grid.axes]\niiv = [["cmax"], []]\ncensoring = ["m1", "m3"]\n')
    assert sorted(first) == sorted(second)
    assert "stein-no_iiv-m1" in first


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("error",), "student_t", "student_t"),
        (("iiv",), ["cmax", "tmax"], "cmax_tmax"),
        (("iiv",), [], "no_iiv"),
        (("covariates",), {}, "no_covariates"),
        (("covariates",), {"cmax": ["dose_level"]}, "cmax_dose_level"),
        (("covariates", "cmax"), ["dose_level"], "cmax_by_dose_level"),
        (("covariates", "cmax"), [], "cmax_by_none"),
        (("non_expanders",), True, "non_expanders"),
        (("non_expanders",), False, "no_non_expanders"),
        (("corr",), "full", "corr_full"),
        (("corr",), [["cmax", "alpha"]], "corr_cmax_alpha"),
        (("draws",), 500, "draws500"),
        (("target_accept",), 0.95, "target_accept0.95"),
        (
            ("priors", "omega_cmax"),
            Prior(kind="halfnormal", sigma=0.5),
            "omega_cmax_halfnormal_sigma0.5",
        ),
    ],
)
def test_a_value_has_a_short_name(path: tuple[str, ...], value: object, expected: str) -> None:
    assert label_of(path, value) == expected


def test_a_long_value_has_a_name_of_limited_length() -> None:
    long = [f"parameter{i}" for i in range(20)]
    one, other = label_of(("iiv",), long), label_of(("iiv",), [*long, "one_more"])
    assert len(one) == len(other) == 40
    assert one != other
    assert one == label_of(("iiv",), list(long))


def test_only_some_models_are_varied() -> None:
    assert names('[grid]\nmodels = ["lag"]\n' + ERRORS) == [
        "stein", "lag-lognormal", "lag-student_t",
    ]  # fmt: skip


def test_variants_stand_beside_the_plain_model() -> None:
    text = '[grid.variants.dose]\ncovariates = { cmax = ["dose_level"] }\n'
    assert names(text) == ["stein", "stein-dose", "lag", "lag-dose"]
    assert names("[grid]\nplain = false\n" + text) == ["stein", "lag"]
    two = text + '[grid.variants.heavy]\nerror = "student_t"\ndraws = 50\n'
    assert names("[grid]\nplain = false\n" + two) == [
        "stein-dose", "stein-heavy", "lag-dose", "lag-heavy",
    ]  # fmt: skip
    config = study.loads(BASE + two)
    assert config.sampling("lag-heavy")["draws"] == 50
    assert config.sampling("lag")["draws"] == 100


def test_tables_are_varied_entry_by_entry() -> None:
    config = study.loads(
        BASE
        + "[grid.axes]\n"
        + 'covariates = { cmax = [[], ["dose_level"]] }\n'
        + "parameters.beta = { low = { fixed = 0.001 }, free = { typical = 0.01 } }\n"
        + 'priors = { omega_cmax = { wide = { kind = "halfnormal", sigma = 2.0 } } }\n'
    )
    assert list(config.spec.models)[:4] == [
        "stein-cmax_by_none-low", "stein-cmax_by_none-free",
        "stein-cmax_by_dose_level-low", "stein-cmax_by_dose_level-free",
    ]  # fmt: skip
    one = config.population("stein-cmax_by_dose_level-free")
    assert one["covariates"] == {"cmax": ["dose_level"]}
    assert one["priors"]["omega_cmax"] == {"kind": "halfnormal", "sigma": 2.0}
    assert "covariates" not in config.population("stein-cmax_by_none-low")
    assert config.spec.models["stein-cmax_by_none-low"].parameters["beta"].fixed == 0.001


def test_a_shared_prior_goes_where_its_quantity_is() -> None:
    config = study.loads(BASE + '[grid.axes]\niiv = [["cmax"], ["cmax", "alpha"]]\n')
    assert "priors" not in config.population("stein-cmax")
    assert set(config.population("stein-cmax_alpha")["priors"]) == {"omega_alpha"}
    assert "omega_alpha not used" in dict(plan.steps(config))["fit stein-cmax"]
    # A name that no fit has a use for is not dropped, but told when models meet the data.
    wrong = study.loads(BASE.replace("omega_alpha", "omega_alhpa") + ERRORS)
    assert "omega_alhpa" in wrong.population("stein-lognormal")["priors"]


def test_points_that_would_be_the_same_fit_are_done_once() -> None:
    config = study.loads(
        BASE
        + '[grid.axes]\niiv = [["cmax"], ["cmax", "alpha"]]\n'
        + 'priors.omega_alpha = { narrow = { kind = "halfnormal", sigma = 0.4 }, '
        + 'wide = { kind = "halfnormal", sigma = 1.0 } }\n'
    )
    assert [n for n in config.spec.models if n.startswith("stein")] == [
        "stein-cmax-narrow", "stein-cmax_alpha-narrow", "stein-cmax_alpha-wide",
    ]  # fmt: skip
    assert config.grid.same["stein-cmax-wide"] == "stein-cmax-narrow"
    assert "2 left out, being the same as another" in words(config.grid)


def test_exclusions() -> None:
    rule = '[grid]\nexclude = [{ model = "lag", error = ["student_t", "lognormal"] }]\n'
    axes = '[grid.axes]\nerror = ["lognormal", "student_t", "additive"]\n'
    assert names(rule + axes) == [
        "stein-lognormal", "stein-student_t", "stein-additive", "lag-additive",
    ]  # fmt: skip


def test_every_fit_may_have_a_seed_of_its_own() -> None:
    config = study.loads("seed = 3\n" + BASE + "[grid.axes]\nseed = [1, 2]\n")
    assert [config.seed(n) for n in config.spec.models] == [1, 2, 1, 2]
    assert study.loads("seed = 3\n" + BASE).seed("lag") == 3


def test_the_resolved_copy_is_as_short_as_the_file(tmp_path: Path) -> None:
    config = study.loads(BASE + ERRORS + 'iiv = [["cmax"], ["cmax", "tmax"]]\n').with_(seed=9)
    text = toml.dumps(config.resolved(tmp_path))
    assert 'error = ["lognormal", "student_t"]' in text
    assert "stein-cmax-lognormal" not in text
    again = study.loads(text)
    assert again.spec.models == config.spec.models
    assert again.spec.seed == 9


REFUSED = {
    "unknown key": ('[grid]\nmodel = ["stein"]', ["'model' in [grid]", "Did you mean 'models'?"]),
    "unknown axis": ('[grid.axes]\nerr = ["a"]', ["'err' in [grid.axes]", "Did you mean 'error'?"]),
    "unknown value": (
        '[grid.axes]\nerror = ["lognormla"]',
        ['grid.axes.error[0] = "lognormla"', "Did you mean 'lognormal'?"],
    ),
    "no list": ('[grid.axes]\nerror = "lognormal"', ['grid.axes.error = "lognormal" (text)']),
    "empty": ("[grid.axes]\nerror = []", ["grid.axes.error = [] should have at least 1 item"]),
    "out of range": ("[grid.axes]\ndraws = [5]", ["grid.axes.draws[0] = 5 should be at least 10"]),
    "twice": (
        '[grid.axes]\niiv = [["cmax"], ["cmax"]]',
        ["grid.axes.iiv has the value 'cmax' twice"],
    ),
    "key of a prior": (
        '[grid.axes]\npriors.omega_cmax = [{ kind = "halfnormal", sigm = 1.0 }]',
        ["unknown key 'sigm' in [grid.axes.priors.omega_cmax[0]]", "Did you mean 'sigma'?"],
    ),
    "key of a variant": ('[grid.variants.x]\nerrr = "a"', ["'errr' in [grid.variants.x]"]),
    "name for no file": ('[grid.variants."x y"]\nerror = "additive"', ["'x y'", "letters, digits"]),
    "no such model": ('[grid]\nmodels = ["stien"]', ["grid.models: 'stien'", "'stein'?"]),
    "no models": (None, ["[grid] varies models"]),
    "exclusion of no axis": (
        ERRORS + '[grid]\nexclude = [{ err = "lognormal" }]',
        ["grid.exclude[0]: 'err' is not varied here", "Did you mean 'error'?"],
    ),
    "exclusion of no value": (
        ERRORS + '[grid]\nexclude = [{ error = "studnt_t" }]',
        ["grid.exclude[0].error: there is no value 'studnt_t'", "'student_t'?"],
    ),
    "nothing left": (
        ERRORS + '[grid]\nexclude = [{ error = ["student_t", "lognormal"] }]',
        ["leaves nothing of the grid"],
    ),
    "two of one name": (
        '[grid.axes]\niiv = { A = ["cmax"], a = ["tmax"] }',
        ["two different fits would be called 'stein-a'", "names of your own"],
    ),
    "unknown parameter": (
        '[grid.axes]\niiv = [["cmax"], ["cmx"]]\nerror = ["lognormal", "additive"]',
        ["stein-cmx-lognormal", "no parameter 'cmx'", "The same is wrong with 1 more of the grid"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_told_with_its_place(name: str) -> None:
    text, expected = REFUSED[name]
    file = '[data]\ndataset = "fast01"\n' + ERRORS if text is None else BASE + text
    with pytest.raises(study.RunFileError) as caught:
        plan.check(study.loads(file))
    said = "\n".join(caught.value.problems)
    for part in expected:
        assert part in said


def test_parts_of_a_study_have_no_grid() -> None:
    config = study.loads(BASE + ERRORS)
    alone = config._with({"models": {}})
    assert not alone.grid.points
    assert "grid" not in alone.resolved(Path())


def test_the_ranking_says_what_was_varied() -> None:
    config = study.loads(BASE + ERRORS)
    ranks = {"stein-lognormal": 2.0, "stein-student_t": 1.0, "lag-lognormal": float("nan")}
    table = pd.DataFrame(
        {"rank": ranks, "elpd_diff": {"stein-lognormal": 3.0, "stein-student_t": 0.0},
         "dse": {"stein-lognormal": 1.5, "stein-student_t": 0.0}},
    ).rename_axis("fit")  # fmt: skip
    table = table.loc[["stein-student_t", "stein-lognormal", "lag-lognormal"]]
    ranked = tables.ranking(table, {"lag-student_t": "no start."}, config.grid)
    assert ranked.attrs["axes"] == ["model", "error"]
    assert list(ranked.loc["lag-student_t", ["model", "error"]]) == ["lag", "student_t"]
    found = _fits._by_value(ranked, ["model", "error"])
    rows = {row["value"]: row for row in found.rows}
    assert (rows["stein"]["best"], rows["stein"]["best_rank"]) == ("stein-student_t", 1)
    assert rows["lag"]["best"] == "none converged"
    assert (rows["lognormal"]["fits"], rows["lognormal"]["ranked"]) == (2, 1)
    assert rows["lognormal"]["elpd_diff"] == 3.0


def test_the_published_schema_is_current(tmp_path: Path) -> None:
    out = tmp_path / "schema.json"
    assert cli.execute(["schema", "--out", str(out)]) == 0
    published = Path(__file__).parents[1] / "docs" / "study.schema.json"
    assert published.read_text(encoding="utf-8") == out.read_text(encoding="utf-8"), (
        "run: cart-pkpd schema --out docs/study.schema.json"
    )


def test_the_schema_knows_every_table_and_refuses_unknown_keys() -> None:
    found = study.schema()
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert {"data", "fit", "population", "models", "grid", "report"} <= set(found["properties"])
    objects = {k: part for k, part in found["$defs"].items() if part.get("type") == "object"}
    free = {k for k, part in objects.items() if part["additionalProperties"] is not False}
    assert found["additionalProperties"] is False
    assert free == {"CovariateTable", "DesignTable"}  # each kind has options of its own
    assert json.loads(json.dumps(found)) == found


def test_the_schema_agrees_with_what_is_read() -> None:
    check = jsonschema.Draft202012Validator(study.schema())
    for file in sorted((Path(__file__).parents[1] / "examples").glob("*.toml")):
        assert list(check.iter_errors(tomllib.loads(file.read_text(encoding="utf-8")))) == []
    wrong = tomllib.loads(BASE + '[grid.axes]\nerr = ["lognormal"]')
    assert list(check.iter_errors(wrong))
