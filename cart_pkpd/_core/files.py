"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cart_pkpd._core.errors import WriteError

PART = ".part-"
_REFUSED = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO
)  # fmt: skip


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a path to write to; it takes its place at the end, or leaves no trace on an error.

    What was at `path` stays until all is written and on the disk. The temporary name keeps the
    suffix, because some writers choose the format by it; only a process that is killed leaves
    it behind, and nothing reads files of such a name.

    Raises
    ------
    WriteError
        If the disk is full or may not be written to.
    """
    part: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=PART, suffix=path.suffix, dir=path.parent)
        os.close(handle)
        part = Path(name)
        yield part
        part.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner can read
        _flush(part)
        part.replace(path)
    except OSError as problem:
        if problem.errno not in _REFUSED or isinstance(problem, WriteError):
            raise
        raise WriteError(
            f"{str(path)!r} could not be written: {os.strerror(problem.errno)}. What was there "
            "before is unchanged; make room or name another place."
        ) from problem
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def private_folder(path: Path) -> None:
    """Make a folder that only its owner can enter; one that is there keeps its mode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)


def _flush(path: Path) -> None:
    """Wait until a file is on the disk: some file systems tell only then that they are full."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value
