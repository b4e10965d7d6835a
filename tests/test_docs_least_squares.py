"""The example of docs/least_squares.md runs as printed."""

from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "least_squares.md"


def test_the_page_runs():
    scope: dict = {}
    blocks = PAGE.read_text(encoding="utf-8").split("```python\n")[1:]
    for block in blocks:
        exec(block.split("```")[0], scope)
    assert scope["table"]["estimate"].sel(id="F01-009").notnull().all()
    assert (scope["population"]["lower"] < scope["population"]["typical"]).all()
    assert scope["population"]["used"].sum() > 20
