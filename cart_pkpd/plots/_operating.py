"""Operating characteristics: what designs select and whom they treat, scenario by scenario."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from cart_pkpd._core.errors import DataError
from cart_pkpd.plots import _axes, _text
from cart_pkpd.plots._dose import share_axis
from cart_pkpd.plots._given import drawn_from

_COLOURS = (_axes.BLUE, "#8fb8dc", _axes.GREY, "#6b4c9a", "#2f7d5b", "#c9a227")
_WIDTH = 0.8  # of a group of bars
_DARK = 0.55  # share from which a tile is dark enough for white letters
MEASURES = {"selected": "Trials that select the level", "patient_share": "Patients at the level"}


@drawn_from("dose.compare_designs(designs, scenarios)")
def operating_characteristics(
    result: xr.Dataset, *, measure: str = "selected", ncols: int | None = None
) -> list[Axes]:
    """Draw the share of trials that select each level, or of patients treated there.

    Parameters
    ----------
    result : xr.Dataset
        From ``dose.compare_designs`` or ``dose.simulate_trials``.
    measure : {"selected", "patient_share"}
    ncols : int, optional
        Panels per row; chosen by their number by default.

    Returns
    -------
    list of Axes
        One per scenario, with a bar per design and level, ± 2 Monte-Carlo standard errors; "none"
        on the left. True DLT probabilities stand below the doses; the correct level, or none, is
        shaded. More than six designs are drawn as rows of tiles with their shares in per cent; the
        correct choice is framed.

    Raises
    ------
    DataError
        If the result is another one.
    """
    data = _grid(result, measure)
    if data.sizes["design"] > len(_COLOURS):
        return _tiles(data, measure, ncols)
    panels = data.sizes["scenario"]
    bars = (data.sizes["level"] + 1) * data.sizes["design"]
    _, axes = _axes.small_multiples(panels, ncols, (max(3.4, 0.16 * bars + 1.0), 2.7), common="y")
    names = [str(d) for d in data["design"].values]
    top = _top(data, measure)
    for i, ax in enumerate(axes):
        _panel(ax, data.isel(scenario=i), measure, names)
        ax.set_ylim(0, top)
        share_axis(ax.yaxis, 0.2)
        _axes.heading(ax, str(data["scenario"].values[i]))
    keys: list[Any] = [Patch(color=c, label=n) for c, n in zip(_COLOURS, names, strict=False)]
    if names == [""]:
        keys = []
    keys += [Patch(color=_axes.PALE, alpha=0.55, label="correct"),
             _axes.key("± 2 Monte-Carlo SE", color=_axes.INK, marker="|", markersize=9,
                       markeredgewidth=0.8, linestyle="none")]  # fmt: skip
    figure = axes[0].get_figure(root=True)
    assert figure is not None
    _axes.figure_legend(figure, keys)
    _axes.shared_labels(figure, _dose_label(data), MEASURES[measure])
    return axes


def _grid(result: xr.Dataset, measure: str) -> xr.Dataset:
    """Return the result with dims design and scenario, whatever it came from."""
    if measure not in MEASURES:
        known = ", ".join(repr(m) for m in MEASURES)
        raise ValueError(f"unknown measure {measure!r}. Known: {known}.")
    if "selected" not in result or "correct_level" not in result:
        raise DataError(
            "there are no operating characteristics in this Dataset; pass the result of "
            "dose.compare_designs or dose.simulate_trials."
        )
    data = result.drop_dims("trial", errors="ignore")
    for dim in ("design", "scenario"):
        if dim not in data.dims:
            data = data.expand_dims({dim: [""]})
    return data


def _top(data: xr.Dataset, measure: str) -> float:
    high = float(data[measure].max())
    if measure == "selected":
        high = max(high, float(data["none"].max()))
    return float(min(1.0, np.ceil(high * 10 + 0.3) / 10)) if high < 1 else 1.02


def _tiles(data: xr.Dataset, measure: str, ncols: int | None) -> list[Axes]:
    """Draw a row per design and a tile per choice, darker where it is more frequent."""
    names = [str(d) for d in data["design"].values]
    columns = data.sizes["level"] + (measure == "selected")
    letters = max(len(n) for n in names)
    size = (0.62 * columns + 0.085 * letters + 0.5, 0.27 * len(names) + 0.95)
    _, axes = _axes.small_multiples(data.sizes["scenario"], ncols, size, common="y")
    for i, ax in enumerate(axes):
        one = data.isel(scenario=i)
        choices = _choices(one, measure)
        _rows_of_tiles(ax, one, measure, choices)
        ax.yaxis.set_major_locator(FixedLocator(list(range(len(names)))))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: names[round(v)]))
        ax.set_ylim(len(names) - 0.5, -0.5)
        _level_axis(ax, choices)
        _axes.heading(ax, str(data["scenario"].values[i]))
    figure = axes[0].get_figure(root=True)
    assert figure is not None
    keys: list[Any] = [
        Patch(facecolor="none", edgecolor=_axes.INK, linewidth=1.4, label="correct"),
        Patch(color=_axes.BLUE, alpha=0.5, label=f"{MEASURES[measure].lower()}, per cent"),
    ]
    _axes.figure_legend(figure, keys)
    _axes.shared_labels(figure, _dose_label(data))
    return axes


def _rows_of_tiles(ax: Axes, data: xr.Dataset, measure: str, choices: _Choices) -> None:
    for y, name in enumerate(data["design"].values):
        shares = data[measure].sel(design=name).values
        if choices.none:
            shares = np.append(data["none"].sel(design=name).item(), shares)
        for x, share in zip(choices.places, shares, strict=True):
            ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=_axes.BLUE,
                                   alpha=float(share), edgecolor="none", zorder=1))  # fmt: skip
            ax.annotate(f"{100 * share:.0f}", (x, y), ha="center", va="center", zorder=3,
                        fontsize=_axes.SMALL,
                        color="white" if share > _DARK else _axes.INK)  # fmt: skip
    for x in choices.correct:
        ax.add_patch(Rectangle((x - 0.5, -0.5), 1, data.sizes["design"], fill=False,
                               edgecolor=_axes.INK, linewidth=1.4, zorder=4,
                               clip_on=False))  # fmt: skip
    ax.grid(False)


@dataclass(frozen=True)
class _Choices:
    """What may be selected in one scenario: places on the x axis, names, and what is correct."""

    places: tuple[int, ...]
    labels: tuple[str, ...]
    correct: tuple[int, ...]
    none: bool


def _choices(data: xr.Dataset, measure: str) -> _Choices:
    """Return the levels of one scenario, with "none" on the left where selections are shown."""
    k = data.sizes["level"]
    p = data["p"].values.ravel()[-k:]
    correct = data["correct_level"].values.reshape(-1, k)[-1]
    none = measure == "selected"
    none_right = bool(data["overdose_level"].values.reshape(-1, k)[-1][0])
    places = tuple(range(0 if none else 1, k + 1))
    labels = [f"{_plain(d)}\n{q:.2f}" for d, q in zip(data["dose"].values, p, strict=True)]
    right = [0] * none if none_right else [j + 1 for j in range(k) if correct[j]]
    return _Choices(places, tuple(["none\n"] * none + labels), tuple(right), none)


def _level_axis(ax: Axes, choices: _Choices) -> None:
    names = dict(zip(choices.places, choices.labels, strict=True))
    ax.set_xlim(choices.places[0] - 0.55, choices.places[-1] + 0.55)
    ax.xaxis.set_major_locator(FixedLocator(list(choices.places)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: names[round(v)]))


def _dose_label(data: xr.Dataset) -> str:
    unit = str(data["dose"].attrs.get("units", ""))
    return f"{_text.with_unit('Dose', unit)} and true DLT probability"


def _panel(ax: Axes, data: xr.Dataset, measure: str, names: list[str]) -> None:
    choices = _choices(data, measure)
    for place in choices.correct:
        ax.axvspan(place - 0.5, place + 0.5, color=_axes.PALE, alpha=0.55, linewidth=0, zorder=0.5)
    width = _WIDTH / len(names)
    for j, name in enumerate(names):
        one = data.sel(design=name)
        value, error = one[measure].values, one[f"{measure}_se"].values
        if choices.none:
            value = np.append(one["none"].item(), value)
            error = np.append(one["none_se"].item(), error)
        x = np.array(choices.places) - _WIDTH / 2 + (j + 0.5) * width
        ax.bar(x, value, width * 0.92, color=_COLOURS[j], linewidth=0, zorder=2)
        ax.errorbar(x, value, yerr=2 * np.nan_to_num(error), fmt="none", ecolor=_axes.INK,
                    elinewidth=0.8, zorder=3)  # fmt: skip
    ax.grid(False, axis="x")
    _level_axis(ax, choices)


def _plain(dose: float) -> str:
    return _text.dose(dose, "x").removesuffix(" x")
