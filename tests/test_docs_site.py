"""The documentation site: pages that are made are up to date, examples run, links are checked."""

from __future__ import annotations

import ast
import doctest
import importlib.util
import re
import sys
from pathlib import Path

import pytest

import cart_pkpd
from cart_pkpd import fit

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SITE = DOCS / "_site"
RUN = [
    "from_pknca", "from_monolix", "from_nlmixr2", "from_nonmem", "own_model", "own_design",
    "data", "censoring", "index", "notebooks",
]  # fmt: skip


def script(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def text(page: str) -> str:
    return (DOCS / f"{page}.md").read_text(encoding="utf-8")


def blocks(page: str) -> list[str]:
    found = re.findall(r"^ *```python\n(.*?)^ *```", text(page), re.DOTALL | re.MULTILINE)
    return [b for b in found if not b.startswith(">>>")]


class Specified:
    """Stands for a fit: its parts were joined, and what is asked of it is part of a fit."""

    def __init__(self, structure):
        self.structure = structure

    def __getattr__(self, name):
        if not hasattr(fit.LaplaceResult, name):
            raise AttributeError(f"a fit has no {name!r}")
        return lambda: None


@pytest.fixture
def here(monkeypatch, tmp_path):
    """Run where files may be written, with the examples at hand."""
    for name in ("examples", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)


# --- examples -----------------------------------------------------------------------------------


@pytest.mark.parametrize("page", RUN)
def test_the_examples_of_a_page_run(page, here, monkeypatch, capsys):
    """Fits are only specified here: model, population and data must join, and the results that
    the page names must be those of a fit. `test_the_fits_of_a_page_run` makes them."""

    def specified(model, trial, population, **options):
        return Specified(fit.structure(model, trial, population))

    monkeypatch.setattr(fit, "laplace", specified)
    names: dict[str, object] = {}
    for block in blocks(page):
        exec(block, names)
    assert blocks(page)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["from_monolix", "from_nlmixr2", "from_nonmem"])
def test_the_fits_of_a_page_run(page, here):
    names: dict[str, object] = {}
    for block in blocks(page):
        exec(block, names)
    found = next(v for v in names.values() if isinstance(v, fit.LaplaceResult))
    assert found.ofv_nonmem < found.ofv


def test_the_quick_start_prints_what_it_shows(here):
    """Reading and non-compartmental analysis, to the character."""
    found = doctest.testfile(str(DOCS / "start.md"), module_relative=False, encoding="utf-8")
    assert found.attempted > 8
    assert found.failed == 0


@pytest.mark.slow
def test_the_quick_start_runs_to_its_report(here, tmp_path, monkeypatch):
    printed = doctest.DocTestParser().get_doctest(text("start"), {}, "start", "start.md", 0)
    names: dict[str, object] = {}
    doctest.DocTestRunner(verbose=False).run(printed, clear_globs=False, out=lambda _: None)
    names.update(printed.globs)
    monkeypatch.setattr(
        cart_pkpd.report, "write", lambda out, _w=cart_pkpd.report.write, **o: _w(tmp_path, **o)
    )
    for block in blocks("start"):
        exec(block, names)
    first, result = names["first"], names["result"]
    shown = re.search(r"cmax +([\d.]+) +([\d.]+)", text("start"))
    assert float(first.table().loc["cmax", "estimate"]) == pytest.approx(float(shown[1]), rel=1e-3)
    assert result.verdict.ok
    assert (tmp_path / "report.html").stat().st_size > 100_000


# --- pages that are made ------------------------------------------------------------------------


def test_tables_of_columns_keys_and_names_are_those_of_the_package():
    for name, made in script(DOCS / "make_reference.py").pages().items():
        assert (DOCS / name).read_text(encoding="utf-8") == made, f"docs/{name}"
    assert "`DAYSPOSTINFUSION`" in text("data")
    assert "| `lambda_z_exclude` |" in text("runfile")
    assert "### `[models.*]`" in text("runfile")


def test_the_run_file_of_the_guide_is_valid():
    from cart_pkpd import study

    block = re.search(r"```toml\n(.*?)```", text("runfile"), re.DOTALL)
    found = study.loads(block[1])
    assert set(found.spec.models) == {"stein", "no_dose"}


def test_the_gallery_is_what_its_script_writes_and_its_pictures_are_small():
    made = script(DOCS / "make_gallery.py")
    assert made.page() == text("gallery")
    for name in made.names():
        assert 2_000 < (made.FOLDER / f"{name}.png").stat().st_size < 150_000


def test_every_page_is_in_the_navigation():
    listed = set(re.findall(r"^(?:.* <)?([\w/]+)>?$", text("index"), re.MULTILINE))
    pages = {p.stem for p in DOCS.glob("*.md")} - {"index"}
    assert pages <= listed


# --- what was validated -------------------------------------------------------------------------


def named_tests() -> list[str]:
    return re.findall(r"`(tests/\w+\.py::[\w:]+)`", text("validation"))


def test_every_test_of_the_validation_table_exists():
    trees: dict[str, ast.Module] = {}
    for name in named_tests():
        path, *parts = name.split("::")
        if path not in trees:
            trees[path] = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        body = trees[path].body
        for part in parts:
            found = [n for n in body if getattr(n, "name", "") == part]
            assert found, name
            body = getattr(found[0], "body", [])
    assert len(named_tests()) > 40


def test_every_line_of_the_validation_table_has_claim_outcome_source_and_test():
    rows = [r for r in text("validation").splitlines() if r.startswith("| ")]
    rows = [r for r in rows if not r.startswith(("| claim", "| ---"))]
    assert len(rows) == len(named_tests())
    for row in rows:
        assert all(cell.strip() for cell in row.strip("|").split("|"))
        assert row.count("|") == 5


# --- the site itself ----------------------------------------------------------------------------


def test_the_reference_has_every_public_module_and_name():
    pytest.importorskip("sphinx")
    pages = script(SITE / "pages.py")
    for name in pages.modules():
        page = pages.api_page(name)
        module = importlib.import_module(f"cart_pkpd.{name}")
        shown = re.findall(r"^\.\. auto(?:class|function|data):: (\w+)", page, re.MULTILINE)
        assert sorted(shown) == sorted(pages.public(module))
        assert shown
    assert {"FitResult", "Normal", "bayes"} <= set(pages.public(fit))


def test_markdown_of_github_becomes_that_of_the_site():
    pytest.importorskip("sphinx")
    given = ["$`C_{max}`$ and [code](../cart_pkpd/models)\n\n```python\n>>> 1\n1\n```\n"]
    script(SITE / "pages.py").as_myst(None, "page", given)
    assert given == ["$C_{max}$ and code\n\n```pycon\n>>> 1\n1\n```\n"]
    given = ["```python\n>>> 1\n1\n\n>>> 2\n2\n\n```\n\ntext\n\n```python\nx = 1\n\n```\n"]
    script(SITE / "pages.py").as_myst(None, "page", given)
    assert given == ["```pycon\n>>> 1\n1\n\n>>> 2\n2\n```\n\ntext\n\n```python\nx = 1\n\n```\n"]


def test_every_equation_of_the_model_pages_has_mathml():
    """Well-formed XML with the symbols in it; docutils alone translates."""
    pytest.importorskip("sphinx")
    from xml.etree import ElementTree

    mathml = script(SITE / "mathml.py").mathml
    n = 0
    for page in (DOCS / "models").glob("*.md"):
        source = page.read_text(encoding="utf-8")
        for tex in re.findall(r"```math\n(.*?)```", source, re.DOTALL):
            assert ElementTree.fromstring(mathml(tex, block=True)).tag.endswith("math")
            n += 1
        for tex in set(re.findall(r"\$`([^`]+)`\$", source)):
            assert ElementTree.fromstring(mathml(tex, block=False)).tag.endswith("math")
    assert n > 100
    aligned = mathml(r"\begin{aligned} a &= b \\[4pt] c &= d \end{aligned}", block=True)
    assert aligned.count("<mtr>") == 2
    assert "pt" not in aligned


def test_the_link_check_finds_what_is_wrong_and_nothing_else(tmp_path):
    """A site of two pages, written by hand."""
    (tmp_path / "a.html").write_text(
        '<h1 id="top">A</h1><a href="b.html#there">b</a><a href="#top">a</a>'
        '<a href="https://example.org/">out</a><img src="p.png">', encoding="utf-8",
    )  # fmt: skip
    (tmp_path / "p.png").write_bytes(b"")
    (tmp_path / "b.html").write_text('<p id="there">B</p>', encoding="utf-8")
    check = script(SITE / "check_links.py")
    assert check.problems(tmp_path) == []
    (tmp_path / "b.html").write_text(
        '<a href="a.html#nowhere"></a><a href="c.html"></a><img src="q.png">'
        '<script src="https://cdn.example.org/x.js"></script>', encoding="utf-8",
    )  # fmt: skip
    (tmp_path / "s.css").write_text("@font-face {src: url('//fonts.example.org/f')}")
    found = "\n".join(check.problems(tmp_path))
    for said in (
        "a.html: links to b.html#there, a page without that anchor",
        "b.html: links to a.html#nowhere, a page without that anchor",
        "b.html: links to c.html, which is not there",
        "b.html: loads q.png, which is not there",
        "b.html: loads https://cdn.example.org/x.js from elsewhere",
        "s.css: loads //fonts.example.org/f from elsewhere",
    ):
        assert said in found
    assert found.count("\n") == 5
