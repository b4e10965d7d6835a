"""Observed profiles: every patient of an endpoint, and the cytokine panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cart_pkpd import data
from cart_pkpd._core import names
from cart_pkpd._core.errors import DataError
from cart_pkpd.plots import _axes, _text
from cart_pkpd.plots._given import drawn_from
from cart_pkpd.plots._groups import Group, default_by, groups
from cart_pkpd.plots._records import Records, records
from cart_pkpd.plots._summaries import mean_profile

_AUTO = "auto"
_CROWD = 16  # patients in one colour, above which their lines are drawn fainter


@drawn_from("data.endpoint(trial, name)", "dv")
def profiles(
    endpoint: xr.Dataset,
    by: str | None = _AUTO,
    *,
    facet: bool = False,
    time_scale: _axes.TimeScale = "linear",
    mean: bool = True,
    last: float | None = None,
    ax: Axes | None = None,
) -> Axes | Figure:
    """Draw every patient's observed profile of one endpoint, with geometric means.

    Parameters
    ----------
    endpoint : xr.Dataset
        One endpoint of a trial, as :func:`cart_pkpd.data.endpoint` returns it.
    by : str or None
        Patient variable that gives the colours: "dose_level" where the dataset has it;
        None for one colour.
    facet : bool
        One panel per group instead of one for all.
    time_scale : {"linear", "log"}
        "log" is linear up to day 1.
    mean : bool
        Add each group's geometric mean per planned day, where the plan is known: a mean over
        whoever happened to be sampled on a day jumps from day to day. Values below the LLOQ
        count as LLOQ/2; days with fewer than two patients, or with more than half below the
        LLOQ, are left out.
    last : float, optional
        Draw up to this day only.
    ax : Axes, optional
        Where to draw; not with `facet`.

    Returns
    -------
    Axes, or Figure with `facet`
        Level on a log axis; values below the LLOQ are open triangles at the LLOQ.

    Raises
    ------
    DataError
        If there is nothing to draw, or no patient variable `by`.
    """
    shown = _window(endpoint, last)
    _require(shown)
    mean = mean and bool(np.isfinite(records(shown).nominal).any())
    made_by = default_by(shown) if by == _AUTO else by
    made = groups(shown, made_by)
    if facet:
        if ax is not None:
            raise ValueError("facet=True makes its own figure; leave ax out.")
        return _faceted(shown, made, time_scale, mean)
    ax = _axes.axes(ax, size=(8.6, 4.4))
    _frame(ax, shown, time_scale)
    known = records(shown)
    for group in made:
        _draw_group(ax, known, group, mean and group.label != "dose not given")
    _axes.label(ax, _axes.TIME_LABEL, _text.endpoint_label(shown))
    groups_first = _group_keys(made)[::-1] if len(made) > 1 else []
    title = _name(shown, made_by) if groups_first else ""
    _axes.side_legend(ax, [*groups_first, *_mark_keys(shown, mean)], title)
    return ax


def _name(shown: xr.Dataset, by: str | None) -> str:
    return _text.name_of(shown[by]) if by else ""


def _faceted(
    shown: xr.Dataset, made: list[Group], time_scale: _axes.TimeScale, mean: bool
) -> Figure:
    cols = min(len(made), 2 if len(made) in (2, 4) else 3)
    figure, panels = _axes.small_multiples(len(made), cols, (8.6 / cols, 2.3), common="xy")
    known = records(shown)
    for ax, group in zip(panels, made, strict=True):
        _frame(ax, shown, time_scale, most=6)
        _draw_group(ax, known, group, mean)
        text = f"{group.label}, n = {len(group.patients)}"
        _axes.heading(ax, text)
    _axes.shared_labels(figure, _axes.TIME_LABEL, _text.endpoint_label(shown))
    _axes.figure_legend(figure, [*_mark_keys(shown, mean)])
    return figure


def _window(endpoint: xr.Dataset, last: float | None) -> xr.Dataset:
    if last is None:
        return endpoint
    return endpoint.isel(obs=np.flatnonzero(endpoint["time"].values <= last))


def _require(shown: xr.Dataset) -> None:
    if shown.sizes["obs"] == 0:
        raise DataError("there are no observations to draw: choose another endpoint or window.")
    measures = [str(m) for m in np.unique(shown["endpoint"].values)]
    if len(measures) > 1:
        raise DataError(
            f"the dataset holds {len(measures)} endpoints ({', '.join(measures)}): "
            "pass one of them, as data.endpoint(trial, name) returns it."
        )


def _frame(ax: Axes, shown: xr.Dataset, time_scale: _axes.TimeScale, most: int = 8) -> None:
    """Set both axes and draw the LLOQ and day 28."""
    time = shown["time"].values
    first, last = min(float(time.min()), 0.0), float(time.max())
    _axes.time_axis(ax, first, last, time_scale, most=most)
    lloq = shown["lloq"].values
    _axes.log_levels(ax, [*shown["dv"].values, *lloq])
    _axes.quantification_limit(ax, lloq)
    if first < 28 <= last and last > 35:
        _axes.mark_day(ax, 28)


def _draw_group(ax: Axes, known: Records, group: Group, mean: bool) -> None:
    mine = known.of(*group.patients)
    drawable = mine.where(mine.dv > 0)
    alpha = 0.55 if mean or len(group.patients) > _CROWD else 0.9
    for patient in group.patients:
        one = drawable.of(patient)
        if one.size:
            line = _axes.joined(one.time, one.dv, _axes.below(one.censoring))
            ax.plot(*line, color=group.colour, linewidth=0.9, alpha=alpha,
                    zorder=2, label="patient")  # fmt: skip
    exact = drawable.where(drawable.censoring == "none")
    ax.plot(exact.time, exact.dv, color=group.colour, marker="o", markersize=2.6,
            linestyle="none", alpha=0.75, markeredgewidth=0.6, zorder=3)  # fmt: skip
    _axes.censored_marks(ax, drawable.time, drawable.dv, drawable.censoring, group.colour, size=4.2)
    if mean and mine.size:
        plan = mine.where(np.isfinite(mine.nominal))
        day, level = mean_profile(plan.nominal, plan.dv, _axes.below(plan.censoring), plan.lloq)
        ax.plot(day, level, color=group.colour, linewidth=2.6, zorder=5, label="mean")


def _group_keys(made: list[Group]) -> list[Any]:
    return [_axes.key(f"{g.label} (n = {len(g.patients)})", color=g.colour, lw=2.4) for g in made]


def _mark_keys(shown: xr.Dataset, mean: bool) -> list[Any]:
    units = str(shown["dv"].attrs.get("units", ""))
    marks = [_axes.key("patient", color=_axes.INK, linewidth=0.9, marker="o", markersize=2.6)]
    if mean:
        marks.append(_axes.key("geometric mean\n(BLQ as LLOQ/2)", color=_axes.INK, linewidth=2.6))
    marks += _axes.censored_keys(shown["censoring"].values)
    return marks + _axes.limit_key(shown["lloq"].values, units)


@drawn_from("data.read_table(path)", "dv", "measure")
def cytokines(
    trial: xr.Dataset,
    by: str | None = _AUTO,
    *,
    window: tuple[float, float] = (0.0, 28.0),
    measures: Sequence[str] | None = None,
    ncols: int = 3,
) -> Figure:
    """Draw the observed cytokines, one panel each, patients coloured by dose.

    Parameters
    ----------
    trial : xr.Dataset
        A whole trial.
    by : str or None
        Patient variable that gives the colours, as in :func:`profiles`.
    window : (float, float)
        First and last day drawn, the last one to its end: a sample of day 28 is rarely taken
        exactly 28 days after the infusion. [day]
    measures : sequence of str, optional
        Endpoints to draw; the trial's cytokines by default.
    ncols : int
        Panels per row.

    Returns
    -------
    Figure
        Each panel has its own log axis in the cytokine's unit, with its LLOQ.

    Raises
    ------
    DataError
        If the trial has none of the cytokines.
    """
    chosen = list(measures) if measures is not None else cytokine_names(trial)
    if not chosen:
        raise DataError("the trial holds no cytokine: there is nothing to draw.")
    made = groups(trial, default_by(trial) if by == _AUTO else by)
    figure, panels = _axes.small_multiples(len(chosen), ncols, (3.2, 2.2), common="x")
    time = trial["time"].values
    drawn = np.isin(trial["endpoint"].values, chosen) & _in_days(time, window)
    span = (window[0], max(window[1], float(time[drawn].max(initial=window[1]))))
    for ax, name in zip(panels, chosen, strict=True):
        one = data.endpoint(trial, name)
        one = one.isel(obs=np.flatnonzero(_in_days(one["time"].values, window)))
        _cytokine_panel(ax, one, made, span)
    _axes.shared_labels(figure, _axes.TIME_LABEL)
    keys = [*_group_keys(made), *_axes.censored_keys(trial["censoring"].values[drawn])]
    if np.isfinite(trial["lloq"].values[drawn]).any():
        keys.append(_lloq_key())
    _axes.figure_legend(figure, keys, ncols=6 if len(keys) <= 6 else 4)
    return figure


def _in_days(time: _axes.Floats, window: tuple[float, float]) -> _axes.Mask:
    """Say which times lie from the first to the end of the last day of a window."""
    return (time >= window[0]) & (np.floor(time) <= window[1])


def cytokine_names(trial: xr.Dataset) -> list[str]:
    """Return the trial's cytokines: the nine of the glossary first, then any other."""
    kinds = dict(zip(trial["measure"].values.astype(str), trial["kind"].values, strict=True))
    found = [name for name, kind in kinds.items() if kind == "cytokine"]
    return [n for n in names.CYTOKINES if n in found] + sorted(set(found) - set(names.CYTOKINES))


def _lloq_key() -> Any:
    return _axes.key("LLOQ", **_axes.LLOQ_STYLE)


def _cytokine_panel(
    ax: Axes, one: xr.Dataset, made: list[Group], window: tuple[float, float]
) -> None:
    _axes.heading(ax, _text.endpoint_label(one))
    _axes.time_axis(ax, window[0], window[1], most=6)
    if one.sizes["obs"] == 0:
        ax.text(0.5, 0.5, "no observation in this window", transform=ax.transAxes, ha="center",
                fontsize=_axes.SMALL, color=_axes.GREY)  # fmt: skip
        return
    lloq = one["lloq"].values
    _axes.log_levels(ax, [*one["dv"].values, *lloq])
    _axes.quantification_limit(ax, lloq)
    known = records(one)
    for group in made:
        _draw_group(ax, known, group, mean=False)
