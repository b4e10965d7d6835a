"""The code of the page about populations runs and does what the text says."""

import numpy as np
import pytest
from test_docs_engine import blocks

from cart_pkpd import datasets, fit


@pytest.fixture
def few(monkeypatch):
    """The first 10 patients of the example, one search, so that the page runs in seconds."""
    trial = datasets.load("fast01")
    ids = trial["id"].values[:10]
    kept = {
        dim: np.flatnonzero(np.isin(trial[name].values, ids))
        for dim, name in (
            ("obs", "patient"),
            ("dosing", "dose_patient"),
            ("event", "event_patient"),
        )
    }
    some = trial.isel(**kept, id=np.arange(10))
    monkeypatch.setattr(datasets, "load", lambda name: some)
    laplace = fit.laplace
    monkeypatch.setattr(fit, "laplace", lambda *a, **k: laplace(*a, starts=1, **k))
    return some


def test_the_pages_fits_run(few):
    first, methods, flow = [
        b for b in blocks("docs/population.md") if "given=" in b or "laplace" in b
    ]
    names = {}
    exec(first, names)
    assert "dose_level on cmax (power), age on cmax (exponential)" in names["cells"].sentence
    exec(flow, names)
    known = names["flow"].structure.design.known
    assert set(known) == {"cmax", "tmax", "rho", "alpha", "fb", "beta"}
    assert "individual parameters known (IPP)" in names["flow"].sentence
    # The example trial was simulated with counts of cells in proportion to copies.
    assert 1e-3 < names["flow"].estimates["scale_car_cells"] < 1.0
    assert "for method in" in methods
