"""Chains of a sampler: traces and ranks, to see whether they agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scipy import stats

from cart_pkpd._core.errors import DataError
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd._fit.fitted import PopulationFit
from cart_pkpd.plots import _axes, _text
from cart_pkpd.plots._given import tree_of

_CHAINS = ("#0b5a9d", "#b8480a", "#00755e", "#8c3f7d", "#7a6200", "#3f4854")
_BINS = 20


def trace(
    tree: xr.DataTree | PopulationFit,
    parameters: Sequence[str] | None = None,
    *,
    ncols: int | None = None,
) -> Figure:
    """Draw the draws of each chain in order, with divergent draws marked.

    Parameters
    ----------
    tree : fit or xr.DataTree
        A fit, or its results with group ``posterior`` and, if present, ``sample_stats``.
    parameters : sequence of str, optional
        Which to draw; by default every variable with dims ``chain`` and ``draw`` only.
    ncols : int, optional
        Panels per row.

    Returns
    -------
    Figure
        One panel per parameter.

    Raises
    ------
    DataError
        If a parameter is not in the posterior.
    """
    tree = tree_of(tree, "trace")
    draws = scalars(tree, parameters)
    diverging = _diverging(tree)
    figure, panels = _axes.small_multiples(len(draws), ncols, (2.75, 1.45), common="x")
    for ax, variable in zip(panels, draws, strict=True):
        for i, chain in enumerate(variable.values):
            ax.plot(chain, color=_CHAINS[i % len(_CHAINS)], linewidth=0.4, alpha=0.7)
        for at in np.flatnonzero(diverging.any(axis=0)) if diverging is not None else ():
            ax.axvline(float(at), ymax=0.06, color=_axes.INK, linewidth=0.7)
        ax.yaxis.set_major_locator(MaxNLocator(3))
        ax.yaxis.set_major_formatter(lambda value, _: _text.short(value))
        ax.xaxis.set_major_locator(MaxNLocator(3, integer=True))
        ax.margins(x=0.01)
        _axes.heading(ax, _text.label(variable))
    _axes.shared_labels(figure, "Draw")
    keys = _chain_keys(draws[0].sizes["chain"])
    if diverging is not None and diverging.any():
        keys.append(_axes.key(f"divergent draw ({int(diverging.sum())} in all)", linestyle="none",
                              marker="|", markersize=8, color=_axes.INK))  # fmt: skip
    _axes.figure_legend(figure, keys)
    return figure


def ranks(
    tree: xr.DataTree | PopulationFit,
    parameters: Sequence[str] | None = None,
    *,
    ncols: int | None = None,
) -> Figure:
    """Draw how each chain's draws rank among all draws: level lines mean that chains agree.

    Parameters
    ----------
    tree : fit or xr.DataTree
        A fit, or its results with group ``posterior``.
    parameters : sequence of str, optional
        Which to draw; by default every variable with dims ``chain`` and ``draw`` only.
    ncols : int, optional
        Panels per row.

    Returns
    -------
    Figure
        One panel per parameter: share of a chain's draws in each twentieth of all draws,
        relative to a twentieth. The grey band holds 99 % of the values expected of
        independent draws; correlated draws go beyond it somewhat.

    Raises
    ------
    DataError
        If a parameter is not in the posterior.

    References
    ----------
    .. [1] Vehtari et al., Bayesian Analysis 16 (2021) 667, rank plots.
    """
    draws = scalars(tree_of(tree, "ranks"), parameters)
    figure, panels = _axes.small_multiples(len(draws), ncols, (2.75, 1.45), common="xy")
    n = draws[0].sizes["draw"]
    band = stats.binom.ppf([0.005, 0.995], n, 1 / _BINS) * _BINS / n
    shares = [_rank_shares(variable) for variable in draws]
    top = 1.06 * max(float(band[1]), *(float(share.max()) for share in shares))
    for ax, variable, share in zip(panels, draws, shares, strict=True):
        _rank_panel(ax, share, band, top)
        _axes.heading(ax, _text.label(variable))
    _axes.shared_labels(figure, "Rank among all draws (% of draws)", "Share of chain\n(1 = equal)")
    keys = _chain_keys(draws[0].sizes["chain"])
    text = f"99{_text.THIN}% of independent draws"
    _axes.figure_legend(figure, [*keys, Patch(color=_axes.PALE, linewidth=0, label=text)], ncols=6)
    return figure


def _rank_shares(variable: xr.DataArray) -> NDArray[np.float64]:
    """Return each chain's share of each twentieth of all draws; shape (chains, 20)."""
    order = stats.rankdata(variable.values, method="ordinal").reshape(variable.shape)
    edges = np.linspace(0.5, variable.size + 0.5, _BINS + 1)
    counts = [np.histogram(chain, edges)[0] for chain in order]
    return np.array(counts) * _BINS / order.shape[1]


def _rank_panel(ax: Axes, shares: NDArray[np.float64], band: Any, top: float) -> None:
    ax.set_xlim(-2, 102)
    ax.set_ylim(0, top)
    ax.axhspan(band[0], band[1], color=_axes.PALE, alpha=0.7, linewidth=0)
    for i, share in enumerate(shares):
        ax.stairs(share, np.linspace(0, 100, _BINS + 1), color=_CHAINS[i % len(_CHAINS)],
                  linewidth=1.0, baseline=None)  # fmt: skip
    ax.set_xticks([0, 50, 100])
    ax.grid(False)


def scalars(tree: xr.DataTree, parameters: Sequence[str] | None) -> list[xr.DataArray]:
    """Return the posterior variables to draw, dims (chain, draw)."""
    found = tree["posterior"].to_dataset()
    known = [str(v) for v in found.data_vars if set(found[v].dims) == {"chain", "draw"}]
    for name in parameters or ():
        if name not in known:
            raise DataError(
                f"the posterior holds no parameter {name!r} with dims chain and draw."
                f"{did_you_mean(name, known)} Known: {', '.join(known)}."
            )
    chosen = list(parameters or known)
    if not chosen:
        raise DataError("the posterior holds no variable with dims chain and draw only.")
    return [found[name].transpose("chain", "draw") for name in chosen]


def _diverging(tree: xr.DataTree) -> Any:
    if "sample_stats" not in tree.children or "diverging" not in tree["sample_stats"]:
        return None
    return tree["sample_stats"]["diverging"].transpose("chain", "draw").values.astype(bool)


def _chain_keys(n: int) -> list[Any]:
    shown = min(n, len(_CHAINS))
    return [_axes.key(f"chain {i + 1}", color=_CHAINS[i], linewidth=1.6) for i in range(shown)]
