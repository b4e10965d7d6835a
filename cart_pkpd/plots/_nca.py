"""Pictures of the non-compartmental analysis: what it did with every single profile."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from cart_pkpd._core import names
from cart_pkpd._nca.trial import unit_of
from cart_pkpd.plots import _axes, _text
from cart_pkpd.plots._given import drawn_from
from cart_pkpd.plots._nca_course import Analysis, Course, analysis, courses

_SHADE: dict[str, Any] = {"color": _axes.BLUE, "alpha": 0.22, "linewidth": 0.0, "zorder": 1.2}
_BEYOND: dict[str, Any] = {
    "facecolor": "none", "edgecolor": _axes.BLUE, "alpha": 0.55, "linewidth": 0.0,
    "hatch": "////", "zorder": 1.2,
}  # fmt: skip
_LINE: dict[str, Any] = {"color": _axes.ORANGE, "linewidth": 1.8}
_POINT: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 4.6}
_RING: dict[str, Any] = {
    "marker": "o", "linestyle": "none", "markersize": 10, "markerfacecolor": "none",
    "markeredgecolor": _axes.INK, "markeredgewidth": 1.2,
}  # fmt: skip
_TIME = "Time since infusion (days)"


@drawn_from("data.read_table(path)", "dv")
def nca_profile(
    trial: xr.Dataset,
    params: xr.Dataset,
    patient: str,
    endpoint: str | None = None,
    *,
    infusion: int | None = None,
    window: tuple[float, float] | None = None,
    log: bool | None = None,
    time_scale: _axes.TimeScale = "linear",
    last: float | None = None,
    ax: Axes | None = None,
) -> Axes | Figure:
    """Draw what the analysis did with one patient's profile.

    Parameters
    ----------
    trial : xr.Dataset
        The trial that `params` was computed from.
    params : xr.Dataset
        From ``nca.table``; its rules are the ones drawn.
    patient : str
        Whose profile.
    endpoint : str, optional
        Which one, where the table holds several.
    infusion : int, optional
        Which infusion, where the table is not about the first.
    window : (float, float), optional
        Which area is shaded; the first of the table by default. [day]
    log : bool, optional
        True: level on a log axis, with the terminal line. False: on a linear axis, where an
        area is an area. By default both, side by side.
    time_scale : {"linear", "log"}
        "log" is linear up to day 1; for the log panel.
    last : float, optional
        Draw up to this day only; by default the whole profile on a log axis, and to a quarter
        beyond the window on a linear one.
    ax : Axes, optional
        Where to draw; needs `log`.

    Returns
    -------
    Axes, or Figure with both scales
        Samples, LLOQ, area with the segments that were integrated (hatched: beyond Tlast), and
        the terminal line with its samples; the numbers, or why there are none, stand beside.

    Raises
    ------
    DataError
        If patient or endpoint is unknown, or the table was computed from other data.
    """
    about = analysis(params, endpoint, infusion, window)
    course = courses(trial, about, [patient])[0]
    heading = _title(about, course)
    keys = _keys(course, about, unit_of(trial, about.endpoint))
    level_label = _level_label(trial, about.endpoint)
    if log is None:
        if ax is not None:
            raise ValueError("both scales make their own figure; pass log=True or False with ax.")
        figure = _axes.sheet(11.0, 4.2)
        for i, scale in enumerate((True, False)):
            panel = _axes.dress(figure.add_subplot(1, 2, i + 1, axes_class=_axes.Panel))
            _draw(panel, course, about, log=scale, time_scale=time_scale, last=last)
            _axes.label(panel, _TIME, level_label)
            _axes.heading(panel, heading if scale else "linear scale")
        _axes.side_legend(panel, keys, "")
        return figure
    ax = _axes.axes(ax, size=(8.6, 4.4))
    _draw(ax, course, about, log=log, time_scale=time_scale, last=last)
    _axes.label(ax, _TIME, level_label)
    _axes.heading(ax, heading)
    _axes.side_legend(ax, keys, "")
    return ax


@drawn_from("data.read_table(path)", "dv")
def nca_profiles(
    trial: xr.Dataset,
    params: xr.Dataset,
    endpoint: str | None = None,
    *,
    patients: Sequence[str] | None = None,
    infusion: int | None = None,
    window: tuple[float, float] | None = None,
    log: bool = True,
    time_scale: _axes.TimeScale = "linear",
    last: float | None = None,
    ncols: int | None = None,
) -> Figure:
    """Draw what the analysis did with every profile, one small panel each.

    Parameters
    ----------
    trial, params, endpoint, infusion, window, log, time_scale, last
        As for :func:`nca_profile`.
    patients : sequence of str, optional
        Which patients, in this order; all of the table by default.
    ncols : int, optional
        Panels per row; 3 or 4 by default.

    Returns
    -------
    Figure
        Common axes on a log scale, levels of their own on a linear one.

    Raises
    ------
    DataError
        If a patient or the endpoint is unknown, or the table was computed from other data.
    """
    about = analysis(params, endpoint, infusion, window)
    chosen = [str(p) for p in (about.params["id"].values if patients is None else patients)]
    drawn = courses(trial, about, chosen)
    figure, panels = _axes.small_multiples(
        len(drawn), ncols, (2.75, 2.1), sharex=True, sharey=log
    )  # fmt: skip
    end = _last(drawn, about, log, last)
    for ax, course in zip(panels, drawn, strict=True):
        _draw(ax, course, about, log=log, time_scale=time_scale, last=end, small=True)
        _panel_heading(ax, _title(about, course), _numbers(course, about))
    if log:  # shared axes share limits: those that hold every profile
        levels = [v for course in drawn for v in _levels(course)]
        for ax in panels:
            _axes.log_levels(ax, levels)
    _axes.shared_labels(figure, _TIME, _level_label(trial, about.endpoint))
    _axes.figure_legend(figure, _common_keys(drawn, about), ncols=4)
    return figure


def _last(drawn: Sequence[Course], about: Analysis, log: bool, last: float | None) -> float:
    """Return the last day of the picture."""
    samples = max((float(c.time.max()) for c in drawn if c.time.size), default=0.0)
    if last is not None:
        return last
    whole = max(samples, about.window[1])
    return whole if log else min(whole, about.window[1] * 1.25)


def _level_label(trial: xr.Dataset, endpoint: str) -> str:
    text = names.label(endpoint)
    if "measure" in trial.dims and "label" in trial:
        here = trial["measure"].values == endpoint
        text = str(trial["label"].values[here][0]) if here.any() else text
    return _text.with_unit(text, unit_of(trial, endpoint))


def _title(about: Analysis, course: Course) -> str:
    params = about.params
    parts = [course.patient]
    if "dose_level" in params.coords:
        level = params["dose_level"].sel(id=course.patient)
        unit = _text.dose_unit(params) or str(params.attrs.get("dose_units", ""))
        small = not float(level) >= _text.SMALLEST_DOSE
        parts.append(_text.dose(float(level), "" if small else unit))
    if about.infusion > 1:
        parts.append(f"infusion {about.infusion}")
    return ", ".join(parts)


# --- one panel --------------------------------------------------------------------------------


def _draw(
    ax: Axes,
    course: Course,
    about: Analysis,
    *,
    log: bool,
    time_scale: _axes.TimeScale,
    last: float | None,
    small: bool = False,
) -> None:
    end = _last([course], about, log, last)
    shown = course.time <= end
    first = min(0.0, float(course.time.min())) if course.time.size else 0.0
    _axes.time_axis(ax, first, end, time_scale if log else "linear", most=5 if small else 7)
    floor = 0.0
    if log:
        _axes.log_levels(ax, _levels(course))
        floor = float(ax.get_ylim()[0])
    _axes.quantification_limit(ax, course.lloq)
    _areas(ax, course, floor)
    _samples(ax, course, shown, small)
    if course.fit is not None:
        at, line = course.fit.line
        drawn = at <= end
        ax.plot(at[drawn], line[drawn], zorder=3.2, label="terminal line", **_LINE)
    _axes.mark_day(ax, about.window[1], text=not small)
    if not log:
        ax.set_ylim(0.0, max([1e-300, *course.level[shown], *_finite(course.lloq)]) * 1.12)
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _text.short(value)))
    if "profile" in course.missing:
        text = "\n".join(textwrap.wrap(course.missing["profile"], 28))
        ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center",
                fontsize=_axes.SMALL, color=_axes.GREY)  # fmt: skip


def _levels(course: Course) -> list[float]:
    """Return what a log axis has to hold: the samples and the limit, not a tail that vanishes."""
    found = [*course.level[course.level > 0], *_finite(course.lloq)]
    return found or [1.0]


def _finite(values: NDArray[np.float64]) -> list[float]:
    found: list[float] = values[np.isfinite(values)].tolist()
    return found


def _areas(ax: Axes, course: Course, floor: float) -> None:
    for (at, level), name in ((course.measured, "area"), (course.beyond, "area beyond Tlast")):
        if not at.size:
            continue
        style, dash = (_SHADE, "-") if name == "area" else (_BEYOND, (0, (3, 2)))
        edge = np.maximum(level, floor)
        ax.fill_between(at, edge, floor, label=name, **style)
        ax.plot(at, edge, color=_axes.BLUE, linewidth=1.0, linestyle=dash, zorder=2,
                label=f"edge of {name}")  # fmt: skip


def _samples(ax: Axes, course: Course, shown: NDArray[np.bool_], small: bool) -> None:
    size = {"markersize": 3.4} if small else {}
    plain, used = course.quantified & ~course.outside & shown, np.zeros_like(shown)
    if course.fit is not None:
        used = course.fit.points & shown
    for mask, colour, name in (
        (plain & ~used, _axes.INK, "sample"),
        (used, _axes.ORANGE, "sample of the terminal line"),
        (course.quantified & course.outside & shown, _axes.PALE, "not part of the profile"),
    ):
        if mask.any():
            ax.plot(course.time[mask], course.level[mask], color=colour, label=name, zorder=4,
                    **{**_POINT, **size})  # fmt: skip
    below = ~course.quantified & shown
    at_limit = np.where(np.isfinite(course.lloq), course.lloq, ax.get_ylim()[0])
    for mask, colour in ((below & ~course.outside, _axes.INK), (below & course.outside, "#98a0a9")):
        if mask.any():
            ax.plot(
                course.time[mask], at_limit[mask], marker="v", markersize=4.2 if small else 5.2,
                markeredgecolor=colour, markeredgewidth=0.9, label="below LLOQ", **_axes.OPEN,
            )  # fmt: skip
    if math.isfinite(course.peak[0]):
        ring = {"markersize": 7.5} if small else {}
        ax.plot(*([v] for v in course.peak), label="Cmax", zorder=4.5, **{**_RING, **ring})


# --- what stands beside -----------------------------------------------------------------------


def _area_name(about: Analysis) -> str:
    return f"AUC{about.window[0]:g}–{about.window[1]:g}d"


def _keys(course: Course, about: Analysis, unit: str) -> list[Any]:
    """Return the legend: every mark with its number, or why there is none."""
    shown = _text.unit(unit)
    keys: list[Any] = [_axes.key("sample", color=_axes.INK, **_POINT)]
    if (~course.quantified).any():
        keys.append(_axes.blq_key())
    if course.outside.any():
        keys.append(_axes.key("before this infusion,\nor after the next", color=_axes.PALE,
                              **_POINT))  # fmt: skip
    keys += _axes.limit_key(course.lloq, unit)
    if math.isfinite(course.peak[0]):
        text = f"Cmax {_text.number(course.peak[1])} {shown}".rstrip()
        keys.append(_axes.key(f"{text}\nTmax day {_text.short(course.peak[0])}", **_RING))
    keys += _area_keys(course, about, _text.unit(f"{unit or '1'}*day").removeprefix("1·"))
    return [*keys, _fit_key(course)]


def _area_keys(course: Course, about: Analysis, unit: str) -> list[Any]:
    name = _area_name(about)
    if not course.completed:
        return [_without(name, course.missing.get("area", ""))]
    text = f"{name} {_text.number(course.area)}\n{unit}, {about.rules.method}"
    if course.completed in ("ends at the last sample", "ends at the next infusion"):
        text += f"\n{course.completed}"
    keys: list[Any] = [Patch(label=text, **{**_SHADE, "alpha": 0.35})]
    if course.beyond[0].size:
        how = "\n".join(textwrap.wrap(course.completed, 24))
        keys.append(Patch(label=f"{_share(course)} of it beyond Tlast:\n{how}", **_BEYOND))
    return keys


def _share(course: Course) -> str:
    return f"{_text.number(course.beyond_percent, 2)}{_text.THIN}%"


def _fit_key(course: Course) -> Any:
    fit = course.fit
    if fit is None:
        return _without("no terminal line", course.missing.get("half_life", ""))
    quality = "" if math.isnan(fit.adj_r_squared) else f"\nadjusted R² {fit.adj_r_squared:.3f}"
    text = f"t½ {_text.number(fit.half_life)} days from {_text.count(fit.n, 'sample')}{quality}"
    return _axes.key(text, marker="o", markersize=4.6, **_LINE)


def _without(name: str, reason: str) -> Any:
    lines = textwrap.wrap(f"{name}: {reason}" if reason else name, 30)
    return _axes.key("\n".join(lines), linestyle="none")


def _numbers(course: Course, about: Analysis) -> str:
    """Return two lines of numbers for a small panel."""
    if math.isnan(course.peak[0]):
        return ""
    peak = f"Cmax {_text.number(course.peak[1])}, day {_text.short(course.peak[0])}"
    if course.fit is not None:
        peak += f"; t½ {_text.number(course.fit.half_life)} d ({course.fit.n})"
    area = f"{_area_name(about)} {_text.number(course.area)}"
    if course.beyond[0].size:
        area += f", {_share(course)} after Tlast"
    elif course.completed.startswith("ends"):
        area += f", {course.completed}"
    return f"{peak}\n{area}"


def _panel_heading(ax: Axes, title: str, numbers: str) -> None:
    ax.set_title(title, loc="left", fontsize=_axes.SMALL, color=_axes.INK, fontweight="bold",
                 pad=27)  # fmt: skip
    ax.annotate(
        numbers, (0, 1), xycoords="axes fraction", xytext=(0, 4), textcoords="offset points",
        color=_axes.INK, fontsize=_axes.SMALL - 1.5, linespacing=1.15,
    )  # fmt: skip


def _common_keys(drawn: Sequence[Course], about: Analysis) -> list[Any]:
    keys: list[Any] = [
        _axes.key("sample", color=_axes.INK, **_POINT),
        _axes.key("Cmax", **_RING),
        Patch(label=f"{_area_name(about)}, {about.rules.method}", **{**_SHADE, "alpha": 0.35}),
        _axes.key("terminal line and its samples", marker="o", markersize=4.6, **_LINE),
    ]
    if any(c.beyond[0].size for c in drawn):
        keys.append(Patch(label=f"beyond Tlast (tail: {about.rules.tail})", **_BEYOND))
    if any((~c.quantified).any() for c in drawn):
        keys.append(_axes.blq_key())
    if any(np.isfinite(c.lloq).any() for c in drawn):
        keys.append(_axes.key("LLOQ", **_axes.LLOQ_STYLE))
    return keys
