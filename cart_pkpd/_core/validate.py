"""One function per kind of argument, shared by every module."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Real

from cart_pkpd._core.errors import CartError, DataError


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
    if value in options:
        return value
    hint = did_you_mean(str(value), options)
    allowed = ", ".join(repr(k) for k in options)
    raise (error or ValueError)(f"unknown {what} {value!r}.{hint} Known: {allowed}.")


def probability(value: float, what: str) -> float:
    """Return `value` if it lies strictly between 0 and 1."""
    if not 0 < value < 1:
        raise ValueError(f"{what} must lie between 0 and 1, not {value!r}.")
    return float(value)


def positive_int(value: int, what: str) -> int:
    """Return `value` if it is a whole number of at least 1."""
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise ValueError(f"{what} must be a whole number of at least 1, not {value!r}.")
    return int(value)


def at_least_0(value: float, what: str, *, whole: bool = False) -> float:
    """Return `value` if it is a number of at least 0, and whole where that is asked for."""
    number = not isinstance(value, bool) and isinstance(value, Real) and value >= 0
    if not number or (whole and value != round(value)):
        kind = "whole number" if whole else "number"
        raise DataError(f"{what}= must be a {kind} of at least 0, not {value!r}.")
    return value
