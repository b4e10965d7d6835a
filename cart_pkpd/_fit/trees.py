"""Trees of arrays on disk: netCDF files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from cart_pkpd._core.errors import FitError
from cart_pkpd._core.files import whole_file
from cart_pkpd._core.sealed import DAMAGED, intact, sealed


def write_tree(tree: xr.DataTree | xr.Dataset, path: Path) -> Path:
    """Write `tree` to `path`, and return it; what was there stays until all is written.

    Behind its end, which no reader of netCDF looks at, stands its checksum: HDF5 itself does not
    notice numbers that have changed on the disk.

    Raises
    ------
    WriteError
        If the disk is full or may not be written to.
    """
    # Made in memory, because HDF5 on a full disk fails while it closes the file, and then ends
    # the whole process when it tries again.
    content = io.BytesIO()
    with _here():
        tree.to_netcdf(content, engine="h5netcdf")
    with whole_file(path) as part:
        part.write_bytes(sealed(content.getvalue()))
    return path


def _here() -> contextlib.AbstractContextManager[Any]:
    """Have xarray lock what it writes in this process, also where a Dask client is the default.

    A cluster's locks have names, which a file in memory has not.
    """
    if "dask" not in sys.modules:
        return contextlib.nullcontext()
    import dask

    return dask.config.set(scheduler="synchronous")


def read_tree(
    path: Path, record: str, version: int, what: str
) -> tuple[xr.DataTree, Mapping[str, Any]]:
    """Return a tree and the JSON record in one of its attributes.

    Parameters
    ----------
    path : Path
        The file.
    record : str
        Name of the attribute.
    version : int
        Format that the record must have.
    what : str
        What the file should be, for messages.

    Raises
    ------
    FitError
        If there is no file, or it is something else, damaged or of another format.
    """
    if not path.is_file():
        raise FitError(f"no file {str(path)!r}; nothing to load.")
    try:
        whole = intact(path)
        tree, found = _read(path, record) if whole else (None, {})
    except DAMAGED as problem:
        raise FitError(f"{path.name!r} is not {what}, or it is damaged; fit again.") from problem
    if tree is None:
        raise FitError(
            f"{path.name!r} is damaged: its content is not what was written; take a copy of it, or "
            "fit again."
        )
    if found["format"] != version:
        raise FitError(
            f"{path.name!r} has format {found['format']}, this version reads {version}; fit again."
        )
    return tree, found


def _read(path: Path, record: str) -> tuple[xr.DataTree, dict[str, Any]]:
    with xr.open_datatree(path, engine="h5netcdf") as opened:
        tree = opened.load()
    found = json.loads(tree.attrs.pop(record))
    return tree, {"format": found["format"], **found}
