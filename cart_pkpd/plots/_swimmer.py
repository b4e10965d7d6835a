"""Swimmer plot: every patient's time on study with what happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.numbers import patient_numbers
from cart_pkpd.plots import _axes, _groups
from cart_pkpd.plots._response import patient_groups

CLOSE = 8.0  # days within which the marks of CRS and DLT are put one above the other


@dataclass(frozen=True)
class Mark:
    """One kind of event: its name, the look of its mark, and its day for a patient."""

    name: str
    style: dict[str, Any]
    day: Callable[[Any], float]


def _style(marker: str, colour: str, size: float = 6.5) -> dict[str, Any]:
    return {"marker": marker, "color": colour, "markersize": size, "linestyle": "none",
            "markeredgecolor": "white", "markeredgewidth": 0.7, "zorder": 5}  # fmt: skip


MARKS = (
    Mark("CRS, with grade", _style("o", "#e0a100", 8.5), lambda p: p.crs_day),
    Mark("DLT", _style("*", "#c1121f", 11), lambda p: p.dlt_day),
    Mark("first response", _style("^", "#00755e", 7.5), lambda p: p.response_day),
    Mark("progression", _style("X", _axes.INK, 7.5), lambda p: p.pd_day),
    Mark("new therapy", _style("D", "#0b7fab", 6), lambda p: p.new_therapy_day),
    Mark("death", _style("s", _axes.INK, 6.5), lambda p: p.death_day),
)


def swimmer(
    followup: pd.DataFrame,
    best: pd.DataFrame | None = None,
    trial: xr.Dataset | None = None,
    *,
    by: str | None = "dose_level",
    confirmed: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw every patient's time from the infusion to the last contact, with what happened.

    Parameters
    ----------
    followup : DataFrame
        From ``endpoints.read_followup``: death, new therapy, last contact.
    best : DataFrame, optional
        From ``endpoints.best_response``: first response and progression. Without it, progression
        is the follow-up's.
    trial : xr.Dataset, optional
        The trial: groups, and ``crs_day``, ``crs_grade``, ``dlt_day`` where it has them.
    by : str or None
        Patient-level variable that colours and orders the bars; None for one colour.
    confirmed : bool
        Whether only responses that were confirmed are marked.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        A bar per patient, the highest group on top and the longest first within one, with a mark
        for CRS (its grade inside), DLT, first response, progression, new therapy and death; an
        arrow where the patient was alive at the last contact, "lost" where contact was lost.

    Raises
    ------
    DataError
        If `followup` is no table of ``endpoints.read_followup``, or the trial lacks a patient.
    """
    needed = {"last_contact_day", "death_day", "new_therapy_day", "lost"}
    if not needed <= set(getattr(followup, "columns", ())):
        raise DataError("there is nothing to draw: pass the table of endpoints.read_followup.")
    table = _patients(followup, best, trial, confirmed)
    groups = patient_groups(trial, by, table["id"])
    order = _order(table, groups)
    ax = _axes.axes(ax, size=(8.4, max(3.0, 0.225 * len(order) + 1.5)))
    colour = {p: g.colour for g in groups for p in g.patients}
    by_id = {p.id: p for p in table.itertuples()}
    for y, patient in enumerate(order):
        _lane(ax, y, by_id[patient], colour[patient])
    ax.set_yticks(range(len(order)), order, fontsize=_axes.SMALL - 1.5)
    ax.grid(False, axis="y")
    ax.set_ylim(-0.7, len(order) - 0.3)
    _axes.time_axis(ax, 0.0, float(np.nanmax(table["last_contact_day"])) * 1.03)
    _axes.label(ax, _axes.TIME_LABEL)
    _axes.legend(ax, _keys(table, groups if by and trial is not None else []), ncols=4)
    return ax


def _patients(
    followup: pd.DataFrame, best: pd.DataFrame | None, trial: xr.Dataset | None, confirmed: bool
) -> pd.DataFrame:
    """Return one row per patient with the day of everything that is marked."""
    columns = ["id", "last_contact_day", "death_day", "new_therapy_day", "lost", "pd_day"]
    table = followup[columns].copy()
    if best is not None:
        column = "confirmed_response_day" if confirmed else "response_day"
        if column not in best:
            raise DataError("best= lacks the responses: pass the table of endpoints.best_response.")
        found = best.set_index("id")
        table["response_day"] = table["id"].map(found[column])
        table["pd_day"] = table["id"].map(found["pd_day"])
    for name in ("crs_day", "crs_grade", "dlt_day"):
        if trial is not None and name in trial and trial[name].dims == ("id",):
            ids = trial["id"].values.astype(str)
            values = patient_numbers(trial[name].values, ids, name)
            table[name] = table["id"].map(pd.Series(values, index=ids))
    wanted = ("response_day", "crs_day", "crs_grade", "dlt_day")
    return table.assign(**{name: np.nan for name in wanted if name not in table})


def _order(table: pd.DataFrame, groups: list[_groups.Group]) -> list[str]:
    """Return the patients from the bottom of the axis to its top."""
    length = dict(zip(table["id"], table["last_contact_day"].fillna(0.0), strict=True))
    return [p for g in groups for p in sorted(g.patients, key=lambda p: length[p])]


def _lane(ax: Axes, y: int, p: Any, colour: str) -> None:
    end = p.last_contact_day
    if np.isnan(end):
        return
    ax.barh(y, end, height=0.62, color=colour, alpha=0.55, zorder=2)
    apart = 0.2 if abs(p.crs_day - p.dlt_day) < CLOSE else 0.0
    shift = {"CRS, with grade": apart, "DLT": -apart}
    for mark in MARKS:
        day = mark.day(p)
        if not np.isnan(day):
            at = y + shift.get(mark.name, 0.0)
            ax.plot([day], [at], label="_" + mark.name, **mark.style)
    if not np.isnan(p.crs_day) and not np.isnan(p.crs_grade):
        ax.annotate(f"{p.crs_grade:g}", (p.crs_day, y + apart), ha="center", va="center", zorder=6,
                    fontsize=_axes.SMALL - 3, color=_axes.INK)  # fmt: skip
    if np.isnan(p.death_day) and p.lost:
        ax.annotate("lost", (end, y), xytext=(6, 0), textcoords="offset points", va="center",
                    fontsize=_axes.SMALL - 2, color=_axes.GREY)  # fmt: skip
    elif np.isnan(p.death_day):
        ax.annotate("", (end, y), xytext=(13, 0), textcoords="offset points",
                    arrowprops={"arrowstyle": "<-", "color": colour, "linewidth": 1.4})  # fmt: skip


def _keys(table: pd.DataFrame, groups: list[_groups.Group]) -> list[Any]:
    keys: list[Any] = [Patch(color=g.colour, alpha=0.55, label=g.label) for g in groups]
    keys += [
        _axes.key(mark.name, **mark.style)
        for mark in MARKS
        if any(not np.isnan(mark.day(p)) for p in table.itertuples())
    ]
    if (table["death_day"].isna() & ~table["lost"]).any():
        keys.append(_axes.key("alive at last contact", color=_axes.GREY, marker=">",
                              markersize=5, linestyle="-"))  # fmt: skip
    return keys
