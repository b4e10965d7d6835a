"""What tests look at in a figure."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

BLQ = "left"


def own_axes() -> Axes:
    figure = Figure()
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def lines(ax: Axes, label: str) -> list:
    return [line for line in ax.lines if line.get_label() == label]


def marks(ax: Axes, marker: str) -> int:
    """Return the number of points drawn with a marker."""
    return sum(len(line.get_xdata()) for line in ax.lines if line.get_marker() == marker)


def legend_texts(holder) -> str:
    return " | ".join(text.get_text() for text in holder.get_texts())


def figure_legend_texts(figure: Figure) -> str:
    return " | ".join(legend_texts(legend) for legend in figure.legends)


def contrast_with_white(colour: str) -> float:
    """Contrast ratio of WCAG 2.1, from its definition of relative luminance."""
    channels = np.array(to_rgb(colour))
    linear = np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return 1.05 / (float(linear @ [0.2126, 0.7152, 0.0722]) + 0.05)
