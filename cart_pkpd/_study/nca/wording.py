"""Sentences about arguments of `data.read_table`, in the words of the command line."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace

from cart_pkpd._core.errors import DataError
from cart_pkpd._study.nca.options import find


def in_flags(error: DataError) -> DataError:
    """Return the same error with flags in place of Python arguments."""
    return DataError([replace(p, message=as_flags(p.message)) for p in error.problems])


def as_flags(text: str) -> str:
    """Return a text with ``--column DV=Level`` in place of ``columns={'DV': 'Level'}``.

    Examples
    --------
    >>> as_flags("Sort the table, or pass sort=True.")
    'Sort the table, or pass --sort.'
    >>> as_flags("Say which: columns={'DV': 'Level 1'}.")
    "Say which: --column 'DV=Level 1'."
    """
    names = "|".join(find("data"))
    pattern = rf"(?<![\w.])({names})=(\{{[^}}]*\}}|\[[^\]]*\]|'[^']*'|True|False|)"
    return re.sub(pattern, lambda found: _flag(found[1], found[2]), text)


def _flag(name: str, value: str) -> str:
    yes, _, no = find("data")[name].flag.partition("/")
    if value in ("True", "False"):
        return yes if value == "True" else no
    parts = [_cell(part) for part in value.strip("{}[]").split(", ")] if value else [""]
    return " ".join(f"{yes} {part}".strip() for part in parts)


def _cell(text: str) -> str:
    """Return ``'DV': 'Level'`` as ``DV=Level``, quoted where a shell needs it."""
    key, colon, value = text.partition(": ")
    if not colon:
        key, value = "", text
    bare = value.strip("'\"").replace("None", "") if colon else value.strip("'\"")
    plain = f"{key.strip(chr(39))}={bare}" if colon else bare
    return shlex.quote(plain) if re.search(r"\s", plain) else plain
