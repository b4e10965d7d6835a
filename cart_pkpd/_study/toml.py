"""Writing TOML: plain tables, lists, texts, numbers and truth values, which is all a run needs."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def dumps(table: Mapping[str, Any]) -> str:
    """Return `table` as TOML text that `tomllib` reads back to the same values.

    Parameters
    ----------
    table : mapping
        Texts, whole numbers, floats, booleans, lists and mappings of these; None is not TOML.
    """
    return "\n".join(_lines(table, ())).strip() + "\n"


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    # Where one table needs a header, all beside it have one: their order is that of the designs.
    headers = not path or any(map(_is_section, table.values()))
    own = {k: v for k, v in table.items() if not (headers and isinstance(v, Mapping))}
    if path and (own or not table):
        yield f"\n[{'.'.join(map(_key, path))}]"
    for key, value in own.items():
        yield f"{_key(key)} = {_value(value)}"
    for key, value in table.items():
        if key not in own:
            yield from _lines(value, (*path, key))


def _is_section(value: Any) -> bool:
    """Whether a value inside a table needs a header of its own: a table that holds tables."""
    return isinstance(value, Mapping) and any(isinstance(v, Mapping) for v in value.values())


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _text(text: str) -> str:
    # JSON escapes what TOML does, except for DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return repr(float(value)) if math.isfinite(value) else str(float(value))
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(_value, value)) + "]"
    raise TypeError(f"{type(value).__name__} has no form in TOML: {value!r}")
