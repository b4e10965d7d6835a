"""Waterfall, spider and swimmer by what they put on the axes."""

import numpy as np
import pandas as pd
import pytest
from lesion_histories import lesions
from matplotlib.colors import to_hex
from numpy.testing import assert_allclose

from cart_pkpd import datasets, endpoints, plots
from cart_pkpd._core.errors import DataError


@pytest.fixture(scope="module")
def fast01():
    followup = endpoints.read_followup(datasets.load("fast01", "followup"))
    points = endpoints.recist(datasets.load("fast01", "lesions"))
    return (
        datasets.load("fast01"), followup, points, endpoints.best_response(points, followup),
    )  # fmt: skip


def marked(ax, marker):
    """Return the points drawn with a marker, in the order of drawing."""
    lines = [line for line in ax.lines if line.get_marker() == marker]
    return np.array([p for line in lines for p in line.get_xydata()])


def texts(ax):
    return [t.get_text() for t in ax.texts]


def test_waterfall_orders_bars_from_worst_to_best(fast01):
    trial, _, _, best = fast01
    ax = plots.waterfall(best, trial)
    heights = [bar.get_height() for bar in ax.patches]
    assert_allclose(heights, np.sort(best["best_pct"].dropna())[::-1])
    assert len({to_hex(bar.get_facecolor()) for bar in ax.patches}) == 4  # dose levels
    names = [t.get_text() for t in ax.get_xticklabels()]
    assert names[-1] == "F01-002"
    counted = best[best["best_pct"].notna()]
    assert len(marked(ax, "*")) == counted["pd_by"].str.contains("new lesion").sum()
    assert texts(ax).count("PR") == 6
    assert "1 patient without a complete sum" in ax.get_xlabel()
    assert {-30.0, 20.0} <= {float(line.get_ydata()[0]) for line in ax.lines}


def test_waterfall_writes_the_number_of_a_capped_bar():
    points = endpoints.recist(lesions({"T1": 20}, {"T1": 90}))
    ax = plots.waterfall(endpoints.best_response(points))
    assert ax.patches[0].get_height() == 100
    assert texts(ax) == ["+350\nPD"]


def test_spider_draws_complete_sums_and_the_first_progression(fast01):
    trial, _, points, _ = fast01
    ax = plots.spider(points, trial)
    known = points["pct_baseline"].notna()
    assert len(marked(ax, "o")) == known.sum()
    worse = points[points["overall"] == "PD"].drop_duplicates("id")
    assert len(marked(ax, "*")) == worse["new"].sum()
    assert len(marked(ax, "X")) == (~worse["new"]).sum()
    assert any("182" in t for t in texts(ax))  # F01-016, above the cap of 150 %
    assert max(y for _, y in marked(ax, "o")) == 150


def test_swimmer_has_a_lane_per_patient_with_its_events(fast01):
    trial, followup, _, best = fast01
    ax = plots.swimmer(followup, best, trial)
    assert_allclose(
        sorted(bar.get_width() for bar in ax.patches if hasattr(bar, "get_width")),
        sorted(followup["last_contact_day"]),
    )
    assert len(marked(ax, "s")) == followup["death_day"].notna().sum()
    assert len(marked(ax, "D")) == followup["new_therapy_day"].notna().sum()
    assert len(marked(ax, "^")) == best["response_day"].notna().sum()
    assert len(marked(ax, "X")) == best["pd_day"].notna().sum()
    assert len(marked(ax, "*")) == np.isfinite(trial["dlt_day"].values).sum()
    assert len(marked(ax, "o")) == np.isfinite(trial["crs_day"].values).sum()
    assert texts(ax).count("lost") == followup["lost"].sum()
    lanes = [t.get_text() for t in ax.get_yticklabels()]
    dose = dict(zip(trial["id"].values.astype(str), trial["dose_level"].values, strict=True))
    assert list(np.diff([dose[p] for p in lanes]) >= 0) == [True] * 29


def test_plots_work_without_a_trial(fast01):
    _, followup, points, best = fast01
    for ax in (plots.waterfall(best), plots.spider(points), plots.swimmer(followup)):
        labels = [t.get_text() for t in ax.get_legend().get_texts()]
        assert not any("cells" in text for text in labels)


def test_wrong_tables_are_refused(fast01):
    trial, followup, points, best = fast01
    with pytest.raises(DataError, match=r"pass the table of endpoints\.best_response"):
        plots.waterfall(points)
    with pytest.raises(DataError, match=r"pass the table of endpoints\.recist"):
        plots.spider(best)
    with pytest.raises(DataError, match=r"pass the table of endpoints\.read_followup"):
        plots.swimmer(best)
    with pytest.raises(DataError, match="no patient has a change"):
        plots.waterfall(best[best["best_pct"].isna()])
    with pytest.raises(DataError, match="patient X is not in the trial"):
        plots.swimmer(endpoints.read_followup(pd.DataFrame({"ID": ["X"]})), None, trial)
    assert len(followup) == 30


def test_swimmer_names_a_day_that_is_a_date(fast01):
    trial, followup, _, best = fast01
    dates = np.full(trial.sizes["id"], "", dtype=object)
    dates[1] = "28-Mar-2024"
    wrong = trial.assign(crs_day=("id", dates.astype(str)))
    with pytest.raises(DataError, match=r"'crs_day' is '28-Mar-2024' for patient .* Write days"):
        plots.swimmer(followup, best, wrong)
