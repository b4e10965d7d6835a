"""The page of promises: its program runs, and every test that it names is there."""

import re
from pathlib import Path

from test_docs_engine import blocks

TESTS = Path(__file__).parent
GUIDE = TESTS.parent / "docs" / "robustness.md"


def test_the_program_runs():
    names: dict = {}
    exec(blocks(GUIDE)[0], names)
    assert "'4-Jan' (row 3, column ID)" in names["said"]
    assert names["trial"].id.values.tolist() == ["1-3", "1-4"]
    assert "column ID" in "\n".join(names["notes"])


def test_every_test_that_is_named_exists():
    """A row without a file is of the file named last."""
    rows = [r for r in GUIDE.read_text(encoding="utf-8").splitlines() if r.startswith("|")]
    file, count = "", 0
    for row in rows:
        file = "".join(re.findall(r"\((\.\./tests/\w+\.py)\)", row)[:1]) or file
        for name in re.findall(r"`(test_\w+)`", row):
            text = (GUIDE.parent / file).read_text(encoding="utf-8")
            assert f"def {name}(" in text, (file, name)
            count += 1
    assert count > 35


def test_every_promise_has_a_test_and_a_result():
    rows = [r for r in GUIDE.read_text(encoding="utf-8").splitlines() if r.startswith("|")]
    for row in rows:
        cells = [c.strip() for c in row.strip("|").split("|")]
        assert len(cells) == 3
        assert all(cells)
        assert cells[0].startswith(("promise", "---")) or "`test_" in cells[1]
