"""Plots of records, fits and checks: marks, limits, legends."""

from __future__ import annotations

import subprocess
import sys

import figure_inputs as made
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from plot_marks import BLQ, figure_legend_texts, legend_texts, lines, marks, own_axes

from cart_pkpd import plots
from cart_pkpd._core.errors import DataError
from cart_pkpd.plots import _axes

# --- profiles ---------------------------------------------------------------------------------


def test_profiles_show_every_patient_and_every_value_below_the_lloq() -> None:
    one = made.endpoint()
    ax = plots.profiles(one)
    assert len(lines(ax, "patient")) == 16
    assert len(lines(ax, "mean")) == 4
    n_blq = int((one["censoring"] == BLQ).sum())
    assert n_blq > 0
    assert marks(ax, "v") == n_blq
    assert marks(ax, "o") == one.sizes["obs"] - n_blq
    triangles = [line for line in ax.lines if line.get_marker() == "v"]
    assert {float(y) for line in triangles for y in line.get_ydata()} == {50.0}
    assert all(line.get_markerfacecolor() == "white" for line in triangles)


def test_profiles_name_endpoint_units_doses_and_limit() -> None:
    ax = plots.profiles(made.endpoint())
    assert ax.get_ylabel() == "CAR transgene (copies/µg)"
    assert ax.get_xlabel() == "Time since first infusion (days)"
    assert ax.get_yscale() == "log"
    texts = legend_texts(ax.get_legend())
    for expected in ("1×10⁶ cells (n = 3)", "below LLOQ", "LLOQ 50 copies/µg", "BLQ as LLOQ/2"):
        assert expected in texts
    assert ax.get_legend().get_title().get_text() == "Dose level"
    assert [t.get_text() for t in ax.texts] == ["day 28"]
    assert 50.0 in [line.get_ydata()[0] for line in ax.lines if len(line.get_ydata()) == 2]


def test_profiles_mean_is_the_geometric_mean_of_the_group() -> None:
    one = made.endpoint()
    ax = plots.profiles(one)
    day14 = (one["nominal_time"] == 14) & one["patient"].isin(["P14", "P15", "P16", "P13"])
    values = one["dv"].values[day14.values]
    assert len(values) == 4
    x, y = lines(ax, "mean")[3].get_data()
    expected = np.prod(values) ** 0.25
    np.testing.assert_allclose(y[list(x).index(14.0)], expected, rtol=1e-9)


def test_profiles_without_a_plan_have_no_mean() -> None:
    one = made.endpoint()
    one["nominal_time"] = one["nominal_time"] * np.nan
    ax = plots.profiles(one)
    assert not lines(ax, "mean")
    assert "geometric mean" not in legend_texts(ax.get_legend())


def test_profiles_on_log_time_keep_day_zero() -> None:
    ax = plots.profiles(made.endpoint(), time_scale="log")
    assert ax.get_xscale() == "symlog"
    assert 0 in ax.get_xticks()
    assert ax.get_xlim()[0] < 0
    with pytest.raises(ValueError, match="time scale 'logg'"):
        plots.profiles(made.endpoint(), time_scale="logg")  # type: ignore[arg-type]


def test_profiles_facet_by_dose_and_window() -> None:
    figure = plots.profiles(made.endpoint(), facet=True, last=31.0)
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == [
        "1×10⁶ cells, n = 3", "3×10⁶ cells, n = 3", "1×10⁷ cells, n = 6", "3×10⁷ cells, n = 4",
    ]  # fmt: skip
    assert [len(lines(ax, "patient")) for ax in figure.axes] == [3, 3, 6, 4]
    assert len({ax.get_ylim() for ax in figure.axes}) == 1
    assert all(np.nanmax(line.get_xdata()) <= 31 for line in lines(figure.axes[0], "patient"))
    with pytest.raises(ValueError, match="leave ax out"):
        plots.profiles(made.endpoint(), facet=True, ax=own_axes())


def test_profiles_without_groups_and_by_text() -> None:
    assert len(lines(plots.profiles(made.endpoint(), by=None), "mean")) == 1
    ax = plots.profiles(made.endpoint(), by="response")
    assert "PD (n = 4) | PR (n = 4)" in " | ".join(
        sorted(legend_texts(ax.get_legend()).split(" | "))
    )


def test_profiles_show_values_above_the_uloq() -> None:
    one = made.endpoint()
    one["censoring"] = one["censoring"].astype("<U8")
    one["censoring"][np.flatnonzero(one["censoring"] == "none")[0]] = "right"
    assert marks(plots.profiles(one), "^") == 1


def test_a_limit_that_differs_between_samples_is_a_band() -> None:
    one = made.endpoint()
    one["lloq"][:5] = 25.0
    ax = plots.profiles(one)
    assert "LLOQ 25–50 copies/µg, by sample" in legend_texts(ax.get_legend())


def test_profiles_refuse_nothing_and_several_endpoints() -> None:
    with pytest.raises(DataError, match="no observations"):
        plots.profiles(made.endpoint(), last=-5.0)
    with pytest.raises(DataError, match="11 endpoints"):
        plots.profiles(made.trial())


def test_plots_use_the_callers_axes_and_return_it() -> None:
    for draw in (
        lambda ax: plots.profiles(made.endpoint(), ax=ax),
        lambda ax: plots.observed_vs_predicted(made.predictions(), ax=ax),
        lambda ax: plots.exposure(made.nca(), ax=ax),
        lambda ax: plots.comparison(made.comparison(), ax=ax),
        lambda ax: plots.intervals(made.table(), ax=ax),
    ):
        ax = own_axes()
        assert draw(ax) is ax


def test_cytokines_have_one_panel_each_with_unit() -> None:
    figure = plots.cytokines(made.trial())
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == [
        "IL-2 (pg/mL)", "IL-4 (pg/mL)", "IL-6 (pg/mL)", "IL-8 (pg/mL)", "IL-10 (pg/mL)",
        "IL-15 (pg/mL)", "IFN-γ (pg/mL)", "TNF-α (pg/mL)", "MCP-1 (pg/mL)",
    ]  # fmt: skip
    assert all(len(lines(ax, "patient")) == 16 for ax in figure.axes)
    assert "1×10⁶ cells (n = 3)" in figure_legend_texts(figure)


def test_the_last_day_of_a_window_of_cytokines_is_drawn_to_its_end() -> None:
    trial = made.trial()
    time = trial["time"].values.copy()
    il6 = (trial["endpoint"].values == "il6") & (trial["patient"].values == "P01")
    time[np.flatnonzero(il6)[-2:]] = 28.16, 29.01  # day 28, some hours late, and day 29
    moved = trial.assign_coords(time=("obs", time, trial["time"].attrs))
    figure = plots.cytokines(moved, measures=["il6"])
    ax = figure.axes[0]
    drawn = np.concatenate([line.get_xdata() for line in lines(ax, "patient")])
    assert np.nanmax(drawn) == 28.16
    assert ax.get_xlim()[1] > 28.16


def test_the_legend_above_panels_is_no_wider_than_the_figure() -> None:
    figure = plots.cytokines(made.trial(), measures=["il6"])
    figure.canvas.draw()
    assert figure.legends[0].get_window_extent().x1 <= figure.bbox.x1


def test_cytokines_need_a_cytokine() -> None:
    trial = made.trial()
    trial = trial.isel(measure=np.flatnonzero(trial["kind"] == "cells"))
    with pytest.raises(DataError, match="no cytokine"):
        plots.cytokines(trial)


# --- predictions ------------------------------------------------------------------------------


def test_individual_panels_are_titled_by_patient_and_dose() -> None:
    predictions = made.predictions()
    figure = plots.individual(predictions, ["P10", "P02"])
    assert [ax.get_title(loc="left") for ax in figure.axes] == [
        "P10, 1×10⁷ cells", "P02, 1×10⁶ cells",
    ]  # fmt: skip
    ax = figure.axes[0]
    mine = predictions.isel(obs=np.flatnonzero(predictions["patient"] == "P10"))
    assert len(lines(ax, "data")[0].get_xdata()) == int((mine["censoring"] == "none").sum())
    assert marks(ax, "v") == int((mine["censoring"] == BLQ).sum())
    np.testing.assert_array_equal(
        lines(ax, "median")[0].get_ydata(), predictions["median"].sel(id="P10").values
    )
    assert len(ax.collections) == 1
    assert len(lines(ax, "population")) == 1


def test_individual_states_the_interval_and_common_labels() -> None:
    figure = plots.individual(made.predictions().assign_attrs(prob=0.95))
    assert len(figure.axes) == 16
    assert "95\u202f% credible interval" in figure_legend_texts(figure)
    assert figure.get_supylabel() == "CAR transgene (copies/µg)"
    assert figure.get_supxlabel() == "Time since first infusion (days)"


def test_individual_refuses_an_unknown_patient() -> None:
    with pytest.raises(DataError, match=r"no patient 'P99'"):
        plots.individual(made.predictions(), ["P99"])


def test_observed_vs_predicted_shows_every_record() -> None:
    predictions = made.predictions()
    ax = plots.observed_vs_predicted(predictions)
    n_blq = int((predictions["censoring"] == BLQ).sum())
    assert len(lines(ax, "data")[0].get_xdata()) == predictions.sizes["obs"] - n_blq
    assert marks(ax, "v") == n_blq
    assert ax.get_xlabel() == "Individual prediction (copies/µg)"
    assert ax.get_ylabel() == "Observed CAR transgene (copies/µg)"
    x, y = lines(ax, "identity")[0].get_data()
    np.testing.assert_array_equal(x, y)
    assert ax.get_xlim() == ax.get_ylim()


def test_predictions_far_below_the_data_stand_on_the_edge() -> None:
    predictions = made.predictions()
    predictions["ipred"][0] = 1e-12
    ax = plots.observed_vs_predicted(predictions)
    every = np.concatenate([line.get_xdata() for line in ax.lines if line.get_marker() != "None"])
    assert every.min() >= ax.get_xlim()[0]
    assert ax.get_xlim()[0] > 0.5


def test_observed_vs_predicted_needs_the_prediction() -> None:
    with pytest.raises(DataError, match="no 'ipred'"):
        plots.observed_vs_predicted(made.predictions().drop_vars("ipred"))
    assert len(plots.goodness_of_fit(made.predictions()).axes) == 2
    assert len(plots.goodness_of_fit(made.predictions().drop_vars("pred")).axes) == 1


# --- parameters -------------------------------------------------------------------------------


def test_posterior_states_median_and_interval() -> None:
    """The draws 1…1001 have median 501 and 5 % and 95 % quantiles 51 and 951."""
    values = np.arange(1.0, 1002.0)[None]
    attrs = {"long_name": "peak level", "units": "copies/µg"}
    draws = xr.Dataset({"cmax": (("chain", "draw"), values, attrs)})
    figure = plots.posterior(draws)
    ax = figure.axes[0]
    assert ax.get_title(loc="left") == "Peak level (copies/µg)"
    assert [t.get_text() for t in ax.texts] == ["501 (51.0–951)"]
    np.testing.assert_allclose(lines(ax, "interval")[0].get_xdata(), [51, 951], rtol=1e-12)
    assert ax.get_xscale() == "log"  # from 1 to 1001
    assert "posterior median and 90\u202f% interval" in figure_legend_texts(figure)


def test_posterior_shows_prior_and_truth() -> None:
    figure = plots.posterior(made.draws(), made.prior_draws(), truth={"cmax": 26_000.0})
    assert len(figure.axes) == 6
    assert [len(ax.collections) for ax in figure.axes] == [2] * 6
    assert [len(lines(ax, "truth")) for ax in figure.axes] == [1, 0, 0, 0, 0, 0]
    assert lines(figure.axes[0], "truth")[0].get_xdata()[0] == 26_000.0
    assert figure.axes[0].get_xscale() == "linear"


def test_posterior_density_integrates_to_one() -> None:
    figure = plots.posterior(made.draws(), parameters=["tmax"])
    x, y = lines(figure.axes[0], "posterior")[0].get_data()
    # 0.1 % of the draws lie beyond each end, and the kernel spreads a little further.
    np.testing.assert_allclose(np.trapezoid(y, x), 1.0, atol=0.02)


def test_posterior_of_a_constant_and_of_an_unknown_parameter() -> None:
    draws = xr.Dataset({"fixed": (("chain", "draw"), np.ones((2, 5)), {"units": "1"})})
    assert len(plots.posterior(draws).axes) == 1
    with pytest.raises(DataError, match="Did you mean 'tmax'"):
        plots.posterior(made.draws(), parameters=["tmaxx"])


def test_intervals_are_relative_to_the_prior_median() -> None:
    table = made.table()
    table.loc["cmax", ["median", "lower", "upper"]] = [48_000, 24_000, 96_000]
    table.loc["beta", ["prior_lower", "lower"]] = [-1.0, -1.0]
    ax = plots.intervals(table)
    assert ax.get_yticklabels()[0].get_text() == "Peak transgene level (copies/µg)"
    assert len(ax.get_yticks()) == 5
    spans = [list(line.get_xdata()) for line in ax.lines]
    assert [1.0, 4.0] in spans
    assert "Not on this scale:\nslow decline rate" in ax.get_xlabel()
    assert "48,000 (24,000–96,000)" in [t.get_text() for t in ax.texts]


def test_trace_draws_each_chain_and_marks_divergences() -> None:
    figure = plots.trace(made.tree())
    assert len(figure.axes) == 6
    assert all(
        len([ln for ln in ax.lines if len(ln.get_xdata()) == 250]) == 4 for ax in figure.axes
    )
    assert "divergent draw (3 in all)" in figure_legend_texts(figure)


def test_ranks_share_out_all_draws() -> None:
    """Each twentieth of all draws is shared among the chains, so the shares add up to 4."""
    figure = plots.ranks(made.tree(), ["tmax", "beta"])
    assert [ax.get_title(loc="left") for ax in figure.axes] == [
        "Time of the peak (days)", "Slow decline rate (1/day)",
    ]  # fmt: skip
    steps = [
        patch.get_data().values for patch in figure.axes[0].patches if hasattr(patch, "get_data")
    ]
    assert len(steps) == 4
    np.testing.assert_allclose(np.sum(steps, axis=0), 4.0, rtol=1e-9)


def test_ranks_need_scalar_parameters() -> None:
    with pytest.raises(DataError, match="no parameter 'gamma'"):
        plots.ranks(made.tree(), ["gamma"])


# --- predictive check -------------------------------------------------------------------------


def test_vpc_has_levels_above_and_blq_share_below() -> None:
    check = made.vpc()
    figure = plots.vpc(check)
    levels, shares = figure.axes
    assert levels.get_ylabel() == "CAR transgene (copies/µg)"
    assert shares.get_ylabel() == "Below LLOQ\n(% of samples)"
    assert [len(line.get_xdata()) for line in lines(levels, "observed")] == [8, 8, 8]
    np.testing.assert_array_equal(
        lines(shares, "observed")[0].get_ydata(), check["blq_observed"].values[0]
    )
    assert len(levels.collections) == 3
    texts = figure_legend_texts(figure)
    assert "observed 5th and 95th percentile" in texts
    assert "simulated median, 90\u202f% interval" in texts


def test_vpc_strata_are_columns_with_doses() -> None:
    check = made.vpc(3).assign_attrs(by="dose_level")
    check["stratum"].attrs["units"] = "cells"
    figure = plots.vpc(check)
    assert len(figure.axes) == 6
    assert [ax.get_title(loc="left") for ax in figure.axes[:3]] == [
        "1×10⁶ cells", "3×10⁶ cells", "1×10⁷ cells",
    ]  # fmt: skip
    drawn = [sum(len(ln.get_xdata()) for ln in ax.lines if ln.get_ls() == "None")
             for ax in figure.axes[:3]]  # fmt: skip
    quantified = (check["censoring"] == "none").values
    doses = dict(zip(check["id"].values, check["dose_level"].values, strict=True))
    level = np.array([doses[p] for p in check["patient"].values])
    assert drawn == [int((quantified & (level == dose)).sum()) for dose in made.LEVELS[:3]]


def test_vpc_without_blq_has_one_row() -> None:
    check = made.vpc()
    for name in ("blq_observed", "blq_lower", "blq_median", "blq_upper"):
        check[name] = xr.zeros_like(check[name])
    assert len(plots.vpc(check).axes) == 1


def test_vpc_band_that_ends_below_the_lloq_is_cut_there() -> None:
    check = made.vpc()
    check["simulated_lower"][0, 5:, 1] = np.nan
    band = plots.vpc(check).axes[0].collections[1]
    ends = band.get_paths()[0].vertices
    assert ends[:, 1].min() == pytest.approx(50.0)


def test_vpc_of_nothing() -> None:
    check = made.vpc()
    check["simulated_median"] = check["simulated_median"] * np.nan
    with pytest.raises(DataError, match="no simulated quantile"):
        plots.vpc(check)


# --- exposure and comparison ------------------------------------------------------------------


def test_exposure_shows_every_patient_and_the_mean() -> None:
    params = made.nca()
    ax = plots.exposure(params, "cmax")
    assert marks(ax, "o") == 15
    assert marks(ax, "v") == 1  # P01 was never quantified
    means = lines(ax, "mean")
    assert [line.get_marker() for line in means] == ["D"] * 4
    values = params["cmax"].values[12:]  # the four patients of the highest dose
    np.testing.assert_allclose(means[3].get_ydata(), [np.prod(values) ** 0.25], rtol=1e-9)
    assert ax.get_ylabel() == "Cmax (copies/µg)"
    ticks = [t.get_text() for t in ax.get_xticklabels()]
    assert ticks[0] == "1×10⁶ cells\nn = 3"
    assert "geometric mean and 90\u202f% CI" in legend_texts(ax.get_legend())
    assert "never above LLOQ (0), not in the mean" in legend_texts(ax.get_legend())


def test_exposure_marks_missing_values_and_stays_put() -> None:
    first, second = (plots.exposure(made.nca(), "half_life") for _ in range(2))
    assert marks(first, "x") == 2
    assert marks(first, "o") == 14
    places = [[line.get_xdata().tolist() for line in ax.lines] for ax in (first, second)]
    assert places[0] == places[1]  # the spread of the dots is not random


def test_exposure_coloured_by_another_variable() -> None:
    params = made.nca().assign_coords(response=("id", np.array(["PR", "SD"] * 8)))
    ax = plots.exposure(params, "cmax", colour_by="response")
    assert legend_texts(ax.get_legend()).startswith("PR | SD")
    assert marks(ax, "o") + marks(ax, "v") == 16


def test_exposure_needs_values() -> None:
    with pytest.raises(DataError, match="Did you mean 'cmax'"):
        plots.exposure(made.nca(), "cmaxx")
    params = made.nca()
    params["cmax"] = params["cmax"] * 0
    with pytest.raises(DataError, match="no patient has a value"):
        plots.exposure(params, "cmax")


def test_exposure_marks_do_not_overlap_and_stand_on_both_sides() -> None:
    """Forty equal doses: 6.8 pt apart, and as many left of the middle as right, within chance."""
    n = 40
    params = xr.Dataset(
        {"cmax": ("id", np.exp(np.random.default_rng(3).normal(8, 1.2, n)), {"units": "1"})},
        coords={"id": np.arange(n).astype(str), "dose_level": ("id", np.ones(n))},
    )
    ax = plots.exposure(params, "cmax")
    (dots,) = [line for line in ax.lines if line.get_marker() == "o"]
    at = ax.transData.transform(np.column_stack(dots.get_data())) / ax.figure.dpi * 72
    apart = np.hypot(*(at[:, None] - at[None]).transpose(2, 0, 1))
    assert apart[~np.eye(n, dtype=bool)].min() > 6.79
    level, place = np.log(dots.get_ydata()), np.asarray(dots.get_xdata()) + 0.1
    assert abs(np.corrcoef(level, place)[0, 1]) < 0.35  # no diagonal
    assert 8 <= int((place > 0.005).sum()) <= 32


def test_exposure_shows_no_interval_of_two_and_an_arrow_where_it_is_cut() -> None:
    """Of 1, 1 and 1000 the interval on the log scale is ln 10 ± 6.7: beyond five times the data."""
    params = xr.Dataset(
        {"cmax": ("id", np.array([1.0, 1000, 1, 1, 1000]), {"units": "1"})},
        coords={"id": np.arange(5).astype(str), "dose_level": ("id", np.array([1.0, 1, 2, 2, 2]))},
    )
    ax = plots.exposure(params, "cmax")
    assert len(lines(ax, "mean")) == 2
    assert len(lines(ax, "interval")) == 1
    assert [line.get_marker() for line in lines(ax, "beyond")] == ["v", "^"]
    assert [float(line.get_ydata()[0]) for line in lines(ax, "beyond")] == list(ax.get_ylim())
    assert "(n ≥ 3)" in legend_texts(ax.get_legend())


def test_exposure_twin_pairs_patients_and_keeps_those_without_nca_in_the_margin() -> None:
    """The model is 1.25 times the NCA for every patient but P01, whose NCA value is zero."""
    ax = plots.exposure_twin(made.exposure_twin(), made.nca(), "auc0_28")
    pairs = np.concatenate([line.get_xydata() for line in lines(ax, "patient")])
    assert len(pairs) == 15
    np.testing.assert_allclose(pairs[:, 1], 1.25 * pairs[:, 0], rtol=1e-12)
    (zero,) = lines(ax, "zero")
    (identity,) = lines(ax, "identity")
    assert zero.get_xdata()[0] < identity.get_xdata()[0]
    assert zero.get_ydata()[0] == ax.get_ylim()[0]  # 240 by the model, far below the others
    assert ax.get_xlabel() == "AUC0–28d by NCA (copies/µg·day)"
    assert ax.get_ylabel() == "AUC0–28d from the model (copies/µg·day)"
    texts = legend_texts(ax.get_legend())
    assert "model median, 90\u202f% interval" in texts
    assert "1×10⁶ cells" in texts
    assert len(plots.exposure_twins(made.exposure_twin(), made.nca()).axes) == 2


def test_exposure_twin_marks_a_missing_nca_value_and_needs_the_parameter() -> None:
    params = made.nca()
    params["cmax"][3] = np.nan
    ax = plots.exposure_twin(made.exposure_twin(), params, "cmax")
    assert len(lines(ax, "missing")) == 1
    with pytest.raises(DataError, match="Did you mean 'auc0_28'"):
        plots.exposure_twin(made.exposure_twin(), made.nca(), "auc0_82")
    params["cmax"] = params["cmax"] * 0
    with pytest.raises(DataError, match="nothing to compare"):
        plots.exposure_twin(made.exposure_twin(), params, "cmax")


def test_comparison_ranks_downwards_and_greys_the_unconverged() -> None:
    ax = plots.comparison(made.comparison())
    assert [t.get_text() for t in ax.get_yticklabels()] == ["ogasawara2021", "stein2019", "liu2021"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    dots = [float(ln.get_xdata()[0]) for ln in ax.lines if ln.get_marker() == "o"]
    assert dots == [0.0, -12.5]
    assert [-20.5, -4.5] in [list(ln.get_xdata()) for ln in ax.lines]  # 2 × 4.0
    assert ax.texts[0].get_text().startswith("not ranked: not converged: R-hat up to 1.21")
    assert ax.get_yticklabels()[2].get_color() == _axes.GREY


def test_comparison_without_a_ranked_model_and_of_nothing() -> None:
    table = made.comparison().iloc[2:]
    assert len(plots.comparison(table).texts) == 1
    with pytest.raises(DataError, match="no model"):
        plots.comparison(pd.DataFrame())


# --- notebooks and global state ---------------------------------------------------------------


def test_axes_and_figures_show_themselves_in_a_notebook() -> None:
    magic = b"\x89PNG"
    assert plots.exposure(made.nca())._repr_png_()[:4] == magic
    assert plots.vpc(made.vpc())._repr_png_()[:4] == magic


def test_drawing_loads_no_pyplot_and_leaves_the_settings() -> None:
    code = """
import sys
sys.path.insert(0, "tests")
import matplotlib as mpl
settings = {k: mpl.rcParams[k] for k in mpl.rcParams if k != "backend"}  # it loads pyplot
import figure_inputs as made
from cart_pkpd import plots
plots.exposure(made.nca()).figure.savefig("/dev/null", format="svg")
assert "matplotlib.pyplot" not in sys.modules
changed = {k: (v, mpl.rcParams[k]) for k, v in settings.items() if mpl.rcParams[k] != v}
assert not changed, changed
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
