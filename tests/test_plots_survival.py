"""Pictures of survival, exposure–response and grades: what is on the axes."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from cart_pkpd import endpoints, plots
from cart_pkpd._core.errors import DataError
from cart_pkpd.endpoints import DAYS_PER_MONTH


@pytest.fixture(scope="module")
def tte():
    rng = np.random.default_rng(2)
    time = rng.uniform(10, 400, 24)
    return pd.DataFrame({"id": [str(i) for i in range(24)], "endpoint": "PFS", "time": time,
                         "event": rng.random(24) < 0.7,
                         "dose_level": np.repeat([1e6, 1e7], 12)})  # fmt: skip


def texts(ax):
    legend = ax.get_legend()
    return [t.get_text() for t in legend.get_texts()] if legend else []


def test_survival_curves_are_the_estimates_in_months(tte):
    found = endpoints.kaplan_meier(tte, "dose_level")
    ax = plots.survival(found)
    lines = [line for line in ax.lines if line.get_drawstyle() == "steps-post"]
    for line, (_, part) in zip(lines, found.curve.groupby("group"), strict=True):
        np.testing.assert_allclose(line.get_xdata(), part["time"] / DAYS_PER_MONTH)
        np.testing.assert_allclose(line.get_ydata(), part["survival"])
    assert ax.get_ylabel() == "Progression-free survival"
    assert ax.get_xlabel() == "Time since infusion (months)"
    assert texts(ax)[0].startswith("1×10⁶ cells\n")
    assert "95\u202f% interval" in texts(ax)
    counts = [t.get_text() for t in ax.texts if t.get_gid() == "at risk"]
    assert counts[0] == "12"


def test_bands_of_many_groups_are_drawn_on_request(tte):
    many = endpoints.kaplan_meier(
        tte.assign(dose_level=np.repeat([1.0, 2.0, 3.0], 8)), "dose_level"
    )
    assert not plots.survival(many).collections
    assert len(plots.survival(many, band=True).collections) == 3


def test_a_median_not_reached_is_said():
    alive = pd.DataFrame({"id": ["a", "b"], "time": [50.0, 90.0], "event": [True, False]})
    ax = plots.survival(endpoints.kaplan_meier(alive.assign(time=[90.0, 50.0])), last=3)
    assert texts(ax)[0] == "all patients\n1 event of 2,\nmedian 3.0 months\n(95\u202f% CI NR–NR)"
    none = plots.survival(endpoints.kaplan_meier(alive.assign(event=False)))
    assert texts(none)[0].endswith("median not reached")


def test_exposure_response_shows_ratio_curve_and_shares():
    rng = np.random.default_rng(5)
    cmax = 2 ** rng.normal(10, 1.5, 60)
    grade = (rng.random(60) < 0.5).astype(int) + (cmax > 1024) * (rng.random(60) < 0.6)
    table = pd.DataFrame({"id": [str(i) for i in range(60)], "cmax": cmax, "crs_grade": grade})
    one = plots.exposure_response(endpoints.exposure_response(table, "crs_grade", "cmax"))
    assert one.legends[0].get_title().get_text().startswith("CRS grade ≥ 1: odds ratio ")
    several = endpoints.exposure_response(table, "crs_grade", "cmax", kind="ordinal")
    figure = plots.exposure_response(several)
    titles = [ax.get_title("left") for ax in figure.axes]
    assert titles == ["CRS grade ≥ 1", "CRS grade ≥ 2"]
    line = figure.axes[1].lines[0]
    np.testing.assert_allclose(line.get_ydata(), several.curve["curve"].values[1, :, 0])
    separate = pd.DataFrame({"id": list("abcd"), "cmax": [1.0, 2, 4, 8], "dlt": [0, 0, 1, 1]})
    none = plots.exposure_response(endpoints.exposure_response(separate, "dlt", "cmax"))
    assert "the likelihood has no maximum" in none.legends[0].get_title().get_text()


def test_exposure_response_of_survival_shows_groups(tte):
    who = pd.DataFrame({"id": tte["id"], "cmax": np.linspace(1, 100, 24)})
    found = endpoints.exposure_response(who, tte, "cmax", kind="survival", landmark=28, groups=2)
    ax = plots.exposure_response(found).axes[0]
    assert ax.get_title("left").startswith("PFS: hazard ratio ")
    assert ax.get_xlabel() == "Time since day 28 (months)"


def test_the_course_of_crs_has_a_box_per_day_and_marks_of_treatment():
    rows = pd.DataFrame(
        {"id": ["a", "a", "a", "b", "b"], "day": [1, 2, 3, 1, 2],
         "temperature": [38.5, 38.5, 37.0, 37.0, np.nan], "vasopressors": [0, 1, 1, 0, 0],
         "tocilizumab": [0, 1, 0, 0, 0]}
    )  # fmt: skip
    grades = endpoints.crs_grade(rows)
    trial = xr.Dataset({"dose_level": ("id", [1e7, 1e6])}, coords={"id": ["a", "b"]})
    ax = plots.crs_course(grades, patients=trial, by="dose_level")
    assert len(ax.patches) == 5
    assert [t.get_text() for t in ax.get_yticklabels()] == ["b", "a"]  # the lower dose first
    shown = [t.get_text() for t in ax.texts]
    assert sorted(t for t in shown if t.isdigit()) == ["1", "3", "3"]
    assert texts(ax) == ["0", "1", "3", "cannot be told", "tocilizumab"]
    assert len(plots.crs_course(grades).patches) == 5


def test_what_is_no_result_is_refused(tte):
    for draw, said in (
        (plots.survival, "endpoints.kaplan_meier"),
        (plots.exposure_response, "endpoints.exposure_response"),
        (plots.crs_course, "endpoints.crs_grade"),
    ):
        with pytest.raises(DataError, match=said):
            draw(tte)
    rows = pd.DataFrame({"id": ["a"], "day": [1], "temperature": [38.5]})
    with pytest.raises(DataError, match="needs patients="):
        plots.crs_course(endpoints.crs_grade(rows), by="dose_level")
