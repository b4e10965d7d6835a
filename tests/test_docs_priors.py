"""The guide on priors: its programs run, and its run-file keys are accepted."""

import tomllib
import warnings
from pathlib import Path

import pytest
from numpy.testing import assert_allclose
from test_docs_engine import blocks

from cart_pkpd import study
from cart_pkpd._stats.priors import prior_from

GUIDE = Path(__file__).parent.parent / "docs" / "priors.md"
STUDY = """
[data]
dataset = "fast01"
[models.stein]
model = "stein2019"
iiv = ["cmax"]
[compare]
by = "patient"
n_draws = 50
[checks]
skip = ["sensitivity"]
n_sims = 50
"""


def toml() -> str:
    return GUIDE.read_text(encoding="utf-8").split("```toml\n")[1].split("```")[0]


def test_the_first_program_runs():
    names: dict = {}
    exec(blocks(GUIDE)[0], names)
    assert names["table"].loc["alpha", "origin"] == "changed by the user"
    assert_allclose(names["table"].loc["alpha", ["lower", "upper"]].astype(float), [0.05, 0.5])
    assert names["expected"].attrs["unsolved"] == 0


@pytest.mark.slow
def test_all_programs_run():
    names: dict = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for block in blocks(GUIDE):
            exec(block, names)
    assert names["sensitivity"].sizes["quantity"] == len(names["table"])


def test_quantiles_of_the_run_file_are_priors():
    priors = tomllib.loads(toml())["population"]["priors"]
    found = study.loads(STUDY + toml()).population("stein")["priors"]
    for name, record in priors.items():
        assert prior_from(found[name]) == prior_from(record)
    assert_allclose(prior_from(found["alpha"]).quantile([0.05, 0.95]), [0.05, 0.5])
    assert_allclose(prior_from(found["omega_cmax"]).quantile(0.5), 0.8)


def test_options_reach_the_checks_that_take_them():
    from cart_pkpd._study import fit_checks

    spec = study.loads(STUDY).spec
    assert spec.compare.given() == {"by": "patient", "n_draws": 50}
    assert fit_checks.options(spec.checks, "vpc") == {"n_sims": 50}
    assert fit_checks.options(spec.checks, "etas") == {}
