"""The folder of an NCA: one analysis in it, each file whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cart_pkpd import __version__
from cart_pkpd._core.errors import ConfigError
from cart_pkpd._core.files import private_folder
from cart_pkpd._study.folder import now, write_json, write_text

FORMAT = "cart_pkpd nca folder 1"
_STATUS = "status.json"


class NcaFolder:
    """A folder with one NCA in it.

    Parameters
    ----------
    path : path
        It may not exist, be empty, or hold an earlier NCA.
    overwrite : bool
        Whether an earlier NCA may be replaced.

    Raises
    ------
    ConfigError
        If the folder holds something else, or an earlier NCA that may not be replaced.

    Notes
    -----
    Nothing is touched before `begin`, which removes the files that the earlier NCA lists as its
    own in status.json, and no other.
    """

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        self.path = path
        self.files: list[str] = []
        self._earlier = _check_free(path, overwrite=overwrite)

    def begin(self) -> None:
        """Make the folder, or take away what an earlier NCA left in it."""
        private_folder(self.path)
        _remove(self.path, self._earlier)
        self._save("running")

    def add(self, name: str) -> Path:
        """Return the path of a file of this analysis, and count it as its own."""
        if name not in self.files:
            self.files.append(name)
        return self.path / name

    def text(self, name: str, text: str) -> None:
        """Write a text file."""
        write_text(self.add(name), text)

    def finish(self, **details: Any) -> None:
        """Record that everything is written."""
        self._save("done", **details)

    def checkpoint(self) -> None:
        """Record the files so far, so that an interrupted analysis can be replaced."""
        self._save("running")

    def _save(self, state: str, **details: Any) -> None:
        own = {"format": FORMAT, "program": f"cart-pkpd {__version__}", "state": state}
        listed = {"written": now(), "files": sorted(self.files)}
        write_json(self.path / _STATUS, own | listed | details)


def _check_free(path: Path, *, overwrite: bool) -> dict[str, Any]:
    """Return the status of the earlier NCA in a folder, empty where there is none."""
    if path.exists() and not path.is_dir():
        raise ConfigError(f"--out '{path}' is a file; name a folder.")
    if not path.exists() or not any(path.iterdir()):
        return {}
    earlier = _status(path)
    if earlier is None:
        raise ConfigError(
            f"'{path}' is not empty and holds no earlier NCA, so nothing was written to it; "
            "name another folder with --out."
        )
    if not overwrite:
        raise ConfigError(
            f"'{path}' already holds an NCA, written {earlier.get('written', '?')}; name another "
            "folder with --out, or replace it with --overwrite."
        )
    return earlier


def _status(path: Path) -> dict[str, Any] | None:
    try:
        status = json.loads((path / _STATUS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    ours = isinstance(status, dict) and status.get("format") == FORMAT
    return status if ours else None


def _remove(path: Path, earlier: dict[str, Any]) -> None:
    root = path.resolve()
    emptied: set[Path] = set()
    for name in earlier.get("files", []):
        file = (root / str(name)).resolve()
        if root in file.parents and file.is_file():
            file.unlink()
            emptied |= {p for p in file.parents if root in p.parents}
    for folder in sorted(emptied, key=lambda p: -len(p.parts)):
        if not any(folder.iterdir()):
            folder.rmdir()
