"""Ctrl-C: heard once, never in the middle of an import, and never lost."""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, NoReturn

_LATER = 0.05  # seconds
_IMPORTS = ("importlib._bootstrap", "_frozen_importlib")


class Interrupts:
    """Turns Ctrl-C into one KeyboardInterrupt that reaches the command.

    In an import it waits for the end of the import: modules that are half there break whatever
    asks for them next, and callbacks of the import swallow the interrupt. What was swallowed
    elsewhere, by a destructor or by a library that calls back, is raised again. The second Ctrl-C
    ends the process on the spot, for what does not end by itself.

    Attributes
    ----------
    asked : bool
        Whether Ctrl-C was pressed.
    """

    def __init__(self) -> None:
        self.asked = False
        self._again = False
        self._over = False
        self._before: Any = None
        self._hook: Any = None

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Answer a signal."""
        if self._over:
            return
        if self.asked and not self._again:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        self.asked, self._again = True, False
        if _imports(frame):
            self._once_more()
            return
        raise KeyboardInterrupt

    def swallowed(self, what: Any) -> None:
        """Raise again what an error that nobody can catch took with it."""
        if self.asked and issubclass(what.exc_type, KeyboardInterrupt):
            self._once_more()
        else:
            self._hook(what)

    def _once_more(self) -> None:
        timer = threading.Timer(_LATER, self._remind)
        timer.daemon = True
        timer.start()

    def _remind(self) -> None:
        if self._over:
            return
        self._again = True
        if hasattr(signal, "pthread_kill"):  # a real one wakes what waits, too
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        else:
            _thread.interrupt_main()

    def begin(self) -> None:
        """Listen from now on."""
        self._before, self._hook = signal.getsignal(signal.SIGINT), sys.unraisablehook
        signal.signal(signal.SIGINT, self.hear)
        sys.unraisablehook = self.swallowed

    def end(self) -> None:
        """Listen no more."""
        self._over = True
        signal.signal(signal.SIGINT, self._before)
        sys.unraisablehook = self._hook


@contextlib.contextmanager
def heard() -> Iterator[Interrupts]:
    """Listen to Ctrl-C inside the block, where it is not ignored; only the main thread can."""
    one = Interrupts()
    here = threading.current_thread() is threading.main_thread()
    if not here or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield one
        return
    one.begin()
    try:
        yield one
    finally:
        one.end()


def leave_with(code: int) -> NoReturn:
    """End the process with a code that Ctrl-C does not change any more."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: os._exit(code))
    sys.exit(code)


def _imports(frame: FrameType | None) -> bool:
    """Return whether a frame, or one that called it, is at work on an import."""
    while frame is not None:
        if frame.f_globals.get("__name__") in _IMPORTS:
            return True
        frame = frame.f_back
    return False
