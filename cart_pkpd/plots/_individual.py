"""Per-patient panels: data, individual prediction with its band, doses and other events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd.plots import _axes, _text
from cart_pkpd.plots._given import drawn_from
from cart_pkpd.plots._records import Records, records

_TYPICAL = "#98a0a9"
_LONGEST = 16  # characters of a patient's identifier
_DOSE: dict[str, Any] = {"marker": "^", "markersize": 5.5, "color": _axes.ORANGE,
                         "markeredgewidth": 0, "linestyle": "none"}  # fmt: skip
_EVENTS = ("D", "s", "P", "X", "*", "o", "p", "h")  # one shape for each kind of event, in turn


@drawn_from("checks.predictions(fit)", "median", "dv")
def individual(
    predictions: xr.Dataset,
    patients: Sequence[str] | None = None,
    *,
    ncols: int | None = None,
    time_scale: _axes.TimeScale = "linear",
    last: float | None = None,
) -> Figure:
    """Draw each patient's data with the individual and the typical prediction.

    Parameters
    ----------
    predictions : xr.Dataset
        From ``checks.predictions``: on dims ``id`` and ``grid`` (days in coord ``grid_time``),
        with the observations on dim ``obs``.
    patients : sequence of str, optional
        Which patients to draw, in this order; all by default.
    ncols : int, optional
        Panels per row; 3 or 4 by default.
    time_scale : {"linear", "log"}
        "log" is linear up to day 1.
    last : float, optional
        Draw up to this day only.

    Returns
    -------
    Figure
        One panel per patient with common axes, titled by patient and dose. Doses are triangles on
        the lower edge; other events, such as co-medication, marks on the upper one, open where
        something ended.

    Raises
    ------
    DataError
        If a patient is not in the predictions.
    """
    chosen = _chosen(predictions, patients)
    figure, panels = _axes.small_multiples(len(chosen), ncols, (2.5, 1.9), common="xy")
    time = grid_time(predictions).values
    end = max(float(time.max()), float(predictions["time"].max())) if last is None else last
    shown = predictions.isel(
        grid=np.flatnonzero(time <= end), obs=np.flatnonzero(predictions["time"].values <= end)
    )
    _limits(panels, shown, chosen, end, time_scale)
    known, titles, marks = records(shown), _titles(shown), _event_marks(shown, chosen)
    for ax, patient in zip(panels, chosen, strict=True):
        one = shown[_drawn(shown)].sel(id=patient)
        _curves(ax, shown, one)
        _data(ax, known.of(patient))
        _doses(ax, shown, patient)
        _events(ax, shown, patient, marks)
        _axes.heading(ax, titles[patient])
    _axes.shared_labels(figure, _axes.TIME_LABEL, _text.endpoint_label(predictions))
    _axes.figure_legend(figure, [*_keys(shown), *_given_keys(shown, marks)], ncols=3)
    return figure


def _chosen(predictions: xr.Dataset, patients: Sequence[str] | None) -> list[str]:
    known = [str(p) for p in predictions["id"].values]
    if patients is None:
        return known
    for patient in map(str, patients):
        if patient not in known:
            raise DataError(
                f"the predictions hold no patient {patient!r}.{did_you_mean(patient, known)} "
                f"Known: {', '.join(known)}."
            )
    return [str(p) for p in patients]


def grid_time(predictions: xr.Dataset) -> xr.DataArray:
    """Return the times of the prediction grid, in days."""
    return predictions["grid_time" if "grid_time" in predictions.coords else "grid"]


def _drawn(shown: xr.Dataset) -> list[str]:
    """Return the variables with a curve of each patient."""
    return [n for n in ("median", "lower", "upper", "typical") if n in shown]


def _curves(ax: Axes, shown: xr.Dataset, one: xr.Dataset) -> None:
    time = grid_time(shown).values
    if "typical" in one or "population" in shown:
        typical = one["typical"] if "typical" in one else shown["population"]
        ax.plot(time, typical.values, color=_TYPICAL, linewidth=1.3, zorder=2,
                label="population")  # fmt: skip
    lower, upper = one["lower"].values, one["upper"].values
    ax.fill_between(time, lower, upper, color=_axes.BLUE, alpha=0.22, linewidth=0, zorder=1.5)
    ax.plot(time, one["median"].values, color=_axes.BLUE, linewidth=1.6, zorder=3, label="median")


def _data(ax: Axes, mine: Records) -> None:
    exact = (mine.censoring == "none") & (mine.dv > 0)
    ax.plot(mine.time[exact], mine.dv[exact], linestyle="none", marker="o", markersize=3.4,
            color=_axes.INK, zorder=5, label="data")  # fmt: skip
    _axes.censored_marks(ax, mine.time, mine.dv, mine.censoring, _axes.INK, size=4.2)
    _axes.quantification_limit(ax, mine.lloq)


def _doses(ax: Axes, shown: xr.Dataset, patient: str) -> None:
    if "dose_time" not in shown.coords:
        return
    time = shown["dose_time"].values[shown["dose_patient"].values.astype(str) == patient]
    _edge(ax, time, 0.035, **_DOSE)


def _event_marks(shown: xr.Dataset, patients: list[str]) -> dict[str, str]:
    """Return the mark of each kind of event that these patients had."""
    if "event_name" not in shown:
        return {}
    here = np.isin(shown["event_patient"].values.astype(str), patients)
    names = sorted({str(n) for n in shown["event_name"].values[here]})
    return {name: _EVENTS[i % len(_EVENTS)] for i, name in enumerate(names)}


def _events(ax: Axes, shown: xr.Dataset, patient: str, marks: dict[str, str]) -> None:
    if not marks:
        return
    mine = shown["event_patient"].values.astype(str) == patient
    time, name = shown["event_time"].values[mine], shown["event_name"].values[mine].astype(str)
    ended = shown["event_value"].values[mine] == 0
    for kind, marker in marks.items():
        for off, face in ((False, _axes.ORANGE), (True, "white")):
            _edge(ax, time[(name == kind) & (ended == off)], 0.955, **_event_style(marker, face))


def _event_style(marker: str, face: str = _axes.ORANGE) -> dict[str, Any]:
    return {"marker": marker, "markersize": 4.5, "markerfacecolor": face, "linestyle": "none",
            "markeredgecolor": _axes.ORANGE, "markeredgewidth": 0.8}  # fmt: skip


def _edge(ax: Axes, time: Any, height: float, **style: Any) -> None:
    """Mark days at a height of the panel, those within its limits."""
    low, high = ax.get_xlim()
    inside = time[(time >= low) & (time <= high)]
    if inside.size:
        ax.plot(inside, np.full(inside.size, height), transform=ax.get_xaxis_transform(),
                zorder=6, **style)  # fmt: skip


def _titles(shown: xr.Dataset) -> dict[str, str]:
    """Return each patient's title: the identifier, and the dose where it is known."""
    patients = shown["id"].values.astype(str)
    if "dose_level" not in shown.variables:
        return {str(p): _shortened(p) for p in patients}
    unit, levels = _text.dose_unit(shown), shown["dose_level"].values.astype(float)
    return {
        str(p): f"{_shortened(p)}, {_text.dose(float(level), unit)}"
        for p, level in zip(patients, levels, strict=True)
    }


def _shortened(patient: str) -> str:
    """Return a patient's identifier, cut to what a panel's title holds."""
    return patient if len(patient) <= _LONGEST else f"{patient[: _LONGEST - 1]}…"


def _limits(
    panels: list[Axes],
    shown: xr.Dataset,
    patients: list[str],
    end: float,
    time_scale: _axes.TimeScale,
) -> None:
    """Set the common limits: all data, and the curves down to half a decade below them."""
    dv, lloq = shown["dv"].values, shown["lloq"].values
    data = np.concatenate([dv, lloq])
    curves = shown["median"].sel(id=patients).values
    data = data[np.isfinite(data) & (data > 0)]
    floor = float(data.min() if data.size else np.nanmin(curves[curves > 0])) / 3
    top = np.nanmax([*data, np.nanmax(curves)])
    first = min(0.0, float(shown["time"].min()) if shown.sizes["obs"] else 0.0)
    for ax in panels:
        _axes.log_levels(ax, [floor, top])
        _axes.time_axis(ax, first, end, time_scale, most=5)


def _keys(shown: xr.Dataset) -> list[Any]:
    prob = _text.percent(float(shown.attrs.get("prob", 0.9)))
    keys: list[Any] = [
        _axes.key("data", color=_axes.INK, marker="o", markersize=3.6, linestyle="none"),
        _axes.key("individual prediction (median)", color=_axes.BLUE, linewidth=1.8),
        Patch(color=_axes.BLUE, alpha=0.22, linewidth=0, label=f"{prob} credible interval"),
    ]
    if "typical" in shown:
        keys.append(_axes.key("typical patient, same doses", color=_TYPICAL, linewidth=1.5))
    elif "population" in shown:
        keys.append(_axes.key("typical patient (median)", color=_TYPICAL, linewidth=1.5))
    keys += _axes.censored_keys(shown["censoring"].values)
    units = str(shown.attrs.get("units") or shown["dv"].attrs.get("units", ""))
    return keys + _axes.limit_key(shown["lloq"].values, units)


def _given_keys(shown: xr.Dataset, marks: dict[str, str]) -> list[Any]:
    doses = [_axes.key("infusion", **_DOSE)] if shown.sizes.get("dosing") else []
    return doses + [
        _axes.key(name.replace("_", " "), **_event_style(marker)) for name, marker in marks.items()
    ]
