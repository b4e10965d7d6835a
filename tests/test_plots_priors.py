"""Pictures of priors, and what a report says of them."""

import numpy as np
import pytest
from test_prior_checks import CASES, LINE_POPULATION, Line, conjugate, line_trial

from cart_pkpd import checks, plots
from cart_pkpd._core.errors import DataError
from cart_pkpd.report import Fit, _diagnostics


@pytest.fixture(scope="module")
def conflict():
    return checks.prior_sensitivity(conjugate(*CASES["possible prior-data conflict"])[0])


def test_sensitivities_are_where_the_check_says(conflict):
    ax = plots.prior_sensitivity(conflict)
    dots = [line for line in ax.lines if line.get_marker() in ("o", "D")]
    for line, name in zip(dots, ("prior", "likelihood"), strict=True):
        np.testing.assert_allclose(line.get_xdata(), np.maximum(conflict[name], 1e-3))
    assert "possible prior-data conflict" in [t.get_text() for t in ax.texts]
    empty = conflict.assign(prior=conflict["prior"] * np.nan, likelihood=conflict["prior"] * np.nan)
    with pytest.raises(DataError, match="no quantity has a sensitivity"):
        plots.prior_sensitivity(empty)


def test_the_prior_predictive_picture_has_the_bands_and_the_data():
    found = checks.prior_predictive(Line(), line_trial(), LINE_POPULATION, n_sims=40)
    figure = plots.prior_predictive(found)
    first, cmax, auc = figure.axes
    median = next(line for line in first.lines if line.get_label() == "median")
    np.testing.assert_allclose(median.get_ydata(), found["simulated"][0].sel(quantile=0.5))
    data = next(line for line in first.lines if line.get_label() == "data")
    exact = (found["censoring"] == "none").to_numpy()
    np.testing.assert_allclose(data.get_ydata(), found["dv"].to_numpy()[exact])
    assert cmax.get_xlabel() == "Cmax (copies/µg)"
    assert auc.get_xlabel().startswith("AUC0–28")
    with pytest.raises(DataError, match="nothing to draw"):
        plots.prior_predictive(found.assign(simulated=found["simulated"] * np.nan))


def test_the_report_says_which_priors_matter(conflict):
    said = _diagnostics.sensitivity_sentence(conflict)
    assert said.startswith("Priors that matter. c0: possible prior-data conflict (prior and data")
    calm = checks.prior_sensitivity(conjugate(*CASES["data decide"])[0])
    assert _diagnostics.sensitivity_sentence(calm) == (
        "Priors: no posterior depends much on its prior."
    )


def test_the_report_has_prior_and_posterior_side_by_side():
    result = conjugate(*CASES["data decide"])[0]
    table = _diagnostics.prior_table("made", result.priors(), Fit(result), "made")
    keys = [c.key for c in table.printed]
    assert keys == ["quantity", "distribution", "shown", "posterior", "origin", "source"]
    median = result.table().loc["c0", "median"]
    assert table.rows[0]["posterior"].startswith(f"{median:.0f}")
    criteria = next(iter(_diagnostics.convergence("made", Fit(result), "made")))
    assert [row["passed"] for row in criteria.rows] == ["yes"] * 6
