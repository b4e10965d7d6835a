"""One self-contained HTML page of sections: style, script and figures are inside the file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cart_pkpd._core.safe import visible
from cart_pkpd.report._blocks import Section
from cart_pkpd.report._tables import WRAPS

_SCRIPTS = ("tables.js", "figures.js", "explorer.js")


def page(
    sections: Sequence[Section],
    *,
    title: str,
    subtitle: Sequence[str] = (),
    draft: bool = True,
    footer: str = "",
) -> str:
    """Return the page as text; all content is escaped, so no name in the data can be markup."""
    template = _environment().get_template("report.html.j2")
    return template.render(
        sections=sections, title=title, subtitle=subtitle, draft=draft, footer=footer,
        wraps=WRAPS, style=_asset("style.css"), script=Markup("\n").join(map(_asset, _SCRIPTS)),
    )  # fmt: skip


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("cart_pkpd.report", "templates"),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )


def _shown(value: Any) -> Any:
    """Return text without what would let it look like another: controls of its direction."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return visible(value, lines=True)


def _asset(name: str) -> Markup:
    """Return one of the package's own files, which need no escaping."""
    folder = resources.files("cart_pkpd.report") / "templates"
    return Markup((folder / name).read_text(encoding="utf-8"))
