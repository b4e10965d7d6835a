"""Operating characteristics: what designs select and whom they treat, scenario by scenario."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from cart_pkpd._core.errors import DataError
from cart_pkpd.plots import _axes, _text
from cart_pkpd.plots._dose import share_axis
from cart_pkpd.plots._given import drawn_from

_COLOURS = (_axes.BLUE, "#8fb8dc", _axes.GREY, "#6b4c9a", "#2f7d5b", "#c9a227")
_WIDTH = 0.8  # of a group of bars
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
        shaded.

    Raises
    ------
    DataError
        If the result is another one, or has more than six designs.
    """
    data = _grid(result, measure)
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
    keys.append(Patch(color=_axes.PALE, alpha=0.55, label="correct"))
    figure = axes[0].get_figure(root=True)
    assert figure is not None
    _axes.figure_legend(figure, keys)
    unit = str(data["dose"].attrs.get("units", ""))
    _axes.shared_labels(
        figure, f"{_text.with_unit('Dose', unit)} and true DLT probability", MEASURES[measure]
    )
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
    if data.sizes["design"] > len(_COLOURS):
        raise DataError(
            f"{data.sizes['design']} designs are too many for one picture; select at most "
            f"{len(_COLOURS)} with result.sel(design=[...])."
        )
    return data


def _top(data: xr.Dataset, measure: str) -> float:
    high = float(data[measure].max())
    if measure == "selected":
        high = max(high, float(data["none"].max()))
    return float(min(1.0, np.ceil(high * 10 + 0.3) / 10)) if high < 1 else 1.02


def _panel(ax: Axes, data: xr.Dataset, measure: str, names: list[str]) -> None:
    doses, p = data["dose"].values, data["p"].values.ravel()[-data.sizes["level"] :]
    correct = data["correct_level"].values.reshape(-1, data.sizes["level"])[-1]
    selects = measure == "selected"
    places = np.arange(1, doses.size + 1)
    none_right = bool(data["overdose_level"].values.reshape(-1, doses.size)[-1][0])
    shaded = places[correct] if not none_right else np.array([0]) if selects else np.array([])
    for place in shaded:
        ax.axvspan(place - 0.5, place + 0.5, color=_axes.PALE, alpha=0.55, linewidth=0, zorder=0.5)
    width = _WIDTH / len(names)
    for j, name in enumerate(names):
        one = data.sel(design=name)
        value, error = one[measure].values, one[f"{measure}_se"].values
        at = places.astype(float)
        if selects:
            at = np.append(0.0, at)
            value = np.append(one["none"].item(), value)
            error = np.append(one["none_se"].item(), error)
        x = at - _WIDTH / 2 + (j + 0.5) * width
        ax.bar(x, value, width * 0.92, color=_COLOURS[j], linewidth=0, zorder=2)
        ax.errorbar(x, value, yerr=2 * np.nan_to_num(error), fmt="none", ecolor=_axes.INK,
                    elinewidth=0.8, zorder=3)  # fmt: skip
    ax.grid(False, axis="x")
    ax.set_xlim(-0.55 if selects else 0.45, doses.size + 0.55)
    labels = ["none\n", *(f"{_plain(d)}\n{q:.2f}" for d, q in zip(doses, p, strict=True))]
    ax.xaxis.set_major_locator(FixedLocator([0, *places.tolist()] if selects else places.tolist()))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: labels[round(v)]))


def _plain(dose: float) -> str:
    return _text.dose(dose, "x").removesuffix(" x")
