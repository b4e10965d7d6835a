"""Saved fits, from files and from folders of runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cart_pkpd._core.errors import ConfigError

_SUFFIX, _FITS = ".nc", "fits"


def fits_of(*paths: str | Path) -> dict[str, Any]:
    """Return saved fits by name, from files and run folders.

    Parameters
    ----------
    *paths : str or Path
        Files written by ``save`` of a fit, folders of runs, or folders with such files.

    Returns
    -------
    dict of str to FitResult or LaplaceResult
        By the name of the file; by folder and file where a name would stand twice.

    Raises
    ------
    ConfigError
        If a path does not exist, holds no fit, or is given twice.
    """
    from cart_pkpd import fit

    files = [file for path in paths for file in _files(Path(path))]
    if not files:
        raise ConfigError("give at least one saved fit or run folder to compare.")
    return {name: fit.load(file) for name, file in zip(_names(files), files, strict=True)}


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    if not path.is_dir():
        raise ConfigError(
            f"there is no file or folder {str(path)!r}; give saved fits or run folders."
        )
    found = sorted((path / _FITS).glob(f"*{_SUFFIX}")) or sorted(path.glob(f"*{_SUFFIX}"))
    found = [f for f in found if not f.name.startswith(".")]
    if not found:
        raise ConfigError(
            f"{str(path)!r} holds no saved fit: neither {_FITS}/*{_SUFFIX}, as a run folder does, "
            f"nor *{_SUFFIX}."
        )
    yield from found


def _names(files: Sequence[Path]) -> list[str]:
    """Return the shortest names that tell the files apart."""
    stems = [f.stem for f in files]
    names = [f.stem if stems.count(f.stem) == 1 else f"{_folder(f)}/{f.stem}" for f in files]
    for name, file in zip(names, files, strict=True):
        if names.count(name) > 1:
            raise ConfigError(
                f"{str(file)!r} is named {name!r}, as another fit is; rename one of them."
            )
    return names


def _folder(file: Path) -> str:
    parent = file.resolve().parent
    return parent.parent.name if parent.name == _FITS else parent.name
