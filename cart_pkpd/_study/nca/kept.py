"""A finished NCA of a run found again by what it is of, as finished fits are."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cart_pkpd import __version__
from cart_pkpd._core.errors import FitError
from cart_pkpd._core.sealed import of_files

if TYPE_CHECKING:
    import xarray as xr

    from cart_pkpd._study.nca.settings import Settings

_LOG = logging.getLogger("cart_pkpd.study")
_RECORD, _FORMAT = "cart_pkpd_kept_nca", 1


@dataclass(frozen=True)
class Kept:
    """A finished NCA: the table that it was written from, and what it said of itself."""

    params: xr.Dataset
    note: str


def key(trial: xr.Dataset, settings: Settings) -> str:
    """Return a text that is the same for the same NCA by the same version of the package."""
    whole = hashlib.sha256()
    said: list[Any] = [__version__, repr(replace(settings, source={})), sorted(trial.attrs.items())]
    whole.update(json.dumps(said, default=str).encode())
    for name in sorted(map(str, trial.variables)):
        one = trial.variables[name]
        said = [name, one.dims, one.shape, str(one.dtype), sorted(one.attrs.items())]
        whole.update(json.dumps(said, default=str).encode())
        values = one.to_numpy()
        whole.update(np.ascontiguousarray(values.astype(str) if one.dtype == "O" else values))
    return whole.hexdigest()


def find(folder: Path, wanted: str) -> Kept | None:
    """Return the NCA that a folder holds, None if it is another or its files have changed."""
    from cart_pkpd._fit.trees import read_tree

    if not _beside(folder).is_file():
        return None
    try:
        tree, said = read_tree(_beside(folder), _RECORD, _FORMAT, "an NCA kept by a run")
        same = said["key"] == wanted and said["sha256"] == of_files(folder, said["files"])
    except (FitError, OSError, KeyError) as problem:
        _LOG.info("%s: %s", folder, problem)
        return None
    return Kept(tree.to_dataset(), said["note"]) if same else None


def keep(folder: Path, name: str, found: Kept, files: Collection[str]) -> None:
    """Write what `find` needs beside the files of an NCA, after these.

    Parameters
    ----------
    folder : Path
        Where they are.
    name : str
        From :func:`key`.
    found : Kept
        The analysis.
    files : collection of str
        Names of its files.
    """
    from cart_pkpd._fit.trees import write_tree

    said = {"format": _FORMAT, "key": name, "note": found.note, "files": sorted(files)}
    said["sha256"] = of_files(folder, files)
    write_tree(found.params.assign_attrs({_RECORD: json.dumps(said)}), _beside(folder))


def drop_others(folder: Path, endpoints: Collection[str]) -> None:
    """Remove the NCAs of an earlier run whose endpoints are asked for no more."""
    ours = {name for e in endpoints for name in (e, _beside(folder / e).name)}
    for path in folder.glob("*"):
        if path.name not in ours:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _beside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.nc")
