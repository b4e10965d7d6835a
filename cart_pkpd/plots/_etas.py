"""Patients' deviations from the population, and their course along covariates."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import one_of
from cart_pkpd.plots import _axes, _text
from cart_pkpd.plots._given import drawn_from

_MOST_COVARIATES = 6
_FEWEST = 8  # patients that a covariate needs to be drawn without being asked for
_POWERS = 1e5  # from here on ticks are written like doses, 5×10⁷, without an offset of the axis
_LOG_SPAN = 30.0  # a covariate that spans more is drawn on a log axis


@drawn_from("checks.etas(fit)", "shrinkage", "mean", "omega")
def etas(check: xr.Dataset, *, ncols: int | None = None) -> Figure:
    """Draw the distribution of patients' deviations beside the normal of the population.

    Parameters
    ----------
    check : xr.Dataset
        From ``checks.etas``.
    ncols : int, optional
        Panels in a row.

    Returns
    -------
    Figure
        One panel per parameter: histogram and marks of the posterior means, density of the
        normal with the estimated omega, shrinkage above.

    Raises
    ------
    DataError
        If the check has no patient.
    """
    if not check.sizes.get("id"):
        raise DataError("the check of deviations holds no patient: nothing to draw.")
    names = [str(n) for n in check["parameter"].values]
    figure, panels = _axes.small_multiples(len(names), ncols, (2.7, 2.5))
    for name, ax in zip(names, panels, strict=True):
        _distribution(ax, check.sel(parameter=name))
        _axes.heading(
            ax, _name(check, name).removeprefix("η "), note=f"shrinkage {_percent(check, name)}"
        )
    _axes.shared_labels(figure, "Deviation from the population (free scale)", "Density")
    _axes.figure_legend(figure, [
        _axes.key("posterior means", color=_axes.BLUE, linewidth=6, alpha=0.35),
        _axes.key("patient", color=_axes.BLUE, marker="|", markersize=7, linestyle="none"),
        _axes.key("normal with omega", color=_axes.INK, linewidth=1.3),
    ])  # fmt: skip
    return figure


def _name(check: xr.Dataset, parameter: str) -> str:
    """Return what a deviation is called: ``η cmax``, or ``κ cmax, occasion 2``."""
    if "label" not in check.coords:
        return f"η {parameter}"
    return str(check["label"].sel(parameter=parameter).item())


def _percent(check: xr.Dataset, name: str) -> str:
    value = float(check["shrinkage"].sel(parameter=name))
    return f"{100 * value:.0f}{_text.THIN}%".replace("-", "−") if np.isfinite(value) else "unknown"


def _distribution(ax: Axes, one: xr.Dataset) -> None:
    eta, omega = one["mean"].values, float(one["omega"])
    reach = max(3.2 * omega, float(np.abs(eta).max()) * 1.08)
    bins = np.linspace(-reach, reach, max(9, 2 * int(np.sqrt(eta.size)) + 1))
    ax.hist(eta, bins.tolist(), density=True, color=_axes.BLUE, alpha=0.35, edgecolor="white",
            linewidth=0.6, zorder=2)  # fmt: skip
    x = np.linspace(-reach, reach, 161)
    density = np.exp(-0.5 * (x / omega) ** 2) / (omega * np.sqrt(2 * np.pi))
    ax.plot(x, density, color=_axes.INK, linewidth=1.3, zorder=3, label="normal")
    ax.plot(eta, np.zeros(eta.size), marker="|", markersize=7, linestyle="none",
            color=_axes.BLUE, clip_on=False, zorder=4, label="patients")  # fmt: skip
    ax.set_xlim(-reach, reach)
    ax.set_ylim(bottom=0)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.yaxis.set_major_locator(MaxNLocator(4))


@drawn_from("checks.etas(fit)", "spearman", "mean")
def eta_covariates(
    check: xr.Dataset,
    covariates: Sequence[str] | None = None,
    parameters: Sequence[str] | None = None,
) -> Figure:
    """Draw patients' deviations along covariates.

    Parameters
    ----------
    check : xr.Dataset
        From ``checks.etas``.
    covariates : sequence of str, optional
        Columns of the figure; by default the six with the strongest rank correlations
        in eight or more patients.
    parameters : sequence of str, optional
        Rows of the figure; all by default.

    Returns
    -------
    Figure
        Posterior means with their intervals; Spearman's correlation with its interval above,
        in bold where the interval excludes 0. Text covariates have a column and a median per
        value.

    Raises
    ------
    DataError
        If there is no covariate to draw.
    ValueError
        For a name that is not in the check.
    """
    known = [str(c) for c in check["covariate"].values]
    rows = [str(p) for p in check["parameter"].values]
    columns = [one_of(c, known, "covariate") for c in covariates or _strongest(check)]
    if not columns:
        raise DataError("no covariate varies between these patients: nothing to draw.")
    chosen = [one_of(p, rows, "varying parameter") for p in parameters or rows]
    figure, panels = _axes.grid(
        len(chosen), len(columns), (max(2.1, 6.4 / len(columns)), 2.0), axes_class=_axes.SmallPanel,
        sharex="col", sharey="row",
    )  # fmt: skip
    for i, parameter in enumerate(chosen):
        for j, covariate in enumerate(columns):
            one = check.sel(parameter=parameter, covariate=covariate)
            _one_covariate(panels[i, j], one)
        _axes.label(panels[i, 0], y=_name(check, parameter).replace(", ", ",\n"))
    letters = int(13 * figure.get_figwidth() / len(columns))  # that one panel is wide
    for j, covariate in enumerate(columns):
        label = _covariate_label(check, covariate)
        _axes.label(panels[-1, j], x="\n".join(textwrap.wrap(label, letters)))
    text = bool((check["text"].sel(covariate=columns).values.astype(str) != "").any())
    _axes.figure_legend(figure, _covariate_keys(check, text), ncols=2)
    return figure


def _covariate_keys(check: xr.Dataset, text: bool) -> list[Line2D]:
    share = _text.percent(float(check.attrs.get("prob", 0.9)))
    keys = [
        _axes.key(f"patient: posterior mean, {share} interval", color=_axes.BLUE, marker="o",
                  markersize=4, markeredgewidth=0, linestyle="none"),
        _axes.key(f"ρ: rank correlation, {share} interval (bold: not 0)", linestyle="none"),
    ]  # fmt: skip
    median = _axes.key("median of the category", color=_axes.INK, linewidth=1.6)
    return [*keys, median] if text else keys


def _strongest(check: xr.Dataset) -> list[str]:
    strength = np.abs(check["spearman"].where(check["n"] >= _FEWEST).values)
    strength = np.nan_to_num(strength, nan=-1.0).max(axis=0, initial=-1.0)
    order = np.argsort(-strength, kind="stable")[:_MOST_COVARIATES]
    return [str(check["covariate"].values[i]) for i in order if strength[i] >= 0]


def _covariate_label(check: xr.Dataset, name: str) -> str:
    one = check.sel(covariate=name)
    text = str(one["covariate_label"].item()) or _text.name_of(xr.DataArray(0.0, name=name))
    return _text.with_unit(text, str(one["covariate_units"].item()))


def _one_covariate(ax: Axes, one: xr.Dataset) -> None:
    x, eta = one["value"].values, one["mean"].values
    known = np.isfinite(x)
    text = one["text"].values.astype(str)
    levels = np.unique(text[text != ""])
    shown = x + _spread(x, known) if levels.size else x
    ax.vlines(shown[known], one["lower"].values[known], one["upper"].values[known],
              color=_axes.PALE, linewidth=1.0, zorder=1.5)  # fmt: skip
    ax.plot(shown[known], eta[known], marker="o", markersize=3.4, linestyle="none", alpha=0.75,
            color=_axes.BLUE, markeredgewidth=0, zorder=3, label="patients")  # fmt: skip
    ax.axhline(0.0, color=_axes.GREY, linewidth=0.8, zorder=1)
    if levels.size:
        _levels(ax, x, eta, levels)
    elif known.any() and x[known].min() > 0 and x[known].max() > _LOG_SPAN * 0.999 * x[known].min():
        _log_axis(ax, x[known])
    else:
        ax.xaxis.set_major_locator(MaxNLocator(4))
        if known.any() and np.abs(x[known]).max() >= _POWERS:
            ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: _text.dose(v, " ").strip()))
    _correlation(ax, one)


def _log_axis(ax: Axes, x: _axes.Floats) -> None:
    ax.set_xscale("log")
    lower, upper = float(x.min()) / 1.3, float(x.max()) * 1.3
    ax.set_xlim(lower, upper)
    _axes.level_axis(ax.xaxis, lower, upper)
    ax.xaxis.set_minor_formatter(NullFormatter())


def _spread(x: Any, known: Any) -> Any:
    """Return small shifts that keep patients of one level apart, the same in every panel."""
    shift = np.zeros(x.size)
    for level in np.unique(x[known]):
        members = np.flatnonzero(x == level)
        shift[members] = np.linspace(-0.22, 0.22, members.size) if members.size > 1 else 0.0
    return shift


def _levels(ax: Axes, x: Any, eta: Any, levels: Any) -> None:
    for i, _ in enumerate(levels):
        if (x == i).any():
            ax.hlines(np.median(eta[x == i]), i - 0.3, i + 0.3, color=_axes.INK, linewidth=1.6,
                      zorder=4)  # fmt: skip
    rotated = max(len(str(v)) for v in levels) * levels.size > 18
    ax.set_xticks(range(levels.size), [str(v) for v in levels], rotation=35 if rotated else 0,
                  ha="right" if rotated else "center")  # fmt: skip
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlim(-0.6, levels.size - 0.4)


def _correlation(ax: Axes, one: xr.Dataset) -> None:
    r, low, high = (float(one[n]) for n in ("spearman", "spearman_lower", "spearman_upper"))
    if not np.isfinite(r):
        return
    text = f"ρ = {r:.2f} ({low:.2f} to {high:.2f})".replace("-", "−")
    ax.set_title(text, loc="left", fontsize=_axes.SMALL - 1, color=_axes.INK, y=1.0, pad=3,
                 fontweight="bold" if low > 0 or high < 0 else "normal")  # fmt: skip
