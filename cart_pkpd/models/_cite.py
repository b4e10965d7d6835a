"""How to cite a model: its publication, or this package and what the model is built from."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from cart_pkpd._core.validate import one_of
from cart_pkpd.models._parameters import Reference

if TYPE_CHECKING:
    from cart_pkpd.models._declare import Model

SOFTWARE_AUTHORS = "The cart_pkpd developers"
SOFTWARE_TITLE = "cart_pkpd: pharmacokinetics and pharmacodynamics of CAR-T cell therapy"

Style = Literal["text", "bibtex"]
_STYLES = ("text", "bibtex")
_PLACE = re.compile(
    r"^(?P<journal>.*?)\s+(?P<volume>\d+)(?:\s*\((?P<number>[^)]+)\))?:(?P<pages>\S+)$"
)
_SPECIAL = str.maketrans({c: f"\\{c}" for c in "&%#_$"})


def citation(model: Model, style: Style = "text") -> str:
    """Return how to cite a model.

    Parameters
    ----------
    model : Model
        Whose publication is wanted. One without a publication is cited as this package, and one
        made of parts by both.
    style : {"text", "bibtex"}
        One line, or BibTeX entries.

    Raises
    ------
    ValueError
        For another style.
    """
    one_of(style, _STYLES, "style")
    name = model.name or type(model).__name__
    found = dict(_publications(model))
    parts = parts_of(model)
    behind = dict.fromkeys(line for part in parts for line in part.sources)
    pieces = (*(() if found else _references_in_docstring(type(model))), *behind)
    own = not found or bool(parts)
    if style == "bibtex":
        entries = [bibtex(r, key) for key, r in found.items()]
        entries += [_note(name, i, text) for i, text in enumerate(pieces, 1)]
        return "\n\n".join([*entries, *([software_bibtex(name)] if own else [])])
    said = "; ".join(str(r) for r in found.values())
    if not own:
        return said
    lead = said or f"{model.label or name}: no publication of its own"
    built = f" Built from: {'; '.join(pieces)}" if pieces else ""
    return f"{lead}; {'parts' if said else 'cite'}: {software()}{built}"


def parts_of(model: Model) -> tuple[Any, ...]:
    """Return what was added to a cell model."""
    from cart_pkpd.models._compose import pieces  # parts are made of models

    return pieces(model)[1]


def _publications(model: Model) -> Iterator[tuple[str, Reference]]:
    """Yield a key and the reference of a model; of one with parts, of its cells."""
    if model.reference is not None:
        yield model.name or _key(model.reference), model.reference


def _references_in_docstring(cls: type) -> tuple[str, ...]:
    """Return the entries of the docstring's section References, each in one line."""
    _, _, section = inspect.cleandoc(vars(cls).get("__doc__") or "").partition("References\n---")
    entries = re.split(r"^\.\. \[\d+\]", section, flags=re.MULTILINE)[1:]
    return tuple(" ".join(entry.split()) for entry in entries)


def _note(name: str, number: int, text: str) -> str:
    found = re.search(r"https?://doi\.org/(\S+)", text)
    doi = found[1].rstrip(".") if found else ""
    note = text.replace(found[0], "").strip() if found else text
    key = re.sub(r"\W+", "_", f"{name}_{number}")  # a key has no spaces
    return _entry("misc", key, note=note.translate(_SPECIAL), doi=doi)


def software() -> str:
    """Return the citation of this package as one line."""
    from cart_pkpd import __version__

    return f"{SOFTWARE_AUTHORS}. {SOFTWARE_TITLE}. Version {__version__}."


def software_bibtex(model: str) -> str:
    """Return the citation of this package as BibTeX, with the model's name as a note."""
    from cart_pkpd import __version__

    return _entry(
        "software",
        "cart_pkpd",
        author="{" + SOFTWARE_AUTHORS.translate(_SPECIAL) + "}",
        title="{" + SOFTWARE_TITLE.translate(_SPECIAL) + "}",
        version=__version__,
        note=f"model {model}".translate(_SPECIAL),
    )


def bibtex(reference: Reference, key: str = "") -> str:
    """Return a publication as a BibTeX entry; what is not known is left out."""
    place = _PLACE.match(reference.journal)
    where = place.groupdict() if place else {"journal": reference.journal}
    where = {k: v.translate(_SPECIAL).replace("–", "--") for k, v in where.items() if v}
    title = reference.title.translate(_SPECIAL)
    return _entry(
        "article",
        key or _key(reference),
        author=_authors(reference.authors),
        title=f"{{{title}}}" if title else "",
        **where,
        year=str(reference.year or ""),
        doi=reference.doi,
    )


def _entry(kind: str, key: str, **fields: str) -> str:
    rows = [f"  {name:<7} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@{kind}{{{key},", *rows, "}"])


def _authors(printed: str) -> str:
    """Return ``"Stein AM, Grupp SA, et al."`` as ``Stein, A. M. and Grupp, S. A. and others``."""
    names = [n.strip() for n in re.split(r",|\band\b|&|;", printed.replace("et al.", ",et al"))]
    return " and ".join(_author(n) for n in names if n)


def _author(name: str) -> str:
    if name.startswith("et al"):
        return "others"
    found = re.match(r"^(.*\S)\s+([A-Z](?:[A-Z-]{0,4}))$", name)
    if not found:
        return name
    initials = " ".join(f"{c}." for c in found[2] if c.isalpha())
    return f"{found[1]}, {initials}"


def _key(reference: Reference) -> str:
    first = re.sub(r"[^a-z]", "", reference.authors.split(",")[0].split(" ")[0].lower())
    return f"{first or 'model'}{reference.year or ''}"
