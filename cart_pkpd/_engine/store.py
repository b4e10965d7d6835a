"""The folder of compiled code: files that are whole or not there at all."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import stat
import tempfile
from functools import cache
from pathlib import Path

from platformdirs import user_cache_dir

_LOG = logging.getLogger("cart_pkpd")
_DIGEST = 32
_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def cache_folder() -> Path:
    """Return the folder of generated and compiled kernels.

    ``CART_PKPD_CACHE`` names another; where neither can be written, or the folder is somebody
    else's, a temporary folder serves for this process: code that is loaded from it runs.
    """
    chosen = os.environ.get("CART_PKPD_CACHE") or user_cache_dir("cart_pkpd")
    folder = Path(chosen) / "kernels"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not _ours(folder):
            return _temporary()
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return _temporary()


def _ours(folder: Path) -> bool:
    """Return True for a folder of the user's, and let nobody else write to it."""
    if not hasattr(os, "getuid"):  # Windows keeps a user's folders from others by itself
        return True
    found = folder.stat()
    if found.st_uid != os.getuid():
        _warn_once(folder)
        return False
    if found.st_mode & _OTHERS:
        folder.chmod(found.st_mode & ~_OTHERS & 0o7777)
    return True


@cache
def _warn_once(folder: Path) -> None:
    _LOG.warning(
        "the folder of compiled code %s belongs to somebody else and is not used; name another "
        "with CART_PKPD_CACHE.", folder,
    )  # fmt: skip


def _foreign(path: Path) -> bool:
    """Return True for a file that is not the user's own, or that others can write to."""
    if not hasattr(os, "getuid"):
        return False
    found = path.lstat()
    return (
        not stat.S_ISREG(found.st_mode)
        or found.st_uid != os.getuid()
        or bool(found.st_mode & _OTHERS)
    )


@cache
def _temporary() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="cart_pkpd_")) / "kernels"
    folder.mkdir()
    return folder


def write(path: Path, content: bytes) -> None:
    """Write a file under another name first, so that nobody ever reads half of it."""
    handle, part = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise


def keep(path: Path, code: bytes) -> None:
    """Write compiled code with what tells later whether it is still whole."""
    write(path, hashlib.sha256(code).digest() + code)


def kept(path: Path) -> bytes | None:
    """Return compiled code; None where there is none, or, with a warning, a damaged one."""
    try:
        if _foreign(path):
            _LOG.warning("compiled code in %s is not the user's own; compiling it anew.", path.name)
            path.unlink(missing_ok=True)
            return None
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    digest, code = content[:_DIGEST], content[_DIGEST:]
    if hashlib.sha256(code).digest() == digest:
        return code
    _LOG.warning("compiled code in %s is damaged; compiling it anew.", path.name)
    path.unlink(missing_ok=True)
    return None
