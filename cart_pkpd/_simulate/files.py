"""Patients written chunk by chunk: netCDF or zarr, whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from cart_pkpd._core.errors import DataError, WriteError
from cart_pkpd._core.files import PART, whole_file
from cart_pkpd._core.sealed import DAMAGED, intact, of_files, seal
from cart_pkpd._core.validate import as_path

SUFFIXES = {".nc": "netcdf", ".zarr": "zarr"}
_ABOUT, _SEAL = ".zattrs", "sha256_of_the_rest"  # the attributes of a zarr folder


def target_of(out: Any, overwrite: bool) -> Path:
    """Return the path to write to.

    Raises
    ------
    DataError
        If the suffix says no format, or zarr is not installed.
    WriteError
        If something is there and may not be replaced.
    """
    path = as_path(out, "the file to write")
    if path.suffix not in SUFFIXES:
        raise DataError(
            f"out: the name ends in .nc (netCDF) or .zarr, and not in {path.suffix or 'nothing'!r}."
        )
    if SUFFIXES[path.suffix] == "zarr":
        try:
            import zarr  # noqa: F401
        except ImportError:
            raise DataError(
                "out: writing zarr needs the package zarr (pip install 'cart-pkpd[zarr]'); a name "
                "that ends in .nc writes netCDF."
            ) from None
    if path.exists() and not overwrite:
        raise WriteError(f"{str(path)!r} is there already; give overwrite=True, or another name.")
    return path


def write(path: Path, chunks: Iterable[xr.Dataset], total: int) -> None:
    """Write chunks of patients one after the other.

    Parameters
    ----------
    path : Path
        From :func:`target_of`.
    chunks : iterable of xr.Dataset
        In order; all with the same variables.
    total : int
        All patients.
    """
    if SUFFIXES[path.suffix] == "netcdf":
        with whole_file(path) as part:
            _netcdf(part, chunks, total)
            seal(part)
        return
    with whole_folder(path) as folder:
        for i, chunk in enumerate(chunks):
            _zarr(folder, chunk, first=i == 0)
        _seal_folder(folder)


def opened(path: Path) -> xr.Dataset:
    """Return written patients; their numbers are read when they are needed."""
    if SUFFIXES[path.suffix] == "zarr":
        found = xr.open_zarr(path, chunks=None, consolidated=False, decode_times=False)
    else:
        found = xr.open_dataset(path, engine="h5netcdf", decode_times=False)
    found.attrs.pop(_SEAL, None)
    return found


def loaded(source: Any) -> xr.Dataset:
    """Return patients of an earlier day, if they are what was written.

    Raises
    ------
    DataError
        If there is no such file, or it is something else or damaged.
    """
    path = as_path(source, "the file of virtual patients")
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path.name!r} is no file of virtual patients; they end in .nc or .zarr.")
    if not path.exists():
        raise DataError(
            f"there is no file {str(path)!r}; simulate.patients(..., out=...) writes one."
        )
    try:
        whole = intact(path) if path.is_file() else _intact_folder(path)
        found = opened(path) if whole else None
    except DAMAGED as problem:
        raise DataError(
            f"{path.name!r} holds no virtual patients, or it is damaged; simulate again."
        ) from problem
    if found is None:
        raise DataError(
            f"{path.name!r} is damaged: its content is not what was written; take a copy of it, or "
            "simulate again (the same seed gives the same patients)."
        )
    if "individual" not in found or "id" not in found.dims:
        found.close()
        raise DataError(f"{path.name!r} holds no virtual patients; simulate.patients writes them.")
    return found


def _seal_folder(folder: Path) -> None:
    """Write a checksum of all its files, and of its other attributes, into the attributes."""
    about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    about[_SEAL] = _digest(folder, about)
    (folder / _ABOUT).write_text(json.dumps(about, indent=2), encoding="utf-8")


def _intact_folder(folder: Path) -> bool:
    """Return whether a folder is as it was sealed; True for one without a seal."""
    about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    told = about.pop(_SEAL, None)
    return told is None or told == _digest(folder, about)


def _digest(folder: Path, about: dict[str, Any]) -> str:
    """Return the checksum of a folder; files that systems hide in it are not of it."""
    own = [p for p in folder.rglob("*") if p.is_file() and _is_own(p.name)]
    names = [p.relative_to(folder).as_posix() for p in own]
    files = of_files(folder, [n for n in names if n != _ABOUT])
    return hashlib.sha256(f"{files} {json.dumps(about, sort_keys=True)}".encode()).hexdigest()


def _netcdf(part: Path, chunks: Iterable[xr.Dataset], total: int) -> None:
    import h5py

    done = 0
    file: Any = None
    try:
        for chunk in chunks:
            n = chunk.sizes["id"]
            own = [str(k) for k, v in chunk.variables.items() if v.dims[:1] == ("id",)]
            if file is None:
                _template(part, chunk, total)
                file = h5py.File(part, "a")
            for name in own:
                file[name][done : done + n] = _stored(chunk[name].to_numpy())
            done += n
    finally:
        if file is not None:
            file.close()


def _template(part: Path, chunk: xr.Dataset, total: int) -> None:
    """Write everything but the patients, with room for all of them.

    What a file of the first patient says, in one whose length is known from the start: of a length
    that grows, every later look at the file asks each variable again.
    """
    import h5netcdf

    filled = {k: {"_FillValue": np.nan} for k, v in chunk.variables.items() if v.dtype.kind == "f"}
    first: Any = chunk.isel(id=slice(0, 1)).to_netcdf(engine="h5netcdf", encoding=filled)
    with h5netcdf.File(BytesIO(first), "r") as one, h5netcdf.File(part, "w") as file:
        file.dimensions = {k: total if k == "id" else len(v) for k, v in one.dimensions.items()}
        file.attrs.update(one.attrs)
        for name, variable in one.variables.items():
            _empty(file, name, variable, chunk.sizes["id"])


def _empty(file: Any, name: str, like: Any, n: int) -> None:
    """Make a variable as another is; one of patients is empty and in pieces of `n`."""
    about = dict(like.attrs)
    fill = about.pop("_FillValue", None)
    of_patients = like.dimensions[:1] == ("id",)
    pieces = (n, *like.shape[1:]) if of_patients else None
    made = file.create_variable(name, like.dimensions, like.dtype, chunks=pieces, fillvalue=fill)
    made.attrs.update(about)
    if not of_patients:
        made[...] = like[...]


def _stored(values: Any) -> Any:
    return values.astype(object) if values.dtype.kind == "U" else values


def _zarr(folder: Path, chunk: xr.Dataset, *, first: bool) -> None:
    if first:
        n = chunk.sizes["id"]
        encoding = {
            name: {"chunks": (n, *variable.shape[1:])}
            for name, variable in chunk.variables.items()
            if variable.dims[:1] == ("id",)
        }
        chunk.to_zarr(folder, mode="w", zarr_format=2, consolidated=False, encoding=encoding)
        return
    fixed = [n for n, v in chunk.variables.items() if "id" not in v.dims]
    chunk.drop_vars(fixed).to_zarr(folder, append_dim="id", zarr_format=2, consolidated=False)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give a folder to write to; it takes its place at the end, or leaves no trace on an error.

    Raises
    ------
    WriteError
        If it may not be written.
    """
    part: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=PART, suffix=path.suffix, dir=path.parent))
        yield part
        if path.exists():
            old = Path(tempfile.mkdtemp(prefix=PART, dir=path.parent))
            path.replace(old / path.name)
            part.replace(path)
            shutil.rmtree(old, ignore_errors=True)
        else:
            part.replace(path)
        part = None
    except OSError as problem:
        if isinstance(problem, WriteError):
            raise
        raise WriteError(
            f"{str(path)!r} could not be written: {problem.strerror or problem}. What was there "
            "before is unchanged; make room or name another place."
        ) from problem
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)


def _is_own(name: str) -> bool:
    return name.startswith(".z") or not name.startswith(".")
