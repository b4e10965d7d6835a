"""Saved fits compared from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cart_pkpd._core.errors import ConfigError
from cart_pkpd._core.validate import one_of

UNCONVERGED = 3


@dataclass(frozen=True)
class Asked:
    """What is compared, how, and where the table is written.

    Attributes
    ----------
    paths : sequence of Path
        Run folders and saved fits.
    by, criterion : str
        As for ``compare.models``.
    csv, html : Path or None
        Files to write.
    seed : int
        Of the draws that are used.
    """

    paths: Sequence[Path]
    by: str
    criterion: str
    csv: Path | None
    html: Path | None
    seed: int


def compared(asked: Asked) -> tuple[int, Any]:
    """Compare saved fits, write what was asked for, and return exit code and comparison.

    Raises
    ------
    ConfigError
        For paths without fits, and options that are not known.
    """
    from cart_pkpd import compare

    one_of(asked.by, ("patient", "record"), "--by", error=ConfigError)
    one_of(asked.criterion, compare.CRITERIA, "--criterion", error=ConfigError)
    fits = compare.fits_of(*asked.paths)
    found = compare.models(fits, by=asked.by, criterion=asked.criterion, seed=asked.seed)
    if asked.csv is not None:
        found.csv(asked.csv)
    if asked.html is not None:
        found.html(asked.html)
    return 0 if found["rank"].notna().any() else UNCONVERGED, found
