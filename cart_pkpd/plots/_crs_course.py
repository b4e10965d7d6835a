"""The course of CRS or ICANS: every patient's grade by day, with treatment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from cart_pkpd._core.errors import DataError
from cart_pkpd._endpoints.grading import Grades
from cart_pkpd.plots import _axes
from cart_pkpd.plots._groups import Group, groups

# Light to dark with rising grade; the order survives in grey.
_COLOURS = {0: "#eef0f2", 1: "#f6c85f", 2: "#e8853b", 3: "#c2304f", 4: "#6f1d77", 5: "#1b1f24"}
_ROW = 0.26  # height of a patient [inch]
_MARKS = {"tocilizumab": "v", "steroid": "s"}


def crs_course(
    grades: Grades,
    *,
    patients: xr.Dataset | None = None,
    by: str | None = None,
    last: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw each patient's grade by day.

    Parameters
    ----------
    grades : Grades
        From ``endpoints.crs_grade`` or ``endpoints.icans_grade``.
    patients : xr.Dataset, optional
        The trial, whose variable `by` puts the patients in groups.
    by : str, optional
        Such as ``"dose_level"``.
    last : float, optional
        Last day that is drawn. [day]
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        One row per patient, in groups and by onset; coloured where a record could be graded,
        white where there was none, hatched where its grade cannot be told. Tocilizumab and
        steroids are marked on the days they were given.

    Raises
    ------
    DataError
        If it is no result of a grading, or `by` is not known.
    """
    if not isinstance(grades, Grades) or grades.days.empty:
        raise DataError("there is no course to draw: pass the result of endpoints.crs_grade.")
    made = _made(grades, patients, by)
    order = [who for group in made for who in group.patients]
    ax = _axes.axes(ax, size=(8.2, 1.5 + _ROW * (len(order) + 0.6 * len(made))))
    places = _places(made)
    end = float(grades.days["day"].max()) + 1 if last is None else last
    _boxes(ax, grades.days, places)
    shown = _treatment(ax, grades.records, places)
    _axes.time_axis(ax, 0.0, end, most=15)
    ax.set_xlim(min(0.0, float(grades.days["day"].min())) - 0.2, end)
    ax.set_ylim(max(places.values()) + 0.8, -1.2 if len(made) > 1 or by else -0.8)
    ax.set_yticks(list(places.values()), list(places))
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    for group in made if by else ():
        ax.annotate(group.label, (0, places[group.patients[0]]), xytext=(3, 11),
                    xycoords=("axes fraction", "data"), textcoords="offset points",
                    fontsize=_axes.SMALL, color=_axes.INK, fontweight="bold")  # fmt: skip
    _axes.label(ax, _axes.TIME_LABEL)
    _axes.side_legend(ax, _keys(grades, shown), f"{grades.name} grade")
    return ax


def _made(grades: Grades, patients: xr.Dataset | None, by: str | None) -> list[Group]:
    onset = grades.patients.set_index("id")["onset_day"].fillna(np.inf)
    known = list(onset.sort_values(kind="stable").index.astype(str))
    if by is None:
        return [Group("all patients", _axes.BLUE, tuple(known))]
    if patients is None:
        raise DataError(f"by={by!r} needs patients=, such as the trial.")
    kept = [
        Group(g.label, g.colour, tuple(i for i in known if i in g.patients))
        for g in groups(patients, by)
    ]
    return [g for g in kept if g.patients]


def _places(made: Sequence[Group]) -> dict[str, float]:
    """Return the row of every patient, with a gap before each group but the first."""
    out: dict[str, float] = {}
    y = 0.0
    for group in made:
        for who in group.patients:
            out[who] = y
            y += 1.0
        y += 0.9
    return out


def _boxes(ax: Axes, days: pd.DataFrame, places: dict[str, float]) -> None:
    for row in days.to_dict("records"):
        y, grade = places.get(str(row["id"])), float(row["grade"])
        if y is None:
            continue
        known = not np.isnan(grade)
        ax.barh(y, 1.0, left=float(row["day"]), height=0.78, align="center",
                color=_COLOURS[int(grade)] if known else "white", edgecolor="white" if known
                else _axes.GREY, linewidth=0.6, hatch=None if known else "////",
                zorder=2)  # fmt: skip
        if known and grade >= 1:
            ax.text(float(row["day"]) + 0.5, y, f"{grade:g}", ha="center", va="center",
                    fontsize=_axes.SMALL - 2, color="white" if grade >= 3 else _axes.INK,
                    zorder=3)  # fmt: skip


def _treatment(ax: Axes, records: pd.DataFrame, places: dict[str, float]) -> list[str]:
    shown = []
    for name, marker in _MARKS.items():
        given = records[records[name]] if name in records else records.iloc[:0]
        if len(given):
            y = [places[str(i)] - 0.42 for i in given["id"]]
            ax.plot(given["day"], y, linestyle="none", marker=marker, markersize=4.5,
                    color=_axes.BLUE, markeredgecolor="white", markeredgewidth=0.5, zorder=4,
                    clip_on=False)  # fmt: skip
            shown.append(name)
    return shown


def _keys(grades: Grades, shown: list[str]) -> list[Any]:
    seen = grades.days["grade"]
    keys: list[Any] = [
        Patch(facecolor=_COLOURS[k], edgecolor=_axes.PALE, label=str(k))
        for k in sorted({int(v) for v in seen.dropna()})
    ]
    if seen.isna().any():
        keys.append(Patch(facecolor="white", edgecolor=_axes.GREY, hatch="////",
                          label="cannot be told"))  # fmt: skip
    return keys + [
        _axes.key(name, marker=_MARKS[name], color=_axes.BLUE, linestyle="none", markersize=5)
        for name in shown
    ]
