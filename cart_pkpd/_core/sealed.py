"""Checksums of files and folders: what has changed on the disk is not read as if it had not."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

_SEAL = b"\nsha256 of all before: "
END = len(_SEAL) + hashlib.sha256().digest_size
"""Bytes that a seal takes at the end of a file."""

# HDF5, zarr and their readers say of a damaged file whatever they stumble over.
DAMAGED = (AttributeError, OSError, KeyError, RuntimeError, TypeError, ValueError)
_AT_ONCE = 2**20


def sealed(content: bytes) -> bytes:
    """Return a file's content with its checksum behind its end.

    Readers of netCDF do not look there, and HDF5 itself does not notice numbers that have changed.
    """
    return content + _SEAL + _digest(io.BytesIO(content), len(content))


def seal(path: Path) -> None:
    """Put its checksum behind the end of a file."""
    with path.open("r+b") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        digest = _digest(file, size)
        file.write(_SEAL + digest)


def intact(path: Path) -> bool:
    """Return whether a file is as it was sealed; True for one without a seal."""
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - END))
        end = file.read()
        file.seek(0)
        return not end.startswith(_SEAL) or _digest(file, size - END) == end.removeprefix(_SEAL)


def of_files(folder: Path, names: Iterable[str]) -> str:
    """Return one checksum of files in a folder: of their names and of all that is in them."""
    whole = hashlib.sha256()
    for name in sorted(names):
        with (folder / name).open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{content} {name}\n".encode())
    return whole.hexdigest()


def _digest(file: BinaryIO, size: int) -> bytes:
    """Return the checksum of the next bytes of a file, which is read in pieces."""
    found, left = hashlib.sha256(), size
    while left > 0 and (piece := file.read(min(left, _AT_ONCE))):
        found.update(piece)
        left -= len(piece)
    return found.digest()
