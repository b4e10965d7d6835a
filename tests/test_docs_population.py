"""The code of the page about the population model runs and says what the text says."""

import numpy as np
from test_docs_engine import blocks


def test_the_pages_examples_run(capsys):
    """The second block's data have omega 0.5 and, between occasions, 0.3: within 3 errors."""
    names = {}
    for block in blocks("docs/population.md"):
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
