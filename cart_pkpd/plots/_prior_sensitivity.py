"""How much each posterior owes to its priors and to the data."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from cart_pkpd._core.errors import DataError
from cart_pkpd.plots import _axes
from cart_pkpd.plots._given import drawn_from

_ROW, _LEAST = 0.27, 1e-3
_TICKS = (0.001, 0.01, 0.05, 0.2, 1.0)
_FINE = ("data decide",)


@drawn_from("checks.prior_sensitivity(fit)", "prior")
def prior_sensitivity(found: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the sensitivity of each quantity's posterior to the priors and to the data.

    Parameters
    ----------
    found : xr.Dataset
        From ``checks.prior_sensitivity``.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        A row per quantity: dots for the priors and diamonds for the data, on a log axis that ends
        at 0.001; the threshold; on the right the diagnosis where the data do not decide.

    Raises
    ------
    DataError
        If no quantity has a sensitivity.
    """
    prior, data = found["prior"].to_numpy(), found["likelihood"].to_numpy()
    if not np.isfinite([prior, data]).any():
        why = "; ".join(dict.fromkeys(v for v in found["reason"].to_numpy().tolist() if v))
        raise DataError(f"no quantity has a sensitivity: {why or 'nothing was fitted'}.")
    names = [str(n) for n in found["quantity"].to_numpy()]
    diagnosis = [str(d) for d in found["diagnosis"].to_numpy()]
    ax = _axes.axes(ax, size=(7.2, 1.5 + _ROW * len(names)))
    row = np.arange(len(names))
    threshold = float(found.attrs["threshold"])
    low, high = np.fmin(prior, data), np.fmax(prior, data)
    ax.hlines(row, np.maximum(low, _LEAST), np.maximum(high, _LEAST), color=_axes.PALE,
              linewidth=2.0, zorder=1)  # fmt: skip
    for value, style in ((prior, _PRIOR), (data, _DATA)):
        ax.plot(np.maximum(value, _LEAST), row, zorder=3, **style)
    ax.axvline(threshold, zorder=2, **_LIMIT)
    most = float(np.nanmax([prior, data]))
    _finish(ax, names, diagnosis, max(1.0, most) * 1.5)
    _axes.legend(ax, [
        _axes.key("to the priors", **_PRIOR),
        _axes.key("to the data", **_DATA),
        _axes.key(f"threshold {threshold:g}", **_LIMIT),
    ])  # fmt: skip
    return ax


_PRIOR: dict[str, Any] = {"marker": "o", "markersize": 6, "linestyle": "none", "color": _axes.BLUE}
_DATA: dict[str, Any] = {"marker": "D", "markersize": 5, "linestyle": "none", "color": _axes.ORANGE}

_LIMIT: dict[str, Any] = {"color": _axes.INK, "linewidth": 1.0, "linestyle": (0, (4, 2))}


def _finish(ax: Axes, names: list[str], diagnosis: list[str], most: float) -> None:
    ax.set_xscale("log")
    ax.set_xlim(_LEAST / 1.3, most)
    ax.xaxis.set_major_locator(FixedLocator(list(_TICKS)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.grid(False, axis="y")
    for y, said in enumerate(diagnosis):
        if said not in _FINE:
            ax.annotate(said, (1.0, y), xycoords=("axes fraction", "data"), xytext=(6, 0),
                        textcoords="offset points", va="center", fontsize=_axes.SMALL,
                        color=_axes.INK)  # fmt: skip
    _axes.label(ax, "Sensitivity of the posterior, per doubling of what acts on it")
