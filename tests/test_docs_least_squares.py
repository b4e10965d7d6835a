"""The code of the page about least squares runs."""

import numpy as np
import pytest
from test_docs_engine import blocks

from cart_pkpd import datasets


@pytest.mark.parametrize(
    ("patients", "used"), [(12, 7), pytest.param(30, 20, marks=[pytest.mark.slow])]
)
def test_the_page_runs(fast01, monkeypatch, patients, used):
    """With the first patients of the trial, and, slower, with all of them."""
    ids = fast01["id"].to_numpy()[:patients]
    rows = np.isin(fast01["patient"].to_numpy(), ids)
    monkeypatch.setattr(datasets, "load", lambda _: fast01.isel(obs=rows, id=slice(patients)))
    first, second = blocks("docs/least_squares.md")
    names = {}
    exec(first, names)
    assert names["table"]["estimate"].sel(id="F01-009").notnull().all()
    exec(second, names)
    assert (names["population"]["lower"] < names["population"]["typical"]).all()
    assert names["population"]["used"].sum() > used
