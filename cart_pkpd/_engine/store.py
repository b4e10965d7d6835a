"""The folder of compiled code: files that are whole or not there at all."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
from functools import cache
from pathlib import Path

from platformdirs import user_cache_dir

_LOG = logging.getLogger("cart_pkpd")
_DIGEST = 32


def cache_folder() -> Path:
    """Return the folder of generated and compiled kernels.

    ``CART_PKPD_CACHE`` names another; where neither can be written, a temporary folder serves
    for this process.
    """
    chosen = os.environ.get("CART_PKPD_CACHE") or user_cache_dir("cart_pkpd")
    folder = Path(chosen) / "kernels"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return _temporary()


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
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    digest, code = content[:_DIGEST], content[_DIGEST:]
    if hashlib.sha256(code).digest() == digest:
        return code
    _LOG.warning("compiled code in %s is damaged; compiling it anew.", path.name)
    path.unlink(missing_ok=True)
    return None
