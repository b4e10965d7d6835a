"""The code of the pages about comparisons and searches runs and says what the pages say."""

import re
import tomllib
from pathlib import Path

import pytest
from test_docs_engine import blocks

from cart_pkpd import cli, compare, fit
from cart_pkpd._study.runfile import Search

DOCS = Path(__file__).parents[1] / "docs"


def test_the_pages_name_what_there_is(capsys):
    comparison = (DOCS / "comparison.md").read_text(encoding="utf-8")
    search = (DOCS / "search.md").read_text(encoding="utf-8")
    for criterion in compare.CRITERIA:
        assert f"`{criterion}`" in comparison
    assert cli.execute(["compare", "--help"]) == 0
    known = capsys.readouterr().out
    for flag in set(re.findall(r"--[a-z]+", comparison)):
        assert flag in known
    for name in re.findall(r"`compare\.(\w+)", comparison + search):
        assert hasattr(compare, name)


@pytest.mark.slow
def test_the_search_of_the_page_finds_what_the_page_says():
    (first, *_) = blocks("docs/search.md")
    names = {}
    exec(first, names)
    page = " ".join((DOCS / "search.md").read_text(encoding="utf-8").split())
    assert names["found"].sentence in page
    assert names["found"].fit.verdict.ok


@pytest.mark.slow
def test_the_comparison_of_the_page_runs():
    (first, *_) = blocks("docs/comparison.md")
    names = {}
    exec(first, names)
    found = names["found"]
    assert found.index.tolist() == ["one population", "non-expanders"]
    assert "too small to matter" in found.sentence


def test_the_candidates_of_the_page_are_candidates():
    second = blocks("docs/search.md")[1]
    found = eval(second, {"compare": compare, "fit": fit})
    names = [c.name for c in found.all]
    assert "sex on alpha (power)" not in names
    assert names[-3:] == [
        "IIV of beta", "correlation of cmax, alpha", "correlation of cmax, alpha, fb",
    ]  # fmt: skip


def test_the_run_file_of_the_page_is_read():
    page = (DOCS / "search.md").read_text(encoding="utf-8")
    table = tomllib.loads(re.findall(r"```toml\n(.*?)```", page, re.DOTALL)[0])
    assert Search(**table["search"]).least == 2.0
