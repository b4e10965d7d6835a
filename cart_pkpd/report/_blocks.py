"""What a report is made of: sections of paragraphs, facts, tables and pictures."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from cart_pkpd._core.errors import CartError
from cart_pkpd.report._tables import Table

MOST_PANELS = 8  # with more, a drawing is too large to be worth trying
LARGEST_SVG = 120_000  # bytes; a larger drawing is embedded as PNG where that is smaller
DPI = 144  # of PNG: one and a half pixels to each of the page's
COLOURS, NEARLY_WHITE = 128, 252


@dataclass(frozen=True)
class Text:
    """A paragraph; `tone` is "", "good", "warn" or "reason" (why something is left out)."""

    text: str
    tone: str = ""

    kind = "text"


@dataclass(frozen=True)
class Bullets:
    """A list; each item is text, or a lead in bold and text."""

    items: tuple[tuple[str, str], ...]

    kind = "bullets"


@dataclass(frozen=True)
class Facts:
    """Names and values, under a title where they have one."""

    pairs: tuple[tuple[str, str], ...]
    title: str = ""

    kind = "facts"


@dataclass(frozen=True)
class Verdicts:
    """What was checked: a name, whether it is fine (None: neither), and a sentence."""

    items: tuple[tuple[str, bool | None, str], ...]
    title: str = ""

    kind = "verdicts"


@dataclass(frozen=True)
class Answer:
    """The box that opens the report.

    Attributes
    ----------
    lead, answer, why : str
        What is answered, the answer, and the sentence that explains it.
    rules : tuple of (str, str)
        Whose rule, and what it says.
    facts : tuple of (str, str)
        Names and short values.
    flags : tuple of str
        What to look at before following the answer.
    """

    lead: str
    answer: str
    why: str
    rules: tuple[tuple[str, str], ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    flags: tuple[str, ...] = ()

    kind = "answer"


@dataclass(frozen=True)
class Explorer:
    """Every patient's profiles as data for the script of the page; `title` names the view."""

    title: str
    data: Mapping[str, Any]

    kind = "explorer"

    @property
    def json(self) -> Markup:
        """The data as JSON that no text in them can end: no markup character is left."""
        text = json.dumps(self.data, allow_nan=False, separators=(",", ":"))
        for sign in "<>&":
            text = text.replace(sign, f"\\u{ord(sign):04x}")
        return Markup(text)


@dataclass(frozen=True)
class Pre:
    """Text with its own line breaks, such as a settings file."""

    text: str

    kind = "pre"


@dataclass(frozen=True)
class Picture:
    """A figure as it is embedded.

    Attributes
    ----------
    name : str
        Base name of its file.
    caption, alt : str
        Printed below; read out in its place.
    content : bytes
        SVG or PNG.
    format : str
        ``"svg"`` or ``"png"``.
    width : int
        Natural width. [CSS pixel]
    """

    name: str
    caption: str
    alt: str
    content: bytes
    format: str
    width: int

    kind = "picture"

    @property
    def uri(self) -> str:
        """The figure as a data address, so that the file needs nothing beside it."""
        mime = "image/svg+xml" if self.format == "svg" else "image/png"
        return f"data:{mime};base64,{base64.b64encode(self.content).decode('ascii')}"


@dataclass(frozen=True)
class Attached:
    """A table too long to print: a line says in which file it is."""

    table: Table

    kind = "attached"


@dataclass(frozen=True)
class Details:
    """Blocks behind a heading that opens and closes; open in print."""

    title: str
    blocks: tuple[Block, ...]

    kind = "details"


@dataclass(frozen=True)
class Row:
    """Figures side by side where the page is wide enough; below each other in print."""

    blocks: tuple[Block, ...]

    kind = "row"


type Block = (
    Text | Bullets | Facts | Verdicts | Answer | Explorer | Pre | Table | Picture | Attached
    | Details | Row
)  # fmt: skip


@dataclass(frozen=True)
class Section:
    """A section with its subsections.

    Attributes
    ----------
    key : str
        Its address within the page.
    title : str
        Heading.
    blocks : tuple
        Content.
    parts : tuple of Section
        Subsections.
    """

    key: str
    title: str
    blocks: tuple[Block, ...] = ()
    parts: tuple[Section, ...] = field(default=())


def walk(sections: Sequence[Section]) -> Iterator[Block]:
    """Yield every block of the sections, also those in details and rows."""
    for section in sections:
        yield from _inside(section.blocks)
        yield from walk(section.parts)


def _inside(blocks: Sequence[Block]) -> Iterator[Block]:
    for block in blocks:
        yield block
        if isinstance(block, Details | Row):
            yield from _inside(block.blocks)


def picture(name: str, draw: Callable[[], Any], *, caption: str, alt: str) -> Picture | Text:
    """Draw a figure, or say why it could not be drawn.

    Only errors that the package raises on purpose become a sentence; any other is a bug and
    ends the report.
    """
    try:
        drawn = draw()
    except CartError as error:
        return Text(f"{caption.split('.')[0]}: not drawn. {error}", "reason")
    figure = drawn if isinstance(drawn, Figure) else drawn.figure
    content, form = _bytes(figure)
    return Picture(name, caption, alt, content, form, round(figure.get_figwidth() * 96))


def _bytes(figure: Figure) -> tuple[bytes, str]:
    """Return the figure as SVG, or as PNG where the drawing would be large."""
    figure.set_dpi(DPI)  # before anything is measured: texts are measured once per resolution
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    figure.set_layout_engine("none")  # placed once; saving would do it again, which is slow
    if len(figure.axes) > MOST_PANELS:
        return _png(figure), "png"
    svg = _svg(figure)
    if len(svg) <= LARGEST_SVG:
        return svg, "svg"
    png = _png(figure)
    return (png, "png") if len(png) < len(svg) else (svg, "svg")


def _svg(figure: Figure) -> bytes:
    out = io.BytesIO()
    # A fixed salt and no date make the same figure the same bytes.
    with mpl.rc_context({"svg.hashsalt": "cart_pkpd", "svg.fonttype": "path"}):
        figure.savefig(out, format="svg", facecolor="white", metadata={"Date": None})
    return out.getvalue()


def _png(figure: Figure) -> bytes:
    """Return the figure as PNG of few colours, a third of the size and as sharp."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    whole = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    out = io.BytesIO()
    few = whole.quantize(COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    palette = np.array(few.getpalette(), dtype=np.uint8).reshape(-1, 3)
    palette[palette.min(axis=1) >= NEARLY_WHITE] = 255  # the paper is averaged with pale edges
    few.putpalette(palette.ravel().tolist())
    few.save(out, "png", compress_level=7, dpi=(DPI, DPI))
    return out.getvalue()


def flat(given: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Return nested settings as name and text, in order."""
    pairs: list[tuple[str, str]] = []
    for key, value in given.items():
        name = f"{above}{str(key).replace('_', ' ')}"
        if key == "unsolved" and isinstance(value, Mapping):  # of each patient who has any
            said = ", ".join(f"{who} ({n})" for who, n in value.items())
            pairs.append((name, f"{sum(value.values())}: {said}" if said else "none"))
        elif isinstance(value, Mapping):
            pairs += flat(value, f"{name}: ")
        elif isinstance(value, list | tuple):
            pairs.append((name, ", ".join(map(str, value)) or "none"))
        else:
            pairs.append((name, str(value)))
    return pairs
