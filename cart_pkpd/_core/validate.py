"""One function per kind of argument, shared by every module."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsFloat, SupportsInt

from cart_pkpd._core.errors import CartError, DataError, FitError

if TYPE_CHECKING:
    import xarray as xr

_SHORT = 60  # longest value that is written out in a message
_TRIAL = {"dv", "censoring"}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the nearest known word, or nothing."""
    options = list(known)
    near = get_close_matches(word.lower(), [k.lower() for k in options], n=1, cutoff=0.6)
    if not near:
        return ""
    match = next(k for k in options if k.lower() == near[0])
    return f" Did you mean {match!r}?"


def one_of(
    value: str, known: Iterable[str], what: str, *, error: type[CartError] | None = None
) -> str:
    """Return `value` if it is known.

    Parameters
    ----------
    value : str
        What the caller passed.
    known : iterable of str
        The allowed values.
    what : str
        What the value is, for the message: ``"AUC method"``.
    error : type, optional
        Class to raise; a plain ValueError by default.
    """
    options = list(known)
    if isinstance(value, str) and value in options:
        return value
    hint = did_you_mean(value, options) if isinstance(value, str) else ""
    allowed = ", ".join(repr(k) for k in options)
    raise (error or ValueError)(f"unknown {what} {shown(value)}.{hint} Known: {allowed}.")


def probability(value: float, what: str) -> float:
    """Return `value` if it lies strictly between 0 and 1."""
    if not isinstance(value, SupportsFloat) or not 0 < float(value) < 1:
        raise ValueError(f"{what} must lie between 0 and 1, not {shown(value)}.")
    return float(value)


def real(value: Any, what: str, *, error: type[Exception] = ValueError) -> float:
    """Return `value` if it is a number; whether it may be NaN or negative is the caller's."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise error(f"{what} must be a number, not {shown(value)}.")
    return float(value)


def reals(values: Any, what: str, *, such_as: str, count: int | None = None) -> tuple[float, ...]:
    """Return several numbers as a tuple.

    Parameters
    ----------
    values : iterable of float
        What the caller passed.
    what : str
        What the values are, for the message.
    such_as : str
        An example, for the message.
    count : int, optional
        How many there must be.
    """
    text = isinstance(values, str | bytes | Mapping)
    found = [] if text or not isinstance(values, Iterable) else list(values)
    fine = all(isinstance(v, Real) and not isinstance(v, bool) for v in found)
    if text or not isinstance(values, Iterable) or not fine or (count or len(found)) != len(found):
        many = "" if count is None else f"{count} "
        raise ValueError(f"{what} must be {many}numbers, such as {such_as}, not {shown(values)}.")
    return tuple(float(v) for v in found)


def instance(value: Any, kind: type, what: str, such_as: str) -> None:
    """Raise DataError unless `value` is of a kind; `such_as` says how one is made."""
    if not isinstance(value, kind):
        raise DataError(f"{what} is needed, such as {such_as}, not {shown(value)}.")


def positive_int(value: int, what: str) -> int:
    """Return `value` if it is a whole number of at least 1."""
    number = isinstance(value, SupportsInt) and not isinstance(value, str | bool)
    if not number or not math.isfinite(value) or int(value) != value or value < 1:
        raise ValueError(f"{what} must be a whole number of at least 1, not {shown(value)}.")
    return int(value)


def last_day(value: float | None) -> float | None:
    """Return the day up to which to draw, if it is one: finite, above 0, or None for all."""
    if value is not None and not (isinstance(value, Real) and 0 < value < math.inf):
        raise DataError(f"last= must be a day above 0, not {shown(value)}.")
    return value


def at_least_0(value: float, what: str, *, whole: bool = False) -> float:
    """Return `value` if it is a number of at least 0, and whole where that is asked for."""
    number = not isinstance(value, bool) and isinstance(value, Real) and value >= 0
    if not number or (whole and (math.isinf(value) or value != round(value))):
        kind = "whole number" if whole else "number"
        raise DataError(f"{what}= must be a {kind} of at least 0, not {shown(value)}.")
    return value


def number(value: Any, what: str, *, above: float = -math.inf) -> float:
    """Return `value` if it is a finite number above a bound."""
    real = isinstance(value, Real) and not isinstance(value, bool)
    if real and math.isfinite(value) and value > above:
        return float(value)
    least = f"a number above {above:g}" if math.isfinite(above) else "a number"
    raise DataError(f"{what}= must be {least}, not {shown(value)}.")


def yes_or_no(value: Any, what: str) -> bool:
    """Return `value` if it is True or False."""
    if value is True or value is False or type(value).__name__ == "bool_":
        return bool(value)
    raise DataError(f"{what}= must be True or False, not {shown(value)}.")


def as_text(value: Any, what: str) -> str:
    """Return `value` if it is text."""
    if isinstance(value, str):
        return value
    raise DataError(f"{what}= must be text, not {shown(value)}.")


def as_patients(value: Any, what: str) -> list[str]:
    """Return names of patients as text."""
    several = isinstance(value, Iterable) and not isinstance(value, str | bytes)
    if several and not hasattr(value, "columns"):
        return [str(v) for v in value]
    raise DataError(f"{what}= must be names of patients: ['01', '02'], not {shown(value)}.")


def pair(value: Any, what: str, meaning: str) -> tuple[float, float]:
    """Return two numbers; `meaning` says for the message what they are: ``(first, last day)``."""
    two = isinstance(value, list | tuple) and len(value) == 2
    if two and all(isinstance(v, Real) and not isinstance(v, bool) and v == v for v in value):
        return float(value[0]), float(value[1])
    raise DataError(f"{what}= must be {meaning}, two numbers, not {shown(value)}.")


def shown(value: object) -> str:
    """Return a value for a message: as written where that is short, else what kind it is."""
    if value is None or isinstance(value, bool | int | float | str):
        text = repr(value)
        return text if len(text) <= _SHORT else f"{text[:_SHORT]}…"
    if isinstance(value, list | tuple | dict) and len(repr(value)) <= _SHORT:
        return repr(value)
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def as_names(value: Any, what: str, *, such_as: str) -> tuple[str, ...]:
    """Return names as a tuple; one alone may be given without brackets.

    Parameters
    ----------
    value : str or sequence of str
        What the caller passed.
    what : str
        The argument, for the message.
    such_as : str
        An example of names, for the message.
    """
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Iterable) and not isinstance(value, Mapping | bytes):
        value = tuple(value)
        if all(isinstance(name, str) for name in value):
            return value
    hint = "; leave it out for none" if value is None else ""
    raise FitError(f"{what}: give names, such as {such_as}, not {shown(value)}{hint}.")


def as_mapping(value: Any, what: str, *, such_as: str) -> Mapping[Any, Any]:
    """Return `value` if it is a mapping; `such_as` is an example for the message."""
    if isinstance(value, Mapping):
        return value
    raise FitError(f"{what}: give a dict such as {such_as}, not {shown(value)}.")


def as_seed(value: Any) -> int:
    """Return `value` if it is a whole number of at least 0."""
    try:
        seed = operator.index(value)
    except TypeError:
        seed = -1
    if seed < 0 or isinstance(value, bool):
        raise ValueError(f"seed must be a whole number of at least 0, not {shown(value)}.")
    return seed


def as_path(value: Any, what: str) -> Path:
    """Return a path; `what` is what the path is of, for the message: ``"a saved fit"``."""
    if isinstance(value, str | PathLike) and str(value):
        return Path(value)
    raise ValueError(f"give the path of {what}, such as 'fit.nc', not {shown(value)}.")


def as_trial(value: Any) -> xr.Dataset:
    """Return `value` if it is a trial with records.

    Raises
    ------
    DataError
        For anything else than a trial, or a trial without patients or records.
    """
    import xarray as xr  # takes half a second, which a command's help must not wait for

    if isinstance(value, xr.Dataset) and {"obs", "id"} <= set(value.dims) and {*value} >= _TRIAL:
        if not value.sizes["id"] or not value.sizes["obs"]:
            raise DataError(
                f"the trial has {value.sizes['id']} patients and {value.sizes['obs']} records; "
                "there is nothing to work on. Check what was selected from it."
            )
        stray = set(value["patient"].values) - set(value["id"].values)
        if stray:
            raise DataError(
                f"the trial has records of patients who are not among its patients: {min(stray)}"
                f"{' and others' if len(stray) > 1 else ''}; take patients with "
                "data.select(trial, [...]), not with trial.isel or trial.sel."
            )
        return value
    if isinstance(value, str | PathLike):
        raise DataError(f"a table is read first: data.read_table({str(value)!r}) gives a trial.")
    if type(value).__name__ == "DataFrame":
        raise DataError("a DataFrame is read first: data.read_table(frame) gives a trial.")
    kind = "a Dataset of something else" if isinstance(value, xr.Dataset) else shown(value)
    raise DataError(f"give a trial, from data.read_table(...) or datasets.load(...), not {kind}.")
