"""The code of the page about least squares runs."""

from test_docs_engine import blocks


def test_the_page_runs():
    first, second = blocks("docs/least_squares.md")
    names = {}
    exec(first, names)
    assert names["table"]["estimate"].sel(id="F01-009").notnull().all()
    exec(second, names)
    assert (names["population"]["lower"] < names["population"]["typical"]).all()
    assert names["population"]["used"].sum() > 20
