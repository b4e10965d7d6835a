"""From what pydantic found to one sentence per problem, with the path of the key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from cart_pkpd._core.validate import did_you_mean
from cart_pkpd._study.runfile import RunFile

_WANTED = {
    "string_type": "text in quotes",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false, without quotes",
    "list_type": "a list, such as [\"a\", \"b\"]",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "finite_number": "a finite number",
}  # fmt: skip

_TAG = re.compile(r"(constrained-)?(str|int|float|bool)|\w+\[.*\]|CovariateTerm")


def sentences(error: ValidationError) -> tuple[str, ...]:
    """Return one sentence per problem: the path of the key, what was found, what is allowed."""
    found = list(error.errors(include_url=False))
    return tuple(dict.fromkeys(map(_sentence, _one_per_key(found))))


def _one_per_key(problems: list[Any]) -> Iterator[Any]:
    """Join what pydantic reports once for each type that a key may have.

    Such paths hold a tag, as in ``("blq", "float")``; the problems deepest in the file are
    those of the type that was meant.
    """
    groups: dict[tuple[str | int, ...], list[Any]] = {}
    for problem in problems:
        tags = [i for i, part in enumerate(problem["loc"]) if _TAG.fullmatch(str(part))]
        key = problem["loc"][: tags[0]] if tags else problem["loc"]
        clean = tuple(p for i, p in enumerate(problem["loc"]) if i not in tags)
        groups.setdefault(key, []).append({**problem, "loc": clean})
    for group in groups.values():
        deepest = max(len(problem["loc"]) for problem in group)
        kept = [problem for problem in group if len(problem["loc"]) == deepest]
        wanted = [_WANTED[p["type"]] for p in kept if p["type"] in _WANTED]
        first = next((p for p in kept if p["type"] not in _WANTED), kept[0])
        yield {**first, "wanted": " or ".join(dict.fromkeys(wanted))}


def path_text(loc: Sequence[str | int]) -> str:
    """Return the path of a key as a person writes it: ``models.stein.parameters.cmax``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return text.removeprefix(".")


def _sentence(problem: Any) -> str:
    loc, kind, found = problem["loc"], problem["type"], problem["input"]
    if kind == "extra_forbidden":
        return _unknown_key(loc)
    path = path_text(loc) or "the run file"
    if kind == "missing" and isinstance(loc[-1], int):
        return f"{path_text(loc[:-1])} has too few values."
    if kind == "missing":
        return f"{path} is missing: a run file needs it."
    if kind == "sentence":
        text = problem["msg"]
        return f"{path} {text}." if text.startswith("=") else f"{_shown(path, found)} {text}."
    if kind == "literal_error":
        return f"{path} = {_toml(found)} is not known.{_allowed(loc, found)}"
    if kind in _WANTED:
        return f"{path} = {_toml(found)} ({_kind(found)}) should be {problem['wanted']}."
    return f"{path} = {_toml(found)} {_bound(problem)}."


def _shown(path: str, found: object) -> str:
    return f"[{path}]" if isinstance(found, dict) else f"{path} = {_toml(found)}"


def _unknown_key(loc: Sequence[str | int]) -> str:
    *table, key = loc
    where = f"in [{path_text(table)}]" if table else "at the top of the run file"
    keys = list(_table_class(table).model_fields)
    hint = did_you_mean(str(key), keys) or _other_table(str(key))
    return f"unknown key {str(key)!r} {where}.{hint} Known: {', '.join(keys)}."


def _other_table(key: str) -> str:
    homes = [name for name, sub in _tables() if key in sub.model_fields]
    return f" It belongs in [{homes[0]}]." if homes else ""


def _tables() -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in RunFile.model_fields.items():
        inner = _model_in(field.annotation)
        if inner is not None:
            yield ("models.<name>" if name == "models" else name), inner


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the table class inside an annotation such as ``dict[str, Model]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for a in get_args(annotation) if (m := _model_in(a)) is not None), None)


def _table_class(loc: Sequence[str | int]) -> type[BaseModel]:
    found: type[BaseModel] = RunFile
    for part in loc:
        field = found.model_fields.get(str(part))
        inner = _model_in(field.annotation) if field is not None else None
        found = inner or found  # a name of the user's own (models.<name>) stays in the table
    return found


def _allowed(loc: Sequence[str | int], found: object) -> str:
    names = [part for part in loc if isinstance(part, str)]
    field = _table_class(names[:-1]).model_fields[names[-1]]
    options = list(dict.fromkeys(str(option) for option in _choices(field.annotation)))
    return f"{did_you_mean(str(found), options)} Allowed: {', '.join(map(_toml, options))}."


def _choices(annotation: Any) -> Iterator[object]:
    for part in get_args(annotation):
        if isinstance(part, str | int):
            yield part
        else:
            yield from _choices(part)


def _bound(problem: Any) -> str:
    """Return the rest of the sentence for a value out of its range or length."""
    text = re.sub(r"^(Input|List|Tuple|String|Value) ", "", problem["msg"])
    text = re.sub(r" after validation, not \d+$", "", text)
    return text.replace("greater than or equal to", "at least").replace(
        "less than or equal to", "at most"
    )


def _toml(value: object) -> str:
    """Return a value as it stands in TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{…}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return '"' + value + '"' if isinstance(value, str) else str(value)


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "true/false"
    names = {str: "text", int: "a whole number", float: "a number", list: "a list", dict: "a table"}
    return names.get(type(value), type(value).__name__)
