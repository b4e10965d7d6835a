"""What is done before pages are read: the pages of the API, and links as GitHub writes them."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.domains.python import PyObject

import cart_pkpd

DOCS = Path(__file__).parent.parent
INLINE_MATH = re.compile(r"\$`([^`\n]+)`\$")
DOCTEST = re.compile(r"^```python\n(?=>>> )", re.MULTILINE)
LAST_BLANK = re.compile(r"^(```pycon\n.*?)\n+^```$", re.MULTILINE | re.DOTALL)
OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+(?:cart_pkpd|benchmarks|tests|notebooks)[^)]*\)")
NOTE, NOTED = re.compile(r"^\.\. \[(\d+)\] "), re.compile(r"\[(\d+)\]_")
DOI = re.compile(r":doi:`([^`]+)`")
TITLES = {
    "checks": "checks: of a fit, and of a design",
    "compare": "compare: which model predicts better",
    "crs": "crs: cytokine release syndrome",
    "data": "data: tables in and out",
    "datasets": "datasets: a simulated trial, public data",
    "dose": "dose: designs, rules, decisions",
    "endpoints": "endpoints: response, survival, grades",
    "executor": "executor: where work runs",
    "fit": "fit: patients and populations",
    "models": "models: the library, and your own",
    "nca": "nca: non-compartmental analysis",
    "plots": "plots: pictures of results",
    "report": "report: one HTML file",
    "simulate": "simulate: virtual patients and trials",
    "study": "study: run files",
}


def modules() -> list[str]:
    """Return the public modules."""
    return [name for name in cart_pkpd.__all__ if name != "__version__"]


def api_page(name: str) -> str:
    """Return the page of a public module: a list of its names, and each with its docstring."""
    module = importlib.import_module(f"cart_pkpd.{name}")
    names = "\n".join(f"   {n}" for n in sorted(public(module), key=str.lower))
    return (
        f"# {TITLES.get(name, name)}\n\n```{{eval-rst}}\n"
        f".. automodule:: cart_pkpd.{name}\n\n"
        f".. currentmodule:: cart_pkpd.{name}\n\n"
        f".. autosummary::\n   :nosignatures:\n\n{names}\n\n"
        + "\n".join(_entry(module, n) for n in _functions_first(module))
        + "\n```\n"
    )


def index_page() -> str:
    """Return the page that lists the public modules."""
    rows = "\n".join(f"| [{name}]({name}.md) | {_summary(name)} |" for name in modules())
    listed = "\n".join(modules())
    return (
        "# API reference\n\nEvery name that the package shows, with shapes and units. Modules load "
        "when first used: `from cart_pkpd import nca, fit`.\n\n"
        f"| module | holds |\n| --- | --- |\n{rows}\n\n"
        f"```{{toctree}}\n:hidden:\n\n{listed}\n```\n"
    )


def _summary(name: str) -> str:
    doc = importlib.import_module(f"cart_pkpd.{name}").__doc__ or ""
    return doc.strip().splitlines()[0].rstrip(":.") if doc.strip() else TITLES.get(name, name)


def public(module: Any) -> list[str]:
    """Return the names that a module shows: its ``__all__``, or what is defined in it."""
    if hasattr(module, "__all__"):
        return [n for n in module.__all__ if hasattr(module, n)]
    own = vars(module).items()
    return [n for n, v in own if n[0] != "_" and getattr(v, "__module__", "") == module.__name__]


def _functions_first(module: Any) -> list[str]:
    return sorted(public(module), key=lambda n: isinstance(getattr(module, n), type))


def _entry(module: Any, name: str) -> str:
    value = getattr(module, name)
    if isinstance(value, type):
        again = "" if _home(value, name) == module.__name__ else "   :no-index:\n"
        return f".. autoclass:: {name}\n   :members:\n   :inherited-members: Exception\n{again}"
    return f".. auto{'function' if callable(value) else 'data'}:: {name}\n"


def _home(value: type, name: str) -> str:
    """Return the first public module that shows a class; the others only repeat it."""
    shown = (importlib.import_module(f"cart_pkpd.{m}") for m in modules())
    return next(m.__name__ for m in shown if getattr(m, name, None) is value)


def write_api(app: Sphinx) -> None:
    """Write the pages of the API, those that changed."""
    folder = DOCS / "api"
    folder.mkdir(exist_ok=True)
    written = {name: api_page(name) for name in modules()} | {"index": index_page()}
    for name, text in written.items():
        page = folder / f"{name}.md"
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def as_myst(app: Sphinx, page: str, text: list[str]) -> None:
    """Turn what GitHub's Markdown says in its own way into what MyST understands."""
    text[0] = INLINE_MATH.sub(r"$\1$", text[0])
    text[0] = DOCTEST.sub("```pycon\n", text[0])
    # doctest needs an empty line before the fence; a reader does not.
    text[0] = LAST_BLANK.sub(r"\1\n```", text[0])
    text[0] = OUTSIDE.sub(r"\1", text[0])
    if page == "models/README":
        text[0] += "\n```{toctree}\n:hidden:\n:glob:\n\n*\n```\n"


def plain_notes(
    app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]
) -> None:
    """Write numbered references as a list: footnotes of many docstrings clash on one page."""
    for i, line in enumerate(lines):
        line = NOTE.sub(r"-  [\1] ", line)
        line = NOTED.sub(r"[\1]", line)
        lines[i] = DOI.sub(r"`doi:\1 <https://doi.org/\1>`__", line)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect all."""
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"
    app.connect("builder-inited", write_api)
    app.connect("source-read", as_myst)
    app.connect("autodoc-process-docstring", plain_notes, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
