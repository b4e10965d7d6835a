"""One lesion at one assessment, as it is read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass
class Record:
    """One row of a lesion table; status, visit and diameter are completed while it is read.

    Attributes
    ----------
    row : int
        Line of the source, the header being line 1.
    id, lesion, kind, site : str
    day : float
        Since the infusion. [day]
    called, visit : str
        The visit as the table names it, and its final name.
    node : bool
    flagged : bool
        Whether the table flags the record as the baseline.
    diameter : float
        NaN where there is none. [mm]
    said, status : str
        The status as the table has it, and ours.
    """

    row: int
    id: str
    day: float
    called: str
    lesion: str
    kind: str
    site: str
    node: bool
    flagged: bool
    diameter: float
    said: str
    status: str = ""
    visit: str = ""


def groups(records: Iterable[Record], key: str) -> dict[object, list[Record]]:
    """Return the records by the value of an attribute, in the order of its first appearance."""
    out: dict[object, list[Record]] = {}
    for record in records:
        out.setdefault(getattr(record, key), []).append(record)
    return out


def patients(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Return each patient's records in order of day."""
    by_id = groups(records, "id")
    return {str(who): sorted(own, key=lambda r: r.day) for who, own in by_id.items()}


def scans(own: Iterable[Record]) -> dict[float, list[Record]]:
    """Return the records by day."""
    out: dict[float, list[Record]] = {}
    for record in own:
        out.setdefault(record.day, []).append(record)
    return out
