"""Which of two fits predicts each patient better when the patient is left out."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import one_of
from cart_pkpd.plots import _axes, _text
from cart_pkpd.plots._given import drawn_from

_ROW = 0.24


@drawn_from("compare.patients({'a': fit, 'b': other})", "elpd", "total_elpd")
def patient_elpd(
    found: xr.Dataset,
    fit: str | None = None,
    against: str | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Draw by how much each patient, left out, is predicted better by one fit than by another.

    Parameters
    ----------
    found : xr.Dataset
        From ``compare.patients``: dims fit, id.
    fit, against : str, optional
        The two fits; by default those with the highest and the next highest elpd.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        A row per patient, sorted; bars from 0 to the difference of elpd, coloured by the fit
        that predicts the patient better; thin lines of two Monte-Carlo standard errors; open
        marks where an estimate is not to be trusted. The sum and its standard error above.

    Raises
    ------
    DataError
        If there are fewer than two fits, or no fit of that name; for what is of another function.
    """
    fit, against = _pair(found, fit, against)
    one, other = found.sel(fit=fit), found.sel(fit=against)
    difference = (one["elpd"] - other["elpd"]).to_numpy()
    error = np.hypot(one["mcse"].to_numpy(), other["mcse"].to_numpy())
    doubt = (one["reason"].to_numpy() != "") | (other["reason"].to_numpy() != "")
    order = np.argsort(-difference, kind="stable")
    ax = _axes.axes(ax, size=(7.2, 1.9 + _ROW * order.size))
    for y, i in enumerate(order):
        _row(ax, y, float(difference[i]), float(error[i]), bool(doubt[i]))
    ax.axvline(0, color=_axes.GREY, linewidth=0.9, zorder=1)
    ax.set_yticks(range(order.size), [str(v) for v in found["id"].to_numpy()[order]])
    ax.set_ylim(order.size - 0.4, -0.6)
    ax.grid(False, axis="y")
    _axes.label(ax, f"Difference in elpd (ln units): {fit} minus {against}")
    ax.set_title(_said(difference, fit, against), loc="left", fontsize=_axes.SMALL,
                 color=_axes.INK, pad=6)  # fmt: skip
    _axes.side_legend(ax, _keys(fit, against, doubt), "Patient left out is")
    return ax


def _pair(found: xr.Dataset, fit: str | None, against: str | None) -> tuple[str, str]:
    names = [str(n) for n in found["fit"].to_numpy()]
    if len(names) < 2:
        raise DataError("one fit has nothing to be compared with; give compare.patients two.")
    for name in (fit, against):
        if name is not None:
            one_of(name, names, "fit", error=DataError)
    total = np.nan_to_num(found["total_elpd"].to_numpy(), nan=-np.inf)
    best = [names[i] for i in np.argsort(-total, kind="stable")]
    first = fit or next(n for n in best if n != against)
    second = against or next(n for n in best if n != first)
    if first == second:
        raise DataError(f"{first!r} cannot be compared with itself; name two fits.")
    return first, second


def _row(ax: Axes, y: int, difference: float, error: float, doubt: bool) -> None:
    if not np.isfinite(difference):
        ax.annotate("no elpd", (0, y), xytext=(4, 0), textcoords="offset points", va="center",
                    fontsize=_axes.SMALL, color=_axes.GREY, style="italic")  # fmt: skip
        return
    colour = _axes.BLUE if difference > 0 else _axes.ORANGE
    ax.plot([0, difference], [y, y], color=colour, linewidth=3.2, solid_capstyle="butt", alpha=0.45)
    ends = [difference - 2 * error, difference + 2 * error]
    ax.plot(ends, [y, y], color=_axes.INK, linewidth=1.0, zorder=2.5)
    ax.plot([difference], [y], marker="o", markersize=6, color=colour, zorder=3,
            markerfacecolor="white" if doubt else colour)  # fmt: skip


def _said(difference: np.ndarray, fit: str, against: str) -> str:
    known = difference[np.isfinite(difference)]
    if known.size < 2:
        return ""
    total, better = float(known.sum()), int((known > 0).sum())
    error = float(np.sqrt(known.size) * known.std())  # as in the table of compare.models
    return (
        f"Sum {_text.number(total)} ± {_text.number(error, 2)} (SE over patients); "
        f"{better} of {_text.count(known.size, 'patient')} predicted better by {fit}"
    )


def _keys(fit: str, against: str, doubt: np.ndarray) -> list[object]:
    mark = {"marker": "o", "linestyle": "none", "markersize": 6}
    keys: list[object] = [
        _axes.key(f"predicted better by {fit}", color=_axes.BLUE, **mark),
        _axes.key(f"predicted better by {against}", color=_axes.ORANGE, **mark),
        _axes.key("± 2 Monte-Carlo SE", color=_axes.INK, linewidth=1.0),
    ]
    if doubt.any():
        open_mark = {**mark, "markerfacecolor": "white", "color": _axes.GREY}
        keys.append(_axes.key("not to be trusted (see reason)", **open_mark))
    return keys
