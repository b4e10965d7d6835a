"""The code of the page about populations runs and does what the text says."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from test_docs_engine import blocks

from cart_pkpd import data, datasets, fit


def section(title):
    """Return the code of one section of the page."""
    text = Path(__file__).parent.parent.joinpath("docs/population.md").read_text(encoding="utf-8")
    part = next(p for p in text.split("\n## ")[1:] if p.startswith(title))
    return [block for block in blocks("docs/population.md") if block in part]


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
    first, methods, flow = section("Covariates, scale")
    names = {}
    exec(first, names)
    assert "dose_level on cmax (power), age on cmax (exponential)" in names["cells"].sentence
    exec(flow, names)
    known = names["flow"].structure.design.known
    assert set(known) == {"cmax", "tmax", "rho", "alpha", "fb", "beta"}
    assert "individual parameters known (IPP)" in names["flow"].sentence
    # The ratio of both assays in samples of one time, quantified by both, is about the factor.
    assert_allclose(
        np.log(names["flow"].estimates["scale_car_cells"]), np.log(ratio(few)), atol=np.log(1.5)
    )
    exec(methods, names)
    # A tail that stands at LLOQ/2 does not decline.
    assert names["rates"]["m5"] < 0.6 * names["rates"]["m3"]


def ratio(trial):
    """Geometric mean of cells/µL by flow cytometry for each copy/µg by qPCR."""
    levels = {}
    for name in ("transgene", "car_cells"):
        one = data.endpoint(trial, name)
        seen = np.flatnonzero(one["censoring"].values == "none")
        columns = (one[c].values[seen] for c in ("patient", "time", "dv"))
        levels[name] = {(p, t): y for p, t, y in zip(*columns, strict=True)}
    pairs = [k for k in levels["car_cells"] if k in levels["transgene"]]
    assert len(pairs) > 20
    return float(np.exp(np.mean([np.log(levels["car_cells"][k] / levels["transgene"][k])
                                 for k in pairs])))  # fmt: skip


def test_random_effects_are_as_the_text_says(capsys):
    """The second block's data have omega 0.5 and, between occasions, 0.3: within 3 errors."""
    names = {}
    for block in section("Random effects"):
        exec(block, names)
    assert "correlated: cmax with alpha" in capsys.readouterr().out
    table = names["first"].table()
    assert -1 < table.loc["corr_cmax_alpha", "estimate"] < 1
    found = names["result"].table()
    for name, true in {"omega_cmax": 0.5, "omega_iov_cmax": 0.3}.items():
        assert abs(found.loc[name, "estimate"] - true) < 3 * found.loc[name, "se"]
    assert list(names["deviations"]["varying"].to_numpy()) == [
        "cmax", "kappa_cmax_1", "kappa_cmax_2",
    ]  # fmt: skip
    assert np.isfinite(names["shrinkage"]).all()
