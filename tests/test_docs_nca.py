"""The NCA guide: its examples run, its table is that of the catalogue, its pictures are there."""

from __future__ import annotations

import doctest
import importlib.util
import re
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
GUIDE = DOCS / "nca.md"


def script():
    spec = importlib.util.spec_from_file_location("make_nca_figures", DOCS / "make_nca_figures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_examples_print_what_they_show():
    found = doctest.testfile(str(GUIDE), module_relative=False, encoding="utf-8")
    assert found.attempted > 10
    assert found.failed == 0


def test_table_of_parameters_is_the_catalogue():
    text = GUIDE.read_text(encoding="utf-8")
    assert script().with_table(text) == text
    assert "| `half_life` | t½ | day | LAMZHL |" in text


def test_every_picture_is_made_by_the_script_and_small():
    shown = set(re.findall(r"figures/nca_(\w+)\.png", GUIDE.read_text(encoding="utf-8")))
    assert shown == set(script().PICTURES)
    for name in shown:
        assert (DOCS / "figures" / f"nca_{name}.png").stat().st_size < 150_000


def test_pictures_can_be_drawn():
    made = script()
    for name in ("tails", "persistence"):
        assert len(made.PICTURES[name]().axes) >= 2
