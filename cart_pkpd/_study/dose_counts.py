"""Plain counts of a run file, for a meeting without a trial table: from [dose] to dose data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from cart_pkpd._core.errors import ConfigError, DataError
from cart_pkpd._study.config import Config
from cart_pkpd._study.dosetable import CountTable, Dose
from cart_pkpd._study.messages import sentences

if TYPE_CHECKING:
    from cart_pkpd import dose

_WHOLE = 2**53  # above it a float holds no exact whole numbers


def of(config: Config, levels: dose.Levels) -> dose.DoseData:
    """Return the data of a decision from plain counts.

    Raises
    ------
    ConfigError
        If a dose is not planned or comes twice, or a number cannot be.
    """
    from cart_pkpd import dose

    table = config.spec.dose
    assert table is not None
    rows = _rows(config, table)
    seen: dict[float, tuple[int, int]] = {}
    for i, row in enumerate(rows):
        where = f"dose.counts[{i}]"
        try:
            planned = levels.doses[levels.index(row.dose)]
        except DataError as error:
            raise ConfigError(f"{where}: {error}") from error
        if planned in seen:
            raise ConfigError(f"{where}: dose = {row.dose:g} comes twice; give each dose once.")
        seen[planned] = (row.dlt, row.n)
    pending = {row.dose: row.pending for row in rows if row.pending}
    try:
        return dose.counts(
            seen, levels=levels, window=table.window, pending=pending, current=table.current
        )
    except DataError as error:
        raise ConfigError(f"dose.counts: {error}") from error


def _rows(config: Config, table: Dose) -> list[CountTable]:
    """Return the counts by dose of the run file, or of the CSV file that it names."""
    if not isinstance(table.counts, str):
        return list(table.counts or ())
    rows = []
    for i, given in enumerate(_csv_rows(config, table.counts)):
        try:
            rows.append(CountTable.model_validate(given))
        except ValidationError as error:
            said = sentences(error)[0]
            raise ConfigError(f"dose.counts: {table.counts!r}, line {i + 2}: {said}") from error
    return rows


def _csv_rows(config: Config, name: str) -> list[dict[str, Any]]:
    """Return the lines of a CSV file of counts as the run file would hold them."""
    import pandas as pd

    try:
        found = pd.read_csv(config.path(name), dtype=str, keep_default_na=False, comment="#")
    except (OSError, ValueError) as error:
        raise ConfigError(f"dose.counts: {name!r} cannot be read as CSV: {error}.") from error
    for column in ("dose", "n", "dlt"):
        if column not in found:
            raise ConfigError(
                f"dose.counts: {name!r} has no column {column!r}; it has: "
                f"{', '.join(map(str, found))}."
            )
    return [
        {str(key): _number(text) for key, text in row.items() if text.strip()}
        for row in found.to_dict("records")
    ]


def _number(text: str) -> Any:
    """Return a cell as the number it is, else as it stands; several numbers as a list."""
    parts: list[Any] = []
    for word in text.split():
        try:
            value = float(word)
        except ValueError:
            return text
        parts.append(int(value) if value.is_integer() and abs(value) < _WHOLE else value)
    return parts[0] if len(parts) == 1 else parts
