"""Errors and warnings: each says what happened, where, and what to do.

Every class also derives from the built-in that a caller would expect, so that
``except ValueError`` keeps working.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class CartError(Exception):
    """Base of every error that the package raises on purpose."""


_SHOWN = 3  # sentences of an error's message


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a table, with its place.

    Attributes
    ----------
    code : str
        Short stable name of the kind of problem, for tests and filters (``"time_decreases"``).
    message : str
        One sentence: what was found, where, what to do.
    patient, column, value : str or None
        Where it was found; None where that does not apply.
    row : int or None
        Line of the source file, the header being line 1.
    """

    code: str
    message: str
    patient: str | None = None
    row: int | None = None
    column: str | None = None
    value: str | None = None


class DataError(CartError, ValueError):
    """A table that cannot be read as a trial; ``problems`` lists everything found.

    The message is the first three problems' sentences, a line each, and the count of the others.
    """

    def __init__(self, problems: Problem | Sequence[Problem] | str) -> None:
        if isinstance(problems, str):
            problems = Problem("data", problems)
        found = (problems,) if isinstance(problems, Problem) else tuple(problems)
        self.problems: tuple[Problem, ...] = found
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        sentences = list(dict.fromkeys(p.message for p in self.problems))
        more = len(sentences) - _SHOWN
        said = sentences[:_SHOWN]
        return "\n".join([*said, f"(and {more} more)"] if more > 0 else said)

    def __reduce__(self) -> tuple[type, tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


class UnitError(CartError, ValueError):
    """A unit that is unknown, or a conversion between different kinds of quantity."""


class ModelError(CartError, ValueError):
    """A model declared or used in a way that cannot work."""


class FitError(CartError, RuntimeError):
    """A fit that could not be set up or run."""


class ConfigError(CartError, ValueError):
    """A run file with an unknown key or an impossible value."""


class ExecutorError(CartError, RuntimeError):
    """Workers that cannot be had: not installed, not answering, or ending at their start."""


class WriteError(CartError, OSError):
    """A file that could not be written; what was there before is unchanged."""


class CartWarning(UserWarning):
    """Base of every warning of the package."""


class DataWarning(CartWarning):
    """Something in the data that the user should look at."""


class FitWarning(CartWarning):
    """A fit that finished but should not be trusted as it is."""


def sentence_of(error: BaseException) -> str:
    """Return an error as one sentence: its own for a CartError, else with its class."""
    first = (str(error).strip().splitlines() or ["no message"])[0]
    if isinstance(error, CartError):
        return first
    return f"{type(error).__name__}: {first.rstrip('.')}."
