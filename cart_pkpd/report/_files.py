"""Writing a report's files, each whole or not at all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from cart_pkpd._core.files import whole_file

_OWN = re.compile(r"(tables|figures)/[a-z0-9_.-]+\.(csv|svg|png)")


def slug(text: str) -> str:
    """Return `text` as a file name: lower case, letters, digits, dashes and underscores."""
    return re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-") or "unnamed"


def slugs(names: Iterable[str]) -> dict[str, str]:
    """Return a file name for each name, made unique by a number."""
    taken: dict[str, str] = {}
    for name in names:
        base, n = slug(name), 2
        made = base
        while made in taken.values():
            made, n = f"{base}-{n}", n + 1
        taken[name] = made
    return taken


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that no reader meets half of it."""
    with whole_file(path) as part:
        part.write_bytes(content)


def write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files in order, after removing those that only an earlier report had."""
    for old in _earlier(folder) - set(files):
        (folder / old).unlink(missing_ok=True)
    for name, content in files.items():
        write_whole(folder / name, content)


def _earlier(folder: Path) -> set[str]:
    """Return the tables and figures that the report in `folder` says are its own."""
    try:
        said = json.loads((folder / "numbers.json").read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    return {name for name in said if isinstance(name, str) and _OWN.fullmatch(name)}
