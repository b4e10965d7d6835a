"""Equations as MathML, made when the site is built.

Every browser of today shows MathML by itself, so that a page needs neither a script nor the
network. Docutils, which Sphinx is built on, brings the translation.
"""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

LOGGER = logging.getLogger(__name__)
ROW_GAP = re.compile(r"\\\\\[[^\]]*\]")  # the distance of rows is set by the style sheet
ENTITY = re.compile(r"&(?!lt;|gt;|amp;)\w+;")  # names that HTML knows and XML does not
Translator = Any  # Sphinx's HTML writer


def mathml(tex: str, *, block: bool) -> str:
    """Return LaTeX as one ``<math>`` element, on a line."""
    made = str(tex2mathml(ROW_GAP.sub(r"\\\\ ", tex), as_block=block))
    return ENTITY.sub(lambda found: unescape(found[0]), re.sub(r"\s*\n\s*", "", made))


def _made(tex: str, *, block: bool, where: nodes.Node) -> str:
    try:
        return mathml(tex, block=block)
    except MathError as error:
        LOGGER.warning("no MathML for %r: %s", tex, error, location=where)
        return f"<code>{tex}</code>"


def _inline(writer: Translator, node: nodes.math) -> None:
    writer.body.append(_made(node.astext(), block=False, where=node))
    raise nodes.SkipNode


def _block(writer: Translator, node: nodes.math_block) -> None:
    writer.body.append('<div class="math">')
    writer.body.append(_made(node.astext(), block=True, where=node))
    writer.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    app.config.html_math_renderer = "mathml"  # type: ignore[attr-defined]
    return {"parallel_read_safe": True, "parallel_write_safe": True}
