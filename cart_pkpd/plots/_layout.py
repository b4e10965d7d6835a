"""Placing a grid of small panels in one measuring pass.

Matplotlib's constrained layout measures every artist of every panel twice, which for twenty
panels takes longer than drawing them. Panels of the house style need less: their ticks do not
move with their size, and nothing but tick labels and headings stands outside them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import LayoutEngine
from matplotlib.text import Text
from numpy.typing import NDArray

_EDGE, _GAP, _ROW_GAP = 0.06, 0.14, 0.09  # inches: around the figure, between columns, rows
_X, _Y = "shared x label", "shared y label"


def share_label(figure: Figure, axis: str, text: str, **style: Any) -> None:
    """Label the x or y axes of all panels once, at the edge of the figure."""
    if axis == "x":
        figure.supxlabel(text, **style).set_gid(_X)
    else:
        figure.supylabel(text, **style).set_gid(_Y)


class PanelGrid(LayoutEngine):
    """Gives all panels of a plain grid the same size, with room for labels and the legend."""

    _adjust_compatible = False
    _colorbar_gridspec = False

    def execute(self, fig: Figure) -> None:
        """Place panels and shared labels."""
        renderer = fig.canvas.get_renderer()  # type: ignore[attr-defined]
        size = np.array([fig.bbox.width, fig.bbox.height])
        left, bottom, top = _outside(fig, renderer)
        panels = [ax for ax in fig.axes if ax.get_subplotspec() is not None]
        if not panels:
            return
        edge, gap = _EDGE * fig.dpi, _GAP * fig.dpi
        pads = _Pads(panels, renderer)
        x, width = _places(pads.left, pads.right, left + edge, size[0] - edge, gap)
        for ax in panels:
            _fit_heading(ax, width, renderer)
            pads.add_heading(ax, renderer)
        y, height = _places(
            pads.top, pads.bottom, top + edge, size[1] - bottom - edge, _ROW_GAP * fig.dpi
        )
        for ax in panels:
            row, column = _cell(ax)
            box = (x[column], size[1] - y[row] - height, width, height)
            ax.set_position((np.array(box) / np.tile(size, 2)).tolist())
        middle = ((x[0] + x[-1] + width) / 2, size[1] - (y[0] + y[-1] + height) / 2)
        for text in fig.texts:
            if text.get_gid() == _X:
                text.set_position((middle[0] / size[0], edge / size[1]))
            elif text.get_gid() == _Y:
                text.set_position((edge / size[0], middle[1] / size[1]))


class _Pads:
    """How far labels and headings reach out of the panels, by column and row, in pixels."""

    def __init__(self, panels: list[Axes], renderer: Any) -> None:
        spec = panels[0].get_subplotspec()
        assert spec is not None
        rows, columns = spec.get_gridspec().get_geometry()
        self.left, self.right = np.zeros(columns), np.zeros(columns)
        self.top, self.bottom = np.zeros(rows), np.zeros(rows)
        for ax in panels:
            row, column = _cell(ax)
            left, bottom, right = _reach(ax, renderer)
            self.left[column] = max(self.left[column], left)
            self.right[column] = max(self.right[column], right)
            self.bottom[row] = max(self.bottom[row], bottom)

    def add_heading(self, ax: Axes, renderer: Any) -> None:
        """Make room for a panel's heading, which is as wide as the panel at most."""
        row, _ = _cell(ax)
        texts = [t for t in (ax.title, _heading(ax), *ax.texts) if t.get_text()]
        upper = max((t.get_window_extent(renderer).y1 for t in texts), default=0.0)
        self.top[row] = max(self.top[row], upper - ax.get_window_extent(renderer).y1)


def _cell(ax: Axes) -> tuple[int, int]:
    spec = ax.get_subplotspec()
    assert spec is not None
    return spec.rowspan.start, spec.colspan.start


def _reach(ax: Axes, renderer: Any) -> tuple[float, float, float]:
    """Return how far the panel's axis labels reach beyond it: left, bottom, right."""
    panel = ax.get_window_extent(renderer)
    boxes = [axis.get_tightbbox(renderer, for_layout_only=True) for axis in (ax.xaxis, ax.yaxis)]
    found = [box for box in boxes if box is not None]
    x0 = min([panel.x0, *(b.x0 for b in found)])
    y0 = min([panel.y0, *(b.y0 for b in found)])
    x1 = max([panel.x1, *(b.x1 for b in found)])
    return panel.x0 - x0, panel.y0 - y0, x1 - panel.x1


def _heading(ax: Axes) -> Text:
    return ax._left_title  # type: ignore[attr-defined]


def _fit_heading(ax: Axes, width: float, renderer: Any) -> None:
    """Break a panel's heading into lines no wider than the panel."""
    title = _heading(ax)
    font = title.get_fontproperties()

    def wide(text: str) -> bool:
        return bool(renderer.get_text_width_height_descent(text, font, False)[0] > width)

    title.set_text("\n".join(_lines(title.get_text().split(), wide)))


def _lines(words: list[str], wide: Callable[[str], bool]) -> list[str]:
    """Return words in lines that are not too wide; a word that is, is cut."""
    lines: list[str] = []
    for word in words:
        shown = word
        while wide(shown) and len(shown) > 2:
            shown = f"{shown[:-2]}…"
        if lines and not wide(f"{lines[-1]} {shown}"):
            lines[-1] += f" {shown}"
        else:
            lines.append(shown)
    return lines


def _outside(fig: Figure, renderer: Any) -> tuple[float, float, float]:
    """Return the room that shared labels and legend take: left, bottom, top, in pixels."""
    gap = _GAP * fig.dpi
    left = bottom = top = 0.0
    for text in fig.texts:
        box = text.get_window_extent(renderer)
        if text.get_gid() == _X:
            bottom = box.height + gap
        elif text.get_gid() == _Y:
            left = box.width + gap
    for legend in fig.legends:
        top = max(top, legend.get_window_extent(renderer).height + gap)
    return left, bottom, top


def _places(
    before: NDArray[np.float64], after: NDArray[np.float64], start: float, end: float, gap: float
) -> tuple[NDArray[np.float64], float]:
    """Return where equal panels begin between `start` and `end`, and their size."""
    n = before.size
    room = end - start - float(before.sum() + after.sum()) - gap * (n - 1)
    size = max(room / n, 1.0)
    steps = before + size + after + gap
    return start + np.concatenate([[0.0], np.cumsum(steps[:-1])]) + before, size
