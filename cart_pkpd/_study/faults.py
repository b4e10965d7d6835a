"""What a command says of an error: sentences, or where its traceback is."""

from __future__ import annotations

import os
import tempfile
import traceback
from pathlib import Path

from cart_pkpd._core.errors import CartError


def sentences(error: CartError) -> list[str]:
    """Return every problem that an error lists, or its one message."""
    from cart_pkpd._core.errors import DataError
    from cart_pkpd._study.config import RunFileError
    from cart_pkpd._study.nca.settings import SettingsError

    if isinstance(error, SettingsError):
        return list(error.problems)
    if isinstance(error, DataError):
        return [problem.message for problem in error.problems]
    if isinstance(error, RunFileError):
        return [f"{error.source}: {problem}" for problem in error.problems]
    return [str(error)]


def one_line(error: Exception) -> str:
    """Return the class of an error and the first line of its message."""
    first = (str(error).strip().splitlines() or ["no message"])[0]
    return f"{type(error).__name__}: {first.rstrip('.')}."


def write_traceback(error: Exception) -> Path:
    """Write the traceback of an error to the log folder, or to one that can be written to."""
    from platformdirs import user_log_path

    text = "".join(traceback.format_exception(error))
    try:
        folder = user_log_path("cart-pkpd", ensure_exists=True)
        _write_private(folder / "error.log", text)
    except OSError:  # no home, or not ours to write to
        folder = Path(tempfile.mkdtemp(prefix="cart-pkpd-"))
        _write_private(folder / "error.log", text)
    return folder / "error.log"


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read: a traceback may hold a value of the data."""
    made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(made, "w", encoding="utf-8") as file:
        path.chmod(0o600)  # one that was there keeps its mode otherwise
        file.write(text)
