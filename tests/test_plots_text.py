"""Texts, summaries and colours of plots."""

from __future__ import annotations

import figure_inputs as made
import numpy as np
import pytest
import xarray as xr
from plot_marks import contrast_with_white

from cart_pkpd import plots
from cart_pkpd._core.errors import DataError
from cart_pkpd.plots import _axes, _groups, _layout, _summaries, _text

# --- text: expectations worked by hand --------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (24312.7, "24,300"), (0.0032187, "0.00322"), (2.5e7, "2.5×10⁷"), (999_999.0, "1×10⁶"),
        (0.00012, "1.2×10⁻⁴"), (-0.16, "−0.160"), (0.0, "0"), (1.0, "1.00"),
        (float("nan"), "—"), (float("inf"), "∞"), (float("-inf"), "−∞"), (9.996, "10.0"),
    ],
)  # fmt: skip
def test_number_has_three_significant_digits(value: float, text: str) -> None:
    assert _text.number(value) == text


def test_dose_and_unit_are_written_for_people() -> None:
    assert _text.dose(1e6, "cells") == "1×10⁶ cells"
    assert _text.dose(1.5e7, "cells/kg") == "1.5×10⁷ cells/kg"
    assert _text.dose(2.0, "") == "dose level 2"
    assert _text.dose(float("nan"), "cells") == "dose not given"
    assert _text.with_unit("AUC", "copies/µg*day") == "AUC (copies/µg·day)"
    assert _text.with_unit("R²", "1") == "R²"
    assert _text.interval(-0.2, 0.3) == "−0.200 to 0.300"
    assert _text.interval(1.0, 2.0) == "1.00–2.00"


def test_label_of_a_header_is_made_from_the_name() -> None:
    header = xr.DataArray([1.0], name="crs_grade", attrs={"long_name": "CRSG", "column": "CRSG"})
    assert _text.label(header) == "CRS grade"
    worded = xr.DataArray([1.0], name="x", attrs={"long_name": "time of the peak", "units": "day"})
    assert _text.label(worded) == "Time of the peak (days)"


def test_dose_unit_comes_from_the_amounts_only_where_levels_are_amounts() -> None:
    trial = made.trial()
    trial["dose_level"].attrs["units"] = ""
    assert _text.dose_unit(trial) == "cells"
    ordinal = trial.assign(dose_level=("id", np.arange(16) % 4 + 1.0))
    assert _text.dose_unit(ordinal) == ""


# --- summaries --------------------------------------------------------------------------------


def test_geometric_mean_and_t_interval_of_two_values() -> None:
    """Of 1 and 100: mean 10; log sd ln(100)/√2, so half-width t(0.95; 1 df) · ln(100)/2.

    t(0.95; 1) = tan(0.45 π), the quantile of a Cauchy distribution.
    """
    found = _summaries.geometric(np.array([1.0, 100.0, 0.0, np.nan]))
    half = np.tan(0.45 * np.pi) * np.log(100) / 2
    assert (found.n, found.n_zero, found.n_missing) == (2, 1, 1)
    np.testing.assert_allclose(found.mean, 10, rtol=1e-12)
    np.testing.assert_allclose(found.upper, 10 * np.exp(half), rtol=1e-9)
    np.testing.assert_allclose(found.lower, 10 * np.exp(-half), rtol=1e-9)
    assert (found.minimum, found.maximum) == (1.0, 100.0)


def test_geometric_mean_of_nothing_and_of_one() -> None:
    assert np.isnan(_summaries.geometric(np.array([0.0])).mean)
    one = _summaries.geometric(np.array([7.0]))
    assert one.mean == pytest.approx(7.0, rel=1e-12)
    assert np.isnan(one.lower)


def test_mean_profile_counts_blq_as_half_and_leaves_out_days_mostly_below() -> None:
    """Day 1: 8, 8 and below 2 (taken as 1): ∛64 = 4. Day 2: 2 of 3 below. Day 3: one value."""
    time = np.array([1.0, 1, 1, 2, 2, 2, 3])
    dv = np.array([8.0, 8, 2, 8, 2, 2, 8])
    blq = np.array([0, 0, 1, 0, 1, 1, 0], dtype=bool)
    day, level = _summaries.mean_profile(time, dv, blq, np.full(7, 2.0))
    np.testing.assert_array_equal(day, [1.0])
    np.testing.assert_allclose(level, [4.0], rtol=1e-12)


def test_profile_is_broken_between_consecutive_values_below_the_lloq() -> None:
    blq = np.array([1, 0, 0, 1, 1], dtype=bool)
    time, dv = _axes.joined(np.arange(5.0), np.arange(5.0), blq)
    np.testing.assert_array_equal(time, [0, 1, 2, 3, np.nan, 4])
    np.testing.assert_array_equal(dv, [0, 1, 2, 3, np.nan, 4])


def test_day_ticks_are_days_of_a_clinic() -> None:
    np.testing.assert_array_equal(_axes.day_ticks(28, 8), [0, 7, 14, 21, 28])
    np.testing.assert_array_equal(_axes.day_ticks(360, 8), [0, 90, 180, 270, 360])
    np.testing.assert_array_equal(_axes.day_ticks(120, 5), [0, 56, 112])


def test_log_ticks_are_thinned_to_every_second_or_third_decade() -> None:
    assert _axes.log_ticks(0.5, 200, (1.0,), most=7) == [1, 10, 100]
    assert _axes.log_ticks(1.0, 30, (1.0, 3.0), most=7) == [1, 3, 10, 30]
    np.testing.assert_allclose(_axes.log_ticks(1e-3, 1e7, (1.0,), most=7), [1e-2, 1, 1e2, 1e4, 1e6])


def test_small_panels_have_equal_size_and_headings_within_their_width() -> None:
    text = "Distance of non-expanders (free scale) of a long-named parameter"
    figure, panels = _axes.small_multiples(5, 3, (2.0, 1.6))
    for ax in panels:
        _axes.heading(ax, text)
        ax.set_yticks([0, 1], ["0", "a much longer label"] if ax is panels[0] else ["0", "1"])
    _axes.shared_labels(figure, "Days", "Level")
    _axes.figure_legend(figure, [_axes.key("one"), _axes.key("two")])
    for _ in range(2):  # a second pass changes nothing
        figure.get_layout_engine().execute(figure)
        sizes = np.array([ax.get_position().size for ax in panels])
        np.testing.assert_allclose(sizes, np.tile(sizes[0], (5, 1)), rtol=1e-9)
        renderer = figure.canvas.get_renderer()
        boxes = [ax.get_tightbbox(renderer) for ax in panels]
        for ax in panels:
            title = ax.get_title(loc="left")
            assert "\n" in title
            assert title.replace("\n", " ") == text
            assert ax._left_title.get_window_extent(renderer).x1 <= ax.bbox.x1 + 1
        for i, one in enumerate(boxes):
            assert not any(one.overlaps(other) for other in boxes[i + 1 :])
        top = figure.legends[0].get_window_extent(renderer).y0
        assert max(box.y1 for box in boxes) < top
        assert min(box.x0 for box in boxes) > 0


def test_a_word_wider_than_its_panel_is_cut() -> None:
    assert _layout._lines(["ab", "abcdefgh", "c"], lambda text: len(text) > 5) == [
        "ab", "abcd…", "c",
    ]  # fmt: skip


# --- colours ----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 4, 6, 8])
def test_dose_colours_darken_with_dose_and_stand_out_on_white(n: int) -> None:
    colours = list(_groups.dose_colours(np.arange(1.0, n + 1)).values())
    contrasts = [contrast_with_white(c) for c in colours]
    assert contrasts == sorted(contrasts)
    assert contrasts[0] > 2.5
    assert len(set(colours)) == n


def test_a_dose_level_has_one_colour_in_every_picture() -> None:
    profile = {g.label: g.colour for g in _groups.groups(made.endpoint(), "dose_level")}
    nca = {g.label: g.colour for g in _groups.groups(made.nca(), "dose_level")}
    assert profile == nca
    assert list(profile) == ["1×10⁶ cells", "3×10⁶ cells", "1×10⁷ cells", "3×10⁷ cells"]


def test_patients_without_a_dose_level_are_grey_and_last() -> None:
    one = made.endpoint()
    one["dose_level"][2] = np.nan
    last = _groups.groups(one, "dose_level")[-1]
    assert (last.label, last.patients, last.colour) == ("dose not given", ("P03",), _axes.GREY)


def test_unknown_group_says_what_is_known() -> None:
    with pytest.raises(DataError, match=r"'dose_levle'.*Did you mean 'dose_level'"):
        plots.profiles(made.endpoint(), by="dose_levle")
