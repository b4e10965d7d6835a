"""The guide to the report: its programs run, and the page says what the guide says of it."""

import pytest
from test_docs_engine import ROOT, blocks

from cart_pkpd import datasets, nca
from cart_pkpd.report import _explorer

GUIDE = "docs/report.md"


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.chdir(tmp_path_factory.mktemp("guide"))
    found: dict = {}
    for block in blocks(GUIDE):
        exec(block, found)
    yield found
    patch.undo()


def test_the_table_at_a_glance_is_that_of_the_trial(names):
    """At the third dose two of seventeen evaluable patients have a DLT."""
    trial, row = datasets.load("fast01"), names["row"]
    here = (trial["dose_level"] == 1e7) & (trial["dlt_evaluable"] > 0)
    counted = f"{int(trial['dlt'].where(here, 0).sum())} of {int(here.sum())}"
    assert (row["dose"], row["dlt"]) == (1e7, counted)
    assert row["dlt"] == "2 of 17"
    cmax = nca.table(trial, endpoint="transgene")["cmax"].where(trial["dose_level"] == 1e7)
    assert row["cmax"] == pytest.approx(float((cmax.prod(skipna=True)) ** (1 / 18)), rel=1e-9)


def test_the_page_has_the_parts_of_the_guide(names):
    page = names["page"].read_text(encoding="utf-8")
    for said in ("Every dose at a glance", "All patients", "Can it be trusted?", "Every patient",
                 "Cellular kinetics", "Data", "Methods", "Provenance", "2026-10-31"):  # fmt: skip
        assert said in page
    assert f"{_explorer.MOST_RECORDS:,} records" in (ROOT / GUIDE).read_text(encoding="utf-8")
