"""The guide of virtual patients: its code runs, and what it says holds."""

import re
from pathlib import Path

import numpy as np
import pytest

from cart_pkpd._study import virtual

DOCS = Path(__file__).resolve().parents[1] / "docs"
TEXT = (DOCS / "simulate.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def guide(tmp_path_factory):
    """What the guide's code leaves behind, with fewer patients and trials."""
    names, folder = {}, tmp_path_factory.mktemp("guide")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
            fewer = block.replace("6000", "600").replace("50_000", "3000")
            exec(fewer.replace("trials=1000", "trials=50"), names)
        yield names
        names["lazy"].close()


def test_the_guide_runs_and_its_table_names_what_is_there(guide):
    people = guide["people"]
    for line in re.findall(r"^\| (`.*?) \| (id.*?) \|", TEXT, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", line[0]):
            if name not in ("draw", "trial"):
                assert people[name].dims == tuple(line[1].split(", ")), name
    codes = people["censored"].attrs["flag_meanings"].split()
    assert len(codes) == len(people["censored"].attrs["flag_values"]) == 7
    assert guide["table"].sizes["id"] == 12
    assert guide["decision"].sentence
    assert 0 <= float(guide["none"]) <= 1
    assert (np.diff(guide["truth"].rates) > 0).all()
    assert guide["lazy"].sizes["id"] == 3000


def test_the_run_file_of_the_guide_is_one(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)[0], encoding="utf-8")
    job = virtual.read(path, None)
    assert (job.seed, job.table.n) == (1, 1000)
    assert set(virtual.arguments(job)) == {
        "doses", "times", "error", "lloq", "dropout", "covariates", "outcomes"
    }  # fmt: skip


def test_every_name_in_the_guide_exists(guide):
    for name in re.findall(r"`simulate\.([A-Za-z_]+)", TEXT):
        assert hasattr(guide["simulate"], name), name
    assert all((DOCS / path).is_file() for path in re.findall(r"\]\((figures/.*?)\)", TEXT))
    assert all((DOCS / path).is_file() for path in re.findall(r"\]\(([\w_]+\.md)\)", TEXT))
