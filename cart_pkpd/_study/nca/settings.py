"""The settings of an NCA: from flags and a TOML file, checked, and back to TOML."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cart_pkpd._core.errors import ConfigError
from cart_pkpd._core.validate import did_you_mean
from cart_pkpd._nca.rules import Blq, Rules
from cart_pkpd._study import toml
from cart_pkpd._study.nca.options import Option, all_options, find

if TYPE_CHECKING:
    import xarray as xr

Values = dict[str, Any]
"""Clean values by the path of their key in TOML; None takes back what a file says."""


class SettingsError(ConfigError):
    """Flags or a settings file that make no sense; ``problems`` holds a sentence for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        super().__init__(f"{self.problems[0]}{more}")

    def __reduce__(self) -> tuple[type, tuple[tuple[str, ...]]]:
        return type(self), (self.problems,)


@dataclass(frozen=True)
class Settings:
    """Everything that decides what an NCA writes, apart from the table.

    Attributes
    ----------
    rules : Rules
    read : dict
        Arguments of `data.read_table`.
    endpoints, by : tuple of str or None
        None: all that count cells; the dose level.
    parameters : tuple of str or None
        Names, or ``("all",)``; None for the default ones.
    windows : tuple of (float, float)
        Of the areas. [day]
    infusion : int
    persistence : str
        ``"midpoint"``, ``"upper"`` or ``"turnbull"``.
    figures : bool
    source : dict of str to str
        By path of a key: the flag or the file that set it, for messages.
    """

    rules: Rules = field(default_factory=Rules)
    read: Mapping[str, Any] = field(default_factory=dict)
    endpoints: tuple[str, ...] | None = None
    by: tuple[str, ...] | None = None
    parameters: tuple[str, ...] | None = None
    windows: tuple[tuple[float, float], ...] = ((0.0, 28.0),)
    infusion: int = 1
    persistence: str = "midpoint"
    figures: bool = True
    source: Mapping[str, str] = field(default_factory=dict)

    def where(self, path: str) -> str:
        """Return where a key was set, to head a message."""
        return self.source.get(path, path)

    def to_toml(self, params: Sequence[xr.Dataset], by: Sequence[str], beside: Path) -> str:
        """Return the settings of a finished analysis as TOML, all defaults written out.

        Parameters
        ----------
        params : sequence of xr.Dataset
            Its results, one per endpoint.
        by : sequence of str
            The groups of its summary.
        beside : path
            Folder in which the text will lie, from which its relative paths count.
        """
        table: dict[str, Any] = {
            "endpoints": [str(p.attrs["endpoint"]) for p in params],
            "windows": [list(pair) for pair in self.windows],
            "by": list(by),
            "infusion": self.infusion,
            "persistence": self.persistence,
            "figures": self.figures,
        }
        if self.parameters is not None:
            table["parameters"] = list(self.parameters)
        read = {k: v for k, v in self.read.items() if k != "columns"}
        if "columns" in self.read:
            read["columns"] = {role: header or "" for role, header in self.read["columns"].items()}
        if "subjects" in read:
            read["subjects"] = _relative(Path(read["subjects"]), beside)
        rules = self.rules.to_dict()
        return toml.dumps(table | {"rules": rules} | ({"data": read} if read else {}))


def resolve(given: Mapping[str, Any], file: Path | None = None) -> Settings:
    """Return the settings of flags and a settings file; flags come first.

    Parameters
    ----------
    given : mapping of str to list of str or bool
        The flags that were given, by `Option.name`.
    file : path, optional
        A TOML file, such as the settings.toml that a run wrote.

    Raises
    ------
    SettingsError
        With one sentence for each thing wrong: the flag or the path of the key, what was found,
        what is allowed.
    """
    problems: list[str] = []
    source: dict[str, str] = {}
    values: Values = {}
    if file is not None:
        values |= _from_file(file, source, problems)
    values |= _from_flags(given, source, problems)
    if problems:
        raise SettingsError(problems)
    return _settings({k: v for k, v in values.items() if v is not None}, source)


def _settings(values: Values, source: Mapping[str, str]) -> Settings:
    rules = {k: values[k] for k in find("rules") if k in values}
    read = {k: values[f"data.{k}"] for k in find("data") if f"data.{k}" in values}
    rest = {k: values[k] for k in find("analysis") if k in values}
    for key in ("endpoints", "by", "parameters"):
        if key in rest:
            rest[key] = tuple(dict.fromkeys(rest[key]))
    if "windows" in rest:
        rest["windows"] = tuple(dict.fromkeys((a, b) for a, b in rest["windows"]))
    if "columns" in read:
        read["columns"] = {role.upper(): header or None for role, header in read["columns"].items()}
    try:
        made = Rules.from_dict(rules)
    except ValueError as error:  # rules that are fine one by one and not together
        raise SettingsError([str(error)]) from error
    return Settings(rules=made, read=read, source=dict(source), **rest)


# --- from flags -------------------------------------------------------------------------------


def _from_flags(given: Mapping[str, Any], source: dict[str, str], problems: list[str]) -> Values:
    found: Values = {}
    for option in all_options():
        value = given.get(option.name)
        if value is None or value == []:
            continue
        flag = option.flag.split("/")[0]
        if isinstance(value, bool):
            flag = flag if value else option.flag.split("/")[-1]
            source[option.path], found[option.path] = flag, value
            continue
        where = f"{flag} {' '.join(value)}"
        try:
            found[option.path] = _of_texts(option, value)
            source[option.path] = flag
        except ValueError as error:
            problems.append(f"{where}: {error}")
    return found


def _of_texts(option: Option, texts: Sequence[str]) -> Any:
    word = texts[-1].strip().lower()
    if option.optional and word == "none":
        return None
    if option.key == "by" and word == "none":
        return []
    if option.path == "parameters" and word == "default":
        return None
    return checked(option, option.kind.check(option.kind.gather(texts)))


# --- from a file ------------------------------------------------------------------------------


def _from_file(path: Path, source: dict[str, str], problems: list[str]) -> Values:
    name, found = path.name, {}
    for key, value, option in _entries(_parsed(path), name, problems):
        try:
            found[option.path] = checked(option, option.kind.check(value))
            source[option.path] = f"{name}: {key}"
        except ValueError as error:
            problems.append(f"{name}: {key} = {_shown(value)}: {error}")
    if "data.subjects" in found:
        found["data.subjects"] = str(path.parent / found["data.subjects"])
    return found


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SettingsError([f"{path}: cannot read it: {error.strerror}."]) from error
    except UnicodeDecodeError as error:
        raise SettingsError([f"{path.name} is not UTF-8 text; save it as UTF-8."]) from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([f"{path.name} is not valid TOML: {error}."]) from error


def _entries(
    table: Mapping[str, Any], name: str, problems: list[str]
) -> Iterator[tuple[str, Any, Option]]:
    """Yield path, value and option of every key; rules may stand in [rules] or at the top."""
    homes = {"": find("analysis") | find("rules"), "rules": find("rules"), "data": find("data")}
    for home, options in homes.items():
        entries = table.get(home, {}) if home else table
        if not isinstance(entries, Mapping):
            problems.append(f"{name}: {home} = {_shown(entries)} should be a table, [{home}].")
            continue
        for key, value in entries.items():
            path = f"{home}.{key}" if home else key
            if key in options:
                yield path, value, options[key]
            elif home or key not in homes:
                problems.append(_unknown(name, path, homes))


def _unknown(name: str, path: str, homes: Mapping[str, Mapping[str, Option]]) -> str:
    """Return the sentence for a key that is not known here."""
    home, _, key = path.rpartition(".")
    options = homes[home]
    where = f"[{home}]" if home else "the top of the file"
    others = [f"[{other}]" for other, keys in homes.items() if other and key in keys]
    near = did_you_mean(key, options)
    hint = f" It belongs in {others[0]}." if others and not near else near
    return f"{name}: unknown key {path!r} in {where}.{hint} Known: {', '.join(options)}."


def _shown(value: Any) -> str:
    try:
        text = toml.dumps({"x": [value]}).partition(" = ")[2].strip()[1:-1]
    except TypeError:  # a date
        text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


# --- one value, beyond its type ---------------------------------------------------------------


def checked(option: Option, value: Any) -> Any:
    """Return a value that the function it is meant for would take; ValueError otherwise."""
    if option.home == "rules":
        _check_rule(option.key, value)
    elif option.home == "data":
        _check_reading(option.key, value)
    elif option.key == "infusion" and value < 1:
        raise ValueError("infusions are counted from 1.")
    elif option.key in ("windows", "endpoints", "parameters") and not value:
        raise ValueError("names none; leave it out for the default.")
    return value


def _check_rule(key: str, value: Any) -> None:
    if key == "blq":
        Blq.of(value)
    Rules.from_dict({key: value})


def _check_reading(key: str, value: Any) -> None:
    """Let the reader itself check one of its arguments."""
    if key in ("subjects", "columns"):
        return  # what is wrong with them shows when the tables are read
    from cart_pkpd._core.errors import DataError
    from cart_pkpd._data.log import Log
    from cart_pkpd._data.options import Options

    try:
        Options(**{key: value}).check(Log())
    except DataError as error:
        message = re.sub(r"^\w+\[.*?\]: ", "", error.problems[0].message)
        raise ValueError(message) from error


def _relative(path: Path, beside: Path) -> str:
    try:
        return Path(os.path.relpath(path, beside)).as_posix()
    except ValueError:  # another drive
        return path.resolve().as_posix()
