"""Pictures of the NCA, tested by what is on the axes.

Expected areas, lines and points are worked out by hand in each test, or are the numbers of
`nca.table`, which has tests of its own.
"""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from nca_inputs import one, trial

from cart_pkpd import datasets, nca, plots
from cart_pkpd._core.errors import DataError

LEVELS = (0.0, 100.0, 80.0, 40.0, 20.0, "<5")
DAYS = (0.0, 7.0, 14.0, 21.0, 28.5, 60.0)


def marked(ax: Axes, label: str) -> tuple[np.ndarray, np.ndarray]:
    """Return what is drawn under a label."""
    lines = [line for line in ax.get_lines() if line.get_label() == label]
    return (
        np.concatenate([np.asarray(line.get_xdata(), float) for line in lines] or [[]]),
        np.concatenate([np.asarray(line.get_ydata(), float) for line in lines] or [[]]),
    )


def shaded(ax: Axes, label: str) -> float:
    """Return the area of the polygons filled under a label, by the shoelace formula."""
    total = 0.0
    for patch in ax.collections:
        if patch.get_label() == label:
            for path in patch.get_paths():
                x, y = path.vertices[:, 0], path.vertices[:, 1]
                total += abs(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2
    return float(total)


def texts(ax: Axes) -> str:
    """Return every text beside a panel, in one line."""
    legend = ax.get_legend()
    assert legend is not None
    return " ".join(t.get_text().replace("\n", " ") for t in legend.get_texts())


def patient(levels=LEVELS, days=DAYS, **options):
    made = one(levels, days, lloq=5.0, **options)
    return made, nca.table(made, "transgene")


@pytest.mark.parametrize("method", ["linear", "lin-up/log-down", "lin-log"])
def test_shaded_area_is_the_area_of_the_table(method):
    made, _ = patient()
    params = nca.table(made, "transgene", method=method)
    ax = plots.nca_profile(made, params, "01", log=False)
    # 25 points per segment: chords of an exponential that halves lie 7e-5 above it at most
    assert shaded(ax, "area") == pytest.approx(float(params["auc0_28"][0]), rel=2e-4)
    assert method in texts(ax)


def test_logarithmic_segment_is_curved_on_a_linear_axis():
    made, params = patient()
    x, y = marked(plots.nca_profile(made, params, "01", log=False), "edge of area")
    # half of a log segment from 80 to 40 is their geometric mean; of a linear one the mean
    middle = float(np.interp(17.5, x, y))
    assert middle == pytest.approx(np.sqrt(80 * 40), rel=1e-3)
    rising = float(np.interp(3.5, x, y))
    assert rising == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("tail", "beyond"),
    [
        ("zero", 0.0),
        # the line from 40 on day 21 to 0 on day 60, cut at day 28: 7 (40 + 40·32/39)/2
        ("triangle", 7 * (40 + 40 * 32 / 39) / 2),
        # 160, 80, 40 on days 7, 14, 21 halve in 7 days: 40·7/ln 2·(1 - 1/2)
        ("exponential", 40 * 7 / np.log(2) / 2),
    ],
)
def test_hatched_area_is_what_the_tail_rule_adds(tail, beyond):
    made = one([0, 200, 160, 80, 40, "<5"], [0, 4, 7, 14, 21, 60], lloq=5.0)
    params = nca.table(made, "transgene", tail=tail)
    ax = plots.nca_profile(made, params, "01", log=False)
    assert shaded(ax, "area beyond Tlast") == pytest.approx(beyond, rel=2e-4)
    whole = shaded(ax, "area") + shaded(ax, "area beyond Tlast")
    assert whole == pytest.approx(float(params["auc0_28"][0]), rel=2e-4)
    assert ("beyond Tlast" in texts(ax)) == (tail != "zero")


def test_terminal_line_its_samples_and_its_numbers():
    made = one([0, 200, 160, 80, 40, "<5"], [0, 4, 7, 14, 21, 60], lloq=5.0)
    params = nca.table(made, "transgene")
    ax = plots.nca_profile(made, params, "01", log=True)
    days, levels = marked(ax, "sample of the terminal line")
    np.testing.assert_array_equal(days, [7, 14, 21])
    np.testing.assert_array_equal(levels, [160, 80, 40])
    x, y = marked(ax, "terminal line")
    # halves every 7 days from 160 on day 7
    np.testing.assert_allclose(y, 160 * 0.5 ** ((x - 7) / 7), rtol=1e-12)
    assert (x.min(), x.max()) == (7, 21)
    assert "t½ 7.00 days from 3 samples adjusted R² 1.000" in texts(ax)


def test_samples_chosen_by_hand_are_the_ones_highlighted():
    made = one([0, 200, 160, 90, 40, 20, "<5"], [0, 4, 7, 10, 21, 28, 60], lloq=5.0)
    without = nca.table(made, "transgene", lambda_z_exclude={"01": [10.0]}, min_points=4)
    assert np.isnan(without["lambda_z"][0])
    left_out = nca.table(made, "transgene", lambda_z_exclude={"01": [10.0]})
    days, _ = marked(
        plots.nca_profile(made, left_out, "01", log=True), "sample of the terminal line"
    )
    np.testing.assert_array_equal(days, [7, 21, 28])
    picked = nca.table(made, "transgene", lambda_z_include={"01": [4.0, 10.0, 28.0]})
    days, _ = marked(plots.nca_profile(made, picked, "01", log=True), "sample of the terminal line")
    np.testing.assert_array_equal(days, [4, 10, 28])


def test_peak_limit_and_samples_below_it():
    made, params = patient()
    ax = plots.nca_profile(made, params, "01", log=True)
    assert [float(v[0]) for v in marked(ax, "Cmax")] == [7, 100]
    below_days, below_levels = marked(ax, "below LLOQ")
    np.testing.assert_array_equal(below_days, [0, 60])
    np.testing.assert_array_equal(below_levels, [5, 5])
    assert "LLOQ 5 copies/µg" in texts(ax)
    assert "Cmax 100 copies/µg Tmax day 7" in texts(ax)
    assert ax.get_yscale() == "log"
    assert ax.get_ylim()[0] < 5
    assert "copies/µg" in ax.get_ylabel()


def test_what_is_missing_is_explained_beside_the_picture():
    rising = one([0, 10, 20, 40], [0, 7, 14, 21], lloq=5.0)
    ax = plots.nca_profile(rising, nca.table(rising, "transgene"), "01", log=True)
    assert "no terminal line: Tmax is the last quantifiable sample" in texts(ax)
    assert "ends at the last sample" in texts(ax)
    single = one([10.0], [7.0], lloq=5.0)
    ax = plots.nca_profile(single, nca.table(single, "transgene"), "01", log=True)
    assert "AUC0–28d: only one sample; an area needs two" in texts(ax)
    silent = one(["<5", "<5"], [0, 7])
    ax = plots.nca_profile(silent, nca.table(silent, "transgene"), "01", log=False)
    assert "no terminal line: no quantifiable sample" in texts(ax)
    assert marked(ax, "Cmax")[0].size == 0


def test_profile_after_another_infusion():
    levels, days = [0, 50, 25, 12, 40, 20], [-1, 5, 10, 20, 35, 45]
    made = trial(
        {"01": list(zip(days, levels, strict=True))}, lloq=1.0,
        doses={"01": [(0.0, 1e6), (30.0, 1e6)]},
    )  # fmt: skip
    params = nca.table(made, "transgene", infusion="each")
    with pytest.raises(DataError, match="several values of infusion"):
        plots.nca_profile(made, params, "01", log=True)
    first = plots.nca_profile(made, params, "01", infusion=1, log=True)
    assert marked(first, "not part of the profile")[0].tolist() == [35, 45]
    assert (
        marked(first, "sample")[0].size + marked(first, "sample of the terminal line")[0].size == 3
    )
    second = plots.nca_profile(made, params.sel(infusion=2), "01", log=True)
    assert [float(v[0]) for v in marked(second, "Cmax")] == [5, 40]
    assert "infusion 2" in second.get_title(loc="left")


def test_a_table_of_other_data_is_refused():
    made, params = patient()
    other, _ = patient(levels=(0.0, 101.0, 80.0, 40.0, 20.0, "<5"))
    with pytest.raises(DataError, match=r"cmax of patient '01' is 100 in the table .* but 101"):
        plots.nca_profile(other, params, "01", log=True)
    with pytest.raises(DataError, match="no patient '02'"):
        plots.nca_profile(made, params, "02", log=True)
    with pytest.raises(DataError, match="about endpoint 'transgene', not 'il6'"):
        plots.nca_profile(made, params, "01", "il6", log=True)
    with pytest.raises(DataError, match="carries no rules"):
        plots.nca_profile(made, params.drop_attrs(), "01", log=True)


def test_both_scales_side_by_side_and_an_axes_of_the_callers():
    made, params = patient()
    figure = plots.nca_profile(made, params, "01")
    assert isinstance(figure, Figure)
    assert [ax.get_yscale() for ax in figure.axes] == ["log", "linear"]
    mine = Figure(layout="constrained").add_subplot()
    FigureCanvasAgg(mine.figure)
    assert plots.nca_profile(made, params, "01", log=False, ax=mine) is mine
    with pytest.raises(ValueError, match="log=True or False"):
        plots.nca_profile(made, params, "01", ax=mine)


@pytest.fixture(scope="module")
def fast01():
    made = datasets.load("fast01")
    return made, nca.table(made, "transgene", [(0, 28), (0, 90)])


@pytest.mark.parametrize("log", [True, False])
def test_one_panel_per_patient_with_the_tables_numbers(fast01, log):
    made, params = fast01
    params = params.isel(id=slice(0, 30, 2))
    figure = plots.nca_profiles(made, params, log=log, time_scale="log" if log else "linear")
    assert len(figure.axes) == 15
    for ax, who in zip(figure.axes, params["id"].values, strict=True):
        row = params.sel(id=who)
        assert ax.get_title(loc="left").startswith(f"{who}, ")
        assert [float(v[0]) for v in marked(ax, "Cmax")] == [float(row["tmax"]), float(row["cmax"])]
        points = marked(ax, "sample of the terminal line")[0]
        if log:  # a linear panel ends soon after the window
            n = row["lambda_z_n_points"]
            assert points.size == (0 if np.isnan(n) else int(n))
        else:
            area = shaded(ax, "area") + shaded(ax, "area beyond Tlast")
            assert area == pytest.approx(float(row["auc0_28"]), rel=2e-3)


def test_patients_and_window_can_be_chosen(fast01):
    made, params = fast01
    figure = plots.nca_profiles(made, params, patients=["F01-009", "F01-002"], window=(0, 90))
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == ["F01-009, 1×10⁷ cells", "F01-002, 1×10⁶ cells"]
    (legend,) = figure.legends
    assert any("AUC0–90d" in t.get_text() for t in legend.get_texts())
    figure.savefig(io.BytesIO(), dpi=20)


def test_numbers_do_not_overlap(fast01):
    made, params = fast01
    figure = plots.nca_profile(made, params, "F01-001")
    renderer = figure.canvas.get_renderer()
    figure.draw(renderer)
    legend = figure.axes[1].get_legend()
    boxes = [t.get_window_extent(renderer) for t in legend.get_texts()]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
        assert not any(box.overlaps(ax.get_window_extent(renderer)) for ax in figure.axes)
        assert box.x1 <= figure.bbox.x1


# -- persistence


def losses() -> pd.DataFrame:
    """Five patients: lost on days 15 and 25, 25, 45 (middles of intervals), one still there."""
    profiles = {
        "1": [(0, 9.0), (10, 9.0), (20, "<5")],
        "2": [(0, 9.0), (20, 9.0), (30, "<5")],
        "3": [(0, 9.0), (20, 9.0), (30, "<5")],
        "4": [(0, 9.0), (40, 9.0), (50, "<5")],
        "5": [(0, 9.0), (60, 9.0)],
    }
    doses = {k: [(0.0, 1e6 if k in "123" else 1e7)] for k in profiles}
    return nca.table(trial(profiles, lloq=5.0, doses=doses), "transgene")


def test_survival_steps_censoring_and_numbers_at_risk():
    ax = plots.persistence(nca.persistence(losses(), by="dose_level"))
    low = marked(ax, "1×10⁶ cells")
    # three patients, lost on days 15, 25 and 25
    np.testing.assert_allclose(low[0], [0, 15, 25])
    np.testing.assert_allclose(low[1], [1, 2 / 3, 0], atol=1e-12)
    high = marked(ax, "1×10⁷ cells")
    np.testing.assert_allclose(high[0], [0, 45, 60])
    np.testing.assert_allclose(high[1], [1, 0.5, 0.5])
    assert [float(v[0]) for v in marked(ax, "censored")] == [60, 0.5]
    shown = [t for t in ax.texts if t.get_gid() == "at risk"]
    at_risk = {}
    for t in shown:
        at_risk.setdefault(t.xy[0], []).append(t.get_text())
    # low dose: 3 before day 15, 2 from then to day 25; high dose: 2 to day 45, 1 to day 60
    assert at_risk[0.0] == ["3", "2"]
    assert at_risk[14.0] == ["3", "2"]
    assert at_risk[28.0] == ["0", "2"]
    assert at_risk[56.0] == ["0", "1"]
    assert "median 25.0 days" in texts(ax)


def test_turnbull_is_a_box_where_nothing_is_known():
    ax = plots.persistence(nca.persistence(losses(), method="turnbull"))
    boxes = [c for c in ax.collections if c.get_label() == "undetermined"]
    edges = sorted(
        (float(b.get_paths()[0].vertices[:, 0].min()), float(b.get_paths()[0].vertices[:, 0].max()))
        for b in boxes
    )
    # the innermost intervals of (10, 20], (20, 30] twice, (40, 50] and (60, ∞)
    assert [e[0] for e in edges] == [10, 20, 40, 60]
    assert [e[1] for e in edges][:3] == [20, 30, 50]
    steps = [b.get_paths()[0].vertices[:, 1] for b in boxes]
    # one fifth, two fifths, one fifth, one fifth of the patients
    heights = sorted(float(y.max() - y.min()) for y in steps)
    np.testing.assert_allclose(heights, [0.2, 0.2, 0.2, 0.4], atol=1e-6)


def test_persistence_by_a_text_group_with_its_interval(fast01):
    _, params = fast01
    table = nca.persistence(params, by="phase")
    ax = plots.persistence(table, band=True)
    assert {"escalation", "expansion"} <= {str(line.get_label()) for line in ax.get_lines()}
    assert "95\u202f% interval" in texts(ax)  # the default of nca.persistence
    ax.figure.savefig(io.BytesIO(), dpi=20)
    with pytest.raises(DataError, match="no persistence to draw"):
        plots.persistence(pd.DataFrame({"time": [0.0]}))
