"""The run folder: what a study leaves behind, each file whole or not at all."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from cart_pkpd._core.errors import ConfigError
from cart_pkpd._core.files import PART, no_folder, private_folder
from cart_pkpd._core.files import whole_file as whole_file

_LOG = logging.getLogger("cart_pkpd.study")

FORMAT = "cart_pkpd run folder 1"
_LOCK = ".lock"
_MANY = 500  # steps, from which on their states are not all written at once
_SECONDS_BETWEEN_SAVES = 5.0
_OWN_FILES = (
    "config.toml",
    "provenance.json",
    "run.log",
    "numbers.json",
    "report.html",
    "status.json",
)
_REPLACED = ("status.json", "config.toml")
_OWN_FOLDERS = (
    "data",
    "nca",
    "fits",
    "endpoints",
    "dose",
    "operating",
    "search",
    "tables",
    "figures",
)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole, in UTF-8."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON: a number that cannot be had is null, never the word NaN."""
    write_text(path, json_text(value) + "\n")


def json_text(value: Any) -> str:
    """Return `value` as strict, indented JSON."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, bool | str) or value is None:
        return value
    number = value.item() if callable(getattr(value, "item", None)) else value
    if isinstance(number, float) and number - number != 0:  # NaN and the infinities
        return None
    return number


def sha256(content: bytes) -> str:
    """Return the SHA-256 of `content` as hexadecimal text."""
    return hashlib.sha256(content).hexdigest()


def now() -> str:
    """Return the time in UTC to the second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class RunFolder:
    """A folder with one run in it, and the state of each of its steps.

    Parameters
    ----------
    path : path
        Where to make it. It may not exist, be empty, or hold an earlier run.
    overwrite : bool
        Whether an earlier run may be replaced.
    resume : bool
        Whether the fits and the NCA of an earlier run stay.
    config_sha256 : str
        Of the run file.

    Raises
    ------
    ConfigError
        If the folder holds something else, an earlier run that may not be replaced, or one that
        is still being written.

    Notes
    -----
    Only files that a run writes are removed from an earlier run folder; others stay. The folder
    is locked until `close`, or the end of the process, however that comes.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        overwrite: bool = False,
        resume: bool = False,
        config_sha256: str = "",
    ) -> None:
        self.path = Path(path)
        check_free(self.path, overwrite=overwrite, resume=resume)
        private_folder(self.path)
        self._lock = _locked(self.path)
        try:
            check_free(self.path, overwrite=overwrite, resume=resume)
            _clear(self.path, kept=("fits", "nca") if resume else ())
        except BaseException:
            self.close()
            raise
        self._began = time.monotonic()
        self.status: dict[str, Any] = {
            "format": FORMAT,
            "config_sha256": config_sha256,
            "state": "running",
            "exit_code": None,
            "started": now(),
            "finished": None,
            "seconds": None,
            "steps": {},
            "files": [],
        }
        self.save()

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let others write to the folder."""
        if self._lock is not None:
            self._lock.release()

    def save(self) -> None:
        """Write status.json."""
        write_json(self / "status.json", self.status)
        self._saved = time.monotonic()

    def queue(self, names: Iterable[str]) -> None:
        """Record steps that wait for a worker."""
        for name in names:
            self.status["steps"].setdefault(name, {}).update(state="waiting")
        self.save()

    def step(self, name: str, state: str, **details: Any) -> None:
        """Record the state of a step, as in `Step`, or that it is ``running``."""
        self.status["steps"].setdefault(name, {}).update(state=state, **details)
        few = len(self.status["steps"]) <= _MANY
        if few or time.monotonic() - self._saved > _SECONDS_BETWEEN_SAVES:
            self.save()

    def finish(self, state: str, exit_code: int, message: str = "") -> None:
        """Record how the run ended."""
        if message:
            self.status["message"] = message
        self.status.update(
            state=state,
            exit_code=exit_code,
            finished=now(),
            seconds=round(time.monotonic() - self._began, 1),
            files=self.files(),
        )
        self.save()

    def files(self) -> list[str]:
        """Return the names of all files of the run, sorted."""
        found = [self / name for name in _OWN_FILES]
        found += [p for name in _OWN_FOLDERS for p in (self / name).rglob("*")]
        return sorted(p.relative_to(self.path).as_posix() for p in found if p.is_file())


def _locked(path: Path) -> FileLock | None:
    """Return the lock of a run folder, which ends with the process; None where disks have none.

    Raises
    ------
    ConfigError
        If another run has it.
    """
    lock = FileLock(path / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        since = (_earlier(path) or {}).get("started", "just now")
        raise ConfigError(
            f"another run is writing to '{path}' (started {since}); wait for it, or name another "
            "folder."
        ) from error
    except OSError as error:
        raise no_folder(path, error) from error
    except NotImplementedError:
        _LOG.warning("'%s' is on a disk without locks; start no second run in it.", path)
        return None
    return lock


def check_free(path: Path, *, overwrite: bool, resume: bool = False) -> None:
    """Raise ConfigError if no run may be written to `path`."""
    if not path.exists():
        return
    if not path.is_dir():
        raise ConfigError(f"'{path}' is a file; name a folder for the run.")
    if all(_is_no_result(file) for file in path.iterdir()):
        return
    earlier = _earlier(path)
    if earlier is None:
        raise ConfigError(
            f"'{path}' is not empty and holds no earlier run, so nothing was written to it; "
            "name another folder."
        )
    if not overwrite and not resume:
        when = f"{earlier.get('state', 'unknown')}, started {earlier.get('started', '?')}"
        raise ConfigError(
            f"'{path}' already holds a run ({when}); name another folder, replace it with "
            "--overwrite, or go on with it with --resume."
        )


def _is_no_result(file: Path) -> bool:
    """Whether a file is what a run leaves that was killed before it had begun."""
    return file.name == _LOCK or file.name.startswith(PART)


def _earlier(path: Path) -> dict[str, Any] | None:
    """Return the status of the run that a folder holds, or None."""
    try:
        status = json.loads((path / "status.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    ours = isinstance(status, dict) and str(status.get("format", "")).startswith("cart_pkpd run")
    return status if ours else None


def _clear(path: Path, *, kept: Collection[str]) -> None:
    # What says that this is a run, and of what, is replaced and never missing: a process killed
    # in between would leave fits that nobody can go on with.
    gone = (path / name for name in _OWN_FILES if name not in _REPLACED)
    for file in (*gone, *path.glob(f"{PART}*")):
        file.unlink(missing_ok=True)
    for name in _OWN_FOLDERS:
        if (path / name).is_dir() and name not in kept:
            shutil.rmtree(path / name)
    for file in (path / "fits").glob("*"):  # what is left: fits to resume
        if file.suffix != ".nc" or file.name.startswith(PART):
            file.unlink()
