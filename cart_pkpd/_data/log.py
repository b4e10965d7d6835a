"""What reading a table collects on its way: problems, guesses, notes and exclusions."""

from __future__ import annotations

from cart_pkpd._core.errors import DataError, Problem
from cart_pkpd._data.report import Exclusion


def place(patient: str | None, row: int | None, column: str | None = None) -> str:
    """Return ``"patient '07', row 41, column TIME"``, leaving out what is not known."""
    parts = (
        None if patient is None else f"patient {patient!r}",
        None if row is None else f"row {row}",
        None if column is None else f"column {column}",
    )
    return ", ".join(p for p in parts if p)


def some(words: list[str], most: int = 5) -> str:
    """Return the first few words of a list, with the count of the others."""
    shown = ", ".join(words[:most])
    return shown if len(words) <= most else f"{shown} and {len(words) - most} more"


class Log:
    """Collects everything there is to say about a table while it is read."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.guesses: list[str] = []
        self.notes: list[str] = []
        self.exclusions: list[Exclusion] = []

    def problem(
        self,
        code: str,
        message: str,
        *,
        patient: str | None = None,
        row: int | None = None,
        column: str | None = None,
        value: str | None = None,
    ) -> None:
        """Add one problem; reading goes on, so that all are found at once."""
        self.problems.append(Problem(code, message, patient, row, column, value))

    def guess(self, sentence: str) -> None:
        """Add something that was guessed and that the user should confirm."""
        self.guesses.append(sentence)

    def note(self, sentence: str) -> None:
        """Add something that was done to the data, or that deserves a look."""
        self.notes.append(sentence)

    def exclude(self, row: int, patient: str, column: str, value: str, reason: str) -> None:
        """Add one record that does not enter the trial."""
        self.exclusions.append(Exclusion(row, patient, column, value, reason))

    def stop_if_any(self) -> None:
        """Raise all problems found so far, in the order of the file."""
        if self.problems:
            raise self.error()

    def fatal(self, code: str, message: str, *, column: str | None = None) -> DataError:
        """Return the error for a problem after which reading cannot go on."""
        self.problem(code, message, column=column)
        return self.error()

    def error(self) -> DataError:
        """Return the DataError that holds every problem; those of the whole file come first."""
        return DataError(sorted(self.problems, key=lambda p: p.row or 0))
